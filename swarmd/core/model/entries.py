"""Journal entries: who did what under which rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from swarmd.core.model.changes import Change, Post
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    OWNER,
    SUPERVISOR,
    MissionId,
    StreamId,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import Moment

# On whose behalf everything is done, as long as a swarm has no persons of its own.
_PERSON: Final = OWNER.removeprefix("@")


# Of a verb and of a target: they are words of others.
CAUSE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Cause:
    """The input by which something is done or refused: what was asked, of whom or what, and where
    it stands on its channel.
    """

    verb: str
    target: str
    request: StreamId

    @classmethod
    def of(cls, asked: Mapping[str, Any], request: StreamId, *, otherwise: str = "") -> Cause:
        """What a request, an order or a motion asks for and of whom, as far as it says so."""
        data = asked
        for name in ("motion", "act"):
            inner = data.get(name)
            data = inner if isinstance(inner, Mapping) else data
        verb = data.get("verb") or data.get("motion") or data.get("type") or otherwise
        target = data.get("target") or data.get("agent") or ""
        return cls(str(verb)[:CAUSE_CHARS], str(target)[:CAUSE_CHARS], request)

    def stamped(self, change: Change) -> Change:
        """An entry of the journal says its cause; what it says of that by itself stays."""
        if not isinstance(change, Post) or change.channel != JOURNAL:
            return change
        said = dict(change.message.data)
        cause = {
            "verb": self.verb,
            "target": self.target,
            "request": self.request,
            "person": _PERSON,
        }
        said |= {name: value for name, value in cause.items() if not said.get(name)}
        return replace(change, message=replace(change.message, data=said))


def entry(
    moment: Moment,
    event: JournalEvent,
    text: str,
    *,
    actor: str,
    mission: str = "",
    rule: Rule | None = None,
    more: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Post:
    """A journal entry: who did what under which rule, as data and as a line for people.

    It carries the fields of its event, whoever makes it, so that a reader may count on them.
    """
    data: dict[str, Any] = {"event": event.value, "actor": actor}
    if rule is not None:
        data["rule"] = rule.value
    data |= facts | dict(more or {})
    _check_fields(event, data)
    message = Message(
        sender=SUPERVISOR,
        kind=Kind.ENTRY,
        mission=MissionId(mission),
        at=moment.stamp,
        text=text,
        data=data,
    )
    return Post(JOURNAL, message)


def _check_fields(event: JournalEvent, data: Mapping[str, Any]) -> None:
    assert data["event"] == event, f"{event} is told as {data['event']}"
    assert not (missing := [name for name in event.fields if name not in data]), (event, missing)


def order_facts(order: str, outcome: str) -> Mapping[str, str] | None:
    """What an entry says of the operator's order that it answers, where there is one."""
    return {"order": order, "outcome": outcome} if order else None
