"""The end of a turn: one atomic step with its positions, state and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from swarmd.core.agent import output_limits
from swarmd.core.agent.memory import (
    NO_MEMORY,
    Memory,
    before_turn,
    mail_entry,
    news_of,
    remember,
    results_in,
)
from swarmd.core.agent.output_limits import Cut
from swarmd.core.agent.progress_vector import TakenTurn
from swarmd.core.agent.turn import Acting, ends_here, failed, is_done_after, is_last_word
from swarmd.core.agent.waiting import NO_WAIT
from swarmd.core.bus.envelope import heard_pairs
from swarmd.core.model.lineage import missions_rooms, stop_fields
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel, StreamId
from swarmd.core.model.privileges import ROOM
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import epoch_of
from swarmd.log_events import LogEvent
from swarmd.ports.stores import RefusedByStore, Turn
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.step_journal import NotAllowedError
from swarmd.runtime.turn.world import Gathered, World, acting_alone

log = structlog.get_logger(__name__)


def guard_outputs(world: World, acting: Acting, gathered: Gathered, memory: Memory) -> None:
    """What the bus does not carry is taken out, and the agent remembers why; one that goes on
    all the same fails. `memory` is what it remembered as the turn began.
    """
    judged = output_limits.judge(
        gathered.guard,
        _taken(gathered, results_in(memory)),
        above=acting.agent.parent,
        hops=acting.hops,
        now=epoch_of(world.stamp()),
        limits=world.declared.limits,
    )
    gathered.guard, gathered.cuts = judged.guard, judged.cuts
    gathered.outputs[:] = judged.passed
    if not judged.cuts:
        return
    rules = sorted({cut.rule.value for cut in judged.cuts})
    log.warning(LogEvent.MESSAGES_CUT, agent=acting.agent.id, rules=rules)
    gathered.steps.append({"results": [_told_of(cut) for cut in judged.cuts]})
    if judged.gives_up is not None:
        why = (
            f"it went on after {output_limits.CUTS_MAX} turns that were cut: "
            f"{judged.cuts[0].detail}"
        )
        last = [output for output in judged.passed if is_last_word(output[1])]
        gathered.outputs[:] = [*last, failed(acting, why, judged.gives_up)]


def _taken(gathered: Gathered, read: Sequence[str]) -> TakenTurn:
    return TakenTurn(
        gathered.mail,
        gathered.outputs,
        gathered.calls,
        bool(gathered.refusals),
        gathered.wait != NO_WAIT,
        read,
    )


def _told_of(cut: Cut) -> dict[str, Any]:
    """To its sender."""
    what = f"{cut.count} not sent to {cut.to or cut.channel}" if cut.count else "a superior is told"
    return {"ok": False, "rule": cut.rule.value, "detail": f"{what}: {cut.detail}"}


async def commit_turn(
    world: World,
    resident: Resident,
    positions: Mapping[Channel, StreamId],
    gathered: Gathered,
    hops: int,
    alone: int | None = None,
) -> None:
    """Commits the turn, without what it may not say any more: each such output is taken out, and
    the agent remembers why. Raises `NotAllowedError` where the agent may not act at all.

    `alone`: so many messages from here on are answered one by one.
    """
    limits = world.declared.limits
    while True:
        memory = _remembered(world, resident, gathered)
        turn = _turn_of(world, resident, positions, gathered, memory, hops)
        if alone is not None:
            turn = replace(turn, alone=alone)
        reply = await world.store.commit(resident.hold, turn, limits.hops_max, world.stamp())
        if not isinstance(reply, RefusedByStore):
            break
        if reply.output is None:
            raise NotAllowedError(reply)
        _leave_out(gathered, reply.output, reply)
    if reply == "looped":
        await _end_of_loop(world, resident, turn.number, hops)
    _move_on(resident, turn, memory, gathered)


def memory_before(world: World, resident: Resident, mail: Sequence[Message]) -> Memory:
    """What it remembers as its turn with this mail begins."""
    declared = world.declared
    chars_max = declared.limits.memory_chars
    return before_turn(resident.memory, mail, chars_max, declared.functions)


def _remembered(world: World, resident: Resident, gathered: Gathered) -> Memory:
    """The agent's memory after this turn. A seat remembers nothing: it is told anew what it
    needs.
    """
    if resident.agent.is_seat:
        return NO_MEMORY
    news = (
        [mail_entry(gathered.mail, gathered.names)]
        if gathered.mail and not gathered.is_forgotten
        else []
    )
    return remember(
        memory_before(world, resident, gathered.mail),
        [*news, *gathered.steps],
        world.declared.limits.memory_chars,
        world.declared.functions,
    )


def _turn_of(
    world: World,
    resident: Resident,
    positions: Mapping[Channel, StreamId],
    gathered: Gathered,
    memory: Memory,
    hops: int,
) -> Turn:
    agent = resident.agent
    added, forgotten = news_of(resident.memory, memory)
    rooms = missions_rooms(agent, world.declared.rooms)
    return Turn(
        number=resident.turn + 1,
        segments=agent.path,
        targets=stop_fields(agent),
        privileges={channel: ROOM.path(room.name, "say") for room, channel in rooms},
        positions=positions,
        memory=added,
        outputs=tuple(gathered.outputs),
        # What ends an agent's part causes nothing below it: a failure and a final report go up, and
        # up has an end.
        hops=0 if ends_here(gathered.outputs) else hops,
        heard=heard_pairs(gathered.mail),
        guard=gathered.guard.to_text(),
        is_done=is_done_after(resident.is_done, gathered.mail, gathered.outputs),
        cuts=gathered.cuts,
        taint=() if agent.is_seat else tuple(sorted(gathered.taint)),
        forgotten=forgotten,
        alone=max(0, resident.alone - len(gathered.mail)),
        refusals=tuple(gathered.refusals.values()),
        wait=gathered.wait.to_text(),
    )


def _leave_out(gathered: Gathered, output: int, why: RefusedByStore) -> None:
    channel, _ = gathered.outputs.pop(output)
    gathered.refusals.note(why.rule, "message", f"to {channel}: {why.detail}")
    no = {"ok": False, "rule": why.rule.value, "detail": f"{channel}: {why.detail}"}
    gathered.steps.append({"results": [no]})


def _move_on(resident: Resident, turn: Turn, memory: Memory, gathered: Gathered) -> None:
    """What this host holds of the agent is what was committed."""
    resident.turn, resident.memory, resident.batch = turn.number, memory, {}
    resident.alone, resident.guard = turn.alone, gathered.guard
    resident.is_done, resident.taint = turn.is_done, turn.taint
    resident.wait = gathered.wait
    taken = {(message.channel, message.id) for message in gathered.mail}
    left = [m for m in resident.mailbox or [] if (m.channel, m.id) not in taken]
    resident.mailbox = left or None


async def _end_of_loop(world: World, resident: Resident, number: int, hops: int) -> None:
    """What the turn would have sent is gone, and nobody would hear of it: the agent ends, and
    its creator is told.
    """
    agent = resident.agent
    log.warning(LogEvent.LOOP_CUT, agent=agent.id, hops=hops)
    acting = acting_alone(world, agent, hops=hops)
    channel, message = failed(
        acting, f"its turns went on for {hops} hops without an end", Rule.HOPS
    )
    await world.store.post(channel, message, key=f"looped-{agent.id}-{agent.incarnation}-{number}")
