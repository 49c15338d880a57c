"""The segmenter is killed, and so is its server: nobody enters or leaves twice, and nobody is forgotten.

A server that ends waits for no preview.
"""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from loyalty.v1.program_pb2 import Program
from loyalty.v1.segment_pb2 import Segment

from ledger.segments import preview
from tests.bench.process import family
from tests.running import ServerProcess, free_address, running, token
from tests.segmenting import WAIT_S, Segments
from tests.shop import TIMEOUT_S, Shop


def segmenter_of(server: ServerProcess) -> int:
    """The process id of a server's segmenter."""
    assert server.process is not None
    (pid,) = [
        pid
        for pid in family(server.process.pid)
        if b"ledger.segments" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]
    return pid


def wait_for_lag(metrics: str, *, is_behind: bool) -> None:
    """Returns when the metric says that the segmenter is behind, or that it is not."""
    pause, deadline = threading.Event(), time.monotonic() + WAIT_S
    while True:
        with urlopen(f"http://{metrics}/metrics", timeout=TIMEOUT_S) as response:
            (lag,) = re.findall(r"^loyalty_segmenter_lag_events (\S+)$", response.read().decode(), re.MULTILINE)
        if (float(lag) > 0) == is_behind:
            return
        assert time.monotonic() < deadline, lag
        pause.wait(0.1)


def test_killed_it_goes_on_where_it_was(database_url: str) -> None:
    """Sales while it hangs or is away count when it is back, and a metric tells; nobody is looked at twice."""
    metrics = free_address()
    with running(database_url, LOYALTY_METRICS_ADDRESS=metrics) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), Program())
        segments = Segments(shop)
        segments.save("buyers", "sales > 0")
        first, second, third = (shop.member() for _ in range(3))
        shop.sale(first, 1_000)
        assert segments.members("buyers") == [first]
        wait_for_lag(metrics, is_behind=False)
        pid = segmenter_of(server)
        os.kill(pid, signal.SIGSTOP)
        back = shop.sale(first, 2_000)
        wait_for_lag(metrics, is_behind=True)
        os.kill(pid, signal.SIGKILL)
        shop.sale(second, 1_000)
        assert segments.members("buyers") == sorted([first, second])
        server.kill()
    with running(database_url) as server, server.channel() as channel:
        after = Shop(channel, shop.metadata[0][1].removeprefix("Bearer "))
        after.program = shop.program
        segments = Segments(after)
        after.sale(third, 1_000)
        after.reverse(back.outcome.transaction)
        assert segments.members("buyers") == sorted([first, second, third])
        assert sorted(segments.moves("buyers")) == sorted(("+", member) for member in (first, second, third))


def test_the_end_of_a_server_is_the_end_of_all_previews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one at work is killed, and those that wait do not begin."""
    at_work = tmp_path / "at-work"
    os.mkfifo(at_work)
    code = f"import time; open({str(at_work)!r}, 'w').close(); time.sleep(60)"
    monkeypatch.setattr(preview, "COMMAND", (sys.executable, "-c", code))
    previews = preview.PreviewProcess("")
    first, *others = (previews.begin(Segment(), 1, 60.0) for _ in range(4))
    at_work.read_bytes()  # which waits until it is
    previews.stop()
    assert f"status -{signal.SIGKILL.value}" in str(first.exception(0))
    assert all(other.cancelled() for other in others)
