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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

# The same form as `rules.PrivilegePath`, which speaks to declarations.
_PATH: Final = re.compile(r"[A-Za-z0-9_.:*-]+(?:/[A-Za-z0-9_.:*-]+)*")


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


def uncovered(wanted: Iterable[str], held: Sequence[str]) -> tuple[str, ...]:
    """Those of `wanted` that `held` does not include, in their order."""
    return tuple(path for path in wanted if not is_covered(path, held))


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
