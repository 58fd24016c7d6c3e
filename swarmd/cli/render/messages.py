"""Entries of channels as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from swarmd.cli.render.text import Ink, counted, plain
from swarmd.cli.render.values import unpacked

if TYPE_CHECKING:
    from swarmd.ports.reader import Trimmed

_INDENT: Final = " " * 9  # as wide as the time of day before the first line


def entry_lines(id: str, flat: Mapping[str, str], ink: Ink) -> list[str]:
    """One entry for a person: who to whom, what kind, the text whole, indented where it has more
    lines.
    """
    if "from" not in flat:
        said = "  ".join(f"{plain(name)}={plain(text)}" for name, text in flat.items())
        return [f"{ink.paint(id, 'dim')}  {said}"]
    first, *more = plain(flat.get("text", ""), multiline=True).splitlines() or [""]
    lines = [f"{_head(flat, ink)} {first}".rstrip(), *(f"{_INDENT}{line}" for line in more)]
    if flat.get("data") and not flat.get("text"):
        lines.append(_INDENT + ink.paint(plain(flat["data"]), "dim"))
    return lines


def _head(flat: Mapping[str, str], ink: Ink) -> str:
    """When, who to whom, and of what kind."""
    to = f" → {plain(flat['to'])}" if flat.get("to") else ""
    about = " ".join(plain(word) for word in (*_what(flat), flat.get("mission", "")) if word)
    when = ink.paint(clock_of(flat.get("at", "")), "dim")
    return f"{when} {ink.paint(plain(flat['from']), 'bold')}{to} {ink.paint(f'[{about}]', 'cyan')}"


def trimmed_line(trimmed: Trimmed) -> str:
    """What a reader that goes on from a position has missed."""
    missed = "entries"
    if trimmed.entries is not None:
        missed = f"{counted(trimmed.entries, 'entry')} of the channel"
    where = f"what is kept begins at {trimmed.first}" if trimmed.first else "nothing else is kept"
    return f"not shown: after {trimmed.after}, {missed} may be missing, for {where}"


def _what(flat: Mapping[str, str]) -> tuple[str, str]:
    """The kind, and the one fact that a kind is read for: how a vote went, what the journal
    records.
    """
    kind, data = flat.get("kind", ""), unpacked("data", flat.get("data", ""))
    fact = (
        data.get({"vote": "choice", "entry": "event"}.get(kind, ""), "")
        if isinstance(data, dict)
        else ""
    )
    return kind, str(fact)


def clock_of(at: str) -> str:
    """The time of day of an ISO time, in UTC as everything is stored."""
    time = at.partition("T")[2][:8]
    return time if len(time) == 8 else "--:--:--"
