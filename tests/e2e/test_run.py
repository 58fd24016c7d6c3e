"""`swarmd run`: one command from a mission to its result, over real files, with no key and no
server.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmd.app.process import START_PATIENCE_SECONDS
from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import CLERK, MissionId
from tests.e2e.swarm_process import (
    END_SECONDS,
    VERB_SECONDS,
    Child,
    SwarmProcess,
    child,
    clean_environment,
    short_folder,
    swarm_up,
    verb,
)

ROOT = Path(__file__).resolve().parents[2]
CITATION = re.compile(r"^- (?P<quote>.+) \[(?P<file>[^\[\]]+):(?P<line>\d+)(?:-(?P<last>\d+))?\]$")
# Of work, not on the wall: that is also of what else the machine has to do.
RUN_CPU_SECONDS = 60


def spent_on_children() -> float:
    """Seconds of CPU of the processes that have ended and were waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A data folder of its own; the built-in mind, as where there is no key."""
    with short_folder() as data:
        yield clean_environment(data)


def squeezed(text: str) -> str:
    """Without what Markdown and line breaks add to a sentence."""
    return re.sub(r"[^\w]+", " ", text).strip().lower()


def unfounded(brief: str, roots: dict[str, Path]) -> list[str]:
    """Citations whose file does not have the quoted sentence at the line, in words; and how many
    were right.
    """
    found = []
    for line in brief.splitlines():
        cited = CITATION.match(line)
        if cited is None:
            if line.startswith("- "):
                found.append(f"no citation: {line}")
            continue
        top, _, rest = cited["file"].partition("/")
        path = roots[top] / rest if top in roots else Path(cited["file"])
        lines = path.read_text(encoding="utf-8").splitlines()
        first = int(cited["line"])
        # A sentence may begin in the middle of the line cited and run over the next ones.
        if not squeezed(lines[first - 1]):
            found.append(f"an empty line: {line}")
        if squeezed(cited["quote"]) not in squeezed(" ".join(lines[first - 1 : first + 15])):
            found.append(line)
    return found


def citations(brief: str) -> list[re.Match[str]]:
    return [found for line in brief.splitlines() if (found := CITATION.match(line))]


# --- a cited brief ------------------------------------------------------------------------------


def test_run_over_the_projects_own_docs_gives_a_cited_brief_for_a_minute_of_cpu(
    environment: dict[str, str],
) -> None:
    before = spent_on_children()
    done = verb(
        environment,
        "run",
        "How does the board vote, and what stops a runaway swarm?",
        "--files",
        "docs",
        "policies",
        seconds=VERB_SECONDS,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert spent_on_children() - before < RUN_CPU_SECONDS
    assert len(citations(done.stdout)) >= 2
    assert unfounded(done.stdout, {"docs": ROOT / "docs", "policies": ROOT / "policies"}) == []
    # Each half of the question is a theme of its own, and has its section.
    sections = [line for line in done.stdout.splitlines() if line.startswith("## ")]
    assert ["board vote" in sections[0], "runaway swarm" in sections[1]] == [True, True]
    assert "not by a language model" in done.stdout
    for progress in (
        " consent (built-in mind",
        "clerk: ",
        "created executive",
        "(spent ",
        "model: builtin",
    ):
        assert progress not in done.stdout, "progress on standard output"
        assert progress in done.stderr


def test_run_goes_through_all_three_tiers(environment: dict[str, str]) -> None:
    done = verb(
        environment,
        "run",
        "How does the board vote?",
        "--files",
        str(ROOT / "policies"),
        seconds=VERB_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    made = verb(environment, "ps", "--all", "--json")
    tiers = {agent["tier"] for agent in json.loads(made.stdout)["agents"]}
    assert {0, 1, 2} <= tiers


def test_the_same_mission_over_the_same_files_is_the_same_brief(
    environment: dict[str, str],
) -> None:
    words = ("run", "What stops a runaway swarm?", "--files", str(ROOT / "policies"))
    briefs = {verb(environment, *words, seconds=VERB_SECONDS).stdout for _ in range(2)}
    assert len(briefs) == 1
    assert citations(briefs.pop())


def test_without_files_the_swarms_own_policies_are_searched(environment: dict[str, str]) -> None:
    done = verb(environment, "run", "What stops a runaway swarm?", seconds=VERB_SECONDS)
    assert done.returncode == 0, done.stderr
    assert {cited["file"].split("/")[0] for cited in citations(done.stdout)} == {"policies"}
    assert unfounded(done.stdout, {"policies": ROOT / "policies"}) == []


def test_what_nothing_answers_is_rejected_and_what_is_missing_is_said(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "swans.md").write_text("The swan sings before it dies.\n")
    done = verb(
        environment,
        "run",
        "Which isotopes does the reactor's moderator absorb?",
        "--files",
        "swans.md",
        seconds=VERB_SECONDS,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (4, "")
    last = done.stderr.splitlines()[-1]
    assert "rejected" in last
    for word in ("isotopes", "reactor", "moderator"):
        assert word in last


def test_json_is_one_object_with_the_result_and_what_it_spent(environment: dict[str, str]) -> None:
    done = verb(environment, "run", "What stops a runaway swarm?", "--json", seconds=VERB_SECONDS)
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout)
    assert {"id", "state", "reason", "result", "spent"} <= set(end)
    assert (end["state"], end["spent"]["tokens"]) == ("delivered", 0)
    assert end["spent"]["calls"] > 10
    assert citations(end["result"])


def test_files_of_any_name_and_kind_are_read_or_said_to_be_no_text(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "my notes (2026)"
    folder.mkdir()
    (folder / "ünïcode swan.md").write_text("Der Schwan singt. The swan sings before it dies.\n")
    (folder / "empty.md").write_text("")
    (folder / "image.png").write_bytes(bytes(range(256)) * 40)
    (folder / "loop").symlink_to(folder)
    done = verb(
        environment,
        "run",
        "When does the swan sing?",
        "--files",
        folder.name,
        seconds=VERB_SECONDS,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "The swan sings before it dies. [" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_budget_too_small_to_think_with_is_exhausted(environment: dict[str, str]) -> None:
    done = verb(
        environment,
        "run",
        "What stops a runaway swarm?",
        "--budget",
        "calls=5",
        seconds=VERB_SECONDS,
    )
    assert (done.returncode, done.stdout) == (8, "")
    assert "exhausted" in done.stderr.splitlines()[-1]
    assert "budget.exhausted" in done.stderr.splitlines()[-1]


# --- interrupted, resumed -------------------------------------------------------------------------


def dozing(tmp_path: Path) -> str:
    """A model whose researchers are never done: the mission stays under way."""
    rules = tmp_path / "dozing.yaml"
    rules.write_text(
        "- when: {phase: propose}\n"
        "  moves:\n"
        "    - move: propose\n"
        "      motion: {motion: charter, reason: one is enough, executives: [{key: lead, name: "
        "lead, "
        "role: executive, task: wait}]}\n"
        "- when: {role: executive}\n"
        "  moves: [{move: think, thought: I wait.}]\n"
    )
    return f"scripted:{rules}"


@pytest.fixture
def under_way(environment: dict[str, str], tmp_path: Path) -> Iterator[Child]:
    """A `run` whose executive lives and is in no hurry."""
    words = ["run", "Wait for me.", "--model", dozing(tmp_path)]
    with child(words, environment, keeps_stdout=True) as running:
        running.until_said("created executive")
        yield running


def test_ctrl_c_cancels_the_mission_and_shows_its_verified_end(under_way: Child) -> None:
    under_way.process.send_signal(signal.SIGINT)
    assert under_way.ended() == 130
    assert "1 confirmed, 0 unconfirmed, 0 unreachable" in under_way.stderr
    assert "cancelled" in under_way.stderr.splitlines()[-1]
    assert under_way.process.stdout is not None
    assert under_way.process.stdout.read() == ""


def test_a_killed_runs_mission_is_named_by_the_next_and_resumed_only_when_asked(
    under_way: Child, environment: dict[str, str], tmp_path: Path
) -> None:
    under_way.process.kill()
    under_way.ended()
    refused = verb(environment, "run", "Something else.", seconds=VERB_SECONDS)
    assert (refused.returncode, refused.stdout) == (2, "")
    left = re.findall(r"m-[a-z0-9]{10}", refused.stderr)
    assert left, refused.stderr
    assert "--resume" in refused.stderr
    listed = json.loads(verb(environment, "missions", "--json").stdout)["missions"]
    assert {mission["id"]: mission["state"] for mission in listed} == {left[0]: "working"}
    words = ["run", "--resume", "--model", dozing(tmp_path)]
    with child(words, environment, keeps_stdout=True) as resumed:
        resumed.until_said("working: ")
        resumed.process.send_signal(signal.SIGINT)
        assert resumed.ended() == 130
        assert left[0] in resumed.stderr
    # What ran it was killed: whether its end was seen by a new host or is not known, it is said and
    # counted.
    ends = re.findall(r"(\d+) confirmed, (\d+) unconfirmed, (\d+) unreachable", resumed.stderr)
    assert [sum(map(int, counts)) for counts in ends] == [1]


def test_a_mission_killed_in_debate_is_delivered_by_resume(environment: dict[str, str]) -> None:
    words = ["run", "What stops a runaway swarm?"]
    with child(words, environment, keeps_stdout=True) as running:
        running.until_said("proposes:")
        running.process.kill()
        running.ended()
    done = verb(environment, "run", "--resume", seconds=VERB_SECONDS)
    assert done.returncode == 0, done.stderr
    assert citations(done.stdout)
    again = verb(environment, "run", "--resume", seconds=VERB_SECONDS)
    assert (again.returncode, "nothing to resume" in again.stderr) == (2, True)


# --- beside a live daemon -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beside() -> Iterator[SwarmProcess]:
    with short_folder() as data, swarm_up(data) as swarm:
        yield swarm


def test_run_beside_a_live_up_submits_to_it(beside: SwarmProcess) -> None:
    words = ("What stops a runaway swarm?", "--json")
    done = beside.verb("run", *words, "--durability", "strict", "--model", "openai:nobody")
    assert done.returncode == 0, done.stderr
    (handed,) = [line for line in done.stderr.splitlines() if "does the mission" in line]
    for said in (str(beside.data), "model", "policies", "durability", "not used"):
        assert said in handed
    told = json.loads(done.stdout)
    mission = beside.mission(told["id"])
    assert {*mission} <= {*told}, "the shape that `submit --wait --json` has"
    waited = json.loads(beside.verb("submit", *words, "--wait").stdout)
    assert {*waited} == {*told}
    assert (mission["state"], mission["mission"]) == ("delivered", "What stops a runaway swarm?")
    assert beside.redis.scard("swarm:_hosts") == 1, "it brought a worker of its own"
    assert beside.child.process.poll() is None


def test_what_cannot_be_run_beside_a_live_up_is_said_at_once(beside: SwarmProcess) -> None:
    resumed = beside.verb("run", "--resume")
    assert (resumed.returncode, "goes on with its missions itself" in resumed.stderr) == (2, True)
    started = time.monotonic()
    other = beside.verb("run", "Find it.", "--namespace", "other")
    assert time.monotonic() - started < START_PATIENCE_SECONDS
    assert (other.returncode, other.stdout) == (2, "")
    assert "is named swarm, and not other" in other.stderr


def test_run_with_files_beside_a_live_up_reads_them(beside: SwarmProcess, tmp_path: Path) -> None:
    (tmp_path / "swans.md").write_text("The swan sings before it dies.\n")
    done = beside.verb("run", "When does the swan sing?", "--files", str(tmp_path / "swans.md"))
    assert done.returncode == 0, done.stderr
    assert "The swan sings before it dies. [" in done.stdout


def test_ctrl_c_beside_a_live_up_cancels_its_own_mission_and_no_other(tmp_path: Path) -> None:
    with short_folder() as data, swarm_up(data, SWARMD_MODEL=dozing(tmp_path)) as swarm:
        other = swarm.submit("The mission of somebody else.")
        swarm.until(lambda: swarm.agents_of(other), "the other mission is under way")
        with (
            talking(swarm, other),
            child(
                ["run", "Wait for me.", "--resume"], swarm.environment, keeps_stdout=True
            ) as running,
        ):
            own = swarm.until(
                lambda: next((m for m in swarm.moment().missions if m != other), None),
                "our own mission",
            )
            swarm.until(lambda: swarm.agents_of(own), "our own mission is under way")
            running.process.send_signal(signal.SIGINT)
            assert running.ended() == 130, running.stderr
        assert "1 confirmed, 0 unconfirmed, 0 unreachable" in running.stderr
        assert swarm.mission(own)["state"] == "cancelled"
        assert swarm.mission(other)["state"] == "working"
        assert "Words of the other mission." not in running.stderr


def test_a_run_whose_host_swarm_ends_says_so_and_leaves_its_mission_to_resume(
    under_way: Child, environment: dict[str, str]
) -> None:
    with child(["run", "What stops a runaway swarm?"], environment, keeps_stdout=True) as guest:
        guest.until_said("Mission m-")
        under_way.process.send_signal(signal.SIGTERM)
        assert under_way.ended() == 143
        assert guest.ended() == 5
        assert "--resume" in guest.stderr
    listed = json.loads(verb(environment, "missions", "--json").stdout)["missions"]
    unfinished = [
        m["mission"]
        for m in listed
        if m["state"] in ("docketed", "debating", "working", "reviewing")
    ]
    assert unfinished == ["What stops a runaway swarm?"]


@contextmanager
def talking(swarm: SwarmProcess, mission: str) -> Iterator[None]:
    """Somebody of another mission speaks in the board's room, all the time."""
    over = threading.Event()
    sealer, said = (
        swarm.sealer(),
        Message(
            sender=CLERK,
            kind=Kind.NOTICE,
            mission=MissionId(mission),
            at="2026-01-01T00:00:00.000Z",
            text="Words of the other mission.",
        ),
    )

    def talk() -> None:
        while not over.wait(0.002):
            swarm.post(sealer, BOARD_ROOM, said)

    talker = threading.Thread(target=talk, name="talker")
    talker.start()
    try:
        yield
    finally:
        over.set()
        talker.join(END_SECONDS)


def test_a_second_up_on_the_same_folder_says_that_one_runs(beside: SwarmProcess) -> None:
    with child(["up"], beside.environment) as second:
        assert second.ended() not in (0, None)
        assert str(beside.data) in second.stderr
        assert "is up, on" not in second.stderr
        assert "Traceback" not in second.stderr
    assert beside.child.process.poll() is None
    assert beside.redis.scard("swarm:_hosts") == 1
