"""The journal balances every day, and its liability is the liability."""

from collections import Counter
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from ledger.books.journal import journal
from ledger.books.line import Line
from ledger.books.roll_forward import roll_forward, worth

LINES = st.lists(
    st.builds(
        Line,
        st.sampled_from(["", "2025-01", "2025-02"]),
        st.dates(date(2025, 1, 1), date(2025, 1, 9)),
        st.integers(0, 900),
        st.integers(0, 90),
        st.integers(0, 90),
        st.integers(-90, 90),
        st.integers(-900, 0),
        st.integers(-90, 0),
        st.integers(-90, 0),
    ),
    max_size=30,
    unique_by=lambda line: (line.period, line.vintage),
).map(lambda lines: sorted(lines, key=lambda line: (line.period, line.vintage)))


@given(LINES, st.integers(0, 5_000))
def test_debit_is_credit_on_every_day_and_in_every_document(lines: list[Line], price: int) -> None:
    """In points and in money; the account `liability` comes to what members hold."""
    points: Counter[object] = Counter()
    money: Counter[object] = Counter()
    liability: Counter[tuple[str, str]] = Counter()
    for entry in journal("programs/shop", lines, price):
        assert 0 in (entry.debit_points, entry.credit_points)
        for key in (entry.day, entry.document):
            points[key] += entry.debit_points - entry.credit_points
            money[key] += entry.debit_minor - entry.credit_minor
        if entry.account == "liability":
            liability["points", entry.vintage] += entry.credit_points - entry.debit_points
            liability["money", entry.vintage] += entry.credit_minor - entry.debit_minor
    assert not any(points.values())
    assert not any(money.values())
    closing = {rolled.line.vintage: rolled.closing for rolled in roll_forward(lines)}
    for vintage, held in closing.items():
        assert liability["points", vintage] == held
        assert liability["money", vintage] == worth(held, price)


@given(LINES, st.dates(date(2025, 1, 1), date(2025, 1, 9)))
def test_a_part_is_the_same_as_the_same_part_of_the_whole(lines: list[Line], day: date) -> None:
    """A day that is exported again has the same documents with the same amounts, whatever is exported with it."""
    whole = list(journal("programs/shop", lines, 333))
    assert [e for e in whole if e.day < day] == list(journal("programs/shop", lines, 333, until=day))
    assert [e for e in whole if e.day >= day] == list(journal("programs/shop", lines, 333, day))
    assert len({(entry.document, entry.account) for entry in whole}) == len(whole)


def test_a_document() -> None:
    """10 points issued at 2.50 for 1,000 are 0.02: half a cent goes to the even one."""
    debit, credit = journal("programs/shop", [Line("2025-01", date(2025, 1, 3), issued=10)], 2_50)
    assert debit == ("shop-20250103-2025-01-issued", date(2025, 1, 3), "issued", "2025-01", 10, 0, 2, 0)
    assert credit == ("shop-20250103-2025-01-issued", date(2025, 1, 3), "liability", "2025-01", 0, 10, 0, 2)
