"""Somebody who can write to all of Redis and does not hold the secret, against a running worker and
supervisor.

Over the real server and its rings, seeded. What he puts on streams and publishes is refused and
recorded, and the honest traffic between it is taken once each, also across a restart of both.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import Wire
from swarmd.adapters.redis.operator_post import operator_sealer, post_sync
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.app.process import SystemClock
from swarmd.core.bus.envelope import Seal
from swarmd.core.model.channels import BOARD_ROOM, INPUTS, ORDERS, REQUESTS, host_channel, inbox, up
from swarmd.core.model.messages import Kind, Message, channel_head
from swarmd.core.model.moves import Report
from swarmd.core.model.names import FIRST, OPERATOR, SOB, AgentId, Channel, HostId, StreamId
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import stamp_of
from swarmd.ports.models import Answered, Prompt, Usage
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker
from tests.conftest import HANG_SECONDS, SECRET
from tests.contract.test_store import open_store
from tests.runtime.test_worker import DECLARED, MISSION, Lineage, executive, journal_of

AGENTS: Final = tuple(AgentId(f"a-{n}") for n in range(8))
INBOXES: Final = tuple(map(inbox, AGENTS))
CLASSES: Final = ("forged", "bare", "other swarm", "other channel", "flipped", "replayed", "stale")
# Of which the code is wrong; the others are authentic and not new.
FALSE: Final = frozenset({"forged", "bare", "other swarm", "other channel", "flipped"})
# The recorder says the same in every turn, for ever: that is not what is looked at here.
TALKATIVE: Final = replace(
    DECLARED, limits=DECLARED.limits.model_copy(update={"unchanged_max": 1_000})
)
ROUNDS: Final = 20  # of 500 each: half of them before the restart, half after it

Flat = dict[str, str]


# --- the swarm --------------------------------------------------------------------------------


@dataclass(slots=True)
class Recorder:
    """The port `Model`: notes what reached a prompt, and reports."""

    mail: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    name: str = "test:recorder"
    is_language_model: bool = False

    def bound(self, _prompt: Prompt) -> Usage:
        return Usage(10, 0)

    def expected(self, _prompt: Prompt) -> Usage:
        return self.bound(_prompt)

    async def attempt(self, prompt: Prompt, sending: Callable[[], None] = lambda: None) -> Answered:
        sending()
        self.turns += 1
        self.mail.update(f"{m.kind.value} {m.text}" for m in prompt.view.mail)
        return Answered((Report(move="report", text="so far, so good"),), Usage(5, 5))

    async def aclose(self) -> None:
        pass


@asynccontextmanager
async def process(
    server: EmbeddedServer, namespace: str, model: Recorder, number: int
) -> AsyncIterator[None]:
    """A worker and a supervisor on a connection of their own, as one process of people's is."""
    way = dial(server.socket)
    clock, stop = SystemClock(), anyio.Event()
    worker_stop = anyio.Event()

    async def mind(_spec: str) -> Mind:
        return Mind(model, DECLARED.models.provider("scripted"))

    async with anyio.create_task_group() as tasks:
        store = RedisStore(way, namespace, SECRET)
        bell = Bell(way, store.keys)
        await_pipe = anyio.CancelScope()

        async def run_pipe() -> None:
            with await_pipe:
                await store.pipe.run()

        tasks.start_soon(run_pipe)
        tasks.start_soon(bell.run)
        await store.check_schema()
        async with aclosing(bell.line()) as heard, aclosing(bell.line()) as rung:
            world = World(
                store, TALKATIVE, built_in(store, None), mind, lambda: stamp_of(clock.now())
            )
            worker = Worker(world, Host(host_of(number), 10_000, "w-1"), heard, worker_stop)
            supervisor = Supervisor(store, rung, clock, DECLARED, HostId(f"s-{number}"), None, stop)
            async with anyio.create_task_group() as parts:
                parts.start_soon(worker.run)
                parts.start_soon(supervisor.run)
                with anyio.fail_after(HANG_SECONDS):
                    # Rings count from when they can be heard.
                    while (
                        len(worker.residents) < len(AGENTS) + len(DECLARED.board.seats)
                        or worker.residents.has_changes
                    ):
                        await anyio.sleep(0.02)
                yield
                worker_stop.set()
                stop.set()
        await_pipe.cancel()
        tasks.cancel_scope.cancel()


