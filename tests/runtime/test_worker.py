"""A worker over the real store: what it hears, what it misses, what it must give back and what it
must not.

The store runs on fakeredis, whose scripts are the real ones; time is a loop's that jumps to its
next timer, so that nothing here sleeps. Only the count of connections needs a real server.
"""

from __future__ import annotations

import asyncio
import json
import selectors
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar, cast

import anyio
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swarmd.adapters.config import loader as declarations
from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.redis.supervisor_store import RedisSupervisorStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.agent.mailbox import concerns
from swarmd.core.model.changes import AccountOpened, AgentMade, AgentSet, Change, MissionSet, Post
from swarmd.core.model.channels import (
    JOURNAL,
    MISSIONS,
    ORDERS,
    REQUESTS,
    RESULTS,
    down,
    host_channel,
    inbox,
    room,
)
from swarmd.core.model.charter import Charter
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, follows
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    FIRST,
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    Channel,
    HostId,
    MissionId,
    MissionState,
    StreamId,
)
from swarmd.core.model.records import Host, Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import LEASE_SECONDS, SWEEP_SECONDS, stamp_of
from swarmd.core.queries.activity import held_back
from swarmd.ports.files import Files
from swarmd.ports.models import Answered, Failed, Model, Prompt, Usage
from swarmd.ports.pubsub import Rings
from swarmd.ports.stores import Hold, RefusedByStore, SupervisorStore, Used
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.functions import Handlers, built_in
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError, Reserve
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker
from tests.conftest import SECRET
from tests.fake_server import FakeDial

T = TypeVar("T")
AT: Final = "2026-03-01T10:00:00.000Z"
HERE, ELSEWHERE = HostId("h-here"), HostId("h-elsewhere")
MISSION = MissionId("m-1")
DECLARED: Final = declarations.load()


# --- a world whose time jumps ------------------------------------------------------------------


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for the next timer, it is then: nothing but timers can happen in these
    tests.
    """

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, (
            "everything waits, and no timer is set: nothing will ever happen"
        )
        ready = super().select(0)
        if not ready:
            self.passed += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in which an hour costs a millisecond."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed


def jumping(test: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(test())


@dataclass(slots=True)
class LoopClock:
    """The port `Clock` on the loop's time."""

    ids: int = 0

    def now(self) -> float:
        return 1_800_000_000.0 + asyncio.get_running_loop().time()

    def new_id(self, prefix: str) -> str:
        self.ids += 1
        return f"{prefix}-{self.ids:010d}"


@dataclass(slots=True)
class Silence:
    """The port `Rings` when every ring is lost."""

    followed: set[Channel] = field(default_factory=set)

    async def follow(self, more: Collection[Channel], gone: Collection[Channel] = ()) -> None:
        self.followed = (self.followed | set(more)) - set(gone)

    async def next(self, seconds: float) -> tuple[Channel, str] | Literal["gap"] | None:
        await anyio.sleep(seconds)
        return None


@asynccontextmanager
async def stored() -> AsyncIterator[RedisStore]:
    """The store over a server of its own in memory."""
    client = FakeAsyncRedis(server=FakeServer(), decode_responses=True)
    async with aclosing(client), anyio.create_task_group() as tasks:
        store = RedisStore(FakeDial(client), "t", SECRET)
        tasks.start_soon(store.pipe.run)
        yield store
        tasks.cancel_scope.cancel()


def executive(
    id: str, *, host: HostId = HERE, lease: int = 1, mission: MissionId = MISSION
) -> Agent:
    return Agent(
        id=AgentId(id),
        name=id,
        role="executive",
        tier=1,
        parent=SOB,
        path=(SOB, "@owner", mission, id),
        mission=mission,
        state=AgentState.LIVE,
        host=host,
        lease=lease,
        created=AT,
        privileges=("model/**", "tool/**"),
        charter=Charter(role="executive", name=id, task="Answer."),
    )


def message(text: str, *, to: str = "", kind: Kind = Kind.DIRECTIVE) -> Message:
    return Message(sender=SOB, to=to, kind=kind, at=AT, mission=MISSION, text=text)


