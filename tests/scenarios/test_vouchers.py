"""Vouchers: R12 of the scenario book, their lifecycle, and what a till learns of a code."""

from typing import Any

import grpc
import psycopg
import pytest
from loyalty.v1.account_pb2 import IssuedVoucher
from loyalty.v1.commands_pb2 import CommitRewardRequest
from loyalty.v1.expiry_pb2 import CalendarPeriod
from loyalty.v1.program_pb2 import ReturnPolicy
from loyalty.v1.reward_pb2 import Reward

from ledger.domain.code import LENGTH, SYMBOLS, hash_of
from ledger.domain.voucher import CLOSED_KEPT
from tests.conftest import OpenShop
from tests.people import erase
from tests.programs import program, voucher
from tests.proof import prove
from tests.running import ServerProcess, running, token
from tests.shop import Details, Shop, instant, new_id, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def buy(shop: Shop, member: str, reward_id: str = "voucher", quantity: int = 1, **origin: Any) -> list[IssuedVoucher]:
    """Buys vouchers with points."""
    hold = shop.reserve(member, reward_id, quantity, **origin).hold
    return list(shop.commit(hold, **origin).redemption.vouchers)


def rich(shop: Shop, at: str = "2020-06-01T00:00") -> str:
    """A member with 100 points."""
    member = shop.member()
    shop.adjust(member, 100, at=at)
    return member


def with_voucher(open_shop: OpenShop, *rewards: Reward, **fields: Any) -> tuple[Shop, str]:
    """A shop with a voucher for one point, and a member who can pay for it."""
    shop = open_shop(program(rewards=rewards or [voucher()], time_zone="Europe/Berlin", **fields))
    return shop, rich(shop)


def test_r12_a_voucher_starts_later(open_shop: OpenShop) -> None:
    """Bought on 1 July to start after 30 days: usable from 31 July, refused before. Valid for ten days from then on."""
    reward = voucher(start_days=30, validity=CalendarPeriod(days=10))
    shop, member = with_voucher(open_shop, reward)
    (bought,) = buy(shop, member, at="2020-07-01T12:00+02:00")
    assert bought.starts_at == instant("2020-07-31T00:00+02:00")
    assert bought.expires_at == instant("2020-08-11T00:00+02:00")
    with refused("VOUCHER_NOT_STARTED", starts_at="2020-07-30T22:00:00Z"):
        shop.sale(member, 10_00, voucher_codes=[bought.code], at="2020-07-30T23:59:59+02:00")
    used = shop.sale(member, 10_00, voucher_codes=[bought.code], at="2020-07-31T00:00+02:00")
    assert (used.receipt.payable_minor, used.receipt.reward_minor, used.receipt.earned_points) == (9_00, 1_00, 9)
    assert [(one.voucher, one.points, one.value_minor) for one in used.redemptions] == [(bought.name, 0, 1_00)]
    with refused("VOUCHER_USED", voucher=bought.name):
        shop.sale(member, 10_00, voucher_codes=[bought.code], at="2020-07-31T00:01+02:00")
    assert prove(shop, member).available_points == 99 + 9


def test_a_voucher_expires_to_the_instant(open_shop: OpenShop) -> None:
    """Nobody needs to record it; once it is, the event carries the deadline."""
    shop, member = with_voucher(open_shop, voucher(validity=CalendarPeriod(days=1)))
    one, other = buy(shop, member, quantity=2, at="2020-07-01T12:00+02:00")
    shop.sale(member, 10_00, voucher_codes=[one.code], at="2020-07-02T23:59:59+02:00")
    with refused("VOUCHER_EXPIRED", voucher=other.name, expires_at="2020-07-02T22:00:00Z"):
        shop.sale(member, 10_00, voucher_codes=[other.code], at="2020-07-03T00:00+02:00")
    (expired,) = shop.events(member, "VoucherExpired")
    assert expired.voucher_expired.effective_at == instant("2020-07-03T00:00+02:00")
    assert not expired.transaction
    prove(shop, member)


def test_codes_cannot_be_guessed_and_are_in_no_event(open_shop: OpenShop) -> None:
    """80 random bits; a retry is answered with the same code; the log holds its hash only."""
    shop, member = with_voucher(open_shop)
    hold = shop.reserve(member, "voucher", 20).hold
    request_id = new_id()
    first = shop.commit(hold, request_id=request_id)
    again = shop.commit(hold, request_id=request_id)
    (batched,) = shop.batch(CommitRewardRequest(request_id=request_id, origin=shop.origin(), hold=hold))
    codes = [one.code for one in first.redemption.vouchers]
    assert len(set(codes)) == 20
    assert all(len(code.replace("-", "")) == LENGTH for code in codes)
    assert set("".join(codes)) <= {*SYMBOLS, "-"}
    assert [one.code for one in again.redemption.vouchers] == codes
    assert [one.code for one in batched.commit_reward.redemption.vouchers] == codes
    # Typed in lower case, without dashes.
    sale = shop.sale(member, 10_00, voucher_codes=[codes[0].lower().replace("-", " ")])
    events = shop.events(member)
    assert sale.receipt.reward_minor == 1_00
    assert not any(code in str(event) or code.replace("-", "") in str(event) for code in codes for event in events)
    issued = [event.voucher_issued.voucher.code_hash for event in events if event.HasField("voucher_issued")]
    assert issued == [hash_of(code) for code in codes]
    (recorded,) = (event.sale_recorded.request for event in events if event.HasField("sale_recorded"))
    assert list(recorded.voucher_codes) == [hash_of(codes[0])]
    with refused("VOUCHER_NOT_FOUND", NOT_FOUND):
        shop.sale(member, 10_00, voucher_codes=[issued[1]])
    prove(shop, member)


