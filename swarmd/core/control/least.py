"""What a mission takes at least, told before its first paid call, or its budget refused. Pure.

The sizes are those of the texts that its calls will carry. A budget is judged only where its agents
ask a language model: the built-in mind takes no tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarmd.core.agent import prompt as words
from swarmd.core.agent import seat_prompt
from swarmd.core.agent.offers import functions_of
from swarmd.core.agent.seat_moves import offer_to_seat
from swarmd.core.control.forecast import Forecast, PromptBytes, forecast
from swarmd.core.missions import queue
from swarmd.core.model.declarations import Declarations, Role
from swarmd.core.model.functions import Offer
from swarmd.core.model.moves import MOVE_TYPES
from swarmd.core.model.names import CLERK, MissionState
from swarmd.core.model.posts import board_notice
from swarmd.core.model.records import Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import BOARDS, Put

# Sums are estimates, and are told without digits that nobody can mean.
ROUNDED_TO: Final = 1_000


def judge_budgets(draft: Draft) -> None:
    """Every mission that the board has in hand is looked at once, as soon as a worker has told what
    it asks. That is in the commit that opens it, or in the one that sees the first worker.
    """
    swarm = draft.swarm
    if not any(host.is_paid for host in swarm.hosts.values()):
        return
    for id in [id for id in swarm.boards if id not in swarm.observed.motion_tokens]:
        mission = swarm.missions.get(id)
        if mission is not None and mission.ending is None:
            _look_at(draft, mission)


def _look_at(draft: Draft, mission: Mission) -> None:
    least = forecast_of(draft.swarm, mission)
    draft.swarm.observed.motion_tokens[mission.id] = least.motion_tokens
    procedure = draft.swarm.boards[mission.id]
    if mission.state is not MissionState.DEBATING or procedure.in_review or procedure.is_judged:
        return  # It has begun before: a successor of the supervisor that saw that goes on.
    short = _too_little(mission, least)
    if short:
        queue.end(
            draft, mission, MissionState.REJECTED, f"{Rule.MISSION_BUDGET}: {short}", by=CLERK
        )
        return
    _tell(draft, mission, least)
    draft.add(Put(BOARDS, mission.id, procedure.model_copy(update={"is_judged": True})))


def _tell(draft: Draft, mission: Mission, least: Forecast) -> None:
    text = (
        f"This mission takes at least {_in_words(least)}. Its budget: "
        f"{mission.budget['tokens']:,} tokens, {mission.budget['calls']:,} calls."
    )
    facts = {"least": {"tokens": _round_up(least.tokens), "calls": least.calls}}
    draft.add(board_notice(draft.moment, mission.id, text, facts))


def _too_little(mission: Mission, least: Forecast) -> str:
    """What is too little of its budget, and how much would do; empty where it may suffice."""
    wanted = {"tokens": _round_up(least.tokens), "calls": least.calls}
    little = {kind: n for kind, n in wanted.items() if mission.budget[kind] < n}
    if not little:
        return ""
    given = ", ".join(f"{mission.budget[kind]:,} {kind}" for kind in little)
    enough = ",".join(f"{kind}={n}" for kind, n in little.items())
    return (
        f"its budget of {given} cannot pay for it: it takes at least {_in_words(least)}. "
        f"Submit it with --budget {enough} or more"
    )


def _in_words(least: Forecast) -> str:
    return (
        f"{_round_up(least.tokens):,} tokens and {least.calls} calls: two motions of "
        f"{least.motion_calls} calls of the board each, and one executive"
    )


def _round_up(tokens: int) -> int:
    return -(-tokens // ROUNDED_TO) * ROUNDED_TO


def forecast_of(swarm: Swarm, mission: Mission) -> Forecast:
    """By the bench and the procedure that its board has."""
    board, procedure = swarm.declared.board, swarm.boards[mission.id]
    sizes = prompt_bytes(swarm.declared, mission, procedure.bench.seats)
    return forecast(len(procedure.bench.seats), procedure.kind, board.rounds, sizes)


def prompt_bytes(declared: Declarations, mission: Mission, bench: Sequence[str]) -> PromptBytes:
    """Of the calls that the board and its first executive will get: what is known of them before
    anything was said.
    """
    personas = (declared.personas[seat].text for seat in bench if seat in declared.personas)
    roles = seat_prompt.board_roles(declared)
    named = f"files of the mission: {words.listed(mission.files)}"
    seat = _count_bytes(
        words.shared(declared, mission.text, is_seat=True),
        max(personas, key=len, default=""),
        named,
        words.roles_text(roles),
        _forms_of(offer_to_seat()),
    )
    told = _count_bytes(words.shared(declared, mission.text, is_seat=False), named)
    # Its task is about as long as the mission's own text.
    executive = told + _count_bytes(mission.text, *(_texts_of(declared, roles[0]) if roles else ()))
    reading = words.TEXT_SHOWN_MAX if mission.files else 0
    return PromptBytes(seat, executive, reading)


def _texts_of(declared: Declarations, role: Role) -> tuple[str, ...]:
    functions = tuple(functions_of(role, declared.functions).values())
    return (role.methodology, *role.goals, role.done, _forms_of(Offer(role.moves, functions)))


def _forms_of(offer: Offer) -> str:
    """The forms of what may be answered, about as a model is told them."""
    moves = [MOVE_TYPES[name] for name in offer.moves if name in MOVE_TYPES]
    functions = [function.args for function in offer.functions]
    return "".join(_form_of(one.model_json_schema()) for one in (*moves, *functions))


def _form_of(schema: Mapping[str, Any]) -> str:
    """Without the titles, which no model is told."""
    return re.sub(r'"title":"[^"]*",?', "", json.dumps(schema, separators=(",", ":")))


def _count_bytes(*texts: str) -> int:
    return sum(len(text.encode("utf-8", "replace")) for text in texts)
