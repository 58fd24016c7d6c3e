"""Rings are cut off, suppressed, and piled up for one that sleeps: messages come all the same, and
soon.

One worker with all agents of the load, in stretches of the same length and load: undisturbed; its
subscriptions reset again and again; every ring taken out of the line; beside a subscriber of
everything that never reads; undisturbed again.
"""

from __future__ import annotations

import argparse
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.load import acknowledged_by, begin_load, begin_round, end_load
from tests.chaos.report import Report, spread
from tests.chaos.swarm import Processes, chaotic, effects_of, lost_of, submit_load
from tests.e2e.parts import Parts, Server, counting_models, server_of_ours

CONNECTIONS_MAX: Final = 8
CATCH_UP_SECONDS: Final = 1.5
# What others' slowest may be beside a sleeping subscriber, of what it is without one; and below
# this it is no answer: the machine has other things to do.
SLOWER_MAX: Final = 2.0
FELT_SECONDS: Final = 0.25
SLEEPER: Final = "sleeper"
RESET_STRETCHES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    agents: int
    per_second: float  # messages, of which half are posted and half passed on
    seconds: float  # of each stretch
    resets: int
    sleep_seconds: float
    noise: int = 0  # bytes told to the sleeper alone at each look at it: for short runs
    filler: int = 3_000  # characters in each posted message, for the sleeper's buffer
    slack: float = 0.0  # seconds added to each bound, where other processes take the processor


@dataclass(slots=True)
class Stretch:
    """What was measured in one stretch: seconds from post to handler."""

    delays: list[float]
    lost: int = 0
    again: int = 0
    connections: int = 0


def rings(plan: Plan) -> Report:
    report = Report("rings", plan.seed)
    dice = random.Random(plan.seed)
    sleeps = max(1, round(plan.sleep_seconds / plan.seconds))
    with (
        tempfile.TemporaryDirectory() as folder,
        counting_models(Path(folder), seconds=0.0) as models,
        server_of_ours() as server,
        chaotic(models, server, seed=plan.seed) as (swarm, line),
    ):
        delays = Path(folder) / "delays"
        processes = Processes(swarm, ("0", str(delays)))
        # Only the worker is behind the line: what is open there is its own.
        through, swarm.environment["REDIS_URL"] = swarm.environment["REDIS_URL"], server.url
        processes.start("supervisor-1", is_up=True)
        swarm.environment["REDIS_URL"] = through
        processes.start("worker-1", is_up=True)
        submit_load(swarm)
        share = int(plan.per_second / 2 * plan.seconds / plan.agents)
        load = begin_load(
            swarm,
            server.url,
            plan.agents,
            share,
            plan.per_second / 2,
            rounds=RESET_STRETCHES_MAX + sleeps + 3,
            filler=plan.filler,
        )
        try:

            def stretch(disturb: Callable[[], object] = lambda: None) -> Stretch:
                delays.write_text("")
                begin_round(load)
                ends, connections = time.monotonic() + plan.seconds, 0
                while time.monotonic() < ends:
                    disturb()
                    connections = max(connections, line.connections)
                    time.sleep(0.02)
                return _drained(swarm, acknowledged_by(load), delays, connections)

            calm = stretch()
            reset = Resets(swarm, dice, plan)
            cut = [stretch(reset)]
            # One that was cut comes back in its own time: no more resets fit into a stretch than it
            # comes back.
            while reset.count < plan.resets and len(cut) < RESET_STRETCHES_MAX:
                cut.append(stretch(reset))
            line.drops_rings = True
            silent = stretch()
            line.drops_rings = False
            with sleeping(server, swarm, plan.noise) as peak:
                slow = [stretch(peak) for _ in range(sleeps)]
            after = stretch()
        finally:
            end_load(load)
        limit = _limit(swarm)
        report.faults += processes.tracebacks()
    beside = [delay for one in slow for delay in one.delays]
    all_of_them = [calm, *cut, silent, *slow, after]
    report.counts = {
        "agents in one worker": plan.agents,
        "messages": sum(len(one.delays) for one in all_of_them),
        "resets of the subscription": reset.count,
        "rings suppressed": line.rings_dropped,
        "connections at most": max(one.connections for one in all_of_them),
        "messages lost": sum(one.lost for one in all_of_them),
        "effects twice": sum(one.again for one in all_of_them),
        "sleeper's buffer at most, bytes": peak.most,
        "its limit, bytes": limit,
        "sleeper cut off": int(peak.is_cut_off),
    }
    for name, found in (
        ("calm", calm.delays),
        ("resets", [delay for one in cut for delay in one.delays]),
        ("no rings", silent.delays),
        ("sleeper", beside),
    ):
        report.figures |= {f"{name}, {part}": value for part, value in spread(found).items()}
    p99 = {
        name: report.figures[f"{name}, p99 s"] for name in ("calm", "resets", "no rings", "sleeper")
    }
    report.figures["sleeper's p99 : calm p99"] = p99["sleeper"] / max(p99["calm"], 0.001)
    report.must(report.counts["messages lost"] == 0, "messages were lost")
    report.must(report.counts["effects twice"] == 0, "effects happened twice")
    report.must(reset.count >= plan.resets, f"only {reset.count} of {plan.resets} resets")
    report.must(peak.most > 0, "nothing was kept for the sleeper: nothing was shown")
    report.must(line.rings_dropped > 0, "no ring was suppressed")
    report.must(
        report.counts["connections at most"] <= CONNECTIONS_MAX,
        f"more than {CONNECTIONS_MAX} connections",
    )
    for name in ("resets", "no rings"):
        in_time = p99[name] <= CATCH_UP_SECONDS + plan.slack
        report.must(in_time, f"{name}: p99 of catch-up {p99[name]:.2f} s")
    is_felt = p99["sleeper"] > max(SLOWER_MAX * p99["calm"], FELT_SECONDS) + plan.slack
    report.must(
        not is_felt,
        f"beside a sleeping subscriber p99 is {p99['sleeper']:.3f} s, else {p99['calm']:.3f} s",
    )
    report.must(peak.most <= limit, "the sleeper's buffer grew beyond the limit")
    return report


