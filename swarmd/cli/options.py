"""The options and arguments of the verbs, each declared once, and groups of those that go together.

A verb takes a group as one parameter; `flat` puts the fields of the group among its options.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast, get_type_hints

import typer

from swarmd.cli import completion
from swarmd.cli.amounts import EXAMPLE
from swarmd.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        "-u",
        metavar="URL",
        help="The server; default: REDIS_URL, else the embedded one.",
    ),
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder [SWARMD_DATA].")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", metavar="NAME", help="The swarm's name [SWARMD_NAMESPACE]."),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="PROVIDER:NAME", help="The model [SWARMD_MODEL].")
]
Policies = Annotated[
    Path | None, typer.Option("--policies", metavar="DIR", help="Your policies/ [SWARMD_POLICIES].")
]
Channels = Annotated[
    Path | None, typer.Option("--channels", metavar="DIR", help="Your channels/ [SWARMD_CHANNELS].")
]
Knowledge = Annotated[
    Path | None,
    typer.Option("--knowledge", metavar="DIR", help="The knowledge folder [SWARMD_KNOWLEDGE]."),
]
Durability = Annotated[
    str | None,
    typer.Option(
        "--durability",
        metavar="MODE",
        help="balanced: on disk each second; strict: before it is acknowledged "
        "[SWARMD_DURABILITY].",
    ),
]
LogLevel = Annotated[
    str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
]
LogFormat = Annotated[
    str | None, typer.Option("--log-format", metavar="FORM", help="auto, console or json.")
]
Grace = Annotated[
    float,
    typer.Option(
        "--grace", min=0, max=600, metavar="SECONDS", help="After SIGTERM, for turns under way."
    ),
]
Reference = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="An id, a name, or the beginning of an id.",
        autocompletion=completion.references,
    ),
]
AgentReference = Annotated[
    str,
    typer.Argument(
        metavar="AGENT",
        help="An agent's id, its name, or the beginning of its id.",
        autocompletion=completion.agents,
    ),
]
MissionReference = Annotated[
    str,
    typer.Argument(
        metavar="MISSION",
        help="A mission's id, or the beginning of one.",
        autocompletion=completion.missions,
    ),
]
EndedMission = Annotated[
    str,
    typer.Argument(
        metavar="MISSION",
        help="The id of a mission that has ended, or the beginning of one.",
        autocompletion=completion.ended_missions,
    ),
]
TargetOf = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help=(
            "An agent (with all below it), a mission, tier:N, room:NAME, tool:PRIVILEGE "
            "(what may be used under it), or all."
        ),
        autocompletion=completion.targets,
    ),
]
Account = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="An agent, a mission, or sob: the root.",
        autocompletion=completion.references,
    ),
]
ApprovalId = Annotated[str, typer.Argument(metavar="ID", help="As `swarmd approvals` lists it.")]
OverrideId = Annotated[str, typer.Argument(metavar="ID", help="As `swarmd override ls` lists it.")]
Letter = Annotated[str, typer.Argument(metavar="ID", help="As `swarmd dead ls` lists it.")]
Entry = Annotated[
    int, typer.Argument(metavar="ENTRY", min=1, help="The entry that tells of the gap.")
]
Privilege = Annotated[
    str,
    typer.Argument(
        metavar="PRIVILEGE", help="A path such as tool/file/write, or model/** for all below it."
    ),
]
Amounts = Annotated[str, typer.Argument(metavar="AMOUNTS", help=f"Such as {EXAMPLE}.")]
RefusalCode = Annotated[
    str, typer.Argument(metavar="CODE", autocompletion=completion.refusals, help="spawn.tier …")
]
Right = Annotated[
    str, typer.Option("--right", metavar="RIGHT", help="use, grant (to hand it out) or both.")
]
DrainGrace = Annotated[
    float,
    typer.Option(
        "--grace", min=0, max=86_400, metavar="SECONDS", help="For turns under way; then it ends."
    ),
]
Only = Annotated[bool, typer.Option("--only", help="The agent alone, and not those below it.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask before everything is stopped or ended.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the journal.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=0, metavar="SECONDS", help="Give up waiting after this."),
]


def longest_wait(default: str) -> Any:
    """`--timeout` of a verb, with what it is where nothing is said."""
    return Annotated[
        float | None,
        typer.Option(
            "--timeout",
            min=0,
            metavar="SECONDS",
            help=f"Give up waiting after this; default: {default}.",
        ),
    ]


LongestWait = Annotated[
    float | None,
    typer.Option(
        "--timeout", min=0, metavar="SECONDS", help="Give up waiting after this; default: 30."
    ),
]
Seconds = Annotated[
    float,
    typer.Option(
        "--for", min=0.001, max=31_536_000, metavar="SECONDS", help="Then it lapses by itself."
    ),
]
SpokenTo = Annotated[
    str,
    typer.Argument(
        metavar="WHERE",
        help="MISSION, room:NAME or AGENT. The board answers in its room: swarmd tail room:sob.",
    ),
]
Named = Annotated[
    list[str] | None,
    typer.Option(
        "--files",
        "-f",
        metavar="NAME",
        help="A file or folder to work on; may be repeated. `run`: any path. `submit`: a name in "
        "the swarm's knowledge folder.",
    ),
]
MoreFiles = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE]...", help="More files, as --files.")
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="AMOUNTS",
        help=f"What the mission may spend at most: {EXAMPLE}, any of these, or the same as JSON.",
    ),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        "--deadline", min=0.001, metavar="SECONDS", help="The mission fails if it takes longer."
    ),
]

Board = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="all|N",
        help="How many seats decide: all, or a number; else what board.yaml says for its budget.",
    ),
]

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Put the result and its files there. It is made; one that is not empty is refused.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="With --out: also into a folder that is not empty, over the same names."
    ),
]

ORDER_SECONDS: Final = 30.0
"""How long an order is waited for where its verb says nothing else."""


class Options:
    """Base of the groups."""


@dataclass(frozen=True, slots=True)
class Connection(Options):
    """Which swarm is meant."""

    redis_url: Url = None
    data: Data = None
    namespace: Namespace = None

    def settings(self, **more: Any) -> Settings:
        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return Settings.from_env(os.environ, **{**given, **more})


@dataclass(frozen=True, slots=True)
class Declared(Connection):
    """And what it runs by."""

    policies: Policies = None
    channels: Channels = None
    knowledge: Knowledge = None
    durability: Durability = None
    log_level: LogLevel = None


@dataclass(frozen=True, slots=True)
class Daemon(Declared):
    log_format: LogFormat = None


@dataclass(frozen=True, slots=True)
class HandOver(Options):
    """Where a mission's result and its files go beside standard output."""

    folder: Out = None
    force: Force = False


