"""What is, brought to what should be: hosts, placements, endings that are seen and not assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmd.core.agent.kept_turns import KeptTurns
from swarmd.core.control.placement import admit_hosts, place
from swarmd.core.control.sightings import WORD_SECONDS
from swarmd.core.control.termination import REAP_STEP, reap, resume_endings, told_above, word_of
from swarmd.core.control.tick import found
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.changes import (
    AccountClosed,
    AgentReaped,
    AgentSet,
    Change,
    MissionClosed,
    PeriodTurned,
)
from swarmd.core.model.channels import BOARD_ROOM, RESULTS, host_channel, inbox
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, AgentId, AgentState, HostId, MissionId, MissionState
from swarmd.core.model.records import Host
from swarmd.core.model.requests import GoneRequest
from swarmd.core.model.state import Swarm
from swarmd.core.model.tables import FENCES, Drop
from swarmd.core.model.timings import LEASE_SECONDS, RENEW_SECONDS
from tests.core.swarm_builder import (
    LIMITS,
    MISSION,
    SEATS,
    World,
    declarations,
    drops,
    journal,
    posts,
    world,
)

H1, H2 = HostId("h1"), HostId("h2")


def _reaped(changes: Sequence[Change]) -> list[Agent]:
    return [change.record for change in changes if isinstance(change, AgentReaped)]


def _place(w: World) -> dict[AgentId, Agent]:
    place(w.renew())
    return {change.agent.id: change.agent for change in w.changes if isinstance(change, AgentSet)}


# --- founding ---------------------------------------------------------------------------------


def test_the_board_its_root_and_its_seats_are_founded_once() -> None:
    w = World(Swarm(declarations()))
    found(w.draft)
    assert w.agent("sob").path == ("sob",)
    assert w.swarm.observed.free[SOB] == LIMITS.root.model_dump()
    assert [seat.id for seat in w.swarm.seats()] == list(SEATS)
    assert all(seat.parent is None and seat.tier == 0 for seat in w.swarm.seats())
    found(w.renew())
    assert w.changes == []


# --- hosts and placement ----------------------------------------------------------------------


def test_a_placement_is_a_new_lease_on_the_lightest_host_with_room() -> None:
    w = world(hosts=())
    w.swarm.hosts.update({H1: Host(H1, 2, "shared"), H2: Host(H2, 100, "shared")})
    placed = _place(w)
    assert set(placed) == set(SEATS)
    assert all(agent.lease == 1 and agent.state is AgentState.LIVE for agent in placed.values())
    assert sum(agent.host == H1 for agent in placed.values()) <= 2
    told = posts(w.changes, host_channel(H2))
    assert [sorted(message.data["agents"]) for message in told] == [
        sorted(id for id, agent in placed.items() if agent.host == H2)
    ]
    assert _place(w) == {}


def test_what_needs_files_goes_where_the_workspace_is() -> None:
    w = world(hosts=())
    reader = w.grow(w.grow(SOB, "top", "manager").id, "reader", "worker")
    w.swarm.hosts[H1] = Host(H1, 100, "")
    assert reader.id not in _place(w)
    w.swarm.hosts[H2] = Host(H2, 100, "shared")
    assert _place(w)[reader.id].host == H2


def test_a_full_house_leaves_agents_waiting_and_loses_none() -> None:
    w = world(hosts=())
    w.swarm.hosts[H1] = Host(H1, 4, "shared")
    assert len(_place(w)) == 4
    w.swarm.hosts[H2] = Host(H2, 100, "shared")
    assert len(_place(w)) == 2


def test_agents_of_a_gone_host_are_taken_over_under_a_new_lease() -> None:
    w = world()
    top = w.grow(SOB, "top")
    admit_hosts(
        w.renew(), {H2: Host(H2, 100, "shared")}, frozenset({H1, H2}), may_declare_dead=True
    )
    assert journal(w.changes, "host.lost")[0].data["agents"] == 1
    assert _place(w)[top.id] == replace(top, host=H2, lease=top.lease + 1)


def test_a_silent_host_is_given_patience_and_one_that_left_is_not() -> None:
    w = world()
    admit_hosts(w.renew(), {}, frozenset({H1}), may_declare_dead=False)
    assert H1 in w.swarm.hosts
    admit_hosts(w.renew(), {}, frozenset(), may_declare_dead=False)
    assert H1 not in w.swarm.hosts


def test_a_draining_agent_is_placed_nowhere() -> None:
    w = world()
    top = w.grow(SOB, "top")
    w.order("terminate", top.id)
    w.swarm.observed.hosts = {H2: Host(H2, 100, "shared")}
    assert top.id not in _place(w)


def test_nobody_below_an_ended_agent_is_given_another_host() -> None:
    """Their own records still say that they live: the mark on the path above them says that they
    do not.
    """
    w = world()
    top, child, low = _family(w)
    other = w.grow(SOB, "other")
    w.order("terminate", top.id)
    admit_hosts(
        w.renew(), {H2: Host(H2, 100, "shared")}, frozenset({H1, H2}), may_declare_dead=True
    )
    assert w.agent(child.id).state is AgentState.LIVE
    placed = _place(w)
    assert other.id in placed
    assert placed.keys().isdisjoint({top.id, child.id, low.id})


def test_a_host_with_much_to_do_is_given_less() -> None:
    w = world(hosts=())
    budget = {"tokens": 100, "calls": 10, "agents": 2}
    tops = [w.grow(SOB, f"top{n}", budget=budget) for n in range(4)]
    turns = w.swarm.declared.limits.turns_at_once
    w.swarm.hosts.update({H1: Host(H1, 1_000, "shared", busy=turns), H2: Host(H2, 1_000, "shared")})
    placed = _place(w)
    assert {placed[top.id].host for top in tops} == {H2}


def test_what_was_just_placed_counts_as_busy_until_the_host_says_otherwise() -> None:
    w = world(hosts=())
    hosts = {H1: Host(H1, 1_000_000, "shared"), H2: Host(H2, 200, "shared")}
    admit_hosts(w.renew(), hosts, frozenset(hosts), may_declare_dead=True)
    placed = _place(w)
    assert sum(agent.host == H2 for agent in placed.values()) >= 2, (
        "capacity alone would give all to the large one"
    )
    assert w.swarm.observed.given == Counter(agent.host for agent in placed.values())
    w.now += RENEW_SECONDS
    renewed = {id: replace(host, lease_left=LEASE_SECONDS) for id, host in hosts.items()}
    admit_hosts(w.renew(), renewed, frozenset(hosts), may_declare_dead=True)
    assert w.swarm.observed.given == {}


def test_who_has_a_host_and_who_is_ending_is_not_looked_at_again() -> None:
    w = world(hosts=())
    ending = w.grow(SOB, "ending")
    w.order("terminate", ending.id)
    w.swarm.hosts[H1] = Host(H1, 1_000, "shared")
    assert ending.id not in _place(w)
    assert not w.swarm.observed.homeless


# --- endings ----------------------------------------------------------------------------------


def _family(w: World) -> tuple[Agent, Agent, Agent]:
    top = w.grow(SOB, "top")
    child = w.grow(top.id, "child")
    return top, child, w.grow(child.id, "low")


def test_nothing_is_reaped_before_its_host_gave_its_word_or_its_time_is_over() -> None:
    w = world()
    top, *_ = _family(w)
    w.order("terminate", top.id)
    assert _reaped(w.reap()) == []
    w.now += WORD_SECONDS - 0.1
    w.swarm.observed.renewed[H1] = w.now
    assert _reaped(w.reap()) == []
    w.now += 0.2
    assert len(_reaped(w.reap())) == 3


def test_a_host_that_has_not_renewed_since_the_end_began_is_waited_for_until_its_lease_says_more() -> (
    None
):
    w = world()
    top, *_ = _family(w)
    w.swarm.observed.renewed[H1] = w.now
    w.order("terminate", top.id)
    w.now += WORD_SECONDS + 0.1
    assert _reaped(w.reap()) == [], (
        "it may be dead: then the end of its agents is unreachable, not unconfirmed"
    )
    admit_hosts(w.renew(), {}, frozenset({H1}), may_declare_dead=True)
    assert len(_reaped(w.reap())) == 3
    (entry,) = journal(w.reap(), "subtree.ended")
    assert (entry.data["unconfirmed"], entry.data["unreachable"]) == (0, 3)


def test_what_a_host_says_ignores_its_end_is_unconfirmed_and_named() -> None:
    w = world()
    top, child, _ = _family(w)
    w.order("terminate", top.id)
    word_of(w.renew(), H1, GoneRequest(segment=top.id, agents=3, stuck={child.id: "tool"}))
    (stuck,) = journal(w.changes, "agent.stuck")
    assert (stuck.data["agent"], stuck.data["actor"]) == (child.id, H1)
    w.reap()
    (entry,) = journal(w.reap(), "subtree.ended")
    assert (entry.data["confirmed"], entry.data["unconfirmed"]) == (2, 1)
    word_of(w.renew(), H1, GoneRequest(segment=top.id, agents=1, is_late=True))
    assert [m.data["segment"] for m in journal(w.changes, "subtree.confirmed")] == [top.id]


def test_the_deepest_end_first_and_each_account_closes_into_its_parents() -> None:
    w = world()
    top, child, low = _family(w)
    w.order("terminate", top.id)
    _gone(w, H1, top.id)
    changes = w.reap()
    assert [record.id for record in _reaped(changes)] == [low.id, child.id, top.id]
    closed = [
        (change.record.id, change.account_above)
        for change in changes
        if isinstance(change, AgentReaped)
    ]
    assert closed == [(low.id, child.id), (child.id, top.id), (top.id, MISSION)]


def test_who_could_be_reaped_waits_for_a_child_whose_end_nobody_has_seen() -> None:
    w = world()
    top, child, low = _family(w)
    w.swarm.lineage.put(replace(top, host=HostId("")))
    w.order("terminate", top.id)
    assert _reaped(w.reap()) == [], "its account would close while a child still spends of it"
    _gone(w, H1, top.id)
    assert [record.id for record in _reaped(w.reap())] == [low.id, child.id, top.id]


def _gone(w: World, host: HostId, segment: str) -> None:
    word_of(w.renew(), host, GoneRequest(segment=segment, agents=0))


@pytest.mark.parametrize(
    ("how", "counts"),
    [("word", (3, 0, 0)), ("silence", (0, 3, 0)), ("dead host", (0, 0, 3)), ("no host", (3, 0, 0))],
)
def test_each_end_is_counted_as_it_was_seen(how: str, counts: tuple[int, int, int]) -> None:
    w = world(hosts=() if how == "no host" else ("h1",))
    top, *_ = _family(w)
    w.order("terminate", top.id)
    if how == "word":
        _gone(w, H1, top.id)
    elif how == "silence":
        w.now += WORD_SECONDS + 0.1
        w.swarm.observed.renewed[H1] = w.now
    elif how == "dead host":
        w.swarm.hosts.clear()
    records = _reaped(w.reap())
    assert all(record.state is AgentState.TERMINATED and record.ended for record in records)
    (entry,) = journal(w.reap(), "subtree.ended")
    assert tuple(entry.data[name] for name in ("confirmed", "unconfirmed", "unreachable")) == counts
    assert entry.data["order"] == "o1"
    assert entry.data["outcome"] == "done"


def test_a_word_for_another_segment_or_of_another_host_confirms_nothing() -> None:
    w = world()
    top, child, _ = _family(w)
    w.order("terminate", top.id)
    _gone(w, H2, top.id)
    _gone(w, H1, child.id)
    assert _reaped(w.reap()) == []


def test_a_supervisor_that_takes_over_in_the_middle_tells_the_whole_of_it() -> None:
    w = world()
    top, child, low = _family(w)
    w.swarm.lineage.put(replace(low, host=HostId("")))
    w.order("terminate", top.id)
    assert [record.id for record in _reaped(w.reap())] == [low.id]
    w.swarm.observed.endings.clear()
    resume_endings(w.renew())
    asked = posts(w.changes, host_channel(H1))
    assert [message.data["segment"] for message in asked] == [top.id]
    _gone(w, H1, top.id)
    w.reap()
    (entry,) = journal(w.reap(), "subtree.ended")
    assert entry.data["confirmed"] == 3
    assert child.id not in w.swarm.lineage.agents


def test_the_mark_goes_when_nothing_is_left_below_it() -> None:
    w = world(hosts=())
    top, *_ = _family(w)
    w.order("terminate", top.id)
    assert not drops(w.reap(), FENCES)
    assert drops(w.reap(), FENCES) == [top.id]
    assert not w.swarm.lineage.fences
    assert w.reap() == []


def test_who_is_told_of_an_end_is_told_where_the_turns_so_far_stand_or_why_nowhere() -> None:
    w = world(hosts=())
    top, child, _ = _family(w)
    w.end(top.id, child.id, reason="it loops")
    w.order("terminate", top.id)
    segments = list(w.swarm.observed.endings)
    assert told_above(w.swarm, [child.id], w.now) == [], "its creator ends, too"
    assert told_above(w.swarm, segments, w.now) == [w.swarm.lineage.get(top.id)]
    kept = {top.id: KeptTurns("work/turns/top.md")}
    reap(w.renew(), {}, None, kept)
    report = w.swarm.reports[MISSION][top.id]
    assert "its turns so far stand in work/turns/top.md" in report.text
    w = world(hosts=())
    top, child, _ = _family(w)
    w.end(top.id, child.id, reason="it loops")
    reap(w.renew(), {}, None, {child.id: KeptTurns(why_not="disk full")})
    (notice,) = posts(w.changes, inbox(top.id))
    assert "could not be kept: disk full" in notice.text


def test_a_living_creator_learns_of_its_childs_end_and_nobody_else_does() -> None:
    w = world(hosts=())
    top, child, low = _family(w)
    w.end(top.id, child.id, reason="it loops")
    changes = w.reap()
    (notice,) = posts(changes, inbox(top.id))
    assert notice.kind is Kind.NOTICE
    assert notice.data == {"agent": child.id, "key": "child", "ended": True, "by": top.id}
    assert "it loops" in notice.text
    assert posts(changes, inbox(child.id)) == posts(changes, inbox(low.id)) == []


def test_an_executives_end_gives_the_board_a_report() -> None:
    w = world(hosts=())
    w.carry(
        {
            "motion": "charter",
            "reason": "r",
            "executives": [{"key": "k", "role": "manager", "name": "top", "task": "t"}],
        }
    )
    (top,) = w.swarm.executives(MISSION)
    w.report(top, "half of it", done=False)
    w.request(top.id, "failed", detail="the model is away")
    w.reap()
    report = w.swarm.reports[MISSION][top.id]
    assert report.is_done
    assert "the model is away" in report.text
    assert "half of it" in report.text
    assert w.swarm.boards[MISSION].in_review


def test_a_large_subtree_is_reaped_in_small_steps() -> None:
    w = world(hosts=(), children_max=300, agents_max=1_000, spawns_per_minute=1_000)
    top = w.grow(SOB, "top", budget={"tokens": 10_000, "calls": 500, "agents": 35})
    w.swarm.observed.free[top.id] = dict.fromkeys(KINDS, 10**6)
    for number in range(REAP_STEP + 20):
        w.grow(top.id, f"c{number}", "worker", budget={"tokens": 1, "calls": 1, "agents": 0})
    w.order("terminate", top.id)
    taken = []
    while w.swarm.lineage.fences:
        taken.append(len(_reaped(w.reap())))
    assert taken == [REAP_STEP, 21, 0]


# --- the end of a mission ---------------------------------------------------------------------


def test_a_result_is_told_once_after_the_subtree_and_the_account() -> None:
    w = world(hosts=())
    _family(w)
    queue.end(
        w.renew(), w.swarm.missions[MISSION], MissionState.DELIVERED, "complete", text="the result"
    )
    spent = {str(MISSION): {"tokens": 5, "calls": 1}}
    steps = [w.reap(spent) for _ in range(5)]
    reaped, lifted, told = (
        [n for n, changes in enumerate(steps) if any(isinstance(c, kind) for c in changes)]
        for kind in (AgentReaped, Drop, MissionClosed)
    )
    assert (reaped, lifted, told) == ([0], [2], [2])
    assert [c for c in steps[1] if isinstance(c, AccountClosed)] == [
        AccountClosed(MISSION, SOB, tuple(map(AgentId, SEATS)), 80)
    ]
    results = [message for changes in steps for message in posts(changes, RESULTS)]
    assert [(m.text, m.data["spent"]) for m in results] == [("the result", spent[MISSION])]


def test_a_docketed_mission_ends_without_an_account() -> None:
    w = world(board={"missions_at_once": 1})
    queue.admit(w.renew(), MissionRequest(mission="Other.", id="m2"))
    w.tick()
    w.order("cancel", "m2")
    steps = [w.reap() for _ in range(3)]
    assert not any(isinstance(c, AccountClosed) for changes in steps for c in changes)
    assert [m.data["state"] for changes in steps for m in posts(changes, RESULTS)] == ["cancelled"]
    assert MissionId("m2") not in w.swarm.missions


# --- time -------------------------------------------------------------------------------------


def test_the_room_hears_of_the_tree_when_it_changed_and_not_otherwise() -> None:
    w = world()
    assert posts(w.tick(5), BOARD_ROOM) == []
    w.grow(SOB, "top")
    (digest,) = posts(w.tick(1), BOARD_ROOM)
    assert digest.data == {"agents": 1, "tiers": {"1": 1}}
    assert posts(w.tick(5), BOARD_ROOM) == []


def test_with_nothing_to_do_a_tick_changes_nothing() -> None:
    w = world()
    for _ in range(5):
        assert w.tick(1) == []
        assert w.reap() == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["grow", "end", "word", "wait", "host", "reap"]), st.integers(0, 9)
        ),
        max_size=30,
    )
)
def test_an_ending_always_ends_and_loses_no_agent(steps: list[tuple[str, int]]) -> None:
    w = world(hosts=("h1", "h2"))
    everyone = {w.grow(SOB, "e1").id, w.grow(SOB, "e2").id}
    reaped: list[AgentId] = []
    for number, (what, which) in enumerate(steps):
        living = [a for a in w.swarm.lineage.agents.values() if a.tier > 0]
        chosen = living[which % len(living)] if living else None
        if (
            what == "grow"
            and chosen is not None
            and not w.swarm.lineage.is_fenced(chosen.path)
            and chosen.tier < 4
        ):
            w.now += 60
            w.swarm.observed.free[chosen.id] = dict.fromkeys(KINDS, 1_000)
            everyone.add(w.grow(chosen.id, f"n{number}").id)
        elif what == "end" and chosen is not None:
            w.order("terminate", chosen.id)
        elif what == "word" and w.swarm.observed.endings:
            _gone(w, H1, list(w.swarm.observed.endings)[which % len(w.swarm.observed.endings)])
        elif what == "host":
            w.swarm.hosts.pop(H2, None)
        elif what == "wait":
            w.now += which
            w.swarm.observed.renewed[H1] = w.now
        reaped += [record.id for record in _reaped(w.reap())]
    queue.end(w.renew(), w.swarm.missions[MISSION], MissionState.CANCELLED, "r")
    for _ in range(12):
        w.now += WORD_SECONDS
        w.swarm.observed.renewed |= dict.fromkeys(w.swarm.hosts, w.now)
        reaped += [record.id for record in _reaped(w.reap())]
    assert sorted(reaped) == sorted(everyone), "each agent is reaped once"
    assert (w.swarm.lineage.fences, w.swarm.observed.endings, w.swarm.missions) == ({}, {}, {})


def test_a_new_period_renews_the_root_and_a_clock_that_is_set_back_does_not() -> None:
    w = World(Swarm(declarations(root_period="day")))
    found(w.draft)
    day = 86_400.0

    def turned(seconds: float) -> list[str]:
        return [change.period for change in w.tick(seconds) if isinstance(change, PeriodTurned)]

    (first,) = turned(0.0)
    (second,) = turned(day)
    assert second > first
    assert turned(-2 * day) == []
    assert turned(2 * day) == []
    assert len(turned(day)) == 1
