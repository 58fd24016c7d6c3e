"""`python -m tests.sim.random_mind --missions 200`: missions whose seats and agents answer at random, in
three worlds: nothing goes wrong, everything goes wrong, clocks jump.

An answer is one to three moves drawn from the schemas of what is offered; one in ten is spoilt. So
nothing is ever meant, and whatever the law and the board make of it has to end: no mission without an
end, none in silence (nobody thinks, and nothing is written), and each last
state with a reason that names who was asked and what was missing.

Ends with 0 where that held for all, and with 7 where it did not.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import anyio
from pydantic import ValidationError

from swarmd.core.model.channels import RESULTS
from swarmd.core.model.functions import Offer
from swarmd.core.model.messages import Kind, from_line, line_of
from swarmd.core.model.moves import MOVE, MOVE_TYPES, ROLE_MOVES
from swarmd.core.model.names import StreamId
from swarmd.ports.models import Answered, Failed, Prompt, Usage, View
from tests.core import swarm_builder
from tests.minds.shapes import Draw, Json, Shape, spoilt
from tests.sim import world as world_module
from tests.sim.network import Rates
from tests.sim.player import Player, Temper
from tests.sim.world import MISHAPS, Outcome, Plan, World, simulate

BROKEN: Final = 7
MISSIONS_A_RUN: Final = 2
SPOILT: Final = 0.1  # of the answers
MOVES_MAX: Final = 3
# Of a wait that names its time. Whoever sees it sees until when, so it is no silence, and here it
# is shorter than what counts as one.
WAIT_SECONDS: Final = 100
# Said half of the time that it may be said: else no motion is ever carried, and nobody works.
LEANS: Final = frozenset({"charter", "consent", "keep", "yes"})
# Nobody thinks and nothing is written for longer than this while a mission is open: longer than
# any wait that the calm world's settings have, each of which ends in a word to somebody.
SILENCE_SECONDS: Final = 150.0
# Who can be asked, and what can be missing, as a reason for an end has to say.
_WHO: Final = re.compile(
    r"\b(board|motions?|seats?|picard|socrates|solomon|executives?|agents?|operator|supervisor|chair|host)\b"
    r"|\b[ak]-[\w-]+",
    re.IGNORECASE,
)
_WORDS_MIN: Final = 5  # a bare code names nobody and nothing


# --- the mind ---------------------------------------------------------------------------------


@cache
def _shape_of(move: str) -> Shape:
    return Shape.of(MOVE_TYPES[move].model_json_schema())


@dataclass(slots=True)
class RandomMind(Player):
    """Answers each call by the schemas of what is offered; the same mail is answered the same."""

    offers: dict[str, Offer] = field(default_factory=dict)

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        # Where more is told than may be answered now, so that the list is the same each time.
        self.offers[prompt.view.agent] = getattr(prompt, "open_offer", prompt.offer)
        return await Player.attempt(self, prompt, sending)

    async def _think(
        self, view: View, chance: random.Random, again: random.Random, sending: Callable[[], None]
    ) -> Answered | Failed:
        offer = self.offers[view.agent]
        sending()
        await anyio.sleep(again.expovariate(1 / self.temper.think_seconds))
        used = Usage(again.randint(1, 500), 0, cost=again.randint(0, 500))
        if again.random() < self.temper.fails:
            return Failed(again.choice(("timeout", "server")), "as the seed has it", used)
        draw = Draw(chance, _words_of(view), optional=chance.choice((0.0, 0.2)), leans=LEANS)
        moves = chance.randint(1, min(MOVES_MAX, offer.moves_max))
        written = [_drawn_move(draw, offer) for _ in range(moves)]
        if chance.random() < SPOILT:
            written[0] = spoilt(written[0], chance)
        try:
            return Answered(tuple(MOVE.validate_python(move) for move in written), used)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            said = json.dumps(written, ensure_ascii=False, default=str)
            return Failed("malformed", f"{faults[0]['loc']}: {faults[0]['msg']}", used, text=said)


def _drawn_move(draw: Draw, offer: Offer) -> Json:
    functions = {function.name: function for function in offer.functions}
    names = [name for name in offer.moves if name != "use"]
    name = draw.chance.choice([*names, *functions])
    if name in functions:
        args = Shape.of(functions[name].args.model_json_schema())
        return {"move": "use", "function": name, "args": draw.value(args)}
    made: Json = draw.value(_shape_of(name))
    if name == "wait" and made.get("seconds"):
        made["seconds"] = min(made["seconds"], WAIT_SECONDS)
    # Never offered: the supervisor mints both, and a claim of them is refused by name.
    return {k: v for k, v in made.items() if k not in ("tier", "parent")} | {"move": name}


def _words_of(view: View) -> Mapping[str, Sequence[str]]:
    """What stands in a prompt, by the fields that it would be put into."""
    call = view.call
    reporters = [str(report["agent"]) for report in call.reports] if call else []
    people = [view.agent, "sob", "picard", *reporters, *(child.id for child in view.children)]
    mail = view.mail[0].id.replace("-", ".") if view.mail else "0"
    names = [f"{letter}{mail}" for letter in "abc"]
    texts = [
        "Do a part of it.",
        "It is done.",
        "Nothing was found.",
        "I cannot go on: a file lacks.",
    ]
    return {
        "": texts,
        "role": ["manager", "worker"],
        "name": names,
        "key": names,
        "to": [*people, "*"],
        "target": people,
        "reports": reporters or people,
        "for": people,
        "whom": people,
        "room": ["hall", "sob"],
        "privilege": ["spawn/**", "model/**", "room/hall/say"],
        "privileges": ["model/**", "spawn/**"],
        "grants": ["model/**", "spawn/**"],
        "files": ["notes.md"],
    }


# --- the worlds -------------------------------------------------------------------------------

_TEMPER: Final = Temper(think_seconds=2.0)
# An hour's patience in minutes: whoever stalls is told of, and what nobody ends is ended.
_LIMITS: Final = {"stall_seconds": 60.0, "deadline_seconds": 1_500.0, "approval_seconds": 60.0}
_SETTLE_SECONDS: Final = 2_000.0
WORLDS: Final[Mapping[str, Plan]] = {
    "calm": Plan(
        missions=MISSIONS_A_RUN,
        temper=_TEMPER,
        fault_seconds=20.0,
        settle_seconds=_SETTLE_SECONDS,
        limits=_LIMITS,
    ),
    "faults": Plan(
        missions=MISSIONS_A_RUN,
        temper=replace(_TEMPER, fails=0.05),
        rates=Rates(cut=0.02, slow=0.01, late=0.3, ring_lost=0.3, ring_twice=0.1, ring_late=0.1),
        mishaps={name: sum(between) / 2 for name, between in MISHAPS.items()},
        fault_seconds=90.0,
        settle_seconds=_SETTLE_SECONDS,
        limits=_LIMITS,
    ),
    "clocks": Plan(
        workers=3,
        missions=MISSIONS_A_RUN,
        temper=_TEMPER,
        mishaps={"clock jump": 3.0},
        fault_seconds=90.0,
        settle_seconds=_SETTLE_SECONDS + 3_600.0,
        # Clocks jump by up to an hour, and no deadline may pass by that alone.
        limits={**_LIMITS, "deadline_seconds": 5_000.0},
    ),
}


@dataclass(frozen=True, slots=True)
class Ending:
    mission: str
    state: str
    reason: str


@dataclass(slots=True)
class Seen:
    """What came of a run's missions, and the longest silence while one was open."""

    endings: list[Ending] = field(default_factory=list)
    silence: float = 0.0
    silence_at: float = 0.0


