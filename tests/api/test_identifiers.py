"""Identifiers: what a till reads or a person types becomes the one form that is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.member_pb2 import Identifier, IdentifierType

from ledger.api.errors import ApiError
from ledger.api.identifiers import VALUE_CHARACTERS_MAX, normalise

PHONE = IdentifierType.IDENTIFIER_TYPE_PHONE
EMAIL = IdentifierType.IDENTIFIER_TYPE_EMAIL
CARD = IdentifierType.IDENTIFIER_TYPE_CARD
TYPES = [kind for kind in IdentifierType.values() if kind]


def value(kind: IdentifierType.ValueType, text: str, region: str = "IN") -> str:
    """The stored value."""
    return normalise(Identifier(type=kind, value=text), "programs/p", region)[2]


@pytest.mark.parametrize(
    ("text", "region", "stored"),
    [
        ("98765 43210", "IN", "+919876543210"),
        ("098765-43210", "IN", "+919876543210"),
        ("+91 98765 43210", "US", "+919876543210"),
        ("+91 98765 43210", "", "+919876543210"),
        ("\u0669\u0668765 43210", "IN", "+919876543210"),
        ("९८७६५४३२१०", "IN", "+919876543210"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("tel:+1-212-555-0123", "IN", "+12125550123"),
        ("  +44 20 7946 0018 ", "IN", "+442079460018"),
    ],
)
def test_phones_become_e164(text: str, region: str, stored: str) -> None:
    """The program's region completes a national number; digits of any script are understood."""
    assert value(PHONE, text, region) == stored


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("98765 43210", ""),
        ("555-0123", "US"),
        ("12", "IN"),
        ("+91 98765 43210 ext. 5", "IN"),
        ("+999 12345678", "IN"),
        ("no number", "IN"),
        ("+", "IN"),
        ("9" * 200, "IN"),
    ],
)
def test_what_is_no_phone_number_is_refused(text: str, region: str) -> None:
    """Without a country, of an impossible length, with an extension, or no number at all."""
    with pytest.raises(ApiError) as caught:
        normalise(Identifier(type=PHONE, value=text), "programs/p", region, "identifiers[3]")
    assert [field for field, _ in caught.value.field_violations] == ["identifiers[3].value"]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (" Ada.Lovelace@Example.COM ", "ada.lovelace@example.com"),
        ("राम@उदाहरण.भारत", "राम@उदाहरण.भारत"),
        ("JOSE\u0301@example.com", "jos\u00e9@example.com"),
        ("jos\u00e9@example.com", "jos\u00e9@example.com"),
        ("a+b_c-d/e@sub.example.co.in", "a+b_c-d/e@sub.example.co.in"),
        ("محمد@مثال.إختبار", "محمد@مثال.إختبار"),
        ("😀@example.com", "😀@example.com"),
    ],
)
def test_emails_are_compared_without_regard_to_case(text: str, stored: str) -> None:
    """Trimmed, case-folded and composed, in any script."""
    assert value(EMAIL, text) == stored


@pytest.mark.parametrize(
    "text",
    ["a", "a@", "@b.de", "a@b", "a@@b.de", "a@b@c.de", "a b@c.de", "a@b..de", "a@.de", "a@b.de."],
)
def test_what_is_no_email_is_refused(text: str) -> None:
    """One @, no spaces, and a domain of two parts."""
    with pytest.raises(ApiError) as caught:
        value(EMAIL, text)
    assert [field for field, _ in caught.value.field_violations] == ["identifier.value"]


def test_an_email_must_not_grow_too_long() -> None:
    """Folding can lengthen a value; the limit holds afterwards."""
    with pytest.raises(ApiError):
        value(EMAIL, "ß" * 60 + "@" + "ß" * 120 + ".de")


def test_others_are_trimmed() -> None:
    """A card number keeps its case."""
    assert value(CARD, "  AbC-123 ") == "AbC-123"


def test_the_identifier_s_own_program_counts_first() -> None:
    """The credential's program is used where the identifier names none."""
    mine = Identifier(type=CARD, value="1234")
    other = Identifier(type=CARD, value="1234", program="programs/other")
    assert normalise(mine, "programs/p", "IN") == ("programs/p", CARD, "1234")
    assert normalise(other, "programs/p", "IN") == ("programs/other", CARD, "1234")


@given(kind=st.sampled_from(TYPES), text=st.text(max_size=300), region=st.sampled_from(["", "IN"]))
def test_any_text_is_stored_or_refused(kind: IdentifierType.ValueType, text: str, region: str) -> None:
    """Nothing else is raised, and what is stored is stored alike when it is sent again."""
    try:
        stored = value(kind, text, region)
    except ApiError:
        return
    assert value(kind, stored, region) == stored
    if kind in (EMAIL, PHONE):
        assert len(stored) <= VALUE_CHARACTERS_MAX
