"""A proxy between a client and a server that does to a connection what networks do.

It listens on loopback TCP and passes bytes on to a TCP port or a unix socket. At any time connections can be
slowed, reset, made half-open (what is sent is taken and goes nowhere, and nobody is told) or lose their
replies: the server does what it was asked, and the client never learns of it.
"""

from __future__ import annotations

import asyncio
import contextlib
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
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST and not FIN


@dataclass(slots=True)
class Proxy:
    """Its fields may be set while it runs, from any thread; `reset` ends the connections that are open."""

    target: Target
    delay: float = 0.0  # seconds that each piece waits, in either direction
    drops_replies: bool = False  # what the server answers is thrown away
    is_half_open: bool = False  # nothing passes either way
    port: int = 0
    opened: int = 0  # connections ever made
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

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
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(reader, inner_writer, is_reply=False))
                ways.create_task(self._pass(inner_reader, writer, is_reply=True))
        finally:
            self._open -= {writer, inner_writer}
            _abort(writer)
            _abort(inner_writer)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(str(self.target))
        return await asyncio.open_connection(*self.target)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(_PIECE):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.is_half_open or (is_reply and self.drops_replies):
                    continue
                sink.write(piece)
                await sink.drain()
        sink.close()


@contextmanager
def proxied(target: Target) -> Iterator[Proxy]:
    """A proxy that runs in a thread of its own, for tests that drive processes."""
    proxy, ready = Proxy(target), Future[None]()
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


def _abort(writer: asyncio.StreamWriter) -> None:
    plain: socket.socket | None = writer.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0 and plain.family != socket.AF_UNIX:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
