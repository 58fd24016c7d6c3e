"""The ladder on a real worker and a real supervisor, over the real store: who is told, and that the
record proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from swarmd.core.model.channels import BOARD_ROOM, inbox
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


ELSEWHERE = {"move": "say", "room": "nowhere", "text": "Is anybody there?"}


@pytest.mark.parametrize("more", [(), (ELSEWHERE,)])
def test_a_loop_is_noted_in_its_own_brief_and_then_told_to_whoever_leads_it(
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
                if len(await made()) == 2:
                    break
            steps = [(one["agent"], one["step"]) for one in await made()]
            assert steps == [(agent, "note"), (agent, "superior")]
            (outcome,) = await told("ended")
            assert (outcome["step"], outcome["outcome"]) == ("note", "did not move")
            assert any("bus.no-progress in turn" in text for text in model.read), "in its brief"
            room = await store.read(BOARD_ROOM, FIRST, 1_000)
            (word, *_) = [m for m in room if m.data.get("correction") == "superior"]
            assert "new worker" in word.text
            _, auditor = rebuilt(await store.read_journal(FIRST, 10_000))
            assert auditor.faults == []
            rules = {one["rule"] for one in await journal_of(store, "turn.refused")}
            assert rules == {"bus.no-progress", *(["bus.channel"] if more else [])}

    jumping(test)
