"""`loyalty import members`: the whole file or nothing, once, and on from where it was stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import loyalty
from tests.conftest import OpenShop
from tests.members.known import attribute, attributes_of, changes, get, identifier, search
from tests.programs import program, spend
from tests.running import ROOT, ServerProcess
from tests.shop import Shop

Import = Callable[..., str]

ATTRIBUTES = [attribute("vegan", "flag"), attribute("children", "integer"), attribute("circle", "text", "gold", "blue")]


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop whose program has attributes."""
    return open_shop(program(spend(), attributes=ATTRIBUTES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of members."""
    return tmp_path / "members.csv"


@pytest.fixture
def run(shop: Shop, file: Path, server: ServerProcess, admin_token: str) -> Import:
    """Imports the file."""
    at = ("--address", server.address, "--token", admin_token, "--program", shop.program)
    return lambda *arguments, status=0: loyalty("import", "members", file, *at, *arguments, status=status)


def member_of(shop: Shop, external_id: str) -> str:
    """The member with an external id."""
    (found,) = search(shop, identifier=identifier("external_id", external_id))
    return found.member


def test_sets_what_the_file_says(shop: Shop, file: Path, server: ServerProcess, admin_token: str, run: Import) -> None:
    """With or without a byte order mark and quotes; an empty cell leaves what is there, #N/A removes."""
    file.write_bytes(
        "\ufeffexternal_id,given_name,vegan,children,phone,circle\r\n"
        'a-1,"Asha, ""A""",TRUE,02,030 901821,\r\n'
        "\r\n"
        "a-2,बेला,,, ,blue\r\n".encode()
    )
    assert (
        run("--create", "--source-time", "2026-01-01", "--source", "crm")
        == "2 created, 0 updated, 0 unchanged, 0 failed\n"
    )
    member = member_of(shop, "a-1")
    assert attributes_of(shop, member) == {"vegan": "true", "children": "2"}
    at = ("--address", server.address, "--token", admin_token)
    shown = json.loads(loyalty("member", "profile", member, "--personal", *at))
    assert shown["personal"]["profile"]["given_name"] == 'Asha, "A"'
    assert "personal" not in json.loads(loyalty("member", "profile", member, *at))
    personal = get(shop, member).personal
    assert [one.value for one in personal.identifiers] == ["+4930901821", "a-1"]
    assert personal.attributes[0].source == "crm"
    file.write_text("external_id,children,circle,vegan\na-1,#N/A,gold,\na-3,1,,\n")
    assert run("--source-time", "2026-01-02", status=1).startswith(
        "0 created, 1 updated, 0 unchanged, 1 failed\nline 3: "
    )
    assert attributes_of(shop, member) == {"vegan": "true", "circle": "gold"}
    head = shop.head()
    assert json.loads(run("--source-time", "2026-01-02", "--json", status=1).splitlines()[0])["updated"] == 1
    assert not changes(shop, head)  # the same file again is answered as before


WRONG = [
    (b"", ["line 1: external_id is missing"]),
    (b"external_id\n", ["line 1: is the only one"]),
    (b"given_name,given_name,age\nx,y\n", ["line 1: external_id is missing", "'given_name' is named", "'age' is no"]),
    ("external_id\na\n".encode("utf-16"), ["line 1: is not UTF-8"]),
    (
        b"external_id,given_name\na,Zo\xeb\nb,Zo\xebl\n",
        ["line 2: is not UTF-8: byte 5", "line 3: is not UTF-8: byte 5"],
    ),
    (
        b"external_id,children,vegan\na,many,maybe\nb,1\na,1.5,true\n,1,true\n",
        [
            "line 2: children must be a whole number",
            "line 2: vegan must be true or false",
            "line 3: has 2 cells where the first line has 3",
            "line 4: children must be a whole number",
            "line 4: external_id is in line 2 too",
            "line 5: external_id is",
        ],
    ),
    (
        b"external_id,phone,email,circle\na,12,x,red\nb,030 901820,,\nc,+4930901820,,\n",
        [
            "line 2: phone must be a phone number",
            "line 2: email must be an e-mail address",
            "line 2: circle must be one of gold, blue",
            "line 4: phone is in line 3 too",
        ],
    ),
    (
        b'external_id,given_name\nz,x\na,"open\n' + b"b,x\n" * 40_000,
        ["line 3: cannot be read as CSV: field larger than field limit (131072); it goes on to line"],
    ),
    (
        b'external_id,given_name\na,"open\nb,x\n',
        ["line 2: cannot be read as CSV: unexpected end of data; it goes on to line 3: is a quote left open?"],
    ),
    (b"external_id,given_name\n,\na,x\n,,\n,\n", ["line 4: has 3 cells where the first line has 2"]),
    (
        b"external_id,given_name\na,#N/A\nb,a\x00b\n",
        ["given_name cannot be removed", "line 3: given_name must not have control"],
    ),
]


@pytest.mark.parametrize(("content", "problems"), WRONG)
def test_a_wrong_file_writes_nothing(shop: Shop, file: Path, run: Import, content: bytes, problems: list[str]) -> None:
    """All its problems are named, by line and column, before anything is written."""
    file.write_bytes(content)
    head = shop.head()
    said = run("--create", status=1)
    assert [problem for problem in problems if problem not in said] == []
    assert said.count(f"{file}: ") == len(problems)
    assert said.endswith("nothing was written: correct the file and import it again\n")
    assert not changes(shop, head)


def test_only_the_first_problems_are_shown(file: Path, run: Import) -> None:
    """The others are counted. A file that is right is only looked at with --dry-run."""
    file.write_text("external_id,children\n" + "".join(f"{number},x\n" for number in range(150)))
    assert f"{file}: and 50 more problems" in run(status=1)
    file.write_text("external_id,children\na,1\n")
    assert run("--dry-run", "--create") == f"{file} is right by itself; nothing was written\n"


def lines_sent(position: Path) -> int:
    """How many lines of a file an import has sent, as it wrote down."""
    try:
        return int(json.loads(position.read_text())["lines"])
    except FileNotFoundError:
        return 0


def test_a_run_that_was_killed_goes_on(
    shop: Shop, file: Path, server: ServerProcess, admin_token: str, run: Import
) -> None:
    """Behind the last call that it knows of; each line is written once, and what failed before is still told."""
    lines = 3_000
    shop.enroll([identifier("phone", "+4930901820")])
    people = "".join(f"k-{number},{number},\n" for number in range(lines - 1))
    file.write_text(f"external_id,children,phone\nthief,1,+4930901820\n{people}")
    position = file.with_name("members.csv.position")
    at = ("--address", server.address, "--token", admin_token, "--program", shop.program)
    command = [sys.executable, "-m", "server", "import", "members", str(file), *at, "--create"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not lines_sent(position) and process.poll() is None and time.monotonic() < until:
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
    assert 0 < lines_sent(position) < lines
    said, *failed = run("--create", "--json", status=1).splitlines()
    result = json.loads(said)
    assert 0 < result.pop("resumed_behind") < lines
    assert result == {"created": lines - 1, "updated": 0, "unchanged": 0, "failed": 1}
    assert [line.partition(":")[0] for line in failed] == ["line 2"]
    assert not position.exists()
    updates = [event for event in shop.events("", "MemberUpdated") if event.member_updated.attributes]
    assert len({event.subject for event in updates}) >= lines - 1
    assert attributes_of(shop, member_of(shop, f"k-{lines - 2}")) == {"children": str(lines - 2)}


def test_nothing_is_sent_where_the_position_cannot_be_kept(shop: Shop, file: Path, run: Import) -> None:
    """Such as in a folder that is not writable: it would not be known where to go on."""
    file.write_text("external_id,children\nro-1,1\n")
    file.with_name("members.csv.position.new").mkdir()
    head = shop.head()
    said = run("--create", status=1)
    assert "0 lines are imported: make the folder writable" in said
    assert not changes(shop, head)
