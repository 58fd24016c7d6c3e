"""What a view remembers: the moves, results and mail of this turn and of those before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from swarmd.core.model.messages import Kind, Message
from swarmd.ports.models import View


def items_in(entries: Iterable[Mapping[str, Any]], kind: str) -> Iterator[Mapping[str, Any]]:
    """All `moves`, `results` or `mail` of the turns remembered, as plain objects, oldest first."""
    for entry in entries:
        for item in entry.get(kind) or ():
            plain = item.model_dump() if hasattr(item, "model_dump") else item
            if isinstance(plain, Mapping):
                yield plain


def moves_of(view: View) -> Iterator[Mapping[str, Any]]:
    return items_in((*view.memory, *view.steps), "moves")


def results_of(view: View) -> list[Mapping[str, Any]]:
    return list(items_in((*view.memory, *view.steps), "results"))


def mail_of(view: View) -> Iterator[Mapping[str, Any]]:
    for item in items_in(view.memory, "mail"):
        yield {"from": "", "kind": "", "text": "", **item, "data": item.get("data") or {}}
    for message in view.mail:
        yield _as_plain(message)


def directions_now(view: View) -> list[str]:
    """What whoever is above says in the mail of this turn."""
    return [mail.text for mail in view.mail if mail.kind == Kind.DIRECTIVE]


def _as_plain(message: Message) -> dict[str, Any]:
    return {
        "from": message.sender,
        "kind": message.kind,
        "text": message.text,
        "data": message.data,
    }


def spawned_parts(view: View) -> dict[str, tuple[str, ...]]:
    """The parts that were given out: their keys, and the files of each."""
    asked = [move for move in moves_of(view) if move.get("move") == "spawn"]
    return {str(move["key"]): tuple(move["charter"].get("files") or ()) for move in asked}


def spawn_answers(view: View) -> dict[str, str]:
    """What became of spawns: by key, the rule that refused it, or nothing where it was granted."""
    answers = [mail["data"] for mail in mail_of(view) if mail["kind"] == Kind.ANSWER]
    # What waits for permission is not answered yet.
    answers = [data for data in answers if data.get("outcome") != "waiting"]
    return {str(data["key"]): str(data.get("rule") or "") for data in answers if "key" in data}


def final_reports(view: View) -> dict[str, str]:
    """The last final report of each child."""
    reports = [mail for mail in mail_of(view) if mail["kind"] == Kind.REPORT]
    return {mail["from"]: mail["text"] for mail in reports if mail["data"].get("done", True)}


def has_reported(view: View) -> bool:
    return any(
        move.get("move") == "report" and move.get("done") for move in items_in(view.memory, "moves")
    )


def is_asked(view: View) -> bool:
    return any(mail.kind in (Kind.CHARTER, Kind.DIRECTIVE) for mail in view.mail)


def waits_no_more(view: View) -> bool:
    """Whether it has reported, and nobody has asked for more since."""
    return has_reported(view) and not is_asked(view)
