"""`loyalty balances`: what every member holds, from an export alone, is what the server says."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from ledger.export.export import Order
from ledger.export.export import export as export_to
from ledger.proof.manifest import MANIFEST
from tests.commands import loyalty
from tests.programs import MONTH, cashback, end_of, pending, program, spend, tiers
from tests.proof import prove
from tests.running import Databases, running, token
from tests.scenarios.test_returns import pay
from tests.shop import Shop
from tests.test_export_commands import seal_all, wait_for_views

PROGRAM = program(
    spend(10),
    rewards=[cashback(1, 1)],
    expiry=end_of(MONTH, months=12),
    tiers=tiers(bronze=0, gold=900),
)


@pytest.fixture(scope="module")
def export(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[str, str, int, int, int]]]:
    """An export, and what the server said of each member: name, instant, and points in all."""
    url = databases.url(databases.create())
    folder = tmp_path_factory.mktemp("balances") / "export"
    with running(url) as process, process.channel() as channel:
        shop = Shop(channel, token(url), PROGRAM)
        members = [shop.member() for _ in range(4)]
        for number, member in enumerate(members):
            shop.sale(member, 10_00 * (number + 1), at="2025-01-10T12:00")  # has expired; nobody may have said so
            shop.sale(member, 50_00 * (number + 1))
        shop.sale(members[1], 20_00, points_payment=pay(300))
        shop.reserve(members[2], "cashback", 40)
        late = shop.publish(program(spend(10), rewards=[cashback(1, 1)], pending=pending(30), tiers=tiers(bronze=0)))
        assert late.program.version == 2
        shop.sale(members[3], 7_00)
        wait_for_views(shop, members[0])
        said = [(member, prove(shop, member)) for member in members]
    seal_all(url)
    export_to(url, folder, Order("events", "jsonl"), now=1)
    return folder, [
        (member, one.as_of.ToJsonString(), one.available_points, one.pending_points, one.held_points)
        for member, one in said
    ]


def test_every_member_holds_what_the_server_says(export: tuple[Path, list[tuple[str, str, int, int, int]]]) -> None:
    """With expired points, pending ones and a hold; the same as CSV and as JSON."""
    folder, said = export
    for member, as_of, *points in said:
        answer = json.loads(loyalty("balances", folder, "--as-of", as_of, "--json"))
        found = {one["member"]: one for one in answer["balances"]}
        assert len(found) == len(said)
        row = found[member]
        assert [row["available_points"], row["pending_points"], row["held_points"]] == points
        table = {
            row["member"]: row for row in csv.DictReader(io.StringIO(loyalty("balances", folder, "--as-of", as_of)))
        }
        assert table[member] == {name: str(value) for name, value in row.items()}
    assert {one[3] > 0 for one in said} == {one[4] > 0 for one in said} == {True, False}


def test_what_cannot_be_folded(export: tuple[Path, list[tuple[str, str, int, int, int]]], tmp_path: Path) -> None:
    """A part of the log, a line that is gone, an event that is not the next of its member: named, never guessed."""
    folder, _ = export
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    file = damaged / "events/0000000000001.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:4] + lines[5:]))
    assert "position 5 is not there: run `loyalty verify`" in loyalty("balances", damaged, status=1)
    file.write_text("".join(lines[:-1]))
    assert f"ends at position {len(lines) - 1}, not at {len(lines)}" in loyalty("balances", damaged, status=1)
    twice = [line.replace('"version":2', '"version":3') for line in lines]
    assert twice != lines
    file.write_text("".join(twice))
    assert "cannot be applied" in loyalty("balances", damaged, status=1)
    assert "No such file" in loyalty("balances", tmp_path, status=1)
    (damaged / MANIFEST).write_text("{}")
    assert "cannot be read" in loyalty("balances", damaged, status=1)
    assert "give a time as" in loyalty("balances", folder, "--as-of", "yesterday", status=1)
