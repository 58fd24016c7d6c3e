"""The journal's chain: what each entry is hashed over, and the digest of the state that it left
behind.

An entry's hash covers its line, byte for byte as it is stored, with the hash of the entry before.
Invariant: `hash` is the last field of the line, so that what it was computed over is what stands
before it, and nobody has to write JSON anew to check it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Before the first entry there is nothing: its `prev`, and the digest of a state without a record.
GENESIS: Final = "0" * 64
# What the chain adds to an entry's data; no event may use these names for facts of its own.
CHAINED: Final = frozenset({"n", "prev", "before", "after", "effects"})

_HASH_MARK: Final = ',"hash":"'
# A SHA-256 in hexadecimal digits, the quotation mark and the brace that end the line.
_HASH_TAIL: Final = 64 + 2
_MODULUS: Final = 1 << 256

# Made once: `json.dumps` with settings of its own makes an encoder for each call.
_SORTED: Final = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
)
_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Record = Mapping[str, Any]
# A record's key, and its fields that are new (`None`: no more), or `None` where the record is gone.
Effect = tuple[str, Record | None]


def canonical(value: Any) -> str:
    """The one way to write a JSON value for hashing."""
    return _SORTED.encode(value)


def sha256(text: str) -> str:
    return _sha256(text).hexdigest()


def _sha256(text: str) -> hashlib._Hash:
    # What UTF-8 cannot say (half a surrogate pair, which a model's JSON can) is stored as a
    # question mark.
    return hashlib.sha256(text.encode("utf-8", "replace"))


# --- entries ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry: its number, from 1, its hash, and the digest of the state it left."""

    n: int = 0
    hash: str = GENESIS
    after: str = GENESIS


def with_hash(body: str) -> tuple[str, str]:
    """An entry's line from its body, and the hash at its end."""
    text = "{" + body
    hash = sha256(text)
    return f'{text}{_HASH_MARK}{hash}"}}', hash


def without_hash(line: str) -> tuple[str, str] | None:
    """What stands before the hash of an entry's line, and the hash it claims; `None` for what is no
    chained entry.
    """
    start = len(line) - len(_HASH_MARK) - _HASH_TAIL
    if start < 1 or not line.startswith(_HASH_MARK, start) or not line.endswith('"}'):
        return None
    return line[:start], line[start + len(_HASH_MARK) : -2]


# --- state ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Records:
    """All that the law looks at, as JSON by key, with a digest that costs what changed, not what
    is.

    The digest is the sum of the records' hashes modulo 2^256: one changed record is one subtraction
    and one addition. It is no signature (records chosen by the million could be made to collide):
    it shows whether memory, store and journal still speak of the same state.
    """

    values: dict[str, Record] = field(default_factory=dict)
    _terms: dict[str, int] = field(default_factory=dict)
    _sum: int = 0

    @classmethod
    def of(cls, records: Iterable[tuple[str, Record]]) -> Records:
        made = cls()
        for key, value in records:
            made.put(key, value)
        return made

    @property
    def digest(self) -> str:
        return f"{self._sum:064x}"

    def put(self, key: str, value: Record | None) -> Effect | None:
        """Set or drop a record; what changed by it, `None` where nothing did. Empty fields are
        left out.
        """
        old = self.values.get(key)
        new = None if value is None else {name: part for name, part in value.items() if part}
        if old == new:
            return None
        self._set(key, new)
        if old is None or new is None:
            return key, new
        return key, _changed_fields(old, new)

    def apply(self, effect: Effect) -> None:
        """What `put` returned, done to another copy."""
        key, changed = effect
        if changed is None:
            self._set(key, None)
        else:
            merged = {**self.values.get(key, {}), **changed}
            self._set(key, {name: part for name, part in merged.items() if part is not None})

    def differing(self, other: Records) -> list[str]:
        """The keys of records that the other has not, has alone, or has with other fields."""
        keys = self.values.keys() | other.values.keys()
        return sorted(key for key in keys if self.values.get(key) != other.values.get(key))

    def clear(self) -> None:
        self.values.clear()
        self._terms.clear()
        self._sum = 0

    def _set(self, key: str, value: Record | None) -> None:
        term = 0
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
            term = int.from_bytes(_sha256(canonical([key, value])).digest())
        self._sum = (self._sum - self._terms.pop(key, 0) + term) % _MODULUS
        if term:
            self._terms[key] = term


def _changed_fields(old: Record, new: Record) -> Record:
    changed = {name: part for name, part in new.items() if old.get(name) != part}
    return changed | {name: None for name in old if name not in new}


@dataclass(slots=True)
class Chain:
    """The supervisor's end of the chain: its last entry, and the state as that left it."""

    head: Head = field(default_factory=Head)
    records: Records = field(default_factory=Records)
