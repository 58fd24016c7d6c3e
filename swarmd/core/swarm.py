"""What the supervisor knows of the swarm, and the changes by which it alone moves on.

A decision returns changes; `Swarm.apply` does them in memory, `adapters.redis.commit` writes the same
list in one atomic step. Invariant: memory is what Redis holds after the last commit that succeeded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, assert_never

from swarmd.core.board import Procedure
from swarmd.core.chain import Chain, Head
from swarmd.core.lineage import Agent, Fence, Lineage, Stop
from swarmd.core.messages import Message
from swarmd.core.moves import KINDS
from swarmd.core.names import (
    FIRST,
    JOURNAL,
    SUPERVISOR,
    AgentId,
    AgentState,
    Authority,
    Channel,
    HostId,
    Kind,
    MissionId,
    MissionState,
    Rule,
    StreamId,
)
from swarmd.core.privileges import Revocation
from swarmd.core.progress import Progress
from swarmd.core.rules import Declarations

Caps = Mapping[str, int]

# Of each mission, for the spawn rate: more than any declared rate that a person would mean.
SPAWNS_REMEMBERED = 10_000


def epoch_of(stamp: str) -> float:
    """Seconds since the epoch of an ISO-8601 stamp."""
    return datetime.fromisoformat(stamp).timestamp()


def stamp_of(now: float) -> str:
    """ISO-8601 UTC with milliseconds."""
    return _stamp_of(round(now * 1e6) // 1000)


# Asked several times in each turn, and by many turns in one millisecond.
@lru_cache(maxsize=64)
def _stamp_of(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    taint: tuple[str, ...] = ()  # what its author had read of what nobody vouches for


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An action that waits for leave: exactly this one, once. Times are seconds since the epoch.

    `action` is the request as it was made, with `requester`, `incarnation`, `hops`, `mission` and `taint`; `digest`
    is of its JSON. `needs` is the least authority that may give leave: `LINEAGE` is any ancestor of the requester's.
    """

    id: str
    digest: str
    action: Mapping[str, Any]
    needs: Authority
    rule: Rule  # why it needs leave
    at: float
    expires: float
    is_put: bool = False  # the board was called about it
    answer: Literal["", "approved", "denied", "expired"] = ""
    answered_by: str = ""
    order: str = ""  # the operator's order that answered it

    @property
    def requester(self) -> AgentId:
        return AgentId(self.action["requester"])

    @property
    def mission(self) -> MissionId:
        return MissionId(self.action["mission"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One decision that an authority has replaced, while it stands. Times are seconds since the epoch.

    `before` and `after` are JSON; `reversal` says what its end does.
    """

    id: str
    kind: str  # grant | task | spawn | message | motion
    target: str
    by: str
    authority: Authority
    mission: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    at: float
    expires: float
    reversal: str
    reason: str


@dataclass(frozen=True, slots=True)
class Host:
    """A worker process as it described itself when it came."""

    id: HostId
    capacity: int
    workspace: str  # identity of the workspace it has, empty where none
    lease_left: float = field(default=0.0, compare=False)  # seconds, when it was read
    # Agents in a turn or waiting for one, and how far it has heard its own channel, when it renewed its lease.
    busy: int = field(default=0, compare=False)
    heard: StreamId = field(default=FIRST, compare=False)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with an agent, for whoever looks.

    `stalled`: it lives and gets nowhere; `since` is its last progress (seconds since the epoch). `stuck`: it was ended,
    and its host said that it ignores that; `since` is when that was said.
    """

    kind: Literal["stalled", "stuck"]
    since: float
    detail: str = ""
    host: HostId = HostId("")  # of what is stuck, and the segment that was ended
    segment: str = ""
    is_told_above: bool = False  # a stall: to the board, after twice the time


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
class RightsSet:
    """A new record of a living agent whose privileges or grants have changed."""

    agent: Agent


@dataclass(frozen=True, slots=True)
class AgentAdopted:
    """A child whose creator ended goes to the creator's own; its path still names whom it came from.

    Its account goes with it, out of its creator's, which has so much less to give back.
    """

    agent: Agent
    former: AgentId
    follows: tuple[Channel, ...]
    account_above: str


@dataclass(frozen=True, slots=True)
class AgentRestarted:
    """A new incarnation with new state: mailbox read anew from now on, open calls settled at their full reserve."""

    agent: Agent
    account: str
    follows: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class AgentReaped:
    """The record says terminated, its account is closed into the one above; mailbox and state are gone.

    `record` is the ended one.
    """

    record: Agent
    forget_at: float
    account_above: str


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
class AccountFunded:
    """More for an open account, of its parent's free; of nobody's where it is the root (`parent` is empty)."""

    id: str
    parent: str
    amounts: Caps


@dataclass(frozen=True, slots=True)
class AccountCleared:
    """What was spent beyond a reserve is taken note of: calls of the account may begin again."""

    id: str


@dataclass(frozen=True, slots=True)
class PeriodTurned:
    """The root's spent is forgotten: a new period has its whole cap but what open accounts hold of it."""

    id: str
    period: str


@dataclass(frozen=True, slots=True)
class StopSet:
    stop: Stop


@dataclass(frozen=True, slots=True)
class StopLifted:
    target: str


@dataclass(frozen=True, slots=True)
class RevocationsSet:
    """All marks on one segment; none of them lifts it."""

    segment: str
    marks: tuple[Revocation, ...]


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
class TroubleSet:
    agent: AgentId
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class TroubleOver:
    agent: AgentId


@dataclass(frozen=True, slots=True)
class GapFound:
    """The journal's entry `n` tells of entries that the server has lost: open until a person has looked into it."""

    n: int


@dataclass(frozen=True, slots=True)
class GapClosed:
    """It is acknowledged. May be told of an entry that never was an open gap."""

    n: int


@dataclass(frozen=True, slots=True)
class ApprovalSet:
    approval: Approval


@dataclass(frozen=True, slots=True)
class ApprovalClosed:
    """Answered, expired or void: it can be used no more."""

    id: str


@dataclass(frozen=True, slots=True)
class OverrideSet:
    override: Override


@dataclass(frozen=True, slots=True)
class OverrideEnded:
    id: str


@dataclass(frozen=True, slots=True)
class CharterSet:
    """A new record of a living agent whose charter has changed."""

    agent: Agent


@dataclass(frozen=True, slots=True)
class MessageRecalled:
    """Gone from its stream; who has read it keeps it."""

    channel: Channel
    id: StreamId


@dataclass(frozen=True, slots=True)
class ReaderLed:
    """An agent's position on a channel is raised to this id, if it is not there yet: what lies before is given up."""

    agent: AgentId
    channel: Channel
    until: StreamId


@dataclass(frozen=True, slots=True)
class HostGone:
    host: HostId


# Repairs: the store is given back what memory holds. None of them changes what the law looks at.


@dataclass(frozen=True, slots=True)
class AgentRestored:
    """The whole record of a living agent, its rights and its places in the sets."""

    agent: Agent


@dataclass(frozen=True, slots=True)
class AgentSwept:
    """What is left of an agent that does not live: places in the sets, mailbox, state, rights."""

    id: AgentId


@dataclass(frozen=True, slots=True)
class MissionSwept:
    """What is left of a mission that is not open."""

    id: MissionId


@dataclass(frozen=True, slots=True)
class RecordSwept:
    """Record, account and list of children of somebody whom nobody made. Who has ended keeps them: the store knows."""

    id: str


@dataclass(frozen=True, slots=True)
class KeySwept:
    """A key that holds a value of another type than ours, by its name without the namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class AccountMended:
    """By so much (`KIND.AMOUNT`) the account was off from what its facts add up to."""

    id: str
    off: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ReservesSettled:
    """What the account reserves for no call that is open in these step journals is spent, as assumed."""

    id: str
    journals: tuple[AgentId, ...]


@dataclass(frozen=True, slots=True)
class ChannelForgotten:
    """A channel whose stream is gone is no longer listed among those that moved."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class SchemaStamped:
    """The namespace says again which schema it has."""


@dataclass(frozen=True, slots=True)
class HeadSet:
    """The journal's last entry after this commit. Written with it, so that chain and state cannot part."""

    head: Head


@dataclass(frozen=True, slots=True)
class Post:
    """A message for a channel. `data_text` is the message's own, where it is known already."""

    channel: Channel
    message: Message
    data_text: str | None = None


Change = (
    AgentMade
    | AgentSet
    | RightsSet
    | AgentAdopted
    | AgentRestarted
    | AgentReaped
    | AccountOpened
    | AccountClosed
    | AccountFunded
    | AccountCleared
    | PeriodTurned
    | StopSet
    | StopLifted
    | RevocationsSet
    | FenceSet
    | FenceLifted
    | MissionSet
    | MissionClosed
    | BoardSet
    | ReportSet
    | TroubleSet
    | TroubleOver
    | GapFound
    | GapClosed
    | ApprovalSet
    | ApprovalClosed
    | OverrideSet
    | OverrideEnded
    | CharterSet
    | MessageRecalled
    | ReaderLed
    | HostGone
    | AgentRestored
    | AgentSwept
    | MissionSwept
    | RecordSwept
    | KeySwept
    | AccountMended
    | ReservesSettled
    | ChannelForgotten
    | SchemaStamped
    | HeadSet
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
    caps: dict[str, dict[str, int]] = field(default_factory=dict)  # of accounts that an order adds to
    spawned_at: dict[MissionId, deque[float]] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    stoppings: dict[str, Ending] = field(default_factory=dict)  # of stops whose outcome is still to be told
    number: int = 0  # of the last holding or revocation
    deadlines: dict[AgentId, float] = field(default_factory=dict)  # agents with one of their own
    period: str = ""  # of the root account
    has_root: bool = False  # the board's account was there when the swarm was loaded
    paused: dict[MissionId, float] = field(default_factory=dict)  # stopped missions of the board, since when
    renewed: dict[HostId, float] = field(default_factory=dict)  # when each host's lease was renewed last
    seat_failures: dict[MissionId, str] = field(default_factory=dict)  # the last, to explain a failed debate
    troubles: dict[AgentId, Trouble] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)  # of those who have something to do
    digests: dict[MissionId, tuple[float, str]] = field(default_factory=dict)  # when and what was told last
    chain: Chain = field(default_factory=Chain)
    off: dict[str, dict[str, int]] = field(default_factory=dict)  # accounts to be mended, and by how much
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
            case HostGone(host):
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
        """It has got on, or has been given something to do. Nothing is expected of the board, nor of whom nobody charged."""
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
