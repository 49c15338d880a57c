"""What a receipt prints and a cashier reads out, in English and Hindi, from a receipt's figures.

Figures have western digits in both languages, as printed receipts have. English groups them by
thousands (1,234,567), Hindi by lakh and crore (12,34,567). Money is written with its ISO 4217 code,
because receipt printers often lack the signs.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from loyalty.v1.account_pb2 import IssuedVoucher, Receipt, ReceiptText, Redemption
from loyalty.v1.reward_pb2 import Entitlement
from loyalty.v1.tier_pb2 import TierBasis

from ledger.domain.currency import MINOR_DIGITS
from ledger.domain.instant import from_timestamp, local_date
from ledger.domain.program import Program

DEFAULT_MINOR_DIGITS: Final = 2
"""For a currency that is no longer in use."""

LAKH: Final = 100_000
"""Below it, both languages group alike."""


VOUCHERS_PRINTED_MAX: Final = 10
"""Vouchers of one reward whose codes a receipt has; the reply has all of them."""


def receipt_texts(
    receipt: Receipt,
    program: Program,
    redemptions: Iterable[Redemption] = (),
    used: Entitlement | None = None,
    *,
    is_quote: bool = False,
) -> list[ReceiptText]:
    """The lines of a receipt, in English and in Hindi. A quote says what the sale would do.

    `redemptions` are what was redeemed or given, and `used` is an entitlement that was used.
    """
    lines = _Lines()
    _add_effects(lines, receipt, program, is_quote=is_quote)
    for redemption in redemptions:
        _add_redemption(lines, redemption, program)
    if used is not None:
        _add_use(lines, used)
    _add_balance(lines, receipt, program.zone, is_quote=is_quote)
    _add_tier(lines, receipt, program)
    return [
        ReceiptText(language_code="en", lines=lines.english),
        ReceiptText(language_code="hi", lines=lines.hindi),
    ]


class _Lines:
    """The lines so far, in both languages."""

    __slots__ = ("english", "hindi")

    def __init__(self) -> None:
        self.english: list[str] = []
        self.hindi: list[str] = []

    def points(self, phrase: str, number: int) -> None:
        """A phrase with a number of points."""
        plural = number != 1
        figure = f"{number:,}"
        self.english.append(ENGLISH[phrase][plural] % figure)
        self.hindi.append(HINDI[phrase][plural] % (figure if number < LAKH else indian(number)))

    def named(self, phrase: str, name: tuple[str, str]) -> None:
        """A phrase with something that has a name in each language."""
        self.english.append(ENGLISH[phrase][0] % name[0])
        self.hindi.append(HINDI[phrase][0] % name[1])

    def both(self, phrase: str, first: tuple[str, str], second: tuple[str, str]) -> None:
        """A phrase with two things that have a name in each language."""
        self.english.append(ENGLISH[phrase][0] % (first[0], second[0]))
        self.hindi.append(HINDI[phrase][0] % (first[1], second[1]))

    def needed(self, phrase: str, what: tuple[str, str], tier: tuple[str, str], until: tuple[str, str]) -> None:
        """What a tier needs, perhaps until a day."""
        values = {"what": what, "tier": tier, "until": until}
        self.english.append(ENGLISH[phrase][0] % {key: value[0] for key, value in values.items()})
        self.hindi.append(HINDI[phrase][0] % {key: value[1] for key, value in values.items()})

    def points_named(self, phrase: str, number: int, name: tuple[str, str]) -> None:
        """A phrase with a number of points and something that has a name in each language."""
        plural = number != 1
        figure = f"{number:,}"
        self.english.append(ENGLISH[phrase][plural] % (figure, name[0]))
        self.hindi.append(HINDI[phrase][plural] % (figure if number < LAKH else indian(number), name[1]))


def plain(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def indian(number: int) -> str:
    """1234567 as 12,34,567; for numbers from 0."""
    if number < LAKH:
        return f"{number:,}"
    digits = str(number)
    grouped = digits[-3:]
    for end in range(len(digits) - 3, 0, -2):
        grouped = f"{digits[max(end - 2, 0) : end]},{grouped}"
    return grouped


@lru_cache(maxsize=1_024)
def money(minor: int, currency: str) -> tuple[str, str]:
    """An amount with its currency's code and minor units, as INR 1,234.50, in each language."""
    digits = MINOR_DIGITS.get(currency, DEFAULT_MINOR_DIGITS)
    whole, rest = divmod(minor, 10**digits)
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{currency} {plain(whole)}{fraction}", f"{currency} {indian(whole)}{fraction}"


