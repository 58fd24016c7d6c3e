"""Shell completion of what a running swarm has (agents, missions, channels), and of refusals.

Invariant: it starts nothing, waits for little and never complains: where it cannot know, it offers
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from swarmd.cli import connection
from swarmd.core.model.channels import JOURNAL, MISSIONS, ORDERS, RESULTS
from swarmd.core.model.names import SOB
from swarmd.core.model.refusals import Rule
from swarmd.errors import SwarmError
from swarmd.settings import Settings

if TYPE_CHECKING:
    from swarmd.ports.reader import Reader

OFFERED_MAX = 200
_SPECIAL = ("all", "tier:", "room:", "tool:")


def agents(incomplete: str) -> list[str]:
    return _offered(incomplete, _agents)


def missions(incomplete: str) -> list[str]:
    return _offered(
        incomplete, lambda reader: (one.id for one in reader.missions() if not one.ended)
    )


def ended_missions(incomplete: str) -> list[str]:
    return _offered(incomplete, lambda reader: (one.id for one in reader.missions() if one.ended))


def references(incomplete: str) -> list[str]:
    return _offered(incomplete, lambda reader: [*_agents(reader), *reader.mission_ids()])


def targets(incomplete: str) -> list[str]:
    """Of verbs that stop or end: also tiers, rooms, tools, everything."""
    if incomplete.startswith("room:"):
        return _offered(incomplete, lambda reader: reader.rooms())
    special = [one for one in _SPECIAL if one.startswith(incomplete)]
    return special + references(incomplete)


def channels(incomplete: str) -> list[str]:
    return _offered(
        incomplete, lambda reader: {*reader.channels(), JOURNAL, MISSIONS, ORDERS, RESULTS}
    )


def refusals(incomplete: str) -> list[str]:
    """The codes of refusals, which stand in the program and take no server."""
    return [rule.value for rule in Rule if rule.value.startswith(incomplete)]


def _agents(reader: Reader) -> list[str]:
    """Names and ids of the living, without the board's own."""
    living = [agent for agent in reader.agents() if agent.id != SOB]
    return [word for agent in living for word in dict.fromkeys((agent.name, agent.id)) if word]


def _offered(incomplete: str, of: Callable[[Reader], Iterable[str]]) -> list[str]:
    try:
        settings = Settings.from_env(os.environ)
        target = connection.live(settings)
        if target is None:
            return []
        with closing(connection.reader_of(settings, target)) as reader:
            found = sorted(word for word in of(reader) if word.startswith(incomplete))
    except SwarmError:
        return []
    return found[:OFFERED_MAX]
