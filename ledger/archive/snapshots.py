"""Snapshots that accounts can start from when their first events are in the archive."""

from typing import Any, Final

from eventsourcing.persistence import MapperDeserialisationError
from google.protobuf.message import DecodeError
from loyalty.v1.snapshot_pb2 import AccountSnapshot
from psycopg import Cursor

from ledger.archive.parts import ArchiveError
from ledger.domain.account import Account
from ledger.domain.refusal import InvariantBroken
from ledger.store.archive import ARCHIVED_TOPICS, Archive
from ledger.store.recorder import Session

PAGE_ACCOUNTS: Final = 500

_STREAMS: Final = """
SELECT e.originator_id, max(e.originator_version), s.state
FROM events e LEFT JOIN snapshots s USING (originator_id)
WHERE e.notification_id BETWEEN %b AND %b AND e.topic = ANY (%b::text[])
GROUP BY e.originator_id, s.state
"""


def keep_snapshots(cursor: Cursor[Any], archive: Archive, first: int, last: int) -> None:
    """Sees to it that every account with an event in a range has a snapshot that knows it. Raises ArchiveError."""
    behind: list[Account] = []
    for stream_id, version, state in cursor.execute(_STREAMS, (first, last, ARCHIVED_TOPICS)).fetchall():
        try:
            snapshot = AccountSnapshot.FromString(state or b"")
            account = Account.from_snapshot(stream_id, snapshot) if state is not None else Account(stream_id)
        except (DecodeError, InvariantBroken) as error:
            message = f"the snapshot of account {stream_id} cannot be read ({error}): run `loyalty check`"
            raise ArchiveError(message) from error
        if account.version < version:
            behind.append(account)
    session = Session(cursor.connection, archive)
    for begin in range(0, len(behind), PAGE_ACCOUNTS):
        _write(session, {account.account_id: account for account in behind[begin : begin + PAGE_ACCOUNTS]})


def _write(session: Session, accounts: dict[Any, Account]) -> None:
    for row in session.fetch({stream_id: account.version for stream_id, account in accounts.items()}):
        account = accounts[row.stream_id]
        try:
            account.check_next(row.version)
            account.apply(row.payload)  # type: ignore[arg-type]  # an account's stream holds nothing else; apply checks it
        except (MapperDeserialisationError, InvariantBroken, KeyError) as error:
            message = (
                f"event {row.position} of account {row.stream_id} cannot be applied ({error}): run `loyalty check`"
            )
            raise ArchiveError(message) from error
    session.write_snapshots(
        [
            (stream_id, account.version, account.to_snapshot().SerializeToString())
            for stream_id, account in accounts.items()
        ]
    )
