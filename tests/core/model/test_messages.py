"""A message on the stream and in a ring: what is written is what is read, and nothing else
breaks a reader.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.model.messages import (
    Kind,
    Message,
    channel_head,
    fits_a_ring,
    from_body,
    from_line,
    from_ring,
    line_of,
    order_of,
    read_line,
)
from swarmd.core.model.names import AgentId, Channel, MissionId, StreamId
from swarmd.core.model.refusals import Rule

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


def _line(message: Message) -> str:
    return "{" + message.body(message.data_text()) + "}"


def _ring(line: str) -> str:
    """As the script puts it together."""
    return f'{{"id":"7-1","prev":"7-0",{channel_head(ROOM)}{line[1:]}'


@given(_messages)
def test_the_stream_gives_back_what_was_written(message: Message) -> None:
    assert from_line(ROOM, StreamId("7-1"), _line(message)) == message
    assert read_line(ROOM, StreamId("7-1"), _line(message)) == message


@given(_messages)
def test_a_ring_is_the_message_or_says_that_it_is_cut(message: Message) -> None:
    for line in (_line(message), message.preview_line()):
        ring = from_ring(ROOM, _ring(line))
        assert ring is not None
        assert (ring.id, ring.prev) == ("7-1", "7-0")
        assert "\n" not in line
        assert ring.message == (None if json.loads(line).get("cut") else message)


@given(_messages)
def test_a_line_that_is_known_to_be_ours_is_read_as_any_other(message: Message) -> None:
    body = message.body(message.data_text(), ',"serial":"r:7"')
    assert from_body(ROOM, StreamId("1-0"), body) == from_line(
        ROOM, StreamId("1-0"), "{" + body + "}"
    )


def test_fields_come_in_the_order_that_people_read_them() -> None:
    message = Message(sender=AgentId("a"), kind=Kind.SAY, at="now", text="hi", data={"n": 1})
    assert list(json.loads(_line(message))) == [
        *("from", "to", "kind", "mission", "at", "text", "data", "hops", "inc", "v", "key")
    ]
    bare = Message(sender=AgentId("a"), kind=Kind.SAY, at="now")
    assert "data" not in json.loads(_line(bare))


def test_an_entrys_line_is_its_one_field_and_of_another_what_was_there() -> None:
    assert line_of(["m", "{}"]) == line_of(["x", "1", "m", "{}"]) == "{}"
    assert json.loads(line_of(["from", "me", "x", "m"])) == ["from", "me", "x", "m"]
    assert from_line(ROOM, StreamId("7-1"), line_of(["from", "me"])) is None


@pytest.mark.parametrize("text", ["x" * 5_000, "\u20ac" * 1_500, '"\\' * 2_200])
def test_what_does_not_fit_a_ring_is_a_preview_a_person_can_read(text: str) -> None:
    message = Message(sender=AgentId("a"), kind=Kind.SAY, at="now", text=text, data={"n": 1})
    assert not fits_a_ring(ROOM, _line(message))
    assert fits_a_ring(ROOM, message.preview_line())
    ring = json.loads(_ring(message.preview_line()))
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


_SAID = {"from": "a", "to": "", "kind": "say", "mission": "", "at": "now", "text": "hi"}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        [],
        {"from": "a"},
        _SAID | {"kind": "dance"},
        _SAID | {"hops": "many"},
        _SAID | {"data": [1]},
        _SAID | {"data": None},
        _SAID | {"text": 5},
        {"mission": "x"},
    ],
)
def test_an_entry_of_somebody_else_is_nothing(facts: object) -> None:
    assert from_line(ROOM, StreamId("1-0"), json.dumps(facts)) is None
    assert read_line(ROOM, StreamId("1-0"), json.dumps(facts)) is Rule.ENVELOPE_FORGED


def test_a_newer_versions_fields_are_ignored() -> None:
    line = json.dumps(_SAID | {"colour": "red", "v": "9"})
    message = from_line(ROOM, StreamId("1-0"), line)
    assert message is not None
    assert message.text == "hi"
    assert read_line(ROOM, StreamId("1-0"), line) is Rule.ENVELOPE_VERSION


def test_ids_sort_as_numbers() -> None:
    assert order_of(StreamId("9-10")) > order_of(StreamId("9-9"))
    assert order_of(StreamId("10-0")) > order_of(StreamId("9-99"))
    assert order_of(StreamId("7")) == (7, 0)
