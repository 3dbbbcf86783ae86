"""Files as laboratories have them, to follow docs/ten_minutes.md: ``python docs/tutorials/folders.py FOLDER``.

- ``recordings/*.wav`` and ``measurements.xlsx``: taps on plates with a void. A plate above a void at depth d rings at
  f = v / 2 d; each recording begins with noise, and the tap comes at some time.
- ``scans/*.png`` and ``strength.csv``: castings with pores, each of which lowers the strength by its area.
- ``lab.h5``: what a recorder writes; two sensors, of which one hears the mode that is asked for.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import h5py
import numpy as np
import openpyxl
import soundfile
from PIL import Image

from ram.randomness import generator

RATE_HZ, LENGTH, WAVE_SPEED_M_S = 100_000, 512, 3_500.0


def make_recordings(folder: Path, *, plates: int = 120, taps: int = 2, seed: int = 1) -> None:
    """Write ``recordings/*.wav`` and ``measurements.xlsx``: `taps` taps on each plate."""
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["wav", "depth (cm)", "onset (ms)", "plate", "who"])
    for plate in range(plates):
        depth_cm = round(6.0 + 14.0 * float(generator(seed, "plate", plate).random()), 1)
        for tap in range(taps):
            draw = generator(seed, "tap", plate, tap)
            onset_s = draw.uniform(0.0004, 0.002)
            name = f"plate{plate:03d}_tap{tap}.wav"
            soundfile.write(folder / "recordings" / name, signal_of(depth_cm, onset_s, draw), RATE_HZ, subtype="PCM_16")
            sheet.append([name, depth_cm, round(1e3 * onset_s, 3), f"P{plate:03d}", "KM"])
    book.save(folder / "measurements.xlsx")


def signal_of(depth_cm: float, onset_s: float, draw: np.random.Generator) -> np.ndarray:
    """Return one recording, full scale 1: noise, then a decaying oscillation of the plate above the void."""
    time_s = np.arange(LENGTH) / RATE_HZ - onset_s
    frequency_hz = WAVE_SPEED_M_S / (2e-2 * depth_cm)
    ringing = np.exp(-time_s / 0.0008) * np.sin(2 * np.pi * frequency_hz * time_s) * (time_s > 0)
    return np.asarray(draw.uniform(0.5, 0.7) * ringing + 0.01 * draw.standard_normal(LENGTH))


def make_scans(folder: Path, *, castings: int = 240, seed: int = 1) -> None:
    """Write ``scans/*.png``, 48 x 48 of 0.5 mm, and ``strength.csv``: 300 MPa less 2 MPa for each mm2 of pores."""
    (folder / "scans").mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:48, :48]
    with (folder / "strength.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scan", "strength (MPa)", "batch"])
        for number in range(castings):
            draw = generator(seed, "casting", number)
            pores = np.zeros((48, 48), bool)
            for _ in range(int(draw.integers(0, 6))):
                place, radius = draw.uniform(6, 42, 2), draw.uniform(2, 5)
                pores |= (y - place[0]) ** 2 + (x - place[1]) ** 2 < radius**2
            gray = np.where(pores, 60, 170) + draw.normal(0, 8, pores.shape)
            name = f"casting{number:03d}.png"
            Image.fromarray(gray.clip(0, 255).astype(np.uint8)).save(folder / "scans" / name)
            strength = 300 - 2.0 * 0.25 * pores.sum() + draw.normal(0, 1)
            rows.writerow([name, round(float(strength), 1), f"B{number // 2:03d}"])


def make_recorder_file(path: Path, *, records: int = 240, seed: int = 1) -> None:
    """Write an HDF5 file of a recorder: `/daq/acc` of two sensors, `/labels/f1` in Hz, `/labels/specimen`."""
    time_s = np.arange(512) / 2000.0
    acc, f1 = np.empty((records, 2, 512), np.int16), np.empty(records)
    for row in range(records):
        draw = generator(seed, "record", row)
        f1[row] = draw.uniform(60.0, 240.0)
        ringing = np.exp(-time_s / 0.06) * np.sin(2 * np.pi * f1[row] * time_s)
        acc[row, 0] = 900 * ringing + draw.normal(0, 20, 512)
        acc[row, 1] = draw.normal(0, 200, 512)
    with h5py.File(path, "w") as file:
        file["daq/acc"] = acc
        file["daq/acc"].attrs.update({"rate": 2000.0, "units": "m/s^2", "scale_factor": 0.01})
        file["labels/f1"] = f1
        file["labels/f1"].attrs["units"] = "Hz"
        file["labels/specimen"] = np.array([f"S{row // 2:03d}".encode() for row in range(records)])


def main() -> None:
    """Write all three."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    folder = asked.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    make_recordings(folder)
    make_scans(folder)
    make_recorder_file(folder / "lab.h5")


if __name__ == "__main__":
    main()
