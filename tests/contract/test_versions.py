"""Two releases on one swarm: what is added is passed over, what is changed is refused, and
nothing is half understood.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.adapters.redis import worker_store as store_module
from swarmd.adapters.redis.codecs import (
    agent_fields,
    agent_of,
    host_of,
    host_text,
    mission_fields,
    mission_of,
)
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.lua import Script, script
from swarmd.adapters.redis.operator_post import operator_sealer
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.bus.envelope import RUNTIME, Seal
from swarmd.core.model.changes import (
    AgentMade,
    AgentSet,
    Change,
    MissionSet,
)
from swarmd.core.model.lineage import Fence, Stop, StopKind
from swarmd.core.model.messages import Kind, Message, Ring, channel_head, why_unreadable
from swarmd.core.model.names import AgentId, Authority, Channel, HostId, StreamId
from swarmd.core.model.privileges import Held, Revocation
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.records import (
    Approval,
    CallPrice,
    Citations,
    ExecutiveReport,
    Host,
    Override,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import APPROVALS, FENCES, OVERRIDES, REPORTS, REVOCATIONS, STOPS
from swarmd.core.model.versions import (
    RECORD_READS,
    RECORD_VERSION,
    SCHEMA,
    SCHEMA_READS,
    WIRE_READS,
    WIRE_VERSION,
    NewerRecordError,
    is_read,
)
from swarmd.errors import StoreUnsuitableError
from swarmd.ports.stores import Begun
from tests.conftest import SECRET
from tests.contract.test_store import (
    AT,
    WARN,
    Leader,
    _staffed,
    account,
    begin,
    hold,
    open_store,
    turn,
    used,
)
from tests.core.swarm_builder import MISSION, World, declarations, world

ROOM = Channel("room:hall")
ID, PREV = StreamId("5-0"), StreamId("4-0")
SEAL = Seal(b"thirty-two bytes and a few of them more", "swarm")


@given(st.integers(0, 999_999), st.none() | st.integers(0, 999_999))
def test_a_version_is_read_by_its_major_alone(major: int, minor: int | None) -> None:
    text = str(major) if minor is None else f"{major}.{minor}"
    assert is_read(text, frozenset({major}))
    assert not is_read(text, frozenset({major + 1}))


@pytest.mark.parametrize(
    "text", ["", "one", "1.", ".1", "1.2.3", "-1", "1 ", "٣", "1e3", True, 1.5e99]
)
def test_what_is_no_version_is_read_by_nobody(text: object) -> None:
    assert not is_read(text, frozenset(range(10)))


def test_what_carries_none_is_of_the_first_and_what_is_written_is_read() -> None:
    assert is_read(None, frozenset({1}))
    assert not is_read(None, frozenset({2}))
    for written, reads in (
        (WIRE_VERSION, WIRE_READS),
        (RECORD_VERSION, RECORD_READS),
        (SCHEMA, SCHEMA_READS),
    ):
        assert is_read(written, reads)


# --- envelopes --------------------------------------------------------------------------------


def sealed(v: str, text: str = "hello", **data: object) -> tuple[str, str]:
    """A message as a release that writes `v` sends it: its ring, and its entry's line, with a field
    that is ours nowhere where it has data.
    """
    more = '"colour":"blue",' if data else ""
    text_of_data = f'"data":{json.dumps(data, separators=(",", ":"))},' if data else ""
    body = (
        f'"from":"a-1","to":"","kind":"say","mission":"m1","at":"now","text":"{text}",'
        f'{text_of_data}"hops":1,"inc":1,"v":"{v}","key":"",{more}"serial":"{RUNTIME}:7"'
    )
    mac = SEAL._mac(f"{channel_head(ROOM)}{body}".encode())
    line = f'{{{body},"mac":"{mac}"}}'
    return f'{{"id":"{ID}","prev":"{PREV}",{channel_head(ROOM)}{line[1:]}', line


@pytest.mark.parametrize("v", ["1", "1.0", "1.7"])
def test_a_message_of_a_later_minor_is_read_and_what_it_adds_is_passed_over(v: str) -> None:
    ring, entry = sealed(v, motion=3, mood="calm")
    read = SEAL.open_entry(ROOM, ID, entry)
    assert (read.kind, read.text, read.data["motion"]) == (Kind.SAY, "hello", 3)
    heard = SEAL.open_ring(ROOM, ring)
    assert heard is not None
    assert heard.message is not None
    assert heard.message == read


@pytest.mark.parametrize("v", ["2", "2.0", "0", "99", "", "1.x"])
def test_a_message_of_another_major_is_refused_by_its_version_and_nothing_of_it_is_taken(
    v: str,
) -> None:
    ring, entry = sealed(v, motion=3)
    read = SEAL.open_entry(ROOM, ID, entry)
    assert (read.kind, read.sender, read.data, why_unreadable(read)) == (
        Kind.UNREADABLE,
        "",
        {},
        Rule.ENVELOPE_VERSION,
    )
    # Its ring is a reason to read the stream, which tells what is wrong with it; read in either of
    # two ways.
    for line in (ring, sealed(v)[0]):
        assert SEAL.open_ring(ROOM, line) == Ring(ID, PREV, None)


def test_a_version_that_was_written_over_is_a_forgery_and_not_a_version() -> None:
    for v in ("1.7", "2"):
        ring, entry = sealed("1")
        written_over = entry.replace('"v":"1"', f'"v":"{v}"')
        assert why_unreadable(SEAL.open_entry(ROOM, ID, written_over)) is Rule.ENVELOPE_FORGED
        assert SEAL.open_ring(ROOM, ring.replace('"v":"1"', f'"v":"{v}"')) is None


def test_our_own_messages_are_read_by_ourselves() -> None:
    message = Message(sender=AgentId("a-1"), kind=Kind.SAY, at="now", text="hello", incarnation=1)
    made = SEAL.seal(ROOM, message, f"{RUNTIME}:7")
    assert json.loads(made.line)["v"] == WIRE_VERSION
    assert SEAL.open_entry(ROOM, ID, made.line).text == "hello"


# --- records ----------------------------------------------------------------------------------


def peopled() -> World:
    w = world()
    w.grow("sob", "top")
    return w


def later(text: str) -> str:
    """A JSON record as a later minor writes it."""
    start = text.index("{")
    return text[:start] + json.dumps(json.loads(text[start:]) | {"v": "1.4", "colour": "blue"})


def newer(text: str) -> str:
    start = text.index("{")
    return text[:start] + json.dumps(json.loads(text[start:]) | {"v": "2"})


STOP = Stop("a-1", StopKind.FREEZE, Authority.BOARD, "r", "sob", 1.0)
FENCE = Fence("a-1", "r", "sob", 1.0, "")
OVERRIDE = Override(
    id="v-1",
    kind="spawn",
    target="a-1",
    by="operator",
    authority=Authority.OPERATOR,
    mission="m1",
    before={},
    after={},
    at=1.0,
    expires=2.0,
    reversal="r",
    reason="r",
)
APPROVAL = Approval(
    id="y-1",
    digest="d",
    action={"requester": "a-1", "mission": "m1"},
    needs=Authority.BOARD,
    rule=Rule.TAINT_PERMISSION,
    at=1.0,
    expires=2.0,
)
HOST = Host(HostId("h1"), 10, "w", price=CallPrice(1, 2, 3))


@pytest.mark.parametrize(
    ("text", "read", "known"),
    [
        (STOPS.encode(STOP), lambda text: STOPS.decode("a-1", text), STOP),
        (FENCES.encode(FENCE), lambda text: FENCES.decode("a-1", text), FENCE),
        (OVERRIDES.encode(OVERRIDE), lambda text: OVERRIDES.decode("v-1", text), OVERRIDE),
        (APPROVALS.encode(APPROVAL), lambda text: APPROVALS.decode("y-1", text), APPROVAL),
        (host_text(HOST), host_of, HOST),
    ],
)
def test_a_mark_of_a_later_minor_is_read_and_one_of_another_major_is_not(
    text: str, read: Callable[[str], object], known: object
) -> None:
    assert read(later(text)) == read(text) == known
    with pytest.raises(NewerRecordError, match="of version 2"):
        read(newer(text))


def test_an_agent_and_a_mission_of_a_later_minor_are_read_and_of_another_major_are_not() -> None:
    w = peopled()
    agent, mission = (
        next(a for a in w.swarm.lineage.agents.values() if a.tier == 1),
        w.swarm.missions[MISSION],
    )
    agent = agent.holding(Held("t/a", "use", 1, "operator", "now"))
    for flat, read, known in (
        (agent_fields(agent), agent_of, agent),
        (mission_fields(mission), mission_of, mission),
    ):
        record = dict(zip(flat[::2], flat[1::2], strict=True))
        more = record | {"v": "1.4", "colour": "blue"}
        if "charter" in record:
            more["charter"] = json.dumps(json.loads(record["charter"]) | {"colour": "blue"})
            more["later"] = json.dumps([[*held, "blue"] for held in json.loads(record["later"])])
        assert read(more) == read(record) == known
        assert read({name: part for name, part in record.items() if name != "v"}) == known, (
            "the first wrote none"
        )
        with pytest.raises(NewerRecordError):
            read(record | {"v": "2"})


def test_what_is_kept_as_a_list_or_a_procedure_may_have_more_at_its_end() -> None:
    mark = Revocation("a-1", "t/a", "use", 1, "operator", "now", "r", Authority.OPERATOR)
    text = json.dumps([[*row, "blue"] for row in json.loads(REVOCATIONS.encode((mark,)))])
    assert REVOCATIONS.decode("a-1", text) == (mark,)
    report = ExecutiveReport(
        AgentId("a-1"), "one", "done", ("f",), True, ("file",), Citations(2, ("a.md:9: no",))
    )
    assert (
        REPORTS.decode("a-1", json.dumps([*json.loads(REPORTS.encode(report)), "blue"])) == report
    )
    procedure = Procedure()
    assert (
        Procedure.from_json(json.dumps(json.loads(procedure.to_json()) | {"colour": "blue"}))
        == procedure
    )


# --- on the store -----------------------------------------------------------------------------


async def test_a_swarm_of_a_later_minor_is_joined_and_one_of_another_major_is_not(
    store: RedisStore,
) -> None:
    host = Host(HostId("h1"), 10, "")
    await store.check_schema()
    await store.pipe.execute("HSET", store.keys.meta, "schema", f"{SCHEMA}.4")
    assert await store.check_schema()
    assert await store.register(host, 60)
    # Taken over while this process runs: its next renewal tells it, and it writes no more.
    await store.pipe.execute("HSET", store.keys.meta, "schema", "99")
    for step in (store.check_schema(), store.register(host, 60)):
        with pytest.raises(
            StoreUnsuitableError, match=f"has schema 99, this swarmd speaks {SCHEMA}"
        ):
            await step


async def test_an_agent_of_another_major_is_nobodys_to_host_here_and_no_supervisor_takes_it_for_damaged(
    store: RedisStore,
) -> None:
    leader, w = await Leader(store).lead(), peopled()
    agent = next(a for a in w.swarm.lineage.agents.values() if a.tier == 1)
    await leader.do(AgentMade(agent, ()))
    assert await store.agents([agent.id]) == [agent]
    await store.pipe.execute("HSET", store.keys.agent(agent.id), "v", "2")
    assert await store.agents([agent.id]) == [None]
    with pytest.raises(NewerRecordError):
        await store.load(declarations())


async def test_the_scripts_of_two_releases_work_side_by_side_on_one_swarm(
    socket: str | None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process calls its own by their digest; they meet in the keys alone."""
    fake = fakeredis.FakeServer()
    own = script("begin")
    async with (
        open_store(socket, namespace, fake) as old,
        open_store(socket, namespace, fake) as new,
    ):
        _, top = await _staffed(old)
        assert isinstance(await old.begin(hold(top), begin(top), AT), Begun)
        another = own.text.replace("-- Returns", "-- As the next release has it.\n-- Returns")
        assert another != own.text
        sha = hashlib.sha1(another.encode(), usedforsecurity=False).hexdigest()
        with monkeypatch.context() as patch:
            patch.setattr(
                store_module,
                "script",
                lambda name: Script("begin", another, sha) if name == "begin" else script(name),
            )
            assert isinstance(await new.begin(hold(top), begin(top, 2), AT), Begun)
            await new.end(hold(top), begin(top), "{}", used(4), WARN, AT)
        await old.end(hold(top), begin(top, 2), "{}", used(5), WARN, AT)
        assert await old.commit(hold(top), turn(top), 32, AT) == "done"
        assert await new.commit(hold(top), turn(top), 32, AT) == "again"
        assert (await account(old, top.id))["tokens.spent"] == 9


