"""One mission's history, taken out of the journal: who lived, what was called, what was refused.
Pure.

The journal is read once, in order, and of other missions nothing is kept. Facts that are not in the
journal yet are read after it. A mission of a former release is read as well: what it does not tell
is missing, and no detector finds anything in what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from swarmd.core.journal.turn_refusals import number_in, refused_in_turns
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import is_stream_id, order_of
from swarmd.core.model.names import FIRST, StreamId

Order = tuple[int, int]
Facts = Mapping[str, Any]

MODEL: Final = "model"
_AGENT: Final = "agent:"


@dataclass(frozen=True, slots=True)
class Member:
    """An agent of the mission. `path` has the ids from the board down to it."""

    id: str
    name: str
    role: str
    parent: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was settled, of a model or of the function `what`. `input` is the digest of what
    it was called with; `result` that of its answer, where there is a record of it. `used` is by
    kind.
    """

    entry: str
    order: Order
    agent: str
    turn: int
    what: str
    input: str = ""
    result: str = ""
    is_ok: bool = True
    files: tuple[str, ...] = ()
    used: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What one rule refused one agent. `turn` is 0 where it was a request of its own."""

    entry: str
    agent: str
    turn: int
    rule: str
    count: int
    detail: str


@dataclass(frozen=True, slots=True)
class Event:
    """Any other entry about the mission or an agent of it."""

    entry: str
    order: Order
    event: str
    agent: str
    data: Facts


@dataclass(slots=True)
class History:
    """`entry` of each part is the number of the journal's entry that says so; of a fact that is in
    none yet, `fact ID`.
    """

    mission: str
    members: dict[str, Member] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def name_of(self, agent: str) -> str:
        """Its name where it is known."""
        member = self.members.get(agent)
        return member.name if member is not None and member.name else agent

    def of(self, *events: JournalEvent) -> list[Event]:
        """The events of these kinds, in order."""
        return [one for one in self.events if one.event in events]

    def calls_of(self, agent: str, *, is_model: bool | None = None) -> list[Call]:
        """Those of one agent, in order: of models or of functions alone, where it is said."""
        return [
            call
            for call in self.calls
            if call.agent == agent and is_model in (None, call.what == MODEL)
        ]

    def used(self, agent: str, turns: Collection[int]) -> dict[str, int]:
        """What these turns of an agent used, by kind."""
        return sum_of(call.used for call in self.calls_of(agent) if call.turn in turns)


def sum_of(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Amounts of each kind, added up."""
    total: dict[str, int] = {}
    for amounts in many:
        for kind, amount in amounts.items():
            total[kind] = total.get(kind, 0) + amount
    return total


Results = Mapping[tuple[str, int, int], str]


