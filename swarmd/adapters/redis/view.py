"""The read side: what the faces show, read from the contract's keys.

Verbs that only look must start as fast as Python does, so this stands on the small blocking connection
and not on redis-py: commands in pipelines, no retry inside. Invariant: nothing here writes.
"""

from __future__ import annotations

import json
import select
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.adapters.redis.connect import ErrorReply, Target, Wire, connect_sync, refused
from swarmd.adapters.redis.keys import SCHEMA, Keys
from swarmd.core.messages import Message, from_fields, order_of
from swarmd.core.names import (
    FIRST,
    MISSIONS,
    SOB,
    AgentId,
    AgentState,
    Channel,
    HostId,
    MissionId,
    StreamId,
)

BATCH: Final = 500  # commands in one pipeline: bounds what the server holds for us at once

Record = dict[str, str]
Amounts = dict[str, dict[str, int]]


# --- asking -----------------------------------------------------------------------------------


def ask(wire: Wire, *commands: Sequence[str]) -> list[Any]:
    """The answers, as text, in the order of the commands; an error among them is raised."""
    answers: list[Any] = []
    for start in range(0, len(commands), BATCH):
        batch = commands[start : start + BATCH]
        for command in batch:
            wire.send(*(_bytes(word) for word in command))
        answers += [wire.read() for _ in batch]
    for answer in answers:
        if isinstance(answer, ErrorReply):
            raise refused(answer)
    return [_text(answer) for answer in answers]


def _bytes(word: str) -> bytes:
    # An argument of the command line may carry bytes that were no text; they match no key, and harm nothing.
    return word.encode("utf-8", "surrogateescape")


def _text(reply: Any) -> Any:
    """Bytes that are no UTF-8, which any submitter may send, stay visible and break nothing."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    if isinstance(reply, list):
        return [_text(part) for part in reply]
    return reply


# --- what is read -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Health:
    """What a health check asks, in one pipeline."""

    leader: str
    hosts: Mapping[str, Mapping[str, Any]]  # the living, with their facts
    hosts_lost: tuple[str, ...]  # admitted, lease expired, not yet declared dead
    missions_open: int
    agents_living: int
    schema: str
    writes: bool  # the server's last write to its disk went well
    is_heard: bool  # somebody listens at the entrance `swarm:missions`

    @property
    def schema_fits(self) -> bool:
        return self.schema in ("", SCHEMA)


@dataclass(frozen=True, slots=True)
class Inner:
    """What is private of an agent, for `inspect`."""

    turn: str
    positions: Mapping[str, str]
    privileges: tuple[str, ...]
    steps_begun: int
    steps_ended: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The swarm at one moment, as far as a face draws it."""

    agents: tuple[Record, ...] = ()
    missions: tuple[Record, ...] = ()
    ledgers: Mapping[str, Amounts] = field(default_factory=dict)


