"""A board whose seats are called at once: what it costs, what is waited for, and what is cut."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio
import pytest

from swarmd.adapters.models.openai.form import Form
from swarmd.adapters.models.openai.request import request_body
from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.redis.store import RedisStore
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.moves import Think
from swarmd.core.model.names import FIRST, HostId
from swarmd.ports.models import Answered, Failed, Model, Prompt, Usage
from swarmd.runtime.supervisor.supervisor import Supervisor
from tests.runtime.test_worker import (
    CHARTER,
    DECLARED,
    DELIVERED,
    LoopClock,
    Silence,
    at_work,
    journal_of,
    jumping,
    result_of,
    stored,
    worker_of,
)

SEATS: Final = DECLARED.board.seats
MOTION: Final[dict[str, Any]] = dict(CHARTER)
EXECUTIVE: Final[dict[str, Any]] = MOTION["executives"][0]
MUSING: Final = Think(move="think", thought="Hm.")


@dataclass(slots=True)
class Watched:
    """A model that answers by a script after so many seconds, on a server with so many slots.

    `waits_here`: a call waits for its slot before anything is sent, as behind the provider's own
    limit, and else at the server.
    """

    script: Sequence[Mapping[str, Any]] = tuple(DELIVERED)
    seconds: float = 0.1
    slots: int = 100
    waits_here: bool = True
    hanging: str = ""  # a seat whose model never answers
    musing: str = ""  # a seat whose model answers with a thought, whatever it is asked for
    prompts: list[Prompt] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)  # whose call was cancelled
    at_once: int = 0  # the most calls of seats that were under way
    _under_way: int = 0
    _model: ScriptedModel = field(init=False)
    _slots: anyio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._model, self._slots = ScriptedModel(self.script), anyio.Semaphore(self.slots)

    @property
    def name(self) -> str:
        return "scripted:watched"

    @property
    def is_language_model(self) -> bool:
        return False

    def bound(self, prompt: Prompt) -> Usage:
        return Usage(500, 0)

    def expected(self, prompt: Prompt) -> Usage:
        return self.bound(prompt)

    @property
    def of_seats(self) -> list[Prompt]:
        return [prompt for prompt in self.prompts if prompt.view.call is not None]

    async def attempt(
        self, prompt: Prompt, sending: Callable[[], None] = lambda: None
    ) -> Answered | Failed:
        self.prompts.append(prompt)
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            if not self.waits_here:
                sending()
            async with self._slots:
                sending()
                is_hanging = prompt.view.name == self.hanging
                await anyio.sleep(1e9 if is_hanging else self.seconds)
                if prompt.view.name == self.musing:
                    return Answered((MUSING,), Usage(10, 10))
                return await self._model.attempt(prompt)
        except anyio.get_cancelled_exc_class():
            self.cut.append(prompt.view.name)
            raise
        finally:
            self._under_way -= 1

    async def aclose(self) -> None:
        """Nothing is open."""


# A minute of a board is two seconds here: the fake of the server cannot sit through a long silence.
HURRIED: Final = replace(
    DECLARED,
    board=DECLARED.board.model_copy(update={"seat_seconds": 20.0, "motion_seconds": 120.0}),
)


@asynccontextmanager
async def at_board(model: Model) -> AsyncIterator[RedisStore]:
    async with stored() as store, anyio.create_task_group() as tasks:
        host, worker = HostId("h-sup"), worker_of(store, model, declared=HURRIED)
        supervisor = Supervisor(store, Silence(), LoopClock(), HURRIED, host, None, anyio.Event())
        async with at_work(worker):
            tasks.start_soon(supervisor.run)
            yield store
            supervisor.stop.set()


def mission(model: Watched, **fields: str) -> tuple[str, str, list[str]]:
    """State and text of a mission's end, and who spoke in the board's room."""

    async def run() -> tuple[str, str, list[str]]:
        async with at_board(model) as store:
            asked = {"mission": "What is six by seven?", "id": "m-b"} | fields
            await store.keep_mission(asked)
            told = await result_of(store, "m-b")
            room = await store.read(BOARD_ROOM, FIRST, 1_000)
            assert not await journal_of(store, "seat.failed")
            said = [f"{m.sender} {m.kind}" for m in room if m.sender in SEATS]
            return told.data["state"], told.text, said

    return jumping(run)


def shared_share(prompts: Sequence[Prompt]) -> float:
    """The share of all that is sent which is the longest common beginning with an earlier request,
    as a provider's cache finds it.
    """
    sent = [_as_read(prompt) for prompt in prompts]
    found = [
        max((_shared_chars(text, before) for before in sent[:n]), default=0)
        for n, text in enumerate(sent)
    ]
    return sum(found) / sum(map(len, sent))


def _shared_chars(one: str, other: str) -> int:
    return len(os.path.commonprefix([one, other]))  # noqa: RUF071 - characters are what is meant


def _as_read(prompt: Prompt) -> str:
    """The tools first, as chat templates put them, and then the conversation."""
    body = request_body("m", prompt, "tools", Form()).decode()
    talk, _, offered = body.partition(',"tools":')
    tools, _, _ = offered.partition(',"tool_choice"')
    return tools + talk.partition('"messages":')[2]


def test_a_mission_that_all_consent_to_costs_six_calls_a_motion_in_two_steps() -> None:
    model = Watched()
    state, text, said = mission(model)
    assert (state, text) == ("delivered", "42")
    assert len(model.of_seats) == 2 * 6
    assert model.at_once == 5
    assert [one.split()[1] for one in said[:6]] == ["proposal", *["argument"] * 5]


def test_a_mission_with_a_bench_of_three_costs_three_calls_a_motion() -> None:
    model = Watched()
    assert mission(model, board="3")[0] == "delivered"
    assert len(model.of_seats) == 2 * 3


def test_one_argument_costs_the_proposers_word_and_a_vote_of_each_other_seat() -> None:
    argues = {
        "when": {"phase": "debate", "name": "gandhi", "times": 1},
        "moves": [{"move": "argue", "text": "Say for whom."}],
    }
    model = Watched([argues, *DELIVERED])
    assert mission(model)[0] == "delivered"
    assert len(model.of_seats) == (1 + 5 + 1 + 5) + 6


def test_who_proposes_on_a_review_reads_what_a_child_told_its_executive() -> None:
    charter = {"role": "researcher", "name": "dig", "task": "Multiply."}
    script = [
        DELIVERED[0],
        {
            "when": {"role": "executive", "mail_kind": "charter"},
            "moves": [
                {"move": "spawn", "key": "dig", "charter": charter},
                {"move": "wait", "whom": ["*"]},
            ],
        },
        {
            "when": {"role": "researcher"},
            "moves": [{"move": "report", "text": "Seven by six is 42.", "done": True}],
        },
        {
            "when": {"role": "executive"},
            "moves": [{"move": "report", "text": "It is 41.", "done": True}],
        },
    ]
    model = Watched(script)
    assert mission(model)[0] == "delivered"
    told = {
        phase: [
            str(prompt.exchange)
            for prompt in model.of_seats
            if prompt.view.call is not None and prompt.view.call.phase == phase
        ]
        for phase in ("review", "debate")
    }
    assert len(told["review"]) == 1
    assert "dig (a-" in told["review"][0]
    assert "Seven by six is 42." in told["review"][0]
    assert not [text for text in told["debate"] if "Seven by six is 42." in text]


def test_an_executive_that_is_directed_with_further_files_has_them_in_its_next_turn() -> None:
    given = {**MOTION, "executives": [{**EXECUTIVE, "files": ["docs/a.md"]}]}
    direct = {"motion": "direct", "to": "lead", "text": "Read b.", "reason": "It is missing."}
    script = [
        {"when": {"phase": "propose"}, "moves": [{"move": "propose", "motion": given}]},
        {
            "when": {"phase": "review", "times": 1},
            "moves": [{"move": "propose", "motion": direct | {"files": ["docs/b.md"]}}],
        },
        DELIVERED[1],
    ]
    model = Watched(script)
    assert mission(model, files='["docs/a.md", "docs/b.md", "docs/c.md"]')[0] == "delivered"
    turns = [prompt.view.files for prompt in model.prompts if prompt.view.charter is not None]
    assert turns == [("docs/a.md",), ("docs/a.md", "docs/b.md")]


def test_an_argument_that_the_proposer_accepts_changes_what_is_executed() -> None:
    changed: dict[str, Any] = {**MOTION, "reason": "For a child."}
    changed["executives"] = [{**EXECUTIVE, "task": "Answer it for a child."}]
    script = [
        {
            "when": {"phase": "debate", "name": "gandhi", "times": 1},
            "moves": [{"move": "argue", "text": "Say for whom."}],
        },
        {
            "when": {"phase": "respond"},
            "moves": [
                {
                    "move": "respond",
                    "decision": "amend",
                    "motion": changed,
                    "accepts": ["gandhi"],
                    "reason": "He is right.",
                }
            ],
        },
        *DELIVERED,
    ]
    model = Watched(script)
    assert mission(model)[0] == "delivered"
    asked = next(p for p in model.prompts if p.view.charter is not None)
    executive = asked.view.charter
    assert executive is not None
    assert executive.task == "Answer it for a child."
    assert executive.mind == ("gandhi: Say for whom.",)
    assert "gandhi: Say for whom." in asked.exchange[0].text, "it stands in the charter"


def test_all_calls_of_seats_begin_with_the_same_bytes_and_share_three_quarters() -> None:
    argues = {
        "when": {"phase": "debate", "times": 2},
        "moves": [{"move": "argue", "text": "Name the files that it needs, and no more. " * 5}],
    }
    model = Watched([argues, *DELIVERED])
    mission(model)
    seats = model.of_seats
    assert len({prompt.shared for prompt in seats}) == 1
    assert len({prompt.offer for prompt in seats}) == 1
    assert {prompt.allowed for prompt in seats} == {
        ("propose",),
        ("argue",),
        ("respond",),
        ("vote",),
    }
    assert shared_share(seats) >= 0.75


@pytest.mark.parametrize("waits_here", [True, False])
def test_a_first_token_after_a_quarter_of_a_seats_time_on_a_server_with_one_slot_delivers(
    waits_here: bool,
) -> None:
    """150 seconds of 600, as shipped."""
    model = Watched(seconds=HURRIED.board.seat_seconds / 4, slots=1, waits_here=waits_here)
    assert mission(model)[0] == "delivered"


def test_a_seat_whose_time_is_up_is_cut_and_asked_no_more_and_the_others_decide() -> None:
    model = Watched(hanging="gandhi")
    state, _, said = mission(model)
    assert state == "delivered"
    assert model.cut == ["gandhi", "gandhi"], "once a motion, and no attempt follows"
    assert [p.view.name for p in model.of_seats].count("gandhi") == 2
    assert "gandhi argument" not in said


def test_a_seat_whose_turn_ends_without_an_answer_is_not_waited_for() -> None:
    model = Watched(musing="captain-picard")

    async def run() -> tuple[str, list[str], float]:
        async with at_board(model) as store:
            await store.keep_mission({"mission": "What is six by seven?", "id": "m-b"})
            began = anyio.current_time()
            told = await result_of(store, "m-b")
            failed = [str(entry["seat"]) for entry in await journal_of(store, "seat.failed")]
            return str(told.data["state"]), failed, anyio.current_time() - began

    state, failed, seconds = jumping(run)
    assert state == "delivered"
    assert failed == ["captain-picard"] * 3, "asked to propose once, and twice to answer others"
    assert seconds < HURRIED.board.seat_seconds


def test_two_votes_in_one_answer_are_a_correction_and_neither_is_taken() -> None:
    vote = {"move": "vote", "choice": "no", "reason": "No."}
    script = [
        {
            "when": {"phase": "debate", "times": 1},
            "moves": [{"move": "argue", "stance": "object", "text": "Why?"}],
        },
        {"when": {"phase": "vote", "name": "gandhi", "step": 0}, "moves": [vote, vote]},
        *DELIVERED,
    ]
    model = Watched(script)
    state, _, said = mission(model)
    assert state == "delivered"
    assert said.count("gandhi vote") == 1
    corrected = [p for p in model.of_seats if p.view.steps]
    assert ["Exactly one `vote`" in str(p.view.steps) for p in corrected] == [True]


def test_a_proposal_that_the_law_refuses_is_mended_before_anybody_else_is_called() -> None:
    greedy: dict[str, Any] = {**MOTION, "executives": [{**EXECUTIVE, "budget": {"tokens": 10**9}}]}
    script = [
        {
            "when": {"phase": "propose", "times": 1},
            "moves": [{"move": "propose", "motion": greedy}],
        },
        *DELIVERED,
    ]
    model = Watched(script)
    assert mission(model)[0] == "delivered"
    assert len(model.of_seats) == 7 + 6
    mended = model.of_seats[1]
    assert mended.view.call is not None
    assert mended.view.call.correction.startswith("refused by budget.share: lead: tokens: ")
