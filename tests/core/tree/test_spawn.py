"""The law of the tree: each refusal by its rule, and the laws against random trees and requests."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmd.core.model.changes import AgentSet, Post
from swarmd.core.model.charter import KINDS, NEEDED_KINDS
from swarmd.core.model.lineage import Agent, Fence, Stop, StopKind
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import OPERATOR, OWNER, SOB, AgentState, Authority
from swarmd.core.model.privileges import is_covered, overlaps
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.tables import FENCES, STOPS
from swarmd.core.tree.fence import decide_terminate, fence
from swarmd.core.tree.spawn import RATE_WINDOW_SECONDS, covers_file, decide_spawn, made
from tests.core.swarm_builder import MISSION, World, charter, journal, posts, puts, world

BUDGET = {"tokens": 1_000, "cost": 50_000, "calls": 10, "tools": 20, "agents": 3}


def _denied(outcome: Spawned | Denied, rule: Rule) -> Denied:
    assert isinstance(outcome, Denied), outcome
    assert outcome.rule is rule
    return outcome


def _top(given_world: World, **rest: Any) -> Agent:
    return given_world.grow(SOB, "top", **rest)


# --- what a spawn is --------------------------------------------------------------------------


def test_a_child_is_one_tier_below_with_its_parents_path_and_its_own_id() -> None:
    w = world()
    top = _top(w)
    child = w.grow(top.id, "child")
    assert (top.tier, top.parent, top.path) == (1, SOB, ("sob", "@owner", "m1", top.id))
    assert (child.tier, child.parent, child.path) == (2, top.id, (*top.path, child.id))
    assert child.mission == MISSION


def test_an_absent_budget_is_the_default_share_of_what_is_free_less_the_boards_part() -> None:
    w = world()
    spawned = w.ask(SOB, charter("top"))
    assert isinstance(spawned, Spawned)
    # 80 percent of the mission is not the board's; one executive alone gets nine tenths of that.
    assert spawned.caps == {
        "tokens": 72_000,
        "cost": 3_600_000,
        "calls": 720,
        "tools": 1_800,
        "agents": 36,
    }
    assert spawned.account == MISSION


def test_what_the_board_has_spent_of_its_part_is_not_kept_for_it_once_more() -> None:
    for spent, share in ((10_000, 72_000), (15_000, 63_000), (30_000, 45_000)):
        w = world()
        w.swarm.observed.free[MISSION]["tokens"] -= spent
        spawned = w.ask(SOB, charter("top"))
        assert isinstance(spawned, Spawned)
        assert spawned.caps["tokens"] == share
        # As much again for its review, up to its part.
        kept = max(20_000 - spent, min(20_000, spent))
        assert share == (100_000 - spent - kept) * 9 // 10


@given(number=st.integers(1, 12), free=st.integers(0, 10**9))
def test_children_of_one_answer_get_equal_shares_and_the_creator_keeps_a_part(
    number: int, free: int
) -> None:
    w = world()
    top = _top(w)
    w.swarm.observed.free[top.id] |= {"tokens": free, "calls": 1_000, "agents": 40}
    shares = _made_at_once(w, top, [f"c{n}" for n in range(number)])
    if len(shares) < number:
        assert free // number < 2
        return
    percent = min(40, 90 // number)
    assert all(abs(share - free * percent // 100) <= 1 for share in shares)
    assert sum(shares) <= free


def _made_at_once(w: World, creator: Agent, names: Sequence[str]) -> list[int]:
    """The shares of those that are made, asked for in one answer and decided one after another."""
    shares = list[int]()
    for at, name in enumerate(names):
        request = SpawnRequest(
            key=f"k{at}",
            charter=charter(name, "worker"),
            together=len(names),
            before=tuple(f"k{n}" for n in range(at)),
        )
        spawned = decide_spawn(w.swarm, creator, request, w.moment, mission=MISSION)
        if isinstance(spawned, Spawned):
            w.renew().add(*made(w.swarm, spawned, w.moment))
            shares.append(spawned.caps["tokens"])
    return shares


@pytest.mark.parametrize("names", [("a", "a", "b"), ("a", "b", "b", "c"), ("a", "a", "a", "b")])
def test_one_of_an_answer_that_is_refused_leaves_the_others_equal_shares(
    names: tuple[str, ...],
) -> None:
    w = world()
    top = _top(w)
    w.swarm.observed.free[top.id] |= {"tokens": 100_000, "calls": 1_000, "agents": 40}
    shares = _made_at_once(w, top, names)
    assert len(shares) == len(set(names)), "a second one of the same name is refused"
    assert max(shares) - min(shares) <= 1, shares


def test_an_asked_budget_is_given_with_a_slot_for_the_agent_itself() -> None:
    w = world()
    top = _top(w, budget=BUDGET)
    assert w.swarm.observed.free[top.id] == BUDGET
    assert w.swarm.observed.free[MISSION]["agents"] == 40 - 4


def test_absent_privileges_are_those_of_the_role_that_the_creator_holds() -> None:
    w = world()
    top = _top(w)
    child = w.grow(top.id, "child", "worker")
    # The role also has tool/file/write, which its creator has not.
    assert child.privileges == ("model/**", "tool/file/read")


def test_absent_privileges_leave_out_what_is_forbidden() -> None:
    w = world(forbidden=("tool/**",))
    assert _top(w).privileges == ("spawn/**", "model/**", "room/hall/say")


# --- each rule --------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", [0, 1, 3, -1])
def test_a_claimed_tier_that_is_not_so_is_refused(tier: int) -> None:
    w = world()
    top = _top(w)
    request = SpawnRequest(key="k", charter=charter("x"), tier=tier)
    _denied(_decide(w, top, request), Rule.SPAWN_TIER)
    assert isinstance(_decide(w, top, SpawnRequest(key="k", charter=charter("x"), tier=2)), Spawned)


@pytest.mark.parametrize("parent", ["sob", "a-other", ""])
def test_a_claimed_parent_that_is_not_so_is_refused(parent: str) -> None:
    w = world()
    top = _top(w)
    _denied(
        _decide(w, top, SpawnRequest(key="k", charter=charter("x"), parent=parent)),
        Rule.SPAWN_PARENT,
    )
    assert isinstance(
        _decide(w, top, SpawnRequest(key="k", charter=charter("x"), parent=top.id)), Spawned
    )


def _decide(w: World, parent: Agent, request: SpawnRequest) -> Spawned | Denied:
    return decide_spawn(w.swarm, parent, request, w.moment, mission=MISSION)


def test_below_the_deepest_tier_nothing_is_created() -> None:
    w = world(depth_max=2)
    low = w.grow(_top(w).id, "low")
    _denied(w.ask(low.id, charter("lower")), Rule.SPAWN_DEPTH)


@pytest.mark.parametrize("segment", ["own", "mission"])
def test_nothing_is_created_below_a_fence(segment: str) -> None:
    w = world()
    top = _top(w)
    child = w.grow(top.id, "child")
    marked = top.id if segment == "own" else MISSION
    w.renew().add(
        *fence(w.swarm, Fence(marked, "r", "operator", w.moment.now), w.moment, mission=MISSION)
    )
    _denied(w.ask(child.id, charter("x")), Rule.ANCESTOR_ENDING)
    _denied(w.ask(top.id, charter("x")), Rule.ANCESTOR_ENDING)


def test_the_board_creates_nothing_for_a_mission_that_ends() -> None:
    w = world()
    w.renew().add(
        *fence(w.swarm, Fence(MISSION, "r", "board", w.moment.now), w.moment, mission=MISSION)
    )
    _denied(w.ask(SOB, charter("x")), Rule.ANCESTOR_ENDING)


@pytest.mark.parametrize("segment", [MISSION, OWNER])
def test_the_board_creates_nothing_for_a_mission_or_a_person_that_is_stopped_or_ends(
    segment: str,
) -> None:
    w = world()
    w.swarm.apply([STOPS.put(Stop(segment, StopKind.FREEZE, Authority.OPERATOR, "r", "o", 1.0))])
    _denied(w.ask(SOB, charter("x")), Rule.FROZEN)
    w.swarm.apply([FENCES.put(Fence(segment, "r", "operator", 1.0))])
    _denied(w.ask(SOB, charter("x")), Rule.ANCESTOR_ENDING)


def test_a_draining_agent_creates_nothing() -> None:
    w = world()
    top = replace(_top(w), state=AgentState.DRAINING)
    w.swarm.lineage.put(top)
    _denied(w.ask(top.id, charter("x")), Rule.ANCESTOR_ENDING)


def test_an_unknown_role_is_refused_and_the_known_ones_are_named() -> None:
    denied = _denied(world().ask(SOB, charter("x", "emperor")), Rule.SPAWN_ROLE)
    assert "manager" in denied.detail


def test_a_role_stands_only_at_its_own_tiers() -> None:
    w = world()
    _denied(w.ask(SOB, charter("x", "worker")), Rule.SPAWN_ROLE)
    assert isinstance(w.ask(_top(w).id, charter("x", "worker")), Spawned), "the child's tier counts"


def test_a_role_that_the_creator_may_not_make_is_refused() -> None:
    w = world()
    thinker = w.grow(SOB, "thinker", "thinker")
    denied = _denied(w.ask(thinker.id, charter("x", "worker")), Rule.PRIVILEGE_USE)
    assert denied.detail == "spawn/worker"
    assert isinstance(w.ask(thinker.id, charter("x", "thinker")), Spawned)


def test_a_name_is_unique_among_living_siblings_and_free_again_afterwards() -> None:
    w = world()
    top = _top(w)
    twin = w.grow(top.id, "twin")
    _denied(w.ask(top.id, charter("twin"), key="other"), Rule.SPAWN_NAME)
    assert isinstance(w.ask(twin.id, charter("twin")), Spawned), "a cousin is no sibling"
    w.swarm.lineage.put(replace(twin, state=AgentState.TERMINATED))
    assert isinstance(w.ask(top.id, charter("twin")), Spawned)


def test_a_key_names_one_living_child() -> None:
    w = world()
    top = _top(w)
    w.grow(top.id, "one")
    _denied(w.ask(top.id, charter("two"), key="one"), Rule.SPAWN_KEY)


def test_fan_out_is_bounded() -> None:
    w = world(children_max=2)
    top = _top(w)
    w.grow(top.id, "one")
    w.grow(top.id, "two")
    _denied(w.ask(top.id, charter("three")), Rule.SPAWN_FANOUT)


def test_the_living_are_bounded_for_the_whole_swarm() -> None:
    w = world(agents_max=9)  # the board, its six seats, and two
    top = _top(w)
    w.grow(top.id, "one")
    _denied(w.ask(top.id, charter("two")), Rule.SPAWN_LIVE)


def test_a_mission_spawns_so_many_a_minute_and_may_go_on_afterwards() -> None:
    w = world(spawns_per_minute=2)
    top = _top(w)
    w.grow(top.id, "one")
    _denied(w.ask(top.id, charter("two")), Rule.SPAWN_RATE)
    w.now += RATE_WINDOW_SECONDS
    assert isinstance(w.ask(top.id, charter("two")), Spawned)


@pytest.mark.parametrize(
    ("bound", "rule"),
    [
        ({"agents_max": 8}, Rule.SPAWN_LIVE),  # the board, its six seats, and one
        ({"children_max": 1}, Rule.SPAWN_FANOUT),
        ({"spawns_per_minute": 1}, Rule.SPAWN_RATE),
    ],
)
def test_those_of_one_motion_count_towards_every_bound(bound: dict[str, Any], rule: Rule) -> None:
    """None of them lives when the next one is decided on, and all are made in one commit."""
    w = world(**bound)
    changes = w.carry(_motion("one", "two"))
    assert rule in [entry.data["rule"] for entry in journal(changes, "motion.refused")]
    assert w.swarm.executives(MISSION) == ()
    w = world(**{name: most + 1 for name, most in bound.items()})
    w.carry(_motion("one", "two"))
    assert [executive.name for executive in w.swarm.executives(MISSION)] == ["one", "two"]


def test_spawns_that_a_clock_of_the_future_has_stamped_refuse_none_until_that_time() -> None:
    w = world(spawns_per_minute=2)
    top = _top(w)
    w.grow(top.id, "one")
    w.now -= 3_600.0
    assert isinstance(w.ask(top.id, charter("two")), Spawned)


def test_all_foreign_files_are_told_at_once_with_the_name_that_was_meant() -> None:
    w = world(files=("docs/law.md", "docs/cli.md"))
    denied = w.ask(SOB, charter("x", files=["docs/laws.md", "docs/cli.md", "keys"]))
    assert isinstance(denied, Denied)
    told = "not among the mission's files: docs/laws.md (did you mean docs/law.md?), keys"
    assert denied.detail == told


@pytest.mark.parametrize("length", [80, 199])
def test_what_a_name_was_meant_to_be_is_looked_for_in_little_time(length: int) -> None:
    letters = random.Random(1)
    names = ["".join(letters.choices("ab", k=length)) for _ in range(512)]
    w = world(files=names[1:])
    began = time.process_time()
    assert isinstance(w.ask(SOB, charter("x", files=names[:1])), Denied)
    assert time.process_time() - began < 1.0, "it took two seconds where nothing was bounded"


def test_files_are_those_of_the_creator_or_below_its_folders() -> None:
    w = world(files=("docs",))
    top = _top(w, files=["docs/a"])
    _denied(w.ask(SOB, charter("x", files=["other"])), Rule.SPAWN_FILES)
    _denied(w.ask(top.id, charter("x", files=["docs/b"])), Rule.SPAWN_FILES)
    _denied(w.ask(top.id, charter("x", files=["docs/ab"])), Rule.SPAWN_FILES)
    assert isinstance(w.ask(top.id, charter("x", files=["docs/a/1"])), Spawned)


def test_a_file_covers_itself_and_what_is_below_it() -> None:
    assert covers_file("docs", "docs")
    assert covers_file("docs/", "docs/a")
    assert not covers_file("docs", "docs2")


def test_a_privilege_that_the_creator_has_not_is_refused_by_name() -> None:
    w = world()
    top = _top(w)
    denied = _denied(
        w.ask(top.id, charter("x", privileges=["model/**", "tool/file/write"])),
        Rule.PRIVILEGE_SUBSET,
    )
    assert denied.detail == "tool/file/write"
    _denied(w.ask(top.id, charter("x", privileges=["**"])), Rule.PRIVILEGE_SUBSET)


@pytest.mark.parametrize("path", ["model/x **", "model/x\n**", "model//x", "model/"])
def test_what_is_no_privilege_path_is_refused_also_where_it_looks_covered(path: str) -> None:
    # A record keeps privileges parted by spaces: "model/x **" would come back as "model/x" and
    # "**".
    w = world()
    top = _top(w)
    assert is_covered(path, top.privileges)
    _denied(w.ask(top.id, charter("x", privileges=[path])), Rule.PRIVILEGE_SUBSET)


@pytest.mark.parametrize("path", ["tool/file/write", "tool/**", "**"])
def test_what_is_forbidden_outright_not_even_the_board_gives(path: str) -> None:
    w = world(forbidden=("tool/file/write",))
    _denied(w.ask(SOB, charter("x", privileges=[path])), Rule.PRIVILEGE_FORBIDDEN)


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_beyond_the_free_is_refused_with_both_figures(kind: str) -> None:
    w = world()
    denied = _denied(w.ask(SOB, charter("x", budget={kind: 10**15})), Rule.BUDGET_SHARE)
    assert denied.detail.startswith(f"{kind}: 1")
    assert "free" in denied.detail


def test_the_boards_part_is_given_to_nobody() -> None:
    w = world()
    _denied(w.ask(SOB, charter("x", budget={"tokens": 80_001})), Rule.BUDGET_SHARE)
    assert isinstance(w.ask(SOB, charter("x", budget={"tokens": 80_000})), Spawned)


@pytest.mark.parametrize("kind", ["tokens", "calls", "agents"])
def test_executives_of_one_motion_cannot_both_take_the_rest(kind: str) -> None:
    rest = world().swarm.observed.free[MISSION][kind] * (100 if kind == "agents" else 80) // 100
    for asked, count in ((rest // 2 + 1, 0), (rest // 2 - 1, 2)):
        w, motion = world(), _motion("one", "two")
        for executive in motion["executives"]:
            executive["budget"] = {kind: asked}
        changes = w.carry(motion)
        refused = [entry.data["rule"] for entry in journal(changes, "motion.refused")]
        assert refused == ([] if count else [Rule.BUDGET_SHARE])
        assert len(w.swarm.executives(MISSION)) == count


@pytest.mark.parametrize("kind", NEEDED_KINDS)
def test_an_empty_account_creates_nothing(kind: str) -> None:
    w = world()
    top = _top(w)
    w.swarm.observed.free[top.id][kind] = 0
    _denied(w.ask(top.id, charter("x")), Rule.BUDGET_EXHAUSTED)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(NEEDED_KINDS)))
def test_without_money_or_tools_an_agent_can_still_be_made_and_has_none(kind: str) -> None:
    w = world()
    top = _top(w)
    w.swarm.observed.free[top.id][kind] = 0
    spawned = w.ask(top.id, charter("x"))
    assert isinstance(spawned, Spawned)
    assert spawned.caps[kind] == 0
    _denied(w.ask(top.id, charter("x", budget={kind: 1})), Rule.BUDGET_SHARE)


def test_an_account_that_was_not_read_has_nothing() -> None:
    w = world()
    top = _top(w)
    w.swarm.observed.free.pop(top.id)
    _denied(w.ask(top.id, charter("x")), Rule.BUDGET_EXHAUSTED)


# --- ending -----------------------------------------------------------------------------------


def test_only_a_proper_ancestor_ends_an_agent() -> None:
    w = world()
    top = _top(w)
    child = w.grow(top.id, "child")
    other = w.grow(SOB, "other")
    assert decide_terminate(w.swarm, top.id, child, is_sovereign=False) is None
    for by in (child, other, w.agent("picard")):
        denied = decide_terminate(w.swarm, by.id, child, is_sovereign=False)
        assert denied is not None
        assert denied.rule is Rule.TERMINATE_DESCENDANT
    assert decide_terminate(w.swarm, child.id, top, is_sovereign=False) is not None


@pytest.mark.parametrize("id", ["sob", "picard"])
def test_the_board_and_its_seats_are_ended_by_nobody(id: str) -> None:
    w = world()
    denied = decide_terminate(w.swarm, OPERATOR, w.agent(id), is_sovereign=True)
    assert denied is not None
    assert denied.rule is Rule.TERMINATE_DESCENDANT


def test_a_fence_is_one_mark_whatever_lies_below_and_tells_each_host_once() -> None:
    w = world(hosts=("h1", "h2"))
    top = _top(w)
    for number in range(5):
        w.grow(top.id, f"c{number}")
    changes = fence(w.swarm, Fence(top.id, "r", "x", w.moment.now), w.moment, mission=MISSION)
    assert len(puts(changes, FENCES)) == 1
    assert [change.agent.id for change in changes if isinstance(change, AgentSet)] == [top.id]
    told = [
        change
        for change in changes
        if isinstance(change, Post) and change.message.kind is Kind.FENCED
    ]
    assert [post.channel for post in told] == ["_placed:h1"]


def test_a_fence_that_stands_is_not_set_again() -> None:
    w = world()
    top = _top(w)
    for expected in (True, False):
        changes = fence(w.swarm, Fence(top.id, "r", "x", w.moment.now), w.moment, mission=MISSION)
        w.renew().add(*changes)
        assert bool(changes) is expected


# --- random trees -----------------------------------------------------------------------------

_paths = st.sampled_from(
    [
        "**",
        "spawn/**",
        "spawn/worker",
        "model/**",
        "model/x",
        "tool/file/read",
        "tool/file/write",
        "no/**",
        "no/x",
    ]
)
_requests = st.fixed_dictionaries(
    {
        "parent": st.integers(0, 30),
        "role": st.sampled_from(["manager", "worker", "thinker", "emperor"]),
        "name": st.sampled_from(["ann", "bob", "cy", "dee"]),
        "key": st.sampled_from(["k1", "k2", "k3", "k4"]),
        "privileges": st.none() | st.lists(_paths, max_size=3),
        "budget": st.dictionaries(st.sampled_from(KINDS), st.integers(0, 60_000), max_size=3),
        "files": st.lists(st.sampled_from(["docs", "docs/a", "docs/a/b", "etc"]), max_size=2),
        "tier": st.none() | st.integers(0, 5),
        "claim": st.none() | st.just("sob"),
        "seconds": st.sampled_from([0.0, 1.0, 30.0]),
        "fences": st.booleans() | st.just(False),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_requests, max_size=25))
def test_no_row_of_requests_makes_a_tree_that_the_law_forbids(
    requests: list[dict[str, Any]],
) -> None:
    w = world(depth_max=3, children_max=3, agents_max=16, spawns_per_minute=8, forbidden=("no/**",))
    w.carry(_motion("e1", "e2"))
    caps: dict[str, dict[str, int]] = {}
    for asked in requests:
        living = [a for a in w.swarm.lineage.agents.values() if a.tier > 0]
        parent = living[asked["parent"] % len(living)]
        w.now += asked["seconds"]
        if asked["fences"]:
            w.end(parent.parent or SOB, parent.id, reason="r")
        before = set(w.swarm.lineage.agents)
        was_fenced = w.swarm.lineage.is_fenced(parent.path)
        free = dict(w.swarm.observed.free[parent.id])
        given_charter = {k: asked[k] for k in ("role", "name", "privileges", "budget", "files")} | {
            "task": "t"
        }
        changes = w.request(
            parent.id,
            "spawn",
            key=asked["key"],
            charter=given_charter,
            tier=asked["tier"],
            parent=asked["claim"],
        )
        (answer,) = [m for m in posts(changes, _inbox(parent)) if m.kind is Kind.ANSWER]
        new = set(w.swarm.lineage.agents) - before
        assert len(new) == (answer.data["outcome"] == "created")
        for id in new:
            child = w.agent(id)
            assert not was_fenced
            assert asked["tier"] in (None, child.tier)
            assert asked["claim"] is None
            caps[id] = dict(answer.data["caps"])
            assert all(0 <= caps[id][kind] <= free[kind] for kind in KINDS)
            assert all(caps[id][kind] > 0 for kind in NEEDED_KINDS)
            assert all(
                w.swarm.observed.free[parent.id][kind] == free[kind] - caps[id][kind]
                for kind in KINDS
            )
        _assert_lawful(w)


def _inbox(agent: Agent) -> Any:
    return f"inbox:{agent.id}"


def _motion(*names: str) -> dict[str, Any]:
    executives = [
        {"key": n, "role": "manager", "name": n, "task": "t", "files": ["docs"]} for n in names
    ]
    return {"motion": "charter", "reason": "because", "executives": executives}


def _assert_lawful(w: World) -> None:
    limits = w.swarm.declared.limits
    agents = w.swarm.lineage.agents
    assert len(agents) <= limits.agents_max
    for agent in agents.values():
        if agent.tier == 0:
            continue
        assert agent.parent is not None
        parent = agents[agent.parent]
        above = ("sob", "@owner", MISSION) if parent.id == SOB else parent.path
        assert agent.path == (*above, agent.id)
        assert agent.tier == parent.tier + 1 <= limits.depth_max
        assert agent.tier in w.swarm.declared.roles[agent.role].tiers
        assert all(is_covered(path, parent.privileges) for path in agent.privileges)
        assert not any(overlaps(path, no) for path in agent.privileges for no in limits.forbidden)
        siblings = w.swarm.lineage.children(parent.id)
        assert len(siblings) <= limits.children_max
        assert len({s.name for s in siblings}) == len({s.key for s in siblings}) == len(siblings)
        assert all(amount >= 0 for amount in w.swarm.observed.free[agent.id].values())
    made_at = list(w.swarm.spawned_at[MISSION])
    for at in made_at:
        assert (
            sum(at - RATE_WINDOW_SECONDS < other <= at for other in made_at)
            <= limits.spawns_per_minute
        )
