"""A store for each test of this suite: over fakeredis, over a real Valkey, and over a cluster of
three.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from tests.contract.test_store import open_store
from tests.topology import Nodes, clustered


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with clustered(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture(params=["fakeredis", "valkey", "cluster"])
def socket(request: pytest.FixtureRequest) -> str | None:
    """What `open_store` takes: a socket, the address of a cluster, or none for fakeredis."""
    if request.param == "fakeredis":
        return None
    if request.param == "cluster":
        nodes: Nodes = request.getfixturevalue("cluster")
        return nodes.url
    embedded: EmbeddedServer = request.getfixturevalue("server")
    return str(embedded.socket)


@pytest.fixture
def namespace(request: pytest.FixtureRequest, namespace: str) -> str:
    """As the settings have it: with a hash tag on a cluster."""
    said = getattr(request.node, "callspec", None)
    return f"{{{namespace}}}" if said and said.params.get("socket") == "cluster" else namespace


@pytest.fixture
async def store(socket: str | None, namespace: str) -> AsyncIterator[RedisStore]:
    async with open_store(socket, namespace) as opened:
        yield opened
