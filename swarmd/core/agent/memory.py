"""An agent's long history: what of it stays whole, and what is said of the rest. Pure.

Entries are JSON, oldest first: `{"mail": […]}`, `{"moves": […]}`, `{"results": […]}`. Where they
are more than an agent is to be told of again, results of functions go first, for a file can be read
again. Where that is not enough, the older entries go all at once down to half of the bound, and one
entry takes their place that says what went: last the directives and reports, which nobody says
twice, and in which file each report can be read again. An agent's charter is not here: its
instruction has it, whatever goes.
Not the oldest entry alone, each time: the beginning of a prompt would then be another in every
turn, and the caches of providers would never hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.agent.attempts import Attempts, tried_text
from swarmd.core.agent.report_file import report_path
from swarmd.core.model.corrections import REPLAN, step_of
from swarmd.core.model.functions import REPORTS, Functions
from swarmd.core.model.messages import Message
from swarmd.core.model.names import AgentId

# An entry is a field of its own in the store, and a script names in one command all that are
# forgotten at once.
MEMORY_ENTRIES_MAX: Final = 2_000
# What the entry that stands for the rest says at most: names of files and children, and characters
# of the last report.
_NAMES_MAX: Final = 40
_REPORT_MAX: Final = 1_200
# Of a message less is not worth keeping.
_TOLD_MIN: Final = 400
# Of one text in an entry that is too large by itself.
_TEXT_SHARE: Final = 8
_CUT: Final = " [… cut]"
# Of a result, what is so short says what it was of.
_SHORT: Final = 160
_RESULTS: Final = '{"results":'
_GONE: Final = "left out here: call it again if you need it"
# Of reports whose files' names do not fit: the folder can be searched.
_OLDER: Final = f"older reports: {REPORTS}"
# What nobody says twice, and of which the summary keeps the newest.
_LASTING: Final = ("directive", "report")

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
    entries = _without_results(entries, chars_max // 2)
    if len(entries) <= entries_max and _chars(entries) <= chars_max // 2:
        return list(entries)
    room = chars_max * 3 // 8 - _REPORT_MAX
    kept = _last_that_fit(entries[-(entries_max // 2) :], room)
    gone = entries[: len(entries) - len(kept)]
    if not kept:
        # Not even the newest fits: of it alone something has to stay, or the agent would do it all
        # again.
        kept = [_clipped(entries[-1], chars_max // 2)]
        gone = entries if kept == [_TOO_LONG] else entries[:-1]
    return [_summary(gone, chars_max // 4, functions), *kept]


def _without_results(entries: Sequence[str], chars_max: int) -> list[str]:
    """The oldest without what functions gave, as many as it takes. The newest entry stays whole: an
    agent has not done anything about it yet.
    """
    found, over = list(entries), _chars(entries) - chars_max
    for at, entry in enumerate(found[:-1]):
        if over <= 0:
            break
        if entry.startswith(_RESULTS):
            thin = _compact({"results": [_thinned(r) for r in json.loads(entry)["results"]]})
            if len(thin) < len(entry):
                over -= len(entry) - len(thin)
                found[at] = thin
    return found


def _thinned(result: Any) -> Any:
    """What was called and whether it went well; not what it gave."""
    if not isinstance(result, Mapping):
        return _GONE
    kept = {
        name: value
        for name, value in result.items()
        if isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= _SHORT)
    }
    return {**kept, "note": _GONE} if len(kept) < len(result) else kept


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
        left_out.hear(entry.get("mail", ()))
        for move in entry.get("moves", ()):
            left_out.note(move, functions)
    facts = {
        "turns": left_out.turns,
        "wrote": _newest(left_out.wrote, chars_max),
        "created": _newest(left_out.created, chars_max),
        "reported": left_out.reported[:chars_max],
        "mail": left_out.heard_within(chars_max * 3 // 2),
        "reports": left_out.reports_within(chars_max // 4),
    }
    return _compact({"left_out": facts})


@dataclass(slots=True)
class _LeftOut:
    """What entries that go have told."""

    turns: int = 0
    wrote: dict[str, None] = field(default_factory=dict)
    created: dict[str, None] = field(default_factory=dict)
    reported: str = ""
    heard: list[Mapping[str, Any]] = field(default_factory=list)
    reports: dict[str, None] = field(default_factory=dict)  # and in which files they stand

    def hear(self, mail: Sequence[Any]) -> None:
        """Mail that goes."""
        items = (item for item in mail if isinstance(item, Mapping))
        lasting = [item for item in items if item.get("kind") in _LASTING]
        self.heard += lasting
        for item in lasting:
            self._note_report(_report_in_a_file(item))

    def _note_report(self, report: str) -> None:
        """The one that was heard last is the newest, also where it was heard before."""
        if report:
            self.reports.pop(report, None)
            self.reports[report] = None

    def reports_within(self, chars_max: int) -> list[str]:
        """The newest of them, and where those are that do not fit."""
        named = list(self.reports)
        kept = _last_that_fit(named, chars_max - len(_OLDER))
        return kept if len(kept) == len(named) else [_OLDER, *kept]

    def heard_within(self, chars_max: int) -> list[Mapping[str, Any]]:
        """Whole where they fit, else each the same length: a report begins with its result."""
        latest = self.heard[-_NAMES_MAX:]
        if sum(len(_compact(item)) for item in latest) <= chars_max:
            return latest
        latest = latest[-max(1, chars_max // _TOLD_MIN) :]
        share = chars_max // len(latest)
        told = [_told_within(item, share) for item in latest]
        return [item for item in told if item is not None]

    def take_in(self, before: Mapping[str, Any]) -> None:
        """An older summary."""
        self.turns += before["turns"]
        self.wrote |= dict.fromkeys(before["wrote"])
        self.created |= dict.fromkeys(before["created"])
        self.reported = before["reported"]
        self.heard += before.get("mail", ())
        for report in before.get("reports", ()):
            self._note_report(report)

    def note(self, move: Mapping[str, Any], functions: Functions) -> None:
        match move.get("move"):
            case "use":
                self.wrote |= dict.fromkeys(_written(move, functions))
            case "spawn":
                self.created[_child(move)] = None
            case "report":
                self.reported = _clip(str(move.get("text", "")), _REPORT_MAX)


def _report_in_a_file(item: Mapping[str, Any]) -> str:
    """Whose report it is and where it stands; empty where it stands nowhere, or is no report."""
    data = item.get("data")
    if item.get("kind") != "report" or not isinstance(data, Mapping):
        return ""
    name = str(data.get("name", ""))
    path = report_path(name, AgentId(str(item.get("from"))), data.get("files") or ())
    return f"report of {name}: {path}" if path else ""


def _told_within(item: Mapping[str, Any], chars_max: int) -> Mapping[str, Any] | None:
    """A message, its text cut so that all of it has so many characters; `None` where it cannot."""
    text = str(item.get("text", ""))
    beside = len(_compact({**item, "data": {}, "text": ""}))
    room = (chars_max - beside) // 2 if _is_dense(text) else chars_max - beside
    cut = {**item, "data": {}, "text": _clip(text, max(len(_CUT), room))}
    return cut if len(_compact(cut)) <= chars_max else None


def _is_dense(text: str) -> bool:
    """Does it take about twice its length as JSON, for its marks and breaks?"""
    return len(_compact(text)) > len(text) + 2 + len(text) // 4


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
    if "tried" in left_out:
        turns = f"Your {left_out['turns']} turns up to here are left out"
        parts = [f"{turns}, for you went on with what the law refuses."]
        parts.append(tried_text(left_out["tried"]))
    for words, names in (
        ("files you wrote", left_out["wrote"]),
        ("whom you created", left_out["created"]),
        ("to be read again in these files", left_out.get("reports", ())),
    ):
        if names:
            parts.append(f"{words}: {', '.join(names)}")
    if left_out["reported"]:
        parts.append(f"your last report in them:\n{left_out['reported']}")
    parts += [
        f"{item.get('kind')} from {item.get('name') or item.get('from')}:\n{item.get('text')}"
        for item in left_out.get("mail", ())
    ]
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


# --- from turn to turn ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """Entries as JSON, oldest first, numbered from `first` on: a turn writes what is new of it
    and no more.
    """

    first: int = 0
    entries: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """The number that comes next."""
        return self.first + len(self.entries)


NO_MEMORY: Final = Memory()


def results_in(memory: Memory) -> list[str]:
    """The entries of what functions gave."""
    return [entry for entry in memory.entries if entry.startswith(_RESULTS)]


def remember(
    memory: Memory, new: Sequence[Mapping[str, Any]], chars_max: int, functions: Functions
) -> Memory:
    """The memory after a turn; where it would be too long, the older part is summed up
    (`core.agent.memory`).
    """
    entries = (*memory.entries, *map(_compact, new))
    kept = shorten(entries, chars_max, MEMORY_ENTRIES_MAX, functions)
    return Memory(memory.first + len(entries) - len(kept), tuple(kept))


def before_turn(
    memory: Memory, mail: Sequence[Message], chars_max: int, functions: Functions
) -> Memory:
    """What an agent remembers as a turn with this mail begins: nothing of its turns as they were
    where the supervisor has it begin anew.
    """
    is_anew = any(step_of(message) == REPLAN for message in mail)
    return _begun_anew(memory, chars_max, functions) if is_anew else memory


def _begun_anew(memory: Memory, chars_max: int, functions: Functions) -> Memory:
    """One entry in the place of all: what `shorten` says of what it leaves out, and what the agent
    has tried. When the memory is shortened later, what was tried goes: what failed once may not
    fail for ever. In at most `chars_max` characters.
    """
    if not memory.entries:
        return memory
    attempts = Attempts()
    attempts.take(map(json.loads, memory.entries), _GONE)
    facts = json.loads(_summary(memory.entries, chars_max // 4, functions))["left_out"]
    entry = _compact({"left_out": {**facts, "tried": attempts.facts(chars_max // 8)}})
    return Memory(memory.end - 1, (entry,))


def news_of(before: Memory, after: Memory) -> tuple[dict[int, str], range]:
    """What a turn adds to memory, by number, and the numbers of what it forgets."""
    known = dict(enumerate(before.entries, before.first))
    # One that was there before may have become shorter, and what sums up the rest stands where the
    # last of it stood.
    added = {
        number: entry
        for number, entry in enumerate(after.entries, after.first)
        if known.get(number) != entry
    }
    return added, range(before.first, min(before.end, after.first))


def mail_entry(
    messages: Sequence[Message], names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Mail as memory keeps it, with the names that are known of its senders."""
    known = names or {}
    return {
        "mail": [
            {
                "from": m.sender,
                **({"name": known[m.sender]} if m.sender in known else {}),
                "kind": m.kind.value,
                "text": m.text,
                "data": dict(m.data),
                "channel": m.channel,
            }
            for m in messages
        ]
    }
