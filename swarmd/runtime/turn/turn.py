"""One agent's turn: everything that waits, a thought or several, their moves, one commit.

Decided in `core.agent.turn`, said in `core.agent.prompt`; here it is only waited for. Nothing of a
turn is visible before its commit, and a turn that is done again under its number changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog

from swarmd.core.actions.dead_letters import letter
from swarmd.core.agent.turn import (
    Acting,
    act,
    failed,
    functions_of,
    name_of,
    spawn_requests,
)
from swarmd.core.model.channels import DEAD
from swarmd.core.model.functions import FunctionCall
from swarmd.core.model.lineage import Agent, stop_fields
from swarmd.core.model.messages import Message
from swarmd.core.model.moves import Move, Spawn, Think, Use
from swarmd.core.model.names import AgentState
from swarmd.core.model.privileges import FILE, is_covered
from swarmd.core.model.provenance import of_mail, of_results, strangers
from swarmd.core.model.records import Mission
from swarmd.core.model.refusals import NO_MONEY, Denied, Rule
from swarmd.core.model.requests import DeadMail
from swarmd.log_events import LogEvent
from swarmd.ports.models import Call
from swarmd.ports.stores import LOST, Around, Used
from swarmd.runtime.mailboxes import Resident
from swarmd.runtime.turn.commit import commit_turn, guard_outputs
from swarmd.runtime.turn.functions import UNKNOWN_OUTCOME, call_function, failure, files_in
from swarmd.runtime.turn.mail import (
    account_of,
    count_taint,
    positions_after,
    seat_call,
    segments_of,
    turn_taint,
    unread_mail,
)
from swarmd.runtime.turn.model_call import ThoughtFailedError
from swarmd.runtime.turn.render import prompt_renderer
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError, Reserve
from swarmd.runtime.turn.world import Gathered, World, acting_alone

log = structlog.get_logger(__name__)


_OF_THE_ACTION: Final = (Rule.PRIVILEGE_USE, Rule.PRIVILEGE_REVOKED)


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
    agent, call = resident.agent, called[1] if called else None
    served = called[0] if called else agent.mission
    around = await world.store.around(agent.id, served, served if agent.is_seat else agent.id)
    gathered = Gathered(mail, await turn_taint(world, resident, mail), guard=resident.guard)
    # From here on it is this turn's mail, however it ends: what comes meanwhile is not answered by
    # its failure.
    resident.batch = positions = positions_after(resident, mail)
    hops = max((m.hops for m in mail), default=0) + 1
    acting = _acting(world, agent, around, call, hops)
    mission = around.mission
    if mission is not None and mission.ending is None and not mission.state.is_ended:
        journal = _journal_of(world, resident, mission, around.free)
        try:
            await _think_and_act(world, resident, journal, acting, around, call, gathered)
        except NotAllowedError as no:
            _answer_stopped(agent, acting, gathered, no)
    if not agent.is_seat:
        guard_outputs(world, acting, gathered)
    await commit_turn(world, resident, positions, gathered, hops)


def _journal_of(
    world: World, resident: Resident, mission: Mission, free: Mapping[str, int]
) -> Journal:
    agent = resident.agent
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
        free=dict(free),
        lead=world.lead,
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
    acting = acting_alone(world, resident.agent, mission=called[0] if called else None)
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
        spawn_keys=frozenset(),
        hops=hops,
        at=world.stamp(),
        motion_number=call.motion_number if call else 0,
        phase=call.phase if call else "",
        functions=functions_of(world.declared.roles.get(agent.role), world.declared.functions),
    )


def _files_of(agent: Agent, mission: Mission | None) -> tuple[str, ...]:
    """Its charter's files, or its mission's; but for a seat's, those that it may read."""
    given = agent.charter.files if agent.charter else (mission.files if mission else ())
    if agent.is_seat:
        return tuple(given)
    return tuple(f for f in given if is_covered(FILE.path(f, "read"), agent.privileges))


