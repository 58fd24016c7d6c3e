"""What the board is called for while its mission works: with which facts, how often, and when not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from swarmd.core.board import agenda
from swarmd.core.board.agenda import CALLS_MAX
from swarmd.core.board.standstill import REST_SECONDS
from swarmd.core.control import orphans, rest, stalls
from swarmd.core.control.stalls import Standing
from swarmd.core.missions import queue
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import BOARD_ROOM, inbox
from swarmd.core.model.charter import KINDS
from swarmd.core.model.declarations import Taint
from swarmd.core.model.lineage import Agent, Stop, StopKind
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import (
    OPERATOR,
    SOB,
    AgentId,
    AgentState,
    Authority,
    MissionId,
    MissionState,
)
from swarmd.core.model.records import Trouble
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import BOARDS
from tests.core.swarm_builder import MISSION, SEATS, World, charter, journal, posts, world

STRICT = Taint(actions=("inward", "widening", "outward"))


def _charter(*names: str, **more: Any) -> dict[str, Any]:
    given = {"role": "manager", "files": ["docs"]} | more
    executives = [{"key": n, "name": n, "task": f"do {n}"} | given for n in names]
    return {"motion": "charter", "reason": "r", "executives": executives}


def _working(*names: str, **limits: Any) -> tuple[World, list[Agent]]:
    """A mission with these executives at work."""
    w = world(**limits)
    w.carry(_charter(*names))
    return w, [w.place(e.id) for e in w.swarm.executives(MISSION)]


def _items(w: World) -> list[Mapping[str, Any]]:
    return [dict(item) for item in w.swarm.boards[MISSION].agenda]


def _kinds(w: World) -> list[tuple[str, str]]:
    """Of the review that is open: kind and name of each item."""
    assert w.swarm.boards[MISSION].phase == "review"
    return [(str(item["kind"]), str(item["name"])) for item in _items(w)]


def _is_working(w: World) -> bool:
    return w.swarm.boards[MISSION].stage == "working"


def _look(w: World, seconds: float = 0.0, **standings: Standing) -> None:
    """The supervisor's look once a second, after so many; agents by name, others are busy."""
    w.now += seconds
    found = rest.candidates(w.swarm, w.now)
    by_id = {
        id: standings.get(w.agent(id).name, Standing(is_done=False, is_busy=True))
        for id in rest.asked_about(w.swarm, found)
    }
    rest.note(w.swarm, found, by_id, w.now)


AT_REST = Standing(is_done=False, is_busy=False)
DONE = Standing(is_done=True, is_busy=False)


def _rests(w: World, *names: str, **others: Standing) -> list[Change]:
    """Seen at rest for long enough, and then the supervisor's next step."""
    for _ in range(2):
        _look(w, REST_SECONDS + 1, **dict.fromkeys(names, AT_REST), **others)
    return w.tick()


def _wait() -> dict[str, Any]:
    return {"motion": "wait", "reason": "the others go on"}


# --- blockers and rest --------------------------------------------------------------------------


def test_a_blocker_calls_the_board_while_others_work() -> None:
    w, (one, _) = _working("one", "two")
    w.report(one, "I need cli.md", done=False)
    assert _is_working(w), "its turn may go on"
    changes = _rests(w, "one")
    assert _kinds(w) == [("blocker", "one")]
    (item,) = _items(w)
    assert (item["agent"], item["what"]) == (one.id, "I need cli.md")
    assert item["since"]
    assert "direct" in item["can"]
    (called,) = _calls(changes)
    assert called.data["call"]["agenda"][0]["kind"] == "blocker"
    (entry,) = journal(changes, "board.called")
    assert [(c["kind"], c["agent"]) for c in entry.data["causes"]] == [("blocker", one.id)]


def _calls(changes: Sequence[Change]) -> list[Any]:
    return [c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL]


