"""The motion that a seat proposes: an executive for each theme of the mission, or its rejection."""

from __future__ import annotations

from swarmd.adapters.files.sentences import bounded, cleaned
from swarmd.adapters.files.words import terms
from swarmd.adapters.models.builtin.charters import fitting_names, task_of
from swarmd.adapters.models.builtin.topics import THEMES_MAX, slug_of, themes
from swarmd.adapters.models.builtin.wording import SPEECH, counted
from swarmd.core.board.motions.charter import CharterMotion, Executive
from swarmd.core.board.motions.reject import RejectMotion
from swarmd.core.model.moves import Propose
from swarmd.ports.models import Call, View


def propose(view: View, call: Call) -> Propose:
    if not terms(view.mission_text):
        return reject_mission(
            "the mission has no word that could be searched for; ask a question in words"
        )
    if not call.refusal:
        return _propose_charter(view, call, themes(view.mission_text))
    # Fewer and plainer than what was refused; and what is refused again cannot be done here.
    if call.motion_number > THEMES_MAX:
        why = f"the board could not carry a charter: {bounded(cleaned(call.refusal))}"
        return reject_mission(why)
    return _propose_charter(view, call, (bounded(cleaned(view.mission_text), 600),))


def _propose_charter(view: View, call: Call, found: tuple[str, ...]) -> Propose:
    executives = tuple(
        _charter_executive(view, call, number, theme) for number, theme in enumerate(found, 1)
    )
    reason = (
        f"{SPEECH}. {counted(len(found), 'theme')}, one executive for each, "
        f"over {counted(len(view.files), 'file')}; default shares of the budget, as no tokens "
        "are spent"
    )
    return Propose(
        move="propose", motion=CharterMotion(motion="charter", executives=executives, reason=reason)
    )


def _charter_executive(view: View, call: Call, number: int, theme: str) -> Executive:
    again = f"-m{call.motion_number}" if call.refusal else ""
    return Executive(
        key=f"theme-{number}",
        role="executive",
        name=f"theme-{number}-{slug_of(theme)}{again}",
        task=task_of(theme, view.mission_text),
        methodology=(
            "Divide the files among researchers, merge what they quote, drop what is said twice."
        ),
        goals=(f"Answer from the files: {theme}",),
        done=(
            "The sentences that answer best are quoted, each with its file and line; or the "
            "words not found are named."
        ),
        kpis=("every quotation cites file:line", "no sentence twice"),
        files=fitting_names(view.files),
    )


def reject_mission(why: str) -> Propose:
    return Propose(move="propose", motion=RejectMotion(motion="reject", reason=why))
