"""The law of the tree: who may make whom, with what, and who may end whom. Pure.

Every refusal names its rule. Nothing here knows of Redis, of time or of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from swarmd.core.ledger.tree import child_caps
from swarmd.core.model.changes import AccountOpened, AgentMade, Change, Post
from swarmd.core.model.channels import down, inbox
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Role
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, Path, StopKind, follows, mission_segments
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, AgentState, Authority, MissionId
from swarmd.core.model.privileges import SPAWN
from swarmd.core.model.provenance import stamped
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Swarm
from swarmd.core.model.timings import Moment
from swarmd.core.tasks.checking import vacuous
from swarmd.core.tree.rights import ChildRights, child_rights, may_use, roles_below

RATE_WINDOW_SECONDS = 60.0
FOREIGN_TOLD_MAX: Final = 6  # of a list of files that are not the giver's
# What a name was meant to be is looked for among so many, none longer: the time of a comparison
# grows with the cube of the length, and all wait for the supervisor meanwhile.
MEANT_AMONG_MAX: Final = 200
MEANT_CHARS_MAX: Final = 80


RULE_OF_STOP: Final = {
    StopKind.FREEZE: Rule.FROZEN,
    StopKind.DRAIN: Rule.DRAINING,
    StopKind.HALT: Rule.HALTED,
}


def decide_spawn(
    swarm: Swarm,
    parent: Agent,
    request: SpawnRequest,
    moment: Moment,
    *,
    mission: MissionId,
    pending: Sequence[Spawned] = (),
    is_overruled: bool = False,
) -> Spawned | Denied:
    """May `parent` create this agent? `pending` are those already allowed of the same motion.

    With `is_overruled` an operator answers for role, files and rights; limits and what is forbidden
    stay.

    `mission` is the parent's own, and for the board the one that its motion serves.
    """
    charter = request.charter
    role = _fitting_role(swarm, parent, request, mission, is_overruled=is_overruled)
    if isinstance(role, Denied):
        return role
    giver = swarm.lineage.agents[SOB] if is_overruled else parent
    denied = _there_is_room(swarm, parent, charter, request.key, mission, moment, pending)
    denied = (
        denied or foreign_file(swarm, giver, charter.files, mission) or _checks_say(giver, charter)
    )
    if denied is not None:
        return denied
    rights = child_rights(swarm, parent, charter, role, is_overruled=is_overruled)
    if isinstance(rights, Denied):
        return rights
    account = mission if parent.id == SOB else parent.id
    caps = child_caps(swarm, account, request, pending)
    if isinstance(caps, Denied):
        return caps
    return Spawned(_mint(swarm, parent, request, mission, rights, moment), caps, account)


def _fitting_role(
    swarm: Swarm, parent: Agent, request: SpawnRequest, mission: MissionId, *, is_overruled: bool
) -> Role | Denied:
    """The role of a child that its parent may make at all, whatever room there is for it."""
    charter = request.charter
    denied = _claims_no_more(parent, request) or _may_still_create(swarm, parent, mission)
    if denied is not None:
        return denied
    role = swarm.declared.roles.get(charter.role)
    if role is None:
        roles = swarm.declared.roles
        known = ", ".join(below.name for below in roles_below(parent, roles)) or "none"
        return Denied(Rule.SPAWN_ROLE, f"no role {charter.role}; you may create {known}")
    denied = _role_fits(swarm, parent, charter, role, is_overruled=is_overruled)
    if denied is None and not is_overruled:
        denied = _is_undone(swarm, parent, charter)
    return denied or role


def _claims_no_more(parent: Agent, request: SpawnRequest) -> Denied | None:
    if request.tier is not None and request.tier != parent.tier + 1:
        return Denied(Rule.SPAWN_TIER, f"asked for tier {request.tier}, yours is {parent.tier}")
    if request.parent is not None and request.parent != parent.id:
        return Denied(Rule.SPAWN_PARENT, f"asked for parent {request.parent}, you are {parent.id}")
    return None


def _may_still_create(swarm: Swarm, parent: Agent, mission: MissionId) -> Denied | None:
    if (
        swarm.lineage.is_fenced((*parent.path, *mission_segments(mission)))
        or parent.state is AgentState.DRAINING
    ):
        return Denied(Rule.ANCESTOR_ENDING)
    stop = swarm.lineage.stop_on(parent, *mission_segments(mission))
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
        is_same = after.get("undone") and (after["parent"], after["name"]) == (
            parent.id,
            charter.name,
        )
        if is_same and override.authority > authority:
            return Denied(
                Rule.OVERRIDE_ACTIVE, f"{override.id}, by {override.by}, undid {charter.name}"
            )
    return None


def _role_fits(
    swarm: Swarm, parent: Agent, charter: Charter, role: Role, *, is_overruled: bool
) -> Denied | None:
    if parent.tier + 1 not in role.tiers:
        return Denied(Rule.SPAWN_ROLE, f"{charter.role} may not stand at tier {parent.tier + 1}")
    return None if is_overruled else may_use(swarm, parent, SPAWN.path(charter.role))


def _there_is_room(
    swarm: Swarm,
    parent: Agent,
    charter: Charter,
    key: str,
    mission: MissionId,
    moment: Moment,
    pending: Sequence[Spawned],
) -> Denied | None:
    living = swarm.executives(mission) if parent.id == SOB else swarm.lineage.children(parent.id)
    siblings = (*living, *(spawned.agent for spawned in pending))
    denied = _beside(siblings, charter, key, swarm.declared.limits.children_max)
    return denied or _within_limits(swarm, mission, len(pending), moment.now)


def _beside(
    siblings: Sequence[Agent], charter: Charter, key: str, children_max: int
) -> Denied | None:
    if any(agent.name == charter.name for agent in siblings):
        return Denied(Rule.SPAWN_NAME, f"a living sibling is named {charter.name}")
    if any(agent.key == key for agent in siblings):
        return Denied(Rule.SPAWN_KEY, f"key {key} is a living child's")
    if len(siblings) >= children_max:
        return Denied(Rule.SPAWN_FANOUT, f"{len(siblings)} of {children_max} children")
    return None


def _within_limits(swarm: Swarm, mission: MissionId, pending: int, now: float) -> Denied | None:
    limits = swarm.declared.limits
    if len(swarm.lineage.agents) + pending >= limits.agents_max:
        return Denied(Rule.SPAWN_LIVE, f"{limits.agents_max} agents live")
    times = swarm.spawned_at.get(mission, ())
    if _is_too_fast(times, limits.spawns_per_minute - pending, now):
        return Denied(Rule.SPAWN_RATE, f"{limits.spawns_per_minute} a minute; wait")
    return None


def _is_too_fast(times: Sequence[float], allowed: int, now: float) -> bool:
    """Would one more be above `allowed` in the window? `times` are in order: one look tells."""
    if allowed <= 0:
        return True
    if len(times) < allowed:
        return False
    # What lies further ahead was stamped by a clock that was wrong: it must not refuse spawns until
    # that time comes.
    return now - RATE_WINDOW_SECONDS < times[-allowed] <= now + RATE_WINDOW_SECONDS


def foreign_file(
    swarm: Swarm, giver: Agent, files: Sequence[str], mission: MissionId
) -> Denied | None:
    """Those of these files that are not the giver's to give; the board gives its mission's."""
    held = _files_of(swarm, giver, mission)
    foreign = [name for name in files if not any(covers_file(holder, name) for holder in held)]
    if not foreign:
        return None
    of = "the mission's" if giver.id == SOB else "your"
    first, *others = foreign[:FOREIGN_TOLD_MAX]
    told = ", ".join((f"{first}{_meant(first, held)}", *others))
    return Denied(Rule.SPAWN_FILES, f"not among {of} files: {told}")


def _meant(name: str, held: Sequence[str]) -> str:
    """A name that is nearly the same, for whoever wrote it wrong."""
    if len(name) > MEANT_CHARS_MAX:
        return ""
    among = [one for one in held if len(one) <= MEANT_CHARS_MAX][:MEANT_AMONG_MAX]
    near = get_close_matches(name, among, n=1, cutoff=0.8)
    return f" (did you mean {near[0]}?)" if near else ""


def _checks_say(giver: Agent, charter: Charter) -> Denied | None:
    """Checks that take anything would accept work that nobody has done. What a person is asked
    about is what the board will deliver.
    """
    if giver.id != SOB and not all(check.is_looked_up for check in charter.checks):
        return Denied(Rule.SPAWN_CHECKS, "only the board asks a person: leave `person` out")
    taken = vacuous(charter.checks)
    detail = f"its checks would also take {taken}: add `contains`, `cites` or `metric`"
    if any(check.kind == "schema" for check in charter.checks):
        detail += ", or `required` and `minItems` to a schema"
    return Denied(Rule.SPAWN_CHECKS, detail) if taken else None


def _files_of(swarm: Swarm, agent: Agent, mission: MissionId) -> tuple[str, ...]:
    if agent.charter is not None:
        return agent.charter.files
    found = swarm.missions.get(mission)
    return () if found is None else found.readable_files


def covers_file(holder: str, name: str) -> bool:
    """A name stands for itself and, where it is a folder, for all below it."""
    return holder == name or name.startswith(holder.rstrip("/") + "/")


def _mint(
    swarm: Swarm,
    parent: Agent,
    request: SpawnRequest,
    mission: MissionId,
    rights: ChildRights,
    moment: Moment,
) -> Agent:
    id, charter = AgentId(moment.new_id("a")), request.charter
    above = _path_above(parent, mission)
    return Agent(
        id=id,
        name=charter.name,
        role=charter.role,
        tier=parent.tier + 1,
        parent=parent.id,
        path=(*above, id),
        mission=mission,
        created=moment.stamp,
        key=request.key,
        charter=charter,
        privileges=rights.privileges,
        grants=rights.grants,
        later=rights.later,
        deadline=_deadline(swarm, parent, charter, mission, moment),
    )


def _path_above(parent: Agent, mission: MissionId) -> Path:
    return (SOB, *mission_segments(mission)) if parent.id == SOB else parent.path


def _deadline(
    swarm: Swarm, parent: Agent, charter: Charter, mission: MissionId, moment: Moment
) -> float:
    """Its own, where its charter names one, and never later than its creator's; 0: the mission's
    alone.
    """
    if charter.deadline_s is None:
        return parent.deadline
    found = swarm.missions.get(mission)
    latest = parent.deadline or (found.deadline if found else 0.0)
    own = moment.now + charter.deadline_s
    return min(own, latest) if latest else own


def made(
    swarm: Swarm,
    spawned: Spawned,
    moment: Moment,
    *,
    hops: int = 0,
    taint: tuple[str, ...] = (),
    begins: bool = True,
) -> list[Change]:
    """What a spawn changes: record, account, first positions, the child's charter, the journal. One
    that does not begin yet gets its charter later (`first_words`).
    """
    agent = replace(spawned.agent, taint=taint) if taint else spawned.agent
    words = [Post(inbox(agent.id), first_words(agent, moment, hops, taint))] if begins else []
    return [
        AgentMade(agent, follows(agent, swarm.declared.rooms)),
        AccountOpened(agent.id, spawned.account, spawned.caps, own_slot=True),
        *words,
        _spawn_entry(agent, spawned.caps, moment),
    ]


def first_words(agent: Agent, moment: Moment, hops: int, taint: tuple[str, ...]) -> Message:
    assert agent.charter is not None
    return _words_to(agent, Kind.CHARTER, agent.charter.task, moment, hops=hops, taint=taint)


def _words_to(
    agent: Agent, kind: Kind, text: str, moment: Moment, *, hops: int, taint: tuple[str, ...]
) -> Message:
    """Of its creator."""
    assert agent.parent is not None
    message = Message(
        sender=agent.parent,
        to=agent.id,
        kind=kind,
        mission=agent.mission,
        at=moment.stamp,
        text=text,
        hops=hops,
    )
    return stamped(message, taint)


def _spawn_entry(agent: Agent, caps: Mapping[str, int], moment: Moment) -> Post:
    return entry(
        moment,
        JournalEvent.AGENT_SPAWNED,
        f"{agent.parent} created {agent.role} {agent.name} ({agent.id})",
        actor=str(agent.parent),
        mission=agent.mission,
        agent=agent.id,
        tier=agent.tier,
        path="/".join(agent.path),
        caps=dict(caps),
        privileges=list(agent.privileges),
        incarnation=agent.incarnation,
    )


def directives(
    spawned: Spawned,
    texts: Sequence[str],
    moment: Moment,
    *,
    hops: int,
    taint: tuple[str, ...] = (),
) -> list[Change]:
    agent = spawned.agent
    assert agent.parent is not None
    channel = down(agent.parent)
    return [
        Post(channel, _words_to(agent, Kind.DIRECTIVE, text, moment, hops=hops, taint=taint))
        for text in texts
    ]


def created_facts(request: SpawnRequest, spawned: Spawned) -> dict[str, object]:
    """What its creator is told of an agent that was made."""
    return {
        "key": request.key,
        "outcome": "created",
        "agent": spawned.agent.id,
        "caps": dict(spawned.caps),
    }
