"""The verbs and their options, as typer reads them; what a verb does is in the file of its theme.

Everything heavy is imported by the verb that needs it. Each verb returns its exit code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from swarmd.cli import look, reach
from swarmd.cli.exits import Exit
from swarmd.errors import UsageError
from swarmd.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--redis-url", "-u", metavar="URL", help="The server; default: REDIS_URL, else the embedded one."
    ),
]
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data folder [SWARMD_DATA].")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", metavar="NAME", help="The swarm's name [SWARMD_NAMESPACE].")
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
    Path | None, typer.Option("--knowledge", metavar="DIR", help="The knowledge folder [SWARMD_KNOWLEDGE].")
]
LogLevel = Annotated[
    str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
]
LogFormat = Annotated[str | None, typer.Option("--log-format", metavar="FORM", help="auto, console or json.")]
Grace = Annotated[
    float,
    typer.Option("--grace", min=0, max=600, metavar="SECONDS", help="After SIGTERM, for turns under way."),
]
Reference = Annotated[str, typer.Argument(metavar="ID", help="An id, a name, or the beginning of an id.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the journal.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="Give up waiting after this.")
]
Mission = Annotated[
    str, typer.Argument(metavar="MISSION", help="What is to be done; - reads standard input.")
]
Named = Annotated[
    list[str] | None,
    typer.Option("--files", "-f", metavar="NAME", help="A file or folder to work on; may be repeated."),
]
MoreFiles = Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More files, as --files.")]
Budget = Annotated[
    str | None, typer.Option("--budget", metavar="JSON", help="Caps, such as tokens=50000,calls=100.")
]
Deadline = Annotated[
    float | None,
    typer.Option("--deadline", min=0.001, metavar="SECONDS", help="It fails if it takes longer."),
]

ORDER_SECONDS: Final = 30.0

app = typer.Typer(
    name="swarmd",
    help="Run a governed hierarchy of LLM agents on Redis.",
    epilog='Begin with: swarmd run "What does this project do?" --files docs',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def settings_of(**flags: str | Path | None) -> Settings:
    return Settings.from_env(os.environ, **flags)


# --- the daemon -------------------------------------------------------------------------------


@app.command(rich_help_panel="Run")
def run(
    mission: Annotated[str, typer.Argument(metavar="MISSION", help="What is to be done; - reads it.")] = "",
    more: MoreFiles = None,
    files: Named = None,
    budget: Budget = None,
    deadline: Deadline = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take up unfinished missions too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Json = False,
    model: Model = None,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
    policies: Policies = None,
    channels: Channels = None,
    knowledge: Knowledge = None,
    log_level: LogLevel = None,
) -> int:
    """Do one mission, whole, in this process; print its result."""
    from swarmd.cli import daemon

    settings = settings_of(
        redis_url=url, data=data, namespace=namespace, model=model, policies=policies, channels=channels,
        knowledge=knowledge, log_level=log_level or "warning",
    )  # fmt: skip
    named = [*(files or []), *(more or [])]
    return daemon.run(settings, mission, named, budget, deadline, resume=resume, quiet=quiet, as_json=as_json)


def _serve(parts: frozenset[str], grace: float, **flags: str | Path | None) -> int:
    from swarmd.cli import daemon

    return daemon.serve(settings_of(**flags), parts, grace)


@app.command(rich_help_panel="Run")
def up(
    grace: Grace = 8.0,
    model: Model = None,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
    policies: Policies = None,
    channels: Channels = None,
    knowledge: Knowledge = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> int:
    """Run the daemon whole: supervisor and worker, and the embedded server unless REDIS_URL is set."""
    return _serve(
        frozenset({"supervisor", "worker"}), grace, redis_url=url, data=data, namespace=namespace, model=model,
        policies=policies, channels=channels, knowledge=knowledge, log_level=log_level, log_format=log_format,
    )  # fmt: skip


@app.command(rich_help_panel="Run")
def supervisor(
    grace: Grace = 8.0,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
    policies: Policies = None,
    channels: Channels = None,
    knowledge: Knowledge = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> int:
    """Run a supervisor alone, beside workers elsewhere."""
    return _serve(
        frozenset({"supervisor"}), grace, redis_url=url, data=data, namespace=namespace, policies=policies,
        channels=channels, knowledge=knowledge, log_level=log_level, log_format=log_format,
    )  # fmt: skip


@app.command(rich_help_panel="Run")
def worker(
    grace: Grace = 8.0,
    model: Model = None,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
    policies: Policies = None,
    channels: Channels = None,
    knowledge: Knowledge = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> int:
    """Run a worker alone; start more of them for more agents."""
    return _serve(
        frozenset({"worker"}), grace, redis_url=url, data=data, namespace=namespace, model=model,
        policies=policies, channels=channels, knowledge=knowledge, log_level=log_level, log_format=log_format,
    )  # fmt: skip


# --- missions ---------------------------------------------------------------------------------


@app.command(rich_help_panel="Missions")
def submit(
    mission: Mission,
    more: MoreFiles = None,
    files: Named = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The same id is the same mission.")
    ] = None,
    budget: Budget = None,
    deadline: Deadline = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result.")] = False,
    timeout: Timeout = None,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Hand a mission to the running swarm; prints its id."""
    from swarmd.cli import act, errand

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    text = act.mission_text(mission, act.standard_input)
    fields = act.entrance_fields(text, id, budget, deadline, [*(files or []), *(more or [])])
    return errand.submit(settings, fields, wait=wait, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Missions")
def missions(as_json: Json = False, url: Url = None, data: Data = None, namespace: Namespace = None) -> int:
    """List the missions and their states."""
    return reach.look(settings_of(redis_url=url, data=data, namespace=namespace), as_json, look.missions)


@app.command(rich_help_panel="Missions")
def cancel(
    reference: Reference,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Cancel a mission: its agents are ended, its account is closed."""
    from swarmd.cli import act, errand

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return errand.ordered(
        settings, act.cancel, reference, reason, wait=wait, timeout=timeout, as_json=as_json
    )


# --- look -------------------------------------------------------------------------------------


@app.command(rich_help_panel="Look")
def tree(
    ended: Annotated[bool, typer.Option("--all", "-a", help="Those that have ended too.")] = False,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Show the lineage: who made whom, what each does and spends."""
    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return reach.look(settings, as_json, lambda sight: look.tree(sight, ended=ended))


@app.command(rich_help_panel="Look")
def ps(
    ended: Annotated[bool, typer.Option("--all", "-a", help="Those that have ended too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only ids.")] = False,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """List the agents that live."""
    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return reach.look(settings, as_json, lambda sight: look.ps(sight, ended=ended, only_ids=quiet))


@app.command(rich_help_panel="Look")
def inspect(
    reference: Reference,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Show all of one agent or mission."""
    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return reach.look(settings, as_json, lambda sight: look.inspect(sight, reference))


@app.command(rich_help_panel="Look")
def tail(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Such as room:sob, journal, results.")],
    since: Annotated[
        str | None, typer.Option("--since", metavar="ID", help="After this entry; 0: from the first.")
    ] = None,
    count: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=10_000, help="Without --since: the last so many.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on as messages come.")] = True,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Read a channel, and go on reading it."""
    from swarmd.cli import errand

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return errand.tail(settings, channel, since, count, follow=follow, as_json=as_json)


@app.command(rich_help_panel="Look")
def health(
    part: Annotated[
        str | None, typer.Option("--part", metavar="PART", help="supervisor, or this machine's worker.")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Ask whether the swarm works; 7 says that something is missing, 5 that there is no server."""
    if part not in (None, "supervisor", "worker"):
        raise UsageError(f"--part {part!r} is unknown", hint="it is supervisor or worker")
    return reach.health(settings_of(redis_url=url, data=data, namespace=namespace), as_json, part)


# --- act --------------------------------------------------------------------------------------


@app.command(rich_help_panel="Act")
def say(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="room:NAME or inbox:AGENT.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="- reads standard input.")],
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Speak as the operator, in a room or to one agent."""
    from swarmd.cli import errand

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return errand.say(settings, channel, text, as_json=as_json)


@app.command(rich_help_panel="Act")
def terminate(
    reference: Reference,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """End an agent and all below it; 0 only if every one was seen to end."""
    from swarmd.cli import act, errand

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return errand.ordered(
        settings, act.terminate, reference, reason, wait=wait, timeout=timeout, as_json=as_json
    )


# --- prove, prepare ---------------------------------------------------------------------------


@app.command(rich_help_panel="Prepare")
def check(
    policies: Policies = None,
    channels: Channels = None,
    as_json: Json = False,
) -> int:
    """Check the declarations; prints every fault as file:line: field: what."""
    from swarmd.cli import prepare

    return prepare.check(settings_of(policies=policies, channels=channels), as_json=as_json)


@app.command(rich_help_panel="Prepare")
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to.")] = Path(),
    as_json: Json = False,
) -> int:
    """Write policies/ and channels/ out, to edit."""
    from swarmd.cli import prepare

    return prepare.init(folder, as_json=as_json)


@app.command(
    "redis-cli",
    rich_help_panel="Prepare",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def redis_cli(context: typer.Context) -> int:
    """A client on the swarm's server; what follows is handed on to it."""
    from swarmd.cli import prepare

    return prepare.redis_cli(settings_of(), context.args)


@app.command(rich_help_panel="Prepare")
def version(as_json: Json = False) -> int:
    """Print the version."""
    reach.version(as_json)
    return Exit.DONE
