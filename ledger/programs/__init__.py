"""Complete programs to start from: a grocer's, a fashion shop's with tiers, and a coffee bar's stamps."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def names() -> list[str]:
    """The examples by name."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def find(name: str) -> Path:
    """The file of an example, or a file of that name. Raises FileNotFoundError where there is neither."""
    example = FOLDER / f"{name}.yaml"
    if name in names():
        return example
    if not Path(name).is_file():
        raise FileNotFoundError(f"{name} is neither a file nor one of {', '.join(names())}")
    return Path(name)
