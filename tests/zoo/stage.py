"""Where the zoo's minds live: a worker, a few agents that are placed on it, and who wakes them.

The supervisor's pen is the test's; only what a worker finds by itself is found here. Wedged turns,
which the supervisor finds, have a stage of their own (`tests.zoo.wedged`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

import anyio

from swarmd.adapters.redis.store import RedisStore
from swarmd.core.agent.turn import Acting
from swarmd.core.model.channels import DEAD, REQUESTS, inbox
from swarmd.core.model.charter import Charter, Written
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.functions import BUILT_IN, Function, registry
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import MOVE
from swarmd.core.model.names import FIRST, OPERATOR, SOB, SUPERVISOR, AgentId
from swarmd.core.model.refusals import Rule
from swarmd.errors import WorkspaceError
from swarmd.ports.models import Answered, Failed, Prompt, Usage, View
from tests.runtime.test_worker import (
    AT,
    DECLARED,
    HERE,
    MISSION,
    Lineage,
    at_work,
    executive,
    facts_of,
    jumping,
    stored,
    until,
    worker_of,
)
from tests.zoo.doctored import modes_of

Json = dict[str, Any]
# Answers of one turn, in their order; each is a list of moves.
Answers = Sequence[Sequence[Json]]
# What an agent answers in its turn of this number, from 1 on.
Mind = Callable[[int, View], Answers]
TURN_SECONDS: Final = 3_700.0  # what a turn may take at most, of virtual time
DETECTED_WITHIN: Final = 3  # settled turns after the first sick one


# --- functions of the zoo -----------------------------------------------------------------------


class Look(Written):
    at: int = 0
    what: str = ""


class Keep(Written):
    name: str
    text: str


LOOK: Final = Function(
    name="zoo/look", summary="Look.", args=Look, source="own", effect="reads", echoes=("at",)
)
KEEP: Final = Function(
    name="zoo/keep", summary="Keep a text.", args=Keep, source="own", effect="writes"
)


def _declared() -> Declarations:
    role = DECLARED.roles["executive"]
    functions = (*role.functions, LOOK.name, KEEP.name)
    roles = {**DECLARED.roles, "executive": role.model_copy(update={"functions": functions})}
    known = registry(*BUILT_IN.values(), LOOK, KEEP)
    return replace(DECLARED, roles=roles, functions=known)


ZOO: Final = _declared()


# --- who lives here -----------------------------------------------------------------------------


def at_top(name: str) -> Agent:
    agent = executive(name)
    return replace(agent, privileges=(*agent.privileges, "room/executives/say"))


def below(parent: Agent, name: str) -> Agent:
    """A child. It has its superior's role, so that it may call the zoo's functions."""
    return replace(
        parent,
        id=AgentId(name),
        name=name,
        tier=parent.tier + 1,
        parent=parent.id,
        path=(*parent.path, name),
        charter=Charter(role="executive", name=name, task="Answer."),
    )


@dataclass(slots=True)
class Cage:
    """Agents with their minds. `wake` says what the stage posts before its turn of that number, to
    whom; `turns` are as many as it wakes, and `seconds` are left for those that wake each other.
    `look` is what the function finds. `sick_from` is the turn in which an agent's fault begins.
    """

    minds: Mapping[str, Mind]
    agents: Sequence[Agent] = (at_top("a-one"),)
    wake: Callable[[int], Message | Sequence[Message]] = lambda n: directive("and?")
    turns: int = 12
    seconds: float = 0.0
    look: Callable[[Look], Mapping[str, Any]] = lambda args: {"found": "the same"}
    think_seconds: float = 0.0
    sick_from: int = 0
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, of whom, in its turn of which number; 0 where that is not told."""

    detector: str
    agent: str
    turn: int


def directive(text: str, *, to: str = "a-one", sender: AgentId = SOB) -> Message:
    return Message(sender=sender, to=to, kind=Kind.DIRECTIVE, at=AT, mission=MISSION, text=text)


def said_by_a_person(text: str, *, to: str = "a-one") -> Message:
    return replace(directive(text, to=to, sender=OPERATOR), kind=Kind.SAY)


def asked_by(sender: str, text: str, *, to: str = "a-one") -> Message:
    return replace(directive(text, to=to, sender=AgentId(sender)), kind=Kind.SAY)


def answered(outcome: str, *, to: str = "a-one", **data: Any) -> Message:
    data = {"outcome": outcome, **data}
    return replace(directive("", to=to, sender=SUPERVISOR), kind=Kind.ANSWER, data=data)


# --- moves --------------------------------------------------------------------------------------


def report(text: str, *, done: bool = False) -> Json:
    return {"move": "report", "text": text, "done": done}


def say(text: str) -> Json:
    return {"move": "say", "room": "executives", "text": text}


