"""What the ring is measured against, on the same server: the least that its job can be done with.

`redis_py_streams` is redis-py as its documentation shows it: one stream, a consumer group, a
hundred entries a read, an XADD awaited for each message. The others are on a client that does
nothing else (`raw.py`). `raw_client` does by hand what swarmd's bus does: append to the agent's own
stream and ring for it in one script, keep the place. `raw_full` does what any daemon would, with a
consumer group: a typed envelope with an id, who may send to whom, each message once, the append
awaited, acknowledged after its handler. `raw_scripts` runs swarmd's own commit for each message,
whole, and nothing of the runtime around it. None of them knows agents that end, fences, leases,
incarnations, turns or refusals; the last has the server look for them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from swarmd.adapters.redis.lua import script
from swarmd.core.model.channels import inbox
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import StreamId
from swarmd.core.model.records import Host
from swarmd.ports.stores import Hold, Turn
from tests.bench.gauge import Gauge, body
from tests.bench.raw import RawConnection, connect_raw
from tests.bench.swarm import HOST, bench

AGENTS: Final = 100
_LENGTH_MAX: Final = 10_000
_BLOCK_MILLISECONDS: Final = 200
_PLACES_SECONDS: Final = 0.002
_APPEND_AND_RING: Final = """
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', 'd', ARGV[1])
redis.call('PUBLISH', KEYS[1], id .. ' ' .. ARGV[1])
return id
"""


@dataclass(slots=True)
class _Mailbox:
    """An agent: a task exists only while it has messages."""

    answer: Callable[[Any], Awaitable[None]]
    waiting: deque[Any] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None

    def put(self, message: Any) -> None:
        self.waiting.append(message)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self.waiting:
            await self.answer(self.waiting.popleft())
        self.task = None


async def redis_py_streams(
    socket: Path, namespace: str, total: int, under_way: int
) -> dict[str, float]:
    gauge, stream = Gauge(total, under_way), f"{namespace}:ring"
    sender = Redis(unix_socket_path=str(socket), decode_responses=False)
    reader = Redis(unix_socket_path=str(socket), decode_responses=False)
    await reader.xgroup_create(stream, "g", "0", mkstream=True)

    async def send(agent: int) -> None:
        await sender.xadd(stream, {"a": str(agent), "d": body()}, maxlen=_LENGTH_MAX)

    def agent(number: int) -> _Mailbox:
        async def answer(text: bytes) -> None:
            if gauge.delivered(text):
                await send((number + 1) % AGENTS)

        return _Mailbox(answer)

    agents = [agent(n) for n in range(AGENTS)]

    async def listen() -> None:
        # Asked to stop, not cancelled: on Python 3.11 redis-py's `wait_for` may swallow a
        # cancellation.
        while not gauge.done.is_set():
            found: Any = await reader.xreadgroup(
                "g", "c", {stream: ">"}, count=100, block=_BLOCK_MILLISECONDS
            )
            for _, entries in found or ():
                for _, fields in entries:
                    agents[int(fields[b"a"])].put(fields[b"d"])
                await reader.xack(stream, "g", *(id for id, _ in entries))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        for n in range(under_way):
            await send(n % AGENTS)
    await sender.aclose()
    await reader.aclose()
    return gauge.figures()


async def raw_client(socket: Path, namespace: str, total: int, under_way: int) -> dict[str, float]:
    gauge, writer = Gauge(total, under_way), await connect_raw(socket)
    names = [f"{namespace}:{n}" for n in range(AGENTS)]
    script = await writer.send("SCRIPT", "LOAD", _APPEND_AND_RING)
    places: dict[int, bytes] = {}
    loop = asyncio.get_running_loop()

    def send(agent: int) -> None:
        writer.tell("EVALSHA", script, 1, names[agent], body())

    def keep_places() -> None:
        kept = [word for pair in places.items() for word in pair]
        places.clear()
        writer.tell("HSET", f"{namespace}:places", *kept)

    def agent(number: int) -> _Mailbox:
        async def answer(ring: bytes) -> None:
            id, _, text = ring.partition(b" ")
            if gauge.delivered(text):
                send((number + 1) % AGENTS)
            if not places:
                loop.call_later(_PLACES_SECONDS, keep_places)
            places[number] = id

        return _Mailbox(answer)

    agents = {name.encode(): agent(n) for n, name in enumerate(names)}

    def heard(push: list[Any]) -> None:
        if push[0] == b"message":
            agents[push[1]].put(push[2])

    reader = await connect_raw(socket, heard)
    reader.push("SUBSCRIBE", *names)
    await asyncio.sleep(0.1)
    for n in range(under_way):
        send(n % AGENTS)
    await gauge.done.wait()
    await asyncio.sleep(2 * _PLACES_SECONDS)
    reader.close()
    writer.close()
    return gauge.figures()


class _Envelope(msgspec.Struct):
    id: str
    type: str
    src: str
    dst: str
    hop: int
    trace: str
    headers: msgspec.Raw
    body: str


async def raw_full(socket: Path, namespace: str, total: int, under_way: int) -> dict[str, float]:  # noqa: C901
    gauge, stream = Gauge(total, under_way), f"{namespace}:ring".encode()
    sender, reader = await connect_raw(socket), await connect_raw(socket)
    decode, encode = msgspec.json.Decoder(_Envelope).decode, msgspec.json.Encoder().encode
    await sender.send("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM")
    names = [f"agent:{n:08d}" for n in range(AGENTS)]
    allowed, following = (
        {name: set(names) for name in names},
        dict(zip(names, [*names[1:], names[0]], strict=True)),
    )
    seen: dict[str, str] = {}
    acks: list[bytes] = []
    loop, ids = asyncio.get_running_loop(), itertools.count()

    def acknowledge() -> None:
        done, acks[:] = acks[:], []
        sender.tell("XACK", stream, "g", *done)

    async def send(message: _Envelope, to: str) -> None:
        if to not in allowed[message.dst]:
            raise PermissionError(to)
        message.src, message.dst, message.id = (
            message.dst,
            to,
            f"01890a5d-ac96-774b-bcce-{next(ids):012x}",
        )
        message.body, message.hop = body(), message.hop + 1
        await sender.send(
            "XADD", stream, "MAXLEN", "~", _LENGTH_MAX, "*", "a", to, "d", encode(message)
        )

    def agent(name: str) -> _Mailbox:
        async def answer(entry: tuple[bytes, bytes]) -> None:
            message = decode(entry[1])
            if seen.get(name) == message.id:
                return
            seen[name] = message.id
            if gauge.delivered(message.body):
                await send(message, following[name])
            if not acks:
                loop.call_later(_PLACES_SECONDS, acknowledge)
            acks.append(entry[0])

        return _Mailbox(answer)

    agents = {name.encode(): agent(name) for name in names}

    async def listen() -> None:
        while not gauge.done.is_set():
            found = await reader.send(
                "XREADGROUP", "GROUP", "g", "c", "COUNT", 256, "BLOCK", 200, "STREAMS", stream, ">"
            )
            for id, fields in found[stream] if found else ():
                agents[fields[1]].put((id, fields[3]))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        for n in range(under_way):
            first = _Envelope("", "say", "", names[n % AGENTS], 0, "", msgspec.Raw(b"{}"), "")
            await send(first, names[n % AGENTS])
    await asyncio.sleep(2 * _PLACES_SECONDS)
    for connection in (sender, reader):
        connection.close()
    return gauge.figures()


async def raw_scripts(socket: Path, namespace: str, total: int, under_way: int) -> dict[str, float]:
    gauge = Gauge(total, under_way)
    async with bench(socket, namespace) as here:
        agents = await here.make_agents(AGENTS)
        await here.store.register(Host(HOST, AGENTS, ""), 3_600)
        writer = await connect_raw(socket)
        await writer.send("SCRIPT", "LOAD", script("commit").text)
        here.store.session.pipe = _OnRaw(writer)  # type: ignore[assignment]  # as much of a pipe as a commit needs
        turns = dict.fromkeys((agent.id for agent in agents), 0)

        async def commit(number: int, position: str) -> None:
            me, to = agents[number], agents[(number + 1) % AGENTS].id
            turns[me.id] += 1
            said = Message(
                sender=me.id, to=to, kind=Kind.SAY, at="", text=body(), hops=1, incarnation=1
            )
            turn = Turn(
                turns[me.id],
                me.path,
                (),
                {},
                {inbox(me.id): StreamId(position)},
                {},
                ((inbox(to), said),),
                1,
            )
            hold = Hold(me.id, me.path, me.incarnation, me.lease, HOST)
            reply = await here.store.commit(hold, turn, 1, "")
            assert reply == "done", reply

        def agent(number: int) -> _Mailbox:
            async def answer(line: bytes) -> None:
                id = line[7 : line.index(b'"', 7)].decode()
                if gauge.delivered(line[line.index(b'"text":"') + 8 :]):
                    await commit(number, id)

            return _Mailbox(answer)

        mailboxes = {
            here.store.keys.channel(inbox(one.id)).encode(): agent(n)
            for n, one in enumerate(agents)
        }

        def heard(push: list[Any]) -> None:
            if push[0] == b"message":
                mailboxes[push[1]].put(push[2])

        reader = await connect_raw(socket, heard)
        reader.push("SUBSCRIBE", *mailboxes)
        await asyncio.sleep(0.1)
        async with asyncio.TaskGroup() as tasks:
            for n in range(under_way):
                tasks.create_task(commit(n % AGENTS, "0-0"))
        await gauge.done.wait()
        await asyncio.sleep(2 * _PLACES_SECONDS)
        for connection in (reader, writer):
            connection.close()
    return gauge.figures()


@dataclass(frozen=True, slots=True)
class _OnRaw:
    connection: RawConnection

    async def evaluate(self, named: Any, keys: list[str], args: list[str | int]) -> Any:
        reply = await self.connection.send("EVALSHA", named.sha, len(keys), *keys, *args)
        return [part.decode() if isinstance(part, bytes) else part for part in reply]
