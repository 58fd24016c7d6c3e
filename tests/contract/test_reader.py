"""The port for reading over a real Valkey: the reader that blocks and the one that does not give
the same answers, go on from a position, and tell what was trimmed away.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, Final

import pytest

from swarmd.adapters.redis import channel_queries
from swarmd.adapters.redis.connection.async_client import AsyncBell, AsyncWire
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lasting import LastingBell, LastingWire, Patience
from swarmd.adapters.redis.reader import AsyncView, View, async_view_of, bell_of, view_of
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, REQUESTS, inbox
from swarmd.core.model.lineage import Stop, StopKind
from swarmd.core.model.messages import FIELD
from swarmd.core.model.names import FIRST, AgentId, Authority, Channel, MissionId, StreamId
from swarmd.core.model.tables import APPROVALS, STOPS
from swarmd.core.queries.snapshot import Snapshot
from swarmd.core.queries.spending import tree_of
from swarmd.errors import StoreUnavailableError
from swarmd.ports.reader import PAGE_ENTRIES, AsyncReader, Page, Reader, Trimmed

LEAST_SECONDS: Final = 0.01


class Stored:
    """A swarm that is written by hand, in the contract's keys."""

    def __init__(self, wire: Wire, keys: Keys) -> None:
        self.wire, self.keys = wire, keys

    def hash(self, key: str, **fields: str) -> None:
        flat = [word for pair in fields.items() for word in pair]
        self.wire.command("HSET", key, *flat)

    def agent(self, id: str, parent: str, path: str, tier: int, **more: str) -> None:
        fields = {"id": id, "name": f"{id}-name", "role": "researcher", "tier": str(tier)}
        known = {"parent": parent, "path": path, "mission": "m-1", "state": "live"}
        self.hash(self.keys.agent(AgentId(id)), **(fields | known | more))
        self.wire.command("SADD", self.keys.agents, id)

    def spent(self, id: str, tokens: int, **marks: str) -> None:
        self.hash(self.keys.ledger(id), **{"tokens.spent": str(tokens), "tokens.cap": "9"}, **marks)

    def post(self, channel: Channel, text: str) -> StreamId:
        """As a post does: stored, and told on the channel of the same name."""
        line = json.dumps({"v": "1.0", "from": "a-1", "kind": "say", "at": "", "text": text})
        id = self.wire.command("XADD", self.keys.channel(channel), "*", FIELD, line)
        assert isinstance(id, bytes)
        self.wire.command("ZADD", self.keys.heads, 1, channel)
        self.wire.command("PUBLISH", self.keys.channel(channel), "{}")
        return StreamId(id.decode())

    def trim_to(self, channel: Channel, id: StreamId) -> None:
        self.wire.command("XTRIM", self.keys.channel(channel), "MINID", id)

    def cut_readers(self) -> int:
        """Cuts every connection to the server but this one; how many there were."""
        kill = ("CLIENT", "KILL", "SKIPME", "yes", "TYPE")
        cut = [self.wire.command(*kill, kind) for kind in ("normal", "pubsub")]
        return sum(count for count in cut if isinstance(count, int))


@pytest.fixture
def stored(server: EmbeddedServer, namespace: str) -> Iterator[Stored]:
    with closing(connect_sync(server.socket, namespace=namespace)) as wire:
        yield Stored(wire, Keys(namespace))


@pytest.fixture
def peopled(stored: Stored) -> Stored:
    keys = stored.keys
    stored.agent("sob", "", "sob", 0, created="1")
    stored.agent("a-1", "sob", "sob/m-1/a-1", 1, created="2", privileges="tool/file/read")
    stored.agent("a-2", "a-1", "sob/m-1/a-1/a-2", 2, created="3", host="h-lost")
    stored.agent("a-3", "a-1", "sob/m-1/a-1/a-3", 2, created="4", charter='{"task": "Read"}')
    stored.hash(keys.mission(MissionId("m-1")), id="m-1", mission="Find", state="working")
    stored.wire.command("SADD", keys.missions, "m-1")
    stored.wire.command("SADD", keys.children(AgentId("a-1")), "a-2", "a-3")
    stored.spent("m-1", 100)
    stored.spent("a-1", 50, warned="tokens")
    stored.spent("a-2", 5)
    stop = Stop("a-2", StopKind.FREEZE, Authority.OPERATOR, "to think", "operator", 1.0)
    stored.hash(keys.rows(STOPS), **{"a-2": STOPS.encode(stop)})
    stored.hash(keys.state(AgentId("a-1")), turn="3", **{"p:room:sob": "1-0", "p:inbox:a-1": "2-0"})
    stored.hash(keys.steps(AgentId("a-1")), **{"3:batch": "1", "3:1:b": "no JSON"})
    stored.hash(keys.meta, swarm="s-1", schema="1.0")
    stored.hash(keys.rows(APPROVALS), **{"p-1": '{"at":5,"needs":3}', "p-0": "no JSON"})
    stored.post(BOARD_ROOM, "first")
    stored.post(JOURNAL, "an entry")
    # Somebody else's entry, and bytes that are no text.
    stored.wire.command("XADD", keys.channel(BOARD_ROOM), "*", "x", b"\xff\xfe")
    return stored


