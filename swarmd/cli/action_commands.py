"""The verbs that order an action, made from its row: what is said of it, and what is done.

The rows bring pydantic, and with it a tenth of a second. So a group of commands holds them back
until one of them is asked for by its name, or all by `--help` and completion.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from swarmd.cli import options
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import Connection, Ordered
from swarmd.core.model.lineage import EVERYTHING
from swarmd.errors import UsageError
from swarmd.settings import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from typer._click import Command, Context

    from swarmd.cli.verbs.remote import OrderVerb
    from swarmd.core.model.actions import Action

_PANELS: Final = {"cancel": "Missions", "forget": "Missions"}


@dataclass(frozen=True, slots=True)
class Asked:
    """An action as somebody asks for it: of what, and how its order is given."""

    action: Action
    target: Any
    ordered: Ordered
    is_only: bool = False
    is_agreed: bool = False  # --yes
    more: Mapping[str, Any] = field(default_factory=dict)  # by the names of the action's arguments


# --- the group --------------------------------------------------------------------------------


def group_with_actions(name: str) -> type[TyperGroup]:
    """A group of commands that has the actions of this group beside its own."""

    class ActionGroup(TyperGroup):
        def list_commands(self, ctx: Context) -> list[str]:
            own = super().list_commands(ctx)
            return own + [verb for verb in _verbs_of(name) if verb not in own]

        def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
            found = super().get_command(ctx, cmd_name)
            if found is None and cmd_name in _verbs_of(name):
                found = self.commands[cmd_name] = _command(cmd_name)
            return found

    return ActionGroup


def _verbs_of(group: str) -> list[str]:
    from swarmd.core.model.actions import action_of, verbs

    return [verb for verb in verbs() if action_of(verb).group == group]


def _command(verb: str) -> Command:
    from swarmd.core.model.actions import action_of

    action = action_of(verb)
    only = typer.Typer(add_completion=False)
    panel = _PANELS.get(verb, "Act" if action.group == "" else None)
    only.command(verb, rich_help_panel=panel)(
        options.callback(
            verb, action.help, parameters_of(action), lambda given: _run(action, given)
        )
    )
    return typer.main.get_command(only)


# --- what is said -----------------------------------------------------------------------------


def parameters_of(action: Action) -> list[inspect.Parameter]:
    from swarmd.core.model.actions import Args, Target

    default = inspect.Parameter.empty if action.default_target is None else action.default_target
    found = [options.keyword("target", _FORMS[action.targets[0]], default)]
    if Target.GROUP in action.targets:
        found = [options.keyword("target", options.TargetOf, default)]
    for name, argument in action.args.model_fields.items():
        if name not in Args.model_fields:
            found.append(options.keyword(name, *_said(name, argument)))
    if Target.ALONE in action.targets:
        found.append(options.keyword("is_only", options.Only, False))
    if action.confirm:
        found.append(options.keyword("is_agreed", options.Yes, False))
    return [*found, *_ordered(action.name), *options.fields_of(Connection)]


def _ordered(verb: str) -> list[inspect.Parameter]:
    """How its order is given; some wait for longer or for less long than the others."""
    wait = _OTHER_WAITS.get(verb)
    return [
        one.replace(annotation=options.longest_wait(wait))
        if wait and one.name == "timeout"
        else one
        for one in options.fields_of(Ordered)
    ]


_OTHER_WAITS: Final[Mapping[str, str]] = {
    "drain": "30, and its grace",
    "halt": "30, of everything 10",
}


_FORMS: Final[Mapping[str, Any]] = {
    "agent": options.AgentReference,
    "mission": options.MissionReference,
    "account": options.Account,
    "approval": options.ApprovalId,
    "letter": options.Letter,
    "entry": options.Entry,
}


def _said(name: str, argument: FieldInfo) -> tuple[Any, Any]:
    """How an argument is said, and its default. One that people say in a form of their own stands
    in the table.
    """
    if name in _OWN_FORMS:
        return _OWN_FORMS[name]
    words = typer.Option(f"--{name.replace('_', '-')}", help=argument.description)
    kind = argument.annotation if argument.annotation in (bool, int, float) else str
    default = inspect.Parameter.empty if argument.is_required() else argument.get_default()
    return Annotated[kind, words], default


_OWN_FORMS: Final[Mapping[str, tuple[Any, Any]]] = {
    "privilege": (options.Privilege, inspect.Parameter.empty),
    "right": (options.Right, "both"),
    "amounts": (options.Amounts, inspect.Parameter.empty),
    "grace_s": (options.DrainGrace, 60.0),
}


# --- what is done -----------------------------------------------------------------------------


def _run(action: Action, given: dict[str, Any]) -> int:
    where: Connection = options.taken_from(Connection, given)
    ordered: Ordered = options.taken_from(Ordered, given)
    asked = Asked(
        action,
        given.pop("target"),
        ordered,
        given.pop("is_only", False),
        given.pop("is_agreed", False),
        _read(given),
    )
    if action.confirm and asked.target in ("all", EVERYTHING):
        _confirm(action.confirm, asked)
    return _RUN.get(action.name, _order)(where.settings(), asked)


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, as an order has it. Raises `UsageError`, or `NotFoundError` for a privilege
    that nothing asks for.
    """
    from swarmd.cli.amounts import amounts_of
    from swarmd.cli.verbs import rights, targets

    if "privilege" in given:
        rights.check_privilege(given["privilege"])
        rights.check_right(given["right"])
        targets.refuse_unused(given["privilege"])
    return {
        name: amounts_of(value) if name == "amounts" else value for name, value in given.items()
    }


