"""A review that fails ends a mission whose work is over, and none while an executive works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.board.standstill import REST_SECONDS, is_under_way
from swarmd.core.control import orphans
from swarmd.core.model.changes import Change
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import MissionState
from swarmd.core.model.records import Trouble
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import BOARDS
from tests.core.board.test_agenda import AT_REST, _look
from tests.core.board.test_hearing import (
    DELIVER,
    DIRECT,
    all_answer,
    board,
    call,
    calls,
    consent,
    keep,
    propose,
    reviewing,
    vote,
)
from tests.core.swarm_builder import MISSION, World, journal

FALLS_MAX: Final = 3
WAIT: Final = {"motion": "wait", "reason": "two goes on"}


def fall(w: World) -> list[Change]:
    """The board does not want the motion that it is asked for."""
    propose(w, DIRECT)
    all_answer(w, Kind.ARGUMENT, stance="object")
    return w.answer(MISSION, Kind.RESPONSE, decision="withdraw")


def fall_for_good(w: World) -> list[Change]:
    changes: list[Change] = []
    for _ in range(FALLS_MAX):
        changes += fall(w)
    return changes


def fallen() -> tuple[World, Agent, Agent]:
    """The board could not agree on what to do about one, and two works."""
    w, one, two = reviewing(falls_max=FALLS_MAX)
    fall_for_good(w)
    return w, one, two


def is_open(w: World) -> bool:
    return board(w).phase == "review"


def come_to_rest(w: World) -> None:
    for _ in range(2):
        _look(w, REST_SECONDS + 1, one=AT_REST, two=AT_REST)


def test_a_review_that_falls_for_good_ends_no_mission_while_an_executive_works() -> None:
    w, _, _ = reviewing(falls_max=FALLS_MAX)
    changes = fall_for_good(w)
    assert w.swarm.missions[MISSION].state is MissionState.WORKING
    assert (board(w).stage, w.swarm.missions[MISSION].ending) == ("working", None)
    (line,) = [one for one in journal(changes, "board.announced") if "set_aside" in one.data]
    assert line.text.startswith(
        "The review is set aside, for executives work: 3 motions in a row fell, the last one: "
        "withdrawn by "
    )


def test_it_is_not_put_again_until_something_has_come() -> None:
    w, _, _ = fallen()
    for _ in range(3):
        _look(w, REST_SECONDS + 1, one=AT_REST)
        assert not calls(w.tick())
    assert board(w).stage == "working"


def test_it_is_put_again_with_the_next_report() -> None:
    w, one, two = fallen()
    for _ in range(2):
        _look(w, REST_SECONDS + 1, one=AT_REST)
    asked = call(w.report(two, "half of it", done=False))
    assert [(item["kind"], item["agent"]) for item in asked["agenda"]] == [("blocker", one.id)]
    assert asked["fallen"]["motion"]["motion"] == "direct"
    assert asked["falls"] == FALLS_MAX - 1
    propose(w, WAIT)
    consent(w)
    assert (board(w).stage, board(w).falls) == ("working", 0)


def test_it_is_put_again_when_nobody_works_any_more_and_then_one_fall_ends_the_mission() -> None:
    w, _, two = fallen()
    w.report(two, "here is all of it")
    assert board(w).stage == "working", "one has not been seen at rest since"
    come_to_rest(w)
    w.tick()
    assert is_open(w)
    fall(w)
    mission = w.swarm.missions[MISSION]
    assert mission.ending is MissionState.FAILED
    assert "3 motions in a row fell" in mission.reason
    assert "here is all of it" in mission.result, "what there is"


def test_what_was_set_aside_may_still_be_delivered() -> None:
    w, _, two = fallen()
    w.report(two, "here is all of it")
    come_to_rest(w)
    w.tick()
    propose(w, DELIVER)
    consent(w)
    assert w.swarm.missions[MISSION].ending is MissionState.DELIVERED


def _nobody_proposes(w: World) -> None:
    for _ in range(6):
        w.tick(w.swarm.declared.board.seat_seconds + 1)


def _all_motions_are_used_up(w: World) -> None:
    while board(w).stage != "working":
        fall(w)


@pytest.mark.parametrize(
    ("fail", "falls_max", "why"),
    [
        (_nobody_proposes, FALLS_MAX, "no seat proposed a motion"),
        (_all_motions_are_used_up, 12, "the board used up its 5 motions"),
    ],
)
def test_a_review_that_fails_otherwise_ends_no_mission_either(
    fail: Callable[[World], None], falls_max: int, why: str
) -> None:
    w, _, two = reviewing(falls_max=falls_max, motions_max=5)
    fail(w)
    assert (board(w).stage, board(w).failure) == ("working", "")
    w.report(two, "here is all of it")
    come_to_rest(w)
    w.tick()
    if is_open(w):
        fail(w)
    assert w.swarm.missions[MISSION].ending is MissionState.FAILED
    assert why in w.swarm.missions[MISSION].reason


def test_where_nobody_works_the_last_fall_ends_the_mission_at_once() -> None:
    w, _, two = reviewing(falls_max=FALLS_MAX)
    w.swarm.observed.resting[two.id] = w.now - 60
    fall_for_good(w)
    assert w.swarm.missions[MISSION].ending is MissionState.FAILED


def test_who_is_held_or_stalled_goes_on_by_itself_no_more() -> None:
    w, _, two = reviewing()
    assert is_under_way(w.swarm, MISSION, w.now)
    w.swarm.troubles[two.id] = Trouble("stalled", w.now, "no turn ended")
    assert not is_under_way(w.swarm, MISSION, w.now)
    del w.swarm.troubles[two.id]
    orphans.hold(w.renew(), two, Rule.BUDGET_EXHAUSTED, "tokens: 40 needed, 2 free")
    assert not is_under_way(w.swarm, MISSION, w.now)


def test_who_rests_is_seen_to_rest_while_the_board_reviews() -> None:
    """So that a board that decides whether to wait knows whether there is anything to wait for."""
    w, _, _ = reviewing()
    come_to_rest(w)
    assert is_open(w)
    assert not is_under_way(w.swarm, MISSION, w.now)
    asked = call(propose(w, WAIT))
    assert "nobody works" in asked["correction"]


def test_the_boards_record_comes_back_with_what_is_set_aside() -> None:
    w, _, _ = fallen()
    assert board(w).watch.set_aside
    assert BOARDS.decode(MISSION, BOARDS.encode(board(w))) == board(w)


_MOVES: Final = ("object", "argue", "silent", "consent", "no", "report", "rest", "withdraw")


def _move(w: World, two: Agent, move: str) -> None:
    """One thing that a board without an opinion, or one at work, does."""
    match board(w).phase, move:
        case _, "report":
            w.report(two, f"part at {w.now}", done=False)
        case _, "silent":
            w.tick(w.swarm.declared.board.seat_seconds + 1)
        case _, "rest":
            _look(w, REST_SECONDS + 1, one=AT_REST)
            w.tick()
        case "review", _:
            propose(w, DIRECT if move == "withdraw" else WAIT)
        case "debate", _:
            all_answer(w, Kind.ARGUMENT, stance="consent" if move == "consent" else "object")
        case "respond", "withdraw":
            w.answer(MISSION, Kind.RESPONSE, decision="withdraw")
        case "respond", _:
            keep(w)
        case "vote", "consent":
            vote(w)
        case "vote", _:
            all_answer(w, Kind.VOTE, choice="no")


@given(st.lists(st.sampled_from(_MOVES), max_size=60))
def test_no_mission_fails_by_its_reviews_while_an_executive_works(moves: list[str]) -> None:
    w, _, two = reviewing(falls_max=2, motions_max=6)
    for move in moves:
        _move(w, two, move)
        assert w.swarm.missions[MISSION].ending is None
        assert is_under_way(w.swarm, MISSION, w.now)
    # And where nobody works any more, it comes to an end.
    w.report(two, "here is all of it")
    for _ in range(60):
        if w.swarm.missions[MISSION].ending is not None:
            break
        come_to_rest(w)
        w.tick()
        _move(w, two, "no")
    assert w.swarm.missions[MISSION].ending is MissionState.FAILED
