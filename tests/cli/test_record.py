"""`swarmd record`: the missions, the calls of one, one call; from the folder alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from swarmd.adapters.record.folder import Bounds
from swarmd.cli.exit_codes import Exit
from swarmd.cli.main import main
from swarmd.cli.order_client import Waiting
from swarmd.cli.render.text import Ink
from swarmd.cli.session import Sight
from swarmd.cli.verbs.health import health_findings
from swarmd.cli.verbs.record import order_forgetting
from swarmd.cli.verbs.targets import Wish
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel, MissionId
from swarmd.core.model.timings import stamp_of
from swarmd.core.model.versions import SCHEMA
from swarmd.core.queries.snapshot import MissionView, Snapshot
from swarmd.errors import NotFoundError
from swarmd.ports.reader import Health, Notifications, Reader
from tests.adapters.record.test_record import NOW, SYSTEM, aged, answer, full_disk, opened
from tests.cli.memory_reader import MemoryReader

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


def test_as_json_neither_is_it_obeyed(tmp_path: Path, capsys: Capture) -> None:
    said = "so: \x9b2J \u202e \u2028clerk: carried"
    opened(tmp_path / "record").write([answer(1, text=said, more={"wrote": said})])
    for call in ((), ("a-1.1.3.1",)):
        out = told(capsys, "m-1", *call, "--data", str(tmp_path), "--json")
        assert out.rstrip("\n").isprintable()
        assert said in (json.loads(out)["calls"][0] if not call else json.loads(out)).values()


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


# --- to forget --------------------------------------------------------------------------------


def forget(root: Path, mission: str, *, holds_all: bool, known: str = "") -> list[str]:
    """The missions of the orders that were posted; `known` is its state in the store."""
    views = (MissionView(id=MissionId(mission), state=known),) if known else ()
    reader, posted = MemoryReader(Snapshot(missions=views)), list[str]()
    sight = Sight(cast(Reader, reader), Ink(), False)
    waiting = Waiting(cast(Notifications, None), 0.0)

    def post(channel: Channel, message: Message, id: str) -> str:
        posted.append(str(message.data["target"]))
        return id

    wish = Wish("forget", mission, "asked for")
    given = (root / "record", holds_all, sight, post, waiting, wish)
    assert order_forgetting(*given, is_awaited=False) == Exit.DONE
    return posted


@pytest.mark.parametrize("holds_all", [True, False])
def test_a_mission_that_never_was_is_not_found_and_nothing_is_ordered(
    data: Path, holds_all: bool
) -> None:
    for mission in ("m-nope", "../x"):
        with pytest.raises(NotFoundError, match="there is no record of"):
            forget(data, mission, holds_all=holds_all)


def test_what_is_forgotten_already_is_not_found_though_the_swarm_knows_the_mission(
    data: Path,
) -> None:
    with pytest.raises(NotFoundError):
        forget(data, "m-2", holds_all=True, known="delivered")


def test_what_there_is_may_be_elsewhere_or_is_refused_by_the_supervisor_is_ordered(
    data: Path, capsys: Capture
) -> None:
    assert forget(data, "m-1", holds_all=False) == ["m-1"]
    assert "there is none in" not in capsys.readouterr().err
    assert forget(data, "m-2", holds_all=False, known="delivered") == ["m-2"]
    assert "there is none in" in capsys.readouterr().err
    assert forget(data, "m-2", holds_all=True, known="working") == ["m-2"]
