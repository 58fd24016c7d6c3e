"""For what an agent that has ended its turn waits, and until when. Pure.

It is part of the agent's own state and committed with its turn, so that a restart or another host
waits on. Any further turn ends it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.timings import stamp_of

_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class AgentWait:
    """`whom` are ids of children and keys of spawns that were asked for in the same turn; of nobody
    the next mail that wakes ends it. `until` is in seconds since the epoch, 0 where no time ends
    it. `names` say to people and to the agent whom `whom` means.
    """

    whom: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    what: str = ""
    until: float = 0.0

    def to_text(self) -> str:
        """As the agent's state keeps it; empty where it does not wait."""
        if self == NO_WAIT:
            return ""
        facts = {"v": 1, "whom": self.whom, "names": self.names, "what": self.what}
        return _compact({**facts, "until": self.until})


NO_WAIT: Final = AgentWait()


def wait_of(text: str) -> AgentWait:
    """What cannot be read is no wait: any mail then wakes the agent as it does others."""
    if not text:
        return NO_WAIT
    try:
        facts = json.loads(text)
        return AgentWait(
            tuple(map(str, facts["whom"])),
            tuple(map(str, facts["names"])),
            str(facts["what"]),
            float(facts["until"]),
        )
    except (ValueError, KeyError, TypeError):
        return NO_WAIT


def said_of_wait(wait: AgentWait) -> str:
    """`waits for ann, bob until 2026-…`. Without `what`, which the agent wrote and may have been
    told by a text from outside: its superior reads this.
    """
    return f"waits for {_whom(wait)}" + (f" until {stamp_of(wait.until)}" if wait.until else "")


def _whom(wait: AgentWait) -> str:
    return ", ".join(wait.names) or "the next message"


def awaited(wait: AgentWait) -> str:
    """For people: for whom it waits, and with what it says of it; empty where it does not wait."""
    if wait == NO_WAIT:
        return ""
    return f"{_whom(wait)}: {wait.what}" if wait.what else _whom(wait)


def shown_wait(wait: AgentWait) -> str:
    """For people, with what the agent says that it waits for; empty where it does not wait."""
    if wait == NO_WAIT:
        return ""
    said = said_of_wait(wait)
    return f"{said}: {wait.what}" if wait.what else said


def is_settled(wait: AgentWait, mail: Sequence[Message]) -> bool:
    """Has each of those whom it waits for reported its task as done, or ended?"""
    came = {one for message in mail for one in settled_by(wait, message)}
    return bool(wait.whom) and came >= set(wait.whom)


def settled_by(wait: AgentWait, message: Message) -> tuple[str, ...]:
    """Whom of those that it waits for the message says the last of. Not a report of something else,
    such as what an agent cannot go on without: that is heard at once.
    """
    if not wait.whom or not _is_last_of(message):
        return ()
    about = {message.sender, *_named_in(message.data)}
    return tuple(one for one in wait.whom if one in about)


def _is_last_of(message: Message) -> bool:
    if message.kind is Kind.REPORT:
        return bool(message.data.get("done"))
    return message.kind is Kind.NOTICE and bool(message.data.get("ended"))


def _named_in(data: Any) -> set[str]:
    return {str(data[name]) for name in ("agent", "key") if data.get(name)}
