"""Why a rule or promotion gives nothing."""

from enum import Enum, auto


class Unmet(Enum):
    """What keeps a rule or promotion from giving points."""

    STORE = auto()
    CHANNEL = auto()
    TIER = auto()
    TENDER = auto()
    WINDOW = auto()
    EXPRESSION = auto()
    MINIMUM = auto()
    """The basket comes to less than it asks for."""
    LINES = auto()
    """No line that it is for counts."""
    STEP = auto()
    """What counts is too little for a point."""
    NO_BASE = auto()
    """A promotion gives nothing where no rule does."""
    STOPPED = auto()
    """One before it left it out."""
    WORSE = auto()
    """Another gives more, and only the best counts."""
    LIMIT = auto()
    OCCASION = auto()
    """It is for activities and this is a sale, or the other way round, or for another activity."""
    UNKNOWN = auto()
    """What the member had at that moment decided, and is not worked out again."""
