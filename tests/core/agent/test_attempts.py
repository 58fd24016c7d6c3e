"""What stands in the place of an agent's turns where it begins anew: facts, bounded, and only
where the supervisor says so.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.mailbox import wakes
from swarmd.core.agent.memory import NO_MEMORY, Memory, before_turn, news_of, remember, said_of
from swarmd.core.agent.prompt import exchange_of
from swarmd.core.agent.report_file import report_path
from swarmd.core.model.channels import inbox
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SUPERVISOR, AgentId, MissionId
from tests.core.swarm_builder import SEATS
from tests.zoo.stage import at_top

MAX: Final = 16_000
ME: Final = at_top("a-one")
ANEW: Final = Message(
    sender=SUPERVISOR,
    to=ME.id,
    kind=Kind.NOTICE,
    mission=MissionId("m-1"),
    at="",
    text="Begin anew.",
    data={"correction": "replan", "rule": "bus.no-progress"},
    channel=inbox(ME.id),
)


def use(query: str, function: str = "file/search") -> dict[str, Any]:
    return {"move": "use", "function": function, "args": {"query": query}}


def gave(found: object, function: str = "file/search", *, ok: bool = True) -> dict[str, Any]:
    return {"function": function, "ok": ok, "found": found}


def turn(*entries: dict[str, Any], mail: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    return [{"mail": list(mail)}, *entries]


def remembered(*turns: list[dict[str, Any]]) -> Memory:
    memory = NO_MEMORY
    for one in turns:
        memory = remember(memory, one, MAX, BUILT_IN)
    return memory


def anew(memory: Memory, *mail: Message) -> Memory:
    return before_turn(memory, mail or (ANEW,), MAX, BUILT_IN)


def told(memory: Memory) -> str:
    (entry,) = map(json.loads, memory.entries)
    return said_of(entry["left_out"])


def loop(times: int) -> list[list[dict[str, Any]]]:
    return [turn({"moves": [use("redis dies")]}, {"results": [gave([])]}) for _ in range(times)]


def test_each_call_is_told_once_with_how_often_and_whether_its_result_was_the_same() -> None:
    memory = remembered(
        *loop(4),
        turn({"moves": [use("a"), use("b")]}, {"results": [gave(1), gave(2)]}),
        turn({"moves": [use("a")]}, {"results": [gave(3)]}),
        turn({"moves": [use("no", "file/read")]}, {"results": [gave("", "file/read", ok=False)]}),
    )
    lines = told(anew(memory)).splitlines()
    assert '- `file/search {"query":"redis dies"}`: 4 times, the same result' in lines
    assert '- `file/search {"query":"a"}`: 2 times, different results' in lines
    assert '- `file/search {"query":"b"}`: once, it gave a result' in lines
    assert '- `file/read {"query":"no"}`: once, it failed' in lines


def test_no_repeated_call_stands_in_the_prompt_of_who_begins_anew() -> None:
    memory = remembered(*loop(4))

    def calls(of: Memory) -> int:
        pieces = exchange_of([json.loads(entry) for entry in of.entries])
        return sum(len(piece.calls) + len(piece.results) for piece in pieces)

    assert (calls(memory), calls(anew(memory))) == (8, 0)


def test_refusals_are_counted_by_rule_and_reports_told() -> None:
    no = {"move": "report", "ok": False, "rule": "task.checks", "detail": "red"}
    cut = {"ok": False, "rule": "bus.no-progress", "detail": "1 not sent"}
    said = {"move": "report", "text": "I am at it.", "done": False}
    one = turn({"moves": [said]}, {"results": [no]}, {"results": [cut]})
    text = told(anew(remembered(one, one)))
    assert "- refused by task.checks: 2 times" in text
    assert "- refused by bus.no-progress: 2 times" in text
    assert "- reported: 2 times" in text
    assert text.count("I am at it.") == 1


def test_directives_and_reports_of_children_stay_and_so_does_where_they_can_be_read() -> None:
    directive = {"from": "sob", "kind": "directive", "text": "Look at b.md.", "data": {}}
    report = {
        "from": "a-2",
        "kind": "report",
        "text": "Seven.",
        "data": {"name": "kid", "files": ["work/kid.md"], "done": True},
    }
    talk = {"from": "a-2", "kind": "say", "text": "Hello.", "data": {}}
    memory = remembered(turn(mail=(directive, report, talk)), *loop(3))
    text = told(anew(memory))
    assert "Look at b.md." in text
    assert "Seven." in text
    assert "Hello." not in text
    path = report_path("kid", AgentId("a-2"), ["work/kid.md"])
    assert not path or path in text


@pytest.mark.parametrize(
    "message",
    [
        replace(ANEW, sender=AgentId("a-two")),
        replace(ANEW, sender=AgentId("sob")),
        replace(ANEW, sender=AgentId(SEATS[0])),
        replace(ANEW, sender=AgentId("operator"), kind=Kind.SAY),
        replace(ANEW, kind=Kind.DIRECTIVE),
        replace(ANEW, data={"correction": "note"}),
        replace(ANEW, data={}, text='data: {"correction": "replan"}'),
    ],
)
def test_nobody_but_the_supervisor_has_an_agent_begin_anew(message: Message) -> None:
    memory = remembered(*loop(3))
    assert anew(memory, message) is memory
    assert anew(memory, message, ANEW) != memory


def test_to_begin_anew_wakes_nobody_and_the_same_words_of_another_do() -> None:
    assert not wakes(ME, ANEW, {})
    assert wakes(ME, replace(ANEW, sender=AgentId("a-two")), {})


def test_what_goes_is_forgotten_in_the_store_and_the_turn_goes_on_from_there() -> None:
    before = remembered(*loop(3))
    start = anew(before)
    after = remember(start, turn({"moves": [use("other")]}), MAX, BUILT_IN)
    added, forgotten = news_of(before, after)
    assert list(forgotten) == list(range(before.first, before.end - 1))
    assert sorted(added) == list(range(before.end - 1, after.end))
    assert anew(NO_MEMORY) == NO_MEMORY


def test_who_begins_anew_twice_knows_what_it_tried_before_the_first() -> None:
    first = anew(remembered(*loop(2)))
    memory = first
    for one in loop(3):
        memory = remember(memory, one, MAX, BUILT_IN)
    assert "5 times, the same result" in told(anew(memory))


def test_what_was_tried_goes_when_that_memory_is_shortened() -> None:
    memory = anew(remembered(*loop(4)))
    for number in range(400):
        memory = remember(memory, turn({"moves": [use(f"other {number}")]}), MAX, BUILT_IN)
    assert "tried" not in json.loads(memory.entries[0])["left_out"]


TEXTS = st.text(max_size=3_000)
CALLS = st.lists(st.tuples(TEXTS, TEXTS, st.booleans()), max_size=80)


@given(CALLS, st.integers(min_value=1, max_value=3))
def test_whatever_was_tried_what_is_told_of_it_is_bounded(
    calls: list[tuple[str, str, bool]], times: int
) -> None:
    memory = remembered(
        *(
            turn({"moves": [use(query)]}, {"results": [gave(found, ok=ok)]})
            for query, found, ok in calls * times
        )
    )
    start = anew(memory)
    assert sum(map(len, start.entries)) <= MAX
    assert len(start.entries) <= 1
    assert start == anew(memory), "the same each time"
