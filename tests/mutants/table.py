"""The rows of `mutants.toml`, and the places in the source that they change.

A row names its function and a piece of its text. The piece has to stand there exactly once: a row
that has lost its place must be noticed, because a mutant that changes nothing would count as one
that lives.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_ROWS: Final = Path(__file__).with_name("mutants.toml")
_LAWS_PAGE: Final = "docs/laws.md"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: in `file`, inside `where`, `pattern` becomes `replacement`; `tests` are to see
    it.
    """

    name: str
    law: int
    file: str
    where: str
    pattern: str
    replacement: str
    tests: tuple[str, ...]


class MisplacedError(Exception):
    """A row does not fit the source, or names a test that docs/laws.md does not name for its
    law.
    """


def load(rows: Path = _ROWS) -> tuple[Mutant, ...]:
    parsed = tomllib.loads(rows.read_text(encoding="utf-8"))
    return tuple(
        Mutant(
            name=row["name"],
            law=row["law"],
            file=row["file"],
            where=row.get("where", ""),
            pattern=row["pattern"],
            replacement=row["replacement"],
            tests=tuple(row["tests"]),
        )
        for row in parsed["mutant"]
    )


def named_by_law(root: Path = ROOT) -> Mapping[int, Mapping[str, str]]:
    """Of each law the tests that docs/laws.md names: the function's name, and what pytest is
    given for it.
    """
    page = (root / _LAWS_PAGE).read_text(encoding="utf-8")
    found: dict[int, dict[str, str]] = {}
    for number, text in re.findall(r"^## (\d+)\. .+\n((?:(?!## ).*\n?)*)", page, re.M):
        named = re.findall(r"^- `(.+)::(\w+)`$", text, re.M)
        found[int(number)] = {name: f"tests/{file}::{name}" for file, name in named}
    return found


def node_ids(mutant: Mutant, by_law: Mapping[int, Mapping[str, str]]) -> list[str]:
    """The tests of a row as pytest takes them. Each has to be named for the row's law."""
    named = by_law.get(mutant.law, {})
    strangers = [name for name in mutant.tests if name not in named]
    if strangers or not mutant.tests:
        why = (
            f"{_LAWS_PAGE} does not name {', '.join(strangers) or 'any test of it'} for law "
            f"{mutant.law}"
        )
        raise MisplacedError(f"{mutant.name}: {why}")
    return [named[name] for name in mutant.tests]


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The whole text of the file with the fault in it."""
    path = root / mutant.file
    if not path.is_file():
        raise MisplacedError(f"{mutant.name}: there is no file {mutant.file}")
    text = path.read_text(encoding="utf-8")
    begin, end = _span(mutant, text)
    hits = [*_loose(mutant.pattern).finditer(text, begin, end)]
    if len(hits) != 1:
        raise MisplacedError(
            f"{mutant.name}: the pattern stands {len(hits)} times in "
            f"{mutant.where or mutant.file}, not once"
        )
    (hit,) = hits
    changed = text[: hit.start()] + mutant.replacement + text[hit.end() :]
    if changed == text:
        raise MisplacedError(f"{mutant.name}: the replacement is what stands there already")
    return changed


def _loose(pattern: str) -> re.Pattern[str]:
    """The text itself, but that a formatter may break its lines elsewhere."""
    return re.compile(r"\s+".join(map(re.escape, pattern.split())))


def _span(mutant: Mutant, text: str) -> tuple[int, int]:
    """Where the function begins and ends in the text; the whole of it where no function is
    named.
    """
    if not mutant.where:
        return 0, len(text)
    find = _lua_lines if mutant.file.endswith(".lua") else _python_lines
    lines = find(mutant.where, text)
    if lines is None:
        raise MisplacedError(f"{mutant.name}: there is no {mutant.where} in {mutant.file}")
    first, last = lines
    whole = text.splitlines(keepends=True)
    begin = len("".join(whole[: first - 1]))
    return begin, begin + len("".join(whole[first - 1 : last]))


def _python_lines(qualified_name: str, text: str) -> tuple[int, int] | None:
    """First and last line of a function, a method or a class (`Class.method`)."""
    body: list[ast.stmt] = ast.parse(text).body
    found: ast.stmt | None = None
    for part in qualified_name.split("."):
        found = next(
            (
                node
                for node in body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and node.name == part
            ),
            None,
        )
        if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return None
        body = found.body
    assert found is not None
    return found.lineno, found.end_lineno or found.lineno


def _lua_lines(name: str, text: str) -> tuple[int, int] | None:
    """First and last line of a function; its `end` stands under its first word, as in all
    scripts here.
    """
    head = re.compile(
        rf"(\s*)(?:(?:local )?function {re.escape(name)}\b|{re.escape(name)} = function\b)"
    )
    lines = text.splitlines()
    for first, line in enumerate(lines, start=1):
        found = head.match(line)
        if found is None:
            continue
        if re.search(r"\bend,?$", line):
            return first, first
        for last, later in enumerate(lines[first:], start=first + 1):
            if re.fullmatch(rf"{found[1]}end,?", later):
                return first, last
    return None
