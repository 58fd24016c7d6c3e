"""What is, brought to what should be: agents on hosts, ended subtrees reaped, seats in their places. Pure.

The supervisor calls this after each batch of inputs and at each tick; doing it twice changes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from swarmd.core import acts, approvals, clerk, docket, leave, orphans, overrides
from swarmd.core.law import fence_notices
from swarmd.core.lineage import EVERYTHING, Agent, Fence, Stop, StopKind, ended, follows
from swarmd.core.messages import Message
from swarmd.core.names import (
    BOARD_ROOM,
    BRAKE,
    CLERK,
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    Authority,
    HostId,
    Kind,
    MissionId,
    MissionState,
    host_channel,
    inbox,
)
from swarmd.core.requests import GoneRequest, QuietRequest
from swarmd.core.swarm import (
    AccountClosed,
    AccountOpened,
    AgentMade,
    AgentReaped,
    AgentSet,
    Draft,
    Ending,
    FenceLifted,
    FenceSet,
    Host,
    HostGone,
    PeriodTurned,
    Post,
    RevocationsSet,
    StopLifted,
    StopSet,
    Swarm,
    Trouble,
    TroubleOver,
    TroubleSet,
    entry,
)
from swarmd.core.taint import stamped
from swarmd.core.times import LEASE_SECONDS, RENEW_SECONDS, period_of

# A step of the reaper, some 30 µs of the script for each: under 5 ms of the server's one thread, as for every script.
REAP_STEP: Final = 100

# Agents given a host in one commit; the others are in the next, which follows at once.
PLACE_STEP: Final = 200

# Agents of one ending looked at in one step that cannot be reaped yet: their hosts' words are still to come.
WAITING_MAX: Final = 1_000

# How long a host that renews its lease is given to say that an ended subtree's tasks are gone.
WORD_SECONDS: Final = 5.0

# Least time between two digests of one mission: a tree that grows fast is told once, not per agent.
DIGEST_SECONDS: Final = 1.0

_FILE_FUNCTIONS: Final = frozenset({"read_file", "search_files", "write_file"})


def found(draft: Draft) -> None:
    """The board and its seats, where they are not there yet."""
    lineage, board = draft.swarm.lineage, draft.swarm.declared.board
    if lineage.get(SOB) is None:
        sob = Agent(
            id=SOB, name=SOB, role="board", tier=0, parent=None, path=(SOB,), state=AgentState.LIVE,
            created=draft.moment.stamp, privileges=("**",), grants=("**",),
        )  # fmt: skip
        draft.add(AgentMade(sob, ()))
        # Where its account is there, the board's record alone is gone: to open the account anew would empty it.
        if not draft.swarm.has_root:
            root = draft.swarm.declared.limits.root
            draft.add(AccountOpened(SOB, "", root.model_dump(), own_slot=False))
    for name in board.seats:
        if lineage.get(name) is None:
            seat = Agent(
                id=AgentId(name), name=name, role="seat", tier=0, parent=None, path=(name,),
                created=draft.moment.stamp, privileges=("model/**", "room/sob/say"),
            )  # fmt: skip
            draft.add(AgentMade(seat, follows(seat, draft.swarm.declared.rooms)))


# --- hosts ------------------------------------------------------------------------------------


def admit_hosts(
    draft: Draft, alive: Mapping[HostId, Host], known: frozenset[HostId], *, may_declare_dead: bool
) -> None:
    """Hosts that renewed their lease are in; those that left are out; those that fell silent are, after patience."""
    swarm = draft.swarm
    for host in alive.values():
        renewed = draft.moment.now - (LEASE_SECONDS - host.lease_left)
        if renewed > swarm.renewed.get(host.id, 0.0) + RENEW_SECONDS / 2:
            # It has said anew how busy it is.
            swarm.given.pop(host.id, None)
        swarm.renewed[host.id] = renewed
        before, swarm.hosts[host.id] = swarm.hosts.get(host.id), host
        if before != host:
            draft.add(entry(draft.moment, "host came", f"host {host.id}", actor="supervisor", host=host.id))
    for id in [id for id in swarm.hosts if id not in alive]:
        has_left = id not in known
        if not has_left and not may_declare_dead:
            continue
        swarm.renewed.pop(id, None)
        swarm.given.pop(id, None)
        agents = len(swarm.lineage.on(id))
        text = f"host {id} {'left' if has_left else 'is gone'}, agents on it: {agents}"
        draft.add(
            HostGone(id), entry(draft.moment, "host gone", text, actor="supervisor", host=id, agents=agents)
        )
        _forget_stuck(draft, id)


def place(draft: Draft) -> None:
    """Every agent without a living host gets one with room; a placement is a new lease.

    Looks at those that lost theirs or never had one, and at as many as fit in a step: not at all that live.
    """
    swarm, waiting = draft.swarm, draft.swarm.homeless
    placed: dict[HostId, list[AgentId]] = defaultdict(list)
    unfit: list[AgentId] = []
    count = 0
    # It is one script, and no script should take longer than a few milliseconds.
    while waiting and swarm.hosts and count < PLACE_STEP and len(unfit) < WAITING_MAX:
        agent = swarm.lineage.get(waiting.popleft())
        if agent is None or not _is_homeless(swarm, agent):
            continue
        host = _lightest(swarm, agent)
        if host is None:
            unfit.append(agent.id)
            continue
        count += 1
        placed[host].append(agent.id)
        # It has a charter to read: until the host itself says how busy it is, it is taken for busy with this one.
        swarm.given[host] = swarm.given.get(host, 0) + 1
        draft.add(AgentSet(replace(agent, host=host, lease=agent.lease + 1, state=AgentState.LIVE)))
        swarm.note_progress(agent, draft.moment.now)
    waiting.extend(unfit)
    for host, ids in placed.items():
        message = Message(
            sender=SUPERVISOR, kind=Kind.PLACED, at=draft.moment.stamp, text=f"{len(ids)} agents",
            data={"agents": ids},
        )  # fmt: skip
        draft.add(Post(host_channel(host), message))


def _is_homeless(swarm: Swarm, agent: Agent) -> bool:
    """Nothing below a fence is given a host any more."""
    is_alive = agent.state in (AgentState.STARTING, AgentState.LIVE)
    return is_alive and agent.host not in swarm.hosts and not swarm.lineage.is_fenced(agent.path)


def _lightest(swarm: Swarm, agent: Agent) -> HostId | None:
    """Of the hosts with room that with the least to do: agents by its declared capacity, and busy ones by the turns that
    it takes at once."""
    needs_files, on = _needs_files(swarm, agent), swarm.lineage.on

    def load(host: Host) -> float:
        busy = host.busy + swarm.given.get(host.id, 0)
        return len(on(host.id)) / host.capacity + busy / swarm.declared.limits.turns_at_once

    fit = [
        host for host in swarm.hosts.values()
        if len(on(host.id)) < host.capacity and (host.workspace or not needs_files)
    ]  # fmt: skip
    return min(fit, key=lambda host: (load(host), host.id)).id if fit else None


def _needs_files(swarm: Swarm, agent: Agent) -> bool:
    role = swarm.declared.roles.get(agent.role)
    return role is not None and not _FILE_FUNCTIONS.isdisjoint(role.functions)


# --- ended subtrees ---------------------------------------------------------------------------


def resume_endings(draft: Draft) -> None:
    """After a restart: every fence is an ending under way; its hosts are asked once more."""
    for segment in draft.swarm.lineage.fences:
        draft.swarm.endings[segment] = Ending(draft.moment.now)
        draft.add(*fence_notices(draft.swarm, segment, draft.moment))


def word_of(draft: Draft, host: HostId, word: GoneRequest) -> None:
    """A host says that nothing of it runs below the segment any more, but for what ignores its end."""
    ending = draft.swarm.endings.get(word.segment)
    if word.is_late:
        text = f"{host}: what ignored its end below {word.segment} has gone after all"
        draft.add(entry(draft.moment, "gone", text, actor=host, segment=word.segment, agents=word.agents))
        _forget_stuck(draft, host, word.segment)
    elif ending is not None:
        ending.words.add(host)
        ending.stuck |= {AgentId(id): what for id, what in word.stuck.items()}
        for id, what in word.stuck.items():
            trouble = Trouble("stuck", draft.moment.now, what, host, word.segment)
            draft.add(TroubleSet(AgentId(id), trouble))
            text = f"{id} ignores its end on {host}: {what}"
            draft.add(entry(draft.moment, "stuck", text, actor=host, agent=id, segment=word.segment))


def _forget_stuck(draft: Draft, host: HostId, segment: str = "") -> None:
    """What ignored its end there has gone: by the host's word, or with the host."""
    for id, trouble in list(draft.swarm.troubles.items()):
        if trouble.kind == "stuck" and trouble.host == host and segment in ("", trouble.segment):
            draft.add(TroubleOver(id))