def test_a_report_with_children_at_work_is_no_blocker() -> None:
    w, (one, _) = _working("one", "two")
    w.grow(one.id, "kid")
    w.report(one, "half of it", done=False)
    _rests(w, "one")
    assert _is_working(w), "a child is at work"
    _rests(w, "one", kid=DONE)
    assert _kinds(w) == [("blocker", "one")]


def _holds(w: World, agent: Agent, authority: Authority, until: float = 0.0) -> None:
    """Somebody of that authority has frozen it."""
    stop = Stop(agent.id, StopKind.FREEZE, authority, "it errs", "somebody", w.now, until=until)
    w.swarm.lineage.stops[agent.id] = stop


@pytest.mark.parametrize("how", ["stalled", "frozen by its creator", "frozen by the board"])
def test_a_child_that_goes_on_only_if_somebody_acts_is_not_waited_for(how: str) -> None:
    w, (one,) = _working("one")
    kid = w.grow(one.id, "kid")
    _rests(w, "one", "kid")
    assert _is_working(w), "the child is at work"
    if how == "stalled":
        w.swarm.troubles[kid.id] = Trouble("stalled", w.now)
    else:
        _holds(w, kid, Authority.BOARD if "board" in how else Authority.LINEAGE)
    _rests(w, "one", "kid")
    assert ("resting", "one") in _kinds(w)


@pytest.mark.parametrize(
    ("authority", "until"), [(Authority.OPERATOR, 0.0), (Authority.LINEAGE, 4e9)]
)
def test_a_child_that_an_operator_holds_or_that_ends_by_itself_is_waited_for(
    authority: Authority, until: float
) -> None:
    w, (one,) = _working("one")
    _holds(w, w.grow(one.id, "kid"), authority, until)
    _rests(w, "one", "kid")
    assert _is_working(w)


def test_what_the_board_stops_for_a_time_is_not_held_for_good() -> None:
    w, (one, _) = _working("one", "two")
    _holds(w, one, Authority.BOARD, until=4e9)
    _rests(w, "two")
    assert _is_working(w), "its end comes by itself, and calls"


def test_a_stalled_child_with_mail_that_it_has_not_read_is_waited_for() -> None:
    w, (one,) = _working("one")
    kid = w.grow(one.id, "kid")
    w.swarm.troubles[kid.id] = Trouble("stalled", w.now)
    _rests(w, "one", kid=Standing(False, False, has_mail=True))
    assert _is_working(w)


def test_an_executive_that_the_board_holds_calls_it_again_once_nobody_else_works() -> None:
    w, (one, _) = _working("one", "two")
    w.swarm.lineage.put(replace(one, state=AgentState.FROZEN))
    _holds(w, one, Authority.BOARD)
    _rests(w)
    assert _is_working(w), "two is at work"
    _rests(w, "two")
    assert _kinds(w) == [("held", "one"), ("resting", "two")]
    w.carry(_wait())
    assert not _is_working(w), "there is nothing to wait for"


def test_one_that_the_supervisor_and_the_board_hold_calls_it_for_both() -> None:
    w, (one,) = _working("one")
    orphans.hold(w.renew(), one, Rule.BUDGET_EXHAUSTED, "tokens: 500 needed, 3 free")
    w.tick()
    assert _kinds(w) == [("exhausted", "one")]
    motion = {"motion": "act", "verb": "freeze", "target": one.id, "reason": "let it rest"}
    w.carry(motion)
    w.tick()
    assert _kinds(w) == [("held", "one")], "the board is called again, for nobody works"


@pytest.mark.parametrize(
    "standing",
    [
        Standing(False, True),
        Standing(False, False, has_mail=True),
        Standing(False, False, waits_until=4e9),
    ],
    ids=["busy", "unread mail", "waits for a time"],
)
def test_who_is_about_to_go_on_is_not_at_rest(standing: Standing) -> None:
    w, (one, _) = _working("one", "two")
    w.report(one, "I need cli.md", done=False)
    _look(w, REST_SECONDS + 1, one=AT_REST)
    _look(w, REST_SECONDS + 1, one=standing)
    w.tick()
    assert _is_working(w)


