"""The port for reading over records in memory, for what the command line shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from swarmd.core.model.channels import BOARD_ROOM
from swarmd.core.model.messages import order_of
from swarmd.core.model.names import FIRST, AgentId, Channel, MissionId, StreamId
from swarmd.core.queries.snapshot import AccountView, AgentView, Marks, MissionView, Snapshot
from swarmd.ports.reader import PAGE_ENTRIES, Entry, Facts, Inner, Notifications, Page, Trimmed

PREFIX = "swarm:"


@dataclass
class MemoryReader:
    """What verbs that look ask for. A verb that asks for more fails with its name."""

    shown: Snapshot = field(default_factory=Snapshot)
    streams: dict[Channel, list[Entry]] = field(default_factory=dict)
    in_force: Marks = field(default_factory=Marks)
    waiting: dict[str, Facts] = field(default_factory=dict)
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    trimmed: dict[Channel, list[StreamId]] = field(default_factory=dict)

    def close(self) -> None:
        """Nothing is open."""

    def channel_of(self, name: str) -> Channel:
        return Channel(name.removeprefix(PREFIX))

    def snapshot(self, mission: str = "") -> Snapshot:
        return self.shown

    def agents(self, *, ended: bool = False) -> list[AgentView]:
        return [one for one in self.shown.agents if ended or not one.is_terminated]

    def agent(self, id: AgentId) -> AgentView | None:
        return next((one for one in self.shown.agents if one.id == id), None)

    def children(self, id: AgentId) -> list[str]:
        return [one.id for one in self.shown.agents if one.parent == id]

    def inner(self, id: AgentId) -> Inner:
        return Inner("", {}, 0, 0, task=self.tasks.get(id, {}))

    def chain(self, id: AgentId) -> list[object]:
        return []

    def marks(self) -> Marks:
        return self.in_force

    def accounts(self, ids: Sequence[str]) -> dict[str, AccountView]:
        return {id: self.shown.accounts[id] for id in ids if id in self.shown.accounts}

    def missions(self) -> list[MissionView]:
        return list(self.shown.missions)

    def mission_ids(self) -> list[MissionId]:
        return [one.id for one in self.shown.missions]

    def mission(self, id: MissionId) -> MissionView | None:
        return next((one for one in self.shown.missions if one.id == id), None)

    def approvals(self) -> dict[str, Facts]:
        return self.waiting

    def rooms(self) -> set[str]:
        return {BOARD_ROOM}

    # --- channels ---

    def post(self, channel: Channel, id: str, **said: str) -> None:
        stream = self.streams.setdefault(channel, [])
        stream.append(Entry(channel, StreamId(id), said, "{}"))

    def trim(self, channel: Channel, count: int) -> None:
        """Drops the oldest."""
        stream = self.streams[channel]
        self.trimmed.setdefault(channel, []).extend(one.id for one in stream[:count])
        del stream[:count]

    def page(self, channel: Channel, after: StreamId) -> Page:
        stream, gone = self.streams.get(channel, []), self.trimmed.get(channel, [])
        found = tuple(one for one in stream if order_of(one.id) > order_of(after))[:PAGE_ENTRIES]
        is_missed = any(order_of(id) > order_of(after) for id in gone)
        first = found[0].id if found else None
        trimmed = Trimmed(after, first, len(gone)) if is_missed else None
        return Page(found, found[-1].id if found else after, trimmed)

    def last_entries(self, channel: Channel, count: int) -> list[Entry]:
        return self.streams.get(channel, [])[-count:]

    def last_id(self, channel: Channel) -> StreamId:
        stream = self.streams.get(channel, [])
        return stream[-1].id if stream else FIRST

    def follow(
        self, channel: Channel, after: StreamId, notifications: Notifications
    ) -> Iterator[Page]:
        """Ends where nobody is told of more."""
        while True:
            page = self.page(channel, after)
            after = page.reached
            yield page
            if not notifications.wait(0):
                return
