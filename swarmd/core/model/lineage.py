"""The tree of agents, as the supervisor knows it: who was made by whom, and what is ending.

A path names every ancestor, the mission and the person on whose behalf it runs:
`sob/@owner/<mission>/<executive>/<sub-agent>`. One mark on one segment (a fence) therefore ends
everything that lies below it, whatever its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from swarmd.core.model.channels import down, inbox, room, up
from swarmd.core.model.names import (
    OWNER,
    SOB,
    AgentId,
    AgentState,
    Authority,
    Channel,
    HostId,
    MissionId,
)
from swarmd.core.model.privileges import Held, Revocation, Right, holdings, live_holding

if TYPE_CHECKING:
    # Faces read the marks that are declared here, and start without pydantic.
    from swarmd.core.model.charter import Charter
    from swarmd.core.model.declarations import Room

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent's record: the hash `swarm:agent:<id>`. Times are ISO-8601 UTC, empty where none."""

    id: AgentId
    name: str
    role: str
    tier: int
    parent: AgentId | None
    path: Path
    mission: MissionId = MissionId("")
    state: AgentState = AgentState.STARTING
    reason: str = ""
    incarnation: int = 1
    host: HostId = HostId("")
    lease: int = 0
    created: str = ""
    ended: str = ""
    key: str = ""  # the requester's own key of the spawn request
    charter: Charter | None = None
    taint: tuple[str, ...] = ()  # what whoever wrote its charter had read
    privileges: tuple[str, ...] = ()  # paths that it may use
    grants: tuple[str, ...] = ()  # paths that it may hand out
    later: tuple[
        Held, ...
    ] = ()  # of both, those with a number of their own: granted after a revocation could be
    deadline: float = 0.0  # seconds since the epoch, inherited; 0 where the mission's alone counts
    crashes: tuple[float, ...] = ()  # when it crashed lately, for the restart intensity

    def holdings(self, right: Right) -> tuple[Held, ...]:
        """What it was given of a right, with each path's number. Marks are not looked at."""
        return holdings(
            self.grants if right == "grant" else self.privileges,
            self.later,
            right,
            self.parent or "",
        )

    def holding(self, held: Held) -> Agent:
        """With this holding, in place of one of the same path and right."""
        known = "grants" if held.right == "grant" else "privileges"
        kept = tuple(h for h in self.later if (h.path, h.right) != (held.path, held.right))
        paths = tuple(dict.fromkeys((*getattr(self, known), held.path)))
        changed = replace(self, later=(*kept, held))
        return (
            replace(changed, grants=paths)
            if known == "grants"
            else replace(changed, privileges=paths)
        )

    def without(self, held: Held) -> Agent:
        """Without this holding."""
        kept = replace(self, later=tuple(h for h in self.later if h != held))
        if held.right == "grant":
            return replace(kept, grants=tuple(path for path in kept.grants if path != held.path))
        return replace(
            kept, privileges=tuple(path for path in kept.privileges if path != held.path)
        )

    @property
    def is_seat(self) -> bool:
        return self.tier == 0 and self.id != SOB

    @property
    def is_hosted(self) -> bool:
        """Only the board itself has no model and runs nowhere."""
        return self.id != SOB

    @property
    def account(self) -> str:
        """The account its calls are charged to. A seat's are charged to the mission it serves."""
        return self.id


@dataclass(frozen=True, slots=True)
class Fence:
    """A mark on a path segment: nothing begins below it any more.

    It counts how the end of each agent below it was seen, so that a supervisor that takes over in
    the middle tells the whole of it.
    """

    segment: str
    reason: str
    by: str
    at: float
    order: str = ""  # the operator's order that it answers, if any
    confirmed: int = 0
    unconfirmed: int = 0
    unreachable: int = 0
    hops: int = 0  # of what asked for it: the notice of the end goes on from there
    is_settled: bool = False  # of a mission: its account is closed, the result can be told
    taint: tuple[str, ...] = ()  # of the turn that gave the reason


EVERYTHING = "*"


