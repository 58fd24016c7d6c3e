"""What comments, docstrings and the manual call a module or its content is there."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.quality.place import PACKAGE

ROOT = PACKAGE.parent
# Decisions and the changelog tell of the past, and keep the names of their day.
PAGES = sorted(p for p in (ROOT / "docs").rglob("*.md") if "decisions" not in p.parts)
TOPS = "|".join(sorted(p.stem for p in PACKAGE.iterdir() if p.suffix in ("", ".py")))
NAMED = re.compile(rf"`(?:swarmd[./])?((?:{TOPS})(?:[./]\w+)+)(?:\(\))?/?`")


@cache
def _names_in(module: Path) -> frozenset[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return frozenset(_bound_in(tree))


def _bound_in(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def _is_there(named: str) -> bool:
    """Whether it is a file, a package, a module, or what stands in one; below that nothing is
    asked.
    """
    if (PACKAGE / named).exists():
        return True
    place = PACKAGE
    for word in re.split("[./]", named.removesuffix(".py")):
        if place.suffix == ".py":
            return word in _names_in(place)
        if (place / word).is_dir():
            place /= word
        elif (place / f"{word}.py").is_file():
            place /= f"{word}.py"
        else:
            return False
    return True


def _said_in(source: Path) -> str:
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".md":
        return text
    words = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(t.string for t in words if t.type in (tokenize.COMMENT, tokenize.STRING))


@pytest.mark.parametrize("named", ["core.agent.turn", "cli.exit_codes.Exit", "core/board/motions"])
def test_what_is_there_is_found(named: str) -> None:
    assert _is_there(named)


@pytest.mark.parametrize("named", ["core.turn", "cli.exit_codes.Exits", "core.agent.turns"])
def test_what_is_not_there_is_noticed(named: str) -> None:
    assert not _is_there(named)


def test_each_module_that_is_named_is_there() -> None:
    gone = {
        f"{source.relative_to(ROOT)}: {named}"
        for source in (*PACKAGE.rglob("*.py"), *PAGES)
        for named in NAMED.findall(_said_in(source))
        if not _is_there(named)
    }
    assert not gone
