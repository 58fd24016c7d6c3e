"""Each motion decided again from the answers that the journal has of it. Pure.

What the clerk announced of a decision carries the bench and every answer: the same functions that
decided then decide now, and what was executed must have been carried so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from swarmd.core.journal.replay import Link, State
from swarmd.core.model.bench import Bench
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.motion_kinds import kinds
from swarmd.core.model.procedure import Argument, Ballot
from swarmd.core.model.voting import Verdict, decide_consent, decide_vote


@dataclass(slots=True)
class MotionsJudged:
    """Per mission the motions that were carried by the record. Of a mission whose beginning lies
    before what is read, nothing is known.
    """

    _carried: dict[str, set[int]] = field(default_factory=dict)
    _benches: dict[str, Bench | None] = field(default_factory=dict)  # none: not decided yet
    _kinds: dict[str, tuple[object, str]] = field(default_factory=dict)  # of the present motion
    _authors: dict[str, tuple[object, str]] = field(default_factory=dict)  # of the present motion

    def clear(self) -> None:
        self._carried.clear()
        self._benches.clear()
        self._kinds.clear()
        self._authors.clear()

    def entry(self, state: State, link: Link) -> Iterator[str]:
        """What is wrong with an entry, in sentences."""
        data = link.data
        if link.event == JournalEvent.BOARD_ANNOUNCED:
            mission = link.field("mission")
            self._note(mission, data)
            if "carried" in data:
                yield from self._decided(state, mission, data)
        elif link.event == JournalEvent.MOTION_EXECUTED:
            mission = link.field("mission")
            number = data.get("motion_number")
            if number not in self._carried.get(mission, {number}):
                yield f"motion {number} of mission {mission} was executed, and was not carried"

    def _note(self, mission: str, data: Mapping[str, Any]) -> None:
        """A mission's beginning, and of which kind and whose its present motion is."""
        if "opened" in data:
            self._carried[mission], self._benches[mission] = set(), None
        if isinstance(data.get("motion"), Mapping):
            kind = str(data["motion"].get("motion"))
            self._kinds[mission] = (data.get("motion_number"), kind)
            if "proposer" in data:
                self._authors[mission] = (data.get("motion_number"), str(data["proposer"]))

    def _decided(self, state: State, mission: str, data: Mapping[str, Any]) -> Iterator[str]:
        number = data.get("motion_number")
        which = f"motion {number} of mission {mission}"
        if "bench" not in data:
            if not _is_overruled(state, mission):
                yield f"{which} was carried by an operator, and no override of it stands"
        else:
            of, author = self._authors.get(mission, (None, ""))
            verdict = _decided_again(data, author if of == number else "")
            if isinstance(verdict, str):
                yield f"{which}: {verdict}"
            elif (verdict.is_carried, verdict.why) != (data.get("carried"), data.get("why")):
                yield (
                    f"{which} is told as {_told(data.get('carried'))}, {data.get('why')}; by its "
                    f"answers it is {_told(verdict.is_carried)}, {verdict.why}"
                )
            elif self._is_of_another_bench(
                mission, number, Bench.model_validate(data["bench"], strict=False)
            ):
                yield f"{which} was decided by another bench than those before it"
        if data.get("carried") is True and isinstance(number, int):
            self._carried.setdefault(mission, set()).add(number)

    def _is_of_another_bench(self, mission: str, number: object, bench: Bench) -> bool:
        """All motions of a mission are decided by one bench, but for what its chair may sort."""
        if mission not in self._benches:
            return False
        known = self._benches[mission] or bench
        self._benches[mission] = known
        of, kind = self._kinds.get(mission, (None, ""))
        is_sorted = of == number and kind in kinds() and kinds()[kind].sorts
        return bench != known and not (is_sorted and bench == known.chair_alone())


def _told(is_carried: object) -> str:
    return "carried" if is_carried is True else "not carried"


def _decided_again(data: Mapping[str, Any], author: str) -> Verdict | str:
    """The decision that follows from the answers, or why there can be none. `author` is who
    proposed the motion, where that is known.
    """
    try:
        bench = Bench.model_validate(data["bench"], strict=False)
        if "votes" in data:
            ballots = [Ballot.model_validate(vote) for vote in data["votes"]]
            wrong = _wrong_seats(bench, [b.seat for b in ballots])
            return wrong or _wrong_author(ballots, author) or decide_vote(ballots, bench)
        arguments = [Argument.model_validate(one) for one in data["arguments"]]
        seats = [str(data["proposer"]), *(argument.seat for argument in arguments)]
    except (ValidationError, KeyError, TypeError):
        return "its decision cannot be read"
    return _wrong_seats(bench, seats) or decide_consent(arguments, bench)


def _wrong_seats(bench: Bench, seats: list[str]) -> str:
    strangers = [seat for seat in seats if seat not in bench.seats]
    if strangers:
        return f"{strangers[0]} is counted and has no seat on its bench"
    return "a seat is counted twice" if len(set(seats)) != len(seats) else ""


def _wrong_author(ballots: list[Ballot], author: str) -> str:
    """Only of who proposed a motion is its word for it a vote."""
    for ballot in ballots:
        is_its = ballot.choice == "yes" and ballot.seat == (author or ballot.seat)
        if ballot.is_authors and not is_its:
            return f"{ballot.seat} votes {ballot.choice} as its author, which it is not"
    return ""


def _is_overruled(state: State, mission: str) -> bool:
    return any(
        key.startswith("override:")
        and (record.get("kind"), record.get("target")) == ("motion", mission)
        for key, record in state.records.values.items()
    )
