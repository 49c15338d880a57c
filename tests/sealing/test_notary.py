"""The notary: what was signed is compared before anything is signed, and never signed over."""

from pathlib import Path

import pytest
from loyalty.v1.events_pb2 import AuditRecorded

from ledger.proof.keys import KeysInvalid, replace_keys
from ledger.proof.merkle import leaf_hash
from ledger.proof.note import Checkpoint, Signer, sign
from ledger.proof.tree import Tree
from ledger.store.checkpoints import newest_checkpoint
from ledger.store.seal import SealBroken, load_tree, seal, sealed_size
from tests.running import Databases
from tests.sealing.signing import NOW, ORIGIN, Signing, append, change, cursor_on


def attend(database_url: str, signing: Signing, page: int = 100_000) -> Tree:
    """Seals a page and has a notary attend that has just started."""
    with cursor_on(database_url) as cursor:
        with cursor.connection.transaction():
            tree = seal(cursor, page)
        signing.notary().attend(cursor, tree)
        return tree


def test_signs_what_has_grown(database_url: str, signing: Signing) -> None:
    """Into the file and the database; not twice, and nothing of an empty log."""
    attend(database_url, signing)
    assert signing.kept() == []
    for last in (1, 300, 300):
        if last not in [one.size for one in signing.kept()]:
            append(database_url, max(signing.newest(), 0) + 1, last)
        tree = attend(database_url, signing)
        assert signing.checkpoints()[-1] == Checkpoint(ORIGIN, last, tree.root())
    assert [one.size for one in signing.kept()] == [1, 300]
    with cursor_on(database_url) as cursor:
        assert newest_checkpoint(cursor) == signing.kept()[-1]
    assert signing.kept()[-1].signed_at == NOW


def test_not_more_than_one_a_second(database_url: str, signing: Signing) -> None:
    """One notary waits its time; what came meanwhile is in the next checkpoint."""
    notary = signing.notary()
    with cursor_on(database_url) as cursor:
        for last in (1, 2, 3):
            append(database_url, last, last)
            with cursor.connection.transaction():
                tree = seal(cursor, 10)
            notary.attend(cursor, tree)
        wait_s = notary.wait_s(3)
    assert signing.newest() == 1
    assert wait_s is not None
    assert 0 < wait_s <= 1
    assert notary.wait_s(1) is None


def test_rolled_back_database(databases: Databases, signing: Signing) -> None:
    """A database that was put back to a backup: refused, with both positions, also when it has grown again."""
    name = databases.create()
    append(databases.url(name), 1, 10)
    attend(databases.url(name), signing)
    backup = databases.url(databases.create(name))
    append(databases.url(name), 11, 20)
    attend(databases.url(name), signing)
    kept = signing.checkpoint_file.read_text("utf-8")
    for first, last in ((1, 0), (11, 15)):
        append(backup, first, last)
        with pytest.raises(
            SealBroken, match="has lost events: it is smaller than the checkpoint of 20 events"
        ) as broken:
            attend(backup, signing)
        assert broken.value.position == max(last, 10) + 1
    for last in (20, 40):
        append(backup, 16 if last == 20 else 21, last)
        with pytest.raises(SealBroken, match="events up to 20, or their hashes, are not those of the checkpoint"):
            attend(backup, signing)
    assert signing.checkpoint_file.read_text("utf-8") == kept
    with cursor_on(backup) as cursor:
        newest = newest_checkpoint(cursor)
    assert newest is not None
    assert newest.size == 10


def test_the_database_alone_is_compared_too(database_url: str, signing: Signing, tmp_path: Path) -> None:
    """Without the file, which is another machine's, the newest checkpoint of the database counts."""
    append(database_url, 1, 20)
    attend(database_url, signing)
    change(database_url, "DELETE FROM events WHERE notification_id > 9", "DELETE FROM log_tiles")
    change(database_url, "UPDATE log_seal SET size = 0")
    elsewhere = signing._replace(checkpoint_file=tmp_path / "elsewhere.jsonl")
    with pytest.raises(
        SealBroken, match=r"the log ends at 9 .* of 20 events signed at 2020-01-01T00:00:00Z in the data"
    ):
        attend(database_url, elsewhere)
    assert elsewhere.kept() == []


def test_a_changed_event_that_was_sealed_anew(database_url: str, signing: Signing) -> None:
    """Whoever changes an event, and the tree with it, is found by the checkpoint."""
    append(database_url, 1, 20)
    attend(database_url, signing)
    change(
        database_url,
        "UPDATE events SET state = '\\x00' WHERE notification_id = 4",
        "DELETE FROM log_tiles",
        "UPDATE log_seal SET size = 0",
    )
    with pytest.raises(SealBroken, match="events up to 20, or their hashes") as broken:
        attend(database_url, signing)
    assert broken.value.position == 20


