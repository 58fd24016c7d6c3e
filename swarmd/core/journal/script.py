"""A recorded mission as a script: its calls and the decisions on it, in the order in which they
ended.

Two runs of one mission have other ids. `Labels` names whom an id means in the same way in both: by
the names on an agent's path, or as the so-manieth of its kind.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from swarmd.core.journal.replay import Link
from swarmd.core.model.chain import sha256
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import SOB

Line = Mapping[str, Any]

_ID: Final = re.compile(r"\b(?:a|ap|ov)-[0-9a-z]{10}\b")
# What no two runs have in common: moments, ids of entries, lengths of time, and what was left of a
# budget at an instant.
_PASSING: Final = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z?|\b\d{13}-\d+"
    r"|\b\w+: [\d,]+ needed, [\d,]+ free"
    r"|\b\d[\d,.]{0,24} ?(?:ms|s|min|h|seconds?|minutes?|hours?|days?)\b"
    r'|(?<="tokens": )\d+|(?<="cost": )\d+|(?<="calls": )\d+|(?<="tools": )\d+|(?<="agents": )\d+'
)
_AMOUNT: Final = re.compile(r"\d[\d,.]*")
# What a seat is told that was spent: it lags by up to a second, until facts are folded in.
_SUM: Final = re.compile(r"\b(spent|left|give):? (?:nothing|\$?\d)[^;\n]*")
# Entries that tell of the machine and not of the mission, or of when something was noticed.
_NOT_DECIDED: Final = frozenset(
    {
        JournalEvent.STATE_CHANGED,
        JournalEvent.FACTS_FOLDED,
        JournalEvent.MISSION_WAITING,
        JournalEvent.SUBTREE_REAPED,
        JournalEvent.ACCOUNT_WARNED,
        JournalEvent.AGENT_STALLED,
        JournalEvent.AGENT_RESUMED,
        JournalEvent.RECORD_FORGOTTEN,
    }
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of the journal about the mission. `at` is in seconds since the epoch, of the
    server's clock, when it was written.
    """

    n: int
    at: float
    event: str
    text: str
    data: Line


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One answer of the record. `text` is `None` where the call was cut off. `is_whole`: the answer
    has the digest that was recorded with it.
    """

    name: str
    agent: str
    turn: tuple[int, int]  # incarnation and turn
    step: int
    kind: str
    what: str
    given: Any
    text: str | None
    is_ok: bool
    used: Mapping[str, int]
    is_assumed: bool
    cached: int
    began: float
    ended: float
    is_whole: bool
    mail: int  # messages that its turn answers; 0 where the record does not say

    @property
    def place(self) -> str:
        return f"{self.turn[1]}:{self.step}"


def decisions_of(links: Iterable[Link], mission: str) -> list[Decision]:
    """What was decided on a mission, in the journal's order."""
    return [
        Decision(link.n, _written(link), link.event, link.field("text"), link.data)
        for link in links
        if _is_about(link, mission) and link.event not in _NOT_DECIDED
    ]


def _is_about(link: Link, mission: str) -> bool:
    return mission in (link.field("mission"), link.data.get("segment"))


def _written(link: Link) -> float:
    return int(link.id.partition("-")[0]) / 1000


def call_of(line: Line) -> RecordedCall:
    """A line of the record, its texts put in. Raises `ValueError` or `KeyError` for one that is
    none.
    """
    text, began = line["text"], datetime.fromisoformat(str(line["at"])).timestamp()
    return RecordedCall(
        name=str(line["call"]),
        agent=str(line["agent"]),
        turn=(int(line["incarnation"]), int(line["turn"])),
        step=int(line["step"]),
        kind=str(line["kind"]),
        what=str(line["name"]),
        given=line.get("given"),
        text=text,
        is_ok=bool(line.get("ok", True)),
        used=dict(line.get("used", {})),
        is_assumed=bool(line.get("assumed")),
        cached=int(line.get("cached", 0)),
        began=began,
        ended=began + float(line["seconds"]),
        is_whole=text is None or sha256(text) == line["answer"],
        mail=int(line.get("mail", 0)),
    )


