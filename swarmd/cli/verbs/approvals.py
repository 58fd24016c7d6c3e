"""The verbs of leave: approvals, approve, deny, override. They read, write one order, and tell
what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from swarmd.adapters.redis.reader import View
from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import excerpt, plain, table
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs import remote
from swarmd.cli.verbs.inspect import channel_named, named
from swarmd.core.actions.approvals import WORD
from swarmd.core.model.channels import JOURNAL, ORDERS, REQUESTS
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, Authority, Channel, StreamId
from swarmd.errors import NotFoundError, UsageError
from swarmd.settings import Settings

WHAT_COLUMNS: Final = 60
# Of the journal, newest first, to find a refusal by its key; an older one is named by its entry's
# id.
_REFUSALS_READ: Final = 2_000
_KINDS: Final = ("grant", "task", "spawn", "message", "motion")


@dataclass(frozen=True, slots=True)
class Asked:
    """An override as the command line has it."""

    kind: str
    target: str
    what: str
    seconds: float
    reason: str
    right: str = "both"
    text: str = ""
    reverse: str = ""
    is_taken: bool = False
    is_undone: bool = False
    is_vetoed: bool = False


# --- lists ------------------------------------------------------------------------------------


def approvals(sight: Sight) -> Exit:
    found = [_approval_value(id, facts) for id, facts in sight.view.approvals().items()]
    if sight.as_json:
        sight.give({"approvals": found})
    elif found:
        rows = [
            (
                a["id"],
                a["needs"],
                a["requester"],
                a["rule"],
                a["expires"],
                excerpt(a["what"], WHAT_COLUMNS),
            )
            for a in found
        ]
        sight.say(
            table(("ID", "NEEDS", "ASKS", "RULE", "UNTIL", "WHAT"), [_plain(row) for row in rows])
        )
    else:
        note("nothing waits for leave")
    return Exit.DONE


def _plain(row: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(plain(str(cell)) for cell in row)


def _approval_value(id: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    action = facts.get("action") or {}
    return {
        "id": id,
        "needs": _word(facts.get("needs")),
        "rule": facts.get("rule", ""),
        "requester": action.get("requester", ""),
        "mission": action.get("mission", ""),
        "what": _what(action.get("request") or {}),
        "at": _stamp(facts.get("at")),
        "expires": _stamp(facts.get("expires")),
        "digest": facts.get("digest", ""),
        "action": action,
    }


def _what(request: Mapping[str, Any]) -> str:
    """One line for a person, the requester's words last."""
    match request.get("type"):
        case "spawn":
            charter = request.get("charter") or {}
            return f"create {charter.get('role')} {charter.get('name')}: {charter.get('task')}"
        case "terminate":
            return f"terminate {request.get('agent')}: {request.get('reason')}"
        case "motion":
            return (
                f"motion {request.get('number')}: "
                f"{json.dumps(request.get('motion'), ensure_ascii=False)}"
            )
        case _:
            wished = request.get("act") or {}
            return " ".join(
                str(wished[name])
                for name in ("verb", "target", "privilege", "amounts", "reason")
                if wished.get(name)
            )


def _word(authority: object) -> str:
    return (
        WORD[Authority(authority)] if isinstance(authority, int) and authority in (1, 2, 3) else ""
    )


