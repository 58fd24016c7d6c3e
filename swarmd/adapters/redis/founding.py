"""Whose secret a swarm's messages are sealed with: what `_meta` says, and where that is gone, what
the messages show that are kept.

The first supervisor of an empty swarm writes the fingerprint of its secret there. Nobody else may:
a process that holds another secret would lock out all that hold the right one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.adapters.redis.connection.errors import refused
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Reply, Wire
from swarmd.adapters.redis.keys import Keys
from swarmd.core.bus.envelope import Seal, has_seal
from swarmd.core.model.channels import BOARD_ROOM, DEAD, ORDERS, REQUESTS, RESULTS, up
from swarmd.core.model.messages import Kind, line_of
from swarmd.core.model.names import SOB, Channel, StreamId
from swarmd.core.model.versions import SCHEMA, SCHEMA_READS, is_read
from swarmd.errors import AnotherSchemaError, StoreUnsuitableError, WrongKeyError

SEAL_LOST: Final = "lost"
"""Stands in the place of a fingerprint that is gone and that nobody could show."""

WITNESSES: Final = (RESULTS, BOARD_ROOM, DEAD, up(SOB), REQUESTS, ORDERS)
"""Streams that the whole swarm has, and that are kept for a while after they were read."""
# Of each the last so many: a hand that writes one forged entry must not be all that is seen.
WITNESSES_MAX: Final = 50


@dataclass(slots=True)
class Stamp:
    """What `_meta` says of the swarm as a whole: read by every process, written by a supervisor."""

    keys: Keys
    seal: Seal
    ask: Callable[..., Awaitable[Any]]  # one command
    entries: Callable[..., Awaitable[Sequence[Any]]]  # as `ask`, of a stream
    fields: dict[str, str] = field(default_factory=dict)  # as this process wrote or found them
    _run: str = ""  # which process the server was when that was last seen to

    async def check(self, *, makes: bool) -> bool:
        """As `RedisStore.check_schema`."""
        found, said = await self.schema(), await self._said()
        if makes and (found is None or said in (None, SEAL_LOST)):
            await self._make(found, said)
            found, said = await self.schema(), await self._said()
        if said not in (self.seal.fingerprint, None, SEAL_LOST):
            raise another_secret(self.keys.namespace)
        if makes and found is not None:
            self.fields |= {"schema": found, "seal": self.seal.fingerprint}
        return None not in (found, said) and said != SEAL_LOST

    async def _make(self, found: str | None, said: str | None) -> None:
        # Who took the seal away and left the rest changes the secret (docs/contract.md).
        if not (found and said is None) and await self._is_ours() is False:
            raise another_secret(self.keys.namespace)
        self.fields |= {"schema": found or SCHEMA, "seal": self.seal.fingerprint}
        await self._write()

    async def schema(self) -> str | None:
        """What the namespace is stamped with. Raises `StoreUnsuitableError` where that is
        another than is read here.
        """
        found: str | None = await self.ask("HGET", self.keys.meta, "schema")
        if found is not None and not is_read(found, SCHEMA_READS):
            raise another_schema(self.keys.namespace, found)
        return found

    async def keep(self, run: str) -> None:
        """A server that is another process than the one that was stamped may have lost its last
        second, and `_meta` may have been written over. Nobody else writes the stamp again, and
        workers wait for it before they begin.
        """
        if self.fields and (run != self._run or await self._said() in (None, SEAL_LOST)):
            await self._write()
            self._run = run

    async def _write(self) -> None:
        if await self._said() == SEAL_LOST:
            await self.ask("HDEL", self.keys.meta, "seal")
        for name, value in self.fields.items():
            await self.ask("HSETNX", self.keys.meta, name, value)

    async def _said(self) -> str | None:
        found: str | None = await self.ask("HGET", self.keys.meta, "seal")
        return found

    async def _is_ours(self) -> bool | None:
        found = []
        for channel in WITNESSES:
            entries = await self.entries(*_latest_of(self.keys, channel))
            found += [(channel, StreamId(id), line_of(_listed(flat))) for id, flat in entries]
        return is_sealed_with(self.seal, found)


def _latest_of(keys: Keys, channel: Channel) -> tuple[str, ...]:
    """The command that asks a stream for its last entries."""
    return "XREVRANGE", keys.channel(channel), "+", "-", "COUNT", str(WITNESSES_MAX)


def _listed(flat: Sequence[str] | Mapping[str, str]) -> list[str]:
    if isinstance(flat, Mapping):
        return [word for pair in flat.items() for word in pair]
    return list(flat)


def is_sealed_with(seal: Seal, kept: Iterable[tuple[Channel, StreamId, str]]) -> bool | None:
    """Is one of these entries sealed with this secret? `None` where none is sealed at all."""
    found: bool | None = None
    for channel, id, line in kept:
        if not has_seal(line):
            continue
        if seal.open_entry(channel, id, line).kind is not Kind.UNREADABLE:
            return True
        found = False
    return found


def demand_secret(wire: Wire, keys: Keys, seal: Seal) -> bool:
    """Raises `StoreUnsuitableError` where the swarm is sealed with another secret, or has another
    schema. False where nothing tells which secret it is.
    """
    found = wire.command("HMGET", keys.meta, "seal", "schema")
    if isinstance(found, ErrorReply):
        raise refused(found)
    assert isinstance(found, list)
    sealed, schema = (
        word.decode("ascii", "replace") if isinstance(word, bytes) else None for word in found
    )
    if schema is not None and not is_read(schema, SCHEMA_READS):
        raise another_schema(keys.namespace, schema)
    if sealed is not None and sealed != SEAL_LOST:
        if sealed != seal.fingerprint:
            raise another_secret(keys.namespace)
        return True
    return demand_by_messages(wire, keys, seal)


def demand_by_messages(wire: Wire, keys: Keys, seal: Seal) -> bool:
    """As `demand_secret`, whatever `_meta` says."""
    replies = [(channel, wire.command(*_latest_of(keys, channel))) for channel in WITNESSES]
    is_ours = is_sealed_with(seal, _entries(replies))
    if is_ours is False:
        raise another_secret(keys.namespace)
    return is_ours is True


def _entries(
    replies: Iterable[tuple[Channel, Reply]],
) -> Iterable[tuple[Channel, StreamId, str]]:
    for channel, reply in replies:
        if isinstance(reply, ErrorReply):
            error = refused(reply)
            if not isinstance(error, WrongKeyError):
                raise error
            continue
        entries: Any = reply
        for id, flat in entries:
            words = [word.decode("utf-8", "replace") for word in flat]
            yield channel, StreamId(id.decode()), line_of(words)


def another_secret(namespace: str) -> StoreUnsuitableError:
    return StoreUnsuitableError(
        f"the messages of the swarm {namespace} are sealed with another secret than this process "
        "has",
        hint="give it that swarm's: the file `secret` of its data folder, named in "
        "SWARMD_SECRET_FILE; or use another SWARMD_NAMESPACE",
    )


def another_schema(namespace: str, found: str) -> AnotherSchemaError:
    return AnotherSchemaError(
        f"the swarm {namespace!r} has schema {found}, this swarmd speaks {SCHEMA}",
        hint="use the swarmd that made it, or begin anew: another SWARMD_NAMESPACE on this server, "
        "or another data folder (SWARMD_DATA); what has another schema is not converted",
    )
