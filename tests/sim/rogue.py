"""A confused process: it does once more what others did, as a former holder, in another turn, or
with words of its own.

Each of its commands is one that a script or the law must refuse or answer as repeated; the watch
judges what came of it as it judges every other command. It has what a process of ours could have: a
place at the server, and what it has seen. It has no secret, so what it writes into streams is a
copy, true or changed.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swarmd.adapters.redis.connection.connection import Refusal
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.lua import script
from swarmd.core.model.channels import BOARD_ROOM, ORDERS, REQUESTS, up
from swarmd.core.model.names import SOB, AgentId, Channel, HostId
from swarmd.core.model.tables import FENCES, REVOCATIONS, STOPS
from tests.sim.judge import Call, may_use, outputs_of, wanted_by
from tests.sim.server import Server


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


# So many of the last commands of each script are remembered.
_SEEN_MAX: Final = 30
_SEALED: Final = (REQUESTS, ORDERS, BOARD_ROOM, up(SOB))
_REFUSED: Final = ("refused", "output")
_SCRIPTS: Final = ("begin", "end", "commit", "supervise", "post")


@dataclass(slots=True, eq=False)
class Rogue:
    server: Server
    keys: Keys
    chance: random.Random
    fault: Callable[[str, str], None]
    _seen: dict[str, deque[list[str]]] = field(default_factory=dict)

    def see(self, who: str, name: str, words: Sequence[str], answer: Any) -> None:
        """What was refused is not remembered: done later, when nothing stands against it, it
        would be somebody's own.
        """
        if who == "rogue" or name not in _SCRIPTS or isinstance(answer, Refusal):
            return
        if not (isinstance(answer, list) and answer[0] in _REFUSED):
            self._seen.setdefault(name, deque(maxlen=_SEEN_MAX)).append(list(words))

    def lost(self) -> None:
        """A server that is another process has nothing of what was on its way to the last one."""
        self._seen.clear()

    def act(self) -> None:
        """One thing that must come to nothing."""
        what = self.chance.choice(
            (
                self.below_a_mark,
                self.below_a_mark,
                self._without_a_right,
                self._as_it_was,
                self._as_a_former_incarnation,
                self._by_another_lease,
                self._by_another_host,
                self._in_another_turn,
                self._of_more,
                self._where_it_may_not_speak,
                self._copy,
                self._copy,
                self._forge,
            )
        )
        what()

    # --- scripts ---

    def _one_of(
        self, *names: str, by: Callable[[list[str]], bool] = lambda _: True
    ) -> list[str] | None:
        seen = [words for name in names for words in self._seen.get(name, ()) if by(words)]
        return list(self.chance.choice(seen)) if seen else None

    def _send(self, what: str, words: Sequence[str]) -> None:
        self.fault(f"rogue: {what}", "rogue")
        self.server.execute("rogue", [word.encode() for word in words])

    def _with(self, words: list[str], at: int, word: str) -> list[str]:
        """The script's argument at that place is another."""
        words[3 + int(words[2]) + at] = word
        return words

    def _as_it_was(self) -> None:
        words = self._one_of(*_SCRIPTS)
        if words is not None:
            self._send("the same once more", words)

    def _renewed(
        self, *names: str, by: Callable[[list[str]], bool] = lambda _: True
    ) -> list[str] | None:
        """A begin or commit for somebody, as whoever holds it now could make it in its next
        turn.
        """
        words = self._one_of(*(names or ("begin", "commit")), by=by)
        if words is None:
            return None
        is_begin = words[1] == script("begin").sha
        keys, ask = words[3 : 3 + int(words[2])], self.server.ask
        turn = int(ask("HGET", keys[9] if is_begin else keys[6], "turn") or 0) + 1
        held = AgentId(words[3 + len(keys) + (6 if is_begin else 4)])
        agent = ask("HMGET", self.keys.agent(held), "incarnation", "lease", "host")
        if None in agent or not agent[2]:
            return None
        for at, word in enumerate(agent):
            self._with(words, at, word)
        words[3 + 4] = self.keys.host(agent[2])
        return self._with(words, 3, f"{turn}:1" if is_begin else str(turn))

    def is_marked(self) -> bool:
        """Is there a mark below which something could be tried?"""
        keys = self.keys
        return any(
            self.server.ask("EXISTS", key)
            for key in (keys.rows(FENCES), keys.rows(STOPS), keys.rows(REVOCATIONS))
        )

    def below_a_mark(self) -> None:
        """The next call or commit of somebody whom a fence, a stop or a revocation holds."""
        words = self._renewed(by=self._is_held)
        if words is not None:
            self._send("below a mark", words)

    def _is_held(self, words: list[str]) -> bool:
        ask, keys = self.server.ask, self.keys
        path = (ask("HGET", words[3], "path") or "").split("/")
        stops = _pairs(ask("HGETALL", keys.rows(STOPS)))
        # A drain lets a turn that has begun come to its end.
        firm = {target for target, stop in stops.items() if not stop.startswith("drain")}
        if not (firm | set(ask("HKEYS", keys.rows(FENCES)))).isdisjoint((*path, f"={path[-1]}")):
            return True
        if words[1] != script("begin").sha:
            return False
        use, marks = (
            _pairs(ask("HGETALL", words[8])),
            _pairs(ask("HGETALL", keys.rows(REVOCATIONS))),
        )
        return any(
            not may_use(wanted, use, marks, path) for wanted in wanted_by(Call.of("begin", words))
        )

    def _without_a_right(self) -> None:
        """A call for which its agent would need what nobody gave it."""
        words = self._renewed("begin")
        if words is not None:
            at = 3 + int(words[2]) + 9
            for _ in range(3):
                at += int(words[at]) + 1
            self._send("without a right", [*words[:at], "1", "1", "vault/open"])

    def _as_a_former_incarnation(self) -> None:
        words = self._renewed()
        if words is not None:
            own = int(words[3 + int(words[2])])
            self._send("as a former incarnation", self._with(words, 0, str(own - 1)))

    def _by_another_lease(self) -> None:
        words = self._renewed()
        if words is not None:
            lease = int(words[3 + int(words[2]) + 1])
            self._send(
                "by another lease", self._with(words, 1, str(lease + self.chance.choice((-1, 1))))
            )

    def _by_another_host(self) -> None:
        words = self._renewed()
        hosts = sorted(self.server.ask("SMEMBERS", self.keys.hosts))
        if words is not None and hosts:
            host = self.chance.choice(hosts)
            if host != words[3 + int(words[2]) + 2]:
                words[3 + 4] = self.keys.host(HostId(host))
                self._send("by another host", self._with(words, 2, host))

    def _in_another_turn(self) -> None:
        renewed = self._renewed()
        if renewed is not None and renewed[1] == script("commit").sha:
            turn = int(renewed[3 + int(renewed[2]) + 3])
            self._send(
                "in another turn", self._with(renewed, 3, str(turn + self.chance.randint(1, 3)))
            )

    def _of_more(self) -> None:
        """The end of a call once more, of another amount."""
        words = self._one_of("end")
        if words is not None and len(words) > 3 + 3 + 9:
            self._send("an end of more", self._with(words, 9, "499"))

    def _where_it_may_not_speak(self) -> None:
        """A commit whose first message goes into a room that its sender has no right in."""
        words = self._one_of("commit")
        if words is None or not outputs_of(Call.of("commit", words)):
            return
        renewed = self._renewed_commit(words)
        if renewed is not None:
            self._send("where it may not speak", renewed)

    def _renewed_commit(self, words: list[str]) -> list[str] | None:
        n = int(words[2])
        keys, args = words[3 : 3 + n], words[3 + n :]
        record = self.keys.agent(AgentId(args[4]))
        agent = self.server.ask("HMGET", record, "incarnation", "lease", "host")
        if None in agent or not agent[2]:
            return None
        turn = int(self.server.ask("HGET", keys[6], "turn") or 0) + 1
        keys[4], keys[12] = self.keys.host(agent[2]), self.keys.channel(Channel("room:vault"))
        at = 8
        for _ in range(4):
            at += int(args[at]) + 1
        for _ in range(int(args[at])):
            at += 1 + int(args[at + 1])
        at += 1
        line, preview, rights = args[at + 1], args[at + 2], int(args[at + 3])
        rest = args[at + 4 + rights :]
        spoken = ["room:vault", line, preview, "1", "room/vault/say", *rest]
        return [*words[:3], *keys, *agent, str(turn), *args[4:at], *spoken]

    # --- streams ---

    def _entry(self) -> tuple[str, list[str]] | None:
        stream = self.keys.channel(self.chance.choice(_SEALED))
        entries = self.server.ask("XRANGE", stream, "-", "+")
        return (stream, list(self.chance.choice(entries)[1])) if entries else None

    def _copy(self) -> None:
        found = self._entry()
        if found is not None:
            self._send("an old entry once more", ["XADD", found[0], "*", *found[1]])

    def _forge(self) -> None:
        found = self._entry()
        if found is not None:
            stream, (field, line, *_) = found
            at = self.chance.randrange(len(line))
            self._send("a forged entry", ["XADD", stream, "*", field, line[:at] + "1" + line[at:]])
