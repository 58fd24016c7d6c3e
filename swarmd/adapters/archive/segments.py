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

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from swarmd.core.journal.replay import State, first_state, link_of
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

_SIGNATURE: Final = ',"signature":"'
_KEY: Final = "signing.key"
_PUBLIC: Final = "signing.pub"
_ANCHORS: Final = "anchors.jsonl"
_WRITER: Final = "writer"


# --- reading: also what `verify` stands on ----------------------------------------------------


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


class FileFault(Exception):  # noqa: N818 - a finding
    """What is wrong with a file: `FILE:LINE: what`."""


def public_key(folder: Path) -> Ed25519PublicKey | None:
    """The key that verifies; `None` where no supervisor has made one. Raises `FileFault`."""
    path = folder / _PUBLIC
    try:
        key = load_pem_public_key(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise FileFault(f"{path.name}: it is no public key") from error
    if not isinstance(key, Ed25519PublicKey) or _public_text(key) != path.read_bytes():
        raise FileFault(f"{path.name}: it is no Ed25519 public key as swarmd writes it")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    return "SHA256:" + hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def read_anchors(folder: Path, key: Ed25519PublicKey, swarm: str) -> list[Anchor]:
    """All anchors, each signed and each naming the one before it. Raises `FileFault` at the
    first that is not.
    """
    path = folder / swarm / _ANCHORS
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileFault(f"{path.name}: it cannot be read: {error.strerror}") from error
    found, prev = [], GENESIS
    lines = text.split(b"\n")
    for number, raw in enumerate(lines[:-1], start=1):
        where = f"{path.name}:{number}"
        value = _signed(raw, key, where)
        try:
            if value["prev"] != prev or value["swarm"] != swarm:
                raise FileFault(f"{where}: it does not follow the line before it")
            lost = value.get("lost")
            found.append(
                Anchor(value["kind"], _head(value), lost and _head(lost), value["at"], number)
            )
        except (KeyError, TypeError) as error:
            raise FileFault(f"{where}: it is no anchor") from error
        prev = hashlib.sha256(raw).hexdigest()
    if lines[-1]:
        raise FileFault(f"{path.name}:{len(lines)}: the line is not whole")
    return found


def swarms(folder: Path) -> list[str]:
    """The ids of the swarms whose journals are kept here."""
    return sorted(path.parent.name for path in folder.glob(f"*/{_ANCHORS}"))


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
    where = f"{name}:{len(lines) - 1}"
    closing = _signed(lines[-2], key, where)
    signed = len(raw) - len(lines[-2]) - 1
    if closing.get("sha256") != hashlib.sha256(raw[:signed]).hexdigest():
        raise FileFault(f"{name}: {_first_bad_line(lines)}")
    facts = [closing.get(part) for part in ("swarm", "first", "last")]
    if facts != [swarm, segment.first, segment.last]:
        raise FileFault(f"{where}: it closes another segment: {facts}")
    try:
        state = State.from_json(json.loads(lines[0])["state"])
        entries = [(StreamId(id), line) for id, line in map(json.loads, lines[1:-2])]
        return Sealed(state, entries, str(closing["hash"]))
    except (ValueError, KeyError, TypeError, Fault) as error:
        raise FileFault(f"{name}: it was signed and cannot be read: {error!r}") from error


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


def _signed(raw: bytes, key: Ed25519PublicKey, where: str) -> dict[str, Any]:
    """A line whose last field is the signature of the rest of it."""
    body, mark, tail = raw.rpartition(_SIGNATURE.encode())
    try:
        if (
            not mark
            or tail[-2:] != b'"}'
            or tail[:-2].decode() != bytes.fromhex(tail[:-2].decode()).hex()
        ):
            raise FileFault(f"{where}: it is not signed")
        key.verify(bytes.fromhex(tail[:-2].decode()), body + b"}")
        value = json.loads(body + b"}")
    except (InvalidSignature, ValueError) as error:
        raise FileFault(f"{where}: its signature is not of what it says") from error
    if not isinstance(value, dict):
        raise FileFault(f"{where}: it is no object")
    return value


def _head(value: dict[str, Any]) -> Head:
    return Head(int(value["n"]), str(value["hash"]), str(value.get("after", GENESIS)))


def _public_text(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# --- writing ----------------------------------------------------------------------------------


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
    def _own(self) -> Path:
        return self.folder / self.swarm

    # --- the port ---

    def check(self) -> Head:
        with _writing(self.folder), self._prepared():
            last = self._last_anchor()
        return Head() if last is None else last.head

    def open(self) -> Kept:
        with _writing(self.folder), self._prepared():
            self._claim = _claimed(self._own / _WRITER)
            last = self._last_anchor()
            sealed = segments(self.folder, self.swarm)
            self._taken, self._bytes, self._broken = [], 0, ""
            self._state, sealed_id = self._end_of(sealed[-1]) if sealed else (State(), FIRST)
        n = sealed[-1].last if sealed else 0
        if last is None:
            return Kept(Head(), None, False, n, sealed_id)
        return Kept(last.head, last.lost, last.kind == "stopped", n, sealed_id)

    def anchor(self, head: Head, at: str, kind: AnchorKind = "anchor") -> None:
        with _writing(self.folder), self._locked_as_writer():
            last = self._last_anchor()
            if kind != "anchor" or last is None or head.n > last.head.n:
                self._append({"kind": kind, "at": at, **_head_value(head)})

    def recover(self, continues: Head, lost: Head, at: str) -> None:
        with _writing(self.folder), self._locked_as_writer():
            self._append(
                {"kind": "recovered", "at": at, **_head_value(continues), "lost": _head_value(lost)}
            )
            for segment in segments(self.folder, self.swarm):
                if segment.last > continues.n:
                    aside = segment.path.with_name(f"lost-{continues.n}-{segment.path.name}")
                    segment.path.rename(aside)
            _sync(self._own)

    def seal(self, entries: Sequence[tuple[StreamId, str]]) -> Sealing:
        keep_from = None
        with _writing(self.folder), self._locked_as_writer():
            for id, line in entries:
                try:
                    self._take(id, line)
                except Fault as fault:
                    # What was good until here is sealed; what is not is put aside, for people to
                    # look at.
                    keep_from = self._close() if self._taken else keep_from
                    self._broken = f"entry {id}: {fault}"
                if self._broken:
                    self._put_aside(id, line)
                elif len(self._taken) >= self.entries_max or self._bytes >= SEGMENT_BYTES:
                    keep_from = self._close()
        return Sealing(keep_from, self._broken)

    def state(self) -> State:
        return _copied(self._state)

    # --- anchors ---

    def _append(self, value: dict[str, Any]) -> None:
        path = self._own / _ANCHORS
        prev = _last_line(path)
        body = value | {
            "v": 1,
            "swarm": self.swarm,
            "prev": hashlib.sha256(prev).hexdigest() if prev else GENESIS,
        }
        is_new = not path.exists()
        with path.open("ab") as file:
            file.write(self._sign(body) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync(self._own)

    def _last_anchor(self) -> Anchor | None:
        raw = _last_line(self._own / _ANCHORS)
        if not raw:
            return None
        try:
            value = _signed(raw, self._key.public_key(), f"the last line of {_ANCHORS}")
            lost = value.get("lost")
            return Anchor(value["kind"], _head(value), lost and _head(lost), value["at"], 0)
        except (FileFault, KeyError) as fault:
            raise ArchiveError(
                f"the journal's anchors in {self._own} are not what was written: {fault}",
                hint=(
                    "`swarmd journal verify` says more; to start all the same, move the folder "
                    "away and keep it"
                ),
            ) from fault

    def _cut_torn_line(self) -> None:
        """What a crash left of an anchor that was never acknowledged."""
        path = self._own / _ANCHORS
        if not path.exists():
            return
        with path.open("r+b") as file:
            text = file.read()
            if text and not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
                os.fsync(file.fileno())

    def _sign(self, value: dict[str, Any]) -> bytes:
        body = canonical(value).encode()
        return body[:-1] + f'{_SIGNATURE}{self._key.sign(body).hex()}"}}'.encode()

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
                f"a sealed segment of the journal in {self._own} is not what was written: {fault}",
                hint="`swarmd journal verify` says more; moved away (and kept), it is sealed anew "
                "from the "
                "server, which still holds the entries of the last one",
            ) from fault
        return state, sealed.entries[-1][0]

    def _take(self, id: StreamId, line: str) -> None:
        """Raises `Fault` for an entry that does not follow."""
        link = link_of(id, line)
        if link is None and self._state.head.n == 0 and not self._broken:
            return  # of a version that did not chain its entries
        if self._broken or (link is not None and self._state.head.n == 0 and link.n > 1):
            if link is None or link.event != JournalEvent.JOURNAL_RESTATED:
                return
            self._state, self._broken = first_state(link), ""
        if link is None:
            raise Fault("it is not chained")
        if not self._taken:
            self._before = _copied(self._state)
            self._first_id = id
        self._state.follow(link)
        self._last = self._state.head
        row = json.dumps([id, line], ensure_ascii=False, separators=(",", ":"))
        self._taken.append(row)
        self._bytes += len(row)

    def _put_aside(self, id: StreamId, line: str) -> None:
        path = self._own / f"broken-{self._state.head.n + 1:012d}.jsonl"
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps([id, line], ensure_ascii=False) + "\n")

    def _close(self) -> StreamId:
        """Writes the segment; from its first entry on the store goes on keeping them."""
        first, last = self._before.head.n + 1, self._last
        header = canonical(
            {
                "v": 1,
                "kind": "header",
                "swarm": self.swarm,
                "first": first,
                "state": self._before.to_json(),
            }
        )
        text = ("\n".join([header, *self._taken]) + "\n").encode("utf-8", "replace")
        closing = {
            "v": 1,
            "kind": "closing",
            "swarm": self.swarm,
            "first": first,
            "last": last.n,
            "hash": last.hash,
            "sha256": hashlib.sha256(text).hexdigest(),
        }
        path = self._own / f"segment-{first:012d}-{last.n:012d}.jsonl"
        part = self._own / f".{path.name}.{os.getpid()}"
        with part.open("wb") as file:
            file.write(text + self._sign(closing) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        _sync(self._own)
        self._taken, self._bytes = [], 0
        return self._first_id

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            self._key = _signing_key(self.folder)
            self._cut_torn_line()
            yield

    @contextmanager
    def _locked_as_writer(self) -> Iterator[None]:
        with self._locked():
            if (self._own / _WRITER).read_text() != self._claim:
                raise NotLeadingError("another supervisor has opened the journal's files since")
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _claimed(path: Path) -> str:
    """Who opens last is the only one that writes, which is looked at before each writing."""
    claim = secrets.token_hex(16)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(claim)
    part.rename(path)
    return claim


def _copied(state: State) -> State:
    return State.from_json(json.loads(canonical(state.to_json())))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
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


def _signing_key(folder: Path) -> Ed25519PrivateKey:
    path, hint = (
        folder / _KEY,
        "restore both halves from a copy; without them no anchor can be verified",
    )
    try:
        key = load_pem_private_key(path.read_bytes(), None)
        public = (folder / _PUBLIC).read_bytes()
    except FileNotFoundError as error:
        if path.exists() or (folder / _PUBLIC).exists():
            raise ArchiveError(
                f"a half of the signing key in {folder} is missing", hint=hint
            ) from error
        return _new_key(folder)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ArchiveError(f"{path} is no signing key", hint=hint) from error
    if not isinstance(key, Ed25519PrivateKey) or _public_text(key.public_key()) != public:
        raise ArchiveError(f"{path} is not the key of {_PUBLIC}", hint=hint)
    return key


def _new_key(folder: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    public = folder / f".{_PUBLIC}.{os.getpid()}"
    public.write_bytes(_public_text(key.public_key()))
    private = folder / f".{_KEY}.{os.getpid()}"
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    public.rename(folder / _PUBLIC)
    private.rename(folder / _KEY)
    _sync(folder)
    return key


def _last_line(path: Path) -> bytes:
    """Without its end; empty where there is none. Reads the end of the file only."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            return file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except FileNotFoundError:
        return b""


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
