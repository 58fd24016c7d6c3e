"""What a mission takes at least: told before its first call, and a smaller budget refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmd.adapters.config.loader import load
from swarmd.cli.amounts import budget_of
from swarmd.core.control.forecast import PromptBytes, forecast, motion_calls
from swarmd.core.control.least import forecast_of, prompt_bytes
from swarmd.core.ledger.ratio import MARGIN_PERCENT
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, HostId, MissionId, MissionState
from swarmd.core.model.records import CallPrice, Host, Mission, Spawned
from swarmd.core.model.refusals import Rule
from tests.core.swarm_builder import World, charter, posts, world

NEXT = MissionId("next")
SIZES = PromptBytes(seat=20_000, executive=10_000, reading=8_000)


PRICE = CallPrice(150_000, 600_000)


def paid(w: World, *prices: CallPrice | None) -> World:
    """Its hosts ask a model, as many as there are prices, and one whose price nobody knows."""
    named = {HostId(f"h{n}"): price for n, price in enumerate(prices or (None,), 1)}
    w.swarm.hosts.update(
        {id: Host(id, 10, "shared", is_paid=True, price=price) for id, price in named.items()}
    )
    return w


def submit(w: World, **budget: int) -> list[Change]:
    queue.admit(w.renew(), MissionRequest(mission="Find out.", id=NEXT, budget=budget), files=())
    return w.tick()


def motion_kept(w: World) -> dict[str, int]:
    """By kind, what the next motion takes."""
    estimate = w.swarm.observed.estimates[NEXT]
    calls = forecast_of(w.swarm, w.swarm.missions[NEXT]).motion.calls
    return {
        kind: calls * -(-n * MARGIN_PERCENT // 100) + estimate.above[kind]
        for kind, n in estimate.seat_call.items()
    }


def test_the_least_is_two_motions_and_an_executive_and_what_is_reserved_above_the_last_call() -> (
    None
):
    found = forecast(3, "full", 1, SIZES)
    assert (found.motion.calls, found.whole.calls) == (7, 16)
    seat, executive, above = 5_000 + 700, 2 * (2_500 + 700) + 2_000, 15_000
    assert found.motion.tokens == 7 * seat + above
    assert found.whole.tokens == 14 * seat + executive + above


def test_an_argument_on_each_motion_adds_a_response_and_the_votes_of_the_others_to_both() -> None:
    found = forecast(3, "brisk", 1, SIZES)
    assert found.argued.calls - found.whole.calls == 2 * (1 + 2)
    assert found.argued.tokens - found.whole.tokens == 2 * (1 + 2) * (5_000 + 700)
    full = forecast(3, "full", 1, SIZES)
    assert full.argued == full.whole, "there all argue and vote as it is"
    alone = forecast(1, "brisk", 1, SIZES)
    assert alone.argued == alone.whole, "there is nobody to argue"


def test_a_refusal_names_the_sum_with_an_argument_on_each_motion_beside_the_least() -> None:
    w = paid(world(board={"procedure": "brisk", "quorum": "majority"}))
    submit(w, tokens=60_000)
    found = forecast_of(w.swarm, w.swarm.missions[NEXT])
    least, argued = (-(-n.tokens // 1_000) * 1_000 for n in (found.whole, found.argued))
    assert 60_000 < least < argued
    reason = w.swarm.missions[NEXT].reason
    assert f"--budget tokens={least} or more, which is enough where nobody argues" in reason
    assert f"tokens={argued} has room for an argument on each motion" in reason
    w = paid(world(board={"procedure": "brisk", "quorum": "majority"}))
    submit(w, tokens=least)
    (told,) = [m for m in posts(w.changes, BOARD_ROOM) if "least" in m.data and m.mission == NEXT]
    assert told.data["argued"]["tokens"] == argued
    assert f"With an argument on each motion it needs {argued:,} tokens" in told.text


def test_the_first_seat_is_called_when_it_is_known_what_the_mission_takes() -> None:
    w = paid(world(board={"procedure": "brisk", "quorum": "majority"}))
    changes = submit(w, tokens=400_000)
    (call,) = [c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL]
    found = forecast_of(w.swarm, w.swarm.missions[NEXT])
    # Six propose, argue, respond and vote, and six are called for the review.
    procedure = 13 * found.seat.tokens + found.motion.tokens
    assert 0 < call.data["call"]["to_give"]["tokens"] <= 400_000 - procedure


def test_a_mission_that_is_refused_calls_no_seat() -> None:
    w = paid(world())
    changes = submit(w, tokens=1)
    assert not [c for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL]


def test_what_it_costs_is_what_its_tokens_and_calls_cost_rounded_up() -> None:
    found = forecast(3, "full", 1, SIZES)
    read = 14 * 5_000 + 2 * 2_500 + 2_000 + 15_000
    # $0.15 and $0.60 for a million tokens, a hundredth of a cent for a call.
    price = CallPrice(150_000, 600_000, 100)
    assert found.whole.cost(price) == -(-(read * 15 + 16 * 700 * 60) // 100) + 16 * 100
    assert found.whole.cost(CallPrice()) == 0


def test_the_brisk_procedure_asks_each_seat_of_the_bench_once_where_nobody_argues() -> None:
    assert [motion_calls(n, "brisk", 1) for n in (1, 3, 6)] == [1, 3, 6]
    assert [motion_calls(n, "full", 0) for n in (1, 3)] == [2, 4]
    assert forecast(3, "brisk", 1, SIZES).whole.tokens < forecast(3, "full", 1, SIZES).whole.tokens


def test_where_a_model_takes_tokens_the_least_is_told_as_the_mission_begins() -> None:
    w = paid(world())
    changes = submit(w, tokens=200_000)
    (told,) = [m for m in posts(changes, BOARD_ROOM) if "least" in m.data and m.mission == NEXT]
    least = forecast_of(w.swarm, w.swarm.missions[NEXT])
    assert told.data["least"]["calls"] == least.whole.calls
    assert 0 <= told.data["least"]["tokens"] - least.whole.tokens < 1_000
    assert "cost" not in told.data["least"], "nobody knows what its calls cost"
    assert not [m for m in posts(w.tick(), BOARD_ROOM) if "least" in m.data], "once"


def test_a_successor_in_the_midst_of_the_debate_tells_it_no_second_time() -> None:
    w = paid(world())
    submit(w, tokens=200_000)
    w.swarm.observed.estimates.clear()  # as a supervisor that starts anew knows it
    assert not [m for m in posts(w.tick(), BOARD_ROOM) if "least" in m.data]
    assert w.swarm.observed.estimates[NEXT], "what the board keeps is known to it all the same"


@pytest.mark.parametrize("kind", ["tokens", "calls", "cost"])
def test_a_budget_that_cannot_finish_is_refused_with_the_sum_that_would_do(kind: str) -> None:
    w = paid(world(), PRICE)
    submit(w, tokens=90_000)
    least = forecast_of(w.swarm, w.swarm.missions[NEXT]).whole
    tokens, cost = (-(-n // 1_000) * 1_000 for n in (least.tokens, least.cost(PRICE)))
    enough = {"tokens": tokens, "calls": least.calls, "cost": cost}[kind]
    for given, state in ((enough, MissionState.DEBATING), (enough - 1, None)):
        w = paid(world(), PRICE)
        submit(w, **{"tokens": 200_000, kind: given})
        mission = w.swarm.missions[NEXT]
        assert mission.ending is (None if state else MissionState.REJECTED)
        if state is None:
            assert mission.reason.startswith(f"{Rule.MISSION_BUDGET}: ")
            said = mission.reason.partition("--budget ")[2].partition(" ")[0]
            assert said.startswith("usd=0." if kind == "cost" else f"{kind}={enough}")
            assert budget_of(said) == {kind: enough}, "a person can say it, and it is the same sum"
            assert "$" in mission.reason


@pytest.mark.parametrize("other", [None, CallPrice(1_500_000, 6_000_000)])
def test_money_is_judged_by_the_cheapest_model_and_not_where_one_has_no_price(
    other: CallPrice | None,
) -> None:
    w = paid(world(), PRICE, other)
    submit(w, tokens=200_000, cost=100)
    is_known = other is not None
    assert w.swarm.missions[NEXT].ending is (MissionState.REJECTED if is_known else None)
    w = paid(world(), PRICE, other)
    submit(w, tokens=200_000)
    (told,) = [m for m in posts(w.changes, BOARD_ROOM) if "least" in m.data and m.mission == NEXT]
    least = forecast_of(w.swarm, w.swarm.missions[NEXT]).whole
    assert (told.data["least"].get("cost", 0) >= least.cost(PRICE)) is is_known


def test_of_little_money_the_boards_next_motion_is_kept_too() -> None:
    w = paid(world(), PRICE)
    enough = 40_000
    submit(w, tokens=200_000, cost=enough)
    motion = motion_kept(w)["cost"]
    assert motion > enough * 20 // 100
    spawned = w.ask(SOB, charter("top"), mission=NEXT)
    assert isinstance(spawned, Spawned)
    assert spawned.caps["cost"] == (enough - motion) * 9 // 10


def test_where_no_model_takes_tokens_any_budget_is_taken() -> None:
    w = world()
    submit(w, tokens=1, calls=1)
    assert w.swarm.missions[NEXT].ending is None


def test_a_mission_that_was_opened_before_a_worker_came_is_looked_at_when_one_does() -> None:
    w = world(hosts=())
    submit(w, tokens=1)
    assert w.swarm.missions[NEXT].ending is None
    w.swarm.hosts[HostId("h1")] = Host(HostId("h1"), 10, "shared", is_paid=True)
    w.tick()
    assert w.swarm.missions[NEXT].ending is MissionState.REJECTED


def test_a_small_budget_keeps_the_boards_next_motion_before_executives_get_their_share() -> None:
    w = paid(world())
    submit(w, tokens=120_000)
    motion = motion_kept(w)["tokens"]
    assert motion > 120_000 * 20 // 100
    spawned = w.ask(SOB, charter("top"), mission=NEXT)
    assert isinstance(spawned, Spawned)
    assert spawned.caps["tokens"] == (120_000 - motion) * 9 // 10


@pytest.mark.parametrize(("tokens", "is_enough"), [(200_000, True), (60_000, False)])
def test_what_is_shipped_takes_so_much_of_a_board_of_three(tokens: int, is_enough: bool) -> None:
    shipped = load()
    seats = shipped.board.seats[:3]
    board = shipped.board.model_copy(update={"seats": seats})
    mission = Mission(
        id=NEXT,
        text="Summarise these files for a newcomer.",
        state=MissionState.DEBATING,
        budget={},
        files=tuple(f"docs/{n}.md" for n in range(10)),
    )
    sizes = prompt_bytes(replace(shipped, board=board), mission, seats)
    for procedure in ("brisk", "full"):
        assert (forecast(3, procedure, board.rounds, sizes).whole.tokens <= tokens) is is_enough
