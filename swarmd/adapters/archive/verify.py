"""Puts the journal's files and what the store still holds of it through `core.proof`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from swarmd.adapters.archive.segments import (
    FileFault,
    Segment,
    fingerprint,
    public_key,
    read_anchors,
    read_segment,
    segments,
)
from swarmd.core.journal.verify import Proof, Vouched
from swarmd.core.model.chain import Head
from swarmd.core.model.names import StreamId

Entries = Iterable[tuple[StreamId, str]]


@dataclass(frozen=True, slots=True)
class Tail:
    """What the store holds: the journal's entries, and where it says that they end."""

    entries: Entries
    head: Head


@dataclass(frozen=True, slots=True)
class Proved:
    proof: Proof
    key: str  # the public key's fingerprint, empty where there is none
    segments: int


def prove(folder: Path, swarm: str, store: Callable[[], Tail] | None) -> Proved:
    """The whole journal of a swarm; without a store its files alone. The store is asked after
    the files were read.
    """
    proof, key = Proof(), None
    sealed: list[Segment] = []
    try:
        key = public_key(folder)
        if key is not None:
            anchors = read_anchors(folder, key, swarm)
            proof.anchored(
                [Vouched(a.kind, a.head, a.lost, f"anchors.jsonl:{a.line}") for a in anchors]
            )
    except FileFault as fault:
        proof.unreadable("anchors.jsonl", str(fault), after=-1)
    if key is not None:
        sealed = segments(folder, swarm)
        for segment in sealed:
            try:
                read = read_segment(segment, key, swarm)
            except FileFault as fault:
                proof.unreadable(segment.path.name, str(fault), after=segment.first - 1)
            else:
                proof.segment(segment.path.name, read.state, read.entries)
    if store is not None:
        tail = store()
        proof.want(tail.head.n)
        for id, line in tail.entries:
            proof.stored(id, line)
        proof.ended(tail.head)
    proof.close(files_only=store is None)
    return Proved(proof, "" if key is None else fingerprint(key), len(sealed))
