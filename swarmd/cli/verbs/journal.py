"""The verbs that prove: the journal verified, the past, acknowledged gaps. They read files and
server, and order.

A verdict that is not clean ends with `Exit.FINDINGS`, the first bad entry first.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.archive.history import Past, at
from swarmd.adapters.archive.segments import swarms
from swarmd.adapters.archive.verify import Proved, Tail, prove
from swarmd.adapters.quarantine import SetAside
from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit, TimedOutError
from swarmd.cli.options import Ordered
from swarmd.cli.render import lines as render_lines
from swarmd.cli.render.text import plain, table
from swarmd.cli.session import Sight, note
from swarmd.core.journal.audit import LAWS
from swarmd.core.journal.fsck import FAULTS, Flaw
from swarmd.core.journal.replay import Link, State
from swarmd.core.journal.verify import Finding, Proof
from swarmd.core.ledger.accounts import AMOUNTS
from swarmd.core.model.chain import Record as StateRecord
from swarmd.core.model.channels import JOURNAL, ORDERS
from swarmd.core.model.messages import is_stream_id, order_of
from swarmd.core.model.names import StreamId
from swarmd.core.model.timings import LEASE_SECONDS
from swarmd.core.queries.snapshot import AccountView, Snapshot, agent_view, mission_view
from swarmd.core.queries.spending import tree_of
from swarmd.errors import NotFoundError, RefusedError, UsageError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

# A living journal is sealed and trimmed while it is read: what looks wrong is looked at again.
LOOKS: Final = 3
LOOK_SECONDS: Final = 0.5
REPAIR_PASSES: Final = 3
# For all that a repair waits for, where no time was given.
REPAIR_SECONDS: Final = 60.0
# Of an entry's number: more than a journal can ever have.
NUMBER_DIGITS_MAX: Final = 16


def folder_of(settings: Settings) -> Path:
    return settings.data / "journal"


# --- verify -----------------------------------------------------------------------------------


def verify(settings: Settings, *, files_only: bool, as_json: bool) -> Exit:
    if files_only:
        ids = swarms(folder_of(settings))
        if not ids:
            raise NotFoundError(
                f"no journal is kept in {folder_of(settings)}", hint="SWARMD_DATA names the folder"
            )
        return max(
            (_tell(prove(folder_of(settings), id, None), id, as_json=as_json) for id in ids),
            key=int,
        )

    def see(sight: Sight) -> Exit:
        id = _swarm_of(sight.reader)
        return _tell(proved(settings, sight.reader, id), id, as_json=sight.as_json)

    return connection.look(settings, as_json, see)


def proved(settings: Settings, reader: Reader, id: str) -> Proved:
    """Looked at again where it is not clean: a segment may have been sealed between two
    readings.
    """
    found = _prove_once(settings, reader, id)
    for _ in range(LOOKS - 1):
        if not found.proof.findings:
            break
        time.sleep(LOOK_SECONDS)
        found = _prove_once(settings, reader, id)
    return found


def _prove_once(settings: Settings, reader: Reader, id: str) -> Proved:
    # Anchors and segments are read before the store's end is asked for, which only moves on: no
    # anchor is ahead of it.
    return prove(folder_of(settings), id, lambda: Tail(reader.journal(), reader.journal_head()))


def _swarm_of(reader: Reader) -> str:
    id = reader.swarm_id()
    if not id:
        raise NotFoundError("no supervisor has run here yet", hint="`swarmd up` starts one")
    return id


def _tell(proved: Proved, id: str, *, as_json: bool) -> Exit:
    proof = proved.proof
    if as_json:
        value = {
            "swarm": id,
            "verdict": _verdict(proof),
            "entries": proof.entries,
            "first": proof.first,
            "last": proof.state.head.n,
            "hash": proof.state.head.hash,
            "anchors": proof.anchors,
            "segments": proved.segments,
            "key": proved.key,
            "laws": list(LAWS) if proof.entries else [],
            "findings": [_finding_value(finding) for finding in proof.findings],
            "acknowledged": [_finding_value(finding) for finding in proof.acknowledged],
        }
        print(json.dumps(value, ensure_ascii=False))
    else:
        print("\n".join(_verdict_lines(proved, id)))
    return Exit.FINDINGS if proof.findings else Exit.DONE


def _verdict(proof: Proof) -> str:
    if proof.findings:
        return "findings"
    return "verified" if proof.entries else "nothing to check"


def _finding_value(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "entry": finding.n, "where": finding.where, "what": finding.what}


def _verdict_lines(proved: Proved, id: str) -> list[str]:
    proof = proved.proof
    lines = [
        f"swarm {plain(id)}: {proof.entries:,} entries ({proof.first:,} to "
        f"{proof.state.head.n:,}), "
        f"{proof.anchors:,} anchors, {proved.segments:,} sealed segments",
        f"last entry {proof.state.head.hash}",
        f"signed by {proved.key or 'nobody: there is no key'}",
    ]
    if proof.entries:
        lines += ["laws checked:", *(f"  {law}" for law in LAWS)]
    for finding in proof.acknowledged:
        lines.append(f"acknowledged: entry {finding.n}, {finding.kind}: {plain(finding.what)}")
    for finding in proof.findings:
        at = f"entry {finding.n}" if finding.n else "the whole"
        lines.append(
            f"finding: {at} ({plain(finding.where)}): {finding.kind}: {plain(finding.what)}"
        )
    ns = [finding.n for finding in proof.findings if finding.kind in ("recovered", "restated")]
    if ns:
        lines.append(
            f"to acknowledge what you have looked into: swarmd journal ack {ns[0]} --reason TEXT"
        )
    clean = "verified: chain, anchors and laws hold"
    if not proof.entries:
        clean = "nothing to check: there is no entry here; the anchors' signatures hold"
    lines.append("NOT VERIFIED" if proof.findings else clean)
    return lines


# --- ack --------------------------------------------------------------------------------------


def ack(settings: Settings, asked: Ordered, n: int) -> Exit:
    """An operator has looked into a gap: an order, which the supervisor writes into the journal."""
    if not asked.reason.strip():
        raise UsageError(
            "an acknowledgement needs a reason", hint=f'swarmd journal ack {n} --reason "…"'
        )
    target, timeout, as_json = connection.living(settings), asked.seconds(), asked.as_json
    with (
        connection.attended(settings, target, JOURNAL, timeout=timeout, as_json=as_json) as (
            sight,
            bell,
        ),
        connection.posting(settings, target) as post,
    ):
        found = _prove_once(settings, sight.reader, _swarm_of(sight.reader)).proof
        if any(finding.n == n for finding in found.acknowledged):
            raise RefusedError(f"entry {n} is acknowledged already")
        if not any(
            finding.n == n and finding.kind in ("recovered", "restated")
            for finding in found.findings
        ):
            raise NotFoundError(
                f"entry {n} tells of no gap",
                hint="`swarmd journal verify` lists what can be acknowledged",
            )
        after, order_id = sight.reader.last_id(JOURNAL), order_client.new_id("o")
        post(ORDERS, order_client.order("ack", str(n), asked.reason, order_id), order_id)
        if asked.wait:
            waiting = order_client.Waiting.of(bell, timeout)
            order_client.await_order(sight.reader, waiting, order_id, after)
        if as_json:
            outcome = "done" if asked.wait else "ordered"
            sight.give({"entry": n, "order": order_id, "outcome": outcome})
        else:
            print(f"entry {n} is acknowledged" if asked.wait else order_id)
    return Exit.DONE


# --- fsck -------------------------------------------------------------------------------------


def fsck(settings: Settings, *, repair: bool, timeout: float | None, as_json: bool) -> Exit:
    if repair:
        return _repair(settings, timeout=timeout, as_json=as_json)

    def see(sight: Sight) -> Exit:
        flaws = connection.wrong_keys(sight.reader)
        # Without it nobody knows which swarm's journal is to be looked into.
        if not any(flaw.subject == "_meta" for flaw in flaws):
            flaws = connection.faults_of(sight.reader, folder_of(settings), _swarm_of(sight.reader))
        return _tell_flaws(sight, flaws, ())

    return connection.look(settings, as_json, see)


def _repair(settings: Settings, *, timeout: float | None, as_json: bool) -> Exit:
    """Each fault that can be mended is ordered to be, of the supervisor: it alone writes what the
    law looks at. But for keys that hold something else than ours: with those it can do nothing, and
    they are set aside first, whoever leads.
    """
    until = time.monotonic() + (REPAIR_SECONDS if timeout is None else timeout)
    with connection.looked_at(settings) as (target, is_momentary):
        aside = connection.set_aside(settings, target, order_client.new_id("h"))
        with (
            # A server that is there for this moment alone is no running swarm to connect to again.
            connection.attended(
                settings,
                target,
                JOURNAL,
                timeout=timeout,
                as_json=as_json,
                is_patient=not is_momentary,
            ) as (sight, bell),
            connection.posting(settings, target) as post,
        ):
            repair = _Repair(
                settings, sight.reader, post, order_client.Waiting(bell, until), is_momentary
            )
            mended = repair.record(aside)
            found = repair.look()
            left = repair.mend(found, has_mended=bool(aside))
            mended += [flaw for flaw in found if flaw not in left]
            return _tell_flaws(sight, left, mended)


@dataclass(frozen=True, slots=True)
class _Repair:
    """One repair: what it looks with, and until when it waits, in all."""

    settings: Settings
    reader: Reader
    post: order_client.Post
    waiting: order_client.Waiting
    is_momentary: bool

    def look(self) -> list[Flaw]:
        return connection.faults_of(self.reader, folder_of(self.settings), _swarm_of(self.reader))

    def record(self, aside: Sequence[SetAside]) -> list[Flaw]:
        """For the record, which only a supervisor writes: the next one to lead hears it."""
        for moved in aside:
            self._order(
                f"key:{moved.name}", f"it was a {moved.found}, and is kept as {moved.kept_as}"
            )
        return [_flaw_of(one) for one in aside]

    def mend(self, left: list[Flaw], *, has_mended: bool) -> list[Flaw]:
        """What is left then."""
        told = set[str]()
        # What a key of another type hid is found only when that has gone.
        for _ in range(REPAIR_PASSES):
            targets = list(
                dict.fromkeys(f.repair for f in left if f.repair and f.repair not in told)
            )
            if not targets:
                break
            if not self._is_led():
                if not has_mended:
                    raise _nobody_mends()
                note(
                    "no supervisor leads: start one with `swarmd up`, then `swarmd fsck --repair` "
                    "again for the rest"
                )
                break
            told |= set(targets)
            for one in targets:
                self._have_mended(one)
            left = self.look()
        return left

    def _is_led(self) -> bool:
        """A supervisor that stood aside for a wrong key, or takes over, leads within moments."""
        until = min(self.waiting.until or math.inf, time.monotonic() + LEASE_SECONDS)
        while not self.is_momentary:
            if self.reader.health().leader:
                return True
            if time.monotonic() >= until:
                break
            time.sleep(LOOK_SECONDS)
        return False

    def _have_mended(self, target: str) -> None:
        after = self.reader.last_id(JOURNAL)
        order_id = self._order(target, "found by fsck")
        try:
            order_client.await_order(self.reader, self.waiting, order_id, after)
        except RefusedError as refused:
            note(f"{target}: {refused.what}")
        except TimedOutError:
            if not self.reader.health().leader:
                raise _nobody_mends() from None
            raise

    def _order(self, target: str, reason: str) -> str:
        order_id = order_client.new_id("o")
        self.post(ORDERS, order_client.order("repair", target, reason, order_id), order_id)
        return order_id


def _nobody_mends() -> RefusedError:
    return RefusedError(
        "no supervisor leads, and it alone writes what the law looks at",
        hint="start one with `swarmd up`, which lives with these faults, then `swarmd fsck "
        "--repair` again",
    )


def _flaw_of(one: SetAside) -> Flaw:
    return Flaw("key.type", one.name, f"it was a {one.found}, and is kept as {one.kept_as}")


def _tell_flaws(sight: Sight, left: Sequence[Flaw], mended: Sequence[Flaw]) -> Exit:
    if sight.as_json:
        value = {
            "findings": [_flaw_value(flaw) for flaw in left],
            "repaired": [_flaw_value(f) for f in mended],
        }
        sight.give(value)
    else:
        for flaw in mended:
            print(f"repaired: {flaw.name}: {plain(flaw.subject)}: {plain(flaw.what)}")
        for flaw in left:
            print(f"{flaw.name}: {plain(flaw.subject)}: {plain(flaw.what)}")
        if any(flaw.repair for flaw in left) and not mended:
            note("`swarmd fsck --repair` mends what can be mended")
        if not left:
            print("nothing is wrong: the store holds what the journal says")
    return Exit.FINDINGS if left else Exit.DONE


def _flaw_value(flaw: Flaw) -> dict[str, Any]:
    return {
        "fault": flaw.name,
        "subject": flaw.subject,
        "what": flaw.what,
        "means": FAULTS[flaw.name],
        "repair": flaw.repair,
    }


# --- at ---------------------------------------------------------------------------------------


def journal_at(settings: Settings, when: str, *, as_json: bool) -> Exit:
    is_later = later_than(when)

    def see(sight: Sight) -> Exit:
        past = at(folder_of(settings), _swarm_of(sight.reader), sight.reader.journal(), is_later)
        if past is None:
            raise NotFoundError(f"the journal has nothing from before {when}")
        if _is_beyond(when, past.link):
            raise NotFoundError(
                f"the journal has no entry {when} yet: its last is {past.link.n} ({past.link.id})",
                hint="`swarmd tree` shows what is now",
            )
        if sight.as_json:
            sight.give(_past_value(past))
        else:
            sight.say(_past_lines(past, sight))
        return Exit.DONE

    return connection.look(settings, as_json, see)


def _is_beyond(when: str, last: Link) -> bool:
    """An entry that is asked for by its number or id, and has not been written. A moment may be
    any.
    """
    if when.isdecimal():
        return last.n < int(when)
    return "-" in when and is_stream_id(when) and order_of(last.id) < order_of(StreamId(when))


def later_than(when: str) -> Callable[[Link], bool]:
    """What lies after a moment, an entry's number or its id on the stream. Raises `UsageError`."""
    if when.isdecimal() and len(when) > NUMBER_DIGITS_MAX:
        raise UsageError(f"the journal has no entry of {len(when):,} digits")
    if when.isdecimal():
        return lambda link: link.n > int(when)
    if "-" in when and is_stream_id(when):
        return lambda link: order_of(link.id) > order_of(StreamId(when))
    try:
        moment = datetime.fromisoformat(when)
    except ValueError as error:
        raise UsageError(
            f"{when!r} is no moment and no entry",
            hint=(
                "a time such as 2027-01-15T08:00:00Z, an entry's number such as 1204, or its id "
                "in the stream"
            ),
        ) from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return lambda link: datetime.fromisoformat(link.field("at")) > moment


