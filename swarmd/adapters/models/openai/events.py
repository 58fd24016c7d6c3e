"""The bytes of an answer, cut into what they hold: events of a stream, or JSON documents. Pure.

Invariant: how the bytes were cut into chunks changes nothing, and no more of them is kept than
`bytes_max`.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, NamedTuple

BOM: Final = b"\xef\xbb\xbf"
BLANKS: Final = b" \t\r\n"
# Names of events that say only that the connection lives.
KEEP_ALIVES: Final = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
# The closing mark, with quotes and blanks around it.
END_BYTES_MAX: Final = 32
# Of a line that is no data, enough to see which field it is and what an event is called.
OTHER_LINE_BYTES: Final = 64

_STREAM_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:")

Form = Literal["events", "json", "other"]


class TooLargeError(Exception):
    """A line, an event or a body is larger than anything that is needed of it."""


class Event(NamedTuple):
    """One server-sent event; most have no name."""

    name: str
    data: bytes


class Events:
    """Server-sent events out of the bytes of a stream, however these are cut."""

    __slots__ = (
        "_after_return",
        "_bytes_max",
        "_data",
        "_data_bytes",
        "_head",
        "_line",
        "_line_bytes",
        "_name",
    )

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max` bounds one line, and the data of one event."""
        self._bytes_max = bytes_max
        self._head: bytes | None = b""  # the first bytes, until they cannot be a byte order mark
        # The pieces of a line that has not ended: adding up a long one is quadratic.
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = ""
        self._after_return = False

    def take(self, chunk: bytes) -> list[Event]:
        """The events that end in this chunk; raises `TooLargeError`."""
        chunk = self._without_mark(chunk)
        if not chunk:
            return []
        # A line ends with a newline, a return, or both, which may come in two chunks.
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_return = False
            if not chunk:
                return []
        self._after_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = chunk.split(b"\n")
        self._extend_line(first)
        if not lines:
            return []
        lines[:0] = [b"".join(self._line)]
        self._line, self._line_bytes = [], 0
        self._extend_line(lines.pop())
        return [event for line in lines if (event := self._event_at(line)) is not None]

    def rest(self) -> list[Event]:
        """After the last chunk: an event whose closing line or empty line never came."""
        if self._head:
            self._line, self._head = [self._head], None
        ended = [self._event_at(b"".join(self._line)), self._event_at(b"")]
        self._line, self._line_bytes = [], 0
        return [event for event in ended if event is not None]

    def _without_mark(self, chunk: bytes) -> bytes:
        if self._head is None or not chunk:
            return chunk
        head = self._head + chunk
        if len(head) < len(BOM) and BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(BOM)

    def _extend_line(self, piece: bytes) -> None:
        self._line.append(piece)
        self._line_bytes += len(piece)
        if self._line_bytes <= self._bytes_max:
            return
        start = b"".join(self._line)[:OTHER_LINE_BYTES]
        if start.startswith(b"data"):
            raise TooLargeError(f"a line of the stream has more than {self._bytes_max} bytes")
        # Nothing is needed of a long comment.
        self._line, self._line_bytes = [start], len(start)

    def _event_at(self, line: bytes) -> Event | None:
        if line.startswith(b"data:"):
            self._add_data(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            self._name = line[6:][:OTHER_LINE_BYTES].decode("utf-8", "replace").strip().lower()
        elif not line:
            name, data = self._name, self._data
            self._name, self._data, self._data_bytes = "", [], 0
            return Event(name, b"\n".join(data)) if data else None
        return None

    def _add_data(self, data: bytes) -> None:
        self._data.append(data)
        self._data_bytes += len(data) + 1
        if self._data_bytes > self._bytes_max:
            raise TooLargeError(f"an event of the stream has more than {self._bytes_max} bytes")


def form_of(head: bytes) -> Form | None:
    """What a body is by its first bytes, whatever its media type says; `None`: too few to tell."""
    if BOM.startswith(head):
        return None
    head = head.removeprefix(BOM).lstrip(BLANKS)
    if not head:
        return None
    if head[:1] in (b"{", b"["):
        return "json"
    if head[:1] == b":" or head.startswith(_STREAM_FIELDS):
        return "events"
    return None if any(field.startswith(head) for field in _STREAM_FIELDS) else "other"


def is_end(event: Event) -> bool:
    """Whether the server says with it that nothing follows."""
    # Every piece is asked, and most are too long to be looked at.
    return (
        len(event.data) < END_BYTES_MAX
        and event.data.strip(BLANKS + b"\"'")[:6].upper() == b"[DONE]"
    )


def pieces_of(event: Event) -> list[Any]:
    """The pieces of an answer in one event: none in a sign of life. Raises `ValueError` for bad
    JSON.
    """
    data = event.data.strip(BLANKS)
    if not data or event.name in KEEP_ALIVES:
        return []
    if data[:1] not in (b"{", b"["):
        # A word where a piece should be is a sign of life too, unless it is called an error.
        return [{"error": data.decode("utf-8", "replace")}] if event.name == "error" else []
    pieces = documents_of(data)
    if event.name == "error":
        return [p if isinstance(p, dict) and p.get("error") else {"error": p} for p in pieces]
    return pieces


def documents_of(body: bytes) -> list[Any]:
    """One JSON document, the items of a list, or one document a line; raises `ValueError`."""
    text = body.removeprefix(BOM).decode()
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [json.loads(line) for line in lines]
    return document if isinstance(document, list) else [document]