def test_a_single_look_is_not_enough() -> None:
    w, (one,) = _working("one")
    w.report(one, "I need cli.md", done=False)
    _look(w, REST_SECONDS + 1, one=AT_REST)
    w.tick()
    assert _is_working(w)


def test_one_that_rests_without_a_word_waits_for_its_colleagues_and_calls_when_all_rest() -> None:
    w, _ = _working("one", "two")
    _rests(w, "one")
    assert _is_working(w), "it may wait for two"
    _rests(w, "one", "two")
    assert _kinds(w) == [("resting", "one"), ("resting", "two")]


def test_a_cause_is_put_once_and_what_comes_meanwhile_joins_the_next_agenda() -> None:
    w, (one, two, _) = _working("one", "two", "three")
    w.report(one, "I need cli.md", done=False)
    _rests(w, "one")
    assert _kinds(w) == [("blocker", "one")]
    w.report(two, "I need law.md", done=False)
    assert _kinds(w) == [("blocker", "one")], "none while one is open"
    w.carry(_wait())
    for _ in range(3):
        _rests(w, "one")
    assert _is_working(w), "it was put, and is not put again"
    _rests(w, "one", "two")
    assert _kinds(w) == [("blocker", "two")]


def test_who_was_directed_a_moment_ago_is_not_at_rest_by_what_was_seen_before_that() -> None:
    w, (one, two) = _working("one", "two")
    w.report(two, "found")
    w.report(one, "I need cli.md", done=False)
    _rests(w, "one", two=DONE)
    assert _kinds(w) == [("blocker", "one")]
    # The board decides before the next look, and all but `one` is done.
    w.carry({"motion": "direct", "to": "one", "text": "go on without it", "reason": "r"})
    w.tick()
    assert _is_working(w), "it has not read its directive yet"
    _rests(w, "one", two=DONE)
    assert _kinds(w) == [("blocker", "one")], "it was directed, and rests all the same"


def test_the_board_is_called_three_times_about_one_executive() -> None:
    w, (one, _) = _working("one", "two")
    for number in range(CALLS_MAX):
        w.report(one, f"blocker {number}", done=False)
        _rests(w, "one")
        assert _kinds(w) == [("blocker", "one")]
        w.carry(_wait())
    w.report(one, "one more", done=False)
    _rests(w, "one")
    assert _is_working(w)


def test_a_mission_in_which_nobody_works_and_nobody_is_asked_any_more_says_so_and_fails() -> None:
    w, (one,) = _working("one")
    w.report(one, "I need cli.md", done=False)
    for _ in range(CALLS_MAX):
        _rests(w, "one")
        assert _kinds(w) == [("blocker", "one")]
        w.carry({"motion": "act", "verb": "revoke", "target": one.id, "reason": "r"} | _RIGHT)
        assert _is_working(w)
    _rests(w, "one")
    mission = w.swarm.missions[MISSION]
    assert mission.ending is MissionState.FAILED
    assert "called 3 times about one" in mission.reason
    assert "I need cli.md" in mission.reason


_RIGHT = {"privilege": "room/hall/say"}


def test_there_is_nothing_to_wait_for_where_nobody_works() -> None:
    w, (one,) = _working("one")
    w.report(one, "I need cli.md", done=False)
    _rests(w, "one")
    changes = w.carry(_wait())
    (refused,) = journal(changes, "motion.refused")
    assert "nobody works" in refused.data["detail"]


# --- held, ended, stalled ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "kind"), [(Rule.BUDGET_EXHAUSTED, "exhausted"), (Rule.CRASHED, "frozen")]
)
def test_a_held_executive_calls_the_board_and_is_held_while_it_deliberates(
    rule: Rule, kind: str
) -> None:
    w, (one, _) = _working("one", "two")
    orphans.hold(w.renew(), one, rule, "tokens: 40 needed, 2 free")
    w.tick()
    assert _kinds(w) == [(kind, "one")]
    (item,) = _items(w)
    assert "40 needed" in item["what"]
    w.now += w.swarm.declared.limits.hold_seconds + 1
    orphans.tick(w.renew())
    assert not w.swarm.lineage.is_ending(w.agent(one.id)), "the decision is the board's"


