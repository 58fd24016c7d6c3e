"""The law of the tree: who may make whom, with what, and who may end whom. Pure.

Every refusal names its rule. Nothing here knows of Redis, of time or of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from swarmd.core.lineage import Agent, Fence, follows
from swarmd.core.messages import Message
from swarmd.core.moves import Charter
from swarmd.core.names import (
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    Kind,
    MissionId,
    Rule,
    down,
    host_channel,
    inbox,
)
from swarmd.core.privileges import is_covered, is_path, overlaps, uncovered
from swarmd.core.requests import SpawnRequest
from swarmd.core.rules import Limits, Role
from swarmd.core.swarm import (
    KINDS,
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

RATE_WINDOW_SECONDS = 60.0


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
) -> Spawned | Denied:
    """May `parent` create this agent? `pending` are those already allowed of the `together` in the same motion.

    `mission` is the parent's own, and for the board the one that its motion serves.
    """
    charter = request.charter
    role = swarm.declared.roles.get(charter.role)
    denied = (
        _claims_no_more(parent, request)
        or _may_still_create(swarm, parent, mission)
        or _role_fits(swarm, parent, charter, role)
        or _there_is_room(swarm, parent, charter, request.key, mission, moment, pending)
        or _files_are_covered(swarm, parent, charter, mission)
    )
    if denied:
        return denied
    assert role is not None
    privileges = _privileges(parent, charter, role, swarm.declared.limits)
    if isinstance(privileges, Denied):
        return privileges
    account = mission if parent.id == SOB else parent.id
    caps = _caps(swarm, account, charter, pending, together)
    if isinstance(caps, Denied):
        return caps
    return Spawned(_mint(parent, request, mission, privileges, moment), caps, account)


def roles_below(parent: Agent, roles: Mapping[str, Role]) -> tuple[Role, ...]:
    """The roles that an agent may create: those of the next tier for which it holds `spawn/ROLE`."""
    return tuple(
        role for role in roles.values()
        if parent.tier + 1 in role.tiers and is_covered(f"spawn/{role.name}", parent.privileges)
    )  # fmt: skip


def _claims_no_more(parent: Agent, request: SpawnRequest) -> Denied | None:
    if request.tier is not None and request.tier != parent.tier + 1:
        return Denied(Rule.SPAWN_TIER, f"asked for tier {request.tier}, yours is {parent.tier}")
    if request.parent is not None and request.parent != parent.id:
        return Denied(Rule.SPAWN_PARENT, f"asked for parent {request.parent}, you are {parent.id}")
    return None


def _may_still_create(swarm: Swarm, parent: Agent, mission: MissionId) -> Denied | None:
    if swarm.lineage.is_fenced((*parent.path, mission)) or parent.state is AgentState.DRAINING:
        return Denied(Rule.ANCESTOR_ENDING)
    if parent.tier + 1 > swarm.declared.limits.depth_max:
        return Denied(
            Rule.SPAWN_DEPTH, f"tier {parent.tier + 1} of at most {swarm.declared.limits.depth_max}"
        )
    return None


def _role_fits(swarm: Swarm, parent: Agent, charter: Charter, role: Role | None) -> Denied | None:
    if role is None:
        return Denied(Rule.SPAWN_ROLE, f"no role {charter.role}; there are {', '.join(swarm.declared.roles)}")
    if parent.tier + 1 not in role.tiers:
        return Denied(Rule.SPAWN_ROLE, f"{charter.role} may not stand at tier {parent.tier + 1}")
    if not is_covered(f"spawn/{charter.role}", parent.privileges):
        return Denied(Rule.PRIVILEGE_USE, f"spawn/{charter.role}")
    return None


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
    siblings = swarm.executives(mission) if parent.id == SOB else swarm.lineage.children(parent.id)
    names = {agent.name for agent in siblings} | {spawned.agent.name for spawned in pending}
    if charter.name in names:
        return Denied(Rule.SPAWN_NAME, f"a living sibling is named {charter.name}")
    if key in {agent.key for agent in siblings} | {spawned.agent.key for spawned in pending}:
        return Denied(Rule.SPAWN_KEY, f"key {key} is a living child's")
    if len(siblings) + len(pending) >= limits.children_max:
        return Denied(Rule.SPAWN_FANOUT, f"{len(siblings) + len(pending)} of {limits.children_max} children")
    if len(swarm.lineage.agents) + len(pending) >= limits.agents_max:
        return Denied(Rule.SPAWN_LIVE, f"{limits.agents_max} agents live")
    if _is_too_fast(swarm.spawned_at.get(mission, ()), limits.spawns_per_minute - len(pending), moment.now):
        return Denied(Rule.SPAWN_RATE, f"{limits.spawns_per_minute} a minute; wait")
    return None


def _is_too_fast(times: Sequence[float], allowed: int, now: float) -> bool:
    """Would one more be above `allowed` in the window? `times` are in order: one look tells."""
    if allowed <= 0:
        return True
    return len(times) >= allowed and times[-allowed] > now - RATE_WINDOW_SECONDS


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


def _privileges(parent: Agent, charter: Charter, role: Role, limits: Limits) -> tuple[str, ...] | Denied:
    asked = charter.privileges
    if asked is None:
        # The role's own, as far as the creator holds them and nothing forbids them.
        return tuple(
            path
            for path in role.privileges
            if is_covered(path, parent.privileges) and not any(overlaps(path, no) for no in limits.forbidden)
        )
    for path in asked:
        if not is_path(path):
            return Denied(Rule.PRIVILEGE_SUBSET, f"{path!r} is no privilege path")
        if any(overlaps(path, no) for no in limits.forbidden):
            return Denied(Rule.PRIVILEGE_FORBIDDEN, path)
    missing = uncovered(asked, parent.privileges)
    if missing:
        return Denied(Rule.PRIVILEGE_SUBSET, ", ".join(missing))
    return asked


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
        if caps[kind] < 1:
            return Denied(Rule.BUDGET_EXHAUSTED, f"{kind}: {left[kind]} free")
    return caps


def _kept_for_the_board(swarm: Swarm, account: str) -> dict[str, int]:
    """Of a mission's budget a part stays the board's: it must be able to review and to deliver."""
    mission = swarm.missions.get(MissionId(account))
    if mission is None:
        return {}
    percent = swarm.declared.limits.board_percent
    return {kind: mission.budget[kind] * percent // 100 for kind in ("tokens", "calls")}


def _mint(
    parent: Agent, request: SpawnRequest, mission: MissionId, privileges: tuple[str, ...], moment: Moment
) -> Agent:
    id = AgentId(moment.new_id("a"))
    above = (SOB, mission) if parent.id == SOB else parent.path
    return Agent(
        id=id, name=request.charter.name, role=request.charter.role, tier=parent.tier + 1, parent=parent.id,
        path=(*above, id), mission=mission, created=moment.stamp, key=request.key, charter=request.charter,
        privileges=privileges,
    )  # fmt: skip


def made(swarm: Swarm, spawned: Spawned, moment: Moment, *, hops: int = 0) -> list[Change]:
    """What a spawn changes: record, account, first positions, the child's charter, the journal."""
    agent = spawned.agent
    assert agent.parent is not None
    assert agent.charter is not None
    first = Message(
        sender=agent.parent, to=agent.id, kind=Kind.CHARTER, mission=agent.mission, at=moment.stamp,
        text=agent.charter.task, hops=hops,
    )  # fmt: skip
    return [
        AgentMade(agent, follows(agent, swarm.declared.rooms)),
        AccountOpened(agent.id, spawned.account, spawned.caps, own_slot=True),
        Post(inbox(agent.id), first),
        entry(
            moment, "spawned", f"{agent.parent} created {agent.role} {agent.name} ({agent.id})",
            actor=agent.parent, mission=agent.mission, agent=agent.id, tier=agent.tier,
            path="/".join(agent.path), caps=dict(spawned.caps), privileges=list(agent.privileges),
        ),
    ]  # fmt: skip


