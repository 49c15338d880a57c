"""Segments: whatever happens when, who is in is who should be, and everybody enters and leaves in turn."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from loyalty.v1.consent_pb2 import EraseMemberRequest, ErasureReason
from loyalty.v1.events_pb2 import SaleRecorded, SaleReturned, SegmentMembersChanged, TransactionReversed
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.segment_pb2 import (
    DeleteSegmentRequest,
    Measure,
    SaveSegmentRequest,
    SegmentCause,
    SetSegmentMembersRequest,
)
from loyalty.v1.segment_pb2 import Segment as Definition
from psycopg.rows import tuple_row

from ledger.domain.instant import HOUR, from_timestamp
from ledger.domain.names import last_id, member_name, segment_stream
from ledger.domain.program import Program
from ledger.domain.segments.criteria import FITTED
from ledger.domain.segments.decide import Segment, SegmentCommand, decide_segment, name_of
from ledger.segments import membership, segmenter
from ledger.segments.live import Registry
from ledger.segments.preview import KINDS, preview
from ledger.segments.segmenter import Work
from ledger.store.recorder import Session
from ledger.store.topics import decode
from ledger.writer.segment import segment_of
from projections.check import check
from projections.estimates import fit_and_store
from projections.facts import FACTS, read_facts
from projections.hub import connect
from projections.rebuild import rebuild
from tests.projections.history import DAY, START, History, append, program
from tests.projections.tables import catch_up, tables
from tests.running import ROOT

BERLIN = ZoneInfo("Europe/Berlin")
STORES = ("store-1", "store-2")


class Receipt(NamedTuple):
    """A sale, or what came back."""

    day: date
    store: str
    net_minor: int
    is_sale: bool
    """False for what came back, and for a sale that was voided."""


def day_of(at: int) -> date:
    """The day of an instant in the program's time zone."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).astimezone(BERLIN).date()


def receipts(history: History) -> dict[UUID, list[Receipt]]:
    """What members bought and brought back, from the events alone."""
    found: dict[UUID, list[Receipt]] = {member: [] for member in history.accounts}
    sold: dict[UUID, int] = {}
    left: dict[UUID, int] = {}
    for event in history.events:
        payload, member = event.payload, event.stream_id
        match payload:
            case SaleRecorded() if event.request_id is not None:
                sold[event.request_id] = len(found[member])
                left[event.request_id] = net_minor = sum(payload.line_net_minor)
                is_sale = True
            case SaleReturned():
                net_minor = -sum(line.amount_minor for line in payload.lines)
                left[last_id(payload.sale)] += net_minor
                is_sale = False
            case TransactionReversed() if (sale := last_id(payload.reversed)) in sold:
                found[member][sold[sale]] = found[member][sold[sale]]._replace(is_sale=False)
                net_minor, is_sale = -left[sale], False
            case _:
                continue
        origin = payload.origin
        found[member].append(Receipt(day_of(from_timestamp(origin.occurred_at)), origin.store, net_minor, is_sale))
    return found


def _in_stores(all_of_it: Sequence[Receipt], _today: date) -> bool:
    here = [one for one in all_of_it if one.store in STORES]
    return sum(one.is_sale for one in here) > 0 and sum(one.net_minor for one in here) > 20_000


def _recent(all_of_it: Sequence[Receipt], today: date) -> bool:
    return any(one.is_sale and one.day > today - timedelta(days=30) for one in all_of_it)


RULES: dict[str, tuple[str, list[Measure], Callable[[Sequence[Receipt], date], bool]]] = {
    "two": ("sales >= 2", [], lambda all_of_it, _: sum(one.is_sale for one in all_of_it) >= 2),
    "big": ("spent_minor > 60000", [], lambda all_of_it, _: sum(one.net_minor for one in all_of_it) > 60_000),
    "here": ("m.sales > 0 && m.spent_minor > 20000", [Measure(measure_id="m", stores=STORES)], _in_stores),
    "recent": ("m.sales > 0", [Measure(measure_id="m", last_days=30)], _recent),
}


