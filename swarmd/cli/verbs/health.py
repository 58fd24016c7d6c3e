"""`swarmd health`: what is asked of is there, or what is wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from swarmd.cli.exit_codes import Exit
from swarmd.cli.verbs.inspect import health as health_of
from swarmd.settings import Settings

if TYPE_CHECKING:
    pass
from swarmd.cli.connection import living, sight_of


def health(settings: Settings, as_json: bool, part: str | None = None) -> Exit:
    """Never starts a server: one that nobody runs is not healthy."""
    from swarmd.adapters import halt_file

    target = living(settings)
    with sight_of(settings, target, as_json=as_json) as sight:
        told = [one for one in halt_file.parts(settings.data) if one.is_alive and one.trouble]
        return health_of(sight, part=part, host_name=os.uname().nodename, in_trouble=told)