def directives(spawned: Spawned, texts: Sequence[str], moment: Moment, *, hops: int) -> list[Change]:
    agent = spawned.agent
    assert agent.parent is not None
    return [
        Post(
            down(agent.parent),
            Message(
                sender=agent.parent, to=agent.id, kind=Kind.DIRECTIVE, mission=agent.mission,
                at=moment.stamp, text=text, hops=hops,
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
    hops: int = 0,
) -> list[Change]:  # fmt: skip
    """Fence first: one mark, whatever lies below; then the hosts that run any of it are told."""
    if segment in swarm.lineage.fences:
        return []
    below = swarm.lineage.below(segment)
    changes: list[Change] = [FenceSet(Fence(segment, reason, by, moment.now, order, hops=hops))]
    for agent in below:
        # The root of an ending subtree reads `draining` at once; of a mission these are its executives.
        if agent.id == segment or (agent.tier == 1 and agent.mission == segment):
            changes.append(AgentSet(replace(agent, state=AgentState.DRAINING, reason=reason)))
    changes += fence_notices(swarm, segment, moment)
    changes.append(
        entry(
            moment, "fenced", f"{by} ends {segment}: {reason}", actor=by, mission=mission,
            segment=segment, agents=len(below), more={"order": order, "outcome": "fenced"} if order else None,
        )
    )  # fmt: skip
    return changes


def fence_notices(swarm: Swarm, segment: str, moment: Moment) -> list[Change]:
    """Tells each host that runs something below the segment to end it and give its word."""
    hosts = sorted({agent.host for agent in swarm.lineage.below(segment) if agent.host})
    return [
        Post(
            host_channel(host),
            Message(
                sender=SUPERVISOR, kind=Kind.FENCED, at=moment.stamp, text=segment, data={"segment": segment}
            ),
        )
        for host in hosts
    ]
