"""A worker's atomic steps on Redis: each is a script, or a few plain commands."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from textwrap import shorten
from typing import Final, Literal

from swarmd.adapters.redis.agent_state import memory_of, positions_of
from swarmd.adapters.redis.channel_store import ChannelStore
from swarmd.adapters.redis.codecs import (
    charter_of,
    cut_fields,
    host_text,
    mission_of,
    refusal_fields,
)
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.record_reads import amounts_named
from swarmd.adapters.redis.session import flat_fields, number_of, pairs_of, prefixed
from swarmd.core.agent.memory import Memory
from swarmd.core.bus.envelope import Heard
from swarmd.core.model.charter import Charter
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, AgentState, HostId, MissionId
from swarmd.core.model.privileges import sufficient
from swarmd.core.model.records import Host, Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import FENCES, REVOCATIONS, STOPS
from swarmd.ports.stores import (
    LOST,
    Around,
    Attempt,
    Begin,
    Begun,
    Colleague,
    Doing,
    EndedBefore,
    Hold,
    RefusedByStore,
    RefusedMail,
    Resumed,
    Short,
    Turn,
    Used,
)

# Of those that have the same superior: an executive's are those of all missions, ended ones too,
# and what a prompt says of colleagues is not worth reading thousands of records.
COLLEAGUES_READ_MAX: Final = 128
TASK_SHOWN_MAX: Final = 160
# What PTTL answers of a key that is not there, and of one that does not expire.
_NO_KEY: Final = -2
_NO_EXPIRY: Final = -1


class RedisWorkerStore(ChannelStore):
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
        await self.session.stamp.schema()

    async def leave(self, host: HostId) -> None:
        await self.pipe.execute("SREM", self.keys.hosts, host)
        await self.pipe.execute("DEL", self.keys.host(host))

    async def resume(self, id: AgentId) -> Resumed:
        state = await self.session.hash_at(self.keys.state(id))
        turn = int(state.get("turn", "0"))
        batch = await self.pipe.execute("HGET", self.keys.steps(id), f"{turn + 1}:batch")
        self.session.serials.go_beyond(number_of(state.get("serial")), self.session.now())
        heard = Heard.of({f[2:]: v for f, v in state.items() if f.startswith("h:")})
        kept, gone = heard.forget_operators()
        if gone:
            # What is kept instead first: a crash between the two forgets nothing.
            await self.pipe.execute("HSET", self.keys.state(id), *prefixed("h:", kept))
            await self.pipe.execute("HDEL", self.keys.state(id), *(f"h:{key}" for key in gone))
        return Resumed(
            turn,
            memory_of(state),
            positions_of(state),
            json.loads(batch) if batch else {},
            heard,
            state.get("guard", ""),
            bool(state.get("done")),
            tuple(state.get("taint", "").split()),
            number_of(state.get("alone")),
            state.get("waits", ""),
        )

    async def recall(self, id: AgentId) -> tuple[Charter | None, Memory]:
        charter, state = await self.pipe.execute_all(
            [("HGET", self.keys.agent(id), "charter"), ("HGETALL", self.keys.state(id))]
        )
        return charter_of(charter), memory_of(pairs_of(state))

    async def around(self, agent: Agent, mission: MissionId, account: str) -> Around:
        k = self.keys
        above: tuple[tuple[str, ...], ...] = ()
        if agent.parent is not None:
            above = (
                ("SMEMBERS", k.children(agent.parent)),
                ("HGET", k.agent(agent.parent), "name"),
            )
        record, ids, free, spent, *beside = await self.pipe.execute_all(
            [
                ("HGETALL", k.mission(mission)),
                ("SMEMBERS", k.children(agent.id)),
                ("HMGET", k.ledger(account), *amounts_named("free")),
                ("HMGET", k.ledger(account), *amounts_named("spent")),
                *above,
            ]
        )
        children = await self.records.agents_in_order(ids) if ids else ()
        siblings, superior = beside or ((), "")
        return Around(
            _mission_of(tuple(flat_fields(record))),
            children,
            self.records.amounts_of(account, free),
            self.records.amounts_of(account, spent),
            await self._doing(children),
            await self._colleagues(mission, [id for id in siblings if id != agent.id]),
            superior or "",
        )

    async def _doing(self, children: Sequence[Agent]) -> dict[AgentId, Doing]:
        living = [c.id for c in children if c.state is not AgentState.TERMINATED]
        rows = await asyncio.gather(
            *(
                self.session.ask_or(
                    (None,) * 3, "HMGET", self.keys.state(id), "done", "at", "waits"
                )
                for id in living
            )
        )
        return {
            id: Doing(bool(done), at or "", waits or "")
            for id, (done, at, waits) in zip(living, rows, strict=True)
        }

    async def _colleagues(self, mission: MissionId, ids: Sequence[str]) -> tuple[Colleague, ...]:
        if len(ids) > COLLEAGUES_READ_MAX:
            return ()
        fields = ("name", "role", "mission", "state", "charter", "taint")
        rows = await asyncio.gather(
            *(
                self.session.ask_or((None,) * 6, "HMGET", self.keys.agent(AgentId(id)), *fields)
                for id in sorted(ids)
            )
        )
        return tuple(
            # What somebody wrote who had read text from outside is not shown to whoever has not.
            Colleague(AgentId(id), name, role or "", "" if taint else _task_of(charter))
            for id, (name, role, of, state, charter, taint) in zip(sorted(ids), rows, strict=True)
            if name and of == mission and state != AgentState.TERMINATED
        )

    async def children(self, id: AgentId) -> tuple[Agent, ...]:
        return await self.records.children(id)

    async def begin(
        self, hold: Hold, begin: Begin, at: str
    ) -> Begun | Short | EndedBefore | RefusedByStore:
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
                **({"lender": begin.lender, "lent": dict(begin.lent)} if begin.lent else {}),
            }
        )
        keys = [
            k.holds,
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
            k.ledger(begin.lender or begin.account),
            k.lent(begin.lender),
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
            "0" if begin.keep is None else "1",
            begin.lender,
            *_listed(begin.segments),
            *_listed(begin.targets),
            *_listed(_paired(begin.amounts)),
            *_listed(_paired(begin.keep or {})),
            *_listed(_paired(begin.lent)),
            len(begin.privileges),
        ]
        for paths in begin.privileges:
            args += _listed(paths)
        reply = await self.pipe.evaluate(script("begin"), keys, args)
        if reply[0] == "begun":
            return Begun()
        if reply[0] == "ended":
            return EndedBefore(reply[1])
        if reply[0] == "short":
            return _short(reply[1:])
        return RefusedByStore(Rule(reply[1]), reply[2])

    async def end(
        self, hold: Hold, begin: Begin, result: str, used: Used, warn_percent: int, at: str
    ) -> None:
        k = self.keys
        keys = [
            k.ledger(begin.account),
            k.steps(hold.agent),
            k.facts,
            k.ledger(begin.lender or begin.account),
            k.lent(begin.lender),
        ]
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
            used.waits.value if used.waits else "",
            used.cached,
            *_paired(used.amounts),
        ]
        await self.pipe.evaluate(script("end"), keys, args)

    async def attempt(self, agent: AgentId, turn: int, token: str, how: Attempt) -> int:
        keys = [self.keys.steps(agent), self.keys.holds]
        args: list[str | int] = [turn, token, how, agent, LOST]
        return int(await self.pipe.evaluate(script("attempt"), keys, args))

    async def commit(
        self, hold: Hold, turn: Turn, hops_max: int, at: str
    ) -> Literal["done", "again", "looped"] | RefusedByStore:
        keys = [
            *_keys_of(self.keys, hold.agent, hold.host),
            *(self.keys.channel(c) for c, _ in turn.outputs),
        ]
        # Sealed first: the state keeps the last serial that was given out.
        outputs = self._outputs_of(turn)
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
            *_listed(self._state_of(turn, at)),
            *_listed([f"m:{number}" for number in turn.forgotten]),
            *_facts_of(hold, turn, at),
            *outputs,
        ]
        reply = await self.pipe.evaluate(script("commit"), keys, args)
        if reply[0] == "output":
            return RefusedByStore(Rule(reply[2]), reply[3], int(reply[1]))
        return RefusedByStore(Rule(reply[1]), reply[2]) if reply[0] == "refused" else reply[0]

    def _outputs_of(self, turn: Turn) -> list[str | int]:
        outputs: list[str | int] = []
        for channel, message in turn.outputs:
            wanted = sufficient(turn.privileges[channel]) if channel in turn.privileges else ()
            sealed = self.session.runtime(channel, message)
            outputs += (channel, *sealed, *_listed(wanted))
        return outputs

    def _state_of(self, turn: Turn, at: str) -> list[str]:
        """What the agent's own state becomes, as HSET takes it."""
        fields = {
            "guard": turn.guard,
            "done": "1" if turn.is_done else "",
            "taint": " ".join(turn.taint),
            "serial": str(self.session.serials.last),
            "alone": str(turn.alone or ""),
            "waits": turn.wait,
            "at": at,
        }
        state = prefixed("", fields)
        for channel, position in turn.positions.items():
            state += [f"p:{channel}", position]
        state += prefixed("h:", turn.heard)
        for number, entry in turn.memory.items():
            state += [f"m:{number}", entry]
        return state

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

    async def led_for(self) -> float:
        left = int(await self.pipe.execute("PTTL", self.keys.leader))
        if left == _NO_KEY:
            return 0.0
        return math.inf if left == _NO_EXPIRY else left / 1000


