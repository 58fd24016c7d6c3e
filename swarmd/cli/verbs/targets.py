"""What an order is about: a person says less than an order does, so what they name is looked up
here. What the order may do is the supervisor's to decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from swarmd.cli.render.text import plain
from swarmd.cli.session import note
from swarmd.cli.verbs.inspect import named
from swarmd.core.model.lineage import EVERYTHING
from swarmd.core.model.names import SOB, MissionId
from swarmd.core.model.privileges import TOOL, is_path, overlaps
from swarmd.errors import NotFoundError, RefusedError, UsageError
from swarmd.ports.reader import Reader

ROOMS_SHOWN: Final = 12
# What people call the board, which is `sob` in the records.
BOARD: Final = "board"
_TIER: Final = re.compile(r"tier:\d{1,2}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asks for. `more` are the order's other fields."""

    verb: str
    reference: str
    reason: str = ""
    is_only: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meant:
    """What a person's word for a target stands for in an order, and as what it is told of."""

    target: str
    kind: Literal["agent", "mission", "target"]


def said_target(target: str) -> str:
    """A target as a person says it: everything is `all`."""
    return "all" if target == EVERYTHING else plain(target)


def meant(reader: Reader, wish: Wish) -> Meant:
    """Raises `NotFoundError`, or `UsageError` for what no such order can have as its target."""
    reference, is_only = wish.reference, wish.is_only
    if reference.startswith("="):
        reference, is_only = reference[1:], True
    found = _special(reader, reference) or _named(reader, reference)
    if not is_only:
        return found
    if wish.verb not in ("freeze", "halt", "thaw"):
        raise UsageError(f"{wish.verb} is of an agent and all below it", hint="leave --only out")
    if found.kind != "agent":
        raise UsageError(f"--only is said of an agent, and {reference!r} is none")
    return Meant(f"={found.target}", "agent")


def _special(reader: Reader, reference: str) -> Meant | None:
    """Targets that are neither agent nor mission."""
    if reference in ("all", EVERYTHING):
        return Meant(EVERYTHING, "target")
    kind, colon, rest = reference.partition(":")
    if not colon:
        return None
    if kind == "tier":
        return _tier(reference)
    if kind in ("tool", "use"):
        return _use(rest)
    return Meant(_room(reader, rest), "target") if kind == "room" else None


def _tier(reference: str) -> Meant:
    if not _TIER.fullmatch(reference):
        raise UsageError(f"{reference!r} is no tier", hint="such as tier:2")
    return Meant(reference, "target")


def _use(privilege: str) -> Meant:
    if not is_path(privilege):
        raise UsageError(
            f"{privilege!r} is no privilege", hint="such as tool:tool/file/write or tool:model/**"
        )
    return Meant(f"use:{_of_a_function(privilege)}", "target")


def _of_a_function(privilege: str) -> str:
    """The privilege, or that of the function of this name. Raises `NotFoundError` for one that no
    action asks for: a stop on it would hold nothing.
    """
    from swarmd.core.model.functions import BUILT_IN

    if privilege in BUILT_IN:
        return BUILT_IN[privilege].privilege or TOOL.path(privilege)
    refuse_unused(privilege)
    return privilege


def refuse_unused(privilege: str) -> None:
    """Raises `NotFoundError` for a privilege that no action ever asks for, with what there is."""
    from swarmd.core.model.functions import BUILT_IN
    from swarmd.core.queries.privilege_use import why_never_used

    known = [one.privilege for one in BUILT_IN.values() if one.privilege]
    why = why_never_used(privilege, known)
    if why:
        raise NotFoundError(why, hint=f"functions: {', '.join(known)}")


def _room(reader: Reader, name: str) -> str:
    """One room; or a declared name that every mission has a room of, for all of these at once."""
    room = f"room:{name}"
    known = sorted(reader.rooms())
    if room in known or any(one.startswith(f"{room}-") for one in known):
        return room
    raise NotFoundError(
        f"no room {name!r}", hint=f"rooms there are: {', '.join(known[:ROOMS_SHOWN])}"
    )


def _named(reader: Reader, reference: str) -> Meant:
    try:
        return id_of(reader, reference)
    except NotFoundError:
        # An agent may be called so, and is meant then.
        if reference == BOARD:
            return Meant(SOB, "agent")
        raise


def id_of(reader: Reader, reference: str) -> Meant:
    found = named(reader, reference)
    return Meant(found.id, "mission" if found.is_mission else "agent")


def agent_of(reader: Reader, reference: str) -> Meant:
    found = id_of(reader, reference)
    if found.kind == "mission":
        raise UsageError(f"{found.target} is a mission", hint="name an agent: swarmd ps")
    return found


def refuse_ended(reader: Reader, found: Meant) -> None:
    mission = reader.mission(MissionId(found.target)) if found.kind == "mission" else None
    if mission is not None and mission.has_ended:
        raise RefusedError(
            f"mission {found.target} has ended already: {mission.state}",
            hint=f"swarmd inspect {found.target}",
        )


def warn_of_nobody(reader: Reader, found: Meant) -> None:
    """A mark on a tier or a privilege holds for those to come too; that it holds nobody now may
    be a slip.
    """
    kind, _, rest = found.target.partition(":")
    if found.kind != "target" or kind not in ("tier", "use"):
        return
    if kind == "tier":
        if not any(str(agent.tier) == rest for agent in reader.agents()):
            note(f"nobody stands at tier {rest} now: it holds whoever comes to")
    elif not any(overlaps(path, rest) for agent in reader.agents() for path in agent.privileges):
        note(
            f"nobody holds {plain(rest)} now: it holds whoever is given it. `swarmd inspect ID` "
            "shows what an agent holds"
        )
