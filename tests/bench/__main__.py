"""`python -m tests.bench [NAME …] [--rounds N]`: swarmd against floors on the same server, ratios
first.

Every round runs every case once, in turn, each in a process of its own, on one embedded server that
keeps its append-only file every second; what is printed are medians. A ratio holds for its run
alone, and is worth more than the figures beside it: on a shared machine those move by a fifth and
more, together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from swarmd.adapters.server.embedded import EmbeddedServer

# The longest: to make a hundred thousand agents.
CASE_SECONDS: Final = 600
ROUNDS: Final = 3

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """Cases that are run in turn, the first of them swarmd's; how often at most; what of them is
    compared.
    """

    title: str
    cases: tuple[str, ...]
    compared: str
    shown: tuple[str, ...]
    is_more_better: bool = True
    rounds_max: int = 9


_IDLE: Final = (
    "client_kib",
    "server_kib",
    "server_hosting_kib",
    "admission_s",
    "collect_ms",
    "collect_all_ms",
    "cpu_percent",
    "wake_p50_ms",
)
_RING: Final = ("per_second", "p50_us", "p99_us", "cpu_us")
_CALLS: Final = ("cpu_ms", "per_second", "calls")
BENCHES: Final[dict[str, Bench]] = {
    "messages": Bench(
        "durable messages delivered, 1 KB, ring of 100 agents, 100 under way",
        ("ring", "ring full", "ring scripts", "ring redis-py", "ring raw"),
        "per_second",
        _RING,
    ),
    "hop": Bench(
        "the same with one message under way: from post to handler",
        ("hop", "hop full", "hop scripts", "hop redis-py", "hop raw"),
        "p50_us",
        _RING,
        is_more_better=False,
    ),
    "turns": Bench(
        "whole turns with a model that answers at once, 100 agents",
        ("turns", "turns floor"),
        "per_second",
        ("per_second", "cpu_us"),
    ),
    "calls": Bench(
        "this process's time for a model call over HTTP, 2 calls a turn",
        ("calls", "calls sdk"),
        "cpu_ms",
        _CALLS,
        is_more_better=False,
    ),
    "long": Bench(
        "this process's time for a model call over HTTP, 21 calls a turn",
        ("long", "long sdk"),
        "cpu_ms",
        _CALLS,
        is_more_better=False,
    ),
    "spawns": Bench(
        "spawns through the supervisor: law, accounts, journal, answer, placement",
        ("spawns", "spawns floor"),
        "per_second",
        ("per_second", "cpu_us"),
    ),
    "idle": Bench(
        "10,000 idle agents in one worker",
        ("idle", "idle tasks"),
        "client_kib",
        _IDLE,
        is_more_better=False,
        rounds_max=3,
    ),
    "many": Bench(
        "100,000 idle agents in one worker",
        ("idle many", "idle tasks"),
        "client_kib",
        _IDLE,
        is_more_better=False,
        rounds_max=1,
    ),
    "workers": Bench(
        "the ring of messages over one, two and four workers",
        ("workers 4", "workers 2", "workers 1"),
        "per_second",
        ("per_second", "worker_percent", "server_percent", "worker_us", "server_us"),
    ),
    "start": Bench(
        "start of `swarmd ps`: milliseconds from call to exit; no model SDK is loaded",
        ("start",),
        "",
        ("ps_ms", "pass_ms", "typer_ms"),
        is_more_better=False,
        rounds_max=3,
    ),
}
_SAID_OF: Final[dict[str, str]] = {
    "ring": "swarmd",
    "ring redis-py": "redis-py, bare streams",
    "ring raw": "raw client, append and ring",
    "hop": "swarmd",
    "hop redis-py": "redis-py, bare streams",
    "hop raw": "raw client, append and ring",
    "ring full": "raw client, envelope, group",
    "ring scripts": "raw client, swarmd's own commit",
    "hop full": "raw client, envelope, group",
    "hop scripts": "raw client, swarmd's own commit",
    "turns": "swarmd",
    "turns floor": "redis-py, three bare appends",
    "calls": "swarmd",
    "calls sdk": "the bare openai SDK, nothing kept",
    "long": "swarmd",
    "long sdk": "the bare openai SDK, nothing kept",
    "spawns": "swarmd",
    "spawns floor": "redis-py, five bare writes",
    "workers 1": "one worker",
    "workers 2": "two workers",
    "workers 4": "four workers",
    "idle": "swarmd",
    "idle many": "swarmd",
    "idle tasks": "a task and a queue for each",
}

_RING_PEERS: Final[dict[str, tuple[str, str]]] = {
    "autogen-core": ("tests.bench.autogen_peer", "autogen-core, in memory"),
    "faststream": ("tests.bench.faststream_peer", "faststream, streams"),
}
# Cases that cannot run beside swarmd's dependencies: their command, without the server and the
# namespace.
_INTERPRETERS: dict[str, tuple[str, ...]] = {}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; none: all"
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="of each case; medians are printed"
    )
    parser.add_argument(
        "--peer",
        metavar="NAME=PYTHON",
        action="append",
        default=[],
        help="autogen-core or faststream (beside `messages`), autogen or agents (beside `calls` "
        "and `long`), and an interpreter that has it",
    )
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHES]
    if unknown:
        parser.error(f"no bench {unknown[0]}; there are {', '.join(BENCHES)}")
    for name, _, python in (peer.partition("=") for peer in given.peer):
        _add_peer(name, python)
    asyncio.run(_run([BENCHES[name] for name in given.names or BENCHES], max(1, given.rounds)))
    return 0


def _add_peer(name: str, python: str) -> None:
    if name in _RING_PEERS:
        module, said = _RING_PEERS[name]
        _INTERPRETERS[f"ring {name}"], _SAID_OF[f"ring {name}"] = (python, "-m", module), said
        BENCHES["messages"] = replace(
            BENCHES["messages"], cases=(*BENCHES["messages"].cases, f"ring {name}")
        )
        return
    for bench, calls in (("calls", "2"), ("long", "21")):
        case = f"{bench} {name}"
        _INTERPRETERS[case] = (python, "-m", "tests.bench.loops", name, calls)
        BENCHES[bench] = replace(BENCHES[bench], cases=(*BENCHES[bench].cases, case))
        _SAID_OF[case] = f"{name}, nothing kept"


async def _run(benches: Sequence[Bench], rounds: int) -> None:
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, "
        f"{rounds} rounds"
    )
    for bench in benches:
        # A server of its own for each, so that no bench works beside what another left in memory.
        with tempfile.TemporaryDirectory(prefix="swarmd-bench-") as folder:
            async with EmbeddedServer(Path(folder)) as server:
                figures = _measure(bench, min(rounds, bench.rounds_max), server.socket)
        print(f"\n{bench.title}")
        print("\n".join(_ratios(bench, figures) + _table(bench, figures)), flush=True)


def _measure(bench: Bench, rounds: int, socket: Path) -> dict[str, Figures]:
    found: dict[str, list[Figures]] = {case: [] for case in bench.cases}
    for number in range(rounds):
        for case in bench.cases:
            found[case].append(_case(case, socket, f"bench{number}-{case.replace(' ', '-')}"))
    return {
        case: {name: statistics.median(one[name] for one in all_) for name in all_[0]}
        for case, all_ in found.items()
    }


def _case(name: str, socket: Path, namespace: str) -> Figures:
    ours = (sys.executable, "-m", "tests.bench.case", name, str(socket), namespace)
    theirs = _INTERPRETERS.get(name)
    command = ours if theirs is None else (*theirs, str(socket), namespace)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=CASE_SECONDS, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _ratios(bench: Bench, figures: dict[str, Figures]) -> list[str]:
    ours = figures[bench.cases[0]]
    if not bench.compared:
        base = ours["pass_ms"]
        return [
            f"  × {ours['ps_ms'] / base:5.2f}  of `python -c pass`",
            f"  × {ours['ps_ms'] / ours['typer_ms']:5.2f}  of `python -c 'import typer'`",
        ]
    better = "higher is better" if bench.is_more_better else "lower is better"
    return [
        (
            f"  × {ours[bench.compared] / figures[case][bench.compared]:5.2f}  of {_SAID_OF[case]} "
            f"({better})"
        )
        for case in bench.cases[1:]
    ]


def _table(bench: Bench, figures: dict[str, Figures]) -> list[str]:
    rows = [f"  {'':30}" + "".join(f"{name:>20}" for name in bench.shown)]
    for case, found in figures.items():
        cells = "".join(
            f"{found[name]:20,.1f}" if name in found else f"{'':20}" for name in bench.shown
        )
        rows.append(f"  {_SAID_OF.get(case, 'swarmd'):30}{cells}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
