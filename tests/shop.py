"""A shop for tests: a real client of a real server, in few words."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # the package ships no types
    BadRequest,
    ErrorInfo,
    LocalizedMessage,
    RetryInfo,
)
from grpc_status import rpc_status
from loyalty.v1 import books_pb2 as books
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.account_pb2 import Balance
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.audit_service_pb2_grpc import AuditServiceStub
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.events_pb2 import Event
from loyalty.v1.explain_pb2 import Explanation
from loyalty.v1.member_pb2 import Identifier, Profile
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GrantRewardResponse, PublishProgramResponse
from loyalty.v1.program_service_pb2_grpc import ProgramServiceStub
from loyalty.v1.sale_pb2 import ReturnLine, Sale, SaleLine

TIMEOUT_S = 30.0

_numbers = count(1)


def new_id() -> str:
    """A request id that nobody has used."""
    return str(uuid4())


def instant(text: str) -> Timestamp:
    """An instant from ISO 8601, such as 2020-07-06T12:00+05:30; UTC without an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def line(price_minor: int, sku: str = "", **fields: Any) -> SaleLine:
    """A sale line."""
    return SaleLine(price_minor=price_minor, sku=sku, **fields)


def basket_w() -> list[SaleLine]:
    """The scenario book's basket W: 12.00 red, 100.00 blue and 40.00 delivery, 152.00 in all."""
    return [
        line(1200, "123", labels=["red"]),
        line(10000, "000", labels=["blue"]),
        line(4000, "0001", labels=["delivery"]),
    ]


