"""A mission is killed at each step of its life, one kill a mission, and delivers what it delivers
unharmed.

The steps are the atomic ones: every begin and end of a call, every commit of a turn, every commit
of the supervisor's. The whole process, its server with it, is killed right before and right after
one of them and started again. What is held: one result and the same, each word said once, each
motion executed once, the ledger's equation, and that no call whose end was journaled is made again.
"""

from __future__ import annotations

import argparse
import itertools
import queue
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import redis

from tests.chaos.dying import KINDS
from tests.chaos.report import Report, spread
from tests.e2e.parts import (
    Models,
    Parts,
    assert_done_once,
    assert_paid_once,
    counting_models,
    whole,
)
from tests.e2e.swarm_process import ENDED, Child, short_folder

LANES: Final = 2
MISSION: Final = "m-killed"
# Calls that may be open at once in this mission: those of a bench of six seats, which are called
# at once.
OPEN_MAX: Final = 6
SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Point:
    """Where the process dies."""

    kind: str
    number: int
    moment: str

    def __str__(self) -> str:
        return f"{self.moment} {self.kind} {self.number}"


@dataclass(slots=True)
class Seen:
    """What became of the missions."""

    killed: Counter[str] = field(default_factory=Counter)
    missed: list[Point] = field(default_factory=list)  # the mission was over before
    faults: list[str] = field(default_factory=list)
    in_vain: Counter[str] = field(default_factory=Counter)  # calls that were cut, by the moment
    seconds: list[float] = field(default_factory=list)


def unharmed(models: Models) -> Counter[str]:
    """How many steps of each kind a mission takes."""
    with short_folder() as data, whole(models, data) as swarm:
        swarm_process = _begin(
            swarm, data, Point("none", 0, "before"), "What is six by seven, unharmed?"
        )
        swarm.until_delivered(MISSION, SECONDS)
        assert_done_once(swarm, MISSION)
        # The one process is ended by the context, and would take its time.
        swarm_process.process.kill()
        return Counter((data / "steps").read_text().split())


def points(steps: Counter[str]) -> Iterator[Point]:
    for kind in KINDS:
        for number, moment in itertools.product(range(1, steps[kind] + 1), ("before", "after")):
            yield Point(kind, number, moment)


def killed_at(point: Point, models: Models, seen: Seen) -> None:
    text, started = f"What is six by seven, killed {point}?", time.monotonic()
    with short_folder() as data, whole(models, data) as swarm:
        process = _begin(swarm, data, point, text).process
        swarm.until(lambda: process.poll() is not None or _is_over(swarm), "the kill", SECONDS)
        if process.poll() is None:
            process.kill()
            seen.missed.append(point)
            return
        resumed = swarm.start("up").process
        try:
            # Whoever was not answered asks again: it is the same mission.
            swarm.submit(MISSION, text)
            swarm.until_delivered(MISSION, SECONDS)
            assert_done_once(swarm, MISSION)
            assert_paid_once(swarm, models, MISSION, text, cut=OPEN_MAX)
        except AssertionError as error:
            seen.faults.append(f"{point}: {str(error)[:1500]}")
        cut = [
            fact
            for fact in swarm.facts()
            if fact["fact"] == "settle" and fact["amounts"]["assumed"]
        ]
        when = f"{point.moment} {point.kind}"
        seen.in_vain[when] += sum(1 for fact in cut if fact["amounts"]["used"].get("calls"))
        seen.killed[when] += 1
        seen.seconds.append(time.monotonic() - started)
        resumed.kill()


def _begin(swarm: Parts, data: Path, point: Point, text: str) -> Child:
    process = swarm.start(point.kind, str(point.number), point.moment, module="tests.chaos.dying")
    (data / "counting").touch()
    # The step may be one of the supervisor's own, before this is heard.
    with suppress(redis.RedisError):
        swarm.submit(MISSION, text)
    return process


def _is_over(swarm: Parts) -> bool:
    try:
        return swarm.mission(MISSION).get("state") in ENDED
    except redis.RedisError:
        return False


def steps(seed: int, every: int = 1, lanes: int = LANES) -> Report:
    """`every` so many points of a shuffled row; 1: all."""
    report, seen = Report("steps", seed), Seen()
    with ExitStack() as stack:
        free: queue.Queue[Models] = queue.Queue()
        for _ in range(lanes):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            free.put(stack.enter_context(counting_models(folder, seconds=0.0)))
        models = free.get()
        found = unharmed(models)
        free.put(models)
        wanted = list(points(found))
        random.Random(seed).shuffle(wanted)

        def kill(point: Point) -> None:
            models = free.get()
            try:
                killed_at(point, models, seen)
            except Exception as error:
                seen.faults.append(f"{point}: {type(error).__name__}: {str(error)[:1500]}")
            finally:
                done = f"{seen.killed.total() + len(seen.missed)} of {len(wanted[::every])}"
                print(f"{done}, {len(seen.faults)} faults: {point}", file=sys.stderr, flush=True)
                # What it was asked in this mission is no other's: its log begins anew.
                models.log.write_text("")
                free.put(models)

        with ThreadPoolExecutor(lanes, "steps") as threads:
            list(threads.map(kill, wanted[::every]))
    report.counts = {f"steps of a mission: {kind}": found[kind] for kind in KINDS}
    report.counts |= {f"killed {when}": count for when, count in sorted(seen.killed.items())}
    report.counts |= {
        f"calls cut, {when}": count for when, count in sorted(seen.in_vain.items()) if count
    }
    report.counts |= {"killed": seen.killed.total(), "not reached": len(seen.missed)}
    report.figures |= {
        f"a mission and its kill, {name}": value for name, value in spread(seen.seconds).items()
    }
    report.faults += seen.faults
    report.must(seen.killed.total() > 0, "nothing was killed")
    return report


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--every", type=int, default=1, help="only every so many of the points")
    parser.add_argument("--lanes", type=int, default=LANES, help="missions at the same time")


def run(arguments: argparse.Namespace) -> Report:
    return steps(arguments.seed, arguments.every, arguments.lanes)
