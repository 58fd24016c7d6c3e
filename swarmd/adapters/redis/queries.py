"""What is read of a swarm, without the reading: each query is a generator that yields commands, is
sent their replies, and returns the answer.

`reader` runs them over a connection that blocks and over one that does not, so that both give the
same answers. Records that few verbs need are imported where they are made, for to make their
classes takes a verb longer than to ask the server. Invariant: nothing here writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from swarmd.adapters.redis.connection.errors import is_refused_for_good, refused
from swarmd.adapters.redis.connection.restart import HINT, QUESTIONS, WHAT, judge_restart
from swarmd.adapters.redis.connection.sync_client import ErrorReply
from swarmd.adapters.redis.keys import (
    COUNTERS,
    WORKER_READS,
    Keys,
    is_counter,
    shared_names,
    type_of,
)
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, MISSIONS
from swarmd.core.model.lineage import Fence, Stop, StopKind
from swarmd.core.model.messages import FIELD, line_of, order_of
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
    Surroundings,
    activity_of,
    call_of,
    held_back,
    open_call,
    turns_under_way,
)
from swarmd.core.queries.snapshot import (
    AccountView,
    AgentView,
    Marks,
    MissionView,
    Snapshot,
    account_view,
    agent_view,
    mission_view,
)
from swarmd.errors import StoreUnsuitableError

if TYPE_CHECKING:
    from swarmd.core.model.chain import Head
    from swarmd.core.model.lineage import Agent
    from swarmd.ports.reader import Entry, Facts, Health, Inner, Page, Trimmed

T = TypeVar("T")

Commands: TypeAlias = Sequence[Sequence[str | bytes]]
Query: TypeAlias = Generator[Commands, list[Any], T]
"""Yields commands, is sent their replies as the protocol has them, and returns the answer."""

BATCH: Final = 500  # commands in one pipeline: bounds what the server holds for us at once


def asked(*commands: Sequence[str]) -> Query[list[Any]]:
    """The answers, as text, in the order of the commands; an error among them is raised."""
    answers = yield from _replies(commands)
    for answer in answers:
        if isinstance(answer, ErrorReply):
            raise refused(answer)
    return [text_in(answer) for answer in answers]


def asked_if_allowed(*commands: Sequence[str]) -> Query[tuple[list[Any], frozenset[int]]]:
    """As `asked`, and the places of what this user of the server may not ask; the answer there is
    `None`, as it is where a key holds something else than ours.
    """
    replies = yield from _replies(commands)
    answers = [None if is_of_another_type(reply) else reply for reply in replies]
    unasked = frozenset(at for at, answer in enumerate(answers) if _is_forbidden(answer))
    for at, answer in enumerate(answers):
        if isinstance(answer, ErrorReply) and at not in unasked:
            raise refused(answer)
    return [
        None if at in unasked else text_in(answer) for at, answer in enumerate(answers)
    ], unasked


def _replies(commands: Sequence[Sequence[str]]) -> Query[list[Any]]:
    replies: list[Any] = []
    for start in range(0, len(commands), BATCH):
        replies += yield commands[start : start + BATCH]
    return replies


def is_of_another_type(reply: Any) -> bool:
    return isinstance(reply, ErrorReply) and reply.startswith("WRONGTYPE")


def _is_forbidden(reply: Any) -> bool:
    return isinstance(reply, ErrorReply) and is_refused_for_good(reply)


def text_in(reply: Any) -> Any:
    """Bytes that are no UTF-8, which any submitter may send, stay visible and break nothing."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    if isinstance(reply, list):
        return [text_in(part) for part in reply]
    return reply


# --- agents -----------------------------------------------------------------------------------


def agent_ids(keys: Keys, *, ended: bool = False) -> Query[list[AgentId]]:
    living, gone = yield from asked(
        ["SMEMBERS", keys.agents], ["ZRANGE", keys.ended, "0", "-1"] if ended else ["ECHO", ""]
    )
    ids = set(living)
    if ended:
        ids |= {name.removeprefix("agent:") for name in gone if name.startswith("agent:")}
    return [AgentId(one) for one in sorted(ids, key=lambda it: (it != SOB, it))]


def read_agents(keys: Keys, *, ended: bool = False) -> Query[list[AgentView]]:
    ids = yield from agent_ids(keys, ended=ended)
    found = yield from _agents_as_now(keys, ids)
    return sorted(found, key=lambda agent: (agent.created, agent.id))


