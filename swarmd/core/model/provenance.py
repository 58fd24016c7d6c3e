"""Taint: text that nobody of the swarm vouches for marks the turn that reads it, and all that the
turn says. Pure.

The runtime stamps it on messages (`data.taint`, a list of sources) and no model can set or clear
it; the law asks for permission where a tainted turn wants to change the tree. Once read, never
forgotten: what an agent has derived from such a text stays in its memory when the text itself has
gone out of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from swarmd.core.model.functions import Functions
from swarmd.core.model.messages import Message
from swarmd.core.model.names import CLERK, OPERATOR, SOB, SUPERVISOR, TIMER

KEY: Final = "taint"
_HOUSE: Final = frozenset({SOB, CLERK, SUPERVISOR, OPERATOR, TIMER})


def taint_of(message: Message) -> tuple[str, ...]:
    """The stamp on a message. One that cannot be read is a stamp all the same."""
    stamp = message.data.get(KEY)
    if not stamp:
        return ()
    return (
        tuple(sorted({str(source) for source in stamp})) if isinstance(stamp, list) else ("agent",)
    )


def stamped(message: Message, taint: Iterable[str]) -> Message:
    """The message with this stamp and no other."""
    sources = sorted(set(taint))
    if not sources and KEY not in message.data:
        return message
    data = {name: value for name, value in message.data.items() if name != KEY}
    return replace(message, data=data | {KEY: sources} if sources else data)


def strangers(mail: Sequence[Message], known: Collection[str]) -> tuple[str, ...]:
    """Senders that are neither known to the reader nor of the house: whether they are agents has
    to be looked up.
    """
    return tuple(
        dict.fromkeys(m.sender for m in mail if m.sender not in known and m.sender not in _HOUSE)
    )


def of_mail(mail: Iterable[Message], outsiders: Collection[str]) -> frozenset[str]:
    """What reading these messages does."""
    found = set()
    for message in mail:
        if taint_of(message):
            found.add("agent")
        if message.sender in outsiders:
            found.add("outside")
    return frozenset(found)


def of_results(results: Iterable[Mapping[str, Any]], functions: Functions) -> frozenset[str]:
    """What seeing these results of functions does. One that nobody knows is the output of a
    tool.
    """
    used = {
        str(result["function"]) for result in results if result.get("ok") and "function" in result
    }
    sources = {functions[name].source if name in functions else "tool" for name in used}
    return frozenset(sources - {"own"})
