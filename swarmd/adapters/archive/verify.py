"""Puts the journal's files and what the store still holds of it through `core.journal.verify`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swarmd.adapters.archive.segments import (
    Segment,
    read_anchors,
    read_segment,
    segments,
)
from swarmd.adapters.archive.signing import FileFault, fingerprint, public_key
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
    proof, sealed = Proof(), list[Segment]()
    key = _read_key(proof, folder)
    if key is not None:
        _prove_anchors(proof, folder, key, swarm)
        sealed = segments(folder, swarm)
        for segment in sealed:
            _prove_segment(proof, segment, key, swarm)
    if store is not None:
        _prove_tail(proof, store())
    proof.close(files_only=store is None)
    return Proved(proof, "" if key is None else fingerprint(key), len(sealed))


def _read_key(proof: Proof, folder: Path) -> Ed25519PublicKey | None:
    try:
        return public_key(folder)
    except FileFault as fault:
        proof.unreadable("anchors.jsonl", str(fault), after=-1)
        return None


def _prove_anchors(proof: Proof, folder: Path, key: Ed25519PublicKey, swarm: str) -> None:
    try:
        anchors = read_anchors(folder, key, swarm)
    except FileFault as fault:
        proof.unreadable("anchors.jsonl", str(fault), after=-1)
        return
    proof.anchored([Vouched(a.kind, a.head, a.lost, f"anchors.jsonl:{a.line}") for a in anchors])


def _prove_segment(proof: Proof, segment: Segment, key: Ed25519PublicKey, swarm: str) -> None:
    name = segment.path.name
    try:
        read = read_segment(segment, key, swarm)
    except FileFault as fault:
        proof.unreadable(name, str(fault), after=segment.first - 1)
        return
    proof.segment(name, read.state, read.entries)


def _prove_tail(proof: Proof, tail: Tail) -> None:
    proof.want(tail.head.n)
    for id, line in tail.entries:
        proof.stored(id, line)
    proof.ended(tail.head)
