"""What is wrong at the first position whose event is not the one that the tree has there."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ledger.proof.event_file import NO_HASH, hashes_in
from ledger.proof.finding import Finding
from ledger.proof.manifest import ExportedFile, Manifest
from ledger.proof.merkle import HASH_BYTES
from ledger.proof.tile_files import TileFiles
from ledger.proof.tree import TILE_NODES

_FILES_KEPT: Final = 4


class Diagnosis(ABC):
    """Compares rows with tiles that are known to be right. A place is where a row is, counted in positions."""

    def at(self, position: int) -> Finding:
        """What is wrong at a position, which must be the first of its file at which anything is."""
        found, true = self._row(position), self._leaf(position)
        if found is None:
            return Finding("missing", f"the events from here to position {self._missing_to(position)}", position)
        if true is None:
            return Finding("inserted", "an event stands behind the last of its file", position)
        belongs = self._position_of(found) if found != NO_HASH else None
        stands = self._place_of(true, position, belongs)
        if belongs is None:
            return self._foreign(position, stands)
        if belongs < position:
            return self._repeated(position, belongs, stands)
        return self._later(position, belongs, stands, found)

    def _foreign(self, position: int, stands: int | None) -> Finding:
        if stands is not None and stands > position:
            return Finding("inserted", _several(stands - position, "an event that the log does not have"), position)
        return Finding("changed", "the event is not the one that was sealed here", position)

    def _repeated(self, position: int, belongs: int, stands: int | None) -> Finding:
        if stands is not None and stands > position:
            return Finding("inserted", f"a copy of event {belongs}", position)
        return Finding("changed", f"a copy of event {belongs} stands in its place", position)

    def _later(self, position: int, belongs: int, stands: int | None, found: bytes) -> Finding:
        if stands is None:
            if self._row(belongs) == found:
                return Finding("changed", f"a copy of event {belongs} stands in its place", position)
            return Finding("missing", _several(belongs - position, "an event has been removed"), position)
        if (after := self._leaf(position + 1)) is not None and self._row(stands + 1) == after:
            return Finding("inserted", f"a copy of event {belongs}", position)
        return Finding("swapped", f"event {belongs} stands here, and event {position} at position {stands}", position)

    @abstractmethod
    def _row(self, place: int) -> bytes | None:
        """The hash of the row at a place; None where there is no row, NO_HASH where it is no event."""

    @abstractmethod
    def _missing_to(self, place: int) -> int:
        """The last place of those from one on at which there is no row."""

    @abstractmethod
    def _leaf(self, position: int) -> bytes | None:
        """The hash that the tree has at a position; None behind its end."""

    @abstractmethod
    def _place_of(self, leaf: bytes, position: int, belongs: int | None) -> int | None:
        """Where the event of a position stands; `belongs` is where the one in its place should."""

    @abstractmethod
    def _position_of(self, leaf: bytes) -> int | None:
        """The position that an event of that hash has in the log."""


class ExportDiagnosis(Diagnosis):
    """Of an export, by its tiles."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._tiles = TileFiles(folder, manifest.tree_size)
        self._hashes: dict[int, list[bytes]] = {}

    def _missing_to(self, place: int) -> int:
        return self._file(place).last_position

    def _file(self, position: int) -> ExportedFile:
        files = self._manifest.files
        return next((file for file in files if file.last_position >= position), files[-1])

    def _files_near(self, position: int, belongs: int | None) -> Sequence[ExportedFile]:
        """Where the event of a position may have gone: to another place of its file, one file on, or in exchange."""
        at = self._manifest.files.index(self._file(position))
        files = list(self._manifest.files[at : at + 2])
        if belongs is not None:
            files.append(self._file(belongs))
        return files

    def _row(self, place: int) -> bytes | None:
        file = self._file(place)
        hashes = self._of(file)
        at = place - file.first_position
        return hashes[at] if 0 <= at < len(hashes) else None

    def _place_of(self, leaf: bytes, position: int, belongs: int | None) -> int | None:
        for file in self._files_near(position, belongs):
            if leaf in (hashes := self._of(file)):
                return file.first_position + hashes.index(leaf)
        return None

    def _of(self, file: ExportedFile) -> list[bytes]:
        if file.first_position not in self._hashes:
            while len(self._hashes) >= _FILES_KEPT:
                del self._hashes[next(iter(self._hashes))]
            self._hashes[file.first_position] = hashes_in(self._folder, file, self._manifest.format)
        return self._hashes[file.first_position]

    def _leaf(self, position: int) -> bytes | None:
        if position > self._manifest.tree_size:
            return None
        index, at = divmod(position - 1, TILE_NODES)
        tile = self._tiles.read((0, index))
        return tile[at * HASH_BYTES : (at + 1) * HASH_BYTES] if tile is not None else None

    def _position_of(self, leaf: bytes) -> int | None:
        """Among those that the export has tiles of."""
        begin = (self._manifest.first_position - 1) // TILE_NODES
        for index in range(begin, -(-self._manifest.last_position // TILE_NODES)):
            tile = self._tiles.read((0, index)) or b""
            if (at := place_in_tile(tile, leaf)) is not None:
                return index * TILE_NODES + at + 1
        return None


def place_in_tile(tile: bytes, leaf: bytes) -> int | None:
    """Which of the hashes of a tile it is."""
    at = tile.find(leaf)
    while at % HASH_BYTES and at >= 0:
        at = tile.find(leaf, at + 1)
    return at // HASH_BYTES if at >= 0 else None


def _several(count: int, what: str) -> str:
    return what if count == 1 else f"{what}, {count} in all"
