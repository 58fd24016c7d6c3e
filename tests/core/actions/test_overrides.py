"""Overrides: one decision replaced for a time, by operator over board over lineage, and then as
it was before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from swarmd.core.actions import overrides
from swarmd.core.agent.memory import NO_MEMORY
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import AgentMade, Change, CharterSet, MessageRecalled
from swarmd.core.model.channels import BOARD_ROOM, host_channel, inbox, room, up
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, Authority, StreamId
from swarmd.core.model.overruling import OverrideOrder
from swarmd.core.model.records import Override
from swarmd.core.model.tables import OVERRIDES
from tests.core.swarm_builder import MISSION, World, charter, journal, posts, puts, world

WRITE = "tool/file/write"
HALL = room(f"hall-{MISSION}")


@pytest.fixture
def w() -> World:
    return world()


def _order(w: World, kind: str, target: str, *, seconds: float = 60, **more: Any) -> list[Change]:
    wished = {"kind": kind, "target": target, "seconds": seconds, "reason": "because"} | more
    return w.order("override", target, override=wished)


def _only(w: World) -> Override:
    (override,) = w.swarm.overrides.values()
    return override


def _rule(changes: Sequence[Change]) -> str:
    (refused,) = journal(changes, "order.refused")
    return str(refused.data["rule"])


def _charter_motion(*names: str) -> dict[str, Any]:
    executives = [
        {"key": n, "role": "manager", "name": n, "task": f"the task of {n}"} for n in names
    ]
    return {"motion": "charter", "reason": "because", "executives": executives}


def _at_work(w: World) -> Agent:
    """An executive at work."""
    w.carry(_charter_motion("top"))
    (top,) = w.swarm.executives(MISSION)
    w.swarm.observed.free[top.id] = dict.fromkeys(KINDS, 1_000)
    return w.place(top.id)


def _govern(w: World, by: Agent, verb: str, target: str, **rest: Any) -> list[Change]:
    return w.request(by.id, "act", act={"verb": verb, "target": target, "reason": "r"} | rest)


def _answered(changes: Sequence[Change], agent: Agent) -> Mapping[str, Any]:
    return next(m.data for m in posts(changes, inbox(agent.id)) if m.kind is Kind.ANSWER)


# --- as an object -----------------------------------------------------------------------------


def test_an_override_is_journaled_at_both_ends_answers_its_order_and_comes_back_from_the_store(
    w: World,
) -> None:
    top = w.grow(SOB, "top")
    begun = _order(w, "grant", top.id, privilege=WRITE)
    (entry,) = journal(begun, "override.set")
    override = _only(w)
    assert (entry.data["override"], entry.data["order"], entry.data["outcome"]) == (
        override.id,
        "o1",
        "done",
    )
    assert entry.data["sets"]["privilege"] == WRITE
    assert OVERRIDES.decode(override.id, OVERRIDES.encode(override)) == override
    (over,) = journal(w.tick(60), "override.ended")
    assert (over.data["override"], over.data["how"]) == (override.id, "lapsed")
    assert not w.swarm.overrides


def test_nothing_lapses_before_its_time_and_what_was_reversed_does_not_lapse(w: World) -> None:
    top = w.grow(SOB, "top")
    _order(w, "grant", top.id, privilege=WRITE)
    assert not journal(w.tick(59), "override.ended")
    (over,) = journal(_order(w, "reverse", _only(w).id), "override.ended")
    assert (over.data["how"], over.data["outcome"]) == ("reversed", "done")
    assert not journal(w.tick(10), "override.ended")


def test_an_override_ends_with_its_mission(w: World) -> None:
    top = _at_work(w)
    _order(w, "task", top.id, text="another", seconds=10_000)
    w.order("cancel", MISSION)
    w.swarm.missions.pop(MISSION)
    (over,) = journal(w.tick(), "override.ended")
    assert over.data["how"] == "void"


@pytest.mark.parametrize(
    ("kind", "target", "more", "rule"),
    [
        ("reverse", "ov-none", {}, "override.invalid"),
        ("grant", "a-none", {"privilege": WRITE}, "agent.unknown"),
        ("grant", "top", {"privilege": "no path at all"}, "request.invalid"),
        ("task", "top", {"text": " "}, "override.invalid"),
        ("task", "sob", {"text": "rule"}, "override.invalid"),
        ("spawn", "k", {}, "override.invalid"),
        ("spawn", "sob", {"take": True}, "terminate.descendant"),
        ("spawn", "picard", {"take": True}, "terminate.descendant"),
        ("message", "room:sob 1-0", {}, "override.invalid"),
        ("motion", "m-none", {}, "override.invalid"),
        ("motion", MISSION, {}, "override.invalid"),
    ],
)
def test_what_cannot_be_overridden_is_refused_and_nothing_stands(
    w: World, kind: str, target: str, more: dict[str, Any], rule: str
) -> None:
    top = w.grow(SOB, "top")
    assert _rule(_order(w, kind, top.id if target == "top" else target, **more)) == rule
    assert not w.swarm.overrides


# --- grant ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["lapse", "reverse"])
def test_a_given_right_goes_again_also_where_it_was_handed_down(w: World, end: str) -> None:
    top = w.grow(SOB, "top")
    before = (top.privileges, top.grants, top.later)
    _order(w, "grant", top.id, privilege=WRITE)
    assert w.swarm.lineage.may(w.agent(top.id), WRITE)
    child = w.grow(top.id, "child", "worker", privileges=[WRITE, "tool/file/read"])
    assert w.swarm.lineage.may(child, WRITE)
    _ = w.tick(60) if end == "lapse" else _order(w, "reverse", _only(w).id)
    after = w.agent(top.id)
    assert (after.privileges, after.grants, after.later) == before
    assert not w.swarm.lineage.may(w.agent(child.id), WRITE)
    assert w.swarm.lineage.may(w.agent(child.id), "tool/file/read")
    w.order("grant", child.id, privilege=WRITE)
    assert w.swarm.lineage.may(w.agent(child.id), WRITE), "and may be granted anew"


def test_a_right_that_was_held_before_is_held_as_before(w: World) -> None:
    top = w.grow(SOB, "top")
    before = (top.privileges, top.grants, top.later)
    _order(w, "grant", top.id, privilege="tool/file/read", right="use")
    w.tick(60)
    after = w.agent(top.id)
    assert (after.privileges, after.grants, after.later) == before
    assert w.swarm.lineage.may(after, "tool/file/read")


def test_a_taken_right_comes_back_and_other_marks_stay(w: World) -> None:
    top = w.grow(SOB, "top")
    child = w.grow(top.id, "child", "worker")
    w.order("revoke", top.id, privilege="room/hall/say")
    _order(w, "grant", top.id, privilege="tool/**", take=True)
    for agent in (top, child):
        assert not w.swarm.lineage.may(w.agent(agent.id), "tool/file/read")
    w.tick(60)
    for agent in (top, child):
        assert w.swarm.lineage.may(w.agent(agent.id), "tool/file/read")
    assert not w.swarm.lineage.may(w.agent(top.id), "room/hall/say")


def test_a_weaker_authority_cannot_change_it_while_it_stands_and_can_afterwards(w: World) -> None:
    top = w.grow(SOB, "top")
    middle = w.grow(top.id, "middle")
    child = w.grow(middle.id, "child", "worker")
    _order(w, "grant", child.id, privilege="tool/file/read")
    for who, target in ((middle, child), (top, middle), (top, child)):
        changes = _govern(w, who, "revoke", target.id, privilege="tool/file/**")
        assert _answered(changes, who)["rule"] == "override.active"
    assert w.swarm.lineage.may(w.agent(child.id), "tool/file/read")
    assert (
        _answered(_govern(w, top, "revoke", child.id, privilege="model/**"), top)["outcome"]
        == "done"
    )
    w.tick(60)
    assert (
        _answered(_govern(w, middle, "revoke", child.id, privilege="tool/file/**"), middle)[
            "outcome"
        ]
        == "done"
    )


def test_what_is_forbidden_no_override_gives() -> None:
    w = world(forbidden=(WRITE,))
    assert (
        _rule(_order(w, "grant", w.grow(SOB, "top").id, privilege="tool/**"))
        == "privilege.forbidden"
    )


# --- task -------------------------------------------------------------------------------------


def test_a_task_is_replaced_told_and_restored(w: World) -> None:
    top = _at_work(w)
    lease = w.agent(top.id).lease
    changes = _order(w, "task", top.id, text="another task")
    agent = w.agent(top.id)
    assert agent.charter is not None
    assert agent.charter.task == "another task"
    assert agent.lease == lease + 1
    assert [m.data["agents"] for m in posts(changes, host_channel(agent.host))] == [[top.id]]
    assert any(isinstance(change, CharterSet) for change in changes)
    (directive,) = posts(changes, inbox(top.id))
    assert (directive.sender, directive.kind) == ("operator", Kind.DIRECTIVE)
    assert "another task" in directive.text
    (told,) = posts(w.tick(60), inbox(top.id))
    assert "the task of top" in told.text
    restored = w.agent(top.id)
    assert restored.charter is not None
    assert restored.charter.task == "the task of top"


def test_a_task_that_a_tainted_turn_wrote_taints_whoever_has_it_for_good(w: World) -> None:
    top = _at_work(w)
    board = Actor(SOB, Authority.BOARD, mission=MISSION, taint=("file",))
    asked = OverrideOrder(kind="task", target=top.id, text="another", seconds=60, reason="r")
    assert overrides.override(w.renew(), board, asked) is None
    assert w.agent(top.id).taint == ("file",)
    w.tick(60)
    assert w.agent(top.id).taint == ("file",)


def test_the_board_replaces_a_task_and_the_operators_word_goes_before_the_boards(w: World) -> None:
    top = _at_work(w)
    w.hear(up(SOB), top.id, Kind.REPORT, {"done": True}, mission=MISSION)
    motion = {
        "motion": "override",
        "kind": "task",
        "target": "top",
        "text": "the board's",
        "seconds": 60,
        "reason": "r",
    }
    changes = w.carry(motion)
    assert journal(changes, "motion.executed")
    (directive,) = [m for m in posts(changes, inbox(top.id)) if m.kind is Kind.DIRECTIVE]
    assert directive.sender == SOB
    boards = _only(w)
    _order(w, "task", top.id, text="the operator's")
    operators = _only(w)
    assert boards.id != operators.id
    w.hear(up(SOB), top.id, Kind.REPORT, {"done": True}, mission=MISSION)
    w.tick()
    (refused,) = [e for e in journal(w.carry(motion), "motion.refused") if e.data.get("motion")]
    assert refused.data["rule"] == "override.active"
    reverse = {"motion": "override", "kind": "reverse", "target": operators.id, "reason": "r"}
    (refused,) = [e for e in journal(w.carry(reverse), "motion.refused") if e.data.get("motion")]
    assert refused.data["rule"] == "override.active"
    w.tick(60)
    agent = w.agent(top.id)
    assert agent.charter is not None
    assert agent.charter.task == "the task of top", "its own, not the board's"


def test_a_board_that_read_untrusted_reports_overrides_nothing_without_an_operator(
    w: World,
) -> None:
    top = _at_work(w)
    w.hear(up(SOB), top.id, Kind.REPORT, {"done": True, "taint": ["file"]}, mission=MISSION)
    w.carry({"motion": "override", "kind": "task", "target": top.id, "text": "obey", "reason": "r"})
    assert not w.swarm.overrides
    (approval,) = w.swarm.approvals
    w.order("approve", approval)
    assert _only(w).kind == "task"


# --- spawn ------------------------------------------------------------------------------------


def _refused_spawn(w: World, by: Agent, **rest: Any) -> dict[str, Any]:
    """As the operator finds it in the journal."""
    given = charter("kid", "worker", **rest).model_dump(mode="json")
    changes = w.request(by.id, "spawn", key="kid", charter=given, directives=["begin"])
    (entry,) = journal(changes, "request.refused")
    assert (entry.data["type"], entry.data["key"]) == ("spawn", "kid")
    asked = {"type": "spawn", "key": "kid", "charter": given, "directives": ["begin"]}
    return {"requester": entry.data["actor"], "request": asked, "rule": entry.data["rule"]}


@pytest.mark.parametrize(
    "rest", [{"privileges": [WRITE]}, {"files": ["docs"]}], ids=["rights", "files"]
)
def test_a_refused_spawn_is_allowed_and_the_agent_ends_with_the_override(
    w: World, rest: dict[str, Any]
) -> None:
    top = w.grow(SOB, "top")
    refused = _refused_spawn(w, top, **rest)
    changes = _order(w, "spawn", "kid", refused=refused)
    (kid,) = [c.agent for c in changes if isinstance(c, AgentMade)]
    assert (kid.parent, kid.tier) == (top.id, 2)
    assert _only(w).target == kid.id
    assert _only(w).before["rule"] == refused["rule"]
    assert all(w.swarm.lineage.may(kid, path) for path in rest.get("privileges", ()))
    assert _answered(changes, top)["agent"] == kid.id
    ended = _govern(w, top, "terminate", kid.id)
    assert _answered(ended, top)["rule"] == "override.active"
    assert journal(w.tick(60), "subtree.fenced")[0].data["segment"] == kid.id


def test_hard_limits_stay_whoever_allows_a_spawn() -> None:
    for limits, rest, rule in (
        ({"forbidden": (WRITE,)}, {"privileges": [WRITE]}, "privilege.forbidden"),
        ({"children_max": 1}, {}, "spawn.fanout"),
        ({}, {"budget": {"tokens": 10**9}}, "budget.share"),
    ):
        w = world(**limits)
        top = w.grow(SOB, "top")
        if "children_max" in limits:
            w.grow(top.id, "first", "worker")
        assert _rule(_order(w, "spawn", "kid", refused=_refused_spawn(w, top, **rest))) == rule
        assert not w.swarm.overrides


def test_an_undone_spawn_stays_undone_while_it_stands(w: World) -> None:
    top = w.grow(SOB, "top")
    kid = w.grow(top.id, "kid", "worker")
    changes = _order(w, "spawn", kid.id, take=True)
    assert journal(changes, "subtree.fenced")
    w.request("h1", "gone", segment=kid.id, agents=1)
    for _ in range(3):
        w.reap()
    assert w.swarm.lineage.get(kid.id) is None
    w.swarm.observed.free[top.id] = dict.fromkeys(KINDS, 1_000)
    given = charter("kid", "worker").model_dump(mode="json")
    assert (
        _answered(w.request(top.id, "spawn", key="k2", charter=given), top)["rule"]
        == "override.active"
    )
    w.tick(60)
    assert (
        _answered(w.request(top.id, "spawn", key="k3", charter=given), top)["outcome"] == "created"
    )


def test_what_is_ending_already_is_not_undone(w: World) -> None:
    top = w.grow(SOB, "top")
    kid = w.grow(top.id, "kid", "worker")
    w.order("terminate", top.id)
    assert _rule(_order(w, "spawn", kid.id, take=True)) == "fence.path"
    assert w.swarm.overrides == {}


# --- message ----------------------------------------------------------------------------------


def _original(**more: Any) -> dict[str, Any]:
    return {
        "channel": HALL,
        "id": "5-1",
        "sender": "a-1",
        "kind": "say",
        "mission": MISSION,
        "text": "wrong",
    } | more


def test_a_message_is_recalled_with_a_notice_and_posted_again_at_the_end(w: World) -> None:
    changes = _order(w, "message", f"{HALL} 5-1", original=_original(), text="right")
    assert MessageRecalled(HALL, StreamId("5-1")) in changes
    (notice,) = posts(changes, HALL)
    assert notice.data["recalled"] == "5-1"
    assert "right" in notice.text
    assert "wrong" not in notice.text
    assert _only(w).before["text"] == "wrong"
    assert _rule(_order(w, "message", f"{HALL} 5-1", original=_original())) == "override.active"
    (again,) = posts(w.tick(60), HALL)
    assert (again.sender, again.text, again.kind) == ("a-1", "wrong", Kind.SAY)


@pytest.mark.parametrize(
    "channel", ["journal", "orders", "requests", "missions", "results", "_facts", "inbox:a-gone"]
)
def test_only_what_agents_say_to_each_other_is_recalled(w: World, channel: str) -> None:
    assert (
        _rule(_order(w, "message", f"{channel} 5-1", original=_original(channel=channel)))
        == "bus.channel"
    )


# --- motion -----------------------------------------------------------------------------------


def test_an_operator_carries_the_motion_before_the_board(w: World) -> None:
    w.answer(MISSION, Kind.PROPOSAL, motion=_charter_motion("e"))
    changes = _order(w, "motion", MISSION)
    assert [c.agent.name for c in changes if isinstance(c, AgentMade)] == ["e"]
    assert w.swarm.boards[MISSION].stage == "working"
    assert any("carried by the operator" in m.text for m in posts(changes, BOARD_ROOM))


def test_a_vetoed_motion_falls_and_the_same_one_falls_again_while_the_veto_stands(w: World) -> None:
    w.answer(MISSION, Kind.PROPOSAL, motion=_charter_motion("e"))
    _order(w, "motion", MISSION, take=True)
    assert w.swarm.boards[MISSION].stage == "propose"
    assert "override.active" in w.swarm.boards[MISSION].refusal
    changes = w.carry(_charter_motion("e") | {"reason": "in other words"})
    assert not [c for c in changes if isinstance(c, AgentMade)]
    assert [c for c in w.carry(_charter_motion("f")) if isinstance(c, AgentMade)]


def test_a_motion_that_waits_for_permission_is_settled_by_an_override(w: World) -> None:
    role = w.swarm.declared.roles["manager"].model_copy(update={"approval": "operator"})
    w.swarm.declared.roles["manager"] = role
    w.carry(_charter_motion("e"))
    assert w.swarm.boards[MISSION].stage == "carrying"
    changes = _order(w, "motion", MISSION)
    assert [c for c in changes if isinstance(c, AgentMade)]
    assert not w.swarm.approvals


# --- who --------------------------------------------------------------------------------------


def test_an_agent_overrides_nothing(w: World) -> None:
    top = w.grow(SOB, "top")
    kid = w.grow(top.id, "kid", "worker")
    changes = _govern(w, top, "override", kid.id)
    assert _answered(changes, top)["rule"] == "request.invalid"
    changes = w.request(top.id, "override", kind="grant", target=top.id, privilege="**", reason="r")
    assert _answered(changes, top)["rule"] == "request.invalid"
    assert not puts(changes, OVERRIDES)


def test_one_missions_board_overrides_nothing_of_another(w: World) -> None:
    top = _at_work(w)
    w.hear(up(SOB), top.id, Kind.REPORT, {"done": True}, mission=MISSION)
    (refused,) = [
        e
        for e in journal(
            w.carry(
                {
                    "motion": "override",
                    "kind": "grant",
                    "target": "picard",
                    "privilege": "**",
                    "reason": "r",
                }
            ),
            "motion.refused",
        )
        if e.data.get("motion")
    ]
    assert refused.data["rule"] == "mission.other"


def test_a_recalled_message_is_not_read_by_who_has_not_read_it_yet() -> None:
    from swarmd.runtime.mailboxes import Resident

    def mail(id: str, kind: Kind, **data: Any) -> Message:
        return Message(
            sender=SOB,
            kind=kind,
            at="",
            text=id,
            data=data,
            id=StreamId(id),
            channel=inbox(top.id),
            serial=f"s:{id[0]}",
        )

    w = world()
    top = w.grow(SOB, "top")
    resident = Resident(top, 0, NO_MEMORY, {})
    for message in (
        mail("1-0", Kind.SAY),
        mail("2-0", Kind.SAY),
        mail("3-0", Kind.NOTICE, recalled="1-0"),
    ):
        resident.put(message, {})
    assert [m.id for m in resident.mailbox or ()] == ["2-0", "3-0"]
