"""What whoever looks at a swarm is given: its agents, missions, accounts and marks at one moment.

Records are made of the hashes of the contract. A field that is absent reads as empty, and `fields`
keeps all that is stored, so that a face of one version can look at a swarm of another. What imports
this must start fast: no record here needs pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from swarmd.core.model.lineage import EVERYTHING, Fence, Stop, StopKind, stop_targets
from swarmd.core.model.names import SOB, AgentId, AgentState, HostId, MissionId, MissionState
from swarmd.core.model.privileges import Revocation
from swarmd.core.queries.activity import Activity


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent as it is stored, with what the marks in force make of its state (`Marks.seen`) and
    what it does now. Times are ISO-8601 UTC, `deadline` is seconds since the epoch.
    """

    id: AgentId
    name: str = ""
    role: str = ""
    tier: int | None = None
    parent: str = ""
    path: tuple[str, ...] = ()
    mission: MissionId = MissionId("")
    state: str = ""
    reason: str = ""
    host: HostId = HostId("")
    created: str = ""
    ended: str = ""
    deadline: float = 0.0
    privileges: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()  # the targets of all stops that hold it
    activity: Activity | None = None  # `None` where nobody has looked
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)  # as they are stored

    @property
    def is_terminated(self) -> bool:
        return self.state == AgentState.TERMINATED

    @property
    def task(self) -> str:
        """What its charter says that it is to do."""
        charter = _object(self.fields.get("charter", ""))
        return str(charter.get("task", "")) if charter else self.fields.get("task", "")


def agent_view(fields: Mapping[str, str], activity: Activity | None = None) -> AgentView:
    """The record of an agent's hash."""
    get = fields.get
    return AgentView(
        id=AgentId(get("id", "")),
        name=get("name", ""),
        role=get("role", ""),
        tier=_number(get("tier", "")),
        parent=get("parent", ""),
        path=tuple(get("path", "").split("/")),
        mission=MissionId(get("mission", "")),
        state=get("state", ""),
        reason=get("reason", ""),
        host=HostId(get("host", "")),
        created=get("created", ""),
        ended=get("ended", ""),
        deadline=_seconds(get("deadline", "")),
        privileges=tuple(get("privileges", "").split()),
        activity=activity,
        fields=fields,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MissionView:
    """A mission as it is stored, and the stops under which nothing moves there."""

    id: MissionId
    text: str = ""
    state: str = ""
    reason: str = ""
    result: str = ""
    created: str = ""
    ended: str = ""
    stopped: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)  # as they are stored

    @property
    def has_ended(self) -> bool:
        """By its state; one that a later version has added is taken for one that goes on."""
        return self.state in _ENDED


_ENDED: Final = frozenset(state.value for state in MissionState if state.is_ended)


def mission_view(fields: Mapping[str, str]) -> MissionView:
    """The record of a mission's hash."""
    get = fields.get
    return MissionView(
        id=MissionId(get("id", "")),
        text=get("mission", ""),
        state=get("state", ""),
        reason=get("reason", ""),
        result=get("result", ""),
        created=get("created", ""),
        ended=get("ended", ""),
        fields=fields,
    )


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account: `kinds` is `{kind: {cap, free, reserved, granted, spent, overdraft, assumed}}`;
    `marks` are `overdrawn` (by what), `warned` (of which kind), `period` (the root's).
    """

    kinds: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)

    def amounts(self, kind: str) -> Mapping[str, int]:
        return self.kinds.get(kind, {})

    @property
    def is_closed(self) -> bool:
        """All that it had left was given back: its cap is what it has spent, of places too."""
        return bool(self.kinds) and all(
            columns.get("cap", 0) == columns.get("spent", 0) - columns.get("overdraft", 0)
            and not any(columns.get(column) for column in ("free", "reserved", "granted"))
            for columns in self.kinds.values()
        )


NO_ACCOUNT: Final = AccountView()


def account_view(fields: Mapping[str, str]) -> AccountView:
    """`{"tokens.cap": "5", "warned": "tokens"}` as `{"tokens": {"cap": 5}}`, marked so."""
    kinds: dict[str, dict[str, int]] = {}
    marks = {}
    for name, value in fields.items():
        kind, dot, column = name.partition(".")
        if not dot:
            marks[name] = value
        elif (number := _number(value)) is not None:
            kinds.setdefault(kind, {})[column] = number
    return AccountView(kinds, marks)


@dataclass(frozen=True, slots=True)
class Marks:
    """What is in force: ends under way, stops, revocations."""

    fences: Mapping[str, Fence] = field(default_factory=dict)
    stops: Mapping[str, Stop] = field(default_factory=dict)
    revocations: Mapping[str, tuple[Revocation, ...]] = field(default_factory=dict)

    def stops_on(self, agent: AgentView) -> list[Stop]:
        """Those that hold the agent, on its path first; the board itself runs nowhere, and is
        held by none.
        """
        if agent.id == SOB:
            return []
        targets = (*agent.path, *stop_targets(agent.id, agent.tier))
        return [self.stops[target] for target in targets if target in self.stops]

    def revocations_on(self, agent: AgentView) -> list[Revocation]:
        """Those that reach the agent: on a segment of its path."""
        return [mark for segment in agent.path for mark in self.revocations.get(segment, ())]

    def fence_on(self, agent: AgentView) -> Fence | None:
        segments = (*agent.path, f"={agent.id}")
        return next((self.fences[one] for one in segments if one in self.fences), None)

    def seen(self, agent: AgentView) -> AgentView:
        """The record with the state that the marks make of it: of a subtree the root's alone is
        written.
        """
        if agent.is_terminated or not (self.fences or self.stops):
            return agent
        fence, stops = self.fence_on(agent), self.stops_on(agent)
        if fence is not None:
            state, reason = AgentState.DRAINING, agent.reason or fence.reason
        elif stops:
            state, reason = _state_under(stops[0]), _reason_of(stops[0], agent.id)
        else:
            return agent
        return replace(agent, state=state.value, reason=reason, stopped=_targets(stops))

    def of_mission(self, mission: MissionView) -> MissionView:
        """A mission's state goes on saying where it stands; `stopped` that nothing moves there."""
        if mission.ended:
            return mission
        stops = [self.stops[one] for one in (mission.id, SOB, EVERYTHING) if one in self.stops]
        return replace(mission, stopped=_targets(stops)) if stops else mission


def _state_under(stop: Stop) -> AgentState:
    return AgentState.DRAINING if stop.kind is StopKind.DRAIN else AgentState.FROZEN


def _reason_of(stop: Stop, id: str) -> str:
    """The kind, whose stop it is where it is another's, and the reason."""
    whose = "" if stop.target in (id, f"={id}") else f" {stop.target}"
    return f"{stop.kind.value}{whose}" + (f": {stop.reason}" if stop.reason else "")


def _targets(stops: Sequence[Stop]) -> tuple[str, ...]:
    return tuple(stop.target for stop in stops)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The swarm at one moment, as far as a face draws it."""

    agents: tuple[AgentView, ...] = ()
    missions: tuple[MissionView, ...] = ()
    accounts: Mapping[str, AccountView] = field(
        default_factory=dict
    )  # by the id of an agent or a mission


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _seconds(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text[:1] == "{" else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
