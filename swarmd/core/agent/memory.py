"""An agent's long history: what of it stays whole, and what is said of the rest. Pure.

Entries are JSON, oldest first: `{"mail": […]}`, `{"moves": […]}`, `{"results": […]}`. Where they
are more than an agent is to be told of again, the older ones go all at once down to half of the
bound, and one entry takes their place that says what went. Not the oldest entry alone, each time:
the beginning of a prompt would then be another in every turn, and the caches of providers would
never hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.model.functions import Functions

# What the entry that stands for the rest says at most: names of files and children, and characters
# of the last report.
_NAMES_MAX: Final = 40
_REPORT_MAX: Final = 1_200
# Of one text in an entry that is too large by itself.
_TEXT_SHARE: Final = 8
_CUT: Final = " [… cut]"

_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_TOO_LONG: Final = _compact({"results": [{"note": "this turn was too long to keep"}]})


def shorten(
    entries: Sequence[str], chars_max: int, entries_max: int, functions: Functions
) -> list[str]:
    """The same where they fit. Else what fits into half of it, the newest, after one that says
    what was left out.
    """
    if len(entries) <= entries_max and _chars(entries) <= chars_max:
        return list(entries)
    room = chars_max // 2 - _REPORT_MAX
    kept = _last_that_fit(entries[-(entries_max // 2) :], room)
    gone = entries[: len(entries) - len(kept)]
    if not kept:
        # Not even the newest fits: of it alone something has to stay, or the agent would do it all
        # again.
        kept, gone = [_clipped(entries[-1], chars_max // 2)], entries[:-1]
    return [_summary(gone, chars_max // 4, functions), *kept]


def _last_that_fit(texts: Sequence[str], room: int, *, apart: int = 1) -> list[str]:
    """`apart` are the characters between two of them."""
    kept = list[str]()
    for text in reversed(texts):
        room -= len(text) + apart
        if room < 0:
            break
        kept.append(text)
    return kept[::-1]


def _chars(entries: Iterable[str]) -> int:
    return sum(len(entry) + 1 for entry in entries)


def _summary(gone: Sequence[str], chars_max: int, functions: Functions) -> str:
    """Of entries that go; the first of them may be such a summary itself."""
    left_out = _LeftOut()
    for entry in map(json.loads, gone):
        if entry.get("left_out") is not None:
            left_out.take_in(entry["left_out"])
        left_out.turns += "mail" in entry
        for move in entry.get("moves", ()):
            left_out.note(move, functions)
    facts = {
        "turns": left_out.turns,
        "wrote": _newest(left_out.wrote, chars_max),
        "created": _newest(left_out.created, chars_max),
        "reported": left_out.reported[:chars_max],
    }
    return _compact({"left_out": facts})


@dataclass(slots=True)
class _LeftOut:
    """What entries that go have told."""

    turns: int = 0
    wrote: dict[str, None] = field(default_factory=dict)
    created: dict[str, None] = field(default_factory=dict)
    reported: str = ""

    def take_in(self, before: Mapping[str, Any]) -> None:
        """An older summary."""
        self.turns += before["turns"]
        self.wrote |= dict.fromkeys(before["wrote"])
        self.created |= dict.fromkeys(before["created"])
        self.reported = before["reported"]

    def note(self, move: Mapping[str, Any], functions: Functions) -> None:
        match move.get("move"):
            case "use":
                self.wrote |= dict.fromkeys(_written(move, functions))
            case "spawn":
                self.created[_child(move)] = None
            case "report":
                self.reported = _clip(str(move.get("text", "")), _REPORT_MAX)


def _written(move: Mapping[str, Any], functions: Functions) -> tuple[str, ...]:
    """What a call of a function that writes has named."""
    function, args = functions.get(str(move.get("function"))), move.get("args")
    if function is None or function.effect != "writes" or not isinstance(args, Mapping):
        return ()
    return (str(args.get(function.subject, "")),)


def _child(move: Mapping[str, Any]) -> str:
    charter = move.get("charter")
    name = charter.get("name", "") if isinstance(charter, Mapping) else ""
    return f"{name} (key {move.get('key', '')})"


def _newest(names: Mapping[str, None], chars_max: int) -> list[str]:
    return _last_that_fit(list(names)[-_NAMES_MAX:], chars_max // 4, apart=0)


def said_of(left_out: Mapping[str, Any]) -> str:
    """How a prompt tells an agent that it does not see all of what was."""
    parts = [f"Your first {left_out['turns']} turns are left out here, for they would be too long."]
    for words, names in (
        ("files you wrote", left_out["wrote"]),
        ("whom you created", left_out["created"]),
    ):
        if names:
            parts.append(f"{words}: {', '.join(names)}")
    if left_out["reported"]:
        parts.append(f"your last report in them:\n{left_out['reported']}")
    return "\n".join(parts)


def _clipped(entry: str, chars_max: int) -> str:
    """One entry, its long texts cut, so that it fits; a note in its place where even that is too
    long.
    """
    text = _compact(_cut_texts(json.loads(entry), max(200, chars_max // _TEXT_SHARE)))
    return text if len(text) <= chars_max else _TOO_LONG


def _cut_texts(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return _clip(value, length)
    if isinstance(value, list):
        return [_cut_texts(item, length) for item in value]
    if isinstance(value, dict):
        return {key: _cut_texts(item, length) for key, item in value.items()}
    return value


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - len(_CUT)] + _CUT
