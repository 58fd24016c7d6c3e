"""Whatever a model writes as a move or as a function's arguments is a move or a correction: no
exception of another kind comes of it, for that would end the agent's turn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from swarmd.core.agent.turn import Acting, act, asked_for, directed
from swarmd.core.model.functions import BUILT_IN, FunctionCall, WriteFile
from swarmd.core.model.masking import SHAPES_ALONE
from swarmd.core.model.moves import ARGS_DEPTH_MAX, MOVE, MOVE_TYPES, Move, Use
from swarmd.core.model.names import SOB, MissionId
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.written_moves import faults_of, schema_of, written_anew
from tests.core.swarm_builder import ROOMS, world

CHARTER: Final = {"role": "r", "name": "n", "task": "t", "files": ["a"], "budget": {"tokens": 1}}
REJECT: Final = {"motion": "reject", "reason": "r"}
# Each move as it would be done; what is hostile is put in its place, or below it.
MOVES: Final[Mapping[str, dict[str, Any]]] = {
    "say": {"room": "hall", "text": "x"},
    "direct": {"to": "child", "text": "x"},
    "report": {"text": "x", "done": True, "files": ["a"]},
    "spawn": {"key": "k", "charter": CHARTER},
    "govern": {"verb": "terminate", "target": "child", "reason": "r"},
    "use": {"function": "web/get", "args": {"a": "b"}},
    "wait": {"whom": ["child"], "what": "x", "seconds": 30},
    "think": {"thought": "x"},
    "propose": {"motion": {"motion": "charter", "reason": "r", "executives": [CHARTER]}},
    "argue": {"stance": "argue", "text": "x"},
    "respond": {"decision": "amend", "motion": REJECT, "accepts": ["s"], "reason": "r"},
    "vote": {"choice": "yes", "reason": "r"},
}
ARGUMENTS: Final[Mapping[str, dict[str, Any]]] = {
    "tree/list": {},
    "file/list": {"folder": "docs", "start": 1},
    "file/read": {"path": "docs/a", "start": 1, "lines": 3},
    "file/search": {"query": "q", "files": ["docs/a"], "top": 3},
    "file/write": {"path": "a", "text": "b"},
}
PATHS: Final = ("work", "work/", "./work", ".", "./", "/", "//", "work/.", ".//work//", "work/./.")
TEXTS: Final = ("", *PATHS, "..", "../..", "\0", "\n", "\ud800", "a\udfff", "\u202e", "*", "{", "=")


def nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


LEAVES = st.one_of(
    st.sampled_from([*TEXTS, "x" * 600, "x" * 1_000_001, None, True, 10**30, nested(300)]),
    st.sampled_from([float("nan"), float("inf"), -0.0]),
    st.text(max_size=6),
    st.integers(-2, 2),
)
NAMES = st.sampled_from(["path", "files", "motion", "charter", "moves", "move", "zz", *TEXTS])
HOSTILE = st.recursive(
    LEAVES,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(NAMES, below, max_size=3)),
    max_leaves=5,
)


def spoilt(data: st.DataObject, value: Any) -> Any:
    """The value with something hostile in one or several of its places."""
    if data.draw(st.integers(0, 4)) == 0:
        return data.draw(HOSTILE)
    if isinstance(value, list):
        return [spoilt(data, one) for one in value]
    if not isinstance(value, dict):
        return value
    more = data.draw(st.dictionaries(NAMES, LEAVES, max_size=1))
    return {name: spoilt(data, one) for name, one in value.items()} | more


def acting() -> Acting:
    w = world()
    top = w.grow(SOB, "top", files=["docs"])
    child, rooms = w.grow(top.id, "child"), {room.name: room for room in ROOMS}
    at = "2026-01-01T00:00:00Z"
    return Acting(top, MissionId("m1"), ("docs",), rooms, (child,), 3, at, functions=BUILT_IN)


ACTING: Final = acting()


def done(move: Move) -> None:
    """All that a turn does of it without the world."""
    asked_for([move])
    directed([move], ACTING)
    meaning = act(move, ACTING)
    if isinstance(meaning, FunctionCall):
        meaning.function.privileges(meaning.args)
        json.dumps(meaning.args.model_dump(mode="json"))
    written = SHAPES_ALONE.value(move.model_dump(mode="json"))
    assert MOVE.validate_python(json.loads(json.dumps(written))) == move


def move_or_correction(name: str, raw: Any) -> Move | str:
    try:
        return MOVE.validate_python(raw)
    except ValidationError as error:
        return faults_of(error, schema_of(name))


def read_and_done(name: str, raw: Mapping[str, Any]) -> None:
    for meant in written_anew({**raw, "move": name}):
        move = move_or_correction(name, meant)
        assert move
        if not isinstance(move, str):
            done(move)


QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def test_all_moves_and_functions_are_among_those_that_are_spoilt() -> None:
    assert set(MOVES) == set(MOVE_TYPES)
    assert set(ARGUMENTS) == set(BUILT_IN)


@QUICK
@given(st.sampled_from(sorted(MOVES)), st.data())
def test_a_spoilt_move_is_a_move_or_a_correction(name: str, data: st.DataObject) -> None:
    spoilt_fields = {key: spoilt(data, value) for key, value in MOVES[name].items()}
    read_and_done(name, spoilt_fields)


@QUICK
@given(st.sampled_from(sorted(ARGUMENTS)), st.data())
def test_a_functions_spoilt_arguments_fit_or_are_refused(name: str, data: st.DataObject) -> None:
    read_and_done("use", {"function": name, "args": spoilt(data, ARGUMENTS[name])})


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_names_no_file_is_refused_in_a_sentence(path: str) -> None:
    args = {"path": path, "text": "t"}
    meaning = act(Use(move="use", function="file/write", args=args), ACTING)
    assert isinstance(meaning, Denied)
    assert meaning.rule is Rule.FUNCTION_ARGUMENTS
    assert "path: Value error, names no file: write a name such as work/notes.md" in meaning.detail
    with pytest.raises(ValidationError) as caught:
        WriteFile(path=path, text="t")
    said = faults_of(caught.value, WriteFile.model_json_schema())
    assert said == "`path` names no file: write a name such as work/notes.md"


@pytest.mark.parametrize(
    "args",
    [{"\ud800": 1}, {"a": {"b": "\udfff"}}, {"a": float("inf")}, {"a": nested(ARGS_DEPTH_MAX)}],
)
def test_arguments_that_cannot_be_kept_are_corrected_whatever_function_they_are_of(
    args: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError) as caught:
        Use(move="use", function="web/get", args=args)
    assert "`args` must be JSON of whole characters" in faults_of(caught.value, schema_of("use"))
    deepest = {"a": nested(ARGS_DEPTH_MAX - 1)}
    done(Use(move="use", function="web/get", args=deepest))
