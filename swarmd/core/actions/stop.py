"""Freeze, drain, halt and thaw: a stop is a mark on its target, set and lifted here. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from swarmd.core.actions.authority import (
    find,
    is_ending,
    is_group_target,
    outranked,
    outranks,
)
from swarmd.core.model.actions import Actor, Args
from swarmd.core.model.changes import (
    AccountCleared,
    AgentSet,
)
from swarmd.core.model.entries import order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent, Stop, StopKind
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import (
    OPERATOR,
    SOB,
    SUPERVISOR,
    AgentState,
    Authority,
    HostId,
    MissionId,
)
from swarmd.core.model.posts import host_notice
from swarmd.core.model.privileges import is_path
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import STOPS, Drop
from swarmd.core.tree.notices import tell_superior

_STATES: Final = {
    StopKind.FREEZE: AgentState.FROZEN,
    StopKind.HALT: AgentState.FROZEN,
    StopKind.DRAIN: AgentState.DRAINING,
}


def _stop_target(swarm: Swarm, actor: Actor, target: str) -> Agent | str | Denied:
    """An agent, or the target of a stop that is none; what it names has to be there."""
    if actor.authority is not Authority.OPERATOR or not (
        is_group_target(target) or MissionId(target) in swarm.missions
    ):
        return find(swarm, actor, target)
    alone = swarm.lineage.get(target[1:])
    if target.startswith("=") and alone is None:
        return Denied(Rule.UNKNOWN_AGENT, target[1:])
    if target.startswith("use:") and not is_path(target[4:]):
        return Denied(Rule.STOP_TARGET, f"{target[4:]!r} is no privilege path")
    return target


def apply_stop(
    draft: Draft, actor: Actor, args: Args, *, grace_seconds: float = 0.0
) -> Denied | None:
    """`grace_seconds` is a drain's."""
    kind = StopKind(args.verb)
    found = _stop_target(draft.swarm, actor, args.target)
    if isinstance(found, Denied):
        return found
    denied = _refuse_stop(draft.swarm, actor, kind, found)
    if denied is not None:
        return denied
    target, now = _target_of(found), draft.now
    until = now + grace_seconds if kind is StopKind.DRAIN else 0.0
    stop = Stop(target, kind, actor.authority, args.reason, actor.id, now, actor.order, until=until)
    _replace_stop(draft, stop)
    if isinstance(found, Agent) and actor.authority is not Authority.LINEAGE:
        _tell_stopped(draft, found, stop, actor.taint)
    return None


def _replace_stop(draft: Draft, stop: Stop) -> None:
    before = draft.lineage.stops.get(stop.target)
    if before is not None:
        leave_unseen(draft, before, f"{stop.by} stopped it anew")
    set_stop(draft, stop, before)


def _tell_stopped(draft: Draft, agent: Agent, stop: Stop, taint: tuple[str, ...]) -> None:
    what = f"was stopped ({stop.kind}) by {stop.by}: {stop.reason}"
    tell_superior(draft, agent, what, taint=taint, data={"stopped": stop.kind.value})


def _target_of(found: Agent | str) -> str:
    return found.id if isinstance(found, Agent) else found


def _refuse_stop(swarm: Swarm, actor: Actor, kind: StopKind, found: Agent | str) -> Denied | None:
    target, is_drain = _target_of(found), kind is StopKind.DRAIN
    denied = _refuse_drain(found) if is_drain else None
    if denied is not None:
        return denied
    if is_ending(swarm, target):
        return Denied(Rule.FENCED, f"{target} is ending already")
    before = swarm.lineage.stops.get(target)
    if before is not None and outranks(swarm, before, actor):
        return Denied(Rule.PRECEDENCE, f"{target} is stopped by {before.by} already")
    # A drain ends what it drains.
    return outranked(swarm, actor, found) if is_drain and isinstance(found, Agent) else None


