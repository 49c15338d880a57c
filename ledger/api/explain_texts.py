"""An explanation as people read it, in English and Hindi. The figures are written as on receipts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1 import explain_pb2 as pb
from loyalty.v1.account_pb2 import LocalizedText, Lot, ReceiptText
from loyalty.v1.program_pb2 import Program

from ledger.api.texts import MONTHS, indian, last_day, money, plain, receipt_texts
from ledger.domain.instant import from_timestamp, to_datetime
from ledger.domain.lot import points_of
from ledger.domain.program import Program as Compiled
from ledger.domain.undo import given_back_points

LINES_NAMED_MAX: Final = 20
"""Lines of a sale that a text names; the fields have all."""

EARNING: Final = ("SaleRecorded", "ActivityRecorded")
"""What rules give points for. Their points are explained; of all else the receipt says what there is to say."""

Pair = tuple[str, str]
"""The same in English and in Hindi."""


def explanation_texts(explanation: pb.Explanation, definition: Program) -> list[ReceiptText]:
    """The lines of an explanation, in English and in Hindi."""
    zone = ZoneInfo(definition.time_zone or "UTC")
    lines = _Lines()
    _add_title(lines, explanation, zone)
    _add_awards(lines, explanation, definition.currency)
    for lot in explanation.lots:
        _add_lot(lines, lot, zone)
    if explanation.repaid_points:
        lines.add("repaid", explanation.repaid_points)
    for one in explanation.redemptions:
        _add_redemption(lines, one, definition.currency)
    _add_tier(lines, explanation, definition)
    for undone in explanation.undone:
        _add_undo(lines, undone, is_own=undone.transaction == explanation.transaction)
    if explanation.HasField("receipt") and explanation.type not in EARNING:
        receipt = receipt_texts(explanation.receipt, Compiled(definition))
        for text, told in zip(receipt, (lines.english, lines.hindi), strict=True):
            told.extend(text.lines)
    _add_unmatched(lines, explanation)
    return [
        ReceiptText(language_code="en", lines=lines.english),
        ReceiptText(language_code="hi", lines=lines.hindi),
    ]


class _Lines:
    """The lines so far, in both languages."""

    def __init__(self) -> None:
        self.english: list[str] = []
        self.hindi: list[str] = []

    def add(self, phrase: str, points: int = 0, **values: Pair) -> None:
        """A phrase with a number of points, or none, and what else it names."""
        plural = points != 1
        self.english.append(
            ENGLISH[phrase][plural].format(points=plain(points), **{key: pair[0] for key, pair in values.items()})
        )
        self.hindi.append(
            HINDI[phrase][plural].format(points=indian(points), **{key: pair[1] for key, pair in values.items()})
        )


# -- what is said


def _add_title(lines: _Lines, explanation: pb.Explanation, zone: ZoneInfo) -> None:
    title = explanation.type if explanation.type in ENGLISH else "other"
    lines.add(title, at=_moment(explanation.origin.occurred_at, zone))
    if explanation.program_version and explanation.type != "ProgramPublished":
        version = plain(explanation.program_version)
        lines.add("decided", version=(version, version), program=_pair(explanation.program_display_name))
    if explanation.HasField("refusal"):
        lines.english.append(explanation.refusal.message.en)
        lines.hindi.append(explanation.refusal.message.hi)


def _add_awards(lines: _Lines, explanation: pb.Explanation, currency: str) -> None:
    for award in explanation.awards:
        _add_award(lines, award, currency)
    if explanation.type in EARNING and not explanation.awards:
        lines.add("no award")
    for failure in explanation.failures:
        lines.add("failure", rule=_pair(failure.display_name), error=(failure.error, failure.error))


def _add_unmatched(lines: _Lines, explanation: pb.Explanation) -> None:
    if explanation.unmatched:
        lines.add("unmatched")
    for one in explanation.unmatched:
        phrase = pb.UnmatchedReason.Name(one.reason)
        if one.reason == pb.UNMATCHED_REASON_OCCASION and not one.HasField("asks"):
            phrase = "for sales"
        lines.add(phrase, rule=_pair(one.display_name), asks=_pair(one.asks), better=_pair(one.better_display_name))
    if explanation.unmatched_left_out:
        lines.add("unmatched more", explanation.unmatched_left_out)


def _add_award(lines: _Lines, award: pb.AwardExplanation, currency: str) -> None:
    rule = _pair(award.display_name)
    match award.basis_unit:
        case pb.BASIS_UNIT_MONEY:
            lines.add("for money", award.points, rule=rule, amount=money(award.basis, currency))
        case pb.BASIS_UNIT_UNITS:
            lines.add("for units", award.points, rule=rule, units=_number(award.basis))
        case pb.BASIS_UNIT_POINTS if award.points < 0:
            lines.add("less", -award.points, rule=rule, base=_number(award.basis))
        case pb.BASIS_UNIT_POINTS:
            lines.add("on top", award.points, rule=rule, base=_number(award.basis))
        case _:
            lines.add("for the occasion", award.points, rule=rule)
    if award.lines:
        named = ", ".join(_line(line) for line in award.lines[:LINES_NAMED_MAX])
        if len(award.lines) > LINES_NAMED_MAX:
            named += " …"
        lines.add("lines", lines=(named, named))
    for reduction in award.reductions:
        lines.add("reduced", reduction.points, limit=_pair(reduction.rule))


def _add_lot(lines: _Lines, lot: Lot, zone: ZoneInfo) -> None:
    if lot.waits:
        lines.add("lot waits", lot.points)
        return
    if lot.HasField("activates_at"):
        lines.add("lot pending", lot.points, at=_moment(lot.activates_at, zone))
    else:
        lines.add("lot active", lot.points)
    if lot.HasField("expires_at"):
        phrase = "valid unless active" if lot.follows_activity else "valid"
        lines.add(phrase, day=last_day(from_timestamp(lot.expires_at), zone))
    else:
        lines.add("never expires")


def _add_redemption(lines: _Lines, one: pb.RedemptionExplanation, currency: str) -> None:
    redemption, reward = one.redemption, _pair(one.display_name)
    if redemption.voucher:
        lines.add("voucher used", reward=reward)
    elif redemption.points:
        lines.add("redeemed", redemption.points, reward=reward)
    else:
        lines.add("given", reward=reward, times=_number(redemption.quantity))
    if redemption.issued_points:
        lines.add("issued", redemption.issued_points, reward=reward)
    if one.redemption.value_minor:
        lines.add("worth", amount=money(one.redemption.value_minor, currency))


def _add_tier(lines: _Lines, explanation: pb.Explanation, definition: Program) -> None:
    for change in explanation.tier_changes:
        lines.add(
            "tier changed",
            change.qualifying_amount,
            before=_pair(change.from_display_name),
            after=_pair(change.to_display_name),
        )
    tier = explanation.receipt.tier.tier
    if tier and explanation.type in EARNING and not explanation.tier_changes:
        names = {one.tier_id: one.display_name for one in definition.tiers}
        name = names.get(tier, LocalizedText())
        lines.add("tier", tier=(name.en or tier, name.hi or tier))


def _add_undo(lines: _Lines, undone: pb.UndoExplanation, *, is_own: bool) -> None:
    """What a return or reversal did; of the explained transaction itself the receipt says how many points."""
    if not is_own:
        lines.add("by reversal" if undone.reversal else "by return", by=(undone.transaction, undone.transaction))
    if undone.lines:
        named = ", ".join(line.line_id for line in undone.lines[:LINES_NAMED_MAX])
        lines.add("came back", lines=(named, named))
    undo = undone.undo
    if points := points_of(undo.moved_back):
        lines.add("moved back", points)
    if is_own:
        return
    if points := points_of(undo.clawed_back):
        lines.add("clawed back", points)
    if points := given_back_points(undo):
        lines.add("restored", points)
    if undo.owed_points:
        lines.add("owed", undo.owed_points)
    if undo.shortfall_points:
        lines.add("shortfall", undo.shortfall_points)
    if points := points_of(undo.already_expired):
        lines.add("already expired", points)


# -- parts


def _pair(text: LocalizedText) -> Pair:
    return text.en, text.hi


def _number(number: int) -> Pair:
    return plain(number), indian(number)


def _line(line: pb.LineExplanation) -> str:
    return f"{line.line_id} (SKU {line.sku})" if line.sku else line.line_id


def _moment(stamp: Timestamp, zone: ZoneInfo) -> Pair:
    local: datetime = to_datetime(from_timestamp(stamp)).astimezone(zone)
    english, hindi = MONTHS[local.month - 1]
    return (
        f"{local.day} {english} {local.year}, {local:%H:%M}",
        f"{local.day} {hindi} {local.year}, {local:%H:%M}",
    )


# -- the languages


def _same(text: str) -> Pair:
    """A sentence without points, or with the same words for any number of them."""
    return text, text


ENGLISH: Final[Mapping[str, Pair]] = {
    "SaleRecorded": _same("Sale of {at}."),
    "ActivityRecorded": _same("Activity of {at}."),
    "MemberEnrolled": _same("Enrolment of {at}."),
    "PointsRedeemed": _same("Reward redeemed on {at}."),
    "RewardReserved": _same("Reward reserved on {at}."),
    "RewardReleased": _same("Reservation given up on {at}."),
    "SaleReturned": _same("Return of {at}."),
    "ReturnAwaited": _same("Return of {at}. It waits for its sale to arrive."),
    "TransactionReversed": _same("Cancellation of {at}."),
    "ReversalAwaited": _same("Cancellation of {at}. Should the transaction still arrive, it is refused."),
    "CommandBlocked": _same("This transaction was cancelled on {at}, before it arrived."),
    "PointsAdjusted": _same("Points adjusted by hand on {at}."),
    "RewardGranted": _same("Reward given by hand on {at}."),
    "PendingSettled": _same("Pending points settled by hand on {at}."),
    "TierFloorSet": _same("Tier pinned or let go by hand on {at}."),
    "ExpiryExtended": _same("Expiry moved by hand on {at}."),
    "PointsReinstated": _same("Expired points given back on {at}."),
    "VoucherRevoked": _same("Voucher taken back on {at}."),
    "VoucherCodesUploaded": _same("Voucher codes uploaded on {at}."),
    "EntitlementUsed": _same("Entitlement used on {at}."),
    "EntitlementRevoked": _same("Entitlement taken back on {at}."),
    "ConsentsRecorded": _same("Consents recorded on {at}."),
    "MemberErased": _same("Member erased on {at}. The points stay in the books until they expire."),
    "FeedbackRecorded": _same("Feedback of {at}."),
    "ProgramPublished": _same("Program published on {at}."),
    "SegmentSaved": _same("Segment saved on {at}."),
    "SegmentDeleted": _same("Segment deleted on {at}."),
    "SegmentListed": _same("List of a segment changed on {at}."),
    "MemberUpdated": _same("Profile changed on {at}."),
    "AuditRecorded": _same("Noted for auditors on {at}: who read, was refused or administered what."),
    "CommandRefused": _same("Refused on {at}."),
    "other": _same("Transaction of {at}."),
    "decided": _same("Decided by version {version} of {program}."),
    "no award": _same("No rule gave points for it."),
    "for money": ("{rule}: {points} point for {amount}.", "{rule}: {points} points for {amount}."),
    "for units": (
        "{rule}: {points} point; units that counted: {units}.",
        "{rule}: {points} points; units that counted: {units}.",
    ),
    "on top": (
        "{rule}: {points} point more; points that counted: {base}.",
        "{rule}: {points} points more; points that counted: {base}.",
    ),
    "less": (
        "{rule}: {points} point less; points that counted: {base}.",
        "{rule}: {points} points less; points that counted: {base}.",
    ),
    "for the occasion": ("{rule}: {points} point.", "{rule}: {points} points."),
    "lines": _same("Lines that counted: {lines}."),
    "reduced": (
        "It would have been {points} point more; the most is {limit}.",
        "It would have been {points} points more; the most is {limit}.",
    ),
    "failure": _same("{rule} did not apply: its condition could not be evaluated ({error})."),
    "unmatched": _same("What gave nothing, worked out again by the rules of that version:"),
    "UNMATCHED_REASON_STORE": _same("{rule}: only in {asks}."),
    "UNMATCHED_REASON_CHANNEL": _same("{rule}: only through {asks}."),
    "UNMATCHED_REASON_TIER": _same("{rule}: only for tier {asks}."),
    "UNMATCHED_REASON_TENDER": _same("{rule}: only when paid by {asks}."),
    "UNMATCHED_REASON_WINDOW": _same("{rule}: not at that time."),
    "UNMATCHED_REASON_EXPRESSION": _same("{rule}: its condition did not hold ({asks})."),
    "UNMATCHED_REASON_MINIMUM": _same("{rule}: only from {asks}."),
    "UNMATCHED_REASON_LINES": _same("{rule}: for none of the lines."),
    "UNMATCHED_REASON_STEP": _same("{rule}: what counted was too little for a point."),
    "UNMATCHED_REASON_NO_BASE": _same("{rule}: only on top of points by rules, and there were none."),
    "UNMATCHED_REASON_STOPPED": _same("{rule}: not together with {better}."),
    "UNMATCHED_REASON_WORSE": _same("{rule}: only the best counts, and that was {better}."),
    "UNMATCHED_REASON_LIMIT": _same("{rule}: used up; the most is {asks}."),
    "UNMATCHED_REASON_OCCASION": _same("{rule}: only for the activity {asks}."),
    "for sales": _same("{rule}: only for purchases."),
    "UNMATCHED_REASON_UNKNOWN": _same("{rule}: the points or limits that the member had then decided."),
    "unmatched more": ("{points} more gave nothing.", "{points} more gave nothing."),
    "lot active": ("{points} point can be spent at once.", "{points} points can be spent at once."),
    "lot pending": ("{points} point can be spent from {at}.", "{points} points can be spent from {at}."),
    "lot waits": (
        "{points} point can be spent once it is confirmed.",
        "{points} points can be spent once they are confirmed.",
    ),
    "valid": _same("Valid through {day}."),
    "valid unless active": _same("Valid through {day}, and longer with every purchase until then."),
    "never expires": _same("Without expiry."),
    "repaid": ("{points} point repaid what was owed.", "{points} points repaid what was owed."),
    "redeemed": ("{reward}: {points} point used.", "{reward}: {points} points used."),
    "voucher used": _same("{reward}: voucher used."),
    "given": _same("{reward}: given for no points; number: {times}."),
    "issued": ("{reward}: {points} point given.", "{reward}: {points} points given."),
    "worth": _same("Taken off: {amount}."),
    "tier changed": (
        "Tier {after} instead of {before}: what counts came to {points}.",
        "Tier {after} instead of {before}: what counts came to {points}.",
    ),
    "tier": _same("Tier: {tier}."),
    "by return": _same("Goods came back with {by}."),
    "by reversal": _same("Cancelled with {by}."),
    "came back": _same("Lines that came back: {lines}."),
    "clawed back": ("{points} point was taken back.", "{points} points were taken back."),
    "moved back": ("{points} point has its old dates again.", "{points} points have their old dates again."),
    "restored": ("{points} point was given back.", "{points} points were given back."),
    "owed": (
        "{points} point had been used already and is owed.",
        "{points} points had been used already and are owed.",
    ),
    "shortfall": (
        "{points} point had been used already and was not taken back.",
        "{points} points had been used already and were not taken back.",
    ),
    "already expired": (
        "{points} point had expired already and was not taken back.",
        "{points} points had expired already and were not taken back.",
    ),
}

HINDI: Final[Mapping[str, Pair]] = {
    "SaleRecorded": _same("{at} की बिक्री।"),
    "ActivityRecorded": _same("{at} की गतिविधि।"),
    "MemberEnrolled": _same("{at} को सदस्यता।"),
    "MemberUpdated": _same("{at} को प्रोफ़ाइल बदली गई।"),
    "PointsRedeemed": _same("{at} को रिवॉर्ड भुनाया गया।"),
    "RewardReserved": _same("{at} को रिवॉर्ड आरक्षित हुआ।"),
    "RewardReleased": _same("{at} को आरक्षण छोड़ा गया।"),
    "SaleReturned": _same("{at} की वापसी।"),
    "ReturnAwaited": _same("{at} की वापसी। इसकी बिक्री का इंतज़ार है।"),
    "TransactionReversed": _same("{at} को रद्द किया गया।"),
    "ReversalAwaited": _same("{at} को रद्द किया गया। लेन-देन बाद में आया तो अस्वीकार होगा।"),
    "CommandBlocked": _same("यह लेन-देन आने से पहले ही {at} को रद्द हो गया था।"),
    "PointsAdjusted": _same("{at} को पॉइंट हाथ से ठीक किए गए।"),
    "RewardGranted": _same("{at} को रिवॉर्ड हाथ से दिया गया।"),
    "PendingSettled": _same("{at} को लंबित पॉइंट हाथ से निपटाए गए।"),
    "TierFloorSet": _same("{at} को टियर हाथ से तय किया या छोड़ा गया।"),
    "ExpiryExtended": _same("{at} को वैधता हाथ से बढ़ाई गई।"),
    "PointsReinstated": _same("{at} को समाप्त हुए पॉइंट लौटाए गए।"),
    "VoucherRevoked": _same("{at} को वाउचर वापस लिया गया।"),
    "VoucherCodesUploaded": _same("{at} को वाउचर कोड अपलोड किए गए।"),
    "EntitlementUsed": _same("{at} को अधिकार इस्तेमाल हुआ।"),
    "EntitlementRevoked": _same("{at} को अधिकार वापस लिया गया।"),
    "ConsentsRecorded": _same("{at} को सहमतियाँ दर्ज हुईं।"),
    "MemberErased": _same("{at} को सदस्य मिटाया गया। पॉइंट समाप्त होने तक खाते में रहते हैं।"),
    "FeedbackRecorded": _same("{at} की राय।"),
    "ProgramPublished": _same("{at} को प्रोग्राम प्रकाशित हुआ।"),
    "SegmentSaved": _same("{at} को ग्राहक समूह सहेजा गया।"),
    "SegmentDeleted": _same("{at} को ग्राहक समूह हटाया गया।"),
    "SegmentListed": _same("{at} को ग्राहक समूह की सूची बदली गई।"),
    "AuditRecorded": _same("{at} को लेखा-परीक्षकों के लिए दर्ज: किसने क्या पढ़ा, किसे मना किया गया, किसने क्या प्रबंधन किया।"),
    "CommandRefused": _same("{at} को अस्वीकार हुआ।"),
    "other": _same("{at} का लेन-देन।"),
    "decided": _same("{program} के संस्करण {version} के अनुसार।"),
    "no award": _same("इसके लिए किसी नियम से पॉइंट नहीं मिले।"),
    "for money": ("{rule}: {amount} पर {points} पॉइंट।", "{rule}: {amount} पर {points} पॉइंट।"),
    "for units": _same("{rule}: {units} नग पर {points} पॉइंट।"),
    "on top": _same("{rule}: {base} पॉइंट पर {points} पॉइंट अतिरिक्त।"),
    "less": _same("{rule}: {base} पॉइंट पर {points} पॉइंट कम।"),
    "for the occasion": _same("{rule}: {points} पॉइंट।"),
    "lines": _same("गिनी गई पंक्तियाँ: {lines}।"),
    "reduced": (
        "{points} पॉइंट और मिलता; अधिकतम सीमा: {limit}।",
        "{points} पॉइंट और मिलते; अधिकतम सीमा: {limit}।",
    ),
    "failure": _same("{rule} लागू नहीं हुआ: इसकी शर्त जाँची नहीं जा सकी ({error})।"),
    "unmatched": _same("जिनसे कुछ नहीं मिला, उसी संस्करण के नियमों से दोबारा जाँचकर:"),
    "UNMATCHED_REASON_STORE": _same("{rule}: केवल {asks} में।"),
    "UNMATCHED_REASON_CHANNEL": _same("{rule}: केवल {asks} के ज़रिए।"),
    "UNMATCHED_REASON_TIER": _same("{rule}: केवल {asks} टियर के लिए।"),
    "UNMATCHED_REASON_TENDER": _same("{rule}: केवल {asks} से भुगतान पर।"),
    "UNMATCHED_REASON_WINDOW": _same("{rule}: उस समय लागू नहीं था।"),
    "UNMATCHED_REASON_EXPRESSION": _same("{rule}: इसकी शर्त पूरी नहीं हुई ({asks})।"),
    "UNMATCHED_REASON_MINIMUM": _same("{rule}: केवल {asks} से।"),
    "UNMATCHED_REASON_LINES": _same("{rule}: किसी भी पंक्ति के लिए नहीं।"),
    "UNMATCHED_REASON_STEP": _same("{rule}: जो गिना गया, वह एक पॉइंट के लिए कम था।"),
    "UNMATCHED_REASON_NO_BASE": _same("{rule}: केवल नियमों से मिले पॉइंट के ऊपर, और वे नहीं मिले।"),
    "UNMATCHED_REASON_STOPPED": _same("{rule}: {better} के साथ नहीं।"),
    "UNMATCHED_REASON_WORSE": _same("{rule}: केवल सबसे अच्छा गिना जाता है, और वह {better} था।"),
    "UNMATCHED_REASON_LIMIT": _same("{rule}: सीमा पूरी हो चुकी; अधिकतम सीमा: {asks}।"),
    "UNMATCHED_REASON_OCCASION": _same("{rule}: केवल गतिविधि {asks} के लिए।"),
    "for sales": _same("{rule}: केवल ख़रीद के लिए।"),
    "UNMATCHED_REASON_UNKNOWN": _same("{rule}: सदस्य के उस समय के पॉइंट या सीमाओं से तय हुआ।"),
    "unmatched more": _same("{points} और से भी कुछ नहीं मिला।"),
    "lot active": (
        "{points} पॉइंट तुरंत इस्तेमाल हो सकता है।",
        "{points} पॉइंट तुरंत इस्तेमाल हो सकते हैं।",
    ),
    "lot pending": (
        "{points} पॉइंट {at} से इस्तेमाल हो सकता है।",
        "{points} पॉइंट {at} से इस्तेमाल हो सकते हैं।",
    ),
    "lot waits": (
        "{points} पॉइंट पुष्टि होने पर इस्तेमाल हो सकेगा।",
        "{points} पॉइंट पुष्टि होने पर इस्तेमाल हो सकेंगे।",
    ),
    "valid": _same("{day} तक मान्य।"),
    "valid unless active": _same("{day} तक मान्य; तब तक की हर ख़रीद से वैधता बढ़ती है।"),
    "never expires": _same("वैधता की कोई सीमा नहीं।"),
    "repaid": (
        "{points} पॉइंट से बकाया चुकाया गया।",
        "{points} पॉइंट से बकाया चुकाया गया।",
    ),
    "redeemed": (
        "{reward}: {points} पॉइंट इस्तेमाल हुआ।",
        "{reward}: {points} पॉइंट इस्तेमाल हुए।",
    ),
    "voucher used": _same("{reward}: वाउचर इस्तेमाल हुआ।"),
    "given": _same("{reward}: बिना पॉइंट के दिया गया; संख्या: {times}।"),
    "issued": ("{reward}: {points} पॉइंट दिया गया।", "{reward}: {points} पॉइंट दिए गए।"),
    "worth": _same("छूट: {amount}।"),
    "tier changed": _same("{before} के बजाय {after} टियर: कुल मान्य {points}।"),
    "tier": _same("टियर: {tier}।"),
    "by return": _same("{by} से सामान वापस आया।"),
    "by reversal": _same("{by} से रद्द हुआ।"),
    "came back": _same("वापस आई पंक्तियाँ: {lines}।"),
    "moved back": ("{points} पॉइंट की पुरानी तारीखें फिर लागू हैं।", "{points} पॉइंट की पुरानी तारीखें फिर लागू हैं।"),
    "clawed back": ("{points} पॉइंट वापस लिया गया।", "{points} पॉइंट वापस लिए गए।"),
    "restored": ("{points} पॉइंट लौटाया गया।", "{points} पॉइंट लौटाए गए।"),
    "owed": (
        "{points} पॉइंट पहले ही इस्तेमाल हो चुका था और बकाया है।",
        "{points} पॉइंट पहले ही इस्तेमाल हो चुके थे और बकाया हैं।",
    ),
    "shortfall": (
        "{points} पॉइंट पहले ही इस्तेमाल हो चुका था, इसलिए वापस नहीं लिया गया।",
        "{points} पॉइंट पहले ही इस्तेमाल हो चुके थे, इसलिए वापस नहीं लिए गए।",
    ),
    "already expired": (
        "{points} पॉइंट पहले ही समाप्त हो चुका था, इसलिए वापस नहीं लिया गया।",
        "{points} पॉइंट पहले ही समाप्त हो चुके थे, इसलिए वापस नहीं लिए गए।",
    ),
}