# Of the agents that have committed last: twelve names are a tenth of what a small turn costs.
@lru_cache(maxsize=4_096)
def _keys_of(k: Keys, agent: AgentId, host: HostId) -> tuple[str, ...]:
    """What the commit of each of an agent's turns names."""
    return (
        k.holds,
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
        k.ends,
    )


def _facts_of(hold: Hold, turn: Turn, at: str) -> list[str | int]:
    told = [cut_fields(hold.agent, turn, cut, at) for cut in turn.cuts]
    told += [refusal_fields(hold.agent, turn, refusal, at) for refusal in turn.refusals]
    facts: list[str | int] = [len(told)]
    for fact in told:
        facts += _listed(fact)
    return facts


def _listed(words: Sequence[str]) -> list[str | int]:
    """A list as the scripts read it: its length first."""
    return [len(words), *words]


def _paired(amounts: Mapping[str, int]) -> list[str]:
    return [word for kind, amount in amounts.items() for word in (kind, str(amount))]


def _short(reply: Sequence[str]) -> Short:
    """Of each kind what the account has free, what its lender has, and what calls hold of that."""
    kinds = reply[::4]
    free, lendable, held = (
        {kind: int(n) for kind, n in zip(kinds, reply[of::4], strict=True)} for of in (1, 2, 3)
    )
    return Short(free, lendable, held)


# Every turn of a mission's agents reads its record, which seldom changes.
@lru_cache(maxsize=256)
def _mission_of(fields: tuple[str, ...]) -> Mission | None:
    return mission_of(pairs_of(fields))


def _task_of(charter: str | None) -> str:
    """The beginning of what a charter, as it is stored, gives its agent to do."""
    try:
        task = json.loads(charter or "{}").get("task")
    except (ValueError, AttributeError):
        return ""
    line = str(task or "").strip().split("\n", 1)[0]
    return shorten(line, TASK_SHOWN_MAX, placeholder=" …")
