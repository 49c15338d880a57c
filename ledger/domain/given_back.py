"""What limits, caps and remainders get back when points are taken back."""

from collections.abc import Iterable, Sequence

from loyalty.v1.account_pb2 import Award
from loyalty.v1.events_pb2 import Undo
from loyalty.v1.reward_pb2 import Use

from ledger.domain.sold import Due


def given_back(
    awards: Sequence[Award], uses: Iterable[Use], due: Due, forgiven: int, earlier: Sequence[Undo]
) -> list[Use]:
    """What is to be given back of some uses, less what was given back earlier.

    As many points as are taken back, a time once all of its award is, a remainder in proportion to what came back.
    """
    gone = _gone(due.parts, forgiven)
    of_award = {award.rule: (award.points, part) for award, part in zip(awards, gone, strict=True)}
    result: list[Use] = []
    for use in uses:
        owner, *_, kind = use.key.split("/")
        points, part = of_award.get(owner, (0, 0))
        match kind:
            case "times":
                amount = use.amount if part >= points else 0
            case "points":
                amount = part
            case "cap":
                amount = max(sum(gone), 0)
            case _:
                amount = use.amount * due.whole.numerator // due.whole.denominator
        amount -= sum(
            one.amount
            for undo in earlier
            for one in undo.uses
            if (one.key, one.period, one.scope) == (use.key, use.period, use.scope)
        )
        if amount > 0 or (amount and kind == "carry"):
            result.append(Use(key=use.key, period=use.period, amount=amount, scope=use.scope))
    return result


def _gone(parts: Sequence[int], forgiven: int) -> list[int]:
    """Points of each award that are gone: what is forgiven, because it was spent, is of the last awards first."""
    gone = list(parts)
    for at in reversed(range(len(gone))):
        less = min(max(gone[at], 0), forgiven)
        gone[at] -= less
        forgiven -= less
    return gone
