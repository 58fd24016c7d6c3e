"""The verbs and what each takes, as typer reads them; what a verb does is in the file of its theme.

Each imports what is heavy, and returns its exit code. `action_commands` makes those that order.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from swarmd.cli import completion, connection
from swarmd.cli.action_commands import group_with_actions
from swarmd.cli.command_groups import dead, doctor, journal, override, record, replay, result
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import (
    ORDER_SECONDS,
    AgentReference,
    Channels,
    Connection,
    Daemon,
    Declared,
    Grace,
    Json,
    Model,
    Policies,
    Privilege,
    Reference,
    RefusalCode,
    SpokenTo,
    Timeout,
    Users,
    Work,
    flat,
)
from swarmd.errors import StoreUnavailableError, UsageError

app = typer.Typer(
    name="swarmd",
    cls=group_with_actions(""),
    help="Run a governed hierarchy of LLM agents on Redis.",
    epilog=(
        'Begin with: swarmd run "What does this project do?" --files docs. '
        "The manual is docs/cli.md; how to back a swarm up is in docs/redis.md, “Backup”."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# For a verb that hands all that follows it on.
_HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
Ended = Annotated[bool, typer.Option("--all", "-a", help="Those that have ended too.")]


# --- the daemon -------------------------------------------------------------------------------


@app.command(rich_help_panel="Run")
@flat
def run(
    where: Declared,
    work: Work,
    mission: Annotated[
        str,
        typer.Argument(
            metavar="MISSION", help="What is to be done, in words; - reads standard input."
        ),
    ] = "",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the unfinished missions of the data folder too."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Json = False,
    model: Model = None,
) -> int:
    """Do one mission in this process, from beginning to end, and print its result.

    It starts all that it needs, shows the debate and the tree on standard error, and ends when the
    mission does. Without a key and without a model server it thinks by rules and retrieval.

    Example: swarmd run "What does this project do?" --files docs --budget calls=200
    """
    from swarmd.cli.verbs import run as run_verbs

    settings = where.settings(model=model, log_level=where.log_level or "warning")
    return run_verbs.run(
        settings,
        mission,
        work,
        resume=resume,
        quiet=quiet,
        as_json=as_json,
    )


def _serve(where: Daemon, grace: float, *parts: str, model: str | None = None) -> int:
    from swarmd.cli.verbs import run as run_verbs

    return run_verbs.serve(where.settings(model=model), frozenset(parts), grace)


@app.command(rich_help_panel="Run")
@flat
def up(where: Daemon, grace: Grace = 8.0, model: Model = None) -> int:
    """Run the daemon whole: supervisor and worker, and the embedded server unless REDIS_URL is
    set.
    """
    return _serve(where, grace, "supervisor", "worker", model=model)


@app.command(rich_help_panel="Run")
@flat
def supervisor(where: Daemon, grace: Grace = 8.0) -> int:
    """Run a supervisor alone, beside workers elsewhere."""
    return _serve(where, grace, "supervisor")


@app.command(rich_help_panel="Run")
@flat
def worker(where: Daemon, grace: Grace = 8.0, model: Model = None) -> int:
    """Run a worker alone; start more of them for more agents."""
    return _serve(where, grace, "worker", model=model)


# --- missions ---------------------------------------------------------------------------------


@app.command(rich_help_panel="Missions")
@flat
def submit(
    where: Connection,
    work: Work,
    mission: Annotated[
        str,
        typer.Argument(
            metavar="MISSION", help="What is to be done, in words; - reads standard input."
        ),
    ],
    id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="ID", help="An id of your own: handed in twice, it is one mission."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end and print the result.")
    ] = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> int:
    """Hand a mission to the swarm that runs (`swarmd up`) and print its id.

    With --wait it waits for the end and prints the result; `swarmd missions` lists the states.

    Example: swarmd submit "What does an exit code of 8 mean?" --files cli.md --wait
    """
    from swarmd.cli.verbs import missions as mission_verbs
    from swarmd.cli.verbs import remote

    text = mission_verbs.mission_text(mission, mission_verbs.standard_input)
    wishes = mission_verbs.Wishes(work.budget, work.deadline, work.board)
    given = mission_verbs.entrance_fields(text, id, wishes, work.names)
    return remote.submit(where.settings(), given, work, wait=wait, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Missions")
@flat
def missions(where: Connection, as_json: Json = False) -> int:
    """List the missions and their states."""
    from swarmd.cli.verbs import overview

    return connection.look(where.settings(), as_json, overview.missions)


app.command("result", rich_help_panel="Missions")(result)


# --- look -------------------------------------------------------------------------------------


@app.command(rich_help_panel="Look")
@flat
def tree(where: Connection, ended: Ended = False, as_json: Json = False) -> int:
    """Show the lineage: who made whom, what each does and spends."""
    from swarmd.cli.verbs import overview

    see = partial(overview.tree, ended=ended)
    return connection.look(where.settings(), as_json, see)


@app.command(rich_help_panel="Look")
@flat
def ps(
    where: Connection,
    ended: Ended = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only ids.")] = False,
    as_json: Json = False,
) -> int:
    """List the agents that live. Columns that a narrow terminal has no room for are left out;
    `swarmd ps | cat` shows all.
    """
    from swarmd.cli.verbs import overview

    see = partial(overview.ps, ended=ended, only_ids=quiet)
    return connection.look(where.settings(), as_json, see)


@app.command(rich_help_panel="Look")
@flat
def top(
    where: Connection,
    once: Annotated[
        bool, typer.Option("--once", help="Print it once; as where there is no terminal.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(
            "--interval", min=0.2, max=3_600, metavar="SECONDS", help="Between two pictures."
        ),
    ] = 2.0,
    as_json: Json = False,
) -> int:
    """Show the agents that live, those that spent most first, again and again."""
    from swarmd.cli.verbs import overview

    see = partial(overview.top, seconds=interval, is_once=once)
    if once or as_json or not sys.stdout.isatty():
        return connection.look(where.settings(), as_json, see)
    return connection.watch(where.settings(), see)


@app.command(rich_help_panel="Look")
@flat
def stops(where: Connection, as_json: Json = False) -> int:
    """List all that is stopped or ending: by whom, since when and why."""
    from swarmd.cli.verbs import overview

    settings = where.settings()
    held = overview.halt_of(settings)
    try:
        return connection.look(settings, as_json, lambda sight: overview.stops(sight, held))
    except StoreUnavailableError:
        overview.note_halt(settings, held)
        raise


@app.command(rich_help_panel="Look")
@flat
def why(
    where: Connection,
    reference: AgentReference,
    privilege: Privilege,
    right: Annotated[
        str, typer.Option("--right", metavar="RIGHT", help="use, or grant: to hand it out.")
    ] = "use",
    as_json: Json = False,
) -> int:
    """Tell why an agent may do something, or may not: who gave what to whom, and what stands in
    the way.
    """
    from swarmd.cli.verbs import rights

    see = partial(rights.why, reference=reference, privilege=privilege, right=right)
    return connection.look(where.settings(), as_json, see)


@app.command(rich_help_panel="Look")
def explain(code: RefusalCode = "", as_json: Json = False) -> int:
    """Tell what a refusal means and what to do about it; without a code, list them all."""
    from swarmd.cli.verbs import explain as explain_verbs

    return explain_verbs.explain(code, as_json=as_json)


@app.command(rich_help_panel="Look")
@flat
def inspect(where: Connection, reference: Reference, as_json: Json = False) -> int:
    """Show all of one agent or mission."""
    from swarmd.cli.verbs import inspect as inspect_verb

    see = partial(inspect_verb.inspect, reference=reference)
    return connection.look(where.settings(), as_json, see)


@app.command(rich_help_panel="Look")
@flat
def tail(
    where: Connection,
    channel: Annotated[
        str,
        typer.Argument(
            metavar="CHANNEL",
            help="Such as room:sob, journal, results.",
            autocompletion=completion.channels,
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="ID", help="After this entry; 0: from the first."),
    ] = None,
    count: Annotated[
        int,
        typer.Option("--lines", "-n", min=0, max=10_000, help="Without --since: the last so many."),
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on as messages come.")
    ] = True,
    as_json: Json = False,
) -> int:
    """Read a channel, and go on reading it."""
    from swarmd.cli.verbs import remote

    return remote.tail(where.settings(), channel, since, count, follow=follow, as_json=as_json)


@app.command(rich_help_panel="Look")
@flat
def health(
    where: Connection,
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="PART", help="supervisor, or this machine's worker."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Ask whether the swarm works; 7 says that something is missing, 5 that there is no server."""
    from swarmd.cli.verbs import health as health_verb

    if part not in (None, "supervisor", "worker"):
        raise UsageError(f"--part {part!r} is unknown", hint="it is supervisor or worker")
    return health_verb.health(where.settings(), as_json, part)


