"""Which version of a program decides at an instant."""

from loyalty.v1.program_pb2 import Program as Definition

from ledger.domain.instant import set_timestamp
from ledger.domain.program import Program
from ledger.domain.versions import SCHEDULED_MAX, Versions


def version(number: int, starts_at: int = 0) -> Program:
    """A version that begins at an instant; 0 for at once."""
    definition = Definition(name="programs/p", version=number, time_zone="UTC")
    if starts_at:
        set_timestamp(definition.starts_at, starts_at)
    return Program(definition)


def test_the_newest_that_has_begun_decides() -> None:
    """Starts are inclusive, and a version may begin before the one that it follows."""
    versions = Versions(version(1))
    for number, starts_at in ((2, 100), (3, 300), (4, 200)):
        versions = Versions(version(number, starts_at), versions)
    found = {at: versions.at(at).version for at in (0, 99, 100, 199, 200, 300, 10**9)}
    assert found == {0: 1, 99: 1, 100: 2, 199: 2, 200: 4, 300: 4, 10**9: 4}
    assert versions.newest.version == 4
    assert {Versions(version(5), versions).at(at).version for at in (0, 10**9)} == {5}


def test_so_many_may_wait() -> None:
    """One that begins at once makes room."""
    versions = Versions(version(1))
    for number in range(SCHEDULED_MAX):
        assert not versions.is_full
        versions = Versions(version(number + 2, 100 + number), versions)
    assert versions.is_full
    assert not Versions(version(200), versions).is_full
