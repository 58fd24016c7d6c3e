"""What the journal's files hold: signed anchors and sealed segments, each checked as it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swarmd.adapters.archive.signing import FileFault, read_signed_line
from swarmd.core.journal.replay import State, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.chain import GENESIS, Head
from swarmd.core.model.names import StreamId

ANCHORS: Final = "anchors.jsonl"


@dataclass(frozen=True, slots=True)
class Anchor:
    """One line of the anchors: `started`, `anchor`, `stopped`, or `recovered`, which has what was
    `lost` of the store after `head`."""

    kind: str
    head: Head
    lost: Head | None
    at: str
    line: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment by its name; `entries` are read and checked by `read_segment`."""

    path: Path
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment's content: the state before its first entry, and the entries with their line
    numbers.
    """

    state: State
    entries: list[tuple[StreamId, str]]
    hash: str  # of the last entry, as it was signed


def read_anchors(folder: Path, key: Ed25519PublicKey, swarm: str) -> list[Anchor]:
    """All anchors, each signed and each naming the one before it. Raises `FileFault` at the
    first that is not.
    """
    path = folder / swarm / ANCHORS
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileFault(f"{path.name}: it cannot be read: {error.strerror}") from error
    return list(_anchors_in(text, path.name, key, swarm))


def _anchors_in(text: bytes, name: str, key: Ed25519PublicKey, swarm: str) -> Iterator[Anchor]:
    prev = GENESIS
    lines = text.split(b"\n")
    for number, raw in enumerate(lines[:-1], start=1):
        where = f"{name}:{number}"
        value = read_signed_line(raw, key, where)
        try:
            if value["prev"] != prev or value["swarm"] != swarm:
                raise FileFault(f"{where}: it does not follow the line before it")
            yield anchor_of(value, number)
        except (KeyError, TypeError) as error:
            raise FileFault(f"{where}: it is no anchor") from error
        prev = hashlib.sha256(raw).hexdigest()
    if lines[-1]:
        raise FileFault(f"{name}:{len(lines)}: the line is not whole")


def anchor_of(value: dict[str, Any], line: int) -> Anchor:
    lost = value.get("lost")
    return Anchor(value["kind"], _head_of(value), lost and _head_of(lost), value["at"], line)


def swarms(folder: Path) -> list[str]:
    """The ids of the swarms whose journals are kept here."""
    return sorted(path.parent.name for path in folder.glob(f"*/{ANCHORS}"))


def segments(folder: Path, swarm: str) -> list[Segment]:
    """The sealed segments, in order, by their names alone."""
    found = []
    for path in sorted((folder / swarm).glob("segment-*.jsonl")):
        _, first, last = path.stem.split("-") if path.stem.count("-") == 2 else ("", "", "")
        if first.isdecimal() and last.isdecimal():
            found.append(Segment(path, int(first), int(last)))
    return sorted(found, key=lambda segment: segment.first)


def read_segment(segment: Segment, key: Ed25519PublicKey, swarm: str) -> Sealed:
    """Raises `FileFault` where it is not, byte for byte, what was signed."""
    name = segment.path.name
    try:
        raw = segment.path.read_bytes()
    except OSError as error:
        raise FileFault(f"{name}: it cannot be read: {error.strerror}") from error
    lines = raw.split(b"\n")
    if len(lines) < 3 or lines[-1]:
        raise FileFault(f"{name}:{len(lines)}: the last line is not whole")
    closing = _closing_of(segment, raw, lines, key, swarm)
    return _content_of(name, lines, closing)


def _content_of(name: str, lines: Sequence[bytes], closing: dict[str, Any]) -> Sealed:
    try:
        state = State.from_json(json.loads(lines[0])["state"])
        entries = [(StreamId(id), line) for id, line in map(json.loads, lines[1:-2])]
        return Sealed(state, entries, str(closing["hash"]))
    except (ValueError, KeyError, TypeError, Fault) as error:
        raise FileFault(f"{name}: it was signed and cannot be read: {error!r}") from error


def _closing_of(
    segment: Segment, raw: bytes, lines: Sequence[bytes], key: Ed25519PublicKey, swarm: str
) -> dict[str, Any]:
    """The signed last line. Raises `FileFault` where it is not of this segment's bytes."""
    name = segment.path.name
    where = f"{name}:{len(lines) - 1}"
    closing = read_signed_line(lines[-2], key, where)
    signed = len(raw) - len(lines[-2]) - 1
    if closing.get("sha256") != hashlib.sha256(raw[:signed]).hexdigest():
        raise FileFault(f"{name}: {_first_bad_line(lines)}")
    facts = [closing.get(part) for part in ("swarm", "first", "last")]
    if facts != [swarm, segment.first, segment.last]:
        raise FileFault(f"{where}: it closes another segment: {facts}")
    return closing


def _first_bad_line(lines: Sequence[bytes]) -> str:
    """Where the bytes are not those that were signed: found by what they say, for the signature
    covers the whole.
    """
    for number, raw in enumerate(lines[1:-2], start=2):
        try:
            id, line = json.loads(raw)
            if link_of(id, line) is None:
                return f"line {number}: no entry of the journal"
        except (ValueError, TypeError, RecursionError):
            return f"line {number}: it cannot be read"
        except Fault as fault:
            return f"line {number}: {fault}"
    return "its bytes are not those that were signed"


def _head_of(value: dict[str, Any]) -> Head:
    return Head(int(value["n"]), str(value["hash"]), str(value.get("after", GENESIS)))
