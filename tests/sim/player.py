"""Everybody's mind: what each agent answers is drawn from the seed and from the mail that it
answers.

So a turn that is done again says the same again, and a message that is there twice was said once
and posted twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio

from swarmd.core.model.messages import Kind
from swarmd.core.model.moves import MOVE
from swarmd.core.model.names import AgentId, Channel
from swarmd.ports.models import Answered, Failed, Prompt, Usage, View

# What the player says begins so; the supervisor's own words do not.
MARK: Final = "§"
_WHYS: Final[tuple[Literal["rate_limited", "timeout", "server", "malformed"], ...]] = (
    "rate_limited",
    "timeout",
    "server",
    "malformed",
)
_BOUND: Final = Usage(500, 0, cost=500)


class CrashedMindError(Exception):
    """A bug in a model's adapter, as a worker may meet one."""


@dataclass(frozen=True, slots=True)
class Temper:
    """How the minds of one run are. Shares of calls; seconds."""

    fails: float = 0.0
    crashes: float = 0.0
    think_seconds: float = 0.5
    long_share: float = 0.0
    long_seconds: float = 30.0
    long_role: str = ""  # only of this role; empty: of everybody
    executives_max: int = 2
    children_min: int = 0
    children_max: int = 2
    grandchildren: float = 0.0
    no_votes: float = 0.0
    argues: float = 0.2  # seats that do not consent
    governs: float = 0.0
    rebels: float = 0.0  # wants what it may not


