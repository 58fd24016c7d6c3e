"""What a host hears of the swarm: rings, once a second the channels that have moved, and the
orders of the supervisor.

A lost ring costs that second.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from swarmd.core.model.channels import REQUESTS
from swarmd.core.model.lineage import Stop, StopKind
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, Authority
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.ports.pubsub import Rings
from swarmd.runtime.worker.admission import SIDE_BY_SIDE_MAX, Admission
from swarmd.runtime.worker.context import WorkerContext, until_keys_are_right
from swarmd.runtime.worker.delivery import Delivery
from swarmd.runtime.worker.lease import HostLease
from swarmd.runtime.worker.stopping import Stopping
from swarmd.runtime.worker.timers import end_waits
from swarmd.runtime.worker.turns import Turns

# In a burst the clock is looked at once for so many: some milliseconds of a burst.
RINGS_BETWEEN_LOOKS = 64


@dataclass(slots=True)
class Listening:
    """The one task that owns the ringing connection."""

    context: WorkerContext
    rings: Rings
    turns: Turns
    lease: HostLease
    stopping: Stopping
    delivery: Delivery = field(init=False)
    admission: Admission = field(init=False)
    _head: int = 0  # the global post number up to which channels were asked for

    def __post_init__(self) -> None:
        self.delivery = Delivery(self.context, self.rings, self.turns, self.obey)
        self.admission = Admission(self.context, self.delivery, self.turns)

    async def listen(self) -> None:
        own, store = self.context.own, self.context.world.store
        self._head, _ = await until_keys_are_right(lambda: store.moved(0))
        await self.stopping.look_at_lead()
        await self.rings.follow([own])
        await self.delivery.catch_up(own)
        next_sweep = anyio.current_time() + SWEEP_SECONDS
        heard = 0  # since the clock was last looked at
        while True:
            if self.context.residents.has_changes:
                await self.delivery.follow()
            ring = await self.rings.next(0)
            if ring is None:
                ring = await self.rings.next(max(0.0, next_sweep - anyio.current_time()))
            heard = (heard + 1) % RINGS_BETWEEN_LOOKS if isinstance(ring, tuple) else 0
            if isinstance(ring, tuple):
                await self.delivery.hear(*ring)
            if ring == "gap" or (heard == 0 and anyio.current_time() >= next_sweep):
                # From its beginning: one that takes long makes the next no later.
                next_sweep = anyio.current_time() + SWEEP_SECONDS
                await until_keys_are_right(self.sweep)

    async def _tell_sent(self) -> None:
        """Which seats' requests have gone out: from then on their time runs. Told once a second,
        for most answers come sooner.
        """
        sent, store = self.context.world.sent, self.context.world.store
        for seat, word in list(sent.items()):
            data = word.data
            key = f"sent-{seat}-{word.mission}-{data['motion_number']}-{data['attempt']}"
            await store.post(REQUESTS, word, key=key)
            sent.pop(seat, None)

    async def sweep(self) -> None:
        """What moved since we last asked, ring or no ring."""
        context = self.context
        if self.lease.is_server_another:
            self.lease.is_server_another = False
            await self.admission.begin_anew()
        await self.stopping.look_at_lead()
        await self.admission.take_back()
        await self.delivery.record_refused()
        await end_waits(context)
        await self._tell_sent()
        self._head, channels = await context.world.store.moved(self._head)
        context.residents.let_rest(context.world.declared.rooms)
        mine = [channel for channel in channels if context.residents.is_read(channel)]
        for start in range(0, len(mine), SIDE_BY_SIDE_MAX):
            async with anyio.create_task_group() as tasks:
                for channel in mine[start : start + SIDE_BY_SIDE_MAX]:
                    tasks.start_soon(self.delivery.catch_up, channel)
        if context.own in channels:
            await self.delivery.catch_up(context.own)

    async def obey(self, order: Message) -> None:
        """Does what the supervisor tells this host of the lineage."""
        context, stopping = self.context, self.stopping
        if order.kind is Kind.PLACED:
            await self.admission.take(_agents_of(order))
        elif order.kind is Kind.FENCED:
            context.tasks.start_soon(stopping.end_below, str(order.data.get("segment", "")))
        elif order.kind is Kind.STOPPED:
            stop = _stop_of(order)
            if stop is not None:
                stopping.stop(stop)
        elif order.kind is Kind.THAWED:
            # A draining agent is not taken back by a host that gave it up for a moment.
            await self.admission.take([AgentId(order.text.removeprefix("="))])
            await stopping.thaw(order.text)


def _agents_of(order: Message) -> list[AgentId]:
    ids = order.data.get("agents")
    return [AgentId(id) for id in ids if isinstance(id, str)] if isinstance(ids, list) else []


def _stop_of(order: Message) -> Stop | None:
    """A stop as a host is told of it; `None` for what is none."""
    data = order.data
    try:
        kind, at, until = StopKind(data["kind"]), float(data["at"]), float(data["until"])
    except (KeyError, ValueError, TypeError):
        return None
    return Stop(order.text, kind, Authority.OPERATOR, "", "", at, until=until)
