"""`swarmd fsck`: the living swarm compared with its journal, and repairs ordered.

Findings end with `Exit.FINDINGS`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarmd.adapters.quarantine import SetAside
from swarmd.cli import connection, order_client
from swarmd.cli.exit_codes import Exit, TimedOutError
from swarmd.cli.render.text import plain
from swarmd.cli.session import Sight, note
from swarmd.cli.verbs.journal import LOOK_SECONDS, folder_of, swarm_of
from swarmd.core.journal.fsck import FAULTS, Flaw
from swarmd.core.model.channels import JOURNAL, ORDERS
from swarmd.core.model.timings import LEASE_SECONDS
from swarmd.errors import RefusedError
from swarmd.ports.reader import Reader
from swarmd.settings import Settings

REPAIR_PASSES: Final = 3
# For all that a repair waits for, where no time was given.
REPAIR_SECONDS: Final = 60.0


def fsck(settings: Settings, *, repair: bool, timeout: float | None, as_json: bool) -> Exit:
    if repair:
        return _repair(settings, timeout=timeout, as_json=as_json)

    def see(sight: Sight) -> Exit:
        flaws = connection.wrong_keys(sight.reader)
        # Without it nobody knows which swarm's journal is to be looked into.
        if not any(flaw.subject == "_meta" for flaw in flaws):
            flaws = connection.faults_of(sight.reader, folder_of(settings), swarm_of(sight.reader))
        return _tell_flaws(sight, flaws, ())

    return connection.look(settings, as_json, see)


def _repair(settings: Settings, *, timeout: float | None, as_json: bool) -> Exit:
    """Orders the supervisor to repair each fault that can be repaired: it alone writes what the
    law looks at. Keys of another type than ours are set aside first and from here, for the
    supervisor can do nothing with them.
    """
    until = time.monotonic() + (REPAIR_SECONDS if timeout is None else timeout)
    with connection.looked_at(settings) as (target, is_momentary):
        aside = connection.set_aside(settings, target, order_client.new_id("h"))
        # A server that is there for this moment alone is no running swarm to connect to again.
        attended = connection.attended(
            settings,
            target,
            JOURNAL,
            timeout=timeout,
            as_json=as_json,
            is_patient=not is_momentary,
        )
        with attended as (sight, bell), connection.posting(settings, target) as post:
            waiting = order_client.Waiting(bell, until)
            repair = _Repair(settings, sight.reader, post, waiting, is_momentary)
            left, mended = repair.run(aside)
            return _tell_flaws(sight, left, mended)


@dataclass(frozen=True, slots=True)
class _Repair:
    """One repair: what it looks with, and until when it waits, in all."""

    settings: Settings
    reader: Reader
    post: order_client.Post
    waiting: order_client.Waiting
    is_momentary: bool

    def run(self, aside: Sequence[SetAside]) -> tuple[list[Flaw], list[Flaw]]:
        """What is left, and what was mended; `aside` is mended already."""
        mended = self.record(aside)
        found = self.look()
        left = self.mend(found, has_mended=bool(aside))
        return left, mended + [flaw for flaw in found if flaw not in left]

    def look(self) -> list[Flaw]:
        return connection.faults_of(self.reader, folder_of(self.settings), swarm_of(self.reader))

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
        findings, repaired = map(_flaw_value, left), map(_flaw_value, mended)
        sight.give({"findings": list(findings), "repaired": list(repaired)})
        return Exit.FINDINGS if left else Exit.DONE
    sight.say(list(_flaw_lines(left, mended)))
    if not mended and any(flaw.repair for flaw in left):
        note("`swarmd fsck --repair` repairs what can be repaired")
    return Exit.FINDINGS if left else Exit.DONE


def _flaw_lines(left: Sequence[Flaw], mended: Sequence[Flaw]) -> Iterator[str]:
    for flaw in mended:
        yield f"repaired: {flaw.name}: {plain(flaw.subject)}: {plain(flaw.what)}"
    for flaw in left:
        yield f"{flaw.name}: {plain(flaw.subject)}: {plain(flaw.what)}"
    if not left:
        yield "nothing is wrong: the store holds what the journal says"


def _flaw_value(flaw: Flaw) -> dict[str, Any]:
    return {
        "fault": flaw.name,
        "subject": flaw.subject,
        "what": flaw.what,
        "means": FAULTS[flaw.name],
        "repair": flaw.repair,
    }
