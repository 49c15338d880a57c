"""Who did what: administrative actions, reads of personal data and refused attempts are in the log."""

from typing import Any

import grpc
import pytest
from loyalty.v1 import audit_trail_pb2 as a
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.pos_service_pb2 import GetBalanceRequest, LookupMemberRequest

from tests.conftest import OpenShop
from tests.programs import program
from tests.running import ServerProcess, token
from tests.shop import TIMEOUT_S, Shop, refused
from tests.trail import entries, phone, wait_for

LOOKUP = "loyalty.v1.PosService/LookupMember"


def test_reads_of_personal_data(server: ServerProcess, open_shop: OpenShop) -> None:
    """Each look-up by identifier is in the trail: who, with which role, from where, whom. No personal data is."""
    shop = open_shop(program())
    number = phone()
    member = shop.enroll([number]).member
    till = Shop(shop.channel, token(server.database_url, "pos", store="s-9", terminal="t-9", program=shop.program))
    request = LookupMemberRequest(identifier=number)
    for _ in range(3):
        assert till.pos.LookupMember(request, metadata=till.metadata, timeout=TIMEOUT_S).member == member
    by_number = GetBalanceRequest(identifier=number)
    till.pos.GetBalance(by_number, metadata=till.metadata, timeout=TIMEOUT_S)
    by_name = GetBalanceRequest(member=member)
    till.pos.GetBalance(by_name, metadata=till.metadata, timeout=TIMEOUT_S)
    found = wait_for(shop, 4, member=member, kind=a.AUDIT_KIND_READ)
    assert sum(one.entry.count for one in found) == 4
    assert {one.entry.method for one in found} == {LOOKUP, "loyalty.v1.PosService/GetBalance"}
    for one in found:
        entry = one.entry
        assert entry.actor == f"credentials/{till.metadata[0][1].split()[1].split('.')[0]}"
        assert (entry.role, entry.store, entry.terminal) == ("pos", "s-9", "t-9")
        assert (entry.resource, entry.network, entry.reason) == (member, "127.0.0.0/24", 0)
        assert entry.first_at.ToNanoseconds() <= entry.last_at.ToNanoseconds() <= one.recorded_at.ToNanoseconds()
        assert number.value.encode() not in one.SerializeToString()
