"""A message: flat fields on a stream, one line of JSON when it rings.

The hot path: a plain slotted dataclass and a hand-written parse instead of a pydantic model, for
each delivered message passes here twice and the fields are strings already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any, Final

from swarmd.core.model.names import FIRST, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.versions import WIRE_READS, WIRE_VERSION, is_read

# A ring larger than this carries a preview instead: payloads above about 16 KB escape Valkey's
# output-buffer limit (reliability notes in docs/decisions/0003), 4 KB keeps far from it.
RING_BYTES_MAX: Final = 4096


PREVIEW_CHARS: Final = 400


CUT: Final = ',"cut":true}'


# Made once: `json.dumps` with settings of its own makes an encoder for each call.
_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def text_of(data: Mapping[str, Any]) -> str:
    """A message's data as it goes over the wire."""
    return _PLAIN.encode(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `at` is ISO-8601 UTC; `hops` counts turns since an operator, timer or clerk.

    `id`, `channel` and `serial` are empty until it was read from a stream: the first two are its
    place there, the last is its seal's number (`core.envelope`).
    """

    sender: AgentId
    kind: Kind
    at: str
    to: str = ""
    mission: MissionId = MissionId("")
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    hops: int = 0
    incarnation: int = 0
    id: StreamId = StreamId("")
    channel: Channel = Channel("")
    serial: str = ""

    def fields(self) -> list[str]:
        """Flat stream fields, in the order people read them: `from to kind mission at text …`."""
        return self.flat(self.data_text())

    def flat(self, data: str) -> list[str]:
        """As `fields`, of a message whose `data_text` is known."""
        more = ("data", data) if data else ()
        return [
            "from",
            self.sender,
            "to",
            self.to,
            "kind",
            self.kind.value,
            "mission",
            self.mission,
            "at",
            self.at,
            "text",
            self.text,
            *more,
            "hops",
            str(self.hops),
            "inc",
            str(self.incarnation),
            "v",
            WIRE_VERSION,
        ]

    def data_text(self) -> str:
        """`data` as it goes over the wire; empty where there is none."""
        return text_of(self.data) if self.data else ""

    def ring_body(self, channel: Channel, data: str) -> str:
        """The ring without its id: `"channel":…}`; the script puts `{"id":…,"prev":…,` before it.

        Where the whole does not fit, a preview with `"cut": true`.
        """
        whole = self.body(channel, data) + "}"
        return whole if fits_a_ring(whole) else self.preview(channel)

    def body(self, channel: Channel, data: str, more: str = "") -> str:
        """All that a ring says but its ids and the closing brace, never cut; `more` ends it."""
        return body_of(
            channel,
            self.sender,
            self.to,
            self.kind.value,
            self.mission,
            self.at,
            self.text,
            data,
            str(self.hops),
            str(self.incarnation),
            WIRE_VERSION,
            more,
        )

    def preview(self, channel: Channel) -> str:
        """What rings for a message that is too long to ring whole."""
        return replace(self, text=self.text[:PREVIEW_CHARS]).body(channel, "", CUT)


def body_of(
    channel: Channel,
    sender: str,
    to: str,
    kind: str,
    mission: str,
    at: str,
    text: str,
    data: str,
    hops: str,
    inc: str,
    v: str,
    more: str,
) -> str:
    """A ring's body from an entry's flat fields as they are. `kind`, `hops` and `inc` must be of
    their form.

    Written out: `json.dumps` of the same takes three times as long, once for each message sent.
    """
    data = f'"data":{data},' if data else ""
    return (
        f'{channel_head(channel)}"from":{_quoted(sender)},"to":{_quoted(to)},"kind":"{kind}",'
        f'"mission":{_quoted(mission)},"at":{_quoted(at)},"text":{_quoted(text)},{data}'
        f'"hops":{hops},"inc":{inc},"v":{_quoted(v)}{more}'
    )


@lru_cache(maxsize=16_384)
def channel_head(channel: Channel) -> str:
    """What the body of every ring on the channel begins with."""
    return f'"channel":{_quoted(channel)},'


def fits_a_ring(body: str) -> bool:
    # A character is at most four bytes: the common short ring is not encoded just to measure it.
    return 4 * len(body) <= RING_BYTES_MAX or len(body.encode("utf-8", "replace")) <= RING_BYTES_MAX


def from_fields(channel: Channel, id: StreamId, flat: Mapping[str, str]) -> Message | None:
    """Read a stream entry; `None` for one that is no message of ours (somebody else's XADD)."""
    try:
        return Message(
            sender=AgentId(flat.get("from", "")),
            to=flat.get("to", ""),
            kind=Kind(flat["kind"]),
            mission=MissionId(flat.get("mission", "")),
            at=flat.get("at", ""),
            text=flat.get("text", ""),
            data=_object(flat.get("data", "")),
            hops=int(flat.get("hops", "0")),
            incarnation=int(flat.get("inc", "0")),
            id=id,
            channel=channel,
            serial=flat.get("serial", ""),
        )
    except (KeyError, ValueError, RecursionError):
        return None


def is_understood(v: object) -> bool:
    """Is a message of this version one that this release reads?"""
    return v == WIRE_VERSION or is_read(v, WIRE_READS)


def unreadable(channel: Channel, id: StreamId, why: Rule = Rule.ENVELOPE_FORGED) -> Message:
    """Stands for an entry that is no message for us, so that whoever reads goes on after it."""
    return Message(
        sender=AgentId(""), kind=Kind.UNREADABLE, at="", text=why.value, id=id, channel=channel
    )


def why_unreadable(message: Message) -> Rule:
    """The rule by which what stands for an entry is no message."""
    return Rule(message.text) if message.text else Rule.ENVELOPE_FORGED


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring as heard: the stream id, the id before it, and the message unless it was cut."""

    id: StreamId
    prev: StreamId
    message: Message | None


_ID: Final = re.compile(r"[0-9]{1,20}(?:-[0-9]{1,20})?")


_NO_DATA: Final[Mapping[str, Any]] = {}


_RING_TEXTS: Final = ("from", "to", "mission", "at", "text")


def from_ring(channel: Channel, line: str | bytes) -> Ring | None:
    """Read a ring; `None` for what is not one (anyone may PUBLISH on a channel's name)."""
    try:
        ring = json.loads(line)
        id_, prev = StreamId(ring["id"]), StreamId(ring["prev"])
        order_of(id_), order_of(prev)
        if ring.get("cut") or not is_understood(ring.get("v")):
            # Of another version no more is read than where it stands; what is wrong with it, its
            # entry tells.
            return Ring(id_, prev, None)
        data = ring.get("data", {})
        if not all(isinstance(ring[name], str) for name in _RING_TEXTS):
            return None
        message = Message(
            sender=AgentId(ring["from"]),
            to=ring["to"],
            kind=Kind(ring["kind"]),
            mission=MissionId(ring["mission"]),
            at=ring["at"],
            text=ring["text"],
            data=data if isinstance(data, dict) else {},
            hops=int(ring.get("hops", 0)),
            incarnation=int(ring.get("inc", 0)),
            id=id_,
            channel=channel,
            serial=str(ring.get("serial", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return Ring(id_, prev, message)


# Pieces of a body, cut at its quotation marks, where nothing in it had to be escaped and it has no
# data.
_PLAIN_PIECES: Final = 41


def from_body(channel: Channel, id: StreamId, body: str) -> Message | None:
    """Read what `body_of` wrote: of a ring whose code has been checked, so that it is known to
    have. `None` for what another release wrote and this one does not read.

    Where no value had to be escaped its quotation marks are where they always are: to cut it there
    takes a fifth of the time that reading JSON does.
    """
    pieces = body.split('"') if "\\" not in body else []
    if len(pieces) != _PLAIN_PIECES:
        ring = from_ring(channel, f'{{"id":"{id}","prev":"{FIRST}",{body}}}')
        return ring.message if ring is not None else None
    if not is_understood(pieces[35]):
        return None
    try:
        return Message(
            sender=AgentId(pieces[7]),
            to=pieces[11],
            kind=Kind(pieces[15]),
            mission=MissionId(pieces[19]),
            at=pieces[23],
            text=pieces[27],
            data=_NO_DATA,
            hops=int(pieces[30][1:-1]),
            incarnation=int(pieces[32][1:-1]),
            id=id,
            channel=channel,
            serial=pieces[39],
        )
    except ValueError:
        return None


# Asked several times of each message: of its own id, and of the id that its channel was read up to.
@lru_cache(maxsize=16_384)
def order_of(id: StreamId) -> tuple[int, int]:
    """A stream id as numbers: ids sort by these, not as text."""
    milliseconds, _, sequence = id.partition("-")
    return int(milliseconds), int(sequence or 0)


def is_stream_id(text: str) -> bool:
    """Would the server read it as an id? Each part is a number of 64 bits."""
    return bool(_ID.fullmatch(text)) and all(part < 2**64 for part in order_of(StreamId(text)))


def _object(text: str) -> Mapping[str, Any]:
    if not text:
        return {}
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("data is not an object")
    return value


class Kind(StrEnum):
    """What a message is. Only `REQUEST` and `ORDER` command; everything else is data."""

    SAY = "say"
    DIRECTIVE = "directive"
    REPORT = "report"
    ANSWER = "answer"
    NOTICE = "notice"
    CHARTER = "charter"
    CALL = "call"
    PROPOSAL = "proposal"
    ARGUMENT = "argument"
    VOTE = "vote"
    DIGEST = "digest"
    DEAD = "dead"
    REQUEST = "request"
    ORDER = "order"
    RESULT = "result"
    ENTRY = "entry"
    PLACED = "placed"
    FENCED = "fenced"
    STOPPED = "stopped"
    THAWED = "thawed"
    UNREADABLE = "unreadable"
