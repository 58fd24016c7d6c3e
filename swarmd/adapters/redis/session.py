"""What every part of the store works with: the connection, the names of keys, the seals, the
server's time, and reads that pass over a key of another type.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.founding import Stamp
from swarmd.adapters.redis.keys import Keys
from swarmd.core.bus.envelope import RUNTIME, SUPERVISOR_ISSUER, Seal, Sealer, Serials
from swarmd.core.model.messages import line_of
from swarmd.core.model.names import StreamId
from swarmd.errors import WrongKeyError
from swarmd.log_events import LogEvent

if TYPE_CHECKING:
    from swarmd.adapters.redis.connection.connection import Dial

log = structlog.get_logger(__name__)

_TIME: Final = re.compile(r"^server_time_usec:(\d+)", re.MULTILINE)
_RUN_ID: Final = re.compile(r"^run_id:(\w+)", re.MULTILINE)

Pairs = Sequence[Any]


class Session:
    """One process's connection to the swarm's store. `pipe.run()` must be running in a task group
    of the caller.
    """

    def __init__(
        self,
        way: Dial,
        namespace: str,
        secret: bytes,
        *,
        patience: float = 3_600.0,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = Keys(namespace)
        self.pipe = Pipe(way, patience)
        self.seal, self.serials = Seal(secret, namespace), Serials()
        self.stamp = Stamp(self.keys, self.seal, self.ask, self.stream)
        self.unreadable: set[str] = set()  # accounts and keys of which it was told
        self.runtime = Sealer(self.seal, RUNTIME, self.serials, self.now)
        self.supervisor = Sealer(self.seal, SUPERVISOR_ISSUER, self.serials, self.now)
        self._clock, self._steady = now, steady
        self._server_zero: float | None = None  # the server's time when `steady` was nothing

    def now(self) -> float:
        """The server's time, once it was told: of a process whose own clock is wrong, or jumps, by
        more than the window of an envelope, honest messages would be refused as old ones, and
        others' where it says since when a channel is followed."""
        return self._clock() if self._server_zero is None else self._server_zero + self._steady()

    def clock_behind(self) -> float:
        return (
            0.0 if self._server_zero is None else self._server_zero + self._steady() - self._clock()
        )

    async def ask(self, *command: str | int | float) -> Any:
        return await self.pipe.execute(*command)

    async def server_run(self) -> str:
        told = await self.pipe.execute("INFO", "server")
        time_, run = _TIME.search(told), _RUN_ID.search(told)
        if time_ is not None:
            self._server_zero = int(time_[1]) / 1e6 - self._steady()
        found = run[1] if run else ""
        await self.stamp.keep(found)
        return found

    async def hash_at(self, key: str) -> dict[str, str]:
        """Empty too where the key holds something else: what should be there is missing, whoever
        is to blame.
        """
        return await self.hash_or_none(key) or {}

    async def hash_or_none(self, key: str) -> dict[str, str] | None:
        try:
            reply = await self.pipe.execute("HGETALL", key)
        except WrongKeyError as error:
            self._tell_unreadable(key, error)
            return None
        return reply if isinstance(reply, dict) else pairs_of(reply)

    async def ask_or(self, missing: Any, *command: str | int) -> Any:
        """The answer, or `missing` where the key holds something else than ours."""
        try:
            return await self.pipe.execute(*command)
        except WrongKeyError as error:
            self._tell_unreadable(str(command[1]), error)
            return missing

    async def stream(self, command: str, key: str, *words: str | int) -> list[Any]:
        """Entries of a stream; none where the key holds something else. What is posted there
        then fails, loudly.
        """
        try:
            entries: list[Any] = await self.pipe.execute(command, key, *words)
        except WrongKeyError as error:
            self._tell_unreadable(key, error)
            return []
        self.unreadable.discard(key)
        return entries

    async def entries(
        self, key: str, after: StreamId, count: int
    ) -> list[tuple[StreamId, dict[str, str]]]:
        entries = await self.stream("XRANGE", key, f"({after}", "+", "COUNT", count)
        return [(StreamId(id), pairs_of(fields)) for id, fields in entries]

    def _tell_unreadable(self, key: str, error: WrongKeyError) -> None:
        if key not in self.unreadable:
            self.unreadable.add(key)
            log.warning(
                LogEvent.KEY_OTHER_TYPE,
                key=key,
                why=error.what,
                hint=error.hint,
            )


def pairs_of(flat: Pairs | Mapping[str, str]) -> dict[str, str]:
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def flat_fields(fields: Pairs | Mapping[str, str]) -> list[str]:
    if isinstance(fields, Mapping):
        return [part for pair in fields.items() for part in pair]
    return list(fields)


def line_at(fields: Pairs | Mapping[str, str]) -> str:
    """What an entry of one field says."""
    return line_of(flat_fields(fields))


def prefixed(prefix: str, pairs: Mapping[str, str]) -> list[str]:
    """As HSET takes them."""
    return [word for key, value in pairs.items() for word in (f"{prefix}{key}", value)]


def number_of(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
