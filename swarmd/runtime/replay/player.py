"""A recorded mission played again: its calls are answered from the record, in the order in which
things ended then.

What is played is one row of cues: a turn that begins, an answer, a decision of the supervisor, a
person's word. The first that has not happened is waited for, and no later answer is given before
it; so what depends on who was first falls as it fell then. A cue that does not come is passed over
after a while, and told as a difference: a replay ends whatever happens.

Times are counted from the docketing of the mission. Where a decision or a turn is waited for that
time alone brings (a silent seat, a deadline, the end of a wait), the replay's clock is put forward
to it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from swarmd.core.board.standstill import REST_SECONDS
from swarmd.core.journal.sameness import (
    Difference,
    Kind,
    changed_answers,
    first_line,
    from_first,
    subject_of,
)
from swarmd.core.journal.script import RecordedCall, Script
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import Channel, StreamId
from swarmd.core.model.refusals import NO_MONEY
from swarmd.ports.stores import Begin, Used
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.recording import MODEL_CALL, Effect, Lost
from swarmd.runtime.replay.cues import Cue, Cues
from swarmd.runtime.replay.seen import Seen
from swarmd.runtime.turn.functions import files_in
from swarmd.runtime.turn.turn import take_turn
from swarmd.runtime.turn.world import World

# A cue that does not come is passed over after so long. The supervisor's sweep takes a second, and
# a lost ring costs one more.
PATIENCE_SECONDS: Final = 3.0
# Once a cue was passed over, others that follow from it will not come either.
LATER_PATIENCE_SECONDS: Final = 0.3
# Who is at rest is known by two looks that lie some time apart, which a jump of the clock leaves
# out; so that it is put forward by that time once more, so often for one decision.
LOOKS_MAX: Final = 2
# What a turn waits for beside its cue: mail that is on its way, others that go first.
LULL_SECONDS: Final = 1.0
# So long nothing has happened where no answer is under way.
QUIET_SECONDS: Final = 0.1
# Between two looks at the replay's journal.
_LOOK_SECONDS: Final = 0.002
# Of each kind so many differences are told: most that follow from the first say nothing new.
DIFFERENCES_MAX: Final = 5

Step = Callable[[str], Awaitable[None]]


class AnsweredByRecordError(Exception):
    """A recorded model's: the answer is in the record."""


@dataclass(slots=True)
class _Playing:
    """Where an agent stands in its recorded turns."""

    turn: int = -1
    call: int = 0
    place: tuple[int, int] | None = None  # of the turn under way; none before its first call
    under_way: Cue | None = None  # an answer that was given, until the agent goes on

    @property
    def next(self) -> tuple[int, int]:
        """Turn and number of its next call."""
        return (self.turn + 1, 0) if self.place is None else (self.turn, self.call)


