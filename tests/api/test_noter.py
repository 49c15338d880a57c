"""What is noted of callers: enough to find them, and no more."""

import pytest
from loyalty.v1.commands_pb2 import AdjustPointsRequest, EnrollMemberRequest, PublishProgramRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.pos_service_pb2 import GetTransactionRequest

from ledger.api.noter import NOTED_REFUSALS, Noter
from ledger.store.credentials import Principal
from ledger.writer.trail import Noted

TILL = Principal("t-222222", "pos", "s-1", None, None)
MEMBER = "members/0190f3a0-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("ipv4:192.0.2.17:50123", "192.0.2.0/24"),
        ("ipv6:%5B2001:db8:1:2::3%5D:50123", "2001:db8:1::/48"),
        ("ipv6:[::ffff:192.0.2.17]:50123", "192.0.2.0/24"),
        ("unix:/run/loyalty.sock", ""),
        ("", ""),
    ],
)
def test_network(peer: str, network: str) -> None:
    """Of an address only the network is kept."""
    noted: list[Noted] = []
    Noter(noted.append).read(TILL, "m", MEMBER, peer)
    assert [one.network for one in noted] == [network]


@pytest.mark.parametrize(
    ("request_", "resource"),
    [
        (AdjustPointsRequest(member=MEMBER), MEMBER),
        (AdjustPointsRequest(member="members/Asha Rao"), ""),
        (AdjustPointsRequest(member=f"{MEMBER}/+919876543210"), ""),
        (
            GetTransactionRequest(name=MEMBER.replace("members", "transactions")),
            MEMBER.replace("members", "transactions"),
        ),
        (PublishProgramRequest(), ""),
        (EnrollMemberRequest(program="programs/4006381333931"), ""),
        (None, ""),
    ],
)
def test_resource(request_: AdjustPointsRequest | None, resource: str) -> None:
    """What nobody has checked yet is noted only where it is a name as it should be."""
    noted: list[Noted] = []
    Noter(noted.append).refused(ErrorReason.ERROR_REASON_NOT_ALLOWED, TILL, "m", request_, str)
    assert [one.resource for one in noted] == [resource]


def test_what_is_no_refusal() -> None:
    """A refused command is an event already, a mistyped field nobody's business, and a stranger has no name."""
    noted: list[Noted] = []
    noter = Noter(noted.append)
    for reason in ErrorReason.values():
        noter.refused(reason, TILL, "m", None, str)
    noter.refused(ErrorReason.ERROR_REASON_CREDENTIAL_INVALID, None, "m", None, str)
    assert {one.reason for one in noted} == NOTED_REFUSALS
