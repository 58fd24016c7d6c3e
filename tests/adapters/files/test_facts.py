"""How long a mission's files are, and what they are about."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import anyio
import pytest

from swarmd.adapters.files import facts
from swarmd.adapters.files.search import Listed
from swarmd.adapters.files.workspace import Workspace
from swarmd.core.agent.file_list import FileFacts
from swarmd.core.agent.turn import Acting
from swarmd.core.model.functions import FILE_LIST, ListFiles
from swarmd.core.model.names import SOB, MissionId
from swarmd.runtime.turn.functions import built_in
from tests.core.swarm_builder import world

M: Final = MissionId("m-1")


@pytest.fixture
def files(tmp_path: Path) -> Workspace:
    known = tmp_path / "knowledge" / "docs"
    known.mkdir(parents=True)
    (known / "a.md").write_text("# One\n\ntext\n```\n# no heading\n```\n## Two\n")
    (known / "b.py").write_text("# a comment\nx = 1")
    (known / "c.bin").write_bytes(b"\0\1\2")
    return Workspace(tmp_path / "root", tmp_path / "knowledge")


def test_lines_and_headings_are_told_of_text_and_the_size_of_all(files: Workspace) -> None:
    assert files.facts(M, ("docs",)) == (
        FileFacts("docs/a.md", 40, 7, ("One", "Two")),
        FileFacts("docs/b.py", 17, 2),
        FileFacts("docs/c.bin", 3),
    )


def test_a_file_is_read_again_where_it_changed_and_only_then() -> None:
    kept, read = facts.FactsKept(), list[str]()

    def load(path: str) -> str:
        read.append(path)
        return "x\n" * len(read)

    before, after = Listed("b.py", (1,), 2), Listed("b.py", (2,), 4)
    assert [kept.of("m-1", [before], load)[0].lines for _ in range(2)] == [1, 1]
    assert [kept.of("m-1", [after], load)[0].lines for _ in range(2)] == [2, 2]
    assert kept.of("m-2", [after], load)[0].lines == 3, "another mission's may be another file"
    assert read == ["b.py"] * 3


def test_of_more_than_is_read_for_one_list_only_the_size_is_told(
    files: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "COUNTED_BYTES_MAX", 50)
    first, *rest = files.facts(M, ("docs",))
    assert first.lines == 7
    assert [one.lines for one in rest] == [None, None]


def test_an_agent_lists_what_it_may_read_and_nothing_else(files: Workspace) -> None:
    files.write(M, "work/notes.md", "# Notes\n")
    w = world()
    acting = Acting(w.grow(SOB, "top"), M, ("docs/a.md",), {}, (), 0, "")
    handler = built_in(cast(Any, None), files)[FILE_LIST.name]

    def listed(folder: str) -> Any:
        return anyio.run(partial(handler, acting, ListFiles(folder=folder, start=1)))["entries"]

    assert listed("") == ["docs/: 1 file, 7 lines", "work/: 1 file, 1 line"]
    assert listed("docs") == ["docs/a.md: 7 lines: One; Two"]
    assert listed("work") == ["work/notes.md: 1 line: Notes"]
    assert listed("policies") == []
