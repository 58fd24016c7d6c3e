"""What the supervisor does with each input. Pure: a draft in, its changes grown by the decision.

Inputs are what agents and hosts request, what operators order, what is said in the board's room and
what executives report. A refusal is an answer to the requester and an entry in the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from swarmd.core import clerk, docket, reconcile
from swarmd.core.law import decide_spawn, decide_terminate, directives, fence, made
from swarmd.core.lineage import Agent
from swarmd.core.messages import Message
from swarmd.core.names import (
    BOARD_ROOM,
    OPERATOR,
    ORDERS,
    REQUESTS,
    SOB,
    SUPERVISOR,
    HostId,
    Kind,
    MissionId,
    MissionState,
    Rule,
    inbox,
    up,
)
from swarmd.core.requests import (
    FailedRequest,
    GoneRequest,
    Order,
    SpawnRequest,
    TerminateRequest,
    parse_order,
    parse_request,
)
from swarmd.core.swarm import Denied, Draft, Post, entry


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


# --- requests ---------------------------------------------------------------------------------


def _request(draft: Draft, message: Message) -> None:
    request = parse_request(message.data)
    if isinstance(request, GoneRequest):
        reconcile.word_of(draft, HostId(message.sender), request.segment)
        return
    requester = draft.swarm.lineage.get(message.sender)
    if requester is None:
        _journal_refusal(draft, message, Denied(Rule.UNKNOWN_AGENT, message.sender))
        return
    if message.incarnation != requester.incarnation:
        _journal_refusal(draft, message, Denied(Rule.INCARNATION, f"now {requester.incarnation}"))
        return
    match request:
        case SpawnRequest():
            _spawn(draft, requester, request, message)
        case TerminateRequest():
            _terminate(draft, requester, request, message)
        case FailedRequest():
            _failed(draft, requester, request, message)
        case str():
            _refuse(draft, requester, message, Denied(Rule.REQUEST_INVALID, request))
        case _:
            assert_never(request)


def _spawn(draft: Draft, requester: Agent, request: SpawnRequest, message: Message) -> None:
    if requester.is_seat or requester.id == SOB:
        # A seat acts only through motions; nothing speaks for the board but what it carried.
        _refuse(draft, requester, message, Denied(Rule.BOARD_MOTION), key=request.key)
        return
    spawned = decide_spawn(draft.swarm, requester, request, draft.moment, mission=requester.mission)
    if isinstance(spawned, Denied):
        _refuse(draft, requester, message, spawned, key=request.key)
        return
    draft.add(*made(draft.swarm, spawned, draft.moment, hops=message.hops))
    draft.add(*directives(spawned, request.directives, draft.moment, hops=message.hops))
    _answer(
        draft, requester, message, f"{request.key}: created {spawned.agent.id}",
        {"key": request.key, "outcome": "created", "agent": spawned.agent.id, "caps": dict(spawned.caps)},
    )  # fmt: skip


def _terminate(draft: Draft, requester: Agent, request: TerminateRequest, message: Message) -> None:
    target = draft.swarm.lineage.find_child(requester.id, request.agent) or draft.swarm.lineage.get(
        request.agent
    )
    if target is None:
        _refuse(draft, requester, message, Denied(Rule.UNKNOWN_AGENT, request.agent))
        return
    denied = (
        Denied(Rule.BOARD_MOTION)
        if requester.is_seat
        else decide_terminate(draft.swarm, requester.id, target, is_sovereign=False)
    )
    if denied is not None:
        _refuse(draft, requester, message, denied)
        return
    draft.add(
        *fence(
            draft.swarm,
            target.id,
            reason=request.reason,
            by=requester.id,
            moment=draft.moment,
            mission=target.mission,
            hops=message.hops,
        )
    )


def _failed(draft: Draft, agent: Agent, request: FailedRequest, message: Message) -> None:
    """A runtime gave an agent up: the agent ends, the swarm does not."""
    mission = MissionId(request.mission)
    if agent.is_seat:
        found = draft.swarm.missions.get(mission)
        if request.rule == Rule.BUDGET_EXHAUSTED and found is not None:
            docket.end(
                draft, found, MissionState.EXHAUSTED, f"{request.rule}: {request.detail}", by="supervisor"
            )
        else:
            clerk.seat_failed(draft, agent, mission, request.detail)
        return
    if agent.tier == 0:
        _journal_refusal(draft, message, Denied(Rule.TERMINATE_DESCENDANT, f"{agent.id} is the board itself"))
        return
    reason = f"{request.rule}: {request.detail}" if request.rule else request.detail
    draft.add(
        *fence(
            draft.swarm,
            agent.id,
            reason=reason[:2000],
            by="supervisor",
            moment=draft.moment,
            mission=agent.mission,
            hops=message.hops,
        )
    )


def _refuse(draft: Draft, requester: Agent, message: Message, denied: Denied, *, key: str = "") -> None:
    _journal_refusal(draft, message, denied)
    data = {"outcome": "refused", "rule": denied.rule.value, "detail": denied.detail}
    if key:
        data["key"] = key
    _answer(draft, requester, message, f"{key + ': ' if key else ''}refused by {denied}", data)


def _answer(draft: Draft, requester: Agent, message: Message, text: str, data: Mapping[str, object]) -> None:
    answer = Message(
        sender=SUPERVISOR, to=requester.id, kind=Kind.ANSWER, mission=requester.mission,
        at=draft.moment.stamp, text=text, data=data, hops=message.hops,
    )  # fmt: skip
    draft.add(Post(inbox(requester.id), answer))


def _journal_refusal(draft: Draft, message: Message, denied: Denied) -> None:
    what = str(message.data.get("type", "request"))[:40]
    draft.add(
        entry(
            draft.moment, "refused", f"{what} of {message.sender}: {denied}", actor=message.sender,
            mission=message.mission, rule=denied.rule, detail=denied.detail, request=message.id,
        )
    )  # fmt: skip


# --- orders -----------------------------------------------------------------------------------


def _order(draft: Draft, message: Message) -> None:
    order = parse_order(message.data)
    if isinstance(order, str):
        id = str(message.data.get("order", ""))[:64]
        _answer_order(draft, id, Denied(Rule.REQUEST_INVALID, order))
        return
    if not order.reason:
        # `swarmd terminate --reason` says it as people say things: as the message's text.
        order = order.model_copy(update={"reason": message.text})
    if order.verb == "cancel":
        _cancel(draft, order)
    else:
        _end_agent(draft, order)


def _cancel(draft: Draft, order: Order) -> None:
    mission = draft.swarm.missions.get(MissionId(order.target))
    if mission is None:
        _answer_order(draft, order.order, Denied(Rule.UNKNOWN_MISSION, order.target))
        return
    if mission.ending is not None:
        _answer_order(draft, order.order, Denied(Rule.UNKNOWN_MISSION, f"{order.target} is ending already"))
        return
    reason = order.reason or "cancelled by the operator"
    docket.end(draft, mission, MissionState.CANCELLED, reason, by=OPERATOR, order=order.order)


def _end_agent(draft: Draft, order: Order) -> None:
    target = draft.swarm.lineage.get(order.target)
    if target is None:
        _answer_order(draft, order.order, Denied(Rule.UNKNOWN_AGENT, order.target))
        return
    denied = decide_terminate(draft.swarm, OPERATOR, target, is_sovereign=True)
    if denied is None and draft.swarm.lineage.is_fenced(target.path):
        denied = Denied(Rule.FENCED, f"{target.id} is ending already")
    if denied is not None:
        _answer_order(draft, order.order, denied)
        return
    reason = order.reason or "ended by the operator"
    draft.add(
        *fence(
            draft.swarm,
            target.id,
            reason=reason,
            by=OPERATOR,
            moment=draft.moment,
            mission=target.mission,
            order=order.order,
        )
    )


def _answer_order(draft: Draft, order: str, denied: Denied) -> None:
    draft.add(
        entry(
            draft.moment, "order refused", str(denied), actor=OPERATOR, rule=denied.rule, order=order,
            outcome="refused", detail=denied.detail,
        )
    )  # fmt: skip
