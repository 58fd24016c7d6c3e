"""What others write on the swarm's channels and keys ends itself at most: no worker, no supervisor,
no other mission.

Anybody who reaches the server can ring, post and overwrite. Each test puts in one such thing, then
asks for what must go on all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.core.control.dispatch import decide
from swarmd.core.model.changes import AgentMade, Post
from swarmd.core.model.channels import (
    BOARD_ROOM,
    DEAD,
    JOURNAL,
    MISSIONS,
    ORDERS,
    REQUESTS,
    down,
    host_channel,
    inbox,
    up,
)
from swarmd.core.model.charter import KINDS
from swarmd.core.model.lineage import Agent, Fence, follows
from swarmd.core.model.messages import Kind, Message, from_line, from_ring
from swarmd.core.model.names import (
    FIRST,
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    Channel,
    MissionId,
    StreamId,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft
from swarmd.core.model.tables import (
    APPROVALS,
    FENCES,
    OVERRIDES,
    REVOCATIONS,
    STOPS,
    TROUBLES,
    Table,
)
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import StoreUnsuitableError
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.world import World
from tests.contract.test_store import account, open_store
from tests.core.swarm_builder import MISSION as STAGED
from tests.core.swarm_builder import journal, posts, world
from tests.runtime.test_supervisor import Stage, quiet, stage
from tests.runtime.test_worker import (
    AT,
    DECLARED,
    HERE,
    MISSION,
    Lineage,
    Queue,
    at_work,
    executive,
    facts_of,
    jumping,
    message,
    stored,
    until,
    worker_of,
)

A1, A2 = AgentId("a-1"), AgentId("a-2")
SEAT: Final = AgentId("picard")
HOPS_MAX: Final = DECLARED.limits.hops_max
DEEP: Final = "[" * 200_000
BAD: Final = MissionId("m-bad")


# --- rings and entries that are none -----------------------------------------------------------

WHOLE: Final[Mapping[str, Any]] = {
    "id": "2-0",
    "prev": "1-0",
    "channel": "room:x",
    "from": "sob",
    "to": "",
    "kind": "say",
    "mission": "m-1",
    "at": AT,
    "text": "hello",
    "data": {},
    "hops": 1,
    "inc": 1,
    "v": "1",
}
NO_IDS: Final[Sequence[object]] = ("x", "", "-1", "1-x", 5, 1.5, None, True, [], ["1-0"], {})
NO_TEXTS: Final[Sequence[object]] = (5, None, True, [], {})
NO_NUMBERS: Final[Sequence[object]] = (None, [], {}, "x", float("inf"), float("nan"))


def _ring(**other: Any) -> str:
    return json.dumps({**WHOLE, **other})


def test_a_ring_as_it_should_be_is_read() -> None:
    ring = from_ring(Channel("room:x"), _ring())
    assert ring is not None
    assert ring.message is not None
    assert ring.message.text == "hello"


@pytest.mark.parametrize(
    "line",
    [
        '{"id":"x","prev":"0-0","cut":true}',
        *(json.dumps({"id": id, "prev": "0-0", "cut": True}) for id in NO_IDS),
        *(json.dumps({"id": "1-0", "prev": id, "cut": True}) for id in NO_IDS),
        *(_ring(id=id) for id in NO_IDS),
        *(_ring(prev=id) for id in NO_IDS),
        *(
            _ring(**{name: text})
            for name in ("from", "to", "mission", "at", "text", "kind")
            for text in NO_TEXTS
        ),
        *(_ring(**{name: value}) for name in ("hops", "inc") for value in NO_NUMBERS),
        DEEP,
        '{"id":' + DEEP,
        "",
        "5",
        "null",
        "[]",
        '"x"',
        "{}",
        b"\xff\xfe",
        "{" + " " * 100,
    ],
    ids=lambda line: str(line[:70]),
)
def test_a_line_that_is_no_ring_is_none_and_no_error(line: str | bytes) -> None:
    assert from_ring(Channel("room:x"), line) is None


@pytest.mark.parametrize(
    "data", [DEEP, '{"a":' * 200_000, "5", "null", "[]", "{"], ids=lambda d: d[:6]
)
def test_an_entry_whose_data_is_no_object_is_none_and_no_error(data: str) -> None:
    line = json.dumps({**WHOLE, "data": "DATA"})
    for text, is_read in ((data, False), ("{}", True)):
        read = from_line(Channel("room:x"), StreamId("1-0"), line.replace('"DATA"', text))
        assert (read is not None) is is_read


@pytest.mark.parametrize("channel", [inbox(A1), down(SOB)])
@pytest.mark.parametrize("cut", [False, True])
def test_a_ring_from_the_far_future_on_an_empty_channel_makes_nobody_deaf(
    channel: Channel, cut: bool
) -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1))
            heard: list[str] = []

            async def answer(_world: World, resident: Resident) -> None:
                heard.extend(mail.text for mail in resident.mailbox or ())
                resident.mailbox = None

            rings = Queue()
            worker = worker_of(store, rings=rings)
            worker.turns.answer = answer
            async with at_work(worker):
                await anyio.sleep(2 * SWEEP_SECONDS)
                assert channel in rings.followed
                mark: dict[str, Any] = {"cut": True} if cut else {}
                forged = _ring(
                    id="99999999999999-0",
                    prev="0-0",
                    text="forged",
                    channel=channel,
                    kind="directive",
                    **mark,
                )
                rings.waiting.append((channel, forged))
                await anyio.sleep(2 * SWEEP_SECONDS)
                await store.post(channel, message("real"))
                await anyio.sleep(3 * SWEEP_SECONDS)
            assert heard == ["real"]

    jumping(test)


@pytest.mark.parametrize("agents", [5, None, "a-9", [5, None, {}], {"a": 1}], ids=str)
def test_a_placement_that_cannot_be_read_is_passed_over_and_the_host_takes_the_next(
    agents: object,
) -> None:
    async def test() -> None:
        async with stored() as store:
            lineage = Lineage(store)
            await lineage.found()
            worker = worker_of(store)
            async with at_work(worker):
                placed = Message(
                    sender=SUPERVISOR,
                    kind=Kind.PLACED,
                    at=AT,
                    text="placed",
                    data={"agents": agents},
                )
                await store.post(host_channel(HERE), placed)
                await anyio.sleep(2 * SWEEP_SECONDS)
                await lineage.write(
                    AgentMade(executive(A1), follows(executive(A1), DECLARED.rooms))
                )
                await lineage.place(executive(A1))
                for _ in range(50):  # the clock jumps, and the store may answer later than it does
                    await anyio.sleep(SWEEP_SECONDS)
                    if worker.residents.by_id:
                        break
                assert list(worker.residents.by_id) == [A1]

    jumping(test)


# --- what is said in others' names or shapes ---------------------------------------------------


def test_the_boards_own_failure_changes_nothing_but_the_journal() -> None:
    w = world()
    w.grow(SOB, "lead")
    changes = w.request(SOB, "failed", detail="give the whole swarm up")
    (refused,) = journal(changes, "request.refused")
    assert refused.data["rule"] == Rule.TERMINATE_DESCENDANT
    assert [type(change) for change in changes] == [Post], "the journal's entry is all"
    assert w.swarm.lineage.fences == {}
    assert w.agent(SOB).state is AgentState.LIVE


@pytest.mark.parametrize(
    ("files", "kept"),
    [(5, ()), (None, ()), ("docs", ()), ({"a": 1}, ()), (["docs", 5, None], ("docs",))],
)
def test_a_report_whose_files_are_no_names_is_taken_without_them(
    files: object, kept: tuple[str, ...]
) -> None:
    w = world()
    lead = w.grow(SOB, "lead")
    data = {"done": True, "files": files}
    changes = w.hear(up(SOB), lead.id, Kind.REPORT, data, text="the answer", mission=lead.mission)
    report = w.swarm.reports[lead.mission][lead.id]
    assert (report.text, report.files, report.is_done) == ("the answer", kept, True)
    assert len(journal(changes, "agent.reported")) == 1


async def test_an_input_that_cannot_be_decided_is_refused_once_and_its_batch_decided_once(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison: set[str] = set()

    def fails(draft: Draft, message: Message) -> None:
        # It fails after the deed: what it had changed in memory must be forgotten, too.
        decide(draft, message)
        if message.id in poison:
            raise ZeroDivisionError

    monkeypatch.setattr("swarmd.runtime.supervisor.intake.decide", fails)
    async with stage(namespace) as on:
        on.silent = {STAGED}
        await on.submit()
        await quiet(on)
        for number, target in enumerate(["none", STAGED, "none", STAGED, "none"]):
            data = {"order": f"o{number}", "verb": "cancel", "target": target}
            id = await on.store.post(
                ORDERS, Message(sender=AgentId("operator"), kind=Kind.ORDER, at=AT, data=data)
            )
            if target == STAGED:
                poison.add(id)
        await quiet(on)
        refused = [e for e in await on.journal("message.refused") if e.data["rule"] == Rule.POISON]
        assert sorted(entry.data["request"] for entry in refused) == sorted(poison)
        letters = await on.store.read(DEAD, FIRST, 10)
        assert sorted(letter.data["original"]["id"] for letter in letters) == sorted(poison)
        assert [e.data["order"] for e in await on.journal("order.refused")] == ["o0", "o2", "o4"]
        assert on.sup.state.lineage.fences == {}
        on.silent = set()
        await on.run()
        (result,) = await on.results()
        assert result.data["state"] == "delivered", "the mission was not cancelled, and it went on"


# --- seats -------------------------------------------------------------------------------------


def _seat() -> Agent:
    return Agent(
        id=SEAT,
        name=SEAT,
        role="seat",
        tier=0,
        parent=None,
        path=(SEAT,),
        state=AgentState.LIVE,
        host=HERE,
        lease=1,
        created=AT,
        privileges=("model/**", "room/sob/say"),
    )


def _call(call: object, mission: str = MISSION) -> Message:
    return Message(
        sender=AgentId("clerk"),
        to=SEAT,
        kind=Kind.CALL,
        at=AT,
        mission=MissionId(mission),
        data={"call": call},
    )


PROPER: Final[Mapping[str, Any]] = {"phase": "vote", "motion_number": 3, "motion": None}


async def _answers_after(bad: Message, store: RedisStore) -> list[tuple[Kind, object]]:
    """What a seat says in the board's room to a bad call and, later, to a proper one."""
    async with at_work(worker_of(store)):
        await store.post(inbox(SEAT), bad)
        await anyio.sleep(2 * SWEEP_SECONDS)
        await store.post(inbox(SEAT), _call(PROPER))

        async def said() -> list[Message]:
            return await store.read(BOARD_ROOM, FIRST, 10)

        await until(said)
        await anyio.sleep(2 * SWEEP_SECONDS)
        return [(m.kind, m.data["motion_number"]) for m in await said()]