def reap(draft: Draft, spent: Mapping[str, Mapping[str, int]], segments: Sequence[str] | None = None) -> None:
    """One step of every ending, or of these, deepest first; what is seen of each agent is counted, not assumed.

    `spent` has the accounts of the missions that are ending, as they were before this step.
    """
    budget = REAP_STEP
    for segment in list(draft.swarm.endings) if segments is None else segments:
        taken = _reap_segment(draft, segment, budget)
        budget -= taken
        # Finished in a commit of its own: what the closed accounts gave back is known only after theirs.
        if taken == 0 and not draft.swarm.endings[segment].queue and _is_settled(draft, segment):
            _finish(draft, segment, spent)


def _is_settled(draft: Draft, segment: str) -> bool:
    """Closes the account of a mission that ends, once; true from the next step on.

    Its result is not told in the same commit: a seat's call could end between the reading of the account and
    that commit, and the result would name another sum than the one that was charged.
    """
    swarm = draft.swarm
    mark, mission = swarm.lineage.fences[segment], swarm.missions.get(MissionId(segment))
    # A docketed mission has no account yet.
    if mark.is_settled or mission is None or mission.state is MissionState.DOCKETED:
        return True
    journals = tuple(seat.id for seat in swarm.seats())
    draft.add(AccountClosed(mission.id, SOB, journals), FenceSet(replace(mark, is_settled=True)))
    return False


