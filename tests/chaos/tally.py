"""Which numbers of a row have come, and which came once more than they should. Small while
nothing goes wrong.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Numbers as ranges, both ends included, in order and never adjacent; `again` are those that
    came twice.
    """

    ranges: list[list[int]] = field(default_factory=list)
    again: list[int] = field(default_factory=list)

    def add(self, number: int) -> bool:
        """False where it came before."""
        place = bisect_right(self.ranges, number, key=lambda span: span[0])
        before = self.ranges[place - 1] if place else None
        if before is not None and number <= before[1]:
            self.again.append(number)
            return False
        after = self.ranges[place] if place < len(self.ranges) else None
        joins_before = before is not None and before[1] == number - 1
        joins_after = after is not None and after[0] == number + 1
        if before is not None and after is not None and joins_before and joins_after:
            before[1] = after[1]
            del self.ranges[place]
        elif before is not None and joins_before:
            before[1] = number
        elif after is not None and joins_after:
            after[0] = number
        else:
            self.ranges.insert(place, [number, number])
        return True

    def missing(self, count: int) -> int:
        """How many of the first `count` numbers have not come."""
        return count - sum(
            min(last, count - 1) - first + 1 for first, last in self.ranges if first < count
        )


@dataclass(slots=True)
class Effects:
    """What an agent of the load has in its committed memory: what was posted to it, and what
    others passed on.
    """

    direct: Tally = field(default_factory=Tally)
    relayed: Tally = field(default_factory=Tally)

    @classmethod
    def of(cls, memory: str) -> Effects:
        if not memory:
            return cls()
        kept = json.loads(memory)
        return cls(Tally(*kept["direct"]), Tally(*kept["relayed"]))

    def to_text(self) -> str:
        rows = {"direct": self.direct, "relayed": self.relayed}
        return json.dumps({name: [tally.ranges, tally.again] for name, tally in rows.items()})
