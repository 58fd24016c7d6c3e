"""What the supervisor does where an agent goes on doing what the law refuses: one step after the
other, each once. Pure.

Episodes are counted from what workers' turns tell (`turn_refusals`), and kept with the mission's
record: a successor goes on where this one was. An episode's signature is its detector, its agent
with its task, and the rule. A step tells somebody something. It gives no right, takes none and ends
nothing; what the bus cuts and whom it gives up is its own law. So a mission has at most as many
steps as `EPISODES_MAX` times the steps of a ladder, and no more than `corrections_percent` of its
calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from swarmd.core.board.agenda import keep_watch
from swarmd.core.control.replacements import corrective_calls_left, task_of
from swarmd.core.journal.turn_refusals import TurnRefusal
from swarmd.core.model.chain import canonical, sha256
from swarmd.core.model.corrections import (
    CORRECTION,
    NOTE,
    REPLAN,
    Detector,
    Episode,
    Ladder,
    StepName,
    detector_of,
)
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.names import SUPERVISOR, AgentId
from swarmd.core.model.posts import inbox_notice
from swarmd.core.model.refusals import Rule
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.tree import notices

# Of one mission. What goes wrong beyond that is more than one superior can take up.
EPISODES_MAX: Final = 64
TURNS_MAX: Final = 8  # of an episode, remembered as evidence
# Turns without such a refusal after a step: then it has helped.
MOVED_AFTER: Final = 3

MOVED: Final = "moved"
NOT_MOVED: Final = "did not move"

# What an agent is told whose context begins anew.
_BEGIN_ANEW: Final = (
    "Your earlier turns are taken out of what you see; what you tried stands in their place. Do "
    "none of it again. Think of another way to your task, and take its first step now; if there is "
    "none, report with `done` false what you have and what you lack."
)

# What a superior can choose from, each with the move that it takes.
CHOICES: Final = (
    "retry or replan: direct it, with what it did not know",
    "split: give a part of its task to another child",
    "reassign: direct one of your other children with it",
    "new worker: end it and create another in its place",
    "accept: take what it has, and say in your report why",
    "end it",
)


def signature_of(agent: Agent, detector: Detector, rule: Rule) -> str:
    """The same for all that is one episode."""
    return sha256(canonical([detector, agent.id, task_of(agent), rule.value]))[:16]


def note_refusal(draft: Draft, refusal: TurnRefusal) -> None:
    """One rule refused an agent in one turn: counted, and the next step taken where it is due."""
    agent, detector = draft.lineage.get(AgentId(refusal.agent)), detector_of(refusal.rule)
    if agent is None or detector is None or not _is_watched(draft, agent):
        return
    episodes = draft.swarm.boards[agent.mission].watch.episodes
    signature = signature_of(agent, detector, refusal.rule)
    if signature in episodes or len(episodes) < EPISODES_MAX:
        rule = refusal.rule.value
        known = episodes.get(signature, Episode(agent=agent.id, rule=rule, detector=detector))
        episode = _stepped(draft, agent, _counted(draft, agent, known, refusal))
        _keep(draft, agent, signature, episode)


def _counted(draft: Draft, agent: Agent, known: Episode, refusal: TurnRefusal) -> Episode:
    """The episode with one more turn that was refused: what its last step was to do, it did not."""
    # Of refusals by a role's rules each counts; a turn that changed nothing is one, whatever it
    # said, and so is one whose final report was not taken.
    count = refusal.count if known.detector == "repeated_refusals" else 1
    turns = (*known.turns, refusal.turn)[-TURNS_MAX:]
    after = {"counted": known.counted + count, "turns": turns, "is_open": False}
    counted = known.model_copy(update=after)
    if known.is_open:
        _tell_outcome(draft, agent, counted, NOT_MOVED)
    return counted


def _stepped(draft: Draft, agent: Agent, episode: Episode) -> Episode:
    ladder = draft.swarm.declared.corrections.ladder(episode.detector)
    step = _next_step(_ladder_for(agent, ladder), episode)
    if step is None or not _may_be_taken(draft.swarm, agent):
        return episode
    return _take(draft, agent, episode, step)


def note_turn(draft: Draft, agent: Agent, turn: int) -> None:
    """A call of it was settled in its turn of this number: what was told it has helped, where it
    has come so far without being refused again.
    """
    for signature, episode in _open_of(draft, agent):
        if turn >= episode.turns[-1] + MOVED_AFTER:
            _close(draft, agent, signature, episode)


def note_handed_in(draft: Draft, agent: Agent) -> None:
    """Its work was taken as handed in."""
    for signature, episode in _open_of(draft, agent):
        _close(draft, agent, signature, episode)


# --- the ladder ---------------------------------------------------------------------------------


def _ladder_for(agent: Agent, ladder: Ladder) -> Ladder:
    """An executive's superior is the board: these two are one step for it."""
    if agent.tier > 1 or "superior" not in ladder.steps:
        return ladder
    steps = ("board" if step == "superior" else step for step in ladder.steps)
    return ladder.model_copy(update={"steps": tuple(dict.fromkeys(steps))})


