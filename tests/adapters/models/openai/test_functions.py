"""Functions as a model is offered them, and as it calls them: as tools, and by `use`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import pytest

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.form import Form
from swarmd.adapters.models.openai.offered import tools_of
from swarmd.adapters.models.openai.reading import Correction, read_moves
from swarmd.adapters.models.openai.request import request_body
from swarmd.core.agent.seat_moves import offer_to_seat
from swarmd.core.model.charter import Written
from swarmd.core.model.functions import BUILT_IN, FILE_READ, TREE_LIST, Function, Offer
from swarmd.core.model.moves import Move, Use
from tests.contract.test_openai_model import prompt_of

DASHED = replace(FILE_READ, name="web-api/fetch_page-2")
OFFER = Offer(("say", "report", "use"), (FILE_READ, TREE_LIST, DASHED))
READ = Use(move="use", function="file/read", args={"path": "docs/a"})
ARGS = '{"path": "docs/a"}'


def called(name: str, arguments: str) -> tuple[Move, ...] | Correction:
    received = Received()
    call = {"index": 0, "function": {"name": name, "arguments": arguments}}
    received.take({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    return read_moves(received, OFFER)


def said(text: str) -> tuple[Move, ...] | Correction:
    received = Received()
    received.take({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]})
    return read_moves(received, OFFER)


@pytest.mark.parametrize(
    "name", ["file_read", "file/read", "functions.file_read", "tool/file/read", "file_read:0"]
)
def test_a_call_of_a_functions_tool_is_a_use_of_it(name: str) -> None:
    assert called(name, ARGS) == (READ,)


def test_a_call_of_use_itself_is_one_too() -> None:
    assert called("use", f'{{"function": "file/read", "args": {ARGS}}}') == (READ,)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"moves": [{{"move": "use", "function": "file/read", "args": {ARGS}}}]}}',
        f'{{"moves": [{{"move": "use", "function": "file_read", "args": {ARGS}}}]}}',
        f'{{"move": "use", "function": "file/read", "args": {ARGS}}}',
        '{"moves": [{"move": "file_read", "path": "docs/a"}]}',
        '{"moves": [{"move": "file/read", "path": "docs/a"}]}',
        f'{{"moves": [{{"name": "file_read", "arguments": {ARGS}}}]}}',
        f'{{"moves": [{{"function": "file/read", "args": {ARGS}}}]}}',
        f'<tool_call>{{"name": "file_read", "arguments": {ARGS}}}</tool_call>',
        f"<function=file_read>{ARGS}</function>",
        f"[TOOL_CALLS]file_read{ARGS}",
    ],
)
def test_a_function_written_as_text_is_a_use_of_it(text: str) -> None:
    assert said(text) == (READ,)


@pytest.mark.parametrize(
    "text",
    [
        f"<function=web-api_fetch_page-2>{ARGS}</function>",
        f"<function=web-api/fetch_page-2>{ARGS}</function>",
        f"[TOOL_CALLS]web-api_fetch_page-2[ARGS]{ARGS}",
        f"<|channel|>commentary to=functions.web-api_fetch_page-2 <|message|>{ARGS}<|call|>",
        f"<|tool_call_begin|>functions.web-api_fetch_page-2:0<|tool_call_argument_begin|>{ARGS}",
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>web-api_fetch_page-2\n{ARGS}",
    ],
)
def test_a_name_with_dashes_is_read_behind_every_mark(text: str) -> None:
    assert said(text) == (Use(move="use", function=DASHED.name, args={"path": "docs/a"}),)


def test_a_function_without_arguments_needs_none() -> None:
    listed = (Use(move="use", function="tree/list"),)
    assert called("tree_list", "{}") == listed
    assert said('{"moves": [{"move": "use", "function": "tree/list"}]}') == listed


@pytest.mark.parametrize(
    ("args", "place"),
    [("{}", "path"), ('{"path": "a", "start": 0}', "start"), ('{"path": "a", "x": 1}', "x")],
)
def test_arguments_that_do_not_fit_are_given_back_with_their_place(args: str, place: str) -> None:
    for answer in (
        called("file_read", args),
        said(f'{{"moves": [{{"move": "use", "function": "file/read", "args": {args}}}]}}'),
    ):
        assert isinstance(answer, Correction)
        assert answer.text.startswith("call 1 (")
        assert f"`{place}`" in answer.text


def test_a_use_of_what_is_not_offered_is_left_to_the_law_and_any_other_name_is_corrected() -> None:
    foreign = '{"moves": [{"move": "use", "function": "file/write", "args": {"x": 1}}]}'
    assert said(foreign) == (Use(move="use", function="file/write", args={"x": 1}),)
    for answer in (called("file_write", ARGS), said('{"moves": [{"move": "file_write"}]}')):
        assert isinstance(answer, Correction)
        assert "`file_write` is not open to you now" in answer.text
        assert "file" in answer.text.partition("Call one or more of")[2], "what is, is named"
    closed = read_moves(_content(foreign), Offer(("say",)))
    assert isinstance(closed, Correction)
    assert "`use` is not open to you now" in closed.text


def _content(text: str) -> Received:
    received = Received()
    received.take({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]})
    return received


@pytest.mark.parametrize(
    "name", ["", "read", "file/", "a/b c", "../etc/passwd\n", "x" * 200, "a/" + "b" * 64]
)
def test_what_cannot_be_a_functions_name_is_corrected(name: str) -> None:
    answer = said(json.dumps({"moves": [{"move": "use", "function": name}]}))
    assert isinstance(answer, Correction)


# --- what is offered ----------------------------------------------------------------------------


class Item(Written):
    default: str  # named as a keyword of schemas is
    properties: int = 3


class Sorted(Written):
    items: tuple[Item, ...]
    first: Item | None = None
    description: str | None = None


class Other(Written):
    class Item(Written):
        colour: str

    item: Item
    others: tuple[Item, ...] = ()


def _row(name: str, args: type[Written]) -> Function:
    return replace(FILE_READ, name=name, summary=f"Does {name}.", args=args)


def body(offer: Offer, mode: Literal["tools", "schema"]) -> dict[str, Any]:
    prompt = replace(prompt_of(), offer=offer)
    found: dict[str, Any] = json.loads(request_body("m", prompt, mode, Form()))
    return found


def test_as_tools_each_function_is_one_of_its_own_and_use_is_none() -> None:
    tools = body(Offer(("say", "use"), tuple(BUILT_IN.values())), "tools")["tools"]
    names = [tool["function"]["name"] for tool in tools]
    assert names == ["say", "tree_list", "file_list", "file_read", "file_search", "file_write"]
    for tool, row in zip(tools[1:], BUILT_IN.values(), strict=True):
        assert tool["function"]["description"] == row.summary
        fields = row.args.model_json_schema().get("properties", {})
        assert set(tool["function"]["parameters"]["properties"]) == set(fields)
        assert tool["function"]["parameters"]["additionalProperties"] is False


def test_as_a_schema_each_function_is_a_use_with_its_own_arguments() -> None:
    schema = body(Offer(("say", "use"), (FILE_READ, TREE_LIST)), "schema")["response_format"]
    items = schema["json_schema"]["schema"]["properties"]["moves"]["items"]["anyOf"]
    assert [item["properties"]["move"]["const"] for item in items] == ["say", "use", "use"]
    read, listed = items[1:]
    assert read["properties"]["function"]["const"] == "file/read"
    assert read["required"] == ["move", "function", "args"]
    assert read["properties"]["args"]["required"] == ["path"]
    assert (listed["required"], set(listed["properties"])) == (
        ["move", "function"],
        {"move", "function"},
    )


@pytest.mark.parametrize("mode", ["tools", "schema"])
def test_functions_that_call_different_things_by_one_name_keep_them_apart(
    mode: Literal["tools", "schema"],
) -> None:
    offer = Offer(("use",), (_row("a/sort", Sorted), _row("b/sort", Other)))
    asked = body(offer, mode)
    if mode == "tools":
        schemas = [tool["function"]["parameters"] for tool in asked["tools"]]
        parts = [(schema, schema["$defs"]) for schema in schemas]
    else:
        schema = asked["response_format"]["json_schema"]["schema"]
        items = schema["properties"]["moves"]["items"]["anyOf"]
        parts = [(item["properties"]["args"], schema["$defs"]) for item in items]
    (first, its), (second, others) = parts
    item = its[first["properties"]["items"]["items"]["$ref"].removeprefix("#/$defs/")]
    assert set(item["properties"]) == {"default", "properties"}
    assert item["properties"]["properties"]["type"] == "integer"
    assert first["properties"]["description"]["type"] == "string", "a field, and no keyword"
    other = others[second["properties"]["item"]["$ref"].removeprefix("#/$defs/")]
    assert set(other["properties"]) == {"colour"}


def test_a_schema_is_told_in_words_for_the_model_and_held_to_by_a_grammar() -> None:
    asked = body(Offer(("report", "use"), (FILE_READ,)), "schema")
    told = asked["messages"][0]["content"]
    grammar = json.dumps(asked["response_format"])
    assert FILE_READ.summary in told
    assert FILE_READ.summary not in grammar, "it is said once"
    assert '"additionalProperties": false' in grammar
    assert '"additionalProperties":false' not in told
    assert "no other fields" in told


def test_the_forms_of_a_motion_are_told_to_a_seat_once() -> None:
    tools = {tool["name"]: tool["parameters"] for tool in tools_of(offer_to_seat())}
    forms = tools["propose"]["properties"]["motion"]["oneOf"]
    assert "charter" in [form["properties"]["motion"]["const"] for form in forms]
    assert "$defs" not in tools["respond"]
    changed = tools["respond"]["properties"]["motion"]
    assert changed["type"] == "object"
    assert changed["description"].endswith("in the form that `propose` takes")


def test_a_bound_that_no_amount_comes_near_is_not_told() -> None:
    (spawn,) = tools_of(Offer(("spawn",)))
    charter = spawn["parameters"]["properties"]["charter"]
    budget = charter["properties"]["budget"]["properties"]
    assert budget["tokens"] == {"minimum": 0, "type": "integer"}