def _past_value(past: Past) -> dict[str, Any]:
    state = past.state
    tree = tree_of(snapshot_of(state))
    marks = ("fence", "stop", "revoked")
    return {
        "entry": past.link.n,
        "id": past.link.id,
        "at": past.link.field("at"),
        "hash": state.head.hash,
        "board": render_lines.branch_value(tree.board),
        "seats": [render_lines.branch_value(seat) for seat in tree.seats],
        "privileges": {id: rights_of(record) for id, record in _of(state, "agent").items()},
        "marks": {kind: _of(state, kind) for kind in marks if _of(state, kind)},
        "ledger": state.ledger.to_json(),
        "facts_until": state.facts_until,
    }


def _past_lines(past: Past, sight: Sight) -> list[str]:
    state, ink = past.state, sight.ink
    snapshot = snapshot_of(state)
    tree = tree_of(snapshot)
    lines = [f"after entry {past.link.n:,} ({past.link.id}, {past.link.field('at')})"]
    lines += render_lines.tree_lines(tree, ink, ended=True)
    lines.append(ink.paint("privileges:", "bold"))
    for id, record in _of(state, "agent").items():
        rights = rights_of(record)
        said = "  ".join(f"{right}: {' '.join(paths)}" for right, paths in rights.items() if paths)
        lines.append(f"  {plain(id)}  {plain(said) or 'none'}")
    for kind in ("fence", "stop", "revoked"):
        lines += [
            f"{kind}: {plain(target)}  {plain(_said(record))}"
            for target, record in _of(state, kind).items()
        ]
    lines.append(ink.paint(f"ledger (up to the fact {state.facts_until}):", "bold"))
    rows = [
        (id, kind, *(f"{row.get(amount, 0)}" for amount in AMOUNTS))
        for id, account in snapshot.accounts.items()
        for kind, row in account.kinds.items()
    ]
    return lines + [
        "  " + line for line in table(("ACCOUNT", "KIND", *(a.upper() for a in AMOUNTS)), rows)
    ]


