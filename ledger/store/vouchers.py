"""The codes of vouchers: as good as money, so they are in no event."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row

from ledger.domain.voucher import NewCode
from ledger.store.datastore import LedgerDatastore


def write_codes(cursor: Cursor[TupleRow], codes: Sequence[NewCode], owners: Mapping[str, UUID]) -> None:
    """Writes new codes, and whose codes are by their hashes, in the transaction of their vouchers or their upload."""
    new = {one.code_hash for one in codes}
    given = sorted(owners.keys() - new)  # uploaded before
    if codes:
        cursor.execute(
            "INSERT INTO voucher_codes (code_hash, code, member_id)"
            " SELECT * FROM unnest(%b::text[], %b::text[], %b::uuid[]) ON CONFLICT DO NOTHING",
            (
                [one.code_hash for one in codes],
                [one.code for one in codes],
                [owners.get(one.code_hash) for one in codes],
            ),
        )
    if given:
        cursor.execute(
            "UPDATE voucher_codes c SET member_id = g.member_id FROM unnest(%b::text[], %b::uuid[])"
            " AS g (code_hash, member_id) WHERE c.code_hash = g.code_hash",
            (given, [owners[code_hash] for code_hash in given]),
        )


def erase_codes(cursor: Cursor[TupleRow], members: Iterable[UUID]) -> None:
    """Erases the codes of some members, also of vouchers that their accounts no longer know."""
    cursor.execute("DELETE FROM voucher_codes WHERE member_id = ANY (%b::uuid[])", (sorted(members),))


class VoucherCodes:
    """Reads the codes. Every call blocks on the database."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def of(self, hashes: Iterable[str]) -> dict[str, str]:
        """The codes of some hashes, where they are known."""
        with self._datastore.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            rows = cursor.execute(
                "SELECT code_hash, code FROM voucher_codes WHERE code_hash = ANY (%s)", (list(hashes),)
            )
            return dict(rows.fetchall())
