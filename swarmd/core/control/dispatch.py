"""What the supervisor does with each input. Pure: a draft in, its changes grown by the decision.

Inputs are what agents and hosts request, what operators order, what is said in the board's room and
what executives report. A refusal is an answer to the requester and an entry in the journal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from swarmd.core.actions import authority, dead_letters, overrides, registry, repair
from swarmd.core.board import clerk
from swarmd.core.control import agent_requests, orphans, stops, termination
from swarmd.core.missions import queue
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, REQUESTS, up
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import OPERATOR, SOB, HostId, MissionId, MissionState
from swarmd.core.model.provenance import taint_of
from swarmd.core.model.refusals import NO_MONEY, Denied, Rule
from swarmd.core.model.requests import (
    ActRequest,
    FailedRequest,
    GoneRequest,
    Order,
    QuietRequest,
    SpawnRequest,
    TerminateRequest,
    parse_order,
    parse_request,
)
from swarmd.core.model.state import Draft


def decide(draft: Draft, message: Message) -> None:
    """One message of one of the supervisor's inputs."""
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
    # What this one gave leave for is done in the same commit, or it could be used twice.
    agent_requests.carry_out(draft)


# --- requests ---------------------------------------------------------------------------------


def _request(draft: Draft, message: Message) -> None:
    request = parse_request(message.data)
    if isinstance(request, GoneRequest):
        termination.word_of(draft, HostId(message.sender), request)
        return
    if isinstance(request, QuietRequest):
        stops.quiet_of(draft, HostId(message.sender), request)
        return
    requester = draft.swarm.lineage.get(message.sender)
    if requester is None:
        agent_requests.journal_refusal(draft, message, Denied(Rule.UNKNOWN_AGENT, message.sender))
        return
    if message.incarnation != requester.incarnation:
        agent_requests.journal_refusal(
            draft, message, Denied(Rule.INCARNATION, f"now {requester.incarnation}")
        )
        return
    match request:
        case SpawnRequest():
            agent_requests.spawn(draft, requester, request, message)
        case TerminateRequest() | ActRequest():
            agent_requests.act(draft, requester, agent_requests.wish_of(request), message)
        case FailedRequest():
            _failed(draft, requester, request, message)
        case str():
            agent_requests.refuse(draft, requester, message, Denied(Rule.REQUEST_INVALID, request))
        case _:
            assert_never(request)


def _failed(draft: Draft, agent: Agent, request: FailedRequest, message: Message) -> None:
    """A runtime gave an agent up: the agent ends, the swarm does not."""
    mission = MissionId(request.mission)
    if request.dead is not None:
        dead_letters.tell(draft, agent, request.dead, request.detail)
    if agent.is_seat:
        found = draft.swarm.missions.get(mission)
        if request.rule == Rule.BUDGET_UNREADABLE and found is not None:
            orphans.hold_for_mending(draft, found.id, request.detail)
        elif request.rule in NO_MONEY and found is not None:
            queue.end(
                draft,
                found,
                MissionState.EXHAUSTED,
                f"{request.rule}: {request.detail}",
                by="supervisor",
            )
        else:
            clerk.seat_failed(draft, agent, mission, request.detail, taint_of(message))
        return
    if agent.tier == 0:
        agent_requests.journal_refusal(
            draft, message, Denied(Rule.TERMINATE_DESCENDANT, f"{agent.id} is the board itself")
        )
        return
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
    reason = order.reason or message.text or f"{order.verb} by the operator"
    actor = replace(authority.BY_OPERATOR, order=order.order)
    match order.verb:
        case "ack":
            denied = repair.acknowledge(draft, order.order, order.target, reason)
        case "repair":
            denied = repair.repair(draft, order.order, order.target, reason)
        case "retry":
            denied = dead_letters.retry(draft, order.order, order.target, reason)
        case "drop":
            denied = dead_letters.drop(draft, order.order, order.target, reason)
        case "override":
            denied = _override(draft, actor, order)
        case verb:
            wish = authority.Wish(
                verb,
                order.target,
                reason,
                order.privilege,
                order.right,
                order.amounts,
                order.grace_s,
            )
            denied = registry.do(draft, actor, wish)
    if denied is not None:
        _answer_order(draft, order.order, denied)


def _override(draft: Draft, actor: authority.Actor, order: Order) -> Denied | None:
    if order.override is None:
        return Denied(Rule.REQUEST_INVALID, "override: what is overridden is missing")
    if order.override.kind == "motion":
        return clerk.overrule(draft, actor, order.override)
    return overrides.do(draft, actor, order.override)


def _answer_order(draft: Draft, order: str, denied: Denied) -> None:
    draft.add(
        entry(
            draft.moment,
            JournalEvent.ORDER_REFUSED,
            str(denied),
            actor=OPERATOR,
            rule=denied.rule,
            order=order,
            outcome="refused",
            detail=denied.detail,
        )
    )
