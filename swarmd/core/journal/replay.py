"""The journal read back: the state at each entry, made from the entries alone. Pure.

`State.follow` checks the chain (number, hash of the one before, digests of the state) and folds
effects and facts; what is lawful is judged by `core/journal/audit.py`, which is shown each change
before it is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from swarmd.core.journal.entries import ANEW
from swarmd.core.ledger.accounts import Fault, Ledger
from swarmd.core.model.chain import GENESIS, Effect, Head, Record, Records, sha256, without_hash
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import is_stream_id, order_of
from swarmd.core.model.names import FIRST, StreamId


@dataclass(frozen=True, slots=True)
class Link:
    """One entry as it was read: where it stands, what its line says, and of that the data."""

    id: StreamId
    said: Mapping[str, Any]
    data: Mapping[str, Any]
    hash: str

    @property
    def n(self) -> int:
        return int(self.data["n"])

    @property
    def event(self) -> str:
        return str(self.data.get("event", ""))

    @property
    def head(self) -> Head:
        return Head(self.n, self.hash, str(self.data["after"]))

    def field(self, name: str) -> str:
        return str(self.said.get(name, ""))


def link_of(id: StreamId, line: str) -> Link | None:
    """Raises `Fault` for an entry that is not what its hash says; `None` for one that claims no
    hash at all.
    """
    found = without_hash(line)
    if found is None:
        return None
    text, hash = found
    if sha256(text) != hash:
        raise Fault("its hash is not that of what it says")
    try:
        said = json.loads(line)
        data = said["data"]
        if not isinstance(data["n"], int) or not all(
            isinstance(data[k], str) for k in _CHAIN_TEXTS
        ):
            raise Fault("its chain cannot be read")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Fault("its data cannot be read") from error
    return Link(id, said, data, hash)


def event_of(id: StreamId, line: str) -> str:
    """Empty for what is no entry of the chain."""
    try:
        link = link_of(id, line)
    except Fault:
        return ""
    return "" if link is None else link.event


_CHAIN_TEXTS: Final = ("prev", "before", "after")


class Judge(Protocol):
    """Is shown all that an entry is about to do, and notes what the law forbids."""

    def begin(self, state: State) -> None: ...

    def effect(self, state: State, link: Link, key: str, new: Record | None) -> None: ...

    def entry(self, state: State, link: Link) -> None: ...

    def fact(self, state: State, fact: Mapping[str, Any], touched: Iterable[str]) -> None: ...


@dataclass(slots=True)
class State:
    """What the journal knows after its entry `head`. `facts_until` is the last fact that was
    folded.

    A state that is not known (what led to it is lost) has only a head, and can be followed by
    nothing but an entry that states all anew.
    """

    head: Head = field(default_factory=Head)
    records: Records = field(default_factory=Records)
    ledger: Ledger = field(default_factory=Ledger)
    facts_until: StreamId = FIRST
    is_known: bool = True

    def follow(self, link: Link, judge: Judge | None = None) -> None:
        """The next entry, its every change shown to `judge` first. Raises `Fault` where the
        chain is broken here.
        """
        self._check_place(link)
        if judge is not None:
            judge.entry(self, link)
        for effect in _effects(link):
            self._effect(link, effect, judge)
        if link.data["after"] != self.records.digest:
            raise Fault("its effects do not lead to the state that it names")
        if link.event == JournalEvent.JOURNAL_RESTATED:
            self._take_anew(link, judge)
        if link.event == JournalEvent.FACTS_FOLDED:
            self._fold_all(link, judge)
        self.head = link.head

    def _check_place(self, link: Link) -> None:
        """It is the one that comes after `head`."""
        if link.n != self.head.n + 1:
            raise Fault(_numbered(self.head.n + 1, link.n))
        if link.data["prev"] != self.head.hash:
            raise Fault(f"it does not follow entry {self.head.n}: that has another hash")
        if link.data["before"] != self.head.after:
            raise Fault(f"it begins with another state than entry {self.head.n} left")
        if not self.is_known and link.event != JournalEvent.JOURNAL_RESTATED:
            raise Fault("what led to it is not known")

    def _take_anew(self, link: Link, judge: Judge | None) -> None:
        """The entry has stated all anew: its accounts, too, are taken as it says."""
        self.is_known = True
        self.ledger = Ledger.from_json(link.data["accounts"])
        self.facts_until = StreamId(link.data["facts_until"])
        if judge is not None:
            judge.begin(self)

    def _fold_all(self, link: Link, judge: Judge | None) -> None:
        for fact in link.data.get("facts", ()):
            self.fold(fact, judge)
        until = StreamId(str(link.data.get("until", self.facts_until)))
        if not is_stream_id(until):
            raise Fault("where it has read the facts up to cannot be read")
        # What was refused among the facts was read all the same, and is not met again.
        self.facts_until = max(self.facts_until, until, key=order_of)

    def _effect(self, link: Link, effect: Effect, judge: Judge | None) -> None:
        key, changed = effect
        if key == ANEW:
            self.records.clear()
            return
        if judge is not None and link.event != JournalEvent.JOURNAL_RESTATED:
            new = None
            if changed is not None:
                merged = {**self.records.values.get(key, {}), **changed}
                new = {name: part for name, part in merged.items() if part is not None}
            judge.effect(self, link, key, new)
        self.records.apply(effect)

    def fold(self, fact: Mapping[str, Any], judge: Judge | None = None) -> None:
        id = StreamId(str(fact.get("id", "")))
        try:
            if order_of(id) <= order_of(self.facts_until):
                raise Fault(f"the fact {id} was folded before")
        except ValueError as error:
            raise Fault(f"a fact has no id: {id!r}") from error
        touched = self.ledger.fold(fact)
        self.facts_until = id
        if judge is not None:
            judge.fact(self, fact, touched)

    # --- as JSON: the snapshot that a segment begins with ---

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.head.n,
            "hash": self.head.hash,
            "after": self.head.after,
            "records": self.records.values,
            "accounts": self.ledger.to_json(),
            "facts_until": self.facts_until,
            "known": self.is_known,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> State:
        """Raises `Fault` where the records are not those of the digest."""
        try:
            made = cls(
                Head(value["n"], value["hash"], value["after"]),
                Records.of(value["records"].items()),
                Ledger.from_json(value["accounts"]),
                StreamId(value["facts_until"]),
                bool(value["known"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Fault(f"a snapshot cannot be read: {error!r}") from error
        if made.is_known and made.records.digest != made.head.after:
            raise Fault("a snapshot's records are not those of its digest")
        return made

    @classmethod
    def before(cls, link: Link) -> State:
        """Nothing is known but where the chain stands: for an entry that states all anew."""
        return cls(Head(link.n - 1, link.data["prev"], link.data["before"]), is_known=False)


def _numbered(wanted: int, found: int) -> str:
    if found > wanted:
        missing = (
            f"entry {wanted} is" if found == wanted + 1 else f"entries {wanted} to {found - 1} are"
        )
        return f"{missing} missing before it"
    return f"it is numbered {found}, where {wanted} is the next"


def _effects(link: Link) -> list[Effect]:
    effects = link.data.get("effects", [])
    try:
        made: list[Effect] = [
            (key, None if value is None else dict(value)) for key, value in effects
        ]
    except (TypeError, ValueError) as error:
        raise Fault("its effects cannot be read") from error
    return made


def read_on(state: State | None, entries: Iterable[tuple[StreamId, str]]) -> State | None:
    """The state after these entries as well; what claims no place in the chain is passed over.
    Raises `Fault` where one does not follow, and none after it states all anew.
    """
    fault: Fault | None = None
    for id, line in entries:
        try:
            link = link_of(id, line)
            if link is not None:
                state, fault = followed(state, link, fault), None
        except Fault as found:
            state, fault = None, fault or found
    if fault is not None:
        raise fault
    return state


def followed(state: State | None, link: Link, fault: Fault | None) -> State:
    """The state after that entry as well. Raises `Fault`: again the one that was met before, until
    an entry states all anew.
    """
    is_anew = link.event == JournalEvent.JOURNAL_RESTATED
    if fault is not None and not is_anew:
        raise fault
    if state is None or (is_anew and link.n != state.head.n + 1):
        state = first_state(link)
    state.follow(link)
    return state


def first_state(link: Link) -> State:
    """The state before the first entry that is at hand. Raises `Fault` where it cannot be known."""
    if link.event == JournalEvent.JOURNAL_RESTATED:
        return State.before(link)
    if link.n != 1:
        raise Fault(_numbered(1, link.n))
    if link.data["prev"] != GENESIS:
        raise Fault("the first entry follows another")
    return State()