# --- act: with the verbs of the actions, `action_commands` ------------------------------------


@app.command(rich_help_panel="Act")
@flat
def say(
    where: Connection,
    channel: SpokenTo,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="- reads standard input.")],
    as_json: Json = False,
) -> int:
    """Speak as the operator: to the board about a mission, in a room or to one agent."""
    from swarmd.cli.verbs import remote

    return remote.say(where.settings(), channel, text, as_json=as_json)


@app.command(rich_help_panel="Act")
@flat
def approvals(where: Connection, as_json: Json = False) -> int:
    """List what waits for permission: who asks, for what, whose permission it takes."""
    from swarmd.cli.verbs import approvals as approval_verbs

    return connection.look(where.settings(), as_json, approval_verbs.approvals)


app.add_typer(dead, name="dead", rich_help_panel="Act")
app.add_typer(override, name="override", rich_help_panel="Act")


# --- prove ------------------------------------------------------------------------------------

app.add_typer(journal, name="journal", rich_help_panel="Prove")
for verb, panel in ((record, "Look"), (replay, "Prove"), (doctor, "Prove")):
    app.command(rich_help_panel=panel)(verb)


@app.command(rich_help_panel="Prove")
@flat
def fsck(
    where: Connection,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired.")] = False,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
) -> int:
    """Check the living swarm against its journal and the laws; 7 where something is wrong."""
    from swarmd.cli.verbs import fsck as fsck_verb

    return fsck_verb.fsck(where.settings(), repair=repair, timeout=timeout, as_json=as_json)


