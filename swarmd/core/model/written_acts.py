"""An action as a model writes it, in an agent's move and in a motion.

It is flat, for a model answers best to one form with few fields. Both forms are made from the rows
of the verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import create_model

from swarmd.core.model.actions import Args, args_of, written_fields
from swarmd.core.model.charter import Line, Reference, Written
from swarmd.core.model.names import Authority


class Act(Written):
    """The fields that each verb has. The forms have those that some verbs take beside them."""

    verb: str
    target: Reference
    reason: Line

    def args(self) -> Args:
        return args_of(self.model_dump())


def written_form(authority: Authority) -> type[Act]:
    """With the verbs of one authority, and all that they take."""
    fields = written_fields(authority)
    _, target = fields.pop("target")
    return create_model("Act", __base__=Act, target=(Reference, target), **fields)


if TYPE_CHECKING:

    class AgentsAct(Act): ...

    class BoardsAct(Act): ...

else:
    AgentsAct = written_form(Authority.LINEAGE)
    BoardsAct = written_form(Authority.BOARD)