# -- what is said


def _add_effects(lines: _Lines, receipt: Receipt, program: Program, *, is_quote: bool) -> None:
    """What the command did."""
    if points := receipt.earned_points:
        lines.points("will earn" if is_quote else "earned", points)
    if points := receipt.spent_points:
        lines.points("will spend" if is_quote else "spent", points)
    if amount := receipt.reward_minor:
        lines.named("taken off", money(amount, program.currency))
        lines.named("payable", money(receipt.payable_minor, program.currency))
    if points := receipt.clawed_back_points:
        lines.points("clawed back", points)
    if points := receipt.restored_points:
        lines.points("restored", points)
    if points := receipt.shortfall_points:
        lines.points("shortfall", points)


def _add_redemption(lines: _Lines, redemption: Redemption, program: Program) -> None:
    """What was used or issued."""
    name = _reward_names(program).get(redemption.reward_id, (redemption.reward_id, redemption.reward_id))
    if redemption.voucher:
        lines.named("used", name)
    if redemption.left_minor:
        lines.both("left", name, money(redemption.left_minor, program.currency))
    if redemption.entitlements:
        lines.both("entitled", name, _figure(len(redemption.entitlements)))
    printed = [voucher for voucher in redemption.vouchers if voucher.code][:VOUCHERS_PRINTED_MAX]
    for voucher in printed:
        lines.both("voucher", name, (voucher.code, voucher.code))
        _add_validity(lines, voucher, program.zone)
    if more := len(redemption.vouchers) - len(printed):
        lines.both("more vouchers" if printed else "entitled", name, _figure(more))


def _add_use(lines: _Lines, used: Entitlement) -> None:
    reward = used.reward
    name = (reward.display_name.en or reward.reward_id, reward.display_name.hi or reward.reward_id)
    lines.named("used", name)
    left = reward.entitlement.priority_service.times - used.used_times
    if left > 0:
        lines.both("left", name, _figure(left))


def _add_validity(lines: _Lines, voucher: IssuedVoucher, zone: ZoneInfo) -> None:
    first = last_day(from_timestamp(voucher.starts_at) + 1, zone) if voucher.HasField("starts_at") else None
    last = last_day(from_timestamp(voucher.expires_at), zone) if voucher.HasField("expires_at") else None
    if first and last:
        lines.both("valid from through", first, last)
    elif first:
        lines.named("valid from", first)
    elif last:
        lines.named("valid through", last)


def _figure(number: int) -> tuple[str, str]:
    return plain(number), indian(number)


def _add_balance(lines: _Lines, receipt: Receipt, zone: ZoneInfo, *, is_quote: bool) -> None:
    balance = receipt.balance
    available = balance.available_points
    if available < 0:
        lines.points("owed", -available)
    else:
        lines.points("will have" if is_quote else "available", available)
    if points := balance.pending_points:
        lines.points("pending", points)
    if points := balance.held_points:
        lines.points("held", points)
    if balance.HasField("next_expiry"):
        expiry = balance.next_expiry
        lines.points_named("expiring", expiry.points, last_day(from_timestamp(expiry.expires_at), zone))


def _add_tier(lines: _Lines, receipt: Receipt, program: Program) -> None:
    tier = receipt.tier
    tier_id = tier.tier
    if not tier_id:
        return
    names = _tier_names(program)
    name = names.get(tier_id, (tier_id, tier_id))
    lines.named("tier", name)
    until = ("", "")
    last = tier.review_at if tier.HasField("review_at") else tier.keep_until
    if last.seconds:
        until = last_day(from_timestamp(last), program.zone)
    if amount := tier.amount_to_keep:
        lines.needed("to keep by" if last.seconds else "to keep", _needed(amount, program), name, until)
    elif tier.HasField("keep_until"):
        lines.both("kept", name, last_day(from_timestamp(tier.keep_until), program.zone))
    if next_id := tier.next_tier:
        next_name = names.get(next_id, (next_id, next_id))
        lines.needed("to reach", _needed(tier.amount_to_next, program), next_name, until)


