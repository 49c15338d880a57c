"""Load on a server, from a process of its own: calls in a closed loop, or at a fixed rate in an open one."""

import selectors
import time
from array import array
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, NamedTuple

from loyalty.v1.pos_service_pb2 import SubmitBatchResponse

from tests.bench.requests import (
    GET_MEMBER,
    QUOTE_SALE,
    RECORD_SALE,
    SUBMIT_BATCH,
    batch_requests,
    enrollment_requests,
    profile_requests,
    quote_requests,
    sale_requests,
)
from tests.bench.wire import CallFailed, Connection

CONNECTIONS: Final = 8
"""Over how many connections concurrent calls are spread."""

SILENCE_MAX_S: Final = 30.0
"""Without any answer for this long, a round has failed."""

CALLS_PER_S_MAX: Final = 16_000
"""Requests that are made ready for each second of a closed loop; a server that is faster ends the round earlier."""

BATCH_SALES_PER_S_MAX: Final = 60_000

ENROLLMENT_BATCH: Final = 500


class Job(NamedTuple):
    """One round of load."""

    address: str
    token: str
    members: Sequence[str]
    seed: int
    seconds: float
    in_flight: int
    batch: int = 0
    """Sales in a SubmitBatch; 0 for RecordSale."""
    quotes: bool = False
    """QuoteSale in place of RecordSale."""
    profiles: bool = False
    """GetMember in place of RecordSale."""
    sales: int = 0
    """Sales to send in all; 0 for as many as the time allows."""
    rate: float = 0.0
    """Calls a second, sent when they are due whether or not earlier ones are answered; 0 for a closed loop."""


class Round(NamedTuple):
    """What came of a round."""

    calls: int
    sales: int
    seconds: float
    latencies_s: Sequence[float]
    """Sorted. In an open loop from the instant a call was due."""
    client_cpu_s: float

    @property
    def sales_per_s(self) -> float:
        """Sales that were acknowledged, a second."""
        return self.sales / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        at = min(int(len(self.latencies_s) * percent / 100), len(self.latencies_s) - 1)
        return self.latencies_s[at] * 1000


class Clients:
    """The process that the load comes from."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def run(self, job: Job) -> Round:
        """Runs a round and waits for its end. Raises CallFailed."""
        return self._pool.submit(run, job).result()

    def start(self, job: Job) -> "Future[Round]":
        """Starts a round."""
        return self._pool.submit(run, job)

    def enroll(self, address: str, token: str, count: int) -> list[str]:
        """Enrols members and returns their names. Raises CallFailed."""
        return self._pool.submit(enroll, address, token, count).result()

    def close(self) -> None:
        """Ends the process."""
        self._pool.shutdown()


def run(job: Job) -> Round:
    """Runs a round in this process."""
    requests = _requests(job)
    path = _path(job)
    connections = [Connection(job.address, path, job.token) for _ in range(min(CONNECTIONS, job.in_flight))]
    loop = _Loop(connections, requests)
    cpu = time.process_time()
    started = time.perf_counter()
    try:
        if job.rate:
            loop.run_open(started, job.rate)
        else:
            loop.run_closed(job.in_flight, started + job.seconds if job.seconds else float("inf"))
        ended = time.perf_counter()
    finally:
        for connection in connections:
            connection.close()
    calls = len(loop.latencies_s)
    return Round(
        calls,
        calls * (job.batch or 1),
        ended - started,
        array("d", sorted(loop.latencies_s)),
        time.process_time() - cpu,
    )


def enroll(address: str, token: str, count: int) -> list[str]:
    """Enrols members and returns their names."""
    connection = Connection(address, SUBMIT_BATCH, token)
    loop = _Loop([connection], enrollment_requests(count, ENROLLMENT_BATCH), keep=True)
    try:
        loop.run_closed(4, float("inf"))
    finally:
        connection.close()
    results = [result for message in loop.messages for result in SubmitBatchResponse.FromString(message).results]
    for result in results:
        if result.HasField("error"):
            raise CallFailed(f"an enrolment failed: {result.error}")
    return [result.enroll_member.member for result in results]


def _path(job: Job) -> str:
    if job.profiles:
        return GET_MEMBER
    return SUBMIT_BATCH if job.batch else QUOTE_SALE if job.quotes else RECORD_SALE


def _requests(job: Job) -> list[bytes]:
    if job.batch:
        sales = job.sales or int(BATCH_SALES_PER_S_MAX * job.seconds)
        if job.rate:
            sales = int(job.rate * job.seconds) * job.batch
        count = max(sales // job.batch, job.in_flight)
        return batch_requests(job.members, job.seed, count, job.batch)
    count = int(job.rate * job.seconds) or job.sales or int(CALLS_PER_S_MAX * job.seconds)
    if job.profiles:
        return profile_requests(job.members, job.seed, count)
    make = quote_requests if job.quotes else sale_requests
    return make(job.members, job.seed, max(count, job.in_flight))


class _Loop:
    """Calls over some connections, in one thread."""

    def __init__(self, connections: Sequence[Connection], requests: Sequence[bytes], *, keep: bool = False) -> None:
        self._connections = connections
        self._requests = requests
        self._keep = keep
        self._sent_at = array("d", bytes(8 * len(requests)))
        self._next = 0
        self._selector = selectors.DefaultSelector()
        for connection in connections:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self.latencies_s = array("d")
        self.messages: list[bytes] = []

    def run_closed(self, in_flight: int, end: float) -> None:
        """Keeps so many calls in flight until the time is over or no request is left; ends with the last answer."""
        for index in range(min(in_flight, len(self._requests))):
            self._call(self._connections[index % len(self._connections)], time.perf_counter())
        for connection in self._connections:
            connection.flush()
        while any(map(len, self._connections)):
            for connection in self._answered(SILENCE_MAX_S):
                now = time.perf_counter()
                if now < end and self._next < len(self._requests):
                    self._call(connection, now)

    def run_open(self, start: float, rate: float) -> None:
        """Calls at a fixed rate, whatever is in flight, until no request is left; ends with the last answer."""
        heard = start
        while self._next < len(self._requests) or any(map(len, self._connections)):
            now = time.perf_counter()
            while self._next < len(self._requests) and (due := start + self._next / rate) <= now:
                connection = self._connections[self._next % len(self._connections)]
                self._call(connection, due)
                connection.flush()
            wait_s = 0.05
            if self._next < len(self._requests):
                wait_s = max(start + self._next / rate - time.perf_counter(), 0.0)
            if self._answered(wait_s, may_be_silent=True):
                heard = now
            elif now - heard > SILENCE_MAX_S:
                raise CallFailed(f"the server did not answer for {SILENCE_MAX_S:g} s")

    def _call(self, connection: Connection, at: float) -> None:
        self._sent_at[self._next] = at
        connection.call(self._next, self._requests[self._next])
        self._next += 1

    def _answered(self, wait_s: float, *, may_be_silent: bool = False) -> list[Connection]:
        """Waits for answers; returns the connection of each. What their callers prepared is sent with the next wait."""
        for connection in self._connections:
            connection.flush()
        ready = self._selector.select(wait_s)
        if not ready and not may_be_silent:
            raise CallFailed(f"the server did not answer for {wait_s:g} s")
        answered: list[Connection] = []
        for key, _ in ready:
            ready_one: Connection = key.data
            for answer in ready_one.receive():
                self.latencies_s.append(time.perf_counter() - self._sent_at[answer.number])
                if self._keep:
                    self.messages.append(answer.message)
                answered.append(ready_one)
        return answered
