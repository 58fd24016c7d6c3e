"""The answer in a text: out of whatever stands around it, and never out of what is quoted
inside.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.reading import Correction, read_moves
from swarmd.adapters.models.openai.text import answer_in
from swarmd.core.model.functions import TREE_LIST, Offer
from swarmd.core.model.moves import Move, Report, Say, Use

# A busy machine is slow and not wrong.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

OFFER = Offer(("say", "report", "use"), (TREE_LIST,))
SAY = Say(move="say", room="r", text="a")
LIST = Use(move="use", function="tree/list")
ANSWER = '{"moves": [{"move": "say", "room": "r", "text": "a"}]}'
OTHER = '{"moves": [{"move": "report", "text": "b", "done": true}]}'
CALL = '{"name": "say", "arguments": {"room": "r", "text": "a"}}'
ARGUMENTS = '{"room": "r", "text": "a"}'


def read(text: str) -> tuple[Move, ...] | Correction:
    received = Received()
    received.take({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]})
    return read_moves(received, OFFER)


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        "I should answer in JSON.\n</think>\n\n" + ANSWER,
        "<think>one</think> and </think>" + ANSWER,
        f"<think>first I thought of {OTHER}</think>{ANSWER}",
        "<thinking>hm</thinking>\n" + ANSWER,
        "[THINK]hm[/THINK]" + ANSWER,
        "<reasoning>hm</reasoning>" + ANSWER,
        "<seed:think>hm</seed:think>" + ANSWER,
        "◁think▷hm◁/think▷" + ANSWER,
        "<|begin_of_thought|>hm<|end_of_thought|>" + ANSWER,
        "<|START_THINKING|>hm<|END_THINKING|>" + ANSWER,
        "\n\n<think>\n\n</think>\n\n" + ANSWER,
        ANSWER + "<think>was that good?</think>",
        f"<|channel|>analysis<|message|>{OTHER}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        "<|channel|>final <|constrain|>json<|message|>" + ANSWER,
        f"Here is my answer:\n\n```json\n{ANSWER}\n```\n",
        f"```json\n{ANSWER}\n```\nI hope this helps!",
        f"```\n{ANSWER}\n```",
        f"~~~json\n{ANSWER}\n~~~",
        f"Sure! {ANSWER} That is all.",
        f"The set {{x, y}} and {{}} lead to {ANSWER}",
        f'An example is {{"room": "x"}}, so: {ANSWER}',
        f"<answer>{ANSWER}</answer>",
        f"<|begin_of_box|>{ANSWER}<|end_of_box|>",
        ANSWER + "<|im_end|>",
        ANSWER + "</s>",
        "<|im_start|>" + ANSWER + "<end_of_turn>\n",
        "[INST]" + ANSWER + "[/INST]",
        "\ufeff" + ANSWER,
        ANSWER + "\n\n\n" + " " * 40,
        ANSWER + "\n" + ANSWER,
        json.dumps(ANSWER),
        json.dumps(json.loads(ANSWER)["moves"]),
        json.dumps(json.loads(ANSWER)["moves"][0]),
        f'{{"name": "reply", "arguments": {ANSWER}}}',
        f'{{"moves": [{CALL}]}}',
    ],
)
def test_the_one_object_with_moves_is_taken_from_whatever_stands_around_it(text: str) -> None:
    assert read(text) == (SAY,)


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        CALL.replace("arguments", "parameters"),
        f"```json\n{CALL}\n```",
        f"[{CALL}]",
        f'{{"type": "function", "function": {CALL}}}',
        json.dumps({"name": "say", "arguments": ARGUMENTS}),
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"I say it.\n<tool_call>{CALL}",
        f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>",
        f"<think>hm</think><function_call>{CALL}</function_call>",
        f"[TOOL_CALLS][{CALL}]",
        f"[TOOL_CALLS] {CALL}",
        f"[TOOL_CALLS]say{ARGUMENTS}",
        f"[TOOL_CALLS]say[ARGS]{ARGUMENTS}",
        f"<function=say>{ARGUMENTS}</function>",
        f"<|python_tag|>{CALL}",
        f"<|tool_call|>[{CALL}]",
        f"<|channel|>commentary to=functions.say <|constrain|>json<|message|>{ARGUMENTS}<|call|>",
        f"<|tool_call_begin|>functions.say:0<|tool_call_argument_begin|>{ARGUMENTS}<|tool_call_end|>",
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>say\n```json\n{ARGUMENTS}\n```<｜tool▁call▁end｜>",
        f"<｜tool▁call▁begin｜>say<｜tool▁sep｜>{ARGUMENTS}<｜tool▁call▁end｜>",
    ],
)
def test_an_unmistakable_call_of_an_offered_function_is_one(text: str) -> None:
    assert read(text) == (SAY,)


def test_several_calls_in_a_text_are_made_in_their_order() -> None:
    plain = '{"name": "tree_list", "arguments": {}}'
    for text in (
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{plain}</tool_call>",
        f"{CALL}\n{plain}",
        f"{CALL}; {plain}",
    ):
        assert read(text) == (SAY, LIST)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would rather talk.",
        f"{ANSWER}\n{OTHER}",
        f"Either {ANSWER} or {OTHER}.",
        f"{ANSWER}<tool_call>{CALL}</tool_call>",
        f"<think>I could do {ANSWER}",
        f"{{'moves': [{{'move': 'say', 'text': '{OTHER}'}}]}}",
        '{"moves": [{"move": "say", "room": "r", "text": "he said ' + OTHER + ' to me"}]}',
        'moves: [{move: say, text: "x"}], {move: report, text: ' + OTHER + "}",
        f'{{"answer": broken, "quoted": "{OTHER}"}}',
        f"He wrote {CALL} to me.",
        f'{{"quoted": {CALL}}}',
        '{"name": "terminate", "arguments": {"target": "a-1"}}',
        '<tool_call>{"name": "terminate", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "say"}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"room": "r"</tool_call>',
        CALL.replace("}}", '}, "unless": "it rains"}'),
        '{"moves": [], "moves_not": 1}',
        '{"moves": [{"move": "say", "room": "r", "te',
    ],
)
def test_what_can_mean_two_things_or_something_that_is_not_offered_does_nothing(text: str) -> None:
    assert isinstance(read(text), Correction)


def test_marks_inside_of_the_answers_own_text_are_words_of_it() -> None:
    text = (
        'use <think>a</think>, </think>, ```json and <tool_call>{"name": "report", '
        '"arguments": {}}</tool_call>'
    )
    answer = json.dumps({"moves": [{"move": "say", "room": "r", "text": text}]})
    for around in ("{}", "Look: {} Well?", "<think>hm</think>{}", "```json\n{}\n```\nso"):
        assert read(around.replace("{}", answer)) == (Say(move="say", room="r", text=text),)


@calm
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_in_a_move_comes_through_as_it_is(text: str) -> None:
    answer = json.dumps(
        {"moves": [{"move": "report", "text": text or "x", "done": True}]}, ensure_ascii=False
    )
    wanted = (Report(move="report", text=text or "x", done=True),)
    for around in (
        answer,
        f"<think>hm</think>\n{answer}",
        f"So:\n```json\n{answer}\n```",
        f"So: {answer}<|im_end|>",
    ):
        assert read(around) == wanted


WORDS = (
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    " ",
    "<think>",
    "</think>",
    '"moves"',
    '"move"',
    "<tool_call>",
    "```",
    ANSWER,
)


@calm
@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_any_text_is_read_without_an_error(text: str) -> None:
    answer = read(text)
    assert isinstance(answer, Correction | tuple)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        " " * 300_000,
        "{" * 100_000,
        "<tool_call>" * 20_000,
        '{"a": 1} ' * 20_000,
        "<think>" * 20_000 + ANSWER,
        "[TOOL_CALLS]" * 20_000,
        "<|im_end|>" * 20_000,
        "```" + " " * 200_000 + "```",
        "word" * 100_000,
        "[" * 100_000,
    ],
)
def test_a_text_made_to_be_slow_is_read_in_no_time(text: str) -> None:
    assert isinstance(read(text), Correction)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": ANSWER}],
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": OTHER}]},
            {"type": "text", "text": ANSWER},
        ],
        [
            {"type": "reasoning", "text": OTHER},
            ANSWER[:9],
            {"type": "output_text", "text": ANSWER[9:]},
        ],
        {"type": "text", "text": ANSWER},
        [{"text": ANSWER}, {"type": "image_url", "image_url": {"url": "x"}}],
    ],
)
def test_parts_of_a_content_that_are_text_are_the_text(content: object) -> None:
    received = Received()
    received.take(
        {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": "stop"}]}
    )
    assert read_moves(received, OFFER) == (SAY,)
    assert received.text_bytes >= len(ANSWER)


def test_another_answer_beside_ours_is_counted_and_not_mixed_in() -> None:
    received = Received()
    for index, text in ((0, ANSWER[:20]), (1, OTHER[:20]), (0, ANSWER[20:]), (1, OTHER[20:])):
        received.take(
            {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}
        )
    received.take({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert read_moves(received, OFFER) == (SAY,)
    assert received.text_bytes >= len(ANSWER) + len(OTHER)


@pytest.mark.parametrize("unit", ["{}<think>", "<think>{}</think>", "{<think>"])
def test_an_answer_full_of_marks_of_thoughts_is_read_at_once(unit: str) -> None:
    started = time.process_time()
    with suppress(ValueError):
        answer_in(unit * 8_000)
    assert time.process_time() - started < 1.0
