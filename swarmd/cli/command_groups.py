"""The groups of verbs `dead`, `override` and `journal`, and `result`, `record` and `doctor`, as
typer reads them.

As in `commands`, what a verb does is in the module of its subject, and everything heavy is imported
by the verb that needs it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from swarmd.cli import completion, connection
from swarmd.cli.action_commands import group_with_actions
from swarmd.cli.options import (
    AgentReference,
    Connection,
    Declared,
    EndedMission,
    HandOver,
    Json,
    Letter,
    MissionReference,
    Model,
    Ordered,
    OverrideId,
    Privilege,
    Right,
    Seconds,
    flat,
)

# --- dead letters -----------------------------------------------------------------------------

dead = typer.Typer(
    cls=group_with_actions("dead"),
    no_args_is_help=True,
    help="Messages on which their reader failed again and again.",
)


@dead.command("ls")
@flat
def dead_ls(where: Connection, as_json: Json = False) -> int:
    """List the dead letters: who failed on them, how often, and with what last error."""
    from swarmd.cli.verbs import dead_letters as letters

    return connection.look(where.settings(), as_json, letters.ls)


@dead.command("show")
@flat
def dead_show(where: Connection, id: Letter, as_json: Json = False) -> int:
    """Show one whole: the message, where it stood, its reader and the reader's last error."""
    from swarmd.cli.verbs import dead_letters as letters

    return connection.look(where.settings(), as_json, partial(letters.show, id=id))


# --- overrides --------------------------------------------------------------------------------

override = typer.Typer(
    no_args_is_help=True,
    help="Replace one decision for a time: a right, a task, a spawn, a message, a motion.",
)


@override.command("ls")
@flat
def override_ls(where: Connection, as_json: Json = False) -> int:
    """List the overrides that stand."""
    from swarmd.cli.verbs import overrides

    return connection.look(where.settings(), as_json, overrides.ls)


@override.command("rm")
@flat
def override_rm(where: Connection, asked: Ordered, id: OverrideId) -> int:
    """Take one back before its time."""
    from swarmd.cli.verbs import overrides

    return overrides.order(where.settings(), asked, partial(overrides.reversal, id=id))


@override.command("grant")
@flat
def override_grant(
    where: Connection,
    asked: Ordered,
    agent: AgentReference,
    privilege: Privilege,
    right: Right = "both",
    seconds: Seconds = 600.0,
) -> int:
    """Give an agent a right for a time."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.right_given, agent=agent, privilege=privilege, right=right)
    return overrides.order(where.settings(), asked, about, seconds)


@override.command("revoke")
@flat
def override_revoke(
    where: Connection,
    asked: Ordered,
    agent: AgentReference,
    privilege: Privilege,
    right: Right = "both",
    seconds: Seconds = 600.0,
) -> int:
    """Take a right from an agent and all below it for a time."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.right_taken, agent=agent, privilege=privilege, right=right)
    return overrides.order(where.settings(), asked, about, seconds)


@override.command("task")
@flat
def override_task(
    where: Connection,
    asked: Ordered,
    agent: AgentReference,
    task: Annotated[str, typer.Argument(metavar="TASK", help="What it does meanwhile.")],
    seconds: Seconds = 600.0,
) -> int:
    """Replace an agent's task for a time."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.task_replaced, agent=agent, task=task)
    return overrides.order(where.settings(), asked, about, seconds)


@override.command("allow")
@flat
def override_allow(
    where: Connection,
    asked: Ordered,
    refusal: Annotated[
        str,
        typer.Argument(
            metavar="REFUSAL", help="The refusal's id in the journal, or the request's key."
        ),
    ],
    seconds: Seconds = 600.0,
) -> int:
    """Allow a spawn that was refused; the agent ends with the override."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.spawn_allowed, refusal=refusal)
    return overrides.order(where.settings(), asked, about, seconds)


@override.command("undo")
@flat
def override_undo(
    where: Connection, asked: Ordered, agent: AgentReference, seconds: Seconds = 600.0
) -> int:
    """Undo a spawn: end the agent; its creator makes none of that name meanwhile."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.spawn_undone, agent=agent)
    return overrides.order(where.settings(), asked, about, seconds)


@override.command("recall")
@flat
def override_recall(
    where: Connection,
    asked: Ordered,
    channel: Annotated[
        str,
        typer.Argument(
            metavar="CHANNEL", help="Where it stands.", autocompletion=completion.channels
        ),
    ],
    id: Annotated[str, typer.Argument(metavar="ID", help="Its id in the stream.")],
    text: Annotated[
        str, typer.Option("--text", metavar="TEXT", help="What stands in its place.")
    ] = "",
    seconds: Seconds = 600.0,
) -> int:
    """Recall a message for a time, for whoever has not read it."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.message_recalled, channel=channel, id=id, text=text)
    return overrides.order(where.settings(), asked, about, seconds)


