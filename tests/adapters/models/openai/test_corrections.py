"""What a model is told of an answer that cannot be used: all of it at once, in its own terms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pytest

from swarmd.adapters.models.openai.answer import Received
from swarmd.adapters.models.openai.form import Mode
from swarmd.adapters.models.openai.reading import Correction, read_moves
from swarmd.core.model.functions import FILE_READ, FILE_SEARCH, Offer
from swarmd.core.model.moves import MOVE_TYPES, Move, Propose, Report, Spawn

LEADER: Final = Offer(
    ("say", "direct", "report", "spawn", "govern", "wait", "think", "use"),
    (FILE_READ, FILE_SEARCH),
)
PROPOSER: Final = Offer(("propose",), moves_max=1)
VOTER: Final = Offer(("vote",), moves_max=1)
both_modes = pytest.mark.parametrize("mode", ["tools", "schema"])

CHARTER: Final = {"role": "researcher", "name": "ann", "task": "Read."}
EXECUTIVES: Final = [{**CHARTER, "role": "executive", "key": "a"}]
MOTION: Final = {"motion": "charter", "executives": EXECUTIVES, "reason": "r"}


def called(*calls: tuple[str, Any]) -> Received:
    received = Received()
    for number, (name, arguments) in enumerate(calls):
        call = {
            "index": number,
            "id": f"c{number}",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        received.take({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    received.take({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return received


def said(text: str) -> Received:
    received = Received()
    received.take({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]})
    return received


def written(mode: Mode, *moves: tuple[str, dict[str, Any]]) -> Received:
    """The same answer as each mode has it."""
    if mode == "tools":
        return called(
            *(
                (fields["function"].replace("/", "_"), fields["args"])
                if name == "use"
                else (name, fields)
                for name, fields in moves
            )
        )
    return said(json.dumps({"moves": [{"move": name, **fields} for name, fields in moves]}))


@dataclass(frozen=True, slots=True)
class Slip:
    """An answer as a model errs, and what its correction says; nothing where it is taken."""

    moves: tuple[tuple[str, dict[str, Any]], ...] = ()
    offer: Offer = LEADER
    says: tuple[str, ...] = ()
    text: str = ""
    modes: tuple[Mode, ...] = ("tools", "schema")


# The kinds of answer that a capable model gave when it erred.
SLIPS: Final[dict[str, Slip]] = {
    "prose, then JSON that is no move": Slip(
        text='I propose:\n```json\n{"motion": "charter"}\n```',
        offer=PROPOSER,
        says=("calls no function", "Call the function `propose`."),
        modes=("tools",),
    ),
    "the whole list of moves inside of the one function": Slip(
        (("propose", {"moves": [{"move": "propose", "motion": MOTION}]}),), PROPOSER
    ),
    "the motion's kind in the place of the motion": Slip((("propose", MOTION),), PROPOSER),
    "other names for the fields of a vote": Slip(
        (("vote", {"vote": "Yes", "reasoning": "r"}),),
        VOTER,
        (
            "`choice` is missing",
            "`reason` is missing",
            "`vote` is no field here; there are `choice`, `reason`",
            "`reasoning` is no field here",
            "yes | no | abstain",
        ),
    ),
    "two spawns, each with another fault": Slip(
        (
            ("spawn", {"key": "a"}),
            ("spawn", {"charter": CHARTER, "instructions": "Read all of it."}),
        ),
        says=(
            "`charter` is missing",
            "`instructions` is no field here; there are `charter`, `key`",
        ),
    ),
    "one bare move": Slip(
        text=json.dumps({"move": "report", "text": "x"}),
    ),
    "thoughts beside the moves": Slip(
        text=json.dumps({"thoughts": "hm", "moves": [{"move": "report", "text": "x"}]})
    ),
    "a budget that is too large": Slip(
        (("spawn", {"charter": {**CHARTER, "budget": {"tokens": 90_000_000}}}),)
    ),
    "a role that there is not": Slip((("spawn", {"charter": {**CHARTER, "role": "reader"}}),)),
    "a file, a room and a sibling that are not its own": Slip(
        (
            ("use", {"function": "file/read", "args": {"path": "law.md"}}),
            ("say", {"room": "board", "text": "x"}),
            ("direct", {"to": "other", "text": "x"}),
        )
    ),
    "the end of a sibling": Slip(
        (("govern", {"verb": "terminate", "target": "other", "reason": "r"}),)
    ),
    "a right that is not held": Slip(
        (("spawn", {"charter": {**CHARTER, "privileges": ["tool/shell/run"]}}),)
    ),
    "a truth value as a text": Slip((("report", {"text": "x", "done": "false"}),)),
}


def read(slip: Slip, mode: Mode) -> tuple[Move, ...] | Correction:
    received = said(slip.text) if slip.text else written(mode, *slip.moves)
    return read_moves(received, slip.offer, mode)


@pytest.mark.parametrize(
    ("name", "mode"), [(name, mode) for name, slip in SLIPS.items() for mode in slip.modes]
)
def test_a_slip_costs_at_most_one_correction_that_says_all_of_it(name: str, mode: Mode) -> None:
    slip = SLIPS[name]
    answer = read(slip, mode)
    if not slip.says:
        assert isinstance(answer, tuple), answer
        return
    assert isinstance(answer, Correction)
    for words in slip.says:
        assert words in answer.text
    for word in ("Field required", "Input should", "Extra inputs", "dictionary"):
        assert word not in answer.text, "our words and not the library's"
    is_json = "moves[" in answer.text or '{"move"' in answer.text
    assert is_json is (mode == "schema"), "in the terms of its mode"


def test_there_are_thirteen_kinds() -> None:
    assert len(SLIPS) == 13


@both_modes
def test_a_motion_that_is_unwrapped_is_the_motion_that_was_meant(mode: Mode) -> None:
    meant = Propose.model_validate({"move": "propose", "motion": MOTION})
    inside = {"motion": {key: MOTION[key] for key in MOTION if key != "reason"}, "reason": "r"}
    for fields in (MOTION, {"motion": json.dumps(MOTION)}, inside):
        assert read_moves(written(mode, ("propose", fields)), PROPOSER, mode) == (meant,)


@both_modes
def test_what_could_mean_several_things_is_corrected_and_shows_the_right_form(mode: Mode) -> None:
    for fields, fault in (
        ({"motion": "conquer", "reason": "r"}, "`motion.motion` must be one of `act`, `charter`"),
        ({"motion": ["charter"], "reason": "r"}, "`motion` must be an object: {"),
        ({"executives": EXECUTIVES}, "`motion` is missing"),
    ):
        answer = read_moves(written(mode, ("propose", fields)), PROPOSER, mode)
        assert isinstance(answer, Correction)
        assert fault in answer.text
        form = "propose({" if mode == "tools" else '{"move": "propose", '
        assert f"Form: {form}" in answer.text


@both_modes
def test_a_spawns_charter_may_stand_beside_its_key(mode: Mode) -> None:
    meant = Spawn.model_validate({"move": "spawn", "key": "k", "charter": CHARTER})
    fields = {"key": "k", **CHARTER}
    assert read_moves(written(mode, ("spawn", fields)), LEADER, mode) == (meant,)


@both_modes
def test_a_seat_answers_its_call_once(mode: Mode) -> None:
    yes, no = ({"choice": choice, "reason": "r"} for choice in ("yes", "no"))
    two = read_moves(written(mode, ("vote", yes), ("vote", no)), VOTER, mode)
    assert isinstance(two, Correction)
    form = 'vote({"choice": ' if mode == "tools" else '{"move": "vote", "choice": '
    assert "Exactly one `vote`" in two.text
    assert f"Form: {form}" in two.text
    worse = read_moves(written(mode, ("vote", yes), ("vote", {"choice": "no"})), VOTER, mode)
    assert isinstance(worse, Correction)
    assert "Exactly one `vote`" in worse.text
    assert "`reason` is missing" in worse.text, "all faults are told at once"
    twice = read_moves(written(mode, ("vote", yes), ("vote", yes)), VOTER, mode)
    assert isinstance(twice, tuple)
    assert len(twice) == 1


@both_modes
def test_a_limit_that_was_passed_is_said_with_its_number(mode: Mode) -> None:
    long = {"choice": "yes", "reason": "x" * 2_001}
    answer = read_moves(written(mode, ("vote", long)), VOTER, mode)
    assert isinstance(answer, Correction)
    assert "`reason` has 2,001 characters, and at most 2,000 are taken" in answer.text


@pytest.mark.parametrize("name", MOVE_TYPES)
def test_every_move_has_a_form_to_show(name: str) -> None:
    answer = read_moves(called((name, {"nonsense": 1})), Offer((name,)))
    if name == "use":
        return
    assert isinstance(answer, (Correction, tuple))
    if isinstance(answer, Correction):
        assert "`nonsense` is no field here" in answer.text


def test_a_report_is_taken_as_it_was_meant() -> None:
    slip = SLIPS["a truth value as a text"]
    assert read(slip, "tools") == (Report(move="report", text="x", done=False),)
