"""`swarmd run` with a budget that cannot finish, and with a small one that can."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from tests.e2e.swarm_process import VERB_SECONDS, clean_environment, short_folder, swarmd
from tests.openai_server import Json, MissionBrain, OpenAIServer, ServerReply

# As a capable model's server counts them: a quarter of the bytes that a prompt has as shipped.
USAGE = (9_000, 700)
MISSION = "What is six by seven? Answer it for a newcomer."


class Reporter(MissionBrain):
    """An executive that does the work by itself."""

    def __call__(self, request: Json) -> ServerReply:
        reply = super().__call__(request)
        return ServerReply(reply.moves, text=reply.text, usage=USAGE)

    def _lead(self, request: Json, text: str) -> Json:
        return {"move": "report", "text": self.result, "done": True}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    found = OpenAIServer(Reporter())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(found):
        yield found


def run(server: OpenAIServer, budget: str) -> subprocess.CompletedProcess[str]:
    words = ("run", MISSION, "--budget", budget, "--model", "openai:test-model")
    with short_folder() as data:
        environment = clean_environment(data, OPENAI_BASE_URL=server.base_url)
        return subprocess.run(
            swarmd(*words),
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=VERB_SECONDS,
        )


def test_a_budget_that_cannot_finish_is_refused_before_the_first_call_with_the_sum(
    server: OpenAIServer,
) -> None:
    ended = run(server, "tokens=60000")
    assert ended.returncode == 4, ended.stderr
    assert "mission.budget" in ended.stderr
    assert "Submit it with --budget tokens=" in ended.stderr
    assert server.calls == []


def test_two_hundred_thousand_tokens_deliver_with_three_seats_and_one_executive(
    server: OpenAIServer,
) -> None:
    ended = run(server, "tokens=200000")
    assert ended.returncode == 0, ended.stderr
    assert Reporter().result in ended.stdout
    # Three seats for each of two motions, and a report; the probe comes before.
    assert len(server.calls) <= 10