def _refuse_drain(found: Agent | str) -> Denied | None:
    """A drain ends what it drained: never the board, and an agent only with all below it."""
    if isinstance(found, Agent):
        is_seat = found.tier == 0
        return Denied(Rule.TERMINATE_DESCENDANT, f"{found.id} is the board's") if is_seat else None
    if found.startswith(("room:", "use:")):
        return Denied(Rule.STOP_TARGET, f"{found} has no turns to drain: freeze it")
    if found.startswith("=") or found == "tier:0":
        return Denied(Rule.STOP_TARGET, f"{found} cannot be ended by itself: freeze it")
    return None


def leave_unseen(draft: Draft, stop: Stop, why: str) -> None:
    """The stop goes before anybody has seen it take hold: an order of it is not done, and not
    left without an answer.
    """
    if stop.order and not stop.is_told:
        detail = f"{stop.kind} {stop.target} was not seen through: {why}"
        refuse_order(draft, stop.order, Denied(Rule.STOP_TARGET, detail), detail)


def refuse_order(draft: Draft, order: str, denied: Denied, text: str) -> None:
    """The answer to an operator's order."""
    draft.record(
        JournalEvent.ORDER_REFUSED,
        text,
        actor=OPERATOR,
        rule=denied.rule,
        order=order,
        outcome="refused",
        detail=denied.detail,
    )


def set_stop(draft: Draft, stop: Stop, replaced: Stop | None = None) -> None:
    """The mark first, in one write, then the hosts are told; what they see is told by
    `control.stops.tell_stops`.

    A target has one mark: what it `replaced` is in the journal, for a thaw lifts only what stands.
    """
    draft.add(STOPS.put(stop))
    root = _root_of(draft.swarm, stop)
    if root is not None and root.id != SOB:
        draft.add(AgentSet(replace(root, state=_STATES[stop.kind], reason=stop.reason[:2000])))
    ask_hosts(draft, stop)
    _record_stop(draft, stop, replaced, mission=root.mission if root else "")


def _root_of(swarm: Swarm, stop: Stop) -> Agent | None:
    """The agent that the stop names, alone or with all below it."""
    return swarm.lineage.get(stop.target.removeprefix("="))


def _record_stop(draft: Draft, stop: Stop, replaced: Stop | None, *, mission: str) -> None:
    text = f"{stop.by}: {stop.kind} {stop.target}: {stop.reason}"
    more = dict(order_facts(stop.order, "marked") or {})
    if replaced is not None:
        text += f" (replaces the {replaced.kind} by {replaced.by}: {replaced.reason})"
        more["replaced"] = replaced.reason[:2000]
    held = draft.lineage.stopped_by(stop.target)
    draft.record(
        JournalEvent.STOP_SET,
        text[:2000],
        actor=stop.by,
        target=stop.target,
        kind=stop.kind.value,
        agents=len(held),
        mission=mission,
        more=more,
        rule=Rule(stop.rule) if stop.rule else None,
    )


def ask_hosts(draft: Draft, stop: Stop) -> None:
    """Every host that runs what a stop holds is told of it, and answers with what it sees there."""
    data = {"target": stop.target, "kind": stop.kind.value, "at": stop.at, "until": stop.until}
    for host in hosts_under(draft.swarm, stop):
        draft.add(host_notice(draft.moment, host, Kind.STOPPED, stop.target, data))


def hosts_under(swarm: Swarm, stop: Stop) -> list[HostId]:
    return sorted({a.host for a in swarm.lineage.stopped_by(stop.target) if a.host})


def thaw(draft: Draft, actor: Actor, args: Args) -> Denied | None:
    targets = _thaw_targets(draft.swarm, actor, args.target)
    if isinstance(targets, Denied):
        return targets
    standing = draft.lineage.stops
    stops = [standing[target] for target in targets if target in standing]
    if not stops:
        return Denied(Rule.STOP_TARGET, f"{args.target} is not stopped itself")
    denied = _refuse_thaw(draft.swarm, actor, targets[0], stops)
    if denied is None:
        for stop in stops:
            order = actor.order if stop is stops[-1] else ""
            lift(draft, stop, by=actor.id, reason=args.reason, order=order)
    return denied


