"""The whole law in any order, in memory. Nightly, over this machine and the same one on a real
server:

LAW_STEPS=200000 pytest tests/core/test_law_machine.py tests/contract/test_law_machine.py --timeout
0
"""

from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from tests.law_machine import LawMachine, law_settings


def test_the_laws_hold_after_any_walk_in_memory() -> None:
    run_state_machine_as_test(LawMachine, settings=law_settings(0.85, usual=8_000))
