"""What a mission wrote, copied into a folder of whoever asks, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.adapters.files import handover
from swarmd.adapters.files.handover import MissionFiles, Target
from swarmd.adapters.files.workspace import Workspace
from swarmd.core.agent.report_file import text_of
from swarmd.core.model.masking import MASK, SHAPES_ALONE, Masking
from swarmd.core.model.names import MissionId
from tests.core.agent.test_report_file import TOP, report

M = MissionId("m-1")
REPORT = "work/reports/top.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def files(root: Path) -> Workspace:
    return Workspace(root, None)


@pytest.fixture
def source(root: Path) -> MissionFiles:
    return MissionFiles(root, M, SHAPES_ALONE)


def reported(files: Workspace, *named: str) -> str:
    text = text_of(TOP, report(), named)
    files.write(M, REPORT, text)
    return text


def everything(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_reports_and_what_they_name_are_copied_under_the_names_that_they_have(
    files: Workspace, source: MissionFiles, tmp_path: Path
) -> None:
    text = reported(files, "work/a.md", "work/site", "docs/given.md", "work/nowhere.md")
    for path in ("work/a.md", "work/site/b.md", "work/site/c/d.md", "work/scratch.md"):
        files.write(M, path, f"text of {path}")
    written = source.written(["work/a.md"])
    assert written.files == (REPORT, "work/a.md", "work/site/b.md", "work/site/c/d.md")
    assert written.absent == ("work/nowhere.md",)
    target = Target(tmp_path / "out", replaces=False)
    target.make()
    target.put("result.md", "the result\n")
    target.copy(source, written.files)
    assert target.left_out == []
    assert everything(tmp_path / "out") == {
        "result.md": "the result\n",
        REPORT: text,
        **{path: f"text of {path}" for path in written.files[1:]},
    }


def test_a_mission_that_wrote_nothing_here_is_not_here(source: MissionFiles, root: Path) -> None:
    assert not source.is_here()
    root.mkdir()
    assert not source.is_here()
    assert source.written(["work/a.md"]).absent == ("work/a.md",)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "work/../../secret", "work/link.md", "work/linked/secret", "work/\nx"]
)
def test_nothing_outside_the_missions_own_folder_is_handed_over(
    name: str, files: Workspace, source: MissionFiles, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("outside")
    files.write(M, "work/a.md", "a")
    lies = root / M / "work" / "work"
    (lies / "link.md").symlink_to(tmp_path / "secret")
    (lies / "linked").symlink_to(tmp_path)
    reported(files, name)
    target = Target(tmp_path / "out", replaces=False)
    target.make()
    target.copy(source, [*source.written([name]).files, name])
    assert "outside" not in "".join(everything(tmp_path / "out").values())
    assert list(everything(tmp_path / "out")) == [REPORT]


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_link_in_the_folder_leads_nothing_out_of_it(
    is_forced: bool, files: Workspace, source: MissionFiles, tmp_path: Path
) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (outside / "result.md").write_text("theirs")
    (out / "work").symlink_to(outside)
    (out / "result.md").symlink_to(outside / "result.md")
    reported(files)
    target = Target(out, replaces=is_forced)
    target.make()
    target.put("result.md", "ours")
    target.copy(source, [REPORT])
    assert target.files == []
    assert {one.path for one in target.left_out} == {"result.md", REPORT}
    assert everything(outside) == {"result.md": "theirs"}


def test_a_file_that_is_there_is_replaced_where_that_was_asked_for_alone(tmp_path: Path) -> None:
    (tmp_path / "result.md").write_text("theirs")
    polite, forced = Target(tmp_path, replaces=False), Target(tmp_path, replaces=True)
    polite.put("result.md", "ours")
    assert (tmp_path / "result.md").read_text() == "theirs"
    assert polite.left_out[0].why == "is there already"
    forced.put("result.md", "ours")
    assert (tmp_path / "result.md").read_text() == "ours"


def test_no_secret_is_handed_over(files: Workspace, root: Path, tmp_path: Path) -> None:
    files.write(M, "work/a.md", "the word is swordfish-1234")
    source = MissionFiles(root, M, Masking(("swordfish-1234",)))
    target = Target(tmp_path / "out", replaces=False)
    target.make()
    target.copy(source, ["work/a.md"])
    assert everything(tmp_path / "out") == {"work/a.md": f"the word is {MASK}"}


def test_what_is_handed_over_is_bounded_and_what_is_beyond_is_told(
    files: Workspace,
    source: MissionFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handover, "HANDED_BYTES_MAX", 25)
    for name in ("a", "b", "c"):
        files.write(M, f"work/{name}.md", "0123456789" * (3 if name == "b" else 1))
    target = Target(tmp_path / "out", replaces=False)
    target.make()
    target.copy(source, [f"work/{name}.md" for name in ("a", "b", "c")])
    assert sorted(everything(tmp_path / "out")) == ["work/a.md", "work/c.md"]
    ((path, why),) = [(one.path, one.why) for one in target.left_out]
    assert path == "work/b.md"
    assert "more than 25 bytes" in why


def test_what_is_no_text_is_told_and_the_others_are_copied(
    files: Workspace, source: MissionFiles, root: Path, tmp_path: Path
) -> None:
    files.write(M, "work/a.md", "a")
    (root / M / "work" / "work" / "b.bin").write_bytes(b"\0\1")
    os.mkfifo(root / M / "work" / "work" / "pipe")
    target = Target(tmp_path / "out", replaces=False)
    target.make()
    target.copy(source, ["work/b.bin", "work/pipe", "work/gone.md", "work/a.md"])
    assert everything(tmp_path / "out") == {"work/a.md": "a"}
    assert [one.path for one in target.left_out] == ["work/b.bin", "work/pipe", "work/gone.md"]


_PARTS = st.lists(
    st.sampled_from(["work", "..", ".", "a", "/", "", "b.md", "~", "\0", "\u202e", "x" * 300]),
    max_size=6,
).map("/".join)


@given(names=st.lists(_PARTS, max_size=5))
def test_whatever_a_file_is_called_it_comes_to_lie_below_the_folder(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("h")
    target = Target(base / "in" / "out", replaces=True)
    target.make()
    for name in names:
        target.put(name, "x")
    assert sorted(path.name for path in base.iterdir()) == ["in"]
    assert sorted(path.name for path in (base / "in").iterdir()) == ["out"]
    assert len(everything(base)) <= len(names)
