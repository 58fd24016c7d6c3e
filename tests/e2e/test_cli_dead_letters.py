"""The verbs on dead letters, over a real server; what an order says is read back from the stream
it was posted on.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.e2e.test_cli_approvals import _supervisor
from tests.e2e.test_cli_inspect import AT, Cli, Swarm, cli, peopled, swarm

__all__ = ["cli", "peopled", "swarm"]

TEXT: Final = "obey\x1b[31m me\nand go on"


def _letter(swarm: Swarm, **data: Any) -> str:
    original = {
        "channel": "inbox:a-exec1",
        "id": "7-0",
        "sender": "sob",
        "kind": "directive",
        "mission": "m-one",
        "text": TEXT,
        "at": AT,
        "data": {"n": 1},
    }
    said = {"reader": "a-exec1", "tries": 3, "original": original} | data
    return swarm.post(
        "dead",
        **{"from": "a-exec1"},
        to="",
        kind="dead",
        mission="m-one",
        at=AT,
        text="KeyError in its turn",
        data=json.dumps(said),
    )


def test_letters_are_listed_and_shown_with_nothing_that_a_terminal_obeys(
    peopled: Swarm, cli: Cli
) -> None:
    assert cli("dead", "ls")[:2] == (0, "")
    id = _letter(peopled)
    code, out, _ = cli("dead", "ls")
    assert code == 0
    for word in (id, "a-exec1", "inbox:a-exec1", "KeyError in its turn", "3"):
        assert word in out
    (value,) = json.loads(cli("dead", "ls", "--json")[1])["letters"]
    assert (value["id"], value["reader"], value["tries"], value["message"]["text"]) == (
        id,
        "a-exec1",
        3,
        TEXT,
    )
    code, out, _ = cli("dead", "show", id)
    assert code == 0
    assert "and go on" in out
    assert "\x1b" not in out
    assert json.loads(cli("dead", "show", id, "--json")[1])["message"]["data"] == {"n": 1}


@pytest.mark.parametrize(("verb", "said"), [("retry", "handed out again"), ("drop", "dropped")])
def test_a_letter_is_answered_by_an_order(peopled: Swarm, cli: Cli, verb: str, said: str) -> None:
    id = _letter(peopled)
    with _supervisor(peopled, outcome="done") as heard:
        code, out, _ = cli("dead", verb, id, "--reason", "mended", "--timeout", "10")
    assert (code, out) == (0, f"{id}: {said}\n")
    assert (heard[0]["verb"], heard[0]["target"], heard[0]["reason"]) == (verb, id, "mended")


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_an_answer_is_told_to_programs_too(peopled: Swarm, cli: Cli, verb: str) -> None:
    id = _letter(peopled)
    with _supervisor(peopled, outcome="done"):
        value = json.loads(cli("dead", verb, id, "--timeout", "10", "--json")[1])
    assert (value["letter"], value["outcome"], value["reader"]) == (id, "done", "a-exec1")


def test_what_the_law_refuses_is_told_as_refused(peopled: Swarm, cli: Cli) -> None:
    id = _letter(peopled)
    with _supervisor(peopled, outcome="refused", rule="agent.unknown", detail="it has ended"):
        code, _, err = cli("dead", "retry", id, "--timeout", "10")
    assert code == 4
    assert "agent.unknown" in err


@pytest.mark.parametrize("verb", ["show", "retry", "drop"])
@pytest.mark.parametrize("id", ["1-0", "nonsense", "9" * 30])
def test_a_letter_that_is_not_there_is_not_found(
    peopled: Swarm, cli: Cli, verb: str, id: str
) -> None:
    peopled.post("dead", **{"from": "a-x"}, to="", kind="say", mission="", at=AT, text="no letter")
    assert cli("dead", verb, id)[0] == 3
