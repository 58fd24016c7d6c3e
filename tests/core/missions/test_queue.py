"""Missions as people hand them in: what is read, what is refused and why, how one begins and
ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.actions import stop
from swarmd.core.missions import queue
from swarmd.core.missions.intake import (
    MISSION_BYTES_MAX,
    MissionRequest,
    bounded,
    fields_of,
    parse_mission,
)
from swarmd.core.model.changes import AccountOpened, Change, MissionClosed, Post
from swarmd.core.model.channels import RESULTS
from swarmd.core.model.charter import AMOUNT_MAX, KINDS, NEEDED_KINDS
from swarmd.core.model.lineage import Stop, StopKind
from swarmd.core.model.messages import Message
from swarmd.core.model.names import SOB, Authority, MissionId, MissionState
from swarmd.core.model.records import ExecutiveReport
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import FENCES, REPORTS, Put
from tests.core.swarm_builder import LIMITS, MISSION, World, journal, posts, puts, world

MISSION_BUDGET = LIMITS.mission.model_dump()


def _parsed(text: str) -> MissionRequest | str:
    """As it comes in at the entrance."""
    return parse_mission(fields_of(text))


# --- reading ----------------------------------------------------------------------------------


def test_bare_text_is_the_mission() -> None:
    request = _parsed("  Find out what is so.\nAll of it.")
    assert isinstance(request, MissionRequest)
    assert request.mission == "  Find out what is so.\nAll of it."
    assert (request.id, request.budget, request.files, request.deadline_s) == ("", {}, (), None)


def test_an_object_has_the_fields_of_the_stream() -> None:
    whole = {
        "mission": "find",
        "id": "m_1-X",
        "budget": {"tokens": 5},
        "deadline_s": 1.5,
        "files": ["a/b", "c"],
        "board": 3,
    }
    for text in (json.dumps(whole), "  \n" + json.dumps(whole)):
        request = _parsed(text)
        assert isinstance(request, MissionRequest)
        assert request.model_dump(mode="json") == whole


def test_the_stream_and_the_entrance_read_the_same() -> None:
    fields = {
        "mission": "find",
        "id": "x",
        "budget": '{"calls": 3}',
        "deadline_s": "60",
        "files": '["a"]',
        "board": "all",
    }
    entrance = {
        "mission": "find",
        "id": "x",
        "budget": {"calls": 3},
        "deadline_s": 60,
        "files": ["a"],
        "board": "all",
    }
    assert parse_mission(fields) == _parsed(json.dumps(entrance))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"mission": "x"',
        "{not json}",
        '{"mission": "x"} and more',
        "{}",
        "{" * 100_000,
        '{"mission": 5}',
        '{"mission": null}',
        '{"mission": ["x"]}',
        '{"mission": {"a": 1}}',
        '{"mission": true}',
        '{"mission": "x", "id": 7}',
        '{"mission": "x", "id": null}',
    ],
)
def test_what_starts_with_a_brace_must_be_an_object_of_the_fields(text: str) -> None:
    fault = _parsed(text)
    assert isinstance(fault, str)
    assert "JSON object" in fault


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t", '{"mission": ""}', '{"mission": "  "}', '{"id": "x"}']
)
def test_an_empty_mission_is_refused(text: str) -> None:
    fault = _parsed(text)
    assert isinstance(fault, str)
    assert "empty" in fault


@pytest.mark.parametrize(
    "text", ["a" * (MISSION_BYTES_MAX + 1), "\u00e9" * (MISSION_BYTES_MAX // 2 + 1)]
)
def test_a_huge_mission_is_refused_by_its_bytes(text: str) -> None:
    fault = _parsed(text)
    assert isinstance(fault, str)
    assert "1,000,000 bytes" in fault
    assert isinstance(_parsed("a" * MISSION_BYTES_MAX), MissionRequest)


@pytest.mark.parametrize(
    "fields",
    [
        {"mission": "a" * (MISSION_BYTES_MAX + 1)},
        {"mission": "a", "files": "b" * 2 * MISSION_BYTES_MAX},
        {"raw": "{" * (2 * MISSION_BYTES_MAX + 1)},
        fields_of("{" * (12 * MISSION_BYTES_MAX + 1)),
        fields_of(json.dumps({"mission": "\u00e9" * MISSION_BYTES_MAX})),
    ],
    ids=["its text", "its files", "no mission", "what was heard", "JSON that was heard"],
)
def test_of_a_mission_over_the_bound_little_is_kept_and_its_id(fields: Mapping[str, str]) -> None:
    kept = bounded({"id": "mine", **fields})
    assert kept["id"] == "mine"
    assert sum(map(len, kept.values())) < 500
    assert "larger than 1,000,000 bytes" in str(parse_mission(kept))


def test_a_mission_within_the_bound_is_kept_as_it_is() -> None:
    fields = {"mission": "a" * MISSION_BYTES_MAX, "files": json.dumps(["b" * 512] * 512)}
    assert bounded(fields) is fields


@pytest.mark.parametrize(
    "text",
    [
        "a\x00b",
        "\x1b[2J",
        "a\x7f",
        "bytes \ufffd",
        '{"mission": "a\\u0000b"}',
        '{"mission": "\\ud800"}',
    ],
)
def test_what_is_not_text_is_refused(text: str) -> None:
    fault = _parsed(text)
    assert isinstance(fault, str)
    assert "not text" in fault


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"id": "a b"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": "a\n"}, "id"),
        ({"budget": 5}, "budget"),
        ({"budget": {"dollars": 5}}, "budget.dollars"),
        ({"budget": {"tokens": -1}}, "budget.tokens"),
        ({"budget": {"tokens": 1.5}}, "budget.tokens"),
        ({"budget": {"tokens": "many"}}, "budget.tokens"),
        ({"budget": None}, "budget"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"board": 0}, "board"),
        ({"board": "most"}, "board"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"deadline_s": 1e99}, "deadline_s"),
        ({"deadline_s": float("nan")}, "deadline_s"),
        ({"deadline_s": "soon"}, "deadline_s"),
        ({"files": "a.md"}, "files"),
        ({"files": [1]}, "files.0"),
        ({"files": [""]}, "files.0"),
        ({"files": ["a\x00b"]}, "files"),
        ({"files": ["\ud800"]}, "files.0"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_field_that_cannot_be_meant_is_named(more: Mapping[str, Any], named: str) -> None:
    fault = _parsed(json.dumps({"mission": "x"} | dict(more)))
    assert isinstance(fault, str)
    assert fault.startswith(f"{named}:")


def test_a_field_of_the_stream_that_is_not_json_is_named() -> None:
    fault = parse_mission({"mission": "x", "budget": "{", "files": "[]"})
    assert fault == "budget: not JSON"


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda text: "{" + text))
def test_no_text_at_the_entrance_breaks_its_reading(text: str) -> None:
    fields = fields_of(text)
    # What is kept goes to the server: it takes at least one field, and nothing that UTF-8 cannot
    # say.
    assert fields
    assert all(
        key.encode() is not None and value.encode() is not None for key, value in fields.items()
    )
    assert isinstance(parse_mission(fields), MissionRequest | str)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=8,
    )
)
def test_no_json_at_the_entrance_breaks_its_reading(value: Any) -> None:
    for whole in (
        {"mission": value},
        {"mission": "x", "budget": value},
        {"id": value, "mission": "x"},
    ):
        assert isinstance(_parsed(json.dumps(whole)), MissionRequest | str)


def test_a_lone_surrogate_in_any_part_can_still_be_sent_to_the_server() -> None:
    for text in ('{"\\ud800": "x"}', '{"mission": "x", "id": "\\udfff"}', "{\ud800"):
        for key, value in fields_of(text).items():
            key.encode()
            value.encode()


# --- admitting --------------------------------------------------------------------------------


def _admit(
    w: World, request: MissionRequest | str, *, fault: str = "", files: Sequence[str] = ()
) -> list[Change]:
    queue.admit(w.renew(), request, fault=fault, files=files)
    return w.changes


def _result(changes: Sequence[Change]) -> Message:
    (result,) = posts(changes, RESULTS)
    return result


def _request(id: str = "m2", mission: str = "Find more.", **rest: Any) -> MissionRequest:
    return MissionRequest.model_validate({"mission": mission, "id": id} | rest)


def test_an_admitted_mission_waits_with_the_default_budget_and_deadline() -> None:
    w = world()
    _admit(w, _request(files=("a",)), files=("a/1", "a/2"))
    mission = w.swarm.missions[MissionId("m2")]
    assert mission.state is MissionState.DOCKETED
    assert mission.budget == MISSION_BUDGET
    assert (mission.asked_files, mission.files) == (("a",), ("a/1", "a/2"))
    assert mission.deadline == w.now + 3_600


def test_the_same_id_with_the_same_content_is_the_same_mission() -> None:
    w = world()
    _admit(w, _request())
    assert _admit(w, _request()) == []


@pytest.mark.parametrize(
    "other", [{"mission": "Other."}, {"budget": {"tokens": 5}}, {"files": ("b",)}]
)
def test_the_same_id_with_other_content_is_refused_and_the_first_goes_on(
    other: Mapping[str, Any],
) -> None:
    w = world()
    _admit(w, _request())
    before = w.swarm.missions[MissionId("m2")]
    result = _result(_admit(w, _request(**other)))
    assert w.swarm.missions[MissionId("m2")] == before
    assert result.mission != "m2", "whoever waits for the first must not take this for its end"
    assert result.data["state"] == "rejected"
    assert result.data["reason"].startswith(Rule.MISSION_CONFLICT)


def test_an_ended_missions_id_is_known_by_its_content() -> None:
    w = world()
    queue.admit_known(w.renew(), _request(), {"digest": _request().digest})
    assert w.changes == []
    queue.admit_known(w.renew(), _request(mission="Other."), {"digest": _request().digest})
    assert _result(w.changes).data["reason"].startswith(Rule.MISSION_CONFLICT)


def test_an_id_is_no_part_of_the_content() -> None:
    assert _request("m2").digest == _request("m3").digest
    assert _request("m2").digest != _request("m2", deadline_s=5).digest


def test_what_cannot_be_read_ends_as_rejected_under_a_new_id() -> None:
    changes = _admit(world(), "empty: say what is to be done")
    result = _result(changes)
    assert result.sender == SOB
    assert result.data["state"] == "rejected"
    assert result.text.startswith(Rule.MISSION_INVALID)
    assert journal(changes, "mission.rejected")[0].data["rule"] == Rule.MISSION_INVALID
    assert [change.mission.id for change in changes if isinstance(change, MissionClosed)] == [
        result.mission
    ]


def test_files_that_are_not_there_reject_the_mission_under_its_own_id() -> None:
    w = world()
    result = _result(_admit(w, _request(), fault="files: no file x"))
    assert (result.mission, result.data["state"]) == ("m2", "rejected")
    assert MissionId("m2") not in w.swarm.missions


@pytest.mark.parametrize("id", ["sob", "picard", "operator", "clerk", "supervisor", "living"])
def test_an_id_that_names_somebody_is_refused(id: str) -> None:
    """It would name that one's account, and its end would fence that one's path."""
    w = world()
    taken = w.grow(SOB, "living").id if id == "living" else id
    changes = _admit(w, _request(taken))
    result = _result(changes)
    assert result.mission != taken, "the record of a refused mission is forgotten with its account"
    assert result.data["reason"].startswith(Rule.MISSION_INVALID)
    assert MissionId(taken) not in w.swarm.missions


# --- beginning --------------------------------------------------------------------------------


def test_so_many_missions_are_before_the_board_at_once_oldest_first() -> None:
    w = world(board={"missions_at_once": 2})
    for id in ("m4", "m3", "m2"):
        w.now += 1
        _admit(w, _request(id))
    w.tick()
    assert set(w.swarm.boards) == {"m1", "m4"}
    assert w.swarm.missions[MissionId("m3")].state is MissionState.DOCKETED
    queue.end(w.renew(), w.swarm.missions[MissionId("m4")], MissionState.CANCELLED, "r")
    for _ in range(3):
        w.reap()
    # What came back to the root is known to the store alone: the supervisor reads it before each
    # decision.
    w.swarm.observed.free[str(SOB)] = {kind: 2 * amount for kind, amount in MISSION_BUDGET.items()}
    w.tick()
    assert set(w.swarm.boards) == {"m1", "m3"}


def test_a_budget_is_carved_from_the_root_when_the_board_takes_the_mission_up() -> None:
    w = world(board={"missions_at_once": 2})
    _admit(w, _request(budget={"tokens": 7}))
    opened = [change for change in w.tick() if isinstance(change, AccountOpened)]
    assert opened == [AccountOpened("m2", SOB, MISSION_BUDGET | {"tokens": 7}, own_slot=False)]


def test_a_mission_that_waits_says_why_once_and_lets_others_go_before_it() -> None:
    w = world(board={"missions_at_once": 3})
    free = w.swarm.observed.free[SOB]["tokens"]
    _admit(w, _request("m-large", budget={"tokens": free + 1}))
    w.now += 1
    _admit(w, _request("m-small", budget={"agents": 5}))
    w.tick()
    assert set(w.swarm.boards) == {"m1", "m-small"}
    large = w.swarm.missions[MissionId("m-large")]
    assert large.state is MissionState.DOCKETED
    assert large.reason.startswith(f"waits: for budget: {free + 1} tokens")
    w.tick()
    assert w.tick(1) == [], "what is known of it has been said"
    _admit(w, _request("m-third", budget={"agents": 5}))
    w.now += 1
    _admit(w, _request("m-fourth", budget={"agents": 5}))
    w.tick()
    assert "missions_at_once" in w.swarm.missions[MissionId("m-fourth")].reason
    # What it waited for came back.
    for id in ("m-small", "m-third"):
        queue.end(w.renew(), w.swarm.missions[MissionId(id)], MissionState.CANCELLED, "r")
    for _ in range(4):
        w.reap()
    w.swarm.observed.free[SOB] = dict.fromkeys(KINDS, 10**9)
    w.tick()
    assert {"m-large", "m-fourth"} <= set(w.swarm.boards)
    assert w.swarm.missions[MissionId("m-large")].reason == ""


def test_a_stopped_mission_waits_and_a_root_that_cannot_be_read_rejects_nobody() -> None:
    for target, said in (("*", "everything is stopped"), ("m2", "m2 is stopped")):
        w = world()
        _admit(w, _request("m2"))
        stop.set_stop(
            w.renew(), Stop(target, StopKind.FREEZE, Authority.OPERATOR, "r", "operator", w.now)
        )
        w.tick()
        assert said in w.swarm.missions[MissionId("m2")].reason
    w = world()
    _admit(w, _request("m2"))
    w.swarm.observed.free[SOB] = {
        kind: n for kind, n in w.swarm.observed.free[SOB].items() if kind != "tools"
    }
    w.tick()
    mission = w.swarm.missions[MissionId("m2")]
    assert (mission.ending, "tools cannot be read" in mission.reason) == (None, True)


def test_beyond_a_full_docket_a_mission_is_turned_away_and_may_come_again() -> None:
    w = world(board={"missions_at_once": 1, "docket_max": 2})
    for id in ("m2", "m3", "m4"):
        _admit(w, _request(id))
    assert {"m2", "m3"} <= set(w.swarm.missions)
    (closed,) = [change.mission for change in w.changes if isinstance(change, MissionClosed)]
    assert (closed.id, closed.state) == ("m4", MissionState.REJECTED)
    assert closed.reason.startswith(Rule.MISSION_DOCKET)
    assert queue.may_come_again({"reason": closed.reason})
    assert not queue.may_come_again({"reason": f"{Rule.MISSION_INVALID}: empty"})
    queue.end(w.renew(), w.swarm.missions[MissionId("m2")], MissionState.CANCELLED, "r")
    _admit(w, _request("m4"))
    assert w.swarm.missions[MissionId("m4")].state is MissionState.DOCKETED


def _with_nothing_in_hand() -> World:
    w = world()
    w.swarm.boards.pop(MISSION)
    w.swarm.missions.pop(MISSION)
    return w


@pytest.mark.parametrize("kind", KINDS)
def test_a_mission_for_which_too_little_is_left_waits_for_those_in_hand_and_gets_what_there_is(
    kind: str,
) -> None:
    w = world()
    _admit(w, _request(budget={kind: AMOUNT_MAX}))
    w.tick()
    assert w.swarm.missions[MissionId("m2")].reason.startswith("waits: for budget")
    w = _with_nothing_in_hand()
    left = dict(w.swarm.observed.free[SOB])
    _admit(w, _request(budget={kind: AMOUNT_MAX}))
    (opened,) = [change for change in w.tick() if isinstance(change, AccountOpened)]
    mission = w.swarm.missions[MissionId("m2")]
    assert (mission.state, mission.budget) == (MissionState.DEBATING, opened.caps)
    assert opened.caps[kind] == left[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_is_left_of_what_any_agent_needs_a_mission_is_exhausted(kind: str) -> None:
    w = _with_nothing_in_hand()
    w.swarm.observed.free[SOB][kind] = 0
    _admit(w, _request())
    w.tick()
    mission = w.swarm.missions[MissionId("m2")]
    if kind not in NEEDED_KINDS:
        assert (mission.state, mission.budget[kind]) == (MissionState.DEBATING, 0)
        return
    assert mission.ending is MissionState.EXHAUSTED
    assert mission.reason.startswith(Rule.BUDGET_EXHAUSTED)
    assert kind in mission.reason


# --- ending -----------------------------------------------------------------------------------


def test_an_end_is_decided_once() -> None:
    w = world()
    queue.end(
        w.renew(), w.swarm.missions[MISSION], MissionState.DELIVERED, "done", text="the result"
    )
    assert puts(w.changes, FENCES)
    queue.end(w.renew(), w.swarm.missions[MISSION], MissionState.CANCELLED, "late")
    assert w.changes == []
    assert w.swarm.missions[MISSION].ending is MissionState.DELIVERED


def test_a_passed_deadline_fails_the_mission() -> None:
    w = world(deadline_seconds=60.0)
    w.tick(59)
    assert w.swarm.missions[MISSION].ending is None
    w.tick(1)
    mission = w.swarm.missions[MISSION]
    assert mission.ending is MissionState.FAILED
    assert mission.reason == "deadline: the board was at motion 1 (propose)", "what was missing"


def test_a_result_tells_state_reason_spent_and_files() -> None:
    w = world(files=("docs",))
    top, other = w.grow(SOB, "top"), w.grow(SOB, "other")
    for report in (
        ExecutiveReport(top.id, top.name, "one", ("work/reports/top.md", "work/a.md", "docs/b.md")),
        ExecutiveReport(other.id, other.name, "two", ("work/a.md", "work/reports/other.md")),
    ):
        w.renew().add(Put(REPORTS, MISSION, report))
    queue.end(
        w.renew(), w.swarm.missions[MISSION], MissionState.DELIVERED, "complete", text="the result"
    )
    queue.close(w.renew(), w.swarm.missions[MISSION], {"tokens": 5, "calls": 1})
    result = _result(w.changes)
    assert result.text == "the result"
    assert result.data == {
        "state": "delivered",
        "reason": "complete",
        "spent": {"tokens": 5, "calls": 1},
        "files": ["work/reports/top.md", "work/reports/other.md", "work/a.md"],
    }
    assert not any(
        isinstance(change, Post) and change.channel == "room:sob" for change in w.changes
    )
    assert MISSION not in w.swarm.missions
    assert MISSION not in w.swarm.boards


# --- under which id the invalid is told --------------------------------------------------------


def _turned_away(w: World, asked: str, *, is_known: bool = False) -> Message:
    queue.admit_invalid(w.renew(), "empty", asked=asked, is_known=is_known, text="")
    return _result(w.changes)


def test_what_cannot_be_read_is_told_under_the_id_that_its_submitter_waits_for() -> None:
    result = _turned_away(world(), "mine")
    assert (result.mission, result.data["state"]) == ("mine", "rejected")
    assert "asked" not in result.data


@pytest.mark.parametrize(
    ("asked", "is_known"), [("m1", False), ("sob", False), ("picard", False), ("old", True)]
)
def test_an_id_that_is_anothers_is_left_to_it_and_named(asked: str, is_known: bool) -> None:
    result = _turned_away(world(), asked, is_known=is_known)
    assert result.mission != asked
    assert result.data["asked"] == asked


def test_a_submitter_whose_id_is_another_missions_finds_the_answer_by_it() -> None:
    w = world()
    _admit(w, _request())
    assert _result(_admit(w, _request(mission="Other."))).data["asked"] == "m2"


def test_what_was_turned_away_as_invalid_may_be_handed_in_again_and_an_ended_mission_may_not() -> (
    None
):
    rejected = {"state": "rejected", "reason": "mission.invalid: empty", "digest": ""}
    assert queue.may_come_again(rejected)
    assert not queue.may_come_again({**rejected, "digest": "d"})
    assert not queue.may_come_again({"state": "rejected", "reason": "the board: no", "digest": "d"})


@pytest.mark.parametrize(
    "text", ['{"mission": 5, "id": "mine"}', '{"mission": ["x"], "id": "mine", "budget": 3}']
)
def test_the_id_of_a_text_that_is_no_mission_is_kept(text: str) -> None:
    fields = fields_of(text)
    assert queue.id_asked(fields) == "mine"
    assert isinstance(parse_mission(fields), str)


@pytest.mark.parametrize("id", ["", "a b", "x" * 65, "\ufffd", "ä"])
def test_an_id_that_may_not_be_is_asked_for_by_nobody(id: str) -> None:
    assert queue.id_asked({"id": id}) == ""


@pytest.mark.parametrize("id", ["a b", "Bad!id", "x" * 65, "ä"])
def test_what_names_an_id_that_may_not_be_is_told_with_that_id(id: str) -> None:
    w = world()
    said = queue.id_said({"id": id})
    queue.admit_invalid(w.renew(), "no such id", asked=said, is_known=False, text="x")
    result = _result(w.changes)
    assert result.data["asked"] == id
    assert result.mission != id


@pytest.mark.parametrize("n", [2**53, 10**18, 10**400])
@pytest.mark.parametrize("kind", ["tokens", "cost", "calls", "tools", "agents"])
def test_a_budget_beyond_what_numbers_say_exactly_is_invalid(kind: str, n: int) -> None:
    assert isinstance(parse_mission({"mission": "x", "budget": json.dumps({kind: n})}), str)
    assert not isinstance(
        parse_mission({"mission": "x", "budget": json.dumps({kind: 2**53 - 1})}), str
    )