@pytest.mark.parametrize(
    "call",
    [
        5,
        None,
        [],
        "vote",
        {},
        {**PROPER, "phase": "sing"},
        {**PROPER, "motion_number": "x"},
        {**PROPER, "motion": 5},
        {**PROPER, "reports": 5},
    ],
    ids=str,
)
def test_a_call_that_cannot_be_read_is_passed_over_and_the_next_is_answered(call: object) -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(_seat())
            assert await _answers_after(_call(call), store) == [(Kind.VOTE, 3)]
            assert await store.read(REQUESTS, FIRST, 10) == [], "the seat did not fail"

    jumping(test)


def test_a_call_for_a_mission_whose_record_is_garbage_does_not_block_the_seats_next() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(_seat())
            await store.pipe.execute(
                "HSET", store.keys.mission(BAD), "id", BAD, "budget", "x", "state", "singing"
            )
            assert await _answers_after(_call(PROPER, BAD), store) == [(Kind.VOTE, 3)]

    jumping(test)


# --- what is found damaged at a start ----------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 12])
async def test_a_mission_whose_record_is_damaged_fails_and_the_others_are_delivered(
    namespace: str, steps: int
) -> None:
    async with stage(namespace) as on:
        on.silent = {BAD}
        await on.submit(BAD)
        await on.sup.step()
        await quiet(on, steps)
        await on.store.pipe.execute("HSET", on.store.keys.mission(BAD), "budget", "x")
        await on.start()
        await on.submit()
        await on.run()
        failed, delivered = await on.results()
        assert (failed.mission, failed.data["state"]) == (BAD, "failed")
        assert (delivered.mission, delivered.data["state"]) == (STAGED, "delivered")
        closed = await account(on.store, BAD)
        assert not any(
            closed[f"{kind}.{left}"] for kind in KINDS for left in ("free", "granted", "reserved")
        )
        await _assert_given_back(on)