@dataclass(slots=True, eq=False)
class RandomWorld(World):
    """Listens once a second for silence, and keeps the results."""

    async def run(self) -> None:
        listening = self.loop.create_task(self._listen())
        try:
            await World.run(self)
        finally:
            listening.cancel()
        rows = self.server.ask("XRANGE", self.watch.keys.channel(RESULTS), "-", "+")
        for id, flat in rows:
            said = from_line(RESULTS, StreamId(id), line_of(flat))
            if said is not None and said.kind is Kind.RESULT:
                data = said.data
                reason = str(data.get("reason", ""))
                _seen[-1].endings.append(Ending(said.mission, str(data.get("state")), reason))

    async def _listen(self) -> None:
        last, since = self._signs(), self.loop.time()
        while True:
            await anyio.sleep(1.0)
            now, is_open = self._signs(), any(self.missions.values())
            results = self.watch.results() if is_open else Counter[str]()
            is_open = any(taken and not results[id] for id, taken in self.missions.items())
            if now != last or not is_open or any(self.player.running.values()):
                last, since = now, self.loop.time()
            silence = self.loop.time() - since
            if silence > _seen[-1].silence:
                _seen[-1].silence, _seen[-1].silence_at = silence, since

    def _signs(self) -> tuple[int, str]:
        return self.player.calls, self._head()


