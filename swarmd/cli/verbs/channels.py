"""Reading channels: `tail`, and which channel a person means.

Data goes to standard output; what is no longer kept, to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from swarmd.cli.render.messages import entry_lines, trimmed_line
from swarmd.cli.render.values import entry_value
from swarmd.cli.session import Sight, note
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, MISSIONS, ORDERS, REQUESTS, RESULTS
from swarmd.core.model.messages import is_stream_id
from swarmd.core.model.names import FIRST, Channel, StreamId
from swarmd.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from swarmd.ports.reader import Entry, Notifications, Page, Reader

CHANNELS_SHOWN: Final = 12
# They are there before anything was said on them.
_ALWAYS: Final = frozenset({MISSIONS, RESULTS, ORDERS, REQUESTS, JOURNAL, BOARD_ROOM})


def channel_named(reader: Reader, name: str) -> Channel:
    """The channel that a person means: with or without the namespace. Raises `NotFoundError`."""
    channel = reader.channel_of(name)
    if channel in _ALWAYS or reader.has_channel(channel) or reader.is_heard(channel):
        return channel
    raise NotFoundError(f"no channel {name!r}", hint=_channels_hint(reader, channel))


def _channels_hint(reader: Reader, asked: Channel) -> str:
    """Those of the kind that was asked for, where there are any; never those of the processes among
    themselves, whose names begin with `_`.
    """
    known = [one for one in reader.channels() if not one.startswith("_")]
    kind, colon, _ = asked.partition(":")
    same = [one for one in known if colon and one.startswith(f"{kind}:")]
    shown = (same or known)[:CHANNELS_SHOWN]
    more = len(same or known) - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more else "")
    return f"channels with messages: {listed or 'none yet'}"


def tail(sight: Sight, channel: Channel, *, since: StreamId | None, count: int) -> StreamId:
    """Prints what is stored, and returns how far that was."""
    at = since if since is not None else FIRST
    if since is None:
        stored = sight.reader.last_entries(channel, count) if count else []
        _print_entries(sight, stored)
        return stored[-1].id if stored else sight.reader.last_id(channel)
    return _catch_up(sight, channel, at)


def follow(sight: Sight, channel: Channel, reached: StreamId, notifications: Notifications) -> None:
    """Prints what comes, until interrupted. The notification says when, the stream says what.

    What was stored before the notifications began is read first, so nothing falls between, and
    reading on from `reached` is all that there is to deduplicating.
    """
    for page in sight.reader.follow(channel, reached, notifications):
        _print_page(sight, page)


def _catch_up(sight: Sight, channel: Channel, reached: StreamId) -> StreamId:
    while True:
        page = sight.reader.page(channel, reached)
        _print_page(sight, page)
        reached = page.reached
        if not page.is_full:
            return reached


def _print_page(sight: Sight, page: Page) -> None:
    if page.trimmed is not None:
        note(trimmed_line(page.trimmed))
    _print_entries(sight, page.entries)


def _print_entries(sight: Sight, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if sight.as_json:
            sight.give(entry_value(entry.channel, entry.id, entry.said))
        else:
            sight.say(entry_lines(entry.id, entry.said, sight.ink))
    if entries:
        # A reader at the other end of a pipe follows too.
        sys.stdout.flush()


def since_of(text: str | None) -> StreamId | None:
    """Raises `UsageError` for what is no id of a stream."""
    if text is None:
        return None
    if not is_stream_id(text):
        raise UsageError(
            f"--since {text!r} is not the id of an entry",
            hint="an id looks like 1764000000000-0; 0 is the beginning",
        )
    return StreamId(text)
