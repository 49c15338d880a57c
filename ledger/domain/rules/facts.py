"""Facts: what rules and their conditions look at for one sale or activity."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

import cel
from loyalty.v1.events_pb2 import ConditionFailure
from loyalty.v1.origin_pb2 import Channel, Origin
from loyalty.v1.sale_pb2 import LineKind, SaleLine, TenderKind

from ledger.domain.account import Account
from ledger.domain.basket import Basket
from ledger.domain.ladder import Ladder
from ledger.domain.member_profile import MemberProfile

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Facts:
    """One sale or activity of one member, at an instant and a place."""

    def __init__(
        self,
        account: Account,
        origin: Origin,
        at: int,
        zone: ZoneInfo,
        *,
        basket: Basket | None = None,
        names: frozenset[str] = frozenset(),
        activity: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """`zone` is the store's; `names` are the variables that any expression of the program names."""
        self.account = account
        self.origin = origin
        self.at = at
        self.basket = basket
        self.activity = activity
        self.channel = origin.channel or Channel.CHANNEL_STORE
        self.failures: list[ConditionFailure] = []
        self._of_lines: dict[str, tuple[cel.Context, set[str]]] = {}
        self._zone = zone
        self._names = names
        self.attributes: Mapping[str, str] = attributes or {}
        self.profile: MemberProfile | None = None
        """The member as a person, for expressions that ask for attributes."""
        self.segments: Sequence[str] | None = None
        """The segments that the member is in, for expressions that ask for them."""
        self.ladder: Ladder | None = None
        """The program's tiers, for expressions that look at what counts towards them."""

    @property
    def qualifying_amount(self) -> int:
        """What counts towards tiers."""
        account = self.account
        return self.ladder.amount(account.tier, account.standing, self.at) if self.ladder is not None else 0

    @cached_property
    def local(self) -> datetime:
        """The store's clock, without its zone: what windows are compared with."""
        return (EPOCH + timedelta(microseconds=self.at)).astimezone(self._zone).replace(tzinfo=None)

    @cached_property
    def context(self) -> "cel.Context":
        """All that expressions can name. Made once for all of them, since making it costs more than evaluating one."""
        return cel.Context({name: VARIABLES[name](self) for name in self._names if name in VARIABLES})

    def context_of_line(self, line: SaleLine, names: frozenset[str]) -> "cel.Context":
        """What the expression of a line filter can name. Made once for each line, since making it costs most."""
        context, known = self._of_lines.get(line.line_id) or self._start_line(line)
        for name in names - known:
            context.add_variable(name, VARIABLES[name](self))
            known.add(name)
        return context

    def basket_changed(self) -> None:
        """Discounts have come off the basket: what expressions saw of it is made anew."""
        self.__dict__.pop("context", None)
        self._of_lines.clear()

    def _start_line(self, line: SaleLine) -> "tuple[cel.Context, set[str]]":
        context = cel.Context({"line": line_variable(line)})
        started = self._of_lines[line.line_id] = (context, set())
        return started


def line_variable(line: SaleLine) -> dict[str, Any]:
    """A sale line as expressions see it."""
    return {
        "sku": line.sku,
        "quantity": line.quantity if line.HasField("quantity") else 1,
        "price_minor": line.price_minor,
        "discount_minor": line.discount_minor,
        "kind": LineKind.Name(line.kind or LineKind.LINE_KIND_PRODUCT).removeprefix("LINE_KIND_").lower(),
        "category": line.category,
        "brand": line.brand,
        "labels": list(line.labels),
    }


def _attributes(facts: Facts) -> dict[str, str]:
    return dict(facts.attributes)


def _member(facts: Facts) -> dict[str, Any]:
    account = facts.account
    member: dict[str, Any] = {
        "id": str(account.account_id),
        "available_points": account.available(facts.at),
        "qualifying_amount": facts.qualifying_amount,
    }
    if facts.profile is not None:
        member["attributes"] = facts.profile.values
    if facts.segments is not None:
        member["segments"] = facts.segments
    return member


def _sale(facts: Facts) -> dict[str, Any]:
    basket = facts.basket
    if basket is None:
        return {"is_sale": False, "total_minor": 0, "before_discount_minor": 0, "line_count": 0, "tenders": []}
    return {
        "is_sale": True,
        "total_minor": basket.total,
        "before_discount_minor": sum(line.price_minor for line in basket.lines),
        "line_count": len(basket.lines),
        "tenders": sorted(_tender(kind) for kind in basket.tenders),
    }


def _tender(kind: int) -> str:
    return TenderKind.Name(kind).removeprefix("TENDER_KIND_").lower()  # type: ignore[arg-type]  # a kind from a message


def _clock(facts: Facts) -> dict[str, Any]:
    local = facts.local
    return {
        "date": local.date().isoformat(),
        "year": local.year,
        "month": local.month,
        "day": local.day,
        "weekday": local.isoweekday(),
        "hour": local.hour,
        "minute": local.minute,
    }


VARIABLES: Final[Mapping[str, Callable[[Facts], Any]]] = {
    "member": _member,
    "tier": lambda facts: facts.account.tier,
    "attributes": _attributes,
    "sale": _sale,
    "lines": lambda facts: [line_variable(line) for line in facts.basket.lines] if facts.basket else [],
    "store": lambda facts: facts.origin.store,
    "terminal": lambda facts: facts.origin.terminal,
    "channel": lambda facts: Channel.Name(facts.channel).removeprefix("CHANNEL_").lower(),
    "clock": _clock,
    "activity": lambda facts: facts.activity,
}
"""What expressions can name; besides these, a line filter's has `line`."""
