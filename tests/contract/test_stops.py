"""What the scripts refuse: stops of each target and kind, marks on privileges, accounts in debt.

The core decides what stands in the store; the scripts only look. Here it is held that both say the
same.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.agent.memory import NO_MEMORY
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
    PeriodTurned,
    RightsSet,
)
from swarmd.core.model.channels import down, inbox, room, up
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent, Lineage, Stop, StopKind
from swarmd.core.model.names import FIRST, SOB, AgentId, AgentState, Authority, Channel, HostId
from swarmd.core.model.privileges import Held, Revocation, Right
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import REVOCATIONS, STOPS, Drop
from swarmd.ports.stores import Begun, EndedBefore, RefusedByStore, Turn, Used
from tests.contract.test_store import (
    AT,
    H1,
    M1,
    TOP,
    WARN,
    Leader,
    _staffed,
    account,
    agent,
    begin,
    caps,
    facts,
    fields,
    hold,
    keyspace,
    note,
    open_store,
    turn,
    used,
)
from tests.core.swarm_builder import declarations

RULES: Final = {
    StopKind.FREEZE: Rule.FROZEN,
    StopKind.HALT: Rule.HALTED,
    StopKind.DRAIN: Rule.DRAINING,
}
HALL: Final = room(f"hall-{M1}")
SAY: Final = "room/hall/say"


def stop(target: str, kind: StopKind = StopKind.FREEZE) -> Stop:
    return Stop(target, kind, Authority.OPERATOR, "r", "operator", 5.0)


def mark(segment: str, path: str, number: int, right: Right = "both") -> Revocation:
    return Revocation(segment, path, right, number, "operator", AT)


def saying(of: Agent, *channels: Channel, number: int = 1) -> Turn:
    """A turn with one post to each channel; those of rooms take their privilege."""
    said = turn(of, number, *((channel, note(of.id, f"to {channel}")) for channel in channels))
    return replace(said, privileges={HALL: SAY})


def _rule(reply: object) -> Rule | None:
    return reply.rule if isinstance(reply, RefusedByStore) else None


# --- stops ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", StopKind)
@pytest.mark.parametrize("target", [TOP, M1, SOB, f"={TOP}", "tier:1", "*"])
async def test_under_a_stop_nothing_begins_and_nothing_is_written_but_the_fact_until_it_is_lifted(
    store: RedisStore, target: str, kind: StopKind
) -> None:
    leader, top = await _staffed(store)
    await leader.do(STOPS.put(stop(target, kind)))
    before = await keyspace(store)
    reply = await store.begin(hold(top), begin(top), AT)
    assert reply == RefusedByStore(RULES[kind], target)
    after = await keyspace(store)
    told = after.pop("_facts")
    assert len(told) == len(before.pop("_facts")) + 1
    assert after == before
    committed = await store.commit(hold(top), turn(top), 32, AT)
    # A turn that a drain found begun is let come to its end, which is its commit.
    assert committed == ("done" if kind is StopKind.DRAIN else RefusedByStore(RULES[kind], target))
    await leader.do(Drop(STOPS, target))
    number = 2 if kind is StopKind.DRAIN else 1
    assert isinstance(await store.begin(hold(top), begin(top, turn=number), AT), Begun)


@pytest.mark.parametrize("target", ["other", "=other", "m2", "tier:2", "room:hall", "use:model/**"])
async def test_a_stop_of_another_stops_nobody_else(store: RedisStore, target: str) -> None:
    leader, top = await _staffed(store)
    await leader.do(STOPS.put(stop(target, StopKind.HALT)))
    assert isinstance(
        await store.begin(hold(top), begin(top, privilege="tool/file/read"), AT), Begun
    )
    assert await store.commit(hold(top), turn(top), 32, AT) == "done"


async def test_a_stop_of_an_agent_alone_lets_those_below_it_go_on(store: RedisStore) -> None:
    leader, _ = await _staffed(store)
    low = agent("low", TOP, tier=2)
    await leader.do(AgentMade(low, ()), AccountOpened(low.id, TOP, caps(100, 10, 2), own_slot=True))
    await leader.do(STOPS.put(stop(f"={TOP}")))
    assert isinstance(await store.begin(hold(low), begin(low), AT), Begun)
    await leader.do(STOPS.put(stop(TOP)))
    assert _rule(await store.begin(hold(low), begin(low, 2), AT)) is Rule.FROZEN


async def test_a_drain_lets_a_begun_turn_end_and_no_other_begin(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top), AT)
    await store.end(hold(top), begin(top), "{}", used(5), WARN, AT)
    await leader.do(
        STOPS.put(stop(TOP, StopKind.DRAIN)), AgentSet(replace(top, state=AgentState.DRAINING))
    )
    assert isinstance(await store.begin(hold(top), begin(top, 2), AT), Begun)
    await store.end(hold(top), begin(top, 2), "{}", used(5), WARN, AT)
    assert await store.commit(hold(top), turn(top), 32, AT) == "done"
    assert _rule(await store.begin(hold(top), begin(top, turn=2), AT)) is Rule.DRAINING


@pytest.mark.parametrize("firm", [StopKind.FREEZE, StopKind.HALT])
@pytest.mark.parametrize(
    ("drained", "stopped"),
    list(itertools.permutations([SOB, M1, TOP, f"={TOP}", "tier:1", "*"], 2)),
)
async def test_a_drain_hides_no_firmer_stop(
    store: RedisStore, drained: str, stopped: str, firm: StopKind
) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top), AT)
    await leader.do(STOPS.put(stop(drained, StopKind.DRAIN)), STOPS.put(stop(stopped, firm)))
    for reply in (
        await store.begin(hold(top), begin(top, 2), AT),
        await store.commit(hold(top), turn(top), 32, AT),
    ):
        assert reply == RefusedByStore(RULES[firm], stopped)


async def test_a_call_under_way_is_settled_under_any_stop(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top, tokens=100), AT)
    await leader.do(STOPS.put(stop("*", StopKind.HALT)))
    await store.end(hold(top), begin(top, tokens=100), "{}", used(40), WARN, AT)
    assert (await account(store, TOP))["tokens.spent"] == 40


async def test_a_halted_turn_goes_on_from_its_journal_when_it_is_thawed(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    await store.begin(hold(top), begin(top), AT)
    await store.end(hold(top), begin(top), '{"n":1}', used(5), WARN, AT)
    await leader.do(STOPS.put(stop(TOP, StopKind.HALT)))
    assert _rule(await store.begin(hold(top), begin(top), AT)) is Rule.HALTED
    await leader.do(Drop(STOPS, TOP))
    assert await store.begin(hold(top), begin(top), AT) == EndedBefore('{"n":1}')


async def test_a_missions_stop_holds_a_seat_in_what_it_does_for_that_mission_alone(
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
    await leader.do(
        AgentMade(seat, (inbox(seat.id),)), AccountOpened("m2", SOB, caps(), own_slot=False)
    )
    await leader.do(STOPS.put(stop(M1)))
    calls = [
        replace(begin(seat, step), account=mission, segments=("picard", mission))
        for step, mission in ((1, M1), (2, "m2"))
    ]
    assert _rule(await store.begin(hold(seat), calls[0], AT)) is Rule.FROZEN
    assert isinstance(await store.begin(hold(seat), calls[1], AT), Begun)
    await leader.do(Drop(STOPS, M1), STOPS.put(stop("tier:0", StopKind.HALT)))
    assert _rule(await store.begin(hold(seat), replace(calls[1], step=3), AT)) is Rule.HALTED


@pytest.mark.parametrize("kind", [StopKind.FREEZE, StopKind.HALT])
@pytest.mark.parametrize(
    "target", ["use:model/openai:x", "use:model/**", "use:model/openai:x/**", "use:**"]
)
async def test_a_stopped_privilege_refuses_the_calls_under_it_and_no_others(
    store: RedisStore, target: str, kind: StopKind
) -> None:
    leader, top = await _staffed(store)
    await leader.do(STOPS.put(stop(target, kind)))
    reply = await store.begin(hold(top), begin(top, privilege="model/openai:x"), AT)
    assert reply == RefusedByStore(RULES[kind], target)
    other = await store.begin(hold(top), begin(top, privilege="tool/file/read"), AT)
    assert isinstance(other, Begun) == (target != "use:**")
    assert isinstance(await store.begin(hold(top), begin(top, 2), AT), Begun), (
        "what takes no privilege is not under it"
    )


# --- what may be said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [HALL, "room:hall", f"use:{SAY}", "use:room/hall/**", "use:room/**", "use:**"]
)
async def test_a_stopped_room_leaves_the_whole_commit_undone_and_names_the_output(
    store: RedisStore, target: str
) -> None:
    leader, top = await _talking(store)
    await leader.do(STOPS.put(stop(target)))
    before = await keyspace(store)
    reply = await store.commit(hold(top), saying(top, up(SOB), HALL, up(SOB)), 32, AT)
    assert reply == RefusedByStore(Rule.FROZEN, target, output=1)
    after = await keyspace(store)
    assert len(after.pop("_facts")) == len(before.pop("_facts")) + 1
    assert after == before, "not one of its outputs was posted, and its positions have not moved"
    assert await store.commit(hold(top), saying(top, up(SOB), up(SOB)), 32, AT) == "done"
    assert len(await store.read(up(SOB), FIRST, 10)) == 2


async def _talking(
    store: RedisStore, privileges: Sequence[str] = ("model/**", SAY)
) -> tuple[Leader, Agent]:
    leader, top = await _staffed(store)
    talking = replace(top, privileges=tuple(privileges))
    await leader.do(RightsSet(talking))
    return leader, talking


async def test_another_missions_room_of_that_name_is_another_room(store: RedisStore) -> None:
    leader, top = await _talking(store)
    await leader.do(
        STOPS.put(stop("room:hall-m2")),
        STOPS.put(stop("room:parlour")),
        STOPS.put(stop("use:room/parlour/say")),
    )
    assert await store.commit(hold(top), saying(top, HALL), 32, AT) == "done"


async def test_who_lost_its_say_or_never_had_it_is_told_which_and_what_takes_none_is_posted(
    store: RedisStore,
) -> None:
    leader, top = await _talking(store)
    await leader.do(REVOCATIONS.set(M1, (mark(M1, "room/**", 1, "grant"),)))
    assert await store.commit(hold(top), saying(top, HALL), 32, AT) == "done"
    await leader.do(REVOCATIONS.set(M1, (mark(M1, "room/**", 1),)))
    reply = await store.commit(hold(top), saying(top, up(SOB), HALL, number=2), 32, AT)
    assert reply == RefusedByStore(Rule.PRIVILEGE_REVOKED, SAY, output=1)
    await leader.do(RightsSet(replace(top, privileges=("model/**",))))
    reply = await store.commit(hold(top), saying(top, HALL, number=2), 32, AT)
    assert reply == RefusedByStore(Rule.PRIVILEGE_USE, SAY, output=0)
    assert await store.commit(hold(top), saying(top, up(SOB), number=2), 32, AT) == "done"


async def test_an_agents_own_stop_goes_before_what_its_outputs_lack(store: RedisStore) -> None:
    leader, top = await _talking(store, privileges=())
    await leader.do(STOPS.put(stop(TOP)))
    reply = await store.commit(hold(top), saying(top, HALL), 32, AT)
    assert reply == RefusedByStore(Rule.FROZEN, TOP)


# --- revocations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("segment", [SOB, M1, TOP])
async def test_a_revocation_refuses_the_next_call_of_everybody_below_it(
    store: RedisStore, segment: str
) -> None:
    leader, top = await _staffed(store)
    low = agent("low", TOP, tier=2)
    await leader.do(AgentMade(low, ()), AccountOpened(low.id, TOP, caps(100, 10, 1), own_slot=True))
    for one in (top, low):
        assert isinstance(await store.begin(hold(one), begin(one, privilege="model/x"), AT), Begun)
    await leader.do(REVOCATIONS.set(segment, (mark(segment, "model/**", 1),)))
    for one in (top, low):
        before = await account(store, one.id)
        reply = await store.begin(hold(one), begin(one, 2, privilege="model/x"), AT)
        assert reply == RefusedByStore(Rule.PRIVILEGE_REVOKED, "model/x")
        assert await account(store, one.id) == before
        other = await store.begin(hold(one), begin(one, 2, privilege="tool/file/read"), AT)
        assert isinstance(other, Begun), "what was not taken is held"


# --- revocations by number, on the server and in the core -----------------------------------------

_PLAIN = ("t/a/x", "t/a", "t/b", "m/g")
_PATHS = (*_PLAIN, "t/a/**", "t/**", "m/**", "**")
_SEGMENTS = ("sob", "m1", "up", "self", "elsewhere")
_rights: st.SearchStrategy[Right] = st.sampled_from(["use", "grant", "both"])
_holdings = st.dictionaries(st.sampled_from(_PATHS), st.integers(0, 6), max_size=4)
_marks = st.lists(
    st.tuples(st.sampled_from(_SEGMENTS), st.sampled_from(_PATHS), st.integers(1, 7), _rights),
    max_size=5,
)


class BothLaws:
    """An agent and marks, given to the core and to the server; what each says of a path."""

    def __init__(self, socket: str | None, namespace: str) -> None:
        self.runner = asyncio.Runner()
        self.opened = open_store(socket, namespace)
        self.store: RedisStore = self.run(_enter(self.opened))
        self.leader, self.top = self.run(_staffed(self.store))
        self.numbers = itertools.count(1)

    def run(self, step: Any) -> Any:
        return self.runner.run(step)

    def close(self) -> None:
        self.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def say(
        self, held: Mapping[str, int], marks: Sequence[tuple[str, str, int, Right]], wanted: str
    ) -> tuple[bool, set[Rule | None]]:
        """Whether the core lets it be used, and the rules that refuse a call and a post on the
        server.
        """
        n = next(self.numbers)
        # Names of its own for each question: nothing of an earlier one is left in the way.
        names = {"up": f"up{n}", "self": f"self{n}"}
        later = tuple(Held(path, "use", number, "x") for path, number in held.items() if number)
        asked = agent(
            names["self"], names["up"], tier=2, privileges=tuple(held), later=later, key=f"k{n}"
        )
        lineage = Lineage()
        lineage.put(asked)
        for segment, path, number, right in marks:
            at = names.get(segment, segment)
            known = lineage.revocations.get(at, ())
            lineage.revocations[at] = (*known, mark(at, path, number, right))
        self.run(self._write(asked, lineage))
        call = self.run(
            self.store.begin(hold(asked), replace(begin(asked, privilege=wanted), amounts={}), AT)
        )
        post = self.run(
            self.store.commit(
                hold(asked),
                replace(turn(asked, 1, (HALL, note(asked.id))), privileges={HALL: wanted}),
                32,
                AT,
            )
        )
        return lineage.may(asked, wanted), {_rule(call), _rule(post)}

    async def _write(self, asked: Agent, lineage: Lineage) -> None:
        kept = [REVOCATIONS.set(segment, ()) for segment in ("sob", "m1", "elsewhere")]
        marks = [REVOCATIONS.set(segment, found) for segment, found in lineage.revocations.items()]
        assert await self.leader.do(AgentMade(asked, ()), *kept, *marks) == "done"
        # What comes back from the store is what was decided on.
        (read,) = await self.store.agents([asked.id])
        assert read == asked


async def _enter(opened: Any) -> Any:
    return await opened.__aenter__()


@pytest.fixture(params=["fakeredis", "valkey"])
def both_laws(request: pytest.FixtureRequest, namespace: str) -> Any:
    embedded: EmbeddedServer | None = None
    if request.param == "valkey":
        embedded = request.getfixturevalue("server")
    both = BothLaws(None if embedded is None else str(embedded.socket), namespace)
    yield both
    both.close()


@settings(max_examples=150, deadline=None)
@given(held=_holdings, marks=_marks, wanted=st.sampled_from(_PLAIN))
def _agree(
    both: BothLaws, held: dict[str, int], marks: list[tuple[str, str, int, Right]], wanted: str
) -> None:
    may, refused = both.say(held, marks, wanted)
    if may:
        assert refused == {None}
    else:
        assert refused in ({Rule.PRIVILEGE_USE}, {Rule.PRIVILEGE_REVOKED})
        assert (refused == {Rule.PRIVILEGE_USE}) == (
            not any(_covers(path, wanted) for path in held)
        )


def _covers(holder: str, wanted: str) -> bool:
    return holder in ("**", wanted) or (
        holder.endswith("/**") and f"{wanted}/".startswith(holder[:-2])
    )


def test_the_scripts_and_the_core_agree_on_what_a_mark_cuts(both_laws: BothLaws) -> None:
    _agree(both_laws)


# --- money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tokens", "cost", "calls"])
@pytest.mark.parametrize("how", ["cleared", "funded"])
async def test_what_was_spent_beyond_a_reserve_stops_the_account_until_it_is_taken_note_of(
    store: RedisStore, kind: str, how: str
) -> None:
    leader, top = await _staffed(store)
    call = begin(top, tokens=10, cost=10, calls=1)
    await store.begin(hold(top), call, AT)
    spent = dict(call.amounts) | {kind: call.amounts[kind] + 7}
    await store.end(hold(top), call, "{}", Used(spent), WARN, AT)
    assert (await account(store, TOP))[f"{kind}.overdraft"] == 7
    reply = await store.begin(hold(top), begin(top, 2), AT)
    assert reply == RefusedByStore(Rule.BUDGET_OVERDRAFT, f"{kind}: 7 beyond the reserve")
    assert isinstance(
        await store.begin(hold(top), replace(begin(top, 2), amounts={}), AT), Begun
    ), "what is free"
    await leader.do(
        AccountCleared(TOP) if how == "cleared" else AccountFunded(TOP, M1, {"tools": 1})
    )
    assert isinstance(await store.begin(hold(top), begin(top, 3), AT), Begun)
    assert (await account(store, TOP))[f"{kind}.overdraft"] == 7, "noted, not forgotten"


async def _spend(store: RedisStore, of: Agent, step: int, tokens: int) -> None:
    call = begin(of, step, tokens=tokens)
    assert isinstance(await store.begin(hold(of), call, AT), Begun)
    await store.end(hold(of), call, "{}", used(tokens), WARN, AT)


async def _warnings(store: RedisStore) -> list[dict[str, str]]:
    return [fact for fact in await facts(store) if fact["fact"] == "warn"]


async def test_an_account_is_warned_of_once_at_eighty_percent_of_its_own_and_anew_when_it_was_funded(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await _spend(store, top, 1, 799)
    assert await _warnings(store) == []
    await _spend(store, top, 2, 1)
    (warned,) = await _warnings(store)
    assert (warned["account"], warned["agent"], warned["kind"]) == (TOP, TOP, "tokens")
    assert (warned["own"], warned["left"]) == ("1000", "200")
    await _spend(store, top, 3, 100)
    assert len(await _warnings(store)) == 1
    await leader.do(AccountFunded(TOP, M1, {"tokens": 2_000}))
    await _spend(store, top, 4, 10)
    assert len(await _warnings(store)) == 1
    await _spend(store, top, 5, 1_500)
    assert len(await _warnings(store)) == 2


async def test_what_was_handed_on_is_not_its_own_to_be_warned_of(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    await leader.do(AccountOpened("x", TOP, caps(900, 10, 2), own_slot=True))
    await _spend(store, top, 1, 79)
    assert await _warnings(store) == []
    await _spend(store, top, 2, 1)
    assert [warned["own"] for warned in await _warnings(store)] == ["100"]


async def test_a_new_period_gives_the_root_its_cap_but_what_open_accounts_hold(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    await _spend(store, top, 1, 400)
    await leader.do(
        AgentReaped(replace(top, state=AgentState.TERMINATED, host=HostId("")), 1e10, M1)
    )
    closed = await account(store, M1)
    assert (closed["tokens.spent"], closed["tokens.free"]) == (400, 4_600)
    await leader.do(AccountOpened("m2", SOB, caps(3_000, 10, 10), own_slot=False))
    await leader.do(AccountClosed(M1, SOB, ()))
    before = await account(store, SOB)
    assert (before["tokens.spent"], before["tokens.free"], before["tokens.granted"]) == (
        400,
        6_600,
        3_000,
    )
    await leader.do(PeriodTurned(SOB, "2027-01-16"))
    after = await account(store, SOB)
    assert (after["tokens.spent"], after["tokens.free"], after["tokens.granted"]) == (
        0,
        7_000,
        3_000,
    )
    assert (await fields(store, SOB))["period"] == "2027-01-16"
    assert (await store.load(declarations())).swarm.period == "2027-01-16"


async def test_a_commit_that_is_repeated_funds_once(store: RedisStore) -> None:
    leader, _ = await _staffed(store)
    change = AccountFunded(TOP, M1, {"tokens": 5})
    await leader.do(change)
    before = await keyspace(store)
    assert await store.commit_changes(leader.token, leader.seq, [change], {}) == "done"
    assert await keyspace(store) == before


# --- adoption and restart -------------------------------------------------------------------------


async def test_an_adopted_agent_follows_its_new_superior_from_now_on_and_the_rest_from_where_it_was(
    store: RedisStore,
) -> None:
    leader, _ = await _staffed(store)
    mid = agent("mid", TOP, tier=2)
    low = agent("low", TOP, "mid", tier=3)
    await leader.do(AgentMade(mid, ()), AccountOpened(mid.id, TOP, caps(500, 20, 5), own_slot=True))
    old = (inbox(low.id), down(mid.id), up(low.id))
    await leader.do(
        AgentMade(low, old), AccountOpened(low.id, mid.id, caps(100, 5, 2), own_slot=True)
    )
    await store.commit(hold(low), turn(low), 32, AT)
    said = await store.post(down(TOP), note(TOP, "to others"))
    adopted = replace(low, parent=TOP, lease=low.lease + 1)
    new = (inbox(low.id), down(TOP), up(low.id))
    await leader.do(AgentAdopted(adopted, mid.id, new, TOP))
    positions = (await store.resume(low.id)).positions
    assert positions == {inbox(low.id): "5-0", up(low.id): "0-0", down(TOP): said}
    assert {child.id for child in await store.children(TOP)} == {mid.id, low.id}
    assert await store.children(mid.id) == ()
    assert (await store.agents([low.id])) == [adopted]
    assert _rule(await store.begin(hold(low), begin(low, turn=2), AT)) is Rule.LEASE, (
        "its host reads it anew"
    )
    above, former, own = [await account(store, id) for id in (TOP, mid.id, low.id)]
    for kind in KINDS:
        assert former[f"{kind}.granted"] == 0
        assert above[f"{kind}.granted"] == former[f"{kind}.cap"] + own[f"{kind}.cap"], (
            "its account came with it"
        )
    await leader.do(
        AgentReaped(replace(mid, state=AgentState.TERMINATED, host=HostId("")), 1e10, TOP)
    )
    above = await account(store, TOP)
    assert all(above[f"{kind}.granted"] == own[f"{kind}.cap"] for kind in KINDS)
    loaded = (await store.load(declarations())).swarm
    assert loaded.lineage.children(TOP) == (adopted,)


async def test_a_restarted_agent_begins_with_nothing_and_what_it_left_open_is_paid_in_full(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    assert await store.commit(hold(top), turn(top), 32, AT) == "done"
    call = begin(top, turn=2, tokens=100, cost=30)
    await store.begin(hold(top), call, AT)
    before = await store.post(inbox(TOP), note("operator", "before"))
    anew = replace(top, incarnation=2, host=HostId(""), state=AgentState.STARTING, crashes=(5.0,))
    await leader.do(AgentRestarted(anew, TOP, (inbox(TOP), down(SOB), up(TOP))))
    resumed = await store.resume(TOP)
    assert (resumed.turn, resumed.memory, resumed.batch) == (0, NO_MEMORY, {})
    # It goes on where the last life has read to, so that what waited is not lost with it.
    assert resumed.positions == {inbox(TOP): "5-0", down(SOB): "0-0", up(TOP): "0-0"}
    assert [mail.id for mail in await store.read(inbox(TOP), resumed.positions[inbox(TOP)], 9)] == [
        before
    ]
    paid = await account(store, TOP)
    assert (paid["tokens.spent"], paid["cost.spent"], paid["calls.spent"]) == (100, 30, 1)
    assert (paid["tokens.assumed"], paid["tokens.reserved"]) == (100, 0)
    settled = [fact for fact in await facts(store) if fact["fact"] == "settle"]
    assert [json.loads(fact["amounts"])["assumed"] for fact in settled] == [True]
    # The former incarnation speaks no more, and its late end is no second payment.
    assert _rule(await store.begin(hold(top), call, AT)) is Rule.INCARNATION
    await store.end(hold(top), call, "{}", used(1, cost=1), WARN, AT)
    assert await account(store, TOP) == paid
    placed = replace(anew, host=H1, lease=2, state=AgentState.LIVE)
    await leader.do(AgentSet(placed))
    assert isinstance(await store.begin(hold(placed), begin(placed), AT), Begun)
    await store.end(hold(top), replace(begin(top), turn=1), "{}", used(9), WARN, AT)
    assert (await account(store, TOP))["tokens.spent"] == 100
    (read,) = await store.agents([TOP])
    assert read == placed


async def test_all_that_the_supervisor_knows_of_marks_and_rights_is_loaded_again(
    store: RedisStore,
) -> None:
    leader, top = await _staffed(store)
    stops = [
        Stop(TOP, StopKind.HALT, Authority.BOARD, "it loops", "sob", 5.5, "o1", is_told=True),
        Stop(
            f"={TOP}",
            StopKind.FREEZE,
            Authority.LINEAGE,
            "broke",
            "supervisor",
            6.5,
            rule="budget.exhausted",
            until=9.5,
        ),
        Stop("use:tool/x", StopKind.FREEZE, Authority.OPERATOR, 'r {"odd" ü', "operator", 7.0),
        Stop("*", StopKind.DRAIN, Authority.OPERATOR, "", "operator", 8.0, until=68.0),
    ]
    marks = (
        mark(TOP, "model/**", 3, "use"),
        Revocation(TOP, "tool/**", "grant", 4, TOP, AT, 'why "so"', Authority.LINEAGE),
    )
    rights = replace(
        top,
        privileges=("model/**", "tool/a"),
        grants=("tool/**",),
        deadline=123.456,
        crashes=(1.5, 2.5),
        later=(Held("tool/a", "use", 7, "operator"), Held("tool/**", "grant", 2, "sob")),
    )
    await leader.do(
        *map(STOPS.put, stops), REVOCATIONS.set(TOP, marks), RightsSet(rights), AgentSet(rights)
    )
    swarm = (await store.load(declarations())).swarm
    assert swarm.lineage.stops == {one.target: one for one in stops}
    assert swarm.lineage.revocations == {TOP: marks}
    assert swarm.lineage.agents == {TOP: rights}
    assert swarm.number == 7
    assert swarm.deadlines == {TOP: 123.456}
    await leader.do(*(Drop(STOPS, one.target) for one in stops), REVOCATIONS.set(TOP, ()))
    swarm = (await store.load(declarations())).swarm
    assert (swarm.lineage.stops, swarm.lineage.revocations) == ({}, {})


async def test_rights_that_were_taken_are_gone_for_the_scripts_too(store: RedisStore) -> None:
    leader, top = await _staffed(store)
    await leader.do(RightsSet(replace(top, privileges=("tool/a",))))
    assert (
        _rule(await store.begin(hold(top), begin(top, privilege="model/x"), AT))
        is Rule.PRIVILEGE_USE
    )
    assert isinstance(await store.begin(hold(top), begin(top, privilege="tool/a"), AT), Begun)
