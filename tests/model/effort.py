"""How many examples Hypothesis tries: few and the same in CI; many and others with LOYALTY_HYPOTHESIS=deep."""

import os
from typing import Final

from hypothesis import settings

TIMES: Final = 20 if os.environ.get("LOYALTY_HYPOTHESIS") == "deep" else 1


def examples(number: int) -> settings:
    """Settings for so many examples in CI."""
    return settings(max_examples=number * TIMES)
