"""The OpenAI adapter against a server with every fault that real ones have, in both action
modes.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, Protocol

import anyio
import anyio.lowlevel
import pytest

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.exchange import BYTES_BESIDE, OUTPUT_BYTES_OF_TOKEN
from swarmd.adapters.models.openai.form import Form
from swarmd.adapters.models.openai.metering import PIECE_BYTES
from swarmd.adapters.models.openai.model import OpenAIModel
from swarmd.adapters.models.openai.request import request_body
from swarmd.adapters.models.openai.usage import TOKENS_COUNTED_MAX
from swarmd.adapters.models.openai.waits import WAIT_SECONDS_MAX
from swarmd.adapters.models.prices import Tariff
from swarmd.adapters.models.rate_limit import WINDOW_SECONDS, Pace
from swarmd.core.ledger.prices import Price, Rate
from swarmd.core.model.declarations import Provider
from swarmd.core.model.exchange import Piece
from swarmd.core.model.functions import BUILT_IN, Offer
from swarmd.core.model.moves import MOVE_TYPES, Report, Say, Spawn, Use
from swarmd.core.model.names import AgentId, MissionId
from swarmd.errors import UsageError
from swarmd.ports.models import NOTHING, Answered, Failed, Model, Prompt, Usage, View
from tests.conftest import HANG_SECONDS
from tests.openai_server import (
    Brain,
    Fault,
    MissionBrain,
    OpenAIServer,
    Replies,
    ServerReply,
    always,
    offered_moves,
    user_text,
)

KEY = "sk-very-secret-0123456789"
# Deadlines for what must not meet them, however busy the machine, and for what must.
PATIENT = {
    "connect_seconds": 10.0,
    "first_token_seconds": 20.0,
    "idle_seconds": 20.0,
    "total_seconds": 30.0,
}
IMPATIENT = {"first_token_seconds": 0.3, "idle_seconds": 0.2}
HANGS = ("hang", "hang_midway")
REPORT = {"move": "report", "text": "Grüße, 世界 — 🦉 done", "done": True}

Actions = Literal[
    "tools", "schema", "probe", "responses:tools", "responses:schema", "responses:probe"
]
MODES: tuple[Actions, ...] = ("tools", "schema")
both_modes = pytest.mark.parametrize("mode", MODES)
# Chat Completions and the Responses API, each in both modes.
each_way = pytest.mark.parametrize("mode", [*MODES, "responses:tools", "responses:schema"])
both_wires = pytest.mark.parametrize("mode", ["tools", "responses:tools"])


def offer_of(names: Sequence[str]) -> Offer:
    """Moves by their names, and functions by theirs."""
    rows = tuple(BUILT_IN[name] for name in names if name in BUILT_IN)
    moves = tuple(name for name in names if name not in BUILT_IN)
    return Offer((*moves, "use") if rows and "use" not in moves else moves, rows)


def prompt_of(
    functions: Sequence[str] = ("report", "spawn", "say"),
    *,
    text: str = "role: researcher",
    tokens: int = 500,
) -> Prompt:
    view = View(AgentId("a-1"), "ada", "researcher", 2, MissionId("m-1"), "why?", ())
    return Prompt(
        shared="The constitution.",
        persona="You are Ada.",
        exchange=(Piece("user", "earlier"), Piece("assistant", "noted"), Piece("user", text)),
        offer=offer_of(functions),
        output_tokens_max=tokens,
        view=view,
    )


# Micro-dollars a token, as dollars a million: each part of a usage shows in the sum.
PRICE = Price(
    Rate(Fraction(2)), Rate(Fraction(10)), cached=Rate(Fraction(1, 2)), stored=Rate(Fraction(3))
)
FREE = Tariff(lambda _: Price(), "costs nothing")


class HasAddress(Protocol):
    @property
    def base_url(self) -> str: ...


def provider_of(actions: Actions, **settings: Any) -> Provider:
    """Without room for thoughts, so that the limit is the prompt's own."""
    api, _, mode = actions.rpartition(":")
    plain = {"api": api or "chat", "actions": mode, "reasoning_tokens_max": 0}
    return Provider(**{**PATIENT, **plain, **settings})


@asynccontextmanager
async def model_of(
    server: HasAddress,
    actions: Actions = "tools",
    *,
    key: str = KEY,
    tariff: Tariff | None = FREE,
    **settings: Any,
) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(
        "test-model",
        base_url=server.base_url,
        api_key=key,
        provider=provider_of(actions, **settings),
        tariff=tariff,
    )
    try:
        yield model
    finally:
        await model.aclose()


async def one_attempt(
    mode: Actions, fault: Fault | None = None, *, brain: Brain | None = None, **settings: Any
) -> Answered | Failed:
    async with (
        OpenAIServer(brain or always(REPORT), faults=[fault]) as server,
        model_of(server, mode, **settings) as model,
    ):
        return await model.attempt(prompt_of())


def failed(outcome: Answered | Failed) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def answered(outcome: Answered | Failed) -> Answered:
    assert isinstance(outcome, Answered), outcome
    return outcome


