"""Reconciliation with tills: what they say against what the ledger has, through the API."""

import grpc
import pytest
from loyalty.v1.books_pb2 import ReconcileTillsResponse, TillDifference, TillFinding
from loyalty.v1.sale_pb2 import SaleDiscount

from tests.conftest import OpenShop
from tests.programs import program
from tests.proof import prove
from tests.shop import Shop, line, refused

MISSING = TillFinding.TILL_FINDING_MISSING
EXTRA = TillFinding.TILL_FINDING_EXTRA
DIFFERENT = TillFinding.TILL_FINDING_DIFFERENT

DATE = "2026-01-31"
RECEIPTS = "store,terminal,business_date,sequence,amount_minor"
TOTALS = "store,terminal,business_date,sales,amount_minor"


def file(shop: Shop, *rows: str, header: str = RECEIPTS) -> str:
    """A file of this shop's till; rows begin behind the day."""
    return "\r\n".join([header, *(f"{shop.store},{shop.terminal},{DATE},{row}" for row in rows)])


def found(answer: ReconcileTillsResponse) -> list[tuple[int, int, int, int]]:
    """Kind, receipt and both amounts of each difference."""
    return [(one.finding, one.sequence, one.till_minor, one.ledger_minor) for one in answer.differences]


def busy_shop(open_shop: OpenShop) -> tuple[Shop, list[str]]:
    """Receipts 1 to 3, of 10.00, 20.00 and 27.00 after a discount; the transactions."""
    shop = open_shop(program())
    member = shop.member()
    sales = [
        shop.sale(member, 10_00, till=1),
        shop.sale(member, 20_00, till=2),
        shop.sale(member, [line(15_00), line(15_00)], till=3, discounts=[SaleDiscount(amount_minor=3_00)]),
    ]
    prove(shop, member)
    return shop, [sale.outcome.transaction for sale in sales]


def test_tills_and_ledger_agree(open_shop: OpenShop) -> None:
    """Every receipt is there with its amount after discounts; request ids may be named."""
    shop, sales = busy_shop(open_shop)
    answer = shop.reconcile_tills(file(shop, "1,1000", "2,2000", "3,2700"))
    assert not answer.differences
    (day,) = answer.days
    assert (day.till_sales, day.ledger_sales, day.till_minor, day.ledger_minor) == (3, 3, 57_00, 57_00)
    ids = [sale.removeprefix("transactions/") for sale in sales]
    rows = [
        f"{number},{amount},{name}" for number, amount, name in zip((1, 2, 3), (1000, 2000, 2700), ids, strict=True)
    ]
    rows[2] = "3,2700,"
    assert not shop.reconcile_tills("\ufeff" + file(shop, *rows, header=f"{RECEIPTS},request_id")).differences


def test_each_difference_is_listed(open_shop: OpenShop) -> None:
    """Missing in the ledger, extra in the ledger, and another amount, each with its line and transaction."""
    shop, sales = busy_shop(open_shop)
    answer = shop.reconcile_tills(file(shop, "4,500", "1,1000", "2,2001"))
    assert found(answer) == [(MISSING, 4, 5_00, 0), (DIFFERENT, 2, 20_01, 20_00), (EXTRA, 3, 0, 27_00)]
    assert [one.line for one in answer.differences] == [2, 4, 0]
    assert [one.transaction for one in answer.differences] == ["", sales[1], sales[2]]
    assert answer.total_differences == 3
    (day,) = answer.days
    assert (day.till_minor, day.ledger_minor, day.differences) == (35_01, 57_00, 3)


def test_another_request_id_is_a_difference(open_shop: OpenShop) -> None:
    """The receipt is there, but it is not the one that the till sent."""
    shop, sales = busy_shop(open_shop)
    other = sales[1].removeprefix("transactions/")
    rows = (f"1,1000,{other}", "2,2000,", "3,2700,")
    answer = shop.reconcile_tills(file(shop, *rows, header=f"{RECEIPTS},request_id"))
    assert found(answer) == [(DIFFERENT, 1, 10_00, 10_00)]
    assert answer.differences[0].request_id == other
    assert answer.differences[0].transaction == sales[0]


