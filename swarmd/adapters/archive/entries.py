"""Every entry of the journal that is kept, from the first: sealed segments, then what the store
still holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from swarmd.adapters.archive.segments import read_segment, segments
from swarmd.adapters.archive.signing import FileFault, public_key
from swarmd.core.journal.replay import Link, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.names import StreamId
from swarmd.errors import ArchiveError

Said = Mapping[str, Any]


def entries(
    folder: Path, swarm: str, tail: Iterable[tuple[StreamId, str]]
) -> Iterator[tuple[StreamId, Said]]:
    """Each once, in order, as its line says it. Raises `ArchiveError` for a segment that is not
    what was signed; whether the chain holds is `swarmd journal verify`'s to say.
    """
    return ((id, said) for id, _, said in _each_once(folder, swarm, tail))


def links(folder: Path, swarm: str, tail: Iterable[tuple[StreamId, str]]) -> Iterator[Link]:
    """The same, for whoever needs each to be what its hash says. Raises `ArchiveError` also where
    one is not.
    """
    for id, line, _ in _each_once(folder, swarm, tail):
        try:
            link = link_of(id, line)
        except Fault as fault:
            raise _unreadable(f"entry {id}: {fault}") from fault
        if link is not None:
            yield link


def _each_once(
    folder: Path, swarm: str, tail: Iterable[tuple[StreamId, str]]
) -> Iterator[tuple[StreamId, str, Said]]:
    last = 0
    for id, line in chain(_sealed(folder, swarm), tail):
        said = _said_in(line)
        number = said.get("data", {}).get("n", 0)
        if number > last:
            last = number
            yield id, line, said


def _sealed(folder: Path, swarm: str) -> Iterator[tuple[StreamId, str]]:
    try:
        key = public_key(folder)
        for segment in segments(folder, swarm) if key is not None else ():
            assert key is not None
            yield from read_segment(segment, key, swarm).entries
    except FileFault as fault:
        raise _unreadable(str(fault)) from fault


def _unreadable(why: str) -> ArchiveError:
    return ArchiveError(
        f"the journal cannot be read: {why}",
        hint="`swarmd journal verify` says what is wrong with it",
    )


def _said_in(line: str) -> Said:
    """Empty for what is no entry of ours."""
    try:
        said = json.loads(line)
        is_ours = isinstance(said["data"]["n"], int)
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return said if is_ours else {}
