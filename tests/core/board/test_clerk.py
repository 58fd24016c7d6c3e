"""The clerk: what a carried motion does, what the law makes of a lawless one, and who is heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from swarmd.core.missions import queue
from swarmd.core.missions.intake import MissionRequest
from swarmd.core.model.changes import AgentMade, Change, MissionSet, Post, RightsSet
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, down, inbox
from swarmd.core.model.charter import FILES_MAX
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, AgentId, AgentState, Channel, MissionId, MissionState
from swarmd.core.model.records import Spawned
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import BOARDS, FENCES, Put
from swarmd.core.tree.spawn import made
from tests.core.swarm_builder import MISSION, SEATS, World, charter, journal, posts, puts, world

OTHER = MissionId("m2")


def _charter(*executives: Mapping[str, Any]) -> dict[str, Any]:
    whole = [
        {"key": f"k{n}", "role": "manager", "name": f"e{n}", "task": "t", **e}
        for n, e in enumerate(executives)
    ]
    return {"motion": "charter", "reason": "because", "executives": whole}


def _direct(to: str, *files: str) -> dict[str, Any]:
    motion = {"motion": "direct", "to": to, "text": "once more", "reason": "because"}
    return motion | ({"files": list(files)} if files else {})


def _terminate(agent: str) -> dict[str, Any]:
    return {"motion": "act", "verb": "terminate", "target": agent, "reason": "because"}


def _deliver(*reports: str, text: str = "") -> dict[str, Any]:
    return {"motion": "deliver", "reports": list(reports), "text": text, "reason": "complete"}


def _working(**limits: Any) -> tuple[World, Agent]:
    """A mission with one executive at work."""
    w = world(board={"missions_at_once": 2}, **limits)
    w.carry(_charter({"name": "top"}))
    (top,) = w.swarm.executives(MISSION)
    return w, w.place(top.id)


def _in_review() -> tuple[World, Agent]:
    w, top = _working()
    w.report(top, "what top found")
    assert w.swarm.boards[MISSION].in_review
    return w, top


def _another_mission(w: World) -> Agent:
    queue.admit(w.renew(), MissionRequest(mission="Other.", id=OTHER), files=("docs",))
    w.tick()
    spawned = w.ask(SOB, charter("foreigner"), mission=OTHER)
    assert isinstance(spawned, Spawned)
    w.renew().add(*made(w.swarm, spawned, w.moment))
    return w.place(spawned.agent.id)


# --- calling ----------------------------------------------------------------------------------


def test_one_seat_is_called_at_a_time_in_its_inbox_with_mission_motion_and_phase() -> None:
    w = world()
    (called,) = w.swarm.boards[MISSION].called
    changes = w.answer(MISSION, Kind.PROPOSAL, motion=_charter({}))
    calls = [c.message for c in changes if isinstance(c, Post) and c.message.kind is Kind.CALL]
    assert len(calls) == 1
    assert (calls[0].to,) == w.swarm.boards[MISSION].called
    assert (calls[0].mission, calls[0].hops) == (MISSION, 0)
    assert calls[0].data["call"]["phase"] == "vote"
    assert calls[0].data["call"]["motion_number"] == 1
    assert called == "picard"


def test_what_happens_before_the_board_is_said_in_its_room() -> None:
    w = world()
    said = [message.text for message in posts(w.carry(_charter({})), BOARD_ROOM)]
    assert said[0].startswith("Motion 1, proposed by picard: charter")
    assert said[1].startswith("Motion 1 is carried")


# --- who is heard -----------------------------------------------------------------------------


def _vote(w: World, sender: str, **otherwise: Any) -> list[Change]:
    data = {"motion_number": 1, "choice": "yes"}
    given = {"mission": MISSION, "text": "yes"} | otherwise
    return w.hear(BOARD_ROOM, sender, Kind.VOTE, data, **given)


def _before_the_vote() -> World:
    w = world()
    w.answer(MISSION, Kind.PROPOSAL, motion=_charter({}))
    assert w.swarm.boards[MISSION].stage == "vote"
    return w


def test_only_a_seat_votes() -> None:
    w = _before_the_vote()
    top = w.grow(SOB, "top")
    for sender in ("operator", "clerk", "sob", top.id, "nobody"):
        assert _vote(w, sender) == []
    assert w.swarm.boards[MISSION].ballots == ()


def test_a_seat_that_is_not_called_is_recorded_and_ignored() -> None:
    w = _before_the_vote()
    (entry,) = journal(_vote(w, "stark"), "seat.ignored")
    assert entry.data["actor"] == "stark"
    assert w.swarm.boards[MISSION].ballots == ()


def test_a_former_incarnation_of_a_seat_is_refused_by_name_and_does_not_vote() -> None:
    w = _before_the_vote()
    changes = _vote(w, "picard", incarnation=2)
    assert [entry.data["rule"] for entry in journal(changes, "message.refused")] == [
        Rule.INCARNATION
    ]
    assert len(changes) == 1
    assert w.swarm.boards[MISSION].ballots == ()


def test_a_vote_for_a_mission_that_is_not_before_the_board_does_nothing() -> None:
    assert _vote(_before_the_vote(), "picard", mission="m9") == []


@pytest.mark.parametrize(
    "motion", [None, 5, {}, {"motion": "dance"}, {"motion": "deliver", "reason": "r"}]
)
def test_a_proposal_that_is_no_motion_costs_the_seat_its_turn_and_nothing_else(motion: Any) -> None:
    w = world()
    w.answer(MISSION, Kind.PROPOSAL, motion=motion)
    procedure = w.swarm.boards[MISSION]
    assert (procedure.stage, procedure.called) == ("propose", ("socrates",))


# --- carried motions --------------------------------------------------------------------------


def test_a_charter_makes_all_its_executives_in_one_commit() -> None:
    w = world()
    changes = w.carry(_charter({"budget": {"tokens": 100}}, {}, {}))
    made_ones = [change.agent for change in changes if isinstance(change, AgentMade)]
    assert [(a.name, a.tier, a.parent) for a in made_ones] == [
        ("e0", 1, SOB),
        ("e1", 1, SOB),
        ("e2", 1, SOB),
    ]
    assert w.swarm.missions[MISSION].state is MissionState.WORKING


@pytest.mark.parametrize(("number", "share"), [(1, 72_000), (2, 36_000), (4, 17_600), (6, 12_000)])
def test_executives_of_one_motion_get_equal_shares_however_many_they_are(
    number: int, share: int
) -> None:
    w = world()
    w.carry(_charter(*({} for _ in range(number))))
    assert [w.swarm.observed.free[e.id]["tokens"] for e in w.swarm.executives(MISSION)] == [
        share
    ] * number


def test_a_direction_reaches_the_executive_and_opens_its_report_again() -> None:
    w, top = _in_review()
    changes = w.carry(_direct("top"))
    (directive,) = posts(changes, down(SOB))
    assert (directive.to, directive.text) == (top.id, "once more")
    assert not w.swarm.reports[MISSION][top.id].is_done
    assert w.swarm.boards[MISSION].stage == "working"
    w.report(top, "better")
    assert w.swarm.boards[MISSION].stage == "propose"


def _reader_in_review(*files: str) -> tuple[World, Agent]:
    """An executive with these files of a mission's two folders, and the right to read in one."""
    w = world(files=("docs", "notes", "keys"))
    w.carry(_charter({"name": "top", "files": list(files)}))
    (top,) = w.swarm.executives(MISSION)
    placed = w.place(top.id)
    rights = (*placed.privileges, "file/docs/**", "file/notes/**")
    w.renew().add(RightsSet(replace(placed, privileges=rights)))
    w.report(placed, "what top found")
    return w, w.swarm.lineage.agents[top.id]