_POISON: list[tuple[Table[Any], str, str]] = [
    (STOPS, "=nobody", 'drain {"authority":1,"reason":"r","by":"o","at":1.0,"until":"x"}'),
    (FENCES, "nobody", '{"reason":"r","by":"o","order":"","at":1e999}'),
    (FENCES, "nobody", "[" * 100_000),
    (REVOCATIONS, "nobody", '[["model/**","x","use","o","at","r",1]]'),
    (
        APPROVALS,
        "ap-1",
        '{"digest":"d","action":{},"needs":2,"rule":"taint.permission","at":1.0,"expires":2.0}',
    ),
    (
        OVERRIDES,
        "ov-1",
        '{"kind":"task","target":"a","by":"o","authority":1,"mission":"m","before":{},'
        '"after":{},"at":1.0,"expires":"x","reversal":"task","reason":"r"}',
    ),
    (TROUBLES, "nobody", '{"kind":"stalled","since":"x"}'),
]


@pytest.mark.parametrize(
    ("table", "name", "text"), _POISON, ids=[f"{row[0].name}-{row[2][:20]}" for row in _POISON]
)
async def test_a_row_of_wrong_types_keeps_no_supervisor_from_leading(
    namespace: str, table: Table[Any], name: str, text: str
) -> None:
    async with stage(namespace) as on:
        await on.submit()
        await quiet(on, 2)
        await on.store.pipe.execute("HSET", on.store.keys.rows(table), name, text)
        await on.start()
        await on.run()
        assert [result.data["state"] for result in await on.results()] == ["delivered"]


