"""Why the answer was no: every rule with its meaning and its remedy, and a refusal with its facts.

Each rule is one row of `core.model.rules`. The table of docs/law.md is printed from the rows, and
`swarmd explain` shows one. Nothing here imports a library: `swarmd explain` passes through it and
has to start fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from swarmd.core.model.rules import agents, authority, messages
from swarmd.core.model.rules.row import Law


class Rule(StrEnum):
    """Why the answer was no. The code reaches the requester and the journal unchanged."""

    law: Law
    meaning: str
    remedy: str
    page: str

    SPAWN_TIER = agents.SPAWN_TIER
    SPAWN_PARENT = agents.SPAWN_PARENT
    SPAWN_DEPTH = agents.SPAWN_DEPTH
    SPAWN_FANOUT = agents.SPAWN_FANOUT
    SPAWN_LIVE = agents.SPAWN_LIVE
    SPAWN_RATE = agents.SPAWN_RATE
    SPAWN_ROLE = agents.SPAWN_ROLE
    SPAWN_NAME = agents.SPAWN_NAME
    SPAWN_KEY = agents.SPAWN_KEY
    SPAWN_FILES = agents.SPAWN_FILES
    SPAWN_CHECKS = agents.SPAWN_CHECKS
    TASK_OPEN = agents.TASK_OPEN
    TASK_CHECKS = agents.TASK_CHECKS
    TASK_STATE = agents.TASK_STATE
    ANCESTOR_ENDING = agents.ANCESTOR_ENDING
    PRIVILEGE_SUBSET = authority.PRIVILEGE_SUBSET
    PRIVILEGE_FORBIDDEN = authority.PRIVILEGE_FORBIDDEN
    PRIVILEGE_USE = authority.PRIVILEGE_USE
    PRIVILEGE_GRANT = authority.PRIVILEGE_GRANT
    PRIVILEGE_REVOKED = authority.PRIVILEGE_REVOKED
    FUNCTION_UNKNOWN = authority.FUNCTION_UNKNOWN
    FUNCTION_ARGUMENTS = authority.FUNCTION_ARGUMENTS
    BUDGET_SHARE = authority.BUDGET_SHARE
    BUDGET_EXHAUSTED = authority.BUDGET_EXHAUSTED
    BUDGET_OVERDRAFT = authority.BUDGET_OVERDRAFT
    BUDGET_UNREADABLE = authority.BUDGET_UNREADABLE
    TERMINATE_DESCENDANT = agents.TERMINATE_DESCENDANT
    AUTHORITY = authority.AUTHORITY
    PRECEDENCE = authority.PRECEDENCE
    STOP_TARGET = agents.STOP_TARGET
    FROZEN = agents.FROZEN
    DRAINING = agents.DRAINING
    HALTED = agents.HALTED
    DEADLINE = agents.DEADLINE
    CRASHED = agents.CRASHED
    STALLED = agents.STALLED
    POISON = messages.POISON
    UNKNOWN_LETTER = messages.UNKNOWN_LETTER
    UNKNOWN_AGENT = agents.UNKNOWN_AGENT
    AGENT_UNREADABLE = agents.AGENT_UNREADABLE
    UNKNOWN_MISSION = agents.UNKNOWN_MISSION
    MISSION_INVALID = agents.MISSION_INVALID
    MISSION_CONFLICT = agents.MISSION_CONFLICT
    MISSION_DOCKET = agents.MISSION_DOCKET
    MISSION_BUDGET = agents.MISSION_BUDGET
    MISSION_OPEN = agents.MISSION_OPEN
    MISSION_OTHER = agents.MISSION_OTHER
    INCARNATION = agents.INCARNATION
    LEASE = agents.LEASE
    NO_LEAD = agents.NO_LEAD
    FENCED = agents.FENCED
    HOPS = messages.HOPS
    RATE = messages.RATE
    NO_PROGRESS = messages.NO_PROGRESS
    CHANNEL = messages.CHANNEL
    APPROVAL_NEEDED = authority.APPROVAL_NEEDED
    APPROVAL_DENIED = authority.APPROVAL_DENIED
    APPROVAL_EXPIRED = authority.APPROVAL_EXPIRED
    APPROVAL_UNKNOWN = authority.APPROVAL_UNKNOWN
    TAINT_PERMISSION = authority.TAINT_PERMISSION
    OVERRIDE_ACTIVE = authority.OVERRIDE_ACTIVE
    OVERRIDE_INVALID = authority.OVERRIDE_INVALID
    REQUEST_INVALID = messages.REQUEST_INVALID
    BOARD_MOTION = agents.BOARD_MOTION
    FACT_INVALID = messages.FACT_INVALID
    ENVELOPE_FORGED = messages.ENVELOPE_FORGED
    ENVELOPE_REPLAYED = messages.ENVELOPE_REPLAYED
    ENVELOPE_VERSION = messages.ENVELOPE_VERSION

    # The defaults are for the type checker, which takes a look-up by its value, `Rule(code)`, for a
    # call of this.
    def __new__(
        cls, code: str, law: Law = Law.RECORDED, meaning: str = "", remedy: str = "", page: str = ""
    ) -> Self:
        rule = str.__new__(cls, code)
        rule._value_ = code
        rule.law = law
        rule.meaning = meaning
        rule.remedy = remedy
        rule.page = page
        return rule


# The account of a call, and not the call, is why it may not begin.
NO_MONEY: Final = frozenset({Rule.BUDGET_EXHAUSTED, Rule.BUDGET_OVERDRAFT, Rule.BUDGET_UNREADABLE})


@dataclass(frozen=True, slots=True)
class Denied:
    """A request is refused: the rule, and the facts that it was decided on."""

    rule: Rule
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else str(self.rule)
