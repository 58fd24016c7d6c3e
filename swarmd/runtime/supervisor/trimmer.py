"""Keeps streams short, beside the supervisor's steps: looks at what moved, drops what may go, a
little at a time.

What goes is decided in `core.bus.retention`. That a reader is led past a gap is the supervisor's to
commit: it is found here, and nothing of it goes before that was done. Trimming itself needs no
lease: positions only grow, so what a former leader drops, the present one may drop too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from swarmd.core.agent.mailbox import concerns
from swarmd.core.bus.retention import (
    NODE_ENTRIES,
    TRIM_STEP,
    Gap,
    Rounds,
    Stretch,
    cuts,
    gaps,
    host_of,
    is_supervisors,
    keep_of,
    readers_of,
)
from swarmd.core.model.channels import MISSIONS
from swarmd.core.model.declarations import Keep
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import order_of
from swarmd.core.model.names import FIRST, Channel, HostId, StreamId
from swarmd.core.model.state import Swarm
from swarmd.ports.stores import SupervisorStore

# Of what a reader left unread so many messages are looked at, to see whether any of it was for it.
_LOOKED_AT: Final = 64


@dataclass(slots=True)
class Trimmer:
    """One leader's. `found` are gaps that its supervisor has to commit."""

    store: SupervisorStore
    now: Callable[[], float]  # seconds since the epoch
    found: list[Gap] = field(default_factory=list)
    server_at: float = 0.0  # the server's time, as far as its ids have told it: never ahead of it
    rounds: Rounds = field(default_factory=Rounds)
    _head: int = 0
    _missions_until: StreamId = FIRST
    _gone: int = 0  # entries, in the pass under way

    async def look(
        self, swarm: Swarm, own: Mapping[Channel, StreamId], heard: Mapping[HostId, StreamId]
    ) -> int:
        """One pass; how many entries went. `own`: the supervisor's committed positions, `heard`:
        those of hosts on their own channels. Where nothing moved it costs two short questions.
        """
        await self._note_moved(own)
        now, kept = self.now(), swarm.declared
        due = self.rounds.next(now)
        channels = [(c, keep) for c in due if (keep := keep_of(c, kept)) is not None]
        lengths = await self.store.lengths([channel for channel, _ in channels])
        self._gone = 0
        # Side by side, at most a pass of them: their questions travel together.
        async with anyio.create_task_group() as tasks:
            for (channel, keep), length in zip(channels, lengths, strict=True):
                if length <= NODE_ENTRIES:
                    continue
                self.rounds.left(channel, now + keep.seconds)
                if due[channel] or length > keep.messages:
                    tasks.start_soon(self._trim, swarm, channel, keep, length, own, heard)
        return self._gone

    async def _note_moved(self, own: Mapping[Channel, StreamId]) -> None:
        self._head, moved = await self.store.moved(self._head)
        self.rounds.moved(moved)
        if moved:
            newest = await self.store.last_id(moved[-1])
            self.server_at = max(self.server_at, order_of(newest)[0] / 1000)
        # Its entrance is anybody's XADD, which marks nothing: it has moved when we have read on.
        if own[MISSIONS] != self._missions_until:
            self._missions_until = own[MISSIONS]
            self.rounds.moved([MISSIONS])

    async def _trim(
        self,
        swarm: Swarm,
        channel: Channel,
        keep: Keep,
        length: int,
        own: Mapping[Channel, StreamId],
        heard: Mapping[HostId, StreamId],
    ) -> None:
        # Ages are the server's to say, whose clock the ids are of: one here that is ahead must give
        # up nobody's mail.
        now, agents = min(self.now(), self.server_at), readers_of(channel, swarm)
        # Asked before the stream's end: who comes to read it meanwhile begins there, or later.
        positions = await self.store.positions(channel, [agent.id for agent in agents])
        stretch = Stretch(length, await self.store.last_id(channel))
        read_until = [*positions.values(), *_others_have_read(channel, own, heard)]
        patience = swarm.declared.limits.retention_seconds
        for gap in gaps(channel, positions, stretch, now, patience):
            await self._judge(next(agent for agent in agents if agent.id == gap.reader), gap)
        for cut in cuts(keep, stretch, read_until, now):
            dropped = await self.store.trim(channel, cut.before, cut.entries_max)
            self._gone += dropped
            if dropped and cut.entries_max == TRIM_STEP:
                self.rounds.moved([channel])

    async def _judge(self, agent: Agent, gap: Gap) -> None:
        """A gap where something lies in it; told where any of that may have been for this
        reader.
        """
        unread = await self.store.read(gap.channel, gap.after, _LOOKED_AT)
        lost = [message for message in unread if gap.holds(message.id)]
        if lost and not any(
            (known.reader, known.channel) == (gap.reader, gap.channel) for known in self.found
        ):
            is_told = len(lost) == _LOOKED_AT or any(concerns(agent, message) for message in lost)
            self.found.append(replace(gap, is_told=is_told))
            self.rounds.moved([gap.channel])


def _others_have_read(
    channel: Channel, own: Mapping[Channel, StreamId], heard: Mapping[HostId, StreamId]
) -> list[StreamId]:
    """How far who is no agent has read: the supervisor its inputs, a host its own channel."""
    found = [own[channel]] if is_supervisors(channel) else []
    host = host_of(channel)
    # One that has not said how far it is has heard nothing.
    return found if host is None else [*found, heard.get(host, FIRST)]
