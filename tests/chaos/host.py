"""A worker whose agents of the load's mission have no mind: they count what comes, and pass it on
once.

`python -m tests.chaos.host [SECONDS [FILE]]` is `swarmd worker` in all else: its settings, its
connections, its leases, its rings and its commits. Agents of other missions take turns as they
always do. A turn of the load's that is asked directly takes so many seconds in a call; into the
file goes a line for each message: when it was taken, and how many seconds after it was posted.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import Final, TextIO

import anyio

from swarmd.app import parts
from swarmd.cli.main import main
from swarmd.core.agent.memory import Memory
from swarmd.core.agent.turn import Output
from swarmd.core.bus.envelope import heard_pairs
from swarmd.core.model.channels import inbox
from swarmd.core.model.lineage import stop_fields
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, MissionId
from swarmd.core.model.timings import epoch_of
from swarmd.ports.stores import RefusedByStore, Turn, Used
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.mail import positions_after, unread_mail
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError, Reserve
from swarmd.runtime.turn.turn import take_turn
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker
from tests.chaos.tally import Effects

LOAD: Final = MissionId("m-load")
# Every so many turns make a journaled call before their commit, so that kills meet open calls too.
CALLS_EVERY: Final = 4
HOPS_MAX: Final = 64


async def answer(
    world: World, resident: Resident, *, seconds: float = 0.0, delays: TextIO | None = None
) -> None:
    """A turn of the load's; its call takes `seconds`."""
    if resident.agent.mission != LOAD:
        await take_turn(world, resident)
        return
    mail, number, agent = unread_mail(resident), resident.turn + 1, resident.agent
    if delays is not None:
        now = time.time()
        delays.writelines(f"{now:.3f} {now - epoch_of(message.at):.3f}\n" for message in mail)
    positions = positions_after(resident, mail)
    if number % CALLS_EVERY == 0 or (
        seconds and any(message.text.startswith("direct") for message in mail)
    ):
        await _call(world, resident, json.dumps(positions), seconds)
    before = resident.memory
    effects = Effects.of(before.entries[-1] if before.entries else "")
    outputs = [output for message in mail for output in _effect(world, agent.id, effects, message)]
    # One entry, written anew each time: what it says is all that was ever taken.
    after = Memory(before.end, (effects.to_text(),))
    turn = Turn(
        number,
        agent.path,
        stop_fields(agent),
        {},
        positions,
        {before.end: after.entries[0]},
        tuple(outputs),
        max((message.hops for message in mail), default=0) + 1,
        heard_pairs(mail),
        forgotten=range(before.first, before.end),
    )
    reply = await world.store.commit(resident.hold, turn, HOPS_MAX, world.stamp())
    if isinstance(reply, RefusedByStore):
        raise NotAllowedError(reply)
    resident.turn, resident.memory, resident.batch = number, after, {}
    taken = {(message.channel, message.id) for message in mail}
    resident.mailbox = [m for m in resident.mailbox or [] if (m.channel, m.id) not in taken] or None


async def _call(world: World, resident: Resident, batch: str, seconds: float) -> None:
    agent = resident.agent
    journal = Journal(
        world.store,
        resident.hold,
        resident.turn + 1,
        agent.id,
        agent.path,
        stop_fields(agent),
        batch,
        100,
        world.stamp,
    )
    one = {"tools": 1}

    async def effect() -> tuple[str, Used]:
        await anyio.sleep(seconds)
        return "{}", Used(one)

    await journal.call("count", effect, reserve=Reserve(one))


def _effect(world: World, me: AgentId, effects: Effects, message: Message) -> list[Output]:
    """Counted; what came directly is passed on to the next agent, which is named in it."""
    what, _, number = message.text.partition(" ")
    if what == "relayed":
        effects.relayed.add(int(number))
    if what != "direct" or not effects.direct.add(int(number)):
        return []
    to = AgentId(message.data["next"])
    passed = Message(
        sender=me,
        to=to,
        kind=Kind.SAY,
        mission=LOAD,
        at=world.stamp(),
        text=f"relayed {number}",
        hops=message.hops + 1,
        incarnation=1,
    )
    return [(inbox(to), passed)]


def run(seconds: str = "0", file: str = "") -> int:
    with ExitStack() as stack:
        delays = stack.enter_context(open(file, "a", buffering=1)) if file else None
        answers = partial(answer, seconds=float(seconds), delays=delays)
        # The one place of the product's own wiring where a worker is made.
        vars(parts)["Worker"] = partial(Worker, answer=answers)
        return main(["worker"])


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
