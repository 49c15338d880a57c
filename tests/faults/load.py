"""Tills at full load that remember what they sent and what they were told, and the check of that against the log."""

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import grpc
import psycopg
from google.protobuf.message import Message
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.earning_pb2 import EarningRule, SpendRule
from loyalty.v1.events_pb2 import SaleRecorded
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import Cashback, Reward

from ledger.domain.account import Account, AccountEvent
from ledger.store.topics import decode
from tests.proof import prove
from tests.shop import Shop, new_id

UNKNOWN: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
"""What a client may be told when nobody knows what became of its command."""

CALL_TIMEOUT_S: Final = 30.0
PROGRESS_TIMEOUT_S: Final = 60.0
BATCH_COMMANDS: Final = 20

READS_MAX: Final = 100
"""How often a read is tried while connections are broken."""

CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)
"""A till that comes back quickly, so that the tests do not wait for it."""


def load_program() -> Program:
    """1 point per euro; 5 points pay 1 euro."""
    return Program(
        earning_rules=[EarningRule(rule_id="spend", spend=SpendRule(points=1, per_minor=100))],
        rewards=[Reward(reward_id="cash", cashback=Cashback(points=5, value_minor=100))],
    )


def open_channel(address: str) -> grpc.Channel:
    """A channel that reconnects at once."""
    return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)


