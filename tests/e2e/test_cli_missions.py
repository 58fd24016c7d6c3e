"""The verbs that act, over a real server; the supervisor is a fake that answers orders in the
journal.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarmd.adapters import halt_file
from swarmd.adapters.halt_file import Word
from swarmd.adapters.redis.reader import Bell, bell_of, view_of
from swarmd.adapters.server.embedded import EmbeddedServer
from swarmd.cli import order_client
from swarmd.cli.amounts import amounts_of
from swarmd.cli.exit_codes import Exit, TimedOutError
from swarmd.cli.main import main
from swarmd.cli.options import HandOver
from swarmd.cli.render.text import Ink
from swarmd.cli.session import Sight
from swarmd.cli.verbs import missions, orders, result, rights, say
from swarmd.cli.verbs.targets import Wish, meant
from swarmd.core.bus.envelope import Seal
from swarmd.core.model.channels import JOURNAL, RESULTS
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel, MissionId
from swarmd.errors import NotFoundError, RefusedError, SwarmError, UsageError
from swarmd.settings import Settings
from tests.conftest import HANG_SECONDS, SECRET
from tests.e2e.test_cli_inspect import AT, Cli, Swarm, cli, peopled, swarm

__all__ = ["cli", "peopled", "swarm"]


class Supervisor:
    """Answers an order as it is posted, with the journal entries that it was told to give."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.answers: list[dict[str, Any]] = []
        self.posted: list[tuple[str, Message]] = []

    def post(self, channel: Channel, message: Message, key: str) -> str:
        self.posted.append((channel, message))
        if message.to.startswith("m-"):
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
                text=data.pop("text", ""),
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
    code = orders.terminate(
        sight,
        supervisor.post,
        order_client.Waiting.of(bell, HANG_SECONDS),
        Wish("terminate", "atlas", "enough"),
        is_awaited=True,
    )
    assert code == Exit.DONE
    assert given(capsys)["confirmed"] == 2
    channel, order = supervisor.posted[0]
    assert (channel, order.sender, order.kind.value, order.to) == (
        "orders",
        "operator",
        "order",
        "a-exec1",
    )
    assert (order.text, order.data["verb"], order.data["target"]) == (
        "enough",
        "terminate",
        "a-exec1",
    )
    assert order.data["reason"] == "enough"


