"""One run: a server, processes that come and go, missions, and a schedule of what goes wrong,
all from one seed.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import tempfile
import traceback
from collections.abc import Coroutine, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

import anyio
import structlog

from swarmd.adapters.archive.journal_files import JournalFiles
from swarmd.adapters.redis import codecs
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import MISSIONS, ORDERS
from swarmd.core.model.declarations import Budget, Declarations
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, HostId
from swarmd.core.model.records import Host
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.supervisor import supervisor as supervisor_module
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World as Surroundings
from swarmd.runtime.worker.worker import Worker
from tests.conftest import SECRET
from tests.core.swarm_builder import declarations
from tests.sim.loop import GATE, Gate, VirtualLoop, virtually
from tests.sim.network import PERFECT, Network, Rates, Way
from tests.sim.player import CrashedMindError, Player, Temper
from tests.sim.rogue import Rogue
from tests.sim.server import NAMESPACE, START, Server, clocked, thrifty
from tests.sim.watch import Watch

Kinds = Literal["supervisor", "worker"]

# After the last fault so much is allowed until every mission has ended, in seconds of the
# simulation.
SETTLE_SECONDS: Final = 900.0
# Then nothing may happen for so long.
REST_SECONDS: Final = 15.0

_RESTART_SECONDS: Final = (0.5, 15.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of. `of` draws one from a seed; scenarios write their own."""

    workers: int = 2
    supervisors: int = 2
    missions: int = 2
    temper: Temper = Temper()
    rates: Rates = PERFECT
    # Seconds between two of a kind, on average; none: never.
    mishaps: Mapping[str, float] = field(default_factory=dict)
    fault_seconds: float = 90.0
    settle_seconds: float = SETTLE_SECONDS
    orders: int = 0
    asks_again: bool = True  # whoever asked for something in the second that the server lost
    provider: Mapping[str, Any] = field(default_factory=dict)
    rest_seconds: float = REST_SECONDS
    rogue_seconds: float = (
        0.0  # between two acts of a confused process, on average; 0: there is none
    )
    fuse: tuple[str, int, str] | None = (
        None  # a process that is killed at a command of its, `before` or `after` it
    )
    is_logged: bool = True
    loses_at: tuple[float, ...] = ()  # seconds after which the server loses its last second
    # By how much clocks of processes are wrong, by name, until the last fault.
    skews: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    board: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, seed: int) -> Plan:
        """Each kind of fault is there or not, often or seldom: a world with all of them at once
        hides the one alone.
        """
        chance = random.Random(f"plan {seed}")

        def some(most: float, share: float = 0.5) -> float:
            return chance.random() ** 2 * most if chance.random() < share else 0.0

        rates = Rates(
            cut=some(0.1),
            slow=some(0.05),
            late=some(0.8),
            ring_lost=some(0.8),
            ring_twice=some(0.3),
            ring_late=some(0.3),
            ears_cut=some(0.05),
        )
        mishaps = {
            name: chance.uniform(*between)
            for name, between in MISHAPS.items()
            if chance.random() < 0.4
        }
        temper = Temper(
            fails=some(0.2),
            crashes=some(0.03),
            think_seconds=chance.choice((0.05, 0.5, 3.0)),
            long_share=some(0.05),
            executives_max=chance.randint(1, 3),
            children_max=chance.randint(0, 3),
            grandchildren=some(0.5),
            no_votes=some(0.4),
            governs=some(0.2),
        )
        drawn = cls(
            chance.randint(1, 3),
            chance.randint(1, 2),
            chance.randint(1, 3),
            temper,
            rates,
            mishaps,
            fault_seconds=chance.uniform(30, 150),
            orders=chance.choice((0, 0, 2, 5)),
            asks_again=chance.random() < 0.5,
        )
        return _against_the_law(drawn, random.Random(f"against the law {seed}"))


