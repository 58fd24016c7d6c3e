"""One thought: attempts at a model, each begun, charged and ended, until one gives usable moves.

What the world did wrong is repeated as it was; what the model did wrong is given back to it as a
correction. Both are bounded; past the bound the thought fails, and with it the agent, not the
swarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio
import structlog

from swarmd.core.ledger.calls import (
    Planned,
    Room,
    Sizes,
    calls_left,
    kept_for_report,
    least_room,
    note_of_budget,
    plan_call,
)
from swarmd.core.model.declarations import Provider
from swarmd.core.model.exchange import MoveCall
from swarmd.core.model.moves import MOVE, Move
from swarmd.core.model.privileges import MODEL
from swarmd.core.model.refusals import Rule
from swarmd.log_events import LogEvent
from swarmd.ports.models import NOTHING, Answered, Failed, Model, Prompt, Usage
from swarmd.ports.stores import Short, Used
from swarmd.runtime.turn.step_journal import (
    THOUGHT,
    Journal,
    NotAllowedError,
    Reserve,
    ShortError,
)

log = structlog.get_logger(__name__)

# Between attempts, where the provider did not say: doubled each time, up to the last.
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
# After a 429 that does not say: a rate window is a minute, and all attempts within a part of one
# are one.
_RATE_LIMITED_SECONDS: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
# What a provider asks for is obeyed up to this: a turn must not sleep for an hour in its name.
_RETRY_AFTER_MAX: Final = 60.0
# Forms of a request that one call may find out not to be taken: a model has fewer than this.
_FORMS_MAX: Final = 12
# Between two looks at an account of which calls under way hold what the next one needs.
_HELD_SECONDS: Final = 1.0
REPORT: Final = "report"  # the one move of an agent's last call
_FINAL: Final = ("rejected",)
_OF_THE_MODEL: Final = ("malformed", "refused", "length")
# Answers of one thought that may be cut at their limit: at the role's, then twice at the double.
# What is longer than that and was told so twice will not be shorter.
_CUTS_MAX: Final = 3


class ThoughtFailedError(Exception):
    """No usable answer within the bounds. `rule` is set where the law said no to a further
    attempt; `is_of_the_model` where the model answered, and each time with what is no answer.
    """

    def __init__(
        self, detail: str, rule: Rule | None = None, *, is_of_the_model: bool = False
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.rule = rule
        self.is_of_the_model = is_of_the_model


@dataclass(slots=True)
class _Tried:
    """What was tried for one thought, and what came of it."""

    corrections: list[Mapping[str, Any]] = field(default_factory=list)
    failures: int = 0
    forms: int = 0
    cuts: int = 0  # answers that reached their limit
    is_to_wait: bool = False
    _may_stretch: bool = True

    def asked(self, prompt: Prompt) -> Prompt:
        return replace(prompt, is_stretched=True) if self._is_stretched else prompt

    def correct(self, outcome: Failed) -> None:
        self.cuts += outcome.why == "length"
        calls = [[call.name, call.arguments] for call in outcome.calls]
        correction = {"correction": outcome.detail, "said": outcome.text}
        self.corrections.append({**correction, "calls": calls} if calls else correction)

    def give_up_stretching(self) -> bool:
        """Whether it was the larger limit that was turned away: the usual one is then sent."""
        was_stretched = self._is_stretched
        self._may_stretch = False
        return was_stretched

    @property
    def _is_stretched(self) -> bool:
        return self.cuts > 0 and self._may_stretch


@dataclass(slots=True)
class Mind:
    """A model with the patience that its provider's settings declare."""

    model: Model
    provider: Provider
    sleep: Callable[[float], Any] = anyio.sleep

    async def think(
        self,
        journal: Journal,
        prompt: Callable[[Sequence[Mapping[str, Any]]], Prompt],
        keep: Callable[[str], None] = lambda _: None,
    ) -> tuple[tuple[Move, ...], list[Mapping[str, Any]]]:
        """Moves, and the corrections that it took. `prompt` renders the turn with those so far,
        and `keep` is given what the provider wants back with the answer.
        """
        tried = _Tried()
        while True:
            outcome = await self._attempt(journal, tried.asked(prompt(tried.corrections)))
            # A provider's failure uses up no thought: the bound is for what the model makes of its
            # turn, and the request that follows is the same but for the calls still to be paid.
            journal.thoughts_done += _is_answer(outcome)
            if isinstance(outcome, Answered):
                keep(outcome.thread)
                return outcome.moves, tried.corrections
            if not self._may_go_on(tried, outcome):
                detail = f"{self.model.name}: {outcome.why}: {outcome.detail}"
                is_of_the_model = outcome.why in _OF_THE_MODEL
                raise ThoughtFailedError(detail, is_of_the_model=is_of_the_model)
            if tried.is_to_wait:
                await self._wait(tried.failures, outcome)

    def _may_go_on(self, tried: _Tried, outcome: Failed) -> bool:
        """Whether another attempt is within the bounds, and what it is to be."""
        tried.is_to_wait = False
        if outcome.why in _FINAL:
            return tried.give_up_stretching()
        if outcome.why in _OF_THE_MODEL:
            tried.correct(outcome)
            is_too_often = len(tried.corrections) > self.provider.corrections_max
            return not is_too_often and tried.cuts < _CUTS_MAX
        if outcome.why == "unsupported" and tried.forms < _FORMS_MAX:
            tried.forms += 1
            return True
        tried.failures += 1
        tried.is_to_wait = True
        return tried.failures < self.provider.attempts_max

    async def _wait(self, failures: int, outcome: Failed) -> None:
        # "At once" is believed once: who says it again and again does not count.
        if outcome.retry_after is not None and (outcome.retry_after > 0 or failures == 1):
            seconds = min(outcome.retry_after, _RETRY_AFTER_MAX)
        else:
            steps = _RATE_LIMITED_SECONDS if outcome.why == "rate_limited" else _BACKOFF_SECONDS
            seconds = steps[min(failures, len(steps)) - 1]
        log.info(LogEvent.CALL_REPEATED, model=self.model.name, why=outcome.why, seconds=seconds)
        await self.sleep(seconds)

    async def _attempt(self, journal: Journal, prompt: Prompt) -> Answered | Failed:
        """With room for the longest answer, or for as long a one as can be paid, a report kept back
        behind it; else as the last one.
        """
        asked = prompt
        for asked, keep in self._ways(journal, prompt):
            outcome = await self._attempt_within(journal, asked, keep)
            if outcome is not None:
                return outcome
        # Not even that: the refusal is recorded, and says what is missing.
        shortest = _in_room(asked, least_room(asked.output_tokens_max))
        reserve = Reserve(_amounts(self.model.bound(shortest)))
        return await self._attempt_as(journal, shortest, reserve)

    async def _attempt_within(
        self, journal: Journal, asked: Prompt, keep: Mapping[str, int]
    ) -> Answered | Failed | None:
        """As it can be paid with so much kept back, or `None` where it cannot."""
        # The same step each time: a successor has to find one of them there, whichever it was.
        step, given_up = journal.step, journal.given_up
        sizes, wanted = _sizes_of(self.model, asked), Room(asked.output_tokens_max)
        longest = Planned(wanted, sizes.strict(wanted), {})
        planned, seconds = longest, 0.0
        while seconds < self.provider.total_seconds:
            reserve = Reserve(planned.own, planned.lent, keep)
            cut = _in_room(asked, planned.room)
            try:
                return await self._attempt_as(journal, cut, reserve)
            except ShortError as error:
                journal.step, journal.given_up, short = step, given_up, error.short
            journal.free |= short.free
            found = _planned(asked, sizes, short, keep)
            if found is None and not _is_held(journal, asked, sizes, short, keep):
                return None
            if found is None or found == planned:
                # Calls under way hold what is missing, and give back most of it as they end.
                await self.sleep(_HELD_SECONDS)
                seconds += _HELD_SECONDS
            planned = found or longest
        return None

    def _ways(self, journal: Journal, prompt: Prompt) -> Iterator[tuple[Prompt, Mapping[str, int]]]:
        """How it may be asked, and what has to stay free behind it. With the doubled limit or not
        at all; with the usual one, or a part of it; as the agent's last call.
        """
        usual = replace(prompt, is_stretched=False) if prompt.is_stretched else prompt
        # A seat reports to nobody, and what its mission has left it is told elsewhere. A report
        # that is asked for is the one that would be kept back.
        if not journal.lender or prompt.allowed == (REPORT,):
            yield prompt, {}
            if prompt.is_stretched:
                yield usual, {}
            return
        # Behind this one a last report is kept back, be it a short one.
        keep = kept_for_report(_sizes_of(self.model, usual), prompt.output_tokens_max)
        calls = max(2, calls_left(_amounts(self.model.expected(usual)), journal.free))
        note = note_of_budget(calls, is_last=False)
        yield _with_note(prompt, note), keep
        if prompt.is_stretched:
            yield _with_note(usual, note), keep
        yield _with_note(usual.asking_for(REPORT), note_of_budget(1, is_last=True)), {}

    async def _attempt_as(
        self, journal: Journal, prompt: Prompt, asked: Reserve
    ) -> Answered | Failed:
        bound, lost = self.model.bound(prompt), NOTHING
        outcome: Answered | Failed | None = None
        reserve = _amounts(bound)

        def sending() -> None:
            nonlocal lost
            journal.lead.check()
            journal.sending()
            lost = replace(bound, is_assumed=True)

        async def effect() -> tuple[str, Used]:
            nonlocal outcome
            outcome = await self.model.attempt(prompt, sending)
            used = _used(outcome.usage, reserve)
            is_ok, more = isinstance(outcome, Answered), _for_record(outcome)
            return _as_text(outcome), replace(used, is_ok=is_ok, more=more)

        try:
            text = await journal.call(
                THOUGHT,
                effect,
                reserve=asked,
                lost=lambda: _used(lost, reserve),
                privileges=(MODEL.path(self.model.name),),
                within_seconds=self.provider.total_seconds,
                given=[self.model.name, prompt.shared, prompt.persona, _said_in(prompt)],
            )
        except NotAllowedError as no:
            if no.rule in (Rule.PRIVILEGE_USE, Rule.PRIVILEGE_REVOKED):
                raise ThoughtFailedError(no.detail, no.rule) from no
            raise
        # What was answered here need not be read back.
        return outcome or _of_text(text)


