"""The kinds of answer that a capable model gave when it erred, from end to end: over HTTP, by both
APIs and in both modes, in a swarm that is whole but for its processes.

One swarm for each API and mode. Each kind has a mission of its own, all of them beside each other,
and whoever is asked there errs once and answers well from then on. What that may cost is one
correction, or one answer of the law, that says all of it: the next request of whoever erred has it.
Nobody ends of it, and the mission is delivered.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import anyio
import pytest

from swarmd.adapters.config import loader as declarations
from swarmd.adapters.files.workspace import Workspace
from swarmd.adapters.models.openai.form import Mode
from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.adapters.redis.connection.connection import dial
from swarmd.adapters.redis.connection.pubsub import Bell
from swarmd.adapters.redis.store import RedisStore
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.app.process import SystemClock
from swarmd.core.board import standstill
from swarmd.core.control import rest
from swarmd.core.model.channels import JOURNAL, RESULTS, room
from swarmd.core.model.declarations import Declarations, Provider
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, AgentId, HostId
from swarmd.core.model.records import Host
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.supervisor.supervisor import Supervisor
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker
from tests.adapters.models.openai.test_corrections import PROPOSER, SLIPS, VOTER, Slip
from tests.conftest import SECRET
from tests.openai_server import Json, MissionBrain, OpenAIServer, ServerReply, user_text

Api = Literal["chat", "responses"]

SECONDS_MAX: Final = 60.0
CORRECTION: Final = "Your last answer could not be used"
RESULT: Final = "The answer is 42."
SIBLING: Final = "other"
SLIP_OF: Final = {f"kind-{number}": name for number, name in enumerate(SLIPS)}

# What is a move is no matter for a correction: it is answered by the law, and with all that is wrong.
ANSWERS: Final[Mapping[str, Sequence[str]]] = {
    "a budget that is too large": ("refused by budget.share: tokens: 90000000 needed",),
    "a role that there is not": ("refused by spawn.role: no role reader; you may create analyst",),
    "a file, a room and a sibling that are not its own": (
        "file law.md is not yours; yours: none, and what stands below work/",
        "you are no member of a room board; your rooms: executives",
        "other is a colleague and no child of yours: say it in `executives` with @other",
    ),
    "the end of a sibling": ("terminate other: refused by agent.unknown: other",),
    "a right that is not held": ("refused by privilege.subset: tool/shell/run",),
}
PROSE: Final = "Answer with one JSON object and nothing else"


# --- a model that errs once in each mission ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a mission, and whether it was answered wrong."""

    request: Json
    who: str  # a seat's or an executive's name
    is_slip: bool

    @property
    def told(self) -> str:
        return user_text(self.request)


@dataclass(slots=True)
class Erring:
    """For all missions, each of which is named for what is answered wrong in it."""

    asked: dict[str, list[Asked]] = field(default_factory=dict)
    good: MissionBrain = field(default_factory=MissionBrain)

    def __call__(self, request: Json) -> ServerReply:
        mission = re.findall(r"Mission of ([\w-]+)\.", json.dumps(request))[-1]
        slip, asked = SLIPS[SLIP_OF[mission]], self.asked.setdefault(mission, [])
        text = user_text(request)
        who = re.findall(r"You are ([\w-]+)(?:, seat\b|\.\nrole: executive)", text)[-1]
        phases = re.findall(r"^phase:[ \t]*(\S+)", text, re.M)
        part = phases[-1] if phases else who
        is_slip = part == _erring(slip) and not any(one.is_slip for one in asked)
        asked.append(Asked(request, who, is_slip))
        if is_slip:
            return ServerReply([{"move": name, **f} for name, f in slip.moves], slip.text)
        return self._answer_well(request, slip, part)

    def _answer_well(self, request: Json, slip: Slip, part: str) -> ServerReply:
        if part == "propose":
            names = ("ann", SIBLING) if SIBLING in json.dumps(slip.moves) else ("ann",)
            motion = {"motion": "charter", "executives": _charters(names), "reason": "r"}
            return ServerReply([{"move": "propose", "motion": motion}])
        if part == "debate" and "motion 1 of" in user_text(request):
            # Where somebody argues all vote.
            return ServerReply([{"move": "argue", "stance": "argue", "text": "Why one?"}])
        if part in ("debate", "respond", "vote", "review"):
            return self.good(request)
        return ServerReply([{"move": "report", "text": f"{part}: 42.", "done": True}])


def _erring(slip: Slip) -> str:
    """Whose answer it is: a seat's, in a phase, or the executive's."""
    return {PROPOSER: "propose", VOTER: "vote"}.get(slip.offer, "ann")


def _charters(names: Sequence[str]) -> list[Json]:
    task = "Find the answer."
    return [{"key": name, "name": name, "role": "executive", "task": task} for name in names]


# --- the swarm --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of all missions."""

    asked: Mapping[str, Sequence[Asked]]
    results: Mapping[str, Message]
    agents: Sequence[Agent]
    said: Sequence[Message]  # in the board's room


def declared_for(api: Api, mode: Mode) -> Declarations:
    shipped = declarations.load(None, None)
    provider = Provider(api=api, actions=mode, calls_per_minute=60_000, calls_at_once=16)
    return replace(
        shipped,
        board=shipped.board.model_copy(update={"missions_at_once": len(SLIPS)}),
        models=shipped.models.model_copy(update={"providers": {"openai": provider}}),
    )


