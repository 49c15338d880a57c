"""The codes of vouchers that replies give out, which no event holds."""

import asyncio
from collections.abc import Mapping, Sequence

from ledger.api.reply import issued_codes
from ledger.store.vouchers import VoucherCodes


async def codes_of(codes: VoucherCodes, results: Sequence[object]) -> Mapping[str, str]:
    """The codes of the vouchers that some results issued, by their hashes."""
    hashes = issued_codes(results)
    return await asyncio.to_thread(codes.of, hashes) if hashes else {}
