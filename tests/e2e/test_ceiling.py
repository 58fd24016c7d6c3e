"""A looping executive under a ceiling of a quarter dollar, killed in the middle; the command for
larger ones is `python -m tests.e2e.ceiling 2.50`.
"""

from __future__ import annotations

import os
import signal
import time

from tests.e2e.ceiling import MICRO_DOLLARS_A_CALL, ceiling_of
from tests.e2e.swarm_process import swarm_up

CEILING = 250_000
KILLED_AT = 6  # requests: two of the board, and four of the looper


def test_a_looper_uses_most_of_its_ceiling_and_never_more_and_a_kill_pays_nothing_twice() -> None:
    with ceiling_of(delay=0.1) as under:
        started = time.monotonic()
        with swarm_up(under.data, **under.settings) as swarm:
            under.submit(swarm, CEILING)
            assert not under.push(swarm, until_requests=KILLED_AT)
            os.kill(swarm.child.process.pid, signal.SIGKILL)
            swarm.child.process.wait()
        with swarm_up(under.data, **under.settings) as swarm:
            assert under.push(swarm)
            used = under.used(swarm, CEILING, time.monotonic() - started)
    print(used)
    assert used.spent <= CEILING, used
    assert used.percent >= 70, used
    assert used.executives == 1, used
    # Each request was paid, and none a second time: the one that was cut is in it at its reserve.
    assert used.calls == used.requests, used
    assert used.spent - used.assumed == MICRO_DOLLARS_A_CALL * (used.calls - bool(used.assumed))