def _files_of(w: World, agent: Agent) -> tuple[str, ...]:
    found = w.swarm.lineage.agents[agent.id].charter
    assert found is not None
    return found.files


def test_a_direction_hands_over_further_files_and_its_host_reads_the_charter_anew() -> None:
    w, top = _reader_in_review("docs/a.md")
    changes = w.carry(_direct("top", "notes/b.md", "docs/a.md", "docs/c.md"))
    assert _files_of(w, top) == ("docs/a.md", "notes/b.md", "docs/c.md")
    assert w.swarm.lineage.agents[top.id].lease == top.lease + 1
    (directive,) = posts(changes, down(SOB))
    assert directive.data["files"] == ["notes/b.md", "docs/a.md", "docs/c.md"]
    child = w.ask(top.id, charter("kid", role="worker", files=("notes/b.md",)))
    assert isinstance(child, Spawned), "they are its own, to pass on as well"


@pytest.mark.parametrize("files", [("docs/b.md",), ("docs",)])
def test_a_direction_that_names_what_the_executive_has_changes_no_charter(
    files: tuple[str, ...],
) -> None:
    w, top = _reader_in_review("docs")
    w.carry(_direct("top", *files))
    assert (_files_of(w, top), w.swarm.lineage.agents[top.id].lease) == (("docs",), top.lease)


