"""A recorded mission played again: its calls are answered from the record, in the order in which
things ended then.

What is played is one row of cues: a turn that begins, an answer, a decision of the supervisor, a
person's word. The first that has not happened is waited for, and no later answer is given before
it; so what depends on who was first falls as it fell then. A cue that does not come is passed over
after a while, and told as a difference: a replay ends whatever happens.

Times are counted from the docketing of the mission. Where a decision is waited for that time alone
brings (a silent seat, a deadline), the replay's clock is put forward to it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio

from swarmd.core.journal.replay import link_of
from swarmd.core.journal.sameness import (
    Difference,
    changed_answers,
    excerpt,
    first_line,
    from_first,
    subject_of,
)
from swarmd.core.journal.script import Decision, Labels, RecordedCall, Script, decisions_of
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import FIRST, Channel, StreamId
from swarmd.core.model.refusals import NO_MONEY
from swarmd.ports.stores import Begin, SupervisorStore, Used
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.recording import MODEL_CALL, Effect, Lost
from swarmd.runtime.turn.functions import files_in
from swarmd.runtime.turn.turn import take_turn
from swarmd.runtime.turn.world import World

# A cue that does not come is passed over after so long. The supervisor's sweep takes a second, and
# a lost ring costs one more.
PATIENCE_SECONDS: Final = 3.0
# Once a cue was passed over, others that follow from it will not come either.
LATER_PATIENCE_SECONDS: Final = 0.3
# What a turn waits for beside its cue: mail that is on its way, others that go first.
LULL_SECONDS: Final = 1.0
# So long nothing has happened where no answer is under way.
QUIET_SECONDS: Final = 0.1
# Between two looks at the replay's journal.
_LOOK_SECONDS: Final = 0.002
_ENTRIES_AT_ONCE: Final = 1_000
# Of each kind so many differences are told: most that follow from the first say nothing new.
DIFFERENCES_MAX: Final = 5

Step = Callable[[str], Awaitable[None]]


class AnsweredByRecordError(Exception):
    """A recorded model's: the answer is in the record."""


@dataclass(slots=True)
class Cue:
    """One thing that happened then, so many seconds after the mission was docketed."""

    at: float
    kind: Literal["turn", "answer", "decision", "word"]
    who: str  # the label of an agent, or of whose decision it was
    what: str  # in words
    entry: int = 0  # of a decision
    number: int = 0  # of a decision: the so-manieth of its event and subject
    word: RecordedCall | None = None
    is_done: bool = False
    has_come: bool = False  # somebody waits for it to be given
    given: anyio.Event = field(default_factory=anyio.Event)


@dataclass(slots=True)
class _Playing:
    """Where an agent stands in its recorded turns."""

    turn: int = -1
    call: int = 0
    place: tuple[int, int] = (0, 0)
    under_way: Cue | None = None  # an answer that was given, until the agent goes on


