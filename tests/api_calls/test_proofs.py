"""Checkpoints and proofs as an auditor gets them, checked with nothing but ledger.proof."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc
import psycopg
import pytest
from loyalty.v1.proof_pb2 import (
    Checkpoint,
    GetCheckpointRequest,
    ListCheckpointsRequest,
    ProveConsistencyRequest,
    ProveConsistencyResponse,
    ProveInclusionRequest,
    ProveInclusionResponse,
)

from ledger.proof import note
from ledger.proof.leaf import StoredEvent, leaf_of
from ledger.proof.merkle import ProofInvalid, check_consistency, check_inclusion, leaf_hash
from tests.conftest import OpenShop
from tests.programs import program
from tests.running import Databases, ServerProcess, running, token
from tests.sealing.signing import ORIGIN, Signing, change, signing_in
from tests.shop import TIMEOUT_S, Details, Shop, refused

Answer = TypeVar("Answer")

FAR = 2**62


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    """The key of the server that signs."""
    return signing_in(tmp_path_factory.mktemp("signing"))


@pytest.fixture(scope="module")
def signed_server(databases: Databases, signing: Signing) -> Iterator[ServerProcess]:
    """A server that signs."""
    with running(databases.url(databases.create()), **signing.environment) as process:
        yield process


@pytest.fixture
def shop(signed_server: ServerProcess) -> Iterator[Shop]:
    """A shop on it."""
    with signed_server.channel() as channel:
        yield Shop(channel, token(signed_server.database_url), program())


def get(shop: Shop, min_size: int = 0) -> Checkpoint:
    """A checkpoint."""
    request = GetCheckpointRequest(min_size=min_size)
    return shop.audit.GetCheckpoint(request, metadata=shop.metadata, timeout=TIMEOUT_S).checkpoint


def once_there(ask: Callable[[], Answer], *reasons: str) -> Answer:
    """An answer, as soon as it is not refused for one of some reasons any more."""
    pause, deadline = threading.Event(), time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except grpc.RpcError as error:
            if Details(error).reason not in reasons or time.monotonic() > deadline:
                raise
        pause.wait(0.05)


def signed(shop: Shop, size: int) -> Checkpoint:
    """The first checkpoint of at least a size, once it is there."""
    return once_there(lambda: get(shop, size), "NOT_SIGNED", "NOT_SEALED")


def inclusion(shop: Shop, **asked: int) -> ProveInclusionResponse:
    """A proof of inclusion."""
    return shop.audit.ProveInclusion(ProveInclusionRequest(**asked), metadata=shop.metadata, timeout=TIMEOUT_S)


def consistency(shop: Shop, **asked: int) -> ProveConsistencyResponse:
    """A proof of consistency."""
    return shop.audit.ProveConsistency(ProveConsistencyRequest(**asked), metadata=shop.metadata, timeout=TIMEOUT_S)


def sell(shop: Shop, count: int) -> int:
    """Sells something so many times; returns the position of the last event."""
    member = shop.member()
    for _ in range(count):
        shop.sale(member, 1_000)
    return shop.head()


def stored(database_url: str, position: int) -> bytes:
    """The leaf of an event, from the stored bytes."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT originator_id, originator_version, recorded_at, topic, state, request_id, transaction_id,"
            " sale_reference FROM events WHERE notification_id = %s",
            (position,),
        ).fetchone()
    assert row is not None
    return leaf_hash(leaf_of(StoredEvent(*row)))


def test_l3_an_old_checkpoint_is_consistent_with_today(shop: Shop, signing: Signing) -> None:
    """L3: by the public key, two checkpoints and a proof, without access to the database."""
    keys = signing.keys.verifiers
    first = signed(shop, sell(shop, 3))
    second = signed(shop, sell(shop, 40))
    old, new = (note.open_checkpoint(one.note, keys, ORIGIN) for one in (first, second))
    assert old.size == first.size < new.size == second.size
    proof = consistency(shop, old_size=old.size, tree_size=new.size)
    check_consistency(old.root, old.size, new.root, new.size, proof.hashes)
    assert (proof.old_root_hash, proof.root_hash) == (old.root, new.root)
    assert proof.checkpoint == second
    with pytest.raises(ProofInvalid):
        check_consistency(new.root, old.size, new.root, new.size, proof.hashes)
    newest = consistency(shop, old_size=old.size)
    assert newest.tree_size >= new.size
    assert newest.root_hash == note.open_checkpoint(newest.checkpoint.note, keys, ORIGIN).root


