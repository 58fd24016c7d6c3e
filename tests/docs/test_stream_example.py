"""The example of reading a channel in docs/contract.md and in the README, on a real server with the
real clients.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

import anyio
import pytest

from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId
from tests.contract.test_store import open_store

ROOT: Final = Path(__file__).parents[2]
_EXAMPLE: Final = re.compile(r"redis-cli (XRANGE swarm:room:sob - \+ \| grep .* \| jq -r '[^']*')")
_SAID: Final = {"socrates": 'Größe: "5 €"\nand \\ more', "picard": "Make it so. ✓"}


def example_in(page: str) -> str:
    (found,) = _EXAMPLE.findall((ROOT / page).read_text(encoding="utf-8"))
    return str(found)


@pytest.mark.parametrize("page", ["docs/contract.md", "README.md"])
async def test_the_documented_example_shows_a_debate_that_one_can_read(
    page: str, server: EmbeddedServer, namespace: str
) -> None:
    missing = [name for name in ("redis-cli", "jq") if shutil.which(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{' and '.join(missing)}: not installed")
    async with open_store(str(server.socket), namespace) as store:
        for sender, text in _SAID.items():
            said = Message(sender=AgentId(sender), kind=Kind.SAY, at="now", text=text)
            await store.post(BOARD_ROOM, said)
        await store.pipe.execute("XADD", store.keys.channel(BOARD_ROOM), "*", "from", "nobody")
    words = example_in(page).replace("swarm:room", f"{namespace}:room")
    command = f"redis-cli -s {server.socket} {words}"
    shown = await anyio.run_process(["bash", "-c", command])
    assert shown.stdout.decode() == "".join(f"{who}: {text}\n" for who, text in _SAID.items())


async def test_a_plain_client_sees_the_text_as_it_was_said(
    server: EmbeddedServer, namespace: str
) -> None:
    """Without another program: nothing that is not ASCII is escaped by us."""
    async with open_store(str(server.socket), namespace) as store:
        said = Message(sender=AgentId("socrates"), kind=Kind.SAY, at="now", text="Größe ✓")
        await store.post(BOARD_ROOM, said)
        ((_, fields),) = await store.pipe.execute(
            "XRANGE", store.keys.channel(BOARD_ROOM), "-", "+"
        )
    assert fields[0] == "m"
    assert len(fields) == 2
    assert '"from":"socrates"' in fields[1]
    assert '"text":"Größe ✓"' in fields[1]
    assert fields[1].endswith('"}')
    assert fields[1].index('"text"') < fields[1].index('"mac"')
