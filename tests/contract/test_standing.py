"""What is kept of an agent beside its record, on both servers: its guard, whether it is done, what
is wrong with it.

And what the read side makes of it over a real server: dead, stuck and busy are three things.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio.to_thread
import pytest

from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.reader import View
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.redis.supervisor_store import UNREAD_SECONDS
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.agent.output_limits import Cut
from swarmd.core.agent.waiting import AgentWait, wait_of
from swarmd.core.control.stalls import Standing
from swarmd.core.model.changes import AgentSet
from swarmd.core.model.channels import inbox, up
from swarmd.core.model.lineage import Agent, Stop, StopKind
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, OPERATOR, AgentId, Authority, HostId
from swarmd.core.model.records import Host, Trouble
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import STOPS, TROUBLES, Drop, Put
from swarmd.core.model.timings import SETTLE_SECONDS, stamp_of
from swarmd.core.queries.activity import Activity
from swarmd.core.queries.snapshot import AgentView
from tests.contract.test_store import (
    AT,
    H1,
    TOP,
    Leader,
    _staffed,
    begin,
    facts,
    hold,
    note,
    open_store,
    turn,
)
from tests.core.swarm_builder import declarations

CUT = Cut(up(TOP), "sob", Rule.RATE, "more than 5 messages in a minute", 3, 9, is_news=True)


@pytest.fixture(params=["fakeredis", "valkey"])
def socket(request: pytest.FixtureRequest) -> str | None:
    if request.param == "fakeredis":
        return None
    embedded: EmbeddedServer = request.getfixturevalue("server")
    return str(embedded.socket)


@pytest.fixture
async def store(socket: str | None, namespace: str) -> AsyncIterator[RedisStore]:
    async with open_store(socket, namespace) as opened:
        yield opened


# --- the store --------------------------------------------------------------------------------


async def test_guard_and_done_are_committed_with_the_turn_and_resumed(store: RedisStore) -> None:
    _, top = await _staffed(store)
    assert ((await store.resume(TOP)).guard, (await store.resume(TOP)).is_done) == ("", False)
    first = replace(turn(top, 1), guard='{"v":1}', is_done=True)
    assert await store.commit(hold(top), first, 32, AT) == "done"
    resumed = await store.resume(TOP)
    assert (resumed.guard, resumed.is_done) == ('{"v":1}', True)
    assert await store.commit(hold(top), turn(top, 2), 32, AT) == "done"
    resumed = await store.resume(TOP)
    assert (resumed.guard, resumed.is_done) == ("", False)


async def test_what_was_cut_is_a_fact_of_the_commit_and_of_no_other(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    before = len(await facts(store))
    cut = replace(turn(top, 1, (up(TOP), note(TOP))), cuts=(CUT, replace(CUT, is_news=False)))
    assert await leader.do(AgentSet(replace(top, lease=2))) == "done"
    await store.commit(hold(top), cut, 32, AT)
    assert [f["rule"] for f in (await facts(store))[before:]] == [Rule.LEASE], (
        "refused: nothing was cut"
    )
    for reply in ("done", "again"):
        assert await store.commit(hold(top, lease=2), cut, 32, AT) == reply
    told = (await facts(store))[before + 1 :]
    assert told[0] == {
        "fact": "refuse",
        "agent": TOP,
        "call": "1",
        "rule": "bus.rate",
        "detail": CUT.detail,
        "channel": up(TOP),
        "to": "sob",
        "count": "3",
        "tell": "1",
        "hops": "9",
        "at": AT,
    }
    assert [fact["tell"] for fact in told] == ["1", ""]
    assert len(await store.read(up(TOP), FIRST, 10)) == 1


async def test_what_is_wrong_with_an_agent_is_loaded_as_it_was_set(store: RedisStore) -> None:
    leader, _ = await _staffed(store)
    stuck = Trouble("stuck", 12.5, "model", H1, "m1")
    stalled = Trouble("stalled", 3.25, "no turn", is_told_above=True)
    assert (
        await leader.do(Put(TROUBLES, TOP, stuck), Put(TROUBLES, AgentId("a"), stalled)) == "done"
    )
    assert (await store.load(declarations())).swarm.troubles == {TOP: stuck, "a": stalled}
    assert await leader.do(Drop(TROUBLES, TOP)) == "done"
    assert (await store.load(declarations())).swarm.troubles == {"a": stalled}
    await store.forget("agent", "a", ())
    assert (await store.load(declarations())).swarm.troubles == {}


async def test_a_standing_says_whether_it_is_done_and_whether_a_turn_is_under_way(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    unknown = AgentId("nobody")
    assert await store.standings([TOP, unknown]) == {
        TOP: Standing(False, False),
        unknown: Standing(False, False),
    }
    await store.begin(hold(top), begin(top), AT)
    assert (await store.standings([TOP]))[TOP] == Standing(is_done=False, is_busy=True)
    await store.commit(hold(top), replace(turn(top, 1), is_done=True), 32, AT)
    # The call was never ended, and is still in the journal: its turn is over all the same.
    assert await store.pipe.execute("HLEN", store.keys.steps(TOP)) == 1
    assert (await store.standings([TOP]))[TOP] == Standing(is_done=True, is_busy=False)


async def test_a_standing_says_whether_mail_waits_that_it_has_not_read(store: RedisStore) -> None:
    _, top = await _staffed(store)
    read = await store.post(inbox(TOP), Message(sender=OPERATOR, kind=Kind.SAY, at=AT, text="one"))
    read_all = replace(turn(top, 1), positions={inbox(TOP): read})
    await store.commit(hold(top), read_all, 32, AT)
    assert not (await store.standings([TOP]))[TOP].has_mail
    await store.post(inbox(TOP), Message(sender=OPERATOR, kind=Kind.SAY, at=AT, text="two"))
    assert (await store.standings([TOP]))[TOP].has_mail


async def test_mail_that_woke_nobody_for_long_is_none_that_is_waited_for(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that a request was done lie unread until real mail comes: who has nothing else is at
    rest.
    """
    await _staffed(store)
    await store.post(inbox(TOP), Message(sender=OPERATOR, kind=Kind.SAY, at=AT, text="one"))
    assert (await store.standings([TOP]))[TOP].has_mail
    now = store.session.now
    monkeypatch.setattr(type(store.session), "now", lambda self: now() + UNREAD_SECONDS + 5)
    assert not (await store.standings([TOP]))[TOP].has_mail


