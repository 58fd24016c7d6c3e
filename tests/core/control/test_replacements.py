"""How often a tainted creator replaces who does one task, and how much replacements may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from swarmd.core.control import ledger_events
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import SOB, Authority, StreamId
from tests.core.swarm_builder import MISSION, World, charter, world

FILE = ["file"]


def _spawn(w: World, by: Agent, name: str, taint: Sequence[str] = FILE) -> Agent | None:
    """By the law, and by its name if it was made."""
    w.swarm.observed.free[by.id] = dict.fromkeys(KINDS, 1_000)
    given = charter(name, "worker").model_dump(mode="json")
    stamp: dict[str, Any] = {"taint": list(taint)} if taint else {}
    w.request(by.id, "spawn", key=name, charter=given, **stamp)
    child = w.swarm.lineage.find_child(by.id, name)
    return None if child is None else w.place(child.id)


def _replace(w: World, by: Agent, child: Agent, name: str) -> Agent | None:
    """Its creator ends it, it is seen to end, and another is wished for in its place."""
    w.end(by.id, child.id, taint=FILE)
    w.request("h1", "gone", segment=child.id, agents=1)
    for _ in range(2):
        w.reap()
    return _spawn(w, by, name)


@pytest.fixture
def made() -> tuple[World, Agent, Agent]:
    w = world()
    top = w.grow(SOB, "top")
    child = _spawn(w, top, "kid-0", ())
    assert child is not None
    return w, top, child


def test_a_tainted_creator_replaces_who_does_one_task_three_times_and_then_the_board_is_asked(
    made: tuple[World, Agent, Agent],
) -> None:
    w, top, child = made
    for number in range(1, 4):
        following = _replace(w, top, child, f"kid-{number}")
        assert following is not None
        child = following
    assert _replace(w, top, child, "kid-4") is None
    (approval,) = w.swarm.approvals.values()
    assert approval.needs is Authority.BOARD
    assert "given anew 3 times" in approval.facts["why"]
    # What is another task is none of these.
    held = charter("other", "manager").model_dump(mode="json")
    w.swarm.observed.free[top.id] = dict.fromkeys(KINDS, 1_000)
    w.request(top.id, "spawn", key="other", charter=held, taint=FILE)
    assert w.swarm.lineage.find_child(top.id, "other") is not None


def test_whoever_has_read_nothing_replaces_as_often_as_it_will(
    made: tuple[World, Agent, Agent],
) -> None:
    w, top, child = made
    for number in range(5):
        w.end(top.id, child.id)
        w.request("h1", "gone", segment=child.id, agents=1)
        for _ in range(2):
            w.reap()
        following = _spawn(w, top, f"again-{number}", ())
        assert following is not None
        child = following


def test_replacements_use_a_fifth_of_a_missions_calls_and_then_the_board_is_asked(
    made: tuple[World, Agent, Agent],
) -> None:
    w, top, child = made
    second = _replace(w, top, child, "kid-1")
    assert second is not None
    settled = {"fact": "settle", "agent": second.id, "account": second.id}
    fifth = w.swarm.missions[MISSION].budget["calls"] // 5
    ledger_events.act(w.renew(), [(StreamId("1-0"), settled)] * (fifth - 1))
    ledger_events.act(w.renew(), [(StreamId("2-0"), settled | {"agent": top.id})] * 50)
    assert w.swarm.boards[MISSION].watch.corrective_calls == fifth - 1
    third = _replace(w, top, second, "kid-2")
    assert third is not None
    ledger_events.act(w.renew(), [(StreamId("3-0"), settled | {"agent": third.id})])
    assert _replace(w, top, third, "kid-3") is None
    (approval,) = w.swarm.approvals.values()
    assert approval.needs is Authority.BOARD
    assert "20 %" in approval.facts["why"]
