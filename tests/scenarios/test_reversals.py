"""Reversals: T11 of the scenario book."""

from collections.abc import Callable

import pytest
from loyalty.v1.pos_service_pb2 import RecordSaleResponse

from tests.conftest import OpenShop
from tests.programs import cashback, discount, program
from tests.proof import prove
from tests.scenarios.test_returns import NOT_FOUND, give_back, pay
from tests.shop import Shop, line, new_id, refused


def _by_transaction(shop: Shop, sale: RecordSaleResponse) -> dict[str, str]:
    return {"transaction": sale.outcome.transaction}


def _by_request_id(shop: Shop, sale: RecordSaleResponse) -> dict[str, str]:
    return {"original_request_id": sale.outcome.transaction.rpartition("/")[2]}


@pytest.mark.parametrize("named", [_by_transaction, _by_request_id])
def test_t11_reversal_is_idempotent(
    open_shop: OpenShop, named: Callable[[Shop, RecordSaleResponse], dict[str, str]]
) -> None:
    """A reversal undoes a sale once, whether it names the transaction or the request id and however often it comes."""
    shop = open_shop(program(rewards=[cashback(1)]))
    member = shop.member()
    shop.adjust(member, 30)
    sale = shop.sale(member, 70_00, points_payment=pay(20))
    target, request_id = named(shop, sale), new_id()
    first = shop.reverse(**target, request_id=request_id)
    assert not first.blocked
    assert (first.receipt.clawed_back_points, first.receipt.restored_points) == (70, 20)
    again = shop.reverse(**target, request_id=request_id)
    assert again.outcome.replayed
    assert again.receipt == first.receipt
    for other in (_by_transaction, _by_request_id):
        with refused("ALREADY_REVERSED", reversal=first.outcome.transaction):
            shop.reverse(**other(shop, sale))
    with refused("ALREADY_REVERSED", reversal=first.outcome.transaction):
        give_back(shop, sale)
    assert len(shop.events(member, "TransactionReversed")) == 1
    assert prove(shop, member).available_points == 30


def test_t11_reversing_a_reversal(open_shop: OpenShop) -> None:
    """A reversal cannot be reversed, also not one that came before its original."""
    shop = open_shop(program())
    member = shop.member()
    sale = shop.sale(member, 70_00)
    reversal = shop.reverse(sale.outcome.transaction)
    with refused("NOT_REVERSIBLE", type="TransactionReversed"):
        shop.reverse(reversal.outcome.transaction)
    blocking = shop.reverse(original_request_id=new_id())
    assert blocking.blocked
    with refused("NOT_REVERSIBLE", type="ReversalAwaited"):
        shop.reverse(blocking.outcome.transaction)
    assert prove(shop, member).available_points == 0


@pytest.mark.parametrize("kind", ["enrolment", "return", "program"])
def test_t11_what_cannot_be_reversed(open_shop: OpenShop, kind: str) -> None:
    """Only what moves points by itself can be reversed; the refusal names what it was asked to."""
    shop = open_shop(program())
    enrolled = shop.enroll()
    sale = shop.sale(enrolled.member, 70_00)
    published = shop.publish(program())
    target, event_type = {
        "enrolment": (enrolled.outcome, "MemberEnrolled"),
        "return": (give_back(shop, sale).outcome, "SaleReturned"),
        "program": (published.outcome, "ProgramPublished"),
    }[kind]
    with refused("NOT_REVERSIBLE", type=event_type):
        shop.reverse(target.transaction)


@pytest.mark.parametrize("by_name", [True, False])
def test_t11_reversal_before_its_original(open_shop: OpenShop, *, by_name: bool) -> None:
    """A reversal of a sale that has not arrived blocks it for ever; nothing of the sale is recorded."""
    shop = open_shop(program())
    member = shop.member()
    request = shop.sale_request(member, 70_00)
    target = (
        {"transaction": f"transactions/{request.request_id}"}
        if by_name
        else {"original_request_id": request.request_id}
    )
    request_id = new_id()
    reversal = shop.reverse(**target, request_id=request_id)
    assert reversal.blocked
    assert not reversal.HasField("receipt")
    assert not reversal.outcome.member
    again = shop.reverse(**target, request_id=request_id)
    assert (again.blocked, again.outcome.replayed) == (True, True)
    for _ in range(2):
        with refused("REVERSED_BEFORE_ARRIVAL", reversal=reversal.outcome.transaction):
            shop.record(request)
    with refused("ALREADY_REVERSED", reversal=reversal.outcome.transaction):
        shop.reverse(original_request_id=request.request_id)
    assert shop.events(member, "SaleRecorded") == []
    assert shop.sale(member, 70_00).receipt.earned_points == 70
    assert prove(shop, member).available_points == 70


