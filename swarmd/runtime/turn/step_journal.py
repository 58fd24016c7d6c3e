"""Begin → effect → end: the one way in which anything is called on behalf of an agent.

Invariant: what was begun is ended, also when the effect is cancelled or fails: then its whole
reserve is settled, marked as assumed, for what a provider was sent may have been charged; or
nothing, where nothing was sent yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio

from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.privileges import sufficient
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import FUNCTION_SECONDS, SETTLE_SECONDS
from swarmd.errors import TooLargeError
from swarmd.ports.stores import (
    LOST,
    Begin,
    EndedBefore,
    Hold,
    RefusedByStore,
    Short,
    Used,
    WorkerStore,
)
from swarmd.runtime.recording import NO_CALLS, Effect, Lost, TurnCalls

# The kind of a step that is a call of a model; all others are named by their function.
THOUGHT: Final = "model"


class NotAllowedError(Exception):
    """The store said no to a begin or a commit: the rule and its facts."""

    def __init__(self, refused: RefusedByStore) -> None:
        super().__init__(f"{refused.rule}: {refused.detail}")
        self.rule: Rule = refused.rule
        self.detail = f"{refused.detail}" if refused.detail else str(refused.rule)


class ShortError(Exception):
    """The account, or its lender, has less free than was asked for. Nothing was begun."""

    def __init__(self, short: Short) -> None:
        super().__init__(f"{dict(short.free)} free, {dict(short.lendable)} to lend")
        self.short = short


@dataclass(frozen=True, slots=True)
class Reserve:
    """What a call reserves of the account, and of its lender; `keep` must stay free behind it.

    Without `keep` nothing less can be asked for: where there is not so much, that is a refusal.
    """

    own: Mapping[str, int] = field(default_factory=dict)
    lent: Mapping[str, int] = field(default_factory=dict)
    keep: Mapping[str, int] | None = None


@dataclass(slots=True)
class Lead:
    """Until when calls may begin, as this process was told by the store. `until` is in seconds of
    the event loop's clock.

    The store is asked again at each begin. This is for calls that have begun and wait for their
    provider's pace: that may take minutes, and what was not sent when the lead ended is not sent
    before there is another one.
    """

    until: float = math.inf

    def check(self) -> None:
        """Raises `NotAllowedError` where nobody has led for longer than a lease."""
        if anyio.current_time() >= self.until:
            no = "no supervisor has led for longer than its lease, or none could be asked for"
            raise NotAllowedError(RefusedByStore(Rule.NO_LEAD, no))


@dataclass(slots=True)
class Journal:
    """The step journal of one turn. Steps count up; a repeated turn meets its earlier steps in
    order.

    What was begun, gave no result and was done again (`given_up`) counts as neither a thought nor a
    use of a function: it is no part of the turn's bounds. Which attempts at a model were thoughts
    is for whoever reads their outcome to say (`thoughts_done`).
    """

    store: WorkerStore
    hold: Hold
    turn: int
    account: str
    segments: tuple[str, ...]
    targets: tuple[str, ...]
    batch: str
    warn_percent: int
    stamp: Callable[[], str]
    doing: Callable[[str], None] = lambda _: (
        None
    )  # told which call is under way, and of its end by an empty word
    # Whose account may reserve a part of a call, and so of whom a last report is kept back; none.
    lender: str = ""
    # What the account had free when it was last asked, less what was used since.
    free: dict[str, int] = field(default_factory=dict)
    # What the account has spent, this turn's calls among it.
    spent: dict[str, int] = field(default_factory=dict)
    sending: Callable[[], None] = lambda: None  # told when a request to a model goes out
    step: int = 0
    given_up: int = 0
    lead: Lead = field(default_factory=Lead)
    thoughts_done: int = 0
    functions_done: int = 0
    calls: TurnCalls = NO_CALLS  # where they are recorded

    async def call(
        self,
        kind: str,
        effect: Effect,
        *,
        reserve: Reserve | None = None,
        lost: Lost | None = None,
        privileges: Sequence[str] = (),
        within_seconds: float = FUNCTION_SECONDS,
        may_repeat: bool = True,
        given: Any = None,
    ) -> str:
        """The effect's result, or that of a former holder of this step, which is not paid again.

        `given` is what it is called with, as JSON: the record has its digest. Where the effect is
        cancelled or fails, `lost` is asked what to settle; without it that is the whole reserve,
        assumed. What a former holder gave up is done again as a step of
        its own, or, where it may not be repeated, answered as `LOST`: nobody knows whether it was
        done. Raises `NotAllowedError` where the law says no, and `ShortError` where less can be
        asked for, before anything was done.
        """
        given, asked = self.calls.masking.value(given), reserve or Reserve()
        input = sha256(canonical(given))
        while True:
            self.step += 1
            begin = Begin(
                self.turn,
                self.step,
                kind,
                self.account,
                self.segments,
                self.targets,
                tuple(map(sufficient, privileges)),
                asked.own,
                self.batch,
                within_seconds,
                may_repeat,
                input,
                asked.keep,
                self.lender,
                asked.lent,
            )
            reply = await self.store.begin(self.hold, begin, self.stamp())
            if isinstance(reply, RefusedByStore):
                raise NotAllowedError(reply)
            if isinstance(reply, Short):
                raise ShortError(reply)
            if not isinstance(reply, EndedBefore):
                result = await self._do(begin, given, effect, lost)
                self._count(kind)
                return result
            if reply.result != LOST or not may_repeat:
                self.calls.met(begin, given, reply.result, self.stamp())
                self._count(kind)
                return reply.result
            self.given_up += 1

    def _count(self, kind: str) -> None:
        if kind != THOUGHT:
            self.functions_done += 1

    async def _do(self, begin: Begin, given: Any, effect: Effect, lost: Lost | None) -> str:
        effect, lost = self.calls.played(begin, given, effect, lost)
        is_over, ended = False, self.calls.begun(begin, given, self.stamp())
        waits: Rule | None = None
        self.doing(begin.kind)
        try:
            result, used = await effect()
            is_over = True
        except NotAllowedError as no:
            # Refused by this process and not by the store, which is told why nothing goes on.
            waits = no.rule
            raise
        finally:
            self.doing("")
            if not is_over:
                with anyio.move_on_after(SETTLE_SECONDS, shield=True):
                    used = lost() if lost else Used(_whole(begin), is_assumed=True)
                    used = replace(used, is_ok=False, waits=waits)
                    ended(None, used)
                    await self._end(begin, LOST, used)
        ended(result, used)
        await self._end(begin, result, used)
        return result

    async def _end(self, begin: Begin, result: str, used: Used) -> None:
        for kind, n in used.amounts.items():
            self.free[kind] = self.free.get(kind, 0) - n
            self.spent[kind] = self.spent.get(kind, 0) + n
        try:
            await self.store.end(self.hold, begin, result, used, self.warn_percent, self.stamp())
        except TooLargeError:
            # Paid it is all the same. Whoever takes this turn over makes the call again, or is told
            # that nobody knows.
            await self.store.end(self.hold, begin, LOST, used, self.warn_percent, self.stamp())


def _whole(begin: Begin) -> Mapping[str, int]:
    """All that was reserved of a call, by whomever."""
    return {kind: n + begin.lent.get(kind, 0) for kind, n in begin.amounts.items()}
