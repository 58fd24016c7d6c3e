"""An executive that comes after others begins with their final reports, and nobody waits in
silence for it or for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from swarmd.core.board import agenda, following, standstill
from swarmd.core.board.standstill import REST_SECONDS
from swarmd.core.control import orphans, rest, stalls
from swarmd.core.control.stalls import Standing
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, MissionState
from swarmd.core.model.provenance import taint_of
from tests.core.swarm_builder import MISSION, World, journal, posts, world

AT_REST = Standing(is_done=False, is_busy=False)


def _charter(*executives: Mapping[str, Any]) -> dict[str, Any]:
    filled = [{"role": "manager", "task": f"do {e['name']}"} | dict(e) for e in executives]
    return {"motion": "charter", "reason": "r", "executives": filled}


def _a_writer_after_two(**limits: Any) -> tuple[World, Agent, Agent, Agent]:
    w = world(files=("docs", "src"), **limits)
    w.carry(
        _charter(
            {"name": "loss", "key": "l", "files": ["docs"]},
            {"name": "spend", "files": ["src"]},
            {"name": "writer", "after": ["l", "spend"]},
        )
    )
    loss, spend, writer = (w.place(e.id) for e in w.swarm.executives(MISSION))
    return w, loss, spend, writer


def _mail(changes: Sequence[Change], agent: Agent) -> list[Message]:
    return posts(changes, inbox(agent.id))


def _rest(w: World, *names: str) -> list[Change]:
    for _ in range(2):
        w.now += REST_SECONDS + 1
        found = rest.candidates(w.swarm, w.now)
        busy = Standing(is_done=False, is_busy=True)
        standings = {
            id: AT_REST if w.agent(id).name in names else busy
            for id in rest.asked_about(w.swarm, found)
        }
        rest.note(w.swarm, found, standings, w.now)
    return w.tick()


def test_it_begins_with_all_their_final_reports_and_its_charter_first() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    assert w.agent(writer.id).reason == "begins after loss, spend"
    changes = w.report(loss, "what is lost", citations=[])
    changes += w.report(spend, "half of it", done=False)
    changes += w.tick()
    assert not _mail(changes, writer), "one has not given its final report"
    assert w.swarm.boards[MISSION].stage == "working", "nobody is called to review a part"
    changes = w.report(spend, "what is spent")
    mail = _mail(changes, writer)
    assert [(m.kind, m.sender, m.text) for m in mail] == [
        (Kind.CHARTER, SOB, "do writer"),
        (Kind.REPORT, loss.id, "what is lost"),
        (Kind.REPORT, spend.id, "what is spent"),
    ]
    (entry,) = journal(changes, "agent.begins")
    assert (entry.data["agent"], entry.data["follows"]) == (writer.id, [loss.id, spend.id])
    assert not w.agent(writer.id).reason
    assert not _mail(w.tick(), writer), "once"


def test_what_the_reports_had_read_taints_the_mail() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    report = w.swarm.reports
    w.report(loss, "what is lost", taint=["mission"])
    changes = w.report(spend, "what is spent")
    _, first, second = _mail(changes, writer)
    assert set(taint_of(first)) == set(report[MISSION][loss.id].taint) != set()
    assert not taint_of(second)


def test_without_files_of_its_own_it_may_look_up_what_they_cite() -> None:
    w, _, _, writer = _a_writer_after_two()
    assert w.agent(writer.id).charter.files == ("docs", "src")  # type: ignore[union-attr]


@pytest.mark.parametrize("named", ["nobody", "writer", "later"])
def test_it_comes_after_nobody_but_those_before_it(named: str) -> None:
    w = world()
    changes = w.carry(_charter({"name": "writer", "after": [named]}, {"name": "later"}))
    assert not w.swarm.executives(MISSION)
    (fell,) = journal(changes, "motion.refused")
    assert f"writer: after {named}: no executive before it" in fell.text


def test_faults_of_several_executives_are_told_at_once() -> None:
    w = world(files=("docs",))
    changes = w.carry(
        _charter(
            {"name": "one", "files": ["dox"]},
            {"name": "two", "role": "nobody"},
            {"name": "three", "after": ["one"]},
        )
    )
    (fell,) = journal(changes, "motion.refused")
    assert fell.data["rule"] == "spawn.files"
    assert "one: not among the mission's files: dox" in fell.data["detail"]
    assert "; spawn.role: two: no role nobody" in fell.data["detail"]
    assert "three" not in fell.data["detail"], "its fault is that of one"


def test_it_may_come_after_an_executive_that_is_at_work() -> None:
    w, loss, spend, _ = _a_writer_after_two()
    w.report(loss, "I need a file", done=False)
    _rest(w, "loss")
    w.carry(_charter({"name": "critic", "after": ["spend"]}))
    critic = w.place(w.swarm.executives(MISSION)[-1].id)
    assert critic.name == "critic"
    assert [m.text for m in _mail(w.report(spend, "what is spent"), critic)] == [
        "do critic",
        "what is spent",
    ]


def test_whoever_takes_the_place_of_one_is_waited_for_in_its_place() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.report(loss, "I need a file", done=False)
    _rest(w, "loss")
    w.carry(_charter({"name": "better", "replaces": "loss"}))
    w.request("h1", "gone", segment=loss.id, agents=1)
    w.reap()
    changes = w.report(spend, "what is spent") + w.tick()
    assert not _mail(changes, writer)
    better = next(e for e in w.swarm.executives(MISSION) if e.name == "better")
    changes = w.report(better, "what is lost")
    assert [m.text for m in _mail(changes, writer)] == [
        "do writer",
        "what is lost",
        "what is spent",
    ]


def test_where_one_ends_without_a_result_the_board_decides_before_it_begins() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.report(loss, "what is lost")
    orphans.give_up(w.renew(), spend, "its model failed")
    w.request("h1", "gone", segment=spend.id, agents=1)
    changes = [change for _ in range(2) for change in w.reap()] + w.tick()
    assert [item["kind"] for item in w.swarm.boards[MISSION].agenda] == ["ended"]
    assert not _mail(changes, writer)
    changes = w.carry({"motion": "wait", "reason": "the writer says what is missing"})
    changes += w.tick()
    assert [m.text for m in _mail(changes, writer)] == ["do writer", "what is lost"]


def test_nobody_waits_in_silence_where_those_before_it_are_at_rest() -> None:
    w, *_ = _a_writer_after_two(stall_seconds=100.0)
    _rest(w, "loss", "spend")
    assert [(i["kind"], i["name"]) for i in w.swarm.boards[MISSION].agenda] == [
        ("resting", "loss"),
        ("resting", "spend"),
    ]


def test_it_is_neither_stalled_nor_at_rest_before_it_begins() -> None:
    w, loss, spend, writer = _a_writer_after_two(stall_seconds=100.0)
    w.now += 101
    assert writer.id not in [idler.agent.id for idler in stalls.due(w.swarm, w.now)]
    _rest(w, "writer")
    assert not [c for c in agenda.causes(w.swarm, MISSION, w.now) if c.agent == writer.id]
    w.report(loss, "a")
    w.report(spend, "b")
    assert standstill.is_under_way(w.swarm, MISSION, w.now)


def test_a_review_shows_the_writers_report_whole_and_of_the_others_the_beginning() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.report(loss, "lost " * 400)
    w.report(spend, "what is spent")
    changes = w.report(writer, "one text")
    call = next(c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL)
    shown = {r["name"]: r for r in call.data["call"]["reports"]}
    assert shown["writer"]["text"] == "one text"
    assert len(shown["loss"]["text"]) <= agenda.EXCERPT_CHARS
    assert shown["loss"]["within"] == shown["spend"]["within"] == "writer"
    w.carry({"motion": "deliver", "reports": ["writer"], "reason": "r"})
    mission = w.swarm.missions[MISSION]
    assert (mission.ending, mission.result) == (MissionState.DELIVERED, "one text")


def test_one_that_is_ended_before_it_begins_gets_no_mail() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.order("terminate", writer.id)
    changes = w.report(loss, "a") + w.report(spend, "b") + w.tick()
    assert not _mail(changes, writer)


def test_what_was_reported_before_a_directive_is_told_as_that() -> None:
    w = world()
    w.carry(_charter({"name": "one"}, {"name": "two"}))
    one, two = (w.place(e.id) for e in w.swarm.executives(MISSION))
    w.report(one, "I need cli.md", done=False)
    _rest(w, "one")
    w.carry({"motion": "direct", "to": "one", "text": "Read law.md instead.", "reason": "r"})
    w.report(two, "I need cli.md", done=False)
    shown, states = _review(_rest(w, "two"))
    assert shown == {"one": True, "two": False}
    assert states["one"] == "at work on what the board directed: “Read law.md instead.”"
    w.carry({"motion": "wait", "reason": "one is at work"})
    w.report(one, "half of it", done=False)
    shown, states = _review(_rest(w, "one", "two"))
    assert shown == {"one": False, "two": False}
    assert states["one"] == "has reported, not done"


def _review(changes: Sequence[Change]) -> tuple[dict[str, bool], dict[str, str]]:
    """Of the call for a review: which reports are from before a directive, and who does what."""
    call = next(c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL)
    facts = call.data["call"]
    shown = {r["name"]: bool(r["is_before_directive"]) for r in facts["reports"]}
    return shown, {charter["name"]: charter["state"] for charter in facts["charters"]}


# --- what a motion must not bring about ---------------------------------------------------------


def test_one_that_is_named_twice_is_one() -> None:
    w, _, spend, _ = _a_writer_after_two()
    _board_called(w)
    w.carry(_charter({"name": "critic", "after": ["spend", spend.id]}))
    critic = w.place(w.swarm.executives(MISSION)[-1].id)
    assert [m.text for m in _mail(w.report(spend, "spent"), critic)] == ["do critic", "spent"]


def _board_called(w: World) -> None:
    loss = next(e for e in w.swarm.executives(MISSION) if e.name == "loss")
    w.report(loss, "I need a file", done=False)
    _rest(w, "loss")


def test_whoever_comes_after_one_that_the_motion_replaces_comes_after_the_new_one() -> None:
    w, *_ = _a_writer_after_two()
    _board_called(w)
    w.carry(_charter({"name": "better", "replaces": "loss"}, {"name": "critic", "after": ["loss"]}))
    better, critic = w.swarm.executives(MISSION)[-2:]
    assert w.swarm.boards[MISSION].watch.after[critic.id] == (better.id,)
    assert standstill.is_held_back(w.swarm, critic)


def test_no_motion_makes_executives_wait_for_each_other() -> None:
    w, *_ = _a_writer_after_two()
    _board_called(w)
    changes = w.carry(_charter({"name": "better", "replaces": "loss", "after": ["writer"]}))
    (fell,) = journal(changes, "motion.refused")
    assert "would wait for each other" in fell.data["detail"]
    assert [e.name for e in w.swarm.executives(MISSION)] == ["loss", "spend", "writer"]


def test_what_it_hands_in_before_it_begins_is_not_taken() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.report(writer, "done early")
    changes = w.request(writer.id, "hand_in", result="done early", digest="d", checks=[])
    assert not standstill.is_done(w.swarm, writer)
    assert "these have not reported yet" in _mail(changes, writer)[-1].text
    w.report(loss, "a")
    assert _mail(w.report(spend, "b"), writer), "and it begins as it should"


def test_its_report_before_it_begins_is_none_to_review_and_it_is_not_directed() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.report(loss, "a")
    w.report(writer, "done early")
    assert not standstill.is_done(w.swarm, writer)
    w.report(spend, "I need a file", done=False)
    _rest(w, "spend")
    assert not following.worked_into(w.swarm, MISSION)
    changes = w.carry({"motion": "direct", "to": "writer", "text": "now", "reason": "r"})
    (fell,) = journal(changes, "motion.refused")
    assert "begins after loss, spend: it has yet to begin" in fell.data["detail"]


def test_nobody_comes_after_one_that_is_being_ended_or_waits_for_it() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.order("terminate", spend.id)
    w.report(loss, "I need a file", done=False)
    _rest(w, "loss")
    changes = w.carry(_charter({"name": "critic", "after": ["spend"]}))
    assert "after spend: no executive before it" in journal(changes, "motion.refused")[0].text
    w.carry({"motion": "wait", "reason": "r"})
    w.report(loss, "a")
    assert not standstill.is_held_back(w.swarm, writer), "spend is no longer waited for"


def test_while_the_writer_has_not_reported_the_others_reports_are_shown_whole() -> None:
    w, loss, spend, writer = _a_writer_after_two()
    w.report(loss, "lost " * 400)
    w.report(spend, "what is spent")
    w.report(writer, "I need a file", done=False)
    changes = _rest(w, "writer")
    call = next(c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL)
    shown = {r["name"]: r for r in call.data["call"]["reports"]}
    assert shown["loss"]["text"] == "lost " * 400


def test_who_has_yet_to_begin_does_not_go_on_by_itself() -> None:
    w, *_ = _a_writer_after_two()
    _rest(w, "loss", "spend")
    assert not standstill.is_under_way(w.swarm, MISSION, w.now)
