"""The store's atomic steps: one suite over a real Valkey and over fakeredis, which run the same
scripts.

The ledger is checked against a reference that is written down here once more, in plain Python, by
random walks: after each step every account on the server is what the reference says, and it
balances.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio
import fakeredis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from swarmd.adapters.redis.connection.connection import Dial, Dialler, dial
from swarmd.adapters.redis.founding import SEAL_LOST
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.agent.memory import NO_MEMORY, Memory
from swarmd.core.bus.envelope import Heard
from swarmd.core.ledger.accounts import Ledger
from swarmd.core.model.changes import (
    AccountCleared,
    AccountClosed,
    AccountFunded,
    AccountOpened,
    AgentAdopted,
    AgentMade,
    AgentReaped,
    AgentRestarted,
    AgentSet,
    Change,
    MissionSet,
    PeriodTurned,
    Post,
)
from swarmd.core.model.channels import (
    BOARD_ROOM,
    DEAD,
    INPUTS,
    JOURNAL,
    ORDERS,
    REQUESTS,
    RESULTS,
    down,
    inbox,
    room,
    up,
)
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent, Fence, ended, stop_fields
from swarmd.core.model.messages import Kind, Message, Ring, from_ring
from swarmd.core.model.names import (
    FIRST,
    SOB,
    AgentId,
    AgentState,
    Channel,
    HostId,
    MissionId,
    MissionState,
    StreamId,
)
from swarmd.core.model.privileges import sufficient
from swarmd.core.model.records import Host, Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import FENCES
from swarmd.errors import NotLeadingError, StoreUnsuitableError
from swarmd.ports.stores import (
    LOST,
    Attempt,
    Begin,
    Begun,
    EndedBefore,
    Hold,
    RefusedByStore,
    Short,
    Turn,
    Used,
)
from tests.conftest import SECRET
from tests.core.swarm_builder import declarations
from tests.fake_server import FakeDial
from tests.slow_ledger import AMOUNTS, OpenCall, SlowLedger, whole

AT = "2027-01-15T08:00:00.000Z"
WARN = 80  # percent
H1, H2 = HostId("h1"), HostId("h2")
M1 = MissionId("m1")
TOP = AgentId("top")
T = TypeVar("T")
_namespaces = itertools.count(1)


# --- a store, on either server ----------------------------------------------------------------


@asynccontextmanager
async def open_store(
    socket: str | None, namespace: str, fake: fakeredis.FakeServer | None = None
) -> AsyncIterator[RedisStore]:
    """Over the real server at `socket`, or where there is none over fakeredis: one's own, or
    `fake`.
    """
    way: Dial = (
        FakeDial(fakeredis.FakeAsyncRedis(decode_responses=True, server=fake))
        if socket is None
        else dial(socket if "://" in socket else f"unix://{socket}", namespace=namespace)
    )
    store = RedisStore(way, namespace, SECRET)
    async with asyncio.TaskGroup() as tasks:
        pipe = tasks.create_task(store.pipe.run())
        try:
            yield store
        finally:
            pipe.cancel()


async def keyspace(store: RedisStore) -> dict[str, Any]:
    """Every key of the namespace with its whole value."""
    found: dict[str, Any] = {}
    prefix = store.keys.namespace + ":"
    for key in sorted(await store.pipe.execute("KEYS", prefix + "*")):
        kind = await store.pipe.execute("TYPE", key)
        read: dict[str, tuple[Any, ...]] = {
            "hash": ("HGETALL", key),
            "set": ("SMEMBERS", key),
            "stream": ("XRANGE", key, "-", "+"),
            "string": ("GET", key),
            "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
        }
        value = await store.pipe.execute(*read[kind])
        if kind == "hash":
            value = (
                value
                if isinstance(value, dict)
                else dict(zip(value[::2], value[1::2], strict=True))
            )
        found[key.removeprefix(prefix)] = sorted(value) if kind == "set" else value
    return found


# --- the supervisor's hand --------------------------------------------------------------------


@dataclass
class Leader:
    """Commits under its own number, as a supervisor does."""

    store: RedisStore
    token: str = ""
    seq: int = 0

    async def lead(self, host: str = "s1") -> Leader:
        number = await self.store.lead(HostId(host), 60)
        assert number
        self.token = f"{number}:{host}"
        return self

    async def do(
        self, *changes: Change, positions: Mapping[Channel, StreamId] | None = None
    ) -> str:
        reply = await self.store.commit_changes(self.token, self.seq + 1, changes, positions or {})
        self.seq += reply == "done"
        return reply


def agent(id: str, *above: str, **rest: Any) -> Agent:
    """A living agent on host h1 below `above`."""
    facts: dict[str, Any] = {
        "name": id,
        "role": "manager",
        "tier": len(above) or 1,
        "mission": M1,
        "state": AgentState.LIVE,
        "host": H1,
        "lease": 1,
        "privileges": ("model/**", "tool/file/read"),
        "created": AT,
    }
    parent = AgentId(above[-1]) if above else SOB
    return Agent(
        id=AgentId(id), parent=parent, path=("sob", "@owner", M1, *above, id), **(facts | rest)
    )


def hold(of: Agent, **changed: Any) -> Hold:
    return replace(Hold(of.id, of.path, of.incarnation, of.lease, of.host), **changed)


def begin(of: Agent, step: int = 1, *, turn: int = 1, privilege: str = "", **amounts: int) -> Begin:
    """A call that reserves these amounts, of a model by default."""
    return Begin(
        turn,
        step,
        "model",
        of.id,
        of.path,
        stop_fields(of),
        (sufficient(privilege),) if privilege else (),
        {"tokens": 10, "cost": 0, "calls": 1} | amounts,
        '{"inbox:top":"1-0"}',
    )


def used(tokens: int, calls: int = 1, *, is_assumed: bool = False, **more: int) -> Used:
    return Used({"tokens": tokens, "cost": 0, "calls": calls} | more, is_assumed)


def turn(of: Agent, number: int = 1, *outputs: tuple[Channel, Message], hops: int = 1) -> Turn:
    positions = {inbox(of.id): StreamId("5-0")}
    return Turn(number, of.path, stop_fields(of), {}, positions, {0: "{}"}, outputs, hops)


def note(sender: str, text: str = "hi") -> Message:
    return Message(sender=AgentId(sender), kind=Kind.SAY, at=AT, text=text)


def caps(tokens: int = 1_000, calls: int = 100, agents: int = 10, **more: int) -> dict[str, int]:
    return {
        "tokens": tokens,
        "cost": 10 * tokens,
        "calls": calls,
        "tools": calls,
        "agents": agents,
    } | more


async def _staffed(store: RedisStore) -> tuple[Leader, Agent]:
    """A root, a mission and one executive at work on host h1."""
    leader = await Leader(store).lead()
    top = agent(TOP)
    await store.register(Host(H1, 100, ""), 60)
    # Each carves from what was there before its commit.
    for changes in (
        [AccountOpened(SOB, "", caps(10_000, 1_000, 100), own_slot=False)],
        [AccountOpened(M1, SOB, caps(5_000, 500, 50), own_slot=False)],
        [
            AgentMade(top, (inbox(TOP), down(SOB), up(TOP))),
            AccountOpened(TOP, M1, caps(), own_slot=True),
        ],
    ):
        assert await leader.do(*changes) == "done"
    return leader, top


async def fields(store: RedisStore, id: str) -> dict[str, str]:
    flat = await store.pipe.execute("HGETALL", store.keys.ledger(id))
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


async def account(store: RedisStore, id: str) -> dict[str, int]:
    """Its amounts, as `KIND.AMOUNT`."""
    return {name: int(value) for name, value in (await fields(store, id)).items() if "." in name}


async def facts(store: RedisStore) -> list[dict[str, str]]:
    return [fact for _, fact in await store.read_facts(FIRST, 1_000)]


# --- who may begin and commit -----------------------------------------------------------------


async def _fence(store: RedisStore, leader: Leader, segment: str) -> None:
    assert await leader.do(FENCES.put(Fence(segment, "r", "operator", 0.0))) == "done"


REFUSED: Mapping[str, tuple[Rule, Callable[[RedisStore, Leader, Agent], Awaitable[Hold]]]]


async def _fenced(store: RedisStore, leader: Leader, top: Agent, segment: str) -> Hold:
    await _fence(store, leader, segment)
    return hold(top)


async def _set(leader: Leader, top: Agent, **changed: Any) -> Hold:
    assert await leader.do(AgentSet(replace(top, **changed))) == "done"
    return hold(top)


async def _expired(store: RedisStore, leader: Leader, top: Agent) -> Hold:
    await store.pipe.execute("DEL", store.keys.host(H1))
    return hold(top)


async def _held(changed: Hold) -> Hold:
    return changed


REFUSED = {
    "fenced itself": (Rule.FENCED, lambda s, le, a: _fenced(s, le, a, a.id)),
    "fenced mission": (Rule.FENCED, lambda s, le, a: _fenced(s, le, a, M1)),
    "fenced root": (Rule.FENCED, lambda s, le, a: _fenced(s, le, a, SOB)),
    "draining": (Rule.FENCED, lambda s, le, a: _set(le, a, state=AgentState.DRAINING)),
    "frozen": (Rule.FENCED, lambda s, le, a: _set(le, a, state=AgentState.FROZEN)),
    "former incarnation": (Rule.INCARNATION, lambda s, le, a: _set(le, a, incarnation=2)),
    "placed elsewhere": (Rule.LEASE, lambda s, le, a: _set(le, a, host=H2, lease=2)),
    "placed here anew": (Rule.LEASE, lambda s, le, a: _set(le, a, lease=2)),
    "another host's hold": (Rule.LEASE, lambda s, le, a: _held(hold(a, host=H2))),
    "host not renewed": (Rule.LEASE, _expired),
    "unknown agent": (Rule.UNKNOWN_AGENT, lambda s, le, a: _held(hold(a, agent=AgentId("nobody")))),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_begin_and_commit_are_refused_by_rule_and_write_nothing_but_the_fact(
    store: RedisStore, case: str
) -> None:
    expected, arrange = REFUSED[case]
    leader, top = await _staffed(store)
    held = await arrange(store, leader, top)
    before = await keyspace(store)
    begun = await store.begin(held, begin(top, privilege="model/x"), AT)
    committed = await store.commit(held, turn(top, 1, (up(SOB), note(TOP))), 32, AT)
    for reply in (begun, committed):
        assert isinstance(reply, RefusedByStore)
        assert reply.rule is expected
    after = await keyspace(store)
    known = len(before.pop("_facts"))
    told = (await facts(store))[known:]
    assert len(after.pop("_facts")) == known + 2
    assert after == before
    assert [(fact["fact"], fact["rule"]) for fact in told] == [("refuse", expected)] * 2


async def test_a_privilege_that_is_not_held_refuses_the_call_and_reserves_nothing(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    before = await account(store, TOP)
    reply = await store.begin(hold(top), begin(top, privilege="tool/file/write"), AT)
    assert reply == RefusedByStore(Rule.PRIVILEGE_USE, "tool/file/write")
    assert await account(store, TOP) == before
    for held in ("model/openai:x", "tool/file/read"):
        assert isinstance(await store.begin(hold(top), begin(top, privilege=held), AT), Begun)


@pytest.mark.parametrize(("tokens", "calls", "kind"), [(1_001, 1, "tokens"), (1, 101, "calls")])
async def test_a_reserve_beyond_the_free_is_refused_whole(
    store: RedisStore, tokens: int, calls: int, kind: str
) -> None:
    _, top = await _staffed(store)
    before = await account(store, TOP)
    reply = await store.begin(hold(top), begin(top, tokens=tokens, calls=calls), AT)
    assert isinstance(reply, RefusedByStore)
    assert reply.rule is Rule.BUDGET_EXHAUSTED
    assert reply.detail.startswith(f"{kind}: ")
    assert await account(store, TOP) == before


# --- begin and end ----------------------------------------------------------------------------


async def test_a_call_is_reserved_and_then_settled_at_what_was_used(store: RedisStore) -> None:
    _, top = await _staffed(store)
    call = begin(top, tokens=100)
    assert isinstance(await store.begin(hold(top), call, AT), Begun)
    during = await account(store, TOP)
    assert (during["tokens.free"], during["tokens.reserved"], during["calls.reserved"]) == (
        900,
        100,
        1,
    )
    await store.end(hold(top), call, "{}", used(25), WARN, AT)
    after = await account(store, TOP)
    assert (after["tokens.free"], after["tokens.reserved"], after["tokens.spent"]) == (975, 0, 25)
    assert (after["calls.free"], after["calls.reserved"], after["calls.spent"]) == (99, 0, 1)
    assert [fact["fact"] for fact in await facts(store)][3:] == ["reserve", "settle"]


async def test_what_came_from_a_cache_is_told_beside_what_was_spent_and_goes_up_with_it(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    for step, cached in ((1, 15), (2, 0), (3, 4)):
        call = begin(top, step, tokens=100)
        assert isinstance(await store.begin(hold(top), call, AT), Begun)
        await store.end(hold(top), call, "{}", replace(used(25), cached=cached), WARN, AT)
    assert (await account(store, TOP))["tokens.cached"] == 19
    settled = [json.loads(f["amounts"]) for f in await facts(store) if f["fact"] == "settle"]
    assert [one.get("cached", 0) for one in settled] == [15, 0, 4]
    ledger = Ledger()
    for fact in await facts(store):
        ledger.fold({**fact, "amounts": json.loads(fact["amounts"])})
    assert ledger.accounts[TOP].get("tokens", "cached") == 19
    await leader.do(AgentReaped(ended(top, reason="enough", at=AT), 2e9, M1))
    assert (await account(store, M1))["tokens.cached"] == 19
    await leader.do(AccountClosed(M1, SOB, (), WARN))
    assert (await account(store, SOB))["tokens.cached"] == 19


async def test_what_is_used_beyond_the_reserve_is_overdraft(store: RedisStore) -> None:
    _, top = await _staffed(store)
    await store.begin(hold(top), begin(top, tokens=100), AT)
    await store.end(hold(top), begin(top, tokens=100), "{}", used(130), WARN, AT)
    after = await account(store, TOP)
    assert (after["tokens.free"], after["tokens.spent"], after["tokens.overdraft"]) == (
        900,
        130,
        30,
    )


async def test_begin_and_end_repeated_are_once(store: RedisStore) -> None:
    _, top = await _staffed(store)
    call = begin(top)
    for _ in range(3):
        assert isinstance(await store.begin(hold(top), call, AT), Begun)
    first = await keyspace(store)
    await store.end(hold(top), call, '{"n":1}', used(5), WARN, AT)
    ended_once = await keyspace(store)
    assert first != ended_once
    await store.end(hold(top), call, '{"n":2}', used(9), WARN, AT)
    assert await keyspace(store) == ended_once
    assert await store.begin(hold(top), call, AT) == EndedBefore('{"n":1}')
    assert await keyspace(store) == ended_once


async def test_a_begin_that_arrives_after_its_turn_reserves_nothing(store: RedisStore) -> None:
    """What a dead connection still carried: nobody would ever end that call."""
    _, top = await _staffed(store)
    call = begin(top)
    await store.begin(hold(top), call, AT)
    await store.end(hold(top), call, "{}", used(5), WARN, AT)
    assert await store.commit(hold(top), turn(top), 32, AT) == "done"
    before = await account(store, TOP)
    late = await store.begin(hold(top), call, AT)
    assert isinstance(late, RefusedByStore)
    assert late.rule is Rule.LEASE
    assert await account(store, TOP) == before


@pytest.mark.parametrize("ahead", [1, 5])
async def test_a_begin_of_a_turn_that_is_not_the_next_one_reserves_nothing(
    store: RedisStore, ahead: int
) -> None:
    """The server lost the end of what its worker remembers: such a turn could not be committed,
    and what was called in it would be paid and called again.
    """
    _, top = await _staffed(store)
    assert await store.commit(hold(top), turn(top), 32, AT) == "done"
    before = await keyspace(store)
    refused = await store.begin(hold(top), replace(begin(top), turn=2 + ahead), AT)
    assert isinstance(refused, RefusedByStore)
    assert (refused.rule, refused.detail) == (Rule.LEASE, f"turn {2 + ahead} after 1")
    after = await keyspace(store)
    assert len(after.pop("_facts")) == len(before.pop("_facts")) + 1
    assert after == before
    assert isinstance(await store.begin(hold(top), replace(begin(top), turn=2), AT), Begun)


async def test_a_call_is_settled_also_where_its_agent_was_fenced_or_moved_meanwhile(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top, tokens=100), AT)
    await _fence(store, leader, TOP)
    await _set(leader, top, host=H2, lease=2)
    await store.end(hold(top), begin(top, tokens=100), "{}", used(40), WARN, AT)
    assert (await account(store, TOP))["tokens.spent"] == 40


async def _moved(store: RedisStore, leader: Leader, top: Agent) -> Agent:
    moved = replace(top, host=H2, lease=top.lease + 1)
    await store.register(Host(H2, 100, ""), 60)
    assert await leader.do(AgentSet(moved)) == "done"
    return moved


async def test_a_successor_is_given_the_ended_result_and_pays_nothing(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top), AT)
    await store.end(hold(top), begin(top), '{"moves":[]}', used(5), WARN, AT)
    moved = await _moved(store, leader, top)
    before = await account(store, TOP)
    assert await store.begin(hold(moved), begin(moved), AT) == EndedBefore('{"moves":[]}')
    assert await account(store, TOP) == before


async def test_a_successor_pays_for_what_was_begun_and_not_ended_and_its_late_end_counts_no_more(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top, tokens=100), AT)
    moved = await _moved(store, leader, top)
    assert isinstance(await store.begin(hold(moved), begin(moved, tokens=30), AT), Begun)
    paid = await account(store, TOP)
    assert (paid["tokens.spent"], paid["tokens.reserved"], paid["tokens.free"]) == (100, 30, 870)
    settled = next(fact for fact in await facts(store) if fact["fact"] == "settle")
    assert json.loads(settled["amounts"]) == {
        "used": {"tokens": 100, "calls": 1},
        "reserved": {"tokens": 100, "calls": 1},
        "overdraft": {},
        "assumed": True,
        "unpriced": 0,
    }
    await store.end(hold(top), begin(top, tokens=100), "{}", used(1), WARN, AT)
    assert await account(store, TOP) == paid


async def test_a_call_left_open_by_a_former_holder_survives_its_successors_commit(
    store: RedisStore,
) -> None:
    """The successor's turn may take another way and never begin that step: its reserve must not
    be lost.
    """
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top, tokens=100), AT)
    moved = await _moved(store, leader, top)
    assert await store.commit(hold(moved), turn(moved), 32, AT) == "done"
    await store.end(hold(top), begin(top, tokens=100), "{}", used(40), WARN, AT)
    after = await account(store, TOP)
    assert (after["tokens.reserved"], after["tokens.spent"], after["tokens.free"]) == (0, 40, 960)


async def test_a_call_that_is_never_ended_is_settled_when_the_account_closes(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top, tokens=100), AT)
    moved = await _moved(store, leader, top)
    assert await store.commit(hold(moved), turn(moved), 32, AT) == "done"
    assert await leader.do(AgentReaped(ended(moved, reason="r", at=AT), 1e10, M1)) == "done"
    mission = await account(store, M1)
    assert (mission["tokens.spent"], mission["tokens.granted"], mission["tokens.free"]) == (
        100,
        0,
        4_900,
    )
    assert (mission["calls.spent"], mission["agents.free"]) == (1, 50)
    await store.end(hold(top), begin(top, tokens=100), "{}", used(1), WARN, AT)
    assert await account(store, M1) == mission


def lent(of: Agent, own: int, of_mission: int) -> Begin:
    """A call of which the mission's account reserves a part."""
    return replace(begin(of, tokens=own), keep={}, lender=M1, lent={"tokens": of_mission})


