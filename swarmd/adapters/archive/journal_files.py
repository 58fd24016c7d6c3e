"""The journal outside the store: a signing key, signed anchors, sealed segments.

All of it is plain files, and reading and writing them blocks.

    journal/signing.key     Ed25519, PEM, 0600; made at the first start
    journal/signing.pub     its public half; `swarmd journal verify` prints its fingerprint,
                            which is to be noted elsewhere
    journal/SWARM/anchors.jsonl
                            one line an anchor, appended, each naming the one before it
    journal/SWARM/segment-FIRST-LAST.jsonl
                            a header with the state before FIRST, the entries, a signed closing line

    journal/SWARM/writer    a word that whoever opened last wrote: who opened before writes no more

SWARM is the id that the store's server was given when it was first used, so that a data folder that
met several servers keeps their journals apart. Invariant: a segment has its name only when it is
whole, signed and on the disk, and the store is trimmed only after that. Whoever holds Redis cannot
change what is here; whoever holds this folder and its key can, and against him only a copy
elsewhere helps.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swarmd.adapters.archive.durable import sync_folder, write_synced
from swarmd.adapters.archive.segments import (
    ANCHORS,
    Anchor,
    Segment,
    anchor_of,
    read_segment,
    segments,
)
from swarmd.adapters.archive.signing import FileFault, read_signed_line, sign_line, signing_key
from swarmd.core.journal.replay import Link, State, first_state, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.chain import GENESIS, Head, canonical
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import FIRST, StreamId
from swarmd.errors import ArchiveError, NotLeadingError
from swarmd.ports.archive import AnchorKind, Kept, Sealing

# A segment is sealed at whichever comes first. Entries: what a start replays, about 0.2 s; and so
# many stay in Redis for people who tail. Bytes: what is held in memory until then, and read at once
# to check a segment.
SEGMENT_ENTRIES: Final = 4_096
SEGMENT_BYTES: Final = 16 * 1024 * 1024

_WRITER: Final = "writer"


@dataclass(slots=True)
class JournalFiles:
    """The port `Archive` in a folder. One supervisor leads and writes. A former one that does not
    know yet that it leads no more is refused: where the server lost its last second, what that one
    still holds is another past than the one that is written down now.
    """

    folder: Path
    swarm: str
    entries_max: int = SEGMENT_ENTRIES
    _key: Ed25519PrivateKey = field(init=False)
    _claim: str = ""  # what it wrote into `writer` when it opened the files
    _state: State = field(default_factory=State)  # after the last entry that was taken
    _before: State = field(default_factory=State)  # as it was before the first of `_taken`
    _last: Head = field(default_factory=Head)  # of what was taken
    _broken: str = ""  # why nothing is taken until an entry states all anew
    _taken: list[str] = field(default_factory=list)
    _bytes: int = 0
    _first_id: StreamId = FIRST

    @property
    def _own_folder(self) -> Path:
        return self.folder / self.swarm

    # --- the port ---

    def check(self) -> Head:
        with _translate_faults(self.folder), self._prepare_folder():
            last = self._last_anchor()
        return Head() if last is None else last.head

    def open(self) -> Kept:
        with _translate_faults(self.folder), self._prepare_folder():
            self._claim = _claim_writing(self._own_folder / _WRITER)
            last = self._last_anchor()
            sealed = segments(self.folder, self.swarm)
            self._taken, self._bytes, self._broken = [], 0, ""
            self._state, sealed_id = self._end_of(sealed[-1]) if sealed else (State(), FIRST)
        n = sealed[-1].last if sealed else 0
        if last is None:
            return Kept(Head(), None, False, n, sealed_id)
        return Kept(last.head, last.lost, last.kind == "stopped", n, sealed_id)

    def anchor(self, head: Head, at: str, kind: AnchorKind = "anchor") -> None:
        with _translate_faults(self.folder), self._locked_as_writer():
            last = self._last_anchor()
            if kind != "anchor" or last is None or head.n > last.head.n:
                self._append_anchor({"kind": kind, "at": at, **_head_value(head)})

    def recover(self, continues: Head, lost: Head, at: str) -> None:
        with _translate_faults(self.folder), self._locked_as_writer():
            self._append_anchor(
                {"kind": "recovered", "at": at, **_head_value(continues), "lost": _head_value(lost)}
            )
            for segment in segments(self.folder, self.swarm):
                if segment.last > continues.n:
                    aside = segment.path.with_name(f"lost-{continues.n}-{segment.path.name}")
                    segment.path.rename(aside)
            sync_folder(self._own_folder)

    def seal(self, entries: Sequence[tuple[StreamId, str]]) -> Sealing:
        keep_from = None
        with _translate_faults(self.folder), self._locked_as_writer():
            for id, line in entries:
                try:
                    self._take_entry(id, line)
                except Fault as fault:
                    # What was good until here is sealed; what is not is put aside, for people to
                    # look at.
                    keep_from = self._close_segment() if self._taken else keep_from
                    self._broken = f"entry {id}: {fault}"
                if self._broken:
                    self._put_aside(id, line)
                elif len(self._taken) >= self.entries_max or self._bytes >= SEGMENT_BYTES:
                    keep_from = self._close_segment()
        return Sealing(keep_from, self._broken)

    def state(self) -> State:
        return _copy_state(self._state)

    # --- anchors ---

    def _append_anchor(self, value: dict[str, Any]) -> None:
        path = self._own_folder / ANCHORS
        prev = _last_line(path)
        body = value | {
            "v": 1,
            "swarm": self.swarm,
            "prev": hashlib.sha256(prev).hexdigest() if prev else GENESIS,
        }
        is_new = not path.exists()
        write_synced(path, sign_line(body, self._key) + b"\n", mode="ab")
        if is_new:
            sync_folder(self._own_folder)

    def _last_anchor(self) -> Anchor | None:
        raw = _last_line(self._own_folder / ANCHORS)
        if not raw:
            return None
        try:
            where = f"the last line of {ANCHORS}"
            return anchor_of(read_signed_line(raw, self._key.public_key(), where), 0)
        except (FileFault, KeyError) as fault:
            raise ArchiveError(
                f"the journal's anchors in {self._own_folder} are not what was written: {fault}",
                hint=(
                    "`swarmd journal verify` says more; to start all the same, move the folder "
                    "away and keep it"
                ),
            ) from fault

    def _cut_torn_line(self) -> None:
        """What a crash left of an anchor that was never acknowledged."""
        path = self._own_folder / ANCHORS
        if not path.exists():
            return
        with path.open("r+b") as file:
            text = file.read()
            if text and not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
                os.fsync(file.fileno())

    # --- segments ---

    def _end_of(self, segment: Segment) -> tuple[State, StreamId]:
        """The state after a segment's last entry, and that entry's id."""
        try:
            sealed = read_segment(segment, self._key.public_key(), self.swarm)
            state = sealed.state
            for id, line in sealed.entries:
                link = link_of(id, line)
                assert link is not None
                state.follow(link)
        except (FileFault, Fault) as fault:
            raise ArchiveError(
                f"a sealed segment of the journal in {self._own_folder} is not what was written: "
                f"{fault}",
                hint="`swarmd journal verify` says more; moved away (and kept), it is sealed anew "
                "from the server, which still holds the entries of the last one",
            ) from fault
        return state, sealed.entries[-1][0]

    def _take_entry(self, id: StreamId, line: str) -> None:
        """Raises `Fault` for an entry that does not follow."""
        link = link_of(id, line)
        is_first = self._state.head.n == 0
        if self._broken or (is_first and (link is None or link.n > 1)):
            # Passed over until one states all anew. Before the first stand those of a version that
            # did not chain its entries.
            if link is None or link.event != JournalEvent.JOURNAL_RESTATED:
                return
            self._state, self._broken = first_state(link), ""
        if link is None:
            raise Fault("it is not chained")
        self._follow_link(id, link)
        self._keep_row(id, line)

    def _follow_link(self, id: StreamId, link: Link) -> None:
        if not self._taken:
            self._before = _copy_state(self._state)
            self._first_id = id
        self._state.follow(link)
        self._last = self._state.head

    def _keep_row(self, id: StreamId, line: str) -> None:
        row = json.dumps([id, line], ensure_ascii=False, separators=(",", ":"))
        self._taken.append(row)
        self._bytes += len(row)

    def _put_aside(self, id: StreamId, line: str) -> None:
        path = self._own_folder / f"broken-{self._state.head.n + 1:012d}.jsonl"
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps([id, line], ensure_ascii=False) + "\n")

    def _close_segment(self) -> StreamId:
        """Writes the segment; from its first entry on the store goes on keeping them."""
        first, last = self._before.head.n + 1, self._last.n
        path = self._own_folder / f"segment-{first:012d}-{last:012d}.jsonl"
        part = self._own_folder / f".{path.name}.{os.getpid()}"
        write_synced(part, self._signed_segment(first))
        part.rename(path)
        sync_folder(self._own_folder)
        self._taken, self._bytes = [], 0
        return self._first_id

    def _signed_segment(self, first: int) -> bytes:
        facts = {"v": 1, "swarm": self.swarm, "first": first}
        header = canonical(facts | {"kind": "header", "state": self._before.to_json()})
        text = ("\n".join([header, *self._taken]) + "\n").encode("utf-8", "replace")
        sha256, last = hashlib.sha256(text).hexdigest(), self._last
        closing = {"kind": "closing", "last": last.n, "hash": last.hash, "sha256": sha256}
        return text + sign_line(facts | closing, self._key) + b"\n"

    @contextmanager
    def _prepare_folder(self) -> Iterator[None]:
        self._own_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock_folder():
            self._key = signing_key(self.folder)
            self._cut_torn_line()
            yield

    @contextmanager
    def _locked_as_writer(self) -> Iterator[None]:
        with self._lock_folder():
            if (self._own_folder / _WRITER).read_text() != self._claim:
                raise NotLeadingError("another supervisor has opened the journal's files since")
            yield

    @contextmanager
    def _lock_folder(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _claim_writing(path: Path) -> str:
    """Who opens last is the only one that writes, which is looked at before each writing."""
    claim = secrets.token_hex(16)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(claim)
    part.rename(path)
    return claim


def _copy_state(state: State) -> State:
    return State.from_json(json.loads(canonical(state.to_json())))


@contextmanager
def _translate_faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"the journal's folder {folder} cannot be written: {error.strerror or error}",
            hint=(
                "SWARMD_DATA names a folder that the supervisor may write; it keeps the "
                "journal's anchors there"
            ),
        ) from error


def _head_value(head: Head) -> dict[str, Any]:
    return {"n": head.n, "hash": head.hash, "after": head.after}


def _last_line(path: Path) -> bytes:
    """Without its end; empty where there is none. Reads the end of the file only."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            return file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except FileNotFoundError:
        return b""
