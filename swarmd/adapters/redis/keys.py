"""Every key of swarmd's in Redis is named here and nowhere else.

The contract's names (docs/contract.md) are public; all that starts with `_` is private and may
change with the schema version in `_meta`.
"""

from __future__ import annotations

import re
from types import FunctionType
from typing import Any, Final

from swarmd.core.model import channels, names
from swarmd.core.model.names import AgentId, Channel, HostId, MissionId
from swarmd.core.model.tables import TABLES, Table, patterns_read_by


class Keys:
    """Keys and pub/sub channels under one namespace (`{swarm}` where Redis is a cluster)."""

    __slots__ = ("_prefix", "namespace")

    def __init__(self, namespace: str = "swarm") -> None:
        self.namespace = namespace
        self._prefix = namespace + ":"

    @property
    def prefix(self) -> str:
        """What every name begins with: for the one script that makes an agent's names itself."""
        return self._prefix

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

    def task(self, id: AgentId) -> str:
        return f"{self._prefix}task:{id}"

    def mission(self, id: MissionId) -> str:
        return f"{self._prefix}mission:{id}"

    # --- private ---

    def rows(self, table: Table[Any], key: str = "") -> str:
        """Where a row of a table lies: a hash that all rows are fields of, or a key of its own."""
        return self._prefix + table.stored + (key if table.has_own_keys else "")

    @property
    def meta(self) -> str:
        return self._prefix + "_meta"

    @property
    def workspace(self) -> str:
        """String: the identity of the folder that the workers share, as the first of them found
        it.
        """
        return self._prefix + "_workspace"

    @property
    def confirmed(self) -> str:
        """String: written before replicas are asked whether they have all up to there
        (`replicas.py`).
        """
        return self._prefix + "_confirmed"

    @property
    def never(self) -> str:
        """Never written. On a cluster each script asks for it first (`scripts/_whole.lua`, which
        makes the name itself).
        """
        return self._prefix + "_never"

    @property
    def heads(self) -> str:
        """Sorted set: channel -> global number of its last post."""
        return self._prefix + "_heads"

    @property
    def posts(self) -> str:
        """Counter: the global post number."""
        return self._prefix + "_posts"

    @property
    def holds(self) -> str:
        """Hash: living agent -> `STATE INCARNATION LEASE HOST`, of its record: what the scripts
        judge by whether a host may act for it (`scripts/_hold.lua`).
        """
        return self._prefix + "_holds"

    @property
    def ends(self) -> str:
        """Hash: channel -> `ID COUNT` or `ID COUNT UPTO`: the last entry that swarmd wrote to its
        stream, and how many entries are known there, up to which (`scripts/_post.lua`).
        """
        return self._prefix + "_ends"

    @property
    def facts(self) -> str:
        """Stream: what workers' scripts did that the journal needs."""
        return self._prefix + "_facts"

    @property
    def leader(self) -> str:
        """The leading supervisor's lease: `NUMBER:HOST`, expiring; `NUMBER:` where it stepped
        down within that lease.
        """
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
    def head(self) -> str:
        """Hash: the journal's last entry: `n`, `hash`, and `after`, the digest of the state it
        left.
        """
        return self._prefix + "_journal"

    @property
    def heard(self) -> str:
        """Hash: what the supervisor has heard: `CHANNEL ISSUER` -> the last mark it accepted
        there.
        """
        return self._prefix + "_heard"

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
        """Sorted set: ended agents and missions (`agent:ID`, `mission:ID`) by the time to forget
        them.
        """
        return self._prefix + "_ended"

    @property
    def hosts(self) -> str:
        """Set: ids of the hosts that were admitted and not yet declared dead."""
        return self._prefix + "_hosts"

    def host(self, id: HostId) -> str:
        """A host's lease: its JSON facts, expiring."""
        return f"{self._prefix}_host:{id}"

    def pace(self, provider: str) -> str:
        """Hash: what all workers keep of a provider's pace (`scripts/pace.lua`)."""
        return f"{self._prefix}_pace:{provider}"

    def starts(self, provider: str) -> str:
        """Sorted set: the calls of the last minute to a provider, and those that have a start to
        come.
        """
        return f"{self._prefix}_starts:{provider}"

    def state(self, id: AgentId) -> str:
        """Hash: an agent's own state: `turn`, `lease` of its holder then, `at` when it ended,
        `guard`, `done`, `alone`, `waits` (`core.agent.waiting`), `m:N` for each entry of its
        memory, `p:CHANNEL` for each position, `h:CHANNEL ISSUER` for
        the last mark it has answered there, `serial` of its last output."""
        return f"{self._prefix}_state:{id}"

    def steps(self, id: AgentId) -> str:
        """Hash: the step journal of the turn under way: `TURN:N:b` begun, `TURN:N:e` ended,
        `TURN:batch`, and where it was tried more than once `TURN:tries`: attempts, steps ended by
        then, the last one's token; `TURN:waits` has the rule by which a begin was put off."""
        return f"{self._prefix}_steps:{id}"

    def lent(self, id: str) -> str:
        """Hash: the calls of agents for which a mission's account reserves a part,
        `AGENT TURN:N:b`, as a step journal has them."""
        return f"{self._prefix}_lent:{id}"

    def use(self, id: AgentId) -> str:
        """Hash: the privilege paths the agent may use -> the number of each
        (`privileges.Held.number`).
        """
        return f"{self._prefix}_use:{id}"

    def set_aside(self, name: str) -> str:
        """Whatever was found under one of our names and is of another type than ours. Nobody reads
        it: it is kept for people to look at, and deleted by them."""
        return f"{self._prefix}_quarantine:{name}"

    def once(self, key: str) -> str:
        """String: the stream id a keyed post from outside was given, remembered for an hour."""
        return f"{self._prefix}_once:{key}"


