"""What a verb says to somebody who got something wrong: what is wrong, and what to do next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from swarmd.adapters import halt_file
from swarmd.adapters.redis.founding import another_schema
from swarmd.cli import connection
from swarmd.cli.amounts import EXAMPLE, budget_of
from swarmd.cli.exit_codes import Exit, exit_of
from swarmd.cli.main import main
from swarmd.cli.render.text import Ink
from swarmd.cli.session import Sight
from swarmd.cli.verbs import missions, rights
from swarmd.cli.verbs.channels import CHANNELS_SHOWN, channel_named
from swarmd.cli.verbs.health import health_findings
from swarmd.cli.verbs.targets import Wish, meant
from swarmd.core.model.lineage import Agent, Stop, StopKind
from swarmd.core.model.names import AgentId, AgentState, Authority, Channel, MissionId
from swarmd.core.model.versions import SCHEMA
from swarmd.core.queries.activity import Activity
from swarmd.core.queries.snapshot import Marks, Snapshot, agent_view
from swarmd.errors import NotFoundError, StoreUnsuitableError, UsageError
from swarmd.ports.reader import Health, Reader
from swarmd.settings import Settings
from tests.cli.memory_reader import MemoryReader

Capture = pytest.CaptureFixture[str]


# --- budgets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "submit"])
def test_the_help_of_a_budget_has_an_example_that_is_read(
    verb: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([verb, "--help"]) == 0
    told = capsys.readouterr().out
    assert any("--budget" in line and "AMOUNTS" in line for line in told.splitlines())
    assert EXAMPLE in told
    assert set(budget_of(EXAMPLE)) == {"tokens", "calls", "cost"}


@pytest.mark.parametrize("said", ["foo", "gold=3", '{"gold": 3}', "{", "tokens=many", "tokens=-1"])
def test_a_budget_that_cannot_be_meant_is_answered_with_an_example(said: str) -> None:
    with pytest.raises(UsageError) as told:
        missions.entrance_fields("Swans.", None, missions.Wishes(said), [])
    assert f"--budget {EXAMPLE}" in told.value.hint


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("foo=1", "has no kind 'foo'"),
        ('{"foo": 1}', "has no kind 'foo'"),
        ('{"tokens": -1}', "whole numbers, from 0 on, of tokens, cost"),
    ],
)
def test_a_budget_is_refused_in_our_words(said: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as told:
        missions.entrance_fields("Swans.", None, missions.Wishes(said), [])
    assert "kinds: usd, tokens" in told.value.hint


@pytest.mark.parametrize(
    ("verb", "wait"),
    [
        ("freeze", "default: 30."),
        ("forget", "default: 30."),
        ("drain", "default: 30, and its grace."),
        ("halt", "default: 30, of everything 10."),
    ],
)
def test_the_help_of_a_timeout_is_of_that_verb_alone(
    verb: str, wait: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([verb, "--help"]) == 0
    assert f"Give up waiting after this; {wait}" in capsys.readouterr().out


def test_help_says_where_the_manual_and_the_backup_are(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "docs/cli.md" in told
    assert "docs/redis.md, “Backup”" in told
    root = Path(__file__).parents[2]
    assert "\n## Backup\n" in (root / "docs/redis.md").read_text(encoding="utf-8")
    assert "(docs/redis.md#backup)" in (root / "README.md").read_text(encoding="utf-8")


# --- files ------------------------------------------------------------------------------------


def test_a_file_that_the_running_swarm_does_not_have_is_not_found(tmp_path: Path) -> None:
    settings, knowledge = Settings(data=tmp_path / "data"), tmp_path / "docs"
    (knowledge / "birds").mkdir(parents=True)
    (knowledge / "swans.md").write_text("Swans sing.")
    (knowledge / "gone.md").symlink_to("nowhere")
    (tmp_path / "data/workspace/m-1/given").mkdir(parents=True)
    (tmp_path / "data/workspace/m-1/given/own.md").write_text("Own.")
    there = [
        ".",
        "swans.md",
        "./birds",
        "gone.md",
        "policies/limits.yaml",
        "/etc",
        "../x",
        "own.md",
    ]
    with halt_file.present(settings.data, "h-1", ("supervisor",), knowledge):
        missions.refuse_missing_files(settings, "m-1", there)
        with pytest.raises(NotFoundError, match=r"docs: geese\.md, birds/x, swans\.md/x") as told:
            missions.refuse_missing_files(
                settings, "m-1", [*there, "geese.md", "birds/x", "swans.md/x"]
            )
    assert exit_of(told.value) is Exit.NOT_FOUND
    # Where nobody says where the files are, the supervisor tells of them.
    missions.refuse_missing_files(settings, "m-1", ["geese.md"])
    with halt_file.present(settings.data, "h-1"):
        missions.refuse_missing_files(settings, "m-1", ["geese.md"])


@pytest.mark.parametrize("said", ["nosuch.md", "docs/a.txt", " ./notes.yaml ", "~/x.py"])
def test_the_name_of_a_file_is_no_mission(said: str) -> None:
    with pytest.raises(UsageError, match="a file's name") as told:
        missions.mission_text(said, lambda: b"")
    assert "--files" in told.value.hint


@pytest.mark.parametrize(
    "said", ["Swans.", "x", "Read nosuch.md", "3.5", "1.000.000", "e.g.", "swans?", "v1.2"]
)
def test_a_mission_may_be_one_word(said: str) -> None:
    assert missions.mission_text(said, lambda: b"") == said


# --- where the swarm is -----------------------------------------------------------------------


@pytest.mark.parametrize("words", [["run", "Swans."], ["up"], ["supervisor"], ["worker"]])
def test_a_data_folder_that_cannot_be_made_is_told_as_such(
    words: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    monkeypatch.setenv("SWARMD_DATA", "")
    assert main([*words, "--data", str(folder)]) == 2
    told = capsys.readouterr().err
    assert f"{folder}" in told
    assert "--data or SWARMD_DATA" in told or "folder" in told
    assert "secret" not in told


def test_a_swarm_of_another_schema_is_told_with_its_place_and_what_to_do() -> None:
    for settings, place, way in (
        (Settings(data=Path("/srv/swarm")), "the data folder /srv/swarm", "SWARMD_DATA"),
        (
            Settings(data=Path("/srv/swarm"), redis_url="redis://h:1"),
            "the server of REDIS_URL",
            "SWARMD_NAMESPACE",
        ),
    ):
        with (
            pytest.raises(StoreUnsuitableError) as told,
            connection.schema_explained(settings),
        ):
            raise another_schema("swarm", "3")
        assert place in told.value.what
        assert "schema 3" in told.value.what
        assert SCHEMA in told.value.what
        assert way in told.value.hint
        assert "use the swarmd that made it" in told.value.hint


def test_health_names_the_folder_of_a_swarm_of_another_schema() -> None:
    state = Health("1:h", True, {"h": {}}, (), 0, 0, "3", True, True)
    (finding,) = health_findings(state, part=None, host_name="h", place="the data folder /srv/s")
    assert finding.startswith("the data folder /srv/s holds a swarm of schema 3")
    assert f"reads schema {SCHEMA}" in finding
    assert "SWARMD_DATA" in finding


@pytest.mark.parametrize(("target", "way"), [("*", "thaw all"), ("sob", "thaw sob")])
def test_a_swarm_that_is_stopped_as_a_whole_is_a_finding_of_the_whole_alone(
    target: str, way: str
) -> None:
    stop = Stop(target, StopKind.HALT, Authority.OPERATOR, "lunch", "operator", 1.0)
    state = Health("1:h", True, {"h": {}}, (), 0, 0, SCHEMA, True, True, stops=(stop,))
    (finding,) = health_findings(state, part=None, host_name="h")
    for told in (way, "lunch", "operator", "halt"):
        assert told in finding
    assert health_findings(state, part="supervisor", host_name="h") == []


# --- channels ---------------------------------------------------------------------------------


class Channels(MemoryReader):
    names: tuple[str, ...] = ()

    def channels(self) -> list[str]:
        return list(self.names)

    def has_channel(self, channel: Channel) -> bool:
        return False

    def is_heard(self, channel: Channel) -> bool:
        return False


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("room:nosuch", "room:a, room:sob"),
        ("inbox:nobody", "inbox:a-1"),
        ("nosuch", "inbox:a-1, journal, room:a, room:sob"),
        ("other:x", "inbox:a-1, journal, room:a, room:sob"),
    ],
)
def test_the_hint_of_an_unknown_channel_lists_those_of_its_kind_and_no_inner_ones(
    asked: str, shown: str
) -> None:
    reader = Channels()
    reader.names = ("_facts", "_placed:h-1", "inbox:a-1", "journal", "room:a", "room:sob")
    with pytest.raises(NotFoundError) as told:
        channel_named(cast("Reader", reader), asked)
    assert told.value.hint == f"channels with messages: {shown}"


def test_the_hint_of_an_unknown_channel_says_how_many_it_leaves_out() -> None:
    reader = Channels()
    reader.names = tuple(f"room:{n:02}" for n in range(CHANNELS_SHOWN + 3))
    with pytest.raises(NotFoundError) as told:
        channel_named(cast("Reader", reader), "room:x")
    assert told.value.hint.endswith(" and 3 more")


# --- privileges -------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["file/wrte", "tool/file/wrte", "tool/nix/read", "nix", "model"])
@pytest.mark.parametrize("verb", ["freeze", "grant", "revoke"])
def test_what_no_action_asks_for_is_neither_stopped_nor_given(
    verb: str, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if verb == "freeze":
        with pytest.raises(NotFoundError) as told:
            meant(cast("Reader", MemoryReader()), Wish("freeze", f"tool:{said}"))
        assert "functions: tool/file/list, " in told.value.hint
        return
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert main([verb, "one", said]) == Exit.NOT_FOUND
    assert "functions: tool/file/list, " in capsys.readouterr().err


# --- why --------------------------------------------------------------------------------------


class Chain(MemoryReader):
    links: tuple[Agent, ...] = ()

    def chain(self, id: AgentId) -> list[object]:
        return list(self.links)


def _link(id: str, tier: int, *, holds: bool) -> Agent:
    held = ("tool/file/read",) if holds else ()
    return Agent(
        id=AgentId(id),
        name=id,
        role="researcher",
        tier=tier,
        parent=AgentId("sob"),
        path=("sob", "m-1", id) if tier else ("sob",),
        mission=MissionId("m-1"),
        state=AgentState.LIVE,
        created="2026-03-01T10:00:00Z",
        privileges=held,
        grants=held,
    )


@pytest.mark.parametrize(
    ("word", "step"),
    [
        ("stalled", "swarmd terminate a-1"),
        ("stuck", "swarmd halt a-1"),
        ("dead", "swarmd worker"),
        ("unplaced", "swarmd worker"),
        ("waiting", "swarmd supervisor"),
        ("idle", ""),
    ],
)
def test_why_says_what_to_do_about_an_agent_that_may_and_gets_nowhere(
    word: str, step: str, capsys: Capture
) -> None:
    code, told = _why(capsys, Activity(word), holds=True)  # type: ignore[arg-type]  # a row's word
    assert code is Exit.DONE
    assert (step in told) if step else told == ""


def test_why_says_what_to_do_about_a_stop_and_about_a_right_that_is_missing(
    capsys: Capture,
) -> None:
    stop = Stop("a-1", StopKind.FREEZE, Authority.OPERATOR, "to think", "operator", 1.0)
    code, told = _why(capsys, Activity("frozen"), holds=True, stops={"a-1": stop})
    assert code is Exit.REFUSED
    assert "what to do: swarmd thaw a-1\n" in told
    assert "swarmd stops" not in told
    stop = Stop("*", StopKind.HALT, Authority.OPERATOR, "lunch", "operator", 1.0)
    assert "what to do: swarmd thaw all\n" in _why(capsys, Activity("frozen"), stops={"*": stop})[1]
    code, told = _why(capsys, Activity("idle"), holds=False)
    assert code is Exit.REFUSED
    assert "swarmd grant a-1 tool/file/read" in told


def test_why_names_all_that_has_to_be_granted_in_its_order(capsys: Capture) -> None:
    reader = Chain(Snapshot((agent_view({"id": "a-2", "path": "sob/m-1/a-1/a-2"}, None),)))
    reader.links = (
        replace(_link("sob", 0, holds=True), grants=("**",)),
        _link("a-1", 1, holds=False),
        _link("a-2", 2, holds=False),
    )
    sight = Sight(cast("Reader", reader), Ink(), False)
    assert rights.why(sight, "a-2", "tool/file/**", "use") is Exit.REFUSED
    assert capsys.readouterr().err.splitlines() == [
        "what to do: swarmd grant a-1 'tool/file/**'",
        "what to do: swarmd grant a-2 'tool/file/**'",
    ]


def _why(
    capsys: Capture, doing: Activity, *, holds: bool = True, stops: dict[str, Stop] | None = None
) -> tuple[Exit, str]:
    fields = {"id": "a-1", "name": "a-1", "tier": "1", "parent": "sob", "path": "sob/m-1/a-1"}
    reader = Chain(
        Snapshot((agent_view(fields | {"state": "live"}, doing),)),
        in_force=Marks(stops=stops or {}),
    )
    reader.links = (_link("sob", 0, holds=True), _link("a-1", 1, holds=holds))
    sight = Sight(cast("Reader", reader), Ink(), False)
    code = rights.why(sight, "a-1", "tool/file/read", "use")
    return code, capsys.readouterr().err
