"""Words, sentences, passages and the search over them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.adapters.files import search as file_search
from swarmd.adapters.files.passages import (
    CODE_LINES_MAX,
    FENCE,
    LINE_CHARS_MAX,
    PASSAGE_LINES_MAX,
    is_bare_list,
    lines_of,
    parts_of,
    passages,
)
from swarmd.adapters.files.search import Listed, Retrieval
from swarmd.adapters.files.sentences import SENTENCE_CHARS_MAX, cleaned, sentences
from swarmd.adapters.files.words import stem, terms, words
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Found, LeftOut, Passage

# --- words ------------------------------------------------------------------------------------


def test_an_identifier_is_found_by_its_words_however_it_is_spelled() -> None:
    assert (
        words("send_backs_max")
        == words("sendBacksMax")
        == words("send-backs MAX")
        == ["send", "backs", "max"]
    )
    assert words("HTTPServer2 parses") == ["http", "server", "2", "parses"]


def test_scripts_without_spaces_are_searched_by_pairs() -> None:
    assert words("監督者終了") == ["監督", "督者", "者終", "終了"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("verify", "verified"),
        ("verify", "verifies"),
        ("terminate", "terminating"),
        ("stop", "stopped"),
        ("lease", "leases"),
        ("class", "classes"),
        ("kill", "killed"),
        ("lose", "lost"),
        ("write", "written"),
    ],
)
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("one", "other"), [("bus", "bu"), ("bring", "br"), ("process", "proce"), ("need", "ne")]
)
def test_words_that_only_look_like_forms_keep_apart(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_function_words_carry_no_meaning() -> None:
    assert terms("How is it that they were not there?") == []


# --- lines and passages -----------------------------------------------------------------------


def test_lines_are_numbered_as_editors_number_them() -> None:
    assert lines_of("a\r\nb\x0cc\u2028d\n\n") == ["a", "b\x0cc\u2028d", ""]


MARKDOWN = """# Title

## First
One paragraph
of two lines.

Another one.

```sh
run this

and that
```
- item one
- item two
"""


def test_a_heading_goes_with_the_block_that_follows_it() -> None:
    found = [(start, lines) for start, lines, _ in passages("a.md", MARKDOWN)]
    assert found[0] == (1, ("# Title", "", "## First", "One paragraph", "of two lines."))
    assert found[1][0] == 7
    assert found[1][1][:3] == ("Another one.", "", "```sh"), "a fence is with what introduces it"
    assert found[1][1][-3:] == ("```", "- item one", "- item two"), "no blank line breaks a fence"


def test_a_passage_knows_the_heading_that_it_stands_under() -> None:
    assert [heading for _, _, heading in passages("a.md", MARKDOWN)] == ["Title › First"] * 2


UNDERLINED = """The title
=========

First
-----

Words of the first.

| a | b |
|---|---|
| c | d |

Deep
~~~~

Words that are deep.

```sh
# no heading
```

Second
------