# --- good answers -----------------------------------------------------------------------------


@each_way
async def test_a_good_answer_is_its_moves_in_order_and_the_usage_that_the_server_counted(
    mode: Actions,
) -> None:
    say = {"move": "say", "room": "research", "text": "hello"}
    outcome = answered(await one_attempt(mode, brain=always(say, REPORT, usage=(321, 45))))
    assert outcome.moves == (Say(**say), Report(**REPORT))
    assert outcome.usage == Usage(321, 45)


@each_way
@pytest.mark.parametrize("piece_bytes", [1, 3, 7])
async def test_a_stream_may_be_split_anywhere_even_inside_a_character(
    mode: Actions, piece_bytes: int
) -> None:
    async with (
        OpenAIServer(always(REPORT, REPORT), piece_bytes=piece_bytes) as server,
        model_of(server, mode) as model,
    ):
        outcome = answered(await model.attempt(prompt_of()))
    assert outcome.moves == (Report(**REPORT), Report(**REPORT))


@each_way
async def test_an_answer_that_was_not_streamed_is_read_all_the_same(mode: Actions) -> None:
    outcome = answered(
        await one_attempt(mode, "not_streamed", brain=always(REPORT, REPORT, usage=(7, 8)))
    )
    assert outcome.moves == (Report(**REPORT), Report(**REPORT))
    assert outcome.usage == Usage(7, 8)


@each_way
async def test_usage_that_is_not_reported_is_assumed_within_the_bound(mode: Actions) -> None:
    async with (
        OpenAIServer(always(REPORT), faults=["no_usage"]) as server,
        model_of(server, mode) as model,
    ):
        prompt = prompt_of()
        outcome = answered(await model.attempt(prompt))
        assert outcome.usage.is_assumed
        assert 0 < outcome.usage.tokens <= model.bound(prompt).tokens


@both_modes
@pytest.mark.parametrize(
    "written",
    [
        '```json\n{"moves": [{"move": "use", "function": "tree/list"}]}\n```',
        ' \n {"moves": [{"move": "use", "function": "tree/list"}]} \n',
        '<think>Which one? {"moves"}</think>\n{"move": "use", "function": "tree/list"}',
    ],
)
async def test_moves_written_as_text_are_read_through_fences_blanks_and_thoughts(
    mode: Actions, written: str
) -> None:
    async with OpenAIServer(always(text=written)) as server, model_of(server, mode) as model:
        outcome = answered(await model.attempt(prompt_of(["tree/list", "report"])))
    assert outcome.moves == (Use(move="use", function="tree/list"),)


@both_modes
async def test_a_claimed_tier_reaches_the_law_although_it_is_not_offered(mode: Actions) -> None:
    charter = {"role": "r", "name": "n", "task": "t"}
    spawn = {"move": "spawn", "key": "k", "charter": charter, "tier": 0, "parent": "sob"}
    async with OpenAIServer(always(spawn)) as server, model_of(server, mode) as model:
        outcome = answered(await model.attempt(prompt_of()))
        assert '"tier"' not in json.dumps(server.calls[0].body)
    (move,) = outcome.moves
    assert isinstance(move, Spawn)
    assert (move.tier, move.parent) == (0, "sob")


async def test_tool_calls_that_share_one_number_or_have_none_stay_apart() -> None:
    shared = Received()
    for id in ("a", "b"):
        function = {"name": "say", "arguments": f'{{"text":"{id}"}}'}
        shared.take(
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": id, "function": function}]}}]}
        )
    unnumbered = Received()
    for fragment in (
        {"name": "say", "arguments": "{"},
        {"arguments": "}"},
        {"name": "say", "arguments": {}},
    ):
        unnumbered.take({"choices": [{"delta": {"tool_calls": [{"function": fragment}]}}]})
    assert [call.arguments for call in shared.calls] == ['{"text":"a"}', '{"text":"b"}']
    assert [(call.name, call.arguments) for call in unnumbered.calls] == [
        ("say", "{}"),
        ("say", "{}"),
    ]


# --- what is charged --------------------------------------------------------------------------

GIANT = 200_000


def bytes_allowed(tokens: int) -> int:
    """Of an answer before it is cut."""
    return OUTPUT_BYTES_OF_TOKEN * tokens + BYTES_BESIDE


