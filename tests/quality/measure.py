"""Figures of the source: sizes in tokens, branches, names, and how its packages import each other.

Lines are no measure of size here, for the formatter decides them. A token is what Python's
tokenizer counts, without comments, line ends and indentation.
"""

from __future__ import annotations

import ast
import bisect
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Final

COMPLEXITY_MAX: Final = 10
SMALL_TOKENS: Final = (
    15  # a private function below it, with one caller, is a line that was moved away
)

type_of_function = ast.FunctionDef | ast.AsyncFunctionDef

_SILENT: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)
# What adds one path each, as radon counts them.
_BRANCHES: Final = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.comprehension,
)


@dataclass(frozen=True, slots=True)
class Function:
    place: str  # file:line:name
    name: str
    tokens: int
    complexity: int
    parameters: int

    @property
    def is_dunder(self) -> bool:
        return self.name.startswith("__") and self.name.endswith("__")


@dataclass(frozen=True, slots=True)
class Span:
    place: str
    lines: int


class Source:
    """All Python files below `root`, read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.texts = {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}

    @cached_property
    def trees(self) -> dict[Path, ast.Module]:
        return {path: ast.parse(text) for path, text in self.texts.items()}

    @cached_property
    def token_lines(self) -> dict[Path, list[int]]:
        """By file: the line of each token, in order."""
        return {path: list(_token_lines(text)) for path, text in self.texts.items()}

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        return tuple(self._functions())

    def _functions(self) -> Iterator[Function]:
        for path, tree in self.trees.items():
            lines = self.token_lines[path]
            for node in ast.walk(tree):
                if isinstance(node, type_of_function):
                    first, last = node.lineno, node.end_lineno or node.lineno
                    yield Function(
                        place=f"{path.relative_to(self.root)}:{first}:{node.name}",
                        name=node.name,
                        tokens=bisect.bisect_right(lines, last) - bisect.bisect_left(lines, first),
                        complexity=complexity(node),
                        parameters=_parameters(node),
                    )

    @cached_property
    def classes(self) -> tuple[Span, ...]:
        return tuple(
            Span(
                f"{path.relative_to(self.root)}:{node.name}",
                (node.end_lineno or 0) - node.lineno + 1,
            )
            for path, tree in self.trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        )

    @cached_property
    def files(self) -> tuple[Span, ...]:
        return tuple(
            Span(str(path.relative_to(self.root)), text.count("\n"))
            for path, text in self.texts.items()
        )

    def below(self, folder: str) -> Source:
        return Source(self.root / folder)


def _token_lines(text: str) -> Iterator[int]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            yield token.start[0]


def complexity(node: ast.AST) -> int:
    """Paths through a function. A function inside it counts for itself and not here."""
    paths = 1
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, type_of_function | ast.ClassDef | ast.Lambda):
            continue
        paths += _paths(inner)
        waiting.extend(ast.iter_child_nodes(inner))
    return paths


def _paths(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.Match):
        return sum(not _takes_all(case) for case in node.cases)
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, _BRANCHES))


def _takes_all(case: ast.match_case) -> bool:
    return isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None


def _parameters(node: type_of_function) -> int:
    taken = node.args
    names = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
    return len([name for name in names if name.arg not in ("self", "cls")])


def small_private(source: Source) -> list[str]:
    """Private functions of fewer than `SMALL_TOKENS` tokens that are named in one other place
    alone.
    """
    named: dict[tuple[Path, str], int] = {}
    for path, tree in source.trees.items():
        for node in ast.walk(tree):
            name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
            if name is not None:
                named[path, name] = named.get((path, name), 0) + 1
    return [
        function.place
        for function in source.functions
        if function.name.startswith("_")
        and not function.is_dunder
        and function.tokens < SMALL_TOKENS
        and named.get((source.root / function.place.split(":")[0], function.name)) == 1
    ]


@dataclass(frozen=True, slots=True)
class Rooms:
    """The packages and modules right below a folder: which import which."""

    names: frozenset[str]
    arrows: frozenset[tuple[str, str]]  # importer, imported

    @property
    def circles(self) -> list[tuple[str, str]]:
        return sorted(
            (low, high) for low, high in self.arrows if low < high and (high, low) in self.arrows
        )

    @property
    def floors(self) -> int:
        """The longest way down, in rooms. 0 where a circle makes it endless."""
        depth: dict[str, int] = {}
        below = {name: {low for high, low in self.arrows if high == name} for name in self.names}
        for _ in self.names:
            for name in self.names:
                if name not in depth and below[name] <= depth.keys():
                    depth[name] = 1 + max((depth[low] for low in below[name]), default=0)
        return max(depth.values(), default=0) if len(depth) == len(self.names) else 0


def rooms(source: Source, package: str) -> Rooms:
    arrows = set()
    names = {_room(path, source.root) for path in source.texts} - {"__init__"}
    for path, tree in source.trees.items():
        here = _room(path, source.root)
        for module in _imported(tree):
            if module.startswith(f"{package}."):
                there = module.removeprefix(f"{package}.").split(".")[0]
                if there in names and there != here:
                    arrows.add((here, there))
    return Rooms(frozenset(names), frozenset(arrows))


def _room(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0].removesuffix(".py")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def figures(root: Path) -> dict[str, float]:
    """All figures by name. `root` is the folder of the package `swarmd`."""
    whole = Source(root)
    core = whole.below("core")
    sizes = sorted(function.tokens for function in whole.functions)
    named = [f.name.strip("_") for f in whole.functions if not f.is_dunder]
    house = rooms(core, "swarmd.core")
    return {
        "functions": len(whole.functions),
        "complex_percent": _percent_complex(whole),
        "complex_percent_core": _percent_complex(core),
        "tokens_median": median(sizes),
        "tokens_p90": sizes[len(sizes) * 9 // 10],
        "small_private": len(small_private(whole)),
        "complexity_excepted": sum(t.count("C901") for t in whole.texts.values()),
        "format_skips": sum(
            t.count("# fmt: skip") + t.count("# fmt: off") for t in whole.texts.values()
        ),
        "one_word_percent": round(100 * sum("_" not in name for name in named) / len(named), 1),
        "class_lines_max": max(span.lines for span in whole.classes),
        "file_lines_max": max(span.lines for span in whole.files),
        "parameters_max": max(function.parameters for function in whole.functions),
        "core_rooms": len(house.names),
        "core_floors": house.floors,
        "core_arrows": len(house.arrows),
        "core_circles": len(house.circles),
        "tokens": sum(len(lines) for lines in whole.token_lines.values()),
    }


def _percent_complex(source: Source) -> float:
    over = sum(function.complexity > COMPLEXITY_MAX for function in source.functions)
    return round(100 * over / len(source.functions), 2)
