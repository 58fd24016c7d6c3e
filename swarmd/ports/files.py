"""The files of a mission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from swarmd.core.agent.file_list import FileFacts
from swarmd.core.model.names import MissionId


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive lines of a file that answer a query. `start` counts from 1; `under` are the
    headings above them, from the title down.
    """

    path: str
    start: int
    lines: tuple[str, ...]
    score: float
    under: str = ""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive lines of a file, and how many it has in all."""

    lines: tuple[str, ...]
    total: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that was not read, and why, both fit to be shown."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and what it could not look into: that was not searched, whatever was
    found. `searched` passages were looked at, and `words` says in how many of them each word of the
    query is, in one of its forms.
    """

    passages: tuple[Passage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    searched: int = 0
    words: Mapping[str, int] = field(default_factory=dict)


class Files(Protocol):
    """A mission's files. Every path is a name relative to the mission; errors are `WorkspaceError`.

    Reading looks in the mission's own folder first (`given/` then `work/`), then in the knowledge
    folder; writing goes to `work/` only, whole file by rename, so it may be repeated.
    """

    def names(self, mission: MissionId, wanted: Sequence[str]) -> tuple[str, ...]:
        """The readable files that `wanted` stands for (a folder stands for all files below it),
        sorted.

        Raises `WorkspaceError` naming what does not exist.
        """

    def facts(self, mission: MissionId, wanted: Sequence[str]) -> tuple[FileFacts, ...]:
        """The same files with their lengths and first headings. Raises as `names` does."""

    def read(self, mission: MissionId, path: str, start: int, lines: int) -> Excerpt:
        """As much as a prompt takes; a line that is too long is cut."""

    def lines(self, mission: MissionId, path: str) -> Sequence[str]:
        """All of a file, as it is read: for the program, and too much for a prompt."""

    def write(self, mission: MissionId, path: str, text: str) -> int:
        """Returns the bytes written."""

    def create(self, mission: MissionId, path: str, text: str) -> bool:
        """As `write`, where nothing has that name yet; false where something has."""

    def search(self, mission: MissionId, query: str, names: Sequence[str], top: int) -> Found:
        """Best first; deterministic; no passages where nothing shares a word with the query.

        Raises `WorkspaceError` where none of `names` exists. What else is not read is left out by
        name, and so is what was passed over when the mission's files were given or listed.
        """

    def remove(self, mission: MissionId) -> None:
        """Delete the mission's own folder. May be repeated."""
