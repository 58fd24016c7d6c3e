"""A stop of the board holds what the board does: the seats' calls, its time, and all that it made.

The seats stand beside the board and not below it, so that no path has both.
"""

from __future__ import annotations

import pytest

from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.channels import inbox
from swarmd.core.model.lineage import Stop, StopKind
from swarmd.core.model.names import SOB, AgentId, Authority, MissionId
from swarmd.core.queries.activity import is_held
from swarmd.core.queries.snapshot import Marks, agent_view, mission_view
from tests.core.swarm_builder import MISSION, SEATS, posts, world

STOP = Stop(SOB, StopKind.FREEZE, Authority.OPERATOR, "r", "operator", 1.0)


@pytest.mark.parametrize("verb", ["freeze", "halt"])
def test_who_stops_the_board_stops_its_seats_and_all_that_it_made(verb: str) -> None:
    w = world()
    executive = w.grow(SOB, "top")
    w.order(verb, SOB)
    stop = w.swarm.lineage.stops[SOB]
    held = {agent.id for agent in w.swarm.lineage.stopped_by(SOB)}
    assert held == {*SEATS, executive.id}
    assert all(stop.holds(w.agent(id)) for id in held)
    assert w.swarm.lineage.stop_on(w.agent(SEATS[0])) == stop


def test_while_the_board_is_stopped_no_seat_is_given_up_and_no_mission_begun() -> None:
    w = world(board={"missions_at_once": 2})
    w.order("freeze", SOB)
    before = w.swarm.boards[MISSION]
    queue.admit(w.renew(), MissionRequest(mission="Find more.", id=MissionId("m2")), files=())
    w.tick(200.0)
    assert w.swarm.boards == {MISSION: before}
    assert "the board is stopped" in w.swarm.missions[MissionId("m2")].reason
    w.order("thaw", SOB)
    w.tick()
    called = [posts(w.changes, inbox(AgentId(seat))) for seat in SEATS]
    assert any(called), "the seat that was called is called once more"
    assert w.swarm.boards[MISSION].stage == before.stage
    assert MissionId("m2") in w.swarm.boards


def test_who_looks_sees_the_seats_and_missions_held() -> None:
    seat = {"id": "socrates", "tier": "0", "path": "socrates", "state": "live"}
    marks = Marks(stops={SOB: STOP})
    assert marks.seen(agent_view(seat)).state == "frozen"
    assert is_held(seat, {SOB: "freeze {}"})
    assert marks.of_mission(mission_view({"id": "m-1", "state": "debating"})).stopped == (SOB,)
    below = {"id": "a-1", "tier": "1", "path": "x/a-1", "state": "live"}
    assert not is_held(below, {SOB: "freeze {}"})