@pytest.mark.parametrize("actions", ["tools", "schema", "probe", "responses:tools"])
@pytest.mark.parametrize(
    "piece",
    [
        {"content": "a"},
        {"content": "and more "},
        {"content": "界" * (GIANT // 3)},
        {"reasoning_content": "hmm "},
        {"tool_calls": [{"index": 0, "function": {"name": "say", "arguments": "x" * 1_000}}]},
    ],
)
async def test_an_endless_stream_is_cut_by_its_bytes_and_charged_all_that_came(
    actions: Actions, piece: dict[str, Any]
) -> None:
    size = len(json.dumps(piece, ensure_ascii=False).encode())
    faults: list[Fault | None] = ["endless"] if actions != "probe" else [None, "endless"]
    async with (
        OpenAIServer(always(REPORT), faults=faults, endless_piece=piece) as server,
        model_of(server, actions, tariff=Tariff(lambda _: PRICE, "")) as model,
    ):
        bound = model.bound(prompt_of(tokens=100))
        outcome = failed(await model.attempt(prompt_of(tokens=100)))
    used = outcome.usage
    assert (outcome.why, used.is_assumed, used.calls) == ("cut", True, bound.calls)
    assert (
        bytes_allowed(100)
        < used.tokens_out
        <= bytes_allowed(100) + size + (5 if actions == "probe" else 0)
    )
    # So it outran its reserve, for which the ledger stops the account, by what came alone.
    beyond = used.tokens_out - bound.tokens_out
    assert used.tokens <= bound.tokens + beyond
    assert used.cost is not None
    assert bound.cost is not None
    # The probe's reserve is hardly used, and pays for a part of it.
    assert used.cost <= bound.cost + 10 * beyond
    assert actions == "probe" or used.cost > bound.cost


async def test_where_no_limit_can_be_sent_the_bytes_until_the_cut_are_reserved() -> None:
    async with (
        OpenAIServer(always(REPORT), faults=["endless"]) as server,
        model_of(server, leave_out=("max_tokens",)) as model,
    ):
        prompt = prompt_of(tokens=100)
        bound = model.bound(prompt)
        outcome = failed(await model.attempt(prompt))
    assert bound.tokens_out == bytes_allowed(100) + PIECE_BYTES
    assert outcome.why == "cut"
    assert outcome.usage.tokens <= bound.tokens


async def test_a_running_count_beyond_the_limit_cuts_a_stream_of_little_text() -> None:
    async with (
        OpenAIServer(
            always(REPORT), faults=["endless_counted"], endless_piece={"content": "a"}
        ) as server,
        model_of(server) as model,
    ):
        outcome = failed(await model.attempt(prompt_of(tokens=100)))
    used = outcome.usage
    assert (outcome.why, used.is_assumed, used.tokens_in) == ("cut", True, 100)
    assert 100 < used.tokens_out <= 150


async def test_a_count_from_before_the_end_is_not_taken_for_the_whole() -> None:
    """Some servers tell the prompt's tokens with the first piece, and there the answer is one
    token long.
    """
    outcome = failed(await one_attempt("tools", "early_usage"))
    assert (outcome.why, outcome.usage) == ("cut", Usage(100, 500, is_assumed=True))


@pytest.mark.parametrize("fault", ["cut", "hang_midway", "no_usage"])
async def test_an_answer_that_was_not_counted_is_charged_its_limit_at_least(fault: Fault) -> None:
    """Hidden thoughts are paid for and never seen: few bytes do not mean that few tokens were
    made.
    """
    deadlines: dict[str, Any] = IMPATIENT if fault in HANGS else {}
    async with (
        OpenAIServer(always(REPORT), faults=[fault]) as server,
        model_of(server, **deadlines) as model,
    ):
        outcome = await model.attempt(prompt_of())
        assert outcome.usage == Usage(bytes_of(server.calls[0].body), 500, is_assumed=True)


async def test_a_long_honest_answer_is_not_cut() -> None:
    """As many tokens as were allowed, each of seven bytes, as Russian has them; and the fields
    around them.
    """
    text = "слово " * (7 * 500 // 11)
    async with OpenAIServer(always({**REPORT, "text": text})) as server, model_of(server) as model:
        answered(await model.attempt(prompt_of(tokens=500)))


@each_way
async def test_usage_beyond_the_reserve_is_reported_as_it_was_said(mode: Actions) -> None:
    async with (
        OpenAIServer(always(REPORT, usage=(9_000_000, 7_000_000))) as server,
        model_of(server, mode, tariff=Tariff(lambda _: PRICE, "")) as model,
    ):
        outcome = answered(await model.attempt(prompt_of()))
    assert outcome.usage == Usage(9_000_000, 7_000_000, cost=18_000_000 + 70_000_000)


@pytest.mark.parametrize("usage", [(10**30, 10**30), (2**63, 1)])
async def test_usage_that_nothing_can_add_up_is_held_at_what_the_ledger_can(
    usage: tuple[int, int],
) -> None:
    outcome = answered(await one_attempt("tools", brain=always(REPORT, usage=usage)))
    assert outcome.usage.tokens_in == TOKENS_COUNTED_MAX
    assert outcome.usage.tokens_out == min(usage[1], TOKENS_COUNTED_MAX)


@pytest.mark.parametrize(
    "usage", [(0, 0), (0, 20), (-1, 20), (100, -1), (100, 0), (True, True), ("a", 1.5)]
)
def test_usage_that_cannot_be_meant_is_as_none(usage: Any) -> None:
    received = Received()
    received.take({"choices": [{"delta": {"content": "text"}, "finish_reason": "stop"}]})
    received.take(
        {"choices": [], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}}
    )
    assert not received.is_counted


@both_wires
@pytest.mark.parametrize(
    ("details", "cost"),
    [
        (None, 200 + 200),
        ({"cached_tokens": 60}, 80 + 30 + 200),
        ({"cached_tokens": 60, "cache_write_tokens": 30}, 20 + 30 + 90 + 200),
        ({"cached_tokens": 1_000}, 50 + 200),
        ({"cached_tokens": -5}, 200 + 200),
        ({"cached_tokens": "all"}, 200 + 200),
        ("none", 200 + 200),
    ],
)
async def test_cached_tokens_are_charged_as_such_and_lies_about_them_are_not_believed(
    mode: Actions, details: Any, cost: int
) -> None:
    brain = Replies([ServerReply([REPORT], usage=(100, 20), details=details)])
    outcome = answered(await one_attempt(mode, brain=brain, tariff=Tariff(lambda _: PRICE, "")))
    assert outcome.usage == Usage(100, 20, cost=cost, cached=_believed(details))


def _believed(details: Any) -> int:
    """Of a hundred tokens that were read no more came from a cache, and no fewer than none."""
    said = details.get("cached_tokens") if isinstance(details, dict) else 0
    return min(100, max(0, said)) if isinstance(said, int) else 0


async def test_a_model_of_unknown_price_has_an_unknown_cost_and_a_known_one_where_nothing_ran() -> (
    None
):
    async with (
        OpenAIServer(always(REPORT), faults=[None, "429"]) as server,
        model_of(server, tariff=None) as model,
    ):
        assert model.bound(prompt_of()).cost is None
        assert (await model.attempt(prompt_of())).usage.cost is None
        assert (await model.attempt(prompt_of())).usage.cost == 0


async def test_a_probe_is_priced_as_a_call_of_its_own() -> None:
    price = Price(Rate(Fraction(1, 1_000)), Rate(Fraction(1, 1_000)))
    async with (
        OpenAIServer(always(REPORT)) as server,
        model_of(server, "probe", tariff=Tariff(lambda _: price, "")) as model,
    ):
        outcome = answered(await model.attempt(prompt_of()))
    assert (outcome.usage.calls, outcome.usage.cost) == (2, 2)


async def test_nothing_counts_as_sent_while_an_attempt_waits_for_its_turn() -> None:
    sent: list[str] = []
    async with (
        OpenAIServer(always(REPORT), faults=["hang"]) as server,
        model_of(server, calls_at_once=1) as model,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(model.attempt, prompt_of(), lambda: sent.append("first"))
        with anyio.fail_after(HANG_SECONDS):
            await server.until(lambda s: len(s.calls) == 1)
        tasks.start_soon(model.attempt, prompt_of(), lambda: sent.append("second"))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert sent == ["first"]


# --- what is asked ----------------------------------------------------------------------------


@each_way
async def test_a_request_offers_exactly_the_moves_that_the_prompt_allows(mode: Actions) -> None:
    moves = [move for move in MOVE_TYPES if move != "use"]
    async with OpenAIServer(always(REPORT)) as server, model_of(server, mode) as model:
        await model.attempt(prompt_of([*moves, *BUILT_IN]))
        await model.attempt(prompt_of(["vote"]))
        bodies = [call.body for call in server.calls]
    assert offered_moves(bodies[0]) == [*moves, *(f.call_name for f in BUILT_IN.values())]
    assert offered_moves(bodies[1]) == ["vote"]
    assert "discriminator" not in json.dumps(bodies)
    if mode.startswith("responses"):
        assert all(body["store"] is False and body["stream"] is True for body in bodies)
        assert bodies[0]["max_output_tokens"] == 500
        return
    assert all(body["stream_options"] == {"include_usage": True} for body in bodies)
    assert bodies[0]["max_tokens"] == 500
    assert "max_completion_tokens" not in bodies[0]


@both_modes
async def test_every_reference_of_an_offered_schema_is_defined_in_it(
    mode: Literal["tools", "schema"],
) -> None:
    body = json.loads(request_body("m", prompt_of([*MOVE_TYPES, *BUILT_IN]), mode, Form()))
    schemas = [tool["function"]["parameters"] for tool in body.get("tools", [])]
    schemas += [body["response_format"]["json_schema"]["schema"]] if mode == "schema" else []
    for schema in schemas:
        for reference in _references(schema):
            assert reference.removeprefix("#/$defs/") in schema["$defs"]
    assert any("$defs" in schema for schema in schemas)


def bytes_of(body: Mapping[str, Any]) -> int:
    """Of a request as it came."""
    return len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for item in schema for found in _references(item)]
    if not isinstance(schema, dict):
        return []
    here = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return here + [found for value in schema.values() for found in _references(value)]


@both_modes
async def test_the_shared_part_comes_first_the_persona_last_and_users_and_assistants_take_turns(
    mode: Literal["tools", "schema"],
) -> None:
    messages = json.loads(request_body("m", prompt_of(), mode, Form()))["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].startswith("The constitution.")
    assert messages[-1]["content"] == "role: researcher\n\nYou are Ada."


@both_modes
async def test_a_prompt_with_undecodable_text_is_still_sent(mode: Actions) -> None:
    async with OpenAIServer(always(REPORT)) as server, model_of(server, mode) as model:
        prompt = prompt_of(text="broken \udcff byte")
        assert model.bound(prompt).tokens > 0
        answered(await model.attempt(prompt))


@both_modes
async def test_the_bound_is_the_bytes_of_the_request_and_the_limit_as_it_is_sent(
    mode: Actions,
) -> None:
    async with OpenAIServer(always(REPORT)) as server, model_of(server, mode) as model:
        prompt = prompt_of(text="ü" * 1_000)
        await model.attempt(prompt)
        bound = model.bound(prompt)
        assert (bound.tokens_in, bound.calls) == (bytes_of(server.calls[0].body), 1)
        assert bound.tokens_out == 500


async def test_what_a_server_counted_of_a_prompt_is_what_the_next_one_is_expected_to_take() -> None:
    async with OpenAIServer(always(REPORT)) as server, model_of(server) as model:
        prompt = prompt_of(text="a " * 2_000)
        assert model.expected(prompt) == model.bound(prompt)
        await model.attempt(prompt)
        bound, expected = model.bound(prompt), model.expected(prompt)
    # The server counted 100 tokens.
    assert (expected.tokens_in, expected.tokens_out) == (130, 500)
    assert expected.tokens_in < bound.tokens_in


# --- what the model does wrong ----------------------------------------------------------------

MODELS_FAULTS: list[tuple[Fault, str, str]] = [
    ("malformed", "malformed", "not valid JSON"),
    ("unknown_move", "malformed", "launch_rocket"),
    ("schema_violation", "malformed", "`mood` is no field here"),
    ("no_call", "malformed", "spawn"),
    ("empty", "malformed", "spawn"),
    ("refusal", "refused", "can't help"),
    ("content_filter", "refused", "report, spawn, say"),
]


@each_way
@pytest.mark.parametrize(("fault", "why", "correction"), MODELS_FAULTS)
async def test_a_bad_answer_is_charged_and_corrected_in_words_for_the_model(
    mode: Actions, fault: Fault, why: str, correction: str
) -> None:
    outcome = failed(await one_attempt(mode, fault))
    assert outcome.why == why
    assert correction in outcome.detail
    assert outcome.usage == Usage(100, 20)


@both_modes
@pytest.mark.parametrize(
    ("move", "correction"),
    [
        ({"move": "say", "room": "a b", "text": "x"}, "`room` must be one word"),
        ({"move": "say", "room": "a"}, "`text` is missing"),
        ({"move": "vote", "choice": "yes", "reason": "x"}, "`vote` is not open to you now"),
        ({"move": "spawn", "key": "k", "charter": {"role": "r"}}, "`charter.name` is missing"),
        (
            {"move": "propose", "motion": {"motion": "deliver", "reports": [""], "reason": "r"}},
            "`motion.reports[0]` must not be empty",
        ),
    ],
)
async def test_a_correction_names_the_field_that_is_wrong(
    mode: Actions, move: dict[str, Any], correction: str
) -> None:
    async with OpenAIServer(always(move)) as server, model_of(server, mode) as model:
        outcome = failed(await model.attempt(prompt_of(["report", "spawn", "say", "propose"])))
    assert outcome.why == "malformed"
    assert correction in outcome.detail
    assert outcome.text


@both_modes
async def test_one_bad_move_spoils_the_answer_whole(mode: Actions) -> None:
    outcome = failed(await one_attempt(mode, brain=always(REPORT, {"move": "say", "room": "r"})))
    assert ("call 2 (`say`)" if mode == "tools" else "moves[1] (say)") in outcome.detail
    assert "`text` is missing" in outcome.detail


@both_modes
async def test_seventeen_moves_are_a_loop_written_out(mode: Actions) -> None:
    outcome = failed(await one_attempt(mode, brain=always(*[REPORT] * 17)))
    assert (outcome.why, "at most 16" in outcome.detail) == ("malformed", True)


@both_modes
@pytest.mark.parametrize(
    "written", ["[" * 20_000, '{"moves": ' + "9" * 10_000 + "}", '{"moves": {}}', "[]"]
)
async def test_json_that_no_reader_likes_is_malformed_and_nothing_worse(
    mode: Actions, written: str
) -> None:
    async with OpenAIServer(always(text=written)) as server, model_of(server, mode) as model:
        outcome = failed(await model.attempt(prompt_of(tokens=10_000)))
    assert outcome.why == "malformed"
    assert len(outcome.text) <= 2_000


# --- what the world does wrong ----------------------------------------------------------------

WORLDS_FAULTS: list[tuple[Fault, str, bool]] = [
    ("400", "rejected", False),
    ("401", "rejected", False),
    ("403", "rejected", False),
    ("404", "rejected", False),
    ("429", "rate_limited", False),
    ("500", "server", False),
    ("503", "server", False),
    ("hang", "timeout", True),
    ("hang_midway", "timeout", True),
    ("cut", "cut", True),
    ("disconnect", "server", True),
    ("error_in_stream", "server", True),
    ("bad_piece", "server", True),
    ("wrong_type", "server", False),
    ("endless", "cut", True),
]


@pytest.mark.parametrize("mode", [*MODES, "responses:tools"])
@pytest.mark.parametrize(("fault", "why", "may_have_run"), WORLDS_FAULTS)
async def test_a_failure_of_the_world_is_a_value_and_charged_where_the_model_may_have_run(
    mode: Actions, fault: Fault, why: str, may_have_run: bool
) -> None:
    deadlines: dict[str, Any] = IMPATIENT if fault in HANGS else {}
    async with (
        OpenAIServer(always(REPORT), faults=[fault]) as server,
        model_of(server, mode, **deadlines) as model,
    ):
        prompt = prompt_of()
        outcome = failed(await model.attempt(prompt))
        assert len(server.calls) == 1
        assert outcome.why == why
        assert outcome.usage.is_assumed == may_have_run
        assert (outcome.usage.tokens > 0) == may_have_run
        assert outcome.usage.calls == 1
        assert outcome.usage.tokens <= model.bound(prompt).tokens or fault == "endless"


@each_way
async def test_an_answer_at_its_limit_is_cut_and_charged_as_counted(mode: Actions) -> None:
    outcome = failed(await one_attempt(mode, "length"))
    assert (outcome.why, outcome.usage) == ("length", Usage(100, 20))


async def test_an_answer_never_grows_beyond_what_memory_bears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("swarmd.adapters.models.openai.connection.ANSWER_BYTES_MAX", 10_000)
    async with (
        OpenAIServer(always(REPORT), faults=["endless"]) as server,
        model_of(server) as model,
    ):
        outcome = failed(await model.attempt(prompt_of(tokens=100_000)))
    assert (outcome.why, outcome.detail) == ("cut", "the answer broke off: ReadError")


async def test_a_server_that_is_not_there_costs_nothing() -> None:
    async with OpenAIServer(always(REPORT)) as server:
        pass
    async with model_of(server) as model:
        outcome = failed(await model.attempt(prompt_of()))
    assert (outcome.why, outcome.usage) == ("server", Usage(0, 0, calls=1))


@both_wires
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("nan", 0.0),
        ("soon", None),
        ("1e9", WAIT_SECONDS_MAX),
        ("Fri, 01 Jan 1999 00:00:00 GMT", 0.0),
    ],
)
async def test_retry_after_is_read_as_number_or_date_and_bounded(
    mode: Actions, said: str, seconds: float | None
) -> None:
    async with (
        OpenAIServer(always(REPORT), faults=["429"], retry_after=said) as server,
        model_of(server, mode) as model,
    ):
        assert failed(await model.attempt(prompt_of())).retry_after == seconds


@both_wires
@pytest.mark.parametrize(
    ("fault", "settings", "said"),
    [
        ("hang", {"first_token_seconds": 0.2}, "no answer began within 0.2 s"),
        ("hang_midway", {"idle_seconds": 0.1}, "stopped for more than 0.1 s"),
        ("endless", {"total_seconds": 0.05}, "not complete within 0.05 s"),
    ],
)
async def test_each_deadline_ends_the_attempt_and_says_which_it_was(
    mode: Actions, fault: Fault, settings: dict[str, Any], said: str
) -> None:
    async with (
        OpenAIServer(always(REPORT), faults=[fault]) as server,
        model_of(server, mode, **settings) as model,
    ):
        with anyio.fail_after(HANG_SECONDS):
            outcome = failed(await model.attempt(prompt_of(tokens=100_000)))
    assert (outcome.why, said in outcome.detail) == ("timeout", True)


@both_wires
@pytest.mark.parametrize("fault", ["hang", "hang_midway"])
async def test_a_cancelled_attempt_closes_its_connection(mode: Actions, fault: Fault) -> None:
    async with (
        OpenAIServer(always(REPORT), faults=[fault]) as server,
        model_of(server, mode) as model,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.attempt, prompt_of())
            with anyio.fail_after(HANG_SECONDS):
                await server.until(lambda s: len(s.calls) == 1)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(HANG_SECONDS):
            await server.until(lambda s: s.closed_by_client == 1)


@both_wires
async def test_a_connection_is_used_again(mode: Actions) -> None:
    async with OpenAIServer(always(REPORT)) as server, model_of(server, mode) as model:
        for _ in range(5):
            answered(await model.attempt(prompt_of()))
        assert server.connections == 1


@each_way
async def test_each_attempt_is_one_request_whatever_becomes_of_it(mode: Actions) -> None:
    faults: list[Fault | None] = ["500", "429", None, "malformed", "cut"]
    async with (
        OpenAIServer(always(REPORT), faults=faults) as server,
        model_of(server, mode) as model,
    ):
        for count in range(1, len(faults) + 1):
            await model.attempt(prompt_of())
            assert len(server.calls) == count


# --- the probe --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "calls_tools", "mode"),
    [
        ("probe", True, "tools"),
        ("probe", False, "response_format"),
        ("responses:probe", True, "tools"),
        ("responses:probe", False, "text"),
    ],
)
async def test_a_probe_finds_the_mode_once_and_is_paid_for_by_the_first_attempt(
    actions: Actions, calls_tools: bool, mode: str
) -> None:
    brain = always(REPORT, usage=(100, 20))
    async with (
        OpenAIServer(brain, calls_tools=calls_tools) as server,
        model_of(server, actions) as model,
    ):
        prompt = prompt_of()
        bound = model.bound(prompt)
        first = answered(await model.attempt(prompt))
        second = answered(await model.attempt(prompt))
        assert len(server.calls) == 3
        assert all(mode in call.body for call in server.calls[1:])
    assert first.usage == Usage(130, 25, calls=2)
    assert (first.usage.tokens <= bound.tokens, bound.calls) == (True, 2)
    assert second.usage == Usage(100, 20, calls=1)


