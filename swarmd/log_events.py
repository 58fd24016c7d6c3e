"""What the log lines of swarmd's processes tell: a key for programs and a sentence for people.

A line names its event here and gives its facts as fields, so that whoever searches or counts lines
need not read sentences.
"""

from __future__ import annotations

from enum import StrEnum


class LogEvent(StrEnum):
    meaning: str

    def __new__(cls, key: str, meaning: str) -> LogEvent:
        event = str.__new__(cls, key)
        event._value_ = key
        event.meaning = meaning
        return event

    LEAD_WAITED_FOR = "lead.waited_for", "another supervisor leads; waiting for its lease to end"
    LEAD_TAKEN = "lead.taken", "leading"
    LEAD_LOST = "lead.lost", "the lead was lost"
    LEAD_BACK = "lead.back", "a supervisor leads again; turns that waited for one go on"
    LEAD_MISSING = "lead.missing", "waiting for a first supervisor"
    FACTS_REFUSED = "facts.refused", "entries of the stream of facts are refused"
    INPUT_DEAD = "input.dead", "an input cannot be decided; it is a dead letter"
    INPUT_TOO_LARGE = "input.too_large", "an input is larger than the server takes; it is refused"
    STREAM_SHORTER = "stream.shorter", "a stream is shorter than it was"
    COMMIT_BLOCKED = "commit.blocked", "nothing can be committed; waiting until that is mended"
    COMMIT_REPEATED = "commit.repeated", "an account moved while it was decided on; deciding again"
    MISSION_WAITS = "mission.waits", "a mission waits to be stored"
    MISSION_TOO_LARGE = "mission.too_large", "a mission is too large to be stored; it is rejected"
    MISSION_FILES_LEFT = "mission.files_left", "a mission's files could not be removed"
    JOURNAL_RESTATED = "journal.restated", "the journal is stated anew"
    JOURNAL_END_LOST = "journal.end_lost", "the server lost the end of the journal"
    JOURNAL_NOT_SEALED = "journal.not_sealed", "the journal cannot be sealed"
    JOURNAL_NOT_ANCHORED = "journal.not_anchored", "the journal cannot be anchored"
    JOURNAL_DIFFERS = "journal.differs", "the journal in the store is not what was written"
    JOURNAL_ACCOUNTS_UNKNOWN = (
        "journal.accounts_unknown",
        "what the accounts hold by the journal cannot be told",
    )
    MESSAGES_ONE_BY_ONE = (
        "messages.one_by_one",
        "an agent fails on several messages; it gets them one by one",
    )
    MESSAGE_DEAD = "message.dead", "a message is a dead letter"
    MESSAGES_CUT = "messages.cut", "messages of an agent were cut"
    MESSAGES_FOREIGN = "messages.foreign", "what was no message of this swarm's was refused"
    LOOP_CUT = "loop.cut", "a loop was cut: the turn's outputs were not sent"
    CALL_FAILED = "call.failed", "an agent's thought failed"
    CALL_UNREADABLE = "call.unreadable", "a call that cannot be read is passed over"
    CALL_REPEATED = "call.repeated", "a model call is repeated"
    TASKS_STUCK = "tasks.stuck", "tasks ignore their end"
    SERVER_REPLACED = (
        "server.replaced",
        "the server is another process than before; agents are taken up as it has them",
    )
    SERVER_WAITED_FOR = "server.waited_for", "waiting for the server"
    SERVER_WITHOUT_AOF = (
        "server.without_aof",
        "the server keeps no append-only file: if it restarts, acknowledged work is lost",
    )
    AGENT_STATE_UNREADABLE = (
        "agent.state_unreadable",
        "an agent's own state cannot be read, and it is not taken",
    )
    AGENT_NOT_GIVEN_UP = "agent.not_given_up", "an agent could not be given up"
    TURN_FAILED = "turn.failed", "an agent's turn failed"
    TURN_FAILED_AGAIN = "turn.failed_again", "an agent's turn failed again"
    TURN_WAITS_FOR_KEY = "turn.waits_for_key", "an agent's turn waits: a key holds something else"
    TURN_HELD = "turn.held", "an agent's turn is held"
    KEY_WAITED_FOR = "key.waited_for", "waiting until a key is what it should be"
    KEYS_OCCUPIED = (
        "keys.occupied",
        "keys of the swarm hold something else; waiting until that is gone",
    )
    WORKSPACE_OTHER = (
        "workspace.other",
        "this worker's workspace is not the swarm's: it takes no agents that need files",
    )
    DECLARATIONS_OTHER = (
        "declarations.other",
        "this worker's policies and channels are not the supervisor's",
    )
    PROCESS_ENDING = "process.ending", "ending; once more to end at once"
    HALTED = "process.halted", "halted by the data folder's brake"
    HALT_NOT_TOLD = "process.halt_not_told", "halted, but the word of it could not be given"
    TROUBLE_NOT_TOLD = (
        "process.trouble_not_told",
        "what is wrong could not be said in the data folder",
    )
