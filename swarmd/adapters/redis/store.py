"""The store on Redis: the atomic steps as scripts, reads as plain commands, all through one `Pipe`.

In the unit tests the same code runs over fakeredis with Lua: there is no second implementation of the law.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from swarmd.adapters.redis.commit import plan
from swarmd.adapters.redis.keys import SCHEMA, Keys
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.pipe import Pipe
from swarmd.adapters.redis.records import (
    account_of,
    agent_of,
    fence_of,
    host_of,
    host_text,
    mission_of,
    report_of,
)
from swarmd.core.board import Procedure
from swarmd.core.lineage import Agent
from swarmd.core.messages import Message, from_fields, order_of, unreadable
from swarmd.core.names import (
    FIRST,
    MISSIONS,
    AgentId,
    Channel,
    HostId,
    MissionId,
    Rule,
    StreamId,
)
from swarmd.core.rules import Declarations
from swarmd.core.swarm import Change, Host, Mission, Swarm
from swarmd.errors import NotLeadingError, StoreUnsuitableError, SwarmError
from swarmd.ports import Begin, Begun, EndedBefore, Hold, Loaded, RefusedByStore, Resumed, Turn, Usage

if TYPE_CHECKING:
    from redis.asyncio import Redis

# How long a key of a post from outside is remembered.
ONCE_SECONDS = 3_600
# Rows of one question to the sorted set of channels; more take another.
MOVED_MAX = 5_000
LOAD_BATCH = 500

Pairs = Sequence[Any]


class RedisStore:
    """Both sides' store. `pipe.run()` must be running in a task group of the caller."""

    def __init__(self, client: Redis, namespace: str, *, patience: float = 3_600.0) -> None:
        self.keys = Keys(namespace)
        self.pipe = Pipe(client, patience)

    async def check_schema(self) -> None:
        """Stamp an empty namespace; refuse one of another schema."""
        await self.pipe.execute("HSETNX", self.keys.meta, "schema", SCHEMA)
        found = await self.pipe.execute("HGET", self.keys.meta, "schema")
        if found != SCHEMA:
            raise StoreUnsuitableError(
                f"the swarm {self.keys.namespace} has schema {found}, this swarmd speaks {SCHEMA}",
                hint="use the swarmd that made it, or another SWARMD_NAMESPACE",
            )

    # --- posting and reading ---

    async def post(self, channel: Channel, message: Message, key: str = "") -> StreamId:
        k = self.keys
        stream = k.channel(channel)
        once = k.once(key) if key else stream
        args: list[str | int] = [channel, message.ring_body(channel), ONCE_SECONDS, *message.fields()]
        return StreamId(await self.pipe.evaluate(script("post"), [stream, k.heads, k.posts, once], args))

    async def read(self, channel: Channel, after: StreamId, count: int) -> list[Message]:
        entries = await self.pipe.execute(
            "XRANGE", self.keys.channel(channel), f"({after}", "+", "COUNT", count
        )
        return _messages(channel, entries)

    async def latest(self, channel: Channel, count: int) -> list[Message]:
        entries = await self.pipe.execute("XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", count)
        return _messages(channel, entries[::-1])

    async def moved(self, since: int) -> tuple[int, tuple[Channel, ...]]:
        posts = int(await self.pipe.execute("GET", self.keys.posts) or 0)
        if posts < since:
            # The server lost its last second: what was counted then is counted again, and would not be seen.
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

    # --- a worker's steps ---

    async def register(self, host: Host, ttl_seconds: float) -> bool:
        k = self.keys
        if host.workspace:
            await self.pipe.execute("HSETNX", k.meta, "workspace", host.workspace)
            if await self.pipe.execute("HGET", k.meta, "workspace") != host.workspace:
                await self._renew(Host(host.id, host.capacity, ""), ttl_seconds)
                return False
        await self._renew(host, ttl_seconds)
        return True

    async def _renew(self, host: Host, ttl_seconds: float) -> None:
        await self.pipe.execute(
            "SET", self.keys.host(host.id), host_text(host), "PX", int(ttl_seconds * 1000)
        )
        await self.pipe.execute("SADD", self.keys.hosts, host.id)

    async def declare(self, digest: str, *, is_supervisor: bool) -> bool:
        """The supervisor's declarations are the swarm's; false where a worker's are others."""
        if is_supervisor:
            await self.pipe.execute("HSET", self.keys.meta, "declared", digest)
            return True
        return await self.pipe.execute("HGET", self.keys.meta, "declared") in (None, digest)

    async def forget_leases(self) -> None:
        """Of a server that this process has just started: whoever held a lease was connected to the last one,
        and is gone. Without this a restart waits out leases that nobody can renew."""
        hosts = [HostId(id) for id in await self.pipe.execute("SMEMBERS", self.keys.hosts)]
        await self.pipe.execute("DEL", self.keys.leader, self.keys.hosts, *map(self.keys.host, hosts))

    async def leave(self, host: HostId) -> None:
        await self.pipe.execute("SREM", self.keys.hosts, host)
        await self.pipe.execute("DEL", self.keys.host(host))

    async def agents(self, ids: Sequence[AgentId]) -> list[Agent | None]:
        records = await asyncio.gather(*(self._hash(self.keys.agent(id)) for id in ids))
        return [agent_of(record) for record in records]

    async def resume(self, id: AgentId) -> Resumed:
        state = await self._hash(self.keys.state(id))
        turn = int(state.get("turn", "0"))
        batch = await self.pipe.execute("HGET", self.keys.steps(id), f"{turn + 1}:batch")
        positions = {Channel(f[2:]): StreamId(v) for f, v in state.items() if f.startswith("p:")}
        return Resumed(turn, state.get("memory", ""), positions, json.loads(batch) if batch else {})

    async def mission(self, id: MissionId) -> Mission | None:
        return mission_of(await self._hash(self.keys.mission(id)))

    async def free(self, account: str) -> dict[str, int]:
        return (await self.accounts([account], "free"))[account]

    async def children(self, id: AgentId) -> tuple[Agent, ...]:
        ids = await self.pipe.execute("SMEMBERS", self.keys.children(id))
        found = [agent for agent in await self.agents([AgentId(i) for i in ids]) if agent is not None]
        return tuple(sorted(found, key=lambda agent: (agent.created, agent.id)))

    async def begin(self, hold: Hold, begin: Begin, at: str) -> Begun | EndedBefore | RefusedByStore:
        k = self.keys
        record = json.dumps(
            {"kind": begin.kind, "account": begin.account, "lease": hold.lease, "tokens": begin.tokens,
             "calls": begin.calls, "at": at}
        )  # fmt: skip
        keys = [
            k.agent(hold.agent), k.fences, k.host(hold.host), k.use(hold.agent), k.ledger(begin.account),
            k.steps(hold.agent), k.facts,
        ]  # fmt: skip
        args: list[str | int] = [
            hold.incarnation, hold.lease, hold.host, f"{begin.turn}:{begin.step}", record, begin.batch,
            begin.tokens, begin.calls, hold.agent, begin.account, at, len(begin.segments), *begin.segments,
            *begin.privileges,
        ]  # fmt: skip
        reply = await self.pipe.evaluate(script("begin"), keys, args)
        if reply[0] == "begun":
            return Begun()
        if reply[0] == "ended":
            return EndedBefore(reply[1])
        return RefusedByStore(Rule(reply[1]), reply[2])

    async def end(self, hold: Hold, begin: Begin, result: str, usage: Usage, at: str) -> None:
        k = self.keys
        keys = [k.ledger(begin.account), k.steps(hold.agent), k.facts]
        args: list[str | int] = [
            f"{begin.turn}:{begin.step}", hold.lease, result, usage.tokens, "1" if usage.is_assumed else "0",
            hold.agent, begin.account, at,
        ]  # fmt: skip
        await self.pipe.evaluate(script("end"), keys, args)

    async def commit(
        self, hold: Hold, turn: Turn, hops_max: int, at: str
    ) -> Literal["done", "again", "looped"] | RefusedByStore:
        k = self.keys
        keys = [
            k.agent(hold.agent), k.fences, k.host(hold.host), k.state(hold.agent), k.steps(hold.agent),
            k.heads, k.posts, k.facts,
        ]  # fmt: skip
        state = ["memory", turn.memory]
        for channel, position in turn.positions.items():
            state += [f"p:{channel}", position]
        args: list[str | int] = [
            hold.incarnation, hold.lease, hold.host, turn.number, hold.agent, at, turn.hops, hops_max,
            len(turn.segments), len(state) // 2, *turn.segments, *state,
        ]  # fmt: skip
        for channel, message in turn.outputs:
            keys.append(k.channel(channel))
            fields = message.fields()
            args += [channel, message.ring_body(channel), len(fields), *fields]
        reply = await self.pipe.evaluate(script("commit"), keys, args)
        return RefusedByStore(Rule(reply[1]), reply[2]) if reply[0] == "refused" else reply[0]

    # --- the supervisor's steps ---

    async def lead(self, host: HostId, ttl_seconds: float) -> int:
        keys = [self.keys.leader, self.keys.fencing]
        return int(await self.pipe.evaluate(script("lead"), keys, [host, int(ttl_seconds * 1000)]))

    async def step_down(self, host: HostId, number: int) -> None:
        """Let the lease go, so that the next supervisor need not wait for its end."""
        if await self.pipe.execute("GET", self.keys.leader) == f"{number}:{host}":
            await self.pipe.execute("DEL", self.keys.leader)

    async def load(self, declared: Declarations) -> Loaded:
        k, swarm = self.keys, Swarm(declared)
        ids = sorted(await self.pipe.execute("SMEMBERS", k.agents))
        for start in range(0, len(ids), LOAD_BATCH):
            for agent in await self._gather_agents(ids[start : start + LOAD_BATCH], declared.board.seats):
                swarm.lineage.put(agent)
        open_missions = [MissionId(id) for id in sorted(await self.pipe.execute("SMEMBERS", k.missions))]
        damaged = [id for id in open_missions if not await self._load_mission(swarm, id)]
        await self._load_spawns(swarm)
        fences = await self._hash(k.fences)
        swarm.lineage.fences.update({segment: fence_of(segment, text) for segment, text in fences.items()})
        for id in await self.pipe.execute("SMEMBERS", k.hosts):
            # Not yet seen alive: it holds its agents until it is declared dead, and is given no new ones.
            swarm.hosts[HostId(id)] = Host(HostId(id), 0, "")
        positions = await self._hash(k.positions)
        seq = int(positions.pop("seq", "0"))
        read_until = {Channel(c): StreamId(p) for c, p in positions.items()}
        return Loaded(swarm, read_until, seq, tuple(damaged), await self._lost(read_until))

    async def _lost(self, positions: Mapping[Channel, StreamId]) -> dict[Channel, StreamId]:
        """Inputs whose last entry is older than what was read of them: deleted, or lost with a server's last second."""
        lasts = await asyncio.gather(
            *(self.pipe.execute("XREVRANGE", self.keys.channel(c), "+", "-", "COUNT", 1) for c in positions)
        )
        ends = {c: StreamId(last[0][0]) if last else FIRST for c, last in zip(positions, lasts, strict=True)}
        return {c: end for c, end in ends.items() if order_of(end) < order_of(positions[c])}

    async def _gather_agents(self, ids: Sequence[str], seats: Collection[str]) -> list[Agent]:
        agents = await self.agents([AgentId(id) for id in ids])
        for id, agent in zip(ids, agents, strict=True):
            # A seat is made anew. Of any other it is not known whose it was: not guessed, but asked for.
            if agent is None and id not in seats:
                raise SwarmError(
                    f"the record of agent {id} cannot be read",
                    hint=f"restore {self.keys.agent(AgentId(id))}, or give the agent up: "
                    f"`swarmd redis-cli SREM {self.keys.agents} {id}`",
                )
        # Children are kept in the order they were made.
        return sorted(
            (agent for agent in agents if agent is not None), key=lambda a: (a.tier, a.created, a.id)
        )

    async def _load_spawns(self, swarm: Swarm) -> None:
        """When each mission's agents were made, living and lately ended: a restart must not lift the rate."""
        lately = swarm.declared.limits.spawns_per_minute * max(1, len(swarm.missions))
        names = await self.pipe.execute("ZRANGE", self.keys.ended, 0, lately - 1, "REV")
        gone = await self.agents([AgentId(name[6:]) for name in names if name.startswith("agent:")])
        made = [agent for agent in (*swarm.lineage.agents.values(), *gone) if agent is not None]
        for agent in sorted(made, key=lambda agent: agent.created):
            if agent.mission in swarm.missions:
                swarm.note_spawn(agent)

    async def _load_mission(self, swarm: Swarm, id: MissionId) -> bool:
        mission = await self.mission(id)
        if mission is None:
            swarm.free[id] = await self.free(id)
            return False
        swarm.missions[id] = mission
        board = await self.pipe.execute("GET", self.keys.board(id))
        if board:
            swarm.boards[id] = Procedure.from_json(board)
        reports = await self._hash(self.keys.reports(id))
        swarm.reports[id] = {AgentId(agent): report_of(text) for agent, text in reports.items()}
        return True

    async def read_inputs(self, positions: Mapping[Channel, StreamId], count: int) -> list[Message]:
        read = await asyncio.gather(*(self.read(c, after, count) for c, after in positions.items()))
        return [message for messages in read for message in messages]

    async def read_missions(self, after: StreamId, count: int) -> list[tuple[StreamId, dict[str, str]]]:
        return await self._entries(self.keys.channel(MISSIONS), after, count)

    async def read_facts(self, after: StreamId, count: int) -> list[tuple[StreamId, dict[str, str]]]:
        return await self._entries(self.keys.facts, after, count)

    async def _entries(self, key: str, after: StreamId, count: int) -> list[tuple[StreamId, dict[str, str]]]:
        entries = await self.pipe.execute("XRANGE", key, f"({after}", "+", "COUNT", count)
        return [(StreamId(id), _pairs(fields)) for id, fields in entries]

    async def keep_mission(self, fields: Mapping[str, str]) -> StreamId:
        """Store what was heard at the entrance, before anything else is done with it."""
        flat = [part for pair in fields.items() for part in pair]
        return StreamId(await self.pipe.execute("XADD", self.keys.channel(MISSIONS), "*", *flat))

    async def ended_mission(self, id: MissionId) -> dict[str, str]:
        return await self._hash(self.keys.mission(id))

    async def hosts(self) -> tuple[dict[HostId, Host], frozenset[HostId]]:
        """Hosts whose lease lives, by the server's clock; and all that came and did not leave."""
        ids = await self.pipe.execute("SMEMBERS", self.keys.hosts)
        found = await asyncio.gather(*(self.pipe.execute("GET", self.keys.host(HostId(id))) for id in ids))
        alive = {host.id: host for host in (host_of(text) for text in found if text)}
        return alive, frozenset(HostId(id) for id in ids)

    async def accounts(self, ids: Collection[str], amount: str) -> dict[str, dict[str, int]]:
        records = await asyncio.gather(*(self._hash(self.keys.ledger(id)) for id in ids))
        return {id: self._amounts(id, record, amount) for id, record in zip(ids, records, strict=True)}

    def _amounts(self, id: str, record: Mapping[str, str], amount: str) -> dict[str, int]:
        try:
            return account_of(record, amount)
        except ValueError as error:
            key = self.keys.ledger(id)
            raise StoreUnsuitableError(
                f"the account {key} holds what is no number", hint=f"see `swarmd redis-cli HGETALL {key}`"
            ) from error

    async def commit_changes(
        self, token: str, seq: int, changes: Sequence[Change], positions: Mapping[Channel, StreamId],
        facts_until: StreamId | None = None,
    ) -> Literal["done", "short"]:  # fmt: skip
        k, made = self.keys, plan(self.keys, changes)
        if facts_until is not None:
            # MINID keeps the entry itself: the position after it is what is read from next.
            made.do("trim", k.facts, facts_until)
        keys = [k.leader, k.positions, k.heads, k.posts, k.facts, *made.names]
        reply = await self.pipe.evaluate(script("supervise"), keys, [token, seq, made.text(positions)])
        if reply in ("done", "again"):
            return "done"
        if reply == "short":
            return "short"
        raise NotLeadingError(f"the supervisor's commit was refused: {reply}")

    async def due(self, now: float, count: int) -> list[tuple[str, str]]:
        names = await self.pipe.execute("ZRANGE", self.keys.ended, "-inf", now, "BYSCORE", "LIMIT", 0, count)
        return [(what, id) for what, _, id in (name.partition(":") for name in names)]

    async def forget(self, what: str, id: str, channels: Sequence[Channel]) -> None:
        k, agent = self.keys, AgentId(id)
        keys = [k.ledger(id), *map(k.channel, channels)]
        if what == "agent":
            # Its creator may live for ever, as the board does: it must not list all that it ever had.
            parent = await self.pipe.execute("HGET", k.agent(agent), "parent")
            await self.pipe.execute("SREM", k.children(AgentId(parent or "")), id)
            keys += [k.agent(agent), k.children(agent)]
        else:
            keys.append(k.mission(MissionId(id)))
        if channels:
            await self.pipe.execute("ZREM", k.heads, *channels)
        await self.pipe.execute("UNLINK", *keys)
        # Last: what a crash left undone is due again.
        await self.pipe.execute("ZREM", k.ended, f"{what}:{id}")

    async def _hash(self, key: str) -> dict[str, str]:
        reply = await self.pipe.execute("HGETALL", key)
        return reply if isinstance(reply, dict) else _pairs(reply)


def _pairs(flat: Pairs | Mapping[str, str]) -> dict[str, str]:
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _flat(rows: Sequence[Any]) -> list[Any]:
    """Members with scores come flat or as pairs, by the client's protocol and version."""
    return [part for row in rows for part in (row if isinstance(row, list | tuple) else (row,))]


def _messages(channel: Channel, entries: Sequence[Any]) -> list[Message]:
    found = []
    for entry, fields in entries:
        id = StreamId(entry)
        found.append(from_fields(channel, id, _pairs(fields)) or unreadable(channel, id))
    return found
