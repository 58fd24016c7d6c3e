"""Who lives and gets nowhere: told once to its superior, and past twice the time to the board.
Pure.

Progress is a call that was settled, and with it every turn's report or spawn, for no turn is
without one. Nobody is stalled who has reported its task as done, waits for a child that has not, is
stopped, or has no living host. Memory knows who has waited longest (`progress.Progress`), and the
store is asked about those few alone: a hundred thousand agents that do nothing cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from swarmd.core.board.standstill import is_held_back
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import SUPERVISOR, AgentId, AgentState, Authority
from swarmd.core.model.posts import board_notice
from swarmd.core.model.records import Trouble
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import TROUBLES, Drop, Put
from swarmd.core.tree import notices

# Looked at in one step: what a restart makes due at once is spread over some.
LOOKED_AT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an agent is with its task, as its own state says."""

    is_done: bool  # it has reported it as done, and was given nothing since
    is_busy: bool  # a turn of it is under way
    waits_until: float = 0.0  # until when it waits by its own word (seconds since the epoch)
    has_mail: bool = False  # something came of late that it has not read

    @property
    def is_over(self) -> bool:
        return self.is_done and not self.is_busy


@dataclass(frozen=True, slots=True)
class Idler:
    """An agent whose patience is over, and since when (seconds since the epoch)."""

    agent: Agent
    since: float


UNKNOWN: Final = Standing(is_done=False, is_busy=False)


def resume(swarm: Swarm, now: float) -> None:
    """After a restart everybody is given the whole time once more; what was told stays told."""
    for agent in swarm.lineage.agents.values():
        swarm.note_progress(agent, now)


def got_on(draft: Draft, agent: Agent) -> None:
    """A call of it was settled."""
    draft.swarm.note_progress(agent, draft.now)
    trouble = draft.swarm.troubles.get(agent.id)
    if trouble is not None and trouble.kind == "stalled":
        draft.add(Drop(TROUBLES, agent.id))
        draft.record(
            JournalEvent.AGENT_RESUMED,
            f"{agent.id} makes progress again",
            actor=agent.id,
            mission=agent.mission,
            agent=agent.id,
            seconds=round(draft.now - trouble.since, 3),
        )


def began(draft: Draft, agent: Agent) -> None:
    """It has begun to do something, which is no progress yet: of one who was done something is
    expected again.
    """
    if not draft.swarm.observed.progress.knows(agent.id) and agent.id not in draft.swarm.troubles:
        draft.swarm.note_progress(agent, draft.now)


def due(swarm: Swarm, now: float) -> list[Idler]:
    """Those whose patience is over and whom nothing excuses that memory knows."""
    found = []
    for id, since in swarm.observed.progress.due(now, LOOKED_AT_MAX):
        agent = swarm.lineage.get(id)
        if agent is None:
            swarm.observed.progress.forget(id)
        elif _is_held_up(swarm, agent):
            swarm.note_progress(agent, now)
        else:
            found.append(Idler(agent, since))
    return found


def _is_held_up(swarm: Swarm, agent: Agent) -> bool:
    return (
        agent.state is not AgentState.LIVE
        or agent.host not in swarm.hosts
        or swarm.lineage.is_fenced(agent.path)
        or swarm.lineage.stop_on(agent) is not None
        or is_held_back(swarm, agent)
    )


def asked_about(swarm: Swarm, idlers: Sequence[Idler]) -> list[AgentId]:
    """Whose standing decides on them: their own, and their children's."""
    ids = [i.agent.id for i in idlers]
    return list(
        dict.fromkeys([*ids, *(child.id for id in ids for child in swarm.lineage.children(id))])
    )


def judge(draft: Draft, idlers: Sequence[Idler], standings: Mapping[AgentId, Standing]) -> None:
    """What becomes of each. All that is told here needs no account, so that it is never decided
    twice.
    """
    swarm, now = draft.swarm, draft.now
    for idler in idlers:
        agent, own = idler.agent, standings.get(idler.agent.id, UNKNOWN)
        if own.is_over:
            swarm.observed.progress.forget(agent.id)
        elif not own.is_busy and (own.waits_until > now or _waits(swarm, agent, standings)):
            swarm.note_progress(agent, now)
        else:
            _tell(draft, idler, own)


def _waits(swarm: Swarm, agent: Agent, standings: Mapping[AgentId, Standing]) -> bool:
    """Does a child live of which something is still to come?"""
    children = swarm.lineage.children(agent.id)
    return any(is_to_come(swarm, one, standings.get(one.id, UNKNOWN)) for one in children)


def is_to_come(swarm: Swarm, agent: Agent, standing: Standing) -> bool:
    """Is something still to come of it by itself? Not of one that is done, that its superior was
    told of as stalled, or that is held by somebody of the swarm for no certain time: each goes on
    only if a superior acts. Of one that an operator holds it is the operator who acts.
    """
    stop = swarm.lineage.stop_on(agent)
    if stop is not None and not stop.until and stop.authority is not Authority.OPERATOR:
        return False
    if standing.is_busy or standing.has_mail:
        return True
    trouble = swarm.troubles.get(agent.id)
    is_stalled = trouble is not None and trouble.kind == "stalled"
    return not standing.is_done and not is_stalled


def _tell(draft: Draft, idler: Idler, own: Standing) -> None:
    agent = idler.agent
    trouble = _trouble_of(draft, idler, own)
    if trouble is None:
        return
    seconds = draft.now - trouble.since
    what = f"has made no progress for {seconds:.0f} s: {trouble.detail}"
    draft.add(Put(TROUBLES, agent.id, trouble))
    if trouble.is_told_above:
        _tell_board(draft, agent, what)
    else:
        notices.tell_superior(draft, agent, what, data={"stalled": Rule.STALLED.value})
    told = "board" if trouble.is_told_above else "superior"
    _record_stall(draft, agent, what, seconds=round(seconds, 3), told=told)


def _record_stall(draft: Draft, agent: Agent, what: str, *, seconds: float, told: str) -> None:
    draft.record(
        JournalEvent.AGENT_STALLED,
        f"{agent.id} {what}",
        actor=SUPERVISOR,
        mission=agent.mission,
        rule=Rule.STALLED,
        agent=agent.id,
        seconds=seconds,
        told=told,
    )


def _tell_board(draft: Draft, agent: Agent, what: str) -> None:
    text = f"{agent.name} ({agent.id}) {what}"
    data = {"agent": agent.id, "stalled": Rule.STALLED.value}
    draft.add(board_notice(draft.moment, agent.mission, text, data))


def _trouble_of(draft: Draft, idler: Idler, own: Standing) -> Trouble | None:
    """What is to be told now: first to its superior, later above it, and then no more."""
    swarm, agent = draft.swarm, idler.agent
    doing = "a turn of it is under way" if own.is_busy else "no turn of it is under way"
    known = swarm.troubles.get(agent.id)
    if known is None or known.kind != "stalled":
        # The same time once more, then it is told to the board.
        swarm.note_progress(agent, draft.now)
        return Trouble("stalled", idler.since, doing)
    swarm.observed.progress.forget(agent.id)
    # What was told above before a restart is told no more.
    return None if known.is_told_above else replace(known, detail=doing, is_told_above=True)