def _sizes_of(model: Model, prompt: Prompt) -> Sizes:
    return Sizes(
        strict=lambda room: _amounts(model.bound(_in_room(prompt, room))),
        expected=lambda room: _amounts(model.expected(_in_room(prompt, room))),
    )


def _planned(asked: Prompt, sizes: Sizes, short: Short, keep: Mapping[str, int]) -> Planned | None:
    """The call as it can be paid. A doubled limit is not halved: there is the usual one."""
    found = plan_call(sizes, asked.output_tokens_max, short.free, short.lendable, keep)
    is_cut = found is not None and found.room != Room(asked.output_tokens_max)
    return None if is_cut and asked.is_stretched else found


def _is_held(
    journal: Journal, asked: Prompt, sizes: Sizes, short: Short, keep: Mapping[str, int]
) -> bool:
    """Would there be enough if the calls under way took nothing? For a doubled limit nobody waits:
    there is the usual one.
    """
    if asked.is_stretched:
        return False
    free, lendable = dict(short.free), dict(short.lendable)
    back = lendable if journal.lender else free
    for kind, n in short.held.items():
        back[kind] = back.get(kind, 0) + n
    return _planned(asked, sizes, Short(free, lendable), keep) is not None


def _in_room(prompt: Prompt, room: Room) -> Prompt:
    """The same object where nothing changes: what encodes it for a provider knows it by that."""
    if room == Room(prompt.output_tokens_max, prompt.thoughts_percent):
        return prompt
    return replace(prompt, output_tokens_max=room.text, thoughts_percent=room.thoughts_percent)