@dataclass(slots=True)
class Lineage:
    """The supervisor's pen in a test's hand: what it writes is committed as a supervisor would."""

    store: RedisStore
    number: int = 0
    seq: int = 0

    async def write(self, *changes: Change) -> None:
        if not self.number:
            self.number = await self.store.lead(HostId("h-pen"), 3_600)
        self.seq += 1
        token = f"{self.number}:h-pen"
        assert await self.store.commit_changes(token, self.seq, changes, {}) == "done"

    async def found(self, *agents: Agent) -> None:
        """A mission with money, and agents made for it and placed where they say that they are."""
        caps = {
            "tokens": 1_000_000,
            "cost": 1_000_000,
            "calls": 1_000,
            "tools": 1_000,
            "agents": 10,
        }
        mission = Mission(
            id=MISSION,
            text="Why?",
            state=MissionState.WORKING,
            budget=caps,
            created=AT,
            deadline=2e9,
        )
        await self.write(MissionSet(mission), AccountOpened(MISSION, "", caps, own_slot=False))
        for agent in agents:
            await self.write(
                AgentMade(agent, follows(agent, DECLARED.rooms)),
                AccountOpened(agent.id, "", caps, own_slot=True),
            )
            await self.place(agent)

    async def place(self, *agents: Agent) -> None:
        placed = Message(
            sender=SUPERVISOR,
            kind=Kind.PLACED,
            at=AT,
            text="placed",
            data={"agents": [a.id for a in agents]},
        )
        hosts = {agent.host for agent in agents}
        posts = [Post(host_channel(host), placed) for host in hosts]
        await self.write(*(AgentSet(agent) for agent in agents), *posts)


def worker_of(
    store: RedisStore,
    model: Model | None = None,
    *,
    rings: Rings | None = None,
    host: HostId = HERE,
    declared: Declarations = DECLARED,
    handlers: Handlers = MappingProxyType({}),
    files: Files | None = None,
) -> Worker:
    async def mind(spec: str) -> Mind:
        return Mind(model or ScriptedModel(), DECLARED.models.provider("scripted"))

    clock = LoopClock()
    here = built_in(store, files) | dict(handlers)
    world = World(store, declared, here, mind, lambda: stamp_of(clock.now()), files=files)
    return Worker(world, Host(host, 10_000, "w-1"), rings or Silence(), anyio.Event())


@asynccontextmanager
async def at_work(*workers: Worker) -> AsyncIterator[None]:
    """They run until the block ends; then they leave as at a SIGTERM."""
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        yield
        for worker in workers:
            worker.stop.set()


async def until(claim: Callable[[], Awaitable[T]], seconds: float = 60.0) -> T:
    """The first true answer within so much of the loop's time."""
    with anyio.fail_after(seconds):
        while not (found := await claim()):
            await anyio.sleep(0.05)
    return found


async def facts_of(store: RedisStore, **wanted: str) -> list[dict[str, str]]:
    """Facts that have all of these."""
    facts = [fact for _, fact in await store.read_facts(FIRST, 10_000)]
    return [fact for fact in facts if wanted.items() <= fact.items()]


@dataclass(slots=True)
class Slow:
    """A model that thinks until it is let go. `is_deaf` to being cancelled, as a blocking
    library would be.
    """

    inner: ScriptedModel = field(default_factory=ScriptedModel)
    is_deaf: bool = False
    begun: int = 0
    go: anyio.Event = field(default_factory=anyio.Event)

    @property
    def name(self) -> str:
        return "scripted:slow"

    @property
    def is_language_model(self) -> bool:
        return False

    def bound(self, prompt: Prompt) -> Usage:
        return Usage(500, 0)

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        sending()
        self.begun += 1
        with anyio.CancelScope(shield=self.is_deaf):
            await self.go.wait()
        return await self.inner.attempt(prompt)

    async def aclose(self) -> None:
        """Nothing is open."""


async def has_begun(model: Slow, count: int = 1) -> None:
    async def begun() -> bool:
        return model.begun >= count

    await until(begun)


# --- hearing -----------------------------------------------------------------------------------

AGENTS: Final = ("a-1", "a-2", "a-3")
SHARED: Final = (down(SOB), room(f"executives-{MISSION}"))

