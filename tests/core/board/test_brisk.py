"""The short procedure: consent, arguments, the proposer's word, one vote; each by plain calls."""

from __future__ import annotations

from typing import Any

import pytest

from swarmd.core.board.admissible import CORRECTIONS_MAX
from swarmd.core.board.calling import next_deadline
from swarmd.core.board.events import (
    Announce,
    Argued,
    CallSeat,
    Carry,
    CloseCall,
    Executed,
    Fail,
    Ignored,
    Judged,
    Opened,
    Overruled,
    Proposed,
    ReportsIn,
    Responded,
    SeatFailed,
    Sent,
    Thawed,
    Ticked,
    Voted,
)
from swarmd.core.model.bench import bench_of, seats_for
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.motions import MOTION, Motion
from swarmd.core.model.procedure import Choice, Response, Stance
from swarmd.core.model.refusals import Rule
from tests.core.board.test_procedure import (
    CHARTER,
    DELIVER,
    REJECT,
    RULES,
    Board,
    found,
)

SIX = ("picard", "socrates", "solomon", "gandhi", "aurelius", "stark")
BRISK = RULES.model_dump() | {"procedure": "brisk", "seats": SIX, "quorum": "majority"}
TOO_MUCH = Judged(Rule.BUDGET_SHARE, "ann: tokens: 9 needed, 5 free")
ASKS = Judged(Rule.APPROVAL_NEEDED, "role reader", asks=True)
CHANGED = MOTION.validate_python(CHARTER.model_dump() | {"reason": "and cite the lines"})


def opened(seats: int | None = None, **changed: Any) -> Board:
    board = Board(BoardRules.model_validate(BRISK | changed))
    board.take(Opened(seats))
    return board


def proposed(motion: Motion = CHARTER, **changed: Any) -> Board:
    board = opened(**changed)
    board.propose(motion)
    return board


def answer(board: Board, *stances: Stance) -> None:
    """Of those who are called, in their order."""
    for seat, stance in zip(board.procedure.called, stances, strict=False):
        board.take(Argued(seat, board.number, f"{seat} thinks", stance))


def consent(board: Board) -> None:
    for seat in board.procedure.called:
        board.take(Argued(seat, board.number, "", "consent"))


def respond(board: Board, decision: Response, motion: Motion | None = None, **more: Any) -> None:
    board.take(Responded(board.called, board.number, decision, "so it is", motion, **more))


def vote(board: Board, choice: Choice) -> None:
    for seat in board.procedure.called:
        board.take(Voted(seat, board.number, choice, "because"))


def calls_of(board: Board) -> int:
    return board.procedure.attempt


# --- consent ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seats", "calls"), [(6, 6), (3, 3), (2, 2), (1, 1)])
def test_where_all_consent_a_motion_costs_one_call_a_seat_and_two_steps(
    seats: int, calls: int
) -> None:
    board = opened(seats)
    board.propose(CHARTER)
    assert len(board.procedure.called) == seats - 1, "all others at once"
    attempts = calls_of(board)
    consent(board)
    assert board.procedure.stage == "carrying"
    assert calls_of(board) == attempts == calls
    assert found(Carry, board.effects) == [Carry(1, CHARTER)]


def test_an_argument_costs_the_proposers_word_and_one_vote_of_all() -> None:
    board = proposed()
    answer(board, "consent", "argue", "consent", "consent", "consent")
    assert (board.called, board.procedure.phase) == ("socrates", "respond")
    respond(board, "keep")
    assert board.procedure.called == tuple(seat for seat in SIX if seat != "socrates")
    vote(board, "yes")
    assert board.procedure.stage == "carrying"
    assert calls_of(board) == 1 + 5 + 1 + 5


@pytest.mark.parametrize("decision", ["keep", "amend"])
def test_what_its_author_keeps_or_amends_has_its_vote_without_a_call(decision: Response) -> None:
    board = argued()
    respond(board, decision, CHANGED if decision == "amend" else None)
    vote(board, "no")
    (tally,) = [line for line in found(Announce, board.effects) if "votes" in line.data]
    assert tally.text == (
        "Motion 1 is not carried, 1 yes, 5 no (socrates yes as its author, picard no, solomon no, "
        "gandhi no, aurelius no, stark no)."
    )
    assert tally.data["votes"][0] == {
        "seat": "socrates",
        "choice": "yes",
        "reason": "so it is",
        "is_authors": True,
    }


