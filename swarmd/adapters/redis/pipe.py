"""One connection for all of a process's commands: what is ready in one turn of the loop travels in one write.

Callers hand a command over and wait for its reply; replies come in the order of commands. A caller that is
cancelled loses its reply, never the connection's order: commands are not cancelled in flight.

Everything sent here may be sent twice, so what a lost connection left open is sent again, until the
server answers or the command is older than `patience` seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from swarmd.adapters.redis.failures import refused
from swarmd.adapters.redis.line import Connection, Dial, Refusal, packed
from swarmd.adapters.redis.lua import Script
from swarmd.adapters.redis.wire import COMMAND_SECONDS
from swarmd.errors import StoreFullError, StoreUnavailableError, SwarmError

log = structlog.get_logger(__name__)

# Commands that wait or are under way: beyond it callers wait to hand over, so that memory is bounded when the
# server is away.
DEPTH_MAX: Final = 8_192
# Of a refused command: a commit's keys include one of each output.
KEYS_TOLD_MAX: Final = 12
RETRY_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
# A server that forgets a script as soon as it has it is told of, not asked for ever.
LOADS_MAX: Final = 5
_NOSCRIPT: Final = "NOSCRIPT"


@dataclass(slots=True, eq=False)
class _Item:
    packed: bytes
    script: Script | None
    keys: Sequence[str]
    future: asyncio.Future[Any] | None  # none: nobody waits for the reply
    since: float
    was_refused: bool = False  # for now: it is sent again
    loads: int = 0  # how often its script was loaded for it


@dataclass(slots=True, eq=False)
class Pipe:
    """Run `run()` in a task group; then call from any task of the loop. Implements `Receiver`."""

    dial: Dial
    patience: float = 3_600.0
    connections: int = 0
    """How many were made. What is told of one connection says nothing of the next."""
    _waiting: deque[_Item] = field(default_factory=deque)
    _sent: deque[_Item] = field(default_factory=deque)  # in the order in which replies will come
    _held: list[_Item] = field(default_factory=list)  # refused for now, to be sent again
    _line: Connection | None = None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _is_flushing: bool = False
    _is_away: bool = False
    _is_refusing: bool = False
    _loading: set[str] = field(default_factory=set)  # scripts that are on their way to the server
    _tries: int = 0
    _alarm: asyncio.TimerHandle | None = None  # for a reply that does not come
    _pause: asyncio.TimerHandle | None = None  # until what was refused is sent again

    @property
    def is_away(self) -> bool:
        """The server cannot be reached, or does not take what it is sent, at the moment."""
        return self._is_away

    async def evaluate(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script. Raises `SwarmError` for what the server says or when patience is over."""
        return await self._hand_over(("EVALSHA", script.sha, len(keys), *keys, *args), script, keys)

    async def execute(self, *command: str | int | float) -> Any:
        """Send one command that may be repeated."""
        return await self._hand_over(command, None, _key_of(command))

    async def execute_all(self, commands: Sequence[tuple[str | int | float, ...]]) -> list[Any]:
        """Send commands that may be repeated, together: one wait and no task for each."""
        await self._until_there_is_room()
        return await asyncio.gather(*(self._queue(command, None, _key_of(command)) for command in commands))

    async def _hand_over(self, command: tuple[Any, ...], script: Script | None, keys: Sequence[str]) -> Any:
        await self._until_there_is_room()
        return await self._queue(command, script, keys)

    async def _until_there_is_room(self) -> None:
        while len(self._waiting) + len(self._sent) + len(self._held) >= DEPTH_MAX:
            self._room.clear()
            await self._room.wait()

    def _queue(
        self, command: tuple[Any, ...], script: Script | None, keys: Sequence[str]
    ) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append(_Item(packed(command), script, keys, future, loop.time()))
        if self._line is None:
            self._wanted.set()
        elif not self._is_flushing:
            self._is_flushing = True
            loop.call_soon(self._flush)
        return future

    # --- the connection's life ---

    async def run(self) -> None:
        """Own the connection until cancelled; then every caller that still waits is told."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                try:
                    await self._stay_connected()
                except StoreUnavailableError as error:
                    self._held_up(error)
                self._give_up_on_the_old()
                if self._waiting:
                    self._wanted.set()
                    await asyncio.sleep(self._backoff())
        finally:
            if self._line is not None:
                self._line.abort()
            for timer in (self._alarm, self._pause):
                if timer is not None:
                    timer.cancel()
            for item in (*self._sent, *self._held, *self._waiting):
                if item.future is not None:
                    _fail(item, StoreUnavailableError("this process is going"))

    async def _stay_connected(self) -> None:
        self._gone.clear()
        line = await self.dial(self)
        if self._gone.is_set():
            # Lost before it was handed over.
            return
        self._line = line
        self.connections += 1
        self._flush()
        await self._gone.wait()

    def _backoff(self) -> float:
        self._tries += 1
        return RETRY_SECONDS[min(self._tries, len(RETRY_SECONDS)) - 1]

    def _give_up_on_the_old(self) -> None:
        now = asyncio.get_running_loop().time()
        # In the order in which they were handed over, but for what was sent again: the eldest are in front.
        while self._waiting and now - self._waiting[0].since > self.patience:
            item = self._waiting.popleft()
            if item.future is None:
                self._loading.discard(item.keys[0])
            self._is_refusing = self._is_refusing and not item.was_refused
            _fail(item, StoreUnavailableError("the server did not answer in time", hint="is it running?"))
        self._room.set()

    def _flush(self) -> None:
        self._is_flushing = False
        line = self._line
        if line is None or self._pause is not None or line.is_clogged or not self._waiting:
            return
        line.write([item.packed for item in self._waiting])
        self._sent += self._waiting
        self._waiting.clear()
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(COMMAND_SECONDS, self._look, line)

    def _look(self, line: Connection) -> None:
        """Drop a connection that owes a reply and has said nothing for as long as a command may take."""
        self._alarm = None
        if line is not self._line or not self._sent:
            return
        loop = asyncio.get_running_loop()
        # What was handed over later than anything was heard has been waiting since then.
        due = max(line.heard_at, self._sent[0].since) + COMMAND_SECONDS
        # Compared with the very number that the alarm is set to: a difference of two times is rounded, may be less than
        # what was added, and then the alarm rings again at the same moment, for as long as that moment lasts.
        if loop.time() >= due:
            self._held_up(StoreUnavailableError("the server did not answer in time"))
            line.abort()
            return
        self._alarm = loop.call_at(due, self._look, line)

    # --- of `Receiver` ---

    def replied(self, reply: Any) -> None:
        if not self._sent:
            # An answer to nothing: whatever speaks there, what it says next is not what was asked.
            if self._line is not None:
                self._line.abort()
            return
        item = self._sent.popleft()
        if item.future is None:
            self._loading.discard(item.keys[0])
        if isinstance(reply, Refusal):
            self._refused(item, reply)
        else:
            if item.future is not None and not item.future.done():
                item.future.set_result(reply)
            # Where only writes are refused, reads are answered all along.
            if self._tries and (item.was_refused or not self._is_refusing):
                self._is_back()
        if not self._room.is_set():
            self._room.set()

    def resumed(self) -> None:
        self._flush()

    def lost(self, why: StoreUnavailableError) -> None:
        """What was open is sent again on the next connection, before what came later."""
        self._line = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        # Another server, or the same after a restart, may lack every script: loads are asked for anew.
        self._loading.clear()
        self._waiting.extendleft(item for item in reversed(self._sent) if item.future is not None)
        self._sent.clear()
        self._resume()
        if self._waiting:
            self._held_up(why)
            self._wanted.set()
        self._gone.set()

    # --- replies that refuse ---

    def _refused(self, item: _Item, reply: Refusal) -> None:
        text = str(reply)
        if item.script is not None and text.startswith(_NOSCRIPT) and item.loads < LOADS_MAX:
            item.loads += 1
            self._load_and_repeat(item, item.script)
            return
        error = refused(text)
        if not isinstance(error, StoreUnavailableError | StoreFullError):
            self._is_refusing = self._is_refusing and not item.was_refused
            _fail(item, _about(error, item.keys))
            return
        # Nothing was written. It waits as for an absent server; back-pressure reaches the callers.
        item.was_refused = self._is_refusing = True
        self._held.append(item)
        self._held_up(error)
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(self._backoff(), self._resume)
        if isinstance(error, StoreUnavailableError) and self._line is not None:
            # Another server may have what this one lacks: the next connection is made to where it is then.
            self._line.abort()

    def _load_and_repeat(self, item: _Item, script: Script) -> None:
        self._waiting.appendleft(item)
        # Many callers miss a script at once; one load before the first of them is enough for all.
        if script.name not in self._loading:
            self._loading.add(script.name)
            load = _Item(packed(("SCRIPT", "LOAD", script.text)), None, (script.name,), None, item.since)
            self._waiting.appendleft(load)
        self._flush()

    def _resume(self) -> None:
        """Send again what was refused for now, in its order and before what came later."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._waiting.extendleft(reversed(self._held))
        self._held.clear()
        self._give_up_on_the_old()
        self._flush()

    def _held_up(self, why: SwarmError) -> None:
        if not self._is_away:
            what = "is full" if isinstance(why, StoreFullError) else "is away"
            waiting = len(self._waiting) + len(self._sent) + len(self._held)
            log.warning(
                f"the server {what}; what waits is sent again", why=why.what, hint=why.hint, waiting=waiting
            )
        self._is_away = True

    def _is_back(self) -> None:
        self._tries, self._is_refusing = 0, False
        if self._is_away:
            self._is_away = False
            log.info("the server is back")


def _key_of(command: tuple[str | int | float, ...]) -> Sequence[str]:
    """What a refusal of a plain command names."""
    return [str(word) for word in command[1:2]]


def _about(error: SwarmError, keys: Sequence[str]) -> SwarmError:
    """The same failure, with the keys that the command was about."""
    told = ", ".join(keys[:KEYS_TOLD_MAX])
    return type(error)(f"{error.what} (keys: {told})", hint=error.hint)


def _fail(item: _Item, error: SwarmError) -> None:
    if item.future is None:
        log.warning("a command of the pipe's own was refused", why=error.what, about=item.keys)
    elif not item.future.done():
        item.future.set_exception(error)
