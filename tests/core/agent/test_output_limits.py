"""The bus's guards without a bus: what they cut, what they let pass, what they remember and
forget. What counts as a change is in `test_progress_vector`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.output_limits import CUTS_MAX, TOLD_MAX, Guard, Judged, guard_of, judge
from swarmd.core.agent.progress_vector import MARKS_MAX, Called, TakenTurn
from swarmd.core.agent.turn import Output, is_done_after
from swarmd.core.model.channels import REQUESTS, down, room, up
from swarmd.core.model.declarations import Limits
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, Channel
from swarmd.core.model.refusals import Rule
from tests.core.swarm_builder import LIMITS, START

ME = AgentId("a-me")
HALL = room("hall-m1")


def _out(
    channel: Channel, kind: Kind, text: str = "", *, to: str = "", hops: int = 7, **data: Any
) -> Output:
    return channel, Message(sender=ME, kind=kind, at="now", text=text, to=to, hops=hops, data=data)


def say(text: str) -> Output:
    return _out(HALL, Kind.SAY, text)


def direct(text: str, to: str = "a-child") -> Output:
    return _out(down(ME), Kind.DIRECTIVE, text, to=to)


def report(text: str, *, done: bool = False) -> Output:
    return _out(up(SOB), Kind.REPORT, text, to=SOB, done=done)


def request(type: str, **data: Any) -> Output:
    return _out(REQUESTS, Kind.REQUEST, type, type=type, **data)


FAILED = request("failed", detail="no model")


def limits(**bounds: int) -> Limits:
    return LIMITS.model_copy(update=bounds)


class Sender:
    """One agent's turns, one after the other, with what is stored between them."""

    def __init__(self, **bounds: int) -> None:
        self.limits = limits(**bounds)
        self.stored = ""
        self.now = START

    def turn(
        self,
        *outputs: Output,
        mail: Sequence[Message] = (),
        calls: Sequence[Called] = (),
        after: float = 1.0,
        **more: Any,
    ) -> Judged:
        self.now += after
        taken = TakenTurn(mail, outputs, calls, **more)
        judged = judge(
            guard_of(self.stored), taken, above=SOB, hops=7, now=self.now, limits=self.limits
        )
        self.stored = judged.guard.to_text()
        return judged

    def idle(self, times: int) -> list[Judged]:
        """So many turns after the first that say the same."""
        self.turn(direct("go"))
        return [self.turn(direct("go")) for _ in range(times)]

    def rules(self, *outputs: Output, **more: Any) -> list[Rule]:
        return [cut.rule for cut in self.turn(*outputs, **more).cuts]


# --- floods -----------------------------------------------------------------------------------


def test_what_is_beyond_the_messages_of_a_minute_is_cut_and_counted() -> None:
    sender = Sender(messages_per_minute=5)
    judged = sender.turn(*(say(f"{n}") for n in range(8)))
    assert [message.text for _, message in judged.passed] == list("01234")
    (cut,) = judged.cuts
    assert (cut.rule, cut.count, cut.channel, cut.hops) == (Rule.RATE, 3, HALL, 7)
    assert "5 messages in a minute" in cut.detail


def test_after_a_minute_it_may_speak_again() -> None:
    sender = Sender(messages_per_minute=2)
    assert sender.rules(say("a"), say("b"), say("c")) == [Rule.RATE]
    assert sender.rules(say("d"), after=30) == [Rule.RATE]
    assert sender.rules(say("e"), after=31) == []


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 7)), max_size=30), st.integers(1, 10))
def test_in_no_minute_does_more_pass_than_is_allowed(
    steps: Sequence[tuple[float, int]], most: int
) -> None:
    sender = Sender(messages_per_minute=most, unchanged_max=1_000)
    passed: list[float] = []
    for number, (wait, count) in enumerate(steps):
        outputs = [say(f"{number} {n}") for n in range(count)]
        passed += [sender.now + wait] * len(sender.turn(*outputs, after=wait).passed)
    for at in passed:
        assert sum(1 for other in passed if at <= other < at + 60) <= most


@given(st.lists(st.integers(1, 3), max_size=20))
def test_who_stays_well_within_the_bound_is_never_cut(counts: Sequence[int]) -> None:
    sender = Sender(messages_per_minute=3, unchanged_max=1_000)
    for number, count in enumerate(counts):
        assert sender.rules(*(say(f"{number} {n}") for n in range(count)), after=61.0) == []


# --- turns that change nothing ------------------------------------------------------------------


