"""The names of channels, without the namespace."""

from __future__ import annotations

from typing import Final

from swarmd.core.model.names import SOB, AgentId, Channel, HostId

MISSIONS: Final = Channel("missions")


RESULTS: Final = Channel("results")


ORDERS: Final = Channel("orders")


REQUESTS: Final = Channel("requests")


JOURNAL: Final = Channel("journal")


# Messages on which their reader failed again and again, with all that it takes to hand them out
# once more.
DEAD: Final = Channel("dead")


BOARD_ROOM: Final = Channel("room:sob")


def room(name: str) -> Channel:
    return Channel(f"room:{name}")


def down(agent: AgentId) -> Channel:
    return Channel(f"down:{agent}")


def up(agent: AgentId) -> Channel:
    return Channel(f"up:{agent}")


def inbox(agent: AgentId) -> Channel:
    return Channel(f"inbox:{agent}")


def host_channel(host: HostId) -> Channel:
    """Private: on it a host hears which agents it was given and which were fenced."""
    return Channel(f"_placed:{host}")


# What the supervisor reads and decides on, message by message. Reports before the board's room, or
# the last vote would carry a motion over a report that was read with it.
INPUTS: Final = (REQUESTS, ORDERS, up(SOB), BOARD_ROOM)


# The name under which it keeps its place among the facts that scripts tell; no channel of
# anybody's.
FACTS: Final = Channel("_facts")
