"""Signed notes and checkpoints: what is trusted, and what is wrong with everything else."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proof.merkle import leaf_hash
from ledger.proof.note import Checkpoint, NoteInvalid, Signer, Verifier, open_checkpoint, open_note, sign

ORIGIN = "shop.example/loyalty"
OURS = Signer(ORIGIN, bytes(range(32)))
NEXT = Signer(ORIGIN, bytes(range(1, 33)))
WITNESS = Signer("witness.example", bytes(range(2, 34)))
CHECKPOINT = Checkpoint(ORIGIN, 20_852_163, leaf_hash(b"root"))
NOTE = sign(CHECKPOINT.text, [OURS])


def test_published_key() -> None:
    """The key, name and signed note of the specification's reference implementation, golang.org/x/mod/sumdb/note."""
    peter = Verifier.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    assert open_note(f"{text}\n\u2014 PeterNeumann {signature}\n", [peter]) == text
    with pytest.raises(NoteInvalid, match="has been changed"):
        open_note(f"{text.replace('you', 'we')}\n\u2014 PeterNeumann {signature}\n", [peter])


def test_a_checkpoint_is_read_as_written() -> None:
    """Origin, size and root come back; the key's text names it."""
    assert open_checkpoint(NOTE, [Verifier.parse(str(OURS.verifier))], ORIGIN) == CHECKPOINT
    assert Signer.parse(OURS.encode()).verifier == OURS.verifier
    assert NOTE.startswith(f"{ORIGIN}\n20852163\n{b64encode(CHECKPOINT.root).decode()}\n\n\u2014 {ORIGIN} ")


def test_rotation_and_witnesses() -> None:
    """Who trusts either key, or a witness, opens a note that all have signed; other signatures are passed over."""
    note = sign(CHECKPOINT.text, [OURS, NEXT, WITNESS])
    for signer in (OURS, NEXT, WITNESS):
        assert open_checkpoint(note, [signer.verifier]) == CHECKPOINT
    with pytest.raises(NoteInvalid, match="no key that is trusted"):
        open_checkpoint(NOTE, [NEXT.verifier])


def test_a_checkpoint_of_another_log() -> None:
    """A checkpoint that the key has signed for another log is not taken for this one's."""
    with pytest.raises(NoteInvalid, match="another log"):
        open_checkpoint(sign(CHECKPOINT._replace(origin="other").text, [OURS]), [OURS.verifier], ORIGIN)


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_no_change_goes_unnoticed(at: int, character: str) -> None:
    """One character of a note changed: it opens no more, or says the same."""
    changed = NOTE[:at] + character + NOTE[at + 1 :]
    try:
        opened = open_checkpoint(changed, [OURS.verifier], ORIGIN)
    except NoteInvalid:
        return
    assert opened == CHECKPOINT


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever is not a note, key or checkpoint is refused with a sentence."""
    for read in (lambda: open_note(text, [OURS.verifier]), lambda: Verifier.parse(text), lambda: Signer.parse(text)):
        with pytest.raises(NoteInvalid):
            read()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("log\n5\n", "three lines"),
        (f"log\n05\n{b64encode(bytes(32)).decode()}\n", "not a number"),
        (f"log\n-1\n{b64encode(bytes(32)).decode()}\n", "not a number"),
        (f"log\n{'9' * 5_000}\n{b64encode(bytes(32)).decode()}\n", "not a number"),
        (f"log\n5\n{b64encode(bytes(31)).decode()}\n", "not complete"),
        ("log\n5\n!\n", "cannot be read"),
    ],
)
def test_checkpoints_that_are_none(text: str, what: str) -> None:
    """Each part that is wrong is named."""
    with pytest.raises(NoteInvalid, match=what):
        open_checkpoint(sign(text, [OURS]), [OURS.verifier])
