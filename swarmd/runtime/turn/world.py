"""What a turn is given of its worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmd.core.agent.output_limits import NO_GUARD, Cut, Guard
from swarmd.core.agent.progress_vector import Called
from swarmd.core.agent.turn import Acting, Output, Refusals
from swarmd.core.agent.waiting import NO_WAIT, AgentWait
from swarmd.core.model.declarations import Declarations
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import AgentId, MissionId
from swarmd.core.model.provenance import stamped
from swarmd.ports.files import Files
from swarmd.ports.stores import WorkerStore
from swarmd.runtime.recording import NOTHING_RECORDED, Recording
from swarmd.runtime.turn.functions import Handlers
from swarmd.runtime.turn.memory_cache import Recollection
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.step_journal import Lead


@dataclass(frozen=True, slots=True)
class World:
    """What every turn of this process needs."""

    store: WorkerStore
    declared: Declarations
    handlers: Handlers  # of the functions that this host can do
    mind: Callable[[str], Awaitable[Mind]]
    stamp: Callable[[], str]
    recollection: Recollection = field(default_factory=Recollection, repr=False)
    lead: Lead = field(default_factory=Lead)
    recording: Recording = NOTHING_RECORDED
    # Of seats whose request has gone out: what the supervisor is to be told of it.
    sent: dict[AgentId, Message] = field(default_factory=dict)
    files: Files | None = None  # of missions; `None` where this host has none


@dataclass(slots=True)
class Gathered:
    """A turn in the making. `taint` is of all that its prompt has held so far, in this turn and
    those remembered.
    """

    mail: list[Message]
    taint: frozenset[str] = frozenset()
    steps: list[Mapping[str, Any]] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)  # of functions
    guard: Guard = NO_GUARD
    cuts: tuple[Cut, ...] = ()
    is_forgotten: bool = False  # the mail does not go into memory
    refusals: Refusals = field(default_factory=Refusals)  # of what its moves asked for
    wait: AgentWait = NO_WAIT  # what the agent does when the turn has ended
    names: Mapping[str, str] = field(default_factory=dict)  # of those around it, by id

    def say(self, *outputs: Output) -> None:
        """Stamped with what was before the model when it said this; what a payload claims of it
        is not looked at.
        """
        self.outputs += [(channel, stamped(message, self.taint)) for channel, message in outputs]

    def say_only(self, *outputs: Output) -> None:
        self.outputs.clear()
        self.say(*outputs)


def acting_alone(
    world: World, agent: Agent, *, hops: int = 0, mission: MissionId | None = None
) -> Acting:
    """An agent of which the runtime itself says something: what is around it is not looked up."""
    return Acting(
        agent=agent,
        mission=agent.mission if mission is None else mission,
        files=(),
        rooms={},
        children=(),
        hops=hops,
        at=world.stamp(),
    )
