"""What the supervisor knows of the swarm, and the changes by which it alone moves on.

A decision returns changes; `Swarm.apply` does them in memory, `adapters.redis.commit` writes the
same list in one atomic step. Invariant: memory is what Redis holds after the last commit that
succeeded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from swarmd.core.model.chain import Chain
from swarmd.core.model.changes import (
    AccountCleared,
    AccountClosed,
    AccountFunded,
    AccountMended,
    AccountOpened,
    AgentAdopted,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentRestored,
    AgentSet,
    AgentSwept,
    ApprovalClosed,
    ApprovalSet,
    BoardSet,
    Change,
    ChannelForgotten,
    CharterSet,
    FenceLifted,
    FenceSet,
    GapClosed,
    GapFound,
    HeadSet,
    HostGone,
    KeySwept,
    MessageRecalled,
    MissionClosed,
    MissionSet,
    MissionSwept,
    OverrideEnded,
    OverrideSet,
    PeriodTurned,
    Post,
    ReaderLed,
    RecordSwept,
    ReportSet,
    ReservesSettled,
    RevocationsSet,
    RightsSet,
    SchemaStamped,
    StopLifted,
    StopSet,
    TroubleOver,
    TroubleSet,
)
from swarmd.core.model.charter import KINDS
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.lineage import Agent, Lineage
from swarmd.core.model.messages import Message
from swarmd.core.model.names import (
    AgentId,
    AgentState,
    HostId,
    MissionId,
    StreamId,
)
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.progress import Progress
from swarmd.core.model.records import (
    Approval,
    Caps,
    ExecutiveReport,
    Host,
    Mission,
    Override,
    Trouble,
)
from swarmd.core.model.timings import Moment, epoch_of

# Of each mission, for the spawn rate: more than any declared rate that a person would mean.
SPAWNS_REMEMBERED = 10_000


@dataclass(slots=True)
class Ending:
    """A subtree on its way out, and whose word was given.

    Not stored: after a restart it is made anew from the fence, and the hosts are asked again. What
    was counted is in the fence, for a commit that was refused must not count.
    """

    since: float
    words: set[HostId] = field(default_factory=set)
    stuck: dict[AgentId, str] = field(default_factory=dict)  # by their hosts' own word, and in what
    # Whom it still has to reap, the deepest last; looked up once, for nobody is made below a fence.
    queue: list[AgentId] | None = None


@dataclass(slots=True)
class Swarm:
    """The supervisor's memory. `free` is what each account asked for had left when it was read."""

    declared: Declarations
    lineage: Lineage = field(default_factory=Lineage)
    missions: dict[MissionId, Mission] = field(default_factory=dict)
    boards: dict[MissionId, Procedure] = field(default_factory=dict)
    reports: dict[MissionId, dict[AgentId, ExecutiveReport]] = field(default_factory=dict)
    hosts: dict[HostId, Host] = field(default_factory=dict)
    homeless: deque[AgentId] = field(
        default_factory=deque
    )  # who lost a host or had none, and perhaps has one by now
    given: dict[HostId, int] = field(
        default_factory=dict
    )  # agents placed on a host since it renewed its lease
    free: dict[str, dict[str, int]] = field(default_factory=dict)
    caps: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # of accounts that an order adds to
    spawned_at: dict[MissionId, deque[float]] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    stoppings: dict[str, Ending] = field(
        default_factory=dict
    )  # of stops whose outcome is still to be told
    number: int = 0  # of the last holding or revocation
    deadlines: dict[AgentId, float] = field(default_factory=dict)  # agents with one of their own
    period: str = ""  # of the root account
    has_root: bool = False  # the board's account was there when the swarm was loaded
    paused: dict[MissionId, float] = field(
        default_factory=dict
    )  # stopped missions of the board, since when
    renewed: dict[HostId, float] = field(
        default_factory=dict
    )  # when each host's lease was renewed last
    seat_failures: dict[MissionId, str] = field(
        default_factory=dict
    )  # the last, to explain a failed debate
    troubles: dict[AgentId, Trouble] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)  # of those who have something to do
    digests: dict[MissionId, tuple[float, str]] = field(
        default_factory=dict
    )  # when and what was told last
    chain: Chain = field(default_factory=Chain)
    off: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # accounts to be mended, and by how much
    letters: dict[StreamId, Message] = field(
        default_factory=dict
    )  # dead ones that are spoken of, as they were read

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:  # noqa: C901, PLR0912, PLR0915
        match change:
            case AgentMade(agent, _):
                self.put(agent)
                self.note_spawn(agent)
                self.note_progress(agent, epoch_of(agent.created))
            case AgentSet(agent) | RightsSet(agent) | AgentRestarted(agent):
                self.put(agent)
            case AgentReaped(agent, _, above):
                self.put(agent)
                self.progress.forget(agent.id)
                self._closed(agent.id, above)
            case AgentAdopted(agent, former, _, _):
                self.lineage.leave(agent.id, former)
                self.put(agent)
            case AccountFunded(id, parent, amounts):
                self._carve(parent, amounts)
                self.free.pop(id, None)
            case AccountCleared():
                pass
            case PeriodTurned(id, period):
                self.period = period
                self.free.pop(id, None)
            case StopSet(stop):
                self.lineage.stops[stop.target] = stop
                if stop.is_told:
                    self.stoppings.pop(stop.target, None)
                else:
                    # Words were given on the stop that was there before, not on this one.
                    self.stoppings[stop.target] = Ending(stop.at)
            case StopLifted(target):
                self.lineage.stops.pop(target, None)
                self.stoppings.pop(target, None)
            case RevocationsSet(segment, marks):
                self.lineage.revocations.pop(segment, None)
                if marks:
                    self.lineage.revocations[segment] = marks
                self._count(mark.number for mark in marks)
            case AccountOpened(id, parent, caps, own_slot):
                self._carve(parent, caps)
                self.free[id] = {kind: caps.get(kind, 0) for kind in KINDS}
                if own_slot:
                    self.free[id]["agents"] -= 1
            case AccountClosed(id, parent, _):
                self._closed(id, parent)
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
                    self.paused,
                ):
                    known.pop(mission.id, None)
            case BoardSet(id, procedure):
                self.boards[id] = procedure
            case ReportSet(id, report):
                self.reports.setdefault(id, {})[report.agent] = report
            case TroubleSet(id, trouble):
                self.troubles[id] = trouble
            case TroubleOver(id):
                self.troubles.pop(id, None)
            case ApprovalSet(approval):
                self.approvals[approval.id] = approval
            case ApprovalClosed(id):
                self.approvals.pop(id, None)
            case OverrideSet(override):
                self.overrides[override.id] = override
            case OverrideEnded(id):
                self.overrides.pop(id, None)
            case CharterSet(agent):
                self.put(agent)
            case MessageRecalled(_, id):
                self.letters.pop(id, None)
            case ReaderLed():
                pass
            case HostGone(host, _):
                self.hosts.pop(host, None)
                self.homeless.extend(self.lineage.on(host))
            case AccountMended(id) | ReservesSettled(id):
                self.free.pop(id, None)
            case AgentRestored() | AgentSwept() | MissionSwept() | RecordSwept() | KeySwept():
                pass  # memory had it right
            case ChannelForgotten() | SchemaStamped():
                pass  # memory had it right
            case GapFound() | GapClosed():
                pass  # for whoever looks: nothing is decided by it
            case Post() | HeadSet():
                pass
            case _:
                assert_never(change)

    def put(self, agent: Agent) -> None:
        self.lineage.put(agent)
        if agent.is_hosted and agent.host not in self.hosts:
            self.homeless.append(agent.id)
        self._count(held.number for held in agent.later)
        if agent.state is AgentState.TERMINATED or not agent.deadline:
            self.deadlines.pop(agent.id, None)
        else:
            self.deadlines[agent.id] = agent.deadline

    def _closed(self, id: str, parent: str) -> None:
        self.free.pop(id, None)
        # What comes back is known to the store alone: read anew before the next decision.
        self.free.pop(parent, None)

    def _count(self, numbers: Iterable[int]) -> None:
        self.number = max(self.number, *numbers, 0)

    def note_spawn(self, agent: Agent) -> None:
        window = self.spawned_at.setdefault(agent.mission, deque(maxlen=SPAWNS_REMEMBERED))
        window.append(epoch_of(agent.created))

    def note_progress(self, agent: Agent, at: float) -> None:
        """It has got on, or has been given something to do. Nothing is expected of the board,
        nor of whom nobody charged.
        """
        if agent.tier > 0 and agent.charter is not None:
            self.progress.note(agent.id, at, self.patience(agent))

    def patience(self, agent: Agent) -> float:
        """Seconds without progress after which it is stalled."""
        role = self.declared.roles.get(agent.role)
        return (role and role.stall_seconds) or self.declared.limits.stall_seconds

    def _carve(self, parent: str, caps: Caps) -> None:
        free = self.free.get(parent)
        if free is not None:
            for kind in KINDS:
                free[kind] -= caps.get(kind, 0)

    def executives(self, mission: MissionId) -> tuple[Agent, ...]:
        """The living executives of a mission."""
        return tuple(a for a in self.lineage.children(AgentId("sob")) if a.mission == mission)

    def seats(self) -> tuple[Agent, ...]:
        found = (self.lineage.get(name) for name in self.declared.board.seats)
        return tuple(agent for agent in found if agent is not None)


@dataclass(slots=True)
class Draft:
    """Decisions in the making: each change is applied at once, so that the next sees it."""

    swarm: Swarm
    moment: Moment
    changes: list[Change] = field(default_factory=list)

    def add(self, *changes: Change) -> None:
        self.swarm.apply(changes)
        self.changes.extend(changes)
