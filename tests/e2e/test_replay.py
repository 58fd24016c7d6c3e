"""`swarmd replay`: missions of different kinds, each recorded by a real `swarmd run` and played again with
no model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import pytest
import yaml

from swarmd.core.model.chain import sha256
from tests.e2e.governed import Twin, running
from tests.e2e.swarm_process import child, clean_environment, short_folder, verb
from tests.e2e.test_handover import MIND, report
from tests.minds.capable import CapableMind

pytestmark = pytest.mark.timeout(300)

Rules = Sequence[Mapping[str, Any]]


def charter(*names: str) -> dict[str, Any]:
    executives = [
        {"key": name, "name": name, "role": "executive", "task": f"The part of {name}."}
        for name in names
    ]
    return {"motion": "charter", "reason": "so many parts", "executives": executives}


def proposed(motion: Mapping[str, Any]) -> dict[str, Any]:
    return {"when": {"phase": "propose"}, "moves": [{"move": "propose", "motion": motion}]}


def spawn(key: str, role: str = "writer") -> dict[str, Any]:
    return {"move": "spawn", "key": key, "charter": {"role": role, "name": key, "task": "Dig."}}


ARGUED: Final[Rules] = (
    proposed(charter("lead")),
    {
        "when": {"phase": "debate", "name": "king-solomon", "times": 1},
        "moves": [{"move": "argue", "stance": "argue", "text": "Say how long it is to be."}],
    },
    {
        "when": {"phase": "vote", "name": "gandhi", "times": 1},
        "moves": [{"move": "vote", "choice": "no", "reason": "It is too dear."}],
    },
    {"when": {"role": "executive"}, "moves": [report("It is done.")]},
)
REPLACED: Final[Rules] = (
    proposed(charter("lead")),
    {
        "when": {"name": "lead", "mail_kind": "charter"},
        "moves": [spawn("idle"), {"move": "wait"}],
    },
    {
        "when": {"name": "lead", "mail_kind": "report"},
        "moves": [
            {
                "move": "govern",
                "verb": "terminate",
                "target": "{{children.idle}}",
                "reason": "idle",
            },
            spawn("keen"),
            {"move": "wait", "whom": ["keen"]},
        ],
    },
    {"when": {"name": "idle"}, "moves": [{**report("I begin."), "done": False}, {"move": "wait"}]},
    {"when": {"name": "keen"}, "moves": [report("It is dug.")]},
)
# Once its replacement has reported, the executive is done.
REPLACED_END: Final[Rules] = (
    {
        "when": {"name": "lead", "mail_contains": "It is dug."},
        "moves": [report("The second of them dug it.")],
    },
)
FAILING: Final[Rules] = (
    proposed(charter("lead")),
    {"when": {"phase": "debate", "name": "gandhi"}, "fail": {"why": "rejected"}},
    {"when": {"name": "lead", "times": 1}, "fail": {"why": "timeout", "detail": "no answer"}},
    {"when": {"name": "lead"}, "moves": [report("It is done.")]},
)
REFUSED: Final[Rules] = (
    proposed(charter("lead")),
    {
        "when": {"name": "lead", "mail_kind": "charter"},
        "moves": [spawn("boss", "executive"), {"move": "wait"}],
    },
    {"when": {"name": "lead"}, "moves": [report("I may not create it.")]},
)
WAITING: Final[Rules] = (
    proposed(charter("lead")),
    {"when": {"name": "lead"}, "moves": [{"move": "wait"}]},
)
# Its final report is given back until it is sent as an interim one, and the board is called for that
# once nobody works.
RED: Final[Rules] = (
    {
        **proposed(
            {
                "motion": "charter",
                "reason": "one part",
                "executives": [
                    {
                        "name": "lead",
                        "role": "executive",
                        "task": "Count.",
                        "checks": [{"kind": "contains", "text": "forty-two"}],
                    }
                ],
            }
        ),
        "when": {"phase": "propose", "times": 1},
    },
    {"when": {"name": "lead"}, "moves": [report("It is 42.")]},
)
SORROWS: Final = "The swan sings before it dies.\nA swan is lost when the ice closes.\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of mission: its mind (none: the built-in one), how it is asked and how it ends."""

    rules: Rules
    ends: str
    words: tuple[str, ...] = ()
    text: str = "Say how deep it is."


