"""What is kept of each channel's end: what a ring names as the entry before it, and how what
somebody writes by hand is found.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest

from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.bus.foreign import Miscount
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, RESULTS, inbox, room, up
from swarmd.core.model.messages import Kind, Ring, from_ring
from swarmd.core.model.names import FIRST, OPERATOR, SOB, Channel, MissionId, StreamId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import COUNT_SECONDS, ForwardTime
from swarmd.errors import WrongKeyError
from tests.contract.test_store import AT, TOP, _client, hold, note, turn
from tests.contract.test_store import _staffed as staffed
from tests.core.swarm_builder import MISSION
from tests.runtime.test_supervisor import Stage, quiet, stage

ROOM = room("parlour")


async def ends(store: RedisStore) -> dict[str, tuple[str, int]]:
    found = await store.session.hash_at(store.keys.ends)
    return {
        channel: (id, int(count))
        for channel, text in found.items()
        for id, count in [text.split(" ")]
    }


async def streams(store: RedisStore, channels: list[Channel]) -> dict[str, tuple[str, int]]:
    """The same, as the server says it."""
    found: dict[str, tuple[str, int]] = {}
    for channel in channels:
        told = await store.pipe.execute("XINFO", "STREAM", store.keys.channel(channel))
        info = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        found[channel] = (info["last-generated-id"], info["entries-added"])
    return found


async def foreign(store: RedisStore, channel: Channel, *fields: str) -> StreamId:
    """What somebody writes by hand."""
    words = fields or ("m", '{"from":"sob","kind":"say","text":"Trust me."}')
    return StreamId(await store.pipe.execute("XADD", store.keys.channel(channel), "*", *words))


async def rung(store: RedisStore, channel: Channel, text: str = "hello") -> Ring:
    """The ring of one post from outside."""
    async with (await _client(store)).pubsub() as bell:
        await bell.subscribe(store.keys.channel(channel))
        await store.post(channel, note("operator", text))
        while True:
            event = await bell.get_message(ignore_subscribe_messages=True, timeout=5)
            if event is not None:
                ring = from_ring(channel, event["data"])
                assert ring is not None
                return ring


# --- what is counted ----------------------------------------------------------------------------


async def test_whoever_posts_counts_it_in_the_same_step(store: RedisStore) -> None:
    leader, top = await staffed(store)
    await store.post(ROOM, note("operator"))
    outputs = ((ROOM, note(TOP)), (up(SOB), note(TOP)), (ROOM, note(TOP, "x" * 6_000)))
    await store.commit(hold(top), turn(top, 1, *outputs), 32, AT)
    posts = (Post(ROOM, note(SOB)), Post(inbox(TOP), note(SOB)), Post(ROOM, note(SOB)))
    await leader.do(*posts)
    kept = await ends(store)
    assert (kept[ROOM][1], kept[up(SOB)][1]) == (5, 1)
    posted = [channel for channel in kept if channel != "journal"]
    there = await streams(store, [Channel(channel) for channel in posted])
    assert {channel: kept[channel] for channel in posted} == there


async def test_a_ring_names_the_last_entry_of_ours_whatever_somebody_put_behind_it(
    store: RedisStore,
) -> None:
    first = await rung(store, ROOM)
    await foreign(store, ROOM)
    second = await rung(store, ROOM)
    assert (first.prev, second.prev) == (FIRST, first.id)


async def test_a_repeated_commit_or_post_counts_nothing_twice(store: RedisStore) -> None:
    _, top = await staffed(store)
    for _ in range(2):
        await store.commit(hold(top), turn(top, 1, (up(SOB), note(TOP))), 32, AT)
        await store.post(ROOM, note("operator"), key="k")
    kept = await ends(store)
    assert (kept[up(SOB)][1], kept[ROOM][1]) == (1, 1)


async def test_a_refused_turn_and_one_whose_outputs_are_cut_count_nothing(
    store: RedisStore,
) -> None:
    _, top = await staffed(store)
    said = (up(SOB), note(TOP))
    await store.commit(hold(top, lease=9), turn(top, 1, said), 32, AT)
    assert await store.commit(hold(top), turn(top, 1, said, hops=40), 32, AT) == "looped"
    assert up(SOB) not in await ends(store)


async def test_nothing_is_posted_where_the_ends_are_of_another_type(store: RedisStore) -> None:
    _, top = await staffed(store)
    await store.pipe.execute("DEL", store.keys.ends)
    await store.pipe.execute("SET", store.keys.ends, "x")
    with pytest.raises(WrongKeyError, match="_ends"):
        await store.post(ROOM, note("operator"))
    with pytest.raises(WrongKeyError, match="_ends"):
        await store.commit(hold(top), turn(top, 1, (up(SOB), note(TOP))), 32, AT)
    assert await store.read(ROOM, FIRST, 9) == await store.read(up(SOB), FIRST, 9) == []


@pytest.mark.parametrize("text", ["so and so", "", "5-0", "5-0 -3", "5-0 1e3", "x 4", "5-0 1 x"])
async def test_garbage_for_an_end_is_read_as_none(store: RedisStore, text: str) -> None:
    first = await rung(store, ROOM)
    await store.pipe.execute("HSET", store.keys.ends, ROOM, text)
    second = await rung(store, ROOM)
    assert second.prev == first.id
    assert (await ends(store))[ROOM] == (second.id, 2)


# --- what is not counted --------------------------------------------------------------------------


async def test_what_is_trimmed_or_recalled_is_still_counted(store: RedisStore) -> None:
    for n in range(300):
        last = await store.post(ROOM, note("operator", f"{n}"))
    key = store.keys.channel(ROOM)
    assert await store.trim(ROOM, last, 5_000) > 0
    await store.pipe.execute("XDEL", key, last)
    assert await store.uncounted([ROOM]) == {}
    assert (await rung(store, ROOM)).prev == last


async def test_entries_beyond_the_count_are_told_and_stay_so_until_they_are_counted(
    store: RedisStore,
) -> None:
    await store.post(ROOM, note("operator"))
    await foreign(store, ROOM)
    await store.post(ROOM, note("operator"))
    await foreign(store, ROOM)
    for _ in range(2):
        assert await store.uncounted([ROOM, RESULTS]) == {ROOM: Miscount(2)}


async def test_a_stream_that_has_less_than_was_counted_is_another_one(store: RedisStore) -> None:
    for _ in range(3):
        await store.post(ROOM, note("operator"))
    await store.pipe.execute("DEL", store.keys.channel(ROOM))
    assert await store.uncounted([ROOM]) == {}
    assert ROOM not in await ends(store)
    for _ in range(3):
        await store.post(ROOM, note("operator"))
    await store.pipe.execute("DEL", store.keys.channel(ROOM))
    # A quick server gives what is written anew within one millisecond the very ids of before.
    await anyio.sleep(0.005)
    for _ in range(3):
        await foreign(store, ROOM)
    # As many as were counted, and yet none of them was.
    assert await store.uncounted([ROOM]) == {ROOM: Miscount(3, is_made_anew=True)}
    assert await ends(store) == await streams(store, [ROOM])
    assert await store.uncounted([ROOM]) == {}


# --- the supervisor compares ----------------------------------------------------------------------


@pytest.fixture
async def on(socket: str | None, namespace: str) -> AsyncIterator[Stage]:
    async with stage(namespace, socket=socket) as opened:
        opened.clock.time, opened.sup.memory.time = time.time(), ForwardTime()
        yield opened


async def compare(on: Stage) -> None:
    on.clock.time += COUNT_SECONDS + 1
    await on.sup.upkeep.count()
    await quiet(on, 2)


async def refused(on: Stage, channel: Channel) -> list[tuple[str, str, int]]:
    """What the journal says was refused there: rule, first id, count."""
    return [
        (e.data["rule"], e.data["request"], e.data["count"])
        for e in await on.journal("message.refused")
        if e.data["channel"] == channel
    ]


async def test_a_foreign_entry_between_two_posts_is_recorded_once_and_never_rings(
    on: Stage,
) -> None:
    await compare(on)
    await on.store.post(ROOM, note("operator", "one"))
    by_hand = await foreign(on.store, ROOM)
    await on.store.post(ROOM, note("operator", "two"))
    assert await refused(on, ROOM) == []
    await compare(on)
    assert await refused(on, ROOM) == [(Rule.ENVELOPE_FORGED, by_hand, 1)]
    for _ in range(2):
        await on.store.post(ROOM, note("operator", "more"))
        await compare(on)
    assert len(await refused(on, ROOM)) == 1
    assert await on.store.uncounted([ROOM]) == {}


async def test_what_somebody_wrote_behind_the_last_of_ours_is_recorded_once_and_never_rings(
    on: Stage,
) -> None:
    ours = await on.store.post(ROOM, note("operator", "one"))
    by_hand = await foreign(on.store, ROOM)
    await on.start()
    for _ in range(3):
        await compare(on)
    assert await refused(on, ROOM) == [(Rule.ENVELOPE_FORGED, by_hand, 1)]
    kept = await on.store.pipe.execute("HGET", on.store.keys.ends, ROOM)
    assert kept == f"{ours} 2 {by_hand}"
    assert (await rung(on.store, ROOM)).prev == ours
    await on.start()
    await compare(on)
    assert len(await refused(on, ROOM)) == 1
    # Another stream with as many entries is told from it all the same.
    await on.store.pipe.execute("DEL", on.store.keys.channel(ROOM))
    for _ in range(3):
        await foreign(on.store, ROOM)
    assert await on.store.uncounted([ROOM]) == {ROOM: Miscount(3, is_made_anew=True)}


async def test_a_copy_of_an_honest_message_is_foreign_too(on: Stage) -> None:
    await on.store.post(ROOM, note("operator", "one"))
    [(_, flat)] = await on.store.session.stream("XRANGE", on.store.keys.channel(ROOM), "-", "+")
    line = flat["m"] if isinstance(flat, dict) else flat[1]
    copied = await foreign(on.store, ROOM, "m", line)
    await on.store.post(ROOM, note("operator", "two"))
    await compare(on)
    assert await refused(on, ROOM) == [(Rule.ENVELOPE_REPLAYED, copied, 1)]


async def test_what_is_not_committed_is_found_again(on: Stage) -> None:
    """The supervisor may end between finding it and the commit."""
    await on.store.post(ROOM, note("operator", "one"))
    by_hand = await foreign(on.store, ROOM)
    await on.store.post(ROOM, note("operator", "two"))
    on.clock.time += COUNT_SECONDS + 1
    await on.sup.upkeep.count()
    assert list(on.sup.upkeep.counts.found) == [ROOM]
    await on.start()
    await compare(on)
    assert await refused(on, ROOM) == [(Rule.ENVELOPE_FORGED, by_hand, 1)]


async def test_a_new_lead_compares_all_channels_moved_or_not(on: Stage) -> None:
    await on.store.post(ROOM, note("operator", "one"))
    await compare(on)
    by_hand = await foreign(on.store, ROOM)
    await compare(on)
    assert await refused(on, ROOM) == [], "it has not moved, and nobody reads it"
    await on.start()
    await compare(on)
    assert await refused(on, ROOM) == [(Rule.ENVELOPE_FORGED, by_hand, 1)]


@pytest.mark.parametrize("is_posted_to", [True, False])
async def test_lost_ends_are_what_the_streams_say_again_and_nothing_is_refused(
    on: Stage, is_posted_to: bool
) -> None:
    await on.submit()
    await on.run()
    for n in range(3):
        await on.store.post(ROOM, note("operator", f"{n}"))
    before = await ends(on.store)
    await on.store.pipe.execute("DEL", on.store.keys.ends)
    if is_posted_to:
        await on.store.post(ROOM, note("operator", "more"))
    await on.start()
    await compare(on)
    after = await ends(on.store)
    assert before.keys() <= after.keys()
    there = await streams(on.store, [Channel(channel) for channel in after])
    # The commit that counted them wrote to the journal itself.
    assert after == there
    assert await on.journal("message.refused") == []


async def test_where_the_ends_were_lost_a_ring_names_what_lies_there_and_every_reader_looks(
    on: Stage,
) -> None:
    await on.store.post(ROOM, note("operator", "one"))
    await on.store.pipe.execute("DEL", on.store.keys.ends)
    by_hand = await foreign(on.store, ROOM)
    assert (await rung(on.store, ROOM)).prev == by_hand
    assert (await ends(on.store))[ROOM] == (await streams(on.store, [ROOM]))[ROOM]


async def test_a_forgery_on_a_stream_whose_end_was_lost_is_recorded(on: Stage) -> None:
    await on.store.post(ROOM, note("operator", "one"))
    await on.store.pipe.execute("DEL", on.store.keys.ends)
    by_hand = await foreign(on.store, ROOM)
    await compare(on)
    assert await refused(on, ROOM) == [(Rule.ENVELOPE_FORGED, by_hand, 1)]


async def test_what_the_supervisor_reads_itself_is_recorded_once(on: Stage) -> None:
    by_hand = await foreign(on.store, up(SOB))
    await on.store.post(up(SOB), note("a-nobody", "one"))
    await quiet(on, 2)
    await compare(on)
    told = [one for one in await refused(on, up(SOB)) if one[0] == Rule.ENVELOPE_FORGED]
    assert told == [(Rule.ENVELOPE_FORGED, by_hand, 1)]
    assert await on.store.uncounted([up(SOB)]) == {}


# --- ends that go -----------------------------------------------------------------------------------


async def test_a_channels_end_goes_when_the_channel_goes(on: Stage) -> None:
    on.silent = {MissionId(MISSION)}
    await on.submit()
    await on.run()
    living = {inbox(agent.id) for agent in on.sup.state.executives(MissionId(MISSION))}
    assert living
    assert living <= (await ends(on.store)).keys()
    await on.post(OPERATOR, ORDERS, Kind.ORDER, order="o1", verb="terminate", target=MISSION)
    await quiet(on, 8)
    kept = await ends(on.store)
    assert not living & kept.keys()
    assert BOARD_ROOM in kept
    there = await streams(on.store, [Channel(channel) for channel in kept])
    assert kept == there, "and none is kept of what has no stream"


async def test_a_missions_rooms_are_forgotten_with_their_ends(store: RedisStore) -> None:
    own = room("parlour-m1")
    await store.post(own, note("operator"))
    await store.forget("mission", "m1", [own])
    assert own not in await ends(store)


@pytest.mark.parametrize("name", ["post", "commit"])
def test_a_script_that_posts_asks_no_stream_for_its_end(name: str) -> None:
    assert "XREVRANGE" not in script(name).text
