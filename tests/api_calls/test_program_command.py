"""`loyalty program`: from a file to a published version, against a real server."""

import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToJson
from loyalty.v1.program_pb2 import Program
from loyalty.v1.program_service_pb2 import GetProgramRequest, ListProgramVersionsRequest, ListProgramVersionsResponse
from typer.testing import CliRunner, Result

from ledger.cli.program import app, request_id_of
from tests.conftest import OpenShop
from tests.programs import program, spend
from tests.running import ServerProcess, token
from tests.shop import TIMEOUT_S, Shop, new_id, refused


class Desk:
    """A programme manager with a file and a server."""

    def __init__(self, shop: Shop, server: ServerProcess, admin_token: str, folder: Path) -> None:
        self.shop = shop
        self.file = folder / "program.json"
        self._at = ("--address", server.address, "--token", admin_token)

    def write(self, definition: Program) -> None:
        """Leaves a program in the file."""
        self.file.write_text(MessageToJson(definition), encoding="utf-8")

    def run(self, name: str, *arguments: str, online: bool = True) -> Result:
        """Runs a command."""
        return CliRunner().invoke(app, [name, *arguments, *(self._at if online else ())])

    def versions(self, **fields: object) -> ListProgramVersionsResponse:
        """What ListProgramVersions answers."""
        request = ListProgramVersionsRequest(program=self.shop.program, **fields)  # type: ignore[arg-type]  # as each test gives them
        return self.shop.programs.ListProgramVersions(request, metadata=self.shop.metadata, timeout=TIMEOUT_S)


@pytest.fixture
def desk(open_shop: OpenShop, server: ServerProcess, admin_token: str, tmp_path: Path) -> Desk:
    """A desk with a program that is published once and lies in the file as it is."""
    shop = open_shop(program(spend(1, 1_00)))
    desk = Desk(shop, server, admin_token, tmp_path)
    request = GetProgramRequest(name=shop.program)
    desk.write(shop.programs.GetProgram(request, metadata=shop.metadata).program)
    return desk


def changed(desk: Desk, points: int) -> Program:
    """The program with another rate, as a file has it."""
    definition = program(spend(points, 1_00), name=desk.shop.program)
    definition.currency, definition.time_zone, definition.default_region = "EUR", "Europe/Berlin", "DE"
    return definition


def test_validate_needs_no_server(desk: Desk) -> None:
    """Status 0 or 1, and each problem as file:line: field: reason."""
    done = desk.run("validate", str(desk.file), online=False)
    assert (done.exit_code, done.stdout) == (0, f"{desk.file}: {desk.shop.program} can be published\n")
    desk.file.write_text("name: programs/p\ncurrency: INR\ntime_zone: Mars\nearning_rulez: []\n", encoding="utf-8")
    done = desk.run("validate", str(desk.file), online=False)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"{desk.file}:1: default_region: must be an ISO 3166-1 region of two capital letters, such as IN",
        f"{desk.file}:3: time_zone: must be an IANA time zone, such as Asia/Kolkata",
        f"{desk.file}:4: earning_rulez: is no field of Program: do you mean earning_rules?",
        f"loyalty: 3 problems in {desk.file}",
    ]
    done = desk.run("validate", str(desk.file), "--json", online=False)
    assert [(problem["line"], problem["field"]) for problem in json.loads(done.stdout)["problems"]] == [
        (1, "default_region"),
        (3, "time_zone"),
        (4, "earning_rulez"),
    ]
    done = desk.run("validate", str(desk.file) + "x", online=False)
    assert (done.exit_code, done.stderr) == (1, f"loyalty: {desk.file}x cannot be read: No such file or directory\n")


