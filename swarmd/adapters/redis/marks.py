"""Marks as Redis holds them: fences, stops and revocations, each a field of one hash.

Apart from the records, because faces that start fast read marks too, and records bring pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from swarmd.core.model.lineage import Fence, Stop, StopKind
from swarmd.core.model.names import Authority
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.versions import check_record, only_known


def fence_text(fence: Fence) -> str:
    facts = asdict(fence)
    del facts["segment"]
    return json.dumps(facts)


def facts_of(what: str, text: str) -> dict[str, Any]:
    """The facts of a mark, whatever a later release has added. Raises `ValueError`, or
    `NewerRecordError`.
    """
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError(f"{what} is no object")
    check_record(what, facts.pop("v", None))
    return facts


def fence_of(segment: str, text: str) -> Fence:
    why = facts_of(f"the fence on {segment}", text)
    return Fence(
        segment,
        why["reason"],
        why["by"],
        float(why["at"]),
        why["order"],
        confirmed=why.get("confirmed", 0),
        unconfirmed=why.get("unconfirmed", 0),
        unreachable=why.get("unreachable", 0),
        hops=why.get("hops", 0),
        is_settled=why.get("is_settled", False),
        taint=tuple(why.get("taint", ())),
    )


def stop_text(stop: Stop) -> str:
    """The kind comes first: the scripts read no further."""
    facts = asdict(stop)
    del facts["target"], facts["kind"]
    return f"{stop.kind.value} {json.dumps(facts)}"


def stop_of(target: str, text: str) -> Stop:
    kind, _, why = text.partition(" ")
    facts = only_known(Stop, facts_of(f"the stop on {target}", why))
    authority = Authority(facts.pop("authority"))
    return Stop(**facts | {"target": target, "kind": StopKind(kind), "authority": authority})


def revocations_text(marks: Sequence[Revocation]) -> str:
    return json.dumps(
        [[m.path, m.number, m.right, m.by, m.at, m.reason, m.authority] for m in marks]
    )


def revocations_of(segment: str, text: str) -> tuple[Revocation, ...]:
    return tuple(
        Revocation(segment, path, right, number, by, at, reason, authority)
        for path, number, right, by, at, reason, authority, *_ in json.loads(text)
    )


_GAP: Final = "gap:"


def gap_field(n: int) -> str:
    """Of `_meta`, while the gap of which the journal's entry `n` tells is not acknowledged."""
    return f"{_GAP}{n}"


def gaps_of(meta: Mapping[str, str]) -> tuple[int, ...]:
    found = (name.removeprefix(_GAP) for name in meta if name.startswith(_GAP))
    return tuple(sorted(int(n) for n in found if n.isdecimal()))
