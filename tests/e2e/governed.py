"""Missions that a scripted capable mind carries in one swarm, handed in at once and run beside each
other, with each call of a model written down.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.e2e.swarm_process import Fields, SwarmProcess, data_of, short_folder, swarm_up
from tests.minds.capable import CapableMind
from tests.minds.reading import Asked
from tests.minds.server import Call, Count, Mind, count, serving
from tests.minds.shapes import Json
from tests.minds.work import Said

ENDED_SECONDS: Final = 120.0

THEMES: Final = (
    "Theme `loss`: what is lost when a process, a host or Redis dies. "
    "Theme `spend`: what a mission may spend and what happens when it is used up. "
    "Researchers: `redis-dies` and `hosts-die` for `loss`, `settings` for `spend`. "
)

# So many lines that a researcher has enough to choose from.
_LOSS: Final = """# What is lost

When Redis dies, no write that it acknowledged is lost where each is synced to disk.
When Redis dies and syncs each second, up to the last second of writes is lost.
When a host dies, its agents are placed on another one after its lease has ended.
When a process dies in the middle of a call, the call is settled at its full reserve.
A step that has ended is not paid again by whoever takes the turn up.
"""
_SPEND: Final = """# What a mission may spend

A mission may spend the tokens, calls and dollars of its own account, and no more.
The supervisor holds a mission to its budget before each call, whatever a prompt says.
When the budget of a mission is used up, it ends as exhausted and the rest is told.
When an agent's account is used up, the agent is frozen and its superior is asked.
What a mission has not spent goes back to the account of the swarm when it ends.
"""
NOTES: Final[Mapping[str, str]] = {"notes/loss.md": _LOSS, "notes/spend.md": _SPEND}
_SEATS: Final = 6
SEATS_LINE: Final = (
    "seats: [captain-picard, socrates, king-solomon, gandhi, marcus-aurelius, tony-stark]\n"
    "chair: captain-picard\nquorum: majority\n"
)
_BOARD: Final = f"{SEATS_LINE}bench: [{{tokens_below: 1000000, seats: 3}}]\nmissions_at_once: 100\n"
_MODELS: Final = """
providers:
  openai: {actions: tools, calls_per_minute: 60000, calls_at_once: 32, corrections_max: 2}
"""


@dataclass(frozen=True, slots=True)
class Twin:
    """One mission: how many seats it has, and whose mind carries it."""

    mind: Mind = field(default_factory=CapableMind)
    seats: int = _SEATS
    text: str = THEMES

    @property
    def tokens(self) -> int:
        return 4_000_000 if self.seats == _SEATS else 900_000


@dataclass(frozen=True, slots=True)
class Minds:
    """Who answers is said by the mission that a prompt names."""

    twins: Mapping[str, Twin]

    def __call__(self, body: Json) -> Said:
        return self.twins[mission_of(Asked(body).all)].mind(body)


def mission_of(prompt: str) -> str:
    found = re.findall(r"Mission `([\w-]+)`", prompt)
    return str(found[-1]) if found else ""


def agent_of(prompt: str) -> tuple[str, str]:
    """Name and role of the agent whose charter a prompt begins with."""
    found = re.search(r"You are ([\w-]+) \(a-\w+\), (\w+) at ", prompt)
    return (found[1], found[2]) if found else ("", "")


@dataclass(frozen=True, slots=True)
class Ran:
    swarm: SwarmProcess
    missions: Mapping[str, Fields]
    calls: Mapping[str, list[Call]]

    def count(self, name: str) -> Count:
        return count(self.calls[name])

    def called(self, name: str) -> list[list[str]]:
        """The names of the tools that each answer of a mission's calls, in their order."""
        return [[called for called, _ in call.answer.calls] for call in self.calls[name]]

    def events(self, name: str) -> list[str]:
        journal = [row for _, row in self.swarm.entries("journal") if row["mission"] == name]
        return [str(data_of(row).get("event")) for row in journal]

    def agents(self, name: str) -> dict[str, Fields]:
        return {agent["name"]: agent for agent in self.swarm.agents_of(name)}


@dataclass(frozen=True, slots=True)
class Running:
    swarm: SwarmProcess
    twins: Mapping[str, Twin]
    calls: list[Call]

    def ended(self) -> Ran:
        """What became of all missions, once each has ended."""
        missions = {name: self.swarm.ended_mission(name, ENDED_SECONDS) for name in self.twins}
        calls: dict[str, list[Call]] = {name: [] for name in self.twins}
        for call in sorted(self.calls, key=lambda one: one.began):
            calls[mission_of(call.prompt)].append(call)
        return Ran(self.swarm, missions, calls)


@contextmanager
def running(twins: Mapping[str, Twin], *, seconds: float) -> Iterator[Running]:
    """All missions handed in, on a server each call of which takes so long."""
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        server = stack.enter_context(serving(Minds(twins), seconds=seconds))
        settings = settings_in(folder, server.url)
        swarm = stack.enter_context(swarm_up(folder / "data", **settings))
        for name, twin in twins.items():
            _hand_in(swarm, name, twin)
        yield Running(swarm, twins, server.calls)


def settings_in(folder: Path, url: str, *, board: str = _BOARD, models: str = _MODELS) -> Fields:
    """The environment of a swarm whose policies and knowledge are written into a folder."""
    policies, knowledge = folder / "policies", folder / "knowledge"
    policies.mkdir(parents=True)
    (policies / "board.yaml").write_text(board)
    (policies / "models.yaml").write_text(models)
    for name, text in NOTES.items():
        (knowledge / name).parent.mkdir(parents=True, exist_ok=True)
        (knowledge / name).write_text(text)
    return {
        "SWARMD_POLICIES": str(policies),
        "SWARMD_KNOWLEDGE": str(knowledge),
        "SWARMD_MODEL": "openai:mind",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "sk-of-nobody",
    }


def text_of(name: str, themes: str) -> str:
    return f"Mission `{name}`. Write a brief over the notes. {themes}"


def _hand_in(swarm: SwarmProcess, name: str, twin: Twin) -> None:
    fields = {
        "mission": text_of(name, twin.text),
        "id": name,
        "files": json.dumps(["notes"]),
        "budget": json.dumps({"tokens": twin.tokens}),
    }
    swarm.redis.xadd("swarm:missions", fields)  # type: ignore[arg-type]  # redis-py wants a wider mapping


def cited(text: str) -> set[str]:
    return set(re.findall(r"\((notes/[\w.]+):\d+\)", text))
