"""A final report is written into the workspace before it is sent, and names its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.files.workspace import Workspace
from swarmd.core.agent.report_file import text_of
from swarmd.core.model.functions import REPORTS
from swarmd.core.model.names import AgentId, HostId
from swarmd.errors import WorkspaceError
from tests.runtime.test_functions import use
from tests.runtime.test_steps import A1, answer, in_a_turn, report
from tests.runtime.test_worker import executive, stored, worker_of

M1: Final = executive(A1).mission
OWN: Final = f"{REPORTS}{executive(A1).name}.md"


def final(text: str, *files: str) -> dict[str, Any]:
    return {**report(text, done=True), "files": list(files)}


def on_disk(root: Path, path: str = OWN) -> Path:
    return root / M1 / "work" / path


def test_a_final_report_stands_in_a_file_that_it_names_first(tmp_path: Path) -> None:
    moves = answer(final("The whole result.", "work/a.md"))
    ended = in_a_turn([moves], files=Workspace(tmp_path, None))
    (said,) = ended.reports
    assert said.data["files"] == [OWN, "work/a.md"]
    text = on_disk(tmp_path).read_text()
    assert text.endswith("\n\nThe whole result.\n")
    assert "- work/a.md\n" in text


def test_a_file_that_is_named_as_it_was_written_is_named_as_it_lies(tmp_path: Path) -> None:
    files = Workspace(tmp_path, None)
    files.write(M1, "work/b.md", "b")
    ended = in_a_turn([answer(final("See b.", "b.md", "nowhere.md"))], files=files)
    assert ended.reports[0].data["files"] == [OWN, "work/b.md", "nowhere.md"]
    assert "- work/b.md\n- nowhere.md\n" in on_disk(tmp_path).read_text()


def test_what_its_author_has_read_stands_in_the_file_as_on_the_report(tmp_path: Path) -> None:
    files = Workspace(tmp_path, None)
    files.write(M1, "work/b.md", "from outside")
    script = [
        answer(use("file/read", path="work/b.md"), step=0),
        answer(final("It says so."), step=1),
    ]
    (said,) = in_a_turn(script, files=files).reports
    assert said.data["taint"] == ["file"]
    assert "had read untrusted text: file" in on_disk(tmp_path).read_text()


def test_who_reads_the_file_of_a_report_is_tainted_as_by_its_mail(tmp_path: Path) -> None:
    files = Workspace(tmp_path, None)
    files.write(M1, OWN, text_of(executive(A1), in_a_turn([answer(final("x"))]).reports[0], ()))
    script = [answer(use("file/read", path=OWN), step=0), answer(final("Read."), step=1)]
    assert in_a_turn(script, files=files).reports[0].data["taint"] == ["file"]


def test_a_report_that_is_not_final_has_no_file(tmp_path: Path) -> None:
    ended = in_a_turn([answer(report("Half is done."))], files=Workspace(tmp_path, None))
    assert ended.reports[0].data["files"] == []
    assert not on_disk(tmp_path).exists()


def test_the_next_report_of_an_agent_takes_the_place_of_its_last(tmp_path: Path) -> None:
    files = Workspace(tmp_path, None)
    for text in ("first", "second"):
        in_a_turn([answer(final(text))], files=files)
    assert on_disk(tmp_path).read_text().endswith("\n\nsecond\n")
    assert [path.name for path in on_disk(tmp_path).parent.iterdir()] == [Path(OWN).name]


def test_a_name_that_is_used_again_leaves_the_report_of_who_had_it(tmp_path: Path) -> None:
    files = Workspace(tmp_path, None)
    former = replace(executive(A1), id=AgentId("a-former"))
    text = text_of(former, in_a_turn([answer(final("x"))]).reports[0], ())
    assert files.create(M1, OWN, text)
    (said,) = in_a_turn([answer(final("the second"))], files=files).reports
    apart = f"{REPORTS}{executive(A1).name}-{A1}.md"
    assert said.data["files"] == [apart]
    assert on_disk(tmp_path).read_text() == text
    assert on_disk(tmp_path, apart).read_text().endswith("\n\nthe second\n")


def test_where_the_host_has_no_workspace_the_report_is_sent_without_a_file() -> None:
    (said,) = in_a_turn([answer(final("The result."))]).reports
    assert said.text == "The result."
    assert said.data["files"] == []


class FullDisk:
    """The port `Files` where nothing can be written."""

    def names(self, mission: str, wanted: object) -> tuple[str, ...]:
        raise WorkspaceError(f"{wanted}: is not there", hint="write it")

    def create(self, mission: str, path: str, text: str) -> bool:
        raise WorkspaceError(f"{path}: no space left", hint="make some")


def test_a_report_that_cannot_be_written_is_sent_all_the_same() -> None:
    full: Any = FullDisk()
    (said,) = in_a_turn([answer(final("The result.", "work/a.md"))], files=full).reports
    assert said.text == "The result."
    assert said.data["files"] == ["work/a.md"]


async def test_a_worker_with_another_workspace_than_the_swarms_writes_no_reports(
    tmp_path: Path,
) -> None:
    async with stored() as store:
        first = worker_of(store, files=Workspace(tmp_path, None))
        await first.lease.take()
        other = worker_of(store, host=HostId("h-2"), files=Workspace(tmp_path, None))
        other.context.host = replace(other.context.host, workspace="w-2")
        await other.lease.take()
    assert first.context.world.files is not None
    assert other.context.world.files is None
