"""Starting and stopping a server, written once: verbs that only look drive it by sleeping, an event
loop by awaiting.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import Final, TypeAlias

POLL_SECONDS: Final = 0.003

Pauses: TypeAlias = Generator[float, None, None]
"""A procedure that yields how long to pause before it goes on. Starting and stopping a server is
written once like this; `drive` runs it for verbs that only look, `drive_async` inside an event
loop."""


def drive(procedure: Pauses) -> None:
    # Closed at once when the pause is interrupted, so that the procedure cleans up before the error
    # goes on.
    with contextlib.closing(procedure):
        for pause in procedure:
            time.sleep(pause)


async def drive_async(procedure: Pauses) -> None:
    import anyio

    with contextlib.closing(procedure):
        for pause in procedure:
            await anyio.sleep(pause)


def until(is_done: Callable[[], bool], seconds: float) -> Pauses:
    """Pauses until `is_done`, or until the time is over: the caller looks which."""
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        yield POLL_SECONDS