async def test_what_a_mission_lends_is_reserved_there_and_goes_back_as_far_as_it_is_not_used(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    call, before = lent(top, 900, 300), await account(store, M1)
    assert isinstance(await store.begin(hold(top), call, AT), Begun)
    assert isinstance(await store.begin(hold(top), call, AT), Begun), "its reply was lost"
    during = await account(store, M1)
    assert (during["tokens.reserved"], before["tokens.free"] - during["tokens.free"]) == (300, 300)
    for _ in range(2):
        await store.end(hold(top), call, "{}", used(1_000), WARN, AT)
    after, own = await account(store, M1), await account(store, TOP)
    assert (after["tokens.reserved"], after["tokens.spent"]) == (0, 100)
    assert before["tokens.free"] - after["tokens.free"] == 100
    assert (own["tokens.spent"], own["tokens.overdraft"], own["tokens.reserved"]) == (900, 0, 0)
    assert not await store.pipe.execute("HGETALL", store.keys.lent(M1))


async def test_what_a_call_takes_beyond_both_reserves_is_the_accounts_own_overdraft(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    call = lent(top, 900, 300)
    await store.begin(hold(top), call, AT)
    await store.end(hold(top), call, "{}", used(1_250), WARN, AT)
    mission, own = await account(store, M1), await account(store, TOP)
    assert (mission["tokens.spent"], mission["tokens.overdraft"]) == (300, 0)
    assert (own["tokens.spent"], own["tokens.overdraft"]) == (950, 50)


async def test_a_lender_that_has_too_little_lends_nothing(store: RedisStore) -> None:
    _, top = await _staffed(store)
    before = [await account(store, id) for id in (TOP, M1)]
    free = before[1]["tokens.free"]
    short = await store.begin(hold(top), lent(top, 900, free + 1), AT)
    assert isinstance(short, Short)
    assert (short.free["tokens"], short.lendable["tokens"]) == (1_000, free)
    assert [await account(store, id) for id in (TOP, M1)] == before
    assert [fact for fact in await facts(store) if fact["fact"] == "refuse"] == []


async def test_an_overdrawn_mission_lends_nothing(store: RedisStore) -> None:
    _, top = await _staffed(store)
    await store.pipe.execute("HSET", store.keys.ledger(M1), "overdrawn", "calls")
    before = [await account(store, id) for id in (TOP, M1)]
    assert isinstance(await store.begin(hold(top), lent(top, 900, 300), AT), Short)
    assert [await account(store, id) for id in (TOP, M1)] == before
    own = replace(begin(top, tokens=900), keep={})
    assert isinstance(await store.begin(hold(top), own, AT), Begun), "its own is its own"


async def test_a_lent_part_of_a_call_that_is_never_ended_is_settled_when_its_agent_is_reaped(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), lent(top, 900, 300), AT)
    assert await leader.do(AgentReaped(ended(top, reason="r", at=AT), 1e10, M1)) == "done"
    mission = await account(store, M1)
    assert (mission["tokens.spent"], mission["tokens.reserved"]) == (1_200, 0)
    assert (mission["tokens.assumed"], mission["tokens.free"]) == (1_200, 3_800)
    assert not await store.pipe.execute("HGETALL", store.keys.lent(M1))


async def test_a_seats_open_call_is_settled_when_the_mission_it_served_closes(
    store: RedisStore,
) -> None:
    leader, _ = await _staffed(store)
    seat = Agent(
        id=AgentId("picard"),
        name="picard",
        role="seat",
        tier=0,
        parent=None,
        path=("picard",),
        state=AgentState.LIVE,
        host=H1,
        lease=1,
        privileges=("model/**",),
    )
    await leader.do(AgentMade(seat, (inbox(seat.id),)))
    for mission, step in ((M1, 1), ("other", 2)):
        if mission == "other":
            await leader.do(AccountOpened("other", SOB, caps(), own_slot=False))
        call = replace(begin(seat, step, tokens=50), account=mission, segments=("picard", mission))
        assert isinstance(await store.begin(hold(seat), call, AT), Begun)
    await leader.do(AccountClosed(TOP, M1, (TOP,)), AccountClosed(M1, SOB, (seat.id,)))
    assert (await account(store, M1))["tokens.spent"] == 50
    assert (await account(store, SOB))["tokens.spent"] == 50
    assert (await account(store, "other"))["tokens.reserved"] == 50


# --- commit -----------------------------------------------------------------------------------


async def test_a_turn_is_committed_once_with_positions_memory_and_posts(store: RedisStore) -> None:
    _, top = await _staffed(store)
    await store.begin(hold(top), begin(top), AT)
    await store.end(hold(top), begin(top), "{}", used(1), WARN, AT)
    first = turn(top, 1, (up(SOB), note(TOP, "one")), (BOARD_ROOM, note(TOP, "two")))
    assert await store.commit(hold(top), first, 32, AT) == "done"
    after = await keyspace(store)
    assert await store.commit(hold(top), first, 32, AT) == "again"
    assert await keyspace(store) == after
    resumed = await store.resume(TOP)
    assert (resumed.turn, resumed.memory, resumed.batch) == (1, Memory(0, ("{}",)), {})
    assert resumed.positions[inbox(TOP)] == "5-0"
    assert f"_steps:{TOP}" not in after
    assert [message.text for message in await store.read(up(SOB), FIRST, 10)] == ["one"]


async def test_memory_grows_by_what_is_written_and_loses_what_is_forgotten(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    first = replace(turn(top), memory={7: '{"a":1}', 8: '{"b":2}'})
    assert await store.commit(hold(top), first, 32, AT) == "done"
    second = replace(turn(top, 2), memory={9: '{"c":"ä"}'}, forgotten=(7,))
    assert await store.commit(hold(top), second, 32, AT) == "done"
    assert (await store.resume(TOP)).memory == Memory(8, ('{"b":2}', '{"c":"ä"}'))


async def test_a_late_turn_of_a_former_holder_is_refused_where_its_successor_made_the_turn_of_that_number(
    store: RedisStore,
) -> None:
    leader, former = await _staffed(store)
    moved = replace(former, host=H2, lease=former.lease + 1)
    await leader.do(AgentSet(moved))
    await store.register(Host(H2, 10, ""), 60)
    theirs = turn(moved, 1, (up(SOB), note(TOP, "the successor's")))
    assert await store.commit(hold(moved), theirs, 32, AT) == "done"
    late = await store.commit(hold(former), turn(former, 1, (up(SOB), note(TOP, "late"))), 32, AT)
    assert isinstance(late, RefusedByStore)
    assert late.rule is Rule.LEASE
    assert await store.commit(hold(moved), theirs, 32, AT) == "again"
    assert [message.text for message in await store.read(up(SOB), FIRST, 10)] == ["the successor's"]


async def test_a_turn_under_way_is_resumed_with_the_mail_that_it_began_with(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    await store.begin(hold(top), begin(top), AT)
    await store.begin(hold(top), replace(begin(top, 2), batch='{"inbox:top":"9-0"}'), AT)
    assert (await store.resume(TOP)).batch == {"inbox:top": "1-0"}


@pytest.mark.parametrize("number", [2, 7])
async def test_a_turn_out_of_its_order_is_refused(store: RedisStore, number: int) -> None:
    _, top = await _staffed(store)
    reply = await store.commit(hold(top), turn(top, number), 32, AT)
    assert isinstance(reply, RefusedByStore)
    assert reply.rule is Rule.LEASE


async def test_a_turn_beyond_the_hops_is_committed_and_its_outputs_are_cut(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    assert (
        await store.commit(hold(top), turn(top, 1, (up(SOB), note(TOP)), hops=33), 32, AT)
        == "looped"
    )
    assert await store.read(up(SOB), FIRST, 10) == []
    assert (await store.resume(TOP)).turn == 1
    assert [fact["rule"] for fact in await facts(store) if fact["fact"] == "refuse"] == ["bus.hops"]
    assert (
        await store.commit(hold(top), turn(top, 2, (up(SOB), note(TOP)), hops=32), 32, AT) == "done"
    )


async def _client(store: RedisStore) -> Redis:
    """Another client of the same server."""
    way = store.pipe.dial
    if isinstance(way, FakeDial):
        return way.client
    assert isinstance(way, Dialler)
    place = await way.locator.locate()
    if place.path:
        return Redis(unix_socket_path=place.path, decode_responses=True)
    return Redis(host=place.host, port=place.port, decode_responses=True)


async def test_posts_ring_with_the_id_before_them_and_move_their_channels(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    async with (await _client(store)).pubsub() as heard:
        await heard.subscribe(store.keys.channel(up(SOB)))
        since, _ = await store.moved(0)
        texts = ["one", "two", "x" * 6_000]
        for number, text in enumerate(texts, start=1):
            await store.commit(hold(top), turn(top, number, (up(SOB), note(TOP, text))), 32, AT)
        rings: list[Ring | None] = []
        while len(rings) < 3:
            event = await heard.get_message(ignore_subscribe_messages=True, timeout=5)
            if event is not None:
                rings.append(from_ring(up(SOB), event["data"]))
    stored = await store.read(up(SOB), FIRST, 10)
    assert [ring.id for ring in rings if ring] == [message.id for message in stored]
    assert [ring.prev for ring in rings if ring] == [FIRST, stored[0].id, stored[1].id]
    assert [
        ring.message == message for ring, message in zip(rings, stored, strict=True) if ring
    ] == [
        True,
        True,
        False,
    ]
    assert rings[2] is not None
    assert rings[2].message is None, "a ring that is too large is cut, the stream has the whole"
    until, channels = await store.moved(since)
    assert (until - since, channels) == (3, (up(SOB),))


async def test_a_keyed_post_from_outside_happens_once(store: RedisStore) -> None:
    first = await store.post(BOARD_ROOM, note("operator"), key="k")
    assert await store.post(BOARD_ROOM, note("operator", "again"), key="k") == first
    assert await store.post(BOARD_ROOM, note("operator"), key="other") != first
    assert len(await store.read(BOARD_ROOM, FIRST, 10)) == 2


async def test_text_that_utf8_cannot_say_is_kept_as_text_and_breaks_nothing(
    store: RedisStore,
) -> None:
    await store.post(BOARD_ROOM, note("operator", "half \ud800 a pair"))
    (message,) = await store.read(BOARD_ROOM, FIRST, 10)
    assert message.text == "half ? a pair"


# --- the supervisor's commit ------------------------------------------------------------------


async def test_who_does_not_lead_writes_nothing(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    before = await keyspace(store)
    for token in ("0:s1", "1:s2", "2:s1", ""):
        with pytest.raises(NotLeadingError):
            await store.commit_changes(token, leader.seq + 1, [AgentSet(replace(top, lease=9))], {})
    assert await keyspace(store) == before


async def test_who_lost_the_lead_writes_nothing(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    await store.pipe.execute("DEL", store.keys.leader)
    successor = await Leader(store, seq=leader.seq).lead("s2")
    with pytest.raises(NotLeadingError):
        await leader.do(AgentSet(replace(top, lease=9)))
    assert await successor.do(AgentSet(replace(top, lease=2))) == "done"


@pytest.mark.parametrize("offset", [0, 2, 5, -1])
async def test_only_the_next_number_writes_and_the_last_one_repeated_is_once(
    store: RedisStore, offset: int
) -> None:
    leader, _ = await _staffed(store)
    read = {channel: StreamId(f"{n}-0") for n, channel in enumerate(INPUTS, 7)}
    await leader.do(Post(JOURNAL, note("supervisor")), positions=read)
    before = await keyspace(store)
    change = Post(JOURNAL, note("supervisor", "more"))
    if offset == 0:
        assert await store.commit_changes(leader.token, leader.seq, [change], {}) == "done"
    else:
        with pytest.raises(NotLeadingError):
            await store.commit_changes(leader.token, leader.seq + offset, [change], {})
    assert await keyspace(store) == before
    assert (await store.load(declarations())).positions == read


async def test_a_commit_that_is_short_of_one_kind_writes_nothing_at_all(store: RedisStore) -> None:
    leader, _ = await _staffed(store)
    before = await keyspace(store)
    for kind in KINDS:
        opened = AccountOpened("x", M1, caps() | {kind: 10**9}, own_slot=True)
        assert (
            await leader.do(AgentMade(agent("x"), ()), Post(JOURNAL, note("s")), opened) == "short"
        )
    assert await keyspace(store) == before


async def test_two_siblings_cannot_both_take_the_rest(store: RedisStore) -> None:
    leader, _ = await _staffed(store)
    rest = {kind: (await account(store, M1))[f"{kind}.free"] for kind in KINDS}
    before = await keyspace(store)
    both = [AccountOpened(id, M1, rest, own_slot=True) for id in ("x", "y")]
    assert await leader.do(*both) == "short"
    assert await keyspace(store) == before
    assert await leader.do(both[0]) == "done"
    assert await leader.do(both[1]) == "short"
    assert (await account(store, M1))["tokens.free"] == 0


async def test_what_was_decided_on_an_account_that_moved_since_is_not_written(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top, tokens=600), AT)
    assert await leader.do(AccountOpened("x", TOP, caps(500, 1, 1), own_slot=True)) == "short"


async def test_first_positions_are_the_beginning_of_its_own_and_the_end_of_what_others_said(
    store: RedisStore,
) -> None:
    leader = await Leader(store).lead()
    before = await store.post(down(SOB), note("sob", "to others"))
    await leader.do(
        Post(inbox(TOP), note("sob", "charter")),
        AgentMade(agent(TOP), (inbox(TOP), down(SOB), up(TOP), BOARD_ROOM)),
    )
    positions = (await store.resume(TOP)).positions
    assert positions == {inbox(TOP): "0-0", down(SOB): before, up(TOP): "0-0", BOARD_ROOM: "0-0"}


async def test_the_memory_that_is_loaded_is_what_was_committed(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    mark = Fence(TOP, "it loops", "operator", 5.5, "o1", confirmed=1, unconfirmed=2, unreachable=3)
    low = agent("low", TOP, tier=2, created=AT)
    await leader.do(FENCES.put(mark), AgentMade(low, ()))
    swarm = (await store.load(declarations())).swarm
    assert swarm.lineage.agents == {TOP: top, low.id: low}
    assert swarm.lineage.fences == {TOP: mark}
    assert swarm.lineage.children(TOP) == (low,)
    assert set(swarm.hosts) == {H1}


async def test_the_spawn_rate_outlives_the_supervisor(store: RedisStore) -> None:
    leader = (await _staffed(store))[0]
    mission = Mission(id=M1, text="t", state=MissionState.WORKING, budget=caps())
    await leader.do(MissionSet(mission))
    short_lived = agent("gone", TOP, tier=2)
    await leader.do(AgentMade(agent("low", TOP, tier=2), ()), AgentMade(short_lived, ()))
    await leader.do(AgentReaped(ended(short_lived, reason="r", at=AT), 1e10, TOP))
    swarm = (await store.load(declarations())).swarm
    assert len(swarm.spawned_at[M1]) == 3


async def test_a_reaped_agent_leaves_its_record_and_is_forgotten_whole_after_its_retention(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    low = agent("low", TOP, tier=2)
    await leader.do(
        AgentMade(low, (inbox(low.id), down(TOP))),
        AccountOpened(low.id, TOP, caps(10, 1, 1), own_slot=True),
    )
    await store.post(inbox(low.id), note("operator"))
    await leader.do(AgentReaped(ended(low, reason="r", at=AT), 100.0, TOP))
    kept = await keyspace(store)
    assert {key for key in kept if key.endswith(":low")} == {"agent:low", "ledger:low"}
    assert kept["children:top"] == ["low"]
    assert (await store.children(TOP))[0].state is AgentState.TERMINATED
    assert await store.due(99.0, 10) == []
    assert await store.due(100.0, 10) == [("agent", "low")]
    await store.post(room("parlour-m"), note("operator"))
    await store.forget("agent", "low", [room("parlour-m")])
    assert await store.due(100.0, 10) == []
    left = await keyspace(store)
    assert not any("low" in key or "parlour" in key for key in left)
    assert "room:parlour-m" not in left.get("_heads", {})
    assert "children:top" not in left, (
        "who has a child every minute must not remember them all for ever"
    )
    assert top.id in left["_agents"]


@pytest.mark.parametrize("how", ["begun", "failed", "cut"])
async def test_an_attempt_that_is_counted_late_leaves_nothing_of_an_agent_that_is_gone(
    store: RedisStore, how: Attempt
) -> None:
    leader, _ = await _staffed(store)
    low = agent("low", TOP, tier=2)
    await leader.do(
        AgentMade(low, (inbox(low.id), down(TOP))),
        AccountOpened(low.id, TOP, caps(10, 1, 1), own_slot=True),
    )
    await leader.do(AgentReaped(ended(low, reason="r", at=AT), 100.0, TOP))
    for _ in range(2):
        before = await keyspace(store)
        assert await store.attempt(low.id, 1, "late", how) == 0
        assert await keyspace(store) == before
        await store.forget("agent", "low", [])


async def test_an_attempt_whose_calls_were_all_given_up_got_no_further_than_the_one_before_it(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    tries = []
    for step, result in enumerate((LOST, LOST, LOST, "{}", LOST), start=1):
        call = begin(top, step)
        assert isinstance(await store.begin(hold(top), call, AT), Begun)
        await store.end(hold(top), call, result, used(5), WARN, AT)
        tries.append(await store.attempt(TOP, 1, f"t-{step}", "failed"))
    assert tries == [1, 2, 3, 1, 2], "only the fourth was answered something"


# --- the lead ---------------------------------------------------------------------------------


async def test_one_leads_and_each_new_lead_has_a_higher_number(store: RedisStore) -> None:
    first = await store.lead(HostId("s1"), 60)
    assert await store.lead(HostId("s2"), 60) == 0
    assert await store.lead(HostId("s1"), 60) == first
    await store.step_down(HostId("s2"), first)
    assert await store.lead(HostId("s2"), 60) == 0, "only the leader steps down"
    await store.step_down(HostId("s1"), first)
    second = await store.lead(HostId("s2"), 60)
    assert second > first
    assert await store.lead(HostId("s1"), 60) == 0


async def _without_lead(store: RedisStore) -> None:
    """As after a lease that nobody renewed."""
    await store.pipe.execute("DEL", store.keys.leader)


async def test_without_a_lead_no_call_begins_and_nothing_of_it_is_reserved_or_journaled(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    before = await account(store, TOP)
    await _without_lead(store)
    reply = await store.begin(hold(top), begin(top), AT)
    assert isinstance(reply, RefusedByStore)
    assert reply.rule is Rule.NO_LEAD
    assert await account(store, TOP) == before
    assert (await store.resume(TOP)).batch == {}, "the turn has not begun: its mail is taken anew"
    assert await store.led_for() == 0
    refused = [fact for fact in await facts(store) if fact["fact"] == "refuse"]
    assert [(fact["rule"], fact["agent"], fact["call"]) for fact in refused] == [
        ("lead.none", TOP, "1:1")
    ]


async def test_a_call_is_told_with_what_it_called_with_which_input_and_how_it_ended(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    for step, used_up in ((1, Used({"tokens": 5}, files=("a.md", "b ü.md"))), (2, None)):
        asked = replace(begin(top), step=step, kind="search", input=f"digest-{step}")
        assert isinstance(await store.begin(hold(top), asked, AT), Begun)
        if used_up is not None:
            await store.end(hold(top), asked, "{}", used_up, WARN, AT)
    told = {(fact["fact"], fact["call"]): fact for fact in await facts(store) if "what" in fact}
    assert {(kind, call, f["what"], f["input"]) for (kind, call), f in told.items()} == {
        ("reserve", "1:1", "search", "digest-1"),
        ("settle", "1:1", "search", "digest-1"),
        ("reserve", "1:2", "search", "digest-2"),
    }
    settled = told["settle", "1:1"]
    assert (settled["ok"], json.loads(settled["files"])) == ("1", ["a.md", "b ü.md"])


async def test_without_a_lead_what_has_begun_ends_and_the_turn_is_committed(
    store: RedisStore,
) -> None:
    _, top = await _staffed(store)
    first = begin(top, tokens=100)
    assert isinstance(await store.begin(hold(top), first, AT), Begun)
    await _without_lead(store)
    assert isinstance(await store.begin(hold(top), first, AT), Begun), (
        "its reply was lost: it has begun"
    )
    await store.end(hold(top), first, "{}", used(25), WARN, AT)
    assert (await account(store, TOP))["tokens.spent"] == 25
    assert await store.begin(hold(top), first, AT) == EndedBefore("{}"), "and is not paid again"
    second = await store.begin(hold(top), begin(top, 2), AT)
    assert isinstance(second, RefusedByStore)
    assert second.rule is Rule.NO_LEAD
    assert await store.commit(hold(top), turn(top, 1, (up(SOB), note(TOP))), 32, AT) == "done"
    assert not await store.pipe.execute("EXISTS", store.keys.steps(TOP))


async def test_a_turn_that_waited_for_a_lead_goes_on_where_it_was(store: RedisStore) -> None:
    _, top = await _staffed(store)
    await _without_lead(store)
    for _ in range(3):
        assert isinstance(await store.begin(hold(top), begin(top), AT), RefusedByStore)
    assert await store.lead(HostId("s2"), 60)
    assert await store.led_for() > 50
    assert isinstance(await store.begin(hold(top), begin(top), AT), Begun)
    assert await store.attempt(TOP, 1, "other-host", "begun") == 2, (
        "the one that began, and this one"
    )


async def test_who_steps_down_leaves_calls_going_for_the_rest_of_the_lease_and_the_lead_free(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await store.step_down(HostId("s1"), 1)
    assert 0 < await store.led_for() <= 60
    assert isinstance(await store.begin(hold(top), begin(top), AT), Begun)
    with pytest.raises(NotLeadingError):
        await leader.do(Post(up(SOB), note(SOB)))
    assert await store.lead(HostId("s2"), 60) == 2, "another may lead at once"


async def test_a_lease_that_nobody_renews_stops_calls_when_it_is_over(store: RedisStore) -> None:
    _, top = await _staffed(store)
    assert await store.lead(HostId("s1"), 0.2)
    assert isinstance(await store.begin(hold(top), begin(top), AT), Begun)
    with anyio.fail_after(5):
        while await store.led_for():
            await anyio.sleep(0.05)
    reply = await store.begin(hold(top), begin(top, 2), AT)
    assert isinstance(reply, RefusedByStore)
    assert reply.rule is Rule.NO_LEAD


async def test_until_when_somebody_led_is_known_when_the_lead_is_gone(store: RedisStore) -> None:
    assert await store.led_until() == 0
    before = time.time()
    await store.lead(HostId("s1"), 60)
    await store.lead(HostId("s1"), 70)
    await _without_lead(store)
    assert before + 65 < await store.led_until() < time.time() + 75


# --- the ledger, by random walks ----------------------------------------------------------------


class LedgerWalk(RuleBasedStateMachine):
    """Supervisor and two hosts do to the ledger what they may, in any order, and repeat
    themselves.
    """

    socket: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = open_store(self.socket, f"walk{next(_namespaces)}")
        self.store: RedisStore
        self.reference = SlowLedger()
        self.agents: dict[str, Agent] = {}
        self.turns: dict[str, int] = {}
        self.steps: dict[str, int] = {}
        self.open_calls: list[OpenCall] = []
        self.former: list[OpenCall] = []
        self.ended_calls: list[OpenCall] = []
        self.numbers = itertools.count(1)
        self.run(self._found())

    def run(self, step: Any) -> Any:
        return self.runner.run(step)

    async def _found(self) -> None:
        self.store = await _enter(self.opened)
        self.leader = await Leader(self.store).lead()
        for host in (H1, H2):
            await self.store.register(Host(host, 100, ""), 60)
        await self._open(SOB, "", caps(3_000, 60, 12), own_slot=False)
        await self._open(M1, SOB, caps(2_000, 40, 10), own_slot=False)

    async def _open(
        self, id: str, parent: str, given: Mapping[str, int], *, own_slot: bool
    ) -> None:
        assert await self.leader.do(AccountOpened(id, parent, given, own_slot=own_slot)) == "done"
        self.reference.open(id, parent, given, own_slot=own_slot)

    def teardown(self) -> None:
        self.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def _pick(self, of: Sequence[T], which: int) -> T:
        return of[which % len(of)]

    @rule(
        which=st.integers(0, 9),
        tokens=st.integers(1, 900),
        calls=st.integers(1, 20),
        agents=st.integers(1, 5),
    )
    def carve(self, which: int, tokens: int, calls: int, agents: int) -> None:
        parent = self._pick([M1, *self.agents], which)
        given = caps(tokens, calls, agents)
        id = f"a{next(self.numbers)}"
        above = self.agents[parent].path[3:] if parent in self.agents else ()
        made = agent(id, *above)
        fits = all(given[kind] <= self.reference.free(parent, kind) for kind in KINDS)
        reply = self.run(
            self.leader.do(AgentMade(made, ()), AccountOpened(id, parent, given, own_slot=True))
        )
        assert reply == ("done" if fits else "short")
        if fits:
            self.reference.open(id, parent, given, own_slot=True)
            self.agents[id] = made
            self.turns[id], self.steps[id] = 0, 0

    @precondition(lambda self: self.agents)
    @rule(
        which=st.integers(0, 9),
        tokens=st.integers(0, 400),
        cost=st.integers(0, 4_000),
        calls=st.integers(0, 3),
        tools=st.integers(0, 3),
        lent=st.integers(-300, 300),
    )
    def begin(self, which: int, tokens: int, cost: int, calls: int, tools: int, lent: int) -> None:
        holder = self._pick(list(self.agents.values()), which)
        amounts = {"tokens": tokens, "cost": cost, "calls": calls, "tools": tools}
        known = begin(holder, self.steps[holder.id] + 1, turn=self.turns[holder.id] + 1)
        call = replace(known, amounts=amounts, lender=M1)
        if lent > 0:
            call = replace(call, keep={}, lent={"tokens": lent})
        fits = self.reference.affords(holder.id, amounts) and self.reference.lends(call)
        reply = self.run(self.store.begin(hold(holder), call, AT))
        assert isinstance(reply, Begun if fits else (RefusedByStore, Short))
        assert not isinstance(reply, Short) or lent > 0
        if isinstance(reply, RefusedByStore):
            is_over = holder.id in self.reference.overdrawn
            assert reply.rule is (Rule.BUDGET_OVERDRAFT if is_over else Rule.BUDGET_EXHAUSTED)
        if fits:
            self.steps[holder.id] += 1
            self.reference.reserve(holder.id, call)
            self.open_calls.append(OpenCall(holder, call, holder.id))

    @precondition(lambda self: self.open_calls)
    @rule(which=st.integers(0, 9))
    def begin_again(self, which: int) -> None:
        """By its holder it is nothing new; by a successor the former's is paid in full and a new
        one reserved.
        """
        known = self._pick(self.open_calls, which)
        holder = self.agents[known.account]
        if known.call.turn != self.turns[holder.id] + 1:
            return
        reply = self.run(self.store.begin(hold(holder), known.call, AT))
        if holder.lease == known.holder.lease:
            assert isinstance(reply, Begun)
            return
        self.reference.settle(holder.id, known.call, whole(known.call))
        self.open_calls.remove(known)
        self.former.append(known)
        fits = self.reference.affords(holder.id, known.call.amounts)
        fits = fits and self.reference.lends(known.call)
        assert isinstance(reply, Begun if fits else (RefusedByStore, Short))
        if fits:
            self.reference.reserve(holder.id, known.call)
            self.open_calls.append(OpenCall(holder, known.call, holder.id))

    @precondition(lambda self: self.open_calls)
    @rule(
        which=st.integers(0, 9),
        percent=st.dictionaries(st.sampled_from(KINDS), st.integers(0, 150)),
    )
    def end(self, which: int, percent: Mapping[str, int]) -> None:
        """By whoever began it, fenced and moved or not; of each kind so many percent of the
        reserve are used.
        """
        known = self.open_calls.pop(which % len(self.open_calls))
        reserved = whole(known.call)
        amounts = {kind: n * percent.get(kind, 90) // 100 for kind, n in reserved.items()}
        self.run(self.store.end(hold(known.holder), known.call, "{}", Used(amounts), WARN, AT))
        self.reference.settle(known.account, known.call, amounts)
        self.ended_calls.append(known)

    @precondition(lambda self: self.former or self.ended_calls)
    @rule(which=st.integers(0, 9), tokens=st.integers(0, 500))
    def end_again_or_too_late(self, which: int, tokens: int) -> None:
        known = self._pick([*self.former, *self.ended_calls], which)
        self.run(self.store.end(hold(known.holder), known.call, "{}", used(tokens), WARN, AT))

    @rule(
        which=st.integers(0, 9),
        amounts=st.dictionaries(st.sampled_from(KINDS), st.integers(1, 300), min_size=1),
    )
    def fund(self, which: int, amounts: Mapping[str, int]) -> None:
        """Of the account above it, which must have it; the root of nobody's."""
        id = self._pick([SOB, M1, *self.agents], which)
        above = self.reference.accounts[id].parent
        fits = not above or all(
            n <= self.reference.free(above, kind) for kind, n in amounts.items()
        )
        reply = self.run(self.leader.do(AccountFunded(id, above, amounts)))
        assert reply == ("done" if fits else "short")
        if fits:
            self.reference.fund(id, amounts)

    @precondition(lambda self: self.reference.overdrawn)
    @rule(which=st.integers(0, 9))
    def clear(self, which: int) -> None:
        id = self._pick(sorted(self.reference.overdrawn), which)
        assert self.run(self.leader.do(AccountCleared(id))) == "done"
        self.reference.overdrawn.discard(id)

    @rule()
    def a_new_period_of_the_root(self) -> None:
        assert self.run(self.leader.do(PeriodTurned(SOB, f"p{next(self.numbers)}"))) == "done"
        self.reference.forget_spent(SOB)

    @precondition(lambda self: self.agents)
    @rule(which=st.integers(0, 9))
    def restart(self, which: int) -> None:
        """A new incarnation: what it left open is settled at its full reserve."""
        former = self._pick(list(self.agents.values()), which)
        gone = replace(
            former, incarnation=former.incarnation + 1, host=HostId(""), state=AgentState.STARTING
        )
        # Where it is placed it has another lease: a late end of the former's calls must not meet
        # the new one's.
        anew = replace(gone, host=former.host, lease=former.lease + 1, state=AgentState.LIVE)
        changes = AgentRestarted(gone, former.id, (inbox(former.id),)), AgentSet(anew)
        assert self.run(self.leader.do(*changes)) == "done"
        self.agents[former.id] = anew
        self.turns[former.id], self.steps[former.id] = 0, 0
        self._assume_open_calls(former.id)

    @precondition(lambda self: self._children())
    @rule(which=st.integers(0, 9))
    def adopt(self, which: int) -> None:
        """A child goes to its creator's creator, account and all."""
        id = self._pick(self._children(), which)
        former = self.reference.accounts[id].parent
        above = self.reference.accounts[former].parent
        adopted = replace(self.agents[id], parent=SOB if above == M1 else AgentId(above))
        assert self.run(self.leader.do(AgentAdopted(adopted, AgentId(former), (), above))) == "done"
        self.agents[id] = adopted
        self.reference.adopt(id)

    def _children(self) -> list[str]:
        return [id for id in self.agents if self.reference.accounts[id].parent in self.agents]

    def _assume_open_calls(self, account: str) -> None:
        for known in [known for known in self.open_calls if known.account == account]:
            self.open_calls.remove(known)
            self.former.append(known)
            self.reference.settle(account, known.call, whole(known.call))

    @precondition(lambda self: self.agents)
    @rule(which=st.integers(0, 9))
    def move_to_another_host(self, which: int) -> None:
        holder = self._pick(list(self.agents.values()), which)
        moved = replace(holder, host=H2 if holder.host == H1 else H1, lease=holder.lease + 1)
        assert self.run(self.leader.do(AgentSet(moved))) == "done"
        self.agents[holder.id] = moved

    @precondition(lambda self: self.agents)
    @rule(which=st.integers(0, 9))
    def commit(self, which: int) -> None:
        holder = self._pick(list(self.agents.values()), which)
        assert (
            self.run(
                self.store.commit(hold(holder), turn(holder, self.turns[holder.id] + 1), 32, AT)
            )
            == "done"
        )
        self.turns[holder.id] += 1
        self.steps[holder.id] = 0

    @precondition(lambda self: self.agents)
    @rule(which=st.integers(0, 9))
    def close(self, which: int) -> None:
        """Who has none below it any more."""
        id = self._pick([id for id in self.agents if self.reference.is_leaf(id)], which)
        closed, parent = self.agents.pop(id), self.reference.accounts[id].parent
        reaped = AgentReaped(ended(closed, reason="r", at=AT), 1e12, parent)
        assert self.run(self.leader.do(reaped)) == "done"
        self._assume_open_calls(id)
        self.reference.close(id)

    @invariant()
    def the_server_says_what_the_reference_says_and_it_balances(self) -> None:
        for id, known in self.reference.accounts.items():
            found = self.run(account(self.store, id))
            for kind in KINDS:
                says = {name: found[f"{kind}.{name}"] for name in AMOUNTS}
                assert says == {name: known.amounts[name][kind] for name in AMOUNTS}, (id, kind)
                assert all(amount >= 0 for amount in says.values()), (id, kind, says)
                used = says["free"] + says["reserved"] + says["granted"] + says["spent"]
                assert says["cap"] + says["overdraft"] == used, (id, kind, says)
                children = [
                    a for a in self.reference.accounts.values() if a.parent == id and a.is_open
                ]
                assert says["granted"] == sum(child.amounts["cap"][kind] for child in children)
            assert ("overdrawn" in self.run(fields(self.store, id))) == (
                id in self.reference.overdrawn
            )


async def _enter(opened: Any) -> Any:
    return await opened.__aenter__()


def test_the_ledger_balances_after_any_walk_on_fakeredis() -> None:
    bounds = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LedgerWalk, settings=bounds)


def test_the_ledger_balances_after_any_walk_on_valkey(server: EmbeddedServer) -> None:
    class OnValkey(LedgerWalk):
        socket = str(server.socket)

    bounds = settings(
        max_examples=15,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(OnValkey, settings=bounds)


async def test_a_worker_learns_whether_its_declarations_are_the_supervisors(
    store: RedisStore,
) -> None:
    assert await store.declare("one", is_supervisor=False), (
        "no supervisor has said yet which they are"
    )
    assert await store.declare("one", is_supervisor=True)
    assert await store.declare("one", is_supervisor=False)
    assert not await store.declare("other", is_supervisor=False)


# --- seals ------------------------------------------------------------------------------------


async def test_a_process_with_another_secret_is_refused_at_its_start(store: RedisStore) -> None:
    await store.check_schema()
    await store.check_schema()
    other = RedisStore(store.pipe.dial, store.keys.namespace, SECRET[::-1])
    other.session.pipe = store.pipe
    with pytest.raises(StoreUnsuitableError, match="another secret") as refused:
        await other.check_schema()
    assert "SWARMD_SECRET_FILE" in refused.value.hint
    assert SECRET.decode() not in str(await keyspace(store))


def with_another_secret(store: RedisStore) -> RedisStore:
    other = RedisStore(store.pipe.dial, store.keys.namespace, SECRET[::-1])
    other.session.pipe = store.pipe
    return other


async def sealed_with(store: RedisStore) -> str | None:
    found: str | None = await store.pipe.execute("HGET", store.keys.meta, "seal")
    return found


@pytest.mark.parametrize("channel", [RESULTS, BOARD_ROOM, DEAD, ORDERS, REQUESTS])
async def test_a_swarm_whose_seal_is_gone_is_not_sealed_with_another_secret(
    store: RedisStore, channel: Channel
) -> None:
    await store.check_schema()
    await store.post(channel, Message(sender=SOB, kind=Kind.SAY, at=AT))
    await store.pipe.execute("XADD", store.keys.channel(RESULTS), "*", "mac", "forged")
    seal = await sealed_with(store)
    await store.pipe.execute("DEL", store.keys.meta)
    other = with_another_secret(store)
    with pytest.raises(StoreUnsuitableError, match="another secret"):
        await other.check_schema()
    assert not await other.check_schema(makes=False), "a worker waits"
    assert await store.pipe.execute("EXISTS", store.keys.meta) == 0
    assert await store.check_schema()
    assert await sealed_with(store) == seal


async def test_a_seal_that_could_not_be_given_back_is_no_invitation(store: RedisStore) -> None:
    await store.check_schema()
    await store.post(RESULTS, Message(sender=SOB, kind=Kind.SAY, at=AT))
    seal = await sealed_with(store)
    await store.pipe.execute("HSET", store.keys.meta, "seal", SEAL_LOST)
    other = with_another_secret(store)
    with pytest.raises(StoreUnsuitableError, match="another secret"):
        await other.check_schema()
    assert not await other.check_schema(makes=False)
    assert await store.check_schema()
    assert await sealed_with(store) == seal


async def test_who_takes_the_seal_away_as_the_contract_says_changes_the_secret(
    store: RedisStore,
) -> None:
    await store.check_schema()
    await store.post(RESULTS, Message(sender=SOB, kind=Kind.SAY, at=AT))
    await store.pipe.execute("HDEL", store.keys.meta, "seal")
    assert await with_another_secret(store).check_schema()
    with pytest.raises(StoreUnsuitableError, match="another secret"):
        await store.check_schema()


async def test_a_supervisor_stamps_again_what_was_written_over(store: RedisStore) -> None:
    await store.check_schema()
    await store.server_run()
    before = await store.pipe.execute("HGETALL", store.keys.meta)
    await store.pipe.execute("DEL", store.keys.meta)
    await store.server_run()
    assert await store.pipe.execute("HGETALL", store.keys.meta) == before
    await store.pipe.execute("HSET", store.keys.meta, "seal", SEAL_LOST)
    await store.server_run()
    assert await store.pipe.execute("HGETALL", store.keys.meta) == before


async def test_a_successor_goes_on_from_its_predecessors_serials_on_a_clock_that_is_behind(
    store: RedisStore,
) -> None:
    leader, said = await Leader(store).lead(), Message(sender=SOB, kind=Kind.SAY, at=AT)
    await leader.do(Post(BOARD_ROOM, said))
    behind = RedisStore(
        store.pipe.dial, store.keys.namespace, SECRET, now=lambda: time.time() - 3_600
    )
    behind.session.pipe = store.pipe
    await behind.load(declarations())
    await behind.commit_changes(leader.token, leader.seq + 1, [Post(BOARD_ROOM, said)], {})
    first, second = await store.read(BOARD_ROOM, FIRST, 10)
    reader = Heard()
    assert [reader.accepts(m) for m in (first, second)] == [None, None]


async def test_operators_nonces_that_are_over_are_dropped_from_an_agents_state_as_it_is_resumed(
    store: RedisStore,
) -> None:
    key = store.keys.state(TOP)
    old, new = 10**15, 2 * 10**15
    await store.pipe.execute(
        "HSET",
        key,
        "turn",
        3,
        "h:inbox:top oaa",
        f"0 {old}",
        "h:inbox:top obb",
        f"0 {new}",
        "h:inbox:top s",
        "0 5",
        "h:inbox:top r.x",
        "junk",
    )
    resumed = await store.resume(TOP)
    left = {"inbox:top obb": (0, new), "inbox:top s": (0, 5), "inbox:top o": (0, old)}
    assert resumed.heard.marks == left
    assert (await store.resume(TOP)).heard.marks == left
    assert await store.pipe.execute("HEXISTS", key, "h:inbox:top oaa") == 0


async def test_a_new_life_remembers_nothing_but_what_it_has_heard_and_how_far_it_has_read(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    before = (await store.resume(TOP)).heard.marks
    assert set(before) == {f"{down(SOB)} *"}, "its own channels have no past"
    heard = {f"{inbox(TOP)} s": "0 5"}
    done = replace(turn(top), heard=heard)
    assert await store.commit(hold(top), done, 32, AT) == "done"
    anew = replace(top, incarnation=2)
    read_until = (await store.resume(TOP)).positions
    assert await leader.do(AgentRestarted(anew, TOP, (inbox(TOP), down(SOB)))) == "done"
    resumed = await store.resume(TOP)
    assert (resumed.turn, resumed.memory) == (0, NO_MEMORY)
    assert resumed.heard.marks[f"{inbox(TOP)} s"] == (0, 5)
    # Nothing that waited is passed over: it reads on where the last one stopped.
    assert resumed.positions == read_until
    assert resumed.heard.marks[f"{down(SOB)} *"] == before[f"{down(SOB)} *"]
