"""The turns of a host's agents: who takes the next one, and what comes of one that fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import structlog

from swarmd.core.agent.mailbox import calls_for_turn
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.refusals import NO_MONEY, Rule
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import WrongKeyError
from swarmd.log_events import LogEvent
from swarmd.ports.stores import Attempt
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.mail import seat_call, unread_mail
from swarmd.runtime.turn.step_journal import NotAllowedError
from swarmd.runtime.turn.turn import abandon_turn, take_turn, tell_broke
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.context import WorkerContext, until_keys_are_right

log = structlog.get_logger(__name__)

# The law's own words for "not here, not now": the agent is dropped without a word to anyone.
_NOT_MINE = (Rule.LEASE, Rule.INCARNATION, Rule.FENCED, Rule.UNKNOWN_AGENT)
# "Not now": the turn waits as far as it came. Its steps are journaled, so nothing of it is paid
# again.
_HELD = (Rule.FROZEN, Rule.HALTED, Rule.DRAINING, Rule.NO_LEAD, *NO_MONEY)
# Between two attempts of a turn that failed: long enough for a disk or a lock that was away for a
# moment.
RETRY_SECONDS = 0.5


@dataclass(slots=True)
class Turns:
    context: WorkerContext
    # What answers an agent's mail; another than a turn of its own only where the bus alone is
    # measured.
    answer: Callable[[World, Resident], Awaitable[None]] = take_turn
    thaws: int = 0  # stops that were lifted: a refusal from before one of them is asked once more
    _ready: deque[Resident] = field(
        default_factory=deque
    )  # want a turn, and nobody has taken them up
    _idle: deque[anyio.Event] = field(default_factory=deque)  # turners that wait for a resident
    _turners: int = 0
    _attempts: int = 0

    # --- who is next ---

    def wake(self, resident: Resident) -> None:
        context = self.context
        is_kept = resident.is_held or context.is_braked
        if resident.is_busy or resident.is_leaving or is_kept or context.stop.is_set():
            return
        resident.is_busy = True
        self._ready.append(resident)
        if self._idle:
            self._idle.popleft().set()
        elif self._turners < context.world.declared.limits.turns_at_once:
            self._turners += 1
            context.tasks.start_soon(self._take_turns)

    def heed_closed(self, resident: Resident, message: Message) -> None:
        """Cut the turn of a seat whose call is closed: taken up again, it is committed with
        nothing. What waits for its turn, or was begun elsewhere, finds the message in its mailbox.
        """
        if message.kind is not Kind.CLOSED or resident.scope is None or not resident.batch:
            return
        called = seat_call(resident.agent, unread_mail(resident))
        if called is not None and called.is_closed_by(message):
            log.info(LogEvent.CALL_CLOSED, agent=resident.agent.id, mission=called.mission)
            resident.scope.cancel()

    async def _take_turns(self) -> None:
        """One of the few that take turns for all: they stay, for to start a task, and to make a
        scope to cancel, costs more than the rest of a small turn."""
        while True:
            with anyio.CancelScope() as scope:
                # Cancelled for one agent, it is not the next one's.
                while not scope.cancel_called:
                    if self._ready:
                        await self._answer(self._ready.popleft(), scope)
                    else:
                        rest = anyio.Event()
                        self._idle.append(rest)
                        await rest.wait()

    async def _answer(self, resident: Resident, scope: anyio.CancelScope) -> None:
        """Turns of one agent, one after the other, while something wants one."""
        thaws = self.thaws
        resident.scope = scope
        try:
            while resident.is_awake and not self._is_stopped(resident):
                thaws = self.thaws
                await self._turn(resident)
                resident.is_awake = self.wants_a_turn(resident) or bool(resident.batch)
                if resident.is_doubtful and resident.is_awake:
                    await anyio.sleep(RETRY_SECONDS)
        except NotAllowedError as no:
            await self._not_allowed(resident, no, is_stale=thaws != self.thaws)
        except Exception:
            # Nothing of it can be committed. The host and its thousands of others go on.
            log.exception(LogEvent.AGENT_NOT_GIVEN_UP, agent=resident.agent.id)
            resident.is_awake = False
            self.context.drop(resident)
        finally:
            self._end_turns(resident)

    def _is_stopped(self, resident: Resident) -> bool:
        return resident.is_leaving or resident.is_held or self.context.stop.is_set()

    def _end_turns(self, resident: Resident) -> None:
        resident.scope = None
        resident.is_busy = False
        # Its end was waited for in vain, and no word was given for it: now it has gone after all.
        if resident.is_leaving:
            self.context.drop(resident)
        # Also where this was cut by a halt that has been thawed meanwhile.
        elif resident.is_awake:
            self.wake(resident)

    def wants_a_turn(self, resident: Resident) -> bool:
        rooms = self.context.world.declared.rooms
        return calls_for_turn(resident.agent, resident.mailbox or (), rooms, resident.wait)

    # --- one attempt ---

    async def _turn(self, resident: Resident) -> None:
        """One attempt; where it fails, the next is counted before it is made."""
        was_counted, tries = resident.is_doubtful, 0
        if was_counted:
            tries = await self.count_attempt(resident, "begun")
            resident.is_counted = True
        if tries > self.context.world.declared.limits.tries_max:
            why = resident.last_words or "its host ended in its turn, each time"
            await abandon_turn(self.context.world, resident, why, tries - 1)
            _forget_tries(resident)
            return
        try:
            await self._attempt(resident)
        except NotAllowedError as no:
            if no.rule in _HELD:
                await self.uncount(resident)
            raise
        except WrongKeyError as error:
            await self._wait_for_key(resident, error)
        except Exception as error:
            # A bug met in one agent's turn is that agent's alone. What came meanwhile is still
            # answered: a seat serves other missions too.
            words, id = f"{type(error).__name__} in its turn", resident.agent.id
            if words == resident.last_words:
                log.warning(LogEvent.TURN_FAILED_AGAIN, agent=id, tries=tries, error=words)
            else:
                log.exception(LogEvent.TURN_FAILED, agent=id)
            await self._note_failed(resident, words, was_counted=was_counted)

    async def _attempt(self, resident: Resident) -> None:
        context = self.context
        if resident.is_resting:
            resident.go_on(*await context.world.store.recall(resident.agent.id))
        context.residents.was_up(resident)
        await self.answer(context.world, resident)
        if context.residents.by_id.get(resident.agent.id) is resident:
            context.residents.note_wait(resident)
        _forget_tries(resident)

    async def _wait_for_key(self, resident: Resident, error: WrongKeyError) -> None:
        """Not the mail's doing: the turn waits as far as it came, and no attempt is counted."""
        log.warning(
            LogEvent.TURN_WAITS_FOR_KEY,
            agent=resident.agent.id,
            why=error.what,
        )
        await self.uncount(resident)
        await anyio.sleep(SWEEP_SECONDS)
        await self._repeat(resident)

    async def _note_failed(self, resident: Resident, words: str, *, was_counted: bool) -> None:
        resident.last_words, resident.is_counted = words, False
        if not was_counted:
            await self.count_attempt(resident, "failed")
        resident.is_doubtful = True
        await self._repeat(resident)

    async def _repeat(self, resident: Resident) -> None:
        """Again with exactly the same mail, where it came as far as to say which."""
        if not resident.batch:
            await self.resume(resident)
        resident.is_awake = True

    async def resume(self, resident: Resident) -> None:
        """The mail of a turn that was begun and not committed is what it begins with."""
        resumed = await self.context.world.store.resume(resident.agent.id)
        resident.batch = dict(resumed.batch)

    # --- attempts are counted ---

    async def uncount(self, resident: Resident) -> None:
        """Its turn was stopped and not failed: without this, who is stopped or broke some times
        loses its mail as poison.
        """
        if resident.is_counted:
            await self.count_attempt(resident, "cut")
        resident.is_counted = False

    async def count_attempt(self, resident: Resident, how: Attempt) -> int:
        self._attempts += 1
        token = f"{self.context.host.id}.{self._attempts}"
        store = self.context.world.store
        return await store.attempt(resident.agent.id, resident.turn + 1, token, how)

    # --- what may not be ---

    async def _not_allowed(
        self, resident: Resident, no: NotAllowedError, *, is_stale: bool
    ) -> None:
        """Hold its turn, or let the agent go. A `stale` no came before something was thawed: it
        is asked once more.
        """
        if no.rule not in _HELD:
            resident.is_awake = False
            self._give_up(resident, no)
            return
        if is_stale and no.rule not in NO_MONEY:
            await self.resume(resident)
            return
        log.info(LogEvent.TURN_HELD, agent=resident.agent.id, rule=no.rule.value, detail=no.detail)
        resident.is_held = True
        if no.rule is Rule.NO_LEAD:
            self.context.leaderless.add(resident.agent.id)
        if no.rule in NO_MONEY:
            await until_keys_are_right(lambda: tell_broke(self.context.world, resident, no))

    def _give_up(self, resident: Resident, no: NotAllowedError) -> None:
        facts = {"agent": resident.agent.id, "rule": no.rule.value, "detail": no.detail}
        if no.rule in _NOT_MINE:
            log.info(LogEvent.AGENT_NOT_HERE, **facts)
        else:
            log.warning(LogEvent.AGENT_NOT_HERE, **facts)
        if no.rule is not Rule.FENCED:
            self.context.drop(resident)
            # Asked about at the next sweep, not now: only the task that listens may admit.
            self.context.doubtful.add(resident.agent.id)


def _forget_tries(resident: Resident) -> None:
    resident.is_doubtful = resident.is_counted = False
    resident.last_words = ""
