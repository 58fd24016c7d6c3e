"""An agent's requests: done, refused, or kept until permission is given and then decided as if made
now. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarmd.core.actions import approvals, registry
from swarmd.core.actions.approvals import WORD, Need, digest_of, for_spawn, spawn_facts
from swarmd.core.board import clerk, operator_decision
from swarmd.core.board.standstill import is_held_back
from swarmd.core.control import replacements
from swarmd.core.model.actions import Actor, Answers, Args
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import REQUESTS
from swarmd.core.model.entries import Cause, entry, order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import Authority, StreamId
from swarmd.core.model.posts import answer_to
from swarmd.core.model.provenance import KEY as TAINT
from swarmd.core.model.provenance import stamped, taint_of
from swarmd.core.model.records import Approval, Spawned
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import ActRequest, HandInRequest, SpawnRequest, parse_request
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import APPROVALS, Drop
from swarmd.core.tasks import law
from swarmd.core.tree.spawn import created_facts, decide_spawn, directives, made

# --- requests ---------------------------------------------------------------------------------


def spawn(
    draft: Draft,
    requester: Agent,
    request: SpawnRequest,
    message: Message,
    *,
    has_permission: bool = False,
) -> Denied | None:
    """Done or kept, or the rule by which it was refused."""
    if requester.tier == 0:
        # A seat acts only through motions; nothing speaks for the board but what it carried.
        return refuse(draft, requester, message, Denied(Rule.BOARD_MOTION), key=request.key)
    spawned = decide_spawn(draft.swarm, requester, request, draft.moment, mission=requester.mission)
    if isinstance(spawned, Denied):
        return refuse(draft, requester, message, spawned, key=request.key)
    taint = taint_of(message)
    need = None if has_permission else _spawn_need(draft.swarm, spawned, taint)
    if need is not None:
        _wait(draft, requester, message, need, spawn_facts(draft.swarm, spawned), key=request.key)
    else:
        _make(draft, requester, request, message, spawned)
    return None


def _spawn_need(swarm: Swarm, spawned: Spawned, taint: Sequence[str]) -> Need | None:
    """The strongest permission that it needs, if any."""
    needs = (
        for_spawn(swarm, [spawned], Authority.LINEAGE, taint),
        replacements.need(swarm, spawned.agent, taint),
    )
    return max(filter(None, needs), key=lambda need: need.needs, default=None)


def _make(
    draft: Draft, requester: Agent, request: SpawnRequest, message: Message, spawned: Spawned
) -> None:
    moment, hops, taint = draft.moment, message.hops, taint_of(message)
    draft.add(*made(draft.swarm, spawned, moment, hops=hops, taint=taint))
    replacements.note_made(draft, spawned.agent)
    draft.add(*directives(spawned, request.directives, moment, hops=hops, taint=taint))
    data = created_facts(request, spawned)
    _answer(draft, requester, message, f"{request.key}: created {spawned.agent.id}", data)


def act(
    draft: Draft,
    requester: Agent,
    args: Args,
    message: Message,
    *,
    has_permission: bool = False,
) -> Denied | None:
    """Done or kept, or the rule by which it was refused.

    An agent acts on its descendants; a seat on nobody, for only a carried motion speaks for the
    board.
    """
    if requester.tier == 0:
        return refuse(draft, requester, message, Denied(Rule.BOARD_MOTION))
    actor = _actor_of(requester, message)
    need = None if has_permission else registry.permission_needed(draft.swarm, actor, args)
    if need is not None:
        facts = registry.facts_of(draft.swarm, actor, args)
        if isinstance(facts, Denied):
            return refuse(draft, requester, message, facts)
        _wait(draft, requester, message, need, facts)
        return None
    denied = registry.do(draft, actor, args)
    if denied is not None:
        return refuse(draft, requester, message, denied)
    _answer_at_once(draft, requester, args, message)
    return None


def hand_in(
    draft: Draft,
    requester: Agent,
    request: HandInRequest,
    message: Message,
    *,
    has_permission: bool = False,
) -> Denied | None:
    """A final report: taken, or kept until a person says yes to it. Who has handed in has nothing
    to do until then, and is not told that it waits.
    """
    denied = _handed_in(draft, requester, request, message, has_permission=has_permission)
    return None if denied is None else refuse(draft, requester, message, denied)


def _handed_in(
    draft: Draft,
    requester: Agent,
    request: HandInRequest,
    message: Message,
    *,
    has_permission: bool,
) -> Denied | None:
    if is_held_back(draft.swarm, requester):
        # Somebody woke it before those that it comes after had reported.
        law.report_is_interim(draft, requester)
        detail = f"it {requester.reason}, and these have not reported yet"
        return Denied(Rule.TASK_OPEN, detail)
    if has_permission:
        return _accepted(draft, requester, request, message)
    if law.asked_of_a_person(requester):
        return _ask_a_person(draft, requester, request, message)
    return law.hand_in(draft, requester, request)


def _accepted(
    draft: Draft, requester: Agent, request: HandInRequest, message: Message
) -> Denied | None:
    """A person has said yes to it, and the law as it is now is asked again."""
    denied = law.report_is_final(draft, requester, request.report)
    denied = denied or law.hand_in(draft, requester, request)
    if denied is not None:
        return denied
    data = {"outcome": "done", "type": request.type}
    _answer(draft, requester, message, "a person accepts your result", data)
    clerk.review_if_ready(draft, requester.mission, has_reported=True)
    return None


def _ask_a_person(
    draft: Draft, requester: Agent, request: HandInRequest, message: Message
) -> Denied | None:
    denied = law.refuse_result(draft, requester, request)
    if denied is not None:
        return denied
    law.withdraw(draft, requester)
    asked = [check.text_form for check in law.asked_of_a_person(requester)]
    need = Need(Authority.OPERATOR, Rule.APPROVAL_NEEDED, "; ".join(asked))
    facts = {"action": request.type, "agent": requester.id, "result": request.digest}
    found = approvals.ask(draft, _kept_form(requester, message), need, facts)
    return found if isinstance(found, Denied) else None


def _answer_at_once(draft: Draft, requester: Agent, args: Args, message: Message) -> None:
    if registry.ACTIONS[args.verb].answers is Answers.AT_ONCE:
        done = {"outcome": "done", "verb": args.verb, "target": args.target}
        _answer(draft, requester, message, f"{args.verb} {args.target}: done", done)


def _actor_of(requester: Agent, message: Message) -> Actor:
    taint = taint_of(message)
    return Actor(requester.id, Authority.LINEAGE, requester.mission, message.hops, taint=taint)


# --- permission ----------------------------------------------------------------------------------


def _wait(
    draft: Draft,
    requester: Agent,
    message: Message,
    need: Need,
    facts: Mapping[str, Any],
    *,
    key: str = "",
) -> None:
    """Keep the request, and tell at once who asked that it is kept."""
    asked = approvals.ask(draft, _kept_form(requester, message), need, facts)
    if isinstance(asked, Denied):
        refuse(draft, requester, message, asked, key=key)
        return
    data = _waiting_facts(asked, need) | ({"key": key} if key else {})
    waits = f"waits for the permission of the {WORD[asked.needs]} ({asked.id})"
    text = f"{waits}: {need.rule}, {need.detail}"
    asked_for = key or " ".join(_act_named_in(message).values())
    _answer(draft, requester, message, _named(asked_for, text), data)


def _waiting_facts(asked: Approval, need: Need) -> dict[str, str]:
    return {
        "outcome": "waiting",
        "approval": asked.id,
        "needs": WORD[asked.needs],
        "rule": need.rule.value,
        "detail": need.detail,
    }


def _kept_form(requester: Agent, message: Message) -> dict[str, Any]:
    """All of a request that decides on it, as it is kept and digested."""
    return {
        "requester": requester.id,
        "incarnation": message.incarnation,
        "hops": message.hops,
        "mission": requester.mission,
        "taint": list(taint_of(message)),
        "id": message.id,
        "request": {name: value for name, value in message.data.items() if name != TAINT},
    }


def _message_of(draft: Draft, requester: Agent, action: Mapping[str, Any]) -> Message:
    """The request as it was made, out of its kept form."""
    message = Message(
        sender=requester.id,
        kind=Kind.REQUEST,
        mission=requester.mission,
        at=draft.stamp,
        data=action["request"],
        hops=action["hops"],
        incarnation=action["incarnation"],
        channel=REQUESTS,
        id=StreamId(action["id"]),
    )
    return stamped(message, action["taint"])


def carry_out(draft: Draft) -> None:
    """All that was answered: closed, and where permission was given, decided as if asked for
    now.
    """
    while (
        answered := next((a for a in draft.swarm.approvals.values() if a.answer), None)
    ) is not None:
        first = len(draft.changes)
        _carry_out(draft, answered)
        cause = Cause.of(answered.action["request"], StreamId(answered.action.get("id", "")))
        draft.changes[first:] = map(cause.stamped, draft.changes[first:])


def _carry_out(draft: Draft, answered: Approval) -> None:
    is_motion = answered.action["request"]["type"] == "motion"
    denied = (
        operator_decision.answered(draft, answered) if is_motion else _answered(draft, answered)
    )
    draft.add(Drop(APPROVALS, answered.id))
    draft.add(_closing_entry(draft, answered, denied))


def _closing_entry(draft: Draft, answered: Approval, denied: Denied | None) -> Post:
    text = f"{answered.id} of {answered.requester}: {answered.answer}"
    return entry(
        draft.moment,
        _TOLD_AS[answered.answer],
        f"{text}, refused by {denied}" if denied else text,
        actor=answered.answered_by,
        mission=answered.mission,
        rule=_CLOSED_BY.get(answered.answer) or (denied.rule if denied else None),
        approval=answered.id,
        digest=answered.digest,
        more=_order(answered, denied),
    )


_TOLD_AS: Final = {
    "approved": JournalEvent.APPROVAL_GIVEN,
    "denied": JournalEvent.APPROVAL_DENIED,
    "expired": JournalEvent.APPROVAL_EXPIRED,
}
_CLOSED_BY: Final = {"denied": Rule.APPROVAL_DENIED, "expired": Rule.APPROVAL_EXPIRED}


def _order(answered: Approval, denied: Denied | None) -> Mapping[str, str] | None:
    if denied is None:
        return order_facts(answered.order, "done")
    facts = order_facts(answered.order, "refused")
    return facts and {**facts, "detail": denied.detail}


def _answered(draft: Draft, answered: Approval) -> Denied | None:
    """An agent's request; the rule where it was not done in spite of permission."""
    requester, action = draft.lineage.get(answered.requester), answered.action
    if requester is None:
        return Denied(Rule.UNKNOWN_AGENT, answered.requester)
    if requester.incarnation != action["incarnation"]:
        return Denied(Rule.INCARNATION, f"now {requester.incarnation}")
    message = _message_of(draft, requester, action)
    rule = _CLOSED_BY.get(answered.answer)
    if rule is not None:
        why = f": {answered.reason}" if answered.reason else ""
        denied = Denied(rule, f"{answered.id}, by {answered.answered_by}{why}")
        refuse(draft, requester, message, denied, key=_key_in(message))
        return None
    if digest_of(action) != answered.digest:
        # Somebody has written where the supervisor alone writes: what permission was given for is
        # not known any more.
        return Denied(Rule.REQUEST_INVALID, f"{answered.id} is not what was asked")
    return _do_permitted(draft, requester, message, answered)