KINDS: Final[Mapping[str, Kind]] = {
    "built-in with files": Kind((), "delivered", ("--files", "notes"), "When is a swan lost?"),
    "built-in without files": Kind((), "rejected", (), "Zwetschgenkuchen backen"),
    "out of budget": Kind((), "exhausted", ("--budget", "calls=5"), "What stops a swarm?"),
    "files and a child": Kind(cast("Rules", MIND), "delivered"),
    "argued and voted": Kind(ARGUED, "delivered"),
    "rejected by the board": Kind(
        ({"when": {"phase": "vote"}, "fail": {"why": "server"}},), "rejected"
    ),
    "a child replaced": Kind((*REPLACED_END, *REPLACED), "delivered"),
    "models that fail": Kind(FAILING, "delivered"),
    "a spawn refused": Kind(REFUSED, "delivered"),
    "three seats": Kind(ARGUED, "delivered", ("--board", "3")),
    "past its deadline": Kind(WAITING, "deadline", ("--deadline", "4")),
    "a check that stays red": Kind(RED, "failed"),
    "cancelled": Kind(WAITING, "cancelled"),  # the last, for its id is told by none other
}


@dataclass(frozen=True, slots=True)
class Recorded:
    folder: Path
    environment: dict[str, str]
    missions: Mapping[str, str]  # ids by kind

    def replayed(
        self, kind: str, *words: str, data: Path | None = None
    ) -> tuple[int, dict[str, Any]]:
        settings = self.environment | ({} if data is None else {"SWARMD_DATA": str(data)})
        # What a model needs is nowhere to be found.
        done = verb(settings, "replay", self.missions[kind], "--json", *words)
        assert "Traceback" not in done.stderr, done.stderr
        value: dict[str, Any] = json.loads(done.stdout or done.stderr)
        return done.returncode, value


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    with short_folder() as folder:
        data = folder / "data"
        (folder / "notes").mkdir()
        (folder / "notes" / "swan.md").write_text(SORROWS)
        missions = {name: _record(folder, data, name, kind) for name, kind in KINDS.items()}
        for mind in folder.glob("*.yaml"):
            mind.unlink()
        yield Recorded(folder, clean_environment(data), missions)


def _record(folder: Path, data: Path, name: str, kind: Kind) -> str:
    mind = folder / f"{name.replace(' ', '-')}.yaml"
    mind.write_text(yaml.safe_dump(list(kind.rules), sort_keys=False))
    model = f"scripted:{mind}" if kind.rules else "builtin"
    settings = clean_environment(data, SWARMD_MODEL=model)
    if name == "cancelled":
        return _cancelled(folder, settings, kind)
    done = verb(settings, "run", kind.text, *kind.words, cwd=folder)
    (id,) = _ids_in(data) - set(_KNOWN)
    _KNOWN.add(id)
    assert kind.ends in done.stderr, done.stderr
    return id


_KNOWN: set[str] = set()


def _cancelled(folder: Path, settings: dict[str, str], kind: Kind) -> str:
    with child(("run", kind.text), settings, cwd=folder) as running:
        running.until_said("created executive lead")
        (id,) = _ids_in(Path(settings["SWARMD_DATA"])) - set(_KNOWN)
        # What people say and order is played as well.
        assert verb(settings, "say", id, "Make haste.").returncode == 0
        running.until_said("captain-picard: no rule matched")
        assert verb(settings, "cancel", id, "--reason", "enough").returncode == 0
        assert running.ended() != 0
        assert "cancelled" in running.stderr
    return id


