"""What an action is: something that a superior, the board or an operator does about agents.

Each verb is one file in `core/actions/verbs` that declares one `Action`. Whatever else knows the
verbs (an agent's move, a motion, an order, the command line, the docs) is made from these rows.
They are found by their names, as plug-ins are: this module names no file of the floors above it,
and a verb's file imports what decides only when it decides, so that the rows are read quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from swarmd.core.model.consequences import Consequence
from swarmd.core.model.names import Authority, MissionId
from swarmd.core.model.refusals import Denied, Rule

_VERBS: Final = "swarmd.core.actions.verbs"


class Args(BaseModel):
    """What an action is given, whoever asks. A verb that takes more has a type of its own."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    verb: str
    target: Annotated[str, Field(min_length=1, max_length=600)] = Field(
        description="an id, or a child's name or key"
    )
    reason: str = ""

    def privileges_given(self) -> tuple[str, ...]:
        """The privilege paths that somebody holds after it and did not hold before."""
        return ()

    def facts(self) -> dict[str, Any]:
        """What whoever gives permission is told, beside the verb and its target: typed facts
        alone.
        """
        return {}


class Answers(Enum):
    """When an action that was allowed is answered."""

    AT_ONCE = "when the supervisor has written it"
    WHEN_SEEN = "when its effect was seen on every host"


class Target(StrEnum):
    """What the target of an action may name."""

    AGENT = "agent"  # with all below it
    ALONE = "alone"  # `=AGENT`: one agent, and not those below it
    MISSION = "mission"
    GROUP = "group"  # `tier:N`, `room:NAME`, `use:PRIVILEGE` or `*`
    ACCOUNT = "account"  # of an agent, a mission or `sob`
    APPROVAL = "approval"
    DECISION = "decision"  # whatever is overridden
    LETTER = "letter"
    ENTRY = "entry"  # of the journal
    FINDING = "finding"  # of `swarmd fsck`


class Need(Enum):
    """What the supervisor reads before it decides an order, for memory does not hold it."""

    FREE = "what is free in the account above the target, and in that of whom a decision charges"
    CAP = "the cap of the target's account"
    LETTER = "the dead letter"
    CORRECTION = "by how much the account that is to be repaired is off"


STOPPABLE: Final = (Target.AGENT, Target.ALONE, Target.MISSION, Target.GROUP)
EVERYBODY: Final = (Authority.LINEAGE, Authority.BOARD, Authority.OPERATOR)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and with what authority. A motion reaches the agents of its mission, an agent
    its descendants.
    """

    id: str
    authority: Authority
    mission: MissionId = MissionId("")
    hops: int = 0
    order: str = ""  # the operator's own id of it: the answer in the journal carries it
    taint: tuple[str, ...] = ()  # of the turn that asks for it


# The first parameter of both is the supervisor's draft. Its type stands above this module.
Decide = Callable[[Any, Actor, Any], Denied | None]
Foresee = Callable[[Any, Actor, Any], "dict[str, Any] | Denied"]
# Of these the first is the supervisor's memory.
ConsequenceOf = Callable[[Any, Actor, Any], Consequence]


@dataclass(frozen=True, slots=True)
class Action:
    """One verb.

    `authorities` may ask for it. `consequence` is the class under which `limits.taint` declares
    what a tainted turn needs permission for, or what tells it of one request; a row that says
    nothing is taken for more than it may be. `foresee` gives what whoever gives permission is
    shown, or why the action would be refused whatever permission there is; without it, the target
    is an agent. `group` is the group of commands in which it stands, or `None` for one that has no
    command of its own. `default_target` is meant where the command names none. `confirm` is asked
    before it is done to everything.
    """

    name: str
    help: str
    decide: Decide
    targets: tuple[Target, ...] = STOPPABLE
    args: type[Args] = Args
    authorities: tuple[Authority, ...] = EVERYBODY
    consequence: Consequence | ConsequenceOf = "widening"
    answers: Answers = Answers.AT_ONCE
    needs: frozenset[Need] = frozenset()
    foresee: Foresee | None = None
    group: str | None = ""
    default_target: str | None = None
    confirm: str = ""
    has_own_motion: bool = False  # the board writes it as a motion of that name


def act_facts(actor: Actor, args: Args, target: str) -> dict[str, Any]:
    """Who asks to do what to whom, for whoever gives permission."""
    return {"action": "act", "verb": args.verb, "agent": actor.id, "target": target}


@cache
def verbs() -> tuple[str, ...]:
    """The names of all verbs, without their rows."""
    return tuple(sorted(found.name for found in iter_modules(import_module(_VERBS).__path__)))


@cache
def action_of(verb: str) -> Action:
    """The row of a verb that there is."""
    action: Action = import_module(f"{_VERBS}.{verb}").ACTION
    assert action.name == verb, f"{_VERBS}.{verb} declares {action.name}"
    return action


def may_ask(authority: Authority, verb: str) -> bool:
    return verb in verbs() and authority in action_of(verb).authorities


def verbs_of(authority: Authority) -> tuple[str, ...]:
    """Those that are written as an agent's `govern`, a motion `act` or an order."""
    is_board = authority is Authority.BOARD
    return tuple(
        verb
        for verb in verbs()
        if may_ask(authority, verb) and not (is_board and action_of(verb).has_own_motion)
    )


def args_of(data: Mapping[str, Any]) -> Args:
    """The arguments of an action, from the fields of any of its envelopes.

    Raises `ValidationError`.
    """
    return action_of(str(data["verb"])).args.model_validate(data)


def unknown_verb(authority: Authority, verb: object) -> Denied | None:
    """`None` where this authority may ask for an action of that name."""
    if isinstance(verb, str) and may_ask(authority, verb):
        return None
    known = ", ".join(verbs_of(authority))
    return Denied(Rule.REQUEST_INVALID, f"verb: {str(verb)[:64]!r} is none of {known}")


def written_fields(authority: Authority) -> dict[str, Any]:
    """The fields of the flat form in which a model writes any of its verbs, as `create_model`
    takes them. What only some verbs take says so.
    """
    found = _fields_by_verb(authority)
    fields = {name: _merged(of) for name, of in found.items() if name not in Args.model_fields}
    target = Field(description=_said_of_target(found["target"]))
    names: Any = Literal[verbs_of(authority)]
    return {"verb": (names, ...), "target": (str, target), **fields}


def _fields_by_verb(authority: Authority) -> dict[str, dict[str, FieldInfo]]:
    found: dict[str, dict[str, FieldInfo]] = {}
    for verb in verbs_of(authority):
        for name, field in action_of(verb).args.model_fields.items():
            found.setdefault(name, {})[verb] = field
    return found


def _said_of_target(of: Mapping[str, FieldInfo]) -> str:
    usual = Args.model_fields["target"].description
    others = {verb: field for verb, field in of.items() if field.description != usual}
    return "; ".join((str(usual), *([_said_of(others)] if others else ())))


def _merged(of: Mapping[str, FieldInfo]) -> tuple[Any, FieldInfo]:
    field = copy(next(iter(of.values())))
    field.description = _said_of(of)
    return field.annotation, field


def _said_of(of: Mapping[str, FieldInfo]) -> str:
    """`for grant and revoke: the path`."""
    said = next(iter(of.values())).description
    return f"for {_listed(of)}" + (f": {said}" if said else "")


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    marked = [f"`{word}`" for word in others]
    return f"{', '.join(marked)} and `{last}`" if others else f"`{last}`"