CALLS: Final[dict[str, list[tuple[Any, ...]]]] = {
    "snapshot": [(), ("m-1",), ("m-none",)],
    "agent_ids": [()],
    "agents": [()],
    "agent": [("a-1",), ("nobody",)],
    "is_agent": [("a-1",), ("nobody",)],
    "children": [("a-1",)],
    "inner": [("a-1",)],
    "chain": [("nobody",)],
    "marks": [()],
    "accounts": [(["m-1", "a-1", "nobody"],)],
    "mission_ids": [()],
    "missions": [()],
    "mission": [("m-1",), ("m-none",)],
    "approvals": [()],
    "overrides": [()],
    "page": [(BOARD_ROOM, FIRST), (BOARD_ROOM, "9999999999999-0"), (Channel("room:none"), FIRST)],
    "last_entries": [(BOARD_ROOM, 5)],
    "entry": [(BOARD_ROOM, "1-0")],
    "last_id": [(BOARD_ROOM,), (REQUESTS,)],
    "has_channel": [(BOARD_ROOM,), (inbox(AgentId("a-1")),), (Channel("room:none"),)],
    "is_heard": [(BOARD_ROOM,), (Channel("room:none"),)],
    "channels": [()],
    "rooms": [()],
    "swarm_id": [()],
    "journal_head": [()],
    "health": [(), ("restart",)],
    "leads": [()],
}
NOT_ASKED: Final = {"close", "aclose", "channel_of", "follow", "journal"}


def methods_of(port: type) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in vars(port).items() if inspect.isfunction(value)}


def questions_of(port: type) -> set[str]:
    return {name for name in methods_of(port) if not name.startswith("_")} - NOT_ASKED


def test_both_ports_ask_the_same_in_the_same_words() -> None:
    assert questions_of(Reader) == questions_of(AsyncReader) == set(CALLS)
    blocking, awaited = methods_of(Reader), methods_of(AsyncReader)
    for name in CALLS:
        one, other = inspect.signature(blocking[name]), inspect.signature(awaited[name])
        assert one == other, name
        assert inspect.iscoroutinefunction(awaited[name]), name


@pytest.mark.parametrize("name", CALLS)
async def test_both_readers_give_the_same_answer(
    peopled: Stored, server: EmbeddedServer, namespace: str, name: str
) -> None:
    blocking: Reader = view_of(server.socket, namespace)
    awaited: AsyncReader = async_view_of(server.socket, namespace)
    for args in CALLS[name]:
        named = {"asks_restart": True} if args == ("restart",) else {}
        given = () if named else args
        answer = await getattr(awaited, name)(*given, **named)
        assert answer == getattr(blocking, name)(*given, **named), (name, args)
    blocking.close()
    await awaited.aclose()


async def test_a_snapshot_is_typed_and_is_what_the_sums_are_made_of(
    peopled: Stored, server: EmbeddedServer, namespace: str
) -> None:
    reader: AsyncReader = async_view_of(server.socket, namespace)
    found: Snapshot = await reader.snapshot()
    await reader.aclose()
    agents = {agent.id: agent for agent in found.agents}
    assert agents[AgentId("a-3")].task == "Read"
    assert agents[AgentId("a-1")].privileges == ("tool/file/read",)
    frozen = agents[AgentId("a-2")]
    assert (frozen.state, frozen.stopped, frozen.tier) == ("frozen", ("a-2",), 2)
    assert frozen.activity is not None
    assert frozen.activity.word == "dead"
    [mission] = tree_of(found).missions
    assert (mission.own, mission.whole) == ({"tokens": 100}, {"tokens": 155})


def test_a_missions_snapshot_has_the_seats_that_it_may_wait_for_and_nobody_elses_agents(
    peopled: Stored, server: EmbeddedServer, namespace: str
) -> None:
    peopled.agent("picard", "sob", "sob/picard", 0, created="5", mission="")
    peopled.agent("a-9", "sob", "sob/m-2/a-9", 1, created="6", mission="m-2")
    with closing(view_of(server.socket, namespace)) as reader:
        found = {agent.id for agent in reader.snapshot("m-1").agents}
    assert "picard" in found
    assert "a-9" not in found


