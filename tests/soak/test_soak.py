"""The short run of `tests.soak`: half a minute of missions, and what is said of a run that
grows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.soak.run import SAMPLES, Sample, Soak, report, slope, soak


@pytest.mark.timeout(180)
async def test_nothing_grows_in_half_a_minute_of_missions() -> None:
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        found = await soak(Path(folder), seconds=35, seed=1)
    assert found.states.get("delivered", 0) > 0
    assert [trend.name for trend in found.trends() if not trend.is_flat] == [], report(found)


def test_what_grows_is_said_to_grow_and_what_is_noise_is_not() -> None:
    found = Soak(seed=1, seconds=60.0)
    for n in range(SAMPLES):
        noise = 5.0 * (n % 3)
        found.samples.append(
            (float(n), Sample(50e6 + 1e6 * n, 20 + noise / 5, 12, 100 + noise, 4e6))
        )
    flat = {trend.name: trend.is_flat for trend in found.trends()}
    assert flat == {
        "rss": False,
        "tasks": True,
        "descriptors": True,
        "keys": True,
        "used_memory": True,
    }
    assert "GROWS" in report(found)
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 99.0)]) == pytest.approx(13.0, abs=11.5)