def test_the_third_turn_in_a_row_that_changes_nothing_is_cut() -> None:
    sender = Sender()
    judged = sender.idle(3)
    assert [bool(one.cuts) for one in judged] == [False, False, True]
    assert judged[-1].passed == ()
    detail = "3 turns in a row changed nothing: words without a new reference or result"
    assert [(cut.channel, cut.to, cut.rule, cut.detail) for cut in judged[-1].cuts] == [
        (down(ME), "a-child", Rule.NO_PROGRESS, detail),
        (up(SOB), SOB, Rule.NO_PROGRESS, detail),
    ]


def test_a_turn_that_changes_something_begins_the_row_anew() -> None:
    sender = Sender()
    for n in range(20):
        assert sender.rules(direct("go"), calls=[Called("x/find", f"mark-{n}")]) == []
        assert sender.rules(direct("go")) == []
        assert sender.rules(direct("go")) == []


def test_who_says_nothing_is_cut_too_and_its_superior_is_told() -> None:
    sender = Sender()
    same = [Called("tree/list", "the same")]
    judged = [sender.turn(calls=same) for _ in range(5)]
    assert [[(c.channel, c.count, c.is_news) for c in one.cuts] for one in judged] == [
        [],
        [],
        [],
        [(up(SOB), 0, True)],
        [(up(SOB), 0, False)],
    ]
    assert "the same calls with the same results (tree/list)" in judged[3].cuts[0].detail


def test_a_request_is_cut_like_talk() -> None:
    sender = Sender()
    no = Message(sender=SOB, kind=Kind.ANSWER, at="now", data={"outcome": "refused"})
    again = request("spawn", key="k", charter={"name": "x"})
    cut = [bool(sender.turn(again, mail=[no]).cuts) for _ in range(4)]
    assert cut == [False, False, True, True]


def test_a_silent_turn_is_neither_talk_nor_progress() -> None:
    sender = Sender(unchanged_max=2)
    sender.idle(1)
    before = sender.stored
    assert sender.rules() == []
    assert guard_of(sender.stored).vector == guard_of(before).vector
    assert Rule.NO_PROGRESS in sender.rules(direct("go"))


# --- last words, and who goes on --------------------------------------------------------------


@given(st.lists(st.sampled_from(["talk", "done", "failed"]), min_size=1, max_size=12))
def test_last_words_always_pass(kinds: Sequence[str]) -> None:
    sender = Sender(messages_per_minute=1, unchanged_max=1)
    words = {"talk": say("x"), "done": report("the end", done=True), "failed": FAILED}
    for _ in range(3):
        outputs = [words[kind] for kind in kinds]
        passed = sender.turn(*outputs, after=0.1).passed
        assert [o for o in passed if o[1].kind is not Kind.SAY] == [
            o for o in outputs if o[1].kind is not Kind.SAY
        ]


def test_who_goes_on_after_being_cut_several_times_is_given_up_by_that_rule() -> None:
    sender = Sender(unchanged_max=1)
    assert [one.gives_up for one in sender.idle(CUTS_MAX)] == [None] * CUTS_MAX
    assert sender.turn(direct("go")).gives_up is Rule.NO_PROGRESS


def test_who_betters_itself_begins_anew() -> None:
    sender = Sender(unchanged_max=1)
    for n in range(3):
        assert [one.gives_up for one in sender.idle(CUTS_MAX)[:-1]] == [None] * (CUTS_MAX - 1)
        assert sender.turn(direct("go"), calls=[Called("x/find", f"{n}")]).cuts == ()
        assert guard_of(sender.stored).cuts == 0


def test_a_turn_between_that_is_silent_or_waits_does_not_hide_that_it_goes_on() -> None:
    sender = Sender(unchanged_max=1)
    sender.turn(direct("go"))
    for _ in range(CUTS_MAX):
        assert sender.turn(direct("go")).gives_up is None
        sender.turn()
        sender.turn(calls=[Called("x/find")], is_waiting=True)
    assert sender.turn(direct("go")).gives_up is Rule.NO_PROGRESS


def test_a_silent_turn_of_one_that_was_given_up_gives_up_nothing() -> None:
    sender = Sender(unchanged_max=1)
    sender.idle(CUTS_MAX + 2)
    assert guard_of(sender.stored).cuts > CUTS_MAX
    news = [Called("x/find", "news")]
    assert (sender.turn().gives_up, sender.turn(calls=news).gives_up) == (None, None)


# --- telling the recipient --------------------------------------------------------------------