def reserves_of(links: Iterable[Link]) -> dict[tuple[str, str], Mapping[str, int]]:
    """What each call reserved, by agent and place (`TURN:STEP`), of whichever account."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for fact in (fact for link in links for fact in link.data.get("facts", ())):
        if fact.get("fact") == "reserve":
            amounts = found.setdefault((str(fact["agent"]), str(fact["call"])), Counter())
            amounts.update(fact.get("amounts", {}))
    return dict(found)


@dataclass(slots=True)
class Labels:
    """Whom the ids of one run mean. Agents are known from the entry that created them on."""

    mission: str
    _labels: dict[str, str] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def take(self, decision: Decision) -> None:
        data = decision.data
        match decision.event:
            case JournalEvent.AGENT_SPAWNED:
                self._take_agent(str(data["agent"]), str(data["path"]), _record_of(data))
            case JournalEvent.APPROVAL_REQUESTED:
                self._name(str(data["approval"]), "request for permission")
            case JournalEvent.OVERRIDE_SET:
                self._name(str(data["override"]), "override")

    def _take_agent(self, id: str, path: str, record: Line) -> None:
        creator = path.split("/")[-2]
        above = "" if creator in (SOB, self.mission) else f"{self.of(creator)}/"
        self._name(id, above + str(record.get("name", id)))

    def _name(self, id: str, label: str) -> None:
        if id in self._labels:
            return
        self._counts[label] += 1
        # A name may be reused once its bearer has ended.
        whole = label if self._counts[label] == 1 else f"{label} ({self._counts[label]})"
        self._labels[id], self._ids[whole] = whole, id

    def of(self, id: str) -> str:
        """A seat, the board and a person are known by their id in every run."""
        return self._labels.get(id, id)

    def in_words(self, text: str) -> str:
        """With labels for ids."""
        found = _ID.sub(lambda one: f"<{self.of(one[0])}>", text)
        return found.replace(self.mission, "<mission>") if self.mission in found else found

    def neutral(self, text: str) -> str:
        """As every run of the same mission has it: no ids, moments, lengths of time or amounts."""
        return _PASSING.sub("…", self.in_words(text))

    def translated(self, text: str, into: Labels) -> str:
        """With the ids of another run. One that means nobody there stays as it is."""
        found = _ID.sub(lambda one: into._ids.get(self.of(one[0]), one[0]), text)
        return found if self.mission == into.mission else found.replace(self.mission, into.mission)


def _record_of(data: Line) -> Line:
    key = f"agent:{data['agent']}"
    return next((new for named, new in data.get("effects", ()) if named == key and new), {})


@dataclass(slots=True)
class Script:
    """All that a replay plays. `turns` are each agent's turns in which it called something, in
    order, by its label.
    """

    mission: str
    decisions: list[Decision]
    turns: dict[str, list[list[RecordedCall]]]
    words: list[RecordedCall]  # of people
    reserves: Mapping[tuple[str, str], Mapping[str, int]]
    labels: Labels

    @property
    def began(self) -> float:
        """When the mission was docketed: times of both runs are counted from there."""
        return self.decisions[0].at

    def reached(self, entry: int) -> float:
        """When the last decision up to an entry was written."""
        return max((one.at for one in self.decisions if one.n <= entry), default=self.began)

    def calls(self) -> list[RecordedCall]:
        return [call for turns in self.turns.values() for turn in turns for call in turn]


def script_of(links: Sequence[Link], files: Iterable[Iterable[Line]], mission: str) -> Script:
    """`files` are the calls of each file of the record, as they stand there: by their ends. Raises
    `ValueError` or `KeyError` for a line that is no call.
    """
    decisions, labels = decisions_of(links, mission), Labels(mission)
    for decision in decisions:
        labels.take(decision)
    found = [call for lines in files for call in _in_order(map(call_of, lines))]
    calls = sorted(found, key=lambda call: (call.began, call.turn, call.step))
    made = [call for call in calls if call.kind != "person"]
    return Script(
        mission,
        decisions,
        _by_turns(made, labels),
        [call for call in calls if call.kind == "person"],
        reserves_of(links),
        labels,
    )


def _in_order(calls: Iterable[RecordedCall]) -> Iterator[RecordedCall]:
    """Each ended no sooner than the one before it: lengths of time are rounded."""
    last = 0.0
    for call in calls:
        last = max(last, call.ended)
        yield replace(call, ended=last)


def _by_turns(calls: Sequence[RecordedCall], labels: Labels) -> dict[str, list[list[RecordedCall]]]:
    found: dict[str, dict[tuple[int, int], list[RecordedCall]]] = {}
    for call in calls:
        found.setdefault(labels.of(call.agent), {}).setdefault(call.turn, []).append(call)
    return {label: list(turns.values()) for label, turns in found.items()}


def asked_lines(given: Any, labels: Labels) -> list[str]:
    """What a call was made with, in lines that every run has. Of a model's situation the amounts
    are those of an instant, and are left out.
    """
    match given:
        case [str() as name, str() as shared, str() as persona, list() as pieces]:
            situation = _AMOUNT.sub("…", labels.neutral(persona))
            said = [_SUM.sub(r"\1 …", labels.neutral(_as_text(one))) for one in pieces]
            return "\n".join([name, labels.neutral(shared), *said, situation]).split("\n")
        case _:
            return labels.neutral(_as_text(given)).split("\n")


def _as_text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
