"""Reads of the records that workers and the supervisor both look at: agents, missions, accounts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import structlog

from swarmd.adapters.redis.codecs import agent_of, is_amount, mission_of
from swarmd.adapters.redis.session import Session, pairs_of
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import AgentId, MissionId
from swarmd.core.model.records import Mission
from swarmd.core.model.versions import NewerRecordError
from swarmd.errors import WrongKeyError
from swarmd.log_events import LogEvent

log = structlog.get_logger(__name__)


class RecordReads:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._keys = session.keys

    async def agents(self, ids: Sequence[AgentId]) -> list[Agent | None]:
        return [self._hosted(record) for record in await self.agent_records(ids)]

    async def agent_records(self, ids: Sequence[AgentId]) -> list[dict[str, str]]:
        try:
            replies = await self._session.pipe.execute_all(
                [("HGETALL", self._keys.agent(id)) for id in ids]
            )
        except WrongKeyError:
            # One of them is no record of ours: which, is found by asking for each.
            return [await self._session.hash_at(self._keys.agent(id)) for id in ids]
        return [pairs_of(reply) for reply in replies]

    def _hosted(self, record: Mapping[str, str]) -> Agent | None:
        """Whom a later release has made, and in a way that this one does not know, another host
        is to run.
        """
        try:
            return agent_of(record)
        except NewerRecordError as newer:
            if record["id"] not in self._session.unreadable:
                self._session.unreadable.add(record["id"])
                log.error(  # noqa: TRY400 - it is in the message
                    LogEvent.AGENT_NOT_OURS,
                    agent=record["id"],
                    why=newer.what,
                    hint=newer.hint,
                )
            return None

    async def agents_in_order(self, ids: Collection[str]) -> tuple[Agent, ...]:
        found = [
            agent for agent in await self.agents([AgentId(i) for i in ids]) if agent is not None
        ]
        return tuple(sorted(found, key=lambda agent: (agent.created, agent.id)))

    async def children(self, id: AgentId) -> tuple[Agent, ...]:
        return await self.agents_in_order(
            await self._session.pipe.execute("SMEMBERS", self._keys.children(id))
        )

    async def mission(self, id: MissionId) -> Mission | None:
        return mission_of(await self._session.hash_at(self._keys.mission(id)))

    async def free(self, account: str) -> dict[str, int]:
        return (await self.accounts([account], "free"))[account]

    async def accounts(self, ids: Collection[str], amount: str) -> dict[str, dict[str, int]]:
        names = amounts_named(amount)
        commands = [("HMGET", self._keys.ledger(id), *names) for id in ids]
        try:
            rows: list[Sequence[str | None]] = await self._session.pipe.execute_all(commands)
        except WrongKeyError:
            rows = [await self._row(command) for command in commands]
        return {id: self.amounts_of(id, row) for id, row in zip(ids, rows, strict=True)}

    async def _row(self, command: tuple[str, ...]) -> Sequence[str | None]:
        """Of a key that is no account, what is no number."""
        try:
            row: Sequence[str | None] = await self._session.pipe.execute(*command)
        except WrongKeyError:
            return ["?"] * (len(command) - 2)
        return row

    def amounts_of(self, id: str, values: Sequence[str | None]) -> dict[str, int]:
        """By kind; what is no number is left out and said, once however often it is read so:
        nothing is given out of it.
        """
        found = {
            kind: int(text or 0)
            for kind, text in zip(KINDS, values, strict=True)
            if is_amount(text or "0")
        }
        if len(found) == len(KINDS):
            self._session.unreadable.discard(id)
        elif id not in self._session.unreadable:
            self._session.unreadable.add(id)
            log.error(
                LogEvent.ACCOUNT_UNREADABLE,
                account=id,
                key=self._keys.ledger(id),
                hint="`swarmd fsck` says what is wrong, `swarmd fsck --repair` mends it",
            )
        return found


def amounts_named(amount: str) -> list[str]:
    """The fields of an account that hold it, in the order of `KINDS`."""
    return [f"{kind}.{amount}" for kind in KINDS]