class View:
    """Reads of one swarm. Each method is one pipeline, two where the first gives the keys."""

    __slots__ = ("_wire", "keys")

    def __init__(self, wire: Wire, keys: Keys) -> None:
        self._wire = wire
        self.keys = keys

    def close(self) -> None:
        self._wire.close()

    # --- agents ---

    def agent_ids(self, *, ended: bool) -> list[AgentId]:
        """The living (the board first), and with `ended` those whose records are still kept."""
        living, gone = ask(
            self._wire,
            ["SMEMBERS", self.keys.agents],
            ["ZRANGE", self.keys.ended, "0", "-1"] if ended else ["ECHO", ""],
        )
        ids = set(living)
        if ended:
            ids |= {name.removeprefix("agent:") for name in gone if name.startswith("agent:")}
        return [AgentId(one) for one in sorted(ids, key=lambda it: (it != SOB, it))]

    def agents(self, *, ended: bool = False) -> list[Record]:
        """Records, sorted by the time they were created; `state` is what the fences make of it."""
        ids = self.agent_ids(ended=ended)
        *records, fences = ask(
            self._wire, *(["HGETALL", self.keys.agent(one)] for one in ids), ["HKEYS", self.keys.fences]
        )
        read = (_hash(record) for record in records)
        found = [_fenced(record, frozenset(fences)) for record in read if record.get("id")]
        return sorted(found, key=lambda agent: (agent.get("created", ""), agent.get("id", "")))

    def agent(self, id: AgentId) -> Record | None:
        record, fences = ask(self._wire, ["HGETALL", self.keys.agent(id)], ["HKEYS", self.keys.fences])
        return _fenced(_hash(record), frozenset(fences)) if record else None

    def children(self, id: AgentId) -> list[str]:
        return sorted(ask(self._wire, ["SMEMBERS", self.keys.children(id)])[0])

    def inner(self, id: AgentId) -> Inner:
        state, use, steps = ask(
            self._wire,
            ["HGETALL", self.keys.state(id)],
            ["SMEMBERS", self.keys.use(id)],
            ["HKEYS", self.keys.steps(id)],
        )
        own = _hash(state)
        return Inner(
            turn=own.get("turn", ""),
            positions={name[2:]: own[name] for name in sorted(own) if name.startswith("p:")},
            privileges=tuple(sorted(use)),
            steps_begun=sum(1 for name in steps if name.endswith(":b")),
            steps_ended=sum(1 for name in steps if name.endswith(":e")),
        )

    # --- accounts ---

    def ledgers(self, accounts: Sequence[str]) -> dict[str, Amounts]:
        """Accounts by id, each `{kind: {cap, free, reserved, granted, spent, overdraft}}`."""
        rows = ask(self._wire, *(["HGETALL", self.keys.ledger(account)] for account in accounts))
        return {account: ledger_of(_hash(row)) for account, row in zip(accounts, rows, strict=True) if row}

    def snapshot(self, mission: str = "") -> Snapshot:
        """Missions, tree and accounts, of one mission (with the board above it) or of all."""
        missions = [one for one in self.missions() if mission in ("", one["id"])]
        agents = [agent for agent in self.agents(ended=True) if _belongs(agent, mission)]
        ledgers = self.ledgers([one["id"] for one in (*agents, *missions)])
        return Snapshot(tuple(agents), tuple(missions), ledgers)

    # --- missions ---

    def mission_ids(self) -> list[MissionId]:
        is_open, ended = ask(
            self._wire, ["SMEMBERS", self.keys.missions], ["ZRANGE", self.keys.ended, "0", "-1"]
        )
        gone = (name.removeprefix("mission:") for name in ended if name.startswith("mission:"))
        return [MissionId(one) for one in sorted({*is_open, *gone})]

    def missions(self) -> list[Record]:
        """All that are remembered, oldest first."""
        rows = ask(self._wire, *(["HGETALL", self.keys.mission(one)] for one in self.mission_ids()))
        found = [record for record in (_hash(row) for row in rows) if record.get("id")]
        return sorted(found, key=lambda mission: (mission.get("created", ""), mission["id"]))

    def mission(self, id: MissionId) -> Record | None:
        row = ask(self._wire, ["HGETALL", self.keys.mission(id)])[0]
        return _hash(row) if row else None

    # --- channels ---

    def entries(self, channel: Channel, after: StreamId, count: int = BATCH) -> list[tuple[StreamId, Record]]:
        """What was stored after that id, oldest first, as it is on the stream."""
        start = "-" if after == FIRST else f"({after}"
        rows = ask(self._wire, ["XRANGE", self.keys.channel(channel), start, "+", "COUNT", str(count)])[0]
        return [(StreamId(at), _hash(flat)) for at, flat in rows]

    def last_entries(self, channel: Channel, count: int) -> list[tuple[StreamId, Record]]:
        """The newest, oldest of them first."""
        rows = ask(self._wire, ["XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", str(count)])[0]
        return [(StreamId(at), _hash(flat)) for at, flat in reversed(rows)]

    def messages(self, channel: Channel, after: StreamId) -> list[Message]:
        """As `entries`, those that are messages of ours."""
        read = (from_fields(channel, at, flat) for at, flat in self.entries(channel, after))
        return [message for message in read if message is not None]

    def last_id(self, channel: Channel) -> StreamId:
        rows = ask(self._wire, ["XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", "1"])[0]
        return StreamId(rows[0][0]) if rows else FIRST

    def has_channel(self, channel: Channel) -> bool:
        """Whether anything was ever posted there, or an agent or a room of that name could hear it."""
        kind, _, name = channel.partition(":")
        questions = [["EXISTS", self.keys.channel(channel)], ["ZSCORE", self.keys.heads, channel]]
        if kind in ("inbox", "down", "up"):
            questions.append(["EXISTS", self.keys.agent(AgentId(name))])
        return any(answer not in (0, None) for answer in ask(self._wire, *questions))

    def channels(self) -> list[str]:
        """The channels that something was posted in."""
        return sorted(ask(self._wire, ["ZRANGE", self.keys.heads, "0", "-1"])[0])

    def is_heard(self, channel: Channel) -> bool:
        """Whether a living agent keeps a position in the channel: a room without a post exists by that."""
        ids = self.agent_ids(ended=False)
        found = ask(self._wire, *(["HEXISTS", self.keys.state(one), f"p:{channel}"] for one in ids))
        return any(found)

    # --- the whole ---

    def health(self) -> Health:
        keys = self.keys
        leader, hosts, missions, agents, schema, heard, persistence = ask(
            self._wire,
            ["GET", keys.leader],
            ["SMEMBERS", keys.hosts],
            ["SCARD", keys.missions],
            ["SCARD", keys.agents],
            ["HGET", keys.meta, "schema"],
            ["PUBSUB", "NUMSUB", keys.channel(MISSIONS)],
            ["INFO", "persistence"],
        )
        names = sorted(hosts)
        facts = ask(self._wire, *(["GET", keys.host(HostId(name))] for name in names))
        living = {name: _facts(text) for name, text in zip(names, facts, strict=True) if text is not None}
        return Health(
            leader=leader or "",
            hosts=living,
            hosts_lost=tuple(name for name in names if name not in living),
            missions_open=missions,
            agents_living=agents,
            schema=schema or "",
            writes="aof_last_write_status:err" not in persistence,
            is_heard=int(heard[1]) > 0,
        )


