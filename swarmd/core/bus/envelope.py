"""Envelopes: what is on a stream or rings is a message only if it was sealed with the swarm's
secret.

Against whoever can write to Redis and does not hold the secret. A seal says three things. *Whole*:
the code (MAC) stands last in the line and covers all the bytes before it, so that nothing has to be
put together anew to be checked. *Here*: it covers the channel's name too, which a ring has before
the line, and the key is the namespace's own. *Once*: a serial, `ISSUER:NUMBER`, whose numbers only
grow.

Numbers are microseconds since the epoch, and one more than the issuer's last where the clock has
not moved. Not a count: a server that lost its last second counts again what readers have heard
already, and would have honest messages refused; time goes on. Who issues:

- `r`, the runtime in its sender's name (an agent's turn, a host's word): one for each sender;
- `s`, the supervisor, in whosever name it posts: the leader alone, and the next one goes on from
  its number;
- `oNONCE`, an operator's command: many at once on any machine, each with a nonce of its own. What
  ends never comes back to say so, and nonces are endless, so these alone have to be fresh, and are
  forgotten in time.

A message withheld or deleted cannot be seen from here; nor what a process that holds the secret is
made to say.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.messages import (
    CUT,
    Kind,
    Message,
    Ring,
    channel_head,
    fits_a_ring,
    from_body,
    order_of,
    read_line,
    unreadable,
)
from swarmd.core.model.names import Channel, StreamId
from swarmd.core.model.refusals import Rule

SECRET_BYTES_MIN: Final = 32
# Of 128 bits: who guesses has to send his guesses to a reader, and each is recorded.
MAC_BYTES: Final = 16

RUNTIME: Final = "r"
SUPERVISOR_ISSUER: Final = "s"
OPERATOR_ISSUER: Final = "o"

_SECOND: Final = 1_000_000
# How far the clocks of an operator, of the server and of the reader may be apart, and a posting may
# take: what Kerberos allows for the same purpose. Longer would only have more nonces to remember.
WINDOW: Final = 300 * _SECOND
# A mark left in Redis for the next issuer is believed this far ahead of the clock: no clock of ours
# is so wrong, and one that was set to the end of time would leave nothing to count on with.
_AHEAD_MAX: Final = 86_400 * _SECOND

_HEAD: Final = re.compile(r'\{"id":"([0-9]{1,20}-[0-9]{1,20})","prev":"([0-9]{1,20}-[0-9]{1,20})",')
_KEPT: Final = re.compile(r"([0-9]{1,18}) ([0-9]{1,18})")
_MAC: Final = ',"mac":"'
_TAIL_CHARS: Final = len(_MAC) + 2 * MAC_BYTES + len('"}')

_SINCE: Final = "*"

Mark = tuple[int, int]
"""Incarnation and number: what a reader last accepted."""


def is_sealed(channel: Channel) -> bool:
    """All but the journal, whose entries are chained."""
    return channel != JOURNAL


# --- sealing ----------------------------------------------------------------------------------


class Sealed(NamedTuple):
    """A message as the scripts take it: the line of its entry, and the line that rings, empty
    where that is the same.
    """

    line: str
    preview: str


class Seal:
    """The secret of one namespace at work. Neither it nor its key is ever shown."""

    __slots__ = ("_keyed", "fingerprint")

    def __init__(self, secret: bytes, namespace: str) -> None:
        assert len(secret) >= SECRET_BYTES_MIN
        # HKDF (RFC 5869) with one block each: the salt sets our use apart, the info the namespace
        # and the purpose.
        pseudorandom = hmac.digest(b"swarmd envelope 1", secret, "sha256")
        key = hmac.digest(pseudorandom, b"mac\0" + namespace.encode() + b"\1", "sha256")
        self._keyed = hashlib.blake2b(key=key, digest_size=MAC_BYTES)
        shown = hmac.digest(pseudorandom, b"fingerprint\0" + namespace.encode() + b"\1", "sha256")
        self.fingerprint: str = shown[:8].hex()

    def seal(
        self, channel: Channel, message: Message, serial: str, line: str | None = None
    ) -> Sealed:
        """The message for this channel under this serial. The journal's are left as they are, and
        their `line` may be known already.
        """
        if not is_sealed(channel):
            line = "{" + message.body(message.data_text()) + "}" if line is None else line
        else:
            body = message.body(message.data_text(), f',"serial":"{serial}"')
            # What UTF-8 cannot say goes over the wire as a question mark, and is checked as one.
            mac = self._mac(f"{channel_head(channel)}{body}".encode("utf-8", "replace"))
            line = f'{{{body}{_MAC}{mac}"}}'
        return Sealed(line, "" if fits_a_ring(channel, line) else message.preview_line())

    def open_ring(self, channel: Channel, line: str) -> Ring | None:
        """A ring with its message where that is authentic, without one where it was cut; `None` for
        any other.

        A cut ring and the ids of every ring are not covered by the code: they are reasons to read
        the stream.
        """
        head = _HEAD.match(line)
        if head is None:
            return None
        if line.endswith(CUT):
            return Ring(StreamId(head[1]), StreamId(head[2]), None)
        body = self._authentic(line[head.end() :])
        if body is None:
            return None
        # A code that is right on another channel.
        if not body.startswith(channel_head(channel)):
            return None
        # Authentic and not read: what is wrong with it, its entry tells.
        found = from_body(channel, StreamId(head[1]), body[len(channel_head(channel)) :])
        message = found if isinstance(found, Message) else None
        return Ring(StreamId(head[1]), StreamId(head[2]), message)

    def open_entry(self, channel: Channel, id: StreamId, line: str) -> Message:
        """An entry's line as a message; what is not authentic on a sealed channel is unreadable,
        whatever it says.
        """
        if is_sealed(channel):
            head = channel_head(channel)
            body = self._authentic(head + line[1:]) if line.startswith("{") else None
            if body is None:
                return unreadable(channel, id)
            found = from_body(channel, id, body[len(head) :])
        else:
            found = read_line(channel, id, line)
        return found if isinstance(found, Message) else unreadable(channel, id, found)

    def _authentic(self, rest: str) -> str | None:
        """The channel's name and the body, from all of a ring behind its ids, where the code at its
        end is of them.
        """
        body, tail = rest[:-_TAIL_CHARS], rest[-_TAIL_CHARS:]
        is_whole = tail.startswith(_MAC) and tail.endswith('"}')
        return body if is_whole and self._is_of(body, tail[len(_MAC) : -2]) else None

    def _is_of(self, body: str, mac: str) -> bool:
        try:
            # Strict: of a text with half a surrogate pair the code was never made.
            return hmac.compare_digest(self._mac(body.encode()), mac)
        except (UnicodeEncodeError, TypeError):  # TypeError: a code that is not even ASCII
            return False

    def _mac(self, body: bytes) -> str:
        keyed = self._keyed.copy()
        keyed.update(body)
        return keyed.hexdigest()


@dataclass(slots=True)
class Serials:
    """The numbers of one process: each is larger than the last, whoever it is for."""

    last: int = 0

    def take(self, now: float) -> int:
        """`now` in seconds since the epoch."""
        self.last = max(self.last + 1, int(now * _SECOND))
        return self.last

    def go_beyond(self, number: int, now: float) -> None:
        """Another process, on a clock of its own, has issued up to this number what we go on
        with.
        """
        self.last = max(self.last, min(number, int(now * _SECOND) + _AHEAD_MAX))


def has_seal(line: str) -> bool:
    """Whether a code stands at its end, of whatever secret."""
    return line[-_TAIL_CHARS:].startswith(_MAC)


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals what one issuer says, each message under a number of its own."""

    seal: Seal
    issuer: str
    serials: Serials
    now: Callable[[], float]

    def __call__(self, channel: Channel, message: Message, line: str | None = None) -> Sealed:
        return self.seal.seal(channel, message, f"{self.issuer}:{self.number()}", line)

    def number(self) -> int:
        return self.serials.take(self.now())


