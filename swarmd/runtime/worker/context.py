"""What the parts of a worker share: its host, its agents, and which of them wait for what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.abc
import structlog

from swarmd.core.model.channels import host_channel
from swarmd.core.model.names import AgentId, Channel
from swarmd.core.model.records import Host
from swarmd.core.model.timings import SWEEP_SECONDS
from swarmd.errors import WrongKeyError
from swarmd.log_events import LogEvent
from swarmd.runtime.mailboxes import Resident, Residents
from swarmd.runtime.turn.world import World

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class WorkerContext:
    world: World
    host: Host
    stop: anyio.Event  # no turn starts once it is set
    residents: Residents = field(default_factory=Residents)
    is_braked: bool = False  # halted by this machine's own brake, whatever the server says
    doubtful: set[AgentId] = field(default_factory=set)  # given up here, perhaps wrongly
    leaderless: set[AgentId] = field(default_factory=set)  # their turns wait until somebody leads
    own: Channel = field(init=False)  # the host's own channel
    _tasks: anyio.abc.TaskGroup | None = None

    def __post_init__(self) -> None:
        self.own = host_channel(self.host.id)

    @property
    def tasks(self) -> anyio.abc.TaskGroup:
        """The group that owns every task of this host."""
        assert self._tasks is not None
        return self._tasks

    @tasks.setter
    def tasks(self, group: anyio.abc.TaskGroup) -> None:
        self._tasks = group

    def drop(self, resident: Resident) -> None:
        if self.residents.by_id.get(resident.agent.id) is resident:
            self.residents.remove(resident.agent.id)


async def until_keys_are_right(step: Callable[[], Awaitable[T]]) -> T:
    """Does a step of the host's own, again each second while a key that it needs holds something
    else than ours.
    """
    is_told = False
    while True:
        try:
            return await step()
        except WrongKeyError as error:
            if not is_told:
                log.warning(LogEvent.KEY_WAITED_FOR, why=error.what, hint=error.hint)
            is_told = True
        await anyio.sleep(SWEEP_SECONDS)
