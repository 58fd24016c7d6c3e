"""The journal: what each entry says of the changes it stands for, and how entries are chained.
Pure.

`chained` goes over a commit in order. Each entry is given the effects of the changes since the
entry before it, so that the state at every entry can be made anew from the journal alone
(`replay`); what is left at the end gets an entry of its own. Texts of people and models stand in it
as digests: the journal proves, it does not publish.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, assert_never

from swarmd.core.ledger.tree import account_above
from swarmd.core.model.chain import (
    CHAINED,
    Chain,
    Effect,
    Head,
    Record,
    canonical,
    sha256,
    with_hash,
    without_hash,
)
from swarmd.core.model.changes import (
    AccountChange,
    AgentAdopted,
    AgentChange,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentSet,
    Change,
    ChannelChange,
    CharterSet,
    HeadSet,
    HostGone,
    MissionChange,
    MissionClosed,
    PeriodTurned,
    Post,
    Repair,
    RightsSet,
    Row,
)
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.entries import entry
from swarmd.core.model.events import REFUSALS, JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import text_of
from swarmd.core.model.names import SOB, SUPERVISOR, MissionId, StreamId
from swarmd.core.model.records import Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Swarm
from swarmd.core.model.tables import OF_MISSIONS, TABLES, Drop, Table
from swarmd.core.model.timings import Moment

# The key of an effect that comes first of an entry's: all records are stated anew after it.
ANEW: Final = "*"

SHOWN_MAX: Final = 8  # records that the line for people names

REFUSED_CHARS: Final = 200  # of why a fact was refused: an id that it named may stand in it


# --- records ----------------------------------------------------------------------------------


def agent_record(agent: Agent, known: Record | None = None) -> Record:
    """`known` is the record it had: only a `CharterSet` changes a charter, so its digest is not
    made anew.
    """
    return {
        "name": agent.name,
        "role": agent.role,
        "tier": agent.tier,
        "parent": agent.parent,
        "path": "/".join(agent.path),
        "mission": agent.mission,
        "state": agent.state.value,
        "reason": agent.reason,
        "incarnation": agent.incarnation,
        "host": agent.host,
        "lease": agent.lease,
        "created": agent.created,
        "key": agent.key,
        "privileges": list(agent.privileges),
        "grants": list(agent.grants),
        "later": [[held.path, held.right, held.number, held.by, held.at] for held in agent.later],
        "deadline": agent.deadline,
        "crashes": list(agent.crashes),
        "charter": known.get("charter") if known else _charter_digest(agent),
        "taint": list(agent.taint),
    }


def _charter_digest(agent: Agent) -> str | None:
    return sha256(agent.charter.model_dump_json(exclude_defaults=True)) if agent.charter else None


def mission_record(mission: Mission) -> Record:
    return {
        "state": mission.state.value,
        "ending": mission.ending and mission.ending.value,
        "reason": mission.reason,
        "created": mission.created,
        "deadline": mission.deadline,
        "budget": dict(mission.budget),
        "digest": mission.digest,
        "mission": sha256(mission.text),
        "files": sha256(canonical([mission.files, mission.asked_files])),
        "board": mission.board,
        "result": sha256(mission.result) if mission.result else None,
        "result_files": sha256(canonical(mission.result_files)) if mission.result_files else None,
    }


def records_of(change: Change, known: Mapping[str, Record]) -> Iterator[tuple[str, Record | None]]:
    """The records that a change sets or (`None`) drops."""
    if isinstance(change, Row):
        yield from _row_records(change, known)
    elif isinstance(change, AgentChange):
        yield from _agent_records(change, known)
    elif isinstance(change, MissionChange):
        yield from _mission_records(change)
    elif isinstance(change, PeriodTurned):
        yield f"period:{change.id}", {"period": change.period}
    elif isinstance(change, AccountChange):
        pass  # amounts are told by the store's facts, which know what was there
    elif isinstance(change, ChannelChange | Repair):
        pass  # the journal had it right
    else:
        assert_never(change)


def _row_records(change: Row, known: Mapping[str, Record]) -> Iterator[tuple[str, Record | None]]:
    if change.table.digest is not None:
        key = f"{change.table.name}:{change.key}"
        if isinstance(change, Drop):
            yield key, None
        else:
            yield key, change.table.record(change.value, known.get(key))


def _agent_records(
    change: AgentChange, known: Mapping[str, Record]
) -> Iterator[tuple[str, Record | None]]:
    match change:
        case HostGone():
            pass
        case AgentReaped(agent):
            yield f"agent:{agent.id}", None
        case CharterSet(agent):
            yield f"agent:{agent.id}", agent_record(agent)
        case (
            AgentMade(agent)
            | AgentSet(agent)
            | RightsSet(agent)
            | AgentAdopted(agent)
            | AgentRestarted(agent)
        ):
            key = f"agent:{agent.id}"
            yield key, agent_record(agent, known.get(key))
        case _:
            assert_never(change)


def _mission_records(change: MissionChange) -> Iterator[tuple[str, Record | None]]:
    id = change.mission.id
    if isinstance(change, MissionClosed):
        for name in ("mission", *(table.name for table in OF_MISSIONS)):
            yield f"{name}:{id}", None
    else:
        yield f"mission:{id}", mission_record(change.mission)


def all_records(swarm: Swarm) -> Iterator[tuple[str, Record]]:
    """What `records_of` has made of everything that led to this swarm: for memory that was read
    anew.
    """
    for agent in swarm.lineage.agents.values():
        yield f"agent:{agent.id}", agent_record(agent)
    if swarm.period:
        yield f"period:{SOB}", {"period": swarm.period}
    for mission in swarm.missions.values():
        yield f"mission:{mission.id}", mission_record(mission)
    for table in TABLES:
        if table.digest is not None:
            for key, row in swarm.rows(table).items():
                yield f"{table.name}:{key}", whole_record(table, row)


def whole_record(table: Table[Any], row: Any) -> Record:
    """Of a row, or of all its parts."""
    record: Record = {}
    for value in row.values() if table.has_parts else (row,):
        record = table.record(value, record)
    return record


# --- chaining ---------------------------------------------------------------------------------


def chained(swarm: Swarm, changes: Iterable[Change], moment: Moment) -> list[Change]:
    """The commit with its entries chained, and the new head as its last change.

    Moves `swarm.chain` on: where the commit fails, the swarm is read anew, and the chain with it.
    """
    chain, made, effects = swarm.chain, list[Change](), list[Effect]()
    before = chain.head
    for change in changes:
        if isinstance(change, Post) and change.channel == JOURNAL:
            if effects and change.message.data["event"] in REFUSALS:
                # A refusal changes nothing: what was changed before it is told before it.
                made.append(_linked(swarm, _rest(moment, effects), effects))
                effects = []
            made.append(_linked(swarm, change, effects))
            effects = []
        else:
            effects += _effects_of(chain, change)
            made.append(change)
    if effects:
        made.append(_linked(swarm, _rest(moment, effects), effects))
    if chain.head != before:
        made.append(HeadSet(chain.head))
    return made


def _effects_of(chain: Chain, change: Change) -> Iterator[Effect]:
    """What a change does to the chain's records, which are moved on with it."""
    for key, value in records_of(change, chain.records.values):
        effect = chain.records.put(key, value)
        if effect is not None:
            yield effect


