"""The pages that follow something through the code name files and functions that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.quality.place import PACKAGE

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/explanation").glob("*.md"))
_NAMED = re.compile(r"`((?:\w+/)*\w+\.(?:py|lua))`(?:\s·\s`([\w.]+)`)?")


def missing(text: str) -> list[str]:
    return [
        f"{file} {name}".strip()
        for file, name in _NAMED.findall(text)
        if not (PACKAGE / file).is_file() or (name and name not in defined(PACKAGE / file))
    ]


def defined(file: Path) -> set[str]:
    """Functions and classes of the module, and methods as `Class.method`."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (
                n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_file_and_function_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(_NAMED.findall(text)) >= 40
    assert missing(text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_public_functions_for_the_others_move(page: Path) -> None:
    names = [name for _, name in _NAMED.findall(page.read_text(encoding="utf-8"))]
    assert [name for name in names if name.rpartition(".")[2].startswith("_")] == []


def test_four_things_are_followed() -> None:
    text = (ROOT / "docs/explanation/through-the-code.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.M) == [
        "A mission's text",
        "A spawn",
        "A terminate order",
        "A budget number",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("`core/missions/queue.py` · `admit`", []),
        ("`runtime/supervisor/step.py` ·\n   `Step.take`", []),
        ("`core/missions/nowhere.py` · `admit`", ["core/missions/nowhere.py admit"]),
        ("`core/missions/queue.py` · `admitted`", ["core/missions/queue.py admitted"]),
        ("`runtime/supervisor/step.py` · `Step.fly`", ["runtime/supervisor/step.py Step.fly"]),
        ("`adapters/redis/scripts/none.lua`", ["adapters/redis/scripts/none.lua"]),
    ],
)
def test_a_name_that_is_not_there_is_found(text: str, told: list[str]) -> None:
    assert missing(text) == told
