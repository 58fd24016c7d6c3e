"""`swarmd run` with a budget that cannot finish, and with a small one that can."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from swarmd.adapters.config.loader import shipped
from tests.e2e.swarm_process import VERB_SECONDS, clean_environment, short_folder, swarmd
from tests.openai_server import Json, MissionBrain, OpenAIServer, ServerReply

# As a capable model's server counts them: a quarter of the bytes that a prompt has as shipped.
USAGE = (9_000, 700)
PRICED = "prices: {'openai:test-model': {input: 1.25, output: 10}}"
MISSION = "What is six by seven? Answer it for a newcomer."


class Reporter(MissionBrain):
    """An executive that does the work by itself."""

    def __call__(self, request: Json) -> ServerReply:
        reply = super().__call__(request)
        return ServerReply(reply.moves, text=reply.text, usage=self.usage_of(request))

    def usage_of(self, request: Json) -> tuple[int, int]:
        return USAGE

    def _lead(self, request: Json, text: str) -> Json:
        return {"move": "report", "text": self.result, "done": True}


class Quarter(Reporter):
    """With a token for four bytes of what it is sent, by which the least is reckoned."""

    def usage_of(self, request: Json) -> tuple[int, int]:
        return len(json.dumps(request).encode()) // 4, USAGE[1]


class Arguer(Quarter):
    """One of its seats argues on each motion."""

    def _move(self, request: Json, text: str) -> Json:
        move = super()._move(request, text)
        is_arguer = "You are king-solomon," in json.dumps(request)
        return move | {"stance": "argue"} if "stance" in move and is_arguer else move


@pytest.fixture(params=[Reporter])
def server(request: pytest.FixtureRequest) -> Iterator[OpenAIServer]:
    found = OpenAIServer(request.param())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(found):
        yield found


def run(server: OpenAIServer, budget: str) -> subprocess.CompletedProcess[str]:
    """With a price for the model, for a server on this machine counts as free."""
    words = ("run", MISSION, "--budget", budget, "--model", "openai:test-model")
    with short_folder() as data:
        policies = data / "policies"
        shutil.copytree(shipped("policies"), policies)
        models = policies / "models.yaml"
        priced = models.read_text().replace("prices: {}", PRICED)
        assert PRICED in priced
        models.write_text(priced)
        environment = clean_environment(
            data, OPENAI_BASE_URL=server.base_url, SWARMD_POLICIES=str(policies)
        )
        return subprocess.run(
            swarmd(*words),
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=VERB_SECONDS,
        )


@pytest.mark.parametrize("server", [Quarter], indirect=True)
def test_a_budget_that_cannot_finish_is_refused_before_the_first_call_with_a_sum_that_does(
    server: OpenAIServer,
) -> None:
    refused = run(server, "tokens=60000,usd=0.05")
    assert refused.returncode == 4, refused.stderr
    assert "mission.budget" in refused.stderr
    assert server.calls == []
    named = re.search(r"Submit it with --budget (tokens=\d+,usd=[\d.]+) ", refused.stderr)
    assert named is not None, refused.stderr
    delivered = run(server, named[1])
    assert delivered.returncode == 0, delivered.stderr
    assert Reporter().result in delivered.stdout


@pytest.mark.parametrize("server", [Arguer], indirect=True)
def test_the_sum_with_room_for_an_argument_on_each_motion_has_it(server: OpenAIServer) -> None:
    refused = run(server, "tokens=60000")
    named = re.search(r"; (tokens=\d+) has room for an argument", refused.stderr)
    assert named is not None, refused.stderr
    delivered = run(server, named[1])
    assert delivered.returncode == 0, delivered.stderr
    assert Reporter().result in delivered.stdout
    # Three seats propose and answer, one responds and the others vote, on each of two motions; a
    # report.
    assert len(server.calls) >= 2 * 6 + 1


def test_two_hundred_thousand_tokens_deliver_with_three_seats_and_one_executive(
    server: OpenAIServer,
) -> None:
    ended = run(server, "tokens=200000")
    assert ended.returncode == 0, ended.stderr
    assert Reporter().result in ended.stdout
    # Three seats for each of two motions, and a report; the probe comes before.
    assert len(server.calls) <= 10
