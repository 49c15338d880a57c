"""Arrays that are packed at once have the bytes of those that are packed one by one."""

import pytest

from ledger.store.arrays import MANY, BigintArray, TextArray, _BigintDumper, _TextDumper

LEAST, MOST = -(2**63), 2**63 - 1


@pytest.mark.parametrize("count", [0, 1, MANY - 1, MANY, 1_000])
def test_numbers(count: int) -> None:
    """Negative ones and the largest included, however many there are."""
    numbers = ([LEAST, -1, 0, 1, 258, MOST] * count)[:count]
    packed = b"".join(_BigintDumper(BigintArray).pack(numbers))
    assert packed == b"".join((8).to_bytes(4, "big") + one.to_bytes(8, "big", signed=True) for one in numbers)


def test_texts_that_are_the_same_and_none() -> None:
    """In their order."""
    packed = _TextDumper(TextArray).pack(["ä", None, "", "ä"])
    assert packed == [b"\0\0\0\2\xc3\xa4", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\2\xc3\xa4"]
