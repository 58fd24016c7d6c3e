"""Which hosts have confirmed that an agent is gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from swarmd.core.model.lineage import Agent, Fence
from swarmd.core.model.names import HostId
from swarmd.core.model.state import Draft, Ending, Swarm
from swarmd.core.model.tables import TROUBLES, Drop

# How long a host that renews its lease is given to say that an ended subtree's tasks are gone.
WORD_SECONDS: Final = 5.0


def forget_stuck(draft: Draft, host: HostId, segment: str = "") -> None:
    """What ignored its end there has gone: by the host's word, or with the host."""
    for id, trouble in list(draft.swarm.troubles.items()):
        if trouble.kind == "stuck" and trouble.host == host and segment in ("", trouble.segment):
            draft.add(Drop(TROUBLES, id))


def with_counts(mark: Fence, seen: Mapping[str, int]) -> Fence:
    return replace(
        mark,
        confirmed=mark.confirmed + seen["confirmed"],
        unconfirmed=mark.unconfirmed + seen["unconfirmed"],
        unreachable=mark.unreachable + seen["unreachable"],
    )


def seen_ended(swarm: Swarm, ending: Ending, agent: Agent, now: float) -> str | None:
    """How sure is the end of an agent? `None`: not yet known, wait."""
    if not agent.host:
        return "confirmed"
    if agent.host in ending.words:
        return "unconfirmed" if agent.id in ending.stuck else "confirmed"
    if agent.host not in swarm.hosts:
        return "unreachable"
    # A host that has not renewed since may be dead already: its lease says which, and soon.
    is_alive = swarm.observed.renewed.get(agent.host, 0.0) > ending.since
    return "unconfirmed" if is_alive and now > ending.since + WORD_SECONDS else None


def listed_counts(counts: Mapping[str, int]) -> str:
    """`3 confirmed, 0 unconfirmed`."""
    return ", ".join(f"{n} {how}" for how, n in counts.items())
