"""The read side: what the faces show, read from the contract's keys.

`View` blocks, on the small connection that starts as fast as Python does, with no retry inside;
`AsyncView` blocks nobody. What they read stands once, in queries. Invariant: nothing here writes.
"""

from __future__ import annotations

import select
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from swarmd.adapters.redis import channel_queries, health_queries, queries
from swarmd.adapters.redis.connection.address import Address, Target
from swarmd.adapters.redis.connection.errors import refused
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Wire
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.query import BATCH, Query, asked, is_of_another_type, text_in
from swarmd.adapters.redis.shapes import fits
from swarmd.core.model.names import FIRST, Channel, StreamId
from swarmd.errors import StoreUnsuitableError

if TYPE_CHECKING:
    from swarmd.adapters.redis.connection.async_client import AsyncWire
    from swarmd.ports.reader import AsyncNotifications, Notifications, Page

AWAY_SECONDS: Final = 60.0
"""How long a server may be away for who set no time. A restart or a fail-over takes less than
half of it.
"""
# Keys that one SCAN walks past: the server's one thread is held for less than a millisecond.
_SCAN_COUNT: Final = "1000"

P = ParamSpec("P")
T = TypeVar("T")

Command = Sequence[str | bytes]


class Line(Protocol):
    """What questions are sent over: `Wire`, or one that is made anew when it is lost."""

    address: Address

    def exchange(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Reply]: ...

    def close(self) -> None: ...


def run_query(wire: Line, query: Query[T]) -> T:
    """The answer of a query."""
    replies: list[Any] = []
    try:
        commands = next(query)
        while True:
            replies = wire.exchange(_packed(commands))
            demand_answers(wire, commands, replies)
            commands = query.send(replies)
    except StopIteration as done:
        answer: T = done.value
        return answer


async def run_query_async(wire: AsyncWire, query: Query[T]) -> T:
    """As `run_query`."""
    replies: list[Any] = []
    try:
        commands = next(query)
        while True:
            replies = await wire.exchange(_packed(commands))
            demand_answers(wire, commands, replies)
            commands = query.send(replies)
    except StopIteration as done:
        answer: T = done.value
        return answer


def ask(wire: Line, *commands: Sequence[str]) -> list[Any]:
    """The answers, as text, in the order of the commands; an error among them is raised."""
    return run_query(wire, asked(*commands))


