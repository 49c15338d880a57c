"""The key file: whose it is, who may read it, and how keys follow each other."""

from pathlib import Path

import pytest

from ledger.proof.keys import Keys, KeysInvalid, create_keys, read_keys, replace_keys
from ledger.proof.note import Signer

OURS = Signer("shop.example/loyalty", bytes(range(32)))
NEXT = Signer("shop.example/loyalty", bytes(range(1, 33)))
OTHER = Signer("other.example", bytes(range(2, 34)))


def public(keys: Keys) -> list[str]:
    """The public keys, which say all that counts."""
    return [str(verifier) for verifier in keys.verifiers]


def test_written_and_read(tmp_path: Path) -> None:
    """All keys come back in order, from a file for its owner only."""
    path = tmp_path / "log.key"
    keys = Keys((NEXT, OURS), (Signer.generate(OURS.verifier.name).verifier,))
    create_keys(path, keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public(read_keys(path, "shop.example/loyalty")) == public(keys)
    with pytest.raises(KeysInvalid, match="already"):
        create_keys(path, keys)
    assert public(read_keys(path)) == public(keys)


def test_rotation(tmp_path: Path) -> None:
    """The new key is the current one; the old one signs until it is retired, and is known for ever."""
    path = tmp_path / "log.key"
    create_keys(path, Keys((OURS,)))
    replace_keys(path, read_keys(path).rotated())
    both = read_keys(path)
    assert len(both.signers) == 2
    assert public(both)[1] == str(OURS.verifier)
    replace_keys(path, both.without_old())
    alone = read_keys(path)
    assert len(alone.signers) == 1
    assert public(alone) == public(both)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["log.key"]


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (OURS.encode(), 0o644, "chmod 600"),
        (OURS.encode(), 0o620, "chmod 600"),
        ("", 0o600, "no private key"),
        (str(OURS.verifier), 0o600, "no private key"),
        (OURS.encode()[:-4], 0o600, "is damaged"),
        ("PRIVATE", 0o600, "is damaged"),
        (f"{OURS.encode()}\nhello", 0o600, "is damaged"),
        (f"{OURS.encode()}\n{OTHER.encode()}", 0o600, "more than one log: other.example, shop.example/loyalty"),
        (f"{OURS.encode()}\n{OTHER.verifier}", 0o600, "more than one log"),
        (OTHER.encode(), 0o600, "more than one log"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, mode: int, says: str) -> None:
    """Each is refused with what to do, and no message tells the key."""
    path = tmp_path / "log.key"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    with pytest.raises(KeysInvalid, match=says) as caught:
        read_keys(path, "shop.example/loyalty")
    assert OURS.encode()[-20:] not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    """A path with nothing there, or where nothing can be written."""
    with pytest.raises(KeysInvalid, match="cannot be read"):
        read_keys(tmp_path / "log.key")
    with pytest.raises(KeysInvalid, match="cannot be written"):
        create_keys(tmp_path / "none" / "log.key", Keys((OURS,)))


def test_a_rotation_that_was_cut_short(tmp_path: Path) -> None:
    """What it left is not overwritten: it may hold a key that has signed."""
    path = tmp_path / "log.key"
    create_keys(path, Keys((OURS,)))
    create_keys(tmp_path / "log.key.new", Keys((NEXT, OURS)))
    with pytest.raises(KeysInvalid, match="cut short"):
        replace_keys(path, Keys((OURS,)))
