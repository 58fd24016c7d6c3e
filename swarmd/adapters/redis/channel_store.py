"""What both sides read and write alike: messages on channels, records, and the server's time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.record_reads import RecordReads
from swarmd.adapters.redis.session import Session, line_at, number_of
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message, Ring
from swarmd.core.model.names import AgentId, Channel, StreamId

# How long a key of a post from outside is remembered.
ONCE_SECONDS: Final = 3_600
# Rows of one question to the sorted set of channels; more take another.
MOVED_MAX: Final = 5_000


class ChannelStore:
    """Whatever it posts is sealed, and what it reads on a sealed channel was: here and nowhere
    else.
    """

    def __init__(self, session: Session) -> None:
        self.session, self.records = session, RecordReads(session)
        self.keys = session.keys

    @property
    def pipe(self) -> Pipe:
        return self.session.pipe

    def clock_behind(self) -> float:
        return self.session.clock_behind()

    async def server_run(self) -> str:
        return await self.session.server_run()

    async def agents(self, ids: Sequence[AgentId]) -> list[Agent | None]:
        return await self.records.agents(ids)

    async def accounts(self, ids: Collection[str], amount: str) -> dict[str, dict[str, int]]:
        return await self.records.accounts(ids, amount)

    async def post(self, channel: Channel, message: Message, key: str = "") -> StreamId:
        k = self.keys
        stream = k.channel(channel)
        once = k.once(key) if key else stream
        sealed = self.session.runtime(channel, message)
        args: list[str | int] = [channel, *sealed, ONCE_SECONDS]
        return StreamId(
            await self.pipe.evaluate(script("post"), [stream, k.heads, k.posts, once, k.ends], args)
        )

    async def read(self, channel: Channel, after: StreamId, count: int) -> list[Message]:
        entries = await self.session.stream(
            "XRANGE", self.keys.channel(channel), f"({after}", "+", "COUNT", count
        )
        return self.messages_of(channel, entries)

    async def latest(self, channel: Channel, count: int) -> list[Message]:
        entries = await self.session.stream(
            "XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", count
        )
        return self.messages_of(channel, entries[::-1])

    def messages_of(self, channel: Channel, entries: Sequence[Any]) -> list[Message]:
        return [
            self.session.seal.open_entry(channel, StreamId(id), line_at(flat))
            for id, flat in entries
        ]

    def ring(self, channel: Channel, line: str) -> Ring | None:
        return self.session.seal.open_ring(channel, line)

    async def moved(self, since: int) -> tuple[int, tuple[Channel, ...]]:
        posts = number_of(await self.pipe.execute("GET", self.keys.posts))
        if posts < since:
            # The server lost its last second: what was counted then is counted again, and would not
            # be seen.
            since = 0
        moved: list[Channel] = []
        while True:
            flat = _flat(
                await self.pipe.execute(
                    "ZRANGE",
                    self.keys.heads,
                    f"({since}",
                    "+inf",
                    "BYSCORE",
                    "LIMIT",
                    0,
                    MOVED_MAX,
                    "WITHSCORES",
                )
            )
            moved += map(Channel, flat[::2])
            since = int(float(flat[-1])) if flat else since
            if len(flat) < 2 * MOVED_MAX or since >= posts:
                return since, tuple(moved)


def _flat(rows: Sequence[Any]) -> list[Any]:
    """Members with scores come flat or as pairs, by the client's protocol and version."""
    return [part for row in rows for part in (row if isinstance(row, list | tuple) else (row,))]
