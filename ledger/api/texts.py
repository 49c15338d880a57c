"""What a receipt prints and a cashier reads out, in English and Hindi, from a receipt's figures.

Figures have western digits in both languages, as printed receipts have. English groups them by
thousands (1,234,567), Hindi by lakh and crore (12,34,567). Money is written with its ISO 4217 code,
because receipt printers often lack the signs.
"""

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from loyalty.v1.account_pb2 import NextExpiry, Receipt, ReceiptText

from ledger.domain.currency import MINOR_DIGITS
from ledger.domain.instant import SECOND, from_timestamp, local_date
from ledger.domain.program import Program

DEFAULT_MINOR_DIGITS: Final = 2
"""For a currency that is no longer in use."""

Phrase = tuple[str, str]
"""A sentence for one point and for any other number of them, with %s for the number."""


def receipt_texts(
    receipt: Receipt, program: Program, *, is_quote: bool = False
) -> list[ReceiptText]:
    """The lines of a receipt, English first. A quote says what the sale would do."""
    names = _names(program)
    return [
        ReceiptText(
            language_code=language.code,
            lines=_lines(receipt, program, names[at], language, is_quote=is_quote),
        )
        for at, language in enumerate(LANGUAGES)
    ]


class Language(NamedTuple):
    """How one language says it."""

    code: str
    number: Callable[[int], str]
    day: Callable[[date], str]
    earned: Phrase
    will_earn: Phrase
    spent: Phrase
    will_spend: Phrase
    saved: str
    payable: str
    clawed_back: Phrase
    restored: Phrase
    shortfall: Phrase
    available: Phrase
    will_have: Phrase
    owed: Phrase
    pending: Phrase
    held: Phrase
    expiring: Phrase
    tier: str
    to_keep: Phrase
    to_reach: Phrase


def _plain(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def _indian(number: int) -> str:
    """1234567 as 12,34,567."""
    digits = str(number)
    if number < 1_000:  # noqa: PLR2004  # the last three digits stay together
        return digits
    head = digits[:-3]
    pairs = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)]
    return ",".join([*reversed(pairs), digits[-3:]])


_MONTHS_EN: Final = (
    "January February March April May June July August September October November December"
).split()
_MONTHS_HI: Final = ("जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर").split()


def _day_en(day: date) -> str:
    return f"{day.day} {_MONTHS_EN[day.month - 1]} {day.year}"


def _day_hi(day: date) -> str:
    return f"{day.day} {_MONTHS_HI[day.month - 1]} {day.year}"


ENGLISH: Final = Language(
    code="en",
    number=_plain,
    day=_day_en,
    earned=("You earned %s point.", "You earned %s points."),
    will_earn=("You will earn %s point.", "You will earn %s points."),
    spent=("You used %s point.", "You used %s points."),
    will_spend=("You will use %s point.", "You will use %s points."),
    saved="Taken off with points and rewards: %s.",
    payable="Left to pay: %s.",
    clawed_back=("%s point was taken back.", "%s points were taken back."),
    restored=("%s point was given back to you.", "%s points were given back to you."),
    shortfall=(
        "%s point had been used already and was not taken back.",
        "%s points had been used already and were not taken back.",
    ),
    available=("You have %s point to spend.", "You have %s points to spend."),
    will_have=("You will then have %s point to spend.", "You will then have %s points to spend."),
    owed=(
        "You owe %s point. The next point you earn repays it.",
        "You owe %s points. The next points you earn repay them.",
    ),
    pending=(
        "%s more point is pending and can be spent later.",
        "%s more points are pending and can be spent later.",
    ),
    held=("%s point is reserved for a reward.", "%s points are reserved for a reward."),
    expiring=(
        "%s point is valid through %s.",
        "%s points are valid through %s.",
    ),
    tier="Your tier: %s.",
    to_keep=("Earn %s more point to keep %s.", "Earn %s more points to keep %s."),
    to_reach=("Earn %s more point to reach %s.", "Earn %s more points to reach %s."),
)

