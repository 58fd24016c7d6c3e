"""The mission in other hands: one agent alone, langgraph-supervisor, and agent-framework's magentic.

    python -m venv PLACE && PLACE/bin/pip install langgraph-supervisor==0.0.31 langchain-openai==1.7.4
    python -m venv OTHER && OTHER/bin/pip install agent-framework-orchestrations==1.4.0 \\
        agent-framework-openai==1.17.0

Each runs under an interpreter of its own, `python -m tests.bench.frameworks.peers NAME URL` with the
mission on standard input, and prints its result. They are set up as their own introductions do it:
a supervisor and three researchers with two functions, its prompts as shipped, and two sentences of
ours on who is there.
"""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported, untyped-decorator"

from __future__ import annotations

import asyncio
import json
import re
import sys
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any, Final

KEY: Final = "sk-of-nobody"
MODEL: Final = "mind"
_RESEARCHER: Final = (
    "You are `{name}`, a researcher. Search the files for what your theme of the mission asks, and "
    "report at most seven lines, each with its source as file:line."
)
_SUPERVISOR: Final = (
    "You are a supervisor. Give the researchers their parts one after the other, then answer with "
    "the brief. Refuse what would harm somebody."
)
_ALONE: Final = "You are a helpful agent. Work on the mission with your functions, then answer."


def called(url: str, name: str, **given: Any) -> str:
    """A function of the bench's, by name."""
    request = urllib.request.Request(
        f"{url}/functions/{name}", json.dumps(given).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return str(answer.read().decode())


def _functions(url: str) -> list[Callable[..., str]]:
    def file_search(query: str) -> str:
        """Search the mission's files: the passages that answer the query best, with their lines."""
        return called(url, "file_search", query=query)

    def file_read(path: str, start: int = 1, lines: int = 200) -> str:
        """Read lines of one of the mission's files, from `start` on."""
        return called(url, "file_read", path=path, start=start, lines=lines)

    return [file_search, file_read]


def _researchers(mission: str) -> list[str]:
    said = mission.partition("Researchers: ")[2].partition(".")[0]
    themes = re.findall(r"Theme `([\w-]+)`", mission)
    return [one for one in re.findall(r"`([\w-]+)`", said) if one not in themes]


async def alone(url: str, mission: str) -> str:
    """The loop as the SDK's own examples have it."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)
    functions = {function.__name__: function for function in _functions(url)}
    tools: Any = [_tool_of(function) for function in functions.values()]
    messages: list[Any] = [
        {"role": "system", "content": _ALONE},
        {"role": "user", "content": mission},
    ]
    for _ in range(50):
        answer = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message)
        for call in message.tool_calls:
            assert call.type == "function"
            result = functions[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return "it did not end within 50 calls"


def _tool_of(function: Callable[..., str]) -> dict[str, Any]:
    whole: dict[str, Any] = {"type": "integer"}
    fields: dict[str, Any] = {
        "file_search": {"query": {"type": "string"}},
        "file_read": {"path": {"type": "string"}, "start": whole, "lines": whole},
    }[function.__name__]
    parameters = {"type": "object", "properties": fields, "required": list(fields)[:1]}
    said = {"name": function.__name__, "description": function.__doc__, "parameters": parameters}
    return {"type": "function", "function": said}


async def langgraph(url: str, mission: str) -> str:
    from langchain_openai import ChatOpenAI
    from langgraph.prebuilt import create_react_agent
    from langgraph_supervisor import create_supervisor

    model = ChatOpenAI(model=MODEL, base_url=url, api_key=KEY, max_retries=0)
    agents = [
        create_react_agent(model, _functions(url), name=name, prompt=_RESEARCHER.format(name=name))
        for name in _researchers(mission)
    ]
    graph = create_supervisor(agents, model=model, prompt=_SUPERVISOR).compile()
    asked = {"messages": [{"role": "user", "content": mission}]}
    ended = await graph.ainvoke(asked, {"recursion_limit": 60})
    return str(ended["messages"][-1].content)


async def magentic(url: str, mission: str) -> str:
    from agent_framework import Agent
    from agent_framework.openai import OpenAIChatCompletionClient
    from agent_framework.orchestrations import MagenticBuilder

    client = OpenAIChatCompletionClient(model=MODEL, base_url=url, api_key=KEY)
    researchers = [
        Agent(
            client=client,
            name=name,
            description="Searches the files and reports lines with their sources.",
            instructions=_RESEARCHER.format(name=name),
            tools=_functions(url),
        )
        for name in _researchers(mission)
    ]
    manager = Agent(client=client, name="manager", instructions=_SUPERVISOR)
    workflow = MagenticBuilder(
        participants=researchers, manager_agent=manager, max_round_count=20
    ).build()
    ended = await workflow.run(mission)
    return "\n".join(_text_of(output) for output in ended.get_outputs())


def _text_of(output: Any) -> str:
    if isinstance(output, list | tuple):
        return "\n".join(map(_text_of, output))
    return str(getattr(output, "text", output))


PEERS: Final[dict[str, Callable[[str, str], Coroutine[Any, Any, str]]]] = {
    "alone": alone,
    "langgraph": langgraph,
    "magentic": magentic,
}


if __name__ == "__main__":
    print(asyncio.run(PEERS[sys.argv[1]](sys.argv[2], sys.stdin.read())))
