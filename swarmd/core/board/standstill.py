"""Whether executives of a mission go on by themselves: done, at rest, held, or at work. Pure."""

from __future__ import annotations

from typing import Final

from swarmd.core.model.lineage import Agent, Stop
from swarmd.core.model.names import SUPERVISOR, AgentId, Authority, MissionId
from swarmd.core.model.state import Swarm

# Seconds for which an executive is seen at rest before it counts as one: a turn that is about to
# begin (a queue of turns, a directive on its way) begins within these.
REST_SECONDS: Final = 5.0


def is_all_done(swarm: Swarm, id: MissionId) -> bool:
    return all(is_done(swarm, executive) for executive in swarm.executives(id))


def is_done(swarm: Swarm, executive: Agent) -> bool:
    report = swarm.reports.get(executive.mission, {}).get(executive.id)
    return report is not None and report.is_done


def is_held_back(swarm: Swarm, executive: Agent) -> bool:
    """It has yet to begin, and comes after somebody who lives and has not given a final report."""
    board = swarm.boards.get(executive.mission)
    if board is None or executive.id in board.watch.begun:
        return False
    named = (swarm.lineage.get(AgentId(id)) for id in board.watch.after.get(executive.id, ()))
    return any(
        one is not None and not swarm.lineage.is_ending(one) and not is_done(swarm, one)
        for one in named
    )


def rests_since(swarm: Swarm, executive: Agent, now: float) -> float | None:
    since = swarm.observed.resting.get(executive.id)
    is_long_enough = since is not None and now - since >= REST_SECONDS
    return since if is_long_enough and not is_done(swarm, executive) else None


def forget_rests(swarm: Swarm, id: MissionId) -> None:
    """The board has decided: who was at rest before that has yet to hear of it. A quick board
    decides before the next look at its executives, and would be called again for the same.
    """
    for executive in swarm.executives(id):
        swarm.observed.resting.pop(executive.id, None)


def is_mission_at_rest(swarm: Swarm, id: MissionId, now: float) -> bool:
    return all(
        is_done(swarm, executive)
        or is_held_back(swarm, executive)
        or waits_for_board(swarm, executive, now)
        for executive in swarm.executives(id)
        if not swarm.lineage.is_ending(executive)
    )


def waits_for_board(swarm: Swarm, executive: Agent, now: float) -> bool:
    is_at_rest = rests_since(swarm, executive, now) is not None
    return is_at_rest or boards_stop(swarm, executive) is not None


def is_under_way(swarm: Swarm, id: MissionId, now: float) -> bool:
    """Does an executive go on without the board? Who is done, at rest, held by the supervisor or
    stalled does not.
    """
    return any(_goes_on(swarm, executive, now) for executive in swarm.executives(id))


def _goes_on(swarm: Swarm, executive: Agent, now: float) -> bool:
    trouble = swarm.troubles.get(executive.id)
    return not (
        swarm.lineage.is_ending(executive)
        or is_done(swarm, executive)
        or is_held_back(swarm, executive)
        or waits_for_board(swarm, executive, now)
        or supervisors_stop(swarm, executive) is not None
        or (trouble is not None and trouble.kind == "stalled")
    )


def supervisors_stop(swarm: Swarm, executive: Agent) -> Stop | None:
    """The supervisor holds it until its superior, the board, has mended it."""
    stops = swarm.lineage.stops
    stop = stops.get(f"={executive.id}") or stops.get(executive.id)
    if stop is None or stop.by != SUPERVISOR or stop.authority is not Authority.LINEAGE:
        return None
    return stop


def boards_stop(swarm: Swarm, executive: Agent) -> Stop | None:
    """A motion holds it, for no certain time: it goes on only if the board acts again."""
    stop = swarm.lineage.stop_on(executive)
    is_boards = stop is not None and stop.authority is Authority.BOARD and not stop.until
    return stop if is_boards else None
