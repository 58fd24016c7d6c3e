"""What no script may have done, judged from the keys as they were just before it.

Nothing of the product's own law is asked here: a defect there would else hide itself. `Judge` is
shown each command of the server, before and after; `Laws` is shown each commit of the supervisor,
with the changes that it was made of.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from swarmd.adapters.redis.keys import Keys
from swarmd.core.model.changes import AgentMade, Change
from swarmd.core.model.channels import REQUESTS
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind
from swarmd.core.model.names import AgentId, HostId
from swarmd.core.model.privileges import Revocation
from swarmd.core.model.state import Swarm
from tests import laws
from tests.sim.server import Server

_HELD_AT: Final = {"begin": 6, "commit": 4}  # where the agent's id stands among the arguments
_KEYS_OF_COMMIT: Final = 12


@dataclass(frozen=True, slots=True)
class Call:
    """A script as it was called."""

    name: str
    keys: Sequence[str]
    args: Sequence[str]

    @classmethod
    def of(cls, name: str, words: Sequence[str]) -> Call:
        n = int(words[2])
        return cls(name, words[3 : 3 + n], words[3 + n :])


@dataclass(frozen=True, slots=True)
class Output:
    """One message of a turn."""

    channel: str
    wanted: Sequence[str]
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a script of a worker's finds."""

    agent: Mapping[str, str]
    fences: Sequence[str]
    stops: Mapping[str, str]
    marks: Mapping[str, str]
    use: Mapping[str, str]
    has_host: bool
    turn: int
    steps: Mapping[str, str]


def covers(holder: str, wanted: str) -> bool:
    """Said once more, and not asked of `core.privileges`."""
    return holder in ("**", wanted) or (
        holder.endswith("/**") and f"{wanted}/".startswith(holder[:-2])
    )


def may_use(
    wanted: str, use: Mapping[str, str], marks: Mapping[str, str], path: Sequence[str]
) -> bool:
    """Does one of the held paths include it, newer than every mark on the way that cuts it?"""
    cuts = [
        number
        for segment in path
        for cut, number, right, *_ in json.loads(marks.get(segment, "[]"))
        if right != "grant" and covers(cut, wanted)
    ]
    return any(covers(held, wanted) and int(n) >= max(cuts, default=0) for held, n in use.items())


class _Words:
    """Reads a script's arguments as the script does: lists with their length before them."""

    def __init__(self, words: Sequence[str], at: int) -> None:
        self._words, self._at = words, at

    def word(self) -> str:
        self._at += 1
        return self._words[self._at - 1]

    def row(self) -> Sequence[str]:
        n = int(self.word())
        self._at += n
        return self._words[self._at - n : self._at]

    def rows(self) -> list[Sequence[str]]:
        return [self.row() for _ in range(int(self.word()))]


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def outputs_of(call: Call) -> list[Output]:
    words = _Words(call.args, 8)
    for _ in range(4):
        words.row()
    words.rows()
    found = []
    for _ in call.keys[_KEYS_OF_COMMIT:]:
        channel, line, _, wanted = words.word(), words.word(), words.word(), words.row()
        found.append(Output(channel, wanted, json.loads(line)))
    return found


def wanted_by(call: Call) -> list[str]:
    """The privileges that a begin asks for."""
    words = _Words(call.args, 11)
    for _ in range(5):
        words.row()
    return [paths[0] for paths in words.rows()]


