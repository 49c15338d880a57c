"""A key and a file of checkpoints for each test."""

from pathlib import Path

import pytest

from tests.sealing.signing import Signing, signing_in


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    """A new key, and no checkpoint yet."""
    return signing_in(tmp_path)
