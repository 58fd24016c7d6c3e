"""The bench of the built-in mind's quotations: that its places exist, and how it counts."""

from __future__ import annotations

from pathlib import Path

from tests.bench.questions import (
    QUESTIONS,
    ROOT,
    Outcome,
    Place,
    Question,
    Quotation,
    headings_above,
    is_useful,
    measure,
    quotations_in,
    read_questions,
    table_of,
    unknown_places,
)

GUIDE = """# Guide

## Stop it

Say `stop`, and **wait** for the word.

```sh
# not a heading
stop --now
```

### At once

Pull the plug.

## Start it

Push the button.
"""


def test_every_expected_place_is_in_the_docs_and_half_of_the_questions_are_held_out() -> None:
    questions = read_questions(QUESTIONS)
    assert list(unknown_places(questions, ROOT / "docs")) == []
    assert [len(questions), sum(one.held for one in questions)] == [10, 5]


def test_a_place_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    places = (
        Place("guide.md", under="Stop"),
        Place("guide.md", under="Halt it"),
        Place("guide.md", says="wait for the"),
        Place("guide.md", says="wait for ever"),
        Place("gone.md", under="Guide"),
    )
    unknown = list(unknown_places([Question("?", places)], tmp_path))
    assert unknown == ["guide.md: Halt it", "guide.md: wait for ever", "gone.md: Guide"]


def test_a_quotation_is_useful_below_a_heading_or_by_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    assert headings_above(GUIDE, 9) == ["Guide", "Stop it"]
    assert headings_above(GUIDE, 14) == ["Guide", "Stop it", "At once"]
    assert headings_above(GUIDE, 18) == ["Guide", "Start it"]
    stop, says = Place("guide.md", under="Stop it"), Place("guide.md", says="wait for the word")
    spoken = Quotation("guide.md", 5, "Say `stop`, and **wait** for the word.")
    assert is_useful(spoken, [stop], tmp_path)
    assert is_useful(spoken, [says], tmp_path)
    assert is_useful(Quotation("guide.md", 14, "Pull the plug."), [stop], tmp_path)
    assert not is_useful(Quotation("guide.md", 14, "Pull the plug."), [says], tmp_path)
    assert not is_useful(Quotation("guide.md", 18, "Push the button."), [stop, says], tmp_path)
    assert not is_useful(Quotation("other.md", 5, spoken.text), [stop, says], tmp_path)


def test_quotations_are_the_lines_that_cite_with_the_code_below_them() -> None:
    brief = (
        "# Title\n\nMade by rules.\n\n"
        "- Say stop: [a/guide.md:5]\n  ```sh\n  stop --now\n  ```\n- No citation\n"
        "- Pull it. [guide.md:14]\n\nnot read: x.md: is binary"
    )
    assert quotations_in(brief) == [
        Quotation("a/guide.md", 5, "Say stop:\n```sh\nstop --now\n```"),
        Quotation("guide.md", 14, "Pull it."),
    ]


def test_the_table_counts_questions_by_depth_and_quotations_whole() -> None:
    def outcome(held: bool, *useful: bool) -> Outcome:
        return Outcome(Question("?", (), held), (), useful)

    rows = table_of([outcome(False, False, True), outcome(True, True), outcome(True)]).split("\n")
    assert rows[2:] == [
        "| tuned | 0 of 1 | 1 of 1 | 1 of 1 | 1 of 2 | 50 % |",
        "| held out | 1 of 2 | 1 of 2 | 1 of 2 | 1 of 1 | 100 % |",
        "| all | 1 of 3 | 2 of 3 | 2 of 3 | 2 of 3 | 67 % |",
    ]


async def test_half_of_what_the_mind_quotes_of_these_docs_is_useful_and_each_question_is_hit() -> (
    None
):
    outcomes = await measure(read_questions(QUESTIONS), ROOT / "docs")
    useful = [one for outcome in outcomes for one in outcome.useful]
    assert sum(useful) >= len(useful) / 2
    assert sum(any(outcome.useful) for outcome in outcomes) >= 9
