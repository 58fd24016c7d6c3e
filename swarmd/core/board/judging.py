"""What the law would say to a motion, asked before a word is spent on it. Pure."""

from __future__ import annotations

from dataclasses import replace

from swarmd.core.board.events import Event, Judged, Proposed, Responded
from swarmd.core.board.execution import board_taint, decide_motion
from swarmd.core.model.changes import Change
from swarmd.core.model.motion_kinds import Asks, Carried, kinds
from swarmd.core.model.names import MissionId
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.state import Draft


def judged(draft: Draft, id: MissionId, procedure: Procedure, event: Event) -> Event:
    """A proposed or changed motion with what the law says to it, before anybody spends a word on
    it: decided as it would be if it were carried now, and nothing of it is done.
    """
    if not isinstance(event, Proposed | Responded) or event.motion is None:
        return event
    if procedure.kind != "brisk" or event.seat not in procedure.called:
        return event
    if not procedure.in_review and not kinds()[event.motion.motion].opens:
        return event
    taint = tuple(sorted({*board_taint(draft, id), *event.taint}))
    outcome = decide_motion(DryDraft.of(draft), Carried(id, event.motion, taint))
    if outcome is None:
        return event
    asks = isinstance(outcome, Asks)
    return replace(event, judged=Judged(outcome.rule, outcome.detail, asks=asks))


class DryDraft(Draft):
    """A draft of which nothing becomes true: to learn whether the law would refuse something.

    Whoever decides looks first and changes then, so what is refused is refused here as well.
    """

    @classmethod
    def of(cls, draft: Draft) -> DryDraft:
        return cls(draft.swarm, draft.moment)

    def add(self, *changes: Change) -> None:
        self.changes.extend(changes)
