"""The workspace on a real folder: what is read, what is written, and that nothing outside is
touched.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.adapters.files import left_out as left_out_module
from swarmd.adapters.files import snapshot, work
from swarmd.adapters.files.bounds import FILE_BYTES_MAX, READ_BYTES_MAX
from swarmd.adapters.files.workspace import Workspace
from swarmd.core.model.masking import MASK, Masking
from swarmd.core.model.names import MissionId
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Excerpt, Found

M = MissionId("m-1")
OTHER = MissionId("m-2")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "volume" / "workspace"


@pytest.fixture
def knowledge(tmp_path: Path) -> Path:
    folder = tmp_path / "knowledge"
    fill(
        folder,
        {
            "laws.md": "The law of kills.\n",
            "docs/old.md": "Old.\n",
            ".git/config": "x",
            "a/.b/c.md": "x",
        },
    )
    return folder


@pytest.fixture
def files(root: Path, knowledge: Path) -> Workspace:
    return Workspace(root, knowledge)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    fill(
        folder,
        {
            "docs/a.md": "One.\nTwo.\n",
            "docs/sub/b.md": "B.\n",
            "top.txt": "Top.\n",
            "docs/.hidden": "x",
        },
    )
    return folder


def fill(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def told(found: Found) -> list[tuple[str, str]]:
    return [(one.path, one.why) for one in found.left_out]


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


# --- reading ----------------------------------------------------------------------------------


def test_what_was_written_is_read_line_by_line(files: Workspace) -> None:
    assert files.write(M, "notes/a.md", "é\ntwo\nthree\n") == 13
    assert files.read(M, "notes/a.md", 1, 10).lines == ("é", "two", "three")
    assert files.read(M, "notes/a.md", 2, 1).lines == ("two",)
    assert files.read(M, "notes/a.md", 9, 5) == Excerpt((), 3)


def test_given_files_come_before_written_ones_and_knowledge_last(
    files: Workspace, source: Path
) -> None:
    assert files.read(M, "laws.md", 1, 1).lines == ("The law of kills.",)
    files.write(M, "laws.md", "Mine.")
    assert files.read(M, "laws.md", 1, 1).lines == ("Mine.",)
    fill(source, {"laws.md": "Given."})
    files.snapshot(M, [source / "laws.md"], source)
    assert files.read(M, "laws.md", 1, 1).lines == ("Given.",)
    assert files.read(OTHER, "laws.md", 1, 1).lines == ("The law of kills.",)


def test_a_folder_stands_for_the_files_below_it_without_hidden_ones(
    files: Workspace, source: Path
) -> None:
    names = files.snapshot(M, [source / "docs", source / "top.txt"], source)
    assert names == ("docs", "top.txt")
    files.write(M, "docs/new.md", "x")
    assert files.names(M, names) == ("docs/a.md", "docs/new.md", "docs/sub/b.md", "top.txt")
    assert files.names(M, ["docs/sub/", "./top.txt", "docs/sub/b.md"]) == (
        "docs/sub/b.md",
        "top.txt",
    )
    assert files.names(M, ["."]) == ("docs/a.md", "docs/new.md", "docs/sub/b.md", "top.txt")


def test_a_name_given_with_the_mission_hides_that_of_the_knowledge_folder(
    files: Workspace, source: Path
) -> None:
    assert files.names(M, ["docs"]) == ("docs/old.md",)
    files.snapshot(M, [source / "docs"], source)
    assert "docs/old.md" not in files.names(M, ["docs"])


def test_a_dot_is_the_whole_knowledge_folder_for_a_mission_without_files(
    root: Path, files: Workspace
) -> None:
    assert files.names(MissionId("m-new"), ["."]) == ("docs/old.md", "laws.md")
    assert Workspace(root, None).names(MissionId("m-new"), ["."]) == ()
    assert Workspace(root, root / "nowhere").names(MissionId("m-new"), ["."]) == ()


@pytest.mark.parametrize("name", ["gone.md", "docs/gone.md", "laws.md/below", "gone/"])
def test_what_does_not_exist_is_named(files: Workspace, name: str) -> None:
    with pytest.raises(WorkspaceError, match=r"does not exist"):
        files.names(M, ["laws.md", name])
    with pytest.raises(WorkspaceError, match=r"does not exist") as caught:
        files.read(M, name, 1, 1)
    assert caught.value.hint


def test_one_mission_does_not_see_the_files_of_another(files: Workspace) -> None:
    files.write(M, "secret.md", "x")
    with pytest.raises(WorkspaceError):
        files.read(OTHER, "secret.md", 1, 1)
    with pytest.raises(WorkspaceError):
        files.read(OTHER, "../m-1/work/secret.md", 1, 1)


def test_a_read_is_bounded_in_bytes(files: Workspace) -> None:
    line = "x" * 999
    files.write(M, "long.txt", f"{line}\n" * 500)
    assert len(files.read(M, "long.txt", 1, 500).lines) == READ_BYTES_MAX // 1_000
    files.write(M, "line.txt", "é" * READ_BYTES_MAX)
    (cut,) = files.read(M, "line.txt", 1, 5).lines
    assert len(cut.encode()) <= READ_BYTES_MAX


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PNG\0\1\2", "is binary"),
        ("law of kills".encode("utf-16"), "is UTF-16"),
        ("law of kills".encode("utf-16-be"), "is binary"),
        (b"\xfe\xff\0l\0a\0w", "is UTF-16"),
        (b"caf\xe9", "is not UTF-8"),
        (b"x" * (FILE_BYTES_MAX + 1), "is larger than"),
    ],
)
def test_what_is_no_text_is_an_error_to_read_and_passed_over_in_a_search(
    files: Workspace, knowledge: Path, content: bytes, what: str
) -> None:
    (knowledge / "odd").write_bytes(content)
    with pytest.raises(WorkspaceError, match=what):
        files.read(M, "odd", 1, 1)
    found = files.search(M, "law of kills", ["odd", "laws.md"], 5)
    assert [p.path for p in found.passages] == ["laws.md"]
    ((path, why),) = told(found)
    assert path == "odd"
    assert why.startswith(what)


def test_a_byte_order_mark_is_no_part_of_the_text(files: Workspace, knowledge: Path) -> None:
    (knowledge / "bom.md").write_bytes(b"\xef\xbb\xbfHello\r\nyou")
    assert files.read(M, "bom.md", 1, 5).lines == ("Hello", "you")


def test_a_search_sees_a_file_as_it_was_last_written(files: Workspace) -> None:
    files.write(M, "a.md", "about kills")
    assert files.search(M, "kills", ["."], 5).passages
    files.write(M, "a.md", "about teas!")
    assert files.search(M, "kills", ["."], 5).passages == ()


# --- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/etc/passwd", "absolute"),
        ("../x", r"\.\."),
        ("a/../../x", r"\.\."),
        ("", "names no file"),
        (".", "names no file"),
        ("a\0b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("\udc80", "cannot be printed"),
        ("x" * 256, "255 bytes"),
        ("é" * 128, "255 bytes"),
        ("/".join("abcdefgh" * 5), "deep"),
        (".swarmd-x.tmp", "kept for swarmd"),
    ],
)
def test_a_path_that_cannot_be_meant_is_refused_with_a_hint(
    files: Workspace, root: Path, path: str, what: str
) -> None:
    for act in (lambda: files.read(M, path, 1, 1), lambda: files.write(M, path, "x")):
        with pytest.raises(WorkspaceError, match=what) as caught:
            act()
        assert "docs/a.md" in caught.value.hint
    assert not root.exists()


@pytest.mark.parametrize("mission", ["", "..", "a/b", "a" * 65, ".hidden"])
def test_a_mission_is_named_by_an_id(files: Workspace, mission: str) -> None:
    for act in (
        lambda: files.names(MissionId(mission), ["x"]),
        lambda: files.write(MissionId(mission), "x", "x"),
        lambda: files.remove(MissionId(mission)),
        lambda: files.snapshot(MissionId(mission), [], Path("/")),
    ):
        with pytest.raises(WorkspaceError, match="no mission's id"):
            act()


@given(st.text(alphabet="a./\\~\0é-", max_size=24))
def test_no_path_leads_out_of_the_mission(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    top = tmp_path_factory.mktemp("top")
    files = Workspace(top / "root", None)
    try:
        files.write(M, path, "x")
    except WorkspaceError:
        pass
    else:
        assert files.read(M, path, 1, 1).lines == ("x",)
    assert {name for name in everything(top) if (top / name).is_file()} <= {
        name for name in everything(top) if name.startswith("root/m-1/work/")
    }


def test_symbolic_links_are_refused_at_every_component(
    files: Workspace, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    fill(outside, {"secret.md": "kills secret"})
    files.write(M, "here/real.md", "x")
    work = root / M / "work"
    (work / "folder").symlink_to(outside)
    (work / "file.md").symlink_to(outside / "secret.md")
    (work / "inside.md").symlink_to(work / "here/real.md")
    for name in ("folder/secret.md", "file.md", "inside.md"):
        for act in (
            lambda name=name: files.read(M, name, 1, 1),
            lambda name=name: files.write(M, name, "overwritten"),
            lambda name=name: files.names(M, [name]),
            lambda name=name: files.search(M, "secret", [name], 5),
        ):
            with pytest.raises(WorkspaceError, match="symbolic link"):
                act()
    assert (outside / "secret.md").read_text() == "kills secret"
    assert files.names(M, ["."]) == ("here/real.md",)


def test_a_mission_folder_that_is_a_link_is_not_entered(
    files: Workspace, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root.mkdir(parents=True)
    (root / M).symlink_to(outside)
    for act in (lambda: files.write(M, "a.md", "x"), lambda: files.read(M, "a.md", 1, 1)):
        with pytest.raises(WorkspaceError, match="symbolic link"):
            act()
    with pytest.raises(WorkspaceError):
        files.remove(M)
    assert outside.is_dir()
    assert not list(outside.iterdir())


def test_devices_pipes_and_sockets_are_refused_at_once(files: Workspace, root: Path) -> None:
    files.write(M, "a.md", "x")
    work = root / M / "work"
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(work, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        for name in ("pipe", "socket"):
            with pytest.raises(WorkspaceError, match="device, pipe or socket"):
                files.read(M, name, 1, 1)
            with pytest.raises(WorkspaceError, match="device"):
                files.write(M, name, "x")
    assert files.names(M, ["."]) == ("a.md",)


# --- what is not read is said ------------------------------------------------------------------

NO_NAMES = [
    "a\nb.md",
    "red\x1b[31m.md",
    "turn\u202eed.md",
    "zero\u200bwidth.md",
    b"latin-\xe9.md".decode("utf-8", "surrogateescape"),
]
NAMES = [
    "no\u00a0break.md",
    "wide\u3000space.md",
    "thin\u2009.md",
    " first.md",
    "last.md ",
    "two  spaces.md",
    "café.md",
    "语.md",
]


def test_spaces_of_every_kind_are_taken_in_names(files: Workspace, source: Path) -> None:
    fill(source, {f"odd/{name}": "The valve opens.\n" for name in NAMES})
    files.snapshot(M, [source / "odd"], source)
    assert set(files.names(M, ["odd"])) == {f"odd/{name}" for name in NAMES}
    found = files.search(M, "valve", ["odd"], 20)
    assert {p.path for p in found.passages} == {f"odd/{name}" for name in NAMES}
    assert told(found) == []
    assert all(files.read(M, f"odd/{name}", 1, 1).lines == ("The valve opens.",) for name in NAMES)


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_name_that_cannot_be_shown_is_told_in_one_that_can(
    files: Workspace, source: Path, knowledge: Path, name: str, is_folder: bool
) -> None:
    for folder in (source / "docs", knowledge):
        fill(folder, {f"{name}/x.md" if is_folder else name: "x"})
    files.snapshot(M, [source / "docs"], source)
    for mission, wanted in ((M, ["docs"]), (OTHER, ["."])):
        names = files.names(mission, wanted)
        ((path, why),) = told(files.search(mission, "one", names, 5))
        assert why.startswith("has a character that cannot be printed")
        assert path.isprintable()
        assert path.endswith(".md")


def test_a_name_that_is_too_long_for_a_charter_is_told(
    files: Workspace, source: Path, knowledge: Path
) -> None:
    long = "/".join("d" * 200 for _ in range(3)) + "/x.md"
    deep = "/".join("e" * 40) + "/x.md"
    for folder in (source / "docs", knowledge):
        fill(folder, {long: "x", deep: "x"})
    files.snapshot(M, [source / "docs"], source)
    for mission, wanted in ((M, ["docs"]), (OTHER, ["."])):
        names = files.names(mission, wanted)
        assert all(len(name) <= 512 and name.count("/") < 32 for name in names)
        whys = [why for _, why in told(files.search(mission, "one", names, 5))]
        assert len(whys) == 2
        assert whys[0].startswith("has a name of more than")
        assert whys[1].startswith("is more than 32 folders")
        with pytest.raises(WorkspaceError, match="characters"):
            files.read(mission, f"docs/{long}", 1, 1)


def odd_entries(folder: Path) -> dict[str, str]:
    """Puts what is no plain readable file into a folder; says what should be told of each."""
    (folder / "loop").symlink_to("loop")
    (folder / "ping").symlink_to("pong")
    (folder / "pong").symlink_to("ping")
    (folder / "dangling").symlink_to("nothing")
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(folder, os.O_RDONLY)
        try:
            bound.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
    link, special = "is a symbolic link", "is a device, pipe or socket"
    return {
        "loop": link,
        "ping": link,
        "pong": link,
        "dangling": link,
        "fifo": special,
        "socket": special,
    }


def test_loops_of_links_and_devices_below_a_folder_are_passed_over_and_told(
    files: Workspace, source: Path, knowledge: Path
) -> None:
    expected = odd_entries(source / "docs")
    odd_entries(knowledge)
    assert files.snapshot(M, [source / "docs"], source) == ("docs",)
    assert files.names(M, ["docs"]) == ("docs/a.md", "docs/sub/b.md")
    given = dict(told(files.search(M, "one", ["docs/a.md"], 5)))
    assert {path.removeprefix("docs/") for path in given} == set(expected)
    assert all(given[f"docs/{name}"].startswith(why) for name, why in expected.items())
    names = files.names(OTHER, ["."])
    known = dict(told(files.search(OTHER, "one", names, 5)))
    assert all(known[name].startswith(why) for name, why in expected.items())


@pytest.mark.parametrize("name", ["loop", "docs/ping"])
def test_a_loop_of_links_that_is_given_by_its_name_is_an_error_that_says_so(
    files: Workspace, source: Path, name: str
) -> None:
    (source / "loop").symlink_to("loop")
    (source / "docs/ping").symlink_to("ping")
    with pytest.raises(WorkspaceError, match="symbolic link to itself"):
        files.snapshot(M, [source / name], source)
    with pytest.raises(WorkspaceError, match="symbolic link to itself"):
        files.snapshot(M, [source / name / "below"], source)


# Who runs the tests may be root, whom no permission stops: the program then goes on as another
# user. It does all of it once before that, for an interpreter may lie where only root reads, and
# imports as it goes.
AS_NOBODY = """
import json, os, sys
from pathlib import Path
from swarmd.adapters.files.workspace import Workspace
from swarmd.errors import WorkspaceError
from swarmd.logs import logger

