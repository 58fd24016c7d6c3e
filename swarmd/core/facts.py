"""What the supervisor does about what workers' scripts did: facts, in the order of their stream. Pure.

Decided in the commit that moves the position in that stream, so that each is acted on once, whoever dies.
Facts of agents that are no more change nothing; the journal has them all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from swarmd.core import acts, docket, orphans, stalls
from swarmd.core.journal import REFUSED_IN_TURN
from swarmd.core.lineage import Agent
from swarmd.core.messages import Message
from swarmd.core.names import (
    BOARD_ROOM,
    CLERK,
    SOB,
    SUPERVISOR,
    AgentId,
    Channel,
    Kind,
    MissionId,
    MissionState,
    Rule,
    StreamId,
    inbox,
)
from swarmd.core.swarm import Draft, Post, entry
from swarmd.core.turn import REFUSAL_DETAIL_MAX

Fact = Mapping[str, str]

RULES: Final = {rule.value: rule for rule in Rule}
CUT_RULES: Final = {rule.value: rule for rule in (Rule.RATE, Rule.REPEAT, Rule.NO_PROGRESS)}


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
    for _, fact in facts:
        agent = draft.swarm.lineage.get(fact.get("agent", ""))
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


# --- refusals ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnRefusal:
    """What one rule refused one agent in one turn."""

    agent: str
    turn: int
    rule: Rule
    count: int
    detail: str
    moves: str  # parted by spaces; empty where it was the turn itself that could not go on


def record_refusals(draft: Draft, facts: Sequence[tuple[StreamId, Fact]]) -> None:
    """An entry for each agent, turn and rule, right after the one that has these facts."""
    for refusal in refused_in_turns(fact for _, fact in facts):
        _refused(draft, refusal)


def refused_in_turns(facts: Iterable[Mapping[str, object]]) -> list[TurnRefusal]:
    """Those that the journal names one by one: of each agent, turn and rule one, in the order in which they came first.

    A committed turn tells how often its moves were refused by each rule. A script tells by itself where a turn may not
    go on at all, and of single actions, too, which its turn counts when it is committed.
    """
    found: dict[tuple[str, int, Rule], TurnRefusal] = {}
    for fact in facts:
        one = _refusal_of(fact)
        if one is None:
            continue
        key = (one.agent, one.turn, one.rule)
        before = found.get(key)
        found[key] = one if before is None else replace(before, count=before.count + one.count)
    return list(found.values())


def _refusal_of(fact: Mapping[str, object]) -> TurnRefusal | None:
    said = {name: str(value) for name, value in fact.items()}
    rule, agent = RULES.get(said.get("rule", "")), said.get("agent", "")
    if said.get("fact") != "refuse" or rule is None or not agent:
        return None
    turn, detail = said.get("turn") or said.get("step", "").partition(":")[0], said.get("detail", "")
    if said.get("of") == "turn":
        return TurnRefusal(agent, _number(turn), rule, 1, detail, "")
    if "channel" in said:
        # Messages that the bus did not carry: one fact for each of whom they were for.
        detail = f"to {said.get('to') or said['channel']}: {detail}"
        return TurnRefusal(agent, _number(turn), rule, _number(said.get("count")) or 1, detail, "message")
    if "turn" not in said:
        return None
    return TurnRefusal(
        agent, _number(turn), rule, _number(said.get("count")) or 1, detail, said.get("moves", "")
    )


def _refused(draft: Draft, refusal: TurnRefusal) -> None:
    agent = draft.swarm.lineage.get(refusal.agent)
    name = agent.name if agent is not None else refusal.agent
    often = f" ({refusal.count} times)" if refusal.count > 1 else ""
    detail = refusal.detail[:REFUSAL_DETAIL_MAX]
    text = f"turn {refusal.turn} of {name}: {refusal.moves or 'it'} is refused by {refusal.rule}{often}: {detail}"
    draft.add(
        entry(
            draft.moment, REFUSED_IN_TURN, text, actor=refusal.agent, rule=refusal.rule, detail=detail,
            mission=agent.mission if agent is not None else "",
            turn=refusal.turn, count=refusal.count, moves=refusal.moves.split(),
        )
    )  # fmt: skip


# --- the ledger -------------------------------------------------------------------------------


def _settled(draft: Draft, agent: Agent | None, fact: Fact) -> None:
    if agent is not None:
        stalls.got_on(draft, agent)
    over = _overdraft(fact)
    if not over:
        return
    account = fact.get("account", "")
    detail = ", ".join(f"{n:,} {kind}" for kind, n in over.items()) + " beyond the reserve"
    serves = MissionId(account) if account in draft.swarm.missions else MissionId("")
    draft.add(
        entry(
            draft.moment, "overdrawn", f"a call of {fact.get('agent', '')} spent {detail}", actor=fact.get("agent", ""),
            mission=agent.mission if agent is not None and agent.mission else serves, rule=Rule.BUDGET_OVERDRAFT, account=account, step=fact.get("step", ""), overdraft=over,
        )
    )  # fmt: skip
    if agent is None:
        return
    if agent.is_seat:
        _exhaust(draft, MissionId(account), detail)
    elif agent.tier > 0:
        orphans.hold(draft, agent, Rule.BUDGET_OVERDRAFT, detail)


def _exhaust(draft: Draft, id: MissionId, detail: str) -> None:
    """The board's own part of a mission's budget is what was overdrawn: there is no one to fund it."""
    mission = draft.swarm.missions.get(id)
    if mission is not None:
        reason = f"{Rule.BUDGET_OVERDRAFT}: {detail}"
        docket.end(draft, mission, MissionState.EXHAUSTED, reason, by=SUPERVISOR)


def _warned(draft: Draft, agent: Agent | None, fact: Fact) -> None:
    """Once for an account: the script sees to that."""
    account, kind = fact.get("account", ""), fact.get("kind", "")
    own, left = _number(fact.get("own")), _number(fact.get("left"))
    what = f"has used {100 * (own - left) // max(1, own)} % of its own {kind}: {left:,} of {own:,} left"
    data = {"account": account, "warned": kind, "own": own, "left": left}
    mission = draft.swarm.missions.get(MissionId(account))
    if mission is not None:
        message = Message(
            sender=CLERK, kind=Kind.NOTICE, mission=mission.id, at=draft.moment.stamp,
            text=f"mission {mission.id} {what}", data=data,
        )  # fmt: skip
        draft.add(Post(BOARD_ROOM, message))
    elif agent is not None and agent.id == account:
        acts.tell_superior(draft, agent, what, account=account, warned=kind, own=own, left=left)
    else:
        return
    about = mission.id if mission is not None else agent.mission if agent is not None else MissionId("")
    draft.add(entry(draft.moment, "warned", f"{account} {what}", actor=SUPERVISOR, mission=about, more=data))


def _overdraft(fact: Fact) -> dict[str, int]:
    """By kind; nothing where the fact says none, or cannot be read."""
    try:
        amounts: Any = json.loads(fact.get("amounts", "{}"))
        return {str(kind): int(n) for kind, n in amounts["overdraft"].items() if int(n) > 0}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return {}


def _number(text: str | None) -> int:
    return int(text) if text and len(text) < 20 and text.isdecimal() else 0


# --- the bus ----------------------------------------------------------------------------------


def _cut(draft: Draft, agent: Agent, fact: Fact) -> None:
    """Whoever should have had the messages learns once that some were not sent, and by which rule."""
    rule = CUT_RULES.get(fact.get("rule", ""))
    if rule is None:
        return
    text = f"messages of {agent.name} ({agent.id}) to you are cut by {rule}: {fact.get('detail', '')}"
    data = {"agent": agent.id, "cut": rule.value, "count": _number(fact.get("count"))}
    for channel in _recipients(draft, agent, Channel(fact.get("channel", "")), fact.get("to", "")):
        message = Message(
            sender=CLERK if channel == BOARD_ROOM else SUPERVISOR, kind=Kind.NOTICE, mission=agent.mission,
            at=draft.moment.stamp, text=text, data=data, hops=_number(fact.get("hops")),
        )  # fmt: skip
        draft.add(Post(channel, message))


def _recipients(draft: Draft, agent: Agent, channel: Channel, to: str) -> list[Channel]:
    """Where those can be told who would have read it: never on a channel that is somebody else's to write on."""
    lineage, (kind, _, name) = draft.swarm.lineage, channel.partition(":")
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
