"""One primary, one replica, three sentinels, a supervisor, a worker: the primary is lost in each
round.

    python -m tests.chaos failover --rounds 20

Lost by SIGKILL, by SIGSTOP (it wakes when another has its place), or demoted by a sentinel.
Operators give orders and hand missions in all the time, each by a connection of its own as a verb
does, beside a stream of unconfirmed posts. What was acknowledged must be there at the end, once: an
order's answer in the journal and its mark, a mission's end. Recovery is from the loss to the first
order that was given after it and carried out.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from swarmd.adapters.redis.connection.requirements import connect_sync
from swarmd.adapters.redis.connection.sync_client import Wire
from swarmd.adapters.redis.keys import Keys
from swarmd.adapters.redis.operator_post import confirm_sync, operator_sealer, post_sync
from swarmd.adapters.redis.reader import View, ask, view_of
from swarmd.cli.order_client import at_now, order
from swarmd.core.model.channels import JOURNAL, MISSIONS, ORDERS, RESULTS, room
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import FIRST, OPERATOR, Channel, StreamId
from swarmd.core.model.tables import STOPS
from swarmd.errors import SwarmError
from tests.chaos.report import Report, spread
from tests.e2e.swarm_process import ENDED, Child, child, clean_environment, verb
from tests.topology import Node, Watched, until, watched

LOSSES: Final = ("kill", "stop", "demote")
DOWN_AFTER_MS: Final = 1_000
RECOVERY_SECONDS_MAX: Final = 10.0
_ORDER_SECONDS: Final = 0.1
_MISSION_SECONDS: Final = 10.0
_BACK_MS: Final = 15_000
_NOISE_SECONDS: Final = 0.005
_SETTLE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Given:
    """What operators gave, when (monotonic seconds), and of which they were told that it is
    kept.
    """

    url: str
    data: Path
    orders: dict[str, float] = field(default_factory=dict)  # acknowledged
    missions: dict[str, float] = field(default_factory=dict)  # likewise
    unsure: int = 0  # answered with an error: it may be there or not
    noise: int = 0
    said: Counter[str] = field(default_factory=Counter)  # by what was in its place
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self, every: float, give: Callable[[int], None]) -> threading.Thread:
        def loop() -> None:
            number = 0
            while not self.is_over.wait(every):
                number += 1
                try:
                    give(number)
                except SwarmError as error:
                    self.unsure += 1
                    self.said[error.what.split(":")[0][:60]] += 1

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        return thread

    def order(self, number: int) -> None:
        with self._wire() as wire:
            sealer = operator_sealer(wire, Keys(), self._secret())
            id = f"o-{number}"
            message = order("freeze", target_of(id), "chaos", id)
            given = time.monotonic()
            post_sync(wire, Keys(), sealer, ORDERS, message, key=id)
            self.orders[id] = given

    def mission(self, number: int) -> None:
        id = f"m-{number}"
        with self._wire() as wire:
            given = time.monotonic()
            ask(wire, ["XADD", Keys().channel(MISSIONS), "*", "mission", "What is here?", "id", id])
            confirm_sync(wire)
            self.missions[id] = given

    def post(self, number: int) -> None:
        """Unconfirmed, so that the replica always lags by something."""
        channel = room("noise")
        with self._wire() as wire:
            sealer = operator_sealer(wire, Keys(), self._secret())
            for _ in range(20):
                message = Message(sender=OPERATOR, kind=Kind.SAY, at=at_now(), text="x" * 500)
                post_sync(wire, Keys(), sealer, channel, message)
                self.noise += 1

    @contextmanager
    def _wire(self) -> Iterator[Wire]:
        with closing(connect_sync(self.url)) as wire:
            yield wire

    def _secret(self) -> bytes:
        return (self.data / "secret").read_bytes().strip()


def target_of(order_id: str) -> str:
    """A stop that nothing in this swarm feels, one for each order."""
    return f"use:tool/chaos/{order_id}"


@dataclass(slots=True)
class Watch:
    """Sees which orders were carried out, and when it could first be seen."""

    url: str
    carried: dict[str, float] = field(default_factory=dict)
    reached: StreamId = FIRST
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> threading.Thread:
        thread = threading.Thread(target=self._loop, daemon=True)
        thread.start()
        return thread

    def _loop(self) -> None:
        while not self.is_over.wait(0.05):
            try:
                # A connection of a moment: one to a server that has lost its place would see
                # nothing new.
                with closing(view_of(self.url, "swarm")) as view:
                    self._look(view)
            except SwarmError:
                continue

    def _look(self, view: View) -> None:
        for message in _messages(view, JOURNAL, self.reached):
            # Always from a little back: the end of what the last server had may be missing on the
            # next.
            self.reached = StreamId(f"{order_of(message.id)[0] - _BACK_MS}-0")
            if id := answer_in(message):
                self.carried.setdefault(id, time.monotonic())


def _messages(view: View, channel: Channel, after: StreamId) -> list[Message]:
    return [one for entry in view.page(channel, after).entries if (one := entry.message)]


def answered(view: View) -> list[str]:
    """Orders that the journal has a last word on, as often as it has one."""
    return [id for message in _messages(view, JOURNAL, FIRST) if (id := answer_in(message))]


def answer_in(message: Message) -> str:
    return str(message.data.get("order", "")) if message.data.get("outcome") in _LAST_WORDS else ""


_LAST_WORDS: Final = ("done", "stopped")


def lose(crew: Watched, how: str) -> tuple[float, Callable[[], None]]:
    """Takes the primary away: when that was, and what brings that server back."""
    former, lost = crew.primary(), time.monotonic()
    if how == "kill":
        former.signal(signal.SIGKILL)
        return lost, former.start
    if how == "stop":
        former.signal(signal.SIGSTOP)
        return lost, lambda: former.signal(signal.SIGCONT)

    def has_left() -> bool:
        # A sentinel gives up where the replica is not fit in time; then it is asked again.
        crew.sentinels[0].ask("SENTINEL", "FAILOVER", crew.service)
        time.sleep(0.3)
        return _has_left(crew, former)

    until(has_left, "a sentinel demotes it")
    return time.monotonic(), lambda: None


def _has_left(crew: Watched, former: Node) -> bool:
    return crew.primary() is not former


def failover(
    rounds: int, seed: int, *, down_after_ms: int = DOWN_AFTER_MS, losses: Sequence[str] = LOSSES
) -> Report:
    report, dice = Report("failover", seed), random.Random(seed)
    recoveries: list[float] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="failover-")))
        crew = stack.enter_context(watched(folder, down_after_ms=down_after_ms))
        data = folder / "data"
        environment = clean_environment(data, REDIS_URL=crew.url)
        parts = [
            stack.enter_context(child([part], environment)) for part in ("supervisor", "worker")
        ]
        for part in parts:
            part.until_said("is up")
        given, watch = Given(crew.url, data), Watch(crew.url)
        threads = [
            watch.run(),
            given.run(_ORDER_SECONDS, given.order),
            given.run(_MISSION_SECONDS, given.mission),
            given.run(_NOISE_SECONDS, given.post),
        ]
        for number in range(rounds):
            until(crew.is_whole, "the crew is whole", 90)
            time.sleep(dice.uniform(0.5, 2.0))
            how, former = losses[number % len(losses)], crew.primary()
            lost, bring_back = lose(crew, how)
            recoveries.append(_recovered(given, watch, lost, parts) - lost)
            until(partial(_has_left, crew, former), "another is the primary")
            bring_back()
            report.counts[how] = report.counts.get(how, 0) + 1
            print(f"round {number + 1}: {how}, {recoveries[-1]:.2f} s", file=sys.stderr, flush=True)
        until(crew.is_whole, "the crew is whole", 90)
        given.is_over.set()
        for thread in threads[1:]:
            thread.join(30)
        _judge(report, given, watch, crew.url, environment)
        watch.is_over.set()
        threads[0].join(30)
        for part in parts:
            report.must(part.process.poll() is None, f"a part ended: {part.stderr[-1500:]}")
    report.counts |= {
        "orders acknowledged": len(given.orders),
        "missions acknowledged": len(given.missions),
        "answered with an error": given.unsure,
        "unconfirmed posts": given.noise,
    }
    report.figures |= {f"recovery {name}": value for name, value in spread(recoveries).items()}
    slowest = max(recoveries)
    report.must(slowest <= RECOVERY_SECONDS_MAX, f"a recovery took {slowest:.1f} s")
    return report


def _recovered(given: Given, watch: Watch, lost: float, parts: list[Child]) -> float:
    """When the first order that was given after the loss could be seen carried out."""
    found: list[float] = []

    def is_carried() -> bool:
        for part in parts:
            assert part.process.poll() is None, part.stderr[-4_000:]
        later = [id for id, at in list(given.orders.items()) if at > lost]
        found[:] = [watch.carried[id] for id in later if id in watch.carried]
        return bool(found)

    until(is_carried, "an order is carried out again", 60)
    return min(found)


def _judge(
    report: Report, given: Given, watch: Watch, url: str, environment: Mapping[str, str]
) -> None:
    """All that was acknowledged is there, once, and the record and the living swarm are sound."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (missing := _missing(given, watch, url)) and time.monotonic() < deadline:
        time.sleep(0.5)
    for fault in missing:
        report.must(False, fault)
    with closing(view_of(url, "swarm")) as view:
        twice = [id for id, count in Counter(answered(view)).items() if count > 1]
        report.must(not twice, f"carried out twice: {twice}")
        results = Counter(str(message.mission) for message in _messages(view, RESULTS, FIRST))
        report.must(
            all(count == 1 for count in results.values()), f"results: {results.most_common(3)}"
        )
    found = verb(environment, "fsck", seconds=120)
    report.must(found.returncode == 0, f"fsck: {found.stdout}{found.stderr}")
    _verified(report, verb(environment, "journal", "verify", "--json", seconds=120).stdout)


