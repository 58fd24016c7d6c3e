"""`python -m tests.mutants` puts each known fault into a copy of the tree and says which test saw
it.

Ends with 0 where each was seen, with 7 where one lives, and with 1 where the tests fail without any
fault in the tree: they would then show nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.mutants.run import PASSED, Verdict, judge_all, whole_tree
from tests.mutants.table import Mutant, load

LIVES, UNTRIED = 7, 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--law", type=int, metavar="N", help="only those of this law")
    parser.add_argument("--name", metavar="X", help="only those whose name has X in it")
    parser.add_argument("--jobs", type=int, default=1, help="so many side by side")
    parser.add_argument("--list", action="store_true", help="print the table and run nothing")
    asked = parser.parse_args()
    chosen = [m for m in load() if asked.law in (None, m.law) and (asked.name or "") in m.name]
    if not chosen:
        parser.error("no mutant is of that law and name; --list shows them all")
    if asked.list:
        for mutant in chosen:
            print(f"{mutant.law:>3}  {mutant.name:<34} {mutant.file}::{mutant.where or '*'}")
        return 0
    return run(chosen, asked.jobs)


def run(mutants: list[Mutant], jobs: int) -> int:
    """The table, row by row, the count of each law, and the verdict as an exit code."""
    began = time.monotonic()
    code, output = whole_tree(mutants)
    if code != PASSED:
        print(output)
        print(f"the tests fail on the unchanged tree (pytest ended with {code}): mend that first")
        return UNTRIED
    print(f"the tests pass on the unchanged tree: {time.monotonic() - began:.0f} s")
    print(f"{'law':>3}  {'mutant':<34} {'s':>5}  killed by")
    verdicts = []
    for verdict in judge_all(mutants, jobs):
        verdicts.append(verdict)
        _print(verdict)
    _print_counts(verdicts, time.monotonic() - began)
    return LIVES if any(verdict.lives for verdict in verdicts) else 0


def _print(verdict: Verdict) -> None:
    mutant = verdict.mutant
    outcome = verdict.killed_by or f"LIVES: {verdict.detail}"
    print(f"{mutant.law:>3}  {mutant.name:<34} {verdict.seconds:>5.1f}  {outcome}", flush=True)


def _print_counts(verdicts: list[Verdict], seconds: float) -> None:
    tried = Counter(verdict.mutant.law for verdict in verdicts)
    killed = Counter(verdict.mutant.law for verdict in verdicts if not verdict.lives)
    print()
    for law, count in sorted(tried.items()):
        print(f"law {law:>2}: {killed[law]} of {count} killed")
    print(f"all: {killed.total()} of {tried.total()} killed, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
