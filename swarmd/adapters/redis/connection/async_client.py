"""A connection for who looks and may not block: what was asked is asked again when it is lost.

Only reads go over it, so asking twice does nothing twice. One question is under way at a time, and
the others wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from swarmd.adapters.redis.connection.address import Target
from swarmd.adapters.redis.connection.connection import (
    Connection,
    Dialler,
    Refusal,
    dial,
    packed,
)
from swarmd.adapters.redis.connection.errors import AWAY_HINT, refused
from swarmd.adapters.redis.connection.sync_client import COMMAND_SECONDS, ErrorReply, Reply, Status
from swarmd.adapters.redis.keys import Keys
from swarmd.core.model.names import Channel
from swarmd.errors import StoreUnavailableError

_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
# What the server answers with a word of its own, which is no value.
_STATUS_COMMANDS: Final = frozenset({b"TYPE"})


class _Answers:
    """Receives the replies to some commands."""

    __slots__ = ("_left", "_replies", "all", "is_lost")

    def __init__(self) -> None:
        self._left, self._replies, self.is_lost = 0, list[Any](), False
        self.all: asyncio.Future[list[Any]] | None = None

    def expect(self, count: int) -> asyncio.Future[list[Any]]:
        self._left, self._replies = count, []
        self.all = asyncio.get_running_loop().create_future()
        return self.all

    def replied(self, reply: Any) -> None:
        self._replies.append(reply)
        if self.all is not None and not self.all.done() and len(self._replies) == self._left:
            self.all.set_result(self._replies)

    def lost(self, why: StoreUnavailableError) -> None:
        self.is_lost = True
        if self.all is not None and not self.all.done():
            self.all.set_exception(why)

    def resumed(self) -> None:
        """What is asked is short: nothing is held back."""


class AsyncWire:
    """Asks, as `Wire` does. Raises `StoreUnavailableError` where the server stays away for
    `away_seconds`.
    """

    def __init__(self, target: Target, namespace: str, *, away_seconds: float) -> None:
        self._dial: Dialler = dial(target, namespace=namespace, name="swarmd-reader", as_bytes=True)
        self._away_seconds = away_seconds
        self._answers = _Answers()
        self._connection: Connection | None = None
        self._asking = asyncio.Lock()
        self.address = str(self._dial.place)

    async def exchange(self, commands: Sequence[Sequence[bytes]]) -> list[Reply]:
        """The answers, in the order of the commands."""
        if not commands:
            return []
        async with self._asking:
            end, failures = 0.0, 0
            loop = asyncio.get_running_loop()
            while True:
                try:
                    return await self._once(commands)
                except StoreUnavailableError:
                    end = end or loop.time() + self._away_seconds
                    if loop.time() >= end:
                        raise
                pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                await asyncio.sleep(max(0.0, min(pause, end - loop.time())))
                failures += 1

    async def _once(self, commands: Sequence[Sequence[bytes]]) -> list[Reply]:
        is_answered = False
        try:
            # It may have been lost while nothing was asked.
            if self._connection is None or self._answers.is_lost:
                self._answers = _Answers()
                self._connection = await self._dial(self._answers)
            answered = self._answers.expect(len(commands))
            self._connection.write([packed(command) for command in commands])
            async with asyncio.timeout(COMMAND_SECONDS):
                replies = await answered
            found = [
                _reply(words[0], reply) for words, reply in zip(commands, replies, strict=True)
            ]
            _raise_if_loading(found)
            is_answered = True
        except TimeoutError as error:
            raise StoreUnavailableError(
                f"{self.address}: the server did not answer in time", hint=AWAY_HINT
            ) from error
        finally:
            # Also where the asker was cancelled: a late reply would answer the next question.
            if not is_answered:
                self.close()
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


def _raise_if_loading(replies: Sequence[Reply]) -> None:
    """Raises what a server says that has just started and is still loading."""
    for reply in replies:
        if isinstance(reply, ErrorReply):
            error = refused(reply)
            if isinstance(error, StoreUnavailableError):
                raise error


def _reply(command: bytes, reply: Any) -> Reply:
    """As `Wire` gives it: a refusal is a value, and a status is told from a text."""
    if isinstance(reply, Refusal):
        return ErrorReply(str(reply))
    if command.upper() in _STATUS_COMMANDS and isinstance(reply, bytes):
        return Status(reply.decode("utf-8", "replace"))
    found: Reply = reply
    return found


class AsyncBell:
    """Implements `AsyncNotifications`, on a connection of its own, and is silent while the server
    is away: whoever waits reads the streams after each wait.
    """

    def __init__(self, target: Target, namespace: str, channels: Iterable[Channel]) -> None:
        keys = Keys(namespace)
        self._dial = dial(target, namespace=namespace, name="swarmd-reader", as_bytes=True)
        self._names = [keys.channel(channel) for channel in channels]
        self._connection: Connection | None = None
        self._is_lost = True
        self._rung = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self._is_lost:
                    await self._connect()
                # The confirmation of a subscription counts too: what was posted before it is on
                # the streams.
                await self._rung.wait()
                self._rung.clear()
                return True
        except TimeoutError:
            return False

    async def _connect(self) -> None:
        self._is_lost = False
        try:
            self._connection = await self._dial(self)
            self._connection.write([packed(("SUBSCRIBE", *self._names))])
        except StoreUnavailableError:
            self._is_lost = True
            await asyncio.sleep(_PAUSES[-2])
        except asyncio.CancelledError:
            self._is_lost = True
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    # --- of `Receiver` ---

    def replied(self, reply: Any) -> None:
        self._rung.set()

    def lost(self, why: StoreUnavailableError) -> None:
        self._is_lost = True
        self._rung.set()

    def resumed(self) -> None:
        """Nothing is written but the subscription."""