def _with_note(prompt: Prompt, note: str) -> Prompt:
    """Said behind all else, so that all before it stays as it was in the last call."""
    return replace(prompt, reminder=f"{prompt.reminder}\n{note}".strip())


def _is_answer(outcome: Answered | Failed) -> bool:
    """Whether the model itself was heard, be it with what is no use."""
    return isinstance(outcome, Answered) or outcome.why in _OF_THE_MODEL


def _said_in(prompt: Prompt) -> list[list[str]]:
    return [[piece.side, piece.text] for piece in prompt.pieces]


def _amounts(usage: Usage) -> dict[str, int]:
    """What the ledger counts of it. A cost that is not known is no amount, and its tokens are
    then unpriced.
    """
    known = {} if usage.cost is None else {"cost": usage.cost}
    return {"tokens": usage.tokens, "calls": usage.calls, **known}


def _used(usage: Usage, reserve: Mapping[str, int]) -> Used:
    """Of each kind that was reserved, for each is given back or settled."""
    amounts = _amounts(usage)
    of_each = {kind: amounts.get(kind, 0) for kind in reserve}
    return Used(of_each, usage.is_assumed, cached=usage.cached)


def _for_record(outcome: Answered | Failed) -> dict[str, Any]:
    """What the ledger does not ask for and people do."""
    usage = outcome.usage
    counted = {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out}
    counted |= {"cached": usage.cached} if usage.cached else {}
    return counted | ({"wrote": outcome.text} if outcome.text else {})


def _as_text(outcome: Answered | Failed) -> str:
    if isinstance(outcome, Answered):
        moves = [move.model_dump(mode="json") for move in outcome.moves]
        return json.dumps(
            {"moves": moves, "thread": outcome.thread} if outcome.thread else {"moves": moves}
        )
    return json.dumps(
        {
            "why": outcome.why,
            "detail": outcome.detail,
            "after": outcome.retry_after,
            "said": outcome.text,
            "calls": [[call.name, call.arguments] for call in outcome.calls],
        }
    )


def _of_text(text: str) -> Answered | Failed:
    """An attempt as the step journal keeps it: a successor goes on with the same outcome,
    unpaid.
    """
    found = json.loads(text)
    if "moves" in found:
        moves = tuple(MOVE.validate_python(move) for move in found["moves"])
        return Answered(moves, NOTHING, thread=found.get("thread", ""))
    return replace(
        Failed(found["why"], found["detail"], NOTHING),
        retry_after=found["after"],
        text=found["said"],
        calls=tuple(MoveCall(name, arguments) for name, arguments in found["calls"]),
    )
