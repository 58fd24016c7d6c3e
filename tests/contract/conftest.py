"""A store for each test of this suite, once over fakeredis and once over a real Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from swarmd.adapters.embedded import EmbeddedServer
from swarmd.adapters.redis.store import RedisStore
from tests.contract.test_store import open_store


@pytest.fixture(params=["fakeredis", "valkey"])
def socket(request: pytest.FixtureRequest) -> str | None:
    if request.param == "fakeredis":
        return None
    embedded: EmbeddedServer = request.getfixturevalue("server")
    return str(embedded.socket)


@pytest.fixture
async def store(socket: str | None, namespace: str) -> AsyncIterator[RedisStore]:
    async with open_store(socket, namespace) as opened:
        yield opened
