"""What changes the world and what does not: the seven behaviours that the guards had wrong when they
looked at texts, and each kind of change by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.progress_vector import (
    MARKS_MAX,
    NO_VECTOR,
    UNCHANGED,
    Called,
    TakenTurn,
    called,
    moved,
)
from swarmd.core.agent.turn import Output
from swarmd.core.model.functions import (
    FILE_READ,
    FILE_SEARCH,
    FILE_WRITE,
    TREE_LIST,
    Function,
    FunctionCall,
    ReadFile,
    SearchFiles,
    WriteFile,
)
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, SOB, SUPERVISOR, TIMER, AgentId, StreamId
from tests.core.agent.test_output_limits import HALL, Sender, direct, report, request, say

LIST = Called("tree/list", "the same")
CUT_WITHIN = 3  # settled turns after the first that changes nothing


def letter(
    kind: Kind, text: str = "", *, sender: str = "a-child", channel: str = "", **data: Any
) -> Message:
    numbers = count(1)
    return Message(
        sender=AgentId(sender),
        kind=kind,
        at="now",
        text=text,
        data=data,
        channel=HALL if channel == "hall" else channel,  # type: ignore[arg-type]  # a name
        id=StreamId(f"1-{next(numbers)}"),
    )


# --- seven behaviours ---------------------------------------------------------------------------

Doing = tuple[Sequence[Output], Sequence[Called]]


def _same_text() -> Iterator[Doing]:
    while True:
        yield [report("Still at it.")], []


def _a_number_in_the_text() -> Iterator[Doing]:
    for n in count():
        yield [report(f"Still at it ({n}).")], []


def _two_texts_and_a_useless_call() -> Iterator[Doing]:
    for text in cycle(["I wait for the numbers.", "Nothing has come yet."]):
        yield [report(text)], [LIST]


def _a_step_and_the_same_call() -> Iterator[Doing]:
    for n in count():
        yield [say(f"step {n}")], [LIST]


def _talk_and_a_call_every_twenty_turns() -> Iterator[Doing]:
    for n in count():
        yield [say(f"thought number {n}")], [LIST] if n % 20 == 19 else []


def _the_same_call_and_silence() -> Iterator[Doing]:
    while True:
        yield [], [LIST]


def _a_debate_with_a_new_reference_each_time() -> Iterator[Doing]:
    for n in range(60):
        yield [say(f"It is bounded there, too (core/part_{n % 7}.py:{10 + n}).")], []


@pytest.mark.parametrize(
    "behaviour",
    [
        _same_text,
        _a_number_in_the_text,
        _two_texts_and_a_useless_call,
        _a_step_and_the_same_call,
        _talk_and_a_call_every_twenty_turns,
        _the_same_call_and_silence,
    ],
)
def test_a_loop_is_cut_within_three_turns_of_the_first_that_changes_nothing(
    behaviour: Any,
) -> None:
    sender, doings = Sender(), behaviour()
    first = None
    for turn in range(400):
        outputs, calls = next(doings)
        judged = sender.turn(*outputs, calls=calls, after=61)
        if first is None and judged.guard.vector.unchanged:
            first = turn
        if judged.cuts:
            assert first is not None
            assert turn - first < CUT_WITHIN
            return
    raise AssertionError("never cut")


def test_an_honest_debate_is_never_cut() -> None:
    sender = Sender()
    for outputs, calls in _a_debate_with_a_new_reference_each_time():
        judged = sender.turn(*outputs, calls=calls)
        assert (judged.cuts, judged.guard.vector.unchanged) == ((), 0)


# --- one turn after another ---------------------------------------------------------------------


@dataclass(slots=True)
class Turns:
    """One agent's turns; each says whether it changed something."""

    vector: Any = NO_VECTOR
    seen: list[Any] = field(default_factory=list)

    def turn(self, *outputs: Output, **more: Any) -> bool:
        after = moved(self.vector, TakenTurn(outputs=outputs, **more))
        self.vector = after.vector
        self.seen.append(after)
        return after.vector.unchanged == 0 and not (after.is_idle or after.is_left)


def test_the_first_word_to_somebody_is_a_change_and_the_second_is_none() -> None:
    turns = Turns()
    assert turns.turn(direct("go", to="a-1"))
    assert not turns.turn(direct("go on", to="a-1"))
    assert turns.turn(direct("go", to="a-2"))
    assert not turns.turn(direct("go", to="a-1"), direct("go", to="a-2"))


@pytest.mark.parametrize(
    "text",
    [
        "see core/law.py:17",
        "see core/law.py:17-20",
        "as https://example.org/a says",
        "ask a-00ab12cd34",
        "its digest is 5f3a9c0d1e2b",
    ],
)
def test_a_new_reference_is_a_change_once(text: str) -> None:
    turns = Turns()
    turns.turn(say("hello"))
    assert [turns.turn(say(text)), turns.turn(say(f"again: {text}"))] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "step 17",
        "at 12:30",
        "20261130222745",
        "non-negotiable",
        "version 1.2.3",
        '"this is quite my own sentence, number 4"',
    ],
)
def test_numbers_times_and_own_words_are_no_references(text: str) -> None:
    turns = Turns()
    turns.turn(say("hello"))
    assert not turns.turn(say(text))


