"""How much a map changes when the net forgets what it has learned: cascading randomisation of its weights.

A small net is trained on images of two bumps, of which one carries the target; then its layers are drawn anew, from the
output downwards. A map that says something about what the net has learned changes with it: the rank correlation
(Spearman) of its absolute values with those of the trained net falls to zero. A map that shows edges of the input,
whatever the net has learned, keeps a high one. One figure for each method and depth, the mean over test images and
draws. A second, smaller net says whether what is seen of guided backpropagation on the first holds beyond it.

    python benchmarks/randomisation.py [--net seven four] [--draws 3] [--json benchmarks/results/randomisation.json]

Source: Adebayo et al. 2018, arXiv:1810.03292, section 3.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from ram.maps.explain import explain
from ram.maps.methods import METHODS
from ram.randomness import generator

SIZE, STEPS, BATCH, TEST = 32, 800, 32, 16
GUIDED = ("gradient", "guided-backprop", "guided-grad-cam")
METHODS_ASKED = (
    "ram", "grad-ram", "hirescam", "grad-cam", "layercam", "integrated-gradients", "deeplift", "gradient-x-input",
    "gradient", "smoothgrad", "occlusion", "guided-backprop", "guided-grad-cam",
)  # fmt: skip


def images(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return images with a round and a square bump among noise, and the height of the round one."""
    draw = generator(seed, "randomisation")
    y, x = np.mgrid[:SIZE, :SIZE]
    found, heights = np.empty((count, 1, SIZE, SIZE)), draw.uniform(0.5, 2.0, size=count)
    for row, height in enumerate(heights):
        (a, b), (c, d) = draw.uniform(6, SIZE - 6, size=(2, 2))
        round_one = height * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 12)
        square = draw.uniform(0.5, 2.0) * ((np.abs(y - c) < 4) & (np.abs(x - d) < 4))
        found[row, 0] = round_one + square + 0.05 * draw.standard_normal((SIZE, SIZE))
    return torch.from_numpy(found).float(), torch.from_numpy(heights).float()


def seven() -> nn.Sequential:
    """Return a small net of six convolutions that ends in global average pooling, its weights drawn as torch does."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1),
    )  # fmt: skip


def four() -> nn.Sequential:
    """Return a smaller net, of three convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A net, how many of its layers are drawn anew, the layer behind its last convolution, and what is asked of it."""

    make: Callable[[], nn.Sequential]
    depths: tuple[int, ...]
    layer: str
    methods: tuple[str, ...]


CASES = {"seven": Case(seven, (1, 3, 5, 7), "13", METHODS_ASKED), "four": Case(four, (1, 2, 3, 4), "7", GUIDED)}


def trained(make: Callable[[], nn.Sequential]) -> tuple[nn.Sequential, float]:
    """Return a trained net and the share of the variance on test images that it explains."""
    torch.manual_seed(0)
    found = make()
    steps = torch.optim.Adam(found.parameters(), lr=2e-3)
    x, target = images(STEPS * BATCH // 8, seed=1)
    for step in range(STEPS):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        loss = (found(x[rows])[:, 0] - target[rows]).square().mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
    other, truth = images(200, seed=2)
    with torch.no_grad():
        left = (found(other)[:, 0] - truth).var() / truth.var()
    return found.eval(), 1 - float(left)


def forgotten(found: nn.Sequential, *, layers: int, seed: int) -> nn.Sequential:
    """Return the net with its last `layers` layers drawn anew."""
    torch.manual_seed(1000 + seed)
    other = copy.deepcopy(found)
    for layer in [part for part in other if isinstance(part, (nn.Conv2d, nn.Linear))][-layers:]:
        layer.reset_parameters()
    return other


def maps_of(found: nn.Module, x: Tensor, method: str, *, layer: str) -> np.ndarray:
    """Return absolute maps on the input's grid, one row a sample."""
    known = METHODS[method]
    wanted = {"layer": layer} if known.looks_at_layer and known.kind != "head" else {}
    options = {"samples": 8} if "samples" in known.options else {}
    made = explain(found, x, method=method, options=options, **wanted)
    return np.abs(made.on_input_grid().contributions).reshape(len(x), -1)


def agreement(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean rank correlation, 0 for a map that is the same everywhere."""
    ranks = [spearmanr(a, b).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0 for a, b in zip(before, after)]  # noqa: B905
    return float(np.mean(ranks))


def kept(case: Case, *, draws: int) -> dict[str, Any]:
    """Return what is left of each method's ranking on one net, printed as it is found."""
    found, explained = trained(case.make)
    x, _ = images(TEST, seed=3)
    print(f"R2 of the trained net on new images: {explained:.3f}")
    print(f"{'layers drawn anew':22s}" + "".join(f"{layers:>8d}" for layers in case.depths))
    results: dict[str, list[float]] = {}
    for method in case.methods:
        before = maps_of(found, x, method, layer=case.layer)
        results[method] = [
            float(np.mean([
                agreement(before, maps_of(forgotten(found, layers=layers, seed=seed), x, method, layer=case.layer))
                for seed in range(draws)
            ]))
            for layers in case.depths
        ]  # fmt: skip
        print(f"{method:22s}" + "".join(f"{value:8.2f}" for value in results[method]), flush=True)
    ranks = {name: [round(v, 3) for v in row] for name, row in results.items()}
    return {"r2": round(explained, 4), "draws": draws, "images": TEST, "layers": case.depths, "rank_correlation": ranks}


def main() -> None:
    """Print the tables, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--json", type=Path, help="a net that is not asked for keeps what the file holds of it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    content = {} if options.json is None or not options.json.exists() else json.loads(options.json.read_text())
    content |= {name: kept(CASES[name], draws=options.draws) for name in options.net}
    if options.json:
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
