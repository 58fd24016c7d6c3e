"""A stage whose journal is archived, whose agents spend, and which can be held against its own
journal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
import redis

from swarmd.adapters.archive.journal_files import JournalFiles
from swarmd.adapters.archive.verify import Proved, Tail, prove
from swarmd.core.journal.audit import Auditor
from swarmd.core.journal.entries import all_records, open_accounts, told
from swarmd.core.journal.replay import State, link_of
from swarmd.core.model.chain import Record, Records
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, AgentId, HostId, StreamId
from swarmd.ports.stores import Begin, Begun, Hold, Used
from swarmd.runtime.supervisor.supervisor import Supervisor
from tests.contract.test_store import open_store
from tests.core.swarm_builder import MISSION, declarations
from tests.runtime.test_supervisor import Silence, Stage

Entry = tuple[StreamId, str]
SWARM = "s-test"


@dataclass
class Recorded(Stage):
    """As `Stage`, with an archive in `folder`; every executive and its children call a model."""

    folder: Path = Path()
    entries_max: int = 4_096
    chance: Random = field(default_factory=lambda: Random(1))
    _turns: dict[str, int] = field(default_factory=dict)

    def another(self, host: str) -> Supervisor:
        archive = JournalFiles(self.folder, SWARM, self.entries_max)
        return Supervisor(
            self.store,
            Silence(),
            self.clock,
            declarations(**self.limits),
            HostId(host),
            None,
            anyio.Event(),
            archive=archive,
        )

    async def archive(self) -> None:
        """What the supervisor does of itself every few seconds."""
        assert self.sup.journal.archive is not None
        await self.sup.journal.anchor()
        await self.sup.journal.seal()

    async def stop(self) -> None:
        """An orderly stop: the head is anchored."""
        await self.archive()
        await self.sup.journal.anchor("stopped")

    async def _work(self, id: str, parent: str, tier: int, message: Message) -> bool:
        if message.kind is Kind.CHARTER:
            await self.call(id)
        return await super()._work(id, parent, tier, message)

    async def call(self, id: str) -> None:
        """A call of a model: settled at what it used, at more than was reserved, or never."""
        agent = self.sup.state.lineage.agents[AgentId(id)]
        hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
        self._turns[id] = turn = self._turns.get(id, 0) + 1
        amounts = {"tokens": self.chance.randrange(10, 500), "calls": 1}
        begin = Begin(turn, 1, "model", agent.account, agent.path, (), (), amounts)
        if (
            not isinstance(await self.store.begin(hold, begin, "at"), Begun)
            or self.chance.random() < 0.3
        ):
            return
        used = {"tokens": self.chance.randrange(1, 600), "calls": 1}
        await self.store.end(hold, begin, "{}", Used(used, self.chance.random() < 0.2), 80, "at")

    # --- reading ---

    async def entries(self) -> list[Entry]:
        return await self.store.read_journal(FIRST, 1_000_000)

    async def proved(self, *, files_only: bool = False) -> Proved:
        if files_only:
            return prove(self.folder, SWARM, None)
        head = (await self.store.load(self.sup.declared)).swarm.chain.head
        tail = Tail(await self.entries(), head)
        return prove(self.folder, SWARM, lambda: tail)

    async def living(self) -> tuple[dict[str, Record], dict[str, dict[str, Any]]]:
        """Records and open accounts as the store has them."""
        swarm = (await self.store.load(self.sup.declared)).swarm
        records = Records.of(all_records(swarm)).values
        rows = (await self.store.stated_accounts(open_accounts(swarm))).rows
        amounts: dict[str, dict[str, Any]] = {}
        for id, row in rows.items():
            nested = amounts.setdefault(id, {})
            for name, value in row.items():
                kind, dot, amount = name.partition(".")
                if dot and int(value):
                    nested.setdefault(kind, {})[amount] = int(value)
        return records, amounts

    async def pending(self, state: State) -> None:
        """Facts that the supervisor has not folded yet, folded here."""
        for id, fact in await self.store.read_facts(state.facts_until, 100_000):
            state.fold(told(id, fact))


def rebuilt(entries: Sequence[Entry]) -> tuple[State, Auditor]:
    """The state that the journal alone gives."""
    state, auditor = State(), Auditor()
    for id, flat in entries:
        link = link_of(id, flat)
        assert link is not None
        state.follow(link, auditor)
    return state, auditor


def ledger_of(state: State) -> dict[str, dict[str, Any]]:
    """Open accounts as the journal gives them, amounts of nothing left out."""
    return {
        id: {
            kind: {a: n for a, n in row.items() if n}
            for kind, row in account.amounts.items()
            if any(row.values())
        }
        for id, account in state.ledger.accounts.items()
    }


@asynccontextmanager
async def recorded(
    namespace: str,
    folder: Path,
    *,
    socket: str | None = None,
    seed: int = 1,
    entries_max: int = 4_096,
    **limits: Any,
) -> AsyncIterator[Recorded]:
    async with open_store(socket, namespace) as store:
        opened = Recorded(
            store, limits=limits, folder=folder, entries_max=entries_max, chance=Random(seed)
        )
        await opened.start()
        yield opened


async def missions(on: Recorded, count: int) -> None:
    """So many missions, one after the other, from text to result."""
    for number in range(count):
        await on.submit(f"{MISSION}-{number}" if number else MISSION)
        await on.run()


def everything(socket: str, namespace: str) -> dict[bytes, tuple[int, bytes]]:
    """All that a real server holds of a swarm, to be put back later: a server that lost what
    came between.
    """
    with redis.Redis(unix_socket_path=socket) as client:
        keys = list(client.scan_iter(f"{namespace}:*"))
        return {key: (max(0, client.pttl(key)), client.dump(key)) for key in keys}


def put_back(socket: str, namespace: str, kept: Mapping[bytes, tuple[int, bytes]]) -> None:
    with redis.Redis(unix_socket_path=socket) as client:
        client.delete(*client.scan_iter(f"{namespace}:*"))
        for key, (ttl, value) in kept.items():
            client.restore(key, ttl, value)