@pytest.mark.parametrize("field", ["deadline", "lease", "crashes", "later"])
async def test_an_agents_number_that_is_none_keeps_no_supervisor_from_leading(
    namespace: str, field: str
) -> None:
    poison = {
        "deadline": "inf",
        "lease": "9" * 5_000,
        "crashes": '["x"]',
        "later": '[["model/**","use","x"]]',
    }
    async with stage(namespace) as on:
        lead = await _staged_lead(on)
        await on.store.pipe.execute("HSET", on.store.keys.agent(lead), field, poison[field])
        await on.start()
        assert on.sup.state.lineage.stops[lead].rule == Rule.AGENT_UNREADABLE


async def _staged_lead(on: Stage) -> AgentId:
    on.silent = {STAGED}
    await on.submit()
    await quiet(on, 12)
    return next(a.id for a in on.sup.state.lineage.agents.values() if a.tier == 1)


async def test_a_mission_on_the_docket_whose_record_is_damaged_fails_without_an_account(
    namespace: str,
) -> None:
    async with stage(namespace, board={"missions_at_once": 1}) as on:
        on.silent = {STAGED}
        await on.submit()
        await quiet(on, 2)
        await on.submit(BAD)
        await quiet(on, 2)
        await on.store.pipe.execute("HSET", on.store.keys.mission(BAD), "budget", "x")
        await on.start()
        on.silent = set()
        await on.run()
        assert {r.mission: r.data["state"] for r in await on.results()} == {
            BAD: "failed",
            STAGED: "delivered",
        }
        assert len(await on.results()) == 2
        await _assert_given_back(on)


async def _assert_given_back(on: Stage) -> None:
    root, limits = await account(on.store, SOB), on.sup.declared.limits.root
    for kind in KINDS:
        assert (root[f"{kind}.granted"], root[f"{kind}.reserved"]) == (0, 0)
        assert root[f"{kind}.free"] == getattr(limits, kind) - root[f"{kind}.spent"]