class StopKind(StrEnum):
    """How firmly: `freeze` lets calls under way end, `halt` cancels them, `drain` lets whole
    turns end and then ends.
    """

    FREEZE = "freeze"
    DRAIN = "drain"
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Stop:
    """A mark under which nothing begins; unlike a fence it can be lifted again.

    `target` is a path segment (an agent and all below it, a mission), `=AGENT` (that agent alone),
    `tier:N`, `room:CHANNEL`, `use:PRIVILEGE` (a tool, a model) or `*`.
    """

    target: str
    kind: StopKind
    authority: Authority
    reason: str
    by: str
    at: float
    order: str = ""
    rule: str = ""  # why the supervisor itself stopped it, such as an empty account
    until: float = 0.0  # of a drain: then it ends; of an unfunded agent: then it is given up
    is_told: bool = False  # what was seen of it has been answered

    def holds(self, agent: Agent) -> bool:
        """Is the agent stopped by it? Rooms and privileges stop single actions, not agents."""
        target = self.target
        return target in stop_fields(agent) or target in agent.path


def mission_segments(mission: MissionId) -> tuple[str, ...]:
    """What stands in a path between the board and the executives of a mission. What a seat does
    for a mission is held by marks on these segments too.
    """
    return (OWNER, mission)


def is_place(agent: Agent) -> bool:
    """Is its path one that the law makes? It is believed by every mark, so a record that says
    something else is no record of ours. Whoever was adopted keeps the path that it was made with.
    """
    if agent.tier == 0:
        return agent.path == (agent.id,) and agent.parent is None
    above = (SOB, *mission_segments(agent.mission))
    creators = (SOB, *agent.path[len(above) : -1])
    return (
        agent.path[: len(above)] == above
        and len(agent.path) == len(above) + agent.tier
        and agent.path[-1] == agent.id
        and agent.parent in creators
    )


def stop_fields(agent: Agent) -> tuple[str, ...]:
    """The targets, beside its path's segments, under which an agent is stopped."""
    return stop_targets(agent.id, agent.tier)


def stop_targets(id: str, tier: int | str | None) -> tuple[str, ...]:
    """The same, of a record as it is stored. Whoever stops the board means its seats too, and
    they have no path below it.
    """
    of_the_board = (SOB,) if str(tier) == "0" else ()
    return (f"={id}", f"tier:{'' if tier is None else tier}", EVERYTHING, *of_the_board)