@dataclass(slots=True, eq=False)
class Judge:
    """Laws 2, 3, 4, 7, 8, 9 and 10, as far as scripts hold them."""

    server: Server
    keys: Keys
    breach: Callable[[str], None]
    _before: Found | None = None
    _free: dict[str, int] = field(default_factory=dict)
    _leader: tuple[str, int] = ("", 0)
    _settled: set[tuple[str, ...]] = field(default_factory=set)

    def about(self, call: Call) -> None:
        """The keys as the script will find them."""
        if call.name in _HELD_AT:
            self._before = self._found_by(call)
        if call.name == "begin":
            account = _pairs(self.server.ask("HGETALL", call.keys[6]))
            self._free = {
                k: int(v) for k, v in account.items() if k.endswith(".free") and _is_number(v)
            }
        if call.name == "supervise":
            seq = self.server.ask("HGET", call.keys[1], "seq") or "0"
            self._leader = (
                self.server.ask("GET", call.keys[0]) or "",
                int(seq) if seq.isdecimal() else 0,
            )

    def saw(self, call: Call, answer: Any) -> None:
        match call.name:
            case "begin" if answer[0] == "begun":
                self._begun(call)
            case "commit" if answer[0] in ("done", "looped"):
                self._committed(call, str(answer[0]))
            case "end" if answer[0] == "settled":
                self._ended(call)
            case "supervise" if answer == "done":
                self._supervised(call)

    def lost(self) -> None:
        """A server that lost its last second may be told again what it forgot."""
        self._settled.clear()

    def _found_by(self, call: Call) -> Found:
        ask, keys = self.server.ask, call.keys
        state, steps = (keys[9], keys[7]) if call.name == "begin" else (keys[6], keys[7])
        record = self.keys.agent(AgentId(call.args[_HELD_AT[call.name]]))
        return Found(
            _pairs(ask("HGETALL", record)),
            ask("HKEYS", keys[1]),
            _pairs(ask("HGETALL", keys[2])),
            _pairs(ask("HGETALL", keys[3])),
            _pairs(ask("HGETALL", keys[5])),
            bool(ask("EXISTS", keys[4])),
            int(ask("HGET", state, "turn") or 0),
            _pairs(ask("HGETALL", steps)),
        )

    # --- who acts ---

    def _is_held(self, call: Call, what: str, mission: str, *, may_drain: bool) -> Found:
        """The agent is this host's, in this incarnation; nothing ends or stops it."""
        found = self._before
        assert found is not None
        id, agent = call.args[_HELD_AT[call.name]], found.agent
        incarnation, lease, host = call.args[:3]
        if agent.get("incarnation") != incarnation:
            self.breach(
                f"law 7: {id} {what} as incarnation {incarnation} of {agent.get('incarnation')}"
            )
        if (agent.get("lease"), agent.get("host")) != (lease, host) or not found.has_host:
            self.breach(f"law 8: {id} {what} on {host} by lease {lease}, which does not hold it")
        targets = (
            *agent.get("path", "").split("/"),
            *([mission] if mission else []),
            f"={id}",
            f"tier:{agent.get('tier')}",
            "*",
        )
        fenced = [target for target in targets if target in found.fences]
        if fenced:
            self.breach(f"law 2: {id} {what} below the fence on {fenced[0]}")
        stops = [t for t in targets if t in found.stops]
        held = [t for t in stops if not (may_drain and found.stops[t].startswith("drain"))]
        if held:
            self.breach(f"law 2: {id} {what} under the stop on {held[0]}")
        return found

    def _begun(self, call: Call) -> None:
        step, record, id = call.args[3], json.loads(call.args[4]), call.args[6]
        turn = int(step.partition(":")[0])
        has_begun = bool(self._before and f"{turn}:batch" in self._before.steps)
        mission = (
            str(record["account"]) if self._before and not self._before.agent.get("parent") else ""
        )
        found = self._is_held(call, "begins", mission, may_drain=has_begun)
        if turn != found.turn + 1:
            self.breach(f"law 8: {id} begins step {step} after turn {found.turn}")
        if f"{step}:e" in found.steps:
            self.breach(f"law 8: {id} begins step {step} anew, which has ended")
        wanted = wanted_by(call)
        path = found.agent.get("path", "").split("/")
        if record["kind"] == "model" and not (wanted and record["amounts"]):
            self.breach(f"law 3: {id} calls a model, and no right or no reserve was asked for")
        if f"{step}:b" not in found.steps:
            self._allowed(id, found, path, wanted, record["amounts"])

    def _allowed(
        self,
        id: str,
        found: Found,
        path: Sequence[str],
        wanted: Sequence[str],
        amounts: Mapping[str, int],
    ) -> None:
        for privilege in wanted:
            if not may_use(privilege, found.use, found.marks, path):
                self.breach(f"law 3: {id} uses {privilege}, which it does not hold or was revoked")
            if any(t.startswith("use:") and covers(t[4:], privilege) for t in found.stops):
                self.breach(f"law 2: {id} uses {privilege}, which is stopped")
        for kind, amount in amounts.items():
            if amount > self._free.get(f"{kind}.free", 0):
                self.breach(
                    f"law 4: {id} reserves {amount} {kind} of {self._free.get(f'{kind}.free', 0)} "
                    "free"
                )

    # --- what a turn says ---

    def _committed(self, call: Call, answer: str) -> None:
        id, turn, hops, hops_max = (
            call.args[4],
            int(call.args[3]),
            int(call.args[6]),
            int(call.args[7]),
        )
        found = self._is_held(call, "commits", "", may_drain=True)
        if turn != found.turn + 1:
            self.breach(f"law 8: {id} commits turn {turn} after {found.turn}")
        outputs = outputs_of(call)
        if outputs and (hops > hops_max) is not (answer == "looped"):
            self.breach(f"law 10: a turn at hop {hops} of {hops_max} is {answer}")
        for output in outputs:
            said = output.said
            if (said.get("from"), str(said.get("inc"))) != (id, call.args[0]):
                self.breach(
                    f"law 9: {id} speaks as {said.get('from')}.{said.get('inc')} on "
                    f"{output.channel}"
                )
            why = self._why_not(id, found, output)
            if why:
                self.breach(f"law 3: {id} speaks on {output.channel}: {why}")

    def _why_not(self, id: str, found: Found, output: Output) -> str:
        """Empty where the channel is one that it may speak on."""
        kind, _, name = output.channel.partition(":")
        match kind:
            case "requests" | "dead":
                return ""
            case "down":
                return "" if name == id else "it is another's"
            case "up":
                return "" if name == found.agent.get("parent") else "that is not its creator"
            case "inbox":
                parent = self.server.ask("HGET", self.keys.agent(AgentId(name)), "parent")
                return "" if parent == id else "that is no child of its"
            case "room":
                return self._why_not_in_room(found, name.partition("-")[0], output)
        return "it is nobody's to speak on"

    def _why_not_in_room(self, found: Found, room: str, output: Output) -> str:
        path = found.agent.get("path", "").split("/")
        if not may_use(f"room/{room}/say", found.use, found.marks, path):
            return "it holds no right to, or that was revoked"
        stopped = [t for t in (output.channel, f"room:{room}") if t in found.stops]
        return f"{stopped[0]} is stopped" if stopped else ""

    # --- what is settled ---

    def _ended(self, call: Call) -> None:
        step, lease, id, account = call.args[0], call.args[1], call.args[4], call.args[5]
        which = (id, account, step, lease)
        # A new incarnation counts its turns from one again, under a lease of its own.
        if which in self._settled:
            self.breach(f"law 4: step {step} of {id} is settled again by lease {lease}")
        self._settled.add(which)

    def _supervised(self, call: Call) -> None:
        token, seq = self._leader
        if token != call.args[0]:
            self.breach(f"law 8: {call.args[0]} commits, and {token or 'nobody'} leads")
        if int(call.args[1]) != seq + 1:
            self.breach(f"law 8: commit {call.args[1]} after {seq}")


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


