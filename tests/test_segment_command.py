"""`loyalty segment import`: a file of members becomes the list of a segment, or nothing does."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.program_pb2 import Program
from loyalty.v1.segment_pb2 import SetSegmentMembersRequest
from loyalty.v1.segment_reads_pb2 import SetSegmentMembersResponse
from typer.testing import CliRunner

from ledger.cli import patience, segment
from server import app
from tests.conftest import OpenShop
from tests.people import erase
from tests.running import ServerProcess, free_address
from tests.segmenting import Segments
from tests.shop import TIMEOUT_S


def imported(server: ServerProcess, token: str, segment: str, file: Path, *options: str) -> tuple[int, str]:
    """The command's status, and what it says."""
    words = ["segment", "import", segment, str(file), *options, "--address", server.address, "--token", token]
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.output


def test_a_file_is_imported_whole_or_not_at_all(
    open_shop: OpenShop, server: ServerProcess, admin_token: str, tmp_path: Path
) -> None:
    """External ids with strangers, a repeated and an empty line; then without; and again after it was taken off."""
    shop = open_shop(Program())
    segments = Segments(shop)
    segments.save("vip")
    members = {
        f"crm-{number}": shop.enroll(
            [Identifier(type=IdentifierType.IDENTIFIER_TYPE_EXTERNAL_ID, value=f"crm-{number}", program=shop.program)]
        ).member
        for number in range(3)
    }
    file = tmp_path / "vip.csv"
    name = segments.name("vip")
    file.write_text("card\n1\n", encoding="utf-8")
    assert "line 1: must be the name of the only column" in imported(server, admin_token, name, file)[1]
    file.write_text("external_id\ncrm-0\n\ncrm-0\n", encoding="utf-8")
    status, said = imported(server, admin_token, name, file)
    assert (status, "line 3: must have one value" in said, "line 4: is there already, in line 2" in said) == (
        1,
        True,
        True,
    )
    file.write_text("external_id\ncrm-0\nstranger\ncrm-1\nother\n", encoding="utf-8")
    status, said = imported(server, admin_token, name, file)
    assert status == 1
    assert "line 3: is the external id of no member" in said
    assert "line 5: is the external id of no member" in said
    assert segments.get("vip").listed_count == 0

    file.write_text("\ufeffexternal_id\n" + "".join(f"{one}\n" for one in members), encoding="utf-8")
    whole = file.read_bytes()
    assert imported(server, admin_token, name, file) == (0, f"3 lines put on the list of {name}\n")
    assert set(segments.members("vip")) == set(members.values())
    (listed,) = shop.events(name, "SegmentListed")
    assert "crm-" not in str(listed), "no event has an identifier"
    file.write_text(f"member\n{members['crm-0']}\n", encoding="utf-8")
    assert imported(server, admin_token, name, file, "--remove")[0] == 0
    assert segments.get("vip").listed_count == 2
    file.write_bytes(whole)
    assert imported(server, admin_token, name, file)[0] == 0
    assert set(segments.members("vip")) == set(members.values()), "a file is imported as often as somebody does"


def test_what_cannot_be_read_has_its_line(tmp_path: Path) -> None:
    """Another encoding, and what is no list at all; nobody is asked then."""
    file = tmp_path / "vip.csv"
    for raw, line in ((b"\xef\xbb\xbfexternal_id\ncrm-1\n\xe9\n", 3), (b"external_id\n" + b"x" * 200_000, 2)):
        file.write_bytes(raw)
        result = CliRunner().invoke(app, ["segment", "import", "programs/p/segments/vip", str(file)])
        assert (result.exit_code, f"{file}: line {line}: " in result.output) == (1, True), result.output


def test_a_failure_while_writing_says_what_was_written(
    open_shop: OpenShop, server: ServerProcess, admin_token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is erased after the file was checked: the lines before are imported, and it says so."""
    shop = open_shop(Program())
    segments = Segments(shop)
    segments.save("vip")
    first, second = shop.member(), shop.member()

    def erasing(channel: grpc.Channel) -> SimpleNamespace:
        send = CrmServiceStub(channel).SetSegmentMembers

        def erase_and_send(request: SetSegmentMembersRequest, **options: Any) -> SetSegmentMembersResponse:
            if list(request.add) == [second] and not request.validate_only:
                erase(shop, second)
            return send(request, **options)

        return SimpleNamespace(SetSegmentMembers=erase_and_send)

    monkeypatch.setattr(segment, "CrmServiceStub", erasing)
    monkeypatch.setattr(segment, "BATCH_LINES", 1)
    file = tmp_path / "vip.csv"
    file.write_text(f"member\n{first}\n{second}\n", encoding="utf-8")
    status, said = imported(server, admin_token, segments.name("vip"), file)
    assert status == 1
    assert "1 of 2 lines are imported" in said
    assert "line 3: is no member of the program, or is erased" in said
    assert segments.members("vip") == [first]


def test_a_lost_reply_is_asked_for_again_and_never_told_as_a_failure(
    open_shop: OpenShop, server: ServerProcess, admin_token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same command; where no reply ever comes, the lines may be imported, and it says so."""
    shop = open_shop(Program())
    segments = Segments(shop)
    segments.save("vip")
    member = shop.member()
    sent: list[str] = []
    with grpc.insecure_channel(free_address()) as nobody:

        def losing(channel: grpc.Channel) -> SimpleNamespace:
            send = CrmServiceStub(channel).SetSegmentMembers

            def send_and_lose(request: SetSegmentMembersRequest, **options: Any) -> SetSegmentMembersResponse:
                response = send(request, **options)
                if request.validate_only:
                    return response
                sent.append(request.request_id)
                if len(sent) == 2:
                    return response
                return CrmServiceStub(nobody).SetSegmentMembers(request, timeout=TIMEOUT_S)

            return SimpleNamespace(SetSegmentMembers=send_and_lose)

        monkeypatch.setattr(segment, "CrmServiceStub", losing)
        file = tmp_path / "vip.csv"
        file.write_text(f"member\n{member}\n", encoding="utf-8")
        assert imported(server, admin_token, segments.name("vip"), file)[0] == 0
        assert (len(sent), len(set(sent))) == (2, 1)
        assert len(shop.events(segments.name("vip"), "SegmentListed")) == 1
        monkeypatch.setattr(patience, "PATIENCE_S", -1.0)
        status, said = imported(server, admin_token, segments.name("vip"), file)
    assert status == 1
    assert "0 of 1 lines are imported, and the next 1 may be: " in said
    assert "UNAVAILABLE" in said