def is_only_anothers(swarm: Swarm, actor: Actor, target: str) -> bool:
    """Is any of the marks that a thaw would lift somebody else's word?

    What the supervisor itself holds, at the lineage's authority, waits for its superior to mend it.
    """
    targets = _thaw_targets(swarm, actor, target)
    if isinstance(targets, Denied):
        return False
    marks = (swarm.lineage.stops[target] for target in targets if target in swarm.lineage.stops)
    is_held = (SUPERVISOR, Authority.LINEAGE)
    return any(stop.by != actor.id and (stop.by, stop.authority) != is_held for stop in marks)


def _thaw_targets(swarm: Swarm, actor: Actor, target: str) -> tuple[str, ...] | Denied:
    is_no_agent = is_group_target(target) or MissionId(target) in swarm.missions
    if actor.authority is Authority.OPERATOR and is_no_agent:
        return (target,)
    found = find(swarm, actor, target)
    # Of an agent both marks are meant: on its subtree, and on itself alone.
    return found if isinstance(found, Denied) else (found.id, f"={found.id}")


def _refuse_thaw(swarm: Swarm, actor: Actor, target: str, stops: Sequence[Stop]) -> Denied | None:
    if is_ending(swarm, target):
        return Denied(Rule.FENCED, f"{target} is ending already")
    better = next((stop for stop in stops if outranks(swarm, stop, actor)), None)
    if better is not None:
        return Denied(Rule.PRECEDENCE, f"{better.target} was stopped by {better.by}")
    agent = swarm.lineage.get(target)
    if agent is not None and not agent.charter and stops[0].rule == Rule.AGENT_UNREADABLE:
        return Denied(
            Rule.AGENT_UNREADABLE, f"what {agent.id} was to do is lost with its record: end it"
        )
    return None


def own_stop(swarm: Swarm, agent: Agent) -> Stop | None:
    """The mark that its record shows: on its subtree, or on itself alone."""
    stops = swarm.lineage.stops
    return stops.get(agent.id) or stops.get(f"={agent.id}")


def lift(draft: Draft, stop: Stop, *, by: str, reason: str, order: str = "") -> None:
    """The mark goes; what waited under it goes on where it was."""
    swarm = draft.swarm
    held, hosts = swarm.lineage.stopped_by(stop.target), hosts_under(swarm, stop)
    draft.add(Drop(STOPS, stop.target))
    leave_unseen(draft, stop, f"{by} let it go on")
    for agent in held:
        # Nobody gets on while stopped.
        swarm.note_progress(agent, draft.now)
    _let_go_on(draft, stop)
    for host in hosts:
        draft.add(host_notice(draft.moment, host, Kind.THAWED, stop.target))
    root = _root_of(swarm, stop)
    draft.record(
        JournalEvent.STOP_LIFTED,
        f"{by} lets {stop.target} go on: {reason}"[:2000],
        actor=by,
        target=stop.target,
        mission=root.mission if root else "",
        more=order_facts(order, "done"),
    )


def _let_go_on(draft: Draft, stop: Stop) -> None:
    """The agent that the stop names shows it no longer."""
    agent = _root_of(draft.swarm, stop)
    if agent is None or agent.id == SOB or draft.lineage.is_ending(agent):
        return
    draft.add(AgentSet(_as_left(draft.swarm, agent)))
    if stop.rule.startswith("budget."):
        draft.add(AccountCleared(agent.id))


def _as_left(swarm: Swarm, agent: Agent) -> Agent:
    """Its record when a mark on it is gone: another may still be there."""
    left = own_stop(swarm, agent)
    if left is not None:
        return replace(agent, state=_STATES[left.kind], reason=left.reason[:2000])
    resting = AgentState.LIVE if agent.host in swarm.hosts else AgentState.STARTING
    return replace(agent, state=resting, reason="")
