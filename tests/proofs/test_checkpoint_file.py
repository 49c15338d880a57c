"""The file of checkpoints: only appended to, and read from its end."""

from pathlib import Path

import pytest

from ledger.proof.checkpoint_file import CheckpointFile, CheckpointFileDamaged, SignedCheckpoint


def kept(size: int) -> SignedCheckpoint:
    """Some checkpoint."""
    return SignedCheckpoint(1_577_836_800_000_001 + size, size, f"log\n{size}\nroot\n\n\u2014 log c2ln\n")


@pytest.fixture
def file(tmp_path: Path) -> CheckpointFile:
    """A file that is not there yet."""
    return CheckpointFile(tmp_path / "checkpoints.jsonl")


def test_appended_and_read(file: CheckpointFile) -> None:
    """The newest is the last, also in a file of many; what is there stays."""
    assert file.newest() is None
    before = b""
    for size in range(1, 2_000):
        file.append(kept(size))
        if size in (1, 1_999):
            assert file.newest() == kept(size)
            assert file.path.read_bytes().startswith(before)
            before = file.path.read_bytes()
    lines = file.path.read_text("utf-8").splitlines()
    assert [SignedCheckpoint.parse(line) for line in lines] == [kept(size) for size in range(1, 2_000)]
    assert '"signed_at": "2020-01-01T00:00:00.000002+00:00"' in lines[0]


def test_a_line_that_was_cut_short(file: CheckpointFile) -> None:
    """At any byte: what is before it is the newest, and the next one goes on a line of its own."""
    file.append(kept(1))
    whole = file.path.read_bytes()
    for cut in (1, 20, len(whole) - 1):
        file.path.write_bytes(whole + whole[:cut])
        assert file.newest() == kept(1)
        file.append(kept(2))
        assert file.newest() == kept(2)
        assert file.path.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    "line", ["{}", "[]", "null", "1", "hello", '{"signed_at": "x", "size": 1, "note": ""}', "\x00"]
)
def test_a_line_that_is_none(file: CheckpointFile, line: str) -> None:
    """It is not passed over: what it said is not known any more."""
    file.append(kept(1))
    with file.path.open("a", encoding="utf-8") as opened:
        opened.write(f"{line}\n")
    with pytest.raises(CheckpointFileDamaged, match="the last line of"):
        file.newest()