@pytest.mark.parametrize("with_member", [True, False])
def test_t11_return_of_a_blocked_sale(open_shop: OpenShop, *, with_member: bool) -> None:
    """A sale that was reversed before it arrived is no sale that anything can be returned of."""
    shop = open_shop(program())
    member = shop.member()
    blocked = new_id()
    shop.reverse(original_request_id=blocked)
    with refused("TRANSACTION_NOT_FOUND", NOT_FOUND):
        shop.give_back(f"transactions/{blocked}", member=member if with_member else "")
    assert prove(shop, member).available_points == 0


def test_t11_after_partial_returns(open_shop: OpenShop) -> None:
    """A reversal undoes what is left of a sale, not what came back before."""
    shop = open_shop(program(rewards=[cashback(1)]))
    member = shop.member()
    shop.adjust(member, 100)
    sale = shop.sale(member, [line(10_00), line(20_00)], points_payment=pay(9))
    give_back(shop, sale, "1")
    receipt = shop.reverse(sale.outcome.transaction).receipt
    assert (receipt.clawed_back_points, receipt.restored_points) == (20, 6)
    assert prove(shop, member).available_points == 100


def test_t11_reversing_other_commands(open_shop: OpenShop) -> None:
    """A reservation, a redemption and an adjustment are undone like a sale: each gives back what it took."""
    shop = open_shop(program(rewards=[discount(40)]))
    member = shop.member()
    added = shop.adjust(member, 100)
    taken = shop.adjust(member, -10)
    held = shop.reserve(member, "discount")
    committed = shop.commit(shop.reserve(member, "discount").hold)
    assert shop.balance(member).available_points == 10
    assert shop.reverse(held.outcome.transaction).receipt.balance.held_points == 0
    assert shop.balance(member).available_points == 50
    with refused("HOLD_RELEASED"):
        shop.commit(held.hold)
    assert shop.reverse(committed.outcome.transaction).receipt.restored_points == 40
    assert shop.reverse(taken.outcome.transaction).receipt.restored_points == 10
    assert prove(shop, member).available_points == 100
    assert shop.reverse(added.outcome.transaction).receipt.clawed_back_points == 100
    assert prove(shop, member).available_points == 0


def test_t11_a_redeemed_reservation(open_shop: OpenShop) -> None:
    """A reservation that was redeemed is undone by reversing the redemption; the refusal says that it was committed."""
    shop = open_shop(program(rewards=[discount(40)]))
    member = shop.member()
    shop.adjust(member, 40)
    reserved = shop.reserve(member, "discount")
    committed = shop.commit(reserved.hold)
    with refused("HOLD_COMMITTED"):
        shop.reverse(reserved.outcome.transaction)
    shop.reverse(committed.outcome.transaction)
    assert prove(shop, member).available_points == 40


@pytest.mark.parametrize("named", ["transaction", "receipt"])
def test_t11_reversing_a_waiting_return(open_shop: OpenShop, named: str) -> None:
    """A return that waits for its sale stops waiting when it is reversed; one that was applied is a return."""
    shop = open_shop(program())
    member = shop.member()
    for is_late in (True, False):
        request = shop.sale_request(member, 10_00, till=1 + is_late)
        waiting = shop.give_back(
            f"transactions/{request.request_id}" if named == "transaction" else "",
            member=member,
            receipt=shop.reference(1 + is_late) if named == "receipt" else None,
        )
        assert waiting.waiting
        if is_late:
            shop.reverse(waiting.outcome.transaction)
            shop.record(request)
            assert prove(shop, member).available_points == 10
        else:
            shop.record(request)
            with refused("NOT_REVERSIBLE", type="SaleReturned"):
                shop.reverse(waiting.outcome.transaction)
            assert prove(shop, member).available_points == 10
