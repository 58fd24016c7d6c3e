"""The supervisor: sole writer of lineage, accounts' tree, fences and journal. It cannot be
prompted.

Read, decide, commit, tell: what is told is in the same atomic step as what it tells of. Every
commit carries the fencing number and the inputs' positions, so that an input is decided exactly
once, also when the process dies on any line. This module imports nothing that can call a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import anyio.to_thread
import structlog

from swarmd.core.actions import dead_letters
from swarmd.core.board import clerk
from swarmd.core.bus import retention
from swarmd.core.bus.envelope import Heard, heard_of_sender, heard_pairs
from swarmd.core.control import ledger_events as tidings
from swarmd.core.control import needs, orphans, placement, stalls, stops, termination, tick
from swarmd.core.control.dispatch import decide
from swarmd.core.journal.entries import (
    chained,
    folded,
    numbered,
    open_accounts,
    recovered,
    refused_facts,
    restated,
)
from swarmd.core.journal.fact_forms import judge
from swarmd.core.journal.replay import State, event_of, read_on
from swarmd.core.ledger.accounts import Fault, Ledger, off_by
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest, fields_of, parse_mission
from swarmd.core.model.chain import Head
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import FACTS, INPUTS, MISSIONS, ORDERS, room
from swarmd.core.model.charter import SPENT_KINDS
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Kind, Message, why_unreadable
from swarmd.core.model.names import FIRST, SUPERVISOR, AgentId, Channel, HostId, MissionId, StreamId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Observed, Swarm
from swarmd.core.model.tables import GAPS, Put
from swarmd.core.model.timings import (
    ANCHOR_SECONDS,
    LEASE_SECONDS,
    RENEW_SECONDS,
    SLOW_SECONDS,
    SWEEP_SECONDS,
    TICK_SECONDS,
    TRIM_SECONDS,
    ForwardTime,
    Moment,
    stamp_of,
)
from swarmd.errors import (
    ArchiveError,
    NotLeadingError,
    SwarmError,
    TooLargeError,
    WorkspaceError,
    WrongKeyError,
)
from swarmd.ports.archive import AnchorKind, Archive, Kept, Sealing
from swarmd.ports.clock import Clock
from swarmd.ports.files import Files
from swarmd.ports.pubsub import Rings
from swarmd.ports.stores import SupervisorStore, Waiting
from swarmd.runtime.supervisor.trimmer import Trimmer

log = structlog.get_logger(__name__)

OWN_KNOWLEDGE: Final = ("policies",)

# Of each input in one commit. No script should take 5 ms, and a spawn is some 40 µs of it. Fewer at
# once cost more each: every step waits three times for the server.
INPUT_MAX: Final = 64
FACTS_MAX: Final = 100
FORGET_MAX: Final = 100
GAPS_MAX: Final = 20
TOO_LARGE: Final = "what comes of it is larger than the server takes"
LETTER_CHARS: Final = 400  # of a message that is too large, in its dead letter
# Entries of the journal that are read back at once for the archive.
SEAL_MAX: Final = 256


@dataclass(slots=True)
class Supervisor:
    """Run it with `run` until `stop` is set. One process leads; others wait for its lease to
    end.
    """

    store: SupervisorStore
    rings: Rings
    clock: Clock
    declared: Declarations
    host: HostId
    files: Files | None
    stop: anyio.Event
    is_braked: str | None = None  # why everything is to stand still, said by this machine's brake
    archive: Archive | None = None  # none: nothing vouches for the journal outside the store
    _swarm: Swarm = field(init=False)
    _positions: dict[Channel, StreamId] = field(default_factory=dict)
    _seq: int = 0
    _number: int = 0
    _led_until: float = 0.0  # by whoever led before, in seconds since the epoch; 0: nobody did
    _patient_until: float = 0.0
    _looked_at: float = 0.0
    _folded_at: float = 0.0
    # As it was before the decisions that are not committed yet.
    _observed: Observed = field(default_factory=Observed)
    _ledger: Ledger | None = (
        None  # as the facts folded so far make it; none: read anew before the next are judged
    )
    _head: Head = field(default_factory=Head)  # of the journal, as the last commit left it
    _archived_until: StreamId = FIRST
    _anchored: int = 0  # the number of the last entry that an anchor vouches for
    _archiving: anyio.Lock = field(
        default_factory=anyio.Lock
    )  # one reader of the journal at a time
    _restate: str = ""  # why the journal cannot be continued from what it says
    _heard: Heard = field(default_factory=Heard)
    _stalls_at: float = 0.0
    _trimmer: Trimmer = field(init=False)
    _hosts_heard: dict[HostId, StreamId] = field(default_factory=dict)  # on their own channels
    _undecidable: dict[tuple[Channel, StreamId], str] = field(
        default_factory=dict
    )  # and their last words
    _too_large: set[tuple[Channel, StreamId]] = field(
        default_factory=set
    )  # inputs: their commit is, alone
    _singly: int = 0  # so many inputs are still taken one by one
    _rung: anyio.Event = field(default_factory=anyio.Event)
    _time: ForwardTime = field(default_factory=ForwardTime)

    def _now(self) -> float:
        """What every decision, deadline and interval here goes by, and never the local clock alone:
        that may be set, and deadlines are kept for a successor whose clock says something else."""
        return self._time.read(self.clock.now() + self.store.clock_behind())

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lead_for_ever)
            await self.stop.wait()
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(RENEW_SECONDS, shield=True):
            if self._number:
                with suppress(NotLeadingError):  # who leads now anchors what is there
                    await self._anchor("stopped")
                await self.store.step_down(self.host, self._number)

    async def _lead_for_ever(self) -> None:
        while True:
            try:
                await self._wait_for_lead()
                await self._lead()
            except* NotLeadingError as lost:
                log.warning("the lead was lost", why=str(lost.exceptions[0]))
                await self._lead_no_more()
            except* (WrongKeyError, TooLargeError) as wrong:
                await self._stand_aside(wrong.exceptions[0])

    async def _lead_no_more(self) -> None:
        self._number = 0
        # The entrance is the leader's alone: a publisher must not count on who waits.
        await self.rings.follow((), gone=[MISSIONS, *INPUTS])

    async def _stand_aside(self, why: BaseException) -> None:
        """Nothing can be committed past a key of another type, nor what the server does not take.
        Its lead is free meanwhile, for whoever mends that.
        """
        hint = why.hint if isinstance(why, SwarmError) else ""
        log.error("nothing can be committed; waiting until that is mended", why=str(why), hint=hint)
        number = self._number
        await self._lead_no_more()
        if number:
            with suppress(WrongKeyError):  # the lease itself may be what was written over
                await self.store.step_down(self.host, number)
        await anyio.sleep(SWEEP_SECONDS)
        while await self.store.wrong_keys():  # noqa: ASYNC110 - the server's keys ring for nobody
            await anyio.sleep(SWEEP_SECONDS)

    async def _wait_for_lead(self) -> None:
        told = False
        # Asked before each try: the lead that is taken is noted in its place.
        self._led_until = await self.store.led_until()
        while not (number := await self.store.lead(self.host, LEASE_SECONDS)):
            if not told:
                log.info("another supervisor leads; waiting for its lease to end")
                told = True
            await anyio.sleep(SWEEP_SECONDS)
            self._led_until = await self.store.led_until()
        self._number = number

    async def _lead(self) -> None:
        async with anyio.create_task_group() as tasks:
            # From the first: a hundred thousand agents take longer to load than a lease lasts.
            tasks.start_soon(self._keep_lead)
            await self._load()
            log.info("leading", number=self._number, agents=len(self._swarm.lineage.agents))
            tasks.start_soon(self._listen)
            tasks.start_soon(self._keep_archive)
            tasks.start_soon(self._keep_short)
            await self._work()

    async def _load(self) -> None:
        self._ledger = None
        self._trimmer = Trimmer(self.store, self._now)
        await self.store.server_run()
        loaded = await self.store.load(self.declared)
        self._swarm, self._seq, self._heard = loaded.swarm, loaded.seq, loaded.heard
        self._head = self._swarm.chain.head
        self._positions = dict.fromkeys((MISSIONS, FACTS, *INPUTS), FIRST) | dict(loaded.positions)
        # Hosts had no one to answer to: each is given a whole lease before it can be declared dead.
        self._patient_until = self._now() + LEASE_SECONDS
        self._looked_at = 0.0
        draft = self._draft()
        await self._take_up_journal(draft, has_lost_facts=FACTS in loaded.lost)
        tick.found(draft)
        for mission in loaded.damaged:
            queue.give_up(draft, mission)
        for id in loaded.unreadable:
            orphans.hold_unreadable(draft, id)
        # Of the facts the journal has just been told anew what they add up to.
        lost = {channel: position for channel, position in loaded.lost.items() if channel != FACTS}
        for channel, position in lost.items():
            self._positions[channel] = position
            text = (
                f"{channel} ends before what was read of it; entries may be lost: submit or "
                "order again"
            )
            log.error(
                "a stream is shorter than it was",
                channel=channel,
                read_until=loaded.positions[channel],
            )
            draft.add(
                entry(
                    draft.moment,
                    JournalEvent.POSITION_RECOVERED,
                    text,
                    actor=SUPERVISOR,
                    channel=channel,
                )
            )
        termination.resume_endings(draft)
        stops.resume_stops(draft)
        stalls.resume(self._swarm, draft.moment.now)
        if self._led_until:
            clerk.make_up(draft, draft.moment.now - self._led_until)
        await self._commit(draft, lost)

    # --- the journal ---

    async def _take_up_journal(self, draft: Draft, *, has_lost_facts: bool) -> None:
        """Where the store, the archive and the journal do not speak of the same past, that is
        recorded first.
        """
        chain = self._swarm.chain
        found = chain.head
        kept = Kept(Head(), None, False, 0, FIRST)
        if self.archive is not None:
            kept = await self._kept(self.archive, chain.head, draft.moment.stamp)
            if kept.lost is not None and kept.anchor == chain.head:
                log.error(
                    "the server lost the end of the journal",
                    lost=kept.lost.n,
                    continues=chain.head.n,
                )
                draft.add(
                    Put(GAPS, str(chain.head.n + 1), "open"),
                    recovered(draft.moment, kept.lost, chain.head),
                )
                await self._commit(draft, {})
                draft.changes.clear()
        self._archived_until = kept.sealed_id
        why = self._restate = await self._why_restate(kept)
        if has_lost_facts and not why:
            why = self._restate = "facts of the ledger were lost, or may have been folded before"
        if why:
            log.error("the journal is stated anew", why=why)
            await self._state_anew(draft.moment)
        if self.archive is not None:
            # Last, and of what was found: whoever dies before has his successor look again.
            await anyio.to_thread.run_sync(
                self.archive.anchor, found, draft.moment.stamp, "started"
            )
        self._anchored = found.n

    async def _kept(self, archive: Archive, head: Head, at: str) -> Kept:
        kept = await anyio.to_thread.run_sync(archive.open)
        if kept.anchor.n > head.n:
            await anyio.to_thread.run_sync(archive.recover, head, kept.anchor, at)
            kept = await anyio.to_thread.run_sync(archive.open)
        return kept

    async def _why_restate(self, kept: Kept) -> str:
        chain = self._swarm.chain
        if chain.records.digest != chain.head.after:
            if chain.head.n == 0:
                return "the journal begins with a swarm that lives already"
            return f"the records are not what entry {chain.head.n} left"
        if kept.anchor.n == chain.head.n and kept.anchor.n and kept.anchor.hash != chain.head.hash:
            return f"entry {chain.head.n} is not what was anchored"
        if kept.is_stopped and chain.head.n > kept.anchor.n:
            return f"entries from {kept.anchor.n + 1} on were written while no supervisor led"
        if self.archive is None or chain.head.n == kept.sealed:
            return ""
        first = await self.store.read_journal(kept.sealed_id, 1)
        n = numbered(first[0][1]) if first else 0
        # Entries of a version that did not chain them stand before the first that is numbered.
        if n == kept.sealed + 1 or (kept.sealed == 0 and n == 0 and first):
            return ""
        if await self._is_restated_since(kept.sealed_id):
            return ""
        return f"entries from {kept.sealed + 1} on are neither in the store nor in the archive"

    async def _is_restated_since(self, after: StreamId) -> bool:
        """What was lost before such an entry has been told."""
        while entries := await self.store.read_journal(after, SEAL_MAX):
            after = entries[-1][0]
            if any(event_of(*one) == JournalEvent.JOURNAL_RESTATED for one in entries):
                return True
        return False

    async def _state_anew(self, moment: Moment) -> None:
        stated = await self.store.stated_accounts(open_accounts(self._swarm))
        facts_until = stated.facts_until
        changes = restated(self._swarm, moment, self._restate, stated.rows, facts_until)
        self._restate, self._ledger = "", None
        token = f"{self._number}:{self.host}"
        await self.store.commit_changes(
            token, self._seq + 1, changes, {FACTS: facts_until}, facts_until
        )
        self._seq += 1
        self._positions[FACTS] = facts_until
        self._head = self._swarm.chain.head

    async def _read_off(self, ids: Sequence[str]) -> None:
        """By how much the accounts that are to be mended differ from what their facts add up to."""
        self._swarm.observed.off = {}
        if not ids or self.archive is None:
            return
        state = await self._read_state(self.archive)
        if state is None or state.head != self._head:
            return
        stated = await self.store.stated_accounts(ids, state.facts_until)
        judge(state.ledger, stated.facts)
        for id in ids:
            self._swarm.observed.off[id] = off_by(
                state.ledger.accounts.get(id), stated.rows.get(id, {})
            )

    async def _keep_archive(self) -> None:
        """What is anchored is committed; what is sealed was read back from the store as it lies
        there.
        """
        await self._anchor()
        while self.archive is not None:
            await anyio.sleep(ANCHOR_SECONDS)
            await self._anchor()
            try:
                async with self._archiving:
                    await self._seal(self.archive)
            except ArchiveError as error:
                log.exception("the journal cannot be sealed", why=error.what)

    async def _anchor(self, kind: AnchorKind = "anchor") -> None:
        if self.archive is None:
            return
        head = self._head
        try:
            await anyio.to_thread.run_sync(self.archive.anchor, head, stamp_of(self._now()), kind)
        except ArchiveError as error:
            log.exception("the journal cannot be anchored", why=error.what)
            return
        self._anchored = head.n

    async def _seal(self, archive: Archive) -> None:
        """All entries up to the last anchor: where the server loses what is sealed, the anchor
        tells the next supervisor. Where one does not follow, the next commit says so and states all
        anew.
        """
        sealing = Sealing()
        while entries := await self._read_anchored():
            self._archived_until = entries[-1][0]
            sealing = await anyio.to_thread.run_sync(archive.seal, entries)
            if sealing.keep_from is not None:
                await self.store.trim_journal(sealing.keep_from)
        if sealing.broken:
            log.error("the journal in the store is not what was written", why=sealing.broken)
            self._restate = sealing.broken

    async def _read_anchored(self) -> Sequence[tuple[StreamId, str]]:
        entries = await self.store.read_journal(self._archived_until, SEAL_MAX)
        # What is numbered higher than this supervisor has come is no entry of its own: it is not
        # waited for, but found out.
        ours = range(self._anchored + 1, self._swarm.chain.head.n + 1)
        early = (at for at, (_, flat) in enumerate(entries) if numbered(flat) in ours)
        return entries[: next(early, len(entries))]

    async def _read_state(self, archive: Archive) -> State | None:
        """As the journal makes it up to its last entry. Nothing is sealed for it: what was written
        just now may still be lost with the server. `None` where the journal cannot be followed.
        """
        try:
            async with self._archiving:
                state: State | None = await anyio.to_thread.run_sync(archive.state)
                after = self._archived_until
                while entries := await self.store.read_journal(after, SEAL_MAX):
                    after = entries[-1][0]
                    state = await anyio.to_thread.run_sync(read_on, state, entries)
        except Fault as fault:
            log.warning("what the accounts hold by the journal cannot be told", why=str(fault))
            return None
        return state

    async def _keep_short(self) -> None:
        """Streams are trimmed to what is unread or kept; the supervisor's steps do not wait for
        it.
        """
        while True:
            await self._trimmer.look(self._swarm, self._positions, self._hosts_heard)
            await anyio.sleep(TRIM_SECONDS)

    async def _keep_lead(self) -> None:
        while True:
            await anyio.sleep(RENEW_SECONDS)
            await self._renew()

    async def _renew(self) -> None:
        if await self.store.lead(self.host, LEASE_SECONDS) != self._number:
            raise NotLeadingError("the lease ended before it was renewed")
        await self.store.server_run()
        # A server that lost its last moments is behind this memory. Who has nothing to commit would
        # not be told so.
        known = self._seq
        if await self.store.last_commit() < known:
            raise NotLeadingError("the server lost what was committed last")

    async def _listen(self) -> None:
        """Rings of the inputs, and the entrance, which the leader alone hears."""
        # What still waits rang before this process led: who led then has heard it.
        while await self.rings.next(0) is not None:
            pass
        await self.rings.follow([MISSIONS, *INPUTS])
        while True:
            ring = await self.rings.next(SWEEP_SECONDS)
            if isinstance(ring, tuple) and ring[0] == MISSIONS:
                # A process that slept past its lease hears what its successor has heard and stored.
                await self._renew()
                await self._keep_mission(self._identified(fields_of(ring[1])))
            if ring is not None:
                self._rung.set()

    async def _keep_mission(self, fields: dict[str, str]) -> None:
        """What was heard is nowhere else: it is kept in hand until the stream can be written."""
        is_told = False
        while True:
            try:
                await self.store.keep_mission(fields)
            except WrongKeyError as error:
                if not is_told:
                    log.warning("a mission waits to be stored", why=error.what, hint=error.hint)
                is_told = True
                await anyio.sleep(SWEEP_SECONDS)
            except TooLargeError as error:
                log.warning(
                    "a mission is too large to be stored; it is rejected",
                    why=error.what,
                    hint=error.hint,
                )
                fields = queue.too_large(fields)
            else:
                return

    def _identified(self, fields: dict[str, str]) -> dict[str, str]:
        """With an id from the first: kept twice, because a reply was lost, it is still one
        mission.
        """
        return (
            fields
            if "raw" in fields or fields.get("id")
            else fields | {"id": self.clock.new_id("m")}
        )

    async def _work(self) -> None:
        while True:
            self._rung = anyio.Event()
            if not await self._step():
                with anyio.move_on_after(TICK_SECONDS):
                    await self._rung.wait()

    # --- one step: read, decide, commit ---

    async def _step(self) -> bool:  # noqa: C901
        """True where there may be more to do at once."""
        if self._restate:
            await self._state_anew(self._draft().moment)
        await self._look_at_stalls()
        waiting = await self.store.read_waiting(self._positions, INPUT_MAX, FACTS_MAX)
        if self._singly:
            waiting = _first_of(waiting)
        missions, messages, facts = waiting.missions, waiting.messages, self._due(waiting.facts)
        draft = self._draft()
        heard = self._taken(draft, messages)
        await self._read(needs.reading_of(self._swarm, heard))
        await self._look_at_hosts(draft)
        # A fence set in this step is committed without the first of those that it ends: it must not
        # wait for them.
        ending, spent = tuple(self._swarm.observed.endings), await self._spent_of_ending()
        for id, fields in missions:
            await self._admit(draft, id, fields)
        for message in heard:
            if not self._decided(draft, message):
                # What it had changed in memory when it failed is forgotten; it is met again, and
                # refused.
                await self._load_again()
                return True
        if facts:
            await self._fold(draft, facts)
        # Taken out first: what is not committed after all is found again.
        gaps, self._trimmer.found = self._trimmer.found[:GAPS_MAX], self._trimmer.found[GAPS_MAX:]
        for gap in gaps:
            retention.lead_past(draft, gap)
        stops.heed_brake(draft, self.is_braked)
        tick.tick(draft)
        placement.place(draft)
        termination.reap(draft, spent, ending)
        positions: dict[Channel, StreamId] = {message.channel: message.id for message in messages}
        if missions:
            positions[MISSIONS] = missions[-1][0]
        if facts:
            positions[FACTS] = facts[-1][0]
        if not draft.changes and not positions:
            return False
        try:
            is_more = await self._commit(draft, positions, heard)
        except TooLargeError as error:
            found = [(MISSIONS, id) for id, _ in missions] + [(m.channel, m.id) for m in messages]
            return await self._narrow(found + [(FACTS, id) for id, _ in facts], error)
        self._singly = max(0, self._singly - 1)
        return is_more or self._singly > 0

    async def _narrow(
        self, inputs: Sequence[tuple[Channel, StreamId]], error: TooLargeError
    ) -> bool:
        """A commit is larger than the server takes: its inputs one by one, and the one that is
        too large is refused.
        """
        if not inputs or inputs[0] in self._too_large:
            raise error
        if len(inputs) == 1:
            log.warning(
                "an input is larger than the server takes; it is refused",
                input=inputs[0],
                why=error.what,
            )
            self._too_large.add(inputs[0])
        await self._load_again()
        self._singly = max(self._singly, len(inputs))
        return True

    async def _fold(self, draft: Draft, entries: Sequence[tuple[StreamId, dict[str, str]]]) -> None:
        """Facts into the journal, and what is to be done about them; what is no fact is refused
        there.
        """
        if self._ledger is None:
            self._ledger = await self._read_ledger()
        judged = judge(
            self._ledger, [one for one in entries if (FACTS, one[0]) not in self._too_large]
        )
        judged.refused += [(id, TOO_LARGE) for id, _ in entries if (FACTS, id) in self._too_large]
        if judged.refused:
            log.warning(
                "entries of the stream of facts are refused",
                first=judged.refused[0],
                count=len(judged.refused),
            )
            draft.add(refused_facts(draft.moment, judged.refused))
        draft.add(folded(draft.moment, judged.facts, entries[-1][0]))
        tidings.record_refusals(draft, judged.facts)
        tidings.act(draft, judged.facts)

    async def _read_ledger(self) -> Ledger | None:
        """The accounts as the facts that were folded make them. `None` where no archive can
        tell.
        """
        state = None if self.archive is None else await self._read_state(self.archive)
        if state is None or state.head != self._head or not state.is_known:
            return None
        return state.ledger

    def _taken(self, draft: Draft, messages: Sequence[Message]) -> list[Message]:
        """Those that are messages, and new. The others are told by channel and rule: not each, for
        a flood of forgeries must not become one of the journal.
        """
        taken: list[Message] = []
        refused: dict[tuple[Channel, Rule], list[Message]] = {}
        for message in messages:
            is_message = message.kind is not Kind.UNREADABLE
            rule = (
                self._heard.accepts(message, draft.moment.now)
                if is_message
                else why_unreadable(message)
            )
            if rule is None:
                taken.append(message)
            else:
                refused.setdefault((message.channel, rule), []).append(message)
        for (channel, rule), those in refused.items():
            draft.add(_refused_mail(draft.moment, channel, rule, those))
        return taken

    def _decided(self, draft: Draft, message: Message) -> bool:
        """Decides one input. A bug that it meets ends this input, not the supervisor at each of
        its starts.
        """
        if (message.channel, message.id) in self._too_large:
            dead_letters.undecidable(
                draft, replace(message, text=message.text[:LETTER_CHARS], data={}), TOO_LARGE
            )
            return True
        why = self._undecidable.get((message.channel, message.id))
        if why is not None:
            dead_letters.undecidable(draft, message, why)
            return True
        try:
            decide(draft, message)
        except Exception as error:
            log.exception(
                "an input cannot be decided; it is a dead letter",
                channel=message.channel,
                id=message.id,
            )
            self._undecidable[message.channel, message.id] = f"{type(error).__name__}: {error}"
            return False
        return True

    def _due(
        self, facts: Sequence[tuple[StreamId, dict[str, str]]]
    ) -> Sequence[tuple[StreamId, dict[str, str]]]:
        """Folded into the journal in batches: once a second, sooner where many wait or something
        is to be done.
        """
        now = self._now()
        is_early = (
            len(facts) < FACTS_MAX and now < self._folded_at + SWEEP_SECONDS and not self._singly
        )
        if is_early and not any(tidings.is_urgent(fact) for _, fact in facts):
            return []
        self._folded_at = now
        return facts

    async def _commit(
        self, draft: Draft, positions: Mapping[Channel, StreamId], heard: Sequence[Message] = ()
    ) -> bool:
        """Write it, whole. Where an account had less than was decided on, nothing was written:
        all is read anew.
        """
        if not draft.changes and not positions:
            return False
        token = f"{self._number}:{self.host}"
        changes = chained(self._swarm, draft.changes, draft.moment)
        kept, unheard = self._heard.forget_operators() if heard else ({}, [])
        pairs = heard_pairs(heard) | kept
        reply = await self.store.commit_changes(
            token, self._seq + 1, changes, positions, positions.get(FACTS), pairs, unheard
        )
        if reply == "short":
            log.info("an account moved while it was decided on; deciding again")
            await self._load_again()
            return True
        self._seq += 1
        self._head = self._swarm.chain.head
        self._positions.update(positions)
        return True

    async def _load_again(self) -> None:
        patient_until = self._patient_until
        self._ledger = None  # what was folded into it may not have been committed
        loaded = await self.store.load(self.declared)
        if loaded.lost:
            raise NotLeadingError("inputs were lost: this memory is behind")
        self._swarm, self._seq, self._heard = loaded.swarm, loaded.seq, loaded.heard
        self._positions.update(loaded.positions)
        self._patient_until = patient_until
        self._swarm.keep_observed(self._observed)

    def _draft(self) -> Draft:
        now, self._observed = self._now(), self._swarm.observed.copy()
        return Draft(self._swarm, Moment(now, stamp_of(now), _Ids(self.clock)))

    async def _read(self, reading: needs.Reading) -> None:
        """What is free, as near to the decision as can be: the commit compares it again. Dead
        letters as they lie: what is gone cannot be retried a second time.
        """
        self._swarm.observed.free = await self.store.accounts(sorted(reading.free), "free")
        caps = sorted(reading.caps)
        self._swarm.observed.caps = await self.store.accounts(caps, "cap") if caps else {}
        await self._read_off(sorted(reading.corrections))
        letters = [await self.store.letter(id) for id in sorted(reading.letters)]
        self._swarm.observed.letters = {
            letter.id: letter for letter in letters if letter is not None
        }

    async def _look_at_hosts(self, draft: Draft) -> None:
        now = self._now()
        if now < self._looked_at + SWEEP_SECONDS:
            return
        is_late = now > self._looked_at + SWEEP_SECONDS + SLOW_SECONDS
        alive, known = await self.store.hosts()
        # Where the server was away, or this process slept, hosts could not renew either, or not be
        # seen to.
        if is_late or self._now() - now > SLOW_SECONDS:
            self._patient_until = self._now() + LEASE_SECONDS
        self._looked_at = now
        self._hosts_heard = {host.id: host.heard for host in alive.values()}
        placement.admit_hosts(draft, alive, known, may_declare_dead=now >= self._patient_until)
        for what, id in await self.store.due(now, FORGET_MAX):
            await self._forget(what, id)

    async def _look_at_stalls(self) -> None:
        """Once a second; asked and told in a commit of its own, and only where somebody's
        patience is over.
        """
        now = self._now()
        if now < self._stalls_at + SWEEP_SECONDS:
            return
        self._stalls_at = now
        idlers = stalls.due(self._swarm, now)
        if idlers:
            standings = await self.store.standings(stalls.asked_about(self._swarm, idlers))
            draft = self._draft()
            stalls.judge(draft, idlers, standings)
            await self._commit(draft, {})

    async def _forget(self, what: str, id: str) -> None:
        """Its retention is over: the record goes, and a mission's rooms and files with it."""
        self._swarm.troubles.pop(AgentId(id), None)
        rooms: list[Channel] = []
        if what == "mission":
            rooms = [
                room(f"{r.name}-{id}") for r in self.declared.rooms.values() if r.scope == "mission"
            ]
            if self.files is not None:
                try:
                    await anyio.to_thread.run_sync(self.files.remove, MissionId(id))
                except WorkspaceError as error:
                    log.warning(
                        "a mission's files could not be removed", mission=id, why=str(error)
                    )
        await self.store.forget(what, id, rooms)
        self._heard.forget(heard_of_sender(id, INPUTS))

    async def _admit(self, draft: Draft, id: StreamId, fields: Mapping[str, str]) -> None:
        """One mission of the stream: what it says, whether its files are there, whether its id
        is an ended one's.
        """
        request = parse_mission(
            queue.too_large(fields) if (MISSIONS, id) in self._too_large else fields
        )
        asked = queue.id_asked(fields)
        ended: dict[str, str] = {}
        if asked and MissionId(asked) not in self._swarm.missions:
            ended = await self.store.ended_mission(MissionId(asked))
            if queue.may_come_again(ended):
                ended = {}
        if isinstance(request, str):
            text = fields.get("mission") or fields.get("raw", "")
            queue.admit_invalid(
                draft, request, asked=queue.id_said(fields), is_known=bool(ended), text=text
            )
            return
        if ended:
            queue.admit_known(draft, request, ended)
            return
        # Minted before its files are looked up: a mission's own folder is named by its id.
        named = request.model_copy(update={"id": request.id or self.clock.new_id("m")})
        names, fault = await self._files_of(named)
        queue.admit(draft, named, fault=fault, files=names)

    async def _files_of(self, request: MissionRequest) -> tuple[tuple[str, ...], str]:
        if self.files is None:
            return request.files, ""
        # A mission without files searches the swarm's own knowledge.
        wanted = request.files or OWN_KNOWLEDGE
        try:
            names = await anyio.to_thread.run_sync(self.files.names, MissionId(request.id), wanted)
            return names, "" if names else f"files: there are none in {', '.join(wanted)}"
        except WorkspaceError as error:
            return (), f"files: {error}"

    async def _spent_of_ending(self) -> dict[str, dict[str, int]]:
        """For results: what a mission whose subtree is gone has spent, open calls at their full
        reserve.

        `unpriced`, where there are any, are those of its tokens whose price nobody knew: its cost
        leaves them out.
        """
        ids = [id for id, mission in self._swarm.missions.items() if mission.ending is not None]
        if not ids:
            return {}
        spent = await self.store.accounts(ids, "spent")
        reserved = await self.store.accounts(ids, "reserved")
        unpriced = await self.store.accounts(ids, "unpriced")
        return {
            id: {kind: spent[id].get(kind, 0) + reserved[id].get(kind, 0) for kind in SPENT_KINDS}
            | ({"unpriced": unpriced[id]["tokens"]} if unpriced[id].get("tokens") else {})
            for id in ids
        }


