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

    ACCOUNT_UNREADABLE = (
        "account.unreadable",
        "an account holds what is no number: nothing is given out of it",
    )
    AGENT_NOT_GIVEN_UP = "agent.not_given_up", "an agent could not be given up"
    AGENT_NOT_HERE = "agent.not_here", "this host may no longer act for an agent"
    AGENT_NOT_OURS = "agent.not_ours", "an agent is not for this swarmd"
    AGENT_STATE_UNREADABLE = (
        "agent.state_unreadable",
        "an agent's own state cannot be read, and it is not taken",
    )
    AGENT_UNREADABLE = "agent.unreadable", "the record of an agent cannot be read"
    CALL_CLOSED = "call.closed", "a seat's call is cut, for nobody waits for its answer any more"
    CALL_FAILED = "call.failed", "a call of a model failed, and is not tried again"
    CALL_REPEATED = "call.repeated", "a model call is repeated"
    CALL_UNREADABLE = "call.unreadable", "a call that cannot be read is passed over"
    COMMAND_REFUSED = "command.refused", "a command of the connection's own was refused"
    COMMIT_BLOCKED = "commit.blocked", "nothing can be committed; waiting until that is mended"
    COMMIT_REPEATED = "commit.repeated", "an account moved while it was decided on; deciding again"
    COMMIT_WITHOUT_KEYS = "commit.without_keys", "keys of another type were passed over in a commit"
    DECLARATIONS_OTHER = (
        "declarations.other",
        "this worker's policies and channels are not the supervisor's",
    )
    FACTS_REFUSED = "facts.refused", "entries of the stream of facts are refused"
    FILE_NOT_GIVEN = "file.not_given", "a file was not given to the mission"
    FILE_NOT_SEARCHED = "file.not_searched", "a file was left out of a search"
    FILES_BEYOND_BOUND = "files.beyond_bound", "a search looked into a part of the files"
    FILES_NOT_LISTED = "files.not_listed", "what was passed over cannot be kept"
    INPUT_DEAD = "input.dead", "an input cannot be decided; it is a dead letter"
    INPUT_TOO_LARGE = "input.too_large", "an input is larger than the server takes; it is refused"
    JOURNAL_ACCOUNTS_UNKNOWN = (
        "journal.accounts_unknown",
        "what the accounts hold by the journal cannot be told",
    )
    JOURNAL_DIFFERS = "journal.differs", "the journal in the store is not what was written"
    JOURNAL_END_LOST = "journal.end_lost", "the server lost the end of the journal"
    JOURNAL_NOT_ANCHORED = "journal.not_anchored", "the journal cannot be anchored"
    JOURNAL_NOT_SEALED = "journal.not_sealed", "the journal cannot be sealed"
    JOURNAL_RESTATED = "journal.restated", "the journal begins anew with a statement of all records"
    KEY_OTHER_TYPE = "key.other_type", "a key is not of our type: it is read as missing"
    KEY_WAITED_FOR = "key.waited_for", "waiting until a key is what it should be"
    KEYS_OCCUPIED = (
        "keys.occupied",
        "keys of the swarm hold something else; waiting until that is gone",
    )
    LEAD_BACK = "lead.back", "a supervisor leads again; turns that waited for one go on"
    LEAD_LOST = "lead.lost", "the lead was lost"
    LEAD_MISSING = "lead.missing", "waiting for a first supervisor"
    LEAD_TAKEN = "lead.taken", "leading"
    LEAD_WAITED_FOR = "lead.waited_for", "another supervisor leads; waiting for its lease to end"
    LOOP_CUT = "loop.cut", "a loop was cut: the turn's outputs were not sent"
    MARK_UNREADABLE = "mark.unreadable", "a mark cannot be read"
    MESSAGE_DEAD = "message.dead", "a message is a dead letter"
    MESSAGES_CUT = "messages.cut", "messages of an agent were cut"
    MESSAGES_FOREIGN = "messages.foreign", "messages that this swarm did not write were refused"
    MESSAGES_ONE_BY_ONE = (
        "messages.one_by_one",
        "an agent fails on several messages; it gets them one by one",
    )
    MISSION_FILES_LEFT = "mission.files_left", "a mission's files could not be removed"
    MISSION_TOO_LARGE = "mission.too_large", "a mission is too large to be stored; it is rejected"
    MISSION_UNREADABLE = "mission.unreadable", "a record of a mission cannot be read"
    MISSION_WAITS = "mission.waits", "a mission waits to be stored"
    MODEL_ANSWER_UNREADABLE = (
        "model.answer_unreadable",
        "a model's answer cannot be read, for a reason that swarmd does not know; the call failed",
    )
    MODEL_FORM_CHANGED = (
        "model.form_changed",
        "a model's server is asked in another form from now on",
    )
    PACE_BACK = "pace.back", "the rate limit that the workers share is asked for again"
    PACE_LOST = (
        "pace.lost",
        "the rate limit that the workers share cannot be asked for; this process keeps its own",
    )
    PACE_NOT_ASKED = (
        "pace.not_asked",
        "the rate limit that the workers share could not be asked for",
    )
    POSITIONS_LOST = (
        "positions.lost",
        "where the supervisor stood in its inputs is gone: it goes on at their ends",
    )
    PROCESS_ENDING = "process.ending", "ending; signal once more to end at once"
    HALT_FILE_UNREADABLE = (
        "process.halt_file_unreadable",
        "the data folder's brake cannot be watched",
    )
    HALT_NOT_TOLD = "process.halt_not_told", "halted, but the word of it could not be given"
    HALTED = "process.halted", "halted by the data folder's brake"
    TROUBLE_NOT_TOLD = (
        "process.trouble_not_told",
        "what is wrong could not be said in the data folder",
    )
    REPLICAS_BACK = "replicas.back", "a replica confirms again"
    REPLICAS_BEHIND = "replicas.behind", "no replica has confirmed: a fail-over now may lose it"
    REPLICAS_GONE = (
        "replicas.gone",
        "the server has no replica any more: a fail-over now would lose what it was given",
    )
    REPLICAS_UNKNOWN = (
        "replicas.unknown",
        "whether replicas have what is written cannot be asked for",
    )
    REPORT_NOT_WRITTEN = (
        "report.not_written",
        "a final report was sent, and could not be written into the workspace",
    )
    RINGS_ALLOWED = "rings.allowed", "the server lets this process subscribe again"
    RECORD_LEFT = "record.left", "the record of a mission could not be deleted; it is tried again"
    RECORD_LEFT_OUT = "record.left_out", "what was answered is left out of a mission's record"
    RECORD_REMOVED = "record.removed", "the record of a past mission was removed"
    RINGS_AWAY = "rings.away", "the pub/sub connection cannot be made"
    RINGS_DENIED = (
        "rings.denied",
        "the server does not let this process subscribe; streams are read once a second",
    )
    RINGS_LOST = "rings.lost", "the pub/sub connection was lost"
    SERVER_AWAY = "server.away", "the server is away; what waits is sent again"
    SERVER_BACK = "server.back", "the server is back"
    SERVER_ENDED = "server.ended", "the embedded server ended"
    SERVER_FULL = "server.full", "the server is full; what waits is sent again"
    SERVER_KILLED = "server.killed", "the embedded server did not stop and is killed"
    SERVER_NOT_STARTED = "server.not_started", "the embedded server did not start"
    SERVER_OTHER = "server.other", "the swarm's server is another one now"
    SERVER_REPLACED = (
        "server.replaced",
        "the server is another process than before; agents are taken up as it has them",
    )
    SERVER_RESTARTED = "server.restarted", "the embedded server had ended and was started again"
    SERVER_UNFIT = "server.unfit", "a requirement of the server is not met, or cannot be looked at"
    SERVER_WAITED_FOR = "server.waited_for", "waiting for the server"
    SERVER_WITHOUT_AOF = (
        "server.without_aof",
        "the server keeps no append-only file: if it restarts, acknowledged work is lost",
    )
    STREAM_FOREIGN = (
        "stream.foreign",
        "a channel holds entries of somebody else; they are not believed",
    )
    STREAM_SHORTER = "stream.shorter", "a stream is shorter than it was"
    TASKS_STUCK = "tasks.stuck", "turns that were cancelled have not ended"
    TURN_FAILED = "turn.failed", "an agent's turn failed"
    TURN_FAILED_AGAIN = "turn.failed_again", "an agent's turn failed again"
    TURN_HELD = "turn.held", "an agent's turn is held"
    TURNS_NOT_KEPT = "turns.not_kept", "the turns of an agent that ended could not be written down"
    TURN_WAITS_FOR_KEY = "turn.waits_for_key", "an agent's turn waits: a key holds something else"
    USER_ALLOWED = "user.allowed", "the server's user may do what it did before again"
    USER_DENIED = (
        "user.denied",
        "the server's user may not do what it did before; it is tried again",
    )
    WORKSPACE_OTHER = (
        "workspace.other",
        "this worker's workspace is not the swarm's: it takes no agents that need files",
    )
