"""One offer for all calls of an agent, and which of it may be answered now; on both wires."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from swarmd.adapters.models.openai.form import Form, Mode, refused
from swarmd.adapters.models.openai.wire import WIRES
from swarmd.ports.models import Prompt
from tests.contract.test_openai_model import (
    answered,
    failed,
    model_of,
    offer_of,
    prompt_of,
)
from tests.contract.test_openai_quirks import Page, served
from tests.openai_server import OpenAIServer, always

Json = dict[str, Any]
SEATS = ("propose", "argue", "vote", "file/read")
VOTE = {"move": "vote", "choice": "yes", "reason": "it is sound"}


def prompt_for(*allowed: str) -> Prompt:
    return replace(prompt_of(), offer=offer_of(SEATS), allowed=allowed)


def body_of(api: Any, prompt: Prompt, mode: Mode = "tools", form: Form = Form()) -> Json:  # noqa: B008 - it is frozen
    found: Json = json.loads(WIRES[api].request_body("m", prompt, mode, form))
    return found


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_all_calls_of_a_seat_offer_the_same_tools_and_the_choice_names_the_phases_own(
    api: Any,
) -> None:
    bodies = [body_of(api, prompt_for(move)) for move in ("propose", "argue", "vote")]
    assert len({json.dumps(body["tools"]) for body in bodies}) == 1
    choices = [body["tool_choice"] for body in bodies]
    names = [choice.get("function", choice)["name"] for choice in choices]
    assert names == ["propose", "argue", "vote"]


def test_several_that_may_be_answered_are_named_together() -> None:
    chat = body_of("chat", prompt_for("vote", "use"))["tool_choice"]
    assert (chat["type"], chat["allowed_tools"]["mode"]) == ("allowed_tools", "required")
    assert [one["function"]["name"] for one in chat["allowed_tools"]["tools"]] == [
        "vote",
        "file_read",
    ]
    of_responses = body_of("responses", prompt_for("vote", "use"))["tool_choice"]
    assert [one["name"] for one in of_responses["tools"]] == ["vote", "file_read"]
    assert body_of("chat", prompt_for())["tool_choice"] == "required"


def test_in_schema_mode_all_is_told_and_only_what_is_open_is_in_the_grammar() -> None:
    bodies = [body_of("chat", prompt_for(move), "schema") for move in ("argue", "vote")]
    assert bodies[0]["messages"] == bodies[1]["messages"]
    grammar = json.dumps(bodies[1]["response_format"])
    assert ('"vote"' in grammar, '"argue"' in grammar) == (True, False)


@pytest.mark.parametrize("mode", ["tools", "schema", "responses:tools"])
async def test_an_answer_that_is_offered_and_not_open_now_is_corrected(mode: Any) -> None:
    async with OpenAIServer(always(VOTE)) as server, model_of(server, mode) as model:
        assert answered(await model.attempt(prompt_for("vote")))
        closed = failed(await model.attempt(prompt_for("argue")))
    assert (closed.why, "`vote` is not open to you now" in closed.detail) == ("malformed", True)


def test_a_server_that_takes_no_exact_choice_is_sent_a_plain_one_and_then_none() -> None:
    refusal = refused(Form(), "tools", 400, "tool_choice: input should be a string")
    assert refusal is not None
    plain = Form().after(refusal, was_exact=True)
    assert body_of("chat", prompt_for("vote"), form=plain)["tool_choice"] == "required"
    assert "tool_choice" not in body_of("chat", prompt_for("vote"), form=plain.after(refusal))
    assert Form().after(refusal).choices == ()  # it was the plain one that was refused


async def test_a_limit_that_is_refused_only_when_it_is_doubled_is_not_left_out() -> None:
    """The usual one goes on to be sent."""

    def page(_: str, body: Json) -> Page:
        if body["max_tokens"] > 500:
            error = {"error": {"message": "max_tokens is too large", "param": "max_tokens"}}
            return Page([json.dumps(error).encode()], "400 Bad Request")
        function = {"name": "report", "arguments": json.dumps({"text": "x", "done": True})}
        call = {"index": 0, "id": "a", "type": "function", "function": function}
        choice = {"index": 0, "message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        return Page([json.dumps({"choices": [choice]}).encode()])

    async with served(page) as raw, model_of(raw) as model:
        larger = await model.attempt(replace(prompt_of(), is_stretched=True))
        assert failed(larger).why == "rejected"
        answered(await model.attempt(prompt_of()))
        assert [body["max_tokens"] for _, body in raw.asked] == [1_000, 500]