async def test_orders_that_were_deleted_are_told_once_and_later_ones_are_decided(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        key = on.store.keys.channel(ORDERS)
        first = Message(
            sender=AgentId("operator"),
            kind=Kind.ORDER,
            at=AT,
            data={"order": "o1", "verb": "cancel", "target": "none"},
        )
        # Read far ahead of the clock: a stream that begins anew has ids below it.
        await on.store.pipe.execute(
            "XADD", key, "99999999999999-0", "m", on.store.session.runtime(ORDERS, first).line
        )
        await on.sup.step()
        await on.store.pipe.execute("DEL", key)
        await on.start()
        await on.start()
        assert [entry.data["channel"] for entry in await on.journal("position.recovered")] == [
            ORDERS
        ]
        await on.post("operator", ORDERS, Kind.ORDER, order="o2", verb="cancel", target="none")
        await on.sup.step()
        await on.sup.step()
        assert [entry.data["order"] for entry in await on.journal("order.refused")] == ["o1", "o2"]


async def test_a_deleted_stream_of_missions_is_told_once_and_later_ones_are_delivered(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        key = on.store.keys.channel(MISSIONS)
        await on.store.pipe.execute("XADD", key, "99999999999999-0", "mission", "", "id", "m-early")
        await on.sup.step()
        await on.store.pipe.execute("DEL", key)
        await on.start()
        await on.start()
        assert [entry.data["channel"] for entry in await on.journal("position.recovered")] == [
            MISSIONS
        ]
        await on.submit()
        await on.run()
        assert [result.data["state"] for result in await on.results()] == ["rejected", "delivered"]


# --- loops -------------------------------------------------------------------------------------


async def _turn_beyond(model: ScriptedModel, store: RedisStore) -> None:
    """One turn of an executive, on a message that came as far as any may."""
    # It may create children, so that it is offered what leads them, too.
    rights = ("model/**", "tool/**", "spawn/**")
    await Lineage(store).found(replace(executive(A1), privileges=rights))
    async with at_work(worker_of(store, model)):
        await store.post(inbox(A1), replace(message("go on"), hops=HOPS_MAX))
        await anyio.sleep(3 * SWEEP_SECONDS)


@pytest.mark.parametrize(
    "moves",
    [
        [{"move": "report", "text": "not yet", "done": False}],
        [
            {"move": "report", "text": "42", "done": True},
            {"move": "direct", "to": "*", "text": "go on"},
        ],
        [{"move": "govern", "verb": "terminate", "target": "a-9", "reason": "r"}],
    ],
    ids=["a report that is not the last", "a last report and more", "a request"],
)
def test_an_agent_whose_outputs_are_cut_asks_for_its_end_by_the_rule_of_hops(
    moves: Sequence[Mapping[str, Any]],
) -> None:
    async def test() -> None:
        async with stored() as store:
            await _turn_beyond(ScriptedModel([{"moves": moves}]), store)
            (failed,) = await store.read(REQUESTS, FIRST, 10)
            assert (failed.sender, failed.data["type"], failed.data["rule"]) == (
                A1,
                "failed",
                Rule.HOPS,
            )
            assert failed.hops == HOPS_MAX + 1
            assert (
                await store.read(up(SOB), FIRST, 10) == await store.read(down(A1), FIRST, 10) == []
            )
            assert len(await facts_of(store, fact="refuse", rule=Rule.HOPS, agent=A1)) == 1

    jumping(test)


def test_an_agent_that_reports_done_beyond_the_hops_is_heard() -> None:
    async def test() -> None:
        async with stored() as store:
            await _turn_beyond(
                ScriptedModel([{"moves": [{"move": "report", "text": "42", "done": True}]}]), store
            )
            assert [report.text for report in await store.read(up(SOB), FIRST, 10)] == ["42"]
            requests = await store.read(REQUESTS, FIRST, 10)
            assert [request.data["type"] for request in requests] == ["hand_in"]
            assert await facts_of(store, fact="refuse", rule=Rule.HOPS) == []

    jumping(test)


def test_an_agent_that_fails_beyond_the_hops_fails_for_its_own_reason() -> None:
    async def test() -> None:
        async with stored() as store:
            await _turn_beyond(
                ScriptedModel([{"fail": {"why": "rejected", "detail": "no such model"}}]), store
            )
            (failed,) = await store.read(REQUESTS, FIRST, 10)
            assert failed.data["type"] == "failed"
            assert failed.data["rule"] != Rule.HOPS
            assert "no such model" in failed.data["detail"]

    jumping(test)


def test_an_agent_that_asked_for_its_end_by_the_hops_is_ended_and_its_creator_told_with_these_hops() -> (
    None
):
    w = world()
    lead = w.grow(SOB, "lead")
    child = w.grow(lead.id, "child")
    w.request(child.id, "failed", rule=Rule.HOPS.value, detail="no end", hops=HOPS_MAX + 1)
    assert w.swarm.lineage.fences[child.id].hops == HOPS_MAX + 1
    w.swarm.observed.endings[child.id].words.update(w.swarm.hosts)
    (notice,) = posts(w.reap(), inbox(lead.id))
    assert notice.kind is Kind.NOTICE
    assert notice.hops == HOPS_MAX + 1
    assert Rule.HOPS in notice.text
    assert w.swarm.lineage.get(child.id) is None


def test_a_loop_of_making_and_ending_a_child_comes_to_the_bound_of_hops() -> None:
    """The manager wakes for the notice of the last child's end alone, ends the child it has and
    makes another.
    """
    w = world()
    lead = w.grow(SOB, "lead")
    hops = rounds = 0
    while hops < HOPS_MAX and rounds < 2 * HOPS_MAX:
        rounds += 1
        w.now += 60.0
        turn = hops + 1
        charter = {"role": "worker", "name": f"c{rounds}", "task": "t"}
        given = {"tokens": 1, "calls": 1, "agents": 0}
        w.request(
            lead.id, "spawn", key=f"c{rounds}", charter=charter | {"budget": given}, hops=turn
        )
        w.end(lead.id, f"c{rounds}", reason="another one", hops=turn)
        (notice,) = posts(w.reap(), inbox(lead.id))
        hops = notice.hops
        # The account of each child is closed: what was given comes back.
        w.swarm.observed.free[lead.id] = dict.fromkeys(KINDS, 10)
        w.reap()
    assert hops == rounds == HOPS_MAX


def test_a_fence_keeps_its_hops_on_the_server() -> None:
    mark = Fence("a-1", "no end", "supervisor", 1.0, hops=HOPS_MAX)
    assert FENCES.decode("a-1", FENCES.encode(mark)) == mark


# --- files -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Desk:
    """A worker with a workspace, and what its agents were answered when they used it."""

    store: RedisStore
    files: Workspace

    async def results(self, agent: AgentId, *moves: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What this agent sees of these moves, one after the other."""
        rules = [{"when": {"step": number}, "moves": [move]} for number, move in enumerate(moves)]
        handlers = built_in(self.store, self.files)
        worker = worker_of(self.store, ScriptedModel(rules), handlers=handlers)
        async with at_work(worker):
            await self.store.post(inbox(agent), message("begin"))

            async def memory() -> tuple[str, ...]:
                return (await self.store.resume(agent)).memory.entries

            entries = [json.loads(entry) for entry in await until(memory)]
        return [result for entry in entries for result in entry.get("results", ())]


def _desk(store: RedisStore, folder: Path, given: Mapping[str, str]) -> Desk:
    source = folder / "source"
    for name, text in given.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    files = Workspace(folder / "volume", None)
    files.snapshot(MISSION, [source / name.split("/")[0] for name in given], source)
    return Desk(store, files)


WRITE: Final = {
    "move": "use",
    "function": "file/write",
    "args": {"path": "notes.md", "text": "Forty-two zebras.\n"},
}
READ: Final = {"move": "use", "function": "file/read", "args": {"path": "work/notes.md"}}
SEARCH: Final = {
    "move": "use",
    "function": "file/search",
    "args": {"query": "zebras", "files": ["work/notes.md"]},
}


def test_what_an_agent_writes_is_at_work_for_it_and_the_others_of_its_mission(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1), executive(A2))
            desk = _desk(store, tmp_path, {"docs/a.md": "Given.\n"})
            written, *own = await desk.results(A1, WRITE, READ, SEARCH)
            assert (written["ok"], written["path"]) == (True, "work/notes.md")
            others = await desk.results(A2, READ, SEARCH)
            for read, found in (own, others):
                assert read["lines"] == ["Forty-two zebras."]
                assert [passage["path"] for passage in found["passages"]] == ["work/notes.md"]

    jumping(test)


def test_a_file_that_was_given_is_not_overwritten(tmp_path: Path) -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1))
            desk = _desk(
                store, tmp_path, {"docs/a.md": "Given.\n", "work/notes.md": "Given, too.\n"}
            )
            hidden, beside = await desk.results(
                A1, WRITE, {**WRITE, "args": {"path": "docs/a.md", "text": "x"}}
            )
            assert not hidden["ok"]
            assert "read-only" in hidden["detail"]
            assert desk.files.read(MISSION, "work/notes.md", 1, 9).lines == ("Given, too.",)
            assert beside["path"] == "work/docs/a.md"
            assert desk.files.read(MISSION, "docs/a.md", 1, 9).lines == ("Given.",)

    jumping(test)


# --- keys --------------------------------------------------------------------------------------


async def test_a_key_that_holds_something_else_is_missing_where_it_is_read_and_named_where_it_is_written(
    server: EmbeddedServer, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_store(str(server.socket), namespace) as store:
        mission, room = store.keys.mission(MISSION), store.keys.channel(JOURNAL)
        for key in (mission, room):
            await store.pipe.execute("SET", key, "something else")
        assert await store.records.mission(MISSION) is None
        told = capsys.readouterr()
        assert mission in told.out + told.err
        with pytest.raises(StoreUnsuitableError, match=room):
            await store.post(JOURNAL, message("by a script"))
        assert await store.pipe.execute("GET", mission) == "something else", "the pipe goes on"
