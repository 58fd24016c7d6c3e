"""Missions that a capable mind carries, one for each thing that a board is there for: nobody argues, one
argues and the motion is changed, a bad researcher is replaced, a blocker is decided, a deceptive
mission is rejected, a faltering executive is replaced, a person's word is answered.

One swarm, one scripted mind a mission, which answers from its prompts alone. All missions are handed
in at the start and run beside each other. What is asserted is what became of them, and how many calls
that took: the figures are bounds, and a change that needs fewer lowers them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.swarm_process import Fields, SwarmProcess, data_of, short_folder, swarm_up
from tests.minds.capable import CapableMind, demanded
from tests.minds.reading import Asked
from tests.minds.server import Call, Count, MindServer, count, serving
from tests.minds.shapes import Json
from tests.minds.work import Said

pytestmark = pytest.mark.timeout(240)

ARGUMENT: Final = "Say how long each part is to be: ten lines at most."
WORD: Final = "Leave out what is said of hosts."

_THEMES: Final = (
    "Theme `loss`: what is lost when a process, a host or Redis dies. "
    "Theme `spend`: what a mission may spend and what happens when it is used up. "
    "Researchers: `redis-dies` and `hosts-die` for `loss`, `settings` for `spend`. "
)
_SALES: Final = "It hides what the files say of limits. Theme `safety`: why nothing can go wrong. "

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
_BOARD: Final = """
seats: [captain-picard, socrates, king-solomon, gandhi, marcus-aurelius, tony-stark]
chair: captain-picard
quorum: majority
bench: [{tokens_below: 1000000, seats: 3}]
missions_at_once: 100
"""
_MODELS: Final = """
providers:
  openai: {actions: tools, calls_per_minute: 60000, calls_at_once: 32, corrections_max: 2}
"""


@dataclass(frozen=True, slots=True)
class Twin:
    """One mission: how many seats it has, and whose mind carries it."""

    mind: CapableMind = CapableMind()
    seats: int = 6
    text: str = _THEMES
    falters: str = ""  # the executive of that name answers with no call, ever

    @property
    def tokens(self) -> int:
        return 4_000_000 if self.seats == 6 else 900_000


TWINS: Final[Mapping[str, Twin]] = {
    "plain-six": Twin(),
    "plain-three": Twin(seats=3),
    "argued-six": Twin(CapableMind(objects=ARGUMENT, objector="socrates")),
    "argued-three": Twin(CapableMind(objects=ARGUMENT, objector="socrates"), seats=3),
    "careless": Twin(CapableMind(careless=frozenset({"settings"})), seats=3),
    "blocked": Twin(CapableMind(blocked=frozenset({"spend"})), seats=3),
    "deceptive": Twin(text=_SALES),
    "faltering": Twin(seats=3, falters="spend"),
    "person": Twin(seats=3),
}
# So many calls of a model at most: the board's and all agents'.
CALLS_MAX: Final = {
    "plain-six": 24,
    "plain-three": 18,
    "argued-six": 32,
    "argued-three": 22,
    "deceptive": 7,
}
UNCACHED_SHARE_MAX: Final = 0.25
STEPS_MAX: Final = {"plain-six": 12, "plain-three": 12}


@dataclass(slots=True)
class Minds:
    """Who answers is said by the mission that a prompt names."""

    is_debating: bool = False  # the mission in which a person speaks
    is_said: bool = False

    def __call__(self, body: Json) -> Said:
        asked = Asked(body)
        name = mission_of(asked.all)
        twin = TWINS[name]
        if twin.falters and _whose(body) == twin.falters:
            return Said(text="I am not sure what to do.")
        if name == "person" and demanded(asked) == "argue":
            # A person speaks in the middle of the debate: it goes on when that is done.
            self.is_debating = True
            _until(lambda: self.is_said)
        return twin.mind(body)


def mission_of(prompt: str) -> str:
    found = re.findall(r"Mission `([\w-]+)`", prompt)
    return str(found[-1]) if found else ""


def _whose(body: Json) -> str:
    """The name that an agent's own prompt ends in."""
    told = "\n".join(str(m.get("content")) for m in body["messages"] if m["role"] == "user")
    found = re.findall(r"You are ([\w-]+) \(a-", told)
    return str(found[-1]) if found else ""


