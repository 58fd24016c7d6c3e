"""Begin → effect → end: the one way in which anything is called on behalf of an agent.

Invariant: what was begun is ended, also when the effect is cancelled or fails: then its whole reserve
is settled, marked as assumed, for what a provider was sent may have been charged.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from swarmd.core.names import Rule
from swarmd.core.privileges import sufficient
from swarmd.core.times import SETTLE_SECONDS
from swarmd.ports import Begin, EndedBefore, Hold, RefusedByStore, Usage, WorkerStore

Effect = Callable[[], Awaitable[tuple[str, Usage]]]

# The result of an effect that was given up half-way, as when its worker ended. It is paid for and answers nothing.
_LOST: Final = json.dumps({"lost": True})


class NotAllowedError(Exception):
    """The store said no to a begin or a commit: the rule and its facts."""

    def __init__(self, refused: RefusedByStore) -> None:
        super().__init__(f"{refused.rule}: {refused.detail}")
        self.rule: Rule = refused.rule
        self.detail = f"{refused.detail}" if refused.detail else str(refused.rule)


@dataclass(slots=True)
class Journal:
    """The step journal of one turn. Steps count up; a repeated turn meets its earlier steps in order."""

    store: WorkerStore
    hold: Hold
    turn: int
    account: str
    segments: tuple[str, ...]
    batch: str
    stamp: Callable[[], str]
    step: int = 0

    async def call(
        self, kind: str, effect: Effect, *, tokens: int = 0, calls: int = 0, privilege: str = ""
    ) -> str:
        """The effect's result, or that of a former holder of this step, which is not paid again.

        What a former holder gave up is done again as a step of its own: every effect may be repeated.
        Raises `NotAllowedError` where the law says no, before anything was done.
        """
        while True:
            self.step += 1
            begin = Begin(
                self.turn, self.step, kind, self.account, self.segments,
                sufficient(privilege) if privilege else (), tokens, calls, self.batch,
            )  # fmt: skip
            reply = await self.store.begin(self.hold, begin, self.stamp())
            if isinstance(reply, RefusedByStore):
                raise NotAllowedError(reply)
            if not isinstance(reply, EndedBefore):
                return await self._do(begin, effect)
            if reply.result != _LOST:
                return reply.result

    async def _do(self, begin: Begin, effect: Effect) -> str:
        result, usage = _LOST, Usage(begin.tokens, 0, is_assumed=True)
        is_over = False
        try:
            result, usage = await effect()
            is_over = True
        finally:
            if not is_over:
                with anyio.move_on_after(SETTLE_SECONDS, shield=True):
                    await self._end(begin, result, usage)
        await self._end(begin, result, usage)
        return result

    async def _end(self, begin: Begin, result: str, usage: Usage) -> None:
        await self.store.end(self.hold, begin, result, usage, self.stamp())
