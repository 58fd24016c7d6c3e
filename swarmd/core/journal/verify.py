"""The whole journal held against itself, its anchors and the laws: what `swarmd journal verify`
says. Pure.

Fed in order: the anchors, each sealed segment, the entries that the store still holds, and where
the store says that its journal ends. What cannot be true is a `Finding` with the number of the
entry; the reading goes on at the next entry that states all anew, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from swarmd.core.journal.audit import Auditor
from swarmd.core.journal.replay import Link, State, event_of, first_state, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.chain import Head
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.names import StreamId

FindingKind = Literal["tampered", "unlawful", "lost", "recovered", "restated", "unanchored"]

# A journal that is wrong in one place is often wrong in many: the first ones tell.
FINDINGS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong: the entry's number (0: of the whole), where it stands, and why."""

    kind: FindingKind
    n: int
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """An anchor as the proof takes it: `lost` where the store had lost what came after `head`."""

    kind: str
    head: Head
    lost: Head | None
    where: str


@dataclass(slots=True)
class Proof:
    """Feed it in the order of its methods, then `close`. `findings` are sorted, the first bad
    entry first.
    """

    findings: list[Finding] = field(default_factory=list)
    acknowledged: list[Finding] = field(default_factory=list)
    state: State = field(default_factory=State)
    entries: int = 0
    anchors: int = 0
    first: int = 0
    _auditor: Auditor = field(default_factory=Auditor)
    _live: list[Vouched] = field(
        default_factory=list
    )  # anchors that the journal as it is must still keep
    _recoveries: set[tuple[int, str, int, str]] = field(
        default_factory=set
    )  # signed: continues, lost
    _hashes: dict[int, str] = field(
        default_factory=dict
    )  # of the entries that something else speaks of
    _wanted: set[int] = field(default_factory=set)
    _sealed: dict[int, str] = field(
        default_factory=dict
    )  # hashes of the last segment, which the store has too
    _sealed_last: int = 0
    _broken_at: int = 0  # findings from this entry on belong to one break, until all is stated anew
    _overlap_until: int = 0  # the store's entry that was last held against its sealed copy
    _has_gap: bool = (
        False  # a file could not be read: the next segment's own snapshot is all that is known
    )
    _is_legacy: bool = False
    _is_started: bool = False

    # --- anchors ---

    def anchored(self, anchors: Sequence[Vouched]) -> None:
        self.anchors, before = len(anchors), None
        for anchor in anchors:
            if anchor.lost is not None:
                self._take_as_lost(anchor.head, anchor.lost)
            elif before is not None:
                self._check_order(before, anchor)
            before = anchor
            self._live.append(anchor)
        self._wanted |= {anchor.head.n for anchor in self._live}

    def _check_order(self, before: Vouched, anchor: Vouched) -> None:
        if anchor.head.n < before.head.n:
            what = "the anchors go back without a reason"
            self._note("tampered", anchor.head.n, anchor.where, what)
        elif before.kind == "stopped" and anchor.head.n > before.head.n:
            what = "entries were written while no supervisor led"
            self._note("tampered", before.head.n + 1, anchor.where, what)

    def _take_as_lost(self, head: Head, lost: Head) -> None:
        """What was lost needs no longer be there; that it was lost was signed before it was
        written.
        """
        self._recoveries.add((head.n, head.hash, lost.n, lost.hash))
        while self._live and self._live[-1].head.n > head.n:
            self._live.pop()

    def want(self, n: int) -> None:
        """Something else will speak of this entry's hash."""
        self._wanted.add(n)

    # --- segments ---

    def segment(self, name: str, state: State, entries: Sequence[tuple[StreamId, str]]) -> None:
        """A segment whose signature is good. Its snapshot must be the state that the one before
        it left.
        """
        is_anew = bool(entries) and event_of(*entries[0]) == JournalEvent.JOURNAL_RESTATED
        if not is_anew:
            self._begin_at(name, state)
        self._has_gap = False
        self._sealed = {}
        for number, (id, line) in enumerate(entries, start=2):
            link = self._entry(f"{name}:{number}", id, line)
            if link is not None:
                self._sealed[link.n] = link.hash
                self._sealed_last = link.n

    def _begin_at(self, name: str, state: State) -> None:
        """A snapshot is compared with what was left before it; where that is not known, taken."""
        if self._is_started and not self._has_gap and not self._broken_at:
            self._compare(name, state)
            return
        if not self._is_started and state.head.n and not self._has_gap:
            what = f"entries 1 to {state.head.n} are missing before it"
            self._note("tampered", 1, name, what)
        self._start(state)

    def _compare(self, name: str, state: State) -> None:
        last, n = self.state.head, state.head.n
        if n > last.n:
            what = f"entries {last.n + 1} to {n} are missing before it"
            self._note("tampered", last.n + 1, name, what)
            self._start(state)
        elif (state.head, state.ledger.to_json()) != (last, self.state.ledger.to_json()):
            self._note("tampered", n + 1, name, "it begins with another state than was left")

    def unreadable(self, where: str, what: str, *, after: int) -> None:
        """A file that is not what was signed: what follows it is read from its own snapshot."""
        self._note("tampered", after + 1, where, what)
        self._has_gap = True

    # --- the store ---

    def stored(self, id: StreamId, line: str) -> None:
        """An entry that the store still holds. It keeps the last segment's too: they must be the
        same.
        """
        where = f"journal {id}"
        link = self._read(where, id, line)
        if link is None:
            return
        if link.n <= self._sealed_last and not self._broken_at and self._sealed:
            self._is_same_as_sealed(where, link)
            return
        self._follow(where, link)

    def _is_same_as_sealed(self, where: str, link: Link) -> None:
        oldest = min(self._sealed)
        if link.n >= oldest and self._sealed.get(link.n) != link.hash:
            self._break(link.n, where, "the store has another entry than was sealed")
            return
        expected = self._overlap_until + 1 if self._overlap_until else min(link.n, oldest)
        if link.n != expected:
            self._note(
                "tampered", expected, where, f"entry {expected} is missing before it in the store"
            )
        self._overlap_until = link.n

    def ended(self, claimed: Head) -> None:
        """The store's own word where its journal ends, which is written with every entry."""
        self._check_sealed()
        n, last = claimed.n, self.state.head.n
        if n > last and not self._broken_at:
            what = f"it ends at {last}, the store wrote {n}"
            self._note("tampered", last + 1, "journal", what)
        elif n == 0 < last:
            self._note("tampered", last, "journal", "the store's own word of its end is gone")
        elif self._hash_at(claimed) != claimed.hash:
            what = "it is another entry than the store wrote last"
            self._note("tampered", n, "journal", what)

    def _check_sealed(self) -> None:
        if self._sealed and self._overlap_until < self._sealed_last:
            missing = max(self._overlap_until + 1, min(self._sealed))
            self._note("tampered", missing, "journal", "the store lacks entries that are sealed")

    def _hash_at(self, claimed: Head) -> str:
        """The hash of the entry of that number; its own word, where that entry is not known."""
        last = self.state.head
        return last.hash if claimed.n == last.n else self._hashes.get(claimed.n, claimed.hash)

    # --- the end ---

    def close(self, *, files_only: bool = False) -> None:
        self._check_anchors(files_only=files_only)
        if self.entries and not self.anchors:
            self._note("unanchored", 0, "anchors.jsonl", "no anchor vouches for this journal")
        for n, what in self._auditor.faults:
            self._note("unlawful", n, f"entry {n}", what)
        self.findings.sort(key=lambda finding: finding.n)

    def _check_anchors(self, *, files_only: bool) -> None:
        """The first anchor that the journal does not keep tells; those after it would say the
        same.
        """
        for anchor in self._live:
            if self._is_beyond(anchor.head.n, files_only=files_only):
                continue
            broken = self._broken_anchor(anchor)
            if broken is not None:
                self._note(*broken)
                break

    def _is_beyond(self, n: int, *, files_only: bool) -> bool:
        """Of an anchor's entry: nothing was read that it could be held against."""
        is_cut = self._broken_at and n >= self._broken_at
        return bool(n == 0 or is_cut or (files_only and n > self.state.head.n))

    def _broken_anchor(self, anchor: Vouched) -> tuple[FindingKind, int, str, str] | None:
        n, last = anchor.head.n, self.state.head.n
        if n > last:
            what = (
                f"the journal ends at entry {last}, before this anchor of {n}: the server lost its "
                "last moments (the next supervisor records it), or the end was cut"
            )
            return "lost", last + 1, anchor.where, what
        if n in self._hashes and self._hashes[n] != anchor.head.hash:
            return "tampered", n, anchor.where, "it is another entry than was anchored"
        return None

    # --- reading ---

    def _start(self, state: State) -> None:
        self.state, self._is_started = state, True
        self._auditor.begin(state)

    def _entry(self, where: str, id: StreamId, line: str) -> Link | None:
        link = self._read(where, id, line)
        if link is not None:
            self._follow(where, link)
        return link

    def _read(self, where: str, id: StreamId, line: str) -> Link | None:
        try:
            link = link_of(id, line)
        except Fault as fault:
            self._break(self._next, where, str(fault))
            return None
        if link is None and not self._is_started and not self._broken_at:
            # Of a version that did not chain its entries: the first that is must then state all
            # anew.
            self._is_legacy = True
        elif link is None:
            self._break(self._next, where, "it is not chained: another hand wrote it")
        return link

    @property
    def _next(self) -> int:
        return max(self.state.head.n, self._overlap_until) + 1

    def _follow(self, where: str, link: Link) -> None:
        is_anew = link.event == JournalEvent.JOURNAL_RESTATED
        if self._broken_at:
            if not is_anew:
                return
            self._mend(link)
        try:
            if not self._is_started:
                self._start_at(where, link)
            self.state.follow(link, self._auditor)
        except Fault as fault:
            self._break(self._next, where, str(fault))
            if is_anew:
                self._follow(where, link)
        else:
            self._count(where, link)

    def _count(self, where: str, link: Link) -> None:
        self.entries += 1
        self.first = self.first or link.n
        if link.n in self._wanted:
            self._hashes[link.n] = link.hash
        self._special(where, link)

    def _start_at(self, where: str, link: Link) -> None:
        self._start(first_state(link))
        if self._is_legacy and link.event != JournalEvent.JOURNAL_RESTATED:
            what = "entries that are not chained stand before the first"
            self._note("tampered", link.n, where, what)

    def _special(self, where: str, link: Link) -> None:
        match link.event:
            case JournalEvent.JOURNAL_ACKNOWLEDGED:
                self._acknowledge(link.data)
            case JournalEvent.JOURNAL_RECOVERED:
                self._recovered(where, link)
            case JournalEvent.JOURNAL_RESTATED if link.n > 1:
                self._note("restated", link.n, where, str(link.data.get("why", "")))

    def _recovered(self, where: str, link: Link) -> None:
        continues, lost = link.data["continues"], link.data["lost"]
        named = (continues["n"], continues["hash"], lost["n"], lost["hash"])
        if named not in self._recoveries or continues["n"] != link.n - 1:
            self._note(
                "tampered", link.n, where, "no supervisor signed that entries were lost here"
            )
            return
        what = (
            f"the server lost entries {continues['n'] + 1} to {lost['n']}; it is not acknowledged"
        )
        self._note("recovered", link.n, where, what)

    def _acknowledge(self, data: Mapping[str, Any]) -> None:
        seen = _seen_at(int(data["entry"]), self.findings)
        self.findings = [finding for finding in self.findings if finding not in seen]
        self.acknowledged += seen

    def _break(self, n: int, where: str, what: str) -> None:
        if not self._broken_at:
            self._note("tampered", n, where, what)
            self._broken_at = n

    def _mend(self, link: Link) -> None:
        """From here the state is known again, whatever stood before."""
        self.state = State.before(link)
        self._broken_at, self._is_started = 0, True
        self._sealed = {}

    def _note(self, kind: FindingKind, n: int, where: str, what: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(kind, n, where, what))


def _seen_at(n: int, findings: Sequence[Finding]) -> list[Finding]:
    """What an operator who looked into the entry has seen."""
    gaps = [f for f in findings if f.n == n and f.kind in ("recovered", "restated")]
    if not any(finding.kind == "restated" for finding in gaps):
        return gaps
    # Where all was stated anew, what was broken before it has been seen with it.
    return [f for f in findings if f.n <= n and (f in gaps or f.kind == "tampered")]