def read_agent(keys: Keys, id: AgentId) -> Query[AgentView | None]:
    found = yield from _agents_as_now(keys, [id])
    return found[0] if found else None


def _agents_as_now(keys: Keys, ids: Sequence[AgentId]) -> Query[list[AgentView]]:
    """The records that there are, with the state and the activity that each has now."""
    count = len(ids)
    answers = yield from asked(
        *(["HGETALL", keys.agent(one)] for one in ids),
        *(["HKEYS", keys.steps(one)] for one in ids),
        *_stopping(keys),
        ["HGETALL", keys.rows(TROUBLES)],
        ["EXISTS", keys.leader],
    )
    fences, stops, troubles, is_led = answers[2 * count :]
    hashes = [_hash(flat) for flat in answers[:count]]
    found = [
        _Found(record, steps)
        for record, steps in zip(hashes, answers[count : 2 * count], strict=True)
        if record.get("id")
    ]
    hosts = sorted({one.host for one in found if one.host})
    calling = [one for one in found if one.call_field is not None]
    more = yield from asked(
        *(["EXISTS", keys.host(HostId(host))] for host in hosts),
        *(["HGET", keys.steps(one.id), one.call_field or ""] for one in calling),
    )
    alive = frozenset(host for host, lives in zip(hosts, more, strict=False) if lives)
    calls = {one.id: text for one, text in zip(calling, more[len(hosts) :], strict=True)}
    around = Surroundings(alive, _hash(stops), _hash(troubles), time.time(), bool(is_led))
    marks = _marks(fences, stops)
    return [one.seen(marks, around, calls.get(one.id)) for one in found]


class _Found:
    """An agent's hash, and the fields of its step journal."""

    __slots__ = ("call_field", "id", "record", "steps")

    def __init__(self, record: Mapping[str, str], steps: Collection[str]) -> None:
        self.record, self.steps = record, steps
        self.id, self.call_field = AgentId(record["id"]), open_call(steps)

    @property
    def host(self) -> str:
        return self.record.get("host", "")

    def seen(self, marks: Marks, around: Surroundings, call_text: str | None) -> AgentView:
        activity = activity_of(
            self.record,
            call_of(call_text, self.record.get("lease", "")),
            around,
            is_busy=bool(turns_under_way(self.steps)),
            waits=held_back(self.steps),
        )
        return marks.seen(agent_view(self.record, activity))


def _stopping(keys: Keys) -> list[list[str]]:
    return [["HGETALL", keys.rows(FENCES)], ["HGETALL", keys.rows(STOPS)]]


def read_marks(keys: Keys) -> Query[Marks]:
    fences, stops, revocations = yield from asked(
        *_stopping(keys), ["HGETALL", keys.rows(REVOCATIONS)]
    )
    return _marks(fences, stops, revocations)


def read_chain(keys: Keys, id: AgentId) -> Query[list[Agent]]:
    # Here, for it brings pydantic.
    from swarmd.adapters.redis.codecs import agent_of

    [path] = yield from asked(["HGET", keys.agent(id), "path"])
    rows = yield from asked(
        *(["HGETALL", keys.agent(AgentId(one))] for one in (path or "").split("/"))
    )
    found = [agent for row in rows if (agent := agent_of(_hash(row))) is not None]
    return found if found and found[-1].id == id else []


def is_agent(keys: Keys, id: AgentId) -> Query[bool]:
    [count] = yield from asked(["EXISTS", keys.agent(id)])
    return bool(count)


def read_children(keys: Keys, id: AgentId) -> Query[list[str]]:
    [found] = yield from asked(["SMEMBERS", keys.children(id)])
    return sorted(found)


def read_inner(keys: Keys, id: AgentId) -> Query[Inner]:
    from swarmd.ports.reader import Inner

    state, steps = yield from asked(["HGETALL", keys.state(id)], ["HKEYS", keys.steps(id)])
    own = _hash(state)
    return Inner(
        turn=own.get("turn", ""),
        positions={name[2:]: own[name] for name in sorted(own) if name.startswith("p:")},
        steps_begun=sum(1 for name in steps if name.endswith(":b")),
        steps_ended=sum(1 for name in steps if name.endswith(":e")),
    )


# --- accounts ---------------------------------------------------------------------------------


