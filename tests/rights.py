"""What a member has been given, and what there is left to give, as the service lists it."""

from typing import Any

from loyalty.v1.crm_service_pb2 import ListEntitlementsRequest, ListVouchersRequest
from loyalty.v1.program_service_pb2 import ListRewardsRequest
from loyalty.v1.reward_pb2 import Entitlement, EntitlementState, Voucher, VoucherState

from tests.shop import TIMEOUT_S, Shop


def vouchers_of(shop: Shop, member: str, state: str = "", **fields: Any) -> list[Voucher]:
    """A member's vouchers as of now, newest first, of all pages."""
    asked = VoucherState.Value(f"VOUCHER_STATE_{state or 'UNSPECIFIED'}")
    request = ListVouchersRequest(member=member, state=asked, min_position=shop.head(), **fields)
    found: list[Voucher] = []
    while True:
        page = shop.crm.ListVouchers(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        found += page.vouchers
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


def entitlements_of(shop: Shop, member: str, state: str = "", **fields: Any) -> list[Entitlement]:
    """A member's entitlements as of now, newest first, of all pages."""
    asked = EntitlementState.Value(f"ENTITLEMENT_STATE_{state or 'UNSPECIFIED'}")
    request = ListEntitlementsRequest(member=member, state=asked, min_position=shop.head(), **fields)
    found: list[Entitlement] = []
    while True:
        page = shop.crm.ListEntitlements(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        found += page.entitlements
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


def left_in(shop: Shop) -> dict[str, int | None]:
    """How many there are left of each reward; None for any number."""
    request = ListRewardsRequest(program=shop.program, min_position=shop.head(), page_size=2)
    found: dict[str, int | None] = {}
    while True:
        page = shop.programs.ListRewards(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        for entry in page.rewards:
            found[entry.reward.reward_id] = entry.left if entry.HasField("left") else None
        request.page_token = page.next_page_token
        if not request.page_token:
            return found
