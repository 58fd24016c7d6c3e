"""Privileges are paths, like a directory tree; `/**` is the subtree. `**` alone is everything.

`use` and `grant` are separate rights: a manager may hand out what it may not use. Invariant: what a
child holds, of either right, is covered by what its creator could grant when it was made.

A revocation is one mark on a path segment, and cuts whatever lies below it. Every holding has a
number: what was handed down has its giver's, so a mark with a larger number cuts it in the whole
subtree, also in agents made later; a right that is granted anew has a new number, and so returns to
that one agent alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

PATH_PATTERN: Final = r"[A-Za-z0-9_.:*-]+(?:/[A-Za-z0-9_.:*-]+)*"
_PATH: Final = re.compile(PATH_PATTERN)


# --- the areas --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Area:
    """Privileges of one kind: those whose path begins with its name.

    `pattern` is what may follow the name in a path that some action asks for, or that covers a part
    of these; its groups `role`, `room`, `tool` and `model` are names that have to exist. `form`
    says the same to people; `allows` is what it is for, and `checked` who checks it and when.
    `takes` are the kinds of the ledger of which a use takes from the agent's account: money is not
    among them, for whether a model has a price is its provider's to know.
    """

    name: str
    form: str
    pattern: re.Pattern[str]
    allows: str
    checked: str
    takes: tuple[str, ...] = ()

    def path(self, *parts: str) -> str:
        """The privilege of this area with these parts: `TOOL.path("file", "read")`."""
        return "/".join((self.name, *parts))

    @property
    def whole(self) -> str:
        return self.path("**")


SPAWN: Final = Area(
    "spawn",
    "spawn/ROLE",
    re.compile(r"(?P<role>[^/]+)"),
    allows="to create agents of a role",
    checked="by the supervisor, at the spawn",
)
ROOM: Final = Area(
    "room",
    "room/NAME/say",
    re.compile(r"(?P<room>[^/]+)/(?:say|\*\*)"),
    allows="to speak in a room that it is a member of",
    checked="by the worker when it is said, by the store when the turn is committed",
)
TOOL: Final = Area(
    "tool",
    "tool/AREA/NAME",
    re.compile(r"(?P<tool>.+)"),
    allows="to use the function AREA/NAME, which there has to be",
    checked="by the store, at each use",
    takes=("tools",),
)
FILE: Final = Area(
    "file",
    "file/NAME/read",
    re.compile(r"[^/]+(?:/[^/]+)*/(?:read|\*\*)"),
    allows="to read a file of the mission, where its charter gives it that file",
    checked="by the worker at each turn, by the store at each read",
)
MODEL: Final = Area(
    "model",
    "model/PROVIDER:NAME",
    re.compile(r"(?P<model>.+?)(?:/\*\*)?"),
    allows="to call a model; the built-in one is `model/builtin:rules`",
    checked="by the store, at each call",
    takes=("tokens", "calls"),
)
AREAS: Final[Mapping[str, Area]] = {area.name: area for area in (SPAWN, ROOM, TOOL, FILE, MODEL)}


def area_of(path: str) -> Area | None:
    """The area of a path; none of `**` and of what no action asks for."""
    return AREAS.get(path.partition("/")[0])


# --- paths ------------------------------------------------------------------------------------


def is_path(text: str) -> bool:
    """Is it a privilege path at all?

    Records keep an agent's paths parted by spaces, so `model/x **`, which `model/**` seems to
    cover, would come back from the store as `model/x` and `**`.
    """
    return _PATH.fullmatch(text) is not None


def covers(holder: str, wanted: str) -> bool:
    """Does the one path `holder` include the path `wanted` (which may itself be a subtree)?"""
    if holder in (wanted, "**"):
        return True
    if not holder.endswith("/**"):
        return False
    root = holder[:-3]
    return wanted == root or wanted.startswith(root + "/")


def is_covered(wanted: str, held: Iterable[str]) -> bool:
    return any(covers(path, wanted) for path in held)


def overlaps(path: str, forbidden: str) -> bool:
    """Would holding `path` include anything of `forbidden`? Either may be a subtree."""
    return covers(path, forbidden) or covers(forbidden, path)


def sufficient(wanted: str) -> tuple[str, ...]:
    """The held paths any one of which includes the plain path `wanted`: itself and each subtree
    above.

    The store looks these up in the set of what an agent holds: few members, no walk.
    """
    parts = wanted.split("/")
    above = ["/".join(parts[:n]) + "/**" for n in range(len(parts), 0, -1)]
    return (wanted, *above, "**")


# --- holdings and marks -----------------------------------------------------------------------

Right = Literal["use", "grant", "both"]


@dataclass(frozen=True, slots=True)
class Held:
    """A right over a path. `number` is its age: 0 is as old as the swarm. `by` gave it, `at` that
    time where it was not given with the agent's creation."""

    path: str
    right: Right
    number: int = 0
    by: str = ""
    at: str = field(default="", compare=False)


# Siblings hold the same of the same creator: one tuple for all of them.
@lru_cache(maxsize=4_096)
def holdings(
    paths: tuple[str, ...], later: tuple[Held, ...], right: Right, by: str
) -> tuple[Held, ...]:
    """Each path as it is held: with a number of its own where it is among `later`, else as old
    as its holder.
    """
    given = {held.path: held for held in later if held.right == right}
    return tuple(given.get(path, Held(path, right, 0, by)) for path in paths)


@dataclass(frozen=True, slots=True)
class Revocation:
    """A mark on a segment: below it the right over `path` is void where its number is smaller
    than this one's.
    """

    segment: str
    path: str
    right: Right
    number: int
    by: str
    at: str
    reason: str = ""
    authority: int = 1  # whose word it is: those below cannot grant it anew

    def touches(self, holding: Held, right: Right) -> bool:
        return self.number > holding.number and self.right in (right, "both")


def live_holding(
    wanted: str,
    right: Right,
    held: Iterable[Held],
    marks: Sequence[Revocation],
    *,
    whole: bool = False,
) -> Held | None:
    """The holding that includes `wanted` and that no mark has cut; the newest of several.

    A mark inside a wanted subtree cuts that part of it alone: who hands the subtree down hands the
    mark's effect down with the number. `whole` asks for one that no mark has touched at all.
    """
    cuts = overlaps if whole else covers
    living = [
        holding
        for holding in held
        if holding.right in (right, "both")
        and covers(holding.path, wanted)
        and not any(mark.touches(holding, right) and cuts(mark.path, wanted) for mark in marks)
    ]
    return max(living, key=lambda holding: holding.number, default=None)
