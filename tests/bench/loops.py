"""Turns of several model calls in other people's hands: the bare openai SDK, and frameworks on top
of it.

    python -m venv PLACE && PLACE/bin/pip install autogen-agentchat==0.7.5 'autogen-ext[openai]==0.7.5'
    python -m tests.bench calls --peer autogen=PLACE/bin/python

Peers are `autogen` (autogen-agentchat) and `agents` (openai-agents). They are no dependencies of
swarmd's: each runs under an interpreter of its own, `python -m tests.bench.loops NAME CALLS`, and
prints what `tests.bench.case` prints.
"""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported, untyped-decorator"

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.bench.endpoint import asked, endpoint

UNDER_WAY: Final = 10
CALLS: Final = 840
SYSTEM: Final = "You are a helpful agent."
KEY: Final = "sk-of-nobody"

Turn = Callable[[], Awaitable[object]]


def turns_of(calls: int) -> int:
    """So many turns of so many calls each, that every case makes as many calls."""
    return CALLS // calls


async def measured(turn: Turn, url: str, turns: int) -> dict[str, float]:
    """Milliseconds of this process's own time for each call, as the endpoint counted them."""
    left = turns

    async def one_after_the_other() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await turn()

    await turn()  # connections and imports
    before, processor, started = asked(url), time.process_time(), time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(UNDER_WAY)))
    cpu, seconds = time.process_time() - processor, time.perf_counter() - started
    return figures(asked(url) - before, cpu, seconds)


def figures(calls: int, cpu: float, seconds: float) -> dict[str, float]:
    return {"cpu_ms": cpu / calls * 1e3, "calls": calls, "per_second": calls / seconds}


def sdk(url: str, model: str) -> Turn:
    """The loop as the SDK's own examples have it."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)
    parameters = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    }
    tools: Any = [
        {
            "type": "function",
            "function": {"name": "echo", "description": "Echo.", "parameters": parameters},
        }
    ]

    async def turn() -> None:
        messages: list[Any] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "go on"},
        ]
        while True:
            answer = await client.chat.completions.create(
                model=model, messages=messages, tools=tools
            )
            message = answer.choices[0].message
            if not message.tool_calls:
                return
            messages.append(message)
            for call in message.tool_calls:
                assert call.type == "function"
                text = json.loads(call.function.arguments)["text"]
                messages.append({"role": "tool", "tool_call_id": call.id, "content": text})

    return turn


def autogen(url: str, model: str) -> Turn:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    info = {
        "vision": False,
        "function_calling": True,
        "json_output": False,
        "family": "unknown",
        "structured_output": False,
    }
    client = OpenAIChatCompletionClient(
        model=model, base_url=url, api_key=KEY, max_retries=0, model_info=info
    )
    calls = int(model.partition("-")[2])

    async def echo(text: str) -> str:
        """Echo."""
        return text

    async def turn() -> None:
        agent = AssistantAgent(
            "agent",
            client,
            tools=[echo],
            system_message=SYSTEM,
            max_tool_iterations=calls,
        )
        await agent.run(task="go on")

    return turn


def agents(url: str, model: str) -> Turn:
    from agents import (
        Agent,
        OpenAIChatCompletionsModel,
        Runner,
        function_tool,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)
    chosen = OpenAIChatCompletionsModel(model=model, openai_client=client)
    calls = int(model.partition("-")[2])

    @function_tool
    async def echo(text: str) -> str:
        """Echo."""
        return text

    async def turn() -> None:
        agent = Agent(name="agent", instructions=SYSTEM, model=chosen, tools=[echo])
        await Runner.run(agent, "go on", max_turns=calls + 1)

    return turn


LOOPS: Final[dict[str, Callable[[str, str], Turn]]] = {
    "sdk": sdk,
    "autogen": autogen,
    "agents": agents,
}


async def loop(name: str, calls: int) -> dict[str, float]:
    with endpoint() as url:
        return await measured(LOOPS[name](url, f"echo-{calls}"), url, turns_of(calls))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(loop(sys.argv[1], int(sys.argv[2])))))