class Segmented:
    """A log with segments, and a segmenter that works on it when it is told to."""

    def __init__(self, database_url: str, seed: int) -> None:
        self.url = database_url
        self.history = History(seed=seed)
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.segments: dict[str, Segment] = {}
        self.rules: dict[str, str] = {}
        """Which rule each segment that is not deleted has."""
        self.listed: dict[str, set[UUID]] = {}
        self._sent = 0
        self._connection = connect(database_url, "test")
        self.cursor = self._connection.cursor(binary=True, row_factory=tuple_row)
        self.restart()

    def close(self) -> None:
        """Ends it."""
        self._connection.close()

    def restart(self) -> None:
        """The segmenter dies, and another one goes on."""
        self.work = Work(self.cursor, Registry(KINDS), lambda: self.history.at)

    def send(self) -> None:
        """Records what has happened since."""
        append(self.url, self.history.events[self._sent :], at=self.history.at)
        self._sent = len(self.history.events)

    def command(self, request: SegmentCommand) -> None:
        """Does something to a segment."""
        segment_id = name_of(request).rpartition("/")[2]
        stream = segment_stream(name_of(request))
        last = self.cursor.execute(b"SELECT max(originator_version) FROM events WHERE originator_id = %s", (stream,))
        row = last.fetchone()
        known = self.segments.get(segment_id, Segment(stream, 0))._replace(version=(row and row[0]) or 0)
        program: Program = self.history.program
        request_id = self.history.new_id()
        request.request_id = str(request_id)
        event, self.segments[segment_id] = decide_segment(request, request_id, Origin(), known, program.definition)
        append(self.url, [event], at=self.history.at)

    def save(self, segment_id: str, rule: str) -> None:
        """Saves a segment with a rule."""
        expression, measures, _ = RULES[rule]
        definition = Definition(name=self.name(segment_id), expression=expression, measures=measures)
        self.command(SaveSegmentRequest(segment=definition))
        self.rules[segment_id] = rule
        self.listed.setdefault(segment_id, set())

    def put(self, segment_id: str, add: Sequence[UUID] = (), remove: Sequence[UUID] = ()) -> None:
        """Changes the list of a segment."""
        request = SetSegmentMembersRequest(
            name=self.name(segment_id), add=map(member_name, add), remove=map(member_name, remove)
        )
        self.command(request)
        self.listed[segment_id] = (self.listed[segment_id] | set(add)) - set(remove)

    def delete(self, segment_id: str) -> None:
        """Deletes a segment."""
        self.command(DeleteSegmentRequest(name=self.name(segment_id)))
        del self.rules[segment_id]

    def name(self, segment_id: str) -> str:
        """A segment's name."""
        return f"{self.history.program.name}/segments/{segment_id}"

    def settle(self) -> None:
        """Lets views and segmenter work until there is nothing left to do."""
        while True:
            catch_up(self.url)
            if not self.work.step() and not self.work.is_waiting:
                return

    def expected(self) -> dict[str, set[UUID]]:
        """Who should be in, by the events of members alone."""
        bought, today = receipts(self.history), day_of(self.history.at)
        return {
            segment_id: {member for member, all_of_it in bought.items() if RULES[rule][2](all_of_it, today)}
            | self.listed[segment_id]
            for segment_id, rule in self.rules.items()
        }

    def found(self) -> dict[str, set[UUID]]:
        """Who is in, by the view."""
        rows = self.cursor.execute(b"SELECT segment_id, member_id FROM views.segment_members").fetchall()
        found: dict[str, set[UUID]] = {segment_id: set() for segment_id in self.rules}
        for segment_id, member in rows:
            found.setdefault(segment_id, set()).add(member)
        return found

    def changes(self) -> Iterator[SegmentMembersChanged]:
        """What was recorded, in order."""
        rows = self.cursor.execute(
            b"SELECT topic, state FROM events WHERE topic = 'segment-members/1' ORDER BY notification_id"
        ).fetchall()
        for topic, state in rows:
            changed = decode(topic, state)
            assert isinstance(changed, SegmentMembersChanged)
            yield changed


Open = Callable[[int], Segmented]