Step = tuple[str, int]
_POSTS = st.tuples(st.just("post"), st.integers(0, len(AGENTS) + len(SHARED) - 1))
_EARS = st.tuples(st.sampled_from(["hear", "lose", "hear again", "sweep"]), st.just(0))
_PLACES = st.tuples(st.just("place"), st.integers(0, len(AGENTS) - 1))


@dataclass(slots=True)
class Listening:
    """A worker that only listens, and the rings on their way to it, in the test's hand."""

    lineage: Lineage
    worker: Worker
    bell: Any
    unheard: deque[tuple[Channel, str]] = field(default_factory=deque)
    heard: list[tuple[Channel, str]] = field(default_factory=list)
    leases: dict[str, int] = field(default_factory=dict)
    count: int = 0

    async def do(self, what: str, which: int) -> None:
        match what:
            case "post":
                channels = [*SHARED, *(inbox(AgentId(id)) for id in AGENTS)]
                self.count += 1
                await self.lineage.store.post(channels[which], message(f"{self.count}"))
            case "place":
                id = AGENTS[which]
                self.leases[id] = self.leases.get(id, 0) + 1
                await self.lineage.place(executive(id, lease=self.leases[id]))
            case "sweep":
                await self.worker.listening.sweep()
            case "hear again" if self.heard:
                await self.worker.listening.delivery.hear(*self.heard[-1])
            case _ if self.unheard:
                ring = self.unheard.popleft()
                if what == "hear":
                    self.heard.append(ring)
                    await self.worker.listening.delivery.hear(*ring)
        await self._listen()

    async def _listen(self) -> None:
        while (event := await self.bell.get_message(timeout=0)) is not None:
            if event["type"] == "pmessage":
                channel = self.lineage.store.keys.channel_of(event["channel"])
                self.unheard.append((channel, event["data"]))

    async def mailboxes(self) -> dict[str, list[str]]:
        return {
            f"{resident.agent.id} {channel}": [
                m.text for m in resident.mailbox or () if m.channel == channel
            ]
            for resident in self.worker.residents.by_id.values()
            for channel in resident.seen
        }

    async def streams(self) -> dict[str, list[str]]:
        """What each agent here must have: all of its channels, for no turn was ever committed."""
        return {
            f"{resident.agent.id} {channel}": [
                m.text
                for m in await self.lineage.store.read(channel, FIRST, 1_000)
                if concerns(resident.agent, m)
            ]
            for resident in self.worker.residents.by_id.values()
            for channel in resident.seen
        }


async def _listened(steps: Sequence[Step]) -> None:
    async with stored() as store:
        lineage = Lineage(store)
        await lineage.found()
        for id in AGENTS:
            agent = executive(id)
            await lineage.write(AgentMade(agent, follows(agent, DECLARED.rooms)))
        worker = worker_of(store)
        worker.stop.set()  # no turns: what was heard stays in the mailboxes
        worker.residents.last[host_channel(HERE)] = FIRST
        assert isinstance(store.pipe.dial, FakeDial)
        bell = store.pipe.dial.client.pubsub()
        await bell.psubscribe("t:*")
        listening = Listening(lineage, worker, bell)
        for what, which in steps:
            await listening.do(what, which)
        await listening.do("sweep", 0)
        await bell.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        assert await listening.mailboxes() == await listening.streams()


@given(st.lists(st.one_of(_POSTS, _POSTS, _EARS, _EARS, _PLACES), max_size=30))
@example([("place", 0), ("sweep", 0), ("place", 1), ("post", 0), ("sweep", 0)])
@example([("place", 0), ("hear", 0), ("place", 0), ("post", 0), ("hear", 0), ("hear", 0)])
@settings(max_examples=100, deadline=None)
def test_a_message_is_put_in_a_mailbox_once_for_any_interleaving_of_rings_sweeps_and_placements(
    steps: list[Step],
) -> None:
    jumping(lambda: _listened(steps))


def test_an_agent_that_comes_does_not_take_a_message_from_those_that_are_here() -> None:
    steps = [("place", 0), ("sweep", 0), ("place", 1), ("post", 0), ("sweep", 0)]
    jumping(lambda: _listened(steps))


