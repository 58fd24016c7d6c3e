"""How swarmd reaches a server, what it demands of one, and what the world's failures are called.

Two ways: `connect`, a redis-py pool for what runs long, and `connect_sync`, a small blocking connection for
what must start fast (`import redis` alone takes 90 ms, as it loads its asyncio and cluster clients too).

Invariant: no exception of redis-py and no password passes beyond this package.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from swarmd.errors import StoreFullError, StoreUnavailableError, StoreUnsuitableError, SwarmError, UsageError
from swarmd.logs import logger

if TYPE_CHECKING:
    import ssl

    from redis.asyncio import Redis

REDIS_LEAST: Final = (7, 0)
VALKEY_LEAST: Final = (8, 0)

CONNECTIONS_MAX: Final = 8
"""Of one pool. A worker shares them among all its agents; the next caller waits its turn."""
CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 5.0
"""Until a reply. Longer than a server takes to fsync or to fork for a rewrite, half of a lease."""
HEALTH_SECONDS: Final = 5
"""A connection idle for longer is pinged before it is used: half-open ones give no error by themselves."""

Target: TypeAlias = str | Path
"""A `redis://`, `rediss://` or `unix://` URL, or the path of a socket."""


# --- addresses --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed target. Options are what follows the `?`, such as `ssl_ca_certs`."""

    path: str = ""
    host: str = ""
    port: int = 6379
    db: int = 0
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    is_tls: bool = False
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """For people: without user, password and options."""
        if self.path:
            return self.path
        return f"{'rediss' if self.is_tls else 'redis'}://{self.host}:{self.port}/{self.db}"


def address(target: Target) -> Address:
    """Parses a target. Raises `UsageError`, which does not repeat the URL: it may hold a password."""
    if isinstance(target, Path):
        return Address(path=str(target))
    try:
        return _parsed(target)
    except ValueError as error:
        raise _unreadable() from error


def _parsed(url: str) -> Address:
    from urllib.parse import parse_qsl, unquote, urlsplit

    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    path = unquote(parts.path) if parts.scheme == "unix" else ""
    if parts.scheme not in ("redis", "rediss") and not path:
        raise ValueError("neither a host nor a socket")
    return Address(
        path=path,
        host="" if path else unquote(parts.hostname or "localhost"),
        port=parts.port or 6379,
        db=int(options.pop("db", "") or ("" if path else parts.path.strip("/")) or "0"),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        is_tls=parts.scheme == "rediss",
        options=options,
    )


def _unreadable() -> UsageError:
    return UsageError(
        "the address of the server cannot be read",
        hint="REDIS_URL is redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://… or unix:///PATH",
    )


def shown(target: Target) -> str:
    """The target for a message: without password."""
    return str(address(target))


# --- demands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """What a suitable server said of itself."""

    name: str  # "Redis" or "Valkey"
    version: str
    keeps_aof: bool  # without an append-only file, a restart loses what is not in its last snapshot


def judge(info: Mapping[str, object]) -> Server:
    """Decides on the fields of `INFO` whether swarmd may work on this server; raises where it may not."""
    if str(info.get("loading", "0")) == "1":
        raise StoreUnavailableError("the server is still loading its data", hint="try again in a moment")
    is_valkey = info.get("server_name") == "valkey"
    name, least = ("Valkey", VALKEY_LEAST) if is_valkey else ("Redis", REDIS_LEAST)
    version = str(info.get("valkey_version" if is_valkey else "redis_version", "unknown"))
    if _numbers(version) < least:
        raise StoreUnsuitableError(
            f"the server is {name} {version}", hint="swarmd needs Redis 7.0 or Valkey 8, or later"
        )
    if info.get("role") == "slave":
        raise StoreUnsuitableError(
            "the server is a read-only replica", hint="let REDIS_URL name its primary instead"
        )
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy != "noeviction":
        raise StoreUnsuitableError(
            f"the server may delete data when its memory is full (maxmemory-policy {policy})",
            hint="run `CONFIG SET maxmemory-policy noeviction` on it and keep that in its configuration",
        )
    return Server(name, version, keeps_aof=str(info.get("aof_enabled", "0")) == "1")


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(p) for p in parts) if all(p.isdigit() for p in parts) else ()


async def check_server(redis: Redis) -> Server:
    """Raises `StoreUnsuitableError` or `StoreUnavailableError`; returns what the server is.

    One plain `INFO`: unlike `CONFIG GET` it is seldom denied, and it tells the eviction policy too.
    """
    with translated():
        return judge(await redis.info())


