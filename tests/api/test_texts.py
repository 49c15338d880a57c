"""Receipt texts: natural English and Hindi, from the figures alone."""

import re
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.account_pb2 import Balance, Receipt, TierProgress
from loyalty.v1.tier_pb2 import TierBasis

from ledger.api.texts import ENGLISH, HINDI, indian, money, plain, receipt_texts
from ledger.domain.instant import from_datetime, set_timestamp
from ledger.domain.program import Program
from ledger.domain.standing import Standing
from ledger.sample_program import sample_program

PROGRAM: Final = Program(sample_program())

PLACE: Final = re.compile(r"%(?:\(\w+\))?s")
"""Where a phrase has something filled in."""


def says(receipt: Receipt, *, is_quote: bool = False) -> tuple[list[str], list[str]]:
    """The English and the Hindi lines."""
    english, hindi = receipt_texts(receipt, PROGRAM, is_quote=is_quote)
    assert (english.language_code, hindi.language_code) == ("en", "hi")
    assert len(english.lines) == len(hindi.lines)
    return list(english.lines), list(hindi.lines)


def test_the_receipt_of_a_sale() -> None:
    """What it earned and where it leaves the member."""
    receipt = Receipt(earned_points=1_250, balance=Balance(available_points=123_456))
    receipt.balance.next_expiry.points = 100
    set_timestamp(
        receipt.balance.next_expiry.expires_at,
        from_datetime(datetime(2027, 7, 31, 18, 30, tzinfo=UTC)),  # midnight in India
    )
    PROGRAM.ladder.write_progress(receipt.tier, "silver", Standing(((0, 15_000),)), 0)
    assert says(receipt) == (
        [
            "You earned 1,250 points.",
            "You have 123,456 points to spend.",
            "100 points are valid through 31 July 2027.",
            "Your tier: Silver.",
            "Earn 5,000 more points to reach Gold.",
        ],
        [
            "आपको 1,250 पॉइंट मिले।",
            "आपके पास इस्तेमाल के लिए 1,23,456 पॉइंट हैं।",
            "100 पॉइंट 31 जुलाई 2027 तक मान्य हैं।",
            "आपका टियर: सिल्वर।",
            "5,000 पॉइंट और कमाकर गोल्ड टियर पाएँ।",
        ],
    )


def test_a_quote_speaks_of_what_would_be() -> None:
    """R9: what is spent and what is earned appear both, not their difference."""
    receipt = Receipt(
        earned_points=10,
        spent_points=5,
        reward_minor=1_25,
        payable_minor=98_75,
        balance=Balance(available_points=1),
    )
    assert says(receipt, is_quote=True) == (
        [
            "You will earn 10 points.",
            "You will use 5 points.",
            "Taken off by rewards: INR 1.25.",
            "Left to pay: INR 98.75.",
            "You will then have 1 point to spend.",
        ],
        [
            "आपको 10 पॉइंट मिलेंगे।",
            "आपके 5 पॉइंट इस्तेमाल होंगे।",
            "रिवॉर्ड से छूट: INR 1.25।",
            "देय राशि: INR 98.75।",
            "इसके बाद आपके पास इस्तेमाल के लिए 1 पॉइंट होगा।",
        ],
    )


def test_the_receipt_of_a_return() -> None:
    """Taken back, given back, and what could not be taken back (T5)."""
    receipt = Receipt(clawed_back_points=50, restored_points=1, shortfall_points=100)
    assert says(receipt) == (
        [
            "50 points were taken back.",
            "1 point was given back to you.",
            "100 points had been used already and were not taken back.",
            "You have 0 points to spend.",
        ],
        [
            "50 पॉइंट वापस लिए गए।",
            "आपको 1 पॉइंट लौटाया गया।",
            "100 पॉइंट पहले ही इस्तेमाल हो चुके थे, इसलिए वापस नहीं लिए गए।",
            "आपके पास इस्तेमाल के लिए 0 पॉइंट हैं।",
        ],
    )


def test_what_is_owed() -> None:
    """A negative balance is said as a debt."""
    english, hindi = says(Receipt(balance=Balance(available_points=-100)))
    assert english == ["You owe 100 points. The next points you earn repay them."]
    assert hindi == ["आप पर 100 पॉइंट बकाया हैं। ये आगे मिलने वाले पॉइंट से चुकाए जाएँगे।"]


