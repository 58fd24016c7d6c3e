"""python -m tests.quality: the figures of the source, beside the bounds that they must keep."""

from __future__ import annotations

from tests.quality.bounds import BOUNDS, broken
from tests.quality.measure import figures
from tests.quality.place import PACKAGE


def main() -> int:
    measured = figures(PACKAGE)
    print(f"{'figure':24} {'measured':>10} {'bound':>10}")
    for name, value in measured.items():
        print(f"{name:24} {value:>10g} {BOUNDS.get(name, ''):>10}")
    faults = broken(measured)
    for fault in faults:
        print(fault)
    return 7 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
