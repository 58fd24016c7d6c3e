"""Rules about agents and missions: how they begin, go on, stop and end."""

from __future__ import annotations

from swarmd.core.model.rules.row import Law, Row

SPAWN_TIER = Row(
    "spawn.tier",
    Law.SPAWN,
    "A tier was claimed that is not one below the requester's.",
    "Leave `tier` out: the supervisor sets it.",
)

SPAWN_PARENT = Row(
    "spawn.parent",
    Law.SPAWN,
    "A parent was claimed that is not the requester.",
    "Leave `parent` out: the supervisor sets it.",
)

SPAWN_DEPTH = Row(
    "spawn.depth",
    Law.SPAWN,
    "The child would stand below `depth_max`.",
    "Do the work yourself, or divide it higher up.",
)

SPAWN_FANOUT = Row(
    "spawn.fanout",
    Law.SPAWN,
    "The creator has `children_max` living children already.",
    "End one of them, or let a `lead` take a part.",
)

SPAWN_LIVE = Row(
    "spawn.live",
    Law.SPAWN,
    "The swarm has `agents_max` living agents already.",
    "Wait until some have ended, or raise the limit.",
)

SPAWN_RATE = Row(
    "spawn.rate",
    Law.SPAWN,
    "The mission has spawned `spawns_per_minute` agents within the last minute.",
    "Wait a minute, and look for agents that spawn in a loop.",
)

SPAWN_ROLE = Row(
    "spawn.role",
    Law.SPAWN,
    "There is no such role, or it may not stand at that tier.",
    "Choose another role: each declares its `tiers`.",
)

SPAWN_NAME = Row(
    "spawn.name",
    Law.SPAWN,
    "A living sibling has that name.",
    "Choose another name.",
)

SPAWN_KEY = Row(
    "spawn.key",
    Law.SPAWN,
    "A living child was made under that key.",
    "Choose another key.",
)

SPAWN_FILES = Row(
    "spawn.files",
    Law.SPAWN,
    "The child would get a file that its creator does not have.",
    "Give it files of your own charter alone.",
)

SPAWN_CHECKS = Row(
    "spawn.checks",
    Law.ACCEPTED,
    "The charter's checks would also take an empty text, or a text of another task.",
    "Add a check that only the result passes: `contains`, `cites` or `metric`.",
)

TASK_OPEN = Row(
    "task.open",
    Law.ACCEPTED,
    "A final report was given while a child was at work or mail was unread.",
    "Wait for the child or end it, read the mail, and report again.",
)

TASK_CHECKS = Row(
    "task.checks",
    Law.ACCEPTED,
    "A final report was given that does not pass the checks of its charter.",
    "Mend what the detail names and report again, or report with `done` false what is missing.",
)

TASK_STATE = Row(
    "task.state",
    Law.ACCEPTED,
    "What was handed in is not there to be sent back or accepted.",
    "`swarmd inspect` the agent: it shows the state of its task.",
)

ANCESTOR_ENDING = Row(
    "spawn.ancestor-ending",
    Law.TERMINATE,
    "An agent above is being ended, and nothing is made below it any more.",
    "Nothing can be done: that part of the tree is over.",
)

TERMINATE_DESCENDANT = Row(
    "terminate.descendant",
    Law.TERMINATE,
    "The agent to be ended does not stand below the requester, or is a seat of the board.",
    "Ask one of its ancestors, the board or an operator to end it; nobody ends a seat.",
)

STOP_TARGET = Row(
    "stop.target",
    Law.TERMINATE,
    "The target cannot be stopped, thawed or ended in this way.",
    "The detail says why, and `swarmd stops` lists what is stopped.",
)

FROZEN = Row(
    "stop.frozen",
    Law.TERMINATE,
    "A freeze holds the agent, something above it, its tier, the privilege or everything.",
    "`swarmd thaw` what `swarmd stops` or `swarmd why` names.",
)

DRAINING = Row(
    "stop.draining",
    Law.TERMINATE,
    "The agent is going to be ended: turns under way may end, and no other begins.",
    "Nothing can be done.",
)