def _ids_in(data: Path) -> set[str]:
    return {path.name for path in (data / "record").iterdir() if path.is_dir()}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_again_with_no_model(recorded: Recorded, kind: str) -> None:
    code, value = recorded.replayed(kind)
    # What time alone decided of a prompt (who was first by a moment) is told, and is no finding.
    assert [one for one in value["differences"] if one["kind"] != "question"] == [], value
    assert (code, value["same"], value["ended"]) == (0, True, True)
    assert value["calls"] > 0


def test_what_a_model_did_by_tools_is_the_same_while_its_swarm_runs_on() -> None:
    mind = CapableMind(objects="Say how long each part is to be.", objector="king-solomon")
    with running({"brief": Twin(mind, seats=3)}, seconds=0.1) as under_way:
        swarm = under_way.ended().swarm
        calls, count = under_way.calls, len(under_way.calls)
        done = swarm.verb("replay", "brief", "--json")
        assert done.returncode == 0, (done.stdout, done.stderr)
        value = json.loads(done.stdout)
        assert (value["same"], value["differences"]) == (True, [])
        assert len(calls) == count, "a replay asks no model"


def _copied(recorded: Recorded, kind: str) -> tuple[Path, Path]:
    """A copy of the data folder, and in it the file of a mission's record."""
    data = recorded.folder / "changed"
    shutil.rmtree(data, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.sock", "owner.lock")
    shutil.copytree(recorded.environment["SWARMD_DATA"], data, ignore=ignored)
    (path,) = (data / "record" / recorded.missions[kind]).glob("*.jsonl")
    return data, path


def _changed(recorded: Recorded, kind: str, agent: str, old: str, new: str) -> tuple[Path, str]:
    """A copy of the data folder in whose record one answer is another one, its digest too."""
    data, path = _copied(recorded, kind)
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        call = json.loads(line)
        if call.get("agent_name") == agent and old in (call.get("text") or ""):
            call["text"] = call["text"].replace(old, new)
            call["answer"] = sha256(call["text"])
            lines[number] = json.dumps(call)
            path.write_text("\n".join(lines) + "\n")
            return data, str(call["call"])
    raise AssertionError(f"{agent} answered nothing with {old!r}")


def test_a_changed_answer_is_named_by_what_follows_from_it(recorded: Recorded) -> None:
    data, _ = _changed(recorded, "argued and voted", "king-solomon", '"yes"', '"no"')
    code, value = recorded.replayed("argued and voted", data=data)
    assert (code, value["same"]) == (7, False)
    (motion,) = [one for one in value["differences"] if one["kind"] == "motion"]
    assert "5 yes, 1 no" in motion["recorded"], motion
    assert "4 yes, 2 no" in motion["seen"], motion


def test_an_answer_that_has_not_its_digest_any_more_is_named(recorded: Recorded) -> None:
    data, call = _changed(recorded, "three seats", "lead", "It is done.", "It is well.")
    path = next((data / "record" / recorded.missions["three seats"]).glob("*.jsonl"))
    whole = path.read_text()
    path.write_text(whole.replace(sha256(_text_of(whole, call)), "0" * 64))
    code, value = recorded.replayed("three seats", data=data)
    assert code == 7
    first = value["differences"][0]
    assert (first["kind"], call in first["where"]) == ("answer", True), first
    assert "It is well." in first["seen"]


def test_without_prompts_it_is_played_unless_somebody_ordered_something(recorded: Recorded) -> None:
    for kind, code in (("three seats", 0), ("cancelled", 3)):
        data, path = _copied(recorded, kind)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line.pop("given", None)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        ended, value = recorded.replayed(kind, data=data)
        assert ended == code, value
    assert "does not say what the operator ordered" in value["error"]["message"]


def _text_of(lines: str, name: str) -> str:
    calls = map(json.loads, lines.splitlines())
    return next(str(call["text"]) for call in calls if call.get("call") == name)


def test_until_an_entry_it_shows_tree_and_motion_and_goes_no_further(recorded: Recorded) -> None:
    settings, id = recorded.environment, recorded.missions["argued and voted"]
    numbers = _first_entries(settings, id)
    born, announced = numbers["agent.spawned"], numbers["board.announced"]
    done = verb(settings, "replay", id, "--until", str(born))
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "lead" in done.stdout
    assert "Motion 1 is carried" in done.stdout
    before = verb(settings, "replay", id, "--until", str(announced))
    assert " lead " not in before.stdout
    assert f"up to entry {announced} (" in before.stdout
    for beyond in ("0", "999999"):
        done = verb(settings, "replay", id, "--until", beyond)
        assert done.returncode == 3
        assert f"{beyond} is not within {id}: its entries are " in done.stderr


def _first_entries(settings: Mapping[str, str], mission: str) -> dict[str, int]:
    """The number of a mission's first entry of each event."""
    journal = verb(settings, "tail", "journal", "--since", "0", "--no-follow", "--json").stdout
    entries = [json.loads(line) for line in journal.splitlines()]
    about = [one["data"] for one in reversed(entries) if one["mission"] == mission]
    return {data["event"]: data["n"] for data in about}


def test_a_fork_goes_on_with_another_mind_and_delivers(recorded: Recorded) -> None:
    settings, id = recorded.environment, recorded.missions["three seats"]
    born = str(_first_entries(settings, id)["agent.spawned"])
    mind, folder = recorded.folder / "other.yaml", recorded.folder / "fork"
    other = [{"when": {"role": "executive"}, "moves": [report("Another one did it.")]}]
    mind.write_text(yaml.safe_dump(other))
    words = ("replay", id, "--until", born, "--fork", str(folder), "--model", f"scripted:{mind}")
    done = verb(settings, *words)
    assert done.returncode == 0, done.stderr
    assert "Another one did it." in done.stdout
    costs, began = done.stderr.index("at most for what is left"), done.stderr.index("model: ")
    assert costs < began, done.stderr
    own = settings | {"SWARMD_DATA": str(folder)}
    (mission,) = json.loads(verb(own, "missions", "--json").stdout)["missions"]
    assert (mission["state"], mission["id"] == id) == ("delivered", False)
    assert verb(own, "journal", "verify").returncode == 0
    again = verb(settings, *words)
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)
    assert verb(settings, "replay", id, "--fork", str(recorded.folder / "no")).returncode == 2


