"""What the journal says of mail that was not taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from swarmd.core.model.changes import Post
from swarmd.core.model.channels import ORDERS
from swarmd.core.model.entries import entry
from swarmd.core.model.events import JournalEvent
from swarmd.core.model.messages import Message
from swarmd.core.model.names import Channel
from swarmd.core.model.refusals import Rule
from swarmd.core.model.timings import Moment

_WHY_REFUSED: Final = {
    Rule.ENVELOPE_FORGED: "not sealed with this swarm's secret for this channel",
    Rule.ENVELOPE_REPLAYED: "heard before, or from long before",
    Rule.INCARNATION: "of a former incarnation",
    Rule.ENVELOPE_VERSION: "of a version that this swarmd does not read: use the one that wrote it",
}


def refused_mail(moment: Moment, channel: Channel, rule: Rule, messages: Sequence[Message]) -> Post:
    """Of what is not authentic nothing is repeated here, not even whom it names: anybody may
    have written it.
    """
    count = f"{len(messages)} on {channel}"
    detail = f"{count}: {_WHY_REFUSED[rule]}"
    if channel == ORDERS and rule is Rule.ENVELOPE_FORGED:
        detail += (
            "; order with `swarmd`, beside the swarm's data folder or with its secret in "
            "SWARMD_SECRET_FILE"
        )
    return entry(
        moment,
        JournalEvent.MESSAGE_REFUSED,
        f"{rule}: {detail}",
        actor="unknown",
        rule=rule,
        detail=detail,
        channel=channel,
        request=messages[0].id,
        count=len(messages),
    )
