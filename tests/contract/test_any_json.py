"""Whatever JSON a provider puts where it says something, an attempt ends as an answer or a failure,
and what is kept of an answer is bounded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from copy import deepcopy
from typing import Any, Final

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from swarmd.adapters.models.openai import endpoint
from swarmd.adapters.models.openai.exchange import Limit
from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.log_events import LogEvent
from swarmd.ports.models import Answered, Failed
from tests.contract.test_openai_model import FREE, failed, prompt_of, provider_of

Json = dict[str, Any]
Path = tuple[str | int, ...]

ARGUMENTS: Final = json.dumps({"text": "fine", "done": True})
CALL: Final[Json] = {
    "type": "function_call",
    "id": "fc",
    "call_id": "c",
    "name": "report",
    "arguments": ARGUMENTS,
}
THOUGHTS: Final[Json] = {
    "type": "reasoning",
    "id": "rs",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "content": [{"type": "reasoning_text", "text": "Hm."}],
    "encrypted_content": "thoughts",
}
MESSAGE: Final[Json] = {
    "type": "message",
    "id": "msg",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Here."}, {"type": "refusal", "refusal": ""}],
}
ENDED: Final[Json] = {
    "object": "response",
    "status": "completed",
    "error": None,
    "incomplete_details": {"reason": None},
    "output": [THOUGHTS, MESSAGE, CALL],
    "usage": {
        "input_tokens": 30,
        "output_tokens": 9,
        "total_tokens": 39,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 7},
        "cost": 0.001,
    },
}
RESPONSES: Final[list[Json]] = [
    {"type": "response.created", "response": {"object": "response", "status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Hm."},
    {"type": "response.output_item.done", "output_index": 0, "item": THOUGHTS},
    {"type": "response.output_text.delta", "output_index": 1, "delta": "Here."},
    {"type": "response.output_item.done", "output_index": 1, "item": MESSAGE},
    {"type": "response.output_item.added", "output_index": 2, "item": CALL | {"arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ARGUMENTS},
    {"type": "response.output_item.done", "output_index": 2, "item": CALL},
    {"type": "response.completed", "response": ENDED},
]


def _chunk(finish: str | None = None, **delta: Any) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}


CHAT: Final[list[Json]] = [
    _chunk(role="assistant", content="", reasoning_content="Hm."),
    _chunk(content=[{"type": "text", "text": "Here."}], refusal=None),
    _chunk(
        tool_calls=[
            {"index": 0, "id": "c", "function": {"name": "report", "arguments": ARGUMENTS[:5]}}
        ]
    ),
    _chunk(tool_calls=[{"index": 0, "function": {"arguments": ARGUMENTS[5:]}}]),
    _chunk(finish="tool_calls"),
    {
        "choices": [{"index": 0, "message": {"content": "Here."}, "error": None}],
        "error": None,
        "x_groq": {"usage": {"prompt_tokens": 30}},
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 9,
            "total_tokens": 39,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 7},
            "cost": "0.001",
        },
    },
]
WIRES: Final = {"responses": RESPONSES, "chat": CHAT}
# What no key can be, what no number is, and what no count is.
OTHERS: Final[Sequence[Any]] = (["x"], {"a": 1}, -1.5)
WORDS: Final = ("failed", "function_call", "error", "response.completed", "\ud800", "1e999", "")


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    for key, one in inner:
        yield from _places(one, (*path, key))


def _with(events: list[Json], path: Path, value: Any) -> list[Any]:
    """The same events with another value there; as they are where an earlier one took it away."""
    changed = deepcopy(events)
    at: Any = changed
    last: Any = path[-1]
    try:
        for key in path[:-1]:
            at = at[key]
        at[last]
    except (LookupError, TypeError):
        return changed
    if isinstance(at, dict | list):
        at[last] = value
    return changed


class Sent:
    """A model whose server sends these events, in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, api: str) -> None:
        self.events: Sequence[Any] = ()
        transport = httpx2.MockTransport(self._answer)
        client, url = httpx2.AsyncClient(transport=transport), httpx2.URL("http://127.0.0.1/v1")
        monkeypatch.setattr(endpoint, "connect", lambda *_: (client, url, httpx2.Headers()))
        provider = provider_of("responses:tools" if api == "responses" else "tools")
        self.model = OpenAIModel(
            "m", base_url="http://127.0.0.1/v1", api_key="", provider=provider, tariff=FREE
        )

    async def attempt(self, events: Sequence[Any]) -> Answered | Failed:
        self.events = events
        with capture_logs() as lines:
            outcome = await self.model.attempt(prompt_of())
        assert LogEvent.MODEL_ANSWER_UNREADABLE not in [line["event"] for line in lines]
        assert isinstance(outcome, Answered | Failed)
        return outcome

    def _answer(self, _: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, content=self._stream(), headers={"content-type": "text/event-stream"}
        )

    async def _stream(self) -> AsyncIterator[bytes]:
        for event in self.events:
            yield b"data: %b\n\n" % json.dumps(event).encode()