def read_accounts(keys: Keys, ids: Sequence[str]) -> Query[dict[str, AccountView]]:
    rows = yield from asked(*(["HGETALL", keys.ledger(one)] for one in ids))
    return {one: account_view(_hash(row)) for one, row in zip(ids, rows, strict=True) if row}


def read_snapshot(keys: Keys, mission: str = "") -> Query[Snapshot]:
    found = yield from read_missions(keys)
    shown = tuple(one for one in found if mission in ("", one.id))
    everybody = yield from read_agents(keys, ended=True)
    members = tuple(
        one for one in everybody if not mission or one.mission == mission or one.id == SOB
    )
    ids: list[str] = [*(one.id for one in members), *(one.id for one in shown)]
    held = yield from read_accounts(keys, ids)
    return Snapshot(members, shown, held)


# --- missions ---------------------------------------------------------------------------------


def mission_ids(keys: Keys) -> Query[list[MissionId]]:
    is_open, ended = yield from asked(
        ["SMEMBERS", keys.missions], ["ZRANGE", keys.ended, "0", "-1"]
    )
    gone = (name.removeprefix("mission:") for name in ended if name.startswith("mission:"))
    return [MissionId(one) for one in sorted({*is_open, *gone})]


def read_missions(keys: Keys) -> Query[list[MissionView]]:
    ids = yield from mission_ids(keys)
    *rows, fences, stops = yield from asked(
        *(["HGETALL", keys.mission(one)] for one in ids), *_stopping(keys)
    )
    in_force = _marks(fences, stops)
    records = (mission_view(_hash(row)) for row in rows)
    found = [in_force.of_mission(record) for record in records if record.id]
    return sorted(found, key=lambda one: (one.created, one.id))


def read_mission(keys: Keys, id: MissionId) -> Query[MissionView | None]:
    [row] = yield from asked(["HGETALL", keys.mission(id)])
    return mission_view(_hash(row)) if row else None


# --- permissions ------------------------------------------------------------------------------


def read_approvals(keys: Keys) -> Query[dict[str, Facts]]:
    return (yield from _objects(keys.rows(APPROVALS)))


def read_overrides(keys: Keys) -> Query[dict[str, Facts]]:
    return (yield from _objects(keys.rows(OVERRIDES)))


def _objects(key: str) -> Query[dict[str, Facts]]:
    [flat] = yield from asked(["HGETALL", key])
    found = {id: _facts(text) for id, text in _hash(flat).items()}
    return dict(sorted(found.items(), key=lambda item: (float(item[1].get("at") or 0), item[0])))


# --- channels ---------------------------------------------------------------------------------


def read_page(keys: Keys, channel: Channel, after: StreamId) -> Query[Page]:
    """The position itself is asked for with what follows it: while its entry is kept, nothing
    behind it has gone.
    """
    from swarmd.ports.reader import PAGE_ENTRIES, Page

    place = after if "-" in after else StreamId(f"{after}-0")
    rows = yield from _rows(keys, channel, place, PAGE_ENTRIES + 1)
    if rows and rows[0][0] == place:
        found = _entries(channel, rows[1:])
        return Page(found, found[-1].id if found else place)
    found = _entries(channel, rows[:PAGE_ENTRIES])
    older, info = yield from _replies(
        [
            ["XRANGE", keys.channel(channel), "-", place, "COUNT", "1"],
            ["XINFO", "STREAM", keys.channel(channel)],
        ]
    )
    # Streams lose their oldest entries: where one is kept that is no newer than the position,
    # everything behind it is.
    last, trimmed = (place, None) if older else _trimmed(place, found, text_in(info))
    return Page(found, found[-1].id if found else last, trimmed)


def _trimmed(after: StreamId, found: Sequence[Entry], info: Any) -> tuple[StreamId, Trimmed | None]:
    """What has gone of a channel that keeps nothing up to a position; and how far it has gone."""
    from swarmd.ports.reader import Trimmed

    first = found[0].id if found else None
    told = dict(zip(info[::2], info[1::2], strict=True)) if isinstance(info, list) else {}
    added = told.get("entries-added")
    if added is None:
        # What is gone may not be asked: of who had reached an entry that is no longer there, it
        # has to be assumed.
        return after, Trimmed(after, first, None) if after != FIRST and first else None
    gone, last = added - told["length"], StreamId(told["last-generated-id"])
    if gone and order_of(last) > order_of(after):
        return last, Trimmed(after, first, gone)
    return after, None