def test_one_faltering_executive_of_two_is_replaced_while_the_other_works() -> None:
    w, (one, two) = _working("one", "two")
    orphans.give_up(w.renew(), one, "malformed: five answers")
    w.request("h1", "gone", segment=one.id, agents=1)
    w.swarm.observed.free[MISSION] = dict.fromkeys(KINDS, 50_000)  # as this step has read it
    (call,) = _calls([*w.reap(), *w.reap(), *w.tick()])
    assert _kinds(w) == [("ended", "one")]
    assert "malformed: five answers" in _items(w)[0]["what"]
    # What the account that was closed in this step gives back is not known yet; the rest is.
    assert call.data["call"]["left"]["tokens"] == 50_000
    assert call.data["call"]["to_give"]["tokens"] > 0
    w.carry(_charter("one-again"))
    assert [e.name for e in w.swarm.executives(MISSION)] == ["two", "one-again"]
    assert _is_working(w)
    w.tick()
    assert _is_working(w), "put once"
    w.report(two, "found")
    assert _is_working(w), "the new one works"


def test_a_charter_replaces_an_executive_in_one_motion_and_the_board_is_not_called_for_that() -> (
    None
):
    w, (one, _) = _working("one", "two")
    w.report(one, "I need cli.md", done=False)
    _rests(w, "one")
    w.carry(_charter("better", replaces="one"))
    assert one.id in w.swarm.lineage.fences
    assert [e.name for e in w.swarm.executives(MISSION)] == ["one", "two", "better"]
    w.request("h1", "gone", segment=one.id, agents=1)
    for _ in range(2):
        w.reap()
    w.tick()
    assert w.swarm.lineage.get(one.id) is None
    assert _is_working(w), "it was the board's own decision"


def test_the_report_of_who_was_replaced_is_neither_delivered_nor_told() -> None:
    w, (one, two) = _working("one", "two")
    w.report(one, "The bad one.")
    w.report(two, "The other.")
    w.carry(_charter("better", replaces="one"))
    w.report(next(e for e in w.swarm.executives(MISSION) if e.name == "better"), "The better.")
    w.carry({"motion": "deliver", "reason": "r", "reports": ["one"]})
    assert w.swarm.missions[MISSION].ending is None
    assert "no report of one" in w.swarm.boards[MISSION].refusal
    queue.end(w.renew(), w.swarm.missions[MISSION], MissionState.EXHAUSTED, "no money")
    result = w.swarm.missions[MISSION].result
    assert result.endswith("The other.\n\nThe better.")
    assert "The bad one." not in result


def test_a_name_that_was_used_again_is_the_later_executives() -> None:
    w, (one, two) = _working("one", "two")
    w.report(one, "The first.")
    w.order("terminate", one.id)
    w.request("h1", "gone", segment=one.id, agents=1)
    for _ in range(2):
        w.reap()
    w.report(two, "The other.")
    w.carry(_charter("one"))
    again = next(e for e in w.swarm.executives(MISSION) if e.name == "one")
    assert again.id != one.id
    w.report(again, "The second.")
    w.carry({"motion": "deliver", "reason": "r", "reports": ["one"]})
    assert w.swarm.missions[MISSION].result == "The second."


def test_a_charter_replaces_two_executives_and_both_end() -> None:
    w, (one, two, three) = _working("one", "two", "three")
    w.report(one, "I need cli.md", done=False)
    _rests(w, "one")
    motion = _charter("better", "faster")
    for executive, ends in zip(motion["executives"], ("one", "two"), strict=True):
        executive["replaces"] = ends
    w.carry(motion)
    assert {one.id, two.id} <= set(w.swarm.lineage.fences)
    assert three.id not in w.swarm.lineage.fences
    assert [e.name for e in w.swarm.executives(MISSION)][3:] == ["better", "faster"]