def test_an_author_is_present_for_the_quorum_and_breaks_a_tie_as_chair() -> None:
    board = opened(3, chair="socrates")
    board.propose(CHARTER)
    answer(board, "argue", "argue")
    respond(board, "keep")
    board.take(Voted(board.procedure.called[0], 1, "no", "because"))
    board.wait_for_silence()
    (tally,) = [line for line in found(Announce, board.effects) if "votes" in line.data]
    assert (board.procedure.stage, tally.data["why"]) == (
        "carrying",
        "a tie at 1, the chair votes yes",
    )


def test_a_bench_of_two_is_decided_by_the_one_vote_that_is_missing() -> None:
    board = opened(2)
    board.propose(CHARTER)
    answer(board, "argue")
    respond(board, "keep")
    vote(board, "yes")
    assert (board.procedure.stage, calls_of(board)) == ("carrying", 4)


def test_consent_is_announced_with_all_that_decides_it_again() -> None:
    board = proposed()
    consent(board)
    (line,) = found(Announce, board.effects)
    assert line.text == (
        "Motion 1 is carried without a vote, the proposer and 5 who consented, nobody argued."
    )
    assert line.data["proposer"] == "socrates"
    assert [one["stance"] for one in line.data["arguments"]] == ["consent"] * 5
    assert line.data["bench"] == bench_of(board.rules).model_dump(mode="json")


def test_a_quorum_of_consents_waits_for_the_others_until_their_time_is_up() -> None:
    board = proposed()
    answer(board, "consent", "consent", "consent")
    assert board.procedure.phase == "debate", "four of six, and two may still object"
    board.wait_for_silence()
    assert board.procedure.stage == "carrying"
    assert [call.seat for call in board.closed] == ["aurelius", "stark"]


def test_fewer_consents_than_a_quorum_are_put_to_a_vote_without_the_proposers_word() -> None:
    board = proposed()
    answer(board, "consent", "consent")
    board.wait_for_silence()
    others = tuple(seat for seat in SIX if seat != "socrates")
    assert (board.procedure.phase, board.procedure.called) == ("vote", others)


@pytest.mark.parametrize("stance", ["argue", "object"])
def test_one_that_argues_or_objects_is_enough_that_nothing_is_carried_without_a_vote(
    stance: Stance,
) -> None:
    board = proposed()
    answer(board, "consent", "consent", "consent", "consent", stance)
    assert board.procedure.phase == "respond"


# --- the proposer's word ----------------------------------------------------------------------


def argued(**changed: Any) -> Board:
    board = proposed(**changed)
    answer(board, "argue", "object", "consent", "consent", "consent")
    return board


def test_the_proposer_is_shown_all_arguments() -> None:
    board = argued()
    said = [(one["seat"], one["stance"]) for one in board.call.arguments]
    assert said[:3] == [("picard", "argue"), ("solomon", "object"), ("gandhi", "consent")]
    assert board.call.motion == CHARTER.model_dump(mode="json")


def test_an_amended_motion_is_what_is_voted_on_and_executed() -> None:
    board = argued()
    respond(board, "amend", CHANGED, accepts=("picard",))
    assert board.procedure.phase == "vote"
    vote(board, "yes")
    assert found(Carry, board.effects) == [Carry(1, CHANGED, ("picard: picard thinks",))]


def test_accepted_arguments_go_down_also_with_the_motion_as_it_was() -> None:
    board = argued()
    respond(board, "keep", accepts=("picard", "nobody", "stark"))
    vote(board, "yes")
    (carry,) = found(Carry, board.effects)
    assert carry.minds == ("picard: picard thinks", "stark: stark thinks")


def test_an_amended_motion_that_the_law_refuses_is_given_back_and_then_stays_as_it_was() -> None:
    board = argued()
    for _ in range(CORRECTIONS_MAX):
        respond(board, "amend", CHANGED, judged=TOO_MUCH)
        assert board.procedure.phase == "respond"
        assert "budget.share: ann: tokens: 9 needed, 5 free" in board.procedure.correction
    respond(board, "amend", CHANGED, judged=TOO_MUCH)
    assert (board.procedure.phase, board.procedure.motion) == ("vote", CHARTER)
    assert board.procedure.called == SIX, "its author wanted another, and has its own vote on this"


