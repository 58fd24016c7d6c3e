"""A looping executive under a ceiling of dollars: what is used of it, by whom, and never beyond it.

    python -m tests.e2e.ceiling 0.25 2.50

Real processes, a real embedded server, real HTTP on loopback; the model server says the same usage
of every call. Whenever the looper comes to rest somebody writes to it, so that nothing but its
account ends the loop.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anyio.from_thread import start_blocking_portal

from tests.e2e.swarm_process import SwarmProcess, short_folder, swarm_up, unbalanced
from tests.openai_server import Json, MissionBrain, OpenAIServer, ServerReply

USAGE: Final = (5_000, 625)
# At 1.25 and 10 dollars a million tokens.
MICRO_DOLLARS_A_CALL: Final = 12_500
# An executive that makes no call for so long is at rest.
REST_SECONDS: Final = 0.3
PUSH_SECONDS: Final = 400.0


def _with_long_turns() -> str:
    """As shipped but for this: who comes to the bound of eight turns without a report is ended for
    that, and a looper then has used less of its money than it may.
    """
    shipped = Path(__file__).parents[2] / "policies" / "limits.yaml"
    text, bound = shipped.read_text(encoding="utf-8"), "thoughts_max: 12\n"
    assert bound in text
    return text.replace(bound, "thoughts_max: 40\n")


POLICIES: Final = {
    "board.yaml": """
seats: [captain-picard]
chair: captain-picard
quorum: 1
rounds: 0
""",
    "models.yaml": """
prices:
  openai:test-model: {input: 1.25, output: 10.0}
providers:
  openai:
    actions: tools
    calls_per_minute: 60000
""",
    "limits.yaml": _with_long_turns(),
}


@dataclass(frozen=True)
class Looper(MissionBrain):
    """An executive that searches for the same thing whenever it is asked, and never reports."""

    def __call__(self, request: Json) -> ServerReply:
        reply = super().__call__(request)
        return ServerReply(reply.moves, text=reply.text, usage=USAGE)

    def _lead(self, request: Json, text: str) -> Json:
        return {"move": "use", "function": "file/search", "args": {"query": "six by seven"}}


@dataclass(frozen=True, slots=True)
class Used:
    """Of one ceiling, in micro-dollars, at the moment at which the looper was halted."""

    ceiling: int
    spent: int
    by_looper: int
    calls: int  # as the ledger counts them
    requests: int  # as the model server does
    executives: int
    assumed: int
    seconds: float

    @property
    def percent(self) -> float:
        return 100 * self.spent / self.ceiling

    def __str__(self) -> str:
        return (
            f"ceiling ${self.ceiling / 1e6:.2f}: ${self.spent / 1e6:.4f} used "
            f"({self.percent:.1f} %), of it ${self.by_looper / 1e6:.4f} by one looper "
            f"(executives: {self.executives}), ${self.assumed / 1e6:.4f} assumed; calls "
            f"{self.calls}, requests {self.requests}; {self.seconds:.1f} s"
        )


@dataclass(slots=True)
class Ceiling:
    """A swarm with a model server, and a mission under a ceiling."""

    folder: Path
    data: Path
    server: OpenAIServer
    mission: str = "loop"
    settings: dict[str, str] = field(default_factory=dict)

    def submit(self, swarm: SwarmProcess, micro_dollars: int) -> None:
        words = ("--id", self.mission, "--budget", f"usd={micro_dollars / 1e6:g}")
        swarm.submit("Find the answer.", *words)

    def push(self, swarm: SwarmProcess) -> None:
        """Wakes the looper wherever it rests, until it is halted."""
        deadline = time.monotonic() + PUSH_SECONDS
        while time.monotonic() < deadline:
            assert swarm.child.process.poll() is None, swarm.child.stderr
            agents = swarm.agents_of(self.mission)
            if agents and agents[0]["state"] not in ("starting", "live"):
                return
            if agents:
                self._wake(swarm, agents[0]["id"])
            time.sleep(0.05)
        raise AssertionError(f"not halted: {swarm.child.stderr[-3000:]}")

    def _wake(self, swarm: SwarmProcess, looper: str) -> None:
        """Where it has come to rest: at the bound of a turn, or of its corrections."""
        before = len(self.server.calls)
        time.sleep(REST_SECONDS)
        if len(self.server.calls) == before:
            swarm.verb("say", f"inbox:{looper}", "Go on.")

    def used(self, swarm: SwarmProcess, ceiling: int, seconds: float) -> Used:
        accounts = swarm.accounts()
        assert unbalanced(accounts) == []
        agents = swarm.agents_of(self.mission)
        executives = [agent for agent in agents if agent["tier"] == "1"]
        own = [accounts[agent["id"]] for agent in executives]
        # What has ended is in the mission's account already.
        living = [a for agent, a in zip(executives, own, strict=True) if not agent["ended"]]
        total = [accounts[self.mission], *living]
        return Used(
            ceiling,
            sum(account["cost.spent"] for account in total),
            max((account["cost.spent"] for account in own), default=0),
            sum(account["calls.spent"] for account in total),
            len(self.server.calls),
            len(executives),
            sum(account.get("cost.assumed", 0) for account in total),
            seconds,
        )


@contextmanager
def ceiling_of(looper: Looper | None = None) -> Iterator[Ceiling]:
    server = OpenAIServer(looper or Looper())
    with (
        short_folder() as folder,
        short_folder() as data,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(server),
    ):
        for name, text in POLICIES.items():
            (folder / name).write_text(text, encoding="utf-8")
        settings = {
            "SWARMD_MODEL": "openai:test-model",
            "OPENAI_BASE_URL": server.base_url,
            "SWARMD_POLICIES": str(folder),
        }
        yield Ceiling(folder, data, server, settings=settings)


def run(micro_dollars: int) -> Used:
    with ceiling_of() as under, swarm_up(under.data, **under.settings) as swarm:
        started = time.monotonic()
        under.submit(swarm, micro_dollars)
        under.push(swarm)
        return under.used(swarm, micro_dollars, time.monotonic() - started)


def main() -> None:
    for dollars in sys.argv[1:] or ("0.25", "2.50"):
        used = run(round(float(dollars) * 1_000_000))
        print(used, flush=True)
        print(json.dumps({"percent": round(used.percent, 1)}), flush=True)


if __name__ == "__main__":
    main()
