"""A small blocking connection to one server, for what must start fast or asks little.

`import redis` alone takes 90 ms, as it loads its asyncio and cluster clients too.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from swarmd.adapters.redis.connection.address import Address
from swarmd.adapters.redis.connection.errors import AWAY_HINT, refused
from swarmd.errors import StoreUnavailableError, UsageError

if TYPE_CHECKING:
    import ssl

COMMAND_SECONDS: Final = 5.0
"""Until a reply. Longer than a server takes to fsync or to fork for a rewrite, half of a lease."""


NO_SERVER: Final = "what answers there does not speak the Redis protocol"
# Beyond these no answer of a server goes that swarmd asks, and memory is not given to what claims
# to.
LINE_BYTES_MAX: Final = 1 << 20
BULK_BYTES_MAX: Final = 1 << 30
ARRAY_MAX: Final = 1 << 27


class Status(str):
    """A reply such as `OK`, which is no value."""

    __slots__ = ()


class ErrorReply(str):
    """A reply that refuses the command. Returned, not raised: it may stand inside an array."""

    __slots__ = ()


Reply: TypeAlias = "Status | ErrorReply | bytes | int | list[Reply] | None"


class Wire:
    """One blocking connection that speaks RESP2. Raises `StoreUnavailableError` when the server is
    away.

    After such an error the connection is of no more use: a late reply would answer the next
    command.
    """

    def __init__(self, address: Address, *, seconds: float | None = COMMAND_SECONDS) -> None:
        self.address = address
        with self._away():
            self._socket = _dial(self.address, seconds)
        self._replies = self._socket.makefile("rb")
        with ExitStack() as undo:
            undo.callback(self.close)
            self._greet()
            undo.pop_all()

    def command(self, *words: str | bytes | int) -> Reply:
        self.send(*words)
        return self.read()

    def send(self, *words: str | bytes | int) -> None:
        self.send_all((words,))

    def send_all(self, commands: Iterable[Sequence[str | bytes | int]]) -> None:
        """Several at once: to ask each by itself costs more than most answers."""
        with self._away():
            self._socket.sendall(b"".join(map(_packed, commands)))

    def exchange(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Reply]:
        """The answers, in the order of the commands."""
        self.send_all(commands)
        return [self.read() for _ in commands]

    def read(self) -> Reply:
        """The next reply, or the next message where the connection is subscribed."""
        with self._away():
            return self._read()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def wait_without_bound(self) -> None:
        """For a person's subscription, to which nothing may be said for hours; Ctrl-C is its
        bound.
        """
        self._socket.settimeout(None)

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _greet(self) -> None:
        place = self.address
        hellos: list[tuple[str | int, ...]] = []
        if place.password or place.username:
            user = (place.username,) if place.username else ()
            hellos.append(("AUTH", *user, place.password))
        if place.db:
            hellos.append(("SELECT", place.db))
        for hello in hellos:
            reply = self.command(*hello)
            if isinstance(reply, ErrorReply):
                raise refused(reply)

    def _line(self) -> bytes:
        line = self._replies.readline(LINE_BYTES_MAX)
        if line.endswith(b"\r\n"):
            return line
        if len(line) == LINE_BYTES_MAX:
            raise ConnectionError(NO_SERVER)
        raise ConnectionResetError("the server closed the connection")

    def _read(self) -> Reply:
        line = self._line()
        mark, rest = line[:1], line[1:-2]
        if mark == b"+":
            return Status(rest.decode("utf-8", "replace"))
        if mark == b"-":
            return ErrorReply(rest.decode("utf-8", "replace"))
        if mark not in (b":", b"$", b"*"):
            raise ConnectionError(NO_SERVER)
        number = _number(rest)
        if mark == b":":
            return number
        if number < 0:
            return None
        if number > (BULK_BYTES_MAX if mark == b"$" else ARRAY_MAX):
            raise ConnectionError(NO_SERVER)
        return self._bulk(number) if mark == b"$" else [self._read() for _ in range(number)]

    def _bulk(self, size: int) -> bytes:
        bulk = self._replies.read(size + 2)
        if len(bulk) != size + 2:
            raise ConnectionResetError("the server closed the connection")
        return bulk[:-2]

    @contextmanager
    def _away(self) -> Iterator[None]:
        try:
            yield
        # What answers with a number beyond all bounds, or nests without end, is no server either.
        except (OSError, ValueError, OverflowError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreUnavailableError(f"{self.address}: {reason}", hint=AWAY_HINT) from error


def _number(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise ConnectionError(NO_SERVER) from error


def _packed(words: Sequence[str | bytes | int]) -> bytes:
    """A command as the protocol has it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def _dial(place: Address, seconds: float | None) -> socket.socket:
    if place.path:
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with ExitStack() as undo:
            undo.callback(plain.close)
            plain.settimeout(seconds)
            plain.connect(place.path)
            undo.pop_all()
        return plain
    plain = socket.create_connection((place.host, place.port), timeout=seconds)
    if not place.is_tls:
        return plain
    with ExitStack() as undo:
        undo.callback(plain.close)
        wrapped = tls_of(place).wrap_socket(plain, server_hostname=place.host)
        undo.pop_all()
    return wrapped


def tls_of(place: Address) -> ssl.SSLContext:
    """Understands the options that redis-py does, so that one REDIS_URL serves both."""
    try:
        return _context(place.options)
    # What is wrong with a file of one's own is no fault of the server's, and waiting does not mend
    # it.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"REDIS_URL: its TLS options cannot be used: {reason}",
            hint=(
                "ssl_ca_certs, ssl_ca_path, ssl_certfile and ssl_keyfile name files that can be "
                "read"
            ),
        ) from error


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path")
    )
    if options.get("ssl_check_hostname", "true").lower() in ("false", "no", "0"):
        context.check_hostname = False
    if options.get("ssl_cert_reqs", "required") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(certificate, options.get("ssl_keyfile"))
    return context
