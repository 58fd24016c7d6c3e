"""Runs a swarm and looks whether anything of it grows.

    python -m tests.soak [--minutes 10] [--seed 1]

Prints memory, tasks, descriptors, keys and the server's memory, their medians in the middle and in
the last third of the run, and their slopes. Ends with 1 where one of them grew beyond its bound, or
no mission was delivered.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from tests.soak.run import report, soak


def main(minutes: float, seed: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        found = asyncio.run(soak(Path(folder), 60 * minutes, seed))
    print(report(found))
    is_good = (
        all(trend.is_flat for trend in found.trends()) and found.states.get("delivered", 0) > 0
    )
    print(f"verdict: {'flat' if is_good else 'FAILED'}")
    return is_good


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asked = argparse.ArgumentParser()
    asked.add_argument("--minutes", type=float, default=10.0)
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    sys.exit(0 if main(given.minutes, given.seed) else 1)
