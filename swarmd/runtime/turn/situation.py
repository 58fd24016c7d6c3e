"""An agent's situation, out of what its turn has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarmd.core.agent.file_list import FileFacts
from swarmd.core.agent.offers import speaks_in
from swarmd.core.agent.situation import Beside, Near, Situation, child_doing
from swarmd.core.agent.turn import Acting
from swarmd.core.agent.waiting import said_of_wait, wait_of
from swarmd.core.model.consequences import Consequence
from swarmd.core.model.declarations import Declarations, Role
from swarmd.core.model.lineage import Agent, missions_rooms
from swarmd.core.model.timings import epoch_of
from swarmd.core.tree.rights import roles_below
from swarmd.ports.stores import Around, Doing


def situation_of(
    declared: Declarations,
    acting: Acting,
    around: Around,
    files: Sequence[FileFacts],
    taint: frozenset[str],
) -> Situation:
    agent, now = acting.agent, epoch_of(acting.at)
    mission = around.mission
    deadlines = [at for at in (agent.deadline, mission.deadline if mission else 0.0) if at]
    heard = speaks_in(agent, declared.rooms)
    may_create = roles_below(agent, declared.roles)
    return Situation(
        agent=agent,
        superior=around.superior,
        now=acting.at,
        seconds_left=max(0.0, min(deadlines) - now) if deadlines else 0.0,
        free=around.free,
        spent=around.spent,
        files=files,
        children=[_child(child, around.doing.get(child.id), now) for child in acting.children],
        colleagues=[Beside(c.name, c.id, c.role, c.task) for c in around.colleagues],
        rooms=[
            Near(room.name, room.purpose, room in heard)
            for room, _ in missions_rooms(agent, declared.rooms)
        ],
        may_create=may_create,
        share_percent=declared.limits.share_percent,
        taint=sorted(taint),
        guarded=_guarded(declared, acting, may_create),
    )


def _guarded(
    declared: Declarations, acting: Acting, may_create: Sequence[Role]
) -> Sequence[Consequence]:
    """Of what needs permission once its turn is tainted, what it could do at all."""
    leads = bool(may_create or acting.children)
    reaches_out = any(function.effect == "outward" for function in acting.functions.values())
    return [
        consequence
        for consequence in declared.limits.taint.actions
        if (reaches_out if consequence == "outward" else leads)
    ]


def names_around(agent: Agent, around: Around) -> Mapping[str, str]:
    """The names of those whose mail may come, by their ids."""
    known: dict[str, str] = {child.id: child.name for child in around.children}
    known |= {colleague.id: colleague.name for colleague in around.colleagues}
    return known | ({agent.parent: around.superior} if agent.parent and around.superior else {})


def _child(child: Agent, doing: Doing | None, now: float) -> Beside:
    found = doing or Doing()
    return Beside(
        child.name,
        child.id,
        child.role,
        child_doing(
            is_done=found.is_done,
            ago=now - epoch_of(found.at) if found.at else 0.0,
            wait=said_of_wait(wait_of(found.wait)) if found.wait else "",
            state=child.state.value,
        ),
    )