@dataclass(slots=True)
class Player:
    """`speed`: so many times as fast as it was; without it as fast as it goes. With `until` it
    stops when that entry of the record's journal was reached. `step` is asked before each answer.
    `forward` puts the clock forward by seconds, and `say` posts a person's word. With `is_fork`
    all that is called after the stop is called, and answered, by the living.
    """

    script: Script
    seen: Seen
    forward: Callable[[float], None]
    say: Callable[[RecordedCall], Awaitable[None]]
    speed: float | None = None
    until: int | None = None
    step: Step | None = None
    is_fork: bool = False
    differences: list[Difference] = field(default_factory=list)
    is_live: bool = False
    _cues: Cues = field(init=False)
    _playing: dict[str, _Playing] = field(default_factory=dict)
    _put_forward: float = 0.0
    _gone_live: anyio.Event = field(default_factory=anyio.Event)
    _is_apart: bool = False  # a cue was passed over
    _has_asked: bool = False  # for an answer that the record does not have

    def __post_init__(self) -> None:
        self._cues = Cues.of(self.script)
        self.differences += changed_answers(self.script)

    # --- driving ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until all was played or passed over, and the mission has ended or stands still."""
        self.seen.began = self.seen.moved = anyio.current_time()
        while True:
            await self.seen.look()
            cue = self._cues.next()
            if self._is_all(cue):
                break
            if cue is not None and self._elapsed() >= cue.at and await self._advance(cue):
                self.seen.move()
                continue
            if cue is not None and self._is_late():
                self._pass_over(cue)
            await anyio.sleep(_LOOK_SECONDS)
        if self.is_fork:
            await self._go_live()

    def _is_all(self, cue: Cue | None) -> bool:
        """Whether all that is to be played has been, and nothing more comes of it."""
        if cue is None:
            return self.seen.has_ended or self._is_late()
        return self.until is not None and cue.entry > self.until

    async def _go_live(self) -> None:
        self.is_live = True
        self._gone_live.set()
        self._cues.release()
        while not self.seen.has_ended:
            await self.seen.look()
            await anyio.sleep(QUIET_SECONDS)

    def _elapsed(self) -> float:
        """Of the recorded time, as far as the replay's speed has come; all of it without one."""
        real = anyio.current_time() - self.seen.began
        return float("inf") if self.speed is None else real * self.speed

    def _is_late(self) -> bool:
        patience = LATER_PATIENCE_SECONDS if self._is_apart else PATIENCE_SECONDS
        return self.seen.quiet_seconds > patience

    async def _advance(self, cue: Cue) -> bool:
        """Whether something happened."""
        if cue.kind == "decision":
            cue.is_done = self.seen.has(cue)
            return cue.is_done
        if cue.word is not None:
            cue.is_done = True
            await self.say(cue.word)
            return True
        if not cue.has_come or cue.is_given:
            return False
        if self.step is not None and cue.kind == "answer":
            await self.step(f"{cue.what} of {cue.who}")
        cue.give()
        # An answer is done when its agent has gone on with it.
        cue.is_done = cue.kind == "turn"
        return True

    def _pass_over(self, cue: Cue) -> None:
        """Time alone may bring it; else it does not come, nor do others that follow from it."""
        self.seen.move()
        if self._is_brought_by_time(cue):
            return
        self._leave_out(cue)
        while self._is_apart and (follows := self._cues.next()) and not follows.has_come:
            if self._comes_of_itself(follows):
                break
            self._leave_out(follows)
        self._is_apart = True

    def _is_brought_by_time(self, cue: Cue) -> bool:
        """Whether the clock was put forward for it."""
        seconds = cue.at - (self.seen.moved - self.seen.began + self._put_forward)
        if cue.has_come or cue.kind not in ("decision", "turn"):
            return False
        if seconds <= 0:
            if cue.kind == "turn" or self._is_apart or cue.looks >= LOOKS_MAX:
                return False
            cue.looks += 1
            seconds = REST_SECONDS
        self._put_forward += seconds
        self.forward(seconds)
        return True

    def _comes_of_itself(self, cue: Cue) -> bool:
        return cue.kind == "word" or (cue.kind == "decision" and self.seen.has(cue))

    def _leave_out(self, cue: Cue) -> None:
        cue.leave_out()
        if cue.kind == "answer" and not cue.has_come:
            self._note("call", f"call {cue.what} ({cue.who})", "made", "not made")

    def _note(self, kind: Kind, where: str, recorded: str, seen: str) -> None:
        if sum(one.kind == kind for one in self.differences) < DIFFERENCES_MAX:
            self.differences.append(Difference(kind, where, recorded, seen))

    # --- turns --------------------------------------------------------------------------------

    async def take_turn(self, world: World, resident: Resident) -> None:
        """A turn, begun no sooner than it began then."""
        await self.seen.look()
        who = self.seen.labels.of(resident.agent.id)
        playing = self._playing_of(resident.agent.id)
        await self._begin_turn(who, playing, resident)
        playing.place = None
        try:
            await take_turn(world, resident)
        finally:
            self._go_on(playing)

    async def _begin_turn(self, who: str, playing: _Playing, resident: Resident) -> None:
        """At its cue, with as many messages as it had then. One that the record does not have, for
        it called nothing, begins once no answer is under way.
        """
        cue = self._cues.turns.get((who, playing.turn + 1))
        if cue is None:
            await self._wait_until(self._is_lull)
            return
        await self._wait_for(cue)
        first = self._find(who, playing.turn + 1, 0)
        if first is not None and first.mail and not self.is_live:
            await self._take_mail(resident, first.mail)

    async def _take_mail(self, resident: Resident, count: int) -> None:
        if not resident.batch:
            await self._wait_until(lambda: len(resident.mailbox or ()) >= count)
            resident.batch = _positions(resident, count)

    async def _wait_for(self, cue: Cue) -> None:
        if not self.is_live:
            cue.has_come = True
            self.seen.move()
            await cue.is_over.wait()

    async def _wait_until(self, claim: Callable[[], bool]) -> None:
        """A short while at most."""
        with anyio.move_on_after(LULL_SECONDS):
            while not (claim() or self.is_live):  # noqa: ASYNC110 - nobody would set an event
                await anyio.sleep(_LOOK_SECONDS)

    def _is_lull(self) -> bool:
        cue = self._cues.next()
        is_idle = cue is None or cue.kind == "decision"
        return is_idle and self.seen.quiet_seconds > QUIET_SECONDS

    def _go_on(self, playing: _Playing) -> None:
        if playing.under_way is not None:
            playing.under_way.is_done = True
            playing.under_way = None
            self.seen.move()

    def _playing_of(self, id: str) -> _Playing:
        return self._playing.setdefault(self.seen.labels.of(id), _Playing())

    def _find(self, who: str, turn: int, number: int) -> RecordedCall | None:
        turns = self.script.turns.get(who, [])
        calls = turns[turn] if 0 <= turn < len(turns) else []
        return calls[number] if number < len(calls) else None

    # --- calls --------------------------------------------------------------------------------

    def amounts(self, id: str) -> Mapping[str, int] | None:
        """What the next call of an agent reserved then, or used where that is not known. `None`
        where the record has no further one, for there was no budget for it.
        """
        who = self.seen.labels.of(id)
        call = self._find(who, *self._playing_of(id).next)
        if call is not None:
            return {**call.used, **self.script.reserves.get((call.agent, call.place), {})}
        return None if self._was_broke(who) else {}

    def _was_broke(self, who: str) -> bool:
        """Whether it, or the mission for a seat's call, had no budget left then."""
        labels, refused = self.script.labels, self.script.decisions
        return any(
            one.data.get("rule") in NO_MONEY and subject_of(one, labels) in (who, "the board")
            for one in refused
        )

    def played(
        self, agent: Agent, begin: Begin, given: Any, effect: Effect, lost: Lost | None
    ) -> tuple[Effect, Lost | None]:
        """As `recording.Replay`."""
        if self.is_live:
            return effect, lost
        who, playing = self.seen.labels.of(agent.id), self._playing_of(agent.id)
        self._go_on(playing)
        place = (agent.incarnation, begin.turn)
        if playing.place != place:
            playing.turn, playing.call, playing.place = playing.turn + 1, 0, place
        at = (who, playing.turn, playing.call)
        call, playing.call = self._find(*at), playing.call + 1
        if call is None:
            return (lambda: self._answer_unknown(who, begin, effect)), lost
        self._compare_question(who, call, given)
        cue = self._cues.answers.get(at)
        if cue is None:
            return (lambda: self._stay_cut(begin, effect)), lambda: _used(call, begin, "")

        async def play() -> tuple[str, Used]:
            done = await self._do(begin, effect)
            await self._wait_for(cue)
            if not cue.is_given:
                return await effect()
            playing.under_way = cue
            return self._answer(who, call, begin, done)

        return play, lost

    async def _stay_cut(self, begin: Begin, effect: Effect) -> tuple[str, Used]:
        """It was cut off then: nobody answers it but a fork."""
        await self._do(begin, effect)
        await self._gone_live.wait()
        return await effect()

    async def _do(self, begin: Begin, effect: Effect) -> str | None:
        """What a model's call begins with, and what a function writes: the rest of what was done
        is in the record.
        """
        if begin.kind == MODEL_CALL:
            with suppress(AnsweredByRecordError):
                await effect()
            return None
        return (await effect())[0] if BUILT_IN[begin.kind].effect == "writes" else None

    def _answer(
        self, who: str, call: RecordedCall, begin: Begin, done: str | None
    ) -> tuple[str, Used]:
        """As it was recorded, with this run's ids; `done` is what it did in this run."""
        text = self.script.labels.translated(call.text or "", self.seen.labels)
        labels = self.seen.labels
        before, now = labels.neutral(text), labels.neutral(text if done is None else done)
        if before != now:
            where = f"call {call.name} ({who}, {call.what}): what it did"
            self._note("answer", where, *from_first(before, now))
        return text, _used(call, begin, text)

    async def _answer_unknown(self, who: str, begin: Begin, effect: Effect) -> tuple[str, Used]:
        """A call that the record does not have: nobody answers it but a fork."""
        if not self._has_asked and not self.is_fork:
            what = "model" if begin.kind == MODEL_CALL else begin.kind
            self._note("call", f"a call of {who} ({what})", "not made", "made")
        self._has_asked = True
        await self._gone_live.wait()
        return await effect()

    def _compare_question(self, who: str, call: RecordedCall, given: Any) -> None:
        if call.given is None:
            return
        found = first_line(call.given, self.script.labels, given, self.seen.labels)
        if found is not None:
            where = f"call {call.name} ({who}, {call.what}): what it was asked"
            self._note("question", where, *found)


def _used(call: RecordedCall, begin: Begin, text: str) -> Used:
    """As it was settled, of each kind that is reserved."""
    amounts = {kind: call.used.get(kind, 0) for kind in begin.amounts} | dict(call.used)
    files: tuple[str, ...] = ()
    if call.kind == "function" and text:
        files = files_in(json.loads(text))
    return Used(amounts, call.is_assumed, call.is_ok, files, cached=call.cached)


def _positions(resident: Resident, count: int) -> dict[Channel, StreamId]:
    """Up to the so-manieth message that waits."""
    taken = {message.channel: message.id for message in (resident.mailbox or [])[:count]}
    return {**resident.seen, **taken}
