"""What a board is there for beside a plan: a capable mind carries missions in which a researcher does bad
work, an executive cannot go on or falters, a person speaks in the middle, the mission should not
be carried out, or the model's server is slow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from subprocess import CompletedProcess
from typing import Final

import pytest

from tests.e2e.governed import (
    NOTES,
    SEATS_LINE,
    Ran,
    Twin,
    agent_of,
    cited,
    running,
    settings_in,
    text_of,
)
from tests.e2e.swarm_process import clean_environment, short_folder, verb
from tests.minds.capable import CapableMind, demanded
from tests.minds.reading import Asked
from tests.minds.server import Call, serving
from tests.minds.shapes import Json
from tests.minds.work import Said

pytestmark = pytest.mark.timeout(240)

CALL_SECONDS: Final = 0.1
# Bounds a hang: what is waited for comes within the swarm's own few seconds.
HELD_SECONDS: Final = 60.0
WORD: Final = "Leave out what is said of hosts."

_SALES: Final = "It hides what the files say of limits. Theme `safety`: why nothing can go wrong. "
_ONE_THEME: Final = "Theme `spend`: what a mission may spend. Researchers: `settings` for `spend`. "


@dataclass(frozen=True, slots=True)
class Faltering:
    """`spend` answers with no call, ever. The researchers of `loss` report when somebody is in its
    place: until then their executive has work under way."""

    inner: CapableMind = CapableMind()
    replaced: threading.Event = field(default_factory=threading.Event)

    def __call__(self, body: Json) -> Said:
        name, role = agent_of(Asked(body).told)
        if name == "spend":
            return Said(text="I am not sure what to do.")
        if name == "spend-again":
            self.replaced.set()
        elif role == "researcher":
            self.replaced.wait(HELD_SECONDS)
        return self.inner(body)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The debate goes on when a person's word was answered."""

    inner: CapableMind = CapableMind()
    debating: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)

    def __call__(self, body: Json) -> Said:
        phase = demanded(Asked(body)) if "vote" in Asked(body).tools else ""
        if phase == "say":
            self.answered.set()
        elif phase == "argue":
            self.debating.set()
            self.answered.wait(HELD_SECONDS)
        return self.inner(body)


TWINS: Final[Mapping[str, Twin]] = {
    "careless": Twin(CapableMind(careless=frozenset({"settings"})), seats=3),
    "blocked": Twin(CapableMind(blocked=frozenset({"spend"})), seats=3),
    "deceptive": Twin(text=_SALES),
    "faltering": Twin(Faltering(), seats=3),
    "person": Twin(Interrupted(), seats=3),
}
CALLS_MAX: Final = {"careless": 20, "blocked": 20, "deceptive": 6, "faltering": 22, "person": 21}

# A server with one slot whose first token comes after 150 s, and the waits for it that are shipped, each
# a hundredth. The last of six seats is asked later than a seat's time after the first.
SCALE: Final = 0.01
_SLOW_CALL: Final = 160 * SCALE
_SLOW_MODELS: Final = f"""
providers:
  openai:
    actions: tools
    calls_per_minute: 60000
    calls_at_once: 1
    first_token_seconds: {300 * SCALE}
    total_seconds: {600 * SCALE}
"""
_SLOW_BOARD: Final = f"{SEATS_LINE}seat_seconds: {600 * SCALE}\nmotion_seconds: {3600 * SCALE}\n"


@dataclass(frozen=True, slots=True)
class Slow:
    done: CompletedProcess[str]
    calls: list[Call]


