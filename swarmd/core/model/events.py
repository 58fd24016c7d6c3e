"""What the journal tells: every kind of entry with what it means and the fields that it carries.

Each event is one row. An entry is made of a row alone (`entries.entry`), which holds it to its
fields; audit, replay and the command line ask for rows and not for words; the table of
docs/journal.md is printed from them. Nothing here imports a library, for the verbs that look pass
through it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self


class JournalEvent(StrEnum):
    """The subject and what became of it. A row has the name, the fields of `data` that each such
    entry carries beside `event` and `actor`, and what it means.

    Named so because the board's procedure and anyio have an `Event` of their own.
    """

    fields: tuple[str, ...]
    meaning: str

    MISSION_DOCKETED = (
        "mission.docketed",
        "budget digest files",
        "A mission was taken and waits for the board.",
    )
    MISSION_WAITING = (
        "mission.waiting",
        "",
        "A docketed mission goes on waiting, and why; its record's `reason` says the same.",
    )
    MISSION_REJECTED = ("mission.rejected", "rule", "A mission was not taken.")
    MISSION_OPENED = ("mission.opened", "", "The board began with a mission.")
    MISSION_ENDED = ("mission.ended", "state spent", "A mission has ended and its result is told.")
    BOARD_CALLED = ("board.called", "causes", "The board is called, and why.")
    BOARD_ANNOUNCED = ("board.announced", "", "The clerk said something in the board's room.")
    SEAT_IGNORED = ("seat.ignored", "", "A seat spoke out of turn, and it does not count.")
    SEAT_FAILED = ("seat.failed", "seat", "A seat's model failed for good: it abstains.")
    MOTION_EXECUTED = ("motion.executed", "motion_number", "A carried motion was executed, whole.")
    MOTION_REFUSED = (
        "motion.refused",
        "rule detail motion",
        "A carried motion was refused, and nothing of it was done.",
    )
    AGENT_SPAWNED = (
        "agent.spawned",
        "agent tier path caps privileges incarnation",
        "An agent was created by `actor`.",
    )
    AGENT_REPORTED = ("agent.reported", "done", "An executive reported to the board.")
    TASK_SUBMITTED = (
        "task.submitted",
        "agent digest checks",
        "An agent gave its final report; `checks` is how many of them held.",
    )
    TASK_DONE = (
        "task.done",
        "agent digest checks",
        "What an agent handed in was accepted by `actor`.",
    )
    TASK_RETURNED = (
        "task.returned",
        "agent digest checks",
        "What an agent handed in was sent back by `actor`.",
    )
    AGENT_ADOPTED = (
        "agent.adopted",
        "agent former parent held",
        "A child of an agent that ended went to that agent's creator.",
    )
    AGENT_RESTARTED = (
        "agent.restarted",
        "agent incarnation crashes rule",
        "An agent crashed and begins a new incarnation.",
    )
    AGENT_STALLED = (
        "agent.stalled",
        "agent rule seconds told",
        "An agent makes no progress; `told` is who was told of it.",
    )
    AGENT_BEGINS = (
        "agent.begins",
        "agent follows",
        "An executive begins that came after others; `follows` are the ids of those.",
    )
    AGENT_RESUMED = ("agent.resumed", "agent seconds", "A stalled agent makes progress again.")
    INTERVENTION_MADE = (
        "intervention.made",
        "agent rule detector step turns",
        "An agent goes on doing what `rule` refuses, and a step was taken; `turns` were refused.",
    )
    INTERVENTION_ENDED = (
        "intervention.ended",
        "agent rule detector step turns outcome",
        "What came of a step: `moved` or `did not move`.",
    )
    AGENT_STUCK = (
        "agent.stuck",
        "agent segment",
        "A host says that an agent ignores its end.",
    )
    REQUEST_REFUSED = (
        "request.refused",
        "rule detail request incarnation",
        "An agent's request was refused; of a spawn with its `type` and `key`.",
    )
    TURN_REFUSED = (
        "turn.refused",
        "rule detail turn count moves",
        "One rule refused moves within one turn, or the turn itself.",
    )
    MESSAGE_REFUSED = (
        "message.refused",
        "rule detail channel request",
        "A message is not authentic, is too old, comes from a former incarnation, or cannot be "
        "decided.",
    )
    ORDER_REFUSED = (
        "order.refused",
        "rule detail order outcome",
        "An operator's order was refused.",
    )
    FACTS_REFUSED = (
        "facts.refused",
        "rule detail request count",
        "Entries of the stream of facts are no facts.",
    )
    FACTS_FOLDED = (
        "facts.folded",
        "facts until",
        "What the scripts did to the ledger since the last such entry.",
    )
    STOP_SET = (
        "stop.set",
        "target kind agents",
        "A freeze, a halt or a drain began; `replaced` is the reason of the stop before it.",
    )
    STOP_CONFIRMED = (
        "stop.confirmed",
        "target kind",
        "What was seen of a stop, or that its target has ended.",
    )
    STOP_LIFTED = ("stop.lifted", "target", "A stop was lifted: a thaw.")
    STOP_REFUSED = (
        "stop.refused",
        "rule detail target",
        "A drain is over and its target could not be ended.",
    )
    PRIVILEGE_GRANTED = (
        "privilege.granted",
        "agent privilege right number",
        "A right was given to an agent.",
    )
    PRIVILEGE_REVOKED = (
        "privilege.revoked",
        "agent privilege right number agents",
        "A right was taken from an agent and those below it.",
    )
    ACCOUNT_FUNDED = ("account.funded", "account amounts", "An account was given more.")
    ACCOUNT_WARNED = (
        "account.warned",
        "account warned own left",
        "Most of an account's own is used; `warned` is the kind.",
    )
    ACCOUNT_OVERDRAWN = (
        "account.overdrawn",
        "account rule call overdraft",
        "A call cost more than its reserve.",
    )
    PERIOD_BEGUN = ("period.begun", "period", "A new period of the root's budget began.")
    SUBTREE_FENCED = (
        "subtree.fenced",
        "segment",
        "An agent or a mission is being ended, with all below it.",
    )
    SUBTREE_CONFIRMED = (
        "subtree.confirmed",
        "segment agents",
        "A host says that what had ignored its end is gone after all.",
    )
    SUBTREE_REAPED = ("subtree.reaped", "segment agents", "Records of ended agents were removed.")
    SUBTREE_ENDED = (
        "subtree.ended",
        "segment confirmed unconfirmed unreachable",
        "An end is over, and what was seen of each agent.",
    )
    APPROVAL_REQUESTED = (
        "approval.requested",
        "approval needs rule digest request expires",
        "Something is kept until permission is given.",
    )
    APPROVAL_GIVEN = ("approval.given", "approval digest", "Permission was given.")
    APPROVAL_DENIED = ("approval.denied", "approval digest rule", "Permission was denied.")
    APPROVAL_WITHDRAWN = (
        "approval.withdrawn",
        "approval digest",
        "Nobody is asked any more: what permission was asked for was changed.",
    )
    APPROVAL_EXPIRED = (
        "approval.expired",
        "approval digest rule",
        "Nobody gave or denied permission in time.",
    )
    OVERRIDE_SET = (
        "override.set",
        "override kind target sets expires reversal",
        "A decision is replaced for a time.",
    )
    OVERRIDE_ENDED = ("override.ended", "override how", "An override lapsed or was taken back.")
    HOST_JOINED = ("host.joined", "host", "A host was seen for the first time.")
    HOST_LOST = ("host.lost", "host agents", "A host's lease ended; its agents are placed anew.")
    DEAD_ADDED = (
        "dead.added",
        "rule agent channel message tries",
        "A message on which its reader failed again and again was set aside.",
    )
    DEAD_RETRIED = (
        "dead.retried",
        "letter reader channel message order outcome",
        "A dead letter was handed out once more.",
    )
    DEAD_DROPPED = (
        "dead.dropped",
        "letter reader channel message order outcome",
        "A dead letter was given up.",
    )
    MAIL_SKIPPED = (
        "mail.skipped",
        "agent gap",
        "An agent was led past messages that were trimmed before it read them.",
    )
    POSITION_RECOVERED = (
        "position.recovered",
        "channel",
        "An input ends before what was read of it: entries may be lost.",
    )
    JOURNAL_RECOVERED = (
        "journal.recovered",
        "gap lost continues",
        "The store lost the end of the journal, and it goes on before that.",
    )
    JOURNAL_RESTATED = (
        "journal.restated",
        "why accounts facts_until",
        "The whole state is stated anew, for the entries before do not lead to it.",
    )
    JOURNAL_ACKNOWLEDGED = (
        "journal.acknowledged",
        "entry reason order outcome",
        "An operator has looked into a gap.",
    )
    RECORD_FORGOTTEN = (
        "record.forgotten",
        "reason order outcome",
        "An operator had the record of a mission deleted.",
    )
    STATE_CHANGED = (
        "state.changed",
        "",
        "What no other entry tells: placements, votes.",
    )
    STATE_REPAIRED = (
        "state.repaired",
        "target steps order outcome",
        "An operator had the supervisor put records back.",
    )

    # The defaults are for the type checker, which takes a look-up by its value for a call of this.
    def __new__(cls, name: str, fields: str = "", meaning: str = "") -> Self:
        event = str.__new__(cls, name)
        event._value_ = name
        event.fields = tuple(fields.split())
        event.meaning = meaning
        return event


# What these tell changes nothing, so that no such entry has effects.
REFUSALS: Final = frozenset(
    {
        JournalEvent.MISSION_REJECTED,
        JournalEvent.SEAT_IGNORED,
        JournalEvent.MOTION_REFUSED,
        JournalEvent.REQUEST_REFUSED,
        JournalEvent.TURN_REFUSED,
        JournalEvent.MESSAGE_REFUSED,
        JournalEvent.ORDER_REFUSED,
        JournalEvent.FACTS_REFUSED,
        JournalEvent.STOP_REFUSED,
    }
)
