"""Entries of a stream that swarmd did not write: found where a stream has more than was counted.
Pure.

A reader who hears every ring never looks at what somebody else put between two of them, for the
ring names the last entry of ours. Such an entry is never believed; here it is found, so that it is
recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from swarmd.core.bus.envelope import Heard, is_sealed
from swarmd.core.model.channels import FACTS, INPUTS, MISSIONS
from swarmd.core.model.messages import Kind, Message, why_unreadable
from swarmd.core.model.names import Channel
from swarmd.core.model.refusals import Rule

# Entries of a stream that are looked at for those that were not counted. What lies further back is
# counted all the same, and was refused by whoever read it.
LOOKED_AT_MAX: Final = 2_000


def is_counted(channel: Channel) -> bool:
    """All but the entrance, which people write themselves, and the facts, which ring for nobody."""
    return channel not in (MISSIONS, FACTS)


@dataclass(frozen=True, slots=True)
class Miscount:
    """So many entries of a stream were not counted as swarmd's. Where the count was lost, or was
    that of another stream, it `is_made_anew`: it is what the stream says by now.
    """

    entries: int
    is_made_anew: bool = False


@dataclass(frozen=True, slots=True)
class Uncounted:
    """So many entries of a channel are still to be counted. `foreign` are those that are none of
    swarmd's, oldest first, by the rule that refuses them.
    """

    channel: Channel
    count: int
    foreign: dict[Rule, list[Message]]


def judge_uncounted(channel: Channel, miscount: Miscount, newest: Sequence[Message]) -> Uncounted:
    """`newest` are the stream's last entries, oldest first. Where the count itself was lost, all of
    them may be swarmd's.
    """
    rules = _rules_of(channel, newest)
    refused = [(rule, message) for message, rule in zip(newest, rules, strict=True) if rule]
    foreign: dict[Rule, list[Message]] = {}
    # What the supervisor reads itself it has refused, or will, entry by entry.
    for rule, message in () if channel in INPUTS else refused[-miscount.entries :]:
        foreign.setdefault(rule, []).append(message)
    return Uncounted(channel, 0 if miscount.is_made_anew else miscount.entries, foreign)


def _rules_of(channel: Channel, messages: Sequence[Message]) -> list[Rule | None]:
    """The rule that refuses each, where one does: it is no message, or a copy of one."""
    heard = Heard()
    return [
        why_unreadable(message)
        if message.kind is Kind.UNREADABLE
        else heard.accepts(message)
        if is_sealed(channel)
        else None
        for message in messages
    ]