@pytest.fixture
def segmented(database_url: str) -> Iterator[Open]:
    """Makes one from a seed."""
    with ExitStack() as stack:
        yield lambda seed: stack.enter_context(closing(Segmented(database_url, seed)))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and events of few members."""
    monkeypatch.setattr(segmenter, "PAGE_MEMBERS", 3)
    monkeypatch.setattr(segmenter, "LOOK_AT_MEMBERS", 2)
    monkeypatch.setattr(membership, "MEMBERS_MAX", 2)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_who_is_in_is_who_should_be(database_url: str, segmented: Open, seed: int) -> None:
    """Random sales, returns and reversals; days that pass; segments saved, changed, listed, deleted; restarts."""
    it = segmented(seed)
    members = [it.history.enrol() for _ in range(8)]
    it.send()
    for number, rule in enumerate(RULES):
        it.save(f"s{number}", rule)
    for turn in range(8):
        it.history.at += it.random.choice([0, DAY, 9 * DAY])
        _live(it, members)
        it.send()
        _manage(it, members, turn)
        if it.random.random() < 0.3:
            it.restart()
        it.settle()
        assert it.found() == it.expected(), f"turn {turn}"
    it.save("late", "recent")
    it.settle()
    it.history.at += 31 * DAY
    it.restart()
    it.settle()
    assert it.found() == it.expected(), "a month later nobody has bought lately"
    inside: set[tuple[str, str]] = set()
    for changed in it.changes():
        assert len(changed.entered) + len(changed.left) <= membership.MEMBERS_MAX
        for member in changed.left:
            inside.remove((changed.segment, member))
        for member in changed.entered:
            assert (changed.segment, member) not in inside
            inside.add((changed.segment, member))
    assert {changed.cause for changed in it.changes()} == {
        SegmentCause.SEGMENT_CAUSE_SAVED,
        SegmentCause.SEGMENT_CAUSE_CHANGED,
        SegmentCause.SEGMENT_CAUSE_TIME,
    }
    before = tables(database_url, "segments")
    assert check(database_url, 1).ok
    rebuild(database_url, "segments")
    assert tables(database_url, "segments") == before


def _live(it: Segmented, members: Sequence[UUID]) -> None:
    """Some sales, returns and reversals."""
    history, chance = it.history, it.random
    for _ in range(6):
        member = chance.choice(members)
        sales = [key for key, file in history.files.items() if isinstance(file.main, SaleRecorded)]
        own = [key for key in sales if history.files[key].account_id == member]
        match chance.randrange(4):
            case 0 if own:
                history.give_back(member, chance.choice(own), chance.choice(["1", "2"]))
            case 1 if own:
                history.reverse(member, chance.choice(own))
            case _:
                history.sell(member, chance.randrange(30_000), chance.randrange(30_000))


def _manage(it: Segmented, members: Sequence[UUID], turn: int) -> None:
    """Perhaps something is done to a segment."""
    chance = it.random
    segment_id = chance.choice(list(it.rules))
    match chance.randrange(4):
        case 0:
            it.save(segment_id, chance.choice(list(RULES)))
        case 1:
            it.put(segment_id, chance.sample(members, 2))
        case 2 if it.listed[segment_id]:
            it.put(segment_id, remove=list(it.listed[segment_id]))
        case 3 if turn % 3 == 0 and len(it.rules) > 2:
            it.delete(segment_id)
        case _:
            pass


def test_who_is_erased_leaves_wherever_the_segmenter_is(segmented: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it has fallen behind and looks at everybody, and nobody who is left comes behind them."""
    it = segmented(5)
    members = sorted(it.history.enrol() for _ in range(4))
    for member in members * 2:
        it.history.sell(member, 5_000)
    it.send()
    it.save("two", "two")
    it.command(SaveSegmentRequest(segment=Definition(name=it.name("listed"))))
    it.command(SetSegmentMembersRequest(name=it.name("listed"), add=map(member_name, members)))
    it.settle()
    assert it.found() == {"two": set(members), "listed": set(members)}
    for member in (members[1], members[-1]):
        reason = ErasureReason.ERASURE_REASON_MEMBER_REQUEST
        it.history.run(member, EraseMemberRequest(member=member_name(member), reason=reason))
    it.send()
    monkeypatch.setattr(segmenter, "BEHIND_EVENTS_MAX", 0)
    it.settle()
    assert it.found() == {"two": {members[0], members[2]}, "listed": {members[0], members[2]}}
    assert [changed.cause for changed in it.changes()][-1] == SegmentCause.SEGMENT_CAUSE_CHANGED


