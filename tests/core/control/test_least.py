"""What a mission takes at least: told before its first call, and a smaller budget refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmd.adapters.config.loader import load
from swarmd.core.control.forecast import PromptBytes, forecast, motion_calls
from swarmd.core.control.least import forecast_of, prompt_bytes
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.names import SOB, HostId, MissionId, MissionState
from swarmd.core.model.records import Host, Mission, Spawned
from swarmd.core.model.refusals import Rule
from tests.core.swarm_builder import World, charter, posts, world

NEXT = MissionId("next")
SIZES = PromptBytes(seat=20_000, executive=10_000, reading=8_000)


def paid(w: World) -> World:
    w.swarm.hosts.update({id: replace(host, is_paid=True) for id, host in w.swarm.hosts.items()})
    return w


def submit(w: World, **budget: int) -> list[Change]:
    queue.admit(w.renew(), MissionRequest(mission="Find out.", id=NEXT, budget=budget), files=())
    return w.tick()


def test_the_least_is_two_motions_and_an_executive_and_what_is_reserved_above_the_last_call() -> (
    None
):
    found = forecast(3, "full", 1, SIZES)
    assert (found.motion_calls, found.calls) == (7, 16)
    seat, executive, above = 5_000 + 700, 2 * (2_500 + 700) + 2_000, 15_000
    assert found.motion_tokens == 7 * seat + above
    assert found.tokens == 14 * seat + executive + above


def test_the_brisk_procedure_asks_each_seat_of_the_bench_once_where_nobody_argues() -> None:
    assert [motion_calls(n, "brisk", 1) for n in (1, 3, 6)] == [1, 3, 6]
    assert [motion_calls(n, "full", 0) for n in (1, 3)] == [2, 4]
    assert forecast(3, "brisk", 1, SIZES).tokens < forecast(3, "full", 1, SIZES).tokens


def test_where_a_model_takes_tokens_the_least_is_told_as_the_mission_begins() -> None:
    w = paid(world())
    changes = submit(w, tokens=200_000)
    (told,) = [m for m in posts(changes, BOARD_ROOM) if "least" in m.data and m.mission == NEXT]
    least = forecast_of(w.swarm, w.swarm.missions[NEXT])
    assert told.data["least"]["calls"] == least.calls
    assert least.tokens <= told.data["least"]["tokens"] < least.tokens + 1_000
    assert not [m for m in posts(w.tick(), BOARD_ROOM) if "least" in m.data], "once"


def test_a_successor_in_the_midst_of_the_debate_tells_it_no_second_time() -> None:
    w = paid(world())
    submit(w, tokens=200_000)
    w.swarm.observed.motion_tokens.clear()  # as a supervisor that starts anew knows it
    assert not [m for m in posts(w.tick(), BOARD_ROOM) if "least" in m.data]
    assert w.swarm.observed.motion_tokens[NEXT], "what the board keeps is known to it all the same"


@pytest.mark.parametrize("kind", ["tokens", "calls"])
def test_a_budget_that_cannot_finish_is_refused_with_the_sum_that_would_do(kind: str) -> None:
    w = paid(world())
    submit(w, tokens=90_000)
    least = forecast_of(w.swarm, w.swarm.missions[NEXT])
    enough = {"tokens": -(-least.tokens // 1_000) * 1_000, "calls": least.calls}[kind]
    for given, state in ((enough, MissionState.DEBATING), (enough - 1, None)):
        w = paid(world())
        submit(w, **{"tokens": 200_000, kind: given})
        mission = w.swarm.missions[NEXT]
        assert mission.ending is (None if state else MissionState.REJECTED)
        if state is None:
            assert mission.reason.startswith(f"{Rule.MISSION_BUDGET}: ")
            assert f"--budget {kind}={enough} " in mission.reason


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
    motion = w.swarm.observed.motion_tokens[NEXT]
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
        assert (forecast(3, procedure, board.rounds, sizes).tokens <= tokens) is is_enough
