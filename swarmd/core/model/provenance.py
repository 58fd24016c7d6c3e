"""Taint: text that nobody of the swarm vouches for marks the turn that reads it, and all that the
turn says. Pure.

The runtime stamps it on messages (`data.taint`, a list of sources) and no model can set or clear
it; the law asks for permission where what a tainted turn wants is of a class that needs it
(`core.model.consequences`). Once read, never
forgotten: what an agent has derived from such a text stays in its memory when the text itself has
gone out of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from swarmd.core.model.consequences import Consequence
from swarmd.core.model.functions import FunctionCall, Functions
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import CLERK, OPERATOR, SOB, SUPERVISOR, TIMER
from swarmd.core.model.privileges import is_covered
from swarmd.core.model.refusals import Denied, Rule

if TYPE_CHECKING:
    from swarmd.core.model.declarations import Taint

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
    """What seeing these results of functions does. One of a function that nobody knows is the
    output of a tool. A failure, and a result in which nothing was found, has no text of the source.
    """
    used = {
        str(result["function"])
        for result in results
        if result.get("ok") and "function" in result and has_text(result, functions)
    }
    sources = {functions[name].source if name in functions else "tool" for name in used}
    return frozenset(sources - {"own"})


def has_text(result: Mapping[str, Any], functions: Functions) -> bool:
    """Is anything in it that the source may have written? Numbers are not, nor what is empty, nor
    what only repeats the call.
    """
    function = functions.get(str(result["function"]))
    known = {"function", "ok", *(function.echoes if function is not None else ())}
    return any(
        bool(value) and not isinstance(value, int | float)
        for name, value in result.items()
        if name not in known
    )


def counted_taint(
    taint: Iterable[str], consequence: Consequence, declared: Taint
) -> tuple[str, ...]:
    """The sources for which a turn with this taint needs permission for what has this
    consequence."""
    if consequence not in declared.actions:
        return ()
    return tuple(sorted(set(taint) & set(declared.sources)))


def refuse_outward(
    call: FunctionCall, agent: Agent, taint: Iterable[str], declared: Taint
) -> Denied | None:
    """A tainted turn calls nothing that changes the world outside, unless permission was given
    beforehand: by policy, or by a charter that was written before anything was read and that names
    the privilege of the call itself.
    """
    function = call.function
    counted = counted_taint(taint, "outward", declared) if function.effect == "outward" else ()
    if not counted or _is_permitted(call, agent, declared):
        return None
    return Denied(
        Rule.TAINT_PERMISSION,
        f"{function.name} is outward, after reading {', '.join(counted)}: report up what you would "
        "do with it and why; an operator permits it beforehand in limits.yaml, taint.permitted",
    )


def _is_permitted(call: FunctionCall, agent: Agent, declared: Taint) -> bool:
    asked = call.function.privileges(call.args)
    charter = agent.charter
    named = (charter.privileges or ()) if charter is not None and not agent.taint else ()
    return bool(asked) and all(
        is_covered(path, declared.permitted) or path in named for path in asked
    )
