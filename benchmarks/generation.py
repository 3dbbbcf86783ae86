"""What a wheel costs: CPU seconds, all in, on one thread.

    python benchmarks/generation.py [--wheels N]

A wheel is drawn, its eight lowest bending modes and its torsion are found, and the sensitivities of all targets are
computed; beside it, what its contributions against a mean design cost. The marks are 0.13 CPU s at 64 pixels and
0.60 at 128. The least of the wheels is what the work costs; the median also holds what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before anything loads a BLAS
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import threadpoolctl

from ram.physics import wheel

MARKS = {64: 0.13, 128: 0.60}
PARTS = ("image", "solve and sensitivities", "all in", "contributions")


def costs(size: int, wheels: int) -> np.ndarray:
    """Return the CPU seconds of each part, shape (wheel, part)."""
    images = [wheel.rasterise(wheel.design(0, index), size) for index in range(100, 110)]
    mean = [np.mean([getattr(image, name) for image in images], axis=0) for name in ("fill", "thickness")]
    wheel.contributions(*mean, *mean, pitch_mm=images[0].pitch_mm, points=(1,))  # what is made once a size
    rows = []
    for index in range(wheels):
        stamps = [time.process_time()]
        image = wheel.rasterise(wheel.design(0, index), size)
        stamps.append(time.process_time())
        found = wheel.solve(image.fill, image.thickness, pitch_mm=image.pitch_mm, sensitivities=True, modes=8)
        stamps.append(time.process_time())
        wheel.contributions(image.fill, image.thickness, *mean, pitch_mm=image.pitch_mm, target_values=found.targets)
        stamps.append(time.process_time())
        drawn, solved, told = np.diff(stamps)
        rows.append((drawn, solved, drawn + solved, told))
    return np.array(rows)


def main() -> None:
    """Print least and median of every part, beside the mark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=int, default=12)
    wheels = parser.parse_args().wheels
    with threadpoolctl.threadpool_limits(1):
        for size, mark in MARKS.items():
            found = costs(size, wheels)
            print(f"{size} pixels, {wheels} wheels, CPU s a wheel (least, median)")
            for part, least, median in zip(PARTS, found.min(axis=0), np.median(found, axis=0), strict=True):
                limit = f"   mark {mark:.2f}" if part == "all in" else ""
                print(f"  {part:24} {least:.3f}  {median:.3f}{limit}")


if __name__ == "__main__":
    main()
