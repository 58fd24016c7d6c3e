"""One response, read to the end of its answer: by its first bytes, within its deadlines and its
reserve.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio
import httpx2

from swarmd.adapters.models.openai import events
from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.body import beginning_of, chunks_of
from swarmd.adapters.models.openai.faults import (
    BASE_URL_HINT,
    Fault,
    FaultyError,
    fault_in_answer,
    fault_of_status,
)
from swarmd.core.model.declarations import Provider

# By then a body has begun, or it begins with blanks.
HEAD_BYTES_MAX: Final = 1_024
# After a stream has said that this is all: what frames it comes in the same breath, or the
# connection is given up.
DRAIN_SECONDS: Final = 0.1
# After the reason for the end: the usage and the closing mark follow at once, or the server keeps
# them for itself.
END_SECONDS: Final = 2.0
# After the usage, which is the last thing that is needed.
COUNTED_SECONDS: Final = 0.5
# For the page of an error, whose status is known already.
ERROR_PAGE_SECONDS: Final = 5.0
# Of an error page: its JSON is read, and its text is quoted up to a few hundred characters.
ERROR_PAGE_BYTES_MAX: Final = 64 * 1024
# Bytes of an answer for each token of its limit, above which a server has not kept to the limit:
# of long texts, English has about 4.5 a token, code and JSON less, Cyrillic 7, the scripts of India
# and Georgia up to 10. So no honest answer is cut; one that does not end is, by its bytes alone.
OUTPUT_BYTES_OF_TOKEN: Final = 12
# A call of a function is names and braces too, in however few tokens it was written.
BYTES_BESIDE: Final = 256
# One event, or one document, may hold the whole answer: JSON spells a byte with up to six, and
# servers put names, log probabilities and the like around it.
EVENT_BYTES_OF_BYTE: Final = 6
EVENT_BYTES_BESIDE: Final = 256 * 1024
UNREADABLE: Final = "the server sent a piece that can't be read"


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one answer: the tokens that the server is told, unless it takes no limit (`is_sent`), and
    the bytes at which we cut it.
    """

    tokens: int
    is_sent: bool = True

    @property
    def bytes(self) -> int:
        return OUTPUT_BYTES_OF_TOKEN * self.tokens + BYTES_BESIDE

    @property
    def event_bytes(self) -> int:
        """Of one event or document, and of all that is kept of an answer beside its text: more
        cannot be an answer within the limit.
        """
        return EVENT_BYTES_OF_BYTE * self.bytes + EVENT_BYTES_BESIDE


class Deadlines:
    """One scope with a deadline that moves: first token, then idle, the end, and the total over
    all.
    """

    def __init__(
        self, provider: Provider, *, is_stream: bool, begun: Callable[[], None] = lambda: None
    ) -> None:
        """`begun` is called whenever something of the answer was heard."""
        self._provider = provider
        self._begun = begun
        self._total = anyio.current_time() + provider.total_seconds
        self._pieces = 0
        self._end = self._total
        self.scope = anyio.CancelScope()
        # What is not streamed comes all at once, when it is done.
        self._set_deadline(provider.first_token_seconds if is_stream else provider.total_seconds)

    def heard(self) -> None:
        self._pieces += 1
        self._begun()
        self._set_deadline(self._provider.idle_seconds)

    def ending(self, seconds: float) -> None:
        """The answer is there: what may still follow is waited for so long, and signs of life do
        not extend it.
        """
        self._end = min(self._end, anyio.current_time() + seconds)
        self._set_deadline(seconds)

    @property
    def has_heard(self) -> bool:
        return self._pieces > 0

    def passed(self) -> str:
        if anyio.current_time() >= self._total:
            return f"the answer was not complete within {self._provider.total_seconds:g} s"
        if self._pieces:
            return f"the answer stopped for more than {self._provider.idle_seconds:g} s"
        return f"no answer began within {self._provider.first_token_seconds:g} s"

    def _set_deadline(self, seconds: float) -> None:
        self.scope.deadline = min(self._total, self._end, anyio.current_time() + seconds)


async def fault_of(response: httpx2.Response) -> Fault:
    """What a response that is no success says; of its page only the beginning is read, and not
    for long.
    """
    page = b""
    with anyio.move_on_after(ERROR_PAGE_SECONDS), suppress(httpx2.HTTPError):
        page = await beginning_of(response, ERROR_PAGE_BYTES_MAX)
    return fault_of_status(response.status_code, response.headers, page, time.time())


async def read_answer(
    response: httpx2.Response, received: Received, clock: Deadlines, limit: Limit
) -> None:
    """The answer, told by its first bytes and not by its media type: gateways leave that out or
    get it wrong.
    """
    chunks = chunks_of(response)
    head, form = await _read_head(chunks)
    kind = _media_type(response)
    if form == "events" or (form == "other" and kind == "text/event-stream"):
        await _read_stream(head, chunks, response, received, clock, limit)
    elif form == "json":
        await _read_document(head, chunks, response, received, limit)
    elif not head.strip():
        raise FaultyError(Fault("cut", "the answer ended before it began"))
    else:
        what = f"the answer is {kind or 'of no type'} and no stream: {BASE_URL_HINT}"
        # No model wrote a web page.
        raise FaultyError(Fault("server", what, may_have_run=False))


