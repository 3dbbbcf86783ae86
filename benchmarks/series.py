"""What the nets of time series cost: processor time of a training step a signal, with halvings and with padding.

The papers' nets, batch norms, on signals of 4,096 samples, one thread, forward pass and gradients; padded: the same
four signals with lengths of 4,096, 3,000, 2,000 and 1,000. A figure is the smallest of some rounds.

    python benchmarks/series.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from ram.models.backbones import build_backbone, parameter_count
from ram.models.regressor import Regressor, TargetScaling

NETS: dict[str, dict[str, Any]] = {
    "fcn": {"widths": (128, 256, 128), "depth": 1, "kernel": 3},
    "resnet-1d": {"widths": (64, 128, 128), "depth": 1, "kernel": 3},
    "inception-time": {"widths": (128, 128), "depth": 3, "kernel": 9},
}
SAMPLES, LENGTHS = 4096, (4096, 3000, 2000, 1000)


def milliseconds(net: Regressor, x: torch.Tensor, lengths: torch.Tensor | None, *, rounds: int) -> float:
    """Return processor time of a step, in ms a signal."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        net.zero_grad()
        net.standardised_prediction(x, None, lengths).square().mean().backward()
        best = min(best, time.process_time() - started)
    return 1e3 * best / len(x)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    x, lengths = torch.randn(len(LENGTHS), 1, SAMPLES), torch.tensor(LENGTHS)
    print("net             halvings     weights        step      padded")
    for name, words in NETS.items():
        for halvings in (0, 2, 4):
            backbone = build_backbone(name, ndim=1, channels=1, norm="batch", halvings=halvings, **words)
            net = Regressor(backbone, targets=[TargetScaling("f", "Hz")], input_mean=[0.0], input_scale=[1.0]).train()
            whole, padded = (milliseconds(net, x, given, rounds=rounds) for given in (None, lengths))
            print(f"{name:15} {halvings:8} {parameter_count(backbone):11,} {whole:8.1f} ms {padded:8.1f} ms")


if __name__ == "__main__":
    main()
