"""The tree of a snapshot, and what each in it has spent: by itself, and with all that is below.

A face draws these sums and makes none of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import filterfalse
from typing import Final, TypeAlias

from swarmd.core.model.names import SOB, AgentId
from swarmd.core.queries.snapshot import (
    NO_ACCOUNT,
    AccountView,
    AgentView,
    MissionView,
    Snapshot,
)

Amounts: TypeAlias = Mapping[str, int]

# Places for agents are given back, so that they are no spend.
_PLACES: Final = "agents"
_RANKING: Final = ("cost", "tokens", "calls")  # who has spent most is told by these, in this order


@dataclass(frozen=True, slots=True)
class Branch:
    """An agent or a mission with what is below it. `own` is what it has spent by itself, `whole`
    that with all below, by kind.
    """

    record: AgentView | MissionView
    below: tuple[Branch, ...] = ()
    account: AccountView = NO_ACCOUNT
    own: Amounts = field(default_factory=dict)
    whole: Amounts = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def is_closed(self) -> bool:
        """Its account was closed, and added to its creator's. That of a mission is, in a step of
        its own, just before the mission has ended.
        """
        if isinstance(self.record, MissionView):
            return bool(self.record.ended) or self.account.is_closed
        return self.record.is_terminated

    @property
    def agents_living(self) -> int:
        """How many agents below it live."""
        return sum(child.agents_living + (not child.is_closed) for child in self.below)


@dataclass(frozen=True, slots=True)
class Tree:
    """The board with missions and executives below it, and the seats."""

    board: Branch
    seats: tuple[Branch, ...] = ()

    @property
    def missions(self) -> tuple[Branch, ...]:
        return tuple(one for one in self.board.below if isinstance(one.record, MissionView))

    def spenders(self) -> list[Branch]:
        """The living agents but the board, which runs nowhere; those first that have spent most by
        themselves.
        """
        return sorted(
            (one for one in (*_agents_below(self.board), *self.seats) if not one.is_closed),
            key=lambda one: [-one.own.get(kind, 0) for kind in _RANKING],
        )

    def spent(self) -> Amounts:
        """What all missions have used up."""
        return _added(used(mission.whole) for mission in self.missions)


def tree_of(snapshot: Snapshot) -> Tree:
    agents = {agent.id: agent for agent in snapshot.agents}
    board = agents.pop(SOB, None) or AgentView(id=SOB, name=SOB, role="board", tier=0)
    seats = [agent for agent in agents.values() if _is_seat(agent)]
    below = _by_parent(agents, snapshot.missions)
    # The board spends nothing by itself: what its seats do is charged to the mission that they
    # serve. What its account has beside the missions that are shown is of forgotten ones.
    return Tree(
        replace(_branch(board, below, snapshot.accounts), own={}),
        tuple(_branch(seat, below, snapshot.accounts) for seat in seats),
    )


def _is_seat(agent: AgentView) -> bool:
    return agent.tier == 0 and not agent.parent


def _by_parent(
    agents: Mapping[AgentId, AgentView], missions: Sequence[MissionView]
) -> dict[str, list[AgentView | MissionView]]:
    """Missions below the board, executives below their mission, other agents below their
    creator.
    """
    open_ones = {mission.id for mission in missions}
    below: dict[str, list[AgentView | MissionView]] = {SOB: [*missions]}
    for agent in filterfalse(_is_seat, agents.values()):
        parent = agent.mission if agent.parent == SOB else agent.parent
        # A parent whose record is forgotten already: its child is shown, not dropped.
        known = parent in (open_ones if agent.parent == SOB else agents)
        below.setdefault(parent if known else SOB, []).append(agent)
    return below


def _branch(
    record: AgentView | MissionView,
    below: Mapping[str, Sequence[AgentView | MissionView]],
    accounts: Mapping[str, AccountView],
) -> Branch:
    """A closed account was added to its creator's: it counts in that one's spent, an open one
    beside it.
    """
    account = accounts.get(record.id, NO_ACCOUNT)
    spent = spent_of(account)
    children = tuple(_branch(child, below, accounts) for child in below.get(record.id, ()))
    own = _less(spent, (child.whole for child in children if child.is_closed))
    whole = _added((spent, *(child.whole for child in children if not child.is_closed)))
    return Branch(record, children, account, own, whole)


def totals_of(snapshot: Snapshot) -> dict[str, Amounts]:
    """What each account in it has spent with all below, by its id: the one figure that every view
    has. `snapshot` needs the living agents and the missions alone: what has ended was added to
    the account above it.
    """
    accounts = snapshot.accounts
    totals: dict[str, Amounts] = {id: spent_of(account) for id, account in accounts.items()}
    for id, above in _open_below(snapshot):
        spent = spent_of(accounts[id])
        for segment in above:
            if segment != id and segment in totals:
                totals[segment] = _added((totals[segment], spent))
    return totals


def _open_below(snapshot: Snapshot) -> Iterator[tuple[str, Sequence[str]]]:
    """Accounts that are still open, each with the path of those that it was carved from."""
    found: list[tuple[str, Sequence[str]]] = [
        (one.id, one.path) for one in snapshot.agents if not one.is_terminated
    ]
    found += [(one.id, (SOB,)) for one in snapshot.missions if not one.ended]
    for id, above in found:
        account = snapshot.accounts.get(id)
        if account is not None and not account.is_closed:
            yield id, above


def _less(amounts: Amounts, many: Iterable[Amounts]) -> Amounts:
    left = dict(amounts)
    for taken in many:
        for kind, value in taken.items():
            left[kind] = left.get(kind, 0) - value
    return left


def spent_of(account: AccountView) -> Amounts:
    """What an account has spent by kind, and those of its tokens whose price nobody knew or that a
    provider read from its cache.
    """
    spent = {kind: columns.get("spent", 0) for kind, columns in account.kinds.items()}
    tokens = account.amounts("tokens")
    return spent | {memo: tokens[memo] for memo in ("unpriced", "cached") if tokens.get(memo)}


def used(spent: Amounts) -> Amounts:
    """What of it is used up."""
    return {kind: value for kind, value in spent.items() if kind != _PLACES}


def percent_left(account: AccountView) -> int | None:
    """How much is left of what runs out first, of what the account may spend itself; `None` where
    nothing is bounded.
    """
    shares = []
    for columns in (columns for kind, columns in account.kinds.items() if kind != _PLACES):
        own = columns.get("cap", 0) - columns.get("granted", 0)
        if own > 0:
            shares.append(100 * columns.get("free", 0) // own)
    return max(0, min(shares)) if shares else None


def _added(many: Iterable[Amounts]) -> Amounts:
    total: dict[str, int] = {}
    for amounts in many:
        for kind, value in amounts.items():
            total[kind] = total.get(kind, 0) + value
    return total


def _agents_below(branch: Branch) -> Iterator[Branch]:
    for child in branch.below:
        if isinstance(child.record, AgentView):
            yield child
        yield from _agents_below(child)