def _needed(amount: int, program: Program) -> tuple[str, str]:
    """What has to be done for a tier, in each language."""
    plural = amount != 1
    match program.ladder.basis:
        case TierBasis.TIER_BASIS_SPEND:
            english, hindi = money(amount, program.currency)
            return f"Spend {english} more", f"{hindi} और खर्च करके"
        case TierBasis.TIER_BASIS_VISITS:
            return f"Visit {plain(amount)} more time{'s' * plural}", f"{indian(amount)} बार और आकर"
        case _:
            return f"Earn {plain(amount)} more point{'s' * plural}", f"{indian(amount)} पॉइंट और कमाकर"


@lru_cache(maxsize=4_096)
def last_day(expires_at: int, zone: ZoneInfo) -> tuple[str, str]:
    """The last day on which points are valid that are gone at an instant."""
    day = local_date(expires_at - 1, zone)
    english, hindi = MONTHS[day.month - 1]
    return f"{day.day} {english} {day.year}", f"{day.day} {hindi} {day.year}"


@lru_cache(maxsize=64)
def _tier_names(program: Program) -> dict[str, tuple[str, str]]:
    """The names of a program's tiers by id; an id stands in for a name that is not given."""
    return {
        tier.tier_id: (tier.display_name.en or tier.tier_id, tier.display_name.hi or tier.tier_id)
        for tier in program.definition.tiers
    }


@lru_cache(maxsize=64)
def _reward_names(program: Program) -> dict[str, tuple[str, str]]:
    """The same of its rewards."""
    return {
        reward.reward_id: (reward.display_name.en or reward.reward_id, reward.display_name.hi or reward.reward_id)
        for reward in program.definition.rewards
    }


# -- the languages


Phrase = tuple[str, str]
"""A sentence for one point and for any other number of them."""


MONTHS: Final = (
    ("January", "जनवरी"),
    ("February", "फ़रवरी"),
    ("March", "मार्च"),
    ("April", "अप्रैल"),
    ("May", "मई"),
    ("June", "जून"),
    ("July", "जुलाई"),
    ("August", "अगस्त"),
    ("September", "सितंबर"),
    ("October", "अक्टूबर"),
    ("November", "नवंबर"),
    ("December", "दिसंबर"),
)
"""The months in English and in Hindi."""

ENGLISH: Final[Mapping[str, Phrase]] = {
    "earned": ("You earned %s point.", "You earned %s points."),
    "will earn": ("You will earn %s point.", "You will earn %s points."),
    "spent": ("You used %s point.", "You used %s points."),
    "will spend": ("You will use %s point.", "You will use %s points."),
    "taken off": ("Taken off by rewards: %s.", "Taken off by rewards: %s."),
    "payable": ("Left to pay: %s.", "Left to pay: %s."),
    "clawed back": ("%s point was taken back.", "%s points were taken back."),
    "restored": ("%s point was given back to you.", "%s points were given back to you."),
    "shortfall": (
        "%s point had been used already and was not taken back.",
        "%s points had been used already and were not taken back.",
    ),
    "used": ("Used: %s.", "Used: %s."),
    "left": ("Left on %s: %s.", "Left on %s: %s."),
    "voucher": ("Your voucher for %s: %s.", "Your voucher for %s: %s."),
    "more vouchers": ("More vouchers for %s: %s.", "More vouchers for %s: %s."),
    "entitled": ("For you: %s, number: %s.", "For you: %s, number: %s."),
    "valid from": ("Valid from %s.", "Valid from %s."),
    "valid through": ("Valid through %s.", "Valid through %s."),
    "valid from through": ("Valid from %s through %s.", "Valid from %s through %s."),
    "available": ("You have %s point to spend.", "You have %s points to spend."),
    "will have": (
        "You will then have %s point to spend.",
        "You will then have %s points to spend.",
    ),
    "owed": (
        "You owe %s point. The next point you earn repays it.",
        "You owe %s points. The next points you earn repay them.",
    ),
    "pending": (
        "%s more point is pending and can be spent later.",
        "%s more points are pending and can be spent later.",
    ),
    "held": ("%s point is reserved for a reward.", "%s points are reserved for a reward."),
    "expiring": ("%s point is valid through %s.", "%s points are valid through %s."),
    "tier": ("Your tier: %s.", "Your tier: %s."),
    "kept": ("%s is yours through %s.", "%s is yours through %s."),
    "to keep": ("%(what)s to keep %(tier)s.", "%(what)s to keep %(tier)s."),
    "to keep by": ("%(what)s by %(until)s to keep %(tier)s.", "%(what)s by %(until)s to keep %(tier)s."),
    "to reach": ("%(what)s to reach %(tier)s.", "%(what)s to reach %(tier)s."),
}

