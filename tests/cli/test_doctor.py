"""`swarmd doctor` over a journal in memory: what it reads, says and ends with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import Ink
from swarmd.cli.session import Sight
from swarmd.cli.verbs.doctor import EVIDENCE_SHOWN, see
from swarmd.core.doctor.modes import MODES
from swarmd.core.model.channels import FACTS
from swarmd.core.model.names import Channel, MissionId, StreamId
from swarmd.errors import NotFoundError, UsageError
from swarmd.ports.reader import Entry, Page, Reader
from swarmd.settings import Settings
from tests.core.doctor.test_modes import ONE, TWO, agent, call, cut

Json = Mapping[str, Any]
LAST = StreamId("99-0")
FACT = {
    "fact": "refuse",
    "agent": TWO,
    "call": "3",
    "rule": "bus.rate",
    "detail": "more than 120",
    "channel": "up:sob",
}


@dataclass
class Journal:
    """What the verb asks a reader: the entries of missions, and facts that none of these has."""

    entries: Sequence[tuple[str, Json]]
    facts: Sequence[Json] = field(default_factory=list)

    def swarm_id(self) -> str:
        return "s-1"

    def mission(self, id: MissionId) -> None:
        """It is forgotten: the journal alone knows it."""

    def journal(self) -> Iterator[tuple[StreamId, str]]:
        for number, (mission, data) in enumerate(self.entries, start=1):
            said = {"mission": mission, "data": {"n": number, **data}}
            yield StreamId(f"{number}-0"), json.dumps(said)

    def page(self, channel: Channel, after: StreamId) -> Page:
        assert channel == FACTS
        found = [
            Entry(FACTS, StreamId(f"9-{number}"), {k: str(v) for k, v in fact.items()}, "")
            for number, fact in enumerate(self.facts, start=1)
        ]
        return Page(tuple(() if after == LAST else found), LAST)


def docketed(mission: str) -> tuple[str, Json]:
    return mission, {"event": "mission.docketed"}


def diagnosed(tmp_path: Path, reference: str, reader: Journal, *, as_json: bool = False) -> Exit:
    sight = Sight(cast(Reader, reader), Ink(), as_json)
    return see(Settings(data=tmp_path), reference, sight)


def ill(*entries: Json, facts: Sequence[Json] = ()) -> Journal:
    made = [agent(ONE), agent(TWO), *entries]
    return Journal([docketed("m-1"), *(("m-1", data) for data in made)], facts)


def test_findings_are_a_table_with_entries_and_costs_and_end_with_seven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = ill(*(call(ONE, n) for n in (3, 4, 5)), cut(ONE, 5), facts=[FACT])
    assert diagnosed(tmp_path, "m-", reader) is Exit.FINDINGS
    heading, repetition, flood, *remedies = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["MODE", "MAST", "AGENT", "TIMES"]
    assert repetition.split()[:7] == ["repetition", "1.3", "one", "1", "3", "300", "7"]
    assert flood.split()[:5] == ["flood", "two", "1", "fact", "9-1"]
    assert [line.partition(":")[0] for line in remedies] == ["repetition", "flood"]


def test_json_has_every_mode_with_its_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [cut(ONE, n) for n in range(3, 5 + EVIDENCE_SHOWN)]
    assert diagnosed(tmp_path, "m-1", ill(*many), as_json=True) is Exit.FINDINGS
    found = json.loads(capsys.readouterr().out)
    counts = {mode["mode"]: mode["count"] for mode in found["modes"]}
    assert counts.pop("repetition") == 1
    assert set(counts.values()) == {0}
    (finding,) = found["modes"][0]["findings"]
    assert len(finding["entries"]) == len(many), "all of them"
    assert (finding["agent"], finding["name"]) == (ONE, "one")


def test_of_long_evidence_people_see_the_beginning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosed(tmp_path, "m-1", ill(*(cut(ONE, n) for n in range(3, 5 + EVIDENCE_SHOWN))))
    assert "4, 5, 6, 7 and 2 more" in capsys.readouterr().out


def test_steps_that_were_taken_are_told_with_what_came_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {"agent": ONE, "detector": "no_progress", "rule": "bus.no-progress", "step": "note"}
    above = {**step, "step": "superior"}
    reader = ill(
        {"event": "intervention.made", **step},
        {"event": "intervention.ended", **step, "outcome": "did not move"},
        {"event": "intervention.made", **above},
    )
    assert diagnosed(tmp_path, "m-1", reader) is Exit.DONE, "a step is no finding by itself"
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first == "corrected: one, no_progress (bus.no-progress): note: did not move (4, 5)"
    assert second == "corrected: one, no_progress (bus.no-progress): superior: not known (6)"
    assert diagnosed(tmp_path, "m-1", reader, as_json=True) is Exit.DONE
    told = json.loads(capsys.readouterr().out)["corrections"]
    assert [(one["step"], one["outcome"]) for one in told] == [
        ("note", "did not move"),
        ("superior", None),
    ]


def test_nothing_found_says_what_was_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diagnosed(tmp_path, "m-1", ill(call(ONE, 1))) is Exit.DONE
    assert (
        capsys.readouterr().out == f"none of {len(MODES)} modes was found in m-1 "
        "(2 agents, 1 call of models and functions)\n"
    )


def test_a_mission_is_named_by_its_beginning_where_no_other_begins_so(tmp_path: Path) -> None:
    reader = Journal([docketed("m-1a"), docketed("m-1b"), docketed("m-1")])
    assert diagnosed(tmp_path, "m-1a", reader) is Exit.DONE
    assert diagnosed(tmp_path, "m-1", reader) is Exit.DONE, "the whole id of one"
    with pytest.raises(UsageError):
        diagnosed(tmp_path, "m-", reader)
    with pytest.raises(NotFoundError):
        diagnosed(tmp_path, "m-2", reader)
    with pytest.raises(NotFoundError):
        diagnosed(tmp_path, "", reader)
