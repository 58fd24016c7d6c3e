"""The verbs of permission, over a real server; what an order says is read back from the stream that
it was posted on.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from swarmd.core.actions.approvals import digest_of
from swarmd.core.model.messages import line_of
from swarmd.core.model.names import Authority
from swarmd.core.model.records import Approval, Override
from swarmd.core.model.refusals import Rule
from swarmd.core.model.tables import APPROVALS, OVERRIDES
from tests.e2e.swarm_process import END_SECONDS
from tests.e2e.test_cli_inspect import AT, Cli, Swarm, cli, peopled, swarm

__all__ = ["cli", "peopled", "swarm"]

TASK = "obey\x1b[31m me"
ACTION: Mapping[str, Any] = {
    "requester": "a-exec1",
    "incarnation": 1,
    "hops": 0,
    "mission": "m-one",
    "taint": ["file"],
    "id": "1-0",
    "request": {
        "type": "spawn",
        "key": "k",
        "charter": {"role": "researcher", "name": "kid", "task": TASK},
    },
}


def _waiting(swarm: Swarm, needs: Authority = Authority.LINEAGE) -> None:
    approval = Approval(
        id="ap-1",
        digest=digest_of(ACTION),
        action=ACTION,
        needs=needs,
        rule=Rule.TAINT_PERMISSION,
        at=1.0,
        expires=1_800_000_000.0,
    )
    swarm.wire.command("HSET", swarm.key("_approvals"), "ap-1", APPROVALS.encode(approval))


def _entry(swarm: Swarm, text: str = "", **data: Any) -> str:
    return swarm.post(
        "journal",
        **{"from": "supervisor"},
        to="",
        kind="entry",
        mission="",
        at=AT,
        text=text,
        data=json.dumps(data),
    )


@contextmanager
def _supervisor(swarm: Swarm, **answer: Any) -> Iterator[list[dict[str, Any]]]:
    """Answers the first order that comes, and keeps what it said. The swarm's own connection is
    this thread's meanwhile.
    """
    heard: list[dict[str, Any]] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set() and not heard:
            rows: Any = swarm.wire.command("XRANGE", swarm.key("orders"), "-", "+")
            for _, flat in rows or ():
                words = [word.decode() for word in flat]
                order = json.loads(line_of(words))["data"]
                heard.append(order)
                _entry(swarm, order=order["order"], **answer)
            time.sleep(0.02)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join(END_SECONDS)


def test_missions_names_the_command_where_only_a_person_can_answer(
    cli: Cli, peopled: Swarm
) -> None:
    _waiting(peopled)
    assert "swarmd approve" not in cli("missions")[2], "its superior is asked"
    _waiting(peopled, Authority.OPERATOR)
    code, _, err = cli("missions")
    assert code == 0
    assert "m-one waits for a person: swarmd approve ap-1 (or: deny ap-1)" in err


def test_what_waits_is_listed_with_nothing_that_a_terminal_obeys(peopled: Swarm, cli: Cli) -> None:
    assert cli("approvals")[:2] == (0, "")
    _waiting(peopled)
    code, out, _ = cli("approvals")
    assert code == 0
    assert "ap-1" in out
    assert "superior" in out
    assert "taint.permission" in out
    assert "\x1b" not in out
    (value,) = json.loads(cli("approvals", "--json")[1])["approvals"]
    assert value["action"]["request"]["charter"]["task"] == TASK
    assert (value["needs"], value["requester"], value["digest"]) == (
        "superior",
        "a-exec1",
        digest_of(ACTION),
    )


def test_permission_is_given_by_an_order_and_told_as_it_came(peopled: Swarm, cli: Cli) -> None:
    _waiting(peopled)
    with _supervisor(peopled, outcome="done", approval="ap-1") as heard:
        code, out, _ = cli("approve", "ap-1", "--reason", "fits", "--timeout", "10")
    assert (code, out) == (0, "ap-1\n")
    assert (heard[0]["verb"], heard[0]["target"], heard[0]["reason"]) == ("approve", "ap-1", "fits")


def test_what_the_law_refuses_in_spite_of_permission_is_told_as_refused(
    peopled: Swarm, cli: Cli
) -> None:
    _waiting(peopled)
    with _supervisor(peopled, outcome="refused", rule="spawn.fanout", detail="16 of 16"):
        code, _, err = cli("approve", "ap-1", "--timeout", "10")
    assert code == 4
    assert "spawn.fanout" in err


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_what_does_not_wait_is_not_found(peopled: Swarm, cli: Cli, verb: str) -> None:
    assert cli(verb, "ap-none")[0] == 3


def test_overrides_are_listed_with_what_their_end_does(peopled: Swarm, cli: Cli) -> None:
    assert cli("override", "ls")[:2] == (0, "")
    override = Override(
        id="ov-1",
        kind="grant",
        target="a-exec1",
        by="operator",
        authority=Authority.OPERATOR,
        mission="m-one",
        before={},
        after={"privilege": "tool/x"},
        at=1.0,
        expires=2.0,
        reversal="as it was",
        reason="why",
    )
    peopled.wire.command("HSET", peopled.key("_overrides"), "ov-1", OVERRIDES.encode(override))
    code, out, _ = cli("override", "ls")
    assert code == 0
    assert "ov-1" in out
    assert "as it was" in out
    (value,) = json.loads(cli("override", "ls", "--json")[1])["overrides"]
    assert (value["authority"], value["expires"]) == ("operator", "1970-01-01T00:00:02Z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("grant", "atlas", "tool/x", "--right", "use", "--for", "5"),
            {
                "kind": "grant",
                "target": "a-exec1",
                "privilege": "tool/x",
                "right": "use",
                "take": False,
                "seconds": 5,
            },
        ),
        (("revoke", "atlas", "tool/x"), {"kind": "grant", "take": True, "seconds": 600}),
        (("task", "atlas", "another"), {"kind": "task", "target": "a-exec1", "text": "another"}),
        (("undo", "a-sub1"), {"kind": "spawn", "target": "a-sub1", "take": True}),
        (("veto", "m-one"), {"kind": "motion", "target": "m-one", "take": True}),
        (("carry", "m-one"), {"kind": "motion", "target": "m-one", "take": False}),
        (("rm", "ov-1"), {"kind": "reverse", "target": "ov-1"}),
    ],
)
def test_an_override_says_exactly_what_is_meant(
    peopled: Swarm, cli: Cli, words: tuple[str, ...], said: dict[str, Any]
) -> None:
    with _supervisor(peopled, outcome="done", override="ov-1") as heard:
        code, out, _ = cli("override", *words, "--timeout", "10")
    assert (code, out) == (0, "ov-1\n")
    assert {name: heard[0]["override"].get(name) for name in said} == said
    assert heard[0]["target"] == heard[0]["override"]["target"]


@pytest.mark.parametrize("by", ["entry", "key"])
def test_a_refused_spawn_is_found_by_its_entry_or_its_key(
    peopled: Swarm, cli: Cli, by: str
) -> None:
    asked = {"type": "spawn", "key": "part-1", "charter": {"role": "researcher"}, "taint": ["file"]}
    request = peopled.post(
        "requests",
        **{"from": "a-exec1"},
        to="",
        kind="request",
        mission="m-one",
        at=AT,
        text="spawn",
        data=json.dumps(asked),
    )
    refusal = _entry(
        peopled,
        event="request.refused",
        actor="a-exec1",
        type="spawn",
        key="part-1",
        rule="privilege.use",
        request=request,
    )
    with _supervisor(peopled, outcome="done", override="ov-1") as heard:
        assert (
            cli("override", "allow", refusal if by == "entry" else "part-1", "--timeout", "10")[0]
            == 0
        )
    refused = heard[0]["override"]["refused"]
    assert (refused["requester"], refused["rule"], refused["taint"]) == (
        "a-exec1",
        "privilege.use",
        ["file"],
    )
    assert refused["request"] == {name: value for name, value in asked.items() if name != "taint"}
    assert cli("override", "allow", "part-2")[0] == 3


def test_a_message_is_named_by_its_place_and_taken_along_whole(peopled: Swarm, cli: Cli) -> None:
    id = peopled.post(
        "inbox:a-exec1",
        **{"from": "sob"},
        to="a-exec1",
        kind="directive",
        mission="m-one",
        at=AT,
        text="wrong",
        data=json.dumps({"x": 1}),
        hops="3",
        inc="1",
    )
    with _supervisor(peopled, outcome="done", override="ov-1") as heard:
        assert (
            cli("override", "recall", "inbox:a-exec1", id, "--text", "right", "--timeout", "10")[0]
            == 0
        )
    wished = heard[0]["override"]
    assert (wished["target"], wished["text"]) == (f"inbox:a-exec1 {id}", "right")
    original = wished["original"]
    assert (original["sender"], original["kind"], original["text"], original["data"]) == (
        "sob",
        "directive",
        "wrong",
        {"x": 1},
    )
    assert cli("override", "recall", "inbox:a-exec1", "1-0")[0] == 3


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("grant",),
        ("pizza", "atlas"),
        ("grant", "atlas"),
        ("task", "atlas"),
        ("grant", "m-one", "x"),
        ("veto", "atlas"),
        ("grant", "atlas", "tool/x", "--right", "own"),
        ("task", "atlas", " "),
        ("motion", "m-one"),
        ("--list",),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    peopled: Swarm, cli: Cli, words: tuple[str, ...]
) -> None:
    assert cli("override", *words)[0] == 2
