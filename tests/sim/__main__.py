"""`python -m tests.sim --seeds 0:10000` runs many worlds and says what came of them; `--seed 7 --trace` shows one.

Ends with 0 where no law was broken, with 7 where one was, and with 1 where nothing went wrong in any world: a
simulation without faults shows nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.sim.scenarios import SCENARIOS
from tests.sim.world import Outcome, simulate

BROKEN, UNTRIED = 7, 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", default="", metavar="FROM:TO", help="run these seeds, TO not among them")
    parser.add_argument("--seed", type=int, metavar="N", help="run this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happens")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="run this one instead of drawn worlds")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    asked = parser.parse_args()
    if asked.scenario:
        return _told(SCENARIOS[asked.scenario](asked.seed or 0, is_told=asked.trace))
    if asked.seed is not None:
        return _told(simulate(asked.seed, is_told=asked.trace))
    first, _, last = (asked.seeds or "0:100").partition(":")
    if not first.isdecimal() or (last and not last.isdecimal()):
        parser.error(f"--seeds {asked.seeds}: FROM:TO, two numbers, or one number for that seed alone")
    return run(range(int(first), int(last or int(first) + 1)), asked.jobs)


def _told(outcome: Outcome) -> int:
    for line in outcome.lines:
        print(line)
    _print_breaches(outcome)
    print(f"seed {outcome.seed}: {_facts(outcome)}; trace {outcome.trace}")
    return BROKEN if outcome.breaches else 0


def run(seeds: Iterable[int], jobs: int = 1) -> int:
    """All of them, the figures, and the verdict as an exit code."""
    began, faults, states = time.monotonic(), Counter[str](), Counter[str]()
    count, broken, seconds, commands, calls = 0, list[int](), 0.0, 0, 0
    with ProcessPoolExecutor(jobs) as pool:
        for outcome in pool.map(simulate, seeds, chunksize=4) if jobs > 1 else map(simulate, seeds):
            count += 1
            faults.update(outcome.faults)
            states.update(outcome.states)
            seconds += outcome.virtual_seconds
            commands += outcome.commands
            calls += outcome.calls
            if outcome.breaches:
                broken.append(outcome.seed)
                _print_breaches(outcome)
    took = time.monotonic() - began
    print(f"{count} seeds in {took:.1f} s: {count / took:.2f} seeds/s, {seconds / took:.0f} simulated s/s")
    print(f"{seconds / 3600:.1f} simulated hours, {commands} commands, {calls} calls of a model")
    print("missions:", ", ".join(f"{n} {state}" for state, n in states.most_common()))
    print("faults:", ", ".join(f"{n} {name}" for name, n in faults.most_common()) or "none")
    if broken:
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
        f"{outcome.virtual_seconds:.0f} simulated s, {outcome.commands} commands, {outcome.calls} calls, "
        f"missions {states or 'none'}, faults {faults or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(main())