def test_a_lost_ring_costs_one_sweep_at_most() -> None:
    async def test() -> None:
        async with stored() as store:
            loop = asyncio.get_running_loop()
            delays: list[float] = []
            sent: dict[str, float] = {}

            async def answer(_world: World, resident: Resident) -> None:
                for mail in resident.mailbox or ():
                    delays.append(loop.time() - sent[mail.text])
                resident.mailbox = None

            lineage = Lineage(store)
            await lineage.found(*(executive(id) for id in AGENTS))
            worker = worker_of(store)
            worker.turns.answer = answer
            async with at_work(worker):
                await anyio.sleep(SWEEP_SECONDS)
                for n in range(40):
                    sent[f"{n}"] = loop.time()
                    await store.post(inbox(AgentId(AGENTS[n % 3])), message(f"{n}"))
                    await anyio.sleep(0.17)
                await anyio.sleep(2 * SWEEP_SECONDS)
            assert len(delays) == len(sent)
            assert max(delays) <= SWEEP_SECONDS + 0.01

    jumping(test)


# --- without a lead ----------------------------------------------------------------------------


@dataclass(slots=True)
class Queued(Slow):
    """Waits for its provider's pace before it sends anything, as a model behind a limit of calls
    does.
    """

    waiting: int = 0

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        self.waiting += 1
        await self.go.wait()
        sending()
        self.begun += 1
        return await self.inner.attempt(prompt)


async def _lead_ends(store: RedisStore) -> None:
    await store.pipe.execute("DEL", store.keys.leader)


async def _reported(store: RedisStore) -> list[Message]:
    async def reports() -> list[Message]:
        return await store.read(Channel("up:sob"), FIRST, 10)

    return await until(reports)


@pytest.mark.parametrize(
    "is_doubtful", [False, True], ids=["at once", "what waited when the agent came"]
)
def test_a_turn_without_a_lead_waits_uncounted_and_goes_on_by_itself(is_doubtful: bool) -> None:
    async def test() -> None:
        async with stored() as store:
            model = Slow()
            model.go.set()
            await Lineage(store).found(executive("a-1"))
            mail = replace(message("begin"), hops=3)
            if is_doubtful:
                await store.post(inbox(AgentId("a-1")), mail)
            await _lead_ends(store)
            async with at_work(worker_of(store, model)):
                await anyio.sleep(SWEEP_SECONDS)
                if not is_doubtful:
                    await store.post(inbox(AgentId("a-1")), mail)
                await anyio.sleep(60 * SWEEP_SECONDS)
                assert model.begun == 0
                assert (
                    len(await facts_of(store, fact="refuse", rule="lead.none", agent="a-1")) == 1
                ), "held, and not asked for again and again"
                tries = await store.pipe.execute(
                    "HGET", store.keys.steps(AgentId("a-1")), "1:tries"
                )
                assert (tries or "0").startswith("0")
                assert await store.lead(HostId("h-next"), 3_600)
                (report,) = await _reported(store)
            assert model.begun == 1
            assert report.hops == 4, "as if it had not waited"
            assert (await store.resume(AgentId("a-1"))).turn == 1

    jumping(test)


def test_a_call_that_waits_for_its_pace_when_the_lead_ends_is_not_sent_before_there_is_another() -> (
    None
):
    async def test() -> None:
        async with stored() as store:
            model = Queued()
            await Lineage(store).found(executive("a-1"))
            async with at_work(worker_of(store, model)):
                await store.post(inbox(AgentId("a-1")), message("begin"))
                with anyio.fail_after(60):
                    while not model.waiting:
                        await anyio.sleep(0.05)
                await _lead_ends(store)
                await anyio.sleep(2 * SWEEP_SECONDS)
                model.go.set()
                await anyio.sleep(10 * SWEEP_SECONDS)
                assert (model.waiting, model.begun) == (1, 0)
                steps = await store.pipe.execute("HKEYS", store.keys.steps(AgentId("a-1")))
                assert isinstance(steps, list)
                assert held_back([str(step) for step in steps]) == "lead.none", "people see why"
                assert len(await facts_of(store, fact="refuse", rule="lead.none")) == 1
                assert await store.lead(HostId("h-next"), 3_600)
                await _reported(store)
            assert model.begun == 1
            ledger = await store.pipe.execute("HGETALL", store.keys.ledger("a-1"))
            spent = (
                dict(zip(ledger[::2], ledger[1::2], strict=True))
                if isinstance(ledger, list)
                else ledger
            )
            assert (spent["calls.spent"], spent["calls.reserved"]) == ("1", "0"), "paid for once"

    jumping(test)


