"""A new kind of motion is one file: models may propose it, the clerk carries it, the journal has
it.
"""

from __future__ import annotations

from pathlib import Path

from swarmd.core.model.motion_kinds import kinds
from swarmd.core.model.motions import MOTION
from tests.scratch_copy import ROOT, copy_source, run_in

THANK = '''
"""Thank: somebody is thanked, which may be done before anything is chartered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from swarmd.core.model.charter import Line
from swarmd.core.model.motion_kinds import BaseMotion, Carried, MotionKind

if TYPE_CHECKING:
    from swarmd.core.model.refusals import Denied
    from swarmd.core.model.state import Draft


class ThankMotion(BaseMotion):
    """Thank somebody."""

    motion: Literal["thank"]
    whom: Line
    reason: Line


def decide_thank(draft: Draft, carried: Carried) -> Denied | None:
    from swarmd.core.model.entries import entry
    from swarmd.core.model.events import JournalEvent
    from swarmd.core.model.names import SOB
    from swarmd.core.model.refusals import Denied, Rule

    if carried.motion.whom == "nobody":
        return Denied(Rule.BOARD_MOTION, "nobody is thanked")
    more = {"whom": carried.motion.whom}
    draft.add(entry(draft.moment, JournalEvent.STATE_CHANGED, "thanks", actor=SOB, more=more))
    return None


KIND = MotionKind(ThankMotion, decide_thank, opens=True)
'''

USE = """
from swarmd.core.model.moves import Propose
from tests.core.swarm_builder import MISSION, journal, world

assert "ThankMotion" in str(Propose.model_json_schema())

w = world()
changes = w.carry({"motion": "thank", "whom": "all", "reason": "so well done"})
(told,) = journal(changes, "state.changed")
assert (told.data["actor"], told.data["whom"]) == ("sob", "all")
(executed,) = journal(changes, "motion.executed")
assert executed.text.endswith("thank")
assert w.swarm.boards[MISSION].stage == "working"

w = world()
(refused,) = journal(w.carry({"motion": "thank", "whom": "nobody", "reason": "r"}), "motion.refused")
assert refused.data["rule"] == "board.motion"
"""


def test_a_new_motion_is_one_file_from_the_proposal_to_the_journal(tmp_path: Path) -> None:
    house = copy_source(tmp_path, "swarmd/core/board/motions/thank.py", THANK)
    run_in(house, "-c", USE)


def test_each_file_declares_the_motion_of_its_name() -> None:
    files = {file.stem for file in (ROOT / "swarmd/core/board/motions").glob("*.py")}
    assert files - {"__init__"} == set(kinds())
    for name, kind in kinds().items():
        assert kind.form.model_fields["motion"].annotation.__args__ == (name,)  # type: ignore[union-attr]  # a Literal
    assert set(MOTION.json_schema()["discriminator"]["mapping"]) == set(kinds())
