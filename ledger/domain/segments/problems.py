"""What is wrong with a segment: all problems at once, each with the field's path."""

import re
from collections.abc import Collection, Mapping
from typing import Final

import cel
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.segment_pb2 import Measure, Segment

from ledger.domain.instant import is_day
from ledger.domain.publish_fields import ID_FORM, Problems, check_count, check_enum, check_text, has_control
from ledger.domain.rules.expression import FUNCTIONS
from ledger.domain.segments.criteria import Criteria

MEASURES_MAX: Final = 10
"""Measures of a segment."""

FILTER_ENTRIES_MAX: Final = 100
"""Entries of one filter of a measure."""

ENTRY_CHARACTERS_MAX: Final = 100
"""Length of an entry."""

LAST_DAYS_MAX: Final = 3_660
"""Days that a measure looks back: ten years."""

_NAME: Final = re.compile("programs/[a-z0-9-]{1,63}/segments/[a-z0-9-]{1,63}").fullmatch
_MEASURE_ID: Final = re.compile("[a-z][a-z0-9_]{0,62}").fullmatch
_CHANNELS: Final = frozenset(Channel.values()) - {0}
_FILTERS: Final = ("skus", "brands", "categories", "labels", "stores")


def is_segment_name(name: str) -> bool:
    """Whether it is programs/{program}/segments/{segment}."""
    return bool(_NAME(name))


def problems(
    segment: Segment,
    kinds: Mapping[str, str],
    attributes: Collection[str] = (),
    hidden: Collection[str] | None = None,
) -> Problems:
    """What is wrong with a segment, whose expression may name facts of the given kinds, and these attributes.

    `hidden` are those that whoever asks may not see, nor find out by counting members; None for who may see all.
    """
    found: Problems = []
    if not is_segment_name(segment.name):
        found.append(("name", f"must be programs/{{program}}/segments/{{segment}}, each {ID_FORM}"))
    check_text(segment.display_name, "display_name", found)
    check_count(segment.measures, MEASURES_MAX, "measures", found)
    seen: set[str] = set()
    for index, measure in enumerate(segment.measures[:MEASURES_MAX]):
        _check_measure(measure, f"measures[{index}]", kinds, seen, found)
    if segment.expression and not found:
        _check_expression(segment, kinds, attributes, hidden, found)
    return found


def _check_expression(
    segment: Segment,
    kinds: Mapping[str, str],
    attributes: Collection[str],
    hidden: Collection[str] | None,
    found: Problems,
) -> None:
    try:
        criteria = Criteria(segment, kinds)
    except ValueError as error:
        found.append(("expression", " ".join(str(error).split())))
        return
    for name in criteria.attributes:
        if name not in attributes:
            found.append(("expression", f"there is no attribute {name!r}: add it to the program's attributes"))
        elif hidden is not None and name in hidden:
            found.append(("expression", f"the attribute {name!r} is sensitive: a manager must do it"))
    if hidden is not None and not criteria.names_attributes:
        what = (
            'must ask for attributes as attributes.children or "children" in attributes: otherwise a manager must do it'
        )
        found.append(("expression", what))
    problem = criteria.problem()
    if problem is not None:
        found.append(("expression", problem))
    for index, measure in enumerate(segment.measures):
        if measure.measure_id not in criteria.measures:
            found.append((f"measures[{index}]", "must be named by the expression, or left out"))


def _check_measure(measure: Measure, path: str, kinds: Mapping[str, str], seen: set[str], found: Problems) -> None:
    name = measure.measure_id
    if not _MEASURE_ID(name):
        form = "must be 1 to 63 lower-case letters, digits and underscores, beginning with a letter"
        found.append((f"{path}.measure_id", form))
    elif name in kinds or not _is_free(name):
        found.append((f"{path}.measure_id", "must not be the name of a fact, or a word of the language"))
    elif name in seen:
        found.append((f"{path}.measure_id", "must be unique in the segment"))
    seen.add(name)
    for filter_name in _FILTERS:
        entries = getattr(measure, filter_name)
        check_count(entries, FILTER_ENTRIES_MAX, f"{path}.{filter_name}", found)
        for index, entry in enumerate(entries[:FILTER_ENTRIES_MAX]):
            if not 1 <= len(entry) <= ENTRY_CHARACTERS_MAX or has_control(entry):
                what = f"must be 1 to {ENTRY_CHARACTERS_MAX} characters without control characters"
                found.append((f"{path}.{filter_name}[{index}]", what))
    for index, channel in enumerate(measure.channels[:FILTER_ENTRIES_MAX]):
        check_enum(channel, _CHANNELS, f"{path}.channels[{index}]", found)
    _check_period(measure, path, found)


def _check_period(measure: Measure, path: str, found: Problems) -> None:
    period = measure.WhichOneof("period")
    if period == "last_days" and not 1 <= measure.last_days <= LAST_DAYS_MAX:
        found.append((f"{path}.last_days", f"must be 1 to {LAST_DAYS_MAX}"))
    if period != "dates":
        return
    dates = measure.dates
    for name in ("from_date", "until_date"):
        if (value := getattr(dates, name)) and not is_day(value):
            found.append((f"{path}.dates.{name}", "must be a day, as 2026-01-31, or empty"))
    if dates.from_date and dates.until_date and dates.until_date < dates.from_date:
        found.append((f"{path}.dates.until_date", "must not be before from_date"))


def _is_free(name: str) -> bool:
    """Whether an expression can use a name for a variable."""
    try:
        return cel.compile(name).variables() == [name] and name not in FUNCTIONS
    except ValueError:
        return False
