"""A proxy between a client and a server that does to a connection what networks do.

It listens on loopback TCP and passes bytes on to a TCP port or a unix socket. At any time
connections can be slowed, reset, made half-open (what is sent is taken and goes nowhere, and nobody
is told) or lose their replies: the server does what it was asked, and the client never learns of
it. Such faults can be left to dice, by exchange: one piece of a client's and what the server
answers to it.

A connection of which a byte was swallowed never carries another one: after a gap in it no TCP
stream goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Final

Target = tuple[str, int] | Path

_PIECE: Final = 65_536
_RING: Final = b"3\r\n$7\r\nmessage\r\n"  # of an array or of a push, after its first byte
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST and not FIN


@dataclass(slots=True)
class Proxy:
    """Its fields may be set while it runs, from any thread; `reset` ends the connections that
    are open.
    """

    target: Target
    delay: float = 0.0  # seconds that each piece waits, in either direction
    drops_replies: bool = False  # what the server answers is thrown away
    is_half_open: bool = False  # nothing passes either way
    loses: float = (
        0.0  # the chance of an exchange that it is done and its reply lost with its connection
    )
    resets: float = 0.0  # the chance of an exchange that its connection is reset within the request
    drops_rings: bool = False  # what pub/sub pushes is left out, each message whole
    dice: random.Random = field(default_factory=random.Random)
    port: int = 0
    opened: int = 0  # connections ever made
    exchanges: int = 0
    lost: int = 0  # replies
    was_reset: int = 0  # exchanges, by dice
    rings_dropped: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._open) // 2

    def reset(self) -> None:
        """Every open connection ends with a reset, on both sides."""
        assert self._loop is not None, "the proxy is not running"
        self._loop.call_soon_threadsafe(self._reset_all)

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _abort(writer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            serving = list(self._serving)
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            # A transport that was aborted lets its socket go in the loop's next round.
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio serves each connection in a task"
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.opened += 1
        try:
            inner_reader, inner_writer = await self._dial()
        except OSError:
            _abort(writer)
            return
        self._open |= {writer, inner_writer}
        link = _Link()
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._ask(link, reader, inner_writer, writer))
                ways.create_task(self._answer(link, inner_reader, writer))
        except asyncio.CancelledError:
            # The proxy ends. On Python 3.11 asyncio complains of a served connection whose task was
            # cancelled.
            return
        finally:
            self._open -= {writer, inner_writer}
            _abort(writer)
            _abort(inner_writer)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(str(self.target))
        return await asyncio.open_connection(*self.target)

    async def _ask(
        self,
        link: _Link,
        client: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await client.read(_PIECE):
                await self._hold(link)
                if link.is_deaf:
                    continue
                self.exchanges += 1
                thrown = self.dice.random() if self.loses or self.resets else 1.0
                if thrown < self.resets:
                    self.was_reset += 1
                    server.write(piece[: self.dice.randrange(len(piece))])
                    await server.drain()
                    _abort(back)
                    break
                if thrown < self.resets + self.loses:
                    link.loses_reply = True
                server.write(piece)
                await server.drain()
        server.close()

    async def _answer(
        self, link: _Link, server: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await server.read(_PIECE):
                await self._hold(link)
                if link.loses_reply:
                    self.lost += 1
                    _abort(client)
                    break
                if link.is_deaf:
                    continue
                if self.drops_rings or link.begun:
                    piece = self._without_rings(link, piece)
                if self.drops_replies:
                    link.is_deaf = True
                    continue
                client.write(piece)
                await client.drain()
        client.close()

    def _without_rings(self, link: _Link, piece: bytes) -> bytes:
        kept, link.begun = [], link.begun + piece
        while (end := _end_of_reply(link.begun, 0)) is not None:
            reply, link.begun = link.begun[:end], link.begun[end:]
            if self.drops_rings and reply[1:].startswith(_RING):
                self.rings_dropped += 1
            else:
                kept.append(reply)
        return b"".join(kept)

    async def _hold(self, link: _Link) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        link.is_deaf = link.is_deaf or self.is_half_open


@dataclass(slots=True)
class _Link:
    """One connection's own misfortune."""

    is_deaf: bool = False  # half-open, for good
    loses_reply: bool = False  # what the server says next is not heard, and the connection ends
    begun: bytes = b""  # of a reply that has not come whole, where rings are looked for


@contextmanager
def proxied(target: Target, *, seed: int = 0) -> Iterator[Proxy]:
    """A proxy that runs in a thread of its own, for tests that drive processes."""
    proxy, ready = Proxy(target, dice=random.Random(seed)), Future[None]()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with proxy.running():
            ready.set_result(None)
            await stop.wait()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(run())

    thread = Thread(target=work, name="proxy", daemon=True)
    thread.start()
    ready.result(timeout=10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)


def _end_of_reply(said: bytes, start: int) -> int | None:
    """Where the reply ends that begins at `start`; `None` where it has not come whole."""
    line = said.find(b"\r\n", start)
    if line < 0:
        return None
    kind, end = said[start : start + 1], line + 2
    if kind in b"$=!":
        length = int(said[start + 1 : line])
        end += length + 2 if length >= 0 else 0
        return end if end <= len(said) else None
    if kind in b"*>~%":
        inside: int | None = end
        for _ in range(int(said[start + 1 : line]) * (2 if kind == b"%" else 1)):
            inside = None if inside is None else _end_of_reply(said, inside)
        return inside
    return end


def _abort(writer: asyncio.StreamWriter) -> None:
    plain: socket.socket | None = writer.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0 and plain.family != socket.AF_UNIX:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
