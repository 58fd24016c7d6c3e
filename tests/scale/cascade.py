"""A large tree is ended while others work: how long until it is fenced, until it is reaped, and
what others waited.

    python -m tests.scale.cascade [RECORDS]      default 100,000

The tree is written by the supervisor's own commits, on no host, so that what is measured is the law
and the server: a fence in one write, then records, mailboxes and accounts reaped in steps, deepest
first, refunds and journal with them. Beside it the same number of records is deleted bare, in one
run, for the ratio.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from typing import Any, Final

import structlog

from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.charter import KINDS
from swarmd.core.model.names import SOB
from tests.processes import line_of, process
from tests.scale.ground import Ground, build, ground, told

RECORDS: Final = 100_000
FENCED_MS: Final = 5.0
REAPED_SECONDS_OF_RECORDS: Final = 6.0
PING_MS: Final = 10.0


async def cascade(count: int) -> tuple[dict[str, Any], dict[str, bool]]:
    async with ground() as here:
        started = time.perf_counter()
        await build(here.store, count)
        built = time.perf_counter() - started
        await here.lead()
        await here.watch_scripts()
        async with process("tests.scale.others", str(here.socket)) as others:
            assert await line_of(others) == "ready"
            fenced, reaped = await here.ended()
            assert others.stdin is not None
            await others.stdin.aclose()
            waits = json.loads(await line_of(others))
        figures = {
            "records": count,
            "built_s": round(built, 1),
            "fenced_ms": round(1000 * fenced, 2),
            "reaped_s": round(reaped, 2),
            **await here.scripts(),
            **waits,
            "journal_entries": await here.store.pipe.execute(
                "XLEN", here.store.keys.channel(JOURNAL)
            ),
        }
        whole = await here.store.accounts([SOB], "free") == {SOB: dict.fromkeys(KINDS, 10**15)}
        left = await here.store.pipe.execute("SCARD", here.store.keys.agents)
        here.supervisor.stop.set()
        await asyncio.sleep(0.1)
        bare = await _bare(here, count)
        figures |= {"bare_deletion_s": round(bare, 2), "ratio": round(reaped / bare, 1)}
    return figures, {
        "all that was granted came back, and nobody is left but the board": whole
        and left == 1 + _SEATS,
        f"fenced within {FENCED_MS} ms": 1000 * fenced <= FENCED_MS,
        f"reaped within {REAPED_SECONDS_OF_RECORDS} s for {RECORDS:,}": (
            reaped <= REAPED_SECONDS_OF_RECORDS * count / RECORDS
        ),
        "no script took over 5 ms": figures["scripts_over_5_ms"] == 0,
        f"no other client waited over {PING_MS} ms for a PING": waits["ping_worst_ms"] <= PING_MS,
    }


_SEATS: Final = 6


async def _bare(here: Ground, count: int) -> float:
    """What deleting alone takes: as many hashes and mailboxes, gone in pipelines of the same
    size of step.
    """
    for start in range(0, count, 200):
        async with here.client.pipeline(transaction=False) as batch:
            for n in range(start, min(start + 200, count)):
                batch.hset(f"bare:agent:{n}", mapping={f"f{i}": "value" for i in range(18)})
                batch.hset(f"bare:ledger:{n}", mapping={f"f{i}": "1" for i in range(30)})
                batch.hset(f"bare:state:{n}", mapping={"p:a": "0-0", "p:b": "0-0"})
                batch.hset(f"bare:use:{n}", mapping={"model/**": "0"})
            await batch.execute()
    started = time.perf_counter()
    for start in range(0, count, 200):
        async with here.client.pipeline(transaction=False) as batch:
            for n in range(start, min(start + 200, count)):
                batch.unlink(*(f"bare:{what}:{n}" for what in ("agent", "ledger", "state", "use")))
            await batch.execute()
    return time.perf_counter() - started


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    records = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    sys.exit(told("a tree is ended while others work", *asyncio.run(cascade(records))))