def test_what_was_given_up_is_no_step_of_the_turns_bound() -> None:
    """A turn of two calls with a bound of two, of which each was cut once before it was sent."""

    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive("a-1"))
            await store.register(Host(HERE, 10, ""), 3_600)
            agent = executive("a-1")
            hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
            journal = Journal(
                store,
                hold,
                1,
                agent.id,
                agent.path,
                (),
                "{}",
                80,
                lambda: AT,
            )

            async def cut() -> tuple[str, Used]:
                raise NotAllowedError(RefusedByStore(Rule.NO_LEAD, "gone"))

            async def done() -> tuple[str, Used]:
                return "{}", Used({"tools": 1})

            for _ in range(2):
                with pytest.raises(NotAllowedError):
                    await journal.call(
                        "read", cut, reserve=Reserve({"tools": 1}), lost=lambda: Used({"tools": 0})
                    )
                again = replace(journal, step=journal.step - 1)
                assert await again.call("read", done, reserve=Reserve({"tools": 1})) == "{}"
                journal = again
            assert (journal.step, journal.functions_done) == (4, 2)

    jumping(test)


# --- turns that go wrong -----------------------------------------------------------------------


def test_a_host_that_renewed_too_late_goes_on_with_the_agents_that_are_still_its_own() -> None:
    """As after ten seconds without the server: nobody moved the agents, and nobody would place
    them again.
    """

    async def test() -> None:
        async with stored() as store:
            model = Slow()
            await Lineage(store).found(executive("a-1"))
            async with at_work(worker_of(store, model)):
                await store.post(inbox(AgentId("a-1")), message("begin"))
                await has_begun(model)
                await store.pipe.execute("DEL", store.keys.host(HERE))
                model.go.set()

                async def reported() -> list[Message]:
                    return await store.read(Channel("up:sob"), FIRST, 10)

                assert len(await until(reported)) == 1
                assert await facts_of(store, fact="refuse", rule="lease.lost", agent="a-1")
            assert model.begun == 1, "the call that had ended is not made again"

    jumping(test)


@dataclass(slots=True)
class Buggy(Slow):
    """Raises at the first mail that it is asked about, when it is let go; `asked` are the texts
    of each call's mail.
    """

    asked: list[list[str]] = field(default_factory=list)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        self.asked.append([mail.text for mail in prompt.view.mail])
        if len(self.asked) == 1:
            self.begun += 1
            await self.go.wait()
            raise ValueError("a bug in this turn")
        return await self.inner.attempt(prompt)


def test_mail_that_came_during_a_turn_that_failed_is_answered() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive("a-1"))
            model = Buggy()
            async with at_work(worker_of(store, model)):
                await store.post(inbox(AgentId("a-1")), message("first"))
                await has_begun(model)
                await store.post(inbox(AgentId("a-1")), message("second"))
                await anyio.sleep(2 * SWEEP_SECONDS)
                model.go.set()
                await anyio.sleep(2 * SWEEP_SECONDS)
            # The first is tried again, by itself.
            assert model.asked == [["first"], ["first"], ["second"]]

    jumping(test)


def test_an_agent_that_cannot_even_be_given_up_is_dropped_and_the_host_goes_on() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive("a-1"), executive("a-2"))
            answered: list[str] = []
            worker = worker_of(store)
            whole = worker.turns.answer

            async def answer(world: World, resident: Resident) -> None:
                if resident.agent.id == "a-1":
                    # Which the turn that gives it up has to read, too.
                    resident.mailbox = [cast(Message, "no message")]
                    raise ValueError("a bug in this turn")
                await whole(world, resident)
                answered.append(resident.agent.id)

            worker.turns.answer = answer
            async with at_work(worker):
                await store.post(down(SOB), message("all of you", to="*"))
                await anyio.sleep(3 * SWEEP_SECONDS)
                assert list(worker.residents.by_id) == ["a-2"]
                await store.post(down(SOB), message("once more", to="*"))
                await anyio.sleep(3 * SWEEP_SECONDS)
            assert answered == ["a-2", "a-2"]

    jumping(test)


