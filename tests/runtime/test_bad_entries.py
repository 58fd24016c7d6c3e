"""Whatever is put on the streams that the supervisor reads ends itself: the record stays whole,
and missions are done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from swarmd.core.model.channels import INPUTS, JOURNAL, MISSIONS, RESULTS
from swarmd.core.model.names import FIRST, MissionId
from swarmd.core.model.timings import COUNT_SECONDS
from tests.core.swarm_builder import MISSION
from tests.runtime.test_fsck import Scene, scene
from tests.runtime.test_supervisor import quiet

__all__ = ["scene"]  # a fixture

DEEP: Final = "[" * 100_000
NESTED: Final = "[" * 900 + "]" * 900
MANY: Final = "9" * 5_000

MESSAGES: Final[Mapping[str, Mapping[Any, Any]]] = {
    "no field of ours": {"x": "y"},
    "empty": {"": ""},
    "bytes": {b"\xff\xfe": b"\x00\xff", b"kind": b"order", b"data": b"\xc3\x28"},
    "no seal": {
        "from": "operator",
        "kind": "order",
        "text": "halt",
        "data": '{"verb":"halt","target":"*"}',
    },
    "a kind that is none": {"from": "sob", "kind": "gift"},
    "a deep bomb": {"from": "sob", "kind": "request", "data": DEEP},
    "nested": {"from": "sob", "kind": "request", "data": '{"a":' + NESTED + "}"},
    "huge numbers": {
        "from": "sob",
        "kind": "request",
        "hops": MANY,
        "inc": MANY,
        "serial": MANY,
        "data": "{}",
    },
    "numbers that are none": {
        "from": "sob",
        "kind": "order",
        "hops": "NaN",
        "inc": "1e400",
        "data": '{"n": NaN}',
    },
    "another type": {"from": "sob", "kind": "order", "data": "[1, 2]"},
    "another version": {"from": "sob", "kind": "order", "data": "{}", "v": "99.9"},
    "large": {"from": "sob", "kind": "request", "text": "x" * 2_000_000},
}

ENTRIES: Final[Mapping[str, Mapping[Any, Any]]] = {
    "no mission": {"x": "y"},
    "empty": {"": ""},
    "bytes": {b"mission": b"\xff\xfe"},
    "a field of bytes": {b"\xff": b"\xff", b"mission": b"x"},
    "raw": {"raw": "{"},
    "a deep budget": {"mission": "x", "budget": DEEP},
    "nested files": {"mission": "x", "files": NESTED},
    "a budget of 400 digits": {"mission": "x", "budget": '{"tokens": ' + "9" * 400 + "}"},
    "a budget of 5,000 digits": {"mission": "x", "budget": '{"tokens": ' + MANY + "}"},
    "a budget beyond 2^53": {"mission": "x", "budget": json.dumps({"tokens": 2**53})},
    "a budget that is no number": {"mission": "x", "budget": '{"tokens": NaN}'},
    "less than nothing": {"mission": "x", "budget": '{"tokens": -1}'},
    "a deadline beyond all": {"mission": "x", "deadline_s": "1e400"},
    "a deadline that is none": {"mission": "x", "deadline_s": "NaN"},
    "a deadline of 5,000 digits": {"mission": "x", "deadline_s": MANY},
    "files of another type": {"mission": "x", "files": '{"a": 1}'},
    "too many files": {"mission": "x", "files": json.dumps(["f"] * 10_000)},
    "control characters": {"mission": "x\x00y"},
    "too large": {"mission": "x" * 1_000_001},
    "a field of nobody's": {"mission": "x", "tier": "0"},
}


async def sent(scene: Scene, channel: str, fields: Mapping[Any, Any]) -> None:
    words = [word for pair in fields.items() for word in pair]
    await scene.on.store.pipe.execute("XADD", f"{scene.keys.prefix}{channel}", "*", *words)


async def is_whole(scene: Scene) -> None:
    scene.on.silent = set()
    await scene.on.run()
    assert (await scene.on.store.ended_mission(MISSION))["state"] == "delivered"
    assert (await scene.on.proved()).proof.findings == []
    # What a hand wrote is found as such until it is counted, once a minute.
    assert {flaw.name for flaw in await scene.flaws()} <= {"channel.foreign"}
    scene.on.clock.time += COUNT_SECONDS + 1
    await scene.on.sup.upkeep.count()
    await quiet(scene.on, 1)
    assert await scene.flaws() == []


async def test_what_is_no_message_is_refused_on_every_input_and_the_record_stays_whole(
    scene: Scene,
) -> None:
    for channel in INPUTS:
        for fields in MESSAGES.values():
            await sent(scene, channel, fields)
    await quiet(scene.on, 4)
    refused = [
        e
        for e in await scene.on.store.read(JOURNAL, FIRST, 10_000)
        if e.data["event"] == "message.refused"
    ]
    assert {e.data["channel"] for e in refused if "channel" in e.data} >= set(INPUTS)
    await is_whole(scene)


@pytest.mark.parametrize("name", ENTRIES)
async def test_what_is_no_mission_is_rejected_under_the_id_that_was_asked_for(
    scene: Scene, name: str
) -> None:
    await sent(scene, MISSIONS, {**ENTRIES[name], "id": "mine"})
    await quiet(scene.on, 4)
    record = await scene.on.store.ended_mission(MissionId("mine"))
    assert record["state"] == "rejected", "whoever waits for it by its record is told"
    assert record["reason"].startswith("mission.invalid: ")
    (result,) = [m for m in await scene.on.store.read(RESULTS, FIRST, 100) if m.mission == "mine"]
    assert result.data["state"] == "rejected", "and whoever waits for its result"
    await scene.on.store.keep_mission({"mission": "x", "id": "mine", "files": '["docs"]'})
    await quiet(scene.on, 4)
    record = await scene.on.store.ended_mission(MissionId("mine"))
    assert record["state"] != "rejected", "mended, it is a mission"


async def test_every_entry_that_is_no_mission_has_one_answer_and_the_record_stays_whole(
    scene: Scene,
) -> None:
    for fields in ENTRIES.values():
        await sent(scene, MISSIONS, fields)
    await quiet(scene.on, 6)
    results = [
        m for m in await scene.on.store.read(RESULTS, FIRST, 1_000) if m.data["state"] == "rejected"
    ]
    assert len(results) == len(ENTRIES)
    await is_whole(scene)
