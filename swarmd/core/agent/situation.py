"""What an agent is told of itself and of what is around it. Pure.

Its instruction is the same for as long as it lives and comes before all that it remembers. Its
situation is another in each call and comes last, so that all before it is the beginning of the next
prompt, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swarmd.core.agent.prompt import listed, roles_text
from swarmd.core.model.charter import Charter
from swarmd.core.model.consequences import IN_WORDS, Consequence
from swarmd.core.model.declarations import Role
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import SOB


def charter_text(agent: Agent, role: Role, charter: Charter) -> str:
    """Task, methodology, goals, definition of done, KPIs; the role's where the charter has none."""
    parts = [
        f"# Your charter\nYou are {agent.name} ({agent.id}), {role.name} at tier {agent.tier}. "
        f"{role.summary}",
        f"## Your task\n{charter.task}",
        f"## Methodology\n{charter.methodology or role.methodology}",
        _list("Goals", charter.goals or role.goals),
        _list("KPIs", charter.kpis or role.kpis),
        _list("To mind beside the task", charter.mind),
        _list("Checked when you report `done` true", [c.text_form for c in charter.checks]),
    ]
    done = charter.done or role.done
    parts.append(f"## Definition of done\n{done}" if done else "")
    return "\n\n".join(filter(None, parts))


def _list(title: str, items: Sequence[str]) -> str:
    return f"## {title}\n" + "\n".join(f"- {item}" for item in items) if items else ""


@dataclass(frozen=True, slots=True)
class Beside:
    """Somebody near an agent, and what is said of it: its role and task, or what it does."""

    name: str
    id: str
    role: str
    doing: str = ""


@dataclass(frozen=True, slots=True)
class Near:
    """A room that an agent is a member of; whether it may also speak there."""

    name: str
    purpose: str
    may_speak: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What an agent has and whom it knows, when a turn begins. Of nothing nothing is said."""

    agent: Agent
    superior: str  # its name
    now: str  # a stamp
    seconds_left: float = 0.0  # until its deadline; 0 where it has none
    free: Mapping[str, int] = field(default_factory=dict)
    spent: Mapping[str, int] = field(default_factory=dict)
    files: Sequence[str] = ()
    children: Sequence[Beside] = ()
    colleagues: Sequence[Beside] = ()
    rooms: Sequence[Near] = ()
    may_create: Sequence[Role] = ()
    taint: Sequence[str] = ()
    guarded: Sequence[Consequence] = ()

    def to_text(self) -> str:
        agent = self.agent
        lines = [
            f"# Now\nrole: {agent.role}",
            f"You are {agent.name}. You report to {superior_text(agent, self.superior)}.",
            f"time: {self.now}{_deadline(self.seconds_left)}",
            *self._surroundings(),
        ]
        if self.may_create or self.children:
            # Who gives nothing to anybody is told its budget in calls, with each of them.
            lines.append(f"yours to give: {json.dumps(dict(self.free))}{_spent(self.spent)}")
        if self.files:
            lines.append(f"your files (a folder is all that is in it): {listed(self.files)}")
        if self.may_create:
            lines.append(roles_text(self.may_create))
        if self.taint and self.guarded:
            lines.append(_warning(self.taint, self.guarded))
        return "\n".join(lines)

    def _surroundings(self) -> list[str]:
        found = []
        if self.colleagues:
            found.append("your colleagues (same superior):\n" + _lines(self.colleagues))
        found += [_room_text(room) for room in self.rooms]
        if self.children:
            found.append("your children:\n" + _lines(self.children))
        return found


def superior_text(agent: Agent, name: str) -> str:
    if agent.parent in (None, SOB):
        return "the board (id `sob`)"
    return f"{name} ({agent.parent})" if name else str(agent.parent)


def child_doing(*, is_done: bool, ago: float, wait: str, state: str) -> str:
    """What a child does, in a few words. `ago`: seconds since its last turn ended."""
    if state != "live":
        return state
    if is_done:
        return f"done {ago_text(ago)}"
    return wait or "working"


def ago_text(seconds: float) -> str:
    return f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _deadline(seconds: float) -> str:
    return f"; your deadline is in {_span(seconds)}" if seconds > 0 else ""


def _spent(spent: Mapping[str, int]) -> str:
    used = {kind: amount for kind, amount in spent.items() if amount}
    return f"; spent: {json.dumps(used)}" if used else ""


def _lines(people: Sequence[Beside]) -> str:
    return "\n".join(
        f"- {one.name} ({one.id}, {one.role})" + (f": {one.doing}" if one.doing else "")
        for one in people
    )


def _room_text(room: Near) -> str:
    how = "to wake a member, write @NAME" if room.may_speak else "you may only read there"
    return f"room `{room.name}`: {room.purpose} ({how})"


def _warning(taint: Sequence[str], guarded: Sequence[Consequence]) -> str:
    needed = "; ".join(IN_WORDS[consequence] for consequence in guarded)
    return (
        f"You have read untrusted text ({', '.join(taint)}): from now on these need your "
        f"superior's permission: {needed}"
    )


def left_text(thoughts: int, functions: int) -> str:
    """What is left of a turn's bounds."""
    return (
        f"Left in this turn: {thoughts} {_count('thought', thoughts)} (this answer is one), "
        f"{functions} function {_count('call', functions)}."
    )


def _count(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"


def last_words(used_up: str) -> str:
    """Asked at a bound, with a report as the only answer."""
    return (
        f"You have used the {used_up} of this turn. Report what you have; say what is still to "
        "read or to do. With `done` false it is a blocker: your superior decides how it goes on."
    )