def _against_the_law(plan: Plan, chance: random.Random) -> Plan:
    """Minds that want what they may not, a confused process, and bounds so narrow that they are
    met.
    """
    if chance.random() < 0.25:
        return plan
    temper = replace(
        plan.temper,
        rebels=chance.choice((0.0, 0.1, 0.3)),
        children_max=chance.randint(0, 4),
        grandchildren=chance.choice((0.0, 0.5, 1.0)),
        governs=chance.choice((0.0, 0.2, 0.4)),
    )
    limits: dict[str, Any] = {
        "agents_max": chance.choice((1_000, 1_000, 16, 9)),
        "children_max": chance.choice((16, 3, 2)),
        "depth_max": chance.choice((4, 4, 2)),
        "restarts_max": chance.choice((3, 1)),
        "spawns_per_minute": chance.choice((120, 120, 6)),
        "hops_max": chance.choice((64, 64, 5)),
    }
    if chance.random() < 0.25:
        limits["mission"] = _SCARCE
    return replace(
        plan,
        temper=temper,
        limits=limits,
        rogue_seconds=chance.choice((0.0, 2.0, 5.0)),
        rates=replace(plan.rates, reply_lost=chance.choice((0.0, 0.0, 0.05, 0.2))),
        orders=chance.choice((0, 2, 6)),
    )


# A mission's budget that some of its agents come to the end of.
_SCARCE: Final = Budget(tokens=8_000, cost=8_000, calls=60, tools=100, agents=12)

# Seconds between two of them, from … to …
MISHAPS: Final[dict[str, tuple[float, float]]] = {
    "kill a worker": (10, 60),
    "kill a supervisor": (10, 60),
    "kill at a command": (8, 40),
    "pause": (10, 60),
    "partition": (10, 60),
    "clock jump": (10, 60),
    "server restart": (20, 80),
    "server full": (20, 80),
    "server loading": (30, 120),
    "server read-only": (30, 120),
    "server loses a second": (25, 80),
}


_PRIVILEGES: Final = ("room/hall/say", "spawn/**", "spawn/worker", "tool/**", "model/**")

_SAYS: Final = {
    "server full": "OOM command not allowed when used memory > 'maxmemory'.",
    "server loading": "LOADING Redis is loading the dataset in memory",
    "server read-only": "READONLY You can't write against a read only replica.",
}


@dataclass(slots=True, eq=False)
class Clock:
    """The port `Clock` of one process: the simulation's time, and how wrong this process is
    about it.
    """

    loop: VirtualLoop
    ids: Iterator[str]
    skew: float = 0.0

    def now(self) -> float:
        return START + self.loop.time() + self.skew

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{next(self.ids)}"


