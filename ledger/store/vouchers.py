"""The codes of vouchers: as good as money, so they are in no event."""

from collections.abc import Iterable, Sequence

from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row

from ledger.domain.voucher import NewCode
from ledger.store.datastore import LedgerDatastore


def write_codes(cursor: Cursor[TupleRow], codes: Sequence[NewCode]) -> None:
    """Writes new codes within the transaction that appends their vouchers, or their upload."""
    cursor.execute(
        "INSERT INTO voucher_codes SELECT * FROM unnest(%b::text[], %b::text[]) ON CONFLICT DO NOTHING",
        ([new.code_hash for new in codes], [new.code for new in codes]),
    )


def erase_codes(cursor: Cursor[TupleRow], hashes: Sequence[str]) -> None:
    """Erases the codes of some hashes."""
    cursor.execute("DELETE FROM voucher_codes WHERE code_hash = ANY (%b::text[])", (list(hashes),))


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
