"""The mark that ends a subtree: one write refuses all that begins below it (law 2). Pure."""

from __future__ import annotations

from dataclasses import replace

from swarmd.core.model.changes import AgentSet, Change
from swarmd.core.model.entries import entry, order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, Fence
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import AgentId, AgentState, MissionId
from swarmd.core.model.posts import host_notice
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Swarm
from swarmd.core.model.tables import FENCES
from swarmd.core.model.timings import Moment


def decide_terminate(swarm: Swarm, by: str, target: Agent, *, is_sovereign: bool) -> Denied | None:
    """May `by` end `target`? A sovereign (operator, or the board by a carried motion) may end any
    agent.

    The board itself and its seats are ended by nobody: they are the swarm.
    """
    if target.tier == 0:
        return Denied(Rule.TERMINATE_DESCENDANT, f"{target.id} is the board's")
    if is_sovereign or swarm.lineage.is_ancestor(AgentId(by), target):
        return None
    return Denied(Rule.TERMINATE_DESCENDANT, f"{target.id} is no descendant of yours")


def fence(swarm: Swarm, mark: Fence, moment: Moment, *, mission: str) -> list[Change]:
    """Fence first: one mark, whatever lies below; then the hosts that run any of it are told."""
    segment = mark.segment
    if segment in swarm.lineage.fences:
        return []
    return [
        FENCES.put(mark),
        *(_draining(agent, mark.reason) for agent in _roots_of(swarm, segment)),
        *fence_notices(swarm, segment, moment),
        entry(
            moment,
            JournalEvent.SUBTREE_FENCED,
            f"{mark.by} ends {segment}: {mark.reason}",
            actor=mark.by,
            mission=mission,
            segment=segment,
            more=order_facts(mark.order, "fenced"),
        ),
    ]


def _roots_of(swarm: Swarm, segment: str) -> tuple[Agent, ...]:
    """The root of an ending subtree reads `draining` at once; of a mission these are its
    executives. Nothing here looks at the others: a fence takes the same time however many there
    are.
    """
    root = swarm.lineage.get(segment)
    return (root,) if root is not None else swarm.executives(MissionId(segment))


def _draining(agent: Agent, reason: str) -> AgentSet:
    return AgentSet(replace(agent, state=AgentState.DRAINING, reason=reason))


def fence_alone(swarm: Swarm, agent: Agent, mark: Fence, moment: Moment) -> list[Change]:
    """The same for an agent without those below it, who have another parent from this commit on."""
    segment = f"={agent.id}"
    return [
        FENCES.put(replace(mark, segment=segment)),
        _draining(agent, mark.reason),
        *fence_notices(swarm, segment, moment),
        entry(
            moment,
            JournalEvent.SUBTREE_FENCED,
            f"{mark.by} ends {agent.id} alone: {mark.reason}"[:2000],
            actor=mark.by,
            mission=agent.mission,
            segment=segment,
            agents=1,
        ),
    ]


def fence_notices(swarm: Swarm, segment: str, moment: Moment) -> list[Change]:
    """Tells each host to end what it runs below the segment, and to give its word."""
    return [
        host_notice(moment, host, Kind.FENCED, segment, {"segment": segment})
        for host in sorted(swarm.lineage.hosts())
    ]