def test_a_changed_checkpoint(database_url: str, signing: Signing) -> None:
    """Another root, size or signer in the database or the file: refused, and the part is named."""
    append(database_url, 1, 20)
    attend(database_url, signing)
    kept = signing.kept()[0]
    other = sign(Checkpoint(ORIGIN, 20, leaf_hash(b"")).text, [Signer.generate(ORIGIN)])
    for note, says in (
        (kept.note.replace("20\n", "19\n"), "the signature of .* is wrong"),
        (other, "no key that is trusted"),
        ("", "no note"),
    ):
        change(database_url, f"UPDATE log_checkpoints SET note = '{note}'")
        with pytest.raises(SealBroken, match=f"in the database, of 20 events: .*{says}"):
            attend(database_url, signing)
    change(database_url, f"UPDATE log_checkpoints SET note = '{kept.note}', size = 19")
    with pytest.raises(SealBroken, match="was signed for 20 events, not for 19"):
        attend(database_url, signing)
    change(database_url, "UPDATE log_checkpoints SET size = 20")
    append(database_url, 21, 22)
    text = signing.checkpoint_file.read_text("utf-8")
    for damaged in (text.replace('"size"', '"sise"'), text[:-9] + "\n"):
        signing.checkpoint_file.write_text(damaged, "utf-8")
        with pytest.raises(SealBroken, match=r"the last line of .* is not what was written"):
            attend(database_url, signing)
    signing.checkpoint_file.write_text(text, "utf-8")
    attend(database_url, signing)
    assert signing.newest() == 22


def test_a_damaged_tile(database_url: str, signing: Signing) -> None:
    """A tile at the edge that was changed gives another root; nothing is signed."""
    append(database_url, 1, 300)
    attend(database_url, signing)
    change(
        database_url, "UPDATE log_tiles SET hashes = set_byte(hashes, 40, 1 - get_byte(hashes, 40) % 2) WHERE index = 1"
    )
    append(database_url, 301, 301)
    with pytest.raises(SealBroken, match="events up to 300, or their hashes"):
        attend(database_url, signing)
    assert signing.newest() == 300


def test_what_a_crash_leaves(database_url: str, signing: Signing) -> None:
    """Between the file and the database; in the middle of a line; and with the last seals lost: it goes on."""
    append(database_url, 1, 20)
    attend(database_url, signing)
    change(database_url, "DELETE FROM log_checkpoints", "DELETE FROM log_tiles", "UPDATE log_seal SET size = 0")
    assert attend(database_url, signing, page=5).size == 5, "not refused: the log is there, and is sealed again"
    attend(database_url, signing)
    with cursor_on(database_url) as cursor:
        assert newest_checkpoint(cursor) == signing.kept()[-1]
        assert sealed_size(cursor) == 20
    assert len(signing.kept()) == 1
    with signing.checkpoint_file.open("a", encoding="utf-8") as file:
        file.write('{"signed_at": "2020-')
    append(database_url, 21, 21)
    attend(database_url, signing)
    assert signing.newest() == 21


def test_rotation(database_url: str, signing: Signing) -> None:
    """From the next checkpoint on both keys sign; a retired key signs no more, and what it signed still counts."""
    first = signing.keys.verifiers[0]
    append(database_url, 1, 1)
    attend(database_url, signing)
    replace_keys(signing.key_file, signing.keys.rotated())
    append(database_url, 2, 2)
    attend(database_url, signing)  # which records the new key as event 3
    replace_keys(signing.key_file, signing.keys.without_old())
    append(database_url, 4, 4)
    attend(database_url, signing)  # and the end of the old one as event 5
    signatures = [one.note.count("\u2014") for one in signing.kept()]
    assert signatures == [1, 2, 1]
    assert len(signing.checkpoints()) == 3
    current = signing.keys.verifiers[0]
    assert first.key_id.hex() not in signing.keys.signers[0].encode()
    assert signing.keys.verifiers == (current, first)
    assert rotations(database_url) == [{"began": str(current)}, {"ended": str(first)}]


def rotations(database_url: str) -> list[dict[str, str]]:
    """What the log says of other keys."""
    with cursor_on(database_url) as cursor:
        rows = cursor.execute("SELECT state FROM events WHERE topic = 'audit/1' ORDER BY notification_id").fetchall()
    entries = [entry for (state,) in rows for entry in AuditRecorded.FromString(state).request.entries]
    assert {(one.actor, one.method, one.resource) for one in entries} == {
        ("server", "loyalty log rotate", f"keys/{ORIGIN}")
    }
    return [dict(one.details) for one in entries]


def test_a_key_that_cannot_be_used(database_url: str, signing: Signing) -> None:
    """It is no fault of the log: signing goes on when the key is right again."""
    append(database_url, 1, 5)
    signing.key_file.chmod(0o644)
    with pytest.raises(KeysInvalid, match="chmod 600"):
        attend(database_url, signing)
    signing.key_file.chmod(0o600)
    attend(database_url, signing)
    assert signing.newest() == 5


def test_an_old_tree_is_had_back(database_url: str, signing: Signing) -> None:
    """The root of each checkpoint is that of the tree at its size, however much was sealed since."""
    for last in (3, 256, 700):
        append(database_url, signing.newest() + 1, last)
        attend(database_url, signing)
    with cursor_on(database_url) as cursor:
        assert [load_tree(cursor, one.size).root() for one in signing.checkpoints()] == [
            one.root for one in signing.checkpoints()
        ]