@dataclass(slots=True)
class Player:
    """`speed`: so many times as fast as it was; without it as fast as it goes. With `until` it
    stops when that entry of the record's journal was reached. `step` is asked before each answer.
    `forward` puts the clock forward by seconds, and `say` posts a person's word.
    """

    script: Script
    store: SupervisorStore
    forward: Callable[[float], None]
    say: Callable[[RecordedCall], Awaitable[None]]
    speed: float | None = None
    until: int | None = None
    step: Step | None = None
    live: Callable[[], None] | None = None  # told where a fork begins; without it there is none
    seen: list[Decision] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    is_live: bool = False
    reached: bool = False  # all that was to be played was played or passed over
    labels: Labels = field(init=False)
    _cues: list[Cue] = field(init=False)
    _at: int = 0  # the first cue that may not be done
    _answers: dict[tuple[str, int, int], Cue] = field(default_factory=dict)
    _turns: dict[tuple[str, int], Cue] = field(default_factory=dict)
    _playing: dict[str, _Playing] = field(default_factory=dict)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _after: StreamId = FIRST
    _zero: float = 0.0  # of the event loop's clock, when the mission was docketed
    _put_forward: float = 0.0
    _moved: float = 0.0  # when something last happened
    _gone_live: anyio.Event = field(default_factory=anyio.Event)
    _looking: anyio.Lock = field(default_factory=anyio.Lock)
    _is_apart: bool = False  # a cue was passed over
    _asked: int = 0  # calls that the record does not have

    def __post_init__(self) -> None:
        self.labels = Labels(self.script.mission)
        self._cues = sorted(self._make_cues(), key=lambda cue: (cue.at, cue.kind != "turn"))
        self.differences += changed_answers(self.script)

    # --- the cues -----------------------------------------------------------------------------

    def _make_cues(self) -> Iterator[Cue]:
        script, began = self.script, self.script.began
        for who, turns in script.turns.items():
            for number, calls in enumerate(turns):
                self._turns[who, number] = turn = Cue(calls[0].began - began, "turn", who, "a turn")
                yield turn
                yield from self._answer_cues(who, number, calls)
        counts = Counter[tuple[str, str]]()
        for one in script.decisions:
            key = (one.event, subject_of(one, script.labels))
            counts[key] += 1
            what = f"{one.event}: {script.labels.in_words(one.text)}"
            yield Cue(one.at - began, "decision", key[1], what, one.n, counts[key])
        for word in script.words:
            # What an agent was told is recorded when it takes it up.
            what = f"the operator's word: {excerpt(word.text or '')}"
            yield Cue(word.began - began, "word", "operator", what, word=word)

    def _answer_cues(self, who: str, turn: int, calls: Sequence[RecordedCall]) -> Iterator[Cue]:
        for number, call in enumerate(calls):
            # One that was cut off ends with its agent's turn, whenever that is.
            if call.text is not None:
                cue = Cue(call.ended - self.script.began, "answer", who, call.name)
                self._answers[who, turn, number] = cue
                yield cue

    # --- driving ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until all was played or passed over, and the mission has ended or stands still."""
        self._zero = self._moved = anyio.current_time()
        while not self.reached:
            await self.look()
            cue = self._next_cue()
            if cue is None or (self.until is not None and cue.entry > self.until):
                self.reached = self._has_stopped(cue)
            elif self._is_due(cue) and await self._give(cue):
                self._moved = anyio.current_time()
                continue
            elif self._is_late():
                self._pass_over(cue)
            await anyio.sleep(_LOOK_SECONDS)

    def _next_cue(self) -> Cue | None:
        while self._at < len(self._cues) and self._cues[self._at].is_done:
            self._at += 1
        return self._cues[self._at] if self._at < len(self._cues) else None

    def _has_stopped(self, cue: Cue | None) -> bool:
        """All is played: whether to wait for the end of the mission any longer."""
        if cue is None and not self.has_ended and not self._is_late():
            return False
        if self.live is None:
            return True
        self.is_live = True
        self._gone_live.set()
        self.live()
        for other in self._cues:
            other.given.set()
        return True

    @property
    def has_ended(self) -> bool:
        ends = (JournalEvent.MISSION_ENDED, JournalEvent.MISSION_REJECTED)
        return any(one.event in ends for one in self.seen)

    def _elapsed(self) -> float:
        """Of the recorded time, as far as the replay's speed has come; all of it without one."""
        real = anyio.current_time() - self._zero
        return float("inf") if self.speed is None else real * self.speed

    def _is_due(self, cue: Cue) -> bool:
        return self._elapsed() >= cue.at

    def _is_late(self) -> bool:
        patience = LATER_PATIENCE_SECONDS if self._is_apart else PATIENCE_SECONDS
        return anyio.current_time() - self._moved > patience

    async def _give(self, cue: Cue) -> bool:
        """Whether something happened."""
        match cue.kind:
            case "decision":
                cue.is_done = self._is_made(cue)
            case "word":
                assert cue.word is not None
                await self.say(cue.word)
                cue.is_done = True
            case "turn" | "answer":
                if not cue.has_come or cue.given.is_set():
                    return False
                if self.step is not None and cue.kind == "answer":
                    await self.step(f"{cue.what} of {cue.who}")
                cue.given.set()
                # An answer is done when its agent has gone on with it.
                cue.is_done = cue.kind == "turn"
                return True
        return cue.is_done

    def _pass_over(self, cue: Cue) -> None:
        """Time alone may bring it; else it does not come, nor do others that follow from it."""
        self._moved = anyio.current_time()
        now = self._moved - self._zero + self._put_forward
        if cue.kind == "decision" and cue.at > now:
            self.forward(cue.at - now)
            self._put_forward += cue.at - now
            return
        self._leave_out(cue)
        while self._is_apart and (follows := self._next_cue()) and not follows.has_come:
            if follows.kind == "word" or self._is_made(follows):
                break
            self._leave_out(follows)
        self._is_apart = True

    def _leave_out(self, cue: Cue) -> None:
        cue.is_done = True
        cue.given.set()
        if cue.kind == "answer" and not cue.has_come:
            self._note(Difference("call", f"call {cue.what} ({cue.who})", "made", "not made"))

    def _is_made(self, cue: Cue) -> bool:
        """Of a decision: whether it was made in this run, too."""
        event = cue.what.partition(":")[0]
        return cue.kind == "decision" and self._counts[event, cue.who] >= cue.number

    def _note(self, difference: Difference) -> None:
        of_kind = sum(one.kind == difference.kind for one in self.differences)
        if of_kind < DIFFERENCES_MAX:
            self.differences.append(difference)

    async def look(self) -> None:
        """Reads on in the replay's journal."""
        async with self._looking:
            while entries := await self.store.read_journal(self._after, _ENTRIES_AT_ONCE):
                self._after = entries[-1][0]
                links = [link for id, line in entries if (link := link_of(id, line)) is not None]
                for one in decisions_of(links, self.script.mission):
                    self._take(one)

    def _take(self, one: Decision) -> None:
        self._moved = anyio.current_time()
        if not self.seen:
            self._zero = self._moved
        self.labels.take(one)
        self.seen.append(one)
        self._counts[one.event, subject_of(one, self.labels)] += 1

    # --- turns and their calls ----------------------------------------------------------------

    async def take_turn(self, world: World, resident: Resident) -> None:
        """A turn, begun no sooner than it began then."""
        who = await self._label_of(resident.agent)
        playing = self._playing.setdefault(who, _Playing())
        await self._begin_turn(who, playing, resident)
        try:
            await take_turn(world, resident)
        finally:
            self._go_on(playing)

    async def _begin_turn(self, who: str, playing: _Playing, resident: Resident) -> None:
        """At its cue, with as many messages as it had then. One that the record does not have, for
        it called nothing, begins once no answer is under way.
        """
        cue = self._turns.get((who, playing.turn + 1))
        if cue is None:
            await self._wait_until(self._is_lull)
        await self._wait_for(cue)
        first = self._find(who, playing.turn + 1, 0)
        if first is not None and first.mail and not resident.batch and not self.is_live:
            await self._wait_until(lambda: len(resident.mailbox or ()) >= first.mail)
            resident.batch = _positions(resident, first.mail)
        playing.place = (0, 0)

    async def _wait_until(self, claim: Callable[[], bool]) -> None:
        """No longer than a cue is waited for."""
        with anyio.move_on_after(LULL_SECONDS):
            while not claim():  # noqa: ASYNC110 - it is seen by nobody else
                await anyio.sleep(_LOOK_SECONDS)

    def _is_lull(self) -> bool:
        cue, quiet = self._next_cue(), anyio.current_time() - self._moved
        return (cue is None or cue.kind == "decision") and quiet > QUIET_SECONDS

    async def _label_of(self, agent: Agent) -> str:
        await self.look()
        return self.labels.of(agent.id)

    async def _wait_for(self, cue: Cue | None) -> None:
        if cue is not None and not self.is_live:
            cue.has_come = True
            self._moved = anyio.current_time()
            await cue.given.wait()

    def _go_on(self, playing: _Playing) -> None:
        if playing.under_way is not None:
            playing.under_way.is_done = True
            playing.under_way = None
            self._moved = anyio.current_time()

    def amounts(self, id: str) -> Mapping[str, int] | None:
        """What the next call of an agent reserved then, or used where that is not known. `None`
        where the record has no further one, for there was no budget for it.
        """
        who = self.labels.of(id)
        playing = self._playing.setdefault(who, _Playing())
        is_begun = playing.place != (0, 0)
        turn, number = (playing.turn, playing.call) if is_begun else (playing.turn + 1, 0)
        call = self._find(who, turn, number)
        if call is not None:
            return {**call.used, **self.script.reserves.get((call.agent, call.place), {})}
        return None if self._was_broke(who) else {}

    def _was_broke(self, who: str) -> bool:
        """Whether it, or the mission for a seat's call, had no budget left then."""
        return any(
            one.data.get("rule") in NO_MONEY
            and (subject_of(one, self.script.labels) in (who, "the board"))
            for one in self.script.decisions
        )

    def _find(self, who: str, turn: int, number: int) -> RecordedCall | None:
        turns = self.script.turns.get(who, [])
        calls = turns[turn] if 0 <= turn < len(turns) else []
        return calls[number] if number < len(calls) else None

    def played(
        self, agent: Agent, begin: Begin, given: Any, effect: Effect, lost: Lost | None
    ) -> tuple[Effect, Lost | None]:
        """As `recording.Replay`."""
        if self.is_live:
            return effect, lost
        who = self.labels.of(agent.id)
        playing = self._playing.setdefault(who, _Playing())
        self._go_on(playing)
        place = (agent.incarnation, begin.turn)
        if playing.place != place:
            playing.turn, playing.call, playing.place = playing.turn + 1, 0, place
        at = (who, playing.turn, playing.call)
        call, playing.call = self._find(*at), playing.call + 1

        async def play() -> tuple[str, Used]:
            if call is None:
                return await self._answer_unknown(who, begin, given, effect)
            self._compare_question(who, call, given)
            done = await self._do(begin, effect)
            cue = self._answers.get(at)
            if cue is None or call.text is None:
                await anyio.sleep_forever()
            await self._wait_for(cue)
            playing.under_way = cue
            text = self.script.labels.translated(call.text or "", self.labels)
            self._compare_result(who, call, text, done)
            return text, _used(call, begin, text)

        is_cut = call is not None and call.text is None
        return play, (lambda: _used(call, begin, "")) if is_cut and call else lost

    async def _do(self, begin: Begin, effect: Effect) -> str | None:
        """What a model's call begins with, and what a function writes: the rest of what was done
        is in the record.
        """
        if begin.kind == MODEL_CALL:
            with suppress(AnsweredByRecordError):
                await effect()
            return None
        return (await effect())[0] if BUILT_IN[begin.kind].effect == "writes" else None

    async def _answer_unknown(
        self, who: str, begin: Begin, given: Any, effect: Effect
    ) -> tuple[str, Used]:
        """A call that the record does not have: nobody answers it, but a fork."""
        if not self._asked:
            what = "model" if begin.kind == MODEL_CALL else begin.kind
            self._note(Difference("call", f"a call of {who} ({what})", "not made", "made"))
        self._asked += 1
        await self._gone_live.wait()
        return await effect()

    def _compare_question(self, who: str, call: RecordedCall, given: Any) -> None:
        if call.given is None:
            return
        found = first_line(call.given, self.script.labels, given, self.labels)
        if found is not None:
            where = f"call {call.name} ({who}, {call.what}): what it was asked"
            self._note(Difference("question", where, *found))

    def _compare_result(self, who: str, call: RecordedCall, text: str, done: str | None) -> None:
        before, now = self.labels.neutral(text), self.labels.neutral(done or text)
        if before != now:
            where = f"call {call.name} ({who}, {call.what}): what it did"
            self._note(Difference("answer", where, *from_first(before, now)))


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
