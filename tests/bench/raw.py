"""The floor under a client in Python: one protocol, hiredis to parse and to pack, one write for
each turn of the loop.

It has no reconnect, no time-out and no back-pressure: a measure for what such a client could reach,
not one to use.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis


class RawConnection(asyncio.Protocol):
    """RESP3, so that what rings (`on_push`) is told apart from what answers."""

    def __init__(self, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self._reader = hiredis.Reader()
        self._on_push = on_push
        # A reply nobody waits for has `None` in its place.
        self._waiting: deque[asyncio.Future[Any] | None] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if type(reply) is hiredis.PushNotification:
                assert self._on_push is not None
                self._on_push(reply)
                continue
            future = self._waiting.popleft()
            if isinstance(reply, Exception):
                raise reply
            if future is not None and not future.done():
                future.set_result(reply)

    def send(self, *words: str | bytes | int) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self._write(words, future)
        return future

    def tell(self, *words: str | bytes | int) -> None:
        """Send without waiting: the reply is read and dropped."""
        self._write(words, None)

    def push(self, *words: str | bytes | int) -> None:
        """A command whose answers are pushes, such as SUBSCRIBE."""
        assert self._transport is not None
        self._transport.write(_packed(words))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _write(
        self, words: tuple[str | bytes | int, ...], future: asyncio.Future[Any] | None
    ) -> None:
        self._waiting.append(future)
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(_packed(words))

    def _flush(self) -> None:
        assert self._transport is not None
        outgoing, self._outgoing = self._outgoing, []
        self._transport.write(b"".join(outgoing))


def _packed(words: tuple[str | bytes | int, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub says a tuple of one
    return packed


async def connect_raw(
    socket: Path, on_push: Callable[[list[Any]], None] | None = None
) -> RawConnection:
    _, made = await asyncio.get_running_loop().create_unix_connection(
        lambda: RawConnection(on_push), str(socket)
    )
    await made.send("HELLO", 3)
    return made
