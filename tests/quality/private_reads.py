"""Where tests read what is private to swarmd's objects, and the few places where they still may.

A test that knows a private name breaks when the inside changes and the behaviour does not.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

# By file and name: how often. It only becomes shorter.
ALLOWED: Final[Mapping[str, int]] = {
    "adapters/config/test_loader.py:_loader": 2,
    "chaos/aof.py:_start": 2,
    "chaos/aof.py:_stop": 2,
    "cli/test_action_commands.py:_verbs_of": 1,
    "contract/test_embedded.py:_lock": 4,
    "contract/test_embedded.py:_process": 8,
    "contract/test_rate_limit.py:_starts": 1,
    "contract/test_versions.py:_mac": 1,
    # Of fakeredis and asyncio, which have names of their own like these.
    "sim/loop.py:_context": 1,
    "sim/server.py:_server": 1,
    "sim/server.py:_socket": 1,
    "sim/server.py:_stream": 1,
}


def private_names(package: Path) -> frozenset[str]:
    """All that the package's modules and classes define for themselves alone."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found.update(name for name in _defined(node) if is_private(name))
    return frozenset(found)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _defined(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name


def private_reads(tests: Path, names: frozenset[str]) -> Counter[str]:
    """`file:name` of each. A test's object may have private names of its own, under `self`."""
    found: Counter[str] = Counter()
    for path in sorted(tests.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {name for node in ast.walk(tree) for name in _defined(node)}
        for name in _read(tree):
            if name in names and name not in own:
                found[f"{path.relative_to(tests).as_posix()}:{name}"] += 1
    return found


def _read(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name):
                yield name
            case ast.ImportFrom(module=str() as module, names=aliases) if module.startswith(
                "swarmd"
            ):
                yield from (alias.name for alias in aliases)
            case ast.Call(
                func=ast.Attribute(attr="setattr") | ast.Name(id="setattr" | "getattr"),
                args=[_, ast.Constant(value=str() as name), *_],
            ):
                yield name
