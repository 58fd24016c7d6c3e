"""What a model is told. What is constant comes first and what changes last, so that prompt caches
hit. An agent's own part is in `core.agent.situation`. Pure.

Everything that came from outside stands between marks that say from whom: it is data. Only the
typed moves of the answer command anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from swarmd.core.agent.memory import said_of
from swarmd.core.agent.numbered_lines import once_each, result_text
from swarmd.core.model.declarations import Declarations, Role
from swarmd.core.model.exchange import (
    Exchange,
    MoveCall,
    Piece,
    Result,
    call_of_move,
    name_of_function,
)
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import SOB, SUPERVISOR

NAMES_SHOWN_MAX: Final = 200  # files of a large mission: a list that long is searched, not read
TEXT_SHOWN_MAX: Final = 24_000  # characters of one text in a prompt; the whole is on the stream
_LEADERS_MOVES: Final = frozenset({"spawn", "direct", "govern"})
# The part of the handbook that is told to those alone who may have agents below them.
_LEADING: Final = re.compile(r"^## Leading\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_NOT_DONE: Final = "Not done: the answer could not be used as a whole."


def shared(declared: Declarations, mission_text: str, *, is_seat: bool, leads: bool = True) -> str:
    """Of a seat's, a leader's and another agent's work each is told its own: none needs the
    others'.
    """
    own = declared.procedures if is_seat else _handbook(declared.handbook, leads=leads)
    return _shared((declared.constitution, own), mission_text)


def leads(role: Role | None) -> bool:
    """May it have agents below it, as far as its role's moves say?"""
    return role is None or not _LEADERS_MOVES.isdisjoint(role.moves)


@lru_cache(maxsize=8)
def _handbook(text: str, *, leads: bool) -> str:
    return text if leads else _LEADING.sub("", text)


# One object for all calls of a mission's: what encodes it for a provider finds it again, too.
@lru_cache(maxsize=64)
def _shared(told: tuple[str, ...], mission_text: str) -> str:
    parts = (*told, f"# The mission\n{quoted('mission', mission_text)}")
    return "\n\n".join(part.strip() for part in parts if part.strip())


def quoted(what: str, text: str) -> str:
    """Data between marks that it cannot close: what looks like the closing mark loses its bracket.

    It is not taken out, for what stands around it could then close up to another one.
    """
    shown = text if len(text) <= TEXT_SHOWN_MAX else text[:TEXT_SHOWN_MAX] + "\n[… cut]"
    if "<" not in shown:
        return f"<{what}>\n{shown}\n</{what}>"
    open_for_good = re.sub(rf"<(?=\s*/\s*{re.escape(what)}\s*>)", "‹", shown, flags=re.IGNORECASE)
    return f"<{what}>\n{open_for_good}\n</{what}>"


def mail_text(mail: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for item in mail:
        data = {k: v for k, v in item["data"].items() if k not in ("v", "taint")}
        facts = f"\ndata: {json.dumps(data, ensure_ascii=False)}" if data else ""
        head = f"mail kind: {item['kind']} from {_sender_of(item)}{facts}"
        # Its words are the task, which stands in the instruction, as it is now.
        is_charter = item["kind"] == Kind.CHARTER
        parts.append(head if is_charter else f"{head}\n{quoted('text', item['text'])}")
    return "\n\n".join(parts)


_KNOWN: Final = {SUPERVISOR: "the program", SOB: "the board"}


def _sender_of(item: Mapping[str, Any]) -> str:
    """Who says it and, of what was said in a room, in which."""
    name, room = item.get("name"), str(item.get("channel", "")).partition("room:")[2]
    name = _KNOWN.get(item["from"], name)
    who = f"{name} ({item['from']})" if name else str(item["from"])
    return f"{who} in room {room}" if room else who


def exchange_of(entries: Sequence[Mapping[str, Any]]) -> Exchange:
    """Memory and steps as pieces of a conversation."""
    found: Exchange = []
    for item in entries:
        go_on(found, _pieces(item))
    return found


def go_on(exchange: Exchange, further: Exchange) -> None:
    """Put what follows at its end; plain neighbours of one side are joined."""
    for piece in further:
        last = exchange[-1] if exchange else None
        if last and last.side == piece.side and last.is_plain and piece.is_plain:
            exchange[-1] = Piece(piece.side, f"{last.text}\n\n{piece.text}")
        else:
            exchange.append(piece)


def told(text: str) -> Piece:
    """What a model is told."""
    return Piece("user", text)


def _pieces(item: Mapping[str, Any]) -> Exchange:
    if "left_out" in item:
        return [told(quoted("earlier", said_of(item["left_out"])))]
    if "mail" in item:
        return [told(mail_text(item["mail"]))]
    if "moves" in item:
        text = json.dumps({"moves": item["moves"]}, ensure_ascii=False)
        return [Piece("assistant", text, tuple(map(call_of_move, item["moves"])))]
    if "results" in item:
        results = tuple(map(_result, once_each(item["results"], TEXT_SHOWN_MAX)))
        text = "\n".join(["results:", *(result.text for result in results)])
        return [Piece("user", text, results=results)]
    return _correction(item)


def _result(result: Any) -> Result:
    """One result by itself: each is shortened alone where it is too long."""
    if not isinstance(result, dict):
        return Result("", quoted("result", json.dumps(result, ensure_ascii=False)))
    named = result.get("function") or result.get("move") or ""
    text = quoted("result", result_text(result, TEXT_SHOWN_MAX))
    return Result(name_of_function(str(named)), text)


def _correction(item: Mapping[str, Any]) -> Exchange:
    """An answer that could not be used, and why: nothing of it was done."""
    why = f"Your last answer could not be used: {item['correction']}\nAnswer again."
    calls = tuple(MoveCall(name, arguments) for name, arguments in item.get("calls", ()))
    said = [Piece("assistant", item["said"], calls)] if item.get("said") else []
    unused = [Result(call.name, _NOT_DONE) for call in calls[1:]]
    results = (Result(calls[0].name, why), *unused) if calls else ()
    return [*said, Piece("user", why, results=results)]


def roles_text(roles: Sequence[Role]) -> str:
    return "roles you may create:\n" + "\n".join(f"- {role.name}: {role.summary}" for role in roles)


def listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" … and {more} more" if more > 0 else "")