def _missing(given: Given, watch: Watch, url: str) -> list[str]:
    keys = Keys()
    with closing(view_of(url, "swarm")) as view:
        [flat] = view.ask(["HKEYS", keys.rows(STOPS)])
        marks = set(flat)
        states = view.ask(
            *(["HGET", f"{keys.prefix}mission:{id}", "state"] for id in given.missions)
        )
    faults = [f"order {id} has no answer" for id in given.orders if id not in watch.carried]
    faults += [f"order {id} left no mark" for id in given.orders if target_of(id) not in marks]
    ends = zip(given.missions, states, strict=True)
    return faults + [f"mission {id} is {state}" for id, state in ends if state not in ENDED]


def _verified(report: Report, said: str) -> None:
    """The journal may have lost entries that no replica had confirmed; then it says so itself,
    and nothing else.
    """
    import json

    verdict: dict[str, Any] = json.loads(said)
    kinds = Counter(finding["kind"] for finding in verdict["findings"])
    report.counts["gaps the journal tells of"] = kinds.pop("recovered", 0)
    report.must(not kinds, f"journal verify: {dict(kinds)}: {verdict['findings'][:3]}")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--down-after-ms", type=int, default=DOWN_AFTER_MS)


def run(arguments: argparse.Namespace) -> Report:
    return failover(
        arguments.rounds,
        arguments.seed,
        down_after_ms=arguments.down_after_ms,
        losses=arguments.losses,
    )
