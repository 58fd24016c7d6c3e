"""Each mode with a history that has it and one that looks like it and has not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from swarmd.core.doctor.findings import Finding
from swarmd.core.doctor.history import History, Reading
from swarmd.core.doctor.modes import MODES, examined
from swarmd.core.model.names import StreamId

Json = Mapping[str, Any]
ONE, TWO = "a-one", "a-two"
NO_CHANGE = "to a-two: 3 turns in a row changed nothing: words"
ROLE = {"event": "turn.refused", "actor": ONE, "rule": "privilege.use", "detail": "no", "count": 1}


def agent(id: str, parent: str = "sob", mission: str = "m-1") -> Json:
    path = f"sob/@owner/{mission}/" + (id if parent == "sob" else f"{parent}/{id}")
    record = {"name": id[2:], "role": "r", "parent": parent, "path": path, "mission": mission}
    return {"event": "agent.spawned", "agent": id, "effects": [[f"agent:{id}", record]]}


def call(agent: str, turn: int, *, at: int = 0, step: int = 1, **more: Any) -> Json:
    """An entry with one settled call, which ended at the time `at`."""
    used = {"calls": 1, "tokens": 100}
    fact = {
        "fact": "settle",
        "agent": agent,
        "account": agent,
        "call": f"{turn}:{step}",
        "what": "model",
        "ok": "1",
        "amounts": {"used": used},
        "id": f"{at or turn}-0",
    }
    return {"event": "facts.folded", "facts": [fact | more], "until": f"{at or turn}-0"}


def cut(
    agent: str, turn: int, *, rule: str = "bus.no-progress", detail: str = NO_CHANGE, count: int = 1
) -> Json:
    what = {"rule": rule, "detail": detail, "turn": turn, "count": count}
    return {"event": "turn.refused", "actor": agent, **what}


def task(event: str, agent: str, at: int) -> Json:
    return {"event": f"task.{event}", "actor": agent, "agent": agent, "at": at}


def history(entries: Iterable[Json], results: Mapping[Any, str] | None = None) -> History:
    reading = Reading(History("m-1"), results or {})
    for number, data in enumerate([agent(ONE), agent(TWO), *entries], start=1):
        id = StreamId(f"{data.get('at', number)}-0")
        reading.entry(id, {"mission": "m-1", "data": {"n": number, **data}})
    return reading.history


def found(
    mode: str, entries: Iterable[Json], results: Mapping[Any, str] | None = None
) -> list[Finding]:
    return examined(history(entries, results))[mode]


def reads(agent: str, number: int, *, what: str = "file/read", **more: Any) -> list[Json]:
    return [call(agent, n, what=what, input=f"digest {n}", **more) for n in range(1, number + 1)]


def writes(agent: str, name: str) -> Json:
    return call(agent, 1, what="file/write", input=agent, files=[name])


def siblings(calls: int) -> list[Json]:
    """Three that are finished with three calls each, and one that has made so many."""
    entries: list[Json] = [agent(f"a-{n}", ONE) for n in range(4)]
    for n in range(3):
        entries += [call(f"a-{n}", turn) for turn in range(1, 4)]
        entries.append(task("submitted", f"a-{n}", 90 + n))
    return entries + [call("a-3", turn) for turn in range(1, calls + 1)]


ASKED = {"event": "approval.requested", "actor": ONE, "approval": "p-1", "rule": "approval.needed"}
NOT_GIVEN = {"event": "approval.expired", "approval": "p-1", "rule": "approval.expired"}
SAME = {(ONE, turn, 2): "same" for turn in range(1, 9)}
OTHER = {(ONE, turn, 2): f"result {turn // 2}" for turn in range(1, 9)}
LOOKS = [call(ONE, n, step=2, what="file/read", input="one") for n in range(1, 5)]

SICK: list[tuple[str, list[Json], Mapping[Any, str]]] = [
    ("repetition", [cut(ONE, 5)], {}),
    ("repetition", [cut(ONE, 5, rule="bus.repeat", detail="the same text")], {}),
    ("repetition", LOOKS, SAME),
    ("ping-pong", [cut(ONE, 5), cut(TWO, 6, detail="to a-one: 3 turns in a row")], {}),
    (
        "ping-pong",
        [cut(ONE, 5, detail="to room:hall: x"), cut(TWO, 6, detail="to room:hall: x")],
        {},
    ),
    ("ping-pong", [cut(ONE, 5, rule="bus.hops", detail="2 outputs at hop 65")], {}),
    ("flood", [cut(ONE, 5, rule="bus.rate", detail="more than 120", count=30)], {}),
    ("unaware-of-end", [task("submitted", ONE, 2), *(call(ONE, n) for n in range(3, 6))], {}),
    ("premature-end", [cut(ONE, 5, rule="task.checks", detail="words 10..20: it has 3")], {}),
    (
        "premature-end",
        [{"event": "request.refused", "actor": ONE, "rule": "task.open", "detail": "x"}],
        {},
    ),
    ("incorrect-verification", [cut(ONE, 1, rule="spawn.checks", detail="words 0..9")], {}),
    ("role-disobeyed", [{**ROLE, "turn": turn} for turn in (1, 3, 9)], {}),
    ("overlap", [writes(ONE, "work/a.md"), writes(TWO, "work/a.md")], {}),
    ("overlap", [*reads(ONE, 4), *reads(TWO, 3)], {}),
    ("unanswered", [task("submitted", ONE, 2), task("returned", ONE, 3)], {}),
    ("stalled", [{"event": "agent.stalled", "agent": ONE, "seconds": 900, "told": "superior"}], {}),
    ("poison", [{"event": "dead.added", "agent": ONE, "channel": "inbox:a-one", "tries": 3}], {}),
    ("permission", [ASKED], {}),
    ("permission", [ASKED, NOT_GIVEN], {}),
    ("too-expensive", siblings(12), {}),
]
HEALTHY: list[tuple[str, list[Json], Mapping[Any, str]]] = [
    ("repetition", LOOKS, OTHER),
    ("repetition", LOOKS, {}),
    ("repetition", LOOKS[:3], SAME),
    (
        "ping-pong",
        [cut(ONE, 5, detail="to room:hall: x"), cut(TWO, 6, detail="to room:yard: x")],
        {},
    ),
    ("unaware-of-end", [task("submitted", ONE, 2), call(ONE, 3), call(ONE, 4)], {}),
    ("unaware-of-end", [*(call(ONE, n, at=n) for n in range(1, 6)), task("submitted", ONE, 9)], {}),
    (
        "unaware-of-end",
        [task("submitted", ONE, 2), task("returned", ONE, 3), *(call(ONE, n) for n in range(4, 9))],
        {},
    ),
    ("role-disobeyed", [{**ROLE, "turn": turn} for turn in (1, 3)], {}),
    ("role-disobeyed", [{**ROLE, "turn": n, "rule": "agent.unknown"} for n in range(9)], {}),
    ("overlap", [writes(ONE, "work/a.md"), writes(TWO, "work/b.md")], {}),
    ("overlap", [*reads(ONE, 4), *reads(TWO, 2)], {}),
    ("overlap", [agent("a-kid", ONE), *reads(ONE, 4), *reads("a-kid", 4)], {}),
    ("overlap", [*reads(ONE, 9), *reads(TWO, 3), *reads(TWO, 4, what="file/search", step=2)], {}),
    ("unanswered", [task("returned", ONE, 3), task("submitted", ONE, 4)], {}),
    ("permission", [ASKED, {"event": "approval.given", "approval": "p-1"}], {}),
    ("permission", [ASKED, {"event": "approval.denied", "approval": "p-1"}], {}),
    ("too-expensive", siblings(9), {}),
]


@pytest.mark.parametrize(("mode", "entries", "results"), SICK)
def test_a_history_with_the_mode_is_found(
    mode: str, entries: list[Json], results: Mapping[Any, str]
) -> None:
    (finding,) = found(mode, entries, results)
    assert finding.evidence
    assert finding.times >= 1


@pytest.mark.parametrize(("mode", "entries", "results"), HEALTHY)
def test_a_history_that_looks_like_it_is_not(
    mode: str, entries: list[Json], results: Mapping[Any, str]
) -> None:
    assert found(mode, entries, results) == []


def test_every_mode_has_a_sick_history_here() -> None:
    assert {mode for mode, _, _ in SICK} == {mode.name for mode in MODES}


def test_an_episode_tells_whom_when_and_what_its_turns_cost() -> None:
    calls = [call(ONE, turn) for turn in range(1, 8)]
    (finding,) = found("repetition", [*calls, cut(ONE, 5), cut(ONE, 6, detail="4 turns in a row")])
    assert (finding.agent, finding.times) == (ONE, 2)
    assert finding.evidence == ("10", "11"), "the numbers of the entries that say so"
    assert finding.used == {"calls": 4, "tokens": 400}, "of turns 3 to 6"


def test_what_comes_again_much_later_is_an_episode_of_its_own() -> None:
    assert len(found("repetition", [cut(ONE, 5), cut(ONE, 6), cut(ONE, 20)])) == 2


def test_another_mission_is_none_of_it() -> None:
    reading = Reading(History("m-1"))
    other = {"n": 1, **agent(ONE, mission="m-2")}
    reading.entry(StreamId("1-0"), {"mission": "m-2", "data": other})
    reading.entry(StreamId("2-0"), {"mission": "m-2", "data": {"n": 2, **cut(ONE, 5)}})
    reading.entry(StreamId("3-0"), {"mission": "", "data": {"n": 3, **call(ONE, 5)}})
    one = reading.history
    assert (one.members, one.calls, one.refusals, one.events) == ({}, [], [], [])


def test_what_was_lent_for_a_call_is_part_of_it() -> None:
    lent: dict[str, Any] = {"amounts": {"used": {"tokens": 7}}, "account": "m-1"}
    one = history([call(ONE, 1), call(ONE, 1, **lent)])
    assert [c.used for c in one.calls] == [{"calls": 1, "tokens": 107}]


def test_facts_that_no_entry_has_yet_count_as_well() -> None:
    reading = Reading(history([]))
    reading.rest(
        [
            {
                "id": "9-1",
                "fact": "settle",
                "agent": ONE,
                "call": "4:1",
                "what": "model",
                "amounts": '{"used":{"calls":1}}',
            },
            {
                "id": "9-2",
                "fact": "refuse",
                "agent": ONE,
                "call": "4",
                "rule": "bus.no-progress",
                "detail": "2 turns in a row",
                "channel": "up:sob",
            },
        ]
    )
    (finding,) = examined(reading.history)["repetition"]
    assert (finding.evidence, finding.used) == (("fact 9-2",), {"calls": 1})


def test_what_cannot_be_read_is_passed_over() -> None:
    reading = Reading(History("m-1"))
    reading.entry(StreamId("1-0"), {"data": "none"})
    reading.entry(StreamId("2-0"), {"mission": "m-1", "data": {}})
    reading.rest([{"fact": "settle", "account": "m-1", "amounts": "{", "call": "x", "files": "["}])
    assert [c.used for c in reading.history.calls] == [{}]
