"""Previews: what a segment would come to, worked out in a process of its own so that no till waits for it."""

import base64
import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore, Lock
from typing import Any, Final
from uuid import UUID

from loyalty.v1.segment_pb2 import Segment
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.names import program_of_segment
from ledger.domain.segments.criteria import Criteria
from ledger.segment_views import PREVIEWS_MAX, Preview, PreviewsFull
from ledger.segments.evaluations import FIRST
from ledger.segments.holding import page_behind
from ledger.segments.live import Registry
from ledger.segments.segmenter import PAGE_MEMBERS
from projections.facts import FACTS
from projections.hub import connect
from projections.standalone import NICENESS

KINDS: Final = {name: fact.kind for name, fact in FACTS.items() if name != "segments"}
"""The facts that expressions may name: not in which other segments somebody is, which could go round in circles."""

COMMAND: Final = (sys.executable, "-m", "ledger.segments.preview")


class PreviewProcess:
    """Works previews out, one at a time."""

    def __init__(self, database_url: str) -> None:
        self._environment = {**os.environ, "LOYALTY_DATABASE_URL": database_url}
        # A thread of their own: those that wait must not take those that answer tills.
        self._thread = ThreadPoolExecutor(1, "preview")
        self._room = BoundedSemaphore(PREVIEWS_MAX)
        self._starting = Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, segment: Segment, sample_size: int, timeout_s: float) -> Future[Preview]:
        """What a segment will come to; TimeoutError where that is not in time. Raises PreviewsFull."""
        if not self._room.acquire(blocking=False):
            raise PreviewsFull
        begun = self._thread.submit(self._preview, segment, sample_size, time.monotonic() + timeout_s)
        begun.add_done_callback(lambda _: self._room.release())
        return begun

    def stop(self) -> None:
        """Gives up the one that is being worked out, and those that wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with self._starting:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
        self._thread.shutdown()

    def _preview(self, segment: Segment, sample_size: int, deadline: float) -> Preview:
        timeout_s = deadline - time.monotonic()
        if timeout_s <= 0:
            raise TimeoutError
        asked = {"segment": base64.b64encode(segment.SerializeToString()).decode(), "sample_size": sample_size}
        found = json.loads(self._run(json.dumps(asked).encode(), timeout_s))
        return Preview(**{**found, "sample": [UUID(member) for member in found["sample"]]})

    def _run(self, asked: bytes, timeout_s: float) -> bytes:
        with self._starting:
            if self._stopped:
                raise TimeoutError
            process = self._process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment
            )
        with process:
            try:
                said, _ = process.communicate(asked, timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise TimeoutError from None
        if process.returncode:
            raise RuntimeError(f"a preview ended with status {process.returncode}")
        return said


def preview(cursor: Cursor[Any], segment: Segment, sample_size: int, at: int) -> Preview:
    """What a segment would come to at an instant. The cursor gives rows as tuples."""
    program = program_of_segment(segment.name)
    today = Registry(KINDS).today_of(cursor, program, at)
    criteria = [Criteria(segment, KINDS)] if segment.expression else []
    members = total = failed = 0
    sample: list[UUID] = []
    error = ""
    after = FIRST
    while True:
        page = page_behind(cursor, program, at, today, criteria, after, PAGE_MEMBERS)
        if not page.facts:
            return Preview(members, total, sample, failed, error)
        after = page.facts[-1][0]
        total += len(page.facts)
        for one in criteria:
            held = page.held(cursor, one)
            members += len(held.members)
            sample += held.members[: sample_size - len(sample)]
            failed += held.failed
            error = error or held.error


def main() -> None:
    """Reads what to work out from standard input, and writes what it comes to."""
    os.nice(NICENESS)
    asked = json.loads(sys.stdin.buffer.read())
    segment = Segment.FromString(base64.b64decode(asked["segment"]))
    with connect(os.environ["LOYALTY_DATABASE_URL"], "preview") as connection:
        connection.execute("SET jit = off")
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        found = preview(cursor, segment, asked["sample_size"], time.time_ns() // 1_000)
    sys.stdout.write(json.dumps(found._asdict(), default=str))


if __name__ == "__main__":
    main()
