"""A thin connection to the server: bytes out in one write, replies back in their order.

redis-py's own cost for a command, 70 to 90 us, is more than the server's and ours together, so the
two connections that a process keeps open (`Pipe` and `Bell`) speak the protocol themselves: hiredis
reads and packs, asyncio carries. Where the server is, is asked before each connection is made:
after a fail-over it is another one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast
from weakref import WeakKeyDictionary

import hiredis

from swarmd.adapters.redis.connection.address import Address, Cluster, Place, Target, place_of
from swarmd.adapters.redis.connection.discovery import Locator, Lookout
from swarmd.adapters.redis.connection.errors import AWAY_HINT, is_refused_for_good, refused
from swarmd.adapters.redis.connection.requirements import Server, judge_info
from swarmd.adapters.redis.connection.sync_client import COMMAND_SECONDS, tls_of
from swarmd.errors import StoreUnavailableError, SwarmError

CONNECT_SECONDS: Final = 5.0
"""For a connection to be made and greeted."""
WATCH_SECONDS: Final = 1.0
"""How long a server may be taken for the primary that is none any more. Each look is a few short
connections.
"""
# Bytes that may wait in this process for the socket: some thousand messages. Beyond it the writer
# is told to wait, and what it holds is bounded by itself.
WRITE_BYTES_MAX: Final = 1 << 20


class Refusal(Exception):  # noqa: N818 - a reply as any other; whoever waits for it decides what it is
    """What the server said instead of doing it."""


class Receiver(Protocol):
    """Whoever a connection was made for. All are called by the loop and must not wait."""

    def replied(self, reply: Any) -> None:
        """The next reply, text as `str`; a `Refusal` is returned like any other."""

    def lost(self, why: StoreUnavailableError) -> None:
        """Said once, after the last reply."""

    def resumed(self) -> None:
        """It takes more to write again (`Connection.is_clogged`)."""


class Connection(Protocol):
    """One connection that was made, and is good until it is lost."""

    @property
    def is_clogged(self) -> bool: ...

    @property
    def heard_at(self) -> float:
        """When something was last heard on it, by the loop's clock."""

    def write(self, packed: Sequence[bytes]) -> None:
        """All of it in one write."""

    def abort(self) -> None:
        """Drop it; `lost` follows."""


class Dial(Protocol):
    """Makes a connection to the server that holds the swarm, wherever that is now."""

    async def __call__(self, receiver: Receiver) -> Connection:
        """Raises `StoreUnavailableError` where it cannot be reached, another `SwarmError` where
        it may not be used.
        """


class _Line(asyncio.Protocol):
    """Implements `Connection`."""

    def __init__(self, receiver: Receiver, *, as_bytes: bool) -> None:
        self._receiver = receiver
        # Bytes that are no UTF-8, which any submitter may send, become U+FFFD and break nothing.
        self._reader = (
            hiredis.Reader(replyError=Refusal)
            if as_bytes
            else hiredis.Reader(encoding="utf-8", errors="replace", replyError=Refusal)
        )
        self._greetings: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._is_nonsense = False
        self._why: SwarmError | None = None  # what it said instead of greeting us
        self._lost: SwarmError | None = None
        self._is_greeted = False
        self.is_clogged = False
        self.heard_at = 0.0

    # --- of asyncio's protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is a transport in all but its class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES_MAX)
        self.heard_at = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                if self._greetings:
                    greeting = self._greetings.popleft()
                    # Its waiter may have run out of time in this very turn of the loop.
                    if not greeting.done():
                        greeting.set_result(reply)
                elif self._is_greeted:
                    self._receiver.replied(reply)
                else:
                    # Said before anything was asked, as a server does that takes no more clients.
                    self._why = refused(str(reply))
                    self.abort()
                    return
        except hiredis.ProtocolError:
            self._is_nonsense = True
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        why = StoreUnavailableError(
            "what answers there does not speak the Redis protocol"
            if self._is_nonsense
            else f"the connection to the server was lost: {exc or 'it closed it'}",
            hint=AWAY_HINT,
        )
        self._lost = self._why or why
        for greeting in self._greetings:
            if not greeting.done():
                greeting.set_exception(self._lost)
        self._greetings.clear()
        if self._is_greeted:
            self._receiver.lost(why)

    def pause_writing(self) -> None:
        self.is_clogged = True

    def resume_writing(self) -> None:
        self.is_clogged = False
        self._receiver.resumed()

    # --- of `Connection` ---

    def write(self, packed: Sequence[bytes]) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            # Its end is on the way to the receiver; asyncio passes over such a write, uvloop does
            # not.
            return
        self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    async def greet(self, hellos: Sequence[tuple[str | int, ...]]) -> None:
        """Say who we are; from then on replies go to the receiver. Raises what the server
        refuses it with.
        """
        if self._lost is not None:
            raise self._lost
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in hellos]
        self._greetings.extend(answers)
        self.write([packed(hello) for hello in hellos])
        for hello, reply in zip(hellos, await asyncio.gather(*answers), strict=True):
            if isinstance(reply, Refusal) and not _may_be_refused(hello, str(reply)):
                raise refused(str(reply))
        self._is_greeted = True