async def test_a_standing_says_until_when_it_waits(store: RedisStore) -> None:
    _, top = await _staffed(store)
    wait = AgentWait(what="word", until=12.5)
    await store.commit(hold(top), replace(turn(top, 1), wait=wait.to_text()), 32, AT)
    assert (await store.standings([TOP]))[TOP].waits_until == 12.5
    assert wait_of((await store.resume(TOP)).wait) == wait


# --- the read side ----------------------------------------------------------------------------


def activity_in(agent: AgentView) -> Activity:
    assert agent.activity is not None
    return agent.activity


def _but_for_seconds(agent: AgentView) -> AgentView:
    return replace(agent, activity=replace(activity_in(agent), seconds=None, left=None))


class Looking:
    """A swarm of one executive on a real server, and eyes on it."""

    def __init__(self, store: RedisStore, leader: Leader, top: Agent, socket: str) -> None:
        self.store, self.leader, self.top, self._socket = store, leader, top, socket

    async def top_record(self) -> AgentView:
        def look() -> AgentView | None:
            with closing(connect_sync(Path(self._socket))) as wire:
                view = View(wire, Keys(self.store.keys.namespace))
                listed = {agent.id: agent for agent in view.agents(ended=True)}
                alone = view.agent(TOP)
                assert alone is not None
                assert _but_for_seconds(alone) == _but_for_seconds(listed[TOP])
                return alone

        found = await anyio.to_thread.run_sync(look)
        assert found is not None
        return found

    async def sees(self, activity: str, call: str = "") -> bool:
        doing = activity_in(await self.top_record())
        return (doing.word, doing.call) == (activity, call)

    async def begins(self, *, seconds_ago: float, within_seconds: float = 60.0) -> None:
        call = replace(begin(self.top), within_seconds=within_seconds)
        await self.store.begin(hold(self.top), call, stamp_of(time.time() - seconds_ago))


@pytest.fixture
async def looking(server: EmbeddedServer, namespace: str) -> AsyncIterator[Looking]:
    async with open_store(str(server.socket), namespace) as opened:
        leader, top = await _staffed(opened)
        yield Looking(opened, leader, top, str(server.socket))


