"""The files: what is read from them, in which order, and what of them is not taken on trust."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import duckdb
import pytest

from ledger.demo.grocery_year import Figures, GroceryYear, SourceUnfit

LANES = 4

ONE_LINE = {
    "household_id": "1",
    "store_id": "2",
    "basket_id": "3",
    "product_id": "4",
    "quantity": "1",
    "sales_value": "1.25::DOUBLE",
    "retail_disc": "0.1::DOUBLE",
    "coupon_disc": "0::DOUBLE",
    "coupon_match_disc": "0::DOUBLE",
    "week": "1",
    "transaction_timestamp": "TIMESTAMP '2017-01-01 12:00:00'",
}


def files(folder: Path, *lines: dict[str, str]) -> Path:
    """Files of our own; each line is said by how it differs from ONE_LINE."""
    selects = [
        "SELECT " + ", ".join(f"{value} AS {name}" for name, value in (ONE_LINE | line).items()) for line in lines
    ]
    with duckdb.connect() as connection:
        connection.sql(" UNION ALL ".join(selects)).write_parquet(str(folder / "transactions.parquet"))
        connection.sql("SELECT 4 AS product_id, 'GROCERY' AS department, NULL AS brand").write_parquet(
            str(folder / "products.parquet")
        )
    return folder


@pytest.fixture(scope="module")
def year() -> Iterator[GroceryYear]:
    """The whole year."""
    with GroceryYear(lanes=LANES) as year:
        yield year


def test_the_year_is_the_one_that_the_documents_speak_of(year: GroceryYear) -> None:
    """Households, baskets and money as in DESIGN.md section 12."""
    expected = year.expected()
    assert len(expected) == 2_469
    assert sum(figures.sales for figures in expected.values()) == 155_848
    assert sum(figures.net_minor for figures in expected.values()) == 459_603_958
    assert sum(figures.points for figures in expected.values()) == 4_519_934


def test_baskets_come_in_the_order_of_time(year: GroceryYear) -> None:
    """Whoever streams them needs no memory of them."""
    keys = [(basket.sold_at_us, basket.basket_id) for basket in islice(year.baskets([0] * LANES), 20_000)]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_each_household_has_one_lane_and_each_lane_its_order(year: GroceryYear) -> None:
    """What keeps a household's sales in order when lanes are sent side by side."""
    lane_of: dict[int, int] = {}
    seen = defaultdict(list)
    for basket in islice(year.baskets([0] * LANES), 20_000):
        assert lane_of.setdefault(basket.household_id, basket.lane) == basket.lane
        seen[basket.lane].append(basket.basket_id)
    for lane, basket_ids in enumerate(year.lanes()):
        assert basket_ids[: len(seen[lane])] == seen[lane]
    assert sum(len(lane) for lane in year.lanes()) == 155_848


def test_what_was_sent_is_left_out(year: GroceryYear) -> None:
    """Each lane goes on where it was left, and only there."""
    sent = [len(lane) - 10 * number for number, lane in enumerate(year.lanes())]
    left = [basket.basket_id for basket in year.baskets(sent)]
    wanted = [basket for lane, at in zip(year.lanes(), sent, strict=True) for basket in lane[at:]]
    assert sorted(left) == sorted(wanted)
    assert len(left) == 10 + 20 + 30


def test_the_first_baskets_of_fewer_are_the_same(year: GroceryYear) -> None:
    """So that a load of the first baskets can be continued to more of them."""
    with GroceryYear(300, lanes=LANES) as few:
        baskets = list(few.baskets([0] * LANES))
        assert len(baskets) == 300
        assert baskets == list(islice(year.baskets([0] * LANES), 300))
        for lane, lane_of_all in zip(few.lanes(), year.lanes(), strict=True):
            assert lane == lane_of_all[: len(lane)]
        expected = few.expected()
        assert sum(figures.sales for figures in expected.values()) == 300
        assert {household.household_id for household in few.households()} == expected.keys()


def test_households_join_with_their_first_basket(year: GroceryYear) -> None:
    """Where and when they first bought, so that nobody buys before joining."""
    first: dict[int, tuple[int, int]] = {}
    for basket in year.baskets([0] * LANES):
        first.setdefault(basket.household_id, (basket.store_id, basket.sold_at_us))
    assert first == {
        household.household_id: (household.store_id, household.sold_at_us) for household in year.households()
    }


def test_lines_carry_the_money_of_the_file(tmp_path: Path) -> None:
    """sales_value is net; what the retailer took off is discount; a manufacturer's coupon is neither."""
    folder = files(
        tmp_path,
        {"sales_value": "0.29::DOUBLE", "retail_disc": "0.07::DOUBLE"},
        {"product_id": "5", "coupon_disc": "0.5::DOUBLE", "coupon_match_disc": "0.4::DOUBLE"},
    )
    with GroceryYear(lanes=LANES, folder=folder) as year:
        (basket,) = year.baskets([0] * LANES)
        assert basket.lines == [(4, 1, 29, 7), (5, 1, 125, 50)]
        assert basket.coupon_minor == 50
        assert year.expected() == {1: Figures(sales=1, net_minor=154, points=1)}
        assert year.products() == {4: ("GROCERY", "")}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"sales_value": "1.255::DOUBLE"}, "1 lines with an amount that is not whole cents"),
        ({"retail_disc": "-0.1::DOUBLE"}, "1 lines with an amount below zero"),
        ({"household_id": "7", "product_id": "5"}, "1 baskets of several households"),
        ({}, "1 baskets of several households, stores or times, or with a product twice"),
    ],
)
def test_files_that_contradict_what_is_relied_on_are_refused(
    tmp_path: Path, line: dict[str, str], problem: str
) -> None:
    """Better no figures than figures that were rounded or mixed up on the way."""
    folder = files(tmp_path, {}, {"basket_id": "3", **line})
    with pytest.raises(SourceUnfit, match=problem):
        GroceryYear(lanes=LANES, folder=folder)
