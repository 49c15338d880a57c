"""All projections, by name."""

from collections.abc import Mapping
from typing import Final

from projections.audit_trail import AuditTrail
from projections.balances import Balances
from projections.liability import Liability
from projections.projection import Projection
from projections.rewards import Rewards
from projections.sales import Sales
from projections.statements import Statements
from projections.tiers import Tiers
from projections.trial_balance import TrialBalance

PROJECTIONS: Final[Mapping[str, Projection]] = {
    projection.name: projection
    for projection in (Balances(), Liability(), Rewards(), Sales(), Statements(), Tiers(), TrialBalance(), AuditTrail())
}
