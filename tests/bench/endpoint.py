"""An OpenAI-compatible endpoint that answers at once: a process of its own, with nothing beside the
standard library.

It asks for a function until the conversation has so many answers as the model's name says, then
ends the turn: `echo-21` is a turn of 21 calls with a function `echo`; `moves-21` is the same in
swarmd's moves. It counts what it was asked, for a client's own count would leave out what a client
asks without saying so.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MODEL: Final = re.compile(rb'"model": ?"(echo|moves)-(\d+)"')
_STREAM: Final = re.compile(rb'"stream": ?true')
_ANSWERED: Final = re.compile(rb'"role": ?"assistant"')
_USAGE: Final = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
_ID: Final = (
    "call-0000"  # each call of a conversation has its own: some clients tell them apart by it
)
_BESIDE: Final = {"id": "c-1", "created": 1, "model": "bench"}


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "content": None,
        "tool_calls": [{"index": 0, "id": _ID, "type": "function", "function": function}],
    }


_GO_ON: Final = {"echo": _call("echo", {"text": "again"}), "moves": _call("tree_list", {})}
_END: Final = {
    "echo": {"content": "done"},
    "moves": _call("report", {"text": "done", "done": True}),
}


def _whole(message: dict[str, Any]) -> bytes:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    answer = {**_BESIDE, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    body = json.dumps(answer).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _streamed(message: dict[str, Any]) -> bytes:
    """Four pieces, as providers send them: what, its end, the usage, and that this is all."""
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    pieces: list[dict[str, Any]] = [
        {
            "choices": [
                {"index": 0, "delta": {"role": "assistant", **message}, "finish_reason": None}
            ]
        },
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": _USAGE},
    ]
    events = [
        json.dumps({**_BESIDE, "object": "chat.completion.chunk", **piece}) for piece in pieces
    ]
    chunks = [f"data: {event}\n\n".encode() for event in (*events, "[DONE]")]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


_ANSWERS: Final = {
    (kind, is_end, is_streamed): (_streamed if is_streamed else _whole)(
        (_END if is_end else _GO_ON)[kind]
    )
    for kind in ("echo", "moves")
    for is_end in (False, True)
    for is_streamed in (False, True)
}


class _Endpoint(asyncio.Protocol):
    asked = 0  # by all connections

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                return
            request, self._buffer = bytes(self._buffer[:size]), self._buffer[size:]
            assert self._transport is not None
            self._transport.write(self._answer(request, request[end + 4 :]))

    def _answer(self, request: bytes, body: bytes) -> bytes:
        if request.startswith(b"GET"):
            count = str(_Endpoint.asked).encode()
            return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(count), count)
        _Endpoint.asked += 1
        model = _MODEL.search(body)
        assert model is not None
        answered = len(_ANSWERED.findall(body))
        answer = _ANSWERS[
            model[1].decode(), answered + 1 >= int(model[2]), _STREAM.search(body) is not None
        ]
        return answer.replace(_ID.encode(), b"call-%04d" % answered)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Endpoint, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with whoever started it.
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def endpoint() -> Iterator[str]:
    """Its base URL, while it runs."""
    command = (sys.executable, "-m", "tests.bench.endpoint")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()


def asked(base_url: str) -> int:
    """How many calls it has answered."""
    with urllib.request.urlopen(f"{base_url}/asked") as answer:
        return int(answer.read())


if __name__ == "__main__":
    asyncio.run(_serve())
