"""What is read of agents, accounts, missions and permissions.

Records that few verbs need are imported where they are made, for to make their classes takes a verb
longer than to ask the server.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.query import Query, asked, asked_if_allowed, facts_in, hash_of
from swarmd.core.agent.waiting import awaited, shown_wait, wait_of
from swarmd.core.model.lineage import Fence, Stop, StopKind
from swarmd.core.model.names import SOB, AgentId, Authority, HostId, MissionId
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.tables import APPROVALS, FENCES, OVERRIDES, REVOCATIONS, STOPS, TROUBLES
from swarmd.core.queries.activity import (
    Awaited,
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

if TYPE_CHECKING:
    from swarmd.core.model.lineage import Agent
    from swarmd.ports.reader import Facts, Inner


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
    # Where a state cannot be read, or this user may not read it, all else is told.
    waits, _ = yield from asked_if_allowed(*(["HGET", keys.state(one), "waits"] for one in ids))
    found = _found_in(answers[:count], answers[count : 2 * count], waits)
    alive, calls = yield from _hosts_and_calls(keys, found)
    around = Surroundings(alive, hash_of(stops), hash_of(troubles), time.time(), bool(is_led))
    marks = _marks(fences, stops)
    return [one.seen(marks, around, calls.get(one.id)) for one in found]


def _found_in(
    records: Sequence[Sequence[str]],
    journals: Sequence[Collection[str]],
    waits: Sequence[str | None],
) -> list[_Found]:
    found = map(_Found, map(hash_of, records), journals, waits)
    return [one for one in found if one.id]


def _hosts_and_calls(
    keys: Keys, found: Sequence[_Found]
) -> Query[tuple[frozenset[str], dict[AgentId, str]]]:
    """The hosts of these agents that live, and the calls that are under way as they were begun."""
    hosts, calling = _hosts_of(found), [one for one in found if one.call_field is not None]
    answers = yield from asked(
        *(["EXISTS", keys.host(host)] for host in hosts),
        *(["HGET", keys.steps(one.id), one.call_field or ""] for one in calling),
    )
    alive = frozenset(host for host, lives in zip(hosts, answers, strict=False) if lives)
    texts = zip(calling, answers[len(hosts) :], strict=True)
    return alive, {one.id: text for one, text in texts}


def _hosts_of(found: Sequence[_Found]) -> list[HostId]:
    return [HostId(host) for host in sorted({one.host for one in found if one.host})]


class _Found:
    """An agent's hash, the fields of its step journal and for what it waits, as its state has it.
    Without an id there is no agent.
    """

    __slots__ = ("call_field", "id", "record", "steps", "wait")

    def __init__(
        self, record: Mapping[str, str], steps: Collection[str], waits: str | None
    ) -> None:
        self.record, self.steps, self.wait = record, steps, wait_of(waits or "")
        self.id, self.call_field = AgentId(record.get("id", "")), open_call(steps)

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
            awaited=Awaited(awaited(self.wait), self.wait.until),
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
    found = [agent for row in rows if (agent := agent_of(hash_of(row))) is not None]
    return found if found and found[-1].id == id else []


def is_agent(keys: Keys, id: AgentId) -> Query[bool]:
    [count] = yield from asked(["EXISTS", keys.agent(id)])
    return bool(count)


def read_children(keys: Keys, id: AgentId) -> Query[list[str]]:
    [found] = yield from asked(["SMEMBERS", keys.children(id)])
    return sorted(found)


def read_inner(keys: Keys, id: AgentId) -> Query[Inner]:
    from swarmd.ports.reader import Inner

    state, steps, task = yield from asked(
        ["HGETALL", keys.state(id)], ["HKEYS", keys.steps(id)], ["HGETALL", keys.task(id)]
    )
    own = hash_of(state)
    return Inner(
        turn=own.get("turn", ""),
        positions={name[2:]: own[name] for name in sorted(own) if name.startswith("p:")},
        steps_begun=sum(1 for name in steps if name.endswith(":b")),
        steps_ended=sum(1 for name in steps if name.endswith(":e")),
        waits=shown_wait(wait_of(own.get("waits", ""))),
        task=hash_of(task),
    )


# --- accounts ---------------------------------------------------------------------------------


def read_accounts(keys: Keys, ids: Sequence[str]) -> Query[dict[str, AccountView]]:
    rows = yield from asked(*(["HGETALL", keys.ledger(one)] for one in ids))
    return {one: account_view(hash_of(row)) for one, row in zip(ids, rows, strict=True) if row}


def read_snapshot(keys: Keys, mission: str = "") -> Query[Snapshot]:
    found = yield from read_missions(keys)
    shown = tuple(one for one in found if mission in ("", one.id))
    everybody = yield from read_agents(keys, ended=True)
    members = tuple(
        one for one in everybody if not mission or one.mission == mission or not one.tier
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
    records = (mission_view(hash_of(row)) for row in rows)
    found = [in_force.of_mission(record) for record in records if record.id]
    return sorted(found, key=lambda one: (one.created, one.id))


def read_mission(keys: Keys, id: MissionId) -> Query[MissionView | None]:
    row, fences, stops = yield from asked(["HGETALL", keys.mission(id)], *_stopping(keys))
    return _marks(fences, stops).of_mission(mission_view(hash_of(row))) if row else None


# --- permissions ------------------------------------------------------------------------------


def read_approvals(keys: Keys) -> Query[dict[str, Facts]]:
    return (yield from _objects(keys.rows(APPROVALS)))


def read_overrides(keys: Keys) -> Query[dict[str, Facts]]:
    return (yield from _objects(keys.rows(OVERRIDES)))


def _objects(key: str) -> Query[dict[str, Facts]]:
    [flat] = yield from asked(["HGETALL", key])
    found = {id: facts_in(text) for id, text in hash_of(flat).items()}
    return dict(sorted(found.items(), key=lambda item: (float(item[1].get("at") or 0), item[0])))


# --- reading of what was answered -------------------------------------------------------------


def _marks(fences: Sequence[str], stops: Sequence[str], revocations: Sequence[str] = ()) -> Marks:
    return Marks(
        {segment: _fence(segment, text) for segment, text in hash_of(fences).items()},
        {target: read_stop(target, text) for target, text in hash_of(stops).items()},
        {segment: _revocations(segment, text) for segment, text in hash_of(revocations).items()},
    )


def _fence(segment: str, text: str) -> Fence:
    try:
        return FENCES.read(segment, text)
    except ValueError:
        return Fence(segment, "", "", 0.0)


def read_stop(target: str, text: str) -> Stop:
    """A mark that cannot be read stops all the same."""
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
