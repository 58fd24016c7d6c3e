"""What a process stands on, over real servers: whose server it uses, and whose swarm it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmd.adapters.server import data_folder
from swarmd.app.process import open_process
from swarmd.core.model.channels import MISSIONS
from swarmd.errors import UsageError
from swarmd.settings import Settings


async def test_who_loses_the_race_for_a_folder_uses_the_winners_server(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=short_path)
    async with open_process(settings, "must") as winner:
        # At the first look the winner has the folder and does not serve yet.
        looks, live_socket = iter([None]), data_folder.live_socket
        monkeypatch.setattr(data_folder, "live_socket", lambda d: next(looks, live_socket(d)))
        async with open_process(settings, "may") as loser:
            assert (winner.is_guest, loser.is_guest) == (False, True)


async def test_a_guest_that_means_another_swarm_than_the_one_that_is_led_is_told_at_once(
    short_path: Path,
) -> None:
    async with open_process(Settings(data=short_path), "must") as host:
        rings = host.rings()
        await rings.follow([MISSIONS])
        other = Settings(data=short_path, namespace="other")
        with pytest.raises(BaseExceptionGroup) as told:
            async with open_process(other, "may"):
                pass
        await rings.aclose()
    (error,) = told.value.exceptions
    assert isinstance(error, UsageError)
    assert "is named swarm, and not other" in error.what