def test_a_reference_that_its_mail_has_just_given_is_no_news() -> None:
    turns = Turns()
    turns.turn(say("hello"))
    mail = [letter(Kind.NOTICE, "law.py:3 and law.py:4", sender=TIMER)]
    assert not turns.turn(say("you are right about law.py:3"), mail=mail)
    assert turns.turn(say("and law.py:5 says so, too"), mail=mail)


def test_a_quotation_of_what_it_has_read_is_a_reference() -> None:
    turns, read = Turns(), ['{"results":[{"lines":["1: a lease ends after ten seconds"]}]}']
    turns.turn(say("hello"))
    quoting = say('It says "a lease ends after ten seconds".')
    assert [turns.turn(quoting, read=read), turns.turn(quoting, read=read)] == [True, False]
    assert not turns.turn(say('It says "a lease ends after ten minutes".'), read=read)


@given(st.integers(1, 120))
def test_of_more_than_are_remembered_a_repetition_is_seen_too(number: int) -> None:
    calls = [Called("x/find", f"{n:08}") for n in range(number)]
    places = say(" ".join(f"a.md:{n}" for n in range(1, number + 1)))
    children = [direct("go", to=f"a-{n}") for n in range(number)]
    turns = Turns()
    assert turns.turn(places, *children, calls=calls)
    for _ in range(3):
        assert not turns.turn(places, *children, calls=calls)
    for marks in (turns.vector.calls, turns.vector.references, turns.vector.deeds):
        assert len(marks) <= 8 * MARKS_MAX


# --- functions ----------------------------------------------------------------------------------


def use(function: Function, args: Any, result: Mapping[str, Any]) -> Called:
    whole = {"function": function.name, "ok": True, **result}
    call = FunctionCall(function, args)
    return called(call, args.model_dump(mode="json"), str(whole), whole)


def read(path: str, start: int = 1, *lines: str) -> Called:
    found = {"path": path, "start": start, "total": 9, "lines": list(lines)}
    return use(FILE_READ, ReadFile(path=path, start=start), found)


def test_the_same_call_with_another_result_is_a_change() -> None:
    turns = Turns()
    assert turns.turn(calls=[read("a.md", 1, "one")])
    assert not turns.turn(calls=[read("a.md", 1, "one")])
    assert turns.turn(calls=[read("a.md", 1, "two")])
    assert turns.turn(calls=[read("b.md", 1, "two")])


def test_where_nothing_is_found_another_argument_is_no_change() -> None:
    turns = Turns()
    nothing: dict[str, Any] = {"passages": [], "not_read": []}
    searches = [use(FILE_SEARCH, SearchFiles(query=f"word {n}"), nothing) for n in range(3)]
    assert [turns.turn(calls=[one]) for one in searches] == [True, False, False]
    beyond = [read("a.md", n) for n in (100, 200, 300)]
    assert [turns.turn(calls=[one]) for one in beyond] == [True, False, False]


def test_a_file_that_is_written_is_a_change_by_its_text() -> None:
    turns = Turns()

    def write(text: str) -> Called:
        args = WriteFile(path="work/a.md", text=text)
        return use(FILE_WRITE, args, {"path": "work/a.md", "bytes": len(text)})

    assert turns.turn(calls=[write("one")])
    assert turns.turn(calls=[write("two")])
    assert not turns.turn(calls=[write("one")])


def test_a_failure_is_no_change() -> None:
    failed = {"ok": False, "detail": "no such file: 17"}
    call = FunctionCall(TREE_LIST, TREE_LIST.args())
    one = called(call, {}, "", failed)
    assert one == Called("tree/list", "")
    turns = Turns()
    assert not turns.turn(calls=[one])
    assert "calls that failed (tree/list)" in turns.seen[-1].why


# --- children, tasks, requests ------------------------------------------------------------------


def test_a_childs_result_is_a_change_by_its_text() -> None:
    turns = Turns()
    done = letter(Kind.REPORT, "42", done=True, files=[])
    assert [turns.turn(mail=[done]) for _ in range(2)] == [True, False]
    assert turns.turn(mail=[replace(done, text="43")])
    assert turns.turn(mail=[replace(done, sender=AgentId("a-other"))])


def test_a_childs_report_is_a_change_where_the_child_itself_changed_something() -> None:
    turns = Turns()
    turns.turn(direct("go"))
    stamp: dict[str, Any] = {UNCHANGED: True}
    idle = letter(Kind.REPORT, "Still at it (2).", done=False, **stamp)
    assert not turns.turn(direct("go"), mail=[idle])
    assert turns.turn(direct("go"), mail=[letter(Kind.REPORT, "half done", done=False)])


