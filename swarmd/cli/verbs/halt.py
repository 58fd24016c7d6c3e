"""The halt that goes through the data folder, and what the parts of the daemon there say to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from swarmd.adapters import halt_file
from swarmd.adapters.halt_file import Brake, Part, Word
from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import plain
from swarmd.cli.session import note, print_json
from swarmd.core.model.lineage import EVERYTHING
from swarmd.errors import StoreUnavailableError, WorkspaceError

BUSY_SHOWN: Final = 20
BRAKE_SECONDS: Final = 10.0
"""How long `halt` waits for words that come through the data folder."""
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Braked:
    """The halt of the data folder, and what its parts have said to it."""

    halt_file: Brake
    parts: tuple[Part, ...]  # the living
    words: Mapping[str, Word]

    @property
    def silent(self) -> list[str]:
        return [part.host for part in self.parts if part.host not in self.words]

    @property
    def busy(self) -> dict[str, str]:
        return {agent: what for word in self.words.values() for agent, what in word.busy.items()}

    @property
    def is_quiet(self) -> bool:
        """Every part that lives gave its word, and nothing of any of them still runs."""
        return bool(self.parts) and not self.silent and not self.busy


def braked(data: Path, held: Brake) -> Braked:
    return Braked(
        held,
        tuple(part for part in halt_file.parts(data) if part.is_alive),
        halt_file.words(data, held),
    )


def pull_brake(data: Path, reason: str, by: str) -> Brake | None:
    """The folder's halt, in force from here on; `None`, and told, where the folder cannot be
    written to.
    """
    try:
        return halt_file.pull(data, reason, by, at=time.time())
    except WorkspaceError as error:
        note(f"swarmd: {error.what}; the halt goes through the server alone")
        return None


def await_words(data: Path, held: Brake, seconds: float) -> Braked:
    """Until every part that lives has given its word, or the time is over."""
    end = time.monotonic() + seconds
    while True:
        found = braked(data, held)
        if not found.silent or time.monotonic() >= end:
            return found
        time.sleep(_POLL_SECONDS)


def tell_words(
    data: Path, held: Brake, seconds: float, away: StoreUnavailableError, *, as_json: bool
) -> Exit:
    """What the data folder's parts say to its halt where no server answers. Done only if all of
    them gave their word.

    Raises `away` again where there is none: who else runs that swarm is not known here.
    """
    found = await_words(data, held, seconds)
    if not found.parts:
        raise StoreUnavailableError(
            f"{away.what}; and no part of a swarm works on {data}",
            hint=(
                f"whatever starts there stands still until `swarmd thaw all`: {data / 'halt'} is "
                "kept"
            ),
        ) from away
    if as_json:
        print_json({"verb": "halt", "target": EVERYTHING, "server": "away", **braked_value(found)})
    else:
        say_braked(found)
        note(
            f"the server is away ({away.what}): parts on other machines' folders have not been "
            "asked"
        )
    return Exit.DONE if found.is_quiet else Exit.FAILED


def braked_value(found: Braked) -> dict[str, Any]:
    return {"hosts": [_part_value(part, found.words) for part in found.parts], "busy": found.busy}


def _part_value(part: Part, words: Mapping[str, Word]) -> dict[str, Any]:
    word = words.get(part.host)
    return {
        "host": part.host,
        "hostname": part.hostname,
        "pid": part.pid,
        "halted": word is not None,
        "agents": None if word is None else word.agents,
    }


def say_braked(found: Braked) -> None:
    for part in found.parts:
        word = found.words.get(part.host)
        told = f"halted, agents here: {word.agents}" if word is not None else "gave no word"
        print(plain(f"{part.host} (process {part.pid} on {part.hostname}): {told}"))
    say_busy(found.busy)


def say_busy(busy: Mapping[str, str]) -> None:
    for agent, what in list(busy.items())[:BUSY_SHOWN]:
        note(f"still busy: {plain(agent)} in {plain(str(what))}")
    if len(busy) > BUSY_SHOWN:
        note(f"and {len(busy) - BUSY_SHOWN} more: swarmd stops --json")