def _reap_segment(draft: Draft, segment: str, budget: int) -> int:
    swarm, ending = draft.swarm, draft.swarm.endings[segment]
    seen: Counter[str] = Counter()
    if ending.queue is None:
        ending.queue = [agent.id for agent in reversed(swarm.lineage.below(segment))]
    waiting: list[AgentId] = []
    while ending.queue and seen.total() < budget and len(waiting) < WAITING_MAX:
        agent = swarm.lineage.get(ending.queue.pop())
        if agent is None:
            continue
        how = _seen(swarm, ending, agent, draft.moment.now)
        # Deepest first: an account is closed when nothing is granted from it any more.
        if how is None or swarm.lineage.child_count(agent.id):
            waiting.append(agent.id)
            continue
        seen[how] += 1
        _reap_agent(draft, agent, swarm.lineage.fences[segment], how)
    ending.queue += reversed(waiting)
    taken = seen.total()
    if taken:
        draft.add(
            FenceSet(_counted(swarm.lineage.fences[segment], seen)),
            entry(
                draft.moment,
                "reaped",
                f"{taken} agents below {segment}",
                actor="supervisor",
                segment=segment,
                agents=taken,
            ),
        )
    return taken


def _counted(mark: Fence, seen: Mapping[str, int]) -> Fence:
    return replace(
        mark,
        confirmed=mark.confirmed + seen["confirmed"],
        unconfirmed=mark.unconfirmed + seen["unconfirmed"],
        unreachable=mark.unreachable + seen["unreachable"],
    )


