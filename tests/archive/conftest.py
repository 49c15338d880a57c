"""One ledger for all tests, which archive copies of it."""

import pytest

from tests.archive.lived import Lived, live
from tests.running import Databases


@pytest.fixture(scope="package")
def once(databases: Databases) -> Lived:
    """The ledger that copies are made of."""
    return live(databases)


@pytest.fixture
def lived(once: Lived, databases: Databases) -> Lived:
    """A copy."""
    return once.copied(databases)
