"""What the supervisor answers: each refusal with its rule, to the requester and into the
journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.changes import AccountOpened, AgentMade, Change, MissionSet, Post
from swarmd.core.model.channels import ORDERS, down, inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, MissionId, MissionState
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import FENCES
from swarmd.core.tree.spawn import made
from tests.core.swarm_builder import MISSION, World, charter, journal, posts, puts, world

CHARTER = charter("kid").model_dump(mode="json", exclude_defaults=True)


def _only_refused(changes: Sequence[Change], requester: Agent, rule: Rule) -> Message:
    """Nothing but the answer and the entry, both with the rule's name; returns the answer."""
    (answer,) = posts(changes, inbox(requester.id))
    (entry,) = journal(changes, "request.refused")
    assert answer.kind is Kind.ANSWER
    assert answer.data["outcome"] == "refused"
    assert answer.data["rule"] == entry.data["rule"] == rule.value
    assert rule.value in answer.text
    assert entry.data["actor"] == requester.id
    assert len(changes) == 2
    return answer


def _spawn(w: World, requester: Agent, /, **changed: Any) -> list[Change]:
    top_level: dict[str, Any] = {
        key: changed.pop(key) for key in ("tier", "parent", "key") if key in changed
    }
    return w.request(
        requester.id, "spawn", **({"key": "k", "charter": CHARTER | changed} | top_level)
    )


# --- spawn ------------------------------------------------------------------------------------


def test_a_spawn_is_record_account_charter_journal_and_answer() -> None:
    w = world()
    top = w.grow(SOB, "top")
    changes = w.request(
        top.id, "spawn", key="k", charter=CHARTER, directives=["begin", "then rest"], hops=3
    )
    (made,) = [change for change in changes if isinstance(change, AgentMade)]
    (opened,) = [change for change in changes if isinstance(change, AccountOpened)]
    assert (opened.id, opened.parent, opened.own_slot) == (made.agent.id, top.id, True)
    (charter_message,) = posts(changes, inbox(made.agent.id))
    assert (charter_message.kind, charter_message.text) == (Kind.CHARTER, "the task of kid")
    directives = posts(changes, down(top.id))
    assert [(d.text, d.to) for d in directives] == [
        ("begin", made.agent.id),
        ("then rest", made.agent.id),
    ]
    (answer,) = posts(changes, inbox(top.id))
    assert answer.data == {
        "key": "k",
        "outcome": "created",
        "agent": made.agent.id,
        "caps": dict(opened.caps),
    }
    assert {m.hops for m in (charter_message, answer, *directives)} == {3}
    (entry,) = journal(changes, "agent.spawned")
    assert entry.data["path"] == "/".join(made.agent.path)


