"""The scenario book as data, run through the API as tests/vectors/README.md says."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from string import Template
from typing import Any
from uuid import uuid4

import grpc
import pytest
import yaml
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1 import commands_pb2 as c
from loyalty.v1 import pos_service_pb2 as pos
from loyalty.v1.program_pb2 import Program

from tests.conftest import OpenShop
from tests.proof import prove
from tests.shop import TIMEOUT_S, Details, Shop, instant

FOLDER = Path(__file__).parent.parent / "vectors"

RPCS: Mapping[str, type[Any]] = {
    "record_sale": c.RecordSaleRequest,
    "return_sale": c.ReturnSaleRequest,
    "reverse_transaction": c.ReverseTransactionRequest,
    "reserve_reward": c.ReserveRewardRequest,
    "commit_reward": c.CommitRewardRequest,
    "release_reward": c.ReleaseRewardRequest,
    "record_activity": c.RecordActivityRequest,
    "adjust_points": c.AdjustPointsRequest,
    "settle_pending": c.SettlePendingRequest,
    "publish_program": c.PublishProgramRequest,
    "set_tier_floor": c.SetTierFloorRequest,
    "get_balance": pos.GetBalanceRequest,
}
MANAGERS = {"adjust_points", "settle_pending", "publish_program", "set_tier_floor"}
MEMBER_IS_OPTIONAL = {"return_sale"}

LENGTHS = {"E": 19, "X": 12, "R": 12, "S": 4, "T": 12, "G": 8}
EXPECTED = {f"{letter}{number + 1}" for letter, length in LENGTHS.items() for number in range(length)} - {"X10"}
"""All but what no answer shows: notices (X10), and what only happens in parallel (R13)."""


def documents() -> Iterator[dict[str, Any]]:
    """Each scenario."""
    for path in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def cases() -> list[Any]:
    """Each case of each scenario."""
    return [
        pytest.param(case, id=f"{document['scenario']}-{number}")
        for document in documents()
        for number, case in enumerate(document["cases"], 1)
    ]


class Runner:
    """Does the commands of a case in a shop of its own."""

    def __init__(self, shop: Shop, members: list[str]) -> None:
        self.shop = shop
        self.members = {name: shop.member() for name in members}
        self.ids: dict[str, str] = {}
        self.sent: dict[str, tuple[str, Any]] = {}

    def do(self, command: dict[str, Any]) -> None:
        """Sends a command and compares what it comes to."""
        if "again" in command:
            rpc, request = self.sent[command["again"]]
        else:
            rpc = next(name for name in command if name in RPCS)
            request = self._request(rpc, command)
            self.sent[command.get("as", "")] = rpc, request
        service: Any = self.shop.programs if rpc in MANAGERS else self.shop.pos
        call = getattr(service, rpc.title().replace("_", ""))
        if "refused" in command:
            with pytest.raises(grpc.RpcError) as caught:
                call(request, metadata=self.shop.metadata, timeout=TIMEOUT_S)
            assert Details(caught.value).reason == command["refused"]
            return
        response = call(request, metadata=self.shop.metadata, timeout=TIMEOUT_S)
        compare(response, command.get("expect", {}), rpc)
        for name, path in command.get("keep", {}).items():
            self.ids[name] = part_of(response, path)

    def _request(self, rpc: str, command: dict[str, Any]) -> Any:
        request = ParseDict(self._filled(deepcopy(command[rpc])), RPCS[rpc]())
        if rpc == "get_balance":
            request.min_position = self.shop.head()
        else:
            request.request_id = self._id(command.get("as", str(uuid4())))
            origin = self.shop.origin(command.get("at"))
            origin.MergeFrom(request.origin)
            request.origin.CopyFrom(origin)
        if rpc == "publish_program":
            program = request.program
            program.name = self.shop.program
            program.currency = program.currency or "EUR"
            program.time_zone = program.time_zone or "Europe/Berlin"
            program.default_region = program.default_region or "DE"
        elif "member" in request.DESCRIPTOR.fields_by_name and not request.member and rpc not in MEMBER_IS_OPTIONAL:
            request.member = next(iter(self.members.values()))
        return request

    def _id(self, name: str) -> str:
        return self.ids.setdefault(name, str(uuid4()))

    def _filled(self, value: Any) -> Any:
        """The value with names in place of `${name}`."""
        if isinstance(value, dict):
            return {key: self._filled(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self._filled(part) for part in value]
        if not isinstance(value, str):
            return value
        template = Template(value)
        return template.substitute(
            {name: self.members.get(name) or self._id(name) for name in template.get_identifiers()}
        )


def part_of(message: Any, path: str) -> str:
    """What a path of fields and numbers leads to."""
    for step in path.split("."):
        message = message[int(step)] if step.isdigit() else getattr(message, step)
    return str(message)


def compare(message: Message, expected: dict[str, Any], path: str) -> None:
    """Compares the fields that are named."""
    wanted = ParseDict(expected, type(message)())
    for name, value in expected.items():
        found, due = getattr(message, name), getattr(wanted, name)
        where = f"{path}.{name}"
        if isinstance(due, Timestamp):
            assert found == instant(value), where
        elif isinstance(value, dict):
            compare(found, value, where)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            assert len(found) == len(value), where
            for number, (part, named) in enumerate(zip(found, value, strict=True)):
                compare(part, named, f"{where}[{number}]")
        else:
            assert found == due, where


def test_every_scenario_is_there() -> None:
    """Each once, and none that the book does not have."""
    names = [document["scenario"] for document in documents()]
    assert sorted(names) == sorted(EXPECTED)


@pytest.mark.parametrize("case", cases())
def test_vector(open_shop: OpenShop, case: dict[str, Any]) -> None:
    """Every figure that the book names."""
    shop = open_shop(ParseDict(deepcopy(case["program"]), Program()))
    runner = Runner(shop, case.get("members", ["ann"]))
    for command in case["commands"]:
        runner.do(command)
    for member in runner.members.values():
        prove(shop, member)