ONES: Final = Receipt(
    earned_points=1,
    spent_points=1,
    clawed_back_points=1,
    shortfall_points=1,
    already_expired_points=1,
    balance=Balance(available_points=-1, pending_points=1, held_points=1),
    tier=TierProgress(tier="silver", next_tier="gold", amount_to_next=1, amount_to_keep=1),
)


def test_one_point_is_singular() -> None:
    """In every sentence, of both languages."""
    ones = Receipt()
    ones.CopyFrom(ONES)
    ones.balance.next_expiry.points = 1
    set_timestamp(ones.balance.next_expiry.expires_at, from_datetime(datetime(2027, 1, 1, tzinfo=UTC)))
    english, hindi = says(ones)
    assert english == [
        "You earned 1 point.",
        "You used 1 point.",
        "1 point was taken back.",
        "1 point had been used already and was not taken back.",
        "1 point had expired already and was not taken back.",
        "You owe 1 point. The next point you earn repays it.",
        "1 more point is pending and can be spent later.",
        "1 point is reserved for a reward.",
        "1 point is valid through 1 January 2027.",
        "Your tier: Silver.",
        "Earn 1 more point to keep Silver.",
        "Earn 1 more point to reach Gold.",
    ]
    assert hindi == [
        "आपको 1 पॉइंट मिला।",
        "आपने 1 पॉइंट इस्तेमाल किया।",
        "1 पॉइंट वापस लिया गया।",
        "1 पॉइंट पहले ही इस्तेमाल हो चुका था, इसलिए वापस नहीं लिया गया।",
        "1 पॉइंट पहले ही समाप्त हो चुका था, इसलिए वापस नहीं लिया गया।",
        "आप पर 1 पॉइंट बकाया है। यह आगे मिलने वाले पॉइंट से चुकाया जाएगा।",
        "1 पॉइंट अभी लंबित है, जिसे आप बाद में इस्तेमाल कर सकेंगे।",
        "1 पॉइंट रिवॉर्ड के लिए आरक्षित है।",
        "1 पॉइंट 1 जनवरी 2027 तक मान्य है।",
        "आपका टियर: सिल्वर।",
        "1 पॉइंट और कमाकर सिल्वर टियर बनाए रखें।",
        "1 पॉइंट और कमाकर गोल्ड टियर पाएँ।",
    ]


@pytest.mark.parametrize("name", ENGLISH)
def test_both_languages_say_the_same(name: str) -> None:
    """Each phrase is in both, names the same figures, and English has its plural."""
    one, many = ENGLISH[name]
    for phrase in (many, *HINDI[name]):
        assert sorted(PLACE.findall(phrase)) == sorted(PLACE.findall(one))
    if "point" in one:
        assert "points" not in one
        assert "points" in many
    assert all(re.search("[\u0900-\u097f]", phrase) for phrase in HINDI[name])
    assert not re.search("[A-Za-z]", PLACE.sub("", "".join(HINDI[name])))
    assert set(ENGLISH) == set(HINDI)


@pytest.mark.parametrize(
    ("number", "english", "hindi"),
    [
        (0, "0", "0"),
        (999, "999", "999"),
        (1_000, "1,000", "1,000"),
        (99_999, "99,999", "99,999"),
        (100_000, "100,000", "1,00,000"),
        (1_234_567, "1,234,567", "12,34,567"),
        (12_345_678, "12,345,678", "1,23,45,678"),
        (2**63 - 1, "9,223,372,036,854,775,807", "9,22,33,72,03,68,54,77,58,07"),
    ],
)
def test_figures_are_grouped(number: int, english: str, hindi: str) -> None:
    """By thousands in English, by lakh and crore in Hindi."""
    assert plain(number) == english
    assert indian(number).replace(",", "") == str(number)
    if number < 2**63 - 1:
        assert indian(number) == hindi


@given(number=st.integers(0, 2**63 - 1))
def test_indian_groups_are_right(number: int) -> None:
    """Three digits at the end, two before each comma, one or two at the start."""
    assert re.fullmatch(r"\d{1,3}|\d{1,2}(,\d\d)*,\d{3}", indian(number))
    assert int(indian(number).replace(",", "")) == number