def test_a_kill_that_was_not_seen_is_no_success(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.answers = [{"outcome": "done", "confirmed": 1, "unconfirmed": 0, "unreachable": 1}]
    code = orders.terminate(
        sight,
        supervisor.post,
        order_client.Waiting.of(bell, HANG_SECONDS),
        Wish("terminate", "a-exec1", ""),
        is_awaited=True,
    )
    assert code == Exit.FAILED
    assert given(capsys)["unreachable"] == 1


def test_an_end_that_is_ignored_is_named_with_what_ignores_it(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "a-sub1 ignores its end on h-1: file/write"
    stuck = {"event": "agent.stuck", "order": "", "agent": "a-sub1", "text": text}
    supervisor.answers = [
        {"event": "subtree.fenced", "outcome": "fenced", "segment": "a-exec1"},
        stuck | {"segment": "a-other", "agent": "a-else"},
        stuck | {"segment": "a-exec1"},
        {
            "event": "subtree.ended",
            "outcome": "done",
            "confirmed": 1,
            "unconfirmed": 1,
            "unreachable": 0,
        },
    ]
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    wish = Wish("terminate", "atlas")
    assert orders.terminate(sight, supervisor.post, waiting, wish, is_awaited=True) == Exit.FAILED
    assert given(capsys)["busy"] == {"a-sub1": "file/write"}


def test_a_refusal_names_its_rule(supervisor: Supervisor, sight: Sight, bell: Bell) -> None:
    supervisor.answers = [
        {"outcome": "refused", "rule": "terminate.descendant", "detail": "picard is the board's"}
    ]
    with pytest.raises(RefusedError, match=r"terminate\.descendant: picard is the board's"):
        orders.terminate(
            sight,
            supervisor.post,
            order_client.Waiting.of(bell, HANG_SECONDS),
            Wish("terminate", "picard", ""),
            is_awaited=True,
        )


def test_the_answer_to_another_order_is_not_taken_for_ours(
    supervisor: Supervisor, sight: Sight, bell: Bell
) -> None:
    supervisor.answers = [{"order": "o-other", "outcome": "done"}]
    with pytest.raises(TimedOutError):
        orders.terminate(
            sight,
            supervisor.post,
            order_client.Waiting.of(bell, 0.05),
            Wish("terminate", "a-exec1", ""),
            is_awaited=True,
        )


def test_what_has_ended_is_not_ordered_to_end_again(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        orders.terminate(
            sight,
            supervisor.post,
            order_client.Waiting.of(bell, HANG_SECONDS),
            Wish("terminate", "a-exec2", ""),
            is_awaited=True,
        )
        == Exit.DONE
    )
    assert supervisor.posted == []
    supervisor.swarm.mission("m-old", state="delivered")
    with pytest.raises(RefusedError, match="ended already"):
        orders.cancel(
            sight,
            supervisor.post,
            order_client.Waiting.of(bell, HANG_SECONDS),
            Wish("cancel", "m-old", ""),
            is_awaited=True,
        )


def test_cancel_is_for_missions_alone(supervisor: Supervisor, sight: Sight, bell: Bell) -> None:
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    with pytest.raises(NotFoundError):
        orders.cancel(
            sight, supervisor.post, waiting, Wish("cancel", "a-exec1", ""), is_awaited=True
        )
    assert supervisor.posted == []


def test_cancel_tells_the_state_and_the_verified_end(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.answers = [{"outcome": "done", "confirmed": 2, "unconfirmed": 0, "unreachable": 0}]
    assert (
        orders.cancel(
            sight,
            supervisor.post,
            order_client.Waiting.of(bell, HANG_SECONDS),
            Wish("cancel", "m-one", ""),
            is_awaited=True,
        )
        == Exit.DONE
    )
    assert (value := given(capsys))["mission"] == "m-one"
    assert (value["confirmed"], value["state"]) == (2, "cancelled")


# --- what is stopped ----------------------------------------------------------------------------


def test_an_order_names_what_a_person_means(
    supervisor: Supervisor, sight: Sight, bell: Bell
) -> None:
    supervisor.swarm.wire.command(
        "HSET", supervisor.swarm.key("_state:a-sub1"), "p:room:den-m-one", "0-0"
    )
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    for reference, is_only, target in (
        ("scout", False, "a-sub1"),
        ("a-s", True, "=a-sub1"),
        ("=scout", False, "=a-sub1"),
        ("m-one", False, "m-one"),
        ("tier:2", False, "tier:2"),
        ("tool:model/**", False, "use:model/**"),
        ("use:model/x", False, "use:model/x"),
        ("room:den-m-one", False, "room:den-m-one"),
        ("room:den", False, "room:den"),  # of every mission
        ("all", False, "*"),
    ):
        orders.stop(
            sight,
            supervisor.post,
            waiting,
            Wish("freeze", reference, "", is_only),
            is_awaited=False,
        )
        order = supervisor.posted[-1][1]
        assert (order.data["verb"], order.data["target"], order.to) == ("freeze", target, target)


def test_a_stop_says_what_it_replaces_and_that_nobody_is_under_it(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    _stop(supervisor.swarm, "m-one", reason="a closer look")
    for target, said in (
        ("m-one", "it replaces the freeze by operator: a closer look"),
        ("tier:9", "nobody stands at tier 9 now"),
        ("tool:model/nope:x", "nobody holds model/nope:x now"),
        ("tier:2", ""),
        ("scout", ""),
    ):
        capsys.readouterr()
        orders.stop(sight, supervisor.post, waiting, Wish("freeze", target, ""), is_awaited=False)
        err = capsys.readouterr().err
        assert (said in err) if said else ("replaces" not in err and "nobody" not in err), (
            target,
            err,
        )


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ("tool:file/write", "use:tool/file/write"),
        ("tool:tool/file/write", "use:tool/file/write"),
        ("tool:tool/**", "use:tool/**"),
        ("tool:**", "use:**"),
        ("tool:model/**", "use:model/**"),
        ("board", "sob"),
    ],
)
def test_a_function_is_meant_by_its_name_or_its_privilege_and_the_board_by_both_of_its(
    said: str, target: str, sight: Sight, peopled: Swarm
) -> None:
    assert meant(sight.reader, Wish("freeze", said)).target == target


def test_terminate_all_says_plainly_that_nothing_is_there_to_end(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.swarm.mission("m-one", state="delivered")
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    wish = Wish("terminate", "all", "")
    assert orders.terminate(sight, supervisor.post, waiting, wish, is_awaited=True) == Exit.DONE
    out, err = capsys.readouterr()
    assert json.loads(out)["outcome"] == "done"
    assert "no mission is open" in err
    assert supervisor.posted == []


@pytest.mark.parametrize("verb", ["freeze", "halt", "drain", "thaw"])
def test_a_mission_that_has_ended_is_stopped_no_more_and_is_told_how_it_ended(
    verb: str, supervisor: Supervisor, sight: Sight, bell: Bell, tmp_path: Path
) -> None:
    supervisor.swarm.wire.command(
        "HSET", supervisor.swarm.key("mission:m-one"), "state", "delivered"
    )
    waiting, wish = order_client.Waiting.of(bell, HANG_SECONDS), Wish(verb, "m-one", "")
    do = partial(orders.thaw, data=tmp_path) if verb == "thaw" else orders.stop
    with pytest.raises(RefusedError, match="has ended already: delivered"):
        do(sight, supervisor.post, waiting, wish, is_awaited=False)
    assert supervisor.posted == []


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (Wish("freeze", "nobody"), NotFoundError),
        (Wish("freeze", "room:nowhere"), NotFoundError),
        (Wish("freeze", "tier:x"), UsageError),
        (Wish("freeze", "tool:a b"), UsageError),
        (Wish("freeze", "tool:nope"), NotFoundError),
        (Wish("freeze", "tool:tool/nope"), NotFoundError),
        (Wish("freeze", "m-one", is_only=True), UsageError),
        (Wish("freeze", "all", is_only=True), UsageError),
        (Wish("drain", "scout", is_only=True), UsageError),
    ],
)
def test_what_cannot_be_meant_is_ordered_of_nobody(
    wish: Wish, error: type[Exception], supervisor: Supervisor, sight: Sight, bell: Bell
) -> None:
    with pytest.raises(error):
        orders.stop(
            sight,
            supervisor.post,
            order_client.Waiting.of(bell, HANG_SECONDS),
            wish,
            is_awaited=True,
        )
    assert supervisor.posted == []


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ((2, 0, 0), Exit.DONE),
        ((0, 0, 0), Exit.DONE),
        ((1, 1, 0), Exit.FAILED),
        ((1, 0, 1), Exit.FAILED),
    ],
)
def test_a_stop_is_done_only_where_all_were_seen_to_stand_still(
    counts: tuple[int, int, int],
    code: Exit,
    supervisor: Supervisor,
    sight: Sight,
    bell: Bell,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = dict(zip(("confirmed", "unconfirmed", "unreachable"), counts, strict=True))
    busy = {"a-sub1": "file/write"} if counts[1] else {}
    supervisor.answers = [{"outcome": "marked"}, {"outcome": "done", "busy": busy, **seen}]
    person = Sight(sight.reader, Ink(), as_json=False)
    done = orders.stop(
        person,
        supervisor.post,
        order_client.Waiting.of(bell, HANG_SECONDS),
        Wish("halt", "atlas"),
        is_awaited=True,
    )
    out, err = capsys.readouterr()
    assert done == code
    assert (
        out
        == "a-exec1: {confirmed} confirmed, {unconfirmed} unconfirmed, {unreachable} unreachable\n".format(
            **seen
        )
    )
    assert ("still busy: a-sub1 in file/write" in err) == bool(busy)


def _stop(swarm: Swarm, target: str, kind: str = "freeze", **facts: Any) -> None:
    why = {"authority": 3, "reason": "wait", "by": "operator", "at": 1.0} | facts
    swarm.wire.command("HSET", swarm.key("_stops"), target, f"{kind} {json.dumps(why)}")


def test_a_thaw_tells_what_remains_stopped_above(
    supervisor: Supervisor,
    sight: Sight,
    bell: Bell,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    supervisor.answers = [{"outcome": "done"}]
    for target, kind in (("m-one", "freeze"), ("tier:2", "halt"), ("tier:1", "freeze")):
        _stop(supervisor.swarm, target, kind)
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    wish = Wish("thaw", "scout")
    assert (
        orders.thaw(sight, supervisor.post, waiting, wish, is_awaited=True, data=tmp_path)
        == Exit.DONE
    )
    assert [left["target"] for left in given(capsys)["remaining"]] == ["m-one", "tier:2"]
    person = Sight(sight.reader, Ink(), as_json=False)
    orders.thaw(
        person, supervisor.post, waiting, Wish("thaw", "m-one"), is_awaited=True, data=tmp_path
    )
    out, err = capsys.readouterr()
    assert (out, "still stopped: freeze m-one by operator" in err) == ("m-one: thawed\n", True)


def test_thawing_everything_releases_the_brake_and_a_brake_alone_is_enough(
    supervisor: Supervisor, sight: Sight, bell: Bell, tmp_path: Path
) -> None:
    halt_file.pull(tmp_path, "x", "ada", at=1.0)
    supervisor.answers = [
        {"outcome": "refused", "rule": "stop.target", "detail": "* is not stopped itself"}
    ]
    waiting, wish = order_client.Waiting.of(bell, HANG_SECONDS), Wish("thaw", "all")
    assert (
        orders.thaw(sight, supervisor.post, waiting, wish, is_awaited=True, data=tmp_path)
        == Exit.DONE
    )
    assert halt_file.pulled(tmp_path) is None
    with pytest.raises(RefusedError, match=r"stop\.target"):
        orders.thaw(sight, supervisor.post, waiting, wish, is_awaited=True, data=tmp_path)


def test_thawing_one_agent_leaves_the_brake_alone(
    supervisor: Supervisor, sight: Sight, bell: Bell, tmp_path: Path
) -> None:
    halt_file.pull(tmp_path, "x", "ada", at=1.0)
    supervisor.answers = [{"outcome": "done"}]
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    orders.thaw(
        sight, supervisor.post, waiting, Wish("thaw", "scout"), is_awaited=True, data=tmp_path
    )
    assert halt_file.pulled(tmp_path) is not None


# --- the brake --------------------------------------------------------------------------------


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose server does not answer."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("SWARMD_DATA", str(tmp_path))
    return tmp_path


def test_a_halt_without_a_server_and_without_parts_has_nobody_to_ask(
    away: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["halt", "--timeout", "0"]) == 5
    assert "swarmd thaw all" in capsys.readouterr().err
    assert halt_file.pulled(away) is not None
    assert main(["stops"]) == 5
    assert f"halted by {away / 'halt'}" in capsys.readouterr().err


def test_a_halt_without_a_server_names_who_gave_its_word_and_who_did_not(
    away: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = halt_file.pull(away, "", "ada", at=1.0)
    with halt_file.present(away, "h-1"), halt_file.present(away, "h-2"):
        halt_file.answer(away, Word("h-1", held.at, 3))
        assert main(["halt", "--timeout", "0.1"]) == 1
        out = capsys.readouterr().out.splitlines()
        assert [line.rpartition(": ")[2] for line in out] == ["3", "gave no word"]
        halt_file.answer(away, Word("h-2", held.at, 1, {"a-9": "file/write"}))
        assert main(["halt", "--timeout", "0.1", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["busy"] == {"a-9": "file/write"}
        halt_file.answer(away, Word("h-2", held.at, 1))
        assert main(["halt", "--timeout", "0.1"]) == 0


def test_a_killed_part_is_not_waited_for(away: Path) -> None:
    (away / "hosts").mkdir()
    (away / "hosts" / "h-killed.json").write_text("{}")
    held = halt_file.pull(away, "", "ada", at=1.0)
    with halt_file.present(away, "h-1"):
        halt_file.answer(away, Word("h-1", held.at, 0))
        assert main(["halt", "--timeout", "0.1"]) == 0


def test_a_halt_that_the_supervisor_does_not_answer_times_out_and_the_brake_holds(
    cli: Cli, peopled: Swarm, tmp_path: Path
) -> None:
    code, out, _ = cli("halt", "--timeout", "0.1", "--data", str(tmp_path))
    assert (code, out) == (6, "")
    assert halt_file.pulled(tmp_path) is not None


def test_a_person_is_asked_before_everything_is_halted_and_a_program_is_not(
    away: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for verb in ("halt", "terminate"):
        monkeypatch.setattr("sys.stdin", Terminal("n\n"))
        assert main([verb, "all"]) == 2
        assert "[y/N]" in capsys.readouterr().err
    assert halt_file.pulled(away) is None
    for words in (["halt", "all", "--yes"], ["halt", "all", "--json"]):
        monkeypatch.setattr("sys.stdin", Terminal(""))
        assert main([*words, "--timeout", "0"]) == 5
        assert "[y/N]" not in capsys.readouterr().err
        assert halt_file.release(away)
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert main(["halt", "--timeout", "0"]) == 5
    assert halt_file.pulled(away) is not None


# --- rights and money -------------------------------------------------------------------------


def test_a_grant_and_a_revocation_say_what_of_whom(
    supervisor: Supervisor, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.answers = [{"outcome": "done", "number": 4, "agents": 3}]
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    more = {"privilege": "tool/web/**", "right": "grant"}
    wish = Wish("revoke", "atlas", "enough", more=more)
    assert rights.change_rights(sight, supervisor.post, waiting, wish, is_awaited=True) == Exit.DONE
    value = given(capsys)
    assert (value["agent"], value["privilege"], value["right"], value["number"]) == (
        "a-exec1",
        "tool/web/**",
        "grant",
        4,
    )
    order = supervisor.posted[-1][1].data
    assert (order["verb"], order["privilege"], order["right"]) == ("revoke", "tool/web/**", "grant")
    person = Sight(sight.reader, Ink(), as_json=False)
    rights.change_rights(person, supervisor.post, waiting, wish, is_awaited=True)
    out, err = capsys.readouterr()
    assert (out, err) == (
        "a-exec1: revoked tool/web/** (grant)\n",
        "revoked of this agent and of 2 agents below it\n",
    )
    with pytest.raises(UsageError):
        rights.change_rights(
            sight,
            supervisor.post,
            waiting,
            Wish("grant", "m-one", more={"privilege": "x", "right": "use"}),
            is_awaited=True,
        )


@pytest.mark.parametrize("verb", ["grant", "revoke"])
@pytest.mark.parametrize(("privilege", "right"), [("a b", "use"), ("", "use"), ("tool/x", "own")])
def test_what_is_no_privilege_or_right_is_a_usage_error(
    cli: Cli, verb: str, privilege: str, right: str
) -> None:
    assert cli(verb, "atlas", privilege, "--right", right)[0] == 2


def test_amounts_are_kinds_and_money_is_also_dollars() -> None:
    assert amounts_of("tokens=5000, usd=2.5,calls=1") == {
        "tokens": 5000,
        "cost": 2_500_000,
        "calls": 1,
    }
    assert amounts_of("usd=0.000001") == {"cost": 1}
    assert amounts_of('{"tokens": 3}') == {"tokens": 3}
    assert amounts_of("cost=7,agents=2") == {"cost": 7, "agents": 2}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tokens",
        "tokens=",
        "tokens=x",
        "tokens=1.5",
        "tokens=-1",
        "usd=0.0000001",
        "gold=1",
        "usd=NaN",
        "usd=1,cost=1",
        "tokens=1e99",
        "usd=Infinity",
        "[]",
        "{}",
        "tokens=9007199254740992",
        '{"tokens": true}',
    ],
)
def test_what_is_no_amount_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        amounts_of(text)


# --- say --------------------------------------------------------------------------------------


def test_say_reaches_a_room_or_one_agent_as_the_operator(
    supervisor: Supervisor, sight: Sight
) -> None:
    supervisor.swarm.wire.command(
        "HSET", supervisor.swarm.key("_state:picard"), "p:room:sob", "0-0"
    )
    supervisor.swarm.wire.command(
        "HSET", supervisor.swarm.key("_state:a-sub1"), "p:room:workshop-m-one", "0-0"
    )
    for channel in ("room:sob", "room:workshop-m-one", "inbox:scout"):
        assert say.say(sight, supervisor.post, channel, "hear me") == Exit.DONE
    told = [(channel, message.sender, message.to) for channel, message in supervisor.posted]
    assert told == [
        ("room:sob", "operator", ""),
        ("room:workshop-m-one", "operator", ""),
        ("inbox:a-sub1", "operator", "a-sub1"),
    ]


def test_what_is_said_to_a_mission_is_told_to_the_board_about_it(
    supervisor: Supervisor, sight: Sight
) -> None:
    assert say.say(sight, supervisor.post, "m-one", "leave it") == Exit.DONE
    ((channel, message),) = supervisor.posted
    assert (channel, message.mission, message.sender) == ("room:sob", "m-one", "operator")


def test_what_is_said_is_stored_marked_and_rung(cli: Cli, peopled: Swarm, bell: Bell) -> None:
    code, out, err = cli("say", "inbox:scout", "turn back", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (
        json.loads(cli("tail", said["channel"], "--json", "--no-follow")[1])["text"] == "turn back"
    )
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


@pytest.mark.parametrize(
    "words",
    [("say", "inbox:scout", "hello"), ("terminate", "scout"), ("cancel", "m-one")],
    ids=" ".join,
)
def test_who_acts_without_the_secret_is_told_where_it_is(
    words: tuple[str, ...],
    cli: Cli,
    peopled: Swarm,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("SWARMD_SECRET_FILE")
    monkeypatch.setenv("SWARMD_DATA", str(tmp_path / "elsewhere"))
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert "no secret of this swarm" in err
    assert "SWARMD_SECRET_FILE" in err
    assert not (tmp_path / "elsewhere").exists(), "a verb made a secret that nobody else has"


def test_who_acts_with_another_secret_is_told_at_once(
    cli: Cli, peopled: Swarm, tmp_path: Path
) -> None:
    peopled.wire.command(
        "HSET", peopled.key("_meta"), "seal", Seal(SECRET, peopled.namespace).fingerprint
    )
    assert cli("say", "inbox:scout", "hello")[0] == 0
    (tmp_path / "secret").write_text("the secret of another swarm, as long as one has to be")
    code, out, err = cli("terminate", "scout")
    assert (code, out) == (5, "")
    assert "sealed with another secret" in err
    assert "as long as one has to be" not in err
    assert peopled.wire.command("EXISTS", peopled.key("orders")) == 0


@pytest.mark.parametrize("channel", ["room:nowhere", "inbox:nobody"])
def test_saying_something_where_nobody_is_is_not_found(
    channel: str, supervisor: Supervisor, sight: Sight
) -> None:
    with pytest.raises(NotFoundError):
        say.say(sight, supervisor.post, channel, "hello")
    assert supervisor.posted == []


@pytest.mark.parametrize(
    ("channel", "text"), [("journal", "x"), ("room:", "x"), ("down:sob", "x"), ("room:sob", "  ")]
)
def test_the_operator_cannot_speak_in_others_names_or_say_nothing(
    channel: str, text: str, supervisor: Supervisor, sight: Sight
) -> None:
    with pytest.raises(UsageError):
        say.say(sight, supervisor.post, channel, text)


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


def waited_for(sight: Sight, bell: Bell) -> Exit:
    waiting = order_client.Waiting.of(bell, HANG_SECONDS)
    mission = missions.await_mission(sight, waiting, MissionId("m-1"))
    return result.ended(Settings.from_env({"SWARMD_DATA": "nowhere"}), HandOver(), sight, mission)


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
    assert waited_for(sight, bell) == code
    assert (value := given(capsys))["spent"] == {"tokens": 12, "calls": 1}
    assert value["result"] == "The answer"


def test_a_delivered_result_stands_alone_on_standard_output(
    swarm: Swarm, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    swarm.mission("m-1", state="delivered", result="The\nanswer \x1b[2J", ended=AT)
    person = Sight(sight.reader, Ink(), as_json=False)
    waited_for(person, bell)
    out, err = capsys.readouterr()
    assert out == "The\nanswer \\x1b[2J\n"
    assert "m-1: delivered" in err


def test_what_never_became_a_mission_is_heard_of_on_results(
    swarm: Swarm, sight: Sight, bell: Bell, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.dumps({"state": "rejected", "reason": "mission.invalid: empty"})
    swarm.post(
        "results",
        **{"from": "sob"},
        to="",
        kind="result",
        mission="m-1",
        at=AT,
        text="no",
        data=data,
    )
    assert waited_for(sight, bell) == Exit.REFUSED


def test_waiting_for_a_mission_has_an_end_of_its_own(
    swarm: Swarm, sight: Sight, bell: Bell
) -> None:
    swarm.mission("m-1", state="working")
    with pytest.raises(TimedOutError):
        missions.await_mission(sight, order_client.Waiting.of(bell, 0.05), MissionId("m-1"))


@pytest.mark.parametrize("target", ["*", "sob"])
def test_who_waits_is_told_what_keeps_the_mission_from_moving(
    target: str,
    swarm: Swarm,
    sight: Sight,
    bell: Bell,
    capsys: pytest.CaptureFixture[str],
) -> None:
    swarm.mission("m-1", state="working")
    _stop(swarm, target, reason="lunch")
    with pytest.raises(TimedOutError):
        missions.await_mission(sight, order_client.Waiting.of(bell, 0.05), MissionId("m-1"))
    err = capsys.readouterr().err
    named = "all" if target == "*" else target
    assert err.count(f"nothing of it moves while {named} is stopped") == 1
    assert f"swarmd thaw {named}" in err


def test_who_stops_waiting_is_told_that_the_mission_goes_on(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Exit:
        raise KeyboardInterrupt

    monkeypatch.setattr(missions, "await_mission", interrupted)
    code, out, err = cli("submit", "Find it", "--id", "m-new", "--wait")
    assert (code, out) == (130, "")
    assert "mission m-new goes on" in err
    assert "swarmd cancel m-new" in err


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("scout", "inbox:a-sub1"),
        ("a-sub1", "inbox:a-sub1"),
        ("picard", "inbox:picard"),
        ("sob", "room:sob"),
    ],
)
def test_an_agent_or_a_room_is_spoken_to_by_its_name_alone(
    name: str, channel: str, supervisor: Supervisor, sight: Sight
) -> None:
    assert say.say(sight, supervisor.post, name, "hear me") == Exit.DONE
    assert [spoken for spoken, _ in supervisor.posted] == [channel]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nobody-of-this-name", NotFoundError),
        ("results", UsageError),
        ("dead", UsageError),
        ("", UsageError),
    ],
)
def test_what_names_nobody_that_can_be_spoken_to_is_told_with_what_does(
    name: str, error: type[SwarmError], supervisor: Supervisor, sight: Sight
) -> None:
    with pytest.raises(error) as told:
        say.say(sight, supervisor.post, name, "hear me")
    assert "room:sob" in told.value.hint
    assert supervisor.posted == []
