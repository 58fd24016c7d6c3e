"""The verbs and their options, as typer reads them; what a verb does is in the file of its theme.

Everything heavy is imported by the verb that needs it. Each verb returns its exit code.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from swarmd.cli import completion, connection
from swarmd.cli.exit_codes import Exit
from swarmd.cli.verbs import health as health_
from swarmd.cli.verbs import inspect as inspect_verbs
from swarmd.errors import StoreUnavailableError, UsageError
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
TARGET_HELP: Final = (
    "An agent (with all below it), a mission, tier:N, room:NAME, tool:PRIVILEGE "
    "(what may be used under it), or all."
)
TargetOf = Annotated[
    str, typer.Argument(metavar="TARGET", help=TARGET_HELP, autocompletion=completion.targets)
]
Privilege = Annotated[
    str,
    typer.Argument(
        metavar="PRIVILEGE", help="A path such as tool/file/write, or model/** for all below it."
    ),
]
RefusalCode = Annotated[
    str, typer.Argument(metavar="[CODE]", autocompletion=completion.refusals, help="spawn.tier …")
]
Right = Annotated[
    str, typer.Option("--right", metavar="RIGHT", help="use, grant (to hand it out) or both.")
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
Mission = Annotated[
    str, typer.Argument(metavar="MISSION", help="What is to be done; - reads standard input.")
]
Named = Annotated[
    list[str] | None,
    typer.Option(
        "--files", "-f", metavar="NAME", help="A file or folder to work on; may be repeated."
    ),
]
MoreFiles = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE]...", help="More files, as --files.")
]
Budget = Annotated[
    str | None,
    typer.Option("--budget", metavar="JSON", help="Caps, such as tokens=50000,calls=100,usd=2.5."),
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
    mission: Annotated[
        str, typer.Argument(metavar="MISSION", help="What is to be done; - reads it.")
    ] = "",
    more: MoreFiles = None,
    files: Named = None,
    budget: Budget = None,
    deadline: Deadline = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take up unfinished missions too.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Json = False,
    model: Model = None,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
    policies: Policies = None,
    channels: Channels = None,
    knowledge: Knowledge = None,
    durability: Durability = None,
    log_level: LogLevel = None,
) -> int:
    """Do one mission, whole, in this process; print its result."""
    from swarmd.cli.verbs import run as run_verbs

    settings = settings_of(
        redis_url=url,
        data=data,
        namespace=namespace,
        model=model,
        policies=policies,
        channels=channels,
        knowledge=knowledge,
        durability=durability,
        log_level=log_level or "warning",
    )
    named = [*(files or []), *(more or [])]
    return run_verbs.run(
        settings, mission, named, budget, deadline, resume=resume, quiet=quiet, as_json=as_json
    )


def _serve(parts: frozenset[str], grace: float, **flags: str | Path | None) -> int:
    from swarmd.cli.verbs import run as run_verbs

    return run_verbs.serve(settings_of(**flags), parts, grace)


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
    durability: Durability = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> int:
    """Run the daemon whole: supervisor and worker, and the embedded server unless REDIS_URL is
    set.
    """
    return _serve(
        frozenset({"supervisor", "worker"}),
        grace,
        redis_url=url,
        data=data,
        namespace=namespace,
        model=model,
        policies=policies,
        channels=channels,
        knowledge=knowledge,
        durability=durability,
        log_level=log_level,
        log_format=log_format,
    )


@app.command(rich_help_panel="Run")
def supervisor(
    grace: Grace = 8.0,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
    policies: Policies = None,
    channels: Channels = None,
    knowledge: Knowledge = None,
    durability: Durability = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> int:
    """Run a supervisor alone, beside workers elsewhere."""
    return _serve(
        frozenset({"supervisor"}),
        grace,
        redis_url=url,
        data=data,
        namespace=namespace,
        policies=policies,
        channels=channels,
        knowledge=knowledge,
        durability=durability,
        log_level=log_level,
        log_format=log_format,
    )


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
    durability: Durability = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> int:
    """Run a worker alone; start more of them for more agents."""
    return _serve(
        frozenset({"worker"}),
        grace,
        redis_url=url,
        data=data,
        namespace=namespace,
        model=model,
        policies=policies,
        channels=channels,
        knowledge=knowledge,
        durability=durability,
        log_level=log_level,
        log_format=log_format,
    )


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
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end and print the result.")
    ] = False,
    timeout: Timeout = None,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Hand a mission to the running swarm; prints its id."""
    from swarmd.cli.verbs import missions as mission_verbs
    from swarmd.cli.verbs import remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    text = mission_verbs.mission_text(mission, mission_verbs.standard_input)
    fields = mission_verbs.entrance_fields(
        text, id, budget, deadline, [*(files or []), *(more or [])]
    )
    return remote.submit(settings, fields, wait=wait, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Missions")
def missions(
    as_json: Json = False, url: Url = None, data: Data = None, namespace: Namespace = None
) -> int:
    """List the missions and their states."""
    return connection.look(
        settings_of(redis_url=url, data=data, namespace=namespace), as_json, inspect_verbs.missions
    )


@app.command(rich_help_panel="Missions")
def cancel(
    reference: MissionReference,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Cancel a mission: its agents are ended, its account is closed."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    wish = orders.Wish("cancel", reference, reason)
    return remote.ordered(
        settings, orders.cancel, wish, wait=wait, timeout=timeout, as_json=as_json
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
    return connection.look(settings, as_json, lambda sight: inspect_verbs.tree(sight, ended=ended))


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
    return connection.look(
        settings, as_json, lambda sight: inspect_verbs.ps(sight, ended=ended, only_ids=quiet)
    )


@app.command(rich_help_panel="Look")
def top(
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
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Show the agents that live, those that spent most first, again and again."""
    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    see = partial(inspect_verbs.top, seconds=interval, is_once=once)
    if once or as_json or not sys.stdout.isatty():
        return connection.look(settings, as_json, see)
    return connection.watch(settings, see)


@app.command(rich_help_panel="Look")
def stops(
    as_json: Json = False, url: Url = None, data: Data = None, namespace: Namespace = None
) -> int:
    """List all that is stopped or ending: by whom, since when and why."""
    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    held = inspect_verbs.halt_of(settings)
    try:
        return connection.look(settings, as_json, lambda sight: inspect_verbs.stops(sight, held))
    except StoreUnavailableError:
        inspect_verbs.note_halt(settings, held)
        raise


@app.command(rich_help_panel="Look")
def why(
    reference: AgentReference,
    privilege: Privilege,
    right: Annotated[
        str, typer.Option("--right", metavar="RIGHT", help="use, or grant: to hand it out.")
    ] = "use",
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Tell why an agent may do something, or may not: who gave what to whom, and what stands in
    the way.
    """
    from swarmd.cli.verbs import orders

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return connection.look(
        settings, as_json, lambda sight: orders.why(sight, reference, privilege, right)
    )


@app.command(rich_help_panel="Look")
def explain(code: RefusalCode = "", as_json: Json = False) -> int:
    """Tell what a refusal means and what to do about it; without a code, list them all."""
    from swarmd.cli.verbs import explain as explain_verbs

    return explain_verbs.explain(code, as_json=as_json)


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
    return connection.look(settings, as_json, lambda sight: inspect_verbs.inspect(sight, reference))


@app.command(rich_help_panel="Look")
def tail(
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
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Read a channel, and go on reading it."""
    from swarmd.cli.verbs import remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return remote.tail(settings, channel, since, count, follow=follow, as_json=as_json)


@app.command(rich_help_panel="Look")
def health(
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="PART", help="supervisor, or this machine's worker."),
    ] = None,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Ask whether the swarm works; 7 says that something is missing, 5 that there is no server."""
    if part not in (None, "supervisor", "worker"):
        raise UsageError(f"--part {part!r} is unknown", hint="it is supervisor or worker")
    return health_.health(settings_of(redis_url=url, data=data, namespace=namespace), as_json, part)


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
    from swarmd.cli.verbs import remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return remote.say(settings, channel, text, as_json=as_json)


@app.command(rich_help_panel="Act")
def freeze(
    target: TargetOf,
    only: Only = False,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Let nothing more begin there, until it is thawed; what is under way ends."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    wish = orders.Wish("freeze", target, reason, is_only=only)
    return remote.ordered(settings, orders.stop, wish, wait=wait, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Act")
def thaw(
    target: TargetOf,
    only: Only = False,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Let it go on where it stood; tells what still stops it."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    wish = orders.Wish("thaw", target, reason, is_only=only)
    return remote.thaw(settings, wish, wait=wait, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Act")
def drain(
    target: TargetOf,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            min=0,
            max=86_400,
            metavar="SECONDS",
            help="For turns under way; then it ends.",
        ),
    ] = 60.0,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Let turns under way come to their end, then end it."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    wish = orders.Wish("drain", target, reason, more={"grace_s": grace})
    seconds = grace + ORDER_SECONDS if timeout is None else timeout
    return remote.ordered(settings, orders.stop, wish, wait=wait, timeout=seconds, as_json=as_json)


@app.command(rich_help_panel="Act")
def halt(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help=f"{TARGET_HELP} Without it: all.",
            autocompletion=completion.targets,
        ),
    ] = "all",
    only: Only = False,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = True,
    timeout: Timeout = None,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Stop at once: calls under way are cut. Of all, it works also while the server is away."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    if target in ("all", "*"):
        _ask("halt everything?", yes=yes, as_json=as_json)
        seconds = orders.BRAKE_SECONDS if timeout is None else timeout
        return remote.halt_all(settings, reason, wait=wait, timeout=seconds, as_json=as_json)
    wish = orders.Wish("halt", target, reason, is_only=only)
    seconds = ORDER_SECONDS if timeout is None else timeout
    return remote.ordered(settings, orders.stop, wish, wait=wait, timeout=seconds, as_json=as_json)


@app.command(rich_help_panel="Act")
def terminate(
    target: TargetOf,
    reason: Reason = "",
    yes: Yes = False,
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """End it and all below it; 0 only if every one was seen to end."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    if target in ("all", "*"):
        _ask("end every mission?", yes=yes, as_json=as_json)
    wish = orders.Wish("terminate", target, reason)
    return remote.ordered(
        settings, orders.terminate, wish, wait=wait, timeout=timeout, as_json=as_json
    )


@app.command(rich_help_panel="Act")
def grant(
    reference: AgentReference,
    privilege: Privilege,
    right: Right = "both",
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Give an agent a right over a privilege."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    wish = orders.rights_wish("grant", reference, privilege, right, reason)
    return remote.ordered(
        settings, orders.change_rights, wish, wait=wait, timeout=timeout, as_json=as_json
    )


@app.command(rich_help_panel="Act")
def revoke(
    reference: AgentReference,
    privilege: Privilege,
    right: Right = "both",
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Take a right from an agent and all below it; their next action meets it."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    wish = orders.rights_wish("revoke", reference, privilege, right, reason)
    return remote.ordered(
        settings, orders.change_rights, wish, wait=wait, timeout=timeout, as_json=as_json
    )


@app.command(rich_help_panel="Act")
def fund(
    account: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="An agent, a mission, or sob: the root.",
            autocompletion=completion.references,
        ),
    ],
    amounts: Annotated[
        str, typer.Argument(metavar="AMOUNTS", help="Such as tokens=50000,usd=2.50,calls=100.")
    ],
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Add to an account, of what is free in the one above it; the root gets what you say."""
    from swarmd.cli.verbs import orders, remote

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    wish = orders.Wish("fund", account, reason, more={"amounts": orders.amounts_of(amounts)})
    return remote.ordered(settings, orders.fund, wish, wait=wait, timeout=timeout, as_json=as_json)


def _ask(question: str, *, yes: bool, as_json: bool) -> None:
    """Where a person sits there, and only there. Raises `UsageError` where they say no."""
    if yes or as_json or not sys.stdin.isatty():
        return
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done", hint="--yes does it without asking")


@app.command(rich_help_panel="Act")
def approvals(
    as_json: Json = False, url: Url = None, data: Data = None, namespace: Namespace = None
) -> int:
    """List what waits for leave: who asks, for what, whose leave it takes."""
    from swarmd.cli.verbs import approvals as approval_verbs

    return connection.look(
        settings_of(redis_url=url, data=data, namespace=namespace),
        as_json,
        approval_verbs.approvals,
    )


@app.command(rich_help_panel="Act")
def approve(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `swarmd approvals` lists it.")],
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Give leave; what was asked for is decided now, once, by the law as it is."""
    from swarmd.cli.verbs import approvals as approval_verbs

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return approval_verbs.answer(
        settings, "approve", id, reason, wait=wait, timeout=timeout, as_json=as_json
    )


@app.command(rich_help_panel="Act")
def deny(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `swarmd approvals` lists it.")],
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Refuse leave; who asked is told."""
    from swarmd.cli.verbs import approvals as approval_verbs

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return approval_verbs.answer(
        settings, "deny", id, reason, wait=wait, timeout=timeout, as_json=as_json
    )


@app.command(rich_help_panel="Act")
def override(
    kind: Annotated[
        str, typer.Argument(metavar="[KIND]", help="grant, task, spawn, message or motion.")
    ] = "",
    target: Annotated[
        str,
        typer.Argument(
            metavar="[TARGET]",
            help=(
                "An agent; of spawn a refusal's id in the journal or its key; of message a "
                "channel; of motion a mission."
            ),
        ),
    ] = "",
    what: Annotated[
        str,
        typer.Argument(
            metavar="[WHAT]",
            help="Of grant the privilege, of task the new one, of message its id in the stream.",
        ),
    ] = "",
    seconds: Annotated[
        float,
        typer.Option(
            "--for", min=0.001, max=31_536_000, metavar="SECONDS", help="Then it lapses by itself."
        ),
    ] = 600.0,
    reason: Reason = "",
    right: Annotated[str, typer.Option("--right", help="Of grant: use, grant or both.")] = "both",
    take: Annotated[
        bool, typer.Option("--take", help="Of grant: take the right away instead of giving it.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Of spawn: end the agent that was made.")
    ] = False,
    veto: Annotated[
        bool, typer.Option("--veto", help="Of motion: it falls, instead of being carried.")
    ] = False,
    text: Annotated[
        str, typer.Option("--text", metavar="TEXT", help="Of message: what stands in its place.")
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="List the overrides that stand.")] = False,
    reverse: Annotated[
        str, typer.Option("--reverse", metavar="ID", help="Take one back before its time.")
    ] = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Replace one decision for a time: a right, a task, a spawn, a message, a motion."""
    from swarmd.cli.verbs import approvals as approval_verbs

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    if listed:
        return connection.look(settings, as_json, approval_verbs.overrides)
    asked = approval_verbs.Asked(
        kind,
        target,
        what,
        seconds,
        reason,
        right=right,
        text=text,
        reverse=reverse,
        is_taken=take,
        is_undone=undo,
        is_vetoed=veto,
    )
    return approval_verbs.override(settings, asked, wait=wait, timeout=timeout, as_json=as_json)


dead = typer.Typer(
    no_args_is_help=True, help="Messages on which their reader failed again and again."
)
app.add_typer(dead, name="dead", rich_help_panel="Act")
Letter = Annotated[str, typer.Argument(metavar="ID", help="As `swarmd dead ls` lists it.")]


@dead.command("ls")
def dead_ls(
    as_json: Json = False, url: Url = None, data: Data = None, namespace: Namespace = None
) -> int:
    """List the dead letters: who failed on them, how often, and with what last words."""
    from swarmd.cli.verbs import dead_letters as letters

    return connection.look(
        settings_of(redis_url=url, data=data, namespace=namespace), as_json, letters.ls
    )


@dead.command("show")
def dead_show(
    id: Letter,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Show one whole: the message, where it stood, its reader and the last words of it."""
    from swarmd.cli.verbs import dead_letters as letters

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return connection.look(settings, as_json, lambda sight: letters.show(sight, id))


@dead.command("retry")
def dead_retry(
    id: Letter,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Hand the message out once more to its reader; the letter goes."""
    from swarmd.cli.verbs import dead_letters as letters

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return letters.order(settings, "retry", id, reason, wait=wait, timeout=timeout, as_json=as_json)


@dead.command("drop")
def dead_drop(
    id: Letter,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Give the message up; the journal keeps that it was there."""
    from swarmd.cli.verbs import dead_letters as letters

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return letters.order(settings, "drop", id, reason, wait=wait, timeout=timeout, as_json=as_json)


# --- prove ------------------------------------------------------------------------------------

journal = typer.Typer(no_args_is_help=True, help="The journal: verified, as it was, acknowledged.")
app.add_typer(journal, name="journal", rich_help_panel="Prove")


@journal.command("verify")
def journal_verify(
    files_only: Annotated[
        bool, typer.Option("--files-only", help="The data folder alone, without a server.")
    ] = False,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Check chain, anchors and laws of the whole journal; 7 names the first bad entry."""
    from swarmd.cli.verbs import journal as journal_verbs

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return journal_verbs.verify(settings, files_only=files_only, as_json=as_json)


@journal.command("at")
def journal_at(
    when: Annotated[
        str,
        typer.Argument(
            metavar="WHEN", help="A time in UTC, an entry's number or its id in the stream."
        ),
    ],
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Show tree, privileges and ledger as they were."""
    from swarmd.cli.verbs import journal as journal_verbs

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return journal_verbs.journal_at(settings, when, as_json=as_json)


@journal.command("ack")
def journal_ack(
    entry: Annotated[
        int, typer.Argument(metavar="ENTRY", min=1, help="The entry that tells of the gap.")
    ],
    reason: Reason = "",
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Acknowledge a gap that you have looked into: verify reports it no more."""
    from swarmd.cli.verbs import journal as journal_verbs

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return journal_verbs.ack(settings, entry, reason, timeout=timeout, as_json=as_json)


@app.command(rich_help_panel="Prove")
def fsck(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    timeout: Timeout = ORDER_SECONDS,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Check the living swarm against its journal and the laws; 7 where something is wrong."""
    from swarmd.cli.verbs import journal as journal_verbs

    settings = settings_of(redis_url=url, data=data, namespace=namespace)
    return journal_verbs.fsck(settings, repair=repair, timeout=timeout, as_json=as_json)


# --- prepare ----------------------------------------------------------------------------------


@app.command(rich_help_panel="Prepare")
def check(
    policies: Policies = None,
    channels: Channels = None,
    as_json: Json = False,
) -> int:
    """Check the declarations; prints every fault as file:line: field: what."""
    from swarmd.cli.verbs import setup

    return setup.check(settings_of(policies=policies, channels=channels), as_json=as_json)


@app.command(rich_help_panel="Prepare")
def acl(
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="NAME", help="Only this one; may be repeated."),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORM", help="setuser: for a client; aclfile: for a server."
        ),
    ] = "setuser",
    password_files: Annotated[
        list[str] | None,
        typer.Option(
            "--password-file", metavar="ROLE=FILE", help="Holds a role's password; may be repeated."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--generate", metavar="DIR", help="Make DIR/ROLE/password and DIR/users.acl."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compare the server's users with the policy; 7 where they differ."
        ),
    ] = False,
    policies: Policies = None,
    as_json: Json = False,
    url: Url = None,
    data: Data = None,
    namespace: Namespace = None,
) -> int:
    """Print the server's rules for this swarm's users: submitter, operator, worker, supervisor
    and others.
    """
    from swarmd.cli.verbs import acl as users

    settings = settings_of(redis_url=url, data=data, namespace=namespace, policies=policies)
    users.refuse_contradictions(roles, password_files, folder, is_check=check)
    if folder is not None:
        return users.generate(settings, folder, as_json=as_json)
    if check:
        return users.check(settings, roles or (), as_json=as_json)
    return users.show(settings, roles or (), form, password_files or (), as_json=as_json)


@app.command(rich_help_panel="Prepare")
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to.")] = Path(),
    as_json: Json = False,
) -> int:
    """Write policies/ and channels/ out, to edit."""
    from swarmd.cli.verbs import setup

    return setup.init(folder, as_json=as_json)


@app.command(
    "redis-cli",
    rich_help_panel="Prepare",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
    add_help_option=False,
)
def redis_cli(context: typer.Context) -> int:
    """A client on the swarm's server; what follows is handed on to it."""
    from swarmd.cli.verbs import setup

    return setup.redis_cli(settings_of(), context.args)


@app.command(rich_help_panel="Prepare")
def version(as_json: Json = False) -> int:
    """Print the version."""
    connection.version(as_json)
    return Exit.DONE
