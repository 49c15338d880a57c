"""`loyalty report sales`, `offers`, `pairs`, `won-lost` and `demand`: what members buy, for buyers and marketing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import grpc
import typer
from loyalty.v1 import insight_pb2 as i
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.origin_pb2 import Channel

from ledger.cli.connection import AddressOption, DataDirOption, TokenOption, connect, fail, fail_call
from ledger.cli.flat_rows import Column, FileKind, columns_of, write
from ledger.cli.report import DEFAULT_PROGRAM, FromOption, ProgramOption, UntilOption
from ledger.proof.event_rows import ExtraMissing

CALL_TIMEOUT_S: Final = 300.0

app = typer.Typer(no_args_is_help=True)


class By(StrEnum):
    """What figures are told by."""

    sku = "sku"
    category = "category"
    brand = "brand"
    label = "label"
    store = "store"
    day = "day"
    week = "week"
    month = "month"
    channel = "channel"
    tier = "tier"
    member = "member"


class Of(StrEnum):
    """What is one thing that is bought."""

    category = "category"
    sku = "sku"
    brand = "brand"


class Order(StrEnum):
    """The order of figures."""

    key = "key"
    net = "net"
    units = "units"
    sales = "sales"


class PairOrder(StrEnum):
    """The order of pairs."""

    sales = "sales"
    lift = "lift"
    confidence = "confidence"


ByOption = Annotated[list[By] | None, typer.Option("--by", help="What to tell them by; may be given again.")]
StoresOption = Annotated[list[str] | None, typer.Option("--store", help="Only these stores.")]
ChannelsOption = Annotated[
    list[str] | None, typer.Option("--channel", help="Only these channels, such as store, web or app.")
]
SkusOption = Annotated[list[str] | None, typer.Option("--sku", help="Only these SKUs.")]
CategoriesOption = Annotated[list[str] | None, typer.Option("--category", help="Only these categories.")]
OffersOption = Annotated[list[str] | None, typer.Option("--offer", help="Only sales with one of these offers.")]
ItemOption = Annotated[Of, typer.Option("--of", help="What counts as one thing.")]
LimitOption = Annotated[int, typer.Option(min=0, max=1_000_000, help="Lines at most; 0: a million.")]
KindOption = Annotated[FileKind, typer.Option("--format", help="Parquet needs --output and the extra `export`.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="A file, instead of the standard output.")]

_DATES: Final = frozenset({By.day, By.week, By.month})

_NOT_IN_TABLE: Final = (
    "returned_units", "till_discount_minor", "reward_discount_minor", "returned_minor", "costed_net_minor",
    "taken_back_points", "restored_points", "first_date", "last_date",
)  # fmt: skip
"""Figures of sales that a table would be too wide with."""


@app.command()
def sales(  # noqa: PLR0913, PLR0917 - the options of the command
    program: ProgramOption = DEFAULT_PROGRAM,
    by: ByOption = None,
    first: FromOption = "",
    until: UntilOption = "",
    stores: StoresOption = None,
    channels: ChannelsOption = None,
    skus: SkusOption = None,
    categories: CategoriesOption = None,
    offers: OffersOption = None,
    order: Annotated[Order, typer.Option(help="In which order.")] = Order.key,
    with_offers: Annotated[bool, typer.Option("--with-offers", help="Also the points of each offer.")] = False,
    limit: LimitOption = 0,
    form: KindOption = FileKind.table,
    output: OutputOption = None,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """What was sold, before and after discounts, with points and margin. CSV and Parquet have more than the table."""
    chosen = _filter(first, until, stores, channels)
    chosen.skus.extend(skus or ())
    chosen.categories.extend(categories or ())
    chosen.offers.extend(offers or ())
    request = i.ReadSalesFiguresRequest(
        program=program,
        filter=chosen,
        group_by=_dimensions(by),
        order=i.SalesOrder.Value("SALES_ORDER_" + ("UNSPECIFIED" if order == Order.key else order.upper())),
        with_offers=with_offers,
        limit=limit,
    )
    without = {*(() if with_offers else ("offers",)), *(_NOT_IN_TABLE if form == FileKind.table else ())}
    columns = columns_of(i.SalesFigures, _keys(by), without)
    parts = _ask(address, token, data_dir, lambda crm, options: crm.ReadSalesFigures(request, **options))
    _write((part.lines for part in parts), columns, form, output)


@app.command()
def offers(  # noqa: PLR0913, PLR0917 - the options of the command
    program: ProgramOption = DEFAULT_PROGRAM,
    by: ByOption = None,
    first: FromOption = "",
    until: UntilOption = "",
    stores: StoresOption = None,
    channels: ChannelsOption = None,
    only: OffersOption = None,
    limit: LimitOption = 0,
    form: KindOption = FileKind.table,
    output: OutputOption = None,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """What earning rules, promotions and rewards did."""
    chosen = _filter(first, until, stores, channels)
    chosen.offers.extend(only or ())
    request = i.ReadOfferFiguresRequest(program=program, filter=chosen, group_by=_dimensions(by), limit=limit)
    parts = _ask(address, token, data_dir, lambda crm, options: crm.ReadOfferFigures(request, **options))
    _write((part.lines for part in parts), columns_of(i.OfferFigures, _keys(by)), form, output)


@app.command()
def pairs(  # noqa: PLR0913, PLR0917 - the options of the command
    program: ProgramOption = DEFAULT_PROGRAM,
    item: ItemOption = Of.category,
    companion_of: Annotated[str, typer.Option("--with", help="Only the companions of this one.")] = "",
    least: Annotated[int, typer.Option("--min-sales", min=0, help="Sales with both, at least; 0 for 2.")] = 0,
    first: FromOption = "",
    until: UntilOption = "",
    stores: StoresOption = None,
    channels: ChannelsOption = None,
    order: Annotated[PairOrder, typer.Option(help="In which order.")] = PairOrder.sales,
    limit: LimitOption = 0,
    form: KindOption = FileKind.table,
    output: OutputOption = None,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """What is bought together."""
    request = i.ReadPairsRequest(
        program=program,
        filter=_filter(first, until, stores, channels),
        item=_item(item),
        of=companion_of,
        min_sales=least,
        order=i.PairOrder.Value(f"PAIR_ORDER_{order.upper()}"),
        limit=limit,
    )
    parts = _ask(address, token, data_dir, lambda crm, options: crm.ReadPairs(request, **options))
    _write((part.pairs for part in parts), columns_of(i.Pair), form, output)


@app.command("won-lost")
def won_lost(  # noqa: PLR0913, PLR0917 - the options of the command
    first_from: Annotated[str, typer.Argument(help="The first day of the first period, as 2026-01-01.")],
    first_until: Annotated[str, typer.Argument(help="The first day behind it.")],
    second_from: Annotated[str, typer.Argument(help="The first day of the second period.")],
    second_until: Annotated[str, typer.Argument(help="The first day behind it.")],
    program: ProgramOption = DEFAULT_PROGRAM,
    item: ItemOption = Of.category,
    members: Annotated[bool, typer.Option("--members", help="Tell the members instead of how many.")] = False,
    stores: StoresOption = None,
    channels: ChannelsOption = None,
    limit: LimitOption = 0,
    form: KindOption = FileKind.table,
    output: OutputOption = None,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Members who began to buy something, and who stopped, between two periods."""
    request = i.ReadWonAndLostRequest(
        program=program,
        filter=_filter("", "", stores, channels),
        item=_item(item),
        first_from_date=first_from,
        first_until_date=first_until,
        second_from_date=second_from,
        second_until_date=second_until,
        with_members=members,
        limit=limit,
    )
    parts = _ask(address, token, data_dir, lambda crm, options: crm.ReadWonAndLost(request, **options))
    if members:
        _write((part.members for part in parts), columns_of(i.MemberChange), form, output)
    else:
        _write((part.lines for part in parts), columns_of(i.WonAndLost), form, output)