def _seen(swarm: Swarm, ending: Ending, agent: Agent, now: float) -> str | None:
    """How sure is the end of an agent? `None`: not yet known, wait."""
    if not agent.host:
        return "confirmed"
    if agent.host in ending.words:
        return "unconfirmed" if agent.id in ending.stuck else "confirmed"
    if agent.host not in swarm.hosts:
        return "unreachable"
    # A host that has not renewed since may be dead already: its lease says which, and soon.
    is_alive = swarm.renewed.get(agent.host, 0.0) > ending.since
    return "unconfirmed" if is_alive and now > ending.since + WORD_SECONDS else None


def _reap_agent(draft: Draft, agent: Agent, mark: Fence, seen: str) -> None:
    assert agent.parent is not None
    reason = mark.reason
    record = ended(agent, reason=f"{reason} ({seen})", at=draft.moment.stamp)
    forget_at = draft.moment.now + draft.swarm.declared.limits.retention_seconds
    draft.add(AgentReaped(record, forget_at, agent.mission if agent.parent == SOB else agent.parent))
    for target in (agent.id, f"={agent.id}"):
        _drop_stop(draft, target, seen)
    lineage = draft.swarm.lineage
    for segment in agent.path:
        # Whom an adopted agent came from is in its path still, and what was revoked there stays revoked for it.
        is_gone = segment in lineage.revocations and lineage.get(segment) is None
        if is_gone and not lineage.below(segment):
            draft.add(RevocationsSet(segment, ()))
    trouble = draft.swarm.troubles.get(agent.id)
    if trouble is not None and trouble.kind == "stalled":
        draft.add(TroubleOver(agent.id))
    if draft.swarm.lineage.is_fenced(agent.path[:-1]):
        return
    # Its creator lives on, and learns of it.
    if agent.parent == SOB:
        clerk.executive_ended(draft, agent, reason, mark.taint)
        return
    notice = Message(
        sender=SUPERVISOR, to=agent.parent, kind=Kind.NOTICE, mission=agent.mission, at=draft.moment.stamp,
        text=f"{agent.name} ({agent.id}) ended: {reason}", data={"agent": agent.id, "key": agent.key, "ended": True},
        hops=mark.hops,
    )  # fmt: skip
    draft.add(Post(inbox(agent.parent), stamped(notice, mark.taint)))


def _drop_stop(draft: Draft, target: str, seen: str) -> None:
    """The mark goes with whom it held; an order that waited for what would be seen of them is answered by their end."""
    stop = draft.swarm.lineage.stops.get(target)
    if stop is None:
        return
    draft.add(StopLifted(target))
    if stop.order and not stop.is_told:
        draft.add(
            entry(
                draft.moment, "stopped", f"{target} has ended ({seen})", actor=stop.by, target=target,
                kind=stop.kind.value, order=stop.order, outcome="done", ended=seen,
            )
        )  # fmt: skip


def _finish(draft: Draft, segment: str, spent: Mapping[str, Mapping[str, int]]) -> None:
    swarm = draft.swarm
    mark = swarm.lineage.fences[segment]
    mission = swarm.missions.get(MissionId(segment))
    counts: dict[str, Any] = {
        "confirmed": mark.confirmed, "unconfirmed": mark.unconfirmed, "unreachable": mark.unreachable,
    }  # fmt: skip
    order: dict[str, Any] = {"order": mark.order, "outcome": "done"} if mark.order else {}
    others = [
        f for f in swarm.lineage.fences.values() if mark.order and f.order == mark.order and f is not mark
    ]
    if others:
        # One order ended several: the last of them answers it, with the counts of all.
        order["outcome"] = "fenced"
        draft.add(FenceSet(_counted(others[0], counts)))
    draft.add(
        FenceLifted(segment),
        entry(
            draft.moment, "ended", f"{segment}: " + ", ".join(f"{n} {how}" for how, n in counts.items()),
            actor=mark.by, segment=segment, **counts, **order,
        ),
    )  # fmt: skip
    if mission is not None and mission.ending is not None:
        _drop_stop(draft, segment, "confirmed")
        was_taken_up = mission.state is not MissionState.DOCKETED
        docket.close(draft, mission, spent.get(mission.id, {}) if was_taken_up else {})


