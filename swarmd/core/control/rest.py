"""Which executives are at rest with nothing under way below them. Pure.

Nobody is woken who has no mail, so an executive that said nothing, or named a blocker, would rest
until its mission's time is over. What the store says of them is asked for those few alone who have
not got on for some seconds, and neither has any child of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from swarmd.core.board.standstill import REST_SECONDS, is_done, is_held_back
from swarmd.core.control.stalls import UNKNOWN, Standing, is_to_come
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, AgentState
from swarmd.core.model.state import Swarm
from swarmd.core.tasks.law import is_with_a_person

# Asked about in one look, executives and children together; who comes later is not at rest yet.
LOOKED_AT_MAX: Final = 500


def candidates(swarm: Swarm, now: float) -> list[Agent]:
    """Executives of missions that work or are reviewed and that may be at rest, as far as memory
    knows. In a review it decides whether there is anything to wait for.
    """
    return [e for e in _at_work(swarm) if _is_quiet(swarm, e, now)]


def _at_work(swarm: Swarm) -> Iterator[Agent]:
    for id, procedure in swarm.boards.items():
        if procedure.stage == "working" or procedure.in_review:
            yield from swarm.executives(id)


def _is_quiet(swarm: Swarm, executive: Agent, now: float) -> bool:
    lineage = swarm.lineage
    is_live = executive.state is AgentState.LIVE and executive.host in swarm.hosts
    if not is_live or lineage.is_ending(executive) or lineage.stop_on(executive) is not None:
        return False
    if is_with_a_person(swarm, executive):
        return False
    family = (executive, *lineage.children(executive.id))
    if is_done(swarm, executive) or is_held_back(swarm, executive):
        return False
    return all(swarm.observed.progress.noted_at(agent.id) + REST_SECONDS <= now for agent in family)


def asked_about(swarm: Swarm, executives: Sequence[Agent]) -> list[AgentId]:
    ids = [e.id for e in executives]
    asked = [*ids, *(child.id for id in ids for child in swarm.lineage.children(id))]
    return asked[:LOOKED_AT_MAX]


def note(
    swarm: Swarm, executives: Sequence[Agent], standings: Mapping[AgentId, Standing], now: float
) -> None:
    """Who rests, since it was first seen so; who does not any more is forgotten."""
    resting = swarm.observed.resting
    found = {e.id for e in executives if _rests(swarm, e, standings, now)}
    for id in [id for id in resting if id not in found]:
        del resting[id]
    for id in found:
        resting.setdefault(id, now)


def _rests(
    swarm: Swarm, executive: Agent, standings: Mapping[AgentId, Standing], now: float
) -> bool:
    own = standings.get(executive.id)
    if own is None or own.is_busy or own.has_mail or own.waits_until > now:
        return False
    children = swarm.lineage.children(executive.id)
    return not any(is_to_come(swarm, one, standings.get(one.id, UNKNOWN)) for one in children)