@pytest.mark.parametrize("replaced", ["nobody", "kid"])
def test_a_charter_that_replaces_what_is_no_executive_creates_nobody(replaced: str) -> None:
    w, (one, _) = _working("one", "two")
    kid = w.grow(one.id, "kid")
    w.report(one, "I need cli.md", done=False)
    _rests(w, "one", kid=DONE)
    target = kid.id if replaced == "kid" else replaced
    w.carry(_charter("better", replaces=target))
    assert [e.name for e in w.swarm.executives(MISSION)] == ["one", "two"]
    assert not w.swarm.lineage.fences


def test_what_is_there_is_delivered_when_the_rest_falls() -> None:
    w, (one, two) = _working("one", "two")
    w.report(one, "half of the answer")
    orphans.give_up(w.renew(), two, "its model failed")
    w.request("h1", "gone", segment=two.id, agents=1)
    for _ in range(2):
        w.reap()
    w.tick()
    assert _kinds(w) == [("ended", "two")]
    w.carry({"motion": "deliver", "reports": ["one"], "text": "Two is missing.", "reason": "r"})
    mission = w.swarm.missions[MISSION]
    assert (mission.ending, mission.result) == (
        MissionState.DELIVERED,
        "Two is missing.\n\nhalf of the answer",
    )


def test_a_stalled_executive_calls_the_board_and_a_stalled_sub_agent_past_twice_the_time() -> None:
    w, (one, _) = _working("one", "two", stall_seconds=100.0)
    kid = w.grow(one.id, "kid")
    busy = Standing(is_done=False, is_busy=True)

    def judge(seconds: float, *idle: Agent) -> None:
        w.now += seconds
        due = [i for i in stalls.due(w.swarm, w.now) if i.agent.id in {a.id for a in idle}]
        stalls.judge(w.renew(), due, {a.id: busy for a in idle})
        w.tick()

    judge(101, kid)
    assert _is_working(w), "its executive is told first"
    judge(101, kid)
    assert _kinds(w) == [("stalled", "kid")]
    w.carry(_wait())
    judge(1, one)
    assert _kinds(w) == [("stalled", "one")]


def test_who_is_stopped_by_an_operator_is_no_cause_for_the_board() -> None:
    w, (one, _) = _working("one", "two")
    w.order("freeze", one.id)
    w.tick()
    assert _is_working(w)


# --- permission ---------------------------------------------------------------------------------


def _asks(w: World, by: Agent, key: str, taint: Sequence[str] = ("file",)) -> list[Change]:
    given = charter(key, "worker", files=["docs/a.md"]).model_dump(mode="json")
    w.swarm.observed.free[by.id] = dict.fromkeys(KINDS, 1_000)
    return w.request(by.id, "spawn", key=key, charter=given, taint=list(taint))


def test_tainted_requests_are_put_at_once_with_all_facts_and_answered_by_one_motion() -> None:
    w, (one, two) = _working("one", "two", taint=STRICT)
    _asks(w, one, "a")
    _asks(w, two, "b")
    w.tick()
    assert _kinds(w) == [("permission", "one"), ("permission", "two")]
    first, second = _items(w)
    facts = first["request"]
    assert (facts["role"], facts["tier"], facts["files"]) == ("worker", 2, ["docs"])
    assert facts["budget"]["tokens"] > 0
    assert "tool/file/read" in facts["privileges"]
    assert "after reading file" in facts["why"]
    assert first["tainted"] is True
    w.carry(
        {
            "motion": "act",
            "verb": "approve",
            "target": first["approval"],
            "also": [second["approval"]],
            "reason": "r",
        }
    )
    assert [c.name for e in (one, two) for c in w.swarm.lineage.children(e.id)] == ["a", "b"]
    assert not w.swarm.approvals
    assert _is_working(w)


