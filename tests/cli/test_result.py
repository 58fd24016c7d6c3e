"""What a mission delivered, printed and handed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swarmd.adapters.files.workspace import Workspace
from swarmd.cli.exit_codes import Exit, TimedOutError
from swarmd.cli.main import main
from swarmd.cli.options import HandOver
from swarmd.cli.verbs import result
from swarmd.core.model.names import MissionId
from swarmd.core.queries.snapshot import Snapshot, agent_view, mission_view
from swarmd.errors import NotFoundError, UsageError
from swarmd.settings import Settings
from tests.cli.memory_reader import MemoryReader
from tests.cli.test_inspect import sight, stored

REPORT = "work/reports/atlas.md"
NOWHERE = HandOver()


def reader(**fields: str) -> MemoryReader:
    known = {"id": "m-1", "mission": "Find it", "state": "delivered", "result": "The\nanswer."}
    known |= {"ended": "now", "result_files": json.dumps([REPORT, "work/a.md"])}
    agents = (agent_view(stored("a-1", "sob", 1)),)
    return MemoryReader(Snapshot(agents, (mission_view(known | fields),)))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"SWARMD_DATA": str(tmp_path / "data")})


@pytest.fixture
def written(settings: Settings) -> Workspace:
    files = Workspace(settings.data / "workspace", None)
    files.write(MissionId("m-1"), REPORT, "# Report of atlas (a-1, lead)\n\nIt is so.\n")
    files.write(MissionId("m-1"), "work/a.md", "a")
    return files


def asked(
    settings: Settings, of: MemoryReader, out: HandOver = NOWHERE, *, as_json: bool = False
) -> Exit:
    return result.of_mission(sight(of, as_json=as_json), settings, "m-1", out)


def test_the_result_stands_alone_on_standard_output_and_its_files_beside_it(
    settings: Settings, written: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(settings, reader()) == Exit.DONE
    out, err = capsys.readouterr()
    assert out == "The\nanswer.\n"
    assert "m-1: delivered" in err
    assert f": {REPORT}, work/a.md\n" in err
    assert "swarmd result m-1 --out DIR" in err


def test_of_a_swarm_elsewhere_the_files_are_named_that_its_supervisor_knows(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(settings, reader()) == Exit.DONE
    assert f": {REPORT}, work/a.md\n" in capsys.readouterr().err


def test_with_a_folder_the_result_and_its_files_are_put_there(
    settings: Settings, written: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "not" / "yet" / "there"
    assert asked(settings, reader(), HandOver(folder)) == Exit.DONE
    out, err = capsys.readouterr()
    assert (folder / "result.md").read_text() == out == "The\nanswer.\n"
    assert (folder / REPORT).read_text().endswith("It is so.\n")
    assert (folder / "work/a.md").read_text() == "a"
    assert f"3 files in {folder}\n" in err
    assert err.splitlines()[-1] == "m-1: delivered (spent nothing)"


def test_as_json_it_says_what_was_handed_over(
    settings: Settings, written: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = json.dumps([REPORT, "work/a.md", "work/nowhere.md"])
    of = reader(result_files=named)
    assert asked(settings, of, HandOver(tmp_path / "out"), as_json=True) == Exit.DONE
    value = json.loads(capsys.readouterr().out)
    assert value["result"] == "The\nanswer."
    assert value["result_files"] == [REPORT, "work/a.md", "work/nowhere.md"]
    assert value["handed_over"] == {
        "folder": str(tmp_path / "out"),
        "files": ["result.md", REPORT, "work/a.md"],
        "left_out": [],
        "absent": ["work/nowhere.md"],
        "elsewhere": [],
    }


def test_files_that_are_not_on_this_machine_are_told_with_how_to_get_them(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = HandOver(tmp_path / "out")
    assert asked(settings, reader(), out) == Exit.NOT_FOUND
    said = capsys.readouterr()
    assert "2 more are not on this machine" in said.err
    assert "docker compose cp worker:/data/workspace/m-1/work/work" in said.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.md"]
    assert said.out == "The\nanswer.\n"


def test_a_file_that_cannot_be_copied_is_told_and_is_a_failure(
    settings: Settings, written: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.data / "workspace/m-1/work/work/b.bin").write_bytes(b"\0")
    of = reader(result_files=json.dumps(["work/b.bin"]))
    assert asked(settings, of, HandOver(tmp_path / "out")) == Exit.FAILED
    assert "not handed over: work/b.bin: is binary" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_any_more_costs_nobody_the_result(
    settings: Settings, written: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file, by now")
    assert asked(settings, reader(), HandOver(tmp_path / "out")) == Exit.FAILED
    out, err = capsys.readouterr()
    assert out == "The\nanswer.\n"
    assert f"not handed over: {tmp_path / 'out'}" in err


def test_a_mission_that_delivered_nothing_ends_as_a_wait_for_it_does(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = reader(state="rejected", reason="no", result="", result_files="[]")
    assert asked(settings, of, HandOver(tmp_path / "out")) == Exit.REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    assert "m-1: rejected: no" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_mission_that_has_not_ended_is_told_so_and_no_folder_is_made(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(TimedOutError, match="has not ended: it is working"):
        asked(settings, reader(state="working", ended=""), HandOver(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("reference", ["a-1", "m-2"])
def test_what_is_no_mission_is_not_found(settings: Settings, reference: str) -> None:
    with pytest.raises(NotFoundError):
        result.of_mission(sight(reader()), settings, reference, HandOver())


# --- the folder -------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(
    settings: Settings, written: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/result.md").write_text("theirs")
    (tmp_path / "out/notes.md").write_text("theirs")
    with pytest.raises(UsageError, match="is not empty"):
        result.refuse_folder(HandOver(tmp_path / "out"))
    # What has come there since is not replaced either.
    assert asked(settings, reader(), HandOver(tmp_path / "out")) == Exit.FAILED
    assert (tmp_path / "out/result.md").read_text() == "theirs"
    assert asked(settings, reader(), HandOver(tmp_path / "out", force=True)) == Exit.DONE
    assert (tmp_path / "out/result.md").read_text() == "The\nanswer.\n"
    assert (tmp_path / "out/notes.md").read_text() == "theirs"


@pytest.mark.parametrize("verb", ["run", "submit", "result"])
def test_where_files_cannot_go_is_told_before_anything_is_begun(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWARMD_DATA", str(tmp_path / "data"))
    (tmp_path / "file").write_text("x")
    wait = ["--wait"] if verb == "submit" else []
    for words, said in (
        (["--out", str(tmp_path)], "is not empty"),
        (["--out", str(tmp_path / "file")], "is a file"),
        (["--out", str(tmp_path / "file" / "below")], "is a file"),
        (["--force"], "--force is said of --out"),
    ):
        assert main([verb, "m-1", *wait, *words]) == Exit.USAGE
        assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_who_does_not_wait_is_given_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "Find it", "--out", str(tmp_path / "out")]) == Exit.USAGE
    assert "--out takes --wait" in capsys.readouterr().err
