"""What is read before inputs are decided: what each action needs, of whomever it comes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from swarmd.core.control.needs import Reading, reading_of
from swarmd.core.model.channels import ORDERS, REQUESTS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.motions import MOTION
from swarmd.core.model.names import SOB, AgentId, Authority, StreamId
from swarmd.core.model.records import Approval
from swarmd.core.model.refusals import Rule
from tests.core.swarm_builder import MISSION, World, world

START_STAMP = "2026-01-01T00:00:00.000Z"


def _read(w: World, *messages: Message) -> Reading:
    return reading_of(w.swarm, messages)


def _order(verb: str, target: str, **more: Any) -> Message:
    data = {"order": "o1", "verb": verb, "target": target} | more
    return Message(
        sender=AgentId("operator"), kind=Kind.ORDER, at=START_STAMP, channel=ORDERS, data=data
    )


def _request(sender: str, verb: str, target: str, **more: Any) -> Message:
    act = {"verb": verb, "target": target, "reason": "r"} | more
    data = {"type": "act", "act": act}
    return Message(
        sender=AgentId(sender), kind=Kind.REQUEST, at=START_STAMP, channel=REQUESTS, data=data
    )


def test_with_nothing_to_decide_the_accounts_of_the_board_and_its_missions_are_read() -> None:
    assert _read(world()) == Reading(free={SOB, MISSION}, spent={MISSION})


def test_an_order_reads_what_its_action_needs_and_nothing_more() -> None:
    w = world()
    executive = w.grow(SOB, "top")
    child = w.grow(executive.id, "kid")
    # What a seat that is called is told of the mission and its executives.
    always, told = {SOB, MISSION, executive.id}, {MISSION, str(executive.id)}
    reading = partial(Reading, free=always, spent=told)
    assert _read(w, _order("freeze", child.id)) == reading()
    funded = _read(w, _order("fund", child.id, amounts={"tokens": 1}))
    assert funded == reading(caps={child.id})
    assert _read(w, _order("retry", "5-1")) == reading(letters={StreamId("5-1")})
    assert _read(w, _order("drop", "5-2")) == reading(letters={StreamId("5-2")})
    assert _read(w, _order("drop", "no id")) == reading()
    repaired = _read(w, _order("repair", f"account:{child.id}"), _order("repair", "stop:x"))
    assert repaired == reading(corrections={child.id})
    assert _read(w, _order("dance", "5-1")) == reading()
    assert _read(w, _order("fund", child.id, amounts=7)) == reading()


def test_an_allowed_spawn_is_paid_for_by_whom_it_was_refused() -> None:
    w = world()
    executive = w.grow(SOB, "top")
    override = {
        "kind": "spawn",
        "target": "k",
        "reason": "r",
        "refused": {"requester": executive.id, "request": {}},
    }
    assert executive.id in _read(w, _order("override", "k", override=override)).free


@pytest.mark.parametrize("how", ["request", "motion", "approval"])
def test_the_cap_of_an_account_is_read_whoever_adds_to_it(how: str) -> None:
    """An account holds no more than can be counted, by whomever it is funded."""
    w = world()
    executive = w.grow(SOB, "top")
    child = w.grow(executive.id, "kid")
    request = _request(executive.id, "fund", "kid", amounts={"tokens": 1})
    if how == "request":
        assert _read(w, request).caps == {child.id}
    elif how == "motion":
        motion = MOTION.validate_python(
            {
                "motion": "act",
                "verb": "fund",
                "target": "top",
                "reason": "r",
                "amounts": {"tokens": 1},
            }
        )
        board = w.swarm.boards[MISSION]
        w.swarm.boards[MISSION] = board.model_copy(update={"motion": motion})
        assert _read(w).caps == {executive.id}
    else:
        action = {"requester": executive.id, "request": request.data}
        w.swarm.approvals["ap-1"] = Approval(
            id="ap-1",
            digest="",
            action=action,
            needs=Authority.OPERATOR,
            rule=Rule.TAINT_PERMISSION,
            at=0,
            expires=1,
        )
        assert _read(w).caps == {child.id}
        assert executive.id in _read(w).free


def test_the_account_of_a_living_requester_is_read() -> None:
    w = world()
    executive = w.grow(SOB, "top")
    assert executive.id in _read(w, _request(executive.id, "freeze", "x")).free
    assert "a-gone" not in _read(w, _request("a-gone", "fund", "x")).free
