"""What only the Responses API has: thoughts that go on within a turn, its own events, its own ends;
and that what is sent is what the SDK would send.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from swarmd.adapters.models.openai.form import Form
from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.adapters.models.openai.response_events import ReceivedResponse
from swarmd.adapters.models.openai.responses import request_body
from swarmd.core.agent.prompt import exchange_of
from swarmd.core.model.generation import Generation
from swarmd.ports.models import Prompt, Usage
from tests.contract.test_openai_model import (
    FREE,
    REPORT,
    answered,
    failed,
    model_of,
    prompt_of,
    provider_of,
)
from tests.contract.test_openai_quirks import Page, served
from tests.openai_server import OpenAIServer, always

Json = dict[str, Any]
JSON: Json = {"Content-Type": "application/json"}
SAY: Json = {"move": "say", "room": "research", "text": "hello"}
FORM = Form(limits=("max_output_tokens",))


@asynccontextmanager
async def client(base_url: str) -> AsyncIterator[OpenAIModel]:
    provider = provider_of("responses:tools")
    model = OpenAIModel("m", base_url=base_url, api_key="", provider=provider, tariff=FREE)
    try:
        yield model
    finally:
        await model.aclose()


def going_on(prompt: Prompt, *moves: Json, thread: str) -> Prompt:
    """The next prompt of the turn, after that answer."""
    steps = exchange_of([{"moves": list(moves)}, {"results": [{"ok": True} for _ in moves]}])
    return replace(prompt, since=(replace(steps[0], thread=thread), *steps[1:]))


async def test_encrypted_thoughts_go_on_through_the_calls_of_a_turn() -> None:
    async with (
        OpenAIServer(always(SAY, REPORT)) as server,
        model_of(server, "responses:tools") as model,
    ):
        first = answered(await model.attempt(prompt_of()))
        again = going_on(prompt_of(), SAY, REPORT, thread=first.thread)
        answered(await model.attempt(again))
        one, two = (call.body for call in server.calls)
    assert one["include"] == ["reasoning.encrypted_content"]
    assert "previous_response_id" not in two
    reasoning, said, reported, *results = two["input"][len(one["input"]) :]
    assert (reasoning["type"], reasoning["encrypted_content"]) == ("reasoning", "thoughts-1")
    assert "status" not in reasoning  # servers turn away a field that is only theirs
    assert [said["name"], reported["name"]] == ["say", "report"]
    assert [result["call_id"] for result in results] == [said["call_id"], reported["call_id"]]


async def test_without_room_for_thoughts_the_next_request_goes_without_them() -> None:
    received = ReceivedResponse()
    for piece in received.pieces(response(thoughts="x" * 300_000)):
        received.take(piece)
    assert len(received.calls) == 1
    assert received.thread(1) == ""


def response(thoughts: str = "t", **more: Any) -> Json:
    call = {"type": "function_call", "id": "fc", "call_id": "c", "name": "say", "arguments": "{}"}
    reasoning = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": thoughts}
    usage = {
        "input_tokens": 30,
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 7},
    }
    return {
        "object": "response",
        "status": "completed",
        "output": [reasoning, call],
        "usage": usage,
        **more,
    }


def test_a_server_that_says_all_of_it_at_the_end_alone_is_read() -> None:
    received = ReceivedResponse()
    events = [
        {"type": "response.created", "response": {"object": "response", "status": "in_progress"}},
        {"type": "response.in_progress"},
        {"type": "response.completed", "response": response()},
    ]
    for event in events:
        for piece in received.pieces(event):
            received.take(piece)
    assert [(call.name, call.arguments) for call in received.calls] == [("say", "{}")]
    assert received.is_whole
    assert received.is_counted
    assert (received.said.tokens_in, received.said.tokens_out) == (30, 9)
    assert json.loads(received.thread(1))[1]["call_id"] == "c"


def test_signs_of_life_are_no_beginning_of_an_answer() -> None:
    """A model that thinks for minutes is waited for as one that has not begun."""
    events = [
        {"type": "response.created", "response": {"status": "in_progress"}},
        {"type": "response.in_progress", "response": {"status": "in_progress"}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "reasoning", "id": "rs", "summary": []},
        },
    ]
    received = ReceivedResponse()
    assert [list(received.pieces(event)) for event in events] == [[], [], []]


async def test_a_response_that_fails_after_it_was_counted_is_charged_as_counted() -> None:
    failed_one = response(status="failed", error={"code": "server_error", "message": "it broke"})
    page = Page([json.dumps(failed_one).encode()], headers=JSON)
    async with served(lambda *_: page) as raw, client(raw.base_url) as model:
        outcome = failed(await model.attempt(prompt_of()))
    assert (outcome.why, "it broke" in outcome.detail) == ("server", True)
    assert outcome.usage == Usage(30, 9)


@pytest.mark.parametrize("mode", ["tools", "schema"])
async def test_what_is_sent_is_what_the_sdk_would_send(mode: Any) -> None:
    """The SDK does not encode our requests, so this holds us to its types and its bytes."""
    prompt = replace(
        going_on(prompt_of(), SAY, thread=""),
        generation=Generation(
            reasoning_effort="low", temperature=0.5, extra={"top_p": 0.9}, reasoning_tokens_max=0
        ),
        allowed=("report",),
    )
    body = json.loads(request_body("test-model", prompt, mode, FORM))
    TypeAdapter(ResponseCreateParamsStreaming).validate_python(body)
    async with (
        OpenAIServer(always(REPORT)) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as sdk,
        model_of(server, f"responses:{mode}") as model,  # type: ignore[arg-type]  # one of them
    ):
        async for _ in await sdk.responses.create(**body):
            pass
        await model.attempt(prompt)
        theirs, ours = server.calls
    assert theirs.body == ours.body == body
    for name in ("user-agent", "accept", "content-type"):
        assert theirs.headers[name] == ours.headers[name]


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        ("Encrypted content is not supported with this model.", "include"),
        (
            "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
            "reasoning",
        ),
        ("Unsupported parameter: 'temperature' is not supported with this model.", "temperature"),
        ("Unknown parameter: 'top_k'.", "top_k"),
    ],
)
async def test_a_field_that_the_server_refuses_is_left_out_of_the_next_requests(
    error: str, gone: str
) -> None:
    prompt = replace(
        prompt_of(),
        generation=Generation(reasoning_effort="low", temperature=0.5, extra={"top_k": 3}),
    )

    def answer(_: str, body: Json) -> Page:
        if gone in body:
            text, status = {"error": {"message": error}}, "400 Bad Request"
        else:
            text, status = response(output=[REPORTED]), "200 OK"
        return Page([json.dumps(text).encode()], status, JSON)

    async with served(answer) as raw, client(raw.base_url) as model:
        assert failed(await model.attempt(prompt)).why == "unsupported"
        answered(await model.attempt(prompt))
        sent = [body for _, body in raw.asked]
    assert [gone in body for body in sent] == [True, False]
    kept = {"include", "reasoning", "temperature", "top_k"} - {gone}
    assert kept <= set(sent[1])


REPORTED: Json = {
    "type": "function_call",
    "id": "fc",
    "call_id": "c",
    "name": "report",
    "arguments": json.dumps({"text": "done", "done": True}),
}
