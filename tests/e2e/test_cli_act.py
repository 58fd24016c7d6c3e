"""The verbs that act, over a real server; the supervisor is a fake that answers orders in the journal."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from swarmd.adapters.embedded import EmbeddedServer
from swarmd.adapters.redis.view import Bell, bell_of, view_of
from swarmd.cli import act
from swarmd.cli.exits import Exit, RefusedError, TimedOutError
from swarmd.cli.look import Sight
from swarmd.cli.text import Ink
from swarmd.core.messages import Message
from swarmd.core.names import JOURNAL, RESULTS, Channel, MissionId
from swarmd.errors import NotFoundError, UsageError
from tests.e2e.test_cli_look import AT, Cli, Swarm, cli, peopled, swarm

__all__ = ["cli", "peopled", "swarm"]


class Supervisor:
    """Answers an order as it is posted, with the journal entries that it was told to give."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.answers: list[dict[str, Any]] = []
        self.posted: list[tuple[str, Message]] = []

    def post(self, channel: Channel, message: Message, key: str) -> str:
        self.posted.append((channel, message))
        if message.data.get("verb") == "cancel":
            self.swarm.mission(message.to, state="cancelled")
        for answer in self.answers:
            data = {"order": message.data.get("order"), **answer}
            self.swarm.post(
                "journal",
                **{"from": "supervisor"},
                to="",
                kind="entry",
                mission="",
                at=AT,
                text="",
                data=json.dumps(data),
            )
        return "1-0"


@pytest.fixture
def supervisor(peopled: Swarm) -> Supervisor:
    return Supervisor(peopled)


@pytest.fixture
def sight(server: EmbeddedServer, namespace: str) -> Iterator[Sight]:
    with closing(view_of(server.socket, namespace)) as view:
        yield Sight(view, Ink(), as_json=True)


@pytest.fixture
def bell(server: EmbeddedServer, namespace: str) -> Iterator[Bell]:
    with closing(bell_of(server.socket, namespace, JOURNAL, RESULTS)) as bell:
        yield bell


