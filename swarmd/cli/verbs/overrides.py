"""The verbs on overrides: one decision replaced for a time, listed, or taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import Ordered
from swarmd.cli.render.columns import Column, table_lines
from swarmd.cli.render.text import excerpt
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs.approvals import (
    WHAT_COLUMNS,
    authority_word,
    give_order,
    stamped,
    texts_of,
)
from swarmd.cli.verbs.channels import channel_named
from swarmd.cli.verbs.inspect import named
from swarmd.cli.verbs.rights import RIGHTS
from swarmd.core.model.channels import JOURNAL, REQUESTS
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import Channel
from swarmd.errors import NotFoundError, UsageError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

# Of the journal, newest first, to find a refusal by its key; an older one is named by its entry's
# id.
_REFUSALS_READ: Final = 2_000


def ls(sight: Sight) -> Exit:
    found = [_value(id, facts) for id, facts in sight.reader.overrides().items()]
    if sight.as_json:
        sight.give({"overrides": found})
    elif found:
        sight.say(table_lines(_columns(found), sight.ink))
    else:
        note("no override stands")
    return Exit.DONE


def _value(id: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": id,
        **facts,
        "authority": authority_word(facts.get("authority")),
        "at": stamped(facts.get("at")),
        "expires": stamped(facts.get("expires")),
    }


def _columns(found: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [
        Column("ID", texts_of(found, "id")),
        Column("KIND", texts_of(found, "kind")),
        Column("TARGET", texts_of(found, "target")),
        Column("BY", texts_of(found, "by"), rank=3),
        Column("UNTIL", texts_of(found, "expires"), rank=1),
        Column("THEN", texts_of(found, "reversal"), rank=2, least=12),
        Column("REASON", [excerpt(str(one["reason"]), WHAT_COLUMNS) for one in found], least=12),
    ]


def order(
    settings: Settings,
    asked: Ordered,
    about: Callable[[Reader], dict[str, Any]],
    seconds: float | None = None,
) -> Exit:
    """Orders what `about` says of the swarm as it is found, for so long."""

    def wished(reader: Reader) -> dict[str, Any]:
        override = about(reader) | {"reason": asked.reason or "by the operator"}
        lasting = {} if seconds is None else {"seconds": seconds}
        return {"verb": "override", "target": override["target"], "override": override | lasting}

    return give_order(settings, asked, wished)


# --- what an override is about ----------------------------------------------------------------


def right_given(reader: Reader, agent: str, privilege: str, right: str) -> dict[str, Any]:
    return _right(reader, agent, privilege, right) | {"take": False}


def right_taken(reader: Reader, agent: str, privilege: str, right: str) -> dict[str, Any]:
    return _right(reader, agent, privilege, right) | {"take": True}


def _right(reader: Reader, agent: str, privilege: str, right: str) -> dict[str, Any]:
    if not privilege or right not in RIGHTS:
        raise UsageError(
            "which right?", hint="swarmd override grant AGENT tool/file/write --right use --for 600"
        )
    target = _agent(reader, agent)
    return {"kind": "grant", "target": target, "privilege": privilege, "right": right}


def task_replaced(reader: Reader, agent: str, task: str) -> dict[str, Any]:
    if not task.strip():
        raise UsageError("what is the task?", hint='swarmd override task AGENT "…" --for 600')
    return {"kind": "task", "target": _agent(reader, agent), "text": task}


def spawn_undone(reader: Reader, agent: str) -> dict[str, Any]:
    return {"kind": "spawn", "target": _agent(reader, agent), "take": True}


def spawn_allowed(reader: Reader, refusal: str) -> dict[str, Any]:
    id, data = _refusal(reader, refusal)
    # The journal names the request; what it says stands where it was made.
    asked = reader.entry(REQUESTS, str(data.get("request")))
    if asked is None:
        raise NotFoundError(
            f"the request that {id} refused is not kept any more", hint="have it asked again"
        )
    request = _object(asked.said.get("data", ""))
    taint = request.pop("taint", [])
    refused = {
        "requester": asked.said["from"],
        "request": request,
        "rule": data.get("rule", ""),
        "taint": taint,
    }
    return {"kind": "spawn", "target": id, "refused": refused}


def _refusal(reader: Reader, reference: str) -> tuple[str, Mapping[str, Any]]:
    """The refused spawn of this entry of the journal, or the last one under this key."""
    for entry in reversed(reader.last_entries(JOURNAL, _REFUSALS_READ)):
        id, data = entry.id, _object(entry.said.get("data", ""))
        is_refusal = (
            data.get("event") == JournalEvent.REQUEST_REFUSED and data.get("type") == "spawn"
        )
        if is_refusal and data.get("request") and reference in (id, data.get("key")):
            return id, data
    raise NotFoundError(
        f"no refused spawn {reference!r} in the journal",
        hint="swarmd tail journal --json | grep refused",
    )


def message_recalled(reader: Reader, channel: str, id: str, text: str) -> dict[str, Any]:
    place = channel_named(reader, channel)
    found = reader.entry(Channel(place), id) if id[:1].isdecimal() else None
    if found is None:
        raise NotFoundError(f"no message {id!r} on {place}", hint=f"swarmd tail {place}")
    original = {"channel": place, "id": id, **_as_it_was(found.said)}
    return {"kind": "message", "target": f"{place} {id}", "text": text, "original": original}


def _as_it_was(said: Mapping[str, str]) -> dict[str, Any]:
    texts = {name: said.get(name, "") for name in ("kind", "to", "mission", "text", "at")}
    return {
        "sender": said.get("from", ""),
        **texts,
        "data": _object(said.get("data", "")),
        "incarnation": int(said.get("inc") or 0),
        "hops": int(said.get("hops") or 0),
    }


def motion_decided(reader: Reader, mission: str, *, is_vetoed: bool) -> dict[str, Any]:
    found = named(reader, mission)
    if not found.is_mission:
        raise UsageError(f"{found.id} is an agent", hint="swarmd override carry MISSION")
    return {"kind": "motion", "target": found.id, "take": is_vetoed}


def reversal(reader: Reader, id: str) -> dict[str, Any]:
    """Whether it stands is the supervisor's to say."""
    return {"kind": "reverse", "target": id}


def _agent(reader: Reader, reference: str) -> str:
    found = named(reader, reference)
    if found.is_mission:
        raise UsageError(f"{found.id} is a mission, not an agent")
    return found.id


def _object(text: str) -> Any:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
