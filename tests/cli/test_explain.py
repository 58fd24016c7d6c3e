"""`swarmd explain`: what a refusal means, without a server and before anything heavy is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from swarmd.cli.main import main
from swarmd.core.model.refusals import Rule
from swarmd.core.queries.refusals import first_code, similar_codes
from swarmd.errors import RefusedError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")


@pytest.mark.parametrize("rule", Rule)
def test_every_refusal_is_explained_in_one_sentence_with_what_to_do_next(
    rule: Rule, capsys: Capture
) -> None:
    assert main(["explain", rule.value]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{rule.value}: {rule.meaning}\n")
    assert f"what to do: {rule.remedy}\n" in said
    for text in (rule.meaning, rule.remedy):
        assert text[0] in "`" or text[0].isupper()
        assert text.endswith(".")
        assert 10 <= len(text) <= 160


def test_without_a_code_all_refusals_are_listed(capsys: Capture) -> None:
    assert main(["explain"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [rule.value for rule in Rule]


def test_programs_are_given_the_row_and_the_list_as_json(capsys: Capture) -> None:
    assert main(["explain", "--json", "message.poison"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == {
        "code": "message.poison",
        "law": 8,
        "law_title": "Nothing is lost, nothing happens twice",
        "meaning": Rule.POISON.meaning,
        "remedy": Rule.POISON.remedy,
        "page": "docs/storage.md#dead-letters",
    }
    assert main(["explain", "--json"]) == 0
    assert row in json.loads(capsys.readouterr().out)["refusals"]


@pytest.mark.parametrize("written", ["spawn.tier", " spawn.tier ", "spawn.tier:", "SPAWN.TIER"])
def test_a_code_is_known_as_it_stands_in_an_answer(written: str, capsys: Capture) -> None:
    assert main(["explain", written]) == 0
    assert capsys.readouterr().out.startswith("spawn.tier: ")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("spawn.teir", "spawn.tier"),
        ("spawn-tier", "spawn.tier"),
        ("tier", "spawn.tier"),
        ("frozen", "stop.frozen"),
        ("exhausted", "budget.exhausted"),
        ("budget", "budget.overdraft"),
    ],
)
def test_an_unknown_code_is_not_found_and_similar_ones_are_named(
    written: str, meant: str, capsys: Capture
) -> None:
    assert main(["explain", written]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert meant in err
    assert main(["explain", written, "--json"]) == 3
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "NOT_FOUND"
    assert meant in error["hint"]


def test_nothing_is_guessed_for_what_is_like_no_code(capsys: Capture) -> None:
    assert similar_codes("\x1b[31mqqqq") == []
    assert main(["explain", "\x1b[31mqqqq"]) == 3
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "did you mean" not in err


@pytest.mark.parametrize("words", [["a.b", "c.d"], ["--unknown"], ["spawn.tier", "--all"]])
def test_other_words_are_a_usage_error(words: list[str], capsys: Capture) -> None:
    assert main(["explain", *words]) == 2
    assert capsys.readouterr().out == ""


def test_the_help_of_the_verb_is_shown(capsys: Capture) -> None:
    assert main(["explain", "--help"]) == 0
    assert "refusal" in capsys.readouterr().out


def test_it_loads_neither_the_parser_of_words_nor_a_model_library() -> None:
    code = (
        "import sys; from swarmd.cli.main import main; main(['explain', 'spawn.tier']); "
        "print(sorted({'typer', 'pydantic', 'openai', 'anyio'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_hint_of_a_refusal_says_how_to_read_about_its_rule() -> None:
    assert RefusedError("no", rule="stop.target").hint == "swarmd explain stop.target"
    both = RefusedError("no", hint="thaw what holds it", rule="stop.target").hint
    assert both == "thaw what holds it (swarmd explain stop.target)"
    assert RefusedError("no", hint="try again").hint == "try again"
    assert RefusedError("no").hint == ""


def test_a_code_is_found_in_the_text_that_names_it() -> None:
    assert first_code("mission.docket: 8 missions wait") == "mission.docket"
    assert first_code("2 motions fell, the last one: refused by spawn.role: x") == "spawn.role"
    assert first_code("see models.yaml; deadline of 30 s") == ""
