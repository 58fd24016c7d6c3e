"""What the supervisor does about what workers' scripts did: facts, in the order of their stream.
Pure.

Decided in the commit that moves the position in that stream, so that each is acted on once, whoever
dies. Facts of agents that are no more change nothing; the journal has them all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from swarmd.core.agent.turn import REFUSAL_DETAIL_MAX
from swarmd.core.control import corrections, orphans, replacements, stalls
from swarmd.core.journal.turn_refusals import TurnRefusal, number_in, refused_in_turns
from swarmd.core.missions import queue
from swarmd.core.model.changes import Post
from swarmd.core.model.channels import BOARD_ROOM, inbox
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    CLERK,
    SOB,
    SUPERVISOR,
    AgentId,
    Channel,
    MissionId,
    MissionState,
    StreamId,
)
from swarmd.core.model.posts import board_notice
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft
from swarmd.core.tree import notices

Fact = Mapping[str, str]


CUT_RULES: Final = {rule.value: rule for rule in (Rule.RATE, Rule.NO_PROGRESS)}


def is_urgent(fact: Fact) -> bool:
    """Something is to be done about it, which does not wait until many have come together."""
    match fact.get("fact"):
        case "warn":
            return True
        case "settle":
            return bool(_overdraft(fact))
        case "refuse":
            return bool(fact.get("tell"))
        case _:
            return False


def act(draft: Draft, facts: Sequence[tuple[StreamId, Fact]]) -> None:
    settled: list[Agent] = []
    for _, fact in facts:
        agent = draft.lineage.get(fact.get("agent", ""))
        if agent is not None and fact.get("fact") == "settle":
            settled.append(agent)
        match fact.get("fact"):
            case "reserve" if agent is not None:
                stalls.began(draft, agent)
            case "settle":
                _settled(draft, agent, fact)
            case "warn":
                _warned(draft, agent, fact)
            case "refuse" if agent is not None and fact.get("tell"):
                _cut(draft, agent, fact)
            case _:
                pass
    replacements.note_calls(draft, settled)


def record_refusals(draft: Draft, facts: Sequence[tuple[StreamId, Fact]]) -> None:
    """An entry for each agent, turn and rule, right after the one that has these facts, and what is
    done about it.
    """
    for refusal in refused_in_turns(fact for _, fact in facts):
        _refused(draft, refusal)
        corrections.note_refusal(draft, refusal)


def _refused(draft: Draft, refusal: TurnRefusal) -> None:
    agent = draft.lineage.get(refusal.agent)
    name = agent.name if agent is not None else refusal.agent
    often = f" ({refusal.count} times)" if refusal.count > 1 else ""
    detail = refusal.detail[:REFUSAL_DETAIL_MAX]
    text = (
        f"turn {refusal.turn} of {name}: {refusal.moves or 'it'} is refused by "
        f"{refusal.rule}{often}: {detail}"
    )
    draft.record(
        JournalEvent.TURN_REFUSED,
        text,
        actor=refusal.agent,
        rule=refusal.rule,
        detail=detail,
        mission=_mission_of(agent, refusal.account),
        turn=refusal.turn,
        count=refusal.count,
        moves=refusal.moves.split(),
    )


def _mission_of(agent: Agent | None, account: str) -> str:
    """An agent's own; of a seat the one that it serves, whose account its calls are charged to."""
    if agent is None:
        return ""
    return account if agent.is_seat and account != SOB else agent.mission


def _settled(draft: Draft, agent: Agent | None, fact: Fact) -> None:
    if agent is not None:
        stalls.got_on(draft, agent)
        corrections.note_turn(draft, agent, number_in(fact.get("call", "").partition(":")[0]))
    over = _overdraft(fact)
    if not over:
        return
    detail = ", ".join(f"{n:,} {kind}" for kind, n in over.items()) + " beyond the reserve"
    _record_overdraft(draft, agent, fact, over, detail)
    if agent is None:
        return
    if agent.is_seat:
        _exhaust(draft, MissionId(fact.get("account", "")), detail)
    elif agent.tier > 0:
        orphans.hold(draft, agent, Rule.BUDGET_OVERDRAFT, detail)


def _record_overdraft(
    draft: Draft, agent: Agent | None, fact: Fact, over: Mapping[str, int], detail: str
) -> None:
    account = MissionId(fact.get("account", ""))
    serves = account if account in draft.swarm.missions else ""
    draft.record(
        JournalEvent.ACCOUNT_OVERDRAWN,
        f"a call of {fact.get('agent', '')} spent {detail}",
        actor=fact.get("agent", ""),
        mission=(agent.mission if agent is not None else "") or serves,
        rule=Rule.BUDGET_OVERDRAFT,
        account=account,
        call=fact.get("call", ""),
        overdraft=over,
    )