async def test_a_server_that_turns_tools_away_takes_the_schema() -> None:
    async with (
        OpenAIServer(always(REPORT), faults=["400"]) as server,
        model_of(server, "probe") as model,
    ):
        answered(await model.attempt(prompt_of()))
        answered(await model.attempt(prompt_of()))
        assert ["tools" in call.body for call in server.calls] == [True, False, False]


async def test_a_server_that_turns_everything_away_is_probed_again() -> None:
    async with (
        OpenAIServer(always(REPORT), faults=["404", "404"]) as server,
        model_of(server, "probe") as model,
    ):
        assert failed(await model.attempt(prompt_of())).why == "rejected"
        answered(await model.attempt(prompt_of()))
        assert ["tools" in call.body for call in server.calls] == [True, False, True, True]


@pytest.mark.parametrize(
    ("fault", "why"), [("500", "server"), ("hang", "timeout"), ("429", "rate_limited")]
)
async def test_a_probe_that_the_world_fails_decides_nothing(fault: Fault, why: str) -> None:
    deadlines: dict[str, Any] = {"first_token_seconds": 1.0} if fault in HANGS else {}
    async with (
        OpenAIServer(always(REPORT), faults=[fault]) as server,
        model_of(server, "probe", **deadlines) as model,
    ):
        assert failed(await model.attempt(prompt_of())).why == why
        answered(await model.attempt(prompt_of()))
        assert ["tools" in call.body for call in server.calls] == [True, True, True]


