"""What the supervisor does with time alone: deadlines, periods, digests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from swarmd.core.actions import approvals, forgetting, overrides
from swarmd.core.board import agenda, clerk
from swarmd.core.control import agent_requests, least, orphans
from swarmd.core.control.stops import tell_stops
from swarmd.core.missions import queue
from swarmd.core.model.changes import (
    AccountOpened,
    AgentMade,
    PeriodTurned,
)
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import (
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    MissionId,
    MissionState,
)
from swarmd.core.model.posts import board_notice
from swarmd.core.model.privileges import MODEL, ROOM
from swarmd.core.model.state import Draft
from swarmd.core.model.timings import period_of

# Least time between two digests of one mission: a tree that grows fast is told once, not per agent.
DIGEST_SECONDS: Final = 1.0


def found(draft: Draft) -> None:
    """The board and its seats, where they are not there yet."""
    lineage = draft.lineage
    if lineage.get(SOB) is None:
        _found_board(draft)
    for name in draft.swarm.declared.board.seats:
        if lineage.get(name) is None:
            seat = _seat(name, draft.stamp)
            draft.add(AgentMade(seat, follows(seat, draft.swarm.declared.rooms)))


def _found_board(draft: Draft) -> None:
    sob = Agent(
        id=SOB,
        name=SOB,
        role="board",
        tier=0,
        parent=None,
        path=(SOB,),
        state=AgentState.LIVE,
        created=draft.stamp,
        privileges=("**",),
        grants=("**",),
    )
    draft.add(AgentMade(sob, ()))
    # Where its account is there, the board's record alone is gone: to open the account anew
    # would empty it.
    if not draft.swarm.has_root:
        root = draft.swarm.declared.limits.root
        draft.add(AccountOpened(SOB, "", root.model_dump(), own_slot=False))


def _seat(name: str, created: str) -> Agent:
    return Agent(
        id=AgentId(name),
        name=name,
        role="seat",
        tier=0,
        parent=None,
        path=(name,),
        created=created,
        privileges=(MODEL.whole, ROOM.path(SOB, "say")),
    )


def tick(draft: Draft) -> None:
    """What time alone brings: deadlines, silent seats, the next mission of the docket."""
    for mission in queue.overdue(draft.swarm, draft.now):
        reason = f"deadline: {agenda.missing(draft.swarm, mission.id)}".removesuffix(": ")
        queue.end(draft, mission, MissionState.FAILED, reason, by="supervisor")
    orphans.tick(draft)
    tell_stops(draft)
    _turn_period(draft)
    overrides.tick(draft)
    forgetting.tick(draft)
    approvals.tick(draft)
    agent_requests.carry_out(draft)
    clerk.tick(draft)
    opened = clerk.take_up(draft)
    least.judge_budgets(draft)
    clerk.open_missions(draft, opened)
    for id in draft.swarm.boards:
        _digest(draft, id)


def _turn_period(draft: Draft) -> None:
    """A new hour, day, week or month by UTC: the root has its whole cap again, but what open
    accounts hold of it.
    """
    swarm = draft.swarm
    period = period_of(draft.now, swarm.declared.limits.root_period)
    # Of names of one length the later period's is the larger: a clock that is set back renews no
    # budget.
    is_past = len(period) == len(swarm.period) and period <= swarm.period
    if not period or is_past:
        return
    if swarm.period:
        text = f"the root's budget begins anew for {period}"
        draft.add(PeriodTurned(SOB, period))
        draft.record(JournalEvent.PERIOD_BEGUN, text, actor=SUPERVISOR, period=period)
    else:
        draft.add(PeriodTurned(SOB, period))


def _digest(draft: Draft, id: MissionId) -> None:
    """The state of a mission's tree, told to the board's room when it changed, never asked of a
    model.
    """
    digests, now = draft.swarm.observed.digests, draft.now
    tiers = draft.lineage.tiers(id)
    text = _agents_by_tier(tiers)
    told_at, told = digests.get(id, (0.0, _agents_by_tier({})))
    if text != told and now >= told_at + DIGEST_SECONDS:
        digests[id] = (now, text)
        draft.add(board_notice(draft.moment, id, text, _tier_facts(tiers), Kind.DIGEST))


def _tier_facts(tiers: Mapping[int, int]) -> dict[str, object]:
    by_tier = {str(tier): n for tier, n in tiers.items()}
    return {"agents": sum(tiers.values()), "tiers": by_tier}


def _agents_by_tier(tiers: Mapping[int, int]) -> str:
    return "agents: " + (", ".join(f"{n} at tier {tier}" for tier, n in tiers.items()) or "none")
