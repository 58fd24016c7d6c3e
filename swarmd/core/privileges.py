"""Privileges are paths, like a directory tree; `/**` is the subtree. `**` alone is everything.

Invariant: what a child holds is covered by what its creator held when it was made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

# The same form as `rules.PrivilegePath`, which speaks to declarations.
_PATH: Final = re.compile(r"[A-Za-z0-9_.:*-]+(?:/[A-Za-z0-9_.:*-]+)*")


def is_path(text: str) -> bool:
    """Is it a privilege path at all?

    Records keep an agent's paths parted by spaces, so `model/x **`, which `model/**` seems to cover, would
    come back from the store as `model/x` and `**`.
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
    """The held paths any one of which includes the plain path `wanted`: itself and each subtree above.

    The store looks these up in the set of what an agent holds: few members, no walk.
    """
    parts = wanted.split("/")
    above = ["/".join(parts[:n]) + "/**" for n in range(len(parts), 0, -1)]
    return (wanted, *above, "**")
