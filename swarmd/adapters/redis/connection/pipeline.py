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
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from swarmd.adapters.redis.connection.connection import Connection, Dial, Refusal, packed
from swarmd.adapters.redis.connection.errors import (
    SIZE_HINT,
    TOO_LARGE,
    is_refused_for_good,
    is_unknown,
    refused,
)
from swarmd.adapters.redis.connection.sync_client import COMMAND_SECONDS
from swarmd.adapters.redis.lua import Script
from swarmd.errors import (
    StoreDeniedError,
    StoreFullError,
    StoreUnavailableError,
    SwarmError,
    TooLargeError,
)
from swarmd.log_events import LogEvent

log = structlog.get_logger(__name__)

# Commands that wait or are under way: beyond it callers wait to hand over, so that memory is
# bounded when the server is away.
DEPTH_MAX: Final = 8_192
# Of a refused command: a commit's keys include one of each output.
KEYS_TOLD_MAX: Final = 12
RETRY_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
# A server that drops the connection on a command instead of answering it
# (`client-query-buffer-limit`; or its answer is lost with the connection) is one that does not take
# it: asked so often, each time by itself, with nothing else to blame.
LOSSES_MAX: Final = 3
# Smaller ones every server takes: the limits of Redis cannot be set below 1 MB.
LARGE_BYTES: Final = 256 * 1024
# A server that forgets a script as soon as it has it is told of, not asked for ever.
LOADS_MAX: Final = 5
_NOSCRIPT: Final = "NOSCRIPT"
# Until this process has been connected for so long, a right that it has not used before is one that
# it never had, and is told at once: most of what a part does is done in its first moments.
SETTLING_SECONDS: Final = 10.0
# Between two tries of what is denied: soon at first, for rights are changed in several steps.
DENIED_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True, eq=False)
class _Item:
    packed: bytes
    name: str  # of the command or the script
    script: Script | None
    keys: Sequence[str]
    future: asyncio.Future[Any] | None  # none: nobody waits for the reply
    since: float
    is_optional: bool = False  # the caller does without it where this user may not
    was_refused: bool = False  # for now: it is sent again
    was_denied: bool = False
    loads: int = 0  # how often its script was loaded for it
    losses: int = 0  # how often the connection was lost while it was under way, if it is large

    @property
    def is_suspect(self) -> bool:
        """A connection was lost with it: it goes alone from now on, so that it is known whose
        fault the next is.
        """
        return self.losses > 0


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
    _is_wary: bool = False  # some of what waits may be too large for the server
    _loading: set[str] = field(default_factory=set)  # scripts that are on their way to the server
    _tries: int = 0
    _why_away: str = ""
    _denied: list[_Item] = field(default_factory=list)  # a right is missing: to be sent again
    _denials: int = 0  # how many commands are, whether they wait or are on their way again
    _denied_tries: int = 0
    _why_denied: str = ""
    _allowed: set[str] = field(
        default_factory=set
    )  # names of what the server has done for this process
    _settled_at: float | None = None
    _asking_again: asyncio.TimerHandle | None = None
    _sends_whole: bool = (
        False  # scripts by their text: the server has no SCRIPT LOAD for this user, or no EVALSHA
    )
    _alarm: asyncio.TimerHandle | None = None  # for a reply that does not come
    _pause: asyncio.TimerHandle | None = None  # until what was refused is sent again

    @property
    def is_away(self) -> bool:
        """The server cannot be reached, or does not take what it is sent, at the moment."""
        return self._is_away

    @property
    def trouble(self) -> str:
        """Why the server does not do what it is asked, at the moment. Empty where it does."""
        return self._why_denied or (self._why_away if self._is_away else "")

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
        return await self._hand_over(command, None, _key_of(command), is_optional=is_optional)

    async def execute_all(self, commands: Sequence[tuple[str | int | float, ...]]) -> list[Any]:
        """Send commands that may be repeated, together: one wait and no task for each."""
        await self._until_there_is_room()
        return await asyncio.gather(
            *(self._queue(command, None, _key_of(command)) for command in commands)
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
        return await self._queue(command, script, keys, is_optional=is_optional)

    async def _until_there_is_room(self) -> None:
        while (
            len(self._waiting) + len(self._sent) + len(self._held) + len(self._denied) >= DEPTH_MAX
        ):
            self._room.clear()
            await self._room.wait()

    def _queue(
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
        item = _Item(packed(command), name, script, keys, future, loop.time(), is_optional)
        if script is not None and self._sends_whole:
            _send_whole(item, script)
        self._waiting.append(item)
        if self._line is None:
            self._wanted.set()
        elif not self._is_flushing:
            self._is_flushing = True
            loop.call_soon(self._flush)
        return future

    # --- the connection's life ---

    async def run(self) -> None:  # noqa: C901
        """Own the connection until cancelled; then every caller that still waits is told."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                try:
                    await self._stay_connected()
                except StoreUnavailableError as error:
                    self._held_up(error)
                except StoreDeniedError as error:
                    if not self.connections:
                        raise
                    self._held_up(error)
                self._give_up_on_the_old()
                if self._waiting:
                    self._wanted.set()
                    await asyncio.sleep(self._backoff())
        finally:
            if self._line is not None:
                self._line.abort()
            for timer in (self._alarm, self._pause, self._asking_again):
                if timer is not None:
                    timer.cancel()
            for item in (*self._sent, *self._held, *self._denied, *self._waiting):
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
        if self._settled_at is None:
            self._settled_at = asyncio.get_running_loop().time() + SETTLING_SECONDS
        self._flush()
        await self._gone.wait()

    def _backoff(self) -> float:
        self._tries += 1
        return RETRY_SECONDS[min(self._tries, len(RETRY_SECONDS)) - 1]

    def _give_up_on_the_old(self) -> None:
        now = asyncio.get_running_loop().time()
        # In the order in which they were handed over, but for what was sent again: the eldest are
        # in front.
        while self._waiting and now - self._waiting[0].since > self.patience:
            item = self._waiting.popleft()
            if item.future is None:
                self._loading.discard(item.keys[0])
            self._is_refusing = self._is_refusing and not item.was_refused
            self._no_more_denied(item)
            _fail(
                item,
                StoreUnavailableError("the server did not answer in time", hint="is it running?"),
            )
        self._room.set()

    def _flush(self) -> None:
        self._is_flushing = False
        line = self._line
        if line is None or self._pause is not None or line.is_clogged or not self._waiting:
            return
        batch = self._next_batch()
        if not batch:
            return
        line.write([item.packed for item in batch])
        self._sent += batch
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(COMMAND_SECONDS, self._look, line)

    def _next_batch(self) -> list[_Item]:
        """What may be sent now: all that waits, but a suspect alone."""
        is_wary = self._is_wary and any(item.is_suspect for item in (*self._sent, *self._waiting))
        self._is_wary = is_wary
        if not is_wary:
            batch = list(self._waiting)
            self._waiting.clear()
            return batch
        if self._sent and (self._waiting[0].is_suspect or self._sent[0].is_suspect):
            return []
        if self._waiting[0].is_suspect:
            return [self._waiting.popleft()]
        batch = []
        while self._waiting and not self._waiting[0].is_suspect:
            batch.append(self._waiting.popleft())
        return batch

    def _look(self, line: Connection) -> None:
        """Drop a connection that owes a reply and has said nothing for as long as a command may
        take.
        """
        self._alarm = None
        if line is not self._line or not self._sent:
            return
        loop = asyncio.get_running_loop()
        # What was handed over later than anything was heard has been waiting since then.
        due = max(line.heard_at, self._sent[0].since) + COMMAND_SECONDS
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
            self._allowed.add(item.name)
            self._no_more_denied(item)
            if item.future is not None and not item.future.done():
                item.future.set_result(reply)
            # Where only writes are refused, reads are answered all along.
            if self._tries and (item.was_refused or not self._is_refusing):
                self._is_back()
        if not self._room.is_set():
            self._room.set()
        if self._is_wary and not self._sent:
            # A suspect was answered, or what went before it.
            self._flush()

    def resumed(self) -> None:
        self._flush()

    def lost(self, why: StoreUnavailableError) -> None:
        """What was open is sent again on the next connection, before what came later."""
        self._line = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        # Another server, or the same after a restart, may lack every script: loads are asked for
        # anew.
        self._loading.clear()
        self._waiting.extendleft(
            item
            for item in reversed(self._sent)
            if item.future is not None and not self._is_given_up(item)
        )
        self._sent.clear()
        self._resume()
        if self._waiting:
            self._held_up(why)
            self._wanted.set()
        self._gone.set()

    def _is_given_up(self, item: _Item) -> bool:
        """Was it the connection's end, as often as it may be? Then its caller is told, and it is
        not sent again.
        """
        if len(item.packed) < LARGE_BYTES:
            return False
        item.losses += 1
        self._is_wary = True
        # What was lost beside others may have been their fault: only the losses of one that went
        # alone count.
        if item.losses <= LOSSES_MAX:
            return False
        what = (
            f"{TOO_LARGE}: it dropped the connection {LOSSES_MAX} times on one of "
            f"{len(item.packed):,} bytes"
        )
        _fail(item, _about(TooLargeError(what, hint=SIZE_HINT), item.keys))
        return True

    # --- replies that refuse ---

    def _refused(self, item: _Item, reply: Refusal) -> None:
        text = str(reply)
        if item.script is not None and text.startswith(_NOSCRIPT) and item.loads < LOADS_MAX:
            item.loads += 1
            self._load_and_repeat(item, item.script)
            return
        if item.future is None and is_refused_for_good(text):
            # Of a server that others run, SCRIPT is often no part. EVAL brings the text itself.
            self._sends_whole = True
            return
        if item.script is not None and item.loads < LOADS_MAX and is_unknown(text):
            item.loads += 1
            _send_whole(item, item.script)
            self._sends_whole = True
            self._waiting.appendleft(item)
            self._flush()
            return
        error = refused(text)
        if isinstance(error, StoreDeniedError) and self._may_be_given_back(item):
            self._deny(item, error)
            return
        self._no_more_denied(item)
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
            # Another server may have what this one lacks: the next connection is made to where it
            # is then.
            self._line.abort()

    def _load_and_repeat(self, item: _Item, script: Script) -> None:
        self._waiting.appendleft(item)
        if self._sends_whole:
            _send_whole(item, script)
            self._flush()
            return
        # Many callers miss a script at once; one load before the first of them is enough for all.
        if script.name not in self._loading:
            self._loading.add(script.name)
            text = packed(("SCRIPT", "LOAD", script.text))
            load = _Item(text, "SCRIPT", None, (script.name,), None, item.since)
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

    # --- rights that were taken away ---

    def _may_be_given_back(self, item: _Item) -> bool:
        """Whether this process had the right. What it lacks from its start is a mistake that
        waiting does not mend.
        """
        if item.future is None or item.is_optional:
            return False
        is_settled = (
            self._settled_at is not None and asyncio.get_running_loop().time() > self._settled_at
        )
        # Beside one that was taken away, another that was not used before was taken away as well.
        return is_settled or self._denials > 0 or item.name in self._allowed

    def _deny(self, item: _Item, why: StoreDeniedError) -> None:
        """Kept apart from what waits: the rights that are left are used meanwhile."""
        if not item.was_denied:
            item.was_denied = True
            self._denials += 1
        if not self._why_denied:
            log.warning(
                LogEvent.USER_DENIED,
                why=why.what,
                hint=why.hint,
                keys=item.keys[:KEYS_TOLD_MAX],
            )
        self._why_denied = why.what
        self._denied.append(item)
        if self._asking_again is None:
            self._denied_tries += 1
            seconds = DENIED_SECONDS[min(self._denied_tries, len(DENIED_SECONDS)) - 1]
            self._asking_again = asyncio.get_running_loop().call_later(seconds, self._ask_again)

    def _ask_again(self) -> None:
        self._asking_again = None
        denied, self._denied = self._denied, []
        now = asyncio.get_running_loop().time()
        for item in denied:
            is_gone = item.future is None or item.future.done()  # who asked was cancelled meanwhile
            if is_gone or now - item.since > self.patience:
                self._no_more_denied(item)
                _fail(item, StoreDeniedError(self._why_denied, hint="see `swarmd acl --check`"))
        self._waiting.extendleft(item for item in reversed(denied) if item.was_denied)
        self._room.set()
        if self._line is None:
            self._wanted.set()
        self._flush()

    def _no_more_denied(self, item: _Item) -> None:
        """Whatever became of it, it is denied no more."""
        if not item.was_denied:
            return
        item.was_denied = False
        self._denials -= 1
        if not self._denials:
            self._why_denied, self._denied_tries = "", 0
            log.info(LogEvent.USER_ALLOWED)

    def _held_up(self, why: SwarmError) -> None:
        if not self._is_away:
            is_full = isinstance(why, StoreFullError)
            waiting = len(self._waiting) + len(self._sent) + len(self._held)
            log.warning(
                LogEvent.SERVER_FULL if is_full else LogEvent.SERVER_AWAY,
                why=why.what,
                hint=why.hint,
                waiting=waiting,
            )
        self._is_away, self._why_away = True, why.what

    def _is_back(self) -> None:
        self._tries, self._is_refusing = 0, False
        if self._is_away:
            self._is_away = False
            log.info(LogEvent.SERVER_BACK)


def _key_of(command: tuple[str | int | float, ...]) -> Sequence[str]:
    """What a refusal of a plain command names."""
    return [str(word) for word in command[1:2]]


def _send_whole(item: _Item, script: Script) -> None:
    """The same call, with the script's text in the place of its digest."""
    by_digest, whole = packed(("EVALSHA", script.sha)), packed(("EVAL", script.text))
    # Both begin with the number of words, which is that of the whole call and stays.
    head, _, _ = by_digest.partition(b"\r\n")
    start = by_digest[len(head) :]
    item.packed = item.packed.replace(start, whole[whole.index(b"\r\n") :], 1)


def _about(error: SwarmError, keys: Sequence[str]) -> SwarmError:
    """The same failure, with the keys that the command was about."""
    told = ", ".join(keys[:KEYS_TOLD_MAX])
    return type(error)(f"{error.what} (keys: {told})", hint=error.hint)


def _fail(item: _Item, error: SwarmError) -> None:
    if item.future is None:
        log.warning(LogEvent.COMMAND_REFUSED, why=error.what, about=item.keys)
    elif not item.future.done():
        item.future.set_exception(error)
