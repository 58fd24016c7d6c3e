"""Keys of the swarm's that hold something else: set aside, and what they held given back. It needs
no supervisor.

A supervisor cannot commit past such a key, so that it cannot be asked to mend it. Nothing is
deleted: what was found is kept under another name (`Keys.set_aside`). Given back is what the store
itself or the journal still says, where nobody leads; what neither says begins anew, as after its
loss, and the next supervisor records that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.archive.history import at as past_at
from swarmd.adapters.archive.segments import JournalFiles, swarms
from swarmd.adapters.redis.codecs import agent_of, hold_text
from swarmd.adapters.redis.connection.address import Target
from swarmd.adapters.redis.connection.errors import refused
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.adapters.redis.founding import SEAL_LOST, demand_by_messages, demand_secret
from swarmd.adapters.redis.keys import COUNTERS, Keys, shared_names, type_of
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.reader import View, ask
from swarmd.core.bus.envelope import Seal
from swarmd.core.bus.foreign import is_counted
from swarmd.core.journal.replay import State, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.chain import Record
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.messages import line_of
from swarmd.core.model.names import AgentId, Channel
from swarmd.core.model.tables import MARKS
from swarmd.core.model.timings import LEASE_SECONDS
from swarmd.core.model.versions import SCHEMA
from swarmd.errors import ArchiveError, StoreUnsuitableError, WrongKeyError

_SCAN_COUNT: Final = 1_000
# Of one pipeline to the server, as for all reads of a face.
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class SetAside:
    """One key that was moved: its name without the namespace, what it was, and the whole name
    that it has now.
    """

    name: str
    found: str
    kept_as: str


@dataclass(slots=True)
class Quarantine:
    """One look through a swarm's keys, and the mending of what it found. Close its wire when
    done.
    """

    target: Target
    keys: Keys
    folder: Path  # of the journal's files
    secret: str
    host: str  # under which the lead is taken, where nobody has it
    wire: Wire = field(init=False)

    def __post_init__(self) -> None:
        self.wire = connect_sync(self.target, namespace=self.keys.namespace)

    def mend(self) -> list[SetAside]:
        """Sets aside what is wrong and gives back what is known. Raises `SwarmError`: nothing was
        moved then by who has another secret than the swarm's.
        """
        with closing(self.wire):
            self._demand_secret()
            aside = [
                moved for name in self._names() if (moved := self._set_aside(name)) is not None
            ]
            gone = {one.name for one in aside}
            self._give_back(gone)
            # The rest a supervisor that leads has in memory: it writes it at its next commit, or is
            # ordered to.
            if gone & {"_journal", "_agents", "_missions", *_FROM_RECORDS} and self._leads():
                try:
                    self._give_back_from_journal(gone)
                finally:
                    self._release()
        return aside

    def _demand_secret(self) -> None:
        try:
            demand_secret(self.wire, self.keys, self._seal)
        except WrongKeyError:  # `_meta` itself is written over
            demand_by_messages(self.wire, self.keys, self._seal)

    @property
    def _seal(self) -> Seal:
        return Seal(self.secret.encode(), self.keys.namespace)

    def _set_aside(self, name: str) -> SetAside | None:
        key, kind = self.keys.channel(Channel(name)), type_of(name)
        kept_as = self.keys.set_aside(f"{time.time_ns() // 1_000_000}:{name}")
        if name == JOURNAL and self._do("TYPE", key) not in (kind, "none"):
            # Whoever leads takes the lead anew, and with it the journal: what is lost is then told
            # by the first entry that is written after it.
            self._do("DEL", self.keys.leader)
        is_counter = "1" if name in COUNTERS else ""
        channel = name if is_counted(Channel(name)) else ""
        keys = [key, kept_as, self.keys.ends]
        found = self._evaluate("set_aside", keys, [kind, is_counter, channel])
        return SetAside(name, found.decode(), kept_as) if found else None

    def _evaluate(self, name: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        reply = self.wire.command("EVAL", script(name).text, len(keys), *keys, *args)
        if isinstance(reply, ErrorReply):
            raise refused(reply)
        return reply

    def _do(self, *words: str | int) -> Any:
        return ask(self.wire, [str(word) for word in words])[0]

    # --- names ---

    def _names(self) -> Iterator[str]:
        """The names of the swarm's keys that hold something else than ours. What all stand on
        first: the lease is among it.
        """
        shared = shared_names()
        yield from shared
        known = set(shared)
        for start in self._scanned():
            names = [name for name in start if name not in known and type_of(name)]
            kinds = ask(self.wire, *(["TYPE", self.keys.channel(Channel(name))] for name in names))
            yield from (
                name for name, kind in zip(names, kinds, strict=True) if kind != type_of(name)
            )

    def _scanned(self, stem: str = "") -> Iterator[list[str]]:
        prefix, cursor = self.keys.prefix, "0"
        pattern = "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix + stem) + "*"
        while True:
            cursor, found = self._do("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            yield [name[len(prefix) :] for name in found]
            if cursor == "0":
                return

    def _all(self, stem: str) -> list[str]:
        """The ids of all keys of a kind, such as `agent:`."""
        return sorted(name[len(stem) :] for names in self._scanned(stem) for name in names)

    # --- the lead ---

    def _leads(self) -> bool:
        keys = [self.keys.leader, self.keys.fencing]
        return bool(self._evaluate("lead", keys, [self.host, int(LEASE_SECONDS * 1_000)]))

    def _release(self) -> None:
        if str(self._do("GET", self.keys.leader)).partition(":")[2] == self.host:
            self._do("DEL", self.keys.leader)

    # --- giving back ---

    def _give_back(self, gone: set[str]) -> None:
        k = self.keys
        if "_meta" in gone:
            self._meta()
        if gone & {"_posts", "_heads"}:
            self._marks_of_channels()
        if "_holds" in gone:
            self._holds()
        if "_hosts" in gone:
            self._members(k.hosts, self._all("_host:"))

    def _holds(self) -> None:
        """Of the living agents' records. A supervisor that has written one since has the last
        word.
        """
        k = self.keys
        for id in self._do("SMEMBERS", k.agents):
            flat = self._do("HGETALL", k.agent(AgentId(id)))
            agent = agent_of(dict(zip(flat[::2], flat[1::2], strict=True)))
            if agent is not None:
                self._do("HSETNX", k.holds, id, hold_text(agent))

    def _give_back_from_journal(self, gone: set[str]) -> None:
        k = self.keys
        if "_journal" in gone:
            self._head()
        state = self._state() if gone & {"_agents", "_missions", *_FROM_RECORDS} else None
        if state is None:
            return
        records = state.records.values
        if "_agents" in gone:
            self._members(k.agents, _ids(records, "agent"))
        if "_missions" in gone:
            self._members(k.missions, _ids(records, "mission"))
        for name in gone & _FROM_RECORDS.keys():
            table = _FROM_RECORDS[name]
            assert table.restored is not None
            for id in _ids(records, table.name):
                value = table.restored(id, records[f"{table.name}:{id}"])
                self._do("HSET", k.rows(table), table.prefix + id, table.encode(value))

    def _members(self, key: str, ids: Iterable[str]) -> None:
        found = list(ids)
        for start in range(0, len(found), _AT_ONCE):
            self._do("SADD", key, *found[start : start + _AT_ONCE])

    def _meta(self) -> None:
        # With which secret the messages are sealed, one of them has to show: who mends may have
        # another. Where none does, the supervisor that knows it says it again.
        is_ours = demand_by_messages(self.wire, self.keys, self._seal)
        self._do("HSETNX", self.keys.meta, "schema", SCHEMA)
        self._do("HSETNX", self.keys.meta, "seal", self._seal.fingerprint if is_ours else SEAL_LOST)
        swarm = self._swarm()
        if swarm:
            self._do("HSETNX", self.keys.meta, "swarm", swarm)

    def _swarm(self) -> str:
        """Whose journal in the data folder goes with the store's: the swarm's own id. Empty
        where none does.
        """
        hashes = {hash for _, hash in self._ends()}
        found = swarms(self.folder)
        for id in found:
            try:
                anchor = JournalFiles(self.folder, id).check()
            except ArchiveError:
                continue
            if anchor.hash in hashes:
                return id
        return found[0] if len(found) == 1 else ""

    def _ends(self) -> Iterator[tuple[int, str]]:
        """Number and hash of each entry that the store still has."""
        with closing(
            View(connect_sync(self.target, namespace=self.keys.namespace), self.keys)
        ) as view:
            for id, line in view.journal():
                try:
                    link = link_of(id, line)
                except Fault:
                    continue
                if link is not None:
                    yield link.n, link.hash

    def _marks_of_channels(self) -> None:
        """Every channel is marked as moved: whoever reads it looks, and finds what is new to it."""
        k = self.keys
        last = self._do("ZREVRANGE", k.heads, 0, 0, "WITHSCORES")
        self._do("SET", k.posts, int(float(last[1])) if last else 0, "NX")
        for names in self._scanned():
            for name in names:
                if type_of(name) == "stream" and name != "_facts":
                    self._do("ZADD", k.heads, self._do("INCR", k.posts), name)

    def _head(self) -> None:
        last = self._do("XREVRANGE", self.keys.channel(JOURNAL), "+", "-", "COUNT", 1)
        try:
            link = link_of(last[0][0], line_of(last[0][1])) if last else None
        except Fault:
            return
        if link is not None:
            head = link.head
            self._do("HSET", self.keys.head, "n", head.n, "hash", head.hash, "after", head.after)

    def _state(self) -> State | None:
        """What the journal says that there is. `None` where it cannot be followed."""
        swarm = self._do("HGET", self.keys.meta, "swarm")
        with closing(
            View(connect_sync(self.target, namespace=self.keys.namespace), self.keys)
        ) as view:
            try:
                past = past_at(self.folder, swarm or "", view.journal(), lambda link: False)
            except (ArchiveError, StoreUnsuitableError):
                return None
        return None if past is None else past.state


def _ids(records: Mapping[str, Record], kind: str) -> list[str]:
    prefix = f"{kind}:"
    return [key[len(prefix) :] for key in records if key.startswith(prefix)]


_FROM_RECORDS: Final = {table.stored: table for table in MARKS.values() if table.restored}
