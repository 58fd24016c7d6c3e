"""One agent's turn: everything that waits, a thought or several, their moves, one commit.

Decided in `core.agent.turn`, said in `core.agent.prompt`; here it is only waited for. Nothing of a
turn is visible before its commit, and a turn that is done again under its number changes nothing.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import structlog

from swarmd.core.actions.dead_letters import letter
from swarmd.core.agent.offers import functions_of
from swarmd.core.agent.seat_moves import is_answered
from swarmd.core.agent.turn import Acting, failed, is_last_word
from swarmd.core.model.channels import DEAD
from swarmd.core.model.lineage import Agent, stop_fields
from swarmd.core.model.messages import Message
from swarmd.core.model.names import AgentState
from swarmd.core.model.privileges import FILE, is_covered
from swarmd.core.model.provenance import of_mail, strangers
from swarmd.core.model.records import Mission
from swarmd.core.model.refusals import NO_MONEY, Rule
from swarmd.core.model.requests import DeadMail
from swarmd.log_events import LogEvent
from swarmd.ports.models import Call
from swarmd.ports.stores import Around
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.recording import note_mail
from swarmd.runtime.turn.commit import commit_turn, guard_outputs, memory_before
from swarmd.runtime.turn.mail import (
    SeatCalled,
    account_of,
    count_taint,
    is_call_closed,
    mail_since,
    positions_after,
    seat_call,
    segments_of,
    turn_taint,
    unread_mail,
)
from swarmd.runtime.turn.render import prompt_renderer
from swarmd.runtime.turn.report_file import write_reports
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError
from swarmd.runtime.turn.steps import TurnSteps
from swarmd.runtime.turn.world import Gathered, World, acting_alone

log = structlog.get_logger(__name__)


_OF_THE_MISSION: Final = (
    Rule.FENCED,
    Rule.FROZEN,
    Rule.HALTED,
    Rule.DRAINING,
    *NO_MONEY,
)


async def take_turn(world: World, resident: Resident) -> None:
    """Answer what waits. Raises `NotAllowedError` where the agent is no longer this host's or
    may no longer act.
    """
    mail = unread_mail(resident)
    called = seat_call(resident.agent, mail)
    agent, call = resident.agent, called.call if called else None
    served = called.mission if called else agent.mission
    around = await world.store.around(agent, served, served if agent.is_seat else agent.id)
    gathered = Gathered(mail, await turn_taint(world, resident, mail), guard=resident.guard)
    # From here on it is this turn's mail, however it ends: what comes meanwhile is not answered by
    # its failure.
    resident.batch = positions = positions_after(resident, mail)
    hops = max((m.hops for m in mail), default=0) + 1
    acting = _acting(world, agent, around, call, hops)
    mission = around.mission
    if _may_think(mission) and not is_call_closed(called, resident):
        assert mission is not None
        note_mail(world.recording, agent, resident.turn + 1, mission.id, mail)
        journal = _journal_of(world, resident, mission, around, called, len(mail))
        try:
            render = await prompt_renderer(world, resident, journal, acting, around, call, gathered)
            await TurnSteps(
                world, journal, acting, gathered, render, partial(mail_since, resident, mail)
            ).run()
            _tell_unanswered(acting, gathered)
        except NotAllowedError as no:
            _answer_stopped(agent, acting, gathered, no)
    if not agent.is_seat:
        guard_outputs(world, acting, gathered, memory_before(world, resident, mail))
        await write_reports(world, acting, gathered)
    world.sent.pop(agent.id, None)
    await commit_turn(world, resident, positions, gathered, hops)


def _tell_unanswered(acting: Acting, gathered: Gathered) -> None:
    """A seat whose turn is over without an answer to its call. The clerk would wait for it as long
    as a seat has time.
    """
    if not acting.agent.is_seat:
        return
    said = [message for _, message in gathered.outputs]
    if not is_answered(acting.phase, said) and not any(map(is_last_word, said)):
        gathered.say(failed(acting, "its turn ended without an answer to its call"))


def _may_think(mission: Mission | None) -> bool:
    return mission is not None and mission.ending is None and not mission.state.is_ended


def _journal_of(
    world: World,
    resident: Resident,
    mission: Mission,
    around: Around,
    called: SeatCalled | None,
    mail: int,
) -> Journal:
    agent = resident.agent

    def sending() -> None:
        # Told by the next sweep, where the seat is still at it then.
        if called is not None:
            world.sent.setdefault(agent.id, called.sent_by(agent, world.stamp()))

    return Journal(
        world.store,
        resident.hold,
        resident.turn + 1,
        account_of(agent, mission),
        segments_of(agent, mission),
        stop_fields(agent),
        json.dumps(resident.batch),
        world.declared.limits.warn_percent,
        world.stamp,
        partial(setattr, resident, "doing"),
        # A seat's calls are its mission's own: nobody lends to it.
        lender="" if agent.is_seat else str(mission.id),
        free=dict(around.free),
        spent=dict(around.spent),
        lead=world.lead,
        calls=world.recording.of_turn(mission.id, resident.agent, mail),
        sending=sending,
    )


def _answer_stopped(agent: Agent, acting: Acting, gathered: Gathered, no: NotAllowedError) -> None:
    """A seat outlives the missions it serves: one that ended or was stopped under its thought is
    answered with nothing, and called anew when it goes on; one that has no budget left is told as
    failed. Anybody else's stop is raised on.
    """
    if not agent.is_seat or no.rule not in _OF_THE_MISSION:
        raise no
    is_broke = no.rule in NO_MONEY
    gathered.say_only(*([failed(acting, no.detail, no.rule)] if is_broke else []))


async def tell_broke(world: World, resident: Resident, no: NotAllowedError) -> None:
    """Its account has not enough for its next call: the supervisor freezes it, and whoever may
    fund it is told.
    """
    agent = resident.agent
    channel, message = failed(acting_alone(world, agent), no.detail, no.rule)
    await world.store.post(
        channel, message, key=f"broke-{agent.id}-{agent.incarnation}-{world.stamp()}"
    )


async def abandon_turn(world: World, resident: Resident, why: str, tries: int) -> None:
    """Commit a turn that could not be taken, however often it was tried, so that what made it fail
    is not met again.

    It reads nothing that the turn had read: that may be what made it fail. Of several messages it
    is not known which one it was: they are answered one by one from here on. A single one becomes a
    dead letter, in the step that moves past it; and the agent has crashed.
    """
    mail = unread_mail(resident)
    if len(mail) > 1:
        log.warning(LogEvent.MESSAGES_ONE_BY_ONE, agent=resident.agent.id)
        nothing = Gathered([], frozenset(resident.taint), guard=resident.guard)
        await commit_turn(world, resident, {}, nothing, 1, len(mail))
        return
    called = seat_call(resident.agent, mail)
    acting = acting_alone(world, resident.agent, mission=called.mission if called else None)
    # Whom it does not know it does not look up: that reading may be what failed.
    taint = count_taint(world, resident, of_mail(mail, strangers(mail, (resident.agent.id,))))
    # Nor does it remember what it could not read: its memory may not even be at hand.
    gathered = Gathered(mail, taint, guard=resident.guard, is_forgotten=True)
    dead = _give_up(world, resident.agent, mail[0], gathered, why, tries) if mail else None
    gathered.say(failed(acting, why, is_crash=True, dead=dead))
    await commit_turn(world, resident, positions_after(resident, mail), gathered, hops=1)


def _give_up(
    world: World, agent: Agent, message: Message, gathered: Gathered, why: str, tries: int
) -> DeadMail:
    log.error(
        LogEvent.MESSAGE_DEAD,
        agent=agent.id,
        channel=message.channel,
        id=message.id,
        tries=tries,
    )
    lost = letter(
        agent.id, message, tries=tries, why=why, at=world.stamp(), incarnation=agent.incarnation
    )
    gathered.say((DEAD, lost))
    return DeadMail(channel=message.channel, id=message.id, sender=message.sender, tries=tries)


def _acting(world: World, agent: Agent, around: Around, call: Call | None, hops: int) -> Acting:
    mission = around.mission
    return Acting(
        agent=agent,
        mission=mission.id if mission else agent.mission,
        files=_files_of(agent, mission),
        rooms=world.declared.rooms,
        children=tuple(c for c in around.children if c.state is not AgentState.TERMINATED),
        hops=hops,
        at=world.stamp(),
        motion_number=call.motion_number if call else 0,
        phase=call.phase if call else "",
        functions=functions_of(world.declared.roles.get(agent.role), world.declared.functions),
        done=frozenset(id for id, doing in around.doing.items() if doing.is_done),
        colleagues=tuple(colleague.name for colleague in around.colleagues),
    )


def _files_of(agent: Agent, mission: Mission | None) -> tuple[str, ...]:
    """Its charter's files, or its mission's; but for a seat's, those that it may read."""
    given = agent.charter.files if agent.charter else (mission.files if mission else ())
    if agent.is_seat:
        return tuple(given)
    return tuple(f for f in given if is_covered(FILE.path(f, "read"), agent.privileges))