@dataclass(slots=True, eq=False)
class Node:
    """One process."""

    name: str
    kind: Kinds
    gate: Gate
    way: Way
    clock: Clock
    # Made by its own task: anyio knows its loop only there.
    stop: anyio.Event | None = None
    scope: anyio.CancelScope | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run."""

    seed: int
    trace: str
    breaches: tuple[str, ...]
    faults: Mapping[str, int]
    states: Mapping[str, int]
    virtual_seconds: float
    commands: int
    commits: int
    calls: int
    overlaps: int
    events: Mapping[str, int]  # what the journal tells, by kind
    rules: Mapping[str, int]  # and by the rules that refused something
    kept: tuple[str, ...]  # keys of what has ended, at the end
    lines: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class World:
    """Everything of one run. `is_told`: the trace's lines are kept, not only their digest."""

    seed: int
    plan: Plan
    loop: VirtualLoop
    folder: Path
    is_told: bool = False
    declared: Declarations = field(init=False)
    chance: random.Random = field(init=False)
    server: Server = field(init=False)
    net: Network = field(init=False)
    player: Player = field(init=False)
    watch: Watch = field(init=False)
    rogue: Rogue = field(init=False)
    nodes: dict[str, Node] = field(default_factory=dict)
    swarm: str = ""
    lines: list[str] = field(default_factory=list)
    missions: dict[str, bool] = field(default_factory=dict)
    orders: dict[str, bool] = field(default_factory=dict)
    # What was acknowledged, when, and how to ask for it again.
    _asked: list[tuple[float, partial[Coroutine[Any, Any, None]]]] = field(default_factory=list)
    _asking: list[asyncio.Task[None]] = field(default_factory=list)
    _stopped: list[str] = field(default_factory=list)
    _pipes: list[asyncio.Task[None]] = field(default_factory=list)
    _digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    _started: int = 0
    _ids: Iterator[str] = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _is_calm: bool = False
    _fuse: tuple[str, int, str] | None = None  # who is killed at which command, before or after it

    def __post_init__(self) -> None:
        limits = {"deadline_seconds": 6_000.0, "spawns_per_minute": 120, **self.plan.limits}
        board = {
            "seats": ("picard", "socrates", "solomon"),
            "quorum": 2,
            "seat_seconds": 30.0,
            "motion_seconds": 120.0,
            "procedure": random.Random(f"procedure {self.seed}").choice(("brisk", "full")),
            **self.plan.board,
        }
        self.declared = declarations(board, **limits)
        self.chance = random.Random(f"world {self.seed}")
        self._ids = iter(_ids())
        self.server = Server(self.now, random.Random(f"server {self.seed}"), self.plan.is_logged)
        self._fuse = self.plan.fuse
        self.player = Player(self.seed, self.plan.temper, self.trace, self.now)
        self.net = Network(self.loop, self.server, random.Random(f"net {self.seed}"), self.trace)
        self.watch = Watch(self.server, Keys(NAMESPACE), self.player, self.declared.board)
        self.rogue = Rogue(
            self.server, Keys(NAMESPACE), random.Random(f"rogue {self.seed}"), self.net.fault
        )
        self.server.about, self.server.saw = self.watch.about, self._saw
        self.net.at_command = self._at_command
        self.server.heard = self._heard

    def now(self) -> float:
        return START + self.loop.time()

    def trace(self, *what: Any) -> None:
        line = f"{self.loop.time():.6f} {' '.join(map(str, what))}"
        self._digest.update(line.encode("utf-8", "replace"))
        if self.is_told:
            self.lines.append(line[:400])

    def _saw(self, who: str, name: str, words: Sequence[str], answer: Any) -> None:
        self.trace(who, name, *words[1 + (words[0] == "EVALSHA") :], "->", answer)
        self.watch.saw(name, words, answer)
        self.rogue.see(who, name, words, answer)
        if name == "supervise" and answer == "done":
            self._act_below_marks()

    def _heard(self, channel: str, line: str) -> None:
        self.watch.heard(channel, line)
        self.net.publish(channel, line)

    # --- processes ---

    def _store(self, way: Way, clock: Clock) -> RedisStore:
        return RedisStore(way, NAMESPACE, SECRET, now=clock.now, steady=self.loop.time)

    def start(self, kind: Kinds, name: str) -> Node:
        """A new process in the place of that name. It has its own host id, memory and
        connection.
        """
        self._started += 1
        gate = Gate(f"{name}.{self._started}")
        skew = self.nodes[name].clock.skew if name in self.nodes else self.plan.skews.get(name, 0.0)
        clock = Clock(self.loop, self._ids, skew)
        node = Node(name, kind, gate, Way(self.net, gate), clock)
        self.nodes[name] = node
        self.trace("start", gate.name)
        context = copy_context()
        context.run(GATE.set, gate)
        self._tasks.append(context.run(self.loop.create_task, self._run(node)))
        return node

    async def _run(self, node: Node) -> None:
        if node.gate.is_dead:
            return
        node.stop = anyio.Event()
        try:
            async with anyio.create_task_group() as tasks:
                node.scope = tasks.cancel_scope
                store = self._store(node.way, node.clock)
                bell = Bell(node.way, store.keys)
                tasks.start_soon(store.pipe.run)
                tasks.start_soon(bell.run)
                await (self._supervise if node.kind == "supervisor" else self._work)(
                    node, store, bell
                )
                tasks.cancel_scope.cancel()
        except BaseException as error:
            if not node.gate.is_dead:
                self.watch.breach(
                    f"{node.gate.name} ended by itself: "
                    f"{''.join(traceback.format_exception(error))}"
                )

    async def _supervise(self, node: Node, store: RedisStore, bell: Bell) -> None:
        assert node.stop is not None
        await store.check_schema()
        await store.declare(self.declared.digest, is_supervisor=True)
        self.swarm = await store.identity(node.clock.new_id("s"))
        archive = JournalFiles(self.folder, self.swarm)
        host, rings = HostId(node.clock.new_id("h")), bell.line(keeps=[MISSIONS])
        supervisor = Supervisor(
            store, rings, node.clock, self.declared, host, None, node.stop, archive=archive
        )
        self._overhear(store, supervisor)
        await supervisor.run()

    def _overhear(self, store: RedisStore, supervisor: Supervisor) -> None:
        """What it hands over is judged when the server has done it."""
        commit = store.commit_changes

        async def overheard(token: str, seq: int, changes: Sequence[Change], *more: Any) -> Any:
            self.watch.laws.about(token, seq, changes, supervisor.state, supervisor.memory.time.at)
            return await commit(token, seq, changes, *more)

        store.commit_changes = overheard  # type: ignore[method-assign, assignment]

    async def _work(self, node: Node, store: RedisStore, bell: Bell) -> None:
        assert node.stop is not None
        while not await store.check_schema(makes=False):
            await anyio.sleep(0.5)
        provider = self.declared.models.provider("scripted").model_copy(
            update={"attempts_max": 8, **self.plan.provider}
        )

        async def mind(spec: str) -> Mind:
            return Mind(self.player, provider)

        def stamp() -> str:
            return stamp_of(node.clock.now() + store.clock_behind())

        around = Surroundings(store, self.declared, built_in(store, None), mind, stamp)
        host = Host(HostId(node.clock.new_id("h")), 10_000, "w-1")
        await Worker(around, host, bell.line(), node.stop).run()

    def kill(self, node: Node) -> None:
        """At once: nothing that it had not sent is ever sent, and nothing of it is remembered."""
        if node.gate.is_dead:
            return
        self.trace("kill", node.gate.name)
        node.gate.is_dead = True
        if node.scope is not None:
            node.scope.cancel()
        if node.gate.is_shut:
            node.gate.open(self.loop)
        self.net.ways.pop(node.gate.name, None)

    def _kill_and_restart(self, node: Node) -> None:
        self.kill(node)
        seconds = 0.1 if self._is_calm else self.chance.uniform(*_RESTART_SECONDS)
        self.net.at(self.loop.time() + seconds, self._restart, node)

    def _restart(self, node: Node) -> None:
        if self.nodes[node.name] is node:
            self.start(node.kind, node.name)

    def _at_command(self, name: str, when: str) -> None:
        if self._fuse is None or self._fuse[0] != name:
            return
        who, left, which = self._fuse
        if when == which:
            self._fuse = (who, left - 1, which)
            if left <= 1:
                self._fuse = None
                self.net.fault("killed at a command", name)
                self._kill_and_restart(next(n for n in self.nodes.values() if n.gate.name == name))

    # --- mishaps ---

    def _pick(self, kind: Kinds | None = None) -> Node | None:
        nodes = [n for n in self.nodes.values() if not n.gate.is_dead and kind in (None, n.kind)]
        return self.chance.choice(nodes) if nodes else None

    async def _act_against_the_law(self) -> None:
        while self.plan.rogue_seconds:
            await anyio.sleep(self.rogue.chance.expovariate(1 / self.plan.rogue_seconds))
            if self.server.is_up and not self.server.says:
                self.rogue.act()

    def _act_below_marks(self) -> None:
        """Marks stand for moments: what they hold is tried while they do."""
        is_on = self.plan.rogue_seconds and not self._is_calm and self.rogue.is_marked()
        if is_on and self.rogue.chance.random() < 0.3:
            self.net.at(self.loop.time() + 0.001, self._try_below_marks)

    def _try_below_marks(self) -> None:
        if self.server.is_up and not self.server.says:
            self.rogue.below_a_mark()

    async def _mishaps(self, name: str, every: float) -> None:
        while True:
            await anyio.sleep(self.chance.expovariate(1 / every))
            self._mishap(name)

    def _mishap(self, name: str) -> None:
        kinds: dict[str, Kinds] = {"kill a worker": "worker", "kill a supervisor": "supervisor"}
        node = self._pick(kinds.get(name))
        if node is None:
            return
        who = node.gate.name
        later = self.loop.time() + self.chance.uniform(0.5, 25.0)
        match name:
            case "kill a worker" | "kill a supervisor":
                self.net.fault(name, who)
                self._kill_and_restart(node)
            case "kill at a command":
                self._fuse = (
                    who,
                    self.chance.randint(1, 40),
                    self.chance.choice(("before", "after")),
                )
            case "pause" if not node.gate.is_shut:
                self.net.fault(name, who)
                node.gate.is_shut = True
                self.net.at(later, self._wake, node)
            case "partition" if not node.way.is_parted:
                self.net.fault(name, who)
                node.way.is_parted, node.way.holds = True, self.chance.random() < 0.5
                self.net.at(later, self._heal, node)
            case "clock jump":
                node.clock.skew = self.chance.choice(
                    (0.0, 3.0, -3.0, 240.0, -240.0, 3_600.0, -3_600.0)
                )
                self.net.fault(name, f"{who} {node.clock.skew:+.0f} s")
            case "server restart" | "server loses a second" if self.server.is_up:
                self.net.fault(name, "server")
                self.server.is_up = False
                self.net.break_all()
                if name == "server restart":
                    self.server.restart()
                else:
                    self._lose()
                self.net.at(self.loop.time() + self.chance.uniform(0.05, 8.0), self._up)
            case "server full" | "server loading" | "server read-only" if not self.server.says:
                self.net.fault(name, "server")
                self.server.says = _SAYS[name]
                self.net.at(self.loop.time() + self.chance.uniform(0.5, 15.0), self._takes_all)
            case _:
                pass

    def _takes_all(self) -> None:
        self.trace("the server takes everything")
        self.server.says = ""

    def _wake(self, node: Node) -> None:
        if node.gate.is_shut:
            self.trace("wake", node.gate.name)
            node.gate.open(self.loop)

    def _heal(self, node: Node) -> None:
        if node.way.is_parted:
            self.trace("heal", node.gate.name)
            node.way.heal()

    def _up(self) -> None:
        self.trace("server up")
        self.server.is_up = True

    def calm(self) -> None:
        """No more faults; what is down comes up, what sleeps wakes, and every clock is right."""
        self._is_calm, self._fuse = True, None
        self.net.rates = PERFECT
        self.trace("calm")
        self._takes_all()
        if not self.server.is_up:
            self._up()
        for node in list(self.nodes.values()):
            self._wake(node)
            self._heal(node)
            node.clock.skew = 0.0
            if node.gate.is_dead:
                self._restart(node)

    # --- what is asked of the swarm ---

    async def _ask(self, ask: partial[Coroutine[Any, Any, None]]) -> None:
        """Until it is acknowledged."""
        await ask()
        self._asked.append((self.now(), ask))

    async def _ask_again(self, asks: Sequence[partial[Coroutine[Any, Any, None]]]) -> None:
        for ask in asks:
            await self._ask(ask)

    def _lose(self) -> None:
        """The server's last second is gone. Who asked for something then asks again: no more was
        promised to him.
        """
        until = self.server.lose(self.chance.uniform(0.0, 1.0))
        self.watch.lost(until)
        self.rogue.lost()
        lost = [ask for at, ask in self._asked if at > until]
        self._asked = [(at, ask) for at, ask in self._asked if at <= until]
        if not self.plan.asks_again:
            for ask in lost:
                asked = self.missions if ask.args[1] in self.missions else self.orders
                asked[ask.args[1]] = False
        elif lost:
            self._asking.append(self.loop.create_task(self._ask_again(lost)))

    async def _submit(self) -> None:
        store = self._outside("submitter")
        for number in range(self.plan.missions):
            id = f"m-{number}"
            self.missions[id] = False
            await self._ask(partial(self._hand_in, store, id))
            await anyio.sleep(
                self.chance.uniform(0.0, self.plan.fault_seconds / self.plan.missions)
            )

    async def _hand_in(self, store: RedisStore, id: str) -> None:
        await store.keep_mission({"mission": "Find out.", "id": id})
        self.missions[id] = True

    async def _order(self) -> None:
        store = self._outside("operator")
        for number in range(self.plan.orders):
            await anyio.sleep(self.chance.uniform(1.0, 20.0))
            living = sorted(self.server.ask("SMEMBERS", store.keys.agents))
            target = self.chance.choice([id for id in living if id.startswith("a-")] or ["m-0"])
            verb = self.chance.choice(("freeze", "halt", "drain", "terminate", "revoke", "grant"))
            await self._ask(partial(self._give, store, f"o-{number}", verb, target))
            if verb in ("freeze", "halt", "drain"):
                self._stopped.append(target)
                await anyio.sleep(self.chance.uniform(0.1, 15.0))
                await self._ask(partial(self._give, store, f"o-{number}-thaw", "thaw", target))

    async def _thaw_all(self) -> None:
        """What an order that was given again may have stopped after it was thawed."""
        store = self._outside("operator")
        for number, target in enumerate(self._stopped):
            await self._ask(partial(self._give, store, f"o-last-{number}", "thaw", target))

    async def _give(self, store: RedisStore, order: str, verb: str, target: str) -> None:
        self.orders.setdefault(order, False)
        data = {"order": order, "verb": verb, "target": target, "reason": "the seed has it"}
        if verb in ("revoke", "grant"):
            data |= {
                "privilege": random.Random(f"{self.seed} {order}").choice(_PRIVILEGES),
                "right": "both",
            }
        message = Message(
            sender=AgentId("operator"),
            kind=Kind.ORDER,
            at=stamp_of(self.now()),
            text=verb,
            data=data,
        )
        await store.post(ORDERS, message, key=order)
        self.orders[order] = True

    def _outside(self, name: str) -> RedisStore:
        """The store of somebody who is no process of ours, and has the same network to cross."""
        self._started += 1
        store = self._store(
            Way(self.net, Gate(f"{name}.{self._started}")), Clock(self.loop, self._ids)
        )
        self._pipes.append(self.loop.create_task(store.pipe.run()))
        return store

    # --- the run ---

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.watch.breach(f"the simulation itself failed: {context}")

    async def run(self) -> None:
        self.loop.set_exception_handler(self._failed)
        for number in range(self.plan.supervisors):
            self.start("supervisor", f"s{number}")
        for number in range(self.plan.workers):
            self.start("worker", f"w{number}")
        self.net.rates = self.plan.rates
        self._asking = [self.loop.create_task(self._submit()), self.loop.create_task(self._order())]
        failing = [
            self.loop.create_task(self._mishaps(n, every)) for n, every in self.plan.mishaps.items()
        ]
        failing.append(self.loop.create_task(self._act_against_the_law()))
        for seconds in self.plan.loses_at:
            self.net.at(seconds, self._mishap, "server loses a second")
        await anyio.sleep(self.plan.fault_seconds)
        for task in failing:
            task.cancel()
        self.calm()
        await self._until_asked()
        self._asking.append(self.loop.create_task(self._thaw_all()))
        await self._until_asked()
        await self._until_all_ended()
        await self._rest()
        self.watch.end(self.folder, self.swarm, self.missions, self.orders)
        await self._leave()

    async def _until_asked(self) -> None:
        done, waiting = await asyncio.wait(self._asking, timeout=self.plan.settle_seconds)
        for task in waiting:
            self.watch.breach("nobody acknowledges what is asked")
            task.cancel()
        for task in done:
            if task.exception() is not None:
                self.watch.breach(f"who asks was failed: {task.exception()!r}")

    async def _until_all_ended(self) -> None:
        deadline = self.loop.time() + self.plan.settle_seconds
        while self.loop.time() < deadline:
            results = self.watch.results()
            if all(results[id] for id, is_acknowledged in self.missions.items() if is_acknowledged):
                return
            await anyio.sleep(1.0)
        results = self.watch.results()
        open_ones = [
            id
            for id, is_acknowledged in self.missions.items()
            if is_acknowledged and not results[id]
        ]
        self.watch.breach(
            f"no end: {open_ones} go on {self.plan.settle_seconds:.0f} s after the last fault"
        )

    async def _rest(self) -> None:
        """Law 10: when all is done nothing is called, nothing is written."""
        await anyio.sleep(SETTLE_REST_SECONDS)
        calls, commits, n = self.player.calls, self.watch.commits, self._head()
        await anyio.sleep(self.plan.rest_seconds)
        if (self.player.calls, self.watch.commits) != (calls, commits):
            self.watch.breach("law 10: a model was called, or a turn made, with nothing to do")
        # Over a long rest records are forgotten, and that is not an entry.
        if self._head() != n:
            self.watch.breach("law 10: the supervisor wrote with nothing to do")
        # A seat outlives its missions: what it thinks for one that has ended is let go in time.
        seats = self.declared.board.seats
        running = [id for id, n in self.player.running.items() if n and id not in seats]
        if running:
            self.watch.breach(f"law 2: {running} still run")

    def _head(self) -> str:
        return str(self.server.ask("HGET", self.watch.keys.head, "n"))

    async def _leave(self) -> None:
        """In order, as at a SIGTERM: then nothing of anybody is left."""
        for pipe in self._pipes:
            pipe.cancel()
        for node in self.nodes.values():
            if node.stop is not None:
                node.stop.set()
        await anyio.sleep(20.0)
        for task in self._tasks:
            if not task.done():
                self.watch.breach(f"{task} has not ended")
                task.cancel()
        self.trace("end", *sorted(self.watch.states().items()))

    def outcome(self) -> Outcome:
        return Outcome(
            self.seed,
            self._digest.hexdigest(),
            tuple(self.watch.breaches),
            dict(self.net.faults),
            dict(self.watch.states()),
            self.loop.time(),
            self.server.executed,
            self.watch.commits,
            self.player.calls,
            self.player.overlaps,
            dict(self.watch.told("event")),
            dict(self.watch.told("rule")),
            self.watch.kept(),
            tuple(self.lines),
        )


