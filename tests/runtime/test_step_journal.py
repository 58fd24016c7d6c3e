"""Begin → effect → end of what may not be repeated: begun and never ended, it is told as unknown
and not done again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.codecs import hold_text
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import inbox
from swarmd.core.model.functions import TREE_LIST
from swarmd.core.model.names import FIRST, AgentId, Channel
from swarmd.ports.stores import LOST, Begin, Begun, EndedBefore, Hold, Used
from swarmd.runtime.turn.step_journal import Reserve
from tests.runtime.test_functions import Seen
from tests.runtime.test_model_call import AGENT, Thinking, thinking
from tests.runtime.test_worker import (
    DECLARED,
    ELSEWHERE,
    HERE,
    Lineage,
    at_work,
    executive,
    jumping,
    message,
    stored,
    until,
    worker_of,
)

ONE = {"tools": 1}


def call(*, may_repeat: bool, at: int = 1) -> Begin:
    return Begin(1, at, "pay", AGENT.id, AGENT.path, (), amounts=ONE, may_repeat=may_repeat)


@dataclass(slots=True)
class Done:
    """How often an effect happened."""

    times: int = 0
    fails: bool = False

    async def __call__(self) -> tuple[str, Used]:
        self.times += 1
        if self.fails:
            raise RuntimeError("cut")
        return "{}", Used(ONE)


async def tools(turn: Thinking) -> tuple[int, int]:
    """Spent and still reserved."""
    accounts = [
        (await turn.store.accounts([AGENT.id], kind))[AGENT.id]["tools"]
        for kind in ("spent", "reserved")
    ]
    return accounts[0], accounts[1]


@pytest.mark.parametrize("may_repeat", [True, False])
def test_a_killed_holders_call_is_made_again_only_where_it_may_be_repeated(
    may_repeat: bool,
) -> None:
    async def test() -> None:
        async with thinking() as turn:
            former = Hold(AGENT.id, AGENT.path, AGENT.incarnation, 1, HERE)
            assert isinstance(
                await turn.store.begin(former, call(may_repeat=may_repeat), "then"), Begun
            )
            await turn.store.pipe.execute(
                "HSET", turn.store.keys.holds, AGENT.id, hold_text(replace(AGENT, lease=2))
            )
            turn.lease, done = 2, Done()
            result = await turn.journal().call(
                "pay", done, reserve=Reserve(ONE), may_repeat=may_repeat
            )
            assert (result, done.times) == (("{}", 1) if may_repeat else (LOST, 0))
            assert await tools(turn) == (2 if may_repeat else 1, 0)
            # As a third holder meets it: the answer stays what it was.
            again = await turn.journal().call(
                "pay", done, reserve=Reserve(ONE), may_repeat=may_repeat
            )
            assert (again, done.times) == (result, 1 if may_repeat else 0)

    jumping(test)


def test_what_may_not_be_repeated_and_failed_half_way_is_not_done_again_by_the_same_holder() -> (
    None
):
    async def test() -> None:
        async with thinking() as turn:
            cut, done = Done(fails=True), Done()
            with pytest.raises(RuntimeError):
                await turn.journal().call("pay", cut, reserve=Reserve(ONE), may_repeat=False)
            assert (
                await turn.journal().call("pay", done, reserve=Reserve(ONE), may_repeat=False)
                == LOST
            )
            assert (cut.times, done.times) == (1, 0)
            assert await tools(turn) == (1, 0)

    jumping(test)


def test_only_the_same_attempt_begins_again_what_may_not_be_repeated() -> None:
    async def test() -> None:
        async with thinking() as turn:
            hold, once = (
                Hold(AGENT.id, AGENT.path, AGENT.incarnation, 1, HERE),
                call(may_repeat=False),
            )
            for _ in ("", "its reply was lost and it is sent again"):
                assert isinstance(await turn.store.begin(hold, once, "then"), Begun)
            assert await tools(turn) == (0, 1)
            assert await turn.store.begin(hold, once, "later") == EndedBefore(LOST)
            assert await tools(turn) == (1, 0)
            # The first attempt's word comes after all: the answer was given, and stays.
            await turn.store.end(hold, once, "{}", Used(ONE), 80, "then")
            assert await turn.store.begin(hold, once, "later") == EndedBefore(LOST)
            assert await tools(turn) == (1, 0)

    jumping(test)


_END = RedisStore.end


async def never_told(
    self: RedisStore, hold: Hold, begin: Begin, result: str, used: Used, warn_percent: int, at: str
) -> None:
    """The first host never says how a function ended, as one that was killed just then."""
    if hold.host == HERE and begin.kind == "tree/list":
        await anyio.sleep_forever()
    await _END(self, hold, begin, result, used, warn_percent, at)


def test_a_successors_model_is_shown_that_the_outcome_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    once = replace(TREE_LIST, may_repeat=False)
    declared = replace(DECLARED, functions={once.name: once})
    monkeypatch.setattr(RedisStore, "end", never_told)
    listed: list[dict[str, Any]] = [
        {"when": {"step": 0}, "moves": [{"move": "use", "function": "tree/list"}]},
        {"moves": [{"move": "report", "text": "I looked whether it was done.", "done": True}]},
    ]

    async def test() -> None:
        async with stored() as store:
            lineage, seen = Lineage(store), Seen(ScriptedModel(listed))
            await lineage.found(executive("a-1"))
            former, next_ = (
                worker_of(store, ScriptedModel(listed), declared=declared),
                worker_of(store, seen, host=ELSEWHERE, declared=declared),
            )
            async with at_work(former, next_):
                await store.post(inbox(AgentId("a-1")), message("begin"))

                async def is_listing() -> bool:
                    steps = await store.session.hash_at(store.keys.steps(AgentId("a-1")))
                    return "1:2:b" in steps

                await until(is_listing)
                await lineage.place(executive("a-1", host=ELSEWHERE, lease=2))

                async def reports() -> list[Any]:
                    return await store.read(Channel("up:sob"), FIRST, 10)

                (report,) = await until(reports)
            assert report.text == "I looked whether it was done."
            (last,) = (prompt.view.steps for prompt in seen.prompts)
            assert "unknown outcome" in json.dumps(last[-1])

    jumping(test)
