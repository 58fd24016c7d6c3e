"""Bringing agents to rest: the end of a subtree, stops, and the brake of this machine.

The marks themselves are in the store: nothing begins under one, whatever happens here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import structlog

from swarmd.core.model.channels import REQUESTS
from swarmd.core.model.lineage import Stop, StopKind
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, Authority
from swarmd.core.model.requests import GoneRequest, QuietRequest
from swarmd.core.model.timings import UNWIND_SECONDS, epoch_of
from swarmd.log_events import LogEvent
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.worker.context import WorkerContext, until_keys_are_right
from swarmd.runtime.worker.turns import Turns

log = structlog.get_logger(__name__)

# How often a host looks whether what ignored its end has gone after all.
LATE_SECONDS = 0.5


@dataclass(slots=True)
class Stopping:
    context: WorkerContext
    turns: Turns
    _words: int = 0

    # --- the end of a subtree ---

    async def end_below(self, segment: str) -> None:
        """Cancel what runs below a fence, see it gone, then give the host's word."""
        below = self.context.residents.below(segment)
        for resident in below:
            resident.is_leaving = True
            _cancel_turn(resident)
        stuck = await _wait_until_idle(below, UNWIND_SECONDS)
        for resident in below:
            if not resident.is_busy:
                self.context.drop(resident)
        if stuck:
            log.error(LogEvent.TASKS_STUCK, segment=segment, agents=len(stuck))
        await self._give_word(GoneRequest(segment=segment, agents=len(below), stuck=_doing(stuck)))
        if stuck:
            while any(resident.is_busy for resident in stuck):  # noqa: ASYNC110 - it ends with this host at the latest
                await anyio.sleep(LATE_SECONDS)
            await self._give_word(GoneRequest(segment=segment, agents=len(stuck), is_late=True))

    # --- stops ---

    def stop(self, stop: Stop) -> None:
        """See what a stop holds come to rest, as firmly as it says, and give the host's word of
        what did not.
        """
        under = self._held_by(stop)
        for resident in under:
            resident.is_draining = stop.kind is StopKind.DRAIN
        # At once and not by the task: the next message that is read may be its thaw.
        if stop.kind is StopKind.HALT:
            _cancel(under)
        self.context.tasks.start_soon(self._see_at_rest, stop, under)

    async def _see_at_rest(self, stop: Stop, under: Sequence[Resident]) -> None:
        seconds = UNWIND_SECONDS
        if stop.kind is StopKind.DRAIN:
            # Of a clock that is behind the supervisor's, what is left would be more than the whole
            # grace.
            left = stop.until - epoch_of(self.context.world.stamp())
            seconds = min(max(0.0, left), max(0.0, stop.until - stop.at))
        busy = await _wait_until_idle(under, seconds)
        word = QuietRequest(target=stop.target, at=stop.at, agents=len(under), busy=_doing(busy))
        await self._give_word(word)

    async def thaw(self, target: str) -> None:
        self.turns.thaws += 1
        stop = Stop(target, StopKind.FREEZE, Authority.OPERATOR, "", "", 0.0)
        held = self._held_by(stop)
        for resident in held:
            resident.is_draining = False
        await self._let_go_on(held)

    def _held_by(self, stop: Stop) -> list[Resident]:
        residents = self.context.residents.by_id.values()
        return [resident for resident in residents if stop.holds(resident.agent)]

    async def look_at_lead(self) -> None:
        """How long calls may begin, and where somebody leads again, whose turns go on."""
        context = self.context
        asked = anyio.current_time()
        seconds = await context.world.store.led_for()
        context.world.lead.until = asked + seconds
        if not seconds or not context.leaderless:
            return
        waiting, context.leaderless = context.leaderless, set()
        log.info(LogEvent.LEAD_BACK, agents=len(waiting))
        by_id = context.residents.by_id
        await self._let_go_on([by_id[id] for id in waiting if id in by_id])

    async def _let_go_on(self, residents: Sequence[Resident]) -> None:
        """A held turn is taken up with exactly the mail that it began with."""
        for resident in residents:
            if not resident.is_held or self.context.is_braked:
                continue
            if not resident.is_busy:
                await self.turns.uncount(resident)
                await self.turns.resume(resident)
            # The brake may have been set meanwhile: its release asks again.
            resident.is_held = self.context.is_braked
            resident.is_awake = (
                resident.is_awake or bool(resident.batch) or self.turns.wants_a_turn(resident)
            )
            if resident.is_awake:
                self.turns.wake(resident)

    # --- the brake: a halt that needs no server ---

    async def brake(self) -> tuple[int, dict[str, str]]:
        """Cut every turn of this host and begin no other; how many agents it has, and which
        ignored it.
        """
        self.context.is_braked = True
        here = list(self.context.residents.by_id.values())
        _cancel(here)
        return len(here), _doing(await _wait_until_idle(here, UNWIND_SECONDS))

    async def release(self) -> None:
        """Go on, but for what a mark in the store still stops."""
        self.context.is_braked = False
        await self._let_go_on(list(self.context.residents.by_id.values()))

    # --- the host's word ---

    async def _give_word(self, word: GoneRequest | QuietRequest) -> None:
        context = self.context
        message = Message(
            sender=AgentId(context.host.id),
            kind=Kind.REQUEST,
            at=context.world.stamp(),
            text=word.type,
            data=word.model_dump(),
        )
        # One word of one host: a repeated write of it is the same, a second word is another.
        self._words += 1
        key = f"{word.type}-{context.host.id}-{self._words}"
        await until_keys_are_right(lambda: context.world.store.post(REQUESTS, message, key=key))


def _cancel(residents: Sequence[Resident]) -> None:
    """Their turns are cut where they stand, and go on from their step journal when they may."""
    for resident in residents:
        resident.is_held = True
        _cancel_turn(resident)


def _cancel_turn(resident: Resident) -> None:
    if resident.scope is not None:
        resident.scope.cancel()


async def _wait_until_idle(residents: Sequence[Resident], seconds: float) -> list[Resident]:
    """Those that are still at it when the time is over."""
    with anyio.move_on_after(seconds):
        while any(r.is_busy for r in residents):  # noqa: ASYNC110 - many tasks, one bounded wait
            await anyio.sleep(0.01)
    return [resident for resident in residents if resident.is_busy]


def _doing(residents: Sequence[Resident]) -> dict[str, str]:
    """Who is still at it, and in what."""
    return {resident.agent.id: resident.doing or "its own code" for resident in residents}