def host_of(number: int) -> HostId:
    return HostId(f"h-{number}")


# --- honest traffic ---------------------------------------------------------------------------


@dataclass(slots=True)
class Honest:
    """Those who hold the secret, in another process: another host's agents and operators."""

    store: RedisStore
    wire: Wire
    mail: list[str] = field(default_factory=list)  # what must reach a prompt
    orders: list[str] = field(default_factory=list)
    requests: list[StreamId] = field(default_factory=list)

    async def speak(self, dice: random.Random) -> None:
        """Some messages of each issuer. The friend of the agents is in its second life after the
        first words.
        """
        life = 1 if len(self.mail) < 16 else 2
        for _ in range(4):
            text = f"m{len(self.mail)}"
            said = Message(
                sender=AgentId("a-friend"),
                kind=Kind.SAY,
                at="now",
                text=text,
                incarnation=life,
                data={"long": "x" * 5_000} if dice.random() < 0.2 else {"n": len(self.mail)},
            )
            await self.store.post(dice.choice(INBOXES), said)
            self.mail.append(f"say {text}")
        self._as_operator(dice)
        wish = Message(
            sender=dice.choice(AGENTS),
            kind=Kind.REQUEST,
            at="now",
            text="terminate",
            incarnation=1,
            data={
                "type": "act",
                "act": {"verb": "terminate", "target": "nobody", "reason": "a wish"},
            },
        )
        self.requests.append(await self.store.post(REQUESTS, wish))
        await self.store.post(BOARD_ROOM, replace(wish, kind=Kind.SAY, text="words"))

    def _as_operator(self, dice: random.Random) -> None:
        sealer = operator_sealer(self.wire, self.store.keys, SECRET)
        text = f"m{len(self.mail)}"
        said = Message(sender=OPERATOR, kind=Kind.SAY, at="now", text=text)
        post_sync(self.wire, self.store.keys, sealer, dice.choice(INBOXES), said)
        self.mail.append(f"say {text}")
        order = f"o-{len(self.orders)}"
        data = {"order": order, "verb": "terminate", "target": "nobody"}
        ordered = Message(sender=OPERATOR, kind=Kind.ORDER, at="now", data=data)
        post_sync(self.wire, self.store.keys, sealer, ORDERS, ordered)
        self.orders.append(order)


# --- the attack -------------------------------------------------------------------------------


