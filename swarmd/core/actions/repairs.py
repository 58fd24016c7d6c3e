"""What an operator orders about the record itself: gaps acknowledged, faults of the store mended.
Pure.

The store is made to hold again what the supervisor's memory holds, which is what the journal says.
Nothing is decided anew: a repair changes no agent, mark or mission, and an account only back to
what its facts add up to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from swarmd.core.model.changes import (
    AccountMended,
    AgentRestored,
    AgentSwept,
    Change,
    ChannelForgotten,
    KeySwept,
    MissionSet,
    MissionSwept,
    RecordSwept,
    ReservesSettled,
    Row,
    SchemaStamped,
)
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import OPERATOR, AgentId, Channel, MissionId
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import GAPS, MARKS, OF_MISSIONS, Drop, Put, Table


def acknowledge(draft: Draft, order: str, target: str, reason: str) -> Denied | None:
    """An operator has looked into a gap: `verify` reports it no more."""
    last = draft.swarm.chain.head.n
    if not target.isdecimal() or not 0 < int(target) <= last:
        return Denied(
            Rule.REQUEST_INVALID, f"{target} is no entry of the journal, which has {last}"
        )
    text = f"entry {target} is acknowledged: {reason}"[:2000]
    draft.add(Drop(GAPS, target))
    draft.record(
        JournalEvent.JOURNAL_ACKNOWLEDGED,
        text,
        actor=OPERATOR,
        entry=int(target),
        reason=reason[:2000],
        order=order,
        outcome="done",
    )
    return None


def repair(draft: Draft, order: str, target: str, reason: str) -> Denied | None:
    """The store is given back what memory holds of the target, or loses what it should not have."""
    kind, _, id = target.partition(":")
    if kind not in _REPAIRS:
        return Denied(
            Rule.REQUEST_INVALID, f"nothing mends {target!r}: name one of {', '.join(_REPAIRS)}"
        )
    changes = _REPAIRS[kind](draft.swarm, id)
    if isinstance(changes, Denied):
        return changes
    draft.add(*changes)
    draft.record(
        JournalEvent.STATE_REPAIRED,
        f"{target}: {reason}"[:2000],
        actor=OPERATOR,
        target=target,
        order=order,
        outcome="done",
        steps=[_named(change) for change in changes],
    )
    return None


def _named(change: Change) -> str:
    name = type(change).__name__
    return f"{name} {change.table.name}" if isinstance(change, Row) else name


def _mark(kind: str, swarm: Swarm, id: str) -> list[Change]:
    return [MARKS[kind].set(id, swarm.rows(MARKS[kind]).get(id))]


def _agent(swarm: Swarm, id: str) -> list[Change]:
    agent = swarm.lineage.get(id)
    return [AgentSwept(AgentId(id)) if agent is None else AgentRestored(agent)]


def _reserve(swarm: Swarm, id: str) -> list[Change]:
    """An agent's own reserves, or a mission's, which stand in the journals of the seats."""
    if swarm.lineage.get(id) is not None:
        return [ReservesSettled(id, (AgentId(id),))]
    return [ReservesSettled(id, tuple(seat.id for seat in swarm.seats()))]


def _mission(swarm: Swarm, id: str) -> list[Change]:
    mission = swarm.missions.get(MissionId(id))
    if mission is None:
        return [MissionSwept(MissionId(id))]
    rows = [row for table in OF_MISSIONS for row in _rows_of(swarm, table, mission.id)]
    return [MissionSet(mission), *rows]


def _record(swarm: Swarm, id: str) -> list[Change] | Denied:
    if swarm.lineage.get(id) is not None or MissionId(id) in swarm.missions:
        return Denied(
            Rule.REQUEST_INVALID, f"{id} lives: its record is mended as agent:{id} or mission:{id}"
        )
    return [RecordSwept(id)]


def _rows_of(swarm: Swarm, table: Table[Any], mission: MissionId) -> Iterator[Change]:
    row = swarm.rows(table).get(mission)
    if row is not None and table.has_parts:
        yield from (Put(table, mission, value) for value in row.values())
    elif row is not None:
        yield Put(table, mission, row)


def _account(swarm: Swarm, id: str) -> list[Change] | Denied:
    """By how much it is off was read with the order; more than that the store adds nothing."""
    off = swarm.observed.off.get(id)
    if off is None:
        return Denied(
            Rule.REQUEST_INVALID,
            f"what the account {id} should hold cannot be told: the journal is not whole",
        )
    return [AccountMended(id, off)] if off else []


# What stands before the `:` of a repair's target (`fsck` names its findings so), and what gives
# the store back what it should hold of it.
_REPAIRS: Final[Mapping[str, Callable[[Swarm, str], list[Change] | Denied]]] = {
    "agent": _agent,
    "mission": _mission,
    **{kind: partial(_mark, kind) for kind in MARKS},
    "account": _account,
    "reserve": _reserve,
    "channel": lambda _, name: [ChannelForgotten(Channel(name))],
    "record": _record,
    "key": lambda _, key: [KeySwept(key)],
    "schema": lambda _, __: [SchemaStamped()],
    "gap": lambda _, n: [Drop(GAPS, n)],
}
