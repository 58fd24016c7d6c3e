"""A turn that never ends, and slow ones that do: found by the supervisor, so here is one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio

from swarmd.core.model.channels import JOURNAL, inbox
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.moves import MOVE
from swarmd.core.model.names import FIRST, AgentId, HostId, MissionId
from swarmd.ports.models import Answered, Failed, Prompt, Usage
from swarmd.runtime.supervisor.supervisor import Supervisor
from tests.runtime.test_worker import (
    CHARTER,
    DECLARED,
    LoopClock,
    Silence,
    at_work,
    journal_of,
    jumping,
    stored,
    until,
    worker_of,
)
from tests.zoo.doctored import modes_in
from tests.zoo.stage import Finding, Life, directive

STALLED: Final = "agent.stalled"
STALL_SECONDS: Final = 30.0
_USED: Final = Usage(1, 1)


def _patient() -> Declarations:
    limits = DECLARED.limits.model_copy(update={"stall_seconds": STALL_SECONDS})
    return replace(DECLARED, limits=limits)


@dataclass(slots=True)
class Sleeper:
    """The port `Model`. A seat's call is answered at once; the executive thinks as long as `thinks`
    says of its call of that number, from 1 on, and is done with the last.
    """

    thinks: Callable[[int], float]
    last: int
    calls: int = 0
    name: str = "scripted:sleeper"
    is_language_model: bool = False
    executive: list[AgentId] = field(default_factory=list)

    def bound(self, prompt: Prompt) -> Usage:
        return _USED

    def expected(self, prompt: Prompt) -> Usage:
        return _USED

    async def aclose(self) -> None:
        """Nothing is open."""

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        sending()
        view = prompt.view
        if view.call is not None:
            return Answered((_seat(view.call.phase, is_first=not self.executive),), _USED)
        self.executive[:] = [view.agent]
        self.calls += 1
        await anyio.sleep(self.thinks(self.calls))
        done = self.calls >= self.last
        return Answered((_move({"move": "report", "text": f"{self.calls}", "done": done}),), _USED)


def _seat(phase: str, *, is_first: bool) -> Any:
    motion = CHARTER if is_first else {"motion": "wait", "reason": "It is at work."}
    moves: Mapping[str, Any] = {
        "propose": {"move": "propose", "motion": motion},
        "debate": {"move": "argue", "stance": "consent", "text": ""},
        "respond": {"move": "respond", "decision": "keep", "reason": "It stands."},
    }
    return _move(moves.get(phase, {"move": "vote", "choice": "yes", "reason": "It may."}))


def _move(move: Mapping[str, Any]) -> Any:
    return MOVE.validate_python(move)


async def _watched(model: Sleeper, turns: int, pause: float) -> Life:
    declared = _patient()
    async with stored() as store:
        worker = worker_of(store, model, declared=declared)
        supervisor = Supervisor(
            store, Silence(), LoopClock(), declared, HostId("h-sup"), None, anyio.Event()
        )
        async with anyio.create_task_group() as tasks, at_work(worker):
            tasks.start_soon(supervisor.run)
            await store.keep_mission({"mission": "What is six by seven?", "id": "m-zoo"})

            async def is_called() -> bool:
                return bool(model.executive)

            await until(is_called)
            for number in range(turns):
                await anyio.sleep(pause)
                agent = model.executive[0]
                await store.post(inbox(agent), directive(f"part {number}", to=agent))
            await anyio.sleep(1.5 * STALL_SECONDS)
            entries = await journal_of(store, STALLED)
            journal = await store.read(JOURNAL, FIRST, 10_000)
            supervisor.stop.set()
            model.thinks = lambda _: 0.0
            tasks.cancel_scope.cancel()
    found = [Finding(STALLED, entry["agent"], model.calls) for entry in entries]
    return Life(found, modes_in(MissionId("m-zoo"), journal))


def never_ends(chance: random.Random) -> Life:
    """From a call on that differs from seed to seed, also the first."""
    at = chance.randint(1, 3)
    model = Sleeper(lambda call: 100 * STALL_SECONDS if call >= at else 1.0, last=9)
    return jumping(lambda: _watched(model, 3, 5.0))


def takes_its_time(chance: random.Random) -> Life:
    """Each call takes most of what it may, and no more."""
    share = chance.uniform(0.5, 0.8)
    model = Sleeper(lambda call: share * STALL_SECONDS, last=5)
    return jumping(lambda: _watched(model, 4, 0.8 * STALL_SECONDS))
