"""What a program must be to be published. Everything that is wrong is named at once."""

import re
from collections.abc import Sequence
from typing import Final

from loyalty.v1.program_pb2 import (
    ClawBack,
    DuplicateEnrolment,
    Program,
    RestoreExpired,
    ReturnPolicy,
    Store,
    UnknownSale,
)
from phonenumbers import SUPPORTED_REGIONS

from ledger.domain.currency import MINOR_DIGITS
from ledger.domain.instant import EARLIEST, LATEST, from_timestamp
from ledger.domain.publish_attributes import check_attributes
from ledger.domain.publish_consents import check_consents
from ledger.domain.publish_earning import check_earning
from ledger.domain.publish_exclusive import check_exclusive
from ledger.domain.publish_expiry import check_expiry, check_pending
from ledger.domain.publish_fields import (
    ID_FORM,
    Problems,
    check_count,
    check_enum,
    check_text,
    has_control,
    zones,
)
from ledger.domain.publish_rewards import check_rewards
from ledger.domain.publish_steps import check_steps
from ledger.domain.publish_tiers import check_tiers

STORES_MAX: Final = 100_000
"""Stores of a program."""

STORE_ID_CHARACTERS_MAX: Final = 64
"""Length of a store's id."""

GRACE_DAYS_MAX: Final = 3_650
"""Days that restored points are valid at least."""

NOTICE_DAYS_MAX: Final = 365
"""Days before an expiry that notice of it is given."""

HOLD_TIMEOUT_MAX_S: Final = 30 * 86_400
"""Seconds that a reservation holds."""

MINOR_PER_THOUSAND_POINTS_MAX: Final = 10**12
"""What 1,000 points may be worth, in minor units."""

_NAME: Final = re.compile("programs/[a-z0-9-]{1,63}").fullmatch


def problems(definition: Program) -> Problems:
    """What is wrong with a program: (field path, what is allowed instead) for each problem.

    Its version and etag are the server's business and are not looked at.
    """
    found: Problems = []
    if not _NAME(definition.name):
        found.append(("name", f"must be programs/ and then {ID_FORM}"))
    check_text(definition.display_name, "display_name", found)
    if definition.currency not in MINOR_DIGITS:
        found.append(("currency", "must be the ISO 4217 code of a currency in use, such as INR"))
    if definition.time_zone not in zones():
        found.append(("time_zone", "must be an IANA time zone, such as Asia/Kolkata"))
    if definition.default_region not in SUPPORTED_REGIONS:
        found.append(("default_region", "must be an ISO 3166-1 region of two capital letters, such as IN"))
    if definition.HasField("starts_at") and not EARLIEST <= from_timestamp(definition.starts_at) < LATEST:
        found.append(("starts_at", "must be a time from the year 2000 on; absent for at once"))
    check_attributes(definition, found)
    check_earning(definition, found)
    check_exclusive(definition, found)
    check_pending(definition.pending, "pending", found)
    check_expiry(definition.expiry, "expiry", found)
    if not 0 <= definition.expiry_notice_days <= NOTICE_DAYS_MAX:
        found.append(("expiry_notice_days", f"must be from 0 to {NOTICE_DAYS_MAX}"))
    check_tiers(definition, found)
    check_rewards(definition, found)
    check_steps(definition, found)
    if definition.HasField("hold_timeout"):
        timeout = definition.hold_timeout
        seconds = timeout.seconds + timeout.nanos / 1_000_000_000
        if not 1 <= seconds <= HOLD_TIMEOUT_MAX_S:
            found.append(("hold_timeout", "must be from 1 second to 30 days; absent for 30 minutes"))
    _returns(definition.returns, found)
    if not 0 <= definition.minor_per_thousand_points <= MINOR_PER_THOUSAND_POINTS_MAX:
        found.append(("minor_per_thousand_points", f"must be from 0 to {MINOR_PER_THOUSAND_POINTS_MAX}"))
    check_enum(definition.duplicate_enrolment, DuplicateEnrolment.values(), "duplicate_enrolment", found)
    _stores(definition.stores, found)
    check_consents(definition, found)
    return found


# -- what points lead to


def _returns(policy: ReturnPolicy, found: Problems) -> None:
    check_enum(policy.claw_back, ClawBack.values(), "returns.claw_back", found)
    check_enum(policy.restore_expired, RestoreExpired.values(), "returns.restore_expired", found)
    check_enum(policy.unknown_sale, UnknownSale.values(), "returns.unknown_sale", found)
    if policy.restore_expired == RestoreExpired.RESTORE_EXPIRED_GRACE:
        if not 1 <= policy.grace_days <= GRACE_DAYS_MAX:
            found.append(
                (
                    "returns.grace_days",
                    f"must be from 1 to {GRACE_DAYS_MAX} with RESTORE_EXPIRED_GRACE",
                )
            )
    elif policy.grace_days:
        found.append(("returns.grace_days", "must be 0 without RESTORE_EXPIRED_GRACE"))


def _stores(stores: Sequence[Store], found: Problems) -> None:
    check_count(stores, STORES_MAX, "stores", found)
    seen: set[str] = set()
    for index, store in enumerate(stores[:STORES_MAX]):
        path = f"stores[{index}]"
        store_id = store.store_id
        if not 1 <= len(store_id) <= STORE_ID_CHARACTERS_MAX or has_control(store_id):
            found.append((f"{path}.store_id", f"must be 1 to {STORE_ID_CHARACTERS_MAX} printable characters"))
        elif store_id in seen:
            found.append((f"{path}.store_id", "must be unique in the program"))
        seen.add(store_id)
        check_text(store.display_name, f"{path}.display_name", found)
        if store.time_zone and store.time_zone not in zones():
            found.append((f"{path}.time_zone", "must be an IANA time zone, or empty for the program's"))