def _rest(moment: Moment, effects: Sequence[Effect]) -> Post:
    """Of what no other entry tells: placements, votes."""
    keys = list(dict.fromkeys(key for key, _ in effects))
    more = f" and {len(keys) - SHOWN_MAX} more" if len(keys) > SHOWN_MAX else ""
    return entry(
        moment, JournalEvent.STATE_CHANGED, ", ".join(keys[:SHOWN_MAX]) + more, actor=SUPERVISOR
    )


def _linked(swarm: Swarm, post: Post, effects: Sequence[Effect]) -> Post:
    chain, message = swarm.chain, post.message
    assert CHAINED.isdisjoint(message.data)
    data = {**message.data, **_incarnation_of(swarm, message.data), **_links_of(chain)}
    if effects:
        data["effects"] = effects
    # Written once: what is stored is the text that was hashed, with the hash at its end.
    line, hash = with_hash(message.body(text_of(data)))
    chain.head = Head(data["n"], hash, data["after"])
    return Post(post.channel, replace(message, data=data), line)


def _incarnation_of(swarm: Swarm, data: Mapping[str, Any]) -> dict[str, Any]:
    """Of the agent that did it, where the entry does not say it itself."""
    actor = swarm.lineage.get(str(data.get("actor", "")))
    return {} if actor is None or "incarnation" in data else {"incarnation": actor.incarnation}


def _links_of(chain: Chain) -> dict[str, Any]:
    head = chain.head
    after = chain.records.digest
    return {"n": head.n + 1, "prev": head.hash, "before": head.after, "after": after}


# --- entries of the record itself -------------------------------------------------------------


