"""What a map costs, as a multiple of one forward pass without gradients.

One process, one thread, CPU time. The contestants take turns, round by round; the table gives the median over
rounds of the ratio to the same round's forward pass, so that a busy machine slows all alike, and in brackets the
ratio of the fastest rounds. One call of each is made before: the first map of a net also finds out where its cells
lie.

    python benchmarks/maps.py [--rounds 40] [--json results.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ram.maps.explain import explain, explain_regressor
from ram.models.backbones import build_backbone
from ram.models.regressor import Regressor, TargetScaling

CASES = [
    ("2D 1x128x128, b=1", (1, 1, 128, 128)),
    ("2D 1x128x128, b=16", (16, 1, 128, 128)),
    ("1D 4096, b=1", (1, 1, 4096)),
    ("1D 4096, b=16", (16, 1, 4096)),
]


class Standardised(nn.Module):
    """The regressor's net without its units: what other packages can explain."""

    def __init__(self, regressor: Regressor) -> None:
        super().__init__()
        self.backbone, self.head = regressor.backbone, regressor.head

    def forward(self, x: Tensor) -> Tensor:
        """Return W mean(A) + b."""
        return self.head(self.backbone(x).flatten(2).mean(dim=2))  # type: ignore[no-any-return]


def regressor_for(name: str, ndim: int) -> Regressor:
    """Return an untrained net of the size of the project's own."""
    torch.manual_seed(0)
    backbone = build_backbone(name, ndim=ndim, channels=1, widths=(24, 64, 128))
    targets = [TargetScaling("umbrella", "Hz", 560.0, 80.0)]
    return Regressor(backbone, targets=targets, input_mean=[0.0], input_scale=[1.0]).eval()


def contestants(name: str, shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """Return what is timed, the bare forward pass first."""
    net = regressor_for(name, len(shape) - 2)
    plain, x = Standardised(net).eval(), torch.randn(shape)

    def forward() -> object:
        with torch.no_grad():
            return net(x)

    found: dict[str, Callable[[], object]] = {
        "forward": forward,
        "explain_regressor": lambda: explain_regressor(net, x),
        "explain, any net": lambda: explain(plain, x),
    }
    try:
        from captum.attr import LayerAttribution, LayerGradCam
    except ImportError:
        return found
    cam = LayerGradCam(plain, plain.backbone)

    def captum() -> object:
        return LayerAttribution.interpolate(cam.attribute(x, target=0), shape[2:])

    return {**found, "captum LayerGradCam": captum}


def seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    action()
    return time.process_time() - start


def ratios(actions: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, tuple[float, float]]:
    """Return each action's time over the forward pass': the median of the rounds' ratios, and that of the fastest.

    The forward pass itself comes in milliseconds.
    """
    for action in actions.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds):
        order = list(actions) if number % 2 else list(actions)[::-1]
        for name in order:
            times[name].append(seconds(actions[name]))
    base = times.pop("forward")
    found = {"forward (ms)": (1e3 * statistics.median(base), 1e3 * min(base))}
    for name, values in times.items():
        paired = [one / forward for one, forward in zip(values, base, strict=True)]
        found[name] = (statistics.median(paired), min(values) / min(base))
    return found


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--backbones", nargs="+", default=["plain", "resnet", "encoder-decoder"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, dict[str, tuple[float, float]]] = {}
    for name in options.backbones:
        for case, shape in CASES:
            row = ratios(contestants(name, shape), rounds=max(8, options.rounds // (1 + 2 * (shape[0] > 1))))
            if not results:
                print(f"{'':36s}" + "".join(f"{column:>20s}" for column in row))
            results[f"{name}, {case}"] = row
            cells = (f"{median:.2f} ({fastest:.2f})" for median, fastest in row.values())
            print(f"{f'{name}, {case}':36s}" + "".join(f"{cell:>20s}" for cell in cells), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
