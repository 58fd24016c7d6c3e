"""The verbs on dead letters: ls, show, retry, drop. What is said in a letter is somebody's
words, and is shown as such.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from swarmd.cli import order_client
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import Ordered
from swarmd.cli.render.columns import Column, table_lines
from swarmd.cli.render.text import excerpt, plain
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs import orders, remote
from swarmd.cli.verbs.approvals import texts_of
from swarmd.cli.verbs.targets import Meant, Wish
from swarmd.core.model.channels import DEAD
from swarmd.core.model.messages import Kind, Message, is_stream_id
from swarmd.core.model.names import FIRST
from swarmd.errors import NotFoundError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

_WORDS_COLUMNS: Final = 48


def ls(sight: Sight) -> Exit:
    found = [_value(letter) for letter in _letters(sight.reader)]
    if sight.as_json:
        sight.give({"letters": found})
    elif found:
        sight.say(table_lines(_columns(found), sight.ink))
    else:
        note("there are no dead letters")
    return Exit.DONE


def _columns(found: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [
        Column("ID", texts_of(found, "id")),
        Column("READER", texts_of(found, "reader")),
        Column("TRIES", texts_of(found, "tries"), rank=2),
        Column("CHANNEL", texts_of(found, "channel"), rank=4),
        Column("FROM", [plain(one["message"]["from"]) for one in found], rank=3),
        Column("AT", texts_of(found, "at"), rank=1),
        Column("LAST ERROR", [excerpt(one["why"], _WORDS_COLUMNS) for one in found], least=16),
    ]


def show(sight: Sight, id: str) -> Exit:
    value = _value(_letter(sight.reader, id))
    if sight.as_json:
        sight.give(value)
    else:
        sight.say(list(_letter_lines(value)))
    return Exit.DONE


def _letter_lines(value: Mapping[str, Any]) -> Iterator[str]:
    message: Mapping[str, Any] = value["message"]
    for name in ("id", "reader", "tries", "at", "why", "channel"):
        yield f"{name}: {plain(str(value[name]))}"
    for name in ("id", "from", "kind", "mission", "at"):
        yield f"{name}: {plain(str(message[name]))}"
    if message["data"]:
        yield f"data: {plain(json.dumps(message['data'], ensure_ascii=False))}"
    yield ""
    yield from (plain(line) for line in str(message["text"]).splitlines())


def order(settings: Settings, asked: Ordered, verb: str, id: str) -> Exit:
    """Retries or drops a letter; done when the supervisor has written it."""
    return remote.ordered(settings, _give, Wish(verb, id, asked.reason), asked)


def _give(
    sight: Sight,
    post: order_client.Post,
    waiting: order_client.Waiting,
    wish: Wish,
    /,
    *,
    is_awaited: bool,
) -> Exit:
    letter = _letter(sight.reader, wish.reference)
    found = Meant(letter.id, "target")
    order_id, data = orders.give(sight, post, waiting, wish, found, is_awaited=is_awaited)
    if sight.as_json:
        sight.give(
            {
                "order": order_id,
                "verb": wish.verb,
                "letter": letter.id,
                "outcome": "ordered" if data is None else "done",
                "reader": str(letter.data.get("reader")),
            }
        )
    else:
        print(plain(f"{letter.id}: {'ordered' if data is None else _DONE[wish.verb]}"))
    return Exit.DONE


_DONE: Final = {"retry": "handed out again", "drop": "dropped"}


def _letters(reader: Reader) -> Iterator[Message]:
    after = FIRST
    while (page := reader.page(DEAD, after)).entries:
        after = page.reached
        read = (entry.message for entry in page.entries)
        yield from (letter for letter in read if letter is not None and _is_letter(letter))


def _letter(reader: Reader, id: str) -> Message:
    entry = reader.entry(DEAD, id) if is_stream_id(id) else None
    found = None if entry is None else entry.message
    if found is None or not _is_letter(found):
        raise NotFoundError(f"there is no dead letter {id}", hint="swarmd dead ls")
    return found


def _is_letter(message: Message) -> bool:
    return message.kind is Kind.DEAD and isinstance(message.data.get("original"), dict)


def _value(letter: Message) -> dict[str, Any]:
    return {
        "id": letter.id,
        "reader": str(letter.data.get("reader", "")),
        "tries": int(letter.data.get("tries") or 0),
        "at": letter.at,
        "why": letter.text,
        "mission": letter.mission,
        "channel": str(letter.data["original"].get("channel", "")),
        "message": _message_value(letter.data["original"]),
    }


def _message_value(original: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: str(original.get(name, "")) for name in ("to", "kind", "mission", "at", "text")}
    return {
        "id": str(original.get("id", "")),
        "from": str(original.get("sender", "")),
        **texts,
        "data": original.get("data") or {},
    }
