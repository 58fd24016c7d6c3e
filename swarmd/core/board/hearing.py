"""What comes while a motion is asked for or before the board, and that none is carried over it.
Pure.

An operator's word concerns each motion. What the work brings (a report, a request, somebody who is
held or has ended) concerns those that end the mission or an agent: they could end what has just
become good. A proposer that has not seen it is asked again. What comes later goes to the proposer
before the vote, and votes that were cast without it lapse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from swarmd.core.board.admissible import CORRECTIONS_MAX
from swarmd.core.board.arguing import with_operators_word
from swarmd.core.board.events import Announce, Came
from swarmd.core.model.motion_kinds import kinds
from swarmd.core.model.motions import Motion
from swarmd.core.model.procedure import Procedure
from swarmd.core.model.watch import News

# Votes of one motion that may lapse for what came during them. An operator who speaks in three
# votes on end wants another motion: it falls, and whoever proposes next has heard everything.
HEARINGS_MAX: Final = 2


def note(procedure: Procedure, came: Came) -> Procedure:
    """Kept while anybody is called. The same thing again, another report of one agent say, is one
    entry, so that there are never more than agents and causes.
    """
    if procedure.phase is None:
        return procedure
    others = tuple(news for news in procedure.came if news.key != came.news.key)
    noted = procedure.model_copy(update={"came": (*others, came.news)})
    if came.news.kind != "word" or noted.kind != "brisk" or noted.stage not in ("debate", "vote"):
        return noted
    return with_operators_word(noted, came.text)


def all_heard(procedure: Procedure) -> Procedure:
    """Whoever is called now is shown all that has come."""
    heard = tuple(news.model_copy(update={"is_heard": True}) for news in procedure.came)
    return procedure.model_copy(update={"came": heard})


def since_proposed(procedure: Procedure) -> tuple[News, ...]:
    """Of a motion that is put: what its proposer has not heard."""
    return tuple(news for news in procedure.came if not news.is_heard)


def unheard(procedure: Procedure, motion: Motion) -> tuple[News, ...]:
    """What came that concerns the motion, and that nobody who decides it was called with."""
    is_ending = kinds()[motion.motion].ends or motion.ends_agents
    return tuple(news for news in since_proposed(procedure) if news.kind == "word" or is_ending)


def why_stale(procedure: Procedure, motion: Motion) -> str:
    """Empty where the proposer has seen all that concerns its motion, or has been asked often
    enough: what it still has not heard goes back to it before the motion is carried.
    """
    came = unheard(procedure, motion)
    if not came or procedure.corrections >= CORRECTIONS_MAX:
        return ""
    return f"since you were asked, {told(came)}: propose again, the same or another"


def told(came: Iterable[News]) -> str:
    return "; ".join(news.what for news in came)


def goes_back_line(procedure: Procedure, came: Iterable[News]) -> Announce:
    """Of a motion that would be carried over something unheard. `lapsed` are votes without it."""
    number = procedure.motion_number
    return Announce(
        f"Motion {number} goes back to {procedure.proposer}: meanwhile {told(came)}.",
        {
            "motion_number": number,
            "goes_back": [news.what for news in came],
            "lapsed": [ballot.model_dump(mode="json") for ballot in procedure.ballots],
        },
    )
