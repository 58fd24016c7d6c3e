"""A turn without the world: what wakes, what a move means, what is refused before it reaches
anybody.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.mailbox import MAIL_MAX, concerns, take, wakes
from swarmd.core.agent.memory import MEMORY_ENTRIES_MAX, NO_MEMORY, mail_entry, news_of, remember
from swarmd.core.agent.turn import Acting, Briefing, act, asked_for, failed, with_briefing
from swarmd.core.model.channels import BOARD_ROOM, REQUESTS, down, inbox, room, up
from swarmd.core.model.functions import BUILT_IN
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import MOVE, Move, Spawn
from swarmd.core.model.names import SOB, SUPERVISOR, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.provenance import taint_of
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import ActRequest, FailedRequest, SpawnRequest, parse_request
from tests.core.swarm_builder import ROOMS, World, charter, world

ROOM_OF = {room.name: room for room in ROOMS}
HALL = room("hall-m1")


def _cast() -> tuple[World, Agent, Agent]:
    w = world()
    top = w.grow(SOB, "top", files=["docs"])
    return w, top, w.grow(top.id, "child")


def _acting(agent: Agent, *children: Agent, **changed: Any) -> Acting:
    facts: dict[str, Any] = {
        "agent": agent,
        "mission": MissionId("m1"),
        "files": ("docs",),
        "rooms": ROOM_OF,
        "children": children,
        "hops": 3,
        "at": "now",
        "functions": BUILT_IN,
    }
    return Acting(**(facts | changed))


def _move(move: str, **fields: Any) -> Move:
    return MOVE.validate_python({"move": move, **fields})


def _use(function: str, **args: Any) -> Move:
    return _move("use", function=function, args=args)


def _message(
    channel: Channel, sender: str = "somebody", kind: Kind = Kind.SAY, **more: Any
) -> Message:
    return Message(
        sender=AgentId(sender), kind=kind, at="now", channel=channel, id=StreamId("1-0"), **more
    )


# --- mailbox ----------------------------------------------------------------------------------


def test_inbox_directives_and_reports_wake_an_agent() -> None:
    _, top, child = _cast()
    for agent, channel in (
        (top, inbox(top.id)),
        (top, down(SOB)),
        (top, up(top.id)),
        (child, down(top.id)),
    ):
        assert concerns(agent, _message(channel))
        assert wakes(agent, _message(channel), ROOM_OF)


def test_a_note_about_its_own_turns_waits_for_the_next_one() -> None:
    _, top, _ = _cast()
    notice = replace(_message(inbox(top.id), kind=Kind.NOTICE), sender=SUPERVISOR)
    note = replace(notice, data={"correction": "note"})
    assert concerns(top, note)
    assert not wakes(top, note, ROOM_OF)
    assert wakes(top, replace(note, data={"correction": "superior"}), ROOM_OF)


def test_its_own_posts_never_concern_an_agent() -> None:
    _, top, _ = _cast()
    assert not concerns(top, _message(HALL, top.id, text=f"@{top.name}"))


def test_a_directive_to_a_sibling_concerns_nobody_else() -> None:
    _, top, child = _cast()
    for to, is_so in ((child.id, True), ("*", True), ("", True), ("a-sibling", False)):
        assert concerns(child, _message(down(top.id), top.id, Kind.DIRECTIVE, to=to)) is is_so


def test_a_post_in_a_room_waits_unless_it_mentions_or_the_room_wakes_all() -> None:
    _, top, _ = _cast()
    assert not wakes(top, _message(HALL, text="nothing"), ROOM_OF)
    assert wakes(top, _message(HALL, text="ask @top"), ROOM_OF)
    assert wakes(top, _message(HALL, text=f"ask @{top.id}"), ROOM_OF)
    loud = {"hall": ROOM_OF["hall"].model_copy(update={"wakes": "all"})}
    assert wakes(top, _message(HALL), loud)


def test_a_seat_is_woken_by_the_clerks_call_alone() -> None:
    w = world()
    seat = w.agent("picard")
    assert not concerns(seat, _message(BOARD_ROOM, text="@picard"))
    assert not wakes(seat, _message(inbox(seat.id), kind=Kind.SAY), ROOM_OF)
    assert wakes(seat, _message(inbox(seat.id), "clerk", Kind.CALL), ROOM_OF)


def test_a_seats_turn_answers_one_call_and_an_agents_all_its_mail() -> None:
    w, top, _ = _cast()
    calls = [_message(inbox(top.id), "clerk", Kind.CALL) for _ in range(3)]
    assert len(take(w.agent("picard"), calls)) == 1
    assert len(take(top, calls)) == 3
    assert len(take(top, calls * MAIL_MAX)) == MAIL_MAX


# --- moves ------------------------------------------------------------------------------------


def _only(meaning: object) -> tuple[Channel, Message]:
    assert isinstance(meaning, list)
    ((channel, message),) = meaning
    assert isinstance(message, Message)
    return channel, message


def test_every_message_is_stamped_by_the_runtime() -> None:
    _, top, child = _cast()
    acting = _acting(replace(top, incarnation=4), child)
    for move in (
        _move("say", room="hall", text="x"),
        _move("direct", to="*", text="x"),
        _move("report", text="x"),
    ):
        _, message = _only(act(move, acting))
        assert (message.sender, message.incarnation, message.hops, message.mission) == (
            top.id,
            4,
            3,
            "m1",
        )


def test_a_report_goes_one_level_up() -> None:
    _, top, child = _cast()
    channel, message = _only(
        act(_move("report", text="found", done=True, files=["work/a"]), _acting(child))
    )
    assert (channel, message.to) == (up(top.id), top.id)
    assert message.data == {
        "done": True,
        "files": ["work/a"],
        "name": "child",
        "key": child.key,
    }


@pytest.mark.parametrize("attribute", ["id", "key", "name"])
def test_a_directive_reaches_a_living_child_by_id_key_or_name(attribute: str) -> None:
    _, top, child = _cast()
    channel, message = _only(
        act(_move("direct", to=getattr(child, attribute), text="x"), _acting(top, child))
    )
    assert (channel, message.to) == (down(top.id), child.id)


def test_a_directive_to_nobodys_child_is_refused() -> None:
    _, top, child = _cast()
    for to in ("a-stranger", "sob", top.id):
        meaning = act(_move("direct", to=to, text="x"), _acting(top, child))
        assert isinstance(meaning, Denied)
        assert meaning.rule is Rule.UNKNOWN_AGENT
        assert meaning.detail.endswith("no living child of yours; yours: child")


def test_a_refusal_names_what_there_is() -> None:
    _, top, child = _cast()
    acting = _acting(top, child, colleagues=("spend",))
    for move, named in (
        (_move("direct", to="spend", text="x"), "say it in `hall` with @spend"),
        (_move("say", room="board", text="x"), "your rooms: hall"),
        (_use("file/read", path="law.md"), "yours: docs, and what stands below work/"),
        (_move("wait", whom=["spend"]), "spend is a colleague and no child of yours"),
    ):
        meaning = act(move, acting)
        assert isinstance(meaning, Denied)
        assert named in meaning.detail


def _spawn(name: str, **more: Any) -> Move:
    return _move("spawn", charter={"role": "worker", "name": name, "task": "Do it."}, **more)


def test_a_spawn_is_known_by_its_name_where_it_has_no_key() -> None:
    named, keyed = _spawn("x"), _spawn("x", key="k")
    assert isinstance(named, Spawn)
    assert named.key == "x"
    assert asked_for([named]) == {"x": "x"}
    assert asked_for([keyed]) == {"x": "k", "k": "k"}


@pytest.mark.parametrize("named", ["k", "x"])
def test_a_directive_to_a_spawn_of_the_same_turn_travels_with_it(named: str) -> None:
    _, top, _ = _cast()
    spawn = Spawn(move="spawn", key="k", charter=charter("x"), tier=1, parent="sob")
    acting = _acting(top, asked=asked_for([spawn]))
    asked = act(spawn, acting)
    assert isinstance(asked, list)
    begin = act(_move("direct", to=named, text="begin"), acting)
    assert begin == Briefing("k", "begin")
    ((channel, message),) = with_briefing(asked, begin, ())
    assert channel == REQUESTS
    request = parse_request(message.data)
    assert isinstance(request, SpawnRequest)
    # What it claims is passed on: the law refuses it by name.
    assert (request.directives, request.tier, request.parent) == (("begin",), 1, "sob")


def test_words_that_were_said_after_reading_taint_the_spawn_that_they_travel_with() -> None:
    _, top, _ = _cast()
    spawn = _spawn("x")
    acting = _acting(top, asked=asked_for([spawn]))
    asked = act(spawn, acting)
    assert isinstance(asked, list)
    ((_, message),) = with_briefing(asked, Briefing("x", "begin"), ("file",))
    assert taint_of(message) == ("file",)
    ((_, untold),) = with_briefing(asked, Briefing("other", "begin"), ("file",))
    assert taint_of(untold) == ()


def test_terminating_and_giving_up_are_requests() -> None:
    _, top, _ = _cast()
    channel, message = _only(
        act(_move("govern", verb="terminate", target="x", reason="r"), _acting(top))
    )
    assert (channel, type(parse_request(message.data))) == (REQUESTS, ActRequest)
    channel, message = failed(_acting(top), "d" * 3_000, Rule.BUDGET_EXHAUSTED)
    request = parse_request(message.data)
    assert isinstance(request, FailedRequest)
    assert (channel, request.rule, len(request.detail)) == (REQUESTS, "budget.exhausted", 2_000)


@pytest.mark.parametrize("name", ["hall", "hall-m1"])
def test_a_member_says_something_in_its_missions_room(name: str) -> None:
    _, top, _ = _cast()
    assert _only(act(_move("say", room=name, text="x"), _acting(top)))[0] == HALL


def test_who_is_no_member_or_may_not_speak_or_says_too_much_is_refused() -> None:
    _, top, child = _cast()
    mute = replace(top, privileges=("model/**",))
    for agent, name, text, rule in (
        (child, "hall", "x", Rule.CHANNEL),
        (top, "hall-m2", "x", Rule.CHANNEL),
        (top, "sob", "x", Rule.CHANNEL),
        (mute, "hall", "x", Rule.PRIVILEGE_USE),
        (top, "hall", "x" * 8_001, Rule.CHANNEL),
    ):
        meaning = act(_move("say", room=name, text=text), _acting(agent))
        assert isinstance(meaning, Denied)
        assert meaning.rule is rule


def test_files_are_ones_own_or_what_the_mission_wrote() -> None:
    _, top, _ = _cast()
    acting = _acting(top)
    for path, is_allowed in (
        ("docs/a", True),
        ("work/x", True),
        ("etc/passwd", False),
        ("docs2", False),
    ):
        meaning = act(_use("file/read", path=path), acting)
        assert isinstance(meaning, Denied) is not is_allowed
    assert isinstance(act(_use("file/search", query="q", files=["docs/a", "etc"]), acting), Denied)
    assert not isinstance(act(_use("file/search", query="q"), acting), Denied)
    assert not isinstance(act(_use("file/write", path="anything", text="x"), acting), Denied)


def test_a_seats_answer_names_its_motion_and_phase() -> None:
    w = world()
    acting = _acting(w.agent("picard"), motion_number=4, phase="vote")
    for move, kind in (
        (_move("propose", motion={"motion": "reject", "reason": "r"}), Kind.PROPOSAL),
        (_move("argue", text="x"), Kind.ARGUMENT),
        (_move("respond", decision="keep", reason="r"), Kind.RESPONSE),
        (_move("vote", choice="yes", reason="r"), Kind.VOTE),
    ):
        channel, message = _only(act(move, acting))
        assert (channel, message.kind) == (BOARD_ROOM, kind)
        assert (message.data["motion_number"], message.data["phase"]) == (4, "vote")


def test_a_thought_does_nothing() -> None:
    _, top, _ = _cast()
    assert act(_move("think", thought="hm"), _acting(top)) is None


# --- memory -----------------------------------------------------------------------------------


def test_memory_comes_back_as_it_was() -> None:
    new: list[dict[str, Any]] = [{"n": 1, "text": "\u00e4"}, {"n": 2}]
    assert [
        json.loads(entry) for entry in remember(NO_MEMORY, new, 96_000, BUILT_IN).entries
    ] == new
    assert remember(NO_MEMORY, (), 96_000, BUILT_IN) == NO_MEMORY


@given(st.lists(st.lists(st.integers(1, 4_000), max_size=4), max_size=12))
def test_what_a_turn_writes_of_memory_is_what_is_new_and_the_store_has_all_of_it(
    turns: list[list[int]],
) -> None:
    stored: dict[int, str] = {}
    memory = NO_MEMORY
    for sizes in turns:
        after = remember(memory, [{"text": "x" * size} for size in sizes], 8_000, BUILT_IN)
        added, forgotten = news_of(memory, after)
        assert set(forgotten) <= stored.keys(), "what goes was there"
        assert len(stored.keys() & added.keys()) <= 1, (
            "but for what sums up the rest, each is written once"
        )
        stored = {n: text for n, text in {**stored, **added}.items() if n not in forgotten}
        assert stored == dict(enumerate(after.entries, after.first))
        memory = after


def test_memory_has_so_many_entries_at_most() -> None:
    kept = remember(
        NO_MEMORY, [{"n": n} for n in range(MEMORY_ENTRIES_MAX + 3)], 2_000_000, BUILT_IN
    )
    assert len(kept.entries) <= MEMORY_ENTRIES_MAX
    assert kept.end == MEMORY_ENTRIES_MAX + 3


def test_mail_in_memory_says_from_whom_and_where() -> None:
    (item,) = mail_entry([_message(HALL, "ann", text="hi", data={"n": 1})])["mail"]
    assert item == {"from": "ann", "kind": "say", "text": "hi", "data": {"n": 1}, "channel": HALL}
