"""The supervisor: sole writer of lineage, accounts' tree, fences and journal. It cannot be prompted.

Read, decide, commit, tell: what is told is in the same atomic step as what it tells of. Every commit
carries the fencing number and the inputs' positions, so that an input is decided exactly once, also when
the process dies on any line. This module imports nothing that can call a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread
import structlog

from swarmd.core import docket, reconcile
from swarmd.core.decide import decide
from swarmd.core.docket import MissionRequest, fields_of, parse_mission
from swarmd.core.messages import Message
from swarmd.core.names import (
    BOARD_ROOM,
    FIRST,
    MISSIONS,
    ORDERS,
    REQUESTS,
    SOB,
    Channel,
    HostId,
    MissionId,
    Rule,
    StreamId,
    room,
    up,
)
from swarmd.core.rules import Declarations
from swarmd.core.swarm import Draft, Moment, Post, Swarm, entry, stamp_of
from swarmd.core.times import LEASE_SECONDS, RENEW_SECONDS, SLOW_SECONDS, SWEEP_SECONDS, TICK_SECONDS
from swarmd.errors import NotLeadingError, WorkspaceError
from swarmd.ports import Clock, Files, Rings, SupervisorStore

log = structlog.get_logger(__name__)

OWN_KNOWLEDGE: Final = ("policies",)
FACTS: Final = Channel("_facts")
INPUTS: Final = (REQUESTS, ORDERS, BOARD_ROOM, up(SOB))

# Of each input in one commit: a spawn is some ten steps of its script, and no script should take 5 ms.
INPUT_MAX: Final = 16
FACTS_MAX: Final = 100
FORGET_MAX: Final = 100


@dataclass(slots=True)
class Supervisor:
    """Run it with `run` until `stop` is set. One process leads; others wait for its lease to end."""

    store: SupervisorStore
    rings: Rings
    clock: Clock
    declared: Declarations
    host: HostId
    files: Files | None
    stop: anyio.Event
    _swarm: Swarm = field(init=False)
    _positions: dict[Channel, StreamId] = field(default_factory=dict)
    _seq: int = 0
    _number: int = 0
    _patient_until: float = 0.0
    _looked_at: float = 0.0
    _folded_at: float = 0.0
    _undecidable: set[tuple[Channel, StreamId]] = field(default_factory=set)
    _rung: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lead_for_ever)
            await self.stop.wait()
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(RENEW_SECONDS, shield=True):
            await self.store.step_down(self.host, self._number)

    async def _lead_for_ever(self) -> None:
        while True:
            await self._wait_for_lead()
            try:
                await self._lead()
            except* NotLeadingError as lost:
                log.warning("the lead was lost", why=str(lost.exceptions[0]))
                self._number = 0
                # The entrance is the leader's alone: a publisher must not count on who waits.
                await self.rings.follow(())

    async def _wait_for_lead(self) -> None:
        told = False
        while not (number := await self.store.lead(self.host, LEASE_SECONDS)):
            if not told:
                log.info("another supervisor leads; waiting for its lease to end")
                told = True
            await anyio.sleep(SWEEP_SECONDS)
        self._number = number

    async def _lead(self) -> None:
        await self._load()
        log.info("leading", number=self._number, agents=len(self._swarm.lineage.agents))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_lead)
            tasks.start_soon(self._listen)
            await self._work()

    async def _load(self) -> None:
        loaded = await self.store.load(self.declared)
        self._swarm, self._seq = loaded.swarm, loaded.seq
        self._positions = dict.fromkeys((MISSIONS, FACTS, *INPUTS), FIRST) | dict(loaded.positions)
        # Hosts had no one to answer to: each is given a whole lease before it can be declared dead.
        self._patient_until = self.clock.now() + LEASE_SECONDS
        self._looked_at = 0.0
        draft = self._draft()
        reconcile.found(draft)
        for mission in loaded.damaged:
            docket.give_up(draft, mission)
        for channel, position in loaded.lost.items():
            self._positions[channel] = position
            text = f"{channel} ends before what was read of it; entries may be lost: submit or order again"
            log.error(
                "a stream is shorter than it was", channel=channel, read_until=loaded.positions[channel]
            )
            draft.add(entry(draft.moment, "recovered", text, actor="supervisor", channel=channel))
        reconcile.resume_endings(draft)
        await self._commit(draft, loaded.lost)

    async def _keep_lead(self) -> None:
        while True:
            await anyio.sleep(RENEW_SECONDS)
            await self._renew()

    async def _renew(self) -> None:
        if await self.store.lead(self.host, LEASE_SECONDS) != self._number:
            raise NotLeadingError("the lease ended before it was renewed")

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
                await self.store.keep_mission(self._identified(fields_of(ring[1])))
            if ring is not None:
                self._rung.set()

    def _identified(self, fields: dict[str, str]) -> dict[str, str]:
        """With an id from the first: kept twice, because a reply was lost, it is still one mission."""
        return fields if "raw" in fields or fields.get("id") else fields | {"id": self.clock.new_id("m")}

    async def _work(self) -> None:
        while True:
            self._rung = anyio.Event()
            if not await self._step():
                with anyio.move_on_after(TICK_SECONDS):
                    await self._rung.wait()

    # --- one step: read, decide, commit ---

    async def _step(self) -> bool:
        """True where there may be more to do at once."""
        missions = await self.store.read_missions(self._positions[MISSIONS], INPUT_MAX)
        inputs = {channel: self._positions[channel] for channel in INPUTS}
        messages = await self.store.read_inputs(inputs, INPUT_MAX)
        facts = await self._due_facts()
        await self._read_accounts(messages)
        draft = self._draft()
        await self._look_at_hosts(draft)
        for _, fields in missions:
            await self._admit(draft, fields)
        for message in messages:
            if not self._decided(draft, message):
                # What it had changed in memory when it failed is forgotten; it is met again, and refused.
                await self._load_again()
                return True
        if facts:
            draft.add(_folded(draft.moment, facts))
        spent = await self._spent_of_ending()
        reconcile.tick(draft)
        reconcile.place(draft)
        reconcile.reap(draft, spent)
        positions: dict[Channel, StreamId] = {message.channel: message.id for message in messages}
        if missions:
            positions[MISSIONS] = missions[-1][0]
        if facts:
            positions[FACTS] = facts[-1][0]
        if not draft.changes and not positions:
            return False
        return await self._commit(draft, positions)

    def _decided(self, draft: Draft, message: Message) -> bool:
        """Decides one input. A bug that it meets ends this input, not the supervisor at each of its starts."""
        if (message.channel, message.id) in self._undecidable:
            text = f"an input of {message.sender} on {message.channel} cannot be decided"
            rule = Rule.REQUEST_INVALID
            draft.add(
                entry(draft.moment, "refused", text, actor=message.sender, rule=rule, request=message.id)
            )
            return True
        try:
            decide(draft, message)
        except Exception:
            log.exception("an input cannot be decided; it is refused", channel=message.channel, id=message.id)
            self._undecidable.add((message.channel, message.id))
            return False
        return True

    async def _due_facts(self) -> list[tuple[StreamId, dict[str, str]]]:
        """Folded into the journal in batches: once a second, sooner only where many wait."""
        facts = await self.store.read_facts(self._positions[FACTS], FACTS_MAX)
        now = self.clock.now()
        if len(facts) < FACTS_MAX and now < self._folded_at + SWEEP_SECONDS:
            return []
        self._folded_at = now
        return facts

    async def _commit(self, draft: Draft, positions: Mapping[Channel, StreamId]) -> bool:
        """Write it, whole. Where an account had less than was decided on, nothing was written: all is read anew."""
        if not draft.changes and not positions:
            return False
        token = f"{self._number}:{self.host}"
        reply = await self.store.commit_changes(
            token, self._seq + 1, draft.changes, positions, facts_until=positions.get(FACTS)
        )
        if reply == "short":
            log.info("an account moved while it was decided on; deciding again")
            await self._load_again()
            return True
        self._seq += 1
        self._positions.update(positions)
        return True

    async def _load_again(self) -> None:
        patient_until, endings = self._patient_until, self._swarm.endings
        loaded = await self.store.load(self.declared)
        self._swarm, self._seq = loaded.swarm, loaded.seq
        self._positions.update(loaded.positions)
        self._patient_until = patient_until
        # Words already given stay given.
        self._swarm.endings = {s: endings[s] for s in self._swarm.lineage.fences if s in endings}

    def _draft(self) -> Draft:
        now = self.clock.now()
        return Draft(self._swarm, Moment(now, stamp_of(now), _Ids(self.clock)))

    async def _read_accounts(self, messages: list[Message]) -> None:
        """What is free, as near to the decision as can be; the commit compares it again."""
        wanted: set[str] = {SOB, *self._swarm.boards}
        for message in messages:
            if message.channel == REQUESTS and self._swarm.lineage.get(message.sender):
                wanted.add(message.sender)
        self._swarm.free = await self.store.accounts(sorted(wanted), "free")

    async def _look_at_hosts(self, draft: Draft) -> None:
        now = self.clock.now()
        if now < self._looked_at + SWEEP_SECONDS:
            return
        is_late = now > self._looked_at + SWEEP_SECONDS + SLOW_SECONDS
        alive, known = await self.store.hosts()
        # Where the server was away, or this process slept, hosts could not renew either, or not be seen to.
        if is_late or self.clock.now() - now > SLOW_SECONDS:
            self._patient_until = self.clock.now() + LEASE_SECONDS
        self._looked_at = now
        reconcile.admit_hosts(draft, alive, known, may_declare_dead=now >= self._patient_until)
        for what, id in await self.store.due(now, FORGET_MAX):
            await self._forget(what, id)

    async def _forget(self, what: str, id: str) -> None:
        """Its retention is over: the record goes, and a mission's rooms and files with it."""
        rooms: list[Channel] = []
        if what == "mission":
            rooms = [room(f"{r.name}-{id}") for r in self.declared.rooms.values() if r.scope == "mission"]
            if self.files is not None:
                try:
                    await anyio.to_thread.run_sync(self.files.remove, MissionId(id))
                except WorkspaceError as error:
                    log.warning("a mission's files could not be removed", mission=id, why=str(error))
        await self.store.forget(what, id, rooms)

    async def _admit(self, draft: Draft, fields: Mapping[str, str]) -> None:
        """One mission of the stream: what it says, whether its files are there, whether its id is an ended one's."""
        request = parse_mission(fields)
        if isinstance(request, str):
            docket.admit(draft, request, text=fields.get("mission") or fields.get("raw", ""))
            return
        if request.id and MissionId(request.id) not in self._swarm.missions:
            ended = await self.store.ended_mission(MissionId(request.id))
            if ended:
                docket.admit_known(draft, request, ended)
                return
        # Minted before its files are looked up: a mission's own folder is named by its id.
        named = request.model_copy(update={"id": request.id or self.clock.new_id("m")})
        names, fault = await self._files_of(named)
        docket.admit(draft, named, fault=fault, files=names)

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
        """For results: what a mission whose subtree is gone has spent, open calls at their full reserve."""
        ids = [id for id, mission in self._swarm.missions.items() if mission.ending is not None]
        if not ids:
            return {}
        spent = await self.store.accounts(ids, "spent")
        reserved = await self.store.accounts(ids, "reserved")
        return {
            id: {kind: spent[id][kind] + reserved[id][kind] for kind in ("tokens", "calls")} for id in ids
        }


class _Ids:
    """The clock's ids as the endless supply that a `Moment` takes them from."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __iter__(self) -> Iterator[str]:
        while True:
            yield self._clock.new_id("x").removeprefix("x-")


def _folded(moment: Moment, facts: list[tuple[StreamId, dict[str, str]]]) -> Post:
    refusals = sum(1 for _, fact in facts if fact.get("fact") == "refuse")
    text = f"{len(facts)} facts of the ledger" + (f", {refusals} refusals" if refusals else "")
    return entry(
        moment, "facts", text, actor="workers", facts=[{"id": id, **fact} for id, fact in facts],
    )  # fmt: skip
