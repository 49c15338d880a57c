"""Buying insight: the view of sales as the API asks it: see ledger.insight."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from google.protobuf.message import Message
from loyalty.v1 import insight_pb2 as pb
from loyalty.v1.program_pb2 import Program
from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from ledger.domain.names import member_name, program_stream
from ledger.insight import LINES_BYTES_MAX, LINES_MAX, LINES_PER_MESSAGE, SLOW_READER_S, ProgramUnknown, TookTooLong
from ledger.store.datastore import LedgerDatastore
from ledger.store.topics import decode
from ledger.views import ViewBehind
from projections.insight_demand import demand_of
from projections.insight_sales import (
    KEYS,
    Grouping,
    Names,
    by_pair_order,
    by_sales_order,
    conditions,
    int64,
    offer_figures,
    sales_figures,
)
from projections.sql import statements
from projections.tries import tries

WORK_MEM: Final = "64MB"
"""Of the database server, for a step of a question: sales of a year are grouped in memory."""

IDLE_MAX_S: Final = 2 * SLOW_READER_S
"""How long the database keeps a reader that fetches nothing. The API ends it before, unless it stands still itself."""

MIN_SALES_DEFAULT: Final = 2

_SQL: Final = {name: statement.decode() for name, statement in statements("insight.sql").items()}
_ITEMS: Final[Mapping[int, str]] = {pb.Item.ITEM_SKU: "sku", pb.Item.ITEM_BRAND: "brand"}
_CATEGORY: Final = "category"
_FIRST_DAY, _LAST_DAY = date.min, date.max

MessageT = TypeVar("MessageT", bound=Message)
Row = Sequence[Any]


class _Question(NamedTuple):
    """A moment of the database at which a question is answered."""

    cursor: Cursor[tuple[Any, ...]]
    header: pb.InsightHeader
    definitions: Sequence[Program]
    """Every version of the program, the newest first."""


class PostgresInsight:
    """Reads what members bought. The datastore must not be one for point lookups."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def sales(
        self, request: pb.ReadSalesFiguresRequest, wait_s: float, timeout_s: float
    ) -> Iterator[pb.ReadSalesFiguresResponse]:
        """Figures of sales."""
        grouping = Grouping(request.group_by)
        names: Names = {
            "dimensions": grouping.columns,
            "names": grouping.names,
            "labels": grouping.labels,
            "conditions": conditions(request.filter, of_lines=True),
            "order": by_sales_order(request.order, grouping),
            "offers": sql.SQL(""),
            "offer_columns": sql.SQL("NULL, NULL"),
            "offer_join": sql.SQL(""),
        }
        if request.with_offers:
            names |= {
                "offers": sql.SQL(_SQL["sales_offers"]).format(names=grouping.names),
                "offer_columns": sql.SQL("offers, offer_points"),
                "offer_join": sql.SQL(" LEFT JOIN told USING (whole{})").format(grouping.names),
            }
        with self._question(request.program, request.min_position, wait_s, timeout_s) as question:
            rows = self._rows(question, "sales", names, _asked(request))
            for header, lines in _parts(question.header, rows, request.limit, sales_figures(request.group_by)):
                yield pb.ReadSalesFiguresResponse(header=header, lines=lines)

    def offers(
        self, request: pb.ReadOfferFiguresRequest, wait_s: float, timeout_s: float
    ) -> Iterator[pb.ReadOfferFiguresResponse]:
        """Figures of offers."""
        grouping = Grouping(request.group_by)
        names: Names = {
            "dimensions": grouping.columns,
            "expressions": grouping.expressions,
            "names": grouping.names,
            "conditions": conditions(request.filter, of_lines=False),
            "ordered": grouping.ordered,
        }
        with self._question(request.program, request.min_position, wait_s, timeout_s) as question:
            rows = self._rows(question, "offers", names, _asked(request))
            figures = offer_figures(request.group_by, _kinds(question.definitions))
            for header, lines in _parts(question.header, rows, request.limit, figures):
                yield pb.ReadOfferFiguresResponse(header=header, lines=lines)

    def pairs(self, request: pb.ReadPairsRequest, wait_s: float, timeout_s: float) -> Iterator[pb.ReadPairsResponse]:
        """What is bought together."""
        parameters = _asked(request) | {
            "item": _ITEMS.get(request.item, _CATEGORY),
            "of": request.of,
            "min_sales": request.min_sales or MIN_SALES_DEFAULT,
        }
        with self._question(request.program, request.min_position, wait_s, timeout_s) as question:
            receipts = {"conditions": conditions(request.filter, of_lines=False)}
            ((sales,),) = self._rows(question, "receipts", receipts, parameters)
            names: Names = {"order": by_pair_order(request.order)}
            rows = self._rows(question, "companions" if request.of else "pairs", names, parameters)
            for header, lines in _parts(question.header, rows, request.limit, lambda row: _pair(row, sales)):
                yield pb.ReadPairsResponse(header=header, sales=sales, pairs=lines)

    def won_and_lost(
        self, request: pb.ReadWonAndLostRequest, wait_s: float, timeout_s: float
    ) -> Iterator[pb.ReadWonAndLostResponse]:
        """Members won and lost."""
        item = _ITEMS.get(request.item, _CATEGORY)
        asked = {"sku": request.filter.skus, "brand": request.filter.brands, _CATEGORY: request.filter.categories}[item]
        parameters = _asked(request) | {
            "item": item,
            "items": list(asked) or None,
            "first_from": date.fromisoformat(request.first_from_date),
            "first_until": date.fromisoformat(request.first_until_date),
            "second_from": date.fromisoformat(request.second_from_date),
            "second_until": date.fromisoformat(request.second_until_date),
        }
        with self._question(request.program, request.min_position, wait_s, timeout_s) as question:
            rows = self._rows(question, "won_and_lost", {}, parameters)
            for header, lines in _parts(question.header, rows, request.limit, _won_and_lost):
                yield pb.ReadWonAndLostResponse(header=header, lines=lines)
            if request.with_members:
                rows = self._rows(question, "changed_members", {}, parameters)
                for header, members in _parts(question.header, rows, request.limit, _change):
                    yield pb.ReadWonAndLostResponse(header=header, members=members)

    def demand(self, request: pb.ReadDemandRequest, wait_s: float, timeout_s: float) -> Iterator[pb.ReadDemandResponse]:
        """Demand by store."""
        asked = _asked(request)
        with self._question(request.program, request.min_position, wait_s, timeout_s) as question:
            promotions = {one.promotion_id for program in question.definitions for one in program.promotions}
            parameters = asked | {"promotions": sorted(promotions), "items": list(request.filter.skus) or None}
            rows = self._rows(question, "demand", {}, parameters)
            told = demand_of(asked["from"], asked["until"])
            for header, lines in _parts(question.header, rows, request.limit, told):
                yield pb.ReadDemandResponse(header=header, lines=lines)

    @contextmanager
    def _question(self, program: str, min_position: int, wait_s: float, timeout_s: float) -> Iterator[_Question]:
        """One moment of the database in which the view has reached a position."""
        position = 0
        for _ in tries(wait_s):
            with self._datastore.get_connection() as connection, connection.transaction():
                cursor = connection.cursor(row_factory=tuple_row)
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                ((position,),) = cursor.execute(_SQL["position"].encode()).fetchall()
                if position >= min_position:
                    _tune(cursor, timeout_s)
                    definitions = _definitions(cursor, program)
                    header = pb.InsightHeader(program=program, position=position, currency=definitions[0].currency)
                    try:
                        yield _Question(cursor, header, definitions)
                    except (psycopg.errors.QueryCanceled, psycopg.errors.IdleInTransactionSessionTimeout):
                        raise TookTooLong from None
                    return
        raise ViewBehind(position)

    @staticmethod
    def _rows(question: _Question, name: str, names: Names, parameters: Mapping[str, Any]) -> Iterator[Row]:
        """The rows of a statement, fetched as they are needed."""
        with question.cursor.connection.cursor("insight", row_factory=tuple_row) as cursor:
            cursor.itersize = LINES_PER_MESSAGE
            cursor.execute(sql.SQL(_SQL[name]).format(**names), parameters)
            yield from cursor


