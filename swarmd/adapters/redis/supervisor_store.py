"""The supervisor's steps on Redis: one script writes, all else are reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Literal

import structlog

from swarmd.adapters.redis.agent_state import turns_so_far_of
from swarmd.adapters.redis.channel_store import ChannelStore
from swarmd.adapters.redis.codecs import host_of
from swarmd.adapters.redis.commit_plan import plan
from swarmd.adapters.redis.keys import COUNTERS, is_counter, shared_names, type_of
from swarmd.adapters.redis.loading import SERIAL, Loading
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.replicas import Replicas
from swarmd.adapters.redis.session import Session, line_at, number_of, pairs_of, prefixed
from swarmd.core.agent.kept_turns import TurnsSoFar
from swarmd.core.agent.waiting import wait_of
from swarmd.core.bus.envelope import heard_of_sender
from swarmd.core.bus.foreign import Miscount
from swarmd.core.control.stalls import Standing
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import (
    DEAD,
    FACTS,
    INPUTS,
    JOURNAL,
    MISSIONS,
    host_channel,
    inbox,
    up,
)
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import FIRST, AgentId, Channel, HostId, MissionId, StreamId
from swarmd.core.model.records import Host
from swarmd.core.model.tables import TABLES
from swarmd.errors import NotLeadingError, StoreUnsuitableError
from swarmd.log_events import LogEvent
from swarmd.ports.stores import Loaded, Stated, Waiting

log = structlog.get_logger(__name__)

# Mail that has been there for longer and began no turn wakes nobody: it only says that something
# was done, and whoever has nothing else to read is at rest.
UNREAD_SECONDS: Final = 30.0


class RedisSupervisorStore(ChannelStore):
    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._replicas = Replicas(self.keys.confirmed)
        self._loading = Loading(session, self.records)

    async def lead(self, host: HostId, ttl_seconds: float) -> int:
        until = int((self.session.now() + ttl_seconds) * 1000)
        args: list[str | int] = [host, int(ttl_seconds * 1000), until]
        return int(await self.pipe.evaluate(script("lead"), self._lead_keys, args))

    @property
    def _lead_keys(self) -> list[str]:
        return [self.keys.leader, self.keys.fencing, self.keys.meta]

    async def led_until(self) -> float:
        told = await self.pipe.execute("HGET", self.keys.meta, "led")
        return number_of(told) / 1000

    async def step_down(self, host: HostId, number: int) -> None:
        """Let the lease go, so that the next supervisor need not wait for its end. Agents go on
        until that.
        """
        if number:
            await self.pipe.evaluate(script("lead"), self._lead_keys, [host, 0, 0])

    async def last_commit(self) -> int:
        return number_of(await self.pipe.execute("HGET", self.keys.positions, "seq"))

    async def load(self, declared: Declarations) -> Loaded:
        return await self._loading.load(declared)

    async def read_waiting(
        self, positions: Mapping[Channel, StreamId], count: int, facts_count: int
    ) -> Waiting:
        # All in one round trip: a step of the supervisor waits for each that it makes.
        missions, facts, read = await asyncio.gather(
            self.read_missions(positions[MISSIONS], count),
            self.read_facts(positions[FACTS], facts_count),
            asyncio.gather(*(self.read(channel, positions[channel], count) for channel in INPUTS)),
        )
        return Waiting(missions, [message for messages in read for message in messages], facts)

    async def read_missions(
        self, after: StreamId, count: int
    ) -> list[tuple[StreamId, dict[str, str]]]:
        return await self.session.entries(self.keys.channel(MISSIONS), after, count)

    async def read_facts(
        self, after: StreamId, count: int
    ) -> list[tuple[StreamId, dict[str, str]]]:
        return await self.session.entries(self.keys.facts, after, count)

    async def read_journal(self, after: StreamId, count: int) -> list[tuple[StreamId, str]]:
        reply = await self.pipe.execute(
            "XRANGE",
            self.keys.channel(JOURNAL),
            "-" if after == FIRST else f"({after}",
            "+",
            "COUNT",
            count,
        )
        return [(StreamId(id), line_at(flat)) for id, flat in reply]

    async def trim_journal(self, before: StreamId) -> None:
        await self.pipe.execute("XTRIM", self.keys.channel(JOURNAL), "MINID", before)

    async def lengths(self, channels: Sequence[Channel]) -> list[int]:
        return list(
            await asyncio.gather(
                *(self.session.ask_or(0, "XLEN", self.keys.channel(c)) for c in channels)
            )
        )

    async def uncounted(self, channels: Sequence[Channel]) -> dict[Channel, Miscount]:
        streams = map(self.keys.channel, channels)
        counts = await self.pipe.evaluate(
            script("uncounted"), [self.keys.ends, *streams], list(channels)
        )
        return {
            channel: Miscount(abs(count), is_made_anew=count < 0)
            for channel, count in zip(channels, counts, strict=True)
            if count
        }

    async def last_id(self, channel: Channel) -> StreamId:
        newest = await self.session.stream(
            "XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", 1
        )
        return StreamId(newest[0][0]) if newest else FIRST

    async def positions(
        self, channel: Channel, agents: Sequence[AgentId]
    ) -> dict[AgentId, StreamId]:
        found = await asyncio.gather(
            *(
                self.session.ask_or(None, "HGET", self.keys.state(id), f"p:{channel}")
                for id in agents
            )
        )
        return {id: StreamId(at or FIRST) for id, at in zip(agents, found, strict=True)}

    async def trim(self, channel: Channel, before: StreamId, entries_max: int) -> int:
        # Not MAXLEN, which would count what nobody has read among what may stay. `~`: whole nodes
        # of the stream.
        key = self.keys.channel(channel)
        return int(
            await self.session.ask_or(0, "XTRIM", key, "MINID", "~", before, "LIMIT", entries_max)
        )

    async def stated_accounts(
        self, ids: Collection[str], facts_after: StreamId | None = None
    ) -> Stated:
        keys = [self.keys.facts, *(self.keys.ledger(id) for id in ids)]
        start = "" if facts_after is None else f"({facts_after}"
        last, facts, *rows = await self.pipe.evaluate(script("accounts"), keys, [start])
        found = {id: pairs_of(row) for id, row in zip(ids, rows, strict=True) if row}
        return Stated(found, StreamId(last), [(StreamId(id), pairs_of(flat)) for id, flat in facts])

    async def wrong_keys(self, names: Collection[str] = shared_names()) -> list[str]:
        """Of these keys, without the namespace, those that hold something else than ours, and what.
        As shipped: all that the whole swarm stands on."""
        found = await asyncio.gather(*(self._what_is_wrong(name) for name in names))
        return [wrong for wrong in found if wrong]

    async def _what_is_wrong(self, name: str) -> str:
        key = self.keys.channel(Channel(name))
        try:
            kind = await self.pipe.execute("TYPE", key, is_optional=True)
            if kind not in ("none", type_of(name)):
                return f"{name} is a {kind} and not a {type_of(name)}"
            is_right = name not in COUNTERS or is_counter(
                await self.pipe.execute("GET", key, is_optional=True)
            )
        except StoreUnsuitableError:
            # This process's user may not look there, and so does not use it.
            return ""
        return "" if is_right else f"{name} is no counter"

    async def keep_mission(self, fields: Mapping[str, str]) -> StreamId:
        """Store what was heard at the entrance, before anything else is done with it."""
        flat = [part for pair in fields.items() for part in pair]
        id = StreamId(await self.pipe.execute("XADD", self.keys.channel(MISSIONS), "*", *flat))
        await self._replicas.confirm(self.pipe, "a mission")
        return id

    async def ended_mission(self, id: MissionId) -> dict[str, str]:
        return await self.session.hash_at(self.keys.mission(id))

    async def hosts(self) -> tuple[dict[HostId, Host], frozenset[HostId]]:
        """Hosts whose lease lives, by the server's clock; and all that came and did not leave."""
        ids = await self.pipe.execute("SMEMBERS", self.keys.hosts)
        found = await asyncio.gather(
            *(self.session.ask_or(None, "GET", self.keys.host(HostId(id))) for id in ids)
        )
        lefts = await asyncio.gather(
            *(self.pipe.execute("PTTL", self.keys.host(HostId(id))) for id in ids)
        )
        alive = {
            host.id: replace(host, lease_left=max(0, left) / 1000)
            for host, left in (
                (host_of(text), left) for text, left in zip(found, lefts, strict=True) if text
            )
        }
        return alive, frozenset(HostId(id) for id in ids)

    async def standings(self, ids: Sequence[AgentId]) -> dict[AgentId, Standing]:
        """How far each is with its task. Three short answers for each, all in one pipeline."""
        read = [(inbox(id), up(id)) for id in ids]
        since = int((self.session.now() - UNREAD_SECONDS) * 1_000)
        states, steps, ends = await asyncio.gather(
            asyncio.gather(
                *(self._standing_of(id, channels) for id, channels in zip(ids, read, strict=True))
            ),
            asyncio.gather(*(self.session.ask_or((), "HKEYS", self.keys.steps(id)) for id in ids)),
            asyncio.gather(*(self._ends_of(channels) for channels in read)),
        )
        return {
            id: Standing(
                is_done=bool(done),
                is_busy=f"{number_of(turn) + 1}:batch" in begun,
                has_mail=any(map(partial(_is_behind, since=since), positions, last)),
                waits_until=wait_of(waits or "").until,
            )
            for id, (turn, done, waits, *positions), begun, last in zip(
                ids, states, steps, ends, strict=True
            )
        }

    async def turns_so_far(self, id: AgentId) -> TurnsSoFar:
        state, steps = await asyncio.gather(
            self.session.hash_at(self.keys.state(id)), self.session.hash_at(self.keys.steps(id))
        )
        return turns_so_far_of(state, steps)

    async def _standing_of(self, id: AgentId, channels: Sequence[Channel]) -> Sequence[str | None]:
        fields = ("turn", "done", "waits", *(f"p:{channel}" for channel in channels))
        nothing = (None,) * len(fields)
        found: Sequence[str | None] = await self.session.ask_or(
            nothing, "HMGET", self.keys.state(id), *fields
        )
        return found

    async def _ends_of(self, channels: Sequence[Channel]) -> Sequence[str | None]:
        nothing = (None,) * len(channels)
        found: Sequence[str | None] = await self.session.ask_or(
            nothing, "HMGET", self.keys.ends, *channels
        )
        return found

    async def letter(self, id: StreamId) -> Message | None:
        entries = await self.pipe.execute("XRANGE", self.keys.channel(DEAD), id, id)
        found = next(iter(self.messages_of(DEAD, entries)), None)
        return found if found is not None and found.kind is Kind.DEAD else None

    async def commit_changes(
        self,
        token: str,
        seq: int,
        changes: Sequence[Change],
        positions: Mapping[Channel, StreamId],
        facts_until: StreamId | None = None,
        heard: Mapping[str, str] | None = None,
        unheard: Sequence[str] = (),
    ) -> Literal["done", "short"]:
        k, made = self.keys, plan(self.keys, self.session.supervisor, changes)
        if heard:
            made.do("hset", k.heard, prefixed("", heard))
        if unheard:
            made.do("hdel", k.heard, list(unheard))
        if facts_until is not None:
            # MINID keeps the entry itself: the position after it is what is read from next.
            made.do("trim", k.facts, facts_until)
        keys = [k.leader, k.positions, k.heads, k.posts, k.facts, k.ends, *made.names]
        args = made.args({**positions, Channel(SERIAL): StreamId(str(self.session.serials.last))})
        reply = await self.pipe.evaluate(script("supervise"), keys, [token, seq, *args])
        if reply == "damaged":
            log.error(
                LogEvent.COMMIT_WITHOUT_KEYS,
                hint="`swarmd fsck --repair` mends them",
            )
        if reply in ("done", "again", "damaged"):
            await self._replicas.confirm(self.pipe, f"commit {seq}")
            return "done"
        if reply == "short":
            return "short"
        raise NotLeadingError(f"the supervisor's commit was refused: {reply}")

    async def due(self, now: float, count: int) -> list[tuple[str, str]]:
        names = await self.pipe.execute(
            "ZRANGE", self.keys.ended, "-inf", now, "BYSCORE", "LIMIT", 0, count
        )
        return [(what, id) for what, _, id in (name.partition(":") for name in names)]

    async def forget(self, what: str, id: str, channels: Sequence[Channel]) -> None:
        if what == "host":
            # Where it has come back it reads on, and is told of anew when it goes again.
            is_back = await self.pipe.execute("SISMEMBER", self.keys.hosts, id)
            await self._unlink([], [] if is_back else [host_channel(HostId(id))])
        elif what == "agent":
            await self._forget_agent(AgentId(id), channels)
        else:
            kept = [self.keys.ledger(id), self.keys.mission(MissionId(id))]
            await self._unlink(kept, channels)
        # Last: what a crash left undone is due again.
        await self.pipe.execute("ZREM", self.keys.ended, f"{what}:{id}")

    async def _forget_agent(self, id: AgentId, channels: Sequence[Channel]) -> None:
        k = self.keys
        for table in TABLES:
            if table.owner == "agent":
                await self.pipe.execute("HDEL", k.rows(table), table.prefix + id)
        # Its creator may live for ever, as the board does: it must not list all that it ever had.
        parent = await self.session.ask_or(None, "HGET", k.agent(id), "parent")
        await self.session.ask_or(0, "SREM", k.children(AgentId(parent or "")), id)
        await self.pipe.execute("HDEL", k.heard, *heard_of_sender(id, INPUTS))
        await self._unlink([k.ledger(id), k.agent(id), k.children(id), k.task(id)], channels)

    async def _unlink(self, keys: Sequence[str], channels: Sequence[Channel]) -> None:
        if channels:
            await self.pipe.execute("ZREM", self.keys.heads, *channels)
            await self.pipe.execute("HDEL", self.keys.ends, *channels)
        if keys or channels:
            await self.pipe.execute("UNLINK", *keys, *map(self.keys.channel, channels))


def _is_behind(position: str | None, last: str | None, *, since: int) -> bool:
    """Does a reader at this position have the last entry of its channel still to read, and was that
    posted after `since` (milliseconds)? `last` is the field of `_ends`: the entry's id, a space and
    more.
    """
    if not position or not last:
        return False
    end = order_of(StreamId(last.partition(" ")[0]))
    return end[0] >= since and order_of(StreamId(position)) < end
