"""Updates of profiles: what is personal is taken out of the command, so that no event can get it."""

from loyalty.v1.commands_pb2 import UpdateMemberRequest

from ledger.api.errors import ApiError
from ledger.api.identifiers import normalise
from ledger.domain.instant import from_timestamp
from ledger.domain.member_profile import NAMES, ProfileChange
from ledger.writer.command import Command, IdentifierKey


def take_change(command: Command, request: UpdateMemberRequest, region: str) -> None:
    """Moves what is personal from an update to its command. Raises ApiError."""
    sent = UpdateMemberRequest()
    sent.CopyFrom(request)
    command.sent = sent
    command.change = ProfileChange(
        _names(request),
        _keys(command, request, "add_identifiers", region),
        _keys(command, request, "remove_identifiers", region),
        {one.attribute_id: one.value if one.HasField("value") else None for one in request.attributes},
        request.source,
        from_timestamp(request.source_time) if request.HasField("source_time") else None,
    )
    if set(command.change.add) & set(command.change.remove):
        raise ApiError.invalid([("remove_identifiers", "must not name an identifier that is added")])
    for field in ("profile", "add_identifiers", "remove_identifiers", "attributes"):
        request.ClearField(field)


def _names(request: UpdateMemberRequest) -> dict[str, str]:
    """The new values of the fields that the mask names, or of those that are not empty."""
    profile, paths = request.profile, request.update_mask.paths
    named = NAMES if "*" in paths else [name for name in NAMES if name in paths]
    if not paths:
        named = [name for name in NAMES if getattr(profile, name)]
    values = {name: getattr(profile, name) for name in named}
    if "language_code" in values:
        values["language_code"] = values["language_code"] or "en"
    return values


def _keys(command: Command, request: UpdateMemberRequest, field: str, region: str) -> list[IdentifierKey]:
    """Identifiers of the member's program in their normal form, each once."""
    if not command.program and getattr(request, field):
        raise ApiError.invalid([(f"{field}[0].program", "is required: the credential is bound to no program")])
    keys = [
        IdentifierKey(*normalise(identifier, command.program, region, f"{field}[{index}]"))
        for index, identifier in enumerate(getattr(request, field))
    ]
    return list(dict.fromkeys(keys))
