"""What of a mission's budget its executives can be given: what is free, less what the motion before
the board will likely take until it is carried, less what is kept for the motion after it. Pure.

What a seat's call takes is the average of those that the mission has paid, with a margin, and a
forecast before that. Where there is no forecast, as without a language model, a part in percent is
kept (`board_percent`), and no motion is reckoned with.
"""

from __future__ import annotations

import math
from typing import Final

from swarmd.core.ledger.ratio import MARGIN_PERCENT
from swarmd.core.model.estimate import Amounts, Estimate
from swarmd.core.model.names import MissionId, MissionState
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.records import Mission
from swarmd.core.model.state import Swarm

_KEPT_KINDS: Final = ("tokens", "cost", "calls")


def free_to_give(swarm: Swarm, account: str, first: Amounts | None = None) -> dict[str, int]:
    """What of an account its holder may give to those that it creates, once `first` is spent."""
    free = dict(swarm.observed.free.get(account, {}))
    for kind, n in (first or {}).items():
        free[kind] = free.get(kind, 0) - n
    for kind, kept in _kept_for_the_board(swarm, account, free).items():
        free[kind] = max(0, free.get(kind, 0) - kept)
    return free


def to_give(swarm: Swarm, mission: MissionId) -> dict[str, int]:
    """What a motion can give executives, as a seat is told that is called now: it is still there
    when the motion is carried, be it argued and put to the vote. Where that is less than an
    executive takes, it is what is there where nobody argues: a small budget has room for no more.
    """
    given = _left_after(swarm, mission, is_argued=True)
    estimate = swarm.observed.estimates.get(mission)
    if estimate is not None:
        brief = _left_after(swarm, mission, is_argued=False)
        for kind, n in estimate.executive.items():
            given[kind] = max(given.get(kind, 0), min(n, brief.get(kind, 0)))
    return given


def _left_after(swarm: Swarm, mission: MissionId, *, is_argued: bool) -> dict[str, int]:
    """With the calls of the present phase, which have begun to be made, and of those after it."""
    procedure = swarm.boards[mission]
    calls = _own_calls(procedure) + _later_calls(swarm, procedure, is_argued=is_argued)
    return free_to_give(swarm, mission, _taken_by(swarm, mission, calls))


def named_bounds(swarm: Swarm, account: str) -> tuple[dict[str, int], dict[str, int]]:
    """What a charter may name of an account, and what its proposer is told that it may be.

    A seat has been told less, for an argument and a vote may follow; so that what it was told is
    not refused because its own call took more than was expected.
    """
    procedure = swarm.boards.get(MissionId(account))
    if procedure is None or not procedure.is_for_one:
        free = free_to_give(swarm, account)
        return free, free
    calls = _later_calls(swarm, procedure, is_argued=False)
    bound = free_to_give(swarm, account, _taken_by(swarm, MissionId(account), calls))
    return bound, to_give(swarm, MissionId(account))


def _taken_by(swarm: Swarm, mission: MissionId, calls: int) -> dict[str, int]:
    estimate = swarm.observed.estimates.get(mission)
    if estimate is None:
        return {}
    return {kind: calls * n for kind, n in _seat_call(swarm, mission, estimate).items()}


def _seat_call(swarm: Swarm, mission: MissionId, estimate: Estimate) -> Amounts:
    """As the calls that the mission has paid itself have taken on average; before the first one, as
    it was forecast. Both with a margin, for the calls of a motion get longer to its end.
    """
    spent = swarm.observed.spent.get(mission, {})
    calls, taken = 1, estimate.seat_call
    if spent.get("calls", 0):
        calls, taken = spent["calls"], spent
    return {
        kind: 1 if kind == "calls" else math.ceil(taken[kind] * MARGIN_PERCENT / (100 * calls))
        for kind in estimate.seat_call
        if kind in taken
    }


# --- the calls of a motion ----------------------------------------------------------------------


def _own_calls(procedure: Procedure) -> int:
    """Of the phase that it is in; one where a seat is called to propose."""
    return len(procedure.calls) if procedure.stage in ("debate", "vote") else 1


def _later_calls(swarm: Swarm, procedure: Procedure, *, is_argued: bool) -> int:
    """Of the phases that follow. Where nobody argues, a short procedure ends with the debate."""
    bench, rounds = len(procedure.bench.seats), swarm.declared.board.rounds
    waiting = 0 if procedure.is_for_one else len(procedure.waiting)
    match procedure.stage:
        case "vote":
            return waiting
        case "respond":
            return bench - 1
        case "debate":
            return waiting + _decision_calls(procedure, is_argued=is_argued)
    debate = bench - 1 if procedure.kind == "brisk" else bench * rounds
    return debate + _decision_calls(procedure, is_argued=is_argued)


def _decision_calls(procedure: Procedure, *, is_argued: bool) -> int:
    bench = len(procedure.bench.seats)
    if procedure.kind == "full":
        return bench
    # The proposer's response is its vote. On a bench of one the lawful proposal is the decision.
    return bench if is_argued and bench > 1 else 0


# --- what is kept -------------------------------------------------------------------------------


def _kept_for_the_board(swarm: Swarm, account: str, free: Amounts) -> dict[str, int]:
    """Of a mission's budget a part stays the board's: it must be able to review and to deliver."""
    mission = swarm.missions.get(MissionId(account))
    if mission is None:
        return {}
    kept = _in_percent(swarm, mission, free)
    estimate = swarm.observed.estimates.get(mission.id)
    if estimate is None or mission.id not in swarm.boards:
        return kept
    return kept | _next_motion(swarm, mission.id, estimate, free)


def _in_percent(swarm: Swarm, mission: Mission, free: Amounts) -> dict[str, int]:
    percent = swarm.declared.limits.board_percent
    kept = {kind: mission.budget[kind] * percent // 100 for kind in _KEPT_KINDS}
    if mission.state is not MissionState.DEBATING:
        return kept
    # Until the first executive is made, what is gone was spent by the board: of its own part. As
    # much again is kept for the review at least.
    spent = {kind: max(0, mission.budget[kind] - free.get(kind, 0)) for kind in _KEPT_KINDS}
    return {kind: max(n - spent[kind], min(n, spent[kind])) for kind, n in kept.items()}


def _next_motion(swarm: Swarm, id: MissionId, estimate: Estimate, free: Amounts) -> dict[str, int]:
    """What the review takes, be it argued; but what the only executive takes at least is not kept
    from it.
    """
    fresh = swarm.boards[id].model_copy(update={"stage": "working"})
    calls = 1 + _later_calls(swarm, fresh, is_argued=True)
    kept = {}
    for kind, n in _taken_by(swarm, id, calls).items():
        spare = free.get(kind, 0) - _first_share(swarm, id, estimate, kind)
        kept[kind] = min(n + estimate.above.get(kind, 0), max(0, spare))
    return kept


def _first_share(swarm: Swarm, id: MissionId, estimate: Estimate, kind: str) -> int:
    """Nothing while an executive works."""
    return 0 if swarm.executives(id) else estimate.executive.get(kind, 0)