def test_of_several_answers_all_are_given_or_none() -> None:
    w, (one, _) = _working("one", "two", taint=STRICT)
    _asks(w, one, "a")
    w.tick()
    (item,) = _items(w)
    motion = {"motion": "act", "verb": "approve", "target": item["approval"], "reason": "r"}
    w.carry(motion | {"also": ["ap-nobody"]})
    assert not w.swarm.lineage.children(one.id)
    assert item["approval"] in w.swarm.approvals


def test_what_takes_an_operator_calls_no_board_and_is_named_at_the_deadline() -> None:
    w, (one,) = _working(
        "one", taint=STRICT.model_copy(update={"permission": "operator"}), approval_seconds=9_999.0
    )
    _asks(w, one, "a")
    w.tick()
    assert _is_working(w)
    (approval,) = w.swarm.approvals
    w.tick(w.swarm.declared.limits.deadline_seconds + 1)
    reason = w.swarm.missions[MISSION].reason
    assert reason.startswith("deadline: ")
    assert f"swarmd approve {approval}" in reason
    assert "no result of the executive one" in reason


# --- an operator's word -------------------------------------------------------------------------


def _says(w: World, text: str, mission: str = MISSION) -> list[Change]:
    return w.hear(BOARD_ROOM, OPERATOR, Kind.SAY, {}, text=text, mission=mission)


def _answer(w: World, seat: str, kind: Kind = Kind.SAY, **data: Any) -> list[Change]:
    return w.hear(
        BOARD_ROOM, seat, kind, {"phase": "answer", **data}, text="I hear you", mission=MISSION
    )


@pytest.mark.parametrize("mission", [MISSION, ""], ids=["named", "the only one"])
def test_an_operators_word_calls_the_chair_at_once_in_mid_debate(mission: str) -> None:
    w = world()
    w.answer(MISSION, Kind.PROPOSAL, motion=_charter("one"))
    before = w.swarm.boards[MISSION]
    changes = _says(w, "Leave out the appendix.", mission)
    (call,) = _calls(changes)
    assert (call.to, call.mission, call.data["call"]["phase"]) == ("picard", MISSION, "answer")
    assert call.data["call"]["words"][0]["text"] == "Leave out the appendix."
    assert call.data["call"]["motion"]["motion"] == "charter"
    assert call.data["call"]["proposer"] == before.proposer
    rules = w.swarm.declared.board
    bounds = {name: call.data["call"][name] for name in ("motions_max", "falls_max")}
    assert bounds == {"motions_max": rules.motions_max, "falls_max": rules.falls_max}
    after = w.swarm.boards[MISSION]
    assert after.calls == before.calls, "the debate goes on"
    _answer(w, "picard")
    assert w.swarm.boards[MISSION].watch.answering is None
    assert not w.swarm.boards[MISSION].watch.is_unanswered


def test_every_seat_that_is_called_after_it_is_shown_the_word() -> None:
    w = world()
    w.answer(MISSION, Kind.PROPOSAL, motion=_charter("one"))
    _says(w, "Leave out the appendix.")
    (call,) = _calls(w.answer(MISSION, Kind.VOTE, choice="yes"))
    assert [word["text"] for word in call.data["call"]["words"]] == ["Leave out the appendix."]


def test_a_word_for_no_mission_or_one_of_several_is_nobodys() -> None:
    w = world()
    w.swarm.boards[MissionId("m2")] = w.swarm.boards[MISSION]
    assert _calls(_says(w, "which?", "")) == []
    assert _calls(_says(w, "gone", "m9")) == []
    assert len(_calls(_says(w, "this one"))) == 1


def test_words_that_come_while_a_seat_answers_are_asked_about_in_one_further_call() -> None:
    w, _ = _working("one")
    assert len(_calls(_says(w, "first"))) == 1
    assert _calls(_says(w, "second")) == []
    assert _calls(_says(w, "third")) == []
    (call,) = _calls(_answer(w, "picard"))
    assert [word["text"] for word in call.data["call"]["words"]] == ["first", "second", "third"]
    assert _calls(_answer(w, "picard")) == []


