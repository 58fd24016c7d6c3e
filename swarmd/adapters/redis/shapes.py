"""The shape that a server's answer has, by its command: what answers with another one is no server
to work with.

Checked where answers come in, so that whoever reads them need not ask what else they might be. An
error is an answer to every command, and is not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply

_ENTRY_ID: Final = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}")


def fits(command: str, reply: Reply) -> bool:
    """Whether the reply is one of that command's. Of a command that is not known here, every one
    is.
    """
    shape = _SHAPES.get(command.upper())
    return shape is None or isinstance(reply, ErrorReply) or shape(reply)


def _text(reply: Reply) -> bool:
    return isinstance(reply, bytes)


def _text_or_none(reply: Reply) -> bool:
    return reply is None or isinstance(reply, bytes)


def _number(reply: Reply) -> bool:
    return isinstance(reply, int)


def _status(reply: Reply) -> bool:
    return isinstance(reply, str)


def _texts(reply: Reply) -> bool:
    return isinstance(reply, list) and all(map(_text, reply))


def _texts_or_none(reply: Reply) -> bool:
    return isinstance(reply, list) and all(map(_text_or_none, reply))


def _pairs(reply: Reply) -> bool:
    return isinstance(reply, list) and len(reply) % 2 == 0 and all(map(_text, reply))


def _entries(reply: Reply) -> bool:
    return isinstance(reply, list) and all(map(_entry, reply))


def _entry(reply: Reply) -> bool:
    match reply:
        case [bytes(id), list(fields)]:
            return _ENTRY_ID.fullmatch(id) is not None and _pairs(fields)
        case _:
            return False


def _counted(reply: Reply) -> bool:
    """Of PUBSUB NUMSUB: a name and a number, and so on."""
    return isinstance(reply, list) and len(reply) % 2 == 0 and all(map(_number, reply[1::2]))


def _cursor(reply: Reply) -> bool:
    match reply:
        case [bytes(cursor), list(keys)]:
            return cursor.isdigit() and _texts(keys)
        case _:
            return False


def _array(reply: Reply) -> bool:
    return isinstance(reply, list)


_SHAPES: Final[Mapping[str, Callable[[Reply], bool]]] = {
    "ECHO": _text,
    "INFO": _text,
    "GET": _text_or_none,
    "HGET": _text_or_none,
    "ZSCORE": _text_or_none,
    "XADD": _text,
    "HMGET": _texts_or_none,
    "HGETALL": _pairs,
    "HKEYS": _texts,
    "SMEMBERS": _texts,
    "ZRANGE": _texts,
    "XRANGE": _entries,
    "XREVRANGE": _entries,
    "SCAN": _cursor,
    "PUBSUB": _counted,
    "TYPE": _status,
    "MULTI": _status,
    "EXEC": _array,
    **dict.fromkeys(
        ("EXISTS", "HEXISTS", "SCARD", "SISMEMBER", "HLEN", "XLEN", "ZCARD", "TTL", "PTTL"), _number
    ),
}
