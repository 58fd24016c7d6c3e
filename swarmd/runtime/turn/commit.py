"""The end of a turn: one atomic step with its positions, state and outputs."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from swarmd.core.agent import output_limits
from swarmd.core.agent.turn import (
    NO_MEMORY,
    Acting,
    ends_here,
    failed,
    is_done_after,
    is_last_word,
    mail_entry,
    news_of,
    remember,
)
from swarmd.core.bus.envelope import heard_pairs
from swarmd.core.model.lineage import missions_rooms, stop_fields
from swarmd.core.model.names import Channel, StreamId
from swarmd.core.model.privileges import ROOM
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import epoch_of
from swarmd.log_events import LogEvent
from swarmd.ports.stores import RefusedByStore, Turn
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.step_journal import NotAllowedError
from swarmd.runtime.turn.world import Gathered, World

log = structlog.get_logger(__name__)


def guard_outputs(world: World, acting: Acting, gathered: Gathered) -> None:
    """What the bus does not carry is taken out, and the agent remembers why; one that goes on
    all the same fails.
    """
    judged = output_limits.judge(
        gathered.guard,
        gathered.outputs,
        has_used=gathered.has_used,
        now=epoch_of(world.stamp()),
        limits=world.declared.limits,
    )
    gathered.guard, gathered.cuts = judged.guard, judged.cuts
    gathered.outputs[:] = judged.passed
    if not judged.cuts:
        return
    rules = sorted({cut.rule.value for cut in judged.cuts})
    log.warning(LogEvent.MESSAGES_CUT, agent=acting.agent.id, rules=rules)
    results = [
        {
            "ok": False,
            "rule": cut.rule.value,
            "detail": f"{cut.count} not sent to {cut.to or cut.channel}: {cut.detail}",
        }
        for cut in judged.cuts
    ]
    gathered.steps.append({"results": results})
    if judged.gives_up is not None:
        why = (
            f"it went on after {output_limits.CUTS_MAX} turns that were cut: "
            f"{judged.cuts[0].detail}"
        )
        last = [output for output in judged.passed if is_last_word(output[1])]
        gathered.outputs[:] = [*last, failed(acting, why, judged.gives_up)]


async def commit_turn(
    world: World,
    resident: Resident,
    positions: Mapping[Channel, StreamId],
    gathered: Gathered,
    hops: int,
    alone: int | None = None,
) -> None:
    agent = resident.agent
    # A seat remembers nothing: it is told anew what it needs.
    memory = NO_MEMORY
    taint: tuple[str, ...] = ()
    if not agent.is_seat:
        taint = tuple(sorted(gathered.taint))
        news = [mail_entry(gathered.mail)] if gathered.mail and not gathered.is_forgotten else []
        memory = remember(
            resident.memory,
            [*news, *gathered.steps],
            world.declared.limits.memory_chars,
            world.declared.functions,
        )
    added, forgotten = news_of(resident.memory, memory)
    # What ends an agent's part causes nothing below it: a failure and a final report go up, and up
    # has an end.
    counted = 0 if ends_here(gathered.outputs) else hops
    posts = {c: ROOM.path(r.name, "say") for r, c in missions_rooms(agent, world.declared.rooms)}
    turn = Turn(
        resident.turn + 1,
        agent.path,
        stop_fields(agent),
        posts,
        positions,
        added,
        tuple(gathered.outputs),
        counted,
        heard_pairs(gathered.mail),
        gathered.guard.to_text(),
        is_done_after(resident.is_done, gathered.mail, gathered.outputs),
        gathered.cuts,
        taint,
        forgotten,
        alone if alone is not None else max(0, resident.alone - len(gathered.mail)),
        tuple(gathered.refusals.values()),
    )
    reply = await world.store.commit(
        resident.hold, turn, world.declared.limits.hops_max, world.stamp()
    )
    if isinstance(reply, RefusedByStore) and reply.output is not None:
        # What it may not say any more is left out, and it remembers why; each time there is one
        # output less.
        channel, _ = gathered.outputs.pop(reply.output)
        gathered.refusals.note(reply.rule, "message", f"to {channel}: {reply.detail}")
        no = {"ok": False, "rule": reply.rule.value, "detail": f"{channel}: {reply.detail}"}
        gathered.steps.append({"results": [no]})
        return await commit_turn(world, resident, positions, gathered, hops, alone)
    if isinstance(reply, RefusedByStore):
        raise NotAllowedError(reply)
    if reply == "looped":
        await _end_of_loop(world, resident, turn.number, hops)
    resident.turn, resident.memory, resident.batch = turn.number, memory, {}
    resident.alone = turn.alone
    resident.guard, resident.is_done, resident.taint = gathered.guard, turn.is_done, turn.taint
    taken = {(message.channel, message.id) for message in gathered.mail}
    resident.mailbox = [m for m in resident.mailbox or [] if (m.channel, m.id) not in taken] or None
    return None


async def _end_of_loop(world: World, resident: Resident, number: int, hops: int) -> None:
    """What the turn would have sent is gone, and nobody would hear of it: the agent ends, and
    its creator is told.
    """
    agent = resident.agent
    log.warning(LogEvent.LOOP_CUT, agent=agent.id, hops=hops)
    acting = Acting(
        agent=agent,
        mission=agent.mission,
        files=(),
        rooms={},
        children=(),
        spawn_keys=frozenset(),
        hops=hops,
        at=world.stamp(),
    )
    channel, message = failed(
        acting, f"its turns went on for {hops} hops without an end", Rule.HOPS
    )
    await world.store.post(channel, message, key=f"looped-{agent.id}-{agent.incarnation}-{number}")