- item
---
Words of the second.
"""


def test_a_heading_may_be_underlined_and_what_stands_in_a_fence_or_a_table_is_none() -> None:
    found = {under: lines for _, lines, under in passages("a.rst", UNDERLINED)}
    assert list(found) == ["The title › First", "The title › First › Deep", "The title › Second"]


def test_a_long_fence_is_divided_and_a_short_one_is_not() -> None:
    def parts(count: int) -> list[int]:
        text = "So it is said:\n\n```\n" + "line\n" * count + "```\n"
        return [len(lines) for _, lines, _ in passages("a.md", text)]

    assert parts(CODE_LINES_MAX - 2) == [CODE_LINES_MAX + 2]
    assert max(parts(CODE_LINES_MAX)) == PASSAGE_LINES_MAX


@given(
    st.text(alphabet="ab #`-.\n\r|", max_size=400),
    st.sampled_from(["a.md", "a.py", "notes", "a.yaml"]),
)
def test_passages_are_the_lines_of_the_file_in_order_and_only_blank_lines_are_between(
    text: str, path: str
) -> None:
    whole = lines_of(text)
    at = 0
    for start, lines, _ in passages(path, text):
        assert all(not line.strip() for line in whole[at : start - 1])
        assert tuple(whole[start - 1 : start - 1 + len(lines)]) == lines
        code_lines = CODE_LINES_MAX if any(map(FENCE.match, lines)) else 0
        assert 1 <= len(lines) <= PASSAGE_LINES_MAX + code_lines
        at = start - 1 + len(lines)
    assert all(not line.strip() for line in whole[at:])


def test_an_endless_line_is_searched_in_parts_that_are_all_of_it() -> None:
    text = "".join(f"x{n} " for n in range(200_000))
    parts = [(start, lines) for start, lines, _ in passages("a.json", f"before\n{text}\nafter")]
    assert parts[0] == (1, ("before",))
    assert parts[-1] == (3, ("after",))
    assert {start for start, _ in parts[1:-1]} == {2}
    assert "".join(line for _, (line,) in parts[1:-1]) == text
    assert all(LINE_CHARS_MAX // 2 < len(line) <= LINE_CHARS_MAX for _, (line,) in parts[1:-2])
    assert not any(line.startswith(tuple("0123456789")) for _, (line,) in parts[1:-1]), (
        "no word is cut"
    )


@pytest.mark.parametrize(
    "unit", ["word ", "wörter, ", "x", "语", "ends. ", '{"a":1}', "\u3000", "1,2;"]
)
def test_a_long_text_is_divided_whatever_it_is_made_of(unit: str) -> None:
    text = unit * 20_000
    parts = list(parts_of(text, 400))
    assert "".join(parts) == text
    assert all(200 < len(part) <= 400 for part in parts[:-1])


PARAGRAPH = "Nothing of interest happens here, and it goes on for a while. " * 120
ANSWER = "The relief valve of the reactor opens at nine bar."


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("one.md", PARAGRAPH + ANSWER + " " + PARAGRAPH),
        ("two.md", f"# Heading\n\nShort.\n{PARAGRAPH}{ANSWER}\n"),
        ("rows.csv", "id,remark\n" + ",".join(["17", *["nothing here"] * 800, ANSWER, "18"])),
        ("min.json", "{" + '"key":"some value of no use",' * 300 + f'"relief":"{ANSWER}"' + "}"),
        ("min.js", "var a=1;" * 2_000 + f"/* {ANSWER} */" + "var b=2;" * 2_000),
        ("wide.txt", "无关的文字。" * 2_000 + ANSWER),
        ("one_sentence.md", "which goes on and on, " * 400 + ANSWER),
    ],
)
def test_what_stands_far_behind_in_a_line_is_found_and_quoted(path: str, text: str) -> None:
    found = Shelf({path: text, "other.md": "Tea is green.\n"}).search("relief valve reactor")
    assert found
    quoted = [s.text for p in found for s in sentences(p.path, p.start, p.lines)]
    assert any("relief valve of the reactor opens at nine bar" in text for text in quoted)
    lines = lines_of(text)
    assert all(part in lines[p.start - 1] for p in found for part in p.lines[:1])


# --- sentences --------------------------------------------------------------------------------


def said(text: str, path: str = "a.md") -> list[tuple[int, str]]:
    return [(found.line, found.text) for found in sentences(path, 1, lines_of(text))]


def test_a_sentence_is_whole_over_lines_and_has_the_line_of_its_first_word() -> None:
    assert said("The first one is\nhere in full. The second one\nends on line three.") == [
        (1, "The first one is here in full."),
        (2, "The second one ends on line three."),
    ]


def test_headings_rules_fences_and_heads_of_tables_are_no_sentences() -> None:
    text = (
        "# A heading of four words\n\n| name of column | and of another |\n|---|---|\n| a row "
        "says this | and that |\n"
    )
    text += "\n```\nthis is a command line\n```\n\n---\n\nTitle of some words\n===\n"
    assert said(text) == [(5, "a row says this | and that")]


def test_code_is_quoted_with_the_words_before_it_whatever_these_are() -> None:
    text = (
        "To stop all of it, say so:\n\n```sh\nswarmd halt\n\n  # at once\n```\n\nFor Django:\n"
        "```\nrun it\n```\n\n## Quick start\n\n~~~\n```\n~~~\n"
    )
    found = [(one.line, one.text, one.code) for one in sentences("a.md", 1, lines_of(text))]
    assert found == [
        (1, "To stop all of it, say so:", ("swarmd halt", "", "  # at once")),
        (9, "For Django:", ("run it",)),
        (14, "Quick start", ("```",)),
    ]


MARKED = """<div class="hero" markdown>
[![Build](https://ci/badge.svg)](https://ci) ![Logo](logo.png)
<!-- a comment of some words -->
- [ ] Read the <b>whole</b> [guide](guide.md#all) &mdash; twice.
- Set `<name>` to the [`limit`](a_(b).md "Title") of the host.
!!! warning "Do not do this at home"
[guide]: https://example.org/guide
See :ref:`the other page <page>` and `its source <https://x.org>`_ as well.
</div>
"""


def test_what_stands_there_for_its_looks_is_not_quoted() -> None:
    assert said(MARKED) == [
        (4, "Read the whole guide — twice."),
        (5, "Set `<name>` to the `limit` of the host."),
        (8, "See `the other page` and its source as well."),
    ]


def test_items_are_units_of_their_own_without_their_marks() -> None:
    assert said(
        "- one item of four words\n- [ ] another item to do\n  that goes on\n2. a third item is "
        "here"
    ) == [
        (1, "one item of four words"),
        (2, "another item to do that goes on"),
        (4, "a third item is here"),
    ]


def test_a_short_start_belongs_to_what_it_introduces_and_abbreviations_end_nothing() -> None:
    assert said(
        "**Spawn.** An agent creates agents. It is bounded, e.g. By its depth, as Dr. Who said."
    ) == [
        (1, "**Spawn.** An agent creates agents."),
        (1, "It is bounded, e.g. By its depth, as Dr. Who said."),
    ]


def test_in_code_comments_are_read_as_text_and_statements_stand_alone() -> None:
    code = (
        "# A kill that is not seen\n# is told as unconfirmed.\ndef kill(agent: str) -> bool:\n "
        "   return seen(agent)\n"
    )
    assert said(code, "a.py")[:2] == [
        (1, "A kill that is not seen is told as unconfirmed."),
        (3, "def kill(agent: str) -> bool:"),
    ]


def test_a_comment_is_not_run_together_with_the_setting_below_it() -> None:
    assert said(
        "# Bounds what one mission may create.\nspawns_per_minute: 120\n", "limits.yaml"
    ) == [
        (1, "Bounds what one mission may create."),
        (2, "spawns_per_minute: 120"),
    ]


def test_a_sentence_is_bounded_and_holds_nothing_that_acts_on_a_terminal() -> None:
    words = [f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(400)]
    texts = [
        text for _, text in said("Beware of \x1b[31mthis\u202e and \x07that " + " ".join(words))
    ]
    assert all(len(text) <= SENTENCE_CHARS_MAX + 2 for text in texts)
    assert texts[0].startswith("Beware of this and that word")
    assert all(text.endswith(" …") for text in texts[:-1])
    assert set(words) <= set(" ".join(texts).split()), "no word is out of reach"


@given(st.text())
def test_cleaned_text_is_one_printable_line(text: str) -> None:
    assert cleaned(text).isprintable() or not any(c in cleaned(text) for c in "\n\r\x1b\x00\u202e")


# --- search -----------------------------------------------------------------------------------


class Shelf:
    """Texts by path, which count how often they were read."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)
        self.reads = 0
        self.retrieval = Retrieval()

    def load(self, path: str) -> str:
        self.reads += 1
        if self.texts[path] == "binary":
            raise WorkspaceError(f"{path}: is binary")
        return self.texts[path]

    def search(self, query: str, top: int = 5, version: int = 1) -> tuple[Passage, ...]:
        return self.found(query, top, version).passages

    def found(self, query: str, top: int = 5, version: int = 1) -> Found:
        files = [Listed(path, (version, len(text)), len(text)) for path, text in self.texts.items()]
        return self.retrieval.search("m", files, self.load, query, top)


TEXTS = {
    "b.md": "# Kill\n\nA kill is verified by its lease.\n\n# Tea\n\nTea is green.\n",
    "a.md": "A lease expires.\n\nA kill is verified by its lease.\n",
    "c.bin": "binary",
}


def test_a_passage_is_found_by_the_heading_that_it_stands_under() -> None:
    found = Shelf({"a.md": "# The kill\n\nFirst words.\n\nIt takes two steps.\n"}).search(
        "kill steps"
    )
    assert [p.start for p in found] == [5, 1]


def test_the_best_passage_comes_first_and_what_shares_no_word_does_not_come() -> None:
    found = Shelf(TEXTS).search("verified kills")
    assert [(p.path, p.start) for p in found] == [("b.md", 1), ("a.md", 3)]
    assert found[0].lines == ("# Kill", "", "A kill is verified by its lease.")
    assert found[0].score >= found[1].score > 0


def test_a_bare_list_of_names_comes_behind_what_says_something() -> None:
    names = "\n".join(f"- `core/test_swans.py::test_a_swan_sings_{n}`" for n in range(4))
    said = "A swan that is old sings at dusk, and nobody has heard it twice by the lake."
    hits = Shelf({"laws.md": f"**Tests**\n{names}\n\n{said}\n"}).search("when does a swan sing?")
    assert [hit.start for hit in hits] == [7, 1, 5]
    assert [hit.start for hit in Shelf({"laws.md": names}).search("swan")] == [1], (
        "it is still found"
    )


@pytest.mark.parametrize(
    ("lines", "is_bare"),
    [
        (["**Tests**", "- `core/test_x.py::test_y`", ""], True),
        (["## Files", "- src/a.md"], True),
        (["- apples", "- pears"], False),
        (["- `a_b` is a name"], False),
        (["## core/test_x"], False),
    ],
)
def test_what_is_a_bare_list_of_names(lines: list[str], is_bare: bool) -> None:
    assert is_bare_list(lines) is is_bare


def test_equal_passages_come_by_path_and_line() -> None:
    text = "one equal passage\n\none equal passage\n"
    found = Shelf({"z.md": text, "y.md": text, "n.md": "nothing of it"}).search("equal")
    assert [(p.path, p.start) for p in found] == [
        ("y.md", 1),
        ("y.md", 3),
        ("z.md", 1),
        ("z.md", 3),
    ]


@pytest.mark.parametrize("query", ["", "???", "the of and", "volcano"])
def test_a_query_of_nothing_finds_nothing(query: str) -> None:
    assert Shelf(TEXTS).search(query) == ()


@pytest.mark.parametrize("texts", [{}, {"a.md": ""}, {"a.md": "the of and\n"}, {"a.md": "binary"}])
def test_a_corpus_of_nothing_holds_nothing(texts: dict[str, str]) -> None:
    assert Shelf(texts).search("kill") == ()


def test_an_unchanged_corpus_is_read_once_and_a_changed_one_again() -> None:
    shelf = Shelf(TEXTS)
    for _ in range(3):
        shelf.search("kill")
    assert shelf.reads == len(TEXTS)
    shelf.search("kill", version=2)
    assert shelf.reads == 2 * len(TEXTS)


def test_threads_that_ask_at_once_share_one_index() -> None:
    shelf = Shelf(TEXTS)
    found: list[tuple[Passage, ...]] = []
    threads = [
        threading.Thread(target=lambda: found.append(shelf.search("kill"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert shelf.reads == len(TEXTS)


def test_a_corpus_beyond_the_bound_is_searched_in_part_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_search, "INDEX_FILES_MAX", 2)
    found = Shelf({f"f{n}.md": "a kill here" for n in range(4)}).found("kill")
    assert {p.path for p in found.passages} == {"f0.md", "f1.md"}
    assert [one.path for one in found.left_out] == ["f2.md", "f3.md"]
    said = "".join(capsys.readouterr())
    assert "files.beyond_bound" in said
    assert "f2.md" in said


@pytest.mark.parametrize("query", ["kill", "volcano", ""])
def test_a_file_that_cannot_be_read_is_named_whatever_is_found(query: str) -> None:
    shelf = Shelf(TEXTS)
    for _ in range(2):  # also by an index that was built before
        assert shelf.found(query).left_out == (LeftOut("c.bin", "is binary"),)


def test_old_indexes_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_search, "INDEXES_KEPT", 2)
    shelf = Shelf(TEXTS)
    for version in (1, 2, 3, 1):
        shelf.search("kill", version=version)
    assert shelf.reads == 4 * len(TEXTS)


def test_indexing_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Shelf({"a.md": TEXTS["a.md"]}).search("kill")
    assert "".join(capfd.readouterr()) == ""


def test_importing_it_does_not_import_numpy() -> None:
    import subprocess
    import sys

    program = (
        "import sys, swarmd.adapters.files.workspace; print('numpy' in sys.modules, "
        "'structlog' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.split() == ["False", "False"]
