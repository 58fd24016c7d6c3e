"""Rules about messages: how they travel, who wrote them, and whether they can be read."""

from __future__ import annotations

from swarmd.core.model.rules.row import Law, Row

POISON = Row(
    "message.poison",
    Law.LOST,
    "The message failed its reader `tries_max` times, or the supervisor could not decide it: "
    "it is a dead letter.",
    "Find it with `swarmd dead ls`, mend the cause, then `swarmd dead retry` it.",
    "storage.md#dead-letters",
)

UNKNOWN_LETTER = Row(
    "dead.unknown",
    Law.LOST,
    "There is no such dead letter, or no longer.",
    "`swarmd dead ls` lists those that there are.",
    "storage.md#dead-letters",
)

HOPS = Row(
    "bus.hops",
    Law.IDLE,
    "The chain of turns is longer than `hops_max`: what the turn sent is dropped, but for a "
    "final report, and the agent ends.",
    "Change the roles of agents that answer each other without end.",
    "law.md#guards-on-the-bus",
)

RATE = Row(
    "bus.rate",
    Law.IDLE,
    "The sender has sent `messages_per_minute` messages within the last minute, and what is "
    "beyond is not sent.",
    "Say less: a longer text is one message, or a file.",
    "law.md#guards-on-the-bus",
)

NO_PROGRESS = Row(
    "bus.no-progress",
    Law.IDLE,
    "`unchanged_max` turns of the agent in a row changed nothing: no new result, reference, "
    "request or task. What such a turn says is not sent.",
    "Do something else, give a reference that is new, `wait`, or report `done`.",
    "law.md#guards-on-the-bus",
)

CHANNEL = Row(
    "bus.channel",
    Law.PRIVILEGES,
    "There is no such room for this agent, or the message is too long.",
    "Use a room that it is a member of, and a file for a long text.",
)

REQUEST_INVALID = Row(
    "request.invalid",
    Law.SILENCE,
    "The request or the order cannot be read.",
    "The detail says what is wrong with it.",
    "contract.md",
)

FACT_INVALID = Row(
    "fact.invalid",
    Law.RECORDED,
    "An entry of the stream of facts has another form, or cannot follow from the accounts: it "
    "is not folded into the journal.",
    "If it was not you, somebody else writes to `swarm:_facts`: see who has a worker's user of "
    "Redis.",
    "journal.md#fsck",
)

ENVELOPE_FORGED = Row(
    "envelope.forged",
    Law.IDENTITY,
    "The message lacks the swarm's seal, was changed, or was moved here from another channel: "
    "it is passed over.",
    "Write with `swarmd` and the swarm's secret; if it was not you, somebody else writes to Redis.",
    "security.md",
)

ENVELOPE_REPLAYED = Row(
    "envelope.replayed",
    Law.IDENTITY,
    "A sealed message was seen before, or is an operator's that is older than 5 minutes.",
    "Give the order again, and compare the machines' clocks.",
    "security.md",
)

ENVELOPE_VERSION = Row(
    "envelope.version",
    Law.IDENTITY,
    "The message is authentic and of a major version that this release does not read: nothing "
    "of it is taken.",
    "Upgrade through the release that was left out.",
    "upgrading.md",
)
