"""The turns of an agent that ended before its final report, as a file that its superior may read.
Pure.

What the agent remembered, and of a turn that was under way what was done of it: what it was asked,
what it answered, what it read. So whoever goes on with its task need not do it all again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarmd.core.agent.memory import Memory, said_of
from swarmd.core.model.functions import KEPT_TURNS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import Channel, StreamId

# Of a file, the newest: some 50,000 tokens. A memory is shorter as shipped (`memory_chars`); the
# rest is the turn that was under way.
CHARS_MAX: Final = 200_000
# Of one text in it: a result of a file that was read whole can be had again.
TEXT_MAX: Final = 8_000
_LEFT_OUT: Final = "\n[… what came before is left out]\n\n"


@dataclass(frozen=True, slots=True)
class TurnsSoFar:
    """What an agent's own state holds of its turns. Of the one under way: how far it reads each
    channel, and the calls that have ended, each by its kind and its result.
    """

    memory: Memory
    positions: Mapping[Channel, StreamId]
    batch: Mapping[Channel, StreamId]
    steps: tuple[tuple[str, str], ...]
    is_done: bool
    taint: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptTurns:
    """The file, or why there is none."""

    path: str = ""
    why_not: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"its turns so far stand in {self.path}"
        return f"its turns so far could not be kept: {self.why_not}"


def path_of(agent: Agent) -> str:
    """Its name for people, its id because names are used again."""
    return f"{KEPT_TURNS}{agent.name}-{agent.id}.md"


def text_of(
    agent: Agent, entries: Sequence[Mapping[str, Any]], why: str, taint: Sequence[str]
) -> str:
    """`entries` as memory has them, oldest first; those of the turn under way at the end."""
    head = "\n".join(_head(agent, why, taint))
    body = "\n\n".join("\n".join(_section(entry)) for entry in entries)
    room = CHARS_MAX - len(head)
    if len(body) > room:
        body = _LEFT_OUT + body[len(_LEFT_OUT) - room :]
    return f"{head}\n\n{body}\n"


def _head(agent: Agent, why: str, taint: Sequence[str]) -> Iterator[str]:
    yield f"# The turns of {agent.name} ({agent.id}, {agent.role})"
    yield f"It ended before its final report: {why}"
    if taint:
        yield f"It had read untrusted text: {', '.join(taint)}"
    if agent.charter is not None:
        yield f"\n## Its charter\n{_clip(agent.charter.task)}"
        if agent.charter.files:
            yield f"files: {', '.join(agent.charter.files)}"


def _section(entry: Mapping[str, Any]) -> Iterator[str]:
    for item in entry.get("mail", ()):
        yield from _mail(item)
    for move in entry.get("moves", ()):
        yield f"## It answered: {move.get('move')}"
        yield from _fields(move, "move")
    for result in entry.get("results", ()):
        yield "## It was shown"
        yield from _fields(result)
    yield from _aside(entry)


def _mail(item: Mapping[str, Any]) -> Iterator[str]:
    sender = item.get("name") or item.get("from")
    yield f"## It was told ({item.get('kind')} from {sender})"
    yield _clip(str(item.get("text", "")))


def _aside(entry: Mapping[str, Any]) -> Iterator[str]:
    if "left_out" in entry:
        yield f"## Before that\n{said_of(entry['left_out'])}"
    if "correction" in entry:
        yield f"## Its answer could not be used\n{_clip(str(entry['correction']))}"
        yield _clip(str(entry.get("said", "")))


def _fields(value: Any, *without: str) -> Iterator[str]:
    """One line for each field, with texts as they are: a search of the file shows lines."""
    if not isinstance(value, Mapping):
        yield _clip(_words(value))
        return
    for name, one in value.items():
        if name not in without and one not in (None, "", (), [], {}):
            words = _clip(_words(one))
            yield f"{name}:\n{words}" if "\n" in words else f"{name}: {words}"


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(_words, value))
    return json.dumps(value, ensure_ascii=False)


def _clip(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]} [… cut]"
