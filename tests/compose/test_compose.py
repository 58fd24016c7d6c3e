"""The stack of docker-compose.yml on a real engine, used as a person would use it: through
redis-cli.

The tests of this file share one stack and run in the order in which they stand, for bringing it up
costs more than all of them. Each waits for what it claims and not for a time; the waits' bounds are
for failures only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from swarmd.adapters.config import loader
from swarmd.adapters.redis import acl
from tests.restart.rounds import LEAD

pytestmark = [pytest.mark.compose, pytest.mark.timeout(420)]

REPOSITORY: Final = Path(__file__).resolve().parents[2]
BASE_IMAGE: Final = "swarmd-base:latest"
WORKERS: Final = 2
SEATS: Final = {
    "captain-picard",
    "gandhi",
    "king-solomon",
    "marcus-aurelius",
    "socrates",
    "tony-stark",
}
AGENT_FIELDS: Final = {
    *("id", "name", "role", "tier", "parent", "path", "mission", "state"),
    *("reason", "incarnation", "host", "lease", "created", "ended"),
}
ENDED: Final = {"delivered", "rejected", "failed", "cancelled", "exhausted"}
# A lease has to expire, its agents to be placed anew and the rest of the mission to run, on a
# machine of two cores.
MISSION_SECONDS: Final = 150.0


def run(
    *words: str, seconds: float = 60, standard_input: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=REPOSITORY,
        env=os.environ | environment,
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def missing_part() -> str:
    """What this machine lacks to run the stack; empty where nothing."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if run("docker", "info").returncode:
        return "no Docker engine answers (tests/compose/engine starts one on a bare Debian machine)"
    if run("docker", "compose", "version").returncode:
        return "the docker command has no Compose v2"
    return ""