HINDI: Final = Language(
    code="hi",
    number=_indian,
    day=_day_hi,
    earned=("आपको %s पॉइंट मिला।", "आपको %s पॉइंट मिले।"),
    will_earn=("आपको %s पॉइंट मिलेगा।", "आपको %s पॉइंट मिलेंगे।"),
    spent=("आपने %s पॉइंट इस्तेमाल किया।", "आपने %s पॉइंट इस्तेमाल किए।"),
    will_spend=("आपका %s पॉइंट इस्तेमाल होगा।", "आपके %s पॉइंट इस्तेमाल होंगे।"),
    saved="पॉइंट और रिवॉर्ड से छूट: %s।",
    payable="बाकी भुगतान: %s।",
    clawed_back=("%s पॉइंट वापस लिया गया।", "%s पॉइंट वापस लिए गए।"),
    restored=("%s पॉइंट आपको लौटाया गया।", "%s पॉइंट आपको लौटाए गए।"),
    shortfall=(
        "%s पॉइंट पहले ही इस्तेमाल हो चुका था, इसलिए वापस नहीं लिया गया।",
        "%s पॉइंट पहले ही इस्तेमाल हो चुके थे, इसलिए वापस नहीं लिए गए।",
    ),
    available=("आपके पास इस्तेमाल के लिए %s पॉइंट है।", "आपके पास इस्तेमाल के लिए %s पॉइंट हैं।"),
    will_have=(
        "इसके बाद आपके पास इस्तेमाल के लिए %s पॉइंट होगा।",
        "इसके बाद आपके पास इस्तेमाल के लिए %s पॉइंट होंगे।",
    ),
    owed=(
        "आप पर %s पॉइंट बकाया है। यह आगे मिलने वाले पॉइंट से चुकाया जाएगा।",
        "आप पर %s पॉइंट बकाया हैं। ये आगे मिलने वाले पॉइंट से चुकाए जाएँगे।",
    ),
    pending=(
        "%s और पॉइंट लंबित है, जिसे आप बाद में इस्तेमाल कर सकेंगे।",
        "%s और पॉइंट लंबित हैं, जिन्हें आप बाद में इस्तेमाल कर सकेंगे।",
    ),
    held=("%s पॉइंट रिवॉर्ड के लिए आरक्षित है।", "%s पॉइंट रिवॉर्ड के लिए आरक्षित हैं।"),
    expiring=("%s पॉइंट %s तक मान्य है।", "%s पॉइंट %s तक मान्य हैं।"),
    tier="आपका टियर: %s।",
    to_keep=(
        "%s पॉइंट और कमाकर %s टियर बनाए रखें।",
        "%s पॉइंट और कमाकर %s टियर बनाए रखें।",
    ),
    to_reach=("%s पॉइंट और कमाकर %s टियर पाएँ।", "%s पॉइंट और कमाकर %s टियर पाएँ।"),
)

LANGUAGES: Final = (ENGLISH, HINDI)


def _lines(
    receipt: Receipt,
    program: Program,
    names: dict[str, str],
    language: Language,
    *,
    is_quote: bool,
) -> list[str]:
    """What the command did, then where it leaves the member."""
    lines: list[str] = []
    number = language.number
    if points := receipt.earned_points:
        phrase = language.will_earn if is_quote else language.earned
        lines.append(phrase[points != 1] % number(points))
    if points := receipt.spent_points:
        phrase = language.will_spend if is_quote else language.spent
        lines.append(phrase[points != 1] % number(points))
    if amount := receipt.reward_minor:
        lines.append(language.saved % money(amount, program.currency, language))
        lines.append(language.payable % money(receipt.payable_minor, program.currency, language))
    if points := receipt.clawed_back_points:
        lines.append(language.clawed_back[points != 1] % number(points))
    if points := receipt.restored_points:
        lines.append(language.restored[points != 1] % number(points))
    if points := receipt.shortfall_points:
        lines.append(language.shortfall[points != 1] % number(points))
    _add_balance(lines, receipt, program.zone, language, is_quote=is_quote)
    if receipt.tier.tier:
        _add_tier(lines, receipt, names, language)
    return lines


def _add_balance(
    lines: list[str], receipt: Receipt, zone: ZoneInfo, language: Language, *, is_quote: bool
) -> None:
    balance, number = receipt.balance, language.number
    available = balance.available_points
    if available < 0:
        lines.append(language.owed[available != -1] % number(-available))
    else:
        phrase = language.will_have if is_quote else language.available
        lines.append(phrase[available != 1] % number(available))
    if points := balance.pending_points:
        lines.append(language.pending[points != 1] % number(points))
    if points := balance.held_points:
        lines.append(language.held[points != 1] % number(points))
    if balance.HasField("next_expiry"):
        expiry = balance.next_expiry
        points = expiry.points
        lines.append(
            language.expiring[points != 1]
            % (number(points), language.day(_last_day(_instant(expiry), zone)))
        )


def _add_tier(
    lines: list[str], receipt: Receipt, names: dict[str, str], language: Language
) -> None:
    tier, number = receipt.tier, language.number
    name = names.get(tier.tier, tier.tier)
    lines.append(language.tier % name)
    if points := tier.points_to_keep:
        lines.append(language.to_keep[points != 1] % (number(points), name))
    if tier.next_tier:
        points = tier.points_to_next
        next_name = names.get(tier.next_tier, tier.next_tier)
        lines.append(language.to_reach[points != 1] % (number(points), next_name))


def money(minor: int, currency: str, language: Language = ENGLISH) -> str:
    """An amount with its currency's code and minor units: INR 1,234.50."""
    digits = MINOR_DIGITS.get(currency, DEFAULT_MINOR_DIGITS)
    whole, rest = divmod(minor, 10**digits)
    amount = language.number(whole)
    return f"{currency} {amount}.{rest:0{digits}}" if digits else f"{currency} {amount}"


def _instant(expiry: NextExpiry) -> int:
    return from_timestamp(expiry.expires_at)


@lru_cache(maxsize=4_096)
def _last_day(expires_at: int, zone: ZoneInfo) -> date:
    """The last day on which points are valid that are gone at an instant."""
    return local_date(expires_at - 1, zone)


@lru_cache(maxsize=64)
def _names(program: Program) -> tuple[dict[str, str], dict[str, str]]:
    """The names of a program's tiers by id, in English and Hindi; an id stands in for a name."""
    tiers = program.definition.tiers
    return (
        {tier.tier_id: tier.display_name.en or tier.tier_id for tier in tiers},
        {tier.tier_id: tier.display_name.hi or tier.tier_id for tier in tiers},
    )
