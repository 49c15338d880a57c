"""Metrics, for Prometheus. No label holds anything about a person."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

CALLS: Final = Counter("loyalty_calls_total", "gRPC calls ended", ("method", "code", "reason"))
CALL_SECONDS: Final = Histogram("loyalty_call_seconds", "Duration of gRPC calls", ("method",), buckets=_SECONDS)
BATCH_COMMANDS: Final = Histogram(
    "loyalty_batch_commands", "Commands in a commit", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
)
COMMIT_SECONDS: Final = Histogram("loyalty_commit_seconds", "Duration of appending a batch", buckets=_SECONDS)
QUEUE_COMMANDS: Final = Gauge("loyalty_queue_commands", "Commands waiting for the writer")
CONFLICTS: Final = Counter("loyalty_conflicts_total", "Batches decided anew after another writer was faster")
CONDITION_FAILURES: Final = Counter(
    "loyalty_condition_failures_total",
    "Rules and promotions left out of a recorded sale or activity because a condition could not be evaluated",
    ("program",),
)
AUDIT_OVERFLOW: Final = Counter(
    "loyalty_audit_overflow_total", "Reads and refusals that the audit trail has only counted, because too many waited"
)
PROJECTION_LAG_EVENTS: Final = Gauge(
    "loyalty_projection_lag_events", "Events that a projection has not applied yet", ("projection",)
)
PROJECTION_STOPPED_AT: Final = Gauge(
    "loyalty_projection_stopped_at",
    "Position of the event that a projection stopped at; 0 while it is well",
    ("projection",),
)
SEGMENTER_LAG_EVENTS: Final = Gauge(
    "loyalty_segmenter_lag_events", "Events that who is in segments does not reflect yet; 0 where there are no segments"
)
FEED_LAG_EVENTS: Final = Gauge(
    "loyalty_feed_lag_events", "Events of the log behind what a consumer of the feed has acknowledged", ("consumer",)
)
FEED_LAG_SECONDS: Final = Gauge(
    "loyalty_feed_lag_seconds", "How long the first of them has been there; 0 where there is none", ("consumer",)
)
LIABILITY_BROKEN: Final = Gauge(
    "loyalty_liability_broken", "Vintages that did not add up when the books were last checked; 0 while all is well"
)
LIABILITY_CHECKED: Final = Gauge("loyalty_liability_checked_seconds", "When the books were last checked, as Unix time")
PROJECTION_POSITION: Final = Gauge(
    "loyalty_projection_position", "Position that a projection has reached", ("projection",)
)
LOG_SEAL_POSITION: Final = Gauge("loyalty_log_seal_position", "Position up to which the log is sealed")
LOG_SEAL_LAG_EVENTS: Final = Gauge("loyalty_log_seal_lag_events", "Events that are not sealed yet")
LOG_SEAL_SIGNED_POSITION: Final = Gauge(
    "loyalty_log_seal_signed_position", "Position that the newest checkpoint covers"
)
LOG_SEAL_STOPPED_AT: Final = Gauge(
    "loyalty_log_seal_stopped_at",
    "Position where the log contradicts its seal or a checkpoint, so that it is sealed no more; 0 while it is well",
)