# --- hearing once -----------------------------------------------------------------------------


def mark_of(message: Message) -> tuple[str, Mark]:
    """Whose numbers on which channel a message counts among, and where. Of authentic messages
    only.
    """
    issuer, _, number = message.serial.partition(":")
    key = f"{message.channel} {issuer}"
    if issuer == RUNTIME:
        key = f"{key}.{message.sender}"
    return key, (message.incarnation, int(number))


def heard_pairs(messages: Iterable[Message]) -> dict[str, str]:
    """What has been heard after these messages of a reader's, oldest first, as pairs to keep."""
    return {key: f"{inc} {number}" for key, (inc, number) in map(mark_of, messages)}


def followed_since(channel: Channel, number: int) -> tuple[str, str]:
    """The pair that says that a channel is followed only since this serial's number."""
    return f"{channel} {_SINCE}", f"0 {number}"


def heard_of_sender(sender: str, channels: Iterable[Channel]) -> list[str]:
    """The keys under which a sender's own messages on these channels are remembered."""
    return [f"{channel} {RUNTIME}.{sender}" for channel in channels]


@dataclass(slots=True)
class Heard:
    """What one reader has accepted, by channel and issuer; and since when it follows a channel that
    was there before: of that it has heard nothing, and what was said long before is not for it.
    """

    marks: dict[str, Mark] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Mapping[str, str]) -> Heard:
        """From what was kept; what is not ours among it was not kept."""
        marks = ((intern(key), _mark_of_text(text)) for key, text in pairs.items())
        return cls({key: mark for key, mark in marks if mark is not None})

    def refusal(self, message: Message, now: float = 0.0) -> Rule | None:
        """Why an authentic message is not to be taken, or `None`. `now`: the reader's clock,
        where it has one.
        """
        key, mark = mark_of(message)
        known = self.marks.get(key)
        if message.serial.startswith(OPERATOR_ISSUER):
            if known is None:
                known = self.marks.get(_forgotten(message.channel))
            if not _is_fresh(mark[1], message.id, now):
                return Rule.ENVELOPE_REPLAYED
        if known is None:
            since = self.marks.get(f"{message.channel} {_SINCE}", (0, 0))[1]
            return Rule.ENVELOPE_REPLAYED if mark[1] < since - WINDOW else None
        if mark > known:
            return None
        return Rule.INCARNATION if mark[0] < known[0] else Rule.ENVELOPE_REPLAYED

    def accepts(self, message: Message, now: float = 0.0) -> Rule | None:
        """As `refusal`, and what is not refused is remembered."""
        refused = self.refusal(message, now)
        if refused is None:
            key, mark = mark_of(message)
            self.marks[key] = mark
        return refused

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.marks.pop(key, None)

    def forget_operators(self) -> tuple[dict[str, str], list[str]]:
        """Drops the nonces that no fresh message can have: pairs to keep instead, and the keys that
        are gone.

        Instead stands the largest number dropped: an unknown nonce with none above it is an old
        one. A fresh message's is above it, for two that were fresh one after the other are four
        windows apart at most.
        """
        nonces = [key for key in self.marks if f" {OPERATOR_ISSUER}" in key]
        newest = self._newest_by_channel(nonces)
        kept, gone = {}, []
        for key in nonces:
            channel, number = _channel_of(key), self.marks[key][1]
            floor = _forgotten(channel)
            if key == floor or number >= newest[channel] - 4 * WINDOW:
                continue
            del self.marks[key]
            gone.append(key)
            self.marks[floor] = max(self.marks.get(floor, (0, 0)), (0, number))
            kept[floor] = "{} {}".format(*self.marks[floor])
        return kept, gone

    def _newest_by_channel(self, nonces: Iterable[str]) -> dict[Channel, int]:
        newest: dict[Channel, int] = {}
        for key in nonces:
            channel = _channel_of(key)
            newest[channel] = max(newest.get(channel, 0), self.marks[key][1])
        return newest


