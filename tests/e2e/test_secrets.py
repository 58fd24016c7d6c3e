"""Planted secrets are looked for in prompts, results, the record, log lines, the journal and the
store, and found nowhere; and the record of that mission is forgotten by order.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from swarmd import logs
from swarmd.adapters.record import reading
from swarmd.adapters.record.recorder import Recorder
from swarmd.app.parts import run_parts
from swarmd.app.process import Process, open_process, with_secret
from swarmd.cli.options import Ordered, Work
from swarmd.cli.verbs import record as record_verb
from swarmd.cli.verbs import remote
from swarmd.core.model.channels import RESULTS
from swarmd.core.model.masking import MASK
from swarmd.core.model.names import FIRST, MissionId
from swarmd.errors import NotFoundError
from swarmd.settings import Settings
from tests.core.model.test_masking import PEM, SECRETS
from tests.e2e.swarm_process import MISSION_SECONDS, READY_SECONDS, short_folder
from tests.openai_server import Json, MissionBrain, OpenAIServer, ServerReply

M: Final = MissionId("m-planted")
API_KEY: Final = "local-key-of-no-shape-7F3a"
# What a secret reads like where it stands: what must not be found is the middle of each.
PLANTED: Final = {
    **SECRETS,
    "the API key": API_KEY,
    "a password": "s3cr3t-passw0rd",
    "a private key": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ",
}
SAID: Final = "; ".join([*SECRETS.values(), API_KEY, "redis://worker:s3cr3t-passw0rd@host:6379/0"])
READING: Final[Mapping[str, tuple[str, ...]]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "stream": ("XRANGE", "-", "+"),
    "zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
    "set": ("SMEMBERS",),
    "list": ("LRANGE", "0", "-1"),
}


def planted(value: Any) -> Any:
    """A model's answer with secrets in all that it says; whom it charters may read the file."""
    if isinstance(value, dict):
        texts = ("text", "reason", "task", "thought", "query")
        files = {"files": ["notes.md"]} if "task" in value else {}
        said = {k: f"{one} {SAID}" if k in texts else planted(one) for k, one in value.items()}
        return said | files
    return [planted(one) for one in value] if isinstance(value, list) else value


@dataclass
class LeakyBrain:
    good: MissionBrain = field(default_factory=lambda: MissionBrain(looks=1))

    def __call__(self, request: Json) -> ServerReply:
        reply = self.good(request)
        return ServerReply([planted(dict(move)) for move in reply.moves], f"{reply.text} {SAID}")


@pytest.fixture
def data() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@asynccontextmanager
async def swarm(settings: Settings) -> AsyncIterator[Process]:
    async with open_process(settings, "must") as process, anyio.create_task_group() as tasks:
        running = anyio.Event()
        parts = frozenset({"supervisor", "worker"})
        tasks.start_soon(run_parts, process, parts, 0.0, running.set)
        await running.wait()
        yield process
        process.stop.set()


def give_files(settings: Settings) -> None:
    """The folder that everybody may read, with a file of secrets."""
    folder = settings.knowledge_folder
    folder.mkdir(parents=True)
    lines = [f"six by seven is 42, and its key is {secret}" for secret in SECRETS.values()]
    lines += [f"six by seven, sealed with {settings.secret}", *PEM.split("\n"), SAID]
    others = [f"paragraph {n}: of something else\n" for n in range(60)]
    (folder / "notes.md").write_text("\n".join([*others[:30], *lines, "", *others[30:]]))


async def publish(process: Process, text: str) -> None:
    """At the entrance, once somebody hears it."""
    with anyio.fail_after(READY_SECONDS):
        while not await process.store.pipe.execute("PUBLISH", "swarm:missions", text):
            await anyio.sleep(0.05)


async def all_ended(process: Process, count: int) -> None:
    with anyio.fail_after(MISSION_SECONDS):
        while len(await process.store.read(RESULTS, FIRST, 100)) < count:
            await anyio.sleep(0.05)


async def everything_stored(process: Process) -> str:
    """All that the server holds, key by key, as a client reads it."""
    ask, found = process.store.pipe.execute, []
    for key in await ask("KEYS", "*"):
        command, *rest = READING[await ask("TYPE", key)]
        found.append(f"{key} {await ask(command, key, *rest)}")
    return "\n".join(found)


def everything_kept(data: Path) -> dict[str, str]:
    """All files of the data folder, but where the secrets were planted and the swarm's own."""
    planted_in = ("secret", "knowledge/notes.md")
    return {
        name: path.read_bytes().decode("utf-8", "replace")
        for path in data.rglob("*")
        if path.is_file() and (name := str(path.relative_to(data))) not in planted_in
    }


def assert_clean(places: Mapping[str, str], secret: str) -> None:
    for place, text in places.items():
        for what, planted_secret in {**PLANTED, "the swarm's secret": secret}.items():
            assert planted_secret not in text, f"{what} is in {place}"


async def test_planted_secrets_are_found_nowhere_and_their_record_is_forgotten(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = io.StringIO()
    async with OpenAIServer(LeakyBrain()) as server:
        settings = with_secret(
            Settings(
                data,
                api_keys={"openai": API_KEY},
                base_urls={"openai": server.base_url},
                model="openai:test-model",
            )
        )
        assert settings.secret is not None
        give_files(settings)
        logs.configure(level="debug", form="json", secrets=settings.secrets, stream=log)
        in_thread = anyio.to_thread.run_sync
        async with swarm(settings) as process:
            fields = {"id": M, "mission": f"What is six by seven? {SAID}", "files": '["notes.md"]'}
            submit = partial(remote.submit, wait=False, timeout=None, as_json=False)
            await in_thread(lambda: submit(settings, fields, Work()))
            await publish(process, f'{{"no": "JSON: {SAID}"')
            await in_thread(partial(remote.say, settings, "room:sob", SAID, as_json=False))
            order = Ordered(reason=SAID)
            await all_ended(process, 2)
            logs.logger("test").warning(f"said {SAID}", secret=settings.secret)
            recorder = process.recording.record
            assert isinstance(recorder, Recorder)
            await recorder.flush()
            places = {
                "the store": await everything_stored(process),
                "a prompt": json.dumps([one.body for one in server.requests]),
                "a log line": log.getvalue(),
            }
            kept = await in_thread(everything_kept, data)
            record = reading.read_mission(data / "record", M)
            assert record is not None
            # Each place had them before they were masked: else nothing was looked for.
            written = {"the record": kept[f"record/{M}/{process.host}.jsonl"]}
            for place, text in (places | written).items():
                assert MASK in text, place
            assert_clean(places | kept, settings.secret)
            assert {call["kind"] for call in record.calls} == {"model", "function"}
            results = [str(call["text"]) for call in record.calls if call["kind"] == "function"]
            assert any(MASK in result for result in results), results
            await in_thread(record_verb.forget, settings, order, M)
            with anyio.fail_after(10):
                while (data / "record" / M).exists():
                    await anyio.sleep(0.05)
            with pytest.raises(NotFoundError):
                await in_thread(record_verb.forget, settings, order, M)
            assert_clean({"the store": await everything_stored(process)}, settings.secret)
    assert f"{M}: its record is deleted" in capsys.readouterr().out
