"""What every suite shares: one real embedded server, and a namespace of its own for each test."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import HealthCheck, settings

from swarmd.adapters.server.embedded import EmbeddedServer

SECRET: Final = b"what the processes of these tests hold"

# Hypothesis measures each example, and how long it takes to make one, by the clock on the wall: on
# a machine that has other things to do that fails tests of nothing. What must be fast has a test
# that says so.
settings.register_profile(
    "by no clock",
    parent=settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("by no clock")

# As the daemon does: rich's tracebacks show the local variables of each frame, which takes seconds, and
# a lease of the server in memory runs out meanwhile, for its clock is the wall's.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# Whoever starts the tests in the background of a script, or with nohup, ignores signals, and so would each
# process that is started here: a Ctrl-C that a test sends would be sent to nobody.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)

# The runner of parallel tests tells them a width, as if they had a terminal.
os.environ.pop("COLUMNS", None)

HANG_SECONDS: Final = 60.0
"""How long a test waits for what must come. It bounds a hang and judges no speed: beside other
load all takes longer.
"""

# Files that take a minute and more, the longest first: they are begun first, so that no core waits at
# the end for one of them.
LONGEST: Final = (
    "sim/test_sim.py",
    "chaos/test_chaos.py",
    "compose/test_compose.py",
    "e2e/test_kills.py",
    "restart/test_restart.py",
    "contract/test_law_machine.py",
    "e2e/test_wrong_keys.py",
    "e2e/test_faults.py",
    "e2e/test_missions.py",
    "e2e/test_rights_taken.py",
    "e2e/test_waiting.py",
    "runtime/test_obedient.py",
    "contract/test_replicas.py",
)

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    order = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(LONGEST)))


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """What a test configures of the logs ends with it, and pytest's own handlers come back: what is
    configured above holds for every test, whichever ran before it.
    """
    root = logging.getLogger()
    configured, handlers, level = structlog.get_config(), root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One Valkey for the whole session. Tests share it by namespace, so nothing is ever flushed."""
    assert threading.current_thread() is threading.main_thread()
    embedded = EmbeddedServer(tmp_path_factory.mktemp("server"))
    # A loop of its own: the fixture outlives the loop of any test.
    with asyncio.Runner() as runner:
        runner.run(embedded.__aenter__())
        yield embedded
        runner.run(embedded.__aexit__(None, None, None))


@pytest.fixture
def redis_url(server: EmbeddedServer) -> str:
    return f"unix://{server.socket}"


@pytest.fixture
def namespace() -> str:
    """Unlike that of any other test of this session, and of a session beside it on the same
    server.
    """
    return f"t{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose socket's path fits the kernel's bound, whatever the test is called."""
    return tmp_path_factory.mktemp("d")