@dataclass(frozen=True, slots=True)
class Dialler:
    """Implements `Dial`: `name` is what the server's `CLIENT LIST` shows; `as_bytes` leaves replies
    as they came.
    """

    place: Place
    locator: Locator
    name: str
    as_bytes: bool = False
    _lines: WeakKeyDictionary[_Line, Address] = field(default_factory=WeakKeyDictionary)

    async def watch(self) -> None:
        """Leave what is connected to a server that another has taken the place of.

        A primary that was cut off, or that wakes late, goes on as one until it is told, for 10 s
        with Sentinel's defaults; all that it is given meanwhile is lost. Run beside whatever uses
        the connections.
        """
        if isinstance(self.place, Address):
            return
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                address = await self.locator.locate()
            except SwarmError:
                # There is none at the moment: what is connected is as good as any.
                continue
            for line, connected in list(self._lines.items()):
                if connected != address:
                    line.abort()

    async def __call__(self, receiver: Receiver) -> Connection:
        address = await self.locator.locate()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                line = await _opened(address, receiver, as_bytes=self.as_bytes)
                with ExitStack() as undo:
                    undo.callback(line.abort)
                    await line.greet(_hellos(address, self.name))
                    undo.pop_all()
        except SwarmError as error:
            raise type(error)(f"{address}: {error.what}", hint=error.hint) from error
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "it does not answer"
            raise StoreUnavailableError(
                f"{address}: the server cannot be reached: {reason}", hint=AWAY_HINT
            ) from error
        self._lines[line] = address
        return line


def dial(
    target: Target, *, namespace: str = "", name: str = "swarmd", as_bytes: bool = False
) -> Dialler:
    """The way to a target. The namespace tells which node of a cluster is meant.

    Raises `UsageError` for a target that cannot be meant; it connects to nothing yet.
    """
    place = place_of(target)
    return Dialler(place, Lookout(place, namespace), name, as_bytes)


@dataclass(slots=True)
class _One:
    """Receives the reply of one command."""

    reply: asyncio.Future[Any]

    def replied(self, reply: Any) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)

    def lost(self, why: StoreUnavailableError) -> None:
        if not self.reply.done():
            self.reply.set_exception(why)

    def resumed(self) -> None:
        pass


async def check_server(way: Dialler) -> Server:
    """What the server is. Raises `StoreUnsuitableError` or `StoreUnavailableError`."""
    one = _One(asyncio.get_running_loop().create_future())
    connection = await way(one)
    try:
        connection.write([packed(("INFO",))])
        async with asyncio.timeout(COMMAND_SECONDS):
            reply = await one.reply
    except TimeoutError as error:
        raise StoreUnavailableError(
            f"{way.place}: the server did not answer in time", hint=AWAY_HINT
        ) from error
    finally:
        connection.abort()
    try:
        if isinstance(reply, Refusal):
            raise refused(str(reply))
        if not isinstance(reply, str):
            raise StoreUnavailableError(
                "what answers there does not speak the Redis protocol", hint=AWAY_HINT
            )
        return judge_info(reply, is_cluster=isinstance(way.place, Cluster))
    except SwarmError as error:
        raise type(error)(f"{way.place}: {error.what}", hint=error.hint) from error


def packed(command: Sequence[Any]) -> bytes:
    """A command as it goes over the wire."""
    try:
        return bytes(hiredis.pack_command(tuple(command)))
    except UnicodeEncodeError:
        # Half of a surrogate pair, as a model's JSON may name one, is no text: it becomes a
        # question mark.
        return bytes(hiredis.pack_command(tuple(map(_encodable, command))))


def _encodable(word: Any) -> Any:
    return word.encode("utf-8", "replace") if isinstance(word, str) else word


async def _opened(place: Address, receiver: Receiver, *, as_bytes: bool) -> _Line:
    loop = asyncio.get_running_loop()

    def made() -> _Line:
        return _Line(receiver, as_bytes=as_bytes)

    if place.path:
        _, line = await loop.create_unix_connection(made, place.path)
    elif place.is_tls:
        _, line = await loop.create_connection(
            made, place.host, place.port, ssl=tls_of(place), server_hostname=place.host
        )
    else:
        _, line = await loop.create_connection(made, place.host, place.port)
    return line


def _may_be_refused(hello: Sequence[str | int], reply: str) -> bool:
    """The name is for whoever reads the server's list of clients. Servers that others run often
    forbid CLIENT.
    """
    return hello[0] == "CLIENT" and is_refused_for_good(reply)


def _hellos(place: Address, name: str) -> list[tuple[str | int, ...]]:
    hellos: list[tuple[str | int, ...]] = []
    if place.password or place.username:
        user = (place.username,) if place.username else ()
        hellos.append(("AUTH", *user, place.password))
    if place.db:
        hellos.append(("SELECT", place.db))
    return [*hellos, ("CLIENT", "SETNAME", name)]