# --- stops ------------------------------------------------------------------------------------


def heed_brake(draft: Draft, reason: str | None) -> None:
    """The brake of the supervisor's own machine is a halt of everything, and its release the end of that halt."""
    stop = draft.swarm.lineage.stops.get(EVERYTHING)
    if reason is not None and stop is None:
        by = Stop(EVERYTHING, StopKind.HALT, Authority.OPERATOR, reason, BRAKE, draft.moment.now)
        acts.set_stop(draft, by)
    elif reason is None and stop is not None and stop.by == BRAKE:
        acts.lift(draft, stop, by=BRAKE, reason="the brake was released")


def resume_stops(draft: Draft) -> None:
    """After a restart: stops whose outcome was not told are asked about once more."""
    for stop in list(draft.swarm.lineage.stops.values()):
        if not stop.is_told:
            draft.swarm.stoppings[stop.target] = Ending(draft.moment.now)
            acts.ask_hosts(draft, stop)


def quiet_of(draft: Draft, host: HostId, word: QuietRequest) -> None:
    """A host says that nothing of it runs under a stop any more, but for what it names."""
    stop, stopping = draft.swarm.lineage.stops.get(word.target), draft.swarm.stoppings.get(word.target)
    if stop is not None and stopping is not None and stop.at == word.at:
        stopping.words.add(host)
        stopping.stuck |= {AgentId(id): what for id, what in word.busy.items()}


def tell_stops(draft: Draft) -> None:
    """Each stop is answered once, with what was seen of each agent under it; a drain that is through becomes an end."""
    swarm, now = draft.swarm, draft.moment.now
    for target in list(swarm.stoppings):
        stop, stopping = swarm.lineage.stops[target], swarm.stoppings[target]
        if stop.kind is StopKind.DRAIN and acts.is_ending(swarm, target):
            # It ends for another reason: that end is what answers the order.
            continue
        if stop.kind is StopKind.DRAIN and _is_held(swarm, stop):
            continue
        is_draining = stop.kind is StopKind.DRAIN and now < stop.until
        seen = [
            _seen_of_stop(swarm, stopping, agent, now, stop) for agent in swarm.lineage.stopped_by(target)
        ]
        if None in seen or (is_draining and "unconfirmed" in seen):
            continue
        if stop.kind is StopKind.DRAIN:
            _end_drained(draft, stop)
            continue
        counts = {how: seen.count(how) for how in ("confirmed", "unconfirmed", "unreachable")}
        _tell_stop(draft, stop, stopping, counts)


def _is_held(swarm: Swarm, drain: Stop) -> bool:
    """What a better one stopped meanwhile is not ended by this drain: it waits for that one's word."""
    agent = swarm.lineage.get(drain.target)
    return (
        agent is not None and acts.outranked(swarm, acts.Actor(drain.by, drain.authority), agent) is not None
    )


def _seen_of_stop(swarm: Swarm, stopping: Ending, agent: Agent, now: float, stop: Stop) -> str | None:
    seen = _seen(swarm, stopping, agent, now)
    if seen == "unconfirmed" and agent.host not in stopping.words and stop.kind is StopKind.DRAIN:
        return None if now < stop.until else seen
    return seen


