"""One connection, one owner task: the writes of many agents travel in one round trip (group commit).

Callers hand a command over and wait for its reply. While a round trip is under way, what is handed over
gathers; the next takes all of it. A caller that is cancelled loses its reply, never the connection's
order: commands are not cancelled in flight.

Everything sent here may be sent twice, so what a lost connection left open is sent again, until the
server answers or the command is older than `patience` seconds.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog
from hiredis import pack_command
from redis.exceptions import NoScriptError, ResponseError

from swarmd.adapters.redis.connect import translate
from swarmd.adapters.redis.lua import Script
from swarmd.errors import StoreFullError, StoreUnavailableError, SwarmError

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

log = structlog.get_logger(__name__)

# Commands of one round trip: large enough to amortise it, small enough that one caller's wait stays short.
BATCH_MAX: Final = 256
# Commands that may wait: beyond it callers wait to hand over, so that memory is bounded when Redis is away.
DEPTH_MAX: Final = 8_192
# Of a refused command: a commit's keys include one of each output.
KEYS_TOLD_MAX: Final = 12
RETRY_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(slots=True, eq=False)
class _Item:
    packed: bytes
    script: Script | None
    keys: Sequence[str]
    future: asyncio.Future[Any]
    since: float


@dataclass(slots=True)
class Pipe:
    """Give it a client and run `run()` in a task group; then call from any task of the loop."""

    client: Redis
    patience: float = 3_600.0
    _waiting: deque[_Item] = field(default_factory=deque)
    _bell: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _is_away: bool = False

    @property
    def is_away(self) -> bool:
        """The last round trip failed: the server cannot be reached at the moment."""
        return self._is_away

    async def evaluate(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script. Raises `SwarmError` for what the server says or when patience is over."""
        return await self._hand_over(("EVALSHA", script.sha, len(keys), *keys, *args), script, keys)

    async def execute(self, *command: str | int | float) -> Any:
        """Send one command that may be repeated."""
        return await self._hand_over(command, None, [str(word) for word in command[1:2]])

    async def _hand_over(self, command: tuple[Any, ...], script: Script | None, keys: Sequence[str]) -> Any:
        while len(self._waiting) >= DEPTH_MAX:
            self._room.clear()
            await self._room.wait()
        loop = asyncio.get_running_loop()
        item = _Item(_packed(command), script, keys, loop.create_future(), loop.time())
        self._waiting.append(item)
        self._bell.set()
        return await item.future

    async def run(self) -> None:
        """Own the connection until cancelled; then every caller that still waits is told."""
        try:
            while True:
                await self._bell.wait()
                self._bell.clear()
                while self._waiting:
                    count = min(len(self._waiting), BATCH_MAX)
                    batch = [self._waiting.popleft() for _ in range(count)]
                    self._room.set()
                    await self._send_until_answered(batch)
        finally:
            for item in self._waiting:
                _fail(item, StoreUnavailableError("this process is going"))

    async def _send_until_answered(self, batch: list[_Item]) -> None:
        tries = 0
        try:
            while batch:
                batch = await self._round_trip(batch)
                if batch:
                    batch = self._give_up_on_the_old(batch)
                    # What only lacked its script has it now, and goes at once.
                    if self._is_away or tries:
                        await asyncio.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
                    tries += 1
            # Said when all of it was answered: where only writes are refused, reads are answered all along.
            if tries and self._is_away:
                self._is_away = False
                log.info("the server is back")
        finally:
            for item in batch:
                _fail(item, StoreUnavailableError("this process is going"))

    def _give_up_on_the_old(self, batch: list[_Item]) -> list[_Item]:
        now = asyncio.get_running_loop().time()
        for item in batch:
            if now - item.since > self.patience:
                _fail(item, StoreUnavailableError("the server did not answer in time", hint="is it running?"))
        return [item for item in batch if not item.future.done()]

    async def _round_trip(self, batch: list[_Item]) -> list[_Item]:
        """Send all; return those to send again."""
        try:
            replies = await self._exchange([item.packed for item in batch])
        except Exception as error:
            away = translate(error)
            if not isinstance(away, StoreUnavailableError):
                raise away from error
            self._held_up(away, len(batch))
            return batch
        return await self._hand_back(batch, replies)

    async def _exchange(self, packed: list[bytes]) -> list[Any]:
        """All in one write, then all replies in order; what the server refuses is an exception in its place.

        One step below redis-py's pipeline, which packs every argument in Python and arms a timer for every
        reply: together half of what a commit cost. An error or a cancellation between write and last reply
        closes the connection (redis-py does), so no reply is ever taken for another's.
        """
        pool = self.client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        try:
            # Sending has a timer of its own, and on Python 3.11 one that may swallow ours.
            await connection.send_packed_command(packed)
            async with asyncio.timeout(connection.socket_timeout):
                return [await _reply(connection) for _ in packed]
        finally:
            await pool.release(connection)

    async def _hand_back(self, batch: list[_Item], replies: list[Any]) -> list[_Item]:
        again: list[_Item] = []
        for item, reply in zip(batch, replies, strict=True):
            if not isinstance(reply, Exception):
                if not item.future.done():
                    item.future.set_result(reply)
                continue
            if item.script is not None and isinstance(reply, NoScriptError):
                again.append(item)
                continue
            error = translate(reply)
            if isinstance(error, StoreUnavailableError | StoreFullError):
                # Full: nothing was written. It waits as for an absent server; back-pressure reaches the callers.
                again.append(item)
                self._held_up(error, len(batch))
            else:
                _fail(item, _about(error, item.keys))
        await self._load({item.script for item in again if item.script is not None})
        return again

    def _held_up(self, why: SwarmError, waiting: int) -> None:
        if not self._is_away:
            what = "is full" if isinstance(why, StoreFullError) else "is away"
            log.warning(
                f"the server {what}; what waits is sent again", why=why.what, hint=why.hint, waiting=waiting
            )
        self._is_away = True

    async def _load(self, scripts: set[Script]) -> None:
        for missing in scripts:
            try:
                await self.client.script_load(missing.text)
            except Exception as error:  # noqa: BLE001 - the next round trip meets and reports the same
                log.warning("a script could not be loaded", script=missing.name, why=str(translate(error)))


def _about(error: SwarmError, keys: Sequence[str]) -> SwarmError:
    """The same failure, with the keys that the command was about."""
    return type(error)(f"{error.what} (keys: {', '.join(keys[:KEYS_TOLD_MAX])})", hint=error.hint)


def _fail(item: _Item, error: SwarmError) -> None:
    if not item.future.done():
        item.future.set_exception(error)


def _packed(command: tuple[Any, ...]) -> bytes:
    """The command as it goes over the wire; packed once, however often it is sent."""
    try:
        return bytes(pack_command(command))
    except UnicodeEncodeError:
        # Half of a surrogate pair, as a model's JSON may name one, is no text: it becomes a question mark.
        return bytes(pack_command(tuple(_encodable(word) for word in command)))


def _encodable(word: Any) -> Any:
    return word.encode("utf-8", "replace") if isinstance(word, str) else word


async def _reply(connection: AbstractConnection) -> Any:
    try:
        # Without a timer of its own: the whole batch has one.
        return await connection.read_response(timeout=math.inf)
    except ResponseError as refusal:
        return refusal
