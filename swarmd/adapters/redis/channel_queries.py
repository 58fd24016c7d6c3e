"""What is read of channels and of the journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.queries import agent_ids
from swarmd.adapters.redis.query import Query, asked, facts_in, hash_of, replies_to, text_in
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL
from swarmd.core.model.messages import FIELD, line_of, order_of
from swarmd.core.model.names import FIRST, AgentId, Channel, StreamId
from swarmd.errors import StoreUnsuitableError

if TYPE_CHECKING:
    from swarmd.core.model.chain import Head
    from swarmd.ports.reader import Entry, Page, Trimmed


# --- channels ---------------------------------------------------------------------------------


def read_page(keys: Keys, channel: Channel, after: StreamId) -> Query[Page]:
    """The position itself is asked for with what follows it: while its entry is kept, nothing
    behind it has gone.
    """
    from swarmd.ports.reader import PAGE_ENTRIES, Page

    place = after if "-" in after else StreamId(f"{after}-0")
    rows = yield from _rows(keys, channel, place, PAGE_ENTRIES + 1)
    if rows and rows[0][0] == place:
        found = _entries(channel, rows[1:])
        return Page(found, found[-1].id if found else place)
    found = _entries(channel, rows[:PAGE_ENTRIES])
    older, info = yield from replies_to(
        [
            ["XRANGE", keys.channel(channel), "-", place, "COUNT", "1"],
            ["XINFO", "STREAM", keys.channel(channel)],
        ]
    )
    # Streams lose their oldest entries: where one is kept that is no newer than the position,
    # everything behind it is.
    last, trimmed = (place, None) if older else _trimmed(place, found, text_in(info))
    return Page(found, found[-1].id if found else last, trimmed)


def _trimmed(after: StreamId, found: Sequence[Entry], info: Any) -> tuple[StreamId, Trimmed | None]:
    """What has gone of a channel that keeps nothing up to a position; and how far it has gone."""
    from swarmd.ports.reader import Trimmed

    first = found[0].id if found else None
    told = dict(zip(info[::2], info[1::2], strict=True)) if isinstance(info, list) else {}
    added = told.get("entries-added")
    if added is None:
        # What is gone may not be asked: of who had reached an entry that is no longer there, it
        # has to be assumed.
        return after, Trimmed(after, first, None) if after != FIRST and first else None
    gone, last = added - told["length"], StreamId(told["last-generated-id"])
    if gone and order_of(last) > order_of(after):
        return last, Trimmed(after, first, gone)
    return after, None


def last_entries(keys: Keys, channel: Channel, count: int) -> Query[list[Entry]]:
    [rows] = yield from asked(["XREVRANGE", keys.channel(channel), "+", "-", "COUNT", str(count)])
    return list(_entries(channel, rows[::-1]))


def read_entry(keys: Keys, channel: Channel, id: str) -> Query[Entry | None]:
    [rows] = yield from asked(["XRANGE", keys.channel(channel), id, id])
    return next(iter(_entries(channel, rows)), None)


def last_id(keys: Keys, channel: Channel) -> Query[StreamId]:
    [rows] = yield from asked(["XREVRANGE", keys.channel(channel), "+", "-", "COUNT", "1"])
    return StreamId(rows[0][0]) if rows else FIRST


def _rows(keys: Keys, channel: Channel, start: str, count: int) -> Query[Any]:
    [rows] = yield from asked(["XRANGE", keys.channel(channel), start, "+", "COUNT", str(count)])
    return rows


def _entries(channel: Channel, rows: Iterable[Any]) -> tuple[Entry, ...]:
    from swarmd.ports.reader import Entry

    return tuple(
        Entry(channel, StreamId(at), _said_in(words), line_of(words)) for at, words in rows
    )


def has_channel(keys: Keys, channel: Channel) -> Query[bool]:
    kind, _, name = channel.partition(":")
    questions = [["EXISTS", keys.channel(channel)], ["ZSCORE", keys.heads, channel]]
    if kind in ("inbox", "down", "up"):
        questions.append(["EXISTS", keys.agent(AgentId(name))])
    answers = yield from asked(*questions)
    return any(answer not in (0, None) for answer in answers)


def read_channels(keys: Keys) -> Query[list[str]]:
    [found] = yield from asked(["ZRANGE", keys.heads, "0", "-1"])
    return sorted(found)


def read_rooms(keys: Keys) -> Query[set[str]]:
    ids = yield from agent_ids(keys)
    fields = yield from asked(*(["HKEYS", keys.state(one)] for one in ids))
    posted = yield from read_channels(keys)
    followed = {name[2:] for names in fields for name in names if name.startswith("p:room:")}
    return followed | {name for name in posted if name.startswith("room:")} | {BOARD_ROOM}


def is_heard(keys: Keys, channel: Channel) -> Query[bool]:
    ids = yield from agent_ids(keys)
    found = yield from asked(*(["HEXISTS", keys.state(one), f"p:{channel}"] for one in ids))
    return any(found)


# --- the journal ------------------------------------------------------------------------------


def swarm_id(keys: Keys) -> Query[str]:
    [found] = yield from asked(["HGET", keys.meta, "swarm"])
    return found or ""


def journal_head(keys: Keys) -> Query[Head]:
    # Here, for it brings hashlib.
    from swarmd.core.model.chain import Head

    [flat] = yield from asked(["HGETALL", keys.head])
    record = hash_of(flat)
    try:
        return Head(int(record["n"]), record["hash"], record["after"]) if record else Head()
    except (KeyError, ValueError) as error:
        raise StoreUnsuitableError(
            f"{keys.head} is no end of a journal",
            hint="`swarmd journal verify --files-only` needs no server",
        ) from error


def journal_page(
    keys: Keys, after: StreamId
) -> Query[tuple[list[tuple[StreamId, str]], StreamId | None]]:
    """The lines of one page, and where the next one begins; `None` where nothing follows."""
    from swarmd.ports.reader import PAGE_ENTRIES

    start = "-" if after == FIRST else f"({after}"
    rows = yield from _rows(keys, JOURNAL, start, PAGE_ENTRIES)
    lines = [(StreamId(at), line_of(words)) for at, words in rows]
    return lines, lines[-1][0] if len(lines) == PAGE_ENTRIES else None


def _said_in(words: Sequence[str]) -> Mapping[str, str]:
    """What an entry says, by name: of a message each part as text, `data` as JSON; of what is none
    its fields.
    """
    fields = hash_of(words)
    facts = facts_in(fields.get(FIELD, ""))
    return {name: _as_text(value) for name, value in facts.items()} or fields


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
