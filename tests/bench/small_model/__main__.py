"""`python -m tests.bench.small_model --python PLACE/bin/python`: a mission by `swarmd run` on a real,
small and slow model server.

The model is far too small to carry a mission: what is looked at is how a mission ends that nobody can
carry. It has to end by itself, with a reason; no call of a phase that is over may go on beside the
next ones, for they share two slots; and each wait has to be said on standard error.
`tests/bench/small_model/server.py` says what the interpreter needs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.bench.frameworks.swarm import ALL_SEATS, TREE, settings
from tests.bench.small_model.proxy import Proxy, stray

MISSION: Final = "Which exit code has `swarmd run` when the deadline of a mission passed?"
# A call is spoken of after 15 s and then each half minute. One that fails just before that and is made
# again is spoken of 15 s later; the rest is the time until the picture is drawn.
SAID_SECONDS: Final = 48.0
READY_SECONDS: Final = 300.0
BROKEN: Final = 7


@dataclass(slots=True)
class Seen:
    """What `swarmd run` said on standard error, and when."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    code: int | None = None
    seconds: float = 0.0
    result: str = ""

    def longest_wait(self) -> tuple[float, float]:
        """How long nothing was said at most, and from when on."""
        times = [0.0, *(at for at, _ in self.lines), self.seconds]
        gaps = [(after - before, before) for before, after in pairwise(times)]
        return max(gaps)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.small_model", description=__doc__)
    parser.add_argument(
        "--python", required=True, help="an interpreter with xllamacpp and the model"
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="until it counts as endless")
    parser.add_argument("--seats", type=int, default=3, choices=range(1, ALL_SEATS + 1))
    given = parser.parse_args()
    return asyncio.run(_measure(given.python, given.minutes * 60.0, given.seats))


async def _measure(python: str, seconds: float, seats: int) -> int:
    port = _free_port()
    server = await asyncio.create_subprocess_exec(
        python,
        str(Path(__file__).with_name("server.py")),
        str(port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert server.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            print("the model's server:", (await server.stdout.readline()).decode().strip())
        proxy = Proxy(port)
        async with await proxy.serve():
            seen = await _run(f"http://127.0.0.1:{proxy.port}/v1", seconds, seats)
            return _told(proxy, seen)
    finally:
        server.terminate()
        await server.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def _run(url: str, seconds: float, seats: int) -> Seen:
    seen, began = Seen(), time.monotonic()
    with settings(seats) as (words, policies, data):
        command = [
            sys.executable,
            "-m",
            "swarmd",
            "run",
            MISSION,
            "--files",
            str(TREE / "docs/cli.md"),
        ]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SWARMD_", "REDIS_"))}
        own = {"SWARMD_DATA": str(data), "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-of-nobody"}
        child = await asyncio.create_subprocess_exec(
            *command,
            *("--model", "openai:smollm2", "--policies", str(policies), *words),
            env={**kept, **own, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert child.stderr is not None
        assert child.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                async for line in child.stderr:
                    seen.lines.append(
                        (time.monotonic() - began, line.decode(errors="replace").rstrip())
                    )
                    print(f"{seen.lines[-1][0]:7.1f} s  {seen.lines[-1][1]}", flush=True)
                seen.result = (await child.stdout.read()).decode(errors="replace")
                seen.code = await child.wait()
        except TimeoutError:
            child.terminate()
            await child.wait()
        seen.seconds = time.monotonic() - began
    return seen


def _told(proxy: Proxy, seen: Seen) -> int:
    wrong = [] if seen.code is not None else [f"no end within {seen.seconds:.0f} s"]
    wrong += stray(proxy.passed)
    waited, at = seen.longest_wait()
    if waited > SAID_SECONDS:
        wrong.append(f"nothing was said for {waited:.0f} s, from {at:.0f} s on")
    cancelled = sum(one.is_cancelled for one in proxy.passed)
    print(
        f"\nended with {seen.code} after {seen.seconds:.0f} s; {len(proxy.passed)} calls, "
        f"{cancelled} of them cancelled; the longest wait without a word was {waited:.0f} s"
    )
    print("\n".join(f"WRONG: {what}" for what in wrong) or "as it should be")
    return BROKEN if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
