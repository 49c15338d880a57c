"""Resource names.

They are members/{member}, programs/{program}, transactions/{request_id}, and those of what belongs to one of them, such
as members/{member}/holds/{hold}.
"""

from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

REWARD_KEY: Final = "reward/"
"""What the key of a reward begins with; the ids of rules, promotions and caps have no slash."""


def member_name(member_id: UUID) -> str:
    """The name members/{member}."""
    return f"members/{member_id}"


def transaction_name(request_id: UUID | str) -> str:
    """The name transactions/{request_id}."""
    return f"transactions/{request_id}"


def hold_name(member_id: UUID, hold_id: str) -> str:
    """The name members/{member}/holds/{hold}. A hold's id is the request id of its reservation."""
    return f"members/{member_id}/holds/{hold_id}"


def reward_key(reward_id: str) -> str:
    """The owner reward/{reward} of what a reward takes of limits and stock, or gives as an award of a sale."""
    return f"{REWARD_KEY}{reward_id}"


def last_id(name: str) -> UUID:
    """The id at the end of a checked name."""
    return UUID(int=int(name[-36:].replace("-", ""), 16))


def member_of(name: str) -> UUID:
    """The member in the checked name of what is theirs."""
    return UUID(name[8:44])


def program_stream(name: str) -> UUID:
    """The id of a program's stream of events."""
    return uuid5(NAMESPACE_URL, f"loyalty:{name}")


def pool_stream(program: str, key: str) -> UUID:
    """The id of the stream of a pool: of a limit of all members together, or of a reward's stock."""
    return uuid5(NAMESPACE_URL, f"loyalty:{program}:pool:{key}")


def pool_name(program: str, key: str) -> str:
    """The name programs/{program}/pools/{pool}, where {pool} is the limit's or stock's key."""
    return f"{program}/pools/{key}"


def program_in(subject: str) -> str:
    """The program that a subject of the log is, or that its name begins with; empty where the name says none."""
    return "/".join(subject.split("/")[:2]) if subject.startswith("programs/") else ""


def voucher_name(member_id: UUID, voucher_id: UUID) -> str:
    """The name members/{member}/vouchers/{voucher}."""
    return f"members/{member_id}/vouchers/{voucher_id}"


def entitlement_name(member_id: UUID, entitlement_id: UUID) -> str:
    """The name members/{member}/entitlements/{entitlement}."""
    return f"members/{member_id}/entitlements/{entitlement_id}"


def segment_stream(name: str) -> UUID:
    """The id of the stream of a segment, by its name programs/{program}/segments/{segment}."""
    return uuid5(NAMESPACE_URL, f"loyalty:{name}")


def program_of_segment(name: str) -> str:
    """The program of a segment."""
    return name.partition("/segments/")[0]


def trail_name(trail_id: UUID) -> str:
    """The name trails/{trail}."""
    return f"trails/{trail_id}"


def credential_name(credential_id: str) -> str:
    """The name credentials/{credential}."""
    return f"credentials/{credential_id}"


def blocked_stream(request_id: UUID) -> UUID:
    """The id of the stream of reversals that wait for a command."""
    return uuid5(NAMESPACE_URL, f"loyalty:blocked:{request_id}")
