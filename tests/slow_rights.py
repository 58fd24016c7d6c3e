"""Who may use and hand out what, the slow way: a revocation goes through everybody below and takes
leaf by leaf.

The law keeps one mark and compares numbers (`core/model/privileges.py`); both have to say the same of
everybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from swarmd.core.model.names import Authority
from swarmd.core.model.privileges import Right, covers, overlaps

# What a subtree holds beside its named leaves can be revoked with the whole of it only.
LEAVES: Final = ("t/a/x", "t/a/y", "t/a/?", "t/b", "t/?", "m/g", "m/?", "spawn/?", "?")
PATHS: Final = ("t/a/x", "t/a/y", "t/a/**", "t/b", "t/**", "m/g", "m/**", "**")


def leaves(path: str) -> frozenset[str]:
    return frozenset(leaf for leaf in LEAVES if covers(path, leaf))


def rest_of(path: str) -> str:
    """The leaf that goes only with the whole path."""
    return f"{path[:-2]}?" if path.endswith("**") else path


@dataclass(slots=True)
class Holding:
    """What is left of one path that somebody was given, of each right."""

    path: str
    since: int
    left: dict[Right, set[str]]


@dataclass(slots=True)
class Somebody:
    parent: str
    holdings: dict[Right, list[Holding]] = field(default_factory=lambda: {"use": [], "grant": []})


@dataclass(slots=True)
class SlowRights:
    """Everybody with what they hold, as sets; a revocation goes through all of them."""

    everybody: dict[str, Somebody] = field(default_factory=dict)
    revoked: list[tuple[str, str, Authority]] = field(default_factory=list)
    time: int = 0

    def is_below(self, id: str, segment: str) -> bool:
        while id:
            if id == segment:
                return True
            id = self.everybody[id].parent
        return False

    def handed(self, parent: str, path: str) -> Holding | None:
        """Of what can be handed out the newest that includes the path."""
        found = [
            holding
            for holding in self.everybody[parent].holdings["grant"]
            if covers(holding.path, path) and rest_of(path) in holding.left["grant"]
        ]
        return max(found, key=lambda holding: holding.since, default=None)

    def spawn(self, id: str, parent: str, rights: dict[Right, tuple[str, ...]]) -> None:
        self.everybody[id] = Somebody(parent)
        for right, paths in rights.items():
            for path in paths:
                source = self.handed(parent, path)
                assert source is not None
                left = {kind: source.left[kind] & leaves(path) for kind in source.left}
                self.everybody[id].holdings[right].append(Holding(path, source.since, left))

    def revoke(
        self, segment: str, path: str, rights: tuple[Right, ...], authority: Authority
    ) -> None:
        self.time += 1
        self.revoked.append((segment, path, authority))
        for id, somebody in self.everybody.items():
            if self.is_below(id, segment):
                for holding in (*somebody.holdings["use"], *somebody.holdings["grant"]):
                    for right in rights:
                        holding.left[right] -= leaves(path)

    def grant(self, id: str, path: str, rights: tuple[Right, ...]) -> None:
        self.time += 1
        for right in rights:
            kept = [h for h in self.everybody[id].holdings[right] if h.path != path]
            whole: dict[Right, set[str]] = {"use": set(leaves(path)), "grant": set(leaves(path))}
            self.everybody[id].holdings[right] = [*kept, Holding(path, self.time, whole)]

    def can_grant_whole(self, id: str, path: str) -> bool:
        return any(
            leaves(path) <= holding.left["grant"]
            for holding in self.everybody[id].holdings["grant"]
            if covers(holding.path, path)
        )

    def is_outranked(self, target: str, path: str) -> bool:
        """Does a mark of an operator's stand in the way of an ancestor's grant?"""
        return any(
            overlaps(revoked, path) and self.is_below(target, segment)
            for segment, revoked, authority in self.revoked
            if authority is Authority.OPERATOR
        )

    def may(self, id: str, leaf: str, right: Right) -> bool:
        return any(leaf in holding.left[right] for holding in self.everybody[id].holdings[right])
