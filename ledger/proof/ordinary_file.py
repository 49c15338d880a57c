"""Files of an export, which may be anything: whoever hands it over may be the one who is audited."""

import stat
from errno import EFBIG, EINVAL
from io import BufferedReader
from pathlib import Path
from typing import Final

SMALL_BYTES_MAX: Final = 64 << 20


def open_ordinary(path: Path) -> BufferedReader:
    """Opens a file. Raises OSError where it is a pipe or a device, whose end would be waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(EINVAL, "no ordinary file")
    return path.open("rb")


def read_small(path: Path) -> bytes:
    """The bytes of an ordinary file. Raises OSError where it is none, or has too many."""
    with open_ordinary(path) as file:
        content = file.read(SMALL_BYTES_MAX + 1)
    if len(content) > SMALL_BYTES_MAX:
        raise OSError(EFBIG, "too large")
    return content


def read_small_text(path: Path) -> str:
    """The same as a text, with its line ends as they are. Raises OSError and UnicodeDecodeError."""
    return read_small(path).decode("utf-8")