@pytest.mark.parametrize(
    ("minor", "currency", "english", "hindi"),
    [
        (123_456_78, "INR", "INR 123,456.78", "INR 1,23,456.78"),
        (5, "USD", "USD 0.05", "USD 0.05"),
        (0, "EUR", "EUR 0.00", "EUR 0.00"),
        (1_500, "JPY", "JPY 1,500", "JPY 1,500"),
        (1_005, "KWD", "KWD 1.005", "KWD 1.005"),
        (7, "ZZZ", "ZZZ 0.07", "ZZZ 0.07"),
    ],
)
def test_money_has_the_digits_of_its_currency(minor: int, currency: str, english: str, hindi: str) -> None:
    """Two for most, none for the yen, three for the dinar."""
    assert money(minor, currency) == (english, hindi)


@pytest.mark.parametrize(
    ("expires_at", "zone", "expected"),
    [
        (datetime(2027, 7, 31, 18, 30, tzinfo=UTC), "Asia/Kolkata", "31 July 2027"),
        (datetime(2028, 3, 1, 5, tzinfo=UTC), "America/New_York", "29 February 2028"),
        (datetime(2027, 12, 31, 10, tzinfo=UTC), "Pacific/Kiritimati", "31 December 2027"),
    ],
)
def test_points_are_valid_through_their_last_day(expires_at: datetime, zone: str, expected: str) -> None:
    """The day before the one at whose start they are gone, in the program's zone."""
    definition = sample_program()
    definition.time_zone = zone
    receipt = Receipt()
    receipt.balance.next_expiry.points = 2
    set_timestamp(receipt.balance.next_expiry.expires_at, from_datetime(expires_at))
    english, _ = receipt_texts(receipt, Program(definition))
    assert english.lines[-1] == f"2 points are valid through {expected}."


def test_a_tier_without_a_name_is_called_by_its_id() -> None:
    """Also one that a newer version of the program no longer has."""
    definition = sample_program()
    definition.tiers[1].ClearField("display_name")
    receipt = Receipt(tier=TierProgress(tier="platinum", next_tier="silver", amount_to_next=2_000))
    english, hindi = receipt_texts(receipt, Program(definition))
    assert english.lines[1:] == ["Your tier: platinum.", "Earn 2,000 more points to reach silver."]
    assert hindi.lines[1:] == ["आपका टियर: platinum।", "2,000 पॉइंट और कमाकर silver टियर पाएँ।"]


@pytest.mark.parametrize(
    ("basis", "english", "hindi"),
    [
        ("POINTS", "Earn 1,500 more points", "1,500 पॉइंट और कमाकर"),
        ("SPEND", "Spend INR 15.00 more", "INR 15.00 और खर्च करके"),
        ("VISITS", "Visit 1,500 more times", "1,500 बार और आकर"),
    ],
)
def test_what_a_tier_needs_is_said_in_its_unit(basis: str, english: str, hindi: str) -> None:
    """Points, money or visits, and the last day on which it helps."""
    definition = sample_program()
    definition.tier_policy.basis = TierBasis.Value(f"TIER_BASIS_{basis}")
    tier = TierProgress(tier="silver", next_tier="gold", amount_to_next=1_500, amount_to_keep=1_500)
    set_timestamp(tier.review_at, from_datetime(datetime(2026, 12, 31, 18, 30, tzinfo=UTC)))
    in_english, in_hindi = receipt_texts(Receipt(tier=tier), Program(definition))
    assert in_english.lines[2:] == [f"{english} by 31 December 2026 to keep Silver.", f"{english} to reach Gold."]
    assert in_hindi.lines[2:] == [
        f"31 दिसंबर 2026 तक {hindi} सिल्वर टियर बनाए रखें।",
        f"{hindi} गोल्ड टियर पाएँ।",
    ]


def test_how_long_a_tier_is_kept() -> None:
    """Where nothing is needed now, the last day in the tier is said."""
    tier = TierProgress(tier="gold")
    set_timestamp(tier.keep_until, from_datetime(datetime(2026, 12, 31, 18, 30, tzinfo=UTC)))
    english, hindi = says(Receipt(tier=tier))
    assert english[2:] == ["Gold is yours through 31 December 2026."]
    assert hindi[2:] == ["गोल्ड टियर 31 दिसंबर 2026 तक आपका है।"]


def test_a_program_without_tiers_says_nothing_of_them() -> None:
    """The balance is all there is to say."""
    assert says(Receipt()) == (
        ["You have 0 points to spend."],
        ["आपके पास इस्तेमाल के लिए 0 पॉइंट हैं।"],
    )