def _exhaust(draft: Draft, id: MissionId, detail: str) -> None:
    """The board's own part of a mission's budget is what was overdrawn: there is no one to fund
    it.
    """
    mission = draft.swarm.missions.get(id)
    if mission is not None:
        reason = f"{Rule.BUDGET_OVERDRAFT}: {detail}"
        queue.end(draft, mission, MissionState.EXHAUSTED, reason, by=SUPERVISOR)


def _warned(draft: Draft, agent: Agent | None, fact: Fact) -> None:
    """Once for an account: the script sees to that."""
    account = fact.get("account", "")
    what, data = _warning_of(fact)
    mission = draft.swarm.missions.get(MissionId(account))
    if mission is not None:
        about, text = mission.id, f"mission {mission.id} {what}"
        draft.add(board_notice(draft.moment, about, text, data))
    elif account == SOB:
        # Nobody's mission is to hear of it: whoever looks after the swarm is.
        about = MissionId("")
        draft.add(board_notice(draft.moment, about, _of_root(draft, what), data))
    elif agent is not None and agent.id == account:
        about = agent.mission
        notices.tell_superior(draft, agent, what, data=data)
    else:
        return
    text, event = f"{account} {what}", JournalEvent.ACCOUNT_WARNED
    draft.record(event, text, actor=SUPERVISOR, mission=about, more=data)


def _of_root(draft: Draft, what: str) -> str:
    period = draft.swarm.declared.limits.root_period
    ends = f"it begins anew with the next {period}" if period else "it is never renewed"
    return (
        f"The swarm's root {what}. New missions get what is left; {ends}. `swarmd fund sob` adds."
    )


def _warning_of(fact: Fact) -> tuple[str, dict[str, Any]]:
    """In words, and as facts."""
    account, kind = fact.get("account", ""), fact.get("kind", "")
    own, left = number_in(fact.get("own")), number_in(fact.get("left"))
    used = 100 * (own - left) // max(1, own)
    what = f"has used {used} % of its own {kind}: {left:,} of {own:,} left"
    return what, {"account": account, "warned": kind, "own": own, "left": left}


def _overdraft(fact: Fact) -> dict[str, int]:
    """By kind; nothing where the fact says none, or cannot be read."""
    try:
        amounts: Any = json.loads(fact.get("amounts", "{}"))
        return {str(kind): int(n) for kind, n in amounts["overdraft"].items() if int(n) > 0}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return {}


def _cut(draft: Draft, agent: Agent, fact: Fact) -> None:
    """Whoever should have had the messages learns once that some were not sent, and by which
    rule.
    """
    rule = CUT_RULES.get(fact.get("rule", ""))
    if rule is None:
        return
    told = _cut_notice(draft, agent, rule, fact)
    for channel in _recipients(draft, agent, Channel(fact.get("channel", "")), fact.get("to", "")):
        sender = CLERK if channel == BOARD_ROOM else SUPERVISOR
        draft.add(Post(channel, replace(told, sender=sender)))


def _cut_notice(draft: Draft, agent: Agent, rule: Rule, fact: Fact) -> Message:
    of_whom, why = f"{agent.name} ({agent.id})", f"{rule}: {fact.get('detail', '')}"
    count = number_in(fact.get("count"))
    what = f"messages of {of_whom} to you are cut" if count else f"what {of_whom} says is cut"
    return Message(
        sender=SUPERVISOR,
        kind=Kind.NOTICE,
        mission=agent.mission,
        at=draft.stamp,
        text=f"{what} by {why}",
        data={"agent": agent.id, "cut": rule.value, "count": count},
        hops=number_in(fact.get("hops")),
    )


def _recipients(draft: Draft, agent: Agent, channel: Channel, to: str) -> list[Channel]:
    """Where those can be told who would have read it: never on a channel that is somebody else's
    to write on.
    """
    lineage, (kind, _, name) = draft.lineage, channel.partition(":")
    match kind:
        case "room":
            return [channel]
        case "up" if name == SOB:
            return [BOARD_ROOM]
        case "up" | "inbox":
            return [inbox(AgentId(name))] if lineage.get(name) else []
        case "down":
            return [inbox(c.id) for c in lineage.children(agent.id) if to in ("", "*", c.id)]
        case _:
            # A request: whom it would have reached is the supervisor, who knows it now.
            return []
