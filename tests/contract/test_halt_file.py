"""The brake in the data folder: a halt that needs no server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from swarmd.adapters import halt_file
from swarmd.adapters.halt_file import Brake, Word
from swarmd.errors import WorkspaceError
from tests.conftest import HANG_SECONDS


def test_a_halt_is_there_until_it_is_released(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    assert halt_file.pulled(data) is None
    assert halt_file.pull(data, "enough", "ada", at=12.5) == Brake(12.5, "enough", "ada")
    assert halt_file.pulled(data) == Brake(12.5, "enough", "ada")
    assert halt_file.release(data)
    assert halt_file.pulled(data) is None
    assert not halt_file.release(data)


def test_the_first_halt_stays_in_force(tmp_path: Path) -> None:
    halt_file.pull(tmp_path, "first", "ada", at=1.0)
    assert halt_file.pull(tmp_path, "second", "bob", at=2.0) == Brake(1.0, "first", "ada")


def test_files_are_their_owners_alone_and_leave_nothing_beside_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    halt_file.pull(data, "x", "ada", at=1.0)
    halt_file.answer(data, Word("h-1", 1.0, 0))
    with halt_file.present(data, "h-1"):
        for name in ("halt", "halted/h-1.json", "hosts/h-1.json"):
            assert (data / name).stat().st_mode & 0o777 == 0o600, name
    assert data.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in data.iterdir()) == ["halt", "halted", "hosts"]
    assert list((data / "hosts").iterdir()) == []


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b'{"at": "soon"}', b'{"at": NaN}', b"\xff" * 50]
)
def test_a_halt_holds_by_being_there_whatever_is_in_it(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "halt").write_bytes(text)
    os.utime(tmp_path / "halt", (7, 7))
    assert halt_file.pulled(tmp_path) == Brake(7.0, "", "")


def test_a_pipe_or_a_dangling_link_named_halt_holds_and_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "halt")
    assert halt_file.pulled(tmp_path) is not None
    assert halt_file.release(tmp_path)
    (tmp_path / "halt").symlink_to(tmp_path / "nowhere")
    assert halt_file.pulled(tmp_path) is not None
    assert halt_file.release(tmp_path)


def test_a_word_on_an_earlier_halt_is_not_taken_for_one_on_this(tmp_path: Path) -> None:
    first = halt_file.pull(tmp_path, "", "ada", at=1.0)
    halt_file.answer(tmp_path, Word("h-1", first.at, 3, {"a-1": "file_write"}))
    assert halt_file.words(tmp_path, first) == {"h-1": Word("h-1", 1.0, 3, {"a-1": "file_write"})}
    halt_file.answer(tmp_path, Word("h-1", first.at, 3))
    assert halt_file.words(tmp_path, first) == {"h-1": Word("h-1", 1.0, 3)}
    assert halt_file.words(tmp_path, Brake(2.0, "", "ada")) == {}
    (tmp_path / "halted" / "h-2.json").write_text("garbage")
    assert set(halt_file.words(tmp_path, first)) == {"h-1"}


def test_releasing_takes_the_words_away(tmp_path: Path) -> None:
    held = halt_file.pull(tmp_path, "", "ada", at=1.0)
    halt_file.answer(tmp_path, Word("h-1", 1.0, 3))
    halt_file.release(tmp_path)
    assert halt_file.words(tmp_path, held) == {}


def test_a_part_is_there_while_it_lives_and_gone_when_it_ends(tmp_path: Path) -> None:
    with halt_file.present(tmp_path, "h-1"), halt_file.present(tmp_path, "h-2"):
        found = halt_file.parts(tmp_path)
        assert [(part.host, part.is_alive, part.pid) for part in found] == [
            ("h-1", True, os.getpid()),
            ("h-2", True, os.getpid()),
        ]
        assert found[0].hostname == os.uname().nodename
    assert halt_file.parts(tmp_path) == []


def test_a_killed_part_is_told_from_a_living_one_and_cleared_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from swarmd.adapters import halt_file\n"
        "with halt_file.present(pathlib.Path(sys.argv[1]), 'h-killed'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert [(part.host, part.is_alive) for part in halt_file.parts(tmp_path)] == [
        ("h-killed", False)
    ]
    with halt_file.present(tmp_path, "h-1"):
        assert [(part.host, part.is_alive) for part in halt_file.parts(tmp_path)] == [("h-1", True)]


def test_a_folder_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        halt_file.pull(tmp_path / "file", "", "ada", at=1.0)


async def test_who_watches_is_told_what_holds_and_then_each_change(tmp_path: Path) -> None:
    with anyio.fail_after(HANG_SECONDS):
        seen = halt_file.watch(tmp_path, seconds=0.01)
        assert await anext(seen) is None
        halt_file.pull(tmp_path, "enough", "ada", at=1.0)
        assert await anext(seen) == Brake(1.0, "enough", "ada")
        halt_file.release(tmp_path)
        assert await anext(seen) is None


async def test_a_watcher_that_starts_under_a_halt_hears_of_it_first(tmp_path: Path) -> None:
    (tmp_path / "halt").write_text(json.dumps({"at": 5, "reason": "r", "by": "b", "more": 1}))
    with anyio.fail_after(HANG_SECONDS):
        assert await anext(halt_file.watch(tmp_path, seconds=0.01)) == Brake(5.0, "r", "b")
