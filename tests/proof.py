"""Proof of a member's balance from their events: it adds up, and the views show the same."""

from collections.abc import Iterator
from uuid import UUID

from loyalty.v1.account_pb2 import Balance
from loyalty.v1.events_pb2 import PointsExpired
from loyalty.v1.program_service_pb2 import GetProgramRequest

from ledger.domain.account import Account
from ledger.domain.case import Case
from ledger.domain.decide import settle_account
from ledger.domain.instant import FOREVER, from_timestamp, to_timestamp
from ledger.domain.names import last_id
from ledger.domain.program import Program
from tests.shop import TIMEOUT_S, Shop
