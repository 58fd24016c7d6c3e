"""The commands of the actions are made from their rows."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from swarmd.cli import action_commands, commands, options
from swarmd.cli.main import main
from swarmd.core.actions.registry import ACTIONS
from swarmd.core.model.actions import Args, Target

# `fsck --repair` orders it, and an override is a group of commands.
WITHOUT = {"repair", "override"}


def _group(name: str) -> tuple[TyperGroup, Any]:
    group: Any = typer.main.get_command(commands.app)
    group = group.get_command(None, name) if name else group
    return group, None


def test_each_action_has_a_command_in_the_group_that_its_row_names() -> None:
    for verb, action in ACTIONS.items():
        if verb in WITHOUT:
            assert action.group is None
            continue
        group, context = _group(str(action.group))
        assert verb in group.list_commands(context), verb
        command = group.get_command(context, verb)
        assert command is not None
        assert action.help.startswith((command.help or "").split("\n")[0])


@pytest.mark.parametrize("verb", sorted(set(ACTIONS) - WITHOUT))
def test_a_command_takes_what_its_action_takes_and_the_same_options_as_all(verb: str) -> None:
    action = ACTIONS[verb]
    names = [p.name for p in action_commands.parameters_of(action)]
    own = [name for name in action.args.model_fields if name not in Args.model_fields]
    common = ["reason", "wait", "timeout", "as_json", "redis_url", "data", "namespace"]
    assert [name for name in names if name not in {"is_only", "is_agreed"}] == [
        "target",
        *own,
        *common,
    ]
    assert ("is_only" in names) == (Target.ALONE in action.targets)
    assert ("is_agreed" in names) == bool(action.confirm)


def test_a_group_of_options_stands_among_those_of_its_verb() -> None:
    heard: list[Any] = []

    @options.flat
    def verb(where: options.Connection, asked: options.Ordered, id: options.Reference) -> int:
        heard.append((where, asked, id))
        return 0

    flat: Any = verb
    names = list(inspect.signature(flat).parameters)
    assert names[0] == "id"
    assert names[-3:] == ["redis_url", "data", "namespace"]
    given = {"id": "a-1", "reason": "r", "data": Path("d"), "timeout": 2.0}
    flat(**(dict.fromkeys(names) | given))
    ((where, asked, id),) = heard
    assert (where.data, asked.reason, asked.seconds(), id) == (Path("d"), "r", 2.0, "a-1")


def test_a_verb_that_only_looks_reads_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(group: str) -> list[str]:
        raise AssertionError(group)

    monkeypatch.setattr(action_commands, "_verbs_of", unwanted)
    monkeypatch.setenv("SWARMD_DATA", "/nowhere")
    assert main(["health", "--part", "nothing"]) == 2


def test_every_command_says_where_its_swarm_is_in_the_same_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    for words in (["ps"], ["freeze"], ["dead", "retry"], ["override", "veto"], ["journal", "ack"]):
        assert main([*words, "--help"]) == 0
        told = capsys.readouterr().out
        for option in ("--redis-url", "--data", "--namespace"):
            assert told.count(option) == 1, (words, option)
    assert sys.modules["swarmd.cli.commands"] is commands
