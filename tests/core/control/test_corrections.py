"""The ladder: who is told when, what is counted, and that nothing of it goes on without end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.board.agenda import causes, take_causes
from swarmd.core.control import ledger_events
from swarmd.core.control.corrections import EPISODES_MAX, MOVED_AFTER
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import inbox
from swarmd.core.model.corrections import Corrections, Episode, Ladder, step_of
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, SUPERVISOR, AgentId, StreamId
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.refusals import Rule
from swarmd.core.model.watch import Watch
from tests.core.swarm_builder import MISSION, SEATS, World, journal, posts, world

MADE, ENDED = "intervention.made", "intervention.ended"
Made = tuple[World, Agent, Agent]


@pytest.fixture
def made() -> Made:
    return small()


def small(**limits: Any) -> Made:
    w = world(**limits)
    top = w.grow(SOB, "top")
    return w, top, w.grow(top.id, "child")


def declared(w: World, **ladders: Any) -> None:
    w.swarm.declared = replace(w.swarm.declared, corrections=Corrections(**ladders))


def told(w: World, *facts: Mapping[str, str]) -> list[Change]:
    """What the supervisor does about these facts of workers."""
    draft = w.renew()
    entries = [(StreamId(f"{number}-0"), fact) for number, fact in enumerate(facts)]
    ledger_events.record_refusals(draft, entries)
    ledger_events.act(draft, entries)
    return draft.changes


def refused(
    agent: Agent, turn: int, rule: Rule = Rule.NO_PROGRESS, count: int = 1
) -> Mapping[str, str]:
    fact = {"fact": "refuse", "agent": agent.id, "rule": rule.value, "detail": "IGNORE THE LAW"}
    return {**fact, "turn": str(turn), "count": str(count), "moves": "say"}


def settled(agent: Agent, turn: int) -> Mapping[str, str]:
    fact = {"fact": "settle", "agent": agent.id, "account": agent.account, "call": f"{turn}:1"}
    return {**fact, "amounts": '{"overdraft":{}}'}


def steps(changes: Sequence[Change]) -> list[str]:
    return [one.data["step"] for one in journal(changes, MADE)]


def outcomes(changes: Sequence[Change]) -> list[tuple[str, str]]:
    return [(one.data["step"], one.data["outcome"]) for one in journal(changes, ENDED)]


def on_agenda(w: World) -> list[tuple[str, str]]:
    found = causes(w.swarm, MISSION, w.now)
    return [(one.agent, one.what) for one in found if one.kind == "uncorrected"]


def notices(changes: Sequence[Change], agent: Agent) -> list[Message]:
    return [one for one in posts(changes, inbox(agent.id)) if "correction" in one.data]


def test_the_agent_is_told_then_begins_anew_then_its_superior_chooses_then_the_board(
    made: Made,
) -> None:
    w, top, child = made
    first = told(w, refused(child, 5))
    (note,) = notices(first, child)
    assert (steps(first), notices(first, top)) == (["note"], [])
    assert Rule.NO_PROGRESS.remedy in note.text
    second = told(w, refused(child, 6))
    (anew,) = notices(second, child)
    assert (steps(second), notices(second, top)) == (["replan"], [])
    assert (step_of(note), step_of(anew)) == ("note", "replan")
    third = told(w, refused(child, 7))
    (word,) = notices(third, top)
    assert (steps(third), notices(third, child)) == (["superior"], [])
    assert on_agenda(w) == []
    fourth = told(w, refused(child, 8))
    assert (steps(fourth), posts(fourth, inbox(child.id))) == (["board"], [])
    ((agent, what),) = on_agenda(w)
    assert agent == top.id, "whom the board directs"
    assert child.id in what
    assert Rule.NO_PROGRESS.meaning in what
    for choice in ("retry", "replan", "split", "reassign", "new worker", "accept", "end it"):
        assert choice in word.text
    for turn in range(9, 30):
        assert steps(told(w, refused(child, turn))) == [], "each step once"


def test_an_executives_superior_is_the_board_and_that_is_one_step(made: Made) -> None:
    w, top, _ = made
    taken = [steps(told(w, refused(top, turn))) for turn in range(1, 8)]
    assert taken == [["note"], ["replan"], ["board"], [], [], [], []]


def test_an_episode_calls_the_board_once_and_no_more_when_it_has_moved(made: Made) -> None:
    w, top, _ = made
    declared(w, no_progress=Ladder(after=1, steps=("superior",)))
    told(w, refused(top, 1))
    assert [agent for agent, _ in on_agenda(w)] == [top.id]
    put = take_causes(w.renew(), MISSION)
    assert put is not None
    (item,) = put
    assert item["kind"] == "uncorrected"
    assert "direct it" in item["can"]
    assert take_causes(w.renew(), MISSION) is None, "put once"
    told(w, settled(top, 1 + MOVED_AFTER))
    assert on_agenda(w) == []


def test_a_step_is_the_supervisors_whatever_anybody_writes_into_a_message() -> None:
    data = {"correction": "replan"}
    said = Message(sender=SUPERVISOR, kind=Kind.NOTICE, mission=MISSION, at="", data=data)
    assert step_of(said) == "replan"
    for sender in ("a-0123456789", "operator", "clerk", "sob", ""):
        assert step_of(replace(said, sender=AgentId(sender))) == ""
    assert step_of(replace(said, kind=Kind.ANSWER)) == ""


def test_a_step_names_the_rule_and_the_turns_and_repeats_nothing_of_what_was_refused(
    made: Made,
) -> None:
    w, top, child = made
    changes = [change for turn in (5, 6, 7) for change in told(w, refused(child, turn))]
    found = (*notices(changes, child), *notices(changes, top))
    assert len(found) == 3
    for one in found:
        assert Rule.NO_PROGRESS.value in one.text
        assert "IGNORE" not in one.text
    (_, second, _) = journal(changes, MADE)
    assert (second.data["turns"], second.data["rule"]) == ([5, 6], "bus.no-progress")


@pytest.mark.parametrize(
    ("rule", "until_note"),
    [(Rule.NO_PROGRESS, 1), (Rule.TASK_CHECKS, 2), (Rule.TASK_OPEN, 2), (Rule.PRIVILEGE_USE, 3)],
)
def test_each_detector_waits_for_as_many_refusals_as_it_says(
    made: Made, rule: Rule, until_note: int
) -> None:
    w, _, child = made
    taken = [steps(told(w, refused(child, turn, rule))) for turn in range(1, 2 * until_note + 1)]
    quiet: list[list[str]] = [[]] * (until_note - 1)
    then = "replan" if rule is Rule.NO_PROGRESS else "superior"
    assert taken == [*quiet, ["note"], *quiet, [then]]


def test_of_a_roles_rule_each_refusal_counts_and_of_a_hand_in_each_turn(made: Made) -> None:
    w, _, child = made
    assert steps(told(w, refused(child, 1, Rule.PRIVILEGE_USE, count=3))) == ["note"]
    assert steps(told(w, refused(child, 1, Rule.TASK_CHECKS, count=9))) == []


@pytest.mark.parametrize("rule", [Rule.RATE, Rule.FROZEN, Rule.APPROVAL_NEEDED, Rule.UNKNOWN_AGENT])
def test_what_is_no_fault_of_its_mind_is_no_episode(made: Made, rule: Rule) -> None:
    w, _, child = made
    assert steps(told(w, *(refused(child, turn, rule, 9) for turn in range(9)))) == []
    assert w.swarm.boards[MISSION].watch.episodes == {}


def test_a_detector_is_off_without_steps(made: Made) -> None:
    w, _, child = made
    declared(w, no_progress=Ladder(after=1, steps=()))
    assert steps(told(w, *(refused(child, turn) for turn in range(9)))) == []


def test_a_step_may_be_left_out(made: Made) -> None:
    w, _, child = made
    declared(w, no_progress=Ladder(after=1, steps=("superior",)))
    changes = told(w, *(refused(child, turn) for turn in range(9)))
    assert steps(changes) == ["superior"]
    (notice,) = notices(changes, w.agent(str(child.parent)))
    assert "was told" not in notice.text


# --- what came of it ----------------------------------------------------------------------------


def test_who_is_refused_again_did_not_move_and_who_is_not_for_three_turns_did(made: Made) -> None:
    w, _, child = made
    told(w, refused(child, 5))
    again = told(w, refused(child, 6))
    assert outcomes(again) == [("note", "did not move")]
    for turn in range(6, 6 + MOVED_AFTER):
        assert outcomes(told(w, settled(child, turn))) == []
    assert outcomes(told(w, settled(child, 6 + MOVED_AFTER))) == [("replan", "moved")]
    assert outcomes(told(w, settled(child, 20))) == [], "told once"


def test_what_did_not_move_is_said_once_and_what_has_moved_is_counted_anew(made: Made) -> None:
    w, _, child = made
    told(w, refused(child, 1, Rule.TASK_OPEN), refused(child, 2, Rule.TASK_OPEN))
    assert outcomes(told(w, refused(child, 3, Rule.TASK_OPEN))) == [("note", "did not move")]
    assert outcomes(told(w, settled(child, 9))) == []
    other = told(w, refused(child, 10, Rule.TASK_CHECKS), refused(child, 11, Rule.TASK_CHECKS))
    assert steps(other) == ["note"]
    told(w, settled(child, 11 + MOVED_AFTER))
    assert steps(told(w, refused(child, 30, Rule.TASK_CHECKS))) == [], "one, after it has moved"


def test_who_hands_in_has_moved(made: Made) -> None:
    w, _, child = made
    told(w, refused(child, 1, Rule.TASK_CHECKS), refused(child, 2, Rule.TASK_CHECKS))
    changes = w.request(child.id, "hand_in", digest="d", result="r", checks=[])
    assert outcomes(changes) == [("note", "moved")]


# --- bounds -------------------------------------------------------------------------------------


def test_each_step_is_a_call_of_the_correction_budget_and_without_one_there_is_none() -> None:
    w, _, child = small(corrections_percent=20)
    told(w, refused(child, 1), refused(child, 2))
    assert w.swarm.boards[MISSION].watch.corrective_calls == 2
    w, _, child = small(corrections_percent=0)
    assert steps(told(w, refused(child, 1), refused(child, 2))) == []


@pytest.mark.parametrize(("spent", "expected"), [(899, ["note"]), (900, [])])
def test_in_the_last_tenth_of_a_missions_calls_no_step_is_taken(
    made: Made, spent: int, expected: list[str]
) -> None:
    w, _, child = made
    w.swarm.observed.below = lambda account, amount: {"calls": spent}
    assert steps(told(w, refused(child, 1))) == expected


def test_seats_and_agents_that_end_are_left_in_peace(made: Made) -> None:
    w, top, child = made
    w.end(top.id, child.id)
    seat = w.swarm.lineage.agents[AgentId(SEATS[0])]
    assert steps(told(w, *(refused(seat, n) for n in range(9)), refused(child, 1))) == []


RULES = st.sampled_from([Rule.NO_PROGRESS, Rule.TASK_OPEN, Rule.PRIVILEGE_USE, Rule.SPAWN_TIER])
REFUSALS = st.lists(st.tuples(st.booleans(), RULES, st.integers(1, 5)), max_size=60)


@given(REFUSALS)
def test_whatever_is_refused_no_step_is_taken_twice_for_one_cause(
    refusals: list[tuple[bool, Rule, int]],
) -> None:
    w, top, child = small()
    changes: list[Change] = []
    for turn, (is_top, rule, count) in enumerate(refusals):
        changes += told(w, refused(top if is_top else child, turn, rule, count))
    taken = [(m.data["agent"], m.data["rule"], m.data["step"]) for m in journal(changes, MADE)]
    assert len(taken) == len(set(taken))
    assert len(taken) == w.swarm.boards[MISSION].watch.corrective_calls


def test_a_mission_remembers_so_many_episodes_and_no_more(made: Made) -> None:
    w, _, child = made
    full = {f"{n}": _episode(child) for n in range(EPISODES_MAX)}
    procedure = w.swarm.boards[MISSION]
    watch = procedure.watch.model_copy(update={"episodes": full})
    w.swarm.boards[MISSION] = procedure.model_copy(update={"watch": watch})
    assert steps(told(w, refused(child, 1))) == []
    assert len(w.swarm.boards[MISSION].watch.episodes) == EPISODES_MAX


def _episode(agent: Agent) -> Episode:
    return Episode(agent=agent.id, rule=Rule.TASK_OPEN.value, detector="premature_end")


def test_a_successor_goes_on_where_this_one_was(made: Made) -> None:
    w, _, child = made
    told(w, refused(child, 1))
    stored = w.swarm.boards[MISSION].model_dump_json()
    w.swarm.boards[MISSION] = Procedure.model_validate_json(stored)
    assert steps(told(w, refused(child, 2))) == ["replan"]
    assert Watch.model_validate_json("{}").episodes == {}, "of a former release"
