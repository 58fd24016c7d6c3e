"""Minds that go wrong on cue: after some turns of good work each shows one fault and stays in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from swarmd.ports.models import View
from tests.zoo.stage import (
    Answers,
    Cage,
    Look,
    Mind,
    answered,
    asked_by,
    at_top,
    below,
    direct,
    directive,
    lines,
    look,
    no_such,
    report,
    say,
    spawn,
    wait,
)

NO_CHANGE: Final = "bus.no-progress"
FLOOD: Final = "bus.rate"
DEAD_LETTER: Final = "dead letter"

Sick = Callable[[int], Answers]


def _caught(chance: random.Random, sick: Sick, **more: Any) -> Cage:
    """One agent, which works well for some turns before its fault begins."""
    warm, line = chance.randint(0, 5), lines(chance)

    def mind(turn: int, _: View) -> Answers:
        if turn <= warm:
            return [[look(turn, f"part {turn}")], [report(f"Part {turn} is read: {line()}.")]]
        return sick(turn - warm)

    return Cage({"a-one": mind}, turns=warm + 12, sick_from=warm + 1, **more)


def same_text(chance: random.Random) -> Cage:
    text = chance.choice(["Still at it.", "I am working on it.", "Nothing new yet."])
    return _caught(chance, lambda n: [[report(text)]])


def a_number_in_the_text(chance: random.Random) -> Cage:
    base = chance.randint(1, 1_000)
    return _caught(chance, lambda n: [[report(f"Still at it ({base + n}).")]])


def two_texts_and_a_useless_call(chance: random.Random) -> Cage:
    texts = chance.sample(["I wait.", "Nothing yet.", "Soon.", "Checking."], 2)
    return _caught(chance, lambda n: [[look()], [report(texts[n % 2])]])


def a_step_and_the_same_call(chance: random.Random) -> Cage:
    return _caught(chance, lambda n: [[look()], [say(f"step {n}")]])


def talk_and_a_rare_call(chance: random.Random) -> Cage:
    every = chance.randint(15, 25)
    return _caught(
        chance, lambda n: [*([[look()]] if n % every == 0 else []), [report(f"Thought number {n}")]]
    )


def the_same_call_in_silence(chance: random.Random) -> Cage:
    calls = chance.randint(1, 4)
    return _caught(chance, lambda n: [[look()] * calls])


def other_words_that_find_nothing(chance: random.Random) -> Cage:
    def nothing(args: Look) -> Mapping[str, Any]:
        return {"passages": []} if args.what.startswith("word") else {"found": args.what}

    return _caught(
        chance, lambda n: [[look(n, f"word {n}")], [report(f"Search {n}.")]], look=nothing
    )


def calls_that_fail_in_other_ways(chance: random.Random) -> Cage:
    def failing(args: Look) -> Mapping[str, Any]:
        return no_such(args.what) if args.what.startswith("file") else {"found": args.what}

    return _caught(chance, lambda n: [[look(n, f"file {n}")], [report(f"Try {n}.")]], look=failing)


def forty_calls_again_and_again(chance: random.Random) -> Cage:
    number = chance.randint(33, 50)
    many = [
        [look(at, f"file {at}") for at in range(start, min(number, start + 10))]
        for start in range(0, number, 10)
    ]
    return _caught(chance, lambda n: [*many, [report(f"All {number} are read ({n}).")]])


def the_same_forty_references(chance: random.Random) -> Cage:
    places = " ".join(f"law.py:{at}" for at in range(1, chance.randint(34, 60)))
    return _caught(chance, lambda n: [[report(f"Round {n}: {places}")]])


def moves_that_are_refused(chance: random.Random) -> Cage:
    return _caught(chance, lambda n: [[direct(f"nobody-{n}", "Go on.")]])


def requests_that_are_refused(chance: random.Random) -> Cage:
    cage = _caught(chance, lambda n: [[spawn(f"helper-{n}")]])

    def wake(number: int) -> Any:
        no = answered("refused", rule="spawn.depth", detail="too deep")
        return no if number > cage.sick_from else directive("and?")

    return replace(cage, wake=wake)


def a_flood(chance: random.Random) -> Cage:
    burst = [[say(f"post {at} {part}") for at in range(15)] for part in range(10)]
    opened = [[look(part, f"part {part}"), *posts] for part, posts in enumerate(burst)]
    return _caught(chance, lambda n: opened)


# --- two of them --------------------------------------------------------------------------------


def _pair(chance: random.Random, *, is_waiting: bool) -> Cage:
    """Colleagues that mention each other in the room of executives."""
    words = chance.choice(
        [("Your turn", "No, yours"), ("Thank you", "Welcome"), ("Well?", "Well?")]
    )
    rest = [wait()] if is_waiting else []

    def mind(other: str, word: str) -> Mind:
        return lambda n, _: [[say(f"@{other} {word} ({n})."), *rest]]

    minds = {"a-one": mind("a-two", words[0]), "a-two": mind("a-one", words[1])}
    return Cage(
        minds, agents=(at_top("a-one"), at_top("a-two")), turns=1, seconds=40.0, sick_from=1
    )


def ping_pong(chance: random.Random) -> Cage:
    return _pair(chance, is_waiting=False)


def ping_pong_of_two_that_wait(chance: random.Random) -> Cage:
    return _pair(chance, is_waiting=True)


def orders_and_excuses(chance: random.Random) -> Cage:
    """A lead and its child. In their first turns each hears the other's first word."""
    lead = at_top("a-one")
    calls = [[look()]] * chance.randint(0, 1)
    rest = [wait()] * chance.randint(0, 1)
    minds: Mapping[str, Mind] = {
        "a-one": lambda n, _: [*calls, [direct("a-two", f"Go on with {n}."), *rest]],
        "a-two": lambda n, _: [*calls, [report(f"Still at {n}."), *rest]],
    }
    return Cage(minds, agents=(lead, below(lead, "a-two")), turns=1, seconds=40.0, sick_from=2)