@pytest.mark.parametrize("fault", [None, "hang"])
async def test_many_first_attempts_share_one_probe_and_what_became_of_it(
    fault: Fault | None,
) -> None:
    outcomes: list[Answered | Failed] = []
    deadlines: dict[str, Any] = IMPATIENT if fault in HANGS else {}
    async with (
        OpenAIServer(always(REPORT), faults=[fault]) as server,
        model_of(server, "probe", **deadlines) as model,
    ):

        async def ask() -> None:
            outcomes.append(await model.attempt(prompt_of()))

        with anyio.fail_after(HANG_SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(ask)
        assert len(server.calls) == (5 if fault is None else 1)
        assert sum(outcome.usage.calls for outcome in outcomes) == len(server.calls)
    assert len(outcomes) == 4
    if fault is not None:
        assert [failed(outcome).usage.tokens > 0 for outcome in outcomes].count(True) == 1


# --- secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, "plain-but-secret"])
@pytest.mark.parametrize("fault", ["400", "401", "403", "429", "500", None])
async def test_no_key_is_in_a_log_an_error_or_a_repr(
    key: str, fault: Fault | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        OpenAIServer(always(REPORT), faults=[fault]) as server,
        model_of(server, key=key) as model,
    ):
        outcome = await model.attempt(prompt_of())
        assert server.calls[0].headers["authorization"] == f"Bearer {key}"
        assert key not in repr(model) + str(model)
    assert caplog.records
    assert key not in caplog.text + repr(outcome)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:pass@host/v1",
        "http://host/v1?key=1",
        "ftp://host",
        "host:80",
        "http://h:99999",
        "http://[x",
    ],
)
def test_a_base_url_that_could_not_be_shown_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenAIModel("m", base_url=url, api_key="", provider=Provider())
    assert "pass" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("key", ["sk-line\nbreak", "sk-schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenAIModel("m", base_url="", api_key=key, provider=Provider())
    assert "sk-" not in str(caught.value) + caught.value.hint


async def test_a_key_from_a_file_may_end_with_its_line() -> None:
    async with OpenAIServer(always(REPORT)) as server, model_of(server, key=f"{KEY}\n") as model:
        answered(await model.attempt(prompt_of()))
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_server_without_a_key_never_gets_one_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with OpenAIServer(always(REPORT)) as server, model_of(server, key="") as model:
        answered(await model.attempt(prompt_of()))
        assert server.calls[0].headers["authorization"] == "Bearer none"


# --- pace -------------------------------------------------------------------------------------


class Hours:
    """A clock that jumps as soon as somebody waits for it."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.at += seconds


async def test_no_stretch_of_a_minute_has_more_starts_than_allowed_and_the_first_come_is_first() -> (
    None
):
    hours = Hours()
    pace = Pace(per_minute=5, at_once=50, now=hours.now, sleep=hours.sleep)
    starts: list[tuple[float, int]] = []

    async def call(number: int) -> None:
        async with pace.place():
            starts.append((hours.now(), number))
            hours.at += 1.0

    async with anyio.create_task_group() as tasks:
        for number in range(23):
            tasks.start_soon(call, number)
    times = [at for at, _ in starts]
    assert [number for _, number in starts] == list(range(23))
    assert all(
        later - earlier >= WINDOW_SECONDS for earlier, later in zip(times, times[5:], strict=False)
    )
    assert times[-1] < 5 * WINDOW_SECONDS  # and no slower than it must be


async def test_no_more_calls_are_under_way_than_allowed() -> None:
    pace = Pace(per_minute=100, at_once=3)
    under_way, most = 0, 0

    async def call() -> None:
        nonlocal under_way, most
        async with pace.place():
            under_way += 1
            most = max(most, under_way)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            under_way -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call)
    assert most == 3


async def test_a_caller_that_gives_up_waiting_takes_no_place() -> None:
    pace = Pace(per_minute=100, at_once=1)
    async with pace.place():
        with anyio.move_on_after(0.01) as scope:
            async with pace.place():
                raise AssertionError("two places of one")
    assert scope.cancelled_caught
    with anyio.fail_after(HANG_SECONDS):
        async with pace.place():
            pass


async def test_waiting_for_the_providers_pace_is_bounded_and_free() -> None:
    async with (
        OpenAIServer(always(REPORT)) as server,
        model_of(server, calls_per_minute=1, total_seconds=1.0) as model,
    ):
        answered(await model.attempt(prompt_of()))
        outcome = failed(await model.attempt(prompt_of()))
        assert (outcome.why, outcome.usage) == ("rate_limited", NOTHING)
        assert len(server.calls) == 1


# --- the server itself, for those who build on it ---------------------------------------------


@pytest.mark.parametrize("calls_tools", [True, False])
@pytest.mark.parametrize(
    ("functions", "text", "move"),
    [
        (["propose"], "phase: propose", "propose"),
        (["argue"], "phase: debate", "argue"),
        (["vote"], "phase: vote", "vote"),
        (["propose"], "phase: review\nreports: a-1, a-2", "propose"),
        (["spawn", "report"], "role: executive", "spawn"),
        (["spawn", "report"], "mail kind: report from a-9\nrole: executive", "report"),
        (["report"], "role: researcher", "report"),
    ],
)
async def test_the_mission_brain_answers_every_phase_and_role_in_both_modes(
    calls_tools: bool, functions: list[str], text: str, move: str
) -> None:
    async with (
        OpenAIServer(MissionBrain(), calls_tools=calls_tools) as server,
        model_of(server, "probe") as model,
    ):
        outcome = answered(await model.attempt(prompt_of(functions, text=text)))
        assert text in user_text(server.calls[-1].body)
    assert [made.move for made in outcome.moves] == [move]


async def test_the_mission_brain_spawns_again_what_was_given_back_and_waits_for_what_was_not() -> (
    None
):
    spawn = '{"moves": [{"move": "spawn"}]}'
    told: list[tuple[str, str]] = [
        ("Your last answer could not be used: no.", "spawn"),
        ("mail kind: answer from supervisor", "think"),
        ("mail kind: report from a-9", "report"),
    ]
    async with OpenAIServer(MissionBrain()) as server, model_of(server) as model:
        for answer, move in told:
            prompt = replace(
                prompt_of(["spawn", "report", "think"]),
                exchange=(
                    Piece("user", "role: executive"),
                    Piece("assistant", spawn),
                    Piece("user", answer),
                ),
            )
            outcome = answered(await model.attempt(prompt))
            assert [made.move for made in outcome.moves] == [move]


async def test_the_server_runs_as_a_process_and_prints_where() -> None:
    command = [sys.executable, "-m", "tests.openai_server", "--faults", "429,none", "--no-tools"]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(20):
                url = (await process.stdout.receive()).decode().strip()
            model = OpenAIModel("m", base_url=url, api_key="", provider=Provider(actions="schema"))
            outcomes = [
                await model.attempt(prompt_of(["vote"], text="phase: vote")) for _ in range(2)
            ]
            await model.aclose()
        finally:
            process.kill()
    assert [type(outcome) for outcome in outcomes] == [Failed, Answered]


async def test_replies_come_in_order_and_the_last_repeats() -> None:
    brain = Replies([ServerReply([REPORT]), ServerReply(text="x", fault="500")])
    async with OpenAIServer(brain) as server, model_of(server) as model:
        port: Model = model
        outcomes = [await port.attempt(prompt_of()) for _ in range(3)]
    assert [type(outcome) for outcome in outcomes] == [Answered, Failed, Failed]