def test_a_fenced_turn_is_cancelled_and_its_open_call_settled_before_the_word_is_given() -> None:
    async def test() -> None:
        async with stored() as store:
            model = Slow()
            lineage = Lineage(store)
            await lineage.found(executive("a-1"))
            async with at_work(worker_of(store, model)):
                await store.post(inbox(AgentId("a-1")), message("begin"))
                await has_begun(model)
                fenced = Message(
                    sender=SUPERVISOR, kind=Kind.FENCED, at=AT, data={"segment": MISSION}
                )
                await lineage.write(Post(host_channel(HERE), fenced))

                async def word() -> list[Message]:
                    return await store.read(REQUESTS, FIRST, 10)

                [word_given] = await until(word)
                assert word_given.data["segment"] == MISSION
                assert word_given.data["agents"] == 1
                account = await store.accounts(["a-1"], "reserved")
                assert account["a-1"]["tokens"] == 0
                assert account["a-1"]["calls"] == 0
                [settled] = await facts_of(store, fact="settle", agent="a-1")
                amounts = json.loads(settled["amounts"])
                assert amounts["assumed"] is True
                assert amounts["used"]["tokens"] == amounts["reserved"]["tokens"] == 500

    jumping(test)


def test_a_draining_agent_that_its_host_gave_up_meanwhile_goes_on_there_when_it_is_thawed() -> None:
    async def test() -> None:
        async with stored() as store:
            lineage, model = Lineage(store), ScriptedModel()
            await lineage.found(executive("a-1"))
            worker = worker_of(store, model)
            async with at_work(worker):
                await until(lambda: _are_here(worker, "a-1"))
                await lineage.write(AgentSet(replace(executive("a-1"), state=AgentState.DRAINING)))
                # As where the server lost its last moments: it is read again who belongs here.
                worker.lease.is_server_another = True
                await anyio.sleep(3 * SWEEP_SECONDS)
                await store.post(inbox(AgentId("a-1")), message("what came meanwhile"))
                await lineage.write(AgentSet(executive("a-1")))
                thawed = Message(sender=SUPERVISOR, kind=Kind.THAWED, at=AT, text="a-1")
                await lineage.write(Post(host_channel(HERE), thawed))
                await until(lambda: store.read(Channel("up:sob"), FIRST, 10))

    jumping(test)


async def _are_here(worker: Worker, *ids: str) -> bool:
    return set(ids) <= set(worker.residents.by_id)


def test_a_host_that_lost_an_agent_changes_nothing_more_and_what_it_tries_is_recorded() -> None:
    async def test() -> None:
        async with stored() as store:
            late, swift = Slow(), ScriptedModel()
            lineage = Lineage(store)
            await lineage.found(executive("a-1"))
            former, next_ = worker_of(store, late), worker_of(store, swift, host=ELSEWHERE)
            async with at_work(former, next_):
                await store.post(inbox(AgentId("a-1")), message("begin"))
                await has_begun(late)
                await lineage.place(executive("a-1", host=ELSEWHERE, lease=2))

                async def reports() -> list[Message]:
                    return await store.read(Channel("up:sob"), FIRST, 10)

                await until(reports)
                await store.post(inbox(AgentId("a-1")), message("go on"))
                late.go.set()

                async def has_dropped() -> bool:
                    return not former.residents.by_id

                await until(has_dropped)
                await anyio.sleep(3 * SWEEP_SECONDS)
                assert len(await reports()) == 2, "one for each turn, whoever thought it"
                assert not former.residents.by_id
                assert await facts_of(store, fact="refuse", rule="lease.lost", agent="a-1")
            spent = await store.accounts(["a-1"], "spent")
            assert spent["a-1"]["calls"] == 3, "the cut call and both that its successor made"

    jumping(test)


