"""Notifications of channels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Protocol

from swarmd.core.model.names import Channel


class Rings(Protocol):
    """The process's one pub/sub connection."""

    async def follow(self, more: Collection[Channel], gone: Collection[Channel] = ()) -> None:
        """Hear these channels too, and no longer those that are `gone`. What rings after it
        returned is heard, or a gap is told."""

    async def next(self, seconds: float) -> tuple[Channel, str] | Literal["gap"] | None:
        """The next ring; `gap` after a silent reconnect; `None` when nothing rang for so long."""
