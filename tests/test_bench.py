"""The bench works from end to end. Nothing here says how fast anything is."""

import json
from pathlib import Path

import pytest

from tests.bench import measures
from tests.bench.__main__ import main
from tests.bench.line import Goal, Measure

REQUIRED = {
    "unary_vs_echo",
    "unary_vs_stock",
    "batch_vs_pgbench",
    "single_p50_ratio",
    "check_events_per_s",
    "projection_events_per_s",
    "projection_lag_p99_s",
    "growth_throughput_ratio",
    "growth_p99_ratio",
    "server_rss_mb",
    "bytes_per_sale",
    "rules50_unary_vs_echo",
    "rules50_batch_vs_simple",
    "rules1000_cost_ratio",
    "export_events_per_s",
    "export_rss_mb",
    "verify_events_per_s",
    "as_of_p99_ms",
    "get_member_p99_ms",
    "replay_year_s",
    "feed_changes_per_s",
    "rebuild_year_s",
    "projections_lag_p99_ms",
    "segment_full_s",
    "segment_follow_s",
}
"""The names that others read var/bench.json by."""


def test_smoke_measures_every_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tiny rounds of every case, with a real server and a real database, give a figure for every line."""
    output = tmp_path / "bench.json"
    status = main(["--smoke", "--output", str(output)])
    said = capsys.readouterr()
    lines = json.loads(output.read_text(encoding="utf-8"))
    assert [line["name"] for line in lines] == list(measures.ALL)
    missing = {line["name"]: line["note"] for line in lines if line["value"] is None}
    assert not missing, said.err
    assert status == 0
    assert {"name", "value", "unit", "goal", "holds"} <= set(lines[0])
    assert all((line["holds"] is None) == (line["goal"] is None) for line in lines)
    assert all(line["name"] in said.out for line in lines)


def test_every_required_name_is_a_line() -> None:
    """What the issue names is measured."""
    assert set(measures.ALL) >= REQUIRED


def test_a_goal_that_does_not_hold_is_shown() -> None:
    """A figure on the wrong side of its goal is marked, and so is one that could not be had."""
    measure = Measure("ratio", Goal(">=", 0.7))
    assert measure.line("a", 0.7).holds is True
    assert measure.line("a", 0.69).holds is False
    assert measure.line("a", None, "why").holds is False
    assert measure.line("a", 1.0).goal == ">= 0.7"
    assert Measure("ms").line("a", 5.0).holds is None
