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
    Sealed,
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


def ring_of(sealed: Sealed, channel: Channel = ROOM) -> str:
    """As the script puts it together."""
    line = sealed.preview or sealed.line
    return f'{{"id":"{ID}","prev":"{PREV}","channel":"{channel}",{line[1:]}'


# --- sealed and opened ------------------------------------------------------------------------


@given(_messages)
def test_what_was_sealed_is_opened_as_it_was_on_the_stream_and_as_a_ring(message: Message) -> None:
    sealed = SEAL.seal(ROOM, message, "r:5")
    opened = replace(message, id=ID, channel=ROOM, serial="r:5")
    assert SEAL.open_entry(ROOM, ID, sealed.line) == opened
    assert SEAL.open_ring(ROOM, ring_of(sealed)) == Ring(
        ID, PREV, None if sealed.preview else opened
    )
    assert len(ring_of(sealed).encode()) < RING_BYTES_MAX + 100


def test_a_ring_that_is_cut_brings_no_content_and_its_entry_brings_it_all() -> None:
    sealed = SEAL.seal(ROOM, said("x" * 5_000), "r:5")
    assert len(ring_of(sealed)) < RING_BYTES_MAX
    assert SEAL.open_ring(ROOM, ring_of(sealed)) == Ring(ID, PREV, None)
    assert SEAL.open_entry(ROOM, ID, sealed.line).text == "x" * 5_000


def test_a_line_is_read_by_people_and_its_seal_stands_last() -> None:
    line = SEAL.seal(ROOM, said('Größe: "5 €"', data={"n": "ü"}), "r:5").line
    assert 'Größe: \\"5 €\\"' in line
    assert list(json.loads(line)) == [
        *("from", "to", "kind", "mission", "at", "text", "data"),
        *("hops", "inc", "v", "key", "serial", "mac"),
    ]


def test_the_name_of_a_key_is_part_of_what_is_sealed() -> None:
    sealed = SEAL.seal(ROOM, said(key="h-1"), "r:5")
    assert SEAL.open_entry(ROOM, ID, sealed.line).key == "h-1"
    for other in ('"key":""', '"key":"h-2"'):
        forged = sealed.line.replace('"key":"h-1"', other)
        assert SEAL.open_entry(ROOM, ID, forged).kind is Kind.UNREADABLE


def test_what_utf8_cannot_say_is_a_question_mark_and_still_authentic() -> None:
    line = SEAL.seal(ROOM, said("\ud800"), "r:5").line.encode("utf-8", "replace").decode()
    assert SEAL.open_entry(ROOM, ID, line).text == "?"
    forged = line.replace("?", "\ud800")
    assert SEAL.open_entry(ROOM, ID, forged).kind is Kind.UNREADABLE


def test_the_journal_is_not_sealed_and_read_as_it_is() -> None:
    sealed = SEAL.seal(JOURNAL, said(), "s:5")
    assert "mac" not in json.loads(sealed.line)
    assert SEAL.open_entry(JOURNAL, ID, sealed.line).text == "hi"


@given(_messages, st.randoms(use_true_random=False))
def test_one_character_changed_anywhere_opens_neither_entry_nor_ring(
    message: Message, dice: random.Random
) -> None:
    sealed = SEAL.seal(ROOM, message, "r:5")
    assert SEAL.open_entry(ROOM, ID, _flipped(sealed.line, dice)).kind is Kind.UNREADABLE
    # A ring's ids are not covered (below): what is said of it begins behind them.
    ids, covered = _split_at(ring_of(sealed), '"channel"')
    ring = SEAL.open_ring(ROOM, ids + _flipped(covered, dice))
    assert ring is None or ring.message is None


def test_the_ids_of_a_ring_are_anybodys_words_and_change_nothing_of_its_message() -> None:
    rung = ring_of(SEAL.seal(ROOM, said(), "r:5"))
    other = SEAL.open_ring(ROOM, rung.replace(f'"prev":"{PREV}"', '"prev":"6-0"'))
    ring = SEAL.open_ring(ROOM, rung)
    assert other is not None
    assert ring is not None
    assert (other.prev, other.message) == ("6-0", ring.message)


def _split_at(text: str, part: str) -> tuple[str, str]:
    at = text.index(part)
    return text[:at], text[at:]


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
    assert other.open_entry(ROOM, ID, sealed.line).kind is Kind.UNREADABLE
    assert other.open_ring(ROOM, ring_of(sealed)) is None
    assert other.fingerprint != SEAL.fingerprint


def test_what_was_sealed_for_one_channel_is_nothing_on_another() -> None:
    sealed = SEAL.seal(ROOM, said(), "r:5")
    assert SEAL.open_entry(INBOX, ID, sealed.line).kind is Kind.UNREADABLE
    assert SEAL.open_ring(INBOX, ring_of(sealed)) is None


@pytest.mark.parametrize(
    "name",
    ["from", "to", "kind", "mission", "at", "text", "hops", "inc", "v", "key", "serial", "mac"],
)
def test_a_line_without_a_field_or_with_junk_in_it_is_unreadable(name: str) -> None:
    line = SEAL.seal(ROOM, said("hi", data={"n": 1}), "r:5").line
    facts = json.loads(line)
    without = {key: value for key, value in facts.items() if key != name}
    for junk in (without, facts | {name: '","x":"'}, facts | {name: "\u00fc"}, facts | {name: 7}):
        text = json.dumps(junk, ensure_ascii=False, separators=(",", ":"))
        assert SEAL.open_entry(ROOM, ID, text).kind is Kind.UNREADABLE


def test_the_same_said_in_other_bytes_is_unreadable() -> None:
    line = SEAL.seal(ROOM, said("hi", data={"n": 1}), "r:5").line
    facts = json.loads(line)
    moved = {"text": facts.pop("text"), **facts}
    twice = line.replace('"text":"hi"', '"text":"no","text":"hi"')
    for text in (json.dumps(facts), json.dumps(moved, separators=(",", ":")), twice, line + " "):
        assert SEAL.open_entry(ROOM, ID, text).kind is Kind.UNREADABLE


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hi",
        "{}",
        '{"id":"7-1","prev":"7-0",',
        '{"id":"7-1","prev":"7-0"}',
        '{"id":"x","prev":"7-0","cut":true}',
        ring_of(SEAL.seal(ROOM, said(), "r:5")).replace('"id":', '"ID":'),
        ring_of(SEAL.seal(ROOM, said(), "r:5")).replace('"id":"7-1","prev"', '"prev":"7-1","id"'),
        ring_of(SEAL.seal(ROOM, said(), "r:5")).replace('"channel"', '"id":"9-9","channel"'),
        ring_of(SEAL.seal(ROOM, said(), "r:5")) + " ",
        ring_of(SEAL.seal(ROOM, said(), "r:5"))[:-34] + "\u00fc" * 32 + '"}',
        ring_of(Sealed("{" + said().body("") + "}", "")),
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
