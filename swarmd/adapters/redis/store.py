"""The store on Redis: the atomic steps as scripts, reads as plain commands, all through one `Pipe`.

In the unit tests the same code runs over fakeredis with Lua: there is no second implementation of the law.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import structlog

from swarmd.adapters.redis.commit import plan
from swarmd.adapters.redis.keys import SCHEMA, Keys
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.marks import fence_of, revocations_of, stop_of
from swarmd.adapters.redis.pipe import Pipe
from swarmd.adapters.redis.posting import another_secret
from swarmd.adapters.redis.records import (
    account_of,
    agent_of,
    approval_of,
    cut_fields,
    host_of,
    host_text,
    mission_of,
    override_of,
    report_of,
    trouble_of,
)
from swarmd.core.board import Procedure
from swarmd.core.chain import Chain, Head, Records
from swarmd.core.envelope import RUNTIME, SUPERVISOR_ISSUER, Heard, Seal, Sealer, Serials, heard_of_sender
from swarmd.core.journal import all_records
from swarmd.core.lineage import Agent
from swarmd.core.messages import Message, Ring, order_of
from swarmd.core.names import (
    FIRST,
    INPUTS,
    JOURNAL,
    MISSIONS,
    SOB,
    AgentId,
    Channel,
    HostId,
    MissionId,
    Rule,
    StreamId,
)
from swarmd.core.privileges import sufficient
from swarmd.core.rules import Declarations
from swarmd.core.stalls import Standing
from swarmd.core.swarm import Change, Host, Mission, RevocationsSet, Swarm
from swarmd.errors import NotLeadingError, StoreUnsuitableError, SwarmError
from swarmd.ports import (
    Begin,
    Begun,
    EndedBefore,
    Hold,
    Loaded,
    RefusedByStore,
    RefusedMail,
    Resumed,
    Stated,
    Turn,
    Used,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

# How long a key of a post from outside is remembered.
ONCE_SECONDS = 3_600
# Rows of one question to the sorted set of channels; more take another.
MOVED_MAX = 5_000
LOAD_BATCH = 500
# Beside the supervisor's positions: the last serial that it has issued.
_SERIAL = "_serial"

Pairs = Sequence[Any]


class RedisStore:
    """Both sides' store. `pipe.run()` must be running in a task group of the caller.

    Whatever it posts is sealed, and what it reads on a sealed channel was: here and nowhere else.
    """

    def __init__(
        self, client: Redis, namespace: str, secret: bytes, *, patience: float = 3_600.0,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.keys = Keys(namespace)
        self.pipe = Pipe(client, patience)
        self._seal = Seal(secret, namespace)
        self._now, self._serials = now, Serials()
        self._runtime = Sealer(self._seal, RUNTIME, self._serials, now)
        self._supervisor = Sealer(self._seal, SUPERVISOR_ISSUER, self._serials, now)

    async def check_schema(self, *, makes: bool = True) -> bool:
        """Refuse a namespace of another schema, or whose messages another secret seals. An empty one is stamped, or
        where `makes` is false left as it is: then the answer is false, and there is no swarm to work in yet. (A
        worker's user may not stamp.)
        """
        if makes:
            await self.pipe.execute("HSETNX", self.keys.meta, "schema", SCHEMA)
            await self.pipe.execute("HSETNX", self.keys.meta, "seal", self._seal.fingerprint)
        found = await self.pipe.execute("HGET", self.keys.meta, "schema")
        if found not in (SCHEMA, None):
            raise StoreUnsuitableError(
                f"the swarm {self.keys.namespace} has schema {found}, this swarmd speaks {SCHEMA}",
                hint="use the swarmd that made it, or another SWARMD_NAMESPACE",
            )
        if await self.pipe.execute("HGET", self.keys.meta, "seal") not in (self._seal.fingerprint, None):
            raise another_secret(self.keys.namespace)
        return found is not None

    async def identity(self, candidate: str) -> str:
        """The swarm's own id, given to its server once."""
        await self.pipe.execute("HSETNX", self.keys.meta, "swarm", candidate)
        return str(await self.pipe.execute("HGET", self.keys.meta, "swarm"))

    # --- posting and reading ---

    async def post(self, channel: Channel, message: Message, key: str = "") -> StreamId:
        k = self.keys
        stream = k.channel(channel)
        once = k.once(key) if key else stream
        sealed = self._runtime(channel, message)
        args: list[str | int] = [channel, sealed.ring, ONCE_SECONDS, *sealed.fields]
        return StreamId(await self.pipe.evaluate(script("post"), [stream, k.heads, k.posts, once], args))

    async def read(self, channel: Channel, after: StreamId, count: int) -> list[Message]:
        entries = await self.pipe.execute(
            "XRANGE", self.keys.channel(channel), f"({after}", "+", "COUNT", count
        )
        return self._messages(channel, entries)

    async def latest(self, channel: Channel, count: int) -> list[Message]:
        entries = await self.pipe.execute("XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", count)
        return self._messages(channel, entries[::-1])

    def _messages(self, channel: Channel, entries: Sequence[Any]) -> list[Message]:
        return [self._seal.open_entry(channel, StreamId(id), _pairs(flat)) for id, flat in entries]

    def ring(self, channel: Channel, line: str) -> Ring | None:
        return self._seal.open_ring(channel, line)

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
            await self.pipe.execute("SET", k.workspace, host.workspace, "NX")
            if await self.pipe.execute("GET", k.workspace) != host.workspace:
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
        self._serials.go_beyond(_number(state.get("serial")), self._now())
        heard = Heard.of({f[2:]: v for f, v in state.items() if f.startswith("h:")})
        kept, gone = heard.forget_operators()
        if gone:
            # What is kept instead first: a crash between the two forgets nothing.
            await self.pipe.execute("HSET", self.keys.state(id), *_prefixed("h:", kept))
            await self.pipe.execute("HDEL", self.keys.state(id), *(f"h:{key}" for key in gone))
        memory = state.get("memory", "")
        return Resumed(
            turn, memory, positions, json.loads(batch) if batch else {}, heard, state.get("guard", ""),
            bool(state.get("done")), tuple(state.get("taint", "").split()),
        )  # fmt: skip

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
            {"kind": begin.kind, "account": begin.account, "lease": hold.lease, "amounts": dict(begin.amounts),
             "at": at, "within": begin.within_seconds}
        )  # fmt: skip
        keys = [
            k.agent(hold.agent), k.fences, k.stops, k.revocations, k.host(hold.host), k.use(hold.agent),
            k.ledger(begin.account), k.steps(hold.agent), k.facts,
        ]  # fmt: skip
        args: list[str | int] = [
            hold.incarnation, hold.lease, hold.host, f"{begin.turn}:{begin.step}", record, begin.batch,
            hold.agent, begin.account, at, *_listed(begin.segments), *_listed(begin.targets),
            *_listed(_paired(begin.amounts)), len(begin.privileges),
        ]  # fmt: skip
        for paths in begin.privileges:
            args += _listed(paths)
        reply = await self.pipe.evaluate(script("begin"), keys, args)
        if reply[0] == "begun":
            return Begun()
        if reply[0] == "ended":
            return EndedBefore(reply[1])
        return RefusedByStore(Rule(reply[1]), reply[2])

    async def end(
        self, hold: Hold, begin: Begin, result: str, used: Used, warn_percent: int, at: str
    ) -> None:
        k = self.keys
        keys = [k.ledger(begin.account), k.steps(hold.agent), k.facts]
        args: list[str | int] = [
            f"{begin.turn}:{begin.step}", hold.lease, result, "1" if used.is_assumed else "0",
            hold.agent, begin.account, at, warn_percent, *_paired(used.amounts),
        ]  # fmt: skip
        await self.pipe.evaluate(script("end"), keys, args)

    async def commit(
        self, hold: Hold, turn: Turn, hops_max: int, at: str
    ) -> Literal["done", "again", "looped"] | RefusedByStore:
        k = self.keys
        keys = [
            k.agent(hold.agent), k.fences, k.stops, k.revocations, k.host(hold.host), k.use(hold.agent),
            k.state(hold.agent), k.steps(hold.agent), k.heads, k.posts, k.facts,
        ]  # fmt: skip
        keys += [k.channel(channel) for channel, _ in turn.outputs]
        outputs: list[str | int] = []
        for channel, message in turn.outputs:
            wanted = sufficient(turn.privileges[channel]) if channel in turn.privileges else ()
            sealed = self._runtime(channel, message)
            outputs += (channel, sealed.ring, *_listed(wanted), *_listed(sealed.fields))
        cuts: list[str | int] = [len(turn.cuts)]
        for cut in turn.cuts:
            cuts += _listed(cut_fields(hold.agent, turn, cut, at))
        state = [
            "memory", turn.memory, "guard", turn.guard, "done", "1" if turn.is_done else "",
            "taint", " ".join(turn.taint),
        ]  # fmt: skip
        state += ["serial", str(self._serials.last)]
        for channel, position in turn.positions.items():
            state += [f"p:{channel}", position]
        state += _prefixed("h:", turn.heard)
        args: list[str | int] = [
            hold.incarnation, hold.lease, hold.host, turn.number, hold.agent, at, turn.hops, hops_max,
            *_listed(turn.segments), *_listed(turn.targets), *_listed(state), *cuts, *outputs,
        ]  # fmt: skip
        reply = await self.pipe.evaluate(script("commit"), keys, args)
        if reply[0] == "output":
            return RefusedByStore(Rule(reply[2]), reply[3], int(reply[1]))
        return RefusedByStore(Rule(reply[1]), reply[2]) if reply[0] == "refused" else reply[0]

    async def record_refused(self, host: HostId, refused: Sequence[RefusedMail], at: str) -> None:
        # Not in one script with anything: told twice, where a reply was lost, it is still what happened.
        for mail in refused:
            await self.pipe.execute(
                "XADD", self.keys.facts, "*", "fact", "refuse", "host", host, "rule", mail.rule.value,
                "channel", mail.channel, "first", mail.first, "count", mail.count, "at", at,
            )  # fmt: skip

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
                swarm.put(agent)
        open_missions = [MissionId(id) for id in sorted(await self.pipe.execute("SMEMBERS", k.missions))]
        damaged = [id for id in open_missions if not await self._load_mission(swarm, id)]
        await self._load_spawns(swarm)
        fences = await self._hash(k.fences)
        swarm.lineage.fences.update({segment: fence_of(segment, text) for segment, text in fences.items()})
        for target, text in (await self._hash(k.stops)).items():
            try:
                swarm.lineage.stops[target] = stop_of(target, text)
            except (ValueError, KeyError, TypeError):
                # Nor do the scripts read it: a mark of nobody's must not keep the swarm from starting.
                log.warning("a stop that cannot be read stops nothing", target=target, key=k.stops)
        for segment, text in (await self._hash(k.revocations)).items():
            swarm.apply([RevocationsSet(segment, revocations_of(segment, text))])
        for id, text in (await self._hash(k.troubles)).items():
            swarm.troubles[AgentId(id)] = trouble_of(text)
        for id, text in (await self._hash(k.approvals)).items():
            swarm.approvals[id] = approval_of(id, text)
        for id, text in (await self._hash(k.overrides)).items():
            swarm.overrides[id] = override_of(id, text)
        swarm.period = await self.pipe.execute("HGET", k.ledger(SOB), "period") or ""
        for id in await self.pipe.execute("SMEMBERS", k.hosts):
            # Not yet seen alive: it holds its agents until it is declared dead, and is given no new ones.
            swarm.hosts[HostId(id)] = Host(HostId(id), 0, "")
        head = await self._hash(k.head)
        swarm.chain = Chain(_head_of(head), Records.of(all_records(swarm)))
        positions = await self._hash(k.positions)
        seq = int(positions.pop("seq", "0"))
        self._serials.go_beyond(_number(positions.pop(_SERIAL, None)), self._now())
        read_until = {Channel(c): StreamId(p) for c, p in positions.items()}
        heard = Heard.of(await self._hash(k.heard))
        return Loaded(swarm, read_until, seq, tuple(damaged), await self._lost(read_until), heard)

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

    async def read_journal(self, after: StreamId, count: int) -> list[tuple[StreamId, list[str]]]:
        reply = await self.pipe.execute(
            "XRANGE", self.keys.channel(JOURNAL), "-" if after == FIRST else f"({after}", "+", "COUNT", count
        )
        return [(StreamId(id), _flat_fields(fields)) for id, fields in reply]

    async def trim_journal(self, before: StreamId) -> None:
        await self.pipe.execute("XTRIM", self.keys.channel(JOURNAL), "MINID", before)

    async def stated_accounts(self, ids: Collection[str], facts_after: StreamId | None = None) -> Stated:
        keys = [self.keys.facts, *(self.keys.ledger(id) for id in ids)]
        start = "" if facts_after is None else f"({facts_after}"
        last, facts, *rows = await self.pipe.evaluate(script("accounts"), keys, [start])
        found = {id: _pairs(row) for id, row in zip(ids, rows, strict=True) if row}
        return Stated(found, StreamId(last), [(StreamId(id), _pairs(flat)) for id, flat in facts])

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
        lefts = await asyncio.gather(*(self.pipe.execute("PTTL", self.keys.host(HostId(id))) for id in ids))
        alive = {
            host.id: replace(host, lease_left=max(0, left) / 1000)
            for host, left in ((host_of(text), left) for text, left in zip(found, lefts, strict=True) if text)
        }
        return alive, frozenset(HostId(id) for id in ids)

    async def standings(self, ids: Sequence[AgentId]) -> dict[AgentId, Standing]:
        """How far each is with its task. Two short answers for each, all in one pipeline."""
        states = await asyncio.gather(
            *(self.pipe.execute("HMGET", self.keys.state(id), "turn", "done") for id in ids)
        )
        steps = await asyncio.gather(*(self.pipe.execute("HKEYS", self.keys.steps(id)) for id in ids))
        return {
            id: Standing(is_done=bool(done), is_busy=f"{int(turn or 0) + 1}:batch" in begun)
            for id, (turn, done), begun in zip(ids, states, steps, strict=True)
        }

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
        facts_until: StreamId | None = None, heard: Mapping[str, str] | None = None,
        unheard: Sequence[str] = (),
    ) -> Literal["done", "short"]:  # fmt: skip
        k, made = self.keys, plan(self.keys, self._supervisor, changes)
        if heard:
            made.do("hset", k.heard, _prefixed("", heard))
        if unheard:
            made.do("hdel", k.heard, list(unheard))
        if facts_until is not None:
            # MINID keeps the entry itself: the position after it is what is read from next.
            made.do("trim", k.facts, facts_until)
        keys = [k.leader, k.positions, k.heads, k.posts, k.facts, *made.names]
        text = made.text({**positions, Channel(_SERIAL): StreamId(str(self._serials.last))})
        reply = await self.pipe.evaluate(script("supervise"), keys, [token, seq, text])
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
            await self.pipe.execute("HDEL", k.troubles, id)
            # Its creator may live for ever, as the board does: it must not list all that it ever had.
            parent = await self.pipe.execute("HGET", k.agent(agent), "parent")
            await self.pipe.execute("SREM", k.children(AgentId(parent or "")), id)
            keys += [k.agent(agent), k.children(agent)]
            await self.pipe.execute("HDEL", k.heard, *heard_of_sender(id, INPUTS))
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


def _listed(words: Sequence[str]) -> list[str | int]:
    """A list as the scripts read it: its length first."""
    return [len(words), *words]


def _paired(amounts: Mapping[str, int]) -> list[str]:
    return [word for kind, amount in amounts.items() for word in (kind, str(amount))]


def _pairs(flat: Pairs | Mapping[str, str]) -> dict[str, str]:
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _head_of(record: Mapping[str, str]) -> Head:
    return Head(int(record["n"]), record["hash"], record["after"]) if record else Head()


def _flat_fields(fields: Pairs | Mapping[str, str]) -> list[str]:
    if isinstance(fields, Mapping):
        return [part for pair in fields.items() for part in pair]
    return list(fields)


def _flat(rows: Sequence[Any]) -> list[Any]:
    """Members with scores come flat or as pairs, by the client's protocol and version."""
    return [part for row in rows for part in (row if isinstance(row, list | tuple) else (row,))]


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _prefixed(prefix: str, pairs: Mapping[str, str]) -> list[str]:
    return [word for key, value in pairs.items() for word in (f"{prefix}{key}", value)]