async def test_an_agent_reads_idle_then_busy_with_its_call_then_idle_again(
    looking: Looking,
) -> None:
    assert await looking.sees("idle")
    await looking.begins(seconds_ago=5)
    doing = activity_in(await looking.top_record())
    assert (doing.word, doing.call) == ("busy", "model")
    assert 5 <= (doing.seconds or 0) < 30
    await looking.store.commit(hold(looking.top), turn(looking.top, 1), 32, AT)
    assert await looking.sees("idle"), "the call was never ended, but its turn is over"


async def test_a_call_beyond_its_own_bound_reads_stuck(looking: Looking) -> None:
    await looking.begins(seconds_ago=70 + SETTLE_SECONDS)
    assert await looking.sees("stuck", "model")


async def test_an_agent_whose_hosts_lease_is_gone_reads_dead_and_elsewhere_alive(
    looking: Looking,
) -> None:
    await looking.begins(seconds_ago=1)
    await looking.store.pipe.execute("DEL", looking.store.keys.host(H1))
    assert await looking.sees("dead")
    await looking.store.register(Host(HostId("h2"), 10, ""), 60)
    await looking.leader.do(AgentSet(replace(looking.top, host=HostId("h2"), lease=2)))
    assert await looking.sees("busy"), "its turn waits for the new host; the call was the former's"


async def test_a_stopped_agent_reads_frozen_and_a_stalled_one_stalled(looking: Looking) -> None:
    await looking.leader.do(Put(TROUBLES, TOP, Trouble("stalled", time.time() - 100)))
    doing = activity_in(await looking.top_record())
    assert doing.word == "stalled"
    assert (doing.seconds or 0) >= 100
    await looking.leader.do(
        STOPS.put(Stop("tier:1", StopKind.HALT, Authority.OPERATOR, "r", "operator", 1.0))
    )
    assert await looking.sees("frozen")


async def test_what_somebody_wrote_under_the_names_of_the_view_is_not_shown(
    looking: Looking,
) -> None:
    key = looking.store.keys.agent(TOP)
    await looking.store.pipe.execute(
        "HSET", key, "activity", "x", "call", "y", "activity_seconds", "z"
    )
    assert await looking.sees("idle")
    assert activity_in(await looking.top_record()).seconds is None


async def test_an_agent_whose_turn_waits_for_a_lead_reads_waiting_and_the_rule(
    looking: Looking,
) -> None:
    store = looking.store
    await store.pipe.execute("DEL", store.keys.leader)
    assert await looking.sees("idle"), "it has asked for nothing"
    await looking.begins(seconds_ago=0)
    assert await looking.sees("waiting")
    assert activity_in(await looking.top_record()).waits == "lead.none"
    assert await store.lead(HostId("s2"), 60)
    assert await looking.sees("idle"), "its host goes on with it in a moment"
    await looking.begins(seconds_ago=0)
    assert await looking.sees("busy", "model")
    assert activity_in(await looking.top_record()).waits == ""


async def test_an_agent_that_has_ended_its_turn_with_a_wait_shows_for_whom_and_how_long(
    looking: Looking,
) -> None:
    wait = AgentWait(("a-9",), ("ann",), "her list", time.time() + 500)
    await looking.store.pipe.execute("HSET", looking.store.keys.state(TOP), "waits", wait.to_text())
    doing = activity_in(await looking.top_record())
    assert (doing.word, doing.waits_for) == ("idle", "ann: her list")
    assert doing.left is not None
    assert 400 < doing.left <= 500


async def test_health_tells_a_lead_from_one_that_was_given_up_and_from_none(
    looking: Looking,
) -> None:
    def health() -> tuple[str, bool, bool | None]:
        with closing(connect_sync(Path(looking._socket))) as wire:
            view = View(wire, Keys(looking.store.keys.namespace))
            found = view.health()
            return found.leader, found.may_begin, view.leads()

    assert await anyio.to_thread.run_sync(health) == ("s1", True, True)
    await looking.store.step_down(HostId("s1"), 1)
    assert await anyio.to_thread.run_sync(health) == ("", True, False)
    await looking.store.pipe.execute("DEL", looking.store.keys.leader)
    assert await anyio.to_thread.run_sync(health) == ("", False, False)