@dataclass(frozen=True, slots=True)
class Work(HandOver):
    """What a mission comes with beside its text, and where it goes."""

    more: MoreFiles = None
    files: Named = None
    budget: Budget = None
    deadline: Deadline = None
    board: Board = None

    @property
    def names(self) -> list[str]:
        return [*(self.files or []), *(self.more or [])]


@dataclass(frozen=True, slots=True)
class Users(Options):
    """Which of the server's users, and how they are written out."""

    roles: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="NAME", help="Only this one; may be repeated."),
    ] = None
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORM", help="setuser: for a client; aclfile: for a server."
        ),
    ] = "setuser"
    password_files: Annotated[
        list[str] | None,
        typer.Option(
            "--password-file", metavar="ROLE=FILE", help="Holds a role's password; may be repeated."
        ),
    ] = None
    folder: Annotated[
        Path | None,
        typer.Option("--generate", metavar="DIR", help="Make DIR/ROLE/password and DIR/users.acl."),
    ] = None


@dataclass(frozen=True, slots=True)
class Ordered(Options):
    """How an order is given, waited for and told."""

    reason: Reason = ""
    wait: Wait = True
    timeout: LongestWait = None
    as_json: Json = False

    def seconds(self, default: float = ORDER_SECONDS) -> float:
        return default if self.timeout is None else self.timeout


Verb = TypeVar("Verb", bound=Callable[..., int])


def flat(verb: Verb) -> Verb:
    """The verb with the fields of its groups as options of its own, after those it has."""
    own = inspect.signature(verb, eval_str=True).parameters.values()
    groups = {p.name: p.annotation for p in own if _is_group(p.annotation)}
    parameters = [keyword(p.name, p.annotation, p.default) for p in own if p.name not in groups]
    for group in reversed(groups.values()):
        parameters += fields_of(group)
    return cast(
        Verb,
        callback(
            verb.__name__,
            verb.__doc__ or "",
            parameters,
            lambda given: verb(**_grouped(groups, given)),
        ),
    )


def callback(
    name: str,
    help: str,
    parameters: list[inspect.Parameter],
    run: Callable[[dict[str, Any]], int],
) -> Callable[..., int]:
    """A function as typer reads one: by its signature."""

    def call(**given: Any) -> int:
        return run(given)

    call.__name__, call.__doc__ = name, help
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect reads it
    call.__annotations__ = {}
    return call


def fields_of(group: type[Options]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        keyword(field.name, hints[field.name], field.default) for field in fields(cast(Any, group))
    ]


def taken_from(group: type[Any], given: dict[str, Any]) -> Any:
    """The group of these options; they are no more among those given."""
    return group(**{field.name: given.pop(field.name) for field in fields(group)})


def _grouped(groups: Mapping[str, type[Options]], given: dict[str, Any]) -> dict[str, Any]:
    return {name: taken_from(group, given) for name, group in groups.items()} | given


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A parameter as typer reads one."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Options)
