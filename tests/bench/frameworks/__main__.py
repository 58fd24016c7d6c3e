"""`python -m tests.bench.frameworks`: the same missions by a swarm, by one agent alone and by other
frameworks' supervisors, all with one scripted mind behind a server that counts.

The mind answers from each prompt alone, so what differs is what is asked, how often, and in which
order. Tokens are characters / 4; a serial step is a call that waited for another one. The frameworks
are no dependencies of swarmd's: give each an interpreter that has it (`--peer langgraph=PLACE/bin/python`,
`tests/bench/frameworks/peers.py` says what to install); without one its row is left out and named.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.bench.frameworks import swarm
from tests.bench.frameworks.missions import MISSIONS, Mission
from tests.bench.frameworks.peers import PEERS
from tests.bench.frameworks.tools import FUNCTIONS
from tests.minds.capable import CapableMind
from tests.minds.server import Count, MindServer, count, serving

# Each call takes as long, so that those beside each other are seen to overlap.
CALL_SECONDS: Final = 0.4
RUN_SECONDS: Final = 400.0
_DISTRIBUTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "alone": ("openai",),
    "langgraph": ("langgraph-supervisor", "langgraph", "langchain-openai"),
    "magentic": ("agent-framework-orchestrations", "agent-framework-core"),
}
_SEATS: Final = (6, 3, 1)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    count: Count
    outcome: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.frameworks", description=__doc__)
    parser.add_argument("missions", nargs="*", metavar="MISSION", help=f"of {', '.join(MISSIONS)}")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows with it in their name")
    parser.add_argument(
        "--peer",
        metavar="NAME=PYTHON",
        action="append",
        default=[],
        help="langgraph or magentic, and an interpreter that has it",
    )
    parser.add_argument("--calls", action="store_true", help="name each call as well")
    given = parser.parse_args()
    unknown = [name for name in given.missions if name not in MISSIONS]
    if unknown:
        parser.error(f"no mission {unknown[0]}; there are {', '.join(MISSIONS)}")
    pythons = {"alone": sys.executable} | dict(one.split("=", 1) for one in given.peer)
    for name in given.missions or MISSIONS:
        _print_mission(MISSIONS[name], pythons, given.only, names_calls=given.calls)
    return 0


def _print_mission(
    mission: Mission, pythons: Mapping[str, str], only: str, *, names_calls: bool
) -> None:
    print(f"\n{mission.name}: {mission.text}\n")
    print(
        "| who | calls | prompt tokens | of them uncached | written tokens | serial steps | outcome |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name, carry in _carriers(mission, pythons).items():
        if only not in name:
            continue
        mind = CapableMind(careless=mission.careless)
        with serving(mind, seconds=CALL_SECONDS, functions=FUNCTIONS) as here:
            outcome = carry(here)
            calls = here.taken()
        print(_row(Row(name, count(calls), outcome)), flush=True)
        for call in calls if names_calls else ():
            called = ", ".join(name for name, _ in call.answer.calls) or call.answer.text[:60]
            print(f"    {called!r}, {len(call.prompt)} characters", flush=True)
    missing = sorted(set(PEERS) - set(pythons))
    if missing:
        print(f"\nleft out, for want of an interpreter: {', '.join(missing)}")


def _carriers(
    mission: Mission, pythons: Mapping[str, str]
) -> dict[str, Callable[[MindServer], str]]:
    """Who does it, by the name of the row."""

    def by_peer(name: str, python: str) -> Callable[[MindServer], str]:
        return lambda here: _outcome_of_peer(here, mission, name, python)

    def by_swarm(seats: int) -> Callable[[MindServer], str]:
        return lambda here: _outcome_of_swarm(here, mission, seats)

    peers = {
        f"{name} ({_versions(name, python)})": by_peer(name, python)
        for name, python in pythons.items()
    }
    swarms = {f"swarmd, {seats} seat{'s' * (seats > 1)}": by_swarm(seats) for seats in _SEATS}
    return {**swarms, **peers}


def _outcome_of_peer(here: MindServer, mission: Mission, name: str, python: str) -> str:
    done = subprocess.run(
        [python, "-W", "ignore", "-m", "tests.bench.frameworks.peers", name, here.url],
        input=mission.text,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:100]}"
    return mission.judged(done.stdout)


def _outcome_of_swarm(here: MindServer, mission: Mission, seats: int) -> str:
    ran = swarm.run(here.url, mission, seats, seconds=RUN_SECONDS)
    state = swarm.STATES.get(ran.code, f"exit {ran.code}")
    judged = mission.judged(ran.text if ran.code == 0 else f"{ran.text}\n{ran.said}")
    return f"{state}: {judged}"


def _versions(name: str, python: str) -> str:
    asked = (
        "import sys, importlib.metadata as m;"
        "print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    )
    command = [python, "-c", asked, *_DISTRIBUTIONS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "version unknown"


def _row(row: Row) -> str:
    c = row.count
    figures = (c.calls, c.prompt_tokens, c.uncached_tokens, c.completion_tokens, c.serial_steps)
    return f"| {row.name} | {' | '.join(f'{n:,}' for n in figures)} | {row.outcome} |"


if __name__ == "__main__":
    sys.exit(main())
