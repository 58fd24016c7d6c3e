"""Why the answer was no: the rules by name, and a refusal with its facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


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
    FUNCTION_UNKNOWN = "function.unknown"
    FUNCTION_ARGUMENTS = "function.arguments"
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


@dataclass(frozen=True, slots=True)
class Denied:
    """A request is refused: the rule, and the facts that it was decided on."""

    rule: Rule
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else str(self.rule)
