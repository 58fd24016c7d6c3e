"""fakeredis behind the product's own `Pipe`: the same scripts, no server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis
from fakeredis import FakeAsyncRedis
from redis.exceptions import NoScriptError, ResponseError

from swarmd.adapters.redis.connection.connection import Connection, Receiver, Refusal


@dataclass(frozen=True, slots=True)
class FakeDial:
    """Implements `Dial`."""

    client: FakeAsyncRedis

    async def __call__(self, receiver: Receiver) -> Connection:
        return FakeConnection(self.client, receiver)


@dataclass(slots=True)
class FakeConnection:
    """Implements `Connection`: replies come in the order of what was written, one turn of the
    loop later.
    """

    client: FakeAsyncRedis
    receiver: Receiver
    _queue: list[list[Any]] = field(default_factory=list)
    _worker: asyncio.Task[None] | None = None
    is_clogged: bool = False
    heard_at: float = 0.0

    def write(self, packed: Sequence[bytes]) -> None:
        reader = hiredis.Reader()
        reader.feed(b"".join(packed))
        while (command := reader.gets()) is not False:
            self._queue.append(command)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._queue:
            command = self._queue.pop(0)
            reply = await _answer(self.client, command)
            self.heard_at = asyncio.get_running_loop().time()
            self.receiver.replied(reply)
        self._worker = None

    def abort(self) -> None:
        if self._worker is not None:
            self._worker.cancel()


async def _answer(client: FakeAsyncRedis, command: list[bytes]) -> Any:
    pool = client.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    if command[0] == b"INFO":
        return ""  # fakeredis does not know it
    try:
        await connection.send_command(*command)
        return await connection.read_response()
    except NoScriptError as refusal:
        return Refusal(f"NOSCRIPT {refusal}")
    except ResponseError as refusal:
        return Refusal(str(refusal))
    finally:
        await pool.release(connection)
