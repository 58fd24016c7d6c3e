"""How the faces render what was read: neutralised, measured, the same for the same input."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.cli import verbs
from swarmd.cli.amounts import budget_of
from swarmd.cli.exit_codes import Exit, TimedOutError, complain, exit_of, exit_of_mission
from swarmd.cli.render import values
from swarmd.cli.render.live import LiveScreen, PlainScreen, Watcher
from swarmd.cli.render.messages import entry_lines
from swarmd.cli.render.text import (
    Ink,
    ago,
    amounts,
    excerpt,
    in_order,
    json_text,
    money,
    plain,
    table,
    until,
    wants_colour,
    width_of,
)
from swarmd.cli.render.tree import tree_lines
from swarmd.cli.session import Sight, print_json
from swarmd.cli.verbs import missions
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL
from swarmd.core.model.charter import KINDS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, Channel, MissionId, StreamId
from swarmd.core.queries.snapshot import (
    AccountView,
    AgentView,
    MissionView,
    Snapshot,
    agent_view,
    mission_view,
)
from swarmd.core.queries.spending import tree_of
from swarmd.errors import (
    DeclarationError,
    NotFoundError,
    RefusedError,
    StoreFullError,
    StoreUnavailableError,
    StoreUnsuitableError,
    SwarmError,
    UsageError,
)
from swarmd.ports.reader import Reader

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
INK = Ink(is_coloured=False, is_unicode=True, columns=160)


# --- text from models -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2J",
        "\x1b]52;c;aGk=\x07",
        "\x1b]8;;http://evil\x1b\\here",
        "\x9b31m",
        "a\rb",
        "\u202egnp.exe",
        "\x00",
        "\ud800",
    ],
)
def test_what_a_terminal_would_obey_is_made_visible(hostile: str) -> None:
    safe = plain(hostile, multiline=True)
    assert safe.isprintable()
    assert "\\" in safe


@given(st.text())
def test_plain_text_is_printable_but_for_newlines_and_tabs_and_encodes(text: str) -> None:
    safe = plain(text, multiline=True)
    assert not any(ord(char) < 0x20 and char not in "\n\t" for char in safe)
    assert not any(0x7F <= ord(char) < 0xA0 for char in safe)
    safe.encode("utf-8")
    assert "\n" not in plain(text)


@pytest.mark.parametrize("hostile", ["\x9b2J", "\u202egnp.exe", "\u2028clerk: x", "\ufeff", "\x7f"])
def test_json_has_nothing_that_a_terminal_would_obey_and_is_read_as_it_was(hostile: str) -> None:
    value = {hostile: [hostile, "größer 日本 😀"]}
    text = json_text(value)
    assert text.isprintable()
    assert "größer 日本 😀" in text, "a person can read it"
    assert json.loads(text) == value


@given(st.text())
def test_any_text_as_json_encodes_and_is_printable_as_plain_text_is(text: str) -> None:
    said = json_text(text)
    said.encode("utf-8")
    assert said == plain(said)
    assert json.loads(said) == text


def test_verbs_print_json_in_one_way_only(capsys: pytest.CaptureFixture[str]) -> None:
    sources = [path.read_text() for path in Path(verbs.__file__).parents[1].rglob("*.py")]
    assert not [source for source in sources if "print(json.dumps(" in "".join(source.split())]
    print_json({"said": "\x9b2J"})
    Sight(cast(Reader, None), INK, True).give({"said": "\x9b2J"})
    complain("\x9b2J", "", Exit.USAGE, as_json=True, to=sys.stdout)
    out = capsys.readouterr().out
    assert "\x9b" not in out
    assert out.count("\\u009b2J") == 3


@given(st.text(), st.integers(min_value=2, max_value=80))
def test_an_excerpt_is_one_line_and_never_wider_than_asked(text: str, columns: int) -> None:
    short = excerpt(text, columns)
    assert "\n" not in short
    assert width_of(short) <= columns


def test_text_that_is_whole_is_not_marked_as_cut() -> None:
    assert excerpt("six chars", 9) == "six chars"
    assert excerpt("six chars!", 9) == "six char…"


def test_a_table_is_aligned_by_the_columns_that_characters_take() -> None:
    lines = table(("NAME", "X"), [("日本", "1"), ("ab", "2")])
    assert [
        width_of(line[: line.index(mark)]) for line, mark in zip(lines, "X12", strict=True)
    ] == [7, 7, 7]


def test_time_is_told_as_people_tell_it() -> None:
    assert ago("2026-03-01T11:59:52+00:00", NOW) == "8s"
    assert ago("2026-02-27T12:00:00.000Z", NOW) == "2d"
    assert ago("", NOW) == ""
    assert ago("2026-03-01T11:00:00", NOW) == ""  # without its zone it is no time of ours


def test_no_color_wins_over_force_color_which_wins_over_the_terminal() -> None:
    stream = io.StringIO()
    assert not wants_colour(stream, {"NO_COLOR": "1", "FORCE_COLOR": "1"})
    assert wants_colour(stream, {"FORCE_COLOR": "1"})
    assert not wants_colour(stream, {})
    assert wants_colour(stream, {"NO_COLOR": "", "FORCE_COLOR": "1"})


def test_states_are_told_by_glyph_and_word_also_without_colour_and_unicode() -> None:
    assert INK.state("live") == "● live"
    assert Ink(is_unicode=False).state("live") == "* live"
    assert Ink(is_coloured=True).state("live") == "\x1b[32m● live\x1b[0m"


def test_amounts_leave_out_what_is_nothing() -> None:
    assert amounts({"tokens": 12_400, "calls": 3, "agents": 0}) == "12.4k tokens, 3 calls"
    assert amounts({"tokens": 1, "calls": 1}) == "1 token, 1 call"
    assert amounts({}) == "nothing"


def test_kinds_are_shown_in_the_order_of_the_law_and_unknown_ones_after() -> None:
    assert in_order(["new", *reversed(KINDS)]) == [*KINDS, "new"]


def test_the_time_that_is_left_is_told_as_people_tell_it() -> None:
    now = NOW.timestamp()
    assert [until(at, NOW) for at in (0.0, now - 5, now + 90)] == ["", "now", "1m"]


@pytest.mark.parametrize(
    ("spent", "shown"),
    [
        ({"cost": 0}, "$0.0000"),
        ({"cost": 1}, "$0.0001"),
        ({"cost": 12_300}, "$0.0123"),
        ({"cost": 12_301}, "$0.0124"),
        ({"cost": 12_345_678_900}, "$12345.6789"),
        ({"cost": 0, "unpriced": 7}, "unpriced"),
        ({"cost": 5_000, "unpriced": 7}, "$0.0050 + unpriced"),
        ({}, "$0.0000"),
    ],
)
def test_money_is_dollars_rounded_up_to_four_digits_and_says_what_it_leaves_out(
    spent: dict[str, int], shown: str
) -> None:
    assert money(spent) == shown


def test_the_cost_stands_with_what_was_used_also_where_it_is_nothing() -> None:
    assert amounts({"tokens": 0, "calls": 3, "cost": 0}) == "3 calls, $0.0000"
    assert amounts({"tokens": 9, "cost": 250_000, "unpriced": 9}) == "9 tokens, $0.2500 + unpriced"
    assert amounts({"tokens": 9, "cached": 4, "calls": 1}) == "9 tokens (4 cached), 1 call"
    assert amounts({"tokens": 0, "cost": 0}) == "nothing"
    assert amounts({"cost": 5_000}) == "$0.0050"
    assert (
        amounts({"tools": 2, "cost": 0, "calls": 3, "tokens": 5})
        == "5 tokens, 3 calls, 2 tools, $0.0000"
    )


@pytest.mark.parametrize(
    ("said", "caps"),
    [
        ("tokens=5", {"tokens": 5}),
        ("usd=2.5", {"cost": 2_500_000}),
        ("tokens=5, usd=0.000001 ,tools=3", {"tokens": 5, "tools": 3, "cost": 1}),
        ("cost=7", {"cost": 7}),
        ('{"usd": 0.1, "calls": 2}', {"calls": 2, "cost": 100_000}),
        ('{"usd": "3"}', {"cost": 3_000_000}),
        ("usd=0", {"cost": 0}),
    ],
)
def test_a_budget_is_said_by_kinds_and_money_in_dollars(said: str, caps: dict[str, int]) -> None:
    assert budget_of(said) == caps


@pytest.mark.parametrize(
    "said",
    [
        "usd=",
        "usd=-1",
        "usd=1e-7",
        "usd=2,50",
        "usd=nan",
        "usd=inf",
        "usd=1e999999999",
        "usd=2.50$",
        "usd=1,cost=5",
        '{"usd": true}',
        '{"usd": [1]}',
        '{"usd": 1, "cost": 1}',
        "tokens=1.5",
        "tokens",
    ],
)
def test_a_budget_that_cannot_be_meant_is_a_usage_error(said: str) -> None:
    with pytest.raises(UsageError, match="--budget"):
        budget_of(said)


# --- the tree ---------------------------------------------------------------------------------


def agent(id: str, parent: str = "sob", tier: int = 1, **fields: str) -> AgentView:
    known = {
        "id": id,
        "name": id,
        "role": "researcher",
        "tier": str(tier),
        "parent": parent,
        "mission": "m-1",
        "state": "live",
    }
    return agent_view(known | fields)


def mission(state: str = "working") -> MissionView:
    return mission_view({"id": "m-1", "mission": "Find it", "state": state, "ended": ""})


def spent(tokens: int) -> AccountView:
    return AccountView({"tokens": {"spent": tokens}})


MISSION = mission()
SWARM = Snapshot(
    agents=(
        agent("sob", "", 0, role="board", mission=""),
        agent("picard", "", 0, role="seat", mission=""),
        agent("a-1", charter=json.dumps({"task": "Read\n\x1b[31mall"})),
        agent("a-2", "a-1", 2),
        agent("a-3", "a-1", 2, state="terminated"),
    ),
    missions=(MISSION,),
    accounts={"m-1": spent(100), "a-1": spent(50), "a-2": spent(5), "a-3": spent(20)},
)


def test_the_tree_draws_missions_executives_and_sub_agents_with_their_spend() -> None:
    assert tree_lines(tree_of(SWARM), INK, ended=False) == [
        "● live  sob  tier 0 board  155 tokens with all below",
        "│  seats: picard",
        "└─ mission m-1  working  100 tokens own, 155 tokens with all below  “Find it”",
        (
            "   └─ ● live  a-1  tier 1 researcher  30 tokens own, 55 tokens with all below  “Read "
            "\\x1b[31mall”"
        ),
        "      └─ ● live  a-2  tier 2 researcher  5 tokens",
    ]


def test_the_tree_draws_in_ascii_where_the_terminal_has_no_more() -> None:
    lines = tree_lines(tree_of(SWARM), Ink(is_unicode=False, columns=60), ended=True)
    assert lines[-1].lstrip().startswith("`- - terminated")
    assert [line for line in lines[:3] if "●" in line or "─" in line] == []


def test_an_agent_whose_parent_is_forgotten_is_still_drawn() -> None:
    found = tree_of(Snapshot(agents=(agent("a-9", "a-lost", 2),)))
    assert [child.id for child in found.board.below] == ["a-9"]


def test_records_of_programs_are_numbers_objects_and_iso_times() -> None:
    value = values.agent_value(
        agent_view(
            {"tier": "2", "id": "7", "budget": '{"tokens": 1}', "deadline": "0.0", "data": "{"}
        )
    )
    assert value == {"tier": 2, "id": "7", "budget": {"tokens": 1}, "deadline": "", "data": "{"}
    assert values.unpacked("deadline", "1764000000.5") == "2025-11-24T16:00:00Z"


# --- messages ---------------------------------------------------------------------------------


def test_a_message_is_told_with_who_to_whom_and_all_its_lines() -> None:
    flat = {
        "from": "a-1",
        "to": "a-2",
        "kind": "directive",
        "mission": "m-1",
        "at": "2026-03-01T10:20:30.000Z",
    }
    assert entry_lines("5-0", flat | {"text": "Do\nit\x07"}, INK) == [
        "10:20:30 a-1 → a-2 [directive m-1] Do",
        "         it\\x07",
    ]


def test_a_vote_tells_its_choice_and_a_journal_entry_its_event() -> None:
    flat = {
        "from": "gandhi",
        "kind": "vote",
        "mission": "m-1",
        "at": "",
        "text": "wise",
        "data": '{"choice":"yes"}',
    }
    assert entry_lines("5-0", flat, INK) == ["--:--:-- gandhi [vote yes m-1] wise"]
    flat = {
        "from": "supervisor",
        "kind": "entry",
        "at": "",
        "text": "x",
        "data": '{"event":"agent.spawned"}',
    }
    assert entry_lines("5-0", flat, INK) == ["--:--:-- supervisor [entry agent.spawned] x"]


def test_an_entry_that_is_no_message_shows_its_fields() -> None:
    assert entry_lines("5-0", {"mission": "x\x1b[m"}, INK) == ["5-0  mission=x\\x1b[m"]


# --- the watcher ------------------------------------------------------------------------------


def message(
    kind: Kind, text: str, *, channel: Channel = BOARD_ROOM, sender: str = "picard", **more: Any
) -> Message:
    id_, mission = StreamId(more.pop("id", "")), MissionId(more.pop("mission", "m-1"))
    return Message(
        sender=AgentId(sender),
        kind=kind,
        at="2026-03-01T10:00:00.000Z",
        text=text,
        channel=channel,
        id=id_,
        mission=mission,
        data=more,
    )


def test_the_debate_is_told_by_who_does_what() -> None:
    watcher = Watcher(INK, "m-1")
    assert watcher.heard(message(Kind.PROPOSAL, "charter two")) == ["picard proposes: charter two"]
    assert watcher.heard(message(Kind.ARGUMENT, "but why")) == ["picard argues: but why"]
    consented = message(Kind.ARGUMENT, "", stance="consent")
    assert watcher.heard(consented) == ["picard consents"], "with nothing behind it, no colon"
    assert watcher.heard(message(Kind.VOTE, "it is wise", choice="yes")) == [
        "picard votes yes: it is wise"
    ]
    assert watcher.heard(message(Kind.NOTICE, "carried", sender="clerk")) == ["clerk: carried"]


def test_speakers_are_called_by_their_names_once_these_are_seen() -> None:
    watcher = Watcher(INK, "m-1")
    watcher.seen(Snapshot(agents=(agent("a-1", name="atlas"),)))
    assert watcher.heard(message(Kind.SAY, "hello", sender="a-1")) == ["atlas: hello"]


def test_a_message_is_told_once_and_another_missions_not_at_all() -> None:
    watcher = Watcher(INK, "m-1")
    assert watcher.heard(message(Kind.SAY, "x", id="1-0")) != []
    assert watcher.heard(message(Kind.SAY, "x", id="1-0")) == []
    assert watcher.heard(message(Kind.SAY, "x", id="2-0", mission="m-2")) == []


def test_of_a_used_swarm_only_the_missions_that_are_waited_for_are_told() -> None:
    def refused(mission: str) -> Message:
        told = {"event": "turn.refused", "mission": mission}
        return message(Kind.ENTRY, "turn 13 of x", channel=JOURNAL, **told)

    old = mission_view({"id": "m-0", "mission": "Before", "state": "delivered", "ended": "x"})
    used = Snapshot(SWARM.agents, (old, MISSION), SWARM.accounts)
    watcher = Watcher(INK)
    assert watcher.seen(used) == [], "it is not known yet which is waited for"
    watcher.missions = ("m-1",)
    assert watcher.seen(used) == ["· working: 2 agents, 155 tokens"]
    assert [len(watcher.heard(refused(one))) for one in ("m-1", "m-0", "")] == [1, 0, 0]
    watcher.missions = ("m-1", "m-2")
    assert watcher.seen(Snapshot(SWARM.agents, (old,), SWARM.accounts)) == []
    assert watcher.heard(message(Kind.SAY, "x", mission="m-2")) != []


def test_of_the_journal_is_told_what_happens_to_the_tree() -> None:
    watcher = Watcher(INK, "m-1")

    def entry(text: str, **data: Any) -> list[str]:
        return watcher.heard(
            message(Kind.ENTRY, text, channel=JOURNAL, sender="supervisor", **data)
        )

    assert entry("sob created x", event="agent.spawned") == ["+ sob created x"]
    assert entry("spawn of a: spawn.depth", event="request.refused") == [
        "x spawn of a: spawn.depth"
    ]
    assert entry("m-1: 3 confirmed", event="subtree.ended", confirmed=3) == ["- m-1: 3 confirmed"]
    assert entry("repeats the room", event="board.announced") == []


def test_a_request_that_only_a_person_can_answer_is_told_with_what_to_type() -> None:
    watcher = Watcher(INK, "m-1")

    def asked(needs: str) -> list[str]:
        told = {"event": "approval.requested", "needs": needs, "approval": "ap-7"}
        return watcher.heard(
            message(Kind.ENTRY, "a-1 asks for permission", channel=JOURNAL, sender="a-1", **told)
        )

    assert asked("operator") == [
        "? a-1 asks for permission: swarmd approve ap-7 (or: deny ap-7)",
    ]
    assert asked("board") == [], "the board is called about it"


def test_a_snapshot_is_told_when_the_state_or_the_number_of_agents_changes() -> None:
    watcher = Watcher(INK, "m-1")
    assert watcher.seen(SWARM) == ["· working: 2 agents, 155 tokens"]
    more = Snapshot(SWARM.agents, SWARM.missions, dict(SWARM.accounts) | {"a-2": spent(500)})
    assert watcher.seen(more) == []
    assert watcher.status() == "working: 2 agents, 650 tokens"
    reviewing = Snapshot(SWARM.agents, (mission("reviewing"),), SWARM.accounts)
    assert watcher.seen(reviewing) == ["· reviewing: 2 agents, 155 tokens"]


def test_a_frame_keeps_the_spend_when_the_tree_is_larger_than_the_terminal() -> None:
    watcher = Watcher(INK, "m-1")
    crowd = tuple(agent(f"a-{number:02}") for number in range(40))
    watcher.seen(Snapshot(agents=crowd, missions=(MISSION,)))
    lines = watcher.frame(10)
    assert len(lines) == 10
    assert "more: swarmd tree" in lines[-2]
    assert lines[-1].startswith("working: 40 agents")


def test_a_plain_screen_writes_lines_and_no_escapes() -> None:
    stream = io.StringIO()
    with PlainScreen(stream) as screen:
        screen.say(["one", "two"])
        screen.picture(Watcher(INK, "m-1"))
    assert stream.getvalue() == "one\ntwo\n"


def test_a_live_screen_reads_no_markup_in_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    watcher = Watcher(INK, "m-1")
    watcher.seen(SWARM)
    with LiveScreen(stream, is_coloured=False) as screen:
        screen.say(watcher.heard(message(Kind.SAY, "[red]stop[/red] :smile: \x1b]0;title\x07")))
        screen.picture(watcher)
    assert "[red]stop[/red] :smile: \\x1b]0;title\\x07" in stream.getvalue()
    assert "\x1b]0" not in stream.getvalue()


# --- exits ------------------------------------------------------------------------------------


def test_every_error_has_the_exit_code_of_the_contract() -> None:
    codes = {
        UsageError: 2,
        NotFoundError: 3,
        RefusedError: 4,
        StoreUnavailableError: 5,
        StoreUnsuitableError: 5,
        TimedOutError: 6,
        StoreFullError: 5,
    }
    assert {kind: exit_of(kind("x")) for kind in codes} == codes
    assert exit_of(DeclarationError(("a:1: b: c",))) == 7
    assert exit_of(SwarmError("x")) == 1


def test_every_end_of_a_mission_has_the_exit_code_of_the_contract() -> None:
    ends = {"delivered": 0, "failed": 1, "cancelled": 1, "rejected": 4, "exhausted": 8}
    assert {state: exit_of_mission(state, "") for state in ends} == ends
    assert exit_of_mission("failed", "deadline") == 6


def test_an_error_is_one_object_for_programs_and_two_lines_for_people() -> None:
    stream = io.StringIO()
    complain("no \x1b[31mid", "ask ps", Exit.NOT_FOUND, as_json=False, to=stream)
    assert stream.getvalue() == "swarmd: no \\x1b[31mid\nhint: ask ps\n"
    stream = io.StringIO()
    complain("no id", "ask ps", Exit.NOT_FOUND, as_json=True, to=stream)
    assert json.loads(stream.getvalue()) == {
        "error": {"code": "NOT_FOUND", "message": "no id", "hint": "ask ps"}
    }


# --- what is handed in ------------------------------------------------------------------------


def test_a_mission_has_an_id_of_its_own_and_the_contracts_fields() -> None:
    fields = missions.entrance_fields(
        "Find it",
        None,
        missions.Wishes("tokens=5000, calls=10", 60, "3"),
        ["docs", "a.md"],
    )
    assert missions.entrance_fields("Find it", None, missions.Wishes(), [])["id"] != fields["id"]
    assert json.loads(fields["budget"]) == {"tokens": 5000, "calls": 10}
    assert (fields["deadline_s"], json.loads(fields["files"])) == ("60", ["docs", "a.md"])
    assert fields["board"] == "3"


@pytest.mark.parametrize(
    ("text", "id_", "budget"),
    [
        ("", None, None),
        ("   \n", None, None),
        ("x" * 1_000_001, None, None),
        ("do\x00it", None, None),
        ("ok", "no spaces", None),
        ("ok", "", None),
        ("ok", None, "{"),
        ("ok", None, "tokens"),
        ("ok", None, '{"gold": 5}'),
        ("ok", None, '{"tokens": -5}'),
        ("ok", None, "[" * 100_000),
    ],
)
def test_what_would_be_rejected_is_a_usage_error_before_it_is_sent(
    text: str, id_: str | None, budget: str | None
) -> None:
    with pytest.raises(UsageError):
        missions.entrance_fields(
            missions.mission_text(text, lambda: b""), id_, missions.Wishes(budget), []
        )


def test_a_dash_reads_the_mission_from_standard_input_which_must_be_text() -> None:
    assert missions.mission_text("-", "für alle".encode) == "für alle"
    with pytest.raises(UsageError):
        missions.mission_text("-", lambda: b"\xff\xfe")
    with pytest.raises(UsageError):
        missions.mission_text("-", lambda: b"")
