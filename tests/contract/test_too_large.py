"""What is larger than the server takes is one input's end, with a server whose limits are as
small as they can be.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.redis.connection.pipeline import Pipe
from swarmd.adapters.redis.lua import Script
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.missions.intake import fields_of
from swarmd.core.model.channels import JOURNAL, REQUESTS, RESULTS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, AgentId, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.errors import TooLargeError
from tests.contract.test_store import open_store
from tests.runtime.test_supervisor import Stage, quiet

MEGABYTE: Final = 1_048_576
LIMITS: Final = {
    "proto-max-bulk-len": 512 * MEGABYTE,
    "client-query-buffer-limit": 1_024 * MEGABYTE,
}


@pytest.fixture(params=LIMITS)
async def small(
    request: pytest.FixtureRequest, server: EmbeddedServer, namespace: str
) -> AsyncIterator[RedisStore]:
    """A store on a server that takes a megabyte at once; it drops the connection on more, with
    or without a word.
    """
    async with open_store(str(server.socket), namespace) as store:
        await store.pipe.execute("CONFIG", "SET", request.param, MEGABYTE)
        try:
            yield store
        finally:
            await store.pipe.execute("CONFIG", "SET", request.param, LIMITS[request.param])


async def test_a_command_that_is_too_large_is_refused_and_all_others_are_answered(
    small: RedisStore,
) -> None:
    key = small.keys.channel(RESULTS)
    large = small.pipe.execute("XADD", key, "*", "m", "x" * (3 * MEGABYTE))
    others = [small.pipe.execute("XADD", key, "*", "m", str(n)) for n in range(50)]
    with anyio.fail_after(30):
        first, *rest = await asyncio.gather(large, *others, return_exceptions=True)
    assert isinstance(first, TooLargeError), first
    assert not [reply for reply in rest if isinstance(reply, BaseException)]
    assert not small.pipe.is_away
    assert await small.pipe.execute("PING") == "PONG"


async def test_what_is_large_and_not_too_large_is_taken(small: RedisStore) -> None:
    text = "x" * (MEGABYTE // 2)
    await small.pipe.execute("SET", small.keys.meta, text)
    assert await small.pipe.execute("GET", small.keys.meta) == text


async def test_a_mission_as_large_as_may_be_is_docketed_whatever_it_is_made_of(
    small: RedisStore,
) -> None:
    stage = Stage(small)
    await stage.start()
    await stage.store.keep_mission({"mission": '"\\' * 450_000, "id": "m-large"})
    await quiet(stage, 3)
    assert "m-large" in stage.sup.state.missions
    kept = await small.pipe.execute("HGET", small.keys.mission(MissionId("m-large")), "mission")
    assert kept == '"\\' * 450_000


async def test_a_mission_that_was_heard_and_cannot_be_stored_is_rejected_under_its_id(
    small: RedisStore,
) -> None:
    stage = Stage(small)
    await stage.start()
    with anyio.fail_after(30):
        await stage.sup.entrance.keep_mission(
            fields_of(json.dumps({"mission": "x" * 2 * MEGABYTE, "id": "mine"}))
        )
    await quiet(stage, 2)
    (result,) = await small.read(RESULTS, FIRST, 10)
    assert (result.mission, result.data["state"]) == ("mine", "rejected")
    assert "larger than the server takes" in result.text


# --- a server that takes less of a request than of its parts --------------------------------------

REQUEST_BYTES: Final = 200_000


@pytest.fixture
async def managed(
    server: EmbeddedServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """A swarm on a server that refuses requests beyond a limit, as managed ones do. What others
    put in came another way.
    """
    async with open_store(str(server.socket), namespace) as store:
        stage, evaluate = Stage(store), Pipe.evaluate

        async def limited(
            pipe: Pipe, script: Script, keys: Sequence[str], args: Sequence[str | int]
        ) -> Any:
            if sum(len(str(word)) for word in (*keys, *args)) > REQUEST_BYTES:
                raise TooLargeError("ERR max request size exceeded")
            return await evaluate(pipe, script, keys, args)

        await stage.start()
        monkeypatch.setattr(Pipe, "evaluate", limited)
        yield stage


async def test_the_mission_whose_commit_is_too_large_is_rejected_and_the_others_are_docketed(
    managed: Stage,
) -> None:
    for id, size in (("m-a", 10), ("m-large", 300_000), ("m-b", 10)):
        await managed.store.keep_mission({"mission": "x" * size, "id": id})
    await quiet(managed, 8)
    assert {"m-a", "m-b"} <= set(managed.sup.state.missions)
    results = {m.mission: m for m in await managed.store.read(RESULTS, FIRST, 10)}
    assert results[MissionId("m-large")].data["state"] == "rejected"
    assert "larger than the server takes" in results[MissionId("m-large")].text


async def test_facts_that_are_too_large_together_are_folded_one_by_one(managed: Stage) -> None:
    for _ in range(6):
        await managed.store.pipe.execute(
            "XADD",
            managed.store.keys.facts,
            "*",
            "fact",
            "refuse",
            "agent",
            "a-1",
            "detail",
            "x" * 60_000,
        )
    managed.clock.time += 5
    await quiet(managed, 12)
    entries = await managed.store.read(JOURNAL, FIRST, 1_000)
    folded = [
        e
        for e in entries
        if e.data["event"] == "facts.folded" and any(f.get("detail") for f in e.data["facts"])
    ]
    assert sum(len(e.data["facts"]) for e in folded) >= 6


async def test_a_request_of_which_too_much_comes_is_a_dead_letter_and_the_next_is_decided(
    managed: Stage,
) -> None:
    data = {"type": "spawn", "key": "k", "charter": {"task": "x" * 250_000}}
    entry = Message(
        sender=AgentId("a-1"), kind=Kind.REQUEST, at="at", text="spawn", data=data, incarnation=1
    )
    sealed = managed.store.session.runtime(REQUESTS, entry)
    await managed.store.pipe.execute(
        "XADD", managed.store.keys.channel(REQUESTS), "*", "m", sealed.line
    )
    await managed.store.keep_mission({"mission": "x", "id": "m-a"})
    await quiet(managed, 6)
    assert "m-a" in managed.sup.state.missions
    entries = await managed.store.read(JOURNAL, FIRST, 1_000)
    assert [
        e
        for e in entries
        if e.data["event"] in ("request.refused", "message.refused")
        and e.data.get("rule") in (Rule.POISON, Rule.REQUEST_INVALID, Rule.UNKNOWN_AGENT)
    ]
