"""What is, brought to what should be: agents on hosts, ended subtrees reaped, seats in their places. Pure.

The supervisor calls this after each batch of inputs and at each tick; doing it twice changes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from swarmd.core import clerk, docket
from swarmd.core.law import fence_notices
from swarmd.core.lineage import Agent, Fence, ended, follows
from swarmd.core.messages import Message
from swarmd.core.names import (
    BOARD_ROOM,
    CLERK,
    SOB,
    SUPERVISOR,
    AgentId,
    AgentState,
    HostId,
    Kind,
    MissionId,
    MissionState,
    host_channel,
    inbox,
)
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
    Post,
    Swarm,
    entry,
)

# A step of the reaper: its commit stays under a few milliseconds of the server's one thread.
REAP_STEP: Final = 100

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
            created=draft.moment.stamp, privileges=("**",),
        )  # fmt: skip
        draft.add(AgentMade(sob, ()))
        root = draft.swarm.declared.limits.root
        draft.add(
            AccountOpened(
                SOB, "", {"tokens": root.tokens, "calls": root.calls, "agents": root.agents}, own_slot=False
            )
        )
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
        if swarm.hosts.get(host.id) != host:
            swarm.hosts[host.id] = host
            draft.add(entry(draft.moment, "host came", f"host {host.id}", actor="supervisor", host=host.id))
    for id in [id for id in swarm.hosts if id not in alive]:
        has_left = id not in known
        if not has_left and not may_declare_dead:
            continue
        agents = sum(1 for agent in swarm.lineage.agents.values() if agent.host == id)
        text = f"host {id} {'left' if has_left else 'is gone'}, agents on it: {agents}"
        draft.add(
            HostGone(id), entry(draft.moment, "host gone", text, actor="supervisor", host=id, agents=agents)
        )


def place(draft: Draft) -> None:
    """Every agent without a living host gets one with room; a placement is a new lease."""
    swarm = draft.swarm
    homeless = [
        agent for agent in swarm.lineage.hosted()
        if agent.host not in swarm.hosts
        and agent.state in (AgentState.STARTING, AgentState.LIVE)
        and not swarm.lineage.is_fenced(agent.path)
    ]  # fmt: skip
    if not homeless or not swarm.hosts:
        return
    load = Counter(agent.host for agent in swarm.lineage.agents.values() if agent.host in swarm.hosts)
    placed: dict[HostId, list[AgentId]] = defaultdict(list)
    for agent in homeless:
        host = _lightest(swarm, agent, load)
        if host is None:
            continue
        load[host] += 1
        placed[host].append(agent.id)
        draft.add(AgentSet(replace(agent, host=host, lease=agent.lease + 1, state=AgentState.LIVE)))
    for host, ids in placed.items():
        message = Message(
            sender=SUPERVISOR, kind=Kind.PLACED, at=draft.moment.stamp, text=f"{len(ids)} agents",
            data={"agents": ids},
        )  # fmt: skip
        draft.add(Post(host_channel(host), message))


def _lightest(swarm: Swarm, agent: Agent, load: Mapping[HostId, int]) -> HostId | None:
    needs_files = _needs_files(swarm, agent)
    fit = [
        host for host in swarm.hosts.values()
        if load.get(host.id, 0) < host.capacity and (host.workspace or not needs_files)
    ]  # fmt: skip
    return min(fit, key=lambda host: (load.get(host.id, 0) / host.capacity, host.id)).id if fit else None


def _needs_files(swarm: Swarm, agent: Agent) -> bool:
    role = swarm.declared.roles.get(agent.role)
    return role is not None and not _FILE_FUNCTIONS.isdisjoint(role.functions)


# --- ended subtrees ---------------------------------------------------------------------------


def resume_endings(draft: Draft) -> None:
    """After a restart: every fence is an ending under way; its hosts are asked once more."""
    for segment in draft.swarm.lineage.fences:
        draft.swarm.endings[segment] = Ending(draft.moment.now)
        draft.add(*fence_notices(draft.swarm, segment, draft.moment))


def word_of(draft: Draft, host: HostId, segment: str) -> None:
    """A host says that nothing of it runs below the segment any more."""
    ending = draft.swarm.endings.get(segment)
    if ending is not None:
        ending.words.add(host)


def reap(draft: Draft, spent: Mapping[str, Mapping[str, int]]) -> None:
    """One step of every ending, deepest first; what is seen of each agent is counted, not assumed.

    `spent` has the accounts of the missions that are ending, as they were before this step.
    """
    budget = REAP_STEP
    for segment in list(draft.swarm.endings):
        taken = _reap_segment(draft, segment, budget)
        budget -= taken
        # Finished in a commit of its own: what the closed accounts gave back is known only after theirs.
        if taken == 0 and not draft.swarm.lineage.below(segment) and _is_settled(draft, segment):
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
    for agent in swarm.lineage.below(segment):
        if seen.total() >= budget:
            break
        how = _seen(swarm, ending, agent, draft.moment.now)
        # Deepest first: an account is closed when nothing is granted from it any more.
        if how is None or swarm.lineage.child_count(agent.id):
            continue
        seen[how] += 1
        _reap_agent(draft, agent, swarm.lineage.fences[segment], how)
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
    if not agent.host or agent.host in ending.words:
        return "confirmed"
    if agent.host not in swarm.hosts:
        return "unreachable"
    return "unconfirmed" if now > ending.since + WORD_SECONDS else None


def _reap_agent(draft: Draft, agent: Agent, mark: Fence, seen: str) -> None:
    assert agent.parent is not None
    reason = mark.reason
    record = ended(agent, reason=f"{reason} ({seen})", at=draft.moment.stamp)
    draft.add(
        AccountClosed(agent.id, agent.mission if agent.parent == SOB else agent.parent, (agent.id,)),
        AgentReaped(record, draft.moment.now + draft.swarm.declared.limits.retention_seconds),
    )
    if draft.swarm.lineage.is_fenced(agent.path[:-1]):
        return
    # Its creator lives on, and learns of it.
    if agent.parent == SOB:
        clerk.executive_ended(draft, agent, reason)
        return
    notice = Message(
        sender=SUPERVISOR, to=agent.parent, kind=Kind.NOTICE, mission=agent.mission, at=draft.moment.stamp,
        text=f"{agent.name} ({agent.id}) ended: {reason}", data={"agent": agent.id, "key": agent.key, "ended": True},
        hops=mark.hops,
    )  # fmt: skip
    draft.add(Post(inbox(agent.parent), notice))


def _finish(draft: Draft, segment: str, spent: Mapping[str, Mapping[str, int]]) -> None:
    swarm = draft.swarm
    mark = swarm.lineage.fences[segment]
    mission = swarm.missions.get(MissionId(segment))
    counts: dict[str, Any] = {
        "confirmed": mark.confirmed, "unconfirmed": mark.unconfirmed, "unreachable": mark.unreachable,
    }  # fmt: skip
    order: dict[str, Any] = {"order": mark.order, "outcome": "done"} if mark.order else {}
    draft.add(
        FenceLifted(segment),
        entry(
            draft.moment, "ended", f"{segment}: " + ", ".join(f"{n} {how}" for how, n in counts.items()),
            actor=mark.by, segment=segment, **counts, **order,
        ),
    )  # fmt: skip
    if mission is not None and mission.ending is not None:
        was_taken_up = mission.state is not MissionState.DOCKETED
        docket.close(draft, mission, spent.get(mission.id, {}) if was_taken_up else {})


# --- time -------------------------------------------------------------------------------------


def tick(draft: Draft) -> None:
    """What time alone brings: deadlines, silent seats, the next mission of the docket."""
    for mission in docket.overdue(draft.swarm, draft.moment.now):
        docket.end(draft, mission, MissionState.FAILED, "deadline", by="supervisor")
    clerk.tick(draft)
    clerk.open_missions(draft)
    for id in draft.swarm.boards:
        _digest(draft, id)


def _digest(draft: Draft, id: MissionId) -> None:
    """The state of a mission's tree, told to the board's room when it changed, never asked of a model."""
    swarm, now = draft.swarm, draft.moment.now
    agents = [agent for agent in swarm.lineage.agents.values() if agent.mission == id]
    tiers = Counter(agent.tier for agent in agents)
    text = "agents: " + (", ".join(f"{n} at tier {tier}" for tier, n in sorted(tiers.items())) or "none")
    told_at, told = swarm.digests.get(id, (0.0, "agents: none"))
    if text == told or now < told_at + DIGEST_SECONDS:
        return
    swarm.digests[id] = (now, text)
    message = Message(
        sender=CLERK, kind=Kind.DIGEST, mission=id, at=draft.moment.stamp, text=text,
        data={"agents": len(agents), "tiers": {str(tier): n for tier, n in sorted(tiers.items())}},
    )  # fmt: skip
    draft.add(Post(BOARD_ROOM, message))
