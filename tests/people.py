"""What members agree to, what they think, and that they are forgotten: calls in few words."""

from typing import Any

from loyalty.v1 import consent_pb2 as consent
from loyalty.v1 import feedback_results_pb2 as results
from loyalty.v1 import person_pb2 as person
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.consent_pb2 import ConsentChange, ConsentPurpose, ConsentText, ContactChannel
from loyalty.v1.feedback_pb2 import RecordFeedbackRequest, Visit
from loyalty.v1.member_pb2 import Identifier

from tests.shop import TIMEOUT_S, Shop, instant, new_id


def purpose(purpose_id: str = "marketing", *versions: int, renew_after_days: int = 0) -> ConsentPurpose:
    """A purpose with some versions of the text "join", or one."""
    return ConsentPurpose(
        purpose_id=purpose_id,
        display_name=LocalizedText(en=purpose_id, hi=purpose_id),
        texts=[
            ConsentText(
                text_id="join", version=version, text=LocalizedText(en=f"May we? {version}", hi=f"क्या? {version}")
            )
            for version in versions or (1,)
        ],
        renew_after_days=renew_after_days,
    )


def gives(purpose_id: str = "marketing", channel: str = "ALL", version: int = 1) -> ConsentChange:
    """A consent."""
    return ConsentChange(
        purpose=purpose_id,
        channel=ContactChannel.Value(f"CONTACT_CHANNEL_{channel}"),
        given=True,
        text_id="join",
        text_version=version,
        language_code="hi",
    )


def withdraws(purpose_id: str = "marketing", channel: str = "ALL") -> ConsentChange:
    """A withdrawal."""
    return ConsentChange(purpose=purpose_id, channel=ContactChannel.Value(f"CONTACT_CHANNEL_{channel}"))


def record_consents(
    shop: Shop, who: str | Identifier, *changes: ConsentChange, request_id: str = "", **origin: Any
) -> person.RecordConsentsResponse:
    """Records what a member decided."""
    request = consent.RecordConsentsRequest(
        request_id=request_id or new_id(), origin=shop.origin(**origin), changes=changes
    )
    if isinstance(who, str):
        request.member = who
    else:
        request.identifier.CopyFrom(who)
    return shop.crm.RecordConsents(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def consents(shop: Shop, member: str, as_of: str | None = None, **fields: Any) -> person.ListConsentsResponse:
    """What holds, and the decisions."""
    request = person.ListConsentsRequest(member=member, min_position=shop.head(), **fields)
    if as_of is not None:
        request.as_of.CopyFrom(instant(as_of))
    return shop.crm.ListConsents(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def shown(shop: Shop, member: str) -> None:
    """Returns when the views that a snapshot of the feed is made of have all that the log has."""
    shop.balance(member)
    consents(shop, member)


def held(shop: Shop, member: str, as_of: str | None = None) -> dict[str, str]:
    """The ways of contact that a member has consented to, by purpose, as their first letters: ESAPC is all."""
    found: dict[str, str] = {}
    for one in consents(shop, member, as_of).held:
        found[one.purpose] = found.get(one.purpose, "") + " ESAPC"[one.channel - 1]
    return found


def erase(shop: Shop, member: str, reason: str = "MEMBER_REQUEST", **fields: Any) -> person.EraseMemberResponse:
    """Erases a person."""
    request = consent.EraseMemberRequest(
        request_id=fields.pop("request_id", "") or new_id(),
        origin=shop.origin(fields.pop("at", None)),
        member=member,
        reason=consent.ErasureReason.Value(f"ERASURE_REASON_{reason}"),
        **fields,
    )
    return shop.crm.EraseMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def export(shop: Shop, member: str) -> bytes:
    """All that is known about a person."""
    request = person.ExportMemberRequest(member=member)
    parts = shop.crm.ExportMember(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    return b"".join(part.document_part for part in parts)


def feedback_request(
    shop: Shop,
    member: str = "",
    about: str | tuple[str, str] = "",
    *,
    request_id: str = "",
    at: Any = None,
    **said: Any,
) -> RecordFeedbackRequest:
    """Feedback about a transaction, or about a visit to a store on a day."""
    request = RecordFeedbackRequest(request_id=request_id or new_id(), origin=shop.origin(at), **said)
    if member:
        request.member = member
    if isinstance(about, str):
        request.transaction = about
    else:
        request.visit.CopyFrom(Visit(store=about[0], day=about[1]))
    return request


def say(shop: Shop, member: str = "", about: str | tuple[str, str] = "", **said: Any) -> results.RecordFeedbackResponse:
    """Records what a member thinks."""
    request = feedback_request(shop, member, about, **said)
    return shop.crm.RecordFeedback(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def asked(shop: Shop, **conditions: Any) -> results.FeedbackFilter:
    """The shop's feedback for which some conditions hold."""
    return results.FeedbackFilter(program=shop.program, **conditions)


def figures(shop: Shop, group: str = "UNSPECIFIED", **conditions: Any) -> dict[str, results.FeedbackResult]:
    """What members think, by key."""
    request = results.GetFeedbackResultsRequest(
        filter=asked(shop, **conditions),
        group=results.FeedbackGroup.Value(f"FEEDBACK_GROUP_{group}"),
        min_position=shop.head(),
    )
    found = shop.crm.GetFeedbackResults(request, metadata=shop.metadata, timeout=TIMEOUT_S).results
    return {result.key: result for result in found}


def said(shop: Shop, page_size: int = 0, **conditions: Any) -> list[results.Feedback]:
    """What members said, the last first, of all pages."""
    request = results.ListFeedbackRequest(
        filter=asked(shop, **conditions), page_size=page_size, min_position=shop.head()
    )
    found: list[results.Feedback] = []
    while True:
        page = shop.crm.ListFeedback(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        found += page.feedback
        request.page_token = page.next_page_token
        if not request.page_token:
            return found
