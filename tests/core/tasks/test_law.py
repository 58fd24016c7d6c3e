"""Tasks under the supervisor: what is done was handed in, green, on that very digest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from swarmd.core.model.changes import Change
from swarmd.core.model.kpis import KpiResult
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import TaskState
from swarmd.core.model.records import Task
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.tables import TASKS
from swarmd.core.tasks.law import task_of
from tests.core.board.test_hearing import board, consent, propose, reviewing
from tests.core.swarm_builder import MISSION, World, charter, journal, puts, world

CHECK = {"kind": "contains", "text": "quorum"}
CHECK_TEXT = 'contains "quorum"'
HISTORIES, STEPS = 20_000, 12


def hand_in(w: World, agent: Agent, digest: str = "d1", **data: Any) -> Sequence[Change]:
    rows = [[check.text_form, ""] for check in agent.charter.checks] if agent.charter else []
    return w.request(
        agent.id, "hand_in", **{"result": "It is so.", "digest": digest, "checks": rows} | data
    )


def task(w: World, agent: Agent) -> Task:
    found = task_of(w.swarm, agent)
    assert found is not None
    return found


def rule_of(changes: Sequence[Change]) -> str:
    [refused] = journal(changes, "request.refused")
    return str(refused.data["rule"])


def test_what_is_handed_in_is_kept_with_its_digest_and_checks_and_recorded() -> None:
    w = world()
    top = w.grow("sob", "top", checks=[CHECK])
    changes = hand_in(w, top)
    assert task(w, top) == Task(
        agent=top.id,
        state=TaskState.HANDED_IN,
        digest="d1",
        result="It is so.",
        checks=task(w, top).checks,
        at=w.moment.stamp,
    )
    [entry] = journal(changes, "task.submitted")
    assert (entry.data["agent"], entry.data["digest"], entry.data["checks"]) == (top.id, "d1", 1)


def test_a_kpi_that_is_missed_is_kept_and_holds_nothing_up() -> None:
    w = world()
    top = w.grow("sob", "top", kpis=["words <= 2"])
    hand_in(w, top, kpis=[["words <= 2", 3, False]])
    found = task(w, top)
    assert (found.state, found.kpis) == (
        TaskState.HANDED_IN,
        (KpiResult("words <= 2", 3, is_met=False),),
    )
    assert TASKS.read(top.id, TASKS.encode(found)) == found


@pytest.mark.parametrize(
    "rows",
    [[[CHECK_TEXT, "found 0 times"]], [], [["another", ""]], [[CHECK_TEXT, ""], ["more", ""]]],
)
def test_red_checks_and_checks_of_another_charter_hand_nothing_in(rows: list[list[str]]) -> None:
    w = world()
    top = w.grow("sob", "top", checks=[CHECK])
    assert rule_of(hand_in(w, top, checks=rows)) == Rule.TASK_CHECKS
    assert task_of(w.swarm, top) is None


def test_a_digest_is_no_longer_than_one() -> None:
    w = world()
    top = w.grow("sob", "top")
    assert rule_of(hand_in(w, top, "0" * 65)) == Rule.REQUEST_INVALID
    hand_in(w, top, "0" * 64)
    assert task(w, top).digest == "0" * 64


def test_a_task_is_not_handed_in_while_a_child_is_at_work() -> None:
    w = world()
    top = w.grow("sob", "top")
    low = w.grow(top.id, "low")
    assert rule_of(hand_in(w, top)) == Rule.TASK_OPEN
    hand_in(w, low)
    assert puts(hand_in(w, top), TASKS)
    assert task(w, top).state is TaskState.HANDED_IN


def test_a_report_whose_task_is_not_handed_in_is_not_final_for_the_board() -> None:
    w, one, two = reviewing()
    w.grow(two.id, "low")
    w.report(two, "Final.")
    assert rule_of(hand_in(w, two)) == Rule.TASK_OPEN
    assert w.swarm.reports[MISSION][two.id].is_done is False
    hand_in(w, one)
    w.report(one, "Final.")
    assert w.swarm.reports[MISSION][one.id].is_done is True


def test_who_is_ended_is_not_waited_for() -> None:
    w = world()
    top = w.grow("sob", "top")
    low = w.grow(top.id, "low")
    w.end(top.id, low.id)
    hand_in(w, top)
    assert task(w, top).state is TaskState.HANDED_IN


def test_a_superiors_final_report_accepts_what_its_children_handed_in() -> None:
    w = world()
    top = w.grow("sob", "top")
    low = w.grow(top.id, "low")
    hand_in(w, low, "low's")
    changes = hand_in(w, top)
    assert task(w, low).state is TaskState.DONE
    [entry] = journal(changes, "task.done")
    assert (entry.data["actor"], entry.data["agent"], entry.data["digest"]) == (
        top.id,
        low.id,
        "low's",
    )


def test_what_is_sent_back_is_open_again_and_who_did_not_make_it_sends_nothing_back() -> None:
    w = world()
    top = w.grow("sob", "top")
    low, other = w.grow(top.id, "low"), w.grow("sob", "other")
    hand_in(w, low)
    assert rule_of(w.request(other.id, "send_back", agent=low.id, reason="mine")) == Rule.AUTHORITY
    assert task(w, low).state is TaskState.HANDED_IN
    changes = w.request(top.id, "send_back", agent=low.id, reason="cite it")
    assert (task(w, low).state, task(w, low).reason) == (TaskState.REJECTED, "cite it")
    assert journal(changes, "task.returned")
    assert rule_of(hand_in(w, top)) == Rule.TASK_OPEN
    assert rule_of(w.request(top.id, "send_back", agent=low.id, reason="x")) == Rule.TASK_STATE


def test_what_was_sent_back_is_not_accepted_with_the_rest() -> None:
    w = world()
    top = w.grow("sob", "top")
    low = w.grow(top.id, "low")
    hand_in(w, low)
    w.request(top.id, "send_back", agent=low.id, reason="cite it")
    w.end(top.id, low.id)
    assert not journal(hand_in(w, top), "task.done")
    assert task(w, low).state is TaskState.REJECTED


def test_who_hands_in_again_need_not_have_its_childrens_work_done_again() -> None:
    w = world()
    top = w.grow("sob", "top")
    low = w.grow(top.id, "low")
    hand_in(w, low)
    hand_in(w, top)
    changes = hand_in(w, top, "d2")
    assert task(w, top).digest == "d2"
    assert not journal(changes, "task.done"), "it is accepted already"


def test_another_task_opens_what_was_handed_in_again() -> None:
    w, one, _ = reviewing()
    hand_in(w, one)
    w.report(one, "Final.")
    wished = {"kind": "task", "target": one.id, "seconds": 60, "reason": "because", "text": "new"}
    changes = w.order("override", one.id, override=wished)
    assert task(w, one).state is TaskState.REJECTED
    assert w.swarm.reports[MISSION][one.id].is_done is False
    assert journal(changes, "task.returned")


def test_a_charter_whose_checks_take_anything_goes_back() -> None:
    w = world()
    found = w.ask("sob", charter("top", checks=[{"kind": "words", "least": 100}]))
    assert isinstance(found, Denied)
    assert found.rule is Rule.SPAWN_CHECKS
    assert "a text of another task" in found.detail


def deliver(*names: str) -> dict[str, Any]:
    return {"motion": "deliver", "reports": list(names), "reason": "all is there"}


def test_an_interim_report_alone_is_no_result() -> None:
    w, one, two = reviewing()
    propose(w, deliver(one.name))
    assert "an interim one is no result" in board(w).correction
    hand_in(w, two)
    w.report(two, "Final.")
    propose(w, deliver(two.name, one.name))
    if board(w).correction:  # it had not seen the report of the other
        propose(w, deliver(two.name, one.name))
    consent(w)
    mission = w.swarm.missions[MISSION]
    text = mission.result
    assert text.startswith("Final.")
    assert "[swarmd: interim, one was not done]" in text
    assert text.endswith("[swarmd: open at the end: one]")
    assert task(w, two).state is TaskState.DONE


def test_a_directive_of_the_board_opens_a_task_again() -> None:
    w, one, _ = reviewing()
    hand_in(w, one)
    propose(w, {"motion": "direct", "to": "one", "text": "cite it", "reason": "r"})
    consent(w)
    assert (task(w, one).state, task(w, one).reason) == (TaskState.REJECTED, "cite it")


# --- any history ---------------------------------------------------------------------------------


def test_in_no_history_is_a_task_done_without_green_checks_on_that_digest() -> None:
    """Requests as they come, good and bad, of everybody about everybody; 20,000 histories."""
    w, dice, done = world(), random.Random(13), 0
    top = w.grow("sob", "top", checks=[CHECK])
    agents = [top, w.grow(top.id, "a", checks=[CHECK]), w.grow(top.id, "b")]
    for _ in range(HISTORIES):
        w.swarm.rows(TASKS).clear()
        done += one_history(w, agents, dice)
    assert done > HISTORIES / 4, "the histories must have accepted work, or they prove nothing"


def one_history(w: World, agents: Sequence[Agent], dice: random.Random) -> int:
    """How many tasks are done at its end."""
    green: dict[str, set[str]] = {agent.id: set() for agent in agents}
    for step in range(STEPS):
        by, about = dice.choice(agents), dice.choice(agents)
        if dice.random() < 0.7:
            digest, fault = f"{by.id}-{step}", dice.choice(["", "", "found 0 times"])
            checks = by.charter.checks if by.charter is not None else ()
            rows = [[check.text_form, fault] for check in checks]
            if dice.random() < 0.1:
                rows = rows[1:]
            if len(rows) == len(checks) and not any(row[1] for row in rows):
                green[by.id].add(digest)
            hand_in(w, by, digest, checks=rows)
        else:
            w.request(by.id, "send_back", agent=about.id, reason="again")
        for agent in agents:
            found = task_of(w.swarm, agent)
            if found is not None and found.state in (TaskState.DONE, TaskState.HANDED_IN):
                assert found.digest in green[agent.id]
                assert not any(result.fault for result in found.checks)
    return sum(
        1 for a in agents if (t := task_of(w.swarm, a)) is not None and t.state is TaskState.DONE
    )
