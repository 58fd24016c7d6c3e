"""Short runs of each kind of chaos; `python -m tests.chaos NAME` is the long one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.chaos.cancels import cancels
from tests.chaos.kills import Plan as Kills
from tests.chaos.kills import kills
from tests.chaos.report import Report
from tests.chaos.rings import Plan as Rings
from tests.chaos.rings import rings
from tests.chaos.steps import steps
from tests.chaos.takeover import takeover
from tests.chaos.tally import Tally
from tests.e2e.beside import Campaign, Running

SEED: Final = 4

# What the bounds of the long runs are widened by here, where the other tests take the processor:
# these runs show that nothing is lost, the long ones how fast it is.
SLACK_SECONDS: Final = 5.0

# They wait for leases most of the time.
CAMPAIGN: Final = Campaign[int](at_once=3)
beside_others: Final = CAMPAIGN.test


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Iterator[Running]:
    with CAMPAIGN.running(request.session, SEED) as running:
        yield running


def assert_held(report: Report) -> None:
    assert not report.faults, report.text()


@beside_others
def test_while_everything_is_killed_nothing_acknowledged_is_lost_and_nothing_happens_twice(
    seed: int,
) -> None:
    plan = Kills(
        kills=8,
        posts=2_000,
        seed=seed,
        agents=40,
        every_seconds=1.2,
        pauses=1,
        half_opens=1,
        missions=1,
        drain_seconds=120.0,
    )
    assert_held(kills(plan))


@beside_others
def test_a_killed_hosts_turns_are_taken_over_in_time_and_a_sleepers_late_ones_refused(
    seed: int,
) -> None:
    # Twice: the second round's first victim is a worker that the first round brought.
    assert_held(takeover(agents=50, seed=seed, rounds=2, slack=SLACK_SECONDS))


@beside_others
def test_a_mission_killed_at_a_step_delivers_what_it_delivers_unharmed(seed: int) -> None:
    assert_held(steps(seed, every=60))


def test_messages_come_in_time_whatever_becomes_of_the_rings(campaign: Running) -> None:
    # After the others: its load would keep them from their own.
    for other in campaign.values():
        other.exception()
    plan = Rings(
        SEED,
        agents=50,
        per_second=300.0,
        seconds=2.5,
        resets=6,
        sleep_seconds=2.5,
        noise=4_000_000,
        slack=SLACK_SECONDS,
    )
    assert_held(rings(plan))


def test_callers_that_give_up_never_cost_another_its_reply() -> None:
    assert_held(cancels(10_000, SEED))


def test_a_tally_knows_what_is_missing_and_what_came_twice() -> None:
    tally = Tally()
    assert [tally.add(number) for number in (0, 2, 1, 5, 2, 4)] == [
        True,
        True,
        True,
        True,
        False,
        True,
    ]
    assert (tally.ranges, tally.again) == ([[0, 2], [4, 5]], [2])
    assert (tally.missing(6), tally.missing(3), tally.missing(8)) == (1, 0, 3)
