"""A message on the stream and in a ring: what is written is what is read, and nothing else
breaks a reader.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.model.messages import (
    RING_BYTES_MAX,
    Kind,
    Message,
    from_body,
    from_fields,
    from_ring,
    order_of,
)
from swarmd.core.model.names import AgentId, Channel, MissionId, StreamId

ROOM = Channel("room:sob")
_text = st.text(st.characters(codec="utf-8"), max_size=200)
_data = st.dictionaries(
    _text, st.integers() | _text | st.lists(st.booleans(), max_size=3), max_size=3
)
_messages = st.builds(
    Message,
    sender=_text.map(AgentId),
    kind=st.sampled_from(Kind),
    at=_text,
    to=_text,
    mission=_text.map(MissionId),
    text=_text,
    data=_data,
    hops=st.integers(0, 99),
    incarnation=st.integers(0, 9),
    id=st.just(StreamId("7-1")),
    channel=st.just(ROOM),
)


def _flat(message: Message) -> dict[str, str]:
    fields = message.fields()
    return dict(zip(fields[::2], fields[1::2], strict=True))


def _ring(message: Message, prev: str = "7-0") -> str:
    """As the script puts it together."""
    return f'{{"id":"7-1","prev":"{prev}",' + message.ring_body(ROOM, message.data_text())


@given(_messages)
def test_the_stream_gives_back_what_was_written(message: Message) -> None:
    assert from_fields(ROOM, StreamId("7-1"), _flat(message)) == message


@given(_messages)
def test_a_ring_is_the_message_or_says_that_it_is_cut(message: Message) -> None:
    line = _ring(message)
    ring = from_ring(ROOM, line)
    assert ring is not None
    assert (ring.id, ring.prev) == ("7-1", "7-0")
    assert "\n" not in line
    if json.loads(line).get("cut"):
        assert len(line.encode()) <= RING_BYTES_MAX
        assert ring.message is None
    else:
        assert ring.message == message


@given(_messages)
def test_a_ring_that_is_known_to_be_ours_is_read_as_any_other(message: Message) -> None:
    body = message.body(ROOM, message.data_text(), ',"serial":"r:7"')
    whole = from_ring(ROOM, f'{{"id":"1-0","prev":"0-0",{body}}}')
    assert whole is not None
    assert from_body(ROOM, StreamId("1-0"), body) == whole.message


def test_fields_come_in_the_order_that_people_read_them() -> None:
    message = Message(sender=AgentId("a"), kind=Kind.SAY, at="now", text="hi", data={"n": 1})
    names = message.fields()[::2]
    assert names == ["from", "to", "kind", "mission", "at", "text", "data", "hops", "inc", "v"]
    assert "data" not in Message(sender=AgentId("a"), kind=Kind.SAY, at="now").fields()


@pytest.mark.parametrize("text", ["x" * 5_000, "\u20ac" * 1_500, '"\\' * 2_200])
def test_what_does_not_fit_a_ring_is_a_preview_a_person_can_read(text: str) -> None:
    ring = json.loads(
        _ring(Message(sender=AgentId("a"), kind=Kind.SAY, at="now", text=text, data={"n": 1}))
    )
    assert ring["cut"] is True
    assert text.startswith(ring["text"])
    assert len(ring["text"]) == 400
    assert "data" not in ring


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hi",
        "5",
        "[]",
        "{}",
        "null",
        '{"id": "1-0"}',
        '{"id":"1-0","prev":"0-0","kind":"dance"}',
        b"\xff\xfe",
        "{" * 50,
    ],
)
def test_what_is_no_ring_is_nothing(line: str | bytes) -> None:
    assert from_ring(ROOM, line) is None


@pytest.mark.parametrize(
    "flat",
    [
        {},
        {"from": "a"},
        {"from": "a", "kind": "dance"},
        {"from": "a", "kind": "say", "hops": "many"},
        {"from": "a", "kind": "say", "data": "[1]"},
        {"from": "a", "kind": "say", "data": "{"},
        {"mission": "x"},
    ],
)
def test_an_entry_of_somebody_else_is_nothing(flat: dict[str, str]) -> None:
    assert from_fields(ROOM, StreamId("1-0"), flat) is None


def test_a_newer_versions_fields_are_ignored() -> None:
    flat = {"from": "a", "kind": "say", "text": "hi", "colour": "red", "v": "9"}
    message = from_fields(ROOM, StreamId("1-0"), flat)
    assert message is not None
    assert message.text == "hi"


def test_ids_sort_as_numbers() -> None:
    assert order_of(StreamId("9-10")) > order_of(StreamId("9-9"))
    assert order_of(StreamId("10-0")) > order_of(StreamId("9-99"))
    assert order_of(StreamId("7")) == (7, 0)