HALTED = Row(
    "stop.halted",
    Law.TERMINATE,
    "A halt holds the agent, something above it or everything, and calls under way were cut.",
    "`swarmd thaw` what `swarmd stops` names; where it halted without a server, `thaw all`.",
)

DEADLINE = Row(
    "time.deadline",
    Law.ORPHANS,
    "The agent's deadline has passed, and it ends by its role's policy.",
    "Give a later deadline in the charter, never beyond its creator's.",
)

CRASHED = Row(
    "agent.crashed",
    Law.ORPHANS,
    "The agent crashed more than `restarts_max` times within `restart_seconds`, and is frozen.",
    "Look at its last words with `swarmd inspect`, then thaw or end it within `hold_seconds`.",
)

STALLED = Row(
    "agent.stalled",
    Law.SILENCE,
    "The agent has made no progress for `stall_seconds`: its superior is told, and nothing is "
    "ended.",
    "Direct it, freeze it or terminate it.",
    "law.md#stalls",
)

UNKNOWN_AGENT = Row(
    "agent.unknown",
    Law.TERMINATE,
    "There is no such living agent, or no such child of the requester.",
    "`swarmd ps` lists the living agents.",
)

AGENT_UNREADABLE = Row(
    "agent.unreadable",
    Law.ORPHANS,
    "The agent's record could not be read when the supervisor started: it is frozen with all "
    "below it.",
    "Restore the record and restart the supervisor, or `swarmd terminate` the agent; a thaw "
    "needs its charter back.",
    "journal.md#fsck",
)

UNKNOWN_MISSION = Row(
    "mission.unknown",
    Law.ACCEPTED,
    "There is no such open mission.",
    "`swarmd missions` lists them.",
)

MISSION_INVALID = Row(
    "mission.invalid",
    Law.LOST,
    "The mission's text, fields or files cannot be taken, and the reason says which.",
    "Correct it and submit it again.",
)

MISSION_CONFLICT = Row(
    "mission.conflict",
    Law.LOST,
    "The id belongs to a mission with other content.",
    "Choose another id.",
)

MISSION_DOCKET = Row(
    "mission.docket",
    Law.SILENCE,
    "`docket_max` missions are waiting already.",
    "Submit it again later, under the same id if it has one.",
)

MISSION_BUDGET = Row(
    "mission.budget",
    Law.BUDGET,
    "The mission's budget is less than any mission takes here, so that it would end unfinished.",
    "Submit it again with the sum that the reason names, or with fewer seats on the board.",
    "law.md#the-ledger",
)

MISSION_OPEN = Row(
    "mission.open",
    Law.RECORDED,
    "The mission has not ended: its record is still being written.",
    "Wait for its end, or `swarmd cancel` it, and then `swarmd forget` it.",
    "record.md#forget",
)

MISSION_OTHER = Row(
    "mission.other",
    Law.BOARD,
    "The motion names an agent of another mission.",
    "Name an agent of this mission.",
)

INCARNATION = Row(
    "incarnation.former",
    Law.INCARNATION,
    "It was made under an incarnation of the agent that is over.",
    "Nothing need be done: the present incarnation goes on.",
)

LEASE = Row(
    "lease.lost",
    Law.LOST,
    "The host no longer holds the agent, or did not renew its lease in time.",
    "Nothing need be done, for another host goes on; if it happens often, look at the network "
    "or for a blocked event loop.",
)

NO_LEAD = Row(
    "lead.none",
    Law.LOST,
    "No supervisor has led for longer than its lease of 10 s, so no call of a model or a tool "
    "begins.",
    "Start one with `swarmd up` or `swarmd supervisor`: the turn waits as it is and goes on by "
    "itself.",
)

FENCED = Row(
    "fence.path",
    Law.TERMINATE,
    "The agent, or something above it, is ending.",
    "Nothing can be done.",
)

BOARD_MOTION = Row(
    "board.motion",
    Law.BOARD,
    "Only a carried motion may do this, or the motion names what does not exist.",
    "Propose a motion, with the names that `swarmd tree` shows.",
)
