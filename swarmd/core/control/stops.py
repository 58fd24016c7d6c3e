"""Stops until each agent below is seen to be quiet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from swarmd.core.actions import authority, ending, registry
from swarmd.core.actions import stop as stop_action
from swarmd.core.control.sightings import listed_counts, seen_ended
from swarmd.core.model.actions import Actor, Args, args_of
from swarmd.core.model.entries import order_facts
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import EVERYTHING, Agent, Stop, StopKind
from swarmd.core.model.names import (
    BRAKE,
    SOB,
    AgentId,
    Authority,
    HostId,
)
from swarmd.core.model.posts import answer_to
from swarmd.core.model.refusals import Denied
from swarmd.core.model.requests import QuietRequest
from swarmd.core.model.state import Draft, Ending, Swarm
from swarmd.core.model.tables import STOPS, Drop


def heed_brake(draft: Draft, reason: str | None) -> None:
    """The brake of the supervisor's own machine is a halt of everything, and its release the end
    of that halt.
    """
    stop = draft.lineage.stops.get(EVERYTHING)
    if reason is not None and stop is None:
        by = Stop(EVERYTHING, StopKind.HALT, Authority.OPERATOR, reason, BRAKE, draft.now)
        stop_action.set_stop(draft, by)
    elif reason is None and stop is not None and stop.by == BRAKE:
        stop_action.lift(draft, stop, by=BRAKE, reason="the brake was released")


def resume_stops(draft: Draft) -> None:
    """After a restart: stops whose outcome was not told are asked about once more."""
    for stop in list(draft.lineage.stops.values()):
        if not stop.is_told:
            draft.swarm.observed.stoppings[stop.target] = Ending(draft.now)
            stop_action.ask_hosts(draft, stop)


def quiet_of(draft: Draft, host: HostId, word: QuietRequest) -> None:
    """A host says that nothing of it runs under a stop any more, but for what it names."""
    stop, stopping = (
        draft.lineage.stops.get(word.target),
        draft.swarm.observed.stoppings.get(word.target),
    )
    if stop is not None and stopping is not None and stop.at == word.at:
        stopping.words.add(host)
        stopping.stuck |= {AgentId(id): what for id, what in word.busy.items()}


def tell_stops(draft: Draft) -> None:
    """Each stop is answered once, with what was seen of each agent under it; a drain that is
    through becomes an end.
    """
    swarm = draft.swarm
    for target in list(swarm.observed.stoppings):
        stop, stopping = swarm.lineage.stops[target], swarm.observed.stoppings[target]
        if stop.kind is StopKind.DRAIN:
            _follow_drain(draft, stop, stopping)
            continue
        seen = _seen_under(draft, stop, stopping)
        if None not in seen:
            counts = {how: seen.count(how) for how in ("confirmed", "unconfirmed", "unreachable")}
            _tell_stop(draft, stop, stopping, counts)


def _follow_drain(draft: Draft, stop: Stop, stopping: Ending) -> None:
    # What ends for another reason answers the order by that end.
    if authority.is_ending(draft.swarm, stop.target) or _is_held(draft.swarm, stop):
        return
    seen = _seen_under(draft, stop, stopping)
    has_grace = draft.now < stop.until
    if None not in seen and not (has_grace and "unconfirmed" in seen):
        _end_drained(draft, stop)


def _seen_under(draft: Draft, stop: Stop, stopping: Ending) -> list[str | None]:
    return [
        _seen_of_stop(draft.swarm, stopping, agent, draft.now, stop)
        for agent in draft.lineage.stopped_by(stop.target)
    ]


def _is_held(swarm: Swarm, drain: Stop) -> bool:
    """What a better one stopped meanwhile is not ended by this drain: it waits for that one's
    word.
    """
    agent = swarm.lineage.get(drain.target)
    return (
        agent is not None
        and authority.outranked(swarm, Actor(drain.by, drain.authority), agent) is not None
    )


def _seen_of_stop(
    swarm: Swarm, stopping: Ending, agent: Agent, now: float, stop: Stop
) -> str | None:
    seen = seen_ended(swarm, stopping, agent, now)
    if seen == "unconfirmed" and agent.host not in stopping.words and stop.kind is StopKind.DRAIN:
        return None if now < stop.until else seen
    return seen


def _tell_stop(draft: Draft, stop: Stop, stopping: Ending, counts: Mapping[str, int]) -> None:
    text = f"{stop.kind} {stop.target}: {listed_counts(counts)}"
    draft.add(STOPS.put(replace(stop, is_told=True)))
    draft.record(
        JournalEvent.STOP_CONFIRMED,
        text,
        actor=stop.by,
        target=stop.target,
        kind=stop.kind.value,
        busy=dict(sorted(stopping.stuck.items())[:50]),
        more={**counts, **(order_facts(stop.order, "done") or {})},
    )
    _answer_asker(draft, stop, text, counts)


def _answer_asker(draft: Draft, stop: Stop, text: str, counts: Mapping[str, int]) -> None:
    """An agent that asked for the stop; an order and a motion are answered by the entry."""
    asker = draft.lineage.get(stop.by)
    if asker is not None and not asker.is_seat and asker.id != SOB:
        data = {"outcome": "done", "target": stop.target, **counts}
        draft.add(answer_to(draft.moment, asker, text, data))


def _end_drained(draft: Draft, stop: Stop) -> None:
    """Its turns are over, or its grace is: now it is ended as any other, and that end is what
    answers the order.
    """
    actor = Actor(stop.by, stop.authority, order=stop.order)
    draft.add(Drop(STOPS, stop.target))
    reason = f"drained: {stop.reason}"
    agent = draft.lineage.get(stop.target.removeprefix("="))
    if agent is not None and agent.tier > 0:
        ending.end_agent(draft, agent, actor, reason)
        return
    by = replace(actor, authority=Authority.OPERATOR)
    denied = registry.do(draft, by, _terminate(stop.target, reason))
    if denied is not None:
        _record_refusal(draft, stop, denied)


def _terminate(target: str, reason: str) -> Args:
    return args_of({"verb": "terminate", "target": target, "reason": reason})


def _record_refusal(draft: Draft, stop: Stop, denied: Denied) -> None:
    draft.record(
        JournalEvent.STOP_REFUSED,
        str(denied),
        actor=stop.by,
        rule=denied.rule,
        detail=denied.detail,
        target=stop.target,
        more=order_facts(stop.order, "refused"),
    )
