"""A recorded mission played again in this process, on a server and in a folder of its own, which
are gone afterwards. Nothing is asked of a model, a network or the living swarm.

A fork leaves the record at an entry: from there on a living model answers, under another id, in a
data folder that stays.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from swarmd.adapters.models.prices import tariff_of
from swarmd.adapters.models.recorded import ForkedModel, RecordedModel
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.operator_post import OperatorPosts
from swarmd.app.parts import HOST_CAPACITY, open_models, supervisor_of
from swarmd.app.process import Process, SystemClock, open_process
from swarmd.core.journal.sameness import Difference, outcome_differences
from swarmd.core.journal.script import Labels, RecordedCall, Script
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, inbox
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, AgentId, Channel, MissionId
from swarmd.core.model.providers import PROVIDERS
from swarmd.core.model.records import CallPrice, Host
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.replay.player import Player, Step
from swarmd.runtime.replay.seen import Seen
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.masked import MaskedModel, masked_handlers
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker

if TYPE_CHECKING:
    from swarmd.adapters.models.registry import OpenModels
    from swarmd.ports.models import Model
    from swarmd.settings import Settings

# What is recorded of a provider's failure is met again; nobody waits for a provider.
_NO_WAIT_SECONDS: Final = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be played, and how. `fields` are the mission as it was handed in; a fork's have an
    id of its own, and `fork` is its data folder.
    """

    script: Script
    fields: Mapping[str, str]
    speed: float | None = None
    until: int | None = None
    step: Step | None = None
    fork: Path | None = None

    @property
    def mission(self) -> str:
        return self.fields["id"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it. `has_ended`: the mission has; else the replay stopped before."""

    differences: list[Difference]
    has_ended: bool
    calls: int
    spent: Mapping[str, int]  # by the mission, once it has ended


@dataclass(slots=True)
class ReplayClock(SystemClock):
    """The machine's, put forward where the record has nothing but time between two entries."""

    ahead: float = field(default=0.0)

    def now(self) -> float:
        return SystemClock.now(self) + self.ahead

    def put_forward(self, seconds: float) -> None:
        self.ahead += seconds


async def replay(settings: Settings, asked: Asked, looks: Callable[[Path, str], None]) -> Replayed:
    """`looks` is given the server and its namespace when all is played, before they are gone."""
    script, clock = asked.script, ReplayClock()
    with _own_settings(settings, asked) as own:
        async with open_process(own, "must", clock=clock) as process:
            seen = Seen(process.store, asked.mission)
            player = Player(
                script,
                seen,
                clock.put_forward,
                _Words(process, script.labels, seen).say,
                asked.speed,
                asked.until,
                asked.step,
                asked.fork is not None,
            )
            async with _running(process, player, own):
                await process.store.keep_mission(dict(asked.fields))
                await player.run()
                target = await anyio.to_thread.run_sync(_socket_of, own)
                await anyio.to_thread.run_sync(looks, target, own.namespace)
    found = outcome_differences(script, seen.decisions, seen.labels, asked.until)
    spent = seen.decisions[-1].data.get("spent", {}) if seen.decisions else {}
    return Replayed([*player.differences, *found], seen.has_ended, len(script.calls()), spent)


def _socket_of(settings: Settings) -> Path:
    from swarmd.adapters.server.data_folder import live_socket

    found = live_socket(settings.data)
    assert found is not None
    return found


@contextmanager
def _own_settings(settings: Settings, asked: Asked) -> Iterator[Settings]:
    """A data folder of the replay's own, with what was given to the mission; a fork's stays."""
    folder = asked.fork or Path(tempfile.mkdtemp(prefix="swarmd-replay-"))
    try:
        given = settings.data / "workspace" / asked.script.mission / "given"
        if given.is_dir():
            shutil.copytree(given, folder / "workspace" / asked.mission / "given")
        yield replace(
            settings,
            data=folder,
            redis_url=None,
            secret=None,
            secret_file=None,
            durability="balanced",
            knowledge=settings.knowledge_folder,
        )
    finally:
        if asked.fork is None:
            shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _running(process: Process, player: Player, settings: Settings) -> AsyncIterator[None]:
    """Supervisor and worker, until the block is left."""
    await process.store.declare(process.declared.digest, is_supervisor=True)
    async with AsyncExitStack() as stack:
        rings = process.rings()
        stack.push_async_callback(rings.aclose)
        supervisor = await supervisor_of(process, stack)
        identity = await anyio.to_thread.run_sync(process.files.identity)
        models = _Models(player, process, settings)
        if player.is_fork:
            models.living = await open_models(process)
            stack.push_async_callback(models.living.aclose)
        recording = replace(process.recording, replay=player)
        handlers = masked_handlers(
            built_in(process.store, process.files), process.recording.masking
        )
        world = World(
            process.store,
            process.declared,
            handlers,
            models.mind,
            lambda: stamp_of(process.clock.now() + process.store.clock_behind()),
            recording=recording,
            files=process.files,
        )
        host = Host(process.host, HOST_CAPACITY, identity, models.is_paid, models.price())
        worker = Worker(world, host, rings, process.stop, 0.0, player.take_turn)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.run)
            tasks.start_soon(worker.run)
            yield
            process.stop.set()


