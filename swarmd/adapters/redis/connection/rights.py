"""Rights that the server's user had and has no more, and the commands that wait for them.

Whoever took a right away may give it back, and a process that ended would only be started again to
meet the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from swarmd.adapters.redis.connection.items import KEYS_TOLD_MAX, Item, fail
from swarmd.errors import StoreDeniedError
from swarmd.log_events import LogEvent

log = structlog.get_logger(__name__)

# Until this process has been connected for so long, a right that it has not used before is one that
# it never had, and is told at once: most of what a part does is done in its first moments.
SETTLING_SECONDS: Final = 10.0
# Between two tries of what is denied: soon at first, for rights are changed in several steps.
DENIED_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True, eq=False)
class TakenRights:
    """Kept apart from what waits: the rights that are left are used meanwhile."""

    denied: list[Item] = field(default_factory=list)  # to be sent again
    why: str = ""
    _count: int = 0  # how many are denied, whether they wait or are on their way again
    _tries: int = 0
    _allowed: set[str] = field(
        default_factory=set
    )  # names of what the server has done for this process
    _settled_at: float | None = None

    def connected(self) -> None:
        if self._settled_at is None:
            self._settled_at = asyncio.get_running_loop().time() + SETTLING_SECONDS

    def allow(self, item: Item) -> None:
        """The server has done it."""
        self._allowed.add(item.name)
        if item.was_denied:
            self.settle(item)

    def may_be_given_back(self, item: Item) -> bool:
        """Whether this process had the right. What it lacks from its start is a mistake that
        waiting does not mend.
        """
        if item.future is None or item.is_optional:
            return False
        is_settled = (
            self._settled_at is not None and asyncio.get_running_loop().time() > self._settled_at
        )
        # Beside one that was taken away, another that was not used before was taken away as well.
        return is_settled or self._count > 0 or item.name in self._allowed

    def deny(self, item: Item, why: StoreDeniedError) -> None:
        if not item.was_denied:
            item.was_denied = True
            self._count += 1
        if not self.why:
            log.warning(
                LogEvent.USER_DENIED,
                why=why.what,
                hint=why.hint,
                keys=item.keys[:KEYS_TOLD_MAX],
            )
        self.why = why.what
        self.denied.append(item)

    def next_pause(self) -> float:
        """Seconds until it is tried again."""
        self._tries += 1
        return DENIED_SECONDS[min(self._tries, len(DENIED_SECONDS)) - 1]

    def take(self, patience: float) -> list[Item]:
        """What is to be sent again, in its order. Who has waited for longer than `patience`
        (seconds) is told.
        """
        denied, self.denied = self.denied, []
        now = asyncio.get_running_loop().time()
        for item in denied:
            is_gone = item.future is None or item.future.done()  # who asked was cancelled meanwhile
            if is_gone or now - item.since > patience:
                self.settle(item)
                fail(item, StoreDeniedError(self.why, hint="see `swarmd acl --check`"))
        return [item for item in denied if item.was_denied]

    def settle(self, item: Item) -> None:
        """Whatever became of it, it is denied no more."""
        if not item.was_denied:
            return
        item.was_denied = False
        self._count -= 1
        if not self._count:
            self.why, self._tries = "", 0
            log.info(LogEvent.USER_ALLOWED)
