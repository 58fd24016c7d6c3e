"""A turn's bounds, what is told of an answer's moves, and how a turn rests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.waiting import wait_of
from swarmd.core.model.channels import REQUESTS, inbox, up
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId
from swarmd.ports.files import Files
from tests.runtime.test_functions import Seen, use
from tests.runtime.test_worker import (
    DECLARED,
    Lineage,
    at_work,
    executive,
    jumping,
    message,
    stored,
    until,
    worker_of,
)

A1: Final = AgentId("a-1")
LIMITS: Final = DECLARED.limits
FREE: Final = ("model/**", "tool/**", "spawn/**", "room/executives/say")


def bounded(**limits: int) -> Declarations:
    return replace(DECLARED, limits=LIMITS.model_copy(update=limits))


def answer(*moves: Mapping[str, Any], step: int | None = None) -> dict[str, Any]:
    return {"when": {} if step is None else {"step": step}, "moves": list(moves)}


def spawn(name: str, **more: Any) -> dict[str, Any]:
    charter = {"role": "researcher", "name": name, "task": "Read."}
    return {"move": "spawn", "charter": charter, **more}


def report(text: str, *, done: bool = False) -> dict[str, Any]:
    return {"move": "report", "text": text, "done": done}


THINK: Final = {"move": "think", "thought": "hm"}
TREE: Final = use("tree/list")


@dataclass(slots=True)
class Ended:
    """What a turn came to."""

    model: Seen
    entries: list[Mapping[str, Any]]
    reports: list[Message]
    requests: list[Message]
    wait: str

    @property
    def results(self) -> list[Mapping[str, Any]]:
        return [result for entry in self.entries for result in entry.get("results", ())]


async def turn_of(
    store: RedisStore,
    script: Sequence[Mapping[str, Any]],
    declared: Declarations = DECLARED,
    files: Files | None = None,
) -> Ended:
    agent = replace(executive(A1), privileges=FREE)
    await Lineage(store).found(agent)
    seen = Seen(ScriptedModel(list(script)))
    async with at_work(worker_of(store, seen, declared=declared, files=files)):
        await store.post(inbox(A1), message("begin"))

        async def is_over() -> bool:
            return (await store.resume(A1)).turn == 1

        await until(is_over)
    resumed = await store.resume(A1)
    return Ended(
        seen,
        [json.loads(entry) for entry in resumed.memory.entries],
        [m for m in await store.latest(up(SOB), 10) if m.kind is Kind.REPORT],
        [m for m in await store.latest(REQUESTS, 10) if m.kind is Kind.REQUEST],
        resumed.wait,
    )


def in_a_turn(
    script: Sequence[Mapping[str, Any]],
    declared: Declarations = DECLARED,
    files: Files | None = None,
) -> Ended:
    async def test() -> Ended:
        async with stored() as store:
            return await turn_of(store, script, declared, files)

    return jumping(test)


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "calls", "thoughts", "used_up"),
    [
        ({"thoughts_max": 3}, 1, 3, "3 thoughts"),
        ({"functions_max": 2}, 1, 2, "2 function calls"),
        ({"functions_max": 2}, 4, 1, "2 function calls"),
    ],
)
def test_at_a_bound_the_agent_is_asked_once_more_and_may_only_report(
    limits: dict[str, int], calls: int, thoughts: int, used_up: str
) -> None:
    script = [answer(report("so far"), step=thoughts), answer(*[TREE] * calls)]
    ended = in_a_turn(script, bounded(**limits))
    *before, asked = ended.model.prompts
    assert len(before) == thoughts
    assert all(p.open_offer == asked.offer for p in before), "what is cached is the same"
    assert asked.open_offer.moves == ("report",)
    assert asked.open_offer.functions == ()
    assert used_up in asked.reminder
    assert "results" in asked.since[-1].text, "it sees what the last functions gave"
    (told,) = ended.reports
    assert (told.text, told.data["done"]) == ("so far", False)


def test_what_is_left_of_a_turn_is_told_in_each_call() -> None:
    ended = in_a_turn([answer(TREE, TREE, step=0), answer(report("x", done=True))])
    first, second = (prompt.reminder for prompt in ended.model.prompts)
    assert "12 thoughts" in first
    assert "60 function calls" in first
    assert "11 thoughts" in second
    assert "58 function calls" in second


def fails_once(why: str) -> list[dict[str, Any]]:
    """A script that fails once in this way, and then answers."""
    failing = {"when": {"times": 1}, "fail": {"why": why, "detail": "no move"}}
    return [failing, answer(report("x", done=True))]


def test_a_failure_of_the_provider_uses_up_no_thought_and_the_same_is_asked_again() -> None:
    ended = in_a_turn(fails_once("server"))
    first, second = ended.model.prompts
    for prompt in (first, second):
        assert "12 thoughts" in prompt.reminder
    assert replace(second, reminder=first.reminder) == first


def test_an_answer_that_is_no_use_is_a_thought_of_the_model() -> None:
    ended = in_a_turn(fails_once("malformed"))
    assert [prompt.reminder.split(" (")[0] for prompt in ended.model.prompts] == [
        "Left in this turn: 12 thoughts",
        "Left in this turn: 11 thoughts",
    ]


def test_functions_beyond_the_bound_are_not_called_and_say_so() -> None:
    ended = in_a_turn([answer(TREE, TREE, TREE)], bounded(functions_max=2))
    assert [result["ok"] for result in ended.results[:3]] == [True, True, False]
    assert "2 function calls" in ended.results[2]["detail"]


def test_a_turn_that_ends_at_its_bound_without_a_report_is_told_to_its_superior() -> None:
    ended = in_a_turn([answer(TREE)], bounded(thoughts_max=2))
    (told,) = ended.reports
    assert told.sender == A1
    assert (told.data["done"], told.data["unreported"]) == (False, "2 thoughts")
    assert "gave no report" in told.text
    assert ended.requests == [], "that ends no agent"


def test_who_has_reported_in_its_turn_is_not_asked_again_at_the_bound() -> None:
    ended = in_a_turn([answer(report("x", done=True), TREE)], bounded(thoughts_max=1))
    assert len(ended.model.prompts) == 1
    assert [told.text for told in ended.reports] == ["x"]


# --- what is told of an answer --------------------------------------------------------------------


def test_where_one_result_is_shown_each_move_of_the_answer_has_one() -> None:
    moves = [
        spawn("ann", key="k"),
        {"move": "direct", "to": "nobody", "text": "x"},
        {"move": "say", "room": "executives", "text": "x"},
        {"move": "govern", "verb": "freeze", "target": "a-2", "reason": "r"},
        {"move": "wait", "whom": ["ann"]},
    ]
    ended = in_a_turn([answer(*moves, step=0), answer(report("x"))])
    told = ended.results
    assert [result["ok"] for result in told] == [True, False, True, True, True]
    assert told[0] == {
        "move": "spawn",
        "key": "k",
        "ok": True,
        "detail": "asked; the answer comes by mail after this turn",
    }
    assert (told[1]["to"], told[1]["rule"]) == ("nobody", "agent.unknown")
    assert told[3]["verb"] == "freeze"
    assert "not begun" in told[4]["detail"]
    assert ended.wait == "", "the turn went on, and the report ended it"


def test_a_spawn_of_one_answer_may_be_directed_by_name_in_the_next() -> None:
    ended = in_a_turn(
        [
            answer(spawn("ann", key="k"), TREE, step=0),
            answer({"move": "direct", "to": "ann", "text": "begin"}, {"move": "wait"}),
        ]
    )
    (asked,) = ended.requests
    assert (asked.data["key"], asked.data["directives"]) == ("k", ["begin"])


def test_spawns_of_one_answer_say_with_whom_they_are_asked_for() -> None:
    ended = in_a_turn(
        [
            answer(spawn("eve", key="e"), TREE, step=0),
            answer(spawn("ann", key="a"), spawn("bob", key="b"), {"move": "wait"}),
        ]
    )
    told = [(m.data["key"], m.data["together"], m.data["before"]) for m in ended.requests]
    assert told == [("e", 1, []), ("a", 2, []), ("b", 2, ["a"])]


def test_a_right_that_is_not_held_is_refused_with_how_to_ask_for_it() -> None:
    async def test() -> Ended:
        async with stored() as store:
            moves = [{"move": "say", "room": "executives", "text": "x"}]
            agent = replace(executive(A1), privileges=("model/**", "room/executives/say"))
            await Lineage(store).found(agent)
            script = [answer(use("file/search", query="x"), *moves, step=0), answer(report("x"))]
            seen = Seen(ScriptedModel(script))
            async with at_work(worker_of(store, seen)):
                await store.post(inbox(A1), message("begin"))

                async def is_over() -> bool:
                    return (await store.resume(A1)).turn == 1

                await until(is_over)
            memory = (await store.resume(A1)).memory
            return Ended(seen, [json.loads(entry) for entry in memory.entries], [], [], "")

    no = jumping(test).results[0]
    assert (no["function"], no["ok"]) == ("file/search", False)
    assert "`report` with `done` false" in no["hint"]


# --- thoughts and waits ---------------------------------------------------------------------------


def test_a_lone_thought_is_asked_once_what_it_comes_to_and_a_second_one_waits() -> None:
    ended = in_a_turn([answer(THINK)])
    assert len(ended.model.prompts) == 2
    assert "Act now, or `wait`" in ended.model.prompts[1].since[-1].text
    assert ended.reports == []


def test_a_wait_ends_the_turn_with_one_call_and_its_time_wakes_the_agent() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(replace(executive(A1), privileges=FREE))
            script = [
                {
                    "when": {"mail_contains": "is over"},
                    "moves": [report("nobody came", done=True)],
                },
                answer({"move": "wait", "what": "word", "seconds": 30}),
            ]
            seen = Seen(ScriptedModel(script))
            async with at_work(worker_of(store, seen)):
                await store.post(inbox(A1), message("begin"))

                async def waits() -> bool:
                    return bool((await store.resume(A1)).wait)

                await until(waits)
                assert wait_of((await store.resume(A1)).wait).what == "word"
                began = anyio.current_time()

            # Another process takes it up and goes on waiting.
            async with at_work(worker_of(store, seen)):

                async def has_reported() -> bool:
                    return bool(await store.latest(up(SOB), 1))

                await until(has_reported)
                assert 25 < anyio.current_time() - began < 40
            assert len(seen.prompts) == 2
            assert (await store.resume(A1)).wait == ""

    jumping(test)


def test_an_agent_that_rests_on_acknowledgements_is_called_with_the_next_real_mail() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(replace(executive(A1), privileges=FREE))
            seen = Seen(ScriptedModel([answer({"move": "wait"})]))
            async with at_work(worker_of(store, seen)):
                for number in range(3):
                    made = Message(
                        sender=AgentId("supervisor"),
                        kind=Kind.ANSWER,
                        at="2026-03-01T10:00:00.000Z",
                        data={"outcome": "created", "key": f"k{number}"},
                    )
                    await store.post(inbox(A1), made)
                await anyio.sleep(5)
                assert seen.prompts == []
                await store.post(inbox(A1), message("begin"))

                async def is_over() -> bool:
                    return (await store.resume(A1)).turn == 1

                await until(is_over)
            (prompt,) = seen.prompts
            assert [mail.kind for mail in prompt.view.mail] == [Kind.ANSWER] * 3 + [Kind.DIRECTIVE]

    jumping(test)


# --- the prompt -----------------------------------------------------------------------------------


def child_of(agent: Agent, id: str, name: str) -> Agent:
    return replace(
        agent,
        id=AgentId(id),
        name=name,
        role="researcher",
        tier=2,
        parent=agent.id,
        path=(*agent.path, AgentId(id)),
        key=name,
        charter=Charter(role="researcher", name=name, task="Read."),
    )


def test_what_is_constant_comes_first_and_the_situation_last() -> None:
    """Two executives and a child of one: whom each knows, and what all of them share."""
    top, other = replace(executive(A1), privileges=FREE), executive("a-2")
    tainted = replace(executive("a-3"), taint=("file",))
    child = child_of(top, "a-c1", "reader")
    script = [
        {"when": {"agent": "a-c1"}, "moves": [report("read", done=True)]},
        {"when": {"mail_kind": "report"}, "moves": [report("all", done=True)]},
        answer({"move": "wait", "whom": ["reader"]}),
    ]

    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(top, other, tainted, child)
            seen = Seen(ScriptedModel(script))
            async with at_work(worker_of(store, seen)):
                await store.post(inbox(A1), message("begin"))

                async def waits() -> bool:
                    return bool((await store.resume(A1)).wait)

                await until(waits)
                await store.post(inbox(child.id), message("read it"))

                async def has_reported() -> bool:
                    return bool(await store.latest(up(SOB), 1))

                await until(has_reported)
        first, of_child, second = seen.prompts
        assert first.shared == second.shared, "the same bytes for all who lead"
        assert "## Leading" in first.shared
        assert "## Leading" not in of_child.shared
        assert "Why?" in first.shared
        start = first.exchange[0].text
        assert start.startswith("# Your charter\nYou are a-1 (a-1), executive at tier 1.")
        assert second.exchange[0].text.startswith(start), "and what follows is added to it"
        assert "report from reader (a-c1)" in second.exchange[-1].text
        assert "You report to the board (id `sob`)." in start
        assert "room `executives`:" in start
        for told in (
            "- a-2 (a-2, executive): Answer.",
            "- a-3 (a-3, executive)\n",
            "- reader (a-c1, researcher): working",
        ):
            assert told in first.persona
        assert "- reader (a-c1, researcher): done " in second.persona
        assert "You report to a-1 (a-1)." in of_child.exchange[0].text

    jumping(test)


# --- the citations of a report --------------------------------------------------------------------


RIGHT: Final = report("Leases last ten seconds (work/a.md:2).", done=True)
WRONG: Final = report("Leases last ten seconds (work/a.md:1), and work/b.md:1.", done=True)
TOLD: Final = [
    "work/a.md:1: no word of the claim stands there, but in line 2",
    "work/b.md:1: no such file of yours",
]


@pytest.fixture
def files(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path, None)
    found.write(executive(A1).mission, "work/a.md", "# Time\nLeases last ten seconds.\n")
    return found


def test_a_final_report_with_wrong_citations_is_given_back_once(files: Workspace) -> None:
    ended = in_a_turn([answer(WRONG, step=0), answer(RIGHT)], files=files)
    (result,) = ended.results
    assert not result["ok"]
    assert all(fault in result["detail"] for fault in TOLD)
    (sent,) = ended.reports
    assert sent.text == RIGHT["text"]
    assert sent.data["citations"] == {"right": 1, "wrong": []}


def test_one_that_is_sent_again_as_it_was_names_what_is_wrong(files: Workspace) -> None:
    ended = in_a_turn([answer(WRONG)], files=files)
    assert len(ended.model.prompts) == 2
    (sent,) = ended.reports
    assert sent.data["citations"] == {"right": 0, "wrong": TOLD}


def test_an_interim_report_is_not_given_back_and_one_without_citations_has_none(
    files: Workspace,
) -> None:
    ended = in_a_turn([answer({**WRONG, "done": False})], files=files)
    assert [sent.data["citations"]["wrong"] for sent in ended.reports] == [TOLD]
    (plain,) = in_a_turn([answer(report("Nothing is cited.", done=True))], files=files).reports
    assert "citations" not in plain.data


def test_at_its_bound_a_report_is_sent_whatever_it_cites(files: Workspace) -> None:
    ended = in_a_turn([answer(TREE, step=0), answer(WRONG)], bounded(thoughts_max=1), files=files)
    assert [sent.data["citations"]["wrong"] for sent in ended.reports] == [TOLD]
