"""A worker with all its agents in mid-turn is killed, and one is put to sleep beyond its lease and
wakes.

Of the killed one's agents each must have taken up its turn elsewhere within the lease and two
seconds. Of the sleeper's turns each must be refused when it comes back to commit them, for others
have made them meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from swarmd.core.model.refusals import Rule
from tests.chaos.load import acknowledged_by, begin_load, begin_round, end_load
from tests.chaos.report import Report, spread
from tests.chaos.swarm import (
    Processes,
    chaotic,
    effects_of,
    hold_ledger,
    hold_record,
    lost_of,
    submit_load,
)
from tests.e2e.parts import LEASE_SECONDS, Parts, counting_models, server_of_ours

WITHIN_SECONDS: Final = LEASE_SECONDS + 2.0
# Of each turn's call: long enough for all to be in it at once, so that nobody has ended before its
# host is.
CALL_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Watch:
    """The agents' turns, as their step journals and records show them."""

    swarm: Parts
    agents: list[str]

    def holders(self) -> dict[str, str]:
        """By agent: the host of the begun step of the turn under way, where there is one."""
        asked = self.swarm.redis.pipeline(transaction=False)
        for id in self.agents:
            asked.hgetall(f"swarm:_steps:{id}")
            asked.hmget(f"swarm:agent:{id}", "lease", "host")
        replies = asked.execute()
        found = {}
        for id, steps, (lease, host) in zip(self.agents, replies[::2], replies[1::2], strict=True):
            begun = [json.loads(text) for name, text in steps.items() if name.endswith(":b")]
            if any(str(record["lease"]) == lease for record in begun):
                found[id] = host
        return found

    def turns(self) -> list[int]:
        asked = self.swarm.redis.pipeline(transaction=False)
        for id in self.agents:
            asked.hget(f"swarm:_state:{id}", "turn")
        return [int(turn or 0) for turn in asked.execute()]

    def until_all_begun(self, seconds: float = 60.0) -> str:
        """All are in a call, on the one host that is returned."""
        self.swarm.until(
            lambda: len(self.holders()) == len(self.agents), "all are in mid-turn", seconds
        )
        (host,) = set(self.holders().values())
        return host

    def taken_over(self, former: str, since: float, slack: float) -> list[float]:
        """Seconds from `since` until each has begun its turn again on another host; those that
        did within the bound, or not long after it.
        """
        taken: dict[str, float] = {}
        ends = since + WITHIN_SECONDS + slack + 10
        while len(taken) < len(self.agents) and time.monotonic() < ends:
            now = time.monotonic() - since
            for id, host in self.holders().items():
                if host != former:
                    taken.setdefault(id, now)
            time.sleep(0.02)
        return list(taken.values())


def takeover(agents: int, seed: int, rounds: int, slack: float = 0.0) -> Report:
    """`rounds` of one kill and one sleep each. `slack`, seconds, is added to the bound where other
    processes take the processor.
    """
    report = Report("takeover", seed)
    kills: list[float] = []
    sleeps: list[float] = []
    refused = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        counting_models(Path(folder), seconds=0.0) as models,
        server_of_ours() as server,
        chaotic(models, server, seed=seed) as (swarm, line),
    ):
        processes = Processes(swarm, (str(CALL_SECONDS),))
        for name in ("supervisor-1", "worker-0"):
            processes.start(name, is_up=True)
        submit_load(swarm)
        load = begin_load(swarm, line.url, agents, 1, rounds=2 * rounds)
        try:
            watch = _Watch(swarm, [])
            for number in range(rounds):
                # Whoever took over from the last sleeper is the next to be killed.
                killed, slept, woken = (f"worker-{2 * number + n}" for n in range(3))
                processes.start(slept, is_up=True)
                _post(load, watch)
                former = watch.until_all_begun()
                since = time.monotonic()
                processes.kill(killed)
                kills += watch.taken_over(former, since, slack)
                _until_committed(watch, 2 * number + 1)
                processes.start(woken, is_up=True)
                _post(load, watch)
                former = watch.until_all_begun()
                since = time.monotonic()
                processes.sleep(slept, since + LEASE_SECONDS + 1)
                sleeps += watch.taken_over(former, since, slack)
                # Their successors have committed these very turns when they come back.
                _until_committed(watch, 2 * number + 2)
                processes.wake(float("inf"))
                refused += _late_refusals(swarm, agents, refused)
                processes.kill(slept)
            acknowledged = dict.fromkeys(watch.agents, 2 * rounds)
            lost = lost_of(acknowledged, effects_of(swarm, watch.agents))
            effects = effects_of(swarm, watch.agents)
            twice = sum(
                len(seen.direct.again) + len(seen.relayed.again) for seen in effects.values()
            )
        finally:
            end_load(load)
        report.faults += processes.tracebacks()
        hold_ledger(report, swarm)
        hold_record(report, swarm, server)
    report.counts = {
        "agents in mid-turn": agents,
        "rounds": rounds,
        "taken over from the killed": len(kills),
        "taken over from the sleeper": len(sleeps),
        "late commits refused": refused,
        "effects lost": sum(lost),
        "effects twice": twice,
    }
    report.figures |= {f"kill to resumed, {name}": value for name, value in spread(kills).items()}
    report.figures |= {f"sleep to resumed, {name}": value for name, value in spread(sleeps).items()}
    within = WITHIN_SECONDS + slack
    for what, seconds in (("killed", kills), ("sleeping", sleeps)):
        late = agents * rounds - sum(1 for taken in seconds if taken <= within)
        report.must(
            late == 0,
            f"{late} agents of a {what} host were not resumed within {within:g} s",
        )
    report.must(
        refused == agents * rounds, f"{refused} of {agents * rounds} late commits were refused"
    )
    report.must(not any(lost) and not twice, f"{lost} effects lost, {twice} twice")
    return report


def _post(load: subprocess.Popen[str], watch: _Watch) -> None:
    """One more message for each."""
    begin_round(load)
    watch.agents[:] = acknowledged_by(load)


def _until_committed(watch: _Watch, number: int) -> None:
    """Each has an effect for each of its messages so far, and for what was passed on to it."""

    def is_done() -> bool:
        effects = effects_of(watch.swarm, watch.agents)
        return (
            lost_of(dict.fromkeys(watch.agents, number), effects) == (0, 0) and not watch.holders()
        )

    watch.swarm.until(is_done, "all turns are committed", 60)


def _late_refusals(swarm: Parts, agents: int, before: int) -> int:
    """Commits of the woken host's that were refused for its lost lease: facts whose step is a
    turn's number alone.
    """
    counted: list[int] = []

    def count() -> int:
        facts: list[dict[str, Any]] = [
            f for f in swarm.facts() if f["fact"] == "refuse" and f.get("rule") == Rule.LEASE
        ]
        return sum(1 for fact in facts if ":" not in str(fact.get("call", ":"))) - before

    deadline = time.monotonic() + CALL_SECONDS + 5
    while time.monotonic() < deadline and (not counted or counted[-1] < agents):
        counted.append(count())
        time.sleep(0.1)
    return counted[-1]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)


def run(arguments: argparse.Namespace) -> Report:
    return takeover(arguments.agents, arguments.seed, arguments.rounds)