CASES: Mapping[str, tuple[Rule, Mapping[str, Any], Mapping[str, Any]]] = {
    # rule: what the request has otherwise, what the limits are otherwise
    "tier": (Rule.SPAWN_TIER, {"tier": 1}, {}),
    "parent": (Rule.SPAWN_PARENT, {"parent": "sob"}, {}),
    "depth": (Rule.SPAWN_DEPTH, {}, {"depth_max": 1}),
    "fanout": (Rule.SPAWN_FANOUT, {}, {"children_max": 1}),
    "live": (Rule.SPAWN_LIVE, {}, {"agents_max": 9}),
    "rate": (Rule.SPAWN_RATE, {}, {"spawns_per_minute": 2}),
    "role": (Rule.SPAWN_ROLE, {"role": "emperor"}, {}),
    "name": (Rule.SPAWN_NAME, {"name": "first"}, {}),
    "key": (Rule.SPAWN_KEY, {"key": "first"}, {}),
    "files": (Rule.SPAWN_FILES, {"files": ["/etc/passwd"]}, {}),
    "subset": (Rule.PRIVILEGE_SUBSET, {"privileges": ["tool/file/write"]}, {}),
    "forbidden": (
        Rule.PRIVILEGE_FORBIDDEN,
        {"privileges": ["tool/x"]},
        {"forbidden": ("tool/**",)},
    ),
    "share": (Rule.BUDGET_SHARE, {"budget": {"tokens": 10**9}}, {}),
    "exhausted": (Rule.BUDGET_EXHAUSTED, {"budget": {"calls": 0}}, {}),
    "invalid charter": (Rule.REQUEST_INVALID, {"colour": "red"}, {}),
    "invalid name": (Rule.REQUEST_INVALID, {"name": "../x"}, {}),
    "negative budget": (Rule.REQUEST_INVALID, {"budget": {"tokens": -5}}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_spawn_that_the_law_forbids_is_answered_with_the_rule_and_changes_nothing(
    case: str,
) -> None:
    rule, asked, limits = CASES[case]
    w = world(**limits)
    top = w.grow(SOB, "top")
    if case != "depth":
        w.grow(top.id, "first")
    free = {id: dict(amounts) for id, amounts in w.swarm.observed.free.items()}
    before = dict(w.swarm.lineage.agents)
    answer = _only_refused(_spawn(w, top, **asked), top, rule)
    if rule is not Rule.REQUEST_INVALID:
        assert answer.data["key"] == asked.get("key", "k")
    assert w.swarm.observed.free == free
    assert w.swarm.lineage.agents == before


def test_a_refused_spawn_posts_none_of_its_directives() -> None:
    w = world()
    top = w.grow(SOB, "top")
    changes = w.request(top.id, "spawn", key="k", charter=CHARTER, tier=9, directives=["begin"])
    _only_refused(changes, top, Rule.SPAWN_TIER)


def test_an_agent_without_the_privilege_to_make_a_role_is_told_so() -> None:
    w = world()
    thinker = w.grow(SOB, "thinker", "thinker")
    _only_refused(_spawn(w, thinker, role="worker"), thinker, Rule.PRIVILEGE_USE)


def test_below_a_fence_a_spawn_is_refused_at_once() -> None:
    w = world()
    top = w.grow(SOB, "top")
    child = w.grow(top.id, "child")
    w.order("terminate", top.id)
    _only_refused(_spawn(w, child), child, Rule.ANCESTOR_ENDING)


@pytest.mark.parametrize("type", ["spawn", "act"])
def test_a_seat_acts_through_motions_only(type: str) -> None:
    w = world()
    top = w.grow(SOB, "top")
    asked: dict[str, dict[str, Any]] = {
        "spawn": {"key": "k", "charter": CHARTER},
        "act": {"act": {"verb": "terminate", "target": top.id, "reason": "r"}},
    }
    _only_refused(w.request("picard", type, **asked[type]), w.agent("picard"), Rule.BOARD_MOTION)


def test_nobody_speaks_for_the_board() -> None:
    w = world()
    _only_refused(
        w.request("sob", "spawn", key="k", charter=CHARTER), w.agent("sob"), Rule.BOARD_MOTION
    )


# --- who asks ---------------------------------------------------------------------------------


def test_an_unknown_requester_is_recorded_and_nothing_else() -> None:
    w = world()
    changes = w.request("a-nobody", "spawn", key="k", charter=CHARTER)
    assert [entry.data["rule"] for entry in journal(changes, "request.refused")] == [
        Rule.UNKNOWN_AGENT
    ]
    assert len(changes) == 1


@pytest.mark.parametrize("incarnation", [0, 2])
def test_another_incarnation_is_recorded_and_nothing_else(incarnation: int) -> None:
    w = world()
    top = w.grow(SOB, "top")
    changes = w.end(top.id, top.id, reason="r", incarnation=incarnation)
    assert [entry.data["rule"] for entry in journal(changes, "request.refused")] == [
        Rule.INCARNATION
    ]
    assert len(changes) == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "dance"},
        {"type": "spawn"},
        {"type": "act", "act": {"verb": "freeze", "target": 5}},
        {"type": "act", "act": {"verb": "cancel", "target": "m1"}},
        {"type": "act", "act": 7},
    ],
)
def test_a_request_that_cannot_be_read_is_refused(data: dict[str, Any]) -> None:
    w = world()
    top = w.grow(SOB, "top")
    changes = w.request(top.id, data.pop("type", ""), **data)
    _only_refused(changes, top, Rule.REQUEST_INVALID)


# --- terminate --------------------------------------------------------------------------------


