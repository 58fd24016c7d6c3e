"""`swarmd journal verify` and `ack`: the record held against its laws, and gaps acknowledged.

A verdict that is not clean ends with `Exit.FINDINGS`, the first bad entry first.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.archive.segments import swarms
from swarmd.adapters.archive.verify import Proved, Tail, prove
from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit
from swarmd.cli.options import Ordered
from swarmd.cli.render.text import counted, plain
from swarmd.cli.session import Sight, print_json
from swarmd.core.journal.audit import LAWS
from swarmd.core.journal.verify import Finding, Proof
from swarmd.core.model.channels import JOURNAL, ORDERS
from swarmd.errors import NotFoundError, RefusedError, UsageError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

# A living journal is sealed and trimmed while it is read: what looks wrong is looked at again.
LOOKS: Final = 3
LOOK_SECONDS: Final = 0.5
# Findings that an operator may acknowledge: the server lost entries, or the state was told anew.
_GAPS: Final = ("recovered", "restated")


def folder_of(settings: Settings) -> Path:
    return settings.data / "journal"


def swarm_of(reader: Reader) -> str:
    id = reader.swarm_id()
    if not id:
        raise NotFoundError("no supervisor has run here yet", hint="`swarmd up` starts one")
    return id


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
        id = swarm_of(sight.reader)
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


def _tell(proved: Proved, id: str, *, as_json: bool) -> Exit:
    if as_json:
        print_json(_proof_value(proved, id))
    else:
        print("\n".join(_verdict_lines(proved, id)))
    return Exit.FINDINGS if proved.proof.findings else Exit.DONE


def _proof_value(proved: Proved, id: str) -> dict[str, Any]:
    proof = proved.proof
    return {
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


def _verdict(proof: Proof) -> str:
    if proof.findings:
        return "findings"
    return "verified" if proof.entries else "nothing to check"


def _finding_value(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "entry": finding.n, "where": finding.where, "what": finding.what}


def _verdict_lines(proved: Proved, id: str) -> list[str]:
    proof = proved.proof
    head = proof.state.head
    clean = "verified: chain, anchors and laws hold"
    if not proof.entries:
        clean = "nothing to check: there is no entry here; the anchors' signatures hold"
    return [
        f"swarm {plain(id)}: {counted(proof.entries, 'entry')} ({proof.first:,} to {head.n:,}), "
        f"{counted(proof.anchors, 'anchor')}, {counted(proved.segments, 'sealed segment')}",
        f"last entry {head.hash}",
        f"signed by {proved.key or 'nobody: there is no key'}",
        *(("laws checked:", *(f"  {law}" for law in LAWS)) if proof.entries else ()),
        *_finding_lines(proof),
        "NOT VERIFIED" if proof.findings else clean,
    ]


def _finding_lines(proof: Proof) -> Iterator[str]:
    for finding in proof.acknowledged:
        yield f"acknowledged: entry {finding.n}, {finding.kind}: {plain(finding.what)}"
    for finding in proof.findings:
        at = f"entry {finding.n}" if finding.n else "the whole"
        yield f"finding: {at} ({plain(finding.where)}): {finding.kind}: {plain(finding.what)}"
    gaps = [finding.n for finding in proof.findings if finding.kind in _GAPS]
    if gaps:
        yield (
            f"to acknowledge what you have looked into: swarmd journal ack {gaps[0]} --reason TEXT"
        )


# --- ack --------------------------------------------------------------------------------------


def ack(settings: Settings, asked: Ordered, n: int) -> Exit:
    """An operator has looked into a gap: an order, which the supervisor writes into the journal."""
    if not asked.reason.strip():
        raise UsageError(
            "an acknowledgement needs a reason", hint=f'swarmd journal ack {n} --reason "…"'
        )
    target, timeout = connection.living(settings), asked.seconds()
    with (
        connection.attended(settings, target, JOURNAL, timeout=timeout, as_json=asked.as_json) as (
            sight,
            bell,
        ),
        connection.posting(settings, target) as post,
    ):
        found = _prove_once(settings, sight.reader, swarm_of(sight.reader)).proof
        _refuse_unless_gap(found, sight.reader.health().gaps, n)
        after, order_id = sight.reader.last_id(JOURNAL), order_client.new_id("o")
        post(ORDERS, order_client.order("ack", str(n), asked.reason, order_id), order_id)
        if asked.wait:
            waiting = order_client.Waiting.of(bell, timeout)
            order_client.await_order(sight.reader, waiting, order_id, after)
        _tell_acknowledged(sight, n, order_id, is_done=asked.wait)
    return Exit.DONE


def _refuse_unless_gap(found: Proof, marked: Collection[int], n: int) -> None:
    """Raises `RefusedError` for a gap that is acknowledged, `NotFoundError` for an entry without
    one.
    """
    if any(finding.n == n for finding in found.acknowledged):
        raise RefusedError(f"entry {n} is acknowledged already")
    is_told = any(finding.n == n and finding.kind in _GAPS for finding in found.findings)
    if not is_told and n not in marked:
        raise NotFoundError(
            f"entry {n} tells of no gap",
            hint="`swarmd journal verify` lists what can be acknowledged",
        )


def _tell_acknowledged(sight: Sight, n: int, order_id: str, *, is_done: bool) -> None:
    if sight.as_json:
        outcome = "done" if is_done else "ordered"
        sight.give({"entry": n, "order": order_id, "outcome": outcome})
    else:
        print(f"entry {n} is acknowledged" if is_done else order_id)
