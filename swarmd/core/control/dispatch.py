"""What the supervisor does with each input. Pure: a draft in, its changes grown by the decision.

Inputs are what agents and hosts request, what operators order, what is said in the board's room and
what executives report. A refusal is an answer to the requester and an entry in the journal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from swarmd.core.actions import authority, dead_letters, registry
from swarmd.core.actions import stop as stop_action
from swarmd.core.actions.verbs.override import OverrideArgs
from swarmd.core.board import agenda, clerk, operator_decision
from swarmd.core.control import agent_requests, corrections, orphans, stops, termination
from swarmd.core.missions import queue
from swarmd.core.model.actions import Actor, Args
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, REQUESTS, up
from swarmd.core.model.entries import Cause
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import SOB, SUPERVISOR, HostId, MissionId, MissionState
from swarmd.core.model.provenance import taint_of
from swarmd.core.model.refusals import NO_MONEY, Denied, Rule
from swarmd.core.model.requests import (
    ActRequest,
    FailedRequest,
    GoneRequest,
    HandInRequest,
    QuietRequest,
    SendBackRequest,
    SentRequest,
    SpawnRequest,
    parse_order,
    parse_request,
)
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tasks.law import send_back


def decide(draft: Draft, message: Message) -> None:
    """One message of one of the supervisor's inputs. What the journal says of it names its
    cause.
    """
    first = len(draft.changes)
    _decide(draft, message)
    cause = Cause.of(message.data, message.id, otherwise=message.kind.value)
    draft.changes[first:] = map(cause.stamped, draft.changes[first:])
    # What this one gave permission for is done in the same commit, or it could be used twice.
    agent_requests.carry_out(draft)


def _decide(draft: Draft, message: Message) -> None:
    if message.channel == REQUESTS:
        _request(draft, message)
    elif message.channel == ORDERS:
        _order(draft, message)
    elif message.channel == BOARD_ROOM:
        clerk.hear(draft, message)
    elif message.channel == up(SOB):
        clerk.hear_report(draft, message)
    else:
        raise AssertionError(message.channel)


# --- requests ---------------------------------------------------------------------------------


def _request(draft: Draft, message: Message) -> None:
    request = parse_request(message.data)
    if isinstance(request, GoneRequest):
        termination.word_of(draft, HostId(message.sender), request)
    elif isinstance(request, QuietRequest):
        stops.quiet_of(draft, HostId(message.sender), request)
    else:
        _request_of_agent(draft, request, message)


def _request_of_agent(
    draft: Draft,
    request: SpawnRequest
    | ActRequest
    | FailedRequest
    | SentRequest
    | HandInRequest
    | SendBackRequest
    | str,
    message: Message,
) -> None:
    requester = _requester_of(draft.swarm, message)
    if isinstance(requester, Denied):
        agent_requests.journal_refusal(draft, message, requester)
        return
    match request:
        case SpawnRequest():
            agent_requests.spawn(draft, requester, request, message)
        case ActRequest():
            agent_requests.act(draft, requester, request.act, message)
        case FailedRequest():
            _failed(draft, requester, request, message)
        case SentRequest():
            clerk.call_sent(draft, requester, request)
        case HandInRequest() | SendBackRequest():
            _work(draft, requester, request, message)
        case str():
            agent_requests.refuse(draft, requester, message, Denied(Rule.REQUEST_INVALID, request))
        case _:
            assert_never(request)


def _work(
    draft: Draft, agent: Agent, request: HandInRequest | SendBackRequest, message: Message
) -> None:
    """What became of a task. Who sends back has directed its child in the same step, and is told
    nothing of a record that did not follow.
    """
    if isinstance(request, HandInRequest):
        denied = agent_requests.hand_in(draft, agent, request, message)
        if denied is None:
            corrections.note_handed_in(draft, agent)
        return
    denied = send_back(draft, agent, request)
    if denied is not None:
        agent_requests.journal_refusal(draft, message, denied)


def _requester_of(swarm: Swarm, message: Message) -> Agent | Denied:
    """Who asks, in the incarnation that lives."""
    requester = swarm.lineage.get(message.sender)
    if requester is None:
        return Denied(Rule.UNKNOWN_AGENT, message.sender)
    if message.incarnation != requester.incarnation:
        return Denied(Rule.INCARNATION, f"now {requester.incarnation}")
    return requester


def _failed(draft: Draft, agent: Agent, request: FailedRequest, message: Message) -> None:
    """A runtime gave an agent up: the agent ends, the swarm does not."""
    if request.dead is not None:
        dead_letters.tell(draft, agent, request.dead, request.detail)
    if agent.is_seat:
        _seat_failed(draft, agent, request, message)
    elif agent.tier == 0:
        agent_requests.journal_refusal(
            draft, message, Denied(Rule.TERMINATE_DESCENDANT, f"{agent.id} is the board itself")
        )
    else:
        _agent_failed(draft, agent, request, message)


def _seat_failed(draft: Draft, seat: Agent, request: FailedRequest, message: Message) -> None:
    """A seat stays: what failed is its call, or the mission whose account it lives on."""
    mission = MissionId(request.mission)
    found = draft.swarm.missions.get(mission)
    if request.rule == Rule.BUDGET_UNREADABLE and found is not None:
        orphans.hold_for_mending(draft, found.id, request.detail)
    elif request.rule in NO_MONEY and found is not None:
        asked = f"the seat {seat.name} could not be asked"
        missing = agenda.missing(draft.swarm, mission)
        reason = "; ".join(filter(None, (f"{request.rule}: {request.detail}", asked, missing)))
        queue.end(draft, found, MissionState.EXHAUSTED, reason, by=SUPERVISOR)
    else:
        clerk.seat_failed(draft, seat, mission, request.detail, taint_of(message))


def _agent_failed(draft: Draft, agent: Agent, request: FailedRequest, message: Message) -> None:
    if request.rule == Rule.BUDGET_UNREADABLE:
        orphans.hold_for_mending(draft, agent.id, request.detail)
    elif request.rule in NO_MONEY:
        orphans.hold(draft, agent, Rule(request.rule), request.detail, hops=message.hops)
    elif request.is_crash:
        orphans.crashed(draft, agent, request.detail, hops=message.hops)
    else:
        reason = f"{request.rule}: {request.detail}" if request.rule else request.detail
        # A model's own words are in it, and it may have had them from what it read.
        orphans.give_up(draft, agent, reason, hops=message.hops, taint=taint_of(message))


# --- orders -----------------------------------------------------------------------------------


def _order(draft: Draft, message: Message) -> None:
    order = parse_order(message.data)
    if isinstance(order, str):
        id = str(message.data.get("order", ""))[:64]
        _answer_order(draft, id, Denied(Rule.REQUEST_INVALID, order))
        return
    # `swarmd terminate --reason` says it as people say things: as the message's text.
    reason = order.act.reason or message.text or f"{order.act.verb} by the operator"
    actor = replace(authority.BY_OPERATOR, order=order.order)
    denied = _do(draft, actor, order.act.model_copy(update={"reason": reason}))
    if denied is not None:
        _answer_order(draft, order.order, denied)


def _do(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    override = args.override if isinstance(args, OverrideArgs) else None
    if override is not None and override.kind == "motion":
        # A procedure is the clerk's to move on, and the board stands above the actions.
        return operator_decision.overrule(draft, actor, override)
    return registry.do(draft, actor, args)


def _answer_order(draft: Draft, order: str, denied: Denied) -> None:
    stop_action.refuse_order(draft, order, denied, str(denied))
