"""The check finds what was changed behind the ledger's back, and nothing where nothing was (L2)."""

from pathlib import Path
from uuid import UUID

import pytest
from loyalty.v1.events_pb2 import CommandBlocked
from loyalty.v1.snapshot_pb2 import AccountSnapshot
from psycopg.rows import tuple_row

from ledger.store.seal import seal
from projections.catalogue import PROJECTIONS
from projections.check import CheckError, CheckResult, check
from projections.hub import connect
from projections.rebuild import rebuild
from projections.runner import ReadSide
from projections.tracking import try_lock
from tests.projections.history import History, append, inactivity_program
from tests.projections.tables import catch_up, execute, tables
from tests.projections.waiting import reached


@pytest.fixture(name="history")
def _history(database_url: str) -> History:
    """A history in the database, with all views caught up."""
    history = History().live(200)
    append(database_url, history.events)
    catch_up(database_url)
    return history


def text(result: CheckResult) -> str:
    """The whole report."""
    return "\n".join(result.lines())


@pytest.mark.parametrize("processes", [1, 3])
def test_nothing_is_wrong(database_url: str, history: History, processes: int) -> None:
    """Live views are what a replay makes, however the streams are shared out; the check leaves nothing behind."""
    before = tables(database_url)
    result = check(database_url, processes)
    assert result.ok, text(result)
    assert result.counts == {}
    assert result.head == len(history.events)
    assert set(result.positions.values()) == {result.head}
    assert result.accounts == len(history.accounts)
    assert "balances: same at position" in text(result)
    assert tables(database_url) == before


def test_lots_that_follow_activity(database_url: str) -> None:
    """Views and accounts agree under an inactivity policy too."""
    append(database_url, History(inactivity_program()).live(200).events)
    catch_up(database_url)
    result = check(database_url, 1)
    assert result.ok, text(result)


def test_views_at_different_positions(database_url: str, history: History) -> None:
    """Each view is compared at the position where it is."""
    before = len(history.events)
    history.sell(next(iter(history.accounts)), 5_000)
    append(database_url, history.events[before:], at=history.at)
    catch_up(database_url, projections=[PROJECTIONS["tiers"]])
    result = check(database_url, 1)
    assert result.ok, text(result)
    assert result.positions["tiers"] == result.head == len(history.events)
    assert result.positions["balances"] == before
    assert f"balances: same at position {before}, {result.head - before} events behind" in text(result)


def test_members_who_have_done_nothing(database_url: str) -> None:
    """Somebody who has only enrolled is the same in every view and to the writer."""
    history = History()
    for _ in range(3):
        history.enrol()
    append(database_url, history.events)
    catch_up(database_url)
    result = check(database_url, 1)
    assert result.ok, text(result)


def test_while_the_server_runs(database_url: str, read_side: ReadSide) -> None:
    """Events are written and applied during the check; it compares at one snapshot."""
    history = History().live(200)
    append(database_url, history.events[:50])
    read_side.start()
    assert reached(read_side, 50, ["balances", "tiers"])
    results = []
    for first in range(50, len(history.events), 60):
        append(database_url, history.events[first : first + 60], 5, at=history.at)
        results.append(check(database_url, 1))
    for result in results:
        assert result.ok, text(result)
    assert len({result.head for result in results}) == len(results)


