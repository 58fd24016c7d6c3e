"""What a mission will likely take, as far as it could be forecast. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Amounts: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """By kind; without money where nobody knows what a call costs."""

    seat_call: Amounts = field(default_factory=dict)  # one call of a seat
    above: Amounts = field(default_factory=dict)  # reserved of a call above what it likely takes
    executive: Amounts = field(default_factory=dict)  # one that reads and reports
    whole: Amounts = field(default_factory=dict)  # the mission, where nobody argues
    argued: Amounts = field(default_factory=dict)  # the same, with an argument on each motion
