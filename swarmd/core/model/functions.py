"""The functions that an agent may call: one row for each, in a mapping that is passed in.

All that is known of a function before it is called stands in its row; what it does is its handler
(`runtime.turn.functions`). The mapping is open: functions of a user's own are added to it where the
parts are put together. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from swarmd.core.model.charter import Line, Path, Written
from swarmd.core.model.exchange import name_of_function
from swarmd.core.model.privileges import FILE, TOOL
from swarmd.core.model.timings import FUNCTION_SECONDS

# Where the files lie that agents of a mission write: they are the mission's, whoever wrote them.
OWN_FILES: Final = "work/"
# Among them those that the supervisor writes: the turns of agents that ended before their report.
KEPT_TURNS: Final = f"{OWN_FILES}turns/"
# And those that the worker writes: each final report.
REPORTS: Final = f"{OWN_FILES}reports/"
_WRITERS: Final = {KEPT_TURNS: "the supervisor", REPORTS: "the move `report`"}

# What OpenAI's API takes as the name of a tool is no longer, and a name keeps its length there.
NAME_CHARS_MAX: Final = 64
MOVES_MAX: Final = 16  # in one answer: more is a loop written out
_NAME: Final = r"^[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)+$"

FunctionName = Annotated[str, Field(pattern=_NAME, max_length=NAME_CHARS_MAX)]
Source = Literal["own", "file", "tool", "outside"]
Effect = Literal["reads", "writes", "outward"]


def _none(_: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Function:
    """One function. What depends on the arguments of a call is a function of them."""

    name: str  # a path, such as `file/read`
    summary: str  # what a model is told of it
    args: type[Written]
    source: Source  # where its output comes from: all but `own` taints the turn that sees it
    effect: Effect
    privilege: str = ""  # the path that every call takes; empty: none
    further_privileges: Callable[[Any], tuple[str, ...]] = _none  # beside it, by the arguments
    files_named: Callable[[Any], tuple[str, ...]] = _none  # each must be the agent's to read
    echoes: tuple[str, ...] = ()  # fields of its result that only repeat its arguments
    subject: str = ""  # the argument that names what the call is about, such as a path
    # Whether done twice is as done once. What is not, and was begun and never ended, is not done
    # again: nobody knows whether it was done, and the model is told so.
    may_repeat: bool = True
    needs_workspace: bool = False  # such an agent is placed where the mission's files are
    seconds: float = FUNCTION_SECONDS  # a call that takes longer is cancelled
    charge: Mapping[str, int] = field(default_factory=lambda: {"tools": 1}, hash=False)

    @property
    def call_name(self) -> str:
        """The name as a tool of an API, where a name has no slashes."""
        return name_of_function(self.name)

    def privileges(self, args: Any) -> tuple[str, ...]:
        """All that a call with these arguments takes."""
        own = (self.privilege,) if self.privilege else ()
        return own + self.further_privileges(args)


Functions = Mapping[str, Function]


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function with arguments that fit it."""

    function: Function
    args: Written


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model may answer now: moves by their names, and the functions that `use` calls."""

    moves: tuple[str, ...]
    functions: tuple[Function, ...] = ()
    moves_max: int = MOVES_MAX  # in one answer

    def why_too_many(self, number: int) -> str:
        """What to say of an answer of so many moves; nothing where they are within the bound."""
        if number <= self.moves_max:
            return ""
        if self.moves_max > 1:
            return f"{number} moves in one answer; at most {self.moves_max} are allowed."
        named = " or ".join(f"`{name}`" for name in self.moves)
        return f"Exactly one {named} answers this call; your answer has {number} moves. Choose one."


def registry(*functions: Function) -> Functions:
    """Functions by their names. Raises `ValueError` for one that could not be called or told from
    another.
    """
    found: dict[str, Function] = {}
    call_names: dict[str, str] = {}
    for function in functions:
        name = function.name
        if len(name) > NAME_CHARS_MAX or not re.match(_NAME, name) or name.endswith("\n"):
            raise ValueError(
                f"{name!r} is no name of a function: write AREA/NAME in letters, digits, `_` and "
                f"`-`, of at most {NAME_CHARS_MAX} characters"
            )
        if function.args.model_config.get("extra") != "forbid":
            raise ValueError(f"the arguments of {name} must forbid unknown fields")
        other = call_names.setdefault(function.call_name, name)
        if other != name or name in found:
            raise ValueError(f"{name} cannot be told from {other}: rename one of them")
        found[name] = function
    return found


# --- what swarmd itself brings ------------------------------------------------------------------


class ListTree(Written):
    """No arguments."""


class ReadFile(Written):
    path: Path
    start: int = Field(1, ge=1)
    lines: int = Field(200, ge=1, le=1_000)


class ListFiles(Written):
    folder: str = Field("", max_length=512, description="empty: all you may read")
    start: int = Field(1, ge=1)  # where a list that was cut goes on


class SearchFiles(Written):
    query: Line
    files: tuple[Path, ...] = Field(
        (), max_length=512, description="only these; empty: all you may read"
    )
    top: int = Field(5, ge=1, le=20)


class WriteFile(Written):
    path: Path
    text: str = Field(max_length=1_000_000)

    @field_validator("path")
    @classmethod
    def _is_not_kept(cls, path: str) -> str:
        """The kept turns and the reports are the runtime's word of what somebody did and reported:
        nobody may forge them.
        """
        parts = [part for part in path.split("/") if part not in ("", ".")]
        below = parts[1:] if parts[:1] == [OWN_FILES.rstrip("/")] else parts
        if not below:
            raise ValueError(f"names no file: write a name such as {OWN_FILES}notes.md")
        folder = f"{OWN_FILES}{below[0]}/"
        if folder in _WRITERS:
            raise ValueError(f"{_WRITERS[folder]} alone writes below {folder}: use another name")
        return path


def is_own_file(path: str) -> bool:
    """Whether it is one that the mission's agents wrote: all of the mission may read it."""
    return f"{path}/".startswith(OWN_FILES)