def test_totals_of_a_day(open_shop: OpenShop) -> None:
    """Number and amount are compared; a till that nobody knows has sold nothing here."""
    shop, _ = busy_shop(open_shop)
    good = file(shop, "3,5700", header=TOTALS)
    assert not shop.reconcile_tills(good).differences
    answer = shop.reconcile_tills(good.replace("5700", "5701") + f"\ns-9,t-9,{DATE},1,100")
    assert list(answer.differences) == [
        TillDifference(
            finding=DIFFERENT, store=shop.store, terminal=shop.terminal, business_date=DATE, line=2, till_minor=57_01,
            ledger_minor=57_00, till_sales=3, ledger_sales=3,
        ),
        TillDifference(
            finding=DIFFERENT, store="s-9", terminal="t-9", business_date=DATE, line=3, till_minor=1_00, till_sales=1
        ),
    ]  # fmt: skip


def test_a_reversed_sale_is_a_void(open_shop: OpenShop) -> None:
    """It is in no till's total; a till that lists it has a receipt that the ledger does not have."""
    shop, sales = busy_shop(open_shop)
    shop.reverse(sales[0])
    assert not shop.reconcile_tills(file(shop, "2,4700", header=TOTALS)).differences
    assert not shop.reconcile_tills(file(shop, "2,2000", "3,2700")).differences
    assert found(shop.reconcile_tills(file(shop, "1,1000", "2,2000", "3,2700"))) == [(MISSING, 1, 10_00, 0)]


def test_returns_change_no_receipt(open_shop: OpenShop) -> None:
    """What was sold is compared, in part or wholly returned as it may be."""
    shop, sales = busy_shop(open_shop)
    shop.give_back(sales[0])
    shop.give_back(sales[2], ["1"])
    assert not shop.reconcile_tills(file(shop, "1,1000", "2,2000", "3,2700")).differences
    assert not shop.reconcile_tills(file(shop, "3,5700", header=TOTALS)).differences


def test_other_tills_and_days_do_not_count(open_shop: OpenShop) -> None:
    """Only what the file names is compared."""
    shop, _ = busy_shop(open_shop)
    here = shop.terminal
    shop.terminal = "another"
    shop.sale(shop.member(), 99_00, till=7)
    shop.terminal = here
    assert not shop.reconcile_tills(file(shop, "1,1000", "2,2000", "3,2700")).differences
    answer = shop.reconcile_tills(file(shop, "1,1000").replace(DATE, "2026-02-01"))
    assert found(answer) == [(MISSING, 1, 10_00, 0)]


@pytest.mark.parametrize(
    ("csv", "where"),
    [
        (b"", "csv"),
        (b"store,terminal\n", "csv[line 1]"),
        (b"store;terminal;business_date;sequence;amount_minor\n", "csv[line 1]"),
        (f"{RECEIPTS}\n".encode(), "csv"),
        (f"{RECEIPTS}\ns,t,2026-01-31,1,100\ns,\xe9,2026-01-31,2,100\n".encode("latin-1"), "csv[line 3]"),
        (f"{RECEIPTS}\ns,t,2026-01-31,1,100\ns,t,2026-02-30,2,100\n".encode(), "csv[line 3]"),
        (f"{RECEIPTS}\ns,t,31.01.2026,1,100\n".encode(), "csv[line 2]"),
        (f"{RECEIPTS}\ns,t,2026-01-31,1,1.00\n".encode(), "csv[line 2]"),
        (f"{RECEIPTS}\ns,t,2026-01-31,0,1\n".encode(), "csv[line 2]"),
        (f"{RECEIPTS}\ns,t,2026-01-31,1,-1\n".encode(), "csv[line 2]"),
        (f"{RECEIPTS}\ns,t,2026-01-31,1\n".encode(), "csv[line 2]"),
        (f"{RECEIPTS}\n,t,2026-01-31,1,1\n".encode(), "csv[line 2]"),
        (f"{RECEIPTS}\ns,t,2026-01-31,1,100\n\ns,t,2026-01-31,1,200\n".encode(), "csv[line 4]"),
        (f'{RECEIPTS}\ns,"t"x,2026-01-31,1,100\n'.encode(), "csv[line 2]"),
        (f"{RECEIPTS},request_id\ns,t,2026-01-31,1,100,no-uuid\n".encode(), "csv[line 2]"),
        (f"{RECEIPTS}\ns,t,2026-01-31,1,{2**63}\n".encode(), "csv[line 2]"),
    ],
)
def test_a_bad_file_is_refused_by_line(open_shop: OpenShop, csv: bytes, where: str) -> None:
    """Header, encoding, types, duplicates: the line is named, and nothing is compared."""
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field=where):
        open_shop(program()).reconcile_tills(csv)
