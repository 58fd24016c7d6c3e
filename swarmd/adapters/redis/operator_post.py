"""Posting from outside, on a blocking connection: for verbs that start fast and leave."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from swarmd.adapters.redis.connection.address import Target
from swarmd.adapters.redis.connection.errors import is_refused_for_good, refused
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.adapters.redis.founding import demand_secret
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.reader import ask
from swarmd.core.bus.envelope import OPERATOR_ISSUER, Seal, Sealer, Serials
from swarmd.core.model.channels import MISSIONS, ORDERS
from swarmd.core.model.masking import Masking
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel, StreamId
from swarmd.errors import StoreUnavailableError, StoreUnconfirmedError, StoreUnsuitableError

T = TypeVar("T")

WRITE_SECONDS: Final = 5.0
"""How long a lost write is tried again: a connection that is cut, and not a server that is away."""
_WRITE_PAUSE_SECONDS: Final = 0.2
ONCE_SECONDS = 3_600
CONFIRM_MS: Final = 1_000
"""How long a replica may take. One that keeps up answers in a round trip; a third of what a
lease is renewed after.
"""


class RepeatedWrites:
    """A connection for what may be written twice and happens once: where the answer is lost it
    is written again.
    """

    def __init__(self, target: Target, keys: Keys) -> None:
        self._connect = partial(connect_sync, target, namespace=keys.namespace)
        self.wire = self._connect()

    def once(self, write: Callable[[Wire], T]) -> T:
        end = time.monotonic() + WRITE_SECONDS
        while True:
            try:
                return write(self.wire)
            except StoreUnconfirmedError:
                raise
            except StoreUnavailableError:
                if time.monotonic() >= end:
                    raise
            time.sleep(_WRITE_PAUSE_SECONDS)
            # Where there is no other connection yet, the old one says again what is wrong.
            with suppress(StoreUnavailableError):
                fresh = self._connect()
                self.wire.close()
                self.wire = fresh

    def close(self) -> None:
        self.wire.close()


class OperatorPosts:
    """Posts, sealed as one operator's command, without the secrets that somebody typed into it."""

    def __init__(self, target: Target, keys: Keys, secret: bytes, masking: Masking) -> None:
        """Raises `StoreUnsuitableError` where the secret is not the swarm's."""
        self._writes, self._keys, self._masking = RepeatedWrites(target, keys), keys, masking
        with ExitStack() as undo:
            undo.callback(self._writes.close)
            self._sealer = operator_sealer(self._writes.wire, keys, secret)
            undo.pop_all()

    def __call__(self, channel: Channel, message: Message, key: str) -> str:
        text, data = self._masking.text(message.text), self._masking.value(message.data)
        said = replace(message, text=text, data=data)
        return self._writes.once(
            lambda wire: post_sync(wire, self._keys, self._sealer, channel, said, key=key)
        )

    def close(self) -> None:
        self._writes.close()


def store_mission(target: Target, keys: Keys, fields: Mapping[str, str]) -> None:
    """Stores it at the entrance. Raises `StoreUnavailableError` where it is not known whether it
    was: repeated under its id, it is the same mission.
    """
    flat = [word for pair in fields.items() for word in pair]

    def add(wire: Wire) -> None:
        ask(wire, ["XADD", keys.channel(MISSIONS), "*", *flat])
        confirm_sync(wire)

    try:
        with closing(RepeatedWrites(target, keys)) as writes:
            writes.once(add)
    except StoreUnavailableError as error:
        raise StoreUnavailableError(
            error.what,
            hint=f"it is not known whether it was stored: repeat it with --id {fields['id']}",
        ) from error


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
        "EVAL", script("post").text, 5, stream, keys.heads, keys.posts, once, keys.ends, *args
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
