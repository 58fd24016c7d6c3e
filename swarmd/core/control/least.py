"""The least budget that a mission needs, told before its first paid call, or its budget refused.
Pure.

The sizes are those of the texts that its calls will carry. A budget is judged only where its agents
ask a language model: the built-in mind takes no tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from swarmd.core.agent import prompt as words
from swarmd.core.agent import seat_prompt
from swarmd.core.agent.file_list import as_named, files_text
from swarmd.core.agent.offers import functions_of
from swarmd.core.agent.seat_moves import offer_to_seat
from swarmd.core.control.forecast import Forecast, PromptBytes, Taken, forecast
from swarmd.core.missions import queue
from swarmd.core.model.bench import bench_of, seats_for
from swarmd.core.model.declarations import Declarations, Role
from swarmd.core.model.estimate import Estimate
from swarmd.core.model.functions import Offer
from swarmd.core.model.moves import MOVE_TYPES
from swarmd.core.model.names import CLERK, MissionState
from swarmd.core.model.posts import board_notice
from swarmd.core.model.records import CallPrice, Host, Mission
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import BOARDS, Put

# Sums are estimates, and are told without digits that nobody can mean: in thousands of tokens, in
# tenths of a cent.
ROUNDED_TO: Final = 1_000


def judge_budgets(draft: Draft) -> None:
    """Every mission that the board has in hand is looked at once, as soon as a worker has told what
    it asks. That is in the commit that opens it, before its first seat is called, or in the one
    that sees the first worker.
    """
    swarm = draft.swarm
    paid = [host for host in swarm.hosts.values() if host.is_paid]
    if not paid:
        return
    for id in [id for id in swarm.boards if id not in swarm.observed.estimates]:
        mission = swarm.missions.get(id)
        if mission is not None and mission.ending is None:
            _look_at(draft, mission, _least_price(paid))


def _least_price(hosts: Sequence[Host]) -> CallPrice | None:
    """Where the price of one of them is not known, nobody can say what its calls cost."""
    prices = [host.price for host in hosts]
    known = [price for price in prices if price is not None]
    return min(known, key=astuple) if len(known) == len(prices) else None


def _look_at(draft: Draft, mission: Mission, price: CallPrice | None) -> None:
    found = forecast_of(draft.swarm, mission)
    estimate = _estimate(found, price)
    draft.swarm.observed.estimates[mission.id] = estimate
    procedure = draft.swarm.boards[mission.id]
    if mission.state is not MissionState.DEBATING or procedure.in_review or procedure.is_judged:
        return  # It has begun before: a successor of the supervisor that saw that goes on.
    least = Least(found.motion.calls, estimate.whole, estimate.argued)
    short = _too_little(mission, least)
    if short:
        queue.end(
            draft, mission, MissionState.REJECTED, f"{Rule.MISSION_BUDGET}: {short}", by=CLERK
        )
        return
    _tell(draft, mission, least)
    draft.add(Put(BOARDS, mission.id, procedure.model_copy(update={"is_judged": True})))


@dataclass(frozen=True, slots=True)
class Least:
    """What a mission takes, by kind, where nobody argues and with an argument on each motion; and
    how many calls each of its motions takes in the first case.
    """

    motion_calls: int
    amounts: Mapping[str, int]
    argued: Mapping[str, int]

    def __str__(self) -> str:
        return (
            f"{_all_in_words(self.amounts)}: two motions of {self.motion_calls} calls "
            "of the board each, and one executive"
        )

    @property
    def with_arguments(self) -> str:
        """Empty where an argument takes nothing more."""
        return "" if self.argued == self.amounts else _all_in_words(self.argued)


def _all_in_words(amounts: Mapping[str, int]) -> str:
    listed = [_in_words(kind, n) for kind, n in amounts.items()]
    return f"{', '.join(listed[:-1])} and {listed[-1]}"


def _estimate(found: Forecast, price: CallPrice | None) -> Estimate:
    """Of one call exactly, of the whole mission in round sums, as people are told them."""
    return Estimate(
        seat_call=_amounts(found.seat, price),
        above=_amounts(found.above, price),
        executive=_amounts(found.executive, price),
        whole=_rounded(_amounts(found.whole, price)),
        argued=_rounded(_amounts(found.argued, price)),
    )


def _amounts(taken: Taken, price: CallPrice | None) -> dict[str, int]:
    """Money only where it is known what a call costs."""
    cost = {} if price is None else {"cost": taken.cost(price)}
    return {"tokens": taken.tokens, "calls": taken.calls} | cost


def _rounded(amounts: Mapping[str, int]) -> dict[str, int]:
    """Up, but for calls, which are counted."""
    return {
        kind: n if kind == "calls" else -(-n // ROUNDED_TO) * ROUNDED_TO
        for kind, n in amounts.items()
    }


def _tell(draft: Draft, mission: Mission, least: Least) -> None:
    budget = ", ".join(_in_words(kind, mission.budget[kind]) for kind in least.amounts)
    argued = least.with_arguments
    more = f" With an argument on each motion it needs {argued}." if argued else ""
    text = (
        f"This mission needs a budget of at least {least}, for each call reserves the most that it "
        f"could take; what it does not use comes back.{more} Its budget: {budget}."
    )
    facts = {"least": dict(least.amounts), "argued": dict(least.argued)}
    draft.add(board_notice(draft.moment, mission.id, text, facts))


def _too_little(mission: Mission, least: Least) -> str:
    """What is too little of its budget, and how much would do; empty where it may suffice."""
    little = {kind: n for kind, n in least.amounts.items() if mission.budget[kind] < n}
    if not little:
        return ""
    given = ", ".join(_in_words(kind, mission.budget[kind]) for kind in little)
    return (
        f"a budget of {given} is too small for this mission, which needs at least {least}, for "
        f"each call reserves the most that it could take. "
        f"Submit it with --budget {_as_option(little)} or more, which is enough where nobody "
        f"argues and no work is sent back{_with_arguments(mission, least)}"
    )


def _with_arguments(mission: Mission, least: Least) -> str:
    """Of each kind of which that takes more than the budget has."""
    more = {kind: n for kind, n in least.argued.items() if mission.budget[kind] < n}
    if not least.with_arguments:
        return ""
    return f"; {_as_option(more)} has room for an argument on each motion"


def _as_option(amounts: Mapping[str, int]) -> str:
    return ",".join(_as_part(kind, n) for kind, n in amounts.items())


def _as_part(kind: str, amount: int) -> str:
    """Money in dollars, as people give it: `usd=0.049`, never rounded."""
    if kind != "cost":
        return f"{kind}={amount}"
    return f"usd={amount / 1_000_000:.6f}".rstrip("0").rstrip(".")


def _in_words(kind: str, amount: int) -> str:
    return f"${amount / 1_000_000:,.6g}" if kind == "cost" else f"{amount:,} {kind}"


def forecast_of(swarm: Swarm, mission: Mission) -> Forecast:
    """By the bench and the procedure that its board has, or will have once it is opened."""
    board, procedure = swarm.declared.board, swarm.boards[mission.id]
    bench, kind = procedure.bench, procedure.kind
    if procedure.stage == "docketed":
        bench = bench_of(board, seats_for(board, mission.budget, mission.board))
        kind = board.procedure
    sizes = prompt_bytes(swarm.declared, mission, bench.seats)
    return forecast(len(bench.seats), kind, board.rounds, sizes)


def prompt_bytes(declared: Declarations, mission: Mission, bench: Sequence[str]) -> PromptBytes:
    """Of the calls that the board and its first executive will get: what is known of them before
    anything was said.
    """
    personas = (declared.personas[seat].text for seat in bench if seat in declared.personas)
    roles = seat_prompt.board_roles(declared)
    named = f"files of the mission: {files_text(as_named(mission.files))}"
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