HINDI: Final[Mapping[str, Phrase]] = {
    "earned": ("आपको %s पॉइंट मिला।", "आपको %s पॉइंट मिले।"),
    "will earn": ("आपको %s पॉइंट मिलेगा।", "आपको %s पॉइंट मिलेंगे।"),
    "spent": ("आपने %s पॉइंट इस्तेमाल किया।", "आपने %s पॉइंट इस्तेमाल किए।"),
    "will spend": ("आपका %s पॉइंट इस्तेमाल होगा।", "आपके %s पॉइंट इस्तेमाल होंगे।"),
    "taken off": ("रिवॉर्ड से छूट: %s।", "रिवॉर्ड से छूट: %s।"),
    "payable": ("देय राशि: %s।", "देय राशि: %s।"),
    "clawed back": ("%s पॉइंट वापस लिया गया।", "%s पॉइंट वापस लिए गए।"),
    "restored": ("आपको %s पॉइंट लौटाया गया।", "आपको %s पॉइंट लौटाए गए।"),
    "shortfall": (
        "%s पॉइंट पहले ही इस्तेमाल हो चुका था, इसलिए वापस नहीं लिया गया।",
        "%s पॉइंट पहले ही इस्तेमाल हो चुके थे, इसलिए वापस नहीं लिए गए।",
    ),
    "used": ("इस्तेमाल किया गया: %s।", "इस्तेमाल किया गया: %s।"),
    "left": ("%s में शेष: %s।", "%s में शेष: %s।"),
    "voucher": ("%s के लिए आपका वाउचर: %s।", "%s के लिए आपका वाउचर: %s।"),
    "more vouchers": ("%s के लिए और वाउचर: %s।", "%s के लिए और वाउचर: %s।"),
    "entitled": ("आपके लिए: %s, संख्या: %s।", "आपके लिए: %s, संख्या: %s।"),
    "valid from": ("%s से मान्य।", "%s से मान्य।"),
    "valid through": ("%s तक मान्य।", "%s तक मान्य।"),
    "valid from through": ("%s से %s तक मान्य।", "%s से %s तक मान्य।"),
    "available": (
        "आपके पास इस्तेमाल के लिए %s पॉइंट है।",
        "आपके पास इस्तेमाल के लिए %s पॉइंट हैं।",
    ),
    "will have": (
        "इसके बाद आपके पास इस्तेमाल के लिए %s पॉइंट होगा।",
        "इसके बाद आपके पास इस्तेमाल के लिए %s पॉइंट होंगे।",
    ),
    "owed": (
        "आप पर %s पॉइंट बकाया है। यह आगे मिलने वाले पॉइंट से चुकाया जाएगा।",
        "आप पर %s पॉइंट बकाया हैं। ये आगे मिलने वाले पॉइंट से चुकाए जाएँगे।",
    ),
    "pending": (
        "%s पॉइंट अभी लंबित है, जिसे आप बाद में इस्तेमाल कर सकेंगे।",
        "%s पॉइंट अभी लंबित हैं, जिन्हें आप बाद में इस्तेमाल कर सकेंगे।",
    ),
    "held": ("%s पॉइंट रिवॉर्ड के लिए आरक्षित है।", "%s पॉइंट रिवॉर्ड के लिए आरक्षित हैं।"),
    "expiring": ("%s पॉइंट %s तक मान्य है।", "%s पॉइंट %s तक मान्य हैं।"),
    "tier": ("आपका टियर: %s।", "आपका टियर: %s।"),
    "kept": ("%s टियर %s तक आपका है।", "%s टियर %s तक आपका है।"),
    "to keep": ("%(what)s %(tier)s टियर बनाए रखें।", "%(what)s %(tier)s टियर बनाए रखें।"),
    "to keep by": (
        "%(until)s तक %(what)s %(tier)s टियर बनाए रखें।",
        "%(until)s तक %(what)s %(tier)s टियर बनाए रखें।",
    ),
    "to reach": ("%(what)s %(tier)s टियर पाएँ।", "%(what)s %(tier)s टियर पाएँ।"),
}
