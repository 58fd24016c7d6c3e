"""Which entries of a stream are not swarmd's, of those that were not counted."""

from __future__ import annotations

from itertools import count
from typing import Final

from swarmd.core.bus.envelope import RUNTIME, Seal, Sealer, Serials
from swarmd.core.bus.foreign import Miscount, is_counted, judge_uncounted
from swarmd.core.model.channels import FACTS, MISSIONS, ORDERS, room
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import AgentId, Channel, StreamId
from swarmd.core.model.refusals import Rule
from tests.conftest import SECRET

ROOM: Final = room("den")
SEAL: Final = Seal(SECRET, "t")


class Stream:
    """Entries of one channel, as they lie."""

    def __init__(self, channel: Channel = ROOM) -> None:
        self.channel, self.entries = channel, list[Message]()
        self._sealer = Sealer(SEAL, RUNTIME, Serials(), lambda: 1.0)
        self._numbers = count(1)

    def write(self, line: str) -> str:
        id = StreamId(f"{next(self._numbers)}-0")
        self.entries.append(SEAL.open_entry(self.channel, id, line))
        return line

    def say(self) -> str:
        message = Message(sender=AgentId("a"), kind=Kind.SAY, at="at", text="hello")
        return self.write(self._sealer(self.channel, message).line)


def found(stream: Stream, entries: int, *, is_made_anew: bool = False) -> dict[Rule, list[str]]:
    judged = judge_uncounted(stream.channel, Miscount(entries, is_made_anew), stream.entries)
    return {rule: [message.id for message in those] for rule, those in judged.foreign.items()}


def test_what_is_no_message_and_what_is_a_copy_are_foreign() -> None:
    stream = Stream()
    first = stream.say()
    stream.write("{}")
    stream.say()
    stream.write(first)
    assert found(stream, 2) == {Rule.ENVELOPE_FORGED: ["2-0"], Rule.ENVELOPE_REPLAYED: ["4-0"]}


def test_of_more_than_were_not_counted_the_newest_are_meant() -> None:
    stream = Stream()
    for _ in range(3):
        stream.write("{}")
        stream.say()
    assert found(stream, 1) == {Rule.ENVELOPE_FORGED: ["5-0"]}


def test_what_is_ours_is_foreign_by_no_count() -> None:
    stream = Stream()
    for _ in range(5):
        stream.say()
    assert found(stream, 5) == found(stream, 5, is_made_anew=True) == {}


def test_a_count_that_was_made_anew_has_nothing_left_to_be_counted() -> None:
    stream = Stream()
    stream.write("{}")
    for is_made_anew, left in ((True, 0), (False, 1)):
        judged = judge_uncounted(ROOM, Miscount(1, is_made_anew), stream.entries)
        assert (judged.count, len(judged.foreign)) == (left, 1)


def test_what_the_supervisor_reads_is_counted_and_not_told_twice() -> None:
    stream = Stream(ORDERS)
    stream.write("{}")
    judged = judge_uncounted(ORDERS, Miscount(1), stream.entries)
    assert (judged.count, judged.foreign) == (1, {})


def test_an_entrance_and_the_facts_are_not_counted() -> None:
    assert [c for c in (MISSIONS, FACTS, ORDERS, ROOM) if is_counted(c)] == [ORDERS, ROOM]
