"""Which host runs which agent. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from swarmd.core.control.sightings import forget_stuck
from swarmd.core.control.termination import WAITING_MAX
from swarmd.core.model.changes import (
    AgentSet,
    HostGone,
)
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import (
    SUPERVISOR,
    AgentId,
    AgentState,
    HostId,
)
from swarmd.core.model.posts import host_notice
from swarmd.core.model.records import Host
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.timings import LEASE_SECONDS, RENEW_SECONDS

# Agents given a host in one commit; the others are in the next, which follows at once.
PLACE_STEP: Final = 200


def admit_hosts(
    draft: Draft, alive: Mapping[HostId, Host], known: frozenset[HostId], *, may_declare_dead: bool
) -> None:
    """Hosts that renewed their lease are in; those that left are out; those that fell silent
    are, after patience.
    """
    for host in alive.values():
        _admit(draft, host)
    for id in [id for id in draft.swarm.hosts if id not in alive]:
        has_left = id not in known
        if not has_left and not may_declare_dead:
            continue
        _lose(draft, id, has_left=has_left)


def _admit(draft: Draft, host: Host) -> None:
    observed = draft.swarm.observed
    renewed = draft.now - (LEASE_SECONDS - host.lease_left)
    if renewed > observed.renewed.get(host.id, 0.0) + RENEW_SECONDS / 2:
        # It has said anew how busy it is.
        observed.given.pop(host.id, None)
    observed.renewed[host.id] = renewed
    before, observed.hosts[host.id] = observed.hosts.get(host.id), host
    if before != host:
        text = f"host {host.id}"
        draft.record(JournalEvent.HOST_JOINED, text, actor=SUPERVISOR, host=host.id)


def _lose(draft: Draft, id: HostId, *, has_left: bool) -> None:
    swarm = draft.swarm
    swarm.observed.renewed.pop(id, None)
    swarm.observed.given.pop(id, None)
    agents = len(swarm.lineage.on(id))
    text = f"host {id} {'left' if has_left else 'is gone'}, agents on it: {agents}"
    forget_at = 0.0 if has_left else draft.now + swarm.declared.limits.retention_seconds
    draft.add(HostGone(id, forget_at))
    draft.record(
        JournalEvent.HOST_LOST,
        text,
        actor=SUPERVISOR,
        host=id,
        agents=agents,
    )
    forget_stuck(draft, id)


def place(draft: Draft) -> None:
    """Every agent without a living host gets one with room; a placement is a new lease.

    Looks at those that lost theirs or never had one, and at as many as fit in a step: not at all
    that live.
    """
    swarm, waiting = draft.swarm, draft.swarm.observed.homeless
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
        _place_on(draft, agent, host)
    waiting.extend(unfit)
    _tell_placed(draft, placed)


def _tell_placed(draft: Draft, placed: Mapping[HostId, list[AgentId]]) -> None:
    for host, ids in placed.items():
        text = f"{len(ids)} agents"
        draft.add(host_notice(draft.moment, host, Kind.PLACED, text, {"agents": ids}))


def _place_on(draft: Draft, agent: Agent, host: HostId) -> None:
    given = draft.swarm.observed.given
    # It has a charter to read: until the host itself says how busy it is, it is taken for busy
    # with this one.
    given[host] = given.get(host, 0) + 1
    draft.add(AgentSet(replace(agent, host=host, lease=agent.lease + 1, state=AgentState.LIVE)))
    draft.swarm.note_progress(agent, draft.now)


def _is_homeless(swarm: Swarm, agent: Agent) -> bool:
    """Nothing below a fence is given a host any more. One that is starting waits for a placement
    also where the host in its record is there: it was let go on while that host was gone, and the
    host has come back since.
    """
    lost_its_host = agent.state is AgentState.LIVE and agent.host not in swarm.hosts
    is_waiting = agent.state is AgentState.STARTING or lost_its_host
    return is_waiting and not swarm.lineage.is_fenced(agent.path)


def _lightest(swarm: Swarm, agent: Agent) -> HostId | None:
    """Of the hosts with room that with the least to do."""
    needs_files, on = _needs_files(swarm, agent), swarm.lineage.on
    fit = [
        host
        for host in swarm.hosts.values()
        if len(on(host.id)) < host.capacity and (host.workspace or not needs_files)
    ]
    return min(fit, key=lambda host: (_load_of(swarm, host), host.id)).id if fit else None


def _load_of(swarm: Swarm, host: Host) -> float:
    """Agents by its declared capacity, and busy ones by the turns that it takes at once."""
    busy = host.busy + swarm.observed.given.get(host.id, 0)
    load = len(swarm.lineage.on(host.id)) / host.capacity
    return load + busy / swarm.declared.limits.turns_at_once


def _needs_files(swarm: Swarm, agent: Agent) -> bool:
    role, functions = swarm.declared.roles.get(agent.role), swarm.declared.functions
    return role is not None and any(
        functions[name].needs_workspace for name in role.functions if name in functions
    )