def names_from(wire: Line, keys: Keys, stem: str = "") -> Iterator[list[str]]:
    """The names of all keys whose name begins with `stem`, some at a time and without the
    namespace. A key that is there throughout is among them, perhaps twice.
    """
    prefix, cursor = keys.prefix, "0"
    pattern = "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix + stem) + "*"
    while True:
        command = ["SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT]
        cursor, found = ask(wire, command)[0]
        yield [name.removeprefix(prefix) for name in found]
        if cursor == "0":
            return


def _at_once(wire: Line, commands: Sequence[Sequence[str]]) -> list[Any]:
    """The answers of one transaction. Each of its commands is answered twice: that it waits, and
    then with the rest.
    """
    replies = wire.exchange(_packed([["MULTI"], *commands, ["EXEC"]]))
    for reply in replies:
        if isinstance(reply, ErrorReply):
            raise refused(reply)
    answers = replies[-1]
    if not isinstance(answers, list) or len(answers) != len(commands):
        raise _nonsense(wire, "EXEC")
    demand_answers(wire, commands, answers)
    return answers


def demand_answers(
    wire: Line | AsyncWire, commands: Sequence[Command], replies: Sequence[Reply]
) -> None:
    """Raises `StoreUnsuitableError` for what is no answer to its command."""
    for command, reply in zip(commands, replies, strict=True):
        if not fits(str(command[0]), reply):
            raise _nonsense(wire, str(command[0]))


def _nonsense(wire: Line | AsyncWire, command: str) -> StoreUnsuitableError:
    return StoreUnsuitableError(
        f"{wire.address}: what answers there gives no answer to {command}",
        hint="does REDIS_URL name a Redis or Valkey server?",
    )


def _packed(commands: Sequence[Command]) -> list[list[bytes]]:
    # An argument of the command line may carry bytes that were no text; they match no key, and harm
    # nothing.
    return [
        [
            word if isinstance(word, bytes) else word.encode("utf-8", "surrogateescape")
            for word in one
        ]
        for one in commands
    ]


def ask_ours(
    wire: Line, *commands: Sequence[str], is_at_once: bool = False
) -> tuple[list[Any], frozenset[str]]:
    """As `ask`, or in one transaction; what is asked of a key of another type is answered as if
    there were none. And those keys.
    """
    answers: list[Any] = []
    if is_at_once:
        answers = _at_once(wire, commands)
    for start in range(0, 0 if is_at_once else len(commands), BATCH):
        batch = commands[start : start + BATCH]
        replies = wire.exchange(_packed(batch))
        demand_answers(wire, batch, replies)
        answers += replies
    wrong: set[str] = set()
    for at, (command, answer) in enumerate(zip(commands, answers, strict=True)):
        if is_of_another_type(answer):
            wrong.add(command[1])
            answers[at] = _NOTHING.get(command[0], [])
        elif answer == _NO_STREAM:
            answers[at] = []
        elif isinstance(answer, ErrorReply):
            raise refused(answer)
        else:
            answers[at] = text_in(answer)
    return answers, frozenset(wrong)


_NO_STREAM: Final = "ERR no such key"  # what XINFO says of a key that is not there
_NOTHING: Final[Mapping[str, Any]] = {"GET": None, "HGET": None, "SISMEMBER": 0}


def _blocking(
    query: Callable[Concatenate[Keys, P], Query[T]],
) -> Callable[Concatenate[View, P], T]:
    """The query as a method of `View`."""

    @wraps(query)
    def method(self: View, /, *args: P.args, **named: P.kwargs) -> T:
        return run_query(self.wire, query(self.keys, *args, **named))

    return method


def _awaited(
    query: Callable[Concatenate[Keys, P], Query[T]],
) -> Callable[Concatenate[AsyncView, P], Coroutine[Any, Any, T]]:
    """The query as a method of `AsyncView`."""

    @wraps(query)
    async def method(self: AsyncView, /, *args: P.args, **named: P.kwargs) -> T:
        return await run_query_async(self.wire, query(self.keys, *args, **named))

    return method


class View:
    """Implements `Reader`. Each method is one pipeline, or a few where the first gives the keys."""

    __slots__ = ("keys", "wire")

    def __init__(self, wire: Line, keys: Keys) -> None:
        self.wire = wire
        self.keys = keys

    def close(self) -> None:
        self.wire.close()

    def channel_of(self, name: str) -> Channel:
        return self.keys.channel_of(name)

    # --- beneath the port, for what looks into the store itself ---

    def ask(self, *commands: Sequence[str]) -> list[Any]:
        return ask(self.wire, *commands)

    def ask_ours(
        self, *commands: Sequence[str], is_at_once: bool = False
    ) -> tuple[list[Any], frozenset[str]]:
        return ask_ours(self.wire, *commands, is_at_once=is_at_once)

    wrong_keys = _blocking(health_queries.wrong_keys)

    # --- of `Reader` ---

    snapshot = _blocking(queries.read_snapshot)
    agent_ids = _blocking(queries.agent_ids)
    agents = _blocking(queries.read_agents)
    agent = _blocking(queries.read_agent)
    is_agent = _blocking(queries.is_agent)
    children = _blocking(queries.read_children)
    inner = _blocking(queries.read_inner)
    chain = _blocking(queries.read_chain)
    marks = _blocking(queries.read_marks)
    accounts = _blocking(queries.read_accounts)
    mission_ids = _blocking(queries.mission_ids)
    missions = _blocking(queries.read_missions)
    mission = _blocking(queries.read_mission)
    approvals = _blocking(queries.read_approvals)
    overrides = _blocking(queries.read_overrides)
    page = _blocking(channel_queries.read_page)
    last_entries = _blocking(channel_queries.last_entries)
    entry = _blocking(channel_queries.read_entry)
    last_id = _blocking(channel_queries.last_id)
    has_channel = _blocking(channel_queries.has_channel)
    is_heard = _blocking(channel_queries.is_heard)
    channels = _blocking(channel_queries.read_channels)
    rooms = _blocking(channel_queries.read_rooms)
    swarm_id = _blocking(channel_queries.swarm_id)
    journal_head = _blocking(channel_queries.journal_head)
    health = _blocking(health_queries.read_health)
    leads = _blocking(health_queries.read_leads)

    def follow(
        self, channel: Channel, after: StreamId, notifications: Notifications
    ) -> Iterator[Page]:
        from swarmd.ports.reader import SWEEP_SECONDS

        while True:
            page = self.page(channel, after)
            after = page.reached
            if page.entries or page.trimmed:
                yield page
            if not page.is_full:
                notifications.wait(SWEEP_SECONDS)

    def journal(self, after: StreamId = FIRST) -> Iterator[tuple[StreamId, str]]:
        """A page is asked for when it is needed."""
        further: StreamId | None = after
        while further is not None:
            lines, further = run_query(self.wire, channel_queries.journal_page(self.keys, further))
            yield from lines


class AsyncView:
    """Implements `AsyncReader`."""

    __slots__ = ("keys", "wire")

    def __init__(self, wire: AsyncWire, keys: Keys) -> None:
        self.wire = wire
        self.keys = keys

    async def aclose(self) -> None:
        self.wire.close()

    def channel_of(self, name: str) -> Channel:
        return self.keys.channel_of(name)

    snapshot = _awaited(queries.read_snapshot)
    agent_ids = _awaited(queries.agent_ids)
    agents = _awaited(queries.read_agents)
    agent = _awaited(queries.read_agent)
    is_agent = _awaited(queries.is_agent)
    children = _awaited(queries.read_children)
    inner = _awaited(queries.read_inner)
    chain = _awaited(queries.read_chain)
    marks = _awaited(queries.read_marks)
    accounts = _awaited(queries.read_accounts)
    mission_ids = _awaited(queries.mission_ids)
    missions = _awaited(queries.read_missions)
    mission = _awaited(queries.read_mission)
    approvals = _awaited(queries.read_approvals)
    overrides = _awaited(queries.read_overrides)
    page = _awaited(channel_queries.read_page)
    last_entries = _awaited(channel_queries.last_entries)
    entry = _awaited(channel_queries.read_entry)
    last_id = _awaited(channel_queries.last_id)
    has_channel = _awaited(channel_queries.has_channel)
    is_heard = _awaited(channel_queries.is_heard)
    channels = _awaited(channel_queries.read_channels)
    rooms = _awaited(channel_queries.read_rooms)
    swarm_id = _awaited(channel_queries.swarm_id)
    journal_head = _awaited(channel_queries.journal_head)
    health = _awaited(health_queries.read_health)
    leads = _awaited(health_queries.read_leads)

    async def follow(
        self, channel: Channel, after: StreamId, notifications: AsyncNotifications
    ) -> AsyncIterator[Page]:
        from swarmd.ports.reader import SWEEP_SECONDS

        while True:
            page = await self.page(channel, after)
            after = page.reached
            if page.entries or page.trimmed:
                yield page
            if not page.is_full:
                await notifications.wait(SWEEP_SECONDS)

    async def journal(self, after: StreamId = FIRST) -> AsyncIterator[tuple[StreamId, str]]:
        further: StreamId | None = after
        while further is not None:
            query = channel_queries.journal_page(self.keys, further)
            lines, further = await run_query_async(self.wire, query)
            for line in lines:
                yield line


class Bell:
    """Rings of some channels, on a connection of its own. A ring is only a reason to read the
    stream.
    """

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire, keys: Keys, channels: Iterable[Channel]) -> None:
        self._wire = wire
        names = [keys.channel(channel) for channel in channels]
        with ExitStack() as undo:
            undo.callback(wire.close)
            wire.send("SUBSCRIBE", *names)
            # Confirmed before the stream is read: what is posted in between is then heard.
            for _ in names:
                wire.read()
            undo.pop_all()

    def wait(self, seconds: float) -> bool:
        """Whether something rang within the time.

        Rings that were read ahead into the buffer are not counted again: the stream, which is read
        after each wait, held their messages before they rang.
        """
        readable, _, _ = select.select([self._wire], [], [], max(0.0, seconds))
        if readable:
            self._wire.read()
        return bool(readable)

    def close(self) -> None:
        self._wire.close()


def view_of(target: Target, namespace: str) -> View:
    """Connects. Raises `StoreUnavailableError` or `StoreUnsuitableError`."""
    return View(connect_sync(target, namespace=namespace), Keys(namespace))


def bell_of(target: Target, namespace: str, *channels: Channel) -> Bell:
    """Connects and subscribes. Raises as `view_of`."""
    return Bell(connect_sync(target, namespace=namespace), Keys(namespace), channels)


def async_view_of(
    target: Target, namespace: str, *, away_seconds: float = AWAY_SECONDS
) -> AsyncView:
    """Connects when it is first asked. Raises `StoreUnavailableError` then, and where the server
    stays away for so long.
    """
    # Here, for it brings asyncio.
    from swarmd.adapters.redis.connection.async_client import AsyncWire

    wire = AsyncWire(target, namespace, away_seconds=away_seconds)
    return AsyncView(wire, Keys(namespace))
