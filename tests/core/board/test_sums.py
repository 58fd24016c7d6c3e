"""What a motion can give: the number that a seat is told is still there when the motion is carried,
and the only executive is not kept from its first call.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from swarmd.core.agent.seat_moves import required_of
from swarmd.core.agent.seat_prompt import board_roles, call_text
from swarmd.core.board import agenda
from swarmd.core.control import orphans
from swarmd.core.control.least import forecast_of
from swarmd.core.ledger import board_part
from swarmd.core.ledger.ratio import MARGIN_PERCENT
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import HostId, MissionId
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import Rule
from swarmd.ports.models import Call
from tests.core.board.test_hearing import charter
from tests.core.swarm_builder import World, declarations, world

NEXT = MissionId("next")
SEATS = 3


def opened(tokens: int = 0, *, seats: int = SEATS) -> World:
    """A board of three, with exactly what is enough where nobody argues, if no sum is given."""
    enough = tokens or estimated(opened(400_000)).whole["tokens"]
    w = world(board={"procedure": "brisk", "quorum": "majority"})
    w.swarm.hosts[HostId("h1")] = Host(HostId("h1"), 10, "shared", is_paid=True)
    asked = MissionRequest(mission="Find out.", id=NEXT, budget={"tokens": enough}, board=seats)
    queue.admit(w.renew(), asked, files=())
    w.tick()
    return w


def estimated(w: World) -> Any:
    return w.swarm.observed.estimates[NEXT]


def seat_tokens(w: World) -> int:
    return forecast_of(w.swarm, w.swarm.missions[NEXT]).seat.tokens


def pay(w: World, tokens: int) -> None:
    """One call of a seat, as the next step reads it."""
    seen = w.swarm.observed
    seen.free[NEXT]["tokens"] -= tokens
    seen.free[NEXT]["calls"] -= 1
    spent = seen.spent.setdefault(NEXT, {"tokens": 0, "calls": 0, "cost": 0})
    spent["tokens"] += tokens
    spent["calls"] += 1


def answer(w: World, kind: Kind, tokens: int, **data: Any) -> list[Change]:
    pay(w, tokens)
    return w.answer(NEXT, kind, **data)


def call(w: World) -> dict[str, Any]:
    """What the seat is told that is called last."""
    calls = [c.message for c in w.changes if isinstance(c, Post) and c.message.kind is Kind.CALL]
    return dict(calls[-1].data["call"])


def given(w: World) -> int:
    return int(call(w)["to_give"]["tokens"])


def argue_and_vote(w: World, tokens: int) -> None:
    """One argues on the motion, its proposer keeps it, and all others vote for it."""
    answer(w, Kind.ARGUMENT, tokens, stance="argue")
    answer(w, Kind.ARGUMENT, tokens, stance="consent")
    answer(w, Kind.RESPONSE, tokens, decision="keep")
    for _ in range(SEATS - 1):
        answer(w, Kind.VOTE, tokens, choice="yes")


@pytest.mark.parametrize("tokens", [0, 150_000, 800_000])
@pytest.mark.parametrize("is_corrected", [False, True])
def test_what_a_seat_was_told_it_can_give_is_there_when_its_argued_motion_is_carried(
    tokens: int, *, is_corrected: bool
) -> None:
    w = opened(tokens)
    size = seat_tokens(w)
    if is_corrected:
        answer(w, Kind.PROPOSAL, size, motion=charter("one", budget={"tokens": 10**9}))
        assert f"needed, {given(w)} free" in call(w)["correction"], "one number"
    named = given(w)
    assert named > 0
    answer(w, Kind.PROPOSAL, size, motion=charter("one", budget={"tokens": named}))
    assert not call(w)["correction"]
    argue_and_vote(w, size)
    (one,) = w.swarm.executives(NEXT)
    assert w.swarm.observed.free[one.id]["tokens"] == named


def test_seats_that_take_more_than_was_expected_are_known_by_what_they_have_taken() -> None:
    w = opened(800_000)
    first, dear = given(w), 3 * seat_tokens(w)
    answer(w, Kind.PROPOSAL, dear, motion=charter("one", budget={"tokens": 10**9}))
    assert given(w) < first - 6 * dear
    named = given(w)
    answer(w, Kind.PROPOSAL, dear, motion=charter("one", budget={"tokens": named}))
    argue_and_vote(w, dear)
    (one,) = w.swarm.executives(NEXT)
    assert w.swarm.observed.free[one.id]["tokens"] == named


def test_a_charter_that_names_no_budget_gets_what_its_work_takes_at_exactly_the_least() -> None:
    w = opened()
    size = seat_tokens(w)
    answer(w, Kind.PROPOSAL, size, motion=charter("one"))
    argue_and_vote(w, size)
    (one,) = w.swarm.executives(NEXT)
    left = w.swarm.observed.free
    assert left[one.id]["tokens"] == estimated(w).executive["tokens"] * 9 // 10
    assert left[NEXT]["tokens"] > 0


def test_of_a_large_budget_no_more_is_kept_than_a_motion_with_an_argument_takes() -> None:
    w = opened(800_000)
    motion = 6 * -(-seat_tokens(w) * MARGIN_PERCENT // 100)
    kept = motion + estimated(w).above["tokens"]
    w.swarm.observed.free[NEXT]["tokens"] = 10_000_000
    assert kept < 800_000 * 20 // 100
    assert board_part.to_give(w.swarm, NEXT)["tokens"] == 10_000_000 - motion - kept


def exhausted(w: World, left: int) -> dict[str, Any]:
    size = seat_tokens(w)
    answer(w, Kind.PROPOSAL, size, motion=charter("one"))
    for _ in range(SEATS - 1):
        answer(w, Kind.ARGUMENT, size, stance="consent")
    (one,) = w.swarm.executives(NEXT)
    w.swarm.observed.free[NEXT]["tokens"] = left
    orphans.hold(w.renew(), w.place(one.id), Rule.BUDGET_EXHAUSTED, "tokens: 40 needed, 2 free")
    (item,) = agenda.take_causes(w.draft, NEXT) or ()
    return item


def test_the_agenda_names_only_what_can_be_paid() -> None:
    assert "fund" in exhausted(opened(400_000), 300_000)["can"]
    poor = exhausted(opened(400_000), 40_000)["can"]
    assert "fund" not in poor
    assert "charter" not in poor
    assert "deliver" in poor


def text_of(facts: dict[str, Any]) -> str:
    facts = asdict(Call(**facts))
    facts["required"] = required_of(facts)
    return call_text(facts, (), (), board_roles(declarations()))


def test_whoever_would_reject_for_want_of_budget_is_told_what_mission_could_be_accepted() -> None:
    w = opened(400_000)
    assert "A mission like this needs a budget" not in text_of(call(w))
    size = seat_tokens(w)
    w.swarm.observed.free[NEXT]["tokens"] = 5_000 + size
    answer(w, Kind.PROPOSAL, size, motion=charter("one", budget={"tokens": 10**9}))
    told = text_of(call(w))
    whole, argued = (getattr(estimated(w), name)["tokens"] for name in ("whole", "argued"))
    assert f"A mission like this needs a budget of at least {whole:,} tokens" in told
    assert f"{argued:,} tokens" in told


def test_a_bench_of_one_keeps_no_room_for_an_argument() -> None:
    w = opened(400_000, seats=1)
    estimate = estimated(w)
    one = -(-estimate.seat_call["tokens"] * MARGIN_PERCENT // 100)
    left = w.swarm.observed.free[NEXT]["tokens"] - board_part.free_to_give(w.swarm, NEXT)["tokens"]
    assert left == one + estimate.above["tokens"]
