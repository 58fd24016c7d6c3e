"""What a superior does about those below it: stop, thaw, end, grant, revoke, fund. Pure.

One surface for an ancestor, a carried motion and an operator: who asks decides only whom it may reach and
what outranks it (law 6). A refusal names its rule and changes nothing. What a stop or an end brought about is
told when it was seen (`reconcile`), never when it was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, assert_never

from swarmd.core import approvals, docket
from swarmd.core.approvals import Need
from swarmd.core.law import decide_terminate, fence, may_grant
from swarmd.core.lineage import EVERYTHING, Agent, Stop, StopKind
from swarmd.core.messages import Message
from swarmd.core.moves import AMOUNT_MAX, KINDS, Verb
from swarmd.core.names import (
    BOARD_ROOM,
    CLERK,
    OPERATOR,
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    Authority,
    HostId,
    Kind,
    MissionId,
    MissionState,
    Rule,
    host_channel,
    inbox,
)
from swarmd.core.privileges import Held, Revocation, Right, covers, is_path, overlaps
from swarmd.core.swarm import (
    AccountCleared,
    AccountFunded,
    AgentSet,
    Denied,
    Draft,
    Post,
    RevocationsSet,
    RightsSet,
    StopLifted,
    StopSet,
    Swarm,
    entry,
)
from swarmd.core.taint import KEY as TAINT

# Marks of one segment; each is looked at before each call below it, and a new one takes in those that it covers.
REVOCATIONS_MAX: Final = 256

_STOPS: Final[dict[str, StopKind]] = {
    "freeze": StopKind.FREEZE, "drain": StopKind.DRAIN, "halt": StopKind.HALT,
}  # fmt: skip
_STATES: Final = {
    StopKind.FREEZE: AgentState.FROZEN, StopKind.HALT: AgentState.FROZEN, StopKind.DRAIN: AgentState.DRAINING,
}  # fmt: skip
_TIER: Final = re.compile(r"tier:\d{1,2}")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and with what authority. A motion reaches the agents of its mission, an agent its descendants."""

    id: str
    authority: Authority
    mission: MissionId = MissionId("")
    hops: int = 0
    order: str = ""  # the operator's own id of it: the answer in the journal carries it
    taint: tuple[str, ...] = ()  # of the turn that wishes it


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked, whoever asks it. `grace_seconds` is a drain's."""

    verb: Verb | Literal["cancel"]
    target: str
    reason: str
    privilege: str = ""
    right: Right = "both"
    amounts: Mapping[Any, int] | None = None  # by kind
    grace_seconds: float = 60.0


