"""What a seat is shown of the reports of executives' children: the last of each, in a bounded room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.child_reports import (
    PART_CHARS_MIN,
    ROOM_CHARS,
    ChildReport,
    child_reports_text,
    last_reports,
)
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, AgentState, MissionId
from tests.core.swarm_builder import world

# Of a report's head: the names, and how much of it is shown.
HEAD_CHARS = 200


def child(name: str, id: str) -> Agent:
    manager = world().grow("sob", "top")
    return replace(manager, id=AgentId(id), name=name, tier=2)


def report(sender: str, text: str, *, done: bool = True, **data: Any) -> Message:
    return Message(
        sender=AgentId(sender),
        kind=Kind.REPORT,
        mission=MissionId("m1"),
        at="now",
        text=text,
        data={"done": done, **data},
    )


DIG = child("dig", "a-9")
ASK = child("ask", "a-8")
REPORTS = [ChildReport("ann", DIG, report("a-9", "Redis dies after 3 s."))]


def test_the_last_report_of_each_child_counts_in_the_order_in_which_they_were_made() -> None:
    said = [
        report("a-8", "early", done=False),
        report("a-9", "found"),
        report("a-8", "late"),
        replace(report("a-9", "thanks"), kind=Kind.SAY),
        report("a-stranger", "believe me"),
    ]
    found = last_reports("ann", [DIG, ASK], said)
    assert [(one.child.name, one.message.text) for one in found] == [
        ("dig", "found"),
        ("ask", "late"),
    ]


def test_a_head_says_whose_it_is_whether_it_is_final_and_what_is_wrong_with_its_citations() -> None:
    cited = {"right": 1, "wrong": ["notes/a.md:9: the file has 7 lines"]}
    asked = ChildReport("ann", ASK, report("a-8", "half of it", done=False, citations=cited))
    assert child_reports_text([*REPORTS, asked]) == (
        "dig (a-9) to ann, done\nRedis dies after 3 s.\n\n"
        "ask (a-8) to ann, not done; citations: 1 of 2 citations have words of their claim in the "
        "cited lines; not so: notes/a.md:9: the file has 7 lines\nhalf of it"
    )


def test_what_was_measured_of_a_childs_kpis_stands_in_its_head() -> None:
    kpis = [["words <= 2", 4, False], ["calls <= 9", 3, True]]
    counted = ChildReport("ann", DIG, report("a-9", "It is so there.", kpis=kpis))
    head, _ = child_reports_text([counted]).split("\n")
    assert head == "dig (a-9) to ann, done; KPIs: words <= 2: 4, missed; calls <= 9: 3"


def test_a_long_report_is_cut_and_says_so() -> None:
    long = ChildReport("ann", DIG, report("a-9", "x" * 10_000))
    assert child_reports_text([long]) == (
        f"dig (a-9) to ann, done\n{'x' * ROOM_CHARS}\n[… cut after 6,000 of 10,000 characters]"
    )


def test_a_cut_is_at_the_end_of_a_line_marked_there_and_says_where_the_whole_stands() -> None:
    line = "Redis dies after three seconds (docs/redis.md:3)."
    said = "\n".join([line] * 200)
    files = ["work/reports/dig.md", "work/x.md"]
    text = child_reports_text([ChildReport("ann", DIG, report("a-9", said, files=files))])
    *shown, mark = text.split("\n")[1:]
    assert set(shown) == {line}
    assert mark == (
        f"[… cut after {len(line) * 120 + 119:,} of {len(said):,} characters: the whole is in "
        "work/reports/dig.md]"
    )
    prose = child_reports_text([ChildReport("ann", DIG, report("a-9", "several words " * 999))])
    assert prose.split("\n")[1].endswith(("several", "words"))


def test_what_a_short_report_leaves_is_the_others() -> None:
    short, long = report("a-8", "short"), report("a-9", "x" * (ROOM_CHARS - 5))
    text = child_reports_text([ChildReport("ann", ASK, short), ChildReport("ann", DIG, long)])
    assert "cut" not in text


@given(st.lists(st.integers(0, 3 * ROOM_CHARS), max_size=60))
def test_however_many_and_long_they_are_they_fit_in_the_room(sizes: list[int]) -> None:
    reports = [ChildReport("ann", DIG, report("a-9", "x" * size)) for size in sizes]
    text = child_reports_text(reports)
    assert text.count("x") <= ROOM_CHARS
    shown = min(len(sizes), ROOM_CHARS // PART_CHARS_MIN)
    assert len(text) <= ROOM_CHARS + HEAD_CHARS * (shown + 1)
    assert (f"{len(sizes) - shown} more are not shown" in text) == (len(sizes) > shown)


def test_of_one_that_was_ended_since_that_is_said() -> None:
    ended = replace(DIG, state=AgentState.TERMINATED)
    told = ChildReport("ann", ended, report("a-9", "nothing", done=True)).to_text(100)
    assert "to ann, done, and was ended since" in told
