"""Shell completion of what a running swarm has (agents, missions, channels), and of refusals.

Invariant: it starts nothing, waits for little and never complains: where it cannot know, it offers
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing

from swarmd.adapters.redis.reader import View, view_of
from swarmd.cli import connection
from swarmd.core.model.channels import JOURNAL, MISSIONS, ORDERS, RESULTS
from swarmd.core.model.refusals import Rule
from swarmd.errors import SwarmError
from swarmd.settings import Settings

OFFERED_MAX = 200
_SPECIAL = ("all", "tier:", "room:", "tool:")


def agents(incomplete: str) -> list[str]:
    return _offered(incomplete, _agents)


def missions(incomplete: str) -> list[str]:
    return _offered(
        incomplete, lambda view: (one["id"] for one in view.missions() if not one.get("ended"))
    )


def references(incomplete: str) -> list[str]:
    return _offered(incomplete, lambda view: [*_agents(view), *view.mission_ids()])


def targets(incomplete: str) -> list[str]:
    """Of verbs that stop or end: also tiers, rooms, tools, everything."""
    if incomplete.startswith("room:"):
        return _offered(incomplete, lambda view: view.rooms())
    special = [one for one in _SPECIAL if one.startswith(incomplete)]
    return special + references(incomplete)


def channels(incomplete: str) -> list[str]:
    return _offered(incomplete, lambda view: {*view.channels(), JOURNAL, MISSIONS, ORDERS, RESULTS})


def refusals(incomplete: str) -> list[str]:
    """The codes of refusals, which stand in the program and take no server."""
    return [rule.value for rule in Rule if rule.value.startswith(incomplete)]


def _agents(view: View) -> list[str]:
    """Names and ids of the living, without the board's own."""
    living = [agent for agent in view.agents() if agent["id"] != "sob"]
    return [
        word
        for agent in living
        for word in dict.fromkeys((agent.get("name", ""), agent["id"]))
        if word
    ]


def _offered(incomplete: str, of: Callable[[View], Iterable[str]]) -> list[str]:
    try:
        settings = Settings.from_env(os.environ)
        target = connection.live(settings)
        if target is None:
            return []
        with closing(view_of(target, settings.namespace)) as view:
            found = sorted(word for word in of(view) if word.startswith(incomplete))
    except SwarmError:
        return []
    return found[:OFFERED_MAX]
