"""The verbs that look, over a reader in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from swarmd.cli.exit_codes import Exit
from swarmd.cli.render.text import Ink
from swarmd.cli.session import Sight
from swarmd.cli.verbs import approvals, channels, inspect, orders, overview, say
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.lineage import Stop, StopKind
from swarmd.core.model.messages import Message
from swarmd.core.model.names import FIRST, Authority, StreamId
from swarmd.core.queries.activity import Activity
from swarmd.core.queries.snapshot import AccountView, Marks, Snapshot, agent_view, mission_view
from swarmd.ports.reader import Reader
from tests.cli.memory_reader import MemoryReader


def stored(id: str, parent: str, tier: int, **more: str) -> dict[str, str]:
    path = "/".join(("sob", "m-1", id))
    known = {"id": id, "name": id, "tier": str(tier), "parent": parent, "path": path}
    return known | {"mission": "m-1", "state": "live"} | more


SWARM = Snapshot(
    (
        agent_view(stored("sob", "", 0, role="board", mission="")),
        agent_view(stored("a-1", "sob", 1), Activity("busy", "model", 12.34)),
        agent_view(stored("a-2", "a-1", 2, state="terminated"), Activity("")),
        agent_view(stored("a-3", "a-1", 2), Activity("waiting", waits="lead.none")),
        agent_view(stored("a-4", "a-1", 2), Activity("idle", waits_for="ann: both", left=90.0)),
    ),
    (mission_view({"id": "m-1", "mission": "Find it", "state": "working"}),),
    {
        "m-1": AccountView({"tokens": {"spent": 100}}),
        "a-1": AccountView({"tokens": {"spent": 50}}, {"warned": "tokens"}),
        "a-2": AccountView({"tokens": {"spent": 20}}),
    },
)


def sight(reader: MemoryReader, *, as_json: bool = False) -> Sight:
    return Sight(cast("Reader", reader), Ink(is_coloured=False, columns=160), as_json)


def value(
    capsys: pytest.CaptureFixture[str], verb: Callable[[Sight], Exit], reader: MemoryReader
) -> Any:
    assert verb(sight(reader, as_json=True)) == Exit.DONE
    return json.loads(capsys.readouterr().out)


def test_ps_lists_the_living_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert overview.ps(sight(MemoryReader(SWARM)), ended=False, only_ids=False) == Exit.DONE
    told = capsys.readouterr()
    rows = {line.split()[0]: line for line in told.out.splitlines()}
    assert list(rows) == ["ID", "sob", "a-1", "a-3", "a-4"]
    assert "busy model 12s" in rows["a-1"]
    assert "little tokens left" in rows["a-1"]
    assert "waits for ann: both (1m left)" in rows["a-4"]
    assert "no supervisor has led" in told.err
    assert overview.tree(sight(MemoryReader(SWARM)), ended=False) == Exit.DONE
    assert "a-4  waits for ann: both (1m left)" in capsys.readouterr().out


def test_ps_for_programs_says_what_is_stored_and_what_is_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = value(capsys, lambda s: overview.ps(s, ended=True, only_ids=False), MemoryReader(SWARM))
    agents = {one["id"]: one for one in found["agents"]}
    busy = agents["a-1"]
    assert (busy["activity"], busy["call"], busy["activity_seconds"]) == ("busy", "model", 12.3)
    assert (busy["tier"], busy["stopped"]) == (1, [])
    assert busy["ledger"] == {"tokens": {"spent": 50}, "warned": "tokens"}
    assert agents["a-3"]["waits"] == "lead.none"
    assert (agents["a-4"]["waits_for"], agents["a-4"]["waits_seconds"]) == ("ann: both", 90.0)
    assert "stopped" not in agents["a-2"]


def test_top_and_tree_give_programs_the_sums_of_core(capsys: pytest.CaptureFixture[str]) -> None:
    reader = MemoryReader(SWARM)
    board = value(capsys, lambda s: overview.tree(s, ended=True), reader)["board"]
    [mission] = board["children"]
    assert mission["spent"] == {"own": {"tokens": 100}, "subtree": {"tokens": 150}}
    assert mission["executives"][0]["spent"]["own"] == {"tokens": 30}
    top = value(capsys, lambda s: overview.top(s, seconds=1, is_once=True), reader)
    assert [(one["id"], one["spent"].get("tokens")) for one in top["agents"]] == [
        ("a-1", 30),
        ("a-3", None),
        ("a-4", None),
    ]


def test_a_stop_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    stop = Stop("a-1", StopKind.FREEZE, Authority.OPERATOR, "to think", "operator", 1.0)
    reader = MemoryReader(SWARM, in_force=Marks(stops={"a-1": stop}))
    [told] = value(capsys, lambda s: overview.stops(s, None), reader)["stops"]
    assert (told["target"], told["kind"], told["reason"]) == ("a-1", "freeze", "to think")
    assert inspect.inspect(sight(reader), "a-1") == Exit.DONE
    assert "freeze a-1 by operator" in capsys.readouterr().out


def test_the_task_of_an_agent_is_told_with_its_checks(capsys: pytest.CaptureFixture[str]) -> None:
    checks = '[["words at least 3", ""], ["cites at least 1", "found 0 citations"]]'
    kpis = '[["words <= 900", 1204, false], ["calls <= 9", 8, true]]'
    task = {"state": "rejected", "reason": "cite it", "checks": checks, "kpis": kpis}
    reader = MemoryReader(
        SWARM, tasks={"a-1": task, "a-3": {"state": "accepted", "checks": "?", "kpis": "?"}}
    )
    assert inspect.inspect(sight(reader), "a-1") == Exit.DONE
    told = capsys.readouterr().out
    assert "task: rejected: cite it" in told
    assert "  green  words at least 3\n" in told
    assert "  red  cites at least 1  found 0 citations\n" in told
    assert "  kpi    words <= 900: 1,204, missed\n" in told
    assert "  kpi    calls <= 9: 8\n" in told
    assert inspect.inspect(sight(reader), "a-3") == Exit.DONE
    assert "task: accepted\n" in capsys.readouterr().out
    found = value(capsys, lambda s: inspect.inspect(s, "a-1"), reader)["agent"]
    assert found["task"]["checks"][1] == ["cites at least 1", "found 0 citations"]
    assert found["task"]["kpis"] == [["words <= 900", 1204, False], ["calls <= 9", 8, True]]


def test_a_mission_is_inspected_with_its_agents(capsys: pytest.CaptureFixture[str]) -> None:
    found = value(capsys, lambda s: inspect.inspect(s, "m-1"), MemoryReader(SWARM))["mission"]
    assert found["agents"] == ["a-1", "a-2", "a-3", "a-4"]
    assert found["ledger"] == {"tokens": {"spent": 100}}


def test_of_a_mission_a_person_sees_what_it_is_first_and_no_inner_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = {
        "v": "1",
        "id": "m-1",
        "board": "null",
        "asked_files": "[]",
        "files": '["a.md"]',
        "digest": "d1g",
        "budget": '{"tokens": 50000, "cost": 20000000}',
        "reason": "it is late",
        "state": "rejected",
        "mission": "Find it",
    }
    reader = MemoryReader(Snapshot(missions=(mission_view(fields),)))
    assert inspect.inspect(sight(reader), "m-1") == Exit.DONE
    assert capsys.readouterr().out.splitlines() == [
        "mission m-1",
        "mission: Find it",
        "state: rejected",
        "reason: it is late",
        'files: ["a.md"]',
        "budget:",
        "  tokens: 50000",
        "  cost: $20.0000",
    ]


def test_who_speaks_is_told_where_the_answer_will_stand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def post(channel: str, message: Message, id: str) -> str:
        return "7-0"

    assert say.say(sight(MemoryReader(SWARM)), post, "m-1", "Go on.") == Exit.DONE
    told = capsys.readouterr()
    assert told.out == "7-0\n"
    assert told.err == "the answer will stand in room:sob: swarmd tail room:sob\n"
    assert say.say(sight(MemoryReader(SWARM)), post, "inbox:a-1", "Go on.") == Exit.DONE
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [{"confirmed": 7}, {"order": "o-1"}])
def test_everything_is_called_all(
    value: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    verb = orders.tell_outcome(sight(MemoryReader()), {"target": "*", **value})
    assert verb == Exit.DONE
    assert capsys.readouterr().out.startswith("all")


def test_what_waits_for_permission_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"needs": 3, "rule": "approval.needed", "at": 1.0, "expires": 2.0}
    found = value(capsys, approvals.approvals, MemoryReader(SWARM, waiting={"p-1": facts}))
    assert [(one["id"], one["expires"]) for one in found["approvals"]] == [
        ("p-1", "1970-01-01T00:00:02Z")
    ]


def test_a_result_that_waits_is_listed_with_what_a_person_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = {"requester": "a-1", "request": {"type": "hand_in", "result": "It is four."}}
    facts = {"needs": 3, "action": asked, "facts": {"why": 'person "May it go out?"'}}
    reader = MemoryReader(SWARM, waiting={"p-1": facts})
    [found] = value(capsys, approvals.approvals, reader)["approvals"]
    assert (found["needs"], found["requester"]) == ("operator", "a-1")
    assert found["what"] == 'person "May it go out?": It is four.'


# --- following --------------------------------------------------------------------------------


class Told:
    """So many notifications, each with a post of its own."""

    def __init__(self, reader: MemoryReader, texts: list[str]) -> None:
        self.reader, self.texts = reader, texts

    def wait(self, seconds: float) -> bool:
        if not self.texts:
            return False
        id = f"{1_000 - len(self.texts)}-0"
        self.reader.post(BOARD_ROOM, id, **{"from": "a-1", "text": self.texts.pop(0)})
        return True


def said(out: str) -> list[str]:
    return [json.loads(line)["text"] for line in out.splitlines()]


def test_tail_prints_what_is_stored_and_goes_on_from_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader = MemoryReader()
    for n in range(4):
        reader.post(BOARD_ROOM, f"{n + 1}-0", **{"from": "a-1", "text": f"{n}"})
    eyes = sight(reader, as_json=True)
    reached = channels.tail(eyes, BOARD_ROOM, since=None, count=2)
    channels.follow(eyes, BOARD_ROOM, reached, Told(reader, ["4", "5"]))
    assert said(capsys.readouterr().out) == ["2", "3", "4", "5"]


@pytest.mark.parametrize(("since", "is_told"), [("1-0", True), (FIRST, True), ("2-0", False)])
def test_tail_says_on_standard_error_what_is_no_longer_kept(
    capsys: pytest.CaptureFixture[str], since: str, is_told: bool
) -> None:
    reader = MemoryReader()
    for n in range(4):
        reader.post(BOARD_ROOM, f"{n + 1}-0", **{"from": "a-1", "text": f"{n}"})
    reader.trim(BOARD_ROOM, 2)
    channels.tail(sight(reader, as_json=True), BOARD_ROOM, since=StreamId(since), count=0)
    told = capsys.readouterr()
    assert said(told.out) == ["2", "3"]
    assert ("may be missing, for what is kept begins at 3-0" in told.err) is is_told
