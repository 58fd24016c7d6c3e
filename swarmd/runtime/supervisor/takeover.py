"""The first commit of a leader: the memory is read, and what it tells of losses is recorded."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from swarmd.core.board import clerk
from swarmd.core.control import orphans, stalls, stops, termination, tick
from swarmd.core.missions import queue
from swarmd.core.model.channels import FACTS
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import SUPERVISOR, Channel, StreamId
from swarmd.core.model.state import Draft
from swarmd.log_events import LogEvent
from swarmd.ports.stores import Loaded
from swarmd.runtime.supervisor.journal_keeper import JournalKeeper
from swarmd.runtime.supervisor.memory import LeaderMemory
from swarmd.runtime.supervisor.stream_counts import StreamCounts

log = structlog.get_logger(__name__)


async def take_over(
    memory: LeaderMemory, journal: JournalKeeper, counts: StreamCounts, led_until: float
) -> None:
    loaded = await memory.load()
    await counts.look_at_shared()
    draft = memory.draft()
    await journal.take_up(draft, loaded)
    tick.found(draft)
    for mission in loaded.damaged:
        queue.give_up(draft, mission)
    for id in loaded.unreadable:
        orphans.hold_unreadable(draft, id)
    # Of the facts the journal has just been told anew what they add up to.
    lost = {channel: position for channel, position in loaded.lost.items() if channel != FACTS}
    memory.positions.update(lost)
    _record_lost(draft, loaded, lost)
    termination.resume_endings(draft)
    stops.resume_stops(draft)
    counts.record(draft)
    stalls.resume(memory.swarm, draft.now)
    if led_until:
        clerk.make_up(draft, draft.now - led_until)
    await memory.commit(draft, lost)


def _record_lost(draft: Draft, loaded: Loaded, lost: Mapping[Channel, StreamId]) -> None:
    for channel in lost:
        log.error(
            LogEvent.STREAM_SHORTER,
            channel=channel,
            read_until=loaded.positions[channel],
        )
        text = (
            f"{channel} ends before what was read of it; entries may be lost: submit or order again"
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