async def read_hash(store: RedisStore, key: str) -> dict[str, str]:
    flat = await store.pipe.execute("HGETALL", key)
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


async def test_a_supervisor_takes_over_from_one_of_the_next_release(store: RedisStore) -> None:
    """All that it finds has a field more and a later minor; what it writes beside it leaves them
    there.
    """
    leader, w = await Leader(store).lead(), peopled()
    agent = next(a for a in w.swarm.lineage.agents.values() if a.tier == 1)
    mission = w.swarm.missions[MISSION]
    marks: list[Change] = [
        STOPS.put(replace(STOP, target=agent.id)),
        FENCES.put(replace(FENCE, segment="a-gone")),
        OVERRIDES.put(OVERRIDE),
    ]
    await leader.do(AgentMade(agent, ()), MissionSet(mission), APPROVALS.put(APPROVAL), *marks)
    before = (await store.load(w.swarm.declared)).swarm
    k = store.keys
    for key in (k.agent(agent.id), k.mission(mission.id)):
        await store.pipe.execute("HSET", key, "v", "1.4", "colour", "blue")
    for key in (k.rows(STOPS), k.rows(FENCES), k.rows(OVERRIDES), k.rows(APPROVALS)):
        for name, text in (await read_hash(store, key)).items():
            await store.pipe.execute("HSET", key, name, later(text))
    found = await store.load(w.swarm.declared)
    assert (found.damaged, found.unreadable) == ((), ())
    assert dict(found.swarm.chain.records.values) == dict(before.chain.records.values)
    await leader.do(AgentSet(replace(agent, reason="because")))
    record = await read_hash(store, k.agent(agent.id))
    assert (record["reason"], record["colour"]) == ("because", "blue")


async def test_a_store_of_an_older_schema_is_refused_by_daemons_and_operators_with_what_to_do(
    server: EmbeddedServer, namespace: str
) -> None:
    async with open_store(str(server.socket), namespace) as store:
        keys = store.keys
        await store.pipe.execute("HSET", keys.meta, "schema", str(int(SCHEMA) - 1))
        for refused in (store.check_schema(), store.register(HOST, 1.0)):
            with pytest.raises(StoreUnsuitableError, match=f"this swarmd speaks {SCHEMA}") as found:
                await refused
            assert "SWARMD_NAMESPACE" in found.value.hint
    with (
        closing(connect_sync(server.socket)) as wire,
        pytest.raises(StoreUnsuitableError, match="has schema"),
    ):
        operator_sealer(wire, keys, SECRET)
