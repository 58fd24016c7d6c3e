"""What is, brought to what should be: agents on hosts, ended subtrees reaped, seats in their
places. Pure.

The supervisor calls this after each batch of inputs and at each tick; doing it twice changes
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from swarmd.core.agent.kept_turns import KeptTurns
from swarmd.core.board import clerk
from swarmd.core.control import replacements
from swarmd.core.control.sightings import forget_stuck, listed_counts, seen_ended, with_counts
from swarmd.core.missions import queue
from swarmd.core.model.changes import (
    AccountClosed,
    AgentReaped,
)
from swarmd.core.model.entries import order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, Fence, ended
from swarmd.core.model.names import (
    OWNER,
    SOB,
    SUPERVISOR,
    AgentId,
    HostId,
    MissionId,
    MissionState,
)
from swarmd.core.model.posts import inbox_notice
from swarmd.core.model.records import Trouble
from swarmd.core.model.requests import GoneRequest
from swarmd.core.model.state import Draft, Ending, Swarm
from swarmd.core.model.tables import FENCES, REVOCATIONS, STOPS, TROUBLES, Drop, Put
from swarmd.core.tree.fence import fence_notices

# A step of the reaper, some 30 µs of the script for each: under 5 ms of the server's one thread, as
# for every script.
REAP_STEP: Final = 100


# Agents of one ending looked at in one step that cannot be reaped yet: their hosts' words are still
# to come.
WAITING_MAX: Final = 1_000


def resume_endings(draft: Draft) -> None:
    """After a restart: every fence is an ending under way; its hosts are asked once more."""
    for segment in draft.lineage.fences:
        draft.swarm.observed.endings[segment] = Ending(draft.now)
        draft.add(*fence_notices(draft.swarm, segment, draft.moment))


def word_of(draft: Draft, host: HostId, word: GoneRequest) -> None:
    """A host says that nothing of it runs below the segment any more, but for what ignores its
    end.
    """
    ending = draft.swarm.observed.endings.get(word.segment)
    if word.is_late:
        _confirm_late(draft, host, word)
    elif ending is not None:
        ending.words.add(host)
        ending.stuck |= {AgentId(id): what for id, what in word.stuck.items()}
        for id, what in word.stuck.items():
            _record_stuck(draft, host, word.segment, AgentId(id), what)


def _confirm_late(draft: Draft, host: HostId, word: GoneRequest) -> None:
    draft.record(
        JournalEvent.SUBTREE_CONFIRMED,
        f"{host}: what ignored its end below {word.segment} has gone after all",
        actor=host,
        segment=word.segment,
        agents=word.agents,
    )
    forget_stuck(draft, host, word.segment)


def _record_stuck(draft: Draft, host: HostId, segment: str, id: AgentId, what: str) -> None:
    draft.add(Put(TROUBLES, id, Trouble("stuck", draft.now, what, host, segment)))
    draft.record(
        JournalEvent.AGENT_STUCK,
        f"{id} ignores its end on {host}: {what}",
        actor=host,
        agent=id,
        segment=segment,
    )


def reap(
    draft: Draft,
    spent: Mapping[str, Mapping[str, int]],
    segments: Sequence[str] | None = None,
    kept: Mapping[AgentId, KeptTurns] | None = None,
) -> None:
    """One step of every ending, or of these, deepest first; what is seen of each agent is counted,
    not assumed.

    `spent` has the accounts of the missions that are ending, as they were before this step; `kept`
    where the turns stand of those whose creators are told of their end.
    """
    budget = REAP_STEP
    for segment in list(draft.swarm.observed.endings) if segments is None else segments:
        taken = _reap_segment(draft, segment, budget, kept or {})
        budget -= taken
        # Finished in a commit of its own: what the closed accounts gave back is known only after
        # theirs.
        if (
            taken == 0
            and not draft.swarm.observed.endings[segment].queue
            and _is_settled(draft, segment)
        ):
            _finish(draft, segment, spent)


def _is_settled(draft: Draft, segment: str) -> bool:
    """Closes the account of a mission that ends, once; true from the next step on.

    Its result is not told in the same commit: a seat's call could end between the reading of the
    account and that commit, and the result would name another sum than the one that was charged.
    """
    swarm = draft.swarm
    mark, mission = swarm.lineage.fences[segment], swarm.missions.get(MissionId(segment))
    # A docketed mission has no account yet.
    if mark.is_settled or mission is None or mission.state is MissionState.DOCKETED:
        return True
    journals = tuple(seat.id for seat in swarm.seats())
    closed = AccountClosed(mission.id, SOB, journals, swarm.declared.limits.warn_percent)
    draft.add(closed, FENCES.put(replace(mark, is_settled=True)))
    return False


def told_above(swarm: Swarm, segments: Sequence[str], now: float) -> list[Agent]:
    """Of these endings the agents that are seen to have ended and whose creators live on."""
    found = (swarm.lineage.get(segment.removeprefix("=")) for segment in segments)
    return [
        agent
        for segment, agent in zip(segments, found, strict=True)
        if agent is not None
        and not swarm.lineage.is_fenced(agent.path[:-1])
        and seen_ended(swarm, swarm.observed.endings[segment], agent, now) is not None
    ]


def _reap_segment(
    draft: Draft, segment: str, budget: int, kept: Mapping[AgentId, KeptTurns]
) -> int:
    swarm, ending = draft.swarm, draft.swarm.observed.endings[segment]
    seen: Counter[str] = Counter()
    if ending.queue is None:
        ending.queue = [agent.id for agent in reversed(swarm.lineage.below(segment))]
    waiting: list[AgentId] = []
    while ending.queue and seen.total() < budget and len(waiting) < WAITING_MAX:
        agent = swarm.lineage.get(ending.queue.pop())
        if agent is None:
            continue
        how = seen_ended(swarm, ending, agent, draft.now)
        # Deepest first: an account is closed when nothing is granted from it any more.
        if how is None or swarm.lineage.child_count(agent.id):
            waiting.append(agent.id)
            continue
        seen[how] += 1
        _reap_agent(draft, agent, swarm.lineage.fences[segment], how, kept.get(agent.id))
    ending.queue += reversed(waiting)
    if seen:
        _record_reaped(draft, segment, seen)
    return seen.total()


def _record_reaped(draft: Draft, segment: str, seen: Counter[str]) -> None:
    taken = seen.total()
    draft.add(FENCES.put(with_counts(draft.lineage.fences[segment], seen)))
    draft.record(
        JournalEvent.SUBTREE_REAPED,
        f"{taken} agents below {segment}",
        actor=SUPERVISOR,
        segment=segment,
        agents=taken,
    )


def _reap_agent(draft: Draft, agent: Agent, mark: Fence, seen: str, kept: KeptTurns | None) -> None:
    draft.add(_reaped(draft, agent, f"{mark.reason} ({seen})"))
    for target in (agent.id, f"={agent.id}"):
        _drop_stop(draft, target, seen)
    _drop_revocations(draft, agent)
    _forget_stall(draft, agent.id)
    if not draft.lineage.is_fenced(agent.path[:-1]):
        _tell_creator(draft, agent, mark, kept)


def _forget_stall(draft: Draft, id: AgentId) -> None:
    trouble = draft.swarm.troubles.get(id)
    if trouble is not None and trouble.kind == "stalled":
        draft.add(Drop(TROUBLES, id))


def _reaped(draft: Draft, agent: Agent, reason: str) -> AgentReaped:
    assert agent.parent is not None
    record = ended(agent, reason=reason, at=draft.stamp)
    forget_at = draft.now + draft.swarm.declared.limits.retention_seconds
    return AgentReaped(record, forget_at, agent.mission if agent.parent == SOB else agent.parent)


def _drop_revocations(draft: Draft, agent: Agent) -> None:
    """Whom an adopted agent came from is in its path still, and what was revoked there stays
    revoked for it. A person's marks stay: their next mission comes under them.
    """
    lineage = draft.lineage
    for segment in agent.path:
        is_marked = segment in lineage.revocations and segment != OWNER
        if is_marked and lineage.get(AgentId(segment)) is None and not lineage.below(segment):
            draft.add(REVOCATIONS.set(segment, ()))


def _tell_creator(draft: Draft, agent: Agent, mark: Fence, kept: KeptTurns | None) -> None:
    """It lives on, and learns of the end."""
    above = agent.parent
    assert above is not None
    why = mark.reason if kept is None else f"{mark.reason}; {kept}"
    if above == SOB:
        clerk.executive_ended(draft, agent, why, mark.taint, by=mark.by)
        return
    replacements.note_ended(draft, agent, mark)
    text = f"{agent.name} ({agent.id}) ended: {why}"
    data = {"agent": agent.id, "key": agent.key, "ended": True, "by": mark.by}
    hops, taint = mark.hops, mark.taint
    draft.add(inbox_notice(draft.moment, above, agent.mission, text, data, hops=hops, taint=taint))


def _drop_stop(draft: Draft, target: str, seen: str) -> None:
    """The mark goes with whom it held; an order that waited for what would be seen of them is
    answered by their end.
    """
    stop = draft.lineage.stops.get(target)
    if stop is None:
        return
    draft.add(Drop(STOPS, target))
    if stop.order and not stop.is_told:
        draft.record(
            JournalEvent.STOP_CONFIRMED,
            f"{target} has ended ({seen})",
            actor=stop.by,
            target=target,
            kind=stop.kind.value,
            order=stop.order,
            outcome="done",
            ended=seen,
        )


def _finish(draft: Draft, segment: str, spent: Mapping[str, Mapping[str, int]]) -> None:
    _close_fence(draft, draft.lineage.fences[segment])
    mission = draft.swarm.missions.get(MissionId(segment))
    if mission is not None and mission.ending is not None:
        _drop_stop(draft, segment, "confirmed")
        was_taken_up = mission.state is not MissionState.DOCKETED
        queue.close(draft, mission, spent.get(mission.id, {}) if was_taken_up else {})


def _close_fence(draft: Draft, mark: Fence) -> None:
    counts = {
        "confirmed": mark.confirmed,
        "unconfirmed": mark.unconfirmed,
        "unreachable": mark.unreachable,
    }
    other = _other_of_order(draft.swarm, mark)
    answer = order_facts(mark.order, "done" if other is None else "fenced") or {}
    if other is not None:
        # One order ended several: the last of them answers it, with the counts of all.
        draft.add(FENCES.put(with_counts(other, counts)))
    draft.add(Drop(FENCES, mark.segment))
    draft.record(
        JournalEvent.SUBTREE_ENDED,
        f"{mark.segment}: {listed_counts(counts)}",
        actor=mark.by,
        segment=mark.segment,
        more={**counts, **answer},
    )


def _other_of_order(swarm: Swarm, mark: Fence) -> Fence | None:
    """Another ending that the same order began, and that is still under way."""
    if not mark.order:
        return None
    fences = swarm.lineage.fences.values()
    return next((f for f in fences if f.order == mark.order and f is not mark), None)