# What ended is told, reaped and settled within this: hosts that are gone are known to be after two
# leases.
SETTLE_REST_SECONDS: Final = 30.0


# How often a supervisor looks of itself: what it looks for is done as well four times as seldom,
# and what rings wakes it as before. Most commands of a simulation would be these looks.
LOOK_SECONDS: Final = 1.0


def _ids() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{number:010d}"


def simulate(
    seed: int, plan: Plan | None = None, *, is_told: bool = False, is_hasty: bool = False
) -> Outcome:
    """One run of a seed; a hasty one ends at its first breach. What the simulation itself cannot go
    on with is a breach too: a search must not end at it."""
    world: World | None = None
    plan = plan or Plan.of(seed)
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))

    async def main(loop: VirtualLoop) -> None:
        nonlocal world
        world = World(seed, plan, loop, folder, is_told)
        with clocked(world.now), thrifty(), _quiet(world), _looking_seldom():
            await (_until_a_breach(world) if is_hasty else world.run())

    try:
        virtually(main)
    except Exception as error:
        if world is None:
            raise
        world.watch.breach(f"the run ended: {''.join(traceback.format_exception(error))}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert world is not None
    return world.outcome()


@contextmanager
def _looking_seldom() -> Iterator[None]:
    module: Any = supervisor_module
    before = module.TICK_SECONDS
    module.TICK_SECONDS = max(before, LOOK_SECONDS)
    try:
        yield
    finally:
        module.TICK_SECONDS = before


async def _until_a_breach(world: World) -> None:
    found = asyncio.Event()
    world.watch.told_of = found.set
    both = [asyncio.ensure_future(world.run()), asyncio.ensure_future(found.wait())]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)


@contextmanager
def _quiet(world: World) -> Iterator[None]:
    """The processes' logs are not shown. One of an exception that nobody meant is a breach: the
    product survived a bug.
    """

    def collect(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        world.trace("log", method, event.get("event"))
        gate = GATE.get()
        if event.get("exc_info") and not (gate and gate.is_dead):
            error = _error_of(event["exc_info"])
            if error is not None and not isinstance(error, CrashedMindError):
                what = "".join(traceback.format_exception(error))
                world.watch.breach(f"{gate.name if gate else ''}: {event.get('event')}: {what}")
        raise structlog.DropEvent

    # A host's record names its machine.
    named: Any = codecs
    before, uname = structlog.get_config(), named.os
    named.os = SimpleNamespace(uname=lambda: SimpleNamespace(nodename="sim"))
    structlog.configure(processors=[collect], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
        named.os = uname


def _error_of(info: Any) -> BaseException | None:
    import sys

    return info if isinstance(info, BaseException) else sys.exc_info()[1]
