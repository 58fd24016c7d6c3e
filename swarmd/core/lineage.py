"""The tree of agents, as the supervisor knows it: who was made by whom, and what is ending.

A path names every ancestor and the mission: `sob/<mission>/<executive>/<sub-agent>`. One mark on one
segment (a fence) therefore ends everything that lies below it, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from swarmd.core.moves import Charter
from swarmd.core.names import SOB, AgentId, AgentState, Channel, HostId, MissionId, down, inbox, room, up
from swarmd.core.rules import Room

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
    privileges: tuple[str, ...] = ()

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

    It counts how the end of each agent below it was seen, so that a supervisor that takes over in the
    middle tells the whole of it.
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


@dataclass(slots=True)
class Lineage:
    """All agents that are not terminated, and the fences. Changed by the supervisor alone."""

    agents: dict[AgentId, Agent] = field(default_factory=dict)
    fences: dict[str, Fence] = field(default_factory=dict)
    _children: dict[AgentId, dict[AgentId, None]] = field(default_factory=dict)

    def get(self, id: str) -> Agent | None:
        return self.agents.get(AgentId(id))

    def put(self, agent: Agent) -> None:
        if agent.state is AgentState.TERMINATED:
            self._forget(agent)
            return
        self.agents[agent.id] = agent
        if agent.parent is not None:
            self._children.setdefault(agent.parent, {})[agent.id] = None

    def _forget(self, agent: Agent) -> None:
        self.agents.pop(agent.id, None)
        self._children.pop(agent.id, None)
        if agent.parent is not None:
            self._children.get(agent.parent, {}).pop(agent.id, None)

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
        """All living agents whose path has this segment, deepest first."""
        found = [agent for agent in self.agents.values() if segment in agent.path]
        found.sort(key=lambda agent: (-agent.tier, agent.id))
        return tuple(found)

    def is_fenced(self, path: Path) -> bool:
        return any(segment in self.fences for segment in path)

    def is_ancestor(self, ancestor: AgentId, agent: Agent) -> bool:
        """Proper ancestry: nobody is an ancestor of itself."""
        return ancestor != agent.id and ancestor in agent.path

    def hosted(self) -> Iterator[Agent]:
        return (agent for agent in self.agents.values() if agent.is_hosted)


def missions_rooms(agent: Agent, rooms: Mapping[str, Room]) -> tuple[tuple[Room, Channel], ...]:
    """The rooms that an agent is a member of, with the channel each has for it."""
    found = []
    for declared in rooms.values():
        if agent.tier not in declared.tiers or (declared.roles and agent.role not in declared.roles):
            continue
        if declared.scope == "mission" and not agent.mission:
            continue
        name = declared.name if declared.scope == "swarm" else f"{declared.name}-{agent.mission}"
        found.append((declared, room(name)))
    return tuple(found)


def follows(agent: Agent, rooms: Mapping[str, Room]) -> tuple[Channel, ...]:
    """Every channel that an agent reads: its inbox, its superior's directives, its reports, its rooms."""
    channels = [inbox(agent.id)]
    if agent.parent is not None:
        channels += [down(agent.parent), up(agent.id)]
    channels += [channel for _, channel in missions_rooms(agent, rooms)]
    return tuple(channels)


def ended(agent: Agent, *, reason: str, at: str) -> Agent:
    return replace(agent, state=AgentState.TERMINATED, reason=reason, ended=at, host=HostId(""))