def check_server_sync(wire: Wire) -> Server:
    """As `check_server`, on a blocking connection."""
    reply = wire.command("INFO")
    if isinstance(reply, ErrorReply):
        raise refused(reply)
    assert isinstance(reply, bytes)
    lines = reply.decode("utf-8", "replace").splitlines()
    return judge(dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#")))


# --- failures ---------------------------------------------------------------------------------

_ACCESS_HINT: Final = "check the user and the password in REDIS_URL, and what that user may do"
_RIGHTS_HINT: Final = (
    "REDIS_URL names the user; `swarmd acl` prints what each user of the swarm should be allowed"
)
_AWAY_HINT: Final = "is the server running? REDIS_URL names it; without REDIS_URL, `swarmd up` brings its own"
_TYPE_HINT: Final = "somebody wrote over it: see `swarmd redis-cli TYPE KEY`, and delete or restore that key"
_FULL_HINT: Final = "free disk space or raise maxmemory on the server; nothing was written"

_REFUSALS: Final[tuple[tuple[str, type[SwarmError], str, str], ...]] = (
    ("NOAUTH", StoreUnavailableError, "the server asks for a password", _ACCESS_HINT),
    ("WRONGPASS", StoreUnavailableError, "the server refuses the user or the password", _ACCESS_HINT),
    ("NOPERM", StoreUnsuitableError, "the server's user may not do this", _RIGHTS_HINT),
    # The same within a script, as Redis 7.2 and Valkey say it, and as Redis 7.0 does.
    ("ACL failure in script", StoreUnsuitableError, "the server's user may not do this", _RIGHTS_HINT),
    (
        "user executing the script can't",
        StoreUnsuitableError,
        "the server's user may not do this",
        _RIGHTS_HINT,
    ),
    ("LOADING", StoreUnavailableError, "the server is still loading its data", "try again in a moment"),
    ("BUSY", StoreUnavailableError, "the server is held up by a script", "see `redis-cli SCRIPT KILL`"),
    # A primary becomes a replica in a fail-over, and the next connection finds the new one: worth waiting for.
    ("READONLY", StoreUnavailableError, "the server has become a read-only replica", _AWAY_HINT),
    ("MASTERDOWN", StoreUnavailableError, "the server has lost its primary", _AWAY_HINT),
    ("NOREPLICAS", StoreUnavailableError, "the server has too few replicas to write", _AWAY_HINT),
    ("CLUSTERDOWN", StoreUnavailableError, "the cluster is down", _AWAY_HINT),
    ("WRONGTYPE", StoreUnsuitableError, "a key of the swarm holds something else", _TYPE_HINT),
    ("OOM", StoreFullError, "the server's memory is full", _FULL_HINT),
    ("MISCONF", StoreFullError, "the server cannot write to its disk", _FULL_HINT),
    ("No space left", StoreFullError, "the server's disk is full", _FULL_HINT),
)


def _refusal(text: str) -> SwarmError | None:
    # Inside a script's error the code comes later in the line, so the whole is searched for it as a word.
    words = text.split()
    for code, kind, what, hint in _REFUSALS:
        if code in words or (" " in code and code in text):
            return kind(f"{what}: {text}", hint=hint)
    return None


def refused(reply: ErrorReply) -> SwarmError:
    return _refusal(reply) or SwarmError(f"the server refuses the command: {reply}")


def translate(error: Exception) -> SwarmError:
    """The failure in our words. Meant for redis-py's exceptions and `OSError`; raise it `from` the original.

    After a `StoreUnavailableError` a write may or may not have happened (its reply may be what was lost);
    after a `StoreFullError` it has not.
    """
    from redis import exceptions as redis_errors

    # What fails while a connection is made arrives as a plain ConnectionError, with the reason behind it.
    if isinstance(error, redis_errors.ConnectionError) and isinstance(
        error.__cause__, redis_errors.RedisError
    ):
        error = error.__cause__
    # redis-py takes the code off the message where it has a class for it; here it is put back on.
    codes: tuple[tuple[type[Exception], str], ...] = (
        (redis_errors.AuthenticationError, "WRONGPASS"),
        (redis_errors.AuthorizationError, "NOPERM"),
        (redis_errors.BusyLoadingError, "LOADING"),
        (redis_errors.OutOfMemoryError, "OOM"),
        (redis_errors.ReadOnlyError, "READONLY"),
        (redis_errors.NoPermissionError, "NOPERM"),
        (redis_errors.MasterDownError, "MASTERDOWN"),
        (redis_errors.ClusterDownError, "CLUSTERDOWN"),
    )
    text = str(error) or type(error).__name__
    for kind, code in codes:
        if isinstance(error, kind):
            text = text if text.startswith(code) else f"{code} {text}"
    if refusal := _refusal(text):
        return refusal
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        return StoreUnavailableError(f"the server did not answer in time: {text}", hint=_AWAY_HINT)
    if isinstance(error, redis_errors.ConnectionError | redis_errors.InvalidResponse | OSError):
        return StoreUnavailableError(f"the server cannot be reached: {text}", hint=_AWAY_HINT)
    return SwarmError(f"the server refuses the command: {text}")


@contextmanager
def translated() -> Iterator[None]:
    """Around calls of redis-py: what they raise leaves as a `SwarmError`."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise translate(error) from error


# --- redis-py ---------------------------------------------------------------------------------


async def connect(
    target: Target,
    *,
    name: str = "swarmd",
    connections_max: int = CONNECTIONS_MAX,
    command_seconds: float = COMMAND_SECONDS,
    is_checked: bool = True,
) -> Redis:
    """A client with a bounded pool, checked by `check_server` unless told not to. Close it with `aclose`.

    Nothing is retried: redis-py's default repeats every command up to ten times, writes included, and a
    write whose reply was lost happens twice. What may be repeated is repeated by whoever knows that it may.

    RESP2, as pub/sub costs redis-py nearly twice the processor time on RESP3. Replies are text; bytes that
    are not UTF-8, which any submitter may send, arrive as U+FFFD and do not break the connection. A caller
    beyond `connections_max` waits at most `command_seconds` for a connection.
    """
    redis = _pooled(target, name, connections_max, command_seconds)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(redis.aclose)
        try:
            if is_checked and not (await check_server(redis)).keeps_aof:
                logger(__name__).warning(
                    "the server keeps no append-only file: if it restarts, acknowledged work is lost",
                    hint="run it with `--appendonly yes`",
                )
        except SwarmError as error:
            raise type(error)(f"{shown(target)}: {error.what}", hint=error.hint) from error
        undo.pop_all()
    return redis


def _pooled(target: Target, name: str, connections_max: int, command_seconds: float) -> Redis:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.connection import parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    address(target)  # refuses what cannot be meant; redis-py would take `redis://host/words` as database 0
    ours: dict[str, Any] = {
        "client_name": name,
        "max_connections": connections_max,
        "timeout": command_seconds,
        "socket_timeout": command_seconds,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": HEALTH_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "protocol": 2,
        "decode_responses": True,
        "encoding_errors": "replace",
        "driver_info": None,
    }
    try:
        # Ours come last: an option in the URL must not bring retries or bytes back.
        pool = BlockingConnectionPool(**{**parse_url(_url(target)), **ours})
        # Unconnected and dropped: only a connection says whether it knows the URL's options.
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError) as error:
        raise _unreadable() from error
    return Redis.from_pool(pool)


def _url(target: Target) -> str:
    if isinstance(target, str):
        return target
    from urllib.parse import quote

    return f"unix://{quote(str(target))}"


# --- the small blocking connection ------------------------------------------------------------


class Status(str):
    """A reply such as `OK`, which is no value."""

    __slots__ = ()


class ErrorReply(str):
    """A reply that refuses the command. Returned, not raised: it may stand inside an array."""

    __slots__ = ()


Reply: TypeAlias = "Status | ErrorReply | bytes | int | list[Reply] | None"


class Wire:
    """One blocking connection that speaks RESP2. Raises `StoreUnavailableError` when the server is away.

    After such an error the connection is of no more use: a late reply would answer the next command.
    """

    def __init__(self, target: Target, *, seconds: float | None = COMMAND_SECONDS) -> None:
        self.address = address(target)
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

    def read(self) -> Reply:
        """The next reply, or the next message where the connection is subscribed."""
        with self._away():
            return self._read()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def wait_without_bound(self) -> None:
        """For a person's subscription, to which nothing may be said for hours; Ctrl-C is its bound."""
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

    def _read(self) -> Reply:
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        mark, rest = line[:1], line[1:-2]
        if mark == b"+":
            return Status(rest.decode("utf-8", "replace"))
        if mark == b"-":
            return ErrorReply(rest.decode("utf-8", "replace"))
        if mark not in (b":", b"$", b"*"):
            raise ConnectionError("what answers there does not speak the Redis protocol")
        number = int(rest)
        if mark == b":":
            return number
        if number < 0:
            return None
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
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreUnavailableError(f"{self.address}: {reason}", hint=_AWAY_HINT) from error


def _packed(words: Sequence[str | bytes | int]) -> bytes:
    """A command as the protocol has it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def connect_sync(target: Target, *, seconds: float | None = COMMAND_SECONDS) -> Wire:
    """A blocking connection for verbs that only look: a quarter of the time that redis-py takes to be there."""
    return Wire(target, seconds=seconds)


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
        wrapped = _tls(place).wrap_socket(plain, server_hostname=place.host)
        undo.pop_all()
    return wrapped


def _tls(place: Address) -> ssl.SSLContext:
    """Understands the options that redis-py does, so that one REDIS_URL serves both."""
    import ssl

    options = place.options
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
