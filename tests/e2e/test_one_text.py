"""A brief of two executives that reads as one text: a writer begins with their final reports, and its
report is what is delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.governed import NOTES, Ran, Twin, agent_of, cited, running
from tests.minds.editing import HEAD, WRITER, EditingMind
from tests.minds.server import Call

pytestmark = pytest.mark.timeout(120)

CALL_SECONDS: Final = 0.2
CALLS_MAX: Final = 17  # of the same mission without a writer: 16


@pytest.fixture(scope="module")
def ran() -> Iterator[Ran]:
    with running({"text": Twin(EditingMind(), seats=3)}, seconds=CALL_SECONDS) as missions:
        yield missions.ended()


def test_the_delivery_is_the_writers_text_alone(ran: Ran) -> None:
    mission = ran.missions["text"]
    assert mission["state"] == "delivered", mission
    assert HEAD in mission["result"]
    assert "Brief on" not in mission["result"]
    assert cited(mission["result"]) == set(NOTES)


def test_it_begins_with_the_briefs_and_costs_one_call_more(ran: Ran) -> None:
    (written,) = (call for call in ran.calls["text"] if agent_of(call.prompt)[0] == WRITER)
    for theme in ("loss", "spend"):
        assert f"Brief on `{theme}`" in written.prompt
    assert all(call.ended <= written.began for call in _of_executives(ran))
    assert len(ran.calls["text"]) <= CALLS_MAX, ran.called("text")
    assert ran.events("text").count("agent.begins") == 1


def _of_executives(ran: Ran) -> list[Call]:
    return [call for call in ran.calls["text"] if agent_of(call.prompt)[1] == "executive"]
