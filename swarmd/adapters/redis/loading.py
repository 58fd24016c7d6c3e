"""The supervisor's memory, read from the store when it takes the lead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from swarmd.adapters.redis.codecs import agent_of, rows_of, stand_in
from swarmd.adapters.redis.record_reads import RecordReads
from swarmd.adapters.redis.session import Session, number_of
from swarmd.core.bus.envelope import Heard
from swarmd.core.journal.entries import all_records
from swarmd.core.model.chain import Chain, Head, Records
from swarmd.core.model.channels import FACTS, INPUTS, MISSIONS
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import order_of
from swarmd.core.model.names import FIRST, SOB, AgentId, Channel, HostId, MissionId, StreamId
from swarmd.core.model.records import Host
from swarmd.core.model.state import Swarm
from swarmd.core.model.tables import OF_MISSIONS, SHARED, Table
from swarmd.errors import WrongKeyError
from swarmd.log_events import LogEvent
from swarmd.ports.stores import Loaded

log = structlog.get_logger(__name__)

# Beside the supervisor's positions: the last serial that it has issued.
SERIAL: Final = "_serial"
LOAD_BATCH: Final = 500
# A place that no stream has come to yet.
_BEYOND: Final = StreamId("18446744073709551615-0")
_PLACE: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

V = TypeVar("V")


class Loading:
    def __init__(self, session: Session, records: RecordReads) -> None:
        self._session, self._records = session, records
        self._keys = session.keys

    async def load(self, declared: Declarations) -> Loaded:
        swarm = Swarm(declared)
        held = await self._load_agents(swarm)
        damaged = await self._load_missions(swarm)
        await self._load_spawns(swarm)
        await self._load_shared(swarm)
        head = await self._session.hash_at(self._keys.head)
        swarm.chain = Chain(_head_of(head), Records.of(all_records(swarm)))
        seq, read_until = await self._load_positions(has_past=bool(swarm.chain.head.n))
        heard = Heard.of(await self._session.hash_at(self._keys.heard))
        lost_ends = await self._lost(read_until)
        return Loaded(swarm, read_until, seq, damaged, lost_ends, heard, held)

    async def _load_agents(self, swarm: Swarm) -> tuple[AgentId, ...]:
        """The agents, and which of them are held because their records cannot be read."""
        ids = sorted(await self._session.pipe.execute("SMEMBERS", self._keys.agents))
        unreadable: list[AgentId] = []
        for start in range(0, len(ids), LOAD_BATCH):
            for agent in await self._gather_agents(ids[start : start + LOAD_BATCH], unreadable):
                swarm.put(agent)
        # A seat is made anew. Of any other it is not guessed what it was: it is held, with all
        # below it.
        seats = swarm.declared.board.seats
        lost = [id for id in unreadable if id not in seats and id != SOB]
        return tuple([id for id in lost if await self._stands_in(swarm, id)])

    async def _load_missions(self, swarm: Swarm) -> tuple[MissionId, ...]:
        """The open missions, and which of them have records that cannot be read."""
        ids = sorted(await self._session.pipe.execute("SMEMBERS", self._keys.missions))
        damaged = [id for id in ids if not await self._load_mission(swarm, MissionId(id))]
        return tuple(map(MissionId, damaged))

    async def _load_shared(self, swarm: Swarm) -> None:
        """What belongs to no one mission."""
        k = self._keys
        for table in SHARED:
            swarm.load_rows(table, await self._rows(table))
        root = await self._session.hash_at(k.ledger(SOB))
        swarm.has_root, swarm.period = bool(root), root.get("period", "")
        for id in await self._session.pipe.execute("SMEMBERS", k.hosts):
            # Not yet seen alive: it holds its agents until it is declared dead, and is given no new
            # ones.
            swarm.hosts[HostId(id)] = Host(HostId(id), 0, "")

    async def _load_positions(self, *, has_past: bool) -> tuple[int, dict[Channel, StreamId]]:
        """The number of the last commit, and how far each input was read."""
        key = self._keys.positions
        positions = await self._session.hash_at(key)
        seq = number_of(positions.pop("seq", None))
        self._session.serials.go_beyond(number_of(positions.pop(SERIAL, None)), self._session.now())
        if has_past and not seq:
            # Deleted under a swarm that has a past. Read from their beginnings the inputs would be
            # decided once more.
            log.error(LogEvent.POSITIONS_LOST, key=key)
            return seq, {Channel(c): _BEYOND for c in (MISSIONS, FACTS, *INPUTS)}
        # One that is no place in a stream was written by somebody else: as one that is gone, it
        # counts as the end.
        return seq, {
            Channel(c): StreamId(p) if _PLACE.fullmatch(p) else _BEYOND
            for c, p in positions.items()
        }

    async def _rows(self, table: Table[V], key: str = "") -> dict[str, V]:
        hash = self._keys.rows(table, key)
        return rows_of(table, hash, await self._session.hash_at(hash))

    async def _lost(self, positions: Mapping[Channel, StreamId]) -> dict[Channel, StreamId]:
        """Inputs whose last entry is older than what was read of them: deleted, or lost with a
        server's last second.
        """
        lasts = await asyncio.gather(
            *(
                self._session.stream("XREVRANGE", self._keys.channel(c), "+", "-", "COUNT", 1)
                for c in positions
            )
        )
        ends = {
            c: StreamId(last[0][0]) if last else FIRST
            for c, last in zip(positions, lasts, strict=True)
        }
        return {c: end for c, end in ends.items() if order_of(end) < order_of(positions[c])}

    async def _gather_agents(self, ids: Sequence[str], unreadable: list[AgentId]) -> list[Agent]:
        agents = [
            agent_of(record)
            for record in await self._records.agent_records([AgentId(id) for id in ids])
        ]
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
        key = self._keys.agent(id)
        living = list(swarm.lineage.agents.values())
        lists = await asyncio.gather(
            *(
                self._session.ask_or(0, "SISMEMBER", self._keys.children(agent.id), id)
                for agent in living
            )
        )
        creator = next(
            (agent for agent, is_listed in zip(living, lists, strict=True) if is_listed), None
        )
        agent = stand_in(id, await self._session.hash_at(key), swarm.lineage, creator)
        log.error(
            LogEvent.AGENT_UNREADABLE,
            agent=id,
            key=key,
            hint=f"restore it and restart, or end the agent: `swarmd terminate {id}`"
            if agent is not None
            else (
                "nothing says where it stands: restore it and restart, or `swarmd redis-cli "
                f"SREM {self._keys.agents} {id}`"
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
        names = await self._session.pipe.execute("ZRANGE", self._keys.ended, 0, lately - 1, "REV")
        gone = await self._records.agents(
            [AgentId(name[6:]) for name in names if name.startswith("agent:")]
        )
        made = [agent for agent in (*swarm.lineage.agents.values(), *gone) if agent is not None]
        for agent in sorted(made, key=lambda agent: agent.created):
            if agent.mission in swarm.missions:
                swarm.note_spawn(agent)

    async def _load_mission(self, swarm: Swarm, id: MissionId) -> bool:
        mission = await self._records.mission(id)
        if mission is None:
            swarm.observed.free[id] = await self._records.free(id)
            return False
        rows: dict[Table[Any], Any] = {}
        for table in OF_MISSIONS:
            try:
                rows[table] = await self._rows_of(table, id)
            except (ValueError, WrongKeyError):
                key = self._keys.rows(table, id)
                log.exception(LogEvent.MISSION_UNREADABLE, mission=id, key=key)
                swarm.observed.free[id] = await self._records.free(id)
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
        text = await self._session.pipe.execute("GET", self._keys.rows(table, mission))
        return table.read(mission, text) if text else None


def _head_of(record: Mapping[str, str]) -> Head:
    return Head(int(record["n"]), record["hash"], record["after"]) if record else Head()
