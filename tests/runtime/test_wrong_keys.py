"""A key of the swarm's that holds something else: nothing is committed past it, it is set aside
and kept, and all goes on.
"""

from __future__ import annotations

from typing import Final

import anyio
import anyio.to_thread
import pytest

from swarmd.adapters.quarantine import Quarantine, SetAside
from swarmd.adapters.redis.keys import ANY, key_names, shared_names, type_of
from swarmd.cli.verbs.health import health_findings
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, MISSIONS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import Channel
from swarmd.errors import WrongKeyError
from swarmd.ports.reader import Health
from tests.conftest import SECRET
from tests.core.swarm_builder import MISSION
from tests.runtime.test_fsck import Scene, scene
from tests.runtime.test_supervisor import quiet

__all__ = ["scene"]  # a fixture

# The lease is taken by hand here, and what is never there is nobody's.
SHARED: Final = tuple(name for name in shared_names() if name != "_supervisor")
# What neither the store nor the journal can say again: that it begins anew is recorded, for people
# to acknowledge.
BEGUN_ANEW: Final = {"_positions", "_facts", "journal"}


async def overwrite(scene: Scene, name: str) -> None:
    key = scene.keys.channel(Channel(name))
    await scene.do(("DEL", key))
    await scene.do(("SET", key, "x") if type_of(name) != "string" else ("RPUSH", key, "x"))


async def mend(scene: Scene) -> list[SetAside]:
    quarantine = Quarantine(scene.socket, scene.keys, scene.on.folder, SECRET.decode(), "h-mender")
    return await anyio.to_thread.run_sync(quarantine.mend)


def test_every_key_of_ours_has_a_type() -> None:
    unknown = [name for name in key_names() if not type_of(name)]
    assert set(unknown) == {"_never", f"_quarantine:{ANY}"}


@pytest.mark.parametrize("name", SHARED)
async def test_what_holds_something_else_is_set_aside_and_the_mission_goes_on(
    scene: Scene, name: str
) -> None:
    await overwrite(scene, name)
    assert [one.partition(" ")[0] for one in await scene.on.store.wrong_keys()] == [name]
    if name in ("_agents", "_missions", "_journal", "_fences", "_stops", "_revocations"):
        # With nobody who has it in memory: it is the journal that says what was there.
        await scene.on.store.step_down(scene.on.sup.host, scene.on.sup.memory.number)
    (moved,) = await mend(scene)
    assert moved.name == name
    kept = await scene.on.store.pipe.execute("TYPE", moved.kept_as)
    assert kept == moved.found
    assert await scene.on.store.wrong_keys() == []
    scene.on.silent = set()
    await scene.on.start()
    await scene.on.run()
    if name in ("_positions", "room:sob"):
        # Answers that were on their way are lost: their seats are absent when their time is over.
        scene.on.clock.time += scene.on.sup.declared.board.seat_seconds + 1
        await scene.on.run()
    assert (await scene.on.store.ended_mission(MISSION))["state"] == "delivered"
    findings = (await scene.on.proved()).proof.findings
    assert findings == [] or (name in BEGUN_ANEW and {one.kind for one in findings} == {"restated"})
    assert await scene.flaws() == []


@pytest.mark.parametrize(
    "name", ["journal", "room:sob", "_ends", "_heads", "_posts", "_facts", "_positions"]
)
async def test_nothing_is_committed_past_a_key_that_all_stand_on(scene: Scene, name: str) -> None:
    await overwrite(scene, name)
    await scene.on.submit("m-next")
    before = scene.on.sup.memory.seq
    with pytest.raises(WrongKeyError):
        await quiet(scene.on, 8)
    assert scene.on.sup.memory.seq == before


@pytest.mark.parametrize(
    ("name", "value"), [("_posts", "x"), ("_posts", "9" * 18), ("_fencing", "-1"), ("_fencing", "")]
)
async def test_a_counter_that_cannot_count_is_as_wrong_as_another_type(
    scene: Scene, name: str, value: str
) -> None:
    await scene.do(("SET", scene.keys.channel(Channel(name)), value))
    assert await scene.on.store.wrong_keys() == [f"{name} is no counter"]
    assert [moved.name for moved in await mend(scene)] == [name]
    assert await scene.on.store.wrong_keys() == []
    await scene.on.start()
    await quiet(scene.on, 2)


@pytest.mark.parametrize(
    "name", ["agent:{}", "_state:{}", "_steps:{}", "inbox:{}", "_use:{}", "children:{}", "up:{}"]
)
async def test_one_agents_key_stops_nobody_else(scene: Scene, name: str) -> None:
    await overwrite(scene, name.format(scene.child))
    await scene.on.submit("m-next")
    await quiet(scene.on, 4)
    assert "m-next" in scene.on.sup.state.missions
    assert [moved.name for moved in await mend(scene)] == [name.format(scene.child)]


async def test_what_is_posted_to_a_key_of_another_type_is_not_half_done(scene: Scene) -> None:
    await overwrite(scene, BOARD_ROOM)
    heads = await scene.on.store.pipe.execute("ZRANGE", scene.keys.heads, 0, -1, "WITHSCORES")
    message = Message(sender=scene.top, kind=Kind.SAY, at="at", text="hello")
    with pytest.raises(WrongKeyError, match=BOARD_ROOM):
        await scene.on.store.post(BOARD_ROOM, message)
    assert (
        await scene.on.store.pipe.execute("ZRANGE", scene.keys.heads, 0, -1, "WITHSCORES") == heads
    )


async def test_what_was_set_aside_once_is_not_written_over_by_the_next(scene: Scene) -> None:
    kept = []
    for _ in range(2):
        await overwrite(scene, MISSIONS)
        kept += [moved.kept_as for moved in await mend(scene)]
        await anyio.sleep(0.002)
    assert len(set(kept)) == 2
    assert [await scene.on.store.pipe.execute("GET", key) for key in kept] == ["x", "x"]


async def test_who_leads_steps_aside_and_leads_again_when_the_key_is_gone(scene: Scene) -> None:
    sup = scene.on.sup
    await overwrite(scene, JOURNAL)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sup.lead_for_ever)
        await scene.on.submit("m-next")
        with anyio.fail_after(20):
            while await scene.on.store.pipe.execute("EXISTS", scene.keys.leader):
                await anyio.sleep(0.05)
        assert [moved.name for moved in await mend(scene)] == [JOURNAL]
        with anyio.fail_after(20):
            while "m-next" not in sup.state.missions:
                await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()


def test_health_names_the_key_and_the_way_out() -> None:
    state = Health(
        "1:h",
        True,
        {"h": {}},
        (),
        0,
        0,
        "",
        True,
        True,
        wrong_keys=("swarm:missions is a list and not a stream",),
    )
    (finding,) = health_findings(state, part="supervisor", host_name="here")
    assert "swarm:missions is a list" in finding
    assert "fsck --repair" in finding