def last_entries(keys: Keys, channel: Channel, count: int) -> Query[list[Entry]]:
    [rows] = yield from asked(["XREVRANGE", keys.channel(channel), "+", "-", "COUNT", str(count)])
    return list(_entries(channel, rows[::-1]))


def read_entry(keys: Keys, channel: Channel, id: str) -> Query[Entry | None]:
    [rows] = yield from asked(["XRANGE", keys.channel(channel), id, id])
    return next(iter(_entries(channel, rows)), None)


def last_id(keys: Keys, channel: Channel) -> Query[StreamId]:
    [rows] = yield from asked(["XREVRANGE", keys.channel(channel), "+", "-", "COUNT", "1"])
    return StreamId(rows[0][0]) if rows else FIRST


def _rows(keys: Keys, channel: Channel, start: str, count: int) -> Query[list[Any]]:
    [rows] = yield from asked(["XRANGE", keys.channel(channel), start, "+", "COUNT", str(count)])
    return list(rows)


def _entries(channel: Channel, rows: Iterable[Any]) -> tuple[Entry, ...]:
    from swarmd.ports.reader import Entry

    return tuple(
        Entry(channel, StreamId(at), _said_in(words), line_of(words)) for at, words in rows
    )


def has_channel(keys: Keys, channel: Channel) -> Query[bool]:
    kind, _, name = channel.partition(":")
    questions = [["EXISTS", keys.channel(channel)], ["ZSCORE", keys.heads, channel]]
    if kind in ("inbox", "down", "up"):
        questions.append(["EXISTS", keys.agent(AgentId(name))])
    answers = yield from asked(*questions)
    return any(answer not in (0, None) for answer in answers)


def read_channels(keys: Keys) -> Query[list[str]]:
    [found] = yield from asked(["ZRANGE", keys.heads, "0", "-1"])
    return sorted(found)


def read_rooms(keys: Keys) -> Query[set[str]]:
    ids = yield from agent_ids(keys)
    fields = yield from asked(*(["HKEYS", keys.state(one)] for one in ids))
    posted = yield from read_channels(keys)
    followed = {name[2:] for names in fields for name in names if name.startswith("p:room:")}
    return followed | {name for name in posted if name.startswith("room:")} | {BOARD_ROOM}


def is_heard(keys: Keys, channel: Channel) -> Query[bool]:
    ids = yield from agent_ids(keys)
    found = yield from asked(*(["HEXISTS", keys.state(one), f"p:{channel}"] for one in ids))
    return any(found)


# --- the journal ------------------------------------------------------------------------------


def swarm_id(keys: Keys) -> Query[str]:
    [found] = yield from asked(["HGET", keys.meta, "swarm"])
    return found or ""


def journal_head(keys: Keys) -> Query[Head]:
    # Here, for it brings hashlib.
    from swarmd.core.model.chain import Head

    [flat] = yield from asked(["HGETALL", keys.head])
    record = _hash(flat)
    try:
        return Head(int(record["n"]), record["hash"], record["after"]) if record else Head()
    except (KeyError, ValueError) as error:
        raise StoreUnsuitableError(
            f"{keys.head} is no end of a journal",
            hint="`swarmd journal verify --files-only` needs no server",
        ) from error


def journal_page(
    keys: Keys, after: StreamId
) -> Query[tuple[list[tuple[StreamId, str]], StreamId | None]]:
    """The lines of one page, and where the next one begins; `None` where nothing follows."""
    from swarmd.ports.reader import PAGE_ENTRIES

    start = "-" if after == FIRST else f"({after}"
    rows = yield from _rows(keys, JOURNAL, start, PAGE_ENTRIES)
    lines = [(StreamId(at), line_of(words)) for at, words in rows]
    return lines, lines[-1][0] if len(lines) == PAGE_ENTRIES else None


# --- the whole --------------------------------------------------------------------------------


