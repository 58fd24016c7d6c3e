"""The check `person`: what an executive hands in waits for an operator's yes, and for nobody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

from swarmd.core.control import rest
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, Authority, TaskState
from swarmd.core.model.records import Approval, report_digest
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import RESULT_SHOWN_MAX
from swarmd.core.tasks.law import is_with_a_person, task_of
from tests.core.swarm_builder import MISSION, World, charter, journal, posts, world

LOOKED_UP: Final = 'contains "quorum"'
QUESTION: Final = 'person "May this be published?"'
CHECKS: Final = (
    {"kind": "contains", "text": "quorum"},
    {"kind": "person", "text": "May this be published?"},
)
RESULT: Final = "The quorum is four."


def chartered(checks: Sequence[Mapping[str, Any]] = CHECKS) -> tuple[World, Agent]:
    w = world()
    one = {"key": "one", "role": "manager", "name": "one", "task": "t", "checks": list(checks)}
    w.carry({"motion": "charter", "reason": "because", "executives": [one]})
    (executive,) = w.swarm.executives(MISSION)
    return w, w.place(executive.id)


def hand_in(w: World, agent: Agent, result: str = RESULT, **data: Any) -> list[Change]:
    """As a runtime does: the report, interim until the person has answered, and the request."""
    w.report(agent, result, done=False, open=QUESTION)
    given = {
        "result": result[:RESULT_SHOWN_MAX],
        "digest": "d1",
        "checks": [[LOOKED_UP, ""]],
    } | data
    given |= {"report": report_digest(result, [])}
    return w.request(agent.id, "hand_in", **given)


def waiting(w: World) -> Approval:
    (approval,) = w.swarm.approvals.values()
    return approval


def told(changes: Sequence[Change], agent: Agent) -> Mapping[str, Any]:
    (answer,) = [m for m in posts(changes, inbox(agent.id)) if m.kind is Kind.ANSWER]
    return answer.data


def is_final(w: World, agent: Agent) -> bool:
    return w.swarm.reports[MISSION][agent.id].is_done


def test_what_is_handed_in_waits_for_an_operator_and_is_not_done() -> None:
    w, one = chartered()
    changes = hand_in(w, one)
    asked = waiting(w)
    assert (asked.requester, asked.needs) == (one.id, Authority.OPERATOR)
    assert asked.facts["why"] == QUESTION
    [entry] = journal(changes, "approval.requested")
    assert entry.data["approval"] == asked.id
    assert task_of(w.swarm, one) is None
    assert not is_final(w, one)
    assert w.swarm.boards[MISSION].stage == "working"


def test_a_yes_hands_it_in_and_the_board_reviews() -> None:
    w, one = chartered()
    hand_in(w, one)
    changes = w.order("approve", waiting(w).id)
    found = task_of(w.swarm, one)
    assert found is not None
    assert (found.state, found.digest) == (TaskState.HANDED_IN, "d1")
    assert [(row.check, row.fault) for row in found.checks] == [(LOOKED_UP, ""), (QUESTION, "")]
    assert [entry.data["actor"] for entry in journal(changes, "approval.given")] == ["operator"]
    assert journal(changes, "task.submitted")
    assert told(changes, one)["outcome"] == "done", "which wakes nobody"
    assert is_final(w, one)
    assert w.swarm.boards[MISSION].phase == "review"
    assert not w.swarm.approvals


def test_a_no_sends_it_back_with_the_reason() -> None:
    w, one = chartered()
    hand_in(w, one)
    changes = w.order("deny", waiting(w).id, reason="Name the source.")
    answer = told(changes, one)
    assert (answer["outcome"], answer["rule"]) == ("refused", Rule.APPROVAL_DENIED)
    assert "by operator: Name the source." in answer["detail"]
    assert task_of(w.swarm, one) is None
    assert not is_final(w, one)
    hand_in(w, one, "Better. The quorum is four.")
    assert waiting(w).action["request"]["result"] == "Better. The quorum is four."


def test_what_nobody_answers_lapses_and_its_author_is_told() -> None:
    w, one = chartered()
    hand_in(w, one)
    changes = w.tick(w.swarm.declared.limits.approval_seconds + 1)
    assert told(changes, one)["rule"] == Rule.APPROVAL_EXPIRED
    assert task_of(w.swarm, one) is None
    assert not w.swarm.approvals


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_its_author_does_not_answer_for_itself(verb: str) -> None:
    w, one = chartered()
    hand_in(w, one)
    act = {"verb": verb, "target": waiting(w).id, "reason": "mine"}
    assert told(w.request(one.id, "act", act=act), one)["rule"] == Rule.AUTHORITY
    assert not waiting(w).answer


def test_no_person_is_asked_about_what_is_red_or_open() -> None:
    w, one = chartered()
    changes = hand_in(w, one, checks=[[LOOKED_UP, "found 0 times"]])
    assert told(changes, one)["rule"] == Rule.TASK_CHECKS
    w.grow(one.id, "low")
    assert told(hand_in(w, one), one)["rule"] == Rule.TASK_OPEN
    assert not w.swarm.approvals


def test_a_runtime_that_says_what_the_person_says_is_not_believed() -> None:
    w, one = chartered()
    changes = hand_in(w, one, checks=[[LOOKED_UP, ""], [QUESTION, ""]])
    assert told(changes, one)["rule"] == Rule.TASK_CHECKS
    assert task_of(w.swarm, one) is None


def test_what_is_handed_in_anew_takes_the_place_of_what_waits() -> None:
    w, one = chartered()
    hand_in(w, one)
    first = waiting(w).id
    hand_in(w, one, "The quorum is five.", digest="d2")
    assert waiting(w).id != first
    w.order("approve", waiting(w).id)
    found = task_of(w.swarm, one)
    assert found is not None
    assert found.digest == "d2"


def test_a_yes_to_what_is_not_its_last_word_any_more_does_nothing() -> None:
    w, one = chartered()
    hand_in(w, one)
    w.report(one, "I was wrong.", done=False)
    changes = w.order("approve", waiting(w).id)
    assert told(changes, one)["rule"] == Rule.TASK_STATE
    assert task_of(w.swarm, one) is None
    assert not is_final(w, one)


def test_another_task_takes_back_what_a_person_is_asked() -> None:
    w, one = chartered()
    hand_in(w, one)
    wished = {"kind": "task", "target": one.id, "seconds": 60, "reason": "r", "text": "new"}
    w.order("override", one.id, override=wished)
    assert not w.swarm.approvals
    assert not is_final(w, one)


def test_who_waits_for_a_person_is_not_at_rest() -> None:
    w, one = chartered()
    hand_in(w, one)
    later = w.now + 3_600
    assert is_with_a_person(w.swarm, one)
    assert rest.candidates(w.swarm, later) == []
    w.order("deny", waiting(w).id, reason="no")
    assert [agent.id for agent in rest.candidates(w.swarm, later)] == [one.id]


def test_only_the_board_asks_a_person() -> None:
    w = world()
    top = w.grow(SOB, "top", checks=CHECKS)
    found = w.ask(top.id, charter("low", checks=CHECKS))
    assert found == Denied(Rule.SPAWN_CHECKS, "only the board asks a person: leave `person` out")
    assert not isinstance(w.ask(SOB, charter("other", checks=CHECKS[1:])), Denied)


@pytest.mark.parametrize("change", ["its end", "its files"])
def test_a_yes_is_to_the_whole_report_and_its_files(change: str) -> None:
    w, one = chartered()
    result = RESULT + "x" * 3_000
    hand_in(w, one, result)
    asked = waiting(w)
    if change == "its end":
        w.report(one, result + " and more", done=False)
    else:
        w.report(one, result, done=False, files=["work/other.md"])
    w.order("approve", asked.id)
    assert not is_final(w, one)
    assert task_of(w.swarm, one) is None


def test_what_is_handed_in_anew_withdraws_the_question_and_no_other() -> None:
    w, one = chartered()
    hand_in(w, one)
    first = waiting(w)
    other = replace(first, id="ap-other", action={**first.action, "request": {"type": "spawn"}})
    w.swarm.approvals["ap-other"] = other
    changes = hand_in(w, one, "Better. The quorum is four.")
    [entry] = journal(changes, "approval.withdrawn")
    assert entry.data["approval"] == first.id
    assert set(w.swarm.approvals) == {
        "ap-other",
        journal(changes, "approval.requested")[0].data["approval"],
    }