@dataclass(slots=True)
class Player:
    """The port `Model`. One for all processes: what it remembers is the run's, not a process's."""

    seed: int
    temper: Temper
    trace: Callable[..., None]
    now: Callable[[], float] = lambda: 0.0
    calls: int = 0
    overlaps: int = 0  # begun for an agent whose last one still ran somewhere
    idle_calls: int = 0  # without mail: nobody may be called for nothing
    # What each agent was ever shown, for the watch to hold against what it says that it has read.
    shown: dict[AgentId, set[tuple[Channel, AgentId, str]]] = field(default_factory=dict)
    running: Counter[AgentId] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return "scripted:player"

    @property
    def is_language_model(self) -> bool:
        return False

    def bound(self, prompt: Prompt) -> Usage:
        return _BOUND

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    async def aclose(self) -> None:
        """Nothing is open."""

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        view = prompt.view
        mail = "|".join(f"{m.channel}{m.id}" for m in view.mail)
        key = f"{self.seed} {view.agent} {mail} {len(view.steps)}"
        self.tries[key] += 1
        again = random.Random(f"{key} {self.tries[key]}")
        self.calls += 1
        self.idle_calls += not view.mail
        self.shown.setdefault(view.agent, set()).update(
            (m.channel, m.sender, m.serial) for m in view.mail
        )
        self.overlaps += self.running[view.agent] > 0
        self.running[view.agent] += 1
        try:
            return await self._think(view, random.Random(key), again, sending)
        finally:
            self.running[view.agent] -= 1

    async def _think(
        self, view: View, chance: random.Random, again: random.Random, sending: Callable[[], None]
    ) -> Answered | Failed:
        t = self.temper
        is_long = again.random() < t.long_share and t.long_role in ("", view.role)
        sending()
        await anyio.sleep(t.long_seconds if is_long else again.expovariate(1 / t.think_seconds))
        used = Usage(again.randint(1, 500), 0, cost=again.randint(0, 500))
        if again.random() < t.crashes:
            raise CrashedMindError
        if again.random() < t.fails:
            why = again.choice(_WHYS)
            return Failed(why, "as the seed has it", used, text="?")
        moves = [MOVE.validate_python(move) for move in self._moves(view, chance)]
        return Answered(tuple(moves), used)

    # --- what is answered ---

    def _moves(self, view: View, chance: random.Random) -> list[dict[str, Any]]:
        if view.call is not None:
            return [self._seat(view, chance)]
        against = _against_the_law(view, chance) if chance.random() < self.temper.rebels else []
        if view.role == "worker":
            return [*against, _report(view, done=True)]
        return [*against, *self._manager(view, chance)]

    def _seat(self, view: View, chance: random.Random) -> dict[str, Any]:
        call = view.call
        assert call is not None
        tag = f"{MARK}{view.agent}.{call.motion_number}.{call.phase}.{view.mail[0].id if view.mail else ''}"
        if call.phase == "debate":
            stances = ("argue", "object") if chance.random() < self.temper.argues else ("consent",)
            return {"move": "argue", "stance": chance.choice(stances), "text": tag}
        if call.phase == "respond":
            decision = chance.choice(("keep", "keep", "withdraw"))
            accepts = [seat for seat in call.seats if chance.random() < 0.5]
            return {"move": "respond", "decision": decision, "accepts": accepts, "reason": tag}
        if call.phase == "vote":
            choice = "no" if chance.random() < self.temper.no_votes else "yes"
            return {"move": "vote", "choice": choice, "reason": tag}
        if chance.random() < self.temper.rebels:
            return {
                "move": "propose",
                "motion": _lawless_motion(call.reports, chance) | {"reason": tag},
            }
        if call.reports:
            named = [str(report["agent"]) for report in call.reports]
            return {
                "move": "propose",
                "motion": {"motion": "deliver", "reports": named, "reason": tag},
            }
        executives = [
            {
                "key": f"k{n}",
                "role": "manager",
                "name": f"e{call.motion_number}-{n}",
                "task": "Do it.",
            }
            for n in range(chance.randint(1, self.temper.executives_max))
        ]
        return {
            "move": "propose",
            "motion": {"motion": "charter", "executives": executives, "reason": tag},
        }

    def _manager(self, view: View, chance: random.Random) -> list[dict[str, Any]]:
        if any(m.kind is Kind.CHARTER for m in view.mail):
            if view.children:
                # It crashed, and remembers nothing of what they reported.
                return [{"move": "direct", "to": "*", "text": _tag(view)}]
            count = chance.randint(self.temper.children_min, self.temper.children_max)
            if count:
                roles = ("manager", "worker") if view.tier == 1 else ("worker",)
                return [
                    {
                        "move": "spawn",
                        "key": f"c{n}",
                        "charter": {
                            "role": roles[0]
                            if chance.random() < self.temper.grandchildren
                            else roles[-1],
                            "name": f"c{n}-{view.mail[0].id.replace('-', '.')}",
                            "task": "Do a part.",
                        },
                    }
                    for n in range(count)
                ]
        said = [str(entry.get("from")) for entry in _told(view) if entry.get("kind") == Kind.REPORT]
        waiting = [child for child in view.children if child.id not in said]
        if waiting and chance.random() < self.temper.governs:
            return [
                {
                    "move": "govern",
                    "verb": "terminate",
                    "target": chance.choice(waiting).id,
                    "reason": "the seed has it",
                }
            ]
        if waiting:
            return (
                [{"move": "say", "room": "hall", "text": _tag(view)}]
                if view.tier == 1
                else [_rest(view, chance)]
            )
        return [_report(view, done=True)]


