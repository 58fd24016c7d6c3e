"""`python -m tests.chaos NAME [--seed N …]`: one kind of chaos, with figures, counts, seed and
verdict at its end.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from types import ModuleType
from typing import Final

import structlog

from tests.chaos import aof, cancels, failover, kills, rings, slots, steps, takeover

COMMANDS: Final[dict[str, ModuleType]] = {
    "kills": kills,
    "steps": steps,
    "takeover": takeover,
    "rings": rings,
    "cancels": cancels,
    "aof": aof,
    "failover": failover,
    "slots": slots,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    verbs = parser.add_subparsers(dest="name", required=True)
    for name, module in COMMANDS.items():
        assert module.__doc__ is not None
        one = verbs.add_parser(
            name, help=module.__doc__.partition("\n")[0], description=module.__doc__
        )
        one.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
        module.options(one)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"seed {arguments.seed}", file=sys.stderr, flush=True)
    report = COMMANDS[arguments.name].run(arguments)
    print(report.text())
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