def direct(to: str, text: str) -> Json:
    return {"move": "direct", "to": to, "text": text}


def wait(seconds: int = 0, *whom: str) -> Json:
    return {"move": "wait", "whom": list(whom), "what": "news", "seconds": seconds or None}


def look(at: int = 0, what: str = "") -> Json:
    return {"move": "use", "function": LOOK.name, "args": {"at": at, "what": what}}


def keep(name: str, text: str) -> Json:
    return {"move": "use", "function": KEEP.name, "args": {"name": name, "text": text}}


def spawn(name: str) -> Json:
    charter = {"name": name, "role": "researcher", "task": "Find it."}
    return {"move": "spawn", "key": name, "charter": charter}


# --- a run --------------------------------------------------------------------------------------

_THOUGHT: Final[Sequence[Json]] = ({"move": "think", "thought": "Hm."},)
_USED: Final = Usage(1, 1)


@dataclass(slots=True)
class Keeper:
    """The port `Model` for all of a cage."""

    cage: Cage
    turns: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Answers] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    batch: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "scripted:zoo"

    @property
    def is_language_model(self) -> bool:
        return False

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
        view, agent = prompt.view, str(prompt.view.agent)
        await anyio.sleep(self.cage.think_seconds)
        if not view.steps:
            batch = tuple(f"{m.channel} {m.id}" for m in view.mail)
            # A turn that is tried again is the same turn.
            self.turns[agent] += batch != self.batch.get(agent)
            self.batch[agent], self.calls[agent] = batch, 0
            self.answers[agent] = self.cage.minds[agent](self.turns[agent], view)
        given, at = self.answers[agent], self.calls[agent]
        self.calls[agent] += 1
        moves = given[at] if at < len(given) else _THOUGHT
        return Answered(tuple(MOVE.validate_python(move) for move in moves), _USED)


async def _found(store: RedisStore) -> list[Finding]:
    cut = [
        Finding(fact["rule"], fact["agent"], int(fact["call"]))
        for fact in await facts_of(store, fact="refuse")
        if fact["rule"] in (Rule.NO_PROGRESS, Rule.RATE) and "channel" in fact
    ]
    dead = [Finding("dead letter", m.sender, 0) for m in await store.read(DEAD, FIRST, 10)]
    failed = [
        Finding(m.data["rule"] or "crash", m.sender, 0)
        for m in await store.read(REQUESTS, FIRST, 100)
        if m.data.get("type") == "failed" and not m.data.get("dead")
    ]
    return [*cut, *dead, *failed]


@dataclass(frozen=True, slots=True)
class Life:
    """What detectors found while it went on, in the order of its facts, and the modes that the
    doctor finds afterwards.
    """

    found: Sequence[Finding]
    modes: frozenset[str]


async def _looked_back(store: RedisStore, cage: Cage, found: Sequence[Finding]) -> Life:
    facts = await store.read_facts(FIRST, 10_000)
    requests = [m for m in await store.read(REQUESTS, FIRST, 100) if m.data["type"] == "failed"]
    return Life(found, modes_of(cage.agents, facts, requests))


async def _live(cage: Cage) -> Life:
    keeper = Keeper(cage)

    async def looking(_: Acting, args: Any) -> Mapping[str, Any]:
        return cage.look(args)

    async def keeping(_: Acting, args: Any) -> Mapping[str, Any]:
        return {"name": args.name}

    handlers = {LOOK.name: looking, KEEP.name: keeping}
    async with stored() as store:
        await Lineage(store).found(*cage.agents)
        worker = worker_of(store, keeper, declared=ZOO, handlers=handlers, host=HERE)
        async with at_work(worker):
            for number in range(1, cage.turns + 1):
                await _woken(store, cage.wake(number))
                if found := await _found(store):
                    return await _looked_back(store, cage, found)
            await anyio.sleep(cage.seconds)
            return await _looked_back(store, cage, await _found(store))


async def _woken(store: RedisStore, posts: Message | Sequence[Message]) -> None:
    messages = [posts] if isinstance(posts, Message) else posts
    to = AgentId(messages[0].to)
    before = (await store.resume(to)).turn
    for message in messages:
        await store.post(inbox(to), message)

    async def is_over() -> bool:
        return (await store.resume(to)).turn > before

    await until(is_over, TURN_SECONDS)


def live(cage: Cage) -> Life:
    """All that is found of a cage."""
    return jumping(lambda: _live(cage))


def chance_of(name: str, seed: int) -> random.Random:
    return random.Random(f"{name} {seed}")


def lines(chance: random.Random) -> Callable[[], str]:
    """New references, one after the other."""
    at = count(chance.randint(1, 99))
    return lambda: f"core/part_{chance.randint(1, 9)}.py:{next(at)}"


def no_such(what: str) -> Mapping[str, Any]:
    raise WorkspaceError(f"there is no {what}")