def test_a_report_of_a_turn_that_changed_nothing_says_so() -> None:
    sender = Sender()
    first, second = (sender.turn(report("at it")).passed[0][1].data for _ in range(2))
    assert (UNCHANGED in first, second[UNCHANGED]) == (False, True)
    given = [letter(Kind.DIRECTIVE, "and?", sender=SOB)]
    (told,) = sender.turn(report("at it"), mail=given).passed
    assert told[1].data[UNCHANGED] is True, "to be given something is no change of its own"
    (final,) = sender.turn(report("42", done=True)).passed
    assert UNCHANGED not in final[1].data


@pytest.mark.parametrize("outcome", ["created", "done", "waiting"])
def test_a_request_is_a_change_and_so_is_that_it_was_granted(outcome: str) -> None:
    turns = Turns()
    assert turns.turn(request("spawn", key="k1", charter={"name": "x"}))
    assert not turns.turn(request("spawn", key="k2", charter={"name": "x"}))
    assert turns.turn(mail=[letter(Kind.ANSWER, key="k1", outcome=outcome)])


def test_to_ask_for_something_else_after_a_refusal_is_no_change() -> None:
    turns = Turns()
    assert turns.turn(request("spawn", key="k", charter={"name": "x0"}))
    no = letter(Kind.ANSWER, outcome="refused", rule="spawn.depth")
    for n in range(1, 4):
        assert not turns.turn(request("spawn", key="k", charter={"name": f"x{n}"}), mail=[no])
    assert turns.seen[-1].why == "what it asked for was refused"


def test_what_befalls_a_child_is_a_change_once() -> None:
    turns = Turns()
    notice = letter(Kind.NOTICE, "x", sender=SUPERVISOR, agent="a-1", cut="bus.rate", count=3)
    again = replace(notice, data={**notice.data, "count": 4}, text="y")
    assert [turns.turn(mail=[one]) for one in (notice, again)] == [True, False]


def test_a_word_about_its_own_turns_does_not_begin_the_count_anew() -> None:
    turns = Turns()
    note = letter(Kind.NOTICE, "x", sender=SUPERVISOR, correction="note", rule="bus.no-progress")
    assert not turns.turn(mail=[note])
    above = letter(Kind.NOTICE, "x", sender=SUPERVISOR, correction="superior", agent="a-1")
    assert turns.turn(mail=[above]), "what befell a child"


def test_an_answer_to_something_new_is_not_counted() -> None:
    turns = Turns()
    for n in range(9):
        mail = [letter(Kind.DIRECTIVE, f"question {n}", sender=SOB)]
        assert turns.turn(report("an answer"), mail=mail)
    same = [letter(Kind.DIRECTIVE, "go on", sender=SOB)]
    assert [turns.turn(report("at it"), mail=same) for _ in range(3)] == [True, False, False]


def test_a_persons_word_is_new_each_time_and_a_colleagues_once() -> None:
    turns = Turns()
    for n in range(1, 5):
        word = replace(letter(Kind.SAY, "status?", sender=OPERATOR), id=StreamId(f"{n}-0"))
        assert turns.turn(report("fine"), mail=[word])
    for name in ("a-ann", "a-bob"):
        asked = [letter(Kind.SAY, "how many?", sender=name, channel="hall")]
        assert [turns.turn(say("two"), mail=asked) for _ in range(2)] == [True, False]


# --- what is judged -----------------------------------------------------------------------------


def test_a_turn_that_ends_in_a_wait_is_no_loop() -> None:
    turns = Turns()
    over = [letter(Kind.NOTICE, "the time is over", sender=TIMER)]
    for _ in range(20):
        turns.turn(calls=[LIST], mail=over, is_waiting=True)
        assert turns.vector.unchanged == 0
    turns.turn(calls=[LIST], mail=over)
    assert turns.vector.unchanged == 1


@pytest.mark.parametrize("what", ["room", "child", "all children", "superior"])
def test_to_answer_back_whoever_wakes_it_is_counted_in_spite_of_a_wait(what: str) -> None:
    idle: dict[str, Any] = {UNCHANGED: True}
    answer, mail = {
        "room": (say("you"), letter(Kind.SAY, "you", channel="hall")),
        "child": (direct("go"), letter(Kind.REPORT, "at it", done=False, **idle)),
        "all children": (direct("go", to="*"), letter(Kind.REPORT, "at it", done=False, **idle)),
        "superior": (report("at it"), letter(Kind.DIRECTIVE, "go on", sender=SOB)),
    }[what]
    turns = Turns()
    for _ in range(3):
        turns.turn(answer, mail=[mail], is_waiting=True)
    assert turns.vector.unchanged == 2


def test_a_final_report_is_not_counted_however_often_it_is_given() -> None:
    turns = Turns()
    for _ in range(9):
        turns.turn(report("42", done=True), calls=[LIST])
        assert turns.vector.unchanged == 0


def test_a_turn_of_refusals_alone_is_counted() -> None:
    turns = Turns()
    for _ in range(3):
        turns.turn(is_refused=True)
    assert turns.vector.unchanged == 3