def test_a_withdrawn_motion_falls_and_is_shown_to_the_next_proposer() -> None:
    board = argued()
    respond(board, "withdraw")
    assert (board.call.phase, board.number) == ("propose", 2)
    assert board.call.fallen is not None
    assert board.call.fallen["motion"] == CHARTER.model_dump(mode="json")
    assert board.call.fallen["why"] == "withdrawn by socrates: so it is"


def test_a_silent_proposer_keeps_the_motion() -> None:
    board = argued()
    board.wait_for_silence()
    assert (board.procedure.phase, board.procedure.motion) == ("vote", CHARTER)
    assert board.procedure.called == SIX, "it has not said that it stands for it"


# --- what the law says first ------------------------------------------------------------------


def test_what_the_law_would_refuse_goes_back_to_the_proposer_at_once() -> None:
    board = opened()
    board.take(Proposed("socrates", 1, CHARTER, judged=TOO_MUCH))
    assert (board.called, board.number, board.call.phase) == ("socrates", 1, "propose")
    assert board.call.correction == ("refused by budget.share: ann: tokens: 9 needed, 5 free")
    assert board.call.fallen is not None, "a seat remembers nothing: it mends what it is shown"
    assert board.call.fallen["why"] == board.call.correction
    board.propose(CHARTER)
    assert board.procedure.phase == "debate"
    assert board.procedure.falls == 0


def test_after_some_corrections_the_next_seat_proposes_and_sees_what_was_refused() -> None:
    board = opened()
    for _ in range(CORRECTIONS_MAX + 1):
        board.take(Proposed("socrates", 1, CHARTER, judged=TOO_MUCH))
    assert (board.called, board.number) == ("solomon", 1)
    assert board.call.correction == ""
    assert board.call.fallen is not None
    assert "budget.share" in board.call.fallen["why"]


def test_a_board_that_finds_no_lawful_motion_fails_the_mission_with_the_last_refusal() -> None:
    board = opened(seats=2)
    for _ in range(2 * (CORRECTIONS_MAX + 1)):
        board.take(Proposed(board.called, 1, CHARTER, judged=TOO_MUCH))
    (fail,) = found(Fail, board.effects)
    assert fail.reason.startswith("no seat proposed a motion that the law allows; the last: ref")


def test_what_needs_an_operator_is_said_before_the_debate_and_put_where_it_is_meant() -> None:
    board = opened()
    board.take(Proposed("socrates", 1, CHARTER, judged=ASKS))
    assert "needs an operator's permission" in board.call.correction
    board.take(Proposed("socrates", 1, CHARTER, judged=ASKS))
    assert board.procedure.phase == "debate"


def test_nothing_but_a_charter_or_a_rejection_is_put_before_anything_is_chartered() -> None:
    board = opened()
    board.take(Proposed("socrates", 1, DELIVER))
    assert board.called == "socrates"
    assert board.call.correction == (
        "deliver before anything was chartered: only charter or reject"
    )


# --- votes, falls, the law of time ------------------------------------------------------------


def test_no_quorum_in_the_vote_lets_the_motion_fall() -> None:
    board = argued()
    respond(board, "keep")
    for seat in ("picard", "stark"):
        board.take(Voted(seat, 1, "yes", "so"))
    board.wait_for_silence()
    assert board.call.refusal == "no quorum: 3 of at least 4 seats answered"


def test_an_answer_to_a_phase_that_is_closed_is_ignored() -> None:
    board = proposed()
    answer(board, "consent", "consent", "consent")
    board.wait_for_silence()
    assert board.take(Argued("stark", 1, "but", "object")) == (
        Ignored("stark", "nobody is called: carrying"),
    )


def test_an_overruled_motion_closes_every_call() -> None:
    board = proposed()
    board.take(Overruled(1, True, Rule.OVERRIDE_ACTIVE, "o-1"))
    assert [call.seat for call in board.closed] == [s for s in SIX if s != "socrates"]
    assert board.closed[0] == CloseCall("picard", 1, 2)


