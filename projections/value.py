"""The value of members as the API reads it: see ledger.value.reading."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.store.datastore import LedgerDatastore
from ledger.value.reading import (
    Cell,
    CohortMonth,
    Cut,
    Cuts,
    Estimate,
    HighValue,
    HighValuePage,
    HighValueQuestion,
    HoldoutRow,
    ModelRow,
    Score,
    SoFar,
    Span,
)
from ledger.value.rfm import FLAT_GRID
from ledger.views import ViewBehind
from projections.sql import statements
from projections.tries import tries

ANALYSIS_TIMEOUT_S: Final = 120
"""How long a question about all members of a program may take."""

ANALYSIS_SETTINGS: Final = (
    b"SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on;"
    b" SET LOCAL enable_bitmapscan = on; SET LOCAL work_mem = '128MB'; SET LOCAL statement_timeout = '%ds'"
    % ANALYSIS_TIMEOUT_S
)
"""What goes through all sales of a program is not a look-up of keys, which the server's connections are tuned for."""

_SQL: Final = statements("value.sql")


class PostgresValues:
    """Reads the value of members."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore

    def position(self, min_position: int, timeout_s: float) -> int:
        """Where the view of sales is: at a position or later. Raises ViewBehind."""
        return int(self._wait("position", {}, min_position, timeout_s)[0])

    def rfm(self, span: Span) -> list[Cell]:
        """Members by their scores."""
        return [Cell(*map(int, row)) for row in self._analyse("rfm", span._asdict())]

    def cuts(self, span: Span) -> Cuts:
        """Where the quintiles begin."""
        cuts = Cuts([], [], [])._asdict()
        for dimension, _, value, member_id in self._analyse("cuts", span._asdict()):
            cuts[dimension].append(Cut(value, member_id))
        return Cuts(**cuts)

    def scores(self, span: Span, cuts: Cuts, group: str, after: UUID, limit: int) -> list[Score]:
        """Members behind an id, in the order of ids; those of a group, or all where it is empty."""
        parameters: dict[str, Any] = {
            **span._asdict(),
            "group": group,
            "grid": FLAT_GRID,
            "after": after,
            "limit": limit,
        }
        for name, of_name, dimension in zip(
            ("days", "sales", "nets"), ("day_members", "sales_members", "net_members"), cuts, strict=True
        ):
            parameters[name] = [cut.value for cut in dimension]
            parameters[of_name] = [cut.member for cut in dimension]
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return [_score(row) for row in cursor.execute(_SQL["scores"], parameters, prepare=False)]

    def high_value(self, span: Span, question: HighValueQuestion, after_rank: int, limit: int) -> HighValuePage:
        """Members of high value behind a rank."""
        parameters = {**span._asdict(), **question._asdict(), "after": after_rank, "limit": limit + 1}
        total, *rows = self._analyse("high_value", parameters)
        members = [HighValue(row[0], *map(int, row[1:])) for row in rows[:limit]]
        return HighValuePage(
            members,
            has_more=len(rows) > limit,
            high_value_members=int(total[4]),
            members_total=int(total[2]),
            total_minor=int(total[3]),
            threshold_minor=int(total[5]),
        )

    def cohorts(self, span: Span, *, by_enrolment: bool) -> list[CohortMonth]:
        """Cohorts by the month of the first sale, or of the enrolment, the oldest first."""
        rows = self._analyse("cohorts", {**span._asdict(), "by_enrolment": by_enrolment})
        return [CohortMonth(row[0], *map(int, row[1:])) for row in rows]

    def model(self, program: str, version: int) -> tuple[ModelRow, list[HoldoutRow]] | None:
        """A version of a program's model, 0 for the newest; None where there is none."""
        rows = self._query("model", {"program": program, "version": version})
        if not rows:
            return None
        model = ModelRow(*rows[0])
        holdout = self._query("holdout", {"program": program, "version": model.version})
        return model, [HoldoutRow(*row) for row in holdout]

    def member(self, member_id: UUID, min_position: int, timeout_s: float) -> tuple[SoFar, Estimate | None, int] | None:
        """What a member has been worth, what is expected, and the position; None for one that is not known yet."""
        row = self._wait("member", {"member_id": member_id}, min_position, timeout_s)
        if row[1] is None:
            return None
        estimate = None if row[7] is None else Estimate._make((*row[7:13], _score(row[13:])))
        return SoFar(*map(int, row[1:7])), estimate, row[0]

    def _wait(
        self, question: str, parameters: Mapping[str, Any], min_position: int, timeout_s: float
    ) -> tuple[Any, ...]:
        """The one row that answers, its position first, at `min_position` or later. Raises ViewBehind."""
        row: tuple[Any, ...] = ()
        for _ in tries(timeout_s):
            (row,) = self._query(question, parameters)
            if row[0] >= min_position:
                return row
        raise ViewBehind(row[0])

    def _query(self, question: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(_SQL[question], parameters, prepare=True).fetchall()

    def _analyse(self, question: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._analysis() as cursor:
            return cursor.execute(_SQL[question], parameters, prepare=False).fetchall()

    @contextmanager
    def _analysis(self) -> Iterator[Cursor[tuple[Any, ...]]]:
        """A transaction for a question about all members of a program."""
        with self._datastore.get_connection() as connection, connection.transaction():
            connection.execute(ANALYSIS_SETTINGS)
            yield connection.cursor(binary=True, row_factory=tuple_row)


def _score(row: tuple[Any, ...]) -> Score:
    return Score._make((*row[:6], int(row[6])))