def read_health(
    keys: Keys, *, asks_restart: bool = False, part: str | None = None
) -> Query[Health]:
    from swarmd.ports.reader import Health

    # Each part asks for itself, as its own user: what a worker may not read is no fault of the
    # worker's.
    names = WORKER_READS if part == "worker" else shared_names()
    told, unasked = yield from _told(keys, names)
    hosts = sorted(told["hosts"] or ())
    facts, _ = yield from asked_if_allowed(*(["GET", keys.host(HostId(name))] for name in hosts))
    living = {
        name: _facts(text) for name, text in zip(hosts, facts, strict=True) if text is not None
    }
    wrong = yield from wrong_keys(keys, names)
    meta = _hash(told["schema"] or ())
    restart = judge_restart((yield QUESTIONS), keys.namespace) if asks_restart else "not checked"
    heard = told["entrance"]
    return Health(
        leader=_leading(told["leader"]),
        may_begin="leader" in unasked or told["leader"] is not None,
        hosts=living,
        hosts_lost=tuple(name for name in hosts if name not in living),
        missions_open=told["missions"] or 0,
        agents_living=told["agents"] or 0,
        schema=meta.get("schema", ""),
        writes="aof_last_write_status:err" not in (told["disk"] or ""),
        is_heard=heard is not None and int(heard[1]) > 0,
        unasked=unasked,
        wrong_keys=tuple(f"{keys.prefix}{one}" for one in wrong),
        gaps=tuple(sorted(int(n) for n in GAPS.rows_in(meta) if n.isdecimal())),
        restart=restart,
        restart_advice=f"{WHAT}; {HINT}" if restart == "lost" else "",
    )


def _told(keys: Keys, names: Collection[str]) -> Query[tuple[Mapping[str, Any], frozenset[str]]]:
    """The answers by what they are about, and what was not asked."""
    questions = {
        "leader": ["GET", keys.leader],
        "hosts": ["SMEMBERS", keys.hosts],
        "missions": ["SCARD", keys.missions],
        "agents": ["SCARD", keys.agents],
        "schema": ["HGETALL", keys.meta],
        "entrance": ["PUBSUB", "NUMSUB", keys.channel(MISSIONS)],
        "disk": ["INFO", "persistence"],
    }
    kept = {what for what, name in _READS_OF_HEALTH.items() if name not in names}
    sent = {what: words for what, words in questions.items() if what not in kept}
    answers, places = yield from asked_if_allowed(*sent.values())
    unasked = kept | {what for at, what in enumerate(sent) if at in places}
    told = dict.fromkeys(questions) | dict(zip(sent, answers, strict=True))
    return told, frozenset(unasked)


def wrong_keys(keys: Keys, names: Collection[str] | None = None) -> Query[list[str]]:
    """Of these keys, without the namespace, what holds something else than ours. As shipped:
    all that the whole swarm stands on.
    """
    names = shared_names() if names is None else names
    counted = [name for name in COUNTERS if name in names]
    told, _ = yield from asked_if_allowed(
        *(["TYPE", keys.channel(Channel(name))] for name in names),
        *(["GET", keys.channel(Channel(name))] for name in counted),
    )
    wrong = [
        f"{name} is a {kind} and not a {type_of(name)}"
        for name, kind in zip(names, told, strict=False)
        if kind not in (None, "none", type_of(name))
    ]
    values = zip(counted, told[len(names) :], strict=True)
    return wrong + [f"{name} is no counter" for name, value in values if not is_counter(value)]


def read_leads(keys: Keys) -> Query[bool | None]:
    (leader,), unasked = yield from asked_if_allowed(["GET", keys.leader])
    return None if unasked else bool(_leading(leader))


# What a health check asks of which key.
_READS_OF_HEALTH: Final = {
    "leader": "_supervisor",
    "hosts": "_hosts",
    "missions": "_missions",
    "agents": "_agents",
    "schema": "_meta",
}


# --- reading of what was answered -------------------------------------------------------------


def _hash(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _said_in(words: Sequence[str]) -> Mapping[str, str]:
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


def _facts(text: str) -> Facts:
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
        return FENCES.read(segment, text)
    except ValueError:
        return Fence(segment, "", "", 0.0)


def _stop(target: str, text: str) -> Stop:
    try:
        return STOPS.read(target, text)
    except ValueError:
        kind = text.partition(" ")[0]
        known = StopKind(kind) if kind in tuple(StopKind) else StopKind.FREEZE
        return Stop(target, known, Authority.LINEAGE, "", "", 0.0)


def _revocations(segment: str, text: str) -> tuple[Revocation, ...]:
    try:
        return REVOCATIONS.read(segment, text)
    except ValueError:
        return ()
