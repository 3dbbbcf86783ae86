"""What a spectrogram as the first layer costs: its share of a training step, CPU time.

Forward pass, loss and gradients of a ResNet of widths 16, 32, 64 on 16 signals, one thread; the spectrogram alone, as
it is run in that step, and the step take turns. A figure is the median over rounds.

    python benchmarks/spectrogram.py [--rounds 15] [--json benchmarks/results/spectrogram.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import machine

from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling
from ram.models.spectrogram import Spectrogram

TAP: dict[str, Any] = {"channels": 3, "samples": 16_000, "sample_rate_hz": 16e3, "length": 256, "hop": 64}
ECHO: dict[str, Any] = {
    "channels": 1, "samples": 2048, "sample_rate_hz": 1e6, "length": 256, "hop": 32, "nfft": 1024, "high_hz": 50e3,
}  # fmt: skip
CASES = {
    "tap, 3 x 1 s at 16 kHz, window 16 ms": TAP,
    "the same, window 64 ms, 0.25 to 2 kHz": {**TAP, "length": 1024, "hop": 160, "low_hz": 250.0, "high_hz": 2e3},
    "impact echo, 2 ms at 1 MHz, nfft 1024": ECHO,
    "the same, 64 log bands": {**ECHO, "bands": "log", "count": 64, "low_hz": 2e3, "high_hz": 200e3},
}
BATCH, WIDTHS = 16, (16, 32, 64)


def measured(case: dict[str, Any], *, rounds: int) -> dict[str, Any]:
    """Return grid, milliseconds of step and spectrogram, and the share."""
    words = dict(case)
    channels, samples = words.pop("channels"), words.pop("samples")
    front = Spectrogram(channels, divisor=2 ** len(WIDTHS), **words)
    backbone = build_backbone("resnet", ndim=2, channels=channels, widths=WIDTHS, depth=1)
    net = Regressor(
        backbone, targets=[TargetScaling("depth", "cm")], input_mean=[0.0] * channels, input_scale=[1.0] * channels,
        front=front,
    )  # fmt: skip
    backbone.to(memory_format=torch.channels_last)
    x = torch.randn(BATCH, channels, samples, generator=torch.Generator().manual_seed(0))

    def step() -> None:
        net.zero_grad()
        net.standardised_prediction(x).square().mean().backward()

    def alone() -> None:
        with torch.no_grad():  # its inputs need no gradient in training
            net.standardised_inputs(x)

    step(), alone()
    pairs = [(seconds(alone), seconds(step)) for _ in range(rounds)]
    of_front, of_step = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
    share = statistics.median(one / other for one, other in pairs)
    return {"grid": front.grid(samples), "step_ms": round(of_step, 1), "spectrogram_ms": round(of_front, 1),
            "share": round(share, 3)}  # fmt: skip


def seconds(action: Callable[[], None]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    """Print a line for each case; write them where asked to."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=15)
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    torch.set_num_threads(1)
    found = {name: measured(case, rounds=options.rounds) for name, case in CASES.items()}
    for name, row in found.items():
        grid = " x ".join(map(str, row["grid"]))
        print(f"{name}: {grid}, {100 * row['share']:.0f} % of {row['step_ms']} ms")
    if options.json:
        content = {"machine": machine("scipy"), "rounds": options.rounds, "cases": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
