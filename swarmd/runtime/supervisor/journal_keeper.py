"""The leader's care for the journal: its continuation at the start, its checkpoints in the store,
its anchors and segments in the archive, and what the accounts hold by its word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import structlog

from swarmd.core.journal.entries import numbered, open_accounts, recovered, restated
from swarmd.core.journal.fact_forms import judge
from swarmd.core.journal.replay import State, event_of, read_on
from swarmd.core.ledger.accounts import Fault, Ledger, off_by
from swarmd.core.model.chain import Head
from swarmd.core.model.channels import FACTS
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import FIRST, MissionId, StreamId
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import GAPS, Put
from swarmd.core.model.timings import ANCHOR_SECONDS, Moment, stamp_of
from swarmd.errors import ArchiveError
from swarmd.log_events import LogEvent
from swarmd.ports.archive import AnchorKind, Archive, Kept, Sealing
from swarmd.ports.stores import Loaded
from swarmd.runtime.supervisor.memory import LeaderMemory

log = structlog.get_logger(__name__)

# Entries of the journal that are read back at once for the archive.
SEAL_MAX = 256
# Records that are named where somebody else has changed them: a sentence, and no list.
RECORDS_TOLD_MAX = 5


@dataclass(slots=True)
class JournalKeeper:
    memory: LeaderMemory
    archive: Archive | None  # none: nothing vouches for the journal outside the store
    trouble: str = ""  # why the last anchor could not be written
    _archived_until: StreamId = FIRST
    _anchored: int = 0  # the number of the last entry that an anchor vouches for
    _archiving: anyio.Lock = field(
        default_factory=anyio.Lock
    )  # one reader of the journal at a time
    _restate: str = ""  # why the journal cannot be continued from what it says

    # --- at the start of a lead ---

    async def take_up(self, draft: Draft, loaded: Loaded) -> None:
        """Where the store, the archive and the journal do not speak of the same past, that is
        recorded first.
        """
        found = self.memory.swarm.chain.head
        kept = await self._reconcile_archive(draft)
        self._archived_until = kept.sealed_id
        self._restate = await self._why_restate(kept)
        if FACTS in loaded.lost and not self._restate:
            self._restate = "facts of the ledger were lost, or may have been folded before"
        if self._restate:
            log.error(LogEvent.JOURNAL_RESTATED, why=self._restate)
            await self._state_anew(draft.moment, loaded.damaged)
        if self.archive is not None:
            # Last, and of what was found: whoever dies before has his successor look again.
            await anyio.to_thread.run_sync(self.archive.anchor, found, draft.stamp, "started")
        self._anchored = found.n

    async def _reconcile_archive(self, draft: Draft) -> Kept:
        chain = self.memory.swarm.chain
        if self.archive is None:
            return Kept(Head(), None, False, 0, FIRST)
        kept = await self._kept(self.archive, chain.head, draft.stamp)
        if kept.lost is not None and kept.anchor == chain.head:
            log.error(LogEvent.JOURNAL_END_LOST, lost=kept.lost.n, continues=chain.head.n)
            gap = Put(GAPS, str(chain.head.n + 1), "open")
            draft.add(gap, recovered(draft.moment, kept.lost, chain.head))
            await self.memory.commit(draft, {})
            draft.changes.clear()
        return kept

    async def _kept(self, archive: Archive, head: Head, at: str) -> Kept:
        kept = await anyio.to_thread.run_sync(archive.open)
        if kept.anchor.n > head.n:
            await anyio.to_thread.run_sync(archive.recover, head, kept.anchor, at)
            kept = await anyio.to_thread.run_sync(archive.open)
        return kept

    async def _why_restate(self, kept: Kept) -> str:
        chain = self.memory.swarm.chain
        if chain.records.digest != chain.head.after:
            if chain.head.n == 0:
                return "the journal begins with a swarm that lives already"
            return f"the records are not what entry {chain.head.n} left{await self._differing()}"
        if unvouched := _why_unvouched(chain.head, kept):
            return unvouched
        if self.archive is None or chain.head.n == kept.sealed or await self._follows(kept):
            return ""
        return f"entries from {kept.sealed + 1} on are neither in the store nor in the archive"

    async def _differing(self) -> str:
        """Which records were changed by somebody else, where the journal can tell."""
        state = await self._read_state()
        if state is None or not state.is_known:
            return ""
        keys = self.memory.swarm.chain.records.differing(state.records)
        more = f" and {len(keys) - RECORDS_TOLD_MAX} more" if len(keys) > RECORDS_TOLD_MAX else ""
        return f": {', '.join(keys[:RECORDS_TOLD_MAX])}{more}"

    async def _follows(self, kept: Kept) -> bool:
        """The store goes on where the archive ends, or says why it does not."""
        first = await self.memory.store.read_journal(kept.sealed_id, 1)
        n = numbered(first[0][1]) if first else 0
        # Entries of a version that did not chain them stand before the first that is numbered.
        if n == kept.sealed + 1 or (kept.sealed == 0 and n == 0 and first):
            return True
        return await self._is_restated_since(kept.sealed_id)

    async def _is_restated_since(self, after: StreamId) -> bool:
        """What was lost before such an entry has been told."""
        while entries := await self.memory.store.read_journal(after, SEAL_MAX):
            after = entries[-1][0]
            if any(event_of(*one) == JournalEvent.JOURNAL_RESTATED for one in entries):
                return True
        return False

    # --- checkpoints ---

    async def restate_where_broken(self) -> None:
        if self._restate:
            await self._state_anew(self.memory.draft().moment)

    async def _state_anew(self, moment: Moment, damaged: Iterable[MissionId] = ()) -> None:
        memory = self.memory
        stated = await memory.store.stated_accounts(open_accounts(memory.swarm, damaged))
        until = stated.facts_until
        changes = restated(memory.swarm, moment, self._restate, stated.rows, until)
        self._restate, memory.ledger = "", None
        await memory.write(changes, {FACTS: until})

    # --- the archive ---

    async def keep(self) -> None:
        """What is anchored is committed; what is sealed was read back from the store as it lies
        there.
        """
        await self.anchor()
        while self.archive is not None:
            await anyio.sleep(ANCHOR_SECONDS)
            await self.anchor()
            try:
                await self.seal()
            except ArchiveError as error:
                log.exception(LogEvent.JOURNAL_NOT_SEALED, why=error.what)

    async def anchor(self, kind: AnchorKind = "anchor") -> None:
        if self.archive is None:
            return
        head, stamp = self.memory.head, stamp_of(self.memory.now())
        try:
            await anyio.to_thread.run_sync(self.archive.anchor, head, stamp, kind)
        except ArchiveError as error:
            log.exception(LogEvent.JOURNAL_NOT_ANCHORED, why=error.what)
            self.trouble = error.what
            return
        self._anchored, self.trouble = head.n, ""

    async def seal(self) -> None:
        """All entries up to the last anchor: where the server loses what is sealed, the anchor
        tells the next supervisor. Where one does not follow, the next commit says so and states all
        anew.
        """
        if self.archive is not None:
            async with self._archiving:
                await self._seal(self.archive)

    async def _seal(self, archive: Archive) -> None:
        sealing = Sealing()
        while entries := await self._read_anchored():
            self._archived_until = entries[-1][0]
            sealing = await anyio.to_thread.run_sync(archive.seal, entries)
            if sealing.keep_from is not None:
                await self.memory.store.trim_journal(sealing.keep_from)
        if sealing.broken:
            log.error(LogEvent.JOURNAL_DIFFERS, why=sealing.broken)
            self._restate = sealing.broken

    async def _read_anchored(self) -> Sequence[tuple[StreamId, str]]:
        entries = await self.memory.store.read_journal(self._archived_until, SEAL_MAX)
        # What is numbered higher than this supervisor has come is no entry of its own: it is not
        # waited for, but found out.
        ours = range(self._anchored + 1, self.memory.swarm.chain.head.n + 1)
        early = (at for at, (_, flat) in enumerate(entries) if numbered(flat) in ours)
        return entries[: next(early, len(entries))]

    # --- the accounts by the journal ---

    async def read_ledger(self) -> Ledger | None:
        """The accounts as the facts that were folded make them. `None` where no archive can
        tell.
        """
        state = await self._read_state()
        return state.ledger if state is not None and state.is_known else None

    async def read_differences(self, ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """By how much the accounts that are to be mended differ from what their facts add up to."""
        state = await self._read_state() if ids else None
        if state is None:
            return {}
        stated = await self.memory.store.stated_accounts(ids, state.facts_until)
        judge(state.ledger, stated.facts)
        accounts = state.ledger.accounts
        return {id: off_by(accounts.get(id), stated.rows.get(id, {})) for id in ids}

    async def _read_state(self) -> State | None:
        """As the journal makes it up to its last entry. Nothing is sealed for it: what was written
        just now may still be lost with the server. `None` where the journal cannot be followed.
        """
        if self.archive is None:
            return None
        try:
            async with self._archiving:
                state: State | None = await anyio.to_thread.run_sync(self.archive.state)
                after = self._archived_until
                while entries := await self.memory.store.read_journal(after, SEAL_MAX):
                    after = entries[-1][0]
                    state = await anyio.to_thread.run_sync(read_on, state, entries)
        except Fault as fault:
            log.warning(LogEvent.JOURNAL_ACCOUNTS_UNKNOWN, why=str(fault))
            return None
        return state if state is not None and state.head == self.memory.head else None


def _why_unvouched(head: Head, kept: Kept) -> str:
    """Why the last anchor does not vouch for the journal's end, in words; empty where it does."""
    if kept.anchor.n == head.n and kept.anchor.n and kept.anchor.hash != head.hash:
        return f"entry {head.n} is not what was anchored"
    if kept.is_stopped and head.n > kept.anchor.n:
        return f"entries from {kept.anchor.n + 1} on were written while no supervisor led"
    return ""
