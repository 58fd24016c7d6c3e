"""Guards, facts and stalls where they work: a worker's turns, the supervisor beside it, restarts
and take-overs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.output_limits import CUTS_MAX, guard_of
from swarmd.core.model.channels import BOARD_ROOM, REQUESTS, inbox, up
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, SOB, AgentId, HostId
from swarmd.core.model.records import Host
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import TROUBLES
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.runtime.worker.worker import Worker
from tests.core.swarm_builder import MISSION as STAGED
from tests.core.swarm_builder import SEATS
from tests.runtime.test_supervisor import H1, Stage, charter_motion, quiet, stage
from tests.runtime.test_worker import (
    DECLARED,
    DELIVERED,
    ELSEWHERE,
    HERE,
    Lineage,
    at_work,
    executive,
    facts_of,
    journal_of,
    jumping,
    message,
    stored,
    supervised,
    until,
    worker_of,
)

A1: Final = AgentId("a-1")
SAME: Final = [
    {
        "when": {"role": "executive"},
        "moves": [{"move": "report", "text": "Still at it.", "done": False}],
    }
]

# Turns that change something where it is asked the same each time: the first, which is its first
# report, too.
FREE: Final = 1


def bounded(**bounds: Any) -> Declarations:
    return replace(DECLARED, limits=DECLARED.limits.model_copy(update=bounds))


def guarded_worker(
    store: RedisStore, script: Any = SAME, *, host: HostId = HERE, **bounds: Any
) -> Worker:
    worker = worker_of(store, ScriptedModel(script), host=host)
    worker.context.world = replace(worker.context.world, declared=bounded(**bounds))
    return worker


async def woken(store: RedisStore, times: int, id: AgentId = A1) -> None:
    """So many turns, one after the other."""
    for _ in range(times):
        turn = (await store.resume(id)).turn
        await store.post(inbox(id), message("and?"))

        async def is_over(before: int = turn) -> bool:
            return (await store.resume(id)).turn > before

        await until(is_over)


async def reports(store: RedisStore) -> list[str]:
    return [report.text for report in await store.read(up(SOB), FIRST, 100)]


# --- a worker alone -----------------------------------------------------------------------------


def test_what_is_cut_is_not_sent_is_remembered_by_its_sender_and_is_a_fact() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1))
            async with at_work(guarded_worker(store, unchanged_max=2)):
                await woken(store, 4)
            assert len(await reports(store)) == 2
            facts = await facts_of(store, fact="refuse", rule=Rule.NO_PROGRESS, agent=A1)
            assert [(f["channel"], f["to"], f["count"], f["tell"]) for f in facts] == [
                (up(SOB), SOB, "1", "1"),
                (up(SOB), SOB, "1", ""),
            ]
            resumed = await store.resume(A1)
            assert guard_of(resumed.guard).cuts == 2
            results = [
                r
                for entry in map(json.loads, resumed.memory.entries)
                for r in entry.get("results", ())
            ]
            assert [r["rule"] for r in results] == [Rule.NO_PROGRESS, Rule.NO_PROGRESS]
            assert "2 turns in a row changed nothing" in results[0]["detail"]
            assert await store.read(REQUESTS, FIRST, 10) == []

    jumping(test)


def test_an_agent_that_goes_on_after_being_cut_asks_for_its_end_by_that_rule() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1))
            async with at_work(guarded_worker(store, unchanged_max=1)):
                await woken(store, FREE + CUTS_MAX)
                assert await store.read(REQUESTS, FIRST, 10) == []
                await woken(store, 1)
            (failed,) = await store.read(REQUESTS, FIRST, 10)
            assert (failed.sender, failed.data["type"], failed.data["rule"]) == (
                A1,
                "failed",
                Rule.NO_PROGRESS,
            )
            assert len(await reports(store)) == FREE

    jumping(test)


def test_a_final_report_passes_however_often_the_agent_was_cut() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1))
            script = [
                {
                    "when": {"mail_contains": "the end"},
                    "moves": [{"move": "report", "text": "Still at it.", "done": True}],
                },
                *SAME,
            ]
            async with at_work(guarded_worker(store, script, unchanged_max=1)):
                await woken(store, FREE + 2)
                await store.post(inbox(A1), message("the end"))

                async def is_done() -> bool:
                    return (await store.resume(A1)).is_done

                await until(is_done)
            said = await store.read(up(SOB), FIRST, 10)
            assert [report.data["done"] for report in said] == [False, True]

    jumping(test)


def test_what_is_remembered_outlives_the_host() -> None:
    async def test() -> None:
        async with stored() as store:
            lineage = Lineage(store)
            await lineage.found(executive(A1))
            async with at_work(guarded_worker(store, unchanged_max=2)):
                await woken(store, FREE + 1)
            async with at_work(guarded_worker(store, host=ELSEWHERE, unchanged_max=2)):
                await lineage.place(executive(A1, host=ELSEWHERE, lease=2))
                await woken(store, 1)
            assert len(await reports(store)) == FREE + 1
            assert len(await facts_of(store, fact="refuse", rule=Rule.NO_PROGRESS, agent=A1)) == 1

    jumping(test)


def test_a_call_with_the_same_result_is_no_progress_and_its_superior_is_told_of_silence() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1))
            listing = [
                {
                    "when": {"role": "executive", "step": 0},
                    "moves": [{"move": "use", "function": "tree/list"}],
                },
                {"when": {"role": "executive"}, "moves": [{"move": "think", "thought": "Hm."}]},
            ]
            async with at_work(guarded_worker(store, listing)):
                await woken(store, 5)
            facts = await facts_of(store, fact="refuse", rule=Rule.NO_PROGRESS)
            assert [(f["channel"], f["count"], f["tell"]) for f in facts] == [
                (up(SOB), "0", "1"),
                (up(SOB), "0", ""),
            ]
            same = "the same calls with the same results (tree/list)"
            assert facts[0]["detail"] == f"3 turns in a row changed nothing: {same}"

    jumping(test)


# --- with the supervisor beside it --------------------------------------------------------------


def test_the_board_is_told_once_of_what_was_cut_and_of_the_agents_end() -> None:
    async def test() -> None:
        async with stored() as store:
            worker = guarded_worker(store, [DELIVERED[0], *SAME], unchanged_max=1)
            async with supervised(store, worker):
                await store.keep_mission({"mission": "What is six by seven?", "id": "m-loop"})

                async def made() -> list[Mapping[str, Any]]:
                    return [e for e in await journal_of(store, "agent.spawned") if e["tier"] == 1]

                agent = AgentId((await until(made))[0]["agent"])

                async def first_turn() -> bool:
                    return (await store.resume(agent)).turn > 0

                await until(first_turn)
                await woken(store, FREE + CUTS_MAX + 1, agent)

                async def has_ended() -> list[Mapping[str, Any]]:
                    return [
                        e
                        for e in await journal_of(store, "subtree.fenced")
                        if e["segment"] == agent
                    ]

                await until(has_ended)
                await anyio.sleep(2 * SWEEP_SECONDS)
            said = [m for m in await store.read(BOARD_ROOM, FIRST, 1_000) if m.data.get("cut")]
            assert [(m.kind, m.data["cut"], m.data["agent"]) for m in said] == [
                (Kind.NOTICE, Rule.NO_PROGRESS, agent)
            ]
            folded = [f for e in await journal_of(store, "facts.folded") for f in e["facts"]]
            assert len([f for f in folded if f.get("rule") == Rule.NO_PROGRESS]) == 1 + CUTS_MAX
            [record] = await store.agents([agent])
            assert record is not None
            assert record.reason.startswith(
                "bus.no-progress: it went on after 3 turns that were cut"
            )

    jumping(test)


# --- facts, exactly once --------------------------------------------------------------------------


async def _at_work(on: Stage) -> AgentId:
    """A mission whose executive says nothing; the supervisor has nothing more to do."""
    on.silent.add(STAGED)
    on.script = lambda *_: charter_motion({})
    await on.submit()
    await on.run()
    (agent,) = [a for a in on.sup.state.lineage.agents.values() if a.tier == 1]
    return agent.id


async def _tell(on: Stage, **fact: str) -> None:
    flat = [word for pair in fact.items() for word in pair]
    await on.store.pipe.execute("XADD", on.store.keys.facts, "*", *flat)


async def _overdraw(on: Stage, agent: str, account: str) -> None:
    amounts = {
        "used": {"tokens": 9},
        "reserved": {"tokens": 2},
        "overdraft": {"tokens": 7},
        "assumed": False,
    }
    await on.store.pipe.execute("HSET", on.store.keys.ledger(account), "overdrawn", "tokens: 7")
    await _tell(
        on,
        fact="settle",
        agent=agent,
        account=account,
        call="1:1",
        at="",
        amounts=json.dumps(amounts),
    )


async def _warn(on: Stage, agent: str, account: str) -> None:
    await _tell(on, fact="warn", agent=agent, account=account, kind="tokens", own="100", left="20")


async def _notices(on: Stage, key: str) -> list[Message]:
    return [m for m in await on.store.read(BOARD_ROOM, FIRST, 1_000) if m.data.get(key)]


async def test_a_fact_that_asks_for_something_is_acted_on_at_the_next_step(namespace: str) -> None:
    async with stage(namespace) as on:
        agent = await _at_work(on)
        on.sup.intake.facts_read_at = on.clock.now()
        await _tell(on, fact="reserve", agent=agent, account=agent, call="1:1", at="", amounts="{}")
        await on.sup.step()
        assert await on.store.read_facts(FIRST, 10) != [], "what asks for nothing waits for others"
        await _warn(on, agent, agent)
        await _overdraw(on, agent, agent)
        await on.sup.step()
        assert len(await _notices(on, "warned")) == 1
        assert on.sup.state.lineage.stops[f"={agent}"].rule == Rule.BUDGET_OVERDRAFT
        (entry,) = await on.journal("account.overdrawn")
        assert entry.data["overdraft"] == {"tokens": 7}


async def test_facts_are_acted_on_once_whoever_dies_and_whenever(namespace: str) -> None:
    async with stage(namespace) as on:
        agent = await _at_work(on)
        for number in range(4):
            if number == 1:
                await _warn(on, agent, agent)
                await _warn(on, "picard", STAGED)
                await _overdraw(on, agent, agent)
            await on.sup.step()
            await on.start()
            on.clock.time += 0.1
        for key, count in (("warned", 2), ("frozen", 1)):
            assert len(await _notices(on, key)) == count
        for event, count in (("account.warned", 2), ("account.overdrawn", 1)):
            assert len(await on.journal(event)) == count


async def test_a_reply_that_is_lost_acts_on_no_fact_twice(namespace: str) -> None:
    async with stage(namespace) as on:
        agent = await _at_work(on)
        commit = type(on.store).commit_changes

        async def twice(*args: Any, **kwargs: Any) -> Any:
            await commit(on.store, *args, **kwargs)
            return await commit(on.store, *args, **kwargs)

        on.store.commit_changes = twice  # type: ignore[method-assign]  # a world that repeats
        await _warn(on, agent, agent)
        await on.sup.step()
        await on.sup.step()
        assert len(await _notices(on, "warned")) == 1


async def test_a_seat_that_overdraws_ends_its_mission_as_exhausted(namespace: str) -> None:
    async with stage(namespace) as on:
        await _at_work(on)
        await _overdraw(on, SEATS[0], STAGED)
        await on.run()
        (result,) = await on.results()
        assert result.data["state"] == "exhausted"
        assert result.data["reason"] == "budget.overdraft: 7 tokens beyond the reserve"


# --- stalls ---------------------------------------------------------------------------------------


async def _later(on: Stage, seconds: float) -> None:
    on.clock.time += seconds
    await on.store.register(Host(H1, 1_000, "shared"), 600)
    await on.sup.step()


async def test_a_silent_executive_is_told_of_and_what_was_told_outlives_a_restart(
    namespace: str,
) -> None:
    async with stage(namespace, stall_seconds=100.0) as on:
        agent = await _at_work(on)
        await _later(on, 90)
        assert await on.journal("agent.stalled") == []
        await _later(on, 12)
        (entry,) = await on.journal("agent.stalled")
        assert (entry.data["agent"], entry.data["rule"], entry.data["told"]) == (
            agent,
            Rule.STALLED,
            "superior",
        )
        await on.start()
        assert on.sup.state.troubles[agent].kind == "stalled"
        await _later(on, 99)
        assert len(await on.journal("agent.stalled")) == 1
        await _later(on, 2)
        assert [e.data["told"] for e in await on.journal("agent.stalled")] == ["superior", "board"]
        nothing = {"used": {}, "reserved": {}, "overdraft": {}, "assumed": False}
        await _tell(
            on,
            fact="settle",
            agent=agent,
            account=agent,
            call="1:1",
            at="",
            amounts=json.dumps(nothing),
        )
        await _later(on, 2)
        assert len(await on.journal("agent.resumed")) == 1
        assert on.sup.state.troubles == {}
        assert not await on.store.pipe.execute("EXISTS", on.store.keys.rows(TROUBLES))


@pytest.mark.parametrize(
    ("is_done", "is_busy", "is_told"),
    [
        (True, False, False),
        (True, True, True),
        (False, False, True),
        (False, True, True),
    ],
)
async def test_whether_it_is_done_is_read_of_its_own_state(
    namespace: str, is_done: bool, is_busy: bool, is_told: bool
) -> None:
    async with stage(namespace, stall_seconds=100.0) as on:
        agent = await _at_work(on)
        keys, do = on.store.keys, on.store.pipe.execute
        await do("HSET", keys.state(agent), "turn", 3, "done", "1" if is_done else "")
        if is_busy:
            await do("HSET", keys.steps(agent), "4:batch", "{}")
        await _later(on, 200)
        assert bool(await on.journal("agent.stalled")) is is_told


async def test_while_nobody_waits_too_long_and_all_get_on_nobody_is_asked_about(
    namespace: str,
) -> None:
    async with stage(namespace, stall_seconds=86_400.0) as on:
        agent = await _at_work(on)
        on.sup.state.note_progress(on.sup.state.lineage.agents[agent], on.clock.time + 3_600)

        async def asked(*_: Any) -> Any:
            raise AssertionError("nobody is due")

        on.store.standings = asked  # type: ignore[method-assign, assignment]  # a store that must not be asked
        await quiet(on)


def test_a_worker_that_reported_done_is_not_stalled_and_one_that_only_talked_is() -> None:
    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1), executive("a-2"))
            script = [
                {
                    "when": {"agent": "a-2"},
                    "moves": [{"move": "report", "text": "42", "done": True}],
                },
                *SAME,
            ]
            async with at_work(guarded_worker(store, script)):
                await woken(store, 1)
                await woken(store, 1, AgentId("a-2"))
                await anyio.sleep(2 * SWEEP_SECONDS)
            found = await store.standings([A1, AgentId("a-2")])
            assert [(s.is_done, s.is_busy) for s in found.values()] == [
                (False, False),
                (True, False),
            ]

    jumping(test)
