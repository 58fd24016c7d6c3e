"""A recorded mission played again in this process, on a server and in a folder of its own, which
are gone afterwards. Nothing is asked of a model, a network or the living swarm.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from swarmd.adapters.models.prices import tariff_of
from swarmd.adapters.models.recorded import RecordedModel
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.operator_post import OperatorPosts
from swarmd.app.parts import HOST_CAPACITY, supervisor_of
from swarmd.app.process import Process, SystemClock, open_process
from swarmd.core.journal.sameness import Difference, outcome_differences
from swarmd.core.journal.script import RecordedCall, Script
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, inbox
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import OPERATOR, AgentId, Channel, MissionId
from swarmd.core.model.providers import PROVIDERS
from swarmd.core.model.records import CallPrice, Host
from swarmd.core.model.timings import stamp_of
from swarmd.runtime.replay import Player, Step
from swarmd.runtime.turn.functions import built_in
from swarmd.runtime.turn.masked import masked_handlers
from swarmd.runtime.turn.model_call import Mind
from swarmd.runtime.turn.world import World
from swarmd.runtime.worker.worker import Worker

if TYPE_CHECKING:
    from swarmd.settings import Settings

# What is recorded of a provider's failure is met again; nobody waits for a provider.
_NO_WAIT_SECONDS: Final = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be played, and how. `fields` are the mission as it was handed in."""

    script: Script
    fields: Mapping[str, str]
    speed: float | None = None
    until: int | None = None
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it. `has_ended`: the mission has; else the replay stopped before."""

    differences: list[Difference]
    has_ended: bool
    calls: int


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
    with _own_settings(settings, script.mission) as own:
        async with open_process(own, "must", clock=clock) as process:
            words = _Words(process)
            player = Player(
                script,
                process.store,
                clock.put_forward,
                words.say,
                asked.speed,
                asked.until,
                asked.step,
            )
            words.player = player
            async with _running(process, player, own):
                await process.store.keep_mission(dict(asked.fields))
                await player.run()
                await player.look()
                target = await anyio.to_thread.run_sync(_socket_of, own)
                await anyio.to_thread.run_sync(looks, target, own.namespace)
    found = outcome_differences(script, player.seen, player.labels, asked.until)
    return Replayed([*player.differences, *found], player.has_ended, len(script.calls()))


def _socket_of(settings: Settings) -> Path:
    from swarmd.adapters.server.data_folder import live_socket

    found = live_socket(settings.data)
    assert found is not None
    return found


@contextmanager
def _own_settings(settings: Settings, mission: str) -> Iterator[Settings]:
    """A data folder of the replay's own, with what was given to the mission."""
    folder = Path(tempfile.mkdtemp(prefix="swarmd-replay-"))
    try:
        given = settings.data / "workspace" / mission / "given"
        if given.is_dir():
            shutil.copytree(given, folder / "workspace" / mission / "given")
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

    @property
    def _names(self) -> Counter[str]:
        return Counter(c.what for c in self.player.script.calls() if c.kind == "model")

    @property
    def _usual(self) -> str:
        return next((name for name, _ in self._names.most_common(1)), "builtin:rules")

    @property
    def is_paid(self) -> bool:
        return _is_remote(self._usual)

    def price(self) -> CallPrice | None:
        """Of the swarm's own model, as it is now."""
        row = PROVIDERS.get(self._usual.partition(":")[0])
        if row is None or row.is_free:
            return CallPrice()
        address = self.settings.base_urls.get(row.prefix, "")
        tariff = tariff_of(self._usual, address, self.process.declared.models)
        return None if tariff is None else tariff.of_calls(datetime.now(UTC))

    async def mind(self, spec: str) -> Mind:
        named = [name for name in self._names if spec and name.startswith(spec)]
        name = named[0] if named else spec or self._usual
        model = RecordedModel(name, _is_remote(name), self.player.amounts)
        provider = self.process.declared.models.provider(name.partition(":")[0])
        return Mind(model, provider, _no_wait)


def _is_remote(name: str) -> bool:
    row = PROVIDERS.get(name.partition(":")[0])
    return row is not None and row.is_remote


async def _no_wait(_seconds: float) -> None:
    await anyio.sleep(_NO_WAIT_SECONDS)


@dataclass(slots=True)
class _Words:
    """What people ordered and said, posted again where they posted it."""

    process: Process
    player: Player | None = None

    async def say(self, word: RecordedCall) -> None:
        assert self.player is not None
        labels, given = self.player.script.labels, word.given if word.given else {}
        raw = json.dumps(given.get("data", {}))
        data = json.loads(labels.translated(raw, self.player.labels))
        kind = Kind(given.get("kind", Kind.SAY.value))
        channel, to = self._place(word, kind, data)
        message = Message(
            sender=OPERATOR,
            kind=kind,
            mission=MissionId("") if kind is Kind.ORDER else MissionId(labels.mission),
            at=stamp_of(self.process.clock.now()),
            to=to,
            text=labels.translated(word.text or "", self.player.labels),
            data=data,
        )
        await anyio.to_thread.run_sync(self._post, channel, message)

    def _place(
        self, word: RecordedCall, kind: Kind, data: Mapping[str, Any]
    ) -> tuple[Channel, AgentId]:
        assert self.player is not None
        if kind is Kind.ORDER:
            return ORDERS, AgentId(str(data.get("target", "")))
        if not word.agent:
            return BOARD_ROOM, AgentId("")
        id = AgentId(self.player.script.labels.translated(word.agent, self.player.labels))
        return inbox(id), id

    def _post(self, channel: Channel, message: Message) -> None:
        settings = self.process.settings
        assert settings.secret is not None
        keys, masking = Keys(settings.namespace), self.process.recording.masking
        posts = OperatorPosts(_socket_of(settings), keys, settings.secret.encode(), masking)
        try:
            posts(channel, message, self.process.clock.new_id("s"))
        finally:
            posts.close()
