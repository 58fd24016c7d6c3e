"""What a turn's moves were refused is told with its commit: by rule, with a count, and in the
journal under the agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.output_limits import Cut
from swarmd.core.agent.turn import REFUSAL_DETAIL_MAX, Refusal, Refusals
from swarmd.core.model.channels import inbox, up
from swarmd.core.model.lineage import Agent, Stop, StopKind
from swarmd.core.model.names import SOB, AgentId, Authority, MissionId
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import STOPS
from swarmd.ports.stores import Begin, Hold, RefusedByStore, Turn
from tests.runtime.recorded import Recorded, missions, recorded
from tests.runtime.test_supervisor import quiet
from tests.runtime.test_worker import (
    Lineage,
    at_work,
    executive,
    facts_of,
    jumping,
    message,
    stored,
    until,
    worker_of,
)

A1: Final = AgentId("a-1")
M1: Final = MissionId("m1")  # of the swarm that is written by a supervisor
Arrange = Callable[[RedisStore, Lineage], Awaitable[None]]


async def as_it_is(store: RedisStore, lineage: Lineage) -> None:
    """Nothing but the agent."""


async def reading_is_stopped(store: RedisStore, lineage: Lineage) -> None:
    stop = Stop(
        "use:tool/file/read",
        StopKind.FREEZE,
        Authority.OPERATOR,
        "operator",
        "look",
        1.0,
        is_told=True,
    )
    await lineage.write(STOPS.put(stop))


async def speech_is_gone(store: RedisStore, lineage: Lineage) -> None:
    """After its host was told what it may: only the store knows."""
    await store.pipe.execute("HDEL", store.keys.use(A1), "room/executives/say")


@dataclass(frozen=True, slots=True)
class Case:
    moves: Sequence[Mapping[str, Any]]
    rule: Rule
    said: str  # the moves, as the fact names them
    count: int = 1
    arrange: Arrange = as_it_is
    privileges: tuple[str, ...] = ("model/**", "tool/**")


def say(to: str, text: str = "hello") -> dict[str, Any]:
    return {"move": "say", "room": to, "text": text}


READ: Final = {"move": "use", "function": "file/read", "args": {"path": "work/notes.md"}}
FOREIGN: Final = {"move": "use", "function": "file/read", "args": {"path": "other.md"}}
SEARCH: Final = {
    "move": "use",
    "function": "file/search",
    "args": {"query": "six", "files": ["other.md"]},
}
SPEAKER: Final = ("model/**", "room/executives/say")

CASES: Final = {
    "a room that it is no member of, twice": Case(
        [say("sob"), say("attic")], Rule.CHANNEL, "say", 2, as_it_is, SPEAKER
    ),
    "a post that is too long": Case(
        [say("executives", "x" * 5_000)], Rule.CHANNEL, "say", 1, as_it_is, SPEAKER
    ),
    "a child that it has not": Case(
        [{"move": "direct", "to": "a-9", "text": "go"}],
        Rule.UNKNOWN_AGENT,
        "direct",
        1,
        as_it_is,
        ("model/**", "spawn/researcher"),
    ),
    "files of others, read and searched": Case(
        [FOREIGN, SEARCH, FOREIGN],
        Rule.PRIVILEGE_USE,
        "file/read file/search",
        3,
    ),
    "a function without its right": Case(
        [READ, READ], Rule.PRIVILEGE_USE, "file/read", 2, as_it_is, ("model/**",)
    ),
    "a function that is stopped for all": Case(
        [READ], Rule.FROZEN, "file/read", 1, reading_is_stopped
    ),
    "a post whose right is gone at the commit": Case(
        [say("executives")], Rule.PRIVILEGE_USE, "message", 1, speech_is_gone, SPEAKER
    ),
}


def agent_with(privileges: tuple[str, ...]) -> Agent:
    return replace(executive(A1), privileges=privileges)


@pytest.mark.parametrize("name", CASES)
def test_what_moves_were_refused_is_one_fact_of_the_turn_with_its_rule_and_count(name: str) -> None:
    case = CASES[name]
    script: list[Mapping[str, Any]] = [
        {"when": {"step": 0}, "moves": list(case.moves)},
        {"moves": [{"move": "wait"}]},
    ]

    async def test() -> None:
        async with stored() as store:
            lineage = Lineage(store)
            await lineage.found(agent_with(case.privileges))
            await case.arrange(store, lineage)
            async with at_work(worker_of(store, ScriptedModel(script))):
                await store.post(inbox(A1), message("begin"))

                async def is_over() -> bool:
                    return (await store.resume(A1)).turn == 1

                await until(is_over)
            told = [
                fact for fact in await facts_of(store, fact="refuse", agent=A1) if "turn" in fact
            ]
            assert [(f["turn"], f["rule"], f["moves"], f["count"]) for f in told] == [
                ("1", case.rule.value, case.said, str(case.count))
            ]
            assert told[0]["detail"]

    jumping(test)


def test_however_often_a_turn_is_refused_it_tells_a_bounded_number_of_bounded_facts() -> None:
    refusals = Refusals()
    for number in range(10_000):
        refusals.note(Rule.CHANNEL, "say", f"{number} " + "x" * 5_000)
        refusals.note(Rule.PRIVILEGE_USE, "file/read" if number % 2 else "file/search", "no")
    channel, use = refusals.values()
    assert (channel.count, channel.moves, len(channel.detail)) == (
        10_000,
        ("say",),
        REFUSAL_DETAIL_MAX,
    )
    assert channel.detail.startswith("0 "), "the first one's"
    assert (use.count, use.moves) == (10_000, ("file/search", "file/read"))


# --- in the journal ------------------------------------------------------------------------------


async def refused_turn(on: Recorded, agent: Agent, number: int, *refusals: Refusal) -> None:
    hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
    turn = Turn(number, agent.path, (), {}, {}, {}, (), 1, refusals=refusals)
    assert await on.store.commit(hold, turn, 64, "at") == "done"


async def test_the_journal_names_what_a_turn_was_refused_and_is_verified(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        on.silent.add(M1)
        await missions(on, 1)
        agent = next(a for a in on.sup.state.lineage.agents.values() if a.tier == 1)
        said = Refusal(Rule.CHANNEL, ("say",), "you are no member of a room attic", 7)
        read = Refusal(
            Rule.PRIVILEGE_USE, ("file/read", "file/search"), "file other.md is not yours", 1
        )
        turn = (await on.store.resume(agent.id)).turn + 1
        await refused_turn(on, agent, turn, said, read)
        await quiet(on)
        told = await on.journal("turn.refused")
        assert [
            (e.data["actor"], e.data["turn"], e.data["rule"], e.data["count"], e.data["moves"])
            for e in told
        ] == [
            (agent.id, turn, "bus.channel", 7, ["say"]),
            (agent.id, turn, "privilege.use", 1, ["file/read", "file/search"]),
        ]
        assert told[0].mission == agent.mission
        assert "refused by bus.channel (7 times)" in told[0].text
        assert all("effects" not in entry.data for entry in told)
        await on.archive()
        assert (await on.proved()).proof.findings == []


async def test_messages_that_the_bus_does_not_carry_are_named_as_often_as_they_were_cut(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        on.silent.add(M1)
        await missions(on, 1)
        agent = next(a for a in on.sup.state.lineage.agents.values() if a.tier == 1)
        turn = (await on.store.resume(agent.id)).turn + 1
        hold = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
        cuts = tuple(
            Cut(up(SOB), to, Rule.NO_PROGRESS, "the same text", count, 1, is_news=True)
            for to, count in (("sob", 3), ("gandhi", 2))
        )
        committed = Turn(turn, agent.path, (), {}, {}, {}, (), 1, cuts=cuts)
        assert await on.store.commit(hold, committed, 64, "at") == "done"
        await quiet(on)
        told = await on.journal("turn.refused")
        assert [
            (e.data["rule"], e.data["count"], e.data["moves"], e.data["detail"]) for e in told
        ] == [("bus.no-progress", 5, ["message"], "to sob: the same text")]
        await on.archive()
        assert (await on.proved()).proof.findings == []


async def test_a_turn_that_may_not_go_on_is_named_too_and_an_action_is_not_told_twice(
    namespace: str, tmp_path: Path
) -> None:
    async with recorded(namespace, tmp_path) as on:
        on.silent.add(M1)
        await missions(on, 1)
        agent = next(a for a in on.sup.state.lineage.agents.values() if a.tier == 1)
        turn = (await on.store.resume(agent.id)).turn + 1
        held = Hold(agent.id, agent.path, agent.incarnation, agent.lease, agent.host)
        beyond = Begin(
            turn, 1, "model", agent.id, agent.path, (), (), {"tokens": 10**12, "calls": 1}
        )
        may_not = Begin(
            turn, 1, "read", agent.id, agent.path, (), (("room/attic/say",),), {"tools": 1}
        )
        for begin in (beyond, beyond, may_not):
            assert isinstance(await on.store.begin(held, begin, "at"), RefusedByStore)
        await refused_turn(
            on, agent, turn, Refusal(Rule.PRIVILEGE_USE, ("file/read",), "room/attic/say", 1)
        )
        await quiet(on)
        told = await on.journal("turn.refused")
        assert [(e.data["rule"], e.data["count"], e.data["moves"]) for e in told] == [
            ("budget.exhausted", 2, []),
            ("privilege.use", 1, ["file/read"]),
        ]
        await on.archive()
        assert (await on.proved()).proof.findings == []