# --- of which type ------------------------------------------------------------------------------

_TYPES: Final = {
    "hash": (
        "agent:",
        "ledger:",
        "mission:",
        "task:",
        "_state:",
        "_steps:",
        "_lent:",
        "_use:",
        "_pace:",
        "_meta",
        "_positions",
        "_journal",
        "_heard",
        "_ends",
        "_holds",
    ),
    "set": ("children:", "_agents", "_missions", "_hosts"),
    "zset": ("_heads", "_ended", "_starts:"),
    "string": (
        "_host:",
        "_once:",
        "_workspace",
        "_confirmed",
        "_supervisor",
        "_posts",
        "_fencing",
    ),
    "stream": (
        "missions",
        "results",
        "dead",
        "orders",
        "requests",
        "journal",
        "_facts",
        "room:",
        "down:",
        "up:",
        "inbox:",
        "_placed:",
    ),
}
_ROWS: Final = {
    table.stored: "string" if table.has_own_keys and not table.has_parts else "hash"
    for table in TABLES
}
COUNTERS: Final = ("_posts", "_fencing")
"""Strings that a script counts up: what is no number there stops whoever counts as another type
would.
"""
# Digits of a counter that can still be counted up, and compared in a script without loss.
_COUNTER: Final = re.compile(r"[0-9]{1,15}")


def type_of(name: str) -> str:
    """What the server calls the type of the key of that name without its namespace. Empty for a
    name that is none of ours, and for what was set aside."""
    stem, colon, _ = name.partition(":")
    stem += colon
    return _ROWS.get(stem) or next((kind for kind, stems in _TYPES.items() if stem in stems), "")


def is_counter(text: str | None) -> bool:
    """Is that a counter's value? A counter that is not there is one that begins."""
    return text is None or _COUNTER.fullmatch(text) is not None


# --- what there is, for whoever says who may do what with it -----------------------------------

ANY: Final = "*"
"""Stands for every id in a name below, as it does in the patterns of Redis."""

_STREAMS: Final = (
    channels.MISSIONS,
    channels.RESULTS,
    channels.DEAD,
    channels.ORDERS,
    channels.REQUESTS,
    channels.JOURNAL,
    channels.room(ANY),
    channels.down(AgentId(ANY)),
    channels.up(AgentId(ANY)),
    channels.inbox(AgentId(ANY)),
    channels.host_channel(HostId(ANY)),
)
_NO_KEYS: Final = ("__init__", "prefix", "channel", "channel_of", "rows")  # members of `Keys`


def shared_names() -> tuple[str, ...]:
    """Those keys, without the namespace, that the whole swarm stands on, and not one agent,
    mission or host alone.
    """
    return (
        *(name for name in key_names() if ANY not in name and name != "_never"),
        channels.BOARD_ROOM,
        channels.up(names.SOB),
    )


WORKER_READS: Final = (
    *patterns_read_by("workers"),
    "_ends",
    "_heads",
    "_holds",
    "_hosts",
    "_meta",
    "_posts",
    "_supervisor",
    "_workspace",
    channels.REQUESTS,
    channels.DEAD,
    channels.BOARD_ROOM,
    channels.up(names.SOB),
)
"""Of `shared_names` those that a worker's user may read (policies/acl.yaml). To ask for more would
only fill the server's ACL LOG.
"""


def channel_names() -> tuple[str, ...]:
    """Every pub/sub channel without its namespace, `*` for an id."""
    return _STREAMS


def key_names() -> tuple[str, ...]:
    """Every key without its namespace, `*` for an id: `_meta`, `agent:*`. Read off `Keys`, so
    that none is forgotten.
    """
    keys = Keys("")
    found: list[str] = [*_STREAMS]
    for name, member in vars(Keys).items():
        if name in _NO_KEYS:
            continue
        if isinstance(member, property):
            found.append(getattr(keys, name))
        elif isinstance(member, FunctionType):
            found.append(member(keys, *[ANY] * (member.__code__.co_argcount - 1)))
    found += [table.pattern for table in TABLES]
    # One hash may hold rows of more than one table.
    return tuple(dict.fromkeys(name.removeprefix(":") for name in found))