# --- with the supervisor beside it -------------------------------------------------------------


def supervisor_of(
    store: SupervisorStore, rings: Rings | None = None, host: str = "h-sup"
) -> Supervisor:
    return Supervisor(
        store, rings or Silence(), LoopClock(), DECLARED, HostId(host), None, anyio.Event()
    )


CHARTER: Final = {
    "motion": "charter",
    "reason": "It must be done.",
    "executives": [
        {"key": "lead", "name": "lead", "role": "executive", "task": "Answer the question."}
    ],
}
DELIVERED: Final[list[dict[str, Any]]] = [
    {"when": {"phase": "propose"}, "moves": [{"move": "propose", "motion": CHARTER}]},
    {"when": {"role": "executive"}, "moves": [{"move": "report", "text": "42", "done": True}]},
]


@asynccontextmanager
async def supervised(store: SupervisorStore, *workers: Worker) -> AsyncIterator[Supervisor]:
    supervisor = supervisor_of(store)
    async with anyio.create_task_group() as tasks, at_work(*workers):
        tasks.start_soon(supervisor.run)
        yield supervisor
        supervisor.stop.set()


async def result_of(store: RedisStore, mission: str, seconds: float = 120.0) -> Message:
    async def results() -> list[Message]:
        return [m for m in await store.read(RESULTS, FIRST, 100) if m.mission == mission]

    return (await until(results, seconds))[0]


async def journal_of(store: RedisStore, event: str) -> list[Mapping[str, Any]]:
    entries = await store.read(JOURNAL, FIRST, 10_000)
    wanted = JournalEvent(event)
    return [entry.data for entry in entries if entry.data.get("event") == wanted]


def test_a_mission_is_delivered_when_no_ring_is_ever_heard() -> None:
    async def test() -> None:
        async with stored() as store, supervised(store, worker_of(store, ScriptedModel(DELIVERED))):
            await store.keep_mission({"mission": "What is six by seven?", "id": "m-quiet"})
            told = await result_of(store, "m-quiet")
            assert (told.data["state"], told.text) == ("delivered", "42")

    jumping(test)


def test_no_word_is_given_for_a_task_that_ignores_its_end_and_the_end_reads_unconfirmed() -> None:
    async def test() -> None:
        async with stored() as store:
            deaf = Slow(ScriptedModel(DELIVERED), is_deaf=True)

            async def mind(spec: str) -> Mind:
                return Mind(
                    deaf if spec == "deaf" else deaf.inner, DECLARED.models.provider("scripted")
                )

            worker = worker_of(store)
            role = DECLARED.roles["executive"].model_copy(update={"model": "deaf"})
            declared = replace(DECLARED, roles={**DECLARED.roles, "executive": role})
            worker.context.world = replace(worker.context.world, mind=mind, declared=declared)
            async with supervised(store, worker):
                await store.keep_mission({"mission": "What is six by seven?", "id": "m-deaf"})
                await has_begun(deaf)
                order = Message(
                    sender=AgentId("operator"),
                    kind=Kind.ORDER,
                    at=AT,
                    text="cancel",
                    data={"order": "o-1", "verb": "cancel", "target": "m-deaf", "reason": "enough"},
                )
                await store.post(ORDERS, order)
                told = await result_of(store, "m-deaf")
                assert told.data["state"] == "cancelled"
                assert [e["unconfirmed"] for e in await journal_of(store, "subtree.ended")] == [1]
                deaf.go.set()

                async def is_forgotten() -> bool:
                    return not any(
                        r.agent.role == "executive" for r in worker.residents.by_id.values()
                    )

                await until(is_forgotten)

    jumping(test)


@dataclass(slots=True)
class Queue:
    """The port `Rings` with what a test lets ring."""

    waiting: deque[tuple[Channel, str]] = field(default_factory=deque)
    followed: set[Channel] = field(default_factory=set)

    async def follow(self, more: Collection[Channel], gone: Collection[Channel] = ()) -> None:
        self.followed = (self.followed | set(more)) - set(gone)

    async def next(self, seconds: float) -> tuple[Channel, str] | Literal["gap"] | None:
        if not self.waiting:
            await anyio.sleep(seconds)
        return self.waiting.popleft() if self.waiting else None


