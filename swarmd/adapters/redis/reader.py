"""The read side: what the faces show, read from the contract's keys.

Verbs that only look must start as fast as Python does, so this stands on the small blocking
connection and not on redis-py: commands in pipelines, no retry inside. Invariant: nothing here
writes.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol

from swarmd.adapters.redis.connection.address import Address, Target
from swarmd.adapters.redis.connection.errors import is_refused_for_good, refused
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.restart import restart_of
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Wire
from swarmd.adapters.redis.keys import COUNTERS, Keys, is_counter, shared_names, type_of
from swarmd.adapters.redis.shapes import fits
from swarmd.core.model.chain import Head
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, MISSIONS
from swarmd.core.model.lineage import Fence, Stop, StopKind
from swarmd.core.model.messages import FIELD, Message, from_line, line_of
from swarmd.core.model.names import (
    FIRST,
    SOB,
    AgentId,
    Authority,
    Channel,
    HostId,
    MissionId,
    StreamId,
)
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.tables import (
    APPROVALS,
    FENCES,
    GAPS,
    OVERRIDES,
    REVOCATIONS,
    STOPS,
    TROUBLES,
)
from swarmd.core.queries.activity import (
    Activity,
    Surroundings,
    activity_of,
    call_of,
    held_back,
    open_call,
    turns_under_way,
)
from swarmd.errors import StoreUnsuitableError

if TYPE_CHECKING:
    from swarmd.core.model.lineage import Agent
from swarmd.ports.reader import Health, Inner, Ledger, Marks, Record, Snapshot, ledger_of

BATCH: Final = 500  # commands in one pipeline: bounds what the server holds for us at once


class Line(Protocol):
    """What questions are sent over: `Wire`, or one that is made anew when it is lost."""

    address: Address

    def exchange(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Reply]: ...

    def close(self) -> None: ...


def ask(wire: Line, *commands: Sequence[str]) -> list[Any]:
    """The answers, as text, in the order of the commands; an error among them is raised."""
    answers = _answers(wire, commands)
    for answer in answers:
        if isinstance(answer, ErrorReply):
            raise refused(answer)
    return [_text(answer) for answer in answers]


def ask_what_may_be(wire: Line, *commands: Sequence[str]) -> tuple[list[Any], frozenset[int]]:
    """As `ask`, and the places of what this user of the server may not ask; the answer there is
    `None`, as it is where a key holds something else than ours.
    """
    answers = [
        None if _is_of_another_type(answer) else answer for answer in _answers(wire, commands)
    ]
    unasked = frozenset(at for at, answer in enumerate(answers) if _is_forbidden(answer))
    for at, answer in enumerate(answers):
        if isinstance(answer, ErrorReply) and at not in unasked:
            raise refused(answer)
    return [None if at in unasked else _text(answer) for at, answer in enumerate(answers)], unasked


def _is_of_another_type(answer: Any) -> bool:
    return isinstance(answer, ErrorReply) and answer.startswith("WRONGTYPE")


def _is_forbidden(answer: Any) -> bool:
    return isinstance(answer, ErrorReply) and is_refused_for_good(answer)


def _answers(wire: Line, commands: Sequence[Sequence[str]]) -> list[Any]:
    answers: list[Any] = []
    for start in range(0, len(commands), BATCH):
        batch = commands[start : start + BATCH]
        replies = wire.exchange([[_bytes(word) for word in command] for command in batch])
        _demand_answers(wire, batch, replies)
        answers += replies
    return answers


def _at_once(wire: Line, commands: Sequence[Sequence[str]]) -> list[Any]:
    """The answers of one transaction. Each of its commands is answered twice: that it waits, and
    then with the rest.
    """
    sent = [["MULTI"], *commands, ["EXEC"]]
    replies = wire.exchange([[_bytes(word) for word in command] for command in sent])
    for reply in replies:
        if isinstance(reply, ErrorReply):
            raise refused(reply)
    answers = replies[-1]
    if not isinstance(answers, list) or len(answers) != len(commands):
        raise _nonsense(wire, "EXEC")
    _demand_answers(wire, commands, answers)
    return answers


def _demand_answers(
    wire: Line, commands: Sequence[Sequence[str]], replies: Sequence[Reply]
) -> None:
    for command, reply in zip(commands, replies, strict=True):
        if not fits(command[0], reply):
            raise _nonsense(wire, command[0])


def _nonsense(wire: Line, command: str) -> StoreUnsuitableError:
    return StoreUnsuitableError(
        f"{wire.address}: what answers there gives no answer to {command}",
        hint="does REDIS_URL name a Redis or Valkey server?",
    )


def _bytes(word: str) -> bytes:
    # An argument of the command line may carry bytes that were no text; they match no key, and harm
    # nothing.
    return word.encode("utf-8", "surrogateescape")


def _text(reply: Any) -> Any:
    """Bytes that are no UTF-8, which any submitter may send, stay visible and break nothing."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    if isinstance(reply, list):
        return [_text(part) for part in reply]
    return reply


