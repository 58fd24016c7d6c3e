"""Posting from outside, on a blocking connection: for verbs that start fast and leave."""

from __future__ import annotations

import secrets
import time

from swarmd.adapters.redis.connect import ErrorReply, Wire, refused
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.core.envelope import OPERATOR_ISSUER, Seal, Sealer, Serials
from swarmd.core.messages import Message
from swarmd.core.names import Channel, StreamId
from swarmd.errors import StoreUnsuitableError

ONCE_SECONDS = 3_600


def operator_sealer(wire: Wire, keys: Keys, secret: bytes) -> Sealer:
    """The sealer of one command. Raises `StoreUnsuitableError` where the swarm is sealed with another secret."""
    seal = Seal(secret, keys.namespace)
    found = wire.command("HGET", keys.meta, "seal")
    if isinstance(found, ErrorReply):
        raise refused(found)
    if isinstance(found, bytes) and found.decode("ascii", "replace") != seal.fingerprint:
        raise another_secret(keys.namespace)
    return Sealer(seal, OPERATOR_ISSUER + secrets.token_hex(8), Serials(), time.time)


def another_secret(namespace: str) -> StoreUnsuitableError:
    return StoreUnsuitableError(
        f"the messages of the swarm {namespace} are sealed with another secret than this process has",
        hint="give it that swarm's: the file `secret` of its data folder, named in SWARMD_SECRET_FILE; "
        "or use another SWARMD_NAMESPACE",
    )


def post_sync(
    wire: Wire, keys: Keys, sealer: Sealer, channel: Channel, message: Message, *, key: str = ""
) -> StreamId:
    """Append, mark and ring, in one script; with a `key` once an hour. Raises `SwarmError`."""
    stream = keys.channel(channel)
    once = keys.once(key) if key else stream
    sealed = sealer(channel, message)
    args: list[str | int] = [channel, sealed.ring, ONCE_SECONDS, *sealed.fields]
    reply = wire.command("EVAL", script("post").text, 4, stream, keys.heads, keys.posts, once, *args)
    if isinstance(reply, ErrorReply):
        raise refused(reply)
    assert isinstance(reply, bytes)
    return StreamId(reply.decode())
