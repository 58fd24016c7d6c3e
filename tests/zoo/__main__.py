"""`python -m tests.zoo`: every mind of the zoo with so many seeds, and the table of what was found.

Ends with 0 where each fault was found by its detector within three turns and nothing else was
found, and with 7 where not.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

import structlog

from tests.zoo.keeper import ALL, Seen, table

WRONG = 7
SEEDS = 50


def watched(name: str, seed: int) -> Seen:
    """One run, in a process of its own kind: what the daemon logs is not shown."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return ALL[name](seed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"of each mind; {SEEDS}")
    parser.add_argument("--only", default="", help="minds whose name has this in it")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side; 1")
    args = parser.parse_args()
    runs = [(name, seed) for name in ALL if args.only in name for seed in range(args.seeds)]
    with ProcessPoolExecutor(args.jobs) as pool:
        seen = list(pool.map(watched, *zip(*runs, strict=True)))
    wrong = [one for one in seen if not one.is_right]
    for line in [*table(seen), "", *(f"WRONG {one}" for one in wrong)]:
        sys.stdout.write(line + "\n")
    return WRONG if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
