"""The law of the tree: who may make whom, with what, and who may end whom. Pure.

Every refusal names its rule. Nothing here knows of Redis, of time or of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from swarmd.core.lineage import Agent, Fence, StopKind, follows
from swarmd.core.messages import Message
from swarmd.core.moves import KINDS, Charter
from swarmd.core.names import (
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    Authority,
    Kind,
    MissionId,
    Rule,
    down,
    host_channel,
    inbox,
)
from swarmd.core.privileges import (
    Held,
    Revocation,
    Right,
    holdings,
    is_covered,
    is_path,
    live_holding,
    overlaps,
)
from swarmd.core.requests import SpawnRequest
from swarmd.core.rules import Role
from swarmd.core.swarm import (
    AccountOpened,
    AgentMade,
    AgentSet,
    Change,
    Denied,
    FenceSet,
    Moment,
    Post,
    Swarm,
    entry,
)
from swarmd.core.taint import stamped

RATE_WINDOW_SECONDS = 60.0

# Without any of these an agent cannot live or think; a model that costs nothing needs no money, and not every agent a tool.
NEEDED_KINDS: Final = ("tokens", "calls", "agents")

RULE_OF_STOP: Final = {
    StopKind.FREEZE: Rule.FROZEN, StopKind.DRAIN: Rule.DRAINING, StopKind.HALT: Rule.HALTED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spawned:
    """A spawn that the law allows: the minted agent, and what is carved from whose account."""

    agent: Agent
    caps: Mapping[str, int]
    account: str


def decide_spawn(
    swarm: Swarm,
    parent: Agent,
    request: SpawnRequest,
    moment: Moment,
    *,
    mission: MissionId,
    pending: Sequence[Spawned] = (),
    together: int = 1,
    is_overruled: bool = False,
) -> Spawned | Denied:
    """May `parent` create this agent? `pending` are those already allowed of the `together` in the same motion.

    With `is_overruled` an operator answers for role, files and rights; limits and what is forbidden stay.

    `mission` is the parent's own, and for the board the one that its motion serves.
    """
    charter = request.charter
    role = swarm.declared.roles.get(charter.role)
    denied = (
        _claims_no_more(parent, request)
        or _may_still_create(swarm, parent, mission)
        or _role_fits(swarm, parent, charter, role, is_overruled=is_overruled)
        or (None if is_overruled else _is_undone(swarm, parent, charter))
        or _there_is_room(swarm, parent, charter, request.key, mission, moment, pending)
        or _files_are_covered(swarm, swarm.lineage.agents[SOB] if is_overruled else parent, charter, mission)
    )
    if denied:
        return denied
    assert role is not None
    rights = _rights(swarm, parent, charter, role, is_overruled=is_overruled)
    if isinstance(rights, Denied):
        return rights
    account = mission if parent.id == SOB else parent.id
    caps = _caps(swarm, account, charter, pending, together)
    if isinstance(caps, Denied):
        return caps
    return Spawned(_mint(swarm, parent, request, mission, rights, moment), caps, account)


def roles_below(parent: Agent, roles: Mapping[str, Role]) -> tuple[Role, ...]:
    """The roles that an agent was told that it may create: for its prompt, the law itself asks what lives."""
    return tuple(
        role for role in roles.values()
        if parent.tier + 1 in role.tiers and _is_told_it_may(role.name, parent.privileges)
    )  # fmt: skip


# Asked of every role in every turn, by agents of which most hold the same rights.
@lru_cache(maxsize=1_024)
def _is_told_it_may(role: str, privileges: tuple[str, ...]) -> bool:
    return is_covered(f"spawn/{role}", privileges)


def _claims_no_more(parent: Agent, request: SpawnRequest) -> Denied | None:
    if request.tier is not None and request.tier != parent.tier + 1:
        return Denied(Rule.SPAWN_TIER, f"asked for tier {request.tier}, yours is {parent.tier}")
    if request.parent is not None and request.parent != parent.id:
        return Denied(Rule.SPAWN_PARENT, f"asked for parent {request.parent}, you are {parent.id}")
    return None


def _may_still_create(swarm: Swarm, parent: Agent, mission: MissionId) -> Denied | None:
    if swarm.lineage.is_fenced((*parent.path, mission)) or parent.state is AgentState.DRAINING:
        return Denied(Rule.ANCESTOR_ENDING)
    stop = swarm.lineage.stop_on(parent, mission)
    if stop is not None:
        return Denied(RULE_OF_STOP[stop.kind], f"{stop.target}: {stop.reason}")
    if parent.tier + 1 > swarm.declared.limits.depth_max:
        return Denied(
            Rule.SPAWN_DEPTH, f"tier {parent.tier + 1} of at most {swarm.declared.limits.depth_max}"
        )
    return None


def _is_undone(swarm: Swarm, parent: Agent, charter: Charter) -> Denied | None:
    authority = Authority.BOARD if parent.id == SOB else Authority.LINEAGE
    for override in swarm.overrides.values():
        after = override.after
        is_same = after.get("undone") and (after["parent"], after["name"]) == (parent.id, charter.name)
        if is_same and override.authority > authority:
            return Denied(Rule.OVERRIDE_ACTIVE, f"{override.id}, by {override.by}, undid {charter.name}")
    return None


def _role_fits(
    swarm: Swarm, parent: Agent, charter: Charter, role: Role | None, *, is_overruled: bool
) -> Denied | None:
    if role is None:
        return Denied(Rule.SPAWN_ROLE, f"no role {charter.role}; there are {', '.join(swarm.declared.roles)}")
    if parent.tier + 1 not in role.tiers:
        return Denied(Rule.SPAWN_ROLE, f"{charter.role} may not stand at tier {parent.tier + 1}")
    return None if is_overruled else may_use(swarm, parent, f"spawn/{charter.role}")


def _there_is_room(
    swarm: Swarm,
    parent: Agent,
    charter: Charter,
    key: str,
    mission: MissionId,
    moment: Moment,
    pending: Sequence[Spawned],
) -> Denied | None:
    limits = swarm.declared.limits
    living = swarm.executives(mission) if parent.id == SOB else swarm.lineage.children(parent.id)
    siblings = (*living, *(spawned.agent for spawned in pending))
    if any(agent.name == charter.name for agent in siblings):
        return Denied(Rule.SPAWN_NAME, f"a living sibling is named {charter.name}")
    if any(agent.key == key for agent in siblings):
        return Denied(Rule.SPAWN_KEY, f"key {key} is a living child's")
    if len(siblings) >= limits.children_max:
        return Denied(Rule.SPAWN_FANOUT, f"{len(siblings)} of {limits.children_max} children")
    if len(swarm.lineage.agents) + len(pending) >= limits.agents_max:
        return Denied(Rule.SPAWN_LIVE, f"{limits.agents_max} agents live")
    if _is_too_fast(swarm.spawned_at.get(mission, ()), limits.spawns_per_minute - len(pending), moment.now):
        return Denied(Rule.SPAWN_RATE, f"{limits.spawns_per_minute} a minute; wait")
    return None


def _is_too_fast(times: Sequence[float], allowed: int, now: float) -> bool:
    """Would one more be above `allowed` in the window? `times` are in order: one look tells."""
    if allowed <= 0:
        return True
    if len(times) < allowed:
        return False
    # What lies further ahead was stamped by a clock that was wrong: it must not refuse spawns until that time comes.
    return now - RATE_WINDOW_SECONDS < times[-allowed] <= now + RATE_WINDOW_SECONDS


def _files_are_covered(swarm: Swarm, parent: Agent, charter: Charter, mission: MissionId) -> Denied | None:
    held = _files_of(swarm, parent, mission)
    for name in charter.files:
        if not any(covers_file(holder, name) for holder in held):
            return Denied(Rule.SPAWN_FILES, name)
    return None


def _files_of(swarm: Swarm, agent: Agent, mission: MissionId) -> tuple[str, ...]:
    if agent.charter is not None:
        return agent.charter.files
    found = swarm.missions.get(mission)
    return () if found is None else (*found.files, *found.asked_files)


def covers_file(holder: str, name: str) -> bool:
    """A name stands for itself and, where it is a folder, for all below it."""
    return holder == name or name.startswith(holder.rstrip("/") + "/")


@dataclass(frozen=True, slots=True)
class _Rights:
    """What a child is given: paths to use, paths to hand out, and those of both with a number of their own."""

    privileges: tuple[str, ...]
    grants: tuple[str, ...]
    later: tuple[Held, ...]


def _rights(
    swarm: Swarm, parent: Agent, charter: Charter, role: Role, *, is_overruled: bool
) -> _Rights | Denied:
    """Both rights of a child come out of what its creator can grant now, marks included; where an operator answers for
    it, out of all there is, with a number that no mark of before cuts."""
    giver = swarm.lineage.agents[SOB] if is_overruled else parent
    use = _given(swarm, giver, charter.privileges, role.privileges)
    if isinstance(use, Denied):
        return use
    default = use if role.grants is None or charter.privileges is not None else role.grants
    grants = _given(swarm, giver, charter.grants, default)
    if isinstance(grants, Denied):
        return grants
    pairs: tuple[tuple[Right, tuple[str, ...]], ...] = (("use", use), ("grant", grants))
    if is_overruled:
        number = swarm.number + 1
        new = [Held(path, right, number, parent.id) for right, paths in pairs for path in paths]
        return _Rights(use, grants, tuple(new))
    # A number is handed down with the path: a mark that is newer than what the creator holds cuts the child's too.
    # Without a number of its own the creator has none to hand down.
    later = [
        replace(held, path=path, right=right, by=parent.id, at="")
        for right, paths in (pairs if parent.later else ())
        for path in paths
        if (held := _grantable(parent.holdings("grant"), swarm.lineage.marks_on(parent), path)) is not None
        and held.number
    ]
    return _Rights(use, grants, tuple(later))


def _given(
    swarm: Swarm, parent: Agent, asked: tuple[str, ...] | None, default: tuple[str, ...]
) -> tuple[str, ...] | Denied:
    """The paths asked for, or the rule that refuses them; of a default, as much as can be given."""
    marks, forbidden = swarm.lineage.marks_on(parent), tuple(swarm.declared.limits.forbidden)
    return _given_of(parent.grants, parent.later, marks, forbidden, asked, default)


# Siblings of one role ask the same of the same creator: decided once for all of them, for it is half of what a spawn's
# decision costs. Whatever the answer depends on is in the key.
@lru_cache(maxsize=1_024)
def _given_of(
    grants: tuple[str, ...], later: tuple[Held, ...], marks: tuple[Revocation, ...], forbidden: tuple[str, ...],
    asked: tuple[str, ...] | None, default: tuple[str, ...],
) -> tuple[str, ...] | Denied:  # fmt: skip
    held = holdings(grants, later, "grant", "")

    def refusal(path: str) -> Denied | None:
        if not is_path(path):
            return Denied(Rule.PRIVILEGE_SUBSET, f"{path!r} is no privilege path")
        if any(overlaps(path, no) for no in forbidden):
            return Denied(Rule.PRIVILEGE_FORBIDDEN, path)
        return Denied(Rule.PRIVILEGE_SUBSET, path) if _grantable(held, marks, path) is None else None

    if asked is None:
        return tuple(path for path in default if refusal(path) is None)
    return next((no for path in asked if (no := refusal(path))), asked)


def _grantable(held: tuple[Held, ...], marks: tuple[Revocation, ...], path: str) -> Held | None:
    return live_holding(path, "grant", held, marks)


def may_grant(swarm: Swarm, granter: Agent, path: str) -> Denied | None:
    """May it hand the path out as a right of a new number? Only one that no mark has touched: a part that was
    revoked would come back with the whole."""
    marks = swarm.lineage.marks_on(granter)
    if live_holding(path, "grant", granter.holdings("grant"), marks, whole=True) is None:
        return Denied(Rule.PRIVILEGE_GRANT, path)
    return None


def may_use(swarm: Swarm, agent: Agent, path: str) -> Denied | None:
    """`None` where the agent may use the plain path now; a right that it had and lost is told as such."""
    if swarm.lineage.may(agent, path):
        return None
    rule = Rule.PRIVILEGE_REVOKED if is_covered(path, agent.privileges) else Rule.PRIVILEGE_USE
    return Denied(rule, path)


def _caps(
    swarm: Swarm, account: str, charter: Charter, pending: Sequence[Spawned], together: int
) -> dict[str, int] | Denied:
    """The child's share: what its charter asks for, else the default share of what is free now."""
    limits, free = swarm.declared.limits, dict(swarm.free.get(account, {}))
    for kind, kept in _kept_for_the_board(swarm, account).items():
        free[kind] = max(0, free.get(kind, 0) - kept)
    left = {k: free.get(k, 0) - sum(s.caps[k] for s in pending if s.account == account) for k in KINDS}
    caps = {}
    for kind in KINDS:
        # Shares are of the whole that was free before this motion, so that siblings get equal ones; where
        # so many are made at once that the default would leave the last with nothing, they divide it.
        share = max(0, free.get(kind, 0)) * min(limits.share_percent, 100 // together) // 100
        own_slot = 1 if kind == "agents" else 0
        asked = charter.budget.get(kind)  # type: ignore[call-overload]  # KINDS are the keys
        caps[kind] = (share if asked is None else int(asked)) + (
            own_slot if asked is not None or not share else 0
        )
        if asked is not None and caps[kind] > left[kind]:
            return Denied(Rule.BUDGET_SHARE, f"{kind}: {caps[kind]} needed, {left[kind]} free")
        caps[kind] = min(caps[kind], left[kind])
        if caps[kind] < 1 and kind in NEEDED_KINDS:
            return Denied(Rule.BUDGET_EXHAUSTED, f"{kind}: {left[kind]} free")
    return caps


def _kept_for_the_board(swarm: Swarm, account: str) -> dict[str, int]:
    """Of a mission's budget a part stays the board's: it must be able to review and to deliver."""
    mission = swarm.missions.get(MissionId(account))
    if mission is None:
        return {}
    percent = swarm.declared.limits.board_percent
    return {kind: mission.budget[kind] * percent // 100 for kind in ("tokens", "cost", "calls")}


def _mint(
    swarm: Swarm, parent: Agent, request: SpawnRequest, mission: MissionId, rights: _Rights, moment: Moment
) -> Agent:
    id = AgentId(moment.new_id("a"))
    above = (SOB, mission) if parent.id == SOB else parent.path
    return Agent(
        id=id, name=request.charter.name, role=request.charter.role, tier=parent.tier + 1, parent=parent.id,
        path=(*above, id), mission=mission, created=moment.stamp, key=request.key, charter=request.charter,
        privileges=rights.privileges, grants=rights.grants, later=rights.later,
        deadline=_deadline(swarm, parent, request.charter, mission, moment),
    )  # fmt: skip


def _deadline(swarm: Swarm, parent: Agent, charter: Charter, mission: MissionId, moment: Moment) -> float:
    """Its own, where its charter names one, and never later than its creator's; 0: the mission's alone."""
    if charter.deadline_s is None:
        return parent.deadline
    found = swarm.missions.get(mission)
    latest = parent.deadline or (found.deadline if found else 0.0)
    own = moment.now + charter.deadline_s
    return min(own, latest) if latest else own


def made(
    swarm: Swarm, spawned: Spawned, moment: Moment, *, hops: int = 0, taint: tuple[str, ...] = ()
) -> list[Change]:
    """What a spawn changes: record, account, first positions, the child's charter, the journal."""
    agent = replace(spawned.agent, taint=taint) if taint else spawned.agent
    assert agent.parent is not None
    assert agent.charter is not None
    first = stamped(
        Message(
            sender=agent.parent, to=agent.id, kind=Kind.CHARTER, mission=agent.mission, at=moment.stamp,
            text=agent.charter.task, hops=hops,
        ),
        taint,
    )  # fmt: skip
    return [
        AgentMade(agent, follows(agent, swarm.declared.rooms)),
        AccountOpened(agent.id, spawned.account, spawned.caps, own_slot=True),
        Post(inbox(agent.id), first),
        entry(
            moment, "spawned", f"{agent.parent} created {agent.role} {agent.name} ({agent.id})",
            actor=agent.parent, mission=agent.mission, agent=agent.id, tier=agent.tier,
            path="/".join(agent.path), caps=dict(spawned.caps), privileges=list(agent.privileges),
            incarnation=agent.incarnation,
        ),
    ]  # fmt: skip


def directives(
    spawned: Spawned, texts: Sequence[str], moment: Moment, *, hops: int, taint: tuple[str, ...] = ()
) -> list[Change]:
    agent = spawned.agent
    assert agent.parent is not None
    return [
        Post(
            down(agent.parent),
            stamped(
                Message(
                    sender=agent.parent, to=agent.id, kind=Kind.DIRECTIVE, mission=agent.mission,
                    at=moment.stamp, text=text, hops=hops,
                ),
                taint,
            ),
        )
        for text in texts
    ]  # fmt: skip


def decide_terminate(swarm: Swarm, by: str, target: Agent, *, is_sovereign: bool) -> Denied | None:
    """May `by` end `target`? A sovereign (operator, or the board by a carried motion) may end any agent.

    The board itself and its seats are ended by nobody: they are the swarm.
    """
    if target.tier == 0:
        return Denied(Rule.TERMINATE_DESCENDANT, f"{target.id} is the board's")
    if is_sovereign or swarm.lineage.is_ancestor(AgentId(by), target):
        return None
    return Denied(Rule.TERMINATE_DESCENDANT, f"{target.id} is no descendant of yours")


def fence(
    swarm: Swarm, segment: str, *, reason: str, by: str, moment: Moment, mission: str, order: str = "",
    hops: int = 0, taint: tuple[str, ...] = (),
) -> list[Change]:  # fmt: skip
    """Fence first: one mark, whatever lies below; then the hosts that run any of it are told."""
    if segment in swarm.lineage.fences:
        return []
    changes: list[Change] = [FenceSet(Fence(segment, reason, by, moment.now, order, hops=hops, taint=taint))]
    # The root of an ending subtree reads `draining` at once; of a mission these are its executives. Nothing here looks
    # at the others: a fence takes the same time however many there are.
    root = swarm.lineage.get(segment)
    for agent in (root,) if root is not None else swarm.executives(MissionId(segment)):
        changes.append(AgentSet(replace(agent, state=AgentState.DRAINING, reason=reason)))
    changes += fence_notices(swarm, segment, moment)
    changes.append(
        entry(
            moment, "fenced", f"{by} ends {segment}: {reason}", actor=by, mission=mission,
            segment=segment, more={"order": order, "outcome": "fenced"} if order else None,
        )
    )  # fmt: skip
    return changes


def fence_alone(
    swarm: Swarm, agent: Agent, *, reason: str, moment: Moment, hops: int = 0, taint: tuple[str, ...] = ()
) -> list[Change]:
    """The same for an agent without those below it, who have another parent from this commit on."""
    segment = f"={agent.id}"
    return [
        FenceSet(Fence(segment, reason, SUPERVISOR, moment.now, hops=hops, taint=taint)),
        AgentSet(replace(agent, state=AgentState.DRAINING, reason=reason)),
        *fence_notices(swarm, segment, moment),
        entry(
            moment, "fenced", f"{SUPERVISOR} ends {agent.id} alone: {reason}"[:2000], actor=SUPERVISOR,
            mission=agent.mission, segment=segment, agents=1,
        ),
    ]  # fmt: skip


def fence_notices(swarm: Swarm, segment: str, moment: Moment) -> list[Change]:
    """Tells each host to end what it runs below the segment, and to give its word."""
    hosts = sorted(swarm.lineage.hosts())
    return [
        Post(
            host_channel(host),
            Message(
                sender=SUPERVISOR, kind=Kind.FENCED, at=moment.stamp, text=segment, data={"segment": segment}
            ),
        )
        for host in hosts
    ]