def test_recipient_and_superior_are_told_once_and_again_after_a_change() -> None:
    sender = Sender(unchanged_max=1)
    for mark in "ab":
        assert sender.turn(direct("go"), calls=[Called("x/find", mark)]).cuts == ()
        told = [[c.is_news for c in sender.turn(direct("go")).cuts] for _ in range(3)]
        assert told == [[True, True], [False, False], [False, False]]


def test_whoever_else_it_speaks_to_meanwhile_is_told_too() -> None:
    sender = Sender(unchanged_max=1)
    sender.turn(direct("go"), say("go"))
    sender.turn(direct("go"))
    assert [c.is_news for c in sender.turn(direct("go"), say("go")).cuts] == [False, True, False]


def test_of_a_flood_a_recipient_is_told_again_only_when_it_had_ended() -> None:
    sender = Sender(messages_per_minute=1, unchanged_max=1_000)
    assert [c.is_news for c in sender.turn(say("a"), say("b")).cuts] == [True]
    assert [c.is_news for c in sender.turn(say("c")).cuts] == [False]
    assert sender.turn(say("d"), after=61).cuts == ()
    assert [c.is_news for c in sender.turn(say("e")).cuts] == [True]


# --- what is remembered -----------------------------------------------------------------------

_TEXTS = st.text(max_size=8)
_OUTPUTS = st.one_of(
    _TEXTS.map(say),
    st.tuples(_TEXTS, st.sampled_from([f"a-{n}" for n in range(80)])).map(lambda it: direct(*it)),
    _TEXTS.map(report),
    st.just(FAILED),
    st.just(request("spawn", key="k")),
)
_CALLS = st.lists(st.integers(0, 99).map(lambda n: Called("x/find", f"{n:08}")), max_size=60)


@given(
    st.lists(st.tuples(st.lists(_OUTPUTS, max_size=60), _CALLS, st.floats(-100, 100)), max_size=8)
)
def test_what_is_remembered_is_bounded_and_read_back_as_it_was(
    turns: Sequence[tuple[Sequence[Output], Sequence[Called], float]],
) -> None:
    sender = Sender(messages_per_minute=50)
    for outputs, calls, after in turns:
        judged = sender.turn(*outputs, calls=calls, after=after)
        assert guard_of(judged.guard.to_text()) == judged.guard
        assert len(judged.guard.told) <= TOLD_MAX
        assert len(judged.guard.sent) <= 121
        vector = judged.guard.vector
        for marks in (vector.calls, vector.references, vector.deeds):
            assert len(marks) <= 8 * MARKS_MAX
        assert len(sender.stored) < 8_000
        assert len(judged.passed) + sum(cut.count for cut in judged.cuts) == len(outputs)


def test_who_has_done_nothing_has_nothing_to_remember() -> None:
    assert Guard().to_text() == ""
    assert Sender().turn().guard.to_text() == ""


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"v":2}',
        '{"sent":[[1]],"told":[],"cuts":0}',
        "null",
        '{"sent":[],"told":[["a","no.rule"]],"cuts":0}',
        '{"sent":[],"told":[],"cuts":0,"progress":["a"]}',
        '{"sent":[],"told":[],"cuts":0,"progress":7}',
    ],
)
def test_what_cannot_be_read_is_as_if_nothing_had_been(text: str) -> None:
    assert guard_of(text) == Guard()


def test_what_a_former_release_counted_is_gone_on_from() -> None:
    former = '{"v":1,"sent":[[5,2]],"edges":[["a","b",1,["bus.rate"]]],"chatter":9,"cuts":2}'
    assert guard_of(former) == Guard(sent=((5, 2),), cuts=2)


def test_a_successor_goes_on_where_the_former_host_was() -> None:
    sender, successor = Sender(unchanged_max=2), Sender(unchanged_max=2)
    sender.idle(1)
    successor.stored = json.dumps(json.loads(sender.stored))
    assert Rule.NO_PROGRESS in successor.rules(direct("go"))


# --- done -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "mail", "said", "is_done"),
    [
        (False, Kind.CHARTER, [report("42", done=True)], True),
        (False, Kind.CHARTER, [report("soon")], False),
        (True, Kind.SAY, [say("you are welcome")], True),
        (True, Kind.NOTICE, [], True),
        (True, Kind.DIRECTIVE, [report("soon")], False),
        (True, Kind.DIRECTIVE, [report("43", done=True)], True),
    ],
)
def test_done_is_who_reported_it_and_was_given_nothing_since(
    was: bool, mail: Kind, said: Sequence[Output], is_done: bool
) -> None:
    letter = Message(sender=SOB, kind=mail, at="now")
    assert is_done_after(was, [letter], said) is is_done