@dataclass(slots=True)
class Reading:
    """A history in the making. `results` are digests of answers by agent, turn and step."""

    history: History
    results: Results = field(default_factory=dict)
    until: StreamId = FIRST  # the last fact that an entry has
    _places: dict[tuple[str, str], int] = field(default_factory=dict)

    def entry(self, id: StreamId, said: Facts) -> None:
        """One entry of the journal, as its line says it."""
        data = said.get("data")
        if not isinstance(data, Mapping):
            return
        self._meet(data.get("effects", ()))
        number = str(data.get("n", ""))
        if data.get("event") == JournalEvent.FACTS_FOLDED:
            self.until = StreamId(str(data.get("until", self.until)))
            for fact in data.get("facts", ()):
                self._call(number, fact)
        elif self._is_ours(said, data):
            self._tell(number, order_of(id), data)

    def rest(self, facts: Iterable[Facts]) -> None:
        """Facts that no entry has yet, each with its `id`."""
        ours = [fact for fact in map(_told, facts) if self._is_fact_of_ours(fact)]
        for fact in ours:
            self._call(f"fact {fact.get('id', '')}", fact)
        for one in refused_in_turns(ours):
            said = [f for f in ours if (f.get("rule"), f.get("agent")) == (one.rule, one.agent)]
            entry = f"fact {said[-1].get('id', '')}"
            self.history.refusals.append(
                Refusal(entry, one.agent, one.turn, one.rule.value, one.count, one.detail)
            )

    def _meet(self, effects: Any) -> None:
        """Agents of the mission, from what an entry says of their records."""
        members = self.history.members
        for key, record in effects:
            if not str(key).startswith(_AGENT) or not isinstance(record, Mapping):
                continue
            id = str(key).removeprefix(_AGENT)
            if record.get("mission") == self.history.mission and "path" in record:
                members[id] = _member(id, record)

    def _is_ours(self, said: Facts, data: Facts) -> bool:
        known = self.history.members
        return (
            said.get("mission") == self.history.mission
            or data.get("actor") in known
            or data.get("agent") in known
        )

    def _is_fact_of_ours(self, fact: Facts) -> bool:
        return (
            fact.get("agent") in self.history.members or fact.get("account") == self.history.mission
        )

    def _tell(self, number: str, order: Order, data: Facts) -> None:
        event, actor = str(data.get("event", "")), str(data.get("actor", ""))
        if event in (JournalEvent.TURN_REFUSED, JournalEvent.REQUEST_REFUSED):
            self.history.refusals.append(_refusal(number, actor, data))
        else:
            agent = str(data.get("agent") or actor)
            self.history.events.append(Event(number, order, event, agent, data))

    def _call(self, entry: str, fact: Facts) -> None:
        """A settled call. What was lent for it is settled apart, and is part of the same."""
        if fact.get("fact") != "settle" or not self._is_fact_of_ours(fact):
            return
        key, calls = (str(fact.get("agent", "")), str(fact.get("call", ""))), self.history.calls
        place = self._places.setdefault(key, len(calls))
        if place == len(calls):
            calls.append(_call(entry, fact, self.results))
        else:
            together = sum_of((calls[place].used, _used(fact)))
            calls[place] = replace(calls[place], used=together)


def _refusal(entry: str, agent: str, data: Facts) -> Refusal:
    rule, detail = str(data.get("rule", "")), str(data.get("detail", ""))
    return Refusal(
        entry, agent, _whole(data.get("turn")), rule, _whole(data.get("count")) or 1, detail
    )


def _call(entry: str, fact: Facts, results: Results) -> Call:
    agent = str(fact.get("agent", ""))
    turn, step = map(number_in, str(fact.get("call", "")).partition(":")[::2])
    return Call(
        entry,
        _order(fact.get("id")),
        agent,
        turn,
        str(fact.get("what", "")),
        str(fact.get("input", "")),
        results.get((agent, turn, step), ""),
        str(fact.get("ok", "1")) == "1",
        _names(fact.get("files")),
        _used(fact),
    )


def _names(files: Any) -> tuple[str, ...]:
    return tuple(map(str, files)) if isinstance(files, list) else ()


def _member(id: str, record: Facts) -> Member:
    path = tuple(str(record.get("path", "")).split("/"))
    name, role = str(record.get("name", "")), str(record.get("role", ""))
    return Member(id, name, role, str(record.get("parent") or ""), path)


def _used(fact: Facts) -> dict[str, int]:
    amounts = fact.get("amounts")
    used = amounts.get("used") if isinstance(amounts, Mapping) else None
    return {str(k): _whole(n) for k, n in used.items()} if isinstance(used, Mapping) else {}


def _told(fact: Facts) -> Facts:
    """A fact as an entry would hold it."""
    read = dict(fact)
    for name in ("amounts", "files"):
        try:
            read[name] = json.loads(read[name]) if isinstance(read.get(name), str) else ()
        except ValueError:
            read[name] = ()
    return read


def _order(id: Any) -> Order:
    return order_of(StreamId(id)) if isinstance(id, str) and is_stream_id(id) else (0, 0)


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        return 0
    return value if isinstance(value, int) else number_in(value if isinstance(value, str) else "")
