"""The figures of the source keep their bounds, and a bound follows its figure down."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.quality.bounds import broken, loose
from tests.quality.measure import Source, complexity, figures, rooms, small_private
from tests.quality.place import PACKAGE
from tests.quality.private_reads import ALLOWED, private_names, private_reads

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    return figures(PACKAGE)


def test_no_figure_is_above_its_bound(measured: dict[str, float]) -> None:
    assert not broken(measured)


def test_no_bound_was_left_behind_by_its_figure(measured: dict[str, float]) -> None:
    assert not loose(measured)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ("pass", 1),
        ("return 1 if a else 2", 2),
        ("if a and b or c: pass", 4),
        ("for a in b:\n  try: pass\n  except E: pass\n  except F: pass", 4),
        ("return [a for a in b if a if c]", 4),
        ("match a:\n  case 1: pass\n  case 2: pass\n  case _: pass", 3),
        ("def inner():\n  if a: pass", 1),
    ],
)
def test_complexity_counts_the_paths_of_a_function(body: str, paths: int) -> None:
    text = "def f():\n" + "\n".join(f"  {line}" for line in body.split("\n"))
    assert complexity(ast.parse(text).body[0]) == paths


def _package(root: Path, **modules: str) -> Source:
    for name, text in modules.items():
        (root / f"{name}.py").write_text(text, encoding="utf-8")
    return Source(root)


def test_floors_are_the_longest_way_down_and_a_circle_is_found(tmp_path: Path) -> None:
    house = rooms(
        _package(tmp_path, a="from p import b", b="import p.c", c="", d="from p.c import x"), "p"
    )
    assert (len(house.names), house.floors, house.circles) == (4, 3, [])
    assert house.arrows == {("a", "b"), ("b", "c"), ("d", "c")}
    house = rooms(_package(tmp_path, c="from p import b"), "p")
    assert (house.floors, house.circles) == (0, [("b", "c")])


def test_a_private_line_with_one_caller_is_found(tmp_path: Path) -> None:
    source = _package(tmp_path, a="def _one(): return 1\ndef two(): return _one()\n")
    assert small_private(source) == ["a.py:1:_one"]
    source = _package(tmp_path, a="def _one(): return 1\ndef two(): return _one() + _one()\n")
    assert small_private(source) == []


def test_no_test_reads_what_is_private_to_the_product() -> None:
    found = private_reads(TESTS, private_names(PACKAGE))
    assert found == Counter(ALLOWED), "where one is gone, take it off the list"


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("thing._inner", 1),
        ("thing.part._inner()", 1),
        ("thing._inner = 1", 0),
        ("self._inner", 0),
        ("thing._other", 0),
        ("thing.inner", 0),
        ("from swarmd.module import _inner", 1),
        ("patch.setattr(thing, '_inner', 1)", 1),
    ],
)
def test_a_private_read_is_found(text: str, reads: int, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    assert private_reads(tmp_path, frozenset({"_inner"})).total() == reads
