"""How a verb ends: the exit codes of the contract, and which error means which.

Invariant: every verb ends with one of these, and a reader of `--json` finds the same word in
`error.code`. Nothing here imports a library: the fastest verbs pass through it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TextIO

from swarmd.cli.render.text import json_text, plain
from swarmd.core.model.names import MissionState
from swarmd.errors import (
    DeclarationError,
    NotFoundError,
    RefusedError,
    StoreFullError,
    StoreUnavailableError,
    StoreUnsuitableError,
    SwarmError,
    UsageError,
)


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    NO_SERVER = 5
    TIMED_OUT = 6
    FINDINGS = 7
    EXHAUSTED = 8
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class TimedOutError(SwarmError):
    """The answer did not come within the time that the caller gave it. Exit 6."""


_CODES: Final[tuple[tuple[type[SwarmError], Exit], ...]] = (
    (UsageError, Exit.USAGE),
    (NotFoundError, Exit.NOT_FOUND),
    (RefusedError, Exit.REFUSED),
    (StoreUnavailableError, Exit.NO_SERVER),
    (StoreUnsuitableError, Exit.NO_SERVER),
    (StoreFullError, Exit.NO_SERVER),
    (TimedOutError, Exit.TIMED_OUT),
    (DeclarationError, Exit.FINDINGS),
)


def exit_of(error: SwarmError) -> Exit:
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


def exit_of_signal(number: int) -> Exit:
    """After an end in good order: what a shell would say of a process that the signal had
    killed.
    """
    import signal  # a verb that only looks ends by none

    return {signal.SIGHUP: Exit.HUNG_UP, signal.SIGINT: Exit.INTERRUPTED}.get(
        signal.Signals(number), Exit.TERMINATED
    )


def exit_of_mission(state: str, reason: str) -> Exit:
    """The exit code of `run` and `submit --wait`, for a mission that has ended."""
    match state:
        case MissionState.DELIVERED:
            return Exit.DONE
        case MissionState.REJECTED:
            return Exit.REFUSED
        case MissionState.EXHAUSTED:
            return Exit.EXHAUSTED
        case MissionState.FAILED if reason.startswith("deadline"):
            return Exit.TIMED_OUT
        case _:
            return Exit.FAILED


def complain(what: str, hint: str, code: Exit, *, as_json: bool, to: TextIO) -> None:
    """One clear line and what to do next, on standard error; with `--json` one object."""
    if as_json:
        error = {"code": code.name, "message": what, "hint": hint}
        print(json_text({"error": error}), file=to)
        return
    print(f"swarmd: {plain(what, multiline=True)}", file=to)
    if hint:
        print(f"hint: {plain(hint)}", file=to)
