"""What becomes of an agent that fails, and of those it leaves behind. Pure.

Nothing here is ordered by anybody: crash, empty account, passed deadline, a model that failed for
good. The role's declared policy says what happens to the children: `cascade` ends them too, `adopt`
gives them to the creator's own creator, `hold` does that and freezes them until an operator
decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from swarmd.core.actions import authority
from swarmd.core.actions import stop as stop_action
from swarmd.core.board import agenda
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import AgentAdopted, AgentRestarted, Post
from swarmd.core.model.channels import inbox
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, Fence, Stop, StopKind, follows
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import SOB, SUPERVISOR, AgentId, AgentState, Authority, HostId
from swarmd.core.model.posts import host_notice
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree import notices
from swarmd.core.tree.fence import fence, fence_alone

_OURSELVES: Final = Actor(SUPERVISOR, Authority.LINEAGE)


def give_up(
    draft: Draft, agent: Agent, reason: str, *, hops: int = 0, taint: tuple[str, ...] = ()
) -> None:
    """The agent ends; its children have what its role declares."""
    swarm, moment = draft.swarm, draft.moment
    if swarm.lineage.is_ending(agent):
        return
    policy, children = _orphan_policy(swarm, agent), swarm.lineage.children(agent.id)
    mark = Fence(agent.id, reason[:2000], SUPERVISOR, moment.now, hops=hops, taint=taint)
    if policy == "cascade" or not children:
        draft.add(*fence(swarm, mark, moment, mission=agent.mission))
        return
    # Itself alone is fenced, then its children leave it, in the same commit: none of them is ever
    # without a parent.
    draft.add(*fence_alone(swarm, agent, mark, moment))
    for child in children:
        _adopt(draft, child, agent, is_held=policy == "hold")


def _orphan_policy(swarm: Swarm, agent: Agent) -> str:
    role = swarm.declared.roles.get(agent.role)
    return role.orphans if role is not None else "cascade"


def _adopt(draft: Draft, child: Agent, former: Agent, *, is_held: bool) -> None:
    adopted = _under_its_grandparent(child, former)
    assert former.parent is not None
    account = adopted.mission if adopted.parent == SOB else former.parent
    rooms = draft.swarm.declared.rooms
    draft.add(AgentAdopted(adopted, former.id, follows(adopted, rooms), account))
    if child.host in draft.swarm.hosts:
        data = {"agents": [child.id]}
        draft.add(host_notice(draft.moment, child.host, Kind.PLACED, "adopted", data))
    _record_adoption(draft, child, former, is_held=is_held)
    if not draft.lineage.is_ending(adopted):
        _take_over(draft, adopted, former, is_held=is_held)


def _under_its_grandparent(child: Agent, former: Agent) -> Agent:
    # A new lease: its host reads its record anew, and with it whom it reports to.
    lease = child.lease + 1 if child.host else child.lease
    return replace(child, parent=former.parent, lease=lease)


def _take_over(draft: Draft, adopted: Agent, former: Agent, *, is_held: bool) -> None:
    what = f"is yours now: its creator {former.name} has ended"
    notices.tell_superior(draft, adopted, what, data={"adopted": True})
    if is_held:
        _hold_orphan(draft, adopted, former)
    # What stopped it with its creator's subtree stops it still: that mark goes with the creator.
    above = draft.lineage.stops.get(former.id)
    if above is not None:
        _stop_too(draft, adopted.id, replace(above, at=draft.now, order="", is_told=False))


def _record_adoption(draft: Draft, child: Agent, former: Agent, *, is_held: bool) -> None:
    draft.record(
        JournalEvent.AGENT_ADOPTED,
        f"{child.id} goes from {former.id} to {former.parent}",
        actor=SUPERVISOR,
        mission=child.mission,
        agent=child.id,
        former=former.id,
        parent=former.parent,
        held=is_held,
    )


def _hold_orphan(draft: Draft, child: Agent, former: Agent) -> None:
    reason = f"held for an operator: its creator {former.id} has ended"
    now = draft.now
    held = Stop(child.id, StopKind.FREEZE, Authority.OPERATOR, reason, SUPERVISOR, now)
    _stop_too(draft, child.id, held)


def _stop_too(draft: Draft, target: str, stop: Stop) -> None:
    """The same mark on this target, unless one of the same or a better authority is there."""
    known = draft.lineage.stops.get(target)
    if known is None or known.authority < stop.authority:
        stop_action.set_stop(draft, replace(stop, target=target))


def hold(draft: Draft, agent: Agent, rule: Rule, detail: str, *, hops: int = 0) -> None:
    """Frozen alone, for a reason that its superior can mend; unmended for `hold_seconds` it is
    given up.
    """
    target = f"={agent.id}"
    if target in draft.lineage.stops or draft.lineage.is_ending(agent):
        return
    seconds = draft.swarm.declared.limits.hold_seconds
    reason = f"{rule}: {detail}"
    stop = _freeze_by(rule, target, Authority.LINEAGE, reason, draft.now)
    stop_action.set_stop(draft, replace(stop, until=draft.now + seconds))
    text = f"is frozen, {reason}; {_how_to_mend(rule, seconds)}"
    notices.tell_superior(draft, agent, text, hops=hops, data={"frozen": rule.value})


def _how_to_mend(rule: Rule, seconds: float) -> str:
    mend = "fund it" if rule.startswith("budget.") else "thaw it"
    return f"{mend} or end it within {seconds:.0f} s, or it ends by itself"


def _freeze_by(rule: Rule, target: str, authority: Authority, reason: str, at: float) -> Stop:
    return Stop(target, StopKind.FREEZE, authority, reason, SUPERVISOR, at, rule=rule.value)


def hold_for_mending(draft: Draft, target: str, detail: str) -> None:
    """Its account cannot be read: no call begins, and nobody can say what is left."""
    way_out = f"`swarmd fsck --repair`, then `swarmd thaw {target}`"
    _hold_for_an_operator(draft, target, Rule.BUDGET_UNREADABLE, f"{detail}; {way_out}")


def hold_unreadable(draft: Draft, id: AgentId) -> None:
    """Its record cannot be read. What it was given to do is lost with it, so a thaw needs it
    back (`core.actions.stop`).
    """
    way_out = f"restore it and restart, or `swarmd terminate {id}`"
    _hold_for_an_operator(draft, id, Rule.AGENT_UNREADABLE, f"its record cannot be read; {way_out}")


def _hold_for_an_operator(draft: Draft, target: str, rule: Rule, detail: str) -> None:
    """Frozen with all below it, until an operator has mended what only a person can: what the
    store holds.
    """
    swarm = draft.swarm
    known = swarm.lineage.stops.get(target)
    is_held = known is not None and known.authority is Authority.OPERATOR
    if is_held or authority.is_ending(swarm, target):
        return
    reason = f"{rule}: {detail}"
    stop = _freeze_by(rule, target, Authority.OPERATOR, reason, draft.now)
    stop_action.set_stop(draft, stop)
    agent = swarm.lineage.get(target)
    if agent is not None:
        what = f"is frozen until an operator thaws it, {reason}"
        notices.tell_superior(draft, agent, what, data={"frozen": rule.value})


def crashed(draft: Draft, agent: Agent, last_words: str, *, hops: int = 0) -> None:
    """Started anew as another incarnation, unless it does that too often: then it is held, and
    its superior told why.
    """
    limits, now = draft.swarm.declared.limits, draft.now
    if draft.lineage.is_ending(agent):
        return
    window = limits.restart_seconds
    lately = (*(at for at in agent.crashes if now - window < at <= now + window), now)
    if len(lately) > limits.restarts_max:
        detail = f"{len(lately)} crashes, the last: {last_words}"
        hold(draft, agent, Rule.CRASHED, detail, hops=hops)
    else:
        _restart(draft, _anew(draft, agent, lately, last_words), last_words, hops)


def _anew(draft: Draft, agent: Agent, crashes: tuple[float, ...], last_words: str) -> Agent:
    # One that is stopped itself stays so, and is placed when it is thawed.
    is_stopped = stop_action.own_stop(draft.swarm, agent) is not None
    return replace(
        agent,
        incarnation=agent.incarnation + 1,
        state=agent.state if is_stopped else AgentState.STARTING,
        host=HostId(""),
        crashes=crashes,
        reason=f"crashed: {last_words}"[:2000],
    )


def _restart(draft: Draft, agent: Agent, last_words: str, hops: int) -> None:
    crashes = len(agent.crashes)
    draft.add(
        AgentRestarted(agent, agent.id, follows(agent, draft.swarm.declared.rooms)),
        Post(inbox(agent.id), _charter_again(draft, agent, last_words, hops)),
    )
    draft.record(
        JournalEvent.AGENT_RESTARTED,
        f"{agent.id} crashed and starts anew: {last_words}"[:2000],
        actor=SUPERVISOR,
        mission=agent.mission,
        agent=agent.id,
        incarnation=agent.incarnation,
        crashes=crashes,
        rule=Rule.CRASHED,
    )


def _charter_again(draft: Draft, agent: Agent, last_words: str, hops: int) -> Message:
    assert agent.charter is not None
    assert agent.parent is not None
    return Message(
        sender=agent.parent,
        to=agent.id,
        kind=Kind.CHARTER,
        mission=agent.mission,
        at=draft.stamp,
        text=agent.charter.task,
        hops=hops,
        data={"restarted": len(agent.crashes), "last_words": last_words[:1000]},
    )


def tick(draft: Draft) -> None:
    """What time brings: passed deadlines of agents, holds that nobody mended, drains whose grace
    is over.
    """
    _end_overdue(draft)
    _end_unmended(draft)


def _end_overdue(draft: Draft) -> None:
    for id, deadline in list(draft.swarm.deadlines.items()):
        agent = draft.lineage.get(id)
        if agent is not None and deadline <= draft.now:
            give_up(draft, agent, f"{Rule.DEADLINE}: its deadline has passed")


def _end_unmended(draft: Draft) -> None:
    swarm, now = draft.swarm, draft.now
    for stop in list(swarm.lineage.stops.values()):
        agent = swarm.lineage.get(stop.target[1:]) if stop.target.startswith("=") else None
        is_over = stop.kind is StopKind.FREEZE and stop.until and stop.until <= now
        # What an operator or the board stopped waits for their word, however long; and while the
        # board deliberates on it, nobody takes the decision from it.
        if agent is None or not is_over or agenda.is_before_board(swarm, agent):
            continue
        if authority.outranked(swarm, _OURSELVES, agent) is None:
            give_up(draft, agent, stop.reason)