def ask_ours(
    wire: Line, *commands: Sequence[str], is_at_once: bool = False
) -> tuple[list[Any], frozenset[str]]:
    """As `ask` or `at_once`; what is asked of a key of another type is answered as if there were
    none. And those keys.
    """
    found = _at_once(wire, commands) if is_at_once else _answers(wire, commands)
    answers = [_text(answer) for answer in found]
    wrong: set[str] = set()
    for at, (command, answer) in enumerate(zip(commands, answers, strict=True)):
        if isinstance(answer, ErrorReply):
            if not answer.startswith("WRONGTYPE"):
                raise refused(answer)
            wrong.add(command[1])
            answers[at] = _NOTHING.get(command[0], [])
    return answers, frozenset(wrong)


_NOTHING: Final[Mapping[str, Any]] = {"GET": None, "HGET": None, "SISMEMBER": 0}


class View:
    """Reads of one swarm. Each method is one pipeline, two where the first gives the keys."""

    __slots__ = ("_wire", "keys")

    def __init__(self, wire: Line, keys: Keys) -> None:
        self._wire = wire
        self.keys = keys

    def close(self) -> None:
        self._wire.close()

    def ask(self, *commands: Sequence[str]) -> list[Any]:
        return ask(self._wire, *commands)

    def ask_ours(
        self, *commands: Sequence[str], is_at_once: bool = False
    ) -> tuple[list[Any], frozenset[str]]:
        return ask_ours(self._wire, *commands, is_at_once=is_at_once)

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
        """Records, sorted by the time they were created, as `_read` completes them."""
        found = self._read(self.agent_ids(ended=ended))
        return sorted(found, key=lambda agent: (agent.get("created", ""), agent.get("id", "")))

    def agent(self, id: AgentId) -> Record | None:
        return next(iter(self._read([id])), None)

    def _read(self, ids: Sequence[AgentId]) -> list[Record]:
        """The records that there are. `state` is what fences and stops make of it; and what each
        does now: `activity`, `call` and `activity_seconds` where they are known
        (`core.activity`)."""
        keys, count = self.keys, len(ids)
        answers = ask(
            self._wire,
            *(["HGETALL", keys.agent(one)] for one in ids),
            *(["HKEYS", keys.steps(one)] for one in ids),
            *self._stopping(),
            ["HGETALL", keys.rows(TROUBLES)],
            ["EXISTS", keys.leader],
        )
        fences, stops, troubles, is_led = answers[2 * count :]
        marks = _marks(fences, stops)
        records, steps = [_hash(flat) for flat in answers[:count]], answers[count : 2 * count]
        named = sorted({record["host"] for record in records if record.get("host")})
        begun = [
            (at, step) for at, fields in enumerate(steps) if (step := open_call(fields)) is not None
        ]
        more = ask(
            self._wire,
            *(["EXISTS", keys.host(HostId(host))] for host in named),
            *(["HGET", keys.steps(ids[at]), step] for at, step in begun),
        )
        alive = frozenset(host for host, lives in zip(named, more, strict=False) if lives)
        calls = {at: text for (at, _), text in zip(begun, more[len(named) :], strict=True)}
        around = Surroundings(alive, _hash(stops), _hash(troubles), time.time(), bool(is_led))
        found = []
        for at, record in enumerate(records):
            if record.get("id"):
                call = call_of(calls.get(at), record.get("lease", ""))
                is_busy = bool(turns_under_way(steps[at]))
                waits = held_back(steps[at])
                activity = activity_of(record, call, around, is_busy=is_busy, waits=waits)
                found.append(marks.seen(record) | _shown(activity))
        return found

    def _stopping(self) -> list[list[str]]:
        return [["HGETALL", self.keys.rows(FENCES)], ["HGETALL", self.keys.rows(STOPS)]]

    def marks(self) -> Marks:
        """All that is in force."""
        fences, stops, revocations = ask(
            self._wire, *self._stopping(), ["HGETALL", self.keys.rows(REVOCATIONS)]
        )
        return _marks(fences, stops, revocations)

    def chain(self, id: AgentId) -> list[Agent]:
        """The agents of an agent's path, the board (or the seat itself) first, ended ones too while
        their records are kept. Empty where there is no such agent."""
        # Here, for it brings pydantic.
        from swarmd.adapters.redis.codecs import agent_of

        path = ask(self._wire, ["HGET", self.keys.agent(id), "path"])[0] or ""
        rows = ask(
            self._wire, *(["HGETALL", self.keys.agent(AgentId(one))] for one in path.split("/"))
        )
        found = [agent for row in rows if (agent := agent_of(_hash(row))) is not None]
        return found if found and found[-1].id == id else []

    def is_agent(self, id: AgentId) -> bool:
        return bool(ask(self._wire, ["EXISTS", self.keys.agent(id)])[0])

    def children(self, id: AgentId) -> list[str]:
        return sorted(ask(self._wire, ["SMEMBERS", self.keys.children(id)])[0])

    def inner(self, id: AgentId) -> Inner:
        state, steps = ask(
            self._wire, ["HGETALL", self.keys.state(id)], ["HKEYS", self.keys.steps(id)]
        )
        own = _hash(state)
        return Inner(
            turn=own.get("turn", ""),
            positions={name[2:]: own[name] for name in sorted(own) if name.startswith("p:")},
            steps_begun=sum(1 for name in steps if name.endswith(":b")),
            steps_ended=sum(1 for name in steps if name.endswith(":e")),
        )

    # --- accounts ---

    def ledgers(self, accounts: Sequence[str]) -> dict[str, Ledger]:
        """Those accounts that there are, by id."""
        rows = ask(self._wire, *(["HGETALL", self.keys.ledger(account)] for account in accounts))
        return {
            account: ledger_of(_hash(row))
            for account, row in zip(accounts, rows, strict=True)
            if row
        }

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
        *rows, fences, stops = ask(
            self._wire,
            *(["HGETALL", self.keys.mission(one)] for one in self.mission_ids()),
            *self._stopping(),
        )
        marks = _marks(fences, stops)
        found = [
            marks.of_mission(record) for record in (_hash(row) for row in rows) if record.get("id")
        ]
        return sorted(found, key=lambda mission: (mission.get("created", ""), mission["id"]))

    def mission(self, id: MissionId) -> Record | None:
        """The record as it is written: who only hands missions in may read no more than that."""
        row = ask(self._wire, ["HGETALL", self.keys.mission(id)])[0]
        return _hash(row) if row else None

    # --- leave ---

    def approvals(self) -> dict[str, Mapping[str, Any]]:
        """What waits for leave: the facts of each by its id, the oldest first."""
        return self._objects(self.keys.rows(APPROVALS))

    def overrides(self) -> dict[str, Mapping[str, Any]]:
        """The overrides that stand, as `approvals`."""
        return self._objects(self.keys.rows(OVERRIDES))

    def _objects(self, key: str) -> dict[str, Mapping[str, Any]]:
        found = {
            id: _facts(text) for id, text in _hash(ask(self._wire, ["HGETALL", key])[0]).items()
        }
        return dict(
            sorted(found.items(), key=lambda item: (float(item[1].get("at") or 0), item[0]))
        )

    # --- channels ---

    def entries(
        self, channel: Channel, after: StreamId, count: int = BATCH
    ) -> list[tuple[StreamId, Record]]:
        """What was stored after that id, oldest first. What a message says, or the fields of an
        entry that is none.
        """
        rows = self._rows(channel, after, count)
        return [(StreamId(at), _said_in(words)) for at, words in rows]

    def entry(self, channel: Channel, id: StreamId) -> Record | None:
        """One, by its id."""
        rows = ask(self._wire, ["XRANGE", self.keys.channel(channel), id, id])[0]
        return _said_in(rows[0][1]) if rows else None

    def last_entries(self, channel: Channel, count: int) -> list[tuple[StreamId, Record]]:
        """The newest, oldest of them first."""
        rows = ask(
            self._wire, ["XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", str(count)]
        )[0]
        return [(StreamId(at), _said_in(words)) for at, words in reversed(rows)]

    def message(self, channel: Channel, id: str) -> Message | None:
        """As `entry`, one that is a message of ours."""
        rows = ask(self._wire, ["XRANGE", self.keys.channel(channel), id, id])[0]
        return from_line(channel, StreamId(id), line_of(rows[0][1])) if rows else None

    def messages(self, channel: Channel, after: StreamId) -> list[Message]:
        """As `entries`, those that are messages of ours."""
        rows = self._rows(channel, after, BATCH)
        read = (from_line(channel, StreamId(at), line_of(words)) for at, words in rows)
        return [message for message in read if message is not None]

    def _rows(self, channel: Channel, after: StreamId, count: int) -> list[Any]:
        start = "-" if after == FIRST else f"({after}"
        found: list[Any] = ask(
            self._wire, ["XRANGE", self.keys.channel(channel), start, "+", "COUNT", str(count)]
        )[0]
        return found

    def last_id(self, channel: Channel) -> StreamId:
        rows = ask(self._wire, ["XREVRANGE", self.keys.channel(channel), "+", "-", "COUNT", "1"])[0]
        return StreamId(rows[0][0]) if rows else FIRST

    def has_channel(self, channel: Channel) -> bool:
        """Whether anything was ever posted there, or an agent or a room of that name could hear
        it.
        """
        kind, _, name = channel.partition(":")
        questions = [["EXISTS", self.keys.channel(channel)], ["ZSCORE", self.keys.heads, channel]]
        if kind in ("inbox", "down", "up"):
            questions.append(["EXISTS", self.keys.agent(AgentId(name))])
        return any(answer not in (0, None) for answer in ask(self._wire, *questions))

    def channels(self) -> list[str]:
        """The channels that something was posted in."""
        return sorted(ask(self._wire, ["ZRANGE", self.keys.heads, "0", "-1"])[0])

    def rooms(self) -> set[str]:
        """Rooms that something was posted in, or that a living agent is a member of."""
        ids = self.agent_ids(ended=False)
        fields = ask(self._wire, *(["HKEYS", self.keys.state(one)] for one in ids))
        followed = {name[2:] for names in fields for name in names if name.startswith("p:room:")}
        return (
            followed | {name for name in self.channels() if name.startswith("room:")} | {BOARD_ROOM}
        )

    def is_heard(self, channel: Channel) -> bool:
        """Whether a living agent keeps a position in the channel: a room without a post exists
        by that.
        """
        ids = self.agent_ids(ended=False)
        found = ask(self._wire, *(["HEXISTS", self.keys.state(one), f"p:{channel}"] for one in ids))
        return any(found)

    # --- the journal ---

    def swarm_id(self) -> str:
        """The swarm's own id, empty where none has run here yet."""
        return ask(self._wire, ["HGET", self.keys.meta, "swarm"])[0] or ""

    def journal_head(self) -> Head:
        """Where the store says that its journal ends."""
        record = _hash(ask(self._wire, ["HGETALL", self.keys.head])[0])
        try:
            return Head(int(record["n"]), record["hash"], record["after"]) if record else Head()
        except (KeyError, ValueError) as error:
            raise StoreUnsuitableError(
                f"{self.keys.head} is no end of a journal",
                hint="`swarmd journal verify --files-only` needs no server",
            ) from error

    def journal(self, after: StreamId = FIRST) -> Iterator[tuple[StreamId, str]]:
        """Every entry after that one, as the line that is stored; a page is asked for when it is
        needed.
        """
        while True:
            rows = self._rows(JOURNAL, after, BATCH)
            for at, words in rows:
                yield StreamId(at), line_of(words)
            if len(rows) < BATCH:
                return
            after = StreamId(rows[-1][0])

    # --- the whole ---

    def health(
        self, *, asks_restart: bool = False, names: Collection[str] = shared_names()
    ) -> Health:
        """`asks_restart` costs one more question, which few users of the server may ask. Of what
        the whole swarm stands on only `names` are looked at: what another role reads is `unasked`.
        """
        keys = self.keys
        questions = {
            "leader": ["GET", keys.leader],
            "hosts": ["SMEMBERS", keys.hosts],
            "missions": ["SCARD", keys.missions],
            "agents": ["SCARD", keys.agents],
            "schema": ["HGETALL", keys.meta],
            "entrance": ["PUBSUB", "NUMSUB", keys.channel(MISSIONS)],
            "disk": ["INFO", "persistence"],
        }
        # Each part asks for itself, as its own user: what a worker may not read is no fault of the
        # worker's.
        kept = {what for what, name in _READS_OF_HEALTH.items() if name not in names}
        asked = {what: words for what, words in questions.items() if what not in kept}
        told, places = ask_what_may_be(self._wire, *asked.values())
        said = dict.fromkeys(questions) | dict(zip(asked, told, strict=True))
        unasked = kept | {what for at, what in enumerate(asked) if at in places}
        hosts = sorted(said["hosts"] or ())
        meta = _hash(said["schema"] or ())
        facts, _ = ask_what_may_be(
            self._wire, *(["GET", keys.host(HostId(name))] for name in hosts)
        )
        living = {
            name: _facts(text) for name, text in zip(hosts, facts, strict=True) if text is not None
        }
        return Health(
            leader=_leading(said["leader"]),
            may_begin="leader" in unasked or said["leader"] is not None,
            hosts=living,
            hosts_lost=tuple(name for name in hosts if name not in living),
            missions_open=said["missions"] or 0,
            agents_living=said["agents"] or 0,
            schema=meta.get("schema", ""),
            writes="aof_last_write_status:err" not in (said["disk"] or ""),
            is_heard=said["entrance"] is not None and int(said["entrance"][1]) > 0,
            unasked=frozenset(unasked),
            wrong_keys=tuple(f"{keys.prefix}{wrong}" for wrong in self.wrong_keys(names)),
            gaps=tuple(sorted(int(n) for n in GAPS.rows_in(meta) if n.isdecimal())),
            restart=restart_of(self._wire.exchange, keys.namespace)
            if asks_restart
            else "not checked",
        )

    def wrong_keys(self, names: Collection[str] = shared_names()) -> list[str]:
        """Of these keys, without the namespace, what holds something else than ours. As shipped:
        all that the whole swarm stands on.
        """
        counted = [name for name in COUNTERS if name in names]
        keys = [self.keys.channel(Channel(name)) for name in names]
        counters = [self.keys.channel(Channel(name)) for name in counted]
        told, _ = ask_what_may_be(
            self._wire, *(["TYPE", key] for key in keys), *(["GET", key] for key in counters)
        )
        wrong = [
            f"{name} is a {kind} and not a {type_of(name)}"
            for name, kind in zip(names, told, strict=False)
            if kind not in (None, "none", type_of(name))
        ]
        values = zip(counted, told[len(names) :], strict=True)
        return wrong + [f"{name} is no counter" for name, value in values if not is_counter(value)]

    def leads(self) -> bool | None:
        """Whether a supervisor leads; `None` where this user may not know."""
        (leader,), unasked = ask_what_may_be(self._wire, ["GET", self.keys.leader])
        return None if unasked else bool(_leading(leader))


