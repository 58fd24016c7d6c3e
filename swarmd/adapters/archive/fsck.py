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
from typing import Any, Final

from swarmd.adapters.archive.history import at as past_at
from swarmd.adapters.redis.codecs import agent_of, hold_text, mission_of, use_pairs
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
    found = _look(view, folder, swarm)
    for _ in range(looks - 1):
        if not found:
            break
        time.sleep(LOOK_SECONDS)
        again = _look(view, folder, swarm)
        found = [flaw for flaw in found if flaw in again]
    return found


def _look(view: View, folder: Path, swarm: str) -> list[Flaw]:
    wrong = wrong_keys(view)
    try:
        found = list(Look(view, _replayed(view, folder, swarm)).flaws())
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


def _replayed(view: View, folder: Path, swarm: str) -> Now:
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
        yield from self._flaws()
        for key in sorted(self.wrong):
            name, kind = key.removeprefix(self.keys.prefix), self.view.ask(["TYPE", key])[0]
            mend = f"key:{name}" if type_of(name) else ""
            yield Flaw(
                "key.type", name, f"it is a {kind}: what should be there is read as missing", mend
            )

    def _ask(self, *commands: Sequence[str], is_at_once: bool = False) -> list[Any]:
        answers, wrong = self.view.ask_ours(*commands, is_at_once=is_at_once)
        self.wrong |= wrong
        return answers

    def _flaws(self) -> Iterator[Flaw]:
        listed = set(self._ask(["SMEMBERS", self.keys.agents])[0])
        whole = self._whole()
        yield from fsck.whole(whole)
        known = {key[6:] for key in self.now.state.records.values if key.startswith("agent:")}
        ids = sorted(listed | known)
        positions: dict[str, Mapping[str, str]] = {}
        hosts: dict[str, str] = {}
        for start in range(0, len(ids), AGENTS_AT_ONCE):
            part = self._agents(ids[start : start + AGENTS_AT_ONCE])
            yield from fsck.agents(part)
            for id, agent in part.agents.items():
                positions[id] = agent.positions
                if agent.steps and agent.record is not None:
                    hosts[id] = str(agent.record.get("host", ""))
        loose = self._loose(positions, hosts)
        yield from fsck.loose(self.now.state, loose)
        yield from self._ends(sorted(c for c in loose.heads if is_counted(Channel(c))))

    # --- one moment ---

    def _moment(self, commands: Sequence[Sequence[str]]) -> tuple[State, list[Any]]:
        """Answers, and the state of just that moment: entries that came since, and facts not yet
        folded.
        """
        start = "-" if self.now.until == FIRST else f"({self.now.until}"
        entries, facts, *answers = self._ask(
            ["XRANGE", self.keys.channel(JOURNAL), start, "+"],
            ["XRANGE", self.keys.facts, "-", "+"],
            *commands,
            is_at_once=True,
        )
        for at, words in entries:
            self._follow(StreamId(at), line_of(words))
        state = self.now.state
        moment = replace(state, ledger=Ledger.from_json(state.ledger.to_json()))
        unread = [
            (StreamId(at), _pairs(flat)) for at, flat in facts if _is_after(at, state.facts_until)
        ]
        # What is no fact is left out here as the supervisor will leave it out.
        judge(moment.ledger, unread)
        return moment, answers

    def _follow(self, at: StreamId, line: str) -> None:
        link = link_of(at, line)
        if link is not None:
            if self.now.state.head.n == 0:
                self.now.state = first_state(link)
            self.now.state.follow(link)
        self.now.until = at

    def _whole(self) -> FoundWhole:
        k = self.keys
        seats = [
            key[6:]
            for key, record in self.now.state.records.values.items()
            if _is_seat(key, record)
        ]
        ids = {key[8:] for key in self.now.state.records.values if key.startswith("mission:")}
        ids |= set(self._ask(["SMEMBERS", k.missions])[0])
        missions = sorted(ids)
        tables = list(MARKS.values())
        fixed = [
            *(["HGETALL", k.rows(table)] for table in tables),
            ["SMEMBERS", k.missions],
            ["SMEMBERS", k.agents],
            ["HGET", k.head, "n"],
            ["HGET", k.meta, "schema"],
            ["HGETALL", k.ledger(SOB)],
            ["HGET", k.positions, "seq"],
        ]
        steps = [["HGETALL", k.steps(AgentId(seat))] for seat in seats]
        each = [
            command
            for id in missions
            for command in (
                ["HGETALL", k.mission(MissionId(id))],
                *(
                    ["HGETALL" if table.has_parts else "GET", k.rows(table, id)]
                    for table in OF_MISSIONS
                ),
                ["HGETALL", k.ledger(id)],
            )
        ]
        state, answers = self._moment([*fixed, *steps, *each])
        marks = {
            name: record
            for table, flat in zip(tables, answers, strict=False)
            for name, record in _mark_records(table, _pairs(flat))
        }
        missions_listed, listed, head, schema, root, seq, *rest = answers[len(tables) :]
        seat_steps = [step for flat in rest[: len(steps)] for step in _begun(_pairs(flat))]
        accounts: dict[str, Mapping[str, str]] = {SOB: _pairs(root)}
        records: dict[str, Record | None] = {}
        size = len(OF_MISSIONS) + 2
        for id, at in zip(missions, range(len(steps), len(rest), size), strict=True):
            record, *rows, account = rest[at : at + size]
            accounts[id] = _pairs(account)
            records |= _mission_records(id, _pairs(record), rows)
        return FoundWhole(
            state,
            missions,
            listed,
            marks,
            records,
            missions_listed,
            accounts,
            seat_steps,
            int(head or 0),
            seq or "",
            schema or "",
        )

    def _agents(self, ids: Sequence[str]) -> Found:
        k = self.keys
        parents = [
            str(self.now.state.records.values.get(f"agent:{id}", {}).get("parent", ""))
            for id in ids
        ]
        commands: list[list[str]] = []
        for name, parent in zip(ids, parents, strict=True):
            id = AgentId(name)
            commands += [
                ["HGETALL", k.agent(id)],
                ["HGETALL", k.use(id)],
                ["HGETALL", k.ledger(id)],
                ["HGETALL", k.steps(id)],
                ["HGETALL", k.state(id)],
                ["SISMEMBER", k.agents, id],
                ["SISMEMBER", k.children(AgentId(parent)), id],
                ["HGET", k.holds, id],
            ]
        state, answers = self._moment(commands)
        found = {}
        for id_, at in zip(ids, range(0, len(answers), 8), strict=True):
            found[id_] = _agent(*answers[at : at + 8])
        # Who was adopted or reaped between the two readings is looked at the next time.
        same = [
            id
            for id, parent in zip(ids, parents, strict=True)
            if parent == str(state.records.values.get(f"agent:{id}", {}).get("parent", ""))
        ]
        return Found(state, {id: found[id] for id in same})

    # --- beside it ---

    def _loose(self, positions: Mapping[str, Mapping[str, str]], hosts: Mapping[str, str]) -> Loose:
        k = self.keys
        heads, listed, leader, ended, held = self._ask(
            ["ZRANGE", k.heads, "0", "-1"],
            ["SMEMBERS", k.hosts],
            ["GET", k.leader],
            ["ZRANGE", k.ended, "0", "-1"],
            ["HKEYS", k.holds],
        )
        leftovers = self._all_named(_WITH_THE_LIVING)
        for id in held:
            leftovers.setdefault(id, []).append("hold")
        is_led = bool((leader or "").partition(":")[2])
        channels = sorted({*heads, *(channel for read in positions.values() for channel in read)})
        there = self.view.ask(*(["EXISTS", f"{k.prefix}{channel}"] for channel in channels))
        return Loose(
            heads,
            [c for c, is_there in zip(channels, there, strict=True) if is_there],
            positions,
            leftovers,
            self._all_named(_AS_LONG_AS_KEPT),
            ended,
            listed,
            self._named("_host:"),
            hosts,
            is_led,
        )

    def _ends(self, heads: Sequence[str]) -> Iterator[Flaw]:
        """Of the channels that were posted to, and of those of which an end is kept."""
        [kept] = self._ask(["HKEYS", self.keys.ends])
        channels = [*heads, *sorted(set(kept) - set(heads))]
        for start in range(0, len(channels), AGENTS_AT_ONCE):
            ends, streams = self._ends_at_once(channels[start : start + AGENTS_AT_ONCE])
            # Of a channel that is listed and has no stream it is told that.
            for channel in set(heads) - streams.keys():
                ends.pop(channel, None)
            yield from fsck.ends(ends, streams)

    def _ends_at_once(
        self, channels: Sequence[str]
    ) -> tuple[dict[str, fsck.End], dict[str, fsck.End]]:
        """What is kept of them, and what their streams have, at one moment."""
        k = self.keys
        told, *infos = self._ask(
            ["HMGET", k.ends, *channels],
            *(["XINFO", "STREAM", f"{k.prefix}{channel}"] for channel in channels),
            is_at_once=True,
        )
        kept = zip(channels, map(_end_of, told or ()), strict=False)
        streams = zip(channels, infos, strict=True)
        return (
            {channel: end for channel, end in kept if end is not None},
            {channel: _end_in(info) for channel, info in streams if info},
        )

    def _all_named(self, kinds: Sequence[str]) -> dict[str, list[str]]:
        """Who has keys of these kinds, and of which."""
        found: dict[str, list[str]] = {}
        for kind in kinds:
            for id in self._named(kind):
                found.setdefault(id, []).append(kind.rstrip(":"))
        return found

    def _named(self, kind: str) -> list[str]:
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


