"""`loyalty demo` from end to end: real processes, real baskets, and a ledger that was tampered with."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from loyalty.v1.account_pb2 import Balance
from loyalty.v1.commands_pb2 import RecordSaleRequest
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.origin_pb2 import Origin
from loyalty.v1.pos_service_pb2_grpc import PosServiceStub
from loyalty.v1.sale_pb2 import Sale, SaleLine

from ledger.cli.log import LOCAL_CHECKPOINTS
from ledger.demo import loader, requests
from ledger.demo.grocery_year import Basket, Product
from ledger.demo.offline import prove_offline
from ledger.demo.own_server import Endpoint, OwnServer
from ledger.demo.run import run
from ledger.proof.checkpoint_file import SignedCheckpoint
from tests.demo.silent import Silent
from tests.projections.tables import execute
from tests.running import ROOT, ServerProcess

pytestmark = pytest.mark.xdist_group("demo")

LOYALTY = [sys.executable, "-m", "server"]
FEW = 300
MANY = 4_000
"""More than one batch for each of the 16 lanes."""

OWN = 3_000
"""For the demo's own server."""

HALF = 2_000
"""So many that some lane is past its first batch of 200, which a load that goes on sends again, and so few that some
sales are not even under way."""


def demo(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    return subprocess.run(
        [*LOYALTY, "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def demo_at(endpoint: Endpoint, baskets: int) -> tuple[int, dict[str, Any]]:
    """Status and result of the command against a server."""
    done = demo(
        *("--address", endpoint.address, "--json"),
        environment={"LOYALTY_TOKEN": endpoint.token, "DEMO_BASKETS": str(baskets)},
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_first_baskets_reconcile_and_a_second_run_repeats_nothing(endpoint: Endpoint) -> None:
    """The same figures from the events, the balances and the files, once and again."""
    status, first = demo_at(endpoint, FEW)
    assert (status, first["reconciled"], first["differences"]) == (0, True, [])
    assert (first["sales_loaded"], first["sales_found"]) == (FEW, 0)
    figures = {total["figure"]: total["in_ledger"] for total in first["totals"]}
    assert figures == {
        "members": 252,
        "sales": FEW,
        "money in cents": 889_703,
        "points issued": 8_749,
        "points balance": 8_749,
    }
    assert first["liability"]["points"] == {"2017-01": 8_749}
    assert (first["liability"]["minor"], first["liability"]["unexplained_points"]) == (87_49, 0)
    status, second = demo_at(endpoint, FEW)
    assert (status, second["sales_loaded"], second["sales_found"]) == (0, 0, FEW)
    assert second["totals"] == first["totals"]


def test_what_a_crm_team_is_told_is_compared_too(server: ServerProcess, endpoint: Endpoint) -> None:
    """RFM, high-value members, favourites, departments, products and pairs; one damaged row of the view is found."""
    status, result = demo_at(endpoint, FEW)
    assert (status, result["insight"]["differences"]) == (0, [])
    totals = {total["figure"]: (total["in_files"], total["in_ledger"]) for total in result["insight"]["totals"]}
    assert totals["RFM scores"] == totals["favourite stores"] == (252, 252)
    assert totals["high-value members"] == (26, 26)
    assert sorted(totals) == [
        "RFM scores", "department pairs", "department sales", "favourite categories", "favourite stores",
        "high-value members", "product sales",
    ]  # fmt: skip
    assert all(files == ledger > 0 for files, ledger in totals.values())
    execute(
        server.database_url,
        "UPDATE sales_1.sale_lines SET net_minor = net_minor + 1"
        " WHERE (position, number) = (SELECT min(position), 1 FROM sales_1.sale_lines)",
    )
    status, result = demo_at(endpoint, FEW)
    assert (status, result["reconciled"], result["differences"]) == (1, False, [])
    found = {one["figure"] for one in result["insight"]["differences"]}
    assert {"department sales", "product sales"} <= found <= {*totals}


def test_a_program_takes_the_same_baskets(endpoint: Endpoint) -> None:
    """Members, sales and money are those of the files; its points are told."""
    done = demo(*("--program", "fashion", "--address", endpoint.address, "--json"), environment=few(endpoint))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    figures = {total["figure"]: (total["in_files"], total["in_ledger"]) for total in result["totals"]}
    assert result["reconciled"]
    assert figures["sales"] == (FEW, FEW)
    assert figures["money in cents"] == (889_703, 889_703)
    in_files, issued = figures["points issued"]
    assert in_files is None
    assert issued > 0
    told = demo(*("--program", "fashion", "--address", endpoint.address), environment=few(endpoint))
    assert "The ledger holds the members, sales and money of the files." in told.stdout


def test_a_program_that_cannot_be_published_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    """Before anything is loaded, with the command that says more."""
    file = tmp_path / "mine.yaml"
    file.write_text("name: programs/mine\n", encoding="utf-8")
    done = demo(*("--program", str(file), "--address", endpoint.address), environment=few(endpoint))
    assert (done.returncode, "loyalty program validate" in done.stderr) == (1, True)
    done = demo(*("--program", "bakery", "--address", endpoint.address), environment=few(endpoint))
    assert (done.returncode, "neither a file nor one of" in done.stderr) == (1, True)


def few(endpoint: Endpoint) -> dict[str, str]:
    """The credential, and the first baskets only."""
    return {"LOYALTY_TOKEN": endpoint.token, "DEMO_BASKETS": str(FEW)}


def test_a_load_that_was_killed_goes_on_to_the_same_figures(endpoint: Endpoint) -> None:
    """SIGKILL in the middle of the batches; nothing is lost and nothing counted twice."""
    killed = subprocess.run(
        [sys.executable, "-m", "tests.demo.killed", *endpoint, str(MANY), str(HALF)],
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    status, result = demo_at(endpoint, MANY)
    assert (status, result["reconciled"]) == (0, True)
    assert 0 < result["sales_loaded"] < MANY
    assert result["sales_found"] + result["sales_loaded"] == MANY


def test_a_load_can_be_continued_to_more_baskets(endpoint: Endpoint) -> None:
    """The first baskets of more are the same."""
    assert demo_at(endpoint, FEW)[0] == 0
    status, result = demo_at(endpoint, 2 * FEW)
    assert (status, result["reconciled"]) == (0, True)


def test_a_sale_too_many_is_found(server: ServerProcess, endpoint: Endpoint) -> None:
    """Somebody else's sale to one of the members: every figure of that household, and the status."""
    assert demo_at(endpoint, FEW)[0] == 0
    with server.channel() as channel:
        reply = PosServiceStub(channel).RecordSale(
            RecordSaleRequest(
                request_id=str(uuid4()),
                origin=Origin(store="1", terminal="1"),
                identifier=Identifier(
                    type=IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID,
                    value="900",
                    program="programs/demo",
                ),
                sale=Sale(lines=[SaleLine(price_minor=500)]),
            ),
            metadata=(("authorization", f"Bearer {endpoint.token}"),),
        )
    assert reply.receipt.earned_points == 5
    status, result = demo_at(endpoint, FEW)
    assert status == 1
    assert not result["reconciled"]
    by_figure = {
        difference["figure"]: difference["in_ledger"] - difference["in_files"] for difference in result["differences"]
    }
    assert {difference["who"] for difference in result["differences"]} == {"household 900"}
    assert by_figure == {"sales": 1, "money in cents": 500, "points issued": 5, "points balance": 5}
    told = demo(*("--address", endpoint.address, "--token", endpoint.token, "--baskets", str(FEW)))
    assert told.returncode == 1
    assert "household 900: sales" in told.stdout
    assert "4 differences between the files and the ledger." in told.stdout


def test_a_basket_that_was_changed_on_the_way_is_found(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of one basket with one cent more."""
    changed: list[int] = []

    def dearer(basket: Basket, member: str, products: Mapping[int, Product]) -> RecordSaleRequest:
        request = requests.record_sale(basket, member, products)
        if not changed:
            changed.append(basket.household_id)
            request.sale.lines[0].price_minor += 1
        return request

    monkeypatch.setattr(loader, "record_sale", dearer)
    result = run(endpoint, FEW, Silent()).reconciliation
    assert not result.holds
    money = [each for each in result.differences if each.figure == "money in cents"]
    assert [(each.who, each.in_ledger - each.in_files) for each in money] == [(f"household {changed[0]}", 1)]


def test_its_own_server_ends_with_it_and_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    """Stopped by Ctrl-C while it loads, the command ends its server; run again, it reconciles."""
    environment = {"LOYALTY_DATA_DIR": str(tmp_path), "DEMO_BASKETS": str(OWN)}
    with subprocess.Popen(
        [*LOYALTY, "demo"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stderr is None:
            raise AssertionError("stderr is a pipe")
        for line in process.stderr:
            if line.startswith("Recording sales"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "Stopped. Run it again to go on from here." in rest
    _assert_nobody_listens(tmp_path)

    done = demo(environment=environment)
    assert done.returncode == 0, done.stderr
    assert "The ledger holds exactly what the files hold." in done.stdout
    assert re.search(rf"sales\s+│\s+{OWN:,} │\s+{OWN:,} │\s+0 │", done.stdout)
    assert "Vintages less balances: 0 points." in done.stdout
    assert "the export continues the checkpoint of position" in done.stdout
    assert "differ from the server's: 0." in done.stdout
    _assert_nobody_listens(tmp_path)

    own = OwnServer(tmp_path, f"demo_{OWN}")
    kept = own.folder / LOCAL_CHECKPOINTS
    first = SignedCheckpoint.parse(kept.read_text().splitlines()[0])
    kept.write_text(json.dumps(first._replace(note=first.note.replace("\n", "1\n", 2)).as_json()) + "\n")
    proof = prove_offline(own, "2026-01-01T00:00:00Z", {"members/nobody": Balance(available_points=1)})
    assert (proof.verified, proof.differences, proof.holds) == (False, 1, False)
    assert "other_log" in proof.findings[0]


def test_without_the_extra_it_says_how_to_install_it() -> None:
    """One line with the command, and nothing started."""
    blocked = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *rest: None if name == 'duckdb' else find(name, *rest);"
        "import server; sys.argv = ['loyalty', 'demo']; server.main()"
    )
    done = subprocess.run([sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "loyalty: the demo's data is not installed (duckdb): run `make demo`, or pip install 'loyalty-ledger[demo]'\n"
    )


def test_a_server_is_named_with_its_credential() -> None:
    """Half of the two is a mistake that is better told than guessed about."""
    done = demo("--address", "127.0.0.1:1", environment={"LOYALTY_TOKEN": ""})
    assert done.returncode == 1
    assert "--address and --token go together" in done.stderr


def test_a_credential_that_is_refused_is_told_in_one_line(server: ServerProcess) -> None:
    """No stack trace for what the operator can put right."""
    done = demo("--address", server.address, "--token", "s-222222." + "A" * 43, "--baskets", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("loyalty: UNAUTHENTICATED: ")
    assert "Traceback" not in done.stderr


def test_an_address_where_nobody_listens_is_told_in_one_line() -> None:
    """At once, and not after the patience that a running load has."""
    done = demo("--address", "127.0.0.1:1", "--token", "s-222222." + "A" * 43, "--baskets", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("loyalty: UNAVAILABLE: ")
    assert "Traceback" not in done.stderr


def _assert_nobody_listens(data_dir: Path) -> None:
    file = data_dir / f"demo_{OWN}" / "credentials.json"
    host, _, port = json.loads(file.read_text("utf-8"))["address"].rpartition(":")
    with pytest.raises(ConnectionRefusedError), socket.create_connection((host, int(port))):
        pass
