"""The privileges that a child is given, and what its creator may grant (law 3). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Role
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import SOB, AgentId
from swarmd.core.model.privileges import (
    SPAWN,
    Held,
    Revocation,
    Right,
    holdings,
    is_covered,
    is_path,
    live_holding,
    overlaps,
)
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Swarm


def roles_below(parent: Agent, roles: Mapping[str, Role]) -> tuple[Role, ...]:
    """The roles that an agent was told that it may create: for its prompt, the law itself asks
    what lives.
    """
    return tuple(
        role
        for role in roles.values()
        if parent.tier + 1 in role.tiers and _is_told_it_may(role.name, parent.privileges)
    )


# Asked of every role in every turn, by agents of which most hold the same rights.
@lru_cache(maxsize=1_024)
def _is_told_it_may(role: str, privileges: tuple[str, ...]) -> bool:
    return is_covered(SPAWN.path(role), privileges)


@dataclass(frozen=True, slots=True)
class ChildRights:
    """What a child is given: paths to use, paths to hand out, and those of both with a number of
    their own.
    """

    privileges: tuple[str, ...]
    grants: tuple[str, ...]
    later: tuple[Held, ...]


def child_rights(
    swarm: Swarm, parent: Agent, charter: Charter, role: Role, *, is_overruled: bool
) -> ChildRights | Denied:
    """Both rights of a child come out of what its creator can grant now, marks included; where an
    operator answers for it, out of all there is, with a number that no mark of before cuts."""
    giver = swarm.lineage.agents[SOB] if is_overruled else parent
    use = _given(swarm, giver, charter.privileges, role.privileges)
    if isinstance(use, Denied):
        return use
    default = use if role.grants is None or charter.privileges is not None else role.grants
    grants = _given(swarm, giver, charter.grants, default)
    if isinstance(grants, Denied):
        return grants
    pairs = _pairs_of(use, grants)
    numbered = _numbered_anew if is_overruled else _handed_down
    return ChildRights(use, grants, tuple(numbered(swarm, parent, pairs)))


def _numbered_anew(
    swarm: Swarm, parent: Agent, pairs: Iterable[tuple[str, Right]]
) -> Iterator[Held]:
    return (Held(path, right, swarm.number + 1, parent.id) for path, right in pairs)


def _pairs_of(use: tuple[str, ...], grants: tuple[str, ...]) -> list[tuple[str, Right]]:
    return [*((path, "use") for path in use), *((path, "grant") for path in grants)]


def _handed_down(swarm: Swarm, parent: Agent, pairs: Iterable[tuple[str, Right]]) -> Iterator[Held]:
    """A number is handed down with the path: a mark that is newer than what the creator holds cuts
    the child's too. Without a number of its own the creator has none to hand down.
    """
    if not parent.later:
        return
    marks, holdings = swarm.lineage.marks_on(parent), parent.holdings("grant")
    for path, right in pairs:
        held = _grantable(holdings, marks, path)
        if held is not None and held.number:
            yield replace(held, path=path, right=right, by=parent.id, at="")


def _given(
    swarm: Swarm, parent: Agent, asked: tuple[str, ...] | None, default: tuple[str, ...]
) -> tuple[str, ...] | Denied:
    """The paths asked for, or the rule that refuses them; of a default, as much as can be given."""
    marks, forbidden = swarm.lineage.marks_on(parent), tuple(swarm.declared.limits.forbidden)
    return _given_of(parent.grants, parent.later, marks, forbidden, asked, default)


# Siblings of one role ask the same of the same creator: decided once for all of them, for it is
# half of what a spawn's decision costs. Whatever the answer depends on is in the key.
@lru_cache(maxsize=1_024)
def _given_of(
    grants: tuple[str, ...],
    later: tuple[Held, ...],
    marks: tuple[Revocation, ...],
    forbidden: tuple[str, ...],
    asked: tuple[str, ...] | None,
    default: tuple[str, ...],
) -> tuple[str, ...] | Denied:
    held = holdings(grants, later, "grant", "")
    paths = default if asked is None else asked
    refusals = {path: _refuse_path(held, marks, forbidden, path) for path in paths}
    if asked is None:
        return tuple(path for path in default if refusals[path] is None)
    return next((denied for denied in refusals.values() if denied is not None), asked)


def _refuse_path(
    held: tuple[Held, ...],
    marks: tuple[Revocation, ...],
    forbidden: tuple[str, ...],
    path: str,
) -> Denied | None:
    if not is_path(path):
        return Denied(Rule.PRIVILEGE_SUBSET, f"{path!r} is no privilege path")
    if any(overlaps(path, no) for no in forbidden):
        return Denied(Rule.PRIVILEGE_FORBIDDEN, path)
    return Denied(Rule.PRIVILEGE_SUBSET, path) if _grantable(held, marks, path) is None else None


def _grantable(held: tuple[Held, ...], marks: tuple[Revocation, ...], path: str) -> Held | None:
    return live_holding(path, "grant", held, marks)


def may_grant(swarm: Swarm, granter: Agent, path: str) -> Denied | None:
    """May it hand the path out as a right of a new number? Only one that no mark has touched: a
    part that was revoked would come back with the whole."""
    is_held = swarm.lineage.may(granter, path, "grant", whole=True)
    return None if is_held else Denied(Rule.PRIVILEGE_GRANT, path)


def may_use(swarm: Swarm, agent: Agent, path: str) -> Denied | None:
    """`None` where the agent may use the plain path now; a right that it had and lost is told as
    such.
    """
    if swarm.lineage.may(agent, path):
        return None
    rule = Rule.PRIVILEGE_REVOKED if is_covered(path, agent.privileges) else Rule.PRIVILEGE_USE
    return Denied(rule, path)


def beyond_own_use(swarm: Swarm, child: Agent) -> str:
    """The first path that this wished-for child may use and its creator may not; empty where there
    is none.

    The board may use everything and uses nothing itself: of its executives a person has declared
    in their roles what they may use.
    """
    creator = swarm.lineage.agents[AgentId(str(child.parent))]
    if creator.id == SOB:
        declared = swarm.declared.roles[child.role].privileges
        return next((p for p in child.privileges if not is_covered(p, declared)), "")
    return next((p for p in child.privileges if not swarm.lineage.may(creator, p)), "")
