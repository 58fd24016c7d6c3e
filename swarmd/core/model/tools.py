"""The functions that an agent may call, with their arguments."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from swarmd.core.model.charter import Line, Path, Written


class Function(Written):
    """What an agent may use within a turn. Each says whether it may be repeated: whether done twice
    is as done once.

    What may not, and was begun and never ended, is not done again: nobody knows whether it was
    done, and the model is told so.
    """

    may_repeat: ClassVar[bool] = True


class ListSubtree(Function):
    """List your descendants with their states."""

    move: Literal["list_subtree"]


class ReadFile(Function):
    """Read lines of a file of the mission."""

    move: Literal["read_file"]
    path: Path
    start: int = Field(1, ge=1)
    lines: int = Field(200, ge=1, le=1_000)


class SearchFiles(Function):
    """Find the passages of the mission's files that answer a question best."""

    move: Literal["search_files"]
    query: Line
    files: tuple[Path, ...] = Field(
        (), max_length=512, description="only these; empty: all you may read"
    )
    top: int = Field(5, ge=1, le=20)


class WriteFile(Function):
    """Write a whole file in the mission's workspace; it is read as work/NAME by all of the
    mission.
    """

    move: Literal["write_file"]
    path: Path
    text: str = Field(max_length=1_000_000)
