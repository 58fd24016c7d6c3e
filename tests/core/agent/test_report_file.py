"""A final report as a file of the mission."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from swarmd.core.agent.report_file import (
    files_named,
    is_of,
    paths_of,
    report_path,
    text_of,
    with_files,
)
from swarmd.core.model.functions import REPORTS, WriteFile
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, AgentId, Channel
from swarmd.core.model.provenance import stamped
from tests.core.swarm_builder import world

TOP = world().grow(SOB, "top")
OTHER = replace(TOP, id=AgentId("a-other"))


def report(text: str = "It is so.", *files: str) -> Message:
    return Message(
        sender=TOP.id,
        kind=Kind.REPORT,
        at="now",
        text=text,
        data={"done": True, "files": list(files), "name": TOP.name},
        channel=Channel("up:sob"),
    )


def test_the_file_says_whose_report_it_is_what_its_author_had_read_and_which_files_it_names() -> (
    None
):
    said = stamped(report(), ["file", "agent"])
    assert text_of(TOP, said, ["work/a.md", "docs/b.md"]) == (
        f"# Report of top ({TOP.id}, {TOP.role})\n"
        "Its author had read untrusted text: agent, file\n"
        "Files that it names:\n- work/a.md\n- docs/b.md\n\n"
        "It is so.\n"
    )


def test_an_author_who_had_read_nothing_untrusted_is_not_said_to_have() -> None:
    assert text_of(TOP, report(), []) == f"# Report of top ({TOP.id}, {TOP.role})\n\nIt is so.\n"


NAMES = st.lists(st.text(min_size=1, max_size=40), max_size=6)


@given(st.text(max_size=200), NAMES)
def test_what_a_report_names_can_be_read_from_its_file_whatever_it_says(
    text: str, names: list[str]
) -> None:
    said = stamped(report(text), ["file"])
    shown = tuple(name for name in names if name.isprintable())
    assert files_named(text_of(TOP, said, names)) == shown


def test_a_text_that_is_no_report_names_no_files() -> None:
    assert files_named("Files that it names:\n- work/a.md\n") == ()
    assert files_named("") == ()


def test_two_agents_of_one_name_have_names_apart_for_their_files() -> None:
    first, second = paths_of(TOP.name, TOP.id), paths_of(OTHER.name, OTHER.id)
    assert first[0] == second[0] == f"{REPORTS}top.md"
    assert first[1] != second[1]
    title = text_of(TOP, report(), []).splitlines()[0]
    assert is_of(TOP, title)
    assert not is_of(OTHER, title)


def test_a_report_says_where_it_stands_once() -> None:
    said = with_files(report(), "work/reports/top.md", ["work/a.md", "work/reports/top.md"])
    assert said.data["files"] == ["work/reports/top.md", "work/a.md"]
    assert report_path(TOP.name, TOP.id, said.data["files"]) == "work/reports/top.md"
    assert report_path("anna", TOP.id, said.data["files"]) == ""


@pytest.mark.parametrize("path", ["work/reports/a.md", "reports/a.md", "./work//reports/./x/y"])
def test_no_agent_writes_among_the_reports(path: str) -> None:
    with pytest.raises(ValidationError, match="the move `report` alone writes below work/reports/"):
        WriteFile(path=path, text="forged")
