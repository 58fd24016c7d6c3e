"""Charter: executives are created with their tasks and budgets, all or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from swarmd.core.model.charter import (
    FILES_MAX,
    LINE_CHARS_MAX,
    LIST_MAX,
    Charter,
    KnownWord,
    Line,
    Reference,
)
from swarmd.core.model.motion_kinds import Asks, BaseMotion, Carried, MotionKind
from swarmd.core.model.names import BEGINS_AFTER

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from swarmd.core.board import following
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
    after: tuple[KnownWord, ...] = Field(
        (),
        max_length=6,
        description="executives above it or at work: it begins with their reports",
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
    from swarmd.core.board import following
    from swarmd.core.model.refusals import Denied

    allowed, replaced = _allowed(draft, carried), _replaced(draft, carried)
    if isinstance(allowed, Denied):
        return allowed
    if isinstance(replaced, Denied):
        return replaced
    after = _order(draft, carried, allowed, replaced)
    if isinstance(after, Denied):
        return after
    asks = _permission_for(draft, carried, [one.spawned for one in allowed])
    if asks is None:
        _carry_out(draft, carried, allowed, replaced.values())
        following.note(draft, carried.mission, after)
    return asks


def _order(
    draft: Draft, carried: Carried, allowed: Sequence[_Allowed], replaced: Mapping[str, Agent]
) -> following.Followed | Denied:
    from swarmd.core.board import following

    after = {one.agent.id: one.after for one in allowed if one.after}
    instead = {replaced[one.replaces].id: one.agent.id for one in allowed if one.replaces}
    return following.ordered(draft.swarm, carried.mission, after, instead)


def _permission_for(draft: Draft, carried: Carried, spawned: Sequence[Spawned]) -> Asks | None:
    """What somebody has to permit first, where nobody has yet."""
    from swarmd.core.actions import approvals
    from swarmd.core.model.names import Authority

    need = approvals.for_spawn(draft.swarm, spawned, Authority.BOARD, carried.taint)
    if need is None or carried.has_permission:
        return None
    executives = [approvals.spawn_facts(draft.swarm, one) for one in spawned]
    return Asks(need.needs, need.rule, need.detail, {"action": "charter", "executives": executives})


def _carry_out(
    draft: Draft, carried: Carried, allowed: Sequence[_Allowed], replaced: Collection[Agent]
) -> None:
    from swarmd.core.actions.ending import end_agent
    from swarmd.core.board import agenda
    from swarmd.core.tree.spawn import made

    for one in allowed:
        begins = not one.after
        draft.add(*made(draft.swarm, one.told, draft.moment, taint=carried.taint, begins=begins))
    for agent in replaced:
        end_agent(draft, agent, _board_of(carried), f"replaced: {carried.motion.reason}")
    agenda.note_replaced(draft, carried.mission, replaced)


def _board_of(carried: Carried) -> Actor:
    from swarmd.core.model.actions import Actor
    from swarmd.core.model.names import SOB, Authority

    return Actor(SOB, Authority.BOARD, carried.mission, taint=carried.taint)


def _replaced(draft: Draft, carried: Carried) -> dict[str, Agent] | Denied:
    """The executives that end with this motion, by how it names them, or why one of them is not
    the board's to end.
    """
    from swarmd.core.actions.ending import may_be_ended
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied, Rule

    found: dict[str, Agent] = {}
    for name in dict.fromkeys(e.replaces for e in carried.motion.executives if e.replaces):
        agent = may_be_ended(draft.swarm, _board_of(carried), name)
        if isinstance(agent, Denied):
            return agent
        if agent.parent != SOB:
            return Denied(Rule.BOARD_MOTION, f"{name} is no executive: end it with act terminate")
        found[name] = agent
    return found


@dataclass(frozen=True, slots=True)
class _Allowed:
    """An executive as the law makes it; `after` are the ids of those it comes after."""

    spawned: Spawned
    replaces: str | None
    after: tuple[str, ...] = ()
    waits_for: str = ""  # their names

    @property
    def agent(self) -> Agent:
        return self.spawned.agent

    @property
    def told(self) -> Spawned:
        """Its record says for whom it waits, until it begins."""
        if not self.after:
            return self.spawned
        reason = f"{BEGINS_AFTER} {self.waits_for}"
        return replace(self.spawned, agent=replace(self.agent, reason=reason))


def _allowed(draft: Draft, carried: Carried) -> list[_Allowed] | Denied:
    """All executives as the law makes them, each beside those before it, or why some are refused:
    all of them at once, for each correction costs a call.
    """
    from swarmd.core.model.refusals import Denied

    allowed: list[_Allowed] = []
    denied: list[Denied] = []
    for executive in carried.motion.executives:
        one = _allowed_one(draft, carried, executive, allowed)
        if not isinstance(one, Denied):
            allowed.append(one)
        elif not denied or not executive.after:  # it may come after one that is refused
            denied.append(Denied(one.rule, f"{executive.name}: {one.detail}"))
    return _together(denied) if denied else allowed


def _together(denied: Sequence[Denied]) -> Denied:
    """The first rule, with the others named in the detail."""
    from swarmd.core.model.refusals import Denied

    first, *others = denied
    more = (f"{one.rule}: {one.detail}" for one in others)
    return Denied(first.rule, "; ".join((first.detail, *more)))


def _allowed_one(
    draft: Draft, carried: Carried, executive: Executive, before: Sequence[_Allowed]
) -> _Allowed | Denied:
    from swarmd.core.board import following
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.requests import SpawnRequest
    from swarmd.core.tree.spawn import decide_spawn

    made = [one.agent for one in before]
    after = following.those_named(draft.swarm, carried.mission, executive.after, made)
    if isinstance(after, Denied):
        return after
    spawned = decide_spawn(
        draft.swarm,
        draft.lineage.agents[SOB],
        SpawnRequest(
            key=executive.key or executive.name,
            charter=_charter_of(executive, carried.minds, after),
            together=len(carried.motion.executives),
        ),
        draft.moment,
        mission=carried.mission,
        pending=[one.spawned for one in before],
    )
    if isinstance(spawned, Denied):
        return spawned
    names = ", ".join(agent.name for agent in after)
    return _Allowed(spawned, executive.replaces, tuple(agent.id for agent in after), names)


def _charter_of(executive: Executive, minds: Sequence[str], after: Sequence[Agent]) -> Charter:
    written = executive.model_dump(exclude={"key", "replaces", "after"})
    # An argument may be as long as a message, and what a charter minds is a line.
    accepted = (mind[:LINE_CHARS_MAX] for mind in minds)
    written["mind"] = (*executive.mind, *accepted)[:LIST_MAX]
    if not executive.files:
        # What they cite it has to be able to look up.
        read = (path for agent in after if agent.charter for path in agent.charter.files)
        written["files"] = tuple(dict.fromkeys(read))[:FILES_MAX]
    return Charter.model_validate(written)


KIND = MotionKind(CharterMotion, decide_charter, opens=True)
