"""This release reads what every release has written."""

import pytest
from eventsourcing.persistence import MapperDeserialisationError

from ledger.store.topics import TOPICS, TYPES, decode
from tests.golden.make import FOLDER, file_of, fill, text_of


def test_every_topic_has_its_bytes() -> None:
    """A topic without golden bytes: run `python -m tests.golden.make`. Bytes without a topic: a release lost it."""
    assert {path.name for path in FOLDER.glob("*.binpb")} == {file_of(topic).name for topic in TYPES}
    assert len(TYPES) == len(TOPICS)


@pytest.mark.parametrize("topic", sorted(TYPES))
def test_reads_what_was_written(topic: str) -> None:
    """Each field is where it was and means what it meant; nothing is lost on the way back."""
    stored = file_of(topic).read_bytes()
    event = decode(topic, stored)
    assert text_of(event) == file_of(topic).with_suffix(".txtpb").read_text("utf-8")
    assert event.SerializeToString(deterministic=True) == stored


@pytest.mark.parametrize("topic", sorted(TYPES))
def test_no_field_without_bytes(topic: str) -> None:
    """A field that an event gained since: remove its golden files before a release, keep them beside new ones after."""
    written = decode(topic, file_of(topic).read_bytes())
    assert {field.name for field, _ in fill(TYPES[topic]()).ListFields()} == {
        field.name for field, _ in written.ListFields()
    }


@pytest.mark.parametrize("topic", sorted(TYPES))
def test_damaged_bytes_are_noticed(topic: str) -> None:
    """An event that is cut short is no event."""
    with pytest.raises(MapperDeserialisationError, match=f"the bytes of a '{topic}' event are damaged"):
        decode(topic, file_of(topic).read_bytes()[:-1])


def test_unknown_topic() -> None:
    """An event of a newer release is not taken for anything else."""
    with pytest.raises(MapperDeserialisationError, match="a newer release wrote this"):
        decode("sale/2", b"")
