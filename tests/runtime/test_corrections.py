"""The ladder on a real worker and a real supervisor, over the real store: who is told, and that the
record proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio
import pytest

from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.turn import Acting
from swarmd.core.model.channels import inbox
from swarmd.core.model.names import FIRST, AgentId
from swarmd.ports.models import Answered, Failed, Prompt, Usage
from tests.runtime.recorded import rebuilt
from tests.runtime.test_worker import journal_of, jumping, stored, supervised, until, worker_of
from tests.zoo.stage import directive
from tests.zoo.wedged import Sleeper, _move, _seat

SAME = "I am at it."


@dataclass(slots=True)
class Looping(Sleeper):
    """Its executive says the same in each turn; `read` is what stood in its prompts."""

    read: list[str] = field(default_factory=list)
    more: tuple[Any, ...] = ()  # moves of each turn beside its report

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        view = prompt.view
        if view.call is not None:
            return Answered((_seat(view.call.phase, is_first=not self.executive),), Usage(1, 1))
        self.executive[:] = [view.agent]
        self.read += (message.text for message in view.mail)
        report: Any = {"move": "report", "text": SAME, "done": False}
        return Answered((_move(report), *map(_move, self.more)), Usage(1, 1))


async def causes_called(store: RedisStore) -> set[str]:
    """The kinds of causes for which the board was called."""
    called = await journal_of(store, "board.called")
    return {cause["kind"] for one in called for cause in one["causes"]}


ELSEWHERE = {"move": "say", "room": "nowhere", "text": "Is anybody there?"}


@pytest.mark.parametrize("more", [(), (ELSEWHERE,)])
def test_a_loop_is_noted_then_begins_anew_and_then_stands_before_the_board(
    more: tuple[Any, ...],
) -> None:
    """Also where another rule refuses something in the same turns: the journal holds."""

    async def test() -> None:
        model = Looping(lambda _: 0.0, last=0, more=more)
        async with stored() as store, supervised(store, worker_of(store, model)):
            await store.keep_mission({"mission": "What is six by seven?", "id": "m-loop"})

            async def told(event: str) -> list[Any]:
                entries = await journal_of(store, f"intervention.{event}")
                return [one for one in entries if one["detector"] == "no_progress"]

            async def made() -> list[Any]:
                return await told("made")

            async def is_called() -> bool:
                return bool(model.executive)

            await until(is_called, 60.0)
            agent = AgentId(model.executive[0])
            for number in range(6):
                turn = (await store.resume(agent)).turn
                # What it is asked is what it was asked before: nothing new to do.
                await store.post(inbox(agent), directive("Go on.", to=agent))

                async def is_over(turn: int = turn) -> bool:
                    return (await store.resume(agent)).turn > turn

                await until(is_over, 60.0)

                async def is_told(number: int = number) -> bool:
                    return number < 3 or bool(await made())

                await until(is_told, 60.0)
                if len(await made()) == 3:
                    break

            async def is_before_the_board() -> bool:
                return len(await made()) == 3 and "uncorrected" in await causes_called(store)

            await until(is_before_the_board, 60.0)
            steps = [(one["agent"], one["step"]) for one in await made()]
            assert steps == [(agent, "note"), (agent, "replan"), (agent, "board")]
            outcomes = [(one["step"], one["outcome"]) for one in await told("ended")]
            assert outcomes == [("note", "did not move"), ("replan", "did not move")]
            assert any("bus.no-progress in turn" in text for text in model.read), "in its brief"
            _, auditor = rebuilt(await store.read_journal(FIRST, 10_000))
            assert auditor.faults == []
            rules = {one["rule"] for one in await journal_of(store, "turn.refused")}
            assert rules == {"bus.no-progress", *(["bus.channel"] if more else [])}

    jumping(test)


@dataclass(slots=True)
class Anchored(Sleeper):
    """Its executive repeats a call for as long as that call stands in its prompt, whatever it is
    told of it; without it, it does its work.
    """

    prompts: list[Prompt] = field(default_factory=list)  # the first of each of its turns

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        view = prompt.view
        if view.call is not None:
            return Answered((_seat(view.call.phase, is_first=not self.executive),), Usage(1, 1))
        self.executive[:] = [view.agent]
        if view.steps:
            report: Any = {"move": "report", "text": SAME, "done": False}
            return Answered((_move(report),), Usage(1, 1))
        self.prompts.append(prompt)
        if len(self.prompts) <= 2 or repeats_in(prompt):
            return Answered((_move({"move": "use", "function": "tree/list"}),), Usage(1, 1))
        return Answered((_move({"move": "report", "text": "42", "done": True}),), Usage(1, 1))


def repeats_in(prompt: Prompt) -> int:
    return sum(call.name == "tree_list" for piece in prompt.exchange for call in piece.calls)


def test_who_repeats_what_stands_in_its_prompt_is_healed_by_a_fresh_context_and_not_by_a_note() -> (
    None
):
    """What the board directs it with claims each time to be such a step, and is none."""

    async def looking(_: Acting, __: Any) -> Mapping[str, Any]:
        return {"agents": []}

    async def test() -> None:
        model = Anchored(lambda _: 0.0, last=0)
        worker = partial(worker_of, model=model, handlers={"tree/list": looking})
        async with stored() as store, supervised(store, worker(store)):
            await store.keep_mission({"mission": "What is six by seven?", "id": "m-anchor"})

            async def is_called() -> bool:
                return bool(model.executive)

            await until(is_called, 60.0)
            agent = AgentId(model.executive[0])

            async def ended() -> list[tuple[str, str]]:
                entries = await journal_of(store, "intervention.ended")
                return [(one["step"], one["outcome"]) for one in entries]

            for _ in range(8):
                turn = (await store.resume(agent)).turn
                planted = {"correction": "replan"}
                word = replace(directive("Go on.", to=agent), data=planted)
                await store.post(inbox(agent), word)

                async def is_over(turn: int = turn) -> bool:
                    resumed = await store.resume(agent)
                    return resumed.turn > turn

                await until(is_over, 60.0)
                await anyio.sleep(1.0)  # the supervisor reads of it
                if not repeats_in(model.prompts[-1]) and len(model.prompts) > 2:
                    break

            async def has_moved() -> bool:
                return ("replan", "moved") in await ended()

            await until(has_moved, 60.0)
            assert await ended() == [("note", "did not move"), ("replan", "moved")]
            *sick, well = model.prompts
            assert all(map(repeats_in, sick[2:])), "no word of another empties its prompt"
            assert repeats_in(well) == 0
            (earlier, *_) = [p.text for p in well.exchange if "what you tried so far" in p.text]
            repeats = repeats_in(sick[-1]) + 1
            assert f"- `tree/list {{}}`: {repeats} times, the same result" in earlier
            assert "- refused by bus.no-progress: 2 times" in earlier
            _, auditor = rebuilt(await store.read_journal(FIRST, 10_000))
            assert auditor.faults == []

    jumping(test)