def _next_step(ladder: Ladder, episode: Episode) -> StepName | None:
    if episode.counted < ladder.after:
        return None
    return next((step for step in ladder.steps if step not in episode.taken), None)


def _may_be_taken(swarm: Swarm, agent: Agent) -> bool:
    """Is something left of the correction budget, and is the mission not at its end?"""
    if corrective_calls_left(swarm, agent.mission) <= 0:
        return False
    below, calls = swarm.observed.below, swarm.missions[agent.mission].budget["calls"]
    spent = below(agent.mission, "spent").get("calls", 0) if below is not None else 0
    return 100 * spent < calls * (100 - swarm.declared.corrections.spare_percent)


def _take(draft: Draft, agent: Agent, episode: Episode, step: StepName) -> Episode:
    if step in (NOTE, REPLAN):
        _tell_agent(draft, agent, episode, step)
    elif step == "superior":
        _tell_superior(draft, agent, episode)
    # At the last step the episode stands on the agenda, for it has that step (`board.agenda`).
    taken = episode.after(step, draft.now)
    used = draft.swarm.boards[agent.mission].watch.corrective_calls
    keep_watch(draft, agent.mission, corrective_calls=used + 1)
    _record(draft, JournalEvent.INTERVENTION_MADE, agent, taken, episode.facts)
    return taken


def _tell_agent(draft: Draft, agent: Agent, episode: Episode, step: StepName) -> None:
    text = f"{episode.facts} What to do about it: {Rule(episode.rule).remedy}"
    if step == REPLAN:
        text = f"{text} {_BEGIN_ANEW}"
    data = {CORRECTION: step, "rule": episode.rule}
    draft.add(inbox_notice(draft.moment, agent.id, agent.mission, text, data))


def _tell_superior(draft: Draft, agent: Agent, episode: Episode) -> None:
    choices = "; ".join(CHOICES)
    before = "was told of this, and it goes on" if NOTE in episode.taken else "goes wrong"
    what = f"{before}: {episode.facts} Choose one: {choices}."
    data = {CORRECTION: "superior", "rule": episode.rule}
    notices.tell_superior(draft, agent, what, data=data)


# --- what is kept and told ----------------------------------------------------------------------


def _is_watched(draft: Draft, agent: Agent) -> bool:
    """Of seats the clerk takes care: it calls them, so many times and no more."""
    is_open = agent.mission in draft.swarm.boards
    return agent.tier > 0 and is_open and not draft.lineage.is_ending(agent)


def _open_of(draft: Draft, agent: Agent) -> Iterator[tuple[str, Episode]]:
    procedure = draft.swarm.boards.get(agent.mission)
    episodes = {} if procedure is None else procedure.watch.episodes
    for signature, episode in list(episodes.items()):
        if episode.agent == agent.id and episode.is_open:
            yield signature, episode


def _close(draft: Draft, agent: Agent, signature: str, episode: Episode) -> None:
    _tell_outcome(draft, agent, episode, MOVED)
    _keep(draft, agent, signature, episode.model_copy(update={"is_open": False, "counted": 0}))


def _keep(draft: Draft, agent: Agent, signature: str, episode: Episode) -> None:
    episodes = draft.swarm.boards[agent.mission].watch.episodes
    keep_watch(draft, agent.mission, episodes={**episodes, signature: episode})


def _tell_outcome(draft: Draft, agent: Agent, episode: Episode, outcome: str) -> None:
    _record(draft, JournalEvent.INTERVENTION_ENDED, agent, episode, outcome, outcome=outcome)


def _record(
    draft: Draft, event: JournalEvent, agent: Agent, episode: Episode, what: str, **more: Any
) -> None:
    step = episode.taken[-1]
    draft.record(
        event,
        f"{step} for {agent.name} ({agent.id}), {episode.detector}: {what}",
        actor=SUPERVISOR,
        mission=agent.mission,
        rule=Rule(episode.rule),
        agent=agent.id,
        detector=episode.detector,
        step=step,
        turns=list(episode.turns),
        **more,
    )
