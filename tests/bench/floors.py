"""What the ring is measured against, on the same server: the least that its job can be done with.

`redis_py_streams` is redis-py as its documentation shows it: one stream, a consumer group, a hundred entries a
read, an XADD awaited for each message. `raw_client` does by hand what swarmd's bus does (append to the agent's own
stream and ring for it in one script, keep the place) on a client that does nothing else. Neither knows agents
that end, fences, leases, incarnations, turns or refusals.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from tests.bench.gauge import Gauge, body
from tests.bench.raw import connect_raw

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


async def redis_py_streams(socket: Path, namespace: str, total: int, under_way: int) -> dict[str, float]:
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
        # Asked to stop, not cancelled: on Python 3.11 redis-py's `wait_for` may swallow a cancellation.
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
