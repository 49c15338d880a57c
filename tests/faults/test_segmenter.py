"""The segmenter is killed, and so is its server: nobody enters or leaves twice, and nobody is forgotten."""

import os
import signal
from pathlib import Path

from loyalty.v1.program_pb2 import Program

from tests.bench.process import family
from tests.running import ServerProcess, running, token
from tests.segmenting import Segments
from tests.shop import Shop


def segmenter_of(server: ServerProcess) -> int:
    """The process id of a server's segmenter."""
    assert server.process is not None
    (pid,) = [
        pid
        for pid in family(server.process.pid)
        if b"ledger.segments" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]
    return pid


def test_killed_it_goes_on_where_it_was(database_url: str) -> None:
    """Sales while it is away count when it is back; a new server does not look at anybody twice."""
    with running(database_url) as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), Program())
        segments = Segments(shop)
        segments.save("buyers", "sales > 0")
        first, second, third = (shop.member() for _ in range(3))
        shop.sale(first, 1_000)
        assert segments.members("buyers") == [first]
        os.kill(segmenter_of(server), signal.SIGKILL)
        back = shop.sale(first, 2_000)
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
