"""The year in the ledger: receipts and lots from the events, balances, expiries and tiers from the views."""

import time
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.account_pb2 import Lot
from loyalty.v1.audit_service_pb2 import ReadEventsRequest
from loyalty.v1.events_pb2 import Event
from loyalty.v1.pos_service_pb2 import GetBalanceResponse

from ledger.demo.client import Client
from ledger.demo.failure import DemoFailed
from ledger.demo.grocery_year import GroceryYear
from ledger.demo.loader import LANES, enroll
from ledger.demo.own_server import Endpoint
from ledger.demo.reconciliation import EVENTS_PER_MESSAGE, read_balances
from tests.model.answers import on_receipt, shown
from tests.model.dates import NEVER
from tests.year.sheet import Issued, Sheet

PATIENCE_S: Final = 900.0
"""How long it is read on while the ledger records deadlines."""


class Restless(DemoFailed):
    """The ledger records something whenever it is read."""


class CameTooLate(DemoFailed):
    """Sales came when points of their time had been recorded as expired, which no later sale undoes."""


async def by_ledger(endpoint: Endpoint, baskets: int | None, program: str) -> tuple[Sheet, int]:
    """All figures of the households of the first baskets, and the instant that they are for.

    That is the latest one that anything is recorded of: deadlines behind it may have passed without a trace.
    """
    async with Client(endpoint.address, endpoint.token) as client:
        with GroceryYear(baskets, lanes=LANES) as year:
            enrolled = await enroll(client, year.households(), program)
        members = {member: f"household {household}" for household, member in enrolled.items()}
        reading = Reading(members)
        give_up_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_at:
            await reading.go_on(client)
            as_of = Timestamp()
            as_of.FromMicroseconds(reading.at)
            balances = await read_balances(client, members, reading.position, as_of)
            if all(balance.position == reading.position for balance in balances.values()):
                for member, balance in balances.items():
                    reading.end(members[member], balance)
                return reading.sheet, reading.at
    raise Restless("the ledger goes on recording deadlines: run it again later")


class Reading:
    """What was read so far."""

    def __init__(self, members: dict[str, str]) -> None:
        self.sheet = Sheet()
        self.at = 0
        """The latest instant that anything is recorded of."""
        self.position = 0
        self._members = members
        self._expired_at: dict[str, int] = {}

    async def go_on(self, client: Client) -> None:
        """Reads what is recorded behind the position."""
        request = ReadEventsRequest(
            after_position=self.position,
            types=["SaleRecorded", "PointsExpired", "TierChanged"],
            batch_size=EVENTS_PER_MESSAGE,
        )
        async for page in client.audit.ReadEvents(request, metadata=client.metadata):
            self.position = page.position
            for event in page.events:
                if event.subject in self._members:
                    self.take(event, self._members[event.subject])

    def take(self, event: Event, household: str) -> None:
        """Takes down what an event says of a household."""
        if not event.HasField("sale_recorded"):
            message = event.points_expired if event.HasField("points_expired") else event.tier_changed
            self._expired_at[household] = message.effective_at.ToMicroseconds()
            self.at = max(self.at, self._expired_at[household])
            return
        sale, sheet = event.sale_recorded, self.sheet
        sold_at = sale.origin.occurred_at.ToMicroseconds()
        if sold_at < self._expired_at.get(household, 0):
            raise CameTooLate(
                f"a sale of {household} came when later deadlines had been recorded, because the load was interrupted"
                " or took very long: load anew, into another --data-dir"
            )
        self.at = max(self.at, sold_at)
        receipt = on_receipt(sale)
        sheet.receipts[f"{household}, basket {sale.origin.till.sequence}"] = receipt
        sheet.issued[household] = sheet.issued.get(household, 0) + receipt.earned
        for lot in sale.lots:
            if lot.points:
                sheet.lots[f"{household}, lot {lot.number}"] = _issued(lot)

    def end(self, household: str, view: GetBalanceResponse) -> None:
        """What a household has in the end."""
        sheet, balance = self.sheet, view.balance
        sheet.available[household] = balance.available_points
        sheet.pending[household] = balance.pending_points
        sheet.tiers[household] = shown(view.tier)
        for expiry in view.expiry_schedule:
            sheet.expiring[f"{household}, at {expiry.expires_at.ToMicroseconds()}"] = expiry.points


def _issued(lot: Lot) -> Issued:
    active = NEVER if lot.waits else lot.activates_at.ToMicroseconds()
    return Issued(lot.points, active, lot.expires_at.ToMicroseconds() if lot.HasField("expires_at") else NEVER)