TOTALS = "trial_balance_1.program_totals"
ONE_LOT = "ctid = (SELECT min(ctid) FROM balances_1.lots)"


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        ("balances.lots", f"UPDATE balances_1.lots SET points = points + 1 WHERE {ONE_LOT}"),
        ("balances.accounts", "UPDATE balances_1.accounts SET owed_points = owed_points + 1"),
        ("statements.entries", "DELETE FROM statements_1.entries WHERE position = 9"),
        ("statements.entries", "UPDATE statements_1.entries SET store = store || ' ' WHERE position = 9"),
        ("statements.member_totals", "UPDATE statements_1.member_totals SET total_points = total_points + 1"),
        ("tiers.tiers", "UPDATE tiers_1.tiers SET since = since + 1"),
        ("tiers.programs", "UPDATE tiers_1.programs SET definition = definition || '\\x00'"),
        ("tiers.programs", "DELETE FROM tiers_1.programs"),
        ("trial_balance.program_totals", f"UPDATE {TOTALS} SET issued = issued - 1, member = member + 1"),
        ("trial_balance.member_points", "INSERT INTO trial_balance_1.member_points SELECT gen_random_uuid(), 'x', 5"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("history")
def test_changed_view_is_found(database_url: str, place: str, damage: str) -> None:
    """A changed, missing or added row of any view is named with both its values."""
    execute(database_url, damage)
    result = check(database_url, 1)
    assert not result.ok
    found = [finding for finding in result.first if finding.place == place]
    assert found, text(result)
    assert found[0].expected != found[0].found
    assert place.split(".", maxsplit=1)[0] in text(result)


@pytest.mark.parametrize(
    ("key", "damage"),
    [
        ("sale_reference", "sale_reference = NULL WHERE topic = 'sale/1'"),
        ("request_id", "request_id = gen_random_uuid() WHERE notification_id = 9"),
        ("request_id", "request_id = NULL WHERE notification_id = 9"),
        ("transaction_id", "transaction_id = gen_random_uuid() WHERE topic = 'returned/1'"),
        ("transaction_id", "transaction_id = NULL WHERE topic = 'reversed/1'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("history")
def test_changed_key_is_found(database_url: str, key: str, damage: str) -> None:
    """The columns that keep a receipt or a return from coming in twice are what the event says."""
    execute(database_url, f"ALTER TABLE events DISABLE TRIGGER ALL; UPDATE events SET {damage}")
    result = check(database_url, 1)
    found = [finding for finding in result.first if finding.place == "log" and key in finding.expected]
    assert found, text(result)


def test_identifier_of_another_program_is_found(database_url: str, history: History) -> None:
    """An identifier leads to a member of its own program."""
    member = next(iter(history.accounts))
    execute(
        database_url,
        f"INSERT INTO profile.members VALUES ('{member}', 'programs/shop', '', '', '');"
        f" INSERT INTO profile.identifiers VALUES ('programs/other', 1, '4006381333931', '{member}')",
    )
    result = check(database_url, 1)
    assert [finding.place for finding in result.first] == ["profile.identifiers"], text(result)


def test_many_differences_are_counted(database_url: str, history: History) -> None:
    """The first ones are shown, all are counted, and what belongs to shares comes together."""
    execute(database_url, "UPDATE statements_1.entries SET points = points + 1")
    for processes in (1, 2):
        result = check(database_url, processes)
        lines = [finding for finding in result.first if finding.place == "statements.entries"]
        assert len(lines) == 10
        assert 10 < result.counts["statements.entries"] <= len(history.events)


SALE = "(SELECT min(notification_id) FROM events WHERE topic = 'sale/1')"


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (f"UPDATE events SET state = '\\xff' WHERE notification_id = {SALE}", "bytes of a 'sale/1' event are damaged"),
        (f"UPDATE events SET topic = 'sale/9' WHERE notification_id = {SALE}", "unknown topic"),
        (f"DELETE FROM events WHERE notification_id = {SALE}", "positions event"),
        ("UPDATE events SET recorded_at = 5 WHERE notification_id = 60", "positions event 60"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("history")
def test_damaged_log_is_found(database_url: str, damage: str, finding: str) -> None:
    """A changed topic, changed bytes, a removed event and a clock that goes back: the first bad position is named."""
    execute(database_url, damage)
    result = check(database_url, 1)
    assert not result.ok
    assert finding in text(result)


@pytest.mark.usefixtures("history")
def test_one_changed_byte_that_can_still_be_read_is_found(database_url: str) -> None:
    """An event that says another store than the statement does."""
    execute(
        database_url,
        "UPDATE events SET state = decode(replace(encode(state, 'hex'), encode('store-'::bytea, 'hex'),"
        f" encode('stole-'::bytea, 'hex')), 'hex') WHERE notification_id = {SALE}",
    )
    result = check(database_url, 1)
    found = {finding.place for finding in result.first}
    assert found == {"log", "sales.sales", "sales.sale_places", "statements.entries"}, text(result)
    assert "stole-" in result.first[1].expected


@pytest.mark.usefixtures("history")
def test_swapped_events_are_found(database_url: str) -> None:
    """Two events of a stream in each other's place."""
    stream = "(SELECT originator_id FROM events WHERE topic = 'sale/1' ORDER BY 1 LIMIT 1)"
    execute(
        database_url,
        "UPDATE events e SET topic = o.topic, state = o.state FROM events o"
        f" WHERE e.originator_id = {stream} AND o.originator_id = e.originator_id"
        " AND (e.originator_version, o.originator_version) IN ((2, 5), (5, 2))",
    )
    result = check(database_url, 1)
    assert not result.ok


def test_balanced_books_that_are_wrong_are_found(database_url: str, history: History) -> None:
    """A view that contradicts an account is named also where the rows themselves were not looked at."""
    member = next(iter(history.accounts))
    execute(
        database_url,
        f"UPDATE trial_balance_1.member_points SET points = points + 1 WHERE member_id = '{member}'",
    )
    report = text(check(database_url, 1))
    assert f"trial_balance of account {member}" in report
    assert "trial_balance.program_totals programs/shop: expected member =" in report


def test_not_during_a_rebuild(database_url: str) -> None:
    """The tables of a view that is being rebuilt are about to go away."""
    with connect(database_url, "test") as connection:
        assert try_lock(connection.cursor(), "rebuild tiers")
        with pytest.raises(CheckError, match="tiers is being rebuilt"):
            check(database_url, 1)


def test_empty_log(database_url: str) -> None:
    """Nothing is right too."""
    assert check(database_url).ok


def test_a_changed_snapshot_is_found(database_url: str, history: History) -> None:
    """Commands start from snapshots, so one that says something else than the events is named."""
    account = max(history.accounts.values(), key=lambda account: account.lot_points)
    kept = account.to_snapshot()
    write_snapshot(database_url, account.account_id, kept)
    assert check(database_url, 2).ok
    kept.lots[0].points += 1_000
    kept.totals["issued"] += 1_000
    write_snapshot(database_url, account.account_id, kept)
    result = check(database_url, 2)
    assert not result.ok
    assert f"{account.account_id}" in text(result)
    assert "snapshots" in text(result)


def write_snapshot(database_url: str, account_id: UUID, snapshot: AccountSnapshot) -> None:
    """Puts a snapshot there, whatever it says."""
    with connect(database_url, "test") as connection:
        connection.execute("DELETE FROM snapshots")
        connection.execute(
            "INSERT INTO snapshots VALUES (%s, %s, %s)",
            (account_id, snapshot.version, snapshot.SerializeToString()),
        )


# -- going on where it was


@pytest.fixture(name="small_shares")
def _small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of some thirty events."""
    monkeypatch.setattr("projections.check.SHARE_EVENTS_MAX", 30)


def interrupted(database_url: str, file: Path, after_events: int) -> None:
    """A check that is stopped after so many events, and keeps what is done."""

    def stop(done: int, _of: int) -> None:
        if done > after_events:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(database_url, 1, stop, file)
    assert file.exists()


@pytest.mark.usefixtures("small_shares")
def test_an_interrupted_check_goes_on(database_url: str, history: History, tmp_path: Path) -> None:
    """What is done is not done again, unless it has moved on since; it comes to the same."""
    file = tmp_path / "check.json"
    interrupted(database_url, file, 150)
    interrupted(database_url, file, 60)
    whole = check(database_url, 1)
    left: list[int] = []
    result = check(database_url, 2, lambda _done, of: left.append(of), file)
    assert result._replace(seconds=0) == whole._replace(seconds=0)
    assert result.ok, text(result)
    assert 0 < left[-1] < whole.head / 2
    assert not file.exists()

    interrupted(database_url, file, 150)
    before = len(history.events)
    history.enrol()
    for member in list(history.accounts)[:3]:
        history.sell(member, 5_000)
    append(database_url, history.events[before:], at=history.at)
    catch_up(database_url)
    result = check(database_url, 1, state_file=file)
    assert result.ok, text(result)
    assert (result.head, result.accounts) == (len(history.events), len(history.accounts))


@pytest.mark.usefixtures("small_shares")
def test_what_was_found_before_is_not_forgotten(database_url: str, history: History, tmp_path: Path) -> None:
    """Findings of shares that are done are in the file too, and each is told once."""
    execute(database_url, "UPDATE statements_1.entries SET store = 'x'; UPDATE tiers_1.programs SET starts_at = 5")
    file = tmp_path / "check.json"
    interrupted(database_url, file, len(history.events) - 5)
    counts = check(database_url, 1).counts
    assert check(database_url, 1, state_file=file).counts == counts
    assert counts["tiers.programs"] == 1


@pytest.mark.usefixtures("small_shares", "history")
def test_a_state_that_does_not_fit(
    database_url: str, another_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another log, release or generation of a view, or no state at all: it is said which, and nothing is checked."""
    file = tmp_path / "check.json"
    interrupted(database_url, file, 100)
    sound = file.read_text()
    with pytest.raises(CheckError, match=r"begun on another log: event \d+ is not the same\. Delete the file"):
        check(another_url, 1, state_file=file)
    with monkeypatch.context() as newer:
        newer.setattr("projections.check_state.release", lambda: "9.9")
        with pytest.raises(CheckError, match="begun by another release"):
            check(database_url, 1, state_file=file)
    rebuild(database_url, "tiers")
    with pytest.raises(CheckError, match="begun before a view was rebuilt"):
        check(database_url, 1, state_file=file)
    negative, huge = (sound.replace('"shares": ', f'"shares": {number}') for number in ("-", "1e9"))
    for damaged in ('{"release": 1}', "[" * 200_000, negative, huge):
        file.write_text(damaged)
        with pytest.raises(CheckError, match="is not the state of a check: name another file"):
            check(database_url, 1, state_file=file)


def test_the_seal_is_looked_at(database_url: str, history: History) -> None:
    """L2: what no view shows, such as when an event was recorded, is found by the log's tree, in every share."""
    with connect(database_url, "test") as connection, connection.transaction():
        seal(connection.cursor(binary=True, row_factory=tuple_row), len(history.events))
    assert f"log seal: same up to {len(history.events)}, signed up to 0" in text(check(database_url, 2))
    execute(database_url, "UPDATE events SET recorded_at = recorded_at - 1 WHERE topic = 'blocked/1'")
    result = check(database_url, 2)
    first = next(number for number, event in enumerate(history.events, 1) if isinstance(event.payload, CommandBlocked))
    found = [finding.key for finding in result.first if finding.place == "log seal"]
    assert found == [f"position {first}"], text(result)


def test_a_view_that_is_ahead_of_the_log_is_found(database_url: str, history: History) -> None:
    """It would leave out what comes next."""
    execute(database_url, "UPDATE projection.tracking SET position = position + 3 WHERE name = 'balances' AND live")
    result = check(database_url)
    assert not result.ok
    assert f"position {len(history.events) + 3}: the next events would be left out" in text(result)


@pytest.mark.usefixtures("history")
def test_a_state_that_is_gone_without_an_archive_is_found(database_url: str, tmp_path: Path) -> None:
    """Whatever made the list of archives forget it."""
    execute(database_url, "UPDATE events SET state = NULL WHERE notification_id BETWEEN 5 AND 6")
    result = check(database_url, archive=tmp_path)
    assert "event 5" in [one.key for one in result.first if one.expected == "a state, or an archive that has it"]
