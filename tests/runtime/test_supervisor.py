"""The supervisor on the real scripts: whole missions, restarts after any step, two that want to
lead, lawless boards.

The world (seats, executives, a host) is played by `Stage`, which answers what it reads in the
streams and keeps its own place in them, as workers do; the supervisor is taken step by step, so
that each is a place to die.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import anyio
import pytest

from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.missions.intake import MISSION_BYTES_MAX
from swarmd.core.model.channels import (
    BOARD_ROOM,
    JOURNAL,
    ORDERS,
    REQUESTS,
    RESULTS,
    host_channel,
    inbox,
    up,
)
from swarmd.core.model.charter import KINDS, SPENT_KINDS
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, stop_fields
from swarmd.core.model.masking import Masking
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    FIRST,
    SOB,
    SUPERVISOR,
    AgentId,
    Channel,
    HostId,
    MissionId,
    StreamId,
)
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import stamp_of
from swarmd.errors import NotLeadingError
from swarmd.ports.stores import Begin, Begun, Hold, Used
from swarmd.runtime.supervisor.supervisor import Supervisor
from tests.contract.test_store import account, keyspace, open_store
from tests.core.swarm_builder import MISSION, SEATS, START, declarations, numbers

H1 = HostId("h1")
Script = Callable[["Stage", Message], Mapping[str, Any]]


class FakeClock:
    """A clock that is moved by hand; ids count."""

    def __init__(self) -> None:
        self.time = START
        self._numbers = numbers()

    def now(self) -> float:
        return self.time

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"


class Silence:
    """In-process rings of which every one is lost: what is done is done from the streams alone."""

    async def follow(self, more: Collection[Channel], gone: Collection[Channel] = ()) -> None:
        pass

    async def next(self, seconds: float) -> tuple[Channel, str] | Literal["gap"] | None:
        await anyio.sleep(seconds)
        return None


def charter_motion(*executives: Mapping[str, Any]) -> dict[str, Any]:
    whole = [
        {"key": f"k{n}", "role": "manager", "name": f"e{n}", "task": "t", **e}
        for n, e in enumerate(executives)
    ]
    return {"motion": "charter", "reason": "because", "executives": whole}


def sensible(stage: Stage, call: Message) -> Mapping[str, Any]:
    """Charters two executives, then delivers what they report."""
    if call.data["call"]["phase"] == "propose":
        return charter_motion({}, {"files": ["docs"]})
    return {"motion": "deliver", "reports": ["e0", "e1"], "reason": "complete"}


@dataclass
class Stage:
    """A store, a supervisor taken step by step, and everybody else played by hand."""

    store: RedisStore
    script: Script = sensible
    limits: Mapping[str, Any] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    sup: Supervisor = field(init=False)
    places: dict[Channel, StreamId] = field(default_factory=dict)
    silent: set[MissionId] = field(default_factory=set)  # missions whose executives say nothing
    starts: int = 0

    async def start(self) -> Supervisor:
        """A new supervisor on the same store, as after a crash of the last one."""
        self.starts += 1
        await self.store.pipe.execute("DEL", self.store.keys.leader)
        self.sup = self.another(f"s{self.starts}")
        self.sup.memory.number = await self.store.lead(self.sup.host, 600)
        await self.sup.load()
        return self.sup

    def another(self, host: str) -> Supervisor:
        return Supervisor(
            self.store,
            Silence(),
            self.clock,
            declarations(**self.limits),
            HostId(host),
            None,
            anyio.Event(),
        )

    async def submit(self, id: str = MISSION, **more: Any) -> None:
        fields = {"mission": "Find out.", "id": id, "files": '["docs"]'}
        await self.store.keep_mission(fields | {k: json.dumps(v) for k, v in more.items()})

    # --- playing ---

    async def post(
        self, sender: str, channel: Channel, kind: Kind, text: str = "", **more: Any
    ) -> None:
        message = Message(
            sender=AgentId(sender),
            kind=kind,
            at=stamp_of(self.clock.now()),
            text=text,
            incarnation=1,
            mission=MissionId(more.pop("mission", "")),
            data=more,
        )
        await self.store.post(channel, message)

    async def new(self, channel: Channel) -> list[Message]:
        found = await self.store.read(channel, self.places.get(channel, FIRST), 1_000)
        if found:
            self.places[channel] = found[-1].id
        return found

    async def play(self) -> bool:
        """Everybody answers what is new to them; true where anybody said anything."""
        said = False
        for message in await self.new(host_channel(H1)):
            if message.kind is Kind.FENCED:
                segment = message.data["segment"]
                await self.post(H1, REQUESTS, Kind.REQUEST, type="gone", segment=segment, agents=0)
                said = True
        for seat in SEATS:
            for call in await self.new(inbox(AgentId(seat))):
                if call.kind is Kind.CALL:
                    await self._answer(seat, call)
                    said = True
        for agent in list(self.sup.state.lineage.agents.values()):
            if agent.tier == 0 or agent.mission in self.silent:
                continue
            for message in [*await self.new(inbox(agent.id)), *await self.new(up(agent.id))]:
                said = await self._work(agent.id, str(agent.parent), agent.tier, message) or said
        return said

    async def _answer(self, seat: str, call: Message) -> None:
        facts = call.data["call"]
        numbered = {"motion_number": facts["motion_number"], "mission": call.mission}
        if facts["phase"] == "vote":
            await self.post(seat, BOARD_ROOM, Kind.VOTE, "yes", choice="yes", **numbered)
        elif facts["phase"] == "respond":
            await self.post(seat, BOARD_ROOM, Kind.RESPONSE, "so", decision="keep", **numbered)
        else:
            motion = self.script(self, call)
            await self.post(seat, BOARD_ROOM, Kind.PROPOSAL, "so", motion=motion, **numbered)

    async def _work(self, id: str, parent: str, tier: int, message: Message) -> bool:
        """An executive asks for a child (and for one that it may not have), and reports when
        that reported.
        """
        child = {"role": "worker", "name": "child", "task": "read"}
        if message.kind is Kind.CHARTER and tier == 1:
            await self.post(
                id, REQUESTS, Kind.REQUEST, type="spawn", key="no", charter=child, tier=1
            )
            await self.post(id, REQUESTS, Kind.REQUEST, type="spawn", key="yes", charter=child)
        elif message.kind is Kind.CHARTER or message.kind is Kind.REPORT:
            await self.post(
                id, up(AgentId(parent)), Kind.REPORT, f"{id} is done", done=True, mission=MISSION
            )
        else:
            return False
        return True

    async def run(
        self, *, restart_after: Callable[[int], bool] = lambda n: False, steps_max: int = 400
    ) -> int:
        """Until nobody has anything to do any more; how many steps that took."""
        await self.store.register(Host(H1, 1_000, "shared"), 600)
        still = 0
        for number in range(steps_max):
            self.clock.time += 0.3
            did = await self.sup.step()
            if restart_after(number):
                await self.start()
            still = 0 if await self.play() or did else still + 1
            # Once a second it looks at the hosts, tells a digest and folds the ledger's facts.
            if still > 4:
                return number
        raise AssertionError("it does not come to rest")

    async def results(self) -> list[Message]:
        return await self.store.read(RESULTS, FIRST, 100)

    async def journal(self, event: str) -> list[Message]:
        entries = await self.store.read(JOURNAL, FIRST, 5_000)
        wanted = JournalEvent(event)
        return [entry for entry in entries if entry.data["event"] == wanted]


@asynccontextmanager
async def stage(
    namespace: str, script: Script = sensible, *, socket: str | None = None, **limits: Any
) -> AsyncIterator[Stage]:
    async with open_store(socket, namespace) as store:
        opened = Stage(store, script, limits)
        await opened.start()
        yield opened


async def quiet(on: Stage, moments: int = 12) -> None:
    """Lets so many steps pass, whatever happens in them."""
    await on.store.register(Host(H1, 1_000, "shared"), 600)
    for _ in range(moments):
        on.clock.time += 0.6
        await on.sup.step()
        await on.play()


# --- a whole mission --------------------------------------------------------------------------


async def test_a_mission_goes_from_its_text_to_its_result_once(namespace: str) -> None:
    async with stage(namespace) as on:
        await on.submit()
        await on.submit()
        await on.run()
        (result,) = await on.results()
        await _assert_delivered(on, result)


async def _assert_delivered(on: Stage, result: Message) -> None:
    assert (result.mission, result.data["state"]) == (MISSION, "delivered")
    assert result.text.count("is done") == 2
    names = Counter(
        entry.text.split("created ")[1].split(" (")[0]
        for entry in await on.journal("agent.spawned")
    )
    assert names == {"manager e0": 1, "manager e1": 1, "worker child": 2}
    assert (
        len([e for e in await on.journal("request.refused") if e.data["rule"] == Rule.SPAWN_TIER])
        == 2
    )
    assert {a.id for a in on.sup.state.lineage.agents.values()} == {SOB, *SEATS}
    assert on.sup.state.lineage.fences == {}
    root, limits = await account(on.store, SOB), on.sup.declared.limits.root
    for kind in KINDS:
        assert (root[f"{kind}.granted"], root[f"{kind}.reserved"]) == (0, 0)
        assert root[f"{kind}.free"] == getattr(limits, kind) - root[f"{kind}.spent"]


async def test_a_result_is_told_after_the_subtree_was_ended_and_the_account_closed(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        await on.submit()
        await on.run()
        events = [entry.data["event"] for entry in await on.store.read(JOURNAL, FIRST, 5_000)]
        ends = [events.index("subtree.ended"), events.index("mission.ended")]
        reaped = [n for n, event in enumerate(events) if event == "subtree.reaped"]
        assert max(reaped) < ends[0] < ends[1]
        (subtree,) = await on.journal("subtree.ended")
        (mission,) = await on.journal("mission.ended")
        assert (
            subtree.data["confirmed"],
            subtree.data["unconfirmed"],
            subtree.data["unreachable"],
        ) == (
            4,
            0,
            0,
        )
        assert mission.data["state"] == "delivered"


def _model_call(agent: Agent, account: str, *, turn: int = 1) -> Begin:
    """One call that reserves a thousand tokens."""
    amounts = {"tokens": 1_000, "calls": 1}
    return Begin(turn, 1, "model", account, agent.path, stop_fields(agent), amounts=amounts)


def _used(tokens: int) -> Used:
    return Used({"tokens": tokens, "calls": 1})


async def test_what_a_result_says_was_spent_is_what_the_root_was_charged(namespace: str) -> None:
    async with stage(namespace) as on:
        on.silent = {MISSION}
        await on.submit()
        await quiet(on)
        agents = await on.store.agents([AgentId(e.id) for e in on.sup.state.executives(MISSION)])
        picard = (await on.store.agents([AgentId("picard")]))[0]
        calls = []
        for agent, account_id in [*((a, "") for a in agents), (picard, MISSION)]:
            assert agent is not None
            hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
            turn = (await on.store.resume(agent.id)).turn + 1
            begin = _model_call(agent, account_id or agent.id, turn=turn)
            assert isinstance(await on.store.begin(hold, begin, "at"), Begun)
            calls.append((hold, begin))
        await on.store.end(*calls[0], "{}", _used(1_200), 80, "at")
        await on.post("operator", ORDERS, Kind.ORDER, order="o1", verb="cancel", target=MISSION)
        # The seat's call ends while its mission is ending: it is charged as used, not as reserved.
        while not on.sup.state.lineage.fences:
            await on.sup.step()
        await on.store.end(*calls[2], "{}", _used(300), 80, "at")
        await on.run()
        (result,) = await on.results()
        root = await account(on.store, SOB)
        assert result.data["state"] == "cancelled"
        spent = {"tokens": 1_200 + 1_000 + 300, "cost": 0, "calls": 3, "tools": 0}
        # No cost was reserved for any of them, so their price was not known.
        assert result.data["spent"] == spent | {"unpriced": spent["tokens"]}
        assert spent == {kind: root[f"{kind}.spent"] for kind in SPENT_KINDS}
        assert root["tokens.unpriced"] == spent["tokens"]
        assert root["tokens.overdraft"] == 200


@pytest.mark.parametrize("late", [False, True])
async def test_a_seats_call_that_ends_between_reading_and_closing_is_told_as_it_was_charged(
    namespace: str, late: bool
) -> None:
    async with stage(namespace) as on:
        on.silent = {MISSION}
        await on.submit()
        await quiet(on, 2)
        (picard,) = await on.store.agents([AgentId("picard")])
        assert picard is not None
        hold = Hold(picard.id, picard.path, picard.incarnation, picard.lease, picard.host)
        begin = _model_call(picard, MISSION)
        await on.store.begin(hold, begin, "at")
        await on.post("operator", ORDERS, Kind.ORDER, order="o1", verb="cancel", target=MISSION)
        commit = type(on.store).commit_changes

        async def meanwhile(*args: Any, **kwargs: Any) -> Any:
            changes = args[2]
            if any(type(change).__name__ == "AccountClosed" for change in changes) and not late:
                await on.store.end(hold, begin, "{}", _used(300), 80, "at")
            return await commit(on.store, *args, **kwargs)

        on.store.commit_changes = meanwhile  # type: ignore[method-assign]  # a world that interferes
        await on.run()
        (result,) = await on.results()
        root = await account(on.store, SOB)
        assert result.data["spent"]["tokens"] == root["tokens.spent"] == (1_000 if late else 300)


# --- dying on any step ------------------------------------------------------------------------


async def test_a_restart_after_every_step_comes_to_the_same_end(namespace: str) -> None:
    async with stage(namespace) as on:
        await on.submit()
        # Each new supervisor greets the hosts, so that it comes to rest only when the dying stops.
        await on.run(restart_after=lambda number: number < 60)
        assert on.starts > 60
        (result,) = await on.results()
        await _assert_delivered(on, result)


async def test_a_restart_after_any_single_step_comes_to_the_same_end(namespace: str) -> None:
    async with stage(namespace) as on:
        await on.submit()
        steps = await on.run()
    for dies_after in range(steps):
        async with stage(f"{namespace}-{dies_after}") as on:
            await on.submit()
            await on.run(restart_after=lambda number, last=dies_after: number == last)  # type: ignore[misc]
            (result,) = await on.results()
            await _assert_delivered(on, result)


async def test_a_reply_that_was_lost_is_no_second_commit(namespace: str) -> None:
    async with stage(namespace) as on:
        commit = type(on.store).commit_changes

        async def twice(*args: Any, **kwargs: Any) -> Any:
            await commit(on.store, *args, **kwargs)
            return await commit(on.store, *args, **kwargs)

        on.store.commit_changes = twice  # type: ignore[method-assign]  # a world that repeats
        await on.submit()
        await on.run()
        (result,) = await on.results()
        await _assert_delivered(on, result)


# --- two supervisors --------------------------------------------------------------------------


async def test_who_lost_the_lead_stops_writing(namespace: str) -> None:
    async with stage(namespace) as on:
        await on.submit()
        former = on.sup
        await on.start()
        before = await keyspace(on.store)
        with pytest.raises(NotLeadingError):
            await former.step()
        assert await keyspace(on.store) == before
        await on.run()
        assert len(await on.results()) == 1


async def test_of_two_one_leads_and_the_other_takes_over_when_it_stops(namespace: str) -> None:
    async with open_store(None, namespace) as store:
        on = Stage(store)
        first, second = on.another("s1"), on.another("s2")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            while not first.memory.number:
                await anyio.sleep(0.01)
            tasks.start_soon(second.run)
            await on.submit("m1")
            while not await on.journal("mission.docketed"):
                await anyio.sleep(0.01)
            assert second.memory.number == 0
            first.stop.set()
            await on.submit("m2")
            while len(await on.journal("mission.docketed")) < 2:
                await anyio.sleep(0.02)
            assert second.memory.number > first.memory.number
            second.stop.set()
        assert [entry.mission for entry in await on.journal("mission.docketed")] == ["m1", "m2"]
        lead = await store.pipe.execute("GET", store.keys.leader)
        assert lead in (None, f"{second.memory.number}:"), "who stops gives the lead back"


async def test_the_time_in_which_nobody_led_is_not_a_silent_seats(namespace: str) -> None:
    """Seats were called, and their calls could not begin: they have as much time as they had
    when the lead ended.
    """
    async with stage(namespace) as on:
        await on.submit("m1")
        await on.store.register(Host(H1, 1_000, "shared"), 600)
        for _ in range(4):
            on.clock.time += 0.3
            await on.sup.step()
        before = on.sup.state.boards[MissionId("m1")]
        (call,) = before.calls
        led_until = on.clock.time
        on.clock.time += 5_000
        on.sup = on.another("s2")
        await on.store.pipe.execute("DEL", on.store.keys.leader)
        on.sup.memory.number = await on.store.lead(on.sup.host, 600)
        on.sup.leadership.led_until = led_until
        await on.sup.load()
        await on.sup.step()
        after = on.sup.state.boards[MissionId("m1")]
        assert (after.called, after.attempt) == (before.called, before.attempt), (
            "and is not called anew"
        )
        assert after.calls[0].deadline == pytest.approx(call.deadline + 5_000)
        assert after.motion_number == before.motion_number


async def test_who_takes_the_lead_knows_until_when_another_held_it(namespace: str) -> None:
    async with open_store(None, namespace) as store:
        on = Stage(store)
        before = time.time()
        await store.lead(HostId("s0"), 600)
        await store.pipe.execute("DEL", store.keys.leader)
        sup = on.another("s1")
        await sup.leadership.take()
        assert before + 599 < sup.leadership.led_until < time.time() + 601


# --- missions ---------------------------------------------------------------------------------


async def test_ids_mean_the_same_mission_also_after_it_ended(namespace: str) -> None:
    def rejects(stage: Stage, call: Message) -> Mapping[str, Any]:
        return {"motion": "reject", "reason": "nothing was given"}

    async with stage(namespace, rejects) as on:
        await on.submit()
        await on.run()
        await on.submit()
        await on.submit(budget={"tokens": 7})
        await on.run()
        first, other = await on.results()
        assert (first.mission, first.data["reason"]) == (MISSION, "nothing was given")
        assert other.mission != MISSION
        assert other.data["reason"].startswith(Rule.MISSION_CONFLICT)


async def test_a_mission_without_an_id_is_a_new_one_each_time(namespace: str) -> None:
    async with stage(namespace, board={"missions_at_once": 1}) as on:
        for _ in range(2):
            await on.store.keep_mission({"mission": "Find out."})
        await on.sup.step()
        assert len({entry.mission for entry in await on.journal("mission.docketed")}) == 2
        assert len(on.sup.state.boards) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"mission": ""},
        {"raw": "{"},
        {"mission": "x", "colour": "red"},
        {"id": "x"},
        {"mission": "x", "id": "sob"},
    ],
)
async def test_what_is_invalid_ends_as_rejected_and_stops_nothing(
    namespace: str, fields: dict[str, str]
) -> None:
    async with stage(namespace) as on:
        await on.store.keep_mission(fields)
        await on.submit()
        await on.run()
        rejected, delivered = await on.results()
        assert rejected.data["state"] == "rejected"
        assert rejected.text.startswith(Rule.MISSION_INVALID)
        assert delivered.data["state"] == "delivered"


class Watched(Masking):
    """Keeps how long the texts were that it was given."""

    lengths: ClassVar[list[int]] = []

    def text(self, text: str) -> str:
        self.lengths.append(len(text))
        return super().text(text)


async def test_of_a_mission_over_the_bound_the_text_is_not_looked_at(namespace: str) -> None:
    async with stage(namespace) as on:
        on.sup.intake.masking = Watched()
        await on.store.keep_mission({"mission": "x" * (MISSION_BYTES_MAX + 1), "id": "large"})
        await quiet(on, 2)
        (rejected,) = await on.results()
        assert rejected.mission == "large"
        assert "larger than 1,000,000 bytes" in rejected.text
        assert 0 < max(Watched.lengths) < 1_000


async def test_a_mission_that_asks_for_more_than_the_root_has_is_given_what_is_left(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        await on.submit(budget={"tokens": 10**15})
        await quiet(on)
        left = on.sup.declared.limits.root.tokens
        assert (await account(on.store, MISSION))["tokens.granted"] <= left
        assert (await account(on.store, SOB))["tokens.free"] == 0
        await on.run()
        await _assert_delivered(on, (await on.results())[0])


async def test_a_root_with_nothing_left_ends_a_mission_as_exhausted(namespace: str) -> None:
    async with stage(namespace) as on:
        root = on.store.keys.ledger(SOB)
        await on.store.pipe.execute("HSET", root, "calls.free", "0")
        await on.submit()
        await on.run()
        (result,) = await on.results()
        assert result.data["state"] == "exhausted"
        assert result.data["spent"] == {}, "it was never taken up"


async def test_a_host_that_dies_is_told_as_unreachable(namespace: str) -> None:
    async with stage(namespace) as on:
        on.silent = {MISSION}
        await on.submit()
        await quiet(on)
        assert len(on.sup.state.executives(MISSION)) == 2
        await on.store.pipe.execute("DEL", on.store.keys.host(H1))
        await on.post("operator", ORDERS, Kind.ORDER, order="o1", verb="cancel", target=MISSION)
        for _ in range(60):
            on.clock.time += 0.6
            await on.sup.step()
        ends = await on.journal("subtree.ended")
        # Its time to answer ran out before its lease was seen to have ended: nobody saw these end.
        assert [e.data["confirmed"] for e in ends] == [0]
        assert ends[0].data["unconfirmed"] + ends[0].data["unreachable"] == 2


@pytest.mark.parametrize("seconds", [3_600.0, 30.0, -3_600.0])
async def test_a_clock_that_is_set_stops_no_watch_over_hosts(
    namespace: str, seconds: float
) -> None:
    async with stage(namespace) as on:
        on.silent = {MISSION}
        await on.submit()
        await quiet(on)
        on.clock.time += seconds
        await on.sup.step()
        on.clock.time -= seconds
        await on.store.pipe.execute("DEL", on.store.keys.host(H1))
        await on.store.register(Host(HostId("h2"), 1_000, "shared"), 600)
        for _ in range(80):
            on.clock.time += 0.6
            await on.sup.step()
        assert [entry.data["host"] for entry in await on.journal("host.lost")] == [H1]
        assert {agent.host for agent in on.sup.state.executives(MISSION)} <= {"h2"}


async def test_a_host_that_comes_back_after_it_was_given_up_finds_what_was_sent_to_it(
    namespace: str,
) -> None:
    """It may be the only one, and nobody would tell it again of agents that are still its own."""
    async with stage(namespace) as on:
        on.silent = {MISSION}
        await on.submit()
        await quiet(on)
        executives = [agent.id for agent in on.sup.state.executives(MISSION)]
        assert executives
        await on.store.pipe.execute("DEL", on.store.keys.host(H1))
        for _ in range(80):
            on.clock.time += 0.6
            await on.sup.step()
        assert [entry.data["host"] for entry in await on.journal("host.lost")] == [H1]
        sent = await on.store.read(host_channel(H1), FIRST, 100)
        placed = [id for message in sent for id in message.data.get("agents", ())]
        assert set(executives) <= set(placed)
        on.clock.time += on.sup.declared.limits.retention_seconds
        for _ in range(10):
            on.clock.time += 0.6
            await on.sup.step()
        kept = await on.store.read(host_channel(H1), FIRST, 100)
        assert not any(message.kind is Kind.PLACED for message in kept)


def _note() -> Message:
    return Message(kind=Kind.PLACED, sender=SUPERVISOR, at="", text="")


async def test_what_was_sent_to_a_host_that_came_back_outlives_its_being_given_up(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        await on.store.pipe.execute("ZADD", on.store.keys.ended, 1, f"host:{H1}")
        await on.store.post(host_channel(H1), _note())
        await on.store.register(Host(H1, 1_000, "shared"), 600)
        await on.store.forget("host", H1, [])
        assert len(await on.store.read(host_channel(H1), FIRST, 100)) == 1
        assert await on.store.due(2.0, 10) == []


async def test_a_seats_time_is_over_though_the_clock_was_set_back_after_its_call(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        on.clock.time += 3_600.0
        await on.submit()
        await on.store.register(Host(H1, 1_000, "shared"), 600)
        await on.sup.step()
        on.clock.time -= 3_600.0
        (first,) = on.sup.state.boards[MISSION].called
        for _ in range(int(4 * on.sup.declared.board.seat_seconds)):
            on.clock.time += 0.6
            await on.sup.step()
        ended = on.sup.state.boards.get(MISSION)
        assert ended is None or ended.called != (first,)


# --- all six seats for what the law forbids ---------------------------------------------------

WORDS = (
    "_journal",
    "journal",
    "room:",
    "inbox:",
    "_board:",
    "_ends",
    "_heads",
    "_posts",
    "_positions",
    "_heard",
)
LAWLESS: Mapping[str, tuple[Rule, str, Mapping[str, Any]]] = {
    "a role that is not for executives": (
        Rule.SPAWN_ROLE,
        "propose",
        charter_motion({}, {"role": "worker"}),
    ),
    "a privilege that nobody may have": (
        Rule.PRIVILEGE_FORBIDDEN,
        "propose",
        charter_motion({}, {"privileges": ["no/x"]}),
    ),
    "a budget that is not there": (
        Rule.BUDGET_SHARE,
        "propose",
        charter_motion({}, {"budget": {"tokens": 10**9}}),
    ),
    "files of somebody else": (
        Rule.SPAWN_FILES,
        "propose",
        charter_motion({}, {"files": ["/etc/passwd"]}),
    ),
    "a second of one name": (
        Rule.SPAWN_NAME,
        "propose",
        charter_motion({"name": "x"}, {"name": "x"}),
    ),
    "a third beside the two": (Rule.SPAWN_KEY, "review", charter_motion({"name": "third"})),
    "the end of another mission's agent": (
        Rule.MISSION_OTHER,
        "review",
        {"motion": "act", "verb": "terminate", "target": "?", "reason": "r"},
    ),
    "the end of the board": (
        Rule.MISSION_OTHER,
        "review",
        {"motion": "act", "verb": "terminate", "target": "sob", "reason": "r"},
    ),
    "a report that does not exist": (
        Rule.BOARD_MOTION,
        "review",
        {"motion": "deliver", "reports": ["e9"], "reason": "r"},
    ),
}


@pytest.mark.parametrize("case", LAWLESS)
async def test_all_six_seats_for_the_forbidden_change_nothing_but_words(
    server: EmbeddedServer, namespace: str, case: str
) -> None:
    rule, phase, motion = LAWLESS[case]
    asked: list[Message] = []

    def lawless(on: Stage, call: Message) -> Mapping[str, Any]:
        if call.mission != MISSION or call.data["call"]["phase"] != phase:
            return sensible(on, call)
        asked.append(call)
        others = [
            a.id
            for a in on.sup.state.lineage.agents.values()
            if a.tier == 1 and a.mission != MISSION
        ]
        return {**motion, "target": others[0]} if motion.get("target") == "?" else motion

    async with stage(namespace, lawless, socket=str(server.socket), forbidden=("no/**",)) as on:
        if motion.get("target") == "?":
            on.silent = {MissionId("m2")}
            await on.submit("m2")
            await quiet(on)
        await on.submit()
        await on.store.register(Host(H1, 1_000, "shared"), 600)
        while not asked:
            on.clock.time += 0.3
            await on.sup.step()
            await on.play()
        before = await keyspace(on.store)
        while not (
            refused := [e for e in await on.journal("motion.refused") if e.data.get("motion")]
        ):
            await on.sup.step()
            await on.play()
        assert [(entry.data["rule"], entry.data["actor"]) for entry in refused] == [(rule, SOB)]
        assert _deeds(await keyspace(on.store)) == _deeds(before)
        tally = [m for m in await on.store.read(BOARD_ROOM, FIRST, 1_000) if m.data.get("carried")][
            -1
        ]
        assert [vote["choice"] for vote in tally.data["votes"]] == ["yes"] * 6


def _deeds(keys: Mapping[str, Any]) -> dict[str, Any]:
    """All that is on the server but what was said and how far that was read."""
    return {key: value for key, value in keys.items() if not key.startswith(WORDS)}