def _tune(cursor: Cursor[Any], timeout_s: float) -> None:
    for setting, value in (
        ("statement_timeout", f"{max(int(timeout_s * 1_000), 1)}ms"),
        ("idle_in_transaction_session_timeout", f"{int(IDLE_MAX_S * 1_000)}ms"),
        ("work_mem", WORK_MEM),
        ("jit", "off"),  # compiling takes longer than it saves
    ):
        cursor.execute("SELECT set_config(%s, %s, true)", (setting, value))


def _definitions(cursor: Cursor[Any], program: str) -> list[Program]:
    """Raises ProgramUnknown."""
    rows = cursor.execute(_SQL["publications"].encode(), {"stream": program_stream(program)}).fetchall()
    if not rows:
        raise ProgramUnknown
    published: list[Any] = [decode(topic, state) for topic, state in rows]
    return [one.request.program for one in published]


def _kinds(definitions: Sequence[Program]) -> dict[str, pb.OfferKind.ValueType]:
    """What an offer is, by the newest version that has it."""
    kinds: dict[str, pb.OfferKind.ValueType] = {}
    for program in reversed(definitions):
        kinds |= {one.rule_id: pb.OfferKind.OFFER_KIND_RULE for one in program.earning_rules}
        kinds |= {one.promotion_id: pb.OfferKind.OFFER_KIND_PROMOTION for one in program.promotions}
    return kinds


