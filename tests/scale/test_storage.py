"""The short run of `tests.scale.storage`."""

from __future__ import annotations

from swarmd.adapters.server.embedded import EmbeddedServer
from tests.scale.storage import storage


async def test_no_stream_holds_more_than_what_is_unread_and_kept(
    server: EmbeddedServer, namespace: str
) -> None:
    samples, _, is_whole = await storage(server.socket, namespace, 8_000, seed=1)
    assert [sample for sample in samples if not sample.is_within] == []
    assert is_whole, "something unread was trimmed, or read twice"
    assert samples[-1].entries < 8_000 / 2, "nothing was trimmed"
