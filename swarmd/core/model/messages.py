"""A message: one line of JSON, on a stream as the one field of its entry, and when it rings.

The hot path: a plain slotted dataclass and a hand-written parse instead of a pydantic model, for
each delivered message passes here twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any, Final

from swarmd.core.model.names import AgentId, Channel, MissionId, StreamId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.versions import WIRE_READS, WIRE_VERSION, is_read

# A ring larger than this carries a preview instead: payloads above about 16 KB escape Valkey's
# output-buffer limit (reliability notes in docs/decisions/0003), 4 KB keeps far from it.
RING_BYTES_MAX: Final = 4096


PREVIEW_CHARS: Final = 400


CUT: Final = ',"cut":true}'


# The one field of a stream's entry.
FIELD: Final = "m"


# Made once: `json.dumps` with settings of its own makes an encoder for each call.
_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def text_of(data: Mapping[str, Any]) -> str:
    """A message's data as it goes over the wire."""
    return _PLAIN.encode(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `at` is ISO-8601 UTC; `hops` counts turns since an operator, timer or clerk.

    `key` names the key of a host or of an operator that vouches for it beside the swarm's secret:
    the seal covers the name, and nobody has such a key yet. `id`, `channel` and `serial` are empty
    until it was read from a stream: the first two are its place there, the last is its seal's
    number (`core.bus.envelope`).
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
    key: str = ""
    id: StreamId = StreamId("")
    channel: Channel = Channel("")
    serial: str = ""

    def data_text(self) -> str:
        """`data` as it goes over the wire; empty where there is none."""
        return text_of(self.data) if self.data else ""

    def body(self, data: str, more: str = "") -> str:
        """The line without its braces, in the order that people read it: `from to kind mission at
        text`, `data` where there is any, and then what only programs need. `data` is the message's
        `data_text`; `more` ends it.

        Written out: `json.dumps` of the same takes three times as long, once for each message sent.
        """
        data = f'"data":{data},' if data else ""
        return (
            f'"from":{_quoted(self.sender)},"to":{_quoted(self.to)},"kind":"{self.kind.value}",'
            f'"mission":{_quoted(self.mission)},"at":{_quoted(self.at)},'
            f'"text":{_quoted(self.text)},{data}"hops":{self.hops},"inc":{self.incarnation},'
            f'"v":"{WIRE_VERSION}","key":{_quoted(self.key)}{more}'
        )

    def preview_line(self) -> str:
        """The line that rings for a message that is too long to ring whole."""
        return "{" + replace(self, text=self.text[:PREVIEW_CHARS]).body("", CUT)


@lru_cache(maxsize=16_384)
def channel_head(channel: Channel) -> str:
    """What stands between the ids of a ring and the line."""
    return f'"channel":{_quoted(channel)},'


def fits_a_ring(channel: Channel, line: str) -> bool:
    # A character is at most four bytes: the common short ring is not encoded just to measure it.
    room = RING_BYTES_MAX - len(channel_head(channel))
    return 4 * len(line) <= room or len(line.encode("utf-8", "replace")) <= room


def line_of(words: Sequence[str]) -> str:
    """The line of an entry, from its fields' names and values in turn. Of an entry that has none,
    which is not ours, these words as a JSON list: that is no message, and whoever keeps the line
    keeps what was there.
    """
    names = words[::2]
    return words[2 * names.index(FIELD) + 1] if FIELD in names else _PLAIN.encode(words)


def from_line(channel: Channel, id: StreamId, line: str) -> Message | None:
    """Read the line of a stream's entry, of whatever version; `None` for what is no message of
    ours (somebody else's XADD).
    """
    try:
        return _message_of(channel, id, json.loads(line))
    except _UNREADABLE:
        return None


def read_line(channel: Channel, id: StreamId, line: str) -> Message | Rule:
    """As `from_line`, or the rule by which it is no message: what another release wrote and this
    one does not understand is none either.
    """
    try:
        facts = json.loads(line)
        if not is_understood(facts.get("v")):
            return Rule.ENVELOPE_VERSION
        return _message_of(channel, id, facts) or Rule.ENVELOPE_FORGED
    except _UNREADABLE:
        return Rule.ENVELOPE_FORGED


def _message_of(channel: Channel, id: StreamId, facts: Mapping[str, Any]) -> Message | None:
    """A line's facts as a message. Raises one of `_UNREADABLE` for what are none."""
    data = facts.get("data", {})
    if not all(isinstance(facts[name], str) for name in _TEXTS) or not isinstance(data, dict):
        return None
    return Message(
        sender=AgentId(facts["from"]),
        to=facts["to"],
        kind=Kind(facts["kind"]),
        mission=MissionId(facts["mission"]),
        at=facts["at"],
        text=facts["text"],
        data=data,
        hops=int(facts.get("hops", 0)),
        incarnation=int(facts.get("inc", 0)),
        key=str(facts.get("key", "")),
        id=id,
        channel=channel,
        serial=str(facts.get("serial", "")),
    )


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


_TEXTS: Final = ("from", "to", "mission", "at", "text")


_UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


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
        message = _message_of(channel, id_, ring)
    except _UNREADABLE:
        return None
    return None if message is None else Ring(id_, prev, message)


# Pieces of a body, cut at its quotation marks, where nothing in it had to be escaped and it has no
# data: those of `from to kind mission at text`, `hops` and `inc` between the marks, `v`, `key` and
# `serial`.
_PLAIN_PIECES: Final = 41
_V, _KEY, _SERIAL = 31, 35, 39


def from_body(channel: Channel, id: StreamId, body: str) -> Message | Rule:
    """As `read_line`, of what `Message.body` wrote for a sealed channel: of a line whose code has
    been checked, so that it is known to have.

    Where no value had to be escaped its quotation marks are where they always are: to cut it there
    takes a fifth of the time that reading JSON does.
    """
    pieces = body.split('"') if "\\" not in body else []
    if len(pieces) != _PLAIN_PIECES or pieces[_V] != WIRE_VERSION:
        return read_line(channel, id, "{" + body + "}")
    try:
        return Message(
            sender=AgentId(pieces[3]),
            to=pieces[7],
            kind=Kind(pieces[11]),
            mission=MissionId(pieces[15]),
            at=pieces[19],
            text=pieces[23],
            data=_NO_DATA,
            hops=int(pieces[26][1:-1]),
            incarnation=int(pieces[28][1:-1]),
            key=pieces[_KEY],
            id=id,
            channel=channel,
            serial=pieces[_SERIAL],
        )
    except ValueError:
        return Rule.ENVELOPE_FORGED


# Asked several times of each message: of its own id, and of the id that its channel was read up to.
@lru_cache(maxsize=16_384)
def order_of(id: StreamId) -> tuple[int, int]:
    """A stream id as numbers: ids sort by these, not as text."""
    milliseconds, _, sequence = id.partition("-")
    return int(milliseconds), int(sequence or 0)


def is_stream_id(text: str) -> bool:
    """Would the server read it as an id? Each part is a number of 64 bits."""
    return bool(_ID.fullmatch(text)) and all(part < 2**64 for part in order_of(StreamId(text)))


class Kind(StrEnum):
    """What a message is. Only `REQUEST` and `ORDER` command; everything else is data."""

    SAY = "say"
    DIRECTIVE = "directive"
    REPORT = "report"
    ANSWER = "answer"
    NOTICE = "notice"
    CHARTER = "charter"
    CALL = "call"
    CLOSED = "closed"
    PROPOSAL = "proposal"
    ARGUMENT = "argument"
    RESPONSE = "response"
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
