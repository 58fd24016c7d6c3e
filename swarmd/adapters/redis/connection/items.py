"""A command on its way: who waits for its reply, and what became of it so far."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from swarmd.adapters.redis.connection.connection import packed
from swarmd.adapters.redis.connection.errors import SIZE_HINT, TOO_LARGE
from swarmd.adapters.redis.lua import Script
from swarmd.errors import SwarmError, TooLargeError
from swarmd.log_events import LogEvent

log = structlog.get_logger(__name__)

# Of a refused command: a commit's keys include one of each output.
KEYS_TOLD_MAX: Final = 12
# A server that drops the connection on a command instead of answering it
# (`client-query-buffer-limit`; or its answer is lost with the connection) is one that does not take
# it: asked so often, each time by itself, with nothing else to blame.
LOSSES_MAX: Final = 3


@dataclass(slots=True, eq=False)
class Item:
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


def key_of(command: tuple[str | int | float, ...]) -> Sequence[str]:
    """What a refusal of a plain command names."""
    return [str(word) for word in command[1:2]]


def send_whole(item: Item, script: Script) -> None:
    """The same call, with the script's text in the place of its digest."""
    by_digest, whole = packed(("EVALSHA", script.sha)), packed(("EVAL", script.text))
    # Both begin with the number of words, which is that of the whole call and stays.
    head, _, _ = by_digest.partition(b"\r\n")
    start = by_digest[len(head) :]
    item.packed = item.packed.replace(start, whole[whole.index(b"\r\n") :], 1)


def about(error: SwarmError, keys: Sequence[str]) -> SwarmError:
    """The same failure, with the keys that the command was about."""
    told = ", ".join(keys[:KEYS_TOLD_MAX])
    return type(error)(f"{error.what} (keys: {told})", hint=error.hint)


def fail(item: Item, error: SwarmError) -> None:
    if item.future is None:
        log.warning(LogEvent.COMMAND_REFUSED, why=error.what, about=item.keys)
    elif not item.future.done():
        item.future.set_exception(error)


def is_lost_too_often(item: Item) -> bool:
    """Its connection was lost once more. Where that was as often as it may be, its caller is told.

    What was lost beside others may have been their fault: the first loss does not count.
    """
    item.losses += 1
    if item.losses <= LOSSES_MAX:
        return False
    what = (
        f"{TOO_LARGE}: it dropped the connection {LOSSES_MAX} times on one of "
        f"{len(item.packed):,} bytes"
    )
    fail(item, about(TooLargeError(what, hint=SIZE_HINT), item.keys))
    return True
