"""The store on Redis: the atomic steps as scripts, reads as plain commands, all through one `Pipe`.

In the unit tests the same code runs over fakeredis with Lua: there is no second implementation of
the law.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import structlog

from swarmd.adapters.redis.codecs import (
    agent_of,
    charter_of,
    cut_fields,
    host_of,
    host_text,
    is_amount,
    mission_of,
    refusal_fields,
    rows_of,
    stand_in,
)
from swarmd.adapters.redis.commit_plan import plan
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.founding import Stamp
from swarmd.adapters.redis.keys import COUNTERS, Keys, is_counter, shared_names, type_of
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.replicas import Replicas
from swarmd.core.agent.turn import NO_MEMORY, Memory
from swarmd.core.bus.envelope import (
    RUNTIME,
    SUPERVISOR_ISSUER,
    Heard,
    Seal,
    Sealer,
    Serials,
    heard_of_sender,
)
from swarmd.core.control.stalls import Standing
from swarmd.core.journal.entries import all_records
from swarmd.core.model.chain import Chain, Head, Records
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import DEAD, FACTS, INPUTS, JOURNAL, MISSIONS, host_channel
from swarmd.core.model.charter import KINDS, Charter
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message, Ring, line_of, order_of
from swarmd.core.model.names import FIRST, SOB, AgentId, Channel, HostId, MissionId, StreamId
from swarmd.core.model.privileges import sufficient
from swarmd.core.model.records import Host, Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Swarm
from swarmd.core.model.tables import (
    FENCES,
    OF_MISSIONS,
    REVOCATIONS,
    SHARED,
    STOPS,
    TABLES,
    Table,
)
from swarmd.core.model.versions import NewerRecordError
from swarmd.errors import NotLeadingError, StoreUnsuitableError, WrongKeyError
from swarmd.ports.stores import (
    LOST,
    Around,
    Attempt,
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
    Waiting,
)

if TYPE_CHECKING:
    from swarmd.adapters.redis.connection.connection import Dial

log = structlog.get_logger(__name__)

# How long a key of a post from outside is remembered.
ONCE_SECONDS = 3_600
# Rows of one question to the sorted set of channels; more take another.
MOVED_MAX = 5_000
LOAD_BATCH = 500
_TIME: Final = re.compile(r"^server_time_usec:(\d+)", re.MULTILINE)
_RUN_ID: Final = re.compile(r"^run_id:(\w+)", re.MULTILINE)
# Beside the supervisor's positions: the last serial that it has issued.
_SERIAL = "_serial"

# What PTTL answers of a key that is not there, and of one that does not expire.
_NO_KEY: Final = -2
_NO_EXPIRY: Final = -1

# A place that no stream has come to yet.
_BEYOND = StreamId("18446744073709551615-0")
_PLACE = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

Pairs = Sequence[Any]
V = TypeVar("V")


class RedisStore:
    """Both sides' store. `pipe.run()` must be running in a task group of the caller.

    Whatever it posts is sealed, and what it reads on a sealed channel was: here and nowhere else.
    """

    def __init__(
        self,
        way: Dial,
        namespace: str,
        secret: bytes,
        *,
        patience: float = 3_600.0,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = Keys(namespace)
        self.pipe = Pipe(way, patience)
        self._replicas = Replicas(self.keys.confirmed)
        self._seal = Seal(secret, namespace)
        self._clock, self._steady, self._serials = now, steady, Serials()
        self._server_zero: float | None = None  # the server's time when `steady` was nothing
        self._stamp = Stamp(self.keys, self._seal, self._ask, self._stream)
        self._unreadable: set[str] = set()  # accounts and keys of which it was told
        self._runtime = Sealer(self._seal, RUNTIME, self._serials, self._now)
        self._supervisor = Sealer(self._seal, SUPERVISOR_ISSUER, self._serials, self._now)

    def _now(self) -> float:
        """The server's time, once it was told: of a process whose own clock is wrong, or jumps, by
        more than the window of an envelope, honest messages would be refused as old ones, and
        others' where it says since when a channel is followed."""
        return self._clock() if self._server_zero is None else self._server_zero + self._steady()

    def clock_behind(self) -> float:
        return (
            0.0 if self._server_zero is None else self._server_zero + self._steady() - self._clock()
        )

    async def _ask(self, *command: str | int | float) -> Any:
        return await self.pipe.execute(*command)

    async def check_schema(self, *, makes: bool = True) -> bool:
        """Refuse a namespace of another schema, or whose messages another secret seals. An empty
        one is stamped, or where `makes` is false left as it is: then the answer is false, and there
        is no swarm to work in yet. (A worker's user may not stamp.)
        """
        return await self._stamp.check(makes=makes)

    async def identity(self, candidate: str) -> str:
        """The swarm's own id, given to its server once."""
        await self.pipe.execute("HSETNX", self.keys.meta, "swarm", candidate)
        found = str(await self.pipe.execute("HGET", self.keys.meta, "swarm"))
        self._stamp.fields["swarm"] = found
        return found

    # --- posting and reading ---

    async def post(self, channel: Channel, message: Message, key: str = "") -> StreamId:
        k = self.keys
        stream = k.channel(channel)
        once = k.once(key) if key else stream
        sealed = self._runtime(channel, message)
        args: list[str | int] = [channel, *sealed, ONCE_SECONDS]
        return StreamId(
            await self.pipe.evaluate(script("post"), [stream, k.heads, k.posts, once], args)
        )

    async def read(self, channel: Channel, after: StreamId, count: int) -> list[Message]:
        entries = await self._stream(
            "XRANGE", self.keys.channel(channel), f"({after}", "+", "COUNT", count
        )
        return self._messages(channel, entries)

    async def latest(self, channel: Channel, count: int) -> list[Message]:
        entries = await self._stream(
            "XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", count
        )
        return self._messages(channel, entries[::-1])

    def _messages(self, channel: Channel, entries: Sequence[Any]) -> list[Message]:
        return [self._seal.open_entry(channel, StreamId(id), _line(flat)) for id, flat in entries]

    def ring(self, channel: Channel, line: str) -> Ring | None:
        return self._seal.open_ring(channel, line)

    async def moved(self, since: int) -> tuple[int, tuple[Channel, ...]]:
        posts = _number(await self.pipe.execute("GET", self.keys.posts))
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

    # --- a worker's steps ---

    async def register(self, host: Host, ttl_seconds: float) -> bool:
        k = self.keys
        if host.workspace:
            await self.pipe.execute("SET", k.workspace, host.workspace, "NX")
            if await self.pipe.execute("GET", k.workspace) != host.workspace:
                await self._renew(replace(host, workspace=""), ttl_seconds)
                return False
        await self._renew(host, ttl_seconds)
        return True

    async def _renew(self, host: Host, ttl_seconds: float) -> None:
        await self.pipe.execute(
            "SET", self.keys.host(host.id), host_text(host), "PX", int(ttl_seconds * 1000)
        )
        await self.pipe.execute("SADD", self.keys.hosts, host.id)
        # Who runs on while a later release takes the swarm over must not write into what it does
        # not know.
        await self._stamp.schema()

    async def server_run(self) -> str:
        told = await self.pipe.execute("INFO", "server")
        time_, run = _TIME.search(told), _RUN_ID.search(told)
        if time_ is not None:
            self._server_zero = int(time_[1]) / 1e6 - self._steady()
        found = run[1] if run else ""
        await self._stamp.keep(found)
        return found

    async def declare(self, digest: str, *, is_supervisor: bool) -> bool:
        """The supervisor's declarations are the swarm's; false where a worker's are others."""
        if is_supervisor:
            await self.pipe.execute("HSET", self.keys.meta, "declared", digest)
            self._stamp.fields["declared"] = digest
            return True
        return await self.pipe.execute("HGET", self.keys.meta, "declared") in (None, digest)

    async def forget_leases(self) -> None:
        """Of a server that this process has just started: whoever held a lease was connected to the
        last one, and is gone. Without this a restart waits out leases that nobody can renew."""
        hosts = [HostId(id) for id in await self.pipe.execute("SMEMBERS", self.keys.hosts)]
        await self.pipe.execute(
            "DEL", self.keys.leader, self.keys.hosts, *map(self.keys.host, hosts)
        )

    async def leave(self, host: HostId) -> None:
        await self.pipe.execute("SREM", self.keys.hosts, host)
        await self.pipe.execute("DEL", self.keys.host(host))

    async def agents(self, ids: Sequence[AgentId]) -> list[Agent | None]:
        return [self._hosted(record) for record in await self._records(ids)]

    async def _records(self, ids: Sequence[AgentId]) -> list[dict[str, str]]:
        try:
            replies = await self.pipe.execute_all([("HGETALL", self.keys.agent(id)) for id in ids])
        except WrongKeyError:
            # One of them is no record of ours: which, is found by asking for each.
            return [await self._hash(self.keys.agent(id)) for id in ids]
        return [_pairs(reply) for reply in replies]

    def _hosted(self, record: Mapping[str, str]) -> Agent | None:
        """Whom a later release has made, and in a way that this one does not know, another host
        is to run.
        """
        try:
            return agent_of(record)
        except NewerRecordError as newer:
            if record["id"] not in self._unreadable:
                self._unreadable.add(record["id"])
                log.error(  # noqa: TRY400 - it is in the message
                    "an agent is not for this swarmd",
                    agent=record["id"],
                    why=newer.what,
                    hint=newer.hint,
                )
            return None

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
        return Resumed(
            turn,
            _memory_of(state),
            positions,
            json.loads(batch) if batch else {},
            heard,
            state.get("guard", ""),
            bool(state.get("done")),
            tuple(state.get("taint", "").split()),
            _number(state.get("alone")),
        )

    async def recall(self, id: AgentId) -> tuple[Charter | None, Memory]:
        charter, state = await self.pipe.execute_all(
            [("HGET", self.keys.agent(id), "charter"), ("HGETALL", self.keys.state(id))]
        )
        return charter_of(charter), _memory_of(_pairs(state))

    async def mission(self, id: MissionId) -> Mission | None:
        return mission_of(await self._hash(self.keys.mission(id)))

    async def free(self, account: str) -> dict[str, int]:
        return (await self.accounts([account], "free"))[account]

    async def around(self, agent: AgentId, mission: MissionId, account: str) -> Around:
        k = self.keys
        record, ids, row = await self.pipe.execute_all(
            [
                ("HGETALL", k.mission(mission)),
                ("SMEMBERS", k.children(agent)),
                ("HMGET", k.ledger(account), *_amounts_named("free")),
            ]
        )
        children = await self._in_order(ids) if ids else ()
        return Around(
            _mission_of(tuple(_flat_fields(record))), children, self._amounts(account, row)
        )

    async def children(self, id: AgentId) -> tuple[Agent, ...]:
        return await self._in_order(await self.pipe.execute("SMEMBERS", self.keys.children(id)))

    async def _in_order(self, ids: Collection[str]) -> tuple[Agent, ...]:
        found = [
            agent for agent in await self.agents([AgentId(i) for i in ids]) if agent is not None
        ]
        return tuple(sorted(found, key=lambda agent: (agent.created, agent.id)))

    async def begin(
        self, hold: Hold, begin: Begin, at: str
    ) -> Begun | EndedBefore | RefusedByStore:
        k = self.keys
        record = json.dumps(
            {
                "kind": begin.kind,
                "input": begin.input,
                "account": begin.account,
                "lease": hold.lease,
                "amounts": dict(begin.amounts),
                "at": at,
                "within": begin.within_seconds,
                **({} if begin.may_repeat else {"once": LOST}),
            }
        )
        keys = [
            k.agent(hold.agent),
            k.rows(FENCES),
            k.rows(STOPS),
            k.rows(REVOCATIONS),
            k.host(hold.host),
            k.use(hold.agent),
            k.ledger(begin.account),
            k.steps(hold.agent),
            k.facts,
            k.state(hold.agent),
            k.leader,
        ]
        args: list[str | int] = [
            hold.incarnation,
            hold.lease,
            hold.host,
            f"{begin.turn}:{begin.step}",
            record,
            begin.batch,
            hold.agent,
            begin.account,
            at,
            *_listed(begin.segments),
            *_listed(begin.targets),
            *_listed(_paired(begin.amounts)),
            len(begin.privileges),
        ]
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
            f"{begin.turn}:{begin.step}",
            hold.lease,
            result,
            "1" if used.is_assumed else "0",
            hold.agent,
            begin.account,
            at,
            warn_percent,
            "1" if used.is_ok else "0",
            json.dumps(used.files, ensure_ascii=False) if used.files else "",
            *_paired(used.amounts),
        ]
        await self.pipe.evaluate(script("end"), keys, args)

    async def attempt(self, agent: AgentId, turn: int, token: str, how: Attempt) -> int:
        keys = [self.keys.steps(agent), self.keys.agent(agent)]
        return int(await self.pipe.evaluate(script("attempt"), keys, [turn, token, how]))

    async def commit(
        self, hold: Hold, turn: Turn, hops_max: int, at: str
    ) -> Literal["done", "again", "looped"] | RefusedByStore:
        keys = [
            *_keys_of(self.keys, hold.agent, hold.host),
            *(self.keys.channel(c) for c, _ in turn.outputs),
        ]
        outputs: list[str | int] = []
        for channel, message in turn.outputs:
            wanted = sufficient(turn.privileges[channel]) if channel in turn.privileges else ()
            sealed = self._runtime(channel, message)
            outputs += (channel, *sealed, *_listed(wanted))
        told = [cut_fields(hold.agent, turn, cut, at) for cut in turn.cuts]
        told += [refusal_fields(hold.agent, turn, refusal, at) for refusal in turn.refusals]
        facts: list[str | int] = [len(told)]
        for fact in told:
            facts += _listed(fact)
        state = [
            "guard",
            turn.guard,
            "done",
            "1" if turn.is_done else "",
            "taint",
            " ".join(turn.taint),
            "serial",
            str(self._serials.last),
            "alone",
            str(turn.alone or ""),
        ]
        for channel, position in turn.positions.items():
            state += [f"p:{channel}", position]
        state += _prefixed("h:", turn.heard)
        for number, entry in turn.memory.items():
            state += [f"m:{number}", entry]
        forgotten = [f"m:{number}" for number in turn.forgotten]
        args: list[str | int] = [
            hold.incarnation,
            hold.lease,
            hold.host,
            turn.number,
            hold.agent,
            at,
            turn.hops,
            hops_max,
            *_listed(turn.segments),
            *_listed(turn.targets),
            *_listed(state),
            *_listed(forgotten),
            *facts,
            *outputs,
        ]
        reply = await self.pipe.evaluate(script("commit"), keys, args)
        if reply[0] == "output":
            return RefusedByStore(Rule(reply[2]), reply[3], int(reply[1]))
        return RefusedByStore(Rule(reply[1]), reply[2]) if reply[0] == "refused" else reply[0]

    async def record_refused(self, host: HostId, refused: Sequence[RefusedMail], at: str) -> None:
        # Not in one script with anything: told twice, where a reply was lost, it is still what
        # happened.
        for mail in refused:
            await self.pipe.execute(
                "XADD",
                self.keys.facts,
                "*",
                "fact",
                "refuse",
                "host",
                host,
                "rule",
                mail.rule.value,
                "channel",
                mail.channel,
                "first",
                mail.first,
                "count",
                mail.count,
                "at",
                at,
            )

    # --- the supervisor's steps ---

    async def lead(self, host: HostId, ttl_seconds: float) -> int:
        until = int((self._now() + ttl_seconds) * 1000)
        args: list[str | int] = [host, int(ttl_seconds * 1000), until]
        return int(await self.pipe.evaluate(script("lead"), self._lead_keys, args))

    @property
    def _lead_keys(self) -> list[str]:
        return [self.keys.leader, self.keys.fencing, self.keys.meta]

    async def led_until(self) -> float:
        told = await self.pipe.execute("HGET", self.keys.meta, "led")
        return _number(told) / 1000

    async def step_down(self, host: HostId, number: int) -> None:
        """Let the lease go, so that the next supervisor need not wait for its end. Agents go on
        until that.
        """
        if number:
            await self.pipe.evaluate(script("lead"), self._lead_keys, [host, 0, 0])

    async def led_for(self) -> float:
        left = int(await self.pipe.execute("PTTL", self.keys.leader))
        if left == _NO_KEY:
            return 0.0
        return math.inf if left == _NO_EXPIRY else left / 1000

    async def last_commit(self) -> int:
        return _number(await self.pipe.execute("HGET", self.keys.positions, "seq"))

    async def load(self, declared: Declarations) -> Loaded:
        k, swarm = self.keys, Swarm(declared)
        ids = sorted(await self.pipe.execute("SMEMBERS", k.agents))
        unreadable: list[AgentId] = []
        for start in range(0, len(ids), LOAD_BATCH):
            for agent in await self._gather_agents(ids[start : start + LOAD_BATCH], unreadable):
                swarm.put(agent)
        # A seat is made anew. Of any other it is not guessed what it was: it is held, with all
        # below it.
        lost = [id for id in unreadable if id not in declared.board.seats and id != SOB]
        held = [id for id in lost if await self._stands_in(swarm, id)]
        open_missions = [
            MissionId(id) for id in sorted(await self.pipe.execute("SMEMBERS", k.missions))
        ]
        damaged = [id for id in open_missions if not await self._load_mission(swarm, id)]
        await self._load_spawns(swarm)
        for table in SHARED:
            swarm.load_rows(table, await self._rows(table))
        root = await self._hash(k.ledger(SOB))
        swarm.has_root, swarm.period = bool(root), root.get("period", "")
        for id in await self.pipe.execute("SMEMBERS", k.hosts):
            # Not yet seen alive: it holds its agents until it is declared dead, and is given no new
            # ones.
            swarm.hosts[HostId(id)] = Host(HostId(id), 0, "")
        head = await self._hash(k.head)
        swarm.chain = Chain(_head_of(head), Records.of(all_records(swarm)))
        positions = await self._hash(k.positions)
        seq = _number(positions.pop("seq", None))
        self._serials.go_beyond(_number(positions.pop(_SERIAL, None)), self._now())
        # One that is no place in a stream was written by somebody else: as one that is gone, it
        # counts as the end.
        read_until = {
            Channel(c): StreamId(p) if _PLACE.fullmatch(p) else _BEYOND
            for c, p in positions.items()
        }
        if swarm.chain.head.n and not seq:
            # Deleted under a swarm that has a past. Read from their beginnings the inputs would be
            # decided once more.
            log.error(
                "where the supervisor stood in its inputs is gone: it goes on at their ends",
                key=k.positions,
            )
            read_until = {Channel(c): _BEYOND for c in (MISSIONS, FACTS, *INPUTS)}
        heard = Heard.of(await self._hash(k.heard))
        lost_ends = await self._lost(read_until)
        return Loaded(swarm, read_until, seq, tuple(damaged), lost_ends, heard, tuple(held))

    async def _rows(self, table: Table[V], key: str = "") -> dict[str, V]:
        hash = self.keys.rows(table, key)
        return rows_of(table, hash, await self._hash(hash))

    async def _lost(self, positions: Mapping[Channel, StreamId]) -> dict[Channel, StreamId]:
        """Inputs whose last entry is older than what was read of them: deleted, or lost with a
        server's last second.
        """
        lasts = await asyncio.gather(
            *(
                self._stream("XREVRANGE", self.keys.channel(c), "+", "-", "COUNT", 1)
                for c in positions
            )
        )
        ends = {
            c: StreamId(last[0][0]) if last else FIRST
            for c, last in zip(positions, lasts, strict=True)
        }
        return {c: end for c, end in ends.items() if order_of(end) < order_of(positions[c])}

    async def _gather_agents(self, ids: Sequence[str], unreadable: list[AgentId]) -> list[Agent]:
        agents = [agent_of(record) for record in await self._records([AgentId(id) for id in ids])]
        unreadable += [AgentId(id) for id, agent in zip(ids, agents, strict=True) if agent is None]
        # Children are kept in the order they were made.
        return sorted(
            (agent for agent in agents if agent is not None),
            key=lambda a: (a.tier, a.created, a.id),
        )

    async def _stands_in(self, swarm: Swarm, id: AgentId) -> bool:
        """Puts what can be known of an agent in its place. False where nobody knows where that
        is.
        """
        key = self.keys.agent(id)
        living = list(swarm.lineage.agents.values())
        lists = await asyncio.gather(
            *(self._or(0, "SISMEMBER", self.keys.children(agent.id), id) for agent in living)
        )
        creator = next(
            (agent for agent, is_listed in zip(living, lists, strict=True) if is_listed), None
        )
        agent = stand_in(id, await self._hash(key), swarm.lineage, creator)
        log.error(
            "the record of an agent cannot be read",
            agent=id,
            key=key,
            hint=f"restore it and restart, or end the agent: `swarmd terminate {id}`"
            if agent is not None
            else (
                "nothing says where it stands: restore it and restart, or `swarmd redis-cli "
                f"SREM {self.keys.agents} {id}`"
            ),
        )
        if agent is not None:
            swarm.put(agent)
        return agent is not None

    async def _load_spawns(self, swarm: Swarm) -> None:
        """When each mission's agents were made, living and lately ended: a restart must not lift
        the rate.
        """
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
            swarm.observed.free[id] = await self.free(id)
            return False
        rows: dict[Table[Any], Any] = {}
        try:
            for table in OF_MISSIONS:
                rows[table] = await self._rows_of(table, id)
        except (ValueError, KeyError, TypeError, WrongKeyError):
            log.exception("what is kept of a mission cannot be read", mission=id)
            swarm.observed.free[id] = await self.free(id)
            return False
        swarm.missions[id] = mission
        for table, found in rows.items():
            if found:
                swarm.load_rows(table, {id: found})
        return True

    async def _rows_of(self, table: Table[Any], mission: MissionId) -> Any:
        """A mission's row of a table, or its rows by part; `None` or empty where it has none.
        Raises for a row that cannot be read.
        """
        if table.has_parts:
            return await self._rows(table, mission)
        text = await self.pipe.execute("GET", self.keys.rows(table, mission))
        return table.decode(mission, text) if text else None

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
        return await self._entries(self.keys.channel(MISSIONS), after, count)

    async def read_facts(
        self, after: StreamId, count: int
    ) -> list[tuple[StreamId, dict[str, str]]]:
        return await self._entries(self.keys.facts, after, count)

    async def read_journal(self, after: StreamId, count: int) -> list[tuple[StreamId, str]]:
        reply = await self.pipe.execute(
            "XRANGE",
            self.keys.channel(JOURNAL),
            "-" if after == FIRST else f"({after}",
            "+",
            "COUNT",
            count,
        )
        return [(StreamId(id), _line(flat)) for id, flat in reply]

    async def trim_journal(self, before: StreamId) -> None:
        await self.pipe.execute("XTRIM", self.keys.channel(JOURNAL), "MINID", before)

    async def lengths(self, channels: Sequence[Channel]) -> list[int]:
        return list(
            await asyncio.gather(*(self._or(0, "XLEN", self.keys.channel(c)) for c in channels))
        )

    async def last_id(self, channel: Channel) -> StreamId:
        newest = await self._stream("XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", 1)
        return StreamId(newest[0][0]) if newest else FIRST

    async def positions(
        self, channel: Channel, agents: Sequence[AgentId]
    ) -> dict[AgentId, StreamId]:
        found = await asyncio.gather(
            *(self._or(None, "HGET", self.keys.state(id), f"p:{channel}") for id in agents)
        )
        return {id: StreamId(at or FIRST) for id, at in zip(agents, found, strict=True)}

    async def trim(self, channel: Channel, before: StreamId, entries_max: int) -> int:
        # Not MAXLEN, which would count what nobody has read among what may stay. `~`: whole nodes
        # of the stream.
        key = self.keys.channel(channel)
        return int(await self._or(0, "XTRIM", key, "MINID", "~", before, "LIMIT", entries_max))

    async def stated_accounts(
        self, ids: Collection[str], facts_after: StreamId | None = None
    ) -> Stated:
        keys = [self.keys.facts, *(self.keys.ledger(id) for id in ids)]
        start = "" if facts_after is None else f"({facts_after}"
        last, facts, *rows = await self.pipe.evaluate(script("accounts"), keys, [start])
        found = {id: _pairs(row) for id, row in zip(ids, rows, strict=True) if row}
        return Stated(found, StreamId(last), [(StreamId(id), _pairs(flat)) for id, flat in facts])

    async def _entries(
        self, key: str, after: StreamId, count: int
    ) -> list[tuple[StreamId, dict[str, str]]]:
        entries = await self._stream("XRANGE", key, f"({after}", "+", "COUNT", count)
        return [(StreamId(id), _pairs(fields)) for id, fields in entries]

    async def _stream(self, command: str, key: str, *words: str | int) -> list[Any]:
        """Entries of a stream; none where the key holds something else. What is posted there
        then fails, loudly.
        """
        try:
            entries: list[Any] = await self.pipe.execute(command, key, *words)
        except WrongKeyError as error:
            self._tell_unreadable(key, error)
            return []
        self._unreadable.discard(key)
        return entries

    def _tell_unreadable(self, key: str, error: WrongKeyError) -> None:
        if key not in self._unreadable:
            self._unreadable.add(key)
            log.warning(
                "a key is not of our type: it is read as missing",
                key=key,
                why=error.what,
                hint=error.hint,
            )

    async def _or(self, missing: Any, *command: str | int) -> Any:
        """The answer, or `missing` where the key holds something else than ours."""
        try:
            return await self.pipe.execute(*command)
        except WrongKeyError as error:
            self._tell_unreadable(str(command[1]), error)
            return missing

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
        return await self._hash(self.keys.mission(id))

    async def hosts(self) -> tuple[dict[HostId, Host], frozenset[HostId]]:
        """Hosts whose lease lives, by the server's clock; and all that came and did not leave."""
        ids = await self.pipe.execute("SMEMBERS", self.keys.hosts)
        found = await asyncio.gather(
            *(self._or(None, "GET", self.keys.host(HostId(id))) for id in ids)
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
        """How far each is with its task. Two short answers for each, all in one pipeline."""
        states = await asyncio.gather(
            *(self._or((None, None), "HMGET", self.keys.state(id), "turn", "done") for id in ids)
        )
        steps = await asyncio.gather(*(self._or((), "HKEYS", self.keys.steps(id)) for id in ids))
        return {
            id: Standing(is_done=bool(done), is_busy=f"{_number(turn) + 1}:batch" in begun)
            for id, (turn, done), begun in zip(ids, states, steps, strict=True)
        }

    async def accounts(self, ids: Collection[str], amount: str) -> dict[str, dict[str, int]]:
        names = _amounts_named(amount)
        commands = [("HMGET", self.keys.ledger(id), *names) for id in ids]
        try:
            rows: list[Sequence[str | None]] = await self.pipe.execute_all(commands)
        except WrongKeyError:
            rows = [await self._row(command) for command in commands]
        return {id: self._amounts(id, row) for id, row in zip(ids, rows, strict=True)}

    async def _row(self, command: tuple[str, ...]) -> Sequence[str | None]:
        """Of a key that is no account, what is no number."""
        try:
            row: Sequence[str | None] = await self.pipe.execute(*command)
        except WrongKeyError:
            return ["?"] * (len(command) - 2)
        return row

    def _amounts(self, id: str, values: Sequence[str | None]) -> dict[str, int]:
        """By kind; what is no number is left out and said, once however often it is read so:
        nothing is given out of it.
        """
        found = {
            kind: int(text or 0)
            for kind, text in zip(KINDS, values, strict=True)
            if is_amount(text or "0")
        }
        if len(found) == len(KINDS):
            self._unreadable.discard(id)
        elif id not in self._unreadable:
            self._unreadable.add(id)
            log.error(
                "an account holds what is no number: nothing is given out of it",
                account=id,
                key=self.keys.ledger(id),
                hint="`swarmd fsck` says what is wrong, `swarmd fsck --repair` mends it",
            )
        return found

    async def letter(self, id: StreamId) -> Message | None:
        entries = await self.pipe.execute("XRANGE", self.keys.channel(DEAD), id, id)
        found = next(iter(self._messages(DEAD, entries)), None)
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
        k, made = self.keys, plan(self.keys, self._supervisor, changes)
        if heard:
            made.do("hset", k.heard, _prefixed("", heard))
        if unheard:
            made.do("hdel", k.heard, list(unheard))
        if facts_until is not None:
            # MINID keeps the entry itself: the position after it is what is read from next.
            made.do("trim", k.facts, facts_until)
        keys = [k.leader, k.positions, k.heads, k.posts, k.facts, *made.names]
        args = made.args({**positions, Channel(_SERIAL): StreamId(str(self._serials.last))})
        reply = await self.pipe.evaluate(script("supervise"), keys, [token, seq, *args])
        if reply == "damaged":
            log.error(
                "keys of another type were passed over in a commit",
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
        parent = await self._or(None, "HGET", k.agent(id), "parent")
        await self._or(0, "SREM", k.children(AgentId(parent or "")), id)
        await self.pipe.execute("HDEL", k.heard, *heard_of_sender(id, INPUTS))
        await self._unlink([k.ledger(id), k.agent(id), k.children(id)], channels)

    async def _unlink(self, keys: Sequence[str], channels: Sequence[Channel]) -> None:
        if channels:
            await self.pipe.execute("ZREM", self.keys.heads, *channels)
        if keys or channels:
            await self.pipe.execute("UNLINK", *keys, *map(self.keys.channel, channels))

    async def _hash(self, key: str) -> dict[str, str]:
        """Empty too where the key holds something else: what should be there is missing, whoever
        is to blame.
        """
        return await self._hash_or_none(key) or {}

    async def _hash_or_none(self, key: str) -> dict[str, str] | None:
        try:
            reply = await self.pipe.execute("HGETALL", key)
        except WrongKeyError as error:
            self._tell_unreadable(key, error)
            return None
        return reply if isinstance(reply, dict) else _pairs(reply)


# Of the agents that have committed last: eleven names are a tenth of what a small turn costs.
@lru_cache(maxsize=4_096)
def _keys_of(k: Keys, agent: AgentId, host: HostId) -> tuple[str, ...]:
    """What the commit of each of an agent's turns names."""
    return (
        k.agent(agent),
        k.rows(FENCES),
        k.rows(STOPS),
        k.rows(REVOCATIONS),
        k.host(host),
        k.use(agent),
        k.state(agent),
        k.steps(agent),
        k.heads,
        k.posts,
        k.facts,
    )


def _amounts_named(amount: str) -> list[str]:
    """The fields of an account that hold it, in the order of `KINDS`."""
    return [f"{kind}.{amount}" for kind in KINDS]


def _listed(words: Sequence[str]) -> list[str | int]:
    """A list as the scripts read it: its length first."""
    return [len(words), *words]


def _paired(amounts: Mapping[str, int]) -> list[str]:
    return [word for kind, amount in amounts.items() for word in (kind, str(amount))]


def _pairs(flat: Pairs | Mapping[str, str]) -> dict[str, str]:
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


# Every turn of a mission's agents reads its record, which seldom changes.
@lru_cache(maxsize=256)
def _mission_of(fields: tuple[str, ...]) -> Mission | None:
    return mission_of(_pairs(fields))


def _memory_of(state: Mapping[str, str]) -> Memory:
    numbers = sorted(int(field[2:]) for field in state if field.startswith("m:"))
    return Memory(numbers[0], tuple(state[f"m:{n}"] for n in numbers)) if numbers else NO_MEMORY


def _head_of(record: Mapping[str, str]) -> Head:
    return Head(int(record["n"]), record["hash"], record["after"]) if record else Head()


def _flat_fields(fields: Pairs | Mapping[str, str]) -> list[str]:
    if isinstance(fields, Mapping):
        return [part for pair in fields.items() for part in pair]
    return list(fields)


def _line(fields: Pairs | Mapping[str, str]) -> str:
    return line_of(_flat_fields(fields))


def _flat(rows: Sequence[Any]) -> list[Any]:
    """Members with scores come flat or as pairs, by the client's protocol and version."""
    return [part for row in rows for part in (row if isinstance(row, list | tuple) else (row,))]


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _prefixed(prefix: str, pairs: Mapping[str, str]) -> list[str]:
    return [word for key, value in pairs.items() for word in (f"{prefix}{key}", value)]
