"""The bus's guards without a bus: what they cut, what they let pass, what they remember and
forget.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.output_limits import CUTS_MAX, EDGES_MAX, Guard, Judged, guard_of, judge
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

    def turn(self, *outputs: Output, has_used: bool = False, after: float = 1.0) -> Judged:
        self.now += after
        before = guard_of(self.stored)
        judged = judge(before, outputs, has_used=has_used, now=self.now, limits=self.limits)
        self.stored = judged.guard.to_text()
        return judged

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
    sender = Sender(messages_per_minute=most, chatter_max=10_000)
    passed: list[float] = []
    for number, (wait, count) in enumerate(steps):
        outputs = [say(f"{number} {n}") for n in range(count)]
        passed += [sender.now + wait] * len(sender.turn(*outputs, after=wait).passed)
    for at in passed:
        assert sum(1 for other in passed if at <= other < at + 60) <= most


@given(st.lists(st.integers(1, 3), max_size=20))
def test_who_stays_well_within_the_bound_is_never_cut(counts: Sequence[int]) -> None:
    sender = Sender(messages_per_minute=3, chatter_max=10_000)
    for number, count in enumerate(counts):
        assert sender.rules(*(say(f"{number} {n}") for n in range(count)), after=61.0) == []


# --- repetitions ------------------------------------------------------------------------------


def test_the_same_text_on_the_same_edge_is_cut_after_so_many_in_a_row() -> None:
    sender = Sender(repeats_max=3)
    assert [sender.rules(direct("go on")) for _ in range(3)] == [[], [], []]
    assert sender.rules(direct("go on")) == [Rule.REPEAT]
    assert sender.rules(direct("go on", to="another")) == []
    assert sender.rules(direct("something else")) == []
    assert sender.rules(direct("go on")) == []


@pytest.mark.parametrize("other", ["Go on", "  go   on ", "GO ON!!", "go on …", "\uff47o on"])
def test_case_spaces_and_marks_around_do_not_make_another_text(other: str) -> None:
    sender = Sender(repeats_max=1)
    assert sender.rules(direct("go on")) == []
    assert sender.rules(direct(other)) == [Rule.REPEAT]


def test_numbers_and_words_make_another_text() -> None:
    sender = Sender(repeats_max=1)
    for text in ("part 1", "part 2", "part 1 more", "1", "-1", "x", "!", "?"):
        assert sender.rules(direct(text)) == []


def test_repetitions_within_one_turn_count_too() -> None:
    sender = Sender(repeats_max=2)
    judged = sender.turn(*[direct("go")] * 5)
    assert len(judged.passed) == 2
    assert [(cut.rule, cut.count) for cut in judged.cuts] == [(Rule.REPEAT, 3)]


def test_a_request_is_its_data_and_not_its_key() -> None:
    sender = Sender(repeats_max=2)
    for key in ("k1", "k2"):
        assert sender.rules(request("spawn", key=key, charter={"name": "x"})) == []
    assert sender.rules(request("spawn", key="k3", charter={"name": "x"})) == [Rule.REPEAT]
    assert sender.rules(request("spawn", key="k3", charter={"name": "y"})) == []


# --- talk without end -------------------------------------------------------------------------


def test_turns_that_only_talk_are_cut_after_so_many_in_a_row() -> None:
    sender = Sender(chatter_max=3)
    for n in range(3):
        assert sender.rules(say(f"{n}"), report(f"{n}")) == []
    judged = sender.turn(say("more"), direct("more"))
    assert {cut.rule for cut in judged.cuts} == {Rule.NO_PROGRESS}
    assert judged.passed == ()


@pytest.mark.parametrize("what", ["function", "spawn", "act", "done"])
def test_anything_but_talk_begins_the_row_anew(what: str) -> None:
    sender = Sender(chatter_max=2)
    assert [sender.rules(say("a")), sender.rules(say("b"))] == [[], []]
    match what:
        case "function":
            assert sender.rules(say("c"), has_used=True) == []
        case "done":
            assert sender.rules(say("c"), report("d", done=True)) == []
        case _:
            assert sender.rules(say("c"), request(what, agent="x")) == []
    assert [sender.rules(say("e")), sender.rules(say("f"))] == [[], []]
    assert sender.rules(say("g")) == [Rule.NO_PROGRESS]


def test_a_silent_turn_is_neither_talk_nor_progress() -> None:
    sender = Sender(chatter_max=1)
    assert sender.rules(say("a")) == []
    before = sender.stored
    assert sender.rules() == []
    assert guard_of(sender.stored).chatter == guard_of(before).chatter
    assert sender.rules(say("b")) == [Rule.NO_PROGRESS]


# --- last words, and who goes on --------------------------------------------------------------


@given(st.lists(st.sampled_from(["talk", "done", "failed"]), min_size=1, max_size=12))
def test_last_words_always_pass(kinds: Sequence[str]) -> None:
    sender = Sender(messages_per_minute=1, repeats_max=1, chatter_max=1)
    words = {"talk": say("x"), "done": report("the end", done=True), "failed": FAILED}
    for _ in range(3):
        outputs = [words[kind] for kind in kinds]
        passed = sender.turn(*outputs, after=0.1).passed
        assert [o for o in passed if o[1].kind is not Kind.SAY] == [
            o for o in outputs if o[1].kind is not Kind.SAY
        ]


def test_who_goes_on_after_being_cut_several_times_is_given_up_by_that_rule() -> None:
    sender = Sender(repeats_max=1)
    sender.turn(direct("go"))
    assert [sender.turn(direct("go")).gives_up for _ in range(CUTS_MAX)] == [None] * CUTS_MAX
    assert sender.turn(direct("go")).gives_up is Rule.REPEAT


def test_who_betters_itself_begins_anew() -> None:
    sender = Sender(repeats_max=1)
    sender.turn(direct("go"))
    for _ in range(3):
        assert [sender.turn(direct("go")).gives_up for _ in range(CUTS_MAX)] == [None] * CUTS_MAX
        assert sender.turn(say(f"{sender.now}")).cuts == ()
        assert guard_of(sender.stored).cuts == 0


def test_a_silent_turn_between_does_not_hide_that_it_goes_on() -> None:
    sender = Sender(repeats_max=1)
    sender.turn(direct("go"))
    for _ in range(CUTS_MAX):
        assert sender.turn(direct("go")).gives_up is None
        sender.turn()
    assert sender.turn(direct("go")).gives_up is Rule.REPEAT


def test_a_silent_turn_of_one_that_was_given_up_gives_up_nothing() -> None:
    sender = Sender(repeats_max=1)
    for _ in range(CUTS_MAX + 2):
        sender.turn(direct("go"))
    assert guard_of(sender.stored).cuts > CUTS_MAX
    assert (sender.turn().gives_up, sender.turn(has_used=True).gives_up) == (None, None)


# --- telling the recipient --------------------------------------------------------------------


def test_a_recipient_is_told_once_of_each_row() -> None:
    sender = Sender(repeats_max=1)
    sender.turn(direct("go"))
    assert [sender.turn(direct("go")).cuts[0].is_news for _ in range(3)] == [True, False, False]
    sender.turn(direct("something else"))
    assert sender.turn(direct("something else")).cuts[0].is_news


def test_each_recipient_is_told_of_talk_without_end_and_again_after_progress() -> None:
    sender = Sender(chatter_max=1)
    sender.turn(say("a"))
    assert [cut.is_news for cut in sender.turn(say("b")).cuts] == [True]
    assert [cut.is_news for cut in sender.turn(say("c"), direct("c")).cuts] == [False, True]
    sender.turn(has_used=True)
    sender.turn(say("d"))
    assert [cut.is_news for cut in sender.turn(say("e")).cuts] == [True]


def test_of_a_flood_a_recipient_is_told_again_only_when_it_had_ended() -> None:
    sender = Sender(messages_per_minute=1)
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


@given(
    st.lists(
        st.tuples(st.lists(_OUTPUTS, max_size=60), st.booleans(), st.floats(-100, 100)), max_size=8
    )
)
def test_what_is_remembered_is_bounded_and_read_back_as_it_was(
    turns: Sequence[tuple[Sequence[Output], bool, float]],
) -> None:
    sender = Sender(messages_per_minute=50, repeats_max=2, chatter_max=2)
    for outputs, has_used, after in turns:
        judged = sender.turn(*outputs, has_used=has_used, after=after)
        assert guard_of(judged.guard.to_text()) == judged.guard
        assert len(judged.guard.edges) <= EDGES_MAX
        assert len(judged.guard.sent) <= 121
        assert len(sender.stored) < 8_000
        assert len(judged.passed) + sum(cut.count for cut in judged.cuts) == len(outputs)


def test_who_has_said_nothing_has_nothing_to_remember() -> None:
    assert Guard().to_text() == ""
    assert Sender().turn(has_used=True).guard.to_text() == ""


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"v":1}',
        '{"sent":[[1]],"edges":[],"chatter":0,"cuts":0}',
        "null",
        '{"sent":[],"edges":[["a","b",1,["no.rule"]]],"chatter":0,"cuts":0}',
    ],
)
def test_what_cannot_be_read_is_as_if_nothing_had_been(text: str) -> None:
    assert guard_of(text) == Guard()


def test_a_successor_goes_on_where_the_former_host_was() -> None:
    sender, successor = Sender(repeats_max=2), Sender(repeats_max=2)
    sender.turn(direct("go"), direct("go"))
    successor.stored = json.dumps(json.loads(sender.stored))
    assert successor.rules(direct("go")) == [Rule.REPEAT]


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