def recovered(moment: Moment, lost: Head, continues: Head) -> Post:
    """The store ends before what was anchored: the server lost its last second or more."""
    gap = [continues.n + 1, lost.n]
    text = (
        f"the store lost entries {gap[0]} to {gap[1]} of the journal: it goes on after "
        f"{continues.n}"
    )
    return entry(
        moment,
        JournalEvent.JOURNAL_RECOVERED,
        text,
        actor=SUPERVISOR,
        gap=gap,
        lost={"n": lost.n, "hash": lost.hash},
        continues={"n": continues.n, "hash": continues.hash},
    )


def restated(
    swarm: Swarm,
    moment: Moment,
    why: str,
    rows: Mapping[str, Mapping[str, str]],
    facts_until: StreamId,
) -> list[Change]:
    """One entry that states all anew, for a journal that cannot be continued from what it says
    itself.

    `rows` are the open accounts as the store has them after the fact `facts_until`. The whole
    commit, chained.
    """
    post = entry(
        moment,
        JournalEvent.JOURNAL_RESTATED,
        f"the state is stated anew: {why}"[:2000],
        actor=SUPERVISOR,
        why=why,
        accounts={id: _account_stated(swarm, id, row) for id, row in rows.items()},
        facts_until=facts_until,
    )
    linked = _linked(swarm, post, [(ANEW, None), *swarm.chain.records.values.items()])
    return [linked, HeadSet(swarm.chain.head)]


def _account_stated(swarm: Swarm, id: str, row: Mapping[str, str]) -> dict[str, Any]:
    above = account_above(swarm, id)
    # One whose place is not known is of a mission that could not be loaded.
    return {"parent": SOB if above is None else above, **_amounts_of(row)}


def open_accounts(swarm: Swarm, damaged: Iterable[MissionId] = ()) -> list[str]:
    """Those that may have an account: of a mission that waits there is none yet. `damaged` are open
    missions that could not be loaded: their accounts lie in the store all the same.
    """
    fences = swarm.lineage.fences
    missions = [id for id in swarm.missions if not (id in fences and fences[id].is_settled)]
    return [
        SOB,
        *missions,
        *damaged,
        *(a.id for a in swarm.lineage.agents.values() if not a.is_seat and a.id != SOB),
    ]


def numbered(line: str) -> int:
    """The number that an entry's line claims; 0 where it claims none."""
    try:
        return int(json.loads(line)["data"]["n"]) if without_hash(line) is not None else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def _amounts_of(row: Mapping[str, str]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for name, value in row.items():
        kind, dot, amount = name.partition(".")
        # What is no number was nobody's to spend; what it should be, an earlier entry of the
        # journal says.
        if dot and value.removeprefix("-").isdecimal():
            nested.setdefault(kind, {})[amount] = int(value)
    return nested


def folded(
    moment: Moment, facts: Sequence[tuple[StreamId, Mapping[str, str]]], until: StreamId
) -> Post:
    """What workers' scripts and the accounts' own told, in order: the exact record of the ledger.

    `until` is the last entry of the stream that was read: what was refused among them is behind the
    next ones too.
    """
    refusals = sum(1 for _, fact in facts if fact.get("fact") == "refuse")
    text = f"{len(facts)} facts of the ledger" + (f", {refusals} refusals" if refusals else "")
    return entry(
        moment,
        JournalEvent.FACTS_FOLDED,
        text,
        actor="workers",
        facts=[told(id, fact) for id, fact in facts],
        until=until,
    )


def refused_facts(moment: Moment, refused: Sequence[tuple[StreamId, str]]) -> Post:
    """Entries of the stream of facts that are none. Nothing of what they say is repeated:
    anybody may have written them.
    """
    first, why = refused[0]
    rule, why = Rule.FACT_INVALID, why[:REFUSED_CHARS]
    text = (
        f"{rule}: {len(refused)} entries of the stream of facts are no facts; the first, "
        f"{first}: {why}"
    )
    return entry(
        moment,
        JournalEvent.FACTS_REFUSED,
        text,
        actor="unknown",
        rule=rule,
        detail=why,
        request=first,
        count=len(refused),
    )


def told(id: StreamId, fact: Mapping[str, str]) -> dict[str, Any]:
    """A fact as an entry holds it."""
    return {**fact, **_read_json(fact, "amounts"), **_read_json(fact, "files"), "id": id}


def _read_json(fact: Mapping[str, str], name: str) -> dict[str, Any]:
    # What is no JSON stays as it was: somebody else wrote it, and the replay names it.
    try:
        return {name: json.loads(fact[name])} if name in fact else {}
    except (ValueError, RecursionError):
        return {}