def _terminate(w: World, by: Agent, agent: str) -> list[Change]:
    return w.end(by.id, agent, reason="it loops")


@pytest.mark.parametrize("attribute", ["id", "name", "key"])
def test_a_child_is_ended_by_id_name_or_key(attribute: str) -> None:
    w = world()
    top = w.grow(SOB, "top")
    child = w.grow(top.id, "child")
    changes = _terminate(w, top, getattr(child, attribute))
    assert [fence.segment for fence in puts(changes, FENCES)] == [child.id]
    assert w.swarm.lineage.is_fenced(child.path)
    assert not w.swarm.lineage.is_fenced(top.path)


def test_a_grandchild_is_ended_by_id() -> None:
    w = world()
    top = w.grow(SOB, "top")
    low = w.grow(w.grow(top.id, "child").id, "low")
    _terminate(w, top, low.id)
    assert set(w.swarm.lineage.fences) == {low.id}


@pytest.mark.parametrize(
    ("by", "whom"),
    [
        ("child", "top"),
        ("child", "child"),
        ("child", "sibling"),
        ("child", "other"),
        ("top", "other"),
        ("top", "top"),
        ("top", "sob"),
        ("top", "picard"),
        ("child", "foreign"),
    ],
)
def test_who_is_no_proper_ancestor_ends_nobody(by: str, whom: str) -> None:
    w = world(board={"missions_at_once": 2})
    top = w.grow(SOB, "top")
    agents = {
        "top": top,
        "child": w.grow(top.id, "child"),
        "sibling": w.grow(top.id, "sibling"),
        "other": w.grow(SOB, "other"),
        "sob": w.agent("sob"),
        "picard": w.agent("picard"),
        "foreign": _of_another_mission(w),
    }
    changes = _terminate(w, agents[by], agents[whom].id)
    _only_refused(changes, agents[by], Rule.TERMINATE_DESCENDANT)
    assert not w.swarm.lineage.fences


def _of_another_mission(w: World) -> Agent:
    queue.admit(w.renew(), MissionRequest(mission="Other.", id="m2"), files=("docs",))
    w.tick()
    spawned = w.ask(SOB, charter("top"), mission=MissionId("m2"))
    assert isinstance(spawned, Spawned)
    w.renew().add(*made(w.swarm, spawned, w.moment))
    return w.place(spawned.agent.id)


def test_an_unknown_agent_cannot_be_ended() -> None:
    w = world()
    top = w.grow(SOB, "top")
    _only_refused(_terminate(w, top, "a-nobody"), top, Rule.UNKNOWN_AGENT)


# --- giving up --------------------------------------------------------------------------------


def test_an_agent_that_its_runtime_gives_up_ends_and_the_swarm_does_not() -> None:
    w = world()
    top = w.grow(SOB, "top")
    w.request(top.id, "failed", detail="the model is away")
    assert set(w.swarm.lineage.fences) == {top.id}
    assert w.swarm.lineage.fences[top.id].reason == "the model is away"
    assert w.swarm.missions[MISSION].ending is None


def test_an_empty_account_of_a_seat_exhausts_its_mission() -> None:
    w = world()
    w.request(
        "picard", "failed", rule="budget.exhausted", detail="tokens: 5 needed", mission=MISSION
    )
    assert w.swarm.missions[MISSION].ending is MissionState.EXHAUSTED


def test_a_seat_that_fails_abstains() -> None:
    w = world()
    (called,) = w.swarm.boards[MISSION].called
    changes = w.request(called, "failed", detail="the model is away", mission=MISSION)
    assert w.swarm.boards[MISSION].called not in ((), (called,))
    assert journal(changes, "seat.failed")
    assert not w.swarm.lineage.fences


def test_a_seat_that_fails_for_a_mission_that_ended_is_only_recorded() -> None:
    w = world()
    changes = w.request("picard", "failed", rule="budget.exhausted", detail="x", mission="m-gone")
    assert len(changes) == len(journal(changes, "seat.failed")) == 1


# --- orders -----------------------------------------------------------------------------------


def _outcome(changes: Sequence[Change]) -> list[Any]:
    return [
        change.message.data.get("outcome")
        for change in changes
        if isinstance(change, Post) and change.message.data.get("order") == "o1"
    ]


