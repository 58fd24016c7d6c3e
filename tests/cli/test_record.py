"""`swarmd record`: the missions, the calls of one, one call; from the folder alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from swarmd.adapters.record.folder import Bounds
from swarmd.cli.exit_codes import Exit
from swarmd.cli.main import main
from swarmd.cli.verbs.health import health_findings
from swarmd.core.model.timings import stamp_of
from swarmd.core.model.versions import SCHEMA
from swarmd.ports.reader import Health
from tests.adapters.record.test_record import NOW, SYSTEM, aged, answer, full_disk, opened

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A mission with a call of a model, one of a function that failed, and a person's word."""
    function = answer(
        2,
        kind="function",
        name="file/read",
        given={"path": "a.md"},
        text='{"ok": false, "detail": "no file a.md"}',
        is_ok=False,
        more={},
    )
    model = answer(
        1,
        text='{"moves": [{"move": "vote", "choice": "yes", "reason": "it is sound"}]}',
        more={"tokens_in": 1_234, "tokens_out": 56, "wrote": "Yes,\x1b[2J it is."},
    )
    word = answer(0, kind="person", name="operator", text="look at b.md", at=stamp_of(NOW + 9))
    opened(tmp_path / "record").write([model, function, word, answer(1, "m-other")])
    return tmp_path


def told(capsys: Capture, *words: str) -> str:
    assert main(["record", *words]) == Exit.DONE
    return capsys.readouterr().out


def test_without_a_mission_those_that_have_a_record_are_listed(data: Path, capsys: Capture) -> None:
    out = told(capsys, "--data", str(data))
    assert "m-1 " in out
    assert "m-other" in out
    value = json.loads(told(capsys, "--data", str(data), "--json"))
    assert {one["mission"] for one in value["missions"]} == {"m-1", "m-other"}
    assert value["removed"] == []


def test_each_call_of_a_mission_is_a_line_with_who_what_and_how_much(
    data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, model, function, person = told(capsys, "m-1", "--data", str(data)).splitlines()
    assert model.split()[:1] == ["a-1.1.3.1"]
    for part in ("loss", "model", "openai:x", "1234", "56", "1.2", "vote yes"):
        assert part in model
    assert "failed: no file a.md" in function
    assert "look at b.md" in person
    calls = json.loads(told(capsys, "m-1", "--data", str(data), "--json"))["calls"]
    assert [one["kind"] for one in calls] == ["model", "function", "person"]
    assert "given" not in calls[0]


def test_one_call_is_shown_whole_and_no_terminal_obeys_it(data: Path, capsys: Capture) -> None:
    out = told(capsys, "m-1", "a-1.1.3.1", "--data", str(data))
    for part in ("--- given", SYSTEM.strip(), "[user]", "ask 1", "--- answered", '"choice": "yes"'):
        assert part in out
    assert "\x1b" not in out
    whole = json.loads(told(capsys, "m-1", "a-1.1.3.1", "--data", str(data), "--json"))
    assert whole["given"] == answer().given


def test_what_was_left_out_is_told(tmp_path: Path, capsys: Capture) -> None:
    path, folder = full_disk(tmp_path / "record"), opened(tmp_path / "record")
    folder.write([answer(1)])
    path.unlink()
    folder.write([answer(2)])
    assert main(["record", "m-1", "--data", str(tmp_path)]) == Exit.DONE
    assert "1 call left out: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["m-2"], ["m-1", "a-9.1.1.1"]])
def test_what_is_not_there_is_not_found(data: Path, capsys: Capture, words: list[str]) -> None:
    assert main(["record", *words, "--data", str(data)]) == Exit.NOT_FOUND
    assert "swarmd record" in capsys.readouterr().err


def test_a_record_that_was_removed_is_said_to_be_gone(data: Path, capsys: Capture) -> None:
    aged(data / "record", "m-1", 7_200)
    opened(data / "record", bounds=Bounds(1 << 30, 3_600)).sweep()
    assert main(["record", "m-1", "--data", str(data)]) == Exit.NOT_FOUND
    assert "was removed for its age" in capsys.readouterr().err


def test_the_beginning_of_an_id_will_do_and_must_mean_one(data: Path, capsys: Capture) -> None:
    assert "a-1.1.3.1" in told(capsys, "m-o", "--data", str(data))
    assert main(["record", "m-", "--data", str(data)]) == Exit.USAGE


def test_health_tells_of_a_worker_that_cannot_write_its_record() -> None:
    host = {"hostname": "box", "unrecorded": "No space left on device"}
    state = Health("h-0", True, {"h-1": host}, (), 0, 0, SCHEMA, True, True)
    (finding,) = health_findings(state, part=None, host_name="box")
    assert "h-1 (box) cannot write the record of missions: No space left" in finding
    assert not health_findings(
        replace(state, hosts={"h-1": {"hostname": "box"}}), part=None, host_name="box"
    )
