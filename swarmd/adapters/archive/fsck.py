"""Reads the living swarm for `core.fsck`: each part together with the journal's entries of the same
moment.

The journal is committed with what it tells of, and the facts with the amounts. So one transaction
that reads both, and a replay that follows the journal to just there, compare exactly, however busy
the swarm is. What no entry tells of (streams, leases, left keys) is read beside it, and counts as
found only where it is found again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from swarmd.adapters.archive.history import at as past_at
from swarmd.adapters.redis.codecs import agent_of, mission_of, use_pairs
from swarmd.adapters.redis.keys import Keys, type_of
from swarmd.adapters.redis.reader import View
from swarmd.core.bus.foreign import is_counted
from swarmd.core.journal import fsck
from swarmd.core.journal.entries import agent_record, mission_record, whole_record
from swarmd.core.journal.fact_forms import judge
from swarmd.core.journal.fsck import Flaw, Found, FoundAgent, FoundWhole, Loose
from swarmd.core.journal.replay import State, first_state, link_of
from swarmd.core.ledger.accounts import Fault, Ledger
from swarmd.core.model.chain import Record
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.messages import line_of, order_of
from swarmd.core.model.names import FIRST, SOB, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.tables import MARKS, OF_MISSIONS, Table
from swarmd.errors import ArchiveError, WrongKeyError

# Agents of one transaction: the server's one thread is held for some milliseconds at most.
AGENTS_AT_ONCE: Final = 200
LOOKS: Final = 3
LOOK_SECONDS: Final = 0.4
_SCAN_COUNT: Final = "1000"
_WITH_THE_LIVING: Final = ("_state:", "_steps:", "_use:", "inbox:", "down:", "up:")
_AS_LONG_AS_KEPT: Final = ("agent:", "mission:", "ledger:", "children:")


def check(view: View, folder: Path, swarm: str, *, looks: int = LOOKS) -> list[Flaw]:
    """All faults, each looked at more than once where it may have been in passing."""
    found = _look_once(view, folder, swarm)
    for _ in range(looks - 1):
        if not found:
            break
        time.sleep(LOOK_SECONDS)
        again = _look_once(view, folder, swarm)
        found = [flaw for flaw in found if flaw in again]
    return found


def _look_once(view: View, folder: Path, swarm: str) -> list[Flaw]:
    wrong = wrong_keys(view)
    try:
        found = list(Look(view, _replay_journal(view, folder, swarm)).flaws())
    except (ArchiveError, Fault, WrongKeyError) as error:
        found = [Flaw("journal.broken", "journal", str(error))]
    told = {flaw.subject for flaw in wrong}
    return wrong + [flaw for flaw in found if flaw.name != "key.type" or flaw.subject not in told]


def wrong_keys(view: View) -> list[Flaw]:
    """What the whole swarm stands on and holds something else: told also where nothing else can
    be looked at.
    """
    return [_of_another_type(one) for one in view.wrong_keys()]


def _of_another_type(wrong: str) -> Flaw:
    name, _, what = wrong.partition(" ")
    return Flaw(
        "key.type", name, f"it {what}: what should be there is read as missing", f"key:{name}"
    )


@dataclass(slots=True)
class Now:
    """The journal followed to the last entry that was read; `until` is that entry's id."""

    state: State = field(default_factory=State)
    until: StreamId = FIRST


def _replay_journal(view: View, folder: Path, swarm: str) -> Now:
    past = past_at(folder, swarm, view.journal(), lambda link: False)
    if past is not None:
        return Now(past.state, past.link.id)
    head = view.journal_head()
    if head.n:
        raise Fault(f"none of it is there, and the store says that it ends at entry {head.n}")
    return Now()


