"""Of requests with the same beginning one goes first, and the others at its first token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from swarmd.adapters.models import first_token
from swarmd.adapters.models.first_token import KEPT_BYTES_MIN, Beginnings
from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.ports.models import Answered, Failed, Prompt
from tests.conftest import HANG_SECONDS
from tests.contract.test_openai_model import REPORT, Actions, both_wires, model_of, prompt_of
from tests.openai_server import OpenAIServer, always

LONG = "The constitution. " * (KEPT_BYTES_MIN // 10)


def seat(name: str, *, shared: str = LONG, asked: str = "phase: vote") -> Prompt:
    """All seats are asked the same, and differ in their last lines."""
    return replace(prompt_of(text=asked), shared=shared, persona=f"You are {name}.")


class Group:
    """Attempts side by side, and what became of them."""

    def __init__(self, server: OpenAIServer, model: OpenAIModel) -> None:
        self.server = server
        self.model = model
        self.outcomes: dict[str, Answered | Failed] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def attempt(self, name: str, prompt: Prompt) -> None:
        with anyio.CancelScope() as self.scopes[name]:
            self.outcomes[name] = await self.model.attempt(prompt)

    async def reached(self, count: int) -> None:
        with anyio.fail_after(HANG_SECONDS):
            await self.server.until(lambda server: len(server.calls) >= count)
        await anyio.wait_all_tasks_blocked()
        assert len(self.server.calls) == count


@asynccontextmanager
async def asked(
    *prompts: Prompt, mode: Actions = "tools", server: OpenAIServer | None = None, is_held: bool
) -> AsyncIterator[Group]:
    async with (
        server or OpenAIServer(always(REPORT)) as answering,
        model_of(answering, mode) as model,
    ):
        group = Group(answering, model)
        answering.is_held = (lambda _: True) if is_held else None
        async with anyio.create_task_group() as tasks:
            for number, prompt in enumerate(prompts):
                tasks.start_soon(group.attempt, str(number), prompt)
            yield group
            answering.is_held = None


@both_wires
async def test_the_others_follow_at_the_first_token_of_the_first(mode: Actions) -> None:
    async with asked(*map(seat, "abc"), mode=mode, is_held=True) as group:
        await group.reached(1)
    assert len(group.server.calls) == 3
    assert all(isinstance(outcome, Answered) for outcome in group.outcomes.values())


async def test_they_do_not_wait_for_the_end_of_its_answer() -> None:
    server = OpenAIServer(always(REPORT), faults=["hang_midway"])
    async with asked(*map(seat, "abc"), server=server, is_held=False) as group:
        with anyio.fail_after(HANG_SECONDS):
            while len(group.outcomes) < 2:
                await anyio.sleep(0.01)
        group.scopes["0"].cancel()
    assert set(group.outcomes) == {"1", "2"}


@pytest.mark.parametrize("fault", ["500", "disconnect"])
async def test_a_first_that_fails_holds_up_nobody(fault: str) -> None:
    server = OpenAIServer(always(REPORT), faults=[fault])  # type: ignore[list-item]  # a parameter
    async with asked(*map(seat, "abc"), server=server, is_held=False) as group:
        pass
    assert [type(group.outcomes[name]) for name in "012"] == [Failed, Answered, Answered]


async def test_a_first_that_is_cancelled_holds_up_nobody() -> None:
    async with asked(*map(seat, "abc"), is_held=True) as group:
        await group.reached(1)
        group.scopes["0"].cancel()
        await group.reached(3)
    assert set(group.outcomes) == {"1", "2"}


async def test_a_server_that_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_token, "FOLLOW_SECONDS", 0.01)
    async with asked(*map(seat, "abc"), is_held=True) as group:
        await group.reached(3)


@pytest.mark.parametrize(
    "prompts",
    [
        (seat("a"), seat("b", asked="phase: debate")),
        (seat("a", shared="Short."), seat("b", shared="Short.")),
    ],
    ids=["that are asked something else", "that are too short to be kept"],
)
async def test_nobody_waits_for_prompts(prompts: tuple[Prompt, ...]) -> None:
    async with asked(*prompts, is_held=True) as group:
        await group.reached(2)


async def test_the_next_group_has_a_first_of_its_own() -> None:
    beginnings, followed = Beginnings(), anyio.Event()

    async def follow() -> None:
        async with beginnings.place(1):
            followed.set()

    async with beginnings.place(1):
        pass
    async with anyio.create_task_group() as tasks, beginnings.place(1) as heard:
        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        assert not followed.is_set()
        heard()
        await followed.wait()
