"""Kills of everything, again and again, while posts are acknowledged: each of them has its effect
once.

Workers, supervisors (one of them stands by) and the server are killed at random moments, workers
and the server are stopped for longer than a lease or a command, and the line between them loses
replies, resets connections and leaves some half-open. Meanwhile a process of its own posts keyed
messages and counts what is acknowledged, each agent of the load counts in its committed memory what
has come and passes it on once, and missions of the usual kind are worked at.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Final

from tests.chaos.host import LOAD
from tests.chaos.load import acknowledged_by, begin_load, begin_round, end_load
from tests.chaos.report import Report
from tests.chaos.swarm import (
    Processes,
    chaotic,
    effects_of,
    hold_ledger,
    hold_missions,
    hold_record,
    lost_of,
    submit_load,
)
from tests.e2e.parts import LEASE_SECONDS, Parts, Server, counting_models, server_of_ours, until
from tests.e2e.proxy import Proxy
from tests.e2e.swarm_process import ENDED, verb

WORKERS: Final = ("worker-1", "worker-2", "worker-3")
SUPERVISORS: Final = ("supervisor-1", "supervisor-2")
# Rare enough for the supervisors that a lease, and the lease of patience after it, pass between two
# of their kills.
WEIGHTS: Final = {"worker": 66, "supervisor": 10, "server": 24}
LOST_REPLIES, RESETS = 0.05, 0.02
HALF_OPEN_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class Plan:
    kills: int
    posts: int
    seed: int
    agents: int = 100
    every_seconds: float = 3.0  # the mean time between two kills
    pauses: int = 20  # beyond the lease
    half_opens: int = 20
    missions: int = 10
    drain_seconds: float = 600.0  # for what was acknowledged to have its effect, after the chaos


@dataclass(slots=True)
class Chaos:
    """What happens to the swarm, by dice. One step at a time; each says how long to wait for the
    next.
    """

    plan: Plan
    processes: Processes
    server: Server
    line: Proxy
    counts: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        plan, dice = self.plan, random.Random(self.plan.seed)
        events = dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=plan.kills)
        events += ["pause"] * plan.pauses + ["half-open"] * plan.half_opens
        events += [f"mission {number}" for number in range(plan.missions)]
        dice.shuffle(events)
        for number, event in enumerate(events, start=1):
            print(f"{number} of {len(events)}: {event}", file=sys.stderr, flush=True)
            is_kill = event in WEIGHTS
            self._wait(dice.uniform(0.1, 2.0) * plan.every_seconds if is_kill else 0.1)
            self._happen(event, dice)
        while self.processes.stopped:
            self._wait(0.2)
        self.line.is_half_open = False

    def _wait(self, seconds: float) -> None:
        until_ = time.monotonic() + seconds
        while (now := time.monotonic()) < until_:
            self.processes.wake(now)
            self.processes.replace_ended()
            time.sleep(min(0.05, until_ - now))

    def _happen(self, event: str, dice: random.Random) -> None:
        what = event.partition(" ")[0]
        self.counts[what] = self.counts.get(what, 0) + 1
        match what:
            case "worker" | "supervisor":
                name = dice.choice(WORKERS if what == "worker" else SUPERVISORS)
                self.processes.kill(name)
                self.processes.start(name)
            case "server":
                self.server.send(SIGKILL)
                self._wait(dice.uniform(0.0, 1.0))
                self.server.start()
            case "pause" if dice.random() < 0.2:
                self.server.send(SIGSTOP)
                self._wait(dice.uniform(1.0, 6.0))
                self.server.send(SIGCONT)
            case "pause":
                awake = [name for name in WORKERS if name not in self.processes.stopped]
                # One at least goes on, or nothing would happen that could go wrong.
                if len(awake) > 1:
                    beyond = LEASE_SECONDS + dice.uniform(0.5, 4.0)
                    self.processes.sleep(dice.choice(awake), time.monotonic() + beyond)
            case "half-open":
                self.line.is_half_open = True
                self._wait(HALF_OPEN_SECONDS)
                self.line.is_half_open = False
            case _:
                self.processes.swarm.submit(
                    event.replace("mission ", "m-side-"), f"What is six by seven? ({event})"
                )


def kills(plan: Plan) -> Report:
    report = Report("kills", plan.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        counting_models(Path(folder), seconds=0.05) as models,
        server_of_ours(appendfsync="always") as server,
        chaotic(models, server, seed=plan.seed) as (swarm, line),
    ):
        processes = Processes(swarm)
        for name in (*SUPERVISORS, *WORKERS):
            processes.start(name, is_up=True)
        submit_load(swarm)
        seconds = plan.kills * plan.every_seconds * 1.05
        load = begin_load(
            swarm, line.url, plan.agents, plan.posts // plan.agents, plan.posts / seconds
        )
        try:
            begin_round(load)
            started = time.monotonic()
            line.loses, line.resets = LOST_REPLIES, RESETS
            chaos = Chaos(plan, processes, server, line)
            chaos.run()
            acknowledged = acknowledged_by(load)
            report.figures["seconds of chaos"] = time.monotonic() - started
        finally:
            end_load(load)
        report.counts |= {
            "kills": sum(chaos.counts.get(what, 0) for what in WEIGHTS),
            **{f"kills of a {what}": chaos.counts.get(what, 0) for what in WEIGHTS},
            "pauses": chaos.counts.get("pause", 0),
            "half-open": chaos.counts.get("half-open", 0),
            "exchanges": line.exchanges,
            "lost replies": line.lost,
            "connections reset": line.was_reset,
            "acknowledged posts": sum(acknowledged.values()),
        }
        line.loses = line.resets = 0.0
        _judge(report, swarm, server, processes, acknowledged, plan)
    return report


def _judge(
    report: Report,
    swarm: Parts,
    server: Server,
    processes: Processes,
    acknowledged: dict[str, int],
    plan: Plan,
) -> None:
    agents, drained = list(acknowledged), time.monotonic()
    missions = [f"m-side-{number}" for number in range(plan.missions)]
    while time.monotonic() < drained + plan.drain_seconds:
        processes.replace_ended()
        lost = sum(lost_of(acknowledged, effects_of(swarm, agents)))
        if not lost and all(swarm.mission(id).get("state") in ENDED for id in missions):
            break
        time.sleep(0.2)
    else:
        report.faults.append(_left(swarm, processes, acknowledged, missions))
    report.figures["seconds until all had its effect"] = time.monotonic() - drained
    effects = effects_of(swarm, agents)
    direct, relayed = lost_of(acknowledged, effects)
    twice = sum(len(seen.direct.again) + len(seen.relayed.again) for seen in effects.values())
    report.counts["dead letters"] = int(swarm.redis.xlen("swarm:dead"))
    report.counts |= {"posts lost": direct, "posts onward lost": relayed, "effects twice": twice}
    report.must(sum(acknowledged.values()) >= plan.posts - len(agents), "not all was posted")
    report.must(
        direct == 0 and relayed == 0, f"{direct} posts and {relayed} posts onward have no effect"
    )
    report.must(twice == 0, f"{twice} effects happened twice")
    environment = swarm.environment | {"REDIS_URL": server.url}
    done = verb(environment, "cancel", LOAD, "--reason", "all was posted")
    report.must(done.returncode == 0, f"cancel exits with {done.returncode}: {done.stderr[-500:]}")
    missions.append(LOAD)
    try:
        until(
            lambda: all(swarm.mission(id).get("state") in ENDED for id in missions),
            "all missions end",
            60,
        )
    except AssertionError as error:
        report.faults.append(str(error)[:200])
    hold_missions(report, swarm, missions)
    hold_ledger(report, swarm)
    hold_record(report, swarm, server)
    states = [swarm.mission(id)["state"] for id in missions]
    report.counts |= {"missions": len(missions), "missions delivered": states.count("delivered")}
    report.counts["processes that ended by themselves"] = len(processes.by_itself)
    for said in processes.by_itself:
        report.must(False, said)
    report.faults += processes.tracebacks()


def _left(
    swarm: Parts, processes: Processes, acknowledged: dict[str, int], missions: list[str]
) -> str:
    """What had not ended, and what each process said last: a fault that time alone shows is not
    met a second time.
    """
    effects = effects_of(swarm, list(acknowledged))
    behind = {
        id: _held_of(swarm, id)
        for id, count in acknowledged.items()
        if effects[id].direct.missing(count)
    }
    named = [str(id) for id in swarm.redis.smembers("swarm:_hosts")]
    hosts = {id: swarm.redis.ttl(f"swarm:_host:{id}") for id in named}
    said = "\n".join(f"{name}: {child.stderr[-3000:]}" for name, child in processes.running.items())
    states = {id: swarm.mission(id) for id in missions}
    return (
        f"not all had its effect in time: missions {states}, hosts {hosts}, agents {behind}\n{said}"
    )


def _held_of(swarm: Parts, id: str) -> dict[str, object]:
    """What the store has of an agent and of its inbox."""
    redis, inbox = swarm.redis, f"inbox:{id}"
    return {
        "record": redis.hgetall(f"swarm:agent:{id}"),
        "hold": redis.hget("swarm:_holds", id),
        "state": {k: v for k, v in redis.hgetall(f"swarm:_state:{id}").items() if len(v) < 200},
        "steps": redis.hgetall(f"swarm:_steps:{id}"),
        "stream": redis.xrevrange(f"swarm:{inbox}", count=3),
        "end": redis.hget("swarm:_ends", inbox),
        "number": (redis.zscore("swarm:_heads", inbox), redis.get("swarm:_posts")),
    }


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between two kills")


def run(arguments: argparse.Namespace) -> Report:
    share = max(1, arguments.kills // 10)
    return kills(
        Plan(
            arguments.kills,
            arguments.posts,
            arguments.seed,
            arguments.agents,
            arguments.every,
            pauses=share,
            half_opens=share,
            missions=share,
        )
    )
