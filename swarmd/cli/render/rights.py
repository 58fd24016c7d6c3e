"""Rights as lines of text: revocations, and why an agent may do something or may not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from swarmd.cli.render.columns import Column, table_lines
from swarmd.cli.render.text import Ink, ago, lasted, plain
from swarmd.cli.render.values import iso
from swarmd.core.model.privileges import Revocation

if TYPE_CHECKING:
    from swarmd.core.queries.explain import Hindrance, Link, Trace


def revocation_line(mark: Revocation, now: datetime) -> str:
    when = ago(mark.at, now)
    return (
        f"{mark.path} ({mark.right}) at {mark.segment} by {mark.by}"
        + (f", {when} ago" if when else "")
        + (f": {mark.reason}" if mark.reason else "")
    )


def trace_lines(
    found: Trace, in_the_way: Sequence[Hindrance], privilege: str, ink: Ink, now: datetime
) -> list[str]:
    """The answer, what it rests on link by link, and what stands in the way."""
    asked = found.links[-1]
    causes = [*_lost(found, now), *(_hindered(no, now) for no in in_the_way)]
    answer = f"{who(asked)} {'may not' if causes else 'may'} {asked.right} {plain(privilege)}"
    return [
        ink.paint(answer, "red" if causes else "green"),
        *(f"  {cause}" for cause in causes),
        *table_lines(_chain_columns(found.links, now), ink),
    ]


def _chain_columns(links: Sequence[Link], now: datetime) -> list[Column]:
    return [
        Column("AGENT", [who(link) for link in links]),
        Column("RIGHT", [link.right for link in links]),
        Column("HOLDS", [link.held.path if link.held else "-" for link in links]),
        Column("NUMBER", [_number(link) for link in links], rank=2, is_optional=True),
        Column("FROM", _givers(links), least=8),
        Column("SINCE", [ago(link.given_at, now) or "-" for link in links], rank=1),
        Column("REVOKED", [_cut(link) for link in links], least=14, is_optional=True),
    ]


def _givers(links: Sequence[Link]) -> list[str]:
    """By name, where they are themselves among the links."""
    names: dict[str, str] = {link.agent.id: link.agent.name for link in links}
    return [plain(names.get(link.given_by, link.given_by) or "-") for link in links]


def _number(link: Link) -> str:
    """Shown of what was given anew: a revocation voids what is older than itself."""
    return str(link.held.number) if link.held and link.held.number else ""


def who(link: Link) -> str:
    name, id = link.agent.name, link.agent.id
    return plain(id if name in ("", id) else f"{name} ({id})")


def _cut(link: Link) -> str:
    return "" if link.cut is None else f"by {link.cut.by} at {link.cut.segment}"


def _lost(found: Trace, now: datetime) -> list[str]:
    """The missing link, in words; and who could mend it, where somebody above it can."""
    broken = found.broken
    if broken is None:
        return []
    if broken.cut is not None:
        return [f"revoked: {plain(revocation_line(broken.cut, now))}"]
    what = "it" if broken.right == "use" else "it to hand out"
    above = found.links[: found.links.index(broken)]
    giver = f"; {who(above[-1])} can give it" if above else ""
    return [f"{who(broken)} was never given {what}{giver}"]


def _hindered(no: Hindrance, now: datetime) -> str:
    by = f" by {no.by}" if no.by else ""
    when = f", {lasted(now.timestamp() - no.at)} ago" if no.at else ""
    until = f", until {iso(no.until)}" if no.until else ""
    return plain(
        f"{no.rule.value}: {no.target}{by}{when}{until}" + (f": {no.reason}" if no.reason else "")
    )
