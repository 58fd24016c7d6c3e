"""Bytes into events and documents: cut anywhere, marked or not, and never more of them kept than
allowed.
"""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmd.adapters.models.openai.events import (
    BOM,
    Event,
    Events,
    TooLargeError,
    documents_of,
    form_of,
    is_end,
    pieces_of,
)

LINES = (
    ": a comment",
    "event: x",
    'data: {"a":',
    'data: "ü"}',
    "",
    "",
    "id: 7",
    "data:[DONE]",
    "",
    "data: unended",
)

# A busy machine is slow and not wrong.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FOUND = [Event("x", '{"a":\n"ü"}'.encode()), Event("", b"[DONE]")]


def read(stream: bytes, cuts: list[int], bytes_max: int = 10_000) -> list[Event]:
    """All events of a stream that comes in chunks, cut at these places."""
    events, found = Events(bytes_max), []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        found += events.take(stream[start:end])
    return found + events.rest()


@calm
@given(st.lists(st.integers(0, 10_000)), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_events_are_the_same_however_their_bytes_are_cut_and_their_lines_end(
    cuts: list[int], end: str, is_marked: bool
) -> None:
    stream = (BOM if is_marked else b"") + (end.join(LINES) + end).encode()
    assert read(stream, cuts) == [*FOUND, Event("", b"unended")]


@calm
@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_bytes_give_the_same_events_however_they_are_cut(
    stream: bytes, cuts: list[int]
) -> None:
    assert read(stream, cuts) == read(stream, [])


@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 200, b"data: xxxxxxxxxx\n" * 20, b"data:" + b"x" * 200]
)
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_line_or_an_event_larger_than_allowed_is_refused_and_not_kept(
    stream: bytes, size: int
) -> None:
    with pytest.raises(TooLargeError):
        read(stream, list(range(0, len(stream), size)), 100)


def test_a_long_comment_is_thrown_away_and_what_follows_it_is_read() -> None:
    assert read(b": " + b"beat" * 1_000 + b"\ndata: {}\n\n", [7, 900, 2_000], 100) == [
        Event("", b"{}")
    ]


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b'data: {"a"', "events"),
        (b"\n\n: comment", "events"),
        (b"event: ping", "events"),
        (b"retry: 3", "events"),
        (BOM + b"id: 1", "events"),
        (b" \n{", "json"),
        (BOM + b"[", "json"),
        (b"<html>", "other"),
        (b"dat", None),
        (b"", None),
        (BOM[:2], None),
        (b"Internal error", "other"),
    ],
)
def test_a_body_is_told_by_its_first_bytes(head: bytes, form: str | None) -> None:
    assert form_of(head) == form


@pytest.mark.parametrize(
    "event",
    [
        Event("", b""),
        Event("", b"  "),
        Event("ping", b"ping"),
        Event("", b"keep-alive"),
        Event("ping", b"{}"),
        Event("heartbeat", b'{"t": 1}'),
        Event("", b"null"),
    ],
)
def test_a_sign_of_life_is_no_piece_and_no_fault(event: Event) -> None:
    assert (pieces_of(event), is_end(event)) == ([], False)


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE] ", b'"[DONE]"', b"[done]"])
def test_the_closing_mark_is_known_in_its_spellings(data: bytes) -> None:
    assert is_end(Event("", data))


def test_what_is_called_an_error_is_one_whatever_its_form() -> None:
    assert pieces_of(Event("error", b"gone")) == [{"error": "gone"}]
    assert pieces_of(Event("error", b'{"message": "gone"}')) == [{"error": {"message": "gone"}}]
    assert pieces_of(Event("error", b'{"error": "gone"}')) == [{"error": "gone"}]


def test_several_documents_in_one_event_or_body_are_all_read() -> None:
    assert pieces_of(Event("", b'{"a": 1}\n{"a": 2}')) == [{"a": 1}, {"a": 2}]
    assert documents_of(BOM + b'[{"a": 1}]') == [{"a": 1}]
    with pytest.raises(json.JSONDecodeError):
        pieces_of(Event("", b"{oops"))
