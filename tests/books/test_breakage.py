"""The chain ladder: factors, ultimates and where there is no evidence."""

from datetime import date
from fractions import Fraction

from ledger.books.breakage import breakage
from ledger.books.line import OWED, Line, month_named, month_number


def line(vintage: str, month: str, issued: int = 0, redeemed: int = 0, **fields: int) -> Line:
    """What happened in a month."""
    return Line(vintage, date.fromisoformat(f"{month}-01"), issued=issued, redeemed=-redeemed, **fields)


def rows(*triangle: list[int], issued: int = 1_000) -> list[Line]:
    """Vintages from January 2025 on, with what each redeems in every month of its age."""
    lines = []
    for number, row in enumerate(triangle):
        first = month_number("2025-01") + number
        vintage = month_named(first)
        lines.append(line(vintage, vintage, issued))
        lines += [line(vintage, month_named(first + age), redeemed=points) for age, points in enumerate(row)]
    return lines


def test_the_textbook() -> None:
    """Volume-weighted factors; each vintage is taken to the end of the ladder, with the least evidence on its way."""
    lines = rows([100, 100, 50], [200, 160, 60], [300, 340], [400])
    result = breakage(lines, "2025-05", 2)
    first, second, third = result.factors
    assert (first.value, first.vintages) == (Fraction(200 + 360 + 640, 600), 3)
    assert (second.value, second.vintages) == (Fraction(250 + 420, 560), 2)
    assert (third.from_age, third.vintages) == (2, 1)  # shown, but no evidence
    done = {one.vintage: one for one in result.estimates}
    assert done["2025-01"].ultimate == 250
    assert done["2025-03"].ultimate == round(640 * Fraction(670, 560)) == 766
    assert done["2025-03"].vintages_behind == 2
    assert done["2025-04"].ultimate == round(400 * 2 * Fraction(670, 560)) == 957
    assert done["2025-04"].breakage == 1_000 - 957
    assert not any(one.reason for one in result.estimates)


def test_never_more_than_is_held_and_never_less_than_is_redeemed() -> None:
    """Points that have expired are not redeemed any more; those that have been are."""
    lines = [*rows([100, 900], [100, 900], [100, 900], [500]), line("2025-04", "2025-04", expired=-400)]
    newest = breakage(lines, "2025-05").estimates[-1]
    assert (newest.ultimate, newest.breakage) == (600, 400)
    back = [*rows([100, -50], [100, -50], [100, -50], [500])]
    newest = breakage(back, "2025-05").estimates[-1]
    assert newest.ultimate == 500


def test_the_running_month_is_no_evidence() -> None:
    """It counts as redeemed, but it is not a month of age yet."""
    lines = rows([100, 100], [100, 100], [100, 100], [100, 100])
    half = [*lines, line("2025-05", "2025-05", 1_000, 7)]
    newest = breakage(half, "2025-05").estimates[-1]
    assert (newest.age, newest.triangle, newest.ultimate) == (-1, [], 1_000)
    assert newest.reason == "its month of issue is not over"


def test_no_estimate_without_evidence() -> None:
    """Then all that is held is expected to be redeemed, and the reason is given."""
    few = breakage(rows([100, 50], [100]), "2025-03").estimates
    assert [(one.ultimate, bool(one.reason)) for one in few] == [(1_000, True), (1_000, True)]
    nothing = breakage(rows([100, 50], [100, 50], [100, 50], [0]), "2025-05").estimates[-1]
    assert nothing.reason == "nothing of it had been redeemed by the end of the last month"
    assert (nothing.ultimate, nothing.breakage) == (1_000, 0)


def test_what_is_owed_is_no_vintage() -> None:
    """It is left out."""
    assert breakage([line(OWED, "2025-01", -5)], "2025-02").estimates == []