def _drained(swarm: Parts, acknowledged: dict[str, int], delays: Path, connections: int) -> Stretch:
    """What the stretch has left once all has its effect, or has had the time for it."""
    agents, ends = list(acknowledged), time.monotonic() + 30

    def lost() -> int:
        return sum(lost_of(acknowledged, effects_of(swarm, agents)))

    while lost() and time.monotonic() < ends:
        time.sleep(0.05)
    effects = effects_of(swarm, agents).values()
    again = sum(len(seen.direct.again) + len(seen.relayed.again) for seen in effects)
    taken = [float(text.split()[1]) for text in delays.read_text().splitlines()]
    return Stretch(taken, lost(), again, connections)


@dataclass(slots=True)
class Resets:
    """Ends every subscription, so often that all of its resets fall into one stretch."""

    swarm: Parts
    dice: random.Random
    plan: Plan
    count: int = 0
    _next: float = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now < self._next or self.count >= self.plan.resets:
            return
        self._next = now + self.dice.uniform(0.5, 1.2) * self.plan.seconds / self.plan.resets
        self.count += int(self.swarm.redis.client_kill_filter(_type="pubsub") > 0)


@dataclass(slots=True)
class Peak:
    """The most that the server ever kept for the sleeper, looked at a few times a second."""

    swarm: Parts
    noise: int
    most: int = 0
    is_cut_off: bool = False
    _next: float = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.2
        if self.noise:
            self.swarm.redis.publish("swarm:_noise", b"x" * self.noise)
        clients: Any = self.swarm.redis.client_list()
        kept = [int(client["omem"]) for client in clients if client["name"] == SLEEPER]
        self.is_cut_off = self.is_cut_off or not kept
        self.most = max([self.most, *kept])


@contextmanager
def sleeping(server: Server, swarm: Parts, noise: int) -> Iterator[Peak]:
    """A subscriber of every channel that never reads what comes."""
    with socket.socket() as sleeper:
        # Before it connects: what its own kernel takes, the server need not keep.
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sleeper.connect(("127.0.0.1", server.port))
        sleeper.sendall(f"CLIENT SETNAME {SLEEPER}\r\nPSUBSCRIBE swarm:*\r\n".encode())
        swarm.until(
            lambda: any(c["name"] == SLEEPER for c in swarm.redis.client_list()), "it subscribes", 5
        )
        yield Peak(swarm, noise)


def _limit(swarm: Parts) -> int:
    """Of a pub/sub client's buffer, the hard one."""
    said: Any = swarm.redis.config_get("client-output-buffer-limit")
    words = said["client-output-buffer-limit"].split()
    return int(words[words.index("pubsub") + 1])


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--per-second", type=float, default=1_000.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each stretch")
    parser.add_argument("--resets", type=int, default=100)
    parser.add_argument("--sleep-seconds", type=float, default=600.0)


def run(arguments: argparse.Namespace) -> Report:
    return rings(
        Plan(
            arguments.seed,
            arguments.agents,
            arguments.per_second,
            arguments.seconds,
            arguments.resets,
            arguments.sleep_seconds,
        )
    )
