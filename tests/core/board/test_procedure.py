"""The board's procedure: each path by plain calls, then the laws against a hostile board."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarmd.core.board.admissible import CORRECTIONS_MAX
from swarmd.core.board.calling import next_deadline
from swarmd.core.board.events import (
    Announce,
    Answer,
    Argued,
    Await,
    CallSeat,
    Carry,
    CloseCall,
    Delayed,
    Effect,
    Event,
    Executed,
    Fail,
    Ignored,
    Judged,
    Opened,
    Proposed,
    Refused,
    ReportsIn,
    Responded,
    SeatFailed,
    Sent,
    Ticked,
    Voted,
)
from swarmd.core.board.procedure import step
from swarmd.core.model.bench import bench_of
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.motions import MOTION, Motion
from swarmd.core.model.procedure import (
    Ballot,
    Choice,
    Phase,
    Procedure,
    Response,
    SeatCall,
    Stance,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.voting import decide_vote
from swarmd.ports.models import Call

SEATS = ("picard", "socrates", "solomon", "gandhi")
RULES = BoardRules(
    seats=SEATS,
    chair="socrates",
    quorum=3,
    procedure="full",
    rounds=1,
    seat_seconds=10,
    motion_seconds=100,
)
BENCH = bench_of(RULES)

T = TypeVar("T")

CHARTER = MOTION.validate_python(
    {
        "motion": "charter",
        "reason": "somebody must read",
        "executives": [
            {"key": "e", "role": "lead", "name": "reader", "task": "read", "files": ["a.md"]}
        ],
    }
)
REJECT = MOTION.validate_python({"motion": "reject", "reason": "no files were given"})
DIRECT = MOTION.validate_python(
    {"motion": "direct", "to": "reader", "text": "cite", "reason": "no lines"}
)
TERMINATE = MOTION.validate_python(
    {"motion": "act", "verb": "terminate", "target": "reader", "reason": "it loops"}
)
DELIVER = MOTION.validate_python({"motion": "deliver", "reports": ["reader"], "reason": "complete"})
MOTIONS = (CHARTER, REJECT, DIRECT, TERMINATE, DELIVER)


class Board:
    """Steps a procedure by hand and keeps the effects of the last step."""

    def __init__(self, rules: BoardRules = RULES) -> None:
        self.rules = rules
        self.now = 1_000.0
        self.procedure = Procedure()
        self.effects: tuple[Effect, ...] = ()
        self.closed: tuple[CloseCall, ...] = ()

    def take(self, event: Event) -> tuple[Effect, ...]:
        self.procedure, effects = step(self.procedure, event, self.rules, self.now)
        self.closed = tuple(found(CloseCall, effects))
        self.effects = tuple(effect for effect in effects if not isinstance(effect, CloseCall))
        assert Procedure.from_json(self.procedure.to_json()) == self.procedure
        return self.effects

    @property
    def number(self) -> int:
        return self.procedure.motion_number

    @property
    def called(self) -> str:
        (seat,) = self.procedure.called
        return seat

    @property
    def call(self) -> SeatCall:
        """The call that the last step made."""
        (call,) = [effect for effect in self.effects if isinstance(effect, CallSeat)]
        assert call.seat == self.called
        return call.call

    def propose(self, motion: Motion) -> None:
        self.take(Proposed(self.called, self.number, motion))

    def debate(self) -> None:
        while self.procedure.phase == "debate":
            self.take(Argued(self.called, self.number, "it is so"))

    def vote(self, *choices: Choice) -> None:
        for choice in choices:
            self.take(Voted(self.called, self.number, choice, "because"))

    def wait_for_silence(self) -> None:
        deadline = next_deadline(self.procedure)
        assert deadline is not None
        self.now = deadline
        self.take(Ticked())

    def carry(self, motion: Motion) -> None:
        self.propose(motion)
        self.debate()
        self.vote("yes", "yes", "yes", "yes")
        assert self.procedure.stage == "carrying"

    def execute(self, motion: Motion) -> None:
        self.carry(motion)
        self.take(Executed(self.number))


def opened(**changed: Any) -> Board:
    board = Board(BoardRules.model_validate(RULES.model_dump() | changed))
    board.take(Opened())
    return board


def reviewing(**changed: Any) -> Board:
    board = opened(**changed)
    board.execute(CHARTER)
    board.take(ReportsIn())
    return board


def found(kind: type[T], effects: Iterable[Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


# --- the way through --------------------------------------------------------------------------


def test_a_call_has_the_fields_of_the_ports_call() -> None:
    assert [field.name for field in fields(SeatCall)] == [field.name for field in fields(Call)]


def test_a_fresh_procedure_waits_for_its_opening() -> None:
    board = Board()
    assert board.take(Ticked()) == ()
    assert board.take(ReportsIn()) == ()
    assert board.procedure == Procedure()


def test_the_chair_proposes_first() -> None:
    board = opened()
    assert board.called == "socrates"
    assert board.call.phase == "propose"
    assert board.call.motion_number == 1
    assert board.call.motion is None
    assert next_deadline(board.procedure) == 1_010


def test_a_second_opening_has_no_effect() -> None:
    board = opened()
    before = board.procedure
    assert board.take(Opened()) == ()
    assert board.procedure == before


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_each_seat_speaks_once_per_round_and_then_votes_once(rounds: int) -> None:
    board = opened(rounds=rounds)
    board.propose(CHARTER)
    spoken = []
    while board.procedure.phase == "debate":
        assert board.call.motion == CHARTER.model_dump(mode="json")
        spoken.append(board.called)
        board.take(Argued(board.called, 1, "it is so"))
    voted = []
    while board.procedure.phase == "vote":
        voted.append(board.called)
        board.vote("yes")
    assert tuple(spoken) == SEATS * rounds
    assert tuple(voted) == SEATS


def test_a_carried_motion_is_announced_with_each_vote_and_handed_to_the_supervisor() -> None:
    board = opened()
    board.propose(CHARTER)
    (line,) = found(Announce, board.effects)
    assert line.data["motion"] == CHARTER.model_dump(mode="json")
    assert line.text == "Motion 1, proposed by socrates: charter."
    board.debate()
    board.vote("yes", "no", "yes")
    board.wait_for_silence()
    tally, carry = board.effects
    assert carry == Carry(1, CHARTER)
    assert isinstance(tally, Announce)
    expected = (
        "Motion 1 is carried, 2 yes, 1 no (picard yes, socrates no, solomon yes, gandhi absent)."
    )
    assert tally.text == expected
    assert tally.data["absent"] == ["gandhi"]
    assert tally.data["votes"][1] == {
        "seat": "socrates",
        "choice": "no",
        "reason": "because",
        "is_authors": False,
    }


def test_a_chartered_mission_works_until_its_reports_are_in() -> None:
    board = opened()
    board.execute(CHARTER)
    assert board.effects == (Await(),)
    assert next_deadline(board.procedure) is None
    board.now += 100_000
    assert board.take(Ticked()) == ()
    board.take(ReportsIn())
    assert board.call.phase == "review"


def test_the_turn_to_propose_goes_round() -> None:
    board = opened()
    board.execute(CHARTER)
    board.take(ReportsIn())
    assert board.called == "solomon"
    board.execute(TERMINATE)
    board.take(ReportsIn())
    assert board.called == "gandhi"
    board.execute(CHARTER)
    board.take(ReportsIn())
    assert board.called == "picard"


@pytest.mark.parametrize("motion", [DELIVER, REJECT])
def test_a_delivered_or_rejected_mission_needs_the_board_no_more(motion: Motion) -> None:
    board = reviewing()
    board.execute(motion)
    assert board.procedure.stage == "ended"
    assert board.effects == ()


def test_a_mission_can_be_rejected_before_anything_is_chartered() -> None:
    board = opened()
    board.execute(REJECT)
    assert board.procedure.stage == "ended"


# --- votes ------------------------------------------------------------------------------------


def ballots(**choices: Choice) -> tuple[Ballot, ...]:
    return tuple(Ballot(seat=seat, choice=choice, reason="so") for seat, choice in choices.items())


def test_an_abstention_is_presence_and_silence_is_not() -> None:
    present = ballots(picard="yes", solomon="abstain", gandhi="abstain")
    assert decide_vote(present, BENCH).is_carried
    absent = decide_vote(ballots(picard="yes", solomon="yes"), BENCH)
    assert not absent.is_carried
    assert absent.why == "no quorum: 2 of at least 3 seats answered"


def test_a_majority_is_more_yes_than_no() -> None:
    assert decide_vote(ballots(picard="yes", socrates="no", solomon="yes"), BENCH).is_carried
    assert not decide_vote(ballots(picard="yes", socrates="no", solomon="no"), BENCH).is_carried


@pytest.mark.parametrize(
    ("chair", "tie_break", "is_carried"),
    [("yes", "chair", True), ("no", "chair", False), ("yes", "fails", False)],
)
def test_a_tie_is_decided_by_the_chairs_vote_where_the_rules_say_so(
    chair: Choice, tie_break: str, is_carried: bool
) -> None:
    rules = BoardRules.model_validate(RULES.model_dump() | {"tie_break": tie_break})
    other: Choice = "no" if chair == "yes" else "yes"
    assert (
        decide_vote(
            ballots(socrates=chair, picard=other, solomon="abstain"), bench_of(rules)
        ).is_carried
        == is_carried
    )


def test_a_tie_falls_where_the_chair_abstains_or_is_absent() -> None:
    assert not decide_vote(
        ballots(picard="yes", solomon="no", socrates="abstain"), BENCH
    ).is_carried
    assert not decide_vote(ballots(picard="yes", solomon="no", gandhi="abstain"), BENCH).is_carried
    assert not decide_vote(
        ballots(picard="abstain", solomon="abstain", socrates="abstain"), BENCH
    ).is_carried


def test_a_motion_voted_down_returns_to_the_board_with_the_reason() -> None:
    board = opened()
    board.propose(CHARTER)
    board.debate()
    board.vote("no", "no", "yes", "no")
    assert board.call.phase == "propose"
    assert board.call.motion_number == 2
    assert board.call.refusal == "1 yes, 3 no"
    assert [line.text for line in found(Announce, board.effects)][
        1
    ] == "Motion 1 falls: 1 yes, 3 no."


def test_votes_on_a_motion_that_fell_do_not_count_for_the_next() -> None:
    board = opened()
    board.propose(CHARTER)
    board.debate()
    board.vote("no", "no", "no", "no")
    board.carry(CHARTER)
    assert board.procedure.motion_number == 2
    (tally,) = found(Announce, board.effects)
    assert [vote["choice"] for vote in tally.data["votes"]] == ["yes"] * 4


# --- seats that are silent, fail, or speak out of turn ----------------------------------------


def test_a_silent_or_failed_proposer_is_followed_by_the_next_seat() -> None:
    board = opened()
    board.wait_for_silence()
    assert (board.called, board.number) == ("solomon", 1)
    board.take(SeatFailed("solomon", 1))
    assert (board.called, board.number) == ("gandhi", 1)


def test_time_in_which_no_call_could_begin_does_not_count_and_calls_nobody_anew() -> None:
    board = opened()
    called, before = board.called, board.procedure
    board.now = board.procedure.calls[0].deadline + 500
    assert board.take(Delayed(505)) == ()
    assert board.take(Ticked()) == ()
    assert (board.called, board.procedure.attempt) == (called, before.attempt)
    board.propose(CHARTER)
    assert board.procedure.motion_deadline is not None
    at = board.now
    board.now = board.procedure.motion_deadline + 60
    board.take(Delayed(board.now - at))
    assert board.take(Ticked()) == ()
    board.debate()
    assert board.procedure.phase == "vote", "the motion has its time, too"


def test_the_mission_fails_where_no_seat_proposes() -> None:
    board = opened()
    for _ in SEATS:
        board.wait_for_silence()
    assert board.effects == (Fail("no seat proposed a motion"),)
    assert board.procedure.stage == "ended"


@pytest.mark.parametrize("motion", [DIRECT, TERMINATE, DELIVER])
def test_nothing_can_be_directed_ended_or_delivered_before_a_charter(motion: Motion) -> None:
    board = opened()
    board.propose(motion)
    ignored, call = board.effects
    assert isinstance(ignored, Ignored)
    assert ignored.seat == "socrates"
    assert isinstance(call, CallSeat)
    assert (call.seat, call.call.phase, board.number) == ("solomon", "propose", 1)


def test_a_tick_before_the_deadline_changes_nothing() -> None:
    board = opened()
    before = board.procedure
    board.now += 9.99
    assert board.take(Ticked()) == ()
    assert board.procedure == before


def test_a_late_tick_silences_one_seat_only() -> None:
    board = opened()
    board.now += 10_000
    board.take(Ticked())
    assert board.called == "solomon"
    assert next_deadline(board.procedure) == board.now + 10


def test_an_answer_that_waited_through_a_restart_still_counts() -> None:
    board = opened()
    board.now += 10_000
    board.propose(CHARTER)
    assert board.procedure.phase == "debate"


def test_a_board_of_failed_seats_falls_below_quorum_until_the_mission_fails() -> None:
    board = opened(falls_max=2)
    for number in (1, 2):
        board.propose(CHARTER)
        while board.procedure.phase in ("debate", "vote"):
            if board.number != number:
                break
            board.take(SeatFailed(board.called, number))
    (fail,) = found(Fail, board.effects)
    assert fail.reason == (
        "2 motions in a row fell, the last one: no quorum: 0 of at least 3 seats answered"
    )


def voting() -> Board:
    board = opened()
    board.propose(CHARTER)
    board.debate()
    board.vote("yes")
    assert board.called == "socrates"
    return board


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Voted("picard", 1, "no", "again"), "it has voted"),
        (Voted("solomon", 1, "no", "early"), "socrates is called"),
        (Voted("stranger", 1, "no", "no seat"), "socrates is called"),
        (Voted("socrates", 2, "no", "ahead"), "motion 1 is before the board, not 2"),
        (Voted("socrates", 0, "no", "behind"), "motion 1 is before the board, not 0"),
        (Argued("socrates", 1, "but"), "the phase is vote"),
        (Proposed("socrates", 1, REJECT), "the phase is vote"),
        (SeatFailed("socrates", 1, "debate"), "the phase is vote"),
    ],
)
def test_an_answer_out_of_turn_is_ignored_with_the_reason(answer: Answer, why: str) -> None:
    board = voting()
    before = board.procedure
    assert board.take(answer) == (Ignored(answer.seat, why),)
    assert board.procedure == before


def test_an_answer_while_nobody_is_called_is_ignored() -> None:
    board = opened()
    board.carry(CHARTER)
    assert board.take(Voted("picard", 1, "no", "late")) == (
        Ignored("picard", "nobody is called: carrying"),
    )


def test_a_failure_told_with_its_phase_ends_that_call() -> None:
    board = voting()
    board.take(SeatFailed("socrates", 1, "vote"))
    assert board.called == "solomon"
    review = reviewing()
    review.take(SeatFailed(review.called, review.number, "review"))
    assert (review.called, review.call.phase) == ("gandhi", "review")


# --- bounds -----------------------------------------------------------------------------------


def test_a_motion_falls_when_its_time_is_over_whatever_comes_then() -> None:
    board = voting()
    board.vote("yes", "yes")
    assert board.called == "gandhi"
    board.now += 100
    board.take(Voted("gandhi", 1, "yes", "too late"))
    assert found(Carry, board.effects) == []
    assert found(Ignored, board.effects) == [Ignored("gandhi", "the motion's time is over")]
    assert (board.number, board.call.refusal) == (2, "its time is over")


def test_the_next_deadline_is_the_motions_where_that_comes_first() -> None:
    board = opened(motion_seconds=3)
    board.propose(CHARTER)
    assert next_deadline(board.procedure) == board.now + 3
    board.wait_for_silence()
    assert board.number == 2


def test_a_refused_motion_returns_to_debate_with_the_rule() -> None:
    board = opened()
    board.carry(CHARTER)
    board.take(Refused(1, Rule.BUDGET_SHARE, "asked 900, free 100"))
    assert board.call.phase == "propose"
    assert board.call.refusal == "refused by budget.share: asked 900, free 100"
    assert board.procedure.falls == 1


def test_motions_refused_in_a_row_fail_the_mission_with_the_last_rule() -> None:
    board = opened(falls_max=2)
    for number in (1, 2):
        board.carry(CHARTER)
        board.take(Refused(number, Rule.SPAWN_ROLE, "no role lead"))
    (fail,) = found(Fail, board.effects)
    assert (
        fail.reason == "2 motions in a row fell, the last one: refused by spawn.role: no role lead"
    )
    assert board.procedure.stage == "ended"


def test_an_executed_motion_ends_the_row_of_falls_and_clears_the_refusal() -> None:
    board = opened()
    board.carry(CHARTER)
    board.take(Refused(1, Rule.SPAWN_ROLE, "no role lead"))
    board.execute(CHARTER)
    assert board.procedure.falls == 0
    board.take(ReportsIn())
    assert board.call.refusal == ""


@pytest.mark.parametrize("event", [Executed(2), Refused(2, Rule.SPAWN_ROLE, "x"), Executed(0)])
def test_an_outcome_of_another_motion_changes_nothing(event: Event) -> None:
    board = opened()
    board.carry(CHARTER)
    before = board.procedure
    assert board.take(event) == ()
    assert board.procedure == before


def test_an_outcome_told_twice_counts_once() -> None:
    board = opened()
    board.execute(CHARTER)
    before = board.procedure
    assert board.take(Executed(1)) == ()
    assert board.take(Refused(1, Rule.SPAWN_ROLE, "x")) == ()
    assert board.procedure == before


def test_work_is_sent_back_so_often_and_no_more() -> None:
    board = reviewing(send_backs_max=1)
    assert (board.call.sent_back, board.call.send_backs_max) == (0, 1)
    board.execute(DIRECT)
    assert board.effects == (Await(),)
    board.take(ReportsIn())
    assert board.call.sent_back == 1
    board.propose(DIRECT)
    assert board.call.phase == "review"
    assert board.call.refusal == "work was sent back 1 times, no more is allowed"
    assert board.procedure.falls == 1
    board.execute(DELIVER)
    assert board.procedure.stage == "ended"


@pytest.mark.parametrize(("kind", "counted"), [("blocker", 0), ("resting", 0), ("frozen", 1)])
def test_to_help_one_that_waits_for_help_sends_no_work_back(kind: str, counted: int) -> None:
    board = opened(send_backs_max=1)
    board.execute(CHARTER)
    board.take(ReportsIn(({"kind": kind, "agent": "a-1", "name": "reader"},)))
    board.execute(DIRECT)
    board.take(ReportsIn())
    assert board.call.sent_back == counted


def test_a_send_back_that_the_law_refused_is_not_counted() -> None:
    board = reviewing(send_backs_max=1)
    board.carry(DIRECT)
    board.take(Refused(board.number, Rule.UNKNOWN_AGENT, "reader"))
    assert board.call.sent_back == 0


def test_the_mission_fails_when_its_motions_are_used_up() -> None:
    board = reviewing(motions_max=2)
    board.execute(TERMINATE)
    board.take(ReportsIn())
    assert board.effects == (Fail("the board used up its 2 motions"),)


def test_an_ended_procedure_has_no_more_effects() -> None:
    board = opened(motions_max=1)
    board.execute(REJECT)
    ended = board.procedure
    events: tuple[Event, ...] = (
        Opened(),
        Ticked(),
        ReportsIn(),
        Executed(1),
        Refused(1, Rule.FENCED, ""),
        Proposed("socrates", 1, CHARTER),
        Argued("picard", 1, "but"),
        Voted("picard", 1, "yes", "so"),
        SeatFailed("picard", 1),
    )
    for event in events:
        assert board.take(event) == ()
        assert board.procedure == ended


# --- restart ----------------------------------------------------------------------------------


def test_calls_of_one_motion_have_keys_of_their_own() -> None:
    board = Board(BoardRules.model_validate(RULES.model_dump() | {"rounds": 2}))
    calls = found(CallSeat, board.take(Opened()))
    calls += found(CallSeat, board.take(Proposed("socrates", 1, CHARTER)))
    while board.procedure.phase == "debate":
        calls += found(CallSeat, board.take(Argued(board.called, 1, "so")))
    keys = [(call.call.motion_number, call.call.phase, call.attempt) for call in calls]
    assert len(set(keys)) == len(keys) == 1 + 2 * len(SEATS) + 1


def test_the_tick_after_an_overdue_call_goes_on() -> None:
    board = opened()
    board.wait_for_silence()
    assert board.called == "solomon"


def test_a_stored_procedure_names_its_version_and_ignores_what_a_newer_one_added() -> None:
    board = voting()
    text = board.procedure.to_json()
    assert '"v":1' in text
    newer = '{"added":{"later":true},' + text[1:]
    assert Procedure.from_json(newer) == board.procedure


# --- the laws, against arbitrary events in arbitrary order ------------------------------------

NAMES = ("a", "b", "c", "d", "e", "f")
CHOICES: tuple[Choice, ...] = ("yes", "no", "abstain")
PHASES: tuple[Phase | None, ...] = (None, "propose", "debate", "vote", "review")


@st.composite
def board_rules(draw: st.DrawFn) -> BoardRules:
    count = draw(st.integers(1, len(NAMES)))
    return BoardRules(
        seats=NAMES[:count],
        chair=draw(st.sampled_from(NAMES[:count])),
        quorum=draw(st.one_of(st.just("majority"), st.integers(1, count))),
        procedure=draw(st.sampled_from(("brisk", "full"))),
        rounds=draw(st.integers(0, 2)),
        tie_break=draw(st.sampled_from(("chair", "fails"))),
        seat_seconds=draw(st.sampled_from((5.0, 10.0))),
        motion_seconds=draw(st.sampled_from((12.0, 60.0, 1_000.0))),
        motions_max=draw(st.integers(1, 8)),
        falls_max=draw(st.integers(1, 4)),
        send_backs_max=draw(st.integers(0, 1)),
    )


@given(rules=board_rules(), data=st.data())
def test_nothing_is_carried_without_quorum_and_a_majority_or_the_chairs_yes(
    rules: BoardRules, data: st.DataObject
) -> None:
    cast = data.draw(st.dictionaries(st.sampled_from(rules.seats), st.sampled_from(CHOICES)))
    yes, no = (list(cast.values()).count(choice) for choice in ("yes", "no"))
    is_tie_won = yes == no and rules.tie_break == "chair" and cast.get(rules.chair) == "yes"
    is_won = yes > no or is_tie_won
    bench = bench_of(rules)
    assert decide_vote(ballots(**cast), bench).is_carried == (len(cast) >= bench.quorum and is_won)


UNLAWFUL = Judged(Rule.BUDGET_SHARE, "tokens: 5 needed, 4 free")
ASKS = Judged(Rule.APPROVAL_NEEDED, "the role takes it", asks=True)


def calls_max(rules: BoardRules) -> int:
    """Of one motion: proposals and the answer to arguments with their corrections, and each seat
    once or in each round, and once for its vote.
    """
    seats, tries = len(rules.seats), CORRECTIONS_MAX + 1
    if rules.procedure == "full":
        return seats * (2 + rules.rounds)
    # Called to respond, silent, and so called to the vote as well.
    return seats * tries + (seats - 1) + tries + seats


class HostileBoard(RuleBasedStateMachine):
    """Seats, supervisor and clock do whatever they like; the counts here are kept apart from the
    procedure's own."""

    def __init__(self) -> None:
        super().__init__()
        self.board_rules = RULES
        self.procedure = Procedure()
        self.now = 0.0
        self.calls = 0
        self.motions: list[int] = []
        self.cast: dict[str, Choice] = {}
        self.stances: dict[str, Stance] = {}
        self.voters: set[str] = set()  # who was called to the vote on this motion
        self.open_calls: dict[str, int] = {}
        self.opened_at = 0.0
        self.send_backs = 0

    @initialize(rules=board_rules(), is_reviewing=st.booleans())
    def open(self, rules: BoardRules, is_reviewing: bool) -> None:
        self.board_rules = rules
        self.take(Opened())
        if is_reviewing:
            self.agree_and_work(CHARTER)

    # An ended procedure takes nothing more: the rest of the run goes to the next mission.
    @rule(rules=board_rules(), is_reviewing=st.booleans())
    @precondition(lambda self: self.procedure.stage == "ended")
    def open_next_mission(self, rules: BoardRules, is_reviewing: bool) -> None:
        self.procedure = Procedure()
        self.motions, self.calls, self.cast, self.send_backs = [], 0, {}, 0
        self.stances, self.open_calls, self.voters = {}, {}, set()
        self.open(rules, is_reviewing)

    def take(self, event: Event) -> None:
        before = self.procedure
        stored = Procedure.from_json(before.to_json())
        self.procedure, effects = step(before, event, self.board_rules, self.now)
        assert step(stored, event, self.board_rules, self.now) == (self.procedure, effects)
        assert before.stage != "ended" or effects == ()
        self.count_event(before, event, effects)
        for effect in effects:
            self.count_effect(effect)

    def count_event(self, before: Procedure, event: Event, effects: tuple[Effect, ...]) -> None:
        if before.stage == "ended":
            return
        if found(Ignored, effects):
            assert isinstance(event, Answer)
            return
        if isinstance(event, Answer):
            assert event.seat in before.called
            assert event.motion_number == before.motion_number
            self.open_calls.pop(event.seat)
        if isinstance(event, Voted):
            assert event.seat not in self.cast
            self.cast[event.seat] = event.choice
        if isinstance(event, Argued) and self.procedure.kind == "brisk":
            assert event.seat not in self.stances
            self.stances[event.seat] = event.stance
        if isinstance(event, Proposed):
            self.opened_at = self.now
        if isinstance(event, Executed) and self.procedure != before:
            assert before.motion is not None
            self.send_backs += before.motion.motion == "direct"

    def count_effect(self, effect: Effect) -> None:
        if isinstance(effect, Carry):
            self.check_carried(effect)
        if isinstance(effect, CloseCall):
            assert effect.seat in self.open_calls
            self.open_calls.pop(effect.seat)
        if isinstance(effect, CallSeat):
            number = effect.call.motion_number
            if number not in self.motions:
                self.motions.append(number)
                self.calls = 0
                self.cast, self.stances, self.voters = {}, {}, set()
            assert number == self.motions[-1]
            self.calls += 1
            assert effect.attempt == self.calls
            assert effect.seat in self.procedure.bench.seats
            assert effect.seat not in self.open_calls, "nobody is called twice at once"
            self.open_calls[effect.seat] = effect.attempt
            if effect.call.phase == "vote":
                self.voters.add(effect.seat)

    def check_carried(self, carry: Carry) -> None:
        bench = self.procedure.bench
        assert carry.motion_number == self.motions[-1]
        assert self.now < self.opened_at + self.board_rules.motion_seconds
        if not self.voters:
            assert self.board_rules.procedure == "brisk"
            assert set(self.stances.values()) <= {"consent"}
            assert len(self.stances) + 1 >= bench.quorum
            return
        cast = dict(self.cast)
        author = self.procedure.proposer
        if author not in self.voters:
            assert self.board_rules.procedure == "brisk"
            assert cast.setdefault(author, "yes") == "yes"
        votes = list(cast.values())
        yes, no = votes.count("yes"), votes.count("no")
        chair_decides = bench.tie_break == "chair" and cast.get(bench.chair) == "yes"
        assert len(votes) >= bench.quorum
        assert yes > no or (yes == no and chair_decides)

    # Mostly the awaited answer, so that runs get deep; the hostile ones beside it.

    def answer_of(
        self, seat: str, motion: Motion, choice: Choice, stance: Stance, judged: Judged | None
    ) -> Answer:
        number = self.procedure.motion_number
        match self.procedure.stage:
            case "propose":
                return Proposed(seat, number, motion, judged=judged)
            case "debate":
                return Argued(seat, number, "so", stance)
            case "respond" if choice == "abstain":
                return Responded(seat, number, "withdraw", "you are right")
            case "respond":
                changed = motion if choice == "no" else None
                decision: Response = "keep" if changed is None else "amend"
                return Responded(
                    seat, number, decision, "so", changed, accepts=SEATS, judged=judged
                )
            case _:
                return Voted(seat, number, choice, "so")

    @rule(
        motion=st.sampled_from(MOTIONS),
        choice=st.sampled_from(("yes", "yes", "no", "abstain")),
        stance=st.sampled_from(("consent", "consent", "argue", "object")),
        judged=st.sampled_from((None, None, None, UNLAWFUL, ASKS)),
        data=st.data(),
    )
    @precondition(lambda self: self.procedure.calls)
    def answer_as_called(
        self,
        motion: Motion,
        choice: Choice,
        stance: Stance,
        judged: Judged | None,
        data: st.DataObject,
    ) -> None:
        seat = data.draw(st.sampled_from(self.procedure.called))
        self.take(self.answer_of(seat, motion, choice, stance, judged))

    @rule(
        motion=st.sampled_from(MOTIONS),
        choices=st.lists(
            st.sampled_from(("yes", "no", "abstain", None)),
            min_size=3 * len(NAMES),
            max_size=3 * len(NAMES),
        ),
        stance=st.sampled_from(("consent", "argue")),
    )
    @precondition(lambda self: self.procedure.stage == "propose")
    def deliberate(self, motion: Motion, choices: list[Choice | None], stance: Stance) -> None:
        """One motion from proposal to tally; `None` is a seat that fails."""
        number = self.procedure.motion_number
        while self.procedure.motion_number == number and self.procedure.stage == "propose":
            seat = self.procedure.called[0]
            self.take(self.answer_of(seat, motion, "yes", stance, None))
        for choice in choices:
            if not self.procedure.calls or self.procedure.motion_number != number:
                break
            seat = self.procedure.called[0]
            if choice is None:
                self.take(SeatFailed(seat, number))
            else:
                self.take(self.answer_of(seat, motion, choice, stance, None))

    @rule(motion=st.sampled_from(MOTIONS))
    @precondition(lambda self: self.procedure.stage == "propose")
    def agree_and_work(self, motion: Motion) -> None:
        self.deliberate(motion, ["yes"] * 3 * len(NAMES), "consent")
        self.take(Executed(self.procedure.motion_number))
        self.take(ReportsIn())

    @rule(ahead=st.integers(-1, 1), seat=st.sampled_from(NAMES), attempt=st.integers(1, 9))
    def tell_sent(self, ahead: int, seat: str, attempt: int) -> None:
        self.take(Sent(seat, self.procedure.motion_number + ahead, attempt))

    @rule(seat=st.sampled_from((*NAMES, "stranger")), ahead=st.integers(-1, 1), data=st.data())
    def answer_anything(self, seat: str, ahead: int, data: st.DataObject) -> None:
        number = self.procedure.motion_number + ahead
        answers: list[Answer] = [
            *(Proposed(seat, number, motion) for motion in MOTIONS),
            *(Argued(seat, number, "but", stance) for stance in ("argue", "consent")),
            Responded(seat, number, "keep", "so"),
            *(Voted(seat, number, choice, "ha") for choice in CHOICES),
            *(SeatFailed(seat, number, phase) for phase in PHASES),
        ]
        self.take(data.draw(st.sampled_from(answers)))

    @rule(seconds=st.sampled_from((0.0, 1.0, 4.0, 11.0, 2_000.0)))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.take(Ticked())

    @rule(ahead=st.sampled_from((0, 0, 0, -1, 1)), is_refused=st.booleans())
    def tell_outcome(self, ahead: int, is_refused: bool) -> None:
        number = self.procedure.motion_number + ahead
        refused = Refused(number, Rule.SPAWN_ROLE, "no such role")
        self.take(refused if is_refused else Executed(number))

    @rule()
    def report(self) -> None:
        self.take(ReportsIn())

    @rule()
    def open_again(self) -> None:
        self.take(Opened())

    @rule()
    def restart(self) -> None:
        self.procedure = Procedure.from_json(self.procedure.to_json())

    @invariant()
    def exactly_one_thing_is_awaited(self) -> None:
        states = (
            self.procedure.stage == "docketed",
            bool(self.procedure.calls),
            self.procedure.stage == "carrying",
            self.procedure.stage == "working",
            self.procedure.stage == "ended",
        )
        assert sum(states) == 1
        assert self.procedure.is_consistent
        assert (next_deadline(self.procedure) is not None) == bool(self.procedure.calls)

    @invariant()
    def calls_motions_and_send_backs_are_bounded(self) -> None:
        assert self.calls <= calls_max(self.board_rules)
        assert self.motions == list(range(1, len(self.motions) + 1))
        assert len(self.motions) <= self.board_rules.motions_max
        assert self.send_backs <= self.board_rules.send_backs_max
        assert self.procedure.falls <= self.board_rules.falls_max

    @invariant()
    def the_stored_form_is_the_same_procedure(self) -> None:
        assert Procedure.from_json(self.procedure.to_json()) == self.procedure

    @invariant()
    def each_ballot_is_a_vote_that_was_cast(self) -> None:
        stored = [(ballot.seat, ballot.choice) for ballot in self.procedure.ballots]
        assert len(dict(stored)) == len(stored)
        # Who proposed the text that it kept or amended stands for it, and was not asked again.
        by_author = {b.seat: b.choice for b in self.procedure.ballots if b.is_authors}
        assert by_author in ({}, {self.procedure.proposer: "yes"})
        assert not by_author.keys() & self.cast.keys()
        if self.procedure.stage == "vote":
            assert dict(stored) == self.cast | by_author

    def teardown(self) -> None:
        """From wherever it stands, time alone ends the deliberation."""
        for _ in range(self.board_rules.motions_max * calls_max(self.board_rules)):
            deadline = next_deadline(self.procedure)
            if deadline is None:
                break
            self.now = max(self.now, deadline)
            before = self.procedure
            self.take(Ticked())
            assert self.procedure != before
        assert self.procedure.stage in ("docketed", "carrying", "working", "ended")


TestHostileBoard = HostileBoard.TestCase
TestHostileBoard.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
