"""Modes that show in what became of tasks, mail and permissions, and in the calls. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations
from statistics import median
from typing import Final

from swarmd.core.doctor.findings import Finding, each_once
from swarmd.core.doctor.history import Call, Event, History, Member, sum_of
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.functions import BUILT_IN

# Turns with a call of a model after the work was handed in: two may answer what was asked of it.
TURNS_AFTER_MIN: Final = 3
# Calls with the same arguments that two agents have made. Everybody lists the files.
SHARED_CALLS_MIN: Final = 3
# Times the median of the siblings that are finished, and how many of these make a median.
EXPENSIVE_FACTOR: Final = 3
SIBLINGS_MIN: Final = 3
CALLS_MIN: Final = 10
# Turns in a row whose calls and results were all there before.
SAME_TURNS_MIN: Final = 3

_FILE: Final = "file"
_WRITES: Final = frozenset(name for name, one in BUILT_IN.items() if one.effect == "writes")


def same_results(history: History) -> Iterator[Finding]:
    """Turns in a row whose calls found what the same calls had found before. Only where there is a
    record of the mission: the journal has no results.
    """
    for agent in history.members:
        for run in _runs_of_the_same(history, agent):
            turns = {call.turn for call in run}
            if len(turns) >= SAME_TURNS_MIN:
                names = ", ".join(sorted({call.what for call in run}))
                what = f"{len(turns)} turns with the same calls and results ({names})"
                yield _of_calls(history, agent, what, run)


def _runs_of_the_same(history: History, agent: str) -> Iterator[list[Call]]:
    run, seen = list[Call](), set[tuple[str, ...]]()
    for of_turn in _by_turn(history.calls_of(agent, is_model=False)):
        marks = {(call.what, call.input, call.result) for call in of_turn}
        is_same = marks <= seen and all(call.result for call in of_turn)
        if not is_same or _has_handed_in(history, agent, run, of_turn):
            yield run
            run = []
        run = run + of_turn if is_same else run
        seen |= marks
    yield run


def _by_turn(calls: Iterable[Call]) -> list[list[Call]]:
    turns: dict[int, list[Call]] = {}
    for call in calls:
        turns.setdefault(call.turn, []).append(call)
    return [turns[turn] for turn in sorted(turns)]


def _has_handed_in(history: History, agent: str, run: list[Call], then: list[Call]) -> bool:
    """Between these calls."""
    return bool(run) and any(
        one.agent == agent and run[-1].order < one.order < then[0].order
        for one in history.of(JournalEvent.TASK_SUBMITTED)
    )


def goes_on_after_the_end(history: History) -> Iterator[Finding]:
    """Turns after the work was handed in, and not sent back."""
    for agent, one in _last_of_tasks(history).items():
        if one.event == JournalEvent.TASK_SUBMITTED:
            after = [c for c in history.calls_of(agent, is_model=True) if c.order > one.order]
            number = len({call.turn for call in after})
            if number >= TURNS_AFTER_MIN:
                what = f"{number} turns after its work was handed in"
                yield _of_calls(history, agent, what, after, one.entry)


def _of_calls(
    history: History, agent: str, what: str, calls: Sequence[Call], *entries: str
) -> Finding:
    turns = {call.turn for call in calls}
    evidence = each_once((*entries, *(call.entry for call in calls)))
    return Finding(agent, what, evidence, len(turns), history.used(agent, turns))


def _last_of_tasks(history: History) -> dict[str, Event]:
    """The last that was said of each agent's task: handed in, or sent back."""
    said = history.of(JournalEvent.TASK_SUBMITTED, JournalEvent.TASK_RETURNED)
    return {one.agent: one for one in said}


# --- the same work ------------------------------------------------------------------------------

Deed = tuple[str, str]
Deeds = dict[Deed, list[Call]]


def overlap(history: History) -> Iterator[Finding]:
    """Agents of different branches that wrote the same file, or made mostly the same calls."""
    done = {member.id: _deeds(history, member.id) for member in history.members.values()}
    for one, other in combinations(history.members.values(), 2):
        if not _are_of_one_branch(one, other):
            shared = _shared(done[one.id], done[other.id])
            if shared:
                calls = [c for deed in shared for m in (one, other) for c in done[m.id][deed]]
                yield _overlapping(one, other, shared, calls)


