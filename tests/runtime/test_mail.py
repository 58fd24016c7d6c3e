"""What a turn's calls and commit are held by."""

from __future__ import annotations

from dataclasses import replace

from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import SOB, AgentId, MissionId, MissionState
from swarmd.core.model.records import Mission
from swarmd.runtime.turn.mail import segments_of

MISSION = Mission(
    id=MissionId("m-1"),
    text="Find out.",
    state=MissionState.WORKING,
    budget=dict.fromkeys(KINDS, 0),
    created="2027-01-15T08:00:00.000Z",
)
LEAD = Agent(
    id=AgentId("a-1"),
    name="lead",
    role="lead",
    tier=1,
    parent=SOB,
    path=(SOB, "@owner", "m-1", "a-1"),
    mission=MISSION.id,
)


def test_a_seat_is_held_by_marks_on_the_mission_that_it_serves_and_on_its_person() -> None:
    seat = replace(LEAD, id=AgentId("gandhi"), tier=0, parent=None, path=("gandhi",))
    assert segments_of(seat, MISSION) == ("gandhi", "@owner", "m-1")
    assert segments_of(LEAD, MISSION) == LEAD.path
