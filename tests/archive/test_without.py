"""A server that has no archive, or a damaged one: what needs it is refused and can be sent again; all else goes on."""

import shutil
from pathlib import Path

import grpc
import pytest
from loyalty.v1.crm_service_pb2 import WatchChangesRequest
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.archive.restore import restore
from ledger.proof.manifest import event_file
from ledger.store.topics import Archived
from projections.check import check
from tests.archive.lived import Lived, sealed, stored, wait_for_views
from tests.proof import prove
from tests.sealing.signing import change
from tests.shop import refused

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
COUNT = "SELECT count(*) FROM events"


def test_a_server_without_the_archive(lived: Lived, tmp_path: Path) -> None:
    """Accounts go on from their snapshots. Nothing is decided on what cannot be read, nor told to be unknown."""
    lived.archived(tmp_path)
    first, second, _ = lived.members
    old = lived.answer.outcome.transaction
    with lived.open() as shop:
        with refused(
            "ARCHIVED",
            UNAVAILABLE,
            where=f"event {lived.sold_at}: it is in the archive: set LOYALTY_ARCHIVE to the archive's folder",
        ):
            shop.record(lived.sale)
        with refused("ARCHIVED", UNAVAILABLE):
            shop.sale(first, 10_00, till=1)
        with refused("ARCHIVED", UNAVAILABLE):
            shop.give_back(old)
        with refused("ARCHIVED", UNAVAILABLE):
            shop.give_back(receipt=shop.reference(1), member=first)
        with refused("ARCHIVED", UNAVAILABLE):
            shop.reverse(old)
        with refused("ARCHIVED", UNAVAILABLE):
            shop.transaction(old)
        with refused("ARCHIVED", UNAVAILABLE):
            shop.events(first)
        behind = WatchChangesRequest(after_position=lived.joined_at)
        with refused("CHANGES_ARCHIVED", position=lived.joined_at):
            next(shop.crm.WatchChanges(behind, metadata=shop.metadata))
        anew = shop.crm.WatchChanges(WatchChangesRequest(), metadata=shop.metadata)
        assert {one.member for one in next(anew).members} == set(lived.members)
        anew.cancel()
        before = stored(lived.url, COUNT)
        retried, new = shop.batch(lived.sale, shop.sale_request(second, 3_00))
        assert (retried.error.reason, new.WhichOneof("result")) == (ErrorReason.ERROR_REASON_ARCHIVED, "record_sale")
        assert stored(lived.url, COUNT) == [(before[0][0] + 1,)]
        wait_for_views(lived.url)
        assert shop.balance(second).available_points == 8
    with lived.open(tmp_path) as shop:
        assert shop.record(lived.sale).outcome.replayed
        feed = shop.crm.WatchChanges(behind, metadata=shop.metadata)
        assert next(feed).changes[0].position == lived.joined_at + 1
        feed.cancel()
        wait_for_views(lived.url)
        prove(shop, first)


def test_a_cache_that_is_older_than_the_archive(lived: Lived, tmp_path: Path) -> None:
    """Server A knows a member as of long ago; what B recorded since is archived; A goes on from the snapshot."""
    member = lived.members[0]
    with lived.open() as a:
        a.sale(member, 1_00)
        with lived.open() as b:
            b.sale(member, 2_00)
            wait_for_views(lived.url)
            sealed(lived.url)
            lived.archived(tmp_path)
            assert a.sale(member, 4_00).awards[0].points == 4
            assert b.sale(member, 8_00).awards[0].points == 8
        wait_for_views(lived.url)
        assert a.balance(member).available_points == 30
    assert check(lived.url, 1, archive=tmp_path).ok


def test_a_damaged_archive(lived: Lived, tmp_path: Path) -> None:
    """It is never believed: the tree in the database says what was sealed. A good copy puts an end to it at once."""
    done = lived.archived(tmp_path)
    file = tmp_path / done.parts[0] / event_file(1, "jsonl")
    content = file.read_text()
    lines = content.splitlines(keepends=True)
    sold = lived.sold_at
    lines[sold - 1] = lines[sold - 1].replace('"state":"C', '"state":"D')
    assert "".join(lines) != content
    with lived.open(tmp_path) as shop:
        for damaged, first in (
            ("".join(lines), sold),
            (content[:-1], done.last_position),
            ("", lived.joined_at),
        ):
            file.unlink()
            file.write_text(damaged)
            result = check(lived.url, 1, archive=tmp_path)
            assert {f"event {first}", f"position {first}"} <= {one.key for one in result.first}
            with pytest.raises(Archived, match=f"event {first}: .* not as it was sealed: bring a good copy"):
                restore(lived.url, tmp_path)
        with refused("ARCHIVED", UNAVAILABLE):
            shop.record(lived.sale)
        file.write_text(content)
        assert shop.record(lived.sale).outcome.replayed
    change(lived.url, f"UPDATE events SET request_id = gen_random_uuid() WHERE notification_id = {sold}")
    result = check(lived.url, 1, archive=tmp_path)
    assert (f"position {sold}", "the event that was sealed here") in [(one.key, one.expected) for one in result.first]
    shutil.rmtree(tmp_path / done.parts[0])
    with pytest.raises(Archived, match=f"event {lived.joined_at}: .* no part of it below {tmp_path} has it"):
        restore(lived.url, tmp_path)
