"""The house's own rules, where no tool holds them: what is matched is matched whole, and what is
said is there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "swarmd").rglob("*.py"))


def _nodes(kind: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield file.relative_to(ROOT), node


def _is_exhaustive(match: ast.Match) -> bool:
    last = match.cases[-1]
    is_wild = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
    return is_wild and ast.unparse(last.body[-1]).startswith("assert_never(")


def test_every_match_on_a_change_names_each_kind_or_fails_the_type_check() -> None:
    found = [
        (f"{file}:{node.lineno}", _is_exhaustive(node))
        for file, node in _nodes(ast.Match)
        if isinstance(node, ast.Match) and ast.unparse(node.subject) == "change"
    ]
    assert len(found) >= 3
    assert [place for place, is_exhaustive in found if not is_exhaustive] == []


def test_no_function_has_a_second_docstring() -> None:
    """A text after the first statement is said to nobody."""
    found = [
        f"{file}:{statement.lineno}"
        for file, node in _nodes(ast.FunctionDef | ast.AsyncFunctionDef)  # type: ignore[arg-type]  # as isinstance takes it
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body[1:]
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ]
    assert found == []


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda page: page.name[:4]
)
def test_a_decision_is_headed_by_its_number(page: Path) -> None:
    heading = page.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(rf"# {page.name[:4]}\b", heading), heading


@pytest.mark.parametrize(
    "script", sorted((ROOT / "swarmd").rglob("*.lua")), ids=lambda script: script.stem
)
def test_no_line_of_a_script_is_wider_than_120_columns(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert [n for n, line in enumerate(lines, 1) if len(line) > 120] == []


def test_no_two_decisions_share_a_number() -> None:
    numbers = [page.name[:4] for page in (ROOT / "docs/decisions").glob("*.md")]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    "page",
    [
        ROOT / "README.md",
        ROOT / "AGENTS.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs/explanation").glob("*.md")),
        *sorted((ROOT / "docs/decisions").glob("*.md")),
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_a_page_links_to_is_there_with_its_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = []
    for to, _, anchor in (
        link.partition("#") for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)
    ):
        file = page if not to else (page.parent / to).resolve()
        is_there = file.is_dir() or (file.is_file() and (not anchor or anchor in _anchors(file)))
        missing += [] if is_there else [f"{to}#{anchor}"]
    assert missing == []


def _anchors(file: Path) -> set[str]:
    """As forges make them of headings."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}
