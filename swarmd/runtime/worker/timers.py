"""The end of a wait by its time: a message into the agent's own mailbox, which wakes it.

The time is part of the agent's state, so that another host that takes the agent over goes on
waiting. The message has a key of the turn that began the wait: said twice, it is one.
"""

from __future__ import annotations

from swarmd.core.model.channels import inbox
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import TIMER
from swarmd.core.model.timings import epoch_of
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.worker.context import WorkerContext


async def end_waits(context: WorkerContext) -> None:
    """Once a second: those whose time is over are told so."""
    if context.residents.timers:
        stamp = context.world.stamp()
        for resident in context.residents.take_due(epoch_of(stamp)):
            await _tell(context, resident, stamp)


async def _tell(context: WorkerContext, resident: Resident, stamp: str) -> None:
    agent, wait = resident.agent, resident.wait
    for_whom = ", ".join(wait.names) or wait.what or "a message"
    message = Message(
        sender=TIMER,
        to=agent.id,
        kind=Kind.NOTICE,
        mission=agent.mission,
        at=stamp,
        text=f"The time for which you waited is over, and what you waited for ({for_whom}) has not "
        "come. Act, report, or `wait` again.",
        data={"waited": list(wait.whom)},
        incarnation=agent.incarnation,
    )
    key = f"wait-{agent.id}-{agent.incarnation}-{resident.turn}"
    await context.world.store.post(inbox(agent.id), message, key=key)
