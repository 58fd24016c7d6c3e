"""Time, as the runtime is given it."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    def new_id(self, prefix: str) -> str:
        """`prefix-` and 10 characters of `[0-9a-z]`, never the same twice."""