def _are_of_one_branch(one: Member, other: Member) -> bool:
    return one.id in other.path or other.id in one.path


def _deeds(history: History, agent: str) -> Deeds:
    """What it wrote, and what it called a function with."""
    deeds: Deeds = {}
    for call in history.calls_of(agent, is_model=False):
        for deed in _deeds_of(call) if call.is_ok else ():
            deeds.setdefault(deed, []).append(call)
    return deeds


def _deeds_of(call: Call) -> list[Deed]:
    if call.what in _WRITES and call.files:
        return [(_FILE, name) for name in call.files]
    return [(call.what, call.input)]


def _shared(one: Deeds, other: Deeds) -> list[Deed]:
    """Files that both wrote; else calls that both made, where these are most of what one did."""
    both = sorted(one.keys() & other.keys())
    written = [deed for deed in both if deed[0] == _FILE]
    is_most = 2 * len(both) >= min(len(one), len(other))
    return written or (both if len(both) >= SHARED_CALLS_MIN and is_most else [])


def _overlapping(one: Member, other: Member, shared: list[Deed], calls: list[Call]) -> Finding:
    is_file = shared[0][0] == _FILE
    names = sorted({name if is_file else function for function, name in shared})[:4]
    verb = "wrote the same file" if is_file else "made the same calls"
    what = f"{verb} as {other.name or other.id}: {', '.join(names)}"
    evidence = each_once(call.entry for call in calls)
    return Finding(one.id, what, evidence, len(shared), sum_of(call.used for call in calls))


# --- tasks, mail, permissions -------------------------------------------------------------------


def unanswered(history: History) -> Iterator[Finding]:
    """Work that was sent back and never handed in again."""
    for agent, one in _last_of_tasks(history).items():
        if one.event == JournalEvent.TASK_RETURNED:
            yield Finding(agent, "its work was sent back and not handed in again", (one.entry,))


def stalled(history: History) -> Iterator[Finding]:
    """Agents that lived and got nowhere, and such as ignored their end."""
    for one in history.of(JournalEvent.AGENT_STALLED):
        seconds, told = one.data.get("seconds", 0), one.data.get("told", "")
        yield Finding(one.agent, f"no progress for {seconds:,.0f} s: told its {told}", (one.entry,))
    for one in history.of(JournalEvent.AGENT_STUCK):
        yield Finding(one.agent, "it ignored its end", (one.entry,))


def poison(history: History) -> Iterator[Finding]:
    """Messages on which their reader failed again and again."""
    for one in history.of(JournalEvent.DEAD_ADDED):
        what = f"a message of {one.data.get('channel', '')} made it fail"
        yield Finding(one.agent, what, (one.entry,), int(one.data.get("tries", 1)))


def permission(history: History) -> Iterator[Finding]:
    """Requests for permission that nobody answered."""
    answered = {
        one.data.get("approval")
        for one in history.of(JournalEvent.APPROVAL_GIVEN, JournalEvent.APPROVAL_DENIED)
    }
    for one in history.of(JournalEvent.APPROVAL_REQUESTED):
        if one.data.get("approval") not in answered:
            what = f"nobody answered its request for permission: {one.data.get('rule', '')}"
            yield Finding(str(one.data.get("actor") or one.agent), what, (one.entry,))


def too_expensive(history: History) -> Iterator[Finding]:
    """Agents that made many times the calls of their siblings that are finished."""
    finished = {one.agent: one.entry for one in history.of(JournalEvent.TASK_SUBMITTED)}
    for member in history.members.values():
        own, siblings = history.calls_of(member.id), _siblings(history, member, finished)
        if len(siblings) < SIBLINGS_MIN or len(own) < CALLS_MIN:
            continue
        middle = median(len(history.calls_of(id)) for id in siblings)
        if len(own) > EXPENSIVE_FACTOR * middle:
            what = f"{len(own)} calls, and the median of {len(siblings)} siblings is {middle:g}"
            evidence = tuple(finished[id] for id in siblings)
            yield Finding(member.id, what, evidence, 1, sum_of(call.used for call in own))


def _siblings(history: History, member: Member, finished: Collection[str]) -> list[str]:
    everyone = (one for one in history.members.values() if one.id in finished)
    return [one.id for one in everyone if one.parent == member.parent and one.id != member.id]
