"""RFM: named groups of members by recency, frequency and monetary value."""

from typing import Final

SCORE_MAX: Final = 5

GROUPS: Final = (
    "champions",
    "loyal",
    "potential_loyalists",
    "new",
    "promising",
    "need_attention",
    "about_to_sleep",
    "at_risk",
    "cannot_lose",
    "hibernating",
    "lost",
)
"""Their names, in the order of the values of `loyalty.v1.RfmGroup` from 1."""

GRID: Final = (
    ("lost", "lost", "at_risk", "cannot_lose", "cannot_lose"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "at_risk"),
    ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    ("promising", "potential_loyalists", "potential_loyalists", "loyal", "loyal"),
    ("new", "potential_loyalists", "potential_loyalists", "champions", "champions"),
)
"""The group of each score of recency (row) and of FM, the mean of those of frequency and monetary value (column).

The usual published definition, known from Putler's RFM segmentation, gives each group a range of both: champions 4-5
and 4-5, loyal 2-5 and 3-5, potential loyalists 3-5 and 1-3, new 4-5 and 0-1, promising 3-4 and 0-1, need attention
2-3 and 2-3, about to sleep 2-3 and 0-2, at risk 0-2 and 2-5, cannot lose 0-1 and 4-5, hibernating 1-2 and 1-2, lost
0-2 and 0-2. The ranges overlap; here each cell has one of the groups that may have it.
"""

FLAT_GRID: Final = [group for row in GRID for group in row]
"""The same for SQL: recency r and FM f are at (r - 1) * 5 + f, from 1."""


def group_of(recency: int, frequency: int, monetary: int) -> str:
    """The group of three scores; the mean of two is rounded halves up."""
    return GRID[recency - 1][(frequency + monetary + 1) // 2 - 1]
