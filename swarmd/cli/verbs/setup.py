"""Verbs around a swarm: check the declarations, write them out, hand on to a Redis client."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from swarmd.cli import connection
from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import counted, plain
from swarmd.cli.session import note, print_json
from swarmd.settings import Settings


def check(settings: Settings, *, as_json: bool) -> Exit:
    """Prints every fault of the declarations, and on standard error what is lawful and unwise."""
    from swarmd.adapters.config import loader
    from swarmd.cli.verbs.acl import store_names
    from swarmd.core.board.patience import short_times

    faults = loader.faults(settings.policies, settings.channels, store_names())
    if as_json:
        print_json({"faults": list(faults)})
    elif faults:
        print("\n".join(plain(fault) for fault in faults))
    else:
        found = loader.load(settings.policies, settings.channels)
        print(
            f"well declared: {counted(len(found.board.seats), 'seat')}, "
            f"{counted(len(found.roles), 'role')}, {counted(len(found.rooms), 'room')}"
        )
        for remark in short_times(found):
            note(remark)
    if faults:
        note(counted(len(faults), "fault"))
    return Exit.FINDINGS if faults else Exit.DONE


def init(folder: Path, *, as_json: bool) -> Exit:
    """Writes the shipped declarations out; what is there already with other content is never
    overwritten.
    """
    from swarmd.adapters.config import loader

    written = loader.write_out(folder)
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return Exit.DONE
    for path in written:
        print(path)
    note(
        (
            f"edit them, then: swarmd check --policies {folder / 'policies'} --channels "
            f"{folder / 'channels'}"
        )
        if written
        else "nothing to write: all of it is there already"
    )
    return Exit.DONE


def redis_cli(settings: Settings, words: Sequence[str]) -> int:
    """Hands the words on to a client on the swarm's server."""
    from swarmd.adapters.server import client

    with connection.looked_at(settings) as (target, is_momentary):
        if is_momentary:
            note("no swarm is running here: its server is up for this command only")
        return client.run(
            target,
            words,
            sys.stdin.buffer,
            sys.stdout.buffer,
            sys.stderr.buffer,
            client=client.installed(),
            namespace=settings.namespace,
        )
