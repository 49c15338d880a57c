"""How many examples Hypothesis tries: the same few hundred in CI, more and others with LOYALTY_HYPOTHESIS=deep."""

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
    "deep", max_examples=5_000, deadline=None, print_blob=True, report_multiple_bugs=False, suppress_health_check=SLOW
)
settings.load_profile(os.environ.get("LOYALTY_HYPOTHESIS", "ci"))