def _stamp(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def overrides(sight: Sight) -> Exit:
    found = [
        {
            "id": id,
            **facts,
            "authority": _word(facts.get("authority")),
            "at": _stamp(facts.get("at")),
            "expires": _stamp(facts.get("expires")),
        }
        for id, facts in sight.view.overrides().items()
    ]
    if sight.as_json:
        sight.give({"overrides": found})
    elif found:
        rows = [
            (
                o["id"],
                o["kind"],
                o["target"],
                o["by"],
                o["expires"],
                o["reversal"],
                excerpt(str(o["reason"]), WHAT_COLUMNS),
            )
            for o in found
        ]
        headings = ("ID", "KIND", "TARGET", "BY", "UNTIL", "THEN", "REASON")
        sight.say(table(headings, [_plain(row) for row in rows]))
    else:
        note("no override stands")
    return Exit.DONE


# --- orders -----------------------------------------------------------------------------------


def answer(
    settings: Settings,
    verb: Literal["approve", "deny"],
    id: str,
    reason: str,
    *,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> Exit:
    """Answers what waits. Refused with the rule where it waits no more, or where the law says no
    in spite of leave.
    """

    def order(view: View) -> dict[str, Any]:
        if id not in view.approvals():
            raise NotFoundError(f"{id} does not wait for leave", hint="swarmd approvals")
        return {"verb": verb, "target": id}

    return _ordered(settings, order, reason, wait=wait, timeout=timeout, as_json=as_json)


def override(
    settings: Settings, asked: Asked, *, wait: bool, timeout: float | None, as_json: bool
) -> Exit:
    def order(view: View) -> dict[str, Any]:
        wished = _overruling(view, asked)
        return {"verb": "override", "target": wished["target"], "override": wished}

    return _ordered(settings, order, asked.reason, wait=wait, timeout=timeout, as_json=as_json)


def _ordered(
    settings: Settings,
    order: Callable[[View], dict[str, Any]],
    reason: str,
    *,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> Exit:
    target = connection.living(settings)
    with (
        connection.attended(settings, target, JOURNAL, timeout=timeout, as_json=as_json) as (
            sight,
            bell,
        ),
        remote.posting(settings, target) as post,
    ):
        wished, id, after = order(sight.view), order_client.new_id("o"), sight.view.last_id(JOURNAL)
        message = Message(
            sender=OPERATOR,
            kind=Kind.ORDER,
            at=order_client.at_now(),
            to=wished["target"],
            text=reason,
            data={"order": id, "reason": reason} | wished,
        )
        post(ORDERS, message, id)
        value: dict[str, Any] = {"order": id, "outcome": "ordered"}
        if wait:
            data = order_client.await_order(
                sight.view, order_client.Waiting.of(bell, timeout), id, after
            )
            value = {"order": id} | {
                name: data[name]
                for name in ("outcome", "approval", "override", "expires", "how")
                if name in data
            }
        _tell(sight, value)
    return Exit.DONE


def _tell(sight: Sight, value: Mapping[str, Any]) -> None:
    if sight.as_json:
        sight.give(value)
        return
    print(plain(str(value.get("override") or value.get("approval") or value["order"])))
    if value["outcome"] == "ordered":
        note("ordered; what comes of it is told in the journal: swarmd tail journal")


# --- what an override is about ----------------------------------------------------------------


def _overruling(view: View, asked: Asked) -> dict[str, Any]:
    """The order's `override`. Raises `UsageError` or `NotFoundError` for what cannot be meant."""
    reason = asked.reason or "by the operator"
    if asked.reverse:
        return {"kind": "reverse", "target": asked.reverse, "reason": reason}
    if asked.kind not in _KINDS or not asked.target:
        raise UsageError(
            "override what?", hint=f"swarmd override KIND TARGET, where KIND is {', '.join(_KINDS)}"
        )
    wished = {"kind": asked.kind, "seconds": asked.seconds, "reason": reason}
    return wished | _ABOUT[asked.kind](view, asked)


def _grant(view: View, asked: Asked) -> dict[str, Any]:
    if not asked.what or asked.right not in ("use", "grant", "both"):
        raise UsageError(
            "which right?", hint="swarmd override grant AGENT tool/file/write --right use --for 600"
        )
    right = {"privilege": asked.what, "right": asked.right, "take": asked.is_taken}
    return {"target": _agent(view, asked.target)} | right


def _task(view: View, asked: Asked) -> dict[str, Any]:
    if not asked.what.strip():
        raise UsageError("what is the task?", hint='swarmd override task AGENT "…" --for 600')
    return {"target": _agent(view, asked.target), "text": asked.what}


def _spawn(view: View, asked: Asked) -> dict[str, Any]:
    if asked.is_undone:
        return {"target": _agent(view, asked.target), "take": True}
    id, data = _refusal(view, asked.target)
    # The journal names the request; what it says stands where it was made.
    flat = view.entry(REQUESTS, StreamId(str(data.get("request"))))
    if flat is None:
        raise NotFoundError(
            f"the request that {id} refused is not kept any more", hint="have it asked again"
        )
    request = _object(flat.get("data", ""))
    taint = request.pop("taint", [])
    refused = {
        "requester": flat["from"],
        "request": request,
        "rule": data.get("rule", ""),
        "taint": taint,
    }
    return {"target": id, "refused": refused}


def _refusal(view: View, reference: str) -> tuple[str, Mapping[str, Any]]:
    """The refused spawn of this entry of the journal, or the last one under this key."""
    for id, flat in reversed(view.last_entries(JOURNAL, _REFUSALS_READ)):
        data = _object(flat.get("data", ""))
        is_refusal = (
            data.get("event") == JournalEvent.REQUEST_REFUSED and data.get("type") == "spawn"
        )
        if is_refusal and data.get("request") and reference in (id, data.get("key")):
            return id, data
    raise NotFoundError(
        f"no refused spawn {reference!r} in the journal",
        hint="swarmd tail journal --json | grep refused",
    )


def _message(view: View, asked: Asked) -> dict[str, Any]:
    channel = channel_named(view, asked.target)
    flat = (
        view.entry(Channel(channel), StreamId(asked.what)) if asked.what[:1].isdecimal() else None
    )
    if flat is None:
        raise NotFoundError(
            f"no message {asked.what!r} on {channel}", hint=f"swarmd tail {channel}"
        )
    original = {
        "channel": channel,
        "id": asked.what,
        "sender": flat.get("from", ""),
        "kind": flat.get("kind", ""),
        "to": flat.get("to", ""),
        "mission": flat.get("mission", ""),
        "text": flat.get("text", ""),
        "data": _object(flat.get("data", "")),
        "incarnation": int(flat.get("inc") or 0),
        "hops": int(flat.get("hops") or 0),
        "at": flat.get("at", ""),
    }
    return {"target": f"{channel} {asked.what}", "text": asked.text, "original": original}


def _motion(view: View, asked: Asked) -> dict[str, Any]:
    found = named(view, asked.target)
    if not found.is_mission:
        raise UsageError(f"{found.id} is an agent", hint="swarmd override motion MISSION [--veto]")
    return {"target": found.id, "take": asked.is_vetoed}


_ABOUT: Final[Mapping[str, Callable[[View, Asked], dict[str, Any]]]] = {
    "grant": _grant,
    "task": _task,
    "spawn": _spawn,
    "message": _message,
    "motion": _motion,
}


def _agent(view: View, reference: str) -> str:
    found = named(view, reference)
    if found.is_mission:
        raise UsageError(f"{found.id} is a mission, not an agent")
    return found.id


def _object(text: str) -> Any:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