# --- the supervisor's commits ---------------------------------------------------------------------


class _NoRights:
    """In place of the slow reckoning of rights, which knows its own privileges alone; `Laws`
    judges them itself.
    """

    def __init__(self) -> None:
        self.everybody: defaultdict[str, Any] = defaultdict(
            lambda: cast(Any, type("Somebody", (), {})())
        )

    def handed(self, parent: str, path: str) -> bool:
        return True

    def spawn(self, *_: Any) -> None: ...

    def revoke(self, *_: Any) -> None: ...

    def grant(self, *_: Any) -> None: ...


@dataclass(slots=True, eq=False)
class Laws:
    """The laws that the state machines are held to (`tests/laws.py`), for a whole swarm. A commit
    counts when the server has done it, by whichever leader."""

    breach: Callable[[str], None]
    is_on: bool = True
    watch: laws.Watch = field(default_factory=laws.Watch)
    _before: laws.Before | None = None
    _pending: dict[tuple[str, str], tuple[Sequence[Change], Swarm, float]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.watch.rights = cast(Any, _NoRights())

    def off(self) -> None:
        """What a server has lost is not known here any more."""
        self.is_on = False
        self._pending.clear()

    def about(
        self, token: str, seq: int, changes: Sequence[Change], swarm: Swarm, now: float
    ) -> None:
        """A supervisor hands this commit over."""
        if self.is_on:
            self._pending[token, str(seq)] = (changes, swarm, now)

    def done(self, call: Call) -> None:
        """The server has done it."""
        found = self._pending.pop((call.args[0], call.args[1]), None)
        if found is None or not self.is_on:
            return
        changes, swarm, now = found
        before = self._before or laws.Before.of(Swarm(swarm.declared))
        try:
            for change in changes:
                if isinstance(change, AgentMade):
                    self._handed(before, change.agent, swarm)
            self.watch.see(before, changes, swarm, now)
            self.watch.is_rights_moved = False
            self.watch.check(swarm, now)
        except (AssertionError, KeyError) as fault:
            self.breach(f"after commit {call.args[1]}: {fault!r}")
            self.off()
        self._before = laws.Before.of(swarm)

    def _handed(self, before: laws.Before, agent: Agent, swarm: Swarm) -> None:
        """Law 3: what a child holds, its creator could hand out."""
        creator = before.agents.get(cast(Any, agent.parent)) or swarm.lineage.get(str(agent.parent))
        if agent.tier == 0 or creator is None:
            return
        marks = [mark for segment in creator.path for mark in before.revocations.get(segment, ())]
        for path in (*agent.privileges, *agent.grants):
            assert can_grant(path, creator, marks), f"law 3: {creator.id} could not hand out {path}"

    def heard(self, channel: str, flat: Mapping[str, Any]) -> None:
        """A host's word counts from when it was given."""
        data = flat.get("data")
        if channel != REQUESTS or flat.get("kind") != Kind.REQUEST or not isinstance(data, Mapping):
            return
        if data.get("type") == "gone" and not data.get("is_late"):
            self.watch.words.add((str(data.get("segment")), HostId(str(flat.get("from")))))
            self.watch.stuck |= set(data.get("stuck", ()))


def can_grant(path: str, creator: Agent, marks: Sequence[Revocation]) -> bool:
    numbers = {held.path: held.number for held in creator.later if held.right == "grant"}
    return any(
        covers(held, path)
        and not any(
            mark.number > numbers.get(held, 0) and mark.right != "use" and covers(mark.path, path)
            for mark in marks
        )
        for held in creator.grants
    )
