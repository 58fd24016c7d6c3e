"""Charter: executives are created with their tasks and budgets, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from swarmd.core.model.charter import LINE_CHARS_MAX, LIST_MAX, Charter, KnownWord, Line, Reference
from swarmd.core.model.motion_kinds import Asks, BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.actions import Actor
    from swarmd.core.model.lineage import Agent
    from swarmd.core.model.records import Spawned
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class Executive(Charter):
    """A charter in a motion. Its key names it within the motion."""

    key: KnownWord | None = Field(None, description="another word for it; absent: its name")
    replaces: Reference | None = Field(
        None,
        description="an executive that ends once this one is created; not of the same name",
    )


class CharterMotion(BaseMotion):
    """Create executives with their tasks and budgets, all or none."""

    motion: Literal["charter"]
    executives: tuple[Executive, ...] = Field(min_length=1, max_length=6)
    reason: Line

    @property
    def ends_agents(self) -> bool:
        return any(executive.replaces for executive in self.executives)


def decide_charter(draft: Draft, carried: Carried) -> Denied | Asks | None:
    from swarmd.core.actions import approvals
    from swarmd.core.actions.ending import end_agent
    from swarmd.core.board import agenda
    from swarmd.core.model.names import Authority
    from swarmd.core.model.refusals import Denied
    from swarmd.core.tree.spawn import made

    allowed, replaced = _allowed(draft, carried), _replaced(draft, carried)
    if isinstance(allowed, Denied):
        return allowed
    if isinstance(replaced, Denied):
        return replaced
    if not carried.has_permission:
        need = approvals.for_spawn(draft.swarm, allowed, Authority.BOARD, carried.taint)
        if need is not None:
            executives = [approvals.spawn_facts(draft.swarm, spawned) for spawned in allowed]
            facts = {"action": "charter", "executives": executives}
            return Asks(need.needs, need.rule, need.detail, facts)
    for spawned in allowed:
        draft.add(*made(draft.swarm, spawned, draft.moment, taint=carried.taint))
    for agent in replaced:
        end_agent(draft, agent, _board_of(carried), f"replaced: {carried.motion.reason}")
    agenda.note_replaced(draft, carried.mission, replaced)
    return None


def _board_of(carried: Carried) -> Actor:
    from swarmd.core.model.actions import Actor
    from swarmd.core.model.names import SOB, Authority

    return Actor(SOB, Authority.BOARD, carried.mission, taint=carried.taint)


def _replaced(draft: Draft, carried: Carried) -> list[Agent] | Denied:
    """The executives that end with this motion, or why one of them is not the board's to end."""
    from swarmd.core.actions.ending import may_be_ended
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied, Rule

    found: list[Agent] = []
    for name in dict.fromkeys(e.replaces for e in carried.motion.executives if e.replaces):
        agent = may_be_ended(draft.swarm, _board_of(carried), name)
        if isinstance(agent, Denied):
            return agent
        if agent.parent != SOB:
            return Denied(Rule.BOARD_MOTION, f"{name} is no executive: end it with act terminate")
        found.append(agent)
    return found


def _allowed(draft: Draft, carried: Carried) -> list[Spawned] | Denied:
    """All executives as the law makes them, each beside those before it, or why one is refused."""
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.requests import SpawnRequest
    from swarmd.core.tree.spawn import decide_spawn

    board, executives = draft.lineage.agents[SOB], carried.motion.executives
    allowed: list[Spawned] = []
    for executive in executives:
        written = executive.model_dump(exclude={"key", "replaces"})
        # An argument may be as long as a message, and what a charter minds is a line.
        accepted = (mind[:LINE_CHARS_MAX] for mind in carried.minds)
        minds = (*executive.mind, *accepted)[:LIST_MAX]
        charter = Charter.model_validate(written | {"mind": minds})
        spawned = decide_spawn(
            draft.swarm,
            board,
            SpawnRequest(
                key=executive.key or executive.name, charter=charter, together=len(executives)
            ),
            draft.moment,
            mission=carried.mission,
            pending=allowed,
        )
        if isinstance(spawned, Denied):
            return Denied(spawned.rule, f"{executive.name}: {spawned.detail}")
        allowed.append(spawned)
    return allowed


KIND = MotionKind(CharterMotion, decide_charter, opens=True)
