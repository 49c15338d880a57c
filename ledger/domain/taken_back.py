"""Taking back what redemptions issued and got: vouchers and entitlements, stock and limits, each of them once."""

from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

from loyalty.v1.account_pb2 import Redemption
from loyalty.v1.earning_pb2 import LimitScope
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import EntitlementRevoked, PointsRedeemed, ReleaseReason, RewardGranted, Undo, VoucherRevoked
from loyalty.v1.reward_pb2 import EntitlementState, Use, VoucherState

from ledger.domain.case import Case, RequestT
from ledger.domain.draw import give_back
from ledger.domain.entitlement import Entitlement
from ledger.domain.refusal import Refused
from ledger.domain.rules.reward import of_limits, stock_of
from ledger.domain.voucher import Voucher, is_used

_NONE: Final[Collection[str]] = frozenset()


def check_unused(case: Case[RequestT], redemptions: Iterable[Redemption], gone: Collection[str] = _NONE) -> None:
    """Raises Refused where something that redemptions issued was used, or was closed so long ago that nobody knows.

    `gone` has the entitlements that returns took back, which nobody had used.
    """
    for redemption in redemptions:
        for issued in redemption.vouchers:
            voucher = case.account.vouchers.get(issued.name)
            if voucher is None:
                raise Refused(ErrorReason.ERROR_REASON_REWARD_FORGOTTEN, issued=issued.name)
            if is_used(voucher):
                raise Refused(ErrorReason.ERROR_REASON_VOUCHER_USED, voucher=issued.name)
        for name in redemption.entitlements:
            entitlement = case.account.entitlements.get(name)
            if entitlement is None and name not in gone:
                raise Refused(ErrorReason.ERROR_REASON_REWARD_FORGOTTEN, issued=name)
            if entitlement is not None and entitlement.used_times:
                raise Refused(ErrorReason.ERROR_REASON_ENTITLEMENT_NOT_USABLE, entitlement=name, state="USED")


def take_back(case: Case[RequestT], redemptions: Iterable[Redemption], transaction_id: UUID) -> None:
    """Takes back what redemptions issued and nobody used, and gives it back to stock; noted in that transaction's file.

    What expired stays expired, and is in stock again too; what was taken back before has been since then.
    """
    # All are looked up before one is closed: the account may forget those that were closed before.
    rights = [right for redemption in redemptions for right in _not_taken_back(case, redemption)]
    stock: dict[str, Use] = {}
    for right in rights:
        _revoke(case, right, transaction_id)
        for use in stock_of(right.reward):
            stock.setdefault(use.key, Use(key=use.key, scope=use.scope)).amount += use.amount
    give_back(case, stock.values(), ReleaseReason.RELEASE_REASON_REVERSED)


def give_back_uses(
    case: Case[RequestT],
    undone: Undo,
    redemptions: Iterable[PointsRedeemed | RewardGranted],
    earlier: Iterable[Undo] = (),
) -> None:
    """Gives back what redemptions that are undone took, less what was given back earlier.

    Stock comes back with the vouchers and entitlements that were issued of it, and codes do not.
    """
    amounts: dict[tuple[str, int, LimitScope.ValueType], int] = {}
    for use in [use for event in redemptions for use in _uses(event)]:
        key = use.key, use.period, use.scope
        amounts[key] = amounts.get(key, 0) + use.amount
    for use in [use for undo in earlier for use in undo.uses]:
        key = use.key, use.period, use.scope
        if key in amounts:
            amounts[key] -= use.amount
    uses = [
        Use(key=key, period=period, amount=amount, scope=scope)
        for (key, period, scope), amount in amounts.items()
        if amount > 0
    ]
    give_back(case, uses, ReleaseReason.RELEASE_REASON_REVERSED)
    undone.uses.extend(uses)


def _uses(event: PointsRedeemed | RewardGranted) -> Iterable[Use]:
    issued = event.redemption.vouchers or event.redemption.entitlements
    return of_limits(event.uses) if issued else event.uses


def _not_taken_back(case: Case[RequestT], redemption: Redemption) -> Iterable[Voucher | Entitlement]:
    for issued in redemption.vouchers:
        voucher = case.account.vouchers.get(issued.name)
        if voucher is not None and voucher.state != VoucherState.VOUCHER_STATE_REVOKED:
            yield voucher
    for name in redemption.entitlements:
        entitlement = case.account.entitlements.get(name)
        if entitlement is not None and entitlement.state != EntitlementState.ENTITLEMENT_STATE_REVOKED:
            yield entitlement


def _revoke(case: Case[RequestT], right: Voucher | Entitlement, transaction_id: UUID) -> None:
    origin, version = case.origin, case.program.version
    if isinstance(right, Voucher):
        if right.state == VoucherState.VOUCHER_STATE_ISSUED:
            revoked = VoucherRevoked(origin=origin, program_version=version, voucher=right.name)
            case.record(revoked, transaction_id=transaction_id)
    elif right.state == EntitlementState.ENTITLEMENT_STATE_ISSUED:
        taken = EntitlementRevoked(origin=origin, program_version=version, entitlement=right.name)
        case.record(taken, transaction_id=transaction_id)
