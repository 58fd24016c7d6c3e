"""Whether what was written is on a replica too: asked for what a fail-over must not lose.

`WAIT` counts the replicas that have what *this connection* wrote. On another one, as after a
reconnect, it has nothing to wait for and answers at once that all have it. So it follows a write of
its own on the connection that it is asked on, and an answer that came over another connection, or
before that write's, proves nothing.

(`WAITAOF` is not asked: Valkey 9.1 answers it before anything was put on the disk.)
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any, Final

import structlog

from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.operator_post import CONFIRM_MS
from swarmd.errors import StoreUnsuitableError, SwarmError
from swarmd.log_events import LogEvent

log = structlog.get_logger(__name__)

BEHIND_MS: Final = 20
"""The same while none answers, so that a replica that hangs does not hold up each commit for a
second.
"""
COUNT_SECONDS: Final = 10.0
"""How long the number of replicas is believed: one that comes is waited for from then on."""

_Numbered = tuple[int, int, Any]


@dataclass(slots=True)
class Replicas:
    """Those of a pipe's server. `key` is written to, and nothing reads it."""

    key: str
    _count: int = 0
    _counted_at: float = -math.inf
    _counted_on: int = 0
    _turn: int = 0
    _cannot_wait: bool = False
    _behind: int = 0  # what was not confirmed since a replica last answered

    async def confirm(self, pipe: Pipe, what: str) -> bool:
        """Whether a replica has all that was written before. True where the server has none to ask.

        `what` is for the log, which tells when replicas fall behind and when they are there again.
        """
        if self._cannot_wait or not await self._any(pipe):
            return True
        patience = BEHIND_MS if self._behind else CONFIRM_MS
        # Handed over in one turn of the loop, so they travel in one write.
        try:
            touched, waited = await asyncio.gather(
                self._numbered(pipe, "SET", self.key, "1"),
                self._numbered(pipe, "WAIT", 1, patience),
            )
        except StoreUnsuitableError as error:
            # A server that others run may not let itself be asked.
            self._cannot_wait = True
            log.warning(LogEvent.REPLICAS_UNKNOWN, why=error.what)
            return True
        is_of_one_line = touched[0] == waited[0] and touched[1] < waited[1]
        self._tell(is_there := is_of_one_line and int(waited[2]) >= 1, what)
        return is_there

    async def _numbered(self, pipe: Pipe, *command: str | int) -> _Numbered:
        """The connection that the reply came over, the reply's place among all, and the reply."""
        reply = await pipe.execute(*command, is_optional=command[0] == "WAIT")
        self._turn += 1
        return pipe.connections, self._turn, reply

    async def _any(self, pipe: Pipe) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._counted_at + COUNT_SECONDS and self._counted_on == pipe.connections:
            return self._count > 0
        try:
            role = await pipe.execute("ROLE", is_optional=True)
        except SwarmError:
            # A user that may not ask, which `swarmd acl` makes none of, or a server that does not
            # know the command.
            role = []
        count = len(role[2]) if len(role) > 2 and role[0] == "master" else 0
        if self._count and not count:
            log.warning(LogEvent.REPLICAS_GONE)
        self._count, self._counted_at, self._counted_on = count, now, pipe.connections
        return count > 0

    def _tell(self, is_there: bool, what: str) -> None:
        if not is_there:
            self._behind += 1
            if self._behind == 1:
                log.warning(LogEvent.REPLICAS_BEHIND, what=what)
        elif self._behind:
            log.info(LogEvent.REPLICAS_BACK, unconfirmed=self._behind)
            self._behind = 0
