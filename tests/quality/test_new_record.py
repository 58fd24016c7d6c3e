"""A new stored record is a module and a row: two files, and everything else knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import swarmd

PACKAGE = Path(swarmd.__file__).parent
ROOT = Path(__file__).parents[2]
# Who has the floor of a room: for the whole swarm, read by workers. What is to be done: for one
# mission, with a part for each agent.
MODULE = """
from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Floor:
    room: str
    speaker: str
    since: float


@dataclass(frozen=True, slots=True)
class Errand:
    agent: str
    text: str


def text_of(record: Floor | Errand) -> str:
    return json.dumps(asdict(record))


def floor_of(room: str, text: str) -> Floor:
    return Floor(**json.loads(text))


def errand_of(agent: str, text: str) -> Errand:
    return Errand(**json.loads(text))
"""
ROWS = """
from dataclasses import asdict

from swarmd.core.model.chain import sha256
from swarmd.core.model.floors import Errand, Floor, floor_of, errand_of, text_of

FLOORS: Final[Table[Floor]] = Table(
    name="floor",
    stored="_floors",
    encode=text_of,
    decode=floor_of,
    digest=asdict,
    key_of="room",
    read_by="workers",
)
ERRANDS: Final[Table[Errand]] = Table(
    name="errand",
    stored="_errands:",
    encode=text_of,
    decode=errand_of,
    digest=lambda errand: {errand.agent: sha256(errand.text)},
    key_of="agent",
    has_parts=True,
    owner="mission",
)

TABLES: Final[tuple[Table[Any], ...]] = (
    FLOORS,
    ERRANDS,"""
# In a process that has the two files: memory, journal, commit, loading, the proof of the journal,
# faults found and mended, the types of keys, and the rights of the server's users.
USE = """
from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from swarmd.adapters.archive.fsck import check
from swarmd.adapters.archive.verify import Tail, prove
from swarmd.adapters.config.loader import load
from swarmd.adapters.redis import acl
from swarmd.adapters.redis.keys import WORKER_READS, type_of
from swarmd.adapters.redis.reader import view_of
from swarmd.cli.verbs.acl import store_names
from swarmd.core.actions.repairs import repair
from swarmd.core.control import tick
from swarmd.core.journal.entries import chained
from swarmd.core.model.changes import MissionClosed, MissionSet
from swarmd.core.model.charter import KINDS
from swarmd.core.model.floors import Errand, Floor
from swarmd.core.model.names import FIRST, MissionId, MissionState
from swarmd.core.model.records import Mission
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import ERRANDS, FLOORS, Drop, Put
from swarmd.core.model.timings import Moment
from tests.contract.test_store import Leader, open_store

AT = "2027-01-15T08:00:00.000Z"
FLOOR = Floor("room:hall", "a-1", 3.0)
AMOUNTS = dict.fromkeys(KINDS, 0)
MISSION = Mission(
    id=MissionId("m-1"), text="Why?", state=MissionState.DEBATING, budget=AMOUNTS
)
ERRAND = Errand("a-1", "look it up")


async def test_the_records_are_kept_proved_compared_and_mended(server, namespace, tmp_path):
    declared = load()
    async with open_store(str(server.socket), namespace) as store:
        await store.check_schema()
        leader, k = await Leader(store).lead(), store.keys
        swarm = (await store.load(declared)).swarm

        async def commit(*changes, founds=False, repairs=""):
            draft = Draft(swarm, Moment(0.0, AT, ["x"]))
            if founds:
                tick.found(draft)
            if repairs:
                assert repair(draft, "o-1", repairs, "r") is None
            draft.add(*changes)
            assert await leader.do(*chained(swarm, draft.changes, draft.moment)) == "done"

        def flaws():
            with closing(view_of(server.socket, namespace)) as view:
                return {(f.name, f.repair) for f in check(view, tmp_path, "s-test", looks=1)}

        async def loaded():
            found = (await store.load(declared)).swarm
            assert found.chain.records.digest == swarm.chain.records.digest == found.chain.head.after
            return found.rows(FLOORS), found.rows(ERRANDS)

        await commit(founds=True)
        await commit(MissionSet(MISSION), FLOORS.put(FLOOR), Put(ERRANDS, MISSION.id, ERRAND))
        assert await loaded() == ({"room:hall": FLOOR}, {"m-1": {"a-1": ERRAND}})
        assert flaws() == set()

        await commit(FLOORS.put(replace(FLOOR, speaker="a-2")))
        hand = store.pipe.execute
        await hand("HDEL", k.rows(FLOORS), "room:hall")
        await hand("HSET", k.rows(FLOORS), "room:x", "{not ours")
        await hand("DEL", k.rows(ERRANDS, "m-1"))
        mends = {"floor:room:hall", "floor:room:x", "mission:m-1"}
        assert {one for _, one in flaws()} == mends
        for target in sorted(mends):
            await commit(repairs=target)
        assert flaws() == set()
        assert await loaded() == (
            {"room:hall": replace(FLOOR, speaker="a-2")}, {"m-1": {"a-1": ERRAND}}
        )

        await commit(Drop(FLOORS, "room:hall"), MissionClosed(MISSION, 9e9))
        assert await loaded() == ({}, {})
        assert await hand("EXISTS", k.rows(FLOORS), k.rows(ERRANDS, "m-1")) == 0
        assert flaws() == set()
        tail = Tail(await store.read_journal(FIRST, 1_000), swarm.chain.head)
        proved = prove(tmp_path, "s-test", lambda: tail)
        assert {finding.kind for finding in proved.proof.findings} <= {"unanchored"}


def test_the_keys_have_types_and_the_users_their_rights():
    assert (type_of("_floors"), type_of("_errands:m-1")) == ("hash", "hash")
    assert "_floors" in WORKER_READS
    users = acl.users(load(names=store_names()).acl, "swarm")
    keys = users["worker"].rules.keys
    assert "%R~swarm:_floors" in keys
    assert not any("_errands" in key for key in keys)
"""


def test_two_new_records_are_two_files_from_the_commit_to_the_repair(tmp_path: Path) -> None:
    house = tmp_path / "house"
    shutil.copytree(PACKAGE, house / "swarmd", ignore=shutil.ignore_patterns("__pycache__"))
    for shipped in ("policies", "channels"):
        shutil.copytree(ROOT / shipped, house / shipped)
    tables = house / "swarmd/core/model/tables.py"
    text = tables.read_text(encoding="utf-8")
    start = "\nTABLES: Final[tuple[Table[Any], ...]] = ("
    assert text.count(start) == 1
    tables.write_text(text.replace(start, ROWS), encoding="utf-8")
    (house / "swarmd/core/model/floors.py").write_text(MODULE, encoding="utf-8")
    use = house / "test_use.py"
    use.write_text(USE, encoding="utf-8")
    words = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "-c", f"{ROOT}/pyproject.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--rootdir", house, use],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(house), str(ROOT)])},
        cwd=house,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr
    assert "2 passed" in done.stdout