@pytest.mark.parametrize(
    ("file", "rule", "detail"),
    [
        ("secret/a.md", Rule.SPAWN_FILES, "not among the mission's files: secret/a.md"),
        ("keys/a.md", Rule.PRIVILEGE_USE, "top may not read keys/a.md"),
    ],
)
def test_no_file_of_another_place_and_none_that_it_may_not_read_is_handed_over(
    file: str, rule: Rule, detail: str
) -> None:
    w, top = _reader_in_review("docs")
    changes = w.carry(_direct("top", "notes", file))
    (refused,) = journal(changes, "motion.refused")
    assert (refused.data["rule"], refused.data["detail"]) == (rule, detail)
    assert _files_of(w, top) == ("docs",)
    assert w.swarm.reports[MISSION][top.id].is_done, "nothing of it is done"
    assert not posts(changes, down(SOB))


def test_no_more_files_than_a_charter_has_are_handed_over() -> None:
    held = [f"docs/{n}.md" for n in range(FILES_MAX)]
    w, top = _reader_in_review(*held)
    (refused,) = journal(w.carry(_direct("top", "notes/a.md")), "motion.refused")
    assert refused.data["detail"] == "top would have 513 files: name a folder"
    assert _files_of(w, top) == tuple(held)


def test_the_board_ends_a_sub_agent_of_its_mission() -> None:
    w, top = _working()
    low = w.grow(top.id, "low")
    w.report(top, "found")
    w.carry(_terminate(low.id))
    assert set(w.swarm.lineage.fences) == {low.id}


def test_a_delivery_is_the_text_and_then_the_reports_in_the_order_named() -> None:
    w = world()
    w.carry(_charter({"name": "one"}, {"name": "two"}))
    for executive in w.swarm.executives(MISSION):
        w.report(executive, f"report of {executive.name}")
    w.carry(_deliver("two", "one", text="Summary."))
    mission = w.swarm.missions[MISSION]
    assert mission.ending is MissionState.DELIVERED
    assert mission.result == "Summary.\n\nreport of two\n\nreport of one"


def test_what_the_runtime_found_wrong_in_a_report_is_shown_to_the_board_and_delivered() -> None:
    w = world()
    w.carry(_charter({"name": "one"}, {"name": "two"}))
    one, two = w.swarm.executives(MISSION)
    w.report(one, "All of it.", citations={"right": 1, "wrong": ["a.md:9: the file has 6 lines"]})
    w.report(two, "The rest.", citations={"right": 2, "wrong": []})
    said = "1 of 2 citations have words of their claim in the cited lines; not so: a.md:9"
    (call,) = posts(w.changes, inbox(AgentId(w.swarm.boards[MISSION].called[0])))[-1:]
    shown = {report["agent"]: report["citations"] for report in call.data["call"]["reports"]}
    assert shown[one.id].startswith(said)
    assert shown[two.id].startswith("2 of 2")
    w.carry(_deliver("one", "two"))
    result = w.swarm.missions[MISSION].result
    assert f"All of it.\n\n[swarmd: of one's report, {said}" in result
    assert result.endswith("The rest.")


@pytest.mark.parametrize("state", [MissionState.EXHAUSTED, MissionState.FAILED])
def test_a_finished_report_is_not_lost_where_the_board_cannot_deliver_it(
    state: MissionState,
) -> None:
    w = world()
    w.carry(_charter({"name": "one"}, {"name": "two"}))
    one, two = w.swarm.executives(MISSION)
    w.report(one, "All of it.")
    w.report(two, "A part.", done=False)
    queue.end(w.renew(), w.swarm.missions[MISSION], state, "no money")
    result = w.swarm.missions[MISSION].result
    assert result == (
        f"[swarmd: not delivered by the board: {state.value}, no money]\n\nAll of it."
    )


