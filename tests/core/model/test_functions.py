"""The registry of functions: what may stand in it, and what its rows say."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from swarmd.core.model.functions import (
    BUILT_IN,
    FILE_LIST,
    FILE_READ,
    FILE_SEARCH,
    FILE_WRITE,
    TREE_LIST,
    registry,
)
from swarmd.core.model.moves import MOVE_TYPES


class Open(BaseModel):
    thing: str


@pytest.mark.parametrize(
    "name",
    [
        "read",
        "/read",
        "file/",
        "file//read",
        "file/re ad",
        "file/read\n",
        "file.read/x",
        "",
        "a/" + "b" * 63,
    ],
)
def test_a_name_that_is_no_path_of_plain_words_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a function"):
        registry(replace(FILE_READ, name=name))


def test_two_functions_that_could_not_be_told_apart_are_refused() -> None:
    for other in (FILE_READ.name, "file_read/x"):
        twin = replace(FILE_READ, name=other)
        rows = [FILE_READ, twin] if other == FILE_READ.name else [replace(twin, name="file/read/x")]
        rows += [] if other == FILE_READ.name else [twin]
        with pytest.raises(ValueError, match="cannot be told from"):
            registry(*rows)


def test_arguments_that_let_unknown_fields_pass_are_refused() -> None:
    loose: Any = Open
    with pytest.raises(ValueError, match="must forbid unknown fields"):
        registry(replace(FILE_READ, args=loose))


def test_each_has_a_name_as_a_tool_that_an_api_takes_and_that_is_no_moves() -> None:
    names = [function.call_name for function in BUILT_IN.values()]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)
        assert name not in MOVE_TYPES
    assert not any("_" in move for move in MOVE_TYPES), "a function's has one always"


@pytest.mark.parametrize(
    ("function", "args", "privileges"),
    [
        (TREE_LIST, {}, ()),
        (FILE_LIST, {"folder": "docs"}, ("tool/file/list",)),
        (FILE_READ, {"path": "docs/a"}, ("tool/file/read", "file/docs/a/read")),
        (FILE_READ, {"path": "work/a"}, ("tool/file/read",)),
        (FILE_READ, {"path": "works/a"}, ("tool/file/read", "file/works/a/read")),
        (FILE_SEARCH, {"query": "x", "files": ["docs/a"]}, ("tool/file/search",)),
        (FILE_WRITE, {"path": "a", "text": ""}, ("tool/file/write",)),
    ],
)
def test_a_call_takes_the_privileges_that_its_arguments_need(
    function: Any, args: dict[str, Any], privileges: tuple[str, ...]
) -> None:
    assert function.privileges(function.args.model_validate(args)) == privileges
