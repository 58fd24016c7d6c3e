"""The turns of agents that end before their final report, written down before they are reaped.

The state of an agent goes when it is reaped, and its superior is told of the end in the same
commit. So the file is written before that commit: who dies between the two writes it once more, the
same. It is made from the store and not by the host, which may be the one that was lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
import structlog

from swarmd.core.agent.kept_turns import KeptTurns, TurnsSoFar, path_of, text_of
from swarmd.core.agent.mailbox import MAIL_MAX, concerns
from swarmd.core.agent.memory import mail_entry
from swarmd.core.control.termination import told_above
from swarmd.core.model.lineage import Agent
from swarmd.core.model.masking import Masking
from swarmd.core.model.messages import Message, order_of
from swarmd.core.model.names import FIRST, AgentId
from swarmd.core.model.state import Draft
from swarmd.errors import WorkspaceError
from swarmd.log_events import LogEvent
from swarmd.ports.files import Files
from swarmd.runtime.recording import MODEL_CALL
from swarmd.runtime.supervisor.memory import LeaderMemory

log = structlog.get_logger(__name__)

# In one step of the supervisor, which waits for them: a write takes some milliseconds. Whoever else
# has ended is reaped in the next.
AT_ONCE_MAX: Final = 16
# For one file. A volume that hangs must not keep the supervisor from its lead.
WRITE_SECONDS: Final = 2.0


@dataclass(slots=True)
class TurnsKeeper:
    memory: LeaderMemory
    files: Files | None
    masking: Masking
    _kept: dict[AgentId, KeptTurns | None] = field(default_factory=dict)

    async def keep(
        self, draft: Draft, segments: Sequence[str]
    ) -> tuple[list[str], dict[AgentId, KeptTurns]]:
        """Which of these endings may be taken up in this step, and where the turns stand of those
        whose creators are then told of their end.
        """
        due = told_above(draft.swarm, segments, draft.now)
        # Who waits for the end of a child is written down once, and not in each step.
        self._kept = {agent.id: self._kept[agent.id] for agent in due if agent.id in self._kept}
        fresh = [agent for agent in due if agent.id not in self._kept]
        for agent in fresh[:AT_ONCE_MAX]:
            self._kept[agent.id] = await self._keep_turns(agent)
        kept = {id: turns for id, turns in self._kept.items() if turns is not None}
        return _without(segments, fresh[AT_ONCE_MAX:]), kept

    async def _keep_turns(self, agent: Agent) -> KeptTurns | None:
        """`None` where there is nothing to keep: it has reported, or had not begun."""
        so_far = await self.memory.store.turns_so_far(agent.id)
        if so_far.is_done:
            return None
        entries = [*map(_entry_of, so_far.memory.entries), *await self._under_way(agent, so_far)]
        if not entries:
            return None
        text = text_of(agent, entries, agent.reason, so_far.taint)
        kept = await self._write_file(agent, path_of(agent), self.masking.text(text))
        if not kept.path:
            log.warning(LogEvent.TURNS_NOT_KEPT, agent=agent.id, why=kept.why_not)
        return kept

    async def _write_file(self, agent: Agent, path: str, text: str) -> KeptTurns:
        if self.files is None:
            return KeptTurns(why_not="the supervisor has no workspace")
        write = partial(self.files.write, agent.mission, path, text)
        try:
            with anyio.fail_after(WRITE_SECONDS):
                await anyio.to_thread.run_sync(write, abandon_on_cancel=True)
        except WorkspaceError as error:
            return KeptTurns(why_not=error.what)
        except TimeoutError:
            return KeptTurns(why_not=f"the workspace took longer than {WRITE_SECONDS:g} s")
        return KeptTurns(path)

    async def _under_way(self, agent: Agent, so_far: TurnsSoFar) -> list[Mapping[str, Any]]:
        """Of a turn that was begun and not committed: its mail, and what was done of it."""
        mail: list[Message] = []
        for channel, end in so_far.batch.items():
            begin = so_far.positions.get(channel, FIRST)
            read = await self.memory.store.read(channel, begin, MAIL_MAX)
            mail += [m for m in read if order_of(m.id) <= order_of(end) and concerns(agent, m)]
        told = [mail_entry(mail)] if mail else []
        return [*told, *(_entry_of_step(kind, result) for kind, result in so_far.steps)]


def _without(segments: Sequence[str], agents: Sequence[Agent]) -> list[str]:
    ids = {agent.id for agent in agents}
    return [segment for segment in segments if segment.removeprefix("=") not in ids]


def _entry_of(text: str) -> Mapping[str, Any]:
    """As memory keeps it. What cannot be read is shown as it lies."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"results": [text]}


def _entry_of_step(kind: str, result: str) -> Mapping[str, Any]:
    found = _entry_of(result)
    if kind != MODEL_CALL:
        return {"results": [found]}
    if "moves" in found:
        return {"moves": found["moves"]}
    return {"correction": found.get("detail", ""), "said": found.get("said", "")}