def _reading(args: ReadFile) -> tuple[str, ...]:
    return () if is_own_file(args.path) else (FILE.path(args.path, "read"),)


TREE_LIST: Final = Function(
    name="tree/list",
    summary="List your descendants with their states.",
    args=ListTree,
    source="own",  # what the supervisor itself minted
    effect="reads",
)
FILE_READ: Final = Function(
    name="file/read",
    summary="Read lines of a file of the mission.",
    args=ReadFile,
    source="file",
    effect="reads",
    privilege=TOOL.path("file", "read"),
    further_privileges=_reading,
    files_named=lambda args: (args.path,),
    echoes=("path", "start"),
    subject="path",
    needs_workspace=True,
)
FILE_LIST: Final = Function(
    name="file/list",
    summary="List what is in a folder, with lengths and headings.",
    args=ListFiles,
    source="file",  # headings are text of files
    effect="reads",
    privilege=TOOL.path("file", "list"),
    subject="folder",
    needs_workspace=True,
)
FILE_SEARCH: Final = Function(
    name="file/search",
    summary="Find the passages of the mission's files that answer a question best.",
    args=SearchFiles,
    source="file",
    effect="reads",
    privilege=TOOL.path("file", "search"),
    files_named=lambda args: args.files,
    subject="query",
    needs_workspace=True,
)
FILE_WRITE: Final = Function(
    name="file/write",
    summary="Write a whole file in the mission's workspace; it is read as work/NAME by all of the "
    "mission.",
    args=WriteFile,
    source="own",
    effect="writes",
    privilege=TOOL.path("file", "write"),
    subject="path",
    needs_workspace=True,
)

BUILT_IN: Final = registry(TREE_LIST, FILE_LIST, FILE_READ, FILE_SEARCH, FILE_WRITE)
