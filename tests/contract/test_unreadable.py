"""Anyone who can XADD can write junk; whoever reads goes on after it."""

from __future__ import annotations

import asyncio

from swarmd.adapters.config.loader import load
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.agent.mailbox import concerns
from swarmd.core.control.dispatch import decide
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, REQUESTS, up
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, OPERATOR, SOB, AgentId
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.timings import Moment
from tests.conftest import SECRET


async def test_junk_is_read_as_unreadable_and_what_follows_is_read(
    server: EmbeddedServer, namespace: str
) -> None:
    store = RedisStore(dial(server.socket), namespace, SECRET)
    running = asyncio.create_task(store.pipe.run())
    key = store.keys.channel(BOARD_ROOM)
    for fields in (
        ("x", "y"),
        ("from", "me"),
        ("from", "me", "kind", "nonsense"),
        ("kind", "say", "data", "[1]"),
    ):
        await store.pipe.execute("XADD", key, "*", *fields)
    await store.post(BOARD_ROOM, Message(sender=OPERATOR, kind=Kind.SAY, at="now", text="hello"))
    first = await store.read(BOARD_ROOM, FIRST, 4)
    assert [message.kind for message in first] == [Kind.UNREADABLE] * 4
    assert [message.text for message in await store.read(BOARD_ROOM, first[-1].id, 4)] == ["hello"]
    running.cancel()
    await asyncio.wait([running])


def test_junk_in_an_input_of_the_supervisor_changes_nothing_but_the_journal() -> None:
    for channel in (REQUESTS, ORDERS, BOARD_ROOM, up(SOB)):
        draft = Draft(Swarm(load()), Moment(0.0, "1970-01-01T00:00:00.000Z", ["x"]))
        decide(draft, Message(sender=AgentId(""), kind=Kind.UNREADABLE, at="", channel=channel))
        assert all("refused" in change.message.data["event"] for change in draft.changes)  # type: ignore[union-attr]  # only posts


def test_junk_in_a_mailbox_concerns_nobody() -> None:
    agent = Agent(
        id=AgentId("a-1"),
        name="a",
        role="analyst",
        tier=2,
        parent=AgentId("a-0"),
        path=("sob", "@owner", "m", "a-0", "a-1"),
    )
    assert not concerns(
        agent, Message(sender=AgentId(""), kind=Kind.UNREADABLE, at="", channel=up(agent.id))
    )