def test_at_ten_times_the_speed_and_step_by_step_it_is_the_same(recorded: Recorded) -> None:
    for speed in ("10", "step"):
        code, value = recorded.replayed("three seats", "--speed", speed)
        assert (code, value["same"]) == (0, True), value


def test_it_leaves_nothing_behind_and_the_recorded_swarm_as_it_was(recorded: Recorded) -> None:
    data = Path(recorded.environment["SWARMD_DATA"])
    before = {path: path.stat().st_mtime_ns for path in (data / "record").rglob("*")}
    temporary = recorded.folder / "tmp"
    temporary.mkdir()
    settings = recorded.environment | {"TMPDIR": str(temporary)}
    assert verb(settings, "replay", recorded.missions["three seats"]).returncode == 0
    assert list(temporary.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in (data / "record").rglob("*")} == before


def test_what_cannot_be_played_is_told_with_what_to_do(recorded: Recorded) -> None:
    nobody = verb(recorded.environment, "replay", "m-nobody")
    assert (nobody.returncode, "there is no record of" in nobody.stderr) == (3, True)
    slow = verb(recorded.environment, "replay", recorded.missions["cancelled"], "--speed", "3")
    assert (slow.returncode, "--speed 3" in slow.stderr) == (2, True)
    data, _ = _changed(recorded, "three seats", "lead", "It is done.", "It is well.")
    path = next((data / "record" / recorded.missions["three seats"]).glob("*.jsonl"))
    path.write_text(path.read_text() + '{"left_out": 2, "why": "the record is full", "at": ""}\n')
    code, value = recorded.replayed("three seats", data=data)
    assert (code, "lacks 2 calls" in value["error"]["message"]) == (3, True)
    assert "record_megabytes" in value["error"]["hint"]