def _asked(request: Any) -> dict[str, Any]:
    """What a question is asked with. A list that is empty does not restrict."""
    chosen: pb.SalesFilter = request.filter
    return {
        "program": request.program,
        "from": date.fromisoformat(chosen.from_date) if chosen.from_date else _FIRST_DAY,
        "until": date.fromisoformat(chosen.until_date) if chosen.until_date else _LAST_DAY,
        "limit": (request.limit or LINES_MAX) + 1,
        **{name: list(getattr(chosen, name)) or None for name in KEYS},
    }


def _parts(
    header: pb.InsightHeader, rows: Iterator[Row], limit: int, as_message: Callable[[Row], MessageT]
) -> Iterator[tuple[pb.InsightHeader, list[MessageT]]]:
    """Rows in parts that fit into a message, at least one; the last says whether there are more than the limit."""
    header = pb.InsightHeader(program=header.program, position=header.position, currency=header.currency)
    limit = limit or LINES_MAX
    lines: list[MessageT] = []
    size = 0
    for told, row in enumerate(rows):
        if told == limit:
            header.is_truncated = True
            break
        line = as_message(row)
        size += line.ByteSize()
        if len(lines) == LINES_PER_MESSAGE or (lines and size > LINES_BYTES_MAX):
            yield header, lines
            lines, size = [], line.ByteSize()
        lines.append(line)
    yield header, lines


def _pair(row: Row, sales: int) -> pb.Pair:
    first, second, both, of_first, of_second = row
    return pb.Pair(
        first=first,
        second=second,
        sales=both,
        first_sales=of_first,
        second_sales=of_second,
        support=both / sales,
        confidence=both / of_first,
        reverse_confidence=both / of_second,
        lift=both * sales / (of_first * of_second),
    )


def _won_and_lost(row: Row) -> pb.WonAndLost:
    item, won, new, won_minor, lost, gone, lost_minor, kept, kept_first, kept_second = row
    return pb.WonAndLost(
        item=item,
        won_members=won,
        new_members=new,
        won_minor=int64(won_minor),
        lost_members=lost,
        gone_members=gone,
        lost_minor=int64(lost_minor),
        kept_members=kept,
        kept_first_minor=int64(kept_first),
        kept_second_minor=int64(kept_second),
    )


def _change(row: Row) -> pb.MemberChange:
    item, member_id, is_won, net_minor = row
    member: UUID = member_id
    kinds = pb.MemberChangeKind
    kind = kinds.MEMBER_CHANGE_KIND_WON if is_won else kinds.MEMBER_CHANGE_KIND_LOST
    return pb.MemberChange(item=item, member=member_name(member), kind=kind, net_minor=int64(net_minor))
