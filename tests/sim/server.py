"""The server: the product's own scripts on fakeredis, on the simulation's clock. It can lose its
last second.

Everything that writes is logged with its time, as an append-only file does; a server that lost its
last second is a new one to which the log but for that second was told again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, Final

import fakeredis._helpers
import fakeredis._socket._base
import fakeredis.model._stream
from fakeredis import FakeServer, FakeStrictRedis
from fakeredis.commands_mixins import scripting_mixin as mixin
from redis.exceptions import NoScriptError

from swarmd.adapters.redis.connection.connection import Refusal
from swarmd.adapters.redis.connection.sync_client import ErrorReply
from swarmd.adapters.redis.lua import script

scripting_mixin: Any = mixin
# Where fakeredis takes the time from.
_CLOCKED: Final[tuple[Any, ...]] = (
    fakeredis._helpers,
    fakeredis._socket._base,
    fakeredis.model._stream,
)
_NAMES: Final = {
    script(name).sha: name
    for name in ("accounts", "begin", "commit", "end", "lead", "post", "supervise")
}
_READS: Final = frozenset(
    {
        "XRANGE",
        "XREVRANGE",
        "GET",
        "HGETALL",
        "HGET",
        "HMGET",
        "HKEYS",
        "SMEMBERS",
        "ZRANGE",
        "EXISTS",
        "PTTL",
        "PING",
    }
)
# The order of these replies is nobody's promise.
_UNORDERED: Final = frozenset({"SMEMBERS"})

NAMESPACE: Final = "t"

# Texts that stand under the digests of others, in every server: for tests of what the simulation
# sees.
PLANTED: Final[dict[str, str]] = {}

# The simulation begins at this moment: seconds since the epoch.
START: Final = 1_800_000_000.0

# A script leaves some tables behind; collected after each, that would be a fifth of all that a
# simulation costs.
_COLLECTS_EVERY: Final = 200

Word = str | int | float
Ring = tuple[str, str]


@contextmanager
def clocked(now: Callable[[], float]) -> Iterator[None]:
    """fakeredis lives by this clock meanwhile."""
    clock, before = SimpleNamespace(time=now, monotonic=now), _CLOCKED[0].time
    for module in _CLOCKED:
        module.time = clock
    try:
        yield
    finally:
        for module in _CLOCKED:
            module.time = before


class _Lua:
    """fakeredis's runtime of Lua. A script is compiled once, and what is left over is collected
    now and then.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[bytes, Callable[[], Any]] = {}
        self._executed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, text: bytes | str) -> Any:
        if isinstance(text, str):
            self._executed += 1
            return self._runtime.execute(text) if self._executed % _COLLECTS_EVERY == 0 else None
        if text not in self._compiled:
            self._compiled[text] = self._runtime.compile(text)
        return self._compiled[text]()


@contextmanager
def thrifty() -> Iterator[None]:
    """fakeredis does not do again for each command what it did for the last. That no script leaves
    a global behind is for the contract suite to say, on real servers."""
    before = scripting_mixin._check_for_lua_globals
    scripting_mixin._check_for_lua_globals = lambda *_: None
    try:
        yield
    finally:
        scripting_mixin._check_for_lua_globals = before


