"""The state as it was after some entry, from the segments and what the store still holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from swarmd.adapters.archive.segments import read_segment, segments
from swarmd.adapters.archive.signing import FileFault, public_key
from swarmd.core.journal.replay import Link, State, followed, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.names import StreamId
from swarmd.errors import ArchiveError

Entry = tuple[StreamId, str]


@dataclass(frozen=True, slots=True)
class Past:
    """The state after `link`, which is the last entry that was not too late."""

    state: State
    link: Link


def at(
    folder: Path, swarm: str, tail: Iterable[Entry], is_later: Callable[[Link], bool]
) -> Past | None:
    """`None` where every entry is later. Raises `ArchiveError` where what leads there cannot be
    followed: past what is broken only an entry leads that states all anew.
    """
    state, last = _begin_state(folder, swarm, is_later)
    fault: Fault | None = None
    for id, line in tail:
        try:
            link = link_of(id, line)
            if link is None or _is_known(state, link):
                continue
            if is_later(link):
                break
            state, last, fault = followed(state, link, fault), link, None
        except Fault as found:
            state, fault = None, fault or Fault(f"entry {id}: {found}")
    if fault is not None:
        raise _broken_error(str(fault)) from fault
    return None if state is None or last is None else Past(state, last)


def _is_known(state: State | None, link: Link) -> bool:
    return state is not None and link.n <= state.head.n


def _begin_state(
    folder: Path, swarm: str, is_later: Callable[[Link], bool]
) -> tuple[State | None, Link | None]:
    """Through the newest segment that begins early enough; its snapshot spares all that is
    older.
    """
    try:
        key = public_key(folder)
        for segment in reversed(segments(folder, swarm) if key is not None else []):
            assert key is not None
            sealed = read_segment(segment, key, swarm)
            first = link_of(*sealed.entries[0])
            if first is not None and not is_later(first):
                return _follow_all(sealed.state, sealed.entries, is_later)
    except (FileFault, Fault) as fault:
        raise _broken_error(str(fault)) from fault
    return None, None


def _follow_all(
    state: State, entries: Iterable[Entry], is_later: Callable[[Link], bool]
) -> tuple[State, Link | None]:
    last = None
    for id, line in entries:
        link = link_of(id, line)
        assert link is not None
        if is_later(link):
            break
        state.follow(link)
        last = link
    return state, last


def _broken_error(what: str) -> ArchiveError:
    return ArchiveError(
        f"the journal cannot be followed: {what}",
        hint="`swarmd journal verify` says what is wrong with it",
    )
