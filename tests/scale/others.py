"""Others at work on the same server: 500 messages of 1 KB a second, and a PING each millisecond,
whose worst is told.

    python -m tests.scale.others SOCKET

A process of its own, so that what it waits for is the server's and not another's loop. Ends when
its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

from redis import Redis

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import room
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB
from swarmd.core.model.timings import stamp_of
from tests.bench.swarm import SECRET

POST_SECONDS: Final = 0.002
PING_SECONDS: Final = 0.001


def _ping(socket: Path, stop: asyncio.Event) -> list[float]:
    client, waits = Redis(unix_socket_path=str(socket)), []
    while not stop.is_set():
        asked = time.perf_counter()
        client.ping()
        waits.append(1e3 * (time.perf_counter() - asked))
        time.sleep(PING_SECONDS)
    client.close()
    return waits


async def main(socket: Path) -> None:
    store = RedisStore(dial(socket), "others", SECRET)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    pipe = asyncio.create_task(store.pipe.run())
    pings = loop.run_in_executor(None, _ping, socket, stop)
    ended = loop.run_in_executor(None, sys.stdin.read)
    print("ready", flush=True)
    posted = 0
    while not ended.done():
        message = Message(sender=SOB, kind=Kind.SAY, at=stamp_of(time.time()), text="x" * 1_024)
        await store.post(room("others"), message)
        posted += 1
        await asyncio.sleep(POST_SECONDS)
    stop.set()
    waits = sorted(await pings)
    pipe.cancel()
    figures = {
        "pings": len(waits),
        "ping_worst_ms": round(waits[-1], 2),
        "ping_p99_ms": round(waits[int(0.99 * len(waits))], 2),
        "others_posted": posted,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
