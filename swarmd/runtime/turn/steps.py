"""The steps of one turn: thoughts and what they ask for, within the turn's bounds.

Thoughts (calls of a model) and functions are bounded apart. At a bound the agent is asked once more
and may only report, so that no turn ends with results that nobody has seen and nobody was told of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from swarmd.core.agent import results
from swarmd.core.agent.final_report import (
    Findings,
    OpenEnds,
    at_work,
    counts_of,
    handed_in,
    hands_in,
    let_go,
    to_be_heard,
)
from swarmd.core.agent.progress_vector import Called, called
from swarmd.core.agent.turn import (
    Acting,
    Briefing,
    Output,
    act,
    asked_for,
    directed,
    failed,
    is_report,
    name_of,
    unreported,
    with_briefing,
)
from swarmd.core.agent.waiting import AgentWait
from swarmd.core.model.declarations import Role
from swarmd.core.model.functions import FunctionCall
from swarmd.core.model.kpis import KpiResult, measured
from swarmd.core.model.messages import Message
from swarmd.core.model.moves import Move, Report, Spawn, Think
from swarmd.core.model.provenance import of_results, refuse_outward
from swarmd.core.model.records import checks_text
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.timings import epoch_of
from swarmd.core.tasks.checking import are_green
from swarmd.core.tasks.law import asked_of_a_person
from swarmd.log_events import LogEvent
from swarmd.ports.stores import LOST, Used
from swarmd.runtime.turn.functions import UNKNOWN_OUTCOME, call_function, failure, files_in
from swarmd.runtime.turn.model_call import Mind, ThoughtFailedError
from swarmd.runtime.turn.render import PromptRenderer
from swarmd.runtime.turn.report_check import check_report
from swarmd.runtime.turn.step_journal import Journal, NotAllowedError, Reserve
from swarmd.runtime.turn.world import Gathered, World

log = structlog.get_logger(__name__)

# Of one turn. Whoever leaves the same open once more has not read what it was told, and each try is
# a call: its report then goes as an interim one.
REPORTS_REFUSED_MAX: Final = 2

_OF_THE_ACTION: Final = (Rule.PRIVILEGE_USE, Rule.PRIVILEGE_REVOKED)


@dataclass(slots=True)
class TurnSteps:
    """What one turn has come to so far."""

    world: World
    journal: Journal
    acting: Acting
    gathered: Gathered
    render: PromptRenderer
    unread: Callable[[], Sequence[Message]]  # what has come since the turn took its mail
    _is_thinking: bool = False  # its last answer was a thought and nothing else
    _may_mend: bool = True  # a final report with wrong citations is given back once
    _reports_refused: int = 0  # final reports that left something open
    _is_last: bool = False  # a report is all that it may answer with, and this is the only one
    _let_go: set[str] = field(default_factory=set)  # children that it ends in this turn

    async def run(self) -> None:
        """Until the agent has nothing more to see, or has reported at a bound."""
        try:
            mind = await self.world.mind(self._role.model if self._role else "")
            used_up = ""
            while not used_up:
                if not await self._do_moves(await self._think(mind)):
                    return
                used_up = self._used_up()
            await self._end_at_bound(mind, used_up)
        except ThoughtFailedError as failure:
            log.warning(LogEvent.CALL_FAILED, agent=self.acting.agent.id, why=failure.detail)
            self.gathered.say_only(failed(self.acting, failure.detail, failure.rule))

    async def _think(self, mind: Mind) -> Sequence[Move]:
        moves, corrections = await mind.think(self.journal, self.render, self.render.keep)
        self.gathered.steps += corrections
        return moves

    # --- bounds ---

    def _used_up(self) -> str:
        """Of what the turn has used all that it may; empty where it may go on."""
        limits, journal = self.world.declared.limits, self.journal
        if journal.thoughts_done >= limits.thoughts_max:
            return f"{limits.thoughts_max} thoughts"
        if journal.functions_done >= limits.functions_max:
            return f"{limits.functions_max} function calls"
        return ""

    async def _end_at_bound(self, mind: Mind, used_up: str) -> None:
        """Once more, with the last results, and a report is all that it can answer with. Where it
        gives none, its superior is told so; of a seat's the clerk is told.
        """
        is_told = any(is_report(message) for _, message in self.gathered.outputs)
        if self.acting.agent.is_seat or is_told:
            return
        self.render.ask_for_report(used_up)
        self._is_last = True
        for move in await self._last_moves(mind):
            if isinstance(move, Report):
                self._note_moves((move,))
                await self._do_move(move)
                return
        self.gathered.steps.append({"results": [{"note": f"You used the {used_up} of a turn."}]})
        self.gathered.say(unreported(self.acting, used_up))

    async def _last_moves(self, mind: Mind) -> Sequence[Move]:
        try:
            return await self._think(mind)
        except ThoughtFailedError as failure:
            if not failure.is_of_the_model:
                raise
            log.warning(LogEvent.CALL_FAILED, agent=self.acting.agent.id, why=failure.detail)
            return ()

    # --- the moves of one answer ---

    async def _do_moves(self, moves: Sequence[Move]) -> bool:
        """Do them in order; true where the model has something to see of it in this turn. It is
        then told of each of them, and a wait does not begin.
        """
        asked = {**self.acting.asked, **asked_for(moves)}
        done = self.acting.done - directed(moves, self.acting)
        spawns = tuple(move.key for move in moves if isinstance(move, Spawn))
        self.acting = replace(
            self.acting, asked=asked, done=done, handed_in=self.acting.done, spawns=spawns
        )
        self._let_go |= let_go(moves)
        self.gathered.wait = AgentWait()
        told, is_open = await self._do_each(moves)
        is_held = any(result.get("held") for result in told)
        # From here on: what was said up to now was said before these results were seen.
        read = of_results(told, self.world.declared.functions)
        self.gathered.taint |= read & set(self.world.declared.limits.taint.sources)
        self._note_moves(moves)
        if is_open or is_held:
            self.gathered.steps.append({"results": told})
            self.gathered.wait = AgentWait()
        return is_open or (not is_held and self._goes_on_thinking(moves))

    async def _do_each(self, moves: Sequence[Move]) -> tuple[list[Mapping[str, Any]], bool]:
        """The result of each, and whether one of them has something to show."""
        told, is_open, briefings = list[Mapping[str, Any]](), False, list[Briefing]()
        for move in moves:
            result = await self._do_move(move, briefings)
            # What is held back waits for the mail of the next turn: there is nothing to say to it.
            is_open = is_open or (result is not None and not result.get("held"))
            told.append(results.done_result(move) if result is None else result)
        self._brief(briefings)
        # Whom the answer ends is ended before its report is handed in, whatever it says first.
        self.gathered.outputs.sort(key=hands_in)
        return told, is_open

    def _goes_on_thinking(self, moves: Sequence[Move]) -> bool:
        """A thought alone is asked once more what it comes to; a second one in a row waits for
        mail.
        """
        was_thinking, self._is_thinking = self._is_thinking, _is_thought(moves)
        if not self._is_thinking or was_thinking:
            return False
        noted = {"move": "think", "ok": True, "detail": results.NOTED}
        self.gathered.steps.append({"results": [noted]})
        return True

    def _note_moves(self, moves: Sequence[Move]) -> None:
        written = [move.model_dump(mode="json", exclude_defaults=True) for move in moves]
        self.gathered.steps.append({"moves": written})

    def _brief(self, briefings: Sequence[Briefing]) -> None:
        """Words for agents that are only asked for go into the requests for them."""
        gathered = self.gathered
        for briefing in briefings:
            gathered.outputs[:] = with_briefing(gathered.outputs, briefing, gathered.taint)

    async def _do_move(
        self, move: Move, briefings: list[Briefing] | None = None
    ) -> Mapping[str, Any] | None:
        """The result that the model has to see of it, or `None`."""
        meaning = act(move, self.acting)
        match meaning:
            case None:
                return None
            case Denied():
                return self._refused(move, meaning.rule, meaning.detail)
            case AgentWait():
                self.gathered.wait = meaning
            case Briefing():
                assert briefings is not None
                briefings.append(meaning)
            case FunctionCall():
                return await self._call(move, meaning)
            case _ if isinstance(move, Report):
                return await self._report(move, meaning)
            case _:
                self.gathered.say(*meaning)
        return None

    async def _report(self, move: Report, outputs: Sequence[Output]) -> Mapping[str, Any] | None:
        """Send it with what the runtime has looked up. A final one is given back with what stands
        in its way, for its author can mend that now; at the bound of a turn it goes as an interim
        one. What of its citations is wrong nobody above can see: that is given back once.
        """
        findings = await check_report(self.world.files, self.acting, move)
        open_ends = self._open_ends(findings) if move.done else None
        given_back = self._given_back(move, findings, open_ends) if move.done else None
        if given_back is not None:
            return given_back
        self._send_report(move, outputs, findings, open_ends)
        return results.sent_as_interim(move, open_ends.detail) if open_ends is not None else None

    def _given_back(
        self, move: Report, findings: Findings, open_ends: OpenEnds | None
    ) -> Mapping[str, Any] | None:
        """Why a final report is not sent now; nothing is given back at the bound of a turn."""
        if self._is_last:
            return None
        if open_ends is not None:
            self._reports_refused += 1
            if self._reports_refused > REPORTS_REFUSED_MAX:
                return None
            may_govern = self._role is not None and "govern" in self._role.moves
            hint = open_ends.hint(may_govern=may_govern)
            return self._refused(move, open_ends.rule, open_ends.detail, hint)
        held = to_be_heard(self.unread())
        if held:
            return results.held_back(move, held)
        if findings.citations.wrong and self._may_mend:
            self._may_mend = False
            return results.given_back(move, findings.citations)
        return None

    def _open_ends(self, findings: Findings) -> OpenEnds | None:
        found = OpenEnds(
            at_work(self.acting, self._let_go),
            "" if are_green(findings.checks) else checks_text(findings.checks),
            to_be_heard(self.unread()) if self._is_last else 0,
        )
        return found if found.detail else None

    @property
    def _role(self) -> Role | None:
        return self.world.declared.roles.get(self.acting.agent.role)

    def _send_report(
        self,
        move: Report,
        outputs: Sequence[Output],
        findings: Findings,
        open_ends: OpenEnds | None,
    ) -> None:
        findings = replace(findings, kpis=self._measured(move, findings))
        said = findings.beside()
        if open_ends is not None:
            said |= {"done": False, "open": open_ends.detail}
        elif move.done and (asked := asked_of_a_person(self.acting.agent)):
            # It is final when a person has said yes to it.
            said |= {"done": False, "open": "; ".join(check.text_form for check in asked)}
        for channel, message in outputs:
            sent = replace(message, data={**message.data, **said})
            self.gathered.say((channel, sent))
            if move.done and open_ends is None:
                self.gathered.say(handed_in(self.acting, sent, findings))

    def _measured(self, move: Report, findings: Findings) -> tuple[KpiResult, ...]:
        """The KPIs of its charter, or of its role, on a final report as it is sent."""
        agent, role = self.acting.agent, self.world.declared.roles.get(self.acting.agent.role)
        kpis = (agent.charter.kpis if agent.charter else ()) or (role.kpis if role else ())
        if not (move.done and kpis):
            return ()
        seconds = epoch_of(self.world.stamp()) - epoch_of(agent.created)
        has_files = self.world.files is not None
        spent = self.journal.spent
        return measured(kpis, counts_of(move, findings, spent, seconds, has_files=has_files))

    async def _call(self, move: Move, call: FunctionCall) -> Mapping[str, Any]:
        """Call a function; what is to be known of it beforehand, its row says."""
        not_called = self._why_not_called(move, call)
        if not_called is not None:
            return not_called
        function, found = call.function, dict[str, Any]()
        given = call.args.model_dump(mode="json")

        async def effect() -> tuple[str, Used]:
            found.update(await call_function(self.world.handlers, self.acting, call))
            used = Used(function.charge, is_ok=found["ok"], files=files_in(found))
            return json.dumps(found), used

        try:
            text = await self.journal.call(
                function.name,
                effect,
                reserve=Reserve(function.charge),
                privileges=function.privileges(call.args),
                within_seconds=function.seconds,
                may_repeat=function.may_repeat,
                given=given,
            )
            if text == LOST:
                self.gathered.calls.append(Called(function.name))
                return failure(function.name, UNKNOWN_OUTCOME)
        except NotAllowedError as no:
            # What it may not use, or what is stopped for all, is told to it; what stops itself ends
            # or holds its turn.
            if no.rule not in _OF_THE_ACTION and not no.detail.startswith("use:"):
                raise
            return self._refused(move, no.rule, no.detail)
        result = found or json.loads(text)
        self.gathered.calls.append(called(call, given, text, result))
        return result

    def _why_not_called(self, move: Move, call: FunctionCall) -> Mapping[str, Any] | None:
        """The result where it is not even begun: refused, or beyond the turn's bound."""
        limits = self.world.declared.limits
        denied = refuse_outward(call, self.acting.agent, self.gathered.taint, limits.taint)
        if denied is not None:
            return self._refused(move, denied.rule, denied.detail)
        if self.journal.functions_done < limits.functions_max:
            return None
        why = f"not called: the {limits.functions_max} function calls of this turn are used"
        return failure(call.function.name, why)

    def _refused(self, move: Move, rule: Rule, detail: str, hint: str = "") -> Mapping[str, Any]:
        """As the model is told of it; the journal is, when the turn is committed."""
        self.gathered.refusals.note(rule, name_of(move), detail)
        return results.refused_result(move, rule, detail, hint)


def _is_thought(moves: Sequence[Move]) -> bool:
    return all(isinstance(move, Think) for move in moves)
