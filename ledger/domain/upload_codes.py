"""Uploading codes for vouchers that the server does not make itself."""

from typing import Final
from uuid import UUID

from loyalty.v1.commands_pb2 import UploadVoucherCodesRequest
from loyalty.v1.errors_pb2 import ErrorReason
from loyalty.v1.events_pb2 import VoucherCodesUploaded
from loyalty.v1.origin_pb2 import Origin

from ledger.domain.new_event import NewEvent
from ledger.domain.pool import Pools
from ledger.domain.refusal import Rejected
from ledger.domain.rules.reward import codes_key

WAITING_MAX: Final = 100_000
"""Codes of one pool that were not given out yet."""


def upload_codes(request: UploadVoucherCodesRequest, request_id: UUID, origin: Origin, pools: Pools) -> NewEvent:
    """Decides an upload; the request has the codes' hashes. Raises Rejected when one of them waits already."""
    key = codes_key(request.code_pool)
    pool = pools.pool(key)
    left = WAITING_MAX - len(pool.codes)
    if len(request.codes) > left or not set(pool.codes).isdisjoint(request.codes):
        raise Rejected(ErrorReason.ERROR_REASON_CODES_NOT_ACCEPTED, left=left)
    event = VoucherCodesUploaded(origin=origin, request=request, pool=key, uploaded=pool.uploaded + len(request.codes))
    pool = pools.apply(key, event)
    return NewEvent(pool.stream_id, pool.version, event, request_id, None, None)
