"""A turn's answers as calls of tools with their results, on both wires; and as text elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.adapters.models.openai import responses
from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.form import Form, refused
from swarmd.adapters.models.openai.request import request_body
from swarmd.core.agent.prompt import exchange_of
from swarmd.core.model.exchange import TAKEN, MoveCall, Result, paired
from swarmd.ports.models import Prompt
from tests.contract.test_openai_model import prompt_of

Json = dict[str, Any]
MAIL: Json = {"mail": [{"from": "a-1", "kind": "say", "text": "hi", "data": {}}]}
READ: Json = {"move": "use", "function": "file/read", "args": {"path": "docs/a"}}
SAY: Json = {"move": "say", "room": "r", "text": "hello"}
MOVES: Json = {"moves": [SAY, READ]}
FOUND: Json = {"function": "file/read", "ok": True, "text": "…"}


def prompt_with(*steps: Json, memory: tuple[Json, ...] = (), thread: str = "") -> Prompt:
    """A prompt of a turn so far; `thread` came with its last answer."""
    since = exchange_of(steps)
    if thread:
        since[-2] = replace(since[-2], thread=thread)
    before = exchange_of(memory)
    return replace(prompt_of(), exchange=(*before, *prompt_of().exchange), since=tuple(since))


def messages_of(prompt: Prompt, form: Form = Form()) -> list[Json]:  # noqa: B008 - it is frozen
    found: list[Json] = json.loads(request_body("m", prompt, "tools", form))["messages"]
    return found


def input_of(prompt: Prompt) -> list[Json]:
    form = Form(limits=("max_output_tokens",))
    found: list[Json] = json.loads(responses.request_body("m", prompt, "tools", form))["input"]
    return found


def test_an_answer_is_calls_and_each_call_has_its_result() -> None:
    *_, asked, answer, said, read = messages_of(prompt_with(MOVES, {"results": [FOUND]}))
    assert "You are Ada." not in asked["content"]
    assert read["content"].endswith("You are Ada.")
    assert [call["function"]["name"] for call in answer["tool_calls"]] == ["say", "file_read"]
    assert json.loads(answer["tool_calls"][1]["function"]["arguments"]) == READ["args"]
    ids = [call["id"] for call in answer["tool_calls"]]
    assert [said["tool_call_id"], read["tool_call_id"]] == ids == ["call00000", "call00001"]
    assert said["content"] == TAKEN
    assert json.dumps(FOUND, ensure_ascii=False) in read["content"]


def test_the_responses_api_is_told_the_same_in_its_own_items() -> None:
    *_, say, read, said, found = input_of(prompt_with(MOVES, {"results": [FOUND]}))
    assert found["output"].endswith("You are Ada.")
    assert [say["name"], read["name"]] == ["say", "file_read"]
    assert [said["call_id"], found["call_id"]] == [say["call_id"], read["call_id"]]
    assert {said["type"], found["type"]} == {"function_call_output"}


@pytest.mark.parametrize("of", [messages_of, input_of])
def test_each_request_begins_as_the_one_before_it_but_for_who_is_asked(of: Any) -> None:
    """In a turn, and in the next one, too: there its steps are remembered."""
    steps = [MOVES, {"results": [FOUND]}, {"correction": "no", "said": "hm"}, MOVES, FOUND]
    sent = [of(prompt_with(*steps[:count], memory=(MAIL, MOVES, MAIL))) for count in (0, 2, 3)]
    turn = prompt_with(*steps[:3], memory=(MAIL, MOVES, MAIL))
    remembered = (*turn.exchange, *turn.since, *exchange_of([MAIL]))
    sent.append(of(replace(prompt_of(), exchange=remembered)))
    for before, after in pairwise(sent):
        shared, asked, _ = json.dumps(before).partition("\\n\\nYou are Ada.")
        assert asked
        assert json.dumps(after).startswith(shared)


@pytest.mark.parametrize("of", [messages_of, input_of])
def test_who_is_asked_in_a_turn_without_mail_is_not_told_in_an_earlier_turns_result(
    of: Any,
) -> None:
    memory = exchange_of([MAIL, MOVES, {"results": [FOUND]}])
    *_, last = of(replace(prompt_of(), exchange=tuple(memory)))
    assert (last["role"], last["content"]) == ("user", "You are Ada.")


@pytest.mark.parametrize("of", [messages_of, input_of])
def test_a_reminder_speaks_within_the_last_result_and_nowhere_else(of: Any) -> None:
    """Another in each call, it changes nothing before it, and nobody speaks behind the results."""
    prompt = prompt_with(MOVES, {"results": [FOUND]})
    plain, reminded = of(prompt), of(replace(prompt, reminder="5 left"))
    assert reminded[:-1] == plain[:-1]
    name = "content" if of is messages_of else "output"
    assert reminded[-1] == plain[-1] | {name: f"{plain[-1][name]}\n\n5 left"}
    assert of(replace(prompt_of(), reminder="5 left"))[-1]["content"].endswith("Ada.\n\n5 left")


def test_earlier_turns_are_calls_too_and_every_call_is_answered_before_the_next_mail() -> None:
    messages = messages_of(prompt_with(memory=(MAIL, MOVES, MAIL, MOVES, {"results": [FOUND]})))
    calls = [call["id"] for m in messages for call in m.get("tool_calls", ())]
    results = [m["tool_call_id"] for m in messages if m["role"] == "tool"]
    assert calls == results == [f"call{number:05d}" for number in range(4)]
    roles = [m["role"] for m in messages]
    assert roles[1:6] == ["user", "assistant", "tool", "tool", "user"]


def test_a_correction_is_the_result_of_the_calls_that_could_not_be_used() -> None:
    calls = [["say", '{"room":"r"}'], ["report", "{}"]]
    step = {"correction": "text: Field required", "said": "say(…)", "calls": calls}
    *_, answer, first, second = messages_of(prompt_with(step))
    assert [call["function"]["name"] for call in answer["tool_calls"]] == ["say", "report"]
    assert "text: Field required" in first["content"]
    assert "Not done" in second["content"]


def test_a_correction_of_what_no_server_can_read_as_a_call_is_text() -> None:
    *_, said, told = messages_of(prompt_with({"correction": "not valid JSON", "said": "say({"}))
    assert (said["role"], said["content"]) == ("assistant", "say({")
    assert (told["role"], "not valid JSON" in told["content"]) == ("user", True)


def test_a_server_that_takes_no_tool_messages_is_told_in_text() -> None:
    prompt = prompt_with(MOVES, {"results": [FOUND]})
    said = "messages[3]: unsupported role 'tool', expected one of system, user, assistant"
    refusal = refused(Form(), "tools", 400, said, beside=("tool_messages",))
    assert refusal is not None
    assert refusal.field == "tool_messages"
    messages = messages_of(prompt, Form().after(refusal))
    assert [m["role"] for m in messages][-2:] == ["assistant", "user"]
    assert json.loads(messages[-2]["content"]) == MOVES
    assert messages[-1]["content"].endswith("You are Ada.")


def test_in_schema_mode_all_is_text() -> None:
    body = json.loads(request_body("m", prompt_with(MOVES, {"results": [FOUND]}), "schema", Form()))
    assert [m["role"] for m in body["messages"]][-2:] == ["assistant", "user"]
    assert json.loads(body["messages"][-2]["content"]) == MOVES


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_go_back_with_their_answer_within_the_turn(name: str) -> None:
    received = Received()
    call = {"index": 0, "id": "x", "function": {"name": "say", "arguments": "{}"}}
    received.take({"choices": [{"delta": {name: "I wonder"}}]})
    received.take({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})
    thread = received.thread(1)
    prompt = prompt_with(
        {"moves": [SAY]}, {"results": [{"move": "say", "ok": True}]}, thread=thread
    )
    assert messages_of(prompt)[-2][name] == "I wonder"
    assert name not in messages_of(prompt, Form(has_thoughts=False))[-2]
    assert received.thread(2) == ""  # whose thoughts they are is not known then


@given(
    st.lists(st.sampled_from(["say", "read", "spawn"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["say", "read", "", "vote"]), max_size=6),
)
def test_every_call_has_one_text_and_no_result_is_lost(names: list[str], given: list[str]) -> None:
    results = [Result(name, f"<{number}>") for number, name in enumerate(given)]
    texts = paired([MoveCall(name, "{}") for name in names], results)
    assert len(texts) == len(names)
    assert all(sum(result.text in text for text in texts) == 1 for result in results)