# One for each run that was begun, the last of them under way.
_seen: Final[list[Seen]] = []


@contextmanager
def _at_random() -> Iterator[None]:
    """Worlds that are made here have this mind, and roles that may do all that a role can."""

    def declared(board: Mapping[str, Any] | None = None, **limits: Any) -> Any:
        plain = swarm_builder.declarations(board, **limits)
        roles = {
            name: role.model_copy(update={"moves": ROLE_MOVES if name == "manager" else role.moves})
            for name, role in plain.roles.items()
        }
        return replace(plain, roles=roles)

    module: Any = world_module
    before = module.Player, module.declarations, module.World
    module.Player, module.declarations, module.World = RandomMind, declared, RandomWorld
    try:
        yield
    finally:
        module.Player, module.declarations, module.World = before


def run(world: str, seed: int, *, is_told: bool = False) -> tuple[Outcome, Seen, list[str]]:
    """One run of a world, what was seen of it, and what is wrong with it."""
    _seen.append(Seen())
    with _at_random():
        outcome = simulate(seed, WORLDS[world], is_told=is_told)
    seen = _seen.pop()
    return outcome, seen, [*outcome.breaches, *_wrong(outcome, seen)]


def _wrong(outcome: Outcome, seen: Seen) -> list[str]:
    """What is said of an end, and how long nobody was asked."""
    found = [
        f"{one.mission} is {one.state} for {one.reason!r}: it does not say who was asked and what was missing"
        for one in seen.endings
        # What is rejected is so for the proposer's own reason, which is noise here.
        if one.state not in ("delivered", "rejected") and not says_why(one.reason)
    ]
    if seen.silence > SILENCE_SECONDS and not outcome.faults:
        found.append(
            f"nobody was asked and nothing was written for {seen.silence:.0f} s from "
            f"{seen.silence_at:.0f} s on, with a mission open"
        )
    return found


def says_why(reason: str) -> bool:
    return len(reason.split()) >= _WORDS_MIN and _WHO.search(reason) is not None


# --- the command ------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.random_mind", description=__doc__)
    parser.add_argument("--missions", type=int, default=200, help="of all worlds together")
    parser.add_argument("--world", choices=sorted(WORLDS), help="this one alone")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: all that happens")
    asked = parser.parse_args()
    worlds = [asked.world] if asked.world else list(WORLDS)
    runs = -(-asked.missions // (MISSIONS_A_RUN * len(worlds)))
    seeds = range(runs) if asked.seed is None else [asked.seed]
    states, wrong, silence = Counter[str](), 0, 0.0
    for world in worlds:
        for seed in seeds:
            outcome, seen, faults = run(world, seed, is_told=asked.trace)
            for line in outcome.lines:
                print(line)
            states.update(f"{world}: {one.state}" for one in seen.endings)
            silence = max(silence, seen.silence)
            wrong += bool(faults)
            for fault in faults:
                print(f"{world} {seed}: {fault}")
            if faults:
                again = f"--world {world} --seed {seed} --trace"
                print(f"  again: python -m tests.sim.random_mind {again}", flush=True)
    print("; ".join(f"{count} {state}" for state, count in sorted(states.items())))
    print(f"longest silence {silence:.0f} s; {wrong} runs of {len(worlds) * len(seeds)} are wrong")
    return BROKEN if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
