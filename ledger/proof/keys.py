"""The file with a log's keys: who signs its checkpoints now, and who did before.

One key a line. Private keys sign, the first of them is the current one. Public keys are those of former times: they
sign no more, and what they have signed is still trusted.
"""

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from ledger.proof.note import NoteInvalid, Signer, Verifier

OWNER_ONLY: Final = 0o600


class KeysInvalid(Exception):
    """The key file cannot be used. The message says what to do and does not tell a key."""


class Keys(NamedTuple):
    """A log's keys. All have one name, which is the log's origin."""

    signers: tuple[Signer, ...]
    """Who signs; the current key first."""
    retired: tuple[Verifier, ...] = ()
    """Whose former signatures are trusted."""

    @property
    def origin(self) -> str:
        """The log's name, for ever."""
        return self.signers[0].verifier.name

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """All public keys, the current one first."""
        return (*(signer.verifier for signer in self.signers), *self.retired)

    def rotated(self) -> "Keys":
        """With a new current key; the others go on signing, for those who do not know the new one yet."""
        return self._replace(signers=(Signer.generate(self.origin), *self.signers))

    def without_old(self) -> "Keys":
        """With the current key as the only one that signs."""
        current, *old = self.signers
        return Keys((current,), (*(signer.verifier for signer in old), *self.retired))


NO_KEYS: Final = Keys(())
"""Of who signs nothing and trusts nobody."""


def read_keys(path: Path, origin: str | None = None) -> Keys:
    """The keys of a file, which nobody but its owner may read, for the log of that name where one is given.

    Raises KeysInvalid.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            lines = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise KeysInvalid(f"the key file {path} cannot be read: {error}") from None
    if mode & ~OWNER_ONLY:
        raise KeysInvalid(f"others may read the key file {path}: run `chmod 600 {path}`")
    try:
        signers = tuple(Signer.parse(line) for line in lines if line.startswith("PRIVATE"))
        retired = tuple(Verifier.parse(line) for line in lines if not line.startswith("PRIVATE"))
    except NoteInvalid as error:
        raise KeysInvalid(f"the key file {path} is damaged: {error}") from None
    if not signers:
        raise KeysInvalid(f"the key file {path} has no private key: make one with `loyalty log new-key`")
    keys = Keys(signers, retired)
    names = {verifier.name for verifier in keys.verifiers} | ({origin} if origin is not None else set())
    if len(names) > 1:
        raise KeysInvalid(f"the key file {path} is of more than one log: {', '.join(sorted(names))}")
    return keys


def create_keys(path: Path, keys: Keys) -> None:
    """Writes a new file. Raises KeysInvalid where there is one, since a key that is overwritten is lost for ever."""
    try:
        _write(path, keys)
    except FileExistsError:
        raise KeysInvalid(f"there is a key file {path} already: rotate it with `loyalty log rotate`") from None
    except OSError as error:
        raise KeysInvalid(f"the key file {path} cannot be written: {error}") from None


def replace_keys(path: Path, keys: Keys) -> None:
    """Puts a new file in the place of the old one: readers see either, and never a part. Raises KeysInvalid."""
    beside = path.with_name(f"{path.name}.new")
    try:
        _write(beside, keys)
        beside.replace(path)
    except FileExistsError:
        raise KeysInvalid(f"a rotation was cut short: compare {beside} with {path}, and remove the former") from None
    except OSError as error:
        raise KeysInvalid(f"the key file {path} cannot be written: {error}") from None


def _write(path: Path, keys: Keys) -> None:
    lines = [*(signer.encode() for signer in keys.signers), *(str(verifier) for verifier in keys.retired)]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(descriptor)
