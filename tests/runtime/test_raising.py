"""What raises again and again in a turn: it is paid for a bounded number of times, and then told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.core.agent.turn import Acting
from swarmd.core.model.channels import DEAD, REQUESTS, inbox
from swarmd.core.model.names import FIRST, AgentId
from swarmd.ports.models import Answered, Failed, Prompt, Usage
from tests.runtime.test_board_calls import Watched, at_board
from tests.runtime.test_functions import WEIGH, knowing, use
from tests.runtime.test_worker import (
    DECLARED,
    Lineage,
    at_work,
    executive,
    jumping,
    message,
    result_of,
    stored,
    until,
    worker_of,
)

A1, A2 = AgentId("a-1"), AgentId("a-2")
TRIES: Final = DECLARED.limits.tries_max


@dataclass(slots=True)
class Raising:
    """A model with a bug: whatever it sent, some of its callers get an exception and no answer."""

    raises: Callable[[Prompt], bool]
    inner: Watched = field(default_factory=Watched)
    raised: list[str] = field(default_factory=list)
    name: str = "scripted:raising"
    is_language_model: bool = False

    def bound(self, prompt: Prompt) -> Usage:
        return self.inner.bound(prompt)

    def expected(self, prompt: Prompt) -> Usage:
        return self.inner.expected(prompt)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        if not self.raises(prompt):
            return await self.inner.attempt(prompt, sending)
        sending()
        self.raised.append(prompt.view.name)
        raise TypeError("unhashable type: 'list'")

    async def aclose(self) -> None:
        """Nothing is open."""


def test_a_model_that_raises_each_time_is_paid_so_often_as_a_turn_is_tried_and_its_mission_fails() -> (
    None
):
    model = Raising(lambda prompt: prompt.view.call is not None)

    async def test() -> None:
        async with at_board(model) as store:
            await store.keep_mission({"mission": "What is it?", "id": "m-b", "board": "3"})
            told = await result_of(store, "m-b")
            assert told.data["state"] == "failed"
            assert "the last seat that failed: TypeError in its turn" in told.text
            calls = Counter(model.raised)
            assert set(calls.values()) == {TRIES}
            assert told.data["spent"]["calls"] == len(calls) * TRIES
            assert len(await store.read(DEAD, FIRST, 100)) == len(calls)

    jumping(test)


@pytest.mark.parametrize(("may_repeat", "calls"), [(True, TRIES), (False, 1)])
def test_a_handler_that_raises_is_called_so_often_as_its_turn_is_tried_and_others_go_on(
    may_repeat: bool, calls: int
) -> None:
    called: list[Any] = []

    async def raises(acting: Acting, args: Any) -> Mapping[str, Any]:
        called.append(args)
        raise KeyError("a bug in the handler")

    function = replace(WEIGH, may_repeat=may_repeat, charge=MappingProxyType({"tools": 1}))
    mine = {"role": "executive", "step": 0, "name": A1}
    script: list[Mapping[str, Any]] = [
        {"when": mine, "moves": [use(WEIGH.name, thing="x")]},
        {"moves": [{"move": "wait"}]},
    ]

    async def test() -> None:
        async with stored() as store:
            await Lineage(store).found(executive(A1), executive(A2))
            declared, handlers = knowing(function), {WEIGH.name: raises}
            worker = worker_of(store, ScriptedModel(script), declared=declared, handlers=handlers)
            async with at_work(worker):
                await anyio.sleep(1)
                for agent in (A1, A2):
                    await store.post(inbox(agent), message("begin"))

                async def are_over() -> bool:
                    return [(await store.resume(one)).turn for one in (A1, A2)] == [1, 1]

                await until(are_over)
            assert len(called) == calls
            assert (await store.accounts([A1], "spent"))[A1]["tools"] == calls
            dead = await store.read(DEAD, FIRST, 10)
            told = await store.read(REQUESTS, FIRST, 10)
            failed = [m.data["is_crash"] for m in told if m.data["type"] == "failed"]
            # What may not be repeated was done or was not: the agent is told so, and goes on.
            assert [letter.text for letter in dead] == (["KeyError in its turn"] * may_repeat)
            assert failed == [True] * may_repeat

    jumping(test)
