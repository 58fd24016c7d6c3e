"""What a stream may lose, decided without one."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from swarmd.adapters.config import loader
from swarmd.core.bus.retention import (
    NODE_ENTRIES,
    PASS_MAX,
    TRIM_STEP,
    Gap,
    Rounds,
    Stretch,
    cuts,
    gaps,
    host_of,
    keep_of,
    lead_past,
    readers_of,
)
from swarmd.core.model.changes import Post, ReaderLed
from swarmd.core.model.channels import (
    BOARD_ROOM,
    DEAD,
    INPUTS,
    JOURNAL,
    MISSIONS,
    RESULTS,
    down,
    host_channel,
    inbox,
    up,
)
from swarmd.core.model.declarations import Keep
from swarmd.core.model.lineage import follows
from swarmd.core.model.messages import Kind, order_of
from swarmd.core.model.names import FIRST, SOB, AgentId, Channel, HostId, StreamId
from tests.core.swarm_builder import world

DECLARED: Final = loader.load()
NOW: Final = 1_800_000_000.0
IDS = st.integers(1, 10_000).map(lambda n: StreamId(f"{int(NOW * 1000) - n * 1000}-0"))


@given(IDS, st.lists(IDS, max_size=5), st.integers(0, 100_000), st.integers(1, 20_000))
def test_nothing_goes_that_a_reader_has_still_to_read_nor_the_newest(
    last: StreamId, positions: list[StreamId], length: int, seconds: int
) -> None:
    for cut in cuts(Keep(messages=128, seconds=seconds), Stretch(length, last), positions, NOW):
        # What is dropped lies before this id: a position's own entry, and the newest, stay.
        assert all(order_of(cut.before) <= order_of(position) for position in (*positions, last))
        assert 0 < cut.entries_max <= TRIM_STEP


def test_no_more_goes_by_number_than_there_is_too_much_and_one_node() -> None:
    last = StreamId(f"{int(NOW * 1000)}-5")
    (cut, _) = cuts(Keep(messages=1_000, seconds=3_600), Stretch(1_200, last), [last], NOW)
    assert (cut.before, cut.entries_max) == (last, 200 + NODE_ENTRIES)
    (old,) = cuts(Keep(messages=1_000, seconds=3_600), Stretch(1_000, last), [last], NOW)
    assert old.before == f"{int((NOW - 3_600) * 1000)}-0"


def test_a_reader_is_given_up_after_patience_and_not_before() -> None:
    last, late = StreamId(f"{int(NOW * 1000)}-0"), StreamId(f"{int((NOW - 90) * 1000)}-0")
    positions = {AgentId("a"): late, AgentId("b"): last, AgentId("c"): FIRST}
    found = gaps(inbox(AgentId("a")), positions, Stretch(10, last), NOW, patience=60)
    assert {gap.reader: gap.until for gap in found} == dict.fromkeys(
        (AgentId("a"), AgentId("c")), StreamId(f"{int((NOW - 60) * 1000)}-0")
    )
    assert (
        gaps(inbox(AgentId("a")), {AgentId("a"): late}, Stretch(10, last), NOW, patience=100) == []
    )


def test_every_public_channel_but_the_journal_has_a_bound() -> None:
    agent = AgentId("a-1")
    channels = [
        *INPUTS,
        MISSIONS,
        RESULTS,
        DEAD,
        inbox(agent),
        down(agent),
        up(agent),
        host_channel(HostId("h-1")),
    ]
    assert all(keep_of(channel, DECLARED) is not None for channel in channels)
    assert keep_of(JOURNAL, DECLARED) is None
    mission_room = Channel("room:executives-m-1")
    assert keep_of(mission_room, DECLARED) is DECLARED.rooms["executives"].keep


def test_who_reads_a_channel_holds_it_and_nobody_else() -> None:
    w = world()
    executive = w.grow(SOB, "top", budget={"agents": 20})
    child = w.grow(executive.id, "below")
    assert [a.id for a in readers_of(down(executive.id), w.swarm)] == [child.id]
    assert [a.id for a in readers_of(inbox(child.id), w.swarm)] == [child.id]
    assert executive.id in [a.id for a in readers_of(down(SOB), w.swarm)]
    # Every channel that an agent follows is held by it, and the seats hold no room.
    for agent in (executive, child):
        for channel in follows(agent, w.swarm.declared.rooms):
            assert agent in readers_of(channel, w.swarm), channel
    assert readers_of(BOARD_ROOM, w.swarm) == []
    assert host_of(host_channel(HostId("h-1"))) == "h-1"
    assert host_of(BOARD_ROOM) is None


def test_a_reader_is_led_past_in_the_commit_that_tells_it_and_not_told_of_what_was_not_for_it() -> (
    None
):
    w = world()
    executive = w.grow(SOB, "top", budget={"agents": 20})
    gap = Gap(executive.id, down(SOB), StreamId("1000-0"), StreamId("90000-0"))
    lead_past(w.renew(), gap)
    assert ReaderLed(executive.id, down(SOB), StreamId("90000-0")) in w.changes
    (notice,) = [
        c.message for c in w.changes if isinstance(c, Post) and c.message.kind is Kind.NOTICE
    ]
    assert notice.data["gap"] == {"channel": down(SOB), "after": "1000-0", "until": "90000-0"}
    assert "1970-01-01T00:00:01.000Z until 1970-01-01T00:01:30.000Z is gone" in notice.text
    lead_past(w.renew(), Gap(executive.id, down(SOB), FIRST, StreamId("90000-0"), is_told=False))
    assert w.changes == [ReaderLed(executive.id, down(SOB), StreamId("90000-0"))]
    lead_past(w.renew(), Gap(AgentId("a-nobody"), down(SOB), FIRST, StreamId("90000-0")))
    assert w.changes == []


def test_a_pass_is_bounded_and_what_was_left_comes_again_when_it_is_old() -> None:
    rounds = Rounds()
    rounds.moved(Channel(f"inbox:{n}") for n in range(PASS_MAX + 3))
    rounds.left(Channel("room:sob"), 50.0)
    rounds.left(Channel("room:sob"), 70.0)
    assert len(rounds.next(10.0)) == PASS_MAX
    assert rounds.next(20.0) == {Channel(f"inbox:{PASS_MAX + n}"): False for n in range(3)}
    assert rounds.next(49.0) == {}
    assert rounds.next(51.0) == {Channel("room:sob"): True}
    assert rounds.next(99.0) == {}