def test_diff(desk: Desk) -> None:
    """What differs from the newest version, or that nothing does."""
    done = desk.run("diff", str(desk.file))
    assert (done.exit_code, done.stdout) == (0, 'nothing differs from version 1, etag "v1"\n')
    desk.write(changed(desk, 5))
    done = desk.run("diff", str(desk.file))
    assert done.stdout.splitlines() == [
        'compared with version 1, etag "v1":',
        "~ earning_rules[spend].spend.points: 1 -> 5",
    ]
    done = desk.run("diff", str(desk.file), "--json")
    assert json.loads(done.stdout)["differences"] == [
        {"field": "earning_rules[spend].spend.points", "before": "1", "after": "5"}
    ]
    desk.write(program(name="programs/nobody-has-it", currency="EUR", time_zone="UTC", default_region="DE"))
    assert "is not published yet" in desk.run("diff", str(desk.file)).stdout


def test_publish_once(desk: Desk) -> None:
    """A second publication of the same file changes nothing; going back to older rules is a version of its own."""
    told = []
    for points in (5, 5, 1, 5):
        desk.write(changed(desk, points))
        done = desk.run("publish", str(desk.file), "--operator", "asha", "--json")
        assert done.exit_code == 0, done.stderr
        told.append((json.loads(done.stdout)["version"], json.loads(done.stdout)["published"]))
    assert told == [(2, True), (2, False), (3, True), (4, True)]
    assert [version.version for version in desk.versions().versions] == [4, 3, 2, 1]


def test_a_publication_whose_answer_was_lost_is_harmless(desk: Desk) -> None:
    """The request id comes from the file and the version that it was made from."""
    definition = changed(desk, 5)
    definition.etag = '"v1"'
    desk.write(definition)
    assert desk.run("publish", str(desk.file)).exit_code == 0
    assert desk.versions().versions[0].transaction == f"transactions/{request_id_of(definition)}"


def test_a_faster_colleague_is_not_overwritten(desk: Desk) -> None:
    """With the etag of the version that the file was made from, by option or in the file."""
    desk.shop.publish(changed(desk, 3))
    for definition, option in ((changed(desk, 5), ['--etag="v1"']), (changed(desk, 5), [])):
        if not option:
            definition.etag = '"v1"'
        desk.write(definition)
        done = desk.run("publish", str(desk.file), *option)
        assert done.exit_code == 1
        assert done.stderr.startswith("loyalty: ABORTED: ")
    assert desk.versions().versions[0].version == 2


def test_history(desk: Desk) -> None:
    """Who published which version and when, newest first."""
    desk.write(changed(desk, 5))
    desk.run("publish", str(desk.file), "--operator", "asha")
    done = desk.run("history", desk.shop.program, "--json")
    versions = json.loads(done.stdout)["versions"]
    assert [version["version"] for version in versions] == ["2", "1"]
    assert versions[0]["origin"]["operator"] == "asha"
    assert "asha" in desk.run("history", desk.shop.program.removeprefix("programs/")).stdout
    done = desk.run("history", "nobody-has-it")
    assert (done.exit_code, done.stderr.startswith("loyalty: NOT_FOUND: ")) == (1, True)


def test_list_program_versions(desk: Desk) -> None:
    """Pages of any size, newest first, and a token only for its own program."""
    for points in (2, 3, 4, 5):
        desk.shop.publish(changed(desk, points))
    found: list[int] = []
    page_token = ""
    while True:
        page = desk.versions(page_size=2, page_token=page_token)
        assert len(page.versions) <= 2
        found += [version.version for version in page.versions]
        assert all(version.etag == f'"v{version.version}"' for version in page.versions)
        assert all(version.HasField("recorded_at") for version in page.versions)
        page_token = page.next_page_token
        if not page_token:
            break
        kept = page_token
    assert found == [5, 4, 3, 2, 1]
    desk.shop.program = ""
    desk.shop.publish(program())
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="page_token"):
        desk.versions(page_token=kept)
    desk.shop.program = f"programs/{new_id()}"
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        desk.versions()


def test_a_bound_manager_sees_its_own_program_only(desk: Desk, server: ServerProcess) -> None:
    """Of another one not even that it exists."""
    bound = token(server.database_url, "manager", program="programs/other")
    desk.shop.metadata = (("authorization", f"Bearer {bound}"),)
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        desk.versions()