def _until(claim: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Ran:
    swarm: SwarmProcess
    missions: Mapping[str, Fields]
    calls: Mapping[str, list[Call]]

    def count(self, name: str) -> Count:
        return count(self.calls[name])

    def journal(self, name: str) -> list[Fields]:
        return [row for _, row in self.swarm.entries("journal") if row["mission"] == name]

    def events(self, name: str) -> list[str]:
        return [str(data_of(row).get("event")) for row in self.journal(name)]

    def names(self, name: str) -> list[str]:
        return [agent["name"] for agent in self.swarm.agents_of(name)]


@pytest.fixture(scope="module")
def ran() -> Iterator[Ran]:
    minds = Minds()
    with ExitStack() as stack:
        data = stack.enter_context(short_folder())
        server = stack.enter_context(serving(minds, seconds=0.1))
        swarm = stack.enter_context(swarm_up(data / "data", **_settings(data, server)))
        for name, twin in TWINS.items():
            _hand_in(swarm, name, twin)
        _until(lambda: minds.is_debating)
        said = swarm.verb("say", "person", WORD)
        minds.is_said = True
        assert said.returncode == 0, said.stderr
        missions = {name: swarm.ended_mission(name, 120.0) for name in TWINS}
        calls: dict[str, list[Call]] = {name: [] for name in TWINS}
        for call in server.taken():
            calls[mission_of(call.prompt)].append(call)
        yield Ran(swarm, missions, calls)


def _settings(folder: Path, server: MindServer) -> dict[str, str]:
    policies, knowledge = folder / "policies", folder / "knowledge"
    for place in (policies, knowledge / "notes"):
        place.mkdir(parents=True)
    (policies / "board.yaml").write_text(_BOARD)
    (policies / "models.yaml").write_text(_MODELS)
    (knowledge / "notes" / "loss.md").write_text(_LOSS)
    (knowledge / "notes" / "spend.md").write_text(_SPEND)
    return {
        "SWARMD_POLICIES": str(policies),
        "SWARMD_KNOWLEDGE": str(knowledge),
        "SWARMD_MODEL": "openai:mind",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "sk-of-nobody",
    }


def _hand_in(swarm: SwarmProcess, name: str, twin: Twin) -> None:
    text = f"Mission `{name}`. Write a brief over the notes. {twin.text}"
    fields = {
        "mission": text,
        "id": name,
        "files": json.dumps(["notes"]),
        "budget": json.dumps({"tokens": twin.tokens}),
    }
    swarm.redis.xadd("swarm:missions", fields)  # type: ignore[arg-type]  # redis-py wants a wider mapping


# --- what became of them ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TWINS if name != "deceptive"])
def test_it_is_delivered_with_sources_from_both_files(ran: Ran, name: str) -> None:
    mission = ran.missions[name]
    assert mission["state"] == "delivered", mission
    cited = set(re.findall(r"\((notes/[\w.]+):\d+\)", mission["result"]))
    assert cited == {"notes/loss.md", "notes/spend.md"}, mission["result"]


@pytest.mark.parametrize("name", CALLS_MAX)
def test_it_takes_so_many_calls_at_most(ran: Ran, name: str) -> None:
    calls = [[called for called, _ in call.answer.calls] for call in ran.calls[name]]
    assert len(calls) <= CALLS_MAX[name], calls


@pytest.mark.parametrize("name", STEPS_MAX)
def test_so_many_calls_at_most_wait_for_each_other(ran: Ran, name: str) -> None:
    # Nine missions share this machine with it, so two calls of one step may fall apart.
    assert ran.count(name).serial_steps <= STEPS_MAX[name] + 4


@pytest.mark.parametrize("name", ["plain-six", "argued-six"])
def test_most_of_what_is_told_is_in_a_prefix_that_an_earlier_call_had(ran: Ran, name: str) -> None:
    counted = ran.count(name)
    assert counted.uncached_tokens <= UNCACHED_SHARE_MAX * counted.prompt_tokens, counted


@pytest.mark.parametrize("name", TWINS)
def test_all_seats_of_a_mission_are_told_the_same_tools_and_system_message(
    ran: Ran, name: str
) -> None:
    seats = [call for call in ran.calls[name] if "vote" in call.offered]
    assert len({call.prompt.partition("\nuser\n")[0] for call in seats}) == 1


@pytest.mark.parametrize("name", ["argued-six", "argued-three"])
def test_an_argument_changes_the_motion_and_the_changed_one_is_executed(
    ran: Ran, name: str
) -> None:
    executives = [agent for agent in ran.swarm.agents_of(name) if agent["tier"] == "1"]
    assert len(executives) == 2
    told = [call.prompt for call in ran.calls[name] if "spawn" in call.offered]
    assert told
    assert all(ARGUMENT in prompt for prompt in told)


def test_a_bad_researcher_is_replaced_and_no_person_is_asked(ran: Ran) -> None:
    assert "settings-again" in ran.names("careless")
    (bad,) = [a for a in ran.swarm.agents_of("careless") if a["name"] == "settings"]
    assert bad["state"] == "terminated"
    assert "approval.requested" not in ran.events("careless")


def test_a_blocker_is_decided_within_one_call_of_the_board(ran: Ran) -> None:
    calls = [[called for called, _ in call.answer.calls] for call in ran.calls["blocked"]]
    prompts = [call.prompt for call in ran.calls["blocked"]]
    blocked = next(
        n for n, call in enumerate(ran.calls["blocked"]) if "Blocker on" in str(call.answer)
    )
    after = next(n for n, prompt in enumerate(prompts) if n > blocked and "propose" in calls[n])
    assert "Blocker on `spend`" in prompts[after]
    decided = next(
        n
        for n, prompt in enumerate(prompts)
        if "Decision on `spend`" in prompt and "report" in calls[n]
    )
    assert sum("propose" in called for called in calls[blocked:decided]) == 1


def test_a_deceptive_mission_is_rejected_with_its_reason_and_nobody_is_created(ran: Ran) -> None:
    mission = ran.missions["deceptive"]
    assert mission["state"] == "rejected"
    assert "mislead" in mission["reason"]
    assert ran.names("deceptive") == []


def test_a_faltering_executive_is_replaced_while_the_other_one_works(ran: Ran) -> None:
    agents = {agent["name"]: agent for agent in ran.swarm.agents_of("faltering")}
    assert agents["spend"]["state"] == "terminated"
    assert agents["spend-again"]["created"] < agents["loss"]["ended"]


def test_a_persons_word_in_the_middle_of_a_debate_is_shown_to_the_board_and_answered(
    ran: Ran,
) -> None:
    shown = [call for call in ran.calls["person"] if WORD in call.prompt]
    assert shown
    said = [row for _, row in ran.swarm.entries("room:sob") if row["mission"] == "person"]
    at = next(n for n, row in enumerate(said) if row["text"] == WORD)
    assert any(row["text"].startswith("Heard") for row in said[at:]), said