# --- prepare ----------------------------------------------------------------------------------


@app.command(rich_help_panel="Prepare")
def check(policies: Policies = None, channels: Channels = None, as_json: Json = False) -> int:
    """Check the declarations; prints every fault as file:line: field: what."""
    from swarmd.cli.verbs import setup

    settings = Connection().settings(policies=policies, channels=channels)
    return setup.check(settings, as_json=as_json)


@app.command(rich_help_panel="Prepare")
@flat
def acl(
    where: Connection,
    users: Users,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compare the server's users with the policy; 7 where they differ."
        ),
    ] = False,
    policies: Policies = None,
    as_json: Json = False,
) -> int:
    """Print the server's rules for this swarm's users: submitter, operator, worker, supervisor
    and others.
    """
    from swarmd.cli.verbs import acl as user_verbs

    settings = where.settings(policies=policies)
    return user_verbs.of_users(settings, users, is_check=check, as_json=as_json)


@app.command(rich_help_panel="Prepare")
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to.")] = Path(),
    as_json: Json = False,
) -> int:
    """Write policies/ and channels/ out, to edit."""
    from swarmd.cli.verbs import setup

    return setup.init(folder, as_json=as_json)


@app.command(
    "redis-cli", rich_help_panel="Prepare", context_settings=_HANDED_ON, add_help_option=False
)
def redis_cli(context: typer.Context) -> int:
    """A client on the swarm's server; what follows is handed on to it."""
    from swarmd.cli.verbs import setup

    return setup.redis_cli(Connection().settings(), context.args)


@app.command(rich_help_panel="Prepare")
def version(as_json: Json = False) -> int:
    """Print the version."""
    connection.version(as_json)
    return Exit.DONE
