"""Journal entries: who did what under which rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmd.core.model.changes import Post
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import (
    SUPERVISOR,
    MissionId,
)
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import Moment


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
    data |= facts
    data |= more or {}
    assert data["event"] == event, f"{event} is told as {data['event']}"
    assert not (missing := [name for name in event.fields if name not in data]), (event, missing)
    message = Message(
        sender=SUPERVISOR,
        kind=Kind.ENTRY,
        mission=MissionId(mission),
        at=moment.stamp,
        text=text,
        data=data,
    )
    return Post(JOURNAL, message)
