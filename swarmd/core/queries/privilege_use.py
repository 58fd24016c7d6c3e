"""Whether any action could ever ask for a privilege: a slip of the pen stops or grants nothing.

What is declared is checked with more knowledge, of roles and rooms (`adapters.config.checks`).
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarmd.core.model.privileges import AREAS, TOOL, Area, area_of, overlaps


def why_never_used(path: str, functions: Sequence[str]) -> str:
    """Why nothing is used under this path, of which the privileges of all functions are known;
    empty where something is, or may come to be.
    """
    area, (_, _, rest) = area_of(path), path.partition("/")
    if path == "**" or (area is not None and rest == "**"):
        return ""
    if area is None:
        return f"nothing is used under {path!r}: a privilege begins with {', '.join(AREAS)}"
    if "*" in rest.removesuffix("/**"):
        return f"{path!r} has a `*`, which stands only in a last `/**`"
    return _why_not_of(area, path, rest, functions)


def _why_not_of(area: Area, path: str, rest: str, functions: Sequence[str]) -> str:
    if area is TOOL:
        # Of a subtree the functions may still come: those of a user's own.
        is_known = rest.endswith("/**") or any(overlaps(path, one) for one in functions)
        return "" if is_known else f"no function is used under {path!r}"
    if area.pattern.fullmatch(rest) is None:
        return f"nothing is used under {path!r}: it is neither a function nor {area.form}"
    return ""
