"""The books, as AuditService answers from them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import date
from fractions import Fraction
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

import grpc
from loyalty.v1 import books_pb2 as pb
from loyalty.v1.audit_service_pb2_grpc import AuditServiceServicer
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.as_of import position_as_of
from ledger.api.check import CHECKS
from ledger.api.dispatch import wait_s
from ledger.api.errors import ApiError
from ledger.api.interceptor import PRINCIPAL
from ledger.api.known_program import check_known, unknown_program
from ledger.books.breakage import VINTAGES_MIN, Estimate, breakage
from ledger.books.journal import Entry, journal
from ledger.books.line import OWED, Basis, Books, Grain, Line, Reading, by_vintage, month_of
from ledger.books.revenue import MILLIONTHS, Expected, by_ladder, by_shares, deferred_revenue
from ledger.books.roll_forward import Rolled, roll_forward, worth
from ledger.books.tills import BadFile, Compared, Found, Receipt, Total, compare, read_file
from ledger.domain.rounding import INT64_MAX
from ledger.views import EventReader, ViewBehind
from ledger.writer.writer import Clock

LINES_PER_MESSAGE: Final = 1_000

TILL_DIFFERENCES_MAX: Final = 10_000
"""Differences between tills and ledger that one answer names."""

Context = grpc.aio.ServicerContext[Any, Any]

ItemT = TypeVar("ItemT")


class BooksRequest(Protocol):
    """What every request for books has."""

    program: str

    @property
    def as_of(self) -> pb.AsOf:
        """The instant to read as of."""


class BooksService(AuditServiceServicer):
    """The part of AuditService that is about books. Each call: check, read, work out, convert."""

    def __init__(self, books: Books, reader: EventReader, clock: Clock) -> None:
        self._books = books
        self._log = reader
        self._now = clock

    async def GetLiability(self, request: pb.GetLiabilityRequest, context: Context) -> pb.GetLiabilityResponse:
        """What members hold by vintage."""
        reading = await self._read(request, context, "booked", "month")
        price = request.minor_per_thousand_points or reading.minor_per_thousand_points
        vintages = [Rolled(0, line) for line in by_vintage(reading.lines).values()]
        total = Line(OWED, reading.on)
        for rolled in vintages:
            total = total.plus(rolled.line)
        shown = [_rolled(rolled, price, period="") for rolled in vintages]
        message = _rolled(Rolled(0, total), price, period="")
        message.closing_minor = sum(one.closing_minor for one in shown)
        return pb.GetLiabilityResponse(header=_header(request, reading, price), vintages=shown, total=message)

    async def ReadRollForward(
        self, request: pb.ReadRollForwardRequest, context: Context
    ) -> AsyncIterator[pb.ReadRollForwardResponse]:
        """What came and went, by period and vintage."""
        grain: Grain = "month" if request.period == pb.BookPeriod.BOOK_PERIOD_MONTH else "day"
        reading = await self._read(request, context, _basis(request.date, "booked"), grain)
        price = request.minor_per_thousand_points or reading.minor_per_thousand_points
        header = _header(request, reading, price)
        lines = roll_forward(reading.lines, *_dates(request.from_date, request.until_date))
        for part in _parts(_rolled(rolled, price) for rolled in lines):
            yield pb.ReadRollForwardResponse(header=header, lines=part)

    async def GetBreakage(self, request: pb.GetBreakageRequest, context: Context) -> pb.GetBreakageResponse:
        """What will never be redeemed, with the evidence."""
        reading = await self._read(request, context, _basis(request.date, "effective"), "month")
        lines, month = reading.lines, month_of(reading.on)
        result = await asyncio.to_thread(breakage, lines, month, request.vintages_min or VINTAGES_MIN)
        factors = [
            pb.DevelopmentFactor(
                from_age=one.from_age, factor_millionths=round(one.value * MILLIONTHS), vintages=one.vintages
            )
            for one in result.factors
        ]
        header = _header(request, reading, reading.minor_per_thousand_points)
        return pb.GetBreakageResponse(header=header, factors=factors, vintages=map(_estimate, result.estimates))

    async def GetDeferredRevenue(
        self, request: pb.GetDeferredRevenueRequest, context: Context
    ) -> pb.GetDeferredRevenueResponse:
        """Deferred revenue by vintage and month."""
        reading = await self._read(request, context, _basis(request.date, "booked"), "month")
        price = request.minor_per_thousand_points or reading.minor_per_thousand_points
        known = {one.vintage: one.allocated_minor for one in request.allocations}
        expected = _expected(request, reading.lines)
        revenue = await asyncio.to_thread(deferred_revenue, reading.lines, price, expected, known)
        return pb.GetDeferredRevenueResponse(
            header=_header(request, reading, price),
            allocations=[pb.PriceAllocation(**one._asdict()) for one in revenue.allocations],
            months=[
                pb.DeferredRevenue(
                    vintage=one.vintage,
                    month=one.month,
                    opening_minor=one.opening,
                    deferred_minor=one.deferred,
                    recognised_minor=one.recognised,
                    catch_up_minor=one.catch_up,
                    closing_minor=one.closing,
                    redeemed_points=one.redeemed_points,
                    expected_points=one.expected_points,
                )
                for one in revenue.months
            ],
        )

    async def ReadJournal(
        self, request: pb.ReadJournalRequest, context: Context
    ) -> AsyncIterator[pb.ReadJournalResponse]:
        """Balanced entries of days that are over."""
        reading = await self._read(request, context, "booked", "day")
        price = request.minor_per_thousand_points or reading.minor_per_thousand_points
        start, until = _dates(request.from_date, request.until_date)
        entries = journal(request.program, reading.lines, price, start, min(until, reading.on))
        header = _header(request, reading, price)
        for part in _parts(map(_journal_line, entries)):
            yield pb.ReadJournalResponse(header=header, lines=part)

    async def ReconcileTills(self, request: pb.ReconcileTillsRequest, context: Context) -> pb.ReconcileTillsResponse:
        """What tills say they sold against what the ledger has."""
        CHECKS[pb.ReconcileTillsRequest](request, self._now())
        await check_known(request.program, self._log)
        try:
            file = await asyncio.to_thread(read_file, request.csv)
        except BadFile as bad:
            raise ApiError.invalid([(_place(line), problem) for line, problem in bad.problems]) from None
        position = await asyncio.to_thread(self._log.head_position)
        sales: list[Receipt] = []
        for day in sorted({one.business_date for one in file.days}):
            sales += await asyncio.to_thread(self._books.receipts, request.program, day, position)
        days = compare(file, sales)
        found = [_difference(one) for day in days for one in day.found]
        return pb.ReconcileTillsResponse(
            position=position,
            days=map(_till_day, days),
            differences=found[:TILL_DIFFERENCES_MAX],
            total_differences=len(found),
        )

    async def _read(self, request: BooksRequest, context: Context, basis: Basis, grain: Grain) -> Reading:
        """The books that a request is about. Raises ApiError."""
        CHECKS[type(request)](request, self._now())  # type: ignore[index]  # it is a message
        if not PRINCIPAL.get().sees(request.program):
            raise unknown_program(request.program)
        position, read_at = await position_as_of(request.as_of, self._log, self._books, self._now())
        read = self._books.read if request.as_of.WhichOneof("instant") else self._books.read_now
        try:
            reading = await asyncio.to_thread(read, request.program, position, read_at, basis, grain, wait_s(context))
        except ViewBehind as behind:
            raise ApiError.of(ErrorReason.ERROR_REASON_VIEW_BEHIND, position=str(behind.position)) from None
        if reading is None:
            raise unknown_program(request.program)
        if any(abs(value) > INT64_MAX for line in reading.lines for value in line[2:]):
            raise ApiError.of(ErrorReason.ERROR_REASON_OVERFLOW)
        return reading


def _header(request: BooksRequest, reading: Reading, price: int) -> pb.BooksHeader:
    return pb.BooksHeader(
        program=request.program,
        position=reading.position,
        currency=reading.currency,
        minor_per_thousand_points=price,
    )


def _basis(day: pb.BookDate.ValueType, unspecified: Basis) -> Basis:
    by_date: dict[pb.BookDate.ValueType, Basis] = {
        pb.BookDate.BOOK_DATE_BOOKED: "booked",
        pb.BookDate.BOOK_DATE_EFFECTIVE: "effective",
    }
    return by_date.get(day, unspecified)


def _dates(first: str, until: str) -> tuple[date, date]:
    return (
        date.fromisoformat(first) if first else date.min,
        date.fromisoformat(until) if until else date.max,
    )


def _parts(items: Iterable[ItemT]) -> Iterator[Sequence[ItemT]]:
    """Items in parts that fit into a message; one empty part where there are none."""
    iterator = iter(items)
    yield list(islice(iterator, LINES_PER_MESSAGE))
    while part := list(islice(iterator, LINES_PER_MESSAGE)):
        yield part


def _rolled(rolled: Rolled, price: int, period: str | None = None) -> pb.RollForward:
    line = rolled.line
    return pb.RollForward(
        vintage=line.vintage,
        period=line.period.isoformat() if period is None else period,
        opening_points=rolled.opening,
        issued_points=line.issued,
        restored_points=line.restored,
        reinstated_points=line.reinstated,
        adjusted_points=line.adjusted,
        redeemed_points=-line.redeemed,
        expired_points=-line.expired,
        clawed_back_points=-line.clawed_back,
        closing_points=rolled.closing,
        closing_minor=worth(rolled.closing, price),
    )


def _estimate(one: Estimate) -> pb.VintageEstimate:
    return pb.VintageEstimate(
        vintage=one.vintage,
        age=max(one.age, 0),
        issued_points=one.total.issued_net,
        redeemed_points_by_age=one.triangle,
        expired_points=-one.total.expired,
        closing_points=one.total.points,
        estimated=not one.reason,
        ultimate_redeemed_points=one.ultimate,
        breakage_points=one.breakage,
        vintages_behind=one.vintages_behind,
        reason=one.reason,
    )


def _expected(request: pb.GetDeferredRevenueRequest, lines: Sequence[Line]) -> Expected:
    if not request.expectations:
        return by_ladder(lines, VINTAGES_MIN)
    return by_shares({one.from_month: Fraction(one.redeemed_millionths, MILLIONTHS) for one in request.expectations})


def _journal_line(entry: Entry) -> pb.JournalLine:
    return pb.JournalLine(
        document=entry.document,
        date=entry.day.isoformat(),
        account=entry.account,
        vintage=entry.vintage,
        debit_points=entry.debit_points,
        credit_points=entry.credit_points,
        debit_minor=entry.debit_minor,
        credit_minor=entry.credit_minor,
    )


def _place(line: int) -> str:
    return f"csv[line {line}]" if line else "csv"


def _till_day(day: Compared) -> pb.TillDay:
    return pb.TillDay(
        store=day.till.day.store,
        terminal=day.till.day.terminal,
        business_date=day.till.day.business_date,
        till_sales=day.till.sales,
        ledger_sales=day.ledger.sales,
        till_minor=day.till.amount_minor,
        ledger_minor=day.ledger.amount_minor,
        differences=len(day.found),
    )


def _difference(found: Found) -> pb.TillDifference:
    till, ledger = found.till, found.ledger
    message = pb.TillDifference(
        finding=pb.TillFinding.TILL_FINDING_DIFFERENT,
        store=found.day.store,
        terminal=found.day.terminal,
        business_date=found.day.business_date,
    )
    if till is None:
        message.finding = pb.TillFinding.TILL_FINDING_EXTRA
    else:
        message.till_minor, message.line = till.amount_minor, till.line
    if ledger is None:
        message.finding = pb.TillFinding.TILL_FINDING_MISSING
    else:
        message.ledger_minor = ledger.amount_minor
    if isinstance(till, Total) and isinstance(ledger, Total):
        message.till_sales, message.ledger_sales = till.sales, ledger.sales
    if isinstance(till, Receipt):
        message.sequence, message.request_id = till.sequence, till.request_id
    if isinstance(ledger, Receipt):
        message.sequence, message.transaction = ledger.sequence, f"transactions/{ledger.request_id}"
    return message
