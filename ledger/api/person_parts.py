"""What the parts of CrmService read about people."""

from typing import NamedTuple

from ledger.export.person import PersonExport
from ledger.person_views import People
from ledger.store.feedback_links import FeedbackLinks
from ledger.store.profiles import Profiles


class PersonParts(NamedTuple):
    """Where consents, feedback and profiles are read."""

    views: People
    profiles: Profiles
    links: FeedbackLinks
    export: PersonExport