def given(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


# --- terminate, cancel ------------------------------------------------------------------------


def test_terminate_waits_past_the_fence_for_the_verified_end(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.answers = [
        {"outcome": "fenced"},
        {"outcome": "done", "confirmed": 2, "unconfirmed": 0, "unreachable": 0},
    ]
    code = act.terminate(sight, supervisor.post, act.Waiting.of(bell, 5), "atlas", "enough", is_awaited=True)
    assert code == Exit.DONE
    assert given(capsys)["confirmed"] == 2
    channel, order = supervisor.posted[0]
    assert (channel, order.sender, order.kind.value, order.to) == ("orders", "operator", "order", "a-exec1")
    assert (order.text, order.data["verb"], order.data["target"]) == ("enough", "terminate", "a-exec1")
    assert order.data["reason"] == "enough"


def test_a_kill_that_was_not_seen_is_no_success(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.answers = [{"outcome": "done", "confirmed": 1, "unconfirmed": 0, "unreachable": 1}]
    code = act.terminate(sight, supervisor.post, act.Waiting.of(bell, 5), "a-exec1", "", is_awaited=True)
    assert code == Exit.FAILED
    assert given(capsys)["unreachable"] == 1


def test_a_refusal_names_its_rule(supervisor: Supervisor, sight: Sight, bell: Bell) -> None:
    supervisor.answers = [
        {"outcome": "refused", "rule": "terminate.descendant", "detail": "picard is the board's"}
    ]
    with pytest.raises(RefusedError, match=r"terminate\.descendant: picard is the board's"):
        act.terminate(sight, supervisor.post, act.Waiting.of(bell, 5), "picard", "", is_awaited=True)


def test_the_answer_to_another_order_is_not_taken_for_ours(
    supervisor: Supervisor, sight: Sight, bell: Bell
) -> None:
    supervisor.answers = [{"order": "o-other", "outcome": "done"}]
    with pytest.raises(TimedOutError):
        act.terminate(sight, supervisor.post, act.Waiting.of(bell, 0.05), "a-exec1", "", is_awaited=True)


def test_what_has_ended_is_not_ordered_to_end_again(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        act.terminate(sight, supervisor.post, act.Waiting.of(bell, 5), "a-exec2", "", is_awaited=True)
        == Exit.DONE
    )
    assert supervisor.posted == []
    supervisor.swarm.mission("m-old", state="delivered")
    with pytest.raises(RefusedError, match="ended already"):
        act.cancel(sight, supervisor.post, act.Waiting.of(bell, 5), "m-old", "", is_awaited=True)


def test_cancel_is_for_missions_and_terminate_for_agents(
    supervisor: Supervisor, sight: Sight, bell: Bell
) -> None:
    waiting = act.Waiting.of(bell, 5)
    with pytest.raises(NotFoundError):
        act.cancel(sight, supervisor.post, waiting, "a-exec1", "", is_awaited=True)
    with pytest.raises(UsageError):
        act.terminate(sight, supervisor.post, waiting, "m-one", "", is_awaited=True)
    assert supervisor.posted == []


def test_cancel_tells_the_state_and_the_verified_end(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.answers = [{"outcome": "done", "confirmed": 2, "unconfirmed": 0, "unreachable": 0}]
    assert (
        act.cancel(sight, supervisor.post, act.Waiting.of(bell, 5), "m-one", "", is_awaited=True) == Exit.DONE
    )
    assert (value := given(capsys))["mission"] == "m-one"
    assert (value["confirmed"], value["state"]) == (2, "cancelled")


# --- say --------------------------------------------------------------------------------------


def test_say_reaches_a_room_or_one_agent_as_the_operator(supervisor: Supervisor, sight: Sight) -> None:
    supervisor.swarm.wire.command("HSET", supervisor.swarm.key("_state:picard"), "p:room:sob", "0-0")
    supervisor.swarm.wire.command(
        "HSET", supervisor.swarm.key("_state:a-sub1"), "p:room:workshop-m-one", "0-0"
    )
    for channel in ("room:sob", "room:workshop-m-one", "inbox:scout"):
        assert act.say(sight, supervisor.post, channel, "hear me") == Exit.DONE
    told = [(channel, message.sender, message.to) for channel, message in supervisor.posted]
    assert told == [
        ("room:sob", "operator", ""),
        ("room:workshop-m-one", "operator", ""),
        ("inbox:a-sub1", "operator", "a-sub1"),
    ]


def test_what_is_said_is_stored_marked_and_rung(cli: Cli, peopled: Swarm, bell: Bell) -> None:
    code, out, err = cli("say", "inbox:scout", "turn back", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert json.loads(cli("tail", said["channel"], "--json", "--no-follow")[1])["text"] == "turn back"
    assert peopled.wire.command("ZSCORE", peopled.key("_heads"), "inbox:a-sub1") is not None


def test_an_order_without_waiting_is_posted_for_the_supervisor(cli: Cli, peopled: Swarm) -> None:
    code, out, err = cli("terminate", "scout", "--no-wait", "--reason", "enough")
    assert (code, out) == (0, "a-sub1\n")
    assert "swarmd tail journal" in err
    order = json.loads(cli("tail", "orders", "--json", "--no-follow")[1])
    assert (order["from"], order["kind"], order["text"]) == ("operator", "order", "enough")
    assert (order["data"]["verb"], order["data"]["target"]) == ("terminate", "a-sub1")


def test_an_order_that_nobody_answers_times_out_with_six(cli: Cli, peopled: Swarm) -> None:
    assert cli("terminate", "scout", "--timeout", "0.1")[0] == 6


@pytest.mark.parametrize("channel", ["room:nowhere", "inbox:nobody"])
def test_saying_something_where_nobody_is_is_not_found(
    channel: str, supervisor: Supervisor, sight: Sight
) -> None:
    with pytest.raises(NotFoundError):
        act.say(sight, supervisor.post, channel, "hello")
    assert supervisor.posted == []


@pytest.mark.parametrize(
    ("channel", "text"), [("journal", "x"), ("room:", "x"), ("down:sob", "x"), ("room:sob", "  ")]
)
def test_the_operator_cannot_speak_in_others_names_or_say_nothing(
    channel: str, text: str, supervisor: Supervisor, sight: Sight
) -> None:
    with pytest.raises(UsageError):
        act.say(sight, supervisor.post, channel, text)


# --- submit -----------------------------------------------------------------------------------


def test_submit_stores_the_contracts_fields_and_prints_the_id(cli: Cli, swarm: Swarm) -> None:
    code, out, err = cli(
        "submit", "Find it", "a.md", "--files", "docs", "--budget", "tokens=9", "--deadline", "60"
    )
    entries = swarm.wire.command("XRANGE", swarm.key("missions"), "-", "+")
    assert isinstance(entries, list)
    assert isinstance(entries[0], list)
    flat = [word.decode() for word in entries[0][1]]  # type: ignore[union-attr]  # an entry's second part is its fields
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    assert (code, out.strip()) == (0, fields["id"])
    assert fields["id"].startswith("m-")
    assert "no supervisor leads" in err
    assert (fields["mission"], json.loads(fields["files"]), json.loads(fields["budget"])) == (
        "Find it",
        ["docs", "a.md"],
        {"tokens": 9},
    )


def test_an_id_with_other_content_is_refused_and_stores_nothing(cli: Cli, peopled: Swarm) -> None:
    code, _, err = cli("submit", "Another thing", "--id", "m-one")
    assert code == 4
    assert "mission.conflict" in err
    assert peopled.wire.command("EXISTS", peopled.key("missions")) == 0


def test_bad_missions_are_usage_errors_and_store_nothing(
    cli: Cli, swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (
        [
            "",
        ],
        [" "],
        ["ok", "--id", "a b"],
        ["ok", "--budget", "{"],
        ["ok", "--deadline", "-1"],
        [],
    ):
        assert cli("submit", *arguments)[0] == 2, arguments
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x" * 1_000_001)))
    assert cli("submit", "-")[0] == 2
    assert swarm.wire.command("EXISTS", swarm.key("missions")) == 0


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        ("delivered", "", 0),
        ("rejected", "no", 4),
        ("failed", "deadline", 6),
        ("failed", "x", 1),
        ("exhausted", "y", 8),
    ],
)
def test_waiting_ends_with_the_missions_end(
    state: str,
    reason: str,
    code: int,
    swarm: Swarm,
    sight: Sight,
    bell: Bell,
    capsys: pytest.CaptureFixture[str],
) -> None:
    swarm.mission("m-1", state=state, reason=reason, result="The answer", ended=AT)
    swarm.ledger("m-1", 12)
    assert act.await_mission(sight, act.Waiting.of(bell, 5), MissionId("m-1")) == code
    assert (value := given(capsys))["spent"] == {"tokens": 12, "calls": 1}
    assert value["result"] == "The answer"


def test_a_delivered_result_stands_alone_on_standard_output(
    swarm: Swarm, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    swarm.mission("m-1", state="delivered", result="The\nanswer \x1b[2J", ended=AT)
    person = Sight(sight.view, Ink(), as_json=False)
    act.await_mission(person, act.Waiting.of(bell, 5), MissionId("m-1"))
    out, err = capsys.readouterr()
    assert out == "The\nanswer \\x1b[2J\n"
    assert "m-1: delivered" in err


def test_what_never_became_a_mission_is_heard_of_on_results(
    swarm: Swarm, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.dumps({"state": "rejected", "reason": "mission.invalid: empty"})
    swarm.post("results", **{"from": "sob"}, to="", kind="result", mission="m-1", at=AT, text="no", data=data)
    assert act.await_mission(sight, act.Waiting.of(bell, 5), MissionId("m-1")) == Exit.REFUSED


def test_waiting_for_a_mission_has_an_end_of_its_own(swarm: Swarm, sight: Sight, bell: Bell) -> None:
    swarm.mission("m-1", state="working")
    with pytest.raises(TimedOutError):
        act.await_mission(sight, act.Waiting.of(bell, 0.05), MissionId("m-1"))
