"""Refusals: outcomes that a rule of the business decides, recorded and repeated like any other outcome."""

from loyalty.v1.errors_pb2 import ErrorReason


class Refused(Exception):
    """A command that the state of the account or the program does not allow.

    `metadata` holds the dynamic parts of the message, by the names that the reason's comment in errors.proto gives.
    """

    def __init__(self, reason: ErrorReason.ValueType, **metadata: str | int) -> None:
        super().__init__(ErrorReason.Name(reason))
        self.reason = reason
        self.metadata = {name: str(value) for name, value in metadata.items()}


class Rejected(Exception):
    """A command that cannot be decided, because it names something that does not exist or contradicts itself.

    Nothing is recorded, so that the same command may succeed later.
    """

    def __init__(self, reason: ErrorReason.ValueType, **metadata: str | int) -> None:
        super().__init__(ErrorReason.Name(reason))
        self.reason = reason
        self.metadata = {name: str(value) for name, value in metadata.items()}


class InvariantBroken(Exception):
    """State and events contradict each other: a defect or damaged data, never a member's fault."""
