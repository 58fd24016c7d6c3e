"""What the supervisor knows of the swarm, and the changes by which it alone moves on.

A decision returns changes; `Swarm.apply` does them in memory, `adapters.redis.commit` writes the same
list in one atomic step. Invariant: memory is what Redis holds after the last commit that succeeded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from swarmd.core.board import Procedure
from swarmd.core.lineage import Agent, Fence, Lineage
from swarmd.core.messages import Message
from swarmd.core.names import (
    JOURNAL,
    SUPERVISOR,
    AgentId,
    Channel,
    HostId,
    Kind,
    MissionId,
    MissionState,
    Rule,
)
from swarmd.core.rules import Declarations

KINDS = ("tokens", "calls", "agents")
Caps = Mapping[str, int]

# Of each mission, for the spawn rate: more than any declared rate that a person would mean.
SPAWNS_REMEMBERED = 10_000


def epoch_of(stamp: str) -> float:
    """Seconds since the epoch of an ISO-8601 stamp."""
    return datetime.fromisoformat(stamp).timestamp()


def stamp_of(now: float) -> str:
    """ISO-8601 UTC with milliseconds."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mission:
    """One mission: the hash `swarm:mission:<id>`. `deadline` is seconds since the epoch."""

    id: MissionId
    text: str
    state: MissionState
    budget: Caps
    files: tuple[str, ...] = ()
    digest: str = ""  # of the content as submitted: the same id with other content is refused
    reason: str = ""
    result: str = ""
    created: str = ""
    ended: str = ""
    deadline: float = 0.0
    asked_files: tuple[str, ...] = ()  # as submitted; `files` is what they stand for
    # Decided, and waiting until its subtree is ended and its account closed.
    ending: MissionState | None = None


@dataclass(frozen=True, slots=True)
class ExecutiveReport:
    """The last report of an executive of a mission; `is_done` when it was its final one."""

    agent: AgentId
    name: str
    text: str
    files: tuple[str, ...] = ()
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """A worker process as it described itself when it came."""

    id: HostId
    capacity: int
    workspace: str  # identity of the workspace it has, empty where none


# --- changes ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentMade:
    agent: Agent
    follows: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class AgentSet:
    """A new record of a living agent."""

    agent: Agent


@dataclass(frozen=True, slots=True)
class AgentReaped:
    """The record says terminated; mailbox and state are gone. `record` is the ended one."""

    record: Agent
    forget_at: float


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """Carved from its parent's free. `parent` is empty for the root. `own_slot`: an agent lives on it."""

    id: str
    parent: str
    caps: Caps
    own_slot: bool


@dataclass(frozen=True, slots=True)
class AccountClosed:
    """Free and spent go to the parent; open calls in `journals` are settled at their full reserve."""

    id: str
    parent: str
    journals: tuple[AgentId, ...]


@dataclass(frozen=True, slots=True)
class FenceSet:
    fence: Fence


@dataclass(frozen=True, slots=True)
class FenceLifted:
    """Below it nothing lives any more, so nothing is left to refuse."""

    segment: str


@dataclass(frozen=True, slots=True)
class MissionSet:
    mission: Mission


@dataclass(frozen=True, slots=True)
class MissionClosed:
    mission: Mission
    forget_at: float


@dataclass(frozen=True, slots=True)
class BoardSet:
    mission: MissionId
    procedure: Procedure


@dataclass(frozen=True, slots=True)
class ReportSet:
    mission: MissionId
    report: ExecutiveReport


@dataclass(frozen=True, slots=True)
class HostGone:
    host: HostId


@dataclass(frozen=True, slots=True)
class Post:
    channel: Channel
    message: Message


Change = (
    AgentMade
    | AgentSet
    | AgentReaped
    | AccountOpened
    | AccountClosed
    | FenceSet
    | FenceLifted
    | MissionSet
    | MissionClosed
    | BoardSet
    | ReportSet
    | HostGone
    | Post
)


@dataclass(frozen=True, slots=True)
class Denied:
    """A request is refused: the rule, and the facts that it was decided on."""

    rule: Rule
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else str(self.rule)


@dataclass(frozen=True, slots=True)
class Moment:
    """Time and ids, passed in: `stamp` is `now` as ISO-8601."""

    now: float
    stamp: str
    ids: Iterable[str]

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{next(iter(self.ids))}"


