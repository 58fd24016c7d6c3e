"""A brief that a capable mind carries through the board's procedure: nobody argues, one motion is argued
and changed, or both are; with six seats and with a bench of three.

What is asserted is what became of it and how many calls and tokens that took. The figures are bounds:
a change that needs fewer lowers them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from tests.e2e.governed import NOTES, Ran, Twin, agent_of, cited, running
from tests.minds.capable import CapableMind
from tests.minds.server import Call, count

pytestmark = pytest.mark.timeout(240)

# Long beside the swarm's own time, so that calls which wait for nothing of each other are seen to overlap.
CALL_SECONDS: Final = 0.4
ARGUMENT: Final = "Say how long each part is to be: ten lines at most."
LINE: Final = "Nothing but the notes was read."

_ARGUED: Final = CapableMind(objects=ARGUMENT, objector="king-solomon")
_BOTH: Final = CapableMind(objects=ARGUMENT, missing=LINE, objector="king-solomon")
TWINS: Final[Mapping[str, Twin]] = {
    "plain-six": Twin(),
    "plain-three": Twin(seats=3),
    "argued-six": Twin(_ARGUED),
    "argued-three": Twin(_ARGUED, seats=3),
    "both-six": Twin(_BOTH),
    "both-three": Twin(_BOTH, seats=3),
}


class Most:
    """Bounds of one mission: calls of a model, the board's and all agents', and tokens read and
    written.
    """

    calls: Final = {
        "plain-six": 22,
        "plain-three": 16,
        "argued-six": 28,
        "argued-three": 19,
        "both-six": 34,
        "both-three": 22,
    }
    tokens: Final = {
        "plain-six": 95_000,
        "plain-three": 68_000,
        "argued-six": 128_000,
        "argued-three": 86_000,
        "both-six": 164_000,
        "both-three": 106_000,
    }
    steps: Final = {"plain-six": 12, "plain-three": 12}
    uncached_tokens: Final = 32_000
    uncached_share: Final = 0.25


@pytest.fixture(scope="module")
def ran() -> Iterator[Ran]:
    with running(TWINS, seconds=CALL_SECONDS) as missions:
        yield missions.ended()


@pytest.mark.parametrize("name", TWINS)
def test_it_is_delivered_with_sources_from_both_files(ran: Ran, name: str) -> None:
    mission = ran.missions[name]
    assert mission["state"] == "delivered", mission
    assert cited(mission["result"]) == set(NOTES), mission["result"]


@pytest.mark.parametrize("name", TWINS)
def test_it_takes_so_many_calls_and_tokens_at_most(ran: Ran, name: str) -> None:
    counted = ran.count(name)
    assert counted.calls <= Most.calls[name], ran.called(name)
    assert counted.prompt_tokens + counted.completion_tokens <= Most.tokens[name], counted
    assert counted.uncached_tokens <= Most.uncached_tokens, counted


@pytest.mark.parametrize("name", Most.steps)
def test_so_many_calls_at_most_wait_for_each_other_where_nobody_argues(ran: Ran, name: str) -> None:
    assert ran.count(name).serial_steps <= Most.steps[name]


@pytest.mark.parametrize("name", [name for name in TWINS if TWINS[name].seats > 3])
def test_most_of_what_a_mission_is_told_is_in_a_prefix_that_an_earlier_call_had(
    ran: Ran, name: str
) -> None:
    counted = ran.count(name)
    assert counted.uncached_tokens <= Most.uncached_share * counted.prompt_tokens, counted


def test_most_of_what_all_missions_are_told_is_in_a_prefix_that_an_earlier_call_had(
    ran: Ran,
) -> None:
    counted = count([call for calls in ran.calls.values() for call in calls])
    assert counted.uncached_tokens <= Most.uncached_share * counted.prompt_tokens, counted


def test_seats_are_told_what_the_mission_and_each_executive_have_spent_with_all_below(
    ran: Ran,
) -> None:
    calls = ran.calls["plain-six"]
    review = next(call for call in calls if "phase: review" in call.prompt)
    (in_all,) = _sums(r"the mission in all: spent", review.prompt)
    executives = _sums(r"has reported, done; spent", review.prompt)
    assert in_all > sum(executives)
    researchers = [c for c in calls if c.began < review.began and _is(c, "researcher")]
    assert len(executives) == 2
    assert sum(executives) > count(researchers).prompt_tokens


def test_who_proposes_on_a_review_reads_what_the_researchers_reported_and_the_others_do_not(
    ran: Ran,
) -> None:
    calls = ran.calls["argued-six"]
    reported = [
        str(arguments["text"])
        for call in calls
        if _is(call, "researcher")
        for name, arguments in call.answer.calls
        if name == "report"
    ]
    assert len(reported) == 3
    review = next(call for call in calls if "phase: review" in call.prompt)
    shown = review.prompt.partition("<children>")[2].partition("</children>")[0]
    assert all(text[:200] in shown for text in reported)
    assert [call for call in calls if "<children>" in call.prompt] == [review]


def _sums(before: str, prompt: str) -> list[int]:
    found = re.findall(rf"{before} ([\d,]+) tokens", prompt)
    return [int(number.replace(",", "")) for number in found]


def _is(call: Call, role: str) -> bool:
    return agent_of(call.prompt)[1] == role


@pytest.mark.parametrize("name", TWINS)
def test_agents_of_one_kind_are_told_the_same_tools_and_system_message(ran: Ran, name: str) -> None:
    heads = defaultdict(set)
    for call in ran.calls[name]:
        kind = "seat" if "vote" in call.offered else agent_of(call.prompt)[1]
        heads[kind].add(call.prompt.partition("\nuser\n")[0])
    assert {kind: len(found) for kind, found in heads.items()} == {
        "seat": 1,
        "executive": 1,
        "researcher": 1,
    }
    leader, reader = (min(heads[kind]) for kind in ("executive", "researcher"))
    assert "## Leading" in leader
    assert "## Leading" not in reader, "who can lead nobody is not told how to"


@pytest.mark.parametrize("name", [name for name in TWINS if not name.startswith("plain")])
def test_an_argument_changes_the_motion_and_the_changed_one_is_executed(
    ran: Ran, name: str
) -> None:
    executives = [agent for agent in ran.agents(name).values() if agent["tier"] == "1"]
    assert len(executives) == 2
    told = [call.prompt for call in ran.calls[name] if agent_of(call.prompt)[1] == "executive"]
    assert told
    for prompt in told:
        # In the charter's own definition of done, as it was amended.
        assert ARGUMENT in prompt.partition("## Definition of done")[2].partition("\nmail ")[0]


@pytest.mark.parametrize("name", ["both-six", "both-three"])
def test_an_argued_delivery_is_delivered_as_it_was_changed(ran: Ran, name: str) -> None:
    assert LINE in ran.missions[name]["result"]
    assert LINE not in ran.missions["argued-six"]["result"]
