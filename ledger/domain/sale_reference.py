"""The till's receipt number as one key: the second guard against a receipt that is sent twice."""

from loyalty.v1.commands_pb2 import SaleReference
from loyalty.v1.origin_pb2 import Origin


def sale_reference(program: str, receipt: Origin | SaleReference) -> str:
    """The key of a receipt within all programs."""
    till = receipt.till
    return f"{program}|{receipt.store}|{receipt.terminal}|{till.business_date}|{till.sequence}"