@dataclass(frozen=True, slots=True)
class Stack:
    """One Compose project, under a name of its own: a stack that the user runs beside it is not
    touched.
    """

    project: str
    files: tuple[str, ...]
    environment: Mapping[str, str]

    def compose(self, *words: str, seconds: float = 120) -> str:
        chosen = [word for file in self.files for word in ("-f", file)]
        done = run(
            "docker",
            "compose",
            "-p",
            self.project,
            *chosen,
            *words,
            seconds=seconds,
            **self.environment,
        )
        assert done.returncode == 0, (
            f"docker compose {' '.join(words)}: {done.stdout}\n{done.stderr}"
        )
        return done.stdout

    @contextmanager
    def stopping(self, *services: str) -> Iterator[None]:
        """While `docker compose stop` runs; leaves when it has ended."""
        chosen = [word for file in self.files for word in ("-f", file)]
        with subprocess.Popen(
            ["docker", "compose", "-p", self.project, *chosen, "stop", *services],
            cwd=REPOSITORY,
            env=os.environ | dict(self.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as stop:
            yield
            assert stop.wait(120) == 0

    def with_file(self, file: str, **environment: str) -> Stack:
        """The same project with one more file over it."""
        return Stack(self.project, (*self.files, file), {**self.environment, **environment})

    def up(self) -> None:
        try:
            self.compose("up", "--detach", "--wait", "--scale", f"worker={WORKERS}", seconds=180)
        except (AssertionError, subprocess.TimeoutExpired):
            pytest.fail(f"the stack did not become healthy\n{self.last_words()}", pytrace=False)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--all", "--quiet", service).split()

    def redis_words(self, *words: str) -> list[str]:
        # Not `docker compose exec`: that reads the project anew, and a poll has to be quick to
        # catch a mission at work.
        return ["docker", "exec", "-i", f"{self.project}-redis-1", "redis-cli", *words]

    def redis(self, *words: str, user: str = "") -> Any:
        """As the submitter, whom `redis-cli` stands for in that container where no other is
        named.
        """
        done = run(*self.redis_words(*(["--user", user] if user else []), "--json", *words))
        assert done.returncode == 0, f"redis-cli {words}: {done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def mission_state(self, mission: str) -> str:
        return str(self.redis("HGET", f"swarm:mission:{mission}", "state") or "")

    def results(self) -> list[dict[str, Any]]:
        entries = [
            json.loads(flat_fields(entry[1])["m"])
            for entry in self.redis("XRANGE", "swarm:results", "-", "+")
        ]
        return [{"data": {}} | entry for entry in entries]

    def agents_of(self, mission: str) -> list[dict[str, str]]:
        """In two calls however many there are: the engine takes a tenth of a second for each."""
        keys: list[str] = self.redis("KEYS", "swarm:agent:*", user="admin")
        asked = "".join(f"HGETALL {key}\n" for key in keys)
        done = run(*self.redis_words("--json"), standard_input=asked)
        agents: list[dict[str, str]] = [json.loads(line) for line in done.stdout.splitlines()]
        return [agent for agent in agents if agent.get("mission") == mission]

    def machines(self) -> dict[str, str]:
        """The container of each host, by its first twelve digits, which are its name to what
        runs in it.
        """
        told = json.loads(self.compose("exec", "-T", "supervisor", "swarmd", "health", "--json"))
        return {host["id"]: host["hostname"] for host in told["hosts"]}

    def until(
        self, claim: str, holds: Callable[[], object], seconds: float = MISSION_SECONDS
    ) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                pytest.fail(
                    f"after {seconds:.0f} s, not so: {claim}\n{self.last_words()}", pytrace=False
                )
            time.sleep(0.05)

    def result_of(self, mission: str) -> dict[str, Any]:
        self.until(f"mission {mission} has a result", lambda: self.mission_state(mission) in ENDED)
        found = [result for result in self.results() if result["mission"] == mission]
        assert len(found) == 1, f"one result each, but {mission} has {len(found)}"
        return found[0]

    def submit(self, mission: str, text: str, *files: str) -> None:
        self.redis(
            "XADD",
            "swarm:missions",
            "*",
            "mission",
            text,
            "id",
            mission,
            "files",
            json.dumps(files),
        )

    def host_at_work_on(self, mission: str) -> str:
        """Waits until sub-agents work on the mission, and tells the host of one of them."""

        def hosts() -> list[str]:
            return [
                a["host"]
                for a in self.agents_of(mission)
                if int(a["tier"]) > 1 and a["host"] and not a["ended"]
            ]

        self.until(
            f"{mission} has sub-agents", lambda: hosts() or self.mission_state(mission) in ENDED
        )
        at_work = hosts()
        assert at_work, (
            f"{mission} ended before anybody could break in on it: {self.result_of(mission)}"
        )
        return at_work[0]

    def give_workers(self, processors: float) -> None:
        """The built-in mind is done within a second: a small part of a processor makes time to
        break in on it.
        """
        done = run("docker", "update", "--cpus", str(processors), *self.containers("worker"))
        assert done.returncode == 0, done.stderr

    def last_words(self) -> str:
        return self.compose("ps", "--all") + self.compose("logs", "--no-color", "--tail", "25")


def flat_fields(flat: Sequence[str]) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def write_knowledge(folder: Path) -> None:
    """Real files over two themes; `archive/` is large enough for a mission over it to be
    interrupted.
    """
    for name, text in NOTES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for year in range(1960, 2020):
        path = folder / "archive" / f"harbour-{year}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(harbour_year(year), encoding="utf-8")
    # The engine's user 10001 reads what the test's user wrote; pytest's own folders are 0700.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


NOTES: Final = {
    "bees/varroa.md": (
        "# Varroa mites\n\nThe varroa mite feeds on the fat body of adult bees and breeds in "
        "capped brood.\n\n"
        "## Treatment\n\nOxalic acid is trickled in winter, when a colony of bees has no brood "
        "that shields the mites.\n"
        "Formic acid passes through the cappings and kills varroa mites in the brood as well.\n"
        "A brood break of three weeks leaves the mites no cell to breed in.\n"
    ),
    "bees/winter.md": (
        "# Wintering a colony\n\nA colony of bees needs fifteen to twenty kilograms of stores for "
        "the winter.\n\n"
        "## Before the frost\n\nTreat against varroa mites after the last harvest, or the winter "
        "bees hatch damaged.\n"
        "Close the entrance to the width of two bees against mice, and leave a gap for moist air "
        "above.\n"
    ),
    "bees/swarms.md": (
        "# Swarms of bees\n\nA colony swarms in May when the queen runs out of cells to lay in.\n"
        "A caught swarm has no capped brood, so its varroa mites can be treated with oxalic acid "
        "at once.\n"
    ),
}


def harbour_year(year: int) -> str:
    ships, storms, depth = 200 + year % 37, 3 + year % 5, 9 + year % 4
    return "\n\n".join(
        [
            f"# The harbour in {year}",
            (
                f"In {year} the harbour received {ships} ships, most of them with grain, timber "
                "and coal."
            ),
            (
                f"## Dredging\n\nThe fairway was dredged to {depth} metres in {year}, and the "
                "spoil "
                "was taken to the north bank."
            ),
            (
                f"## Storms\n\nThere were {storms} storms in {year}; the breakwater of the harbour "
                "lost stones in one of them."
            ),
            *(
                f"## Quay {quay}\n\nQuay {quay} handled {ships // quay} ships in {year}. Its "
                "crane was repaired"
                f" {1 + (year + quay) % 3} times, and the dredging in front of it took {2 + quay} "
                "days."
                for quay in range(1, 13)
            ),
        ]
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if missing := missing_part():
        # On a laptop a skip; where everything has to be there, its absence is the failure.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    knowledge = tmp_path_factory.mktemp("knowledge")
    write_knowledge(knowledge)
    can_pull = run("docker", "image", "inspect", BASE_IMAGE).returncode != 0
    project = f"swarmd-test-{os.getpid()}"
    stack = Stack(
        project=project,
        files=("docker-compose.yml",)
        if can_pull
        else ("docker-compose.yml", "tests/compose/override.yml"),
        # The last three are named to be empty: what the developer's shell or `.env` says of them is
        # not meant here.
        environment={
            "SWARMD_IMAGE": f"{project}:latest",
            "SWARMD_KNOWLEDGE_DIR": str(knowledge),
            "SWARMD_MODEL": "",
            "SWARMD_NAMESPACE": "",
            "OPENAI_BASE_URL": "",
        },
    )
    build(stack, with_wheels=not can_pull)
    try:
        stack.up()
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "5")
        run("docker", "image", "rm", "--force", f"{project}:latest")


def build(stack: Stack, *, with_wheels: bool) -> None:
    """Wheels that were made here go again: a later build in this checkout would install the
    swarmd among them.
    """
    wheels = REPOSITORY / "wheels"
    is_ours = with_wheels and not wheels.exists()
    try:
        if is_ours:
            made = run("tests/compose/engine", "wheels", str(wheels), seconds=240)
            assert made.returncode == 0, made.stderr
        stack.compose("build", seconds=400)
    finally:
        if is_ours:
            shutil.rmtree(wheels, ignore_errors=True)


@pytest.fixture
def debate(stack: Stack, tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What a terminal that runs `redis-cli --user operator SUBSCRIBE swarm:room:sob` has shown
    so far, ring by ring.
    """
    heard = tmp_path / "debate"
    words = stack.redis_words("--user", "operator", "SUBSCRIBE", "swarm:room:sob")
    with (
        heard.open("w") as screen,
        subprocess.Popen(words, stdout=screen, stdin=subprocess.DEVNULL) as terminal,
    ):
        stack.until(
            "redis-cli has subscribed", lambda: heard.read_text().startswith("subscribe"), 20
        )
        yield lambda: [
            json.loads(line) for line in heard.read_text().splitlines() if line.startswith("{")
        ]
        terminal.terminate()


def test_the_stack_is_healthy_without_a_key(stack: Stack) -> None:
    shown = [json.loads(line) for line in stack.compose("ps", "--format", "json").splitlines()]
    services = sorted(container["Service"] for container in shown)
    assert services == ["redis", "supervisor", *["worker"] * WORKERS]
    assert {container["Health"] for container in shown} == {"healthy"}


@pytest.mark.parametrize("service", ["supervisor", "worker"])
def test_a_container_is_not_root_and_writes_nothing_but_its_data(
    stack: Stack, service: str
) -> None:
    tries = (
        "id -u; for f in /data /tmp /opt/swarmd /knowledge /; do touch $f/tried 2>/dev/null "
        "&& echo $f; done; rm -f /data/tried"
    )
    said = stack.compose("exec", "-T", service, "sh", "-c", tries).split()
    assert said == ["10001", "/data", "/tmp"]


def test_redis_is_published_nowhere(stack: Stack) -> None:
    assert run("docker", "port", f"{stack.project}-redis-1").stdout == ""


def test_redis_knows_the_users_of_the_policy_and_nobody_else(stack: Stack) -> None:
    def category(name: str) -> list[str]:
        commands: list[str] = stack.redis("ACL", "CAT", name, user="admin")
        return commands

    told = [acl.parse_user(line, category) for line in stack.redis("ACL", "LIST", user="admin")]
    found = {user.name: user for user in told}
    wanted = acl.users(loader.load().acl, "swarm")
    assert set(found) == {"default", *(user.name for user in wanted.values())}
    differences = [
        acl.difference(role, user, found.get(user.name)) for role, user in wanted.items()
    ]
    assert [one for one in differences if not one.is_none] == []
    assert not found["default"].is_on
    # The real client, which knows no password.
    real = (
        "test -x /usr/local/bin/redis-cli && exec /usr/local/bin/redis-cli PING; exec "
        "/usr/bin/redis-cli PING"
    )
    assert "NOAUTH" in run("docker", "exec", f"{stack.project}-redis-1", "sh", "-c", real).stdout


def test_each_part_holds_its_own_password_alone(stack: Stack) -> None:
    """A worker that was taken over must not find the supervisor's."""
    look = "test ! -e /users; ls /run/redis; cat /run/redis/password"
    held = {
        part: stack.compose("exec", "-T", part, "sh", "-euc", look)
        for part in ("supervisor", "worker")
    }
    assert held["supervisor"] != held["worker"]
    for said in held.values():
        assert re.fullmatch(r"password\n[\w-]{43}\n", said), said


def test_no_worker_sees_the_journal_and_its_key(stack: Stack) -> None:
    """Who has the key can write another past; and nobody but `users` may change the secret."""
    look = (
        "find / -xdev -name signing.key -o -xdev -name signing.pub 2>/dev/null; "
        "find /data /run/swarmd -name 'signing.*' -o -name secret; touch /run/swarmd/x 2>/dev/null && echo written || :"
    )
    found = {
        part: stack.compose("exec", "-T", part, "sh", "-c", look).split()
        for part in ("supervisor", "worker")
    }
    assert set(found["supervisor"]) == {
        "/data/journal/signing.key",
        "/data/journal/signing.pub",
        "/run/swarmd/secret",
    }
    assert found["worker"] == ["/run/swarmd/secret"]
    config = json.loads(stack.compose("config", "--format", "json"))
    mounts = {
        part: {mount["source"]: mount["target"] for mount in config["services"][part]["volumes"]}
        for part in ("supervisor", "worker")
    }
    assert mounts["supervisor"]["journal"] == "/data/journal"
    assert "journal" not in mounts["worker"]
    assert {mounts["worker"][name] for name in ("workspace", "secret")} == {
        "/data/workspace",
        "/run/swarmd",
    }


def test_a_key_reaches_the_workers_as_a_file_and_nobody_else(stack: Stack, tmp_path: Path) -> None:
    key = tmp_path / "openai_api_key"
    key.write_text("sk-not-a-real-key\n")
    key.chmod(0o444)
    keyed = stack.with_file("docker-compose.openai.yml", OPENAI_API_KEY_FILE=str(key))
    read = ("--entrypoint", "sh", "worker", "-c", 'cat "$OPENAI_API_KEY_FILE"')
    assert keyed.compose("run", "--rm", "--no-deps", "-T", *read) == "sk-not-a-real-key\n"

    config = json.loads(keyed.compose("config", "--format", "json"))
    assert [name for name, service in config["services"].items() if service.get("secrets")] == [
        "worker"
    ]
    assert "sk-not-a-real-key" not in json.dumps(config)


def test_a_published_mission_is_delivered_and_reads_as_in_the_contract(
    stack: Stack, debate: Callable[[], list[dict[str, Any]]]
) -> None:
    mission = {
        "mission": "How are varroa mites of bees treated?",
        "id": "bees-1",
        "files": ["bees"],
    }
    assert stack.redis("PUBLISH", "swarm:missions", json.dumps(mission)) == 1, (
        "the leading supervisor alone hears"
    )

    result = stack.result_of("bees-1")
    assert (result["from"], result["kind"], result["data"]["state"]) == (
        "sob",
        "result",
        "delivered",
    ), result
    cited = re.findall(r"bees/\w+\.md:\d+", result["text"])
    assert cited, result["text"]

    rings = [ring for ring in debate() if ring["mission"] == "bees-1"]
    assert {ring["from"] for ring in rings} >= SEATS
    assert all(ring["channel"] == "room:sob" and ring["id"] and ring["prev"] for ring in rings)

    agents = {agent["id"]: agent for agent in stack.agents_of("bees-1")}
    assert all(set(agent) >= AGENT_FIELDS for agent in agents.values())
    assert {agent["tier"] for agent in agents.values()} >= {"1", "2"}
    for agent in agents.values():
        creator = agents.get(agent["parent"], {"id": "sob", "tier": "0"})
        assert (agent["parent"], int(agent["tier"])) == (creator["id"], int(creator["tier"]) + 1)
    assert {agent["state"] for agent in agents.values()} == {"terminated"}


def test_an_operator_looks_and_speaks_and_hands_in_nothing(stack: Stack) -> None:
    assert "bees-1" in stack.compose("run", "--rm", "-T", "operator", "missions")
    assert stack.compose("run", "--rm", "-T", "operator", "say", "room:sob", "Be brief.")
    refused = run(*stack.redis_words("--user", "operator", "PUBLISH", "swarm:missions", "x"))
    assert "NOPERM" in refused.stdout


def test_a_mission_of_bare_text_is_delivered_from_the_swarms_own_knowledge(stack: Stack) -> None:
    text = "How does the board decide on a motion?"
    known = len(stack.results())
    assert stack.redis("PUBLISH", "swarm:missions", text) == 1
    stack.until("there is one more result", lambda: len(stack.results()) > known)
    result = stack.results()[-1]
    assert result["data"]["state"] == "delivered", result
    assert stack.redis("HGET", f"swarm:mission:{result['mission']}", "mission") == text


def test_a_worker_killed_in_the_middle_of_a_mission_does_not_stop_it(stack: Stack) -> None:
    machines = stack.machines()
    stack.give_workers(0.04)
    stack.submit("killed-1", "What is known of dredging in front of the quays?", "archive")
    victim = machines[stack.host_at_work_on("killed-1")]
    assert run("docker", "kill", "--signal", "KILL", victim).returncode == 0
    assert stack.mission_state("killed-1") not in ENDED, "the mission ended before the kill"
    stack.give_workers(1)

    result = stack.result_of("killed-1")
    assert result["data"]["state"] == "delivered", result
    # An engine takes a kill for a wish: it does not start what was killed by hand, so one worker
    # did the rest.
    assert run("docker", "inspect", "-f", "{{.State.Running}}", victim).stdout.strip() == "false"
    stack.up()


def test_a_stack_stopped_in_the_middle_of_a_mission_goes_on_when_started(stack: Stack) -> None:
    stack.give_workers(0.04)
    stack.submit("stopped-1", "Which storms damaged the breakwater of the harbour?", "archive")
    stack.host_at_work_on("stopped-1")
    with stack.stopping("supervisor", "worker"):
        heard = "process.ending"
        stack.until(
            "the workers know of it",
            lambda: stack.compose("logs", "worker").count(heard) >= WORKERS,
            60,
        )
        # A grace period is for a worker with a processor to itself.
        stack.give_workers(1)
    assert stack.mission_state("stopped-1") not in ENDED, "the mission ended before the stop"
    stopped = [*stack.containers("supervisor"), *stack.containers("worker")]
    codes = run("docker", "inspect", "-f", "{{.State.ExitCode}}", *stopped).stdout.split()
    assert "137" not in codes, "one of them did not leave within its grace period and was killed"
    stack.compose("stop")
    stack.compose("start")

    stack.until(
        "redis answers", lambda: run(*stack.redis_words("PING")).stdout.strip() == "PONG", 30
    )
    result = stack.result_of("stopped-1")
    assert result["data"]["state"] == "delivered", result


@dataclass(frozen=True, slots=True)
class Kept:
    """What a restart may not change, of a stack whose supervisor and workers are stopped."""

    keys: frozenset[str]
    spent: Mapping[str, str]
    journal: str
    results: int


def kept_by(stack: Stack) -> Kept:
    keys: list[str] = stack.redis("KEYS", "swarm:*", user="admin")
    accounts = [key for key in keys if key.startswith("swarm:ledger:")]
    return Kept(
        keys=frozenset(keys) - {LEAD},
        spent={
            f"{key} {name}": str(value)
            for key in accounts
            for name, value in stack.redis("HGETALL", key).items()
            if name.endswith(".spent")
        },
        journal=str(stack.redis("HGET", "swarm:_journal", "n", user="admin")),
        results=len(stack.results()),
    )


def verdict(stack: Stack) -> str:
    """Not `compose`: what is found is an exit of its own."""
    chosen = [word for file in stack.files for word in ("-f", file)]
    words = ("run", "--rm", "-T", "operator", "journal", "verify", "--json")
    done = run(
        "docker", "compose", "-p", stack.project, *chosen, *words, seconds=120, **stack.environment
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return str(told["verdict"]) + "".join(f"; {one['what']}" for one in told["findings"])


def answers(stack: Stack) -> None:
    stack.until(
        "redis answers", lambda: run(*stack.redis_words("PING")).stdout.strip() == "PONG", 60
    )


def test_a_restarted_redis_has_all_that_it_had(stack: Stack) -> None:
    stack.compose("stop", "supervisor", "worker")
    before = kept_by(stack)
    assert len(before.keys) > 40
    assert any(int(value) for value in before.spent.values())
    assert verdict(stack) == "verified"
    stack.compose("restart", "redis")
    answers(stack)
    assert kept_by(stack) == before
    assert verdict(stack) == "verified"


def documented(stack: Stack, block: str, folder: Path) -> None:
    """Runs a block of docs/compose.md as it stands there, but for the name of the project and of
    its image.
    """
    chosen = " ".join(f"-f {file}" for file in stack.files)
    ours = (
        f'docker() {{ if [ "$1" = compose ]; then shift; (cd {REPOSITORY} && command docker '
        f'compose -p {stack.project} {chosen} "$@"); else command docker "$@"; fi; }}'
    )
    block = block.replace("swarmd_$volume", f"{stack.project}_$volume").replace(
        "run --rm operator", "run --rm -T operator"
    )
    block = block.replace("swarmd:latest", stack.environment["SWARMD_IMAGE"])
    done = subprocess.run(
        ["bash", "-euc", f"{ours}\n{block}"],
        cwd=folder,
        env=os.environ | dict(stack.environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documented_backup_is_the_same_swarm_when_it_is_restored(
    stack: Stack, tmp_path: Path
) -> None:
    page = (REPOSITORY / "docs" / "compose.md").read_text()
    backup, restore = re.findall(
        r"```sh\n(.*?)```", page.split("## Back it up")[1].split("## Upgrade")[0], re.DOTALL
    )
    before = kept_by(stack)
    documented(stack, backup, tmp_path)
    documented(stack, restore, tmp_path)
    known = len(stack.results())
    assert known == before.results, "nothing is done a second time"
    stack.submit("restored-1", "How are varroa mites of bees treated?", "bees")
    assert stack.result_of("restored-1")["data"]["state"] == "delivered"
    stack.compose("exec", "-T", "supervisor", "swarmd", "health")
    stack.compose("stop", "supervisor", "worker")
    after = kept_by(stack)
    assert before.keys <= after.keys
    mine = {name: n for name, n in before.spent.items() if not name.startswith("swarm:ledger:sob ")}
    assert mine.items() <= after.spent.items()
    assert verdict(stack) == "verified"


def test_taking_it_down_leaves_nothing_behind(stack: Stack) -> None:
    stack.compose("down", "--volumes")
    label = f"label=com.docker.compose.project={stack.project}"
    left = [
        run("docker", kind, "ls", "-q", "--filter", label).stdout for kind in ("volume", "network")
    ]
    assert [run("docker", "ps", "-aq", "--filter", label).stdout, *left] == ["", "", ""]