def test_a_mission_that_an_operator_cancels_or_without_a_finished_report_has_no_result() -> None:
    for state, done in ((MissionState.CANCELLED, True), (MissionState.EXHAUSTED, False)):
        w = world()
        w.carry(_charter({"name": "one"}))
        (one,) = w.swarm.executives(MISSION)
        w.report(one, "found", done=done)
        queue.end(w.renew(), w.swarm.missions[MISSION], state, "why")
        assert w.swarm.missions[MISSION].result == ""


def test_a_rejection_ends_the_mission_with_its_reason() -> None:
    w = world()
    w.carry({"motion": "reject", "reason": "no files were given"})
    mission = w.swarm.missions[MISSION]
    assert (mission.ending, mission.reason) == (MissionState.REJECTED, "no files were given")


# --- lawless motions --------------------------------------------------------------------------

Lawless = tuple[Rule, Callable[[World], Mapping[str, Any]]]
CHARTERS: Mapping[str, Lawless] = {
    "role": (Rule.SPAWN_ROLE, lambda w: _charter({}, {"role": "worker"})),
    "unknown role": (Rule.SPAWN_ROLE, lambda w: _charter({}, {"role": "emperor"})),
    "privilege": (Rule.PRIVILEGE_FORBIDDEN, lambda w: _charter({}, {"privileges": ["no/x"]})),
    "everything": (Rule.PRIVILEGE_FORBIDDEN, lambda w: _charter({}, {"privileges": ["**"]})),
    "no path": (Rule.PRIVILEGE_SUBSET, lambda w: _charter({}, {"privileges": ["model/x **"]})),
    "budget": (Rule.BUDGET_SHARE, lambda w: _charter({}, {"budget": {"tokens": 80_000}})),
    "the board's part": (Rule.BUDGET_SHARE, lambda w: _charter({"budget": {"tokens": 80_001}})),
    "the root": (Rule.BUDGET_SHARE, lambda w: _charter({"budget": {"agents": 10**9}})),
    "same name": (Rule.SPAWN_NAME, lambda w: _charter({"name": "x"}, {"name": "x"})),
    "same key": (Rule.SPAWN_KEY, lambda w: _charter({"key": "x"}, {"key": "x"})),
    "files": (Rule.SPAWN_FILES, lambda w: _charter({}, {"files": ["/etc/passwd"]})),
}
REVIEWED: Mapping[str, Lawless] = {
    "terminate another mission's": (
        Rule.MISSION_OTHER,
        lambda w: _terminate(_another_mission(w).id),
    ),
    "terminate a seat": (Rule.MISSION_OTHER, lambda w: _terminate("socrates")),
    "terminate the board": (Rule.MISSION_OTHER, lambda w: _terminate("sob")),
    "terminate nobody": (Rule.UNKNOWN_AGENT, lambda w: _terminate("a-nobody")),
    "direct another mission's": (Rule.MISSION_OTHER, lambda w: _direct(_another_mission(w).id)),
    "direct nobody": (Rule.UNKNOWN_AGENT, lambda w: _direct("a-nobody")),
    "direct a sub-agent": (
        Rule.BOARD_MOTION,
        lambda w: _direct(w.grow(w.swarm.executives(MISSION)[0].id, "low").id),
    ),
    "deliver a report that is not there": (Rule.BOARD_MOTION, lambda w: _deliver("top", "nobody")),
    "charter a second of that name": (
        Rule.SPAWN_NAME,
        lambda w: _charter({"name": "top", "key": "other"}),
    ),
    "charter a second of that key": (
        Rule.SPAWN_KEY,
        lambda w: _charter({"key": "k0", "name": "other"}),
    ),
}


def _assert_nothing_but_words(changes: Sequence[Change], rule: Rule) -> None:
    """The board goes on deliberating; beyond that nothing is changed but the journal, which
    names the rule.
    """
    heard: set[Channel] = {BOARD_ROOM, JOURNAL} | {inbox(w) for w in SEATS}  # type: ignore[arg-type]  # seats are ids
    for change in changes:
        if isinstance(change, Post):
            assert change.channel in heard, change
        elif isinstance(change, MissionSet):
            assert change.mission.ending is None
            assert change.mission.state in (MissionState.DEBATING, MissionState.REVIEWING)
        else:
            assert isinstance(change, Put), change
            assert change.table is BOARDS
    (entry,) = journal(changes, "motion.refused")
    assert entry.data["rule"] == rule.value
    assert entry.data["actor"] == SOB
    assert entry.data["motion"]["motion"]


