"""What a ring of messages measures: how many were delivered in what time, and how long each was
under way.

Every variant carries the same body, 1 KB of text that begins with the moment it was posted, so that
none is helped by a message that is easier to read than another's.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

BODY_CHARS: Final = 1_024
_STAMP_CHARS: Final = 19
_FILLER: Final = ("the quick brown fox jumps over the lazy dog, " * 30)[: BODY_CHARS - _STAMP_CHARS]
# Delivered before the clock starts: connections, scripts and caches are warm by then.
_WARM_SHARE: Final = 0.1


def body() -> str:
    """A body posted now."""
    return f"{time.perf_counter_ns():0{_STAMP_CHARS}d}{_FILLER}"


@dataclass(slots=True)
class Gauge:
    """Counts deliveries of a ring in which `under_way` messages go round until `total` were
    delivered.
    """

    total: int
    under_way: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    _delivered: int = 0
    _nanoseconds: list[int] = field(default_factory=list)
    _started: float = 0.0
    _seconds: float = 0.0
    _processor: float = 0.0

    def delivered(self, text: str | bytes) -> bool:
        """Called first thing by the handler of a message; true where it is to be passed on."""
        now = time.perf_counter_ns()
        self._delivered += 1
        if self._delivered == self._warm:
            self._started, self._processor = time.perf_counter(), time.process_time()
        elif self._delivered > self._warm:
            self._nanoseconds.append(now - int(text[:_STAMP_CHARS]))
        if self._delivered == self.total:
            self._seconds = time.perf_counter() - self._started
            self._processor = time.process_time() - self._processor
            self.done.set()
        return self._delivered + self.under_way <= self.total

    @property
    def _warm(self) -> int:
        return max(1, int(self.total * _WARM_SHARE))

    def figures(self) -> dict[str, float]:
        """Messages a second, microseconds from post to handler, and of this process's time for
        each message.
        """
        assert self.done.is_set()
        waits = sorted(self._nanoseconds)
        return {
            "per_second": len(waits) / self._seconds,
            "p50_us": waits[len(waits) // 2] / 1e3,
            "p99_us": waits[int(len(waits) * 0.99)] / 1e3,
            "cpu_us": self._processor / len(waits) * 1e6,
        }
