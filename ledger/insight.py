"""Buying insight as the API reads it: see insight.proto. The composition root says which implementation serves it."""

from collections.abc import Iterator
from typing import Final, Protocol

from loyalty.v1 import insight_pb2 as pb

LINES_PER_MESSAGE: Final = 1_000

LINES_BYTES_MAX: Final = 3 * 1024 * 1024
"""Lines of one message: gRPC clients take 4 MiB unless told otherwise, and a line may tell of many offers."""

LINES_MAX: Final = 1_000_000
"""Lines of one answer."""

SLOW_READER_S: Final = 60.0
"""How long whoever reads an answer may take for a part of it: others wait meanwhile."""


class ProgramUnknown(Exception):
    """There is no program of that name."""


class TookTooLong(Exception):
    """A question was not answered in its time, or its answer was not read on."""


class Insight(Protocol):
    """Read access to what members bought.

    Every answer comes in parts and is read at one moment; each step blocks on the database and is made from a worker
    thread. `timeout_s` is for all of it, of which `wait_s` may be spent waiting for min_position. Closing the iterator
    ends the reading.

    Raises, at the first part: ledger.views.ViewBehind, ProgramUnknown; at any: TookTooLong, OverflowError where a sum
    has more than 64 bits.
    """

    def sales(
        self, request: pb.ReadSalesFiguresRequest, wait_s: float, timeout_s: float
    ) -> Iterator[pb.ReadSalesFiguresResponse]:
        """Figures of sales."""

    def offers(
        self, request: pb.ReadOfferFiguresRequest, wait_s: float, timeout_s: float
    ) -> Iterator[pb.ReadOfferFiguresResponse]:
        """Figures of offers."""

    def pairs(self, request: pb.ReadPairsRequest, wait_s: float, timeout_s: float) -> Iterator[pb.ReadPairsResponse]:
        """What is bought together."""

    def won_and_lost(
        self, request: pb.ReadWonAndLostRequest, wait_s: float, timeout_s: float
    ) -> Iterator[pb.ReadWonAndLostResponse]:
        """Members won and lost."""

    def demand(self, request: pb.ReadDemandRequest, wait_s: float, timeout_s: float) -> Iterator[pb.ReadDemandResponse]:
        """Demand by store."""
