"""Before an agent that has not reported is reaped, its turns are written down."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.kept_turns import KeptTurns, path_of
from swarmd.core.model.channels import inbox
from swarmd.core.model.functions import KEPT_TURNS
from swarmd.core.model.masking import Masking
from swarmd.core.model.names import FIRST, HostId
from swarmd.core.model.records import Host
from swarmd.errors import WorkspaceError
from swarmd.ports.files import Files
from swarmd.ports.stores import Begin, Hold, Turn, Used
from swarmd.runtime.supervisor.kept_turns import AT_ONCE_MAX, TurnsKeeper
from swarmd.runtime.supervisor.memory import LeaderMemory
from tests.core.swarm_builder import World, world
from tests.runtime.test_worker import AT, Lineage, LoopClock, executive, message, stored

A1 = executive("a-1")
HOLD = Hold(A1.id, A1.path, A1.incarnation, A1.lease, A1.host)
SECRET_WORD = "sk-live-0123456789abcdefghijklmnop"


@dataclass(slots=True)
class Scene:
    store: RedisStore
    swarm: World

    def keeper(self, files: Files | None) -> TurnsKeeper:
        memory = LeaderMemory(self.store, LoopClock(), self.swarm.swarm.declared, HostId("h-s"))
        return TurnsKeeper(memory, files, Masking())

    async def keep(self, files: Files | None) -> KeptTurns | None:
        ready, kept = await self.keeper(files).keep(self.swarm.renew(), [A1.id])
        assert ready == [A1.id]
        return kept.get(A1.id)


@asynccontextmanager
async def ended(*, is_done: bool = False) -> AsyncIterator[Scene]:
    """One turn was committed and another is under way when the agent is ended and its host lost."""
    async with stored() as store:
        await store.register(Host(A1.host, 10, ""), 3_600)
        await Lineage(store).found(A1)
        await store.post(inbox(A1.id), message("Read b.md, too."))
        (mail,) = await store.read(inbox(A1.id), FIRST, 10)
        told = {"mail": [{"from": "sob", "kind": "charter", "text": "Begin."}]}
        memory = {0: json.dumps(told), 1: '{"moves":[{"move":"think","text":"a first thought"}]}'}
        turn = Turn(1, A1.path, (), {}, {}, memory, (), 1, is_done=is_done, taint=("file",))
        assert await store.commit(HOLD, turn, 64, AT) == "done"
        batch = json.dumps({inbox(A1.id): mail.id})
        thought = {"moves": [{"move": "say", "text": f"the key is {SECRET_WORD}"}]}
        for step, kind, result in (
            (1, "model", thought),
            (2, "file/read", {"function": "file/read", "ok": True, "lines": ["line one of b"]}),
            (3, "model", None),
        ):
            begin = Begin(2, step, kind, A1.id, A1.path, (), amounts={"calls": 1}, batch=batch)
            await store.begin(HOLD, begin, AT)
            if result is not None:
                await store.end(HOLD, begin, json.dumps(result), Used({"calls": 1}), 80, AT)
        w = world()
        w.swarm.lineage.put(A1)
        w.order("terminate", A1.id)
        yield Scene(store, w)


def _on_disk(root: Path, path: str) -> Path:
    return root / A1.mission / "work" / path


async def test_its_turns_stand_in_a_file_with_the_one_that_was_under_way(tmp_path: Path) -> None:
    files = Workspace(tmp_path, None)
    async with ended() as scene:
        kept = await scene.keep(files)
        assert kept == KeptTurns(path_of(A1))
        text = _on_disk(tmp_path, path_of(A1)).read_text()
        places = [
            text.index(words)
            for words in (
                "untrusted text: file",
                "Answer.",
                "Begin.",
                "a first thought",
                "Read b.md, too.",
                "It answered: say",
                "line one of b",
            )
        ]
        assert places == sorted(places)
        assert SECRET_WORD not in text
        assert "[secret masked]" in text
        assert files.read(A1.mission, path_of(A1), 1, 1).lines == (text.splitlines()[0],)
        # Whoever leads next, where this one died before its commit.
        assert await scene.keep(Workspace(tmp_path, None)) == kept
        assert _on_disk(tmp_path, path_of(A1)).read_text() == text


async def test_of_who_had_reported_nothing_is_kept(tmp_path: Path) -> None:
    async with ended(is_done=True) as scene:
        assert await scene.keep(Workspace(tmp_path, None)) is None
    assert not (tmp_path / A1.mission).exists()


@dataclass(slots=True)
class FullDisk:
    """The port `Files` where nothing can be written."""

    def write(self, mission: str, path: str, text: str) -> int:
        raise WorkspaceError(f"{path}: no space left", hint="make some")


async def test_where_it_cannot_be_written_the_superior_is_told_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ended() as scene:
        for files, why in ((FullDisk(), "no space left"), (None, "no workspace")):
            kept = await scene.keep(files)  # type: ignore[arg-type]  # a port's one method
            assert kept is not None
            assert (kept.path, why in str(kept)) == ("", True)


async def test_a_crowd_that_ends_at_once_is_kept_in_parts_and_nobody_is_passed_over(
    tmp_path: Path,
) -> None:
    async with stored() as store:
        w, files = world(), Workspace(tmp_path, None)
        crowd = [executive(f"a-{n}") for n in range(AT_ONCE_MAX + 3)]
        await store.register(Host(A1.host, 100, ""), 3_600)
        await Lineage(store).found(*crowd)
        for agent in crowd:
            w.swarm.lineage.put(agent)
            w.order("terminate", agent.id)
            hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
            memory = {0: '{"moves":[]}'}
            turn = Turn(1, agent.path, (), {}, {}, memory, (), 1)
            assert await store.commit(hold, turn, 64, AT) == "done"
        keeper, segments = Scene(store, w).keeper(files), [agent.id for agent in crowd]
        ready, kept = await keeper.keep(w.renew(), segments)
        assert (len(ready), len(kept)) == (AT_ONCE_MAX, AT_ONCE_MAX)
        ready, kept = await keeper.keep(w.renew(), segments)
        assert (ready, set(kept)) == (segments, set(segments))
        assert len(list(_on_disk(tmp_path, KEPT_TURNS).iterdir())) == len(crowd)
