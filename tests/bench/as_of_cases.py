"""The case of states of the past: a member with 1,000 events, at any of them."""

import random
import time
from typing import Final

import grpc

from ledger.sample_program import sample_program
from tests.as_of.asked import member_state
from tests.bench.cases import Bench, Figure, Figures
from tests.running import token
from tests.shop import Shop

EVENTS: Final = 1_000

CALLS: Final = 200

BATCH: Final = 100


def as_of(bench: Bench) -> Figures:
    """GetMemberState at random positions of a member with 1,000 events, about the last instant, one after the other."""
    chance = random.Random(1)  # noqa: S311 - no secret
    spent_ms: list[float] = []
    with grpc.insecure_channel(bench.site.server.address) as channel:
        shop = Shop(channel, token(bench.site.database_url))
        shop.program = sample_program().name
        member = shop.member()
        positions = [event.position for event in shop.events(member)]
        while len(positions) < EVENTS:
            sales = [shop.sale_request(member, chance.randrange(1, 100_00)) for _ in range(BATCH)]
            shop.batch(*sales)
            positions += [event.position for event in shop.events(member, after=positions[-1])]
        last_at = shop.events(member, after=positions[-2])[-1].recorded_at
        auditor = Shop(channel, token(bench.site.database_url, "auditor"))
        bench.site.catch_up()
        spent_s = bench.site.server.cpu_s()
        for _ in range(CALLS):
            at = chance.choice(positions)
            started = time.perf_counter()
            state = member_state(auditor, member, position=at, effective_at=last_at)
            spent_ms.append((time.perf_counter() - started) * 1000)
            if state.known.events < EVENTS:
                raise AssertionError(f"{state.known.events} of {len(positions)} events are known")
        cpu_ms = (bench.site.server.cpu_s() - spent_s) / CALLS * 1000
    spent_ms.sort()
    return {
        "as_of_p99_ms": Figure(spent_ms[CALLS * 99 // 100], f"{len(positions):,} events, both sides"),
        "as_of_p50_ms": Figure(spent_ms[CALLS // 2]),
        "as_of_cpu_ms": Figure(cpu_ms, "of the server a call"),
    }