def test_a_till_learns_nothing_of_what_is_not_the_members(open_shop: OpenShop) -> None:
    """Another member's code, used or not, is answered like one that nobody has, and nothing is recorded."""
    shop, member = with_voucher(open_shop)
    other = rich(shop)
    one, used = buy(shop, other, quantity=2)
    shop.sale(other, 10_00, voucher_codes=[used.code])
    head = shop.head()
    for code in (one.code, used.code, "AAAA-AAAA-AAAA-AAAA"):
        for call in (shop.sale, shop.quote):
            with pytest.raises(grpc.RpcError) as error:
                call(member, 10_00, voucher_codes=[code])
            details = Details(error.value)
            assert (details.reason, dict(details.info.metadata)) == ("VOUCHER_NOT_FOUND", {})
    assert not shop.written(head)
    assert shop.quote(other, 10_00, voucher_codes=[one.code]).receipt.payable_minor == 9_00
    assert shop.sale(other, 10_00, voucher_codes=[one.code]).receipt.payable_minor == 9_00


def test_trying_out_codes_is_limited(database_url: str) -> None:
    """Wrong codes make a debt, in sales and in quotes; right ones are free."""
    with running(database_url, LOYALTY_RATE_LOOKUPS_PER_MINUTE="3") as server, server.channel() as channel:
        shop = Shop(channel, token(database_url), program(rewards=[voucher()]))
        member = rich(shop)
        for bought in buy(shop, member, quantity=5):
            shop.sale(member, 10_00, voucher_codes=[bought.code])
        reasons = []
        for number in range(6):
            with pytest.raises(grpc.RpcError) as error:
                (shop.sale if number % 2 else shop.quote)(member, 10_00, voucher_codes=[f"WRONG-{number}"])
            details = Details(error.value)
            reasons.append(details.reason)
        assert reasons[:3] == ["VOUCHER_NOT_FOUND"] * 3
        assert reasons[-1] == "RATE_LIMITED"
        assert "voucher codes" in details.localized.message
        assert shop.sale(member, 10_00).receipt.earned_points == 10


def test_a_manager_takes_a_voucher_back(open_shop: OpenShop) -> None:
    """For good."""
    shop, member = with_voucher(open_shop)
    (bought,) = buy(shop, member)
    shop.revoke(bought.name)
    with refused("VOUCHER_REVOKED", voucher=bought.name):
        shop.sale(member, 10_00, voucher_codes=[bought.code])
    with refused("VOUCHER_REVOKED"):
        shop.revoke(bought.name)
    with refused("VOUCHER_NOT_FOUND", NOT_FOUND):
        shop.revoke(f"{member}/vouchers/{new_id()}")
    prove(shop, member)


@pytest.mark.parametrize("keeps", [False, True])
def test_a_return_gives_a_voucher_back(open_shop: OpenShop, keeps: bool) -> None:
    """Once the whole sale came back, unless the program says otherwise; a reversal always does."""
    shop, member = with_voucher(open_shop, returns=ReturnPolicy(keeps_vouchers=keeps))
    (bought,) = buy(shop, member)
    voided = shop.sale(member, 10_00, voucher_codes=[bought.code]).outcome.transaction
    shop.reverse(voided)
    sale = shop.sale(member, 10_00, voucher_codes=[bought.code]).outcome.transaction
    shop.give_back(sale)
    if keeps:
        with refused("VOUCHER_USED"):
            shop.sale(member, 10_00, voucher_codes=[bought.code])
    else:
        assert shop.sale(member, 10_00, voucher_codes=[bought.code]).receipt.reward_minor == 1_00
    prove(shop, member)


def test_a_gift_card_pays_until_it_is_used_up(open_shop: OpenShop) -> None:
    """A means of payment: what it pays earns points. A return of the whole sale fills it up again."""
    shop, member = with_voucher(open_shop, voucher(value_minor=25_00))
    (card,) = buy(shop, member)
    first = shop.sale(member, 10_00, voucher_codes=[card.code])
    assert (first.receipt.payable_minor, first.receipt.earned_points) == (0, 10)
    second = shop.sale(member, 20_00, voucher_codes=[card.code])
    assert (second.receipt.payable_minor, second.receipt.reward_minor) == (5_00, 15_00)
    with refused("VOUCHER_USED"):
        shop.sale(member, 20_00, voucher_codes=[card.code])
    shop.give_back(second.outcome.transaction)
    assert shop.sale(member, 40_00, voucher_codes=[card.code]).receipt.payable_minor == 25_00
    prove(shop, member)


