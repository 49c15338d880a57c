"""The README's guide for program managers: it lists what expressions can name, no more and no less."""

import re
import shlex
import subprocess
import sys
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.sale_pb2 import LineKind, SaleLine, TenderKind

from ledger.cli.program import app
from ledger.domain.account import Account
from ledger.domain.basket import Basket
from ledger.domain.instant import EARLIEST
from ledger.domain.member_profile import MemberProfile
from ledger.domain.rules.expression import Expression
from ledger.domain.rules.facts import VARIABLES, Facts, line_variable
from tests.running import ROOT

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE: Final = README[README.index("## Writing a program") : README.index("## Members")]
ROWS: Final = dict(re.findall(r"^\| `([\w.]+)` \| ([\w ]+) \|", GUIDE, re.MULTILINE))
TYPES: Final[dict[type, str]] = {
    bool: "true or false",
    int: "number",
    str: "text",
    list: "list",
    dict: "values by name",
}


def named(name: str, value: Any) -> dict[str, str]:
    """A variable, or each of its fields, with its type in the guide's words."""
    if name == "attributes":
        return {name: "texts by name"}
    if isinstance(value, dict):
        return {f"{name}.{field}": TYPES[type(inner)] for field, inner in value.items()}
    return {name: TYPES[type(value)]}


def test_the_guide_lists_every_variable() -> None:
    """In the order of the code, with its type."""
    line = SaleLine(line_id="1", price_minor=1)
    facts = Facts(Account(UUID(int=0)), Origin(), EARLIEST, ZoneInfo("UTC"), basket=Basket([line], [1]))
    facts.profile, facts.segments = MemberProfile(1, {}), []
    found: dict[str, str] = {}
    for name, value in VARIABLES.items():
        found |= named(name, value(facts))
    found |= named("line", line_variable(line))
    assert list(ROWS.items()) == list(found.items())


@pytest.mark.parametrize("name", ROWS)
def test_an_expression_can_name_it(name: str) -> None:
    """As the guide writes it; all lines only to be counted or gone through."""
    value = f"size({name})" if name == "lines" else name
    Expression(f"{value} == {value}", of_line=name.startswith("line.")).check({})


@pytest.mark.parametrize("expression", re.findall(r"`([^`\n]*(?:==|>=| in )[^`\n]*)`", GUIDE))
def test_the_examples_can_be_published(expression: str) -> None:
    """What the guide shows works."""
    Expression(expression).check({})


@pytest.mark.parametrize(
    ("variable", "kinds", "prefix"),
    [
        ("sale.tenders", TenderKind, "TENDER_KIND_"),
        ("channel", Channel, "CHANNEL_"),
        ("line.kind", LineKind, "LINE_KIND_"),
    ],
)
def test_the_guide_lists_every_value(variable: str, kinds: Any, prefix: str) -> None:
    """Of what has a few values only."""
    row = re.search(rf"^\| `{re.escape(variable)}` .*$", GUIDE, re.MULTILINE)
    assert row is not None
    values = [name.removeprefix(prefix).lower() for name, number in kinds.items() if number]
    assert re.findall(r"`(\w+)`", row[0].split("|")[3]) == values


def test_the_command_of_the_guide_works() -> None:
    """As somebody types it, from a process of its own and without a server."""
    (block,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    command = shlex.split(block.replace(".venv/bin/loyalty", f"{sys.executable} server.py"))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "ledger/programs/grocery.yaml: programs/grocery can be published\n"


def test_the_guide_names_every_command() -> None:
    """Of `loyalty program`."""
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback is not None}
    assert set(re.findall(r"loyalty program\s(\w+)", GUIDE)) == commands


@pytest.mark.parametrize(("arguments", "end"), [(("PROGRAM=grocery",), "tests.year grocery"), ((), "demo")])
def test_make_demo_hands_the_program_on(arguments: tuple[str, ...], end: str) -> None:
    """The year by a program is compared with the model; without one it is the demo's own."""
    command = ("make", "--dry-run", "--no-print-directory", "demo", *arguments)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip().endswith(end)
