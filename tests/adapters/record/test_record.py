"""The record as files: what is noted is read back, whoever wrote, died or ran out of room."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from structlog.testing import capture_logs

from swarmd.adapters.record import lines, reading
from swarmd.adapters.record.folder import BUSY_SECONDS, FULL, SHARE_USED, Bounds, RecordFolder
from swarmd.adapters.record.recorder import QUEUE_MAX, TOO_SLOW, Recorder
from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.names import MissionId
from swarmd.core.model.timings import stamp_of
from swarmd.errors import WorkspaceError
from swarmd.ports.record import Answer

M = MissionId("m-1")
NOW = 1_800_000_000.0
SYSTEM = "You are an agent of a swarm. " * 40
ROOMY = Bounds(1 << 30, 1e9)


@dataclass
class FakeClock:
    at: float = NOW

    def now(self) -> float:
        return self.at

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-1"


def opened(root: Path, writer: str = "h-1", bounds: Bounds = ROOMY, **more: Any) -> RecordFolder:
    return RecordFolder(root, writer, bounds, more.pop("clock", FakeClock()), **more)


def answer(step: int = 1, mission: str = M, **more: Any) -> Answer:
    given = ["openai:x", SYSTEM, "persona", [["user", f"ask {step}"], ["assistant", "a" * 300]]]
    made = Answer(
        mission=MissionId(mission),
        agent="a-1",
        agent_name="loss",
        incarnation=1,
        turn=3,
        step=step,
        kind="model",
        name="openai:x",
        given=given,
        input=sha256(canonical(given)),
        text='{"moves": []}',
        at=stamp_of(NOW + step),
        seconds=1.25,
        used={"tokens": 12, "calls": 1},
    )
    return replace(made, **more)


def read(root: Path, mission: str = M) -> reading.MissionRecord:
    found = reading.read_mission(root, MissionId(mission))
    assert found is not None
    return found


# --- what is kept -----------------------------------------------------------------------------


def test_a_call_is_read_back_as_it_was_with_its_prompt(tmp_path: Path) -> None:
    opened(tmp_path).write([answer()])
    record = read(tmp_path)
    call = record.find("a-1", 1, 3, 1)
    assert call is not None
    whole = record.whole(call)
    assert whole["given"] == answer().given
    assert sha256(canonical(whole["given"])) == whole["input"]
    assert sha256(whole["text"]) == whole["answer"]
    assert (whole["used"], whole["seconds"], whole["ok"]) == (
        {"tokens": 12, "calls": 1},
        1.25,
        True,
    )


def test_what_is_the_same_in_many_prompts_is_stored_once(tmp_path: Path) -> None:
    opened(tmp_path).write([answer(step) for step in range(1, 41)])
    (file,) = (tmp_path / M).iterdir()
    raw = file.read_text()
    assert raw.count(SYSTEM) == 1
    assert len(raw) < 40 * len(SYSTEM)
    assert {
        record.whole(one)["given"][1] for record in [read(tmp_path)] for one in record.calls
    } == {SYSTEM}


def test_answers_alone_are_kept_without_prompts(tmp_path: Path) -> None:
    opened(tmp_path, has_prompts=False).write([answer()])
    assert SYSTEM not in (tmp_path / M / "h-1.jsonl").read_text()
    (call,) = read(tmp_path).calls
    assert call["text"] == '{"moves": []}'
    assert call["input"] == answer().input
    assert "given" not in call


def test_what_looks_like_a_name_of_ours_comes_back_as_it_was(tmp_path: Path) -> None:
    given = {"$text": "0" * 64, "deep": [{"$json": "x"}, {"$text": ["y" * 400]}]}
    opened(tmp_path).write([answer(given=given)])
    record = read(tmp_path)
    assert record.whole(record.calls[0])["given"] == given


def test_nobody_else_on_the_machine_reads_it(tmp_path: Path) -> None:
    opened(tmp_path / "record").write([answer()])
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "record").rglob("*")]
    assert sorted(modes) == [0o600, 0o700]


def test_a_mission_whose_id_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError):
        opened(tmp_path).forget(MissionId("../x"), NOW)
    with pytest.raises(WorkspaceError):
        reading.read_mission(tmp_path, MissionId("../x"))


def test_of_a_call_that_a_successor_met_again_the_first_counts(tmp_path: Path) -> None:
    opened(tmp_path, "h-2").write([answer(at=stamp_of(NOW), is_repeated=True, used={})])
    opened(tmp_path, "h-1").write([answer()])
    (call,) = read(tmp_path).calls
    assert call["used"] == {"tokens": 12, "calls": 1}


def test_each_word_of_a_person_is_kept_once_however_often_its_turn_was_taken(
    tmp_path: Path,
) -> None:
    words = [answer(0, kind="person", text=text) for text in ("go on", "stop", "go on")]
    opened(tmp_path).write(words)
    assert sorted(str(call["text"]) for call in read(tmp_path).calls) == ["go on", "stop"]


# --- crashes ----------------------------------------------------------------------------------


def test_at_whatever_byte_the_file_is_cut_what_is_whole_is_read(tmp_path: Path) -> None:
    opened(tmp_path).write([answer(1), answer(2), answer(3)])
    path = tmp_path / M / "h-1.jsonl"
    raw = path.read_bytes()
    whole = [i for i in range(len(raw)) if raw[i : i + 1] == b"\n"]
    for cut in sorted({*range(0, len(raw), 97), *whole, *(end + 1 for end in whole), len(raw) - 1}):
        path.write_bytes(raw[:cut])
        record = read(tmp_path)
        assert [call["step"] for call in record.calls] == [1, 2, 3][: len(record.calls)]
        assert len(record.calls) >= sum(b'"call":' in line for line in raw[:cut].split(b"\n")[:-1])
        for call in record.calls:
            assert record.whole(call)["given"] == answer(call["step"]).given
        # A line without its last character, the line feed, is whole.
        assert record.unreadable <= 1


def test_a_line_of_anybody_else_is_passed_over_and_counted(tmp_path: Path) -> None:
    opened(tmp_path).write([answer()])
    with (tmp_path / M / "h-1.jsonl").open("ab") as file:
        file.write(b'[]\n{"call":7}\n\xff\xfe\n{"left_out":"x"}\n' + b"[" * 100_000 + b"\n")
    record = read(tmp_path)
    assert len(record.calls) == 1
    assert record.unreadable == 5


def test_a_file_of_a_newer_format_is_told_and_not_read(tmp_path: Path) -> None:
    opened(tmp_path).write([answer()])
    head = lines.line_of({"record": lines.FORMAT + 1, "mission": M, "at": stamp_of(NOW)})
    (tmp_path / M / "h-9.jsonl").write_bytes(head + b'{"new":1}\n')
    record = read(tmp_path)
    assert record.newer == ["h-9.jsonl"]
    assert len(record.calls) == 1


def test_two_writers_on_one_volume_take_nothing_from_each_other(tmp_path: Path) -> None:
    def work(writer: str) -> None:
        folder = opened(tmp_path, writer)
        for step in range(1, 101):
            folder.write([answer(step, agent=f"a-{writer}")])

    threads = [threading.Thread(target=work, args=(f"h-{n}",)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = read(tmp_path)
    assert len(record.calls) == 200
    assert record.unreadable == 0
    assert record.find("a-h-2", 1, 3, 77) is not None


# --- no room ----------------------------------------------------------------------------------


def full_disk(root: Path, mission: str = M) -> Path:
    (root / mission).mkdir(parents=True)
    path = root / mission / "h-1.jsonl"
    path.symlink_to("/dev/full")
    return path


def test_a_full_disk_fails_nobody_is_counted_and_told_when_there_is_room(
    tmp_path: Path,
) -> None:
    path, folder = full_disk(tmp_path), opened(tmp_path)
    with capture_logs() as logged:
        folder.write([answer(1), answer(2)])
    assert "No space left" in folder.trouble
    assert [one["event"] for one in logged] == ["record.left_out"], "once, not for each call"
    path.unlink()
    folder.write([answer(3)])
    assert folder.trouble == ""
    record = read(tmp_path)
    assert [call["step"] for call in record.calls] == [3]
    assert record.left_out.total() == 2


def test_what_a_full_disk_took_half_of_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, write = opened(tmp_path), os.write
    folder.write([answer(1)])

    def half(handle: int, content: Any) -> int:
        write(handle, bytes(content[: len(content) // 2]))
        monkeypatch.setattr(os, "write", write)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    folder.write([answer(2), answer(3)])
    record = read(tmp_path)
    assert [call["step"] for call in record.calls] == [1, 3]
    assert (record.unreadable, record.left_out.total()) == (0, 1)


def test_one_mission_takes_no_more_than_its_share(tmp_path: Path) -> None:
    folder = opened(tmp_path, bounds=Bounds(40_000, 1e9))
    folder.write([answer(step) for step in range(1, 60)])
    folder.write([answer(1, "m-2")])
    folder.sweep()
    assert (tmp_path / M / "h-1.jsonl").stat().st_size < 10_000 + 200
    record = read(tmp_path)
    assert record.left_out[SHARE_USED] == 59 - len(record.calls) > 0
    assert len(read(tmp_path, "m-2").calls) == 1


def aged(root: Path, mission: str, seconds: float) -> None:
    for path in (root / mission).iterdir():
        os.utime(path, (NOW - seconds, NOW - seconds))


def test_beyond_the_size_the_longest_past_missions_go_and_those_at_work_stay(
    tmp_path: Path,
) -> None:
    folder = opened(tmp_path, bounds=Bounds(10_000, 1e9))
    for mission, ago in (("m-1", 9_000.0), ("m-2", 8_000.0), ("m-3", 10.0), ("m-4", 5.0)):
        opened(tmp_path, "h-0").write([answer(step, mission) for step in range(1, 5)])
        aged(tmp_path, mission, ago)
    folder.sweep()
    kept = {one.mission for one in reading.kept_missions(tmp_path)}
    assert kept >= {"m-3", "m-4"}
    told = reading.removed_records(tmp_path)
    assert told[0]["removed"] == "m-1"
    assert {one["why"] for one in told} == {"size"}
    # Those at work fill it: nothing of them is removed, and what is new is left out and counted.
    full = opened(tmp_path, bounds=Bounds(3_000, 1e9))
    full.sweep()
    assert {"m-3", "m-4"} <= {one.mission for one in reading.kept_missions(tmp_path)}
    full.write([answer(9, "m-3")])
    full.close()
    assert read(tmp_path, "m-3").left_out[FULL] == 1


def test_a_record_goes_when_it_is_old(tmp_path: Path) -> None:
    folder = opened(tmp_path, bounds=Bounds(1 << 30, 3_600))
    folder.write([answer(1, "m-old"), answer(1, "m-new")])
    aged(tmp_path, "m-old", 3_700)
    aged(tmp_path, "m-new", 100)
    folder.sweep()
    assert [one.mission for one in reading.kept_missions(tmp_path)] == ["m-new"]
    (told,) = reading.removed_records(tmp_path)
    assert (told["removed"], told["why"]) == ("m-old", "age")
    assert told["bytes"] > 0
    assert BUSY_SECONDS >= 60


# --- to forget --------------------------------------------------------------------------------


def test_what_is_forgotten_is_gone_and_may_be_forgotten_again(tmp_path: Path) -> None:
    writer, leader = opened(tmp_path, "h-1"), opened(tmp_path, "h-2")
    writer.write([answer(1), answer(1, "m-2")])
    leader.forget(M, NOW + 100)
    leader.forget(M, NOW + 100)
    assert [path.name for path in tmp_path.iterdir()] == ["m-2"]
    # Who had the file open notices: what comes after is no part of what was forgotten.
    writer.write([answer(2, at=stamp_of(NOW + 200))])
    leader.forget(M, NOW + 100)
    assert [call["step"] for call in read(tmp_path).calls] == [2]


def test_a_file_whose_first_line_is_torn_is_forgotten_too(tmp_path: Path) -> None:
    (tmp_path / M).mkdir()
    (tmp_path / M / "h-1.jsonl").write_bytes(b'{"record":1,"miss')
    opened(tmp_path).forget(M, NOW)
    assert not (tmp_path / M).exists()


# --- the queue --------------------------------------------------------------------------------


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(opened(tmp_path))


async def test_what_is_noted_is_written_when_the_process_ends(
    recorder: Recorder, tmp_path: Path
) -> None:
    for step in (1, 2, 3):
        recorder.note(answer(step))
    assert reading.kept_missions(tmp_path) == [], "a turn waits for no disk"
    await recorder.aclose()
    assert len(read(tmp_path).calls) == 3


async def test_where_nothing_is_to_be_recorded_nothing_is_written(tmp_path: Path) -> None:
    recorder = Recorder(opened(tmp_path / "record"), notes=False)
    recorder.note(answer())
    await anyio.to_thread.run_sync(recorder.folder.sweep)
    await recorder.aclose()
    assert not (tmp_path / "record").exists()


async def test_beyond_the_queue_answers_are_counted_as_left_out(
    recorder: Recorder, tmp_path: Path
) -> None:
    for step in range(1, QUEUE_MAX + 4):
        recorder.note(answer(step, given=None))
    await recorder.aclose()
    record = read(tmp_path)
    assert len(record.calls) == QUEUE_MAX
    assert record.left_out == {TOO_SLOW: 3}


@pytest.mark.parametrize(
    "changed",
    [{"used": None}, {"seconds": None}, {"text": 5}, {"incarnation": None}, {"at": "2026-01-01"}],
)
def test_a_line_that_a_hand_has_changed_is_unreadable_and_nobody_falls_over_it(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    call = {"call": "a.1.1.1", "at": stamp_of(1.0), "kind": "model", "turn": 1, "step": 1}
    (tmp_path / M).mkdir()
    rows = (call, {**call, "step": 2, **changed})
    text = lines.head_line(M, "h", stamp_of(0.0)) + b"".join(map(lines.line_of, rows))
    (tmp_path / M / "h.jsonl").write_bytes(text)
    os.mkfifo(tmp_path / M / "pipe.jsonl")
    found = reading.read_mission(tmp_path, MissionId(M))
    assert found is not None
    assert [one["step"] for one in found.calls] == [1]
    assert found.unreadable == 2, "the line, and the pipe, which nobody waits for"
