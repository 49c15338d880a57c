"""The bytes of a leaf: fixed for ever, and different for everything that differs."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ledger.proof.leaf import StoredEvent, leaf_of

IDS = st.uuids()
EVENTS = st.builds(
    StoredEvent,
    IDS,
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.text(min_size=1, max_size=8),
    st.binary(max_size=8),
    st.none() | IDS,
    st.none() | IDS,
    st.none() | st.text(min_size=1, max_size=8),
)


def test_the_bytes_are_fixed() -> None:
    """What is written down here is what auditors' own programs hash."""
    event = StoredEvent(UUID(int=1), 2, 3, "sale/1", b"\x08\x01", UUID(int=4), None, "s")
    assert leaf_of(event).hex() == (
        "00000000000000000000000000000001" + "0000000000000002" + "0000000000000003"
        "00000006" + b"sale/1".hex() + "00000010" + "00000000000000000000000000000004" + "00000000" + "00000001"
        "73" + "00000002" + "0801"
    )


@given(EVENTS, EVENTS)
def test_different_events_have_different_leaves(one: StoredEvent, other: StoredEvent) -> None:
    """No two events share their bytes, however their parts are cut."""
    assert (leaf_of(one) == leaf_of(other)) == (one == other)
