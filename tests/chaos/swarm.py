"""The swarm that chaos is made of: workers and supervisors behind one proxy, the load's mission,
and its agents.

A process that ends without having been killed here is a fault of the product's, and is started
anew.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from swarmd.adapters.config.loader import shipped
from tests.chaos.host import LOAD
from tests.chaos.report import Report
from tests.chaos.tally import Effects
from tests.e2e.parts import Models, Parts, Server, parts
from tests.e2e.proxy import Proxy, proxied
from tests.e2e.swarm_process import ENDED, Child, moment_of, unbalanced, ungranted, verb

# Bounds of the shipped limits that are there to stop just such a load.
_LIMITS: Final = {
    "children_max": 1_000,
    "agents_max": 10_000,
    "spawns_per_minute": 100_000,
    "stall_seconds": 86_400,
    "deadline_seconds": 86_400,
    "agents": 5_000,
    "tools": 100_000_000,
    "turns_at_once": 128,
}
_BUDGET: Final = (
    '{"tokens": 5000000, "cost": 5000000, "calls": 10000, "tools": 50000000, "agents": 4500}'
)


def policies(folder: Path) -> Path:
    """The shipped policies, with room for a load of agents below one executive."""
    made = folder / "policies"
    shutil.copytree(shipped("policies"), made)
    limits = (made / "limits.yaml").read_text(encoding="utf-8")
    for name, value in _LIMITS.items():
        limits = re.sub(
            rf"^( *){name}: .*$", rf"\g<1>{name}: {value}", limits, count=1, flags=re.MULTILINE
        )
    (made / "limits.yaml").write_text(limits, encoding="utf-8")
    # As many as there may be: hosts die here every few seconds, and three deaths in one step of an
    # innocent turn are likely.
    limits = re.sub(r"^tries_max: .*$", "tries_max: 20", limits, count=1, flags=re.MULTILINE)
    (made / "limits.yaml").write_text(limits, encoding="utf-8")
    board = (made / "board.yaml").read_text(encoding="utf-8")
    (made / "board.yaml").write_text(
        re.sub(r"missions_at_once: \d+", "missions_at_once: 4", board), encoding="utf-8"
    )
    return made


@dataclass(slots=True)
class Processes:
    """The parts by a name of the harness's own; each is replaced when it has ended."""

    swarm: Parts
    host: tuple[str, ...] = ()  # words for the workers (`tests.chaos.host`)
    running: dict[str, Child] = field(default_factory=dict)
    stopped: dict[str, float] = field(default_factory=dict)  # asleep, until when
    killed: int = 0
    by_itself: list[str] = field(
        default_factory=list
    )  # what those said that ended and were not killed
    said: list[str] = field(default_factory=list)  # by those that were killed

    def start(self, name: str, *, is_up: bool = False) -> Child:
        if name.startswith("worker"):
            words, module = self.host, "tests.chaos.host"
        else:
            words, module = ("supervisor",), "swarmd"
        self.running[name] = self.swarm.start(*words, is_up=is_up, module=module)
        return self.running[name]

    def kill(self, name: str) -> None:
        self.running[name].process.kill()
        self.running[name].ended()
        self.said.append(self.running[name].stderr)
        self.stopped.pop(name, None)
        self.killed += 1

    def sleep(self, name: str, until: float) -> None:
        self.running[name].process.send_signal(signal.SIGSTOP)
        self.stopped[name] = until

    def wake(self, now: float) -> None:
        """Those whose pause is over."""
        for name in [name for name, until in self.stopped.items() if until <= now]:
            del self.stopped[name]
            self.running[name].process.send_signal(signal.SIGCONT)

    def replace_ended(self) -> None:
        for name, child in list(self.running.items()):
            if child.process.poll() is not None:
                self.by_itself.append(
                    f"{name} ended with {child.process.returncode}: {child.stderr[-1500:]}"
                )
                self.start(name)

    def tracebacks(self) -> list[str]:
        """Of bugs that were met: each as far as a reader needs it."""
        said = [*self.said, *(child.stderr for child in self.running.values())]
        return [
            f"a traceback: {text[max(0, text.find('Traceback') - 300) :][:3000]}"
            for text in said
            if "Traceback" in text
        ]


@contextmanager
def chaotic(models: Models, server: Server, *, seed: int) -> Iterator[tuple[Parts, Proxy]]:
    """A swarm whose every process reaches the server through one proxy."""
    with (
        proxied(("127.0.0.1", server.port), seed=seed) as line,
        parts(models, server, url=line.url) as swarm,
    ):
        data = Path(swarm.environment["SWARMD_DATA"])
        swarm.environment["SWARMD_POLICIES"] = str(policies(data))
        yield swarm, line


def submit_load(swarm: Parts) -> None:
    swarm.redis.xadd(
        "swarm:missions", {"mission": "Carry the load.", "id": LOAD, "budget": _BUDGET}
    )


def effects_of(swarm: Parts, agents: list[str]) -> dict[str, Effects]:
    """What is in the committed memory of each."""
    asked = swarm.redis.pipeline(transaction=False)
    for id in agents:
        asked.hgetall(f"swarm:_state:{id}")
    return {
        id: Effects.of(_last_entry(state))
        for id, state in zip(agents, asked.execute(), strict=True)
    }


def _last_entry(state: Mapping[str, str]) -> str:
    """Of an agent's memory; what agents of the load remember is one entry."""
    numbers = [int(name[2:]) for name in state if name.startswith("m:")]
    return state[f"m:{max(numbers)}"] if numbers else ""


def lost_of(acknowledged: dict[str, int], effects: dict[str, Effects]) -> tuple[int, int]:
    """Of acknowledged posts: how many have no effect yet, and of their own posts onward
    likewise.
    """
    agents = list(acknowledged)
    direct = sum(effects[id].direct.missing(count) for id, count in acknowledged.items())
    relayed = sum(
        effects[agents[(place + 1) % len(agents)]].relayed.missing(acknowledged[id])
        for place, id in enumerate(agents)
    )
    return direct, relayed


def hold_ledger(report: Report, swarm: Parts) -> None:
    """The equation of every account, and of every account the sum of what it granted."""
    moment = moment_of(swarm.redis)
    for fault in (*unbalanced(moment.accounts), *ungranted(moment)):
        report.must(False, f"ledger: {fault}")


def hold_missions(report: Report, swarm: Parts, missions: list[str]) -> None:
    """Each has ended, and its result was told once."""
    told = [fields["mission"] for fields in swarm.entries("results")]
    for id in missions:
        state = swarm.mission(id).get("state", "unknown")
        report.must(state in ENDED, f"mission {id} is {state}")
        report.must(told.count(id) == 1, f"mission {id} has {told.count(id)} results")


def hold_record(report: Report, swarm: Parts, server: Server) -> None:
    """`swarmd journal verify` and `swarmd fsck` find nothing."""
    environment = swarm.environment | {"REDIS_URL": server.url}
    for words in (("journal", "verify"), ("fsck",)):
        done = verb(environment, *words, seconds=180)
        said = (done.stdout + done.stderr)[-1500:]
        report.must(
            done.returncode == 0, f"swarmd {' '.join(words)} exits with {done.returncode}: {said}"
        )
