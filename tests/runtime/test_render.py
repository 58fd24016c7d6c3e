"""What is put into a seat's prompt is before it: it taints the seat's turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from swarmd.core.agent.memory import NO_MEMORY
from swarmd.core.model.channels import up
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import AgentId, Channel, StreamId
from swarmd.core.model.provenance import stamped
from swarmd.ports.models import Call
from swarmd.ports.stores import Around
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.render import prompt_renderer
from swarmd.runtime.turn.world import Gathered, World, acting_alone
from tests.core.agent.test_child_reports import DIG, report
from tests.core.agent.test_seat_prompt import REVIEW
from tests.core.swarm_builder import MISSION, SEATS, world

ABOVE = up(AgentId("a-1"))
SAID = replace(
    stamped(report(DIG.id, "Redis dies after 3 s."), ["outside"]),
    channel=ABOVE,
    id=StreamId("1-0"),
    serial="r:1",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A store in which a child has reported to its executive."""

    async def latest(self, channel: Channel, _: int) -> list[Message]:
        return [SAID] if channel == ABOVE else []

    async def children(self, _: AgentId) -> tuple[Agent, ...]:
        return (DIG,)

    async def agents(self, ids: Sequence[AgentId]) -> list[Agent | None]:
        return [DIG for _ in ids]


async def read_by(call: Call) -> tuple[str, frozenset[str]]:
    """The prompt of a seat's call, and what it was tainted by."""
    w = world()
    seat, mission = w.swarm.lineage.agents[AgentId(SEATS[0])], w.swarm.missions[MISSION]
    unused = cast("Any", None)
    here = World(cast("Any", Kept()), w.swarm.declared, unused, unused, lambda: "now")
    gathered = Gathered([])
    renderer = await prompt_renderer(
        here,
        Resident(seat, 0, NO_MEMORY, {}),
        unused,
        acting_alone(here, seat),
        Around(mission, (), {}),
        call,
        gathered,
    )
    return str(renderer([]).exchange), gathered.taint


async def test_a_seat_that_reads_a_childs_report_is_tainted_by_what_its_author_had_read() -> None:
    shown, taint = await read_by(REVIEW)
    assert "Redis dies after 3 s." in shown
    assert taint == {"agent"}


async def test_a_seat_that_is_not_shown_it_is_not() -> None:
    shown, taint = await read_by(replace(REVIEW, phase="vote", motion={"motion": "deliver"}))
    assert "Redis dies after 3 s." not in shown
    assert not taint
