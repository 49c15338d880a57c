"""How an amount becomes whole points. Exact integer arithmetic; one rounding per rule and sale."""

from typing import Final

from loyalty.v1.earning_pb2 import Rounding

INT64_MAX: Final = 2**63 - 1


class Overflow(Exception):
    """A sum of amounts or points does not fit into 64 bits."""


def whole_steps(amount: int, points: int, per: int) -> int:
    """`points` for each whole `per` in `amount`: 4 per 1.00 on 2.50 give 8."""
    return amount // per * points


def floor(amount: int, points: int, per: int) -> int:
    """In proportion, fraction dropped: 4 per 1.00 on 2.50 give 10."""
    return amount * points // per


def half_up(amount: int, points: int, per: int) -> int:
    """In proportion, half a point up."""
    return (2 * amount * points + per) // (2 * per)


def ceiling(amount: int, points: int, per: int) -> int:
    """In proportion, any fraction up."""
    return -(-amount * points // per)


BY_NAME: Final = {
    Rounding.ROUNDING_UNSPECIFIED: whole_steps,
    Rounding.ROUNDING_WHOLE_STEPS: whole_steps,
    Rounding.ROUNDING_FLOOR: floor,
    Rounding.ROUNDING_HALF_UP: half_up,
    Rounding.ROUNDING_CEILING: ceiling,
}


def share_out(total: int, weights: list[int]) -> list[int]:
    """Splits `total` in proportion to `weights` so that the parts add up to it exactly.

    Each part is the difference of two cumulative floors, so that no part is off by one or more and no later
    correction is needed. With all weights 0, all parts are 0.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts: list[int] = []
    seen = given = 0
    for weight in weights:
        seen += weight
        upto = total * seen // whole
        parts.append(upto - given)
        given = upto
    return parts
