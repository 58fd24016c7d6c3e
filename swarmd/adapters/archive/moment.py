"""What fsck asks of the store in one moment, and what the answers hold: records, or `None` for what
cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from swarmd.adapters.redis.codecs import agent_of, hold_text, mission_of, use_pairs
from swarmd.adapters.redis.keys import Keys
from swarmd.core.journal import fsck
from swarmd.core.journal.entries import agent_record, mission_record, whole_record
from swarmd.core.journal.fact_forms import judge
from swarmd.core.journal.fsck import Found, FoundAgent
from swarmd.core.journal.replay import State
from swarmd.core.ledger.accounts import Ledger
from swarmd.core.model.chain import Record
from swarmd.core.model.messages import order_of
from swarmd.core.model.names import SOB, AgentId, MissionId, StreamId
from swarmd.core.model.tables import OF_MISSIONS, Table


@dataclass(slots=True)
class Answer:
    """The answer of one command; `None` until the moment was read."""

    value: Any = None

    @property
    def pairs(self) -> dict[str, str]:
        """Of a hash: its fields."""
        return as_pairs(self.value)


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
    meta: Answer
    root: Answer
    seq: Answer


def ask_swarm(asked: Questions, k: Keys) -> OfSwarm:
    return OfSwarm(
        missions=asked.add("SMEMBERS", k.missions),
        agents=asked.add("SMEMBERS", k.agents),
        head=asked.add("HGET", k.head, "n"),
        meta=asked.add("HGETALL", k.meta),
        root=asked.add("HGETALL", k.ledger(SOB)),
        seq=asked.add("HGET", k.positions, "seq"),
    )


def ask_mission(asked: Questions, k: Keys, id: str) -> list[Answer]:
    """Its record, its rows in the order of `OF_MISSIONS`, and its account."""
    return [
        asked.add("HGETALL", k.mission(MissionId(id))),
        *(
            asked.add("HGETALL" if table.has_parts else "GET", k.rows(table, id))
            for table in OF_MISSIONS
        ),
        asked.add("HGETALL", k.ledger(id)),
    ]


def ask_agent(asked: Questions, k: Keys, id: AgentId, parent: str) -> list[Answer]:
    """In the order in which `found_agent` takes the answers."""
    return [
        asked.add("HGETALL", k.agent(id)),
        asked.add("HGETALL", k.use(id)),
        asked.add("HGETALL", k.ledger(id)),
        asked.add("HGETALL", k.steps(id)),
        asked.add("HGETALL", k.state(id)),
        asked.add("SISMEMBER", k.agents, id),
        asked.add("SISMEMBER", k.children(AgentId(parent)), id),
        asked.add("HGET", k.holds, id),
    ]


def found_agent(
    record: Any,
    use: Any,
    account: Any,
    steps: Any,
    state: Any,
    is_listed: int,
    is_child: int,
    hold: str | None,
) -> FoundAgent:
    flat = as_pairs(record)
    agent = agent_of(flat)
    own = as_pairs(state)
    return FoundAgent(
        bool(flat),
        bool(is_listed),
        None if agent is None else fsck.cleaned(agent_record(agent)),
        as_pairs(use),
        as_pairs([] if agent is None else use_pairs(agent)),
        hold or "",
        "" if agent is None else hold_text(agent),
        bool(is_child),
        as_pairs(account),
        list(begun_calls(as_pairs(steps))),
        {name[2:]: at for name, at in own.items() if name.startswith("p:")},
    )


def with_facts(state: State, facts: Iterable[tuple[str, Sequence[str]]]) -> State:
    """The state with the facts that are not yet folded."""
    moment = replace(state, ledger=Ledger.from_json(state.ledger.to_json()))
    unread = [
        (StreamId(at), as_pairs(flat)) for at, flat in facts if _is_after(at, state.facts_until)
    ]
    # What is no fact is left out here as the supervisor will leave it out.
    judge(moment.ledger, unread)
    return moment


def hosts_of(found: Found) -> dict[str, str]:
    """The hosts of those that have begun a call."""
    return {
        id: str(agent.record.get("host", ""))
        for id, agent in found.agents.items()
        if agent.steps and agent.record is not None
    }


def parent_of(state: State, id: str) -> str:
    return str(state.records.values.get(f"agent:{id}", {}).get("parent", ""))


def begun_calls(steps: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
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


def all_marks(answers: Iterable[tuple[Table[Any], Answer]]) -> dict[str, Record | None]:
    return dict(row for table, answer in answers for row in _mark_records(table, answer.pairs))


def all_missions(each: Mapping[str, Sequence[Answer]]) -> dict[str, Record | None]:
    made: dict[str, Record | None] = {}
    for id, (record, *rows, _) in each.items():
        made |= _mission_records(id, record.pairs, [row.value for row in rows])
    return made


def all_accounts(
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
        table, {part: table.read(part, text) for part, text in as_pairs(row).items()}
    )


def _read_record(make: Any) -> Record | None:
    """`None` for what cannot be read, whatever is wrong with it."""
    try:
        record: Record = make()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record


def is_seat(key: str, record: Record) -> bool:
    return key.startswith("agent:") and "parent" not in record and key != f"agent:{SOB}"


def _is_after(at: str, facts_until: StreamId) -> bool:
    return order_of(StreamId(at)) > order_of(facts_until)


def as_pairs(flat: Sequence[str] | Iterable[str]) -> dict[str, str]:
    words = list(flat)
    return dict(zip(words[::2], words[1::2], strict=True))


def end_of(text: str | None) -> fsck.End | None:
    """An end as it is kept; `None` for what is none."""
    match (text or "").split(" "):
        # Up to the last entry of ours, or up to what somebody wrote behind it.
        case [upto, count] | [_, count, upto] if count.isdecimal():
            return upto, int(count)
    return None


def end_in(info: Sequence[Any]) -> fsck.End:
    """The end that the server tells of a stream."""
    told = dict(zip(info[::2], info[1::2], strict=True))
    return str(told["last-generated-id"]), int(told["entries-added"])