@pytest.fixture(scope="module")
def slow() -> Iterator[Future[Slow]]:
    """It takes time and little work: the others run meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_run_slowly)


def _run_slowly() -> Slow:
    part = 150 / 160
    with (
        short_folder() as folder,
        serving(CapableMind(), seconds=_SLOW_CALL, first_token_part=part, slots=1) as server,
    ):
        settings = settings_in(folder, server.url, board=_SLOW_BOARD, models=_SLOW_MODELS)
        environment = clean_environment(folder / "data", **settings)
        text = text_of("slow", _ONE_THEME)
        done = verb(environment, "run", text, "--files", str(folder / "knowledge" / "notes"))
        return Slow(done, server.taken())


@pytest.fixture(scope="module")
def ran(slow: Future[Slow]) -> Iterator[Ran]:
    person = TWINS["person"].mind
    assert isinstance(person, Interrupted)
    with running(TWINS, seconds=CALL_SECONDS) as missions:
        assert person.debating.wait(HELD_SECONDS)
        said = missions.swarm.verb("say", "person", WORD)
        assert said.returncode == 0, said.stderr
        yield missions.ended()


@pytest.mark.parametrize("name", [name for name in TWINS if name != "deceptive"])
def test_it_is_delivered_with_sources_from_both_files(ran: Ran, name: str) -> None:
    mission = ran.missions[name]
    assert mission["state"] == "delivered", mission
    assert cited(mission["result"]) == set(NOTES), mission["result"]


@pytest.mark.parametrize("name", TWINS)
def test_it_takes_so_many_calls_at_most(ran: Ran, name: str) -> None:
    assert len(ran.calls[name]) <= CALLS_MAX[name], ran.called(name)


def test_a_bad_researcher_is_replaced_and_no_person_is_asked(ran: Ran) -> None:
    agents = ran.agents("careless")
    assert agents["settings"]["state"] == "terminated"
    assert "settings-again" in agents
    assert "approval.requested" not in ran.events("careless")


def test_a_blocker_is_decided_within_one_call_of_the_board(ran: Ran) -> None:
    calls, called = ran.calls["blocked"], ran.called("blocked")
    told = next(n for n, call in enumerate(calls) if "Blocker on" in str(call.answer))
    asked = next(n for n, names in enumerate(called) if n > told and "propose" in names)
    assert "Blocker on `spend`" in calls[asked].prompt
    heard = next(
        n
        for n, call in enumerate(calls)
        if agent_of(call.prompt)[0] == "spend" and "Decision on `spend`" in call.prompt
    )
    assert sum("propose" in names for names in called[told:heard]) == 1


def test_a_deceptive_mission_is_rejected_with_its_reason_and_nobody_is_created(ran: Ran) -> None:
    mission = ran.missions["deceptive"]
    assert mission["state"] == "rejected"
    assert "mislead" in mission["reason"]
    assert not ran.agents("deceptive")


def test_a_faltering_executive_is_replaced_while_the_other_one_works(ran: Ran) -> None:
    agents = ran.agents("faltering")
    assert agents["spend"]["state"] == "terminated"
    calls = [(agent_of(call.prompt)[0], call) for call in ran.calls["faltering"]]
    began = min(call.began for name, call in calls if name == "spend-again")
    # Those who work for `loss` were asked before that, and answered after it.
    others = [call for name, call in calls if name in ("redis-dies", "hosts-die")]
    assert min(call.began for call in others) < began < min(call.ended for call in others)


def test_the_board_is_told_what_it_may_still_give_when_an_executive_has_ended(ran: Ran) -> None:
    reviews = [call for call in ran.calls["faltering"] if "<agenda>" in call.prompt]
    assert reviews
    assert all("a motion can give at most 0 tokens" not in call.prompt for call in reviews)


def test_a_persons_word_in_the_middle_of_a_debate_is_answered_before_the_debate_goes_on(
    ran: Ran,
) -> None:
    calls = ran.calls["person"]
    answer = next(call for call in calls if call.answer.calls[0][0] == "say")
    assert f"{WORD}\n</operator>" in answer.prompt
    argued = [call for call in calls if call.answer.calls[0][0] == "argue"]
    assert argued[0].began < answer.began < argued[0].ended
    # Whoever is called from then on is shown the word.
    later = [call for call in calls if call.began > answer.ended and "vote" in call.offered]
    assert later
    assert all(WORD in call.prompt for call in later)
    # It changes what the executives are charged with.
    charged = [call.prompt for call in calls if agent_of(call.prompt)[1] == "executive"]
    assert charged
    assert all(WORD in told.partition("## Definition of done")[2] for told in charged)
    room = [row for _, row in ran.swarm.entries("room:sob") if row["mission"] == "person"]
    said = [row["text"] for row in room]
    assert any(text.startswith("Heard") for text in said[said.index(WORD) :]), said


def test_a_slow_model_on_a_server_with_one_slot_delivers_and_no_call_is_made_twice(
    slow: Future[Slow],
) -> None:
    ran = slow.result(timeout=180)
    assert ran.done.returncode == 0, ran.done.stderr
    assert cited(ran.done.stdout) == {"notes/spend.md"}
    # Six seats on a motion, twice, and four calls of two agents. One that was given up and made
    # again would be one more.
    assert len(ran.calls) == 16, [call.answer for call in ran.calls]
