"""What the supervisor does about facts: who is told, who is held, what the journal says, and
what changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.control import ledger_events
from swarmd.core.ledger.accounts import Ledger
from swarmd.core.model.changes import Change
from swarmd.core.model.channels import BOARD_ROOM, REQUESTS, down, inbox, room, up
from swarmd.core.model.lineage import Agent, StopKind
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentState, Channel, MissionState, StreamId
from swarmd.core.model.refusals import Rule
from tests.core.swarm_builder import MISSION, World, journal, posts, world

Fact = Mapping[str, str]


def _cast() -> tuple[World, Agent, Agent]:
    w = world()
    top = w.grow(SOB, "top")
    return w, top, w.grow(top.id, "child")


def settled(agent: str, account: str, over: Mapping[str, int] | None = None) -> Fact:
    amounts = {
        "used": {"tokens": 10},
        "reserved": {"tokens": 5},
        "overdraft": dict(over or {}),
        "assumed": False,
    }
    return {
        "fact": "settle",
        "agent": agent,
        "account": account,
        "call": "1:1",
        "at": "",
        "amounts": json.dumps(amounts),
    }


def warned(agent: str, account: str, own: int = 1_000, left: int = 150) -> Fact:
    return {
        "fact": "warn",
        "agent": agent,
        "account": account,
        "kind": "tokens",
        "own": str(own),
        "left": str(left),
    }


def cut(agent: str, channel: Channel, to: str = "", **more: str) -> Fact:
    return {
        "fact": "refuse",
        "agent": agent,
        "call": "3",
        "rule": "bus.no-progress",
        "detail": "the same text again",
        "channel": channel,
        "to": to,
        "count": "2",
        "tell": "1",
        "hops": "9",
    } | more


def act(w: World, *found: Fact) -> list[Change]:
    ledger_events.act(w.renew(), [(StreamId(f"{n}-0"), fact) for n, fact in enumerate(found, 1)])
    return w.changes


def notice(changes: list[Change], channel: Channel) -> Message:
    (message,) = [m for m in posts(changes, channel) if m.kind is Kind.NOTICE]
    return message


# --- what is urgent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "is_so"),
    [
        (settled("a", "a"), False),
        (settled("a", "a", {"tokens": 1}), True),
        (warned("a", "a"), True),
        (cut("a", up(SOB)), True),
        (cut("a", up(SOB), tell=""), False),
        ({"fact": "reserve"}, False),
        ({}, False),
        ({"fact": "settle", "amounts": "{"}, False),
        ({"fact": "settle", "amounts": '{"overdraft":[1]}'}, False),
    ],
)
def test_what_something_is_to_be_done_about_is_urgent(fact: Fact, is_so: bool) -> None:
    assert ledger_events.is_urgent(fact) is is_so


# --- warnings ---------------------------------------------------------------------------------


def test_a_warning_of_an_agents_account_reaches_its_creator() -> None:
    w, top, child = _cast()
    changes = act(w, warned(child.id, child.id))
    told = notice(changes, inbox(top.id))
    assert "85 % of its own tokens: 150 of 1,000 left" in told.text
    assert (told.data["agent"], told.data["warned"]) == (child.id, "tokens")
    (entry,) = journal(changes, "account.warned")
    assert (entry.data["account"], entry.mission) == (child.id, MISSION)


def test_a_warning_of_an_executives_or_a_missions_account_is_said_in_the_boards_room() -> None:
    w, top, _ = _cast()
    assert top.name in notice(act(w, warned(top.id, top.id)), BOARD_ROOM).text
    told = notice(act(w, warned("picard", MISSION)), BOARD_ROOM)
    assert (told.mission, told.text.startswith(f"mission {MISSION} has used 85 %")) == (
        MISSION,
        True,
    )


def test_a_warning_of_the_root_is_said_once_in_the_boards_room_and_is_no_missions() -> None:
    w, _, _ = _cast()
    changes = act(w, warned("", SOB))
    told = notice(changes, BOARD_ROOM)
    assert told.mission == ""
    assert "root has used 85 % of its own tokens" in told.text
    assert "swarmd fund sob" in told.text
    (entry,) = journal(changes, "account.warned")
    assert entry.data["account"] == SOB


def test_a_warning_of_an_account_that_is_no_more_changes_nothing() -> None:
    w, _, _ = _cast()
    assert act(w, warned("a-gone", "a-gone")) == []


# --- overdrafts -------------------------------------------------------------------------------


def test_who_spends_beyond_its_reserve_is_held_and_its_creator_told_by_how_much() -> None:
    w, top, child = _cast()
    changes = act(w, settled(child.id, child.id, {"tokens": 1_234, "cost": 5}))
    stop = w.swarm.lineage.stops[f"={child.id}"]
    assert (stop.kind, stop.rule) == (StopKind.FREEZE, Rule.BUDGET_OVERDRAFT)
    assert w.agent(child.id).state is AgentState.FROZEN
    assert "1,234 tokens, 5 cost beyond the reserve" in notice(changes, inbox(top.id)).text
    (entry,) = journal(changes, "account.overdrawn")
    assert entry.data["overdraft"] == {"tokens": 1_234, "cost": 5}
    assert entry.data["rule"] == Rule.BUDGET_OVERDRAFT


def test_an_overdraft_of_one_that_is_held_already_is_recorded_and_holds_nothing_twice() -> None:
    w, _, child = _cast()
    act(w, settled(child.id, child.id, {"tokens": 1}))
    before = w.swarm.lineage.stops
    changes = act(w, settled(child.id, child.id, {"tokens": 2}))
    assert [e.data["event"] for e in posts(changes, Channel("journal"))] == ["account.overdrawn"]
    assert w.swarm.lineage.stops == before


def test_an_overdraft_of_a_seat_exhausts_the_mission_that_it_served() -> None:
    w, _, _ = _cast()
    changes = act(w, settled("picard", MISSION, {"tokens": 7}))
    mission = w.swarm.missions[MISSION]
    assert mission.ending is MissionState.EXHAUSTED
    assert mission.reason == "budget.overdraft: 7 tokens beyond the reserve"
    assert journal(changes, "account.overdrawn")[0].mission == MISSION
    assert not [stop for stop in w.swarm.lineage.stops if "picard" in stop]


def test_an_overdraft_of_who_has_ended_is_recorded_alone() -> None:
    w, _, _ = _cast()
    changes = act(w, settled("a-gone", MISSION, {"tokens": 7}))
    assert [e.data["event"] for e in posts(changes, Channel("journal"))] == ["account.overdrawn"]
    assert w.swarm.missions[MISSION].ending is None


def test_a_call_within_its_reserve_changes_nothing() -> None:
    w, _, child = _cast()
    assert act(w, settled(child.id, child.id)) == []


# --- cut messages -----------------------------------------------------------------------------


def test_each_recipient_is_told_where_it_reads_and_with_the_turns_hops() -> None:
    w, top, child = _cast()
    other = w.grow(top.id, "other")
    for channel, to, where in (
        (down(top.id), child.id, [inbox(child.id)]),
        (down(top.id), "*", [inbox(child.id), inbox(other.id)]),
        (up(SOB), SOB, [BOARD_ROOM]),
        (room("hall-m1"), "", [room("hall-m1")]),
        (inbox(other.id), "", [inbox(other.id)]),
    ):
        changes = act(w, cut(top.id, channel, to))
        assert len(changes) == len(where)
        for told in (notice(changes, place) for place in where):
            assert "bus.no-progress" in told.text
            assert (told.data["cut"], told.data["count"], told.hops) == ("bus.no-progress", 2, 9)
    changes = act(w, cut(child.id, up(top.id), top.id))
    assert f"child ({child.id})" in notice(changes, inbox(top.id)).text


@pytest.mark.parametrize(
    "fact",
    [
        cut("a-gone", up(SOB)),
        cut("top", up(SOB), tell=""),
        cut("top", REQUESTS),
        cut("top", up(SOB), rule="bus.hops"),
        cut("top", Channel("nowhere")),
        cut("top", Channel("")),
        cut("top", Channel("up:a-gone")),
    ],
)
def test_of_what_reached_nobody_nobody_is_told(fact: Fact) -> None:
    w, top, _ = _cast()
    known = dict(fact)
    if fact["agent"] == "top":
        known["agent"] = top.id
    assert act(w, known) == []


# --- refusals within turns --------------------------------------------------------------------


def recorded(w: World, *found: Fact) -> list[tuple[str, int, str, int, list[str]]]:
    ledger_events.record_refusals(
        w.renew(), [(StreamId(f"{n}-0"), fact) for n, fact in enumerate(found, 1)]
    )
    return [
        (e.data["actor"], e.data["turn"], e.data["rule"], e.data["count"], e.data["moves"])
        for e in journal(w.changes, "turn.refused")
    ]


def refused(agent: str, rule: str, **more: str) -> Fact:
    return {"fact": "refuse", "agent": agent, "rule": rule, "detail": "why", "at": ""} | more


def test_refusals_are_told_by_agent_turn_and_rule_with_their_count() -> None:
    w, top, child = _cast()
    assert recorded(
        w,
        refused(top.id, "bus.channel", turn="3", count="4", moves="say"),
        refused(top.id, "bus.channel", turn="4", count="1", moves="say"),
        refused(child.id, "bus.channel", turn="3", count="1", moves="say"),
        refused(top.id, "agent.unknown", turn="3", count="2", moves="direct say"),
        refused(top.id, "stop.frozen", call="5:2", of="turn"),
        refused(top.id, "stop.frozen", call="5:2", of="turn"),
        refused(top.id, "privilege.use", call="5:3", of="action"),
        cut(top.id, up(SOB), SOB),
        cut(top.id, up(SOB), "other"),
    ) == [
        (top.id, 3, "bus.channel", 4, ["say"]),
        (top.id, 4, "bus.channel", 1, ["say"]),
        (child.id, 3, "bus.channel", 1, ["say"]),
        (top.id, 3, "agent.unknown", 2, ["direct", "say"]),
        (top.id, 5, "stop.frozen", 2, []),
        (top.id, 3, "bus.no-progress", 4, ["message"]),
    ]


@pytest.mark.parametrize(
    "fact",
    [
        refused("top", "no.rule", turn="3"),
        refused("", "bus.channel", turn="3"),
        refused("top", "bus.channel"),
        refused("top", "bus.channel", of="action", call="1:1"),
        {"fact": "refuse", "host": "h1", "rule": "envelope.forged"},
        {"fact": "settle", "agent": "top", "rule": "bus.channel", "turn": "3"},
    ],
)
def test_what_is_no_refusal_of_a_turn_is_told_of_none(fact: Fact) -> None:
    w, _, _ = _cast()
    assert recorded(w, fact) == []


def test_who_has_ended_meanwhile_is_named_by_its_id_and_a_long_detail_is_cut() -> None:
    w, _, _ = _cast()
    assert recorded(w, refused("a-gone", "bus.channel", turn="3", detail="x" * 10_000)) == [
        ("a-gone", 3, "bus.channel", 1, [])
    ]
    (entry,) = journal(w.changes, "turn.refused")
    assert len(entry.text) < 400


def test_a_refused_turn_of_a_seat_is_of_the_mission_whose_account_its_call_was_for() -> None:
    w, top, _ = _cast()
    seat = next(one.id for one in w.swarm.lineage.agents.values() if one.is_seat)
    recorded(
        w,
        refused(seat, "budget.exhausted", call="5:2", of="turn", account="m-former"),
        refused(seat, "bus.channel", turn="6"),
        refused(top.id, "bus.channel", turn="3", account=top.id),
    )
    told = [e.mission for e in journal(w.changes, "turn.refused")]
    assert told == ["m-former", "", MISSION]


_WORDS = st.sampled_from(
    [
        "fact",
        "settle",
        "warn",
        "refuse",
        "reserve",
        "agent",
        "account",
        "amounts",
        "tell",
        "rule",
        "bus.rate",
        "m1",
        "picard",
        "sob",
        "channel",
        "up:sob",
        "own",
        "left",
        "-3",
        '{"overdraft":{"tokens":1}}',
        '{"overdraft":{"x":1e999}}',
        "[",
        "\u0663",
        "9" * 30,
    ]
)


@given(st.lists(st.dictionaries(_WORDS, _WORDS, max_size=8), max_size=6))
def test_no_fact_however_wrong_stops_the_supervisor(found: list[dict[str, str]]) -> None:
    w, _, _ = _cast()
    act(w, *found)
    recorded(w, *found)
    assert all(isinstance(ledger_events.is_urgent(fact), bool) for fact in found)


def test_what_is_done_about_facts_is_the_same_whether_they_come_together_or_one_by_one() -> None:
    def run(*batches: list[Any]) -> dict[str, Any]:
        w, top, child = _cast()
        named = {"top": top.id, "child": child.id}
        for batch in batches:
            act(w, *(make(*(named.get(a, a) for a in args)) for make, args in batch))
        return {
            "stops": w.swarm.lineage.stops,
            "missions": w.swarm.missions,
            "troubles": w.swarm.troubles,
        }

    over = [(settled, ("child", "child")), (warned, ("top", "top")), (settled, ("top", "top"))]
    assert run(over) == run(*([one] for one in over))


def test_what_gives_more_than_an_account_has_free_is_no_fact_and_changes_nothing() -> None:
    """A copy of a fact that was true once would else take the root's money a second time."""
    ledger = Ledger()
    root = {"parent": "", "caps": {"tokens": 10}, "own_slot": False}
    child = {"parent": "sob", "caps": {"tokens": 6}, "own_slot": False}
    assert ledger.admit({"fact": "open", "account": "sob", "amounts": root}) == ""
    assert ledger.admit({"fact": "open", "account": "a-1", "amounts": child}) == ""
    assert "gives 6 of tokens, it had 4" in ledger.admit(
        {"fact": "open", "account": "a-2", "amounts": child}
    )
    assert ledger.accounts["sob"].get("tokens", "free") == 4
    assert "a-2" not in ledger.accounts
