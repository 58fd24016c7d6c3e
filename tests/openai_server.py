"""A small OpenAI-compatible HTTP server for tests, with the faults that real ones have.

It speaks `/v1/models`, `/v1/chat/completions` and `/v1/responses`: tool calls, JSON schema,
streaming or not. A `Brain` decides what is answered, from the request alone, which it is given in
the form of Chat Completions; a fault plan decides which calls go wrong
and how. Every request is recorded, so that a test can hold what was charged against what was asked.

In a test: `async with OpenAIServer(brain) as server: … server.base_url …`. As a process:
`python -m tests.openai_server --port 0 --faults none,429,none,cut`, which prints its base URL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, get_args

from swarmd.adapters.models.openai.request import PROBE
from tests.openai_responses import as_chat, events_of, response_of

Json = dict[str, Any]
Fault = Literal[
    "400",
    "401",
    "403",
    "404",
    "429",
    "500",
    "503",  # an error status; 429 and 503 with Retry-After
    "hang",  # nothing is ever answered
    "hang_midway",  # half a stream, then silence
    "cut",  # half a stream, then the connection is closed
    "disconnect",  # closed before the first byte
    "length",  # finish_reason `length`
    "endless",  # more and more text, whatever limit was sent
    "endless_counted",  # likewise, and the usage so far with each piece
    "early_usage",  # half a stream whose first piece says what the prompt was, then closed
    "error_in_stream",  # an error object where a piece should be
    "bad_piece",  # a piece of the stream that is no JSON
    "malformed",  # arguments, or content, that are no JSON
    "unknown_move",  # a function that was not offered
    "schema_violation",  # a field that the move does not have
    "no_call",  # plain text
    "empty",  # an answer with nothing in it
    "refusal",  # the model declines
    "content_filter",  # the provider withholds
    "no_usage",  # a good answer whose usage is not reported
    "not_streamed",  # a good answer as one JSON document
    "wrong_type",  # a web page
]
FAULTS: Final[frozenset[str]] = frozenset(get_args(Fault))
CHATS: Final = ("/chat/completions", "/responses")
STATUS_TEXT: Final = {
    "400": "Bad Request",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not Found",
    "429": "Too Many Requests",
    "500": "Internal Server Error",
    "503": "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class ServerReply:
    """What one call answers: moves (encoded as the request asks), or plain `text`."""

    moves: Sequence[Json] = ()
    text: str = ""
    fault: Fault | None = None
    usage: tuple[int, int] | None = (100, 20)
    details: Json | None = None  # `prompt_tokens_details` of the usage


Brain = Callable[[Json], ServerReply]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came, and what was done with it."""

    path: str
    headers: Mapping[str, str]
    body: Json
    fault: Fault | None