def test_a_motion_may_answer_an_operator_and_goes_before_the_board() -> None:
    w, (one,) = _working("one")
    _says(w, "Stop and deliver.")
    motion = {"motion": "direct", "to": one.id, "text": "stop", "reason": "the operator says so"}
    changes = _answer(w, "picard", Kind.PROPOSAL, motion=motion)
    procedure = w.swarm.boards[MISSION]
    assert procedure.in_review
    assert procedure.motion is not None
    assert procedure.motion.motion == "direct"
    assert [c.data["call"]["phase"] for c in _calls(changes)] == ["vote"], "it is proposed already"
    for _ in SEATS:
        w.answer(MISSION, Kind.VOTE, choice="yes")
    assert _is_working(w)


def test_a_motion_for_an_operator_waits_for_the_one_before_the_board() -> None:
    w = world()
    w.answer(MISSION, Kind.PROPOSAL, motion=_charter("one"))
    _says(w, "Stop.")
    motion = {"motion": "reject", "reason": "the operator says so"}
    changes = _answer(w, "picard", Kind.PROPOSAL, motion=motion)
    assert journal(changes, "seat.ignored")
    procedure = w.swarm.boards[MISSION]
    assert procedure.motion is not None
    assert procedure.motion.motion == "charter"


def test_a_silent_chair_is_followed_by_the_next_seat_and_at_last_the_room_is_told() -> None:
    w, _ = _working("one")
    _says(w, "Hello?")
    called = []
    for _ in SEATS:
        called.append(w.swarm.boards[MISSION].watch.answering)
        changes = w.tick(11)
    assert [a.seat for a in called if a is not None] == list(SEATS)
    assert any("No seat answered" in m.text for m in posts(changes, BOARD_ROOM))
    assert not w.swarm.boards[MISSION].watch.is_unanswered
    assert _calls(w.tick(11)) == []


def test_a_seat_that_fails_at_its_answer_is_followed_by_the_next() -> None:
    w, _ = _working("one")
    _says(w, "Hello?")
    changes = w.request("picard", "failed", detail="no model", mission=MISSION)
    assert [c.to for c in _calls(changes)] == ["socrates"]
    assert posts(changes, inbox(AgentId("socrates")))


def test_only_the_seat_that_is_asked_answers_for_the_board() -> None:
    w, _ = _working("one")
    _says(w, "Hello?")
    assert journal(_answer(w, "stark"), "seat.ignored")
    assert w.swarm.boards[MISSION].watch.answering is not None


# --- what is kept -------------------------------------------------------------------------------


def test_the_boards_record_comes_back_with_what_was_put_and_said() -> None:
    w, (one, _) = _working("one", "two")
    w.report(one, "I need cli.md", done=False)
    _rests(w, "one")
    _says(w, "Hello?")
    procedure = w.swarm.boards[MISSION]
    assert procedure.watch.put
    assert procedure.watch.calls == {one.id: 1}
    assert BOARDS.decode(MISSION, BOARDS.encode(procedure)) == procedure


def test_causes_tell_kind_agent_task_and_detail_apart() -> None:
    base = agenda.Cause("blocker", AgentId("a-1"), "one", "w", 1.0, "task", "d")
    others = [
        agenda.Cause("resting", AgentId("a-1"), "one", "w", 1.0, "task", "d"),
        agenda.Cause("blocker", AgentId("a-2"), "one", "w", 1.0, "task", "d"),
        agenda.Cause("blocker", AgentId("a-1"), "one", "w", 1.0, "other", "d"),
        agenda.Cause("blocker", AgentId("a-1"), "one", "w", 1.0, "task", "e"),
    ]
    assert len({base.key, *(other.key for other in others)}) == 5
    later = agenda.Cause("blocker", AgentId("a-1"), "one", "else", 9.0, "task", "d")
    assert later.key == base.key


def test_the_board_itself_is_named_where_the_chair_is_called() -> None:
    w, _ = _working("one")
    (entry,) = journal(_says(w, "Hello?"), "board.called")
    assert entry.data["causes"][0]["kind"] == "word"
    assert entry.data["causes"][0]["agent"] == SOB
