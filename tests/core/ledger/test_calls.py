"""What a call may reserve, what is kept back behind it, and what an agent is told of its budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmd.core.ledger.calls import (
    OUTPUT_TOKENS_FLOOR,
    Amounts,
    Room,
    Sizes,
    calls_left,
    kept_for_report,
    least_room,
    note_of_budget,
    plan_call,
)
from swarmd.core.ledger.ratio import BYTES_SEEN_MIN, MARGIN_PERCENT, LearntRatio

N = st.integers(0, 50_000)


def sizes(prompt: int, expected: int, price: int = 0, thoughts: int = 0) -> Sizes:
    def size(tokens_in: int, room: Room) -> Amounts:
        tokens = tokens_in + room.text + thoughts * room.thoughts_percent // 100
        return {"tokens": tokens, "calls": 1, "cost": price * tokens}

    return Sizes(lambda room: size(prompt, room), lambda room: size(expected, room))


@given(
    prompt=N,
    part=st.integers(0, 100),
    wanted=st.integers(1, 16_000),
    price=st.integers(0, 3),
    thoughts=st.sampled_from([0, 4_000]),
    tokens=N,
    calls=st.integers(0, 3),
    cost=N,
    lend=N,
    keep=st.booleans(),
)
def test_what_is_planned_is_the_strict_bound_and_each_account_has_its_part(
    prompt: int,
    part: int,
    wanted: int,
    price: int,
    thoughts: int,
    tokens: int,
    calls: int,
    cost: int,
    lend: int,
    keep: bool,
) -> None:
    call = sizes(prompt, prompt * part // 100, price, thoughts)
    free = {"tokens": tokens, "calls": calls, "cost": cost}
    lendable = {"tokens": lend, "calls": 0, "cost": lend}
    kept = kept_for_report(call, wanted) if keep else {}
    planned = plan_call(call, wanted, free, lendable, kept)
    if planned is None:
        # Not even the shortest: it would take more than the account has by any reckoning, or
        # more than both together have.
        least = least_room(wanted)
        assert any(
            free[kind] - kept.get(kind, 0) < call.expected(least)[kind]
            or free[kind] - kept.get(kind, 0) + lendable[kind] < most
            for kind, most in call.strict(least).items()
        )
        return
    assert min(wanted, OUTPUT_TOKENS_FLOOR) <= planned.room.text <= wanted
    for kind, most in call.strict(planned.room).items():
        own, lent = planned.own[kind], planned.lent.get(kind, 0)
        assert own + lent == most
        assert 0 <= own <= free[kind] - kept.get(kind, 0)
        assert 0 <= lent <= lendable[kind]
        # Lent is what a call can take, and not what it likely does.
        assert own >= min(most, call.expected(planned.room)[kind])


def test_an_answer_is_shortened_before_a_call_is_given_up() -> None:
    call = sizes(1_000, 1_000)
    found = [
        plan_call(call, 4_000, {"tokens": n, "calls": 1, "cost": 0}, {}, {})
        for n in (5_000, 4_999, 2_000, 1_500, 1_499)
    ]
    assert [one and one.room.text for one in found] == [4_000, 2_000, 1_000, 500, None]


def test_the_room_for_thoughts_shrinks_before_that_for_the_text() -> None:
    call = sizes(1_000, 1_000, thoughts=4_000)
    told = (9_000, 8_999, 7_000, 6_000, 5_999, 3_000, 2_500, 2_499)
    found = [plan_call(call, 4_000, {"tokens": n, "calls": 1, "cost": 0}, {}, {}) for n in told]
    assert [one and (one.room.text, one.room.thoughts_percent) for one in found] == [
        (4_000, 100),
        (4_000, 50),
        (4_000, 50),
        (4_000, 25),
        (2_000, 25),
        (1_000, 25),
        (500, 25),
        None,
    ]
    assert kept_for_report(call, 4_000)["tokens"] == 2_500, "what a last call takes at least"


def test_calls_left_are_those_of_the_kind_that_ends_first() -> None:
    size = {"tokens": 1_000, "calls": 1, "cost": 300}
    assert calls_left(size, {"tokens": 9_999, "calls": 20, "cost": 1_000}) == 3
    assert calls_left(size, {"tokens": 9_999, "calls": 2, "cost": 1_000}) == 2
    assert calls_left(size, {"tokens": -5, "calls": 2, "cost": 1_000}) == 0
    assert calls_left({"tokens": 0, "calls": 1}, {"calls": 7}) == 7


def test_an_agent_is_told_how_many_calls_are_left_and_of_the_last_one() -> None:
    assert "about 7 more calls" in note_of_budget(7, is_last=False)
    assert "2 more calls" in note_of_budget(2, is_last=False)
    assert note_of_budget(9, is_last=True) == note_of_budget(1, is_last=False)
    assert "last call" in note_of_budget(1, is_last=False)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**9)), max_size=8), N)
def test_the_learnt_ratio_is_the_largest_seen_with_its_margin_and_never_beyond_the_bytes(
    seen: list[tuple[int, int]], bytes: int
) -> None:
    ratio = LearntRatio()
    for prompt, tokens in seen:
        ratio.see(prompt, tokens)
    expected = ratio.tokens_of(bytes)
    assert 0 <= expected <= bytes
    told_of = [(b, min(t, b)) for b, t in seen if b >= BYTES_SEEN_MIN and t]
    for prompt, tokens in told_of:
        assert 100 * prompt * expected >= min(100 * prompt * bytes, bytes * tokens * MARGIN_PERCENT)
    if not told_of:
        assert expected == bytes
