"""The turns of an agent that ended without a final report, as a text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from swarmd.core.agent.kept_turns import CHARS_MAX, TEXT_MAX, path_of, text_of
from swarmd.core.model.functions import KEPT_TURNS, WriteFile
from swarmd.core.model.names import SOB, AgentId
from tests.core.swarm_builder import world

TOP = world().grow(SOB, "top")


def test_the_file_says_what_an_agent_was_asked_answered_and_read_in_order() -> None:
    text = text_of(
        TOP,
        [
            {"left_out": {"turns": 3, "wrote": {"a.md": None}, "created": {}, "reported": ""}},
            {"mail": [{"from": "sob", "name": "the board", "kind": "directive", "text": "Go on."}]},
            {"moves": [{"move": "use", "function": "file/read", "args": {"path": "b.md"}}]},
            {"results": [{"function": "file/read", "ok": True, "lines": ["one", "two"]}]},
            {"correction": "no JSON", "said": "Well,"},
            {"moves": [{"move": "think", "text": "It is b."}]},
        ],
        "budget.exhausted",
        ("file",),
    )
    wanted = (
        TOP.id,
        "ended before its final report: budget.exhausted",
        "untrusted text: file",
        "Your first 3 turns are left out",
        "It was told (directive from the board)\nGo on.",
        "It answered: use\nfunction: file/read",
        "lines:\none\ntwo",
        "could not be used\nno JSON\nWell,",
        "It answered: think\ntext: It is b.",
    )
    places = [text.index(words) for words in wanted]
    assert places == sorted(places)


def test_of_turns_that_are_too_long_the_newest_stay() -> None:
    long = [{"moves": [{"move": "think", "text": f"{n} " * 5_000}]} for n in range(100)]
    text = text_of(TOP, long, "enough", ())
    assert len(text) <= CHARS_MAX + 10
    assert "99 99" in text
    assert "\n0 0" not in text
    assert "what came before is left out" in text
    cut = text_of(TOP, long[:1], "enough", ())
    assert len(cut) < TEXT_MAX + 500
    assert "[… cut]" in cut


def test_two_agents_of_one_name_have_two_files() -> None:
    first, second = path_of(TOP), path_of(replace(TOP, id=AgentId("a-other")))
    assert first != second
    assert first.startswith(KEPT_TURNS)


@pytest.mark.parametrize("path", ["work/turns/a.md", "turns/a.md", "./work//turns/./x/y", "turns"])
def test_no_agent_writes_among_the_kept_turns(path: str) -> None:
    with pytest.raises(ValidationError, match="supervisor alone"):
        WriteFile(path=path, text="forged")


def test_what_is_only_called_alike_may_be_written() -> None:
    for path in ("turns.md", "work/turns.md", "work/a/turns/b.md", "returns/a.md"):
        assert WriteFile(path=path, text="mine").path == path
