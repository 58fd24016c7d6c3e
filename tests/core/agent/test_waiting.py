"""Waiting: what ends it, what is held until it ends, and what wakes nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swarmd.core.agent.mailbox import calls_for_turn, wakes
from swarmd.core.agent.turn import Acting, act, directed
from swarmd.core.agent.waiting import NO_WAIT, AgentWait, said_of_wait, shown_wait, wait_of
from swarmd.core.model.channels import inbox, up
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import MOVE, Move
from swarmd.core.model.names import SOB, SUPERVISOR, AgentId, MissionId
from swarmd.core.model.refusals import Denied
from tests.core.swarm_builder import ROOMS, world

ROOM_OF = {room.name: room for room in ROOMS}
AT = "2026-03-01T10:00:00.000Z"


def _family() -> tuple[Agent, Agent, Agent]:
    w = world()
    top = w.grow(SOB, "top")
    return top, w.grow(top.id, "ann"), w.grow(top.id, "bob")


def _report(top: Agent, child: Agent, *, done: bool = True) -> Message:
    data = {"done": done, "name": child.name, "key": child.key}
    return Message(sender=child.id, kind=Kind.REPORT, at=AT, channel=up(top.id), data=data)


def _told(top: Agent, kind: Kind, **data: Any) -> Message:
    return Message(sender=SUPERVISOR, kind=kind, at=AT, channel=inbox(top.id), data=data)


def _wait(**fields: Any) -> Move:
    return MOVE.validate_python({"move": "wait", **fields})


def _acting(top: Agent, *children: Agent, **changed: Any) -> Acting:
    acting = Acting(top, MissionId("m1"), (), ROOM_OF, children, hops=1, at=AT)
    return replace(acting, **changed)


def test_sixteen_reports_wake_who_waits_for_all_once() -> None:
    top, ann, _ = _family()
    children = [replace(ann, id=AgentId(f"a-{n}"), name=f"c{n}", key=f"k{n}") for n in range(16)]
    wait = act(_wait(whom=["*"]), _acting(top, *children))
    assert isinstance(wait, AgentWait)
    assert wait.whom == tuple(child.id for child in children)
    mail: list[Message] = []
    woken = []
    for child in children:
        mail.append(_report(top, child))
        woken.append(calls_for_turn(top, mail, ROOM_OF, wait))
    assert woken == [False] * 15 + [True]


def test_a_blocker_of_one_that_is_awaited_is_heard_at_once() -> None:
    top, ann, bob = _family()
    wait = AgentWait((ann.id, bob.id))
    assert not calls_for_turn(top, [_report(top, ann)], ROOM_OF, wait)
    assert calls_for_turn(top, [_report(top, ann, done=False)], ROOM_OF, wait)


def test_one_that_ended_is_waited_for_no_more() -> None:
    top, ann, bob = _family()
    wait = AgentWait((ann.id, bob.id))
    ended = _told(top, Kind.NOTICE, agent=bob.id, ended=True, by="supervisor")
    assert not calls_for_turn(top, [ended], ROOM_OF, wait)
    assert calls_for_turn(top, [ended, _report(top, ann)], ROOM_OF, wait)
    assert calls_for_turn(top, [ended], ROOM_OF), "who does not wait for it hears that it is gone"


def test_a_spawn_that_was_only_asked_for_is_waited_for_by_its_key() -> None:
    top, ann, _ = _family()
    wait = act(_wait(whom=["reader"]), _acting(top, asked={"reader": "k", "k": "k"}))
    assert isinstance(wait, AgentWait)
    assert (wait.whom, wait.names) == (("k",), ("reader",))
    report = _report(top, replace(ann, key="k"))
    assert calls_for_turn(top, [report], ROOM_OF, wait)


@pytest.mark.parametrize("outcome", ["created", "done"])
def test_what_acknowledges_a_request_wakes_nobody_and_a_refusal_does(outcome: str) -> None:
    top, ann, _ = _family()
    assert not wakes(top, _told(top, Kind.ANSWER, outcome=outcome), ROOM_OF)
    assert wakes(top, _told(top, Kind.ANSWER, outcome="refused", rule="spawn.role"), ROOM_OF)
    own = _told(top, Kind.NOTICE, agent=ann.id, ended=True, by=top.id)
    assert not wakes(top, own, ROOM_OF), "it has ended its child itself"
    assert wakes(top, _told(top, Kind.NOTICE, agent=ann.id, stalled="x"), ROOM_OF)


def test_a_wait_that_cannot_end_is_refused_with_the_reason() -> None:
    top, ann, bob = _family()
    done = _acting(top, ann, bob, done=frozenset({ann.id}))
    refused = act(_wait(whom=["ann"]), done)
    assert isinstance(refused, Denied)
    assert "its report is in your mail" in refused.detail
    assert isinstance(act(_wait(whom=["nobody"]), done), Denied)
    assert isinstance(act(_wait(whom=["*"]), _acting(top)), Denied)
    both = act(_wait(whom=["*"]), done)
    assert isinstance(both, AgentWait)
    assert both.whom == (bob.id,), "who has reported is not waited for"


def test_a_wait_has_a_time_by_the_clock_of_its_turn() -> None:
    top, ann, _ = _family()
    wait = act(_wait(whom=["ann"], seconds=60), _acting(top, ann))
    assert isinstance(wait, AgentWait)
    assert wait.until == 1_772_359_260.0
    assert act(_wait(what="word from above"), _acting(top)) == AgentWait(what="word from above")


def test_a_wait_is_kept_as_text_and_what_cannot_be_read_is_none() -> None:
    wait = AgentWait(("a-1",), ("ann",), "her list", 12.5)
    assert wait_of(wait.to_text()) == wait
    assert NO_WAIT.to_text() == ""
    for text in ("", "?", "[]", '{"v":1}'):
        assert wait_of(text) == NO_WAIT


def test_a_wait_is_told_by_names_and_without_its_writers_words() -> None:
    wait = AgentWait((AgentId("a-1"),), ("ann",), "obey me", 12.5)
    assert said_of_wait(wait) == "waits for ann until 1970-01-01T00:00:12.500Z"
    assert said_of_wait(AgentWait(what="obey me")) == "waits for the next message"
    assert shown_wait(wait).endswith(": obey me"), "people see it all"
    assert shown_wait(NO_WAIT) == ""


@pytest.mark.parametrize("to", ["ann", "*"])
def test_who_is_directed_in_the_same_answer_may_be_waited_for(to: str) -> None:
    top, ann, bob = _family()
    acting = _acting(top, ann, bob, done=frozenset({ann.id, bob.id}))
    answer = [MOVE.validate_python({"move": "direct", "to": to, "text": "cite"})]
    owing = replace(acting, done=acting.done - directed(answer, acting))
    wait = act(_wait(whom=["ann"]), owing)
    assert isinstance(wait, AgentWait)
    assert wait.whom == (ann.id,)
    assert isinstance(act(_wait(whom=["bob"]), owing), Denied) == (to == "ann")
    assert not directed([MOVE.validate_python({"move": "direct", "to": "k", "text": "x"})], acting)
