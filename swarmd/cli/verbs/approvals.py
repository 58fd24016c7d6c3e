"""The verbs of permission: approvals, approve, deny. They read, write one order, and tell what
came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import Ordered
from swarmd.cli.render.columns import Column, table_lines
from swarmd.cli.render.text import excerpt, plain
from swarmd.cli.session import Sight, note
from swarmd.core.actions.approvals import WORD
from swarmd.core.model.channels import JOURNAL, ORDERS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, Authority
from swarmd.errors import NotFoundError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

WHAT_COLUMNS: Final = 60


# --- lists ------------------------------------------------------------------------------------


def approvals(sight: Sight) -> Exit:
    found = [_approval_value(id, facts) for id, facts in sight.reader.approvals().items()]
    if sight.as_json:
        sight.give({"approvals": found})
    elif found:
        sight.say(table_lines(_columns(found), sight.ink))
    else:
        note("nothing waits for permission")
    return Exit.DONE


def _columns(found: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [
        Column("ID", texts_of(found, "id")),
        Column("NEEDS", texts_of(found, "needs")),
        Column("ASKS", texts_of(found, "requester")),
        Column("RULE", texts_of(found, "rule"), rank=2),
        Column("UNTIL", texts_of(found, "expires"), rank=1),
        Column("WHAT", [excerpt(one["what"], WHAT_COLUMNS) for one in found], least=20),
    ]


def texts_of(found: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """One column's texts, of records as `--json` gives them."""
    return [plain(str(one[name])) for one in found]


def _approval_value(id: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    action = facts.get("action") or {}
    return {
        "id": id,
        "needs": authority_word(facts.get("needs")),
        "rule": facts.get("rule", ""),
        "requester": action.get("requester", ""),
        "mission": action.get("mission", ""),
        "what": _what(action.get("request") or {}, facts.get("facts") or {}),
        "at": stamped(facts.get("at")),
        "expires": stamped(facts.get("expires")),
        "digest": facts.get("digest", ""),
        "action": action,
    }


def _what(request: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """One line for a person, the requester's words last."""
    match request.get("type"):
        case "spawn":
            charter = request.get("charter") or {}
            return f"create {charter.get('role')} {charter.get('name')}: {charter.get('task')}"
        case "motion":
            return (
                f"motion {request.get('number')}: "
                f"{json.dumps(request.get('motion'), ensure_ascii=False)}"
            )
        case "hand_in":
            return f"{facts.get('why')}: {request.get('result')}"
        case _:
            wished = request.get("act") or {}
            return " ".join(
                str(wished[name])
                for name in ("verb", "target", "privilege", "amounts", "reason")
                if wished.get(name)
            )


def authority_word(authority: object) -> str:
    return (
        WORD[Authority(authority)] if isinstance(authority, int) and authority in (1, 2, 3) else ""
    )


def stamped(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# --- orders -----------------------------------------------------------------------------------


def answer(settings: Settings, asked: Ordered, verb: str, id: str) -> Exit:
    """Answers what waits. Refused with the rule where it waits no more, or where the law says no
    in spite of permission.
    """

    def order(reader: Reader) -> dict[str, Any]:
        if id not in reader.approvals():
            raise NotFoundError(f"{id} does not wait for permission", hint="swarmd approvals")
        return {"verb": verb, "target": id}

    return give_order(settings, asked, order)


def give_order(
    settings: Settings, asked: Ordered, order: Callable[[Reader], dict[str, Any]]
) -> Exit:
    """One order, as it is said of what the swarm is found to be; tells what came of it."""
    target, timeout = connection.living(settings), asked.seconds()
    with (
        connection.attended(settings, target, JOURNAL, timeout=timeout, as_json=asked.as_json) as (
            sight,
            bell,
        ),
        connection.posting(settings, target) as post,
    ):
        wished, id = order(sight.reader), order_client.new_id("o")
        after = sight.reader.last_id(JOURNAL)
        post(ORDERS, _message(wished, id, asked.reason), id)
        value: dict[str, Any] = {"order": id, "outcome": "ordered"}
        if asked.wait:
            waiting = order_client.Waiting.of(bell, timeout)
            value = _value_of(order_client.await_order(sight.reader, waiting, id, after), id)
        _tell(sight, value)
    return Exit.DONE


_TOLD: Final = ("outcome", "approval", "override", "expires", "how")


def _value_of(answer: Mapping[str, Any], id: str) -> dict[str, Any]:
    return {"order": id} | {name: answer[name] for name in _TOLD if name in answer}


def _message(wished: Mapping[str, Any], id: str, reason: str) -> Message:
    return Message(
        sender=OPERATOR,
        kind=Kind.ORDER,
        at=order_client.at_now(),
        to=wished["target"],
        text=reason,
        data={"order": id, "reason": reason, **wished},
    )


def _tell(sight: Sight, value: Mapping[str, Any]) -> None:
    if sight.as_json:
        sight.give(value)
        return
    print(plain(str(value.get("override") or value.get("approval") or value["order"])))
    if value["outcome"] == "ordered":
        note("ordered; what comes of it is told in the journal: swarmd tail journal")
