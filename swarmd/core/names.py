"""The words everything else is said in: ids, channels, states and the names of the rules.

Channels are named here without the namespace; the adapter adds it. Nothing else builds one.
"""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum
from typing import Final, NewType

AgentId = NewType("AgentId", str)
MissionId = NewType("MissionId", str)
HostId = NewType("HostId", str)
Channel = NewType("Channel", str)
StreamId = NewType("StreamId", str)

SOB: Final = AgentId("sob")
OPERATOR: Final = AgentId("operator")
CLERK: Final = AgentId("clerk")
SUPERVISOR: Final = AgentId("supervisor")
# Who halted everything where it was the data folder's brake and not an order: an operator's hand all the same.
BRAKE: Final = AgentId("brake")

ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

MISSIONS: Final = Channel("missions")
RESULTS: Final = Channel("results")
ORDERS: Final = Channel("orders")
REQUESTS: Final = Channel("requests")
JOURNAL: Final = Channel("journal")
# Messages on which their reader failed again and again, with all that it takes to hand them out once more.
DEAD: Final = Channel("dead")
BOARD_ROOM: Final = Channel("room:sob")
FIRST: Final = StreamId("0-0")


def room(name: str) -> Channel:
    return Channel(f"room:{name}")


def down(agent: AgentId) -> Channel:
    return Channel(f"down:{agent}")


def up(agent: AgentId) -> Channel:
    return Channel(f"up:{agent}")


def inbox(agent: AgentId) -> Channel:
    return Channel(f"inbox:{agent}")


def host_channel(host: HostId) -> Channel:
    """Private: on it a host hears which agents it was given and which were fenced."""
    return Channel(f"_placed:{host}")


# What the supervisor reads and decides on, message by message.
INPUTS: Final = (REQUESTS, ORDERS, BOARD_ROOM, up(SOB))
# The name under which it keeps its place among the facts that scripts tell; no channel of anybody's.
FACTS: Final = Channel("_facts")


class Authority(IntEnum):
    """Whose word it is: operator over board over lineage (law 6). What one set, only its equal or better lifts."""

    LINEAGE = 1
    BOARD = 2
    OPERATOR = 3


class AgentState(StrEnum):
    STARTING = "starting"
    LIVE = "live"
    FROZEN = "frozen"
    DRAINING = "draining"
    TERMINATED = "terminated"


class MissionState(StrEnum):
    DOCKETED = "docketed"
    DEBATING = "debating"
    WORKING = "working"
    REVIEWING = "reviewing"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXHAUSTED = "exhausted"

    @property
    def is_ended(self) -> bool:
        return self in _ENDED


_ENDED: Final = frozenset(
    {
        MissionState.DELIVERED,
        MissionState.REJECTED,
        MissionState.FAILED,
        MissionState.CANCELLED,
        MissionState.EXHAUSTED,
    }
)


class Kind(StrEnum):
    """What a message is. Only `REQUEST` and `ORDER` command; everything else is data."""

    SAY = "say"
    DIRECTIVE = "directive"
    REPORT = "report"
    ANSWER = "answer"
    NOTICE = "notice"
    CHARTER = "charter"
    CALL = "call"
    PROPOSAL = "proposal"
    ARGUMENT = "argument"
    VOTE = "vote"
    DIGEST = "digest"
    DEAD = "dead"
    REQUEST = "request"
    ORDER = "order"
    RESULT = "result"
    ENTRY = "entry"
    PLACED = "placed"
    FENCED = "fenced"
    STOPPED = "stopped"
    THAWED = "thawed"
    UNREADABLE = "unreadable"


class Rule(StrEnum):
    """Why the answer was no. The name reaches the requester and the journal unchanged."""

    SPAWN_TIER = "spawn.tier"
    SPAWN_PARENT = "spawn.parent"
    SPAWN_DEPTH = "spawn.depth"
    SPAWN_FANOUT = "spawn.fanout"
    SPAWN_LIVE = "spawn.live"
    SPAWN_RATE = "spawn.rate"
    SPAWN_ROLE = "spawn.role"
    SPAWN_NAME = "spawn.name"
    SPAWN_KEY = "spawn.key"
    SPAWN_FILES = "spawn.files"
    ANCESTOR_ENDING = "spawn.ancestor-ending"
    PRIVILEGE_SUBSET = "privilege.subset"
    PRIVILEGE_FORBIDDEN = "privilege.forbidden"
    PRIVILEGE_USE = "privilege.use"
    PRIVILEGE_GRANT = "privilege.grant"
    PRIVILEGE_REVOKED = "privilege.revoked"
    BUDGET_SHARE = "budget.share"
    BUDGET_EXHAUSTED = "budget.exhausted"
    BUDGET_OVERDRAFT = "budget.overdraft"
    BUDGET_UNREADABLE = "budget.unreadable"
    TERMINATE_DESCENDANT = "terminate.descendant"
    AUTHORITY = "authority.descendant"
    PRECEDENCE = "authority.precedence"
    STOP_TARGET = "stop.target"
    FROZEN = "stop.frozen"
    DRAINING = "stop.draining"
    HALTED = "stop.halted"
    DEADLINE = "time.deadline"
    CRASHED = "agent.crashed"
    STALLED = "agent.stalled"
    POISON = "message.poison"
    UNKNOWN_LETTER = "dead.unknown"
    UNKNOWN_AGENT = "agent.unknown"
    AGENT_UNREADABLE = "agent.unreadable"
    UNKNOWN_MISSION = "mission.unknown"
    MISSION_INVALID = "mission.invalid"
    MISSION_CONFLICT = "mission.conflict"
    MISSION_DOCKET = "mission.docket"
    MISSION_OTHER = "mission.other"
    INCARNATION = "incarnation.former"
    LEASE = "lease.lost"
    NO_LEAD = "lead.none"
    FENCED = "fence.path"
    HOPS = "bus.hops"
    RATE = "bus.rate"
    REPEAT = "bus.repeat"
    NO_PROGRESS = "bus.no-progress"
    CHANNEL = "bus.channel"
    APPROVAL_NEEDED = "approval.needed"
    APPROVAL_DENIED = "approval.denied"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_UNKNOWN = "approval.unknown"
    TAINT_LEAVE = "taint.leave"
    OVERRIDE_ACTIVE = "override.active"
    OVERRIDE_INVALID = "override.invalid"
    REQUEST_INVALID = "request.invalid"
    BOARD_MOTION = "board.motion"
    FACT_INVALID = "fact.invalid"
    ENVELOPE_FORGED = "envelope.forged"
    ENVELOPE_REPLAYED = "envelope.replayed"
    ENVELOPE_VERSION = "envelope.version"


# The account of a call, and not the call, is why it may not begin.
NO_MONEY: Final = frozenset({Rule.BUDGET_EXHAUSTED, Rule.BUDGET_OVERDRAFT, Rule.BUDGET_UNREADABLE})
