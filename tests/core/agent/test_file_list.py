"""Files as a model is told of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.agent.file_list import (
    ENTRIES_CHARS_MAX,
    ENTRIES_MAX,
    NAMES_MAX,
    ROWS_MAX,
    FileFacts,
    as_named,
    files_text,
    listing,
)

FEW = [FileFacts("docs/a.md", 90, 3, ("A", "B")), FileFacts("b.bin", 2_000)]
MANY = [FileFacts(f"docs/{n:02}.md", 100, 10) for n in range(20)]


def test_few_files_are_all_told_by_their_names_with_their_lengths() -> None:
    assert files_text(FEW) == "docs/a.md (3 lines), b.bin (2 KB)"
    names = [f"docs/{n}.md" for n in range(NAMES_MAX)]
    assert files_text(as_named(names)) == ", ".join(names)


def test_a_folder_of_many_is_told_by_its_name_how_many_and_some_of_them() -> None:
    told = files_text([*MANY, FileFacts("notes/a.md", 5, 1)])
    assert told == "docs (20 files, 200 lines: 00.md, 01.md, 02.md …), notes/a.md (1 line)"


def test_a_folder_that_has_folders_says_that_its_count_is_of_its_own_files() -> None:
    below = [FileFacts(f"docs/in/{n}.md", 100, 1) for n in range(6)]
    told = files_text([*MANY, *below])
    assert "docs (20 files directly in it, 200 lines: " in told
    assert "docs/in (6 files, 6 lines: " in told


def test_what_is_not_known_of_a_file_is_not_told() -> None:
    told = files_text([*MANY, FileFacts("docs/big.csv", 1_000_000)])
    assert told.startswith("docs (21 files, 979 KB: ")
    assert files_text(as_named(f"docs/{n}" for n in range(20))).startswith("docs (20 files: ")


def test_of_very_many_folders_those_at_the_top_are_told() -> None:
    deep = [FileFacts(f"src/{folder}/{n}.py", 1, 1) for folder in range(40) for n in range(8)]
    assert files_text(deep) == "src (320 files, 320 lines: 0/0.py, 0/1.py, 0/2.py …)"


def test_a_name_with_a_line_break_is_no_line_of_a_prompt() -> None:
    assert "\n" not in files_text(as_named(["a\nfiles: b"]))


NAMES = st.lists(
    st.lists(st.sampled_from(["a", "b", "docs", "x.md"]), min_size=1, max_size=4).map("/".join),
    max_size=80,
    unique=True,
)


@given(NAMES)
def test_however_many_files_there_are_a_prompt_has_so_many_rows_at_most(names: list[str]) -> None:
    told = files_text(as_named(sorted(names)))
    assert told.count("), ") <= ROWS_MAX + NAMES_MAX
    if len(names) <= NAMES_MAX:
        assert all(name in told for name in names)


# --- the result of `file/list` ------------------------------------------------------------------


def test_a_listing_has_folders_with_what_is_in_them_and_files_with_their_headings() -> None:
    files = [*MANY, FileFacts("docs/in/z.md", 5, 2), FileFacts("readme.md", 90, 3, ("A", "B"))]
    found = listing(files, "", 1)
    assert found["entries"] == ["docs/: 21 files, 202 lines", "readme.md: 3 lines: A; B"]
    inner = listing(files, "./docs/", 1)
    assert (inner["folder"], inner["total"]) == ("docs", 21)
    assert inner["entries"][-1] == "docs/in/: 1 file, 2 lines"


def test_a_folder_that_has_nothing_but_one_folder_is_passed_over() -> None:
    assert listing([FileFacts(f"a/b/{n}") for n in "xy"], "", 1)["folder"] == "a/b"


def test_a_files_own_name_lists_it_and_what_is_not_there_lists_nothing() -> None:
    assert listing(FEW, "docs/a.md", 1)["entries"] == ["docs/a.md: 3 lines: A; B"]
    assert listing(FEW, "doc", 1) == {"folder": "doc", "entries": [], "total": 0}


@given(NAMES, st.sampled_from(["", "a", "docs", "a/b"]))
def test_going_on_lists_each_entry_once(names: list[str], folder: str) -> None:
    files = as_named(f"{name}/{'n' * 500}{n}" for n, name in enumerate([*names, "a", "a/b"]))
    seen: list[str] = []
    start = 1
    while True:
        found = listing(files, folder, start)
        seen += found["entries"]
        assert sum(map(len, found["entries"])) <= ENTRIES_CHARS_MAX
        if "next" not in found:
            break
        start += len(found["entries"])
        assert found["next"] == f"go on with start={start}"
    assert len(seen) == len(set(seen)) == found["total"]


def test_one_listing_is_bounded_by_its_entries_too() -> None:
    found = listing(as_named(f"{n}" for n in range(ENTRIES_MAX + 1)), "", 1)
    assert len(found["entries"]) == ENTRIES_MAX
    assert found["next"] == f"go on with start={ENTRIES_MAX + 1}"