@dataclass(slots=True)
class _Models:
    """The models of the record, by the names under which they answered."""

    player: Player
    process: Process
    settings: Settings
    living: OpenModels | None = None  # of a fork

    @property
    def _names(self) -> Counter[str]:
        return Counter(c.what for c in self.player.script.calls() if c.kind == "model")

    @property
    def _usual(self) -> str:
        return next((name for name, _ in self._names.most_common(1)), "builtin:rules")

    @property
    def is_paid(self) -> bool:
        return _is_remote(self._usual) or (
            self.living is not None and self.living.open().is_language_model
        )

    def price(self) -> CallPrice | None:
        """Of the swarm's own model, as it is now."""
        if self.living is not None:
            return self.living.price()
        row = PROVIDERS.get(self._usual.partition(":")[0])
        if row is None or row.is_free:
            return CallPrice()
        address = self.settings.base_urls.get(row.prefix, "")
        tariff = tariff_of(self._usual, address, self.process.declared.models)
        return None if tariff is None else tariff.of_calls(datetime.now(UTC))

    async def mind(self, spec: str) -> Mind:
        named = [name for name in self._names if spec and name.startswith(spec)]
        name = named[0] if named else spec or self._usual
        model: Model = RecordedModel(name, _is_remote(name), self.player.amounts)
        declared = self.process.declared.models
        sleep: Callable[[float], Any] = _no_wait
        if self.living is not None:

            def is_live() -> bool:
                return self.player.is_live

            masked = MaskedModel(self.living.open(spec), self.process.recording.masking)
            model, name, sleep = ForkedModel(model, masked, is_live), masked.name, anyio.sleep
        return Mind(model, declared.provider(name.partition(":")[0]), sleep)


def _is_remote(name: str) -> bool:
    row = PROVIDERS.get(name.partition(":")[0])
    return row is not None and row.is_remote


async def _no_wait(_seconds: float) -> None:
    await anyio.sleep(_NO_WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class _Words:
    """What people ordered and said, posted again where they posted it."""

    process: Process
    labels: Labels  # of the record
    seen: Seen

    async def say(self, word: RecordedCall) -> None:
        given = word.given if word.given else {}
        kind = Kind(given.get("kind", Kind.SAY.value))
        data = json.loads(self._here(json.dumps(given.get("data", {}))))
        channel, to = self._place(word, kind, data)
        message = Message(
            sender=OPERATOR,
            kind=kind,
            mission=MissionId("" if kind is Kind.ORDER else self.seen.mission),
            at=stamp_of(self.process.clock.now()),
            to=to,
            text=self._here(word.text or ""),
            data=data,
        )
        await anyio.to_thread.run_sync(self._post, channel, message)

    def _here(self, text: str) -> str:
        return self.labels.translated(text, self.seen.labels)

    def _place(
        self, word: RecordedCall, kind: Kind, data: Mapping[str, Any]
    ) -> tuple[Channel, AgentId]:
        if kind is Kind.ORDER:
            return ORDERS, AgentId(str(data.get("target", "")))
        if not word.agent:
            return BOARD_ROOM, AgentId("")
        id = AgentId(self._here(word.agent))
        return inbox(id), id

    def _post(self, channel: Channel, message: Message) -> None:
        settings = self.process.settings
        assert settings.secret is not None
        keys, masking = Keys(settings.namespace), self.process.recording.masking
        posts = OperatorPosts(_socket_of(settings), keys, settings.secret.encode(), masking)
        with closing(posts):
            posts(channel, message, self.process.clock.new_id("s"))