@asynccontextmanager
async def running(
    server: EmbeddedServer, namespace: str, folder: Path, declared: Declarations, model: OpenAIModel
) -> AsyncIterator[RedisStore]:
    way, clock, stop = dial(server.socket), SystemClock(), anyio.Event()
    host, files = HostId(clock.new_id("h")), Workspace(folder / "workspace", folder / "knowledge")

    async def mind(_spec: str) -> Mind:
        return Mind(model, declared.models.provider("openai"))

    async with anyio.create_task_group() as tasks:
        store = RedisStore(way, namespace, SECRET)
        tasks.start_soon(store.pipe.run)
        await store.check_schema()
        bell = Bell(way, store.keys)
        tasks.start_soon(bell.run)
        async with aclosing(bell.line()) as heard, aclosing(bell.line()) as rung:
            handlers = built_in(store, files)
            world = World(store, declared, handlers, mind, lambda: stamp_of(clock.now()))
            worker = Worker(world, Host(host, 1_000, files.identity()), rung, stop, 1.0)
            supervisor = Supervisor(store, heard, clock, declared, host, files, stop)
            async with anyio.create_task_group() as parts:
                parts.start_soon(worker.run)
                parts.start_soon(supervisor.run)
                yield store
                stop.set()
        tasks.cancel_scope.cancel()


async def ran(server: EmbeddedServer, namespace: str, folder: Path, api: Api, mode: Mode) -> Ran:
    declared, brain = declared_for(api, mode), Erring()
    (folder / "knowledge").mkdir()
    (folder / "knowledge" / "facts.md").write_text("Six by seven is 42.\n")
    async with OpenAIServer(brain) as models:
        model = OpenAIModel(
            "test-model",
            base_url=models.base_url,
            api_key="",
            provider=declared.models.provider("openai"),
        )
        async with aclosing(model), running(server, namespace, folder, declared, model) as store:
            for id, name in SLIP_OF.items():
                # Where one seat decides nobody votes.
                seats = "3" if SLIPS[name].offer is VOTER else "1"
                mission = {"mission": f"Mission of {id}.", "id": id, "board": seats}
                await store.keep_mission(mission | {"files": '["facts.md"]'})
            with anyio.fail_after(SECONDS_MAX):
                while len(results := await store.read(RESULTS, FIRST, 100)) < len(SLIP_OF):
                    await anyio.sleep(0.02)
            said = await store.read(room("sob"), FIRST, 1_000)
            agents = await _agents_of(store)
    return Ran(brain.asked, {str(one.mission): one for one in results}, agents, said)


async def _agents_of(store: RedisStore) -> list[Agent]:
    journal = await store.read(JOURNAL, FIRST, 10_000)
    made = [m for m in journal if m.data["event"] == JournalEvent.AGENT_SPAWNED]
    found = await store.agents([AgentId(m.data["agent"]) for m in made])
    return [agent for agent in found if agent is not None]


# --- the claims -------------------------------------------------------------------------------


def faults_of(found: Ran, id: str, told: Sequence[str], corrections: int) -> list[str]:
    """What one kind of answer has cost beyond what it may; none is what must be found."""
    asked, result, faults = found.asked[id], found.results[id], list[str]()
    if result.data["state"] != "delivered" or RESULT not in result.text:
        faults.append(f"{result.data['state']}: {result.text}")
    faults += [
        f"{agent.name}: {agent.reason}"
        for agent in found.agents
        if agent.mission == id and agent.reason != "mission delivered (confirmed)"
    ]
    at = next(number for number, one in enumerate(asked) if one.is_slip)
    after = [one.told for one in asked[at + 1 :] if one.who == asked[at].who]
    most = max((told.count(CORRECTION) for told in after), default=0)
    if most != corrections:
        faults.append(f"{most} corrections")
    next_told = after[0] if after else ""
    return faults + [f"not told: {words}" for words in told if words not in next_told]


def told_of(slip: Slip, name: str, mode: Mode) -> Sequence[str]:
    """What whoever erred is told next, all of it at once."""
    if slip.says and mode not in slip.modes:
        return (PROSE,)
    return slip.says or ANSWERS.get(name, ())


def _of_motion(found: Ran, id: str, kind: Kind, motion: int) -> list[Message]:
    said = [one for one in found.said if one.mission == id and one.kind is kind]
    return [one for one in said if one.data["motion_number"] == motion]


@pytest.mark.parametrize("mode", ["tools", "schema"])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_kind_of_answer_costs_at_most_one_correction_and_ends_nobody(
    server: EmbeddedServer,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    api: Api,
    mode: Mode,
) -> None:
    # An executive that reported, and not as its last word, is at rest at once.
    monkeypatch.setattr(standstill, "REST_SECONDS", 0.1)
    monkeypatch.setattr(rest, "REST_SECONDS", 0.1)
    found = await ran(server, namespace, tmp_path, api, mode)
    faults = {}
    for id, name in SLIP_OF.items():
        slip = SLIPS[name]
        faults[name] = faults_of(found, id, told_of(slip, name, mode), int(bool(slip.says)))
    assert {name: one for name, one in faults.items() if one} == {}
    for id, name in SLIP_OF.items():
        assert len(_of_motion(found, id, Kind.PROPOSAL, 1)) == 1, name
        if SLIPS[name].offer is VOTER:
            votes = _of_motion(found, id, Kind.VOTE, 1)
            assert [vote.data["choice"] for vote in votes] == ["yes"] * 2, "the erring seat's, too"
