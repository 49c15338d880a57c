"""Why a member is of high value, in English and Hindi."""

from typing import Final

from loyalty.v1.account_pb2 import LocalizedText

from ledger.api.texts import indian, money, plain
from ledger.books.revenue import MILLIONTHS
from ledger.value.reading import HighValue, HighValuePage, HighValueQuestion

_ENGLISH: Final = {
    "spend": "Spent {amount}, {share} % of the total, and ranks {rank} of {members}.",
    "margin": "Brought a margin of {amount}, {share} % of the total, and ranks {rank} of {members}.",
    "members": "The first {limit} % of members are of high value: it takes {threshold}.",
    "total": "Members who make up the first {limit} % of the total are of high value: it takes {threshold}.",
}
_HINDI: Final = {
    "spend": "{amount} की ख़रीदारी की, जो कुल का {share} % है; {members} सदस्यों में स्थान {rank}।",
    "margin": "{amount} का लाभ दिया, जो कुल का {share} % है; {members} सदस्यों में स्थान {rank}।",
    "members": "पहले {limit} % सदस्य उच्च मूल्य के हैं: इसके लिए {threshold} चाहिए।",
    "total": "जो सदस्य मिलकर कुल का पहला {limit} % बनाते हैं, वे उच्च मूल्य के हैं: इसके लिए {threshold} चाहिए।",
}


def high_value_reason(one: HighValue, page: HighValuePage, question: HighValueQuestion, currency: str) -> LocalizedText:
    """Their figure, rank and share, and what it takes."""
    what = "margin" if question.by_margin else "spend"
    rule = "total" if question.of_total else "members"
    amount, threshold = money(one.value_minor, currency), money(page.threshold_minor, currency)
    same = {
        "share": _percent(one.value_minor * MILLIONTHS // page.total_minor, 2),
        "limit": _percent(question.share_millionths, 4).rstrip("0").rstrip("."),
    }
    texts = []
    for at, (phrases, number) in enumerate(((_ENGLISH, plain), (_HINDI, indian))):
        values = same | {
            "amount": amount[at],
            "threshold": threshold[at],
            "rank": number(one.rank),
            "members": number(page.members_total),
        }
        texts.append(f"{phrases[what]} {phrases[rule]}".format(**values))
    return LocalizedText(en=texts[0], hi=texts[1])


def _percent(millionths: int, digits: int) -> str:
    """1234 millionths as 0.12 for two digits: rounded down."""
    unit = 10 ** (4 - digits)
    whole, rest = divmod(millionths // unit, 10**digits)
    return f"{whole}.{rest:0{digits}}"