def _confirm(question: str, asked: Asked) -> None:
    """Where a person sits there, and only there. Raises `UsageError` where they say no."""
    if asked.is_agreed or asked.ordered.as_json or not sys.stdin.isatty():
        return
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done", hint="--yes does it without asking")


def _order(settings: Settings, asked: Asked) -> Exit:
    """An action of which nothing more is known here than its row."""
    from swarmd.cli.verbs import remote

    seconds = float(asked.more.get("grace_s", 0.0)) + options.ORDER_SECONDS
    tell = _told_by(asked.action)
    return remote.ordered(settings, tell, _wish(asked), asked.ordered, seconds=seconds)


def _told_by(action: Action) -> OrderVerb:
    """How the outcome of a verb is told: some have more to tell than that it was seen or done."""
    from swarmd.cli.verbs import fund, orders, rights
    from swarmd.core.model.actions import Answers

    told: Mapping[str, OrderVerb] = {
        "terminate": orders.terminate,
        "cancel": orders.cancel,
        "grant": rights.change_rights,
        "revoke": rights.change_rights,
        "fund": fund.fund,
    }
    plain = orders.stop if action.answers is Answers.WHEN_SEEN else orders.done
    return told.get(action.name, plain)


def _wish(asked: Asked) -> Any:
    from swarmd.cli.verbs.targets import Wish

    return Wish(asked.action.name, asked.target, asked.ordered.reason, asked.is_only, asked.more)


def _halt(settings: Settings, asked: Asked) -> Exit:
    from swarmd.cli.verbs import remote

    if asked.target in ("all", EVERYTHING):
        return remote.halt_all(settings, asked.ordered)
    return _order(settings, asked)


def _thaw(settings: Settings, asked: Asked) -> Exit:
    from swarmd.cli.verbs import remote

    return remote.thaw(settings, _wish(asked), asked.ordered)


def _answer(settings: Settings, asked: Asked) -> Exit:
    from swarmd.cli.verbs import approvals

    return approvals.answer(settings, asked.ordered, asked.action.name, asked.target)


def _letter(settings: Settings, asked: Asked) -> Exit:
    from swarmd.cli.verbs import dead_letters

    return dead_letters.order(settings, asked.ordered, asked.action.name, asked.target)


def _forget(settings: Settings, asked: Asked) -> Exit:
    from swarmd.cli.verbs import record

    return record.forget(settings, asked.ordered, asked.target)


def _acknowledge(settings: Settings, asked: Asked) -> Exit:
    from swarmd.cli.verbs import journal

    return journal.ack(settings, asked.ordered, asked.target)


_RUN: Final[Mapping[str, Callable[[Settings, Asked], Exit]]] = {
    "halt": _halt,
    "thaw": _thaw,
    "approve": _answer,
    "deny": _answer,
    "retry": _letter,
    "drop": _letter,
    "ack": _acknowledge,
    "forget": _forget,
}