class Bell:
    """Rings of some channels, on a connection of its own. A ring is only a reason to read the stream."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire, keys: Keys, channels: Iterable[Channel]) -> None:
        self._wire = wire
        names = [keys.channel(channel) for channel in channels]
        wire.send("SUBSCRIBE", *names)
        # Confirmed before the stream is read: what is posted in between is then heard.
        for _ in names:
            wire.read()

    def wait(self, seconds: float) -> bool:
        """Whether something rang within the time.

        Rings that were read ahead into the buffer are not counted again: the stream, which is read after
        each wait, held their messages before they rang.
        """
        readable, _, _ = select.select([self._wire], [], [], seconds)
        if readable:
            self._wire.read()
        return bool(readable)

    def close(self) -> None:
        self._wire.close()


def view_of(target: Target, namespace: str) -> View:
    """Connects. Raises `StoreUnavailableError` or `StoreUnsuitableError`."""
    return View(connect_sync(target), Keys(namespace))


def bell_of(target: Target, namespace: str, *channels: Channel) -> Bell:
    """Connects and subscribes. Raises as `view_of`."""
    return Bell(connect_sync(target), Keys(namespace), channels)


def ledger_of(flat: Mapping[str, str]) -> Amounts:
    """`{"tokens.cap": "5"}` as `{"tokens": {"cap": 5}}`."""
    nested: Amounts = {}
    for name, value in flat.items():
        kind, dot, column = name.partition(".")
        if dot and value.lstrip("-").isdecimal():
            nested.setdefault(kind, {})[column] = int(value)
    return nested


def is_stream_id(text: str) -> bool:
    try:
        order_of(StreamId(text))
    except ValueError:
        return False
    return True


def _hash(flat: Sequence[str]) -> Record:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _facts(text: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _fenced(agent: Record, fences: frozenset[str]) -> Record:
    """Descendants of a fenced agent are ending although their records, reaped in steps, don't say so yet."""
    if agent.get("state") == AgentState.TERMINATED or fences.isdisjoint(agent.get("path", "").split("/")):
        return agent
    return agent | {"state": AgentState.DRAINING.value}


def _belongs(agent: Record, mission: str) -> bool:
    return not mission or agent.get("mission") == mission or agent.get("id") == SOB
