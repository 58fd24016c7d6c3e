"""Every class of fault: seeded by a hand on the server, found by its name, mended by the
supervisor or reported.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio.lowlevel
import anyio.to_thread
import pytest

from swarmd.adapters.archive.fsck import check
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.reader import view_of
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.cli.verbs.fsck import REPAIR_PASSES
from swarmd.core.journal.fsck import FAULTS, Flaw
from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, ORDERS
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import FIRST, SOB, AgentId, Authority, HostId, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import BOARDS, FENCES, MARKS, STOPS, TROUBLES
from swarmd.ports.stores import Begin, Begun, Hold, RefusedByStore, Used
from tests.core.swarm_builder import MISSION
from tests.runtime.recorded import SWARM, Recorded, recorded
from tests.runtime.test_supervisor import H1, quiet

Command = tuple[str | int, ...]


@dataclass(frozen=True)
class Scene:
    """A mission at work: one of its executives, and a child of it; each has called a model."""

    on: Recorded
    keys: Keys
    top: AgentId
    child: AgentId
    socket: Path

    async def do(self, *commands: Command) -> None:
        for command in commands:
            await self.on.store.pipe.execute(*command)

    async def flaws(self) -> list[Flaw]:
        def look() -> list[Flaw]:
            with closing(view_of(self.socket, self.keys.namespace)) as view:
                return check(view, self.on.folder, SWARM, looks=1)

        return await anyio.to_thread.run_sync(look)

    async def repair(self, target: str) -> dict[str, Any]:
        """As `swarmd fsck --repair` orders it; the journal's answer."""
        await self.on.post(
            "operator",
            ORDERS,
            Kind.ORDER,
            order=f"o-{target}",
            verb="repair",
            target=target,
            reason="r",
        )
        for _ in range(3):
            self.on.clock.time += 0.6
            await self.on.sup.step()
        entries = await self.on.store.read(JOURNAL, FIRST, 10_000)
        return dict(next(e.data for e in reversed(entries) if e.data.get("order") == f"o-{target}"))


