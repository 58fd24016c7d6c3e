"""Minds that look like a fault and have none: whoever finds one in them is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from swarmd.core.model.messages import Kind
from swarmd.core.model.names import AgentId, StreamId
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
    keep,
    lines,
    look,
    no_such,
    report,
    said_by_a_person,
    say,
    spawn,
    wait,
)

SAME: Final = "I am at it."


def _alone(mind: Callable[[int], Answers], **more: Any) -> Cage:
    return Cage({"a-one": lambda n, _: mind(n)}, **more)


def _hears(view: View, word: str) -> bool:
    return any(word in message.text for message in view.mail)


# --- slow, silent, waiting ----------------------------------------------------------------------


def slow_and_gets_on(chance: random.Random) -> Cage:
    """Long thoughts, and the same words each time."""
    return _alone(
        lambda n: [[look(n, f"part {n}")], [report(SAME)]], think_seconds=chance.uniform(1, 4)
    )


def polls_by_wait(chance: random.Random) -> Cage:
    seconds = chance.randint(10, 15)
    return _alone(
        lambda n: [[look()], [wait(seconds)]],
        turns=1,
        seconds=seconds * chance.randint(8, 14) + 0.5,
    )


def reminds_by_timer(chance: random.Random) -> Cage:
    """Reports that it still waits whenever its time is over: nobody has written to it."""
    seconds = chance.randint(10, 15)
    return _alone(
        lambda n: [[report("The numbers have not come."), wait(seconds)]],
        turns=1,
        seconds=seconds * 10 + 0.5,
    )


def listens_in_silence(chance: random.Random) -> Cage:
    names = chance.sample(["a-ann", "a-bob", "a-eve"], 2)
    return Cage(
        {"a-one": lambda n, _: []},
        wake=lambda n: asked_by(names[n % 2], f"for your information {n}"),
    )


def leads_and_waits(chance: random.Random) -> Cage:
    """Children that are done one after the other, and a lead that waits for all each time."""
    lead, number = at_top("a-one"), chance.randint(3, 6)
    names = [f"a-child-{n}" for n in range(number)]

    def leading(turn: int, view: View) -> Answers:
        if turn == 1:
            return [[*(direct(name, "Do your part.") for name in names), wait(0, "*")]]
        return [[report("All is there.", done=True)]]

    def child(seconds: int) -> Mind:
        def mind(turn: int, _: View) -> Answers:
            return [[wait(seconds)]] if turn < 3 else [[report(f"{seconds}", done=True)]]

        return mind

    minds: Mapping[str, Mind] = {
        "a-one": leading,
        **{name: child(10 + 7 * n) for n, name in enumerate(names)},
    }
    agents = (lead, *(below(lead, name) for name in names))
    return Cage(minds, agents=agents, turns=1, seconds=200.0)


# --- talk that brings something -----------------------------------------------------------------


def debates_with_new_references(chance: random.Random) -> Cage:
    line = lines(chance)
    words = ("I agree", "I do not agree", "It is so there, too")

    def mind(other: str) -> Mind:
        return lambda n, _: (
            [[say(f"@{other} {chance.choice(words)}: {line()}."), wait()]] if n < 16 else []
        )

    agents = (at_top("a-one"), at_top("a-two"))
    minds = {"a-one": mind("a-two"), "a-two": mind("a-one")}
    return Cage(minds, agents=agents, turns=1, seconds=60.0)


def quotes_what_it_has_read(chance: random.Random) -> Cage:
    """Reads once, and argues from it for some turns."""
    number = chance.randint(6, 10)
    sentences = [
        f"rule {n} of {chance.randint(100, 999)} holds without exception" for n in range(number)
    ]

    def mind(turn: int) -> Answers:
        if turn == 1:
            return [[look(1, "rules")], [report("I have read the rules.")]]
        return [[report(f'It says "{sentences[turn - 2]}".')]]

    return _alone(mind, look=lambda args: {"lines": sentences}, turns=number + 1)


def answers_many_questions(chance: random.Random) -> Cage:
    return _alone(
        lambda n: [[report(chance.choice(["Yes.", "No.", "Two."]))]],
        wake=lambda n: directive(f"What about part {n}?"),
    )


def answers_a_person_each_time(chance: random.Random) -> Cage:
    return _alone(
        lambda n: [[report(SAME), *([wait()] * chance.randint(0, 1))]],
        wake=lambda n: replace(said_by_a_person("Status?"), id=StreamId("")),
    )


def answers_colleagues(chance: random.Random) -> Cage:
    names = [f"a-peer-{n}" for n in range(12)]
    chance.shuffle(names)
    return _alone(
        lambda n: [[say(f"@{names[n - 1]} two.")]],
        wake=lambda n: asked_by(names[n - 1], "How many?"),
    )


def says_done_whenever_asked(chance: random.Random) -> Cage:
    call = [[look()]] * chance.randint(0, 1)
    return _alone(lambda n: [*call, [report("42", done=True)]])


# --- work that looks the same -------------------------------------------------------------------


def searches_long(chance: random.Random) -> Cage:
    start = chance.randint(1, 99)
    return _alone(
        lambda n: [[look(n, "where is it?")], [report(SAME)]],
        look=lambda args: {"found": f"not in place {start + args.at}"},
        turns=20,
    )


def checks_files_with_one_verdict(chance: random.Random) -> Cage:
    return _alone(
        lambda n: [[look(n, f"file {n}")], [report("Valid.")]],
        look=lambda args: {"verdict": "valid"},
    )


def polls_what_changes(chance: random.Random) -> Cage:
    """The same call, whose result is another each second or third time."""
    every, at = chance.randint(2, 3), iter(range(1_000))
    return _alone(
        lambda n: [[look()], [report(SAME)]],
        look=lambda args: {"done": f"{next(at) // every} of 9"},
    )


def writes_part_by_part(chance: random.Random) -> Cage:
    return _alone(
        lambda n: [
            [keep("brief.md", f"Chapter {n} {chance.random()}")],
            [report("A part is written.")],
        ]
    )


def revises_its_text(chance: random.Random) -> Cage:
    """Reads the same file again after each change of it."""
    return _alone(
        lambda n: [[look()], [keep("a.md", f"version {n}")], [look()], [report("Revised.")]]
    )


def calls_much_in_one_turn(chance: random.Random) -> Cage:
    number = chance.randint(30, 45)
    parts = range(0, number, 15)
    return _alone(
        lambda n: [
            *([look(at, f"{n} {at}") for at in range(p, min(p + 15, number))] for p in parts),
            [report(SAME)],
        ],
        turns=4,
    )


def posts_much_and_works(chance: random.Random) -> Cage:
    line = lines(chance)
    return _alone(
        lambda n: [[say(f"found {line()}") for _ in range(12)]],
        turns=chance.randint(6, 8),
    )


# --- errors that pass ---------------------------------------------------------------------------


def retries_after_errors(chance: random.Random) -> Cage:
    """Two turns of failures, then one that succeeds, again and again."""
    tries = iter(range(1_000))

    def flaky(args: Look) -> Mapping[str, Any]:
        return no_such("network") if next(tries) % 3 < 2 else {"found": f"page {args.at}"}

    return _alone(lambda n: [[look(n, "page")], [report("The page is not there yet.")]], look=flaky)


def is_refused_twice_and_does_otherwise(chance: random.Random) -> Cage:
    wrong = [[direct(f"nobody-{chance.randint(1, 9)}", "Go on.")]]
    return _alone(lambda n: [*wrong, [report(SAME)]] if n % 3 else [*wrong, [look(n, f"{n}")]])


def asks_again_until_it_is_granted(chance: random.Random) -> Cage:
    granted = chance.randint(2, 3)

    def wake(number: int) -> Any:
        if number == 1:
            return directive("Find helpers.")
        if number % granted:
            return answered("refused", key=f"helper-{number}", rule="spawn.rate")
        # That it was granted wakes nobody: it is read with what does.
        return [answered("created", key=f"helper-{number}"), directive("and?")]

    return _alone(lambda n: [[spawn(f"helper-{n}")]], wake=wake)


def crashes_once(chance: random.Random) -> Cage:
    at, line, tried = chance.randint(1, 5), lines(chance), list[int]()

    def mind(turn: int) -> Answers:
        if turn == at and not tried:
            tried.append(turn)
            raise ConnectionError("once")
        return [[report(f"Part {turn}: {line()}.")]]

    return _alone(mind, turns=6)


# --- those that lead ----------------------------------------------------------------------------


def directs_many_children(chance: random.Random) -> Cage:
    """Each reports that it is ready, and is given its part: a turn for each."""
    lead, number = at_top("a-one"), chance.randint(8, 12)
    names = [f"a-child-{n}" for n in range(number)]

    def leading(turn: int, view: View) -> Answers:
        ready = [m.sender for m in view.mail if m.kind is Kind.REPORT]
        return [[*(direct(name, "Take the next part.") for name in ready), wait()]] if ready else []

    def wake(turn: int) -> Any:
        told = replace(directive("", sender=AgentId(names[turn - 1])), kind=Kind.REPORT)
        return replace(told, text="Ready.", data={"done": False, "unchanged": True})

    rest: Mind = lambda n, _: [[report("Thank you.", done=True)]]  # noqa: E731  # a mind is a function
    minds: Mapping[str, Mind] = {"a-one": leading, **dict.fromkeys(names, rest)}
    return Cage(minds, agents=(lead, *(below(lead, n) for n in names)), wake=wake, turns=number)


def spurs_a_child_that_works(chance: random.Random) -> Cage:
    """The lead says "go on" each time, and the child has read on each time."""
    lead, until = at_top("a-one"), chance.randint(8, 14)
    minds: Mapping[str, Mind] = {
        "a-one": lambda n, _: [[direct("a-two", "Go on."), wait()]] if n < until else [],
        "a-two": lambda n, _: [[look(n, f"part {n}")], [report(SAME)]],
    }
    return Cage(minds, agents=(lead, below(lead, "a-two")), turns=1, seconds=60.0)


def hands_out_one_task_after_another(chance: random.Random) -> Cage:
    lead, until = at_top("a-one"), chance.randint(8, 14)
    minds: Mapping[str, Mind] = {
        "a-one": lambda n, _: (
            [[direct("a-two", f"Write chapter {n}."), wait()]] if n < until else []
        ),
        "a-two": lambda n, _: [[report(f"Chapter {n}: {chance.random()}", done=True)]],
    }
    return Cage(minds, agents=(lead, below(lead, "a-two")), turns=1, seconds=60.0)


def hears_of_its_children(chance: random.Random) -> Cage:
    """Each notice is of another child, and it says the same about each."""
    names = [f"a-child-{n}" for n in range(12)]
    chance.shuffle(names)

    def wake(turn: int) -> Any:
        told = replace(directive("", sender=AgentId("supervisor")), kind=Kind.NOTICE)
        return replace(told, data={"agent": names[turn - 1], "frozen": "budget.exhausted"})

    return _alone(lambda n: [[report("A child has no money left.")]], wake=wake)


HEALTHY: Final[tuple[Callable[[random.Random], Cage], ...]] = (
    slow_and_gets_on,
    polls_by_wait,
    reminds_by_timer,
    listens_in_silence,
    leads_and_waits,
    debates_with_new_references,
    quotes_what_it_has_read,
    answers_many_questions,
    answers_a_person_each_time,
    answers_colleagues,
    says_done_whenever_asked,
    searches_long,
    checks_files_with_one_verdict,
    polls_what_changes,
    writes_part_by_part,
    revises_its_text,
    calls_much_in_one_turn,
    posts_much_and_works,
    retries_after_errors,
    is_refused_twice_and_does_otherwise,
    asks_again_until_it_is_granted,
    crashes_once,
    directs_many_children,
    spurs_a_child_that_works,
    hands_out_one_task_after_another,
    hears_of_its_children,
)
