"""The cues of a script: one row of all that happened, by when it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import anyio

from swarmd.core.journal.sameness import excerpt, subject_of
from swarmd.core.journal.script import RecordedCall, Script


@dataclass(slots=True)
class Cue:
    """One thing that happened then, so many seconds after the mission was docketed."""

    at: float
    kind: Literal["turn", "answer", "decision", "word"]
    who: str  # the label of an agent, or of whose decision it was
    what: str  # in words; of an answer the name of its call
    entry: int = 0  # of a decision
    event: str = ""  # of a decision
    number: int = 0  # of a decision: the so-manieth of its event and subject
    word: RecordedCall | None = None
    looks: int = 0  # so often the clock was put forward for it, beyond its moment
    is_done: bool = False
    has_come: bool = False  # somebody waits for it to be given
    is_given: bool = False
    is_over: anyio.Event = field(default_factory=anyio.Event)  # nobody waits for it any longer

    def give(self) -> None:
        self.is_given = True
        self.is_over.set()

    def leave_out(self) -> None:
        """It does not come. An answer is given all the same, should it be asked for later."""
        self.is_done = True
        self.give()


@dataclass(slots=True)
class Cues:
    """`turns` are by agent and number, `answers` by agent, turn and number of the call in it."""

    rows: list[Cue] = field(default_factory=list)
    turns: dict[tuple[str, int], Cue] = field(default_factory=dict)
    answers: dict[tuple[str, int, int], Cue] = field(default_factory=dict)
    _at: int = 0  # all before it are done

    @classmethod
    def of(cls, script: Script) -> Cues:
        cues = cls()
        found = [*cues._of_agents(script), *_decisions(script), *_words(script)]
        # A turn took its mail before its first call began: nothing of the same moment was in it.
        cues.rows = sorted(found, key=lambda cue: (cue.at, cue.kind != "turn"))
        return cues

    def _of_agents(self, script: Script) -> Iterator[Cue]:
        for who, turns in script.turns.items():
            for number, calls in enumerate(turns):
                turn = Cue(calls[0].began - script.began, "turn", who, "a turn")
                self.turns[who, number] = turn
                yield turn
                yield from self._of_turn(script, who, number, calls)

    def _of_turn(
        self, script: Script, who: str, turn: int, calls: Sequence[RecordedCall]
    ) -> Iterator[Cue]:
        for number, call in enumerate(calls):
            # One that was cut off ends with its agent's turn, whenever that is.
            if call.text is not None:
                cue = Cue(call.ended - script.began, "answer", who, call.name)
                self.answers[who, turn, number] = cue
                yield cue

    def next(self) -> Cue | None:
        """The first that is not done."""
        while self._at < len(self.rows) and self.rows[self._at].is_done:
            self._at += 1
        return self.rows[self._at] if self._at < len(self.rows) else None

    def release(self) -> None:
        """Nobody waits for a cue any longer, and none is given."""
        for cue in self.rows:
            cue.is_over.set()


def _decisions(script: Script) -> Iterator[Cue]:
    counts = Counter[tuple[str, str]]()
    for one in script.decisions:
        who = subject_of(one, script.labels)
        counts[one.event, who] += 1
        what, number = script.labels.in_words(one.text), counts[one.event, who]
        yield Cue(one.at - script.began, "decision", who, what, one.n, one.event, number)


def _words(script: Script) -> Iterator[Cue]:
    for word in script.words:
        what = f"the operator's word: {excerpt(word.text or '')}"
        yield Cue(word.began - script.began, "word", "operator", what, word=word)
