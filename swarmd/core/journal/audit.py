"""The laws, judged again from the journal alone. Pure.

`Auditor` is the replay's judge: it is shown each change before it is made, with the state as it
was, and notes what the law forbids. It decides nothing anew (what was free, who was fastest): it
holds the record against the rules that hold whatever was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.core.journal.motions import MotionsJudged
from swarmd.core.journal.replay import Link, State
from swarmd.core.journal.tasks import TasksJudged
from swarmd.core.journal.turn_refusals import refused_in_turns
from swarmd.core.model.chain import Record
from swarmd.core.model.events import REFUSALS, JournalEvent
from swarmd.core.model.lineage import mission_segments
from swarmd.core.model.names import (
    BRAKE,
    CLERK,
    OPERATOR,
    SOB,
    SUPERVISOR,
    AgentState,
    Authority,
    MissionId,
)
from swarmd.core.model.privileges import Held, Revocation, Right, live_holding

LAWS: Final = (
    "spawn: the parent lives, is neither stopped nor ending; tier and path are one below its",
    (
        "privileges: a child's, to use and to grant, are covered by what its creator could grant; "
        "nobody takes his own"
    ),
    (
        "identity: an id is never used again, an incarnation never goes back; what an agent is "
        "does not change"
    ),
    (
        "terminate: fenced first, by a proper ancestor, the board, the clerk, the supervisor or an "
        "operator"
    ),
    "precedence: what a better one stopped is not lifted by those below",
    (
        "permission: given once, by an ancestor of who asked, the board or an operator, with no "
        "less authority than it takes"
    ),
    "overrides: an operator's or the board's, and not taken back by those below",
    (
        "no orphans: nobody is reaped while a child lives, or without a fence; an orphan goes to "
        "its creator's creator"
    ),
    (
        "budget: cap + overdraft = free + reserved + granted + spent, of every account and kind, "
        "at every fact"
    ),
    "budget: granted is the sum of the open children's caps; no amount is below nothing",
    "missions: what was asked does not change; none is forgotten while an agent serves it",
    (
        "board: what was carried follows from the answers of its bench, by vote or consent; "
        "nothing else was executed"
    ),
    "tasks: what was accepted or sent back is what was handed in, by its assigner or the board",
    "refusals change nothing; what a turn was refused is told as often as its facts say",
)

# Of an agent's record, what no decision changes.
_LASTING: Final = ("name", "role", "tier", "path", "mission", "created", "key", "charter")
_SOVEREIGNS: Final = frozenset({OPERATOR, BRAKE, SOB, "board", CLERK, SUPERVISOR})
_AUTHORITIES: Final[dict[str, Authority]] = {
    OPERATOR: Authority.OPERATOR,
    BRAKE: Authority.OPERATOR,
    SUPERVISOR: Authority.OPERATOR,
    SOB: Authority.BOARD,
    CLERK: Authority.BOARD,
}


@dataclass(slots=True)
class Auditor:
    """What the law forbids, by the number of the entry that did it. `ever` are all ids that were
    seen.
    """

    faults: list[tuple[int, str]] = field(default_factory=list)
    ever: set[str] = field(default_factory=set)
    _children: dict[str, set[str]] = field(default_factory=dict)
    _n: int = 0
    _actor: str = ""
    # Refusals of the last facts that no entry has told yet; none where reading began after those
    # facts.
    _told: dict[tuple[str, int, str], int] | None = None
    _motions: MotionsJudged = field(default_factory=MotionsJudged)
    _tasks: TasksJudged = field(default_factory=TasksJudged)
    _is_motion: bool = False  # the entry tells that a motion was executed

    def begin(self, state: State) -> None:
        """Reading starts, or starts anew, from a state that is taken as it is."""
        self._children.clear()
        self._told = None
        self._motions.clear()
        for key, record in state.records.values.items():
            if key.startswith("agent:"):
                self.ever.add(key[6:])
                self._children.setdefault(str(record.get("parent", "")), set()).add(key[6:])
        self._tasks.begin({key[6:] for key in state.records.values if key.startswith("agent:")})

    def entry(self, state: State, link: Link) -> None:
        self._n, self._actor = link.n, str(link.data.get("actor", ""))
        self._is_motion = link.event == JournalEvent.MOTION_EXECUTED
        if link.event in REFUSALS and link.data.get("effects"):
            self._note(f"{link.event} tells of what was not done, and changes something")
        for fault in (*self._motions.entry(state, link), *self._tasks.entry(state, link)):
            self._note(fault)
        if link.event == JournalEvent.FACTS_FOLDED:
            self._facts(link)
        elif link.event == JournalEvent.TURN_REFUSED:
            self._refused(link)

    def _facts(self, link: Link) -> None:
        # A release that told less of refusals may have written facts that no entry names: that is
        # no fault.
        facts = link.data.get("facts")
        readable = (
            [fact for fact in facts if isinstance(fact, Mapping)] if isinstance(facts, list) else []
        )
        found = refused_in_turns(readable)
        self._told = {(one.agent, one.turn, one.rule.value): one.count for one in found}

    def _refused(self, link: Link) -> None:
        if self._told is None:
            return
        turn = link.data.get("turn")
        key = (self._actor, turn if isinstance(turn, int) else -1, str(link.data.get("rule", "")))
        count = self._told.pop(key, None)
        if count is None or count != link.data.get("count"):
            self._note(
                f"turn {turn} of {key[0]} was not refused so often by {key[2]}: its facts say "
                f"{count or 0}"
            )

    def effect(self, state: State, link: Link, key: str, new: Record | None) -> None:
        kind, _, id = key.partition(":")
        judge = _JUDGES.get(kind)
        if judge is not None:
            judge(self, state, id, state.records.values.get(key), new)

    def fact(self, state: State, fact: Mapping[str, Any], touched: Iterable[str]) -> None:
        for id in touched:
            wrong = state.ledger.unbalanced(id)
            if wrong:
                self._note(f"after the fact {fact['id']} the account {wrong}")

    def _note(self, what: str) -> None:
        self.faults.append((self._n, what))

    # --- agents ---

    def _agent(self, state: State, id: str, old: Record | None, new: Record | None) -> None:
        if new is None:
            self._reaped(state, id, old)
        elif old is None:
            self._made(state, id, new)
        else:
            self._changed(state, id, old, new)
            self._adopted(state, id, old, new)
            self._given(state, id, old, new)

    def _changed(self, state: State, id: str, old: Record, new: Record) -> None:
        changed = [name for name in _LASTING if old.get(name) != new.get(name)]
        if changed and not (changed == ["charter"] and self._may_change_charter(state, id)):
            self._note(f"{id}: its {changed[0]} changed")
        if new.get("incarnation", 0) < old.get("incarnation", 0):
            self._note(f"{id}: its incarnation went back")

    def _may_change_charter(self, state: State, id: str) -> bool:
        """By an override of its task, or by a motion that hands over further files."""
        return self._is_motion or _is_overridden(state, "task", id)

    def _made(self, state: State, id: str, new: Record) -> None:
        if id in self.ever:
            self._note(f"{id}: its id was used before")
        self.ever.add(id)
        self._children.setdefault(str(new.get("parent", "")), set()).add(id)
        if "parent" not in new:
            if new.get("tier", 0) != 0 or _path(new) != [id]:
                self._note(f"{id}: it has no parent, and is not of the board")
            return
        parent = state.records.values.get(f"agent:{new['parent']}")
        if parent is None:
            self._note(f"{id}: its parent {new['parent']} does not live")
        else:
            self._made_below(state, id, new, parent)

    def _made_below(self, state: State, id: str, new: Record, parent: Record) -> None:
        self._placed_below(id, new, parent)
        self._may_create(state, id, new, parent)
        if not _is_overridden(state, "spawn", id):
            self._endowed(state, id, new, parent)

    def _placed_below(self, id: str, new: Record, parent: Record) -> None:
        tier, above_tier = new.get("tier", 0), parent.get("tier", 0)
        if tier != above_tier + 1:
            self._note(f"{id}: made at tier {tier} by one of tier {above_tier}")
        mission = MissionId(str(new.get("mission")))
        above = [SOB, *mission_segments(mission)] if new["parent"] == SOB else _path(parent)
        if _path(new) != [*above, id]:
            self._note(f"{id}: its path is not its parent's and its own id")

    def _endowed(self, state: State, id: str, new: Record, parent: Record) -> None:
        """What it was made with, its creator could hand out."""
        marks = _marks_on(state, parent)
        for wanted in (*new.get("privileges", ()), *new.get("grants", ())):
            if live_holding(wanted, "grant", _holdings(parent), marks) is None:
                self._note(f"{id}: given {wanted}, which its creator could not grant")

    def _may_create(self, state: State, id: str, new: Record, parent: Record) -> None:
        known, above = state.records.values, _path(new)[:-1]
        ending = [part for part in (*above, f"={new['parent']}") if f"fence:{part}" in known]
        if ending or parent.get("state") == AgentState.DRAINING:
            self._note(f"{id}: made below {(ending or [new['parent']])[0]}, which is ending")
        targets = (*above, f"={new['parent']}", f"tier:{parent.get('tier', 0)}", "*")
        stopped = [target for target in targets if f"stop:{target}" in known]
        if stopped:
            self._note(f"{id}: made under the stop on {stopped[0]}")

    def _adopted(self, state: State, id: str, old: Record, new: Record) -> None:
        before, after = old.get("parent"), new.get("parent")
        if before == after:
            return
        self._children.get(str(before or ""), set()).discard(id)
        self._children.setdefault(str(after or ""), set()).add(id)
        former = state.records.values.get(f"agent:{before}", {})
        if former.get("parent") != after:
            self._note(f"{id}: adopted by {after}, which is not its creator's creator")
        if f"fence:={before}" not in state.records.values:
            self._note(f"{id}: adopted while its creator {before} lives on")

    def _given(self, state: State, id: str, old: Record, new: Record) -> None:
        """Rights that it had not before come from a superior that could grant them, or from
        above the lineage.
        """
        newer = _newly_held(old, new)
        if not newer or self._actor in _SOVEREIGNS:
            return
        giver = state.records.values.get(f"agent:{self._actor}")
        if giver is None or self._actor not in _path(old)[:-1]:
            self._note(f"{id}: {self._actor} gave it a privilege, and is no ancestor of it")
            return
        marks = _marks_on(state, giver)
        for path in sorted(newer):
            if live_holding(path, "grant", _holdings(giver), marks, whole=True) is None:
                self._note(f"{id}: {self._actor} gave it {path}, which it could not grant")

    def _reaped(self, state: State, id: str, old: Record | None) -> None:
        if old is None:
            return
        if not any(f"fence:{part}" in state.records.values for part in (*_path(old), f"={id}")):
            self._note(f"{id}: reaped without a fence above it")
        living = self._children.pop(id, None)
        if living:
            self._note(f"{id}: reaped while its child {min(living)} lives")
        self._children.get(str(old.get("parent", "")), set()).discard(id)

    # --- marks, missions ---

    def _fence(self, state: State, segment: str, old: Record | None, new: Record | None) -> None:
        if new is None:
            below = _below(state, segment)
            if below:
                self._note(f"the fence on {segment} is lifted while {below} lives")
        elif old is None:
            self._reaches(state, segment, str(new.get("by", "")), "ended")
            target = _agent_of(state, segment)
            if target.get("tier", 0) == 0 and target:
                self._note(f"{segment} is the board's and is ended by {new.get('by')}")

    def _stop(self, state: State, target: str, old: Record | None, new: Record | None) -> None:
        if new is not None:
            if old is None or old.get("by") != new.get("by"):
                self._reaches(state, target, str(new.get("by", "")), "stopped")
        elif old is not None and _authority_of(self._actor) < old.get("authority", 1):
            self._note(f"{self._actor} lifts the stop that {old.get('by')} set on {target}")

    def _revoked(self, state: State, segment: str, old: Record | None, new: Record | None) -> None:
        before = [] if old is None else old["marks"]
        for mark in [] if new is None else new["marks"]:
            if mark not in before:
                self._reaches(state, segment, str(mark[3]), "revoked from")

    def _approval(self, state: State, id: str, old: Record | None, new: Record | None) -> None:
        if new is None or new.get("answer") not in ("approved", "denied"):
            return
        if old is None or old.get("answer"):
            self._note(f"{id}: answered again")
        by, requester = str(new.get("by", "")), str(new.get("requester", ""))
        if by == requester:
            self._note(f"{id}: {by} gave permission to itself")
        self._reaches(state, requester, by, "given permission")
        if _authority_of(by) < new.get("needs", 1):
            self._note(f"{id}: {by} gave a permission that takes more")

    def _override(self, _: State, id: str, old: Record | None, new: Record | None) -> None:
        if new is not None:
            if str(new.get("by")) not in (OPERATOR, SOB):
                self._note(f"{id}: an override by {new.get('by')}")
        elif old is not None and _authority_of(self._actor) < old.get("authority", 1):
            self._note(f"{id}: {self._actor} takes back what {old.get('by')} overrode")

    def _reaches(self, state: State, target: str, by: str, what: str) -> None:
        """Only a proper ancestor, or who stands above the lineage."""
        record = _agent_of(state, target)
        if by not in _SOVEREIGNS and by not in _path(record)[:-1]:
            self._note(f"{target} is {what} by {by}, which is no ancestor of it")

    def _mission(self, state: State, id: str, old: Record | None, new: Record | None) -> None:
        if new is not None and old is not None:
            changed = [
                name for name in ("mission", "digest", "created") if old.get(name) != new.get(name)
            ]
            if changed:
                self._note(f"mission {id}: its {changed[0]} changed")
        elif new is None and old is not None:
            below = _below(state, id)
            if below:
                self._note(f"mission {id} is ended while {below} lives")


def _is_overridden(state: State, kind: str, target: str) -> bool:
    return any(
        key.startswith("override:") and (record.get("kind"), record.get("target")) == (kind, target)
        for key, record in state.records.values.items()
    )


# By the kind of a record: what judges a change of it, given the record before and after.
_JUDGES: Final[
    Mapping[str, Callable[[Auditor, State, str, Record | None, Record | None], None]]
] = {
    "agent": Auditor._agent,
    "fence": Auditor._fence,
    "mission": Auditor._mission,
    "stop": Auditor._stop,
    "revoked": Auditor._revoked,
    "approval": Auditor._approval,
    "override": Auditor._override,
}


def _authority_of(actor: str) -> Authority:
    return _AUTHORITIES.get(actor, Authority.LINEAGE)


def _agent_of(state: State, target: str) -> Record:
    """The record of the agent that is named, alone or with all below it; empty where it is none."""
    return state.records.values.get(f"agent:{target.removeprefix('=')}", {})


def _newly_held(old: Record, new: Record) -> set[str]:
    """Paths of holdings that the record had not before."""
    had = {(held.path, held.right, held.number) for held in _holdings(old)}
    return {held.path for held in _holdings(new) if (held.path, held.right, held.number) not in had}


def _path(record: Record) -> list[str]:
    return str(record.get("path", "")).split("/")


def _holdings(record: Record) -> tuple[Held, ...]:
    """What an agent was given, with each path's number (`Agent.holdings`)."""
    pairs: tuple[tuple[Right, str], ...] = (("use", "privileges"), ("grant", "grants"))
    given = {(held[0], held[1]): Held(*held) for held in record.get("later", ())}
    return tuple(
        given.get((path, right), Held(path, right))
        for right, name in pairs
        for path in record.get(name, ())
    )


def _marks_on(state: State, record: Record) -> list[Revocation]:
    return [
        Revocation(segment, *mark)
        for segment in _path(record)
        for mark in state.records.values.get(f"revoked:{segment}", {}).get("marks", ())
    ]


def _below(state: State, segment: str) -> str:
    """An agent that lives below the segment (`=AGENT`: itself), or an empty text."""
    if segment.startswith("="):
        return segment[1:] if f"agent:{segment[1:]}" in state.records.values else ""
    for key, record in state.records.values.items():
        if key.startswith("agent:") and segment in _path(record):
            return key[6:]
    return ""