@pytest.mark.parametrize("case", CHARTERS)
def test_all_six_seats_for_a_lawless_charter_create_not_one_executive(case: str) -> None:
    rule, motion = CHARTERS[case]
    w = world(forbidden=("no/**",))
    free = {id: dict(amounts) for id, amounts in w.swarm.observed.free.items()}
    changes = w.carry(motion(w))
    _assert_nothing_but_words(changes, rule)
    assert w.swarm.executives(MISSION) == ()
    assert w.swarm.observed.free == free
    procedure = w.swarm.boards[MISSION]
    assert (procedure.stage, procedure.motion_number) == ("propose", 2)
    assert rule.value in procedure.refusal, "the seats are told the rule"


@pytest.mark.parametrize("case", REVIEWED)
def test_all_six_seats_for_a_lawless_motion_in_review_change_nothing(case: str) -> None:
    rule, motion = REVIEWED[case]
    w, _ = _in_review()
    lawless = motion(w)
    agents, fences = dict(w.swarm.lineage.agents), dict(w.swarm.lineage.fences)
    reports, free = (
        dict(w.swarm.reports[MISSION]),
        {id: dict(f) for id, f in w.swarm.observed.free.items()},
    )
    _assert_nothing_but_words(w.carry(lawless), rule)
    assert (w.swarm.lineage.agents, w.swarm.lineage.fences) == (agents, fences)
    assert (w.swarm.reports[MISSION], w.swarm.observed.free) == (reports, free)


def test_a_board_that_insists_on_the_forbidden_fails_its_mission_and_nothing_else() -> None:
    w = world(forbidden=("no/**",))
    for _ in range(3):
        w.carry(_charter({"privileges": ["no/x"]}))
    mission = w.swarm.missions[MISSION]
    assert mission.ending is MissionState.FAILED
    assert Rule.PRIVILEGE_FORBIDDEN in mission.reason


def test_an_executive_that_is_ending_is_not_directed() -> None:
    w, top = _in_review()
    w.order("terminate", top.id)
    _assert_nothing_but_words(w.carry(_direct(top.id)), Rule.ANCESTOR_ENDING)


# --- reports ----------------------------------------------------------------------------------


def test_the_board_reviews_when_every_living_executive_is_done() -> None:
    w = world()
    w.carry(_charter({"name": "one"}, {"name": "two"}))
    one, two = w.swarm.executives(MISSION)
    w.report(one, "found", done=True)
    w.report(two, "still at it", done=False)
    assert w.swarm.boards[MISSION].stage == "working"
    w.report(two, "found too")
    assert w.swarm.boards[MISSION].stage == "propose"
    (call,) = posts(w.changes, inbox(AgentId(w.swarm.boards[MISSION].called[0])))[-1:]
    assert [report["name"] for report in call.data["call"]["reports"]] == ["one", "two"]


def test_a_report_is_told_in_the_room_as_a_digest() -> None:
    w, top = _working()
    (digest, *_) = posts(w.report(top, "x" * 1_000), BOARD_ROOM)
    assert digest.kind is Kind.DIGEST
    assert len(digest.text) < 400


def test_only_executives_report_to_the_board() -> None:
    w, top = _working()
    low = w.grow(top.id, "low")
    for agent in (low, w.agent("picard"), replace(low, id=top.id + "x")):  # type: ignore[arg-type]  # nobody's id
        assert w.report(agent, "listen to me") == []
    assert not w.swarm.reports.get(MISSION)


def test_a_report_of_a_former_incarnation_is_refused() -> None:
    w, top = _working()
    w.swarm.lineage.put(replace(top, incarnation=2, state=AgentState.LIVE))
    changes = w.report(top, "old")
    assert [entry.data["rule"] for entry in journal(changes, "message.refused")] == [
        Rule.INCARNATION
    ]
    assert not w.swarm.reports.get(MISSION)


# --- time -------------------------------------------------------------------------------------


def test_silent_seats_abstain_and_without_a_motion_the_mission_fails() -> None:
    w = world()
    for _ in SEATS:
        w.tick(10)
    mission = w.swarm.missions[MISSION]
    assert mission.ending is MissionState.FAILED
    assert not any(fence.segment != MISSION for fence in puts(w.changes, FENCES))
