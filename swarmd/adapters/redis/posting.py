"""Posting from outside, on a blocking connection: for verbs that start fast and leave."""

from __future__ import annotations

from swarmd.adapters.redis.connect import ErrorReply, Wire, refused
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.core.messages import Message
from swarmd.core.names import Channel, StreamId

ONCE_SECONDS = 3_600


def post_sync(wire: Wire, keys: Keys, channel: Channel, message: Message, *, key: str = "") -> StreamId:
    """Append, mark and ring, in one script; with a `key` once an hour. Raises `SwarmError`."""
    stream = keys.channel(channel)
    once = keys.once(key) if key else stream
    args: list[str | int] = [channel, message.ring_body(channel), ONCE_SECONDS, *message.fields()]
    reply = wire.command("EVAL", script("post").text, 4, stream, keys.heads, keys.posts, once, *args)
    if isinstance(reply, ErrorReply):
        raise refused(reply)
    assert isinstance(reply, bytes)
    return StreamId(reply.decode())
