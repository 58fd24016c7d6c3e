"""The ring on faststream's Redis streams: one stream, a consumer group, a hundred entries a read.

    python -m venv PLACE && PLACE/bin/pip install 'faststream[redis]==0.7.8'
    python -m tests.bench messages --peer faststream=PLACE/bin/python

No dependency of swarmd's: it runs under an interpreter of its own and prints what
`tests.bench.case` prints.
"""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported, untyped-decorator"

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any, Final

from faststream.redis import RedisBroker, StreamSub

from tests.bench.gauge import Gauge, body

AGENTS: Final = 100
TOTAL: Final = 8_000
UNDER_WAY: Final = 100
_LENGTH_MAX: Final = 10_000


async def main(socket: str, namespace: str) -> None:
    gauge, stream = Gauge(TOTAL, UNDER_WAY), f"{namespace}:ring"
    broker = RedisBroker(f"unix://{socket}", logger=None)

    async def send(agent: int) -> None:
        await broker.publish({"a": agent, "d": body()}, stream=stream, maxlen=_LENGTH_MAX)

    @broker.subscriber(stream=StreamSub(stream, group="g", consumer="c", max_records=100))
    async def on(message: dict[str, Any]) -> None:
        if gauge.delivered(message["d"]):
            await send((message["a"] + 1) % AGENTS)

    await broker.start()
    await asyncio.sleep(0.5)
    for n in range(UNDER_WAY):
        await send(n % AGENTS)
    await gauge.done.wait()
    print(json.dumps(gauge.figures()), flush=True)
    await broker.stop()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
