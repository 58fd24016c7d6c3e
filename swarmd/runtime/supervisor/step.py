"""One step of the supervisor: read, decide, commit.

What is told of a change is in the same atomic step as the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from swarmd.core.control import ledger_events, needs, placement, stops, termination, tick
from swarmd.core.journal.entries import folded, refused_facts
from swarmd.core.journal.fact_forms import judge
from swarmd.core.model.charter import SPENT_KINDS
from swarmd.core.model.messages import Message
from swarmd.core.model.state import Draft
from swarmd.errors import TooLargeError
from swarmd.log_events import LogEvent
from swarmd.ports.stores import Waiting
from swarmd.runtime.recording import Recording, words_of
from swarmd.runtime.supervisor.intake import Fact, Intake, positions_after
from swarmd.runtime.supervisor.journal_keeper import JournalKeeper
from swarmd.runtime.supervisor.kept_turns import TurnsKeeper
from swarmd.runtime.supervisor.memory import LeaderMemory
from swarmd.runtime.supervisor.upkeep import Upkeep

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Step:
    memory: LeaderMemory
    intake: Intake
    journal: JournalKeeper
    upkeep: Upkeep
    turns: TurnsKeeper
    recording: Recording

    async def take(self, is_braked: str | None) -> bool:
        """True where there may be more to do at once."""
        memory, intake = self.memory, self.intake
        await self.journal.restate_where_broken()
        await self.upkeep.look_at_stalls()
        waiting = await intake.read()
        draft = memory.draft()
        messages = intake.take(draft, waiting.messages)
        await self._gather(needs.reading_of(memory.swarm, messages))
        await self.upkeep.look_at_hosts(draft)
        # A fence set in this step is committed without the first of those that it ends: it must not
        # wait for them.
        # Before it is decided: what ends now is no more known afterwards.
        words = list(words_of(self.recording.masking, memory.swarm, messages))
        ending, spent = tuple(memory.swarm.observed.endings), await self._spent_of_ending()
        if not await self._decide(draft, waiting, messages):
            # What it had changed in memory when it failed is forgotten.
            await memory.load_again()
            return True
        self.upkeep.lead_readers_past_gaps(draft)
        self.upkeep.counts.record(draft)
        stops.heed_brake(draft, is_braked)
        tick.tick(draft)
        placement.place(draft)
        ready, kept = await self.turns.keep(draft, ending)
        termination.reap(draft, spent, ready, kept)
        is_more = await self._commit(draft, waiting, messages)
        for word in words:
            self.recording.record.note(word)
        return is_more

    async def _commit(self, draft: Draft, waiting: Waiting, messages: Sequence[Message]) -> bool:
        positions = positions_after(waiting)
        if not draft.changes and not positions:
            return False
        try:
            is_more = await self.memory.commit(draft, positions, messages)
        except TooLargeError as error:
            return await self.intake.narrow(waiting, error)
        return self.intake.count_committed() or is_more

    async def _gather(self, reading: needs.Reading) -> None:
        """What is free, as near to the decision as can be: the commit compares it again. Dead
        letters as they lie: what is gone cannot be retried a second time.
        """
        store, seen = self.memory.store, self.memory.swarm.observed
        seen.free = await store.accounts(sorted(reading.free), "free")
        caps = sorted(reading.caps)
        seen.caps = await store.accounts(caps, "cap") if caps else {}
        spent = sorted(reading.spent)
        seen.spent = await store.accounts(spent, "spent") if spent else {}
        if self.memory.ledger is not None:
            seen.below = self.memory.ledger.below
        seen.off = await self.journal.read_differences(sorted(reading.corrections))
        letters = [await store.letter(id) for id in sorted(reading.letters)]
        seen.letters = {letter.id: letter for letter in letters if letter is not None}

    async def _decide(self, draft: Draft, waiting: Waiting, messages: Sequence[Message]) -> bool:
        """False where an input met a bug."""
        for id, fields in waiting.missions:
            await self.intake.admit(draft, id, fields)
        if not all(self.intake.decide(draft, message) for message in messages):
            return False
        if waiting.facts:
            await self._fold(draft, waiting.facts)
        return True

    async def _fold(self, draft: Draft, facts: Sequence[Fact]) -> None:
        """Facts into the journal, and what is to be done about them; what is no fact is refused
        there.
        """
        memory = self.memory
        if memory.ledger is None:
            memory.ledger = await self.journal.read_ledger()
        fitting, too_large = self.intake.split_too_large(facts)
        judged = judge(memory.ledger, fitting)
        judged.refused += too_large
        if judged.refused:
            log.warning(
                LogEvent.FACTS_REFUSED,
                first=judged.refused[0],
                count=len(judged.refused),
            )
            draft.add(refused_facts(draft.moment, judged.refused))
        draft.add(folded(draft.moment, judged.facts, facts[-1][0]))
        ledger_events.record_refusals(draft, judged.facts)
        ledger_events.act(draft, judged.facts)

    async def _spent_of_ending(self) -> dict[str, dict[str, int]]:
        """For results: what a mission whose subtree is gone has spent, open calls at their full
        reserve.

        `unpriced`, where there are any, are those of its tokens whose price nobody knew: its cost
        leaves them out.
        """
        missions, store = self.memory.swarm.missions, self.memory.store
        ids = [id for id, mission in missions.items() if mission.ending is not None]
        if not ids:
            return {}
        spent = await store.accounts(ids, "spent")
        reserved = await store.accounts(ids, "reserved")
        unpriced = await store.accounts(ids, "unpriced")
        return {
            id: {kind: spent[id].get(kind, 0) + reserved[id].get(kind, 0) for kind in SPENT_KINDS}
            | ({"unpriced": unpriced[id]["tokens"]} if unpriced[id].get("tokens") else {})
            for id in ids
        }
