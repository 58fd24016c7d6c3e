"""What the leader knows of the swarm, where it stands in its inputs, and how both are committed.

Every commit carries the fencing number and the inputs' positions, so that an input is decided
exactly once, also when the process dies on any line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog

from swarmd.core.bus.envelope import Heard, heard_pairs
from swarmd.core.journal.entries import chained
from swarmd.core.ledger.accounts import Ledger
from swarmd.core.model.chain import Head
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import FACTS, INPUTS, MISSIONS
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.messages import Message
from swarmd.core.model.names import FIRST, Channel, HostId, StreamId
from swarmd.core.model.state import Draft, Observed, Swarm
from swarmd.core.model.timings import LEASE_SECONDS, ForwardTime, Moment, stamp_of
from swarmd.errors import NotLeadingError
from swarmd.log_events import LogEvent
from swarmd.ports.clock import Clock
from swarmd.ports.stores import Loaded, SupervisorStore

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LeaderMemory:
    """Shared by the parts of a supervisor; it is empty until `load`."""

    store: SupervisorStore
    clock: Clock
    declared: Declarations
    host: HostId
    number: int = 0  # the fencing number of the lead; 0: this process does not lead
    swarm: Swarm = field(init=False)
    positions: dict[Channel, StreamId] = field(default_factory=dict)
    seq: int = 0  # the number of the last commit
    head: Head = field(default_factory=Head)  # of the journal, as the last commit left it
    heard: Heard = field(default_factory=Heard)
    # The accounts as the facts folded so far make them; none: they are read anew before the next
    # facts are judged.
    ledger: Ledger | None = None
    patient_until: float = 0.0  # no host is declared dead before
    time: ForwardTime = field(default_factory=ForwardTime)
    # As it was before the decisions that are not committed yet.
    _observed: Observed = field(default_factory=Observed)

    def now(self) -> float:
        """What every decision, deadline and interval here goes by, and never the local clock alone:
        that may be set, and deadlines are kept for a successor whose clock says something else."""
        return self.time.read(self.clock.now() + self.store.clock_behind())

    def draft(self) -> Draft:
        now, self._observed = self.now(), self.swarm.observed.copy()
        return Draft(self.swarm, Moment(now, stamp_of(now), _Ids(self.clock)))

    def grant_patience(self) -> None:
        """Hosts had no one to answer to: each is given a whole lease before it can be declared
        dead.
        """
        self.patient_until = self.now() + LEASE_SECONDS

    # --- reading it from the store ---

    async def load(self) -> Loaded:
        """At the start of a lead."""
        await self.store.server_run()
        loaded = await self.store.load(self.declared)
        self._take_in(loaded)
        self.head = self.swarm.chain.head
        self.positions = dict.fromkeys((MISSIONS, FACTS, *INPUTS), FIRST) | dict(loaded.positions)
        self.grant_patience()
        return loaded

    async def load_again(self) -> None:
        """After a step that was not committed: what it had changed here did not happen."""
        loaded = await self.store.load(self.declared)
        if loaded.lost:
            raise NotLeadingError("inputs were lost: this memory is behind")
        self._take_in(loaded)
        self.positions.update(loaded.positions)
        self.swarm.keep_observed(self._observed)

    def _take_in(self, loaded: Loaded) -> None:
        self.swarm, self.seq, self.heard = loaded.swarm, loaded.seq, loaded.heard
        self.ledger = None  # what was folded into it may not have been committed

    # --- writing it ---

    async def commit(
        self, draft: Draft, positions: Mapping[Channel, StreamId], heard: Sequence[Message] = ()
    ) -> bool:
        """Write it, whole. Where an account had less than was decided on, nothing was written:
        all is read anew.
        """
        if not draft.changes and not positions:
            return False
        changes = chained(self.swarm, draft.changes, draft.moment)
        if await self.write(changes, positions, heard) == "short":
            log.info(LogEvent.COMMIT_REPEATED)
            await self.load_again()
        return True

    async def write(
        self,
        changes: Sequence[Change],
        positions: Mapping[Channel, StreamId],
        heard: Sequence[Message] = (),
    ) -> Literal["done", "short"]:
        kept, unheard = self.heard.forget_operators() if heard else ({}, [])
        reply = await self.store.commit_changes(
            f"{self.number}:{self.host}",
            self.seq + 1,
            changes,
            positions,
            positions.get(FACTS),
            heard_pairs(heard) | kept,
            unheard,
        )
        if reply == "done":
            self.seq += 1
            self.head = self.swarm.chain.head
            self.positions.update(positions)
        return reply


class _Ids:
    """The clock's ids as the endless supply that a `Moment` takes them from."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __iter__(self) -> Iterator[str]:
        while True:
            yield self._clock.new_id("x").removeprefix("x-")
