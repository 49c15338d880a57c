"""Cases of the sealed log: what sealing and signing costs the tills, and how fast proofs are."""

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
import psycopg
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.proof_pb2 import ProveConsistencyRequest, ProveInclusionRequest

from ledger.proof.keys import Keys, create_keys
from ledger.proof.merkle import leaf_hash, perfect_root
from ledger.proof.note import Signer
from ledger.proof.tree import TILE_NODES
from tests.bench.cases import (
    BATCH_CALLERS,
    BATCH_SALES,
    UNARY_IN_FLIGHT,
    Bench,
    Figure,
    Figures,
    rate,
    ratio,
    rounds_of,
)
from tests.bench.load import Round
from tests.bench.process import Served
from tests.bench.site import Site
from tests.running import token

LEAVES: Final = 10_000_000
PROOFS: Final = 300

_TILES: Final = "INSERT INTO log_tiles SELECT %s, n, %s FROM generate_series(0, %s::bigint - 1) AS n"
_EDGE: Final = "INSERT INTO log_tiles VALUES (%s, %s, %s)"


def seal(bench: Bench) -> Figures:
    """Sales on a site that seals and signs its log, in turn with one that does neither."""
    sealed: dict[int, list[Round]] = {0: [], BATCH_SALES: []}
    plain: dict[int, list[Round]] = {0: [], BATCH_SALES: []}
    with _site(bench, sealed=True) as sealing, _site(bench, sealed=False) as other:
        for number in rounds_of(bench, "seal"):
            for size in sealed:
                pair = ((sealing, sealed), (other, plain))
                # Who comes second has the warmer machine.
                for site, into in pair if number % 2 else pair[::-1]:
                    in_flight = BATCH_CALLERS if size else UNARY_IN_FLIGHT
                    into[size].append(site.run(site.job(bench.plan.round_s, in_flight, batch=size)))
                    site.catch_up()
    return {
        f"seal_{name}_cost": Figure(
            1 - ratio(sealed[size], plain[size]),
            f"of the throughput: {rate(sealed[size]):,.0f} sales/s sealed, {rate(plain[size]):,.0f} not",
        )
        for name, size in (("unary", 0), ("batch", BATCH_SALES))
    }


def proofs(bench: Bench) -> Figures:
    """Proofs out of a tree of 10,000,000 leaves, one call after the other."""
    database_url = bench.databases.url(bench.databases.create())
    grow_tree(database_url, LEAVES)
    chance = random.Random(1)  # noqa: S311 - no secret
    spent_ms: list[float] = []
    metadata = (("authorization", f"Bearer {token(database_url, 'auditor')}"),)
    with (
        Served(database_url, environment={"LOYALTY_LOG_SEAL": "no"}) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        audit = AuditServiceStub(channel)
        for number in range(PROOFS):
            at = chance.randrange(1, LEAVES)
            started = time.perf_counter()
            if number % 2:
                audit.ProveInclusion(ProveInclusionRequest(position=at, tree_size=LEAVES), metadata=metadata)
            else:
                audit.ProveConsistency(ProveConsistencyRequest(old_size=at, tree_size=LEAVES), metadata=metadata)
            spent_ms.append((time.perf_counter() - started) * 1000)
    spent_ms.sort()
    p99_ms = spent_ms[PROOFS * 99 // 100]
    return {"proof_ms_10m": Figure(spent_ms[PROOFS // 2], f"the median of calls, p99 {p99_ms:.1f}; {LEAVES:,} leaves")}


def grow_tree(database_url: str, leaves: int) -> None:
    """Seals so many leaves of no event. Full tiles of a level are alike, so that they are made in a moment."""
    with psycopg.connect(database_url) as connection:
        below = [leaf_hash(bytes([number])) for number in range(TILE_NODES)]
        level, nodes = 0, leaves
        while nodes:
            connection.execute(_TILES, (level, b"".join(below), nodes // TILE_NODES))
            if rest := nodes % TILE_NODES:
                connection.execute(_EDGE, (level, nodes // TILE_NODES, b"".join(below[:rest])))
            below = [perfect_root(below)] * TILE_NODES
            level, nodes = level + 1, nodes // TILE_NODES
        connection.execute("UPDATE log_seal SET size = %s", (leaves,))


@contextmanager
def _site(bench: Bench, *, sealed: bool) -> Iterator[Site]:
    url = bench.databases.url(bench.databases.create())
    with tempfile.TemporaryDirectory(prefix="loyalty-bench-") as folder:
        environment = {"LOYALTY_LOG_SEAL": "no"}
        if sealed:
            key_file = Path(folder) / "log.key"
            create_keys(key_file, Keys((Signer.generate("bench.example/loyalty"),)))
            environment = {
                "LOYALTY_LOG_KEY_FILE": str(key_file),
                "LOYALTY_CHECKPOINT_FILE": str(Path(folder) / "checkpoints.jsonl"),
            }
        with Site(url, bench.clients, bench.plan.members, environment=environment) as site:
            yield site
