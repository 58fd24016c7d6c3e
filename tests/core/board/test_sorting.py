"""An agenda of tainted requests only: the chair sorts it alone, and all else goes to the bench."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from swarmd.core.control import orphans
from swarmd.core.journal.motions import MotionsJudged
from swarmd.core.journal.replay import Link, State
from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.charter import KINDS
from swarmd.core.model.declarations import Taint
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, Authority, StreamId
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.refusals import Rule
from tests.core.board.test_hearing import charter as charter_motion
from tests.core.board.test_hearing import consent, propose
from tests.core.swarm_builder import MISSION, SEATS, World, charter, journal, posts, world

STRICT = Taint(actions=("inward", "widening", "outward"))
BRISK = {"procedure": "brisk", "quorum": "majority"}


def board(w: World) -> Procedure:
    return w.swarm.boards[MISSION]


def calls(changes: Sequence[Change]) -> list[Message]:
    return [c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL]


def working(**changed: Any) -> tuple[World, Agent, Agent]:
    w = world(board=BRISK | changed, taint=STRICT)
    propose(w, charter_motion("one", "two", files=["docs"]))
    consent(w)
    one, two = (w.place(executive.id) for executive in w.swarm.executives(MISSION))
    return w, one, two


def ask(w: World, by: Agent, key: str) -> None:
    given = charter(key, "worker", files=["docs/a.md"]).model_dump(mode="json")
    w.swarm.observed.free[by.id] = dict.fromkeys(KINDS, 1_000)
    w.request(by.id, "spawn", key=key, charter=given, taint=["file"])


def asked(*keys: str, **changed: Any) -> tuple[World, list[str], list[Change]]:
    """Tainted requests wait, and the board is called for nothing else."""
    w, one, two = working(**changed)
    for key, by in zip(keys, (one, two), strict=False):
        ask(w, by, key)
    changes = w.tick()
    return w, [str(item["approval"]) for item in board(w).agenda], changes


def sort(w: World, **named: Sequence[str]) -> list[Change]:
    motion = {"motion": "sort", "reason": "r"} | {name: list(ids) for name, ids in named.items()}
    return propose(w, motion)


def test_the_chair_is_called_alone_whoevers_turn_it_is_and_told_so() -> None:
    _, _, changes = asked("a")
    (call,) = calls(changes)
    assert (call.to, call.data["call"]["phase"]) == (SEATS[0], "review")
    assert call.data["call"]["is_for_chair"]


def test_one_call_of_one_seat_refuses_some_and_brings_others_before_a_person() -> None:
    w, (first, second), _ = asked("a", "b")
    changes = sort(w, deny=[first], refer=[second])
    assert board(w).stage == "working"
    assert not calls(changes)
    assert list(w.swarm.approvals) == [second]
    approval = w.swarm.approvals[second]
    assert approval.needs is Authority.OPERATOR
    assert not any(w.swarm.lineage.children(e.id) for e in w.swarm.executives(MISSION))
    (entry,) = journal(changes, "approval.requested")
    assert (entry.data["approval"], entry.data["needs"]) == (second, "operator")
    w.tick()
    assert board(w).stage == "working", "what is before a person is not put again"
    w.order("approve", second)
    w.tick()
    assert [
        c.name for e in w.swarm.executives(MISSION) for c in w.swarm.lineage.children(e.id)
    ] == ["b"]


def test_what_gives_anything_is_put_to_the_bench() -> None:
    w, (id,), _ = asked("a")
    changes = propose(w, {"motion": "act", "verb": "approve", "target": id, "reason": "r"})
    assert [call.to for call in calls(changes)] == list(SEATS[1:])
    consent(w)
    w.tick()
    assert w.swarm.approvals == {}


def test_a_sort_that_takes_a_persons_permission_is_put_to_the_bench() -> None:
    """Its proposer has read what nobody vouches for, and is told so before it may mean it."""
    w, (id,), _ = asked("a")
    motion = {"motion": "sort", "reason": "r", "deny": [id]}
    (again,) = calls(w.answer(MISSION, Kind.PROPOSAL, motion=motion, taint=["file"]))
    assert "needs an operator's permission" in again.data["call"]["correction"]
    changes = w.answer(MISSION, Kind.PROPOSAL, motion=motion, taint=["file"])
    assert board(w).phase == "debate"
    assert [call.to for call in calls(changes)] == list(SEATS[1:])


def test_each_request_is_sorted_or_the_sort_is_given_back() -> None:
    w, (first, second), _ = asked("a", "b")
    (call,) = calls(sort(w, deny=[first]))
    assert f"it names {second} neither way" in call.data["call"]["correction"]
    assert set(w.swarm.approvals) == {first, second}


@pytest.mark.parametrize(("way", "other"), [("deny", "refer"), ("refer", "deny")])
def test_of_what_does_not_wait_nothing_is_sorted(way: str, other: str) -> None:
    w, (first,), _ = asked("a")
    (call,) = calls(sort(w, **{way: ["ap-9"], other: [first]}))
    assert "approval.unknown" in call.data["call"]["correction"]
    assert w.swarm.approvals[first].needs is Authority.LINEAGE


def test_where_anything_else_is_on_the_agenda_a_sort_is_put_to_the_bench() -> None:
    w, one, two = working()
    ask(w, one, "a")
    orphans.hold(w.renew(), two, Rule.BUDGET_EXHAUSTED, "tokens: 40 needed, 2 free")
    w.tick()
    ids = [str(item["approval"]) for item in board(w).agenda if item["kind"] == "permission"]
    changes = sort(w, deny=ids)
    assert board(w).phase == "debate"
    assert len(calls(changes)) == len(SEATS) - 1


def test_another_cause_that_joins_takes_the_sort_from_the_chair() -> None:
    w, (id,), _ = asked("a")
    two = w.swarm.executives(MISSION)[1]
    orphans.hold(w.renew(), two, Rule.BUDGET_EXHAUSTED, "tokens: 40 needed, 2 free")
    propose(w, {"motion": "reject", "reason": "r"})  # given back: it has not seen that
    assert not board(w).is_for_chair
    sort(w, deny=[id])
    assert board(w).phase == "debate"


def test_a_silent_chair_is_followed_by_the_next_seat_whose_sort_is_put_to_the_bench() -> None:
    w, ids, _ = asked("a")
    (call,) = calls(w.tick(11))
    assert (call.to, call.data["call"]["is_for_chair"]) == (SEATS[1], False)
    sort(w, deny=ids)
    assert board(w).phase == "debate"


def test_results_of_all_executives_are_no_matter_for_the_chair_alone() -> None:
    w, one, two = working()
    w.report(two, "found")
    ask(w, one, "a")
    w.report(one, "found")
    assert board(w).agenda
    assert not board(w).is_for_chair


# --- the record -------------------------------------------------------------------------------


def audited(changes: Sequence[Change], **change: Any) -> list[str]:
    """By the journal alone; `change` is put into the motions that were announced."""
    motions, faults = MotionsJudged(), list[str]()
    opened = {"event": "board.announced", "opened": MISSION}
    first = Message(
        sender=AgentId("clerk"), kind=Kind.ENTRY, mission=MISSION, at="", text="", data=opened
    )
    for message in (first, *posts(changes, JOURNAL)):
        data = dict(message.data)
        if "motion" in data and data.get("motion_number"):
            data["motion"] = data["motion"] | change
        link = Link(StreamId("1-0"), {"mission": message.mission}, data, "")
        faults += motions.entry(State(), link)
    return faults


def decided() -> list[Change]:
    w = world(board=BRISK, taint=STRICT)
    changes = propose(w, charter_motion("one", "two", files=["docs"]))
    changes += consent(w)
    one = w.place(w.swarm.executives(MISSION)[0].id)
    ask(w, one, "a")
    changes += w.tick()
    changes += sort(w, deny=[str(board(w).agenda[0]["approval"])])
    return changes


def test_the_chairs_sort_is_found_again_by_the_journal() -> None:
    changes = decided()
    assert journal(changes, "motion.executed")
    assert audited(changes) == []


def test_any_other_motion_that_the_chair_alone_carried_is_found() -> None:
    (fault,) = audited(decided(), motion="act")
    assert fault == "motion 2 of mission m1 was decided by another bench than those before it"
