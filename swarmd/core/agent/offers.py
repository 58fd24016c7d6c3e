"""What an agent may answer now: of its role's moves those that it has a right to. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from swarmd.core.model.declarations import Role, Room
from swarmd.core.model.functions import Function, Functions, Offer
from swarmd.core.model.lineage import Agent, missions_rooms
from swarmd.core.model.privileges import ROOM, is_covered
from swarmd.core.tree.rights import roles_below


def functions_of(role: Role | None, functions: Functions) -> dict[str, Function]:
    """Those of a role, by name, of all that there are."""
    names = role.functions if role is not None else ()
    return {name: functions[name] for name in names if name in functions}


def offer_to(
    agent: Agent,
    roles: Mapping[str, Role],
    rooms: Mapping[str, Room],
    functions: Functions,
    *,
    has_children: bool,
) -> Offer:
    """What it may not do is not offered to it: a model tries what it sees, and pays for each
    refusal.
    """
    role = roles.get(agent.role)
    if role is None:
        return Offer(())
    may_create = bool(roles_below(agent, roles))
    lacks = {
        "spawn": not may_create,
        "direct": not (may_create or has_children),
        "govern": not (may_create or has_children),
        "say": not speaks_in(agent, rooms),
    }
    moves = tuple(move for move in role.moves if not lacks.get(move))
    its = functions_of(role, functions).values()
    held = tuple(f for f in its if not f.privilege or is_covered(f.privilege, agent.privileges))
    return Offer((*moves, "use") if held else moves, held)


def speaks_in(agent: Agent, rooms: Mapping[str, Room]) -> tuple[Room, ...]:
    """The rooms in which it may say something."""
    return tuple(
        room
        for room, _ in missions_rooms(agent, rooms)
        if is_covered(ROOM.path(room.name, "say"), agent.privileges)
    )
