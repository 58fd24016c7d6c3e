"""Agents at rest: what they let go, what they keep, and that nothing of it is lost."""

from __future__ import annotations

from swarmd.adapters.config import loader as declarations
from swarmd.core.agent.memory import NO_MEMORY
from swarmd.core.bus.envelope import Heard
from swarmd.core.model.channels import down, inbox, up
from swarmd.core.model.charter import Charter
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, AgentState, Channel, HostId, MissionId, StreamId
from swarmd.runtime.mailboxes import Resident, Residents

ROOMS = declarations.load().rooms
PLACE = StreamId("1700000000000-3")


def _resident(name: str) -> Resident:
    id = AgentId(f"a-{name}")
    agent = Agent(
        id=id,
        name=name,
        role="lead",
        tier=1,
        parent=SOB,
        path=(SOB, "@owner", "m-1", id),
        mission=MissionId("m-1"),
        state=AgentState.LIVE,
        host=HostId("h-1"),
        lease=1,
        charter=Charter(role="lead", name=name, task="wait"),
    )
    seen = dict.fromkeys(follows(agent, ROOMS), PLACE)
    heard = Heard(
        {f"{inbox(id)} s": (0, 17), f"{inbox(id)} r.a-other": (2, 5), f"{down(SOB)} *": (0, 9)}
    )
    return Resident(agent, 3, NO_MEMORY, seen, _heard=heard)


def _mail(to: Channel, id: str, serial: str = "s:18") -> Message:
    return Message(
        sender=AgentId("supervisor"),
        kind=Kind.SAY,
        at="",
        text=id,
        id=StreamId(id),
        channel=to,
        serial=serial,
    )


def test_who_rests_lets_its_charter_go_and_knows_all_its_places_again() -> None:
    resident = _resident("one")
    seen, marks, charter = dict(resident.seen), dict(resident.heard.marks), resident.agent.charter
    resident.rest(ROOMS)
    assert resident.is_resting
    assert resident.agent.charter is None
    assert resident.places, "all of them are one text"
    assert resident.seen == seen
    assert resident.heard.marks == marks
    resident.go_on(charter, NO_MEMORY)
    assert not resident.is_resting
    assert resident.agent.charter == charter
    assert (resident.seen, resident.heard.marks) == (seen, marks)


def test_agents_that_are_as_far_as_each_other_share_one_text() -> None:
    one, two = _resident("one"), _resident("two")
    one.rest(ROOMS)
    two.rest(ROOMS)
    assert one.places is two.places


def test_mail_wakes_who_rests_once() -> None:
    resident = _resident("one")
    resident.rest(ROOMS)
    late = _mail(inbox(resident.agent.id), "1700000000000-4")
    assert resident.put(late, ROOMS) is True
    assert resident.put(late, ROOMS) is False
    assert [m.text for m in resident.mailbox or ()] == ["1700000000000-4"]
    resident.is_awake = False
    resident.rest(ROOMS)
    assert resident.seen[late.channel] == late.id, (
        "what was read before it rested again is not read anew"
    )


def test_who_is_busy_or_awake_does_not_rest() -> None:
    for name in ("is_busy", "is_awake", "is_leaving"):
        resident = _resident("one")
        setattr(resident, name, True)
        resident.rest(ROOMS)
        assert not resident.is_resting, name


def test_an_agents_own_channels_are_found_by_its_name_and_stand_in_no_table() -> None:
    residents, resident = Residents(), _resident("one")
    id = resident.agent.id
    residents.add(resident)
    resident.rest(ROOMS)
    assert residents.readers_of(inbox(id)) == (resident,)
    assert residents.is_read(up(id))
    assert residents.read_until(inbox(id)) == PLACE
    assert inbox(id) not in residents.readers
    assert inbox(id) not in residents.last
    more, _ = residents.changes()
    assert {inbox(id), up(id), down(SOB)} <= more
    residents.remove(id)
    assert not residents.is_read(inbox(id))
    assert residents.changes()[1] >= {inbox(id), up(id), down(SOB)}


def test_only_those_who_had_something_to_do_are_looked_at_for_rest() -> None:
    residents, one, two = Residents(), _resident("one"), _resident("two")
    residents.add(one)
    residents.add(two)
    residents.was_up(one)
    residents.let_rest(ROOMS)
    assert one.is_resting
    assert not two.is_resting
