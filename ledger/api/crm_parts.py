"""What CrmService is made of: its dependencies, and the class that each part of it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass

from loyalty.v1.crm_service_pb2_grpc import CrmServiceServicer

from ledger.api.dispatch import Dispatch
from ledger.api.noter import Noter
from ledger.export.person import PersonExport
from ledger.insight import Insight
from ledger.member_views import MemberViews
from ledger.person_views import People
from ledger.segment_views import Previews, SegmentViews
from ledger.store.consumers import Consumers
from ledger.store.feedback_links import FeedbackLinks
from ledger.store.profiles import Profiles
from ledger.store.programs import Programs
from ledger.value.reading import Values
from ledger.views import ChangeReader, EventReader, Views
from ledger.writer.writer import Clock


@dataclass(frozen=True, slots=True)
class CrmParts:
    """What CrmService is made of."""

    dispatch: Dispatch
    noter: Noter
    programs: Programs
    reader: EventReader
    views: Views
    members: MemberViews
    profiles: Profiles
    people: People
    person_export: PersonExport
    feedback_links: FeedbackLinks
    segments: SegmentViews
    previews: Previews
    fact_kinds: Mapping[str, str]
    """The facts that expressions of segments may name, and their kinds."""
    values: Values
    insight: Insight
    changes: ChangeReader
    consumers: Consumers


class CrmPart(CrmServiceServicer):
    """A part of CrmService."""

    def __init__(self, parts: CrmParts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock
