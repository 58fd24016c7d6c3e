"""What is held against the laws at every command, and at the end. A breach is a sentence; the
run goes on to its end.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from swarmd.adapters.archive.fsck import check
from swarmd.adapters.archive.verify import Tail, prove
from swarmd.adapters.redis.codecs import agent_of
from swarmd.adapters.redis.connection.connection import Refusal
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.reader import View
from swarmd.core.agent.mailbox import concerns
from swarmd.core.journal.audit import Auditor
from swarmd.core.journal.replay import Link, State, first_state, link_of
from swarmd.core.ledger.accounts import Fault
from swarmd.core.model.bench import quorum_of
from swarmd.core.model.board_rules import BoardRules
from swarmd.core.model.channels import INPUTS, JOURNAL, RESULTS
from swarmd.core.model.charter import KINDS
from swarmd.core.model.messages import Kind, from_line, line_of, order_of
from swarmd.core.model.names import FIRST, AgentId, Channel, StreamId
from swarmd.core.model.refusals import Rule
from tests.sim.judge import Call, Judge, Laws, outputs_of
from tests.sim.player import MARK, Player
from tests.sim.server import START, Server
from tests.streams import said_in

BREACHES_MAX: Final = 20
_MOTION: Final = re.compile(r"motion (\d+):")
# Why an entry is none of ours.
_NO_MESSAGE: Final = (
    Rule.ENVELOPE_FORGED,
    Rule.ENVELOPE_REPLAYED,
    Rule.ENVELOPE_VERSION,
    Rule.INCARNATION,
)
_FINAL: Final = ("done", "refused")
_JUDGED: Final = ("begin", "end", "commit", "supervise")
# What a step's result says where it was given up half-way.
_LOST: Final = '{"lost": true}'


@dataclass(slots=True, eq=False)
class Watch:
    """Give `about` and `saw` to the server, and ask `end` when all has come to rest."""

    server: Server
    keys: Keys
    player: Player
    board: BoardRules
    breaches: list[str] = field(default_factory=list)
    told_of: Callable[[], None] = lambda: None  # at each breach
    judge: Judge = field(init=False)
    _inputs: frozenset[str] = field(init=False)
    laws: Laws = field(init=False)
    commits: int = 0
    # Whatever was seen carries its time: what a server lost did not happen.
    _turns: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _said: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _positions: dict[str, dict[str, str]] = field(default_factory=dict)
    _reserved: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _settled: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    # Calls whose result is journaled: what was paid for once is not done again.
    _ended: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _incarnations: dict[str, str] = field(default_factory=dict)
    _outcomes: dict[str, list[str]] = field(default_factory=dict)
    _lost_at: float = float("-inf")
    _carried: set[tuple[str, int]] = field(default_factory=set)  # motions, by their missions
    _foreign: int = 0  # entries of the inputs that no script of ours wrote
    _by_hand: Counter[str] = field(default_factory=Counter)  # the same, by the stream's key
    _facts_until: str = "0-0"
    _number: int = 0
    _state: State = field(default_factory=State)
    _auditor: Auditor = field(default_factory=Auditor)
    _until: StreamId = FIRST
    _is_broken: bool = False
    _before: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._inputs = frozenset(map(self.keys.channel, INPUTS))
        self.judge = Judge(self.server, self.keys, self.breach)
        self.laws = Laws(self.breach)

    def breach(self, what: str) -> None:
        if len(self.breaches) < BREACHES_MAX:
            self.breaches.append(f"{self.server.now() - START:.3f}: {what}")
        self.told_of()

    # --- at every command ---

    def about(self, name: str, words: Sequence[str]) -> None:
        if name not in _JUDGED:
            return
        call = Call.of(name, words)
        self.judge.about(call)
        if name == "commit":
            self._before = self._positions_of(call.keys[6])

    def saw(self, name: str, words: Sequence[str], answer: Any) -> None:
        if name == "XADD":
            self._by_hand[words[1]] += 1
            self._foreign += words[1] in self._inputs
        if name not in _JUDGED or isinstance(answer, Refusal):
            return
        call = Call.of(name, words)
        self.judge.saw(call, answer)
        if name == "commit" and answer[0] in ("done", "looped"):
            self._committed(call)
        if name == "begin" and answer[0] == "begun":
            self._begun(call)
        if name == "end" and answer[0] == "settled" and call.args[2] != _LOST:
            id = call.args[4]
            self._ended[id, self._incarnations.get(id, ""), call.args[0]] = self.server.now()
        if name == "supervise" and answer == "done":
            self._supervised(call)
        if name != "commit":
            self._read_facts()
            for key in call.keys:
                if ":ledger:" in key:
                    self._balanced(key)

    def heard(self, name: str, line: str) -> None:
        """What is posted is rung, at the same moment."""
        flat = _ring_of(line)
        self.laws.heard(name.partition(":")[2], flat)
        channel, sender, text = name, str(flat.get("from", "")), str(flat.get("text", ""))
        if text.startswith(MARK):
            if (channel, sender, text) in self._said:
                self.breach(f"law 8: {sender} said twice on {channel}: {text}")
            self._said[channel, sender, text] = self.server.now()

    # --- turns ---

    def _positions_of(self, key: str) -> dict[str, str]:
        flat = self.server.ask("HGETALL", key)
        return {f[2:]: v for f, v in zip(flat[::2], flat[1::2], strict=True) if f.startswith("p:")}

    def _committed(self, call: Call) -> None:
        incarnation, _, _, turn, id = call.args[:5]
        self.commits += 1
        if (id, incarnation, turn) in self._turns:
            self.breach(f"law 8: turn {turn} of {id} was committed twice")
        self._turns[id, incarnation, turn] = self.server.now()
        after = self._positions_of(call.keys[6])
        agent = agent_of(_pairs(self.server.ask("HGETALL", self.keys.agent(AgentId(id)))))
        # Whoever may not think any more answers its mail by its failure, in the same commit.
        has_failed = any(_is_failure(output.said) for output in outputs_of(call))
        for channel, at in after.items():
            was = self._before.get(channel, "0-0")
            if order_of(StreamId(at)) < order_of(StreamId(was)):
                self.breach(f"law 8: {id} went back on {channel} from {was} to {at}")
            if agent is None or agent.is_seat or at == was or has_failed:
                continue
            self._all_shown(agent, Channel(channel), was, at)

    def _begun(self, call: Call) -> None:
        incarnation, id = call.args[0], call.args[6]
        self._incarnations[id] = incarnation
        if (id, incarnation, call.args[3]) in self._ended:
            self.breach(f"law 8: step {call.args[3]} of {id} is done again, and was paid for")

    def _all_shown(self, agent: Any, channel: Channel, was: str, at: str) -> None:
        """Law 8: what a turn says that it has read was before its mind."""
        shown = self.player.shown.get(agent.id, set())
        for id, flat in self.server.ask("XRANGE", self.keys.channel(channel), f"({was}", at):
            message = from_line(channel, StreamId(id), line_of(flat))
            if message is None or not concerns(agent, message):
                continue
            if (channel, message.sender, message.serial) not in shown:
                self.breach(
                    f"law 8: {agent.id} passed over {id} of {channel}: {message.kind} "
                    f"{message.text[:60]}"
                )

    # --- the supervisor ---

    def _supervised(self, call: Call) -> None:
        number = int(call.args[0].partition(":")[0])
        if number < self._number:
            self.breach(f"a former supervisor wrote: {number} after {self._number}")
        self._number = number
        self.follow()
        self.laws.done(call)

    def follow(self) -> None:
        """Law 12: the journal alone, judged by the auditor as it is written."""
        rows = self.server.ask(
            "XRANGE",
            self.keys.channel(JOURNAL),
            "-" if self._until == FIRST else f"({self._until}",
            "+",
        )
        for at, flat in rows:
            self._until = StreamId(at)
            if self._is_broken:
                return
            try:
                link = link_of(self._until, line_of(flat))
                assert link is not None
                if self._state.head.n == 0:
                    self._state = first_state(link)
                    self._auditor.begin(self._state)
                self._state.follow(link, self._auditor)
            except Fault as fault:
                self._is_broken = True
                self.breach(f"law 12: {fault}")
                return
            self._of_the_board(link)
            outcome, order = link.data.get("outcome"), link.data.get("order")
            if outcome and order:
                self._outcomes.setdefault(str(order), []).append(str(outcome))
        if self._auditor.faults:
            for n, what in self._auditor.faults:
                self.breach(f"entry {n}: {what}")
            self._auditor.faults.clear()

    def _of_the_board(self, link: Link) -> None:
        """Law 5: a motion is carried by those who voted, or by an operator, and no other is
        executed.
        """
        data, mission = link.data, link.field("mission")
        number = data.get("motion_number")
        if link.event == "board.announced" and data.get("carried") and number is not None:
            self._carried.add((mission, int(number)))
            votes, arguments = data.get("votes"), data.get("arguments")
            if votes is not None and not _is_carried(votes, self.board):
                self.breach(f"law 5: motion {number} of {mission} is carried by {votes}")
            if arguments is not None and not _is_consented(data, self.board):
                self.breach(f"law 5: motion {number} of {mission} is carried by {arguments}")
        if link.event == "motion.executed":
            done = _MOTION.match(link.field("text"))
            if done is not None and (mission, int(done[1])) not in self._carried:
                self.breach(
                    f"law 5: motion {done[1]} of {mission} is executed, and was not carried"
                )

    # --- the ledger ---

    def _read_facts(self) -> None:
        for id, flat in self.server.ask("XRANGE", self.keys.facts, f"({self._facts_until}", "+"):
            self._facts_until = id
            fact = _pairs(flat)
            key = (fact.get("agent", ""), fact.get("account", ""), fact.get("call", ""))
            if fact["fact"] == "reserve":
                self._reserved[key] += 1
            elif fact["fact"] == "settle" and key in self._reserved:
                self._settled[key] += 1
                if self._settled[key] > self._reserved[key]:
                    self.breach(
                        f"law 4: {key} was settled {self._settled[key]} times for "
                        f"{self._reserved[key]}"
                    )

    def _balanced(self, key: str) -> None:
        account = _pairs(self.server.ask("HGETALL", key))

        def of(kind: str, *names: str) -> int:
            return sum(int(account.get(f"{kind}.{name}", 0)) for name in names)

        for kind in KINDS if account else ():
            if of(kind, "cap", "overdraft") != of(kind, "free", "reserved", "granted", "spent"):
                self.breach(f"law 4: {key} does not balance: {account}")
            if of(kind, "free") < 0 or of(kind, "reserved") < 0 or of(kind, "granted") < 0:
                self.breach(f"law 4: {key} has less than nothing: {account}")

    # --- a server that lost its last second ---

    def lost(self, until: float) -> None:
        """What was seen after that moment did not happen."""
        self._lost_at = self.server.now()
        self.judge.lost()
        self.laws.off()
        self._turns = {what: at for what, at in self._turns.items() if at <= until}
        self._said = {what: at for what, at in self._said.items() if at <= until}
        self._ended = {what: at for what, at in self._ended.items() if at <= until}
        self._reserved.clear()
        self._settled.clear()
        self._outcomes.clear()
        last = self.server.ask("XREVRANGE", self.keys.facts, "+", "-", "COUNT", 1)
        self._facts_until = last[0][0] if last else "0-0"
        self._number = int(self.server.ask("GET", self.keys.fencing) or 0)
        self._state, self._auditor, self._until = State(), Auditor(), FIRST
        self.follow()

    # --- at the end ---

    def results(self) -> Counter[str]:
        rows = self.server.ask("XRANGE", self.keys.channel(RESULTS), "-", "+")
        return Counter(said_in(_pairs(flat))["mission"] for _, flat in rows)

    def kept(self) -> tuple[str, ...]:
        """Keys that are of agents and missions which have ended."""
        return tuple(
            key
            for key in sorted(self.server.ask("KEYS", f"{self.keys.prefix}*"))
            if any(part.startswith(("a-", "m-", "hall-")) for part in key.split(":"))
        )

    def told(self, name: str) -> Counter[str]:
        """What the journal says under that name, facts that it folds in included."""
        rows = self.server.ask("XRANGE", self.keys.channel(JOURNAL), "-", "+")
        entries = [json.loads(said_in(_pairs(flat)).get("data", "{}")) for _, flat in rows]
        facts = [fact for entry in entries for fact in entry.get("facts", ())]
        return Counter(str(found[name]) for found in (*entries, *facts) if found.get(name))

    def _refused_entries(self) -> int:
        rows = self.server.ask("XRANGE", self.keys.channel(JOURNAL), "-", "+")
        entries = [json.loads(said_in(_pairs(flat)).get("data", "{}")) for _, flat in rows]
        return sum(int(e.get("count", 1)) for e in entries if e.get("rule") in _NO_MESSAGE)

    def states(self) -> Counter[str]:
        rows = self.server.ask("XRANGE", self.keys.channel(RESULTS), "-", "+")
        found = [from_line(RESULTS, StreamId(id), line_of(flat)) for id, flat in rows]
        return Counter(
            str(m.data.get("state")) for m in found if m is not None and m.kind is Kind.RESULT
        )

    def end(  # noqa: C901
        self, folder: Path, swarm: str, missions: Mapping[str, bool], orders: Mapping[str, bool]
    ) -> None:
        """`missions` and `orders` that were handed in, and whether that was acknowledged."""
        results = self.results()
        for id, is_acknowledged in missions.items():
            if results[id] > 1 or (is_acknowledged and results[id] == 0):
                self.breach(f"law 8: mission {id} has {results[id]} results")
        for order, is_acknowledged in orders.items():
            outcomes = self._outcomes.get(order, [])
            if sum(outcome in _FINAL for outcome in outcomes) > 1:
                self.breach(f"law 8: order {order} was answered {outcomes}")
            if is_acknowledged and not outcomes:
                self.breach(f"law 8: order {order} was never answered")
        refused = self._refused_entries()
        if self._lost_at < 0 and refused < self._foreign:
            self.breach(
                f"law 9: of {self._foreign} copied and forged entries {refused} were refused"
            )
        if self.player.idle_calls:
            self.breach(f"law 10: {self.player.idle_calls} calls of a model without mail")
        for key in self.server.ask("KEYS", f"{self.keys.prefix}ledger:*"):
            self._balanced(key)
        with closing(View(self.server.wire(), self.keys)) as view:
            for flaw in check(view, folder, swarm, looks=1):
                # What a hand wrote is found as such until the supervisor counts it, once a minute.
                is_by_hand = self._by_hand[self.keys.channel(Channel(flaw.subject))] > 0
                if flaw.name != "channel.foreign" or not is_by_hand:
                    self.breach(f"fsck: {flaw.name} {flaw.subject}: {flaw.what}")
            tail = Tail(list(view.journal()), view.journal_head())
        for finding in prove(folder, swarm, lambda: tail).proof.findings:
            if finding.kind != "recovered":
                self.breach(f"journal verify: {finding.kind} at {finding.n}: {finding.what}")


def _is_consented(data: Mapping[str, Any], board: BoardRules) -> bool:
    """The proposer and others of the board, each once, who all consented, are a quorum."""
    arguments = data["arguments"]
    seats = [str(data["proposer"]), *(str(one["seat"]) for one in arguments)]
    return (
        board.procedure == "brisk"
        and all(one["stance"] == "consent" for one in arguments)
        and len(set(seats)) == len(seats) >= quorum_of(board, len(board.seats))
        and set(seats) <= set(board.seats)
    )


def _is_carried(votes: Sequence[Mapping[str, str]], board: BoardRules) -> bool:
    """A quorum of seats, each once, and more yes than no; of a tie the chair's yes."""
    choices = {vote["seat"]: vote["choice"] for vote in votes}
    if (
        len(choices) != len(votes)
        or len(votes) < quorum_of(board, len(board.seats))
        or not set(choices) <= set(board.seats)
    ):
        return False
    yes, no = (list(choices.values()).count(choice) for choice in ("yes", "no"))
    is_broken_tie = yes == no and board.tie_break == "chair" and choices.get(board.chair) == "yes"
    return yes > no or is_broken_tie


def _is_failure(said: Mapping[str, Any]) -> bool:
    data = said.get("data")
    return isinstance(data, Mapping) and data.get("type") == "failed"


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _ring_of(line: str) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], json.loads(line))
    except ValueError:
        return {}
