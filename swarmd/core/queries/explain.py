"""Why an agent may do something, or may not: the chain of grants that leads to it, and what stands
in the way. Pure.

Invariant: `Trace.is_held` says what `Lineage.may` says. The chain is the agent's path from the
board down: each link but the last had to be able to hand the right out, the last has it, or where
it was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from swarmd.core.model.lineage import Agent, Fence, Stop, stop_fields
from swarmd.core.model.names import SOB, AgentState
from swarmd.core.model.privileges import (
    ROOM,
    Held,
    Revocation,
    area_of,
    covers,
    live_holding,
    sufficient,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import epoch_of
from swarmd.core.tree.spawn import RULE_OF_STOP


@dataclass(frozen=True, slots=True)
class Link:
    """One agent of the chain: what it holds that includes the path, and the mark that voids it,
    if one does.
    """

    agent: Agent
    right: Literal["use", "grant"]
    held: Held | None
    cut: Revocation | None

    @property
    def is_live(self) -> bool:
        return self.held is not None and self.cut is None

    @property
    def given_by(self) -> str:
        return self.held.by if self.held is not None else ""

    @property
    def given_at(self) -> str:
        """ISO-8601; with the agent's creation, unless it was given later."""
        return (self.held.at or self.agent.created) if self.held is not None else ""


@dataclass(frozen=True, slots=True)
class Trace:
    """The links from the board, or a seat itself, down to the agent that was asked about."""

    links: tuple[Link, ...]

    @property
    def is_held(self) -> bool:
        return self.links[-1].is_live

    @property
    def broken(self) -> Link | None:
        """The link that is missing: the highest one from which on nobody down to the agent has
        the right.
        """
        return next(iter(self.missing), None)

    @property
    def missing(self) -> tuple[Link, ...]:
        """That link and all below it: what is given anew is given to one agent alone."""
        held = [at for at, link in enumerate(self.links) if link.is_live]
        return self.links[held[-1] + 1 :] if held else self.links


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What stands in the way of one who holds the right. `at` and `until` are seconds since the
    epoch, 0 where none.
    """

    rule: Rule
    target: str
    by: str = ""
    reason: str = ""
    at: float = 0.0
    until: float = 0.0

    @property
    def is_lifted_by_thaw(self) -> bool:
        return self.rule in (Rule.FROZEN, Rule.HALTED)


def trace(
    chain: Sequence[Agent], marks: Sequence[Revocation], path: str, right: Literal["use", "grant"]
) -> Trace:
    """`chain` has the agents of the last one's path, highest first; `marks` the revocations on
    that path.
    """
    *above, last = chain
    return Trace(
        (*(_link(agent, marks, path, "grant") for agent in above), _link(last, marks, path, right))
    )


def _link(
    agent: Agent, marks: Sequence[Revocation], path: str, right: Literal["use", "grant"]
) -> Link:
    own = [mark for mark in marks if mark.segment in agent.path]
    live = live_holding(path, right, agent.holdings(right), own)
    if live is not None:
        return Link(agent, right, live, None)
    newest = _newest_over(agent, path, right)
    if newest is None:
        return Link(agent, right, None, None)
    return Link(agent, right, newest, _weightiest_cut(newest, own, path, right))


def _newest_over(agent: Agent, path: str, right: Literal["use", "grant"]) -> Held | None:
    void = [held for held in agent.holdings(right) if covers(held.path, path)]
    return max(void, key=lambda held: held.number, default=None)


def _weightiest_cut(
    held: Held, marks: Sequence[Revocation], path: str, right: Literal["use", "grant"]
) -> Revocation:
    """Whoever wants the right back has to reach as high as that."""
    cuts = [mark for mark in marks if mark.touches(held, right) and covers(mark.path, path)]
    return max(cuts, key=lambda mark: (mark.authority, mark.number))


def hindrances(
    agent: Agent,
    path: str,
    right: Literal["use", "grant"],
    fences: Mapping[str, Fence],
    stops: Mapping[str, Stop],
    account: Mapping[str, Mapping[str, int]],
    overdrawn: str,
) -> tuple[Hindrance, ...]:
    """All that would refuse the agent's next use of the path, whatever it holds: ends, then stops,
    then its account.

    `account` is its ledger by kind and column, empty where it has none of its own; `overdrawn` that
    mark's text.
    """
    targets = (*agent.path, *stop_fields(agent))
    if right != "use":
        return (*_endings(agent, fences), *_stops_at(targets, stops))
    return (
        *_endings(agent, fences),
        *_stops_at((*targets, *_stops_of_use(agent, path)), stops),
        *_of_account(agent, path, account, overdrawn),
    )


def _stops_at(targets: Iterable[str], stops: Mapping[str, Stop]) -> Iterator[Hindrance]:
    for target in targets:
        stop = stops.get(target)
        if stop is not None:
            rule = RULE_OF_STOP[stop.kind]
            yield Hindrance(rule, stop.target, stop.by, stop.reason, stop.at, stop.until)


def _endings(agent: Agent, fences: Mapping[str, Fence]) -> tuple[Hindrance, ...]:
    if agent.state is AgentState.TERMINATED:
        at = epoch_of(agent.ended) if agent.ended else 0.0
        return (Hindrance(Rule.FENCED, agent.id, "", agent.reason, at),)
    return tuple(
        Hindrance(Rule.FENCED, fence.segment, fence.by, fence.reason, fence.at)
        for segment in (*agent.path, f"={agent.id}")
        if (fence := fences.get(segment)) is not None
    )


def _stops_of_use(agent: Agent, path: str) -> tuple[str, ...]:
    """Targets under which one action is stopped: the privilege, and of a room also the room."""
    uses = tuple(f"use:{wider}" for wider in sufficient(path))
    name = path.removeprefix(ROOM.path("")).partition("/")[0]
    if area_of(path) is not ROOM or not name:
        return uses
    return (*uses, f"room:{name}", *((f"room:{name}-{agent.mission}",) if agent.mission else ()))


def _of_account(
    agent: Agent, path: str, account: Mapping[str, Mapping[str, int]], overdrawn: str
) -> list[Hindrance]:
    kinds = _kinds_taken(path, account)
    # A seat has no account of its own: its calls are charged to the mission that it serves.
    if not kinds or not account or agent.is_seat or agent.id == SOB:
        return []
    if overdrawn:
        return [Hindrance(Rule.BUDGET_OVERDRAFT, agent.account, reason=overdrawn)]
    empty = [kind for kind in kinds if account.get(kind, {}).get("free", 0) <= 0]
    reason = f"{', '.join(empty)}: 0 free"
    return [Hindrance(Rule.BUDGET_EXHAUSTED, agent.account, reason=reason)] if empty else []


def _kinds_taken(path: str, account: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """What a use of the path takes; money only where the account's calls have cost any."""
    area = area_of(path)
    kinds = area.takes if area is not None else ()
    has_cost = account.get("cost", {}).get("spent", 0) > 0
    return (*kinds, "cost") if "calls" in kinds and has_cost else kinds
