"""Why the answer was no: every rule with its meaning and its remedy, and a refusal with its facts.

Each rule is one row. The table of docs/law.md is printed from the rows, and `swarmd explain` shows
one. Nothing here imports a library: `swarmd explain` passes through it and has to start fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Self


class Law(IntEnum):
    """The laws that the rules serve, by their number and title in docs/laws.md."""

    title: str

    SPAWN = 1, "Spawn"
    TERMINATE = 2, "Terminate"
    PRIVILEGES = 3, "Privileges"
    BUDGET = 4, "Budget"
    BOARD = 5, "Board"
    PRECEDENCE = 6, "Precedence"
    INCARNATION = 7, "Incarnation"
    LOST = 8, "Nothing is lost, nothing happens twice"
    IDENTITY = 9, "Identity"
    IDLE = 10, "Zero idle cost"
    ORPHANS = 11, "No orphans"
    RECORDED = 12, "Recorded"
    ACCEPTED = 13, "Work is accepted"
    SILENCE = 14, "Nobody waits in silence"

    def __new__(cls, number: int, title: str) -> Self:
        law = int.__new__(cls, number)
        law._value_ = number
        law.title = title
        return law


class Rule(StrEnum):
    """Why the answer was no. The code reaches the requester and the journal unchanged.

    A row has the code, the law that it serves, what the refusal means, what to do about it, and
    where in docs/ there is more.
    """

    law: Law
    meaning: str
    remedy: str
    page: str

    SPAWN_TIER = (
        "spawn.tier",
        Law.SPAWN,
        "A tier was claimed that is not one below the requester's.",
        "Leave `tier` out: the supervisor sets it.",
    )
    SPAWN_PARENT = (
        "spawn.parent",
        Law.SPAWN,
        "A parent was claimed that is not the requester.",
        "Leave `parent` out: the supervisor sets it.",
    )
    SPAWN_DEPTH = (
        "spawn.depth",
        Law.SPAWN,
        "The child would stand below `depth_max`.",
        "Do the work yourself, or divide it higher up.",
    )
    SPAWN_FANOUT = (
        "spawn.fanout",
        Law.SPAWN,
        "The creator has `children_max` living children already.",
        "End one of them, or let a `lead` take a part.",
    )
    SPAWN_LIVE = (
        "spawn.live",
        Law.SPAWN,
        "The swarm has `agents_max` living agents already.",
        "Wait until some have ended, or raise the limit.",
    )
    SPAWN_RATE = (
        "spawn.rate",
        Law.SPAWN,
        "The mission has spawned `spawns_per_minute` agents within the last minute.",
        "Wait a minute, and look for agents that spawn in a loop.",
    )
    SPAWN_ROLE = (
        "spawn.role",
        Law.SPAWN,
        "There is no such role, or it may not stand at that tier.",
        "Choose another role: each declares its `tiers`.",
    )
    SPAWN_NAME = (
        "spawn.name",
        Law.SPAWN,
        "A living sibling has that name.",
        "Choose another name.",
    )
    SPAWN_KEY = (
        "spawn.key",
        Law.SPAWN,
        "A living child was made under that key.",
        "Choose another key.",
    )
    SPAWN_FILES = (
        "spawn.files",
        Law.SPAWN,
        "The child would get a file that its creator does not have.",
        "Give it files of your own charter alone.",
    )
    ANCESTOR_ENDING = (
        "spawn.ancestor-ending",
        Law.TERMINATE,
        "An agent above is being ended, and nothing is made below it any more.",
        "Nothing can be done: that part of the tree is over.",
    )
    PRIVILEGE_SUBSET = (
        "privilege.subset",
        Law.PRIVILEGES,
        "The child would get a privilege that its creator may not hand out.",
        "Ask for less, or ask somebody who may hand it out.",
    )
    PRIVILEGE_FORBIDDEN = (
        "privilege.forbidden",
        Law.PRIVILEGES,
        "`limits.yaml` forbids this privilege to everybody.",
        "Do without it, or take it out of `forbidden`.",
    )
    PRIVILEGE_USE = (
        "privilege.use",
        Law.PRIVILEGES,
        "The agent may not use this role, model, function, file or room.",
        "Give its role or its charter the privilege: `swarmd why NAME PATH` shows what is missing.",
    )
    PRIVILEGE_GRANT = (
        "privilege.grant",
        Law.PRIVILEGES,
        "The agent may not hand this privilege out, whether it may use it or not.",
        "Ask whoever may: `swarmd why NAME PATH --right grant` names them.",
    )
    PRIVILEGE_REVOKED = (
        "privilege.revoked",
        Law.PRIVILEGES,
        "The privilege was taken from the agent, or from somebody above it.",
        "`swarmd why NAME PATH` says who took it: only an authority of at least that rank gives it "
        "back.",
    )
    FUNCTION_UNKNOWN = (
        "function.unknown",
        Law.PRIVILEGES,
        "There is no such function, or the agent's role does not name it.",
        "Use one of those that the detail names, or name it under `functions` of the role.",
    )
    FUNCTION_ARGUMENTS = (
        "function.arguments",
        Law.SILENCE,
        "The arguments do not fit the function.",
        "Correct what the detail names, and use the function again.",
    )
    BUDGET_SHARE = (
        "budget.share",
        Law.BUDGET,
        "The charter asks for more than the creator's account has free.",
        "Ask for less.",
    )
    BUDGET_EXHAUSTED = (
        "budget.exhausted",
        Law.BUDGET,
        "The account has nothing left to give, or less than the call would reserve.",
        "`swarmd fund` it within `hold_seconds`; if it is a mission's own account, the mission "
        "ends as `exhausted` with exit code 8.",
        "law.md#the-ledger",
    )
    BUDGET_OVERDRAFT = (
        "budget.overdraft",
        Law.BUDGET,
        "A call cost more than its reserve, so the account begins no other.",
        "`swarmd fund` it, or `swarmd thaw` it to take note and go on; if it is a mission's own "
        "account, the mission ends as `exhausted`.",
        "law.md#the-ledger",
    )
    BUDGET_UNREADABLE = (
        "budget.unreadable",
        Law.BUDGET,
        "A field of the account is not a number, because somebody else wrote it: its agent or "
        "mission is frozen.",
        "Run `swarmd fsck --repair`, then `swarmd thaw` what is frozen.",
        "journal.md#fsck",
    )
    TERMINATE_DESCENDANT = (
        "terminate.descendant",
        Law.TERMINATE,
        "The agent to be ended does not stand below the requester, or is a seat of the board.",
        "Ask one of its ancestors, the board or an operator to end it; nobody ends a seat.",
    )
    AUTHORITY = (
        "authority.descendant",
        Law.PRECEDENCE,
        "Whoever asks is not above the agent that would be stopped, funded, changed or answered.",
        "Ask one of its ancestors, the board or an operator.",
    )
    PRECEDENCE = (
        "authority.precedence",
        Law.PRECEDENCE,
        "A higher authority set what this would change.",
        "Ask an authority of at least that rank: operators stand over the board, and the board "
        "over agents.",
    )
    STOP_TARGET = (
        "stop.target",
        Law.TERMINATE,
        "The target cannot be stopped, thawed or ended in this way.",
        "The detail says why, and `swarmd stops` lists what is stopped.",
    )
    FROZEN = (
        "stop.frozen",
        Law.TERMINATE,
        "A freeze holds the agent, something above it, its tier, the privilege or everything.",
        "`swarmd thaw` what `swarmd stops` or `swarmd why` names.",
    )
    DRAINING = (
        "stop.draining",
        Law.TERMINATE,
        "The agent is going to be ended: turns under way may end, and no other begins.",
        "Nothing can be done.",
    )
    HALTED = (
        "stop.halted",
        Law.TERMINATE,
        "A halt holds the agent, something above it or everything, and calls under way were cut.",
        "`swarmd thaw` what `swarmd stops` names; where it halted without a server, `thaw all`.",
    )
    DEADLINE = (
        "time.deadline",
        Law.ORPHANS,
        "The agent's deadline has passed, and it ends by its role's policy.",
        "Give a later deadline in the charter, never beyond its creator's.",
    )
    CRASHED = (
        "agent.crashed",
        Law.ORPHANS,
        "The agent crashed more than `restarts_max` times within `restart_seconds`, and is frozen.",
        "Look at its last words with `swarmd inspect`, then thaw or end it within `hold_seconds`.",
    )
    STALLED = (
        "agent.stalled",
        Law.SILENCE,
        "The agent has made no progress for `stall_seconds`: its superior is told, and nothing is "
        "ended.",
        "Direct it, freeze it or terminate it.",
        "law.md#stalls",
    )
    POISON = (
        "message.poison",
        Law.LOST,
        "The message failed its reader `tries_max` times, or the supervisor could not decide it: "
        "it is a dead letter.",
        "Find it with `swarmd dead ls`, mend the cause, then `swarmd dead retry` it.",
        "storage.md#dead-letters",
    )
    UNKNOWN_LETTER = (
        "dead.unknown",
        Law.LOST,
        "There is no such dead letter, or no longer.",
        "`swarmd dead ls` lists those that there are.",
        "storage.md#dead-letters",
    )
    UNKNOWN_AGENT = (
        "agent.unknown",
        Law.TERMINATE,
        "There is no such living agent, or no such child of the requester.",
        "`swarmd ps` lists the living agents.",
    )
    AGENT_UNREADABLE = (
        "agent.unreadable",
        Law.ORPHANS,
        "The agent's record could not be read when the supervisor started: it is frozen with all "
        "below it.",
        "Restore the record and restart the supervisor, or `swarmd terminate` the agent; a thaw "
        "needs its charter back.",
        "journal.md#fsck",
    )
    UNKNOWN_MISSION = (
        "mission.unknown",
        Law.ACCEPTED,
        "There is no such open mission.",
        "`swarmd missions` lists them.",
    )
    MISSION_INVALID = (
        "mission.invalid",
        Law.LOST,
        "The mission's text, fields or files cannot be taken, and the reason says which.",
        "Correct it and submit it again.",
    )
    MISSION_CONFLICT = (
        "mission.conflict",
        Law.LOST,
        "The id belongs to a mission with other content.",
        "Choose another id.",
    )
    MISSION_DOCKET = (
        "mission.docket",
        Law.SILENCE,
        "`docket_max` missions are waiting already.",
        "Submit it again later, under the same id if it has one.",
    )
    MISSION_OTHER = (
        "mission.other",
        Law.BOARD,
        "The motion names an agent of another mission.",
        "Name an agent of this mission.",
    )
    INCARNATION = (
        "incarnation.former",
        Law.INCARNATION,
        "It was made under an incarnation of the agent that is over.",
        "Nothing need be done: the present incarnation goes on.",
    )
    LEASE = (
        "lease.lost",
        Law.LOST,
        "The host no longer holds the agent, or did not renew its lease in time.",
        "Nothing need be done, for another host goes on; if it happens often, look at the network "
        "or for a blocked event loop.",
    )
    NO_LEAD = (
        "lead.none",
        Law.LOST,
        "No supervisor has led for longer than its lease of 10 s, so no call of a model or a tool "
        "begins.",
        "Start one with `swarmd up` or `swarmd supervisor`: the turn waits as it is and goes on by "
        "itself.",
    )
    FENCED = (
        "fence.path",
        Law.TERMINATE,
        "The agent, or something above it, is ending.",
        "Nothing can be done.",
    )
    HOPS = (
        "bus.hops",
        Law.IDLE,
        "The chain of turns is longer than `hops_max`: what the turn sent is dropped, but for a "
        "final report, and the agent ends.",
        "Change the roles of agents that answer each other without end.",
        "law.md#guards-on-the-bus",
    )
    RATE = (
        "bus.rate",
        Law.IDLE,
        "The sender has sent `messages_per_minute` messages within the last minute, and what is "
        "beyond is not sent.",
        "Say less: a longer text is one message, or a file.",
        "law.md#guards-on-the-bus",
    )
    REPEAT = (
        "bus.repeat",
        Law.IDLE,
        "The same text went to the same recipient more than `repeats_max` times in a row.",
        "Say what has changed, or wait: whoever should answer was told.",
        "law.md#guards-on-the-bus",
    )
    NO_PROGRESS = (
        "bus.no-progress",
        Law.IDLE,
        "More than `chatter_max` turns in a row only talked: they used no function, made no "
        "request and gave no final report.",
        "Do something, or report `done`.",
        "law.md#guards-on-the-bus",
    )
    CHANNEL = (
        "bus.channel",
        Law.PRIVILEGES,
        "There is no such room for this agent, or the message is too long.",
        "Use a room that it is a member of, and a file for a long text.",
    )
    APPROVAL_NEEDED = (
        "approval.needed",
        Law.PRIVILEGES,
        "The role or the privilege takes the permission of the board or an operator.",
        "Wait: the answer comes by itself, and `swarmd approvals` lists what is waiting.",
        "law.md#permission",
    )
    APPROVAL_DENIED = (
        "approval.denied",
        Law.PRIVILEGES,
        "The permission that this takes was denied.",
        "Do without it, or report it.",
        "law.md#permission",
    )
    APPROVAL_EXPIRED = (
        "approval.expired",
        Law.SILENCE,
        "Nobody gave or denied the permission within `approval_seconds`.",
        "Do without it, or report it.",
        "law.md#permission",
    )
    APPROVAL_UNKNOWN = (
        "approval.unknown",
        Law.PRIVILEGES,
        "What is answered is not waiting, or no longer: a permission is for one use.",
        "`swarmd approvals` lists what is waiting.",
        "law.md#permission",
    )
    TAINT_PERMISSION = (
        "taint.permission",
        Law.IDENTITY,
        "The turn has read text from outside the swarm, so what it asks for takes permission.",
        "Go on with what takes none, and report up what you would order.",
        "law.md#permission",
    )
    OVERRIDE_ACTIVE = (
        "override.active",
        Law.PRECEDENCE,
        "An override by a higher authority stands.",
        "Wait until it lapses, or ask whoever set it.",
        "law.md#overrides",
    )
    OVERRIDE_INVALID = (
        "override.invalid",
        Law.PRECEDENCE,
        "There is nothing of this kind to override, or only an operator may.",
        "The detail says which.",
        "law.md#overrides",
    )
    REQUEST_INVALID = (
        "request.invalid",
        Law.SILENCE,
        "The request or the order cannot be read.",
        "The detail says what is wrong with it.",
        "contract.md",
    )
    BOARD_MOTION = (
        "board.motion",
        Law.BOARD,
        "Only a carried motion may do this, or the motion names what does not exist.",
        "Propose a motion, with the names that `swarmd tree` shows.",
    )
    FACT_INVALID = (
        "fact.invalid",
        Law.RECORDED,
        "An entry of the stream of facts has another form, or cannot follow from the accounts: it "
        "is not folded into the journal.",
        "If it was not you, somebody else writes to `swarm:_facts`: see who has a worker's user of "
        "Redis.",
        "journal.md#fsck",
    )
    ENVELOPE_FORGED = (
        "envelope.forged",
        Law.IDENTITY,
        "The message lacks the swarm's seal, was changed, or was moved here from another channel: "
        "it is passed over.",
        "Write with `swarmd` and the swarm's secret; if it was not you, somebody else writes to "
        "Redis.",
        "security.md",
    )
    ENVELOPE_REPLAYED = (
        "envelope.replayed",
        Law.IDENTITY,
        "A sealed message was seen before, or is an operator's that is older than 5 minutes.",
        "Give the order again, and compare the machines' clocks.",
        "security.md",
    )
    ENVELOPE_VERSION = (
        "envelope.version",
        Law.IDENTITY,
        "The message is authentic and of a major version that this release does not read: nothing "
        "of it is taken.",
        "Upgrade through the release that was left out.",
        "upgrading.md",
    )

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
