"""What becomes of those that fail, and of those they leave behind: no agent is ever without
somebody above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from swarmd.core.actions import authority, registry
from swarmd.core.control import orphans
from swarmd.core.control.placement import place
from swarmd.core.ledger import tree
from swarmd.core.model.changes import (
    AccountCleared,
    AccountFunded,
    AgentAdopted,
    AgentReaped,
    AgentRestarted,
    Change,
)
from swarmd.core.model.channels import BOARD_ROOM, down, host_channel, inbox, up
from swarmd.core.model.lineage import Agent, Stop, StopKind
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, SUPERVISOR, AgentId, AgentState, Authority, HostId
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.tables import FENCES, STOPS
from tests.core.swarm_builder import (
    MISSION,
    ROLES,
    World,
    act_args,
    charter,
    journal,
    posts,
    puts,
    world,
)

H1, H2 = HostId("h1"), HostId("h2")
HOLD_SECONDS = 120.0


def _world(policy: str = "cascade", hosts: Sequence[str] = ("h1",), **limits: Any) -> World:
    """A world whose managers leave their children by this policy."""
    w = world(hosts=hosts, hold_seconds=HOLD_SECONDS, **limits)
    manager = next(role for role in ROLES if role.name == "manager")
    w.swarm.declared.roles["manager"] = manager.model_copy(update={"orphans": policy})
    return w


def _family(w: World) -> tuple[Agent, Agent, Agent, Agent]:
    """`top` leads `mid`, who leads `one`, who leads `leaf`."""
    top = w.grow(SOB, "top", budget={"agents": 20})
    mid = w.grow(top.id, "mid", budget={"agents": 10})
    one = w.grow(mid.id, "one", budget={"agents": 4})
    return top, mid, one, w.grow(one.id, "leaf")


def _fails(w: World, agent: Agent, rule: Rule | str = "", **more: Any) -> list[Change]:
    return w.request(agent.id, "failed", rule=rule, detail="it broke", mission=MISSION, **more)


def _crashes(w: World, agent: Agent) -> list[Change]:
    return w.request(
        agent.id,
        "failed",
        detail="KeyError",
        is_crash=True,
        incarnation=w.agent(agent.id).incarnation,
    )


def _reaped(changes: Sequence[Change]) -> list[AgentId]:
    return [change.record.id for change in changes if isinstance(change, AgentReaped)]


def _to_the_end(w: World, words: Sequence[HostId] = (H1,)) -> list[Change]:
    changes: list[Change] = []
    for _ in range(5):
        for ending in w.swarm.observed.endings.values():
            ending.words.update(words)
        changes += w.tick()
        changes += w.reap()
    return changes


# --- the three policies ---------------------------------------------------------------------------


def test_cascade_ends_the_children_too() -> None:
    w = _world("cascade")
    _, mid, one, leaf = _family(w)
    _fails(w, mid, Rule.HOPS)
    assert set(w.swarm.lineage.fences) == {mid.id}
    assert _reaped(_to_the_end(w)) == [leaf.id, one.id, mid.id]


def test_adopt_gives_the_children_to_the_creators_own_in_the_commit_that_fences_it_alone() -> None:
    w = _world("adopt")
    top, mid, one, leaf = _family(w)
    changes = _fails(w, mid)
    assert set(w.swarm.lineage.fences) == {f"={mid.id}"}
    (adopted,) = [change for change in changes if isinstance(change, AgentAdopted)]
    assert (adopted.agent.parent, adopted.former, adopted.agent.path) == (top.id, mid.id, one.path)
    assert down(top.id) in adopted.follows
    assert down(mid.id) not in adopted.follows
    assert adopted.agent.lease == one.lease + 1, (
        "its host reads its record anew, and with it whom it reports to"
    )
    (told,) = [m for m in posts(changes, host_channel(H1)) if m.kind is Kind.PLACED]
    assert told.data["agents"] == [one.id]
    (notice,) = posts(changes, inbox(top.id))
    assert (notice.data["agent"], notice.data["adopted"]) == (one.id, True)
    assert _reaped(_to_the_end(w)) == [mid.id]
    assert [child.id for child in w.swarm.lineage.children(top.id)] == [one.id]
    assert [child.id for child in w.swarm.lineage.children(one.id)] == [leaf.id]


def test_what_an_executive_leaves_is_the_boards() -> None:
    w = _world("adopt")
    top, mid, *_ = _family(w)
    changes = _fails(w, top)
    assert w.agent(mid.id).parent == SOB
    assert up(SOB) not in w.agent(mid.id).path
    assert mid.id in {executive.id for executive in w.swarm.executives(MISSION)}
    assert tree.account_above(w.swarm, mid.id) == MISSION
    assert {m.data["agent"] for m in posts(changes, BOARD_ROOM)} == {mid.id}
    assert _reaped(_to_the_end(w)) == [top.id]
    (close,) = puts(w.order("terminate", mid.id), FENCES)
    assert close
    assert [c.account_above for c in _to_the_end(w) if isinstance(c, AgentReaped)][-1] == MISSION


def test_hold_gives_them_frozen_until_an_operator_decides() -> None:
    w = _world("hold")
    top, mid, one, _ = _family(w)
    _fails(w, mid)
    stop = w.swarm.lineage.stops[one.id]
    assert (stop.kind, stop.authority, stop.by) == (StopKind.FREEZE, Authority.OPERATOR, SUPERVISOR)
    assert w.agent(one.id).state is AgentState.FROZEN
    thaw = {"verb": "thaw", "target": one.id, "reason": "go on"}
    (answer,) = posts(w.request(top.id, "act", act=thaw), inbox(top.id))
    assert answer.data["rule"] == Rule.PRECEDENCE
    _to_the_end(w)
    w.tick(10 * HOLD_SECONDS)
    assert one.id in w.swarm.lineage.agents, "it waits, however long"
    w.order("thaw", one.id)
    assert w.agent(one.id).state is AgentState.LIVE


def test_a_lesser_stop_of_a_held_child_becomes_an_operators() -> None:
    w = _world("hold")
    top, mid, one, _ = _family(w)
    w.request(top.id, "act", act={"verb": "freeze", "target": one.id, "reason": "r"})
    _fails(w, mid)
    assert w.swarm.lineage.stops[one.id].authority is Authority.OPERATOR


@pytest.mark.parametrize("policy", ["cascade", "adopt", "hold"])
def test_who_has_no_children_ends_alone(policy: str) -> None:
    w = _world(policy)
    *_, one, leaf = _family(w)
    _fails(w, leaf)
    assert _reaped(_to_the_end(w)) == [leaf.id]
    assert one.id in w.swarm.lineage.agents


def test_an_ordered_end_takes_the_subtree_whatever_the_policy() -> None:
    w = _world("adopt")
    _, mid, one, leaf = _family(w)
    w.order("terminate", mid.id)
    assert _reaped(_to_the_end(w)) == [leaf.id, one.id, mid.id]


def test_who_is_ending_is_not_given_up_again_and_is_not_started_anew() -> None:
    w = _world("adopt")
    top, mid, one, _ = _family(w)
    w.order("terminate", top.id)
    for agent in (top, mid, one):
        for rule, crash in (("", False), (Rule.BUDGET_EXHAUSTED, False), ("", True)):
            assert _fails(w, agent, rule, is_crash=crash) == []


def test_who_ends_alone_makes_nobody_and_is_neither_stopped_thawed_ended_nor_given_a_host() -> None:
    w = _world("adopt")
    _, mid, one, _ = _family(w)
    _fails(w, mid)
    asked = w.ask(mid.id, charter("late"))
    assert isinstance(asked, Denied)
    assert asked.rule is Rule.ANCESTOR_ENDING
    for verb in ("freeze", "drain", "terminate"):
        denied = registry.do(w.renew(), authority.BY_OPERATOR, act_args(verb, mid.id, "r"))
        assert denied is not None
        assert denied.rule is Rule.FENCED, verb
    # A second fence, of its path, would take with it those that were adopted.
    assert (
        registry.do(w.renew(), authority.BY_OPERATOR, act_args("terminate", "tier:2", "r"))
        is not None
    )
    w.swarm.observed.hosts = {H2: replace(w.swarm.hosts[H1], id=H2)}
    place(w.renew())
    assert w.agent(mid.id).host == H1
    assert one.id in w.swarm.lineage.agents


def test_what_was_stopped_with_its_creator_is_stopped_without_it() -> None:
    w = _world("adopt")
    top, mid, one, leaf = _family(w)
    w.order("freeze", mid.id)
    orphans.give_up(w.renew(), w.agent(mid.id), "its deadline has passed")
    _to_the_end(w)
    assert mid.id not in w.swarm.lineage.agents
    (stop,) = w.swarm.lineage.stops.values()
    assert (stop.target, stop.kind, stop.authority) == (one.id, StopKind.FREEZE, Authority.OPERATOR)
    assert w.swarm.lineage.stop_on(w.agent(leaf.id)) == stop
    thaw = {"verb": "thaw", "target": one.id, "reason": "go on"}
    (answer,) = posts(w.request(top.id, "act", act=thaw), inbox(top.id))
    assert answer.data["rule"] == Rule.PRECEDENCE


def test_what_was_revoked_above_it_stays_revoked_for_who_was_adopted_and_the_mark_goes_with_the_last() -> (
    None
):
    w = _world("adopt")
    _, mid, one, leaf = _family(w)
    w.order("revoke", mid.id, privilege="model/**")
    _fails(w, mid)
    _to_the_end(w)
    for agent in (one, leaf):
        assert not w.swarm.lineage.may(w.agent(agent.id), "model/gpt")
    w.order("terminate", one.id)
    _to_the_end(w)
    assert w.swarm.lineage.revocations == {}


# --- an empty account -----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [Rule.BUDGET_EXHAUSTED, Rule.BUDGET_OVERDRAFT])
def test_an_agent_without_money_is_frozen_alone_and_whoever_may_fund_it_is_told(rule: Rule) -> None:
    w = _world()
    top, mid, one, _ = _family(w)
    changes = _fails(w, mid, rule)
    stop = w.swarm.lineage.stops[f"={mid.id}"]
    assert (stop.kind, stop.rule, stop.until) == (StopKind.FREEZE, rule, w.now + HOLD_SECONDS)
    assert w.agent(mid.id).state is AgentState.FROZEN
    assert w.swarm.lineage.stop_on(w.agent(one.id)) is None, (
        "its children have accounts of their own"
    )
    (notice,) = posts(changes, inbox(top.id))
    assert (notice.data["frozen"], notice.data["agent"]) == (rule, mid.id)
    assert "fund it" in notice.text
    assert _fails(w, mid, rule) == [], "told once"


def test_funding_it_in_time_lets_it_go_on() -> None:
    w = _world()
    top, mid, *_ = _family(w)
    _fails(w, mid, Rule.BUDGET_EXHAUSTED)
    w.tick(HOLD_SECONDS - 1)
    fund = {"verb": "fund", "target": "mid", "amounts": {"tokens": 10}, "reason": "r"}
    kinds = [type(change) for change in w.request(top.id, "act", act=fund)]
    assert AccountFunded in kinds
    assert w.swarm.lineage.stops == {}
    assert w.agent(mid.id).state is AgentState.LIVE
    w.tick(HOLD_SECONDS)
    assert w.swarm.lineage.fences == {}


def test_thawing_it_takes_note_of_what_it_spent_beyond_its_reserve() -> None:
    w = _world()
    top, mid, *_ = _family(w)
    _fails(w, mid, Rule.BUDGET_OVERDRAFT)
    thaw = {"verb": "thaw", "target": "mid", "reason": "r"}
    assert AccountCleared(mid.id) in w.request(top.id, "act", act=thaw)


@pytest.mark.parametrize("policy", ["cascade", "adopt"])
def test_a_hold_that_nobody_mends_lapses_and_the_agent_ends_by_its_policy(policy: str) -> None:
    w = _world(policy)
    _, mid, one, leaf = _family(w)
    _fails(w, mid, Rule.BUDGET_EXHAUSTED)
    w.tick(HOLD_SECONDS - 1)
    assert w.swarm.lineage.fences == {}
    w.tick(1)
    fence = {"cascade": mid.id, "adopt": f"={mid.id}"}[policy]
    assert set(w.swarm.lineage.fences) == {fence}
    assert Rule.BUDGET_EXHAUSTED in w.swarm.lineage.fences[fence].reason
    ended = _reaped(_to_the_end(w))
    assert ended == {"cascade": [leaf.id, one.id, mid.id], "adopt": [mid.id]}[policy]
    assert f"={mid.id}" not in w.swarm.lineage.stops


@pytest.mark.parametrize("is_upper_first", [True, False])
def test_of_two_that_end_in_one_step_the_children_go_to_who_is_left_above_both(
    is_upper_first: bool,
) -> None:
    w = _world("adopt")
    top, mid, one, leaf = _family(w)
    for agent in (mid, one) if is_upper_first else (one, mid):
        _fails(w, agent, Rule.BUDGET_EXHAUSTED)
    w.tick(HOLD_SECONDS)
    assert set(w.swarm.lineage.fences) == {f"={mid.id}", f"={one.id}"}
    assert w.agent(leaf.id).parent == top.id
    assert set(_reaped(_to_the_end(w))) == {mid.id, one.id}


@pytest.mark.parametrize("target", ["mid", "top", "one"])
def test_a_hold_does_not_lapse_while_an_operator_holds_it_too(target: str) -> None:
    w = _world()
    top, mid, one, _ = _family(w)
    _fails(w, mid, Rule.BUDGET_EXHAUSTED)
    frozen = {"mid": mid, "top": top, "one": one}[target]
    w.order("freeze", frozen.id)
    w.tick(10 * HOLD_SECONDS)
    assert w.swarm.lineage.fences == {}
    w.order("thaw", frozen.id)
    w.tick()
    # A thaw of the agent itself mends both; of another the hold is left, and over.
    assert set(w.swarm.lineage.fences) == (set() if target == "mid" else {mid.id})


# --- crashes --------------------------------------------------------------------------------------


def test_a_crash_starts_the_agent_anew_under_another_incarnation_with_its_task_and_last_words() -> (
    None
):
    w = _world()
    _, mid, one, _ = _family(w)
    changes = _crashes(w, mid)
    (restarted,) = [change for change in changes if isinstance(change, AgentRestarted)]
    assert (restarted.agent.incarnation, restarted.agent.state, restarted.agent.host) == (
        2,
        AgentState.STARTING,
        "",
    )
    assert (restarted.agent.path, restarted.agent.privileges) == (mid.path, mid.privileges)
    (task,) = posts(changes, inbox(mid.id))
    assert (task.kind, task.text, task.data) == (
        Kind.CHARTER,
        "the task of mid",
        {"restarted": 1, "last_words": "KeyError"},
    )
    assert w.agent(one.id).parent == mid.id, "its children are still its"
    place(w.renew())
    assert (w.agent(mid.id).state, w.agent(mid.id).lease) == (AgentState.LIVE, mid.lease + 1)
    (refused,) = journal(
        w.request(mid.id, "failed", detail="again", is_crash=True, incarnation=1), "request.refused"
    )
    assert refused.data["rule"] == Rule.INCARNATION, "a word of the former incarnation ends nobody"


def test_one_crash_too_many_within_the_time_quarantines_it_and_its_superior_gets_its_last_words() -> (
    None
):
    w = _world(restarts_max=2, restart_seconds=600)
    top, mid, *_ = _family(w)
    for _ in range(2):
        assert any(isinstance(change, AgentRestarted) for change in _crashes(w, mid))
        w.now += 100
    changes = _crashes(w, mid)
    assert not any(isinstance(change, AgentRestarted) for change in changes)
    assert w.swarm.lineage.stops[f"={mid.id}"].rule == Rule.CRASHED
    (notice,) = posts(changes, inbox(top.id))
    assert "3 crashes, the last: KeyError" in notice.text
    assert "thaw it" in notice.text
    w.tick(HOLD_SECONDS)
    assert mid.id in w.swarm.lineage.fences


def test_crashes_that_a_clock_of_the_future_has_stamped_do_not_count() -> None:
    w = _world(restarts_max=2, restart_seconds=600)
    _, mid, *_ = _family(w)
    for _ in range(2):
        _crashes(w, mid)
    w.now -= 3_600.0
    assert any(isinstance(change, AgentRestarted) for change in _crashes(w, mid))


def test_crashes_long_ago_do_not_count() -> None:
    w = _world(restarts_max=1, restart_seconds=600)
    _, mid, *_ = _family(w)
    for _ in range(5):
        assert any(isinstance(change, AgentRestarted) for change in _crashes(w, mid))
        w.now += 601
    assert w.agent(mid.id).incarnation == 6


def test_no_restart_at_all_where_none_is_allowed() -> None:
    w = _world(restarts_max=0)
    _, mid, *_ = _family(w)
    _crashes(w, mid)
    assert w.swarm.lineage.stops[f"={mid.id}"].rule == Rule.CRASHED


def test_a_crash_thaws_nobody_and_clears_no_debt() -> None:
    w = _world()
    _, mid, *_ = _family(w)
    w.order("freeze", mid.id)
    changes = _crashes(w, mid)
    assert w.agent(mid.id).state is AgentState.FROZEN
    place(w.renew())
    assert w.agent(mid.id).host == "", "it is placed when it is thawed"
    assert not any(isinstance(change, AccountCleared) for change in changes)
    w.order("thaw", mid.id)
    place(w.renew())
    assert (w.agent(mid.id).host, w.agent(mid.id).state) == (H1, AgentState.LIVE)


# --- deadlines ------------------------------------------------------------------------------------


def test_a_deadline_is_inherited_and_never_later_than_the_creators_or_the_missions() -> None:
    w = _world(deadline_seconds=1_000.0)
    top = w.grow(SOB, "top", deadline_s=500)
    assert top.deadline == w.now + 500
    assert w.grow(top.id, "as-long").deadline == top.deadline
    assert w.grow(top.id, "longer", deadline_s=9_000).deadline == top.deadline
    assert w.grow(top.id, "shorter", deadline_s=5).deadline == w.now + 5
    assert w.grow(SOB, "missions").deadline == 0.0
    assert w.grow(SOB, "beyond", deadline_s=9_000).deadline == w.swarm.missions[MISSION].deadline


@pytest.mark.parametrize("policy", ["cascade", "adopt"])
def test_a_passed_deadline_ends_the_agent_by_its_policy_and_names_the_rule(policy: str) -> None:
    w = _world(policy)
    top = w.grow(SOB, "top", budget={"agents": 20})
    mid = w.grow(top.id, "mid", deadline_s=60, budget={"agents": 4})
    leaf = w.grow(mid.id, "leaf", deadline_s=50)
    w.tick(49)
    assert w.swarm.lineage.fences == {}
    w.tick(1)
    assert set(w.swarm.lineage.fences) == {leaf.id}
    assert Rule.DEADLINE in w.swarm.lineage.fences[leaf.id].reason
    w.tick(10)
    assert set(w.swarm.lineage.fences) == {
        leaf.id,
        {"cascade": mid.id, "adopt": f"={mid.id}"}[policy],
    }
    _to_the_end(w)
    assert {a.id for a in w.swarm.lineage.agents.values() if a.tier} == {top.id}
    assert w.swarm.deadlines == {}


def test_an_adopted_agent_keeps_its_own_deadline() -> None:
    w = _world("adopt")
    top = w.grow(SOB, "top", budget={"agents": 20})
    mid = w.grow(top.id, "mid", deadline_s=60, budget={"agents": 4})
    leaf = w.grow(mid.id, "leaf")
    _fails(w, mid)
    _to_the_end(w)
    assert w.agent(leaf.id).deadline == mid.deadline
    w.tick(61)
    assert leaf.id in w.swarm.lineage.fences


# --- lost hosts -----------------------------------------------------------------------------------


def test_who_was_stopped_when_its_host_was_lost_waits_and_the_others_are_placed_anew() -> None:
    w = _world(hosts=("h1", "h2"))
    _, mid, one, _ = _family(w)
    w.order("freeze", f"={mid.id}")
    for agent in (mid, one):
        w.swarm.lineage.put(replace(w.agent(agent.id), host=H2))
    del w.swarm.hosts[H2]
    place(w.renew())
    assert (w.agent(mid.id).host, w.agent(one.id).host) == (H2, H1)


def test_a_stop_that_the_supervisor_sets_is_no_order() -> None:
    w = _world()
    _, mid, *_ = _family(w)
    changes = _fails(w, mid, Rule.BUDGET_EXHAUSTED)
    (stop,) = puts(changes, STOPS)
    assert stop == Stop(
        f"={mid.id}",
        StopKind.FREEZE,
        Authority.LINEAGE,
        stop.reason,
        SUPERVISOR,
        w.now,
        rule=Rule.BUDGET_EXHAUSTED.value,
        until=w.now + HOLD_SECONDS,
    )