@pytest.fixture
async def scene(server: EmbeddedServer, namespace: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with recorded(namespace, tmp_path, socket=str(server.socket)) as on:
        await on.store.check_schema()
        await on.submit()
        while not any(a.tier == 2 for a in on.sup.state.lineage.agents.values()):
            await quiet(on, 1)
        agents = on.sup.state.lineage.agents.values()
        child = next(a for a in agents if a.tier == 2)
        on.silent = {MISSION}
        await quiet(on, 4)
        assert child.parent is not None
        made = Scene(on, on.store.keys, child.parent, child.id, server.socket)
        assert await made.flaws() == []
        yield made


def _garbled(s: Scene) -> list[Command]:
    return [("HSET", s.keys.agent(s.child), "tier", "two")]


# What a hand does, and whether the supervisor can mend it.
SEEDS: Final[dict[str, tuple[Callable[[Scene], list[Command]], bool]]] = {
    "agent.missing": (lambda s: [("DEL", s.keys.agent(s.child))], True),
    "agent.damaged": (_garbled, True),
    "agent.other": (lambda s: [("HSET", s.keys.agent(s.child), "privileges", "**")], True),
    "agent.unknown": (lambda s: [("SADD", s.keys.agents, "a-ghost")], True),
    "agent.unlisted": (lambda s: [("SREM", s.keys.agents, s.child)], True),
    "agent.childless": (lambda s: [("SREM", s.keys.children(s.top), s.child)], True),
    "agent.rights": (lambda s: [("HSET", s.keys.use(s.child), "**", "0")], True),
    "agent.hold": (lambda s: [("HSET", s.keys.holds, s.child, "live 1 9 h-x")], True),
    "agent.leftover": (lambda s: [("HSET", s.keys.state(AgentId("a-gone")), "turn", "3")], True),
    "journal.gap": (lambda s: [("HSET", s.keys.meta, "gap:99999", "open")], True),
    "mission.missing": (lambda s: [("DEL", s.keys.mission(MISSION))], True),
    "mission.other": (lambda s: [("HSET", s.keys.mission(MISSION), "mission", "Do evil.")], True),
    "mission.unlisted": (lambda s: [("SREM", s.keys.missions, MISSION)], True),
    "mission.unknown": (lambda s: [("SADD", s.keys.missions, "m-ghost")], True),
    "mark.other": (
        lambda s: [
            ("HSET", s.keys.rows(FENCES), "a-x", '{"reason":"r","by":"operator","at":1,"order":""}')
        ],
        True,
    ),
    "record.invented": (
        lambda s: [
            ("HSET", s.keys.agent(AgentId("a-ghost")), "id", "a-ghost", "state", "live"),
            ("HSET", s.keys.mission(MissionId("m-ghost")), "id", "m-ghost", "state", "working"),
            ("HSET", s.keys.ledger("a-ghost"), "tokens.free", "1000000"),
            ("HSET", s.keys.rows(TROUBLES), "a-ghost", '{"kind":"stalled","since":1.0}'),
        ],
        True,
    ),
    "account.missing": (lambda s: [("DEL", s.keys.ledger(s.child))], True),
    "account.other": (
        lambda s: [
            ("HINCRBY", s.keys.ledger(s.child), f"tokens.{amount}", 500)
            for amount in ("cap", "free")
        ],
        True,
    ),
    "account.unbalanced": (lambda s: [("HINCRBY", s.keys.ledger(s.top), "tokens.free", 7)], True),
    "account.granted": (lambda s: [("HINCRBY", s.keys.ledger(s.top), "calls.granted", 1)], True),
    "channel.head": (lambda s: [("ZADD", s.keys.heads, 1, "room:ghost")], True),
    "channel.foreign": (
        lambda s: [("XADD", s.keys.channel(BOARD_ROOM), "*", "what", "is this")],
        True,
    ),
    "channel.end": (
        lambda s: [
            ("HSET", s.keys.ends, "room:ghost", "5-0 3", BOARD_ROOM, "5-0 10000"),
        ],
        True,
    ),
    "key.type": (
        lambda s: [
            command
            for key in (
                s.keys.agent(s.child),
                s.keys.ledger(s.child),
                s.keys.use(s.child),
                s.keys.children(s.top),
                s.keys.mission(MISSION),
                s.keys.rows(BOARDS, MISSION),
                s.keys.rows(STOPS),
                s.keys.agents,
                s.keys.missions,
            )
            for command in (("DEL", key), ("XADD", key, "*", "what", "is this"))
        ],
        True,
    ),
    "schema.missing": (lambda s: [("HDEL", s.keys.meta, "schema")], True),
    "position.channel": (lambda s: [("HSET", s.keys.state(s.child), "p:room:ghost", "5-0")], False),
    "host.unlisted": (lambda s: [("SET", s.keys.host(HostId("h-stray")), "{}")], False),
    "journal.head": (lambda s: [("HSET", s.keys.head, "n", 1)], False),
    "journal.broken": (lambda s: [("DEL", s.keys.channel(JOURNAL))], False),
}


@pytest.mark.parametrize("name", SEEDS)
async def test_a_fault_is_found_by_its_name_and_mended_or_reported(scene: Scene, name: str) -> None:
    seed, is_mendable = SEEDS[name]
    await scene.do(*seed(scene))
    found = [flaw for flaw in await scene.flaws() if flaw.name == name]
    assert found, await scene.flaws()
    assert bool(found[0].repair) == is_mendable
    # What a key of another type hid is found only when that has gone.
    for _ in range(REPAIR_PASSES):
        for target in {flaw.repair for flaw in await scene.flaws() if flaw.repair}:
            assert (await scene.repair(target))["outcome"] == "done"
    left = {flaw.name for flaw in await scene.flaws()}
    assert left == (set() if is_mendable else {name})
    if name not in {"journal.broken", "journal.head"}:
        assert (await scene.on.proved()).proof.findings == [], (
            "a repair is lawful, and in the chain"
        )


@pytest.mark.parametrize("name", ["stop", "fence", "revoked", "approval", "override"])
async def test_a_mark_that_cannot_be_read_is_found_and_taken_away(scene: Scene, name: str) -> None:
    await scene.do(("HSET", scene.keys.rows(MARKS[name]), scene.child, "{not ours"))
    (flaw,) = await scene.flaws()
    assert (flaw.name, flaw.repair) == ("mark.other", f"{name}:{scene.child}")
    assert (await scene.repair(flaw.repair))["outcome"] == "done"
    assert await scene.flaws() == []


async def test_a_record_that_is_kept_of_who_has_ended_is_nobodys_invention(scene: Scene) -> None:
    scene.on.silent = set()
    await scene.on.run()
    assert await scene.flaws() == []
    refused = await scene.repair(f"record:{scene.child}")
    assert refused["outcome"] == "done", "the order is done, and the store sees whose record it is"
    assert await scene.on.store.pipe.execute("EXISTS", scene.keys.agent(scene.child))


async def test_a_supervisor_without_its_positions_says_so_and_decides_nothing_twice(
    scene: Scene,
) -> None:
    before = set(scene.on.sup.state.missions)
    await scene.do(("DEL", scene.keys.positions))
    assert [(flaw.name, flaw.repair) for flaw in await scene.flaws()] == [("positions.missing", "")]
    await scene.on.start()
    await quiet(scene.on, 3)
    assert set(scene.on.sup.state.missions) == before
    told = [
        e
        for e in await scene.on.store.read(JOURNAL, FIRST, 10_000)
        if e.data["event"] == "position.recovered"
    ]
    assert {e.data["channel"] for e in told} >= {"missions", "orders", "requests"}
    assert await scene.flaws() == []


async def test_a_board_whose_record_is_gone_keeps_its_account(scene: Scene) -> None:
    before = await scene.on.store.pipe.execute("HGETALL", scene.keys.ledger(SOB))
    await scene.do(("DEL", scene.keys.agent(SOB)))
    await scene.on.start()
    await quiet(scene.on, 3)
    assert await scene.on.store.pipe.execute("EXISTS", scene.keys.agent(SOB)), "it is made anew"
    assert await scene.on.store.pipe.execute("HGETALL", scene.keys.ledger(SOB)) == before


async def test_positions_that_are_no_places_count_as_gone(scene: Scene) -> None:
    before = set(scene.on.sup.state.missions)
    flat = await scene.on.store.pipe.execute("HKEYS", scene.keys.positions)
    await scene.do(
        ("HSET", scene.keys.positions, *(word for field in flat for word in (field, "garbage")))
    )
    await scene.on.start()
    await quiet(scene.on, 3)
    assert set(scene.on.sup.state.missions) == before
    assert await scene.on.store.last_commit() > 0, "it commits again"


async def test_what_is_reserved_for_no_call_is_spent_and_in_the_facts(scene: Scene) -> None:
    """Its step journal was lost: whether the call was made nobody knows, so it is paid."""
    while not (open_ones := await _open_calls(scene)):
        await scene.on.call(scene.child)
    await scene.do(("DEL", scene.keys.steps(scene.child)))
    (flaw,) = await scene.flaws()
    assert (flaw.name, flaw.subject) == ("reserve.stray", scene.child)
    assert (await scene.repair(flaw.repair))["outcome"] == "done"
    assert await scene.flaws() == []
    row = (await scene.on.store.stated_accounts([scene.child])).rows[scene.child]
    assert row["tokens.reserved"] == "0"
    assert int(row["tokens.assumed"]) >= open_ones


async def _open_calls(scene: Scene) -> int:
    row = (await scene.on.store.stated_accounts([scene.child])).rows[scene.child]
    return int(row["tokens.reserved"])


async def test_a_call_of_a_host_that_is_gone_and_an_agent_below_what_ended_are_reported(
    scene: Scene,
) -> None:
    while not await _open_calls(scene):
        await scene.on.call(scene.child)
    await scene.do(("DEL", scene.keys.host(H1)))
    names = {(flaw.name, flaw.subject, flaw.repair) for flaw in await scene.flaws()}
    assert ("step.abandoned", scene.child, "") in names


async def test_a_read_only_look_at_a_busy_swarm_raises_no_false_alarm(scene: Scene) -> None:
    on, looks = scene.on, 0
    on.silent = set()
    await on.submit("m2")
    async with anyio.create_task_group() as tasks:

        async def busy() -> None:
            while True:
                on.clock.time += 0.3
                await on.sup.step()
                await on.play()
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(busy)
        for _ in range(25):
            found = await scene.flaws()
            # What is read beside the journal may be in passing; a second look would not find it
            # again.
            loose = {"position.channel", "channel.head", "agent.leftover", "record.invented"}
            assert {flaw.name for flaw in found} <= loose, found
            looks += 1
        tasks.cancel_scope.cancel()
    assert looks == 25


async def test_an_order_that_names_nothing_that_can_be_mended_is_refused(scene: Scene) -> None:
    for target in ("everything", "account:nobody-has-it-told", "agent"):
        answer = await scene.repair(target)
        assert answer["outcome"] in ("refused", "done")
    assert (await scene.repair("everything"))["outcome"] == "refused"
    assert await scene.flaws() == []


def test_every_fault_that_is_named_is_seeded_here() -> None:
    seeded = {*SEEDS, "reserve.stray", "step.abandoned", "agent.orphan", "positions.missing"}
    assert seeded == set(FAULTS)


# --- damaged data, and a swarm that lives with it -------------------------------------------------


async def _next_turn(scene: Scene, agent: AgentId) -> int:
    turn = await scene.on.store.pipe.execute("HGET", scene.keys.state(agent), "turn")
    return int(turn or 0) + 1


@pytest.mark.parametrize("whose", ["child", "top", "mission", "root"])
@pytest.mark.parametrize("how", ["no number", "no hash"])
async def test_an_account_that_cannot_be_read_is_held_and_the_rest_of_the_swarm_lives(
    scene: Scene, whose: str, how: str
) -> None:
    on, sup = scene.on, scene.on.sup
    account = {"child": scene.child, "top": scene.top, "mission": MISSION, "root": SOB}[whose]
    key = scene.keys.ledger(account)
    damage: list[Command] = [("HSET", key, "tokens.free", "many")]
    await scene.do(*(damage if how == "no number" else [("DEL", key), ("SET", key, "mine")]))
    agent = sup.state.lineage.agents[AgentId(scene.child)]
    hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
    turn = await _next_turn(scene, agent.id)
    for step, paid_by in enumerate((account, ""), start=8):  # beside its own
        # Of its own account, and of that of somebody who has nothing to do with it.
        of = paid_by or (scene.top if whose == "child" else scene.child)
        begin = Begin(turn, step, "model", of, agent.path, (), (), {"tokens": 3, "calls": 1})
        reply = await on.store.begin(hold, begin, "at")
        if paid_by:
            assert isinstance(reply, RefusedByStore)
            assert (reply.rule, key in reply.detail) == (Rule.BUDGET_UNREADABLE, True)
        else:
            assert isinstance(reply, Begun)
    # A mission is handed in, one is cancelled, and a supervisor takes over: nothing of it needs
    # that account whole.
    await on.submit("m-other")
    await quiet(on, 3)
    await on.start()
    await quiet(on, 3)
    assert "m-other" in on.sup.state.missions, (
        "a root that cannot be read keeps it waiting, and rejects nothing"
    )
    for _ in range(2):
        for target in {flaw.repair for flaw in await scene.flaws() if flaw.repair}:
            assert (await scene.repair(target))["outcome"] == "done"
    assert [flaw for flaw in await scene.flaws() if flaw.name.startswith("account.")] == []
    assert (await on.proved()).proof.findings == []


async def test_a_call_that_was_under_way_as_its_account_was_damaged_is_paid_in_the_facts(
    scene: Scene,
) -> None:
    agent = scene.on.sup.state.lineage.agents[scene.child]
    hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
    turn = await _next_turn(scene, agent.id)
    begin = Begin(turn, 8, "model", scene.child, agent.path, (), (), {"tokens": 30, "calls": 1})
    before = (await scene.on.store.stated_accounts([scene.child])).rows[scene.child]
    assert isinstance(await scene.on.store.begin(hold, begin, "at"), Begun)
    await scene.do(("HSET", scene.keys.ledger(scene.child), "tokens.spent", "x", "tokens.free", ""))
    await scene.on.store.end(hold, begin, "{}", Used({"tokens": 20, "calls": 1}), 80, "at")
    for target in {flaw.repair for flaw in await scene.flaws()}:
        assert (await scene.repair(target))["outcome"] == "done"
    assert await scene.flaws() == []
    after = (await scene.on.store.stated_accounts([scene.child])).rows[scene.child]
    assert int(after["tokens.spent"]) == int(before["tokens.spent"]) + 20


@pytest.mark.parametrize("what", ["board", "record"])
async def test_a_mission_that_is_given_up_at_a_start_leaves_every_account_whole(
    scene: Scene, what: str
) -> None:
    damage: dict[str, Command] = {
        "board": ("SET", scene.keys.rows(BOARDS, MISSION), '{"stage":"x"'),
        "record": ("HSET", scene.keys.mission(MISSION), "budget", "x"),
    }
    await scene.do(damage[what])
    await scene.on.start()
    await scene.on.run()
    (failed,) = await scene.on.results()
    assert failed.data["state"] == "failed"
    assert await scene.flaws() == []
    # That a hand has changed what was stored is told, and nothing else is wrong.
    assert [found.kind for found in (await scene.on.proved()).proof.findings] == ["restated"]


@pytest.mark.parametrize(
    "damage",
    ["tier", "path", "charter", "all", "type", "other tier", "no person", "other mission"],
)
async def test_an_agent_whose_record_cannot_be_read_is_held_with_all_below_it_and_can_be_ended(
    scene: Scene, damage: str
) -> None:
    on, key = scene.on, scene.keys.agent(scene.top)
    was = on.sup.state.lineage.agents[scene.top]
    ruined: dict[str, list[Command]] = {
        "all": [("DEL", key)],
        "type": [("DEL", key), ("SADD", key, "x")],
        "path": [("HDEL", key, "path")],
        "tier": [("HSET", key, "tier", "two")],
        "charter": [("HSET", key, "charter", "{")],
        # A path is what each mark is looked for in: one that the law does not make is not believed.
        "other tier": [("HSET", key, "tier", "3")],
        "no person": [("HSET", key, "path", f"sob/{was.mission}/{scene.top}")],
        "other mission": [("HSET", key, "path", f"sob/@owner/elsewhere/{scene.top}")],
    }
    await scene.do(*ruined[damage])
    await on.start()
    held = on.sup.state.lineage.agents[scene.top]
    assert (held.path, held.parent, held.tier, held.mission) == (
        was.path,
        was.parent,
        was.tier,
        was.mission,
    )
    stop = on.sup.state.lineage.stops[scene.top]
    assert (stop.authority, stop.rule) == (Authority.OPERATOR, Rule.AGENT_UNREADABLE)
    assert f"swarmd terminate {scene.top}" in stop.reason
    child = on.sup.state.lineage.agents[scene.child]
    assert stop.holds(child)
    refused = await _order(scene, "thaw", scene.top)
    is_lost = held.charter is None
    assert refused["outcome"] == ("refused" if is_lost else "done")
    assert is_lost == (damage in ("charter", "all", "type"))
    for target in {flaw.repair for flaw in await scene.flaws() if flaw.repair}:
        await scene.repair(target)
    await _order(scene, "terminate", scene.top)
    on.silent = set()
    await on.run()
    assert scene.top not in on.sup.state.lineage.agents
    assert scene.child not in on.sup.state.lineage.agents
    assert await scene.flaws() == []


async def _order(scene: Scene, verb: str, target: str) -> dict[str, Any]:
    id = f"o-{verb}"
    await scene.on.post(
        "operator", ORDERS, Kind.ORDER, order=id, verb=verb, target=target, reason="r"
    )
    await quiet(scene.on, 3)
    entries = await scene.on.store.read(JOURNAL, FIRST, 10_000)
    return dict(next(e.data for e in reversed(entries) if e.data.get("order") == id))


async def test_a_journal_that_is_gone_before_any_of_it_was_sealed_is_stated_anew_once(
    scene: Scene,
) -> None:
    await scene.on.store.pipe.execute("DEL", scene.keys.channel(JOURNAL))
    await scene.on.start()
    (entry,) = await scene.on.journal("journal.restated")
    assert await scene.flaws() == []
    await scene.on.start()
    await quiet(scene.on, 4)
    assert [e.id for e in await scene.on.journal("journal.restated")] == [entry.id], (
        "it is told once"
    )
    (finding,) = (await scene.on.proved()).proof.findings
    assert (finding.kind, finding.n) == ("restated", entry.data["n"])


async def test_what_was_stated_anew_is_looked_at_from_there_on(scene: Scene) -> None:
    """The journal went under a living supervisor, which wrote on before it saw that."""
    await scene.on.store.pipe.execute("DEL", scene.keys.channel(JOURNAL))
    await scene.on.submit("m2")
    await quiet(scene.on, 2)
    assert {flaw.name for flaw in await scene.flaws()} == {"journal.broken"}
    await scene.on.start()
    assert len(await scene.on.journal("journal.restated")) == 1
    assert await scene.flaws() == []
    await scene.on.start()
    assert len(await scene.on.journal("journal.restated")) == 1
    assert await scene.flaws() == []


async def test_what_a_mission_lends_to_a_call_under_way_is_no_stray_and_without_one_it_is(
    scene: Scene,
) -> None:
    agent = scene.on.sup.state.lineage.agents[scene.child]
    hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
    turn = await _next_turn(scene, agent.id)
    begin = Begin(
        turn,
        8,
        "model",
        scene.child,
        agent.path,
        (),
        (),
        {"tokens": 3, "calls": 1},
        keep={},
        lender=agent.mission,
        lent={"tokens": 40},
    )
    assert isinstance(await scene.on.store.begin(hold, begin, "at"), Begun)
    assert await scene.flaws() == []
    await scene.do(("DEL", scene.keys.lent(agent.mission)))
    stray = [flaw for flaw in await scene.flaws() if flaw.name == "reserve.stray"]
    assert [flaw.subject for flaw in stray] == [agent.mission]
    assert (await scene.repair(stray[0].repair))["outcome"] == "done"
    assert await scene.flaws() == []
