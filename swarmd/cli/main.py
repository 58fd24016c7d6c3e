"""The entrance: `swarmd VERB …`, from the words to an exit code.

Invariant: data goes to standard output, everything else to standard error; bad input gives no
traceback; the exit code is one of `cli.exit_codes.Exit`.

Parsing with typer takes 150 ms, for it brings pydantic, and a health check runs every few seconds.
So the everyday looks, with nothing but switches, are called without it; `verbs` declares the same
switches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from swarmd.cli import connection, streams
from swarmd.cli.exit_codes import Exit, complain, exit_of
from swarmd.errors import SwarmError, UnwritableError
from swarmd.settings import Settings

_SWITCHES: Final = {
    "--json": "json",
    "--all": "all",
    "-a": "all",
    "--quiet": "quiet",
    "-q": "quiet",
}
_SWIFT: Final[dict[str, frozenset[str]]] = {
    "version": frozenset({"json"}),
    "ps": frozenset({"json", "all", "quiet"}),
    "tree": frozenset({"json", "all"}),
    "missions": frozenset({"json"}),
    "health": frozenset({"json"}),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns its exit code. The console script passes it to `sys.exit`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    streams.prepare()
    for stream in (sys.stdout, sys.stderr):
        # Text may hold what this terminal's encoding does not: shown as an escape, never a
        # traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _finished(_invoke(words), words)
    except BrokenPipeError:
        # Who read us has had enough.
        streams.give_up(sys.stdout)
        return Exit.DONE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _invoke(words: list[str]) -> int:
    try:
        swift = _swift(words)
        return int(swift() if swift is not None else _typed(words))
    except SwarmError as error:
        return _failed(error, words)


def _finished(code: int, words: list[str]) -> int:
    """The exit code, once the result has left this process: it may stand in a buffer until now."""
    try:
        sys.stdout.flush()
    except UnwritableError as error:
        return _failed(error, words)
    return code


def _failed(error: SwarmError, words: list[str]) -> int:
    if isinstance(error, UnwritableError):
        streams.give_up(sys.stdout)
    code = exit_of(error)
    complain(error.what, error.hint, code, as_json="--json" in words, to=sys.stderr)
    return code


def _swift(words: Sequence[str]) -> Callable[[], Exit] | None:
    """The verb, where it is one of the everyday looks and every other word is one of its
    switches.
    """
    words = ["version"] if list(words) == ["--version"] else words
    if words and words[0] == "explain":
        return _explains(words[1:])
    verb, given = (words[0] if words else ""), {_SWITCHES.get(word, "") for word in words[1:]}
    if (
        not given <= _SWIFT.get(verb, frozenset({"none"}))
        or verb not in _SWIFT
        or "_SWARMD_COMPLETE" in os.environ
    ):
        return None
    return lambda: _swiftly(verb, given)


def _explains(words: Sequence[str]) -> Callable[[], Exit] | None:
    """`explain`, with at most one code and no other switch than `--json`."""
    codes = [word for word in words if not word.startswith("-")]
    if len(codes) > 1 or {*words} - {*codes, "--json"} or "_SWARMD_COMPLETE" in os.environ:
        return None
    from swarmd.cli.verbs import explain

    return lambda: explain.explain("".join(codes), as_json="--json" in words)


def _swiftly(verb: str, given: set[str]) -> Exit:
    as_json, ended = "json" in given, "all" in given
    if verb == "version":
        connection.version(as_json)
        return Exit.DONE
    settings = Settings.from_env(os.environ)
    if verb == "health":
        from swarmd.cli.verbs import health

        return health.health(settings, as_json)
    from swarmd.cli.verbs import overview

    match verb:
        case "ps":
            see = partial(overview.ps, ended=ended, only_ids="quiet" in given)
        case "tree":
            see = partial(overview.tree, ended=ended)
        case _:
            see = partial(overview.missions)
    return connection.look(settings, as_json, see)


def _typed(words: list[str]) -> int:
    import typer
    from typer.exceptions import TyperException

    from swarmd.cli.commands import app

    command = typer.main.get_command(app)
    try:
        return int(command.main(words, prog_name="swarmd", standalone_mode=False) or 0)
    except SystemExit:
        # typer's own way out of a closed pipe, which is none of ours: who read us has had enough.
        return Exit.DONE
    except typer.Abort:
        return Exit.INTERRUPTED
    except TyperException as error:
        if not error.format_message():
            # No verb at all, or none of a group's: the help, made for a person, was the answer.
            return Exit.USAGE
        verb = words[0] if words[0] in getattr(command, "commands", {}) else ""
        hint = f"see: swarmd {verb} --help" if verb else "see: swarmd --help"
        complain(error.format_message(), hint, Exit.USAGE, as_json="--json" in words, to=sys.stderr)
        return Exit.USAGE if error.exit_code == 2 else Exit.FAILED
