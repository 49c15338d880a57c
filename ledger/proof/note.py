"""Signed notes and checkpoints by Ed25519, as C2SP defines them: c2sp.org/signed-note, c2sp.org/tlog-checkpoint."""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.proof.merkle import HASH_BYTES

_ED25519: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_SEED_BYTES: Final = 32
_PREFIX: Final = "\u2014 "  # an em dash begins each line with a signature
_SIZE: Final = re.compile("0|[1-9][0-9]{0,18}").fullmatch
_PRIVATE: Final = "PRIVATE+KEY+"


class NoteInvalid(Exception):
    """A note, key or checkpoint is not what it should be. The message says which part is wrong."""


@dataclass(frozen=True)
class Verifier:
    """A public key and whose it is."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        """What signature lines call the key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """The verifier of a text like `name+hash+key`. Raises NoteInvalid."""
        parts = text.strip().split("+", 2)
        what = "a public key has the form name+hash+key, as `loyalty log key` prints it"
        if len(parts) != len(("name", "hash", "key")):
            raise NoteInvalid(what)
        key = _decode(parts[2], what)
        verifier = cls(_checked_name(parts[0]), key[1:])
        if key[:1] != _ED25519 or len(key) != 1 + _SEED_BYTES or parts[1] != verifier.key_id.hex():
            raise NoteInvalid(f"{what}; this one is not complete or has been changed")
        return verifier

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether the signature of a text is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key and whose it is."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._seed = seed
        self.verifier = Verifier(_checked_name(name), self._private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> "Signer":
        """A new key."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "Signer":
        """The signer that `encode` wrote. Raises NoteInvalid; the message does not tell the key."""
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        key_id, _, encoded = rest.partition("+")
        key = _decode(encoded, "the private key cannot be read")
        if not text.startswith(_PRIVATE) or key[:1] != _ED25519 or len(key) != 1 + _SEED_BYTES:
            raise NoteInvalid("the private key is not complete")
        signer = cls(name, key[1:])
        if signer.verifier.key_id.hex() != key_id:
            raise NoteInvalid("the private key has been changed")
        return signer

    def encode(self) -> str:
        """The private key as a text, for a file that only its owner reads."""
        key = b64encode(_ED25519 + self._seed).decode()
        return f"{_PRIVATE}{self.verifier.name}+{self.verifier.key_id.hex()}+{key}"

    def line(self, text: str) -> str:
        """The line with the signature of a text."""
        signature = b64encode(self.verifier.key_id + self._private.sign(text.encode())).decode()
        return f"{_PREFIX}{self.verifier.name} {signature}\n"


def sign(text: str, signers: Iterable[Signer]) -> str:
    """A note: a text, which ends with a line end, and its signatures."""
    if not text.endswith("\n"):
        raise NoteInvalid("the text of a note ends with a line end")
    return text + "\n" + "".join(signer.line(text) for signer in signers)


def open_note(note: str, verifiers: Sequence[Verifier]) -> str:
    """The text of a note that at least one of the verifiers has signed. Signatures of other keys are passed over.

    Raises NoteInvalid where there is none, or where a signature of one of them is wrong.
    """
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise NoteInvalid("the note has no signatures: it is cut short or no note")
    text += "\n"
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signed = False
    for line in lines.splitlines():
        name, signature = _signature(line)
        verifier = known.get((name, signature[:_KEY_ID_BYTES]))
        if verifier is None:
            continue
        if not verifier.verifies(text, signature[_KEY_ID_BYTES:]):
            raise NoteInvalid(f"the signature of {name} is wrong: the note has been changed")
        signed = True
    if not signed:
        raise NoteInvalid("no key that is trusted has signed the note")
    return text


def signed_by(note: str, verifiers: Iterable[Verifier]) -> set[Verifier]:
    """Those of some verifiers who have a signature on a note that was opened. Raises NoteInvalid."""
    keys = {
        (name, signature[:_KEY_ID_BYTES])
        for name, signature in map(_signature, note.rpartition("\n\n")[2].splitlines())
    }
    return {verifier for verifier in verifiers if (verifier.name, verifier.key_id) in keys}


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not name:
        raise NoteInvalid("a line with a signature cannot be read")
    signature = _decode(encoded, "a signature cannot be read")
    if len(signature) <= _KEY_ID_BYTES:
        raise NoteInvalid("a signature is too short")
    return name, signature


class Checkpoint(NamedTuple):
    """What a log says of itself: so many leaves, and this root."""

    origin: str
    """The log's name, for ever."""
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """The checkpoint that a note's text says; lines behind the third are passed over. Raises NoteInvalid."""
        lines = text.split("\n")
        if len(lines) <= len(("origin", "size", "root")) or not lines[0]:
            raise NoteInvalid("a checkpoint has three lines: origin, size and root")
        size, root = lines[1], _decode(lines[2], "the root of the checkpoint cannot be read")
        if _SIZE(size) is None:
            raise NoteInvalid("the size of the checkpoint is not a number")
        if len(root) != HASH_BYTES:
            raise NoteInvalid("the root of the checkpoint is not complete")
        return cls(lines[0], int(size), root)


def open_checkpoint(note: str, verifiers: Sequence[Verifier], origin: str | None = None) -> Checkpoint:
    """The checkpoint of a note that one of the verifiers has signed, of the log of that name where one is given.

    Raises NoteInvalid.
    """
    checkpoint = Checkpoint.parse(open_note(note, verifiers))
    if origin is not None and checkpoint.origin != origin:
        raise NoteInvalid(f"the checkpoint is of another log: {checkpoint.origin!r} where {origin!r} was expected")
    return checkpoint


def open_own_checkpoint(note: str, verifiers: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint of a note that the log itself has signed: its keys have its name.

    Keys of witnesses may be among the verifiers: what they have signed must be right, and is not enough.

    Raises NoteInvalid.
    """
    checkpoint = open_checkpoint(note, verifiers)
    if not signed_by(note, [one for one in verifiers if one.name == checkpoint.origin]):
        raise NoteInvalid(f"no key of the log {checkpoint.origin} that is trusted has signed the note")
    return checkpoint


def _checked_name(name: str) -> str:
    if not name or "+" in name or any(character.isspace() for character in name):
        raise NoteInvalid("the name of a key has no spaces and no plus sign")
    return name


def _decode(text: str, what: str) -> bytes:
    try:
        content = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteInvalid(what) from None
    if b64encode(content).decode() != text:  # the bits behind the last byte could be any
        raise NoteInvalid(what)
    return content
