"""The clerk with the short procedure: the law asked first, seats called at once, calls closed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from swarmd.core.board.events import Judged, Proposed
from swarmd.core.board.judging import judged
from swarmd.core.journal.motions import MotionsJudged
from swarmd.core.journal.replay import Link, State
from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, inbox
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.motions import MOTION
from swarmd.core.model.names import OPERATOR, AgentId, MissionId, MissionState, StreamId
from swarmd.core.model.refusals import Rule
from tests.core.swarm_builder import MISSION, SEATS, World, journal, posts, world

BRISK = {"procedure": "brisk", "quorum": "majority"}
OTHER = MissionId("m2")


def charter(name: str = "top", role: str = "manager", **more: Any) -> dict[str, Any]:
    executive = {"key": "k", "role": role, "name": name, "task": "t", **more}
    return {"motion": "charter", "reason": "because", "executives": [executive]}


def propose(w: World, motion: Mapping[str, Any]) -> list[Change]:
    return w.answer(MISSION, Kind.PROPOSAL, motion=dict(motion))


def answers(w: World, stance: str = "consent") -> list[Change]:
    changes: list[Change] = []
    for _ in w.swarm.boards[MISSION].called:
        changes += w.answer(MISSION, Kind.ARGUMENT, stance=stance)
    return changes


def vote(w: World) -> list[Change]:
    changes: list[Change] = []
    for _ in w.swarm.boards[MISSION].called:
        changes += w.answer(MISSION, Kind.VOTE, choice="yes")
    return changes


def working() -> tuple[World, Agent]:
    w = world(board=BRISK)
    propose(w, charter())
    answers(w)
    (top,) = w.swarm.executives(MISSION)
    return w, w.place(top.id)


def reviewing() -> tuple[World, Agent]:
    w, top = working()
    w.report(top, "what top found")
    return w, top


def calls(changes: list[Change]) -> dict[str, Message]:
    return {
        seat: message
        for seat in SEATS
        for message in posts(changes, inbox(AgentId(seat)))
        if message.kind is Kind.CALL
    }


def test_all_other_seats_are_called_at_once_with_the_very_same_call() -> None:
    w = world(board=BRISK)
    called = calls(propose(w, charter()))
    assert list(called) == list(SEATS[1:])
    asked = [message.data["call"] for message in called.values()]
    assert all(call == asked[0] for call in asked)
    assert asked[0]["is_at_once"]
    assert sorted(message.data["attempt"] for message in called.values()) == [2, 3, 4, 5, 6]


def test_a_motion_that_all_consent_to_is_executed_with_the_last_consent() -> None:
    w, top = working()
    assert (top.name, w.swarm.boards[MISSION].stage) == ("top", "working")


# --- what the law says first ------------------------------------------------------------------

LAWLESS = {
    "a budget beyond the share": (charter(budget={"tokens": 90_000}), Rule.BUDGET_SHARE),
    "a misspelt file": (charter(files=["dox"]), Rule.SPAWN_FILES),
    "an unknown role": (charter(role="wizard"), Rule.SPAWN_ROLE),
    "a role of another tier": (charter(role="worker"), Rule.SPAWN_ROLE),
}


@pytest.mark.parametrize("case", LAWLESS)
def test_what_execution_would_refuse_goes_back_with_the_rule_and_nothing_is_done(
    case: str,
) -> None:
    motion, rule = LAWLESS[case]
    w = world(board=BRISK)
    called = calls(propose(w, motion))
    assert list(called) == [SEATS[0]], "the proposer again"
    assert called[SEATS[0]].data["call"]["correction"].startswith(f"refused by {rule}: ")
    assert not w.swarm.executives(MISSION)
    assert not journal(w.changes, "motion.refused")


@pytest.mark.parametrize(
    ("motion", "rule"),
    [
        ({"motion": "direct", "to": "nobody", "text": "go on", "reason": "r"}, Rule.UNKNOWN_AGENT),
        (
            {"motion": "direct", "to": "top", "text": "go on", "files": ["dox"], "reason": "r"},
            Rule.SPAWN_FILES,
        ),
        ({"motion": "deliver", "reports": ["nobody"], "reason": "r"}, Rule.BOARD_MOTION),
        (
            {"motion": "act", "verb": "terminate", "target": "a-9", "reason": "r"},
            Rule.UNKNOWN_AGENT,
        ),
        (charter("top"), Rule.SPAWN_NAME),
    ],
)
def test_in_a_review_as_well(motion: Mapping[str, Any], rule: Rule) -> None:
    w, _ = reviewing()
    (call,) = calls(propose(w, motion)).values()
    assert call.data["call"]["correction"].startswith(f"refused by {rule}")


def test_a_call_shows_the_reports_that_are_there_when_it_is_made_and_not_when_the_review_began() -> (
    None
):
    w, top = working()
    w.report(top, "half of it", done=False)
    w.swarm.observed.resting[top.id] = w.now - 60
    w.tick()
    assert w.swarm.boards[MISSION].phase == "review"
    w.report(top, "all of it")
    (again,) = calls(propose(w, {"motion": "wait", "reason": "top is at work"})).values()
    assert "nobody works" in again.data["call"]["correction"]
    assert [report["text"] for report in again.data["call"]["reports"]] == ["all of it"]
    for call in calls(
        propose(w, {"motion": "deliver", "reports": ["top"], "reason": "r"})
    ).values():
        assert [report["text"] for report in call.data["call"]["reports"]] == ["all of it"]


def motions_about(agent: str) -> list[dict[str, Any]]:
    verbs = ("approve", "deny", "drain", "freeze", "fund", "grant", "halt", "revoke", "terminate")
    act: dict[str, Any] = {"motion": "act", "target": agent, "reason": "r"}
    more: dict[str, dict[str, Any]] = {
        "fund": {"amounts": {"tokens": 5}},
        "grant": {"privilege": "room/hall/say"},
    }
    more["revoke"] = more["grant"]
    return [
        *(act | {"verb": verb} | more.get(verb, {}) for verb in (*verbs, "thaw")),
        {"motion": "override", "kind": "task", "target": agent, "text": "x", "reason": "r"},
        {"motion": "override", "kind": "spawn", "target": agent, "reason": "r"},
        {"motion": "override", "kind": "reverse", "target": "o-1", "reason": "r"},
        {"motion": "direct", "to": agent, "text": "go on", "reason": "r"},
        {"motion": "deliver", "text": "all", "reason": "r"},
        {"motion": "reject", "reason": "r"},
        charter("second"),
    ]


@pytest.mark.parametrize("index", range(len(motions_about("x"))))
def test_a_dry_decision_says_what_the_real_one_would_and_changes_nothing(index: int) -> None:
    w, top = reviewing()
    motion = MOTION.validate_python(motions_about(top.id)[index])
    before = copy.deepcopy(w.swarm)
    procedure = w.swarm.boards[MISSION]
    event = Proposed(procedure.called[0], procedure.motion_number, motion)
    found = judged(w.renew(), MISSION, procedure, event)
    assert w.changes == []
    assert w.swarm == before
    assert isinstance(found, Proposed)
    is_refused = isinstance(found.judged, Judged) and not found.judged.asks
    propose(w, motion.model_dump(mode="json"))
    if is_refused:
        assert w.swarm.boards[MISSION].correction
        return
    if w.swarm.boards[MISSION].stage == "propose":
        propose(w, motion.model_dump(mode="json"))  # it takes permission, and is meant
    assert not journal(answers(w), "motion.refused")


# --- what goes down ---------------------------------------------------------------------------


def test_what_the_proposer_accepts_is_handed_down_with_the_charter() -> None:
    w = world(board=BRISK)
    propose(w, charter())
    w.answer(MISSION, Kind.ARGUMENT, stance="argue")
    answers(w)
    w.answer(MISSION, Kind.RESPONSE, decision="keep", accepts=["socrates"])
    vote(w)
    (top,) = w.swarm.executives(MISSION)
    assert top.charter is not None
    assert top.charter.mind == ("socrates: so be it",)


def test_an_amended_motion_is_what_is_executed() -> None:
    w = world(board=BRISK)
    propose(w, charter("first"))
    answers(w, "argue")
    changed = charter("second")
    w.answer(MISSION, Kind.RESPONSE, decision="amend", motion=changed, accepts=[])
    vote(w)
    assert [agent.name for agent in w.swarm.executives(MISSION)] == ["second"]


def test_a_response_whose_motion_cannot_be_read_is_a_failure_of_its_seat() -> None:
    w = world(board=BRISK)
    propose(w, charter())
    answers(w, "object")
    w.answer(MISSION, Kind.RESPONSE, decision="amend", motion={"motion": "dance"})
    assert w.swarm.boards[MISSION].phase == "vote"


def test_a_seat_is_told_in_brief_what_files_a_charter_gave_and_what_was_to_be_minded() -> None:
    w = world(board=BRISK)
    files, minds = [f"docs/{n}.md" for n in range(9)], ["At most 60 words.", "x" * 500]
    propose(w, charter(files=files, mind=minds))
    answers(w)
    (top,) = w.swarm.executives(MISSION)
    (call,) = calls(w.report(w.place(top.id), "found")).values()
    (told,) = call.data["call"]["charters"]
    assert told["files"] == files[:4]
    assert told["files_count"] == 9
    assert [len(mind) for mind in told["mind"]] == [17, 120]


def test_a_seat_is_told_the_charters_and_what_became_of_them() -> None:
    w, top = working()
    w.swarm.observed.spent[top.id] = {"tokens": 7}
    w.swarm.observed.free[top.id] = {"tokens": 3}
    (call,) = calls(w.report(top, "found")).values()
    (told,) = call.data["call"]["charters"]
    assert (told["name"], told["task"], told["state"]) == ("top", "t", "has reported, done")
    assert (told["spent"], told["left"]) == ({"tokens": 7}, {"tokens": 3})


# --- benches and closed calls -----------------------------------------------------------------


def test_a_mission_gets_the_bench_that_it_asks_for_and_no_larger_one_than_there_is() -> None:
    w = world(board=BRISK | {"missions_at_once": 3})
    queue.admit(w.renew(), MissionRequest(mission="Other.", id=OTHER, board=3), files=("docs",))
    w.tick()
    assert w.swarm.boards[OTHER].bench.seats == SEATS[:3]
    too_large = MissionRequest(mission="More.", id="m3", board=9)
    queue.admit(w.renew(), too_large, files=("docs",))
    (refused,) = journal(w.changes, "mission.rejected")
    assert "9 seats were asked for, and the board has 6" in refused.text


def closed(changes: list[Change]) -> list[tuple[str, int]]:
    return [
        (message.to, message.data["attempt"])
        for seat in SEATS
        for message in posts(changes, inbox(AgentId(seat)))
        if message.kind is Kind.CLOSED
    ]


def test_seats_that_are_silent_are_told_that_their_calls_are_closed() -> None:
    w = world(board=BRISK)
    propose(w, charter())
    for _ in range(3):
        w.answer(MISSION, Kind.ARGUMENT, stance="consent")
    assert closed(w.tick(11)) == [("aurelius", 5), ("stark", 6)]


def test_the_calls_of_a_mission_that_ends_are_closed() -> None:
    w = world(board=BRISK)
    propose(w, charter())
    changes = w.order("cancel", MISSION, reason="enough")
    assert len(closed(changes)) == 5
    assert w.swarm.missions[MISSION].ending is MissionState.CANCELLED


def test_a_hosts_word_that_a_request_went_out_starts_the_seats_time() -> None:
    w = world(board=BRISK)
    propose(w, charter())
    w.now += 9
    w.request("socrates", "sent", mission=MISSION, motion_number=1, attempt=2)
    w.tick(9)
    assert w.swarm.boards[MISSION].called == ("socrates",)


# --- the record -------------------------------------------------------------------------------


def audited(changes: list[Change], change: Mapping[str, Any] | None = None) -> list[str]:
    """What is wrong by the journal alone; `change` is put into each entry that has its fields."""
    motions, faults = MotionsJudged(), list[str]()
    for message in posts(changes, JOURNAL):
        data = dict(message.data)
        data |= {name: value for name, value in (change or {}).items() if name in data}
        link = Link(StreamId("1-0"), {"mission": message.mission}, data, "")
        faults += motions.entry(State(), link)
    return faults


def decided(stance: str, choice: str = "yes") -> list[Change]:
    w = world(board=BRISK | {"falls_max": 1})
    changes: list[Change] = []
    opened = Message(
        sender=AgentId("clerk"),
        kind=Kind.ENTRY,
        mission=MISSION,
        at="",
        text="",
        data={"event": "board.announced", "opened": MISSION},
    )
    changes.append(Post(JOURNAL, opened))
    changes += propose(w, charter())
    changes += answers(w, stance)
    if stance != "consent":
        changes += w.answer(MISSION, Kind.RESPONSE, decision="keep")
        for _ in w.swarm.boards[MISSION].called:
            changes += w.answer(MISSION, Kind.VOTE, choice=choice)
    return changes


@pytest.mark.parametrize(
    ("stance", "choice"), [("consent", "yes"), ("argue", "yes"), ("argue", "no")]
)
def test_what_was_decided_is_found_again_by_its_answers(stance: str, choice: str) -> None:
    assert audited(decided(stance, choice)) == []


def test_a_consent_that_was_no_quorum_is_found() -> None:
    changes = decided("consent")
    (fault,) = audited(changes, {"arguments": [{"seat": "stark", "stance": "consent", "text": ""}]})
    assert "told as carried" in fault
    assert "1 consented, 4 are a quorum" in fault


def test_an_objection_that_was_counted_as_consent_is_found() -> None:
    against = [{"seat": seat, "stance": "object", "text": "no"} for seat in SEATS[1:]]
    (fault,) = audited(decided("consent"), {"arguments": against})
    assert "by its answers it is not carried" in fault


def test_a_vote_of_somebody_without_a_seat_is_found() -> None:
    votes = [{"seat": f"x{n}", "choice": "yes", "reason": "r"} for n in range(6)]
    (fault,) = audited(decided("argue"), {"votes": votes})
    assert "x0 is counted and has no seat" in fault


def test_a_motion_that_was_executed_and_not_carried_is_found() -> None:
    assert audited(decided("consent"), {"carried": False})[-1].endswith(
        "was executed, and was not carried"
    )


# --- an operator's word in mid-debate -------------------------------------------------------------


def _say(w: World, text: str) -> list[Change]:
    return w.hear(BOARD_ROOM, OPERATOR, Kind.SAY, {}, text=text, mission=MISSION)


def test_a_motion_that_seats_consent_to_unheard_goes_back_to_its_proposer_with_the_word() -> None:
    w = world(board=BRISK)
    propose(w, charter())
    asked = calls(_say(w, "At most 60 words."))
    assert not asked[SEATS[0]].data["call"]["may_propose"]
    (call,) = calls(answers(w)).values()
    assert (call.to, call.data["call"]["phase"]) == (SEATS[0], "respond")
    word = {"seat": "operator", "stance": "argue", "text": "At most 60 words."}
    assert word in call.data["call"]["arguments"]
    w.answer(MISSION, Kind.RESPONSE, decision="keep", accepts=["operator"])
    vote(w)
    (top,) = w.swarm.executives(MISSION)
    assert top.charter is not None
    assert top.charter.mind == ("operator: At most 60 words.",)


def test_an_argument_that_is_longer_than_a_line_goes_down_cut() -> None:
    w = world(board=BRISK)
    propose(w, charter())
    _say(w, "x" * 4_000)
    answers(w)
    w.answer(MISSION, Kind.RESPONSE, decision="keep", accepts=["operator"])
    vote(w)
    (top,) = w.swarm.executives(MISSION)
    assert top.charter is not None
    assert [len(mind) for mind in top.charter.mind] == [2_000]