def test_a_leader_that_slept_stores_no_mission_that_its_successor_has_heard() -> None:
    async def test() -> None:
        async with stored() as store:
            rings = Queue()
            sleeper = supervisor_of(store, rings)

            async def leads() -> bool:
                return MISSIONS in rings.followed

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sleeper.run)
                await until(leads)
                await store.pipe.execute("DEL", store.keys.leader)
                number = await store.lead(HostId("h-next"), 3_600)
                rings.waiting += [(MISSIONS, "said to both"), (MISSIONS, "said to both, too")]

                async def has_stopped() -> bool:
                    return not rings.followed

                await until(has_stopped)
                await store.step_down(HostId("h-next"), number)
                await until(leads)
                await anyio.sleep(3 * SWEEP_SECONDS)
                assert await store.read_missions(FIRST, 10) == []
                rings.waiting.append((MISSIONS, "said to the leader"))
                await anyio.sleep(SWEEP_SECONDS)
                [(_, kept)] = await store.read_missions(FIRST, 10)
                assert kept["mission"] == "said to the leader"
                sleeper.stop.set()

    jumping(test)


class AwayOnce(RedisSupervisorStore):
    """A store whose server does not answer one of the supervisor's reads for longer than a
    lease.
    """

    is_due = False

    async def read_missions(
        self, after: StreamId, count: int
    ) -> list[tuple[StreamId, dict[str, str]]]:
        if self.is_due:
            self.is_due = False
            await anyio.sleep(1.5 * LEASE_SECONDS)
            await self.pipe.execute("DEL", self.keys.host(HERE))
        return await super().read_missions(after, count)


def test_no_host_is_declared_dead_because_the_server_was_away() -> None:
    async def test() -> None:
        async with stored() as store:
            away = AwayOnce(store.session)
            async with supervised(away, worker_of(store)):
                await anyio.sleep(2 * LEASE_SECONDS)
                away.is_due = True
                await anyio.sleep(4 * LEASE_SECONDS)
                assert len(await journal_of(store, "host.joined")) == 1
                assert await journal_of(store, "host.lost") == []
                # One that is silent is declared dead all the same, and its agents are placed anew.
                await store.register(Host(ELSEWHERE, 1, "w-1"), LEASE_SECONDS)
                await anyio.sleep(2 * SWEEP_SECONDS)
                await away.pipe.execute("DEL", away.keys.host(ELSEWHERE))
                await anyio.sleep(2 * SWEEP_SECONDS)
                assert [gone["host"] for gone in await journal_of(store, "host.lost")] == [
                    ELSEWHERE
                ]

    jumping(test)


# --- connections -------------------------------------------------------------------------------


async def test_two_thousand_agents_of_one_worker_share_a_handful_of_connections(
    server: EmbeddedServer, namespace: str
) -> None:
    count = 2_000
    way = dial(server.socket, name=namespace)
    async with anyio.create_task_group() as tasks:
        store = RedisStore(way, namespace, SECRET)
        tasks.start_soon(store.pipe.run)
        bell = Bell(way, store.keys)
        tasks.start_soon(bell.run)
        answered: set[str] = set()
        worker = worker_of(store, rings=bell.line())

        async def answer(_world: World, resident: Resident) -> None:
            await store.records.free(resident.agent.id)
            answered.add(resident.agent.id)
            resident.mailbox = None

        worker.turns.answer = answer
        lineage = Lineage(store)
        agents = [executive(f"a-{n}") for n in range(count)]
        for start in range(0, count, 200):
            batch = agents[start : start + 200]
            await lineage.write(*(AgentMade(a, follows(a, DECLARED.rooms)) for a in batch))
            await lineage.place(*batch)
        async with at_work(worker):
            with anyio.fail_after(60):
                while len(worker.residents) < count:
                    await anyio.sleep(0.05)
                await store.post(down(SOB), message("all of you", to="*"))
                while len(answered) < count:
                    await anyio.sleep(0.05)
            clients = await store.pipe.execute("CLIENT", "LIST")
            assert clients.count(f"name={namespace} ") == 2
        tasks.cancel_scope.cancel()
