"""What rules and promotions of one exclusive group must be to be published: never in force together."""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Final, NamedTuple

from loyalty.v1.earning_pb2 import EarningRule, Promotion
from loyalty.v1.program_pb2 import Program

from ledger.domain.publish_fields import ID_FORM, Problems, is_id
from ledger.domain.rules.window import Window, WindowError

GROUP_WINDOWS_MAX: Final = 50
"""Windows of all rules and promotions of one exclusive group together, those without any counted as one."""

OVERLAPS_TOLD_MAX: Final = 100
"""Overlaps of one program that are named."""


class _Member(NamedTuple):
    """A rule or promotion of a group."""

    path: str
    owner: str
    message: EarningRule | Promotion
    windows: list[Window]


def check_exclusive(definition: Program, found: Problems) -> None:
    """Each pair of a group that can be in force together, with the first such moment.

    Windows are on the store's clock, and a sale is in one store, so they are compared as local times.
    """
    groups: dict[str, list[_Member]] = {}
    for path, message in _parts(definition):
        group = message.exclusive_group
        if group and not is_id(group):
            found.append((f"{path}.exclusive_group", f"must be {ID_FORM}, or empty"))
        elif group:
            groups.setdefault(group, []).append(_member(path, message))
    told = 0
    for members in groups.values():
        count = sum(max(len(member.message.conditions.windows), 1) for member in members)
        if count > GROUP_WINDOWS_MAX:
            many = f"has {count} windows in its rules and promotions: at most {GROUP_WINDOWS_MAX} can be compared"
            found.append((f"{members[-1].path}.exclusive_group", many))
            continue
        for one, other in combinations(members, 2):
            overlap = _overlap(one, other)
            if overlap is not None and told < OVERLAPS_TOLD_MAX:
                told += 1
                found.append((f"{other.path}.{overlap[0]}", f"overlaps with {one.owner} of its group: {overlap[1]}"))


def _parts(definition: Program) -> Iterator[tuple[str, EarningRule | Promotion]]:
    for index, rule in enumerate(definition.earning_rules):
        yield f"earning_rules[{index}]", rule
    for index, promotion in enumerate(definition.promotions):
        yield f"promotions[{index}]", promotion


def _member(path: str, message: EarningRule | Promotion) -> _Member:
    owner = message.rule_id if isinstance(message, EarningRule) else message.promotion_id
    try:
        windows = [Window(window) for window in message.conditions.windows[:GROUP_WINDOWS_MAX]]
    except (WindowError, OverflowError):
        windows = []  # that is told where windows are checked
    return _Member(path, owner, message, windows)


def _overlap(one: _Member, other: _Member) -> tuple[str, str] | None:
    """The field of the other one and the moment at which both can be in force; None where they never are."""
    if _are_apart(one.message, other.message):
        return None
    mine, theirs = one.message.conditions.windows, other.message.conditions.windows
    if not mine or not theirs:
        which = "both have" if not mine and not theirs else f"{(one if not mine else other).owner} has"
        return "exclusive_group", f"{which} no window and so may apply at any time"
    for (_, first), (index, second) in product(enumerate(one.windows), enumerate(other.windows)):
        moment = first.first_overlap(second)
        if moment is not None:
            return f"conditions.windows[{index}]", f"both are open at {moment.isoformat()}"
    return None


def _are_apart(one: EarningRule | Promotion, other: EarningRule | Promotion) -> bool:
    """Whether no sale or activity can be one for both: of another place, another way or by others."""
    mine, theirs = one.conditions, other.conditions
    for name in ("stores", "channels", "tiers"):
        first, second = set(getattr(mine, name)), set(getattr(theirs, name))
        if first and second and first.isdisjoint(second):
            return True
    return _occasion(one) != _occasion(other) and "" not in (_occasion(one), _occasion(other))


def _occasion(message: EarningRule | Promotion) -> str:
    """The activity that something is for, or `sale`; empty for a promotion, which is for all."""
    if isinstance(message, Promotion):
        return ""
    return f"activity {message.activity.activity}" if message.HasField("activity") else "sale"
