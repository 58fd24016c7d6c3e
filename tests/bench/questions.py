"""`python -m tests.bench.questions [QUESTIONS FOLDER] [--show]`: whether the built-in mind quotes the
places that answer.

Each question is a mission of its own over the folder, in memory, and each line of its brief that
cites is one quotation. Printed are how many questions have a useful quotation among the first 1, 3
and 10, and the share of quotations that are useful: of the questions that the mind was changed by,
of those that were held out, and of all. The figures are the same at each run.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from swarmd.adapters.files.passages import FENCE, is_heading, lines_of
from swarmd.adapters.files.workspace import Workspace
from tests.minds.builtin_swarm import MISSION, Swarm

ROOT: Final = Path(__file__).parents[2]
QUESTIONS: Final = ROOT / "tests" / "minds" / "questions" / "docs.yaml"
DEPTHS: Final = (1, 3, 10)
_QUOTED: Final = re.compile(r"^- (?P<text>.*) \[(?P<path>[^\[\]]+):(?P<line>\d+)(?:-\d+)?\]$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer stands: below a heading that begins so, or in a quotation that says so."""

    file: str
    under: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    ask: str
    places: tuple[Place, ...]
    held: bool = False


@dataclass(frozen=True, slots=True)
class Quotation:
    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether each quotation of a brief is useful, in the brief's order."""

    question: Question
    quotations: tuple[Quotation, ...]
    useful: tuple[bool, ...]


def read_questions(path: Path) -> tuple[Question, ...]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))["questions"]
    return tuple(
        Question(
            one["ask"], tuple(Place(**place) for place in one["places"]), one.get("held", False)
        )
        for one in found
    )


def quotations_in(brief: str) -> list[Quotation]:
    """Each line that cites, with the indented lines below it: the code that it introduces."""
    found: list[Quotation] = []
    for line in brief.split("\n"):
        if hit := _QUOTED.match(line):
            found.append(Quotation(hit["path"], int(hit["line"]), hit["text"]))
        elif found and line.startswith("  "):
            last = found[-1]
            found[-1] = Quotation(last.path, last.line, f"{last.text}\n{line.strip()}")
    return found


def unmarked(text: str) -> str:
    """On one line and without emphasis: how a phrase is set says nothing of where it stands."""
    return " ".join(re.sub(r"[*`]", "", text).split())


def headings_above(text: str, line: int) -> list[str]:
    """The headings that a line of Markdown stands under, from the title down; its own too."""
    above: list[tuple[int, str]] = []
    in_fence = False
    for written in lines_of(text)[:line]:
        in_fence ^= FENCE.match(written) is not None
        if not in_fence and is_heading(written):
            level = len(written) - len(written.lstrip(" ").lstrip("#"))
            above = [(depth, said) for depth, said in above if depth < level]
            above.append((level, written.strip("# \t")))
    return [said for _, said in above]


def is_useful(quoted: Quotation, places: Sequence[Place], folder: Path) -> bool:
    here = [place for place in places if place.file == quoted.path]
    if not here:
        return False
    headings = headings_above((folder / quoted.path).read_text(encoding="utf-8"), quoted.line)
    return any(
        unmarked(place.says) in unmarked(quoted.text)
        if place.says
        else any(heading.startswith(place.under) for heading in headings)
        for place in here
    )


def unknown_places(questions: Sequence[Question], folder: Path) -> Iterator[str]:
    """Places that the folder does not have (any more), as they are to be mended."""
    for place in (place for question in questions for place in question.places):
        path = folder / place.file
        lines = lines_of(path.read_text(encoding="utf-8")) if path.is_file() else []
        headings = [line.strip("# \t") for line in lines if is_heading(line)]
        said = unmarked(" ".join(lines))
        if not (unmarked(place.says) in said if place.says else _begins(headings, place.under)):
            yield f"{place.file}: {place.under or place.says}"


def _begins(headings: Sequence[str], under: str) -> bool:
    return bool(under) and any(heading.startswith(under) for heading in headings)


async def answer(question: Question, folder: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as work:
        files = Workspace(Path(work), None)
        files.snapshot(MISSION, [folder], folder)
        brief = await Swarm(files, question.ask, files.names(MISSION, (".",))).run()
    quoted = tuple(quotations_in(brief))
    return Outcome(
        question,
        quoted,
        tuple(is_useful(quotation, question.places, folder) for quotation in quoted),
    )


def row_of(name: str, outcomes: Sequence[Outcome]) -> str:
    hits = [sum(any(one.useful[:depth]) for one in outcomes) for depth in DEPTHS]
    quoted = sum(len(one.useful) for one in outcomes)
    useful = sum(sum(one.useful) for one in outcomes)
    share = f"{100 * useful / quoted:.0f} %" if quoted else "-"
    shown = " | ".join(f"{hit} of {len(outcomes)}" for hit in hits)
    return f"| {name} | {shown} | {useful} of {quoted} | {share} |"


def table_of(outcomes: Sequence[Outcome]) -> str:
    rows = [
        "| questions | hit at 1 | at 3 | at 10 | useful quotations | share |",
        "| --- | --- | --- | --- | --- | --- |",
        row_of("tuned", [one for one in outcomes if not one.question.held]),
        row_of("held out", [one for one in outcomes if one.question.held]),
        row_of("all", outcomes),
    ]
    return "\n".join(rows)


def _show(outcome: Outcome) -> None:
    print(f"\n{outcome.question.ask}")
    for quoted, useful in zip(outcome.quotations, outcome.useful, strict=True):
        print(f"  {'+' if useful else '-'} {quoted.path}:{quoted.line} {quoted.text}")


async def measure(questions: Sequence[Question], folder: Path) -> list[Outcome]:
    return [await answer(question, folder) for question in questions]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="?", type=Path, default=QUESTIONS)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs")
    parser.add_argument("--show", action="store_true", help="the quotations of tuned questions")
    args = parser.parse_args()
    questions, folder = read_questions(args.questions), args.folder.resolve()
    if unknown := list(unknown_places(questions, folder)):
        print("not in the folder:", *unknown, sep="\n")
        return 1
    begun = time.perf_counter()
    outcomes = asyncio.run(measure(questions, folder))
    if args.show:
        for outcome in outcomes:
            if not outcome.question.held:
                _show(outcome)
    print(f"\n{table_of(outcomes)}\n\n{time.perf_counter() - begun:.1f} s for all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