@dataclass(slots=True)
class Server:
    """`now` is its clock in seconds since the epoch. `heard` takes what is published, `about` and
    `saw` each command before it is done and with its answer."""

    now: Callable[[], float]
    chance: random.Random
    is_logged: bool = True
    is_up: bool = True
    says: str = ""  # what it refuses with, to what writes; `LOADING …` to everything
    boots: int = 0
    executed: int = 0
    about: Callable[[str, Sequence[str]], None] = lambda *_: None
    saw: Callable[[str, str, Sequence[str], Any], None] = lambda *_: None
    heard: Callable[[str, str], None] = lambda *_: None
    _log: list[tuple[float, tuple[bytes, ...]]] = field(default_factory=list)
    _at: float = 0.0  # while the log is told again, when that was
    _connection: Any = None
    _listener: Any = None

    def __post_init__(self) -> None:
        self._boot()

    def _boot(self) -> None:
        fake = FakeServer()
        self._connection = self._connect(fake)
        self._listener = self._connect(fake)
        self._raw(self._listener, (b"PSUBSCRIBE", NAMESPACE.encode() + b":*"))
        self.boots += 1
        self._plant()

    def _plant(self) -> None:
        for sha, text in PLANTED.items():
            self._connection._server.script_cache[sha.encode()] = text.encode()

    @staticmethod
    def _connect(fake: FakeServer) -> Any:
        """A connection below the client: what it is told is a list of words, what it answers
        bytes.
        """
        client = FakeStrictRedis(server=fake, protocol=2)
        connection = client.connection_pool.get_connection()
        socket: Any = connection._sock
        lua: Any = fake
        if not isinstance(getattr(lua, "_lua_runtime", None), _Lua):
            lua._lua_runtime = _Lua(socket._get_server_runtime(fake))
        socket.responses = SimpleQueue()
        # The client would close its socket when it is collected.
        socket.owners = (client, connection)
        return socket

    @staticmethod
    def _raw(socket: Any, words: Sequence[bytes]) -> Any:
        socket._process_command(list(words))
        return socket.responses.get_nowait()

    # --- commands ---

    def execute(self, who: str, raw: Sequence[bytes]) -> Any:
        """One command of one process; its reply as the client reads it, a `Refusal` like any
        other.
        """
        assert self.is_up
        words = [word.decode("utf-8", "replace") for word in raw]
        name = _NAMES.get(words[1], words[0]) if words[0] == "EVALSHA" else words[0]
        if name == "INFO":
            return (
                f"# Server\r\nrun_id:{self.boots}\r\nserver_time_usec:{int(self.now() * 1e6)}\r\n"
            )
        refusal = self._refusal(words[0])
        if refusal:
            return Refusal(refusal)
        self.executed += 1
        self.about(name, words)
        reply = self._raw(self._connection, raw)
        # What was refused changed nothing. Told again to a server that has its script by then, it
        # would.
        if self.is_logged and words[0] not in _READS and not isinstance(reply, Exception):
            self._log.append((self.now(), tuple(raw)))
        answer: Any = Refusal(_said(reply)) if isinstance(reply, Exception) else _text(reply)
        if words[0] == "SCRIPT":
            self._plant()
        if words[0] in _UNORDERED:
            answer.sort()
            self.chance.shuffle(answer)
        self.saw(who, name, words, answer)
        self._ring()
        return answer

    def _refusal(self, verb: str) -> str:
        """What the server says to everything, or to what writes, in the state that it is in."""
        if self.says.startswith("LOADING") or (self.says and verb not in _READS):
            return self.says
        return ""

    def ask(self, *words: Word) -> Any:
        """As nobody: what tests look at leaves no trace."""
        reply = self._raw(self._connection, tuple(_packed(word) for word in words))
        if isinstance(reply, Exception):
            raise reply
        return _text(reply)

    def _ring(self) -> None:
        queue = self._listener.responses
        while not queue.empty():
            _, _, channel, line = queue.get_nowait()
            self.heard(channel.decode(), line.decode())

    # --- ends ---

    def restart(self) -> None:
        """Another process on the same data: no script, and nobody connected."""
        self.boots += 1
        self._raw(self._connection, (b"SCRIPT", b"FLUSH"))
        self._plant()

    def lose(self, seconds: float) -> float:
        """What was written in the last seconds is gone. Returns the time up to which all is
        kept.
        """
        until = self.now() - seconds
        kept = [entry for entry in self._log if entry[0] <= until]
        self._log = kept
        self._boot()
        with clocked(lambda: self._at):
            for self._at, raw in kept:
                self._raw(self._connection, raw)
        # What rang then was heard then.
        while not self._listener.responses.empty():
            self._listener.responses.get_nowait()
        return until

    # --- for those who look from outside ---

    def wire(self) -> Any:
        """In place of a blocking connection, as `View` wants one."""
        return _Wire(self)


@dataclass(slots=True)
class _Wire:
    server: Server
    address: str = "simulated"
    _replies: list[Any] = field(default_factory=list)

    def send_all(self, commands: Sequence[Sequence[bytes]]) -> None:
        for command in commands:
            reply = _reply(self.server._raw(self.server._connection, tuple(command)))
            # A server's answer to TYPE is a status, which fakeredis gives as bytes.
            is_status = command[0] == b"TYPE" and isinstance(reply, bytes)
            self._replies.append(reply.decode() if is_status else reply)

    def read(self) -> Any:
        return self._replies.pop(0)

    def exchange(self, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        self.send_all(commands)
        return [self.read() for _ in commands]

    def close(self) -> None:
        self._replies.clear()


def _reply(found: Any) -> Any:
    if isinstance(found, Exception):
        return ErrorReply(_said(found))
    return [_reply(part) for part in found] if isinstance(found, list) else found


def _said(error: Exception) -> str:
    """As the server said it: redis-py's own exceptions have lost the code."""
    return f"NOSCRIPT {error}" if isinstance(error, NoScriptError) else str(error)


def _packed(word: Word) -> bytes:
    return (word if isinstance(word, str) else repr(word)).encode("utf-8", "replace")


def _text(reply: Any) -> Any:
    if isinstance(reply, bytes):
        return reply.decode()
    if isinstance(reply, list):
        return [_text(part) for part in reply]
    return reply
