"""KPIs with a number: which can be measured, and what stands beside a report."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from swarmd.core.board.reporting import report_of
from swarmd.core.board.room import report_data
from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.kpis import (
    MEASURES,
    KpiResult,
    kpi_results,
    kpi_rows,
    kpis_of,
    kpis_text,
    measured,
)
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId
from swarmd.core.model.records import ExecutiveReport
from swarmd.core.model.tables import REPORTS
from tests.core.swarm_builder import world

COUNTS = dict.fromkeys(MEASURES, 10)


@pytest.mark.parametrize(
    ("kpi", "is_met"),
    [
        ("words <= 10", True),
        ("words<=9", False),
        ("Citations >= 10", True),
        ("citations ≥ 10.5", False),
        ("files ≤ 10", True),
        ("lines > 10", False),
        ("calls < 11", True),
        ("  seconds   =  10 ", True),
        ("tokens <= 20,000", True),
    ],
)
def test_a_kpi_that_says_how_many_of_what_is_measured(kpi: str, is_met: bool) -> None:
    assert measured([kpi], COUNTS) == (KpiResult(" ".join(kpi.split()), 10, is_met),)


@pytest.mark.parametrize(
    "kpi",
    [
        "Claims with a source, of all claims; aim for all.",
        "words",
        "words <= 900 per page",
        "at most words <= 900",
        "sources >= 5",
        "words <= -1",
        "words <= many",
        "words == 5",
        "words <= 1" + "0" * 400,
        "",
    ],
)
def test_another_kpi_is_words_for_people_and_models(kpi: str) -> None:
    assert measured([kpi], COUNTS) == ()


def test_what_nobody_could_count_is_not_measured() -> None:
    found = measured(["citations >= 1", "words >= 1"], {"words": 3})
    assert [one.kpi for one in found] == ["words >= 1"]


def test_what_was_measured_is_told_and_what_is_missed_is_marked() -> None:
    found = measured(["words <= 900", "tokens <= 1,000"], {"words": 812, "tokens": 1_204})
    assert kpis_text(found) == "words <= 900: 812; tokens <= 1,000: 1,204, missed"
    assert kpis_text([]) == ""


def test_what_is_written_is_read_back_and_what_has_another_form_is_none() -> None:
    found = measured(["words <= 900"], {"words": 812})
    assert kpis_of({"kpis": kpi_rows(found)}) == found
    assert kpi_results([["words <= 9", 10], ["words <= 9", "x", True], "words", None]) == ()
    others: tuple[object, ...] = (None, 1, "text", {})
    assert [kpis_of({"kpis": other}) for other in others] == [()] * 4


# --- of an executive's report -------------------------------------------------------------------

REPORT = ExecutiveReport(AgentId("a-1"), "ann", "It is so.", is_done=True)
COUNTED = replace(REPORT, kpis=(KpiResult("words <= 2", 3, is_met=False),))


@pytest.mark.parametrize("report", [REPORT, COUNTED])
def test_a_report_is_read_back_with_what_was_measured(report: ExecutiveReport) -> None:
    assert REPORTS.read("a-1", REPORTS.encode(report)) == report


def test_a_report_of_a_former_release_has_no_kpis_and_the_digest_that_it_had() -> None:
    former = json.dumps(["a-1", "ann", "It is so.", [], True, [], 0, [], []])
    assert REPORTS.read("a-1", former) == REPORT
    said = sha256(canonical(["ann", "It is so.", [], [], 0, [], []]))
    assert REPORTS.record(REPORT) == {"a-1": f"done:{said}"}
    assert REPORTS.record(COUNTED) != REPORTS.record(REPORT)


def test_the_board_is_told_what_was_measured() -> None:
    executive = world().grow("sob", "ann")
    data = {"done": True, "kpis": [["words <= 2", 3, False]]}
    message = Message(sender=executive.id, kind=Kind.REPORT, at="", text="It is so.", data=data)
    assert report_data(report_of(executive, message))["kpis"] == "words <= 2: 3, missed"
