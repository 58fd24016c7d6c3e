"""The whole law in any order on the store: what the walk knows, the server must hold after each of
its steps.

Three ways must agree: the walk's memory with its slow ledger (`tests.laws`), the store as it lies,
and the journal's replay, as `swarmd fsck` compares it with the store. Nightly:

LAW_STEPS=200000 pytest tests/core/test_law_machine.py tests/contract/test_law_machine.py --timeout
0
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Literal, TypeVar

import fakeredis
import pytest
from hypothesis.stateful import rule, run_state_machine_as_test

from swarmd.adapters.archive.fsck import Look
from swarmd.adapters.redis.reader import View, view_of
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.control import ledger_events as tidings
from swarmd.core.journal.entries import folded
from swarmd.core.model.changes import Change
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent, stop_fields
from swarmd.core.model.names import FIRST, HostId
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.errors import NotLeadingError
from swarmd.ports.stores import Begin, Begun, Hold, RefusedByStore, Turn, Used
from tests.contract.test_store import AT, WARN, Leader, open_store
from tests.law_machine import LawMachine, law_settings
from tests.slow_ledger import AMOUNTS

T = TypeVar("T")
TTL_SECONDS: Final = 86_400.0  # a host of these walks dies when it is told to, and not of time
HOPS_MAX: Final = 64
_namespaces = itertools.count(1)


class FakeWire:
    """The faces' blocking connection, to a server of fakeredis."""

    def __init__(self, fake: fakeredis.FakeServer) -> None:
        self._client = fakeredis.FakeRedis(server=fake, protocol=2)
        self._connection = self._client.connection_pool.get_connection()
        self._replies: list[Any] = []

    def send_all(self, commands: Sequence[Sequence[bytes]]) -> None:
        for command in commands:
            self._connection.send_command(*command)  # type: ignore[no-untyped-call]  # redis-py has no types for it
            self._replies.append(self._connection.read_response(disable_decoding=True))

    def read(self) -> Any:
        return self._replies.pop(0)

    def exchange(self, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        self.send_all(commands)
        return [self.read() for _ in commands]

    def close(self) -> None:
        self._client.close()


class OnStore(LawMachine):
    """The same walk, and each of its steps on the store too. `socket` is a real server's, `None`
    fakeredis.
    """

    socket: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.leaders = itertools.count(1)
        self.folded_until, self.folding = (
            FIRST,
            FIRST,
        )  # the facts in the journal, and after the step under way
        namespace = f"law{next(_namespaces)}"
        fake = None if self.socket else fakeredis.FakeServer()
        self.store: RedisStore = self.run(self._entered(open_store(self.socket, namespace, fake)))
        if fake is None:
            assert self.socket is not None
            view = view_of(f"unix://{self.socket}", namespace)
        else:
            view = View(FakeWire(fake), self.store.keys)  # type: ignore[arg-type]  # what `View` uses of a `Wire`
        self.opened.callback(view.close)
        self.look = Look(view)
        self.run(self.store.check_schema())
        self.leader = Leader(self.store)
        self._take_the_lead()

    async def _entered(self, opened: Any) -> Any:
        return await self.opened.enter_async_context(opened)

    def run(self, step: Any) -> Any:
        return self.runner.run(step)

    def _take_the_lead(self) -> None:
        former, self.leader = self.leader, Leader(self.store, seq=self.leader.seq)
        if former.token:
            number, _, host = former.token.partition(":")
            self.run(self.store.step_down(HostId(host), int(number)))
        self.run(self.leader.lead(f"s{next(self.leaders)}"))
        if former.token:
            with pytest.raises(NotLeadingError):
                self.run(former.do())

    # --- what the walk does, done to the store ----------------------------------------------------

    def keep(self, changes: Sequence[Change]) -> bool:
        until = self.folding if self.folding != self.folded_until else None
        commit = self.store.commit_changes(
            self.leader.token, self.leader.seq + 1, changes, {}, until
        )
        if self.run(commit) == "short":
            return False
        self.leader.seq += 1
        self.folded_until = self.folding
        return True

    def reloaded(self) -> Swarm:
        self._take_the_lead()
        loaded = self.run(self.store.load(self.swarm.declared))
        assert (loaded.seq, loaded.damaged, loaded.lost) == (self.leader.seq, (), {})
        found: Swarm = loaded.swarm
        return found

    @rule()
    def fold_the_facts(self) -> None:
        """The supervisor takes what the workers' scripts told into the journal, and does
        something about it.
        """
        facts = self.run(self.store.read_facts(self.folded_until, 1_000))

        def act(draft: Draft) -> None:
            draft.add(folded(draft.moment, facts, facts[-1][0]))
            tidings.record_refusals(draft, facts)
            tidings.act(draft, facts)

        if facts:
            self.folding = facts[-1][0]
            self.step(act)

    def store_begin(
        self, holder: Agent, call: Begin, expected: Rule | Literal["begun", "ended"]
    ) -> None:
        reply = self.run(self.store.begin(_hold(holder), call, AT))
        if isinstance(expected, Rule):
            assert isinstance(reply, RefusedByStore), f"law: {expected}, but the store says {reply}"
            assert reply.rule is expected
        else:
            assert isinstance(reply, Begun), reply

    def store_end(self, holder: Agent, call: Begin, amounts: Mapping[str, int]) -> None:
        self.run(self.store.end(_hold(holder), call, "{}", Used(amounts), WARN, AT))

    def store_commit(self, holder: Agent, number: int, expected: Rule | None) -> None:
        turn = Turn(number, holder.path, stop_fields(holder), {}, {}, {0: "{}"}, (), hops=1)
        reply = self.run(self.store.commit(_hold(holder), turn, HOPS_MAX, AT))
        if expected is None:
            assert reply == "done"
            assert self.run(self.store.commit(_hold(holder), turn, HOPS_MAX, AT)) == "again", (
                "law 8"
            )
        else:
            assert isinstance(reply, RefusedByStore), f"law: {expected}, but the store says {reply}"
            assert reply.rule is expected

    def host_came(self, host: Host) -> None:
        assert self.run(self.store.register(host, TTL_SECONDS))

    def host_died(self, host: HostId) -> None:
        """Its lease has ended; it did not leave."""
        self.run(self.store.pipe.execute("DEL", self.store.keys.host(host)))

    # --- what then lies there ---------------------------------------------------------------------

    def compare(self) -> None:
        # A call of a lost host is none: whoever has its agent next settles it, and its late end is
        # taken.
        flaws = [flaw for flaw in self.look.flaws() if flaw.name != "step.abandoned"]
        assert flaws == [], flaws
        known = self.watch.ledger
        rows = self.run(self.store.stated_accounts(known.accounts)).rows
        for id, account in known.accounts.items():
            row = rows[id]
            for kind in KINDS:
                says = {name: int(row.get(f"{kind}.{name}", 0)) for name in AMOUNTS}
                assert says == {name: account.amounts[name][kind] for name in AMOUNTS}, (id, kind)
            assert ("overdrawn" in row) == (id in known.overdrawn), id

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.run(self.store.pipe.execute("FLUSHALL"))
            self.run(self.opened.aclose())
            self.runner.close()


def _hold(agent: Agent) -> Hold:
    return Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server of these walks' own: each look goes over all its keys, and each walk begins with
    none.
    """
    embedded = EmbeddedServer(tmp_path_factory.mktemp("law"))
    with asyncio.Runner() as runner:
        runner.run(embedded.__aenter__())
        yield embedded
        runner.run(embedded.__aexit__(None, None, None))


def test_the_laws_hold_after_any_walk_on_valkey(alone: EmbeddedServer) -> None:
    class OnValkey(OnStore):
        socket = str(alone.socket)

    run_state_machine_as_test(OnValkey, settings=law_settings(0.125, usual=1_500))


def test_the_laws_hold_after_any_walk_on_fakeredis() -> None:
    run_state_machine_as_test(OnStore, settings=law_settings(0.025, usual=500))
