"""The ledger's rules once more: slow, plain, and without a line of the ledger's own code.

Amounts are minor units and points whole numbers, worked out with exact fractions; instants are microseconds since 1970.
Written from the contracts (protos) and the design, so that a mistake in the ledger is not repeated here. This file has
the commands; dates.py the calendar, scheme.py what a program says, earning.py what it gives, purse.py an account and
sold.py a sale with its returns.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from tests.model.dates import NEVER, US
from tests.model.earning import Diary, Given, Occasion, earned, shared
from tests.model.purse import Figures, No, Part, Purse, latest_first
from tests.model.scheme import HERE, Award, Line, Place, Rules, worth
from tests.model.sold import Done, Reserved, Settled, Sold, Wait, claims, let_go
from tests.model.undone import undo_activity, undo_settlement


class World:
    """All accounts of one program, and all that ever happened."""

    def __init__(self, rules: Rules, accounts: Iterable[str]) -> None:
        self.rules = rules
        """The version that decides the present command."""
        self.versions = [(0, rules)]
        """From when on which version decides, the newest first."""
        self.everybody = Diary()
        self.purses = {account: Purse(rules) for account in accounts}
        self.done: dict[str, Any] = {}
        """What each request id came to: Sold, Reserved, Done, Wait, what an adjustment
        took and gave, or a text for anything else."""
        self.owner: dict[str, str] = {}
        self.reversed: set[str] = set()
        self.blocked: set[str] = set()
        self.waits: list[Wait] = []

    def carry_out(
        self, request_id: str, at: int, act: Callable[["World"], Figures | None]
    ) -> "tuple[World, Figures | No | None]":
        """The world after a command and what it answers; a refusal leaves nothing but the time that passed."""
        self.rules = next(rules for start, rules in self.versions if start <= at)
        for purse in self.purses.values():
            purse.rules = self.rules
        trial = deepcopy(self)
        try:
            return trial, act(trial)
        except No as no:
            if no.recorded:
                self.owner[request_id] = trial.owner[request_id]
                self.pass_time(self.owner[request_id], at)
            return self, no

    def publish(self, rules: Rules, start: int) -> None:
        """A version that decides from an instant on; 0 for at once, which ends all others."""
        self.versions = [(start, rules), *(self.versions if start else [])]

    # -- commands: each returns the receipt's figures, or raises No

    def sale(
        self,
        request_id: str,
        account: str,
        at: int,
        lines: list[Line],
        *,
        discount: int = 0,
        holds: Sequence[str] = (),
        pay: int | None = None,
        place: Place = HERE,
    ) -> Figures:
        """A sale."""
        self._not_blocked(request_id)
        self.owner[request_id] = account
        self.pass_time(account, at)
        purse, figures = self.purses[account], Figures()
        net = [line.price - line.discount for line in lines]

        def off(amount: int) -> int:
            amount = min(amount, sum(net))
            for index, part in enumerate(shared(amount, list(net))):
                net[index] -= part
            return amount

        if discount:
            off(discount)
        spent: list[Part] = []
        paid = self._use_holds(account, at, holds, net, off, spent, figures)
        payable = sum(net) - paid
        if pay is not None:
            payable -= self._pay(purse, at, pay, payable, spent, figures)
        figures.payable = payable
        awards, given = self._earn(account, at, place, figures, lines=lines, net=net)
        purse.be_active(at)
        counted = self._count(purse, at, points=figures.earned, spend=sum(net), visits=1)
        sold = Sold(
            account,
            {line.line_id: (line.quantity, amount) for line, amount in zip(lines, net, strict=True)},
            awards,
            spent,
            figures.spent,
            counted=counted,
            given=given,
        )
        sold.back = {line.line_id: (0, 0) for line in lines}
        self.done[request_id] = sold
        self._apply_waits(request_id, sold, at, figures)
        return self._shown(account, at, figures)

    def activity(self, request_id: str, account: str, at: int, name: str, place: Place) -> Figures:
        """Something other than a sale."""
        self._not_blocked(request_id)
        self.owner[request_id] = account
        self.pass_time(account, at)
        figures = Figures()
        figures = Figures()
        awards, given = self._earn(account, at, place, figures, activity=name)
        counted = self._count(self.purses[account], at, points=figures.earned)
        self.done[request_id] = Done(account, awards, given, counted)
        return self._shown(account, at, figures)

    def _count(self, purse: Purse, at: int, **amounts: int) -> Any:
        """Counts towards tiers what the program counts; returns where."""
        return purse.status.count(at, amounts.get(self.rules.ladder.policy.basis, 0))

    def _earn(
        self, account: str, at: int, place: Place, figures: Figures, **what: Any
    ) -> tuple[list[Award], list[Given]]:
        """What the rules give, now in lots and in the diary."""
        purse = self.purses[account]
        balance = sum(lot.points for lot in purse.lots) + self._held(account) - purse.owed
        tier = purse.status.tier
        what |= {"everybody": self.everybody, "qualifying": purse.status.shown(at).qualifying}
        known = len(purse.diary.given)
        awards = earned(Occasion(self.rules, purse.diary, at, place, tier, balance, **what))
        purse.issue(awards, at)
        figures.earned = sum(award.points for award in awards)
        figures.awards = tuple(sorted((award.owner, award.points, award.reduced) for award in awards))
        return awards, purse.diary.given[known:]

    def settle(self, request_id: str, account: str, at: int, lot: int, transaction: str, *, activate: bool) -> Figures:
        """What becomes of pending points, of one lot or of all that a sale or activity gave."""
        self._not_blocked(request_id)
        self.owner[request_id] = account
        self.pass_time(account, at)
        done = self.done.get(transaction)
        numbers = {lot} if lot else set()
        if not lot and isinstance(done, Sold | Done) and done.account == account:
            numbers = {award.lot for award in done.awards}
        purse = self.purses[account]
        parts = purse.settle(numbers, at, activate=activate)
        figures = Figures(settled=sum(part.points for part in parts))
        # Of points that are named by their lot nobody knows when they were counted: the newest count no longer.
        counted = done.counted if not lot and isinstance(done, Sold | Done) else None
        if not activate and self.rules.ladder.policy.basis == "points":
            purse.status.count(at, -figures.settled, counted)
        self.done[request_id] = Settled(parts, activate, counted)
        return self._shown(account, at, figures)

    def _use_holds(
        self,
        account: str,
        at: int,
        holds: Sequence[str],
        net: list[int],
        off: Callable[[int], int],
        spent: list[Part],
        figures: Figures,
    ) -> int:
        """Discounts first, then cashback; returns what cashback paid."""
        purse, paid = self.purses[account], 0
        used = [self._open(name, account) for name in holds]
        for hold in sorted(used, key=lambda hold: hold.prize.cashback):
            if hold.prize.cashback:
                value = hold.prize.value * hold.quantity
                if value > sum(net) - paid:
                    raise No("REWARD_NOT_APPLICABLE")
                paid += value
            else:
                value = sum(off(worth(hold.prize, sum(net))) for _ in range(hold.quantity))
            hold.state = "COMMITTED"
            spent += hold.parts
            figures.reward += value
            figures.spent += hold.points
            purse.flow -= hold.points
            purse.be_active(at)
        return paid

    def _pay(self, purse: Purse, at: int, pay: int, payable: int, spent: list[Part], figures: Figures) -> int:
        """Pays with points; returns what they paid."""
        step = next(prize for prize in self.rules.prizes if prize.cashback)
        if pay % step.cost:
            raise No("REWARD_NOT_APPLICABLE")
        wanted = pay or max(purse.available(at), 0)
        steps = min(wanted // step.cost, payable // step.value)
        if not steps:
            return 0
        spent += purse.spend(steps * step.cost, at)
        figures.reward += steps * step.value
        figures.spent += steps * step.cost
        purse.flow -= steps * step.cost
        purse.be_active(at)
        return steps * step.value

    def _apply_waits(self, request_id: str, sold: Sold, at: int, figures: Figures) -> None:
        """Returns that came before their sale."""
        for wait in list(self.waits):
            if wait.sale == request_id and wait.account == sold.account:
                try:
                    self._return(sold, wait.lines, at, figures)
                except No:
                    continue
                self.waits.remove(wait)

    def give_back(
        self,
        request_id: str,
        account: str | None,
        at: int,
        sale: str,
        lines: list[tuple[str, int | None, int | None]],
    ) -> Figures | None:
        """A return; None when it waits."""
        self._not_blocked(request_id)
        account = account or self.owner.get(sale)
        if account is None:
            raise No("TRANSACTION_NOT_FOUND", recorded=False)
        sold = self.done.get(sale)
        if sold is not None and not isinstance(sold, Sold):
            raise No("TRANSACTION_NOT_FOUND", recorded=False)
        if sold is None and (sale in self.blocked or sale in self.owner):
            raise No("TRANSACTION_NOT_FOUND", recorded=False)
        self.pass_time(account, at)
        self.owner[request_id] = account
        if sold is None:
            if not self.rules.returns_wait:
                raise No("SALE_NOT_FOUND")
            wait = Wait(request_id, account, sale, lines)
            self.waits.append(wait)
            self.done[request_id] = wait
            return self._shown(account, at, Figures())
        if sold.account != account:
            raise No("SALE_OF_OTHER_MEMBER")
        if sold.reversed:
            raise No("ALREADY_REVERSED")
        figures = Figures()
        self._return(sold, lines, at, figures)
        self.done[request_id] = "return"
        return self._shown(account, at, figures)

    def _return(self, sold: Sold, asked: list[tuple[str, int | None, int | None]], at: int, figures: Figures) -> None:
        if sold.complete:
            raise No("RETURN_EXCEEDS_SALE")
        back = dict(sold.back)
        wanted = dict(sold.lines) if not asked else None

        def come_back() -> None:
            if wanted is not None:
                sold.back = wanted
            for line_id, quantity, amount in asked:
                sold.give_back(line_id, quantity, amount)

        try:
            self._move(sold, come_back, at, figures)
        except No:
            sold.back = back
            raise

    def _move(self, sold: Sold, come_back: Callable[[], None], at: int, figures: Figures) -> None:
        """Takes and gives what becomes due when something comes back."""
        purse = self.purses[sold.account]
        before, spent_before = sold.due(purse.cancelled, purse.absorbed), sold.due_spent()
        money_before, was_complete = sold.money_back, sold.complete
        come_back()
        after = sold.due(purse.cancelled, purse.absorbed)
        points = max(sum(after.values()) - sold.taken, 0)
        sold.taken += points
        parts = latest_first(sold.spent, spent_before, sold.due_spent() - spent_before)
        shortfall = figures.shortfall
        purse.absorbed.update(sold.absorbed)
        purse.give_and_take(parts, claims(before, after, points), at, figures)
        if sold.counted is not None:
            amounts = {
                "points": points,
                "spend": sold.money_back - money_before,
                "visits": int(sold.complete and not was_complete),
            }
            purse.status.count(at, -amounts[self.rules.ladder.policy.basis], sold.counted)
        sold.forgiven += figures.shortfall - shortfall
        let_go(sold.given, {award.owner: sold.part_of(award) for award in sold.awards}, sold.forgiven, sold.part_back)

    def reserve(self, request_id: str, account: str, at: int, reward_id: str, quantity: int) -> Figures:
        """A hold."""
        self._not_blocked(request_id)
        prize = next((prize for prize in self.rules.prizes if prize.reward_id == reward_id), None)
        if prize is None:
            raise No("REWARD_NOT_FOUND", recorded=False)
        self.pass_time(account, at)
        self.owner[request_id] = account
        parts = self.purses[account].spend(prize.cost * quantity, at)
        ends = at + self.rules.hold_seconds * US
        self.done[request_id] = Reserved(account, prize, quantity, parts, ends)
        return self._shown(account, at, Figures())

    def commit(self, request_id: str, account: str, at: int, hold_id: str) -> Figures:
        """Redeems a hold."""
        self._not_blocked(request_id)
        self._known_hold(hold_id, account)
        self.pass_time(account, at)
        self.owner[request_id] = account
        hold = self._open(hold_id, account)
        hold.state = "COMMITTED"
        purse = self.purses[account]
        purse.flow -= hold.points
        purse.be_active(at)
        self.done[request_id] = list(hold.parts)
        return self._shown(account, at, Figures(spent=hold.points))

    def release(self, request_id: str, account: str, at: int, hold_id: str) -> Figures:
        """Gives a hold's points back."""
        self._not_blocked(request_id)
        self._known_hold(hold_id, account)
        self.pass_time(account, at)
        self.owner[request_id] = account
        self._end(self._open(hold_id, account), "RELEASED")
        self.done[request_id] = "release"
        return self._shown(account, at, Figures())

    def adjust(self, request_id: str, account: str, at: int, points: int) -> Figures:
        """Points by hand."""
        self._not_blocked(request_id)
        self.pass_time(account, at)
        self.owner[request_id] = account
        purse = self.purses[account]
        if points > 0:
            self.done[request_id] = ({purse.add(points, at): points}, [])
        else:
            parts = purse.spend(-points, at)
            purse.flow += points
            self.done[request_id] = ({}, parts)
        return self._shown(account, at, Figures())

    def pin(self, request_id: str, account: str, at: int, tier: str) -> Figures:
        """A tier by hand."""
        self._not_blocked(request_id)
        if tier and tier not in [name for name, *_ in self.rules.ladder.tiers]:
            raise No("TIER_NOT_FOUND", recorded=False)
        self.owner[request_id] = account
        self.pass_time(account, at)
        self.purses[account].status.pin(at, tier)
        self.done[request_id] = "pin"
        return self._shown(account, at, Figures())

    def extend(self, request_id: str, account: str, at: int, lot: int, until: int) -> Figures:
        """Points that expire later."""
        self._not_blocked(request_id)
        self.owner[request_id] = account
        self.pass_time(account, at)
        figures = Figures(settled=self.purses[account].extend(lot, until, at))
        self.done[request_id] = "extension"
        return self._shown(account, at, figures)

    def reinstate(self, request_id: str, account: str, at: int, points: int, until: int | None) -> Figures:
        """Expired points that come back."""
        self._not_blocked(request_id)
        self.owner[request_id] = account
        self.pass_time(account, at)
        self.purses[account].reinstate(points, until, at)
        self.done[request_id] = "reinstatement"
        return self._shown(account, at, Figures())

    def reverse(self, request_id: str, at: int, target: str) -> Figures | None:
        """Undoes a command; None when it is not known and therefore blocked."""
        self._not_blocked(request_id)
        if target in self.blocked:
            raise No("ALREADY_REVERSED", recorded=False)
        if self.done.get(target) == "block":
            raise No("NOT_REVERSIBLE", recorded=False)
        if target not in self.owner:
            self.blocked.add(target)
            self.done[request_id] = "block"
            return None
        account = self.owner[target]
        self.pass_time(account, at)
        self.owner[request_id] = account
        if target in self.reversed:
            raise No("ALREADY_REVERSED")
        figures = Figures()
        self._undo(self.purses[account], self.done.get(target), at, figures)
        self.reversed.add(target)
        self.done[request_id] = "reversal"
        return self._shown(account, at, figures)

    def _undo(self, purse: Purse, done: Any, at: int, figures: Figures) -> None:
        if done is None:
            return  # it was refused: nothing to undo
        match done:
            case Sold():

                def come_back() -> None:
                    done.back = dict(done.lines)

                self._move(done, come_back, at, figures)
                done.reversed = True
            case Done():
                undo_activity(purse, done, at, figures)
            case Settled():
                undo_settlement(purse, done, at, figures)
            case list():
                purse.give_and_take(done, {}, at, figures)
            case (claimed, parts):
                purse.give_and_take(parts, claimed, at, figures)
            case Reserved():
                self._undo_hold(done)
            case Wait() if done in self.waits:
                self.waits.remove(done)
            case _:
                raise No("NOT_REVERSIBLE")

    def _undo_hold(self, hold: Reserved) -> None:
        if hold.state == "COMMITTED":
            raise No("HOLD_COMMITTED")
        if hold.state == "OPEN":
            self._end(hold, "RELEASED")

    # -- time

    def pass_time(self, account: str, at: int) -> None:
        """Lets holds and points run out."""
        purse = self.purses[account]
        purse.status.pass_time(at)
        for hold in self.done.values():
            if isinstance(hold, Reserved) and hold.account == account and hold.state == "OPEN" and hold.ends <= at:
                self._end(hold, "EXPIRED")
        expired = sum(lot.points for lot in purse.lots if lot.gone <= at)
        purse.flow -= expired
        purse.expired += expired
        purse.lots = [lot for lot in purse.lots if lot.gone > at]

    def look(self, account: str, at: int) -> Figures:
        """What there is of an account at an instant up to which it has not been touched."""
        self.pass_time(account, at)
        return self._shown(account, at, Figures())

    # -- helpers

    def _not_blocked(self, request_id: str) -> None:
        if request_id in self.blocked:
            raise No("REVERSED_BEFORE_ARRIVAL", recorded=False)

    def _known_hold(self, hold_id: str, account: str) -> Reserved:
        hold = self.done.get(hold_id)
        if not isinstance(hold, Reserved) or hold.account != account:
            raise No("HOLD_NOT_FOUND", recorded=False)
        return hold

    def _open(self, hold_id: str, account: str) -> Reserved:
        hold = self._known_hold(hold_id, account)
        if hold.state != "OPEN":
            raise No(f"HOLD_{hold.state}")
        return hold

    def _end(self, hold: Reserved, state: str) -> None:
        hold.state = state
        for part in hold.parts:
            self.purses[hold.account].put(part)
        self.purses[hold.account].sort()

    def _held(self, account: str) -> int:
        """Points that open holds keep."""
        return sum(
            hold.points
            for hold in self.done.values()
            if isinstance(hold, Reserved) and hold.account == account and hold.state == "OPEN"
        )

    def _shown(self, account: str, at: int, figures: Figures) -> Figures:
        purse = self.purses[account]
        figures.available = purse.available(at)
        figures.pending = sum(lot.points for lot in purse.lots if lot.active > at)
        figures.held = self._held(account)
        dated = [lot for lot in purse.active(at) if lot.gone != NEVER]
        if dated:
            figures.next_at = min(lot.gone for lot in dated)
            figures.next_points = sum(lot.points for lot in dated if lot.gone == figures.next_at)
        figures.tier = purse.status.shown(at)
        total = sum(lot.points for lot in purse.lots) + figures.held - purse.owed
        if total != purse.flow:
            raise AssertionError(f"the model loses points: {purse.flow} came in, {total} are there")
        return figures
