"""What must outlive a fail-over is confirmed by a replica, and where it is not that is said."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing

import anyio
import pytest

from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.operator_post import operator_sealer, post_sync
from swarmd.adapters.redis.replicas import Replicas
from swarmd.core.model.channels import ORDERS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId
from swarmd.errors import StoreUnavailableError
from tests.conftest import HANG_SECONDS, SECRET
from tests.topology import Node, mirrored


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with mirrored(tmp_path_factory.mktemp("pair")) as nodes:
        yield nodes


def url(node: Node) -> str:
    return f"redis://{node.address.hosted}"


async def test_a_replica_confirms_and_a_frozen_one_does_not_and_is_told_of(
    pair: list[Node], capsys: pytest.CaptureFixture[str]
) -> None:
    primary, replica = pair
    pipe = Pipe(dial(url(primary)))
    replicas = Replicas("swarm:_confirmed")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        assert await replicas.confirm(pipe, "one")
        replica.signal(signal.SIGSTOP)
        try:
            took = []
            for what in ("two", "three"):
                began = time.monotonic()
                assert not await replicas.confirm(pipe, what)
                took.append(time.monotonic() - began)
            assert took[1] < took[0] / 2, "the next does not wait as long"
        finally:
            replica.signal(signal.SIGCONT)
        with anyio.fail_after(HANG_SECONDS):
            while not await replicas.confirm(pipe, "four"):
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    said = "".join(capsys.readouterr())
    assert said.count("replicas.behind") == 1
    assert "replicas.back" in said


async def test_an_answer_over_a_new_connection_is_no_proof(pair: list[Node]) -> None:
    primary, replica = pair
    pipe = Pipe(dial(url(primary)))
    replicas = Replicas("swarm:_confirmed")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        assert await replicas.confirm(pipe, "one")
        replica.signal(signal.SIGSTOP)
        answers: list[bool] = []

        async def confirm() -> None:
            answers.append(await replicas.confirm(pipe, "two"))

        async with anyio.create_task_group() as asking:
            asking.start_soon(confirm)
            await anyio.sleep(0.1)
            # It waits now. On the connection that is made next there is nothing to wait for.
            primary.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        replica.signal(signal.SIGCONT)
        assert answers == [False]
        tasks.cancel_scope.cancel()


async def test_a_server_without_replicas_has_none_to_wait_for(
    redis_url: str, namespace: str
) -> None:
    pipe = Pipe(dial(redis_url))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipe.run)
        assert await Replicas(f"{namespace}:_confirmed").confirm(pipe, "one")
        assert await pipe.execute("EXISTS", f"{namespace}:_confirmed") == 0
        tasks.cancel_scope.cancel()


def test_an_order_is_acknowledged_when_a_replica_has_it(pair: list[Node]) -> None:
    primary, replica = pair
    keys = Keys("ordered")
    order = Message(
        sender=AgentId("operator"),
        kind=Kind.ORDER,
        at="2027-01-15T08:00:00.000Z",
        text="freeze all",
    )
    with closing(connect_sync(url(primary))) as wire:
        sealer = operator_sealer(wire, keys, SECRET)
        post_sync(wire, keys, sealer, ORDERS, order)
        assert replica.ask("XLEN", keys.channel(ORDERS)) == 1
        replica.signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailableError, match="no replica has confirmed"):
                post_sync(wire, keys, sealer, ORDERS, order)
        finally:
            replica.signal(signal.SIGCONT)
