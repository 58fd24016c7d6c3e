"""The verbs on rights: grant, revoke, and why an agent may do something or may not."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, Literal

from swarmd.cli.exit_codes import Exit
from swarmd.cli.order_client import Post, Waiting
from swarmd.cli.render.rights import trace_lines, who
from swarmd.cli.render.text import counted, plain
from swarmd.cli.render.values import trace_value
from swarmd.cli.session import Sight, note, note_explain, now
from swarmd.cli.verbs.orders import give, value_of
from swarmd.cli.verbs.targets import Wish, agent_of, said_target
from swarmd.core.model.names import AgentId
from swarmd.core.model.privileges import is_path
from swarmd.core.model.refusals import Rule
from swarmd.core.queries.snapshot import NO_ACCOUNT
from swarmd.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from swarmd.core.queries.explain import Hindrance, Trace
    from swarmd.core.queries.snapshot import AgentView, Marks
    from swarmd.ports.reader import Reader

RIGHTS: Final = ("use", "grant", "both")
_Asked = Literal["use", "grant"]
# What may be done about an agent that gets nowhere although it may: by its activity.
_NEXT_STEPS: Final[Mapping[str, str]] = {
    "stalled": (
        '`swarmd inspect {id}` shows what it did last; `swarmd say {id} "…"` wakes it, `swarmd '
        "terminate {id}` ends it (swarmd explain agent.stalled)"
    ),
    "stuck": (
        "its call has outlived its bounds: `swarmd halt {id}` cuts it, `swarmd terminate {id}` "
        "ends the agent"
    ),
    "dead": "its host has gone: another takes it over in seconds, or start one: `swarmd worker`",
    "unplaced": "no host has room for it: start one more: `swarmd worker`",
    "waiting": "no supervisor leads: start one: `swarmd supervisor` (swarmd explain lead.none)",
}


def check_right(right: str) -> None:
    if right not in RIGHTS:
        raise UsageError(f"--right {right!r} is unknown", hint="it is use, grant or both")


def check_privilege(privilege: str) -> None:
    if not is_path(privilege):
        raise UsageError(
            f"{privilege!r} is no privilege",
            hint="a path such as tool/file/write, or model/** for all below it",
        )


# --- grant and revoke -------------------------------------------------------------------------


def change_rights(
    sight: Sight, post: Post, waiting: Waiting, wish: Wish, *, is_awaited: bool
) -> Exit:
    """Grants or revokes; done when the supervisor has written it: the next action meets it."""
    found = agent_of(sight.reader, wish.reference)
    order_id, data = give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if sight.as_json:
        outcome = "ordered" if data is None else "done"
        value: dict[str, Any] = {"order": order_id, "outcome": outcome, **wish.more}
        number = {} if data is None else {"number": data.get("number")}
        sight.give(value_of(wish, found, value | number))
        return Exit.DONE
    _tell_changed(found.target, wish, data)
    return Exit.DONE


def _tell_changed(target: str, wish: Wish, data: Mapping[str, Any] | None) -> None:
    done = "ordered" if data is None else {"grant": "granted", "revoke": "revoked"}[wish.verb]
    print(plain(f"{target}: {done} {wish.more['privilege']} ({wish.more['right']})"))
    if data is not None and data.get("agents", 1) > 1:
        note(f"revoked of this agent and of {counted(data['agents'] - 1, 'agent')} below it")


# --- why --------------------------------------------------------------------------------------


def why(sight: Sight, reference: str, privilege: str, right: str) -> Exit:
    """The chain of grants, or the missing link, or what stands in the way; done where it may,
    refused where not.
    """
    check_privilege(privilege)
    asked = _asked(right)
    id = AgentId(agent_of(sight.reader, reference).target)
    agent, marks = sight.reader.agent(id), sight.reader.marks()
    found, in_the_way = _traced(sight.reader, id, agent, marks, privilege, asked)
    may = found.is_held and not in_the_way
    if sight.as_json:
        value = {"agent": id, "privilege": privilege, "right": asked, "may": may}
        sight.give(value | trace_value(found, in_the_way))
    else:
        sight.say(trace_lines(found, in_the_way, privilege, sight.ink, now()))
        _note_next_steps(found, in_the_way, privilege, agent)
    return Exit.DONE if may else Exit.REFUSED


def _asked(right: str) -> _Asked:
    if right not in ("use", "grant"):
        raise UsageError(f"--right {right!r} is unknown", hint="it is use or grant")
    return "grant" if right == "grant" else "use"


def _traced(
    reader: Reader,
    id: AgentId,
    agent: AgentView | None,
    marks: Marks,
    privilege: str,
    asked: _Asked,
) -> tuple[Trace, tuple[Hindrance, ...]]:
    from swarmd.core.queries.explain import hindrances, trace

    chain = reader.chain(id)
    if not chain:
        raise NotFoundError(f"the record of {id} cannot be read")
    account = reader.accounts([id]).get(id, NO_ACCOUNT)
    revoked = [] if agent is None else marks.revocations_on(agent)
    overdrawn = account.marks.get("overdrawn", "")
    last, fences, stops = chain[-1], marks.fences, marks.stops
    in_the_way = hindrances(last, privilege, asked, fences, stops, account.kinds, overdrawn)
    return trace(chain, revoked, privilege, asked), in_the_way


def _note_next_steps(
    found: Trace, in_the_way: tuple[Hindrance, ...], privilege: str, agent: AgentView | None
) -> None:
    """What may be done about it, on standard error: all commands about the right, in their order;
    about each stop, or else the first thing in the way; and about what keeps the agent from getting
    on although it may.
    """
    for link in found.missing:
        note(f"what to do: swarmd grant {plain(link.agent.id)} {quote(plain(privilege))}")
    _note_lifting(in_the_way)
    word = agent.activity.word if agent is not None and agent.activity is not None else ""
    if agent is not None and word in _NEXT_STEPS:
        step = _NEXT_STEPS[word].format(id=plain(agent.id))
        note(f"{who(found.links[-1])} is {word}: {step}")


def _note_lifting(in_the_way: tuple[Hindrance, ...]) -> None:
    if not in_the_way:
        return
    for stop in (no for no in in_the_way if no.is_lifted_by_thaw):
        note(f"what to do: swarmd thaw {quote(said_target(stop.target))}")
    first: Rule = in_the_way[0].rule
    if not in_the_way[0].is_lifted_by_thaw:
        note(f"what to do: {first.remedy}")
    note_explain(first.value)
