"""Streams that are trimmed: over a real Valkey and over fakeredis, with the supervisor's own
pass.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from swarmd.adapters.redis.store import RedisStore
from swarmd.core.bus.retention import NODE_ENTRIES
from swarmd.core.model.channels import (
    BOARD_ROOM,
    JOURNAL,
    MISSIONS,
    REQUESTS,
    RESULTS,
    host_channel,
    inbox,
)
from swarmd.core.model.declarations import Keep, Retention
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message, from_ring
from swarmd.core.model.names import FIRST, SOB, AgentId, Channel, MissionId
from swarmd.core.model.records import Host
from swarmd.core.model.timings import ForwardTime
from tests.contract.test_store import _client
from tests.core.swarm_builder import MISSION
from tests.runtime.test_supervisor import H1, Stage, stage

FEW = Keep(messages=128, seconds=31_536_000)
KEPT = Retention(missions=FEW, results=FEW, orders=FEW, requests=FEW, dead=FEW, mail=FEW)


class _Asked:
    """A store that notes what it is asked."""

    def __init__(self, store: RedisStore) -> None:
        self.store, self.what = store, list[str]()

    def __getattr__(self, name: str) -> Any:
        self.what.append(name)
        return getattr(self.store, name)


@pytest.fixture
async def on(socket: str | None, namespace: str) -> AsyncIterator[Stage]:
    async with stage(namespace, socket=socket, keep=KEPT, retention_seconds=3_600) as opened:
        # A supervisor's time never goes back, and its stage began in another year.
        opened.clock.time, opened.sup.memory.time = time.time(), ForwardTime()
        yield opened


async def _trim(on: Stage) -> int:
    """Passes until nothing more goes."""
    total = 0
    for _ in range(100):
        gone = await on.sup.upkeep.trim()
        total += gone
        if not gone:
            return total
    raise AssertionError("it does not come to an end")


def _later(on: Stage, seconds: float) -> None:
    """On both clocks: that of the supervisor's machine, and the server's, as far as it is known."""
    on.clock.time += seconds
    on.sup.upkeep.trimmer.server_at = on.clock.time


async def _length(on: Stage, channel: Channel) -> int:
    return (await on.store.lengths([channel]))[0]


async def _executive(on: Stage) -> Agent:
    on.silent.add(MISSION)
    await on.submit()
    await on.run()
    return on.sup.state.executives(MissionId(MISSION))[0]


async def _say(on: Stage, channel: Channel, count: int, kind: Kind = Kind.DIRECTIVE) -> None:
    for n in range(count):
        await on.post(SOB, channel, kind, f"{n}")


async def test_a_mailbox_keeps_what_is_unread_and_what_is_kept_and_no_more(on: Stage) -> None:
    agent = await _executive(on)
    channel = inbox(agent.id)
    await _say(on, channel, 1_000)
    everything = await on.store.read(channel, FIRST, 2_000)
    assert await _trim(on) == 0  # nothing of it was read
    read_until = everything[600].id
    await on.store.pipe.execute("HSET", on.store.keys.state(agent.id), f"p:{channel}", read_until)
    await on.post(SOB, channel, Kind.DIRECTIVE, "one more")
    assert await _trim(on) > 0
    left = await on.store.read(channel, FIRST, 2_000)
    unread = len(everything) - 601 + 1
    assert unread <= len(left) <= unread + FEW.messages
    # Whoever goes on at a position reads exactly what comes after it, whether its entry is there or
    # not.
    for position in (read_until, everything[700].id):
        rest = await on.store.read(channel, position, 2_000)
        assert [m.id for m in rest[:-1]] == [
            m.id for m in everything if m.id in {r.id for r in rest}
        ]
        assert len(rest) == len(everything) - everything.index(
            next(m for m in everything if m.id == position)
        )
    assert await _trim(on) == 0


async def test_a_ring_after_a_trim_names_the_entry_before_it(on: Stage) -> None:
    """A stream that were emptied would name none, and every reader would have to read it."""
    for n in range(400):
        await on.post("somebody", REQUESTS, Kind.SAY, f"{n}")
    while await on.sup.step():
        pass
    last = await on.store.last_id(REQUESTS)
    assert await _trim(on) > 0
    async with (await _client(on.store)).pubsub() as bell:
        await bell.subscribe(on.store.keys.channel(REQUESTS))
        await on.post("somebody", REQUESTS, Kind.SAY, "after it")
        ring = None
        while ring is None:
            event = await bell.get_message(ignore_subscribe_messages=True, timeout=5)
            ring = from_ring(REQUESTS, event["data"]) if event is not None else None
    assert ring.prev == last


async def test_a_new_leader_finds_nothing_lost_after_a_trim_and_reads_on(on: Stage) -> None:
    for n in range(300):
        await on.store.keep_mission({"mission": "again", "id": f"m{n % 3}"})
        await on.post("somebody", REQUESTS, Kind.SAY, f"{n}")
    while await on.sup.step():
        pass
    await _trim(on)
    for channel in (MISSIONS, REQUESTS):
        assert await _length(on, channel) <= FEW.messages
    await on.start()
    assert await on.journal("position.recovered") == []
    await on.submit("m-after")
    await on.sup.step()
    assert "m-after" in on.sup.state.missions


async def test_results_and_the_boards_room_keep_what_is_declared_for_people(on: Stage) -> None:
    for n in range(500):
        message = Message(sender=SOB, kind=Kind.RESULT, at="2026-01-01T00:00:00.000Z", text=f"{n}")
        await on.store.post(RESULTS, message)
    await _trim(on)
    texts = [m.text for m in await on.store.read(RESULTS, FIRST, 1_000)]
    assert FEW.messages - NODE_ENTRIES <= len(texts) <= FEW.messages
    assert texts == [f"{n}" for n in range(500 - len(texts), 500)]
    await _say(on, BOARD_ROOM, 500, Kind.SAY)
    await _trim(on)
    assert await _length(on, BOARD_ROOM) >= 500  # a room's own measure is larger


async def test_what_is_old_goes_though_there_is_not_too_much_of_it(on: Stage) -> None:
    agent = await _executive(on)
    await _say(on, inbox(agent.id), 125)
    newest = await on.store.last_id(inbox(agent.id))
    await on.store.pipe.execute(
        "HSET", on.store.keys.state(agent.id), f"p:{inbox(agent.id)}", newest
    )
    await _trim(on)
    length = await _length(on, inbox(agent.id))
    assert length > NODE_ENTRIES
    _later(on, FEW.seconds + 60)
    await _trim(on)
    assert 1 <= await _length(on, inbox(agent.id)) < length


async def test_a_frozen_reader_holds_a_channel_for_its_time_and_then_is_told_of_the_gap_once(
    on: Stage,
) -> None:
    agent = await _executive(on)
    channel = inbox(agent.id)
    await on.sup.step()
    await _say(on, channel, 400)
    before = await on.store.read(channel, FIRST, 1_000)
    _later(on, 3_000)
    await on.post(SOB, channel, Kind.DIRECTIVE, "still within the time")
    assert await _trim(on) == 0
    on.clock.time += 1_000_000
    assert await _trim(on) == 0, "a clock here that is ahead gives up nobody's mail"
    on.clock.time -= 1_000_000
    _later(on, 1_000)
    for _ in range(3):
        await on.sup.upkeep.trim()
        await on.sup.step()
        on.sup.upkeep.trimmer.rounds.moved([channel])
    await _trim(on)
    (told,) = await on.journal("mail.skipped")
    assert told.data["agent"] == agent.id
    left = await on.store.read(channel, FIRST, 1_000)
    notices = [m for m in left if m.kind is Kind.NOTICE and "gap" in m.data]
    assert len(notices) == 1
    assert len(left) < len(before)
    position = (await on.store.positions(channel, [agent.id]))[agent.id]
    assert notices[0] in await on.store.read(channel, position, 1_000)


async def test_a_hosts_channel_goes_as_far_as_the_host_has_said_that_it_heard(on: Stage) -> None:
    channel = host_channel(H1)
    await on.store.register(Host(H1, 10, "shared"), 600)
    await on.sup.step()
    for n in range(400):
        message = Message(sender=SOB, kind=Kind.PLACED, at="2026-01-01T00:00:00.000Z", text=f"{n}")
        await on.store.post(channel, message)
    assert await _trim(on) == 0
    heard = (await on.store.read(channel, FIRST, 300))[-1].id
    await on.store.register(Host(H1, 10, "shared", heard=heard), 600)
    on.clock.time += 2
    await on.sup.step()
    on.sup.upkeep.trimmer.rounds.moved([channel])
    await _trim(on)
    left = await on.store.read(channel, FIRST, 1_000)
    assert 100 <= len(left) <= 100 + FEW.messages
    assert len(await on.journal("host.joined")) == 1


async def test_nothing_is_asked_of_the_server_but_what_moved_where_nothing_did(on: Stage) -> None:
    await _executive(on)
    await _trim(on)
    on.sup.upkeep.trimmer.store = asked = _Asked(on.store)
    await on.sup.upkeep.trim()
    assert asked.what == ["moved", "lengths"]
    await on.post(SOB, inbox(AgentId("picard")), Kind.SAY, "one")
    await on.sup.upkeep.trim()
    assert asked.what == [
        "moved",
        "lengths",
        "moved",
        "last_id",
        "lengths",
    ]  # a short channel: nobody's position is looked up


async def test_the_journal_is_not_trimmed_with_the_rest(on: Stage) -> None:
    await _executive(on)
    first = (await on.store.read_journal(FIRST, 1))[0][0]
    for _ in range(200):
        await on.post("somebody", REQUESTS, Kind.REQUEST, type="spawn")
        await on.sup.step()
    await _trim(on)
    assert (await on.store.read_journal(FIRST, 1))[0][0] == first
    assert await _length(on, JOURNAL) > FEW.messages
