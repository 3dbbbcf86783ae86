"""From a folder of WAV files and an Excel table to a trained run and a map: ``python docs/tutorials/taps.py FOLDER``.

First it makes what you would have: recordings of taps on plates with a void, and a table of the voids' depths. A plate
above a void at depth d rings at f = v / 2 d; each recording begins with noise, and the tap comes at some time. The rest
are the commands of docs/import.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import openpyxl
import soundfile

from ram.cli import main
from ram.randomness import generator

RATE_HZ, LENGTH, WAVE_SPEED_M_S = 100_000, 512, 3_500.0

EXPERIMENT = """\
name = "taps"
seed = 1

[data]
file = "taps.h5"
targets = ["depth"]

[model]
backbone = "plain"
widths = [16, 24, 32]
kernel = 7

[training]
epochs = {epochs}
batch_size = 16
learning_rate = 4e-3
threads = 1
"""


def make_recordings(folder: Path, *, plates: int, taps: int, seed: int = 1) -> None:
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
            name = f"plate{plate:02d}_tap{tap}.wav"
            soundfile.write(folder / "recordings" / name, signal_of(depth_cm, onset_s, draw), RATE_HZ, subtype="PCM_16")
            sheet.append([name, depth_cm, round(1e3 * onset_s, 3), f"P{plate:02d}", "KM"])
    book.save(folder / "measurements.xlsx")


def signal_of(depth_cm: float, onset_s: float, draw: np.random.Generator) -> np.ndarray:
    """Return one recording, full scale 1: noise, then a decaying oscillation of the plate above the void."""
    time_s = np.arange(LENGTH) / RATE_HZ - onset_s
    frequency_hz = WAVE_SPEED_M_S / (2e-2 * depth_cm)
    ringing = np.exp(-time_s / 0.0008) * np.sin(2 * np.pi * frequency_hz * time_s) * (time_s > 0)
    return np.asarray(draw.uniform(0.5, 0.7) * ringing + 0.01 * draw.standard_normal(LENGTH))


def ram(*words: str) -> None:
    """Run a command of the shell in this process."""
    print(f"\n$ ram {' '.join(words)}")
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise


def tutorial(folder: Path, *, plates: int = 60, taps: int = 4, epochs: int = 30) -> None:
    """Make the recordings, import them, train, explain; everything lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    make_recordings(Path(), plates=plates, taps=taps)
    ram(
        *("data", "import", "measurements.xlsx", "--files", "recordings", "--targets", "depth=cm"),
        *("--group", "plate", "--seed", "1", "--output", "taps.h5", "--overwrite"),
    )
    Path("taps.toml").write_text(EXPERIMENT.format(epochs=epochs), encoding="utf-8")
    ram("train", "taps.toml", "--output", "runs/taps")
    ram("explain", "runs/taps", "--samples", "3", "--output", "maps.h5", "--pictures", "pictures")
    print_where_the_depth_is_heard()


def print_where_the_depth_is_heard() -> None:
    """Print by how much a millisecond's contribution differs between plates: before the tap, and in 1 ms after it.

    A part of the signal that says nothing of the depth carries the same for every plate.
    """
    from ram import open_run

    run = open_run("runs/taps")
    test = run.data().subset("test")
    maps = run.explain(test, target="depth", reference="baseline")
    sheet = openpyxl.load_workbook("measurements.xlsx").active
    assert sheet is not None
    onsets_s = {str(row[0])[:-4]: 1e-3 * float(str(row[2])) for row in sheet.iter_rows(min_row=2, values_only=True)}
    carried = []  # (sample, 2) in cm per ms
    for row, onset_s in enumerate(onsets_s[str(name)] for name in test.ids):
        spans = ((0.0, onset_s), (onset_s, onset_s + 1e-3))
        carried.append([maps[row].within(time=span).item() / (1e3 * (span[1] - span[0])) for span in spans])
    before, after = np.std(carried, axis=0)
    words = f"{before:.2f} cm before the tap and {after:.2f} cm after it"
    print(f"\nfrom plate to plate, what a millisecond carries differs by {words}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where everything is written")
    tutorial(parser.parse_args().folder)
