"""An OpenAI-compatible server on loopback whose answers come from a scripted mind, and which counts.

Every call takes the same time, its first token a fraction of it, so that calls that are made beside
each other are seen to overlap. Of a server with few slots a call waits until one is free. It reckons tokens as characters / 4, of what a model would read and
of what it wrote.
"""

from __future__ import annotations

import bisect
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.minds.shapes import Json
from tests.minds.work import Said

FIRST_TOKEN_PART: Final = 0.2  # of a call's time
CHARS_PER_TOKEN: Final = 4
CACHED_TOKENS_MIN: Final = 1_024  # a shorter prefix is no use to providers' caches

Mind = Callable[[Json], Said]


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was made and answered. Times in seconds of a steady clock."""

    began: float
    ended: float
    prompt: str  # all that a model would read, tools first
    written: int  # characters of the answer
    offered: tuple[str, ...]
    answer: Said


@dataclass(frozen=True, slots=True)
class Count:
    calls: int
    prompt_tokens: int
    uncached_tokens: int  # behind the longest prefix shared with an earlier call
    completion_tokens: int
    serial_steps: int  # the most calls of which no two were under way at the same time


def count(calls: Sequence[Call]) -> Count:
    prompts = [call.prompt for call in calls]
    cached, total = _cached(prompts), sum(map(len, prompts))
    return Count(
        len(calls),
        total // CHARS_PER_TOKEN,
        (total - cached) // CHARS_PER_TOKEN,
        sum(call.written for call in calls) // CHARS_PER_TOKEN,
        _serial_steps(calls),
    )


def _cached(prompts: Sequence[str]) -> int:
    """Characters in the longest prefix that each shares with one before it. In the order of the
    alphabet that one is next to it, so that only two are compared.
    """
    earlier: list[str] = []
    cached = 0
    for prompt in prompts:
        at = bisect.bisect(earlier, prompt)
        shared = max((_shared(one, prompt) for one in earlier[max(0, at - 1) : at + 1]), default=0)
        cached += shared if shared >= CACHED_TOKENS_MIN * CHARS_PER_TOKEN else 0
        earlier.insert(at, prompt)
    return cached


def _shared(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _serial_steps(calls: Sequence[Call]) -> int:
    """By the earliest end first: no other choice of calls without an overlap is larger."""
    steps, free_at = 0, float("-inf")
    for call in sorted(calls, key=lambda one: one.ended):
        if call.began >= free_at:
            steps, free_at = steps + 1, call.ended
    return steps


@dataclass(slots=True)
class MindServer:
    """`url` is its base URL. `calls` are those that are answered; a probe for tools is none."""

    mind: Mind
    seconds: float = 0.0  # of each call
    first_token_part: float = FIRST_TOKEN_PART
    slots: int = 0  # calls that are worked on at once; 0 is any number
    # What agents elsewhere call, by name: it has to be the same for all who are compared.
    functions: Mapping[str, Callable[[Json], str]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    slot: AbstractContextManager[Any] = field(init=False)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.slot = threading.Semaphore(self.slots) if self.slots else nullcontext()

    def answered(self, body: Json, answer: Said, began: float) -> None:
        """Before the last bytes of it leave: whoever has its answer finds it counted."""
        offered = tuple(tool["function"]["name"] for tool in body.get("tools", ()))
        ended = time.monotonic()
        call = Call(began, ended, _prompt_of(body), _written(answer), offered, answer)
        with self._lock:
            if offered != ("say_ready",):
                self.calls.append(call)

    def taken(self) -> list[Call]:
        """The calls since the last time, in the order in which they began."""
        with self._lock:
            calls, self.calls = self.calls, []
        return sorted(calls, key=lambda call: call.began)

    def next_id(self) -> str:
        with self._lock:
            return f"call_{next(self._ids)}"


def _prompt_of(body: Json) -> str:
    parts = [
        json.dumps(tool["function"], ensure_ascii=False, separators=(",", ":"))
        for tool in body.get("tools", ())
    ]
    for message in body.get("messages", ()):
        parts.append(str(message["role"]))
        content = message.get("content") or ""
        parts.append(content if isinstance(content, str) else _texts(content))
        for call in message.get("tool_calls") or ():
            parts.append(call["function"]["name"] + call["function"]["arguments"])
    return "\n".join(parts)


def _texts(content: Sequence[Json]) -> str:
    return "".join(str(part.get("text", "")) for part in content)


def _written(answer: Said) -> int:
    calls = ((name, json.dumps(args, ensure_ascii=False)) for name, args in answer.calls)
    return len(answer.text) + sum(len(name) + len(args) for name, args in calls)


@contextmanager
def serving(
    mind: Mind,
    *,
    seconds: float = 0.0,
    first_token_part: float = FIRST_TOKEN_PART,
    slots: int = 0,
    functions: Mapping[str, Callable[[Json], str]] | None = None,
) -> Iterator[MindServer]:
    here = MindServer(mind, seconds, first_token_part, slots, functions or {})

    class Handler(_Handler):
        server_of = here

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        here.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield here
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of: MindServer
    protocol_version = "HTTP/1.1"
    # Each small piece of a stream would otherwise wait for the acknowledgement of the one before.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the counts are what is told."""

    def do_GET(self) -> None:
        self._whole({"object": "list", "data": [{"id": "mind", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        _, is_function, name = self.path.partition("/functions/")
        if is_function:
            self._send("text/plain; charset=utf-8", self.server_of.functions[name](body).encode())
            return
        with self.server_of.slot:
            self._answer(body, time.monotonic())

    def _answer(self, body: Json, began: float) -> None:
        here = self.server_of
        answer, seconds = here.mind(body), here.seconds
        calls = [_tool_call(here.next_id(), *call) for call in answer.calls]
        prompt, written = len(_prompt_of(body)) // CHARS_PER_TOKEN, _written(answer)
        usage = {"prompt_tokens": prompt, "completion_tokens": written // CHARS_PER_TOKEN}
        usage["total_tokens"] = sum(usage.values())
        finish = "tool_calls" if calls else "stop"
        if not body.get("stream"):
            time.sleep(seconds)
            message = {"role": "assistant", "content": answer.text or None}
            message |= {"tool_calls": calls} if calls else {}  # type: ignore[dict-item]
            choice = {"index": 0, "message": message, "finish_reason": finish}
            here.answered(body, answer, began)
            self._whole(
                {**_BESIDE, "object": "chat.completion", "choices": [choice], "usage": usage}
            )
            return
        self._head("text/event-stream", {"Transfer-Encoding": "chunked"})
        time.sleep(seconds * here.first_token_part)
        self._event({"role": "assistant", "content": ""})
        time.sleep(seconds * (1 - here.first_token_part))
        if answer.text:
            self._event({"content": answer.text})
        for index, call in enumerate(calls):
            self._event({"tool_calls": [{"index": index, **call}]})
        self._event({}, finish)
        here.answered(body, answer, began)
        self._chunk({**_BESIDE, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        self.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _head(self, kind: str, more: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()

    def _whole(self, value: Json) -> None:
        self._send("application/json", json.dumps(value).encode())

    def _send(self, kind: str, data: bytes) -> None:
        self._head(kind, {"Content-Length": str(len(data))})
        self.wfile.write(data)

    def _event(self, delta: Json, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self._chunk({**_BESIDE, "object": "chat.completion.chunk", "choices": [choice]})

    def _chunk(self, value: Json) -> None:
        data = b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


_BESIDE: Final = {"id": "chatcmpl-mind", "created": 1, "model": "mind"}


def _tool_call(id: str, name: str, arguments: Json) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": id, "type": "function", "function": function}


def main() -> None:
    """`python -m tests.minds.server`: the capable mind by itself, until it is interrupted."""
    from tests.minds.capable import CapableMind

    with serving(CapableMind(), seconds=float(os.environ.get("CALL_SECONDS", "0"))) as here:
        print(here.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
