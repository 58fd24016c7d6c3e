"""One connection for all of a process's commands: what is ready in one turn of the loop travels in
one write.

Callers hand a command over and wait for its reply; replies come in the order of commands. A caller
that is cancelled loses its reply, never the connection's order: commands are not cancelled in
flight.

Everything sent here may be sent twice, so what a lost connection left open is sent again, until the
server answers or the command is older than `patience` seconds. So is what the server's user may not
do any more: whoever took the right away may give it back, and a process that ended would only be
started again to meet the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.adapters.redis.connection.availability import Availability
from swarmd.adapters.redis.connection.command_queue import CommandQueue
from swarmd.adapters.redis.connection.connection import Connection, Dial, Refusal, packed
from swarmd.adapters.redis.connection.errors import is_refused_for_good, refused
from swarmd.adapters.redis.connection.items import (
    Item,
    about,
    fail,
    key_of,
    send_whole,
)
from swarmd.adapters.redis.connection.rights import TakenRights
from swarmd.adapters.redis.connection.script_loads import ScriptLoads
from swarmd.adapters.redis.connection.sync_client import COMMAND_SECONDS
from swarmd.adapters.redis.lua import Script
from swarmd.errors import (
    StoreDeniedError,
    StoreFullError,
    StoreUnavailableError,
    SwarmError,
)

# Commands that wait or are under way: beyond it callers wait to hand over, so that memory is
# bounded when the server is away.
DEPTH_MAX: Final = 8_192


@dataclass(slots=True, eq=False)
class Pipe:
    """Run `run()` in a task group; then call from any task of the loop. Implements `Receiver`."""

    dial: Dial
    patience: float = 3_600.0
    connections: int = 0
    """How many were made. What is told of one connection says nothing of the next."""
    _queue: CommandQueue = field(default_factory=CommandQueue)
    _server: Availability = field(default_factory=Availability)
    _line: Connection | None = None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _is_flushing: bool = False
    _loads: ScriptLoads = field(default_factory=ScriptLoads)
    _rights: TakenRights = field(default_factory=TakenRights)
    _asking_again: asyncio.TimerHandle | None = None
    _alarm: asyncio.TimerHandle | None = None  # for a reply that does not come
    _pause: asyncio.TimerHandle | None = None  # until what was refused is sent again

    @property
    def is_away(self) -> bool:
        """The server cannot be reached, or does not take what it is sent, at the moment."""
        return self._server.is_away

    @property
    def trouble(self) -> str:
        """Why the server does not do what it is asked, at the moment. Empty where it does."""
        return self._rights.why or (self._server.why if self._server.is_away else "")

    async def evaluate(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | int],
        *,
        is_optional: bool = False,
    ) -> Any:
        """Run a script. Raises `SwarmError` for what the server says or when patience is over.

        Where it is optional a missing right is told at once, and not waited for.
        """
        command = ("EVALSHA", script.sha, len(keys), *keys, *args)
        return await self._hand_over(command, script, keys, is_optional=is_optional)

    async def execute(self, *command: str | int | float, is_optional: bool = False) -> Any:
        """Send one command that may be repeated. `is_optional` as in `evaluate`."""
        return await self._hand_over(command, None, key_of(command), is_optional=is_optional)

    async def execute_all(self, commands: Sequence[tuple[str | int | float, ...]]) -> list[Any]:
        """Send commands that may be repeated, together: one wait and no task for each."""
        await self._until_there_is_room()
        return await asyncio.gather(
            *(self._hand_in(command, None, key_of(command)) for command in commands)
        )

    async def _hand_over(
        self,
        command: tuple[Any, ...],
        script: Script | None,
        keys: Sequence[str],
        *,
        is_optional: bool,
    ) -> Any:
        await self._until_there_is_room()
        return await self._hand_in(command, script, keys, is_optional=is_optional)

    async def _until_there_is_room(self) -> None:
        while len(self._queue) + len(self._rights.denied) >= DEPTH_MAX:
            self._room.clear()
            await self._room.wait()

    def _hand_in(
        self,
        command: tuple[Any, ...],
        script: Script | None,
        keys: Sequence[str],
        *,
        is_optional: bool = False,
    ) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        name = command[0] if script is None else script.name
        item = Item(packed(command), name, script, keys, future, loop.time(), is_optional)
        if script is not None and self._loads.sends_whole:
            send_whole(item, script)
        self._queue.waiting.append(item)
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
                await self._try_to_stay_connected()
                self._give_up_on_the_old()
                if self._queue.waiting:
                    self._wanted.set()
                    await asyncio.sleep(self._server.backoff())
        finally:
            self._end()

    async def _try_to_stay_connected(self) -> None:
        try:
            await self._stay_connected()
        except StoreUnavailableError as error:
            self._held_up(error)
        except StoreDeniedError as error:
            if not self.connections:
                raise
            self._held_up(error)

    def _end(self) -> None:
        if self._line is not None:
            self._line.abort()
        for timer in (self._alarm, self._pause, self._asking_again):
            if timer is not None:
                timer.cancel()
        for item in (*self._queue, *self._rights.denied):
            if item.future is not None:
                fail(item, StoreUnavailableError("this process is going"))

    async def _stay_connected(self) -> None:
        self._gone.clear()
        line = await self.dial(self)
        if self._gone.is_set():
            # Lost before it was handed over.
            return
        self._line = line
        self.connections += 1
        self._rights.connected()
        self._flush()
        await self._gone.wait()

    def _give_up_on_the_old(self) -> None:
        now = asyncio.get_running_loop().time()
        for item in self._queue.take_old(now, self.patience):
            self._loads.ended(item)
            self._server.forget_refusal(was_refused=item.was_refused)
            self._rights.settle(item)
            late = StoreUnavailableError("the server did not answer in time", hint="is it running?")
            fail(item, late)
        self._room.set()

    def _flush(self) -> None:
        self._is_flushing = False
        line = self._line
        if line is None or self._pause is not None or line.is_clogged or not self._queue.waiting:
            return
        batch = self._queue.next_batch()
        if not batch:
            return
        line.write([item.packed for item in batch])
        self._queue.sent += batch
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(COMMAND_SECONDS, self._look, line)

    def _look(self, line: Connection) -> None:
        """Drop a connection that owes a reply and has said nothing for as long as a command may
        take.
        """
        self._alarm = None
        if line is not self._line or not self._queue.sent:
            return
        loop = asyncio.get_running_loop()
        # What was handed over later than anything was heard has been waiting since then.
        due = max(line.heard_at, self._queue.sent[0].since) + COMMAND_SECONDS
        # Compared with the very number that the alarm is set to: a difference of two times is
        # rounded, may be less than what was added, and then the alarm rings again at the same
        # moment, for as long as that moment lasts.
        if loop.time() >= due:
            self._held_up(StoreUnavailableError("the server did not answer in time"))
            line.abort()
            return
        self._alarm = loop.call_at(due, self._look, line)

    # --- of `Receiver` ---

    def replied(self, reply: Any) -> None:
        if not self._queue.sent:
            # An answer to nothing: whatever speaks there, what it says next is not what was asked.
            if self._line is not None:
                self._line.abort()
            return
        item = self._queue.sent.popleft()
        self._loads.ended(item)
        if isinstance(reply, Refusal):
            self._refused(item, reply)
        else:
            self._answered(item, reply)
        if not self._room.is_set():
            self._room.set()
        if self._queue.is_wary and not self._queue.sent:
            # A suspect was answered, or what went before it.
            self._flush()

    def _answered(self, item: Item, reply: Any) -> None:
        self._rights.allow(item)
        if item.future is not None and not item.future.done():
            item.future.set_result(reply)
        self._server.answered(was_refused=item.was_refused)

    def resumed(self) -> None:
        self._flush()

    def lost(self, why: StoreUnavailableError) -> None:
        """What was open is sent again on the next connection, before what came later."""
        self._line = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._loads.forget_all()
        self._queue.repeat_sent()
        self._resume()
        if self._queue.waiting:
            self._held_up(why)
            self._wanted.set()
        self._gone.set()

    # --- replies that refuse ---

    def _refused(self, item: Item, reply: Refusal) -> None:
        text = str(reply)
        if item.future is None and is_refused_for_good(text):
            # Of a server that others run, SCRIPT is often no part. EVAL brings the text itself.
            self._loads.sends_whole = True
            return
        again = self._loads.repeated(item, item.script, text) if item.script else []
        if again:
            self._queue.waiting.extendleft(reversed(again))
            self._flush()
            return
        error = refused(text)
        if isinstance(error, StoreDeniedError) and self._rights.may_be_given_back(item):
            self._deny(item, error)
            return
        self._rights.settle(item)
        if not isinstance(error, StoreUnavailableError | StoreFullError):
            self._server.forget_refusal(was_refused=item.was_refused)
            fail(item, about(error, item.keys))
            return
        self._hold(item, error)

    def _hold(self, item: Item, error: StoreUnavailableError | StoreFullError) -> None:
        """Nothing was written. It waits as for an absent server; back-pressure reaches the
        callers.
        """
        item.was_refused = self._server.is_refusing = True
        self._queue.held.append(item)
        self._held_up(error)
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(
                self._server.backoff(), self._resume
            )
        if isinstance(error, StoreUnavailableError) and self._line is not None:
            # Another server may have what this one lacks: the next connection is made to where it
            # is then.
            self._line.abort()

    def _resume(self) -> None:
        """Send again what was refused for now, in its order and before what came later."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._queue.repeat_held()
        self._give_up_on_the_old()
        self._flush()

    # --- rights that were taken away ---

    def _deny(self, item: Item, why: StoreDeniedError) -> None:
        self._rights.deny(item, why)
        if self._asking_again is None:
            seconds = self._rights.next_pause()
            self._asking_again = asyncio.get_running_loop().call_later(seconds, self._ask_again)

    def _ask_again(self) -> None:
        self._asking_again = None
        self._queue.waiting.extendleft(reversed(self._rights.take(self.patience)))
        self._room.set()
        if self._line is None:
            self._wanted.set()
        self._flush()

    def _held_up(self, why: SwarmError) -> None:
        self._server.held_up(why, len(self._queue))
