"""What the supervisor knows of the swarm, and the changes by which it alone moves on.

A decision returns changes; `Swarm.apply` does them in memory, `adapters.redis.commit_plan` writes
the same list in one atomic step. Invariant: memory is what Redis holds after the last commit that
succeeded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from swarmd.core.model.chain import Chain
from swarmd.core.model.changes import (
    AccountChange,
    AccountCleared,
    AccountClosed,
    AccountFunded,
    AccountMended,
    AccountOpened,
    AgentAdopted,
    AgentChange,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentSet,
    Change,
    ChannelChange,
    CharterSet,
    HostGone,
    MessageRecalled,
    MissionChange,
    MissionClosed,
    MissionSet,
    PeriodTurned,
    Repair,
    ReservesSettled,
    RightsSet,
    Row,
)
from swarmd.core.model.charter import KINDS
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.entries import entry
from swarmd.core.model.estimate import Estimate
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, Lineage
from swarmd.core.model.messages import Message
from swarmd.core.model.names import (
    SOB,
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
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import (
    APPROVALS,
    BOARDS,
    FENCES,
    OF_MISSIONS,
    OVERRIDES,
    REPORTS,
    REVOCATIONS,
    STOPS,
    TABLES,
    TROUBLES,
    Drop,
    Table,
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
class Observed:
    """What was seen and told since this supervisor leads. Nothing of it is stored: a successor
    begins without it, and whatever is read anew in the middle of the work keeps it.
    """

    # As they described themselves; of one that was not yet seen alive, its id alone.
    hosts: dict[HostId, Host] = field(default_factory=dict)
    # Who lost a host or had none, and perhaps has one by now.
    homeless: deque[AgentId] = field(default_factory=deque)
    # Agents placed on a host since it renewed its lease, and when it did so last.
    given: dict[HostId, int] = field(default_factory=dict)
    renewed: dict[HostId, float] = field(default_factory=dict)
    # As read: what accounts have left, their caps, what missions and executives have spent,
    # by how much accounts are off, dead letters. By the facts: an amount of all below an account.
    free: dict[str, dict[str, int]] = field(default_factory=dict)
    caps: dict[str, dict[str, int]] = field(default_factory=dict)
    spent: dict[str, dict[str, int]] = field(default_factory=dict)
    below: Callable[[str, str], Mapping[str, int]] | None = None
    off: dict[str, dict[str, int]] = field(default_factory=dict)
    letters: dict[StreamId, Message] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    # Of stops whose outcome is still to be told.
    stoppings: dict[str, Ending] = field(default_factory=dict)
    # Of missions: since when they are stopped at the board, why a seat failed last, and when and
    # what was told last of their agents.
    paused: dict[MissionId, float] = field(default_factory=dict)
    seat_failures: dict[MissionId, str] = field(default_factory=dict)
    digests: dict[MissionId, tuple[float, str]] = field(default_factory=dict)
    estimates: dict[MissionId, Estimate] = field(default_factory=dict)  # of what it will take
    progress: Progress = field(default_factory=Progress)  # of those who have something to do
    # Executives that are at rest with nothing under way below them, since they were seen so.
    resting: dict[AgentId, float] = field(default_factory=dict)

    def copy(self) -> Observed:
        """As it is before a decision, for a commit of it that is refused. Progress goes on: it is
        of a hundred thousand agents, and no decision takes it back.
        """
        return replace(
            self,
            hosts=dict(self.hosts),
            given=dict(self.given),
            renewed=dict(self.renewed),
            endings=dict(self.endings),
            stoppings=dict(self.stoppings),
            paused=dict(self.paused),
            seat_failures=dict(self.seat_failures),
            digests=dict(self.digests),
            estimates=dict(self.estimates),
        )


@dataclass(slots=True)
class Swarm:
    """The supervisor's memory: what is stored, and beside it what was `observed`."""

    declared: Declarations
    lineage: Lineage = field(default_factory=Lineage)
    missions: dict[MissionId, Mission] = field(default_factory=dict)
    spawned_at: dict[MissionId, deque[float]] = field(default_factory=dict)
    number: int = 0  # of the last holding or revocation
    deadlines: dict[AgentId, float] = field(default_factory=dict)  # agents with one of their own
    period: str = ""  # of the root account
    has_root: bool = False  # the board's account was there when the swarm was loaded
    chain: Chain = field(default_factory=Chain)
    observed: Observed = field(default_factory=Observed)
    _rows: dict[str, dict[Any, Any]] = field(default_factory=dict)  # of each table, by its name

    def __post_init__(self) -> None:
        marks = self.lineage  # it asks for these by name, and often
        self._rows |= {table.name: {} for table in TABLES} | {
            FENCES.name: marks.fences,
            STOPS.name: marks.stops,
            REVOCATIONS.name: marks.revocations,
        }

    @property
    def hosts(self) -> dict[HostId, Host]:
        return self.observed.hosts

    @property
    def boards(self) -> dict[MissionId, Procedure]:
        return self.rows(BOARDS)

    @property
    def reports(self) -> dict[MissionId, dict[AgentId, ExecutiveReport]]:
        return self.rows(REPORTS)

    @property
    def approvals(self) -> dict[str, Approval]:
        return self.rows(APPROVALS)

    @property
    def overrides(self) -> dict[str, Override]:
        return self.rows(OVERRIDES)

    @property
    def troubles(self) -> dict[AgentId, Trouble]:
        return self.rows(TROUBLES)

    def keep_observed(self, observed: Observed) -> None:
        """What was observed before this memory was read anew. Words already given stay given."""
        marks = self.lineage
        self.observed = replace(
            observed,
            hosts={id: observed.hosts.get(id, host) for id, host in self.hosts.items()},
            homeless=self.observed.homeless,
            # Who still has to be reaped is looked up anew: what was not written did not happen.
            endings={
                segment: replace(ending, queue=None)
                for segment, ending in observed.endings.items()
                if segment in marks.fences
            },
            stoppings={t: word for t, word in observed.stoppings.items() if t in marks.stops},
        )

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        if isinstance(change, Row):
            self._set_row(change)
        elif isinstance(change, AgentChange):
            self._change_agent(change)
        elif isinstance(change, AccountChange):
            self._change_account(change)
        elif isinstance(change, MissionChange):
            self._change_mission(change)
        elif isinstance(change, MessageRecalled):
            self.observed.letters.pop(change.id, None)
        elif isinstance(change, AccountMended | ReservesSettled):
            self.observed.free.pop(change.id, None)
        elif isinstance(change, ChannelChange | Repair):
            pass  # of the store alone: nothing is decided by it
        else:
            assert_never(change)

    def rows(self, table: Table[Any]) -> dict[Any, Any]:
        """A table's rows by key; of one with parts, those of each key by part."""
        return self._rows[table.name]

    def load_rows(self, table: Table[Any], rows: Mapping[str, Any]) -> None:
        """Rows as they are stored; they begin nothing."""
        self.rows(table).update(rows)
        if table is REVOCATIONS:
            self._count(mark.number for marks in rows.values() for mark in marks)

    def _set_row(self, change: Row) -> None:
        rows, table, key = self.rows(change.table), change.table, change.key
        if isinstance(change, Drop):
            rows.pop(key, None)
        elif table.has_parts:
            rows.setdefault(key, {})[change.part] = change.value
        else:
            rows[key] = change.value
        if table is REVOCATIONS:
            self._count(mark.number for mark in rows.get(key, ()))
        elif table is FENCES:
            self._follow_fence(key)
        elif table is STOPS:
            self._follow_stop(key)

    def _follow_fence(self, segment: str) -> None:
        fence = self.lineage.fences.get(segment)
        if fence is None:
            self.observed.endings.pop(segment, None)
        else:
            self.observed.endings.setdefault(segment, Ending(fence.at))

    def _follow_stop(self, target: str) -> None:
        stop = self.lineage.stops.get(target)
        if stop is None or stop.is_told:
            self.observed.stoppings.pop(target, None)
        else:
            # Words were given on the stop that was there before, not on this one.
            self.observed.stoppings[target] = Ending(stop.at)

    def _change_agent(self, change: AgentChange) -> None:
        match change:
            case AgentMade(agent):
                self.put(agent)
                self.note_spawn(agent)
                self.note_progress(agent, epoch_of(agent.created))
            case AgentSet(agent) | RightsSet(agent) | CharterSet(agent) | AgentRestarted(agent):
                self.put(agent)
            case AgentReaped(agent, _, above):
                self._reap(agent, above)
            case AgentAdopted(agent, former):
                self.lineage.leave(agent.id, former)
                self.put(agent)
            case HostGone(host):
                self._lose_host(host)
            case _:
                assert_never(change)

    def _reap(self, agent: Agent, above: str) -> None:
        self.put(agent)
        self.observed.progress.forget(agent.id)
        self._closed(agent.id, above)

    def _lose_host(self, host: HostId) -> None:
        self.hosts.pop(host, None)
        self.observed.homeless.extend(self.lineage.on(host))

    def _change_account(self, change: AccountChange) -> None:
        match change:
            case AccountOpened():
                self._open_account(change)
            case AccountClosed(id, parent, _, _):
                self._closed(id, parent)
            case AccountFunded(id, parent, amounts):
                self._carve(parent, amounts)
                self.observed.free.pop(id, None)
            case PeriodTurned(id, period):
                self.period = period
                self.observed.free.pop(id, None)
            case AccountCleared():
                pass
            case _:
                assert_never(change)

    def _open_account(self, opened: AccountOpened) -> None:
        self._carve(opened.parent, opened.caps)
        free = {kind: opened.caps.get(kind, 0) for kind in KINDS}
        if opened.own_slot:
            free["agents"] -= 1
        self.observed.free[opened.id] = free

    def _change_mission(self, change: MissionChange) -> None:
        match change:
            case MissionSet(mission):
                self.missions[mission.id] = mission
            case MissionClosed(mission):
                for known in (
                    self.missions,
                    *map(self.rows, OF_MISSIONS),
                    self.spawned_at,
                    self.observed.seat_failures,
                    self.observed.digests,
                    self.observed.paused,
                    self.observed.estimates,
                ):
                    known.pop(mission.id, None)
            case _:
                assert_never(change)

    def put(self, agent: Agent) -> None:
        self.lineage.put(agent)
        if agent.is_hosted and agent.host not in self.hosts:
            self.observed.homeless.append(agent.id)
        self._count(held.number for held in agent.later)
        if agent.state is AgentState.TERMINATED or not agent.deadline:
            self.deadlines.pop(agent.id, None)
        else:
            self.deadlines[agent.id] = agent.deadline

    def _closed(self, id: str, parent: str) -> None:
        """What comes back is known to the store alone, and read with the next step."""
        self.observed.free.pop(id, None)
        if parent == SOB:
            # The docket takes what is short here for a reason to end a mission: it waits.
            self.observed.free.pop(parent, None)

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
            self.observed.progress.note(agent.id, at, self.patience(agent))

    def patience(self, agent: Agent) -> float:
        """Seconds without progress after which it is stalled."""
        role = self.declared.roles.get(agent.role)
        return (role and role.stall_seconds) or self.declared.limits.stall_seconds

    def _carve(self, parent: str, caps: Caps) -> None:
        free = self.observed.free.get(parent)
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

    @property
    def now(self) -> float:
        return self.moment.now

    @property
    def stamp(self) -> str:
        return self.moment.stamp

    @property
    def lineage(self) -> Lineage:
        return self.swarm.lineage

    def add(self, *changes: Change) -> None:
        self.swarm.apply(changes)
        self.changes.extend(changes)

    def record(
        self,
        event: JournalEvent,
        text: str,
        *,
        actor: str,
        mission: str = "",
        rule: Rule | None = None,
        more: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        """An entry in the journal, as `entry` makes it."""
        self.add(
            entry(
                self.moment,
                event,
                text,
                actor=actor,
                mission=mission,
                rule=rule,
                more=more,
                **facts,
            )
        )