@app.command()
def demand(  # noqa: PLR0913, PLR0917 - the options of the command
    first: Annotated[str, typer.Option("--from", help="The first day, as 2026-01-31.")],
    until: Annotated[str, typer.Option("--until", help="The first day that is not wanted any more.")],
    program: ProgramOption = DEFAULT_PROGRAM,
    stores: StoresOption = None,
    channels: ChannelsOption = None,
    skus: SkusOption = None,
    limit: LimitOption = 0,
    form: KindOption = FileKind.table,
    output: OutputOption = None,
    address: AddressOption = "",
    token: TokenOption = "",
    data_dir: DataDirOption = Path("var"),
) -> None:
    """Demand for SKUs by store, for planning stock."""
    chosen = _filter(first, until, stores, channels)
    chosen.skus.extend(skus or ())
    request = i.ReadDemandRequest(program=program, filter=chosen, limit=limit)
    parts = _ask(address, token, data_dir, lambda crm, options: crm.ReadDemand(request, **options))
    _write((part.lines for part in parts), columns_of(i.Demand), form, output)


def _filter(first: str, until: str, stores: Sequence[str] | None, channels: Sequence[str] | None) -> i.SalesFilter:
    return i.SalesFilter(from_date=first, until_date=until, stores=stores or (), channels=map(_channel, channels or ()))


def _channel(name: str) -> Channel.ValueType:
    try:
        return Channel.Value(f"CHANNEL_{name.upper()}")
    except ValueError:
        known = ", ".join(key.removeprefix("CHANNEL_").lower() for key in Channel.keys()[1:])
        fail(f"--channel {name}: give one of {known}")


def _dimensions(by: Sequence[By] | None) -> list[i.SalesDimension.ValueType]:
    return [i.SalesDimension.Value(f"SALES_DIMENSION_{one.upper()}") for one in by or ()]


def _keys(by: Sequence[By] | None) -> list[str]:
    """The fields of SalesKey that figures are told by."""
    return ["date" if one in _DATES else one.value for one in by or ()]


def _item(item: Of) -> i.Item.ValueType:
    return i.Item.Value(f"ITEM_{item.upper()}")


def _ask(
    address: str, token: str, data_dir: Path, call: Callable[[CrmServiceStub, dict[str, Any]], Iterable[Any]]
) -> Iterator[Any]:
    """The parts of an answer; ends the command with one line where it fails."""
    connection = connect(address, token, data_dir, "admin")
    options = {"metadata": connection.metadata, "timeout": CALL_TIMEOUT_S}
    with connection.channel:
        try:
            for part in call(CrmServiceStub(connection.channel), options):
                yield part
                if part.header.is_truncated:
                    typer.echo("loyalty: there are more lines than the limit", err=True)
        except grpc.RpcError as error:
            fail_call(error)


def _write(parts: Iterable[Sequence[Any]], columns: Sequence[Column], form: FileKind, output: Path | None) -> None:
    if form == FileKind.parquet and output is None:
        fail("--format parquet needs --output FILE")
    try:
        write(parts, columns, form, output)
    except (ExtraMissing, OSError) as error:
        fail(str(error))
