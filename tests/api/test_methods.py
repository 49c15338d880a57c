"""What each role may call, read off the messages themselves."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from loyalty.v1 import audit_service_pb2, crm_service_pb2, pos_service_pb2, program_service_pb2

from ledger.api.methods import LOOKUPS, READS, READS_NOTED_APART, ROLES

FILES: Final = (audit_service_pb2, crm_service_pb2, pos_service_pb2, program_service_pb2)
AUDITORS: Final = sorted(path for path, roles in ROLES.items() if "auditor" in roles)
PERSONAL: Final = frozenset({"loyalty.v1.Identifier", "loyalty.v1.Profile"})
PERSONAL_FIELDS: Final = frozenset({"masked_name", "given_name", "family_name", "feedback_text", "document_part"})
WITHOUT: Final = "loyalty.v1.Event"
"""Events have no personal data, whatever their commands have room for."""


def method(path: str) -> Any:
    """The descriptor of an RPC."""
    service, _, name = path.removeprefix("/").partition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


def personal(message: Descriptor, seen: set[str]) -> Iterator[str]:
    """The fields in a message, at any depth, that have room for personal data."""
    if message.full_name in seen or message.full_name == WITHOUT:
        return
    seen.add(message.full_name)
    for field in message.fields:
        if field.name in PERSONAL_FIELDS:
            yield field.full_name
        if field.message_type is not None:
            if field.message_type.full_name in PERSONAL:
                yield field.full_name
            yield from personal(field.message_type, seen)


def test_every_method_has_roles() -> None:
    """One that was forgotten nobody could call."""
    services = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
    assert {f"/{service.full_name}/{one.name}" for service in services for one in service.methods} == set(ROLES)


@pytest.mark.parametrize("path", AUDITORS)
def test_auditors_only_read(path: str) -> None:
    """They give no command, alone or in batches or over a stream."""
    fields = method(path).input_type.fields_by_name
    assert not {"request_id", "command", "commands"} & set(fields)


@pytest.mark.parametrize("path", AUDITORS)
def test_auditors_need_a_grant_for_personal_data(path: str) -> None:
    """What is asked with an identifier, or shows a person, is a look-up: the gate asks for the grant."""
    shows = [*personal(method(path).input_type, set()), *personal(method(path).output_type, set())]
    assert bool(shows) == (path in LOOKUPS or path in READS), shows


def test_reads_of_personal_data_are_noted() -> None:
    """Whatever shows a person to anybody is in the audit trail."""
    showing = {path for path in ROLES if any(personal(method(path).output_type, set()))}
    assert showing <= READS.keys() | READS_NOTED_APART
    assert "/loyalty.v1.PosService/LookupMember" in showing
