"""How things stand, as a seat is told: the mission's sums, executives with what is below them, and
nobody who was replaced."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from swarmd.core.agent.seat_moves import required_of
from swarmd.core.agent.seat_prompt import board_roles, call_text
from swarmd.core.control import needs
from swarmd.core.ledger.accounts import Ledger
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, AgentId
from swarmd.ports.models import Call
from tests.core.board.test_hearing import charter, consent, propose, reviewing
from tests.core.swarm_builder import MISSION, World, declarations, world

BRISK = {"procedure": "brisk", "quorum": "majority"}


def prompt(changes: list[Change]) -> str:
    """Of the one seat that was called."""
    (call,) = [c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL]
    facts = asdict(Call(**call.data["call"]))
    facts["required"] = required_of(facts)
    return call_text(facts, (), (), board_roles(declarations()))


def fact(kind: str, account: str, **amounts: Any) -> dict[str, Any]:
    return {"fact": kind, "account": account, "amounts": amounts}


def opened(account: str, parent: str, tokens: int) -> dict[str, Any]:
    return fact("open", account, parent=parent, caps={"tokens": tokens}, own_slot=False)


def spent(account: str, tokens: int) -> list[dict[str, Any]]:
    amounts = {"tokens": tokens}
    settled = {"used": amounts, "reserved": amounts, "overdraft": {}, "assumed": False}
    return [fact("reserve", account, **amounts), fact("settle", account, **settled)]


def working() -> tuple[World, AgentId, AgentId]:
    """Two executives and a child, which have spent 20, 30 and 40 tokens, and the board 10."""
    w = world(board=BRISK)
    propose(w, charter("one", "two"))
    consent(w)
    one, two = (w.place(executive.id) for executive in w.swarm.executives(MISSION))
    kid = w.grow(one.id, "kid")
    ledger = Ledger()
    for told in (
        opened(SOB, "", 1_000),
        opened(MISSION, SOB, 500),
        opened(one.id, MISSION, 200),
        opened(two.id, MISSION, 100),
        opened(kid.id, one.id, 90),
        *spent(MISSION, 10),
        *spent(one.id, 20),
        *spent(two.id, 30),
        *spent(kid.id, 40),
    ):
        ledger.fold(told)
    seen = w.swarm.observed
    seen.below = ledger.below
    for id in (MISSION, one.id, two.id):
        amounts = ledger.accounts[id]
        seen.spent[id] = {"tokens": amounts.get("tokens", "spent")}
        seen.free[id] = {"tokens": amounts.get("tokens", "free")}
    return w, one.id, two.id


def test_a_seat_is_told_what_the_mission_has_spent_in_all_and_what_is_left_of_it() -> None:
    w, one, two = working()
    w.report(w.agent(two), "found")
    text = prompt(w.report(w.agent(one), "found"))
    assert (
        "the mission in all: spent 100 tokens, left 400 tokens; of that no agent holds 190" in text
    )


def test_what_an_executive_has_spent_has_what_is_below_it_while_it_works() -> None:
    w, one, two = working()
    w.swarm.observed.resting[two] = w.now - 60
    text = prompt(w.report(w.agent(two), "I need cli.md", done=False))
    assert f"one ({one}): at work; spent 60 tokens, left 140 tokens" in text
    assert f"two ({two}): has reported, not done; spent 30 tokens, left 70 tokens" in text


def test_what_is_told_of_missions_and_executives_is_read_before_a_step() -> None:
    w, one, two = working()
    reading = needs.reading_of(w.swarm, ())
    assert reading.spent == {MISSION, one, two}
    assert {SOB, MISSION, one, two} <= reading.free


def test_an_executive_that_was_replaced_stands_no_more_under_the_reports() -> None:
    w, one, two = reviewing()
    propose(w, charter("better", replaces="one"))
    consent(w)
    better = w.place(next(e.id for e in w.swarm.executives(MISSION) if e.name == "better"))
    w.request("h1", "gone", segment=one.id, agents=1)
    for _ in range(2):
        w.reap()
    w.report(two, "what two found")
    text = prompt(w.report(better, "what better found"))
    assert "what two found" in text
    assert "what better found" in text
    assert "I need cli.md" not in text
    assert "ended without a final report" not in text
    assert w.swarm.boards[MISSION].watch.replaced == (one.id,)


def test_an_executive_that_ends_is_told_as_such() -> None:
    w, one, two = reviewing()
    propose(w, {"motion": "act", "verb": "terminate", "target": "one", "reason": "r"})
    consent(w)
    w.swarm.observed.resting[two.id] = w.now - 60
    text = prompt(w.report(two, "I need cli.md, too", done=False))
    assert f"one ({one.id}): ending" in text