class Shop:
    """A program of its own, and a till that sells in it."""

    def __init__(self, channel: grpc.Channel, token: str, program: Program | None = None, store: str = "s-1") -> None:
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.channel = channel
        self.pos = PosServiceStub(channel)
        self.programs = ProgramServiceStub(channel)
        self.audit = AuditServiceStub(channel)
        self.crm = CrmServiceStub(channel)
        self.store = store
        self.terminal = f"t-{next(_numbers)}"
        self.program = ""
        if program is not None:
            self.publish(program)

    # -- the programme manager

    def publish(self, program: Program) -> PublishProgramResponse:
        """Publishes a program, under a name of its own unless it has one."""
        if not program.name:
            program.name = self.program or f"programs/p-{uuid4()}"
        program.currency = program.currency or "EUR"
        program.time_zone = program.time_zone or "Europe/Berlin"
        program.default_region = program.default_region or "DE"
        self.program = program.name
        request = c.PublishProgramRequest(request_id=new_id(), program=program)
        return self.programs.PublishProgram(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def adjust(self, member: str, points: int, *, reason: str = "test", **fields: Any) -> Any:
        """Adds points by hand, or takes them off."""
        request = c.AdjustPointsRequest(
            request_id=fields.pop("request_id", new_id()),
            origin=self.origin(**fields),
            member=member,
            points=points,
            reason=reason,
        )
        return self.programs.AdjustPoints(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def grant(self, member: str, reward_id: str, quantity: int = 0, **fields: Any) -> GrantRewardResponse:
        """Gives a reward for no points, as a manager."""
        request = c.GrantRewardRequest(
            request_id=fields.pop("request_id", "") or new_id(),
            origin=self.origin(**fields),
            member=member,
            reward_id=reward_id,
            quantity=quantity,
            reason="test",
        )
        return self.programs.GrantReward(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def revoke(self, voucher: str, *, reason: str = "test", **fields: Any) -> Any:
        """Takes a voucher back, as a manager."""
        request = c.RevokeVoucherRequest(
            request_id=fields.pop("request_id", "") or new_id(),
            origin=self.origin(fields.pop("at", None)),
            voucher=voucher,
            reason=reason,
        )
        return self.programs.RevokeVoucher(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def upload_codes(self, code_pool: str, *codes: str, request_id: str = "", program: str = "") -> Any:
        """Uploads codes for vouchers, as a manager."""
        request = c.UploadVoucherCodesRequest(
            request_id=request_id or new_id(),
            origin=self.origin(),
            program=program or self.program,
            code_pool=code_pool,
            codes=codes,
        )
        return self.programs.UploadVoucherCodes(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def revoke_entitlement(self, entitlement: str, *, reason: str = "test", **origin: Any) -> Any:
        """Takes an entitlement back, as a manager."""
        request = c.RevokeEntitlementRequest(
            request_id=new_id(), origin=self.origin(**origin), entitlement=entitlement, reason=reason
        )
        return self.programs.RevokeEntitlement(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def pin(self, member: str, tier: str, *, reason: str = "test", **fields: Any) -> Any:
        """Pins a member's tier; an empty one lets go of it."""
        request = c.SetTierFloorRequest(
            request_id=fields.pop("request_id", new_id()),
            origin=self.origin(**fields),
            member=member,
            tier=tier,
            reason=reason,
        )
        return self.programs.SetTierFloor(request, metadata=self.metadata, timeout=TIMEOUT_S)

    # -- the auditor

    def liability(self, price: int = 0, **as_of: Any) -> books.GetLiabilityResponse:
        """What members hold by vintage; `price` is what 1,000 points are worth, in cents."""
        request = books.GetLiabilityRequest(
            program=self.program, as_of=books.AsOf(**as_of), minor_per_thousand_points=price
        )
        return self.audit.GetLiability(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def reconcile_tills(self, csv: str | bytes) -> books.ReconcileTillsResponse:
        """What tills say against what the ledger has."""
        content = csv if isinstance(csv, bytes) else csv.encode()
        request = books.ReconcileTillsRequest(program=self.program, csv=content)
        return self.audit.ReconcileTills(request, metadata=self.metadata, timeout=TIMEOUT_S)

    # -- the till

    def use(self, entitlement: str, *, request_id: str = "", **origin: Any) -> pos.UseEntitlementResponse:
        """Uses an entitlement."""
        request = c.UseEntitlementRequest(
            request_id=request_id or new_id(), origin=self.origin(**origin), entitlement=entitlement
        )
        return self.pos.UseEntitlement(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def activity(self, member: str, activity: str, **fields: Any) -> pos.RecordActivityResponse:
        """Records an activity; `at` is when it happened."""
        request = c.RecordActivityRequest(
            request_id=fields.pop("request_id", "") or new_id(),
            origin=self.origin(fields.pop("at", None)),
            member=member,
            activity=activity,
            **fields,
        )
        return self.pos.RecordActivity(request, metadata=self.metadata)

    def extend_expiry(self, member: str, expires_at: str, *, lot: int = 0, at: str | None = None) -> Any:
        """Lets points expire later, as a manager."""
        request = c.ExtendExpiryRequest(
            request_id=new_id(),
            origin=self.origin(at),
            member=member,
            lot=lot,
            expires_at=instant(expires_at),
            reason="test",
        )
        return self.programs.ExtendExpiry(request, metadata=self.metadata)

    def reinstate(self, member: str, points: int, *, expires_at: str = "", at: str | None = None) -> Any:
        """Gives expired points back, as a manager."""
        request = c.ReinstatePointsRequest(
            request_id=new_id(),
            origin=self.origin(at),
            member=member,
            points=points,
            expires_at=instant(expires_at) if expires_at else None,
            reason="test",
        )
        return self.programs.ReinstatePoints(request, metadata=self.metadata)

    def settle_pending(self, member: str, fate: str, *, lot: int = 0, transaction: str = "", **fields: Any) -> Any:
        """Activates or cancels pending points, as a manager."""
        request = c.SettlePendingRequest(
            request_id=fields.pop("request_id", "") or new_id(),
            origin=self.origin(fields.pop("at", None)),
            member=member,
            lot=lot,
            transaction=transaction,
            fate=c.PendingFate.Value(f"PENDING_FATE_{fate.upper()}"),
        )
        return self.programs.SettlePending(request, metadata=self.metadata)

    def origin(self, at: str | Timestamp | None = None, till: int = 0) -> Origin:
        """Where a command comes from; `at` is the till's clock and `till` its receipt number."""
        origin = Origin(store=self.store, terminal=self.terminal, operator="op-7")
        if at is not None:
            origin.occurred_at.CopyFrom(instant(at) if isinstance(at, str) else at)
        if till:
            origin.till.business_date = "2026-01-31"
            origin.till.sequence = till
        return origin

    def reference(self, till: int) -> c.SaleReference:
        """The receipt of that number at this till."""
        return c.SaleReference(store=self.store, terminal=self.terminal, till=self.origin(till=till).till)

    def enroll(
        self,
        identifiers: Iterable[Identifier] = (),
        *,
        profile: Profile | None = None,
        request_id: str = "",
        **origin: Any,
    ) -> pos.EnrollMemberResponse:
        """Enrols a member."""
        request = c.EnrollMemberRequest(
            request_id=request_id or new_id(),
            origin=self.origin(**origin),
            program=self.program,
            identifiers=identifiers,
            profile=profile,
        )
        return self.pos.EnrollMember(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def here(self, identifier: Identifier) -> Identifier:
        """An identifier in this shop's program, for callers whose credential is bound to none."""
        return Identifier(type=identifier.type, value=identifier.value, program=self.program)

    def member(self) -> str:
        """A new member's name."""
        return self.enroll().member

    def sale_request(
        self,
        member: str | Identifier,
        lines: int | Sequence[SaleLine],
        *,
        request_id: str = "",
        at: str | Timestamp | None = None,
        till: int = 0,
        **fields: Any,
    ) -> c.RecordSaleRequest:
        """A sale; a number is the price of its only line. Other fields go to the sale or the request."""
        if isinstance(lines, int):
            lines = [line(lines)]
        sale_fields = {name: fields.pop(name) for name in ("currency", "discounts", "tenders") if name in fields}
        request = c.RecordSaleRequest(
            request_id=request_id or new_id(),
            origin=self.origin(at, till),
            sale=Sale(lines=lines, **sale_fields),
            **fields,
        )
        if isinstance(member, str):
            request.member = member
        else:
            request.identifier.CopyFrom(member)
        return request

    def record(self, request: c.RecordSaleRequest) -> pos.RecordSaleResponse:
        """Sends a sale."""
        return self.pos.RecordSale(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def sale(self, member: str | Identifier, lines: int | Sequence[SaleLine], **fields: Any) -> pos.RecordSaleResponse:
        """Records a sale."""
        return self.record(self.sale_request(member, lines, **fields))

    def quote(self, member: str | Identifier, lines: int | Sequence[SaleLine], **fields: Any) -> pos.QuoteSaleResponse:
        """Quotes a sale."""
        request = pos.QuoteSaleRequest(sale=self.sale_request(member, lines, **fields))
        return self.pos.QuoteSale(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def reserve(
        self,
        member: str,
        reward_id: str,
        quantity: int = 0,
        *,
        request_id: str = "",
        cost_hint_points: int = 0,
        **origin: Any,
    ) -> pos.ReserveRewardResponse:
        """Reserves a reward."""
        request = c.ReserveRewardRequest(
            request_id=request_id or new_id(),
            origin=self.origin(**origin),
            member=member,
            reward_id=reward_id,
            quantity=quantity,
            cost_hint_points=cost_hint_points,
        )
        return self.pos.ReserveReward(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def commit(self, hold: str, *, request_id: str = "", **origin: Any) -> pos.CommitRewardResponse:
        """Commits a hold."""
        request = c.CommitRewardRequest(request_id=request_id or new_id(), origin=self.origin(**origin), hold=hold)
        return self.pos.CommitReward(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def release(self, hold: str, *, request_id: str = "", **origin: Any) -> pos.ReleaseRewardResponse:
        """Releases a hold."""
        request = c.ReleaseRewardRequest(request_id=request_id or new_id(), origin=self.origin(**origin), hold=hold)
        return self.pos.ReleaseReward(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def give_back(
        self,
        transaction: str = "",
        lines: Sequence[str | ReturnLine] = (),
        *,
        member: str = "",
        receipt: c.SaleReference | None = None,
        request_id: str = "",
        **origin: Any,
    ) -> pos.ReturnSaleResponse:
        """Returns lines of a sale, or all that is left of it."""
        request = c.ReturnSaleRequest(
            request_id=request_id or new_id(),
            origin=self.origin(**origin),
            lines=[ReturnLine(line_id=item) if isinstance(item, str) else item for item in lines],
        )
        if transaction:
            request.transaction = transaction
        if receipt is not None:
            request.till.CopyFrom(receipt)
        if member:
            request.member = member
        return self.pos.ReturnSale(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def reverse(
        self,
        transaction: str = "",
        *,
        original_request_id: str = "",
        request_id: str = "",
        **origin: Any,
    ) -> pos.ReverseTransactionResponse:
        """Reverses a transaction."""
        request = c.ReverseTransactionRequest(request_id=request_id or new_id(), origin=self.origin(**origin))
        if transaction:
            request.transaction = transaction
        else:
            request.original_request_id = original_request_id
        return self.pos.ReverseTransaction(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def batch(self, *requests: Message, with_texts: bool = False) -> list[pos.CommandResult]:
        """Sends commands as one batch; returns their results."""
        request = pos.SubmitBatchRequest(commands=map(command, requests), with_texts=with_texts)
        response = self.pos.SubmitBatch(request, metadata=self.metadata, timeout=TIMEOUT_S)
        return list(response.results)

    # -- reading

    def balance(self, member: str, as_of: str | None = None, *, min_position: int | None = None) -> Balance:
        """The balance, by default as of now and with everything that the log holds now."""
        return self.get_balance(member, as_of, min_position=min_position).balance

    def get_balance(
        self, member: str, as_of: str | None = None, *, min_position: int | None = None
    ) -> pos.GetBalanceResponse:
        """The same with all that comes with it."""
        if min_position is None:
            min_position = self.head()
        request = pos.GetBalanceRequest(member=member, min_position=min_position)
        if as_of is not None:
            request.as_of.CopyFrom(instant(as_of))
        return self.pos.GetBalance(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def head(self) -> int:
        """The end of the log."""
        request = ReadEventsRequest(batch_size=1)
        for page in self.audit.ReadEvents(request, metadata=self.metadata, timeout=TIMEOUT_S):
            return page.head_position
        return 0

    def events(self, member: str, *types: str, after: int = 0) -> list[Event]:
        """A member's events (all members' for ""), of some types or all."""
        request = ReadEventsRequest(subject=member, types=types, after_position=after)
        pages = self.audit.ReadEvents(request, metadata=self.metadata, timeout=TIMEOUT_S)
        return [event for page in pages for event in page.events]

    def written(self, after: int) -> list[Event]:
        """What commands wrote behind a position, without deadlines of other tests' members and who read what."""
        events = self.events("", after=after)
        return [event for event in events if event.transaction and not event.subject.startswith("trails/")]

    def transaction(self, name: str) -> pos.GetTransactionResponse:
        """A transaction."""
        request = pos.GetTransactionRequest(name=name)
        return self.pos.GetTransaction(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def explain(self, name: str) -> Explanation:
        """A transaction, explained."""
        request = pos.ExplainTransactionRequest(name=name)
        return self.pos.ExplainTransaction(request, metadata=self.metadata, timeout=TIMEOUT_S).explanation


def command(request: Message) -> c.Command:
    """A request as an item of a batch or stream."""
    for field in c.Command.DESCRIPTOR.fields:
        if field.message_type is request.DESCRIPTOR:
            item = c.Command()
            getattr(item, field.name).CopyFrom(request)
            return item
    raise AssertionError(f"{request.DESCRIPTOR.name} is no command of a batch")


class Details:
    """The details of an error."""

    def __init__(self, error: Any) -> None:  # a grpc.RpcError is a grpc.Call too, which its types deny
        self.code = error.code()
        self.info = ErrorInfo()
        self.bad_request = BadRequest()
        self.retry = RetryInfo()
        self.localized = LocalizedMessage()
        status = rpc_status.from_call(error)
        for detail in status.details if status is not None else ():
            for message in (self.info, self.bad_request, self.retry, self.localized):
                detail.Unpack(message)

    @property
    def reason(self) -> str:
        """The reason, without the enum's prefix."""
        return str(self.info.reason)

    @property
    def fields(self) -> list[str]:
        """The fields at fault."""
        return [violation.field for violation in self.bad_request.field_violations]


@contextmanager
def refused(
    reason: str,
    code: grpc.StatusCode = grpc.StatusCode.FAILED_PRECONDITION,
    **metadata: str | int,
) -> Iterator[None]:
    """A block whose last call is refused, for this reason and with at least this metadata."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    details = Details(caught.value)
    assert (details.reason, details.code) == (reason, code)
    assert details.localized.message
    told = {name: details.info.metadata[name] for name in metadata}
    assert told == {name: str(value) for name, value in metadata.items()}