# Ten thousand idle agents of one process follow the same rooms since the same commits: one object
# for all of them.
@lru_cache(maxsize=4_096)
def _mark_of_text(text: str) -> Mark | None:
    kept = _KEPT.fullmatch(text)
    return (int(kept[1]), int(kept[2])) if kept else None


def _channel_of(key: str) -> Channel:
    return Channel(key.partition(" ")[0])


def _forgotten(channel: Channel) -> str:
    """Under it stands the largest number of the nonces that were forgotten."""
    return f"{channel} {OPERATOR_ISSUER}"


def _is_fresh(number: int, id: StreamId, now: float) -> bool:
    """Issued about when it was posted, by the server's clock, or just now, by the reader's.

    Both, because an order that waited for a supervisor is as good as when it was given, and because
    one entry with an id of the far future must not close a channel to operators.
    """
    posted = order_of(id)[0] * (_SECOND // 1000)
    return abs(number - posted) <= WINDOW or abs(number - int(now * _SECOND)) <= WINDOW


def once_each(messages: Sequence[Message], since: StreamId) -> list[Message]:
    """Of a stretch of a channel those that are authentic and not repeated in it, nor from long
    before it.

    For a reader that keeps no marks there: it looks at a stretch whole, as the seats do at their
    room.
    """
    start = order_of(since)[0] * (_SECOND // 1000)
    heard = Heard({f"{m.channel} {_SINCE}": (0, start) for m in messages[:1]})
    return [m for m in messages if m.kind is not Kind.UNREADABLE and heard.accepts(m) is None]
