"""What whoever looks at a swarm is given: records, ledgers, marks, and a snapshot of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from swarmd.core.model.lineage import EVERYTHING, Fence, Stop, StopKind
from swarmd.core.model.names import (
    SOB,
    AgentState,
)
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.versions import SCHEMA_READS, is_read

if TYPE_CHECKING:
    pass

Restart: TypeAlias = Literal["kept", "lost", "not checked", "no append-only file"]


Record = dict[str, str]


_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Health:
    """What a health check asks, in one pipeline. `unasked` names what this user of the server
    may not read.
    """

    leader: str  # the leading supervisor's host; empty where nobody leads
    may_begin: bool  # calls may begin: somebody leads, or did so within a lease
    hosts: Mapping[str, Mapping[str, Any]]  # the living, with their facts
    hosts_lost: tuple[str, ...]  # admitted, lease expired, not yet declared dead
    missions_open: int
    agents_living: int
    schema: str
    writes: bool  # the server's last write to its disk went well
    is_heard: bool  # somebody listens at the entrance `swarm:missions`
    wrong_keys: tuple[
        str, ...
    ] = ()  # `NAME is a TYPE and not a TYPE`, of what the whole swarm stands on
    gaps: tuple[
        int, ...
    ] = ()  # entries of the journal that tell of lost ones and are not acknowledged
    restart: Restart = "not checked"
    unasked: frozenset[str] = (
        frozenset()
    )  # of `leader`, `hosts`, `missions`, `agents`, `schema`, `disk`

    @property
    def schema_fits(self) -> bool:
        return not self.schema or is_read(self.schema, SCHEMA_READS)


@dataclass(frozen=True, slots=True)
class Inner:
    """What is private of an agent, for `inspect`."""

    turn: str
    positions: Mapping[str, str]
    steps_begun: int
    steps_ended: int


class Ledger(dict[str, dict[str, int]]):
    """An account: `{kind: {cap, free, reserved, granted, spent, overdraft, assumed}}`, and its
    `marks`: `overdrawn` (by what), `warned` (of which kind), `period` (the root's)."""

    __slots__ = ("marks",)

    def __init__(
        self, kinds: Mapping[str, Mapping[str, int]] = _EMPTY, marks: Mapping[str, str] = _EMPTY
    ) -> None:
        super().__init__({kind: dict(columns) for kind, columns in kinds.items()})
        self.marks = dict(marks)


def ledger_of(flat: Mapping[str, str]) -> Ledger:
    """`{"tokens.cap": "5", "warned": "tokens"}` as `{"tokens": {"cap": 5}}`, marked so."""
    ledger = Ledger()
    for name, value in flat.items():
        kind, dot, column = name.partition(".")
        if not dot:
            ledger.marks[name] = value
        elif value.lstrip("-").isdecimal():
            ledger.setdefault(kind, {})[column] = int(value)
    return ledger


@dataclass(frozen=True, slots=True)
class Marks:
    """What is in force: ends under way, stops, revocations."""

    fences: Mapping[str, Fence] = field(default_factory=dict)
    stops: Mapping[str, Stop] = field(default_factory=dict)
    revocations: Mapping[str, tuple[Revocation, ...]] = field(default_factory=dict)

    def stops_on(self, agent: Record) -> list[Stop]:
        """Those that hold the agent, on its path first; the board itself runs nowhere, and is
        held by none.
        """
        id, tier = agent.get("id", ""), agent.get("tier", "")
        if id == SOB:
            return []
        targets = (*agent.get("path", "").split("/"), f"={id}", f"tier:{tier}", EVERYTHING)
        return [self.stops[target] for target in targets if target in self.stops]

    def revocations_on(self, agent: Record) -> list[Revocation]:
        """Those that reach the agent: on a segment of its path."""
        path = agent.get("path", "").split("/")
        return [mark for segment in path for mark in self.revocations.get(segment, ())]

    def fence_on(self, agent: Record) -> Fence | None:
        segments = (*agent.get("path", "").split("/"), f"={agent.get('id', '')}")
        return next((self.fences[one] for one in segments if one in self.fences), None)

    def seen(self, agent: Record) -> Record:
        """The record with the state that the marks make of it: of a subtree the root's alone is
        written.

        `stopped` has the targets of all stops that hold it, parted by spaces.
        """
        if agent.get("state") == AgentState.TERMINATED:
            return agent
        fence, stops = self.fence_on(agent), self.stops_on(agent)
        state, why = agent.get("state", ""), agent.get("reason", "")
        if fence is not None:
            state, why = AgentState.DRAINING.value, why or fence.reason
        elif stops:
            is_draining = stops[0].kind is StopKind.DRAIN
            state = (AgentState.DRAINING if is_draining else AgentState.FROZEN).value
            why = _why(stops[0], agent.get("id", ""))
        return agent | {"state": state, "reason": why, "stopped": _targets(stops)}

    def of_mission(self, mission: Record) -> Record:
        """A mission's state goes on saying where it stands; `stopped` that nothing moves there."""
        found = (self.stops.get(target) for target in (mission.get("id", ""), EVERYTHING))
        stops = [stop for stop in found if stop is not None and not mission.get("ended")]
        return mission | {"stopped": _targets(stops)}


def _why(stop: Stop, id: str) -> str:
    """The kind, whose stop it is where it is another's, and the reason."""
    whose = "" if stop.target in (id, f"={id}") else f" {stop.target}"
    return f"{stop.kind.value}{whose}" + (f": {stop.reason}" if stop.reason else "")


def _targets(stops: Sequence[Stop]) -> str:
    return " ".join(stop.target for stop in stops)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The swarm at one moment, as far as a face draws it."""

    agents: tuple[Record, ...] = ()
    missions: tuple[Record, ...] = ()
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