def _against_the_law(view: View, chance: random.Random) -> list[dict[str, Any]]:
    """What an agent may not, or only now and then: the law refuses it, and what it does not
    refuse is judged.
    """
    mail, why = view.mail[0].id.replace("-", ".") if view.mail else "0", "the seed has it"

    def spawn(key: str, **more: Any) -> dict[str, Any]:
        charter = {"role": "worker", "name": f"{key}-{mail}", "task": "Do more."} | more.pop(
            "charter", {}
        )
        return {"move": "spawn", "key": f"{key}-{mail}", "charter": charter, **more}

    children = [child.id for child in view.children]
    whom = chance.choice(["sob", "picard", view.agent, "nobody", *children])
    privilege = chance.choice(("**", "spawn/**", "model/**", "room/hall/say"))
    wishes: list[list[dict[str, Any]]] = [
        [spawn(f"m{n}") for n in range(8)],
        [spawn("tier", tier=view.tier + 2)],
        [spawn("parent", parent="sob")],
        [spawn("power", charter={"privileges": ["**"], "grants": ["**"]})],
        [spawn("role", charter={"role": "seat"})],
        [spawn("money", charter={"budget": {"tokens": 10**7}})],
        [spawn("twin", charter={"name": "twin"}), spawn("twin2", charter={"name": "twin"})],
        [{"move": "govern", "verb": "terminate", "target": whom, "reason": why}],
        [
            {
                "move": "govern",
                "verb": "revoke",
                "target": whom,
                "privilege": privilege,
                "reason": why,
            }
        ],
        [
            {
                "move": "govern",
                "verb": "grant",
                "target": whom,
                "privilege": privilege,
                "reason": why,
            }
        ],
        [
            {
                "move": "govern",
                "verb": "fund",
                "target": whom,
                "amounts": {"tokens": 50},
                "reason": why,
            }
        ],
        [
            {"move": "govern", "verb": "freeze", "target": whom, "reason": why},
            {"move": "govern", "verb": "thaw", "target": whom, "reason": why},
        ],
        [
            {
                "move": "say",
                "room": chance.choice(("hall", "sob", "vault")),
                "text": f"{_tag(view)} against",
            }
        ],
        [
            {
                "move": "direct",
                "to": chance.choice(("picard", "nobody", "*")),
                "text": f"{_tag(view)} do",
            }
        ],
    ]
    return chance.choice(wishes)


def _lawless_motion(reports: Sequence[Mapping[str, Any]], chance: random.Random) -> dict[str, Any]:
    """A motion that falls at the latest when it is carried, or does something harsh."""
    whom = chance.choice(["sob", "nobody", "m-0", *(str(report["agent"]) for report in reports)])
    many = [
        {"key": f"x{n}", "role": "manager", "name": f"x{n}-{chance.random():.6f}", "task": "Do it."}
        for n in range(6)
    ]
    twins = [
        {"key": f"t{n}", "role": "manager", "name": "twin", "task": "Do it."} for n in range(2)
    ]
    return chance.choice(
        [
            {"motion": "charter", "executives": many},
            {"motion": "charter", "executives": twins},
            {"motion": "charter", "executives": [many[0] | {"role": "worker"}]},
            {"motion": "charter", "executives": [many[0] | {"budget": {"tokens": 10**8}}]},
            {"motion": "act", "verb": "terminate", "target": whom},
            {"motion": "act", "verb": "revoke", "target": whom, "privilege": "spawn/**"},
            {"motion": "act", "verb": "fund", "target": whom, "amounts": {"tokens": 100}},
            {"motion": "direct", "to": whom, "text": "Once more."},
            {"motion": "deliver", "reports": ["nobody"]},
        ]
    )


def _rest(view: View, chance: random.Random) -> dict[str, Any]:
    """A thought, a wait for whatever comes, for all its children, or for a time."""
    waits: list[dict[str, Any]] = [{}, {"whom": ["*"]}, {"whom": ["*"], "seconds": 20}]
    if chance.random() < 0.25:
        return {"move": "think", "thought": _tag(view)}
    return {"move": "wait", "what": _tag(view)[:200], **chance.choice(waits)}


def _report(view: View, *, done: bool) -> dict[str, Any]:
    return {"move": "report", "text": _tag(view), "done": done}


def _tag(view: View) -> str:
    """Of one agent, no two turns have the same."""
    last = view.mail[-1] if view.mail else None
    return (
        f"{MARK}{view.agent} {len(view.steps)} {last.channel if last else ''} "
        f"{last.id if last else ''}"
    )


def _told(view: View) -> Iterator[Mapping[str, Any]]:
    for entry in view.memory:
        yield from entry.get("mail", ())
    for mail in view.mail:
        yield {"from": mail.sender, "kind": mail.kind}
