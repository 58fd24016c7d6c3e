"""Compares what was counted of the channels with what their streams have, beside the supervisor's
steps.

Those that the whole swarm shares when a lead begins, and all others right after it; then once a
minute those that moved. What was found is the supervisor's to commit: the entries are counted and
those that are foreign recorded in one step, so that each is recorded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from swarmd.core.bus.foreign import LOOKED_AT_MAX, Uncounted, is_counted, judge_uncounted
from swarmd.core.model.changes import EntriesCounted
from swarmd.core.model.channels import DEAD, INPUTS, JOURNAL, RESULTS
from swarmd.core.model.names import Channel
from swarmd.core.model.state import Draft
from swarmd.core.model.timings import COUNT_SECONDS
from swarmd.ports.stores import SupervisorStore
from swarmd.runtime.supervisor.refused_mail import refused_mail

log = structlog.get_logger(__name__)

# Channels of one question: each is a short command of the server's one thread.
CHANNELS_AT_ONCE: Final = 200
# What everybody reads and writes.
_SHARED: Final = (JOURNAL, RESULTS, DEAD, *INPUTS)
# Of one commit: an entry of the journal for each and rule.
RECORDED_MAX: Final = 20


@dataclass(slots=True)
class StreamCounts:
    """One leader's. `found` is what its supervisor has to commit."""

    store: SupervisorStore
    found: dict[Channel, Uncounted] = field(default_factory=dict)
    _head: int = 0  # the global post number up to which channels were asked for
    _again: set[Channel] = field(default_factory=set)  # found, and perhaps not committed
    _due: float = 0.0

    async def look_at_shared(self) -> None:
        await self._compare(_SHARED)

    async def look(self, now: float) -> None:
        """Where it is time to."""
        if now < self._due:
            return
        self._due = now + COUNT_SECONDS
        self._head, moved = await self.store.moved(self._head)
        channels = list(dict.fromkeys((*sorted(self._again), *filter(is_counted, moved))))
        self._again.clear()
        for start in range(0, len(channels), CHANNELS_AT_ONCE):
            await self._compare(channels[start : start + CHANNELS_AT_ONCE])

    async def _compare(self, channels: Iterable[Channel]) -> None:
        for channel, miscount in (await self.store.uncounted(list(channels))).items():
            newest = await self.store.latest(channel, LOOKED_AT_MAX)
            self.found[channel] = judge_uncounted(channel, miscount, newest)
            self._again.add(channel)

    def record(self, draft: Draft) -> None:
        """Taken out first: what is not committed after all is found again."""
        for channel in list(self.found)[:RECORDED_MAX]:
            uncounted = self.found.pop(channel)
            if uncounted.count:
                draft.add(EntriesCounted(channel, uncounted.count))
            for rule, messages in uncounted.foreign.items():
                log.warning("stream.foreign", channel=channel, rule=rule, count=len(messages))
                draft.add(refused_mail(draft.moment, channel, rule, messages))