# What a health check asks of which key.
_READS_OF_HEALTH: Final = {
    "leader": "_supervisor",
    "hosts": "_hosts",
    "missions": "_missions",
    "agents": "_agents",
    "schema": "_meta",
}


class Rung(Protocol):
    """What is waited for: `Bell`, or one that is hung again when it is lost."""

    def wait(self, seconds: float) -> bool: ...


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


def _hash(flat: Sequence[str]) -> Record:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _said_in(words: Sequence[str]) -> Record:
    """What an entry says, by name: of a message each part as text, `data` as JSON; of what is none
    its fields.
    """
    fields = _hash(words)
    facts = _facts(fields.get(FIELD, ""))
    return {name: _as_text(value) for name, value in facts.items()} or fields


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _leading(lead: str | None) -> str:
    """The host of the key `leader`; empty where there is none, or it stepped down."""
    return (lead or "").partition(":")[2]


def _facts(text: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _marks(fences: Sequence[str], stops: Sequence[str], revocations: Sequence[str] = ()) -> Marks:
    return Marks(
        {segment: _fence(segment, text) for segment, text in _hash(fences).items()},
        {target: _stop(target, text) for target, text in _hash(stops).items()},
        {segment: _revocations(segment, text) for segment, text in _hash(revocations).items()},
    )


def _fence(segment: str, text: str) -> Fence:
    try:
        return FENCES.decode(segment, text)
    except (KeyError, ValueError, TypeError):
        return Fence(segment, "", "", 0.0)


def _stop(target: str, text: str) -> Stop:
    try:
        return STOPS.decode(target, text)
    except (KeyError, ValueError, TypeError):
        kind = text.partition(" ")[0]
        known = StopKind(kind) if kind in tuple(StopKind) else StopKind.FREEZE
        return Stop(target, known, Authority.LINEAGE, "", "", 0.0)


def _revocations(segment: str, text: str) -> tuple[Revocation, ...]:
    try:
        return REVOCATIONS.decode(segment, text)
    except (ValueError, TypeError):
        return ()


def _shown(activity: Activity) -> Record:
    # The hash itself has no such fields: what somebody else wrote there under these names is not
    # shown.
    shown = {
        "activity": str(activity.word),
        "call": "",
        "activity_seconds": "",
        "waits": activity.waits,
    }
    if activity.call:
        shown["call"] = activity.call
    if activity.seconds is not None:
        shown["activity_seconds"] = f"{activity.seconds:.1f}"
    return shown


def _belongs(agent: Record, mission: str) -> bool:
    return not mission or agent.get("mission") == mission or agent.get("id") == SOB
