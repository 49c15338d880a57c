"""The till's receipt number as one key: the second guard against a receipt that is sent twice."""

from loyalty.v1.commands_pb2 import SaleReference
from loyalty.v1.origin_pb2 import Origin


def sale_reference(program: str, receipt: Origin | SaleReference) -> str:
    """The key of a receipt within all programs.

    The length of the store's id makes it unambiguous, whatever characters ids have.
    """
    till = receipt.till
    store = receipt.store
    return f"{program}|{till.business_date}|{till.sequence}|{len(store)}|{store}|{receipt.terminal}"
