"""`python -m tests.sim --seeds 0:10000` runs many worlds and says what came of them; `--seed 7
--trace` shows one; `--planted` says after how many worlds each of a list of planted defects is
found.

Ends with 0 where no law was broken (of planted defects: where each was found), with 7 where one was
(was not), and with 1 where nothing went wrong in any world: a simulation without faults shows
nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tests.sim.planted import FAULTS, Fault, planted
from tests.sim.scenarios import SCENARIOS
from tests.sim.world import Outcome, simulate

BROKEN, UNTRIED = 7, 1
# Worlds that a planted defect is looked for in, where `--seeds` does not say.
PLANTED_SEEDS = "0:40"

T = TypeVar("T")
R = TypeVar("R")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument(
        "--seeds", default="", metavar="FROM:TO", help="run these seeds, TO not among them"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="run this one")
    parser.add_argument(
        "--trace", action="store_true", help="with --seed: print everything that happens"
    )
    parser.add_argument(
        "--scenario", choices=sorted(SCENARIOS), help="run this one instead of drawn worlds"
    )
    parser.add_argument(
        "--planted", action="store_true", help="look for planted defects in these seeds"
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="with --planted: those with it in their name"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    asked = parser.parse_args()
    if asked.jobs < 1:
        parser.error(f"--jobs {asked.jobs}: at least one process")
    if asked.scenario:
        return _told(SCENARIOS[asked.scenario](asked.seed or 0, is_told=asked.trace))
    if asked.seed is not None and not asked.planted:
        return _told(simulate(asked.seed, is_told=asked.trace))
    seeds = _seeds_of(asked.seeds or (PLANTED_SEEDS if asked.planted else "0:100"))
    if seeds is None:
        parser.error(
            f"--seeds {asked.seeds}: FROM:TO, two numbers, the second larger; or one number"
        )
    if not asked.planted:
        return run(seeds, asked.jobs)
    faults = [fault for fault in FAULTS if asked.only in fault.name]
    if not faults:
        parser.error(f"--only {asked.only}: no planted defect has that in its name")
    return search(faults, seeds, asked.jobs)


def _seeds_of(text: str) -> range | None:
    first, parted, last = text.partition(":")
    if not first.isdecimal() or (parted and not last.isdecimal()):
        return None
    seeds = range(int(first), int(last) if parted else int(first) + 1)
    return seeds or None


def _told(outcome: Outcome) -> int:
    for line in outcome.lines:
        print(line)
    _print_breaches(outcome)
    print(f"seed {outcome.seed}: {_facts(outcome)}; trace {outcome.trace}")
    return BROKEN if outcome.breaches else 0


def _side_by_side(what: Callable[[T], R], over: Sequence[T], jobs: int) -> Iterator[R]:
    """In order. Each in a process of its own age: what one leaves in memory is not the next
    one's.
    """
    if jobs == 1:
        yield from map(what, over)
        return
    # Started anew, not forked: a fork has whatever the parent had begun.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(what, over)


# --- many worlds --------------------------------------------------------------------------------


def run(seeds: Sequence[int], jobs: int = 1) -> int:
    """All of them, the figures, and the verdict as an exit code."""
    began, faults, states = time.monotonic(), Counter[str](), Counter[str]()
    count, broken, seconds, commands, calls, first = 0, list[int](), 0.0, 0, 0, 0
    for outcome in _side_by_side(simulate, seeds, jobs):
        count += 1
        faults.update(outcome.faults)
        states.update(outcome.states)
        seconds += outcome.virtual_seconds
        commands += outcome.commands
        calls += outcome.calls
        if outcome.breaches:
            broken.append(outcome.seed)
            first = first or count
            _print_breaches(outcome)
    took = time.monotonic() - began
    print(
        f"{count} seeds in {took:.1f} s: {count / took:.2f} seeds/s, {seconds / took:.0f} "
        "simulated s/s"
    )
    print(f"{seconds / 3600:.1f} simulated hours, {commands} commands, {calls} calls of a model")
    print("missions:", ", ".join(f"{n} {state}" for state, n in states.most_common()))
    print("faults:", ", ".join(f"{n} {name}" for name, n in faults.most_common()) or "none")
    if broken:
        print(f"seeds to detection: {first} (seed {broken[0]})")
        print(f"BROKEN by {len(broken)} seeds: {' '.join(map(str, broken))}")
        return BROKEN
    if not faults.total():
        print("UNTRIED: nothing went wrong in any of these worlds")
        return UNTRIED
    print("HELD: no law was broken")
    return 0


def _print_breaches(outcome: Outcome) -> None:
    for breach in outcome.breaches:
        print(f"seed {outcome.seed}: {breach}")
    if outcome.breaches:
        print(f"  again: python -m tests.sim --seed {outcome.seed} --trace", flush=True)


def _facts(outcome: Outcome) -> str:
    states = ", ".join(f"{n} {state}" for state, n in sorted(outcome.states.items()))
    faults = ", ".join(f"{n} {name}" for name, n in sorted(outcome.faults.items()))
    return (
        f"{outcome.virtual_seconds:.0f} simulated s, {outcome.commands} commands, {outcome.calls} "
        f"calls, missions {states or 'none'}, faults {faults or 'none'}"
    )


# --- planted defects ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Detection:
    """The first world that shows a planted defect, and how it was seen there."""

    fault: Fault
    seeds: int = 0  # until it was found, the finding one among them; 0: it was not
    seed: int = 0
    breach: str = ""


def detect(fault: Fault, seeds: Iterable[int]) -> Detection:
    with planted(fault):
        for count, seed in enumerate(seeds, 1):
            outcome = _world_of(fault, seed)
            if outcome.breaches:
                return Detection(fault, count, seed, outcome.breaches[0])
    return Detection(fault)


def _world_of(fault: Fault, seed: int) -> Outcome:
    if fault.scenario:
        return SCENARIOS[fault.scenario](seed)
    return simulate(seed, is_hasty=True)


def search(faults: Sequence[Fault], seeds: Sequence[int], jobs: int = 1) -> int:
    """A table of the planted defects: how many worlds it took to find each."""
    began, missed = time.monotonic(), list[str]()
    print(
        "| planted defect | law | seeds to detection | seen as |",
        "| --- | --- | --- | --- |",
        sep="\n",
    )
    for found in _side_by_side(partial(detect, seeds=seeds), faults, max(jobs, 1)):
        after = str(found.seeds) if found.seeds else f"not in {len(seeds)}"
        if not found.seeds:
            missed.append(found.fault.name)
        print(
            f"| {found.fault.name} | {found.fault.law} | {after} | {_short(found.breach)} |",
            flush=True,
        )
    took = time.monotonic() - began
    print(f"{len(faults) - len(missed)} of {len(faults)} found in {took:.0f} s")
    if missed:
        print("NOT FOUND:", "; ".join(missed))
    return BROKEN if missed else 0


def _short(breach: str) -> str:
    """Without its time, on one line."""
    lines = breach.partition(": ")[2].strip().splitlines() or [""]
    text = lines[0] if len(lines) < 3 else f"{lines[0]} … {lines[-1]}"
    return text.replace("|", "/")[:110]


if __name__ == "__main__":
    sys.exit(main())
