"""Bad input is a clear error, and nothing is lost: at the entrance, on the command line and in the
declarations.

One running swarm takes all of it; that it still does its job is asked at the end.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmd.core.model.channels import ORDERS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR
from tests.e2e.swarm_process import (
    END_SECONDS,
    Fields,
    SwarmProcess,
    clean_environment,
    data_of,
    plain_redis_cli,
    short_folder,
    swarm_up,
    swarmd,
    unbalanced,
    verb,
)

LARGE = 1_000_001


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwarmProcess]:
    knowledge = tmp_path_factory.mktemp("knowledge")
    (knowledge / "swans.md").write_text("The swan sings before it dies.\n")
    (knowledge / "away.md").symlink_to("/etc/hostname")
    with short_folder() as data, swarm_up(data, SWARMD_KNOWLEDGE=str(knowledge)) as swarm:
        yield swarm


def rejected_after(swarm: SwarmProcess, count: int) -> Fields:
    """The one result that came after `count` others; it says why a mission was not taken."""
    (_, result) = swarm.until(
        lambda: next(iter(swarm.entries("results")[count:]), None), "a rejection"
    )
    data = data_of(result)
    assert (data["state"], data["spent"], data["reason"]) == ("rejected", {}, result["text"])
    mission = swarm.mission(result["mission"])
    assert (mission["state"], mission["reason"]) == ("rejected", result["text"])
    return result


# --- the entrance -------------------------------------------------------------------------------

UNTAKABLE: dict[str, tuple[list[str | bytes], str]] = {
    "empty": (["mission", ""], "empty"),
    "blank": (["mission", " \n\t "], "empty"),
    "no mission": (["id", "no-mission"], "empty"),
    "binary": (["mission", b"\xff\xfe\x00\x01swan"], "not text"),
    "control characters": (["mission", "swan\x1b]0;title\x07"], "not text"),
    "huge": (["mission", "x" * LARGE], "larger than 1,000,000 bytes"),
    "huge in bytes alone": (["mission", "ü" * 500_001], "larger than 1,000,000 bytes"),
    "a bad id": (["mission", "swans", "id", "../../etc"], "id:"),
    "an id with a newline": (["mission", "swans", "id", "a\n"], "id:"),
    "an id too long": (["mission", "swans", "id", "a" * 65], "id:"),
    "an unknown field": (["mission", "swans", "tier", "0"], "tier:"),
    "budget no JSON": (["mission", "swans", "budget", "{tokens"], "budget: not JSON"),
    "budget no object": (["mission", "swans", "budget", "7"], "budget:"),
    "budget of another kind": (["mission", "swans", "budget", '{"gold": 7}'], "budget"),
    "budget negative": (["mission", "swans", "budget", '{"tokens": -1}'], "budget"),
    "budget beyond numbers": (["mission", "swans", "budget", '{"tokens": 1e400}'], "budget"),
    "budget no integer": (["mission", "swans", "budget", '{"tokens": "many"}'], "budget"),
    "deadline of nothing": (["mission", "swans", "deadline_s", "0"], "deadline_s"),
    "deadline no number": (["mission", "swans", "deadline_s", "soon"], "deadline_s: not JSON"),
    "deadline NaN": (["mission", "swans", "deadline_s", "NaN"], "deadline_s"),
    "files no list": (["mission", "swans", "files", '"swans.md"'], "files"),
    "files not there": (["mission", "swans", "files", '["geese.md"]'], "files: "),
    "files above": (["mission", "swans", "files", '["../secret.md"]'], "files"),
    "files absolute": (["mission", "swans", "files", '["/etc/passwd"]'], "files"),
    "files behind a link": (["mission", "swans", "files", '["away.md"]'], "files: "),
    "files far too deep": (["mission", "swans", "files", "[" * 100_000], "files: not JSON"),
}


@pytest.mark.parametrize("name", UNTAKABLE)
def test_what_xadd_brings_and_cannot_be_taken_is_rejected_with_the_reason(
    swarm: SwarmProcess, name: str
) -> None:
    flat, why = UNTAKABLE[name]
    before = len(swarm.entries("results"))
    words = [word.encode() if isinstance(word, str) else word for word in flat]
    swarm.redis.xadd("swarm:missions", dict(zip(words[::2], words[1::2], strict=True)))
    result = rejected_after(swarm, before)
    assert result["text"].startswith("mission.invalid: ")
    assert why in result["text"]
    assert len(result["text"]) < 500, "the reason repeats the input"


PUBLISHED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "binary": (b"\x80\x81\x82 swans", "not text"),
    "huge": (b"y" * LARGE, "larger than 1,000,000 bytes"),
    "half a JSON object": (b'{"mission": "swans"', "valid JSON object"),
    "JSON without a mission": (b'{"id": "published-1"}', "empty"),
    "JSON with another type": (b'{"mission": ["swans"]}', ""),
    "JSON with an unknown field": (b'{"mission": "swans", "tier": 0}', "tier"),
    "JSON nested without end": (b'{"a":' * 50_000, "valid JSON object"),
    "JSON with a lone surrogate": (b'{"mission": "swans \\ud800"}', "not text"),
    "JSON with a wrong budget": (b'{"mission": "swans", "budget": {"tokens": "x"}}', "budget"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_publish_brings_and_cannot_be_taken_is_rejected_with_the_reason(
    swarm: SwarmProcess, name: str
) -> None:
    body, why = PUBLISHED[name]
    before, kept = len(swarm.entries("results")), swarm.redis.xlen("swarm:missions")
    # From standard input (`-x`), as only so a client can be given any bytes.
    assert int(swarm.redis_cli("-x", "PUBLISH", "swarm:missions", stdin=body)) >= 1
    assert why in rejected_after(swarm, before)["text"]
    assert swarm.redis.xlen("swarm:missions") == int(kept) + 1, (
        "it was not stored before it was judged"
    )


def test_a_mission_named_like_somebody_of_the_swarm_is_rejected(swarm: SwarmProcess) -> None:
    for id in ("sob", "socrates", "operator"):
        before = len(swarm.entries("results"))
        swarm.redis.xadd("swarm:missions", {"mission": "Take the throne.", "id": id})
        assert "names somebody" in rejected_after(swarm, before)["text"]
    assert swarm.hash("swarm:agent:sob")["state"] == "live"


def test_what_is_no_message_in_a_channel_is_passed_over(swarm: SwarmProcess) -> None:
    for channel in ("requests", "orders", "room:sob", "up:sob", "inbox:socrates"):
        swarm.redis.xadd(f"swarm:{channel}", {"hello": "world"})
        swarm.redis.xadd(f"swarm:{channel}", {b"from": b"\xff", b"kind": b"order", b"data": b"{"})
        swarm.redis.publish(f"swarm:{channel}", "{not a ring")
        swarm.redis.publish(f"swarm:{channel}", b"\xff\x00")
    assert swarm.verb("health").returncode == 0


def test_an_order_that_makes_no_sense_is_refused_in_the_journal(swarm: SwarmProcess) -> None:
    order = Message(
        sender=OPERATOR,
        kind=Kind.ORDER,
        at="2026-01-01T00:00:00.000Z",
        data={"order": "o-nonsense", "verb": "explode", "target": "sob"},
    )
    swarm.post(swarm.sealer(), ORDERS, order)

    def refusal() -> Fields | None:
        said = [fields for _, fields in swarm.entries("journal")]
        return next(
            (fields for fields in said if data_of(fields).get("order") == "o-nonsense"), None
        )

    refused = data_of(swarm.until(refusal, "the order's answer"))
    assert (refused["outcome"], refused["rule"]) == ("refused", "request.invalid")


def test_an_order_by_a_client_without_the_secret_is_refused_and_the_journal_says_the_way(
    swarm: SwarmProcess,
) -> None:
    order = {
        "order": "o-bare",
        "verb": "terminate",
        "target": "socrates",
        "reason": "no more questions",
    }
    last = swarm.redis.xadd("swarm:orders", {"kind": "order", "data": json.dumps(order)})

    def refusal() -> Fields | None:
        said = [fields for _, fields in swarm.entries("journal")]
        return next((fields for fields in said if data_of(fields).get("request") == last), None)

    refused = data_of(swarm.until(refusal, "the refusal"))
    assert refused["rule"] == "envelope.forged"
    assert "SWARMD_SECRET_FILE" in refused["detail"]
    assert "o-bare" not in json.dumps(refused), "what anybody may have written is repeated"


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("submit",), ("run",)], ids=["submit", "run"])
@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"z" * LARGE, "at most 1,000,000"),
        (b"\xff\xfe swan", "not UTF-8"),
        (b"swan\x00", "not text"),
    ],
    ids=["empty", "blank", "huge", "binary", "zero byte"],
)
def test_a_mission_on_standard_input_that_cannot_be_meant_is_a_usage_error(
    swarm: SwarmProcess, words: tuple[str, ...], given: bytes, why: str
) -> None:
    before = swarm.redis.xlen("swarm:missions")
    done = swarm.verb(*words, "-", stdin=given)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert swarm.redis.xlen("swarm:missions") == before


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "a-nobody"),
        ("terminate", "a-nobody"),
        ("cancel", "m-nobody"),
        ("say", "inbox:a-nobody", "hello"),
        ("say", "room:nowhere", "hello"),
        ("tail", "room:nowhere", "--no-follow"),
        ("tail", "inbox:a-nobody", "--no-follow"),
    ],
    ids=" ".join,
)
def test_an_unknown_id_is_not_found_and_is_named(
    swarm: SwarmProcess, words: tuple[str, ...]
) -> None:
    done = swarm.verb(*words)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "nobody" in done.stderr or "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_json_an_error_is_an_object_on_standard_error(swarm: SwarmProcess) -> None:
    done = swarm.verb("inspect", "a-nobody", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    error = json.loads(done.stderr)["error"]
    assert (error["code"], "a-nobody" in error["message"]) == ("NOT_FOUND", True)


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "swans", "--budget", "tokens"),
        ("submit", "swans", "--budget", "{"),
        ("submit", "swans", "--budget", "gold=7"),
        ("submit", "swans", "--deadline", "0"),
        ("submit", "swans", "--id", "a b"),
        ("submit", ""),
        ("submit", "geese.md"),
        ("run", "docs/geese.md"),
        ("say", "journal", "hello"),
        ("say", "room:sob", ""),
        ("tail", "room:sob", "--since", "yesterday"),
        ("health", "--part", "engine"),
        ("fly",),
        ("ps", "--wings"),
    ],
    ids=" ".join,
)
def test_words_that_cannot_be_meant_are_a_usage_error(
    swarm: SwarmProcess, words: tuple[str, ...]
) -> None:
    before = swarm.redis.xlen("swarm:missions")
    done = swarm.verb(*words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert swarm.redis.xlen("swarm:missions") == before


@pytest.mark.parametrize("words", [(), ("--wait",)], ids=["stored", "waited for"])
def test_a_file_that_is_missing_is_not_found_and_nothing_is_submitted(
    swarm: SwarmProcess, words: tuple[str, ...]
) -> None:
    before = swarm.redis.xlen("swarm:missions")
    done = swarm.verb("submit", "When does the swan sing?", "--files", "geese.md", *words)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "geese.md" in done.stderr
    assert swarm.redis.xlen("swarm:missions") == before


@pytest.mark.parametrize("name", ["../secret.md", "/etc/passwd", "away.md"])
def test_files_that_are_not_the_swarms_to_read_reject_the_mission(
    swarm: SwarmProcess, name: str
) -> None:
    done = swarm.verb("submit", "When does the swan sing?", "--files", name, "--wait")
    assert (done.returncode, done.stdout) == (4, "")
    assert name in done.stderr
    assert "root:" not in done.stderr


def test_a_model_that_is_none_is_told_at_the_start() -> None:
    with short_folder() as data:
        for model, why in (
            ("parrot:green", "names no model"),
            ("scripted:/nowhere.yaml", "/nowhere.yaml"),
            ("local:tiny.gguf", "not part of this version"),
        ):
            done = verb(clean_environment(data), "run", "Swans.", "--model", model)
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert why in done.stderr
            assert "Traceback" not in done.stderr


# --- declarations, servers ------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("up",), ("run", "Swans."), ("check",)], ids=" ".join)
def test_wrong_policies_end_with_7_and_every_fault_at_its_line(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "board.yaml").write_text("seats: [socrates, nobody]\nchair: gandhi\nquorum: many\n")
    (tmp_path / "limits.yaml").write_text("root: {tokens: -1, calls: 1, agents: 1}\ndepth: 9\n")
    (tmp_path / "models.yaml").write_text("providers: [\n")
    with short_folder() as data:
        done = verb(clean_environment(data, SWARMD_POLICIES=str(tmp_path)), *words)
    assert done.returncode == 7, done.stderr
    told = done.stdout + done.stderr
    for file, what in (
        ("board", "quorum"),
        ("limits", "tokens"),
        ("limits", "depth"),
        ("models", ""),
    ):
        line = rf"{re.escape(str(tmp_path))}/{file}\.yaml:\d+: .*{what}"
        assert re.search(line, told), f"{file} {what}:\n{told}"
    assert "Traceback" not in told


@pytest.mark.parametrize("words", [("ps",), ("submit", "Swans."), ("health",)], ids=" ".join)
def test_no_server_at_the_address_is_exit_5_and_shows_no_password(words: tuple[str, ...]) -> None:
    with short_folder() as data:
        environment = clean_environment(data, REDIS_URL="redis://:hunter2secret@127.0.0.1:1/0")
        done = verb(environment, *words)
    assert (done.returncode, done.stdout) == (5, "")
    assert "127.0.0.1:1" in done.stderr
    assert "hunter2secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_verbs_that_act_say_that_no_swarm_runs_here() -> None:
    with short_folder() as data:
        for words in (
            ("submit", "Swans."),
            ("cancel", "m-1"),
            ("terminate", "a-1"),
            ("say", "room:sob", "hi"),
        ):
            done = verb(clean_environment(data), *words)
            assert (done.returncode, done.stdout) == (5, ""), done.stderr
            assert "swarmd up" in done.stderr


def test_a_closed_pipe_behind_a_verb_is_no_traceback(swarm: SwarmProcess) -> None:
    process = subprocess.Popen(
        swarmd("tail", "journal", "--since", "0", "--no-follow"),
        env=swarm.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(END_SECONDS)
    process.stderr.close()
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


# --- and after all of it --------------------------------------------------------------------------


def test_after_all_of_it_the_swarm_does_its_job_and_nothing_was_lost(swarm: SwarmProcess) -> None:
    plain_redis_cli()
    id = swarm.submit("When does the swan sing?", "--files", "swans.md")
    assert "The swan sings before it dies. [swans.md:1]" in swarm.ended_mission(id)["result"]
    # Each entry of the stream is a result, whatever was wrong with it.
    assert len(swarm.entries("results")) == swarm.redis.xlen("swarm:missions")
    assert unbalanced(swarm.accounts()) == []
    assert "Traceback" not in swarm.child.stderr