@dataclass(slots=True)
class Look:
    """One look, or one after the other: each follows the journal from where the last one left
    it.
    """

    view: View
    now: Now = field(default_factory=Now)
    wrong: set[str] = field(default_factory=set)  # keys of another type, as this look met them

    @property
    def keys(self) -> Keys:
        return self.view.keys

    def flaws(self) -> Iterator[Flaw]:
        self.wrong.clear()
        yield from self._find_flaws()
        for key in sorted(self.wrong):
            name, kind = key.removeprefix(self.keys.prefix), self.view.ask(["TYPE", key])[0]
            mend = f"key:{name}" if type_of(name) else ""
            yield Flaw(
                "key.type", name, f"it is a {kind}: what should be there is read as missing", mend
            )

    def _ask_ours(self, *commands: Sequence[str], is_at_once: bool = False) -> list[Any]:
        answers, wrong = self.view.ask_ours(*commands, is_at_once=is_at_once)
        self.wrong |= wrong
        return answers

    def _find_flaws(self) -> Iterator[Flaw]:
        listed = set(self._ask_ours(["SMEMBERS", self.keys.agents])[0])
        yield from fsck.whole(self._read_whole())
        ids = sorted(listed | set(self._recorded_ids("agent")))
        positions: dict[str, Mapping[str, str]] = {}
        hosts: dict[str, str] = {}
        for start in range(0, len(ids), AGENTS_AT_ONCE):
            part = self._read_agents(ids[start : start + AGENTS_AT_ONCE])
            yield from fsck.agents(part)
            positions |= {id: agent.positions for id, agent in part.agents.items()}
            hosts |= _hosts_of(part)
        loose = self._read_loose(positions, hosts)
        yield from fsck.loose(self.now.state, loose)
        yield from self._find_other_ends(sorted(c for c in loose.heads if is_counted(Channel(c))))

    def _recorded_ids(self, kind: str) -> list[str]:
        """The ids of the journal's records of a kind."""
        prefix = f"{kind}:"
        records = self.now.state.records.values
        return [key.removeprefix(prefix) for key in records if key.startswith(prefix)]

    # --- one moment ---

    def _read_moment(self, asked: Questions) -> State:
        """Asks, and the state of just that moment: entries that came since, and facts not yet
        folded.
        """
        start = "-" if self.now.until == FIRST else f"({self.now.until}"
        entries, facts, *answers = self._ask_ours(
            ["XRANGE", self.keys.channel(JOURNAL), start, "+"],
            ["XRANGE", self.keys.facts, "-", "+"],
            *asked.commands,
            is_at_once=True,
        )
        asked.fill(answers)
        for at, words in entries:
            self._follow_entry(StreamId(at), line_of(words))
        return _with_facts(self.now.state, facts)

    def _follow_entry(self, at: StreamId, line: str) -> None:
        link = link_of(at, line)
        if link is not None:
            if self.now.state.head.n == 0:
                self.now.state = first_state(link)
            self.now.state.follow(link)
        self.now.until = at

    def _read_whole(self) -> FoundWhole:
        k, asked = self.keys, Questions()
        missions = sorted(
            {*self._recorded_ids("mission"), *self._ask_ours(["SMEMBERS", k.missions])[0]}
        )
        marks = [(table, asked.add("HGETALL", k.rows(table))) for table in MARKS.values()]
        swarm = _ask_swarm(asked, k)
        steps = [asked.add("HGETALL", k.steps(AgentId(seat))) for seat in self._seat_ids()]
        each = {id: _ask_mission(asked, k, id) for id in missions}
        state = self._read_moment(asked)
        return FoundWhole(
            state=state,
            asked=missions,
            listed=swarm.agents.value,
            marks=_all_marks(marks),
            missions=_all_missions(each),
            missions_listed=swarm.missions.value,
            accounts=_all_accounts(swarm.root, each),
            seat_steps=[step for begun in steps for step in _begun_calls(begun.pairs)],
            head_n=int(swarm.head.value or 0),
            seq=swarm.seq.value or "",
            schema=swarm.schema.value or "",
        )

    def _seat_ids(self) -> list[str]:
        records = self.now.state.records.values
        return [key[6:] for key, record in records.items() if _is_seat(key, record)]

    def _read_agents(self, ids: Sequence[str]) -> Found:
        asked = Questions()
        parents = {id: _parent_of(self.now.state, id) for id in ids}
        each = {id: _ask_agent(asked, self.keys, AgentId(id), parents[id]) for id in ids}
        state = self._read_moment(asked)
        # Who was adopted or reaped between the two readings is looked at the next time.
        same = [id for id in ids if parents[id] == _parent_of(state, id)]
        return Found(
            state, {id: _found_agent(*(answer.value for answer in each[id])) for id in same}
        )

    # --- beside it ---

    def _read_loose(
        self, positions: Mapping[str, Mapping[str, str]], hosts: Mapping[str, str]
    ) -> Loose:
        k = self.keys
        heads, listed, leader, ended = self._ask_ours(
            ["ZRANGE", k.heads, "0", "-1"],
            ["SMEMBERS", k.hosts],
            ["GET", k.leader],
            ["ZRANGE", k.ended, "0", "-1"],
        )
        is_led = bool((leader or "").partition(":")[2])
        channels = sorted({*heads, *(channel for read in positions.values() for channel in read)})
        return Loose(
            heads,
            self._existing_streams(channels),
            positions,
            self._all_named(_WITH_THE_LIVING),
            self._all_named(_AS_LONG_AS_KEPT),
            ended,
            listed,
            self._ids_named("_host:"),
            hosts,
            is_led,
        )

    def _existing_streams(self, channels: Sequence[str]) -> list[str]:
        there = self.view.ask(*(["EXISTS", f"{self.keys.prefix}{name}"] for name in channels))
        return [name for name, is_there in zip(channels, there, strict=True) if is_there]

    def _find_other_ends(self, heads: Sequence[str]) -> Iterator[Flaw]:
        """Of the channels that were posted to, and of those of which an end is kept."""
        k = self.keys
        listed = set(heads)
        kept = self._ask_ours(["HKEYS", k.ends])[0]
        channels = [*heads, *sorted(set(kept) - listed)]
        for start in range(0, len(channels), AGENTS_AT_ONCE):
            part = channels[start : start + AGENTS_AT_ONCE]
            told, *infos = self._ask_ours(
                ["HMGET", k.ends, *part],
                *(["XINFO", "STREAM", f"{k.prefix}{channel}"] for channel in part),
                is_at_once=True,
            )
            ends = {c: end for c, text in zip(part, told, strict=False) if (end := _end_of(text))}
            streams = {c: _end_in(info) for c, info in zip(part, infos, strict=True) if info}
            # Of a channel that is listed and has no stream it is told that.
            no_stream = listed - streams.keys()
            yield from fsck.ends({c: e for c, e in ends.items() if c not in no_stream}, streams)

    def _all_named(self, kinds: Sequence[str]) -> dict[str, list[str]]:
        """Who has keys of these kinds, and of which."""
        found: dict[str, list[str]] = {}
        for kind in kinds:
            for id in self._ids_named(kind):
                found.setdefault(id, []).append(kind.rstrip(":"))
        return found

    def _ids_named(self, kind: str) -> list[str]:
        """The ids of all keys of a kind."""
        prefix, cursor, found = f"{self.keys.prefix}{kind}", "0", list[str]()
        pattern = "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix) + "*"
        while True:
            cursor, names = self.view.ask(["SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT])[
                0
            ]
            found += [name[len(prefix) :] for name in names]
            if cursor == "0":
                return found


# --- what is asked and read --------------------------------------------------------------------


@dataclass(slots=True)
class Answer:
    """What a command will have been answered."""

    value: Any = None

    @property
    def pairs(self) -> dict[str, str]:
        """Of a hash: its fields."""
        return _as_pairs(self.value)


@dataclass(slots=True)
class Questions:
    """Commands of one moment, and where their answers will stand."""

    commands: list[Sequence[str]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def add(self, *command: str) -> Answer:
        self.commands.append(command)
        self.answers.append(Answer())
        return self.answers[-1]

    def fill(self, values: Sequence[Any]) -> None:
        for answer, value in zip(self.answers, values, strict=True):
            answer.value = value


class OfSwarm(NamedTuple):
    """What belongs to no mission."""

    missions: Answer
    agents: Answer
    head: Answer
    schema: Answer
    root: Answer
    seq: Answer


def _ask_swarm(asked: Questions, k: Keys) -> OfSwarm:
    return OfSwarm(
        missions=asked.add("SMEMBERS", k.missions),
        agents=asked.add("SMEMBERS", k.agents),
        head=asked.add("HGET", k.head, "n"),
        schema=asked.add("HGET", k.meta, "schema"),
        root=asked.add("HGETALL", k.ledger(SOB)),
        seq=asked.add("HGET", k.positions, "seq"),
    )


def _ask_mission(asked: Questions, k: Keys, id: str) -> list[Answer]:
    """Its record, its rows in the order of `OF_MISSIONS`, and its account."""
    return [
        asked.add("HGETALL", k.mission(MissionId(id))),
        *(
            asked.add("HGETALL" if table.has_parts else "GET", k.rows(table, id))
            for table in OF_MISSIONS
        ),
        asked.add("HGETALL", k.ledger(id)),
    ]


def _ask_agent(asked: Questions, k: Keys, id: AgentId, parent: str) -> list[Answer]:
    """In the order in which `_found_agent` takes the answers."""
    return [
        asked.add("HGETALL", k.agent(id)),
        asked.add("HGETALL", k.use(id)),
        asked.add("HGETALL", k.ledger(id)),
        asked.add("HGETALL", k.steps(id)),
        asked.add("HGETALL", k.state(id)),
        asked.add("SISMEMBER", k.agents, id),
        asked.add("SISMEMBER", k.children(AgentId(parent)), id),
    ]


def _found_agent(
    record: Any, use: Any, account: Any, steps: Any, state: Any, is_listed: int, is_child: int
) -> FoundAgent:
    flat = _as_pairs(record)
    agent = agent_of(flat)
    own = _as_pairs(state)
    return FoundAgent(
        bool(flat),
        bool(is_listed),
        None if agent is None else fsck.cleaned(agent_record(agent)),
        _as_pairs(use),
        _as_pairs([] if agent is None else use_pairs(agent)),
        bool(is_child),
        _as_pairs(account),
        list(_begun_calls(_as_pairs(steps))),
        {name[2:]: at for name, at in own.items() if name.startswith("p:")},
    )


def _with_facts(state: State, facts: Iterable[tuple[str, Sequence[str]]]) -> State:
    """The state with the facts that are not yet folded."""
    moment = replace(state, ledger=Ledger.from_json(state.ledger.to_json()))
    unread = [
        (StreamId(at), _as_pairs(flat)) for at, flat in facts if _is_after(at, state.facts_until)
    ]
    # What is no fact is left out here as the supervisor will leave it out.
    judge(moment.ledger, unread)
    return moment


def _hosts_of(found: Found) -> dict[str, str]:
    """The hosts of those that have begun a call."""
    return {
        id: str(agent.record.get("host", ""))
        for id, agent in found.agents.items()
        if agent.steps and agent.record is not None
    }


def _parent_of(state: State, id: str) -> str:
    return str(state.records.values.get(f"agent:{id}", {}).get("parent", ""))


def _end_of(text: str | None) -> fsck.End | None:
    """An end as it is kept; `None` for what is none."""
    last, _, count = (text or "").partition(" ")
    return (last, int(count)) if count.isdecimal() else None


def _end_in(info: Sequence[Any]) -> fsck.End:
    """The end that the server tells of a stream."""
    told = dict(zip(info[::2], info[1::2], strict=True))
    return str(told["last-generated-id"]), int(told["entries-added"])


def _begun_calls(steps: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The calls that have begun and not ended, as they were begun."""
    for name, text in steps.items():
        if name.endswith(":b") and f"{name[:-2]}:e" not in steps:
            try:
                yield json.loads(text)
            except (ValueError, RecursionError):
                continue


def _mark_records(
    table: Table[Any], fields: Mapping[str, str]
) -> Iterator[tuple[str, Record | None]]:
    for key, text in table.rows_in(fields).items():
        yield (
            f"{table.name}:{key}",
            _read_record(lambda k=key, t=text: table.record(table.read(k, t))),
        )


def _all_marks(answers: Iterable[tuple[Table[Any], Answer]]) -> dict[str, Record | None]:
    return dict(row for table, answer in answers for row in _mark_records(table, answer.pairs))


def _all_missions(each: Mapping[str, Sequence[Answer]]) -> dict[str, Record | None]:
    made: dict[str, Record | None] = {}
    for id, (record, *rows, _) in each.items():
        made |= _mission_records(id, record.pairs, [row.value for row in rows])
    return made


def _all_accounts(
    root: Answer, each: Mapping[str, Sequence[Answer]]
) -> dict[str, Mapping[str, str]]:
    return {SOB: root.pairs} | {id: answers[-1].pairs for id, answers in each.items()}


def _mission_records(
    id: str, record: Mapping[str, str], rows: Sequence[Any]
) -> dict[str, Record | None]:
    made: dict[str, Record | None] = {}
    if record:
        mission = mission_of(record)
        made[f"mission:{id}"] = None if mission is None else mission_record(mission)
    for table, row in zip(OF_MISSIONS, rows, strict=True):
        if row and table.digest is not None:
            made[f"{table.name}:{id}"] = _read_record(lambda t=table, r=row: _row_record(t, id, r))
    return made


def _row_record(table: Table[Any], key: str, row: Any) -> Record:
    if not table.has_parts:
        return table.record(table.read(key, row))
    return whole_record(
        table, {part: table.read(part, text) for part, text in _as_pairs(row).items()}
    )


def _read_record(make: Any) -> Record | None:
    """`None` for what cannot be read, whatever is wrong with it."""
    try:
        record: Record = make()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record


def _is_seat(key: str, record: Record) -> bool:
    return key.startswith("agent:") and "parent" not in record and key != f"agent:{SOB}"


def _is_after(at: str, facts_until: StreamId) -> bool:
    return order_of(StreamId(at)) > order_of(facts_until)


def _as_pairs(flat: Sequence[str] | Iterable[str]) -> dict[str, str]:
    words = list(flat)
    return dict(zip(words[::2], words[1::2], strict=True))
