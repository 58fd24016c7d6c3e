"""An override of a message: recalled for whoever has not read it. Pure."""

from __future__ import annotations

from typing import Final

from swarmd.core.actions.override_record import begin_override, record_override
from swarmd.core.model.actions import Actor
from swarmd.core.model.changes import (
    MessageRecalled,
    Post,
)
from swarmd.core.model.messages import Kind, Message, order_of
from swarmd.core.model.names import (
    SUPERVISOR,
    AgentId,
    Authority,
    Channel,
    MissionId,
    StreamId,
)
from swarmd.core.model.overruling import Original, OverrideOrder, Overruling
from swarmd.core.model.records import Override
from swarmd.core.model.refusals import Denied, Rule
from swarmd.core.model.state import Draft, Swarm

_RECALLABLE: Final = ("room", "inbox", "down", "up")


def recall_message(draft: Draft, actor: Actor, asked: Overruling) -> Denied | None:
    """Gone from the stream for whoever has not read it, and the channel told so."""
    original = _recallable(draft.swarm, actor, asked)
    if isinstance(original, Denied):
        return original
    channel = Channel(original.channel)
    override = begin_override(
        draft,
        actor,
        asked,
        target=_target_of(original),
        mission=original.mission,
        before=original.model_dump(mode="json"),
        after={"text": asked.text},
    )
    notice = _recall_notice(draft, original, override)
    draft.add(MessageRecalled(channel, StreamId(original.id)), Post(channel, notice))
    record_override(draft, actor, override)
    return None


def _recallable(swarm: Swarm, actor: Actor, asked: Overruling) -> Original | Denied:
    original = asked.original if isinstance(asked, OverrideOrder) else None
    if actor.authority is not Authority.OPERATOR or original is None:
        return Denied(
            Rule.OVERRIDE_INVALID, "only an operator recalls a message, by its channel and id"
        )
    return _refuse_recall(swarm, original) or original


def _target_of(original: Original) -> str:
    return f"{original.channel} {original.id}"


def _refuse_recall(swarm: Swarm, original: Original) -> Denied | None:
    channel = Channel(original.channel)
    if channel.partition(":")[0] not in _RECALLABLE or not _is_heard(swarm, channel):
        return Denied(Rule.CHANNEL, f"nothing is recalled from {channel[:100]}")
    try:
        order_of(StreamId(original.id))
    except ValueError:
        return Denied(Rule.OVERRIDE_INVALID, f"{original.id[:64]!r} is no id of a stream")
    target = _target_of(original)
    if any(o.kind == "message" and o.target == target for o in swarm.overrides.values()):
        return Denied(Rule.OVERRIDE_ACTIVE, f"{target} is recalled already")
    return None


def _recall_notice(draft: Draft, original: Original, override: Override) -> Message:
    text = (
        f"A message of {original.sender} was recalled by {override.by} ({override.id}): do not "
        "rely on it."
    )
    instead = override.after["text"]
    return Message(
        sender=SUPERVISOR,
        to=original.to,
        kind=Kind.NOTICE,
        mission=MissionId(original.mission),
        at=draft.stamp,
        text=f"{text} In its place:\n{instead}" if instead else text,
        data={"recalled": original.id, "override": override.id},
    )


def restore_message(draft: Draft, override: Override) -> None:
    """The original is posted again, where somebody still hears it."""
    original = Original.model_validate(override.before)
    channel = Channel(original.channel)
    if _is_heard(draft.swarm, channel):
        draft.add(Post(channel, original.message()))


def _is_heard(swarm: Swarm, channel: Channel) -> bool:
    """An ended agent's channels are deleted: nothing may be posted there again."""
    kind, _, name = channel.partition(":")
    return kind == "room" or swarm.lineage.get(AgentId(name)) is not None
