"""A limit on how often each credential may do something."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.errors import ApiError

BUCKETS_MAX: Final = 20_000
"""Keys that are remembered; the one that was quiet longest is forgotten, and so starts full."""


class Rate:
    """A bucket of tokens for each key: a minute's worth at first, refilled evenly."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Takes a token: 0 when there was one, else the seconds until there is."""
        wait_s = self._until(key, 1.0)
        if not wait_s:
            self.charge(key)
        return wait_s

    def charge(self, key: str) -> None:
        """Takes a token, also where there is none: that is a debt, which later tokens pay."""
        self._buckets[key] = (self._left(key) - 1, self._clock())
        self._buckets.move_to_end(key)
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)

    def debt_s(self, key: str) -> float:
        """Seconds until a debt is paid; 0 without one."""
        return self._until(key, 0.0)

    def _until(self, key: str, tokens: float) -> float:
        """Seconds until so many tokens are there."""
        if key not in self._buckets:
            return 0.0
        missing = tokens - self._left(key)
        if missing <= 0:
            return 0.0
        self._buckets.move_to_end(key)
        return missing / self._per_second

    def _left(self, key: str) -> float:
        now = self._clock()
        left, at = self._buckets.get(key, (self._most, now))
        return min(self._most, left + (now - at) * self._per_second)


def limited(wait_s: float) -> ApiError:
    """The refusal of a look-up, or of a try of a voucher code, for which there is no token yet."""
    return ApiError(
        ErrorReason.ERROR_REASON_RATE_LIMITED,
        "The credential has tried as many identifiers and voucher codes as it may. Retry after the delay. A command"
        " that names the member and has no voucher code is not limited.",
        retry_delay_ms=math.ceil(wait_s * 1000),
    )
