"""What a motion is: something that the board of seats can carry, and the supervisor then does.

Each kind is one file in `core/board/motions` that declares one `MotionKind`. The moves of a seat,
the clerk and the docs are made from these rows. As with the verbs of `model.actions`, they are
found by their names, and a kind's file imports what decides only when it decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

from swarmd.core.model.charter import Written
from swarmd.core.model.names import Authority, MissionId
from swarmd.core.model.refusals import Denied, Rule

_KINDS: Final = "swarmd.core.board.motions"


class BaseMotion(Written):
    """What each motion has: the name of its kind, and why the proposer asks for it."""

    motion: str
    reason: str

    @property
    def ends_agents(self) -> bool:
        """Carried, it ends an agent: it should not be decided on what was known before."""
        return False


@dataclass(frozen=True, slots=True)
class Carried:
    """A carried motion as it is decided: of which mission it is, what tainted those who carried it,
    and whether an operator has given the permission that it needs. `minds` are the arguments that
    its proposer accepted.
    """

    mission: MissionId
    motion: Any
    taint: tuple[str, ...] = ()
    has_permission: bool = False
    minds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asks:
    """The law allows it, and somebody's permission is needed: whose, by which rule, why, and the
    facts for whoever gives it.
    """

    needs: Authority
    rule: Rule
    detail: str
    facts: Mapping[str, Any]


# The first parameter is the supervisor's draft. Its type stands above this module.
DecideMotion = Callable[[Any, Carried], "Denied | Asks | None"]


@dataclass(frozen=True, slots=True)
class MotionKind:
    """`opens`: it may be proposed before anything is chartered. `sends_back`: it has work done
    again, which is bounded. `ends`: with it the mission has ended. `sorts`: it gives nothing and
    takes nothing that anybody had, so that the chair alone may decide what was put for that.
    """

    form: type[BaseMotion]
    decide: DecideMotion
    opens: bool = False
    sends_back: bool = False
    ends: bool = False
    sorts: bool = False


@cache
def kinds() -> Mapping[str, MotionKind]:
    """All kinds by their names."""
    names = sorted(found.name for found in iter_modules(import_module(_KINDS).__path__))
    return {name: import_module(f"{_KINDS}.{name}").KIND for name in names}
