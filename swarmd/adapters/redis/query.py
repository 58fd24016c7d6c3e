"""What is asked of the store, apart from the asking: a query is a generator that yields commands,
is sent their replies, and returns the answer.

`reader` runs them over a connection that blocks and over one that does not, so that both give the
same answers. Invariant: no query writes.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from swarmd.adapters.redis.connection.errors import is_refused_for_good, refused
from swarmd.adapters.redis.connection.sync_client import ErrorReply

if TYPE_CHECKING:
    from swarmd.ports.reader import Facts

T = TypeVar("T")

Commands: TypeAlias = Sequence[Sequence[str | bytes]]
Query: TypeAlias = Generator[Commands, list[Any], T]
"""Yields commands, is sent their replies as the protocol has them, and returns the answer."""

BATCH: Final = 500  # commands in one pipeline: bounds what the server holds for us at once


def asked(*commands: Sequence[str]) -> Query[list[Any]]:
    """The answers, as text, in the order of the commands; an error among them is raised."""
    answers = yield from replies_to(commands)
    for answer in answers:
        if isinstance(answer, ErrorReply):
            raise refused(answer)
    return [text_in(answer) for answer in answers]


def asked_if_allowed(*commands: Sequence[str]) -> Query[tuple[list[Any], frozenset[int]]]:
    """As `asked`, and the places of what this user of the server may not ask; the answer there is
    `None`, as it is where a key holds something else than ours.
    """
    replies = yield from replies_to(commands)
    answers = [None if is_of_another_type(reply) else reply for reply in replies]
    unasked = frozenset(at for at, answer in enumerate(answers) if _is_forbidden(answer))
    for at, answer in enumerate(answers):
        if isinstance(answer, ErrorReply) and at not in unasked:
            raise refused(answer)
    return [
        None if at in unasked else text_in(answer) for at, answer in enumerate(answers)
    ], unasked


def replies_to(commands: Sequence[Sequence[str]]) -> Query[list[Any]]:
    replies: list[Any] = []
    for start in range(0, len(commands), BATCH):
        replies += yield commands[start : start + BATCH]
    return replies


def is_of_another_type(reply: Any) -> bool:
    return isinstance(reply, ErrorReply) and reply.startswith("WRONGTYPE")


def _is_forbidden(reply: Any) -> bool:
    return isinstance(reply, ErrorReply) and is_refused_for_good(reply)


def text_in(reply: Any) -> Any:
    """Bytes that are no UTF-8, which any submitter may send, stay visible and break nothing."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    if isinstance(reply, list):
        return [text_in(part) for part in reply]
    return reply


def hash_of(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def facts_in(text: str) -> Facts:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
