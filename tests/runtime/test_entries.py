"""Every entry of the journal, from the sealed segments and the store, for whoever looks back."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.adapters.archive.entries import entries, links
from swarmd.core.model.names import StreamId
from swarmd.errors import ArchiveError
from tests.runtime.recorded import SWARM, missions, recorded


async def test_each_entry_is_read_once_whether_it_was_sealed_or_is_in_the_store(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path, entries_max=30) as on:
        await missions(on, 1)
        whole = await on.entries()
        await on.archive()
        await on.stop()
        kept = await on.entries()
    numbers = [said["data"]["n"] for _, said in entries(tmp_path, SWARM, kept)]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert len(numbers) >= len(whole) > 30
    assert [link.n for link in links(tmp_path, SWARM, kept)] == numbers
    id, line = kept[-1]
    forged = [*kept[:-1], (id, line.replace('"from":"supervisor"', '"from":"somebody"', 1))]
    assert len([*entries(tmp_path, SWARM, forged)]) == len(numbers), "it is told as it stands"
    with pytest.raises(ArchiveError, match="its hash is not that of what it says"):
        list(links(tmp_path, SWARM, forged))
    assert len([*entries(tmp_path / "elsewhere", SWARM, kept)]) == len(kept), "without an archive"
    break_a_seal(tmp_path)
    with pytest.raises(ArchiveError):
        list(entries(tmp_path, SWARM, kept))


def break_a_seal(folder: Path) -> None:
    first = min(folder.rglob("segment-*.jsonl"))
    first.write_bytes(first.read_bytes().replace(b"supervisor", b"superviser", 1))


def test_what_is_no_entry_is_passed_over(tmp_path: Path) -> None:
    lines = ["no entry", "[]", '{"data": {"n": "1"}}', '{"data": {"n": 1}}']
    tail = [(StreamId(f"{n}-0"), line) for n, line in enumerate(lines)]
    assert list(entries(tmp_path, SWARM, tail)) == [("3-0", {"data": {"n": 1}})]