def test_a_mark_is_read_with_its_authority(
    peopled: Stored, server: EmbeddedServer, namespace: str
) -> None:
    with closing(view_of(server.socket, namespace)) as reader:
        stop = reader.marks().stops["a-2"]
    assert (stop.kind, stop.authority) == (StopKind.FREEZE, Authority.OPERATOR)


# --- following --------------------------------------------------------------------------------


def texts(pages: list[Page]) -> list[str]:
    return [entry.said["text"] for page in pages for entry in page.entries]


def test_a_reader_that_blocks_follows_from_a_position_across_a_lost_connection(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    at = stored.post(BOARD_ROOM, "read before")
    stored.post(BOARD_ROOM, "one")
    told: list[str] = []
    opened: list[Wire] = []

    def connect() -> Wire:
        opened.append(connect_sync(server.socket, namespace=namespace))
        return opened[-1]

    reader = View(LastingWire(connect, Patience(None, told.append)), stored.keys)

    def bell() -> Any:
        return bell_of(server.socket, namespace, BOARD_ROOM)

    with closing(reader), closing(LastingBell(bell)) as notifications:
        pages = reader.follow(BOARD_ROOM, at, notifications)
        found = [next(pages)]
        # What is posted while neither connection is there is on the stream.
        assert stored.cut_readers() >= 2
        stored.post(BOARD_ROOM, "two")
        found.append(next(pages))
        stored.post(BOARD_ROOM, "three")
        found.append(next(pages))
    assert texts(found) == ["one", "two", "three"]
    assert len(opened) == 2
    assert [word for word in told if "trying again" in word] == told != []


async def test_a_reader_that_does_not_block_follows_from_a_position_across_a_lost_connection(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    at = stored.post(BOARD_ROOM, "read before")
    stored.post(BOARD_ROOM, "one")
    reader = async_view_of(server.socket, namespace)
    notifications = AsyncBell(server.socket, namespace, (BOARD_ROOM,))
    pages = reader.follow(BOARD_ROOM, at, notifications)
    found = [await anext(pages)]
    assert await notifications.wait(1)  # connected
    assert stored.cut_readers() >= 2
    stored.post(BOARD_ROOM, "two")
    found.append(await anext(pages))
    stored.post(BOARD_ROOM, "three")
    found.append(await anext(pages))
    assert texts(found) == ["one", "two", "three"]
    notifications.close()
    await reader.aclose()


async def test_the_loop_goes_on_while_a_follower_waits(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    reader = async_view_of(server.socket, namespace)
    notifications = AsyncBell(server.socket, namespace, (BOARD_ROOM,))
    pages = reader.follow(BOARD_ROOM, FIRST, notifications)
    waiting = asyncio.ensure_future(anext(pages))
    turns = 0
    while turns < 20:
        await asyncio.sleep(LEAST_SECONDS)
        turns += 1
    assert not waiting.done()
    stored.post(BOARD_ROOM, "came")
    assert texts([await waiting]) == ["came"]
    notifications.close()
    await reader.aclose()


async def test_many_may_ask_one_reader_at_once_and_one_that_is_cancelled_harms_nobody(
    peopled: Stored, server: EmbeddedServer, namespace: str
) -> None:
    reader = async_view_of(server.socket, namespace)
    given_up = asyncio.ensure_future(reader.agents())
    await asyncio.sleep(0)
    given_up.cancel()
    many = [reader.agent_ids() if n % 2 else reader.swarm_id() for n in range(20)]
    answers = await asyncio.gather(*many)
    assert answers == [["sob", "a-1", "a-2", "a-3"] if n % 2 else "s-1" for n in range(20)]
    await reader.aclose()


async def test_a_server_that_stays_away_is_told_when_the_time_is_over(namespace: str) -> None:
    wire = AsyncWire("unix:///nowhere/at/all.sock", namespace, away_seconds=LEAST_SECONDS)
    with pytest.raises(StoreUnavailableError):
        await AsyncView(wire, Keys(namespace)).swarm_id()


# --- what was trimmed away --------------------------------------------------------------------


async def both_pages(
    server: EmbeddedServer, namespace: str, channel: Channel, after: StreamId
) -> Page:
    """The page that both readers give."""
    awaited = async_view_of(server.socket, namespace)
    with closing(view_of(server.socket, namespace)) as blocking:
        page = blocking.page(channel, after)
        assert await awaited.page(channel, after) == page
    await awaited.aclose()
    return page


async def test_what_was_trimmed_behind_a_position_is_told_and_once(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    ids = [stored.post(JOURNAL, f"{n}") for n in range(10)]
    stored.trim_to(JOURNAL, ids[7])
    page = await both_pages(server, namespace, JOURNAL, ids[2])
    assert texts([page]) == ["7", "8", "9"]
    assert page.trimmed == Trimmed(ids[2], ids[7], 7)
    again = await both_pages(server, namespace, JOURNAL, page.reached)
    assert (again.entries, again.trimmed) == ((), None)


async def test_from_the_beginning_of_a_trimmed_channel_it_is_told_how_many_are_gone(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    ids = [stored.post(JOURNAL, f"{n}") for n in range(10)]
    assert (await both_pages(server, namespace, JOURNAL, FIRST)).trimmed is None
    stored.trim_to(JOURNAL, ids[4])
    page = await both_pages(server, namespace, JOURNAL, FIRST)
    assert page.trimmed == Trimmed(FIRST, ids[4], 4)
    assert len(page.entries) == 6


async def test_what_was_trimmed_before_a_position_that_is_kept_is_no_loss(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    ids = [stored.post(JOURNAL, f"{n}") for n in range(10)]
    stored.trim_to(JOURNAL, ids[4])
    for position in (ids[4], ids[9], StreamId(f"{ids[9].partition('-')[0]}-9999")):
        assert (await both_pages(server, namespace, JOURNAL, position)).trimmed is None


async def test_a_channel_of_which_nothing_is_left_is_told_once(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    ids = [stored.post(JOURNAL, f"{n}") for n in range(3)]
    stored.trim_to(JOURNAL, StreamId("9999999999999-0"))
    page = await both_pages(server, namespace, JOURNAL, ids[0])
    assert (page.entries, page.trimmed) == ((), Trimmed(ids[0], None, 3))
    again = await both_pages(server, namespace, JOURNAL, page.reached)
    assert again.trimmed is None
    # Who had read all of it has lost nothing.
    assert (await both_pages(server, namespace, JOURNAL, ids[2])).trimmed is None


def test_a_follower_is_told_what_went_while_it_was_away(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    first = stored.post(JOURNAL, "0")
    with (
        closing(view_of(server.socket, namespace)) as reader,
        closing(bell_of(server.socket, namespace, JOURNAL)) as bell,
    ):
        pages = reader.follow(JOURNAL, FIRST, bell)
        assert next(pages).trimmed is None
        ids = [stored.post(JOURNAL, f"{n}") for n in range(1, 6)]
        stored.trim_to(JOURNAL, ids[3])
        page = next(pages)
    assert page.trimmed == Trimmed(first, ids[3], 4)
    assert texts([page]) == ["4", "5"]


async def test_a_channel_of_many_pages_is_read_whole_and_in_order(
    stored: Stored, server: EmbeddedServer, namespace: str
) -> None:
    key, many = stored.keys.channel(JOURNAL), 2 * PAGE_ENTRIES
    stored.wire.exchange([["XADD", key, f"1-{n}", "n", str(n)] for n in range(1, many + 1)])
    with (
        closing(view_of(server.socket, namespace)) as reader,
        closing(bell_of(server.socket, namespace, JOURNAL)) as bell,
    ):
        pages = list(islice(reader.follow(JOURNAL, FIRST, bell), 2))
        lines = list(reader.journal())
    assert [entry.said["n"] for page in pages for entry in page.entries] == [
        str(n) for n in range(1, many + 1)
    ]
    awaited = async_view_of(server.socket, namespace)
    assert [line async for line in awaited.journal()] == lines
    assert len(lines) == many
    await awaited.aclose()


def test_where_it_may_not_be_asked_what_is_gone_it_is_assumed() -> None:
    """Without a server: a query is a generator that is sent replies."""
    query = channel_queries.read_page(Keys("swarm"), JOURNAL, StreamId("5-0"))
    assert [*next(query)] == [
        ["XRANGE", "swarm:journal", "5-0", "+", "COUNT", str(PAGE_ENTRIES + 1)]
    ]
    query.send([[[b"9-0", [b"x", b"1"]]]])
    with pytest.raises(StopIteration) as done:
        query.send([[], ErrorReply("NOPERM this user has no permissions to run 'xinfo|stream'")])
    assert done.value.value.trimmed == Trimmed(StreamId("5-0"), StreamId("9-0"), None)
