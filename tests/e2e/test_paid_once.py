"""What `kill -9` in the middle of a loop of calls costs: nothing is paid twice.

The swarm is killed, its server with it, at the three bad moments of a call: when it has begun and
nothing was sent, when the provider has answered and the store does not know it, and when the store
knows it and nobody has acted on it. A call that was cut at one of the first two is charged at its
full reserve, `assumed`, for nobody who comes after can know whether the provider was asked and what
it charged; it is made once more. That is no second charge of one request.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final

import pytest
import redis

from tests.e2e.ceiling import MICRO_DOLLARS_A_CALL, Looper, ceiling_of
from tests.e2e.swarm_process import (
    ENDED,
    SwarmProcess,
    child,
    clean_environment,
    data_of,
    unbalanced,
)
from tests.openai_server import Json, OpenAIServer

SECONDS_MAX: Final = 120.0
LOOKS: Final = 6
# The board proposes in the first life, and the executive then calls a model and a function by
# turns. Ends are counted in the later lives, for there a call that has ended begins again, is
# answered as it ended, and does not end once more.
DEATHS: Final = (
    ("begin", "6", "after"),  # its third call: nothing of it was sent
    ("end", "3", "before"),  # the one after that: it was answered
    ("end", "3", "after"),  # the one after that: the store has its answer
    ("none", "0", "after"),
)
UNSENT, UNSETTLED = 1, 1
LOST: Final = 3  # of the looks that the provider answered


@dataclass(frozen=True)
class Counting(Looper):
    """An executive that looks for another thing each time, so that no answer is like another."""

    queries: list[str] = field(default_factory=list)

    def _lead(self, request: Json, text: str) -> Json:
        if len(seen_in(request)) == LOOKS:
            return {"move": "report", "text": self.result, "done": True}
        self.queries.append(f"look {len(self.queries)}")
        return {"move": "use", "function": "file/search", "args": {"query": self.queries[-1]}}


def calls_in(request: Json) -> Iterator[Json]:
    for message in request["messages"]:
        yield from message.get("tool_calls", ())


def seen_in(request: Json) -> list[str]:
    """What the agent is shown of its own calls, in order."""
    arguments = [json.loads(call["function"]["arguments"]) for call in calls_in(request)]
    return [given["query"] for given in arguments if "query" in given]


@dataclass(frozen=True, slots=True)
class Lived:
    """What four lives of a swarm have left, and what the provider saw of them."""

    spent: Mapping[str, int]
    begun: Sequence[tuple[str, str]]  # calls of a model: whose, and which
    settled: Sequence[Json]
    requests: Sequence[Json]
    looks: Sequence[str]

    @property
    def assumed(self) -> list[Json]:
        return [fact for fact in self.settled if fact["assumed"]]


@pytest.fixture(scope="module")
def lived() -> Lived:
    brain = Counting()
    with ceiling_of(brain) as under:
        environment = clean_environment(under.data, **under.settings)
        client = redis.Redis(unix_socket_path=str(under.data / "redis.sock"), decode_responses=True)
        (under.data / "counting").touch()
        words = [word for death in DEATHS for word in death]
        with closing(client), child(words, environment, module="tests.chaos.dying") as process:
            swarm = SwarmProcess(under.data, environment, process, client)
            process.until_said("is up")
            client.xadd(
                "swarm:missions",
                {"mission": "Find the answer.", "id": under.mission, "budget": '{"cost": 2500000}'},
            )
            _until_ended(swarm, under.mission)
            found = _left_by(swarm, under.mission, under.server, brain)
            # Nothing more is asked of it, and it would take its time.
            process.process.kill()
            return found


def _until_ended(swarm: SwarmProcess, mission: str) -> None:
    """In whichever of its lives. Between two of them nobody answers."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline and swarm.child.process.poll() is None:
        with suppress(redis.RedisError):
            if swarm.mission(mission).get("state") in ENDED:
                return
        time.sleep(0.02)
    raise AssertionError(f"the mission did not end:\n{swarm.child.stderr}")


def _left_by(swarm: SwarmProcess, mission: str, server: OpenAIServer, brain: Counting) -> Lived:
    accounts = swarm.accounts()
    assert unbalanced(accounts) == []
    assert swarm.mission(mission)["state"] == "delivered"
    spent = accounts[mission]
    facts = swarm.until(lambda: _facts_of(swarm, spent["calls.spent"]), "all facts were folded in")
    return Lived(
        spent,
        [(fact["agent"], fact["call"]) for fact in facts if fact["fact"] == "reserve"],
        [{**fact, **fact["amounts"]} for fact in facts if fact["fact"] == "settle"],
        [call.body for call in server.calls],
        brain.queries,
    )


def _facts_of(swarm: SwarmProcess, calls: int) -> list[Json]:
    """Of all calls of a model, once so many were settled."""
    entries = [data_of(fields) for _, fields in swarm.entries("journal")]
    told: list[Json] = [fact for entry in entries for fact in entry.get("facts", ())]
    found = [fact for fact in told if fact.get("what") == "model"]
    return found if sum(fact["fact"] == "settle" for fact in found) >= calls else []


def test_each_request_that_the_provider_saw_is_charged_once(lived: Lived) -> None:
    by_usage = len(lived.settled) - len(lived.assumed)
    assert lived.spent["calls.spent"] == len(lived.settled)
    assert by_usage == len(lived.requests) - UNSETTLED
    assert len(lived.assumed) == UNSENT + UNSETTLED, "one for each kill in mid-call at most"
    # Under the number of its step a call that was cut is made again, and is then paid by usage.
    calls = [(fact["agent"], fact["call"]) for fact in lived.settled]
    assert Counter(lived.begun) == Counter(calls), "each begin has its one settlement"
    paid = [call for call, fact in zip(calls, lived.settled, strict=True) if not fact["assumed"]]
    assert sorted(set(calls)) == sorted(paid), "by usage each call is paid, and once"


def test_a_call_that_was_cut_is_charged_at_its_reserve_and_any_other_as_the_provider_counts(
    lived: Lived,
) -> None:
    for fact in lived.settled:
        if fact["assumed"]:
            assert fact["used"] == fact["reserved"]
            assert fact["used"]["calls"] == 1
            assert fact["used"]["cost"] > MICRO_DOLLARS_A_CALL
        else:
            assert fact["used"]["cost"] == MICRO_DOLLARS_A_CALL
    assumed = sum(fact["used"]["cost"] for fact in lived.assumed)
    by_usage = MICRO_DOLLARS_A_CALL * (len(lived.requests) - UNSETTLED)
    assert lived.spent["cost.assumed"] == assumed
    assert lived.spent["cost.spent"] == by_usage + assumed


def test_nothing_is_answered_twice_to_the_agent_and_what_was_settled_is_not_asked_again(
    lived: Lived,
) -> None:
    kept = [look for number, look in enumerate(lived.looks) if number != LOST]
    assert len(kept) == LOOKS
    last = max(lived.requests, key=lambda request: len(seen_in(request)))
    assert seen_in(last) == kept
    ids = [call["id"] for call in calls_in(last)]
    results = [m["tool_call_id"] for m in last["messages"] if m["role"] == "tool"]
    assert Counter(results) == Counter(ids)
    assert set(Counter(ids).values()) == {1}