def test_a_fit_changes_who_is_in(segmented: Open) -> None:
    """At once and once, for all members, in a segment that asks for scores; nothing else is looked at for it."""
    assert {name for name, fact in FACTS.items() if fact.group == "value"} == FITTED
    it = segmented(8)
    members = [it.history.enrol() for _ in range(5)]
    for day in range(len(members)):
        for member in members[day:]:
            it.history.sell(member, 5_000)
        it.history.at += DAY
    it.send()
    it.command(SaveSegmentRequest(segment=Definition(name=it.name("best"), expression="rfm_monetary == 5")))
    it.command(SaveSegmentRequest(segment=Definition(name=it.name("some"), expression="sales > 0")))
    it.settle()
    assert it.found() == {"some": set(members)}
    fit_and_store(it.url, it.history.program.name, None, it.history.at)
    it.settle()
    assert it.found() == {"some": set(members), "best": {members[-1]}}
    assert [changed.cause for changed in it.changes()][-1] == SegmentCause.SEGMENT_CAUSE_FITTED
    it.restart()
    catch_up(it.url)
    assert it.work.step(), "it looks what there is"
    assert not it.work.step(), "and knows that it is done"


def test_the_writer_counts_segments_that_are_not_deleted(segmented: Open) -> None:
    """Of one program: that many there are when another one is saved."""
    it = segmented(9)
    it.history.enrol()
    it.send()
    for segment_id in ("first", "second"):
        it.save(segment_id, "two")
    it.delete("first")
    catch_up(it.url)
    session = Session(it.cursor.connection)
    assert session.count_segments(it.history.program.name) == 1
    assert session.count_segments("programs/none") == 0
    assert segment_of(session, UUID(int=1), it.history.program.name).others == 1


def test_of_a_list_alone_nobody_else_is_looked_at(segmented: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many members the program has."""
    it = segmented(6)
    first, second, _ = (it.history.enrol() for _ in range(3))
    it.send()
    it.command(SaveSegmentRequest(segment=Definition(name=it.name("s"))))
    it.command(SetSegmentMembersRequest(name=it.name("s"), add=map(member_name, [first, second])))
    monkeypatch.delattr(segmenter, "page_behind")
    it.settle()
    assert it.found()["s"] == {first, second}


def test_what_was_decided_on_an_older_version_is_dropped(segmented: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list changes after the segmenter has looked: nothing of its decision is written, and it looks again."""
    it = segmented(3)
    member, other = it.history.enrol(), it.history.enrol()
    it.send()
    it.save("s", "two")
    catch_up(it.url)
    decide, calls = membership.decide, 0

    def slow(*asked: Any) -> Any:
        nonlocal calls
        calls += 1
        decided = decide(*asked)
        if calls == 1:
            it.put("s", [other])
        return decided

    monkeypatch.setattr(segmenter, "decide", slow)
    for _ in range(2):
        it.history.sell(member, 5_000)
    it.send()
    it.settle()
    assert calls > 1
    assert it.found() == it.expected() == {"s": {member, other}}
    entered = [name for changed in it.changes() for name in changed.entered]
    assert sorted(entered) == sorted(map(member_name, (member, other)))
    facts = read_facts(it.cursor, it.history.program.name, it.history.at, ["segments"], [member])
    assert facts == {member: {"segments": ["s"]}}


def test_the_segmenter_loads_nothing_that_serves() -> None:
    """It runs beside a server, in little memory."""
    loaded = "import sys, ledger.segments.__main__; print(*{'grpc', 'uvloop'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_preview_says_what_a_segment_comes_to(segmented: Open) -> None:
    """Of all members of the program, and of nobody else."""
    it = segmented(4)
    members = sorted(it.history.enrol() for _ in range(5))
    for member in members[:3]:
        it.history.sell(member, 70_000)
    it.send()
    catch_up(it.url)
    definition = Definition(name=it.name("s"), expression="average_basket_minor >= 70000")
    found = preview(it.cursor, definition, 2, it.history.at)
    assert (found.members, found.total, list(found.sample), found.failed) == (3, 5, members[:2], 2)
    assert preview(it.cursor, Definition(name="programs/none/segments/s", expression="true"), 2, 0).total == 0


def test_a_day_is_the_program_s_before_it_has_members(database_url: str) -> None:
    """Eleven hours behind UTC: else the first member's first midnight would have been looked at already."""
    definition = program()
    definition.time_zone = "Pacific/Midway"
    history = History(definition)
    append(database_url, history.events)
    catch_up(database_url)
    with closing(connect(database_url, "test")) as connection:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        assert Registry(KINDS).today_of(cursor, definition.name, START + 10 * HOUR) == date(2019, 12, 31)