@dataclass(slots=True)
class Lineage:
    """All agents that are not terminated, and the marks. Changed by the supervisor alone."""

    agents: dict[AgentId, Agent] = field(default_factory=dict)
    fences: dict[str, Fence] = field(default_factory=dict)
    stops: dict[str, Stop] = field(default_factory=dict)
    revocations: dict[str, tuple[Revocation, ...]] = field(default_factory=dict)
    _children: dict[AgentId, dict[AgentId, None]] = field(default_factory=dict)
    # Kept by `put`, for what is asked at every step must not take longer with every agent.
    _on: dict[HostId, dict[AgentId, None]] = field(default_factory=dict)
    _tiers: dict[MissionId, Counter[int]] = field(default_factory=dict)

    def get(self, id: str) -> Agent | None:
        return self.agents.get(AgentId(id))

    def put(self, agent: Agent) -> None:
        if agent.state is AgentState.TERMINATED:
            self._forget(agent)
            return
        before = self.agents.get(agent.id)
        self.agents[agent.id] = agent
        if before is None:
            self._tiers.setdefault(agent.mission, Counter())[agent.tier] += 1
        elif before.host != agent.host:
            self._on[before.host].pop(agent.id, None)
        if agent.is_hosted:
            self._on.setdefault(agent.host, {})[agent.id] = None
        if agent.parent is not None:
            self._children.setdefault(agent.parent, {})[agent.id] = None

    def _forget(self, agent: Agent) -> None:
        before = self.agents.pop(agent.id, None)
        if before is not None:
            self._on.get(before.host, {}).pop(agent.id, None)
            tiers = self._tiers[before.mission]
            tiers[before.tier] -= 1
            if not tiers.total():
                del self._tiers[before.mission]
        self._children.pop(agent.id, None)
        if agent.parent is not None:
            self._children.get(agent.parent, {}).pop(agent.id, None)

    def on(self, host: HostId) -> Collection[AgentId]:
        """The agents that a host has; of an empty name, those that have none."""
        return self._on.get(host, {}).keys()

    def hosts(self) -> tuple[HostId, ...]:
        """The hosts that have any agent."""
        return tuple(host for host, agents in self._on.items() if host and agents)

    def tiers(self, mission: MissionId) -> Mapping[int, int]:
        """How many agents of a mission live at each tier."""
        return {tier: n for tier, n in sorted(self._tiers.get(mission, {}).items()) if n}

    def leave(self, id: AgentId, parent: AgentId) -> None:
        """No child of that parent's any more."""
        self._children.get(parent, {}).pop(id, None)

    def children(self, id: AgentId) -> tuple[Agent, ...]:
        """Living direct children, in the order they were made."""
        return tuple(self.agents[child] for child in self._children.get(id, ()))

    def child_count(self, id: AgentId) -> int:
        return len(self._children.get(id, ()))

    def find_child(self, parent: AgentId, reference: str) -> Agent | None:
        """A living child by id, by the key of its spawn or by name, in this order."""
        children = self.children(parent)
        for attribute in ("id", "key", "name"):
            for child in children:
                if getattr(child, attribute) == reference:
                    return child
        return None

    def below(self, segment: str) -> tuple[Agent, ...]:
        """All living agents whose path has this segment, deepest first; of `=AGENT` that one
        alone.
        """
        if segment.startswith("="):
            alone = self.get(segment[1:])
            return () if alone is None else (alone,)
        found = [agent for agent in self.agents.values() if segment in agent.path]
        found.sort(key=lambda agent: (-agent.tier, agent.id))
        return tuple(found)

    def is_fenced(self, path: Path) -> bool:
        return any(segment in self.fences for segment in path)

    def is_ending(self, agent: Agent) -> bool:
        """With all above it, or alone: what was adopted from it goes on."""
        return self.is_fenced(agent.path) or f"={agent.id}" in self.fences

    def stop_on(self, agent: Agent, *segments: str) -> Stop | None:
        """The mark that stops this agent, if any; `segments` are more of it, such as a seat's
        mission.
        """
        for target in (*agent.path, *segments, *stop_fields(agent)):
            if target in self.stops:
                return self.stops[target]
        return None

    def stopped_by(self, target: str) -> tuple[Agent, ...]:
        """All living agents that a stop on this target holds, seats included where it is
        everything or the board.
        """
        return tuple(agent for agent in self._under(target) if agent.is_hosted)

    def _under(self, target: str) -> Iterable[Agent]:
        agents = self.agents.values()
        if target == EVERYTHING:
            return agents
        if target.startswith("="):
            alone = self.get(target[1:])
            return () if alone is None else (alone,)
        if target == SOB or target.startswith("tier:"):
            return (agent for agent in agents if target in (*agent.path, *stop_fields(agent)))
        return (agent for agent in agents if target in agent.path)

    def marks_on(self, agent: Agent) -> tuple[Revocation, ...]:
        """The revocations that reach an agent: those on a segment of its path."""
        if not self.revocations:
            return ()
        return tuple(mark for segment in agent.path for mark in self.revocations.get(segment, ()))

    def may(self, agent: Agent, path: str, right: Right = "use", *, whole: bool = False) -> bool:
        """Does the agent hold this right over the path now?"""
        return (
            live_holding(path, right, agent.holdings(right), self.marks_on(agent), whole=whole)
            is not None
        )

    def is_ancestor(self, ancestor: AgentId, agent: Agent) -> bool:
        """Proper ancestry: nobody is an ancestor of itself."""
        return ancestor != agent.id and ancestor in agent.path

    def hosted(self) -> Iterator[Agent]:
        return (agent for agent in self.agents.values() if agent.is_hosted)


def missions_rooms(agent: Agent, rooms: Mapping[str, Room]) -> tuple[tuple[Room, Channel], ...]:
    """The rooms that an agent is a member of, with the channel each has for it."""
    found = []
    for declared in rooms.values():
        if agent.tier not in declared.tiers or (
            declared.roles and agent.role not in declared.roles
        ):
            continue
        if declared.scope == "mission" and not agent.mission:
            continue
        name = declared.name if declared.scope == "swarm" else f"{declared.name}-{agent.mission}"
        found.append((declared, room(name)))
    return tuple(found)


def follows(agent: Agent, rooms: Mapping[str, Room]) -> tuple[Channel, ...]:
    """Every channel that an agent reads: its inbox, its superior's directives, its reports, its
    rooms.
    """
    channels = [inbox(agent.id)]
    if agent.parent is not None:
        channels += [down(agent.parent), up(agent.id)]
    channels += [channel for _, channel in missions_rooms(agent, rooms)]
    return tuple(channels)


def ended(agent: Agent, *, reason: str, at: str) -> Agent:
    return replace(agent, state=AgentState.TERMINATED, reason=reason, ended=at, host=HostId(""))
