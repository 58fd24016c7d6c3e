"""The OpenAI adapter against servers with one quirk of their wire: good answers in odd forms,
and pages without end.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from swarmd.adapters.models.openai.exchange import ERROR_PAGE_BYTES_MAX
from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.adapters.models.openai.usage import COST_DOLLARS_MAX
from swarmd.adapters.models.prices import Tariff
from swarmd.adapters.models.registry import ModelSettings, choose
from swarmd.core.model.declarations import Models, Provider
from swarmd.core.model.moves import Report
from swarmd.errors import UsageError
from swarmd.ports.models import Answered, Failed, Usage
from tests.contract.test_openai_model import PATIENT, PRICE, answered, bytes_of, failed, prompt_of
from tests.openai_server import offered_moves

Json = dict[str, Any]
Part = bytes | float  # what is sent, or seconds of silence
MOVE = {"move": "report", "text": "fine", "done": True}
REPORT = Report(**MOVE)
ANSWER = json.dumps({"moves": [MOVE]})
MOVE_TEXT = json.dumps(MOVE)
ARGUMENTS = json.dumps({"text": "fine", "done": True})
CALL = json.dumps({"name": "report", "arguments": {"text": "fine", "done": True}})
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
ENDLESS = 10_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """One response; endless where `again` is sent over and over until the client goes away."""

    parts: Sequence[Part] = ()
    status: str = "200 OK"
    headers: Json = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    again: bytes = b""


@dataclass(slots=True)
class RawServer:
    """Sends what it is told, byte for byte, and remembers what it was asked."""

    pages: Callable[[str, Json], Page]
    asked: list[tuple[str, Json]] = field(default_factory=list)
    sent_bytes: int = 0
    port: int = 0
    open: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                length = next(
                    (
                        int(x.partition(":")[2])
                        for x in lines
                        if x.lower().startswith("content-length")
                    ),
                    0,
                )
                body = json.loads(await reader.readexactly(length) or b"{}")
                path = lines[0].split(" ")[1]
                self.asked.append((path, body))
                await self.send(self.pages(path, body), writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self.open.discard(task)
            writer.transport.abort()

    async def send(self, page: Page, writer: asyncio.StreamWriter) -> None:
        headers = "".join(f"{name}: {value}\r\n" for name, value in page.headers.items())
        writer.write(
            f"HTTP/1.1 {page.status}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for part in page.parts:
            if isinstance(part, bytes):
                await self.write(part, writer)
            else:
                await asyncio.sleep(part)
        while page.again and self.sent_bytes < ENDLESS:
            await self.write(page.again, writer)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def write(self, part: bytes, writer: asyncio.StreamWriter) -> None:
        if part:
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()
        await asyncio.sleep(0)
        self.sent_bytes += len(part)


@asynccontextmanager
async def served(pages: Callable[[str, Json], Page]) -> AsyncIterator[RawServer]:
    raw = RawServer(pages)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for task in raw.open:
            task.cancel()
        while raw.open:
            await asyncio.sleep(0)


async def attempt(page: Page, *, actions: str = "tools", **settings: Any) -> Answered | Failed:
    async with (
        served(lambda path, body: page) as server,
        model_of(server, actions, **settings) as model,
    ):
        return await model.attempt(prompt_of())


@asynccontextmanager
async def model_of(
    server: RawServer, actions: str = "tools", tariff: Tariff | None = None, **settings: Any
) -> AsyncIterator[OpenAIModel]:
    provider = Provider.model_validate({"actions": actions, **PATIENT, **settings})
    model = OpenAIModel(
        "m",
        base_url=server.base_url,
        api_key="sk-very-secret-1",
        provider=provider,
        tariff=tariff,
    )
    try:
        yield model
    finally:
        await model.aclose()


def data(piece: object) -> bytes:
    return b"data: " + json.dumps(piece).encode() + b"\n\n"


def delta(content: Json, finish: str | None = None, **more: Any) -> bytes:
    return data({"choices": [{"index": 0, "delta": content, "finish_reason": finish}], **more})


FIRST = delta({"role": "assistant", "content": ""})
TEXT = [FIRST, delta({"content": ANSWER[:20]}), delta({"content": ANSWER[20:]})]
COUNTED = data({"choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"
STREAM = [*TEXT, delta({}, "stop"), COUNTED, DONE]
WHOLE = {
    "choices": [{"index": 0, "message": {"content": ANSWER}, "finish_reason": "stop"}],
    "usage": USAGE,
}


# --- good answers in odd forms ----------------------------------------------------------------

ODD: dict[str, Sequence[Part]] = {
    "plain": STREAM,
    "no reason for the end": [*TEXT, delta({}), COUNTED, DONE],
    "an empty reason": [*TEXT, delta({}, ""), COUNTED, DONE],
    "the last piece dropped": [*TEXT, COUNTED, DONE],
    "the last piece and the mark dropped": [*TEXT, COUNTED],
    "a reason in capitals": [*TEXT, delta({}, "STOP"), COUNTED, DONE],
    "events without data": [b"data:\n\n", b"data: \n\n", *STREAM],
    "a ping in words": [
        b"event: ping\ndata: ping\n\n",
        *STREAM[:2],
        b"data: keep-alive\n\n",
        *STREAM[2:],
    ],
    "a byte order mark": [b"\xef\xbb\xbf" + STREAM[0], *STREAM[1:]],
    "a byte order mark in pieces": [b"\xef", b"\xbb", b"\xbf", *STREAM],
    "parts of content": [
        FIRST,
        delta({"content": [{"type": "text", "text": ANSWER}]}),
        *STREAM[3:],
    ],
    "thoughts that were never opened": [
        FIRST,
        delta({"content": f"hm\n</think>\n{ANSWER}"}),
        *STREAM[3:],
    ],
    "usage in an extension": [*TEXT, delta({}, "stop", x_groq={"usage": USAGE}), DONE],
    "usage in the choice": [
        *TEXT,
        data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]}),
        DONE,
    ],
    "no empty line at the end": [*TEXT, delta({}, "stop"), COUNTED.rstrip()],
    "a list of pieces in one event": [
        b"data: [" + b",".join(p[6:-2] for p in STREAM[:-1]) + b"]\n\n",
        DONE,
    ],
    "a call of the older kind": [
        FIRST,
        delta({"function_call": {"name": "report", "arguments": '{"text": "fine",'}}),
        delta({"function_call": {"arguments": '"done": true}'}}),
        *STREAM[3:],
    ],
    "a message behind the pieces": [*TEXT, data(WHOLE), DONE],
    "the whole answer among the thoughts": [
        FIRST,
        delta({"reasoning_content": ANSWER[:20]}),
        delta({"reasoning_content": ANSWER[20:]}),
        *STREAM[3:],
    ],
    "a call among the thoughts, and blanks": [
        delta({"reasoning": CALL}),
        delta({"content": "\n\n"}),
        *STREAM[3:],
    ],
    "a call in tags": [
        FIRST,
        delta({"content": f"<tool_call>\n{CALL}\n</tool_call>"}),
        *STREAM[3:],
    ],
    "a move in tags": [
        FIRST,
        delta({"content": f"<tool_call>{MOVE_TEXT}</tool_call>"}),
        *STREAM[3:],
    ],
    "moves in tags": [
        FIRST,
        delta({"content": f"Well: <tool_call>{ANSWER}</tool_call>"}),
        *STREAM[3:],
    ],
    "arguments in tags with a name": [
        FIRST,
        delta({"content": f'<tool_call name="report">{ARGUMENTS}</tool_call>'}),
        *STREAM[3:],
    ],
    "a name and arguments in tags": [
        FIRST,
        delta({"content": f"<tool_call>report\n{ARGUMENTS}\n</tool_call>"}),
        *STREAM[3:],
    ],
    "a function in tags": [
        FIRST,
        delta({"content": f"<tool_call><function=report>{ARGUMENTS}</function></tool_call>"}),
        *STREAM[3:],
    ],
}

# What only stands among the thoughts, and is not the whole of them or no answer of ours.
CONSIDERED: dict[str, str] = {
    "words before it": f"I could do this: {ANSWER}",
    "words behind it": f"{ANSWER} or should I?",
    "two of them": f"{ANSWER}\n{ANSWER}",
    "a move that is not open": json.dumps({"moves": [{"move": "govern"}]}),
    "a move with a fault": json.dumps({"moves": [MOVE, {"move": "report", "txt": "fine"}]}),
    "a field too many": json.dumps({"moves": [MOVE], "also": 1}),
    "no answer": "{}",
}


@pytest.mark.parametrize("considered", list(CONSIDERED))
@pytest.mark.parametrize("named", ["reasoning_content", "reasoning"])
async def test_what_was_only_considered_is_not_done(considered: str, named: str) -> None:
    page = Page([FIRST, delta({named: CONSIDERED[considered]}), *STREAM[3:]])
    outcome = failed(await attempt(page))
    assert (outcome.why, outcome.usage) == ("malformed", Usage(100, 20, cost=None))
    assert "You called no function" in outcome.detail


async def test_thoughts_beside_an_answer_stay_thoughts() -> None:
    other = json.dumps({"moves": [{**MOVE, "text": "only thought of"}]})
    outcome = answered(await attempt(Page([delta({"reasoning": other}), *STREAM])))
    assert outcome.moves == (REPORT,)


@pytest.mark.parametrize(
    ("said", "cost"),
    [
        (0.0012, 1_200),
        (0.00000012, 1),
        (0.000007, 7),
        (2, 2_000_000),
        (1e300, COST_DOLLARS_MAX * 1_000_000),
        pytest.param(10**400, COST_DOLLARS_MAX * 1_000_000, id="400 digits"),
        (0, None),
        (-1, None),
        (True, None),
        ("0.5", None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
    ],
)
async def test_the_cost_that_a_gateway_says_is_charged_where_it_is_the_greater(
    said: object, cost: int | None
) -> None:
    page = Page([*TEXT, delta({}, "stop"), data({"choices": [], "usage": {**USAGE, "cost": said}})])
    assert answered(await attempt(page)).usage.cost == cost
    computed = 100 * 2 + 20 * 10
    async with (
        served(lambda path, body: page) as server,
        model_of(server, tariff=Tariff(lambda _: PRICE, "")) as model,
    ):
        outcome = answered(await model.attempt(prompt_of()))
    assert outcome.usage.cost == max(computed, cost or 0)


@pytest.mark.parametrize("odd", list(ODD))
async def test_a_good_answer_in_an_odd_form_is_its_moves_and_is_charged_as_counted(
    odd: str,
) -> None:
    outcome = answered(await attempt(Page(ODD[odd])))
    assert outcome.moves == (REPORT,)
    assert (outcome.usage.tokens_in, outcome.usage.tokens_out, outcome.usage.is_assumed) == (
        100,
        20,
        False,
    )


@pytest.mark.parametrize(
    "kind", [None, "text/plain; charset=utf-8", "application/octet-stream", "application/json"]
)
@pytest.mark.parametrize(
    "body", [STREAM, [json.dumps(WHOLE).encode()], [b"\n ", json.dumps(WHOLE).encode()]]
)
async def test_a_body_is_what_its_first_bytes_are_whatever_its_media_type_says(
    kind: str | None, body: Sequence[Part]
) -> None:
    outcome = answered(await attempt(Page(body, headers={"Content-Type": kind} if kind else {})))
    assert (outcome.moves, outcome.usage.tokens) == ((REPORT,), 120)


@pytest.mark.parametrize("kind", ["text/event-stream", "text/html"])
async def test_lines_of_json_and_a_compressed_stream_are_read_too(kind: str) -> None:
    lines = b"\n".join(piece[6:-2] for piece in STREAM[:-1] if isinstance(piece, bytes))
    assert answered(await attempt(Page([lines], headers={"Content-Type": kind}))).moves == (REPORT,)
    packed = gzip.compress(b"".join(piece for piece in STREAM if isinstance(piece, bytes)))
    page = Page([packed[:50], packed[50:]], headers={"Content-Encoding": "gzip"})
    assert answered(await attempt(page)).moves == (REPORT,)


@pytest.mark.parametrize(
    "after",
    [
        [60.0],
        [b": beat\n\n", 0.3] * 100,
        [b"data:\n\n", 0.3] * 100,
        [COUNTED, 60.0],
        [COUNTED, b": b\n\n", 0.2] * 99,
    ],
)
async def test_a_moment_after_its_reason_an_answer_is_over_though_the_connection_stays_open(
    after: Sequence[Part],
) -> None:
    with anyio.fail_after(12):
        outcome = answered(await attempt(Page([*TEXT, delta({}, "stop"), *after])))
    assert outcome.moves == (REPORT,)
    assert outcome.usage.is_assumed == (COUNTED not in after)


CUT: dict[str, Sequence[Part]] = {
    "half of the text": [*TEXT[:2], DONE],
    "half of a call": [
        FIRST,
        delta({"tool_calls": [{"index": 0, "function": {"name": "report", "arguments": '{"te'}}]}),
        DONE,
    ],
    "nothing": [FIRST, DONE],
    "no sign of an end": TEXT,
    "thoughts alone": [FIRST, delta({"content": f"<think>{ANSWER}"}), COUNTED, DONE],
    "a limit in capitals": [*TEXT, delta({}, "MAX_TOKENS"), COUNTED, DONE],
}


@pytest.mark.parametrize("cut", list(CUT))
async def test_what_may_not_be_all_is_cut_off_and_nothing_of_it_is_done(cut: str) -> None:
    # What reached its limit, the model itself can make shorter.
    is_limit = cut == "a limit in capitals"
    assert failed(await attempt(Page(CUT[cut]))).why == ("length" if is_limit else "cut")


@pytest.mark.parametrize("finish", ["error", "abort", "insufficient_system_resource"])
async def test_an_answer_whose_end_is_an_error_is_the_servers_fault(finish: str) -> None:
    assert failed(await attempt(Page([*TEXT, delta({}, finish), COUNTED, DONE]))).why == "server"


async def test_text_with_an_end_and_without_a_reason_is_given_back_as_a_correction() -> None:
    outcome = failed(await attempt(Page([FIRST, delta({"content": "I am ready."}), COUNTED, DONE])))
    assert (outcome.why, outcome.usage.tokens) == ("malformed", 120)


# --- errors in other places -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "why", "retry_after"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, "server", None),
        (
            {
                "object": "error",
                "message": "engine overloaded",
                "type": "server_error",
                "code": 40303,
            },
            "server",
            None,
        ),
        ({"error": {"message": "Try again in 3s", "code": 429}}, "rate_limited", 3.0),
        ({"error": {"message": "no", "type": "invalid_request_error"}}, "rejected", None),
        (
            [{"error": {"message": "no", "code": 429, "details": [{"retryDelay": "4s"}]}}],
            "rate_limited",
            4.0,
        ),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
async def test_an_error_with_status_200_counts_as_what_it_names_and_costs_no_tokens(
    error: Any, why: str, retry_after: float | None, is_stream: bool
) -> None:
    page = Page([data(error), DONE]) if is_stream else Page([json.dumps(error).encode()])
    outcome = failed(await attempt(page))
    assert (outcome.why, outcome.retry_after, outcome.usage) == (why, retry_after, Usage(0, 0))


@pytest.mark.parametrize(
    "last", [data({"error": "gone"}), b'event: error\ndata: {"message": "gone"}\n\n']
)
async def test_an_error_behind_a_part_of_the_answer_is_charged_for_what_ran(last: bytes) -> None:
    outcome = failed(await attempt(Page([*TEXT[:2], last])))
    assert (outcome.why, outcome.usage.is_assumed, outcome.usage.tokens > 0) == (
        "server",
        True,
        True,
    )


async def test_a_web_page_costs_nothing_and_says_what_to_look_at() -> None:
    outcome = failed(
        await attempt(Page([b"<html>Welcome</html>"], headers={"Content-Type": "text/html"}))
    )
    assert (outcome.why, outcome.usage, "/v1" in outcome.detail) == ("server", Usage(0, 0), True)


# --- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_a_redirect_on_the_same_host_is_followed_with_the_same_request(status: str) -> None:
    def pages(path: str, body: Json) -> Page:
        if path.startswith("/real"):
            return Page(STREAM)
        return Page(status=status, headers={"Location": f"/real{path}"}, again=b"see there ")

    async with served(pages) as server, model_of(server) as model:
        assert answered(await model.attempt(prompt_of())).moves == (REPORT,)
        assert server.asked[0][1] == server.asked[1][1]
        assert server.sent_bytes < ENDLESS


@pytest.mark.parametrize(
    "location", ["https://other.example/v1/chat/completions?k=1", "http://127.0.0.1:1/v1", ""]
)
async def test_a_redirect_to_another_server_is_not_followed_and_is_named(location: str) -> None:
    page = Page(status="307 Temporary Redirect", headers={"Location": location} if location else {})
    outcome = failed(await attempt(page))
    assert (outcome.why, outcome.usage.tokens) == ("rejected", 0)
    assert location.partition("?")[0] in outcome.detail
    assert "k=1" not in outcome.detail


async def test_a_circle_of_redirects_ends() -> None:
    outcome = failed(
        await attempt(Page(status="307 Temporary Redirect", headers={"Location": "/v1/x"}))
    )
    assert (outcome.why, "more than 3" in outcome.detail) == ("rejected", True)


# --- what a server does not take --------------------------------------------------------------

STRICT: dict[str, Callable[[Json], str]] = {
    "stream_options": lambda body: (
        "Unrecognized argument: stream_options" if "stream_options" in body else ""
    ),
    "max_tokens": lambda body: (
        "Unsupported parameter: 'max_tokens'" if "max_tokens" in body else ""
    ),
    "any limit": lambda body: (
        "max_tokens: unknown" if {"max_tokens", "max_completion_tokens"} & set(body) else ""
    ),
    "tool_choice": lambda body: (
        "this tool_choice is not supported" if "tool_choice" in body else ""
    ),
    "tools and schema": lambda body: (
        "tools are not supported"
        if "tools" in body
        else "json_schema is not available"
        if body.get("response_format", {}).get("type") == "json_schema"
        else ""
    ),
    "tools and any format": lambda body: (
        "no tools"
        if "tools" in body
        else "unknown field response_format"
        if "response_format" in body
        else ""
    ),
    "stream": lambda body: "streaming is not supported" if body.get("stream") else "",
    "system": lambda body: (
        "System role not supported" if any(m["role"] == "system" for m in body["messages"]) else ""
    ),
    "several fields": lambda body: next(
        (
            f"unknown field {name}"
            for name in ("stream_options", "tool_choice", "max_tokens")
            if name in body
        ),
        "",
    ),
    "fields that it does not name": lambda body: (
        "Bad Request" if "stream_options" in body or "tool_choice" in body else ""
    ),
}


@pytest.mark.parametrize("strict", list(STRICT))
async def test_a_strict_server_is_asked_without_what_it_does_not_take(strict: str) -> None:
    def pages(path: str, body: Json) -> Page:
        if said := STRICT[strict](body):
            return Page(
                [json.dumps({"error": {"message": said}}).encode()], status="400 Bad Request"
            )
        if body.get("stream"):
            if offered_moves(body) == ["say_ready"]:
                call = {"index": 0, "id": "a", "function": {"name": "say_ready", "arguments": "{}"}}
                return Page([delta({"tool_calls": [call]}, "tool_calls"), COUNTED, DONE])
            return Page(STREAM)
        return Page([json.dumps(WHOLE).encode()], headers={"Content-Type": "application/json"})

    outcomes: list[Answered | Failed] = []
    async with served(pages) as server, model_of(server, "probe") as model:
        while not outcomes or failed(outcomes[-1]).why == "unsupported":
            prompt = prompt_of()
            bound = model.bound(prompt)
            outcomes.append(await model.attempt(prompt))
            assert outcomes[-1].usage.tokens <= bound.tokens
            assert outcomes[-1].usage.calls <= bound.calls
            if isinstance(outcomes[-1], Answered):
                break
            assert len(outcomes) < 8
        answered(outcomes[-1])
        # What was learned is known from then on.
        before = len(server.asked)
        answered(await model.attempt(prompt_of()))
        assert len(server.asked) == before + 1
        assert sum(outcome.usage.calls for outcome in outcomes) == before
        # Whatever the server takes, the model is told what to do and how long its answer may be.
        last = server.asked[-1][1]
        assert "tools" in last or "JSON object" in json.dumps(last["messages"])
        assert "The constitution." in json.dumps(last["messages"][0])


async def test_a_server_that_turns_everything_away_is_no_endless_loop() -> None:
    page = Page(
        [b'{"error": {"message": "stream_options, tool_choice, max_tokens, stream: no"}}'],
        status="400 No",
    )
    async with served(lambda path, body: page) as server, model_of(server, "probe") as model:
        whys = [failed(await model.attempt(prompt_of())).why for _ in range(12)]
        assert "rejected" in whys
        assert len(server.asked) <= 24


@pytest.mark.parametrize(
    "leave_out", ["stream", "stream_options", "tool_choice", "max_tokens", "system"]
)
async def test_a_setting_leaves_a_field_out_from_the_first_request_on(leave_out: str) -> None:
    document = Page([json.dumps(WHOLE).encode()])
    async with (
        served(lambda path, body: Page(STREAM) if body.get("stream") else document) as server,
        model_of(server, leave_out=[leave_out]) as model,
    ):
        answered(await model.attempt(prompt_of()))
        body = server.asked[0][1]
        assert leave_out not in body
        assert (leave_out == "system") == (body["messages"][0]["role"] == "user")


# --- no more is read than is needed -----------------------------------------------------------

ENDLESS_PAGES = {
    "an error page": (Page(status="500 Oops", again=b"x" * 65_536), "server", 0),
    "an error page of blanks": (Page(status="400 Bad", again=b" " * 65_536), "rejected", 0),
    "an error page behind gzip": (
        Page(
            [gzip.compress(b"0" * 100_000_000)],
            status="503 No",
            headers={"Content-Encoding": "gzip"},
        ),
        "server",
        0,
    ),
    "a line": (Page([b"data: "], again=b"x" * 65_536), "cut", 1),
    "lines of one event": (Page([FIRST], again=b"data: " + b"x" * 60_000 + b"\n"), "cut", 1),
    "a document": (Page([b'{"choices": ['], again=b"0," * 30_000), "cut", 1),
    "a document behind gzip": (
        Page([gzip.compress(b"[" + b" " * 100_000_000)], headers={"Content-Encoding": "gzip"}),
        "cut",
        1,
    ),
}


@pytest.mark.parametrize("what", list(ENDLESS_PAGES))
async def test_of_a_page_without_end_no_more_is_kept_than_is_needed(what: str) -> None:
    page, why, may_have_run = ENDLESS_PAGES[what]
    async with served(lambda path, body: page) as server, model_of(server) as model:
        await model.attempt(prompt_of())  # what is loaded once is not counted
        server.sent_bytes = 0
        tracemalloc.start()
        try:
            outcome = failed(await model.attempt(prompt_of()))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert outcome.why == why
        assert (outcome.usage.tokens > 0) == bool(may_have_run)
        assert peak < 8 * ERROR_PAGE_BYTES_MAX + 2_000_000
        assert server.sent_bytes < ENDLESS


async def test_a_comment_without_end_is_not_kept_and_meets_the_deadline() -> None:
    tracemalloc.start()
    try:
        with anyio.fail_after(10):
            outcome = failed(
                await attempt(Page([b": "], again=b"x" * 65_536), first_token_seconds=0.3)
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.why in ("timeout", "cut")
    assert peak < 5_000_000


async def test_an_error_page_that_never_ends_or_never_comes_is_its_status_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("swarmd.adapters.models.openai.exchange.ERROR_PAGE_SECONDS", 0.2)
    page = Page([b'{"error"', 60.0], status="429 Too Many Requests", headers={"Retry-After": "9"})
    with anyio.fail_after(10):
        outcome = failed(await attempt(page))
    assert (outcome.why, outcome.retry_after) == ("rate_limited", 9.0)


async def test_the_wait_after_a_429_is_found_in_its_text() -> None:
    page = Page(
        [b'{"error": {"message": "Please try again in 350ms."}}'], status="429 Too Many Requests"
    )
    outcome = failed(await attempt(page))
    assert (outcome.why, outcome.retry_after) == ("rate_limited", 0.35)


async def test_reasoning_beside_the_count_is_charged() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "completion_tokens_details": {"reasoning_tokens": 400},
    }
    outcome = answered(
        await attempt(Page([*TEXT, delta({}, "stop"), data({"choices": [], "usage": usage}), DONE]))
    )
    assert (outcome.usage.tokens_out, outcome.usage.is_assumed) == (420, False)


async def test_usage_of_one_count_alone_bounds_what_is_assumed() -> None:
    async with served(
        lambda path, body: Page([*TEXT, delta({}, "stop", usage={"completion_tokens": 900}), DONE])
    ) as server:
        async with model_of(server) as model:
            outcome = answered(await model.attempt(prompt_of()))
        assert outcome.usage.tokens_in == bytes_of(server.asked[0][1])
    assert (outcome.usage.tokens_out, outcome.usage.is_assumed) == (900, True)


# --- the list of models -----------------------------------------------------------------------


async def chosen(listed: object, *, status: str = "200 OK") -> str:
    page = Page(
        [b"\xef\xbb\xbf" + json.dumps(listed).encode()],
        status=status,
        headers={"Content-Type": "text/plain"},
    )
    async with served(lambda path, body: page) as server:
        return (
            await choose(
                ModelSettings(base_urls={"openai": server.base_url}, local_servers=()), Models()
            )
        ).spec


@pytest.mark.parametrize(
    "listed",
    [
        [{"id": "m", "type": "chat"}],
        ["m"],
        {"models": [{"name": "m"}]},
        {"data": [{"id": "bge-m3"}, {"id": "whisper-1"}, {"id": "tts-1-hd"}, {"id": "m"}]},
        {
            "data": [
                {"id": "text-embedding-3-small"},
                {"id": "jina-reranker-v2"},
                {"id": "dall-e-3"},
                {"id": "m"},
            ]
        },
        {
            "data": [
                {"id": "x", "type": "embeddings"},
                {"id": "y", "task": "rerank"},
                {"id": "m", "type": "llm"},
            ]
        },
        {"data": [{"id": "a", "mode": "image_generation"}, {"id": "m", "mode": "chat"}]},
        {"data": [{"id": "a", "capabilities": {"completion_chat": False}}, {"id": "m"}]},
        {"data": [{"id": "a", "architecture": {"output_modalities": ["image"]}}, {"id": "m"}]},
        {"data": [{"id": 7}, None, {"id": ""}, {"id": "m"}]},
    ],
)
async def test_the_first_listed_model_that_can_chat_is_chosen_whatever_the_form_of_the_list(
    listed: object,
) -> None:
    assert await chosen(listed) == "openai:m"


@pytest.mark.parametrize(
    "name",
    ["gemma3n:e4b", "bagel-e5x", "fluxus-chat", "qwen3-coder:30b", "llama-guard-3", "o4-mini"],
)
async def test_a_name_that_merely_looks_a_little_like_another_kind_is_not_passed_over(
    name: str,
) -> None:
    assert await chosen({"data": [{"id": name}, {"id": "m"}]}) == f"openai:{name}"


async def test_what_a_server_says_of_a_model_goes_before_its_name() -> None:
    assert await chosen({"data": [{"id": "my-embedder", "type": "chat"}]}) == "openai:my-embedder"


async def test_a_list_of_nothing_that_chats_says_what_there_is() -> None:
    with pytest.raises(
        UsageError, match="none under /models that can chat, only bge-m3, whisper-1"
    ):
        await chosen({"data": [{"id": "bge-m3"}, {"id": "whisper-1"}]})


async def test_a_list_behind_a_redirect_is_found_and_one_without_end_is_none() -> None:
    def pages(path: str, body: Json) -> Page:
        if path == "/v1/models":
            return Page(status="307 Temporary Redirect", headers={"Location": "/v2/models"})
        return Page([b'[{"id": "m"}]'])

    async with served(pages) as server:
        settings = ModelSettings(base_urls={"openai": server.base_url}, local_servers=())
        assert (await choose(settings, Models())).spec == "openai:m"
    async with served(lambda path, body: Page([b"["], again=b" " * 65_536)) as server:
        with pytest.raises(UsageError, match="lists none"):
            await choose(
                ModelSettings(base_urls={"openai": server.base_url}, local_servers=()), Models()
            )
        assert server.sent_bytes < 2 * ENDLESS
