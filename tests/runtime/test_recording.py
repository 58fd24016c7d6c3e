"""What a turn and a supervisor note in the record, and what is masked before anything is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest

from swarmd.adapters.models.scripted import ScriptedModel
from swarmd.adapters.record.recorder import Recorder
from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, inbox
from swarmd.core.model.exchange import MoveCall, Piece
from swarmd.core.model.functions import TREE_LIST, FunctionCall, ListTree
from swarmd.core.model.masking import MASK, Masking
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.moves import MOVE, Move
from swarmd.core.model.names import OPERATOR, AgentId, MissionId
from swarmd.core.model.records import Forgetting
from swarmd.core.model.tables import FORGETTINGS
from swarmd.core.model.timings import stamp_of
from swarmd.errors import WorkspaceError
from swarmd.ports.models import NOTHING, Answered, Failed, Prompt
from swarmd.ports.record import Answer
from swarmd.runtime.recording import Recording, TurnCalls, note_mail, words_of
from swarmd.runtime.supervisor.forgetting import AGAIN_MAX, RecordsForgotten
from swarmd.runtime.turn.functions import call_function
from swarmd.runtime.turn.masked import MaskedModel, masked_handlers
from swarmd.runtime.turn.step_journal import Reserve
from tests.adapters.record.test_record import NOW, answer, opened
from tests.core.model.test_masking import PEM, SECRETS
from tests.core.swarm_builder import MISSION, world
from tests.runtime.test_model_call import AGENT, REPORT, Thinking, failing, render, thinking
from tests.runtime.test_step_journal import ONE, Done
from tests.runtime.test_worker import jumping

KEY = "key-of-no-shape-1"
M = MissionId("m-1")
MASKING = Masking([KEY])


@dataclass
class Noted:
    """A record in memory."""

    answers: list[Answer] = field(default_factory=list)
    forgotten: list[MissionId] = field(default_factory=list)
    fails: int = 0
    trouble: str = ""

    def note(self, answer: Answer) -> None:
        self.answers.append(answer)

    async def forget(self, mission: MissionId, until: float) -> None:
        if self.fails:
            self.fails -= 1
            raise WorkspaceError("no right to")
        self.forgotten.append(mission)


def recorded(turn: Thinking, record: Noted) -> Any:
    return replace(turn.journal(), calls=TurnCalls(record, MASKING, M, AGENT))


# --- calls ------------------------------------------------------------------------------------


def test_each_attempt_of_a_model_is_noted_under_its_step_with_what_was_asked() -> None:
    async def test() -> None:
        async with thinking() as turn:
            record, model = Noted(), ScriptedModel([failing("malformed"), REPORT])
            await turn.think(model, recorded(turn, record))
            first, second = record.answers
            assert [(one.step, one.is_ok) for one in record.answers] == [(1, False), (2, True)]
            assert (second.mission, second.agent, second.turn) == (M, AGENT.id, 1)
            assert (second.kind, second.name) == ("model", model.name)
            assert second.given[1:] == ["shared", "persona", [["user", "Answer."]]]
            assert second.input == sha256(canonical(second.given))
            assert second.used == {"tokens": 20, "calls": 1, "cost": 0}
            assert (second.more["tokens_in"], second.more["tokens_out"]) == (10, 10)
            assert '"report"' in str(second.text)
            assert "malformed!" in str(first.text)

    jumping(test)


def test_a_call_that_is_cut_off_is_noted_without_an_answer_and_with_what_was_settled() -> None:
    async def test() -> None:
        async with thinking() as turn:
            record = Noted()
            with pytest.raises(RuntimeError):
                await recorded(turn, record).call("pay", Done(fails=True), reserve=Reserve(ONE))
            (cut,) = record.answers
            assert (cut.kind, cut.name, cut.text, cut.is_ok) == ("function", "pay", None, False)
            assert (cut.used, cut.is_assumed) == (ONE, True)

    jumping(test)


def test_who_meets_a_former_holders_answer_notes_it_again_as_paid_before() -> None:
    async def test() -> None:
        async with thinking() as turn:
            record, done = Noted(), Done()
            await turn.journal().call("pay", done, reserve=Reserve(ONE), given={"a": 1})
            await recorded(turn, record).call("pay", done, reserve=Reserve(ONE), given={"a": 1})
            (met,) = record.answers
            assert (met.text, met.is_repeated, met.used, done.times) == ("{}", True, {}, 1)

    jumping(test)


def test_what_a_call_is_given_is_masked_before_its_digest() -> None:
    async def test() -> None:
        async with thinking() as turn:
            record = Noted()
            await recorded(turn, record).call(
                "pay", Done(), reserve=Reserve(ONE), given={"query": KEY}
            )
            (answer,) = record.answers
            assert answer.given == {"query": MASK}
            assert answer.input == sha256(canonical({"query": MASK}))

    jumping(test)


# --- models and functions ---------------------------------------------------------------------


@dataclass
class Parrot:
    """Answers as it is told to and keeps what it was asked."""

    outcome: Answered | Failed
    asked: list[Prompt] = field(default_factory=list)
    name: str = "parrot:x"
    is_language_model: bool = True

    def bound(self, prompt: Prompt) -> Any:
        self.asked.append(prompt)
        return NOTHING

    def expected(self, prompt: Prompt) -> Any:
        return self.bound(prompt)

    async def attempt(self, prompt: Prompt, sending: Any = None) -> Answered | Failed:
        self.asked.append(prompt)
        return self.outcome

    async def aclose(self) -> None:
        """Nothing is open."""


PROMPT = replace(
    render(()),
    shared=f"s {KEY}",
    persona=f"p {KEY}",
    exchange=(Piece("user", f"x {KEY}", thread=f"opaque {KEY}"),),
)


def said(**move: Any) -> Answered:
    return Answered((MOVE.validate_python(move),), NOTHING, f"wrote {KEY}")


async def test_a_model_is_asked_and_answers_without_secrets() -> None:
    parrot = Parrot(said(move="report", text=f"it is {KEY}", done=True))
    model = MaskedModel(parrot, MASKING)
    model.bound(PROMPT)
    outcome = await model.attempt(PROMPT)
    for asked in parrot.asked:
        # A thread is the provider's own, and goes back as it came.
        assert asked.exchange == (Piece("user", f"x {MASK}", thread=f"opaque {KEY}"),)
        assert (asked.shared, asked.persona) == (f"s {MASK}", f"p {MASK}")
    assert isinstance(outcome, Answered)
    assert outcome.moves[0].model_dump()["text"] == f"it is {MASK}"
    assert outcome.text == f"wrote {MASK}"


def planted(kind: Any, secret: str) -> Any:
    """A value of this type with the secret in each of its texts. A type that is not known here
    fails, so that a new field of an outcome is looked at.
    """
    if kind is str:
        return f"a {secret} b"
    if get_origin(kind) is tuple:
        return (planted(get_args(kind)[0], secret),)
    if kind == Move:
        return MOVE.validate_python({"move": "report", "text": secret, "done": True})
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        texts = {one.name: planted(hints[one.name], secret) for one in fields(kind) if one.init}
        return cast(Any, kind)(**texts)
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    assert kind in (int, bool, int | None, float | None), f"{kind}: may it hold a secret?"
    return 0


@pytest.mark.parametrize("secret", [KEY, SECRETS["an API key"]])
@pytest.mark.parametrize("kind", [Answered, Failed])
async def test_no_field_of_an_outcome_keeps_a_secret(kind: Any, secret: str) -> None:
    outcome = planted(kind, secret)
    masked = await MaskedModel(Parrot(outcome), MASKING).attempt(PROMPT)
    assert secret in repr(outcome)
    assert MASK in repr(masked)
    assert secret not in repr(masked)
    assert type(masked) is kind


async def test_a_call_that_is_shown_to_its_model_again_is_json_without_secrets() -> None:
    said = {"text": f"a \n{KEY}", "secret_access_key": "a1" * 20, "lines": list(PEM.split("\n"))}
    calls = (MoveCall(f"report {KEY}", json.dumps(said)), MoveCall("cut", f'{{"text": "{KEY}'))
    failed = Failed("malformed", "no", NOTHING, calls=calls)
    masked = await MaskedModel(Parrot(failed), MASKING).attempt(PROMPT)
    assert isinstance(masked, Failed)
    first, cut = masked.calls
    assert first.name == f"report {MASK}"
    assert json.loads(first.arguments) == {
        "text": f"a \n{MASK}",
        "secret_access_key": MASK,
        "lines": [MASK] * 4,
    }
    assert cut == MoveCall("cut", f'{{"text": "{MASK}')


async def test_a_thread_without_a_secret_goes_back_as_it_came() -> None:
    answered = Answered((), NOTHING, thread='[{"reasoning":"of no secret"}]')
    assert await MaskedModel(Parrot(answered), MASKING).attempt(PROMPT) == answered


async def test_a_provider_that_quotes_the_key_in_its_error_tells_nobody() -> None:
    failed = Failed("rejected", f"Incorrect API key provided: {KEY}", NOTHING, text=KEY)
    outcome = await MaskedModel(Parrot(failed), MASKING).attempt(PROMPT)
    assert isinstance(outcome, Failed)
    assert (outcome.detail, outcome.text) == (f"Incorrect API key provided: {MASK}", MASK)


async def test_a_secret_where_no_mask_may_stand_is_a_correction_without_the_secret() -> None:
    outcome = await MaskedModel(
        Parrot(said(move="use", function="file/read", args={}, **{})), Masking(["file/read"])
    ).attempt(PROMPT)
    assert isinstance(outcome, Failed)
    assert outcome.why == "malformed"
    assert "file/read" not in outcome.detail


async def test_a_functions_result_is_masked_and_so_is_what_it_says_of_its_failure() -> None:
    async def found(acting: Any, args: Any) -> Any:
        return {"lines": ["a", f"b {KEY}"]}

    async def fails(acting: Any, args: Any) -> Any:
        raise WorkspaceError(f"no file {KEY}")

    call: Any = FunctionCall(TREE_LIST, ListTree())
    acting: Any = None
    for handler, told in ((found, f"b {MASK}"), (fails, f"no file {MASK}")):
        result = await call_function(
            masked_handlers({TREE_LIST.name: handler}, MASKING), acting, call
        )
        assert told in str(result)
        assert KEY not in str(result)


# --- people -----------------------------------------------------------------------------------


def word(channel: Any, text: str, kind: Kind = Kind.SAY, **more: Any) -> Message:
    at = "2027-01-15T08:00:00.000Z"
    return Message(sender=AgentId(OPERATOR), kind=kind, at=at, text=text, channel=channel, **more)


def test_a_persons_word_to_an_agent_is_noted_in_the_turn_that_takes_it_up() -> None:
    record, mail = Noted(), [word(inbox(AGENT.id), f"use {KEY}")]
    note_mail(Recording(record, MASKING), AGENT, 7, M, [*mail, replace(mail[0], sender=AGENT.id)])
    (answer,) = record.answers
    assert (answer.kind, answer.name, answer.agent, answer.turn) == (
        "person",
        OPERATOR,
        AGENT.id,
        7,
    )
    assert answer.text == f"use {MASK}"


def test_orders_and_words_to_the_board_are_noted_under_the_mission_that_they_are_about() -> None:
    w = world()
    top = w.grow("sob", "top")
    heard = [
        word(ORDERS, "too slow", Kind.ORDER, data={"verb": "freeze", "target": f"={top.id}"}),
        word(ORDERS, "enough", Kind.ORDER, data={"verb": "cancel", "target": MISSION}),
        word(BOARD_ROOM, "look here", mission=MissionId(MISSION)),
        word(BOARD_ROOM, "good morning"),
        word(ORDERS, "all", Kind.ORDER, data={"verb": "halt", "target": "*"}),
    ]
    found = list(words_of(MASKING, w.swarm, heard))
    assert [(one.text, one.mission) for one in found] == [
        ("too slow", MISSION),
        ("enough", MISSION),
        ("look here", MISSION),
    ]
    assert found[0].agent == top.id
    assert found[0].given["data"]["verb"] == "freeze"


# --- to forget --------------------------------------------------------------------------------


def forgetting(record: Any, *orders: Forgetting) -> RecordsForgotten:
    w = world()
    w.swarm.rows(FORGETTINGS).update({one.mission: one for one in orders})
    memory: Any = w  # of which only the swarm is looked at
    return RecordsForgotten(memory, record)


async def test_what_could_not_be_deleted_is_tried_again() -> None:
    record = Noted(fails=1)
    forgotten = forgetting(record, Forgetting(MissionId("m-0"), 1.0))
    for expected in ([], ["m-0"]):
        await forgotten.look()
        assert record.forgotten == expected


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_what_a_worker_writes_late_is_deleted_as_long_as_the_order_stands(
    tmp_path: Path,
) -> None:
    """By another process, on one volume: it had begun the call before the order."""
    worker, leader = opened(tmp_path, "h-1"), opened(tmp_path, "h-2")
    forgotten = forgetting(Recorder(leader), Forgetting(M, NOW + 100))
    worker.write([answer(1), answer(1, "m-2")])
    for step in (2, 3):
        await forgotten.look()
        assert names_in(tmp_path) == ["m-2"]
        worker.write([answer(step)])
    await forgotten.look()
    assert names_in(tmp_path) == ["m-2"]
    worker.write([answer(4, at=stamp_of(NOW + 200))])
    await forgotten.look()
    assert names_in(tmp_path / M) == ["h-1.jsonl"], "another mission's"


async def test_of_many_orders_each_is_looked_at_again_and_in_one_look_no_more_than_its_bound() -> (
    None
):
    record = Noted()
    orders = [Forgetting(MissionId(f"m-{n}"), 1.0) for n in range(2 * AGAIN_MAX)]
    forgotten = forgetting(record, *orders)
    await forgotten.look()
    record.forgotten.clear()
    for looks in (1, 2):
        await forgotten.look()
        assert len(record.forgotten) == looks * AGAIN_MAX
    assert set(record.forgotten) == {one.mission for one in orders}