async def _think_and_act(
    world: World,
    resident: Resident,
    journal: Journal,
    acting: Acting,
    around: Around,
    call: Call | None,
    gathered: Gathered,
) -> None:
    """Thoughts and their moves until the agent has nothing more to see, or the turn's bound is
    reached.
    """
    render = await prompt_renderer(world, resident, acting, around, call, gathered)
    role = world.declared.roles.get(resident.agent.role)
    try:
        mind = await world.mind(role.model if role else "")
        while journal.steps_done < world.declared.limits.steps_max:
            moves, corrections = await mind.think(journal, render)
            gathered.steps += corrections
            if not await _do_moves(world, journal, acting, moves, gathered):
                return
    except ThoughtFailedError as failure:
        log.warning(LogEvent.CALL_FAILED, agent=resident.agent.id, why=failure.detail)
        gathered.say_only(failed(acting, failure.detail, failure.rule))
        return
    gathered.steps.append({"results": [{"note": "the turn's bound of steps is reached"}]})


async def _do_moves(
    world: World, journal: Journal, acting: Acting, moves: Sequence[Move], gathered: Gathered
) -> bool:
    """Do the moves of one answer in order; true where the model has something to see of it in
    this turn.
    """
    acting = replace(acting, spawn_keys=frozenset(m.key for m in moves if isinstance(m, Spawn)))
    results: list[Mapping[str, Any]] = []
    for move in moves:
        result = await _do_move(world, journal, acting, move, gathered)
        if result is not None:
            results.append(result)
    gathered.say(*spawn_requests(moves, acting))
    # From here on: what was said up to now was said before these results were seen.
    read = of_results(results, world.declared.functions)
    gathered.taint |= read & set(world.declared.limits.taint.sources)
    was_thinking = bool(gathered.steps) and _is_lone_thought(gathered.steps[-1])
    gathered.steps.append(
        {"moves": [move.model_dump(mode="json", exclude_defaults=True) for move in moves]}
    )
    if results:
        gathered.steps.append({"results": results})
        return True
    # A thought alone asks to be continued once; a second one in a row waits for mail.
    return all(isinstance(move, Think) for move in moves) and not was_thinking


def _is_lone_thought(step: Mapping[str, Any]) -> bool:
    return all(move.get("move") == "think" for move in step.get("moves", ({},)))


async def _do_move(
    world: World, journal: Journal, acting: Acting, move: Move, gathered: Gathered
) -> Mapping[str, Any] | None:
    meaning = act(move, acting)
    if isinstance(meaning, Denied):
        return _refused(gathered, move, meaning.rule, meaning.detail)
    if meaning is None:
        return None
    if isinstance(meaning, list):
        gathered.say(*meaning)
        return None
    return await _call(world, journal, acting, move, meaning, gathered)


async def _call(
    world: World,
    journal: Journal,
    acting: Acting,
    move: Move,
    call: FunctionCall,
    gathered: Gathered,
) -> Mapping[str, Any]:
    """Call a function; what is to be known of it beforehand, its row says."""
    function, found = call.function, dict[str, Any]()

    async def effect() -> tuple[str, Used]:
        found.update(await call_function(world.handlers, acting, call))
        return json.dumps(found), Used(function.charge, is_ok=found["ok"], files=files_in(found))

    try:
        text = await journal.call(
            function.name,
            effect,
            reserve=Reserve(function.charge),
            privileges=function.privileges(call.args),
            within_seconds=function.seconds,
            may_repeat=function.may_repeat,
            given=call.args.model_dump(mode="json"),
        )
        gathered.has_used = True
        if text == LOST:
            return failure(function.name, UNKNOWN_OUTCOME)
    except NotAllowedError as no:
        # What it may not use, or what is stopped for all, is told to it; what stops itself ends or
        # holds its turn.
        if no.rule not in _OF_THE_ACTION and not no.detail.startswith("use:"):
            raise
        return _refused(gathered, move, no.rule, no.detail)
    return found or json.loads(text)


def _refused(gathered: Gathered, move: Move, rule: Rule, detail: str) -> Mapping[str, Any]:
    """As the model is told of it; the journal is, when the turn is committed."""
    gathered.refusals.note(rule, name_of(move), detail)
    kind = "function" if isinstance(move, Use) else "move"
    return {kind: name_of(move), "ok": False, "rule": rule.value, "detail": detail}