def _media_type(response: httpx2.Response) -> str:
    said: str = response.headers.get("content-type", "")
    return said.partition(";")[0].strip().lower()


async def _read_head(chunks: AsyncIterator[bytes]) -> tuple[bytes, events.Form | None]:
    """The first bytes, until they tell what the body is."""
    head = b""
    async for chunk in chunks:
        head += chunk
        form = events.form_of(head)
        if form is not None:
            return head, form
        if len(head) > HEAD_BYTES_MAX:  # of blanks, which say nothing
            head = head.removeprefix(events.BOM).lstrip(events.BLANKS)
    return head, None


async def _read_stream(
    head: bytes,
    chunks: AsyncIterator[bytes],
    response: httpx2.Response,
    received: Received,
    clock: Deadlines,
    limit: Limit,
) -> None:
    stream = events.Events(limit.event_bytes)
    taken = _Taken(response, received, clock, limit)
    if taken.all(stream.take(head)):
        return await _drain_rest(chunks)
    async for chunk in chunks:
        if taken.all(stream.take(chunk)):
            return await _drain_rest(chunks)
    # Closed in order: what has no empty line behind it is an event all the same, if it can be read.
    with suppress(ValueError):
        taken.all(stream.rest())
    return None


@dataclass(frozen=True, slots=True)
class _Taken:
    """Events into pieces into the answer, with the clock and the reserve looked at after each."""

    response: httpx2.Response
    received: Received
    clock: Deadlines
    limit: Limit

    def all(self, found: list[events.Event]) -> bool:
        """Whether the server said that nothing follows."""
        for event in found:
            if events.is_end(event):
                self.received.has_end = True
                return True
            for raw in events.pieces_of(event):
                for piece in self.received.pieces(raw):
                    self._take_piece(piece)
            if self.received.is_over:
                return True
            if self.received.kept_bytes > self.limit.event_bytes:
                raise FaultyError(Fault("cut", "the answer has more items than its limit allows"))
        return False

    def _take_piece(self, piece: Any) -> None:
        received = self.received
        has_begun = received.has_begun
        if fault := fault_in_answer(piece, self.response.headers, time.time(), has_begun=has_begun):
            raise FaultyError(fault)
        received.take(piece)
        if received.finish:
            self.clock.ending(COUNTED_SECONDS if received.is_counted else END_SECONDS)
        elif piece.get("choices") or piece.get("usage"):
            self.clock.heard()
        # A running count, where a server has one, is believed when it says that it is more. What
        # has ended is not cut: some servers count the mark of the end as one token more.
        counted = received.said.tokens_out or 0
        if received.text_bytes > self.limit.bytes or (
            counted > self.limit.tokens and not received.finish
        ):
            outran = f"the answer outran its limit of {self.limit.tokens} tokens"
            raise FaultyError(Fault("cut", outran))


async def _read_document(
    head: bytes,
    chunks: AsyncIterator[bytes],
    response: httpx2.Response,
    received: Received,
    limit: Limit,
) -> None:
    """The answer of a server that doesn't stream."""
    body = bytearray(head)
    async for chunk in chunks:
        body += chunk
        if len(body) > limit.event_bytes:
            raise events.TooLargeError(f"a document has more than {limit.event_bytes} bytes")
    for raw in events.documents_of(bytes(body)):
        for piece in received.pieces(raw):
            fault = fault_in_answer(
                piece, response.headers, time.time(), has_begun=received.has_begun
            )
            if fault is not None:
                raise FaultyError(fault)
            received.take(piece)
    received.end_document()


async def _drain_rest(chunks: AsyncIterator[bytes]) -> None:
    """To its end, or the connection could not be used again; but that is not waited for."""
    with anyio.move_on_after(DRAIN_SECONDS):
        async for _ in chunks:
            pass


def unfinished(received: Received, clock: Deadlines, limit: Limit) -> Fault:
    if received.is_at_limit:
        return Fault("length", f"Your answer was cut at {limit.tokens:,} tokens. Be shorter.")
    if received.is_broken:
        return Fault("server", f"the server broke off: {received.finish}")
    if clock.scope.cancelled_caught:
        return Fault("timeout", clock.passed())
    return Fault("cut", "the answer ended without its end")


def translated(error: Exception, *, has_begun: bool) -> Fault:
    match error:
        # of ours only connecting has a time-out inside the HTTP client
        case httpx2.TimeoutException():
            return Fault("timeout", "could not connect in time", may_have_run=False)
        case httpx2.ConnectError():
            return Fault("server", f"connection failed: {type(error).__name__}", may_have_run=False)
        case httpx2.HTTPError() | httpx2.StreamError() if has_begun:
            return Fault("cut", f"the answer broke off: {type(error).__name__}")
        case ValueError() | RecursionError():
            return Fault("server", UNREADABLE)
        case _:
            return Fault("server", f"connection failed: {type(error).__name__}")