@dataclass(slots=True)
class Ending:
    """A subtree on its way out, and whose word was given.

    Not stored: after a restart it is made anew from the fence, and the hosts are asked again. What was
    counted is in the fence, for a commit that was refused must not count.
    """

    since: float
    words: set[HostId] = field(default_factory=set)


@dataclass(slots=True)
class Swarm:
    """The supervisor's memory. `free` is what each account asked for had left when it was read."""

    declared: Declarations
    lineage: Lineage = field(default_factory=Lineage)
    missions: dict[MissionId, Mission] = field(default_factory=dict)
    boards: dict[MissionId, Procedure] = field(default_factory=dict)
    reports: dict[MissionId, dict[AgentId, ExecutiveReport]] = field(default_factory=dict)
    hosts: dict[HostId, Host] = field(default_factory=dict)
    free: dict[str, dict[str, int]] = field(default_factory=dict)
    spawned_at: dict[MissionId, deque[float]] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    seat_failures: dict[MissionId, str] = field(default_factory=dict)  # the last, to explain a failed debate
    digests: dict[MissionId, tuple[float, str]] = field(default_factory=dict)  # when and what was told last

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:  # noqa: PLR0912 - one row for each kind of change
        match change:
            case AgentMade(agent, _):
                self.lineage.put(agent)
                self.note_spawn(agent)
            case AgentSet(agent) | AgentReaped(agent, _):
                self.lineage.put(agent)
            case AccountOpened(id, parent, caps, own_slot):
                self._carve(parent, caps)
                self.free[id] = {kind: caps.get(kind, 0) for kind in KINDS}
                if own_slot:
                    self.free[id]["agents"] -= 1
            case AccountClosed(id, parent, _):
                self.free.pop(id, None)
                # What comes back is known to the store alone: read anew before the next decision.
                self.free.pop(parent, None)
            case FenceSet(fence):
                self.lineage.fences[fence.segment] = fence
                self.endings.setdefault(fence.segment, Ending(fence.at))
            case FenceLifted(segment):
                self.lineage.fences.pop(segment, None)
                self.endings.pop(segment, None)
            case MissionSet(mission):
                self.missions[mission.id] = mission
            case MissionClosed(mission, _):
                for known in (
                    self.missions,
                    self.boards,
                    self.reports,
                    self.spawned_at,
                    self.seat_failures,
                    self.digests,
                ):
                    known.pop(mission.id, None)
            case BoardSet(id, procedure):
                self.boards[id] = procedure
            case ReportSet(id, report):
                self.reports.setdefault(id, {})[report.agent] = report
            case HostGone(host):
                self.hosts.pop(host, None)
            case Post():
                pass

    def note_spawn(self, agent: Agent) -> None:
        window = self.spawned_at.setdefault(agent.mission, deque(maxlen=SPAWNS_REMEMBERED))
        window.append(epoch_of(agent.created))

    def _carve(self, parent: str, caps: Caps) -> None:
        free = self.free.get(parent)
        if free is not None:
            for kind in KINDS:
                free[kind] -= caps.get(kind, 0)

    def executives(self, mission: MissionId) -> tuple[Agent, ...]:
        """The living executives of a mission."""
        return tuple(a for a in self.lineage.children(AgentId("sob")) if a.mission == mission)

    def seats(self) -> tuple[Agent, ...]:
        return tuple(agent for agent in self.lineage.agents.values() if agent.is_seat)


@dataclass(slots=True)
class Draft:
    """Decisions in the making: each change is applied at once, so that the next sees it."""

    swarm: Swarm
    moment: Moment
    changes: list[Change] = field(default_factory=list)

    def add(self, *changes: Change) -> None:
        self.swarm.apply(changes)
        self.changes.extend(changes)


def entry(
    moment: Moment,
    event: str,
    text: str,
    *,
    actor: str,
    mission: str = "",
    rule: Rule | None = None,
    more: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Post:
    """A journal entry: who did what under which rule, as data and as a line for people."""
    data: dict[str, Any] = {"event": event, "actor": actor}
    if rule is not None:
        data["rule"] = rule.value
    data |= facts
    data |= more or {}
    message = Message(
        sender=SUPERVISOR, kind=Kind.ENTRY, mission=MissionId(mission), at=moment.stamp, text=text, data=data
    )
    return Post(JOURNAL, message)