def test_reversing_the_purchase_takes_the_voucher_back(open_shop: OpenShop) -> None:
    """Unless it was used."""
    shop, member = with_voucher(open_shop)
    committed = shop.commit(shop.reserve(member, "voucher").hold)
    shop.reverse(committed.outcome.transaction)
    with refused("VOUCHER_REVOKED"):
        shop.sale(member, 10_00, voucher_codes=[committed.redemption.vouchers[0].code])
    second = shop.commit(shop.reserve(member, "voucher").hold)
    shop.sale(member, 10_00, voucher_codes=[second.redemption.vouchers[0].code])
    with refused("VOUCHER_USED"):
        shop.reverse(second.outcome.transaction)
    prove(shop, member)


def test_a_sale_can_issue_vouchers(open_shop: OpenShop) -> None:
    """With a hold of one; the code is in its answer."""
    shop, member = with_voucher(open_shop)
    sale = shop.sale(member, 10_00, holds=[shop.reserve(member, "voucher").hold])
    ((issued,),) = (redemption.vouchers for redemption in sale.redemptions)
    assert sale.receipt.payable_minor == 10_00
    assert shop.sale(member, 10_00, voucher_codes=[issued.code]).receipt.payable_minor == 9_00
    prove(shop, member)


def test_uploaded_codes_are_given_out_in_order(open_shop: OpenShop) -> None:
    """As many as there are; a hold that ends gives its code to the next; the log holds hashes only."""
    shop, member = with_voucher(open_shop, voucher(code_pool="cinema"))
    with refused("OUT_OF_STOCK", left=0):
        shop.reserve(member, "voucher")
    request_id = new_id()
    codes = ["CINE-0001", "CINE-0002", "CINE-0003"]
    assert shop.upload_codes("cinema", *codes, request_id=request_id).uploaded == 3
    assert shop.upload_codes("cinema", *codes, request_id=request_id).outcome.replayed
    with refused("REQUEST_ID_REUSED", INVALID, field="codes[2]"):
        shop.upload_codes("cinema", *codes[:2], "CINE-0004", request_id=request_id)
    with refused("CODES_NOT_ACCEPTED", INVALID):
        shop.upload_codes("cinema", "cine 0003", "CINE-0005")
    shop.release(shop.reserve(member, "voucher", 3).hold)
    first = buy(shop, member, quantity=2)
    assert [one.code for one in first] == codes[:2]
    with refused("OUT_OF_STOCK", left=1):
        shop.reserve(member, "voucher", 2)
    assert shop.upload_codes("cinema", "CINE-0006").uploaded == 4
    second = buy(shop, member, quantity=2)
    assert [one.code for one in second] == [codes[2], "CINE-0006"]
    assert shop.sale(member, 10_00, voucher_codes=["cine0002"]).receipt.reward_minor == 1_00
    pool = shop.events(f"{shop.program}/pools/codes/cinema")
    assert "CINE" not in str([*pool, *shop.events(member)])
    prove(shop, member)


def test_a_code_that_was_given_out_is_never_given_out_again(open_shop: OpenShop) -> None:
    """Not even when its purchase is reversed."""
    shop, member = with_voucher(open_shop, voucher(code_pool="cinema"))
    shop.upload_codes("cinema", "CINE-0001", "CINE-0002")
    shop.reverse(shop.commit(shop.reserve(member, "voucher").hold).outcome.transaction)
    (bought,) = buy(shop, member)
    assert bought.code == "CINE-0002"
    with refused("OUT_OF_STOCK", left=0):
        shop.reserve(member, "voucher")
    with refused("PROGRAM_NOT_FOUND", NOT_FOUND):
        shop.upload_codes("cinema", "CINE-0003", program="programs/nobody")
    prove(shop, member)


def test_codes_go_with_the_person(open_shop: OpenShop, server: ServerProcess) -> None:
    """Uploaded or made here, also of vouchers closed so long ago that the account knows them no more; others' stay."""
    rewards = [voucher(), voucher(1, "film", code_pool="cinema")]
    shop = open_shop(program(rewards=rewards))
    member, other = rich(shop), rich(shop)
    names = [f"FILM-{new_id()}" for _ in range(3)]
    shop.upload_codes("cinema", *names)
    codes = [names[0]]
    assert [one.code for one in buy(shop, member, "film")] == codes
    for _ in range(2):
        bought = shop.commit(shop.reserve(member, "voucher", CLOSED_KEPT // 2 + 1).hold)
        codes += [one.code for one in bought.redemption.vouchers]
        shop.reverse(bought.outcome.transaction)
    theirs = [one.code for one in (*buy(shop, other), *buy(shop, other, "film"))]
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        select = "SELECT code FROM voucher_codes WHERE code = ANY (%s)"
        everything = [*codes, *theirs, names[2]]
        assert len(connection.execute(select, (everything,)).fetchall()) == len(everything) > CLOSED_KEPT
        erase(shop, member)
        left = {code for (code,) in connection.execute(select, (everything,))}
    assert left == {*theirs, names[2]}