# --- what was read ------------------------------------------------------------------------------


def _agent(
    record: Any,
    use: Any,
    account: Any,
    steps: Any,
    state: Any,
    is_listed: int,
    is_child: int,
    hold: str | None,
) -> FoundAgent:
    flat = _pairs(record)
    agent = agent_of(flat)
    wanted = [] if agent is None else use_pairs(agent)
    own = _pairs(state)
    return FoundAgent(
        bool(flat),
        bool(is_listed),
        None if agent is None else fsck.cleaned(agent_record(agent)),
        _pairs(use),
        _pairs(wanted),
        hold or "",
        "" if agent is None else hold_text(agent),
        bool(is_child),
        _pairs(account),
        list(_begun(_pairs(steps))),
        {name[2:]: at for name, at in own.items() if name.startswith("p:")},
    )


def _end_of(text: str | None) -> fsck.End | None:
    """An end as it is kept; `None` for what is none."""
    last, _, count = (text or "").partition(" ")
    return (last, int(count)) if count.isdecimal() else None


def _end_in(info: Sequence[Any]) -> fsck.End:
    """The end that the server tells of a stream."""
    told = dict(zip(info[::2], info[1::2], strict=True))
    return str(told["last-generated-id"]), int(told["entries-added"])


def _begun(steps: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
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
        yield f"{table.name}:{key}", _read(lambda k=key, t=text: table.record(table.read(k, t)))


def _mission_records(
    id: str, record: Mapping[str, str], rows: Sequence[Any]
) -> dict[str, Record | None]:
    made: dict[str, Record | None] = {}
    if record:
        mission = mission_of(record)
        made[f"mission:{id}"] = None if mission is None else mission_record(mission)
    for table, row in zip(OF_MISSIONS, rows, strict=True):
        if row and table.digest is not None:
            made[f"{table.name}:{id}"] = _read(lambda t=table, r=row: _row_record(t, id, r))
    return made


def _row_record(table: Table[Any], key: str, row: Any) -> Record:
    if not table.has_parts:
        return table.record(table.read(key, row))
    return whole_record(table, {part: table.read(part, text) for part, text in _pairs(row).items()})


def _read(make: Any) -> Record | None:
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


def _pairs(flat: Sequence[str] | Iterable[str]) -> dict[str, str]:
    words = list(flat)
    return dict(zip(words[::2], words[1::2], strict=True))
