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
from swarmd.adapters.archive.journal_files import JournalFiles
from swarmd.adapters.archive.segments import swarms
from swarmd.adapters.redis.codecs import agent_of, hold_text
from swarmd.adapters.redis.connection.address import Target
from swarmd.adapters.redis.connection.errors import refused
from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import ErrorReply, Wire
from swarmd.adapters.redis.founding import SEAL_LOST, demand_by_messages, demand_secret
from swarmd.adapters.redis.keys import COUNTERS, Keys, shared_names, type_of
from swarmd.adapters.redis.lua import script
from swarmd.adapters.redis.reader import View, ask, names_from
from swarmd.core.bus.envelope import Seal
from swarmd.core.bus.foreign import is_counted
from swarmd.core.journal.replay import State, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.chain import Record
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.messages import line_of
from swarmd.core.model.names import AgentId, Channel
from swarmd.core.model.tables import MARKS, Table
from swarmd.core.model.timings import LEASE_SECONDS
from swarmd.core.model.versions import SCHEMA
from swarmd.errors import ArchiveError, StoreUnsuitableError, WrongKeyError

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
                moved
                for name in self._wrong_names()
                if (moved := self._set_aside(name)) is not None
            ]
            gone = {one.name for one in aside}
            self._give_back(gone)
            # The rest a supervisor that leads has in memory: it writes it at its next commit, or is
            # ordered to.
            if gone & {"_journal", "_agents", "_missions", *_FROM_RECORDS} and self._take_lead():
                try:
                    self._give_back_from_journal(gone)
                finally:
                    self._release_lead()
        return aside

    def _demand_secret(self) -> None:
        try:
            demand_secret(self.wire, self.keys, self._swarm_seal)
        except WrongKeyError:  # `_meta` itself is written over
            demand_by_messages(self.wire, self.keys, self._swarm_seal)

    @property
    def _swarm_seal(self) -> Seal:
        return Seal(self.secret.encode(), self.keys.namespace)

    def _set_aside(self, name: str) -> SetAside | None:
        key, kind = self.keys.channel(Channel(name)), type_of(name)
        kept_as = self.keys.set_aside(f"{time.time_ns() // 1_000_000}:{name}")
        if name == JOURNAL and self._ask_one("TYPE", key) not in (kind, "none"):
            # Whoever leads takes the lead anew, and with it the journal: what is lost is then told
            # by the first entry that is written after it.
            self._ask_one("DEL", self.keys.leader)
        is_counter = "1" if name in COUNTERS else ""
        channel = name if is_counted(Channel(name)) else ""
        keys = [key, kept_as, self.keys.ends]
        found = self._run_script("set_aside", keys, [kind, is_counter, channel])
        return SetAside(name, found.decode(), kept_as) if found else None

    def _run_script(self, name: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        reply = self.wire.command("EVAL", script(name).text, len(keys), *keys, *args)
        if isinstance(reply, ErrorReply):
            raise refused(reply)
        return reply

    def _ask_one(self, *words: str | int) -> Any:
        return ask(self.wire, [str(word) for word in words])[0]

    # --- names ---

    def _wrong_names(self) -> Iterator[str]:
        """The names of the swarm's keys that hold something else than ours. What all stand on
        first: the lease is among it.
        """
        shared = shared_names()
        yield from shared
        known = set(shared)
        for start in names_from(self.wire, self.keys):
            names = [name for name in start if name not in known and type_of(name)]
            kinds = ask(self.wire, *(["TYPE", self.keys.channel(Channel(name))] for name in names))
            yield from (
                name for name, kind in zip(names, kinds, strict=True) if kind != type_of(name)
            )

    def _all_ids(self, stem: str) -> list[str]:
        """The ids of all keys of a kind, such as `agent:`."""
        found = names_from(self.wire, self.keys, stem)
        return sorted(name.removeprefix(stem) for names in found for name in names)

    # --- the lead ---

    def _take_lead(self) -> bool:
        keys = [self.keys.leader, self.keys.fencing]
        return bool(self._run_script("lead", keys, [self.host, int(LEASE_SECONDS * 1_000)]))

    def _release_lead(self) -> None:
        if str(self._ask_one("GET", self.keys.leader)).partition(":")[2] == self.host:
            self._ask_one("DEL", self.keys.leader)

    # --- giving back ---

    def _give_back(self, gone: set[str]) -> None:
        k = self.keys
        if "_meta" in gone:
            self._give_back_meta()
        if gone & {"_posts", "_heads"}:
            self._marks_of_channels()
        if "_holds" in gone:
            self._give_back_holds()
        if "_hosts" in gone:
            self._add_members(k.hosts, self._all_ids("_host:"))

    def _give_back_holds(self) -> None:
        """Of the living agents' records. A supervisor that has written one since has the last
        word.
        """
        k = self.keys
        for id in self._ask_one("SMEMBERS", k.agents):
            flat = self._ask_one("HGETALL", k.agent(AgentId(id)))
            agent = agent_of(dict(zip(flat[::2], flat[1::2], strict=True)))
            if agent is not None:
                self._ask_one("HSETNX", k.holds, id, hold_text(agent))

    def _give_back_from_journal(self, gone: set[str]) -> None:
        k = self.keys
        if "_journal" in gone:
            self._give_back_head()
        state = (
            self._state_of_journal() if gone & {"_agents", "_missions", *_FROM_RECORDS} else None
        )
        if state is None:
            return
        records = state.records.values
        if "_agents" in gone:
            self._add_members(k.agents, _ids_of(records, "agent"))
        if "_missions" in gone:
            self._add_members(k.missions, _ids_of(records, "mission"))
        for name in gone & _FROM_RECORDS.keys():
            self._give_back_rows(_FROM_RECORDS[name], records)

    def _give_back_rows(self, table: Table[Any], records: Mapping[str, Record]) -> None:
        assert table.restored is not None
        for id in _ids_of(records, table.name):
            value = table.restored(id, records[f"{table.name}:{id}"])
            self._ask_one("HSET", self.keys.rows(table), table.prefix + id, table.encode(value))

    def _add_members(self, key: str, ids: Iterable[str]) -> None:
        found = list(ids)
        for start in range(0, len(found), _AT_ONCE):
            self._ask_one("SADD", key, *found[start : start + _AT_ONCE])

    def _give_back_meta(self) -> None:
        # With which secret the messages are sealed, one of them has to show: who mends may have
        # another. Where none does, the supervisor that knows it says it again.
        is_ours = demand_by_messages(self.wire, self.keys, self._swarm_seal)
        self._ask_one("HSETNX", self.keys.meta, "schema", SCHEMA)
        self._ask_one(
            "HSETNX", self.keys.meta, "seal", self._swarm_seal.fingerprint if is_ours else SEAL_LOST
        )
        swarm = self._find_swarm()
        if swarm:
            self._ask_one("HSETNX", self.keys.meta, "swarm", swarm)

    def _find_swarm(self) -> str:
        """Whose journal in the data folder goes with the store's: the swarm's own id. Empty
        where none does.
        """
        hashes = {hash for _, hash in self._entry_heads()}
        found = swarms(self.folder)
        for id in found:
            try:
                anchor = JournalFiles(self.folder, id).check()
            except ArchiveError:
                continue
            if anchor.hash in hashes:
                return id
        return found[0] if len(found) == 1 else ""

    def _entry_heads(self) -> Iterator[tuple[int, str]]:
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
        last = self._ask_one("ZREVRANGE", k.heads, 0, 0, "WITHSCORES")
        self._ask_one("SET", k.posts, int(float(last[1])) if last else 0, "NX")
        for names in names_from(self.wire, self.keys):
            for name in names:
                if type_of(name) == "stream" and name != "_facts":
                    self._ask_one("ZADD", k.heads, self._ask_one("INCR", k.posts), name)

    def _give_back_head(self) -> None:
        last = self._ask_one("XREVRANGE", self.keys.channel(JOURNAL), "+", "-", "COUNT", 1)
        try:
            link = link_of(last[0][0], line_of(last[0][1])) if last else None
        except Fault:
            return
        if link is not None:
            head = link.head
            self._ask_one(
                "HSET", self.keys.head, "n", head.n, "hash", head.hash, "after", head.after
            )

    def _state_of_journal(self) -> State | None:
        """What the journal says that there is. `None` where it cannot be followed."""
        swarm = self._ask_one("HGET", self.keys.meta, "swarm")
        with closing(
            View(connect_sync(self.target, namespace=self.keys.namespace), self.keys)
        ) as view:
            try:
                past = past_at(self.folder, swarm or "", view.journal(), lambda link: False)
            except (ArchiveError, StoreUnsuitableError):
                return None
        return None if past is None else past.state


def _ids_of(records: Mapping[str, Record], kind: str) -> list[str]:
    prefix = f"{kind}:"
    return [key[len(prefix) :] for key in records if key.startswith(prefix)]


_FROM_RECORDS: Final = {table.stored: table for table in MARKS.values() if table.restored}
