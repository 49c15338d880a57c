"""What the purposes of consent, and the rules of retention, must be to be published."""

from typing import Final

from loyalty.v1.consent_pb2 import ConsentPurpose, ConsentText, RetentionPolicy
from loyalty.v1.program_pb2 import Program

from ledger.domain.publish_fields import ID_FORM, Problems, check_count, check_ids, check_text, has_control, is_id

PURPOSES_MAX: Final = 50
"""Purposes of consent of a program."""

TEXTS_MAX: Final = 100
"""Texts of a purpose, all versions together."""

TEXT_CHARACTERS_MAX: Final = 5_000
"""Length of a consent text in one language."""

RENEW_DAYS_MAX: Final = 3_650
"""Days after which consent has to be renewed."""

INACTIVE_MONTHS: Final = range(6, 241)
"""Months without activity after which a member may be erased: fewer would be an accident."""

TEXT_DAYS_MAX: Final = 3_650
"""Days that the texts of feedback are kept."""

_BREAKS: Final = str.maketrans("\n\t", "  ")


def check_consents(definition: Program, found: Problems) -> None:
    """The purposes and their texts, and how long what is known about people is kept."""
    purposes = definition.consents
    check_count(purposes, PURPOSES_MAX, "consents", found)
    check_ids([purpose.purpose_id for purpose in purposes], "consents", "purpose_id", found)
    for index, purpose in enumerate(purposes[:PURPOSES_MAX]):
        _purpose(purpose, f"consents[{index}]", found)
    if definition.HasField("retention"):
        _retention(definition.retention, found)


def _purpose(purpose: ConsentPurpose, path: str, found: Problems) -> None:
    check_text(purpose.display_name, f"{path}.display_name", found)
    if not purpose.texts:
        found.append((f"{path}.texts", "is required: nobody can consent to what is not said"))
    check_count(purpose.texts, TEXTS_MAX, f"{path}.texts", found)
    seen: set[tuple[str, int]] = set()
    for index, text in enumerate(purpose.texts[:TEXTS_MAX]):
        at = f"{path}.texts[{index}]"
        _text(text, at, found)
        if (text.text_id, text.version) in seen:
            found.append((at, "must be unique in the purpose: another text_id or version"))
        seen.add((text.text_id, text.version))
    if not 0 <= purpose.renew_after_days <= RENEW_DAYS_MAX:
        found.append((f"{path}.renew_after_days", f"must be from 1 to {RENEW_DAYS_MAX}, or 0 for never"))


def _text(text: ConsentText, path: str, found: Problems) -> None:
    if not is_id(text.text_id):
        found.append((f"{path}.text_id", f"must be {ID_FORM}"))
    if text.version < 1:
        found.append((f"{path}.version", "must be 1 or more"))
    for language, value in (("en", text.text.en), ("hi", text.text.hi)):
        if not value.strip():
            found.append((f"{path}.text.{language}", "is required: members are asked in their own language"))
        elif len(value) > TEXT_CHARACTERS_MAX or has_control(value.translate(_BREAKS)):
            form = f"must be at most {TEXT_CHARACTERS_MAX} characters without control characters but line breaks"
            found.append((f"{path}.text.{language}", form))


def _retention(policy: RetentionPolicy, found: Problems) -> None:
    months, days = policy.inactive_months, policy.feedback_text_days
    if months and months not in INACTIVE_MONTHS:
        text = f"must be from {INACTIVE_MONTHS[0]} to {INACTIVE_MONTHS[-1]}, or 0 for never"
        found.append(("retention.inactive_months", text))
    if not 0 <= days <= TEXT_DAYS_MAX:
        found.append(("retention.feedback_text_days", f"must be from 1 to {TEXT_DAYS_MAX}, or 0 for never"))