@dataclass(slots=True)
class Attack:
    """Copies what is there, changes it, and writes it back; what it wrote is counted by channel
    and class.
    """

    wire: Wire
    store: RedisStore  # for names only
    dice: random.Random
    streams: Counter[tuple[Channel, str]] = field(default_factory=Counter)
    rings: Counter[tuple[Channel, str]] = field(default_factory=Counter)
    genuine: dict[Channel, list[str]] = field(default_factory=dict)
    last: dict[Channel, str] = field(default_factory=dict)

    def look(self, host: HostId) -> None:
        """What honest ones have said so far. What he wrote himself bears his mark."""
        self.genuine.clear()
        for channel in (*INBOXES, *INPUTS, host_channel(host)):
            rows = self._rows(channel)
            self.last[channel] = rows[-1][0] if rows else "0-0"
            self.genuine[channel] = [
                flat["m"] for _, flat in rows if '"mac":' in flat.get("m", "") and "x" not in flat
            ]

    def _rows(self, channel: Channel) -> list[tuple[str, Flat]]:
        reply = self.wire.command("XRANGE", self.store.keys.channel(channel), "-", "+")
        assert isinstance(reply, list)
        found = []
        for id, words in reply:  # type: ignore[misc, str-bytes-safe, unused-ignore]  # a reply is a tree of bytes
            text = [word.decode("utf-8", "replace") for word in words]  # type: ignore[union-attr, unused-ignore]
            found.append((id.decode(), dict(zip(text[::2], text[1::2], strict=True))))  # type: ignore[union-attr, unused-ignore]
        return found

    def strike(self, count: int) -> None:
        """So many, half of them entries, half rings, in one pipeline; and the marks that make
        everybody look.
        """
        sent = 0
        keys = self.store.keys
        for _ in range(count):
            channel, kind = self.dice.choice(list(self.genuine)), self.dice.choice(CLASSES)
            line = self.made(channel, kind)
            if line is None:
                continue
            if self.dice.random() < 0.5:
                # A field of his own: nothing says that he may not, and here he is known by it.
                self.wire.send("XADD", keys.channel(channel), "*", "m", line, "x", "1")
                self.streams[channel, kind] += 1
            else:
                self.wire.send("PUBLISH", keys.channel(channel), self.ring(channel, line))
                self.rings[channel, kind] += 1
            sent += 1
        for channel in self.genuine:
            self.wire.send("INCR", keys.posts)
            self.wire.send(
                "EVAL",
                "redis.call('ZADD', KEYS[1], redis.call('GET', KEYS[2]), ARGV[1])",
                2,
                keys.heads,
                keys.posts,
                channel,
            )
            self.wire.send(
                "PUBLISH", keys.channel(channel), '{"id":"9999999999999-0","prev":"0-0","cut":true}'
            )
            sent += 3
        for _ in range(sent):
            self.wire.read()

    def ring(self, channel: Channel, line: str) -> str:
        """As the script would, after the last entry that he has seen."""
        milliseconds = int(self.last[channel].partition("-")[0]) + self.dice.choice((1, 10**6))
        # What was sealed for another channel names it, and is rung here as it rang there.
        head = channel_head(self.origin_of(channel, line))
        return f'{{"id":"{milliseconds}-0","prev":"{self.last[channel]}",{head}{line[1:]}'

    def origin_of(self, channel: Channel, line: str) -> Channel:
        return next((other for other, all_ in self.genuine.items() if line in all_), channel)

    def made(self, channel: Channel, kind: str) -> str | None:
        own = self.genuine[channel]
        former = [line for line in own if _is_of_the_friend(line, 1)]
        match kind:
            case "forged":
                return self.sealed(
                    Seal(self.dice.randbytes(32), self.store.keys.namespace), channel
                )
            case "other swarm":
                return self.sealed(Seal(SECRET, self.store.keys.namespace + "2"), channel)
            case "bare":
                return self.sealed(Seal(SECRET, "swarm"), channel).partition(',"serial"')[0] + "}"
            case "other channel":
                others = [
                    line
                    for other, all_ in self.genuine.items()
                    if other != channel
                    for line in all_
                ]
                return self.dice.choice(others) if others else None
            case "flipped":
                return self.flipped(self.dice.choice(own)) if own else None
            case "replayed":
                current = [line for line in own if line not in former]
                return self.dice.choice(current) if current else None
            case _:
                spoke_again = any(_is_of_the_friend(line, 2) for line in own)
                return self.dice.choice(former) if former and spoke_again else None

    def sealed(self, seal: Seal, channel: Channel) -> str:
        claim = Message(
            sender=AgentId(self.dice.choice(("sob", "supervisor", "operator", *AGENTS))),
            at="now",
            text="evil",
            kind=self.dice.choice(
                (Kind.SAY, Kind.CALL, Kind.REQUEST, Kind.ORDER, Kind.PLACED, Kind.FENCED)
            ),
            incarnation=1,
            data={"segment": SOB, "order": "evil", "verb": "cancel", "target": MISSION},
        )
        return seal.seal(channel, claim, f"{self.dice.choice(('r', 's', 'oevil'))}:{2**52}").line

    def flipped(self, line: str) -> str:
        raw = bytearray(line.encode())
        # Not the first brace, which a ring has before its ids.
        raw[self.dice.randrange(1, len(raw))] ^= 1 << self.dice.randrange(7)
        return raw.decode("utf-8", "replace")


def _is_of_the_friend(line: str, incarnation: int) -> bool:
    said = json.loads(line)
    return (said["from"], said["inc"]) == ("a-friend", incarnation)


# --- what was recorded ------------------------------------------------------------------------


async def recorded(store: RedisStore) -> Counter[tuple[str, str, str]]:
    """From the journal alone: who refused, on which channel, by which rule, how many."""
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in await journal_of(store, "message.refused"):
        if "channel" in entry:
            found["supervisor", entry["channel"], entry["rule"]] += entry["count"]
    for entry in await journal_of(store, "facts.folded"):
        for fact in entry["facts"]:
            if "channel" in fact:
                found["worker", fact["channel"], fact["rule"]] += int(fact["count"])
    return found


