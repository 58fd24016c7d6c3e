"""How the command line posts an order and waits for its answer in the journal."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from swarmd.cli.exit_codes import TimedOutError
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, Channel, StreamId
from swarmd.errors import RefusedError
from swarmd.ports.reader import SWEEP_SECONDS, Notifications, Reader

_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


Post = Callable[[Channel, Message, str], str]


def new_id(prefix: str) -> str:
    return f"{prefix}-" + "".join(secrets.choice(_LETTERS) for _ in range(10))


def at_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to wait: a bell that hung before anything was written, and for how long."""

    bell: Notifications
    until: float | None  # of the monotonic clock

    @classmethod
    def of(cls, bell: Notifications, seconds: float | None) -> Waiting:
        return cls(bell, None if seconds is None else time.monotonic() + seconds)

    def pause(self) -> None:
        """Until something rang or the sweep is due. Raises `TimedOutError` when the time is
        over.
        """
        left = SWEEP_SECONDS if self.until is None else self.until - time.monotonic()
        if left <= 0:
            raise TimedOutError(
                "no answer in the time given", hint="it may still come: give --timeout more"
            )
        self.bell.wait(min(SWEEP_SECONDS, left))


def order(verb: str, target: str, reason: str, id: str, **more: Any) -> Message:
    """`more` are the order's other fields (`privilege`, `right`, `amounts`, `grace_s`)."""
    return Message(
        sender=OPERATOR,
        kind=Kind.ORDER,
        at=at_now(),
        to=target,
        text=reason,
        data={"order": id, "verb": verb, "target": target, "reason": reason, **more},
    )


def await_order(
    reader: Reader, waiting: Waiting, order_id: str, after: StreamId
) -> Mapping[str, Any]:
    """The journal's last word on the order. Raises `RefusedError` with the rule, or
    `TimedOutError`.

    `busy` has what was told meanwhile of those that ignore the end which the order brought them.
    """
    reached, heard = after, _Heard(order_id)
    while True:
        page = reader.page(JOURNAL, reached)
        reached = page.reached
        for message in (found for entry in page.entries if (found := entry.message)):
            if (done := heard.told(message)) is not None:
                return done
        waiting.pause()


@dataclass(slots=True)
class _Heard:
    """What the journal has said of one order so far: which parts of the tree it ends, and who of
    them is still busy.
    """

    order: str
    segments: set[str] = field(default_factory=set)
    busy: dict[str, str] = field(default_factory=dict)

    def told(self, message: Message) -> Mapping[str, Any] | None:
        """The last word on it, where this is the last. Raises `OrderRefusedError`."""
        data = message.data
        is_stuck = data.get("event") == JournalEvent.AGENT_STUCK
        if is_stuck and data.get("segment") in self.segments:
            self.busy[str(data.get("agent", ""))] = message.text.partition(": ")[2]
        if data.get("order") != self.order:
            return None
        _raise_if_refused(message)
        self.segments.add(str(data.get("segment", "")))
        return {"busy": self.busy, **data} if data.get("outcome") == "done" else None


def _raise_if_refused(answer: Message) -> None:
    if answer.data.get("outcome") == "refused":
        detail = str(answer.data.get("detail") or answer.text)
        rule = str(answer.data.get("rule", ""))
        raise OrderRefusedError(f"refused by {rule or 'the law'}: {detail}", rule=rule)


class OrderRefusedError(RefusedError):
    """The law said no to an order."""