def test_the_time_of_a_call_runs_from_when_its_request_went_out_and_once() -> None:
    board = proposed()
    board.now += 9
    board.take(Sent("picard", 1, 2))
    board.now += 9
    board.take(Ticked())
    assert board.procedure.called == ("picard",), "the others never went out"
    board.take(Sent("picard", 1, 2))
    board.take(Sent("picard", 1, 1))
    assert next_deadline(board.procedure) == 1_019


def test_a_seat_whose_request_waits_for_others_to_be_answered_is_not_absent_meanwhile() -> None:
    board = proposed()  # 10 s a seat
    first, *others = board.procedure.called
    board.take(Sent(first, 1, 2))
    board.now += 9
    board.take(Argued(first, 1, "", "consent"))
    board.now += 9
    board.take(Ticked())
    assert board.procedure.called == tuple(others)
    # What has gone out gets no more time by the answers of others.
    board.take(Sent(others[0], 1, 3))
    board.now += 9
    board.take(Argued(others[1], 1, "", "consent"))
    assert next_deadline(board.procedure) == board.now + 1
    board.now += 1
    board.take(Ticked())
    assert board.procedure.called == tuple(others[2:])


def test_who_was_called_when_a_mission_was_stopped_is_called_anew_and_the_old_call_closed() -> None:
    board = proposed()
    answer(board, "consent")
    board.take(Thawed(50))
    assert [call.seat for call in found(CallSeat, board.effects)] == list(SIX[2:])
    assert [call.attempt for call in board.closed] == [3, 4, 5, 6]


def test_a_failed_seat_is_absent_at_once() -> None:
    board = proposed()
    answer(board, "consent", "consent", "consent")
    board.take(SeatFailed("aurelius", 1))
    board.take(SeatFailed("stark", 1))
    assert board.procedure.stage == "carrying"


def test_a_motion_whose_time_is_over_falls_and_its_calls_are_closed() -> None:
    board = proposed(motion_seconds=5)
    board.now += 5
    board.take(Ticked())
    assert board.number == 2
    assert len(board.closed) == 5


# --- benches ----------------------------------------------------------------------------------


def test_the_chair_sits_on_every_bench_and_a_majority_of_it_decides() -> None:
    rules = BoardRules.model_validate(BRISK | {"chair": "stark"})
    assert bench_of(rules, 3).seats == ("picard", "socrates", "stark")
    assert [bench_of(rules, n).quorum for n in range(1, 7)] == [1, 2, 2, 3, 3, 4]


def test_a_number_as_quorum_is_never_more_than_the_bench() -> None:
    rules = BoardRules.model_validate(BRISK | {"quorum": 4})
    assert (bench_of(rules, 6).quorum, bench_of(rules, 2).quorum) == (4, 2)


def test_a_declared_bench_smaller_than_the_quorum_is_refused() -> None:
    small = [{"tokens_below": 9, "seats": 3}]
    with pytest.raises(ValueError, match="a bench of 3 is smaller than the quorum of 4"):
        BoardRules.model_validate(BRISK | {"quorum": 4, "bench": small})


def test_a_mission_has_the_bench_of_its_budget_or_the_one_that_it_asks_for() -> None:
    small = [{"tokens_below": 100, "seats": 1}, {"tokens_below": 1_000, "seats": 3}]
    rules = BoardRules.model_validate(BRISK | {"bench": small})
    sizes = [seats_for(rules, {"tokens": tokens}, None) for tokens in (99, 100, 999, 1_000)]
    assert sizes == [1, 3, 3, 6]
    assert seats_for(rules, {"tokens": 99}, "all") == 6
    assert seats_for(rules, {"tokens": 1_000}, 2) == 2


def test_a_bench_stays_as_it_was_when_the_mission_began() -> None:
    board = opened(3)
    board.rules = BoardRules.model_validate(
        BRISK | {"seats": SIX[3:], "chair": "stark", "procedure": "full"}
    )
    board.propose(REJECT)
    answer(board, "consent", "consent")
    assert board.procedure.stage == "carrying"


def test_the_turn_to_propose_goes_round_the_bench() -> None:
    board = opened(3)
    proposers = []
    for _ in range(4):
        proposers.append(board.called)
        board.propose(CHARTER)
        answer(board, "consent", "consent")
        board.take(Executed(board.number))
        board.take(ReportsIn())
    assert proposers == ["socrates", "solomon", "picard", "socrates"]
