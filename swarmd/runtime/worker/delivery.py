"""From channels into mailboxes.

Invariant: a message reaches an agent's mailbox once, in the order of its stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from swarmd.core.bus.envelope import Heard
from swarmd.core.model.messages import Kind, Message, order_of, why_unreadable
from swarmd.core.model.names import FIRST, Channel, StreamId
from swarmd.core.model.refusals import Rule
from swarmd.errors import WrongKeyError
from swarmd.log_events import LogEvent
from swarmd.ports.pubsub import Rings
from swarmd.ports.stores import RefusedMail
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.worker.context import WorkerContext
from swarmd.runtime.worker.turns import Turns

log = structlog.get_logger(__name__)

# Entries of one read of a stream; a longer backlog is read in several.
READ_MAX = 500
# More than a server that writes its log once a second can lose.
LOST_MILLISECONDS = 10_000


@dataclass(slots=True)
class Delivery:
    context: WorkerContext
    rings: Rings
    turns: Turns
    obey: Callable[[Message], Awaitable[None]]  # what is done about an order to this host
    _orders: list[Message] = field(
        default_factory=list
    )  # heard on the host's own channel, and not yet heeded
    _heard_here: Heard = field(
        default_factory=Heard
    )  # on this host's own channel, which nobody had before
    _refused: dict[tuple[Channel, Rule], RefusedMail] = field(
        default_factory=dict
    )  # and not yet recorded

    async def follow(self) -> None:
        """Hears the channels of the agents that are here now."""
        await self.rings.follow(*self.context.residents.changes())

    # --- what rings ---

    async def hear(self, channel: Channel, line: str) -> None:
        if not self._is_taken(channel, line):
            await self.catch_up(channel)
        if self._orders:
            orders, self._orders = self._orders, []
            for order in orders:
                await self.obey(order)

    def _is_taken(self, channel: Channel, line: str) -> bool:
        """Take what rang; false where the stream has to be read instead."""
        ring = self.context.world.store.ring(channel, line)
        if ring is None:
            self.refuse(channel, Rule.ENVELOPE_FORGED)
            return True
        known = self.context.residents.read_until(channel)
        if order_of(ring.id) <= order_of(known):
            return True
        # Whoever has seen `prev` has everything before: the ring itself is the message. A channel's
        # first is read from its stream all the same: anybody can name a beginning, and a ring must
        # not lead us past the stream.
        if ring.message is None or ring.prev != known or known == FIRST:
            return False
        return self._take_rung(channel, ring.message)

    def _take_rung(self, channel: Channel, message: Message) -> bool:
        """The ids are anybody's words also where the message is authentic. Only what is news to
        somebody here may therefore move our place in the stream: an old message would, as often as
        it is rung again."""
        context = self.context
        is_news, refused = False, None
        if channel == context.own:
            refused = self._heard_here.accepts(message)
            if refused is None:
                is_news = True
                self._orders.append(message)
        for resident in context.residents.readers_of(channel):
            taken = resident.take_rung(message, context.world.declared.rooms)
            context.residents.was_up(resident)
            if isinstance(taken, Rule):
                refused = taken
            elif taken is not None:
                is_news = True
                if taken:
                    self.turns.wake(resident)
                self.turns.heed_closed(resident, message)
        if is_news:
            context.residents.note(channel, message.id)
        if refused is not None:
            self.refuse(channel, refused)
        return is_news or refused is not None

    # --- what is read ---

    async def catch_up(self, channel: Channel) -> None:
        context = self.context
        while True:
            position = context.residents.read_until(channel)
            messages = await context.world.store.read(channel, position, READ_MAX)
            await self._deliver(channel, messages)
            if len(messages) < READ_MAX:
                return

    async def _deliver(self, channel: Channel, messages: Sequence[Message]) -> None:
        residents = self.context.residents
        for message in messages:
            residents.note(channel, message.id)
            if message.kind is Kind.UNREADABLE:
                self.refuse(channel, why_unreadable(message), message.id)
            elif channel == self.context.own:
                await self._obey_read(message)
                continue
            for resident in residents.readers_of(channel):
                if self._put(resident, message):
                    self.turns.wake(resident)

    async def _obey_read(self, order: Message) -> None:
        refused = self._heard_here.accepts(order)
        if refused is None:
            await self.obey(order)
        else:
            self.refuse(order.channel, refused, order.id)

    def _put(self, resident: Resident, message: Message) -> bool:
        """Into its mailbox; true where that wakes it."""
        context = self.context
        answer = resident.put(message, context.world.declared.rooms)
        context.residents.was_up(resident)
        if isinstance(answer, Rule):
            self.refuse(message.channel, answer, message.id)
            return False
        self.turns.heed_closed(resident, message)
        return answer

    async def read_from(self, channel: Channel, position: StreamId) -> list[Message]:
        found: list[Message] = []
        while True:
            after = found[-1].id if found else position
            more = await self.context.world.store.read(channel, after, READ_MAX)
            found += more
            if len(more) < READ_MAX:
                return found

    def fill(
        self, resident: Resident, backlog: Mapping[tuple[Channel, StreamId], Sequence[Message]]
    ) -> None:
        """What waited for it, into its mailbox, oldest first."""
        waiting = [message for place in resident.seen.items() for message in backlog[place]]
        waiting.sort(key=lambda message: order_of(message.id))
        for message in waiting:
            if message.kind is Kind.UNREADABLE:
                self.refuse(message.channel, why_unreadable(message), message.id)
            self._put(resident, message)

    async def read_orders_again(self) -> None:
        """The host's own channel from before what a server may have lost."""
        own, last = self.context.own, self.context.residents.last
        milliseconds, _ = order_of(last.get(own, FIRST))
        last[own] = StreamId(f"{max(0, milliseconds - LOST_MILLISECONDS)}-0")
        self._heard_here = Heard()
        await self.catch_up(own)

    # --- what is refused ---

    def refuse(self, channel: Channel, rule: Rule, id: StreamId = StreamId("")) -> None:  # noqa: B008 - a cast
        """Counted here and told once a second: a flood of forgeries is not to be a flood of
        facts.
        """
        told = self._refused.get((channel, rule), RefusedMail(channel, rule, id, 0))
        self._refused[channel, rule] = replace(told, first=told.first or id, count=told.count + 1)

    async def record_refused(self) -> None:
        refused, self._refused = list(self._refused.values()), {}
        if not refused:
            return
        log.warning(
            LogEvent.MESSAGES_FOREIGN,
            messages=sum(mail.count for mail in refused),
            channels=sorted({m.channel for m in refused}),
        )
        world = self.context.world
        try:
            await world.store.record_refused(self.context.host.id, refused, world.stamp())
        except WrongKeyError:
            self._refused = {(mail.channel, mail.rule): mail for mail in refused} | self._refused
            raise
