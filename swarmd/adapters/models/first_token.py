"""Of requests with the same beginning one goes first, for the provider's prompt cache.

A provider keeps what it has read of a prompt, and reads the same beginning again for a part of its
price and time. Of seats that are called side by side, with prompts that differ in their last lines
alone, none would find it: each is sent before the first was read. So the first is sent, and the
others follow at its first token, at its end, or when they have waited for long enough.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from swarmd.ports.models import Prompt

# A provider that keeps prompts reads one of 30,000 tokens within this. Where a first token takes
# longer, the server is slow or busy, and each call that waits for it would lose more than is saved.
FOLLOW_SECONDS: Final = 5.0
# A shorter beginning is kept by none: providers begin at 1,024 tokens.
KEPT_BYTES_MIN: Final = 4_096


def beginning_of(prompt: Prompt) -> int:
    """The same for prompts that differ in nothing but who is asked, and what came of it so far."""
    return hash((prompt.shared, prompt.exchange))


class Beginnings:
    """The requests under way to one model, by what they begin with."""

    def __init__(self) -> None:
        self._first: dict[int, anyio.Event] = {}

    @asynccontextmanager
    async def place(self, beginning: int | None) -> AsyncIterator[Callable[[], None]]:
        """At once where nobody went first, else behind the one who did. What is given is called at
        the first token; however the first request ends, the others go on.
        """
        if beginning is None:
            yield _nobody_waits
            return
        first = self._first.get(beginning)
        if first is not None:
            with anyio.move_on_after(FOLLOW_SECONDS):
                await first.wait()
            yield _nobody_waits
            return
        heard = self._first[beginning] = anyio.Event()
        try:
            yield heard.set
        finally:
            heard.set()
            del self._first[beginning]


def _nobody_waits() -> None:
    """For this one's first token."""
