"""Every line of the bench: its unit and its goal, in the order of the table."""

from collections.abc import Mapping
from typing import Final

from projections.catalogue import PROJECTIONS
from tests.bench.line import Goal, Measure

UNARY: Final[Mapping[str, Measure]] = {
    "unary_vs_echo": Measure("ratio", Goal(">=", 0.70)),
    "unary_vs_stock": Measure("ratio", Goal(">=", 5)),
    "unary_per_s": Measure("sales/s"),
    "unary_cpu_us": Measure("us"),
    "echo_cpu_us": Measure("us"),
    "unary_p50_ms": Measure("ms"),
    "unary_p99_ms": Measure("ms"),
    "echo_per_s": Measure("calls/s"),
    "stock_per_s": Measure("sales/s"),
}

BATCH: Final[Mapping[str, Measure]] = {
    "batch_vs_pgbench": Measure("ratio", Goal(">=", 1)),
    "batch_per_s": Measure("sales/s"),
    "batch_p99_ms": Measure("ms"),
    "pgbench_32_per_s": Measure("transactions/s"),
}

SINGLE: Final[Mapping[str, Measure]] = {
    "single_p50_ratio": Measure("ratio", Goal("<=", 1)),
    "single_p50_ms": Measure("ms"),
    "echo_p50_ms": Measure("ms"),
    "pgbench_commit_p50_ms": Measure("ms"),
}

OPEN_LOOP: Final[Mapping[str, Measure]] = {
    "open_loop_p50_ms": Measure("ms"),
    "open_loop_p99_ms": Measure("ms"),
    "open_loop_call_p99_ms": Measure("ms"),
    "open_loop_call_mean_ms": Measure("ms"),
    "open_loop_commit_p99_ms": Measure("ms"),
    "open_loop_commit_mean_ms": Measure("ms"),
    "open_loop_queue_mean_ms": Measure("ms"),
}

LAG: Final[Mapping[str, Measure]] = {
    "projection_lag_p99_s": Measure("s", Goal("<", 1)),
    "projection_lag_max_s": Measure("s"),
}

BUSY_LAG: Final[Mapping[str, Measure]] = {
    "projections_lag_p99_ms": Measure("ms", Goal("<", 1_000)),
    "projections_lag_max_ms": Measure("ms"),
}

GROWTH: Final[Mapping[str, Measure]] = {
    "growth_throughput_ratio": Measure("ratio", Goal(">=", 0.8)),
    "growth_p99_ratio": Measure("ratio", Goal("<=", 1.2)),
    "server_rss_mb": Measure("MiB"),
    "server_rss_ratio": Measure("ratio", Goal("<=", 1.5)),
    "bytes_per_sale": Measure("bytes"),
    "view_bytes_per_sale": Measure("bytes"),
}

READ_SIDE: Final[Mapping[str, Measure]] = {
    "check_events_per_s": Measure("events/s", Goal(">=", 50_000)),
    "projection_events_per_s": Measure("events/s", Goal(">=", 40_000)),
    **{f"projection_{name}_events_per_s": Measure("events/s") for name in PROJECTIONS},
}

AUDIT: Final[Mapping[str, Measure]] = {
    "export_events_per_s": Measure("events/s", Goal(">=", 100_000)),
    "export_csv_events_per_s": Measure("events/s", Goal(">=", 100_000)),
    "export_parquet_events_per_s": Measure("events/s"),
    "export_rss_mb": Measure("MiB", Goal("<", 200)),
    "verify_events_per_s": Measure("events/s", Goal(">=", 100_000)),
    "verify_two_cores_events_per_s": Measure("events/s", Goal(">=", 100_000)),
}

AS_OF: Final[Mapping[str, Measure]] = {
    "as_of_p99_ms": Measure("ms", Goal("<", 50)),
    "as_of_p50_ms": Measure("ms"),
    "as_of_cpu_ms": Measure("ms"),
}

PROFILE: Final[Mapping[str, Measure]] = {
    "get_member_p99_ms": Measure("ms", Goal("<", 10)),
    "get_member_p50_ms": Measure("ms"),
    "get_member_sale_p99_ms": Measure("ms"),
    "get_member_cpu_ms": Measure("ms"),
}

REPLAY: Final[Mapping[str, Measure]] = {
    "replay_year_s": Measure("s", Goal("<", 10)),
    "replay_events_per_s": Measure("events/s"),
    "rebuild_year_s": Measure("s", Goal("<", 60)),
}

FIFTY_RULES: Final[Mapping[str, Measure]] = {
    "rules50_unary_vs_echo": Measure("ratio", Goal(">=", 0.6)),
    "rules50_batch_vs_simple": Measure("ratio", Goal(">=", 0.7)),
    "rules50_quote_p99_ratio": Measure("ratio", Goal("<=", 1)),
}

THOUSAND_RULES: Final[Mapping[str, Measure]] = {
    "rules1000_cost_ratio": Measure("ratio", Goal("<=", 2)),
}

FEED: Final[Mapping[str, Measure]] = {
    "feed_changes_per_s": Measure("changes/s", Goal(">=", 50_000)),
    "feed_vs_read_events": Measure("ratio", Goal(">=", 1.5)),
}

SEAL: Final[Mapping[str, Measure]] = {
    "seal_unary_cost": Measure("share", Goal("<=", 0.05)),
    "seal_batch_cost": Measure("share", Goal("<=", 0.15)),
}

PROOFS: Final[Mapping[str, Measure]] = {
    "proof_ms_10m": Measure("ms", Goal("<", 5)),
}

SEGMENTS: Final[Mapping[str, Measure]] = {
    "segment_full_s": Measure("s", Goal("<", 30)),
    "segment_follow_s": Measure("s", Goal("<", 2)),
}

ALL: Final[Mapping[str, Measure]] = {
    **UNARY,
    **BATCH,
    **SINGLE,
    **OPEN_LOOP,
    **LAG,
    **BUSY_LAG,
    **GROWTH,
    **READ_SIDE,
    **AUDIT,
    **AS_OF,
    **PROFILE,
    **REPLAY,
    **FEED,
    **FIFTY_RULES,
    **THOUSAND_RULES,
    **SEAL,
    **PROOFS,
    **SEGMENTS,
}