def _key_in(message: Message) -> str:
    request = parse_request(message.data)
    return request.key if isinstance(request, SpawnRequest) else ""


def _do_permitted(
    draft: Draft, requester: Agent, message: Message, answered: Approval
) -> Denied | None:
    request = parse_request(message.data)
    if isinstance(request, SpawnRequest):
        return spawn(draft, requester, request, message, has_permission=True)
    if isinstance(request, ActRequest):
        return act(draft, requester, request.act, message, has_permission=True)
    if isinstance(request, HandInRequest):
        return hand_in(draft, requester, request, message, has_permission=True)
    return Denied(Rule.REQUEST_INVALID, f"{answered.id} is no request")


# --- answers ----------------------------------------------------------------------------------


def refuse(
    draft: Draft, requester: Agent, message: Message, denied: Denied, *, key: str = ""
) -> Denied:
    journal_refusal(draft, message, denied)
    data = {"outcome": "refused", "rule": denied.rule.value, "detail": denied.detail}
    if key:
        data["key"] = key
    asked = _act_named_in(message)
    named = _named(key or " ".join(asked.values()), f"refused by {denied}")
    _answer(draft, requester, message, named, data | asked)
    return denied


def _act_named_in(message: Message) -> dict[str, str]:
    """The verb and the target of a request that is an action: whoever asked for several at once
    must know which one it was.
    """
    act = message.data.get("act")
    if not isinstance(act, Mapping):
        return {}
    return {name: str(act[name])[:64] for name in ("verb", "target") if act.get(name)}


def _answer(
    draft: Draft, requester: Agent, message: Message, text: str, data: Mapping[str, object]
) -> None:
    draft.add(answer_to(draft.moment, requester, text, data, hops=message.hops))


def _named(key: str, text: str) -> str:
    return f"{key}: {text}" if key else text


def journal_refusal(draft: Draft, message: Message, denied: Denied) -> None:
    what = str(message.data.get("type", "request"))[:40]
    # An operator may allow a spawn all the same, and names this entry or the key.
    named = {"type": what, "key": str(message.data.get("key", ""))[:64]}
    draft.record(
        JournalEvent.REQUEST_REFUSED,
        f"{what} of {message.sender}: {denied}",
        actor=message.sender,
        mission=message.mission,
        rule=denied.rule,
        detail=denied.detail,
        request=message.id,
        incarnation=message.incarnation,
        more=named if what == "spawn" else None,
    )
