"""What the supervisor reads before it decides: what its memory does not hold of accounts and dead
letters. Each action says what it needs; this tells for which account or letter. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from pydantic import ValidationError

from swarmd.core.actions.authority import BY_OPERATOR, find
from swarmd.core.actions.funding import charged_account
from swarmd.core.actions.registry import ACTIONS
from swarmd.core.actions.verbs.override import OverrideArgs
from swarmd.core.board.motions.act import ActMotion
from swarmd.core.model.actions import Actor, Args, Need
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, REQUESTS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message, is_stream_id
from swarmd.core.model.names import SOB, AgentId, Authority, MissionId, StreamId
from swarmd.core.model.requests import ActRequest, Order, parse_order, parse_request
from swarmd.core.model.state import Swarm

_ACCOUNT: Final = "account:"


@dataclass(slots=True)
class Reading:
    """What is to be read: accounts by what is free in them and by their caps, dead letters, and
    accounts that are to be repaired.
    """

    free: set[str] = field(default_factory=set)
    caps: set[str] = field(default_factory=set)
    spent: set[str] = field(default_factory=set)
    letters: set[StreamId] = field(default_factory=set)
    corrections: set[str] = field(default_factory=set)


def reading_of(swarm: Swarm, messages: Sequence[Message]) -> Reading:
    """For these inputs, the motions before the board, and what waits for permission, which any
    input may give.
    """
    reading = Reading(free={SOB, *swarm.boards})
    # What a mission and its executives have spent and have left, each seat is told that is called.
    executives = {agent.id for id in swarm.boards for agent in swarm.executives(id)}
    reading.spent = {*swarm.boards, *executives}
    reading.free |= executives
    # What permission is given for is paid for by who asked.
    reading.free |= {approval.requester for approval in swarm.approvals.values()}
    reading.free |= {
        message.sender
        for message in messages
        if message.channel == REQUESTS and swarm.lineage.get(message.sender)
    }
    for actor, args in _actions(swarm, messages):
        for need in ACTIONS[args.verb].needs:
            _add(reading, swarm, actor, args, need)
    return reading


def _actions(swarm: Swarm, messages: Sequence[Message]) -> Iterator[tuple[Actor, Args]]:
    """All that may be decided now and needs something."""
    for message in messages:
        if message.channel == ORDERS:
            yield from _of_order(message.data)
        elif message.channel == REQUESTS:
            yield from _of_request(message.sender, message.data)
        elif message.channel == BOARD_ROOM:
            yield from _of_motion(message.mission, message.data.get("motion"))
    for approval in swarm.approvals.values():
        yield from _of_request(approval.requester, approval.action["request"])
    for id, procedure in swarm.boards.items():
        if isinstance(procedure.motion, ActMotion):
            yield Actor(SOB, Authority.BOARD, id), procedure.motion.args()


def _of_order(data: Mapping[str, Any]) -> Iterator[tuple[Actor, Args]]:
    order = parse_order(data) if _has_needs(data) else None
    if isinstance(order, Order):
        yield BY_OPERATOR, order.act


def _of_request(requester: str, data: Mapping[str, Any]) -> Iterator[tuple[Actor, Args]]:
    # Looked at before it is parsed: most requests are for new agents, and need nothing more.
    if data.get("type") == "act" and _has_needs(data.get("act")):
        request = parse_request(data)
        if isinstance(request, ActRequest):
            yield Actor(requester, Authority.LINEAGE), request.act


def _of_motion(id: MissionId, written: object) -> Iterator[tuple[Actor, Args]]:
    """A motion that is proposed is judged at once, before it is put."""
    if isinstance(written, Mapping) and written.get("motion") == "act":
        with suppress(ValidationError):
            yield Actor(SOB, Authority.BOARD, id), ActMotion.model_validate(written).args()


def _has_needs(act: object) -> bool:
    action = ACTIONS.get(str(act.get("verb"))) if isinstance(act, Mapping) else None
    return action is not None and bool(action.needs)


def _add(reading: Reading, swarm: Swarm, actor: Actor, args: Args, need: Need) -> None:
    match need:
        case Need.FREE:
            reading.free |= _charged(swarm, args)
        case Need.CAP:
            reading.caps |= _account(swarm, actor, args.target)
        case Need.LETTER:
            reading.letters |= {StreamId(args.target)} if is_stream_id(args.target) else set()
        case Need.CORRECTION if args.target.startswith(_ACCOUNT):
            reading.corrections.add(args.target.removeprefix(_ACCOUNT))
        case Need.CORRECTION:
            pass  # what is no account is repaired from memory
        case _:
            assert_never(need)


def _charged(swarm: Swarm, args: Args) -> set[str]:
    """An operator may add to an account of whomever's it was carved from, and allow a refused
    spawn, which its requester's account pays for.
    """
    override = args.override if isinstance(args, OverrideArgs) else None
    requester = override.refused.requester if override and override.refused else ""
    asked = {requester} if swarm.lineage.get(AgentId(requester)) else set()
    return {charged_account(swarm, args.target), *asked}


def _account(swarm: Swarm, actor: Actor, target: str) -> set[str]:
    if actor.authority is Authority.OPERATOR:
        return {target}
    found = find(swarm, actor, target)
    return {found.id} if isinstance(found, Agent) else set()
