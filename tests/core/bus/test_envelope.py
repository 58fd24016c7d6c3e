"""Envelopes: what was sealed is opened as it was, and nothing else is; each message is heard
once.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.bus.envelope import (
    WINDOW,
    Heard,
    Seal,
    Sealer,
    Serials,
    followed_since,
    heard_pairs,
    mark_of,
    once_each,
)
from swarmd.core.model.channels import JOURNAL
from swarmd.core.model.messages import RING_BYTES_MAX, Kind, Message, Ring
from swarmd.core.model.names import OPERATOR, AgentId, Channel, MissionId, StreamId
from swarmd.core.model.refusals import Rule

SECRET = b"0123456789abcdef0123456789abcdef"
ROOM, INBOX = Channel("room:sob"), Channel("inbox:a-1")
SEAL = Seal(SECRET, "swarm")
ID, PREV = StreamId("7-1"), StreamId("7-0")

_text = st.text(st.characters(codec="utf-8"), max_size=200)
_data = st.dictionaries(
    _text, st.integers() | _text | st.lists(st.booleans(), max_size=3), max_size=3
)
_messages = st.builds(
    Message,
    sender=_text.map(AgentId),
    kind=st.sampled_from(Kind),
    at=_text,
    to=_text,
    mission=_text.map(MissionId),
    text=_text,
    data=_data,
    hops=st.integers(0, 99),
    incarnation=st.integers(0, 9),
)


def said(text: str = "hi", **more: object) -> Message:
    return replace(Message(sender=AgentId("a-0"), kind=Kind.SAY, at="now", text=text), **more)  # type: ignore[arg-type]  # fields by name


def flat_of(fields: list[str]) -> dict[str, str]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


def line_of(ring: str, id: str = ID, prev: str = PREV) -> str:
    """As the script puts it together."""
    return f'{{"id":"{id}","prev":"{prev}",{ring}'


# --- sealed and opened ------------------------------------------------------------------------


@given(_messages)
def test_what_was_sealed_is_opened_as_it_was_on_the_stream_and_as_a_ring(message: Message) -> None:
    sealed = SEAL.seal(ROOM, message, "r:5")
    opened = replace(message, id=ID, channel=ROOM, serial="r:5")
    assert SEAL.open_entry(ROOM, ID, flat_of(sealed.fields)) == opened
    ring = SEAL.open_ring(ROOM, line_of(sealed.ring))
    assert ring == Ring(ID, PREV, None if json.loads(line_of(sealed.ring)).get("cut") else opened)


def test_a_ring_that_is_cut_brings_no_content_and_its_entry_brings_it_all() -> None:
    sealed = SEAL.seal(ROOM, said("x" * 5_000), "r:5")
    assert len(sealed.ring) < RING_BYTES_MAX
    assert SEAL.open_ring(ROOM, line_of(sealed.ring)) == Ring(ID, PREV, None)
    assert SEAL.open_entry(ROOM, ID, flat_of(sealed.fields)).text == "x" * 5_000


def test_what_utf8_cannot_say_is_a_question_mark_and_still_authentic() -> None:
    fields = [
        word.encode("utf-8", "replace").decode()
        for word in SEAL.seal(ROOM, said("\ud800"), "r:5").fields
    ]
    assert SEAL.open_entry(ROOM, ID, flat_of(fields)).text == "?"
    assert SEAL.open_entry(ROOM, ID, flat_of(fields) | {"text": "\ud800"}).kind is Kind.UNREADABLE


def test_the_journal_is_not_sealed_and_read_as_it_is() -> None:
    sealed = SEAL.seal(JOURNAL, said(), "s:5")
    assert "mac" not in flat_of(sealed.fields)
    assert SEAL.open_entry(JOURNAL, ID, flat_of(sealed.fields)).text == "hi"


@given(_messages, st.randoms(use_true_random=False))
def test_one_character_changed_anywhere_opens_neither_entry_nor_ring(
    message: Message, dice: random.Random
) -> None:
    sealed = SEAL.seal(ROOM, message, "r:5")
    flat = flat_of(sealed.fields)
    name = dice.choice([name for name in flat if flat[name]])
    assert (
        SEAL.open_entry(ROOM, ID, flat | {name: _flipped(flat[name], dice)}).kind is Kind.UNREADABLE
    )
    ring = SEAL.open_ring(ROOM, line_of(_flipped(sealed.ring, dice)))
    assert ring is None or ring.message is None


def _flipped(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text))
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


@pytest.mark.parametrize(
    "other",
    [Seal(SECRET, "swarm2"), Seal(b"another secret, which is as long", "swarm")],
    ids=["of another swarm", "of another secret"],
)
def test_another_key_opens_nothing(other: Seal) -> None:
    sealed = SEAL.seal(ROOM, said(), "r:5")
    assert other.open_entry(ROOM, ID, flat_of(sealed.fields)).kind is Kind.UNREADABLE
    assert other.open_ring(ROOM, line_of(sealed.ring)) is None
    assert other.fingerprint != SEAL.fingerprint


def test_what_was_sealed_for_one_channel_is_nothing_on_another() -> None:
    sealed = SEAL.seal(ROOM, said(), "r:5")
    assert SEAL.open_entry(INBOX, ID, flat_of(sealed.fields)).kind is Kind.UNREADABLE
    assert SEAL.open_ring(INBOX, line_of(sealed.ring)) is None


@pytest.mark.parametrize(
    "name", ["from", "to", "kind", "mission", "at", "text", "hops", "inc", "v", "serial", "mac"]
)
def test_an_entry_without_a_field_or_with_junk_in_it_is_unreadable(name: str) -> None:
    flat = flat_of(SEAL.seal(ROOM, said("hi", data={"n": 1}), "r:5").fields)
    without = {key: value for key, value in flat.items() if key != name}
    for junk in (without, flat | {name: '","x":"'}, flat | {name: "\u00fc"}, flat | {name: ""}):
        if junk != flat:
            assert SEAL.open_entry(ROOM, ID, junk).kind is Kind.UNREADABLE


def test_no_field_can_be_moved_into_the_data_or_out_of_it() -> None:
    # Data is put into the body as it is: it may look like the fields that stand after it.
    inner = {"a": {"b": 1}, "hops": 0, "inc": 5}
    flat = flat_of(SEAL.seal(ROOM, said("hi", data=inner), "r:5").fields)
    for moved in (
        {"data": '{"a":{"b":1}', "hops": '0,"inc":5},"hops":0'},
        {"data": "", "text": flat["text"] + '","data":' + flat["data"]},
        {"data": flat["data"] + ',"hops":0', "hops": "0"},
        {"inc": '0,"v":"1"'},
    ):
        assert SEAL.open_entry(ROOM, ID, flat | moved).kind is Kind.UNREADABLE


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hi",
        "{}",
        '{"id":"7-1","prev":"7-0",',
        '{"id":"7-1","prev":"7-0"}',
        '{"id":"x","prev":"7-0","cut":true}',
        line_of(SEAL.seal(ROOM, said(), "r:5").ring).replace('"id":', '"ID":'),
        '{"prev":"7-0","id":"7-1",' + SEAL.seal(ROOM, said(), "r:5").ring,
        line_of('"id":"9-9",' + SEAL.seal(ROOM, said(), "r:5").ring),
        line_of(SEAL.seal(ROOM, said(), "r:5").ring + " "),
        line_of(SEAL.seal(ROOM, said(), "r:5").ring[:-34] + "\u00fc" * 32 + '"}'),
        line_of(said().ring_body(ROOM, said().data_text())),
    ],
)
def test_what_is_no_authentic_ring_is_nothing(line: str) -> None:
    assert SEAL.open_ring(ROOM, line) is None


def test_neither_secret_nor_key_is_shown() -> None:
    assert SECRET.decode() not in f"{SEAL!r} {Sealer(SEAL, 'r', Serials(), lambda: 0.0)!r}"
    assert len(SEAL.fingerprint) == 16


# --- numbers ----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 4e9)))
def test_numbers_grow_whatever_the_clock_does(clock: list[float]) -> None:
    serials = Serials()
    numbers = [serials.take(now) for now in clock]
    assert numbers == sorted(set(numbers))


def test_the_next_issuer_goes_on_from_the_last_ones_number_but_not_from_the_end_of_time() -> None:
    serials = Serials()
    serials.go_beyond(5_000_000, now=2.0)
    assert serials.take(2.0) == 5_000_001
    serials.go_beyond(10**30, now=2.0)
    assert serials.take(2.0) < 10**12


# --- once -------------------------------------------------------------------------------------


def heard(
    number: int, *, issuer: str = "r", inc: int = 1, sender: str = "a-0", id: str = "7-1"
) -> Message:
    return said(
        sender=AgentId(sender),
        incarnation=inc,
        serial=f"{issuer}:{number}",
        channel=ROOM,
        id=StreamId(id),
    )


def test_a_number_counts_once_and_only_upwards() -> None:
    reader = Heard()
    assert [reader.accepts(heard(n)) for n in (5, 5, 4, 6)] == [
        None,
        Rule.ENVELOPE_REPLAYED,
        Rule.ENVELOPE_REPLAYED,
        None,
    ]


def test_senders_issuers_and_channels_count_apart() -> None:
    reader = Heard()
    for message in (
        heard(5),
        heard(5, sender="a-2"),
        heard(5, issuer="s"),
        replace(heard(5), channel=INBOX),
        heard(5, sender="s"),
        heard(5, sender="r.s"),
    ):
        assert reader.accepts(message) is None
    # The supervisor's are its own, in whosever name.
    assert reader.accepts(heard(5, issuer="s", sender="a-2")) is Rule.ENVELOPE_REPLAYED


def test_a_former_incarnation_is_refused_by_that_name_however_large_its_number() -> None:
    reader = Heard()
    assert reader.accepts(heard(5, inc=1)) is None
    assert reader.accepts(heard(3, inc=2)) is None
    assert reader.accepts(heard(9, inc=1)) is Rule.INCARNATION


@given(
    st.lists(
        st.tuples(st.sampled_from(["r", "s"]), st.integers(1, 3), st.integers(0, 9)), max_size=20
    )
)
def test_what_is_kept_of_a_readers_mail_is_all_that_it_has_heard(
    said: list[tuple[str, int, int]],
) -> None:
    reader = Heard()
    taken = [
        m for m in (heard(n, issuer=i, inc=inc) for i, inc, n in said) if reader.accepts(m) is None
    ]
    assert Heard.of(heard_pairs(taken)) == reader
    assert Heard.of(heard_pairs(taken) | {"junk": "x", "more": "1 2 3", "less": ""}) == reader


def test_nothing_is_heard_that_was_said_long_before_a_channel_was_followed() -> None:
    start = 10 * WINDOW
    reader = Heard.of(dict([followed_since(ROOM, start)]))
    assert reader.accepts(heard(start - WINDOW - 1)) is Rule.ENVELOPE_REPLAYED
    assert reader.accepts(heard(start - WINDOW)) is None
    assert reader.accepts(replace(heard(1), channel=INBOX)) is None
    # Whom it has heard there it goes on hearing, be it that he was silent or that it was away.
    known = Heard.of(heard_pairs([heard(1)]) | dict([followed_since(ROOM, start)]))
    assert known.accepts(heard(2)) is None


# --- operators --------------------------------------------------------------------------------

SECOND, HOUR = 1_000_000, 3_600 * 1_000_000


def ordered(number: int, nonce: str, *, posted: int | None = None) -> Message:
    ms = (number if posted is None else posted) // 1_000
    return heard(number, issuer=f"o{nonce}", sender=OPERATOR, inc=0, id=f"{ms}-0")


def test_operators_beside_each_other_are_heard_each_in_its_own_count() -> None:
    reader = Heard()
    assert reader.accepts(ordered(9 * HOUR, "a")) is None
    assert reader.accepts(ordered(9 * HOUR - SECOND, "b")) is None
    assert reader.accepts(ordered(9 * HOUR, "a")) is Rule.ENVELOPE_REPLAYED


def test_an_operators_word_is_good_about_when_it_was_given_and_never_later() -> None:
    now = 9 * HOUR
    assert Heard().accepts(ordered(now, "a", posted=now + WINDOW)) is None
    assert Heard().accepts(ordered(now, "a", posted=now - WINDOW)) is None
    assert (
        Heard().accepts(ordered(now, "a", posted=now + WINDOW + SECOND)) is Rule.ENVELOPE_REPLAYED
    )
    assert (
        Heard().accepts(ordered(now, "a", posted=now - WINDOW - SECOND)) is Rule.ENVELOPE_REPLAYED
    )
    # One entry with an id of the far future does not close the channel: the reader's own clock will
    # do.
    assert Heard().accepts(ordered(now, "a", posted=10**9 * HOUR), now=now / SECOND) is None


def test_nonces_are_forgotten_in_time_and_none_of_them_is_heard_again() -> None:
    reader, all_of_it = Heard(), [ordered(n * 60 * SECOND, f"n{n}") for n in range(1_000, 1_300)]
    stored: dict[str, str] = {}
    for message in all_of_it:
        assert reader.accepts(message) is None
        stored |= heard_pairs([message])
        kept, gone = reader.forget_operators()
        stored |= kept
        for key in gone:
            del stored[key]
        assert len(reader.marks) <= 4 * WINDOW // (60 * SECOND) + 2
    assert Heard.of(stored) == reader
    for message in all_of_it:
        assert Heard.of(stored).accepts(message) is Rule.ENVELOPE_REPLAYED


def test_forgetting_touches_nobody_but_operators_and_each_channel_by_itself() -> None:
    reader = Heard()
    here, there = ordered(9 * HOUR, "a"), replace(ordered(HOUR, "b"), channel=INBOX)
    for message in (heard(1), heard(2, issuer="s"), here, there):
        assert reader.accepts(message) is None
    assert reader.forget_operators() == ({}, [])
    assert reader.accepts(replace(ordered(9 * HOUR, "c"), channel=INBOX)) is None
    kept, gone = reader.forget_operators()
    assert gone == [mark_of(there)[0]]
    assert kept == {"inbox:a-1 o": f"0 {HOUR}"}


# --- a stretch of a room ----------------------------------------------------------------------


def test_of_a_stretch_nothing_is_read_twice_nor_from_long_before_it() -> None:
    start = 9 * HOUR
    fresh = [heard(start + n) for n in range(3)]
    old = heard(start - 2 * WINDOW, sender="a-2")
    junk = replace(heard(1), kind=Kind.UNREADABLE)
    first = StreamId(f"{start // 1_000}-0")
    assert once_each([*fresh, old, junk, fresh[1]], first) == fresh