def test_events_are_in_the_log(shop: Shop, signing: Signing, signed_server: ServerProcess) -> None:
    """Each event's stored bytes are proved to be in the tree that was signed, at its position and no other."""
    head = sell(shop, 12)
    checkpoint = note.open_checkpoint(signed(shop, head).note, signing.keys.verifiers, ORIGIN)
    for position in (1, 2, head // 2, head):
        leaf = stored(signed_server.database_url, position)
        for size in (checkpoint.size, 0, position):
            proof = inclusion(shop, position=position, tree_size=size)
            assert proof.leaf_hash == leaf
            check_inclusion(proof.root_hash, proof.tree_size, position - 1, leaf, proof.hashes)
            if size == checkpoint.size:
                assert proof.root_hash == checkpoint.root
                with pytest.raises(ProofInvalid):
                    check_inclusion(checkpoint.root, size, position % size, leaf, proof.hashes)


def test_checkpoints_are_listed(shop: Shop, signing: Signing) -> None:
    """Newest first, page by page; each opens with the public key, and the file outside has the same."""
    for _ in range(3):
        signed(shop, sell(shop, 1))
    found: list[Checkpoint] = []
    request = ListCheckpointsRequest(page_size=2)
    while True:
        page = shop.audit.ListCheckpoints(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        assert len(page.checkpoints) <= 2
        found += page.checkpoints
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    sizes = [one.size for one in found]
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(sizes) >= 3
    outside = {one.size: (one.note, one.signed_at) for one in signing.kept()}
    for one in found:
        assert note.open_checkpoint(one.note, signing.keys.verifiers, ORIGIN).size == one.size
        assert outside[one.size] == (one.note, one.signed_at.ToMicroseconds())
    assert get(shop, min_size=sizes[1] + 1).size == sizes[0]
    assert get(shop, min_size=sizes[1]).size == sizes[1]
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        shop.audit.ListCheckpoints(ListCheckpointsRequest(page_token="x"), metadata=shop.metadata)


def test_what_is_not_there(shop: Shop) -> None:
    """Behind the end of the log: a clear answer each time, with where the end is."""
    head = sell(shop, 1)
    signed(shop, head)
    out_of_range = grpc.StatusCode.OUT_OF_RANGE
    for asked in (
        lambda: get(shop, FAR),
        lambda: inclusion(shop, position=FAR),
        lambda: inclusion(shop, position=1, tree_size=FAR),
        lambda: consistency(shop, old_size=FAR),
        lambda: consistency(shop, old_size=1, tree_size=FAR),
    ):
        with refused("POSITION_IN_FUTURE", out_of_range, head_position=shop.head()):
            asked()
    for bad in (
        lambda: get(shop, -1),
        lambda: inclusion(shop, position=0),
        lambda: inclusion(shop, position=-1),
        lambda: inclusion(shop, position=2, tree_size=1),
        lambda: consistency(shop, old_size=0),
        lambda: consistency(shop, old_size=2, tree_size=1),
    ):
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
            bad()


def test_without_a_key(open_shop: OpenShop) -> None:
    """The log is sealed and proofs can be had; who asks for a checkpoint is told what to set, in both languages."""
    shop = open_shop(program())
    head = sell(shop, 1)
    for asked in (
        lambda: get(shop),
        lambda: get(shop, 1),
        lambda: inclusion(shop, position=1),
        lambda: consistency(shop, old_size=1),
    ):
        with refused("NOT_SIGNED"):
            asked()
    listed = shop.audit.ListCheckpoints(ListCheckpointsRequest(), metadata=shop.metadata, timeout=TIMEOUT_S)
    assert not listed.checkpoints
    with pytest.raises(grpc.RpcError) as caught:
        get(shop)
    assert "LOYALTY_LOG_KEY_FILE" in str(caught.value.details())
    proof = once_there(lambda: inclusion(shop, position=head, tree_size=head), "NOT_SEALED")
    check_inclusion(proof.root_hash, head, head - 1, proof.leaf_hash, proof.hashes)
    assert not proof.HasField("checkpoint")


def test_only_auditors_of_the_whole_log(shop: Shop, signed_server: ServerProcess) -> None:
    """Tills may not ask, nor may an auditor of one program: sizes tell how busy the others are."""
    url = signed_server.database_url
    signed(shop, sell(shop, 1))
    for bound, code in (
        (token(url, "pos"), grpc.StatusCode.PERMISSION_DENIED),
        (token(url, "auditor", program=shop.program), grpc.StatusCode.PERMISSION_DENIED),
    ):
        with refused("NOT_ALLOWED", code):
            get(Shop(shop.channel, bound))
    assert get(Shop(shop.channel, token(url, "auditor"))).size > 0


PROVING = ("log_tiles", "log_checkpoints")

DAMAGES: list[tuple[str, str, Callable[[Shop], object]]] = [
    (
        "UPDATE log_tiles SET hashes = set_byte(hashes, 1, 255 - get_byte(hashes, 1)) WHERE level = 0 AND index = 0",
        "its hashes around event 3 have been changed",
        lambda shop: inclusion(shop, position=3, tree_size=290),
    ),
    (
        "DELETE FROM log_tiles WHERE level = 0 AND index = 0",
        "tile 0 of level 0, from event 1 on, is damaged",
        lambda shop: inclusion(shop, position=3, tree_size=290),
    ),
    (
        "DELETE FROM log_tiles WHERE level = 1",
        "tile 0 of level 1 does not fit",
        lambda shop: consistency(shop, old_size=3, tree_size=290),
    ),
    (
        "UPDATE log_tiles SET hashes = substr(hashes, 1, 320) WHERE level = 0 AND index = 1",
        "tile 1 of level 0 does not fit",
        lambda shop: consistency(shop, old_size=3, tree_size=290),
    ),
    (
        "UPDATE log_tiles SET hashes = set_byte(hashes, 1, 255 - get_byte(hashes, 1)) WHERE level = 0 AND index = 1",
        "is not that of the checkpoint of its size",
        lambda shop: consistency(shop, old_size=256),
    ),
    (
        "UPDATE log_checkpoints SET note = 'x'",
        "has been changed",
        lambda shop: consistency(shop, old_size=3),
    ),
]


@pytest.fixture(scope="module")
def damaged_url(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a sealed and signed log of 300 sales and more, and copies of what proves it."""
    url = databases.url(databases.create())
    keys = signing_in(tmp_path_factory.mktemp("sealed"))
    with running(url, **keys.environment) as server, server.channel() as channel:
        shop = Shop(channel, token(server.database_url), program())
        member = shop.member()
        shop.batch(*(shop.sale_request(member, 1_000) for _ in range(300)))
        assert signed(shop, 300).size >= 300
    change(url, *(f"CREATE TABLE sound_{table} AS TABLE {table}" for table in PROVING))
    return url


@pytest.fixture(scope="module")
def damaged_shop(damaged_url: str) -> Iterator[Shop]:
    """A server on that database, which seals nothing."""
    with running(damaged_url, LOYALTY_LOG_SEAL="no") as server, server.channel() as channel:
        yield Shop(channel, token(damaged_url))


@pytest.mark.parametrize(("damage", "says", "ask"), DAMAGES, ids=[says for _, says, _ in DAMAGES])
def test_a_damaged_tree_proves_nothing(
    damaged_url: str, damaged_shop: Shop, damage: str, says: str, ask: Callable[[Shop], object]
) -> None:
    """Whoever changes tiles or checkpoints as a superuser gets no proof out of them, and what is wrong is named."""
    change(damaged_url, *(f"DELETE FROM {table}" for table in PROVING))
    change(damaged_url, *(f"INSERT INTO {table} TABLE sound_{table}" for table in PROVING))
    ask(damaged_shop)
    change(damaged_url, damage)
    with pytest.raises(grpc.RpcError) as caught:
        ask(damaged_shop)
    details = Details(caught.value)
    assert (details.reason, details.code) == ("DATA_CORRUPT", grpc.StatusCode.DATA_LOSS)
    assert says in details.info.metadata["where"]
