"""How Hypothesis tries examples: the same in CI, others each time with LOYALTY_HYPOTHESIS=deep. See effort.py."""

import os

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=SLOW,
)
settings.register_profile(
    "deep", deadline=None, print_blob=True, report_multiple_bugs=False, suppress_health_check=SLOW
)
settings.load_profile(os.environ.get("LOYALTY_HYPOTHESIS", "ci"))