def thanks_to_a_colleague_for_ever(chance: random.Random) -> Cage:
    name = chance.choice(["a-ann", "a-bob"])
    cage = _caught(chance, lambda n: [[say(f"@{name} you are welcome, {n} times")]])
    return replace(cage, wake=lambda n: asked_by(name, f"thank you {n}"))


# --- one message --------------------------------------------------------------------------------


class PoisonError(Exception):
    """What a mind raises over the message that it cannot take."""


def a_poison_message(chance: random.Random) -> Cage:
    at = chance.randint(1, 6)
    line = lines(chance)

    def mind(turn: int, view: View) -> Answers:
        if any(message.text == "poison" for message in view.mail):
            raise PoisonError
        return [[report(f"Part {turn} is read: {line()}.")]]

    return Cage(
        {"a-one": mind},
        wake=lambda n: directive("poison" if n == at else f"part {n}"),
        turns=at,
        seconds=60.0,
    )


SICK: Final[Mapping[Callable[[random.Random], Cage], str]] = {
    same_text: NO_CHANGE,
    a_number_in_the_text: NO_CHANGE,
    two_texts_and_a_useless_call: NO_CHANGE,
    a_step_and_the_same_call: NO_CHANGE,
    talk_and_a_rare_call: NO_CHANGE,
    the_same_call_in_silence: NO_CHANGE,
    other_words_that_find_nothing: NO_CHANGE,
    calls_that_fail_in_other_ways: NO_CHANGE,
    forty_calls_again_and_again: NO_CHANGE,
    the_same_forty_references: NO_CHANGE,
    moves_that_are_refused: NO_CHANGE,
    requests_that_are_refused: NO_CHANGE,
    ping_pong: NO_CHANGE,
    ping_pong_of_two_that_wait: NO_CHANGE,
    orders_and_excuses: NO_CHANGE,
    thanks_to_a_colleague_for_ever: NO_CHANGE,
    a_flood: FLOOD,
    a_poison_message: DEAD_LETTER,
}
