"""The changes by which alone the state of a swarm moves on.

Whatever is a row of a table (`core/model/tables.py`) is `Put` and `Drop`. Here are the others: the
operations that do more than one thing at once, or that the store alone knows the outcome of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from swarmd.core.model.chain import Head
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import AgentId, Channel, HostId, MissionId, StreamId
from swarmd.core.model.records import Caps, Mission
from swarmd.core.model.tables import Drop, Put


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
    """A child whose creator ended goes to the creator's own; its path still names whom it came
    from.

    Its account goes with it, out of its creator's, which has so much less to give back.
    """

    agent: Agent
    former: AgentId
    follows: tuple[Channel, ...]
    account_above: str


@dataclass(frozen=True, slots=True)
class AgentRestarted:
    """A new incarnation with new state: mailbox read anew from now on, open calls settled at
    their full reserve.
    """

    agent: Agent
    account: str
    follows: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class AgentReaped:
    """The record says terminated, its account is closed into the one above; mailbox and state are
    gone.

    `record` is the ended one.
    """

    record: Agent
    forget_at: float
    account_above: str


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """Carved from its parent's free. `parent` is empty for the root. `own_slot`: an agent lives
    on it.
    """

    id: str
    parent: str
    caps: Caps
    own_slot: bool


@dataclass(frozen=True, slots=True)
class AccountClosed:
    """Free and spent go to the parent; open calls in `journals` are settled at their full
    reserve. The parent is warned of, once, where it has spent so many percent of its cap.
    """

    id: str
    parent: str
    journals: tuple[AgentId, ...]
    warn_percent: int = 100


@dataclass(frozen=True, slots=True)
class AccountFunded:
    """More for an open account, of its parent's free; of nobody's where it is the root (`parent`
    is empty).
    """

    id: str
    parent: str
    amounts: Caps


@dataclass(frozen=True, slots=True)
class AccountCleared:
    """What was spent beyond a reserve is taken note of: calls of the account may begin again."""

    id: str


@dataclass(frozen=True, slots=True)
class PeriodTurned:
    """The root's spent is forgotten: a new period has its whole cap but what open accounts hold
    of it.
    """

    id: str
    period: str


@dataclass(frozen=True, slots=True)
class MissionSet:
    mission: Mission


@dataclass(frozen=True, slots=True)
class MissionClosed:
    mission: Mission
    forget_at: float


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
    """An agent's position on a channel is raised to this id, if it is not there yet: what lies
    before is given up.
    """

    agent: AgentId
    channel: Channel
    until: StreamId


@dataclass(frozen=True, slots=True)
class EntriesCounted:
    """So many entries of a channel's stream, that swarmd did not write, are known from now on."""

    channel: Channel
    count: int


@dataclass(frozen=True, slots=True)
class HostGone:
    """A host left, or fell silent for longer than its lease.

    One that only fell silent may come back, with the agents that nobody else has taken: what was
    sent to it is kept until `forget_at` (0: it left in order, and will not read it).
    """

    host: HostId
    forget_at: float = 0.0


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
    """Record, account and list of children of somebody whom nobody made. Who has ended keeps
    them: the store knows.
    """

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
    """What the account reserves for no call that is open in these step journals is spent, as
    assumed.
    """

    id: str
    journals: tuple[AgentId, ...]


@dataclass(frozen=True, slots=True)
class ChannelForgotten:
    """A channel whose stream is gone is no longer listed among those that moved. Of one that has a
    stream, the end is what the stream says.
    """

    channel: Channel


@dataclass(frozen=True, slots=True)
class SchemaStamped:
    """The namespace says again which schema it has."""


@dataclass(frozen=True, slots=True)
class HeadSet:
    """The journal's last entry after this commit. Written with it, so that chain and state
    cannot part.
    """

    head: Head


@dataclass(frozen=True, slots=True)
class Post:
    """A message for a channel. `line` is that of its entry, where it is known already."""

    channel: Channel
    message: Message
    line: str | None = None


Row = Put | Drop
AgentChange = (
    AgentMade
    | AgentSet
    | RightsSet
    | CharterSet
    | AgentAdopted
    | AgentRestarted
    | AgentReaped
    | HostGone
)
AccountChange = AccountOpened | AccountClosed | AccountFunded | AccountCleared | PeriodTurned
MissionChange = MissionSet | MissionClosed
ChannelChange = Post | MessageRecalled | ReaderLed | EntriesCounted | HeadSet
# Of the store alone: memory and journal had it right.
Repair = (
    AgentRestored
    | AgentSwept
    | MissionSwept
    | RecordSwept
    | KeySwept
    | AccountMended
    | ReservesSettled
    | ChannelForgotten
    | SchemaStamped
)
Change = Row | AgentChange | AccountChange | MissionChange | ChannelChange | Repair
