"""Commits that find less in an account than was decided on: all is read anew and decided again, and
what was seen before is remembered.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import count
from typing import Any, Final

from swarmd.core.model.channels import BOARD_ROOM, JOURNAL, REQUESTS
from swarmd.core.model.messages import Kind, Message
from swarmd.core.model.names import FIRST, AgentId
from swarmd.core.model.timings import stamp_of
from tests.runtime.test_supervisor import Stage, quiet, stage

# How much goes into one of these entries is a matter of time alone.
_BATCHES: Final = ("state.changed", "facts.folded")


async def _told(on: Stage) -> tuple[Counter[tuple[Kind, str]], Counter[str]]:
    """What the board's room was told, without ids, and the journal, with how often each was."""
    room = await on.store.read(BOARD_ROOM, FIRST, 10_000)
    entries = await on.store.read(JOURNAL, FIRST, 10_000)
    events = [str(entry.data["event"]) for entry in entries]
    return (
        Counter((m.kind, re.sub(r"\ba-\w+", "a-", m.text)) for m in room),
        Counter(event for event in events if event not in _BATCHES),
    )


def _every_other_is_short(on: Stage) -> count[int]:
    """A world in which an account moves before every other commit; its commits, counted."""
    commit, commits = type(on.store).commit_changes, count()

    async def short(*args: Any, **kwargs: Any) -> Any:
        return "short" if next(commits) % 2 == 0 else await commit(on.store, *args, **kwargs)

    on.store.commit_changes = short  # type: ignore[method-assign]  # a world that interferes
    return commits


async def test_a_mission_whose_every_other_commit_is_short_is_told_of_as_any_other(
    namespace: str,
) -> None:
    async with stage(namespace) as on:
        await on.submit()
        await on.run()
        undisturbed = await _told(on)
    assert any(kind is Kind.DIGEST for kind, _ in undisturbed[0])
    async with stage(f"{namespace}-short") as on:
        commits = _every_other_is_short(on)
        await on.submit()
        await on.run()
        assert next(commits) > 20
        assert await _told(on) == undisturbed


async def test_why_a_seat_failed_is_in_the_result_though_a_commit_was_short_since(
    namespace: str,
) -> None:
    async with stage(namespace) as on:

        async def fail(seat: str, call: Message) -> None:
            data = {"type": "failed", "mission": call.mission, "detail": "no key"}
            at = stamp_of(on.clock.now())
            failed = Message(
                sender=AgentId(seat), kind=Kind.REQUEST, at=at, incarnation=1, data=data
            )
            await on.store.post(REQUESTS, failed)

        on._answer = fail  # type: ignore[method-assign]  # seats without a model
        _every_other_is_short(on)
        await on.submit()
        for _ in range(60):
            await quiet(on, 2)
            on.clock.time += 30
        (result,) = await on.results()
        assert result.data["state"] == "failed"
        assert "the last seat that failed: no key" in result.data["reason"]