@dataclass
class Journal:
    """What all tills sent, and what they were told."""

    sent: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Message] = field(default_factory=dict)
    """Of commands that were acknowledged; refusals are not among what these tills send."""
    wrong: list[str] = field(default_factory=list)
    """Definite errors, of which there must be none."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def sending(self, requests: Sequence[Any]) -> None:
        """Remembers commands before they are sent, as a till must."""
        with self.changed:
            self.sent.update((request.request_id, request) for request in requests)

    def acknowledged(self, request_id: str, answer: Message) -> None:
        """Remembers an answer."""
        with self.changed:
            self.answers[request_id] = answer
            self.changed.notify_all()

    def failed(self, code: grpc.StatusCode, what: str) -> None:
        """Remembers an error unless it leaves the outcome open."""
        if code not in UNKNOWN:
            with self.changed:
                self.wrong.append(f"{code.name}: {what}")
                self.changed.notify_all()

    def copy(self) -> "Journal":
        """The journal as it is now, while tills go on."""
        with self.changed:
            return Journal(dict(self.sent), dict(self.answers), list(self.wrong))

    def unknown(self) -> list[Any]:
        """Commands whose outcome nobody knows."""
        return [request for request_id, request in self.sent.items() if request_id not in self.answers]

    def wait_for(self, more: int) -> None:
        """Waits until that many more commands are acknowledged."""
        with self.changed:
            goal = len(self.answers) + more
            self.changed.wait_for(lambda: len(self.answers) >= goal or self.wrong, PROGRESS_TIMEOUT_S)
            assert not self.wrong, self.wrong[:3]
            assert len(self.answers) >= goal, "no progress"


class Till(threading.Thread):
    """One client that sends one command, or one batch, after the other."""

    def __init__(self, shop: Shop, members: Sequence[str], journal: Journal, seed: int) -> None:
        super().__init__(daemon=True)
        self._shop = shop
        self._members = members
        self._journal = journal
        self._random = random.Random(seed)  # noqa: S311 - no secrets
        self._in_batches = seed % 2 == 1
        self._end = threading.Event()

    def end(self) -> None:
        """Ends after the present call."""
        self._end.set()

    def run(self) -> None:
        """Sends until told to end."""
        while not self._end.is_set():
            count = BATCH_COMMANDS if self._in_batches else 1
            requests = [self._request() for _ in range(count)]
            self._journal.sending(requests)
            try:
                send(self._shop, requests, self._journal, in_batch=self._in_batches)
            except grpc.RpcError as error:
                self._journal.failed(error.code(), error.details() or "")
                self._end.wait(0.02)  # a till does not hammer a server that is away

    def _request(self) -> Any:
        member = self._random.choice(self._members)
        kind = self._random.random()
        if kind < 0.1:
            card = Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value=new_id())
            return c.EnrollMemberRequest(
                request_id=new_id(), origin=self._shop.origin(), program=self._shop.program, identifiers=[card]
            )
        request = self._shop.sale_request(member, self._random.randrange(1, 20) * 100)
        if kind < 0.3:
            request.points_payment.reward_id = "cash"
        return request


def send(shop: Shop, requests: Sequence[Any], journal: Journal, *, in_batch: bool) -> None:
    """Sends commands and remembers the answers. Raises grpc.RpcError."""
    if in_batch:
        batch = pos.SubmitBatchRequest(commands=[as_command(request) for request in requests])
        response = shop.pos.SubmitBatch(batch, metadata=shop.metadata, timeout=CALL_TIMEOUT_S)
        for request, result in zip(requests, response.results, strict=True):
            kind = result.WhichOneof("result") or ""
            if kind == "error":
                code = next(code for code in grpc.StatusCode if code.value[0] == result.error.code)
                journal.failed(code, result.error.message)
            else:
                journal.acknowledged(request.request_id, getattr(result, kind))
        return
    for request in requests:
        call = shop.pos.EnrollMember if isinstance(request, c.EnrollMemberRequest) else shop.pos.RecordSale
        answer = call(request, metadata=shop.metadata, timeout=CALL_TIMEOUT_S)
        journal.acknowledged(request.request_id, answer)


def as_command(request: Any) -> c.Command:
    """A request as an item of a batch."""
    names: dict[type[Any], str] = {
        c.EnrollMemberRequest: "enroll_member",
        c.RecordSaleRequest: "record_sale",
        c.ReserveRewardRequest: "reserve_reward",
        c.CommitRewardRequest: "commit_reward",
        c.ReleaseRewardRequest: "release_reward",
        c.ReturnSaleRequest: "return_sale",
        c.ReverseTransactionRequest: "reverse_transaction",
    }
    return c.Command(**{names[type(request)]: request})


@contextmanager
def tills(shops: Sequence[Shop], members: Sequence[str], journal: Journal, count: int = 6) -> Iterator[None]:
    """Some tills at work, half of them in batches, spread over the shops' servers."""
    threads = [Till(shops[number // 2 % len(shops)], members, journal, number) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.join(PROGRESS_TIMEOUT_S)
            assert not thread.is_alive(), "a call was not answered"


def retry_unknown(shop: Shop, journal: Journal) -> int:
    """Sends every command without an answer again, under its own id; returns how many those were."""
    unknown = journal.unknown()
    for at in range(0, len(unknown), 100):
        send(shop, unknown[at : at + 100], journal, in_batch=True)
    assert not journal.wrong, journal.wrong[:3]
    assert not journal.unknown()
    return len(unknown)


def verify(database_url: str, journal: Journal) -> None:
    """The log against the journal: what was acknowledged is there once, nothing is there twice, all adds up."""
    journal = journal.copy()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT originator_id, originator_version, topic, state, notification_id, recorded_at, request_id"
            " FROM events ORDER BY notification_id"
        ).fetchall()
    assert [row[4] for row in rows] == list(range(1, len(rows) + 1))
    assert all(before[5] <= after[5] for before, after in pairwise(rows))
    positions: dict[str, int] = {}
    sold: list[str] = []
    accounts: dict[UUID, Account] = {}
    for stream, version, topic, state, position, _, request_id in rows:
        event = decode(topic, state)
        if request_id is not None:
            positions[str(request_id)] = position
        if isinstance(event, SaleRecorded):
            sold.append(event.request.request_id)
        if isinstance(event, AccountEvent):
            account = accounts.setdefault(stream, Account(stream))
            assert version == account.version + 1
            account.apply(event)
            account.check()
    assert len(sold) == len(set(sold))
    for request_id, answer in journal.answers.items():
        assert positions.get(request_id) == answer.outcome.position  # type: ignore[attr-defined]  # all of them are writes
    _verify_points(journal, accounts, set(sold))


def _verify_points(journal: Journal, accounts: dict[UUID, Account], sold: set[str]) -> None:
    """Each member has a point per euro of what the log holds, less what the answers say was spent."""
    earned: dict[str, int] = {}
    spent: dict[str, int] = {}
    for request_id, request in journal.sent.items():
        if not isinstance(request, c.RecordSaleRequest) or request_id not in sold:
            continue
        price = sum(item.price_minor for item in request.sale.lines)
        earned[request.member] = earned.get(request.member, 0) + price // 100
        answer = journal.answers.get(request_id)
        if isinstance(answer, pos.RecordSaleResponse):
            spent[request.member] = spent.get(request.member, 0) + answer.receipt.spent_points
    for account in accounts.values():
        name = f"members/{account.account_id}"
        assert account.issued == earned.get(name, 0)
        if not journal.unknown():
            assert account.redeemed == spent.get(name, 0)


def prove_all(shop: Shop, members: Sequence[str]) -> None:
    """Proves the balances. Reads may be UNAVAILABLE at first: connections that broke are noticed when they are used."""
    for member in members:
        for _ in range(READS_MAX):
            try:
                prove(shop, member)
            except grpc.RpcError as error:
                assert error.code() in UNKNOWN, error  # noqa: PT017 - the loop goes on for these
            else:
                break
        else:
            raise AssertionError("reads do not recover")