def _first_of(waiting: Waiting) -> Waiting:
    """One input of all that wait."""
    if waiting.missions:
        return Waiting(waiting.missions[:1], [], [])
    if waiting.messages:
        return Waiting([], waiting.messages[:1], [])
    return Waiting([], [], waiting.facts[:1])


class _Ids:
    """The clock's ids as the endless supply that a `Moment` takes them from."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __iter__(self) -> Iterator[str]:
        while True:
            yield self._clock.new_id("x").removeprefix("x-")


_WHY_REFUSED: Final = {
    Rule.ENVELOPE_FORGED: "not sealed with this swarm's secret for this channel",
    Rule.ENVELOPE_REPLAYED: "heard before, or from long before",
    Rule.INCARNATION: "of a former incarnation",
    Rule.ENVELOPE_VERSION: "of a version that this swarmd does not read: use the one that wrote it",
}


def _refused_mail(
    moment: Moment, channel: Channel, rule: Rule, messages: Sequence[Message]
) -> Post:
    """Of what is not authentic nothing is repeated here, not even whom it names: anybody may
    have written it.
    """
    count = f"{len(messages)} on {channel}"
    detail = f"{count}: {_WHY_REFUSED[rule]}"
    if channel == ORDERS and rule is Rule.ENVELOPE_FORGED:
        detail += (
            "; order with `swarmd`, beside the swarm's data folder or with its secret in "
            "SWARMD_SECRET_FILE"
        )
    return entry(
        moment,
        JournalEvent.MESSAGE_REFUSED,
        f"{rule}: {detail}",
        actor="unknown",
        rule=rule,
        detail=detail,
        channel=channel,
        request=messages[0].id,
        count=len(messages),
    )
