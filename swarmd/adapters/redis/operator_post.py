"""Posting from outside, on a blocking connection: for verbs that start fast and leave."""

from __future__ import annotations

import secrets
import time
from typing import Final

from swarmd.adapters.redis.connection.errors import is_refused_for_good, refused
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.adapters.redis.founding import demand_secret
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.core.bus.envelope import OPERATOR_ISSUER, Seal, Sealer, Serials
from swarmd.core.model.channels import ORDERS
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel, StreamId
from swarmd.errors import StoreUnconfirmedError, StoreUnsuitableError

ONCE_SECONDS = 3_600
CONFIRM_MS: Final = 1_000
"""How long a replica may take. One that keeps up answers in a round trip; a third of what a
lease is renewed after.
"""


def operator_sealer(wire: Wire, keys: Keys, secret: bytes) -> Sealer:
    """The sealer of one command. Raises `StoreUnsuitableError` where the swarm is sealed with
    another secret, or has another schema.
    """
    seal = Seal(secret, keys.namespace)
    demand_secret(wire, keys, seal)
    return Sealer(seal, OPERATOR_ISSUER + secrets.token_hex(8), Serials(), time.time)


def post_sync(
    wire: Wire, keys: Keys, sealer: Sealer, channel: Channel, message: Message, *, key: str = ""
) -> StreamId:
    """Append, mark and ring, in one script; with a `key` once an hour. Raises `SwarmError`.

    An order is acknowledged only when a replica has it too, where there is one.
    """
    stream = keys.channel(channel)
    once = keys.once(key) if key else stream
    sealed = sealer(channel, message)
    args: list[str | int] = [channel, *sealed, ONCE_SECONDS]
    reply = wire.command(
        "EVAL", script("post").text, 4, stream, keys.heads, keys.posts, once, *args
    )
    if isinstance(reply, ErrorReply):
        raise refused(reply)
    if not isinstance(reply, bytes):
        raise StoreUnsuitableError(
            f"{wire.address}: what answers there gives no answer to a post",
            hint="does REDIS_URL name a Redis or Valkey server?",
        )
    if channel == ORDERS:
        confirm_sync(wire)
    return StreamId(reply.decode())


def confirm_sync(wire: Wire) -> None:
    """What was just written on this connection is on a replica, where the server has one.

    Raises `StoreUnconfirmedError` where none says so in time: it is written, and may be lost by a
    fail-over. That the server has none at the moment is no answer where those who watch it see one:
    it has just been given another primary's place, and this server does not know yet.
    """
    match wire.command("ROLE"):
        case [b"master", _, list(replicas)] if replicas or wire.address.replicas:
            count = wire.command("WAIT", 1, CONFIRM_MS)
            if isinstance(count, ErrorReply) and is_refused_for_good(count):
                # A server that others run may not let itself be asked: what it stored is all that
                # is known.
                return
            if not isinstance(count, int) or count < 1:
                raise StoreUnconfirmedError(
                    "it is stored, and no replica has confirmed that within "
                    f"{CONFIRM_MS / 1000:.0f} s: "
                    "a fail-over now may lose it",
                    hint="look what came of it before you repeat it: `swarmd tail journal`",
                )
        case [b"slave", *_]:
            raise StoreUnconfirmedError(
                "it was stored on a server that is a replica now: it is lost", hint="repeat it"
            )
        case _:
            pass
