"""The lineage drawn as a tree, one line an agent. Pure.

A line that is wider than the terminal is told with less detail: first without what an agent spent
by itself, then without tier, calls and cost, at last with its name and state alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from swarmd.cli.render.tables import (
    REASON_COLUMNS,
    TEXT_COLUMNS,
    activity_text,
    due_text,
    tier_text,
    warning_text,
)
from swarmd.cli.render.text import Ink, amounts, excerpt, plain, unpainted, visible_width, width_of
from swarmd.core.model.names import BEGINS_AFTER, AgentState
from swarmd.core.queries.snapshot import AgentView, MissionView
from swarmd.core.queries.spending import Branch, Tree, used

QUOTE_COLUMNS_LEAST: Final = 12  # a shorter quotation of a task says nothing
_WHOLE, _SUMMED, _SHORT, _NAMED = range(4)  # how much is told, most first


def tree_lines(
    tree: Tree, ink: Ink, *, ended: bool, now: datetime | None = None, with_seats: bool = True
) -> list[str]:
    """The lineage, one line an agent; without `ended` only what lives, and missions that are
    open.
    """
    lines = [_label(tree.board, ink, now, 0)]
    if tree.seats and with_seats:
        lines += _seat_lines(tree, ink)
    return lines + list(_below(tree.board, ink, "", ended=ended, now=now))


def _seat_lines(tree: Tree, ink: Ink) -> list[str]:
    """The seats after one another, on as many lines as they take."""
    bar = ink.branches()[2]
    told = [""]
    for name in (_seat(one.record) for one in tree.seats if isinstance(one.record, AgentView)):
        longer = f"{told[-1]} · {name}" if told[-1] else name
        if told[-1] and ink.bound is not None and width_of(f"{bar}seats: {longer}") > ink.bound:
            told.append(name)
        else:
            told[-1] = longer
    first, *more = told
    return [bar + ink.paint(text, "dim") for text in (f"seats: {first}", *_indented(more))]


def _indented(lines: Iterable[str]) -> list[str]:
    return [" " * len("seats: ") + line for line in lines]


def _seat(seat: AgentView) -> str:
    name, state = plain(seat.name or seat.id), seat.state
    if state == AgentState.FROZEN:
        return f"{name} ({plain(state)})"
    return f"{name} ({_doing(seat)})" if _has_call(seat) else name


def is_under_way(branch: Branch) -> bool:
    """Is a call of this agent's under way?"""
    return isinstance(branch.record, AgentView) and _has_call(branch.record)


def _has_call(agent: AgentView) -> bool:
    return agent.activity is not None and bool(agent.activity.call)


def _below(
    branch: Branch, ink: Ink, indent: str, *, ended: bool, now: datetime | None
) -> Iterable[str]:
    tee, corner, bar, gap = ink.branches()
    shown = [child for child in branch.below if ended or not child.is_closed]
    for child in shown:
        is_last = child is shown[-1]
        head = indent + (corner if is_last else tee)
        yield head + _label(child, ink, now, len(head))
        yield from _below(child, ink, indent + (gap if is_last else bar), ended=ended, now=now)


def _label(branch: Branch, ink: Ink, now: datetime | None, indent: int) -> str:
    """A line without its indentation, with as much detail as there is room for."""
    room = max(20, ink.columns - indent)
    said = branch.record.text if isinstance(branch.record, MissionView) else branch.record.task
    told = _fitting(branch, ink, now, room - _wanted_by_quote(said))
    quote = _quoted(said, room - visible_width(told) - 4)
    if ink.bound is not None and visible_width(told) > room:
        return excerpt(unpainted(told), room)
    return f"{told}  {quote}" if quote else told


def _fitting(branch: Branch, ink: Ink, now: datetime | None, columns: int) -> str:
    """What there is room for in so many columns, and else the least."""
    for detail in (_WHOLE, _SUMMED, _SHORT):
        told = _told(branch, ink, now, detail)
        if ink.bound is None or visible_width(told) <= columns:
            return told
    return _told(branch, ink, now, _NAMED)


def _wanted_by_quote(said: str) -> int:
    return min(width_of(plain(said)), QUOTE_COLUMNS_LEAST) + 4 if said else 0


def _told(branch: Branch, ink: Ink, now: datetime | None, detail: int) -> str:
    if isinstance(branch.record, MissionView):
        parts = _mission_parts(branch.record, ink)
    else:
        parts = _agent_parts(branch, branch.record, ink, now, detail)
    parts.insert(4, _spend(branch, detail))
    return "  ".join(part for part in parts if part)


def _mission_parts(mission: MissionView, ink: Ink) -> list[str]:
    is_stopped = " (stopped)" if mission.stopped else ""
    name = ink.paint(f"mission {plain(mission.id)}", "bold")
    return [name, ink.word(mission.state) + is_stopped]


def _agent_parts(
    branch: Branch, agent: AgentView, ink: Ink, now: datetime | None, detail: int
) -> list[str]:
    """State, name, what it does and its place; what it spent stands after these; then what asks
    for a person.
    """
    name, doing = plain(agent.name or agent.id), _doing(agent)
    shown_id = "" if name == agent.id else " " + plain(agent.id)
    return [
        ink.state(agent.state or "live"),
        ink.paint(name, "bold") + shown_id,
        doing and ink.word(agent.activity.word if agent.activity else "", doing),
        _place(agent, detail),
        _why_stopped(agent, REASON_COLUMNS if detail < _SHORT else REASON_COLUMNS // 2),
        due_text(agent, now),
        warning_text(branch.account),
    ]


def _place(agent: AgentView, detail: int) -> str:
    if detail == _NAMED:
        return ""
    role = plain(agent.role)
    return role if detail == _SHORT else f"tier {tier_text(agent) or '?'} {role}".rstrip()


def _why_stopped(agent: AgentView, columns: int) -> str:
    """What holds an agent, or for whom it has yet to begin, in short; how one that is well came to
    be so is told by `inspect`.
    """
    is_held = agent.state in (AgentState.FROZEN, AgentState.DRAINING)
    is_told = is_held or agent.reason.startswith(BEGINS_AFTER)
    return f"({excerpt(agent.reason, columns)})" if is_told and agent.reason else ""


def _doing(agent: AgentView) -> str:
    """Of most there is nothing to say: the tree shows who is at work, who waits for somebody, and
    who is in trouble.
    """
    doing = agent.activity
    if doing is None or (doing.word in ("", "idle", agent.state) and not doing.waits_for):
        return ""
    return activity_text(agent)


def _quoted(text: str, columns: int) -> str:
    enough = columns >= QUOTE_COLUMNS_LEAST or width_of(plain(text)) <= columns
    return f"“{excerpt(text, min(TEXT_COLUMNS, columns))}”" if text and enough else ""


def _spend(branch: Branch, detail: int) -> str:
    if detail == _NAMED:
        return ""
    own, whole = used(branch.own), used(branch.whole)
    if detail == _SHORT:
        kind = "tokens" if whole.get("tokens") else "calls"
        return amounts({kind: whole.get(kind, 0)})
    if not branch.below:
        return amounts(whole)
    with_all = f"{amounts(whole)} with all below"
    return with_all if detail == _SUMMED or not own else f"{amounts(own)} own, {with_all}"
