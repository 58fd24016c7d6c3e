"""Rules about what somebody may do: privileges, budgets, permission, authority, overrides."""

from __future__ import annotations

from swarmd.core.model.rules.row import Law, Row

PRIVILEGE_SUBSET = Row(
    "privilege.subset",
    Law.PRIVILEGES,
    "The child would get a privilege that its creator may not hand out.",
    "Ask for less, or ask somebody who may hand it out.",
)

PRIVILEGE_FORBIDDEN = Row(
    "privilege.forbidden",
    Law.PRIVILEGES,
    "`limits.yaml` forbids this privilege to everybody.",
    "Do without it, or take it out of `forbidden`.",
)

PRIVILEGE_USE = Row(
    "privilege.use",
    Law.PRIVILEGES,
    "The agent may not use this role, model, function, file or room.",
    "Give its role or its charter the privilege: `swarmd why NAME PATH` shows what is missing.",
)

PRIVILEGE_GRANT = Row(
    "privilege.grant",
    Law.PRIVILEGES,
    "The agent may not hand this privilege out, whether it may use it or not.",
    "Ask whoever may: `swarmd why NAME PATH --right grant` names them.",
)

PRIVILEGE_REVOKED = Row(
    "privilege.revoked",
    Law.PRIVILEGES,
    "The privilege was taken from the agent, or from somebody above it.",
    "`swarmd why NAME PATH` says who took it: only an authority of at least that rank gives it "
    "back.",
)

FUNCTION_UNKNOWN = Row(
    "function.unknown",
    Law.PRIVILEGES,
    "There is no such function, or the agent's role does not name it.",
    "Use one of those that the detail names, or name it under `functions` of the role.",
)

FUNCTION_ARGUMENTS = Row(
    "function.arguments",
    Law.SILENCE,
    "The arguments do not fit the function.",
    "Correct what the detail names, and use the function again.",
)

BUDGET_SHARE = Row(
    "budget.share",
    Law.BUDGET,
    "The charter asks for more than the creator's account has free.",
    "Ask for less.",
)

BUDGET_EXHAUSTED = Row(
    "budget.exhausted",
    Law.BUDGET,
    "The account has nothing left to give, or less than the call would reserve.",
    "`swarmd fund` it within `hold_seconds`; if it is a mission's own account, the mission "
    "ends as `exhausted` with exit code 8.",
    "law.md#the-ledger",
)

BUDGET_OVERDRAFT = Row(
    "budget.overdraft",
    Law.BUDGET,
    "A call cost more than its reserve, so the account begins no other.",
    "`swarmd fund` it, or `swarmd thaw` it to take note and go on; if it is a mission's own "
    "account, the mission ends as `exhausted`.",
    "law.md#the-ledger",
)

BUDGET_UNREADABLE = Row(
    "budget.unreadable",
    Law.BUDGET,
    "A field of the account is not a number, because somebody else wrote it: its agent or "
    "mission is frozen.",
    "Run `swarmd fsck --repair`, then `swarmd thaw` what is frozen.",
    "journal.md#fsck",
)

AUTHORITY = Row(
    "authority.descendant",
    Law.PRECEDENCE,
    "Whoever asks is not above the agent that would be stopped, funded, changed or answered.",
    "Ask one of its ancestors, the board or an operator.",
)

PRECEDENCE = Row(
    "authority.precedence",
    Law.PRECEDENCE,
    "A higher authority set what this would change.",
    "Ask an authority of at least that rank: operators stand over the board, and the board "
    "over agents.",
)

APPROVAL_NEEDED = Row(
    "approval.needed",
    Law.PRIVILEGES,
    "The role, the privilege or the result takes the permission of the board or an operator.",
    "Wait: the answer comes by itself, and `swarmd approvals` lists what is waiting.",
    "law.md#permission",
)

APPROVAL_DENIED = Row(
    "approval.denied",
    Law.PRIVILEGES,
    "The permission that this takes was denied.",
    "Do without it, or report it.",
    "law.md#permission",
)

APPROVAL_EXPIRED = Row(
    "approval.expired",
    Law.SILENCE,
    "Nobody gave or denied the permission within `approval_seconds`.",
    "Do without it, or report it.",
    "law.md#permission",
)

APPROVAL_UNKNOWN = Row(
    "approval.unknown",
    Law.PRIVILEGES,
    "What is answered is not waiting, or no longer: a permission is for one use.",
    "`swarmd approvals` lists what is waiting.",
    "law.md#permission",
)

TAINT_PERMISSION = Row(
    "taint.permission",
    Law.IDENTITY,
    "The turn has read text from outside the swarm, and what it asks for widens rights or reaches "
    "outside, or whatever else `limits.taint` names.",
    "Go on with what takes no permission, and report up what you would order; you are told when it "
    "is given, denied or lapsed.",
    "law.md#permission",
)

OVERRIDE_ACTIVE = Row(
    "override.active",
    Law.PRECEDENCE,
    "An override by a higher authority stands.",
    "Wait until it lapses, or ask whoever set it.",
    "law.md#overrides",
)

OVERRIDE_INVALID = Row(
    "override.invalid",
    Law.PRECEDENCE,
    "There is nothing of this kind to override, or only an operator may.",
    "The detail says which.",
    "law.md#overrides",
)
