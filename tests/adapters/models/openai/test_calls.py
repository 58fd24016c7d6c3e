"""Calls out of their pieces: told apart whatever is wrong with index and id, and never mixed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.calls import Fragment, put_together
from swarmd.adapters.models.openai.json_text import read_arguments
from swarmd.adapters.models.openai.reading import Correction, offered_name, read_moves
from swarmd.core.model.functions import Offer
from swarmd.core.model.moves import Report, Say

Json = dict[str, Any]
CALLS = (
    ("say", {"room": "r", "text": 'first {"a": [1]} \\ ü'}),
    ("report", {"text": "second", "done": True}),
)

# A busy machine is slow and not wrong.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
WANTED = CALLS


def stream(*pieces: Json) -> Received:
    received = Received()
    for piece in pieces:
        received.take({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]})
    return received


def made(received: Received) -> tuple[tuple[str, Json | None], ...]:
    return tuple((call.name, read_arguments(call.arguments)) for call in received.calls)


def pieces_of(
    *,
    index: Sequence[Any] | None = (0, 1),
    ids: Sequence[Any] | None = ("a", "b"),
    id_in_each: bool = False,
    name_in_each: bool = False,
    size: int = 7,
) -> list[Json]:
    """The calls in pieces, each call whole before the next; `None` leaves the field out."""
    found: list[Json] = []
    for at, (name, arguments) in enumerate(CALLS):
        written = json.dumps(arguments, ensure_ascii=False)
        parts = ["", *(written[start : start + size] for start in range(0, len(written), size))]
        for number, part in enumerate(parts):
            function: Json = {"arguments": part}
            if number == 0 or name_in_each:
                function["name"] = name
            piece: Json = {"function": function}
            if index is not None:
                piece["index"] = index[at]
            if ids is not None and (number == 0 or id_in_each):
                piece["id"] = ids[at]
            found.append(piece)
    return found


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"id_in_each": True},
        {"name_in_each": True},
        {"id_in_each": True, "name_in_each": True},
        {"index": None},
        {"index": None, "id_in_each": True},
        {"index": None, "ids": None},
        {"index": None, "ids": None, "name_in_each": True},
        {"index": ("0", "1")},
        {"index": (0.0, 1.0), "ids": None},
        {"index": (None, None)},
        {"index": (0, 0)},
        {"index": (0, 0), "id_in_each": True},
        {"index": (0, 0), "ids": None},
        {"index": (0, 0), "ids": ("", "")},
        {"index": (0, 0), "ids": ("same", "same")},
        {"index": (0, 0), "ids": None, "name_in_each": True},
        {"index": (0, 1), "ids": ("same", "same"), "id_in_each": True},
        {"index": (0, 1), "ids": (1, 2)},
        {"index": (5, 3)},
        {"index": (True, {}), "ids": None},
    ],
)
def test_two_calls_stay_two_and_whole_whatever_is_wrong_with_their_numbers(
    wrong: Json, size: int
) -> None:
    received = stream(*pieces_of(size=size, **wrong))
    assert made(received) == WANTED
    assert not received.put_together.is_ambiguous


@pytest.mark.parametrize("what", ["index", "id", "both", "id and name"])
def test_one_call_whose_index_or_id_changes_from_piece_to_piece_is_one(what: str) -> None:
    written = json.dumps(CALLS[0][1], ensure_ascii=False)
    found: list[Json] = []
    for number in range(0, len(written), 5):
        function: Json = {"arguments": written[number : number + 5]}
        if number == 0 or what == "id and name":
            function["name"] = "say"
        index = number if what in ("index", "both") else 0
        piece: Json = {"index": index, "function": function}
        if number == 0 or what != "index":
            piece["id"] = f"call-{number}"
        found.append(piece)
    assert made(stream(*found)) == (CALLS[0],)


def test_calls_that_come_in_turns_are_told_apart_by_index_or_by_id() -> None:
    one = [piece for piece in pieces_of() if piece["index"] == 0]
    other = [piece for piece in pieces_of() if piece["index"] == 1]
    by_index = [*one[:3], *other[:3], *one[3:], *other[3:]]
    assert made(stream(*by_index)) == WANTED
    by_id = [{**piece, "id": "ab"[piece["index"]], "index": 0} for piece in by_index]
    assert made(stream(*by_id)) == WANTED


def test_index_and_id_that_contradict_each_other_do_nothing() -> None:
    received = stream(
        {"index": 0, "id": "a", "function": {"name": "say", "arguments": '{"room": "r", "text": '}},
        {"index": 1, "id": "b", "function": {"name": "say", "arguments": '{"room": "s", "text": '}},
        {"index": 0, "id": "b", "function": {"arguments": '"to one"}'}},
        {"index": 1, "id": "a", "function": {"arguments": '"to the other"}'}},
    )
    answer = read_moves(received, Offer(("say",)))
    assert isinstance(answer, Correction)
    assert "told apart" in answer.text


def test_pieces_that_fit_nothing_are_a_correction_and_no_call() -> None:
    received = stream(
        {"index": 0, "function": {"name": "say", "arguments": '{"room": "r", "text": "a"}'}},
        {"index": 0, "function": {"arguments": '{"room": "r", "text": "b"}'}},
    )
    assert isinstance(read_moves(received, Offer(("say",))), Correction)


@pytest.mark.parametrize(
    "arguments",
    [
        ['{"room": "r", ', '"text": "a"}', '{"room": "r", "text": "a"}'],
        ["{}", '{"room": "r", ', '"text": "a"}'],
        ['{"room"', '{"room": "r"', '{"room": "r", "text": "a"}'],
        [json.dumps('{"room": "r", "text": "a"}')],
        [{"room": "r", "text": "a"}],
    ],
)
def test_arguments_that_come_twice_or_are_encoded_twice_are_read_once(arguments: list[Any]) -> None:
    pieces: list[Json] = [{"index": 0, "function": {"arguments": part}} for part in arguments]
    pieces[0]["function"]["name"] = "say"
    assert made(stream(*pieces)) == (("say", {"room": "r", "text": "a"}),)


def test_whole_calls_in_one_piece_or_one_message_are_as_many_as_there_are() -> None:
    for fields in ({}, {"index": 0}, {"index": 0, "id": ""}, {"id": "same"}):
        whole = [
            {**fields, "function": {"name": name, "arguments": json.dumps(arguments)}}
            for name, arguments in CALLS
        ]
        for body in ("delta", "message"):
            if body == "delta" and fields.get("id") == "same":
                # one id and no index, in one piece: nothing tells them apart but their place
                continue
            received = Received()
            received.take({"choices": [{"index": 0, body: {"tool_calls": whole}}]})
            assert made(received) == WANTED, (fields, body)


def test_a_call_of_the_older_kind_is_one_too() -> None:
    received = Received()
    for call in (
        {"name": "report", "arguments": ""},
        {"arguments": '{"text": "x",'},
        {"arguments": ' "done": true}'},
    ):
        received.take({"choices": [{"delta": {"function_call": call}}]})
    assert read_moves(received, Offer(("report",))) == (Report(move="report", text="x", done=True),)


@pytest.mark.parametrize(
    "name",
    [
        "say<|channel|>commentary",
        "say<|constrain|>json",
        "functions.say",
        "functions.say:0",
        "default_api.say",
        "tools:say",
        "say()",
        ' "say" ',
    ],
)
def test_a_name_that_can_only_mean_an_offered_function_is_its(name: str) -> None:
    assert offered_name(name, ["say", "report"]) == "say"
    received = stream(
        {"index": 0, "function": {"name": name, "arguments": '{"room": "r", "text": "a"}'}}
    )
    assert read_moves(
        received,
        Offer(
            (
                "say",
                "report",
            )
        ),
    ) == (Say(move="say", room="r", text="a"),)


@pytest.mark.parametrize(
    "name", ["functions.terminate", "sayy", "SAY_IT", "say report", "other.say", "", "<|x|>"]
)
def test_any_other_name_is_no_call(name: str) -> None:
    received = stream(
        {"index": 0, "function": {"name": name, "arguments": '{"room": "r", "text": "a"}'}}
    )
    assert isinstance(
        read_moves(
            received,
            Offer(
                (
                    "say",
                    "report",
                )
            ),
        ),
        Correction,
    )


def test_a_wrapper_for_several_calls_is_taken_apart_if_all_in_it_are_offered() -> None:
    def wrapped(name: str) -> Received:
        uses = [{"recipient_name": f"functions.{name}", "parameters": {"room": "r", "text": "a"}}]
        function = {"name": "multi_tool_use.parallel", "arguments": json.dumps({"tool_uses": uses})}
        return stream({"index": 0, "function": function})

    assert read_moves(wrapped("say"), Offer(("say",))) == (Say(move="say", room="r", text="a"),)
    assert isinstance(read_moves(wrapped("terminate"), Offer(("say",))), Correction)


texts = st.text(st.characters(codec="utf-8"), max_size=20)
objects = st.dictionaries(
    texts, st.one_of(texts, st.integers(), st.none(), st.lists(texts, max_size=3)), max_size=4
)


@example([("say", {"": None}), ("say", {})], 2, True, False)
@calm
@given(
    st.lists(st.tuples(st.sampled_from(["say", "report"]), objects), min_size=1, max_size=4),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
)
def test_any_calls_cut_anywhere_in_any_turn_are_what_was_written(
    calls: list[tuple[str, Json]], size: int, is_interleaved: bool, has_ids: bool
) -> None:
    rows: list[list[Fragment]] = []
    for index, (name, arguments) in enumerate(calls):
        written = json.dumps(arguments)
        row = [Fragment(index, f"c{index}" if has_ids else "", name, "", 1)]
        row += [
            Fragment(index, "", "", written[at : at + size], 1)
            for at in range(0, len(written), size)
        ]
        rows.append(row)
    if is_interleaved:
        longest = max(map(len, rows))
        fragments = [row[at] for at in range(longest) for row in rows if at < len(row)]
    else:
        fragments = [fragment for row in rows for fragment in row]
    together = put_together(fragments)
    assert [(call.name, read_arguments(call.arguments)) for call in together.calls] == calls
    assert together.is_whole
    assert not together.is_ambiguous


@calm
@given(
    st.lists(
        st.builds(
            Fragment,
            st.none() | st.integers(0, 2),
            st.sampled_from(["", "a", "b"]),
            st.sampled_from(["", "say"]),
            st.sampled_from(["", "{", "}", '"a":1', "{}", '{"a":1}']),
            st.integers(1, 3),
        ),
        max_size=8,
    )
)
def test_no_pieces_are_lost_or_made_up_in_calls_that_are_whole(fragments: list[Fragment]) -> None:
    together = put_together(fragments)
    if together.is_whole and not together.is_ambiguous:
        assert all(
            call.name and read_arguments(call.arguments) is not None for call in together.calls
        )
        written = sum(len(fragment.arguments) for fragment in fragments)
        assert sum(len(call.arguments) for call in together.calls) <= written
