"""The brake of the supervisor's own machine: a halt of everything, and no other stop's master."""

from __future__ import annotations

import pytest

from swarmd.core.control.stops import heed_brake
from swarmd.core.model.lineage import EVERYTHING
from swarmd.core.model.names import BRAKE
from tests.core.swarm_builder import world


def test_the_brake_halts_everything_and_its_release_ends_that_halt() -> None:
    w = world()
    heed_brake(w.renew(), "lunch")
    stop = w.swarm.lineage.stops[EVERYTHING]
    assert (stop.by, stop.kind, stop.reason) == (BRAKE, "halt", "lunch")
    heed_brake(w.renew(), None)
    assert w.swarm.lineage.stops == {}


@pytest.mark.parametrize("verb", ["freeze", "halt"])
def test_an_operators_stop_of_everything_outlives_the_brake(verb: str) -> None:
    w = world()
    w.order(verb, EVERYTHING)
    stop = w.swarm.lineage.stops[EVERYTHING]
    for reason in ("lunch", None, None):
        heed_brake(w.renew(), reason)
        assert w.swarm.lineage.stops == {EVERYTHING: stop}
