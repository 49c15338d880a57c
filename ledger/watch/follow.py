"""Following the feed with a copy: from the place that the copy knows, for as long as it goes."""

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import grpc
from loyalty.v1.crm_service_pb2 import WatchChangesRequest
from loyalty.v1.crm_service_pb2_grpc import CrmServiceStub
from loyalty.v1.feed_pb2 import AcknowledgeChangesRequest, CreateConsumerRequest

from ledger.watch.copy import SqliteCopy

CALL_TIMEOUT_S: Final = 30.0

ACKNOWLEDGE_EVERY_S: Final = 1.0
"""The server is told how far the copy is for its lists and metrics alone; the copy itself knows better."""

RETRY_S: Final = 1.0
"""After the server was away, or ended a stream because its connection was old."""

SUPPORTED_SCHEMA: Final = 1


class Wanted(NamedTuple):
    """What of the feed a consumer follows, and under which name."""

    consumer_id: str
    program: str = ""
    types: Sequence[str] = ()
    batch_size: int = 0


class SchemaUnknown(Exception):
    """The feed has a newer schema than this consumer can read."""


class Follower:
    """A consumer with a name."""

    def __init__(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]], wanted: Wanted) -> None:
        self._crm = CrmServiceStub(channel)
        self._metadata = tuple(metadata)
        self._wanted = wanted
        self._name = f"consumers/{wanted.consumer_id}"

    def follow(self, copy: SqliteCopy, *, until_head: bool = False) -> None:
        """Brings a copy up to date, and keeps it so until the process ends; or with `until_head` only the former.

        Raises grpc.RpcError for whatever does not pass by itself, and SchemaUnknown.
        """
        while True:
            try:
                self._register(copy)
                self._stream(copy, until_head=until_head)
            except grpc.RpcError as error:
                if until_head or _code(error) is not grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(RETRY_S)
                continue
            return

    def _register(self, copy: SqliteCopy) -> None:
        """Makes the consumer where there is none, and has both sides begin anew where one of them does.

        A consumer whose copy is new begins anew, wherever it was; so does the copy of a consumer that was reset to 0.
        """
        request = CreateConsumerRequest(
            consumer_id=self._wanted.consumer_id, program=self._wanted.program, types=self._wanted.types
        )
        known = self._crm.CreateConsumer(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        place = copy.place()
        copy.keep_filter(known.consumer.program, known.consumer.types)
        if place.log_id not in ("", known.log_id):
            return  # which the stream refuses: what is there stays as it is
        if known.consumer.position and not place.position:
            self._acknowledge(known.log_id, 0, reset=True)
        elif place.position and not known.consumer.position:
            if known.consumer.HasField("seen_at"):
                copy.clear()
            else:  # it was made just now
                self._acknowledge(known.log_id, place.position)

    def _stream(self, copy: SqliteCopy, *, until_head: bool) -> None:
        """One stream, to its end or the log's."""
        place = copy.place()
        request = WatchChangesRequest(
            consumer=self._name,
            log_id=place.log_id,
            after_position=place.position,
            snapshot_page_token=place.snapshot_page_token,
            batch_size=self._wanted.batch_size,
        )
        stream: Any = self._crm.WatchChanges(request, metadata=self._metadata)
        acknowledged = time.monotonic()
        try:
            for message in stream:
                if message.schema_version > SUPPORTED_SCHEMA:
                    raise SchemaUnknown(f"the feed has schema {message.schema_version}: use a newer release")
                if message.position and not place.position:
                    # Before the copy has a position, so that a server which knows of none was reset.
                    self._acknowledge(message.log_id, message.position)
                copy.apply(message)
                place = copy.place()
                at_head = message.position >= message.head_position
                if message.position and (at_head or time.monotonic() - acknowledged > ACKNOWLEDGE_EVERY_S):
                    self._acknowledge(message.log_id, message.position)
                    acknowledged = time.monotonic()
                if until_head and at_head:
                    return
        finally:
            stream.cancel()

    def _acknowledge(self, log_id: str, position: int, *, reset: bool = False) -> None:
        request = AcknowledgeChangesRequest(consumer=self._name, log_id=log_id, position=position, reset=reset)
        self._crm.AcknowledgeChanges(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)


def _code(error: Any) -> grpc.StatusCode:  # a grpc.RpcError is a grpc.Call too, which its types deny
    code: grpc.StatusCode = error.code()
    return code
