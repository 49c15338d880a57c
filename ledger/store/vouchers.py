"""The codes of vouchers: as good as money, so they are in no event."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row

from ledger.domain.voucher import NewCode
from ledger.store.datastore import LedgerDatastore


def write_codes(cursor: Cursor[TupleRow], codes: Sequence[NewCode]) -> None:
    """Writes new codes within the transaction that appends their vouchers."""
    cursor.execute(
        "INSERT INTO voucher_codes SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::text[])",
        (
            [new.voucher_id for new in codes],
            [new.member_id for new in codes],
            [new.code for new in codes],
        ),
    )


class VoucherCodes:
    """Reads the codes. Every call blocks on the database."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def of(self, vouchers: Iterable[UUID]) -> dict[UUID, str]:
        """The codes of some vouchers, where they are known."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            rows = cursor.execute(
                "SELECT voucher_id, code FROM voucher_codes WHERE voucher_id = ANY (%s)", (list(vouchers),)
            )
            return dict(rows.fetchall())