def _said(record: StateRecord) -> str:
    return " ".join(f"{name}={value}" for name, value in record.items())


def _of(state: State, kind: str) -> dict[str, StateRecord]:
    prefix = kind + ":"
    return {
        key[len(prefix) :]: value
        for key, value in state.records.values.items()
        if key.startswith(prefix)
    }


def rights_of(record: StateRecord) -> dict[str, Sequence[str]]:
    return {"use": record.get("privileges", ()), "grant": record.get("grants", ())}


def snapshot_of(state: State) -> Snapshot:
    """What the journal knows of the swarm in the form that the living one is drawn from."""
    agents = tuple(
        agent_view(_flat(id, record) | _agent(record)) for id, record in _of(state, "agent").items()
    )
    # A mission's text stands in the journal as a digest: it is what the mission was called by its
    # submitter.
    missions = tuple(
        mission_view(_flat(id, record) | {"mission": ""})
        for id, record in _of(state, "mission").items()
    )
    accounts = {id: AccountView(one.amounts) for id, one in state.ledger.accounts.items()}
    return Snapshot(agents, missions, accounts)


def _flat(id: str, record: StateRecord) -> dict[str, str]:
    return {"id": id} | {name: value for name, value in record.items() if isinstance(value, str)}


def _agent(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "tier": str(record.get("tier", 0)),
        "parent": record.get("parent", ""),
        "charter": "",
        "incarnation": str(record.get("incarnation", 0)),
        "privileges": " ".join(record.get("privileges", ())),
    }
