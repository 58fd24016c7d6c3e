"""What stands in the way of a final report, as its author's runtime sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmd.core.agent.final_report import at_work, let_go, to_be_heard
from swarmd.core.agent.turn import Acting, is_last_word
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import MOVE
from swarmd.core.model.names import SOB, AgentState, MissionId
from tests.core.swarm_builder import world


def _cast() -> tuple[Agent, Agent]:
    w = world()
    top = w.grow(SOB, "top")
    return top, w.grow(top.id, "low")


def _acting(top: Agent, *children: Agent) -> Acting:
    return Acting(top, MissionId("m1"), (), {}, children, hops=0, at="now")


def _message(kind: Kind, text: str = "") -> Message:
    return Message(sender=SOB, kind=kind, mission=MissionId("m1"), at="now", text=text)


def test_who_drains_or_is_done_is_not_waited_for() -> None:
    top, low = _cast()
    assert at_work(_acting(top, low), ()) == ["low"]
    assert at_work(_acting(top, replace(low, state=AgentState.DRAINING)), ()) == []
    assert at_work(replace(_acting(top, low), done=frozenset({low.id})), ()) == []


@pytest.mark.parametrize(
    ("verb", "left"), [("terminate", []), ("drain", []), ("freeze", ["low"]), ("halt", ["low"])]
)
def test_only_who_is_ended_in_the_same_answer_is_let_go(verb: str, left: list[str]) -> None:
    top, low = _cast()
    fields = {"move": "govern", "verb": verb, "target": "low", "reason": "enough"}
    move = MOVE.validate_python(fields)
    assert at_work(_acting(top, low), let_go([move])) == left


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        (Kind.CHARTER, 1),
        (Kind.DIRECTIVE, 1),
        (Kind.REPORT, 1),
        (Kind.NOTICE, 0),
        (Kind.ANSWER, 0),
        (Kind.SAY, 0),
    ],
)
def test_what_gives_work_or_results_is_heard_before_a_final_report(kind: Kind, count: int) -> None:
    assert to_be_heard([_message(kind)]) == count


def test_what_hands_in_is_a_last_word_and_other_requests_are_none() -> None:
    request = _message(Kind.REQUEST)
    assert is_last_word(replace(request, data={"type": "hand_in"}))
    assert not is_last_word(replace(request, data={"type": "send_back"}))