@dataclass(slots=True)
class OpenAIServer:
    """Answers on loopback while it is entered; all its connections end with it."""

    brain: Brain
    faults: Sequence[Fault | None] = ()  # by index of the call; none beyond its end
    fault_rate: float = 0.0  # chance of one of `fault_kinds` in a call that the plan does not name
    fault_kinds: Sequence[Fault] = ("429", "500", "malformed", "cut", "unknown_move")
    seed: int = 0
    calls_tools: bool = True  # false: ignores tools, as small local models do
    models: Sequence[str] = ("test-model",)
    delay: float = 0.0  # seconds before each answer
    is_held: Callable[[Json], bool] | None = None  # requests that this is true of wait
    piece_bytes: int = 0  # size of the HTTP chunks that a stream is split into; 0: one per piece
    endless_piece: Json = field(default_factory=lambda: {"content": "and more "})
    retry_after: str = "0"
    port: int = 0
    log: Path | None = None  # where each chat request is appended as a JSON line
    requests: list[Recorded] = field(default_factory=list)
    closed_by_client: int = 0  # connections that went away before their answer was whole
    _server: asyncio.Server | None = None
    _random: random.Random = field(default_factory=random.Random)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def holding(self, whom: Callable[[Json], bool] = lambda _: True) -> Iterator[None]:
        """Whoever waits for an answer waits on: a world that stands still to be looked at."""
        self.is_held = whom
        try:
            yield
        finally:
            self.is_held = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> list[Recorded]:
        return [request for request in self.requests if request.path.endswith(CHATS)]

    @property
    def connections(self) -> int:
        return len(self._open)

    async def __aenter__(self) -> Self:
        self._random.seed(self.seed)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()
        while self._open:
            await self._until_changed()

    async def until(self, claim: Callable[[OpenAIServer], bool]) -> None:
        """Return once `claim` is true of this server; the caller bounds the wait."""
        while not claim(self):
            await self._until_changed()

    async def _until_changed(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # --- HTTP -------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (request := await _read_request(reader)) is not None:
                await self._answer(*request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed_by_client += 1
        except _HangUpError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._open.discard(writer)
            self._changed.set()

    async def _answer(
        self,
        path: str,
        headers: Json,
        raw: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if path.endswith("/models"):
            self._record(path, headers, {}, None)
            listed = {
                "object": "list",
                "data": [{"id": id, "object": "model"} for id in self.models],
            }
            await _send_json(writer, "200 OK", listed)
            return
        if not path.endswith(CHATS):
            await _send_json(writer, "404 Not Found", {"error": {"message": f"no route {path}"}})
            return
        body = json.loads(raw)
        is_response = path.endswith("/responses")
        reply, fault = self._decided(as_chat(body) if is_response else body)
        self._record(path, headers, body, fault)
        if self.delay:
            await asyncio.sleep(self.delay)
        while self.is_held is not None and self.is_held(body):
            await asyncio.sleep(0.02)
        await self._answer_chat(body, reply, fault, reader, writer)

    def _decided(self, body: Json) -> tuple[ServerReply, Fault | None]:
        position = len(self.calls)
        fault = self.faults[position] if position < len(self.faults) else None
        if position >= len(self.faults) and self._random.random() < self.fault_rate:
            fault = self._random.choice(self.fault_kinds)
        reply = _probe_reply(body) or self.brain(body)
        return reply, fault or reply.fault

    def _record(self, path: str, headers: Json, body: Json, fault: Fault | None) -> None:
        self.requests.append(Recorded(path, headers, body, fault))
        if self.log is not None and body:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps({"fault": fault, "request": body}, ensure_ascii=False) + "\n")
        self._changed.set()

    async def _answer_chat(
        self,
        body: Json,
        reply: ServerReply,
        fault: Fault | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if fault in STATUS_TEXT:
            await self._send_error(writer, fault)
        elif fault == "wrong_type":
            await _send(writer, "200 OK", "text/html", b"<html>Welcome</html>")
        elif fault == "disconnect":
            raise _HangUpError
        elif fault == "hang":
            await _until_closed(reader)
        else:
            kind = _Response if "input" in body else _Answer
            answer = kind(body, reply, fault, self.calls_tools, self.endless_piece)
            answer.number = len(self.calls)
            if body.get("stream") and fault != "not_streamed":
                await self._stream(answer, reader, writer)
            else:
                await _send_json(writer, "200 OK", answer.whole())

    async def _send_error(self, writer: asyncio.StreamWriter, fault: str) -> None:
        again = {"Retry-After": self.retry_after} if fault in ("429", "503") else {}
        # A server that quotes the key it was given, as several do.
        key = self.requests[-1].headers.get("authorization", "").removeprefix("Bearer ")
        error = {"message": f"{STATUS_TEXT[fault]}: you sent {key}", "code": fault, "type": "test"}
        await _send_json(writer, f"{fault} {STATUS_TEXT[fault]}", {"error": error}, again)

    async def _stream(
        self, answer: _Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(_head("200 OK", "text/event-stream", {"Transfer-Encoding": "chunked"}))
        async for data in _pieces_of(answer.events(), self.piece_bytes):
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
            # A drain below the high-water mark does not give way, and the reader shares this loop.
            await asyncio.sleep(0)
        if answer.fault in ("cut", "early_usage"):
            raise _HangUpError
        if answer.fault == "hang_midway":
            await _until_closed(reader)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


class _HangUpError(Exception):
    """The connection is to be closed now, by us."""


async def _until_closed(reader: asyncio.StreamReader) -> None:
    await reader.read(1)
    raise ConnectionResetError


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, Json, bytes] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None  # closed between two requests, as it should be
    lines = head.split("\r\n")
    path = lines[0].split(" ")[1]
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    return path, headers, await reader.readexactly(int(headers.get("content-length", "0")))


def _head(status: str, kind: str, more: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *(f"{k}: {v}" for k, v in more.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _send(
    writer: asyncio.StreamWriter,
    status: str,
    kind: str,
    body: bytes,
    more: Mapping[str, str] | None = None,
) -> None:
    writer.write(_head(status, kind, {"Content-Length": str(len(body)), **(more or {})}) + body)
    await writer.drain()


async def _send_json(
    writer: asyncio.StreamWriter, status: str, value: Json, more: Mapping[str, str] | None = None
) -> None:
    await _send(writer, status, "application/json", json.dumps(value).encode(), more)


async def _pieces_of(events: Iterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Each event a piece; or, with a size, all events cut anywhere, within a character too."""
    if not size:
        for event in events:
            yield event
        return
    left = b""
    for event in events:
        left += event
        while len(left) >= size:
            yield left[:size]
            left = left[size:]
    if left:
        yield left


# --- the answer -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Answer:
    """One answer, in the form that the request asks for, with its fault worked in."""

    body: Json
    reply: ServerReply
    fault: Fault | None
    calls_tools: bool
    endless_piece: Json
    number: int = 0

    def whole(self) -> Json:
        content, calls = self._content(), self._calls()
        message: Json = {"role": "assistant", "content": content, "refusal": self._refusal()}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": self._finish(bool(calls))}
        return {"object": "chat.completion", "choices": [choice], **self._usage()}

    def events(self) -> Iterator[bytes]:
        if self.fault == "endless":
            yield from (_event(self.endless_piece) for _ in range(100_000))
        if self.fault == "endless_counted":
            for count in range(1, 100_000):
                yield _event(
                    self.endless_piece,
                    usage={"prompt_tokens": 100, "completion_tokens": 50 * count},
                )
        deltas = list(self._deltas())
        if self.fault == "early_usage":
            yield _event(deltas[0], usage={"prompt_tokens": 100, "completion_tokens": 1})
            yield from (_event(delta) for delta in deltas[1 : len(deltas) // 2 + 1])
            return
        if self.fault in ("cut", "hang_midway"):
            yield from (_event(delta) for delta in deltas[: len(deltas) // 2 + 1])
            return
        yield b": keep-alive\n\n"
        yield from (_event(delta) for delta in deltas)
        if self.fault == "bad_piece":
            yield b"data: {oops\n\n"
        if self.fault == "error_in_stream":
            yield _data({"error": {"message": "the engine stopped", "type": "server_error"}})
        yield _event({}, self._finish(bool(self._calls())))
        if usage := self._usage():
            yield _data({"object": "chat.completion.chunk", "choices": [], **usage})
        yield b"data: [DONE]\n\n"

    def _deltas(self) -> Iterator[Json]:
        yield {"role": "assistant", "content": ""}
        yield from ({"content": part} for part in _split(self._content()))
        if refusal := self._refusal():
            yield {"refusal": refusal}
        for index, call in enumerate(self._calls()):
            function = call["function"]
            yield {
                "tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]
            }
            for part in _split(function["arguments"]):
                yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}

    def _as_tools(self) -> bool:
        return bool(self.body.get("tools")) and self.calls_tools

    def _moves(self) -> list[Json]:
        if self.fault in ("no_call", "empty", "refusal", "content_filter"):
            return []
        moves = [dict(move) for move in self.reply.moves]
        if self.fault == "unknown_move":
            return [{"move": "launch_rocket", "target": "moon"}]
        if self.fault == "schema_violation" and moves:
            moves[0]["mood"] = "sunny"
        return moves

    def _content(self) -> str:
        if self.fault == "no_call":
            return "I would rather talk about it."
        if self.fault == "malformed" and not self._as_tools():
            return '{"moves": [{"move": '
        moves = self._moves()
        if moves and not self._as_tools():
            return json.dumps({"moves": moves}, ensure_ascii=False)
        return "" if self.fault in ("empty", "refusal", "content_filter") else self.reply.text

    def _calls(self) -> list[Json]:
        if not self._as_tools():
            return []
        return [self._call(index, move) for index, move in enumerate(self._moves())]

    def _call(self, index: int, move: Json) -> Json:
        name, arguments = _as_tool(move)
        written = (
            '{"text": "half'
            if self.fault == "malformed"
            else json.dumps(arguments, ensure_ascii=False)
        )
        function = {"name": name, "arguments": written}
        return {"id": f"call_{index}", "type": "function", "function": function}

    def _refusal(self) -> str | None:
        return "I can't help with that." if self.fault == "refusal" else None

    def _finish(self, has_calls: bool) -> str:
        if self.fault in ("length", "content_filter"):
            return self.fault
        return "tool_calls" if has_calls else "stop"

    def _usage(self) -> Json:
        if self.fault == "no_usage" or self.reply.usage is None:
            return {}
        tokens_in, tokens_out = self.reply.usage
        counted: Json = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        if self.reply.details is not None:
            counted["prompt_tokens_details"] = self.reply.details
        return {"usage": {**counted, "total_tokens": tokens_in + tokens_out}}


class _Response(_Answer):
    """The same as a response."""

    def whole(self) -> Json:
        return response_of(super().whole(), self.body, self.number, self.fault)

    def events(self) -> Iterator[bytes]:
        return events_of(self.whole(), self.fault, self.endless_piece)


def _split(text: str, size: int = 24) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def _event(delta: Json, finish: str | None = None, usage: Json | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _data({"object": "chat.completion.chunk", "choices": [choice], "usage": usage})


def _data(value: Json) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


# --- reading a request ------------------------------------------------------------------------


def offered_moves(request: Json) -> list[str]:
    """The moves and functions that a request allows, as tools, whichever of the two modes it is
    in.
    """
    request = as_chat(request) if "input" in request else request
    if tools := request.get("tools"):
        return [tool["function"]["name"] for tool in tools]
    schema = request.get("response_format", {}).get("json_schema", {}).get("schema", {})
    items = schema.get("properties", {}).get("moves", {}).get("items", {})
    options = [option["properties"] for option in items.get("anyOf", [])]
    return [_as_tool({key: f.get("const") for key, f in fields.items()})[0] for fields in options]


def _as_tool(move: Json) -> tuple[str, Json]:
    """The tool that stands for a move, and its arguments: of a `use`, the function's."""
    if move["move"] == "use":
        return move["function"].replace("/", "_"), move.get("args") or {}
    return move["move"], {key: value for key, value in move.items() if key != "move"}


def user_text(request: Json) -> str:
    """All that was told, in order: what is asked now may be followed by results and corrections."""
    request = as_chat(request) if "input" in request else request
    return "\n".join(
        message["content"] for message in request["messages"] if message["role"] in ("user", "tool")
    )


def _probe_reply(request: Json) -> ServerReply | None:
    """A request whose one function is none of the moves asks whether functions are called at
    all.
    """
    offered = offered_moves(request)
    if offered == [PROBE]:
        return ServerReply([{"move": offered[0], "ready": True}], usage=(30, 5))
    return None


# --- brains -----------------------------------------------------------------------------------


def always(*moves: Json, text: str = "", usage: tuple[int, int] | None = (100, 20)) -> Brain:
    """A brain that answers the same to all."""
    return lambda request: ServerReply(moves, text=text, usage=usage)


@dataclass(slots=True)
class Replies:
    """A brain that answers in order; the last reply repeats."""

    replies: Sequence[ServerReply]
    _next: int = 0

    def __call__(self, request: Json) -> ServerReply:
        reply = self.replies[min(self._next, len(self.replies) - 1)]
        self._next += 1
        return reply


@dataclass(frozen=True, slots=True)
class MissionBrain:
    """A whole mission through all three tiers, decided by the prompt's text and the moves offered.

    It reads the last of these lines that stand in what it is told: `phase:
    propose|debate|respond|vote|review` (a seat) and `reports: id1, id2`; `role: NAME` (anybody else), `mail
    kind: KIND from ID` for what came.
    """

    executive_role: str = "executive"
    researcher_role: str = "researcher"
    result: str = "The answer is 42."
    finding: str = "Finding: 42 is what six by seven makes."
    looks: int = 0  # so often a researcher searches, one call after the other, before it reports

    def __call__(self, request: Json) -> ServerReply:
        offered = offered_moves(request)
        move = self._move(request, user_text(request))
        name, _ = _as_tool(move)
        if name not in offered:
            return ServerReply(text=f"no {name} among {', '.join(offered)}")
        return ServerReply([move])

    def _move(self, request: Json, text: str) -> Json:
        match _line(text, "phase"):
            case "propose":
                return self._propose_charter()
            case "debate":
                text = "One executive with a clear task is enough here."
                return {"move": "argue", "stance": "consent", "text": text}
            case "respond":
                return {"move": "respond", "decision": "keep", "reason": "It serves the mission."}
            case "vote":
                return {"move": "vote", "choice": "yes", "reason": "It serves the mission."}
            case "review":
                return self._propose_delivery(_line(text, "reports"))
        if _line(text, "role") == self.executive_role:
            return self._lead(request, text)
        if _searches_made(request) < self.looks:
            return {"move": "use", "function": "file/search", "args": {"query": "six by seven"}}
        return {"move": "report", "text": self.finding, "done": True}

    def _propose_charter(self) -> Json:
        charter = {
            "key": "lead",
            "name": "lead",
            "role": self.executive_role,
            "task": "Have the question of the mission researched, and report the answer.",
        }
        motion = {
            "motion": "charter",
            "executives": [charter],
            "reason": "The mission needs one lead.",
        }
        return {"move": "propose", "motion": motion}

    def _propose_delivery(self, reports: str) -> Json:
        named = [id.strip() for id in reports.split(",") if id.strip()]
        motion = {
            "motion": "deliver",
            "text": self.result,
            "reports": named,
            "reason": "It is answered.",
        }
        return {"move": "propose", "motion": motion}

    def _lead(self, request: Json, text: str) -> Json:
        if re.search(r"^mail kind: report from \S+", text, re.MULTILINE):
            return {"move": "report", "text": f"{self.result} {self.finding}", "done": True}
        if _has_spawned(request):
            if "wait" in offered_moves(request):
                return {"move": "wait", "whom": ["digger"]}
            if "think" in offered_moves(request):
                return {
                    "move": "think",
                    "thought": "My researcher is at work; I wait for its report.",
                }
            return {"move": "report", "text": "My researcher is at work.", "done": False}
        charter = {
            "role": self.researcher_role,
            "name": "digger",
            "task": "Find the answer and report it.",
        }
        return {"move": "spawn", "key": "digger", "charter": charter}


def _line(text: str, name: str) -> str:
    """The value of the last line `name: value`, or nothing."""
    found = re.findall(rf"^{name}:[ \t]*(.*)$", text, re.MULTILINE)
    return str(found[-1]).strip() if found else ""


def _searches_made(request: Json) -> int:
    return sum(_said(m).count('"file/search"') for m in request["messages"])


def _has_spawned(request: Json) -> bool:
    """By its own earlier moves; those that were given back as unusable were never made."""
    return any(
        '"spawn"' in _said(said)
        and not answer["content"].startswith("Your last answer could not be used")
        for said, answer in pairwise(request["messages"])
    )


def _said(message: Json) -> str:
    """The names of the moves and functions of an answer, be it calls or text."""
    if message["role"] != "assistant":
        return ""
    names = [call["function"]["name"] for call in message.get("tool_calls", ())]
    found = re.findall(r'"(?:function|move)":\s*"([\w/]+)"', message["content"]) + names
    return " ".join(f'"{name.replace("file_search", "file/search")}"' for name in found)


# --- as a process -----------------------------------------------------------------------------


def _fault_of(word: str) -> Fault | None:
    if word in ("", "none"):
        return None
    if word not in FAULTS:
        raise argparse.ArgumentTypeError(
            f"no such fault: {word} (none, {', '.join(sorted(FAULTS))})"
        )
    return word  # type: ignore[return-value]  # it is one of the literals, as just checked


def _plan(text: str) -> list[Fault | None]:
    return [_fault_of(word.strip()) for word in text.split(",")]


def _brain_of(script: str, looks: int) -> Brain:
    """`mission`, or a file of JSON lines, each the fields of a `ServerReply`."""
    if script == "mission":
        return MissionBrain(looks=looks)
    lines = Path(script).read_text(encoding="utf-8").splitlines()
    return Replies([ServerReply(**json.loads(line)) for line in lines if line.strip()])


async def _run(options: argparse.Namespace) -> None:
    server = OpenAIServer(
        _brain_of(options.script, options.looks),
        faults=options.faults,
        fault_rate=options.fault_rate,
        seed=options.seed,
        calls_tools=not options.no_tools,
        delay=options.delay,
        port=options.port,
        log=options.log,
    )
    async with server:
        print(server.base_url, flush=True)
        await asyncio.Event().wait()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="tests.openai_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one, printed")
    parser.add_argument("--script", default="mission", help="`mission`, or a file of JSON lines")
    parser.add_argument(
        "--looks", type=int, default=0, help="searches of each researcher of `mission`"
    )
    parser.add_argument("--faults", type=_plan, default=[], help="by call: none,429,none,cut")
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, help="chance of a fault beyond the plan"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-tools", action="store_true", help="ignore tools, as small models do")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--log", type=Path, help="append each request as a JSON line")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
