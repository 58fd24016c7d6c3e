"""The commands of one connection: what waits to be sent, what is under way, what is held back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from swarmd.adapters.redis.connection.items import Item, is_lost_too_often

# Smaller ones every server takes: the limits of Redis cannot be set below 1 MB.
LARGE_BYTES: Final = 256 * 1024


@dataclass(slots=True, eq=False)
class CommandQueue:
    waiting: deque[Item] = field(default_factory=deque)
    sent: deque[Item] = field(default_factory=deque)  # in the order in which replies will come
    held: list[Item] = field(default_factory=list)  # refused for now, to be sent again
    is_wary: bool = False  # some of what waits may be too large for the server

    def __len__(self) -> int:
        return len(self.waiting) + len(self.sent) + len(self.held)

    def __iter__(self) -> Iterator[Item]:
        yield from (*self.sent, *self.held, *self.waiting)

    def next_batch(self) -> list[Item]:
        """What may be sent now: all that waits, but a suspect alone."""
        is_wary = self.is_wary and any(item.is_suspect for item in (*self.sent, *self.waiting))
        self.is_wary = is_wary
        if not is_wary:
            batch = list(self.waiting)
            self.waiting.clear()
            return batch
        if self.sent and (self.waiting[0].is_suspect or self.sent[0].is_suspect):
            return []
        if self.waiting[0].is_suspect:
            return [self.waiting.popleft()]
        batch = []
        while self.waiting and not self.waiting[0].is_suspect:
            batch.append(self.waiting.popleft())
        return batch

    def repeat_sent(self) -> None:
        """The connection was lost: what was under way is sent again, before what came later."""
        self.waiting.extendleft(
            item
            for item in reversed(self.sent)
            if item.future is not None and not self._is_given_up(item)
        )
        self.sent.clear()

    def _is_given_up(self, item: Item) -> bool:
        """Was it the connection's end, as often as it may be? Then its caller is told, and it is
        not sent again.
        """
        if len(item.packed) < LARGE_BYTES:
            return False
        self.is_wary = True
        return is_lost_too_often(item)

    def repeat_held(self) -> None:
        """What was refused for now is sent again, in its order and before what came later."""
        self.waiting.extendleft(reversed(self.held))
        self.held.clear()

    def take_old(self, now: float, patience: float) -> Iterator[Item]:
        """Those that wait for longer than `patience` (seconds), taken out.

        They wait in the order in which they were handed over, but for what was sent again: the
        eldest are in front.
        """
        while self.waiting and now - self.waiting[0].since > patience:
            yield self.waiting.popleft()
