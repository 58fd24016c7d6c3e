"""The ring on autogen-core, in memory: the peer that swarmd must not be slower than, though it
keeps nothing.

    python -m venv PLACE && PLACE/bin/pip install autogen-core==0.7.5
    python -m tests.bench messages --peer autogen-core=PLACE/bin/python

No dependency of swarmd's: it runs under an interpreter of its own and prints what
`tests.bench.case` prints.
"""

# mypy: disable-error-code="import-not-found, misc, no-any-unimported, untyped-decorator"

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Final

from autogen_core import (
    AgentId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)

from tests.bench.gauge import Gauge, body

AGENTS: Final = 100
TOTAL: Final = 20_000
UNDER_WAY: Final = 100
_gauges: Final[list[Gauge]] = []


@dataclass
class Passed:
    """A message as autogen-core carries it."""

    text: str


class Passing(RoutedAgent):
    """Answers every message with one to the next agent of the ring."""

    def __init__(self) -> None:
        super().__init__("passes on what comes")

    @message_handler
    async def on(self, message: Passed, _context: MessageContext) -> None:
        if _gauges[0].delivered(message.text):
            following = (int(self.id.key) + 1) % AGENTS
            await self.publish_message(Passed(body()), TopicId("ring", str(following)))


async def main() -> None:
    _gauges.append(Gauge(TOTAL, UNDER_WAY))
    runtime = SingleThreadedAgentRuntime()
    await Passing.register(runtime, "Passing", Passing)
    await runtime.add_subscription(TypeSubscription("ring", "Passing"))
    for n in range(AGENTS):
        await runtime.try_get_underlying_agent_instance(AgentId("Passing", str(n)), Passing)
    runtime.start()
    for n in range(UNDER_WAY):
        await runtime.publish_message(Passed(body()), TopicId("ring", str(n % AGENTS)))
    await _gauges[0].done.wait()
    await runtime.stop()
    print(json.dumps(_gauges[0].figures()))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main())
