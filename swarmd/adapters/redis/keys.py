"""Every key of swarmd's in Redis is named here and nowhere else.

The contract's names (docs/contract.md) are public; all that starts with `_` is private and may change
with the schema version in `_meta`.
"""

from __future__ import annotations

from typing import Final

from swarmd.core.names import AgentId, Channel, HostId, MissionId

SCHEMA: Final = "1"


class Keys:
    """Keys and pub/sub channels under one namespace (`{swarm}` where Redis is a cluster)."""

    __slots__ = ("_prefix", "namespace")

    def __init__(self, namespace: str = "swarm") -> None:
        self.namespace = namespace
        self._prefix = namespace + ":"

    def channel(self, channel: Channel) -> str:
        """The stream's key; the pub/sub channel has the same name."""
        return self._prefix + channel

    def channel_of(self, name: str) -> Channel:
        """The channel that a stream's key or a pub/sub channel's name stands for."""
        return Channel(name.removeprefix(self._prefix))

    # --- public ---

    def agent(self, id: AgentId) -> str:
        return f"{self._prefix}agent:{id}"

    def children(self, id: AgentId) -> str:
        return f"{self._prefix}children:{id}"

    def ledger(self, account: str) -> str:
        return f"{self._prefix}ledger:{account}"

    def mission(self, id: MissionId) -> str:
        return f"{self._prefix}mission:{id}"

    # --- private ---

    @property
    def meta(self) -> str:
        return self._prefix + "_meta"

    @property
    def fences(self) -> str:
        """Hash: fenced path segment -> JSON why. One field ends what lies below it."""
        return self._prefix + "_fences"

    @property
    def heads(self) -> str:
        """Sorted set: channel -> global number of its last post."""
        return self._prefix + "_heads"

    @property
    def posts(self) -> str:
        """Counter: the global post number."""
        return self._prefix + "_posts"

    @property
    def facts(self) -> str:
        """Stream: what workers' scripts did that the journal needs."""
        return self._prefix + "_facts"

    @property
    def leader(self) -> str:
        """The leading supervisor's lease: `NUMBER:HOST`, expiring."""
        return self._prefix + "_supervisor"

    @property
    def fencing(self) -> str:
        """Counter: the fencing number of the last supervisor that took the lead."""
        return self._prefix + "_fencing"

    @property
    def positions(self) -> str:
        """Hash: the supervisor's position in each of its inputs, and `seq`, its last commit."""
        return self._prefix + "_positions"

    @property
    def agents(self) -> str:
        """Set: ids of the agents that are not terminated."""
        return self._prefix + "_agents"

    @property
    def missions(self) -> str:
        """Set: ids of the missions that have not ended."""
        return self._prefix + "_missions"

    @property
    def ended(self) -> str:
        """Sorted set: ended agents and missions (`agent:ID`, `mission:ID`) by the time to forget them."""
        return self._prefix + "_ended"

    @property
    def hosts(self) -> str:
        """Set: ids of the hosts that were admitted and not yet declared dead."""
        return self._prefix + "_hosts"

    def host(self, id: HostId) -> str:
        """A host's lease: its JSON facts, expiring."""
        return f"{self._prefix}_host:{id}"

    def state(self, id: AgentId) -> str:
        """Hash: an agent's own state: `turn`, `memory`, and `p:CHANNEL` for each position."""
        return f"{self._prefix}_state:{id}"

    def steps(self, id: AgentId) -> str:
        """Hash: the step journal of the turn under way: `TURN:N:b` begun, `TURN:N:e` ended, `TURN:batch`."""
        return f"{self._prefix}_steps:{id}"

    def use(self, id: AgentId) -> str:
        """Set: the privilege paths the agent may use."""
        return f"{self._prefix}_use:{id}"

    def board(self, id: MissionId) -> str:
        """String: the board's procedure of a mission, JSON."""
        return f"{self._prefix}_board:{id}"

    def reports(self, id: MissionId) -> str:
        """Hash: executive -> its last report, JSON."""
        return f"{self._prefix}_reports:{id}"

    def once(self, key: str) -> str:
        """String: the stream id a keyed post from outside was given, remembered for an hour."""
        return f"{self._prefix}_once:{key}"