root, source, knowledge = map(Path, sys.argv[1:4])

def told(files, mission, names):
    found = files.search(mission, "valve", names, 9)
    return [[p.path for p in found.passages], [[one.path, one.why] for one in found.left_out]]

def all_of_it(root):
    files = Workspace(root, knowledge)
    files.snapshot("m-1", [source / "docs"], source)
    given = told(files, "m-1", files.names("m-1", ["docs"]))
    known = told(files, "m-2", files.names("m-2", ["."]))
    try:
        files.snapshot("m-3", [source / "docs/secret.md"], source)
        fault = ""
    except WorkspaceError as error:
        fault = str(error)
    return [given, known, fault]

all_of_it(root / "before")
logger("before").warning("the last to be imported")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps(all_of_it(root / "after")))
"""


def test_what_there_is_no_permission_for_is_passed_over_and_told_by_its_own_name() -> None:
    # Not below pytest's own folder, which no other user may enter.
    with tempfile.TemporaryDirectory() as made:
        top = Path(made)
        text = "The valve opens.\n"
        for folder in ("source/docs", "knowledge"):
            fill(
                top / folder,
                {
                    "a.md": text,
                    "secret.md": text,
                    "shut/b.md": text,
                    "unsearchable/c.md": text,
                    "z/d.md": text,
                },
            )
            (top / folder / "secret.md").chmod(0)
            (top / folder / "shut").chmod(0)
            (top / folder / "unsearchable").chmod(0o444)
        (top / "root").mkdir(mode=0o777)
        (top / "root").chmod(0o777)
        top.chmod(0o755)
        ran = subprocess.run(
            [
                sys.executable,
                "-c",
                AS_NOBODY,
                *(str(top / name) for name in ("root", "source", "knowledge")),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for folder in (
            "source/docs",
            "knowledge",
        ):  # or a user that is not root could not remove them
            for name in ("shut", "unsearchable"):
                (top / folder / name).chmod(0o755)
    assert ran.returncode == 0, ran.stderr
    given, known, fault = json.loads(ran.stdout.splitlines()[-1])
    for prefix, (found, left_out) in (("docs/", given), ("", known)):
        assert found == [f"{prefix}a.md", f"{prefix}z/d.md"]
        assert [path for path, _ in left_out] == [
            f"{prefix}{name}" for name in ("secret.md", "shut", "unsearchable/c.md")
        ]
        assert all(why == "permission denied" for _, why in left_out)
    assert "secret.md: permission denied" in fault


def test_a_file_that_goes_away_between_listing_and_reading_leaves_the_others_searched(
    files: Workspace, source: Path, knowledge: Path
) -> None:
    names = files.names(M, ["."])
    (knowledge / "docs/old.md").unlink()
    found = files.search(M, "law of kills", names, 5)
    assert [p.path for p in found.passages] == ["laws.md"]
    assert told(found) == [("docs/old.md", "does not exist")]
    with pytest.raises(WorkspaceError, match=r"docs/old\.md: does not exist"):
        files.search(M, "law of kills", ["docs/old.md"], 5)


def test_a_file_that_goes_away_while_a_folder_is_copied_is_told(
    files: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = snapshot.copy_sources

    def late(*args: Any) -> None:
        (source / "docs/sub/b.md").unlink()
        copy(*args)

    monkeypatch.setattr("swarmd.adapters.files.workspace.copy_sources", late)
    files.snapshot(M, [source / "docs"], source)
    assert files.names(M, ["docs"]) == ("docs/a.md",)
    assert told(files.search(M, "one", ["docs"], 5)) == [("docs/sub/b.md", "does not exist")]


def test_what_was_passed_over_is_told_until_the_files_are_given_anew(
    files: Workspace, source: Path
) -> None:
    (source / "docs/loop").symlink_to("loop")
    files.snapshot(M, [source / "docs"], source)
    assert told(files.search(M, "one", ["docs/a.md"], 5))
    (source / "docs/loop").unlink()
    files.snapshot(M, [source / "docs"], source)
    assert told(files.search(M, "one", ["docs/a.md"], 5)) == []


def test_a_file_that_may_be_read_again_is_searched_again(files: Workspace, knowledge: Path) -> None:
    (knowledge / "odd.md").write_bytes(b"law \xff")
    assert told(files.search(M, "law", ["odd.md"], 5)) == [("odd.md", "is not UTF-8 (byte 4)")]
    (knowledge / "odd.md").write_bytes(b"law of")
    assert [p.path for p in files.search(M, "law", ["odd.md"], 5).passages] == ["odd.md"]


def test_many_that_were_passed_over_are_told_by_their_number(
    files: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_out_module, "LEFT_OUT_MAX", 3)
    for number in range(9):
        (source / f"docs/loop{number}").symlink_to(f"loop{number}")
    files.snapshot(M, [source / "docs"], source)
    left_out = told(files.search(M, "one", ["docs"], 5))
    assert len(left_out) == 4
    assert ("6 more files and folders", "passed over as well") in left_out


# --- writing ----------------------------------------------------------------------------------


def test_a_write_may_be_repeated_and_leaves_nothing_else_behind(
    files: Workspace, root: Path
) -> None:
    for text in ("one", "two", "two"):
        files.write(M, "a/b.md", text)
    assert files.read(M, "a/b.md", 1, 1).lines == ("two",)
    assert everything(root / M) == {"work", "work/a", "work/a/b.md"}


def test_readers_see_the_old_file_or_the_new_and_never_a_half(files: Workspace) -> None:
    texts = ["a" * 50_000, "b" * 50_000]
    files.write(M, "x", texts[0])
    done = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not done.is_set():
            seen.update(files.read(M, "x", 1, 2).lines)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        files.write(M, "x", texts[n % 2])
    done.set()
    reader.join()
    assert seen <= set(texts)


def test_of_many_that_create_one_file_at_once_one_does(files: Workspace, root: Path) -> None:
    said: dict[int, bool] = {}
    start = threading.Barrier(8)

    def create(n: int) -> None:
        start.wait()
        said[n] = files.create(M, "reports/a.md", f"of {n}")

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (first,) = [n for n, is_first in said.items() if is_first]
    assert files.read(M, "reports/a.md", 1, 1).lines == (f"of {first}",)
    assert [path.name for path in (root / M / "work" / "reports").iterdir()] == ["a.md"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_has_the_name_already_is_left_as_it_is(
    files: Workspace, root: Path, kind: str
) -> None:
    files.write(M, "b.md", "b")
    taken = root / M / "work" / "a.md"
    match kind:
        case "file":
            taken.write_text("a")
        case "folder":
            taken.mkdir()
        case _:
            taken.symlink_to("b.md")
    assert not files.create(M, "a.md", "other")
    assert files.read(M, "b.md", 1, 1).lines == ("b",)
    assert kind != "file" or taken.read_text() == "a"


def test_a_file_that_came_between_the_look_and_the_write_is_left_as_it_is(
    files: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(M, "a.md", "a")
    monkeypatch.setattr("swarmd.adapters.files.workspace.is_there", lambda folder, name: False)
    assert not files.create(M, "a.md", "other")
    assert files.read(M, "a.md", 1, 1).lines == ("a",)
    assert [path.name for path in (root / M / "work").iterdir()] == ["a.md"]


@pytest.mark.parametrize("path", ["docs/a.md", "docs", "docs/a.md/below", "top.txt"])
def test_a_given_file_cannot_be_written(files: Workspace, source: Path, path: str) -> None:
    files.snapshot(M, [source / "docs", source / "top.txt"], source)
    with pytest.raises(WorkspaceError, match="given with the mission"):
        files.write(M, path, "mine")


def test_a_file_cannot_be_written_below_a_file_or_over_a_folder(files: Workspace) -> None:
    files.write(M, "a", "x")
    files.write(M, "b/c", "x")
    with pytest.raises(WorkspaceError, match="a part of it is a file"):
        files.write(M, "a/b", "x")
    with pytest.raises(WorkspaceError, match="is a folder"):
        files.write(M, "b", "x")


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * (FILE_BYTES_MAX + 1)])
def test_a_text_that_could_not_be_read_again_is_not_written(files: Workspace, text: str) -> None:
    with pytest.raises(WorkspaceError):
        files.write(M, "a", text)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["open", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_version_and_no_temporary_file(
    files: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    files.write(M, "a.md", "old")
    real = getattr(os, call)

    def full(path: Any, *args: Any, **kwargs: Any) -> Any:
        if call != "open" or str(path).endswith(".tmp"):
            raise OSError(code, os.strerror(code))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(WorkspaceError, match=r"a\.md: ") as caught:
        files.write(M, "a.md", "new")
    monkeypatch.undo()
    assert caught.value.hint
    assert files.read(M, "a.md", 1, 1).lines == ("old",)
    assert everything(root / M / "work") == {"a.md"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_during_the_write_is_told(
    files: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(M, "a.md", "old")
    real = os.open

    def to_full(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(".tmp"):
            os.close(real(path, flags, *args, **kwargs))
            return real("/dev/full", os.O_WRONLY)
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", to_full)
    with pytest.raises(WorkspaceError, match="the disk is full"):
        files.write(M, "a.md", "new")
    monkeypatch.undo()
    assert files.read(M, "a.md", 1, 1).lines == ("old",)
    assert everything(root / M / "work") == {"a.md"}


def test_a_mission_is_bounded_in_files_and_bytes(
    files: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "WORK_FILES_MAX", 2)
    monkeypatch.setattr(work, "WORK_BYTES_MAX", 100)
    files.write(M, "a", "x" * 50)
    files.write(M, "b", "x" * 50)
    with pytest.raises(WorkspaceError, match="2 files"):
        files.write(M, "c", "")
    with pytest.raises(WorkspaceError, match="more than 100 bytes"):
        files.write(M, "b", "x" * 51)
    files.write(M, "b", "x" * 50)
    files.write(OTHER, "c", "another mission has its own")


def test_a_removed_mission_is_gone_and_may_be_removed_again(files: Workspace, root: Path) -> None:
    files.write(M, "a", "x")
    files.write(OTHER, "b", "x")
    files.remove(M)
    files.remove(M)
    assert everything(root) == {"m-2", "m-2/work", "m-2/work/b"}


# --- the snapshot -----------------------------------------------------------------------------


def test_a_snapshot_is_named_relative_to_the_folder_it_was_asked_in(
    files: Workspace, source: Path
) -> None:
    assert files.snapshot(M, [Path("docs/a.md"), Path("docs/../top.txt")], source) == (
        "docs/a.md",
        "top.txt",
    )
    assert files.snapshot(OTHER, [source / "docs" / "sub"], source.parent / "elsewhere") == ("sub",)
    assert files.names(OTHER, ["sub"]) == ("sub/b.md",)


def test_the_current_folder_is_given_by_what_is_at_its_top(files: Workspace, source: Path) -> None:
    assert files.snapshot(M, [Path(".")], source) == ("docs", "top.txt")


def test_a_snapshot_does_not_change_with_its_source_and_is_replaced_whole(
    files: Workspace, root: Path, source: Path
) -> None:
    files.snapshot(M, [source / "docs"], source)
    (source / "docs/a.md").write_text("changed")
    (source / "docs/sub/b.md").unlink()
    assert files.read(M, "docs/a.md", 1, 1).lines == ("One.",)
    files.snapshot(M, [source / "docs"], source)
    assert files.names(M, ["docs"]) == ("docs/a.md",)
    assert files.read(M, "docs/a.md", 1, 1).lines == ("changed",)
    assert everything(root / M) == {"given", "given/docs", "given/docs/a.md"}


def test_a_snapshot_that_fails_leaves_the_one_before(
    files: Workspace, root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.snapshot(M, [source / "docs"], source)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkspaceError, match="disk is full"):
        files.snapshot(M, [source / "top.txt"], source)
    monkeypatch.undo()
    assert files.names(M, ["."]) == ("docs/a.md", "docs/sub/b.md")
    assert {name.split("/")[0] for name in everything(root / M)} == {"given"}


def test_links_that_lead_out_are_refused_and_links_inside_are_the_file(
    files: Workspace, source: Path, tmp_path: Path
) -> None:
    (source / "docs/same.md").symlink_to("a.md")
    (source / "docs/loop").symlink_to(".")
    files.snapshot(M, [source / "docs"], source)
    assert files.names(M, ["docs"]) == ("docs/a.md", "docs/same.md", "docs/sub/b.md")
    fill(tmp_path, {"secret": "x"})
    (source / "docs/out").symlink_to(tmp_path / "secret")
    with pytest.raises(WorkspaceError, match="leads out of"):
        files.snapshot(M, [source / "docs"], source)
    assert files.snapshot(M, [source / "docs/out"], source) == ("docs/out",), (
        "named by itself it is meant"
    )


def test_what_cannot_be_given_is_said(files: Workspace, source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "pipe")
    (source / "empty").mkdir()
    (source / "large").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    fill(tmp_path / "twin", {"top.txt": "another"})
    for paths, what in (
        (["gone.md"], "does not exist"),
        (["pipe"], "pipe"),
        (["empty"], "holds no file"),
        (["large"], "larger"),
        (["top.txt", str(tmp_path / "twin/top.txt")], "already named top.txt"),
    ):
        with pytest.raises(WorkspaceError, match=what):
            files.snapshot(M, [Path(path) for path in paths], source)


def test_a_snapshot_is_bounded(
    files: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "GIVEN_FILES_MAX", 1)
    with pytest.raises(WorkspaceError, match="the bound is 1"):
        files.snapshot(M, [source / "docs"], source)
    monkeypatch.setattr(snapshot, "GIVEN_FILES_MAX", 10)
    monkeypatch.setattr(snapshot, "GIVEN_BYTES_MAX", 5)
    with pytest.raises(WorkspaceError, match="the bound is 5"):
        files.snapshot(M, [source / "docs"], source)


# --- the volume -------------------------------------------------------------------------------


def test_workers_on_one_volume_read_the_same_identity_and_others_another(
    root: Path, tmp_path: Path
) -> None:
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.append(Workspace(root, None).identity()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert len(ids[0]) == 32
    assert Workspace(tmp_path / "other", None).identity() != ids[0]
    assert everything(root) == {".swarmd-workspace"}


def test_a_volume_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WorkspaceError) as caught:
        Workspace(tmp_path / "file" / "root", None).write(M, "a", "x")
    assert caught.value.hint


def test_no_file_stays_open(files: Workspace, source: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    files.snapshot(M, [source / "docs"], source)
    files.write(M, "a/b/c.md", "x")
    for name in ("a/b/c.md", "docs/a.md", "gone", "a", "laws.md/x"):
        try:
            files.read(M, name, 1, 1)
        except WorkspaceError:
            continue
    files.names(M, [".", "docs"])
    files.search(M, "one", ["docs"], 5)
    files.identity()
    files.remove(M)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_is_read_and_searched_without_its_secrets_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    pem = "-----BEGIN PRIVATE KEY-----\nMIIBVAIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----"
    text = f"the swan is white\n{pem}\nthe swan has the key local-key-1\n"
    (tmp_path / "known" / "a.md").write_text(text)
    files = Workspace(tmp_path / "work", tmp_path / "known", masking=Masking(["local-key-1"]))
    lines = files.read(MissionId("m-1"), "a.md", 1, 10).lines
    assert lines == ("the swan is white", MASK, MASK, MASK, f"the swan has the key {MASK}")
    for query in ("swan", "local-key-1", "MIIBVAIBADANBgkqhkiG9w0B"):
        assert "local-key-1" not in str(files.search(MissionId("m-1"), query, ["a.md"], 5))