def do(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    """Done whole, or the rule that refuses it."""
    match wish.verb:
        case "freeze" | "drain" | "halt":
            return _stop(draft, actor, wish)
        case "thaw":
            return _thaw(draft, actor, wish)
        case "terminate" | "cancel":
            return _end(draft, actor, wish)
        case "grant" | "revoke":
            return _change_rights(draft, actor, wish)
        case "fund":
            return _fund(draft, actor, wish)
        case "approve" | "deny":
            return approvals.answer(
                draft, id=wish.target, is_approved=wish.verb == "approve", by=actor.id, authority=actor.authority,
                mission=actor.mission, order=actor.order,
            )  # fmt: skip
        case _:
            assert_never(wish.verb)


# --- leave ------------------------------------------------------------------------------------


def leave_needed(swarm: Swarm, actor: Actor, wish: Wish) -> Need | None:
    return approvals.for_act(swarm.declared.limits, wish.verb, wish.privilege, actor.authority, actor.taint)


def facts_of(swarm: Swarm, actor: Actor, wish: Wish) -> dict[str, Any] | Denied:
    """A wish in typed facts, for whoever gives leave; or why it would be refused whatever leave there is."""
    target = wish.target
    if wish.verb in ("approve", "deny"):
        denied = approvals.may_answer(
            swarm, id=target, by=actor.id, authority=actor.authority, mission=actor.mission
        )
    else:
        found = find(swarm, actor, target)
        denied = found if isinstance(found, Denied) else None
        if isinstance(found, Agent):
            target = found.id
            if wish.verb == "terminate":
                sovereign = actor.authority is not Authority.LINEAGE
                denied = decide_terminate(swarm, actor.id, found, is_sovereign=sovereign)
    if denied is not None:
        is_end = wish.verb == "terminate" and denied.rule is Rule.AUTHORITY
        return Denied(Rule.TERMINATE_DESCENDANT, denied.detail) if is_end else denied
    facts: dict[str, Any] = {"action": "act", "verb": wish.verb, "agent": actor.id, "target": target}
    if wish.verb in ("grant", "revoke"):
        facts |= {"privilege": wish.privilege if is_path(wish.privilege) else "", "right": wish.right}
    return facts | ({"budget": dict(wish.amounts)} if wish.amounts else {})


# --- whom -------------------------------------------------------------------------------------


def find(swarm: Swarm, actor: Actor, reference: str) -> Agent | Denied:
    """The living agent that is meant, if the actor may reach it at all."""
    match actor.authority:
        case Authority.OPERATOR:
            return swarm.lineage.get(reference) or Denied(Rule.UNKNOWN_AGENT, reference)
        case Authority.BOARD:
            return find_of_mission(swarm, actor.mission, reference)
        case Authority.LINEAGE:
            own = AgentId(actor.id)
            found = swarm.lineage.find_child(own, reference) or swarm.lineage.get(reference)
            if found is None:
                return Denied(Rule.UNKNOWN_AGENT, reference)
            if not swarm.lineage.is_ancestor(own, found):
                return Denied(Rule.AUTHORITY, f"{found.id} is no descendant of yours")
            return found
        case _:
            assert_never(actor.authority)


def find_of_mission(swarm: Swarm, mission: MissionId, reference: str) -> Agent | Denied:
    """A living agent of this mission by id, or one of its executives by name or key."""
    agent = swarm.lineage.get(reference)
    if agent is None:
        named = [e for e in swarm.executives(mission) if reference in (e.name, e.key)]
        if not named:
            return Denied(Rule.UNKNOWN_AGENT, reference)
        agent = named[0]
    if agent.mission != mission:
        return Denied(Rule.MISSION_OTHER, f"{reference} serves {agent.mission or 'the board'}")
    return agent


def _is_special(target: str) -> bool:
    """More than one agent's subtree: an operator's alone to name."""
    return target == EVERYTHING or bool(_TIER.fullmatch(target)) or target.startswith(("room:", "use:", "="))


def _stop_target(swarm: Swarm, actor: Actor, target: str) -> Agent | str | Denied:
    """An agent, or the target of a stop that is none; what it names has to be there."""
    if actor.authority is not Authority.OPERATOR or not (
        _is_special(target) or MissionId(target) in swarm.missions
    ):
        return find(swarm, actor, target)
    alone = swarm.lineage.get(target[1:])
    if target.startswith("=") and alone is None:
        return Denied(Rule.UNKNOWN_AGENT, target[1:])
    if target.startswith("use:") and not is_path(target[4:]):
        return Denied(Rule.STOP_TARGET, f"{target[4:]!r} is no privilege path")
    return target


def _outranks(swarm: Swarm, mark: Stop | Revocation, actor: Actor) -> bool:
    """Is the mark the word of a better one? Of two ancestors that is the one above."""
    if mark.authority != actor.authority:
        return mark.authority > actor.authority
    own = swarm.lineage.get(actor.id) if actor.authority is Authority.LINEAGE else None
    return own is not None and mark.by in own.path[:-1]


# --- stop and thaw ----------------------------------------------------------------------------


def _stop(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    swarm, kind = draft.swarm, _STOPS[wish.verb]
    found = _stop_target(swarm, actor, wish.target)
    if isinstance(found, Denied):
        return found
    target = found.id if isinstance(found, Agent) else found
    denied = _refusal_to_drain(found) if kind is StopKind.DRAIN else None
    if denied is not None:
        return denied
    if is_ending(swarm, target):
        return Denied(Rule.FENCED, f"{target} is ending already")
    before = swarm.lineage.stops.get(target)
    if before is not None and _outranks(swarm, before, actor):
        return Denied(Rule.PRECEDENCE, f"{target} is stopped by {before.by} already")
    if kind is StopKind.DRAIN and isinstance(found, Agent):
        # It ends what it drains.
        denied = outranked(swarm, actor, found)
        if denied is not None:
            return denied
    if before is not None:
        leave_unseen(draft, before, f"{actor.id} stopped it anew")
    set_stop(
        draft,
        Stop(
            target, kind, actor.authority, wish.reason, actor.id, draft.moment.now, actor.order,
            until=draft.moment.now + wish.grace_seconds if kind is StopKind.DRAIN else 0.0,
        ),
        before,
    )  # fmt: skip
    if isinstance(found, Agent) and actor.authority is not Authority.LINEAGE:
        tell_superior(
            draft,
            found,
            f"was stopped ({kind}) by {actor.id}: {wish.reason}",
            taint=actor.taint,
            stopped=kind.value,
        )
    return None


def _refusal_to_drain(found: Agent | str) -> Denied | None:
    """A drain ends what it drained: never the board, and an agent only with all below it."""
    if isinstance(found, Agent):
        return Denied(Rule.TERMINATE_DESCENDANT, f"{found.id} is the board's") if found.tier == 0 else None
    if found.startswith(("room:", "use:")):
        return Denied(Rule.STOP_TARGET, f"{found} has no turns to drain: freeze it")
    if found.startswith("=") or found == "tier:0":
        return Denied(Rule.STOP_TARGET, f"{found} cannot be ended by itself: freeze it")
    return None


def is_ending(swarm: Swarm, target: str) -> bool:
    """Of a stop's target: an agent or a mission on its way out."""
    agent, mission = swarm.lineage.get(target.removeprefix("=")), swarm.missions.get(MissionId(target))
    if agent is not None:
        return swarm.lineage.is_ending(agent)
    return mission is not None and mission.ending is not None


def leave_unseen(draft: Draft, stop: Stop, why: str) -> None:
    """The stop goes before anybody has seen it take hold: an order of it is not done, and not left without an answer."""
    if stop.order and not stop.is_told:
        detail = f"{stop.kind} {stop.target} was not seen through: {why}"
        draft.add(
            entry(
                draft.moment, "order refused", detail, actor=OPERATOR, rule=Rule.STOP_TARGET, order=stop.order,
                outcome="refused", detail=detail,
            )
        )  # fmt: skip


def set_stop(draft: Draft, stop: Stop, replaced: Stop | None = None) -> None:
    """The mark first, in one write, then the hosts are told; what they see is told by `reconcile.tell_stops`.

    A target has one mark: what it `replaced` is in the journal, for a thaw lifts only what stands.
    """
    swarm, moment = draft.swarm, draft.moment
    was = (
        f" (replaces the {replaced.kind} by {replaced.by}: {replaced.reason})" if replaced is not None else ""
    )
    draft.add(StopSet(stop))
    root = swarm.lineage.get(stop.target.removeprefix("="))
    if root is not None and root.id != SOB:
        draft.add(AgentSet(replace(root, state=_STATES[stop.kind], reason=stop.reason[:2000])))
    ask_hosts(draft, stop)
    draft.add(
        entry(
            moment, "stopping", f"{stop.by}: {stop.kind} {stop.target}: {stop.reason}{was}"[:2000], actor=stop.by,
            target=stop.target, kind=stop.kind.value, agents=len(swarm.lineage.stopped_by(stop.target)),
            mission=root.mission if root else "",
            more={**(_order(stop.order, "marked") or {}), **({"replaced": replaced.reason[:2000]} if replaced else {})},
            rule=Rule(stop.rule) if stop.rule else None,
        )
    )  # fmt: skip


def ask_hosts(draft: Draft, stop: Stop) -> None:
    """Every host that runs what a stop holds is told of it, and answers with what it sees there."""
    for host in hosts_under(draft.swarm, stop):
        data = {"target": stop.target, "kind": stop.kind.value, "at": stop.at, "until": stop.until}
        message = Message(
            sender=SUPERVISOR, kind=Kind.STOPPED, at=draft.moment.stamp, text=stop.target, data=data
        )
        draft.add(Post(host_channel(host), message))


def hosts_under(swarm: Swarm, stop: Stop) -> list[HostId]:
    return sorted({a.host for a in swarm.lineage.stopped_by(stop.target) if a.host})


def _thaw(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    swarm, target = draft.swarm, wish.target
    targets: tuple[str, ...] = (target,)
    is_no_agent = _is_special(target) or MissionId(target) in swarm.missions
    if actor.authority is not Authority.OPERATOR or not is_no_agent:
        found = find(swarm, actor, target)
        if isinstance(found, Denied):
            return found
        # Of an agent both marks are meant: on its subtree, and on itself alone.
        targets = (found.id, f"={found.id}")
    stops = [swarm.lineage.stops[t] for t in targets if t in swarm.lineage.stops]
    if not stops:
        return Denied(Rule.STOP_TARGET, f"{target} is not stopped itself")
    if is_ending(swarm, targets[0]):
        return Denied(Rule.FENCED, f"{target} is ending already")
    better = next((stop for stop in stops if _outranks(swarm, stop, actor)), None)
    if better is not None:
        return Denied(Rule.PRECEDENCE, f"{better.target} was stopped by {better.by}")
    agent = swarm.lineage.get(targets[0])
    if agent is not None and not agent.charter and stops[0].rule == Rule.AGENT_UNREADABLE:
        return Denied(Rule.AGENT_UNREADABLE, f"what {agent.id} was to do is lost with its record: end it")
    for stop in stops:
        order = actor.order if stop is stops[-1] else ""
        lift(draft, stop, by=actor.id, reason=wish.reason, order=order)
    return None


def own_stop(swarm: Swarm, agent: Agent) -> Stop | None:
    """The mark that its record shows: on its subtree, or on itself alone."""
    stops = swarm.lineage.stops
    return stops.get(agent.id) or stops.get(f"={agent.id}")


def lift(draft: Draft, stop: Stop, *, by: str, reason: str, order: str = "") -> None:
    """The mark goes; what waited under it goes on where it was."""
    swarm = draft.swarm
    held = swarm.lineage.stopped_by(stop.target)
    hosts = sorted({agent.host for agent in held if agent.host})
    draft.add(StopLifted(stop.target))
    leave_unseen(draft, stop, f"{by} let it go on")
    for agent in held:
        # Nobody gets on while stopped.
        swarm.note_progress(agent, draft.moment.now)
    root = swarm.lineage.get(stop.target.removeprefix("="))
    if root is not None and root.id != SOB and not swarm.lineage.is_ending(root):
        left = own_stop(swarm, root)
        resting = AgentState.LIVE if root.host in swarm.hosts else AgentState.STARTING
        state, why = (_STATES[left.kind], left.reason[:2000]) if left is not None else (resting, "")
        draft.add(AgentSet(replace(root, state=state, reason=why)))
        if stop.rule.startswith("budget."):
            draft.add(AccountCleared(root.id))
    for host in hosts:
        message = Message(sender=SUPERVISOR, kind=Kind.THAWED, at=draft.moment.stamp, text=stop.target)
        draft.add(Post(host_channel(host), message))
    draft.add(
        entry(
            draft.moment, "thawed", f"{by} lets {stop.target} go on: {reason}"[:2000], actor=by,
            target=stop.target, mission=root.mission if root else "", more=_order(order, "done"),
        )
    )  # fmt: skip


# --- end --------------------------------------------------------------------------------------


def _end(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    swarm, target = draft.swarm, wish.target
    is_many = wish.verb == "cancel" or MissionId(target) in swarm.missions or _is_special(target)
    if actor.authority is Authority.OPERATOR and is_many:
        return _end_many(draft, actor, wish)
    found = find(swarm, actor, target)
    if isinstance(found, Denied):
        if found.rule is Rule.AUTHORITY:
            return Denied(Rule.TERMINATE_DESCENDANT, found.detail)
        return found
    sovereign = actor.authority is not Authority.LINEAGE
    denied = decide_terminate(swarm, actor.id, found, is_sovereign=sovereign)
    if denied is None and swarm.lineage.is_ending(found):
        denied = Denied(Rule.FENCED, f"{found.id} is ending already")
    denied = denied or outranked(swarm, actor, found) or overruled(swarm, actor.authority, "spawn", found)
    if denied is None:
        end_agent(draft, found, actor, wish.reason)
    return denied


def outranked(swarm: Swarm, actor: Actor, agent: Agent) -> Denied | None:
    """What a better one stopped is kept as it is: neither thawed nor ended by those below, nor with what is above it."""
    for stop in swarm.lineage.stops.values():
        root = swarm.lineage.get(stop.target.removeprefix("="))
        is_below = root is not None and agent.id in root.path
        if (is_below or stop.holds(agent)) and _outranks(swarm, stop, actor):
            return Denied(Rule.PRECEDENCE, f"{stop.target} is held by {stop.by}")
    return None


def overruled(
    swarm: Swarm, authority: Authority, kind: Literal["grant", "spawn"], agent: Agent, path: str = ""
) -> Denied | None:
    """Would what is wished change what a better one's override set, at this agent or below it?"""
    for override in swarm.overrides.values():
        if override.kind != kind or override.authority <= authority:
            continue
        if path and not overlaps(path, str(override.after["privilege"])):
            continue
        target = swarm.lineage.get(override.target)
        if target is not None and agent.id in target.path:
            return Denied(Rule.OVERRIDE_ACTIVE, f"{override.id}, by {override.by}, stands at {target.id}")
    return None


def end_agent(draft: Draft, agent: Agent, actor: Actor, reason: str) -> None:
    draft.add(
        *fence(
            draft.swarm, agent.id, reason=reason, by=actor.id, moment=draft.moment, mission=agent.mission,
            order=actor.order, hops=actor.hops, taint=actor.taint,
        )
    )  # fmt: skip


def _end_many(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    """A mission, a tier, or every mission: each is fenced, and the order is answered when the last one is gone."""
    swarm, target = draft.swarm, wish.target
    if target.startswith(("room:", "use:")):
        return Denied(Rule.STOP_TARGET, f"{target} is nothing that ends: freeze it, or revoke a privilege")
    if target.startswith("="):
        return Denied(Rule.STOP_TARGET, f"ending {target[1:]} ends all below it: name it without =")
    if _TIER.fullmatch(target):
        agents = [a for a in swarm.lineage.stopped_by(target) if not swarm.lineage.is_ending(a)]
        if target == "tier:0" or not agents:
            return Denied(Rule.STOP_TARGET, f"no agent that can be ended stands at {target}")
        for agent in agents:
            end_agent(draft, agent, actor, wish.reason)
        return None
    wanted = list(swarm.missions) if target == EVERYTHING else [MissionId(target)]
    open_ones = [swarm.missions[id] for id in wanted if id in swarm.missions]
    ending = [mission for mission in open_ones if mission.ending is None]
    if not ending:
        what = f"{target} is ending already" if open_ones else target
        return Denied(Rule.UNKNOWN_MISSION, what)
    reason = wish.reason or "cancelled by the operator"
    for mission in ending:
        docket.end(draft, mission, MissionState.CANCELLED, reason, by=actor.id, order=actor.order)
    return None


# --- privileges -------------------------------------------------------------------------------


def _change_rights(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    found = find(draft.swarm, actor, wish.target)
    if isinstance(found, Denied):
        return found
    if not is_path(wish.privilege):
        return Denied(Rule.REQUEST_INVALID, f"{wish.privilege!r} is no privilege path")
    denied = is_over(draft.swarm, found)
    denied = denied or overruled(draft.swarm, actor.authority, "grant", found, wish.privilege)
    if denied is not None:
        return denied
    if wish.verb == "revoke":
        return _revoke(draft, actor, found, wish)
    return _grant(draft, actor, found, wish)


def is_over(swarm: Swarm, agent: Agent) -> Denied | None:
    """The rights of what is ending are no more to be changed. It begins nothing; and whom it made may live on as
    another's and has it in the path still: a mark on it would reach them, of whom nobody spoke.
    """
    return Denied(Rule.FENCED, f"{agent.id} is ending already") if swarm.lineage.is_ending(agent) else None


def _grant(draft: Draft, actor: Actor, agent: Agent, wish: Wish) -> Denied | None:
    swarm, path = draft.swarm, wish.privilege
    denied = may_be_granted(swarm, actor, agent, path)
    if denied is not None:
        return denied
    rights: tuple[Right, ...] = ("use", "grant") if wish.right == "both" else (wish.right,)
    number = swarm.number + 1
    changed = agent
    for right in rights:
        changed = changed.holding(Held(path, right, number, actor.id, draft.moment.stamp))
    draft.add(
        RightsSet(changed),
        entry(
            draft.moment, "granted", f"{actor.id} grants {agent.id} {path} ({wish.right}): {wish.reason}"[:2000],
            actor=actor.id, mission=agent.mission, agent=agent.id, privilege=path, right=wish.right,
            number=number, more=_order(actor.order, "done"),
        ),
    )  # fmt: skip
    return None


def may_be_granted(swarm: Swarm, actor: Actor, agent: Agent, path: str) -> Denied | None:
    if any(overlaps(path, no) for no in swarm.declared.limits.forbidden):
        return Denied(Rule.PRIVILEGE_FORBIDDEN, path)
    for mark in swarm.lineage.marks_on(agent):
        if _outranks(swarm, mark, actor) and overlaps(mark.path, path):
            return Denied(Rule.PRECEDENCE, f"{mark.path} was revoked by {mark.by} at {mark.segment}")
    if actor.authority is Authority.LINEAGE:
        return may_grant(swarm, swarm.lineage.agents[AgentId(actor.id)], path)
    return None


def _revoke(draft: Draft, actor: Actor, agent: Agent, wish: Wish) -> Denied | None:
    """One mark, whatever lies below it: the next action of every descendant meets it."""
    swarm = draft.swarm
    mark = Revocation(
        agent.id, wish.privilege, wish.right, swarm.number + 1, actor.id, draft.moment.stamp,
        wish.reason, actor.authority,
    )  # fmt: skip
    before = swarm.lineage.revocations.get(agent.id, ())
    kept = tuple(old for old in before if _outranks(swarm, old, actor) or not _is_taken_in(old, mark))
    if len(kept) >= REVOCATIONS_MAX:
        return Denied(Rule.REQUEST_INVALID, f"{len(kept)} revocations at {agent.id}: revoke a subtree (/**)")
    below = len(swarm.lineage.below(agent.id))
    draft.add(
        RevocationsSet(agent.id, (*kept, mark)),
        entry(
            draft.moment, "revoked",
            f"{actor.id} revokes {wish.privilege} ({wish.right}) of {agent.id}: {wish.reason}"[:2000],
            actor=actor.id, mission=agent.mission, agent=agent.id, privilege=wish.privilege, right=wish.right,
            number=mark.number, agents=below, more=_order(actor.order, "done"),
        ),
    )  # fmt: skip
    return None


def _is_taken_in(old: Revocation, new: Revocation) -> bool:
    return covers(new.path, old.path) and new.right in (old.right, "both")


# --- budget -----------------------------------------------------------------------------------


def account_above(swarm: Swarm, target: str) -> str | None:
    """The account that another one was carved from; empty for the root, `None` where there is no such account."""
    if target == SOB:
        return ""
    if MissionId(target) in swarm.missions:
        return SOB
    agent = swarm.lineage.get(target)
    if agent is None or agent.is_seat:
        return None
    return agent.mission if agent.parent == SOB else str(agent.parent)


def _fund(draft: Draft, actor: Actor, wish: Wish) -> Denied | None:
    swarm, amounts = draft.swarm, {str(k): n for k, n in (wish.amounts or {}).items() if n and k in KINDS}
    if not amounts:
        return Denied(Rule.REQUEST_INVALID, "fund with what? amounts of " + ", ".join(KINDS))
    target = wish.target
    if actor.authority is not Authority.OPERATOR:
        found = find(swarm, actor, target)
        if isinstance(found, Denied):
            return found
        target = found.id
    above = account_above(swarm, target)
    if above is None:
        return Denied(Rule.UNKNOWN_AGENT, f"{target} has no account")
    own = {Authority.LINEAGE: actor.id, Authority.BOARD: actor.mission}.get(actor.authority, above)
    if above != own:
        return Denied(
            Rule.AUTHORITY, f"{target} lives on the account of {above}: only that one can add to it"
        )
    if above and MissionId(target) in swarm.missions and target not in swarm.boards:
        return Denied(Rule.UNKNOWN_MISSION, f"{target} has no account yet")
    free = swarm.free.get(above, {})
    short = [
        f"{k}: {n} asked, {free.get(k, 0)} free" for k, n in amounts.items() if above and free.get(k, 0) < n
    ]
    if short:
        return Denied(Rule.BUDGET_SHARE, ", ".join(short))
    caps = swarm.caps.get(target, {})
    over = [k for k, n in amounts.items() if caps.get(k, 0) + n > AMOUNT_MAX]
    if over:
        return Denied(Rule.BUDGET_SHARE, f"{over[0]}: an account holds {AMOUNT_MAX:,} at most")
    draft.add(
        AccountFunded(target, above, amounts),
        entry(
            draft.moment, "funded", f"{actor.id} adds to {target}: " + ", ".join(f"{n} {k}" for k, n in amounts.items()),
            actor=actor.id, mission=actor.mission, account=target, amounts=amounts, more=_order(actor.order, "done"),
        ),
    )  # fmt: skip
    stop = swarm.lineage.stops.get(f"={target}")
    if stop is not None and stop.rule.startswith("budget.") and not _outranks(swarm, stop, actor):
        lift(draft, stop, by=actor.id, reason="it has been funded")
    return None


# --- telling ----------------------------------------------------------------------------------


def tell_superior(
    draft: Draft, agent: Agent, what: str, *, hops: int = 0, taint: tuple[str, ...] = (), **data: object
) -> None:
    """What befell an agent, told to whom it reports: its creator, or the board's room."""
    text = f"{agent.name} ({agent.id}) {what}"[:4000]
    facts = {"agent": agent.id, "key": agent.key, **data} | ({TAINT: list(taint)} if taint else {})
    if agent.parent is None or agent.parent == SOB:
        draft.add(
            Post(
                BOARD_ROOM,
                Message(
                    sender=CLERK, kind=Kind.NOTICE, mission=agent.mission, at=draft.moment.stamp, text=text,
                    data=facts,
                ),
            )
        )  # fmt: skip
        return
    message = Message(
        sender=SUPERVISOR, to=agent.parent, kind=Kind.NOTICE, mission=agent.mission, at=draft.moment.stamp,
        text=text, data=facts, hops=hops,
    )  # fmt: skip
    draft.add(Post(inbox(agent.parent), message))


def _order(order: str, outcome: str) -> Mapping[str, str] | None:
    return {"order": order, "outcome": outcome} if order else None


BY_OPERATOR: Final = Actor(OPERATOR, Authority.OPERATOR)
