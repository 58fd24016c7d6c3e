"""A hand that owns Redis and rewrites the journal: seeded edits, with the chain made good again
after them or not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from swarmd.core.model.chain import GENESIS, Head, with_hash
from swarmd.core.model.names import StreamId
from tests.runtime.recorded import Entry

DEEDS: Final = ("edit", "delete", "reorder", "insert", "cut")


@dataclass(frozen=True, slots=True)
class Forgery:
    """What was done, the journal as it is then, and what the store's own word of its end was
    made to be.
    """

    deed: str
    is_rechained: bool
    at: int  # index of the first entry that is not what it was
    entries: list[Entry]
    head: Head


def forge(chance: Random, entries: Sequence[Entry], *, until: int) -> Forgery:
    """One deed at or before the entry of index `until`; the head says whatever hides it best."""
    deed, is_rechained = chance.choice(DEEDS), chance.random() < 0.5
    made = list(entries)
    at = chance.randrange(0, until + 1)
    if deed == "edit":
        made[at] = (made[at][0], _edited(chance, made[at][1]))
    elif deed == "delete":
        del made[at : min(until, at + chance.randrange(0, 3)) + 1]
    elif deed == "cut":
        del made[at:]
    elif deed == "insert":
        id, line = made[chance.randrange(len(made))]
        made.insert(at, (id, _edited(chance, line)))
    else:
        other = chance.choice([n for n in range(until + 1) if n != at])
        made[at], made[other] = (made[at][0], made[other][1]), (made[other][0], made[at][1])
        at = min(at, other)
    if is_rechained:
        made = made[:at] + rechained(made[at:], made[at - 1] if at else None)
    return Forgery(deed, is_rechained, at, made, head_of(made))


def _edited(chance: Random, line: str) -> str:
    """One character, of a field's name or its value or between them, is another."""
    spot = chance.randrange(len(line))
    other = chance.choice([c for c in "0aZ{\"' é" if c != line[spot]])
    return line[:spot] + other + line[spot + 1 :]


def _said(line: str) -> tuple[dict[str, object], dict[str, object]] | None:
    """What an entry says, and its data of that."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    data = value.get("data") if isinstance(value, dict) else None
    return (value, data) if isinstance(data, dict) else None


def rechained(entries: Sequence[Entry], before: Entry | None) -> list[Entry]:
    """Numbered, linked and hashed anew, as anybody can who knows the form: there is no secret in
    the chain.
    """
    n, prev = 0, GENESIS
    if before is not None:
        head = head_of([before])
        n, prev = head.n, head.hash
    made = []
    for id, line in entries:
        found = _said(line)
        if found is None:
            made.append((id, line))
            continue
        said, data = found
        n += 1
        said["data"] = data | {"n": n, "prev": prev}
        said.pop("hash", None)
        whole, prev = with_hash(_text(said)[1:-1])
        made.append((id, whole))
    return made


def head_of(entries: Sequence[Entry]) -> Head:
    for _, line in reversed(entries):
        found = _said(line)
        if found is not None and {"n", "after"} <= found[1].keys() and "hash" in found[0]:
            said, data = found
            return Head(
                int(str(data["n"])) if str(data["n"]).isdecimal() else 0,
                str(said["hash"]),
                str(data["after"]),
            )
    return Head()


def _text(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


__all__ = ["DEEDS", "Forgery", "StreamId", "forge", "head_of", "rechained"]
