"""One process's store: both ports over one session, and what is asked when a process starts.

In the unit tests the same code runs over fakeredis with Lua: there is no second implementation of
the law.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from swarmd.adapters.redis.session import Session
from swarmd.adapters.redis.supervisor_store import RedisSupervisorStore
from swarmd.adapters.redis.worker_store import RedisWorkerStore
from swarmd.core.model.names import HostId

if TYPE_CHECKING:
    from swarmd.adapters.redis.connection.connection import Dial


class RedisStore(RedisWorkerStore, RedisSupervisorStore):
    """`pipe.run()` must be running in a task group of the caller."""

    def __init__(
        self,
        way: Dial,
        namespace: str,
        secret: bytes,
        *,
        patience: float = 3_600.0,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(Session(way, namespace, secret, patience=patience, now=now, steady=steady))

    async def check_schema(self, *, makes: bool = True) -> bool:
        """Refuse a namespace of another schema, or whose messages another secret seals. An empty
        one is stamped, or where `makes` is false left as it is: then the answer is false, and there
        is no swarm to work in yet. (A worker's user may not stamp.)
        """
        return await self.session.stamp.check(makes=makes)

    async def identity(self, candidate: str) -> str:
        """The swarm's own id, given to its server once."""
        await self.pipe.execute("HSETNX", self.keys.meta, "swarm", candidate)
        found = str(await self.pipe.execute("HGET", self.keys.meta, "swarm"))
        self.session.stamp.fields["swarm"] = found
        return found

    async def declare(self, digest: str, *, is_supervisor: bool) -> bool:
        """The supervisor's declarations are the swarm's; false where a worker's are others."""
        if is_supervisor:
            await self.pipe.execute("HSET", self.keys.meta, "declared", digest)
            self.session.stamp.fields["declared"] = digest
            return True
        return await self.pipe.execute("HGET", self.keys.meta, "declared") in (None, digest)

    async def forget_leases(self) -> None:
        """Of a server that this process has just started: whoever held a lease was connected to the
        last one, and is gone. Without this a restart waits out leases that nobody can renew."""
        hosts = [HostId(id) for id in await self.pipe.execute("SMEMBERS", self.keys.hosts)]
        await self.pipe.execute(
            "DEL", self.keys.leader, self.keys.hosts, *map(self.keys.host, hosts)
        )