def _tell_stop(draft: Draft, stop: Stop, stopping: Ending, counts: Mapping[str, int]) -> None:
    text = f"{stop.kind} {stop.target}: " + ", ".join(f"{n} {how}" for how, n in counts.items())
    busy = dict(sorted(stopping.stuck.items())[:50])
    more: dict[str, Any] = {"order": stop.order, "outcome": "done"} if stop.order else {}
    draft.add(
        StopSet(replace(stop, is_told=True)),
        entry(
            draft.moment, "stopped", text, actor=stop.by, target=stop.target, kind=stop.kind.value, busy=busy,
            more={**counts, **more},
        ),
    )  # fmt: skip
    asker = draft.swarm.lineage.get(stop.by)
    if asker is not None and not asker.is_seat and asker.id != SOB:
        answer = Message(
            sender=SUPERVISOR, to=asker.id, kind=Kind.ANSWER, mission=asker.mission, at=draft.moment.stamp,
            text=text, data={"outcome": "done", "target": stop.target, **counts},
        )  # fmt: skip
        draft.add(Post(inbox(asker.id), answer))


def _end_drained(draft: Draft, stop: Stop) -> None:
    """Its turns are over, or its grace is: now it is ended as any other, and that end is what answers the order."""
    actor = acts.Actor(stop.by, stop.authority, order=stop.order)
    draft.add(StopLifted(stop.target))
    wish = acts.Wish("terminate", stop.target, f"drained: {stop.reason}")
    agent = draft.swarm.lineage.get(stop.target.removeprefix("="))
    if agent is not None and agent.tier > 0:
        acts.end_agent(draft, agent, actor, wish.reason)
        return
    denied = acts.do(draft, replace(actor, authority=Authority.OPERATOR), wish)
    if denied is not None:
        more = {"order": stop.order, "outcome": "refused", "detail": denied.detail} if stop.order else None
        draft.add(entry(draft.moment, "refused", str(denied), actor=stop.by, rule=denied.rule, more=more))


# --- time -------------------------------------------------------------------------------------


def tick(draft: Draft) -> None:
    """What time alone brings: deadlines, silent seats, the next mission of the docket."""
    for mission in docket.overdue(draft.swarm, draft.moment.now):
        docket.end(draft, mission, MissionState.FAILED, "deadline", by="supervisor")
    orphans.tick(draft)
    tell_stops(draft)
    _turn_period(draft)
    overrides.tick(draft)
    approvals.tick(draft)
    leave.carry_out(draft)
    clerk.tick(draft)
    clerk.open_missions(draft)
    for id in draft.swarm.boards:
        _digest(draft, id)


def _turn_period(draft: Draft) -> None:
    """A new hour, day, week or month by UTC: the root has its whole cap again, but what open accounts hold of it."""
    swarm = draft.swarm
    period = period_of(draft.moment.now, swarm.declared.limits.root_period)
    # Of names of one length the later period's is the larger: a clock that is set back renews no budget.
    is_past = len(period) == len(swarm.period) and period <= swarm.period
    if not period or is_past:
        return
    if swarm.period:
        text = f"the root's budget begins anew for {period}"
        draft.add(
            PeriodTurned(SOB, period), entry(draft.moment, "period", text, actor="supervisor", period=period)
        )
    else:
        draft.add(PeriodTurned(SOB, period))


def _digest(draft: Draft, id: MissionId) -> None:
    """The state of a mission's tree, told to the board's room when it changed, never asked of a model."""
    swarm, now = draft.swarm, draft.moment.now
    tiers = swarm.lineage.tiers(id)
    text = "agents: " + (", ".join(f"{n} at tier {tier}" for tier, n in tiers.items()) or "none")
    told_at, told = swarm.digests.get(id, (0.0, "agents: none"))
    if text == told or now < told_at + DIGEST_SECONDS:
        return
    swarm.digests[id] = (now, text)
    message = Message(
        sender=CLERK, kind=Kind.DIGEST, mission=id, at=draft.moment.stamp, text=text,
        data={"agents": sum(tiers.values()), "tiers": {str(tier): n for tier, n in tiers.items()}},
    )  # fmt: skip
    draft.add(Post(BOARD_ROOM, message))
