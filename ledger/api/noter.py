"""What the API notes for the audit trail: see ledger.writer.trail."""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from google.protobuf.message import Message
from loyalty.v1.audit_trail_pb2 import AuditKind
from loyalty.v1.errors_pb2 import ErrorReason

from ledger.api.fields import ID
from ledger.domain.names import credential_name
from ledger.store.credentials import Principal
from ledger.writer.trail import Note, Noted

NOTED_REFUSALS: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_NOT_ALLOWED,
        ErrorReason.ERROR_REASON_CREDENTIAL_INVALID,
        ErrorReason.ERROR_REASON_RATE_LIMITED,
    }
)
"""Refusals that are noted. A refused command is an event of its own; a mistyped field is nobody's business."""

NETWORK_BITS: Final = {4: 24, 6: 48}
"""How much of an address is kept, by IP version: what is finer may single out a person, and the log never forgets."""

_NAMED_BY: Final = ("member", "hold", "voucher", "entitlement", "name", "subject")
_NAME: Final = re.compile(f"(?:members|transactions|trails)/{ID}(?:/[a-z]+/{ID})?")


class Noter:
    """Notes what callers read, and what they are refused."""

    def __init__(self, note: Note) -> None:
        self._note = note

    def read(self, caller: Principal, method: str, resource: str, peer: str) -> None:
        """Somebody was shown personal data."""
        self._note(_noted(AuditKind.AUDIT_KIND_READ, caller, method, resource, peer))

    def refused(
        self,
        reason: ErrorReason.ValueType,
        caller: Principal | None,
        method: str,
        request: Message | None,
        peer: Callable[[], str],
    ) -> None:
        """Something failed: it is noted where that is a refusal of somebody who is known."""
        if caller is not None and reason in NOTED_REFUSALS:
            self._note(_noted(AuditKind.AUDIT_KIND_REFUSAL, caller, method, _resource(request), peer(), reason))


def _noted(  # the parts of an entry
    kind: AuditKind.ValueType,
    caller: Principal,
    method: str,
    resource: str,
    peer: str,
    reason: ErrorReason.ValueType = ErrorReason.ERROR_REASON_UNSPECIFIED,
) -> Noted:
    return Noted(
        kind,
        credential_name(caller.credential_id),
        caller.role,
        method,
        resource,
        caller.store or "",
        caller.terminal or "",
        _network(peer.rpartition(":")[0]),
        reason,
    )


def _resource(request: Any) -> str:
    """What a request that nobody has checked is about, where it names that as it should."""
    for field in _NAMED_BY:
        name = getattr(request, field, "")
        if isinstance(name, str) and _NAME.fullmatch(name):
            return name
    return ""


@lru_cache(4_096)
def _network(host: str) -> str:
    """The network of a peer without its port, such as ipv4:192.0.2.17; empty where it has none."""
    try:
        address = ipaddress.ip_address(unquote(host.partition(":")[2]).strip("[]"))
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, NETWORK_BITS[address.version]), strict=False))