@pytest.mark.parametrize("api", WIRES)
async def test_each_value_of_each_event_may_be_any_other_json(
    monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    sent, events = Sent(monkeypatch, api), WIRES[api]
    assert isinstance(await sent.attempt(events), Answered)
    for path in _places(events):
        for value in OTHERS if path else ():
            await sent.attempt(_with(events, path, value))


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("type", "text", "id", "usage", "error")), inner)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("api", WIRES)
def test_several_values_at_once_may_be_any_json(monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    events = WIRES[api]
    places = [path for path in _places(events) if path]

    with asyncio.Runner() as runner:
        sent = Sent(monkeypatch, api)

        @settings(max_examples=30)
        @given(st.lists(st.tuples(st.sampled_from(places), JSON), min_size=2, max_size=5))
        def holds(others: list[tuple[Path, Any]]) -> None:
            changed: list[Any] = events
            for path, value in others:
                changed = _with(changed, path, value)
            runner.run(sent.attempt(changed))

        holds()


def _many(event: Json) -> list[Json]:
    """So often that it is twice what may be kept, each at a place of its own."""
    number = 2 * Limit(500).event_bytes // 20_000
    return [json.loads(json.dumps(event).replace('"N"', str(n))) for n in range(number)]


LONG: Final = "x" * 20_000


@pytest.mark.parametrize(
    ("api", "event"),
    [
        *(
            (
                "responses",
                {"type": "response.output_item.done", "output_index": "N", "item": item},
            )
            for item in (
                {"type": "web_search_call", "x": LONG},
                {"type": "reasoning", "encrypted_content": LONG},
            )
        ),
        ("chat", {"choices": [{"delta": {"tool_calls": [{"index": "N", "id": LONG}]}}]}),
    ],
)
async def test_what_is_kept_beside_the_text_is_cut_at_the_size_of_a_whole_answer(
    monkeypatch: pytest.MonkeyPatch, api: str, event: Json
) -> None:
    sent = Sent(monkeypatch, api)
    outcome = failed(await sent.attempt([*_many(event), *WIRES[api]]))
    assert (outcome.why, "more items" in outcome.detail) == ("cut", True)
    assert outcome.usage.is_assumed


@pytest.mark.parametrize("name", ["take", "is_whole", "thread"])
async def test_a_bug_in_reading_an_answer_is_a_failure_that_is_charged_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def breaks(*_: Any) -> Any:
        raise TypeError("unhashable type: 'list'")

    sent = Sent(monkeypatch, "chat")
    sent.events = CHAT
    whole = property(breaks) if name == "is_whole" else breaks
    monkeypatch.setattr(f"swarmd.adapters.models.openai.answer.Received.{name}", whole)
    with capture_logs() as lines:
        outcome = failed(await sent.model.attempt(prompt_of()))
    assert outcome.why == "server"
    assert "can't be read" in outcome.detail
    assert outcome.usage.tokens > 0
    (told,) = [line for line in lines if line["event"] == LogEvent.MODEL_ANSWER_UNREADABLE]
    assert told["exc_info"]
