"""Worlds that are written by hand: what a drawn one meets too seldom, or could not tell apart."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from tests.sim.network import Rates
from tests.sim.player import Temper
from tests.sim.world import Outcome, Plan, simulate

# Whose modules hold the daemon's own times.
HAVE_TIMES: Final = (
    "swarmd.core.control.sightings",
    "swarmd.runtime.supervisor.",
    "swarmd.runtime.worker.",
)
# So many agents, always: what the runs of one scenario are compared by.
_EXACT: Final = Temper(executives_max=1, children_min=2, children_max=2)
_ROUGH: Final = Rates(
    cut=0.03, slow=0.01, late=0.3, ring_lost=0.3, ring_twice=0.1, ring_late=0.1, ears_cut=0.02
)


def calm(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """Nothing goes wrong: whatever is not delivered now was not the world's fault."""
    return simulate(seed, Plan(temper=_EXACT, fault_seconds=20.0), is_told=is_told)


def long_call(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """A model thinks for 35 minutes while connections break and rings are lost: nobody else
    takes the turn up.
    """
    temper = replace(_EXACT, long_share=1.0, long_seconds=2_100.0, long_role="worker")
    plan = Plan(
        missions=1,
        temper=temper,
        rates=_ROUGH,
        fault_seconds=2_400.0,
        provider={"total_seconds": 3_600.0},
        limits={"deadline_seconds": 20_000.0, "stall_seconds": 4_000.0},
    )
    return _expect(
        simulate(seed, plan, is_told=is_told),
        lambda o: o.overlaps == 0 or f"{o.overlaps} turns had two executors",
        lambda o: (
            not o.events.get("host.lost") or "a host that renewed its lease was declared gone"
        ),
        lambda o: o.states == {"delivered": 1} or f"it was not delivered: {dict(o.states)}",
    )


def clocks(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """Every process's clock jumps, by up to an hour, every few seconds: leases are by the
    server's clock.
    """
    plan = Plan(
        workers=3,
        missions=3,
        temper=_EXACT,
        mishaps={"clock jump": 2.0},
        fault_seconds=120.0,
        limits={"deadline_seconds": 20_000.0, "stall_seconds": 4_000.0},
    )
    return _expect(
        simulate(seed, plan, is_told=is_told),
        lambda o: o.overlaps == 0 or f"{o.overlaps} turns had two executors",
        lambda o: (
            not o.events.get("host.lost") or "a host that renewed its lease was declared gone"
        ),
        lambda o: (
            "envelope.replayed" not in o.rules or "an honest message was refused as an old one"
        ),
    )


def clock_set_back(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """The supervisor's clock is an hour ahead and then set right: what it waits for is over in time
    all the same, and hosts that end meanwhile are missed within their lease."""
    mishaps = {"kill a worker": 6.0, "kill a supervisor": 30.0}
    plan = Plan(
        supervisors=1,
        missions=3,
        temper=_EXACT,
        mishaps=mishaps,
        skews={"s0": 3_600.0, "w0": 3_600.0, "w1": -3_600.0},
        settle_seconds=300.0,
        fault_seconds=45.0,
    )
    return simulate(seed, plan, is_told=is_told)


def lost_second_at_rest(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """The server loses seconds, and nobody asks again for what went with them."""
    plan = Plan(missions=3, temper=_EXACT, mishaps={"server loses a second": 8.0}, asks_again=False)
    return simulate(seed, plan, is_told=is_told)


def lost_at_the_start(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """The server loses the second in which the swarm's namespace was stamped: workers that come
    later wait for that.
    """
    plan = Plan(
        missions=1,
        temper=_EXACT,
        loses_at=(0.4,),
        mishaps={"kill a worker": 8.0},
        fault_seconds=20.0,
    )
    return _expect(
        simulate(seed, plan, is_told=is_told),
        lambda o: o.faults.get("server loses a second") == 1 or "nothing was lost",
        lambda o: o.states == {"delivered": 1} or f"it was not delivered: {dict(o.states)}",
    )


def silent_seats(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """Half of the seats' thoughts take longer than anybody waits: the board goes on without them."""
    temper = replace(_EXACT, long_share=0.5, long_seconds=5_000.0, long_role="seat")
    plan = Plan(missions=1, temper=temper, fault_seconds=20.0, provider={"total_seconds": 9_000.0})
    return simulate(seed, plan, is_told=is_told)


def few_votes(seed: int = 0, *, is_told: bool = False) -> Outcome:
    """Most thoughts fail, so that seldom enough seats vote: no motion is carried by fewer."""
    plan = Plan(temper=replace(_EXACT, fails=0.8), board={"procedure": "full"})
    return simulate(seed, plan, is_told=is_told)


def weeks(seed: int = 0, *, days: float = 21.0, is_told: bool = False) -> Outcome:
    """Weeks with three missions and nothing to do, at a pace of the daemon's own that is so much
    slower.

    Records are forgotten when their retention is over, and nothing else ever happens.
    """
    with _slowed(240.0):
        plan = Plan(
            missions=3,
            temper=_EXACT,
            fault_seconds=600.0,
            settle_seconds=200_000.0,
            rest_seconds=days * 86_400,
            limits={"deadline_seconds": 400_000.0, "stall_seconds": 400_000.0},
            board={"seat_seconds": 20_000.0, "motion_seconds": 100_000.0},
            is_logged=False,
        )
        return _expect(
            simulate(seed, plan, is_told=is_told),
            lambda o: (
                o.states == {"delivered": 3} or f"they were not all delivered: {dict(o.states)}"
            ),
            lambda o: not o.kept or f"kept beyond its retention: {o.kept[:5]}",
        )


def at_command(
    number: int, when: str, who: str, seed: int = 0, *, is_told: bool = False
) -> Outcome:
    """One kill: of that process, just before or after the server does its so-and-so-many-th
    command.
    """
    plan = Plan(
        workers=1,
        supervisors=1,
        missions=1,
        temper=_EXACT,
        fault_seconds=40.0,
        fuse=(who, number, when),
    )
    return _expect(
        simulate(seed, plan, is_told=is_told),
        lambda o: o.states == {"delivered": 1} or f"it was not delivered: {dict(o.states)}",
    )


def at_each_command(seed: int = 0, *, every: int = 1, is_told: bool = False) -> Iterator[Outcome]:
    """One kill a run, at each place of a mission's life; until a place lies after its end."""
    for who in ("w0.2", "s0.1"):
        for when in ("before", "after"):
            number = 1 + seed % every
            while (outcome := at_command(number, when, who, seed, is_told=is_told)).faults:
                yield outcome
                number += every


def _expect(outcome: Outcome, *claims: Callable[[Outcome], bool | str]) -> Outcome:
    """With what it should show, and did not, among its breaches."""
    missed = [str(said) for claim in claims if (said := claim(outcome)) is not True]
    return replace(outcome, breaches=(*outcome.breaches, *missed))


@contextmanager
def _slowed(factor: float) -> Iterator[None]:
    """The daemon's own times, and they alone, so many times longer: a week then costs what an
    hour did.
    """
    names = (
        "LEASE_SECONDS",
        "RENEW_SECONDS",
        "SWEEP_SECONDS",
        "TICK_SECONDS",
        "SLOW_SECONDS",
        "ANCHOR_SECONDS",
        "UNWIND_SECONDS",
        "WORD_SECONDS",
    )
    before: list[tuple[object, str, float]] = [
        (module, name, getattr(module, name))
        for path, module in list(sys.modules.items())
        if path.startswith(HAVE_TIMES)
        for name in names
        if hasattr(module, name)
    ]
    for module, name, value in before:
        setattr(module, name, value * factor)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


SCENARIOS: Final[Mapping[str, Callable[..., Outcome]]] = {
    "calm": calm,
    "long-call": long_call,
    "clocks": clocks,
    "clock-set-back": clock_set_back,
    "lost-second-at-rest": lost_second_at_rest,
    "silent-seats": silent_seats,
    "few-votes": few_votes,
    "weeks": weeks,
    "lost-at-the-start": lost_at_the_start,
}
