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


# On whose behalf a mission runs. Until persons are declared everybody is this one.
OWNER: Final = "@owner"


OPERATOR: Final = AgentId("operator")


CLERK: Final = AgentId("clerk")


SUPERVISOR: Final = AgentId("supervisor")


# Whose word it is that a time is over for which an agent waited.
TIMER: Final = AgentId("timer")


# Who halted everything where it was the data folder's brake and not an order: an operator's hand
# all the same.
BRAKE: Final = AgentId("brake")


ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


FIRST: Final = StreamId("0-0")


class Authority(IntEnum):
    """Whose word it is: operator over board over lineage (law 6). What one set, only its equal
    or better lifts.
    """

    LINEAGE = 1
    BOARD = 2
    OPERATOR = 3


# How the reason of an executive begins that has yet to begin; the names of those before it follow.
BEGINS_AFTER: Final = "begins after"


class AgentState(StrEnum):
    STARTING = "starting"
    LIVE = "live"
    FROZEN = "frozen"
    DRAINING = "draining"
    TERMINATED = "terminated"


class TaskState(StrEnum):
    ACCEPTED = "accepted"
    HANDED_IN = "handed_in"
    DONE = "done"
    REJECTED = "rejected"
    LAPSED = "lapsed"


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