def test_an_operator_ends_any_agent() -> None:
    w = world()
    top = w.grow(SOB, "top")
    assert _outcome(w.order("terminate", top.id)) == ["fenced"]
    assert w.swarm.lineage.fences[top.id].by == "operator"


def test_an_operators_reason_is_kept_whether_it_is_said_as_data_or_as_text() -> None:
    w = world()
    top, other = w.grow(SOB, "top"), w.grow(SOB, "other")
    w.order("terminate", top.id, reason="it wandered off")
    order = {"order": "o2", "verb": "terminate", "target": other.id}
    w.hear(ORDERS, "operator", Kind.ORDER, order, text="it wandered too")
    assert w.swarm.lineage.fences[top.id].reason == "it wandered off"
    assert w.swarm.lineage.fences[other.id].reason == "it wandered too"


def test_an_operator_cancels_a_mission_once() -> None:
    w = world()
    changes = w.order("cancel", MISSION, reason="enough")
    assert any(isinstance(change, MissionSet) for change in changes)
    assert w.swarm.missions[MISSION].ending is MissionState.CANCELLED
    again = w.order("cancel", MISSION)
    assert _outcome(again) == ["refused"]


@pytest.mark.parametrize(
    ("order", "rule"),
    [
        (lambda w: w.order("terminate", "a-nobody"), Rule.UNKNOWN_AGENT),
        (lambda w: w.order("terminate", "picard"), Rule.TERMINATE_DESCENDANT),
        (lambda w: w.order("terminate", "sob"), Rule.TERMINATE_DESCENDANT),
        (lambda w: w.order("cancel", "m-none"), Rule.UNKNOWN_MISSION),
        (lambda w: w.order("dance", "picard"), Rule.REQUEST_INVALID),
    ],
)
def test_an_order_that_cannot_be_done_is_answered_in_the_journal_by_its_rule(
    order: Callable[[World], list[Change]], rule: Rule
) -> None:
    changes = order(world())
    (entry,) = journal(changes, "order.refused")
    assert (entry.data["rule"], entry.data["order"], entry.data["outcome"]) == (
        rule,
        "o1",
        "refused",
    )
    assert len(changes) == 1


def test_an_agent_that_is_ending_is_not_ended_again() -> None:
    w = world()
    top = w.grow(SOB, "top")
    child = w.grow(top.id, "child")
    w.order("terminate", top.id)
    for id in (top.id, child.id):
        (entry,) = journal(w.order("terminate", id), "order.refused")
        assert entry.data["rule"] == Rule.FENCED


# --- what the journal says of an act's cause ----------------------------------------------------


def _causes(changes: Sequence[Change], event: str) -> list[tuple[str, ...]]:
    return [
        tuple(str(post.data[name]) for name in ("verb", "target", "request", "person"))
        for post in journal(changes, event)
    ]


def test_an_act_and_a_refusal_say_what_was_asked_of_whom_by_which_request() -> None:
    w = world()
    top = w.grow(SOB, "top")
    low = w.grow(top.id, "low")
    upwards = {"verb": "terminate", "target": top.id, "reason": "no"}
    (refused,) = _causes(w.request(low.id, "act", act=upwards), "request.refused")
    assert (refused[0], refused[1], refused[3]) == ("terminate", top.id, "owner")
    assert refused[2], "the request's id"
    downwards = {"verb": "terminate", "target": low.id, "reason": "done"}
    (fenced,) = _causes(w.request(top.id, "act", act=downwards), "subtree.fenced")
    assert (fenced[0], fenced[1]) == ("terminate", low.id)
    stopped = _causes(w.order("freeze", top.id), "stop.set")
    assert [(one[0], one[1], one[3]) for one in stopped] == [("freeze", top.id, "owner")]


def test_a_wish_of_an_act_is_named_by_its_own_verb_and_words_of_others_are_cut() -> None:
    w = world()
    top = w.grow(SOB, "top")
    act = {"verb": "freeze", "target": "nobody" * 100, "reason": "x"}
    (refused,) = _causes(w.request(top.id, "act", act=act), "request.refused")
    assert refused[0] in ("freeze", "act")
    assert len(refused[1]) <= 200