def missing(attack: Attack, found: Counter[tuple[str, str, str]]) -> Iterator[str]:
    """What was sent and is not (yet) in the record."""
    for channel in INPUTS:
        false = sum(attack.streams[channel, kind] for kind in FALSE)
        if found["supervisor", channel, Rule.ENVELOPE_FORGED] != false:
            yield (
                f"supervisor {channel}: {found['supervisor', channel, Rule.ENVELOPE_FORGED]} of "
                f"{false} forged"
            )
        old = attack.streams[channel, "replayed"]
        if found["supervisor", channel, Rule.ENVELOPE_REPLAYED] != old:
            yield (
                f"supervisor {channel}: {found['supervisor', channel, Rule.ENVELOPE_REPLAYED]} "
                f"of {old} replayed"
            )
    for channel in {channel for channel, _ in (*attack.streams, *attack.rings)} - set(INPUTS):
        both = attack.streams + attack.rings
        for rule, count in (
            # Of rings those that are authentic and out of place are only reasons to read the
            # stream.
            (Rule.ENVELOPE_FORGED, sum(both[channel, kind] for kind in FALSE)),
            (Rule.ENVELOPE_REPLAYED, attack.streams[channel, "replayed"]),
            (Rule.INCARNATION, attack.streams[channel, "stale"]),
        ):
            if found["worker", channel, rule] < count:
                yield f"worker {channel}: {found['worker', channel, rule]} of {count} {rule}"


async def test_ten_thousand_false_envelopes_are_refused_and_recorded_and_every_honest_one_is_taken_once(
    server: EmbeddedServer, namespace: str
) -> None:
    dice, model = random.Random(20_261_122), Recorder()
    async with open_store(str(server.socket), namespace) as store:
        lineage = Lineage(store)
        await lineage.found(*(executive(id, host=host_of(1)) for id in AGENTS))
        await store.step_down(HostId("h-pen"), lineage.number)
        with (
            closing(connect_sync(server.socket)) as wire,
            closing(connect_sync(server.socket)) as foreign,
        ):
            honest, attack = Honest(store, wire), Attack(foreign, store, dice)

            async def settled() -> None:
                with anyio.fail_after(HANG_SECONDS):
                    while (
                        model.mail.keys() < set(honest.mail)
                        or list(missing(attack, await recorded(store)))
                        or len(await journal_of(store, "order.refused")) < len(honest.orders)
                        or len(await journal_of(store, "agent.reported")) < model.turns
                    ):
                        await anyio.sleep(0.1)

            for number in (1, 2):
                async with process(server, namespace, model, number):
                    await honest.speak(dice)
                    for _ in range(ROUNDS // 2):
                        attack.look(host_of(number))
                        # Everything heard before a restart is there to be replayed after it.
                        attack.strike(580)
                        await honest.speak(dice)
                        await anyio.sleep(0.02)
                    try:
                        await settled()
                    except TimeoutError:
                        problems = list(missing(attack, await recorded(store)))
                        lost = set(honest.mail) - model.mail.keys()
                        raise AssertionError(
                            f"not in the record: {problems}; not delivered: {lost}"
                        ) from None
                # Said while nobody listens.
                await honest.speak(dice) if number == 1 else None

        assert sum(attack.streams.values()) + sum(attack.rings.values()) >= 10_000
        for kind in CLASSES:
            assert sum(count for (_, k), count in attack.streams.items() if k == kind) > 100
            assert sum(count for (_, k), count in attack.rings.items() if k == kind) > 100
        told = {text: count for text, count in model.mail.items() if text.startswith("say ")}
        assert told == dict.fromkeys(honest.mail, 1)
        assert not any("evil" in text for text in model.mail)
        orders = Counter(entry["order"] for entry in await journal_of(store, "order.refused"))
        assert orders == dict.fromkeys(honest.orders, 1)
        decided = Counter(
            e["request"]
            for e in await journal_of(store, "request.refused")
            if e["rule"] == "agent.unknown"
        )
        assert decided == dict.fromkeys(honest.requests, 1)
        assert len(await journal_of(store, "agent.reported")) == model.turns
        assert len(await store.read(up(SOB), FIRST, 1_000_000)) > model.turns, (
            "nothing was put there"
        )