@override.command("carry")
@flat
def override_carry(
    where: Connection, asked: Ordered, mission: MissionReference, seconds: Seconds = 600.0
) -> int:
    """Carry the motion that is before the board."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.motion_decided, mission=mission, is_vetoed=False)
    return overrides.order(where.settings(), asked, about, seconds)


@override.command("veto")
@flat
def override_veto(
    where: Connection, asked: Ordered, mission: MissionReference, seconds: Seconds = 600.0
) -> int:
    """Veto the motion that is before the board; meanwhile the same one falls again."""
    from swarmd.cli.verbs import overrides

    about = partial(overrides.motion_decided, mission=mission, is_vetoed=True)
    return overrides.order(where.settings(), asked, about, seconds)


# --- the journal ------------------------------------------------------------------------------

journal = typer.Typer(
    cls=group_with_actions("journal"),
    no_args_is_help=True,
    help="The journal: verified, as it was, acknowledged.",
)


@journal.command("verify")
@flat
def journal_verify(
    where: Connection,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="The data folder alone, without a server.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Check chain, anchors and laws of the whole journal; 7 names the first bad entry."""
    from swarmd.cli.verbs import journal as journal_verbs

    return journal_verbs.verify(where.settings(), files_only=files_only, as_json=as_json)


@journal.command("at")
@flat
def journal_at(
    where: Connection,
    when: Annotated[
        str,
        typer.Argument(
            metavar="WHEN", help="A time in UTC, an entry's number or its id in the stream."
        ),
    ],
    as_json: Json = False,
) -> int:
    """Show tree, privileges and ledger as they were."""
    from swarmd.cli.verbs import past

    return past.journal_at(where.settings(), when, as_json=as_json)


# --- what a mission delivered -----------------------------------------------------------------


@flat
def result(where: Connection, out: HandOver, mission: EndedMission, as_json: Json = False) -> int:
    """Print what a mission delivered, and with --out put it and its files into a folder.

    It ends as `submit --wait` does: 0 where the mission was delivered; 6 where it has not ended.

    Example: swarmd result m-7kq2 --out answer
    """
    from swarmd.cli.verbs import result as result_verbs

    return result_verbs.result(where.settings(), mission, out, as_json=as_json)


# --- the record -------------------------------------------------------------------------------


@flat
def record(
    where: Connection,
    mission: Annotated[
        str,
        typer.Argument(
            metavar="[MISSION]", help="A mission's id, or the beginning of one; all without it."
        ),
    ] = "",
    call: Annotated[
        str, typer.Argument(metavar="[CALL]", help="One call, as the column CALL names it.")
    ] = "",
    as_json: Json = False,
) -> int:
    """Show what a mission's models, functions and people answered; of one CALL, the prompt too.

    It is read from the data folder and asks no server, so it works when nothing runs.

    Example: swarmd record m-7kq2 a-54j76og67a.1.3.2
    """
    from swarmd.cli.verbs import record as record_verbs

    return record_verbs.record(where.settings(), mission, call, as_json=as_json)


@flat
def replay(
    where: Declared,
    mission: Annotated[
        str, typer.Argument(metavar="MISSION", help="A mission's id, or the beginning of one.")
    ],
    speed: Annotated[
        str,
        typer.Option(
            "--speed",
            metavar="TIMES",
            help="1 or 10 times as fast as it was, 0: as fast as it goes, step: answer by answer.",
        ),
    ] = "0",
    until: Annotated[
        str,
        typer.Option(
            "--until", metavar="ENTRY", help="Stop after this entry of the journal, and show it."
        ),
    ] = "",
    fork: Annotated[
        Path | None,
        typer.Option(
            "--fork",
            metavar="DIR",
            help="Go on from there as a new mission with a model, in this new data folder.",
        ),
    ] = None,
    model: Model = None,
    is_agreed: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before a fork costs something.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Run a recorded mission again, without any model, and tell where it differs; 7 where it does.

    Its calls are answered from the record, on a server of its own that is gone afterwards. A fork
    ends as `run` does.

    Example: swarmd replay m-7kq2 --until 1204
    """
    from swarmd.cli.verbs import replay as replay_verb

    settings = where.settings(model=model)
    if fork is None:
        return replay_verb.replay(settings, mission, speed, until, as_json=as_json)
    from swarmd.cli.verbs import fork as fork_verb
    from swarmd.errors import UsageError

    if not until:
        raise UsageError("--fork needs --until ENTRY: from where it is to go on")
    source = replay_verb.source_of(settings, mission, until)
    return fork_verb.fork(settings, source, fork, is_agreed=is_agreed, as_json=as_json)


# --- what went wrong --------------------------------------------------------------------------


@flat
def doctor(where: Connection, mission: MissionReference, as_json: Json = False) -> int:
    """Find what went wrong in a mission, as its journal tells it; 7 where something did.

    Example: swarmd doctor m-7kq2
    """
    from swarmd.cli.verbs import doctor as doctor_verb

    return doctor_verb.doctor(where.settings(), mission, as_json=as_json)
