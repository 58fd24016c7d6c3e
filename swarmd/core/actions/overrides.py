"""An override: one decision of somebody else's, replaced for a time by a stronger authority. Pure.

It is an object: who, what, before and after, until when, and how it is taken back. While it stands,
a weaker authority cannot change what it set; an equal or a stronger one can take it back. It lapses
by itself. Hard limits stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from swarmd.core.actions import authority, ending, rights
from swarmd.core.actions.approvals import WORD
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import (
    CharterSet,
    MessageRecalled,
    Post,
    RightsSet,
)
from swarmd.core.model.channels import host_channel, inbox
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.lineage import Agent
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import (
    OPERATOR,
    SOB,
    SUPERVISOR,
    AgentId,
    Authority,
    Channel,
    MissionId,
    StreamId,
)
from swarmd.core.model.overruling import Original, OverrideOrder, Overruling
from swarmd.core.model.privileges import Held, Revocation, Right, is_path
from swarmd.core.model.provenance import stamped
from swarmd.core.model.records import Override
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.requests import SpawnRequest
from swarmd.core.model.state import Draft, Swarm
from swarmd.core.model.tables import OVERRIDES, REVOCATIONS, Drop
from swarmd.core.model.timings import stamp_of
from swarmd.core.tree.fence import decide_terminate
from swarmd.core.tree.spawn import decide_spawn, directives, made

_RECALLABLE: Final = ("room", "inbox", "down", "up")
_REVERSAL: Final = {
    "grant": "the right is as it was",
    "spawn": "the agent ends",
    "undo": "nothing: ids never return",
    "message": "the original is posted again",
    "task": "its own task is restored and told",
    "motion": "nothing: it was one decision",
}


def override(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """Set it or take it back whole, or the rule that refuses it. A motion before the board is
    the clerk's to replace.
    """
    match asked.kind:
        case "reverse":
            return reverse(draft, actor, asked)
        case "grant":
            return _grant(draft, actor, asked)
        case "task":
            return _task(draft, actor, asked)
        case "spawn":
            return (
                _undo_spawn(draft, actor, asked)
                if asked.take
                else _allow_spawn(draft, actor, asked)
            )
        case "message":
            return _message(draft, actor, asked)
        case _:
            return Denied(Rule.OVERRIDE_INVALID, f"nobody but an operator overrides a {asked.kind}")


def begin(
    draft: Draft,
    actor: Actor,
    asked: Overruling,
    *,
    target: str,
    mission: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    reversal: str = "",
) -> Override:
    """It stands from here on, also for those who read the journal: what it changes comes after
    it, then `told`.
    """
    moment = draft.moment
    override = Override(
        id=moment.new_id("ov"),
        kind=asked.kind,
        target=target,
        by=actor.id,
        authority=actor.authority,
        mission=mission,
        before=before,
        after=after,
        at=moment.now,
        expires=moment.now + asked.seconds,
        reversal=reversal or _REVERSAL[asked.kind],
        reason=asked.reason,
    )
    draft.add(OVERRIDES.put(override))
    return override


def told(draft: Draft, actor: Actor, override: Override) -> None:
    """In facts: what people and models wrote stands in the object, and in the journal as its
    digest.
    """
    facts = {name: value for name, value in override.after.items() if name not in ("task", "text")}
    draft.add(
        entry(
            draft.moment,
            JournalEvent.OVERRIDE_SET,
            f"{actor.id} overrides {override.kind} {override.target}: {override.reason}"[:2000],
            actor=actor.id,
            mission=override.mission,
            override=override.id,
            kind=override.kind,
            target=override.target,
            sets=facts,
            expires=stamp_of(override.expires),
            reversal=override.reversal,
            more={"order": actor.order, "outcome": "done"} if actor.order else None,
        )
    )


# --- its end ----------------------------------------------------------------------------------


def reverse(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    override = draft.swarm.overrides.get(asked.target)
    if override is None:
        return Denied(Rule.OVERRIDE_INVALID, f"no override {asked.target[:64]} stands")
    if override.authority > actor.authority:
        return Denied(Rule.OVERRIDE_ACTIVE, f"{override.id} is the {WORD[override.authority]}'s")
    if actor.authority is Authority.BOARD and override.mission != actor.mission:
        return Denied(Rule.MISSION_OTHER, override.id)
    _end(draft, override, by=actor.id, how="reversed", reason=asked.reason, order=actor.order)
    return None


def tick(draft: Draft) -> None:
    """What has lapsed is taken back; what it was about may have gone before it."""
    swarm = draft.swarm
    for override in list(swarm.overrides.values()):
        if override.expires <= draft.moment.now:
            _end(draft, override, by=SUPERVISOR, how="lapsed", reason="its time is over")
        elif override.mission and MissionId(override.mission) not in swarm.missions:
            _end(draft, override, by=SUPERVISOR, how="void", reason="its mission has ended")


def _end(
    draft: Draft, override: Override, *, by: str, how: str, reason: str, order: str = ""
) -> None:
    if how != "void":
        _take_back(draft, override, by)
    draft.add(Drop(OVERRIDES, override.id))
    more = {"order": order, "outcome": "done"} if order else None
    draft.add(
        entry(
            draft.moment,
            JournalEvent.OVERRIDE_ENDED,
            f"{override.id} ({override.kind} {override.target}) {how}: {reason}"[:2000],
            actor=by,
            mission=override.mission,
            override=override.id,
            how=how,
            more=more,
        )
    )


def _take_back(draft: Draft, override: Override, by: str) -> None:
    agent = draft.swarm.lineage.get(override.target)
    match override.kind:
        case "grant" if agent is not None:
            _restore_right(draft, agent, override)
        case "task" if agent is not None and agent.charter is not None:
            task = str(override.before["task"])
            text = f"What replaced your task is over ({override.id}). Your task is again:\n{task}"
            _set_task(draft, agent, task, override.by, text)
        case "spawn" if agent is not None and not override.after.get("undone"):
            actor = Actor(by, override.authority)
            if not draft.swarm.lineage.is_fenced(agent.path):
                ending.end_agent(draft, agent, actor, f"{override.id}, which allowed it, is over")
        case "message":
            original = Original.model_validate(override.before)
            if _is_heard(draft.swarm, Channel(original.channel)):
                draft.add(Post(Channel(original.channel), original.message()))


# --- grant ------------------------------------------------------------------------------------


def _grant(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """A right given to one agent, or taken from it and those below it, for a time."""
    swarm, path = draft.swarm, asked.privilege
    found = authority.find(swarm, actor, asked.target)
    if isinstance(found, Denied):
        return found
    if not is_path(path):
        return Denied(Rule.REQUEST_INVALID, f"{path!r} is no privilege path")
    denied = authority.is_over(swarm, found) or authority.overruled(
        swarm, actor.authority, "grant", found, path
    )
    if denied is None and not asked.take:
        denied = rights.may_be_granted(swarm, actor, found, path)
    if denied is not None:
        return denied
    before = {
        "privileges": list(found.privileges),
        "grants": list(found.grants),
        "later": [[held.path, held.right, held.number, held.by, held.at] for held in found.later],
    }
    number = swarm.number + 1
    after = {"privilege": path, "right": asked.right, "taken": asked.take, "number": number}
    override = begin(
        draft, actor, asked, target=found.id, mission=found.mission, before=before, after=after
    )
    if asked.take:
        mark = Revocation(
            found.id,
            path,
            asked.right,
            number,
            override.id,
            draft.moment.stamp,
            asked.reason,
            actor.authority,
        )
        # Beside those that stand, whatever they cover: taken back, it leaves them as they were.
        draft.add(REVOCATIONS.set(found.id, (*swarm.lineage.revocations.get(found.id, ()), mark)))
    else:
        changed = found
        for right in _rights(asked.right):
            changed = changed.holding(Held(path, right, number, override.id, draft.moment.stamp))
        _refresh(draft, changed)
    told(draft, actor, override)
    return None


def _rights(right: Right) -> tuple[Literal["use", "grant"], ...]:
    return ("use", "grant") if right == "both" else (right,)


def _restore_right(draft: Draft, agent: Agent, override: Override) -> None:
    after, before = override.after, override.before
    path, number = str(after["privilege"]), int(after["number"])
    segment = agent.id
    marks = draft.swarm.lineage.revocations.get(segment, ())
    if after["taken"]:
        kept = tuple(mark for mark in marks if mark.number != number)
        if kept != marks:
            draft.add(REVOCATIONS.set(segment, kept))
        return
    changed = agent
    for right, known in (("use", "privileges"), ("grant", "grants")):
        given = next(
            (h for h in changed.later if (h.path, h.right, h.number) == (path, right, number)), None
        )
        if given is None:
            continue
        if path not in before[known]:
            changed = changed.without(given)
            continue
        old = [Held(*held) for held in before["later"] if held[:2] == [path, right]]
        changed = replace(changed, later=(*(held for held in changed.later if held != given), *old))
    _refresh(draft, changed)
    # What was handed down of it while it stood carries its number, and is cut by this mark;
    # nobody's later grant is.
    if any(
        h.path == path and h.number == number
        for below in draft.swarm.lineage.below(segment)
        for h in below.later
    ):
        cut = Revocation(
            segment,
            path,
            after["right"],
            draft.swarm.number + 1,
            override.by,
            draft.moment.stamp,
            f"{override.id} is over",
            Authority.LINEAGE,
        )
        draft.add(REVOCATIONS.set(segment, (*marks, cut)))


def _refresh(draft: Draft, agent: Agent) -> None:
    """With a new lease: its host reads its record anew."""
    agent = _leased_anew(draft, agent)
    draft.add(RightsSet(agent), *_placed(draft, agent))


# --- task -------------------------------------------------------------------------------------


def _task(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    found = authority.find(draft.swarm, actor, asked.target)
    if isinstance(found, Denied):
        return found
    if found.charter is None or not asked.text.strip():
        why = f"{found.id} has no task" if found.charter is None else "say what the task is"
        return Denied(Rule.OVERRIDE_INVALID, why)
    standing = [
        o for o in draft.swarm.overrides.values() if (o.kind, o.target) == ("task", found.id)
    ]
    for other in standing:
        if other.authority > actor.authority:
            return Denied(Rule.OVERRIDE_ACTIVE, f"{other.id} is the {WORD[other.authority]}'s")
    for other in standing:
        # One replaces the other: taken back, the last of them leads to the agent's own task.
        _end(draft, other, by=actor.id, how="reversed", reason="another takes its place")
    agent = draft.swarm.lineage.agents[found.id]
    assert agent.charter is not None
    override = begin(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before={"task": agent.charter.task},
        after={"task": asked.text},
    )
    text = (
        f"Until {stamp_of(override.expires)} your task is, by {actor.id} "
        f"({override.id}):\n{asked.text}"
    )
    _set_task(draft, agent, asked.text, actor.id, text, actor.taint)
    told(draft, actor, override)
    return None


def _set_task(
    draft: Draft, agent: Agent, task: str, by: str, text: str, taint: tuple[str, ...] = ()
) -> None:
    assert agent.charter is not None
    charter = agent.charter.model_copy(update={"task": task})
    changed = _leased_anew(
        draft, replace(agent, charter=charter, taint=tuple(sorted({*agent.taint, *taint})))
    )
    directive = Message(
        sender=SOB if by == SOB else OPERATOR,
        to=agent.id,
        kind=Kind.DIRECTIVE,
        mission=agent.mission,
        at=draft.moment.stamp,
        text=text,
    )
    draft.add(
        CharterSet(changed),
        Post(inbox(agent.id), stamped(directive, taint)),
        *_placed(draft, changed),
    )


def _leased_anew(draft: Draft, agent: Agent) -> Agent:
    return replace(agent, lease=agent.lease + 1) if agent.host in draft.swarm.hosts else agent


def _placed(draft: Draft, agent: Agent) -> list[Post]:
    if agent.host not in draft.swarm.hosts:
        return []
    message = Message(
        sender=SUPERVISOR,
        kind=Kind.PLACED,
        at=draft.moment.stamp,
        text="changed",
        data={"agents": [agent.id]},
    )
    return [Post(host_channel(agent.host), message)]


# --- spawn ------------------------------------------------------------------------------------


def _allow_spawn(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """A spawn that was refused, made all the same. Bounds, what is forbidden and what there is
    to spend stay.
    """
    if (
        actor.authority is not Authority.OPERATOR
        or not isinstance(asked, OverrideOrder)
        or asked.refused is None
    ):
        return Denied(
            Rule.OVERRIDE_INVALID, "only an operator allows what the law refused, by the refusal"
        )
    requester = draft.swarm.lineage.get(asked.refused.requester)
    if requester is None or requester.tier == 0:
        return Denied(Rule.UNKNOWN_AGENT, asked.refused.requester)
    request = SpawnRequest.model_validate(asked.refused.request)
    spawned = decide_spawn(
        draft.swarm, requester, request, draft.moment, mission=requester.mission, is_overruled=True
    )
    if isinstance(spawned, Denied):
        return spawned
    agent, taint = spawned.agent, tuple(asked.refused.taint)
    override = begin(
        draft,
        actor,
        asked,
        target=agent.id,
        mission=agent.mission,
        before={"requester": requester.id, "key": request.key, "rule": asked.refused.rule},
        after={"agent": agent.id, "parent": requester.id, "name": agent.name},
    )
    draft.add(*made(draft.swarm, spawned, draft.moment, taint=taint))
    told(draft, actor, override)
    draft.add(*directives(spawned, request.directives, draft.moment, hops=0, taint=taint))
    answer = Message(
        sender=SUPERVISOR,
        to=requester.id,
        kind=Kind.ANSWER,
        mission=requester.mission,
        at=draft.moment.stamp,
        text=f"{request.key}: created {agent.id}, by the operator",
        data={
            "key": request.key,
            "outcome": "created",
            "agent": agent.id,
            "caps": dict(spawned.caps),
        },
    )
    draft.add(Post(inbox(requester.id), answer))
    return None


def _undo_spawn(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """An agent that was made is ended, and while this stands its creator makes none of that
    name.
    """
    swarm = draft.swarm
    found = authority.find(swarm, actor, asked.target)
    if isinstance(found, Denied):
        return found
    denied = decide_terminate(swarm, actor.id, found, is_sovereign=True) or authority.overruled(
        swarm, actor.authority, "spawn", found
    )
    if denied is None and swarm.lineage.is_fenced(found.path):
        denied = Denied(Rule.FENCED, f"{found.id} is ending already")
    if denied is not None:
        return denied
    override = begin(
        draft,
        actor,
        asked,
        target=found.id,
        mission=found.mission,
        before={
            "parent": found.parent,
            "name": found.name,
            "role": found.role,
            "created": found.created,
        },
        after={"undone": True, "parent": found.parent, "name": found.name},
        reversal=_REVERSAL["undo"],
    )
    # The order is answered by the override itself: its agents' end is told under the fence.
    ending.end_agent(draft, found, replace(actor, order=""), asked.reason)
    told(draft, actor, override)
    return None


# --- message ----------------------------------------------------------------------------------


def _message(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """Recalled: gone from the stream for whoever has not read it, and the channel told so."""
    if (
        actor.authority is not Authority.OPERATOR
        or not isinstance(asked, OverrideOrder)
        or asked.original is None
    ):
        return Denied(
            Rule.OVERRIDE_INVALID, "only an operator recalls a message, by its channel and id"
        )
    original = asked.original
    channel = Channel(original.channel)
    if channel.partition(":")[0] not in _RECALLABLE or not _is_heard(draft.swarm, channel):
        return Denied(Rule.CHANNEL, f"nothing is recalled from {channel[:100]}")
    try:
        order_of(StreamId(original.id))
    except ValueError:
        return Denied(Rule.OVERRIDE_INVALID, f"{original.id[:64]!r} is no id of a stream")
    target = f"{channel} {original.id}"
    if any(o.kind == "message" and o.target == target for o in draft.swarm.overrides.values()):
        return Denied(Rule.OVERRIDE_ACTIVE, f"{target} is recalled already")
    override = begin(
        draft,
        actor,
        asked,
        target=target,
        mission=original.mission,
        before=original.model_dump(mode="json"),
        after={"text": asked.text},
    )
    text = (
        f"A message of {original.sender} was recalled by {actor.id} ({override.id}): do not "
        "rely on it."
    )
    if asked.text:
        text += f" In its place:\n{asked.text}"
    notice = Message(
        sender=SUPERVISOR,
        to=original.to,
        kind=Kind.NOTICE,
        mission=MissionId(original.mission),
        at=draft.moment.stamp,
        text=text,
        data={"recalled": original.id, "override": override.id},
    )
    draft.add(MessageRecalled(channel, StreamId(original.id)), Post(channel, notice))
    told(draft, actor, override)
    return None


def _is_heard(swarm: Swarm, channel: Channel) -> bool:
    """An ended agent's channels are deleted: nothing may be posted there again."""
    kind, _, name = channel.partition(":")
    return kind == "room" or swarm.lineage.get(AgentId(name)) is not None
