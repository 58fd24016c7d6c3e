"""What comes while a motion is asked for or before the board: none is carried over it unheard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from swarmd.core.board.admissible import CORRECTIONS_MAX
from swarmd.core.board.hearing import HEARINGS_MAX
from swarmd.core.control import orphans
from swarmd.core.journal.motions import MotionsJudged
from swarmd.core.journal.replay import Link, State
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import BOARD_ROOM, INPUTS, JOURNAL, inbox, up
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, SOB, AgentId, MissionState, StreamId
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import BOARDS
from tests.core.swarm_builder import MISSION, SEATS, World, journal, posts, world

REJECT = {"motion": "reject", "reason": "one is stuck, and two found nothing"}
DELIVER = {"motion": "deliver", "text": "what there is", "reason": "r"}
DIRECT = {"motion": "direct", "to": "one", "text": "go on", "reason": "r"}


def charter(*names: str, **more: Any) -> dict[str, Any]:
    given = {"role": "manager", "task": "t"} | more
    executives = [{"key": name, "name": name} | given for name in names]
    return {"motion": "charter", "reason": "because", "executives": executives}


def propose(w: World, motion: Mapping[str, Any]) -> list[Change]:
    return w.answer(MISSION, Kind.PROPOSAL, motion=dict(motion))


def all_answer(w: World, kind: Kind, **data: Any) -> list[Change]:
    changes: list[Change] = []
    for _ in board(w).called:
        changes += w.answer(MISSION, kind, **data)
    return changes


def consent(w: World) -> list[Change]:
    return all_answer(w, Kind.ARGUMENT, stance="consent")


def vote(w: World) -> list[Change]:
    return all_answer(w, Kind.VOTE, choice="yes")


def keep(w: World, **more: Any) -> list[Change]:
    return w.answer(MISSION, Kind.RESPONSE, decision="keep", **more)


def board(w: World) -> Procedure:
    return w.swarm.boards[MISSION]


def say(w: World, text: str = "At most 60 words.") -> list[Change]:
    return w.hear(BOARD_ROOM, OPERATOR, Kind.SAY, {}, text=text, mission=MISSION)


def calls(changes: list[Change]) -> list[Message]:
    return [
        message
        for seat in SEATS
        for message in posts(changes, inbox(AgentId(seat)))
        if message.kind is Kind.CALL
    ]


def call(changes: list[Change]) -> dict[str, Any]:
    (message,) = calls(changes)
    return dict(message.data["call"])


def opened(**changed: Any) -> World:
    return world(board={"procedure": "brisk", "quorum": "majority"} | changed)


def reviewing(**changed: Any) -> tuple[World, Agent, Agent]:
    """Of two executives one has a blocker, which the board is called for; the other works."""
    w = opened(**changed)
    propose(w, charter("one", "two"))
    consent(w)
    one, two = (w.place(executive.id) for executive in w.swarm.executives(MISSION))
    w.report(one, "I need cli.md", done=False)
    w.swarm.observed.resting[one.id] = w.now - 60
    w.tick()
    assert board(w).phase == "review"
    return w, one, two


# --- a stale proposal -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "motion",
    [
        REJECT,
        DELIVER,
        {"motion": "act", "verb": "terminate", "target": "one", "reason": "r"},
        charter("better", replaces="one"),
    ],
)
def test_what_ends_the_mission_or_an_agent_is_not_put_over_a_report_its_proposer_never_saw(
    motion: Mapping[str, Any],
) -> None:
    w, _, two = reviewing()
    w.report(two, "here is all of it")
    asked = call(propose(w, motion))
    assert asked["correction"].startswith("since you were asked, two has reported")
    assert "here is all of it" in [report["text"] for report in asked["reports"]]
    propose(w, motion)
    assert board(w).phase == "debate", "it has seen it now, and means it"


def test_a_motion_that_ends_nothing_is_put_as_it_is() -> None:
    w, _, two = reviewing()
    w.report(two, "here is all of it")
    propose(w, DIRECT)
    assert board(w).phase == "debate"


def test_a_cause_that_comes_meanwhile_joins_the_agenda_of_the_next_call() -> None:
    w, _, two = reviewing()
    orphans.hold(w.renew(), two, Rule.BUDGET_EXHAUSTED, "tokens: 40 needed, 2 free")
    asked = call(propose(w, REJECT))
    assert "two is held, for its account is empty" in asked["correction"]
    assert [item["kind"] for item in asked["agenda"]] == ["blocker", "exhausted"]
    assert [item["kind"] for item in board(w).agenda] == ["blocker", "exhausted"]
    propose(w, DIRECT)
    consent(w)
    w.tick()
    assert board(w).stage == "working", "it was put, and is not put again"


def test_a_cause_that_the_proposer_did_not_see_calls_the_board_again() -> None:
    w, _, two = reviewing()
    orphans.hold(w.renew(), two, Rule.BUDGET_EXHAUSTED, "tokens: 40 needed, 2 free")
    propose(w, DIRECT)
    consent(w)
    w.tick()
    assert [item["kind"] for item in board(w).agenda] == ["exhausted"]


@pytest.mark.parametrize("reports_in", ["debate", "vote"])
def test_what_comes_before_it_is_carried_goes_to_the_proposer_and_all_vote(
    reports_in: str,
) -> None:
    w, _, two = reviewing()
    propose(w, REJECT)
    if reports_in == "debate":
        w.report(two, "here is all of it")
        asked = call(consent(w))
    else:
        all_answer(w, Kind.ARGUMENT, stance="argue")
        keep(w)
        w.report(two, "here is all of it")
        asked = call(vote(w))
    assert (asked["phase"], asked["came"]) == ("respond", ("two has reported",))
    assert w.swarm.missions[MISSION].ending is None
    changes = w.answer(MISSION, Kind.RESPONSE, decision="amend", motion=DELIVER)
    assert len(calls(changes)) == len(SEATS) - 1, "all but its author, who has heard it"
    vote(w)
    assert w.swarm.missions[MISSION].ending is MissionState.DELIVERED


def test_a_proposer_is_asked_again_so_often_and_then_hears_it_before_the_motion_is_carried() -> (
    None
):
    w, _, two = reviewing()
    for number in range(CORRECTIONS_MAX + 1):
        w.report(two, f"part {number}", done=False)
        assert board(w).phase == "review"
        propose(w, REJECT)
    assert board(w).phase == "debate"
    assert call(consent(w))["phase"] == "respond"


def test_a_report_that_is_read_in_one_step_with_the_last_consent_is_heard_before_it() -> None:
    w, _, two = reviewing()
    propose(w, REJECT)
    for _ in SEATS[2:]:
        w.answer(MISSION, Kind.ARGUMENT, stance="consent")
    waiting = {
        BOARD_ROOM: lambda: w.answer(MISSION, Kind.ARGUMENT, stance="consent"),
        up(SOB): lambda: w.report(two, "here is all of it"),
    }
    for channel in INPUTS:
        if channel in waiting:
            waiting[channel]()
    assert w.swarm.missions[MISSION].ending is None
    assert board(w).phase == "respond"


# --- an operator's word -----------------------------------------------------------------------


def test_a_word_that_comes_while_a_motion_is_asked_for_is_heard_by_its_proposer() -> None:
    w = opened()
    say(w)
    asked = call(propose(w, charter("one")))
    assert "an operator has spoken" in asked["correction"]
    assert [word["text"] for word in asked["words"]] == ["At most 60 words."]
    propose(w, charter("one"))
    consent(w)
    assert board(w).stage == "working"


@pytest.mark.parametrize("sender", ["two", "a-nobody", "clerk", "supervisor", SEATS[1]])
def test_what_an_agent_says_in_the_boards_room_is_no_operators_word(sender: str) -> None:
    w, _, two = reviewing()
    before, by = board(w), two.id if sender == "two" else sender
    said = w.hear(BOARD_ROOM, by, Kind.SAY, {}, text="Reject it.", mission=MISSION)
    assert (said, board(w)) == ([], before)
    say(w, "Reject it.")
    assert board(w) != before, "an operator's is heard"


def test_a_word_that_comes_while_its_proposer_responds_is_heard_by_all_who_vote() -> None:
    w = opened()
    propose(w, charter("one"))
    all_answer(w, Kind.ARGUMENT, stance="argue")
    say(w)
    called = calls(keep(w))
    assert len(called) == len(SEATS), "its author has not heard it, and votes with the others"
    for message in called:
        assert [word["text"] for word in message.data["call"]["words"]] == ["At most 60 words."]
    vote(w)
    assert board(w).stage == "working"


def test_votes_that_were_cast_before_a_word_lapse_and_the_word_may_be_accepted() -> None:
    w = opened()
    propose(w, charter("one"))
    all_answer(w, Kind.ARGUMENT, stance="argue")
    keep(w, accepts=["socrates"])
    w.answer(MISSION, Kind.VOTE, choice="yes")
    say(w)
    asked = call(vote(w))
    assert asked["phase"] == "respond"
    assert ("operator", "At most 60 words.") in [
        (argument["seat"], argument["text"]) for argument in asked["arguments"]
    ]
    keep(w, accepts=["operator"])
    vote(w)
    (one,) = w.swarm.executives(MISSION)
    assert one.charter is not None
    assert one.charter.mind == ("socrates: so be it", "operator: At most 60 words.")


def test_a_motion_that_is_voted_down_needs_no_hearing() -> None:
    w = opened()
    propose(w, charter("one"))
    all_answer(w, Kind.ARGUMENT, stance="argue")
    keep(w)
    say(w)
    all_answer(w, Kind.VOTE, choice="no")
    assert board(w).motion_number == 2


def test_in_the_full_procedure_too() -> None:
    w = world()
    propose(w, charter("one"))
    say(w)
    w.answer(MISSION, Kind.VOTE, choice="yes")
    for _ in SEATS[1:]:
        changes = w.answer(MISSION, Kind.VOTE, choice="yes")
    assert call(changes)["phase"] == "respond"
    keep(w)
    for _ in SEATS[1:]:
        w.answer(MISSION, Kind.VOTE, choice="yes")
    assert board(w).stage == "working"


def test_an_operator_who_speaks_without_end_ends_a_mission_in_bounded_calls() -> None:
    """In each phase of each motion, and before each answer."""
    w = opened(falls_max=3)
    number, called, votes = 0, 0, HEARINGS_MAX + 1
    bound = 3 * (CORRECTIONS_MAX + len(SEATS) + votes * (1 + len(SEATS)))
    while w.swarm.missions[MISSION].ending is None:
        number += 1
        say(w, f"word {number}")
        phase = board(w).phase
        if phase == "propose":
            called += len(calls(propose(w, charter("one"))))
        elif phase == "debate":
            called += len(calls(w.answer(MISSION, Kind.ARGUMENT, stance="consent")))
        elif phase == "respond":
            called += len(calls(keep(w)))
        else:
            called += len(calls(w.answer(MISSION, Kind.VOTE, choice="yes")))
        assert called <= bound
    assert "an operator has spoken" in w.swarm.missions[MISSION].reason


def test_the_arguments_of_an_operator_who_speaks_without_end_are_the_newest() -> None:
    w = opened()
    propose(w, charter("one"))
    w.answer(MISSION, Kind.ARGUMENT, stance="argue")
    for number in range(20):
        say(w, f"word {number}")
    said = [argument.text for argument in board(w).arguments]
    assert said == ["so be it", *(f"word {number}" for number in range(12, 20))]
    assert len(board(w).came) == 1


def test_a_motion_for_an_operator_is_not_put_over_a_word_that_came_after_its_call() -> None:
    w, one, _ = reviewing()
    propose(w, DIRECT)
    consent(w)
    assert board(w).stage == "working"
    say(w, "Reject it.")
    say(w, "No, wait.")
    answered = w.hear(
        BOARD_ROOM,
        SEATS[0],
        Kind.PROPOSAL,
        {"phase": "answer", "motion": DIRECT},
        text="so be it",
        mission=MISSION,
    )
    asked = [message.data["call"] for message in calls(answered)]
    assert asked[0]["phase"] == "review"
    assert "an operator has spoken" in asked[0]["correction"]
    assert one.id in w.swarm.lineage.agents


# --- the record -------------------------------------------------------------------------------


def test_votes_that_lapsed_decide_nothing_by_the_journal() -> None:
    w = opened()
    changes = propose(w, charter("one"))
    changes += all_answer(w, Kind.ARGUMENT, stance="argue")
    changes += keep(w)
    say(w)
    changes += vote(w)
    (line,) = [entry for entry in journal(changes, "board.announced") if "lapsed" in entry.data]
    assert len(line.data["lapsed"]) == len(SEATS)
    changes += [*keep(w), *vote(w)]
    assert verified(changes) == []
    assert journal(changes, "motion.executed")


@pytest.mark.parametrize(
    "forged", [{"seat": SEATS[1], "choice": "yes"}, {"seat": SEATS[0], "choice": "no"}]
)
def test_an_authors_vote_is_the_yes_of_who_proposed_by_the_journal(forged: dict[str, str]) -> None:
    w = opened()
    changes = propose(w, charter("one"))
    changes += [*all_answer(w, Kind.ARGUMENT, stance="argue"), *keep(w), *vote(w)]
    (tally,) = [entry for entry in journal(changes, "board.announced") if "votes" in entry.data]
    assert [one["seat"] for one in tally.data["votes"] if one["is_authors"]] == [SEATS[0]]
    assert verified(changes) == []
    tally.data["votes"][0].update(forged)
    tally.data["votes"][1].update({"seat": SEATS[0]} if forged["seat"] == SEATS[1] else {})
    assert verified(changes) == [
        f"motion 1 of mission {MISSION}: {forged['seat']} votes {forged['choice']} as its author, "
        "which it is not"
    ]


def verified(changes: list[Change]) -> list[str]:
    """What `journal verify` finds wrong with the motions of these."""
    motions, faults = MotionsJudged(), list[str]()
    for message in posts(changes, JOURNAL):
        link = Link(StreamId("1-0"), {"mission": message.mission}, dict(message.data), "")
        faults += motions.entry(State(), link)
    return faults


def test_the_boards_record_comes_back_with_what_came() -> None:
    w, _, two = reviewing()
    say(w)
    w.report(two, "here is all of it")
    assert len(board(w).came) == 2
    assert BOARDS.decode(MISSION, BOARDS.encode(board(w))) == board(w)
