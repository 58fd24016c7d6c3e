"""A hand that owns Redis and rewrites the journal: seeded edits, with the chain made good again
after them or not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from swarmd.core.model.chain import GENESIS, Head, hash_of
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
    made = [(id, list(flat)) for id, flat in entries]
    at = chance.randrange(0, until + 1)
    if deed == "edit":
        _edit(chance, made[at][1])
    elif deed == "delete":
        del made[at : min(until, at + chance.randrange(0, 3)) + 1]
    elif deed == "cut":
        del made[at:]
    elif deed == "insert":
        id, flat = made[chance.randrange(len(made))]
        copy = list(flat)
        _edit(chance, copy)
        made.insert(at, (id, copy))
    else:
        other = chance.choice([n for n in range(until + 1) if n != at])
        made[at], made[other] = (made[at][0], made[other][1]), (made[other][0], made[at][1])
        at = min(at, other)
    if is_rechained:
        made = made[:at] + rechained(made[at:], made[at - 1] if at else None)
    return Forgery(deed, is_rechained, at, made, head_of(made))


def _edit(chance: Random, flat: list[str]) -> None:
    """One character of one field, its name or value, is another."""
    place = chance.choice([n for n, word in enumerate(flat) if word])
    word = flat[place]
    spot = chance.randrange(len(word))
    other = chance.choice([c for c in "0aZ{\"' é" if c != word[spot]])
    flat[place] = word[:spot] + other + word[spot + 1 :]


def _data(flat: Sequence[str]) -> tuple[int, dict[str, object]] | None:
    for place in range(0, len(flat) - 1, 2):
        if flat[place] == "data":
            try:
                value = json.loads(flat[place + 1])
            except ValueError:
                return None
            return (place + 1, value) if isinstance(value, dict) else None
    return None


def rechained(entries: Sequence[Entry], before: Entry | None) -> list[Entry]:
    """Numbered, linked and hashed anew, as anybody can who knows the form: there is no secret in
    the chain.
    """
    n, prev = 0, GENESIS
    if before is not None:
        head = head_of([before])
        n, prev = head.n, head.hash
    made = []
    for id, flat in entries:
        found = _data(flat)
        if found is None:
            made.append((id, flat))
            continue
        place, data = found
        n += 1
        data |= {"n": n, "prev": prev}
        data.pop("hash", None)
        whole = list(flat)
        whole[place] = _text(data)
        prev = hash_of(whole)
        whole[place] = _text(data | {"hash": prev})
        made.append((id, whole))
    return made


def head_of(entries: Sequence[Entry]) -> Head:
    for _, flat in reversed(entries):
        found = _data(flat)
        if found is not None and {"n", "hash", "after"} <= found[1].keys():
            data = found[1]
            return Head(
                int(str(data["n"])) if str(data["n"]).isdecimal() else 0,
                str(data["hash"]),
                str(data["after"]),
            )
    return Head()


def _text(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


__all__ = ["DEEDS", "Forgery", "StreamId", "forge", "head_of", "rechained"]
